-- Settlement: the hold of a session at its end, once and in the same transaction; and what is given back later. A
-- completed session pays the mechanic; any other gives the customer back what its policy says: card payments by Stripe,
-- the rest as credit.

create table private.session_reviews (
  id bigint generated always as identity primary key,
  session_id uuid not null references public.sessions (id),
  reason text not null,
  detail jsonb not null default '{}',
  opened_at timestamptz not null default private.clock(),
  resolved_at timestamptz,
  resolved_by uuid,
  note text,
  constraint note_is_bounded check (length(note) <= 1000)
);
comment on table private.session_reviews is 'Why a person has to look at a session, and what came of it.';
create index session_reviews_session_id_idx on private.session_reviews (session_id);
create index session_reviews_open_idx on private.session_reviews (opened_at) where resolved_at is null;
alter table private.session_reviews enable row level security;
revoke all on table private.session_reviews from public, anon, authenticated, service_role;
create policy "nobody reads session reviews directly" on private.session_reviews using (false);

create function private.what_blocks(p_user_id uuid, p_session_id uuid)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return case
    when exists (
      select
      from private.disputes d
      join private.payments p on p.id = d.payment_id
      where p.session_id = p_session_id and d.status = 'open'
    ) then 'dispute'
    when exists (
      select from private.session_reviews r where r.session_id = p_session_id and r.resolved_at is null
    ) then 'review'
    when not exists (select from private.stripe_accounts a where a.user_id = p_user_id) then 'account' end;
end;
$$;
comment on function private.what_blocks(uuid, uuid) is
  'Why a payout to this person for this session has to wait, or null: a dispute, a review, no Stripe account yet.';
revoke all on function private.what_blocks from public, anon, authenticated, service_role;

create function private.make_payout(
  p_kind text, p_source_id uuid, p_user_id uuid, p_session_id uuid, p_amount_cents integer, p_currency text,
  p_earned_at timestamptz
)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_blocked_by text;
begin
  if p_amount_cents = 0 then
    return;
  end if;
  v_blocked_by := private.what_blocks(p_user_id, p_session_id);
  if v_blocked_by = 'account' then
    -- An account that is being set at this moment would not see this payout.
    perform from public.mechanics m where m.id = p_user_id for share;
    v_blocked_by := private.what_blocks(p_user_id, p_session_id);
  end if;
  insert into public.payouts (
    kind, source_id, user_id, session_id, amount_cents, currency, status, blocked_by, due_at
  )
  values (
    p_kind, p_source_id, p_user_id, p_session_id, p_amount_cents, p_currency,
    case when v_blocked_by is null then 'pending' else 'blocked' end, v_blocked_by,
    p_earned_at + make_interval(mins => private.setting_integer('payout_delay_minutes'))
  )
  on conflict (kind, source_id) do nothing;
end;
$$;
comment on function private.make_payout(text, uuid, uuid, uuid, integer, text, timestamptz) is
  'A payout for every amount above zero, once per source; blocked while something blocks it. Locks: the mechanic, for '
  'share, when there is no account.';
revoke all on function private.make_payout from public, anon, authenticated, service_role;

create function private.give_back(p_session public.sessions, p_key text, p_amount_cents integer)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_payment private.payments;
  v_left integer := p_amount_cents;
  v_part integer;
begin
  for v_payment in
    select p.*
    from private.payments p
    where p.session_id = p_session.id
      and p.applied_to in ('session', 'extension')
    order by p.created_at desc, p.id
    for no key update
  loop
    v_part := least(v_left, private.refundable(v_payment));
    if v_part > 0 then
      perform private.ask_refund(
        v_payment, format('%s:%s', p_key, v_payment.id), v_part, p_session.id,
        jsonb_build_object('session_hold:' || p_session.id, -v_part)
      );
      v_left := v_left - v_part;
    end if;
  end loop;
  perform private.post(
    'give_back:' || p_key, p_session.id, private.clock(), p_session.currency, jsonb_build_object(
      'session_hold:' || p_session.id, -v_left, 'customer_credit:' || p_session.customer_user_id, v_left
    )
  );
  return v_left;
end;
$$;
comment on function private.give_back(public.sessions, text, integer) is
  'Gives money of a hold back to the customer: card payments to the card, the newest first, the rest as credit; '
  'returns that rest. Locks: session (held), payments, credit, outbox.';
