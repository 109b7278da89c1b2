-- MOV-03: per hour the queue and how long people waited, per mechanic and day what was offered and what came of it.
begin;

select plan(17);

select tests.stop_clock('2030-03-20 12:00:00+00');
select tests.nobody_falls_silent();
select tests.mechanic('mechanic');
select tests.mechanic('other');

create function pg_temp.hour(p_hour text) returns text
language sql
as $$
  select concat_ws(
    ' ', w.queue_depth, w.accepted, w.declined, w.released, w.started, w.to_accept_p50_seconds,
    w.to_accept_p95_seconds, w.to_start_p50_seconds, w.to_start_p95_seconds, w.longest_waiting_seconds
  )
  from public.metrics_wait_times as w
  where w.hour = p_hour::timestamptz
$$;

create function pg_temp.day_of(p_mechanic text, p_day date default '2030-03-20') returns text
language sql
as $$
  select concat_ws(
    ' ', m.offered, m.accepted, m.declined, m.released, m.no_shows, m.too_short, m.completed, m.in_review
  )
  from public.metrics_mechanics as m
  where m.mechanic_id = tests.id(p_mechanic) and m.day = p_day
$$;

create function pg_temp.refuse(p_how text, p_mechanic text, p_customer text) returns void
language sql
as $$
  select tests.do_as(
    p_mechanic, format('select public.%I(p_assignment_id => %L)', p_how, tests.assignment_of(p_customer))
  )
$$;

select is(pg_temp.hour('2030-03-20 12:00+00'), '0 0 0 0 0', 'MOV-03: nobody waits');
select tests.person('c1');
select tests.person('c2');
select tests.person('c3');
select tests.queue('c1');
select tests.advance(60);
select tests.queue('c2');
select tests.advance(40);
select tests.queue('c3');
select is(pg_temp.hour('2030-03-20 12:00+00'), '3 0 0 0 0 100', 'MOV-03: three wait, the first for 100 seconds');

select pg_temp.refuse('decline_assignment', 'other', 'c1');
select tests.advance(100);
select tests.accept('mechanic', 'c1');
select tests.advance(10);
select tests.join('c1', 'c1');
select tests.advance(20);
select tests.join('mechanic', 'c1');
select is(
  pg_temp.hour('2030-03-20 12:00+00'), '2 1 1 0 1 200.0 200.0 30.0 30.0 170',
  'MOV-03: 200 seconds to the accept, 30 from there to the start; now the second waits longest'
);
select is(pg_temp.day_of('mechanic'), '1 1 0 0 0 0 0 0', 'MOV-03: an accept is an offer taken');
select is(pg_temp.day_of('other'), '1 0 1 0 0 0 0 0', 'MOV-03: a decline one refused');
select tests.advance(30);
select tests.finish_session('system', 'c1');
select is(pg_temp.day_of('mechanic'), '1 1 0 0 0 1 0 0', 'MOV-03: what was too short is told of its mechanic');

-- The next hour: one is given back and waits anew from then on.
select tests.clock_at('2030-03-20 13:00:00+00');
select tests.accept('mechanic', 'c2');
select tests.advance(100);
select pg_temp.refuse('release_assignment', 'mechanic', 'c2');
select tests.advance(50);
select tests.accept('other', 'c2');
select is(
  pg_temp.hour('2030-03-20 12:00+00'), '2 1 1 0 1 200.0 200.0 30.0 30.0',
  'MOV-03: the hour before keeps the depth of its end, and nobody waits in it now'
);
select is(
  pg_temp.hour('2030-03-20 13:00+00'), '1 2 0 1 0 1795.0 3365.5 3650',
  'MOV-03: after a release somebody waits anew: 3540 and 50 seconds'
);
select is(pg_temp.day_of('mechanic'), '2 2 0 1 0 1 0 0', 'MOV-03: accepted and released');
select is(pg_temp.day_of('other'), '2 1 1 0 0 0 0 0', 'MOV-03: offered twice, taken once');

-- Missed by its mechanic; completed, and in review since.
select tests.join('c2', 'c2');
select tests.advance(3000);
select tests.finish_session('c2', 'c2');
select is(pg_temp.day_of('other'), '2 1 1 0 1 0 0 0', 'MOV-03: a no-show of the mechanic');
select tests.accept('other', 'c3');
select tests.join('c3', 'c3');
select tests.join('other', 'c3');
select tests.advance(70);
select tests.finish_session('system', 'c3');
insert into private.session_reviews (session_id, reason)
values (tests.session_of('c3'), 'dispute'), (tests.session_of('c3'), 'refund_at_stripe');
select is(pg_temp.day_of('other'), '3 2 1 0 1 0 1 1', 'MOV-03: completed; in review once, whatever the reasons');
update private.session_reviews set resolved_at = tests.now() where session_id = tests.session_of('c3');
select is(pg_temp.day_of('other'), '3 2 1 0 1 0 1 0', 'MOV-03: and no more when it is settled');

-- Asked for by name, for later: offered, though nobody has answered. It is not in the queue of now.
select tests.clock_at('2030-03-21 08:00:00+00');
select tests.person('c4');
select tests.prefer('c4', 'mechanic', '2 hours');
select is(pg_temp.day_of('mechanic', '2030-03-21'), '1 0 0 0 0 0 0 0', 'MOV-03: asked for by name is an offer');
select is(pg_temp.hour('2030-03-21 08:00+00'), '0 0 0 0 0', 'MOV-03: a booking does not wait');
select tests.accept('mechanic', 'c4');
select tests.clock_at('2030-03-21 10:00:00+00');
select public.tick_sessions();
select tests.advance(15);
select tests.join('c4', 'c4');
select tests.join('mechanic', 'c4');
select is(
  pg_temp.hour('2030-03-21 08:00+00'), '0 1 0 0 0', 'MOV-03: the accept of a booking ended nobody''s wait'
);
select is(
  pg_temp.hour('2030-03-21 10:00+00'), '0 0 0 0 1 15.0 15.0', 'MOV-03: its start is late from the booked time on'
);

select * from finish();

rollback;
