-- MOD-09: a mechanic who is suspended while live finishes that session and gets nothing new.
begin;

select plan(7);

select tests.stop_clock();
select tests.live('customer', 'mechanic');
select tests.person('second customer');
select tests.queue('second customer');
select public.set_mechanic_status(tests.id('mechanic'), 'suspended', 'complaints');

select is((tests.row_of('customer')).status::text, 'live', 'MOD-09: the session goes on');
select tests.advance(50);
select is(
  tests.outcome('mechanic', $$ select public.heartbeat_session(tests.session_of('customer')) $$), 'ok',
  'MOD-09: he stays in it'
);
select is(
  tests.outcome('mechanic', 'select public.mechanic_queue()'), 'PT403 role_required', 'MOD-09: sees no queue'
);
select tests.advance(25);
select is((tests.finish_session('mechanic', 'customer')).final_status::text, 'completed', 'MOD-09: may end it');
select is((tests.row_of('customer')).billable_seconds, 75, 'MOD-09: and it counts');
select is(
  tests.outcome('mechanic', $$ select public.accept_assignment(tests.assignment_of('second customer')) $$),
  'PT403 role_required', 'MOD-09: nothing new'
);
select is(
  tests.outcome('mechanic', 'select public.set_availability(true)'), 'PT403 role_required',
  'MOD-09: nor by saying that he is available'
);

select * from finish();

rollback;