revoke all on function private.give_back from public, anon, authenticated, service_role;

create function private.make_earning(
  p_session public.sessions, p_share_cents integer, p_platform_cents integer, p_referral_cents integer
)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  insert into public.mechanic_earnings (
    session_id, mechanic_id, gross_cents, share_cents, platform_cents, referral_cents, currency
  )
  values (
    p_session.id, p_session.mechanic_id, p_share_cents + p_platform_cents + p_referral_cents, p_share_cents,
    p_platform_cents, p_referral_cents, p_session.currency
  )
  on conflict (session_id) do nothing;
  return found;
end;
$$;
comment on function private.make_earning(public.sessions, integer, integer, integer) is
  'What a completed session earned, once, and says whether it is new: share, platform''s part, referral fee.';
revoke all on function private.make_earning from public, anon, authenticated, service_role;

create function private.settle_money()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_session public.sessions;
  v_held integer := 0;
  v_split private.split := (0, 0, 0, 0);
  v_referrer uuid;
begin
  select s.* into v_session from public.sessions s where s.id = new.session_id;
  -- Completed by hand it earned nothing: a hold would not let it be.
  if new.type = 'ended' then
    v_held := private.held(v_session.id, v_session.currency);
  end if;
  if v_held > 0 then
    v_split := private.split_of(v_session, v_held);
  end if;
  if v_split.referral_cents > 0 then
    select m.referred_by into v_referrer from public.mechanics m where m.id = v_session.mechanic_id;
  end if;
  insert into private.settlements (
    session_id, currency, held_cents, refund_cents, share_cents, platform_cents, referral_cents, referrer_id, settled_at
  )
  values (
    v_session.id, v_session.currency, v_held, v_split.refund_cents, v_split.share_cents, v_split.platform_cents,
    v_split.referral_cents, v_referrer, private.clock()
  )
  on conflict (session_id) do nothing;
  if v_session.status = 'completed' and v_session.mechanic_id is not null then
    perform private.make_earning(
      v_session, v_split.share_cents, v_split.platform_cents, v_split.referral_cents
    );
  end if;
  if v_split.refund_cents > 0 then
    perform private.give_back(v_session, 'outcome:' || v_session.id, v_split.refund_cents);
  end if;
  if v_held > v_split.refund_cents then
    perform private.post(
      'earning:' || v_session.id, v_session.id, v_session.ended_at, v_session.currency,
      jsonb_build_object(
        'session_hold:' || v_session.id, v_split.refund_cents - v_held,
        'platform_revenue', v_split.platform_cents
      )
      || case when v_split.share_cents > 0
        then jsonb_build_object('mechanic_payable:' || v_session.mechanic_id, v_split.share_cents) else '{}' end
      || case when v_split.referral_cents > 0
        then jsonb_build_object('referral_payable:' || v_referrer, v_split.referral_cents) else '{}' end
    );
    perform private.make_payout(
      'session', v_session.id, v_session.mechanic_id, v_session.id, v_split.share_cents, v_session.currency,
      v_session.ended_at
    );
    perform private.make_payout(
      'referral', v_session.id, v_referrer, v_session.id, v_split.referral_cents, v_session.currency, v_session.ended_at
    );
  end if;
  return null;
end;
$$;
comment on function private.settle_money() is
  'Trigger: the money of a session that ended, in the same transaction: earning and payouts, or what the customer gets '
  'back; zeros for one that somebody completed by hand. Locks: session (held), payments, credit, outbox.';
revoke all on function private.settle_money from public, anon, authenticated, service_role;

create trigger ended_sessions_settle_their_money
after insert on public.session_events
for each row when (new.source = 'sessions' and (
  new.type = 'ended' or (new.type = 'status_changed' and new.payload ->> 'to' = 'completed')
))
execute function private.settle_money();

create function private.require_no_hold()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if private.held(new.id, new.currency) <> 0 then
    perform private.fail('state_without_proof', format('Money is still held for the session %s.', new.id));
  end if;
  return null;
end;
$$;
comment on function private.require_no_hold() is
  'Trigger, at commit: a session that is over holds no money (state_without_proof), whoever ended it.';
revoke all on function private.require_no_hold from public, anon, authenticated, service_role;

create constraint trigger an_ended_session_holds_no_money
after insert or update of status on public.sessions
deferrable initially deferred
for each row when (new.status >= 'completed')
execute function private.require_no_hold();

