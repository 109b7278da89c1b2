-- The Stripe inbox: every event once, in whatever order and however often Stripe sends it. What an event does is
-- decided by what is known, never by its time stamp; one that cannot be processed is kept with its error, has changed
-- nothing, and is run again when Stripe sends it again or an admin asks.
-- Locks: the customer's profile (a paid session), or the session; payment, intent or extension, credit, outbox.

create table private.stripe_events (
  id text primary key,
  type text not null,
  livemode boolean not null,
  payload jsonb,
  status text not null default 'received',
  error text,
  deliveries integer not null default 1,
  received_at timestamptz not null default private.clock(),
  processed_at timestamptz,
  constraint status_is_known check (status in ('received', 'processed', 'ignored', 'failed')),
  constraint only_a_finished_event_is_emptied check (payload is not null or status in ('processed', 'ignored')),
  constraint only_a_failed_event_has_an_error check ((status = 'failed') = (error is not null))
);
comment on table private.stripe_events is
  'Every event that Stripe sent, with what became of it. The row stays for ever, so that none counts twice; its '
  'payload for keep_payloads_days.';
create index stripe_events_failed_idx on private.stripe_events (received_at) where status = 'failed';
create index stripe_events_to_empty_idx on private.stripe_events (processed_at)
where status in ('processed', 'ignored') and payload is not null;
alter table private.stripe_events enable row level security;
revoke all on table private.stripe_events from public, anon, authenticated, service_role;
create policy "nobody reads stripe events directly" on private.stripe_events using (false);

-- Which payment ---------------------------------------------------------------------------------------------------

create type private.order_of_payment as (customer_user_id uuid, amount_cents integer, currency text, session_id uuid);
comment on type private.order_of_payment is
  'What a payment is for: who pays how much, and for which session if there is one.';

create function private.asked_for(p_purpose text, p_purpose_id uuid)
returns private.order_of_payment
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select (i.customer_user_id, i.price_cents, i.currency, null)::private.order_of_payment
    from public.checkout_intents i
    where p_purpose = 'session' and i.id = p_purpose_id
    union all
    select (e.requested_by, e.price_cents, e.currency, e.session_id)::private.order_of_payment
    from public.session_extensions e
    where p_purpose = 'extension' and e.id = p_purpose_id
  );
end;
$$;
comment on function private.asked_for(text, uuid) is 'What is to be paid for an intent or an extension, or null.';
revoke all on function private.asked_for from public, anon, authenticated, service_role;

create function private.payment_row(
  p_purpose text, p_purpose_id uuid, p_order private.order_of_payment, p_payment_intent_id text,
  p_checkout_session_id text, p_charge_id text
)
returns private.payments
language plpgsql
set search_path = ''
as $$
declare
  v_payment private.payments;
begin
  select p.* into v_payment from private.payments p where p.payment_intent_id = p_payment_intent_id;
  -- Two payment intents are two payments, whatever Checkout they are said to come from.
  if v_payment.id is null then
    select p.* into v_payment
    from private.payments p
    where p.checkout_session_id = p_checkout_session_id
      and (p.payment_intent_id is null or p_payment_intent_id is null);
  end if;
  -- An event of the payment intent may come before anybody knows which Checkout it belongs to.
  if v_payment.id is null then
    select p.* into v_payment
    from private.payments p
    where p.purpose = p_purpose
      and p.purpose_id = p_purpose_id
      and (p.checkout_session_id is null or p_checkout_session_id is null)
      and (p.payment_intent_id is null or p_payment_intent_id is null)
    order by p.created_at
    limit 1;
  end if;
  if v_payment.id is null then
    insert into private.payments as p (
      payment_intent_id, checkout_session_id, charge_id, customer_user_id, amount_cents, currency, purpose, purpose_id,
      session_id
    )
    select
      p_payment_intent_id, (
        select p_checkout_session_id
        where not exists (select from private.payments o where o.checkout_session_id = p_checkout_session_id)
      ), p_charge_id, p_order.customer_user_id, p_order.amount_cents, p_order.currency, p_purpose, p_purpose_id,
      p_order.session_id
    returning p.* into v_payment;
    return v_payment;
  end if;
  if (v_payment.purpose, v_payment.purpose_id) <> (p_purpose, p_purpose_id) then
    perform private.fail('idempotency_conflict', 'This payment is known to be for something else.');
  end if;
  update private.payments p
  set payment_intent_id = coalesce(p.payment_intent_id, p_payment_intent_id),
      checkout_session_id = coalesce(p.checkout_session_id, (
        select p_checkout_session_id
        where not exists (select from private.payments o where o.checkout_session_id = p_checkout_session_id)
      )),
      charge_id = coalesce(p.charge_id, p_charge_id),
      updated_at = private.clock()
  where p.id = v_payment.id
  returning p.* into v_payment;
  return v_payment;
end;
$$;
comment on function private.payment_row(text, uuid, private.order_of_payment, text, text, text) is
  'The payment behind the names Stripe gives it, made when it is new. Locks: payment; what it is for is held.';
revoke all on function private.payment_row from public, anon, authenticated, service_role;

create function private.record_checkout(
  p_purpose text, p_purpose_id uuid, p_checkout_session_id text, p_payment_intent_id text
)
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_order private.order_of_payment;
  v_payment private.payments;
