-- Outbox: effects in the outside world, written in the same transaction as the state that causes them and carried out
-- by workers afterwards, at least once each and recorded once.
--
-- A worker claims rows for a while, acts, and completes or fails each with the token of its lease; whose lease has run
-- out has lost the row. Rows of one session and topic go out in order. What Stripe is asked for carries an idempotency
-- key that changes only after a definitive refusal: after an answer that never came the same key is used again, and
-- not before somebody has asked Stripe whether it is done already.

create table private.outbox (
  id bigint generated always as identity primary key,
  topic text not null,
  key text not null unique,
  payload jsonb,
  session_id uuid,
  status text not null default 'pending',
  attempts integer not null default 0,
  generation integer not null default 1,
  is_ambiguous boolean not null default false,
  first_attempt_at timestamptz,
  next_attempt_at timestamptz not null default private.clock(),
  leased_until timestamptz,
  lease_token uuid,
  leased_by text,
  last_error text,
  result jsonb,
  created_at timestamptz not null default private.clock(),
  done_at timestamptz,
  constraint topic_is_known check (
    topic in (
      'email', 'stripe.transfer', 'stripe.refund', 'stripe.transfer_reversal', 'stripe.expire_checkout',
      'livekit.delete_room', 'storage.remove', 'crm.track', 'support.alert', 'push', 'webhook'
    )
  ),
  constraint key_is_bounded check (length(key) between 1 and 200),
  constraint payload_is_an_object check (jsonb_typeof(payload) = 'object'),
  constraint status_is_known check (status in ('pending', 'leased', 'done', 'dead')),
  constraint only_a_done_row_is_emptied check (payload is not null or status = 'done'),
  constraint only_a_leased_row_has_a_lease
    check ((status = 'leased') = (lease_token is not null) and (lease_token is null) = (leased_until is null)),
  constraint only_a_done_row_has_done_at check ((status = 'done') = (done_at is not null))
);
comment on table private.outbox is
  'What is to be done outside, once each (key), and how far it has come. The key of what is done stays for ever, its '
  'payload for keep_payloads_days (Stripe''s for ever).';
create index outbox_claimable_idx on private.outbox ((coalesce(leased_until, next_attempt_at)))
where status in ('pending', 'leased');
create index outbox_leased_idx on private.outbox (leased_until) where status = 'leased';
create index outbox_session_topic_idx on private.outbox (session_id, topic, id) where session_id is not null;
create index outbox_dead_idx on private.outbox (id) where status = 'dead';
create index outbox_to_empty_idx on private.outbox (done_at)
where status = 'done' and payload is not null and topic not like 'stripe.%';
alter table private.outbox enable row level security;
revoke all on table private.outbox from public, anon, authenticated, service_role;
create policy "nobody reads the outbox directly" on private.outbox using (false);

create function private.enqueue(p_topic text, p_key text, p_payload jsonb, p_session_id uuid default null)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  insert into private.outbox (topic, key, payload, session_id)
  values (p_topic, p_key, p_payload, p_session_id)
  on conflict (key) do nothing;
  return found;
end;
$$;
comment on function private.enqueue(text, text, jsonb, uuid) is
  'Puts an effect into the outbox with this transaction; says whether it is new. The only writer of new rows.';
revoke all on function private.enqueue from public, anon, authenticated, service_role;

create function private.alert_support(p_key text, p_severity text, p_subject text, p_detail jsonb)
returns boolean
language sql
volatile
set search_path = ''
as $$
  select private.enqueue('support.alert', 'alert:' || p_key, jsonb_build_object(
    'from', private.setting_text('mail_from'), 'to', private.setting_text('support_email'), 'severity', p_severity,
    'subject', p_subject, 'detail', p_detail
  ))
$$;
comment on function private.alert_support(text, text, text, jsonb) is 'Tells support, once per key.';
revoke all on function private.alert_support from public, anon, authenticated, service_role;

create function private.is_blocked(p_row private.outbox)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  -- What was never sent cannot come back.
  if p_row.topic = 'stripe.transfer_reversal' and (p_row.payload ->> 'transfer' is null or exists (
    select from private.outbox o where o.key = p_row.payload ->> 'outbox_key' and o.status <> 'done'
  )) then
    return true;
  end if;
  return p_row.session_id is not null and p_row.topic <> 'email' and exists (
    select
    from private.outbox o
    where o.session_id = p_row.session_id
      and o.topic = p_row.topic
      and o.id < p_row.id
      and (o.status in ('pending', 'leased') or (o.status = 'dead' and o.topic like 'stripe.%'))
  );
