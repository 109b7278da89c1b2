-- Quotes: a mechanic proposes a repair after a completed session; when the customer approves, a bonus is the
-- mechanic's, and is paid out once an admin has confirmed it.

create table public.repair_quotes (
  id uuid primary key default private.new_id(),
  session_id uuid not null references public.sessions (id),
  mechanic_id uuid not null references public.mechanics (id),
  amount_cents integer not null,
  currency text not null,
  description text not null,
  status text not null default 'escalated',
  bonus_cents integer,
  bonus_confirmed_at timestamptz,
  decided_at timestamptz,
  created_at timestamptz not null default private.clock(),
  updated_at timestamptz not null default private.clock(),
  constraint amount_is_positive check (amount_cents > 0),
  constraint description_is_bounded check (length(description) between 1 and 4000),
  constraint status_is_known check (status in ('escalated', 'approved', 'declined', 'withdrawn')),
  constraint only_an_approved_quote_has_a_bonus check ((status = 'approved') = (bonus_cents is not null)),
  constraint only_a_bonus_is_confirmed check (bonus_confirmed_at is null or bonus_cents is not null)
);
comment on table public.repair_quotes is
  'A repair that a mechanic proposes after a session. Participants of the session read it, admins all.';
create unique index one_open_quote_per_session on public.repair_quotes (session_id) where status = 'escalated';
create unique index one_approved_quote_per_session on public.repair_quotes (session_id) where status = 'approved';
create index repair_quotes_session_id_idx on public.repair_quotes (session_id);
create index repair_quotes_mechanic_id_idx on public.repair_quotes (mechanic_id, created_at desc);
alter table public.repair_quotes enable row level security;
revoke all on table public.repair_quotes from public, anon, authenticated, service_role;
grant select on table public.repair_quotes to authenticated, service_role;
create policy "participants read the quotes of their sessions" on public.repair_quotes
for select to authenticated
using (exists (select from public.sessions s where s.id = repair_quotes.session_id));

create function private.escalate_quote(p_session_id uuid, p_amount_cents integer, p_description text)
returns public.repair_quotes
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.require_user();
  v_session public.sessions := private.lock_own_session(p_session_id, v_user);
  v_quote public.repair_quotes;
begin
  if private.role_in(v_session, v_user) <> 'mechanic' then
    perform private.fail('role_required', 'Only the mechanic of a session proposes a repair.');
  end if;
  v_session := private.settle(v_session, private.session_clock(v_session));
  if v_session.status <> 'completed' then
    perform private.fail('session_not_completed');
  end if;
  if p_amount_cents is null or p_amount_cents not between 1 and private.setting_integer('max_quote_cents') then
    perform private.fail('invalid_argument', 'p_amount_cents must be above zero and at most max_quote_cents.');
  end if;
  if p_description is null or length(btrim(p_description)) not between 1 and 4000 then
    perform private.fail('invalid_argument', 'p_description must have 1 to 4000 characters.');
  end if;
  if exists (select from public.repair_quotes q where q.session_id = p_session_id and q.status = 'approved') then
    perform private.fail('quote_already_decided');
  end if;
  if exists (select from public.repair_quotes q where q.session_id = p_session_id and q.status = 'escalated') then
    perform private.fail('quote_already_open');
  end if;
  insert into public.repair_quotes as q (session_id, mechanic_id, amount_cents, currency, description)
  values (p_session_id, v_user, p_amount_cents, v_session.currency, btrim(p_description))
  returning q.* into v_quote;
  return v_quote;
end;
$$;
comment on function private.escalate_quote(uuid, integer, text) is
  'Behind public.escalate_quote. Locks: session (settled).';
revoke all on function private.escalate_quote from public, anon, authenticated, service_role;
grant execute on function private.escalate_quote to authenticated;

create function public.escalate_quote(p_session_id uuid, p_amount_cents integer, p_description text)
returns public.repair_quotes
language sql
volatile
set search_path = ''
as $$
  select private.escalate_quote(p_session_id, p_amount_cents, p_description)
$$;
comment on function public.escalate_quote(uuid, integer, text) is
  'Proposes a repair to the customer, at most max_quote_cents; one open at a time. The session''s mechanic, once it is '
  'completed. Errors: session_not_found, role_required, session_not_completed, invalid_argument, quote_already_open, '
  'quote_already_decided, session_locked.';
revoke all on function public.escalate_quote from public, anon, authenticated, service_role;
grant execute on function public.escalate_quote to authenticated;

