-- Video: who may enter the room of a session, and what the video server says of who is in it, in whatever order and
-- however often it says it.
--
-- Its word is a hint. It can bring somebody in, as joining does, and take out who gave no later sign of life; it
-- keeps nobody alive and is never billed on alone: a presence that the person never confirmed by a call of his own
-- counts, at the end, as if it had never been.

create table private.presence_facts (
  event_id text primary key,
  session_id uuid not null,
  identity text not null,
  event text not null,
  occurred_at timestamptz not null,
  received_at timestamptz not null,
  outcome text not null
);
comment on table private.presence_facts is 'Every fact of the video server, once, and what came of it.';
create index presence_facts_received_at_idx on private.presence_facts (received_at);
create index presence_facts_identity_idx on private.presence_facts (session_id, identity, occurred_at);
alter table private.presence_facts enable row level security;
revoke all on table private.presence_facts from public, anon, authenticated, service_role;
create policy "nobody reads presence facts directly" on private.presence_facts using (false);

create function private.room_of(p_session_id uuid)
returns text
language sql
immutable
set search_path = ''
as $$
  select 'session-' || p_session_id
$$;
comment on function private.room_of(uuid) is 'The name of a session''s video room.';
revoke all on function private.room_of from public, anon, authenticated, service_role;

create function private.close_room(p_session public.sessions, p_again text default '')
returns void
language plpgsql
set search_path = ''
as $$
begin
  if p_session.type <> 'chat' then
    perform private.enqueue(
      'livekit.delete_room', 'room:' || p_session.id || p_again,
      jsonb_build_object('room', private.room_of(p_session.id)), p_session.id
    );
  end if;
end;
$$;
comment on function private.close_room(public.sessions, text) is
  'Has the video room of a session closed, once for each p_again; a chat has none.';
revoke all on function private.close_room from public, anon, authenticated, service_role;

create function private.apply_presence_fact(p_session public.sessions, p_fact private.presence_facts, p_now timestamptz)
returns text
language plpgsql
set search_path = ''
as $$
declare
  v_person public.session_participants;
  v_came_at timestamptz;
begin
  if p_session.status >= 'completed' then
    -- A token is read when somebody enters only: with one from before the end the room would be made anew.
    if p_fact.event = 'participant_joined' then
      perform private.close_room(p_session, ':' || md5(p_fact.event_id));
    end if;
    return 'ignored: after the end';
  end if;
  select p.* into v_person
  from public.session_participants p
  where p.session_id = p_session.id
    and p.closed_at is null
    and p.role || '-' || p.user_id = p_fact.identity
  for update;
  if v_person.user_id is null then
    return 'ignored: not in this session';
  end if;

  if p_fact.event = 'participant_joined' then
    if v_person.is_connected then
      return 'ignored: there already';
    end if;
    if p_fact.occurred_at + private.presence_timeout() <= p_now then
      return 'ignored: too old';
    end if;
    if p_fact.occurred_at <= v_person.left_at then
      return 'ignored: left since';
    end if;
    if exists (
      select
      from private.presence_facts f
      where f.session_id = p_session.id
        and f.identity = p_fact.identity
        and f.event = 'participant_left'
        and f.occurred_at >= p_fact.occurred_at
    ) then
      return 'ignored: left since';
    end if;
    if not private.may_join(p_session, v_person.role, p_now) then
      return 'ignored: cannot be joined yet';
    end if;
    perform private.connect(p_session, v_person.user_id, p_now, true);
    return 'joined';
  end if;

  if not v_person.is_connected then
    return 'ignored: not there';
  end if;
  -- Who only the video server brought in is measured by its own clock, anybody else by his last sign of life.
  v_came_at := v_person.last_seen_at;
  if not private.is_confirmed(v_person) then
    select max(f.occurred_at) into v_came_at
    from private.presence_facts f
    where f.session_id = p_session.id and f.identity = p_fact.identity and f.outcome = 'joined';
  end if;
  if p_fact.occurred_at < v_came_at then
    return 'ignored: seen since';
  end if;
  perform private.disconnect(p_session, v_person.user_id, 'left', v_person.last_seen_at, null);
  return 'left';
end;
$$;
comment on function private.apply_presence_fact(public.sessions, private.presence_facts, timestamptz) is
  'Does what a fact of the video server means, and says what that was. Locks: session (held), participants.';
revoke all on function private.apply_presence_fact from public, anon, authenticated, service_role;