end;
$$;
comment on function private.is_blocked(private.outbox) is
  'Whether an earlier row of the same session and topic has to be finished first, or the transfer that is to be '
  'reversed. E-mails have no order.';
revoke all on function private.is_blocked from public, anon, authenticated, service_role;

create function private.max_tries()
returns integer
language plpgsql
immutable
set search_path = ''
as $$
begin
  return 12;
end;
$$;
comment on function private.max_tries() is 'How often an effect is tried before it is dead.';
revoke all on function private.max_tries from public, anon, authenticated, service_role;

create function private.tell_of_dead_row(p_row private.outbox)
returns void
language plpgsql
set search_path = ''
as $$
begin
  -- An alert that cannot be delivered would only make another one.
  if p_row.topic <> 'support.alert' then
    perform private.alert_support(
      -- A revived row that dies again is told of again.
      format('outbox:%s:%s', p_row.id, extract(epoch from private.clock())), 'critical',
      'An effect could not be carried out', jsonb_build_object(
        'outbox_id', p_row.id, 'topic', p_row.topic, 'key', p_row.key, 'session_id', p_row.session_id,
        'error', p_row.last_error
      )
    );
  end if;
end;
$$;
comment on function private.tell_of_dead_row(private.outbox) is 'Tells support of a row that has just died.';
revoke all on function private.tell_of_dead_row from public, anon, authenticated, service_role;

create function private.bury_abandoned(p_limit integer, p_now timestamptz)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_row private.outbox;
begin
  for v_row in
    select o.*
    from private.outbox o
    where o.status = 'leased' and o.leased_until <= p_now and o.attempts >= private.max_tries()
    order by o.leased_until
    limit p_limit
    for no key update skip locked
  loop
    update private.outbox o
    set status = 'dead', is_ambiguous = true, last_error = 'The lease of the last try ran out.', lease_token = null,
        leased_until = null
    where o.id = v_row.id
    returning o.* into v_row;
    perform private.tell_of_dead_row(v_row);
  end loop;
end;
$$;
comment on function private.bury_abandoned(integer, timestamptz) is
  'What ends its workers without a word is not tried for ever: after the last try it is dead. Locks: these rows.';
revoke all on function private.bury_abandoned from public, anon, authenticated, service_role;

create type public.outbox_claim as (
  id bigint,
  topic text,
  key text,
  idempotency_key text,
  payload jsonb,
  session_id uuid,
  attempts integer,
  must_look_first boolean,
  lease_token uuid,
  leased_until timestamptz,
  created_at timestamptz
);
comment on type public.outbox_claim is
  'A claimed row: what to do, and the token that completes it. must_look_first: ask Stripe for it before sending it.';

create function private.claim_outbox(p_worker text, p_limit integer, p_lease_seconds integer)
returns setof public.outbox_claim
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_limit integer := private.batch_limit(p_limit);
  v_now timestamptz := private.clock();
begin
  perform private.require_system();
  if p_worker is null or length(p_worker) not between 1 and 200 then
    perform private.fail('invalid_argument', 'p_worker must have 1 to 200 characters.');
  end if;
  if p_lease_seconds is null or p_lease_seconds not between 1 and 3600 then
    perform private.fail('invalid_argument', 'p_lease_seconds must be between 1 and 3600.');
  end if;
  perform private.bury_abandoned(v_limit, v_now);
  return query
  with claimable as (
    select o.id, coalesce(o.leased_until, o.next_attempt_at) as due_at
    from private.outbox o
    where o.status in ('pending', 'leased')
      and coalesce(o.leased_until, o.next_attempt_at) <= v_now
      and not private.is_blocked(o)
    order by coalesce(o.leased_until, o.next_attempt_at), o.id
    limit v_limit
    for no key update skip locked
  ), claimed as (
    update private.outbox o
    set status = 'leased',
        attempts = o.attempts + 1,
        -- Nobody knows what a worker did whose lease has run out.
        is_ambiguous = o.is_ambiguous or o.status = 'leased',
        first_attempt_at = coalesce(o.first_attempt_at, v_now),
        lease_token = gen_random_uuid(),
        leased_until = v_now + make_interval(secs => p_lease_seconds),
        leased_by = p_worker
    from claimable c
    where o.id = c.id
    returning o.*, c.due_at
  )
  select
    c.id, c.topic, c.key, format('%s#%s', c.key, c.generation), c.payload, c.session_id, c.attempts,
    c.is_ambiguous or c.first_attempt_at < v_now - interval '20 hours', c.lease_token, c.leased_until,
    c.created_at
  from claimed c
  order by c.due_at, c.id;
