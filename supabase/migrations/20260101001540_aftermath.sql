-- Aftermath: what follows a session that is over: one message to the CRM, the removal of its video room, and for a
-- completed one offers of what may suit the customer next. None of it can stop an end: what fails is left for review.

create function private.track_session(p_session public.sessions)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform private.enqueue('crm.track', 'crm:' || p_session.id, jsonb_build_object(
    'event', 'session_' || p_session.status,
    'session_id', p_session.id,
    'customer_user_id', p_session.customer_user_id,
    'mechanic_id', p_session.mechanic_id,
    'plan', p_session.plan,
    'type', p_session.type,
    'funding', p_session.funding,
    'status', p_session.status,
    'reason', p_session.end_reason,
    'started_at', p_session.started_at,
    'ended_at', p_session.ended_at,
    'duration_seconds', coalesce(p_session.duration_seconds, 0),
    'billable_seconds', coalesce(p_session.billable_seconds, 0),
    'price_cents', p_session.price_cents,
    'held_cents', coalesce(t.held_cents, 0),
    'refunded_cents', coalesce(t.refund_cents, 0),
    'currency', p_session.currency
  ), p_session.id)
  from (select) one
  left join private.settlements t on t.session_id = p_session.id;
end;
$$;
comment on function private.track_session(public.sessions) is
  'Tells the CRM of a session that is over, once: who, what, how long, how much (minor units), why.';
revoke all on function private.track_session from public, anon, authenticated, service_role;

create table private.upsell_rules (
  plan text not null references public.plans (slug),
  kind text not null,
  title text not null,
  target_plan text not null references public.plans (slug),
  primary key (plan, kind, target_plan),
  constraint kind_is_known check (kind in ('upgrade', 'repeat', 'follow_up')),
  constraint title_is_bounded check (length(title) between 1 and 200)
);
comment on table private.upsell_rules is 'What is offered after a completed session of a plan. By migration only.';
create index upsell_rules_target_plan_idx on private.upsell_rules (target_plan);
alter table private.upsell_rules enable row level security;
revoke all on table private.upsell_rules from public, anon, authenticated, service_role;
create policy "nobody reads upsell rules directly" on private.upsell_rules using (false);

insert into private.upsell_rules (plan, kind, title, target_plan) values
  ('chat10', 'upgrade', 'Show it on video next time', 'video15'),
  ('video15', 'upgrade', 'Book a full diagnostic session', 'diagnostic'),
  ('diagnostic', 'follow_up', 'Check the repair by video', 'video15');

create table public.session_upsells (
  id uuid primary key default private.new_id(),
  session_id uuid not null references public.sessions (id),
  customer_user_id uuid not null references public.profiles (id),
  kind text not null,
  title text not null,
  target_plan text not null references public.plans (slug),
  status text not null default 'offered',
  created_at timestamptz not null default private.clock(),
  updated_at timestamptz not null default private.clock(),
  constraint each_offer_is_made_once unique (session_id, kind, target_plan),
  constraint status_is_known check (status in ('offered', 'accepted', 'dismissed'))
);
comment on table public.session_upsells is 'What was offered to the customer after a session. Own rows; admins all.';
create index session_upsells_customer_idx on public.session_upsells (customer_user_id, created_at desc);
create index session_upsells_target_plan_idx on public.session_upsells (target_plan);
alter table public.session_upsells enable row level security;
revoke all on table public.session_upsells from public, anon, authenticated, service_role;
grant select on table public.session_upsells to authenticated, service_role;
create policy "customers read their offers and admins read all" on public.session_upsells
for select to authenticated
using (customer_user_id = (select auth.uid()) or (select private.is_admin()));

create function private.offer_upsells(p_session public.sessions)
returns void
language plpgsql
set search_path = ''
as $$
begin
  if p_session.status = 'completed' then
    insert into public.session_upsells (session_id, customer_user_id, kind, title, target_plan)
    select p_session.id, p_session.customer_user_id, r.kind, r.title, r.target_plan
    from private.upsell_rules r
    join public.plans p on p.slug = r.target_plan and p.is_active
    where r.plan = p_session.plan
    on conflict (session_id, kind, target_plan) do nothing;
  end if;
