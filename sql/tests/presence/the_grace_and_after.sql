-- PRE-03: after the grace the session is over, written down or not; a return until then goes on. (How long a chat and
-- a video wait: both_join_and_it_starts.sql.)
begin;

select plan(29);

select tests.stop_clock();
select tests.nobody_falls_silent();

-- Live for 100 s, then the mechanic leaves.
create function pg_temp.interrupted(p_case text, p_plan text) returns void
language plpgsql
as $$
begin
  perform tests.live(p_case, 'mechanic ' || p_case, p_plan);
  perform tests.advance(100);
  perform tests.leave('mechanic ' || p_case, p_case);
end
$$;

-- a return in time, for every type
select tests.live('a ' || plan, 'mechanic a ' || plan, plan)
from unnest(array['chat10', 'video15', 'diagnostic']) as plan;
select tests.advance(100);
select tests.leave('mechanic a ' || plan, 'a ' || plan) from unnest(array['chat10', 'video15', 'diagnostic']) as plan;
select is(
  (tests.row_of('a ' || p.plan)).grace_ends_at, tests.now() + make_interval(secs => p.seconds),
  format('PRE-03: the grace of %s', p.plan)
)
from (values ('chat10', 900), ('video15', 300), ('diagnostic', 300)) as p (plan, seconds);
select tests.advance(299.999);
select tests.join('mechanic a ' || plan, 'a ' || plan) from unnest(array['video15', 'diagnostic']) as plan;
select is((tests.row_of('a ' || plan)).status::text, 'live', format('PRE-03: a return in time to a %s', plan))
from unnest(array['video15', 'diagnostic']) as plan;
select tests.advance(600);
select tests.join('mechanic a chat10', 'a chat10');
select is((tests.row_of('a chat10')).status::text, 'live', 'PRE-03: a return in time to a chat');
select tests.finish_session('system', 'a ' || plan) from unnest(array['chat10', 'video15', 'diagnostic']) as plan;

-- a return at the very end of the grace is too late, and finds it ended
select pg_temp.interrupted('b', 'video15');
select tests.advance(299.999);
select is(public.tick_sessions() ->> 'ended', '0', 'PRE-03: a moment before the end of the grace');
select is(tests.effective_status('b', 'b'), 'reconnecting', 'PRE-03: it is still interrupted');
select tests.advance(0.001);
select is(tests.effective_status('b', 'b'), 'completed', 'PRE-03: then it is over, to a plain read');
select is(
  tests.outcome('mechanic b', $$ select public.join_session(tests.session_of('b')) $$), 'PT410 session_ended',
  'PRE-03: he cannot join'
);
select is((tests.row_of('b')).status::text, 'reconnecting', 'TIME-03: an error keeps nothing of what it found');
select tests.heartbeat('mechanic b', 'b');
select is(tests.told('b'), 'completed completed 100 100 100', 'PRE-03: his heartbeat writes it down');
select is(
  (tests.row_of('b')).ended_at, tests.now() - interval '300 s', 'PRE-03, END-02: as of the interruption'
);
select is(
  (select actor_role from public.session_events where session_id = tests.session_of('b') and type = 'ended'),
  'system', 'PRE-03: nobody ended it but the time'
);
select is(
  tests.outcome('mechanic b', $$ select public.join_session(tests.session_of('b')) $$), 'PT410 session_ended',
  'PRE-03: and he finds it ended'
);

-- the tick ends it
select pg_temp.interrupted('c', 'video15');
select tests.advance(300);
select is(public.tick_sessions() ->> 'ended', '1', 'PRE-03: the tick ends it');
select is(tests.told('c'), 'completed completed 100 100 100', 'PRE-03: at once');
select pg_temp.interrupted('d', 'video15');
select tests.advance(86400);
select public.tick_sessions();
select is(tests.told('d'), 'completed completed 100 100 100', 'PRE-03: or a day later, with the same result');

-- a silence nobody noticed, and its grace is over as well
select public.set_setting('presence_timeout_seconds', '90');
select tests.live('s', 'mechanic s', 'video15');
select tests.advance(70);
select tests.heartbeat('s', 's');
select tests.heartbeat('mechanic s', 's');
select tests.advance(80);
select tests.heartbeat('s', 's');
select tests.advance(80);
select tests.heartbeat('s', 's');
select tests.advance(80);
select tests.heartbeat('s', 's');
select tests.advance(59.999);
select is(tests.effective_status('s', 's'), 'reconnecting', 'PRE-03: a silence nobody noticed: interrupted');
select tests.advance(0.001);
select is(tests.effective_status('s', 's'), 'completed', 'PRE-03: then over, to a plain read');
select is(
  tests.outcome('s', $$ select public.join_session(tests.session_of('s')) $$), 'PT410 session_ended',
  'PRE-03: for who was there all the time too'
);
select tests.finish_session('s', 's');
select is(tests.told('s'), 'completed completed 70 70 70', 'PRE-03, END-02: as of the last sign of life');
select is((tests.row_of('s')).ended_by, null, 'PRE-03: and not by who asked when it was over');
select tests.nobody_falls_silent();

-- the minutes bought run out within the grace
select tests.live('e', 'mechanic e');
select tests.advance(1700);
select tests.leave('mechanic e', 'e');
select tests.advance(100);
select is(
  tests.outcome('mechanic e', $$ select public.join_session(tests.session_of('e')) $$), 'PT410 session_ended',
  'TIME-03: no grace beyond the expiry'
);
select tests.heartbeat('e', 'e');
select is(tests.told('e'), 'completed completed 1700 1700 1700', 'END-02: which ended where it was interrupted');

-- the settings decide, and each interruption has its own grace
select public.set_setting('reconnect_grace_seconds', '20');
select public.set_setting('chat_reconnect_grace_seconds', '40');
select pg_temp.interrupted('f', 'video15');
select tests.advance(10);
select tests.join('mechanic f', 'f');
select tests.advance(10);
select tests.leave('f', 'f');
select is((tests.row_of('f')).grace_ends_at, tests.now() + interval '20 s', 'PRE-03: each interruption has its own');
select tests.advance(20);
select public.tick_sessions();
select is(tests.told('f'), 'completed completed 120 120 120', 'PRE-03: and ends with it');
select is((tests.row_of('f')).both_present_seconds, 110, 'PRE-03: the first gap is not shared time');
select public.set_setting('reconnect_grace_seconds', '0');
select pg_temp.interrupted('g', 'video15');
select is(tests.effective_status('g', 'g'), 'completed', 'PRE-03: no grace at all: gone is over');

select * from finish();

rollback;
