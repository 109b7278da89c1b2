-- MON-15: a payout already sent stays sent: the mechanic owes it, and a transfer reversal goes into the outbox; one
-- that was refused is sent for what is left, or never.
begin;

select plan(27);

select tests.stop_clock();
select tests.nobody_falls_silent();

create function pg_temp.paid_out(p_customer text) returns void
language plpgsql
as $$
begin
  perform tests.paid_and_completed(p_customer, p_customer || ' mechanic');
  perform tests.advance(86401);
  perform tests.dispatch();
  perform tests.stripe_says('stripe.transfer', jsonb_build_object('id', 'tr_' || p_customer));
end
$$;

-- paid
select pg_temp.paid_out('customer');
select is(tests.cents('mechanic_payable', 'customer mechanic'), 0, 'MON-14: the mechanic was paid');
select tests.session_refund('customer', 'a part', 300);
select is(tests.payout_told('customer'), '1050 paid', 'MON-15: the payout stays what it was');
select is(tests.cents('mechanic_payable', 'customer mechanic'), -210, 'MON-15: the mechanic owes his part');
select results_eq(
  $$ select topic, payload - 'payout_id' - 'outbox_key' from private.outbox
     where topic = 'stripe.transfer_reversal' $$,
  $$ values ('stripe.transfer_reversal', '{"amount": 210, "currency": "usd", "transfer": "tr_customer"}'::jsonb) $$,
  'MON-15: and a reversal of the transfer is asked for'
);
select tests.session_refund('customer', 'a part', 300);
select is(tests.effects('customer', 'stripe.transfer_reversal'), '210', 'MON-15: once per key');
select tests.dispatch();
select tests.stripe_says('stripe.transfer_reversal');
select is(tests.cents('mechanic_payable', 'customer mechanic'), 0, 'MON-15: what comes back settles it');
select is((tests.payout_of('customer')).reversed_cents, 210, 'MON-14: so much is reversed');
select tests.session_refund('customer', 'the rest');
select is(tests.effects('customer', 'stripe.transfer_reversal'), '210 840', 'MON-15: the rest is asked for as well');
select tests.dispatch();
select tests.stripe_says('stripe.transfer_reversal', '{"transfer": "tr_customer", "amount_reversed": 1050}');
select is(tests.payout_told('customer'), '1050 reversed', 'MON-14: all of it: reversed');
select is(tests.cents('mechanic_payable', 'customer mechanic'), 0, 'MON-15: nobody owes anything');

-- what does not come back stays a receivable
select pg_temp.paid_out('second');
select tests.session_refund('second', 'all');
select tests.dispatch();
select tests.stripe_says('stripe.transfer_reversal', '{}');
select is(tests.cents('mechanic_payable', 'second mechanic'), -1050, 'MON-02: a mechanic''s balance can be negative');
select is(tests.payout_told('second'), '1050 paid', 'MON-14: an answer without an amount reverses nothing');

-- on its way
select tests.paid_and_completed('third', 'third mechanic');
select tests.advance(86401);
select private.run_job('dispatch-outbox');
select tests.session_refund('third', 'all');
select is(tests.payout_told('third'), '1050 submitted', 'MON-15: submitted counts as sent');
select is(tests.effects('third', 'stripe.transfer_reversal'), '1050', 'MON-15: so it is asked back');
select is(tests.effects('third', 'stripe.transfer'), '1050', 'MON-15: and goes out as it was');

-- nobody knows
select tests.paid_and_completed('fourth', 'fourth mechanic');
select tests.advance(86401);
select tests.dispatch();
select tests.stripe_fails('stripe.transfer', true, 'time-out');
select tests.session_refund('fourth', 'a part', 150);
select is(tests.payout_told('fourth'), '1050 needs_reconciliation', 'MON-15: so does one that nobody knows about');
select is(tests.effects('fourth', 'stripe.transfer_reversal'), '105', 'MON-15: and its part is asked back');

-- refused for good
select tests.paid_and_completed('fifth', 'fifth mechanic');
select tests.advance(86401);
select tests.dispatch();
select tests.stripe_fails_for_good('stripe.transfer', false);
select is(tests.payout_told('fifth'), '1050 failed', 'MON-14: it was never sent');
select tests.session_refund('fifth', 'a part', 150);
select is(tests.payout_told('fifth'), '945 failed', 'MON-15: so it is reduced');
select is(tests.effects('fifth', 'stripe.transfer'), '945', 'MON-15: and will be sent for what is left');
select tests.session_refund('fifth', 'the rest');
select is(tests.payout_told('fifth'), '0 cancelled', 'MON-15: or not at all');
select is(
  (select status from private.outbox where topic = 'stripe.transfer' and session_id = tests.session_of('fifth')),
  'done',
  'MON-15: nobody can revive it'
);
select is(tests.effects('fifth', 'stripe.transfer_reversal'), null, 'MON-15: nothing has to come back');

-- told of before it is answered
create function pg_temp.comes_back(p_customer text, p_reversed integer) returns text
language sql
as $$
  select tests.arrives('transfer.reversed', jsonb_build_object(
    'id', 'tr_' || p_customer, 'object', 'transfer', 'amount', 1050, 'amount_reversed', p_reversed, 'currency', 'usd',
    'metadata', jsonb_build_object('outbox_key', 'payout:' || (tests.payout_of(p_customer)).id)
  )) ->> 'status'
$$;
select pg_temp.paid_out('sixth');
select tests.session_refund('sixth', 'a part', 300);
select tests.dispatch();
select pg_temp.comes_back('sixth', 210);
select tests.session_refund('sixth', 'the rest');
select is(tests.effects('sixth', 'stripe.transfer_reversal'), '210 840', 'MON-15: asked for and told of');
select tests.stripe_says('stripe.transfer_reversal', '{"transfer": "tr_sixth", "amount_reversed": 210}');
select tests.dispatch();
select tests.stripe_says('stripe.transfer_reversal', '{"transfer": "tr_sixth", "amount_reversed": 1050}');
select is(tests.cents('mechanic_payable', 'sixth mechanic'), 0, 'MON-15: and all of it comes back');

-- beside what somebody reversed at Stripe
select pg_temp.paid_out('seventh');
select pg_temp.comes_back('seventh', 100);
select tests.session_refund('seventh', 'a part', 300);
select tests.session_refund('seventh', 'the rest');
select is(tests.effects('seventh', 'stripe.transfer_reversal'), '210 740', 'MON-15: no more than what is left');

select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');

select * from finish();

rollback;
