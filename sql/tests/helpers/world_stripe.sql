-- What Stripe tells: its events as it documents them, one builder for each object, and what the tests of money ask.
-- A payment has a name, '1' say: its Checkout Session is cs_1, its payment intent pi_1, its charge ch_1.
begin;

select plan(1);

create function tests.stripe_event(
  p_type text, p_object jsonb, p_id text default null, p_livemode boolean default false, p_account text default null
) returns jsonb
language plpgsql
as $$
begin
  perform set_config('tests.stripe_events', (
    coalesce(nullif(current_setting('tests.stripe_events', true), ''), '0')::integer + 1
  )::text, true);
  return jsonb_build_object(
    'id', coalesce(p_id, 'evt_' || current_setting('tests.stripe_events')), 'object', 'event', 'type', p_type,
    'api_version', '2025-09-30.clover', 'created', floor(extract(epoch from private.clock()))::bigint,
    'livemode', p_livemode, 'pending_webhooks', 1, 'request', jsonb_build_object('id', null, 'idempotency_key', null),
    'data', jsonb_build_object('object', p_object)
  ) || case when p_account is null then '{}' else jsonb_build_object('account', p_account) end;
end
$$;

create function tests.stripe_metadata(p_purpose text, p_purpose_id uuid) returns jsonb
language sql immutable
as $$
  select jsonb_build_object(
    'mode', p_purpose, case p_purpose when 'session' then 'intent_id' else 'extension_id' end, p_purpose_id
  )
$$;

create function tests.stripe_checkout(
  p_name text, p_purpose text, p_purpose_id uuid, p_cents integer, p_payment_status text default 'paid',
  p_currency text default 'usd', p_status text default 'complete'
) returns jsonb
language sql
as $$
  select jsonb_build_object(
    'id', 'cs_' || p_name, 'object', 'checkout.session', 'mode', 'payment', 'status', p_status,
    'payment_status', p_payment_status, 'amount_subtotal', p_cents, 'amount_total', p_cents, 'currency', p_currency,
    'client_reference_id', null, 'customer', null, 'livemode', false, 'url', null,
    -- A Checkout Session that was not submitted has no payment intent yet.
    'payment_intent', case p_status when 'complete' then 'pi_' || p_name end,
    'created', floor(extract(epoch from private.clock()))::bigint,
    'expires_at', floor(extract(epoch from private.clock()))::bigint + 86400,
    'metadata', tests.stripe_metadata(p_purpose, p_purpose_id)
  )
$$;

create function tests.stripe_intent(
  p_name text, p_purpose text, p_purpose_id uuid, p_cents integer, p_status text default 'succeeded',
  p_currency text default 'usd'
) returns jsonb
language sql
as $$
  select jsonb_build_object(
    'id', 'pi_' || p_name, 'object', 'payment_intent', 'status', p_status, 'amount', p_cents,
    'amount_capturable', 0, 'amount_received', case p_status when 'succeeded' then p_cents else 0 end,
    'currency', p_currency, 'capture_method', 'automatic_async', 'latest_charge', 'ch_' || p_name,
    'last_payment_error', case p_status when 'requires_payment_method'
      then '{"type": "card_error", "code": "card_declined", "decline_code": "generic_decline"}'::jsonb end,
    'livemode', false, 'created', floor(extract(epoch from private.clock()))::bigint,
    'metadata', tests.stripe_metadata(p_purpose, p_purpose_id)
  )
$$;

create function tests.stripe_charge(p_name text, p_cents integer, p_refunded_cents integer) returns jsonb
language sql
as $$
  select jsonb_build_object(
    'id', 'ch_' || p_name, 'object', 'charge', 'status', 'succeeded', 'paid', true, 'captured', true,
    'amount', p_cents, 'amount_captured', p_cents, 'amount_refunded', p_refunded_cents,
    'refunded', p_refunded_cents = p_cents, 'disputed', false, 'currency', 'usd', 'payment_intent', 'pi_' || p_name,
    'livemode', false, 'created', floor(extract(epoch from private.clock()))::bigint, 'metadata', '{}'::jsonb
  )
$$;

