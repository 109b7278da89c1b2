-- Ending: what is over is written down, by whoever comes first, with the same result. A participant, an admin or
-- the system asks; the database decides (private.decide_end) and writes status, times, assignment, presence and the
-- event in one transaction. Later capabilities hang their part (money, messages) on the `ended` event.

create type public.session_end_result as (
  session_id uuid,
  final_status public.session_status,
  already_ended boolean,
  started boolean,
  started_at timestamptz,
  ended_at timestamptz,
  duration_seconds integer,
  billable_seconds integer,
  reason text,
  payout_cents integer,
  refund_cents integer,
  currency text
);
comment on type public.session_end_result is
  'The outcome of a session. Seconds and minor units; payout to the mechanic, refund to the customer.';

create function private.end_result(p_session public.sessions, p_already_ended boolean)
returns public.session_end_result
language sql
stable
set search_path = ''
as $$
  select (
    p_session.id, p_session.status, p_already_ended, p_session.started_at is not null, p_session.started_at,
    p_session.ended_at, coalesce(p_session.duration_seconds, 0), coalesce(p_session.billable_seconds, 0),
    p_session.end_reason, 0, 0, p_session.currency
  )::public.session_end_result
$$;
comment on function private.end_result(public.sessions, boolean) is
  'The stored outcome of a session. No money is held for free sessions, so none is paid or given back.';
revoke all on function private.end_result from public, anon, authenticated, service_role;

create function private.disconnect(
  p_session public.sessions, p_user_id uuid, p_type text, p_at timestamptz, p_actor_id uuid
)
returns public.sessions
language plpgsql
set search_path = ''
as $$
declare
  v_session public.sessions := p_session;
  v_role text;
begin
  update public.session_participants p
  set is_connected = false, left_at = p_at, presence_check_at = null, updated_at = private.clock()
  where p.session_id = v_session.id and p.user_id = p_user_id and p.is_connected
  returning p.role into v_role;
  if v_role is null then
    return v_session;
  end if;
  v_session := private.move_session(
    v_session, v_session.status, p_type, p_at, p_actor_id, jsonb_build_object('user_id', p_user_id, 'role', v_role)
  );
  if v_session.status = 'live' then
    v_session.interrupted_at := greatest(p_at, v_session.started_at);
    v_session.grace_ends_at := v_session.interrupted_at + private.grace(v_session.type);
    v_session := private.move_session(
      v_session, 'reconnecting', 'reconnecting', v_session.interrupted_at, p_actor_id,
      jsonb_build_object('absent_role', v_role, 'grace_ends_at', v_session.grace_ends_at)
    );
  end if;
  return v_session;
end;
$$;
comment on function private.disconnect(public.sessions, uuid, text, timestamptz, uuid) is
  'Writes down that somebody is gone since then; a live session becomes reconnecting. Locks: session (held), '
  'participant.';
revoke all on function private.disconnect from public, anon, authenticated, service_role;

create function private.drop_silent(p_session public.sessions, p_now timestamptz)
returns public.sessions
language plpgsql
set search_path = ''
as $$
declare
  v_session public.sessions := p_session;
  v_as_of timestamptz := least(p_now, p_session.expires_at);
  v_silent record;
begin
  for v_silent in
    select p.user_id, p.last_seen_at
    from public.session_participants p
    where p.session_id = v_session.id and p.is_connected and p.last_seen_at + private.presence_timeout() <= v_as_of
    order by p.last_seen_at, p.user_id
    for update
  loop
    v_session := private.disconnect(v_session, v_silent.user_id, 'disconnected', v_silent.last_seen_at, null);
  end loop;
  return v_session;
end;
$$;
comment on function private.drop_silent(public.sessions, timestamptz) is
  'Disconnects who has given no sign of life for presence_timeout_seconds, dated back to the last one. '
  'Locks: session (held), participants.';
revoke all on function private.drop_silent from public, anon, authenticated, service_role;

create function private.end_session(
  p_session public.sessions, p_now timestamptz, p_cause text, p_asker_id uuid, p_note text
)
returns public.sessions
language plpgsql
set search_path = ''
as $$
declare
  v_session public.sessions := p_session;
  v_is_over boolean := private.is_over(p_session, p_now);
  v_asker uuid := case when not v_is_over then p_asker_id end;
  v_asked_by text;
  v_rule private.billing_rule := private.billing_rule();
  v_facts private.end_facts;
  v_decision private.end_decision;
