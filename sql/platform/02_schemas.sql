-- The schemas every Supabase database has, and who may use them.
--
-- public belongs to pg_database_owner, which is postgres, because postgres owns the database. Nobody
-- else may create anything in the platform's schemas: postgres has no CREATE on auth, storage or
-- realtime since April 2025.

create schema extensions authorization supabase_admin;
create schema auth authorization supabase_admin;
create schema storage authorization supabase_admin;
create schema realtime authorization supabase_admin;
create schema vault authorization supabase_admin;

grant usage on schema public to anon, authenticated, service_role;
grant create, usage on schema extensions to postgres;
grant usage on schema extensions to anon, authenticated, service_role, dashboard_user;

grant create, usage on schema auth to supabase_auth_admin;
grant usage on schema auth to postgres, anon, authenticated, service_role, dashboard_user;

grant create, usage on schema storage to supabase_storage_admin;
grant usage on schema storage to postgres with grant option;
grant usage on schema storage to anon, authenticated, service_role, dashboard_user;

grant create, usage on schema realtime to supabase_realtime_admin;
grant usage on schema realtime to postgres with grant option;
grant usage on schema realtime to anon, authenticated, service_role, dashboard_user;

create extension if not exists pgcrypto with schema extensions;
create extension if not exists "uuid-ossp" with schema extensions;

do $$
declare
  v_function regprocedure;
begin
  for v_function in
    select oid::regprocedure
    from pg_catalog.pg_proc
    where pronamespace = 'extensions'::regnamespace
  loop
    execute format('grant all on function %s to postgres with grant option', v_function);
    execute format('grant execute on function %s to dashboard_user', v_function);
  end loop;
end
$$;
