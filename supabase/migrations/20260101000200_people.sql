-- People: profiles kept in step with auth.users, mechanics, roles, and the admin's part of the settings.
--
-- Roles come from these tables, never from a claim. No table refers to auth.users by a foreign key: people go,
-- history, ledger and events keep the uuid. Signing up and being deleted are never blocked by anything here.

create table public.profiles (
  id uuid primary key,
  role text not null default 'customer',
  display_name text,
  email text,
  deleted_at timestamptz,
  created_at timestamptz not null default private.clock(),
  updated_at timestamptz not null default private.clock(),
  constraint role_is_known check (role in ('customer', 'mechanic', 'admin')),
  constraint display_name_is_bounded check (length(display_name) <= 120),
  constraint a_deleted_person_has_no_name_or_email
    check (deleted_at is null or (display_name is null and email is null))
);
comment on table public.profiles is 'A person, by the id of auth.users. Own row; admins read all.';
create index profiles_email_idx on public.profiles (lower(email)) where email is not null;
alter table public.profiles enable row level security;
revoke all on table public.profiles from public, anon, authenticated, service_role;
grant select on table public.profiles to authenticated, service_role;

create table public.mechanics (
  id uuid primary key references public.profiles (id),
  status text not null default 'pending',
  is_accepting boolean not null default true,
  specialties text[] not null default '{}',
  referral_code text not null unique default upper(substr(replace(gen_random_uuid()::text, '-', ''), 1, 10)),
  referred_by uuid references public.mechanics (id),
  created_at timestamptz not null default private.clock(),
  updated_at timestamptz not null default private.clock(),
  constraint status_is_known check (status in ('pending', 'approved', 'suspended')),
  constraint a_mechanic_is_never_referred_by_himself check (referred_by <> id)
);
comment on table public.mechanics is 'An expert who serves sessions once approved. Own row; admins read all.';
create index mechanics_referred_by_idx on public.mechanics (referred_by) where referred_by is not null;
alter table public.mechanics enable row level security;
revoke all on table public.mechanics from public, anon, authenticated, service_role;
grant select on table public.mechanics to authenticated, service_role;

create function private.is_admin()
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return exists (
    select from public.profiles p
    where p.id = private.claimed_user() and p.role = 'admin' and p.deleted_at is null
  );
end;
$$;
comment on function private.is_admin() is 'Whether the signed-in user is staff, by the database and not by a claim.';
revoke all on function private.is_admin from public, anon, authenticated, service_role;
grant execute on function private.is_admin to authenticated;

create policy "people read their own profile and admins read all" on public.profiles
for select to authenticated
using (id = (select auth.uid()) or (select private.is_admin()));

create policy "mechanics read their own row and admins read all" on public.mechanics
for select to authenticated
using (id = (select auth.uid()) or (select private.is_admin()));

create function private.require_admin()
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if private.is_system() or private.is_admin() then
    return;
  end if;
  perform private.require_user();
  perform private.fail('role_required', 'This call is for admins.');
end;
$$;
comment on function private.require_admin() is 'Admits admins and the system; everybody else gets role_required.';
revoke all on function private.require_admin from public, anon, authenticated, service_role;

create function private.require_system()
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if not private.is_system() then
    perform private.fail('role_required', 'This call is for the system.');
  end if;
end;
$$;
comment on function private.require_system() is 'Admits pg_cron, edge functions with the secret key, and operators.';
revoke all on function private.require_system from public, anon, authenticated, service_role;

create function private.batch_limit(p_limit integer)
returns integer
language plpgsql
stable
set search_path = ''
as $$
begin
  if p_limit is null or p_limit < 1 then
    perform private.fail('invalid_argument', 'p_limit must be at least 1.');
  end if;
  return p_limit;
end;
$$;
comment on function private.batch_limit(integer) is 'The size of a batch of work (at least 1), or invalid_argument.';
revoke all on function private.batch_limit from public, anon, authenticated, service_role;

create function private.require_profile()
returns public.profiles
language plpgsql
stable
set search_path = ''
as $$
declare
  v_profile public.profiles;
  v_user uuid := private.require_user();
begin
  select p.* into v_profile from public.profiles p where p.id = v_user and p.deleted_at is null;
  if v_profile.id is null then
    perform private.fail('not_authenticated', 'The user of this token does not exist any more.', 'Sign in again.');
  end if;
  return v_profile;
end;
$$;
comment on function private.require_profile() is 'The profile of the signed-in user, or not_authenticated.';
revoke all on function private.require_profile from public, anon, authenticated, service_role;

-- auth.users -> profiles ----------------------------------------------------------------------------------------

