-- Payments: money that came in by Stripe, and money that goes back. A payment is received once, posted at once to an
-- account of its own (`unapplied:<payment>`), and applied to what it was for, or given back. Its state moves by rank
-- only, under its row's lock: Stripe's events come in any order, any number of times.
-- Locks, after the session: payment, extension or intent, then the customer's credit, then the outbox.

create type private.payment_rank as enum ('requested', 'failed', 'paid', 'partly_refunded', 'refunded', 'disputed');
comment on type private.payment_rank is 'How far a payment has come. A lower rank never overwrites a higher one.';

create table private.payments (
  id uuid primary key default private.new_id(),
  payment_intent_id text unique,
  checkout_session_id text unique,
  charge_id text unique,
  customer_user_id uuid not null references public.profiles (id),
  amount_cents integer not null,
  currency text not null,
  purpose text not null,
  purpose_id uuid not null,
  rank private.payment_rank not null default 'requested',
  received_at timestamptz,
  refunded_cents integer not null default 0,
  unmatched_refund_cents integer not null default 0,
  applied_to text,
  session_id uuid references public.sessions (id),
  review text,
  created_at timestamptz not null default private.clock(),
  updated_at timestamptz not null default private.clock(),
  constraint currency_is_an_iso_code check (currency ~ '^[a-z]{3}$'),
  constraint purpose_is_known check (purpose in ('session', 'extension')),
  constraint only_received_money_is_paid check ((rank >= 'paid') = (received_at is not null)),
  constraint no_more_is_refunded_than_was_paid check (refunded_cents between 0 and amount_cents),
  constraint applied_to_is_known check (applied_to in ('session', 'extension', 'credit', 'refund')),
  constraint what_is_applied_was_received check (applied_to is null or received_at is not null)
);
comment on table private.payments is
  'A payment at Stripe and what it was for: purpose_id is a checkout intent or an extension. review: why a person has '
  'to look at it.';
create index payments_purpose_idx on private.payments (purpose, purpose_id);
create index payments_session_id_idx on private.payments (session_id) where session_id is not null;
create index payments_customer_idx on private.payments (customer_user_id, created_at desc);
create index payments_review_idx on private.payments (updated_at) where review is not null;
alter table private.payments enable row level security;
revoke all on table private.payments from public, anon, authenticated, service_role;
create policy "nobody reads payments directly" on private.payments using (false);

create table private.refunds (
  id uuid primary key default private.new_id(),
  payment_id uuid not null references private.payments (id),
  session_id uuid references public.sessions (id),
  key text not null unique,
  amount_cents integer not null,
  status text not null default 'requested',
  stripe_refund_id text unique,
  created_at timestamptz not null default private.clock(),
  updated_at timestamptz not null default private.clock(),
  constraint amount_is_positive check (amount_cents > 0),
  constraint status_is_known check (status in ('requested', 'succeeded', 'failed'))
);
comment on table private.refunds is
  'Money of a payment on its way back: asked for by us (its key is in the outbox), or made at Stripe (stripe:<id>).';
create index refunds_payment_id_idx on private.refunds (payment_id);
create index refunds_session_id_idx on private.refunds (session_id) where session_id is not null;
alter table private.refunds enable row level security;
revoke all on table private.refunds from public, anon, authenticated, service_role;
create policy "nobody reads refunds directly" on private.refunds using (false);

create table private.disputes (
  id text primary key,
  payment_id uuid not null references private.payments (id),
  amount_cents integer not null,
  status text not null default 'open',
  created_at timestamptz not null default private.clock(),
  updated_at timestamptz not null default private.clock(),
  constraint amount_is_positive check (amount_cents > 0),
  constraint status_is_known check (status in ('open', 'won', 'lost'))
);
comment on table private.disputes is
  'What a bank took, or means to take, of a payment: by Stripe''s id, because one payment can be disputed in parts.';
create index disputes_payment_id_idx on private.disputes (payment_id);
alter table private.disputes enable row level security;
revoke all on table private.disputes from public, anon, authenticated, service_role;
create policy "nobody reads disputes directly" on private.disputes using (false);

create function private.left_of(p_payment private.payments)
returns integer
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select greatest(
      p_payment.amount_cents - p_payment.refunded_cents
        - coalesce(sum(d.amount_cents) filter (where d.status = 'lost'), 0), 0
    )
    from private.disputes d
    where d.payment_id = p_payment.id
  );