create function tests.stripe_refund(
  p_id text, p_name text, p_cents integer, p_status text default 'succeeded', p_outbox_key text default null
) returns jsonb
language sql
as $$
  select jsonb_build_object(
    'id', p_id, 'object', 'refund', 'status', p_status, 'amount', p_cents, 'currency', 'usd',
    'charge', 'ch_' || p_name, 'payment_intent', 'pi_' || p_name, 'reason', null,
    'balance_transaction', 'txn_' || p_id, 'failure_reason', case p_status when 'failed' then 'lost_or_stolen_card' end,
    'created', floor(extract(epoch from private.clock()))::bigint,
    'metadata', case when p_outbox_key is null then '{}' else jsonb_build_object('outbox_key', p_outbox_key) end
  )
$$;

create function tests.stripe_dispute(
  p_id text, p_name text, p_cents integer, p_status text default 'needs_response', p_fee integer default 1500
) returns jsonb
language sql
as $$
  select jsonb_build_object(
    'id', p_id, 'object', 'dispute', 'status', p_status, 'reason', 'fraudulent', 'amount', p_cents, 'currency', 'usd',
    'charge', 'ch_' || p_name, 'payment_intent', 'pi_' || p_name, 'is_charge_refundable', false, 'livemode', false,
    'created', floor(extract(epoch from private.clock()))::bigint, 'metadata', '{}'::jsonb,
    'balance_transactions', jsonb_build_array(jsonb_build_object(
      'id', 'txn_' || p_id, 'object', 'balance_transaction', 'type', 'adjustment', 'amount', -p_cents, 'fee', p_fee,
      'net', -p_cents - p_fee, 'currency', 'usd', 'source', p_id
    ))
  )
$$;

create function tests.stripe_transfer(
  p_id text, p_cents integer, p_outbox_key text default null, p_reversed_cents integer default 0
) returns jsonb
language sql
as $$
  select jsonb_build_object(
    'id', p_id, 'object', 'transfer', 'amount', p_cents, 'amount_reversed', p_reversed_cents, 'currency', 'usd',
    'destination', 'acct_1', 'reversed', p_reversed_cents = p_cents, 'livemode', false, 'source_type', 'card',
    'created', floor(extract(epoch from private.clock()))::bigint,
    'metadata', case when p_outbox_key is null then '{}' else jsonb_build_object('outbox_key', p_outbox_key) end
  )
$$;

create function tests.stripe_payout(p_id text, p_cents integer) returns jsonb
language sql
as $$
  select jsonb_build_object(
    'id', p_id, 'object', 'payout', 'status', 'failed', 'amount', p_cents, 'currency', 'usd', 'type', 'bank_account',
    'method', 'standard', 'automatic', true, 'failure_code', 'account_closed',
    'failure_message', 'The bank account has been closed.', 'livemode', false, 'metadata', '{}'::jsonb
  )
$$;

create function tests.stripe_account(p_id text) returns jsonb
language sql
as $$
  select jsonb_build_object(
    'id', p_id, 'object', 'account', 'type', 'express', 'charges_enabled', true, 'payouts_enabled', true,
    'details_submitted', true, 'country', 'US', 'default_currency', 'usd', 'metadata', '{}'::jsonb
  )
$$;

-- Delivers an event: 'processed', 'ignored again', 'failed: why'.
create function tests.deliver(p_event jsonb) returns text
language plpgsql
as $$
declare
  v_answer jsonb;
begin
  perform tests.act_as_role('service_role');
  v_answer := public.ingest_stripe_event(p_event);
  perform tests.be_system();
  return (v_answer ->> 'status') || case when (v_answer ->> 'duplicate')::boolean then ' again' else '' end
    || coalesce(': ' || (v_answer ->> 'error'), '');
end
$$;

-- Stripe tells something new.
create function tests.tell(p_type text, p_object jsonb) returns text
language sql
as $$ select tests.deliver(tests.stripe_event(p_type, p_object)) $$;

-- A checkout that was asked for and opened at Stripe, and one that was paid as well: its session.
create function tests.checkout(p_customer text, p_name text, p_plan text default 'chat10') returns uuid
language plpgsql
as $$
declare
  v_intent uuid;
