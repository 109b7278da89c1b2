-- Realtime: what clients are told, in the same transaction as what happened.
--
-- Three kinds of private topics: `session:<id>` for the two people of a session, `user:<id>` for one person, and
-- `session_assignments_feed` for approved mechanics. The messages of a session follow its event log, those of the
-- feed the assignments, by triggers: no command sends anything itself. A client can receive on its own topics and
-- show its presence on its session's, and nothing else; a broadcast could forge the end of a session.
-- A failing broadcast never fails what it tells about. Without the schema realtime nothing is sent.

create function private.broadcast(p_topic text, p_event text, p_payload jsonb)
returns void
language plpgsql
set search_path = ''
set lock_timeout = '250ms'
as $$
begin
  perform realtime.send(p_payload, p_event, p_topic, true);
exception
  when invalid_schema_name or undefined_function then
    -- A database without Realtime has nobody who listens.
    null;
  when others then
    perform private.log_op('broadcast.failed', null, jsonb_build_object(
      'topic', p_topic, 'event', p_event, 'error', sqlerrm
    ));
end;
$$;
comment on function private.broadcast(text, text, jsonb) is
  'Sends a private message on a topic with this transaction. Never an error, and no long wait for somebody who holds '
  'the table of messages: a failure is logged.';
revoke all on function private.broadcast from public, anon, authenticated, service_role;

-- A session's topic ---------------------------------------------------------------------------------------------

create function private.message_name(p_type text, p_status public.session_status)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
  return 'session:' || case
    when p_type in ('accepted', 'released', 'due', 'started', 'reconnecting', 'resumed', 'extended', 'ended')
      then p_type
    when p_type in ('joined', 'left', 'disconnected') then 'participant'
    when p_type = 'extension_failed' then 'extension_failed'
    when p_type in ('refunded', 'partly_refunded') then 'ended'
    when p_type = 'summary_submitted' then 'summary'
    when p_type like 'warning\_%' then 'warning'
    when p_type = 'status_changed' then case p_status
      when 'live' then 'started'
      when 'reconnecting' then 'reconnecting'
      when 'accepted' then 'accepted'
      when 'waiting' then 'accepted'
      when 'pending' then 'released'
      when 'scheduled' then 'released'
      when 'archived' then null
      else 'ended' end
  end;
end;
$$;
comment on function private.message_name(text, public.session_status) is
  'The message that tells a session''s topic of an event, or null: clients are not told of it.';
revoke all on function private.message_name from public, anon, authenticated, service_role;

create function private.absent_role(p_session public.sessions)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  if p_session.status <> 'reconnecting' then
    return null;
  end if;
  return (
    select case count(*) when 1 then min(p.role) when 2 then 'both' end
    from public.session_participants p
    where p.session_id = p_session.id and p.closed_at is null and not p.is_connected
  );
end;
$$;
comment on function private.absent_role(public.sessions) is
  'While reconnecting, who is away: customer, mechanic or both; else null.';
revoke all on function private.absent_role from public, anon, authenticated, service_role;

create function private.message_of(p_event public.session_events, p_session public.sessions)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  return jsonb_build_object(
    'session_id', p_session.id,
    'status', p_session.status,
    'version', p_event.version,
    'server_now', p_event.created_at
  ) || case private.message_name(p_event.type, p_session.status)
    when 'session:accepted' then jsonb_build_object(
      'accepted_at', p_session.accepted_at, 'scheduled_for', p_session.scheduled_for
    )
    when 'session:released' then jsonb_build_object('scheduled_for', p_session.scheduled_for)
    when 'session:due' then jsonb_build_object('scheduled_for', p_session.scheduled_for)
    when 'session:participant' then jsonb_build_object(
      'role', p_event.payload ->> 'role', 'is_connected', p_event.type = 'joined',
      'absent_role', private.absent_role(p_session), 'grace_ends_at', p_session.grace_ends_at
    )
    when 'session:reconnecting' then jsonb_build_object(
      'absent_role', private.absent_role(p_session), 'grace_ends_at', p_session.grace_ends_at
    )
    when 'session:warning' then p_event.payload
    when 'session:extended' then jsonb_build_object(
      'expires_at', p_session.expires_at, 'duration_minutes', p_session.duration_minutes,
      'minutes', p_event.payload -> 'minutes'
    )
    when 'session:extension_failed' then jsonb_build_object(
      'extension_id', p_event.payload ->> 'extension_id', 'minutes', p_event.payload -> 'minutes'
    )
    when 'session:ended' then jsonb_build_object(
      'ended_at', p_session.ended_at, 'reason', p_session.end_reason,
      'duration_seconds', p_session.duration_seconds,
      'auto_ended', p_session.metadata -> 'auto_ended' is not distinct from 'true'
    )
    when 'session:summary' then jsonb_build_object('summary_submitted_at', p_session.summary_submitted_at)
    else jsonb_build_object(
      'started_at', p_session.started_at, 'expires_at', p_session.expires_at,
      'duration_minutes', p_session.duration_minutes, 'absent_role', null, 'grace_ends_at', null
    )
  end;
