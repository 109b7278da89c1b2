-- Foundation: the two schemas, the clock, who is calling, errors, the operations log and the settings.
--
-- `public` holds what clients may see: tables with read policies, and thin functions that run as the caller.
-- `private` holds the engine: every function that changes anything, and everything no client may read. It is
-- never exposed by the REST API; a client reaches it only through the functions it was granted by name.
-- Every object is created, stripped of all rights, and given the rights that are meant, in the same file, so that
-- nothing depends on a database's default privileges.
--
-- Every function pins its search path, which keeps PostgreSQL from inlining it; a function in SQL is then planned anew
-- whenever another one calls it. What is called on the way of every command is therefore plpgsql, whose plans are kept.

create schema private;
comment on schema private is 'The engine of Taximeter. Not exposed by the REST API.';
revoke all on schema private from public, anon, authenticated, service_role;
grant usage on schema private to authenticated, service_role;

-- The clock -----------------------------------------------------------------------------------------------------

create function private.clock()
returns timestamptz
language plpgsql
volatile
set search_path = ''
as $$
begin
  return clock_timestamp();
end;
$$;
comment on function private.clock() is
  'The time, for every rule, default and comparison. A function reads it once, after it holds its locks. '
  'Production cannot change it; tests replace the function in their own database.';
revoke all on function private.clock from public, anon, authenticated, service_role;

create function private.new_id()
returns uuid
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_milliseconds bigint := floor(extract(epoch from private.clock()) * 1000);
begin
  -- Version 7: the milliseconds in front of what is random, and the two bits that make a 7 of the version's 4.
  return encode(set_bit(set_bit(
    overlay(uuid_send(gen_random_uuid()) placing substring(int8send(v_milliseconds) from 3) from 1), 52, 1
  ), 53, 1), 'hex')::uuid;
end;
$$;
comment on function private.new_id() is
  'A new id (UUID, version 7). Ids that grow with time stand side by side in every index, whose pages fill, and few of '
  'which are written at a time.';
revoke all on function private.new_id from public, anon, authenticated, service_role;

-- Errors --------------------------------------------------------------------------------------------------------

create table private.error_codes (
  code text primary key,
  http_status integer not null,
  meaning text not null,
  constraint code_is_snake_case check (code ~ '^[a-z][a-z_]*$'),
  constraint http_status_is_a_client_error check (http_status between 400 and 499)
);
comment on table private.error_codes is
  'Every error the engine raises: a stable code (the message), its HTTP status (SQLSTATE PTxyz), what it means.';
alter table private.error_codes enable row level security;
revoke all on table private.error_codes from public, anon, authenticated, service_role;
create policy "nobody reads error codes directly" on private.error_codes using (false);

insert into private.error_codes (code, http_status, meaning) values
  ('not_authenticated', 401, 'The call carries no user.'),
  ('payment_required', 402, 'This session has to be paid for through checkout.'),
  ('insufficient_credit', 402, 'The credit of the customer does not cover the price.'),
  ('free_session_used', 402, 'The customer has used the free sessions there are.'),
  ('role_required', 403, 'The caller does not have the role this call needs.'),
  ('session_not_found', 404, 'There is no such session for this caller.'),
  ('assignment_not_found', 404, 'There is no such assignment for this caller.'),
  ('plan_not_found', 404, 'There is no such plan, or it is not sold any more.'),
  ('file_not_found', 404, 'There is no such file for this caller.'),
  ('quote_not_found', 404, 'There is no such quote for this caller.'),
  ('notification_not_found', 404, 'There is no such notification for this caller.'),
  ('payment_not_found', 404, 'There is no such payment.'),
  ('payout_not_found', 404, 'There is no such payout.'),
  ('active_session_exists', 409, 'The customer already has an active session; the detail is its id.'),
  ('illegal_transition', 409, 'The state machine has no such arc.'),
  ('state_without_proof', 409, 'A session may not end while money is still held for it.'),
  ('assignment_taken', 409, 'Another mechanic accepted first.'),
  ('mechanic_busy', 409, 'The mechanic already serves as many sessions as allowed.'),
  ('not_both_present', 409, 'The meter starts when both have joined.'),
  ('session_not_active', 409, 'The session is not in a state that allows this.'),
  ('session_not_completed', 409, 'This is possible only after a completed session.'),
  ('summary_already_submitted', 409, 'The session already has its summary.'),
  ('idempotency_conflict', 409, 'The same key was used with other arguments.'),
  ('extension_limit', 409, 'The session would become longer than allowed.'),
  ('refund_exceeds_payment', 409, 'More than what is left of the payment.'),
  ('quote_already_open', 409, 'The session already has an open quote.'),
  ('quote_already_decided', 409, 'The quote has been decided.'),
  ('session_locked', 409, 'Another call holds the session; try again.'),
  ('session_ended', 410, 'The session is over.'),
  ('file_too_large', 413, 'The file is larger than allowed.'),
  ('unsupported_file_type', 415, 'Files of this type are not accepted.'),
  ('invalid_argument', 422, 'An argument is wrong; the detail names it.');

