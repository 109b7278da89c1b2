-- MOV-04: the health score of an hour, to the decimal: what counts into which hour, what it costs, and its grade.
begin;

select plan(36);

select tests.stop_clock('2030-03-20 12:34:56+00');
select tests.admin('admin');
select tests.person('customer');

-- So many sessions of an older system that ended at a time, and what they are judged by.
create function pg_temp.ended(p_at timestamptz, p_count integer, p_status text, p_reason text) returns void
language sql
as $$
  insert into public.sessions (
    customer_user_id, plan, type, status, funding, price_cents, currency, duration_minutes, created_at, started_at,
    ended_at, end_reason, metadata
  )
  select
    tests.id('customer'), 'chat10', 'chat', p_status::public.session_status, 'free', 0, 'usd', 30,
    p_at - interval '1 hour', case when p_reason = 'completed' then p_at - interval '10 minutes' end, p_at, p_reason,
    '{"imported": true}'
  from generate_series(1, p_count)
$$;

create function pg_temp.review(p_at timestamptz, p_count integer) returns void
language sql
as $$
  insert into private.session_reviews (session_id, reason)
  select s.id, 'dispute' from public.sessions as s where s.ended_at = p_at order by s.id limit p_count
$$;

create function pg_temp.hour(p_at timestamptz) returns text
language sql
as $$
  select concat_ws(' ', h.total, h.completed, h.cancelled, h.expired, h.anomalies, h.score, h.grade)
  from public.calculate_session_health_score(720) as h
  where h.period_start = p_at
$$;

select results_eq(
  $$ select period_start, period_end, total, score, grade from public.calculate_session_health_score(2) $$,
  $$ values ('2030-03-20 11:00+00'::timestamptz, '2030-03-20 12:00+00'::timestamptz, 0::bigint, 100.0, 'excellent'),
     ('2030-03-20 12:00+00', '2030-03-20 13:00+00', 0, 100.0, 'excellent') $$,
  'MOV-04: hours without sessions are excellent; the present one is last'
);
select is(
  (select count(*) from public.calculate_session_health_score()), 24::bigint, 'MOV-04: 24 hours unless told otherwise'
);
select is(
  (select count(*) from public.calculate_session_health_score(720)), 720::bigint, 'MOV-04: thirty days at most'
);

-- The hour of the end, its first moment in and the next hour's out.
select pg_temp.ended('2030-03-20 10:00:00+00', 1, 'completed', 'completed');
select pg_temp.ended('2030-03-20 10:59:59.999999+00', 1, 'cancelled', 'too_short');
select pg_temp.ended('2030-03-20 11:00:00+00', 1, 'completed', 'completed');
select is(pg_temp.hour('2030-03-20 10:00+00'), '2 1 1 0 0 100.0 excellent', 'MOV-04: in the hour of its end');
select is(
  pg_temp.hour('2030-03-20 11:00+00'), '1 1 0 0 0 100.0 excellent', 'MOV-04: which begins with its first moment'
);

-- What is in review now, once each, whatever ended.
select pg_temp.ended('2030-03-19 01:30:00+00', 7, 'completed', 'completed');
select pg_temp.review('2030-03-19 01:30:00+00', 1);
select is(pg_temp.hour('2030-03-19 01:00+00'), '7 7 0 0 1 85.7 good', 'MOV-04: 100 - 100/7');
select pg_temp.review('2030-03-19 01:30:00+00', 2);
select is(pg_temp.hour('2030-03-19 01:00+00'), '7 7 0 0 2 71.4 fair', 'MOV-04: two reviews of one session count once');
update private.session_reviews set resolved_at = tests.now();
select is(pg_temp.hour('2030-03-19 01:00+00'), '7 7 0 0 0 100.0 excellent', 'MOV-04: and not when they are settled');

-- The grades, at their very limits.
select pg_temp.ended('2030-03-18 00:00:00+00', 20, 'completed', 'completed');
select pg_temp.review('2030-03-18 00:00:00+00', 1);
select is(pg_temp.hour('2030-03-18 00:00+00'), '20 20 0 0 1 95.0 excellent', 'MOV-04: 95 is excellent');
select pg_temp.ended('2030-03-18 01:00:00+00', 1000, 'completed', 'completed');
select pg_temp.review('2030-03-18 01:00:00+00', 51);
select is(pg_temp.hour('2030-03-18 01:00+00'), '1000 1000 0 0 51 94.9 good', 'MOV-04: 94.9 is good');
select pg_temp.review('2030-03-18 01:00:00+00', 150);
select is(pg_temp.hour('2030-03-18 01:00+00'), '1000 1000 0 0 150 85.0 good', 'MOV-04: 85 is good');
select pg_temp.review('2030-03-18 01:00:00+00', 151);
select is(pg_temp.hour('2030-03-18 01:00+00'), '1000 1000 0 0 151 84.9 fair', 'MOV-04: 84.9 is fair');
select pg_temp.review('2030-03-18 01:00:00+00', 300);
select is(pg_temp.hour('2030-03-18 01:00+00'), '1000 1000 0 0 300 70.0 fair', 'MOV-04: 70 is fair');
select pg_temp.review('2030-03-18 01:00:00+00', 301);
select is(pg_temp.hour('2030-03-18 01:00+00'), '1000 1000 0 0 301 69.9 poor', 'MOV-04: 69.9 is poor');

