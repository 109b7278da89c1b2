-- Alerts and review: what is wrong now, and the command that settles it. Alerts judge sessions that ended in the last
-- 31 days, by what was stored with their end; sessions_needing_review unites them with everything else that waits for a
-- person. All of it is for admins and the system: everybody else sees nothing.

create index session_events_ends_idx on public.session_events (created_at) where type in ('ended', 'corrected');

create type public.alert as (session_id uuid, severity text, since timestamptz, detail jsonb);
comment on type public.alert is
  'Something wrong: severity warning or critical, since when, and the facts.';

create function private.may_monitor()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return private.is_system() or private.is_admin();
end;
$$;
comment on function private.may_monitor() is
  'Whether the caller sees alerts, metrics and health: admins, the system.';
revoke all on function private.may_monitor from public, anon, authenticated, service_role;

create function private.live_past_deadline()
returns setof public.alert
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  -- A tick a minute, and a minute for its work.
  v_late timestamptz := v_now - interval '2 minutes';
begin
  if not private.may_monitor() then
    return;
  end if;
  return query
  select
    s.id,
    case when d.deadline <= v_now - interval '10 minutes' then 'critical' else 'warning' end,
    d.deadline,
    jsonb_build_object('status', s.status, 'expires_at', s.expires_at, 'grace_ends_at', s.grace_ends_at)
  from public.sessions s
  cross join lateral (select least(private.expiry(s), s.grace_ends_at) as deadline) d
  where s.due_at <= v_late and s.status in ('live', 'reconnecting') and d.deadline <= v_late
  union all
  select s.id, 'critical', private.expiry(s), jsonb_build_object('status', s.status, 'expires_at', null)
  from public.sessions s
  where s.status in ('live', 'reconnecting') and s.expires_at is null and private.expiry(s) <= v_late;
end;
$$;
comment on function private.live_past_deadline() is
  'Behind public.alert_live_past_deadline.';
revoke all on function private.live_past_deadline from public, anon, authenticated, service_role;
grant execute on function private.live_past_deadline to authenticated, service_role;

create view public.alert_live_past_deadline with (security_invoker = on) as
select a.session_id, a.severity, a.since, a.detail from private.live_past_deadline() a;
comment on view public.alert_live_past_deadline is
  'Sessions that still run two minutes after their time or grace was over; critical after ten. Admins and the '
  'system.';
revoke all on table public.alert_live_past_deadline from public, anon, authenticated, service_role;
grant select on table public.alert_live_past_deadline to authenticated, service_role;

create function private.both_present_not_live()
returns setof public.alert
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_since timestamptz :=
    private.clock() - make_interval(secs => private.setting_integer('alert_support_after_seconds'));
begin
  if not private.may_monitor() then
    return;
  end if;
  return query
  select s.id, 'warning', l.since, jsonb_build_object('status', s.status)
  from public.sessions s
  cross join lateral (select private.stuck_since(s) as since) l
  where (s.status < 'live' or s.status = 'reconnecting') and l.since <= v_since;
end;
$$;
comment on function private.both_present_not_live() is
  'Behind public.alert_both_present_not_live.';
revoke all on function private.both_present_not_live from public, anon, authenticated, service_role;
grant execute on function private.both_present_not_live to authenticated, service_role;

create view public.alert_both_present_not_live with (security_invoker = on) as
select a.session_id, a.severity, a.since, a.detail from private.both_present_not_live() a;
comment on view public.alert_both_present_not_live is
  'Sessions where both have been there for alert_support_after_seconds and the meter does not run. Admins and the '
  'system.';
revoke all on table public.alert_both_present_not_live from public, anon, authenticated, service_role;
grant select on table public.alert_both_present_not_live to authenticated, service_role;

create function private.recent()
returns timestamptz
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return private.clock() - interval '31 days';
end;
$$;
comment on function private.recent() is
  'Since when alerts and metrics look at what ended.';
