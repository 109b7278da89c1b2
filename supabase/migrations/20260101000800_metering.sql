-- Metering: the arithmetic of a session's time. When it expires, who was there when, whether it is over, and what
-- its end means. Nothing here writes; commands, previews and audits all ask the same functions.

create function public.calculate_session_expiry(p_started_at timestamptz, p_duration_minutes integer)
returns timestamptz
language sql
immutable
set search_path = ''
as $$
  select p_started_at + make_interval(mins => p_duration_minutes)
$$;
comment on function public.calculate_session_expiry(timestamptz, integer) is
  'When a session that started then, with so many minutes bought, is over. Signed-in users and the system.';
revoke all on function public.calculate_session_expiry from public, anon, authenticated, service_role;
grant execute on function public.calculate_session_expiry to authenticated, service_role;

create function private.grace(p_type text)
returns interval
language plpgsql
stable
set search_path = ''
as $$
begin
  return make_interval(secs => private.setting_integer(
    case p_type when 'chat' then 'chat_reconnect_grace_seconds' else 'reconnect_grace_seconds' end
  ));
end;
$$;
comment on function private.grace(text) is 'How long the two may be apart before the session ends, by its type.';
revoke all on function private.grace from public, anon, authenticated, service_role;

create function private.presence_timeout()
returns interval
language plpgsql
stable
set search_path = ''
as $$
begin
  return make_interval(secs => private.setting_integer('presence_timeout_seconds'));
end;
$$;
comment on function private.presence_timeout() is 'Who is silent so long is gone since the last sign of life.';
revoke all on function private.presence_timeout from public, anon, authenticated, service_role;

create function private.seconds_of(p_ranges tstzmultirange)
returns integer
language plpgsql
immutable
set search_path = ''
as $$
begin
  return (
    select coalesce(floor(sum(extract(epoch from upper(r.span) - lower(r.span)))), 0)::integer
    from unnest(p_ranges) as r (span)
  );
end;
$$;
comment on function private.seconds_of(tstzmultirange) is 'The whole seconds in some spans of time.';
revoke all on function private.seconds_of from public, anon, authenticated, service_role;

create function private.presence(
  p_session_id uuid, p_user_id uuid, p_as_of timestamptz, p_open_until timestamptz, p_bounds text
)
returns tstzmultirange
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select coalesce(
      range_agg(tstzrange(e.occurred_at, e.until, p_bounds)) filter (
        -- Who came by the word of the video server alone, and was not heard of afterwards, never came.
        where e.occurred_at < e.until or (e.occurred_at = e.until and not e.is_video)
      ),
      '{}'
    )
    from (
      select
        v.type, v.occurred_at, v.payload ? 'via' as is_video,
        least(p_as_of, coalesce(lead(v.occurred_at) over (order by v.occurred_at, v.id), p_open_until)) as until
      from public.session_events v
      where v.session_id = p_session_id
        and v.type in ('joined', 'left', 'disconnected')
        and v.payload ->> 'user_id' = p_user_id::text
    ) e
    where e.type = 'joined'
  );
end;
$$;
comment on function private.presence(uuid, uuid, timestamptz, timestamptz, text) is
  'When a person was there, from the join and leave events; a presence without a leave lasts until p_open_until.';
revoke all on function private.presence from public, anon, authenticated, service_role;

create function private.together(p_session public.sessions, p_as_of timestamptz)
returns tstzmultirange
language plpgsql
stable
set search_path = ''
as $$
begin
  return private.presence(p_session.id, p_session.customer_user_id, p_as_of, p_as_of, '[]')
    * private.presence(p_session.id, p_session.mechanic_id, p_as_of, p_as_of, '[]')
    * tstzmultirange(tstzrange(p_session.started_at, greatest(p_session.started_at, p_as_of), '[]'));
end;
$$;
comment on function private.together(public.sessions, timestamptz) is
  'When the two of a started session were there together until then, from the join and leave events, instants '
  'included.';
revoke all on function private.together from public, anon, authenticated, service_role;

create function private.is_confirmed(p_participant public.session_participants)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
begin
  return p_participant.joined_by_video_at is null;
