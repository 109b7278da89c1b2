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
language sql
stable
set search_path = ''
as $$
  select make_interval(secs => private.setting_integer(
    case p_type when 'chat' then 'chat_reconnect_grace_seconds' else 'reconnect_grace_seconds' end
  ))
$$;
comment on function private.grace(text) is 'How long the two may be apart before the session ends, by its type.';
revoke all on function private.grace from public, anon, authenticated, service_role;

create function private.presence_timeout()
returns interval
language sql
stable
set search_path = ''
as $$
  select make_interval(secs => private.setting_integer('presence_timeout_seconds'))
$$;
comment on function private.presence_timeout() is 'Who is silent so long is gone since the last sign of life.';
revoke all on function private.presence_timeout from public, anon, authenticated, service_role;

create function private.seconds_of(p_ranges tstzmultirange)
returns integer
language sql
immutable
set search_path = ''
as $$
  select coalesce(floor(sum(extract(epoch from upper(r.span) - lower(r.span)))), 0)::integer
  from unnest(p_ranges) as r (span)
$$;
comment on function private.seconds_of(tstzmultirange) is 'The whole seconds in some spans of time.';
revoke all on function private.seconds_of from public, anon, authenticated, service_role;

create function private.presence(p_session_id uuid, p_user_id uuid, p_as_of timestamptz, p_open_until timestamptz)
returns tstzmultirange
language sql
stable
set search_path = ''
as $$
  select coalesce(range_agg(tstzrange(e.occurred_at, e.until)) filter (where e.occurred_at < e.until), '{}')
  from (
    select
      v.type, v.occurred_at,
      least(p_as_of, coalesce(lead(v.occurred_at) over (order by v.occurred_at, v.id), p_open_until)) as until
    from public.session_events v
    where v.session_id = p_session_id
      and v.type in ('joined', 'left', 'disconnected')
      and v.payload ->> 'user_id' = p_user_id::text
  ) e
  where e.type = 'joined'
$$;
comment on function private.presence(uuid, uuid, timestamptz, timestamptz) is
  'When a person was there, from the join and leave events; a presence without a leave lasts until p_open_until.';
revoke all on function private.presence from public, anon, authenticated, service_role;

create function private.apart_since(p_session public.sessions, p_as_of timestamptz, p_timeout interval)
returns timestamptz
language sql
stable
set search_path = ''
as $$
  select coalesce(
    p_session.interrupted_at,
    (
      select min(greatest(p.last_seen_at, p_session.started_at))
      from public.session_participants p
      where p.session_id = p_session.id and p.is_connected and p.last_seen_at + p_timeout <= p_as_of
    )
  )
$$;
comment on function private.apart_since(public.sessions, timestamptz, interval) is
  'For a started session: the last instant at which both were present, if they are apart as of then, else null.';
revoke all on function private.apart_since from public, anon, authenticated, service_role;

create function private.is_over(p_session public.sessions, p_now timestamptz)
returns boolean
language sql
stable
set search_path = ''
as $$
  select p_session.status in ('live', 'reconnecting') and (
    coalesce(p_session.expires_at <= p_now, false)
    or coalesce(
      coalesce(
        p_session.grace_ends_at,
        private.apart_since(p_session, p_now, private.presence_timeout()) + private.grace(p_session.type)
      ) <= p_now,
      false
    )
  )
$$;
comment on function private.is_over(public.sessions, timestamptz) is
  'Whether a running session has reached its time or the end of its grace, written down or not.';
revoke all on function private.is_over from public, anon, authenticated, service_role;

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
  v_decision private.end_decision;
begin
  v_decision.duration_seconds := case when p_facts.started_at is null then 0
    else floor(extract(epoch from p_facts.over_at - p_facts.started_at)) end;
  v_decision.billable_seconds := case p_rule.billable_basis
    when 'both_present' then least(p_facts.both_present_seconds, v_decision.duration_seconds)
    else v_decision.duration_seconds end;

  if p_facts.started_at is not null then
    if v_decision.billable_seconds >= p_rule.min_billable_seconds then
      v_decision.status := 'completed'::public.session_status;
      v_decision.reason := 'completed';
    else
      v_decision.status := 'cancelled'::public.session_status;
      v_decision.reason := 'too_short';
    end if;
    return v_decision;
  end if;

  v_decision.status := case p_facts.cause
    when 'orphaned' then 'expired'
    when 'unattended' then 'unattended'
    else 'cancelled' end::public.session_status;
  v_decision.reason := case
    when p_facts.cause is not null then p_facts.cause
    when not p_facts.was_accepted then 'cancelled_before_accept'
    when p_facts.mechanic_waited_seconds >= p_facts.no_show_after_seconds and p_facts.customer_waited_seconds is null
      then 'customer_no_show'
    when p_facts.customer_waited_seconds >= p_facts.no_show_after_seconds and p_facts.mechanic_waited_seconds is null
      then 'mechanic_no_show'
    when p_facts.asked_by is not null then 'cancelled_by_' || p_facts.asked_by
    else 'nobody_joined' end;
  return v_decision;
