-- Demo people for a local stack, each signed in with the password `taximeter`: customer@example.com (with 100.00 of
-- credit), mechanic@example.com (approved) and admin@example.com. Everybody can read the password here, so this file
-- is never for a project that others reach; `taximeter install` does not copy it. Run again, it adds what is missing
-- and changes nothing else.

insert into auth.users (
  instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, confirmation_token, recovery_token,
  email_change_token_new, email_change, raw_app_meta_data, raw_user_meta_data, created_at, updated_at
)
select
  '00000000-0000-0000-0000-000000000000', p.id, 'authenticated', 'authenticated', p.email,
  extensions.crypt('taximeter', extensions.gen_salt('bf')), now(), '', '',
  '', '', '{"provider": "email", "providers": ["email"]}', jsonb_build_object('display_name', p.name), now(), now()
from (
  values
  ('00000000-0000-4000-8000-00000000c001'::uuid, 'customer@example.com', 'Casey Customer'),
  ('00000000-0000-4000-8000-00000000c002', 'mechanic@example.com', 'Max Mechanic'),
  ('00000000-0000-4000-8000-00000000c003', 'admin@example.com', 'Ada Admin')
) as p (id, email, name)
on conflict do nothing;

insert into auth.identities (provider_id, user_id, identity_data, provider, created_at, updated_at)
select
  u.id::text, u.id, jsonb_build_object('sub', u.id, 'email', u.email, 'email_verified', true), 'email', now(), now()
from auth.users u
where u.id in (
  '00000000-0000-4000-8000-00000000c001',
  '00000000-0000-4000-8000-00000000c002',
  '00000000-0000-4000-8000-00000000c003'
)
on conflict do nothing;

do $$
declare
  v_customer constant uuid := '00000000-0000-4000-8000-00000000c001';
  v_mechanic constant uuid := '00000000-0000-4000-8000-00000000c002';
  v_admin constant uuid := '00000000-0000-4000-8000-00000000c003';
  v_role constant text := current_setting('role');
begin
  if exists (select from public.profiles p where p.id = v_customer and p.deleted_at is null) then
    perform public.grant_credit(v_customer, 10000, 'usd', 'seed', 'demo');
  end if;
  if exists (select from public.profiles p where p.id = v_admin and p.role = 'customer' and p.deleted_at is null) then
    perform public.set_user_role(v_admin, 'admin');
  end if;
  if exists (select from public.profiles p where p.id = v_mechanic and p.deleted_at is null)
    and not exists (select from public.mechanics m where m.id = v_mechanic)
  then
    perform set_config('request.jwt.claims', jsonb_build_object('sub', v_mechanic, 'role', 'authenticated')::text, true);
    set local role authenticated;
    perform public.apply_as_mechanic(array['engine', 'brakes']);
    -- Not `reset role`: the Supabase CLI may have logged in as another than `postgres`.
    perform set_config('role', v_role, true);
    perform set_config('request.jwt.claims', '', true);
    perform public.set_mechanic_status(v_mechanic, 'approved', 'demo');
  end if;
end;
$$;
