-- MOD-02: one clock. Stopping it stops every time the engine writes; turning it back turns no session back.
begin;

select plan(13);

select function_returns('private', 'clock', array[]::text[], 'timestamp with time zone', 'MOD-02: the clock');
select isnt(private.clock(), transaction_timestamp(), 'MOD-02: the clock moves inside a transaction');
select is(
  tests.outcome('anon', 'select private.clock()'), '42501 permission denied for schema private',
  'MOD-02: nobody from outside reads or sets the clock'
);

select tests.stop_clock('2031-05-06 07:08:09+00');
select tests.live('customer', 'mechanic');

select is((tests.row_of('customer')).created_at, tests.now(), 'MOD-02: created_at');
select is((tests.row_of('customer')).accepted_at, tests.now(), 'MOD-02: accepted_at');
select is((tests.row_of('customer')).started_at, tests.now(), 'MOD-02: started_at');
select is(
  (select min(occurred_at) from public.session_events where session_id = tests.session_of('customer')), tests.now(),
  'MOD-02: events happened at the clock''s time'
);
select is(
  (select max(last_seen_at) from public.session_participants where session_id = tests.session_of('customer')),
  tests.now(), 'MOD-02: signs of life carry the clock''s time'
);
select is(
  (select created_at from public.profiles where id = tests.id('customer')), tests.now(),
  'MOD-02: defaults of columns read the clock too'
);

select tests.advance(40);
select tests.leave('customer', 'customer');
select tests.clock_at('2031-05-06 07:00:00+00');
select tests.finish_session('mechanic', 'customer');

select is(
  (tests.row_of('customer')).ended_at, '2031-05-06 07:08:49+00'::timestamptz,
  'MOD-02: within a session time does not run backwards'
);
select is((tests.row_of('customer')).duration_seconds, 40, 'MOD-02: nor does a duration');
select is(
  (
    select count(*)::integer from (
      select occurred_at - lag(occurred_at) over (order by id) as step
      from public.session_events where session_id = tests.session_of('customer')
    ) as steps where step < interval '0'
  ),
  0, 'MOD-02: the event log never goes back in time'
);
select ok(
  (tests.row_of('customer')).last_event_at >= '2031-05-06 07:08:49+00'::timestamptz,
  'MOD-02: the last event is not before the one before it'
);

select * from finish();

rollback;
