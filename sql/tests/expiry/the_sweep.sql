-- TIME-03: end_expired_sessions() writes down what nobody else has, at most p_limit, and says how many.
begin;

select plan(25);
select tests.rows_are_changed_by_hand();

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.person('client');

select is(public.end_expired_sessions(), 0, 'TIME-03: nothing to sweep');
select tests.live('expired ' || n, 'expired mechanic ' || n) from generate_series(1, 4) as n;
select tests.live('longer', 'longer mechanic', 'diagnostic');
select tests.waiting('waiting', 'waiting mechanic');
select tests.advance(1799);
select tests.live('young', 'young mechanic');
select tests.advance(1);
select is(public.end_expired_sessions(p_limit => 3), 3, 'TIME-03: at most so many');
select is(public.end_expired_sessions(p_limit => 3), 1, 'TIME-03: the rest next time');
select is(public.end_expired_sessions(), 0, 'TIME-03: once');
select is(tests.told('expired ' || n), 'completed completed 1800 1800 1800', 'TIME-03: ended with semantics')
from generate_series(1, 4) as n;
select is(
  (select string_agg(distinct actor_role, ' ') from public.session_events where type = 'ended'), 'system',
  'TIME-03: by the system'
);
select is(
  array[(tests.row_of('longer')).status, (tests.row_of('waiting')).status, (tests.row_of('young')).status]::text[],
  array['live', 'waiting', 'live'], 'TIME-03: the rest goes on'
);

-- a grace that is over, and a silence whose grace is over, are ends as well
select tests.live('left', 'left mechanic', 'video15');
select tests.advance(100);
select tests.leave('left', 'left');
select tests.advance(300);
select is(public.end_expired_sessions(), 1, 'TIME-03, PRE-03: a grace that is over');
select is(tests.told('left'), 'completed completed 100 100 100', 'TIME-03, PRE-03: as of the interruption');
select tests.finish_session('system', word) from unnest(array['longer', 'waiting', 'young']) as word;
select public.set_setting('presence_timeout_seconds', '90');
select tests.live('silent', 'silent mechanic', 'video15');
select tests.advance(70);
select tests.heartbeat('silent', 'silent');
select tests.advance(229);
select is(public.end_expired_sessions(), 0, 'TIME-03, PRE-03: silent for 299 s');
select tests.advance(1);
select is(public.end_expired_sessions(), 1, 'TIME-03, PRE-03: silent for as long as the grace is');
select is(tests.told('silent'), 'cancelled too_short 0 0 0', 'TIME-03, PRE-03: as of the last time together');

-- silent people are no ends: however many of them there are, they do not stand in front of one
select public.set_setting('warning_minutes', '[]');
select tests.live('quiet', 'quiet mechanic', 'video15');
select tests.live('loud', 'loud mechanic');
update public.sessions set expires_at = started_at + interval '120 s' where id = tests.session_of('loud');
select tests.advance(80);
select tests.heartbeat('loud', 'loud');
select tests.heartbeat('loud mechanic', 'loud');
select tests.advance(40);
select is(public.end_expired_sessions(p_limit => 1), 1, 'TIME-03: the one end there is, found at once');
select is(tests.told('loud'), 'completed completed 120 120 120', 'TIME-03: of the one that is over');

-- with what, and who
select is(
  tests.outcome('system', format('select public.end_expired_sessions(%s)', argument)), 'PT422 invalid_argument',
  format('TIME-03: not with %s', argument)
)
from unnest(array['p_limit => 0', 'p_limit => -5', 'p_limit => null']) as argument;
select alike(
  tests.outcome(who, 'select public.end_expired_sessions()'), '42501 %', format('TIME-03: no %s sweeps', who)
)
from unnest(array['client', 'silent mechanic', 'anon']) as who;
select is(tests.outcome(who, 'select public.end_expired_sessions()'), 'ok', format('TIME-03: the %s does', who))
from unnest(array['system', 'service_role']) as who;

select * from finish();

rollback;
