-- RT-03, QUE-02: what mechanics hear of the queue. While a session is reserved for a preferred mechanic, he alone hears
-- of it, on his own topic; the feed hears of it when it is open to all, and only then that it is gone again.
begin;

select plan(21);

create function pg_temp.feed()
returns table (event text, assignment_id uuid)
language sql
as $$
  select m.event, (m.payload ->> 'assignment_id')::uuid from tests.messages('session_assignments_feed') as m
$$;

create function pg_temp.book(p_who text, p_arguments text)
returns void
language sql
as $$
  select tests.advance(1);
  select tests.do_as(p_who, format('select public.create_session(%s)', p_arguments));
$$;

select tests.stop_clock('2030-01-01 12:00:00+00');
select tests.mechanic('mechanic');
select tests.mechanic('favourite');

-- An open one.
select tests.person('customer');
select tests.queue('customer', 'video15');
select results_eq(
  $$ select event, payload - 'id' from tests.messages('session_assignments_feed') $$,
  $$ values ('new_assignment', jsonb_build_object(
       'assignment_id', tests.assignment_of('customer'), 'session_id', tests.session_of('customer'),
       'plan', 'video15', 'type', 'video', 'scheduled_for', null
     )) $$,
  'RT-03: a new one, with what a mechanic needs to look for it, and nothing more'
);
select tests.forget_messages();
select tests.accept('mechanic', 'customer');
select results_eq(
  $$ select * from pg_temp.feed() $$,
  $$ values ('assignment_accepted', tests.assignment_of('customer')) $$, 'RT-03: somebody has taken it'
);
select tests.forget_messages();
select tests.accept('mechanic', 'customer');
select is_empty($$ select * from pg_temp.feed() $$, 'RT-03: said once');
select tests.do_as(
  'mechanic', format('select public.release_assignment(p_assignment_id => %L)', tests.assignment_of('customer'))
);
select results_eq(
  $$ select * from pg_temp.feed() $$, $$ values ('new_assignment', tests.assignment_of('customer')) $$,
  'RT-03, QUE-05: given back, it is new again'
);
select tests.forget_messages();
select tests.finish_session('customer', 'customer');
select results_eq(
  $$ select * from pg_temp.feed() $$,
  $$ values ('assignment_cancelled', tests.assignment_of('customer')) $$, 'RT-03: not wanted any more'
);

-- An end of a session that somebody has is no news to the others.
select tests.person('served');
select tests.queue('served');
select tests.accept('mechanic', 'served');
select tests.forget_messages();
select tests.finish_session('served', 'served');
select is_empty($$ select * from pg_temp.feed() $$, 'RT-03: the feed tells of the queue only');

-- A reserved one whose window passes.
select tests.person('loyal');
select pg_temp.book('loyal', format($$p_plan => 'chat10', p_preferred_mechanic_id => %L$$, tests.id('favourite')));
select is_empty($$ select * from pg_temp.feed() $$, 'RT-03, QUE-02: a reserved one is not on the feed');
select results_eq(
  $$ select event, payload - 'id' from tests.messages('user:' || tests.id('favourite'))
     where event <> 'notification:new' $$,
  $$ values ('new_assignment', jsonb_build_object(
       'assignment_id', tests.assignment_of('loyal'), 'session_id', tests.session_of('loyal'),
       'plan', 'chat10', 'type', 'chat', 'scheduled_for', null
     )) $$,
  'RT-03, QUE-02: the preferred mechanic hears of it at once, on his own topic'
);
select tests.forget_messages();
select tests.advance(119);
select public.tick_sessions();
select is_empty($$ select * from pg_temp.feed() $$, 'QUE-02: not before the window has passed');
select tests.advance(1);
select public.tick_sessions();
select public.tick_sessions();
select results_eq(
  $$ select * from pg_temp.feed() $$, $$ values ('new_assignment', tests.assignment_of('loyal')) $$,
  'RT-03, QUE-02: then everybody hears of it, once'
);
select is_empty(
  $$ select * from tests.messages('user:' || tests.id('favourite')) $$, 'RT-03: who knew already is not told again'
);
select tests.finish_session('loyal', 'loyal');

