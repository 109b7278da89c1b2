-- QUE-04: who declines does not see it again; everybody else does.
begin;

select plan(28);

select tests.stop_clock();
select tests.person('customer');
select tests.mechanic('first');
select tests.mechanic('second');
select tests.mechanic('preferred');
select tests.mechanic('pending', false);
select tests.queue('customer');
select tests.advance(10);

create function pg_temp.decline_by(p_who text, p_customer text, p_reason text default null) returns text
language sql
as $$
  select tests.outcome(p_who, format(
    'select public.decline_assignment(p_assignment_id => %L, p_reason => %L)',
    tests.assignment_of(p_customer), p_reason
  ))
$$;

create function pg_temp.accept_by(p_who text, p_customer text) returns text
language sql
as $$
  select tests.outcome(p_who, format('select public.accept_assignment(%L)', tests.assignment_of(p_customer)))
$$;

-- who may not
select is(pg_temp.decline_by('customer', 'customer'), 'PT403 role_required', 'QUE-04: not a customer');
select is(pg_temp.decline_by('pending', 'customer'), 'PT403 role_required', 'QUE-04: not who was not approved');
select alike(pg_temp.decline_by('anon', 'customer'), '42501 %', 'QUE-04: not a visitor');
select is(
  tests.outcome('first', $$ select public.decline_assignment(tests.id('nothing')) $$),
  'PT404 assignment_not_found', 'QUE-04: not what does not exist'
);
select is(
  tests.outcome('first', 'select public.decline_assignment(null)'), 'PT404 assignment_not_found', 'QUE-04: nor null'
);

select tests.queue('second');
select is(pg_temp.decline_by('second', 'second'), 'PT404 assignment_not_found', 'QUE-04: nor his own');
select tests.finish_session('second', 'second');

-- one declines
select set_config('tests.before', to_jsonb(tests.row_of('customer'))::text, true);
select tests.act_as('first');
select is(
  (select id from public.decline_assignment(tests.assignment_of('customer'), 'not my trade')),
  tests.session_of('customer'), 'QUE-04: the answer is the session'
);
select tests.be_system();
select is(
  to_jsonb(tests.row_of('customer')), current_setting('tests.before')::jsonb, 'QUE-04: which is as it was'
);
select results_eq(
  $$ select status, mechanic_id from public.session_assignments where session_id = tests.session_of('customer') $$,
  $$ values ('queued', null::uuid) $$, 'QUE-04: and queued still'
);
select is_empty($$ select tests.queue_of('first') $$, 'QUE-04: hidden from him');
select results_eq(
  $$ select tests.queue_of('second') $$, $$ values (tests.session_of('customer')) $$, 'QUE-04: from him only'
);
select is(pg_temp.decline_by('first', 'customer'), 'ok', 'QUE-04: declining twice is once');
select is(
  pg_temp.accept_by('first', 'customer'), 'PT404 assignment_not_found', 'QUE-04: what he declined is not there for him'
);
select results_eq(
  $$ select mechanic_id, kind, reason, created_at from private.assignment_refusals $$,
  $$ values (tests.id('first'), 'declined', 'not my trade', tests.now()) $$, 'QUE-04: with his reason, once'
);
select tests.act_as('first');
select is((select count(*)::integer from public.sessions), 0, 'QUE-04: nor does he read it in the tables');
select tests.be_system();

-- all decline
select is(
  pg_temp.decline_by('second', 'customer', repeat('r', 600)), 'ok', 'QUE-04: another one declines, at length'
);
select is(
  (select length(reason) from private.assignment_refusals where mechanic_id = tests.id('second')), 500,
  'QUE-04, SEC-04: of which 500 characters are kept'
);
select is(pg_temp.decline_by('preferred', 'customer'), 'ok', 'QUE-04: and the last one');
select is((tests.row_of('customer')).status::text, 'pending', 'QUE-04: the session still waits');
select tests.mechanic('newcomer');
select results_eq(
  $$ select tests.queue_of('newcomer') $$, $$ values (tests.session_of('customer')) $$, 'QUE-04: for somebody new'
);

-- too late
select tests.accept('newcomer', 'customer');
select tests.mechanic('slow');
select is(pg_temp.decline_by('slow', 'customer'), 'PT409 assignment_taken', 'QUE-04: not what another has taken');
select tests.finish_session('customer', 'customer');
select is(pg_temp.decline_by('slow', 'customer'), 'PT410 session_ended', 'QUE-04: nor what is over');

-- a preferred mechanic's decline opens it to all at once
select tests.person('loyal');
select tests.prefer('loyal', 'preferred');
select tests.advance(5);
select is_empty($$ select tests.queue_of('second') $$, 'QUE-02: reserved');
select is(
  pg_temp.decline_by('second', 'loyal'), 'PT404 assignment_not_found',
  'QUE-04: what is reserved for another cannot be declined'
);
select is(pg_temp.decline_by('preferred', 'loyal', 'busy'), 'ok', 'QUE-04: the preferred mechanic declines');
select results_eq(
  $$ select tests.queue_of('second') $$, $$ values (tests.session_of('loyal')) $$,
  'QUE-04: and everybody sees it at once'
);
select is_empty($$ select tests.queue_of('preferred') $$, 'QUE-04: but he');
select results_eq(
  $$ select visible_to_all_at, announced_at from public.session_assignments
     where session_id = tests.session_of('loyal') $$,
  $$ values (tests.now(), tests.now()) $$, 'QUE-04, QUE-02: the feed is told at once'
);

select * from finish();

rollback;
