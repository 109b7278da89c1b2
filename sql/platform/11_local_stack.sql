-- What hosted Supabase does not have, each with its reason. Nothing else here is wider than hosted.
--
-- 1. postgres joins the owners of storage and realtime tables. Hosted lets it write policies on them by a
--    preloaded library that plain PostgreSQL lacks. This is wider than hosted (it allows ALTER TABLE too),
--    so a static test forbids migrations anything but policies and triggers there.
-- 2. stack_rest, the login of the local REST server. It inherits the API roles, because that server reads
--    its schema cache with its own rights, and reads every table for the same reason, so that a table without
--    a grant answers "permission denied" and not "not found". It owns nothing and bypasses no policy.
-- 3. stack_realtime, the login of the local Realtime stand-in: reads and writes messages, nothing else.
-- 4. The local Storage server deletes rows as their owner without setting storage.allow_delete_query.

grant supabase_storage_admin to postgres;
grant supabase_realtime_admin to postgres;

do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'stack_rest') then
    create role stack_rest login;
  end if;
  if not exists (select from pg_catalog.pg_roles where rolname = 'stack_realtime') then
    create role stack_realtime login noinherit bypassrls;
  end if;
end
$$;

grant anon to stack_rest;
grant authenticated to stack_rest;
grant service_role to stack_rest;
grant pg_read_all_data to stack_rest;
alter role stack_rest set statement_timeout = '8s';
alter role stack_rest set lock_timeout = '8s';

grant anon to stack_realtime;
grant authenticated to stack_realtime;
grant service_role to stack_realtime;
grant usage on schema realtime to stack_realtime;
grant select, insert on table realtime.messages to stack_realtime;

do $$
begin
  alter role supabase_storage_admin set storage.allow_delete_query = 'true';
end
$$;
