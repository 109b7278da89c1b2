-- Money for the tests of outcome, payouts, refunds, quotes and reviews: sessions paid by card or credit, and a worker
-- that answers for Stripe. After world.sql, whose schema it fills.
begin;

select plan(1);

create sequence tests.stripe_ids;
grant usage on sequence tests.stripe_ids to public;

-- The payment intent of a customer's newest payment of this kind.
create function tests.pi(p_customer text, p_kind text default '') returns text
language sql immutable
as $$ select 'pi_' || substr(md5(p_kind || p_customer), 1, 12) $$;

create function tests.arrives(p_type text, p_object jsonb) returns jsonb
language sql
as $$
  select public.ingest_stripe_event(p_event => jsonb_build_object(
    'id', 'evt_s' || nextval('tests.stripe_ids'), 'object', 'event', 'type', p_type, 'livemode', false,
    'created', extract(epoch from private.clock())::bigint, 'data', jsonb_build_object('object', p_object)
  ))
$$;

create function tests.charged(p_customer text, p_kind text, p_cents integer, p_metadata jsonb, p_currency text)
returns jsonb
language sql
as $$
  select tests.arrives('payment_intent.succeeded', jsonb_build_object(
    'id', tests.pi(p_customer, p_kind), 'object', 'payment_intent', 'amount', p_cents, 'amount_received', p_cents,
    'currency', p_currency, 'latest_charge', 'ch_' || tests.pi(p_customer, p_kind), 'metadata', p_metadata
  ))
$$;

-- Asks for a checkout and has it paid, with another amount when one is given.
create function tests.pay(
  p_customer text, p_plan text default 'video15', p_cents integer default null, p_kind text default '',
  p_currency text default 'usd'
) returns uuid
language plpgsql
as $$
declare
  v_intent public.checkout_intents;
begin
  perform tests.act_as(p_customer);
  select * into v_intent from public.request_checkout(p_plan => p_plan);
  perform tests.be_system();
  perform tests.charged(
    p_customer, p_kind, coalesce(p_cents, v_intent.price_cents),
    jsonb_build_object('mode', 'session', 'intent_id', v_intent.id), p_currency
  );
  return v_intent.id;
end
$$;

create function tests.pay_extension(
  p_customer text, p_minutes integer, p_cents integer default null, p_currency text default 'usd'
) returns uuid
language plpgsql
as $$
declare
  v_extension public.session_extensions;
begin
  perform tests.act_as(p_customer);
  select * into v_extension
  from public.request_extension(p_session_id => tests.session_of(p_customer), p_minutes => p_minutes);
  perform tests.be_system();
  perform tests.charged(
    p_customer, 'extension' || p_minutes, coalesce(p_cents, v_extension.price_cents),
    jsonb_build_object('mode', 'extension', 'extension_id', v_extension.id), p_currency
  );
  return v_extension.id;
end
$$;

create function tests.payment_of(p_customer text, p_kind text default '') returns private.payments
language sql stable
as $$ select p from private.payments as p where p.payment_intent_id = tests.pi(p_customer, p_kind) $$;

-- Buys with credit granted just for it, and something over.
create function tests.buy_with_credit(p_customer text, p_plan text, p_over integer default 0) returns uuid
language plpgsql
as $$
declare
  v_session uuid;
begin
  perform public.grant_credit(
    p_user_id => tests.id(p_customer), p_currency => 'usd', p_key => 'for ' || p_customer,
    p_amount_cents => (select price_cents from public.plans where slug = p_plan) + p_over
  );
  perform tests.act_as(p_customer);
  select id into v_session from public.create_session(p_plan => p_plan, p_funding => 'credit');
  perform tests.be_system();
  return v_session;
end
$$;

create function tests.serve(p_customer text, p_mechanic text) returns void
language plpgsql
as $$
begin
  perform tests.accept(p_mechanic, p_customer);
  perform tests.join(p_customer, p_customer);
  perform tests.join(p_mechanic, p_customer);
end
$$;

create function tests.has_account(p_mechanic text) returns void
language plpgsql
as $$
begin
  perform public.set_stripe_account(
    p_mechanic_id => tests.id(p_mechanic), p_account => 'acct_' || substr(md5(p_mechanic), 1, 12)
  );
end
$$;

-- A paid session, live, with a new customer and a new mechanic who has an account.
create function tests.paid_live(p_customer text, p_mechanic text, p_plan text default 'video15') returns void
language plpgsql
as $$
begin
  perform tests.person(p_customer);
  perform tests.mechanic(p_mechanic);
  perform tests.has_account(p_mechanic);
  perform tests.pay(p_customer, p_plan);
  perform tests.serve(p_customer, p_mechanic);
