-- MOD-09: people, mechanics and the admins who decide about them.
begin;

select plan(27);

select tests.stop_clock();
select tests.person('customer');
select tests.mechanic('pending', false);
select tests.mechanic('approved');
select tests.admin('admin');

-- names
select is(
  tests.outcome('customer', $$ select public.update_profile(p_display_name => '') $$), 'PT422 invalid_argument',
  'MOD-09: a name is not empty'
);
select is(
  tests.outcome('customer', $$ select public.update_profile(p_display_name => repeat('x', 121)) $$),
  'PT422 invalid_argument', 'SEC-04, MOD-09: a name is bounded'
);
select is(
  tests.outcome('customer', $$ select public.update_profile(p_display_name => 'Somebody') $$), 'ok', 'MOD-09: a name'
);
select is(
  (select display_name from public.profiles where id = tests.id('customer')), 'Somebody', 'MOD-09: is kept'
);

-- applying
select results_eq(
  $$ select status::text, specialties from public.mechanics where id = tests.id('pending') $$,
  $$ values ('pending', array['brakes']) $$, 'MOD-09: who applies is pending'
);
select is(
  tests.outcome('pending', 'select public.mechanic_queue()'), 'PT403 role_required',
  'MOD-09: pending mechanics see no queue'
);
select is(
  tests.outcome('approved', $$ select public.apply_as_mechanic(array['engines']) $$), 'ok',
  'MOD-09: applying again is no error'
);
select is(
  (select status::text from public.mechanics where id = tests.id('approved')), 'approved', 'MOD-09: and changes nothing'
);
select is(
  tests.outcome('customer', $$ select public.apply_as_mechanic(array['x'], 'NOSUCHCODE') $$),
  'PT422 invalid_argument', 'MOD-09: an unknown referral code'
);
select is(
  tests.outcome(
    'customer',
    format('select public.apply_as_mechanic(array[''x''], %L)', (
      select referral_code from public.mechanics where id = tests.id('approved')
    ))
  ),
  'ok', 'MOD-09: a mechanic may be a customer, and referred by another'
);
select is(
  (select referred_by from public.mechanics where id = tests.id('customer')), tests.id('approved'),
  'MOD-09: who referred whom is kept'
);
select throws_ok(
  $$ update public.mechanics set referred_by = id where id = tests.id('approved') $$, '23514', null,
  'MOD-03: never by himself'
);
select is(
  tests.outcome('approved', $$ select public.update_mechanic(array['engines', 'electrics']) $$), 'ok',
  'MOD-09: specialties change'
);
select is(
  (select specialties from public.mechanics where id = tests.id('approved')), array['engines', 'electrics'],
  'MOD-09: and are kept'
);
select tests.person('nobody');
select is(
  tests.outcome('nobody', $$ select public.update_mechanic(array['engines']) $$), 'PT403 role_required',
  'MOD-09: only of mechanics'
);
select is(
  tests.outcome('approved', $$ select public.update_mechanic(array_fill('x'::text, array[1000])) $$),
  'PT422 invalid_argument', 'SEC-04, MOD-09: and are bounded'
);

-- deciding
create function pg_temp.decide(p_who text, p_status text) returns text
language sql
as $$
  select tests.outcome(
    p_who, format('select public.set_mechanic_status(tests.id(''pending''), %L, ''a note'')', p_status)
  )
$$;

select is(pg_temp.decide('pending', 'approved'), 'PT403 role_required', 'MOD-09: nobody approves himself');
select is(pg_temp.decide('approved', 'approved'), 'PT403 role_required', 'MOD-09: nor do mechanics each other');
select is(pg_temp.decide('admin', 'promoted'), 'PT422 invalid_argument', 'MOD-09: an unknown status');
select is(pg_temp.decide('admin', 'approved'), 'ok', 'MOD-09: an admin approves');
select is(tests.outcome('pending', 'select public.mechanic_queue()'), 'ok', 'MOD-09: and the queue opens');
select is(pg_temp.decide('admin', 'suspended'), 'ok', 'MOD-09: an admin suspends');
select is(
  tests.outcome('pending', 'select public.mechanic_queue()'), 'PT403 role_required', 'MOD-09: and it closes'
);
select is(
  tests.outcome('customer', $$ select public.set_user_role(tests.id('customer'), 'admin') $$),
  'PT403 role_required', 'MOD-09: nobody makes himself an admin'
);
select is(
  tests.outcome('admin', $$ select public.set_user_role(tests.id('customer'), 'king') $$),
  'PT422 invalid_argument', 'MOD-09: an unknown role'
);
select is(
  tests.outcome('admin', $$ select public.set_user_role(tests.id('customer'), 'admin') $$), 'ok',
  'MOD-09: an admin makes an admin'
);
select is(
  tests.outcome('customer', 'select public.list_settings()'), 'ok', 'MOD-09: who is one at once'
);

select * from finish();

rollback;
