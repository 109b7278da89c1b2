-- Catalog: what is sold. Plans make sessions, extension options make them longer. Everybody reads what is active.

create table public.plans (
  slug text primary key,
  type text not null,
  title text not null,
  duration_minutes integer not null,
  price_cents integer not null,
  currency text not null default 'usd',
  is_free_eligible boolean not null default false,
  is_active boolean not null default true,
  created_at timestamptz not null default private.clock(),
  updated_at timestamptz not null default private.clock(),
  constraint slug_is_a_short_word check (slug ~ '^[a-z0-9][a-z0-9_-]{0,59}$'),
  constraint type_is_known check (type in ('chat', 'video', 'diagnostic')),
  constraint title_is_bounded check (length(title) between 1 and 120),
  constraint duration_is_between_a_minute_and_a_day check (duration_minutes between 1 and 1440),
  constraint price_is_not_negative check (price_cents between 0 and 100000000),
  constraint currency_is_an_iso_code check (currency ~ '^[a-z]{3}$')
);
comment on table public.plans is 'What a customer can ask for. Everybody reads active plans; admins all.';
alter table public.plans enable row level security;
revoke all on table public.plans from public, anon, authenticated, service_role;
grant select on table public.plans to anon, authenticated, service_role;
create policy "visitors read active plans" on public.plans
for select to anon
using (is_active);
create policy "people read active plans and admins read all" on public.plans
for select to authenticated
using (is_active or (select private.is_admin()));

insert into public.plans (slug, type, title, duration_minutes, price_cents, currency, is_free_eligible) values
  ('chat10', 'chat', 'Chat with a mechanic', 30, 1000, 'usd', true),
  ('video15', 'video', 'Video call with a mechanic', 45, 1500, 'usd', true),
  ('diagnostic', 'diagnostic', 'Full diagnostic session', 60, 2500, 'usd', true)
on conflict (slug) do nothing;

create table public.extension_options (
  minutes integer primary key,
  price_cents integer not null,
  currency text not null default 'usd',
  is_active boolean not null default true,
  created_at timestamptz not null default private.clock(),
  updated_at timestamptz not null default private.clock(),
  constraint minutes_are_positive check (minutes between 1 and 1440),
  constraint price_is_positive check (price_cents between 1 and 100000000),
  constraint currency_is_an_iso_code check (currency ~ '^[a-z]{3}$')
);
comment on table public.extension_options is 'More minutes and their price. Everybody reads active ones; admins all.';
alter table public.extension_options enable row level security;
revoke all on table public.extension_options from public, anon, authenticated, service_role;
grant select on table public.extension_options to anon, authenticated, service_role;
create policy "visitors read active extension options" on public.extension_options
for select to anon
using (is_active);
create policy "people read active extension options and admins read all" on public.extension_options
for select to authenticated
using (is_active or (select private.is_admin()));

insert into public.extension_options (minutes, price_cents, currency) values
  (15, 500, 'usd'),
  (30, 900, 'usd'),
  (60, 1600, 'usd')
on conflict (minutes) do nothing;

create function private.set_plan(
  p_slug text, p_type text, p_title text, p_duration_minutes integer, p_price_cents integer, p_currency text,
  p_is_free_eligible boolean, p_is_active boolean
)
returns public.plans
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_before public.plans;
  v_after public.plans;
  v_constraint text;
begin
  perform private.require_admin();
  select p.* into v_before from public.plans p where p.slug = p_slug for update;
  if v_before.slug is not null then
    update public.plans p
    set type = coalesce(p_type, p.type),
        title = coalesce(p_title, p.title),
        duration_minutes = coalesce(p_duration_minutes, p.duration_minutes),
        price_cents = coalesce(p_price_cents, p.price_cents),
        currency = coalesce(p_currency, p.currency),
        is_free_eligible = coalesce(p_is_free_eligible, p.is_free_eligible),
        is_active = coalesce(p_is_active, p.is_active),
        updated_at = private.clock()
    where p.slug = p_slug
    returning p.* into v_after;
  else
    insert into public.plans as p (
      slug, type, title, duration_minutes, price_cents, currency, is_free_eligible, is_active
    ) values (
      p_slug, p_type, p_title, p_duration_minutes, p_price_cents, coalesce(p_currency, 'usd'),
      coalesce(p_is_free_eligible, false), coalesce(p_is_active, true)
    )
    returning p.* into v_after;
  end if;
  perform private.log_op('plan.changed', null, jsonb_build_object(
    'before', case when v_before.slug is not null then to_jsonb(v_before) end, 'after', to_jsonb(v_after)
  ));
  return v_after;
