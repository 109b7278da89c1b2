-- Legacy: the two tables of the older system that live on. session_requests was its queue and is history; an open
-- request is closed when its session ends. diagnostic_sessions are consultations of an older kind: they end by the
-- same call and the same rules as sessions, and move no money.

create table public.session_requests (
  id uuid primary key default private.new_id(),
  session_id uuid,
  customer_id uuid,
  mechanic_id uuid,
  session_type text,
  plan_code text,
  status text not null default 'pending',
  created_at timestamptz not null default private.clock(),
  accepted_at timestamptz,
  updated_at timestamptz not null default private.clock(),
  metadata jsonb not null default '{}',
  constraint metadata_is_an_object check (jsonb_typeof(metadata) = 'object')
);
comment on table public.session_requests is 'The queue of the older system, kept as history. Admins read it.';
create index session_requests_session_id_idx on public.session_requests (session_id) where session_id is not null;
create index session_requests_created_at_idx on public.session_requests (created_at);
alter table public.session_requests enable row level security;
revoke all on table public.session_requests from public, anon, authenticated, service_role;
grant select on table public.session_requests to authenticated, service_role;
create policy "admins read the old queue" on public.session_requests
for select to authenticated
using ((select private.is_admin()));

create table private.session_requests_archive (
  like public.session_requests,
  archived_at timestamptz not null default private.clock(),
  primary key (id)
);
comment on table private.session_requests_archive is
  'Old rows of session_requests, moved here by archive_session_requests.';
alter table private.session_requests_archive enable row level security;
revoke all on table private.session_requests_archive from public, anon, authenticated, service_role;
create policy "nobody reads archived requests directly" on private.session_requests_archive using (false);

create function private.is_open(p_request public.session_requests)
returns boolean
language sql
immutable
set search_path = ''
as $$
  select p_request.status in ('pending', 'accepted', 'waiting', 'live', 'open', 'queued')
$$;
comment on function private.is_open(public.session_requests) is 'Whether a request of the older system still waits.';
revoke all on function private.is_open from public, anon, authenticated, service_role;

