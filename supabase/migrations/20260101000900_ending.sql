-- Ending: what is over is written down, by whoever comes first, with the same result. A participant, an admin or
-- the system asks; the database decides (private.decide_end) and writes status, times, assignment, presence and the
-- event in one transaction. Later capabilities hang their part (money, messages) on the `ended` event.

create function private.end_result(p_session public.sessions, p_already_ended boolean, p_split private.split)
returns public.session_end_result
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    p_session.id, p_session.status, p_already_ended, p_session.started_at is not null, p_session.started_at,
    p_session.ended_at, coalesce(p_session.duration_seconds, 0), coalesce(p_session.billable_seconds, 0),
    p_session.end_reason, coalesce(p_split.share_cents, 0), coalesce(p_split.refund_cents, 0), p_session.currency
  )::public.session_end_result;
end;
$$;
comment on function private.end_result(public.sessions, boolean, private.split) is
  'The outcome of a session, with what the mechanic earned and the customer got back.';
revoke all on function private.end_result from public, anon, authenticated, service_role;

create function private.stored_result(p_session public.sessions, p_already_ended boolean)
returns public.session_end_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_split private.split;
begin
  select t.refund_cents, t.share_cents, t.platform_cents, t.referral_cents into v_split
  from private.settlements t
  where t.session_id = p_session.id;
  return private.end_result(p_session, p_already_ended, v_split);
end;
$$;
comment on function private.stored_result(public.sessions, boolean) is 'The outcome of a session that has ended.';
revoke all on function private.stored_result from public, anon, authenticated, service_role;

create function private.touch(p_session_id uuid, p_user_id uuid, p_now timestamptz)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  update public.session_participants p
  set last_seen_at = greatest(p.last_seen_at, p_now), joined_by_video_at = null
  where p.session_id = p_session_id
    and p.user_id = p_user_id
    and p.is_connected
    and not private.is_silent(p, p_now, private.presence_timeout());
  return found;
end;
$$;
comment on function private.touch(uuid, uuid, timestamptz) is
  'A sign of life of somebody who is connected and not silent for too long: one HOT update. Says whether he was. '
  'Locks: his row.';
revoke all on function private.touch from public, anon, authenticated, service_role;

create function private.disconnect(
  p_session public.sessions, p_user_id uuid, p_type text, p_at timestamptz, p_actor_id uuid
)
returns public.sessions
language plpgsql
set search_path = ''
as $$
declare
  v_session public.sessions := p_session;
  v_person public.session_participants;
  v_apart_since timestamptz;
