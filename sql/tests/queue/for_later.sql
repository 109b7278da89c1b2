-- QUE-03, LIFE-05: a booking is in the queue from its creation; accepted before its time it is `accepted`, and it
-- keeps a mechanic busy only at its own time.
begin;

select plan(9);

select tests.stop_clock();
select tests.person('booker');
select tests.person('second booker');
select tests.person('customer');
select tests.mechanic('mechanic');

create function pg_temp.book(p_who text, p_in interval) returns void
language plpgsql
as $$
begin
  perform tests.act_as(p_who);
  perform public.create_session('chat10', p_scheduled_for => tests.now() + p_in);
  perform tests.be_system();
end
$$;

select pg_temp.book('booker', '1 day');
select pg_temp.book('second booker', '1 day 10 minutes');
select tests.queue('customer');

select tests.act_as('mechanic');
select is(
  (select scheduled_for from public.mechanic_queue() where session_id = tests.session_of('booker')),
  tests.now() + interval '1 day', 'LIFE-05: in the queue, marked with its time'
);
select tests.be_system();
select tests.accept('mechanic', 'booker');
select is((tests.row_of('booker')).status::text, 'accepted', 'QUE-03: accepted for later');
select is(
  tests.outcome('mechanic', $$ select public.accept_assignment(tests.assignment_of('second booker')) $$),
  'PT409 mechanic_busy', 'QUE-03: not two whose times overlap'
);
select is(
  tests.outcome('mechanic', $$ select public.accept_assignment(tests.assignment_of('customer')) $$), 'ok',
  'QUE-03: but somebody now'
);
select is(
  tests.outcome('booker', $$ select public.join_session(tests.session_of('booker')) $$), 'PT409 session_not_active',
  'PRE-01: a day early is too early'
);
select tests.finish_session('customer', 'customer');
select tests.advance(86400 - 601);
select is(
  tests.outcome('booker', $$ select public.join_session(tests.session_of('booker')) $$), 'PT409 session_not_active',
  'PRE-01: ten minutes and a second before'
);
select tests.advance(1);
select is(
  tests.outcome('booker', $$ select public.join_session(tests.session_of('booker')) $$), 'ok',
  'PRE-01: ten minutes before'
);
select is(
  tests.outcome('mechanic', $$ select public.join_session(tests.session_of('booker')) $$), 'ok',
  'PRE-01: both of them'
);
select is((tests.row_of('booker')).status::text, 'live', 'PRE-02: and so it starts');

select * from finish();

rollback;
