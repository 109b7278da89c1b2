-- QUE-03: what an accept changes, and whom it refuses.
begin;

select plan(22);

select tests.stop_clock();
select tests.person('customer');
select tests.person('second');
select tests.mechanic('mechanic');
select tests.mechanic('other');
select tests.mechanic('pending', false);
select tests.queue('customer');
select tests.queue('second', 'video15');
select tests.advance(10);

create function pg_temp.accept_by(p_who text, p_customer text) returns text
language sql
as $$
  select tests.outcome(
    p_who, format('select public.accept_assignment(p_assignment_id => %L)', tests.assignment_of(p_customer))
  )
$$;

select is(pg_temp.accept_by('second', 'customer'), 'PT403 role_required', 'QUE-03: not a customer');
select is(pg_temp.accept_by('pending', 'customer'), 'PT403 role_required', 'QUE-03: not who was not approved');
select alike(pg_temp.accept_by('anon', 'customer'), '42501 %', 'QUE-03: not a visitor');
select is(
  tests.outcome('mechanic', $$ select public.accept_assignment(tests.id('nothing')) $$),
  'PT404 assignment_not_found', 'QUE-03: not what does not exist'
);
select is(
  tests.outcome('mechanic', 'select public.accept_assignment(null)'), 'PT404 assignment_not_found', 'QUE-03: nor null'
);
select tests.do_as('other', 'select public.set_availability(false)');
select is(pg_temp.accept_by('other', 'customer'), 'PT403 role_required', 'QUE-03: not who said he is away');
select tests.do_as('other', 'select public.set_availability(true)');
select is((tests.row_of('customer')).version, 1::bigint, 'QUE-03: none of which changed anything');

select is(pg_temp.accept_by('mechanic', 'customer'), 'ok', 'QUE-03: an approved mechanic');
select results_eq(
  $$ select status::text, mechanic_id, accepted_at, started_at from public.sessions
     where id = tests.session_of('customer') $$,
  $$ values ('waiting', tests.id('mechanic'), tests.now(), null::timestamptz) $$, 'QUE-03: the session'
);
select results_eq(
  $$ select status, mechanic_id, accepted_at, closed_at from public.session_assignments
     where session_id = tests.session_of('customer') $$,
  $$ values ('accepted', tests.id('mechanic'), tests.now(), null::timestamptz) $$, 'QUE-03: the assignment'
);
select results_eq(
  $$ select user_id, is_connected from public.session_participants
     where session_id = tests.session_of('customer') and role = 'mechanic' $$,
  $$ values (tests.id('mechanic'), false) $$, 'QUE-03: the participant'
);
select is(tests.events_of('customer'), array['created', 'accepted'], 'QUE-03: the event');

select set_config('tests.version', (tests.row_of('customer')).version::text, true);
select tests.advance(5);
select is(pg_temp.accept_by('mechanic', 'customer'), 'ok', 'QUE-03: again: the same row');
select is(
  (tests.row_of('customer')).version::text, current_setting('tests.version'), 'QUE-03: and nothing new happens'
);
select is(pg_temp.accept_by('other', 'customer'), 'PT409 assignment_taken', 'QUE-03: too late');
select is(pg_temp.accept_by('mechanic', 'second'), 'PT409 mechanic_busy', 'QUE-03: one at a time');
select public.set_setting('max_active_sessions_per_mechanic', '2');
select is(pg_temp.accept_by('mechanic', 'second'), 'ok', 'QUE-03: or two where that is allowed');
select public.set_setting('max_active_sessions_per_mechanic', '1');

-- After the end there is nothing to accept, and the mechanic is free.
select tests.finish_session('customer', 'customer');
select tests.finish_session('second', 'second');
select is(pg_temp.accept_by('other', 'customer'), 'PT410 session_ended', 'QUE-03: after the end');
select tests.person('third');
select tests.queue('third');
select is(pg_temp.accept_by('mechanic', 'third'), 'ok', 'QUE-03: free again after the end');
select is(
  (select status from public.session_assignments where session_id = tests.session_of('customer')), 'cancelled',
  'END-04: an end closes the assignment'
);
select isnt(
  (select closed_at from public.session_assignments where session_id = tests.session_of('customer')), null,
  'END-04: with its time'
);
select tests.person('fourth');
select tests.queue('fourth');
select tests.finish_session('fourth', 'fourth');
select is(
  pg_temp.accept_by('other', 'fourth'), 'PT410 session_ended', 'QUE-03: a session cancelled before anybody accepted'
);

select * from finish();

rollback;
