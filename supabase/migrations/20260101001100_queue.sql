-- Queue: mechanics see what waits, and exactly one gets it. A preferred mechanic sees a session alone for a while;
-- nobody is offered his own, or again what he declined or gave back.

create function private.require_mechanic()
returns public.mechanics
language plpgsql
stable
set search_path = ''
as $$
declare
  v_profile public.profiles := private.require_profile();
  v_mechanic public.mechanics;
begin
  select m.* into v_mechanic
  from public.mechanics m
  where m.id = v_profile.id and m.status = 'approved' and m.is_accepting;
  if v_mechanic.id is null then
    perform private.fail(
      'role_required', 'The caller is not an approved mechanic who takes sessions.',
      'An admin approves; set_availability(true) takes sessions again.'
    );
  end if;
  return v_mechanic;
end;
$$;
comment on function private.require_mechanic() is 'The caller, if approved and accepting; else role_required.';
revoke all on function private.require_mechanic from public, anon, authenticated, service_role;

create type public.queue_entry as (
  assignment_id uuid,
  session_id uuid,
  plan text,
  type text,
  intake jsonb,
  customer_display_name text,
  scheduled_for timestamptz,
  waiting_seconds integer,
  is_preferred boolean,
  created_at timestamptz
);
comment on type public.queue_entry is 'A row of mechanic_queue: what a mechanic may know before accepting.';

create table private.assignment_refusals (
  assignment_id uuid not null references public.session_assignments (id),
  mechanic_id uuid not null references public.mechanics (id),
  kind text not null,
  reason text,
  created_at timestamptz not null default private.clock(),
  primary key (assignment_id, mechanic_id),
  constraint kind_is_known check (kind in ('declined', 'released')),
  constraint reason_is_bounded check (length(reason) <= 500)
);
comment on table private.assignment_refusals is 'Who declined an assignment or gave it back: never offered it again.';
create index assignment_refusals_mechanic_id_idx on private.assignment_refusals (mechanic_id, created_at);
alter table private.assignment_refusals enable row level security;
revoke all on table private.assignment_refusals from public, anon, authenticated, service_role;
create policy "nobody reads refusals directly" on private.assignment_refusals using (false);

