-- MON-20, MON-14: what an admin cancelled is still owed, and can be sent after all, or told to be paid; what a refund
-- cancelled cannot.
begin;

select plan(23);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.admin('admin');

create function pg_temp.resolve(p_customer text, p_action text, p_transfer text default null) returns text
language sql
as $$
  select tests.outcome('admin', format(
    'select public.resolve_payout(%L, %L, %L)', (tests.payout_of(p_customer)).id, p_action, p_transfer
  ))
$$;

-- Refused for good, and cancelled.
create function pg_temp.cancelled(p_customer text) returns void
language plpgsql
as $$
begin
  perform tests.paid_and_completed(p_customer, p_customer || ' mechanic');
  perform tests.advance(86401);
  perform tests.dispatch();
  perform tests.stripe_fails_for_good('stripe.transfer', false);
  perform pg_temp.resolve(p_customer, 'cancel');
end
$$;

create function pg_temp.claimed(p_customer text) returns jsonb
language sql
as $$
  select jsonb_build_object('look', c.must_look_first, 'to', c.payload -> 'destination', 'of', c.payload -> 'amount')
  from public.claim_outbox('worker', 1000, 60) as c
  where c.session_id = tests.session_of(p_customer) and c.topic = 'stripe.transfer'
$$;

select pg_temp.cancelled('a');
select is(tests.payout_told('a'), '1050 cancelled', 'MON-20: cancelled by an admin');
select is(tests.cents('mechanic_payable', 'a mechanic'), 1050, 'MON-20: and still owed');
select is(pg_temp.resolve('a', 'cancel'), 'PT422 invalid_argument', 'MON-20: once');
select is(pg_temp.resolve('a', 'retry'), 'ok', 'MON-20: it was a mistake: retry');
select is(tests.payout_told('a'), '1050 submitted', 'MON-20: it is on its way');
select is(
  pg_temp.claimed('a') ->> 'look', 'true', 'MON-14: and Stripe is asked first'
);
select tests.stripe_says('stripe.transfer');
select is(tests.payout_told('a'), '1050 paid', 'MON-14: and paid');
select is(tests.cents('mechanic_payable', 'a mechanic'), 0, 'MON-14: once');

-- It was sent after all.
select pg_temp.cancelled('b');
select is(pg_temp.resolve('b', 'paid', 'tr_b'), 'ok', 'MON-20: the transfer was found after all');
select is(tests.payout_told('b'), '1050 paid', 'MON-20: it is paid');

-- A refund takes from what is owed.
select pg_temp.cancelled('c');
select tests.session_refund('c', 'some', 300);
select is(pg_temp.resolve('c', 'retry'), 'ok', 'MON-20: after a refund of a part');
select is(pg_temp.claimed('c') ->> 'of', '840', 'MON-15: what is left is sent');
select tests.stripe_says('stripe.transfer');
select pg_temp.cancelled('d');
select tests.session_refund('d', 'all');
select is(tests.payout_told('d'), '0 cancelled', 'MON-15: after a refund of all nothing is owed');
select is(pg_temp.resolve('d', 'retry'), 'PT422 invalid_argument', 'MON-20: and nothing is sent');
select tests.paid_and_completed('e', 'e mechanic');
select tests.session_refund('e', 'all');
select is(pg_temp.resolve('e', 'retry'), 'PT422 invalid_argument', 'MON-20: nor of one that a refund cancelled');

-- While something blocks it.
select pg_temp.cancelled('f');
select private.review_session(tests.session_of('f'), 'odd', 'critical', '{}');
select is(pg_temp.resolve('f', 'retry'), 'PT422 invalid_argument', 'MON-14: not while the session is in review');
select public.resolve_review(tests.session_of('f'));
select is(pg_temp.resolve('f', 'retry'), 'ok', 'MON-14: but after it');
select tests.dispatch();
select tests.stripe_says('stripe.transfer');

-- Another account by then.
select tests.paid_and_completed('g', 'g mechanic');
select tests.advance(86401);
select tests.dispatch();
select tests.stripe_fails_for_good('stripe.transfer', false);
select is(tests.payout_told('g'), '1050 failed', 'MON-14: refused, because the account is closed, say');
select public.set_stripe_account(tests.id('g mechanic'), 'acct_new');
select public.requeue_outbox(id) from private.outbox where status = 'dead' and topic = 'stripe.transfer';
select is(pg_temp.claimed('g') ->> 'to', 'acct_new', 'MON-14: revived, it goes to the new one');
select tests.stripe_says('stripe.transfer');
select pg_temp.cancelled('h');
select public.set_stripe_account(tests.id('h mechanic'), 'acct_newer');
select is(pg_temp.resolve('h', 'retry'), 'ok', 'MON-20: one that was cancelled');
select is(pg_temp.claimed('h') ->> 'to', 'acct_newer', 'MON-20: goes there too');
select tests.stripe_says('stripe.transfer');
select is(tests.cents('mechanic_payable', 'h mechanic'), 0, 'MON-14: and it is paid');

select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');

select * from finish();

rollback;