begin
  perform private.require_system();
  if p_checkout_session_id is null or length(p_checkout_session_id) not between 1 and 255 then
    perform private.fail('invalid_argument', 'p_checkout_session_id must have 1 to 255 characters.');
  end if;
  if length(p_payment_intent_id) not between 1 and 255 then
    perform private.fail('invalid_argument', 'p_payment_intent_id must have 1 to 255 characters.');
  end if;
  v_order := private.asked_for(p_purpose, p_purpose_id);
  if v_order.customer_user_id is null then
    perform private.fail('payment_not_found', 'p_purpose and p_purpose_id name nothing that is to be paid.');
  end if;
  if p_purpose = 'session' then
    perform from public.profiles p where p.id = v_order.customer_user_id for no key update;
  else
    perform private.lock_session(v_order.session_id);
  end if;
  v_payment := private.payment_row(p_purpose, p_purpose_id, v_order, p_payment_intent_id, p_checkout_session_id, null);
  -- The Checkout of an extension that was replaced, or whose session ended, while it was being opened.
  perform private.expire_checkout(e)
  from public.session_extensions e
  where p_purpose = 'extension' and e.id = p_purpose_id and e.status <> 'pending';
  update public.checkout_intents i
  set stripe_checkout_session_id = p_checkout_session_id, updated_at = private.clock()
  where i.id = p_purpose_id and p_purpose = 'session';
  return v_payment.id;
end;
$$;
comment on function private.record_checkout(text, uuid, text, text) is
  'Behind public.record_checkout. Locks: profile or session, payment, intent, outbox.';
revoke all on function private.record_checkout from public, anon, authenticated, service_role;
grant execute on function private.record_checkout to service_role;

create function public.record_checkout(
  p_purpose text, p_purpose_id uuid, p_checkout_session_id text, p_payment_intent_id text default null
)
returns uuid
language sql
volatile
set search_path = ''
as $$
  select private.record_checkout(p_purpose, p_purpose_id, p_checkout_session_id, p_payment_intent_id)
$$;
comment on function public.record_checkout(text, uuid, text, text) is
  'Notes which Checkout Session was opened at Stripe for an intent (p_purpose session) or an extension; returns the '
  'id of the payment. The system. Errors: invalid_argument, payment_not_found, idempotency_conflict, session_locked.';
revoke all on function public.record_checkout from public, anon, authenticated, service_role;
grant execute on function public.record_checkout to service_role;

create function private.recorded_checkout(p_purpose text, p_purpose_id uuid)
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_system();
  return (
    select p.checkout_session_id
    from private.payments p
    where p.purpose = p_purpose and p.purpose_id = p_purpose_id and p.checkout_session_id is not null
    order by p.created_at desc, p.id desc
    limit 1
  );
end;
$$;
comment on function private.recorded_checkout(text, uuid) is 'Behind public.recorded_checkout.';
revoke all on function private.recorded_checkout from public, anon, authenticated, service_role;
grant execute on function private.recorded_checkout to service_role;

create function public.recorded_checkout(p_purpose text, p_purpose_id uuid)
returns text
language sql
stable
set search_path = ''
as $$
  select private.recorded_checkout(p_purpose, p_purpose_id)
$$;
comment on function public.recorded_checkout(text, uuid) is
  'The newest Checkout Session that record_checkout noted for an intent or an extension, or null. The system.';
revoke all on function public.recorded_checkout from public, anon, authenticated, service_role;
grant execute on function public.recorded_checkout to service_role;

-- What events do --------------------------------------------------------------------------------------------------

create function private.occurred_at(p_event private.stripe_events)
returns timestamptz
language plpgsql
immutable
set search_path = ''
as $$
begin
  return to_timestamp((p_event.payload ->> 'created')::double precision);
end;
$$;
comment on function private.occurred_at(private.stripe_events) is
  'When Stripe says it happened, in whole seconds: for the record, never for an order.';
revoke all on function private.occurred_at from public, anon, authenticated, service_role;

create function private.payment_named(p_object jsonb)
returns private.payments
language sql
volatile
set search_path = ''
as $$
  select p
  from private.payments p
  where p.payment_intent_id = p_object ->> 'payment_intent' or p.charge_id = p_object ->> 'charge'
  order by (p.payment_intent_id = p_object ->> 'payment_intent') desc nulls last
  limit 1
  for no key update
$$;
comment on function private.payment_named(jsonb) is
  'The payment that a charge, refund or dispute names by its payment intent or charge, locked; null: not ours.';
revoke all on function private.payment_named from public, anon, authenticated, service_role;

create function private.lock_session_of(p_object jsonb)
returns public.sessions
language plpgsql
set search_path = ''
as $$
declare
  v_session_id uuid;
  v_payment_id uuid;
  v_session public.sessions;
begin
  select p.session_id, p.id into v_session_id, v_payment_id
  from private.payments p
  where p.payment_intent_id = p_object ->> 'payment_intent' or p.charge_id = p_object ->> 'charge'
  order by (p.payment_intent_id = p_object ->> 'payment_intent') desc nulls last
  limit 1;
  if v_session_id is not null then
    v_session := private.lock_session(v_session_id);
    v_session := private.settle(v_session, private.session_clock(v_session));
  end if;
  perform private.lock_refunds(v_payment_id);
  return v_session;
end;
$$;
comment on function private.lock_session_of(jsonb) is
  'Locks, and settles, the session that the named payment was for, null when there is none, and what is on its way '
  'back of it. Before the payment. Locks: session, outbox.';
revoke all on function private.lock_session_of from public, anon, authenticated, service_role;