revoke all on function private.recent from public, anon, authenticated, service_role;
grant execute on function private.recent to authenticated, service_role;

create function private.contradictions(p_since timestamptz)
returns setof public.alert
language plpgsql
stable
set search_path = ''
as $$
begin
  return query
  select
    c.id, 'critical', c.ended_at, jsonb_build_object(
      'status', c.status, 'reason', c.end_reason, 'billable_seconds', c.billable_seconds,
      'decided', case when c.event_id is not null then jsonb_build_object(
        'status', c.decided_status, 'reason', c.decided_reason, 'billable_seconds', c.decided_seconds
      ) end
    )
  from (
    select
      s.id, s.ended_at, s.status, s.end_reason, s.billable_seconds, d.id as event_id, d.status as decided_status,
      d.reason as decided_reason, d.billable_seconds as decided_seconds
    from public.sessions s
    left join (
      select
        e.session_id, e.id, e.payload ->> 'to' as status, e.payload ->> 'reason' as reason,
        (e.payload ->> 'billable_seconds')::integer as billable_seconds
      from public.session_events e
      where e.type in ('ended', 'corrected') and e.source = 'sessions' and e.created_at >= p_since
    ) d on d.session_id = s.id
    where s.ended_at >= p_since
      and s.status between 'completed' and 'refunded'
      and (
        (d.session_id is null and not s.metadata ? 'imported')
        or (s.status <> 'refunded' and s.status::text <> d.status)
        or s.end_reason is distinct from coalesce(d.reason, s.end_reason)
        or s.billable_seconds is distinct from coalesce(d.billable_seconds, s.billable_seconds)
        or (s.end_reason = 'completed' and s.started_at is null)
        or (
          s.status <> 'refunded' and (s.status = 'completed') <> (s.end_reason is not distinct from 'completed')
        )
      )
    -- Few are left; of those the last decision counts.
    offset 0
  ) c
  where not exists (
    select
    from public.session_events n
    where n.session_id = c.id and n.source = 'sessions' and n.type in ('ended', 'corrected') and n.id > c.event_id
  );
end;
$$;
comment on function private.contradictions(timestamptz) is
  'The sessions that ended since then whose row contradicts the decision recorded with their end.';
revoke all on function private.contradictions from public, anon, authenticated, service_role;

create function private.status_mismatch(p_since timestamptz)
returns setof public.alert
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if private.may_monitor() then
    return query select a.* from private.contradictions(p_since) a;
  end if;
end;
$$;
comment on function private.status_mismatch(timestamptz) is
  'Behind public.alert_status_mismatch, of any time.';
revoke all on function private.status_mismatch from public, anon, authenticated, service_role;
grant execute on function private.status_mismatch to authenticated, service_role;

create view public.alert_status_mismatch with (security_invoker = on) as
select a.session_id, a.severity, a.since, a.detail from private.status_mismatch(private.recent()) a;
comment on view public.alert_status_mismatch is
  'Sessions of the last 31 days whose row contradicts the decision recorded with their end. Admins and the system.';
revoke all on table public.alert_status_mismatch from public, anon, authenticated, service_role;
grant select on table public.alert_status_mismatch to authenticated, service_role;

create function private.unpaid(p_since timestamptz)
returns setof public.alert
language plpgsql
stable
set search_path = ''
as $$
begin
  return query
  select
    c.id, 'critical', c.ended_at, jsonb_build_object('earning', c.has_earning, 'kept_share_cents', t.share_cents)
  from (
    select s.id, s.ended_at, e.session_id is not null as has_earning, e.share_cents
    from public.sessions s
    left join public.mechanic_earnings e on e.session_id = s.id
    left join public.payouts p on p.kind = 'session' and p.source_id = s.id
    where s.ended_at >= p_since
      and s.status = 'completed'
      and not s.metadata ? 'imported'
      and (e.session_id is null or p.id is null)
    -- The free ones are left, and what is wrong.
    offset 0
  ) c
  left join private.settlements t on t.session_id = c.id
  where not c.has_earning or coalesce(t.share_cents, c.share_cents) > 0;
