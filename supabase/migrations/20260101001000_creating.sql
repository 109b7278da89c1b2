-- Creating: one factory for every session, and the lists a person sees of his own sessions.
--
-- One active session per customer is a promise of the unique index; the look under the profile's lock only gives the
-- better answer. The same idempotency key gives the same session, whatever came in between.

create table private.creation_keys (
  customer_user_id uuid not null,
  key text not null,
  arguments_digest text not null,
  session_id uuid not null,
  created_at timestamptz not null default private.clock(),
  primary key (customer_user_id, key)
);
comment on table private.creation_keys is 'Idempotency keys of create_session: which call made which session.';
alter table private.creation_keys enable row level security;
revoke all on table private.creation_keys from public, anon, authenticated, service_role;
create policy "nobody reads creation keys directly" on private.creation_keys using (false);

create function private.valid_intake(p_intake jsonb)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  if p_intake is null or p_intake = 'null' then
    return '{}'::jsonb;
  end if;
  if jsonb_typeof(p_intake) <> 'object' then
    perform private.fail('invalid_argument', 'p_intake must be an object.');
  end if;
  if octet_length(p_intake::text) > 16384 or (select count(*) from jsonb_object_keys(p_intake)) > 50 then
    perform private.fail('invalid_argument', 'p_intake has at most 16 KB and 50 keys.');
  end if;
  return p_intake;
end;
$$;
comment on function private.valid_intake(jsonb) is 'What the customer says of the problem, bounded; unknown keys stay.';
revoke all on function private.valid_intake from public, anon, authenticated, service_role;

create function private.make_session(
  p_customer_id uuid, p_plan public.plans, p_funding text, p_price_cents integer, p_intake jsonb,
  p_preferred_mechanic_id uuid, p_scheduled_for timestamptz, p_now timestamptz
)
returns public.sessions
language plpgsql
set search_path = ''
as $$
declare
  v_session public.sessions;
  v_id uuid := private.new_id();
  v_status public.session_status := case when p_scheduled_for is null then 'pending' else 'scheduled' end
    ::public.session_status;
  v_window interval := interval '0';
  v_violated text;
begin
  perform private.announce(v_id, v_status, 'created', p_now, p_customer_id, jsonb_strip_nulls(jsonb_build_object(
    'plan', p_plan.slug, 'funding', p_funding, 'price_cents', p_price_cents, 'currency', p_plan.currency,
    'duration_minutes', p_plan.duration_minutes, 'scheduled_for', p_scheduled_for,
    'preferred_mechanic_id', p_preferred_mechanic_id
  )));
  begin
    insert into public.sessions as s (
      id, customer_user_id, preferred_mechanic_id, plan, type, status, funding, price_cents, currency, intake,
      scheduled_for, duration_minutes, last_event_at, created_at
    )
    values (
      v_id, p_customer_id, p_preferred_mechanic_id, p_plan.slug, p_plan.type, v_status, p_funding, p_price_cents,
      p_plan.currency, p_intake, p_scheduled_for, p_plan.duration_minutes, p_now, p_now
    )
    returning s.* into v_session;
  exception
    when unique_violation then
      get stacked diagnostics v_violated = constraint_name;
      if v_violated <> 'uq_active_session_per_customer' then
        raise;
      end if;
      perform private.refuse_second_session(p_customer_id);
  end;
  insert into public.session_participants (session_id, user_id, role) values (v_id, p_customer_id, 'customer');
  if p_preferred_mechanic_id is not null
      and exists (select from public.mechanics m where m.id = p_preferred_mechanic_id and m.is_accepting) then
    v_window := make_interval(secs => private.setting_integer('preferred_mechanic_window_seconds'));
  end if;
  insert into public.session_assignments (
    session_id, preferred_mechanic_id, visible_to_all_at, announced_at, created_at
  )
  values (
    v_id, p_preferred_mechanic_id, p_now + v_window, case when v_window = interval '0' then p_now end, p_now
  );
  return v_session;
end;
$$;
comment on function private.make_session(
  uuid, public.plans, text, integer, jsonb, uuid, timestamptz, timestamptz
) is
  'The factory: session, participant, assignment and the event created, or nothing. Every kind of session is made '
  'here. Errors: active_session_exists. Locks: the customer''s profile, held by the caller.';
