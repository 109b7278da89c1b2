-- MOD-07: settings are read and changed by admins and the system, and every change is on record.
begin;

select plan(21);

select tests.stop_clock();
select tests.person('customer');
select tests.mechanic('mechanic');
select tests.admin('admin');

create function pg_temp.set_to(p_who text, p_key text, p_value text) returns text
language sql
as $$
  select tests.outcome(
    p_who, format('select public.set_setting(p_key => %L, p_value => %L::jsonb)', p_key, p_value)
  )
$$;

select is(
  pg_temp.set_to('customer', 'min_billable_seconds', '5'), 'PT403 role_required', 'MOD-07: not a customer'
);
select is(
  pg_temp.set_to('mechanic', 'min_billable_seconds', '5'), 'PT403 role_required', 'MOD-07: not a mechanic'
);
select alike(pg_temp.set_to('anon', 'min_billable_seconds', '5'), '42501 %', 'MOD-07: not a visitor');
select is(
  pg_temp.set_to('authenticated', 'min_billable_seconds', '5'), 'PT401 not_authenticated',
  'MOD-07: not a token without a user'
);
select is(
  tests.outcome('customer', 'select public.list_settings()'), 'PT403 role_required',
  'MOD-07: a customer does not read them either'
);
select is(
  (select value from private.settings where key = 'min_billable_seconds'), '60'::jsonb,
  'MOD-07: nothing was changed by those who may not'
);

select is(pg_temp.set_to('admin', 'min_billable_seconds', '5'), 'ok', 'MOD-07: an admin may');
select is(private.setting_integer('min_billable_seconds'), 5, 'MOD-07: and the rules see it');
select is(pg_temp.set_to('service_role', 'min_billable_seconds', '7'), 'ok', 'MOD-07: the system may');
select is(pg_temp.set_to('system', 'min_billable_seconds', '60'), 'ok', 'MOD-07: the operator may');

select is(pg_temp.set_to('admin', 'no_such', '5'), 'PT422 invalid_argument', 'MOD-07: an unknown key');
select is(
  pg_temp.set_to('admin', 'min_billable_seconds', '"5"'), 'PT422 invalid_argument', 'MOD-07: a wrong type'
);
select is(
  pg_temp.set_to('admin', 'min_billable_seconds', '-5'), 'PT422 invalid_argument', 'MOD-07: out of range'
);
select is(
  pg_temp.set_to('admin', 'billable_basis', '"never"'), 'PT422 invalid_argument', 'MOD-07: not a choice'
);
select is(
  pg_temp.set_to('admin', 'warning_minutes', '5'), 'PT422 invalid_argument', 'MOD-07: a list is a list'
);
select is(pg_temp.set_to('admin', 'warning_minutes', '[10, 3]'), 'ok', 'MOD-07: a list of minutes');
select is(
  pg_temp.set_to('admin', 'min_billable_seconds', 'null'), 'PT422 invalid_argument', 'MOD-07: null is not zero'
);
select is(
  pg_temp.set_to('admin', 'unattended_after_minutes', 'null'), 'ok', 'MOD-07: null where null means off'
);

select tests.act_as('admin');
create temporary table listed on commit drop as select * from public.list_settings();
select tests.be_system();
select is((select count(*)::integer from listed), 36, 'MOD-07: every setting of the specification is listed');

select is(
  (
    select actor_id from private.ops_log
    where detail::text like '%min_billable_seconds%' and actor_id is not null order by id limit 1
  ),
  tests.id('admin'), 'MOD-07: the log says who'
);
select ok(
  (
    select created_at = tests.now() and detail::text like '%60%' and detail::text like '%5%'
    from private.ops_log
    where detail::text like '%min_billable_seconds%' and actor_id = tests.id('admin') order by id limit 1
  ),
  'MOD-07: and when, before and after'
);

select * from finish();

rollback;