end
$$;

-- The same, completed after 70 seconds.
create function tests.paid_and_completed(p_customer text, p_mechanic text, p_plan text default 'video15') returns void
language plpgsql
as $$
begin
  perform tests.paid_live(p_customer, p_mechanic, p_plan);
  perform tests.advance(70);
  perform tests.finish_session('system', p_customer);
end
$$;

-- What somebody's account of this kind holds, in cents.
create function tests.cents(p_account text, p_word text default null) returns integer
language sql stable
as $$ select private.balance(p_account || coalesce(':' || tests.id(p_word), ''), 'usd')::integer $$;

-- The balances that are not zero by kind of account, all names together.
create function tests.money() returns text
language sql stable
as $$
  select string_agg(format('%s %s', kind, cents), ', ' order by kind collate "C")
  from (
    select split_part(a.name, ':', 1) as kind, sum(e.amount_cents) as cents
    from private.ledger_entries as e join private.ledger_accounts as a on a.id = e.account_id
    group by 1
  ) as b
  where cents <> 0
$$;

create function tests.payout_of(p_customer text, p_kind text default 'session') returns public.payouts
language sql stable
as $$ select p from public.payouts as p where p.session_id = tests.session_of(p_customer) and p.kind = p_kind $$;

create function tests.payout_told(p_customer text, p_kind text default 'session') returns text
language sql stable
as $$
  select nullif(concat_ws(' ', p.amount_cents, p.status, p.blocked_by), '') from tests.payout_of(p_customer, p_kind) as p
$$;

create function tests.dispatch() returns void
language plpgsql
as $$
begin
  perform private.run_job('dispatch-outbox');
  perform public.claim_outbox(p_worker => 'worker', p_limit => 1000, p_lease_seconds => 60);
end
$$;

-- What the worker who holds them hears about every effect of this topic.
create function tests.stripe_says(p_topic text, p_result jsonb default null) returns integer
language sql
as $$
  select count(public.complete_outbox(
    p_id => o.id, p_lease_token => o.lease_token,
    p_result => coalesce(p_result, case p_topic
      when 'stripe.transfer' then jsonb_build_object('id', 'tr_' || o.id)
      when 'stripe.refund' then jsonb_build_object('id', 're_' || o.id, 'status', 'succeeded')
      when 'stripe.transfer_reversal'
        then jsonb_build_object('transfer', o.payload -> 'transfer', 'amount_reversed', o.payload -> 'amount')
      else '{}' end)
  ))::integer
  from (select * from private.outbox where topic = p_topic and status = 'leased' order by id) as o
$$;

create function tests.stripe_fails(p_topic text, p_ambiguous boolean, p_error text default 'balance_insufficient')
returns integer
language sql
as $$
  select count(public.fail_outbox(
    p_id => o.id, p_lease_token => o.lease_token, p_error => p_error, p_ambiguous => p_ambiguous
  ))::integer
  from (select * from private.outbox where topic = p_topic and status = 'leased' order by id) as o
$$;

-- Fails them so often that they are given up.
create function tests.stripe_fails_for_good(p_topic text, p_ambiguous boolean) returns void
language plpgsql
as $$
begin
  for v_try in 1..12 loop
    perform tests.advance(3601);
    perform tests.dispatch();
    perform tests.stripe_fails(p_topic, p_ambiguous, 'account_invalid');
  end loop;
end
$$;

-- "topic amount" of what waits in the outbox, oldest first.
create function tests.effects(p_customer text, p_topic text) returns text
language sql stable
as $$
  select string_agg(coalesce(payload ->> 'amount', '-'), ' ' order by id)
  from private.outbox where session_id = tests.session_of(p_customer) and topic = p_topic
$$;

create function tests.session_refund(
  p_customer text, p_key text, p_cents integer default null, p_reason text default null
) returns public.session_refund
language sql
as $$
  select r from public.refund_session(
    p_session_id => tests.session_of(p_customer), p_key => p_key, p_amount_cents => p_cents, p_reason => p_reason
  ) as r
$$;

-- The detail of the newest row of the operations log of this kind.
create function tests.op(p_kind text) returns jsonb
language sql stable
as $$ select detail from private.ops_log where kind = p_kind order by id desc limit 1 $$;

select has_function('tests', 'paid_and_completed', 'the money helpers are in place');

select * from finish();

commit;
