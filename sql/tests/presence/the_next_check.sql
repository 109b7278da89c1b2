-- PRE-03, TIME-04: the next look at a participant is a stored deadline. A heartbeat does not touch it; the tick visits
-- it when it is due, and moves it on by the last sign of life.
begin;

select plan(13);

select tests.stop_clock();
select tests.live('customer', 'mechanic', 'video15');
select set_config('tests.zero', tests.now()::text, true);

create function pg_temp.check_of(p_who text) returns integer
language sql
as $$
  select extract(epoch from p.presence_check_at - current_setting('tests.zero')::timestamptz)::integer
  from tests.presence_of(p_who, 'customer') as p
$$;

create function pg_temp.at(p_second numeric) returns void
language sql
as $$ select tests.clock_at(current_setting('tests.zero')::timestamptz + make_interval(secs => p_second)) $$;

select is(pg_temp.check_of('customer'), 90, 'PRE-03: the first look, one timeout after the join');
select pg_temp.at(40);
select tests.heartbeat('customer', 'customer');
select tests.join('customer', 'customer');
select is(pg_temp.check_of('customer'), 90, 'PRE-03: signs of life leave it where it is');
select pg_temp.at(89);
select tests.heartbeat('mechanic', 'customer');
select public.tick_sessions();
select is(pg_temp.check_of('customer'), 90, 'PRE-03: the tick leaves alone what is not due');

select pg_temp.at(95);
select set_config('tests.version', (tests.row_of('customer')).version::text, true);
select is((public.tick_sessions() ->> 'disconnected')::integer, 0, 'PRE-03: at the look nobody is missing');
select is(pg_temp.check_of('customer'), 130, 'PRE-03: the next is due by the last sign of life');
select is(pg_temp.check_of('mechanic'), 179, 'PRE-03: each by his own');
select is(
  (tests.row_of('customer')).version::text, current_setting('tests.version'), 'PRE-03: no version, no event'
);

select pg_temp.at(130);
select is((public.tick_sessions() ->> 'disconnected')::integer, 1, 'PRE-03: at the next look one is missing');
select is(pg_temp.check_of('customer'), null, 'PRE-03: who is gone is not looked at');
select is(
  (tests.presence_of('customer', 'customer')).left_at, current_setting('tests.zero')::timestamptz + interval '40 s',
  'PRE-03: gone since the last sign of life'
);
select pg_temp.at(150);
select tests.heartbeat('mechanic', 'customer');
select tests.heartbeat('customer', 'customer');
select is(pg_temp.check_of('customer'), 240, 'PRE-03: who is back is looked at again');

-- Standing still for long: both are found, and the rest is not visited again.
select pg_temp.at(86400);
select public.tick_sessions();
select is(
  (select count(*)::integer from public.session_participants where presence_check_at is not null), 0,
  'PRE-03: after the end nobody is looked at'
);
select is(tests.told('customer'), 'completed completed 150 150 150', 'PRE-03: and it ended when both were last there');

select * from finish();

rollback;
