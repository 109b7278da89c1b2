-- Replay: the row of a session is what its events say, always. The fold reads nothing but the event log, knows what
-- each type of event means, and is held against every row: a row that was changed past the events, or an event that is
-- missing, shows.

create type public.session_replay as (
  session_id uuid,
  status public.session_status,
  version bigint,
  mechanic_id uuid,
  accepted_at timestamptz,
  started_at timestamptz,
  expires_at timestamptz,
  ended_at timestamptz,
  duration_minutes integer,
  duration_seconds integer,
  billable_seconds integer,
  end_reason text,
  summary_submitted_at timestamptz,
  events integer,
  is_complete boolean
);
comment on type public.session_replay is
  'A session as its events tell it. is_complete: they begin with its birth and none is missing.';

-- An event that carries the row that came of it (written past the engine, or corrected) says all of it.
create view private.replays with (security_invoker = on) as
select
  r.session_id, r.status, r.versions[1] as version, r.mechanic_id, r.accepted_at, r.started_at, r.expires_at,
  r.ended_at, r.duration_minutes, (r.end_said ->> 'duration_seconds')::integer as duration_seconds,
  (r.end_said ->> 'billable_seconds')::integer as billable_seconds,
  -- What an event calls its reason, a row calls its end_reason.
  coalesce(r.end_said ->> 'end_reason', r.end_said ->> 'reason') as end_reason, r.summary_submitted_at,
  cardinality(r.versions) as events,
  r.versions = array(select generate_series(cardinality(r.versions)::bigint, 1, -1)) as is_complete
from (
  -- The newest event that says a thing has the last word: they come newest first.
  select
    e.session_id,
    array_agg(e.version) as versions,
    (array_agg(e.status) filter (where e.status is not null))[1]::public.session_status as status,
    (array_agg(case when e.says_all then (e.said ->> 'mechanic_id')::uuid when e.type = 'accepted' then e.actor_id end)
      filter (where e.says_all or e.type in ('accepted', 'released')))[1] as mechanic_id,
    (array_agg(case
      when e.says_all then (e.said ->> 'accepted_at')::timestamptz when e.type = 'accepted' then e.occurred_at end)
      filter (where e.says_all or e.type in ('accepted', 'released')))[1] as accepted_at,
    (array_agg(case when e.says_all then (e.said ->> 'started_at')::timestamptz else e.occurred_at end)
      filter (where e.says_all or e.type = 'started'))[1] as started_at,
    (array_agg(e.said ->> 'expires_at')
      filter (where e.says_all or e.type in ('started', 'extended')))[1]::timestamptz as expires_at,
    (array_agg(case when e.says_all then (e.said ->> 'ended_at')::timestamptz else e.occurred_at end)
      filter (where e.says_all or e.type = 'ended'))[1] as ended_at,
    (array_agg(e.said ->> 'duration_minutes')
      filter (where e.says_all or e.type in ('created', 'extended')))[1]::integer as duration_minutes,
    (array_agg(e.said) filter (where e.says_all or e.type = 'ended'))[1] as end_said,
    (array_agg(case when e.says_all then (e.said ->> 'summary_submitted_at')::timestamptz else e.occurred_at end)
      filter (where e.says_all or e.type = 'summary_submitted'))[1] as summary_submitted_at
  from (
    select
      n.session_id, n.type, n.actor_id, n.version, n.occurred_at, coalesce(n.whole ->> 'status', n.came_to) as status,
      n.whole is not null as says_all, coalesce(n.whole, n.payload) as said
    from (
      -- In this order for itself, so that a payload is looked into once.
      select v.*, v.payload -> 'row' as whole, v.payload ->> 'to' as came_to
      from public.session_events v
      where v.source = 'sessions'
      order by v.session_id, v.id desc
    ) n
  ) e
  group by e.session_id
) r;
comment on view private.replays is
  'The events of every session folded, in their order, into its row: of each column, what the newest event says that '
  'says anything. Reads nothing else.';
revoke all on table private.replays from public, anon, authenticated, service_role;

create function private.replay_session(p_session_id uuid)
returns public.session_replay
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_replay public.session_replay;
begin
  perform private.require_admin();
  select r.* into v_replay from private.replays r where r.session_id = p_session_id;
  if v_replay.session_id is null then
    perform private.fail('session_not_found');
  end if;
  return v_replay;
