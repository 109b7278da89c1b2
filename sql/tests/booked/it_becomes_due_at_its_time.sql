-- LIFE-05: at its time a booking becomes waiting (accepted) or pending (not), by the tick, a standstill later as well
-- as at once. (The next file shows the same without any tick.)
begin;

select plan(22);

select tests.stop_clock();
select tests.mechanic('mechanic');
select tests.person('open');
select tests.person('taken');
select tests.book('open', '2 hours');
select tests.book('taken', '3 hours');
select tests.accept('mechanic', 'taken');
select set_config('tests.booked_at', tests.now()::text, true);

create function pg_temp.last_event(p_customer text) returns text
language sql
as $$
  select concat_ws(' ', e.type, e.actor_role, e.payload ->> 'from', e.payload ->> 'to', e.version)
  from public.session_events as e
  where e.session_id = tests.session_of(p_customer)
  order by e.id desc limit 1
$$;

select is((tests.row_of('open')).status::text, 'scheduled', 'LIFE-05: booked, nobody has accepted');
select is((tests.row_of('taken')).status::text, 'accepted', 'LIFE-05: booked and accepted');

-- a moment before
select tests.advance(7199.999);
select is((public.tick_sessions() ->> 'scheduled')::integer, 0, 'LIFE-05: a moment before its time');
select is((tests.row_of('open')).status::text, 'scheduled', 'LIFE-05: nothing happens');
select is(tests.effective_status('open', 'open'), 'scheduled', 'LIFE-05: nor does a plain read say so');

-- at its time
select tests.advance(0.001);
select is(tests.effective_status('open', 'open'), 'pending', 'LIFE-05: a plain read knows it before the tick');
select is((public.tick_sessions() ->> 'scheduled')::integer, 1, 'LIFE-05: at its time the tick takes it');
select is((tests.row_of('open')).status::text, 'pending', 'LIFE-05: to pending');
select is(
  pg_temp.last_event('open'), format('due system scheduled pending %s', (tests.row_of('open')).version),
  'LIFE-05: with an event'
);
select is((public.tick_sessions() ->> 'scheduled')::integer, 0, 'LIFE-05: once');
select is((tests.row_of('taken')).status::text, 'accepted', 'LIFE-05: the later one is not due yet');

-- the accepted one, five minutes late
select tests.advance(3900);
select is(tests.effective_status('mechanic', 'taken'), 'waiting', 'LIFE-05: an accepted one, to a plain read');
select is((public.tick_sessions() ->> 'scheduled')::integer, 1, 'LIFE-05: five minutes after its time');
select is((tests.row_of('taken')).status::text, 'waiting', 'LIFE-05: it waits');
select is(
  pg_temp.last_event('taken'), format('due system accepted waiting %s', (tests.row_of('taken')).version),
  'LIFE-05: with an event of its own'
);
select is(
  (
    select array[occurred_at, created_at] from public.session_events
    where session_id = tests.session_of('taken') and type = 'due'
  ),
  array[(tests.row_of('taken')).scheduled_for, tests.now()], 'LIFE-05: dated to its time, however late it is found'
);
select is(
  (tests.row_of('taken')).accepted_at, current_setting('tests.booked_at')::timestamptz,
  'LIFE-05: its accept stays where it was'
);

-- what started or ended before its time is left alone
select tests.person('early');
select tests.mechanic('early mechanic');
select tests.book('early', '1 hour');
select tests.accept('early mechanic', 'early');
select tests.advance(3000);
select tests.join('early', 'early');
select tests.join('early mechanic', 'early');
select tests.person('gone');
select tests.book('gone', '10 minutes');
select tests.finish_session('gone', 'gone');
select tests.nobody_falls_silent();
select tests.advance(600);
select is((public.tick_sessions() ->> 'scheduled')::integer, 0, 'LIFE-05: nothing is due that runs or is over');
select is((tests.row_of('early')).status::text, 'live', 'LIFE-05: who started early goes on');
select is(
  (tests.row_of('early')).expires_at, (tests.row_of('early')).started_at + interval '30 minutes',
  'LIFE-05: for the minutes bought, from the start'
);
select is((tests.row_of('gone')).status::text, 'cancelled', 'LIFE-05: what was cancelled stays cancelled');

-- a second booking after the first is done
select tests.advance(5);
select lives_ok($$ select tests.book('gone', '1 day') $$, 'LIFE-05: who cancelled may book again');

select * from finish();

rollback;