begin
  if v_session.status >= 'completed' then
    return v_session;
  end if;
  if v_asker is not null then
    v_asked_by := coalesce(private.role_in(v_session, v_asker), 'admin');
  end if;
  v_facts := private.end_facts(v_session, p_now, p_cause, v_asked_by);
  v_decision := private.decide_end(v_facts, v_rule);

  if v_session.started_at is null and v_facts.started_at is not null then
    v_session.started_at := v_facts.started_at;
    v_session.expires_at := public.calculate_session_expiry(v_facts.started_at, v_session.duration_minutes);
    v_session := private.move_session(
      v_session, 'live', 'started', v_facts.started_at, null, '{"found_in": "join and leave events"}'
    );
  end if;

  v_session.ended_at := v_facts.over_at;
  v_session.duration_seconds := v_decision.duration_seconds;
  v_session.billable_seconds := v_decision.billable_seconds;
  v_session.both_present_seconds := v_facts.both_present_seconds;
  v_session.end_reason := v_decision.reason;
  v_session.ended_by := v_asker;
  v_session.end_note := left(p_note, 500);
  v_session := private.move_session(
    v_session, v_decision.status, 'ended', v_facts.over_at, v_asker,
    jsonb_build_object(
      'reason', v_decision.reason,
      'duration_seconds', v_decision.duration_seconds,
      'billable_seconds', v_decision.billable_seconds,
      'rule', to_jsonb(v_rule),
      'facts', to_jsonb(v_facts)
    )
  );

  update public.session_participants p
  set is_connected = false, presence_check_at = null, left_at = coalesce(p.left_at, v_session.ended_at),
      updated_at = private.clock()
  where p.session_id = v_session.id and p.is_connected;
  update public.session_assignments a
  set status = case v_session.status
        when 'completed' then 'completed'
        when 'cancelled' then 'cancelled'
        else 'expired' end,
      closed_at = p_now, updated_at = private.clock()
  where a.session_id = v_session.id and a.closed_at is null;
  return v_session;
end;
$$;
comment on function private.end_session(public.sessions, timestamptz, text, uuid, text) is
  'Ends a session as the facts and the rules have it; a terminal one is returned as it is. p_cause is the reason of '
  'a job (orphaned, unattended), p_asker_id who asked (null: the system). Locks: session (held), participants, '
  'assignment.';
revoke all on function private.end_session from public, anon, authenticated, service_role;

create function private.settle(p_session public.sessions, p_now timestamptz)
returns public.sessions
language plpgsql
set search_path = ''
as $$
declare
  v_session public.sessions := p_session;
begin
  if v_session.status not in ('live', 'reconnecting') then
    return v_session;
  end if;
  v_session := private.drop_silent(v_session, p_now);
  if private.is_over(v_session, p_now) then
    v_session := private.end_session(v_session, p_now, null, null, null);
  end if;
  return v_session;
end;
$$;
comment on function private.settle(public.sessions, timestamptz) is
  'Writes down what is already true of a running session: who dropped out, and that it is over. Every command does '
  'it first, so that nothing depends on when a job runs. Locks: session (held), participants, assignment.';
revoke all on function private.settle from public, anon, authenticated, service_role;

create function private.end_session_with_semantics(p_session_id uuid, p_reason text)
returns public.session_end_result
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_user uuid;
  v_session public.sessions;
  v_now timestamptz;
begin
  if private.is_system() or private.is_admin() then
    v_user := private.claimed_user();
    v_session := private.lock_session(p_session_id);
    if v_session.id is null then
      perform private.fail('session_not_found');
    end if;
  else
    v_user := private.require_user();
    v_session := private.lock_own_session(p_session_id, v_user);
  end if;
  if v_session.status >= 'completed' then
    return private.end_result(v_session, true);
  end if;

  v_now := private.session_clock(v_session);
  if v_session.started_at is not null then
    v_session := private.drop_silent(v_session, v_now);
  end if;
  -- Asking is a sign of life of who asks, as of now and not before.
  update public.session_participants p
  set last_seen_at = greatest(p.last_seen_at, v_now)
  where p.session_id = v_session.id and p.user_id = v_user and p.is_connected;
  v_session := private.end_session(v_session, v_now, null, v_user, p_reason);
  return private.end_result(v_session, false);
