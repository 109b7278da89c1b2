-- PRE-03: both_present_seconds is the time they really shared, from intervals; what nobody noticed in time included.
begin;

select plan(9);

select tests.stop_clock();

-- Plays a script (tests.play) that ends the session.
create function pg_temp.shared(p_case text, p_script text) returns text
language plpgsql
as $$
begin
  perform tests.play(p_case, p_script);
  return (select concat_ws(' of ', s.both_present_seconds, s.duration_seconds) from tests.row_of(p_case) as s);
end
$$;

select is(
  pg_temp.shared('a', '80 customer beat, 80 mechanic beat, 100 customer end'), '100 of 100', 'PRE-03: all of it'
);
select is(
  pg_temp.shared(
    'b',
    '30 customer leave, 40 mechanic leave, 50 customer join, 70 mechanic join, 100 mechanic leave, 110 customer end'
  ),
  '60 of 100', 'PRE-03: gaps that overlap count once'
);
select is(
  pg_temp.shared(
    'c', '10 customer leave, 20 customer join, 30 mechanic leave, 45 mechanic join, 60 customer leave,'
    || '61 customer join, 80 customer end'
  ),
  '54 of 80', 'PRE-03: gaps that follow each other add up'
);
select is(
  pg_temp.shared('d', '30 customer beat, 30 customer join, 40 customer join, 50 customer end'), '50 of 50',
  'PRE-03, PRE-01: two tabs are one presence'
);
select is(
  pg_temp.shared('e', '20 customer join, 40 customer leave, 50 customer beat, 60 customer end'), '50 of 60',
  'PRE-03: and one of them that closes takes both, until the other is heard of'
);
select is(
  pg_temp.shared(
    'f', '30 customer beat, 60 mechanic beat, 120 mechanic beat, 170 customer beat, 180 mechanic beat,'
    || '200 customer end'
  ),
  '60 of 200', 'PRE-03: a silence that was found only at the return'
);
select is(
  pg_temp.shared(
    'g', '30 customer beat, 60 mechanic beat, 120 mechanic beat, 121 tick, 170 customer beat, 180 mechanic beat,'
    || '181 tick, 200 customer end'
  ),
  '60 of 200', 'PRE-03: is no longer or shorter than one that the tick found'
);
select is(
  pg_temp.shared(
    'h', '60 customer beat, 80 mechanic beat, 100 mechanic leave, 120 mechanic join, 160 mechanic beat,'
    || '180 customer beat, 200 customer end'
  ),
  '80 of 200', 'PRE-03: a silence that began before the other left and outlasted his return'
);

-- never negative, never more than the session: whole seconds of all intervals together
select is(
  pg_temp.shared(
    'i', '10.4 customer leave, 10.6 customer join, 20.4 customer leave, 20.6 customer join, 60 customer end'
  ),
  '59 of 60', 'PRE-03: parts of seconds are added before they are cut'
);

select * from finish();

rollback;