create function private.decide_quote(p_quote_id uuid, p_approve boolean)
returns public.repair_quotes
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.require_user();
  v_quote public.repair_quotes;
  v_session public.sessions;
  v_status text := case when p_approve then 'approved' else 'declined' end;
  v_bonus integer;
  v_now timestamptz;
begin
  select q.* into v_quote
  from public.repair_quotes q
  join public.sessions s on s.id = q.session_id
  where q.id = p_quote_id and s.customer_user_id = v_user;
  if v_quote.id is null then
    perform private.fail('quote_not_found');
  end if;
  if p_approve is null then
    perform private.fail('invalid_argument', 'p_approve must be true or false.');
  end if;
  v_session := private.lock_session(v_quote.session_id);
  select q.* into v_quote from public.repair_quotes q where q.id = p_quote_id;
  if v_quote.status = v_status then
    return v_quote;
  end if;
  if v_quote.status <> 'escalated' then
    perform private.fail('quote_already_decided');
  end if;
  v_now := private.session_clock(v_session);
  if p_approve then
    v_bonus := least(
      v_quote.amount_cents::bigint * private.setting_integer('escalated_quote_bonus_bps') / 10000,
      private.setting_integer('max_quote_bonus_cents')
    );
    perform private.post('quote_bonus:' || v_quote.id, v_session.id, v_now, v_quote.currency, jsonb_build_object(
      'platform_revenue', -v_bonus, 'mechanic_payable:' || v_quote.mechanic_id, v_bonus
    ));
  end if;
  update public.repair_quotes q
  set status = v_status, bonus_cents = v_bonus, decided_at = v_now, updated_at = v_now
  where q.id = p_quote_id
  returning q.* into v_quote;
  return v_quote;
end;
$$;
comment on function private.decide_quote(uuid, boolean) is 'Behind public.decide_quote. Locks: session.';
revoke all on function private.decide_quote from public, anon, authenticated, service_role;
grant execute on function private.decide_quote to authenticated;

create function public.decide_quote(p_quote_id uuid, p_approve boolean)
returns public.repair_quotes
language sql
volatile
set search_path = ''
as $$
  select private.decide_quote(p_quote_id, p_approve)
$$;
comment on function public.decide_quote(uuid, boolean) is
  'The customer approves or declines a proposed repair, once; approving earns the mechanic a bonus. Errors: '
  'quote_not_found, invalid_argument, quote_already_decided, session_locked.';
revoke all on function public.decide_quote from public, anon, authenticated, service_role;
grant execute on function public.decide_quote to authenticated;

create function private.confirm_quote_bonus(p_quote_id uuid)
returns public.repair_quotes
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_quote public.repair_quotes;
begin
  perform private.require_admin();
  -- A dispute or a review that begins meanwhile would not see the payout.
  perform private.lock_session(q.session_id) from public.repair_quotes q where q.id = p_quote_id;
  select q.* into v_quote from public.repair_quotes q where q.id = p_quote_id;
  if v_quote.id is null then
    perform private.fail('quote_not_found');
  end if;
  if v_quote.status <> 'approved' then
    perform private.fail('invalid_argument', 'p_quote_id is not an approved quote.');
  end if;
  if v_quote.bonus_confirmed_at is null then
    update public.repair_quotes q
    set bonus_confirmed_at = private.clock(), updated_at = private.clock()
    where q.id = p_quote_id
    returning q.* into v_quote;
    perform private.make_payout(
      'quote_bonus', v_quote.id, v_quote.mechanic_id, v_quote.session_id, v_quote.bonus_cents, v_quote.currency,
      v_quote.bonus_confirmed_at
    );
    perform private.log_op('quote.bonus_confirmed', v_quote.session_id, jsonb_build_object(
      'quote_id', v_quote.id, 'bonus_cents', v_quote.bonus_cents
    ));
  end if;
  return v_quote;
end;
$$;
comment on function private.confirm_quote_bonus(uuid) is 'Behind public.confirm_quote_bonus. Locks: session, mechanic.';
revoke all on function private.confirm_quote_bonus from public, anon, authenticated, service_role;
grant execute on function private.confirm_quote_bonus to authenticated, service_role;

create function public.confirm_quote_bonus(p_quote_id uuid)
returns public.repair_quotes
language sql
volatile
set search_path = ''
as $$
  select private.confirm_quote_bonus(p_quote_id)
$$;
comment on function public.confirm_quote_bonus(uuid) is
  'Lets the bonus of an approved quote be paid out. Again: the quote. Admins and the system; logged. Errors: '
  'role_required, quote_not_found, invalid_argument, session_locked.';
revoke all on function public.confirm_quote_bonus from public, anon, authenticated, service_role;
grant execute on function public.confirm_quote_bonus to authenticated, service_role;
