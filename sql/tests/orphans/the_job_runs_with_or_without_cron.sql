-- TIME-07: jobs can be set up and removed again and again, with pg_cron and without it; a run is on record.
-- (That pg_cron really has the job is shown in the cluster's own database, by py_tests.)
begin;

select plan(10);

select lives_ok('select private.setup_cron()', 'TIME-07: set up');
select lives_ok('select private.setup_cron()', 'TIME-07: set up again');
select lives_ok('select private.teardown_cron()', 'TIME-07: removed');
select lives_ok('select private.teardown_cron()', 'TIME-07: removed again');
select alike(
  tests.outcome('service_role', 'select private.setup_cron()'), '42501 %', 'TIME-07: by operators only'
);

select tests.stop_clock();
select tests.person('customer');
select tests.queue('customer');
select tests.advance(7201);
select lives_ok($$ select private.run_job('expire-orphaned-sessions') $$, 'TIME-07: the job');
select is((tests.row_of('customer')).status::text, 'expired', 'TIME-05: does its work');
select results_eq(
  $$ select job, is_failure, started_at, ended_at from private.job_runs $$,
  $$ values ('expire-orphaned-sessions', false, tests.now(), tests.now()) $$, 'TIME-07: and is on record'
);
select private.run_job('expire-orphaned-sessions');
select is((select count(*)::integer from private.job_runs), 1, 'TIME-07: in one row, however often it runs');

delete from private.settings where key = 'orphan_after_minutes';
create temporary table tried on commit drop as
select tests.outcome('system', $$ select private.run_job('expire-orphaned-sessions') $$) as outcome;
select ok(
  (select count(*) = 1 from private.job_runs where is_failure and error is not null),
  'TIME-07: a failure gets a row of its own'
);

select * from finish();

rollback;
