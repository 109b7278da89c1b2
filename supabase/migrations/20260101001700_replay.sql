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

create function private.replay(p_session_id uuid)
returns public.session_replay
language plpgsql
stable
set search_path = ''
as $$
declare
  v_replay public.session_replay;
  v_event record;
begin
  v_replay.session_id := p_session_id;
  v_replay.version := 0;
  v_replay.events := 0;
  v_replay.is_complete := true;
  for v_event in
    select e.type, e.actor_id, e.payload, e.version, e.occurred_at
    from public.session_events e
    where e.session_id = p_session_id and e.source = 'sessions'
    order by e.id
  loop
    case v_event.type
      when 'created' then
        v_replay.duration_minutes := (v_event.payload ->> 'duration_minutes')::integer;
      when 'accepted' then
        v_replay.mechanic_id := v_event.actor_id;
        v_replay.accepted_at := v_event.occurred_at;
      when 'released' then
        v_replay.mechanic_id := null;
        v_replay.accepted_at := null;
      when 'started' then
        v_replay.started_at := v_event.occurred_at;
        v_replay.expires_at := (v_event.payload ->> 'expires_at')::timestamptz;
      when 'extended' then
        v_replay.duration_minutes := (v_event.payload ->> 'duration_minutes')::integer;
        v_replay.expires_at := (v_event.payload ->> 'expires_at')::timestamptz;
      when 'ended' then
        v_replay.ended_at := v_event.occurred_at;
        v_replay.duration_seconds := (v_event.payload ->> 'duration_seconds')::integer;
        v_replay.billable_seconds := (v_event.payload ->> 'billable_seconds')::integer;
        v_replay.end_reason := v_event.payload ->> 'reason';
      when 'summary_submitted' then
        v_replay.summary_submitted_at := v_event.occurred_at;
      else
        null;
    end case;
    if v_event.payload ? 'to' then
      v_replay.status := (v_event.payload ->> 'to')::public.session_status;
    end if;
    -- Written past the engine, or corrected: the event carries the row that came of it.
    if v_event.payload ? 'row' then
      v_replay := jsonb_populate_record(v_replay, v_event.payload -> 'row');
    end if;
    v_replay.is_complete := v_replay.is_complete and v_event.version = v_replay.events + 1;
    v_replay.events := v_replay.events + 1;
    v_replay.version := v_event.version;
  end loop;
  return v_replay;
end;
$$;
comment on function private.replay(uuid) is
  'Folds the events of a session, in their order, into its row. Reads nothing else.';
revoke all on function private.replay from public, anon, authenticated, service_role;

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
  v_replay := private.replay(p_session_id);
  if v_replay.events = 0 then
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
  v_replay public.session_replay := private.replay(p_session.id);
  v_told private.session_record := (
    v_replay.status, v_replay.version, v_replay.mechanic_id, v_replay.accepted_at, v_replay.started_at,
    v_replay.expires_at, v_replay.ended_at, v_replay.duration_minutes, v_replay.duration_seconds,
    v_replay.billable_seconds, v_replay.end_reason, v_replay.summary_submitted_at
  )::private.session_record;
begin
  if v_replay.is_complete and v_told is not distinct from private.record_of(p_session) then
    return null;
  end if;
  return (
    select coalesce(jsonb_object_agg(r.key, jsonb_build_object('row', r.value, 'replay', t.value)), '{}')
    from jsonb_each(to_jsonb(private.record_of(p_session))) r
    join jsonb_each(to_jsonb(v_told)) t on t.key = r.key
    where r.value <> t.value
  ) || case when v_replay.is_complete then '{}' else jsonb_build_object('events', 'some are missing') end;
end;
$$;
comment on function private.replay_difference(public.sessions) is
  'Where the row of a session differs from its replay, {column: {row, replay}}, or null.';
revoke all on function private.replay_difference from public, anon, authenticated, service_role;

create type public.replay_difference as (session_id uuid, difference jsonb);
comment on type public.replay_difference is 'A session whose row differs from its replay: {column: {row, replay}}.';

create function private.verify_replay(p_since timestamptz)
returns setof public.replay_difference
language plpgsql
stable
security definer
set search_path = ''
set jit = off
as $$
declare
  v_since timestamptz := coalesce(p_since, '-infinity');
begin
  perform private.require_admin();
  return query
  select d.id, d.difference
  from (
    select s.id, private.replay_difference(s) as difference
    from public.sessions s
    where s.updated_at >= v_since
    offset 0
  ) d
  where d.difference is not null;
  return query
  select distinct e.session_id, '{"row": "there is none"}'::jsonb
  from public.session_events e
  where e.source = 'sessions'
    and e.created_at >= v_since
    and not exists (select from public.sessions s where s.id = e.session_id);
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
