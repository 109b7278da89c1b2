-- Says whether everything is as it should be, in eleven sections, what is wrong, and the command that settles it. It
-- changes nothing. docs/operations.md tells what each section means; `taximeter verify` asks the same.
--
--   psql "$DATABASE_URL" -X -q -f sql/ops/verify-session-end-logic.sql
--   psql "$DATABASE_URL" -X -q -v since=2026-01-01 -f sql/ops/verify-session-end-logic.sql
--
-- since   what changed from then on (default: 35 days ago); without a zone it is UTC
--
-- Run it as the owner of the database, or as an admin.

\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off

\if :{?since}
\else
\set since ''
\endif

set timezone to 'UTC';

with verified as materialized (
  select v.section, v.name, v.status, v.anomalies, v.detail
  from public.verify_session_end_logic(nullif(:'since', '')::timestamptz) as v
), lines as (
  select
    v.section, 0 as place,
    format(
      '%s %s  %s%s', rpad(case v.status when 'ok' then 'ok' else upper(v.status) end, 5), lpad(v.section::text, 2),
      v.name, case when v.anomalies > 0 then format('  (%s)', v.anomalies) end
    ) as line
  from verified as v
  union all
  select
    v.section, d.place, format(
      '          %s: %s%s', d.found ->> 'subject', d.found ->> 'detail', E'\n            ' || (d.found ->> 'command')
    )
  from verified as v
  cross join lateral jsonb_array_elements(
    case jsonb_typeof(v.detail) when 'array' then v.detail else '[]' end
  ) with ordinality as d (found, place)
  union all
  select v.section, 100, format('          and %s more', v.anomalies - 20)
  from verified as v
  where v.anomalies > 20
  union all
  select
    100, 0, case
      when bool_and(v.status = 'ok') then E'\nEverything is as it should be.'
      else format(E'\n%s of %s sections are not ok.', count(*) filter (where v.status <> 'ok'), count(*)) end
  from verified as v
  union all
  select 101, 0, E'\nWhat waits for a person, and what settles it:'
  where exists (select from public.sessions_needing_review)
  union all
  select
    102, row_number() over (order by r.severity, r.since, r.subject),
    format('  %s %s %s%s    %s', r.severity, replace(r.kind, '_', ' '), r.subject, E'\n', r.command)
  from public.sessions_needing_review as r
)

select line from lines order by section, place;
