-- PRE-03: the grace counts from the first moment the two were no longer together, whoever else drops meanwhile and in
-- whichever order it is found out. Video: 300 s of grace, both joined at second 0.
begin;

select plan(25);

select tests.stop_clock();

-- Plays a script (tests.play) and says where the session stands: since when interrupted, and until when.
create function pg_temp.play(p_case text, p_script text) returns text
language plpgsql
as $$
begin
  perform tests.play(p_case, p_script);
  return (
    select concat_ws(
      ' ', s.status, extract(epoch from s.interrupted_at - s.started_at)::integer,
      extract(epoch from s.grace_ends_at - s.started_at)::integer
    )
    from tests.row_of(p_case) as s
  );
end
$$;

-- known drops
select is(
  pg_temp.play('a', '60 mechanic beat, 60 customer beat, 100 mechanic leave, 140 customer leave'),
  'reconnecting 100 400',
  'PRE-03: the second leave moves nothing'
);
select is(
  pg_temp.play('b', '60 customer beat, 80 mechanic beat, 100 mechanic leave, 110 customer leave, 150 mechanic join'),
  'reconnecting 100 400', 'PRE-03: nor does the return of one of two'
);
select is(
  pg_temp.play(
    'c', '60 customer beat, 60 mechanic beat, 100 mechanic leave, 110 customer leave, 150 customer join, 160 tick'
  ),
  'reconnecting 100 400', 'PRE-03: whichever of the two'
);
select is(
  pg_temp.play('d', '60 customer beat, 60 mechanic beat, 100 mechanic leave, 110 mechanic join, 120 customer leave'),
  'reconnecting 120 420', 'PRE-03: a new interruption counts anew'
);

-- A silence that began before the other left, and was not long enough then, is found out later: the interruption that
-- is written down stands, and so does the end of its grace that everybody was told.
select is(
  pg_temp.play('e', '60 customer beat, 80 mechanic beat, 100 mechanic leave, 149 tick'), 'reconnecting 100 400',
  'PRE-03: the mechanic left; the customer is silent, for how long nobody knows yet'
);
select is(
  pg_temp.play('f', '60 customer beat, 80 mechanic beat, 100 mechanic leave, 150 tick'), 'reconnecting 100 400',
  'PRE-03: he is gone as well, which moves nothing'
);
select is(
  (tests.presence_of('f', 'f')).left_at, (tests.row_of('f')).started_at + interval '60 s',
  'PRE-03: though he was gone before'
);
select is(
  pg_temp.play('g', '60 customer beat, 80 mechanic beat, 100 mechanic leave, 200 mechanic join'),
  'reconnecting 100 400', 'PRE-03: found out when the other returns, who is alone'
);
select is(
  pg_temp.play('h', '60 customer beat, 80 mechanic beat, 100 mechanic leave, 200 customer beat'),
  'reconnecting 100 400', 'PRE-03: found out by his own return, which does not bring the other'
);
select is(
  pg_temp.play('i', '60 mechanic beat, 80 customer beat, 100 customer leave, 150 tick'), 'reconnecting 100 400',
  'PRE-03: with the roles turned round'
);

-- two silences: the one that began first is found first, or with the other
select is(
  pg_temp.play('j', '60 customer beat, 30 mechanic beat, 200 tick'), 'reconnecting 30 330',
  'PRE-03: two silences, found together'
);
select is(
  pg_temp.play('k', '30 mechanic beat, 60 customer beat, 120 tick, 160 tick'), 'reconnecting 30 330',
  'PRE-03: two silences, found one after the other'
);

-- resumed over a silence that nobody had found yet
select is(
  pg_temp.play(
    'l', '60 customer beat, 80 mechanic beat, 100 mechanic leave, 120 mechanic join, 149 mechanic beat, 149 tick'
  ),
  'live', 'PRE-03: the mechanic is back before the silence is found'
);
select is(
  pg_temp.play(
    'm', '60 customer beat, 80 mechanic beat, 100 mechanic leave, 120 mechanic join, 150 mechanic beat, 150 tick'
  ),
  'reconnecting 60 360', 'PRE-03: then it is: they were apart all the time'
);

-- resumed with somebody who had already gone: after 40 s they were never together again
select is(
  pg_temp.play('s', '40 customer leave, 89 mechanic beat, 150 customer join, 160 customer beat, 178 tick'),
  'live', 'PRE-03: the customer is back while the mechanic''s silence is not found'
);
select is(
  pg_temp.play('t', '40 customer leave, 89 mechanic beat, 150 customer join, 160 customer beat, 179 tick'),
  'reconnecting 40 340', 'PRE-03: then it is: they were last together at the leave'
);
select pg_temp.play('u', '80 customer leave, 89 mechanic beat, 150 customer join, 200 customer end');
select is(
  tests.told('u'), 'completed completed 80 80 80', 'PRE-03, END-02: and an end call finds it as well'
);

select pg_temp.play(
  'v', '40 customer leave, 89 mechanic beat, 150 customer join, 220 customer beat, 300 customer beat, 339 mechanic beat'
);
select is(
  (tests.row_of('v')).status::text, 'live', 'PRE-03: the mechanic is back before the grace from the leave is over'
);
select pg_temp.play(
  'w', '40 customer leave, 89 mechanic beat, 150 customer join, 220 customer beat, 300 customer beat, 340 mechanic beat'
);
select is(
  tests.told('w'), 'cancelled too_short 40 40 40', 'PRE-03: then it is, though it seemed resumed meanwhile'
);

-- and the end is where the interruption is
select pg_temp.play('n', '60 customer beat, 80 mechanic beat, 100 mechanic leave, 130 mechanic end');
select is(
  tests.told('n'), 'completed completed 100 100 100', 'PRE-03, END-02: ended before his silence is long enough'
);
select pg_temp.play('o', '60 customer beat, 80 mechanic beat, 100 mechanic leave, 160 mechanic end');
select is(
  tests.told('o'), 'completed completed 100 100 100', 'PRE-03, END-02: or after: it matters not when it is ended'
);
select pg_temp.play('p', '50 customer beat, 80 mechanic beat, 100 mechanic leave, 2000 tick');
select is(tests.told('p'), 'completed completed 100 100 100', 'PRE-03, END-02: nor how late it is found');
select is((tests.row_of('p')).both_present_seconds, 50, 'PRE-03: the time they shared is what it was');
select is(
  pg_temp.play('q', '60 customer beat, 80 mechanic beat, 100 mechanic leave, 399 tick'), 'reconnecting 100 400',
  'PRE-03: the grace that was told is kept'
);
select tests.advance(1);
select public.tick_sessions();
select is(tests.told('q'), 'completed completed 100 100 100', 'PRE-03: to its end');

select * from finish();

rollback;
