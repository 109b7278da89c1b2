-- LEG-01: archive_session_requests moves old rows of the old queue into the archive, and loses none.
begin;

select plan(15);

select tests.stop_clock();
select tests.person('customer');
select tests.admin('admin');

insert into public.session_requests (
  id, session_id, customer_id, mechanic_id, session_type, plan_code, status, created_at, accepted_at, updated_at,
  metadata
)
select
  tests.id('request ' || n), case when n % 3 = 0 then tests.id('session ' || n) end, tests.id('customer ' || n),
  case when n % 2 = 0 then tests.id('mechanic ' || n) end, 'chat', 'plan ' || n, 'completed',
  '2030-01-01 00:00:00+00'::timestamptz - make_interval(days => n),
  case when n % 2 = 0 then '2029-01-01 00:00:00+00'::timestamptz end,
  '2030-01-01 00:00:00+00', jsonb_build_object('n', n)
from generate_series(1, 100) as n;
create temporary table everything on commit drop as select * from public.session_requests;

create function pg_temp.archive(p_who text, p_before text)
returns text
language sql
as $$ select tests.outcome(p_who, format('select public.archive_session_requests(p_before => %L)', p_before)) $$;

create function pg_temp.told()
returns setof jsonb
language sql
as $$
  select l.detail from private.ops_log as l where l.kind = 'requests.archived' order by l.id
$$;

-- What is there and in the archive, without the archive's own column.
create view pg_temp.kept as
select * from public.session_requests
union all
select
  id, session_id, customer_id, mechanic_id, session_type, plan_code, status, created_at, accepted_at, updated_at,
  metadata
from private.session_requests_archive;

select is(pg_temp.archive('customer', '2029-12-01'), 'PT403 role_required', 'LEG-01: not for customers');
select alike(pg_temp.archive('anon', '2029-12-01'), '42501 %', 'LEG-01: nor visitors');
select is(pg_temp.archive('admin', null), 'PT422 invalid_argument', 'LEG-01: it must say from when on');
select is(pg_temp.archive('admin', 'infinity'), 'PT422 invalid_argument', 'LEG-01: a time that has been');
select is(
  (select count(*)::integer from private.session_requests_archive), 0, 'LEG-01: none of which moved anything'
);

select tests.act_as('admin');
select is(
  public.archive_session_requests(p_before => '2029-12-02 00:00:00+00'), 70, 'LEG-01: older ones, and how many'
);
select tests.be_system();
select is(
  (select min(created_at) from public.session_requests), '2029-12-02 00:00:00+00'::timestamptz,
  'LEG-01: what was made at that very moment or later stays'
);
select bag_eq('select * from pg_temp.kept', 'select * from everything', 'LEG-01: nothing is lost, nothing is changed');
select is(
  (select count(*)::integer from private.session_requests_archive where archived_at = tests.now()), 70,
  'LEG-01: the archive says since when'
);
select is(public.archive_session_requests('2029-12-02 00:00:00+00'), 0, 'LEG-01: again there is nothing to move');
select tests.act_as_role('service_role');
select is(public.archive_session_requests('2030-01-01 12:00:00+00'), 30, 'LEG-01: the system may too');
select tests.be_system();
select bag_eq('select * from pg_temp.kept', 'select * from everything', 'LEG-01: still all there');
select is((select count(*)::integer from public.session_requests), 0, 'LEG-01: all of it in the archive');
select is((select count(*)::integer from pg_temp.told()), 3, 'LEG-01: each time is on record');
select alike(
  tests.outcome('service_role', 'select 1 from private.session_requests_archive'), '42501 %',
  'LEG-01: the archive is for operators'
);

select * from finish();

rollback;
