-- RT-01, RT-02: what the people in a session hear of it, from the accept to the end, each message written by the
-- transaction that made it true.
begin;

select plan(13);

-- What came on the customer's session's topic, without what all messages have.
create function pg_temp.heard()
returns table (event text, status text, facts jsonb)
language sql
as $$
  select
    m.event, m.payload ->> 'status', m.payload - '{id,session_id,status,version,server_now}'::text[]
  from tests.messages(tests.topic_of('customer')) as m
$$;

create function pg_temp.tick()
returns void
language sql
as $$ select tests.do_as('system', 'select public.tick_sessions()') $$;

select tests.stop_clock('2030-01-01 12:00:00+00');
select tests.person('customer');
select tests.mechanic('mechanic');
select tests.mechanic('other');
select tests.queue('customer', 'video15');
select is_empty('select * from pg_temp.heard()', 'RT-02: a session in the queue has said nothing to its own people');

select tests.advance(10);
select tests.accept('other', 'customer');
select results_eq(
  'select event, status from pg_temp.heard()', $$ values ('session:accepted', 'waiting') $$, 'RT-02: accepted'
);
select tests.forget_messages();
select tests.do_as(
  'other', format('select public.release_assignment(p_assignment_id => %L)', tests.assignment_of('customer'))
);
select results_eq(
  'select event, status from pg_temp.heard()', $$ values ('session:released', 'pending') $$, 'RT-02: given back'
);
select tests.accept('mechanic', 'customer');

-- 12:00:20: the customer; 12:00:30: the mechanic, and the meter runs until 12:45:30.
select tests.clock_at('2030-01-01 12:00:20+00');
select tests.forget_messages();
select tests.join('customer', 'customer');
select tests.clock_at('2030-01-01 12:00:30+00');
select tests.join('mechanic', 'customer');
select results_eq(
  $$ select event, status, facts ->> 'role', facts ->> 'is_connected', (facts ->> 'expires_at')::timestamptz
     from pg_temp.heard() $$,
  $$ values
     ('session:participant', 'waiting', 'customer', 'true', null),
     ('session:participant', 'waiting', 'mechanic', 'true', null),
     ('session:started', 'live', null, null, '2030-01-01 12:45:30+00'::timestamptz) $$,
  'RT-02: the two come, and it starts, with the time at which it will be over'
);

select tests.forget_messages();
select tests.heartbeat('customer', 'customer');
select tests.join('mechanic', 'customer');
select is_empty('select * from pg_temp.heard()', 'RT-02: a heartbeat and a second tab are no news');

-- 12:01:00: one leaves; 12:01:20: and is back.
select tests.clock_at('2030-01-01 12:01:00+00');
select tests.heartbeat('customer', 'customer');
select tests.leave('mechanic', 'customer');
select results_eq(
  $$ select event, status, facts ->> 'role', facts ->> 'is_connected' from pg_temp.heard() $$,
  $$ values
     ('session:participant', 'live', 'mechanic', 'false'),
     ('session:reconnecting', 'reconnecting', null, null) $$,
  'RT-02: one leaves, and the session waits for him'
);
select results_eq(
  $$ select facts ->> 'absent_role', (facts ->> 'grace_ends_at')::timestamptz from pg_temp.heard()
     where event = 'session:reconnecting' $$,
  $$ values ('mechanic', '2030-01-01 12:06:00+00'::timestamptz) $$,
  'RT-02, PRE-03: it says for whom, and until when'
);
select tests.forget_messages();
select tests.clock_at('2030-01-01 12:01:20+00');
select tests.heartbeat('customer', 'customer');
select tests.join('mechanic', 'customer');
select results_eq(
  $$ select event, status from pg_temp.heard() $$,
  $$ values ('session:participant', 'reconnecting'), ('session:resumed', 'live') $$, 'RT-02: he is back'
);

-- 12:01:50: the last sign of life of the customer. The tick finds that out when the timeout has passed.
select tests.clock_at('2030-01-01 12:01:50+00');
select tests.heartbeat('customer', 'customer');
select tests.clock_at('2030-01-01 12:02:40+00');
select tests.heartbeat('mechanic', 'customer');
select tests.clock_at('2030-01-01 12:03:10+00');
select tests.heartbeat('mechanic', 'customer');
select tests.forget_messages();
select tests.clock_at('2030-01-01 12:03:20+00');
select pg_temp.tick();
select results_eq(
  $$ select event, facts ->> 'role', facts ->> 'absent_role', (facts ->> 'grace_ends_at')::timestamptz
     from pg_temp.heard() where event = 'session:reconnecting' or facts ->> 'is_connected' = 'false' $$,
  $$ values
     ('session:participant', 'customer', null, null),
     ('session:reconnecting', null, 'customer', '2030-01-01 12:06:50+00'::timestamptz) $$,
  'RT-02, PRE-03: somebody silent is announced as gone, the grace counted from the last sign of life'
);
select is(
  (select array_agg((payload ->> 'server_now')::timestamptz) from tests.messages(tests.topic_of('customer'))),
  array['2030-01-01 12:03:20+00', '2030-01-01 12:03:20+00']::timestamptz[],
  'RT-02: server_now is when it was said, not when it happened'
);
select tests.clock_at('2030-01-01 12:03:40+00');
select tests.heartbeat('customer', 'customer');

-- The warnings, each once, however often the job runs; and nobody ends it but the clock.
select tests.heartbeat('mechanic', 'customer');
select tests.together_for('mechanic', 'customer', 2210);
select tests.heartbeat('mechanic', 'customer');
select tests.heartbeat('customer', 'customer');
select tests.forget_messages();
select pg_temp.tick();
select pg_temp.tick();
select tests.together_for('mechanic', 'customer', 240);
select tests.heartbeat('mechanic', 'customer');
select tests.heartbeat('customer', 'customer');
select pg_temp.tick();
select results_eq(
  $$ select event, status, facts - 'expires_at' from pg_temp.heard() $$,
  $$ values
     ('session:warning', 'live', '{"minutes": 5, "remaining_seconds": 300}'::jsonb),
     ('session:warning', 'live', '{"minutes": 1, "remaining_seconds": 60}'::jsonb) $$,
  'RT-02, TIME-02: five minutes left, one minute left'
);
select tests.forget_messages();
select tests.advance(63);
select pg_temp.tick();
select results_eq(
  $$ select event, status, facts ->> 'reason', (facts ->> 'ended_at')::timestamptz, (facts ->> 'auto_ended')::boolean
     from pg_temp.heard() $$,
  $$ values ('session:ended', 'completed', 'completed', '2030-01-01 12:45:30+00'::timestamptz, false) $$,
  'RT-02: over, as of its time'
);
select tests.forget_messages();
select tests.finish_session('customer', 'customer');
select is_empty('select * from pg_temp.heard()', 'RT-02: an end that was one already is no news');

select * from finish();

rollback;
