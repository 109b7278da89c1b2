-- The roles of a Supabase server, with their real attributes, memberships and settings.
--
-- Run as supabase_admin, the bootstrap user. Roles belong to the whole server, so the file may run
-- once for every database: it creates what is missing and sets the rest again.
-- `postgres`, which applies migrations and owns what they create, is not a superuser; it bypasses row
-- level security, as hosted.

do $$
declare
  v_role record;
begin
  for v_role in
    select *
    from (
      values
        ('postgres', 'login createdb createrole replication bypassrls'),
        ('anon', 'nologin'),
        ('authenticated', 'nologin'),
        ('service_role', 'nologin bypassrls'),
        ('authenticator', 'login noinherit'),
        ('supabase_auth_admin', 'login noinherit'),
        ('supabase_storage_admin', 'login noinherit createrole'),
        ('supabase_realtime_admin', 'login noinherit createrole replication'),
        ('supabase_replication_admin', 'login replication'),
        ('supabase_read_only_user', 'login bypassrls'),
        ('supabase_etl_admin', 'login replication'),
        ('dashboard_user', 'nologin createdb createrole replication'),
        ('pgbouncer', 'login')
    ) as r (name, attributes)
  loop
    if not exists (select from pg_catalog.pg_roles where rolname = v_role.name) then
      execute format('create role %I %s', v_role.name, v_role.attributes);
    end if;
  end loop;
end
$$;

grant anon to authenticator;
grant authenticated to authenticator;
grant service_role to authenticator;
grant anon to postgres;
grant authenticated to postgres;
grant service_role to postgres;
grant pg_monitor to postgres;
grant pg_read_all_data to postgres;
grant pg_signal_backend to postgres;
grant anon to supabase_realtime_admin;
grant authenticated to supabase_realtime_admin;
grant service_role to supabase_realtime_admin;
grant authenticator to supabase_storage_admin;
grant pg_read_all_data to supabase_read_only_user;

-- PostgreSQL 16 asks for SET on a role to hand it objects; hosted projects have it for the API roles.
do $$
begin
  if current_setting('server_version_num')::integer >= 160000 then
    execute 'grant anon, authenticated, service_role to postgres with admin option';
  end if;
end
$$;

alter role supabase_admin set search_path = "$user", public, auth, extensions;
alter role supabase_admin set log_statement = 'none';
alter role postgres set search_path = "$user", public, extensions;
alter role supabase_auth_admin set search_path = auth;
alter role supabase_auth_admin set idle_in_transaction_session_timeout = 60000;
alter role supabase_storage_admin set search_path = storage;
alter role supabase_realtime_admin set search_path = realtime;
alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