create function private.sync_profile()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_id uuid := case when tg_op = 'DELETE' then old.id else new.id end;
begin
  if tg_op = 'DELETE' or (tg_op = 'UPDATE' and new.deleted_at is not null) then
    update public.profiles p
    set display_name = null, email = null, deleted_at = coalesce(p.deleted_at, private.clock()),
        updated_at = private.clock()
    where p.id = v_id;
    return null;
  end if;
  insert into public.profiles as p (id, display_name, email)
  values (
    new.id,
    nullif(left(btrim(coalesce(
      new.raw_user_meta_data ->> 'display_name', new.raw_user_meta_data ->> 'full_name',
      new.raw_user_meta_data ->> 'name', ''
    )), 120), ''),
    new.email
  )
  on conflict (id) do update
  set email = excluded.email, deleted_at = null, updated_at = private.clock();
  return null;
exception
  when others then
    perform private.log_op(
      'profile.sync_failed', null, jsonb_build_object('user_id', v_id, 'operation', tg_op, 'error', sqlerrm)
    );
    return null;
end;
$$;
comment on function private.sync_profile() is
  'Keeps profiles in step with auth.users. A failure is logged and never blocks a sign-up or a deletion.';
revoke all on function private.sync_profile from public, anon, authenticated, service_role;

create or replace trigger taximeter_keeps_profiles
after insert or delete or update of email, deleted_at on auth.users
for each row execute function private.sync_profile();

insert into public.profiles (id, email)
select u.id, u.email
from auth.users u
where u.deleted_at is null
on conflict (id) do nothing;

-- What people do ------------------------------------------------------------------------------------------------

create function private.update_profile(p_display_name text)
returns public.profiles
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_profile public.profiles := private.require_profile();
begin
  if p_display_name is null or length(btrim(p_display_name)) not between 1 and 120 then
    perform private.fail('invalid_argument', 'p_display_name must have 1 to 120 characters.');
  end if;
  update public.profiles p
  set display_name = btrim(p_display_name), updated_at = private.clock()
  where p.id = v_profile.id
  returning p.* into v_profile;
  return v_profile;
end;
$$;
comment on function private.update_profile(text) is 'Behind public.update_profile.';
revoke all on function private.update_profile from public, anon, authenticated, service_role;
grant execute on function private.update_profile to authenticated;

create function public.update_profile(p_display_name text)
returns public.profiles
language sql
volatile
set search_path = ''
as $$
  select private.update_profile(p_display_name)
$$;
comment on function public.update_profile(text) is
  'Sets the name others in a session see (1 to 120 characters). Signed-in users. Errors: invalid_argument.';
revoke all on function public.update_profile from public, anon, authenticated, service_role;
grant execute on function public.update_profile to authenticated;

create function private.valid_specialties(p_specialties text[])
returns text[]
language plpgsql
stable
set search_path = ''
as $$
begin
  if cardinality(p_specialties) > 20
    or exists (
      select from unnest(p_specialties) as s (name) where s.name is null or length(btrim(s.name)) not between 1 and 60
    )
  then
    perform private.fail('invalid_argument', 'p_specialties has at most 20 entries of 1 to 60 characters.');
  end if;
  return coalesce(p_specialties, '{}');
end;
$$;
comment on function private.valid_specialties(text[]) is 'The list itself, bounded, or invalid_argument.';
revoke all on function private.valid_specialties from public, anon, authenticated, service_role;

create function private.apply_as_mechanic(p_specialties text[], p_referral_code text)
returns public.mechanics
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_profile public.profiles := private.require_profile();
  v_specialties text[] := private.valid_specialties(p_specialties);
  v_mechanic public.mechanics;
  v_referrer uuid;
begin
  if p_referral_code is not null then
    select m.id into v_referrer
    from public.mechanics m
    where m.referral_code = upper(btrim(p_referral_code)) and m.id <> v_profile.id;
    if v_referrer is null then
      perform private.fail('invalid_argument', 'p_referral_code is not the code of another mechanic.');
    end if;
  end if;
  insert into public.mechanics (id, specialties, referred_by)
  values (v_profile.id, v_specialties, v_referrer)
  on conflict (id) do nothing;
  select m.* into v_mechanic from public.mechanics m where m.id = v_profile.id;
  return v_mechanic;
end;
$$;
comment on function private.apply_as_mechanic(text[], text) is 'Behind public.apply_as_mechanic.';
revoke all on function private.apply_as_mechanic from public, anon, authenticated, service_role;
grant execute on function private.apply_as_mechanic to authenticated;

create function public.apply_as_mechanic(p_specialties text[], p_referral_code text default null)
returns public.mechanics
language sql
volatile
set search_path = ''
as $$
  select private.apply_as_mechanic(p_specialties, p_referral_code)