end;
$$;
comment on function private.left_of(private.payments) is
  'What is left of a payment: neither refunded, or on its way, nor lost to the bank.';
revoke all on function private.left_of from public, anon, authenticated, service_role;

create function private.refundable(p_payment private.payments)
returns integer
language plpgsql
stable
set search_path = ''
as $$
begin
  if exists (select from private.disputes d where d.payment_id = p_payment.id and d.status = 'open') then
    return 0;
  end if;
  return private.left_of(p_payment);
end;
$$;
comment on function private.refundable(private.payments) is
  'What can go back to the card of a payment: what is left of it, and nothing while it is disputed.';
revoke all on function private.refundable from public, anon, authenticated, service_role;

create function private.review_payment(p_payment_id uuid, p_review text, p_detail jsonb)
returns void
language plpgsql
set search_path = ''
as $$
begin
  update private.payments p set review = p_review, updated_at = private.clock() where p.id = p_payment_id;
  perform private.alert_support(
    format('payment:%s:%s', p_payment_id, p_review), 'critical', 'A payment needs a person',
    p_detail || jsonb_build_object('payment_id', p_payment_id, 'review', p_review)
  );
end;
$$;
comment on function private.review_payment(uuid, text, jsonb) is
  'Leaves a payment for a person and tells support. Locks: payment, outbox.';
revoke all on function private.review_payment from public, anon, authenticated, service_role;

create function private.unapplied(p_payment private.payments)
returns integer
language plpgsql
stable
set search_path = ''
as $$
begin
  return private.balance('unapplied:' || p_payment.id, p_payment.currency)::integer;
end;
$$;
comment on function private.unapplied(private.payments) is 'What was received of a payment and has gone nowhere yet.';
revoke all on function private.unapplied from public, anon, authenticated, service_role;

create function private.receive(p_payment private.payments, p_amount_cents integer, p_currency text, p_at timestamptz)
returns private.payments
language plpgsql
set search_path = ''
as $$
declare
  v_payment private.payments;
begin
  update private.payments p
  set rank = 'paid', received_at = p_at, amount_cents = p_amount_cents, currency = p_currency,
      updated_at = private.clock()
  where p.id = p_payment.id and p.received_at is null
  returning p.* into v_payment;
  if v_payment.id is null then
    return p_payment;
  end if;
  perform private.post('payment:' || v_payment.id, null, p_at, p_currency, jsonb_build_object(
    'stripe', -p_amount_cents, 'unapplied:' || v_payment.id, p_amount_cents
  ));
  return v_payment;
end;
$$;
comment on function private.receive(private.payments, integer, text, timestamptz) is
  'Posts the money of a payment, once: the amount that arrived, whatever was asked for. Locks: payment (held).';
revoke all on function private.receive from public, anon, authenticated, service_role;

create function private.apply_payment(p_payment private.payments, p_to text, p_session_id uuid)
returns private.payments
language plpgsql
set search_path = ''
as $$
declare
  v_payment private.payments := p_payment;
  v_amount integer := private.unapplied(p_payment);
begin
  update private.payments p
  set applied_to = p_to, session_id = coalesce(p_session_id, p.session_id), review = null, updated_at = private.clock()
  where p.id = p_payment.id
  returning p.* into v_payment;
  perform private.post(
    format('%s:%s', case p_to when 'credit' then 'to_credit' else 'hold' end, p_payment.id), p_session_id,
    private.clock(), p_payment.currency,
    jsonb_build_object(
      'unapplied:' || p_payment.id, -v_amount,
      case p_to
        when 'credit' then 'customer_credit:' || p_payment.customer_user_id
        else 'session_hold:' || p_session_id end, v_amount
    )
  );
  return v_payment;
end;
$$;
comment on function private.apply_payment(private.payments, text, uuid) is
  'Moves the money of a payment to what it is for: a session or extension (the hold of p_session_id), or the '
  'customer''s credit. Locks: payment (held), credit.';
revoke all on function private.apply_payment from public, anon, authenticated, service_role;

-- Giving back -----------------------------------------------------------------------------------------------------

