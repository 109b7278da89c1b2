-- MON-15: card payments go back to the card first, the newest first, and what was credit becomes credit again; a refund
-- of what a policy kept, of an archived session, and one whose refund at Stripe fails later.
begin;

select plan(24);

select tests.stop_clock();
select tests.nobody_falls_silent();

-- credit for the session, cards for two extensions
select tests.person('customer');
select tests.mechanic('mechanic');
select tests.has_account('mechanic');
select tests.buy_with_credit('customer', 'chat10');
select tests.serve('customer', 'mechanic');
select tests.advance(5);
select tests.pay_extension('customer', 15);
select tests.advance(5);
select tests.pay_extension('customer', 30);
select tests.advance(70);
select tests.finish_session('customer', 'customer');
select is(tests.payout_told('customer'), '1680 pending', 'MON-12: a share of all three');
select is(
  (select format('%s %s', r.to_card_cents, r.to_credit_cents) from tests.session_refund('customer', 'a', 1000) as r),
  '1000 0', 'MON-15: to the card first'
);
select is(tests.effects('customer', 'stripe.refund'), '900 100', 'MON-15: the newest payment first');
select is(
  (select format('%s %s', r.to_card_cents, r.to_credit_cents) from tests.session_refund('customer', 'b', 1000) as r),
  '400 600', 'MON-15: then what is left of the other, the rest as credit'
);
select is(tests.cents('customer_credit', 'customer'), 600, 'MON-15: which the customer has again');
select is(
  (select format('%s %s', r.to_card_cents, r.to_credit_cents) from tests.session_refund('customer', 'c') as r),
  '0 400', 'MON-15: and the last of it'
);
select is(
  tests.money(), 'customer_credit 1000, promotions -1000, refund_clearing 1400, stripe -1400',
  'MON-15: everybody has what he had'
);
select is((tests.row_of('customer')).status::text, 'refunded', 'MON-15: the session is refunded');

-- credit only
select tests.person('second');
select tests.mechanic('second mechanic');
select tests.buy_with_credit('second', 'chat10');
select tests.serve('second', 'second mechanic');
select tests.advance(70);
select tests.finish_session('second', 'second');
select tests.session_refund('second', 'all');
select is(tests.cents('customer_credit', 'second'), 1000, 'MON-15: credit becomes credit');
select is(tests.effects('second', 'stripe.refund'), null, 'MON-15: and nothing goes to Stripe');
select is(tests.payout_told('second'), '0 cancelled', 'MON-15: a blocked payout is cancelled as well');

-- what a policy kept
update private.refund_policies set refund_bps = 0, mechanic_bps = 5000 where reason = 'cancelled_by_customer';
select tests.person('third');
select tests.mechanic('third mechanic');
select tests.pay('third', 'chat10');
select tests.accept('third mechanic', 'third');
select is((tests.finish_session('third', 'third')).payout_cents, 500, 'MON-13: a policy that keeps all of it');
select is(tests.effects('third', 'stripe.refund'), null, 'MON-13: gives nothing back');
select is((tests.session_refund('third', 'half', 500)).to_card_cents, 500, 'MON-15: an admin can');
select is(tests.payout_told('third'), '250 blocked account', 'MON-15: at the cost of both');
select is((tests.row_of('third')).status::text, 'cancelled', 'MON-15: a part leaves the status');
select tests.session_refund('third', 'rest');
select is((tests.row_of('third')).status::text, 'refunded', 'MON-15: all of it makes it refunded');

-- an archived one
select tests.paid_and_completed('fourth', 'fourth mechanic');
select tests.advance(86400 * 3);
select public.archive_sessions(p_before => tests.now());
select is((tests.session_refund('fourth', 'all')).amount_cents, 1500, 'MON-15: an archived session can be given back');
select is((tests.row_of('fourth')).status::text, 'archived', 'MON-15: and stays where it is');

-- an overdue one that nobody has written down
select tests.paid_live('fifth', 'fifth mechanic');
select tests.advance(86400);
select is((tests.session_refund('fifth', 'part', 100)).amount_cents, 100, 'TIME-03: an overdue session is ended first');
select is((tests.row_of('fifth')).end_reason, 'completed', 'TIME-03: as it was at its end');

-- a refund that fails at Stripe
select tests.arrives('refund.failed', jsonb_build_object(
  'id', 're_9', 'object', 'refund', 'amount', 100, 'status', 'failed', 'failure_reason', 'expired_card',
  'payment_intent', tests.pi('fifth'),
  'metadata', (
    select jsonb_build_object('outbox_key', key) from private.outbox
    where topic = 'stripe.refund' and session_id = tests.session_of('fifth')
  )
));
select is((tests.payment_of('fifth')).review, 'refund_failed', 'MON-08: it failed: the payment is in review');
select is(tests.cents('mechanic_payable', 'fifth mechanic'), 980, 'MON-08: and the mechanic is not charged again');

select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');

select * from finish();

rollback;