end;
$$;
comment on function private.replay_session(uuid) is 'Behind public.replay_session.';
revoke all on function private.replay_session from public, anon, authenticated, service_role;
grant execute on function private.replay_session to authenticated, service_role;

create function public.replay_session(p_session_id uuid)
returns public.session_replay
language sql
stable
set search_path = ''
as $$
  select private.replay_session(p_session_id)
$$;
comment on function public.replay_session(uuid) is
  'A session as its event log tells it, corrections included: status, times, bought minutes, seconds, reason. Admins '
  'and the system. Errors: role_required, session_not_found.';
revoke all on function public.replay_session from public, anon, authenticated, service_role;
grant execute on function public.replay_session to authenticated, service_role;

create function private.replay_difference(p_session public.sessions)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  v_replay public.session_replay;
  v_difference jsonb;
begin
  select r.* into v_replay from private.replays r where r.session_id = p_session.id;
  select coalesce(jsonb_object_agg(r.key, jsonb_build_object('row', r.value, 'replay', t.value)), '{}')
  into v_difference
  from jsonb_each(to_jsonb(private.record_of(p_session))) r
  join jsonb_each(to_jsonb(v_replay)) t on t.key = r.key
  where r.value <> t.value;
  if not v_replay.is_complete then
    v_difference := v_difference || '{"events": "some are missing"}';
  end if;
  return nullif(v_difference, '{}');
end;
$$;
comment on function private.replay_difference(public.sessions) is
  'Where the row of a session differs from its replay, {column: {row, replay}}, or null.';
revoke all on function private.replay_difference from public, anon, authenticated, service_role;

create type public.replay_difference as (session_id uuid, difference jsonb);
comment on type public.replay_difference is 'A session whose row differs from its replay: {column: {row, replay}}.';

create function private.misfits(p_since timestamptz)
returns setof public.replay_difference
language plpgsql
stable
set search_path = ''
as $$
begin
  return query
  select s.id, private.replay_difference(s)
  from public.sessions s
  -- Session by session, by the index: all events would have to be sorted otherwise.
  left join lateral (select r.* from private.replays r where r.session_id = s.id offset 0) r on true
  where s.updated_at >= p_since
    and (
      r.is_complete, r.status, r.version, r.mechanic_id, r.accepted_at, r.started_at, r.expires_at, r.ended_at,
      r.duration_minutes, r.duration_seconds, r.billable_seconds, r.end_reason, r.summary_submitted_at
    ) is distinct from (
      true, s.status, s.version, s.mechanic_id, s.accepted_at, s.started_at, s.expires_at, s.ended_at,
      s.duration_minutes, s.duration_seconds, s.billable_seconds, s.end_reason, s.summary_submitted_at
    );
  return query
  select distinct e.session_id, '{"row": "there is none"}'::jsonb
  from public.session_events e
  where e.source = 'sessions'
    and e.created_at >= p_since
    and not exists (select from public.sessions s where s.id = e.session_id);
end;
$$;
comment on function private.misfits(timestamptz) is
  'The sessions changed since then whose row differs from the replay of their events.';
revoke all on function private.misfits from public, anon, authenticated, service_role;

create function private.verify_replay(p_since timestamptz)
returns setof public.replay_difference
language plpgsql
stable
security definer
set search_path = ''
set jit = off
set plan_cache_mode = 'force_custom_plan'
set enable_memoize = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
begin
  perform private.require_admin();
  return query select m.* from private.misfits(coalesce(p_since, '-infinity')) m;
end;
$$;
comment on function private.verify_replay(timestamptz) is 'Behind public.verify_replay.';
revoke all on function private.verify_replay from public, anon, authenticated, service_role;
grant execute on function private.verify_replay to authenticated, service_role;

create function public.verify_replay(p_since timestamptz default null)
returns setof public.replay_difference
language sql
stable
set search_path = ''
as $$
  select * from private.verify_replay(p_since)
$$;
comment on function public.verify_replay(timestamptz) is
  'The sessions changed since then (null: all) whose row differs from the replay of their events: none, always. Linear '
  'in the number of sessions. Admins and the system. Errors: role_required.';
revoke all on function public.verify_replay from public, anon, authenticated, service_role;
grant execute on function public.verify_replay to authenticated, service_role;