end;
$$;
comment on function private.claim_outbox(text, integer, integer) is
  'Behind public.claim_outbox. Locks: rows of the outbox, skipping locked ones.';
revoke all on function private.claim_outbox from public, anon, authenticated, service_role;
grant execute on function private.claim_outbox to service_role;

create function public.claim_outbox(p_worker text, p_limit integer default 10, p_lease_seconds integer default 60)
returns setof public.outbox_claim
language sql
volatile
set search_path = ''
as $$
  select * from private.claim_outbox(p_worker, p_limit, p_lease_seconds)
$$;
comment on function public.claim_outbox(text, integer, integer) is
  'Leases at most p_limit effects that are due to a worker; one that is not completed in time is claimed again. '
  'Send Stripe idempotency_key and metadata.outbox_key (the key). The system. Errors: invalid_argument.';
revoke all on function public.claim_outbox from public, anon, authenticated, service_role;
grant execute on function public.claim_outbox to service_role;

create function private.leased_row(p_id bigint, p_lease_token uuid)
returns private.outbox
language plpgsql
set search_path = ''
as $$
declare
  v_row private.outbox;
begin
  select o.* into v_row
  from private.outbox o
  where o.id = p_id and o.status = 'leased' and o.lease_token = p_lease_token
  for no key update;
  return v_row;
end;
$$;
comment on function private.leased_row(bigint, uuid) is 'The row of a lease that is still held, locked; else null.';
revoke all on function private.leased_row from public, anon, authenticated, service_role;

create function private.complete_outbox(p_id bigint, p_lease_token uuid, p_result jsonb)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_row private.outbox;
begin
  perform private.require_system();
  v_row := private.leased_row(p_id, p_lease_token);
  if v_row.id is null then
    return false;
  end if;
  update private.outbox o
  set status = 'done', done_at = private.clock(), result = p_result, last_error = null, is_ambiguous = false,
      lease_token = null, leased_until = null
  where o.id = p_id;
  return true;
end;
$$;
comment on function private.complete_outbox(bigint, uuid, jsonb) is 'Behind public.complete_outbox. Locks: that row.';
revoke all on function private.complete_outbox from public, anon, authenticated, service_role;
grant execute on function private.complete_outbox to service_role;

create function public.complete_outbox(p_id bigint, p_lease_token uuid, p_result jsonb default null)
returns boolean
language sql
volatile
set search_path = ''
as $$
  select private.complete_outbox(p_id, p_lease_token, p_result)
$$;
comment on function public.complete_outbox(bigint, uuid, jsonb) is
  'Records that a claimed effect is done, with what the outside answered. false: the lease was lost. The system.';
revoke all on function public.complete_outbox from public, anon, authenticated, service_role;
grant execute on function public.complete_outbox to service_role;

create function private.retry_delay(p_attempts integer)
returns interval
language sql
volatile
set search_path = ''
as $$
  select make_interval(secs => least(3600, 5 * 2 ^ least(p_attempts, 12)) * (0.5 + random() / 2))
$$;
comment on function private.retry_delay(integer) is
  'How long to wait after so many attempts: doubling, at most an hour, between half and all of it.';
revoke all on function private.retry_delay from public, anon, authenticated, service_role;

create function private.fail_outbox(p_id bigint, p_lease_token uuid, p_error text, p_ambiguous boolean)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
declare
  -- Who does not know whether it is ambiguous does not know whether it happened.
  v_ambiguous boolean := coalesce(p_ambiguous, true);
  v_row private.outbox;
begin
  perform private.require_system();
  v_row := private.leased_row(p_id, p_lease_token);
  if v_row.id is null then
    return false;
  end if;
  update private.outbox o
  set status = case when o.attempts >= private.max_tries() then 'dead' else 'pending' end,
      next_attempt_at = private.clock() + private.retry_delay(o.attempts),
      generation = o.generation + case when v_ambiguous then 0 else 1 end,
      is_ambiguous = v_ambiguous,
      last_error = left(p_error, 1000),
      lease_token = null,
      leased_until = null
  where o.id = p_id
  returning o.* into v_row;
  if v_row.status = 'dead' then
    perform private.tell_of_dead_row(v_row);
  end if;
  return true;