end;
$$;
comment on function private.message_of(public.session_events, public.sessions) is
  'What a message on a session''s topic says: the session, its status and version, the server''s time, and what '
  'changed. Never personal data.';
revoke all on function private.message_of from public, anon, authenticated, service_role;

create function private.tell_session()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_session public.sessions;
  v_name text;
begin
  select s.* into v_session from public.sessions s where s.id = new.session_id;
  v_name := private.message_name(new.type, v_session.status);
  if v_name is not null then
    perform private.broadcast('session:' || new.session_id, v_name, private.message_of(new, v_session));
  end if;
  return null;
exception
  when others then
    perform private.log_op('broadcast.failed', new.session_id, jsonb_build_object('event', new.type, 'error', sqlerrm));
    return null;
end;
$$;
comment on function private.tell_session() is 'Trigger: tells a session''s topic of its events.';
revoke all on function private.tell_session from public, anon, authenticated, service_role;

create trigger events_are_told
after insert on public.session_events
for each row when (new.source = 'sessions')
execute function private.tell_session();

-- The feed of the mechanics -------------------------------------------------------------------------------------

create function private.tell_mechanics()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_was_queued boolean := tg_op = 'UPDATE' and old.status = 'queued';
  v_was_announced boolean := v_was_queued and old.announced_at is not null;
  v_message jsonb := jsonb_build_object('assignment_id', new.id, 'session_id', new.session_id);
begin
  if new.status = 'queued' then
    select v_message || jsonb_build_object('plan', s.plan, 'type', s.type, 'scheduled_for', s.scheduled_for)
    into v_message
    from public.sessions s
    where s.id = new.session_id;
    if tg_op = 'INSERT' and new.preferred_mechanic_id is not null then
      perform private.broadcast('user:' || new.preferred_mechanic_id, 'new_assignment', v_message);
    end if;
    if new.announced_at is not null and not v_was_announced then
      perform private.broadcast('session_assignments_feed', 'new_assignment', v_message);
    end if;
  elsif v_was_queued then
    perform private.broadcast(
      case when v_was_announced then 'session_assignments_feed' else 'user:' || new.preferred_mechanic_id end,
      case new.status when 'accepted' then 'assignment_accepted' else 'assignment_cancelled' end,
      v_message
    );
  end if;
  return null;
exception
  when others then
    perform private.log_op('broadcast.failed', new.session_id, jsonb_build_object(
      'assignment_id', new.id, 'error', sqlerrm
    ));
    return null;
end;
$$;
comment on function private.tell_mechanics() is
  'Trigger: tells the feed what waits and what no longer does; before a preferred window opens, only that mechanic.';
revoke all on function private.tell_mechanics from public, anon, authenticated, service_role;

create trigger assignments_are_told
after insert or update of status, announced_at on public.session_assignments
for each row execute function private.tell_mechanics();

-- Who may receive -----------------------------------------------------------------------------------------------

create function private.receives(p_topic text)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.claimed_user();
  v_uuid constant text := '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
