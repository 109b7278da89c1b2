-- MOV-03: per day, plan, type and funding how sessions ended, and how long those that started lasted.
begin;

select plan(14);

select tests.stop_clock('2030-03-20 12:00:00+00');
select tests.nobody_falls_silent();
select tests.mechanic('mechanic');
select tests.has_account('mechanic');

create function pg_temp.outcomes(p_day date) returns setof text
language sql
as $$
  select concat_ws(
    ' ', m.plan, m.type, m.funding, m.created, m.ended, m.completed, m.cancelled, m.no_shows_customer,
    m.no_shows_mechanic, m.expired, m.unattended, m.refunded, m.completion_rate, m.no_show_rate, m.expired_rate
  )
  from public.metrics_session_outcomes as m
  where m.day = p_day
$$;

create function pg_temp.served(p_customer text, p_seconds integer) returns void
language plpgsql
as $$
begin
  perform tests.person(p_customer);
  perform tests.queue(p_customer);
  perform tests.serve(p_customer, 'mechanic');
  perform tests.advance(p_seconds);
  perform tests.finish_session('system', p_customer);
end
$$;

select is_empty($$ select * from public.metrics_session_outcomes $$, 'MOV-03: nothing happened: no rows');
select is_empty($$ select * from public.metrics_session_durations $$, 'MOV-03: nothing lasted: no rows');

-- Four of the same plan end on this day, the last of them too short; a paid one by a no-show; one nobody took.
select pg_temp.served('c100', 100);
select pg_temp.served('c200', 200);
select pg_temp.served('c600', 600);
select pg_temp.served('c30', 30);
select tests.person('paying');
select tests.pay('paying');
select tests.accept('mechanic', 'paying');
select tests.join('paying', 'paying');
select tests.advance(3000);
select tests.finish_session('paying', 'paying');
select tests.person('gone');
select tests.queue('gone');
select tests.finish_session('gone', 'gone');

select results_eq(
  $$ select pg_temp.outcomes('2030-03-20') $$,
  array[
    'chat10 chat free 5 5 3 2 0 0 0 0 0 0.6000 0.0000 0.0000',
    'video15 video paid 1 1 0 1 0 1 0 0 0 0.0000 1.0000 0.0000'
  ],
  'MOV-03: created, ended, completed, cancelled, no-shows by side, rates'
);
select results_eq(
  $$ select day, plan, type, sessions, average_seconds, p50_seconds, p95_seconds, bought_minutes, used_minutes,
     used_rate from public.metrics_session_durations $$,
  $$ values ('2030-03-20'::date, 'chat10', 'chat', 4::bigint, 232.5, 150.0, 540.0, 120::numeric, 15.5, 0.1292) $$,
  'MOV-03: average, median, 95th percentile; bought against used minutes; of started sessions only'
);

-- Rounding to the day: created before midnight in UTC, ended after.
select tests.clock_at('2030-03-20 23:59:00+00');
select tests.person('night');
select tests.queue('night');
select tests.serve('night', 'mechanic');
select tests.clock_at('2030-03-21 00:01:00+00');
select tests.finish_session('system', 'night');
set local timezone = 'Pacific/Auckland';
select results_eq(
  $$ select pg_temp.outcomes('2030-03-20') $$,
  array[
    'chat10 chat free 6 5 3 2 0 0 0 0 0 0.6000 0.0000 0.0000',
    'video15 video paid 1 1 0 1 0 1 0 0 0 0.0000 1.0000 0.0000'
  ],
  'MOV-03: created on the day of its birth, whatever the time zone of the reader'
);
select results_eq(
  $$ select pg_temp.outcomes('2030-03-21') $$, array['chat10 chat free 0 1 1 0 0 0 0 0 0 1.0000 0.0000 0.0000'],
  'MOV-03: ended on the day of its end'
);
set local timezone = 'UTC';

-- Expired, unattended, missed by the customer; one that nothing has happened to but its birth.
select tests.clock_at('2030-03-22 09:00:00+00');
select tests.person('forgotten');
select tests.queue('forgotten');
select tests.advance(7201);
select public.expire_orphaned_sessions();
select tests.person('alone');
select tests.queue('alone');
select public.mark_session_unattended(tests.session_of('alone'));
select tests.person('absent');
select tests.queue('absent');
select tests.accept('mechanic', 'absent');
select tests.join('mechanic', 'absent');
select tests.advance(3000);
select tests.finish_session('mechanic', 'absent');
select tests.person('waits');
select tests.queue('waits');
select results_eq(
  $$ select pg_temp.outcomes('2030-03-22') $$,
  array['chat10 chat free 4 3 0 1 1 0 1 1 0 0.0000 0.3333 0.3333'],
  'MOV-03: expired, unattended, missed by the customer; one that is not over counts as created'
);

-- Refunded and archived later, a session stays what it ended as.
select tests.person('regrets');
select tests.pay('regrets');
select tests.serve('regrets', 'mechanic');
select tests.advance(70);
select tests.finish_session('system', 'regrets');
select tests.session_refund('regrets', 'all of it');
select results_eq(
  $$ select pg_temp.outcomes('2030-03-22') offset 1 $$,
  array['video15 video paid 1 1 1 0 0 0 0 0 1 1.0000 0.0000 0.0000'],
  'MOV-03: a refunded session was completed all the same'
);
select tests.advance(1);
select public.archive_sessions(tests.now());
select results_eq(
  $$ select pg_temp.outcomes('2030-03-22') $$,
  array[
    'chat10 chat free 4 3 0 1 1 0 1 1 0 0.0000 0.3333 0.3333',
    'video15 video paid 1 1 1 0 0 0 0 0 0 1.0000 0.0000 0.0000'
  ],
  'MOV-03: so are archived ones what they ended as'
);

-- Thirty-one days, today among them.
select tests.clock_at('2030-04-19 23:59:59+00');
select results_eq(
  $$ select distinct day from public.metrics_session_outcomes order by day $$,
  array['2030-03-20', '2030-03-21', '2030-03-22']::date[], 'MOV-03: thirty days ago is there'
);
select is(
  (select sum(sessions) from public.metrics_session_durations), 6::numeric, 'MOV-03: the durations too'
);
select tests.clock_at('2030-04-20 00:00:00+00');
select results_eq(
  $$ select distinct day from public.metrics_session_outcomes order by day $$,
  array['2030-03-21', '2030-03-22']::date[], 'MOV-03: the day before is not'
);
select is(
  (select count(*) from public.metrics_wait_times), 721::bigint, 'MOV-03: hours from the first of these days on'
);
select is(
  (select min(hour) from public.metrics_wait_times), '2030-03-21 00:00:00+00'::timestamptz, 'MOV-03: at its midnight'
);

select * from finish();

rollback;
