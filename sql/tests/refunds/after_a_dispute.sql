-- MON-15, MON-08: a dispute that is lost after a part was given back takes the rest, whatever the mechanic's part of
-- the loss is; what his payout does not cover he owes.
begin;

select plan(25);

select tests.stop_clock();
select tests.nobody_falls_silent();

create function pg_temp.lost(p_customer text, p_cents integer) returns text
language plpgsql
as $$
declare
  v_dispute jsonb := jsonb_build_object(
    'id', 'dp_' || p_customer, 'object', 'dispute', 'amount', p_cents, 'currency', 'usd', 'reason', 'fraudulent',
    'status', 'needs_response', 'payment_intent', tests.pi(p_customer), 'charge', 'ch_' || tests.pi(p_customer),
    'balance_transactions', '[]'::jsonb
  );
begin
  perform tests.arrives('charge.dispute.created', v_dispute);
  return tests.arrives('charge.dispute.closed', v_dispute || '{"status": "lost"}') ->> 'status';
end
$$;

create function pg_temp.refund_fails(p_customer text) returns text
language sql
as $$
  select tests.arrives('refund.failed', jsonb_build_object(
    'id', 're_' || p_customer, 'object', 'refund', 'status', 'failed', 'amount', r.amount_cents, 'currency', 'usd',
    'payment_intent', tests.pi(p_customer), 'metadata', jsonb_build_object('outbox_key', 'refund:' || r.key)
  )) ->> 'status'
  from private.refunds as r
  where r.payment_id = (tests.payment_of(p_customer)).id
$$;

-- in the same proportion as the shares
select tests.paid_and_completed('customer', 'mechanic');
select tests.session_refund('customer', 'a part', 500);
select is(tests.payout_told('customer'), '700 pending', 'MON-15: a part is given back');
select is(pg_temp.lost('customer', 1000), 'processed', 'MON-08: the dispute about the rest is lost');
select is(tests.payout_told('customer'), '0 cancelled', 'MON-08: the payout is cancelled');
select is(tests.cents('mechanic_payable', 'mechanic'), 0, 'MON-08: nothing is owed to anybody');
select is(tests.money(), 'refund_clearing 500, stripe -500', 'MON-08: and nobody keeps anything');
select is((tests.row_of('customer')).status::text, 'refunded', 'MON-08: the session is refunded');

-- all of it the mechanic's loss
select public.set_setting('dispute_loss_bps', '10000');
select tests.paid_and_completed('second', 'second mechanic');
select tests.session_refund('second', 'a part', 500);
select is(pg_temp.lost('second', 1000), 'processed', 'MON-08: also when the mechanic bears all of the loss');
select is(tests.payout_told('second'), '0 cancelled', 'MON-08: the payout is cancelled');
select is(tests.cents('mechanic_payable', 'second mechanic'), -300, 'MON-08: what it does not cover he owes');
select is(tests.cents('platform_revenue'), 300, 'MON-08: and the platform keeps its part');

-- after the payout
select tests.paid_and_completed('third', 'third mechanic');
select tests.advance(86401);
select tests.dispatch();
select tests.stripe_says('stripe.transfer', '{"id": "tr_third"}');
select is(pg_temp.lost('third', 1500), 'processed', 'MON-08: a dispute after the payout');
select is(tests.effects('third', 'stripe.transfer_reversal'), '1050', 'MON-15: no more is asked back than was sent');
select is(tests.cents('mechanic_payable', 'third mechanic'), -1500, 'MON-15: all of it is owed');

-- while a refund was on its way that then fails
select tests.paid_and_completed('fourth', 'fourth mechanic');
select tests.session_refund('fourth', 'all of it', 1500);
select tests.dispatch();
create temporary table before as select tests.cents('platform_revenue') as cents;
select is(pg_temp.lost('fourth', 500), 'processed', 'MON-08: a part is lost that is on its way back already');
select is(tests.cents('platform_revenue') - b.cents, -500, 'MON-08: the platform lays it out') from before as b;
select is(pg_temp.refund_fails('fourth'), 'processed', 'MON-08: the refund fails');
select is(tests.cents('platform_revenue') - b.cents, 0, 'MON-08: the platform has it again') from before as b;
select is(
  private.unapplied(tests.payment_of('fourth')), 1000, 'MON-08: and what the bank did not take is the customer''s'
);
select is((tests.payment_of('fourth')).review, 'refund_failed', 'MON-08: which a person decides about');

-- and all of it was lost
select tests.paid_and_completed('fifth', 'fifth mechanic');
select tests.session_refund('fifth', 'all of it', 1500);
select tests.dispatch();
select pg_temp.lost('fifth', 1500);
select pg_temp.refund_fails('fifth');
select is(tests.cents('platform_revenue') - b.cents, 0, 'MON-08: the platform has all again') from before as b;
select is(private.unapplied(tests.payment_of('fifth')), 0, 'MON-08: nothing is left');
select is((tests.payment_of('fifth')).review, null, 'MON-20: and nothing to decide about');

-- not sent yet, it goes before the bank takes
select tests.paid_and_completed('sixth', 'sixth mechanic');
select tests.session_refund('sixth', 'all of it', 1500);
select pg_temp.lost('sixth', 500);
select is(tests.cents('platform_revenue') - b.cents, 0, 'MON-08: the platform lays nothing out') from before as b;
select is(private.unapplied(tests.payment_of('sixth')), 1000, 'MON-08: the bank takes what was displaced');

select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');

select * from finish();

rollback;