begin
  if p_topic = 'session_assignments_feed' then
    return exists (
      select
      from public.mechanics m
      join public.profiles p on p.id = m.id
      where m.id = v_user and m.status = 'approved' and p.deleted_at is null
    );
  end if;
  if p_topic ~ ('^session:' || v_uuid || '$') then
    return exists (
      select from public.sessions s
      where s.id = split_part(p_topic, ':', 2)::uuid and v_user in (s.customer_user_id, s.mechanic_id)
    );
  end if;
  return coalesce(p_topic = 'user:' || v_user, false);
end;
$$;
comment on function private.receives(text) is
  'Whether the signed-in user may receive on a topic: his session''s, his own, and the feed if an approved mechanic.';
revoke all on function private.receives from public, anon, authenticated, service_role;
grant execute on function private.receives to authenticated;

create function private.setup_realtime()
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  if to_regclass('realtime.messages') is null then
    raise notice 'There is no realtime schema here: nothing is broadcast. Once there is, run private.setup_realtime().';
    return false;
  end if;
  drop policy if exists "people receive on their own topics" on realtime.messages;
  create policy "people receive on their own topics" on realtime.messages
  for select to authenticated
  using (extension in ('broadcast', 'presence') and private.receives(topic));
  drop policy if exists "participants show their presence" on realtime.messages;
  create policy "participants show their presence" on realtime.messages
  for insert to authenticated
  with check (extension = 'presence' and topic like 'session:%' and private.receives(topic));
  return true;
end;
$$;
comment on function private.setup_realtime() is
  'Writes the policies of realtime.messages, or says that there is none. Operators; idempotent.';
revoke all on function private.setup_realtime from public, anon, authenticated, service_role;

select private.setup_realtime();

-- Is it alive? --------------------------------------------------------------------------------------------------

create function private.has_partition(p_day date)
returns boolean
language sql
stable
set search_path = ''
as $$
  select exists (
    select
    from pg_catalog.pg_inherits i
    join pg_catalog.pg_class c on c.oid = i.inhrelid
    cross join pg_catalog.pg_get_expr(c.relpartbound, c.oid) as b (bound)
    cross join regexp_match(b.bound, 'FROM \(''([^'']+)''\) TO \(''([^'']+)''\)') as r (span)
    where i.inhparent = to_regclass('realtime.messages')
      and (b.bound = 'DEFAULT' or (r.span[1]::timestamp <= p_day and r.span[2]::timestamp > p_day))
  )
$$;
comment on function private.has_partition(date) is 'Whether a message of that day has a partition to go to.';
revoke all on function private.has_partition from public, anon, authenticated, service_role;

create function private.realtime_health()
returns table (check_name text, is_ok boolean, detail text)
language plpgsql
stable
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_today date := (v_now at time zone 'utc')::date;
  v_lost bigint;
begin
  if to_regclass('realtime.messages') is null then
    return query select 'schema', true, 'There is no realtime schema here: nothing is broadcast.';
    return;
  end if;
  return query
  select
    d.name, p.is_there,
    format('realtime.messages has %s partition for %s.', case when p.is_there then 'a' else 'no' end, d.day)
  from (values ('partition today', v_today), ('partition tomorrow', v_today + 1)) as d (name, day)
  cross join private.has_partition(d.day) as p (is_there);

  select count(*) into v_lost
  from (select e.* from public.session_events e order by e.id desc limit 1000) e
  join public.sessions s on s.id = e.session_id
  where e.source = 'sessions'
    and e.created_at > v_now - interval '1 hour'
    and private.message_name(e.type, (e.payload ->> 'to')::public.session_status) is not null
    and not exists (
      select from realtime.messages m
      where m.topic = 'session:' || e.session_id
        and m.extension = 'broadcast'
        and m.private
        and m.inserted_at > (v_now - interval '2 hours') at time zone 'utc'
        and (m.payload ->> 'version')::bigint = e.version
    );
  return query
  select
    'messages sent', v_lost = 0,
    format('%s of the last 1000 events, at most an hour old, have no message.', v_lost);
end;
$$;
comment on function private.realtime_health() is
  'Whether messages can be and were sent: partitions for today and tomorrow, and a message for every event told.';
revoke all on function private.realtime_health from public, anon, authenticated, service_role;