end;
$$;
comment on function private.unpaid(timestamptz) is
  'The sessions completed since then without their earning, or with a share and no payout.';
revoke all on function private.unpaid from public, anon, authenticated, service_role;

create function private.completed_without_payout(p_since timestamptz)
returns setof public.alert
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if private.may_monitor() then
    return query select a.* from private.unpaid(p_since) a;
  end if;
end;
$$;
comment on function private.completed_without_payout(timestamptz) is
  'Behind public.alert_completed_without_payout, of any time.';
revoke all on function private.completed_without_payout from public, anon, authenticated, service_role;
grant execute on function private.completed_without_payout to authenticated, service_role;

create view public.alert_completed_without_payout with (security_invoker = on) as
select a.session_id, a.severity, a.since, a.detail from private.completed_without_payout(private.recent()) a;
comment on view public.alert_completed_without_payout is
  'Completed sessions of the last 31 days without their earning, or with a share and no payout; a share of zero '
  'counts as paid. Admins and the system.';
revoke all on table public.alert_completed_without_payout from public, anon, authenticated, service_role;
grant select on table public.alert_completed_without_payout to authenticated, service_role;

create function private.rates_out_of_bounds()
returns setof public.alert
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_min_total integer := private.setting_integer('health_min_total');
begin
  if not private.may_monitor() then
    return;
  end if;
  return query
  with ended as (
    select
      s.mechanic_id, s.ended_at,
      s.end_reason in ('customer_no_show', 'mechanic_no_show') as is_no_show,
      s.end_reason is not distinct from 'mechanic_no_show' as is_mechanic_no_show,
      s.status = 'expired' as is_expired,
      s.end_reason is not distinct from 'completed' as is_completed
    from public.sessions s
    where s.ended_at >= v_now - interval '7 days' and s.status between 'completed' and 'refunded'
  ), measured as (
    select
      r.rate, null::uuid as mechanic_id, '24 hours' as span, count(*) as total,
      10000 * count(*) filter (where r.counts) / greatest(count(*), 1) as bps, r.limit_bps, r.is_minimum
    from ended e
    cross join lateral (
      values
      ('no_shows', coalesce(e.is_no_show, false), private.setting_integer('health_no_show_bps'), false),
      ('expired', e.is_expired, private.setting_integer('health_expired_bps'), false),
      ('completed', e.is_completed, private.setting_integer('health_min_completion_bps'), true)
    ) as r (rate, counts, limit_bps, is_minimum)
    where e.ended_at >= v_now - interval '24 hours'
    group by r.rate, r.limit_bps, r.is_minimum
    union all
    select
      'no_shows', e.mechanic_id, '7 days', count(*),
      10000 * count(*) filter (where e.is_mechanic_no_show) / greatest(count(*), 1),
      private.setting_integer('health_no_show_bps'), false
    from ended e
    where e.mechanic_id is not null
    group by e.mechanic_id
  )
  select null::uuid, 'warning', v_now, jsonb_strip_nulls(jsonb_build_object(
    'rate', m.rate, 'mechanic_id', m.mechanic_id, 'span', m.span, 'total', m.total, 'bps', m.bps,
    'limit_bps', m.limit_bps
  ))
  from measured m
  where m.total >= v_min_total
    and case when m.is_minimum then m.bps < m.limit_bps else m.bps > m.limit_bps end;
end;
$$;
comment on function private.rates_out_of_bounds() is
  'Behind public.alert_rates.';
revoke all on function private.rates_out_of_bounds from public, anon, authenticated, service_role;
grant execute on function private.rates_out_of_bounds to authenticated, service_role;

create view public.alert_rates with (security_invoker = on) as
select a.session_id, a.severity, a.since, a.detail from private.rates_out_of_bounds() a;
comment on view public.alert_rates is
  'No-shows, expired and completed sessions of 24 hours, and no-shows of a mechanic in 7 days, outside the health_*'
  ' settings, from health_min_total sessions on. session_id is null. Admins and the system.';
