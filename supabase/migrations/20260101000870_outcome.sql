-- Outcome: what an end means in money. The hold of a completed session is split between mechanic, platform and who
-- referred the mechanic; that of any other goes back to the customer by the policy of its reason. The split is a pure
-- function, asked by the end, by its preview and by refunds.

create table private.refund_policies (
  reason text primary key,
  refund_bps integer not null,
  mechanic_bps integer not null,
  constraint shares_are_between_nothing_and_all check (
    refund_bps between 0 and 10000 and mechanic_bps between 0 and 10000 and refund_bps + mechanic_bps <= 10000
  )
);
comment on table private.refund_policies is
  'For every reason of an end that is not completed: which part goes back to the customer and which to the mechanic. '
  'Changed by migration only; without a row everything goes back.';
alter table private.refund_policies enable row level security;
revoke all on table private.refund_policies from public, anon, authenticated, service_role;
create policy "nobody reads refund policies directly" on private.refund_policies using (false);

insert into private.refund_policies (reason, refund_bps, mechanic_bps) values
  ('too_short', 10000, 0),
  ('orphaned', 10000, 0),
  ('unattended', 10000, 0),
  ('cancelled_before_accept', 10000, 0),
  ('customer_no_show', 10000, 0),
  ('mechanic_no_show', 10000, 0),
  ('cancelled_by_customer', 10000, 0),
  ('cancelled_by_mechanic', 10000, 0),
  ('cancelled_by_admin', 10000, 0),
  ('nobody_joined', 10000, 0);

create table public.mechanic_earnings (
  session_id uuid primary key references public.sessions (id),
  mechanic_id uuid not null references public.mechanics (id),
  gross_cents integer not null,
  share_cents integer not null,
  platform_cents integer not null,
  referral_cents integer not null,
  currency text not null,
  created_at timestamptz not null default private.clock(),
  updated_at timestamptz not null default private.clock(),
  constraint parts_add_up check (gross_cents = share_cents + platform_cents + referral_cents),
  constraint parts_are_not_negative check (share_cents >= 0 and platform_cents >= 0 and referral_cents >= 0)
);
comment on table public.mechanic_earnings is
  'What a completed session earned, one row each; a free one earned zeros. The mechanic reads his own, admins all.';
create index mechanic_earnings_mechanic_id_idx on public.mechanic_earnings (mechanic_id, created_at desc);
alter table public.mechanic_earnings enable row level security;
revoke all on table public.mechanic_earnings from public, anon, authenticated, service_role;
grant select on table public.mechanic_earnings to authenticated, service_role;
create policy "mechanics read their earnings and admins read all" on public.mechanic_earnings
for select to authenticated
using (mechanic_id = (select auth.uid()) or (select private.is_admin()));

create table private.stripe_accounts (
  user_id uuid primary key references public.profiles (id),
  account text not null unique,
  updated_at timestamptz not null default private.clock(),
  constraint account_is_a_connected_account check (account ~ '^acct_[A-Za-z0-9]{1,100}$')
);
comment on table private.stripe_accounts is 'The connected Stripe account that a person is paid through.';
alter table private.stripe_accounts enable row level security;
revoke all on table private.stripe_accounts from public, anon, authenticated, service_role;
create policy "nobody reads stripe accounts directly" on private.stripe_accounts using (false);

create table public.payouts (
  id uuid primary key default private.new_id(),
  kind text not null,
  source_id uuid not null,
  user_id uuid not null references public.profiles (id),
  session_id uuid references public.sessions (id),
  amount_cents integer not null,
  currency text not null,
  status text not null default 'pending',
  blocked_by text,
  stripe_transfer_id text unique,
  reversed_cents integer not null default 0,
  due_at timestamptz not null,
  created_at timestamptz not null default private.clock(),
  updated_at timestamptz not null default private.clock(),
  constraint one_payout_per_source unique (kind, source_id),
  constraint kind_is_known check (kind in ('session', 'referral', 'quote_bonus')),
  constraint no_more_is_reversed_than_was_paid check (reversed_cents between 0 and amount_cents),
  constraint status_is_known check (
    status in (
      'pending', 'submitted', 'paid', 'failed', 'needs_reconciliation', 'reversed', 'cancelled', 'blocked'
    )
  ),
  constraint only_a_blocked_payout_says_by_what check ((status = 'blocked') = (blocked_by is not null)),
  constraint what_blocks_is_known check (blocked_by in ('account', 'dispute', 'review')),
  constraint a_paid_payout_has_its_transfer check (status <> 'paid' or stripe_transfer_id is not null),
  constraint only_a_cancelled_payout_is_of_nothing check (amount_cents > 0 or status = 'cancelled')
);
comment on table public.payouts is
  'Money on its way to a mechanic, in minor units. Own rows; admins all. blocked_by: account (no Stripe account yet), '
  'dispute, review.';