-- Refunds by an admin ---------------------------------------------------------------------------------------------

create table private.session_refunds (
  id uuid primary key default private.new_id(),
  session_id uuid not null references public.sessions (id),
  key text not null,
  asked_cents integer,
  amount_cents integer not null,
  currency text not null,
  to_card_cents integer not null,
  to_credit_cents integer not null,
  reason text,
  refunded_by uuid,
  created_at timestamptz not null default private.clock(),
  constraint one_refund_per_key unique (session_id, key),
  constraint amount_is_positive check (amount_cents > 0),
  constraint parts_add_up check (amount_cents = to_card_cents + to_credit_cents)
);
comment on table private.session_refunds is 'What admins gave back of a session, once per key.';
alter table private.session_refunds enable row level security;
revoke all on table private.session_refunds from public, anon, authenticated, service_role;
create policy "nobody reads session refunds directly" on private.session_refunds using (false);

create type public.session_refund as (
  session_id uuid,
  key text,
  amount_cents integer,
  currency text,
  to_card_cents integer,
  to_credit_cents integer,
  created_at timestamptz
);
comment on type public.session_refund is 'Money given back of a session, in minor units: to the card, and as credit.';

create function private.kept(p_session_id uuid)
returns integer
language plpgsql
stable
set search_path = ''
as $$
begin
  return coalesce((
    select t.held_cents - t.refund_cents - t.refunded_later_cents
    from private.settlements t
    where t.session_id = p_session_id
  ), 0);
end;
$$;
comment on function private.kept(uuid) is 'What mechanic, referrer and platform still have of an ended session.';
revoke all on function private.kept from public, anon, authenticated, service_role;

create function private.part_of(p_part integer, p_refunded bigint, p_kept integer)
returns integer
language sql
immutable
set search_path = ''
as $$
  select case when p_kept = 0 then 0 else (p_part * p_refunded / p_kept)::integer end
$$;
comment on function private.part_of(integer, bigint, integer) is
  'How much of somebody''s part has been given back when so much of all that was kept has: exact at the last cent.';
revoke all on function private.part_of from public, anon, authenticated, service_role;

create function private.lessen_payout(p_payout_id uuid, p_amount_cents integer)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_payout public.payouts;
begin
  update public.payouts p
  set amount_cents = greatest(p.amount_cents - p_amount_cents, 0),
      status = case when p.amount_cents <= p_amount_cents then 'cancelled' else p.status end,
      blocked_by = case when p.amount_cents > p_amount_cents then p.blocked_by end,
      updated_at = private.clock()
  where p.id = p_payout_id
  returning p.* into v_payout;
  -- A transfer that was refused, and is tried again, is one of what is left.
  perform private.amend_outbox('payout:' || p_payout_id, jsonb_build_object('amount', v_payout.amount_cents));
  if v_payout.amount_cents = 0 then
    perform private.settle_outbox('payout:' || p_payout_id, 'cancelled');
  end if;
end;
$$;
comment on function private.lessen_payout(uuid, integer) is
  'Takes from a payout that was not sent; of nothing, it is cancelled. Locks: its row of the outbox, payout (held).';
revoke all on function private.lessen_payout from public, anon, authenticated, service_role;

create function private.coming_back(p_payout public.payouts)
returns integer
language plpgsql
stable
set search_path = ''
as $$
declare
  v_asked integer;
  v_waiting integer;
begin
  -- What was asked for and not answered may be among what Stripe has told of already: the two count once.
  select
    coalesce(sum(r.amount) filter (where r.is_asked), 0), coalesce(sum(r.amount) filter (where not r.is_asked), 0)
  into v_asked, v_waiting
  from (
    select
      (o.payload ->> 'amount')::integer as amount, o.status in ('leased', 'done') or o.is_ambiguous as is_asked
    from private.outbox o
    where o.session_id = p_payout.session_id
      and o.topic = 'stripe.transfer_reversal'
      and o.payload ->> 'payout_id' = p_payout.id::text
      and (o.status <> 'done' or o.result ->> 'transfer' is not null)
  ) r;
  return greatest(p_payout.reversed_cents, v_asked) + v_waiting;
end;
$$;
comment on function private.coming_back(public.payouts) is
  'How much of a transfer has come back or is being asked back, whoever told of it first.';