end;
$$;
comment on function private.end_session_with_semantics(uuid, text) is 'Behind public.end_session_with_semantics.';
revoke all on function private.end_session_with_semantics from public, anon, authenticated, service_role;
grant execute on function private.end_session_with_semantics to authenticated, service_role;

create function public.end_session_with_semantics(p_session_id uuid, p_reason text default null)
returns public.session_end_result
language sql
volatile
set search_path = ''
as $$
  select private.end_session_with_semantics(p_session_id, p_reason)
$$;
comment on function public.end_session_with_semantics(uuid, text) is
  'Ends a session and says what that means; the server decides status, times and amounts, p_reason is only kept as a '
  'note (500 characters). Ended already: the stored result with already_ended. Participants, admins, the system. '
  'Errors: session_not_found, session_locked.';
revoke all on function public.end_session_with_semantics from public, anon, authenticated, service_role;
grant execute on function public.end_session_with_semantics to authenticated, service_role;

-- Orphans -------------------------------------------------------------------------------------------------------

create function private.expire_orphaned_sessions(p_limit integer)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_session public.sessions;
  v_since timestamptz;
  v_expired integer := 0;
begin
  perform private.require_system();
  if p_limit is null or p_limit < 1 then
    perform private.fail('invalid_argument', 'p_limit must be at least 1.');
  end if;
  v_since := private.clock() - make_interval(mins => private.setting_integer('orphan_after_minutes'));
  for v_session in
    select s.*
    from public.sessions s
    where s.status < 'live' and greatest(s.created_at, s.scheduled_for, s.accepted_at) < v_since
    order by greatest(s.created_at, s.scheduled_for, s.accepted_at)
    limit p_limit
    for no key update skip locked
  loop
    begin
      perform private.end_session(v_session, private.session_clock(v_session), 'orphaned', null, null);
      v_expired := v_expired + 1;
    exception
      when others then
        perform private.log_op('session.expire_failed', v_session.id, jsonb_build_object(
          'error', sqlerrm, 'sqlstate', sqlstate
        ));
    end;
  end loop;
  return v_expired;
end;
$$;
comment on function private.expire_orphaned_sessions(integer) is
  'Behind public.expire_orphaned_sessions. A row that cannot be ended is logged and does not stop the others.';
revoke all on function private.expire_orphaned_sessions from public, anon, authenticated, service_role;
grant execute on function private.expire_orphaned_sessions to service_role;

create function public.expire_orphaned_sessions(p_limit integer default 1000)
returns integer
language sql
volatile
set search_path = ''
as $$
  select private.expire_orphaned_sessions(p_limit)
$$;
comment on function public.expire_orphaned_sessions(integer) is
  'Expires sessions that waited longer than orphan_after_minutes since they were made, booked for or accepted, at '
  'most p_limit, skipping locked ones; returns how many. The system. Errors: invalid_argument.';
revoke all on function public.expire_orphaned_sessions from public, anon, authenticated, service_role;
grant execute on function public.expire_orphaned_sessions to service_role;

-- A deleted person's session ends ---------------------------------------------------------------------------------

create function private.end_sessions_of_deleted()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_id uuid;
  v_session public.sessions;
begin
  for v_id in
    select s.id
    from public.sessions s
    where s.status < 'completed' and new.id in (s.customer_user_id, s.mechanic_id)
  loop
    begin
      v_session := private.lock_session(v_id);
      if v_session.started_at is not null then
        v_session := private.drop_silent(v_session, private.session_clock(v_session));
      end if;
      perform private.end_session(
        v_session, private.session_clock(v_session), null,
        case when new.id in (v_session.customer_user_id, v_session.mechanic_id) then new.id end, 'account deleted'
      );
    exception
      when others then
        perform private.log_op('session.end_failed', v_id, jsonb_build_object('error', sqlerrm));
    end;
  end loop;
  return null;
end;
$$;
comment on function private.end_sessions_of_deleted() is
  'Trigger: ends the active sessions of somebody whose account is deleted. Never blocks the deletion.';
revoke all on function private.end_sessions_of_deleted from public, anon, authenticated, service_role;

create trigger deleted_people_leave_no_active_session
after update of deleted_at on public.profiles
for each row when (old.deleted_at is null and new.deleted_at is not null)
execute function private.end_sessions_of_deleted();
