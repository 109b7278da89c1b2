-- The catalog as shipped (MOD-03), who reads it (SEC-01) and who changes it (MOD-07).
begin;

select plan(18);

select results_eq(
  $$ select slug, type::text, duration_minutes, price_cents, currency::text, is_free_eligible, is_active
     from public.plans order by slug $$,
  $$ values
    ('chat10', 'chat', 30, 1000, 'usd', true, true),
    ('diagnostic', 'diagnostic', 60, 2500, 'usd', true, true),
    ('video15', 'video', 45, 1500, 'usd', true, true) $$,
  'MOD-03: the plans shipped'
);
select results_eq(
  $$ select minutes, price_cents, currency::text, is_active from public.extension_options order by minutes $$,
  $$ values (15, 500, 'usd', true), (30, 900, 'usd', true), (60, 1600, 'usd', true) $$,
  'MOD-03: the extensions shipped'
);

select tests.stop_clock();
select tests.person('customer');
select tests.admin('admin');

select is(
  tests.outcome('customer', $$ select public.set_plan('chat10', p_price_cents => 1) $$), 'PT403 role_required',
  'MOD-07: a customer sets no price'
);
select alike(
  tests.outcome('anon', $$ select public.set_plan('chat10', p_price_cents => 1) $$), '42501 %',
  'MOD-07: nor does a visitor'
);
select is(
  tests.outcome('customer', $$ select public.set_extension_option(15, 1) $$), 'PT403 role_required',
  'MOD-07: nor that of an extension'
);
select alike(
  tests.outcome('customer', 'update public.plans set price_cents = 1 where slug = ''chat10'''), '42501 %',
  'SEC-01: nor by writing the table'
);

select is(
  tests.outcome('admin', $$ select public.set_plan('chat10', p_is_active => false) $$), 'ok',
  'MOD-07: an admin takes a plan out'
);
select is(
  tests.outcome(
    'admin',
    $$ select public.set_plan('night', 'video', 'At night', 20, 3000, 'eur', false, true) $$
  ),
  'ok', 'MOD-07: and brings a new one in'
);
select is(
  tests.outcome('admin', $$ select public.set_plan('odd', 'video', 'Odd', 0, 3000, 'eur', false, true) $$),
  'PT422 invalid_argument', 'MOD-07: of no minutes, no'
);
select is(
  tests.outcome('admin', $$ select public.set_plan('odd', 'video', 'Odd', 10, -1, 'eur', false, true) $$),
  'PT422 invalid_argument', 'MOD-07: of a negative price, no'
);
select is(
  tests.outcome('admin', $$ select public.set_plan('odd', 'dance', 'Odd', 10, 1, 'eur', false, true) $$),
  'PT422 invalid_argument', 'MOD-07: of an unknown type, no'
);
select is(
  tests.outcome('admin', $$ select public.set_extension_option(45, 1200, 'usd', true) $$), 'ok',
  'MOD-07: an extension'
);
select is(
  tests.outcome('admin', $$ select public.set_extension_option(0, 1200, 'usd', true) $$),
  'PT422 invalid_argument', 'MOD-07: of no minutes, no'
);
select isnt(
  (select count(*) from private.ops_log where actor_id = tests.id('admin') and detail::text like '%night%'),
  0::bigint, 'MOD-07: who changed it is on record'
);

set local role anon;
select set_eq(
  'select slug from public.plans', array['diagnostic', 'night', 'video15'], 'SEC-01: a visitor reads active plans'
);
reset role;
select tests.act_as('customer');
select set_eq(
  'select slug from public.plans', array['diagnostic', 'night', 'video15'], 'SEC-01: a customer too'
);
select tests.be_system();
select tests.act_as('admin');
select set_eq(
  'select slug from public.plans', array['chat10', 'diagnostic', 'night', 'video15'], 'MOD-07: an admin reads all'
);
select tests.be_system();
select is(
  tests.outcome('customer', $$ select public.create_session('chat10') $$), 'PT404 plan_not_found',
  'LIFE-01: a plan taken out is not sold'
);

select * from finish();

rollback;
