-- LIFE-06: my_sessions() lists what the caller took part in, newest first; session_people() who was there.
begin;

select plan(22);

select tests.stop_clock();
select tests.person('customer');
select tests.person('stranger');
select tests.mechanic('mechanic');
select tests.act_as('customer');
select public.update_profile('The customer');
select tests.act_as('mechanic');
select public.update_profile('The mechanic');
select tests.be_system();

select tests.queue('customer');
select set_config('tests.first', tests.session_of('customer')::text, true);
select tests.finish_session('customer', 'customer');
select tests.advance(60);
select tests.queue('customer', 'video15');
select tests.accept('mechanic', 'customer');

create function pg_temp.listed(p_who text, p_arguments text default '') returns setof uuid
language plpgsql
as $$
begin
  perform tests.act_as(p_who);
  return query execute format('select id from public.my_sessions(%s)', p_arguments);
  perform tests.be_system();
end
$$;

select results_eq(
  $$ select pg_temp.listed('customer') $$,
  $$ values (tests.session_of('customer')), (current_setting('tests.first')::uuid) $$, 'LIFE-06: newest first'
);
select results_eq(
  $$ select pg_temp.listed('mechanic') $$, $$ values (tests.session_of('customer')) $$, 'LIFE-06: as a mechanic'
);
select is_empty($$ select pg_temp.listed('stranger') $$, 'LIFE-06: nothing of others');
select results_eq(
  $$ select pg_temp.listed('customer', 'p_limit => 1') $$, $$ values (tests.session_of('customer')) $$,
  'LIFE-06: as many as asked for'
);
select results_eq(
  $$ select pg_temp.listed('customer', format('p_before => %L', tests.now())) $$,
  $$ values (current_setting('tests.first')::uuid) $$, 'LIFE-06: older ones'
);
select results_eq(
  $$ select pg_temp.listed('customer', 'p_status => array[''cancelled'']') $$,
  $$ values (current_setting('tests.first')::uuid) $$, 'LIFE-06: by status'
);
select is_empty($$ select pg_temp.listed('customer', 'p_role => ''mechanic''') $$, 'LIFE-06: by role');
select results_eq(
  $$ select pg_temp.listed('mechanic', 'p_role => ''mechanic''') $$, $$ values (tests.session_of('customer')) $$,
  'LIFE-06: by the other role'
);
select is(
  tests.outcome('customer', 'select public.my_sessions(p_role => ''king'')'), 'PT422 invalid_argument',
  'LIFE-06: an unknown role'
);
select is(
  tests.outcome('customer', 'select public.my_sessions(p_status => array[''sleeping''])'), 'PT422 invalid_argument',
  'LIFE-06: an unknown status'
);
select is(
  tests.outcome('customer', 'select public.my_sessions(p_limit => -1)'), 'PT422 invalid_argument',
  'LIFE-06: a negative limit'
);
select ok(
  tests.outcome('customer', 'select public.my_sessions(p_limit => 1000)') = 'ok', 'LIFE-06: a thousand are possible'
);

select tests.act_as('customer');
create temporary table listed on commit drop as
select * from public.my_sessions() limit 1;
select tests.be_system();
select results_eq(
  'select my_role, other_display_name, summary, refunded_cents::integer from listed',
  $$ values ('customer', 'The mechanic', null::jsonb, 0) $$, 'LIFE-06: what comes with each'
);
select is(
  (
    select count(*)::integer from pg_attribute as s
    where s.attrelid = 'public.sessions'::regclass and s.attnum > 0 and not s.attisdropped
      and not exists (
        select from pg_attribute as l
        where l.attrelid = 'listed'::regclass and l.attname = s.attname and not l.attisdropped
      )
  ),
  0, 'LIFE-06: and every column of sessions'
);
select tests.act_as('mechanic');
select results_eq(
  'select my_role, other_display_name from public.my_sessions()', $$ values ('mechanic', 'The customer') $$,
  'LIFE-06: seen from the other side'
);
select tests.be_system();

-- people
select tests.act_as('customer');
select set_eq(
  'select user_id, role, display_name, specialties from public.session_people(tests.session_of(''customer''))',
  $$ values
    (tests.id('customer'), 'customer', 'The customer', null::text[]),
    (tests.id('mechanic'), 'mechanic', 'The mechanic', array['brakes']) $$,
  'LIFE-06: the people in a session'
);
select tests.act_as('mechanic');
select is(
  (select count(*)::integer from public.session_people(tests.session_of('customer'))), 2,
  'LIFE-06: the mechanic sees them too'
);
select tests.be_system();
select is(
  tests.outcome('stranger', 'select public.session_people(tests.session_of(''customer''))'),
  'PT404 session_not_found', 'LIFE-06: a stranger does not'
);
select is(
  tests.outcome('customer', 'select public.session_people(tests.id(''nothing''))'), 'PT404 session_not_found',
  'LIFE-06: nor is there anybody in no session'
);

-- The tables behind say the same.
select tests.act_as('stranger');
select is(
  (select count(*)::integer from public.sessions) + (select count(*)::integer from public.session_participants)
  + (select count(*)::integer from public.session_assignments), 0, 'MOD-01: a stranger reads nothing'
);
select is((select count(*)::integer from public.profiles), 1, 'MOD-03: of people, only himself');
select tests.act_as('mechanic');
select is((select count(*)::integer from public.sessions), 1, 'MOD-01: the mechanic reads what he serves');
select tests.be_system();

select * from finish();

rollback;
