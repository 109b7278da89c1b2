-- QUE-05: the accepting mechanic gives a session back before its start; it waits again as long as it has waited, never
-- for him, and he reads nothing more of it.
begin;

select plan(49);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.person('customer');
select tests.mechanic('mechanic');
select tests.mechanic('other');
select tests.admin('admin');
select tests.queue('customer');
select tests.advance(100);
select tests.accept('mechanic', 'customer');
select tests.join('mechanic', 'customer');
select tests.advance(20);

create function pg_temp.release_by(p_who text, p_customer text, p_reason text default null) returns text
language sql
as $$
  select tests.outcome(p_who, format(
    'select public.release_assignment(p_assignment_id => %L, p_reason => %L)',
    tests.assignment_of(p_customer), p_reason
  ))
$$;

create function pg_temp.try(p_who text, p_call text, p_customer text) returns text
language sql
as $$ select tests.outcome(p_who, format('select public.%I(%L)', p_call, tests.session_of(p_customer))) $$;

-- who may not
select is(
  pg_temp.release_by(who, 'customer'), 'PT404 assignment_not_found', format('QUE-05: not by the %s', who)
)
from unnest(array['customer', 'other', 'admin']) as who;
select alike(pg_temp.release_by('anon', 'customer'), '42501 %', 'QUE-05: not by a visitor');
select is(
  tests.outcome('mechanic', 'select public.release_assignment(null)'), 'PT404 assignment_not_found', 'QUE-05: not null'
);
select is((tests.row_of('customer')).status::text, 'waiting', 'QUE-05: none of which changed anything');

-- he gives it back
select set_config('tests.version', (tests.row_of('customer')).version::text, true);
select tests.act_as('mechanic');
select results_eq(
  $$ select id, status::text from public.release_assignment(tests.assignment_of('customer'), 'wrong tools') $$,
  $$ values (tests.session_of('customer'), 'pending') $$, 'QUE-05: the answer is the session, pending again'
);
select tests.be_system();
select results_eq(
  $$ select status::text, mechanic_id, accepted_at from public.sessions where id = tests.session_of('customer') $$,
  $$ values ('pending', null::uuid, null::timestamptz) $$, 'QUE-05: with nobody to serve it'
);
select ok(
  (tests.row_of('customer')).version > current_setting('tests.version')::bigint, 'QUE-05: and a new version'
);
select results_eq(
  $$ select status, mechanic_id, accepted_at, closed_at from public.session_assignments
     where session_id = tests.session_of('customer') $$,
  $$ values ('queued', null::uuid, null::timestamptz, null::timestamptz) $$, 'QUE-05: the assignment is queued again'
);
select results_eq(
  $$ select is_connected, left_at, closed_at from public.session_participants
     where session_id = tests.session_of('customer') and user_id = tests.id('mechanic') $$,
  $$ values (false, tests.now(), tests.now()) $$, 'QUE-05: his row is closed and stays as evidence'
);
select results_eq(
  $$ select type::text, actor_id, actor_role::text from public.session_events
     where session_id = tests.session_of('customer') and type = 'released' $$,
  $$ values ('released', tests.id('mechanic'), 'mechanic') $$, 'QUE-05: one event, by him'
);
select results_eq(
  $$ select mechanic_id, kind, reason from private.assignment_refusals $$,
  $$ values (tests.id('mechanic'), 'released', 'wrong tools') $$, 'QUE-05: with his reason'
);

-- its age is kept, and it is not for him
select is_empty($$ select tests.queue_of('mechanic') $$, 'QUE-05: never to the same mechanic');
select is(
  tests.outcome('mechanic', $$ select public.accept_assignment(tests.assignment_of('customer')) $$),
  'PT404 assignment_not_found', 'QUE-05: not even if he knows its number'
);
select tests.act_as('other');
select is((select waiting_seconds from public.mechanic_queue()), 120, 'QUE-05: with its age kept');
select tests.be_system();
select is(pg_temp.release_by('mechanic', 'customer'), 'ok', 'QUE-05: giving back twice is once');
select is(
  array_length(array_positions(tests.events_of('customer'), 'released'), 1), 1, 'QUE-05: in the log too'
);

select tests.advance(1);
select tests.join('customer', 'customer');
select is(
  pg_temp.release_by('mechanic', 'customer'), 'PT404 assignment_not_found',
  'QUE-05: once something else has happened, not even that is his to know'
);
select tests.leave('customer', 'customer');

