-- Presence: who is there, and the start. The meter starts the moment both are there, once, in whichever order they
-- come. A person's tabs are one presence; who comes back within the grace time goes on.

create function private.may_join(p_session public.sessions, p_role text, p_now timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select p_role is not null and case p_session.status
      when 'pending' then p_role = 'customer'
      when 'waiting' then true
      when 'live' then true
      when 'reconnecting' then true
      when 'scheduled' then p_now >= p_session.scheduled_for - e.early
      when 'accepted' then p_now >= p_session.scheduled_for - e.early
      else false
    end
    from (select make_interval(mins => private.setting_integer('early_join_minutes')) as early) e
  );
end;
$$;
comment on function private.may_join(public.sessions, text, timestamptz) is
  'Whether somebody with this role may join now.';
revoke all on function private.may_join from public, anon, authenticated, service_role;

create function private.start_if_both_present(p_session public.sessions, p_now timestamptz, p_actor_id uuid)
returns public.sessions
language plpgsql
set search_path = ''
as $$
declare
  v_session public.sessions := p_session;
  v_present integer;
begin
  if v_session.status not in ('waiting', 'accepted', 'reconnecting') then
    return v_session;
  end if;
  select count(*) into v_present
  from public.session_participants p
  where p.session_id = v_session.id and p.closed_at is null and p.is_connected;
  if v_present < 2 then
    return v_session;
  end if;
  if v_session.status = 'reconnecting' then
    v_session.interrupted_at := null;
    v_session.grace_ends_at := null;
    return private.move_session(v_session, 'live', 'resumed', p_now, p_actor_id, '{}');
  end if;
  v_session.started_at := p_now;
  v_session.expires_at := public.calculate_session_expiry(p_now, v_session.duration_minutes);
  return private.move_session(
    v_session, 'live', 'started', p_now, p_actor_id, jsonb_build_object('expires_at', v_session.expires_at)
  );
end;
$$;
comment on function private.start_if_both_present(public.sessions, timestamptz, uuid) is
  'Starts or resumes the meter when both are there, who is silent having been dropped before (private.settle). '
  'Locks: session (held), participants.';
revoke all on function private.start_if_both_present from public, anon, authenticated, service_role;

create function private.connect(p_session public.sessions, p_user_id uuid, p_now timestamptz, p_is_video boolean)
returns public.sessions
language plpgsql
set search_path = ''
as $$
declare
  v_session public.sessions := p_session;
  v_was_connected boolean;
begin
  select p.is_connected into v_was_connected
  from public.session_participants p
  where p.session_id = v_session.id and p.user_id = p_user_id
  for update;
  if v_was_connected is null then
    -- An imported session may lack it.
    insert into public.session_participants (session_id, user_id, role)
    values (v_session.id, p_user_id, private.role_in(v_session, p_user_id));
    v_was_connected := false;
  end if;
  if not v_was_connected then
    update public.session_participants p
    set is_connected = true,
        first_joined_at = coalesce(p.first_joined_at, p_now),
        last_seen_at = greatest(p.last_seen_at, p_now),
        left_at = null,
        presence_check_at = p_now + private.presence_timeout(),
        joined_by_video_at = case when p_is_video then p_now end,
        updated_at = private.clock()
    where p.session_id = v_session.id and p.user_id = p_user_id;
    v_session := private.move_session(
      v_session, v_session.status, 'joined', p_now, p_user_id,
      jsonb_strip_nulls(jsonb_build_object(
        'user_id', p_user_id, 'role', private.role_in(v_session, p_user_id),
        'via', case when p_is_video then 'video' end
      ))
    );
  elsif not p_is_video then
    update public.session_participants p
    set last_seen_at = greatest(p.last_seen_at, p_now), joined_by_video_at = null
    where p.session_id = v_session.id and p.user_id = p_user_id;
  end if;
  return private.start_if_both_present(v_session, p_now, p_user_id);
end;
$$;
comment on function private.connect(public.sessions, uuid, timestamptz, boolean) is
  'Writes down that somebody is there, and starts or resumes when both are. The word of the video server connects '
  'once and keeps nobody alive. Locks: session (held), participants.';
revoke all on function private.connect from public, anon, authenticated, service_role;

create function private.join_session(p_session_id uuid)
returns public.sessions
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.require_user();
  v_session public.sessions := private.lock_own_session(p_session_id, v_user);
  v_now timestamptz := private.session_clock(v_session);
begin
  v_session := private.settle(v_session, v_now);
  if v_session.status >= 'completed' then
    perform private.fail('session_ended');
  end if;
  if not private.may_join(v_session, private.role_in(v_session, v_user), v_now) then
    perform private.fail('session_not_active', format('A session that is %s cannot be joined yet.', v_session.status));
  end if;
  return private.connect(v_session, v_user, v_now, false);
end;
$$;
comment on function private.join_session(uuid) is 'Behind public.join_session. Locks: session, participants.';
revoke all on function private.join_session from public, anon, authenticated, service_role;
grant execute on function private.join_session to authenticated;