create function private.require_session_of(
  p_payment private.payments, p_session public.sessions, p_currency text
)
returns void
language plpgsql
set search_path = ''
as $$
begin
  if p_payment.currency <> p_currency then
    raise exception 'a payment in % is told of in %', p_payment.currency, p_currency;
  end if;
  if p_payment.session_id is distinct from p_session.id then
    raise exception using
      errcode = 'serialization_failure', message = 'the payment was applied while its event waited for it';
  end if;
end;
$$;
comment on function private.require_session_of(private.payments, public.sessions, text) is
  'Raises a serialisation failure, which Stripe repeats, when a payment got its session after that was looked for; and '
  'fails when the event is in another currency.';
revoke all on function private.require_session_of from public, anon, authenticated, service_role;

create function private.on_checkout(p_event private.stripe_events, p_object jsonb, p_outcome text)
returns text
language plpgsql
set search_path = ''
as $$
declare
  v_mode text := p_object -> 'metadata' ->> 'mode';
  v_purpose_id uuid;
  v_order private.order_of_payment;
  v_session public.sessions;
  v_payment private.payments;
  v_is_checkout boolean := p_object ->> 'object' = 'checkout.session';
begin
  if v_mode is null or v_mode not in ('session', 'extension') then
    return 'ignored';
  end if;
  v_purpose_id :=
    (p_object -> 'metadata' ->> case v_mode when 'session' then 'intent_id' else 'extension_id' end)::uuid;
  v_order := private.asked_for(v_mode, v_purpose_id);
  if v_order.customer_user_id is null then
    raise exception 'the event names %, which does not exist', v_purpose_id;
  end if;
  if v_mode = 'session' then
    perform from public.profiles p where p.id = v_order.customer_user_id for no key update;
  else
    v_session := private.lock_session(v_order.session_id);
    v_session := private.settle(v_session, private.session_clock(v_session));
  end if;
  v_payment := private.payment_row(
    v_mode, v_purpose_id, v_order,
    case when v_is_checkout then p_object ->> 'payment_intent' else p_object ->> 'id' end,
    case when v_is_checkout then p_object ->> 'id' end,
    case when not v_is_checkout then p_object ->> 'latest_charge' end
  );

  if p_outcome = 'paid' then
    v_payment := private.receive(
      v_payment,
      case when v_is_checkout then p_object ->> 'amount_total' else p_object ->> 'amount_received' end::integer,
      p_object ->> 'currency',
      private.occurred_at(p_event)
    );
    if v_payment.applied_to is null and v_payment.review is null then
      if v_mode = 'session' then
        perform private.make_paid_session(v_payment);
      else
        perform private.apply_extension(v_payment);
      end if;
    end if;
  elsif p_outcome = 'failed' and v_payment.rank < 'paid' then
    update private.payments p
    set rank = 'failed', updated_at = private.clock()
    where p.id = v_payment.id and p.rank < 'failed';
    if v_mode = 'session' then
      update public.checkout_intents i
      set status = 'failed', updated_at = private.clock()
      where i.id = v_purpose_id and i.status = 'open';
    else
      perform private.fail_extension(v_purpose_id, v_session, p_event.type);
    end if;
  end if;
  return 'processed';
end;
$$;
comment on function private.on_checkout(private.stripe_events, jsonb, text) is
  'A Checkout Session or a payment intent: proof of payment (paid), none yet (failed), or nothing new (open). Locks: '
  'profile or session, payment, intent or extension, credit, outbox.';
revoke all on function private.on_checkout from public, anon, authenticated, service_role;

create function private.from_credit(p_payment private.payments, p_amount_cents integer, p_most_of_credit integer)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_account text := 'customer_credit:' || p_payment.customer_user_id;
  v_credit bigint;
  v_part bigint := 0;
begin
  if p_most_of_credit > 0 then
    select a.balance_cents into v_credit
    from private.ledger_accounts a
    where a.name = v_account and a.currency = p_payment.currency
    for no key update;
    v_part := least(coalesce(v_credit, 0), p_amount_cents, p_most_of_credit);
  end if;
  return jsonb_build_object(v_account, -v_part, 'platform_revenue', v_part - p_amount_cents);
end;
$$;
comment on function private.from_credit(private.payments, integer, integer) is
  'The lines that take money from the customer''s credit, at most so much and as far as it is unspent, the rest '
  'from the platform. Locks: credit.';
revoke all on function private.from_credit from public, anon, authenticated, service_role;

create function private.credit_from(p_payment private.payments)
returns integer
language plpgsql
stable
set search_path = ''
as $$
begin
  if p_payment.applied_to = 'credit' then
    return p_payment.amount_cents;
  end if;
  return (
    select greatest(coalesce(sum(e.amount_cents), 0), 0)::integer
    from private.ledger_transfers t
    join private.ledger_entries e on e.transfer_id = t.id
    join private.ledger_accounts a on a.id = e.account_id
    where t.session_id = p_payment.session_id
      and (t.key not like 'resolve:%' or t.key like 'resolve:' || p_payment.id || ':%')
      and a.name = 'customer_credit:' || p_payment.customer_user_id
      and a.currency = p_payment.currency
  );
end;
$$;
comment on function private.credit_from(private.payments) is
  'How much credit the customer has got in place of this payment: the payment became credit, or its session gave more '
  'back as credit than was paid for it with credit.';
revoke all on function private.credit_from from public, anon, authenticated, service_role;

create function private.stripe_refunded(
  p_payment private.payments, p_session public.sessions, p_key text, p_amount_cents integer, p_at timestamptz
)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_kept integer;
  v_before integer := private.unapplied(p_payment);
  -- Money of the payment that is used for nothing goes first: an earlier refund that failed, or what is in review.
  v_unapplied integer := least(p_amount_cents, v_before);
  v_rest integer := p_amount_cents - v_unapplied;
  v_taken integer := 0;