create function private.record_presence_event(
  p_session_id uuid, p_identity text, p_event text, p_event_id text, p_occurred_at timestamptz
)
returns public.sessions
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_session public.sessions;
  v_now timestamptz;
  v_fact private.presence_facts;
begin
  perform private.require_system();
  if p_identity is null
      or p_identity !~ '^(customer|mechanic)-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then
    perform private.fail('invalid_argument', 'p_identity must be customer-<uuid> or mechanic-<uuid>.');
  end if;
  if p_event is null or p_event not in ('participant_joined', 'participant_left') then
    perform private.fail('invalid_argument', 'p_event must be participant_joined or participant_left.');
  end if;
  if p_event_id is null or length(p_event_id) not between 1 and 200 then
    perform private.fail('invalid_argument', 'p_event_id must have 1 to 200 characters.');
  end if;
  if p_occurred_at is null or not isfinite(p_occurred_at) then
    perform private.fail('invalid_argument', 'p_occurred_at must be a time.');
  end if;
  v_session := private.lock_session(p_session_id);
  if v_session.id is null then
    perform private.fail('session_not_found');
  end if;
  if exists (select from private.presence_facts f where f.event_id = p_event_id) then
    return v_session;
  end if;

  v_now := private.session_clock(v_session);
  v_session := private.settle(v_session, v_now);
  v_fact.event_id := p_event_id;
  v_fact.session_id := p_session_id;
  v_fact.identity := p_identity;
  v_fact.event := p_event;
  v_fact.occurred_at := least(p_occurred_at, v_now);
  v_fact.received_at := v_now;
  v_fact.outcome := private.apply_presence_fact(v_session, v_fact, v_now);
  insert into private.presence_facts values (v_fact.*) on conflict (event_id) do nothing;
  select s.* into v_session from public.sessions s where s.id = p_session_id;
  return v_session;
end;
$$;
comment on function private.record_presence_event(uuid, text, text, text, timestamptz) is
  'Behind public.record_presence_event. Locks: session, participants.';
revoke all on function private.record_presence_event from public, anon, authenticated, service_role;
grant execute on function private.record_presence_event to service_role;

create function public.record_presence_event(
  p_session_id uuid, p_identity text, p_event text, p_event_id text, p_occurred_at timestamptz
)
returns public.sessions
language sql
volatile
set search_path = ''
as $$
  select private.record_presence_event(p_session_id, p_identity, p_event, p_event_id, p_occurred_at)
$$;
comment on function public.record_presence_event(uuid, text, text, text, timestamptz) is
  'A fact of the video server: p_identity (customer-<uuid> or mechanic-<uuid>) came (participant_joined) or went '
  '(participant_left) then. In any order, any number of times per p_event_id; never billed on alone. The system. '
  'Errors: invalid_argument, session_not_found, session_locked.';
revoke all on function public.record_presence_event from public, anon, authenticated, service_role;
grant execute on function public.record_presence_event to service_role;

-- Who may enter ---------------------------------------------------------------------------------------------------

create function private.video_access(p_session_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.require_user();
  v_session public.sessions;
  v_role text;
begin
  select s.* into v_session from public.sessions s where s.id = p_session_id;
  v_role := private.role_in(v_session, v_user);
  if v_role is null then
    perform private.fail('session_not_found');
  end if;
  if v_session.type = 'chat' then
    perform private.fail('invalid_argument', 'p_session_id is a chat, which has no video room.');
  end if;
  v_session.status := private.effective_status(v_session);
  if v_session.status >= 'completed' then
    perform private.fail('session_ended');
  end if;
  if not private.may_join(v_session, v_role, private.clock()) then
    perform private.fail('session_not_active', format('A session that is %s cannot be joined yet.', v_session.status));
  end if;
  return jsonb_build_object(
    'session_id', v_session.id,
    'room', private.room_of(v_session.id),
    'identity', v_role || '-' || v_user,
    'role', v_role,
    'user_id', v_user,
    'status', v_session.status
  );
end;
$$;
comment on function private.video_access(uuid) is 'Behind public.video_access.';
revoke all on function private.video_access from public, anon, authenticated, service_role;
grant execute on function private.video_access to authenticated;

create function public.video_access(p_session_id uuid)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select private.video_access(p_session_id)
$$;
comment on function public.video_access(uuid) is
  'Room, identity and role that the caller may enter the video of a session with now, for a token of the video server; '
  'writes nothing. Participants who may join. Errors: session_not_found, session_not_active, session_ended, '
  'invalid_argument (a chat).';
revoke all on function public.video_access from public, anon, authenticated, service_role;
grant execute on function public.video_access to authenticated;
