-- MOV-04: session_health_dashboard() says all that matters now, row by row, and the worst of it first.
begin;

select plan(19);

select tests.stop_clock('2030-03-20 12:30:00+00');
select tests.nobody_falls_silent();
select tests.admin('admin');
update private.job_runs set started_at = tests.now() - interval '10 seconds', ended_at = tests.now(), error = null
where not is_failure;

-- The rows of a category as one line each.
create function pg_temp.shown(p_category text) returns setof text
language sql
as $$
  select concat_ws(' ', d.metric, d.value, d.unit, d.status)
  from public.session_health_dashboard() as d
  where d.category = p_category
$$;

create function pg_temp.detail(p_category text, p_metric text) returns jsonb
language sql
as $$
  select d.detail from public.session_health_dashboard() as d where d.category = p_category and d.metric = p_metric
$$;

select results_eq(
  $$ select pg_temp.shown('overall') $$,
  array['status 100.0 score ok', 'score_now 100.0 score ok', 'score_24_hours 100.0 score ok'],
  'MOV-04: an empty house is well'
);
select is(pg_temp.detail('overall', 'status'), '{"wrong": []}', 'MOV-04: and nothing is wrong');
select results_eq(
  $$ select distinct category from public.session_health_dashboard() order by category $$,
  array['alerts', 'jobs', 'last_24_hours', 'outbox', 'overall', 'statuses'],
  'MOV-04: its categories; without money no revenue'
);
select is(
  (select array_agg(split_part(s, ' ', 1) order by s) from pg_temp.shown('jobs') as s),
  (select array_agg(h.job order by h.job) from private.job_health() as h), 'MOV-04: every job is there'
);

-- A day of work: one completed and paid, one no-show, one too short, one that waits, one that runs.
select tests.clock_at('2030-03-19 12:29:59.999999+00');
select tests.person('yesterday');
select tests.queue('yesterday');
select tests.finish_session('yesterday', 'yesterday');
select tests.clock_at('2030-03-20 09:00:00+00');
select tests.person('c1');
select tests.mechanic('m1');
select tests.has_account('m1');
select tests.pay('c1');
select tests.advance(40);
select tests.accept('m1', 'c1');
select tests.advance(20);
select tests.join('c1', 'c1');
select tests.join('m1', 'c1');
select tests.advance(70);
select tests.finish_session('system', 'c1');
select tests.person('c2');
select tests.pay('c2');
select tests.accept('m1', 'c2');
select tests.join('c2', 'c2');
select tests.advance(3000);
select tests.finish_session('c2', 'c2');
select tests.person('c3');
select tests.queue('c3');
select tests.serve('c3', 'm1');
select tests.advance(30);
select tests.finish_session('system', 'c3');
select tests.clock_at('2030-03-20 12:15:00+00');
select tests.person('c4');
select tests.queue('c4');
select tests.clock_at('2030-03-20 12:29:00+00');
select tests.live('c5', 'm2');
select tests.clock_at('2030-03-20 12:30:00+00');
update private.outbox set next_attempt_at = tests.now() where status = 'pending';
update private.job_runs set started_at = tests.now() - interval '10 seconds', ended_at = tests.now()
where not is_failure;
select results_eq(
  $$ select pg_temp.shown('last_24_hours') $$,
  array[
    'created 5 sessions ok', 'ended 3 sessions ok', 'completed 1 sessions ok', 'cancelled 2 sessions ok',
    'no_shows 1 sessions ok', 'expired 0 sessions ok', 'completion_rate 33.3 percent ok',
    'no_show_rate 33.3 percent ok', 'expired_rate 0.0 percent ok', 'to_accept_p50 0.0 seconds ok',
    'to_start_p50 0.0 seconds ok', 'longest_waiting 900 seconds ok'
  ],
  'MOV-04: the key metrics of 24 hours, and not of what ended before'
);
select results_eq(
  $$ select pg_temp.shown('revenue') $$,
  array[
    'gross 3000 cents ok', 'refunded 1500 cents ok', 'lost_to_no_shows 1500 cents ok', 'paid_out 0 cents ok',
    'platform 450 cents ok', 'owed 1050 cents ok'
  ],
  'MOV-04: revenue impact'
);
select is(pg_temp.detail('revenue', 'gross'), '{"currency": "usd"}', 'MOV-04: in its currency');
select results_eq(
  $$ select s from pg_temp.shown('statuses') as s where s !~ ' 0 ' $$,
  array['pending 1 sessions ok', 'live 1 sessions ok', 'completed 1 sessions ok', 'cancelled 2 sessions ok'],
  'MOV-04: the distribution of statuses: all that are active, and what ended in 24 hours'
);
select is((select count(*) from pg_temp.shown('statuses')), 12::bigint, 'MOV-04: every status has its row');
select results_eq(
  $$ select pg_temp.shown('overall') $$,
  array['status 100.0 score ok', 'score_now 100.0 score ok', 'score_24_hours 100.0 score ok'],
  'MOV-04: three are too few to judge by'
);

-- Rates out of bounds are a warning, in the score and in the row.
select public.set_setting('health_min_total', '3');
select results_eq(
  $$ select category, metric, value, status from public.session_health_dashboard() where status <> 'ok' $$,
  $$ values ('overall', 'status', 80.0, 'warn'), ('alerts', 'warning', 2, 'warn'),
     ('last_24_hours', 'no_show_rate', 33.3, 'warn') $$,
  'MOV-04: too many no-shows warn'
);
select is(
  pg_temp.detail('alerts', 'warning'), '{"rate_no_shows": 1, "rate_no_shows_of_mechanic": 1}',
  'MOV-04: the alert says which: of all, and of their mechanic'
);
select public.set_setting('health_min_total', '5');

-- Something critical, a late job, a dead effect: it is failing, and the first row says of what.
insert into private.session_reviews (session_id, reason) values (tests.session_of('c1'), 'dispute');
select is(pg_temp.detail('alerts', 'critical'), '{"session_review": 1}', 'MOV-04: a critical alert, by its kind');
select results_eq(
  $$ select pg_temp.shown('overall') $$,
  array['status 66.7 score fail', 'score_now 100.0 score ok', 'score_24_hours 66.7 score warn'],
  'MOV-04: the worst of all is the status of the whole; a poor score warns'
);
update private.session_reviews set resolved_at = tests.now();
update private.job_runs set started_at = tests.now() - interval '1 day' where job = 'tick-sessions' and not is_failure;
update private.outbox set next_attempt_at = tests.now() - interval '901 seconds'
where id = (select min(id) from private.outbox where status = 'pending');
select is(
  pg_temp.detail('overall', 'status'), '{"wrong": ["jobs: tick-sessions", "outbox: overdue"]}',
  'MOV-04: a late job and effects that nobody takes'
);
select ok(
  (select s ~ '^waiting [1-9][0-9]* effects ok$' from pg_temp.shown('outbox') as s limit 1), 'MOV-04: how many wait'
);

select is(
  tests.outcome(w.word, 'select * from public.session_health_dashboard()'), w.outcome,
  'MOV-08: the dashboard, for ' || w.word
)
from (
  values
  ('admin', 'ok'), ('c1', 'PT403 role_required'),
  ('anon', '42501 permission denied for function session_health_dashboard')
) as w (word, outcome);

select * from finish();

rollback;