end;
$$;
comment on function private.is_confirmed(public.session_participants) is
  'Whether the person gave a sign of life of his own since he came; the word of the video server alone is not one.';
revoke all on function private.is_confirmed from public, anon, authenticated, service_role;

create function private.is_silent(
  p_participant public.session_participants, p_as_of timestamptz, p_timeout interval
)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
begin
  return p_participant.is_connected and p_participant.last_seen_at + p_timeout <= p_as_of;
end;
$$;
comment on function private.is_silent(public.session_participants, timestamptz, interval) is
  'Whether somebody who is connected has given no sign of life for so long that he counts as gone.';
revoke all on function private.is_silent from public, anon, authenticated, service_role;

create function private.last_together(p_session public.sessions, p_as_of timestamptz)
returns timestamptz
language sql
stable
set search_path = ''
as $$
  select coalesce(upper(private.together(p_session, p_as_of)), p_session.started_at)
$$;
comment on function private.last_together(public.sessions, timestamptz) is
  'The last instant until then at which the two of a started session were both there.';
revoke all on function private.last_together from public, anon, authenticated, service_role;

create function private.silent_since(p_session public.sessions, p_as_of timestamptz)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select min(private.last_together(p_session, p.last_seen_at))
    from public.session_participants p
    cross join private.presence_timeout() as t (timeout)
    where p.session_id = p_session.id
      and private.is_silent(p, p_as_of, t.timeout)
      and (p_session.interrupted_at is null or not private.is_confirmed(p))
  );
end;
$$;
comment on function private.silent_since(public.sessions, timestamptz) is
  'When the two of a started session were last together, if somebody has fallen silent since and nobody has written '
  'it down; else null. An interruption that is written down stands, whoever else falls silent meanwhile.';
revoke all on function private.silent_since from public, anon, authenticated, service_role;

create function private.expiry(p_session public.sessions)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
begin
  return coalesce(
    p_session.expires_at,
    p_session.started_at + make_interval(mins => private.setting_integer('max_session_minutes'))
  );
end;
$$;
comment on function private.expiry(public.sessions) is
  'When a started session is over; an imported one without an expiry when it has lasted as long as any may.';
revoke all on function private.expiry from public, anon, authenticated, service_role;

create function private.as_of(p_session public.sessions, p_now timestamptz)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
begin
  return case
    when p_session.status in ('live', 'reconnecting')
      then least(p_now, private.expiry(p_session), p_session.grace_ends_at)
    else p_now
  end;
end;
$$;
comment on function private.as_of(public.sessions, timestamptz) is
  'The time that counts for a session: now, and for a running one at most its expiry and the end of its grace.';
revoke all on function private.as_of from public, anon, authenticated, service_role;

