-- LIFE-06: get_active_session() finds the session to return to, as a customer or as a mechanic.
begin;

select plan(12);

select tests.stop_clock();
select tests.person('customer');
select tests.mechanic('mechanic');

create function pg_temp.active_of(p_who text) returns setof uuid
language plpgsql
as $$
begin
  perform tests.act_as(p_who);
  return query select id from public.get_active_session();
  perform tests.be_system();
end
$$;

select is_empty($$ select pg_temp.active_of('customer') $$, 'LIFE-06: none: no row, and no row of nulls');
select tests.queue('customer');
select results_eq(
  $$ select pg_temp.active_of('customer') $$, $$ select tests.session_of('customer') $$, 'LIFE-06: while pending'
);
select is_empty($$ select pg_temp.active_of('mechanic') $$, 'LIFE-06: which is nobody else''s yet');
select tests.accept('mechanic', 'customer');
select results_eq(
  $$ select pg_temp.active_of('mechanic') $$, $$ select tests.session_of('customer') $$, 'LIFE-06: once accepted'
);
select tests.join('customer', 'customer');
select tests.join('mechanic', 'customer');
select results_eq(
  $$ select pg_temp.active_of('customer') $$, $$ select tests.session_of('customer') $$, 'LIFE-06: while live'
);

-- The mechanic asks for help himself: the live one comes first, though the other is newer.
select tests.advance(5);
select tests.queue('mechanic', 'video15');
select results_eq(
  $$ select pg_temp.active_of('mechanic') $$, $$ select tests.session_of('customer') $$,
  'LIFE-06: live before the rest'
);
select tests.advance(5);
select tests.leave('customer', 'customer');
select results_eq(
  $$ select pg_temp.active_of('customer') $$, $$ select tests.session_of('customer') $$,
  'LIFE-06: a customer who dropped out finds his way back'
);
select results_eq(
  $$ select pg_temp.active_of('mechanic') $$, $$ select tests.session_of('customer') $$,
  'LIFE-06: reconnecting before the rest'
);
select tests.finish_session('customer', 'customer');
select results_eq(
  $$ select pg_temp.active_of('mechanic') $$, $$ select tests.session_of('mechanic') $$,
  'LIFE-06: after its end, his own'
);
select is_empty($$ select pg_temp.active_of('customer') $$, 'LIFE-06: and the customer has none');
select alike(tests.outcome('anon', 'select public.get_active_session()'), '42501 %', 'LIFE-06: nothing for visitors');
select is(
  tests.outcome('authenticated', 'select public.get_active_session()'), 'PT401 not_authenticated',
  'LIFE-06: nor for nobody'
);

select * from finish();

rollback;
