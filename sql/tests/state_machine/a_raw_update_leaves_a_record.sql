-- MOD-04: no way round the record: a raw UPDATE of status bumps the version and appends an event by itself.
begin;

select plan(12);

select tests.stop_clock();
select tests.person('customer');
select tests.mechanic('mechanic');
select tests.queue('customer');
select set_config('tests.version', (tests.row_of('customer')).version::text, true);

select tests.advance(10);
update public.sessions set status = 'cancelled' where id = tests.session_of('customer');

select is(
  (tests.row_of('customer')).version, current_setting('tests.version')::bigint + 1, 'MOD-04: the version is bumped'
);
select is(
  tests.events_of('customer'), array['created', 'status_changed'], 'MOD-04: the event is appended'
);
select results_eq(
  $$ select actor_role, actor_id, version, occurred_at from public.session_events
     where session_id = tests.session_of('customer') and type = 'status_changed' $$,
  $$ select 'system', null::uuid, (tests.row_of('customer')).version, tests.now() $$,
  'MOD-04: by whom, which version, when'
);
select ok(
  (
    select payload::text like '%pending%' and payload::text like '%cancelled%' from public.session_events
    where session_id = tests.session_of('customer') and type = 'status_changed'
  ),
  'MOD-04: from where to where'
);
select is((tests.row_of('customer')).ended_at, tests.now(), 'MOD-04: an ended session has its time');

-- A version written by hand does not hide a change.
select tests.person('second customer');
select tests.queue('second customer');
update public.sessions set status = 'expired', version = 1000 where id = tests.session_of('second customer');
select is(
  (select count(*)::integer from public.session_events
    where session_id = tests.session_of('second customer') and type = 'status_changed'),
  1, 'MOD-04: also when the writer brings a version of his own'
);
select ok(
  (tests.row_of('second customer')).version > 1, 'MOD-04: which is larger than the one before'
);

-- service_role is no exception.
select tests.person('third customer');
select tests.queue('third customer');
select is(
  tests.outcome(
    'service_role',
    $$ update public.sessions set status = 'cancelled' where id = tests.session_of('third customer') $$
  ),
  'ok', 'MOD-04: service_role may take a legal arc'
);
select is(
  tests.events_of('third customer'), array['created', 'status_changed'], 'MOD-04: and leaves the same record'
);

-- What is no change of status is none.
select tests.person('fourth customer');
select tests.queue('fourth customer');
update public.sessions set status = 'pending' where id = tests.session_of('fourth customer');
select is(tests.events_of('fourth customer'), array['created'], 'MOD-04: the same status is no change');

-- A change that is refused leaves nothing.
select is(
  tests.outcome(
    'system', $$ update public.sessions set status = 'completed' where id = tests.session_of('fourth customer') $$
  ),
  'PT409 illegal_transition', 'MOD-04: pending to completed'
);
select is(tests.events_of('fourth customer'), array['created'], 'MOD-04: a refused change has no event');

select * from finish();

rollback;
