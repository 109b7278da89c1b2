-- TIME-07: prune-history trims our own logs of what is old, and nothing else. (py_tests shows that of pg_cron.)
begin;

select plan(8);

select tests.stop_clock('2030-01-01 12:00:00+00');
select tests.live('customer', 'mechanic');
select tests.do_as('service_role', format(
  'select public.record_presence_event(%L, %L, %L, %L, %L)', tests.session_of('customer'),
  'customer-' || tests.id('customer'), 'participant_joined', 'old fact', tests.now()
));
select tests.finish_session('customer', 'customer');
select private.run_job(job) from private.jobs(false);
select private.run_job('make-coffee');
select private.log_op('an old one', null, '{}');
create temporary table before on commit drop as
select
  (select count(*) from public.sessions) as sessions,
  (select count(*) from public.session_events) as events,
  (select count(*) from public.session_participants) as participants,
  (select count(*) from public.session_assignments) as assignments;

create function pg_temp.rest()
returns text
language sql
as $$
  select format(
    '%s facts, %s failures, %s entries',
    (select count(*) from private.presence_facts),
    (select count(*) from private.job_runs where is_failure),
    (select count(*) from private.ops_log where kind in ('an old one', 'a new one'))
  )
$$;

-- Seven years later, with something new beside everything old.
select tests.advance(7 * 366 * 86400);
select tests.person('second');
select tests.queue('second');
select private.run_job('make-coffee');
select private.log_op('a new one', null, '{}');
select tests.do_as('service_role', format(
  'select public.record_presence_event(%L, %L, %L, %L, %L)', tests.session_of('second'),
  'customer-' || tests.id('second'), 'participant_joined', 'new fact', tests.now()
));
select is(pg_temp.rest(), '2 facts, 2 failures, 2 entries', 'TIME-07: old and new');
select isnt(private.run_job('prune-history'), null, 'TIME-07: the job');
select is(pg_temp.rest(), '1 facts, 1 failures, 1 entries', 'TIME-07: the new ones stay');
select is((select kind from private.ops_log where kind like 'a%one'), 'a new one', 'TIME-07: and only they');
select is(
  (select count(*)::integer from private.job_runs where not is_failure), 5, 'TIME-07: a last run stays, however old'
);
select results_eq(
  $$ select
       (select count(*) - 1 from public.sessions), (select count(*) from public.session_events) - (
         select count(*) from public.session_events where session_id = tests.session_of('second')
       ),
       (select count(*) - 1 from public.session_participants), (select count(*) - 1 from public.session_assignments) $$,
  'select * from before', 'TIME-07: nothing of a session''s record is history to be pruned'
);
select private.run_job('prune-history');
select is(pg_temp.rest(), '1 facts, 1 failures, 1 entries', 'TIME-07: again there is nothing to do');
select tests.advance(86400);
select private.run_job('prune-history');
select is(pg_temp.rest(), '1 facts, 1 failures, 1 entries', 'TIME-07: nor is a day old');

select * from finish();

rollback;
