-- Looks at diagnostic sessions: those of the older system in public.diagnostic_sessions, and sessions of the type
-- diagnostic in public.sessions. It changes nothing. The older ones move no money; end_session_with_semantics ends
-- them by the same rules.
--
--   psql "$DATABASE_URL" -X -q -f sql/ops/check-diagnostic-sessions.sql
--
-- Run it as the owner of the database, or as an admin.

\set ON_ERROR_STOP on
\set QUIET on
\pset pager off
\pset null '-'
\pset footer off

set timezone to 'UTC';

\echo '1. Diagnostic sessions of the older system, by status'
select d.status, count(*) as sessions, min(d.created_at) as oldest, max(d.updated_at) as last_change
from public.diagnostic_sessions as d
group by d.status
order by d.status;

\echo '2. Sessions of the type diagnostic, by status'
select s.status, count(*) as sessions, min(s.created_at) as oldest, max(s.updated_at) as last_change
from public.sessions as s
where s.type = 'diagnostic'
group by s.status
order by s.status;

\echo '3. What is wrong with the older ones, and what settles it'
select d.id, d.status, w.what, w.command
from public.diagnostic_sessions as d
cross join lateral (
  values
  (
    d.status < 'completed'
    and public.calculate_session_expiry(
      coalesce(d.started_at, d.created_at),
      coalesce(d.duration_minutes, private.setting_integer('max_session_minutes'))
    ) <= private.clock(),
    'its time is over',
    format('select * from public.end_session_with_semantics(%L);', d.id)
  ),
  (
    d.status = 'completed' and d.started_at is null,
    'completed, and it never started',
    null
  ),
  (
    d.status >= 'completed' and d.ended_at is null,
    'ended, and nobody says when',
    null
  ),
  (
    d.status in ('completed', 'cancelled')
    and d.metadata ? 'end_reason'
    and (d.status = 'completed') <> (d.metadata ->> 'end_reason' = 'completed'),
    'its status is not what was decided with its end',
    null
  )
) as w (is_wrong, what, command)
where w.is_wrong
order by d.created_at, d.id, w.what;

\echo '4. Sessions of the type diagnostic that wait for a person'
select r.severity, r.kind, r.since, r.session_id, r.command
from public.sessions_needing_review as r
join public.sessions as s on s.id = r.session_id
where s.type = 'diagnostic'
order by r.severity, r.since, r.session_id;
