-- MON-14: a payout waits until it is due, and for a Stripe account, disputes and reviews; then it is sent, once.
begin;

select plan(36);

select tests.stop_clock();
select tests.nobody_falls_silent();

-- no account yet
select tests.person('customer');
select tests.mechanic('mechanic');
select tests.pay('customer');
select tests.serve('customer', 'mechanic');
select tests.advance(70);
select tests.finish_session('customer', 'customer');
select is(tests.payout_told('customer'), '1050 blocked account', 'MON-14: without a Stripe account it is blocked');
select tests.advance(86401);
select tests.dispatch();
select is(tests.payout_told('customer'), '1050 blocked account', 'MON-14: also when it is due');

-- who may name an account, and which
select is(
  tests.outcome(who, $$ select public.set_stripe_account(tests.id('mechanic'), 'acct_1') $$),
  '42501 permission denied for function set_stripe_account', format('MON-14: set_stripe_account is not for %s', who)
)
from unnest(array['anon', 'customer', 'mechanic']) as who;
select is(
  tests.outcome('system', format('select public.set_stripe_account(%s, %s)', who, account)),
  'PT422 invalid_argument', format('MON-14: set_stripe_account: %s', why)
)
from (values
  ($$tests.id('mechanic')$$, 'null', 'no account'),
  ($$tests.id('mechanic')$$, $$''$$, 'an empty one'),
  ($$tests.id('mechanic')$$, $$'cus_1'$$, 'another object''s id'),
  ($$tests.id('mechanic')$$, $$'acct_1; x'$$, 'an odd one'),
  ('null', $$'acct_1'$$, 'nobody'),
  ($$tests.id('customer')$$, $$'acct_1'$$, 'no mechanic'),
  ($$tests.id('nothing')$$, $$'acct_1'$$, 'nobody known')
) as cases (who, account, why);
select is(
  tests.outcome('service_role', $$ select public.set_stripe_account(tests.id('mechanic'), 'acct_1') $$), 'ok',
  'MON-14: the system names it'
);
select is(tests.payout_told('customer'), '1050 pending', 'MON-14: and the payout goes on');
select is(
  tests.op('stripe_account.set'), jsonb_build_object('mechanic_id', tests.id('mechanic'), 'account', 'acct_1'),
  'MON-20: it is recorded'
);
select tests.mechanic('other');
select is(
  tests.outcome('system', $$ select public.set_stripe_account(tests.id('other'), 'acct_1') $$),
  'PT422 invalid_argument', 'MON-14: no two mechanics are paid through one account'
);
select is(
  tests.outcome('system', $$ select public.set_stripe_account(tests.id('mechanic'), 'acct_2') $$), 'ok',
  'MON-14: an account can be replaced'
);

-- due
select tests.dispatch();
select is(tests.payout_told('customer'), '1050 submitted', 'MON-14: due and not blocked: it is submitted');
select results_eq(
  $$ select key, session_id, payload from private.outbox where topic = 'stripe.transfer' $$,
  $$ select 'payout:' || p.id, p.session_id, jsonb_build_object(
       'payout_id', p.id, 'amount', 1050, 'currency', 'usd', 'destination', 'acct_2', 'session_id', p.session_id
     ) from tests.payout_of('customer') as p $$,
  'MON-14: by the outbox, to the account of that moment'
);
select private.run_job('dispatch-outbox');
select is(
  (select count(*)::integer from private.outbox where topic = 'stripe.transfer'), 1, 'MON-14: and no second time'
);
select is(tests.cents('mechanic_payable', 'mechanic'), 1050, 'MON-14: submitted is not paid');
select tests.stripe_says('stripe.transfer', '{"id": "tr_1"}');
select is(tests.payout_told('customer'), '1050 paid', 'MON-14: Stripe says that it is done: paid');
select is((tests.payout_of('customer')).stripe_transfer_id, 'tr_1', 'MON-14: by this transfer');
select is(tests.cents('mechanic_payable', 'mechanic'), 0, 'MON-14: and nothing is owed any more');

-- not due
select tests.paid_and_completed('second', 'second mechanic');
select tests.advance(86399);
select private.run_job('dispatch-outbox');
select is(tests.payout_told('second'), '1050 pending', 'MON-14: a second before it is due it waits');

-- a dispute
create function pg_temp.dispute(p_customer text, p_type text, p_status text, p_cents integer default 1500) returns jsonb
language sql
as $$
  select tests.arrives(p_type, jsonb_build_object(
    'id', 'dp_' || p_customer, 'object', 'dispute', 'amount', p_cents, 'currency', 'usd', 'status', p_status,
    'payment_intent', tests.pi(p_customer), 'charge', 'ch_' || tests.pi(p_customer), 'reason', 'fraudulent',
    'balance_transactions', '[]'::jsonb
  ))
$$;
select pg_temp.dispute('second', 'charge.dispute.created', 'needs_response');
select is(tests.payout_told('second'), '1050 blocked dispute', 'MON-14: a dispute blocks it');
select tests.advance(10);
select private.run_job('dispatch-outbox');
select is(tests.payout_told('second'), '1050 blocked dispute', 'MON-14: also when it is due');
select tests.has_account('second mechanic');
select is(tests.payout_told('second'), '1050 blocked dispute', 'MON-14: an account is not all it takes');
select pg_temp.dispute('second', 'charge.dispute.closed', 'won');
select is(tests.payout_told('second'), '1050 pending', 'MON-14: won: it goes on');

-- disputed before it ended, and no account either
select tests.person('third');
select tests.mechanic('third mechanic');
select tests.pay('third');
select tests.serve('third', 'third mechanic');
select pg_temp.dispute('third', 'charge.dispute.created', 'needs_response');
select tests.advance(70);
select tests.finish_session('third', 'third');
select is(tests.payout_told('third'), '1050 blocked dispute', 'MON-14: one made while a dispute is open is blocked');
select tests.has_account('third mechanic');
select is(tests.payout_told('third'), '1050 blocked dispute', 'MON-14: by the dispute, whatever else is missing');
select pg_temp.dispute('third', 'charge.dispute.closed', 'won');
select is(tests.payout_told('third'), '1050 pending', 'MON-14: until it is won');

-- in review
select tests.paid_and_completed('fourth', 'fourth mechanic');
select private.review_session(tests.session_of('fourth'), 'odd', 'critical', '{}');
select is(tests.payout_told('fourth'), '1050 blocked review', 'MON-14: a review blocks it');
select pg_temp.dispute('fourth', 'charge.dispute.created', 'needs_response');
select public.resolve_review(p_session_id => tests.session_of('fourth'));
select is(tests.payout_told('fourth'), '1050 blocked dispute', 'MON-14: a dispute meanwhile goes on blocking');
select private.review_session(tests.session_of('fourth'), 'odd again', 'critical', '{}');
select pg_temp.dispute('fourth', 'charge.dispute.closed', 'won');
select is(tests.payout_told('fourth'), '1050 blocked review', 'MON-14: and a review after the dispute is won');

select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');

select * from finish();

rollback;
