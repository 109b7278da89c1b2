-- MON-12, END-04: a completed session pays its mechanic, the platform and who referred the mechanic, in the transaction
-- of its end: entries, an earnings row, payouts for what is above zero.
begin;

select plan(28);

select tests.stop_clock();
select tests.nobody_falls_silent();

-- paid by card
select tests.paid_live('customer', 'mechanic');
select is(tests.money(), 'session_hold 1500, stripe -1500', 'MON-12: before the end the money is held');
select tests.pay_extension('customer', 15);
select is(tests.money(), 'session_hold 2000, stripe -2000', 'MON-10: an extension adds to the hold');
select tests.advance(70);
create temporary table seen_before on commit drop as
select p.* from public.preview_end(p_session_id => tests.session_of('customer')) as p;
select is(
  (select to_jsonb(s) from tests.finish_session('system', 'customer') as s),
  (select to_jsonb(s) from seen_before as s), 'END-07: the preview is what the end answers'
);
select results_eq(
  $$ select final_status::text, payout_cents, refund_cents, currency from seen_before $$,
  $$ values ('completed', 1400, 0, 'usd') $$, 'MON-12: with the mechanic''s share'
);
select is(
  tests.money(), 'mechanic_payable 1400, platform_revenue 600, stripe -2000', 'MON-12: the hold is split, once'
);
select is(tests.cents('mechanic_payable', 'mechanic'), 1400, 'MON-12: to this mechanic');
select results_eq(
  $$ select mechanic_id, gross_cents, share_cents, platform_cents, referral_cents, currency
     from public.mechanic_earnings $$,
  $$ values (tests.id('mechanic'), 2000, 1400, 600, 0, 'usd') $$, 'MON-12: and an earnings row says so'
);
select results_eq(
  $$ select kind, source_id, user_id, amount_cents, currency, status, due_at from public.payouts $$,
  $$ values ('session', tests.session_of('customer'), tests.id('mechanic'), 1400, 'usd', 'pending',
     tests.now() + interval '1 day') $$,
  'MON-12: one payout, due after payout_delay_minutes'
);
select results_eq(
  $$ select occurred_at from private.ledger_transfers where key = 'earning:' || tests.session_of('customer') $$,
  $$ values ((tests.row_of('customer')).ended_at) $$, 'MON-01: the earning happened at the end'
);
select is(
  (
    select payload -> 'rule' from public.session_events
    where type = 'ended' and session_id = tests.session_of('customer')
  ),
  '{"min_billable_seconds": 60, "billable_basis": "elapsed", "mechanic_share_bps": 7000, "referral_fee_bps": 200,
    "policy": null, "source": "settings"}'::jsonb,
  'END-04: the event has the shares and fees used'
);
select tests.advance(600);
select is(
  (select to_jsonb(s) from tests.finish_session('customer', 'customer') as s),
  (select to_jsonb(s) || '{"already_ended": true}' from seen_before as s), 'END-02: again: the stored amounts'
);
select is(tests.cents('mechanic_payable', 'mechanic'), 1400, 'END-05: and nothing is paid again');
select is((select count(*)::integer from public.payouts), 1, 'END-05: nor is there another payout');

-- by a referred mechanic, at an odd price
select public.set_plan(p_slug => 'chat10', p_price_cents => 999);
select tests.mechanic('referrer');
select tests.paid_live('second', 'second mechanic', 'chat10');
update public.mechanics set referred_by = tests.id('referrer') where id = tests.id('second mechanic');
select tests.advance(70);
select tests.finish_session('second', 'second');
select results_eq(
  $$ select gross_cents, share_cents, platform_cents, referral_cents from public.mechanic_earnings
     where session_id = tests.session_of('second') $$,
  $$ values (999, 699, 281, 19) $$, 'MON-12: rounded down, the referral fee out of the platform''s part'
);
select is(tests.cents('mechanic_payable', 'second mechanic'), 699, 'MON-12: the mechanic has his share');
select is(tests.cents('referral_payable', 'referrer'), 19, 'MON-12: who referred him the fee');
select is(tests.cents('platform_revenue'), 881, 'MON-12: the platform the rest');
select is(tests.payout_told('second'), '699 pending', 'MON-12: a payout for the share');
select is(tests.payout_told('second', 'referral'), '19 blocked account', 'MON-12: and one for the fee');
select is(
  (tests.payout_of('second', 'referral')).user_id, tests.id('referrer'), 'MON-12: to the referrer'
);

-- the settings of the end count, not those of the sale
select tests.paid_live('third', 'third mechanic');
select public.set_setting('mechanic_share_bps', '10000');
select tests.advance(70);
select is((tests.finish_session('third', 'third')).payout_cents, 1500, 'MON-12: all of it, if the setting says so');
select is(
  (select payload #>> '{rule,mechanic_share_bps}' from public.session_events
    where type = 'ended' and session_id = tests.session_of('third')),
  '10000', 'END-04: which the event records'
);

-- free
select public.set_setting('mechanic_share_bps', '7000');
select tests.live('free', 'free mechanic');
select tests.advance(70);
select is((tests.finish_session('free', 'free')).payout_cents, 0, 'MON-12: a free session pays nobody');
select results_eq(
  $$ select gross_cents, share_cents, platform_cents, referral_cents, currency from public.mechanic_earnings
     where session_id = tests.session_of('free') $$,
  $$ values (0, 0, 0, 0, 'usd') $$, 'MON-12: and has its earnings row all the same, of zeros'
);
select is(tests.payout_told('free'), null, 'MON-12: but no payout');

-- a share too small to be paid
select public.set_setting('mechanic_share_bps', '0');
select tests.paid_and_completed('fifth', 'fifth mechanic');
select is(tests.payout_told('fifth'), null, 'MON-12: nor has a share of zero');

-- credit
select public.set_setting('mechanic_share_bps', '7000');
select tests.person('sixth');
select tests.mechanic('sixth mechanic');
select tests.buy_with_credit('sixth', 'diagnostic', 1);
select tests.serve('sixth', 'sixth mechanic');
select tests.advance(70);
select is((tests.finish_session('sixth', 'sixth')).payout_cents, 1750, 'MON-12: credit is shared like a card payment');

select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');

select * from finish();

rollback;