begin
  if p_payment.applied_to in ('session', 'extension') then
    if p_session.status < 'completed' then
      v_taken := least(v_rest, private.held(p_session.id, p_session.currency)::integer);
      perform private.post('stripe_refund:' || p_key, p_session.id, p_at, p_payment.currency, jsonb_build_object(
        'session_hold:' || p_session.id, -v_taken, 'stripe', v_taken
      ));
    else
      v_kept := private.kept(p_session.id);
      v_taken := least(v_rest, v_kept);
      if v_taken > 0 then
        perform private.take_back(p_session, 'stripe:' || p_key, v_taken, 'stripe', null);
      end if;
      if v_taken > 0 and v_taken = v_kept and p_session.status < 'refunded' then
        perform private.move_session(
          p_session, 'refunded', 'refunded', private.session_clock(p_session), null,
          jsonb_build_object('by', 'stripe', 'amount_cents', v_taken)
        );
      end if;
    end if;
    perform private.review_session(p_session.id, 'refund_at_stripe', 'critical', jsonb_build_object(
      'payment_id', p_payment.id, 'amount_cents', p_amount_cents, 'status', p_session.status
    ));
  else
    perform private.alert_support('stripe_refund:' || p_key, 'critical', 'A refund was made at Stripe',
      jsonb_build_object('payment_id', p_payment.id, 'amount_cents', p_amount_cents));
  end if;
  -- What the session does not cover comes from the credit that the payment became, or from us.
  v_rest := v_rest - v_taken;
  perform private.post(
    'stripe_refund_rest:' || p_key, p_payment.session_id, p_at, p_payment.currency,
    private.from_credit(p_payment, v_rest, private.credit_from(p_payment))
    || jsonb_build_object('unapplied:' || p_payment.id, -v_unapplied, 'stripe', v_rest + v_unapplied)
  );
  update private.payments p
  set refunded_cents = p.refunded_cents + p_amount_cents,
      rank = greatest(p.rank, case
        when p.refunded_cents + p_amount_cents >= p.amount_cents then 'refunded'
        else 'partly_refunded' end::private.payment_rank),
      -- Nothing of it is left to decide about.
      review = case when v_unapplied = 0 or v_unapplied < v_before then p.review end,
      applied_to = case when v_unapplied = 0 or v_unapplied < v_before then p.applied_to
        else coalesce(p.applied_to, 'refund') end,
      updated_at = private.clock()
  where p.id = p_payment.id;
end;
$$;
comment on function private.stripe_refunded(private.payments, public.sessions, text, integer, timestamptz) is
  'A refund that was made at Stripe and not by us: posted as such; the session goes on or is in review. Locks: session '
  'and payment (held), settlement, payouts, credit, outbox.';
revoke all on function private.stripe_refunded from public, anon, authenticated, service_role;

create function private.on_refund(p_event private.stripe_events, p_object jsonb)
returns text
language plpgsql
set search_path = ''
as $$
declare
  v_session public.sessions := private.lock_session_of(p_object);
  v_payment private.payments := private.payment_named(p_object);
  v_refund private.refunds;
  v_amount integer := (p_object ->> 'amount')::integer;
  v_matched integer;
  v_status text := case p_event.type when 'refund.failed' then 'failed' else p_object ->> 'status' end;
  v_at timestamptz := private.occurred_at(p_event);
begin
  if v_payment.received_at is null then
    return 'ignored';
  end if;
  perform private.require_session_of(v_payment, v_session, p_object ->> 'currency');
  -- A second refund under one key is not the one we asked for.
  select r.* into v_refund
  from private.refunds r
  where r.payment_id = v_payment.id
    and (r.stripe_refund_id = p_object ->> 'id' or (
      'refund:' || r.key = p_object -> 'metadata' ->> 'outbox_key' and r.stripe_refund_id is null
    ))
  order by (r.stripe_refund_id = p_object ->> 'id') desc nulls last
  limit 1;
  if v_refund.id is null then
    v_matched := least(v_amount, v_payment.unmatched_refund_cents);
    if v_status in ('failed', 'canceled') and v_matched = 0 then
      -- Nothing has moved; what tells later that it was made comes too late.
      insert into private.refunds (payment_id, session_id, key, amount_cents, status, stripe_refund_id)
      values (
        v_payment.id, v_session.id, 'stripe:' || (p_object ->> 'id'), v_amount, 'failed', p_object ->> 'id'
      );
      return 'processed';
    elsif v_status in ('failed', 'canceled') then
      v_amount := v_matched;
    end if;
    if v_matched > 0 then
      update private.payments p
      set unmatched_refund_cents = p.unmatched_refund_cents - v_matched
      where p.id = v_payment.id;
    end if;
    if v_amount > v_matched then
      v_payment := private.displace_refunds(v_payment, v_amount - v_matched);
      perform private.stripe_refunded(v_payment, v_session, p_object ->> 'id', v_amount - v_matched, v_at);
    end if;
    insert into private.refunds (payment_id, session_id, key, amount_cents, status, stripe_refund_id)
    values (
      v_payment.id, v_session.id, 'stripe:' || (p_object ->> 'id'), v_amount, 'succeeded', p_object ->> 'id'
    )
    returning * into v_refund;
    if v_status in ('failed', 'canceled') then
      perform private.refund_failed(v_refund.id, p_object ->> 'id', v_at, p_object ->> 'failure_reason');
      -- A sum that was told before it failed, and comes later, has all of it.
      update private.refunds r set amount_cents = (p_object ->> 'amount')::integer where r.id = v_refund.id;
    end if;
    return 'processed';
  end if;

  update private.refunds r
  set stripe_refund_id = p_object ->> 'id', updated_at = private.clock()
  where r.id = v_refund.id and r.stripe_refund_id is null;
  perform private.doubt_outbox('refund:' || v_refund.key);
  if v_status = 'succeeded' then
    perform private.refund_succeeded(v_refund.id, p_object ->> 'id', v_at);
  elsif v_status in ('failed', 'canceled') then
    perform private.refund_failed(v_refund.id, p_object ->> 'id', v_at, p_object ->> 'failure_reason');
  end if;
  return 'processed';
