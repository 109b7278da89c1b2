-- Repairs: what the last audit found, and the one call that puts right what surrounds a session. Its status and its
-- money are mended by the next file.

create table private.findings (
  id bigint generated always as identity primary key,
  section integer not null,
  kind text not null,
  session_id uuid,
  session_version bigint,
  subject text not null,
  severity text not null,
  detail text not null,
  command text not null,
  found_at timestamptz not null default private.clock()
);
comment on table private.findings is
  'What the last audit found that no alert tells of: too dear to look for at every glance. session_version: a session '
  'that has moved on since is looked at anew by the next audit.';
create index findings_session_id_idx on private.findings (session_id) where session_id is not null;
alter table private.findings enable row level security;
revoke all on table private.findings from public, anon, authenticated, service_role;
create policy "nobody reads findings directly" on private.findings using (false);

create function private.repair_people(p_session public.sessions, p_now timestamptz)
returns void
language plpgsql
set search_path = ''
as $$
begin
  update public.session_participants p
  set is_connected = false, presence_check_at = null, left_at = coalesce(p.left_at, p_now), closed_at = p_now,
      updated_at = p_now
  where p.session_id = p_session.id
    and p.closed_at is null
    and private.role_in(p_session, p.user_id) is distinct from p.role;
  insert into public.session_participants as p (session_id, user_id, role, first_joined_at, last_seen_at, left_at)
  select p_session.id, r.user_id, r.role, j.first_at, j.last_at, j.last_at
  from (values ('customer', p_session.customer_user_id), ('mechanic', p_session.mechanic_id)) as r (role, user_id)
  cross join lateral (
    select min(e.occurred_at) filter (where e.type = 'joined') as first_at, max(e.occurred_at) as last_at
    from public.session_events e
    where e.session_id = p_session.id
      and e.type in ('joined', 'left', 'disconnected')
      and e.payload ->> 'user_id' = r.user_id::text
  ) j
  where r.user_id is not null
  on conflict (session_id, user_id) do update
  set role = excluded.role, closed_at = null, updated_at = p_now,
      first_joined_at = coalesce(p.first_joined_at, excluded.first_joined_at);
  update public.session_participants p
  set is_connected = false, presence_check_at = null, left_at = coalesce(p.left_at, p_session.ended_at),
      updated_at = p_now
  where p.session_id = p_session.id and p.is_connected and p_session.status >= 'completed';
end;
$$;
comment on function private.repair_people(public.sessions, timestamptz) is
  'The participants of a session as its row and its events have them. Locks: session (held), participants.';
revoke all on function private.repair_people from public, anon, authenticated, service_role;

create function private.repair_place(p_session public.sessions, p_now timestamptz)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_is_taken boolean := p_session.status not in ('pending', 'scheduled') and p_session.mechanic_id is not null;
  v_status text := case
    when p_session.status in ('pending', 'scheduled') then 'queued'
    when p_session.status < 'completed' then 'accepted'
    when p_session.status = 'cancelled' then 'cancelled'
    when p_session.end_reason = 'completed' then 'completed'
    else 'expired' end;
begin
  insert into public.session_assignments as a (
    session_id, mechanic_id, preferred_mechanic_id, status, accepted_at, closed_at
  )
  values (
    p_session.id, case when v_is_taken then p_session.mechanic_id end, p_session.preferred_mechanic_id, v_status,
    case when v_is_taken then coalesce(p_session.accepted_at, p_now) end,
    case when p_session.status >= 'completed' then p_now end
  )
  on conflict (session_id) do update
  set status = case
        when p_session.status >= 'completed' and a.status not in ('queued', 'accepted') then a.status
        else excluded.status end,
      mechanic_id = excluded.mechanic_id,
      accepted_at = case when v_is_taken then coalesce(a.accepted_at, excluded.accepted_at) end,
      closed_at = case when p_session.status >= 'completed' then coalesce(a.closed_at, p_now) end,
      updated_at = p_now;
end;
$$;
comment on function private.repair_place(public.sessions, timestamptz) is
  'The assignment of a session as its row has it. Locks: session (held), assignment.';
revoke all on function private.repair_place from public, anon, authenticated, service_role;

create function private.repair_session(p_session_id uuid)
returns public.sessions
language plpgsql
set search_path = ''
as $$
declare
  v_session public.sessions := private.lock_session(p_session_id);
  v_now timestamptz := private.session_clock(v_session);
  v_apart_since timestamptz;
begin
  if v_session.id is null then
    perform private.fail('session_not_found');
  end if;
  perform private.repair_people(v_session, v_now);
  perform private.repair_place(v_session, v_now);
  if v_session.metadata ? 'summary' and v_session.summary_submitted_at is null then
    select max(e.occurred_at) into v_session.summary_submitted_at
    from public.session_events e
    where e.session_id = p_session_id and e.type = 'summary_submitted';
  end if;
  if v_session.metadata -> 'auto_ended' is not distinct from 'true' or v_session.metadata ? 'auto_end_reason' then
    v_session.metadata := private.cut_off_mark() || v_session.metadata || '{"auto_ended": true}';
  end if;
  v_session := private.move_session(
    v_session, v_session.status, 'repaired', v_now, private.claimed_user(), '{}'
  );
  if v_session.status = 'live' and not private.are_both_connected(p_session_id) then
    v_apart_since := private.last_together(v_session, v_now);
    v_session.interrupted_at := v_apart_since;
    v_session.grace_ends_at := v_apart_since + private.grace(v_session.type);
    v_session := private.move_session(
      v_session, 'reconnecting', 'reconnecting', v_apart_since, null,
      jsonb_build_object('grace_ends_at', v_session.grace_ends_at)
    );
  end if;
  v_session := private.settle(v_session, v_now);
  v_session := private.start_if_both_present(v_session, v_now, null);
  delete from private.findings f where f.session_id = p_session_id;
  perform private.log_op('session.repaired', p_session_id, '{}');
  return v_session;
end;
$$;
comment on function private.repair_session(uuid) is
  'Puts right what surrounds a session, by its row and its events: its people, its place in the queue, a meter that '
  'runs with one of them away or stands with both there, the time of its summary, why it was closed. Operators; '
  'logged. Locks: session, participants, assignment, and those of an end.';
revoke all on function private.repair_session from public, anon, authenticated, service_role;