revoke all on function private.make_session from public, anon, authenticated, service_role;

create function private.refuse_second_session(p_customer_id uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_active uuid;
begin
  select s.id into v_active
  from public.sessions s
  where s.customer_user_id = p_customer_id and s.status < 'completed';
  perform private.fail('active_session_exists', v_active::text, 'Go on with that session, or end it first.');
end;
$$;
comment on function private.refuse_second_session(uuid) is 'Raises active_session_exists with the id as its detail.';
revoke all on function private.refuse_second_session from public, anon, authenticated, service_role;

create function private.settle_active_session(p_customer_id uuid)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  v_session public.sessions;
begin
  select s.* into v_session
  from public.sessions s
  where s.customer_user_id = p_customer_id and s.status < 'completed';
  if v_session.id is null then
    return false;
  end if;
  if private.is_over(v_session, private.session_clock(v_session)) then
    v_session := private.lock_session(v_session.id);
    v_session := private.settle(v_session, private.session_clock(v_session));
  end if;
  return v_session.status < 'completed';
end;
$$;
comment on function private.settle_active_session(uuid) is
  'Whether the customer has an active session, after writing down the end of one that is over. Locks: session.';
revoke all on function private.settle_active_session from public, anon, authenticated, service_role;

create function private.digest_of_order(
  p_plan text, p_funding text, p_intake jsonb, p_preferred_mechanic_id uuid, p_scheduled_for timestamptz,
  p_idempotency_key text
)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  if length(p_idempotency_key) not between 1 and 200 then
    perform private.fail('invalid_argument', 'p_idempotency_key has 1 to 200 characters.');
  end if;
  return encode(sha256(convert_to(jsonb_build_array(
    p_plan, p_funding, p_intake, p_preferred_mechanic_id, extract(epoch from p_scheduled_for)
  )::text, 'UTF8')), 'hex');
end;
$$;
comment on function private.digest_of_order(text, text, jsonb, uuid, timestamptz, text) is
  'What a call asked for, to compare with another of the same idempotency key. Errors: invalid_argument.';
revoke all on function private.digest_of_order from public, anon, authenticated, service_role;

create function private.lock_customer(p_customer_id uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform
  from public.profiles p
  where p.id = p_customer_id and p.deleted_at is null
  for no key update;
  if not found then
    perform private.fail('not_authenticated', 'The user of this token does not exist any more.', 'Sign in again.');
  end if;
end;
$$;
comment on function private.lock_customer(uuid) is
  'One customer orders one thing at a time. Locks: his profile. Errors: not_authenticated.';
revoke all on function private.lock_customer from public, anon, authenticated, service_role;

create function private.valid_order(
  p_customer_id uuid, p_plan text, p_preferred_mechanic_id uuid, p_scheduled_for timestamptz, p_now timestamptz
)
returns public.plans
language plpgsql
stable
set search_path = ''
as $$
declare
  v_plan public.plans;
begin
  select p.* into v_plan from public.plans p where p.slug = p_plan and p.is_active;
  if v_plan.slug is null then
    perform private.fail('plan_not_found');
  end if;
  if p_scheduled_for <= p_now or p_scheduled_for > p_now + interval '366 days' then
    perform private.fail('invalid_argument', 'p_scheduled_for must be in the future, at most a year away.');
  end if;
  if p_preferred_mechanic_id is not null and (p_preferred_mechanic_id = p_customer_id or not exists (
    select
    from public.mechanics m
    join public.profiles p on p.id = m.id
    where m.id = p_preferred_mechanic_id and m.status = 'approved' and p.deleted_at is null
  )) then
    perform private.fail(
      'invalid_argument', 'p_preferred_mechanic_id is not an approved mechanic other than the caller.'
    );
  end if;
  return v_plan;
end;
$$;
comment on function private.valid_order(uuid, text, uuid, timestamptz, timestamptz) is
  'The plan of an order that can be made. Errors: plan_not_found, invalid_argument.';
revoke all on function private.valid_order from public, anon, authenticated, service_role;

create function private.create_session(
  p_plan text, p_funding text, p_intake jsonb, p_preferred_mechanic_id uuid, p_scheduled_for timestamptz,
  p_idempotency_key text
)
returns public.sessions
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_customer uuid := private.require_user();
  v_intake jsonb := private.valid_intake(p_intake);
  v_digest text := private.digest_of_order(
    p_plan, p_funding, v_intake, p_preferred_mechanic_id, p_scheduled_for, p_idempotency_key
  );
  v_plan public.plans;
  v_key private.creation_keys;
  v_session public.sessions;
  v_now timestamptz;
  v_violated text;
begin
  perform private.lock_customer(v_customer);
  v_now := private.clock();

  select k.* into v_key
  from private.creation_keys k
  where k.customer_user_id = v_customer and k.key = p_idempotency_key;
  if v_key.session_id is not null then
    if v_key.arguments_digest <> v_digest then
      perform private.fail(
        'idempotency_conflict', 'p_idempotency_key was used with other arguments.', 'Use a new key.'
      );
    end if;
    select s.* into v_session from public.sessions s where s.id = v_key.session_id;
    if private.is_due(v_session, private.session_clock(v_session)) then
      v_session := private.lock_session(v_session.id);
      v_session := private.settle(v_session, private.session_clock(v_session));
    end if;
    return v_session;
  end if;

  if p_funding is null or p_funding not in ('free', 'credit', 'paid') then
    perform private.fail('invalid_argument', 'p_funding must be free or credit; paid sessions come from checkout.');
  end if;
  v_plan := private.valid_order(v_customer, p_plan, p_preferred_mechanic_id, p_scheduled_for, v_now);
  if private.settle_active_session(v_customer) then
    perform private.refuse_second_session(v_customer);
  end if;

  if p_funding = 'paid' then
    perform private.fail(
      'payment_required', 'A paid session is made when its payment arrives.', 'Go through checkout.'
    );
  elsif p_funding = 'free' then
    if not v_plan.is_free_eligible then
      perform private.fail('payment_required', 'This plan has no free session.', 'Go through checkout.');
    end if;
    if (
      select count(*)
      from public.sessions s
      where s.customer_user_id = v_customer
        and s.funding = 'free'
        and (s.status < 'completed' or s.started_at is not null)
    ) >= private.setting_integer('free_sessions_per_customer') then
      perform private.fail('free_session_used', null, 'Go through checkout.');
    end if;
  end if;

  v_session := private.make_session(
    v_customer, v_plan, p_funding, case p_funding when 'credit' then v_plan.price_cents else 0 end, v_intake,
    p_preferred_mechanic_id, p_scheduled_for, v_now
  );
  if p_funding = 'credit' then
    begin
      perform private.post('hold:' || v_session.id, v_session.id, v_now, v_session.currency, jsonb_build_object(
        'customer_credit:' || v_customer, -v_session.price_cents, 'session_hold:' || v_session.id, v_session.price_cents
      ));
    exception
      when check_violation then
        get stacked diagnostics v_violated = constraint_name;
        if v_violated <> 'credit_is_never_below_zero' then
          raise;
        end if;
        perform private.fail('insufficient_credit');
    end;
  end if;
  if p_idempotency_key is not null then
    insert into private.creation_keys (customer_user_id, key, arguments_digest, session_id)
    values (v_customer, p_idempotency_key, v_digest, v_session.id);
  end if;
  return v_session;
end;
$$;
comment on function private.create_session(text, text, jsonb, uuid, timestamptz, text) is
  'Behind public.create_session. Locks: the customer''s profile, then (only to end it) an overdue session.';
revoke all on function private.create_session from public, anon, authenticated, service_role;
grant execute on function private.create_session to authenticated;

create function public.create_session(
  p_plan text, p_funding text default 'free', p_intake jsonb default '{}', p_preferred_mechanic_id uuid default null,
  p_scheduled_for timestamptz default null, p_idempotency_key text default null
)
returns public.sessions
language sql
volatile
set search_path = ''
as $$
  select private.create_session(
    p_plan, p_funding, p_intake, p_preferred_mechanic_id, p_scheduled_for, p_idempotency_key
  )
$$;
comment on function public.create_session(text, text, jsonb, uuid, timestamptz, text) is
  'Makes a session and puts it in the queue, now or for later. Signed-in users. p_intake: an object, 16 KB, 50 keys. '
  'Errors: plan_not_found, invalid_argument, active_session_exists (detail: its id), free_session_used, '
  'payment_required, insufficient_credit, idempotency_conflict, not_authenticated.';
revoke all on function public.create_session from public, anon, authenticated, service_role;
grant execute on function public.create_session to authenticated;

-- Lists ---------------------------------------------------------------------------------------------------------

create function private.page_limit(p_limit integer)
returns integer
language plpgsql
stable
set search_path = ''
as $$
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    perform private.fail('invalid_argument', 'p_limit must be between 1 and 1000.');
  end if;
  return p_limit;
end;
$$;
comment on function private.page_limit(integer) is 'The limit of a list (1 to 1000), or invalid_argument.';
revoke all on function private.page_limit from public, anon, authenticated, service_role;

create function private.settle_sessions_of(p_user_id uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_session public.sessions;
begin
  for v_session in
    select s.* from public.sessions s where s.customer_user_id = p_user_id and s.status < 'completed'
    union all
    select s.* from public.sessions s where s.mechanic_id = p_user_id and s.status < 'completed'
  loop
    if private.is_due(v_session, private.session_clock(v_session)) then
      v_session := private.lock_session(v_session.id);
      perform private.settle(v_session, private.session_clock(v_session));
    end if;
  end loop;
end;
$$;
comment on function private.settle_sessions_of(uuid) is
  'Writes down what is due in somebody''s active sessions, so that what he reads is true. Locks: then these sessions.';
revoke all on function private.settle_sessions_of from public, anon, authenticated, service_role;

create function private.get_active_session()
returns setof public.sessions
language plpgsql
rows 1
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.require_user();
  v_session public.sessions;
begin
  perform private.settle_sessions_of(v_user);
  select a.* into v_session
  from (
    select s.* from public.sessions s where s.customer_user_id = v_user and s.status < 'completed'
    union all
    select s.* from public.sessions s where s.mechanic_id = v_user and s.status < 'completed'
  ) a
  -- The order of the enum, backwards, but for live.
  order by (a.status = 'live') desc, a.status desc, a.created_at desc
  limit 1;
  if v_session.id is not null then
    -- A sign of life, but not worth a wait: whoever holds the row is writing about the same person.
    perform
    from public.session_participants p
    where p.session_id = v_session.id and p.user_id = v_user
    for no key update skip locked;
    if found then
      perform private.touch(v_session.id, v_user, private.session_clock(v_session));
    end if;
    return next v_session;
  end if;
end;
$$;
comment on function private.get_active_session() is
  'Behind public.get_active_session. Writes down first what is due. Locks: then these sessions.';
revoke all on function private.get_active_session from public, anon, authenticated, service_role;
grant execute on function private.get_active_session to authenticated;

create function public.get_active_session()
returns setof public.sessions
language sql
volatile
rows 1
set search_path = ''
as $$
  select * from private.get_active_session()
$$;
comment on function public.get_active_session() is
  'The caller''s active session, as a customer or a mechanic, or no row: live first, then reconnecting, waiting, '
  'accepted, scheduled, pending; then the newest. Signed-in users. Errors: session_locked.';
revoke all on function public.get_active_session from public, anon, authenticated, service_role;
grant execute on function public.get_active_session to authenticated;

create type public.my_session as (
  id uuid,
  customer_user_id uuid,
  mechanic_id uuid,
  preferred_mechanic_id uuid,
  plan text,
  type text,
  status public.session_status,
  funding text,
  price_cents integer,
  currency text,
  intake jsonb,
  scheduled_for timestamptz,
  accepted_at timestamptz,
  started_at timestamptz,
  ended_at timestamptz,
  expires_at timestamptz,
  duration_minutes integer,
  duration_seconds integer,
  billable_seconds integer,
  both_present_seconds integer,
  interrupted_at timestamptz,
  grace_ends_at timestamptz,
  next_warning_at timestamptz,
  end_reason text,
  ended_by uuid,
  end_note text,
  summary_submitted_at timestamptz,
  metadata jsonb,
  version bigint,
  last_event_at timestamptz,
  due_at timestamptz,
  created_at timestamptz,
  updated_at timestamptz,
  my_role text,
  other_display_name text,
  summary jsonb,
  refunded_cents integer
);
comment on type public.my_session is 'A row of my_sessions: the columns of sessions, in their order, and four more.';

create function private.my_sessions(p_role text, p_status text[], p_before timestamptz, p_limit integer)
returns setof public.my_session
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.require_user();
  v_limit integer := private.page_limit(p_limit);
begin
  if p_role not in ('customer', 'mechanic') then
    perform private.fail('invalid_argument', 'p_role must be customer or mechanic.');
  end if;
  if exists (
    select from unnest(p_status) as w (status)
    where w.status is null or w.status not in (select unnest(enum_range(null::public.session_status))::text)
  ) then
    perform private.fail('invalid_argument', 'p_status has a status that does not exist.');
  end if;
  perform private.settle_sessions_of(v_user);
  return query
  select
    s.*,
    private.role_in(s, v_user),
    (
      select p.display_name
      from public.profiles p
      where p.id = case v_user when s.customer_user_id then s.mechanic_id else s.customer_user_id end
    ),
    s.metadata -> 'summary',
    coalesce((
      select t.refund_cents + t.refunded_later_cents from private.settlements t where t.session_id = s.id
    ), 0)
  from public.sessions s
  where (
      (s.customer_user_id = v_user and coalesce(p_role, 'customer') = 'customer')
      or (s.mechanic_id = v_user and coalesce(p_role, 'mechanic') = 'mechanic')
    )
    and (p_status is null or s.status::text = any (p_status))
    and (p_before is null or s.created_at < p_before)
  order by s.created_at desc, s.id
  limit v_limit;
end;
$$;
comment on function private.my_sessions(text, text[], timestamptz, integer) is
  'Behind public.my_sessions. Writes down first what is due. Locks: then these sessions.';
revoke all on function private.my_sessions from public, anon, authenticated, service_role;
grant execute on function private.my_sessions to authenticated;

create function public.my_sessions(
  p_role text default null, p_status text[] default null, p_before timestamptz default null, p_limit integer default 50
)
returns setof public.my_session
language sql
volatile
set search_path = ''
as $$
  select * from private.my_sessions(p_role, p_status, p_before, p_limit)
$$;
comment on function public.my_sessions(text, text[], timestamptz, integer) is
  'The caller''s sessions, newest first: as customer, mechanic or both; p_before pages by created_at; at most 1000. '
  'Signed-in users. Errors: invalid_argument, session_locked.';
revoke all on function public.my_sessions from public, anon, authenticated, service_role;
grant execute on function public.my_sessions to authenticated;

create type public.session_person as (user_id uuid, role text, display_name text, specialties text []);
comment on type public.session_person is 'Who is in a session, as the other one sees it.';

create function private.session_people(p_session_id uuid)
returns setof public.session_person
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_session public.sessions := private.visible_session(p_session_id);
begin
  return query
  select p.id, r.role, p.display_name, m.specialties
  from (values ('customer', v_session.customer_user_id), ('mechanic', v_session.mechanic_id)) as r (role, user_id)
  join public.profiles p on p.id = r.user_id
  left join public.mechanics m on m.id = p.id and r.role = 'mechanic';
end;
$$;
comment on function private.session_people(uuid) is 'Behind public.session_people.';
revoke all on function private.session_people from public, anon, authenticated, service_role;
grant execute on function private.session_people to authenticated, service_role;

create function public.session_people(p_session_id uuid)
returns setof public.session_person
language sql
stable
set search_path = ''
as $$
  select * from private.session_people(p_session_id)
$$;
comment on function public.session_people(uuid) is
  'The customer and the mechanic of a session: user_id, role, display_name, specialties. Participants, admins, the '
  'system. Errors: session_not_found.';
revoke all on function public.session_people from public, anon, authenticated, service_role;
grant execute on function public.session_people to authenticated, service_role;