$$;
comment on function public.apply_as_mechanic(text[], text) is
  'Applies to serve sessions; an admin approves. Applying again returns the row as it is. Signed-in users. '
  'Errors: invalid_argument (specialties, or a code that is not another mechanic''s).';
revoke all on function public.apply_as_mechanic from public, anon, authenticated, service_role;
grant execute on function public.apply_as_mechanic to authenticated;

create function private.update_mechanic(p_specialties text[])
returns public.mechanics
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_profile public.profiles := private.require_profile();
  v_specialties text[] := private.valid_specialties(p_specialties);
  v_mechanic public.mechanics;
begin
  update public.mechanics m
  set specialties = v_specialties, updated_at = private.clock()
  where m.id = v_profile.id
  returning m.* into v_mechanic;
  if v_mechanic.id is null then
    perform private.fail('role_required', 'The caller is not a mechanic.', 'Call apply_as_mechanic first.');
  end if;
  return v_mechanic;
end;
$$;
comment on function private.update_mechanic(text[]) is 'Behind public.update_mechanic.';
revoke all on function private.update_mechanic from public, anon, authenticated, service_role;
grant execute on function private.update_mechanic to authenticated;

create function public.update_mechanic(p_specialties text[])
returns public.mechanics
language sql
volatile
set search_path = ''
as $$
  select private.update_mechanic(p_specialties)
$$;
comment on function public.update_mechanic(text[]) is
  'Replaces the caller''s specialties (at most 20, of 1 to 60 characters). Mechanics. '
  'Errors: invalid_argument, role_required.';
revoke all on function public.update_mechanic from public, anon, authenticated, service_role;
grant execute on function public.update_mechanic to authenticated;

create function private.set_availability(p_is_accepting boolean)
returns public.mechanics
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_profile public.profiles := private.require_profile();
  v_mechanic public.mechanics;
begin
  if p_is_accepting is null then
    perform private.fail('invalid_argument', 'p_is_accepting must be true or false.');
  end if;
  update public.mechanics m
  set is_accepting = p_is_accepting, updated_at = private.clock()
  where m.id = v_profile.id and m.status = 'approved'
  returning m.* into v_mechanic;
  if v_mechanic.id is null then
    perform private.fail('role_required', 'The caller is not an approved mechanic.');
  end if;
  return v_mechanic;
end;
$$;
comment on function private.set_availability(boolean) is 'Behind public.set_availability.';
revoke all on function private.set_availability from public, anon, authenticated, service_role;
grant execute on function private.set_availability to authenticated;

create function public.set_availability(p_is_accepting boolean)
returns public.mechanics
language sql
volatile
set search_path = ''
as $$
  select private.set_availability(p_is_accepting)
$$;
comment on function public.set_availability(boolean) is
  'Says whether the caller takes new sessions. Approved mechanics. Errors: invalid_argument, role_required.';
revoke all on function public.set_availability from public, anon, authenticated, service_role;
grant execute on function public.set_availability to authenticated;

-- What admins do ------------------------------------------------------------------------------------------------

create function private.set_mechanic_status(p_mechanic_id uuid, p_status text, p_note text)
returns public.mechanics
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_mechanic public.mechanics;
  v_before text;
begin
  perform private.require_admin();
  if p_status is null or p_status not in ('pending', 'approved', 'suspended') then
    perform private.fail('invalid_argument', 'p_status must be pending, approved or suspended.');
  end if;
  select m.* into v_mechanic from public.mechanics m where m.id = p_mechanic_id for update;
  if v_mechanic.id is null then
    perform private.fail('invalid_argument', 'p_mechanic_id is not a mechanic.');
  end if;
  v_before := v_mechanic.status;
  update public.mechanics m
  set status = p_status, updated_at = private.clock()
  where m.id = p_mechanic_id
  returning m.* into v_mechanic;
  if p_status = 'approved' then
    update public.profiles p
    set role = 'mechanic', updated_at = private.clock()
    where p.id = p_mechanic_id and p.role = 'customer';
  end if;
  perform private.log_op('mechanic.status', null, jsonb_build_object(
    'mechanic_id', p_mechanic_id, 'before', v_before, 'after', p_status, 'note', left(p_note, 500)
  ));
  return v_mechanic;
end;
$$;
comment on function private.set_mechanic_status(uuid, text, text) is 'Behind public.set_mechanic_status.';
revoke all on function private.set_mechanic_status from public, anon, authenticated, service_role;
grant execute on function private.set_mechanic_status to authenticated, service_role;

create function public.set_mechanic_status(p_mechanic_id uuid, p_status text, p_note text default null)
returns public.mechanics
language sql
volatile
set search_path = ''
as $$
  select private.set_mechanic_status(p_mechanic_id, p_status, p_note)