exception
  when check_violation then
    get stacked diagnostics v_constraint = constraint_name;
    perform private.fail('invalid_argument', format('The plan is not valid: %s.', replace(v_constraint, '_', ' ')));
    return null;
  when not_null_violation then
    get stacked diagnostics v_constraint = column_name;
    perform private.fail('invalid_argument', format('p_%s is needed for a new plan.', v_constraint));
    return null;
end;
$$;
comment on function private.set_plan(text, text, text, integer, integer, text, boolean, boolean) is
  'Behind public.set_plan. The table''s constraints are the rules; their names become the answer.';
revoke all on function private.set_plan from public, anon, authenticated, service_role;
grant execute on function private.set_plan to authenticated, service_role;

create function public.set_plan(
  p_slug text, p_type text default null, p_title text default null, p_duration_minutes integer default null,
  p_price_cents integer default null, p_currency text default null, p_is_free_eligible boolean default null,
  p_is_active boolean default null
)
returns public.plans
language sql
volatile
set search_path = ''
as $$
  select private.set_plan(
    p_slug, p_type, p_title, p_duration_minutes, p_price_cents, p_currency, p_is_free_eligible, p_is_active
  )
$$;
comment on function public.set_plan(text, text, text, integer, integer, text, boolean, boolean) is
  'Makes a plan, or changes what is given of an existing one; sessions already made keep their price and minutes. '
  'Admins and the system; logged. Errors: invalid_argument, role_required.';
revoke all on function public.set_plan from public, anon, authenticated, service_role;
grant execute on function public.set_plan to authenticated, service_role;

create function private.set_extension_option(
  p_minutes integer, p_price_cents integer, p_currency text, p_is_active boolean
)
returns public.extension_options
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_before public.extension_options;
  v_after public.extension_options;
  v_constraint text;
begin
  perform private.require_admin();
  select o.* into v_before from public.extension_options o where o.minutes = p_minutes for update;
  if v_before.minutes is not null then
    update public.extension_options o
    set price_cents = coalesce(p_price_cents, o.price_cents),
        currency = coalesce(p_currency, o.currency),
        is_active = coalesce(p_is_active, o.is_active),
        updated_at = private.clock()
    where o.minutes = p_minutes
    returning o.* into v_after;
  else
    insert into public.extension_options as o (minutes, price_cents, currency, is_active)
    values (p_minutes, p_price_cents, coalesce(p_currency, 'usd'), coalesce(p_is_active, true))
    returning o.* into v_after;
  end if;
  perform private.log_op('extension_option.changed', null, jsonb_build_object(
    'before', case when v_before.minutes is not null then to_jsonb(v_before) end, 'after', to_jsonb(v_after)
  ));
  return v_after;
exception
  when check_violation then
    get stacked diagnostics v_constraint = constraint_name;
    perform private.fail('invalid_argument', format('The option is not valid: %s.', replace(v_constraint, '_', ' ')));
    return null;
  when not_null_violation then
    get stacked diagnostics v_constraint = column_name;
    perform private.fail('invalid_argument', format('p_%s is needed for a new option.', v_constraint));
    return null;
end;
$$;
comment on function private.set_extension_option(integer, integer, text, boolean) is
  'Behind public.set_extension_option.';
revoke all on function private.set_extension_option from public, anon, authenticated, service_role;
grant execute on function private.set_extension_option to authenticated, service_role;

create function public.set_extension_option(
  p_minutes integer, p_price_cents integer default null, p_currency text default null,
  p_is_active boolean default null
)
returns public.extension_options
language sql
volatile
set search_path = ''
as $$
  select private.set_extension_option(p_minutes, p_price_cents, p_currency, p_is_active)
$$;
comment on function public.set_extension_option(integer, integer, text, boolean) is
  'Makes an extension option, or changes what is given of an existing one. Admins and the system; logged. '
  'Errors: invalid_argument, role_required.';
revoke all on function public.set_extension_option from public, anon, authenticated, service_role;
grant execute on function public.set_extension_option to authenticated, service_role;