begin
  perform tests.act_as(p_customer);
  select i.id into v_intent from public.request_checkout(p_plan => p_plan) as i;
  perform tests.act_as_role('service_role');
  perform public.record_checkout('session', v_intent, 'cs_' || p_name);
  perform tests.be_system();
  return v_intent;
end
$$;

create function tests.buy(p_customer text, p_name text, p_plan text default 'chat10') returns uuid
language plpgsql
as $$
declare
  v_intent uuid := tests.checkout(p_customer, p_name, p_plan);
  v_outcome text;
begin
  v_outcome := tests.tell('payment_intent.succeeded', tests.stripe_intent(p_name, 'session', v_intent, (
    select i.price_cents from public.checkout_intents as i where i.id = v_intent
  )));
  if v_outcome <> 'processed' then
    raise exception 'the payment was %', v_outcome;
  end if;
  return (select i.session_id from public.checkout_intents as i where i.id = v_intent);
end
$$;

-- A paid session that runs.
create function tests.live_paid(p_customer text, p_mechanic text, p_name text, p_plan text default 'chat10')
returns void
language plpgsql
as $$
begin
  perform tests.person(p_customer);
  perform tests.mechanic(p_mechanic);
  perform tests.buy(p_customer, p_name, p_plan);
  perform tests.accept(p_mechanic, p_customer);
  perform tests.join(p_customer, p_customer);
  perform tests.join(p_mechanic, p_customer);
end
$$;

-- One that completed after two minutes.
create function tests.completed_paid(p_customer text, p_mechanic text, p_name text, p_plan text default 'chat10')
returns void
language plpgsql
as $$
begin
  perform tests.live_paid(p_customer, p_mechanic, p_name, p_plan);
  perform tests.advance(80);
  perform tests.finish_session(p_customer, p_customer);
end
$$;

-- An extension that was asked for and opened at Stripe, and its proof of payment.
create function tests.extension(p_customer text, p_name text, p_minutes integer default 15) returns uuid
language plpgsql
as $$
declare
  v_id uuid;
begin
  perform tests.act_as(p_customer);
  select e.id into v_id
  from public.request_extension(p_session_id => tests.session_of(p_customer), p_minutes => p_minutes) as e;
  perform tests.act_as_role('service_role');
  perform public.record_checkout('extension', v_id, 'cs_' || p_name);
  perform tests.be_system();
  return v_id;
end
$$;

create function tests.pay_extension(p_name text, p_extension uuid, p_cents integer default null) returns text
language sql
as $$
  select tests.tell('payment_intent.succeeded', tests.stripe_intent(p_name, 'extension', p_extension, coalesce(
    p_cents, (select e.price_cents from public.session_extensions as e where e.id = p_extension)
  )))
$$;

create function tests.payment(p_name text) returns private.payments
language sql stable
as $$ select p from private.payments as p where p.payment_intent_id = 'pi_' || p_name $$;

-- 'paid session 0', the rank, what it was applied to and what has gone back.
create function tests.told_of_payment(p_name text) returns text
language sql stable
as $$
  select concat_ws(' ', p.rank, coalesce(p.applied_to, '-'), p.refunded_cents, p.review)
  from tests.payment(p_name) as p
$$;

-- Everything that is not zero, by kind of account: 'session_hold 1000, stripe -1000'.
create function tests.totals() returns text
language sql stable
as $$
  select string_agg(b.kind || ' ' || b.cents, ', ' order by b.kind)
  from (
    select split_part(a.name, ':', 1) as kind, sum(e.amount_cents) as cents
    from private.ledger_entries as e
    join private.ledger_accounts as a on a.id = e.account_id
    group by 1
    having sum(e.amount_cents) <> 0
  ) as b
$$;

-- What support was told so far: 'critical: A payment is disputed'.
create function tests.alerts() returns text[]
language sql stable
as $$
  select coalesce(array_agg((o.payload ->> 'severity') || ': ' || (o.payload ->> 'subject') order by o.id), '{}')
  from private.outbox as o where o.topic = 'support.alert'
$$;

select has_function('tests', 'stripe_event', 'what Stripe tells is in place');

select * from finish();

commit;
