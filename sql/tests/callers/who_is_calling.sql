-- MOD-08: the role decides who calls, the token who the user is, and the absence of claims gives no right.
begin;

select plan(20);

select tests.stop_clock();
select tests.waiting('customer', 'mechanic');

-- private.caller() is read through a function of its owner, as the engine reads it.
create function pg_temp.caller_seen() returns text
language sql security definer
as $$ select private.caller() $$;

select is(pg_temp.caller_seen(), 'postgres', 'MOD-08: no role set: the login');
set local role service_role;
select is(pg_temp.caller_seen(), 'service_role', 'MOD-08: the role that is set, through a definer function');
set local role authenticated;
select is(pg_temp.caller_seen(), 'authenticated', 'MOD-08: a client');
set local role anon;
select is(pg_temp.caller_seen(), 'anon', 'MOD-08: a visitor');
reset role;

create function pg_temp.create_with(p_role text, p_claims text) returns text
language plpgsql
as $$
declare
  v_outcome text := 'ok';
begin
  perform set_config('request.jwt.claims', p_claims, true);
  perform set_config('role', p_role, true);
  begin
    perform public.create_session(p_plan => 'chat10');
  exception when others then
    v_outcome := sqlstate || ' ' || sqlerrm;
  end;
  perform tests.be_system();
  return v_outcome;
end
$$;

select is(pg_temp.create_with('authenticated', ''), 'PT401 not_authenticated', 'MOD-08: no claims');
select is(pg_temp.create_with('authenticated', '{}'), 'PT401 not_authenticated', 'MOD-08: empty claims');
select is(
  pg_temp.create_with('authenticated', '{"role": "authenticated"}'), 'PT401 not_authenticated',
  'MOD-08: a token without a user'
);
select is(
  pg_temp.create_with('authenticated', '{"sub": ""}'), 'PT401 not_authenticated', 'MOD-08: an empty user'
);
select is(
  pg_temp.create_with('authenticated', '{"sub": "nobody"}'), 'PT401 not_authenticated',
  'MOD-08: a user that is no uuid'
);
select is(
  pg_temp.create_with('authenticated', json_build_object('sub', tests.id('unknown'))::text),
  'PT401 not_authenticated', 'MOD-08: a user that does not exist'
);
select alike(
  pg_temp.create_with('anon', json_build_object('sub', tests.id('customer'))::text), '42501 %',
  'MOD-08: a visitor with somebody''s id in his claims'
);
select alike(
  pg_temp.create_with('service_role', json_build_object('sub', tests.id('customer'))::text), '%',
  'MOD-08: a call with the secret key answers'
);
select is(
  (select count(*)::integer from public.sessions), 1, 'MOD-08: and none of these has made a session'
);

-- Claims are written by whoever made the token: they name a user, never a role.
select is(
  tests.outcome(
    'authenticated',
    $$ select set_config('request.jwt.claims', json_build_object(
         'sub', tests.id('customer'), 'role', 'service_role', 'app_metadata', '{"role": "admin"}'::json
       )::text, true), public.list_settings() $$
  ),
  'PT403 role_required', 'SEC-04, MOD-08: a role in the claims is nothing'
);

-- The system has no claims, and needs none.
select is(
  tests.outcome('service_role', 'select public.list_settings()'), 'ok', 'MOD-08: service_role is the system'
);
select is(tests.outcome('system', 'select public.list_settings()'), 'ok', 'MOD-08: so is postgres');
select is(
  tests.outcome('authenticated', 'select public.list_settings()'), 'PT401 not_authenticated',
  'MOD-08: a client without claims is not'
);
select is(
  tests.outcome('service_role', $$ select public.join_session(tests.session_of('customer')) $$) in ('ok'), false,
  'MOD-08: the system is no participant'
);

-- A role that is neither client nor system gets nothing, even where somebody granted it execution.
set local role anon;
select throws_like(
  $$ select public.end_session_with_semantics(tests.session_of('customer')) $$, 'permission denied%',
  'MOD-08: everything else is refused'
);
reset role;
grant usage on schema private to anon;
grant execute on all functions in schema private to anon;
grant execute on all functions in schema public to anon;
select isnt(
  tests.outcome('anon', $$ select public.end_session_with_semantics(tests.session_of('customer')) $$), 'ok',
  'MOD-08: also when a grant was given by mistake'
);

select * from finish();

rollback;