create function private.ask_refund(
  p_payment private.payments, p_key text, p_amount_cents integer, p_session_id uuid, p_sources jsonb
)
returns private.refunds
language plpgsql
set search_path = ''
as $$
declare
  v_refund private.refunds;
  v_now timestamptz := private.clock();
begin
  insert into private.refunds (payment_id, session_id, key, amount_cents)
  values (p_payment.id, p_session_id, p_key, p_amount_cents)
  returning * into v_refund;
  perform private.post(
    'refund:' || p_key, p_session_id, v_now, p_payment.currency,
    p_sources || jsonb_build_object('refund_clearing', p_amount_cents)
  );
  update private.payments p
  set refunded_cents = p.refunded_cents + p_amount_cents,
      rank = greatest(p.rank, case
        when p.refunded_cents + p_amount_cents = p.amount_cents then 'refunded'
        else 'partly_refunded' end::private.payment_rank),
      updated_at = v_now
  where p.id = p_payment.id;
  perform private.enqueue('stripe.refund', 'refund:' || p_key, jsonb_build_object(
    'payment_intent', p_payment.payment_intent_id, 'amount', p_amount_cents, 'currency', p_payment.currency,
    'refund_id', v_refund.id
  ), p_session_id);
  return v_refund;
end;
$$;
comment on function private.ask_refund(private.payments, text, integer, uuid, jsonb) is
  'Asks Stripe for money back, once per key: from p_sources ({account: minus minor units}) to refund_clearing, a row '
  'in the outbox. Locks: payment (held), outbox.';
revoke all on function private.ask_refund from public, anon, authenticated, service_role;

create function private.refund_succeeded(p_refund_id uuid, p_stripe_refund_id text, p_at timestamptz)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_refund private.refunds;
begin
  update private.refunds r
  set status = 'succeeded', stripe_refund_id = coalesce(r.stripe_refund_id, p_stripe_refund_id),
      updated_at = private.clock()
  where r.id = p_refund_id and r.status = 'requested'
  returning r.* into v_refund;
  if v_refund.id is not null then
    perform private.post('refunded:' || v_refund.key, v_refund.session_id, p_at, p.currency, jsonb_build_object(
      'refund_clearing', -v_refund.amount_cents, 'stripe', v_refund.amount_cents
    ))
    from private.payments p
    where p.id = v_refund.payment_id;
    update private.payments p
    set review = null, updated_at = private.clock()
    where p.id = v_refund.payment_id and p.review = 'refund_dead';
  end if;
end;
$$;
comment on function private.refund_succeeded(uuid, text, timestamptz) is
  'The money has gone back, once. Locks: payment (held by the caller), refund.';
revoke all on function private.refund_succeeded from public, anon, authenticated, service_role;

create function private.refund_failed(p_refund_id uuid, p_stripe_refund_id text, p_at timestamptz, p_error text)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_before private.refunds;
  v_payment private.payments;
  v_laid_out integer;
begin
  select r.* into v_before from private.refunds r where r.id = p_refund_id;
  if v_before.status = 'failed' then
    return;
  end if;
  update private.refunds r
  set status = 'failed', stripe_refund_id = coalesce(r.stripe_refund_id, p_stripe_refund_id),
      updated_at = private.clock()
  where r.id = p_refund_id;
  update private.payments p
  set refunded_cents = p.refunded_cents - v_before.amount_cents, updated_at = private.clock()
  where p.id = v_before.payment_id
  returning p.* into v_payment;
  -- What the bank took, or somebody sent back at Stripe, while this was on its way, the platform laid out.
  v_laid_out := least(v_before.amount_cents, greatest(
    private.unapplied(v_payment) + v_before.amount_cents - private.left_of(v_payment), 0
  ));
  perform private.post(
    'refund_failed:' || v_before.key, v_before.session_id, p_at, v_payment.currency, jsonb_build_object(
      case v_before.status when 'succeeded' then 'stripe' else 'refund_clearing' end, -v_before.amount_cents,
      'unapplied:' || v_before.payment_id, v_before.amount_cents - v_laid_out,
      'platform_revenue', v_laid_out
    )
  );
  if private.unapplied(v_payment) > 0 then
    perform private.review_payment(v_before.payment_id, 'refund_failed', jsonb_build_object(
      'refund_id', p_refund_id, 'session_id', v_before.session_id, 'amount_cents', v_before.amount_cents,
      'error', p_error
    ));
  end if;