-- One that he declines.
select public.set_setting('free_sessions_per_customer', '10');
select pg_temp.book('loyal', format($$p_plan => 'chat10', p_preferred_mechanic_id => %L$$, tests.id('favourite')));
select tests.forget_messages();
select tests.do_as(
  'favourite', format('select public.decline_assignment(p_assignment_id => %L)', tests.assignment_of('loyal'))
);
select results_eq(
  $$ select * from pg_temp.feed() $$, $$ values ('new_assignment', tests.assignment_of('loyal')) $$,
  'RT-03, QUE-04: a preferred mechanic who declines opens it at once'
);
select tests.forget_messages();
select tests.do_as(
  'mechanic', format('select public.decline_assignment(p_assignment_id => %L)', tests.assignment_of('loyal'))
);
select tests.advance(300);
select public.tick_sessions();
select is_empty($$ select * from pg_temp.feed() $$, 'RT-03, QUE-04: a decline by one of many is his own business');
select tests.finish_session('loyal', 'loyal');

-- One that he accepts, and one that is cancelled within its window: nobody else ever knew.
select pg_temp.book('loyal', format($$p_plan => 'chat10', p_preferred_mechanic_id => %L$$, tests.id('favourite')));
select tests.forget_messages();
select tests.accept('favourite', 'loyal');
select tests.finish_session('loyal', 'loyal');
select is_empty($$ select * from pg_temp.feed() $$, 'RT-03: what was never offered is not withdrawn');
select pg_temp.book('loyal', format($$p_plan => 'chat10', p_preferred_mechanic_id => %L$$, tests.id('favourite')));
select tests.forget_messages();
select tests.finish_session('loyal', 'loyal');
select is_empty($$ select * from pg_temp.feed() $$, 'RT-03: neither when it is cancelled');
select results_eq(
  $$ select event from tests.messages('user:' || tests.id('favourite')) $$,
  $$ values ('assignment_cancelled') $$, 'RT-03: only who was told of it is told that it is gone'
);

-- One that the preferred mechanic takes and gives back within the window: he will not get it again, so it is open.
select pg_temp.book('loyal', format($$p_plan => 'chat10', p_preferred_mechanic_id => %L$$, tests.id('favourite')));
select tests.accept('favourite', 'loyal');
select tests.forget_messages();
select tests.do_as(
  'favourite', format('select public.release_assignment(p_assignment_id => %L)', tests.assignment_of('loyal'))
);
select results_eq(
  $$ select * from pg_temp.feed() $$, $$ values ('new_assignment', tests.assignment_of('loyal')) $$,
  'RT-03, QUE-05: given back by the preferred mechanic it is open to all at once'
);
select is_empty(
  $$ select * from tests.messages('user:' || tests.id('favourite')) $$, 'RT-03, QUE-05: and not offered to him again'
);
select tests.finish_session('loyal', 'loyal');

-- Expired in the queue; and one that is booked for later.
select pg_temp.book('loyal', $$p_plan => 'chat10'$$);
select tests.forget_messages();
select tests.advance(7201);
select public.expire_orphaned_sessions();
select results_eq(
  $$ select * from pg_temp.feed() $$, $$ values ('assignment_cancelled', tests.assignment_of('loyal')) $$,
  'RT-03: an expired one is gone too'
);
select tests.forget_messages();
select pg_temp.book('loyal', $$p_plan => 'chat10', p_scheduled_for => '2030-01-02 09:00:00+00'$$);
select results_eq(
  $$ select event, (payload ->> 'scheduled_for')::timestamptz from tests.messages('session_assignments_feed') $$,
  $$ values ('new_assignment', '2030-01-02 09:00:00+00'::timestamptz) $$, 'RT-03, LIFE-05: a booked one says for when'
);
select is_empty(
  $$ select event from realtime.messages where event in ('new_request', 'request_accepted', 'request_cancelled') $$,
  'RT-03: the old names are not sent'
);

select * from finish();

rollback;