revoke all on table public.alert_rates from public, anon, authenticated, service_role;
grant select on table public.alert_rates to authenticated, service_role;

-- What waits for a person -----------------------------------------------------------------------------------------

create index payouts_in_review_idx on public.payouts (updated_at) where status in ('needs_reconciliation', 'failed');
create index payments_unapplied_idx on private.payments (updated_at)
where review is null and received_at is not null and applied_to is null;

create type public.review_item as (
  kind text,
  session_id uuid,
  subject text,
  severity text,
  since timestamptz,
  detail jsonb,
  command text
);
comment on type public.review_item is
  'Something that a person has to settle, and the command that does, ready to paste.';

create function private.cure_of(p_failure private.session_failures)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
  return format(
    case p_failure.work
      when 'aftermath' then 'select public.repeat_aftermath(%L);'
      else 'select * from public.end_session_with_semantics(%L, ''its work failed'');' end,
    p_failure.session_id
  );
end;
$$;
comment on function private.cure_of(private.session_failures) is 'The command that settles what could not be done.';
revoke all on function private.cure_of from public, anon, authenticated, service_role;

create function private.mend_end(p_session_id uuid)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  v_session public.sessions;
  v_facts jsonb;
  v_rule jsonb;
  v_decision private.end_decision;
begin
  select s.* into v_session from public.sessions s where s.id = p_session_id;
  select e.payload -> 'facts', e.payload -> 'rule' into v_facts, v_rule
  from public.session_events e
  where e.session_id = p_session_id
    and e.source = 'sessions'
    and e.type in ('ended', 'corrected')
    and e.payload ? 'facts'
  order by e.id desc
  limit 1;
  if v_facts is null then
    return '-- The event of its end is missing: restore it from a backup.';
  end if;
  v_decision := private.decide_end(
    jsonb_populate_record(null::private.end_facts, v_facts), jsonb_populate_record(null::private.billing_rule, v_rule)
  );
  if (v_decision.status, v_decision.reason, v_decision.duration_seconds, v_decision.billable_seconds)
    is not distinct from
    (v_session.status, v_session.end_reason, v_session.duration_seconds, v_session.billable_seconds)
    and v_session.started_at is not distinct from (v_facts ->> 'started_at')::timestamptz
    and v_session.ended_at is not distinct from (v_facts ->> 'over_at')::timestamptz
  then
    return '-- The row is what its facts say, and the event of its end was changed: restore it from a backup.';
  end if;
  if v_session.status in ('completed', 'cancelled', 'expired') and (
    v_session.status = v_decision.status or exists (
      select
      from private.session_transitions t
      where t.from_status = v_session.status and t.to_status = v_decision.status and t.is_correction
    )
  ) then
    return 'select * from public.apply_semantic_fix(false);';
  end if;
  return format(
    '-- No correction leads from %s to %s: restore the row from a backup.', v_session.status, v_decision.status
  );
end;
$$;
comment on function private.mend_end(uuid) is
  'What mends a session whose row and recorded end contradict each other: a statement, or a comment that says what a '
  'person has to do.';
revoke all on function private.mend_end from public, anon, authenticated, service_role;

