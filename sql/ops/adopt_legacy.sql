-- Puts the older system's things aside, in a schema `legacy`, so that the migrations can be applied to its database.
-- Run it as the owner of the database (postgres), from the root of the checkout, before the migrations; in one
-- transaction, and again without effect.
--
--   psql "$DATABASE_URL" -X -q -f sql/ops/adopt_legacy.sql
--
-- Then come the migrations and import_legacy_sessions: see docs/migration.md.
--
-- What goes aside is whatever in public has the name of something the migrations make there: tables, views, types and
-- functions. The rows keep their place; clients lose every right, policy and broadcast on them, and no foreign key
-- leads from them to auth any more, so that deleting an account stays possible and leaves history alone.
--
-- import_legacy_sessions reads these tables. Any of them, and any column but the first named, may be missing; other
-- columns are left alone. Times without a zone are UTC, money is minor units.
--
--   sessions              id uuid, plan, type, status text (no constraint), created_at, started_at, ended_at,
--                         scheduled_for or scheduled_start, duration_minutes int (extensions included, also those
--                         applied twice), stripe_session_id, price_cents or amount, currency, intake_id,
--                         customer_user_id, mechanic_id, parent_session_id uuid, is_follow_up boolean, metadata jsonb
--                         (cancelled_by: customer, mechanic, admin or an id; no_show_by), updated_at
--   session_participants  session_id, id, user_id uuid, role text, metadata jsonb (joined_at, left_at), created_at
--   session_requests      id, session_id, customer_id, mechanic_id uuid, session_type, plan_code, status text,
--                         created_at, accepted_at, updated_at, metadata jsonb
--   diagnostic_sessions   id, customer_user_id, mechanic_id uuid, status text, started_at, ended_at,
--                         duration_minutes int, metadata jsonb, created_at, updated_at
--   session_files         id, session_id, uploaded_by uuid, file_name text, file_size int, file_type, storage_path,
--                         file_url, description text, metadata jsonb, created_at
--   session_extensions    id, session_id uuid, minutes or duration_minutes, price_cents or amount int, currency,
--                         status, payment_intent_id text, created_at

\set ON_ERROR_STOP on
\set QUIET on
\set names `grep -ohE '^create (table|type|view|function) public\.[a-z0-9_]+' supabase/migrations/*.sql | cut -d. -f2`

begin;

set local lock_timeout = '10s';
select set_config('taximeter.names', :'names', true) as names \gset

do $$
declare
  v_names text[] := string_to_array(current_setting('taximeter.names'), e'\n');
  v_thing record;
  v_part record;
begin
  if not 'sessions' = any (v_names) then
    raise exception 'The migrations are not here: run this from the root of the checkout.';
  end if;
  if to_regclass('private.session_transitions') is not null then
    raise exception 'The tables in public are the new ones already: there is nothing to put aside.';
  end if;
  if to_regnamespace('private') is not null then
    raise exception 'There is a schema private already, and the migrations make one: rename it first.';
  end if;

  create schema if not exists legacy;
  revoke all on schema legacy from public, anon, authenticated, service_role;

  for v_thing in
    select
      c.oid, c.relname as name,
      case c.relkind when 'v' then 'view' when 'm' then 'materialized view' else 'table' end as kind
    from pg_class as c
    where c.relnamespace = 'public'::regnamespace and c.relname = any (v_names) and c.relkind in ('r', 'p', 'v', 'm')
    order by c.relname
  loop
    if to_regclass(format('legacy.%I', v_thing.name)) is not null then
      raise exception 'There is a legacy.% already, and one in public: look which is the right one.', v_thing.name;
    end if;
    execute format('alter %s public.%I set schema legacy', v_thing.kind, v_thing.name);
    execute format('revoke all on legacy.%I from public, anon, authenticated, service_role', v_thing.name);
    for v_part in select p.polname as name from pg_policy as p where p.polrelid = v_thing.oid loop
      execute format('drop policy %I on legacy.%I', v_part.name, v_thing.name);
    end loop;
    if v_thing.kind = 'table' then
      execute format('alter table legacy.%I enable row level security', v_thing.name);
    end if;
    for v_part in
      select p.pubname as name
      from pg_publication_rel as r
      join pg_publication as p on p.oid = r.prpubid
      where r.prrelid = v_thing.oid
    loop
      execute format('alter publication %I drop table legacy.%I', v_part.name, v_thing.name);
    end loop;
    for v_part in
      select f.conname as name
      from pg_constraint as f
      join pg_class as t on t.oid = f.confrelid
      where f.conrelid = v_thing.oid and f.contype = 'f' and t.relnamespace = 'auth'::regnamespace
    loop
      execute format('alter table legacy.%I drop constraint %I', v_thing.name, v_part.name);
    end loop;
    raise notice 'The % % is now legacy.%.', v_thing.kind, v_thing.name, v_thing.name;
  end loop;

  for v_thing in
    select t.typname as name
    from pg_type as t
    left join pg_class as c on c.oid = t.typrelid
    where t.typnamespace = 'public'::regnamespace
      and t.typname = any (v_names)
      and (t.typtype in ('e', 'd') or c.relkind = 'c')
  loop
    execute format('alter type public.%I set schema legacy', v_thing.name);
    raise notice 'The type % is now legacy.%.', v_thing.name, v_thing.name;
  end loop;

  for v_thing in
    select p.oid, p.proname as name, p.oid::regprocedure::text as signature
    from pg_proc as p
    where p.pronamespace = 'public'::regnamespace
      and p.proname = any (v_names)
      and not exists (
        select from pg_depend as d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
      )
  loop
    execute format('alter routine %s set schema legacy', v_thing.signature);
    execute format(
      'revoke all on routine %s from public, anon, authenticated, service_role', v_thing.oid::regprocedure
    );
    raise notice 'The function % is now in legacy.', v_thing.signature;
  end loop;

  for v_part in
    select format('The foreign key %s of %s leads to %s: nothing new satisfies it.',
      f.conname, f.conrelid::regclass, f.confrelid::regclass) as warning
    from pg_constraint as f
    join pg_class as t on t.oid = f.confrelid
    join pg_class as c on c.oid = f.conrelid
    where f.contype = 'f'
      and t.relnamespace = 'legacy'::regnamespace
      and c.relnamespace <> 'legacy'::regnamespace
    union
    select format('The view %s reads %s: look who may read the view, or drop it.', v.oid::regclass, t.oid::regclass)
    from pg_depend as d
    join pg_rewrite as r on r.oid = d.objid
    join pg_class as v on v.oid = r.ev_class
    join pg_class as t on t.oid = d.refobjid
    where d.classid = 'pg_rewrite'::regclass
      and d.refclassid = 'pg_class'::regclass
      and t.relnamespace = 'legacy'::regnamespace
      and v.relnamespace <> 'legacy'::regnamespace
    union
    select format('The trigger %s on auth.users calls %s: if that writes what is in legacy now, signing up fails.',
      g.tgname, g.tgfoid::regprocedure)
    from pg_trigger as g
    where g.tgrelid = 'auth.users'::regclass and not g.tgisinternal
  loop
    raise warning '%', v_part.warning;
  end loop;
end
$$;

commit;