end;
$$;
comment on function private.fail_outbox(bigint, uuid, text, boolean) is 'Behind public.fail_outbox. Locks: that row.';
revoke all on function private.fail_outbox from public, anon, authenticated, service_role;
grant execute on function private.fail_outbox to service_role;

create function public.fail_outbox(p_id bigint, p_lease_token uuid, p_error text, p_ambiguous boolean default false)
returns boolean
language sql
volatile
set search_path = ''
as $$
  select private.fail_outbox(p_id, p_lease_token, p_error, p_ambiguous)
$$;
comment on function public.fail_outbox(bigint, uuid, text, boolean) is
  'Records that a claimed effect failed; it is tried again later, twelve times, then dead with an alert. p_ambiguous: '
  'nobody knows whether it happened (time-out, lost connection, 5xx). false: the lease was lost. The system.';
revoke all on function public.fail_outbox from public, anon, authenticated, service_role;
grant execute on function public.fail_outbox to service_role;

create function private.revive_outbox(p_id bigint)
returns void
language sql
volatile
set search_path = ''
as $$
  update private.outbox o
  set status = 'pending', attempts = 0, next_attempt_at = private.clock(), is_ambiguous = true, done_at = null
  where o.id = p_id and o.status in ('dead', 'done')
$$;
comment on function private.revive_outbox(bigint) is
  'Lets an effect be tried again that was given up or answered in vain; outside is asked first. Locks: that row.';
revoke all on function private.revive_outbox from public, anon, authenticated, service_role;

create function private.amend_outbox(p_key text, p_changes jsonb)
returns void
language sql
volatile
set search_path = ''
as $$
  update private.outbox o set payload = o.payload || p_changes where o.key = p_key and o.status <> 'leased'
$$;
comment on function private.amend_outbox(text, jsonb) is
  'Changes what an effect will do that nobody is carrying out, or would do if it were revived. Locks: that row.';
revoke all on function private.amend_outbox from public, anon, authenticated, service_role;

create function private.doubt_outbox(p_key text)
returns void
language sql
volatile
set search_path = ''
as $$
  update private.outbox o
  set is_ambiguous = true
  -- Not "in ('pending', 'leased')", for which the planner may read all that waits instead of one key.
  where o.key = p_key and o.done_at is null and o.status <> 'dead' and not o.is_ambiguous
$$;
comment on function private.doubt_outbox(text) is
  'Somebody says that an effect has happened that nobody has completed: outside is asked before it is sent. Locks: '
  'that row.';
revoke all on function private.doubt_outbox from public, anon, authenticated, service_role;

create function private.settle_outbox(p_key text, p_how text)
returns void
language sql
volatile
set search_path = ''
as $$
  update private.outbox o
  set status = 'done', done_at = private.clock(), lease_token = null, leased_until = null,
      result = jsonb_build_object('resolved', p_how)
  where o.key = p_key and o.status <> 'done'
$$;
comment on function private.settle_outbox(text, text) is
  'Closes an effect that nobody has to carry out any more, whoever holds it. Locks: that row.';
revoke all on function private.settle_outbox from public, anon, authenticated, service_role;

create function private.requeue_outbox(p_id bigint)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_topic text;
begin
  perform private.require_admin();
  select o.topic into v_topic from private.outbox o where o.id = p_id and o.status = 'dead' for no key update;
  if v_topic is null then
    perform private.fail('invalid_argument', 'p_id is not a dead row of the outbox.');
  end if;
  perform private.revive_outbox(p_id);
  perform private.log_op('outbox.requeued', null, jsonb_build_object('outbox_id', p_id, 'topic', v_topic));
  return true;
end;
$$;
comment on function private.requeue_outbox(bigint) is 'Behind public.requeue_outbox. Locks: that row.';
revoke all on function private.requeue_outbox from public, anon, authenticated, service_role;
grant execute on function private.requeue_outbox to authenticated, service_role;

create function public.requeue_outbox(p_id bigint)
returns boolean
language sql
volatile
set search_path = ''
as $$
  select private.requeue_outbox(p_id)