end;
$$;
comment on function private.on_refund(private.stripe_events, jsonb) is
  'A refund: ours (known by metadata.outbox_key or its id) succeeded or failed; another was made at Stripe. Locks: '
  'session, payment, refund, settlement, payouts, credit, outbox.';
revoke all on function private.on_refund from public, anon, authenticated, service_role;

create function private.on_charge_refunded(p_event private.stripe_events, p_object jsonb)
returns text
language plpgsql
set search_path = ''
as $$
declare
  v_named jsonb := jsonb_build_object('payment_intent', p_object -> 'payment_intent', 'charge', p_object -> 'id');
  v_session public.sessions := private.lock_session_of(v_named);
  v_payment private.payments := private.payment_named(v_named);
  v_known integer;
  v_more integer;
begin
  if v_payment.received_at is null then
    return 'ignored';
  end if;
  perform private.require_session_of(v_payment, v_session, p_object ->> 'currency');
  if p_object ->> 'amount_refunded' is null then
    raise exception 'the event does not say how much was refunded';
  end if;
  select coalesce(sum(r.amount_cents), 0)::integer + v_payment.unmatched_refund_cents into v_known
  from private.refunds r
  -- A sum that Stripe told before a refund failed may come after the failure.
  where r.payment_id = v_payment.id and (r.status <> 'failed' or r.stripe_refund_id is not null);
  v_more := (p_object ->> 'amount_refunded')::integer - v_known;
  if v_more > 0 then
    update private.payments p
    set unmatched_refund_cents = p.unmatched_refund_cents + v_more
    where p.id = v_payment.id;
    perform private.stripe_refunded(
      v_payment, v_session, p_event.id, v_more, private.occurred_at(p_event)
    );
  end if;
  return 'processed';
end;
$$;
comment on function private.on_charge_refunded(private.stripe_events, jsonb) is
  'So much of a charge has been refunded in all; only what no refund is known for yet is posted, and the refund that '
  'names it later adds nothing. Locks: as for a refund.';
revoke all on function private.on_charge_refunded from public, anon, authenticated, service_role;

create function private.on_dispute(p_event private.stripe_events, p_object jsonb)
returns text
language plpgsql
set search_path = ''
as $$
declare
  v_session public.sessions := private.lock_session_of(p_object);
  v_payment private.payments := private.payment_named(p_object);
  v_id text := p_object ->> 'id';
  v_status text := p_object ->> 'status';
  v_dispute private.disputes;
  v_disputes text;
  v_amount integer := (p_object ->> 'amount')::integer;
  v_fee integer;
  v_taken integer := 0;
  v_lines jsonb;
  v_left integer;
  v_unapplied integer;
  v_is_all boolean;
  v_at timestamptz := private.occurred_at(p_event);
