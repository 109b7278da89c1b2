-- MOD-03: profiles follow auth.users, and never stand in the way of Auth.
begin;

select plan(18);

select tests.stop_clock();
select tests.person('customer');

select results_eq(
  $$ select role::text, email::text, deleted_at from public.profiles where id = tests.id('customer') $$,
  $$ values ('customer', 'customer@example.test', null::timestamptz) $$,
  'MOD-03: signing up makes a customer''s profile'
);

update auth.users set email = 'new@example.test' where id = tests.id('customer');
select is(
  (select email::text from public.profiles where id = tests.id('customer')), 'new@example.test',
  'MOD-03: a new e-mail arrives'
);

select tests.act_as('customer');
select public.update_profile(p_display_name => 'A customer');
select tests.be_system();
update auth.users set raw_user_meta_data = '{"role": "admin", "display_name": "Other"}'
where id = tests.id('customer');
select results_eq(
  $$ select role::text, display_name from public.profiles where id = tests.id('customer') $$,
  $$ values ('customer', 'A customer') $$, 'SEC-04, MOD-03: what users write about themselves gives no role'
);

insert into auth.users (id, aud, role, raw_user_meta_data, raw_app_meta_data)
values (
  tests.id('claimant'), 'authenticated', 'authenticated', '{"role": "admin"}', '{"role": "admin"}'
);
select results_eq(
  $$ select role::text, email::text from public.profiles where id = tests.id('claimant') $$,
  $$ values ('customer', null::text) $$, 'SEC-04, MOD-03: nor at sign-up, and an e-mail is not needed'
);

-- No foreign key of ours reaches auth.users.
select is(
  (select count(*)::integer from pg_constraint where contype = 'f' and confrelid = 'auth.users'::regclass
    and conrelid::regclass::text !~ '^auth\.'),
  0, 'MOD-03: no foreign key to auth.users'
);

-- A hard deletion while live ends the session with semantics and keeps the history.
select tests.mechanic('mechanic');
select tests.queue('customer');
select tests.accept('mechanic', 'customer');
select tests.join('customer', 'customer');
select tests.join('mechanic', 'customer');
select tests.advance(75);
delete from auth.users where id = tests.id('customer');

select results_eq(
  $$ select display_name, email::text, deleted_at from public.profiles where id = tests.id('customer') $$,
  $$ values (null::text, null::text, tests.now()) $$, 'MOD-03: a deletion empties the name and the e-mail'
);
select is((tests.row_of('customer')).status::text, 'completed', 'MOD-03: the live session is ended');
select is((tests.row_of('customer')).billable_seconds, 75, 'MOD-03: with semantics');
select is((tests.row_of('customer')).customer_user_id, tests.id('customer'), 'MOD-03: the history keeps the uuid');
select is(
  tests.outcome('customer', $$ select public.create_session(p_plan => 'chat10') $$), 'PT401 not_authenticated',
  'MOD-03: a token that outlives the account does nothing'
);

-- A soft deletion does the same, here for a mechanic whose customer waits.
select tests.person('second customer');
select tests.queue('second customer');
select tests.accept('mechanic', 'second customer');
update auth.users set deleted_at = tests.now() where id = tests.id('mechanic');
select is(
  (select deleted_at from public.profiles where id = tests.id('mechanic')), tests.now(),
  'MOD-03: a soft deletion counts'
);
select is(
  (tests.row_of('second customer')).status::text, 'cancelled', 'MOD-03: and ends an active session too'
);
select is(
  tests.outcome('mechanic', 'select public.mechanic_queue()') = 'ok', false,
  'MOD-03: a deleted mechanic serves nobody'
);
select tests.person('third customer');
select tests.queue('third customer');
delete from auth.users where id = tests.id('third customer');
select is(
  (tests.row_of('third customer')).end_reason, 'cancelled_before_accept', 'MOD-03: a queued session leaves the queue'
);
select is(
  (select status::text from public.session_assignments where session_id = tests.session_of('third customer')),
  'cancelled', 'MOD-03: with its assignment'
);

-- Whatever breaks in the engine, Auth goes on.
alter table public.profiles add constraint nothing_new_here check (id = tests.id('customer')) not valid;
select lives_ok(
  $$ insert into auth.users (id, aud, role, email)
     values (tests.id('unlucky'), 'authenticated', 'authenticated', 'unlucky@example.test') $$,
  'MOD-03: a sign-up is never blocked'
);
alter table public.profiles drop constraint nothing_new_here;
select tests.person('fourth customer');
select tests.queue('fourth customer');
delete from private.settings where key in ('min_billable_seconds', 'billable_basis');
select lives_ok(
  $$ delete from auth.users where id = tests.id('fourth customer') $$, 'MOD-03: a deletion is never blocked'
);
select isnt(
  (select deleted_at from public.profiles where id = tests.id('fourth customer')), null,
  'MOD-03: and the person is gone even so'
);

select * from finish();

rollback;