revoke all on function private.coming_back from public, anon, authenticated, service_role;

create function private.reduce_payout(p_kind text, p_session_id uuid, p_amount_cents integer, p_key text)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_payout public.payouts;
  v_more integer;
begin
  if p_amount_cents = 0 then
    return;
  end if;
  select p.* into v_payout from public.payouts p where p.kind = p_kind and p.source_id = p_session_id;
  -- One that an admin cancelled is still owed.
  if v_payout.status in ('pending', 'blocked', 'failed', 'cancelled') then
    perform private.lessen_payout(v_payout.id, p_amount_cents);
  elsif v_payout.status in ('submitted', 'paid', 'needs_reconciliation') then
    -- Stripe refuses to reverse more than what is left of a transfer, all of it.
    v_more := least(p_amount_cents, v_payout.amount_cents - private.coming_back(v_payout));
    if v_more > 0 then
      perform private.enqueue(
        'stripe.transfer_reversal', format('reversal:%s:%s', v_payout.id, p_key), jsonb_build_object(
          'payout_id', v_payout.id, 'outbox_key', 'payout:' || v_payout.id, 'transfer', v_payout.stripe_transfer_id,
          'amount', v_more, 'currency', v_payout.currency
        ), p_session_id
      );
    end if;
  end if;
end;
$$;
comment on function private.reduce_payout(text, uuid, integer, text) is
  'Takes from a payout what its source gave back: less of one not yet sent, else a reversal of the transfer; what '
  'does not come back stays a receivable. Locks: payout and its row of the outbox (held), outbox.';
revoke all on function private.reduce_payout from public, anon, authenticated, service_role;

create function private.lock_payouts(p_session_id uuid)
returns void
language sql
volatile
set search_path = ''
as $$
  select from public.mechanics m
  where m.id in (select p.user_id from public.payouts p where p.session_id = p_session_id)
  order by m.id
  for share;
  select from private.outbox o
  where o.key in (select 'payout:' || p.id from public.payouts p where p.session_id = p_session_id)
  order by o.id
  for no key update;
  select from public.payouts p where p.session_id = p_session_id order by p.id for no key update;
$$;
comment on function private.lock_payouts(uuid) is
  'Locks the payouts of a session after all that others lock before a payout: who is paid (for share), the rows of '
  'the outbox.';
revoke all on function private.lock_payouts from public, anon, authenticated, service_role;

create function private.take_back(
  p_session public.sessions, p_key text, p_amount_cents integer, p_to text, p_mechanic_bps integer
)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_kept private.settlements;
  v_total integer;
  v_before bigint;
  v_share integer;
  v_referral integer;
begin
  perform private.lock_payouts(p_session.id);
  select t.* into v_kept from private.settlements t where t.session_id = p_session.id;
  v_total := v_kept.share_cents + v_kept.platform_cents + v_kept.referral_cents;
  v_before := v_kept.refunded_later_cents;
  if p_mechanic_bps is null then
    v_share := private.part_of(v_kept.share_cents, v_before + p_amount_cents, v_total)
      - private.part_of(v_kept.share_cents, v_before, v_total);
    v_referral := private.part_of(v_kept.referral_cents, v_before + p_amount_cents, v_total)
      - private.part_of(v_kept.referral_cents, v_before, v_total);
  else
    v_share := case when p_session.mechanic_id is null then 0
      else p_amount_cents::bigint * p_mechanic_bps / 10000 end;
    v_referral := 0;
  end if;
  perform private.post(
    'take_back:' || p_key, p_session.id, private.clock(), p_session.currency,
    jsonb_build_object(p_to, p_amount_cents, 'platform_revenue', v_share + v_referral - p_amount_cents)
    || case when v_share > 0
      then jsonb_build_object('mechanic_payable:' || p_session.mechanic_id, -v_share) else '{}' end
    || case when v_referral > 0
      then jsonb_build_object('referral_payable:' || v_kept.referrer_id, -v_referral) else '{}' end
  );
  update private.settlements t
  set refunded_later_cents = t.refunded_later_cents + p_amount_cents
  where t.session_id = p_session.id;
  perform private.reduce_payout('session', p_session.id, least(v_share, v_kept.share_cents), p_key);
  perform private.reduce_payout('referral', p_session.id, v_referral, p_key);