create function private.needing_review(p_since timestamptz)
returns setof public.review_item
language plpgsql
stable
security definer
set search_path = ''
set jit = off
as $$
begin
  if not private.may_monitor() then
    return;
  end if;
  return query
  select
    'live_past_deadline', a.session_id, a.session_id::text, a.severity, a.since, a.detail,
    'select public.end_expired_sessions();'
  from private.live_past_deadline() a
  union all
  select
    'both_present_not_live', a.session_id, a.session_id::text, a.severity, a.since, a.detail,
    format('select private.repair_session(%L);', a.session_id)
  from private.both_present_not_live() a
  union all
  select
    'status_mismatch', a.session_id, a.session_id::text, a.severity, a.since, a.detail,
    private.mend_end(a.session_id)
  from private.status_mismatch(p_since) a
  union all
  select
    'completed_without_payout', a.session_id, a.session_id::text, a.severity, a.since, a.detail,
    format('select public.repair_money(%L);', a.session_id)
  from private.completed_without_payout(p_since) a
  union all
  select
    'session_review', r.session_id, r.id::text, 'critical', r.opened_at,
    r.detail || jsonb_build_object('reason', r.reason),
    format('select public.resolve_review(%L, ''what was found'');', r.session_id)
  from private.session_reviews r
  where r.resolved_at is null
  union all
  select
    'payment', p.session_id, p.id::text, 'critical', p.updated_at,
    jsonb_build_object('review', p.review, 'amount_cents', p.amount_cents, 'currency', p.currency),
    format('select public.resolve_payment(%L, ''to_credit'', ''why'');', p.id)
  from private.payments p
  where p.review is not null
  union all
  select
    'unapplied_money', p.session_id, p.id::text, 'critical', p.updated_at,
    jsonb_build_object('amount_cents', p.amount_cents, 'currency', p.currency),
    format(
      'update private.payments set review = ''unapplied'' where id = %L; '
      'select public.resolve_payment(%1$L, ''to_credit'', ''why'');', p.id
    )
  from private.payments p
  where p.review is null and p.received_at is not null and p.applied_to is null and private.unapplied(p) <> 0
  union all
  select
    'dead_outbox', o.session_id, o.id::text, case when o.topic like 'stripe.%' then 'critical' else 'warning' end,
    o.created_at, jsonb_build_object('topic', o.topic, 'key', o.key, 'error', o.last_error),
    format('select public.requeue_outbox(%s);', o.id)
  from private.outbox o
  where o.status = 'dead'
  union all
  select
    'payout', p.session_id, p.id::text, 'critical', p.updated_at,
    jsonb_build_object('status', p.status, 'amount_cents', p.amount_cents, 'currency', p.currency),
    format('select public.resolve_payout(%L, ''retry'');', p.id)
  from public.payouts p
  where p.status in ('needs_reconciliation', 'failed')
  union all
  select
    'stripe_event', null, e.id, 'critical', e.received_at, jsonb_build_object('type', e.type, 'error', e.error),
    format('select public.retry_stripe_event(%L);', e.id)
  from private.stripe_events e
  where e.status = 'failed'
  union all
  select
    'failed_work', f.session_id, f.session_id::text, 'critical', f.failed_at,
    jsonb_build_object('work', f.work, 'error', f.error, 'failures', f.failures),
    private.cure_of(f)
  from private.session_failures f
  union all
  select
    f.kind, f.session_id, f.subject, f.severity, f.found_at, jsonb_build_object('found', f.detail), f.command
  from private.findings f
  left join public.sessions s on s.id = f.session_id
  where s.version is not distinct from f.session_version;
end;
$$;
comment on function private.needing_review(timestamptz) is
  'Behind public.sessions_needing_review; ended sessions since then.';
revoke all on function private.needing_review from public, anon, authenticated, service_role;
grant execute on function private.needing_review to authenticated, service_role;

create view public.sessions_needing_review with (security_invoker = on) as
select r.kind, r.session_id, r.subject, r.severity, r.since, r.detail, r.command
from private.needing_review(private.recent()) r;
comment on view public.sessions_needing_review is
  'Everything that waits for a person: alerts, sessions and payments in review, unapplied money, dead effects, '
  'payouts to reconcile, failed Stripe events, failed work, and what the last audit found (the monitor makes one an '
  'hour, and at every run while something is found). command settles it; one that begins with -- is what a person has '
  'to do. Admins and the system.';
revoke all on table public.sessions_needing_review from public, anon, authenticated, service_role;
grant select on table public.sessions_needing_review to authenticated, service_role;