begin
  if v_payment.received_at is null then
    return 'ignored';
  end if;
  perform private.require_session_of(v_payment, v_session, p_object ->> 'currency');
  v_disputes := 'disputes:' || v_payment.id;
  insert into private.disputes as d (id, payment_id, amount_cents)
  values (v_id, v_payment.id, v_amount)
  on conflict (id) do nothing
  returning d.* into v_dispute;
  if v_dispute.id is not null then
    perform private.post('dispute:' || v_id, v_session.id, v_at, v_payment.currency, jsonb_build_object(
      v_disputes, -v_amount, 'stripe', v_amount
    ));
    update private.payments p
    set rank = 'disputed', updated_at = private.clock()
    where p.id = v_payment.id
    returning p.* into v_payment;
    if v_session.id is not null then
      perform private.block_payouts(v_session.id, 'dispute');
    end if;
    perform private.alert_support('dispute:' || v_id, 'critical', 'A payment is disputed', jsonb_build_object(
      'payment_id', v_payment.id, 'session_id', v_session.id, 'amount_cents', v_amount,
      'reason', p_object ->> 'reason'
    ));
  end if;
  if p_event.type = 'charge.dispute.created' then
    return 'processed';
  end if;
  if v_status is null or v_status not in ('lost', 'won', 'warning_closed', 'prevented') then
    raise exception 'a dispute is not closed as %', v_status;
  end if;
  if v_status = 'lost' then
    -- What the bank takes we cannot send: it is there to be taken first.
    v_payment := private.displace_refunds(v_payment, (
      select coalesce(sum(d.amount_cents), 0)::integer
      from private.disputes d
      where d.payment_id = v_payment.id and (d.status = 'lost' or (d.status = 'open' and d.id = v_id))
    ));
  end if;
  update private.disputes d
  set status = case v_status when 'lost' then 'lost' else 'won' end, updated_at = private.clock()
  where d.id = v_id and d.payment_id = v_payment.id and d.status = 'open'
  returning d.* into v_dispute;
  if v_dispute.status is distinct from 'won' and v_dispute.status is distinct from 'lost' then
    return 'processed';
  end if;
  v_amount := v_dispute.amount_cents;

  if v_dispute.status = 'won' then
    perform private.post('dispute_won:' || v_id, v_session.id, v_at, v_payment.currency, jsonb_build_object(
      v_disputes, v_amount, 'stripe', -v_amount
    ));
    if v_session.id is not null then
      perform private.unblock_payouts(v_session.id, null, 'dispute');
    end if;
    return 'processed';
  end if;

  v_unapplied := least(v_amount, private.unapplied(v_payment));
  if v_payment.applied_to in ('session', 'extension') then
    if v_session.status < 'completed' then
      v_taken := least(v_amount - v_unapplied, private.held(v_session.id, v_session.currency)::integer);
      perform private.post('dispute_lost_hold:' || v_id, v_session.id, v_at, v_payment.currency, jsonb_build_object(
        'session_hold:' || v_session.id, -v_taken, v_disputes, v_taken
      ));
      perform private.review_session(v_session.id, 'dispute_lost', 'critical', jsonb_build_object(
        'payment_id', v_payment.id, 'amount_cents', v_amount
      ));
    else
      v_left := private.kept(v_session.id);
      v_taken := least(v_amount - v_unapplied, v_left);
      if v_taken > 0 then
        perform private.take_back(
          v_session, 'dispute:' || v_id, v_taken, v_disputes, private.setting_integer('dispute_loss_bps')
        );
      end if;
      v_is_all := v_taken >= v_left or v_payment.amount_cents <= v_payment.refunded_cents + (
        select sum(d.amount_cents) from private.disputes d where d.payment_id = v_payment.id and d.status = 'lost'
      );
      if v_session.status < 'refunded' then
        perform private.move_session(
          v_session, case when v_is_all then 'refunded' else v_session.status end::public.session_status,
          case when v_is_all then 'refunded' else 'partly_refunded' end, private.session_clock(v_session), null,
          jsonb_build_object('by', 'dispute', 'amount_cents', v_amount)
        );
      end if;
    end if;
  end if;
  if v_session.id is not null then
    -- Also of a payment that the session never used, and of which nothing is taken from it.
    perform private.unblock_payouts(v_session.id, null, 'dispute');
  end if;
  if v_amount > v_taken then
    -- What the bank gave back and we had given back already, as credit.
    v_lines := private.from_credit(v_payment, v_amount - v_taken - v_unapplied, private.credit_from(v_payment))
      || jsonb_build_object('unapplied:' || v_payment.id, -v_unapplied);
    update private.payments p
    set review = case when private.unapplied(p) > v_unapplied then p.review end,
        applied_to = coalesce(p.applied_to, 'refund')
    where p.id = v_payment.id and v_unapplied > 0;
    perform private.post(
      'dispute_lost:' || v_id, v_session.id, v_at, v_payment.currency,
      v_lines || jsonb_build_object(v_disputes, v_amount - v_taken)
    );
  end if;
  select coalesce(sum((b.value ->> 'fee')::integer), 0)::integer into v_fee
  from jsonb_array_elements(case jsonb_typeof(p_object -> 'balance_transactions')
    when 'array' then p_object -> 'balance_transactions' else '[]' end) as b (value);
  perform private.post('dispute_fee:' || v_id, v_session.id, v_at, v_payment.currency, jsonb_build_object(
    'processor_fees', -v_fee, 'stripe', v_fee
  ));
  return 'processed';
end;
$$;
comment on function private.on_dispute(private.stripe_events, jsonb) is
  'A dispute: the money is in disputes:<payment> and unsent payouts wait. Won: back. Lost: a refund at the cost of '
  'mechanic (dispute_loss_bps) and platform. Whichever event comes first. Locks: session, payment, settlement, '
  'payouts, credit, outbox.';
revoke all on function private.on_dispute from public, anon, authenticated, service_role;

create function private.on_transfer(p_event private.stripe_events, p_object jsonb)
returns text
language plpgsql
set search_path = ''
as $$
declare
  v_asked_for uuid := substring(
    p_object -> 'metadata' ->> 'outbox_key' from '^payout:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$'
  )::uuid;
  v_payout_id uuid;
  v_currency text;
  v_is_asked boolean;
  v_at timestamptz := private.occurred_at(p_event);
begin
  select p.id, p.currency into v_payout_id, v_currency
  from public.payouts p
  where p.id = v_asked_for or p.stripe_transfer_id = p_object ->> 'id'
  order by (p.stripe_transfer_id = p_object ->> 'id') desc nulls last
  limit 1;
  if v_payout_id is null then
    return 'ignored';
  end if;
  if p_object ->> 'currency' <> v_currency or (p_object ->> 'amount')::integer <= 0 then
    raise exception 'a payout in % cannot be of % %', v_currency, p_object ->> 'amount', p_object ->> 'currency';
  end if;
  perform private.doubt_outbox('payout:' || v_payout_id);
  perform private.payout_paid(v_payout_id, p_object ->> 'id', (p_object ->> 'amount')::integer, v_at);
  if p_event.type = 'transfer.reversed' then
    if p_object ->> 'amount_reversed' is null then
      raise exception 'the event does not say how much was reversed';
    end if;
    select exists (select from private.reversals(p)) into v_is_asked from public.payouts p where p.id = v_payout_id;
    if private.payout_reversed(p_object ->> 'id', (p_object ->> 'amount_reversed')::integer, v_at) > 0
        and not v_is_asked then
      perform private.alert_support(
        format('reversed:%s:%s', p_object ->> 'id', p_object ->> 'amount_reversed'), 'critical',
        'A transfer came back that nobody asked for', jsonb_build_object(
          'payout_id', v_payout_id, 'transfer', p_object ->> 'id', 'reversed_cents', p_object -> 'amount_reversed'
        )
      );
    end if;
  end if;
  return 'processed';