$$;
comment on function public.set_mechanic_status(uuid, text, text) is
  'Approves, suspends or puts back a mechanic. One who is suspended while live finishes that session and gets '
  'nothing new. Admins and the system; logged. Errors: invalid_argument, role_required.';
revoke all on function public.set_mechanic_status from public, anon, authenticated, service_role;
grant execute on function public.set_mechanic_status to authenticated, service_role;

create function private.set_user_role(p_user_id uuid, p_role text)
returns public.profiles
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_profile public.profiles;
  v_before text;
begin
  perform private.require_admin();
  if p_role is null or p_role not in ('customer', 'mechanic', 'admin') then
    perform private.fail('invalid_argument', 'p_role must be customer, mechanic or admin.');
  end if;
  select p.* into v_profile from public.profiles p where p.id = p_user_id and p.deleted_at is null for update;
  if v_profile.id is null then
    perform private.fail('invalid_argument', 'p_user_id is not a user.');
  end if;
  v_before := v_profile.role;
  update public.profiles p
  set role = p_role, updated_at = private.clock()
  where p.id = p_user_id
  returning p.* into v_profile;
  perform private.log_op(
    'user.role', null, jsonb_build_object('user_id', p_user_id, 'before', v_before, 'after', p_role)
  );
  return v_profile;
end;
$$;
comment on function private.set_user_role(uuid, text) is 'Behind public.set_user_role.';
revoke all on function private.set_user_role from public, anon, authenticated, service_role;
grant execute on function private.set_user_role to authenticated, service_role;

create function public.set_user_role(p_user_id uuid, p_role text)
returns public.profiles
language sql
volatile
set search_path = ''
as $$
  select private.set_user_role(p_user_id, p_role)
$$;
comment on function public.set_user_role(uuid, text) is
  'Makes a person customer, mechanic or admin. Admins and the system; logged. '
  'Errors: invalid_argument, role_required.';
revoke all on function public.set_user_role from public, anon, authenticated, service_role;
grant execute on function public.set_user_role to authenticated, service_role;

create type public.setting as (key text, value jsonb, description text, updated_at timestamptz);
comment on type public.setting is 'A setting as admins see it.';

create function private.list_settings()
returns setof public.setting
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_admin();
  return query
  select s.key, s.value, s.description, s.updated_at from private.settings s order by s.key;
end;
$$;
comment on function private.list_settings() is 'Behind public.list_settings.';
revoke all on function private.list_settings from public, anon, authenticated, service_role;
grant execute on function private.list_settings to authenticated, service_role;

create function public.list_settings()
returns setof public.setting
language sql
stable
set search_path = ''
as $$
  select * from private.list_settings()
$$;
comment on function public.list_settings() is
  'Every setting with its value and what it means. Admins and the system. Errors: role_required.';
revoke all on function public.list_settings from public, anon, authenticated, service_role;
grant execute on function public.list_settings to authenticated, service_role;

create function private.set_setting(p_key text, p_value jsonb)
returns public.setting
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_setting private.settings;
  v_before jsonb;
begin
  perform private.require_admin();
  select s.* into v_setting from private.settings s where s.key = p_key for update;
  if v_setting.key is null then
    perform private.fail('invalid_argument', 'p_key is not a setting.', 'list_settings() lists them.');
  end if;
  v_before := v_setting.value;
  update private.settings s
  set value = coalesce(p_value, 'null'), updated_at = private.clock()
  where s.key = p_key
  returning s.* into v_setting;
  if v_setting.problem is not null then
    perform private.fail('invalid_argument', format('p_value for %s %s.', p_key, v_setting.problem));
  end if;
  perform private.log_op(
    'setting.changed', null, jsonb_build_object('key', p_key, 'before', v_before, 'after', v_setting.value)
  );
  return (v_setting.key, v_setting.value, v_setting.description, v_setting.updated_at)::public.setting;
end;
$$;
comment on function private.set_setting(text, jsonb) is 'Behind public.set_setting.';
revoke all on function private.set_setting from public, anon, authenticated, service_role;
grant execute on function private.set_setting to authenticated, service_role;

create function public.set_setting(p_key text, p_value jsonb)
returns public.setting
language sql
volatile
set search_path = ''
as $$
  select private.set_setting(p_key, p_value)
$$;
comment on function public.set_setting(text, jsonb) is
  'Changes a setting; the log keeps who, when, before and after. Admins and the system. '
  'Errors: invalid_argument (unknown key, or a value of the wrong kind or range), role_required.';
revoke all on function public.set_setting from public, anon, authenticated, service_role;
grant execute on function public.set_setting to authenticated, service_role;