create index payouts_user_id_idx on public.payouts (user_id, created_at desc);
create index payouts_session_id_idx on public.payouts (session_id) where session_id is not null;
create index payouts_due_at_idx on public.payouts (due_at) where status = 'pending';
create index payouts_blocked_idx on public.payouts (user_id) where status = 'blocked';
alter table public.payouts enable row level security;
revoke all on table public.payouts from public, anon, authenticated, service_role;
grant select on table public.payouts to authenticated, service_role;
create policy "people read their payouts and admins read all" on public.payouts
for select to authenticated
using (user_id = (select auth.uid()) or (select private.is_admin()));

-- The split -------------------------------------------------------------------------------------------------------

create type private.split as (
  refund_cents integer,
  share_cents integer,
  platform_cents integer,
  referral_cents integer
);
comment on type private.split is
  'Who gets how much of a hold: customer, mechanic, platform, who referred the mechanic.';

create function private.split(
  p_held_cents integer, p_is_completed boolean, p_has_mechanic boolean, p_has_referrer boolean,
  p_refund_bps integer, p_mechanic_bps integer, p_share_bps integer, p_referral_bps integer
)
returns private.split
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_split private.split := (0, 0, 0, 0);
begin
  if p_is_completed then
    v_split.share_cents := p_held_cents::bigint * p_share_bps / 10000;
    v_split.referral_cents := case
      when p_has_referrer
        then least(p_held_cents::bigint * p_referral_bps / 10000, p_held_cents - v_split.share_cents)
      else 0 end;
  else
    -- A doubt of less than a minor unit is the customer's.
    v_split.refund_cents := (p_held_cents::bigint * coalesce(p_refund_bps, 10000) + 9999) / 10000;
    v_split.share_cents := case
      when p_has_mechanic then least(
        p_held_cents::bigint * coalesce(p_mechanic_bps, 0) / 10000, p_held_cents - v_split.refund_cents
      )
      else 0 end;
    if not p_has_mechanic then
      v_split.refund_cents := least(
        p_held_cents, v_split.refund_cents + p_held_cents::bigint * coalesce(p_mechanic_bps, 0) / 10000
      );
    end if;
  end if;
  v_split.platform_cents := p_held_cents - v_split.refund_cents - v_split.share_cents - v_split.referral_cents;
  return v_split;
end;
$$;
comment on function private.split(integer, boolean, boolean, boolean, integer, integer, integer, integer) is
  'How a hold is split, in minor units and basis points. Completed: the mechanic''s share rounded down, the referral '
  'fee out of the rest, the platform what is left. Otherwise by the policy of the reason; without one all goes back.';
revoke all on function private.split(
  integer, boolean, boolean, boolean, integer, integer, integer, integer
) from public, anon, authenticated, service_role;

create function private.split_of(p_session public.sessions, p_held_cents bigint)
returns private.split
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select private.split(
      p_held_cents::integer,
      p_session.end_reason = 'completed',
      p_session.mechanic_id is not null,
      m.referred_by is not null,
      p.refund_bps,
      p.mechanic_bps,
      private.setting_integer('mechanic_share_bps'),
      private.setting_integer('referral_fee_bps')
    )
    from (select) one
    left join public.mechanics m on m.id = p_session.mechanic_id
    left join private.refund_policies p on p.reason = p_session.end_reason
  );
end;
$$;
comment on function private.split_of(public.sessions, bigint) is
  'How the hold of a session is split that ends as this row says (end_reason), by the policies and settings of now.';
revoke all on function private.split_of from public, anon, authenticated, service_role;

create function private.money_rule(p_reason text)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select jsonb_build_object(
      'mechanic_share_bps', private.setting_integer('mechanic_share_bps'),
      'referral_fee_bps', private.setting_integer('referral_fee_bps'),
      'policy', (
        select jsonb_build_object('refund_bps', p.refund_bps, 'mechanic_bps', p.mechanic_bps)
        from private.refund_policies p
        where p.reason = p_reason
      )
    )
  );
end;
$$;
comment on function private.money_rule(text) is
  'The shares, fees and policy of now by which money is split after an end for this reason, for the record.';
revoke all on function private.money_rule from public, anon, authenticated, service_role;

create table private.settlements (
  session_id uuid primary key references public.sessions (id),
  currency text not null,
  held_cents integer not null,
  refund_cents integer not null,
  share_cents integer not null,
  platform_cents integer not null,
  referral_cents integer not null,
  referrer_id uuid,
  refunded_later_cents integer not null default 0,
  settled_at timestamptz not null,
  constraint parts_add_up check (held_cents = refund_cents + share_cents + platform_cents + referral_cents),
  constraint parts_are_not_negative
    check (refund_cents >= 0 and share_cents >= 0 and platform_cents >= 0 and referral_cents >= 0),
  constraint no_more_is_refunded_than_was_kept check (refunded_later_cents between 0 and held_cents - refund_cents)
);
comment on table private.settlements is
  'How the hold of an ended session was split, one row each, zeros for a free one; and what was given back since.';
create index settlements_referrer_id_idx on private.settlements (referrer_id, settled_at desc)
where referrer_id is not null;
alter table private.settlements enable row level security;
revoke all on table private.settlements from public, anon, authenticated, service_role;
create policy "nobody reads settlements directly" on private.settlements using (false);