end;
$$;
comment on function private.on_transfer(private.stripe_events, jsonb) is
  'A transfer to a mechanic: made, or come back so far in all; whichever event comes first. Locks: its row of the '
  'outbox, payout, outbox.';
revoke all on function private.on_transfer from public, anon, authenticated, service_role;

create function private.on_account(p_event private.stripe_events, p_object jsonb)
returns text
language plpgsql
set search_path = ''
as $$
declare
  v_user_id uuid;
  v_account text := coalesce(p_event.payload ->> 'account', p_object ->> 'id');
begin
  select a.user_id into v_user_id from private.stripe_accounts a where a.account = v_account;
  if v_user_id is null then
    return 'ignored';
  end if;
  if p_event.type = 'payout.failed' then
    perform private.alert_support(
      'bank_payout:' || (p_object ->> 'id'), 'warning', 'A bank refused a payout of a mechanic', jsonb_build_object(
        'mechanic_id', v_user_id, 'account', v_account, 'failure_code', p_object ->> 'failure_code'
      )
    );
    perform private.notify(v_user_id, 'payout_failed', p_object ->> 'id', null);
  else
    perform private.unblock_payouts(null, v_user_id, 'account');
  end if;
  return 'processed';
end;
$$;
comment on function private.on_account(private.stripe_events, jsonb) is
  'A connected account changed (payouts that waited for it go), or its bank refused a payout (mechanic and support are '
  'told). Locks: payouts, outbox.';
revoke all on function private.on_account from public, anon, authenticated, service_role;

-- The inbox -------------------------------------------------------------------------------------------------------

create function private.process_stripe_event(p_event private.stripe_events)
returns text
language plpgsql
set search_path = ''
as $$
declare
  v_object jsonb := p_event.payload -> 'data' -> 'object';
begin
  if p_event.livemode <> (private.setting('stripe_livemode') = 'true') then
    return 'ignored';
  end if;
  return case
    when p_event.type in ('checkout.session.completed', 'checkout.session.async_payment_succeeded')
      then private.on_checkout(p_event, v_object, case
        when p_event.type = 'checkout.session.completed' and v_object ->> 'payment_status' is distinct from 'paid'
          then 'open'
        else 'paid' end)
    when p_event.type in ('checkout.session.async_payment_failed', 'checkout.session.expired')
      then private.on_checkout(p_event, v_object, 'failed')
    when p_event.type = 'payment_intent.succeeded' then private.on_checkout(p_event, v_object, 'paid')
    when p_event.type in ('payment_intent.payment_failed', 'payment_intent.canceled')
      then private.on_checkout(p_event, v_object, 'failed')
    when p_event.type in ('refund.created', 'refund.updated', 'refund.failed')
      then private.on_refund(p_event, v_object)
    when p_event.type = 'charge.refunded' then private.on_charge_refunded(p_event, v_object)
    when p_event.type in ('charge.dispute.created', 'charge.dispute.closed')
      then private.on_dispute(p_event, v_object)
    when p_event.type in ('transfer.created', 'transfer.reversed') then private.on_transfer(p_event, v_object)
    when p_event.type in ('payout.failed', 'account.updated') then private.on_account(p_event, v_object)
    else 'ignored'
  end;
end;
$$;
comment on function private.process_stripe_event(private.stripe_events) is
  'Does what an event means and says processed or ignored. Events of the other mode are ignored.';
revoke all on function private.process_stripe_event from public, anon, authenticated, service_role;

create index stripe_events_ignored_payment_idx on private.stripe_events (
  (payload -> 'data' -> 'object' ->> 'payment_intent')
)
where status = 'ignored';

create function private.run_stripe_event(p_event_id text)
returns private.stripe_events
language plpgsql
set search_path = ''
as $$
declare
  v_event private.stripe_events;
  v_early text;
begin
  select e.* into v_event from private.stripe_events e where e.id = p_event_id;
  if v_event.status = 'processed' then
    return v_event;
  end if;
  -- Events of one payment take turns: none is ignored for want of another that is just being processed.
  perform pg_advisory_xact_lock(hashtextextended('payment_intent ' || coalesce(
    v_event.payload -> 'data' -> 'object' ->> 'payment_intent', v_event.payload -> 'data' -> 'object' ->> 'id'
  ), 0));
  begin
    v_event.status := private.process_stripe_event(v_event);
    v_event.error := null;
  exception
    when lock_not_available or deadlock_detected or serialization_failure then
      raise;
    when sqlstate 'PT409' then
      if sqlerrm = 'session_locked' then
        raise;
      end if;
      v_event.status := 'failed';
      v_event.error := sqlerrm;
    when others then
      v_event.status := 'failed';
      v_event.error := sqlerrm;
  end;
  update private.stripe_events e
  set status = v_event.status, error = v_event.error, processed_at = private.clock()
  where e.id = p_event_id;
  if v_event.status = 'failed' then
    perform private.alert_support('stripe_event:' || p_event_id, 'critical', 'An event of Stripe failed',
      jsonb_build_object('event_id', p_event_id, 'type', v_event.type, 'error', v_event.error));
  elsif v_event.status = 'processed' and v_event.type in (
    'checkout.session.completed', 'checkout.session.async_payment_succeeded', 'payment_intent.succeeded'
  ) then
    -- What Stripe told of this payment before anybody had heard of it.
    for v_early in
      select e.id
      from private.stripe_events e
      where e.status = 'ignored'
        and e.livemode = v_event.livemode
        and e.payload -> 'data' -> 'object' ->> 'payment_intent' = coalesce(
          v_event.payload -> 'data' -> 'object' ->> 'payment_intent', v_event.payload -> 'data' -> 'object' ->> 'id'
        )
        and e.id <> p_event_id
      order by e.received_at, e.id
    loop
      perform private.run_stripe_event(v_early);
    end loop;
  end if;
  return v_event;
