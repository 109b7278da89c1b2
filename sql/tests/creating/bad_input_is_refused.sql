-- LIFE-01, LIFE-03, LIFE-05, LIFE-07: what create_session does not take, and what it says instead.
begin;

select plan(24);

select tests.stop_clock();
select tests.person('customer');
select tests.mechanic('mechanic');
select tests.mechanic('pending', false);

create function pg_temp.create_with(p_arguments text) returns text
language sql
as $$ select tests.outcome('customer', format('select public.create_session(%s)', p_arguments)) $$;

select is(pg_temp.create_with($$ 'no_such_plan' $$), 'PT404 plan_not_found', 'LIFE-01: an unknown plan');
select is(pg_temp.create_with($$ '' $$), 'PT404 plan_not_found', 'LIFE-01: an empty one');
select ok(
  pg_temp.create_with('null') in ('PT404 plan_not_found', 'PT422 invalid_argument'), 'LIFE-01: no plan at all'
);
select is(pg_temp.create_with($$ 'chat10', 'gift' $$), 'PT422 invalid_argument', 'LIFE-01: an unknown funding');
select is(
  pg_temp.create_with($$ 'chat10', p_intake => '[]' $$), 'PT422 invalid_argument', 'LIFE-07: intake is an object'
);
select is(
  pg_temp.create_with($$ 'chat10', p_intake => '"x"' $$), 'PT422 invalid_argument', 'LIFE-07: and no text'
);
select is(
  pg_temp.create_with($$ 'chat10', p_intake => jsonb_build_object('x', repeat('x', 16400)) $$),
  'PT422 invalid_argument', 'LIFE-07: not larger than 16 KB'
);
select is(
  pg_temp.create_with(
    $$ 'chat10', p_intake => (select jsonb_object_agg('k' || n, n) from generate_series(1, 51) as n) $$
  ),
  'PT422 invalid_argument', 'LIFE-07: not of more than 50 keys'
);
select is(
  pg_temp.create_with($$ 'chat10', p_scheduled_for => tests.now() - interval '1 s' $$), 'PT422 invalid_argument',
  'LIFE-05: not for the past'
);
select is(
  pg_temp.create_with($$ 'chat10', p_scheduled_for => 'infinity' $$), 'PT422 invalid_argument',
  'LIFE-05: nor for never'
);
select is(
  pg_temp.create_with($$ 'chat10', p_preferred_mechanic_id => tests.id('nobody') $$), 'PT422 invalid_argument',
  'LIFE-01: a preferred mechanic who does not exist'
);
select is(
  pg_temp.create_with($$ 'chat10', p_preferred_mechanic_id => tests.id('pending') $$), 'PT422 invalid_argument',
  'LIFE-01: or is not approved'
);
select is(
  tests.outcome(
    'mechanic', $$ select public.create_session('chat10', p_preferred_mechanic_id => tests.id('mechanic')) $$
  ),
  'PT422 invalid_argument', 'MOD-09: never of himself'
);
select is(
  pg_temp.create_with($$ 'chat10', p_idempotency_key => '' $$), 'PT422 invalid_argument', 'LIFE-04: an empty key'
);
select is(
  pg_temp.create_with($$ 'chat10', p_idempotency_key => repeat('k', 1000) $$), 'PT422 invalid_argument',
  'SEC-04, LIFE-04: an endless key'
);
select is((select count(*)::integer from public.sessions), 0, 'LIFE-01: none of these made anything');
select is(
  (select count(*)::integer from public.session_participants) + (select count(*)::integer from public.session_events),
  0, 'LIFE-01: not even a part of it'
);

-- The edges are inside.
select is(
  pg_temp.create_with(
    $$ 'chat10', p_intake => (select jsonb_object_agg('k' || n, n) from generate_series(1, 50) as n) $$
  ),
  'ok', 'LIFE-07: 50 keys are taken'
);

-- A second active one names the first.
select tests.act_as('customer');
create temporary table refused (detail text) on commit drop;
do $$
declare
  v_detail text;
begin
  perform public.create_session(p_plan => 'video15');
exception when sqlstate 'PT409' then
  get stacked diagnostics v_detail = pg_exception_detail;
  insert into refused values (v_detail);
end
$$;
select tests.be_system();
select alike(
  (select detail from refused), '%' || tests.session_of('customer') || '%', 'LIFE-03: the detail is its id'
);
select tests.finish_session('customer', 'customer');
select tests.advance(1);
select is(pg_temp.create_with($$ 'chat10', p_intake => 'null' $$), 'ok', 'LIFE-07: nothing said');
select is((tests.row_of('customer')).intake, '{}'::jsonb, 'LIFE-07: is an empty object');
select tests.finish_session('customer', 'customer');
select tests.advance(1);
select is(
  pg_temp.create_with($$ 'chat10', p_preferred_mechanic_id => tests.id('mechanic') $$), 'ok',
  'LIFE-01: a preferred mechanic'
);
select tests.finish_session('customer', 'customer');
select tests.advance(1);
select is(
  pg_temp.create_with($$ 'chat10', p_scheduled_for => tests.now() + interval '1 day' $$), 'ok',
  'LIFE-05: for tomorrow'
);
select results_eq(
  $$ select status::text, scheduled_for from public.sessions where status < 'completed' $$,
  $$ values ('scheduled', tests.now() + interval '1 day') $$, 'LIFE-05: which is scheduled'
);

select * from finish();

rollback;