-- he reads nothing of it
select is(pg_temp.try('mechanic', what, 'customer'), 'PT404 session_not_found', format('QUE-05: no %s', what))
from unnest(array[
  'join_session', 'leave_session', 'heartbeat_session', 'start_session', 'session_snapshot', 'session_people',
  'end_session_with_semantics', 'preview_end'
]) as what;
select tests.act_as('mechanic');
select is(
  (select count(*)::integer from public.sessions) + (select count(*)::integer from public.session_participants)
  + (select count(*)::integer from public.session_assignments) + (select count(*)::integer from public.session_events)
  + (select count(*)::integer from public.my_sessions()) + (select count(*)::integer from public.get_active_session()),
  0, 'QUE-05: nothing in the tables and lists'
);
select tests.be_system();
select tests.act_as('customer');
select is(
  (select string_agg(role, ' ' order by role) from public.session_people(tests.session_of('customer'))), 'customer',
  'QUE-05: the customer does not meet him there either'
);
select tests.be_system();

-- he is free for others, and another serves this one
select tests.person('next');
select tests.queue('next', 'video15');
select tests.accept('mechanic', 'next');
select is((tests.row_of('next')).status::text, 'waiting', 'QUE-05, QUE-03: he is free for others');
select tests.accept('other', 'customer');
select results_eq(
  $$ select status::text, mechanic_id, accepted_at from public.sessions where id = tests.session_of('customer') $$,
  $$ values ('waiting', tests.id('other'), tests.now()) $$, 'QUE-05: another takes it'
);
select is(
  pg_temp.release_by('mechanic', 'customer'), 'PT404 assignment_not_found',
  'QUE-05: from then on the first gives back nothing'
);
select tests.join('customer', 'customer');
select is((tests.row_of('customer')).status::text, 'waiting', 'QUE-05, PRE-02: his presence starts nothing');
select tests.join('other', 'customer');
select is((tests.row_of('customer')).status::text, 'live', 'QUE-05, PRE-02: it starts with the other');
select is(pg_temp.try('mechanic', 'session_snapshot', 'customer'), 'PT404 session_not_found', 'QUE-05: not while live');

-- not after the start
select is(pg_temp.release_by('other', 'customer'), 'PT409 session_not_active', 'QUE-05: not while live');
select tests.leave('customer', 'customer');
select is(pg_temp.release_by('other', 'customer'), 'PT409 session_not_active', 'QUE-05: not while reconnecting');
select tests.finish_session('customer', 'customer');
select is(pg_temp.release_by('other', 'customer'), 'PT410 session_ended', 'QUE-05: nor after the end');
select is(
  pg_temp.try('mechanic', 'session_snapshot', 'customer'), 'PT404 session_not_found', 'QUE-05: he does not read it then'
);
select is(
  (
    select role from public.session_participants
    where session_id = tests.session_of('customer') and user_id = tests.id('mechanic') and closed_at is not null
  ),
  'mechanic', 'QUE-05: the evidence outlives the end'
);

-- a booking goes back to scheduled before its time, whoever of the two joined
select tests.person('booker');
select tests.mechanic('early bird');
select tests.book('booker', '1 hour');
select tests.accept('early bird', 'booker');
select tests.advance(3300);
select tests.join('early bird', 'booker');
select is(pg_temp.release_by('early bird', 'booker'), 'ok', 'QUE-05: a booking, given back before its time');
select is((tests.row_of('booker')).status::text, 'scheduled', 'QUE-05: is scheduled again');
select is(
  (tests.row_of('booker')).scheduled_for, tests.now() + interval '300 s', 'QUE-05: for the time it was booked for'
);
select tests.advance(300);
select public.tick_sessions();
select is((tests.row_of('booker')).status::text, 'pending', 'QUE-05, LIFE-05: and due at that time');
select set_has(
  $$ select tests.queue_of('other') $$, $$ values (tests.session_of('booker')) $$, 'QUE-05: for everybody'
);
select set_hasnt(
  $$ select tests.queue_of('early bird') $$, $$ values (tests.session_of('booker')) $$, 'QUE-05: but him'
);

-- a preferred mechanic who gives it back has had his turn
select tests.person('loyal');
select tests.mechanic('preferred');
select tests.prefer('loyal', 'preferred');
select tests.advance(5);
select tests.accept('preferred', 'loyal');
select tests.do_as('preferred', $$ select public.release_assignment(tests.assignment_of('loyal')) $$);
select set_has(
  $$ select tests.queue_of('other') $$, $$ values (tests.session_of('loyal')) $$,
  'QUE-05, QUE-02: given back within his window, it is for everybody'
);
select set_hasnt(
  $$ select tests.queue_of('preferred') $$, $$ values (tests.session_of('loyal')) $$, 'QUE-05: and for him no more'
);

-- who gave it back and was not there is no part of the end
select tests.finish_session('loyal', 'loyal');
select is(tests.told('loyal'), 'cancelled cancelled_before_accept 0 0', 'QUE-05, END-03: nobody had accepted');

select * from finish();

rollback;