create function private.fail(p_code text, p_detail text default null, p_hint text default null)
returns void
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_error private.error_codes;
begin
  select e.* into v_error from private.error_codes e where e.code = p_code;
  if v_error.code is null then
    raise exception 'unknown error code %', p_code;
  end if;
  raise exception using
    errcode = 'PT' || v_error.http_status,
    message = v_error.code,
    detail = coalesce(p_detail, v_error.meaning),
    hint = coalesce(p_hint, '');
end;
$$;
comment on function private.fail(text, text, text) is
  'Raises one of private.error_codes as PTxyz: message is the code, detail a sentence, hint what to do.';
revoke all on function private.fail from public, anon, authenticated, service_role;

-- Who is calling ------------------------------------------------------------------------------------------------

create function private.caller()
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return coalesce(nullif(current_setting('role'), 'none'), session_user);
end;
$$;
comment on function private.caller() is
  'The database role that calls, seen through security definer functions: the role set, else the login.';
revoke all on function private.caller from public, anon, authenticated, service_role;

create function private.is_system()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return private.caller() in ('postgres', 'service_role', 'supabase_admin');
end;
$$;
comment on function private.is_system() is
  'Whether the system calls: pg_cron, an edge function with the secret key, or an operator.';
revoke all on function private.is_system from public, anon, authenticated, service_role;

create function private.claimed_user()
returns uuid
language plpgsql
stable
set search_path = ''
as $$
begin
  if private.caller() <> 'authenticated' then
    return null;
  end if;
  return auth.uid();
exception
  when invalid_text_representation then
    return null;
end;
$$;
comment on function private.claimed_user() is
  'The user of the verified token when a signed-in user calls, else null. Never an error.';
revoke all on function private.claimed_user from public, anon, authenticated, service_role;

create function private.require_user()
returns uuid
language plpgsql
stable
set search_path = ''
as $$
declare
  v_user uuid := private.claimed_user();
begin
  if v_user is not null then
    return v_user;
  end if;
  if private.caller() in ('anon', 'authenticated') or private.is_system() then
    perform private.fail('not_authenticated', 'This call needs a signed-in user.', 'Sign in and send the token.');
  end if;
  perform private.fail('role_required', format('The role %s may not call the engine.', private.caller()));
  return null;
end;
$$;
comment on function private.require_user() is
  'The signed-in user, or not_authenticated. The identity is never a parameter.';
revoke all on function private.require_user from public, anon, authenticated, service_role;

-- Operations log ------------------------------------------------------------------------------------------------

create table private.ops_log (
  id bigint generated always as identity primary key,
  kind text not null,
  session_id uuid,
  actor_id uuid,
  actor_role text not null,
  detail jsonb not null default '{}',
  created_at timestamptz not null default private.clock()
);
comment on table private.ops_log is
  'What operators and jobs did, and what failed without stopping its caller. Not part of a session''s proof.';