end;
$$;
comment on function private.offer_upsells(public.sessions) is
  'Makes the offers of its plan after a completed session, once.';
revoke all on function private.offer_upsells from public, anon, authenticated, service_role;

create function private.follow_end(p_session public.sessions)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform private.track_session(p_session);
  perform private.close_room(p_session);
  perform private.offer_upsells(p_session);
end;
$$;
comment on function private.follow_end(public.sessions) is 'What follows a session that is over, each thing once.';
revoke all on function private.follow_end from public, anon, authenticated, service_role;

create function private.follow_ended_session()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.follow_end(new);
  return null;
exception
  when others then
    perform private.note_failure(new.id, 'aftermath', sqlerrm, sqlstate);
    return null;
end;
$$;
comment on function private.follow_ended_session() is
  'Trigger: does what follows an end, for whoever caused it. A failure stops nothing and is left for review.';
revoke all on function private.follow_ended_session from public, anon, authenticated, service_role;

-- After the event of the end, which settles the money: triggers run in the order of their names.
create trigger terminal_sessions_are_followed_up
after update on public.sessions
for each row when (old.status < 'completed' and new.status >= 'completed')
execute function private.follow_ended_session();

create function private.repeat_aftermath(p_session_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_session public.sessions;
begin
  perform private.require_admin();
  v_session := private.lock_session(p_session_id);
  if v_session.id is null then
    perform private.fail('session_not_found');
  end if;
  if v_session.status < 'completed' then
    perform private.fail('illegal_transition', 'The session is not over.');
  end if;
  perform private.tell_people(e)
  from public.session_events e
  where e.session_id = p_session_id and e.source = 'sessions' and e.type = 'ended';
  perform private.follow_end(v_session);
  delete from private.session_failures f where f.session_id = p_session_id and f.work = 'aftermath';
end;
$$;
comment on function private.repeat_aftermath(uuid) is 'Behind public.repeat_aftermath. Locks: session.';
revoke all on function private.repeat_aftermath from public, anon, authenticated, service_role;
grant execute on function private.repeat_aftermath to authenticated, service_role;

create function public.repeat_aftermath(p_session_id uuid)
returns void
language sql
volatile
set search_path = ''
as $$
  select private.repeat_aftermath(p_session_id)
$$;
comment on function public.repeat_aftermath(uuid) is
  'Does again what follows the end of a session and failed then: notifications, e-mails, CRM, offers, the removal of '
  'the video room; what was done is not done twice. Admins, the system. Errors: session_not_found, '
  'illegal_transition (it is not over), session_locked.';
revoke all on function public.repeat_aftermath from public, anon, authenticated, service_role;
grant execute on function public.repeat_aftermath to authenticated, service_role;

create function private.respond_to_upsell(p_id uuid, p_accept boolean)
returns public.session_upsells
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.require_user();
  v_upsell public.session_upsells;
begin
  if p_accept is null then
    perform private.fail('invalid_argument', 'p_accept must be true or false.');
  end if;
  update public.session_upsells u
  set status = case when p_accept then 'accepted' else 'dismissed' end, updated_at = private.clock()
  where u.id = p_id and u.customer_user_id = v_user
  returning u.* into v_upsell;
  if v_upsell.id is null then
    perform private.fail('invalid_argument', 'p_id is not an offer to the caller.');
  end if;
  return v_upsell;
end;
$$;
comment on function private.respond_to_upsell(uuid, boolean) is 'Behind public.respond_to_upsell. Locks: that row.';
revoke all on function private.respond_to_upsell from public, anon, authenticated, service_role;
grant execute on function private.respond_to_upsell to authenticated;

create function public.respond_to_upsell(p_id uuid, p_accept boolean)
returns public.session_upsells
language sql
volatile
set search_path = ''
as $$
  select private.respond_to_upsell(p_id, p_accept)
$$;
comment on function public.respond_to_upsell(uuid, boolean) is
  'Accepts or dismisses an offer; the last answer counts. The customer. Errors: invalid_argument.';
revoke all on function public.respond_to_upsell from public, anon, authenticated, service_role;
grant execute on function public.respond_to_upsell to authenticated;
