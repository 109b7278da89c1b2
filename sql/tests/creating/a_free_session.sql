-- LIFE-01, LIFE-02: one call makes the session, the customer's participant row, a queued assignment and an event.
begin;

select plan(16);

select tests.stop_clock();
select tests.person('customer');
select tests.mechanic('mechanic');

select tests.act_as('customer');
create temporary table made on commit drop as
select * from public.create_session(p_plan => 'video15', p_intake => '{"car": "old", "anything": [1, 2]}');
select tests.be_system();

select results_eq(
  $$ select customer_user_id, mechanic_id, plan, type::text, status::text, funding::text, price_cents, currency::text,
     duration_minutes, created_at, started_at, ended_at from made $$,
  $$ values (tests.id('customer'), null::uuid, 'video15', 'video', 'pending', 'free', 0, 'usd', 45, tests.now(),
     null::timestamptz, null::timestamptz) $$,
  'LIFE-01, LIFE-02: the session row'
);
select is((select intake from made), '{"car": "old", "anything": [1, 2]}'::jsonb, 'LIFE-07: unknown keys are kept');
select results_eq(
  $$ select user_id, role, is_connected, first_joined_at from public.session_participants
     where session_id = (select id from made) $$,
  $$ values (tests.id('customer'), 'customer', false, null::timestamptz) $$, 'LIFE-01: the participant'
);
select results_eq(
  $$ select status, mechanic_id, created_at from public.session_assignments where session_id = (select id from made) $$,
  $$ values ('queued', null::uuid, tests.now()) $$, 'LIFE-01: the assignment'
);
select is(tests.events_of('customer'), array['created'], 'LIFE-01: the event');

-- All or nothing.
select tests.person('second customer');
create function pg_temp.break() returns trigger language plpgsql
as $$ begin raise exception 'broken'; end $$;
create trigger breaks before insert on public.session_assignments for each row execute function pg_temp.break();
select is(
  tests.outcome('second customer', $$ select public.create_session('chat10') $$), 'P0001 broken',
  'LIFE-01: one part fails'
);
drop trigger breaks on public.session_assignments;
select is(
  (select count(*)::integer from public.sessions where customer_user_id = tests.id('second customer')), 0,
  'LIFE-01: and nothing is left of the others'
);

-- What was free is told: active first, then used; what did not start is free again.
select is(
  tests.outcome('customer', $$ select public.create_session('chat10') $$), 'PT409 active_session_exists',
  'LIFE-02: an active session is told first'
);
select tests.finish_session('customer', 'customer');
select tests.advance(1);
select is(
  tests.outcome('customer', $$ select public.create_session('chat10') $$), 'ok',
  'LIFE-02: one that never started uses nothing'
);
select tests.accept('mechanic', 'customer');
select tests.join('customer', 'customer');
select tests.join('mechanic', 'customer');
select tests.advance(5);
select is((tests.finish_session('customer', 'customer')).reason, 'too_short', 'LIFE-02: one that started');
select tests.advance(1);
select is(
  tests.outcome('customer', $$ select public.create_session('chat10') $$), 'PT402 free_session_used',
  'LIFE-02: uses the free one, however short it was'
);
select public.set_setting('free_sessions_per_customer', '2');
select is(
  tests.outcome('customer', $$ select public.create_session('chat10') $$), 'ok', 'LIFE-02: there may be more of them'
);
select tests.finish_session('customer', 'customer');
select tests.advance(1);
select public.set_setting('free_sessions_per_customer', '0');
select tests.person('third customer');
select is(
  tests.outcome('third customer', $$ select public.create_session('chat10') $$), 'PT402 free_session_used',
  'LIFE-02: or none'
);
select public.set_setting('free_sessions_per_customer', '1');

select public.set_plan('chat10', p_is_free_eligible => false);
select is(
  tests.outcome('third customer', $$ select public.create_session('chat10') $$), 'PT402 payment_required',
  'LIFE-02: a plan that is not for free'
);
select is(
  tests.outcome('third customer', $$ select public.create_session('video15', p_funding => 'paid') $$),
  'PT402 payment_required', 'LIFE-02: a client cannot make a paid session'
);
select is(
  tests.outcome('mechanic', $$ select public.create_session('video15') $$), 'ok',
  'MOD-09: a mechanic may be a customer'
);

select * from finish();

rollback;
