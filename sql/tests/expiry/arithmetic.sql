-- TIME-01: when a session expires is plain arithmetic, in UTC.
begin;

select plan(8);

select volatility_is(
  'public', 'calculate_session_expiry', array['timestamp with time zone', 'integer'], 'immutable',
  'TIME-01: immutable'
);
select is(
  public.calculate_session_expiry(p_started_at => '2030-01-01 12:00:00.5+00', p_duration_minutes => 30),
  '2030-01-01 12:30:00.5+00'::timestamptz, 'TIME-01: so many minutes later'
);
select is(
  public.calculate_session_expiry('2028-02-29 23:59:00+00', 1), '2028-03-01 00:00:00+00'::timestamptz,
  'TIME-01: over the end of a month'
);
set local timezone = 'Europe/Berlin';
select is(
  public.calculate_session_expiry('2030-03-31 00:50:00+00', 60), '2030-03-31 01:50:00+00'::timestamptz,
  'TIME-01: summer time makes no hour'
);
select is(
  public.calculate_session_expiry('2030-10-27 00:30:00+00', 1440), '2030-10-28 00:30:00+00'::timestamptz,
  'TIME-01: a day is 1440 minutes where it has 25 hours'
);
reset timezone;
select is(public.calculate_session_expiry(null, 30), null, 'TIME-01: of nothing, nothing');
select is(
  public.calculate_session_expiry('2030-01-01 12:00:00+00', null), null, 'TIME-01: for nothing, nothing'
);
select tests.person('customer');
select is(
  tests.outcome('customer', $$ select public.calculate_session_expiry('2030-01-01 12:00:00+00', 30) $$), 'ok',
  'TIME-01: clients may ask'
);

select * from finish();

rollback;
