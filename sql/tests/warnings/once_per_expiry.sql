-- TIME-02: a warning at each of warning_minutes before the expiry, once, by the tick.
begin;

select plan(41);

select tests.stop_clock();
select tests.nobody_falls_silent();

create function pg_temp.at(p_case text, p_second numeric) returns void
language sql
as $$ select tests.clock_at((tests.row_of(p_case)).started_at + make_interval(secs => p_second)) $$;

create function pg_temp.armed(p_case text) returns integer
language sql
as $$ select extract(epoch from s.next_warning_at - s.started_at)::integer from tests.row_of(p_case) as s $$;

create function pg_temp.warned() returns integer
language sql
as $$ select (public.tick_sessions() ->> 'warned')::integer $$;

-- What was warned of, with the seconds that remained.
create function pg_temp.warnings_of(p_case text) returns text
language sql
as $$
  select string_agg(concat_ws(' ', e.type, e.payload ->> 'minutes', e.payload ->> 'remaining_seconds'), ', ' order by e.id)
  from public.session_events as e
  where e.session_id = tests.session_of(p_case) and e.type like 'warning%'
$$;

-- a chat of 30 minutes
select tests.waiting('a', 'mechanic a');
select is((tests.row_of('a')).next_warning_at, null, 'TIME-02: nothing is armed before the start');
select tests.join('a', 'a');
select tests.join('mechanic a', 'a');
select is(pg_temp.armed('a'), 1500, 'TIME-02: armed by the start, for five minutes before the end');
select pg_temp.at('a', 1499.999);
select is(pg_temp.warned(), 0, 'TIME-02: a moment before: nothing');
select pg_temp.at('a', 1500);
select set_config('tests.version', (tests.row_of('a')).version::text, true);
select is(pg_temp.warned(), 1, 'TIME-02: five minutes before the end');
select is(pg_temp.warnings_of('a'), 'warning_5m 5 300', 'TIME-02: an event that says so');
select results_eq(
  $$ select actor_id, actor_role::text, version, (payload ->> 'expires_at')::timestamptz
     from public.session_events where type = 'warning_5m' $$,
  $$ values (
    null::uuid, 'system', (tests.row_of('a')).version, (tests.row_of('a')).expires_at
  ) $$,
  'TIME-02: by the system, with the version and the expiry'
);
select ok(
  (tests.row_of('a')).version > current_setting('tests.version')::bigint, 'TIME-02: which is a new version'
);
select is((tests.row_of('a')).status::text, 'live', 'TIME-02: and changes no status');
select is(pg_temp.warned(), 0, 'TIME-02: once');
select is(pg_temp.armed('a'), 1740, 'TIME-02: the next is armed');
select pg_temp.at('a', 1740);
select is(pg_temp.warned(), 1, 'TIME-02: one minute before the end');
select is(pg_temp.warnings_of('a'), 'warning_5m 5 300, warning_1m 1 60', 'TIME-02: says so too');
select is(pg_temp.armed('a'), null, 'TIME-02: nothing is left to warn of');
select pg_temp.at('a', 1799.999);
select is(pg_temp.warned(), 0, 'TIME-02: to the last moment');

-- A tick that comes late: what is due comes in order, with the seconds that really remain; after the end nothing.
select tests.live('b', 'mechanic b');
select pg_temp.at('b', 1755);
select is(pg_temp.warned(), 2, 'TIME-02: late, both are due');
select is(
  pg_temp.warnings_of('b'), 'warning_5m 5 45, warning_1m 1 45', 'TIME-02: in order, with what really remains'
);
select tests.live('c', 'mechanic c');
select pg_temp.at('c', 1800);
select is(pg_temp.warned(), 0, 'TIME-02: at the end there is nothing to warn of');
select is(pg_temp.warnings_of('c'), null, 'TIME-02: and no event');
select is((tests.row_of('c')).status::text, 'completed', 'TIME-03: it is over');
select is((tests.row_of('c')).next_warning_at, null, 'TIME-02: nothing stays armed after the end');

-- commands do not warn
select tests.live('d', 'mechanic d');
select pg_temp.at('d', 1600);
select tests.heartbeat('d', 'd');
select tests.join('mechanic d', 'd');
select is((tests.snapshot('d', 'd') ->> 'remaining_seconds')::integer, 200, 'PRE-05: 200 s before the end');
select is(pg_temp.warnings_of('d'), null, 'TIME-02: warns of nothing');
select is(pg_temp.warned(), 1, 'TIME-02: the tick still does');
select is(pg_temp.warnings_of('d'), 'warning_5m 5 200', 'TIME-02: once');

-- while reconnecting, and after
select tests.live('e', 'mechanic e');
select pg_temp.at('e', 1400);
select tests.leave('e', 'e');
select is(pg_temp.armed('e'), 1500, 'TIME-02: an interruption leaves it armed');
select pg_temp.at('e', 1500);
select is(pg_temp.warned(), 1, 'TIME-02: who waits for the other is warned too');
select pg_temp.at('e', 1510);
select tests.join('e', 'e');
select is(pg_temp.armed('e'), 1740, 'TIME-02: a return arms nothing anew');
select tests.finish_session('e', 'e');
select is((tests.row_of('e')).next_warning_at, null, 'TIME-02: an early end disarms');

-- one that never started, and one that was found to have started
select tests.waiting('f', 'mechanic f');
select tests.finish_session('f', 'f');
select is((tests.row_of('f')).next_warning_at, null, 'TIME-02: no start, no warning');

-- the setting decides: any minutes, in any order; what lies before the start is never armed
select public.set_setting('warning_minutes', '[2, 44, 45, 60]');
select tests.live('g', 'mechanic g', 'video15');
select is(pg_temp.armed('g'), 60, 'TIME-02: 44 minutes before the end of 45; 45 and 60 are never armed');
select pg_temp.at('g', 59);
select is(pg_temp.warned(), 0, 'TIME-02: nor do they come');
select pg_temp.at('g', 60);
select is(pg_temp.warned(), 1, 'TIME-02: 44 minutes do');
select is(pg_temp.armed('g'), 2580, 'TIME-02: and the next is 2 minutes before');
select pg_temp.at('g', 2600);
select is(pg_temp.warned(), 1, 'TIME-02: by the same rule');
select is(pg_temp.warnings_of('g'), 'warning_44m 44 2640, warning_2m 2 100', 'TIME-02: under their own names');
select public.set_setting('warning_minutes', '[]');
select tests.live('h', 'mechanic h');
select is(pg_temp.armed('h'), null, 'TIME-02: no warnings where none are set');
select pg_temp.at('h', 1790);
select is(pg_temp.warned(), 0, 'TIME-02: none come');
select is(tests.snapshot('h', 'h') ->> 'next_warning_at', null, 'PRE-05: the snapshot knows of none');

-- a setting that changes while a session runs counts from the next warning on
select public.set_setting('warning_minutes', '[5, 1]');
select tests.live('i', 'mechanic i');
select pg_temp.at('i', 1500);
select public.set_setting('warning_minutes', '[5, 3]');
select is(pg_temp.warned(), 1, 'TIME-02: five minutes before');
select is(pg_temp.armed('i'), 1620, 'TIME-02: then by the new setting');
select public.set_setting('warning_minutes', '[5]');
select pg_temp.at('i', 1620);
select is(pg_temp.warned(), 0, 'TIME-02: a warning that was taken away meanwhile does not come');

select * from finish();

rollback;