create function private.is_over(p_session public.sessions, p_now timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  if p_session.status not in ('live', 'reconnecting') then
    return false;
  end if;
  if private.expiry(p_session) <= p_now or p_session.grace_ends_at <= p_now then
    return true;
  end if;
  return coalesce(private.silent_since(p_session, p_now) + private.grace(p_session.type) <= p_now, false);
end;
$$;
comment on function private.is_over(public.sessions, timestamptz) is
  'Whether a running session has reached its time or the end of its grace, written down or not.';
revoke all on function private.is_over from public, anon, authenticated, service_role;

create function private.is_due(p_session public.sessions, p_now timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return case
    when p_session.status >= 'completed' then false
    when p_session.status in ('scheduled', 'accepted') and p_session.scheduled_for <= p_now then true
    when private.is_over(p_session, p_now) then true
    else exists (
      select
      from public.session_participants p
      cross join private.presence_timeout() as t (timeout)
      where p.session_id = p_session.id and private.is_silent(p, p_now, t.timeout)
    )
  end;
end;
$$;
comment on function private.is_due(public.sessions, timestamptz) is
  'Whether something about the session is true already and not yet written down: see private.settle.';
revoke all on function private.is_due from public, anon, authenticated, service_role;

create function private.cut_off_mark()
returns jsonb
language sql
immutable
set search_path = ''
as $$
  select '{"auto_ended": true, "auto_end_reason": "exceeded_3h_limit"}'::jsonb
$$;
comment on function private.cut_off_mark() is 'What the metadata of a session says that was closed as too long.';
revoke all on function private.cut_off_mark from public, anon, authenticated, service_role;

create function private.was_cut_off(p_session public.sessions, p_now timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return coalesce(greatest(
    p_session.started_at + make_interval(mins => private.setting_integer('max_session_minutes')),
    p_session.expires_at
  ) <= p_now, false);
end;
$$;
comment on function private.was_cut_off(public.sessions, timestamptz) is
  'Whether a session that still runs is longer than any may be: nobody ended it, the safety net does.';
revoke all on function private.was_cut_off from public, anon, authenticated, service_role;

-- Warnings ------------------------------------------------------------------------------------------------------

create function private.warnings(p_expires_at timestamptz)
returns table (minutes integer, warn_at timestamptz)
language plpgsql
stable
set search_path = ''
as $$
begin
  return query
  select distinct w.minutes::integer, p_expires_at - make_interval(mins => w.minutes::integer)
  from jsonb_array_elements_text(private.setting('warning_minutes')) as w (minutes)
  order by 2;
end;
$$;
comment on function private.warnings(timestamptz) is 'The warnings before an expiry, the earliest first.';
revoke all on function private.warnings from public, anon, authenticated, service_role;

create function private.next_warning(p_expires_at timestamptz, p_after timestamptz)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
begin
  return (select min(w.warn_at) from private.warnings(p_expires_at) w where w.warn_at > p_after);
end;
$$;
comment on function private.next_warning(timestamptz, timestamptz) is
  'When the next warning after then is due, or null. A moved expiry arms anew what now lies ahead.';
revoke all on function private.next_warning from public, anon, authenticated, service_role;

create function private.arm_warnings()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  new.next_warning_at := case
    when new.status in ('live', 'reconnecting')
      then private.next_warning(new.expires_at, greatest(new.started_at, private.session_clock(new)))
  end;
  return new;
end;
$$;
comment on function private.arm_warnings() is 'Trigger: sets the next warning whenever a session gets another expiry.';
revoke all on function private.arm_warnings from public, anon, authenticated, service_role;

create trigger warnings_follow_the_expiry
before update of status, expires_at on public.sessions
for each row when (
  old.expires_at is distinct from new.expires_at
  or (old.status in ('live', 'reconnecting')) <> (new.status in ('live', 'reconnecting'))
)
execute function private.arm_warnings();

create trigger warnings_begin_with_the_session
before insert on public.sessions
for each row when (new.status in ('live', 'reconnecting'))
execute function private.arm_warnings();

-- The end -------------------------------------------------------------------------------------------------------

create type private.end_facts as (
  started_at timestamptz,
  over_at timestamptz,
  both_present_seconds integer,
  customer_waited_seconds integer,
  mechanic_waited_seconds integer,
  was_accepted boolean,
  cause text,
  asked_by text,
  no_show_after_seconds integer
);
comment on type private.end_facts is 'All that the decision about an end looks at, besides the billing rule.';

create type private.end_decision as (
  status public.session_status,
  reason text,
  duration_seconds integer,
  billable_seconds integer
);
comment on type private.end_decision is 'What an end means.';

create function private.decide_end(p_facts private.end_facts, p_rule private.billing_rule)
returns private.end_decision
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_duration integer := case when p_facts.started_at is null then 0
    else floor(extract(epoch from p_facts.over_at - p_facts.started_at)) end;
  v_billable integer := case p_rule.billable_basis
    when 'both_present' then least(p_facts.both_present_seconds, v_duration) else v_duration end;
begin
  if p_facts.started_at is not null then
    if v_billable >= p_rule.min_billable_seconds then
      return ('completed', 'completed', v_duration, v_billable)::private.end_decision;
    end if;
    return ('cancelled', 'too_short', v_duration, v_billable)::private.end_decision;
  end if;

  return (
    case p_facts.cause when 'orphaned' then 'expired' when 'unattended' then 'unattended' else 'cancelled' end,
    case
      when p_facts.cause is not null then p_facts.cause
      when not p_facts.was_accepted then 'cancelled_before_accept'
      when p_facts.mechanic_waited_seconds >= p_facts.no_show_after_seconds and p_facts.customer_waited_seconds is null
        then 'customer_no_show'
      when p_facts.customer_waited_seconds >= p_facts.no_show_after_seconds and p_facts.mechanic_waited_seconds is null
        then 'mechanic_no_show'
      when p_facts.asked_by is not null then 'cancelled_by_' || p_facts.asked_by
      else 'nobody_joined' end,
    v_duration, v_billable
  )::private.end_decision;
end;
$$;
comment on function private.decide_end(private.end_facts, private.billing_rule) is
  'The meaning of an end: completed when it started and lasted long enough, else not; and why. The one place.';
revoke all on function private.decide_end from public, anon, authenticated, service_role;

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

create function private.came(p_session public.sessions, p_user_id uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (
    select
    from public.session_events e
    where e.session_id = p_session.id
      and e.type = 'joined'
      and not e.payload ? 'via'
      and e.payload ->> 'user_id' = p_user_id::text
      and e.occurred_at >= p_session.accepted_at
  );
end;
$$;
comment on function private.came(public.sessions, uuid) is
  'Whether somebody joined since the accept, be it for a moment.';
revoke all on function private.came from public, anon, authenticated, service_role;

create function private.end_facts(p_session public.sessions, p_now timestamptz, p_cause text, p_asker_id uuid)
returns private.end_facts
language plpgsql
stable
set search_path = ''
as $$
declare
  v_facts private.end_facts;
  v_timeout interval := private.presence_timeout();
  v_as_of timestamptz := private.as_of(p_session, p_now);
  v_person public.session_participants;
  v_customer_seen timestamptz;
  v_mechanic_seen timestamptz;
  v_customer_until timestamptz := timestamptz 'infinity';
  v_mechanic_until timestamptz := timestamptz 'infinity';
  v_customer tstzmultirange;
  v_mechanic tstzmultirange;
  v_together tstzmultirange;
  v_since_accept constant tstzmultirange := tstzmultirange(tstzrange(p_session.accepted_at, null));
begin
  v_facts.over_at := least(v_as_of, p_session.interrupted_at);
  for v_person in
    select p.*
    from public.session_participants p
    where p.session_id = p_session.id and p.user_id in (p_session.customer_user_id, p_session.mechanic_id)
  loop
    -- Asking for the end is a sign of life of who asks, as of now and not before.
    if v_person.user_id = p_asker_id and v_person.is_connected
        and not private.is_silent(v_person, v_as_of, v_timeout) then
      v_person.last_seen_at := greatest(v_person.last_seen_at, p_now);
      v_person.joined_by_video_at := null;
    end if;
    if v_person.user_id = p_session.customer_user_id then
      v_customer_seen := v_person.last_seen_at;
      if private.is_silent(v_person, v_as_of, v_timeout) then
        v_customer_until := v_person.last_seen_at;
      end if;
    else
      v_mechanic_seen := v_person.last_seen_at;
      if private.is_silent(v_person, v_as_of, v_timeout) then
        v_mechanic_until := v_person.last_seen_at;
      end if;
    end if;
    if v_person.is_connected and p_session.started_at is not null and (
      not private.is_confirmed(v_person)
      or (p_session.interrupted_at is null and private.is_silent(v_person, v_as_of, v_timeout))
    ) then
      v_facts.over_at := least(v_facts.over_at, private.last_together(p_session, v_person.last_seen_at));
    end if;
  end loop;

  if p_session.started_at is not null then
    v_facts.started_at := p_session.started_at;
    v_facts.over_at := greatest(v_facts.over_at, p_session.started_at);
    v_together := tstzmultirange(tstzrange(p_session.started_at, v_facts.over_at))
      * private.presence(p_session.id, p_session.customer_user_id, v_facts.over_at, v_customer_until, '[)')
      * private.presence(p_session.id, p_session.mechanic_id, v_facts.over_at, v_mechanic_until, '[)');
  else
    -- Nothing started yet: a presence without a leave ends at the last sign of life.
    v_customer := v_since_accept
      * private.presence(p_session.id, p_session.customer_user_id, v_as_of, v_customer_seen, '[)');
    v_mechanic := v_since_accept
      * private.presence(p_session.id, p_session.mechanic_id, v_as_of, v_mechanic_seen, '[)');
    v_together := v_customer * v_mechanic;
    v_facts.started_at := lower(v_together);
    v_facts.over_at := case
      when v_facts.started_at is null then v_as_of
      else least(
        upper(v_together), public.calculate_session_expiry(v_facts.started_at, p_session.duration_minutes)
      ) end;
    v_together := v_together * tstzmultirange(tstzrange(v_facts.started_at, v_facts.over_at));
    v_facts.customer_waited_seconds := case
      when private.came(p_session, p_session.customer_user_id) or not isempty(v_customer)
        then private.seconds_of(v_customer) end;
    v_facts.mechanic_waited_seconds := case
      when private.came(p_session, p_session.mechanic_id) or not isempty(v_mechanic)
        then private.seconds_of(v_mechanic) end;
  end if;

  v_facts.both_present_seconds := private.seconds_of(v_together);
  v_facts.was_accepted := p_session.mechanic_id is not null;
  v_facts.cause := p_cause;
  v_facts.asked_by := case
    when p_asker_id is not null and not private.is_over(p_session, p_now)
      then coalesce(private.role_in(p_session, p_asker_id), 'admin') end;
  if p_session.started_at is null then
    v_facts.no_show_after_seconds := private.setting_integer('no_show_after_seconds');
  end if;
  return v_facts;
end;
$$;
comment on function private.end_facts(public.sessions, timestamptz, text, uuid) is
  'What is known about a session as of now, for private.decide_end: a started one is over at its expiry or when the '
  'two were last together; for one without a start the join and leave events since the accept are searched for it. '
  'Who has fallen silent counts as gone, and who came only by the word of the video server as never come, whether '
  'that is written down yet or not.';
revoke all on function private.end_facts from public, anon, authenticated, service_role;

create function private.effective_status(p_session public.sessions)
returns public.session_status
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_session public.sessions;
  v_user uuid := private.claimed_user();
  v_now timestamptz;
begin
  if p_session.status not in ('scheduled', 'accepted', 'live', 'reconnecting') then
    return p_session.status;
  end if;
  -- The row handed in may be made up; what is said about presence comes from the stored one, if it is the caller's.
  select s.* into v_session
  from public.sessions s
  where s.id = p_session.id
    and (v_user in (s.customer_user_id, s.mechanic_id) or private.is_system() or private.is_admin());
  if v_session.status is distinct from p_session.status then
    return p_session.status;
  end if;
  v_now := private.session_clock(v_session);
  if private.is_over(v_session, v_now) then
    return (private.decide_end(private.end_facts(v_session, v_now, null, null), private.billing_rule())).status;
  end if;
  return case
    when v_session.status = 'scheduled' and v_session.scheduled_for <= v_now then 'pending'
    when v_session.status = 'accepted' and v_session.scheduled_for <= v_now then 'waiting'
    when v_session.status = 'live' and private.silent_since(v_session, v_now) is not null then 'reconnecting'
    else v_session.status end;
end;
$$;
comment on function private.effective_status(public.sessions) is 'Behind public.effective_status.';
revoke all on function private.effective_status from public, anon, authenticated, service_role;
grant execute on function private.effective_status to authenticated, service_role;

create function public.effective_status(public.sessions)
returns public.session_status
language sql
stable
set search_path = ''
as $$
  select private.effective_status($1)
$$;
comment on function public.effective_status(public.sessions) is
  'Computed column of sessions: the status now, even if nobody has written it down yet.';
revoke all on function public.effective_status from public, anon, authenticated, service_role;
grant execute on function public.effective_status to authenticated, service_role;
