-- TIME-04: one tick does everything that is due and counts it; a second finds nothing. Who may call it, and with what.
begin;

select plan(29);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.person('client');

-- nothing due
select is(
  public.tick_sessions(),
  '{"ended": 0, "warned": 0, "disconnected": 0, "opened": 0, "scheduled": 0, "errors": 0, "more": false}'::jsonb,
  'TIME-04: nothing due: these keys, all of them nothing'
);

-- Everything comes due at second 0: seven sessions, five kinds of work.
select tests.clock_at('2030-01-01 12:00:00+00');
select tests.person('booked');
select tests.book('booked', '1 hour');
select tests.mechanic('booked mechanic');
select tests.person('accepted');
select tests.book('accepted', '1 hour');
select tests.accept('booked mechanic', 'accepted');
select tests.clock_at('2030-01-01 12:05:00+00');
select tests.live('interrupted', 'interrupted mechanic', 'diagnostic');
select tests.clock_at('2030-01-01 12:20:15+00');
select tests.live('warned', 'warned mechanic', 'video15');
select tests.clock_at('2030-01-01 12:30:00+00');
select tests.live('expired', 'expired mechanic');
select tests.live('untouched', 'untouched mechanic', 'diagnostic');
select tests.clock_at('2030-01-01 12:55:00+00');
select tests.leave('interrupted', 'interrupted');
select tests.clock_at('2030-01-01 12:58:00+00');
select tests.person('loyal');
select tests.prefer('loyal', 'booked mechanic');
select tests.person('waiting');
select tests.queue('waiting');
select public.set_setting('presence_timeout_seconds', '90');
select tests.clock_at('2030-01-01 12:58:30+00');
select tests.mechanic('silent mechanic');
select tests.person('silent');
select tests.queue('silent');
select tests.accept('silent mechanic', 'silent');
select tests.join('silent', 'silent');
select tests.join('silent mechanic', 'silent');
select tests.clock_at('2030-01-01 12:59:30+00');
select tests.heartbeat('silent', 'silent');
-- The others go on being heard of, as those do who are connected.
update public.session_participants set last_seen_at = private.clock()
where is_connected and session_id <> tests.session_of('silent');
select tests.clock_at('2030-01-01 13:00:00+00');

create temporary table before_tick on commit drop as
select to_jsonb(s) as facts, s.id from public.sessions as s;
select is(
  public.tick_sessions(),
  '{"ended": 2, "warned": 0, "disconnected": 1, "opened": 1, "scheduled": 2, "errors": 0, "more": false}'::jsonb,
  'TIME-04: all that is due, counted'
);
select is(tests.told('expired'), 'completed completed 1800 1800 1800', 'TIME-04, TIME-03: an expiry');
select is(tests.told('interrupted'), 'completed completed 3000 3000 3000', 'TIME-04, PRE-03: the end of a grace');
select is((tests.row_of('booked')).status::text, 'pending', 'TIME-04, LIFE-05: a booked time');
select is((tests.row_of('accepted')).status::text, 'waiting', 'TIME-04, LIFE-05: of an accepted one');
select is((tests.row_of('silent')).status::text, 'reconnecting', 'TIME-04, PRE-03: a silence');
select isnt(
  (select announced_at from public.session_assignments where session_id = tests.session_of('loyal')), null,
  'TIME-04, QUE-02: a window'
);
select is(
  (select to_jsonb(s) from tests.row_of(word) as s),
  (select facts from before_tick where id = tests.session_of(word)), format('TIME-04: left alone: %s', word)
)
from unnest(array['untouched', 'waiting', 'warned', 'loyal']) as word;
select is(
  public.tick_sessions(),
  '{"ended": 0, "warned": 0, "disconnected": 0, "opened": 0, "scheduled": 0, "errors": 0, "more": false}'::jsonb,
  'TIME-04: a second tick finds nothing'
);
select tests.clock_at('2030-01-01 13:00:15+00');
select is((public.tick_sessions() ->> 'warned')::integer, 1, 'TIME-04, TIME-02: then a warning is due');

-- one session with more than one thing due
select public.set_setting('presence_timeout_seconds', '90');
select tests.clock_at('2030-01-02 12:00:00+00');
select public.tick_sessions();
select tests.live('tired', 'tired mechanic');
select tests.advance(1550);
update public.session_participants set last_seen_at = private.clock() - interval '85 s'
where session_id = tests.session_of('tired');
select tests.advance(30);
select is(
  public.tick_sessions(),
  '{"ended": 0, "warned": 1, "disconnected": 2, "opened": 0, "scheduled": 0, "errors": 0, "more": false}'::jsonb,
  'TIME-04: two silences and a warning of one session'
);
select tests.advance(86400);
select is(
  public.tick_sessions(),
  '{"ended": 1, "warned": 0, "disconnected": 0, "opened": 0, "scheduled": 0, "errors": 0, "more": false}'::jsonb,
  'TIME-04: a day later its end, and no warnings'
);

-- who may call it
select alike(tests.outcome(who, 'select public.tick_sessions()'), '42501 %', format('TIME-04: not %s', who))
from unnest(array['client', 'tired mechanic', 'anon']) as who;
select is(tests.outcome(who, 'select public.tick_sessions()'), 'ok', format('TIME-04: %s', who))
from unnest(array['system', 'service_role']) as who;

-- with what
select is(
  tests.outcome('system', format('select public.tick_sessions(%s)', arguments)), 'PT422 invalid_argument',
  format('TIME-04: not with %s', arguments)
)
from unnest(array[
  'p_limit => 0', 'p_limit => -1', 'p_limit => null', 'p_seconds => 0', 'p_seconds => -1', 'p_seconds => null'
]) as arguments;
select is(
  tests.outcome('system', 'select public.tick_sessions(p_limit => 1, p_seconds => 0.5)'), 'ok',
  'TIME-04: with a small limit and half a second'
);
select matches(
  obj_description('public.tick_sessions(integer, numeric)'::regprocedure), 'p_limit', 'TIME-04: as its comment says'
);

select * from finish();

rollback;
