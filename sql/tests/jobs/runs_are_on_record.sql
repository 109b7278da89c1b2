-- TIME-07: private.job_runs has one row a job, its last run, and a row for every failure; private.job_health says which
-- job is late, and what it failed with.
begin;

select plan(27);

-- Before any of them has run: late is what should have run since the installation, and that alone.
select tests.stop_clock(now());
select is(
  (select is_late from private.job_health() where job = 'prune-history'), false,
  'TIME-07: a daily job is not late on the day of the installation'
);
select tests.advance(3 * 86400);
select is(
  (select count(*)::integer from private.job_health() where is_late), 5,
  'TIME-07: jobs that never ran, because nobody scheduled them, are late'
);

select tests.clock_at('2030-01-01 12:00:00+00');

-- The last run of a job, as the health of the jobs tells it.
create function pg_temp.health(p_job text)
returns text
language sql
as $$
  select format(
    '%s %s', case when h.is_late then 'late' else 'on time' end, coalesce('failed: ' || h.last_error, 'well')
  )
  from private.job_health() as h
  where h.job = p_job
$$;

select bag_eq(
  'select job from private.job_health()', 'select job from private.jobs(false)', 'TIME-07: the health of every job'
);
select is_empty(
  'select job from private.job_health() where last_started_at is not null', 'TIME-07: none has run yet'
);

-- A run that does something.
select tests.person('customer');
select tests.queue('customer');
select tests.advance(7201);
select is(
  private.run_job('expire-orphaned-sessions'), '{"expired": 1, "more": false}'::jsonb, 'TIME-07: a job says what it did'
);
select is((tests.row_of('customer')).status::text, 'expired', 'TIME-05, TIME-07: and did it');
select results_eq(
  $$ select started_at, ended_at, result, error, is_failure from private.job_runs
     where job = 'expire-orphaned-sessions' $$,
  $$ values (tests.now(), tests.now(), '{"expired": 1}'::jsonb, null::text, false) $$, 'TIME-07: which is on record'
);
select tests.advance(60);
select private.run_job('expire-orphaned-sessions');
select results_eq(
  $$ select started_at, result from private.job_runs where job = 'expire-orphaned-sessions' $$,
  $$ values (tests.now(), '{"expired": 0}'::jsonb) $$, 'TIME-07: in one row, however often it runs'
);

-- Every job runs.
select lives_ok('select private.run_job(job) from private.jobs(false)', 'TIME-07: they all run');
select is_empty(
  'select job, last_error from private.job_health() where last_started_at <> tests.now() or last_error is not null',
  'TIME-07: and nothing fails'
);
select is_empty('select job from private.job_health() where is_late', 'TIME-07: none is late now');
select is(
  private.run_job('dispatch-outbox') ->> 'more', 'false', 'TIME-07: where there is nothing to send nothing is left'
);

-- A run that fails: what it did is undone, the failure is kept, and the next one that succeeds clears the error.
update private.settings as s set value = '"often"' where s.key = 'orphan_after_minutes';
select lives_ok($$ select private.run_job('expire-orphaned-sessions') $$, 'TIME-07: a job that fails raises nothing');
select alike(pg_temp.health('expire-orphaned-sessions'), 'on time failed: %', 'TIME-07: its health says so');
select tests.advance(60);
select private.run_job('expire-orphaned-sessions');
select results_eq(
  $$ select started_at, ended_at, error is not null, result from private.job_runs
     where job = 'expire-orphaned-sessions' and is_failure order by id $$,
  $$ values
     (tests.now() - interval '60 seconds', tests.now() - interval '60 seconds', true, null::jsonb),
     (tests.now(), tests.now(), true, null) $$,
  'TIME-07: a row for every failure'
);
update private.settings as s set value = '120' where s.key = 'orphan_after_minutes';
select private.run_job('expire-orphaned-sessions');
select is(pg_temp.health('expire-orphaned-sessions'), 'on time well', 'TIME-07: well again');
select is(
  (select count(*)::integer from private.job_runs where job = 'expire-orphaned-sessions' and is_failure), 2,
  'TIME-07: the failures stay on record'
);
select is(
  (select count(*)::integer from private.job_runs where not is_failure), 5, 'TIME-07: one last run of each, no more'
);
select lives_ok($$ select private.run_job('make-coffee') $$, 'TIME-07: a job nobody knows is a failure');
select is(
  (select error from private.job_runs where job = 'make-coffee'), 'unknown job make-coffee', 'TIME-07: on record too'
);

-- Lateness: by a job's own measure.
create function pg_temp.late()
returns text
language sql
as $$ select string_agg(h.job, ' ' order by h.job) from private.job_health() as h where h.is_late $$;

select private.run_job(job) from private.jobs(false);
select tests.advance(90);
select is(pg_temp.late(), null, 'TIME-07: a minute and a half ago is on time for those that run every minute');
select tests.advance(510);
select is(pg_temp.late(), 'dispatch-outbox tick-sessions', 'TIME-07: ten minutes ago is not');
select tests.advance(1200);
select is(pg_temp.late(), 'dispatch-outbox monitor-sessions tick-sessions', 'TIME-07: half an hour');
select tests.advance(2400);
select is(pg_temp.late(), 'dispatch-outbox monitor-sessions tick-sessions', 'TIME-07: seventy minutes');
select tests.advance(3 * 3600);
select is(
  pg_temp.late(), 'dispatch-outbox expire-orphaned-sessions monitor-sessions tick-sessions', 'TIME-07: four hours'
);
select tests.advance(48 * 3600);
select is((select count(*)::integer from private.job_health() where is_late), 5, 'TIME-07: two days, and all are late');
select private.run_job('tick-sessions');
select is(pg_temp.health('tick-sessions'), 'on time well', 'TIME-07: until they run again');

select * from finish();

rollback;