end;
$$;
comment on function private.run_stripe_event(text) is
  'Processes a kept event, and then what came too early for its payment. A failure undoes its own effects only; '
  'waiting too long for a lock raises. Locks: the event (held), its payment intent, then what it needs.';
revoke all on function private.run_stripe_event from public, anon, authenticated, service_role;

create function private.ingest_stripe_event(p_event jsonb)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_event private.stripe_events;
  v_is_new boolean;
begin
  perform private.require_system();
  if jsonb_typeof(p_event) is distinct from 'object'
      or coalesce(p_event ->> 'id', '') !~ '^evt_[A-Za-z0-9_]{1,250}$'
      or jsonb_typeof(p_event -> 'type') is distinct from 'string'
      or jsonb_typeof(p_event -> 'livemode') is distinct from 'boolean'
      or jsonb_typeof(p_event -> 'created') is distinct from 'number'
      or jsonb_typeof(p_event -> 'data' -> 'object') is distinct from 'object' then
    perform private.fail('invalid_argument', 'p_event is not an event of Stripe.');
  end if;
  insert into private.stripe_events as e (id, type, livemode, payload)
  values (p_event ->> 'id', p_event ->> 'type', (p_event ->> 'livemode')::boolean, p_event)
  on conflict (id) do update set deliveries = e.deliveries + 1
  returning e.* into v_event;
  v_is_new := v_event.deliveries = 1;
  if v_event.status in ('processed', 'ignored') then
    return jsonb_build_object('status', v_event.status, 'duplicate', true, 'error', null);
  end if;
  v_event := private.run_stripe_event(v_event.id);
  return jsonb_build_object('status', v_event.status, 'duplicate', not v_is_new, 'error', v_event.error);
end;
$$;
comment on function private.ingest_stripe_event(jsonb) is
  'Behind public.ingest_stripe_event. Locks: the event, then what it needs.';
revoke all on function private.ingest_stripe_event from public, anon, authenticated, service_role;
grant execute on function private.ingest_stripe_event to service_role;

create function public.ingest_stripe_event(p_event jsonb)
returns jsonb
language sql
volatile
set search_path = ''
as $$
  select private.ingest_stripe_event(p_event)
$$;
comment on function public.ingest_stripe_event(jsonb) is
  'Takes an event of Stripe whose signature was checked: {status: processed, ignored or failed, duplicate, error}. Any '
  'order, any number of times; answer 5xx to Stripe for failed, and it is run again. The system. Errors: '
  'invalid_argument, session_locked (nothing is kept then).';
revoke all on function public.ingest_stripe_event from public, anon, authenticated, service_role;
grant execute on function public.ingest_stripe_event to service_role;

create function private.retry_stripe_event(p_event_id text)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_event private.stripe_events;
begin
  perform private.require_admin();
  select e.* into v_event from private.stripe_events e where e.id = p_event_id for no key update;
  if v_event.status is distinct from 'failed' then
    perform private.fail('invalid_argument', 'p_event_id is not an event that failed.');
  end if;
  v_event := private.run_stripe_event(p_event_id);
  perform private.log_op('stripe_event.retried', null, jsonb_build_object(
    'event_id', p_event_id, 'status', v_event.status
  ));
  return jsonb_build_object('status', v_event.status, 'duplicate', false, 'error', v_event.error);
end;
$$;
comment on function private.retry_stripe_event(text) is
  'Behind public.retry_stripe_event. Locks: the event, then what it needs.';
revoke all on function private.retry_stripe_event from public, anon, authenticated, service_role;
grant execute on function private.retry_stripe_event to authenticated, service_role;

create function public.retry_stripe_event(p_event_id text)
returns jsonb
language sql
volatile
set search_path = ''
as $$
  select private.retry_stripe_event(p_event_id)
$$;
comment on function public.retry_stripe_event(text) is
  'Runs an event again that failed: {status, duplicate, error}. Admins and the system; logged. Errors: role_required, '
  'invalid_argument, session_locked.';
revoke all on function public.retry_stripe_event from public, anon, authenticated, service_role;
grant execute on function public.retry_stripe_event to authenticated, service_role;

create function private.empty_stripe_events(p_before timestamptz, p_limit integer)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_emptied integer;
begin
  update private.stripe_events e
  set payload = null
  where e.id in (
    select d.id
    from private.stripe_events d
    where d.status in ('processed', 'ignored') and d.payload is not null and d.processed_at < p_before
    order by d.processed_at
    limit p_limit
    for no key update skip locked
  );
  get diagnostics v_emptied = row_count;
  return v_emptied;
end;
$$;
comment on function private.empty_stripe_events(timestamptz, integer) is
  'Forgets what events said that were dealt with long ago; Stripe keeps it, and what it meant is in the payments and '
  'the ledger. Their ids stay, so that none counts twice. Locks: these rows, skipping locked ones.';
revoke all on function private.empty_stripe_events from public, anon, authenticated, service_role;
