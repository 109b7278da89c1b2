-- PRE-02, PRE-03: the meter starts when both are there, in whichever order, once; who drops out interrupts it.
begin;

select plan(24);

select tests.stop_clock();
select tests.waiting('customer', 'mechanic');

create function pg_temp.start_by(p_who text) returns text
language sql
as $$
  select tests.outcome(
    p_who, format('select public.start_session(p_session_id => %L)', tests.session_of('customer'))
  )
$$;

select tests.person('stranger');
select is(pg_temp.start_by('stranger'), 'PT404 session_not_found', 'PRE-02: not by a stranger');
select is(pg_temp.start_by('customer'), 'PT409 not_both_present', 'PRE-02: nobody is there');
select tests.join('customer', 'customer');
select is((tests.row_of('customer')).status::text, 'waiting', 'PRE-02: one is not two');
select is(pg_temp.start_by('customer'), 'PT409 not_both_present', 'PRE-02: and asking does not help');
select tests.advance(17);
select tests.join('mechanic', 'customer');
select results_eq(
  $$ select status::text, started_at, expires_at from public.sessions where id = tests.session_of('customer') $$,
  $$ values ('live', tests.now(), tests.now() + interval '30 minutes') $$, 'PRE-02: both are there: it is live'
);
select is(
  (tests.row_of('customer')).expires_at,
  public.calculate_session_expiry((tests.row_of('customer')).started_at, (tests.row_of('customer')).duration_minutes),
  'PRE-02, TIME-01: it expires by the arithmetic'
);
select tests.advance(5);
select is(pg_temp.start_by('mechanic'), 'ok', 'PRE-02: starting what has started');
select tests.join('customer', 'customer');
select is(
  (tests.row_of('customer')).started_at, tests.now() - interval '5 s', 'PRE-02: changes nothing'
);
select is(
  (select count(*)::integer from public.session_events where type = 'started'), 1, 'PRE-02: exactly once'
);

-- the other order
select tests.waiting('second', 'second mechanic');
select tests.join('second mechanic', 'second');
select is((tests.row_of('second')).status::text, 'waiting', 'PRE-02: the mechanic first');
select tests.join('second', 'second');
select is((tests.row_of('second')).status::text, 'live', 'PRE-02: starts as well');

-- the customer waited from before the accept
select tests.person('third');
select tests.mechanic('third mechanic');
select tests.queue('third');
select tests.join('third', 'third');
select tests.accept('third mechanic', 'third');
select is((tests.row_of('third')).status::text, 'waiting', 'PRE-02: an accept is not a join');
select tests.advance(3);
select tests.join('third mechanic', 'third');
select is((tests.row_of('third')).started_at, tests.now(), 'PRE-02: the mechanic''s join is');

-- one who left before the other came is not there
select tests.waiting('fourth', 'fourth mechanic');
select tests.join('fourth', 'fourth');
select tests.leave('fourth', 'fourth');
select tests.join('fourth mechanic', 'fourth');
select is((tests.row_of('fourth')).status::text, 'waiting', 'PRE-02: who left is not there');

-- nor is one who fell silent
select tests.waiting('fifth', 'fifth mechanic');
select tests.join('fifth', 'fifth');
select tests.advance(600);
select tests.join('fifth mechanic', 'fifth');
select is((tests.row_of('fifth')).status::text, 'waiting', 'PRE-02, PRE-03: nor who fell silent');
select tests.heartbeat('fifth', 'fifth');
select is((tests.row_of('fifth')).status::text, 'live', 'PRE-02: until he is heard of again');

-- dropping out and coming back
select tests.advance(30);
select tests.leave('fifth', 'fifth');
select results_eq(
  $$ select status::text, interrupted_at, grace_ends_at from public.sessions where id = tests.session_of('fifth') $$,
  $$ values ('reconnecting', tests.now(), tests.now() + interval '900 s') $$,
  'PRE-03: who leaves interrupts it; a chat waits fifteen minutes'
);
select tests.advance(10);
select tests.leave('fifth mechanic', 'fifth');
select is(
  (tests.row_of('fifth')).interrupted_at, tests.now() - interval '10 s',
  'PRE-03: the grace counts from the first moment they were not together'
);
select tests.join('fifth mechanic', 'fifth');
select is((tests.row_of('fifth')).status::text, 'reconnecting', 'PRE-03: one of two is back');
select tests.join('fifth', 'fifth');
select results_eq(
  $$ select status::text, interrupted_at, grace_ends_at, expires_at - started_at from public.sessions
     where id = tests.session_of('fifth') $$,
  $$ values ('live', null::timestamptz, null::timestamptz, interval '30 minutes') $$,
  'PRE-03: both are: live again, and no later end'
);
-- A silent drop is written down later than it happened.
select is(
  (
    select array_agg(type order by occurred_at, id) from public.session_events
    where session_id = tests.session_of('fifth')
  ),
  array[
    'created', 'accepted', 'joined', 'disconnected', 'joined', 'joined', 'started', 'left', 'reconnecting', 'left',
    'joined', 'joined', 'resumed'
  ],
  'PRE-03: and the log has it all'
);

-- a video waits five minutes
select tests.live('sixth', 'sixth mechanic', 'video15');
select tests.leave('sixth mechanic', 'sixth');
select is(
  (tests.row_of('sixth')).grace_ends_at, tests.now() + interval '300 s', 'PRE-03: a video waits five minutes'
);

-- a return after the grace finds the session ended, written down or not
select tests.advance(301);
select is(
  tests.outcome('sixth mechanic', $$ select public.join_session(tests.session_of('sixth')) $$),
  'PT410 session_ended', 'PRE-03: too late'
);
select tests.act_as('sixth');
select is(
  (select effective_status(s)::text from public.sessions as s where id = tests.session_of('sixth')), 'cancelled',
  'TIME-03: plain reads have effective_status'
);
select tests.be_system();

select * from finish();

rollback;