end;
$$;
comment on function private.refund_failed(uuid, text, timestamptz, text) is
  'The money did not go back, or came back later: it is unapplied money of its payment, which is left for a person, as '
  'far as it is still the customer''s. Locks: payment (held), refund, outbox.';
revoke all on function private.refund_failed from public, anon, authenticated, service_role;

create function private.lock_refunds(p_payment_id uuid)
returns void
language sql
volatile
set search_path = ''
as $$
  select
  from private.outbox o
  join private.refunds r on o.key = 'refund:' || r.key
  where r.payment_id = p_payment_id and r.status = 'requested'
  order by o.id
  for no key update of o
$$;
comment on function private.lock_refunds(uuid) is
  'Locks what is on its way back of a payment, before the payment, as its worker does. Locks: outbox.';
revoke all on function private.lock_refunds from public, anon, authenticated, service_role;

create function private.displace_refunds(p_payment private.payments, p_amount_cents integer)
returns private.payments
language plpgsql
set search_path = ''
as $$
declare
  v_payment private.payments := p_payment;
  v_key text;
  v_id uuid;
begin
  for v_id, v_key in
    select r.id, o.key
    from private.refunds r
    join private.outbox o on o.key = 'refund:' || r.key
    where r.payment_id = p_payment.id
      and r.status = 'requested'
      and r.stripe_refund_id is null
      and o.status in ('pending', 'dead')
      and not o.is_ambiguous
    order by o.id desc
  loop
    exit when v_payment.refunded_cents + p_amount_cents <= v_payment.amount_cents;
    perform private.settle_outbox(v_key, 'displaced');
    perform private.refund_failed(v_id, null, private.clock(), 'The money went back another way, or cannot go back.');
    select p.* into v_payment from private.payments p where p.id = p_payment.id;
  end loop;
  return v_payment;
end;
$$;
comment on function private.displace_refunds(private.payments, integer) is
  'So much more of a payment is gone: what we asked for, that was not sent and no longer fits, never will be. Nothing '
  'that may have been sent is touched. Locks: outbox and payment (held), refunds.';
revoke all on function private.displace_refunds from public, anon, authenticated, service_role;

create function private.refund_is_dead()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  update private.payments p
  set review = 'refund_dead', updated_at = private.clock()
  from private.refunds r
  where r.key = substring(new.key from '^refund:(.*)') and p.id = r.payment_id and p.review is null;
  return null;
end;
$$;
comment on function private.refund_is_dead() is
  'Trigger: a refund that Stripe refused for good leaves its payment for a person.';
revoke all on function private.refund_is_dead from public, anon, authenticated, service_role;

create trigger dead_refunds_are_reviewed
after update of status on private.outbox
for each row when (
  new.status = 'dead' and old.status <> 'dead' and new.topic = 'stripe.refund' and not new.is_ambiguous
)
execute function private.refund_is_dead();

create function private.refund_is_answered()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_refund private.refunds;
begin
  select r.* into v_refund from private.refunds r where r.key = substring(new.key from '^refund:(.*)');
  if v_refund.id is null then
    return null;
  end if;
  update private.refunds r
  set stripe_refund_id = new.result ->> 'id', updated_at = private.clock()
  where r.id = v_refund.id and r.stripe_refund_id is null and new.result ->> 'id' is not null;
  case new.result ->> 'status'
    when 'succeeded' then
      perform private.refund_succeeded(v_refund.id, new.result ->> 'id', private.clock());
    when 'failed', 'canceled' then
      perform private.refund_failed(v_refund.id, new.result ->> 'id', private.clock(), new.result ->> 'failure_reason');
    else
      -- Pending: Stripe tells by an event.
      null;
  end case;
  return null;
end;
$$;
comment on function private.refund_is_answered() is
  'Trigger: takes what Stripe answered to a refund: succeeded, failed, or pending until an event tells.';
revoke all on function private.refund_is_answered from public, anon, authenticated, service_role;

create trigger answers_to_refunds_count
after update of status on private.outbox
for each row when (new.status = 'done' and old.status <> 'done' and new.topic = 'stripe.refund')
execute function private.refund_is_answered();