-- No-shows: from five sessions on, above a tenth.
select pg_temp.ended('2030-03-17 00:00:00+00', 3, 'completed', 'completed');
select pg_temp.ended('2030-03-17 00:00:00+00', 1, 'cancelled', 'customer_no_show');
select is(pg_temp.hour('2030-03-17 00:00+00'), '4 3 1 0 0 100.0 excellent', 'MOV-04: four are too few to judge by');
select pg_temp.ended('2030-03-17 00:00:00+00', 1, 'completed', 'completed');
select is(pg_temp.hour('2030-03-17 00:00+00'), '5 4 1 0 0 80.0 fair', 'MOV-04: five are not: one no-show costs 20');
select pg_temp.ended('2030-03-17 01:00:00+00', 9, 'completed', 'completed');
select pg_temp.ended('2030-03-17 01:00:00+00', 1, 'cancelled', 'mechanic_no_show');
select is(pg_temp.hour('2030-03-17 01:00+00'), '10 9 1 0 0 100.0 excellent', 'MOV-04: a tenth is not above a tenth');
select pg_temp.ended('2030-03-17 01:00:00+00', 1, 'cancelled', 'customer_no_show');
select is(pg_temp.hour('2030-03-17 01:00+00'), '11 9 2 0 0 80.0 fair', 'MOV-04: both sides'' no-shows count together');
select pg_temp.ended('2030-03-17 02:00:00+00', 9, 'cancelled', 'cancelled_by_customer');
select is(
  pg_temp.hour('2030-03-17 02:00+00'), '9 0 9 0 0 100.0 excellent', 'MOV-04: other cancellations are no no-shows'
);

-- Expired: above a twentieth.
select pg_temp.ended('2030-03-16 00:00:00+00', 19, 'completed', 'completed');
select pg_temp.ended('2030-03-16 00:00:00+00', 1, 'expired', 'orphaned');
select is(pg_temp.hour('2030-03-16 00:00+00'), '20 19 0 1 0 100.0 excellent', 'MOV-04: a twentieth is not above');
select pg_temp.ended('2030-03-16 00:00:00+00', 1, 'expired', 'orphaned');
select is(pg_temp.hour('2030-03-16 00:00+00'), '21 19 0 2 0 80.0 fair', 'MOV-04: two of 21 are');
select pg_temp.ended('2030-03-16 01:00:00+00', 1, 'unattended', 'unattended');
select is(
  pg_temp.hour('2030-03-16 01:00+00'), '1 0 0 0 0 100.0 excellent',
  'MOV-04: unattended has no column, and is in the total'
);

-- All of it together, and never below nothing.
select pg_temp.ended('2030-03-15 00:00:00+00', 6, 'completed', 'completed');
select pg_temp.ended('2030-03-15 00:00:00+00', 2, 'cancelled', 'customer_no_show');
select pg_temp.ended('2030-03-15 00:00:00+00', 2, 'expired', 'orphaned');
select is(pg_temp.hour('2030-03-15 00:00+00'), '10 6 2 2 0 60.0 poor', 'MOV-04: 20 for each of the two');
select pg_temp.review('2030-03-15 00:00:00+00', 3);
select is(pg_temp.hour('2030-03-15 00:00+00'), '10 6 2 2 3 30.0 poor', 'MOV-04: and 30 for three in review');
select pg_temp.review('2030-03-15 00:00:00+00', 9);
select is(pg_temp.hour('2030-03-15 00:00+00'), '10 6 2 2 9 0.0 poor', 'MOV-04: not below nothing');

-- The limits are settings.
select public.set_setting('health_min_total', '11');
select is(pg_temp.hour('2030-03-15 00:00+00'), '10 6 2 2 9 10.0 poor', 'MOV-04: health_min_total');
select public.set_setting('health_min_total', '5');
select public.set_setting('health_no_show_bps', '2000');
select is(pg_temp.hour('2030-03-17 00:00+00'), '5 4 1 0 0 100.0 excellent', 'MOV-04: health_no_show_bps');
select public.set_setting('health_expired_bps', '1000');
select is(pg_temp.hour('2030-03-16 00:00+00'), '21 19 0 2 0 100.0 excellent', 'MOV-04: health_expired_bps');

-- Admins and the system; hours within their bounds.
select is(
  tests.outcome(w.word, 'select * from public.calculate_session_health_score()'), w.outcome,
  'MOV-08: the score, for ' || w.word
)
from (
  values
  ('admin', 'ok'), ('service_role', 'ok'), ('customer', 'PT403 role_required'),
  ('anon', '42501 permission denied for function calculate_session_health_score')
) as w (word, outcome);
select is(
  tests.outcome('admin', format('select * from public.calculate_session_health_score(%s)', h.hours)),
  'PT422 invalid_argument', 'MOV-04: not for so many hours: ' || h.hours
)
from (values ('0'), ('721'), ('null')) as h (hours);
select is(
  (select count(*) from public.calculate_session_health_score(1)), 1::bigint, 'MOV-04: one hour is the least'
);

select * from finish();

rollback;
