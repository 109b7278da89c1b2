-- The questions of an operator's day, one after the other: what is wrong, what waits, how it goes. It changes nothing;
-- each query also serves by itself. docs/operations.md tells what the answers mean.
--
--   psql "$DATABASE_URL" -X -q -f sql/ops/session-monitoring-queries.sql
--
-- Run it as the owner of the database: some of it reads private tables.

\set ON_ERROR_STOP on
\set QUIET on
\pset pager off
\pset null '-'
\pset footer off

set timezone to 'UTC';

\echo '1. What waits for a person, and what settles it'
select r.severity, r.kind, r.since, r.subject, r.command
from public.sessions_needing_review as r
order by r.severity, r.since, r.subject;

\echo '2. Alerts'
select a.alert, a.session_id, a.severity, a.since, a.detail
from (
  select 'live past its deadline' as alert, l.* from public.alert_live_past_deadline as l
  union all
  select 'both there, not live', b.* from public.alert_both_present_not_live as b
  union all
  select 'status mismatch', m.* from public.alert_status_mismatch as m
  union all
  select 'completed without payout', p.* from public.alert_completed_without_payout as p
  union all
  select 'rate out of bounds', r.* from public.alert_rates as r
) as a
order by a.severity, a.since, a.session_id;

\echo '3. Health of the last 24 hours, where something ended'
select h.period_start, h.total, h.completed, h.cancelled, h.expired, h.anomalies, h.score, h.grade
from public.calculate_session_health_score(24) as h
where h.total > 0
order by h.period_start;

\echo '4. Active sessions'
select s.status, count(*) as sessions, min(s.created_at) as oldest, max(s.last_event_at) as last_event
from public.sessions as s
where s.status < 'completed'
group by s.status
order by s.status;

\echo '5. Live sessions, the next to end first'
select s.id, s.status, s.started_at, s.expires_at, s.expires_at - private.clock() as remaining, s.duration_minutes
from public.sessions as s
where s.status in ('live', 'reconnecting')
order by s.expires_at, s.id
limit 20;

\echo '6. Waiting for a mechanic, the longest first'
select s.id, s.plan, s.status, private.clock() - greatest(s.created_at, s.scheduled_for) as waited
from public.sessions as s
where s.status = 'pending'
order by waited desc, s.id
limit 20;

\echo '7. How the sessions of 7 days ended'
select s.status, s.end_reason, count(*) as sessions, round(avg(s.billable_seconds)) as billable_seconds
from public.sessions as s
where s.ended_at >= private.clock() - interval '7 days' and s.status between 'completed' and 'refunded'
group by s.status, s.end_reason
order by sessions desc, s.status, s.end_reason;

\echo '8. Mechanics who did not come, 7 days'
select
  s.mechanic_id, count(*) filter (where s.end_reason = 'mechanic_no_show') as no_shows, count(*) as sessions
from public.sessions as s
where s.ended_at >= private.clock() - interval '7 days' and s.mechanic_id is not null
group by s.mechanic_id
having count(*) filter (where s.end_reason = 'mechanic_no_show') > 0
order by no_shows desc, s.mechanic_id
limit 20;

\echo '9. Payouts by state'
select
  p.status, p.blocked_by, p.currency, count(*) as payouts, sum(p.amount_cents) as cents, min(p.due_at) as oldest_due
from public.payouts as p
group by p.status, p.blocked_by, p.currency
order by p.status, p.blocked_by, p.currency;

\echo '10. Jobs'
select j.job, j.schedule, j.last_started_at, j.is_late, j.last_error
from private.job_health() as j;

\echo '11. Outbox: what is not done'
select o.topic, o.status, count(*) as effects, min(o.next_attempt_at) as oldest, max(o.attempts) as attempts
from private.outbox as o
where o.status <> 'done'
group by o.topic, o.status
order by o.topic, o.status;

\echo '12. Messages to clients'
select h.check_name, h.is_ok, h.detail
from private.realtime_health() as h;

\echo '13. Money that does not add up (nothing, always)'
select v.invariant, v.subject, v.detail
from public.ledger_invariants() as v;

\echo '14. Outcomes by day and plan, 7 days'
select
  o.day, o.plan, o.funding, o.created, o.completed, o.cancelled, o.no_shows_customer, o.no_shows_mechanic, o.expired,
  o.completion_rate
from public.metrics_session_outcomes as o
where o.day >= (private.clock() at time zone 'UTC')::date - 7
order by o.day, o.plan, o.funding;

\echo '15. Waiting by hour, 24 hours, seconds'
select
  w.hour, w.queue_depth, w.accepted, w.declined, w.released, w.to_accept_p50_seconds, w.to_accept_p95_seconds,
  w.to_start_p50_seconds, w.to_start_p95_seconds
from public.metrics_wait_times as w
where w.hour >= private.clock() - interval '24 hours'
order by w.hour;

\echo '16. Money by day, 7 days, minor units'
select
  r.day, r.currency, r.gross_cents, r.refunded_cents, r.lost_to_no_shows_cents, r.paid_out_cents, r.platform_cents,
  r.owed_cents
from public.session_revenue_impact as r
where r.day >= (private.clock() at time zone 'UTC')::date - 7
order by r.day, r.currency;