create function public.join_session(p_session_id uuid)
returns public.sessions
language sql
volatile
set search_path = ''
as $$
  select private.join_session(p_session_id)
$$;
comment on function public.join_session(uuid) is
  'Says that the caller is there; when both are, the session goes live, once, or is resumed. Participants. '
  'Errors: session_not_found, session_not_active, session_ended, session_locked.';
revoke all on function public.join_session from public, anon, authenticated, service_role;
grant execute on function public.join_session to authenticated;

create function private.leave_session(p_session_id uuid)
returns public.sessions
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.require_user();
  v_session public.sessions := private.lock_own_session(p_session_id, v_user);
  v_now timestamptz := private.session_clock(v_session);
begin
  v_session := private.settle(v_session, v_now);
  if v_session.status >= 'completed' then
    return v_session;
  end if;
  perform private.touch(v_session.id, v_user, v_now);
  return private.disconnect(v_session, v_user, 'left', v_now, v_user);
end;
$$;
comment on function private.leave_session(uuid) is 'Behind public.leave_session. Locks: session, participants.';
revoke all on function private.leave_session from public, anon, authenticated, service_role;
grant execute on function private.leave_session to authenticated;

create function public.leave_session(p_session_id uuid)
returns public.sessions
language sql
volatile
set search_path = ''
as $$
  select private.leave_session(p_session_id)
$$;
comment on function public.leave_session(uuid) is
  'Says that the caller is gone; a live session becomes reconnecting. After the end, or again: the session. '
  'Participants. Errors: session_not_found, session_locked.';
revoke all on function public.leave_session from public, anon, authenticated, service_role;
grant execute on function public.leave_session to authenticated;

create function private.heartbeat_session(p_session_id uuid)
returns public.sessions
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.require_user();
  v_session public.sessions;
  v_now timestamptz;
  v_has_joined boolean;
begin
  select s.* into v_session from public.sessions s where s.id = p_session_id;
  if private.role_in(v_session, v_user) is null then
    perform private.fail('session_not_found');
  end if;
  if v_session.status >= 'completed' then
    return v_session;
  end if;
  v_now := private.session_clock(v_session);
  if not private.is_due(v_session, v_now) and private.touch(p_session_id, v_user, v_now) then
    return v_session;
  end if;

  v_session := private.lock_own_session(p_session_id, v_user);
  v_now := private.session_clock(v_session);
  v_session := private.settle(v_session, v_now);
  select p.first_joined_at is not null into v_has_joined
  from public.session_participants p
  where p.session_id = p_session_id and p.user_id = v_user;
  if v_session.status < 'completed'
      and v_has_joined
      and private.may_join(v_session, private.role_in(v_session, v_user), v_now) then
    return private.connect(v_session, v_user, v_now, false);
  end if;
  return v_session;
end;
$$;
comment on function private.heartbeat_session(uuid) is
  'Behind public.heartbeat_session. The usual beat is one HOT update without the session''s lock; who was away comes '
  'back as by join_session. Locks then: session, participants.';
revoke all on function private.heartbeat_session from public, anon, authenticated, service_role;
grant execute on function private.heartbeat_session to authenticated;

create function public.heartbeat_session(p_session_id uuid)
returns public.sessions
language sql
volatile
set search_path = ''
as $$
  select private.heartbeat_session(p_session_id)
$$;
comment on function public.heartbeat_session(uuid) is
  'A sign of life, every 30 s or so; who was away comes back by it. After the end: the session. Participants. '
  'Errors: session_not_found, session_locked.';
revoke all on function public.heartbeat_session from public, anon, authenticated, service_role;
grant execute on function public.heartbeat_session to authenticated;

create function private.start_session(p_session_id uuid)
returns public.sessions
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.require_user();
  v_session public.sessions := private.lock_own_session(p_session_id, v_user);
  v_now timestamptz := private.session_clock(v_session);
begin
  v_session := private.settle(v_session, v_now);
  if v_session.status >= 'completed' then
    perform private.fail('session_ended');
  end if;
  perform private.touch(v_session.id, v_user, v_now);
  v_session := private.start_if_both_present(v_session, v_now, v_user);
  if v_session.status <> 'live' then
    perform private.fail('not_both_present', null, 'Both call join_session first.');
  end if;
  return v_session;
end;
$$;
comment on function private.start_session(uuid) is 'Behind public.start_session. Locks: session, participants.';
revoke all on function private.start_session from public, anon, authenticated, service_role;
grant execute on function private.start_session to authenticated;

create function public.start_session(p_session_id uuid)
returns public.sessions
language sql
volatile
set search_path = ''
as $$
  select private.start_session(p_session_id)
$$;
comment on function public.start_session(uuid) is
  'Asks for the start; joining starts by itself, so this only tells whether it has. Participants. '
  'Errors: session_not_found, not_both_present, session_ended, session_locked.';
revoke all on function public.start_session from public, anon, authenticated, service_role;
grant execute on function public.start_session to authenticated;