create index ops_log_kind_created_at_idx on private.ops_log (kind, created_at);
create index ops_log_created_at_idx on private.ops_log (created_at);
create index ops_log_session_id_idx on private.ops_log (session_id) where session_id is not null;
alter table private.ops_log enable row level security;
revoke all on table private.ops_log from public, anon, authenticated, service_role;
create policy "nobody reads the operations log directly" on private.ops_log using (false);

create function private.log_op(p_kind text, p_session_id uuid, p_detail jsonb)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  insert into private.ops_log (kind, session_id, actor_id, actor_role, detail)
  values (p_kind, p_session_id, private.claimed_user(), private.caller(), p_detail);
end;
$$;
comment on function private.log_op(text, uuid, jsonb) is 'Appends to the operations log who did what, and when.';
revoke all on function private.log_op from public, anon, authenticated, service_role;

create function private.refuse_change()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  raise exception using
    errcode = 'insufficient_privilege',
    message = format('%s is append-only', tg_table_name),
    detail = format('%s is refused for every role.', tg_op),
    hint = 'Correct by appending.';
end;
$$;
comment on function private.refuse_change() is 'Trigger: refuses UPDATE, DELETE and TRUNCATE, the owner''s included.';
revoke all on function private.refuse_change from public, anon, authenticated, service_role;

-- Settings ------------------------------------------------------------------------------------------------------