begin
  select p.* into v_person
  from public.session_participants p
  where p.session_id = v_session.id and p.user_id = p_user_id and p.is_connected
  for update;
  if v_person.user_id is null then
    return v_session;
  end if;
  if v_session.started_at is not null then
    v_apart_since := private.last_together(v_session, p_at);
  end if;
  update public.session_participants p
  set is_connected = false, left_at = p_at, presence_check_at = null, updated_at = private.clock()
  where p.session_id = v_session.id and p.user_id = p_user_id;
  -- An interruption stands once it is written down, unless it ended a presence that never was.
  if v_apart_since < v_session.interrupted_at and not private.is_confirmed(v_person) then
    v_session.interrupted_at := v_apart_since;
    v_session.grace_ends_at := v_apart_since + private.grace(v_session.type);
  end if;
  v_session := private.move_session(
    v_session, v_session.status, p_type, p_at, p_actor_id,
    jsonb_build_object('user_id', p_user_id, 'role', v_person.role)
  );
  if v_session.status = 'live' then
    v_session.interrupted_at := v_apart_since;
    v_session.grace_ends_at := v_apart_since + private.grace(v_session.type);
    v_session := private.move_session(
      v_session, 'reconnecting', 'reconnecting', v_apart_since, p_actor_id,
      jsonb_build_object('absent_role', v_person.role, 'grace_ends_at', v_session.grace_ends_at)
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
  v_as_of timestamptz := private.as_of(p_session, p_now);
  v_timeout interval := private.presence_timeout();
  v_silent record;
begin
  for v_silent in
    select p.user_id, p.last_seen_at
    from public.session_participants p
    where p.session_id = v_session.id and private.is_silent(p, v_as_of, v_timeout)
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

create function private.ended(
  p_session public.sessions, p_now timestamptz, p_facts private.end_facts, p_decision private.end_decision
)
returns public.sessions
language plpgsql
stable
set search_path = ''
as $$
declare
  v_session public.sessions := p_session;
begin
  if v_session.started_at is null and p_facts.started_at is not null then
    v_session.started_at := p_facts.started_at;
    v_session.expires_at := public.calculate_session_expiry(p_facts.started_at, v_session.duration_minutes);
  end if;
  v_session.ended_at := p_facts.over_at;
  v_session.duration_seconds := p_decision.duration_seconds;
  v_session.billable_seconds := p_decision.billable_seconds;
  v_session.both_present_seconds := p_facts.both_present_seconds;
  v_session.end_reason := p_decision.reason;
  if private.was_cut_off(p_session, p_now) and private.is_over(p_session, p_now) then
    v_session.metadata := v_session.metadata || private.cut_off_mark();
  end if;
  return v_session;
end;
$$;
comment on function private.ended(public.sessions, timestamptz, private.end_facts, private.end_decision) is
  'The row of a session as its end leaves it, but for the status.';
revoke all on function private.ended from public, anon, authenticated, service_role;

create function private.end_session(
  p_session public.sessions, p_now timestamptz, p_cause text, p_asker_id uuid, p_note text
)
returns public.sessions
language plpgsql
set search_path = ''
as $$
declare
  v_session public.sessions := p_session;
  v_rule private.billing_rule;
  v_facts private.end_facts;
  v_decision private.end_decision;
  v_asker_id uuid;
begin
  if v_session.status >= 'completed' then
    return v_session;
  end if;
  v_rule := private.billing_rule();
  v_facts := private.end_facts(v_session, p_now, p_cause, p_asker_id);
  v_decision := private.decide_end(v_facts, v_rule);
  if v_facts.asked_by is not null then
    v_asker_id := p_asker_id;
    perform private.touch(v_session.id, p_asker_id, p_now);
  end if;

  if v_session.started_at is null and v_facts.started_at is not null then
    v_session.started_at := v_facts.started_at;
    v_session.expires_at := public.calculate_session_expiry(v_facts.started_at, v_session.duration_minutes);
    v_session := private.move_session(
      v_session, 'live', 'started', v_facts.started_at, null,
      jsonb_build_object('found_in', 'join and leave events', 'expires_at', v_session.expires_at)
    );
  end if;

  v_session := private.ended(v_session, p_now, v_facts, v_decision);
  v_session.ended_by := v_asker_id;
  v_session.end_note := left(p_note, 500);
  v_session := private.move_session(
    v_session, v_decision.status, 'ended', v_facts.over_at, v_asker_id,
    jsonb_build_object(
      'reason', v_decision.reason,
      'duration_seconds', v_decision.duration_seconds,
      'billable_seconds', v_decision.billable_seconds,
      'rule', to_jsonb(v_rule) || private.money_rule(v_decision.reason),
      'facts', to_jsonb(v_facts)
    )
  );

  perform private.close_request(v_session, p_now);
  if v_session.metadata ? 'auto_ended' then
    perform private.log_op('autoclose.session', v_session.id, jsonb_build_object('ended_at', v_session.ended_at));
  end if;
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
  if v_session.status in ('scheduled', 'accepted') and v_session.scheduled_for <= p_now then
    v_session := private.move_session(
      v_session, case v_session.status when 'accepted' then 'waiting' else 'pending' end::public.session_status,
      'due', v_session.scheduled_for, null, '{}'
    );
  end if;
  if v_session.status < 'completed' then
    v_session := private.drop_silent(v_session, p_now);
  end if;
  if private.is_over(v_session, p_now) then
    v_session := private.end_session(v_session, p_now, null, null, null);
  end if;
  return v_session;
end;
$$;
comment on function private.settle(public.sessions, timestamptz) is
  'Writes down what is already true: a booked time has come, somebody dropped out, the session is over. Every command '
  'does it first, so that nothing depends on when a job runs. Locks: session (held), participants, assignment.';
revoke all on function private.settle from public, anon, authenticated, service_role;

create function private.visible_session(p_session_id uuid)
returns public.sessions
language plpgsql
stable
set search_path = ''
as $$
declare
  v_session public.sessions;
begin
  select s.* into v_session from public.sessions s where s.id = p_session_id;
  if private.is_system() or private.is_admin() then
    if v_session.id is null then
      perform private.fail('session_not_found');
    end if;
  elsif private.role_in(v_session, private.require_user()) is null then
    perform private.fail('session_not_found');
  end if;
  return v_session;
end;
$$;
comment on function private.visible_session(uuid) is
  'A session for its participants, admins and the system, not locked; session_not_found for everybody else.';
revoke all on function private.visible_session from public, anon, authenticated, service_role;

create function private.end_session_with_semantics(p_session_id uuid, p_reason text)
returns public.session_end_result
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.claimed_user();
  v_seen public.sessions;
  v_session public.sessions;
  v_now timestamptz;
begin
  if not private.is_system() then
    v_user := private.require_user();
  end if;
  if not exists (select from public.sessions s where s.id = p_session_id) then
    return private.end_diagnostic_session(p_session_id, v_user, p_reason);
  end if;
  v_seen := private.visible_session(p_session_id);
  v_session := private.lock_session(p_session_id);
  if v_session.mechanic_id is distinct from v_seen.mechanic_id then
    -- A mechanic who gave it back while this call waited ends nothing any more.
    perform private.visible_session(p_session_id);
  end if;
  if v_session.status >= 'completed' then
    return private.stored_result(v_session, true);
  end if;
  v_now := private.session_clock(v_session);
  v_session := private.drop_silent(v_session, v_now);
  v_session := private.end_session(v_session, v_now, null, v_user, p_reason);
  return private.stored_result(v_session, false);
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
  'Ends a session (or a diagnostic session of the older system) and says what that means; the server decides status, '
  'times and amounts, p_reason is only kept as a note (500 characters). Ended already: the stored result with '
  'already_ended. Participants, admins, the system. Errors: session_not_found, session_locked.';
revoke all on function public.end_session_with_semantics from public, anon, authenticated, service_role;
grant execute on function public.end_session_with_semantics to authenticated, service_role;

create function private.preview_end(p_session_id uuid)
returns public.session_end_result
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.claimed_user();
  v_session public.sessions;
  v_now timestamptz;
  v_facts private.end_facts;
  v_decision private.end_decision;
begin
  if not private.is_system() then
    v_user := private.require_user();
  end if;
  if not exists (select from public.sessions s where s.id = p_session_id) then
    return private.preview_diagnostic_end(p_session_id, v_user);
  end if;
  v_session := private.visible_session(p_session_id);
  if v_session.status >= 'completed' then
    return private.stored_result(v_session, true);
  end if;
  v_now := private.session_clock(v_session);
  v_facts := private.end_facts(v_session, v_now, null, v_user);
  v_decision := private.decide_end(v_facts, private.billing_rule());
  v_session := private.ended(v_session, v_now, v_facts, v_decision);
  v_session.status := v_decision.status;
  return private.end_result(
    v_session, false, private.split_of(v_session, private.held(v_session.id, v_session.currency))
  );
end;
$$;
comment on function private.preview_end(uuid) is 'Behind public.preview_end. The decision of the end, and no write.';
revoke all on function private.preview_end from public, anon, authenticated, service_role;
grant execute on function private.preview_end to authenticated, service_role;

create function public.preview_end(p_session_id uuid)
returns public.session_end_result
language sql
stable
set search_path = ''
as $$
  select private.preview_end(p_session_id)
$$;
comment on function public.preview_end(uuid) is
  'What end_session_with_semantics would answer if the caller called it now; writes nothing. Participants, admins, '
  'the system. Errors: session_not_found.';
revoke all on function public.preview_end from public, anon, authenticated, service_role;
grant execute on function public.preview_end to authenticated, service_role;

-- What admins do --------------------------------------------------------------------------------------------------

create function private.mark_session_unattended(p_session_id uuid)
returns public.sessions
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_session public.sessions;
  v_now timestamptz;
begin
  perform private.require_admin();
  v_session := private.lock_session(p_session_id);
  if v_session.id is null then
    perform private.fail('session_not_found');
  end if;
  if v_session.status = 'unattended' then
    return v_session;
  end if;
  v_now := private.session_clock(v_session);
  v_session := private.settle(v_session, v_now);
  if v_session.status >= 'completed' then
    perform private.fail('session_ended');
  end if;
  if v_session.status <> 'pending' then
    perform private.fail(
      'session_not_active', format('Only a pending session can be unattended; this one is %s.', v_session.status)
    );
  end if;
  return private.end_session(v_session, v_now, 'unattended', private.claimed_user(), null);
end;
$$;
comment on function private.mark_session_unattended(uuid) is
  'Behind public.mark_session_unattended. Locks: session, participants, assignment.';
revoke all on function private.mark_session_unattended from public, anon, authenticated, service_role;
grant execute on function private.mark_session_unattended to authenticated, service_role;

create function public.mark_session_unattended(p_session_id uuid)
returns public.sessions
language sql
volatile
set search_path = ''
as $$
  select private.mark_session_unattended(p_session_id)
$$;
comment on function public.mark_session_unattended(uuid) is
  'Ends a pending session that no mechanic took. Again: the session. Admins and the system. Errors: role_required, '
  'session_not_found, session_not_active, session_ended, session_locked.';
revoke all on function public.mark_session_unattended from public, anon, authenticated, service_role;
grant execute on function public.mark_session_unattended to authenticated, service_role;

create function private.archive_sessions(p_before timestamptz, p_limit integer)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_limit integer := private.batch_limit(p_limit);
  v_session public.sessions;
  v_archived integer := 0;
begin
  perform private.require_admin();
  if p_before is null or p_before > private.clock() then
    perform private.fail('invalid_argument', 'p_before must be a time in the past.');
  end if;
  for v_session in
    select s.*
    from public.sessions s
    where s.status between 'completed' and 'refunded' and s.ended_at < p_before
    order by s.ended_at
    limit v_limit
    for no key update skip locked
  loop
    perform private.move_session(
      v_session, 'archived', 'archived', private.session_clock(v_session), private.claimed_user(), '{}'
    );
    v_archived := v_archived + 1;
  end loop;
  return v_archived;
end;
$$;
comment on function private.archive_sessions(timestamptz, integer) is
  'Behind public.archive_sessions. Locks: sessions, skipping locked ones.';
revoke all on function private.archive_sessions from public, anon, authenticated, service_role;
grant execute on function private.archive_sessions to authenticated, service_role;

create function public.archive_sessions(p_before timestamptz, p_limit integer default 1000)
returns integer
language sql
volatile
set search_path = ''
as $$
  select private.archive_sessions(p_before, p_limit)
$$;
comment on function public.archive_sessions(timestamptz, integer) is
  'Archives sessions that ended before then, oldest first, at most p_limit; returns how many. Admins and the system. '
  'Errors: role_required, invalid_argument.';
revoke all on function public.archive_sessions from public, anon, authenticated, service_role;
grant execute on function public.archive_sessions to authenticated, service_role;

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
      v_session := private.drop_silent(v_session, private.session_clock(v_session));
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