create function private.close_request(p_session public.sessions, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  update public.session_requests r
  set status = p_session.status::text, updated_at = p_now
  where r.session_id = p_session.id and private.is_open(r);
end;
$$;
comment on function private.close_request(public.sessions, timestamptz) is
  'Closes the open request of the older system that is linked to a session which ended.';
revoke all on function private.close_request from public, anon, authenticated, service_role;

create function private.archive_session_requests(p_before timestamptz)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_moved integer;
begin
  perform private.require_admin();
  if p_before is null or p_before > private.clock() then
    perform private.fail('invalid_argument', 'p_before must be a time in the past.');
  end if;
  with old as (
    delete from public.session_requests r
    where r.created_at < p_before
      and not (private.is_open(r) and exists (
        select from public.sessions s where s.id = r.session_id and s.status < 'completed'
      ))
    returning r.*
  )
  insert into private.session_requests_archive as a
  select o.*, private.clock() from old o
  -- An import that ran again brought it back.
  on conflict (id) do update
  set session_id = excluded.session_id, customer_id = excluded.customer_id, mechanic_id = excluded.mechanic_id,
      session_type = excluded.session_type, plan_code = excluded.plan_code, status = excluded.status,
      created_at = excluded.created_at, accepted_at = excluded.accepted_at, updated_at = excluded.updated_at,
      metadata = excluded.metadata, archived_at = excluded.archived_at;
  get diagnostics v_moved = row_count;
  perform private.log_op('requests.archived', null, jsonb_build_object('before', p_before, 'moved', v_moved));
  return v_moved;
end;
$$;
comment on function private.archive_session_requests(timestamptz) is 'Behind public.archive_session_requests.';
revoke all on function private.archive_session_requests from public, anon, authenticated, service_role;
grant execute on function private.archive_session_requests to authenticated, service_role;

create function public.archive_session_requests(p_before timestamptz)
returns integer
language sql
volatile
set search_path = ''
as $$
  select private.archive_session_requests(p_before)
$$;
comment on function public.archive_session_requests(timestamptz) is
  'Moves requests of the older system made before then into the archive, all or none, but for open ones of a session '
  'that is not over; returns how many. '
  'Admins and the system; logged. Errors: invalid_argument, role_required.';
revoke all on function public.archive_session_requests from public, anon, authenticated, service_role;
grant execute on function public.archive_session_requests to authenticated, service_role;

-- Diagnostic sessions -------------------------------------------------------------------------------------------

create table public.diagnostic_sessions (
  id uuid primary key default private.new_id(),
  customer_user_id uuid not null,
  mechanic_id uuid,
  status public.session_status not null default 'pending',
  started_at timestamptz,
  ended_at timestamptz,
  duration_minutes integer,
  metadata jsonb not null default '{}',
  created_at timestamptz not null default private.clock(),
  updated_at timestamptz not null default private.clock(),
  constraint customer_and_mechanic_are_different_people check (customer_user_id <> mechanic_id),
  constraint duration_is_positive check (duration_minutes > 0),
  constraint duration_is_bounded check (duration_minutes <= 100000),
  constraint times_are_finite check (isfinite(started_at) and isfinite(ended_at) and isfinite(created_at)),
  constraint metadata_is_an_object check (jsonb_typeof(metadata) = 'object'),
  constraint a_session_ends_at_or_after_its_start check (ended_at >= started_at)
);
comment on table public.diagnostic_sessions is
  'Consultations of the older system. Participants read their own, admins all; ended by end_session_with_semantics.';
create index diagnostic_sessions_customer_idx on public.diagnostic_sessions (customer_user_id, created_at desc);
create index diagnostic_sessions_mechanic_idx on public.diagnostic_sessions (mechanic_id, created_at desc);
alter table public.diagnostic_sessions enable row level security;
revoke all on table public.diagnostic_sessions from public, anon, authenticated, service_role;
grant select on table public.diagnostic_sessions to authenticated, service_role;
create policy "participants read their diagnostic sessions and admins read all" on public.diagnostic_sessions
for select to authenticated
using (
  customer_user_id = (select auth.uid())
  or mechanic_id = (select auth.uid())
  or (select private.is_admin())
);

create function private.diagnostic_end(p_session public.diagnostic_sessions, p_now timestamptz, p_asker_id uuid)
returns public.diagnostic_sessions
language plpgsql
stable
set search_path = ''
as $$
declare
  v_session public.diagnostic_sessions := p_session;
  v_facts private.end_facts;
  v_decision private.end_decision;
begin
  v_facts.started_at := p_session.started_at;
  v_facts.over_at := greatest(p_session.started_at, least(
    p_now,
    public.calculate_session_expiry(
      p_session.started_at, coalesce(p_session.duration_minutes, private.setting_integer('max_session_minutes'))
    )
  ));
  v_facts.both_present_seconds := floor(extract(epoch from v_facts.over_at - p_session.started_at));
  v_facts.was_accepted := p_session.mechanic_id is not null;
  v_facts.asked_by := case p_asker_id
    when p_session.customer_user_id then 'customer'
    when p_session.mechanic_id then 'mechanic'
    else case when p_asker_id is not null then 'admin' end end;
  v_decision := private.decide_end(v_facts, private.billing_rule());
  v_session.status := v_decision.status;
  v_session.ended_at := v_facts.over_at;
  v_session.metadata := v_session.metadata || jsonb_build_object(
    'end_reason', v_decision.reason,
    'duration_seconds', v_decision.duration_seconds,
    'billable_seconds', v_decision.billable_seconds
  );
  return v_session;
end;
$$;
comment on function private.diagnostic_end(public.diagnostic_sessions, timestamptz, uuid) is
  'A diagnostic session as it would be if it ended now, by the rules of sessions. Nobody logged who was there when, '
  'so all the time since the start counts.';
revoke all on function private.diagnostic_end from public, anon, authenticated, service_role;

create function private.whole(p_number jsonb)
returns integer
language sql
immutable
set search_path = ''
as $$
  select case
    when jsonb_typeof(p_number) = 'number' and (p_number #>> '{}')::numeric between 0 and 1000000000
      then floor((p_number #>> '{}')::numeric)::integer
  end
$$;
comment on function private.whole(jsonb) is 'A whole number out of metadata that anybody may have written, or null.';
revoke all on function private.whole from public, anon, authenticated, service_role;

create function private.diagnostic_result(p_session public.diagnostic_sessions, p_already_ended boolean)
returns public.session_end_result
language sql
stable
set search_path = ''
as $$
  select (
    p_session.id, p_session.status, p_already_ended, p_session.started_at is not null, p_session.started_at,
    p_session.ended_at, coalesce(private.whole(p_session.metadata -> 'duration_seconds'), t.seconds, 0),
    coalesce(private.whole(p_session.metadata -> 'billable_seconds'), t.seconds, 0),
    p_session.metadata ->> 'end_reason', 0, 0, null
  )::public.session_end_result
  from (select floor(extract(epoch from p_session.ended_at - p_session.started_at))::integer as seconds) t
$$;
comment on function private.diagnostic_result(public.diagnostic_sessions, boolean) is
  'The outcome of a diagnostic session; of one that the older system ended, by its times. It has no price, so no money '
  'and no currency.';
revoke all on function private.diagnostic_result from public, anon, authenticated, service_role;

create function private.visible_diagnostic_session(p_session_id uuid, p_asker_id uuid)
returns public.diagnostic_sessions
language plpgsql
stable
set search_path = ''
as $$
declare
  v_is_staff boolean := private.is_system() or private.is_admin();
  v_session public.diagnostic_sessions;
begin
  select d.* into v_session
  from public.diagnostic_sessions d
  where d.id = p_session_id and (v_is_staff or p_asker_id in (d.customer_user_id, d.mechanic_id));
  if v_session.id is null then
    perform private.fail('session_not_found');
  end if;
  return v_session;
end;
$$;
comment on function private.visible_diagnostic_session(uuid, uuid) is
  'A diagnostic session for its participants, admins and the system; session_not_found for everybody else.';
revoke all on function private.visible_diagnostic_session from public, anon, authenticated, service_role;

create function private.preview_diagnostic_end(p_session_id uuid, p_asker_id uuid)
returns public.session_end_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_session public.diagnostic_sessions := private.visible_diagnostic_session(p_session_id, p_asker_id);
begin
  if v_session.status >= 'completed' then
    return private.diagnostic_result(v_session, true);
  end if;
  return private.diagnostic_result(private.diagnostic_end(v_session, private.clock(), p_asker_id), false);
end;
$$;
comment on function private.preview_diagnostic_end(uuid, uuid) is
  'How a diagnostic session would end now. Errors: session_not_found.';
revoke all on function private.preview_diagnostic_end from public, anon, authenticated, service_role;

create function private.end_diagnostic_session(p_session_id uuid, p_asker_id uuid, p_note text)
returns public.session_end_result
language plpgsql
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_session public.diagnostic_sessions := private.visible_diagnostic_session(p_session_id, p_asker_id);
  v_logged public.sessions;
  v_now timestamptz;
begin
  select d.* into v_session from public.diagnostic_sessions d where d.id = p_session_id for no key update;
  if v_session.status >= 'completed' then
    return private.diagnostic_result(v_session, true);
  end if;
  v_now := private.clock();
  v_session := private.diagnostic_end(v_session, v_now, p_asker_id);
  update public.diagnostic_sessions d
  set status = v_session.status, ended_at = v_session.ended_at, metadata = v_session.metadata, updated_at = v_now
  where d.id = p_session_id;

  v_logged.id := p_session_id;
  v_logged.customer_user_id := v_session.customer_user_id;
  v_logged.mechanic_id := v_session.mechanic_id;
  v_logged.version := 1;
  perform private.append_event(
    v_logged, 'ended', p_asker_id,
    jsonb_strip_nulls(jsonb_build_object(
      'to', v_session.status,
      'reason', v_session.metadata -> 'end_reason',
      'duration_seconds', v_session.metadata -> 'duration_seconds',
      'billable_seconds', v_session.metadata -> 'billable_seconds',
      'note', left(p_note, 500),
      'rule', to_jsonb(private.billing_rule())
    )),
    v_session.ended_at, 'diagnostic_sessions'
  );
  return private.diagnostic_result(v_session, false);
exception
  when lock_not_available then
    perform private.fail('session_locked', 'Another call holds this session.', 'Try again in a moment.');
    return null;
end;
$$;
comment on function private.end_diagnostic_session(uuid, uuid, text) is
  'Ends a diagnostic session. Locks: that row, at most 3 s. Errors: session_not_found, session_locked.';
revoke all on function private.end_diagnostic_session from public, anon, authenticated, service_role;