end;
$$;
comment on function private.decide_end(private.end_facts, private.billing_rule) is
  'The meaning of an end: completed when it started and lasted long enough, else not; and why. The one place.';
revoke all on function private.decide_end from public, anon, authenticated, service_role;

create function private.end_facts(
  p_session public.sessions, p_now timestamptz, p_cause text, p_asked_by text
)
returns private.end_facts
language plpgsql
stable
set search_path = ''
as $$
declare
  v_facts private.end_facts;
  v_timeout interval := private.presence_timeout();
  v_as_of timestamptz := least(p_now, p_session.expires_at);
  v_customer_seen timestamptz;
  v_mechanic_seen timestamptz;
  v_customer tstzmultirange;
  v_mechanic tstzmultirange;
  v_together tstzmultirange;
begin
  select p.last_seen_at into v_customer_seen
  from public.session_participants p
  where p.session_id = p_session.id and p.user_id = p_session.customer_user_id;
  select p.last_seen_at into v_mechanic_seen
  from public.session_participants p
  where p.session_id = p_session.id and p.user_id = p_session.mechanic_id;

  if p_session.started_at is not null then
    v_facts.over_at := greatest(
      p_session.started_at, least(v_as_of, private.apart_since(p_session, v_as_of, v_timeout))
    );
    v_customer := private.presence(
      p_session.id, p_session.customer_user_id, v_facts.over_at, v_facts.over_at
    );
    v_mechanic := private.presence(p_session.id, p_session.mechanic_id, v_facts.over_at, v_facts.over_at);
    v_facts.started_at := p_session.started_at;
    v_together := v_customer * v_mechanic
      * tstzmultirange(tstzrange(p_session.started_at, v_facts.over_at));
  else
    -- Before the start nobody's silence is dropped: a presence without a leave ends at the last sign of life.
    v_customer := private.presence(p_session.id, p_session.customer_user_id, v_as_of, v_customer_seen);
    v_mechanic := private.presence(p_session.id, p_session.mechanic_id, v_as_of, v_mechanic_seen);
    v_customer := v_customer * tstzmultirange(tstzrange(p_session.accepted_at, null));
    v_mechanic := v_mechanic * tstzmultirange(tstzrange(p_session.accepted_at, null));
    v_together := v_customer * v_mechanic;
    v_facts.started_at := lower(v_together);
    if v_facts.started_at is not null then
      v_facts.over_at := least(
        upper(v_together), public.calculate_session_expiry(v_facts.started_at, p_session.duration_minutes)
      );
      v_together := v_together * tstzmultirange(tstzrange(v_facts.started_at, v_facts.over_at));
    else
      v_facts.over_at := v_as_of;
    end if;
  end if;

  v_facts.both_present_seconds := private.seconds_of(v_together);
  v_facts.was_accepted := p_session.mechanic_id is not null;
  v_facts.customer_waited_seconds := case when not isempty(v_customer) then private.seconds_of(v_customer) end;
  v_facts.mechanic_waited_seconds := case when not isempty(v_mechanic) then private.seconds_of(v_mechanic) end;
  v_facts.cause := p_cause;
  v_facts.asked_by := p_asked_by;
  v_facts.no_show_after_seconds := private.setting_integer('no_show_after_seconds');
  return v_facts;
end;
$$;
comment on function private.end_facts(public.sessions, timestamptz, text, text) is
  'What is known about a session as of now, for private.decide_end: a started one is over at its expiry or when the '
  'two were last together; for one without a start the join and leave events since the accept are searched for it.';
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
  if p_session.status not in ('live', 'reconnecting') then
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
  if private.apart_since(v_session, v_now, private.presence_timeout()) is not null then
    return 'reconnecting'::public.session_status;
  end if;
  return v_session.status;
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
