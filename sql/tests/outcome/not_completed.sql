-- MON-13: what is not completed is given back by the policy of its reason: shipped, everything; credit to credit, cards
-- to cards, extensions included.
begin;

select plan(32);

select tests.stop_clock();
select tests.nobody_falls_silent();

select is_empty(
  'select * from private.refund_policies where refund_bps <> 10000 or mechanic_bps <> 0',
  'MON-13: shipped: everything back, for every reason'
);
select is(
  (select array_agg(reason order by reason) from private.refund_policies),
  array['cancelled_before_accept', 'cancelled_by_admin', 'cancelled_by_customer', 'cancelled_by_mechanic',
    'customer_no_show', 'mechanic_no_show', 'nobody_joined', 'orphaned', 'too_short', 'unattended'],
  'MON-13: a row for every reason'
);
-- a card payment and an extension, too short
select tests.paid_live('customer', 'mechanic');
select tests.advance(5);
select tests.pay_extension('customer', 30);
select tests.advance(15);
create temporary table seen_before on commit drop as
select p.* from public.preview_end(p_session_id => tests.session_of('customer')) as p;
select is(
  (select to_jsonb(s) from tests.finish_session('system', 'customer') as s),
  (select to_jsonb(s) from seen_before as s), 'END-07: the preview is what the end answers'
);
select results_eq(
  $$ select final_status::text, reason, payout_cents, refund_cents from seen_before $$,
  $$ values ('cancelled', 'too_short', 0, 2400) $$, 'MON-13: all of it back, extension included'
);
select is(tests.money(), 'refund_clearing 2400, stripe -2400', 'MON-13: on its way to the card');
select is(tests.effects('customer', 'stripe.refund'), '900 1500', 'MON-13: a refund for each payment, newest first');
select is((tests.payment_of('customer')).rank::text, 'refunded', 'MON-13: the payment is refunded');
select is((tests.row_of('customer')).status::text, 'cancelled', 'MON-13: the session keeps its status');
select is((select count(*)::integer from public.mechanic_earnings), 0, 'MON-12: nobody earned anything');
select is((select count(*)::integer from public.payouts), 0, 'MON-12: there is no payout');
select is(
  (select payload #> '{rule,policy}' from public.session_events
    where type = 'ended' and session_id = tests.session_of('customer')),
  '{"refund_bps": 10000, "mechanic_bps": 0}'::jsonb, 'END-04: the event has the policy'
);
select tests.dispatch();
select is(tests.stripe_says('stripe.refund'), 1, 'MON-18: one at a time');
select tests.dispatch();
select is(tests.stripe_says('stripe.refund'), 1, 'MON-18: and then the other');
select is(tests.money(), null, 'MON-13: once Stripe has done it nothing is left');

-- credit
select tests.person('second');
select tests.buy_with_credit('second', 'chat10', 5);
select is(tests.cents('customer_credit', 'second'), 5, 'MON-04: the credit is spent');
select is((tests.finish_session('second', 'second')).refund_cents, 1000, 'MON-13: credit comes back');
select is(tests.cents('customer_credit', 'second'), 1005, 'MON-13: as credit');
select is(tests.effects('second', 'stripe.refund'), null, 'MON-13: and nothing goes to Stripe');

-- credit for the session, a card for the extension
select tests.person('third');
select tests.mechanic('third mechanic');
select tests.buy_with_credit('third', 'chat10');
select tests.serve('third', 'third mechanic');
select tests.pay_extension('third', 15);
select is((tests.finish_session('third', 'third')).refund_cents, 1500, 'MON-13: both come back');
select is(tests.cents('customer_credit', 'third'), 1000, 'MON-13: the credit as credit');
select is(tests.effects('third', 'stripe.refund'), '500', 'MON-13: the extension to the card');

-- a changed policy
update private.refund_policies set refund_bps = 5000, mechanic_bps = 4000 where reason = 'customer_no_show';
select tests.person('fourth');
select tests.mechanic('fourth mechanic');
select tests.pay('fourth', 'chat10');
select tests.accept('fourth mechanic', 'fourth');
select tests.join('fourth mechanic', 'fourth');
select tests.advance(400);
select is(
  (
    select format('%s %s %s', s.reason, s.refund_cents, s.payout_cents)
    from tests.finish_session('fourth mechanic', 'fourth') as s
  ),
  'customer_no_show 500 400', 'MON-13: another policy, another split'
);
select is(tests.cents('mechanic_payable', 'fourth mechanic'), 400, 'MON-13: the mechanic has his part');
select is(tests.cents('platform_revenue'), 100, 'MON-13: what nobody gets is the platform''s');
select is(tests.effects('fourth', 'stripe.refund'), '500', 'MON-13: the customer''s part goes to the card');
select is(tests.payout_told('fourth'), '400 blocked account', 'MON-13: and his is paid out');
select is((tests.payment_of('fourth')).rank::text, 'partly_refunded', 'MON-13: a part of the payment is refunded');

-- no policy
delete from private.refund_policies where reason = 'customer_no_show';
select tests.person('fifth');
select tests.mechanic('fifth mechanic');
select tests.pay('fifth', 'chat10');
select tests.accept('fifth mechanic', 'fifth');
select tests.join('fifth mechanic', 'fifth');
select tests.advance(400);
select is(
  (tests.finish_session('fifth mechanic', 'fifth')).refund_cents, 1000, 'MON-13: without a row everything goes back'
);

select throws_ok(
  $$ insert into private.refund_policies (reason, refund_bps, mechanic_bps) values ('odd', 6000, 5000) $$,
  '23514', null, 'MON-13: no policy gives more than there is'
);
select throws_ok(
  $$ insert into private.refund_policies (reason, refund_bps, mechanic_bps) values ('odd', -1, 0) $$,
  '23514', null, 'MON-13: or less than nothing'
);

-- an unserved one, ended by a job
select tests.person('sixth');
select tests.pay('sixth', 'chat10');
select public.mark_session_unattended(p_session_id => tests.session_of('sixth'));
select is(tests.effects('sixth', 'stripe.refund'), '1000', 'MON-13: a job gives back as well');

select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');

select * from finish();

rollback;