end;
$$;
comment on function private.take_back(public.sessions, text, integer, text, integer) is
  'Takes money of an ended session back from mechanic, referrer and platform, in proportion to what they kept or by '
  'p_mechanic_bps, to an account. Locks: session (held), settlement, payouts, outbox.';
revoke all on function private.take_back from public, anon, authenticated, service_role;

create function private.refund_session(p_session_id uuid, p_key text, p_amount_cents integer, p_reason text)
returns public.session_refund
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_session public.sessions;
  v_refund private.session_refunds;
  v_left integer;
  v_amount integer;
  v_key text;
  v_now timestamptz;
begin
  perform private.require_admin();
  if p_key is null or length(p_key) not between 1 and 100 then
    perform private.fail('invalid_argument', 'p_key must have 1 to 100 characters.');
  end if;
  if p_amount_cents <= 0 then
    perform private.fail('invalid_argument', 'p_amount_cents must be above zero.');
  end if;
  v_session := private.lock_session(p_session_id);
  if v_session.id is null then
    perform private.fail('session_not_found');
  end if;
  v_session := private.settle(v_session, private.session_clock(v_session));
  select r.* into v_refund from private.session_refunds r where r.session_id = p_session_id and r.key = p_key;
  if v_refund.id is not null then
    if v_refund.asked_cents is distinct from p_amount_cents
        and v_refund.amount_cents is distinct from p_amount_cents then
      perform private.fail('idempotency_conflict', 'p_key was used with another amount.', 'Use a new key.');
    end if;
  else
    if v_session.status < 'completed' then
      perform private.fail(
        'session_not_active', 'The session is not over.', 'End it first; what is due goes back then.'
      );
    end if;
    v_left := private.kept(p_session_id);
    v_amount := coalesce(p_amount_cents, v_left);
    if v_amount > v_left or v_left = 0 then
      perform private.fail('refund_exceeds_payment', format('%s is left of what was paid.', v_left));
    end if;
    v_now := private.session_clock(v_session);
    v_key := format('%s:%s', p_session_id, p_key);
    perform private.take_back(v_session, v_key, v_amount, 'session_hold:' || p_session_id, null);
    v_refund.to_credit_cents := private.give_back(v_session, v_key, v_amount);
    insert into private.session_refunds (
      session_id, key, asked_cents, amount_cents, currency, to_card_cents, to_credit_cents, reason, refunded_by,
      created_at
    )
    values (
      p_session_id, p_key, p_amount_cents, v_amount, v_session.currency, v_amount - v_refund.to_credit_cents,
      v_refund.to_credit_cents, left(p_reason, 500), private.claimed_user(), v_now
    )
    returning * into v_refund;
    perform private.move_session(
      v_session,
      case when v_amount = v_left and v_session.status < 'refunded' then 'refunded' else v_session.status end
        ::public.session_status,
      case when v_amount = v_left then 'refunded' else 'partly_refunded' end, v_now, private.claimed_user(),
      jsonb_build_object('key', p_key, 'amount_cents', v_amount, 'currency', v_session.currency)
    );
  end if;
  return (
    v_refund.session_id, v_refund.key, v_refund.amount_cents, v_refund.currency, v_refund.to_card_cents,
    v_refund.to_credit_cents, v_refund.created_at
  )::public.session_refund;
end;
$$;
comment on function private.refund_session(uuid, text, integer, text) is
  'Behind public.refund_session. Locks: session, settlement, payouts, payments, credit, outbox.';
revoke all on function private.refund_session from public, anon, authenticated, service_role;
grant execute on function private.refund_session to authenticated, service_role;

create function public.refund_session(
  p_session_id uuid, p_key text, p_amount_cents integer default null, p_reason text default null
)
returns public.session_refund
language sql
volatile
set search_path = ''
as $$
  select private.refund_session(p_session_id, p_key, p_amount_cents, p_reason)
$$;
comment on function public.refund_session(uuid, text, integer, text) is
  'Gives money of an ended session back, once per p_key: p_amount_cents, or all that is left; in proportion from '
  'mechanic and platform, to the card first, the rest as credit. All of it: the session is refunded. Admins and the '
  'system. Errors: role_required, session_not_found, session_not_active, invalid_argument, idempotency_conflict, '
  'refund_exceeds_payment, session_locked.';
revoke all on function public.refund_session from public, anon, authenticated, service_role;
grant execute on function public.refund_session to authenticated, service_role;
