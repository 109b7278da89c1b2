-- Exports the queue of the older system, public.session_requests and its archive, as CSV with a header to standard
-- output, oldest first, for analysis elsewhere. It changes nothing.
--
--   psql "$DATABASE_URL" -X -q -f sql/ops/export_session_requests.sql > session_requests.csv
--   psql "$DATABASE_URL" -X -q -v since=2025-01-01 -v until=2026-01-01 -f sql/ops/export_session_requests.sql
--
-- since   the first moment of created_at that counts   (default: everything from the beginning)
-- until   the first moment that does not count any more (default: everything to the end)
-- Both are what PostgreSQL reads as a timestamp; without a zone they are UTC.
--
-- Run it as the owner of the database: the archive is in private. The file names people by their ids.

\set ON_ERROR_STOP on
\set QUIET on

\if :{?since}
\else
\set since '-infinity'
\endif
\if :{?until}
\else
\set until 'infinity'
\endif

set timezone to 'UTC';

copy (
  select
    r.id, r.session_id, r.customer_id, r.mechanic_id, r.session_type, r.plan_code, r.status,
    r.created_at, r.accepted_at, r.updated_at, r.metadata, r.is_archived
  from (
    select
      q.id, q.session_id, q.customer_id, q.mechanic_id, q.session_type, q.plan_code, q.status,
      q.created_at, q.accepted_at, q.updated_at, q.metadata, false as is_archived
    from public.session_requests as q
    union all
    select
      a.id, a.session_id, a.customer_id, a.mechanic_id, a.session_type, a.plan_code, a.status,
      a.created_at, a.accepted_at, a.updated_at, a.metadata, true
    from private.session_requests_archive as a
  ) as r
  where r.created_at >= :'since'::timestamptz and r.created_at < :'until'::timestamptz
  order by r.created_at, r.id
) to stdout with (format csv, header);