create function private.has_refused(p_assignment_id uuid, p_mechanic_id uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (
    select
    from private.assignment_refusals r
    where r.assignment_id = p_assignment_id and r.mechanic_id = p_mechanic_id
  );
end;
$$;
comment on function private.has_refused(uuid, uuid) is 'Whether a mechanic declined an assignment or gave it back.';
revoke all on function private.has_refused from public, anon, authenticated, service_role;

create function private.has_just_refused(
  p_assignment_id uuid, p_mechanic_id uuid, p_kind text, p_session public.sessions
)
returns boolean
language sql
stable
set search_path = ''
as $$
  select p_session.status in ('pending', 'scheduled') and exists (
    select
    from private.assignment_refusals r
    where r.assignment_id = p_assignment_id
      and r.mechanic_id = p_mechanic_id
      and r.kind = p_kind
      and r.created_at >= p_session.last_event_at
  )
$$;
comment on function private.has_just_refused(uuid, uuid, text, public.sessions) is
  'Whether a mechanic asks again to refuse what he has refused, nothing having happened since: he is told the same.';
revoke all on function private.has_just_refused from public, anon, authenticated, service_role;

create function private.is_offered(
  p_assignment public.session_assignments, p_customer_id uuid, p_mechanic_id uuid, p_now timestamptz
)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return p_customer_id <> p_mechanic_id
    and (
      p_assignment.visible_to_all_at <= p_now
      or p_assignment.preferred_mechanic_id is not distinct from p_mechanic_id
    )
    and not private.has_refused(p_assignment.id, p_mechanic_id);
end;
$$;
comment on function private.is_offered(public.session_assignments, uuid, uuid, timestamptz) is
  'Whether a mechanic may see and accept an assignment: not his own, not reserved for another, not refused by him.';
revoke all on function private.is_offered from public, anon, authenticated, service_role;

create function private.mechanic_queue(p_limit integer)
returns setof public.queue_entry
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_mechanic public.mechanics := private.require_mechanic();
  v_limit integer := private.page_limit(p_limit);
  v_now timestamptz := private.clock();
begin
  return query
  select
    a.id, s.id, s.plan, s.type, s.intake, p.display_name, s.scheduled_for,
    greatest(0, floor(extract(epoch from v_now - greatest(s.created_at, s.scheduled_for))))::integer,
    coalesce(a.preferred_mechanic_id = v_mechanic.id, false),
    a.created_at
  from public.session_assignments a
  join public.sessions s on s.id = a.session_id
  join public.profiles p on p.id = s.customer_user_id
  where a.status = 'queued' and private.is_offered(a, s.customer_user_id, v_mechanic.id, v_now)
  order by coalesce(a.preferred_mechanic_id = v_mechanic.id, false) desc, a.created_at, a.id
  limit v_limit;
end;
$$;
comment on function private.mechanic_queue(integer) is 'Behind public.mechanic_queue.';
revoke all on function private.mechanic_queue from public, anon, authenticated, service_role;
grant execute on function private.mechanic_queue to authenticated;

create function public.mechanic_queue(p_limit integer default 100)
returns setof public.queue_entry
language sql
stable
set search_path = ''
as $$
  select * from private.mechanic_queue(p_limit)
$$;
comment on function public.mechanic_queue(integer) is
  'What waits for a mechanic: sessions that prefer the caller first, then the oldest. Approved, accepting mechanics. '
  'Errors: role_required, invalid_argument.';
revoke all on function public.mechanic_queue from public, anon, authenticated, service_role;
grant execute on function public.mechanic_queue to authenticated;

create function private.planned_time(p_session public.sessions, p_now timestamptz)
returns tstzrange
language plpgsql
immutable
set search_path = ''
as $$
begin
  return tstzrange(
    greatest(p_session.scheduled_for, p_now),
    greatest(p_session.scheduled_for, p_now) + make_interval(mins => p_session.duration_minutes)
  );
end;
$$;
comment on function private.planned_time(public.sessions, timestamptz) is 'When a session not yet started would run.';
revoke all on function private.planned_time from public, anon, authenticated, service_role;

create function private.accept_assignment(p_assignment_id uuid)
returns public.sessions
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_mechanic_id uuid := private.require_user();
  v_mechanic public.mechanics;
  v_assignment public.session_assignments;
  v_session public.sessions;
  v_is_for_later boolean;
  v_now timestamptz;
  v_busy integer;
begin
  select a.* into v_assignment from public.session_assignments a where a.id = p_assignment_id;
  if v_assignment.mechanic_id is distinct from v_mechanic_id then
    perform private.require_mechanic();
  end if;
  if v_assignment.id is null then
    perform private.fail('assignment_not_found');
  end if;
  v_session := private.lock_session(v_assignment.session_id);
  v_now := private.session_clock(v_session);
  v_session := private.settle(v_session, v_now);
  select a.* into v_assignment from public.session_assignments a where a.id = p_assignment_id;
  if v_session.mechanic_id = v_mechanic_id then
    return v_session;
  end if;
  v_mechanic := private.require_mechanic();
  if not private.is_offered(v_assignment, v_session.customer_user_id, v_mechanic_id, v_now) then
    perform private.fail('assignment_not_found');
  end if;
  if v_session.status >= 'completed' then
    perform private.fail('session_ended');
  end if;
  if v_session.mechanic_id is not null then
    perform private.fail('assignment_taken', null, 'Look into the queue again.');
  end if;

  -- One mechanic accepting two assignments at once queues here.
  select m.* into v_mechanic from public.mechanics m where m.id = v_mechanic_id for no key update;
  if v_mechanic.status <> 'approved' then
    perform private.fail('role_required', 'The caller is not an approved mechanic.');
  end if;
  v_is_for_later := coalesce(v_session.scheduled_for > v_now, false);
  select count(*) into v_busy
  from public.sessions s
  where s.mechanic_id = v_mechanic_id
    and (
      (
        (s.status in ('waiting', 'live', 'reconnecting') or (s.status = 'accepted' and s.scheduled_for <= v_now))
        and not v_is_for_later
        and not private.is_over(s, greatest(v_now, s.last_event_at))
      )
      or (
        s.status = 'accepted'
        and s.scheduled_for > v_now
        and private.planned_time(s, v_now) && private.planned_time(v_session, v_now)
      )
    );
  if v_busy >= private.setting_integer('max_active_sessions_per_mechanic') then
    perform private.fail('mechanic_busy', null, 'Finish the present session first.');
  end if;

  v_session.mechanic_id := v_mechanic_id;
  v_session.accepted_at := v_now;
  v_session := private.move_session(
    v_session, case when v_is_for_later then 'accepted' else 'waiting' end::public.session_status,
    'accepted', v_now, v_mechanic_id, jsonb_build_object('assignment_id', p_assignment_id)
  );
  insert into public.session_participants (session_id, user_id, role) values (v_session.id, v_mechanic_id, 'mechanic');
  update public.session_assignments a
  set status = 'accepted', mechanic_id = v_mechanic_id, accepted_at = v_now, updated_at = v_now
  where a.id = p_assignment_id;
  return v_session;
end;
$$;
comment on function private.accept_assignment(uuid) is
  'Behind public.accept_assignment. Locks: session (decides between mechanics), mechanic (decides between sessions), '
  'participant, assignment.';
revoke all on function private.accept_assignment from public, anon, authenticated, service_role;
grant execute on function private.accept_assignment to authenticated;

create function public.accept_assignment(p_assignment_id uuid)
returns public.sessions
language sql
volatile
set search_path = ''
as $$
  select private.accept_assignment(p_assignment_id)
$$;
comment on function public.accept_assignment(uuid) is
  'Takes a session out of the queue: exactly one mechanic wins, who gets the session as waiting, or as accepted when '
  'it is booked for later. Again by the winner: the session. Approved, accepting mechanics. Errors: role_required, '
  'assignment_not_found, assignment_taken, mechanic_busy, session_ended, session_locked.';
revoke all on function public.accept_assignment from public, anon, authenticated, service_role;
grant execute on function public.accept_assignment to authenticated;

create function private.refuse_assignment(
  p_assignment_id uuid, p_mechanic_id uuid, p_kind text, p_reason text, p_now timestamptz
)
returns void
language sql
volatile
set search_path = ''
as $$
  insert into private.assignment_refusals (assignment_id, mechanic_id, kind, reason, created_at)
  values (p_assignment_id, p_mechanic_id, p_kind, left(p_reason, 500), p_now)
  on conflict (assignment_id, mechanic_id) do nothing
$$;
comment on function private.refuse_assignment(uuid, uuid, text, text, timestamptz) is
  'Keeps who will not be offered this again.';
revoke all on function private.refuse_assignment from public, anon, authenticated, service_role;

create function private.open_window(p_assignment public.session_assignments, p_now timestamptz)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  update public.session_assignments a
  set visible_to_all_at = least(a.visible_to_all_at, p_now), announced_at = p_now, updated_at = p_now
  where a.id = p_assignment.id and a.status = 'queued' and a.announced_at is null;
  return found;
end;
$$;
comment on function private.open_window(public.session_assignments, timestamptz) is
  'Offers an assignment to all mechanics and tells them; says whether it was reserved. Locks: assignment.';
revoke all on function private.open_window from public, anon, authenticated, service_role;

create function private.decline_assignment(p_assignment_id uuid, p_reason text)
returns public.sessions
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_mechanic public.mechanics := private.require_mechanic();
  v_assignment public.session_assignments;
  v_session public.sessions;
  v_now timestamptz;
begin
  select a.* into v_assignment from public.session_assignments a where a.id = p_assignment_id;
  if v_assignment.id is null then
    perform private.fail('assignment_not_found');
  end if;
  v_session := private.lock_session(v_assignment.session_id);
  v_now := private.session_clock(v_session);
  v_session := private.settle(v_session, v_now);
  select a.* into v_assignment from public.session_assignments a where a.id = p_assignment_id for update;
  if private.has_just_refused(p_assignment_id, v_mechanic.id, 'declined', v_session) then
    return v_session;
  end if;
  if not private.is_offered(v_assignment, v_session.customer_user_id, v_mechanic.id, v_now) then
    perform private.fail('assignment_not_found');
  end if;
  if v_session.status >= 'completed' then
    perform private.fail('session_ended');
  end if;
  if v_session.mechanic_id is not null then
    perform private.fail('assignment_taken', null, 'Who accepted gives it back by release_assignment.');
  end if;

  perform private.refuse_assignment(p_assignment_id, v_mechanic.id, 'declined', p_reason, v_now);
  if v_assignment.preferred_mechanic_id = v_mechanic.id then
    perform private.open_window(v_assignment, v_now);
  end if;
  return v_session;
end;
$$;
comment on function private.decline_assignment(uuid, text) is
  'Behind public.decline_assignment. Locks: session, assignment.';
revoke all on function private.decline_assignment from public, anon, authenticated, service_role;
grant execute on function private.decline_assignment to authenticated;

create function public.decline_assignment(p_assignment_id uuid, p_reason text default null)
returns public.sessions
language sql
volatile
set search_path = ''
as $$
  select private.decline_assignment(p_assignment_id, p_reason)
$$;
comment on function public.decline_assignment(uuid, text) is
  'Hides an assignment from the caller; a preferred mechanic''s decline opens it to all at once. p_reason is kept (500 '
  'characters). Approved, accepting mechanics. Errors: role_required, assignment_not_found, assignment_taken, '
  'session_ended, session_locked.';
revoke all on function public.decline_assignment from public, anon, authenticated, service_role;
grant execute on function public.decline_assignment to authenticated;

create function private.release_assignment(p_assignment_id uuid, p_reason text)
returns public.sessions
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_mechanic_id uuid := private.require_user();
  v_assignment public.session_assignments;
  v_session public.sessions;
  v_now timestamptz;
begin
  select a.* into v_assignment
  from public.session_assignments a
  where a.id = p_assignment_id
    and (a.mechanic_id = v_mechanic_id or private.has_refused(a.id, v_mechanic_id));
  if v_assignment.id is null then
    perform private.fail('assignment_not_found');
  end if;
  v_session := private.lock_session(v_assignment.session_id);
  v_now := private.session_clock(v_session);
  v_session := private.settle(v_session, v_now);
  if v_session.mechanic_id is distinct from v_mechanic_id then
    if private.has_just_refused(p_assignment_id, v_mechanic_id, 'released', v_session) then
      return v_session;
    end if;
    perform private.fail('assignment_not_found');
  end if;
  if v_session.status >= 'completed' then
    perform private.fail('session_ended');
  end if;
  if v_session.status not in ('waiting', 'accepted') then
    perform private.fail(
      'session_not_active', format('A session that is %s cannot be given back.', v_session.status), 'End it instead.'
    );
  end if;

  perform from public.mechanics m where m.id = v_mechanic_id for no key update;
  v_session := private.disconnect(v_session, v_mechanic_id, 'left', v_now, v_mechanic_id);
  v_session := private.move_session(
    v_session, case v_session.status when 'accepted' then 'scheduled' else 'pending' end::public.session_status,
    'released', v_now, v_mechanic_id,
    jsonb_build_object('assignment_id', p_assignment_id, 'mechanic_id', v_mechanic_id)
  );
  perform private.refuse_assignment(p_assignment_id, v_mechanic_id, 'released', p_reason, v_now);
  return v_session;
end;
$$;
comment on function private.release_assignment(uuid, text) is
  'Behind public.release_assignment. Locks: session, mechanic, participant, assignment.';
revoke all on function private.release_assignment from public, anon, authenticated, service_role;
grant execute on function private.release_assignment to authenticated;

create function public.release_assignment(p_assignment_id uuid, p_reason text default null)
returns public.sessions
language sql
volatile
set search_path = ''
as $$
  select private.release_assignment(p_assignment_id, p_reason)
$$;
comment on function public.release_assignment(uuid, text) is
  'The accepting mechanic gives a session back before its start: it is in the queue again with its age, and never '
  'offered to him again. p_reason is kept (500 characters). Errors: assignment_not_found, session_not_active, '
  'session_ended, session_locked.';
revoke all on function public.release_assignment from public, anon, authenticated, service_role;
grant execute on function public.release_assignment to authenticated;
