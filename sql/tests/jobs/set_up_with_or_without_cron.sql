-- TIME-07: the jobs, by name and schedule, for a pg_cron that knows seconds and one that does not. They can be set up
-- and removed again and again, without pg_cron too, as here. (py_tests shows them in pg_cron.)
begin;

select plan(10);

select results_eq(
  'select job, schedule from private.jobs(true) order by job',
  $$ values
     ('dispatch-outbox', '10 seconds'), ('expire-orphaned-sessions', '7 * * * *'),
     ('monitor-sessions', '*/5 * * * *'), ('prune-history', '23 3 * * *'), ('tick-sessions', '10 seconds') $$,
  'TIME-07: the tick and the outbox every ten seconds'
);
select results_eq(
  'select job, schedule from private.jobs(false) order by job',
  $$ values
     ('dispatch-outbox', '* * * * *'), ('expire-orphaned-sessions', '7 * * * *'),
     ('monitor-sessions', '*/5 * * * *'), ('prune-history', '23 3 * * *'), ('tick-sessions', '* * * * *') $$,
  'TIME-07: or every minute'
);
select lives_ok('select private.setup_cron()', 'TIME-07: set up');
select lives_ok('select private.setup_cron()', 'TIME-07: set up again');
select lives_ok('select private.teardown_cron()', 'TIME-07: removed');
select lives_ok('select private.teardown_cron()', 'TIME-07: removed again');
select is_empty(
  $$ select s.statement
     from (
       values
         ('select private.setup_cron()'), ('select private.teardown_cron()'), ('select private.prune_history()'),
         ($q$ select private.run_job('tick-sessions') $q$), ('select * from private.job_health()')
     ) as s (statement)
     where tests.outcome('service_role', s.statement) not like '42501 %' $$,
  'TIME-07: all that is for operators'
);

-- An outside scheduler calls the public functions; that leaves the same record.
select tests.stop_clock();
select tests.do_as('service_role', 'select public.tick_sessions()');
select tests.do_as('service_role', 'select public.monitor_sessions()');
select tests.do_as('service_role', 'select public.expire_orphaned_sessions()');
select results_eq(
  'select job, started_at, error from private.job_runs where started_at is not null order by job',
  $$ values
     ('expire-orphaned-sessions', tests.now(), null), ('monitor-sessions', tests.now(), null),
     ('tick-sessions', tests.now(), null) $$,
  'TIME-07: another scheduler may call the same functions'
);
select is_empty(
  $$ select w.who, s.statement
     from (values ('anon'), ('somebody')) as w (who)
     cross join (
       values
         ('select public.tick_sessions()'), ('select public.monitor_sessions()'),
         ('select public.expire_orphaned_sessions()'), ('select public.end_expired_sessions()')
     ) as s (statement)
     where tests.outcome(w.who, s.statement) not like '42501 %' $$,
  'TIME-07: with the secret key only'
);
select is(
  (select string_agg(key, ' ' order by key) from jsonb_object_keys(public.monitor_sessions()) as key),
  'alerted_support auto_closed nudged_mechanics unattended', 'TIME-07: the monitor answers with its counts'
);

select * from finish();

rollback;