create function private.setting_problem(
  p_value jsonb, p_kind text, p_is_nullable boolean, p_minimum integer, p_maximum integer, p_choices text[]
)
returns text
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_number jsonb;
begin
  if p_value is null or p_value = 'null' then
    return case when not p_is_nullable then 'must not be null' end;
  end if;
  case p_kind
    when 'integer' then
      return case
        when jsonb_typeof(p_value) <> 'number' or p_value::numeric % 1 <> 0
            or p_value::numeric not between p_minimum and p_maximum
          then format('must be whole and between %s and %s', p_minimum, p_maximum) end;
    when 'boolean' then
      return case when jsonb_typeof(p_value) <> 'boolean' then 'must be true or false' end;
    when 'text' then
      return case
        when jsonb_typeof(p_value) <> 'string' or length(p_value #>> '{}') not between 1 and 500
            -- They become headers of e-mails.
            or p_value #>> '{}' ~ '[[:cntrl:]]'
          then 'must be one line of text, 1 to 500 characters' end;
    when 'choice' then
      return case
        when jsonb_typeof(p_value) <> 'string' or p_value #>> '{}' <> all (p_choices)
          then 'must be one of ' || array_to_string(p_choices, ', ') end;
    else
      if jsonb_typeof(p_value) <> 'array' or jsonb_array_length(p_value) > 10 then
        return 'must be a list of at most 10 whole numbers';
      end if;
      for v_number in select n.value from jsonb_array_elements(p_value) as n (value) loop
        if jsonb_typeof(v_number) <> 'number' or (v_number #>> '{}')::numeric % 1 <> 0
            or (v_number #>> '{}')::numeric not between p_minimum and p_maximum then
          return format('must be whole and between %s and %s', p_minimum, p_maximum);
        end if;
      end loop;
      return null;
  end case;
end;
$$;
comment on function private.setting_problem(jsonb, text, boolean, integer, integer, text[]) is
  'What is wrong with a value for a setting, or null. The one rule for writing and for reading.';
revoke all on function private.setting_problem from public, anon, authenticated, service_role;

create table private.settings (
  key text primary key,
  value jsonb not null,
  kind text not null,
  is_nullable boolean not null default false,
  minimum integer,
  maximum integer,
  choices text[],
  description text not null,
  updated_at timestamptz not null default private.clock(),
  -- Found when it is written, whoever writes, so that reading costs nothing.
  problem text generated always as (
    private.setting_problem(value, kind, is_nullable, minimum, maximum, choices)
  ) stored,
  constraint kind_is_known check (kind in ('integer', 'integers', 'boolean', 'text', 'choice')),
  constraint a_choice_has_choices check ((kind = 'choice') = (choices is not null))
);
comment on table private.settings is
  'The numbers of the rules. A missing or unparsable value is an error where it is read, never a silent default.';
alter table private.settings enable row level security;
revoke all on table private.settings from public, anon, authenticated, service_role;
create policy "nobody reads settings directly" on private.settings using (false);

insert into private.settings (key, value, kind, is_nullable, minimum, maximum, choices, description) values
  ('min_billable_seconds', '60', 'integer', false, 0, 86400, null, 'A started session this long is completed.'),
  ('billable_basis', '"elapsed"', 'choice', false, null, null, '{elapsed,both_present}', 'What is billed.'),
  ('orphan_after_minutes', '120', 'integer', false, 1, 525600, null, 'Waiting sessions expire after this.'),
  ('max_session_minutes', '180', 'integer', false, 1, 1440, null, 'No session is longer, extensions included.'),
  ('unattended_after_minutes', 'null', 'integer', true, 1, 525600, null, 'Pending sessions become unattended.'),
  ('no_show_after_seconds', '300', 'integer', false, 0, 86400, null, 'The other waited so long: a no-show.'),
  ('warning_minutes', '[5, 1]', 'integers', false, 1, 180, null, 'Warnings so long before the end.'),
  ('presence_timeout_seconds', '90', 'integer', false, 5, 86400, null, 'Silent so long: disconnected.'),
  ('reconnect_grace_seconds', '300', 'integer', false, 0, 86400, null, 'Time to come back.'),
  ('chat_reconnect_grace_seconds', '900', 'integer', false, 0, 86400, null, 'Time to come back to a chat.'),
  ('early_join_minutes', '10', 'integer', false, 0, 1440, null, 'A booked session can be joined so early.'),
  ('max_file_bytes', '10485760', 'integer', false, 1, 1073741824, null, 'The largest file.'),
  ('signed_url_seconds', '3600', 'integer', false, 1, 604800, null, 'A signed address is valid so long.'),
  ('retry_failed_seconds', '300', 'integer', false, 1, 86400, null, 'A row that failed is left alone so long.'),
  ('health_no_show_bps', '1000', 'integer', false, 0, 10000, null, 'More no-shows lower the health score.'),
  ('health_expired_bps', '500', 'integer', false, 0, 10000, null, 'More expired sessions lower the score.'),
  ('health_min_completion_bps', 'null', 'integer', true, 0, 10000, null, 'Fewer completed sessions alert.'),
  ('health_min_total', '5', 'integer', false, 0, 1000000, null, 'Rates count from so many sessions on.'),
  ('max_rtt_ms', '300', 'integer', false, 1, 60000, null, 'Slower networks fail the device preflight.'),
  ('mechanic_share_bps', '7000', 'integer', false, 0, 10000, null, 'The part of a mechanic.'),
  ('referral_fee_bps', '200', 'integer', false, 0, 10000, null, 'The part of who referred the mechanic.'),
  ('escalated_quote_bonus_bps', '500', 'integer', false, 0, 10000, null, 'The bonus for an approved quote.'),
  ('max_quote_cents', '500000', 'integer', false, 1, 100000000, null, 'The largest quote.'),
  ('max_quote_bonus_cents', '10000', 'integer', false, 0, 100000000, null, 'The largest bonus.'),
  ('payout_delay_minutes', '1440', 'integer', false, 0, 525600, null, 'A payout is due so long after the end.'),
  ('dispute_loss_bps', '7000', 'integer', false, 0, 10000, null, 'A mechanic''s part of a lost dispute.'),
  ('free_sessions_per_customer', '1', 'integer', false, 0, 1000000, null, 'Free sessions of a customer.'),
  ('max_active_sessions_per_mechanic', '1', 'integer', false, 1, 1000, null, 'Sessions at the same time.'),
  ('preferred_mechanic_window_seconds', '120', 'integer', false, 0, 86400, null, 'Seen by nobody else so long.'),
  ('nudge_mechanic_after_seconds', '180', 'integer', false, 0, 86400, null, 'Accepted, not live: nudge.'),
  ('alert_support_after_seconds', '120', 'integer', false, 0, 86400, null, 'Both present, not live: alert.'),
  ('support_email', '"support@example.com"', 'text', false, null, null, null, 'Alerts go here.'),
  ('mail_from', '"support@example.com"', 'text', false, null, null, null, 'The sender of e-mails.'),
  ('site_url', '"http://127.0.0.1:3000"', 'text', false, null, null, null, 'Where the front end is.'),
  ('keep_payloads_days', '90', 'integer', false, 30, 36500, null, 'What is done is emptied after so long.'),
  ('stripe_livemode', 'false', 'boolean', false, null, null, null, 'Which events of Stripe count.');

create function private.setting(p_key text)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  v_value jsonb;
  v_problem text;
begin
  select s.value, s.problem into v_value, v_problem from private.settings s where s.key = p_key;
  if not found then
    v_problem := 'is missing';
  end if;
  if v_problem is not null then
    raise exception using
      errcode = 'config_file_error',
      message = 'setting_invalid',
      detail = format('The setting %s %s.', p_key, v_problem),
      hint = 'An admin mends it with set_setting.';
  end if;
  return nullif(v_value, 'null');
end;
$$;
comment on function private.setting(text) is
  'The value of a setting. A missing or unparsable one raises setting_invalid (SQLSTATE F0000).';
revoke all on function private.setting from public, anon, authenticated, service_role;

create function private.setting_integer(p_key text)
returns integer
language plpgsql
stable
set search_path = ''
as $$
begin
  return (private.setting(p_key) #>> '{}')::integer;
end;
$$;
comment on function private.setting_integer(text) is 'A setting that is a whole number, or null where that is allowed.';
revoke all on function private.setting_integer from public, anon, authenticated, service_role;

create function private.setting_text(p_key text)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return private.setting(p_key) #>> '{}';
end;
$$;
comment on function private.setting_text(text) is 'A setting that is a text or a choice.';
revoke all on function private.setting_text from public, anon, authenticated, service_role;

create type private.billing_rule as (min_billable_seconds integer, source text, billable_basis text);
comment on type private.billing_rule is 'The rule values an end is judged by, and where they came from.';

create function private.billing_rule()
returns private.billing_rule
language plpgsql
stable
set search_path = ''
as $$
declare
  v_database text;
  v_connection text;
  v_raw text;
  v_rule private.billing_rule;
begin
  v_rule.billable_basis := private.setting_text('billable_basis');
  select split_part(c.entry, '=', 2) into v_database
  from pg_catalog.pg_db_role_setting s
  cross join unnest(s.setconfig) as c (entry)
  where s.setdatabase = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
    and s.setrole = 0
    and c.entry like 'app.min\_billable\_seconds=%';
  if private.is_system() then
    v_connection := nullif(current_setting('app.min_billable_seconds', true), '');
  end if;

  v_raw := coalesce(v_connection, v_database);
  if v_raw is null then
    v_rule.min_billable_seconds := private.setting_integer('min_billable_seconds');
    v_rule.source := 'settings';
    return v_rule;
  end if;
  if v_raw !~ '^[0-9]{1,6}$' then
    raise exception using
      errcode = 'config_file_error',
      message = 'setting_invalid',
      detail = 'app.min_billable_seconds is not a whole number of seconds.',
      hint = 'Set it to a number, or reset it.';
  end if;
  v_rule.min_billable_seconds := v_raw::integer;
  v_rule.source := case when v_connection is distinct from v_database and v_connection is not null
    then 'connection' else 'database' end;
  return v_rule;
end;
$$;
comment on function private.billing_rule() is
  'The shortest billable session and the basis. app.min_billable_seconds wins when set for the database, or on the '
  'connection of a system caller; what a client sets on its own connection is ignored.';
revoke all on function private.billing_rule from public, anon, authenticated, service_role;