$$;
comment on function public.requeue_outbox(bigint) is
  'Revives a dead effect; the dispatcher asks outside first whether it is done. Admins and the system; logged. '
  'Errors: role_required, invalid_argument.';
revoke all on function public.requeue_outbox from public, anon, authenticated, service_role;
grant execute on function public.requeue_outbox to authenticated, service_role;

create function private.empty_outbox(p_before timestamptz, p_limit integer)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_emptied integer;
begin
  update private.outbox o
  set payload = null, result = null
  where o.id in (
    select d.id
    from private.outbox d
    where d.status = 'done' and d.payload is not null and d.topic not like 'stripe.%' and d.done_at < p_before
    order by d.done_at
    limit p_limit
    for no key update skip locked
  );
  get diagnostics v_emptied = row_count;
  return v_emptied;
end;
$$;
comment on function private.empty_outbox(timestamptz, integer) is
  'Forgets what was sent long ago, and to whom; the key stays, so that nothing is sent again. What Stripe was asked '
  'for is evidence of money and stays. Locks: these rows, skipping locked ones.';
revoke all on function private.empty_outbox from public, anon, authenticated, service_role;

-- The wake-up -----------------------------------------------------------------------------------------------------

create table private.wake_ups (
  only_row boolean primary key default true,
  last_at timestamptz not null,
  constraint there_is_one_row check (only_row)
);
comment on table private.wake_ups is 'When the dispatcher was last woken: once a second is enough.';
alter table private.wake_ups enable row level security;
revoke all on table private.wake_ups from public, anon, authenticated, service_role;
create policy "nobody reads wake ups directly" on private.wake_ups using (false);
insert into private.wake_ups (last_at) values ('-infinity');

create function private.wake_dispatcher()
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_url text;
  v_secret text;
  v_now timestamptz := private.clock();
begin
  if not exists (select from private.wake_ups w where w.last_at <= v_now - interval '1 second')
      or to_regclass('vault.decrypted_secrets') is null
      or to_regprocedure('net.http_post(text,jsonb,jsonb,jsonb,integer)') is null then
    return;
  end if;
  select s.decrypted_secret into v_url from vault.decrypted_secrets s where s.name = 'project_url';
  select s.decrypted_secret into v_secret from vault.decrypted_secrets s where s.name = 'dispatch_secret';
  if v_url is null or v_secret is null then
    return;
  end if;
  -- Who finds the row held leaves the waking to its holder, and never waits.
  perform from private.wake_ups w where w.last_at <= v_now - interval '1 second' for no key update skip locked;
  if not found then
    return;
  end if;
  update private.wake_ups w set last_at = v_now where w.only_row;
  perform net.http_post(
    url => v_url || '/functions/v1/dispatch-outbox',
    body => '{}'::jsonb,
    headers => jsonb_build_object('Content-Type', 'application/json', 'Authorization', 'Bearer ' || v_secret)
  );
exception
  when others then
    -- The job comes in any case.
    perform private.log_op('outbox.wake_failed', null, jsonb_build_object('error', sqlerrm));
end;
$$;
comment on function private.wake_dispatcher() is
  'Wakes the dispatch-outbox function after this transaction, at most once a second, where pg_net and the vault '
  'secrets project_url and dispatch_secret are there. A failure is logged and stops nobody.';
revoke all on function private.wake_dispatcher from public, anon, authenticated, service_role;

create function private.wake_for_new_rows()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.wake_dispatcher();
  return null;
end;
$$;
comment on function private.wake_for_new_rows() is 'Trigger: wakes the dispatcher for whoever enqueues.';
revoke all on function private.wake_for_new_rows from public, anon, authenticated, service_role;

create trigger new_rows_wake_the_dispatcher
after insert on private.outbox
for each statement execute function private.wake_for_new_rows();

create function private.wake_for_due_rows()
returns void
language plpgsql
set search_path = ''
as $$
begin
  if exists (
    select
    from private.outbox o
    where o.status in ('pending', 'leased')
      and coalesce(o.leased_until, o.next_attempt_at) <= private.clock()
      and not private.is_blocked(o)
  ) then
    perform private.wake_dispatcher();
  end if;
end;
$$;
comment on function private.wake_for_due_rows() is
  'Wakes the dispatcher when something may be claimed: what is to be tried again, and what nobody was woken for.';
revoke all on function private.wake_for_due_rows from public, anon, authenticated, service_role;
