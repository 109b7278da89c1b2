-- MON-14: what becomes of a payout that was sent: paid, refused for now or for good, nobody knows; come back later.
begin;

select plan(42);

select tests.stop_clock();
select tests.nobody_falls_silent();

create function pg_temp.generation(p_customer text) returns integer
language sql
as $$
  select generation from private.outbox
  where topic = 'stripe.transfer' and session_id = tests.session_of(p_customer)
$$;

create function pg_temp.sent(p_customer text) returns void
language plpgsql
as $$
begin
  perform tests.paid_and_completed(p_customer, p_customer || ' mechanic');
  perform tests.advance(86401);
  perform tests.dispatch();
end
$$;

-- refused for now
select pg_temp.sent('refused');
select is(tests.stripe_fails('stripe.transfer', false), 1, 'MON-14: balance_insufficient');
select is(tests.payout_told('refused'), '1050 submitted', 'MON-14: is no failure');
select is(pg_temp.generation('refused'), 2, 'MON-18: a definitive refusal: the next try has a new key');
select tests.advance(3601);
select tests.dispatch();
select tests.stripe_says('stripe.transfer');
select is(tests.payout_told('refused'), '1050 paid', 'MON-14: it is tried again');

-- nobody knows
select pg_temp.sent('unknown');
select tests.stripe_fails('stripe.transfer', true, 'time-out');
select is(tests.payout_told('unknown'), '1050 needs_reconciliation', 'MON-14: nobody knows: it is to be reconciled');
select is(pg_temp.generation('unknown'), 1, 'MON-14: never under a new key');
select tests.advance(3601);
select private.run_job('dispatch-outbox');
select results_eq(
  $$ select must_look_first, idempotency_key from public.claim_outbox('worker', 10, 60)
     where topic = 'stripe.transfer' $$,
  $$ select true, format('payout:%s#1', p.id) from tests.payout_of('unknown') as p $$,
  'MON-14: the worker asks Stripe first'
);
select tests.stripe_says('stripe.transfer', '{"id": "tr_found"}');
select is(tests.payout_told('unknown'), '1050 paid', 'MON-14: what it finds settles it');
select is(tests.cents('mechanic_payable', 'unknown mechanic'), 0, 'MON-14: paid once');

-- nobody knows, then refused
select pg_temp.sent('both');
select tests.stripe_fails('stripe.transfer', true, 'time-out');
select tests.advance(3601);
select tests.dispatch();
select tests.stripe_fails('stripe.transfer', false);
select is(tests.payout_told('both'), '1050 submitted', 'MON-14: not found, and refused: it is known again');
select tests.advance(3601);
select tests.dispatch();
select tests.stripe_says('stripe.transfer');

-- the event comes first
select pg_temp.sent('told');
select tests.stripe_fails('stripe.transfer', true, 'connection lost');
create function pg_temp.event(p_type text, p_customer text, p_transfer text, p_reversed integer default 0) returns text
language sql
as $$
  select tests.arrives(p_type, jsonb_build_object(
    'id', p_transfer, 'object', 'transfer', 'amount', 1050, 'amount_reversed', p_reversed,
    'metadata', jsonb_build_object('outbox_key', 'payout:' || (tests.payout_of(p_customer)).id)
  )) ->> 'status'
$$;
select is(pg_temp.event('transfer.created', 'told', 'tr_told'), 'processed', 'MON-08: transfer.created');
select is(tests.payout_told('told'), '1050 paid', 'MON-14: later found: paid');
select tests.advance(3601);
select tests.dispatch();
select tests.stripe_says('stripe.transfer', '{"id": "tr_told"}');
select is(tests.payout_told('told'), '1050 paid', 'MON-14: what the worker finds then changes nothing');
select is(tests.cents('mechanic_payable', 'told mechanic'), 0, 'MON-14: it is paid once');

-- refused for good
select pg_temp.sent('dead');
select tests.stripe_fails('stripe.transfer', false);
select tests.stripe_fails_for_good('stripe.transfer', false);
select is(tests.payout_told('dead'), '1050 failed', 'MON-14: refused twelve times: failed');
select is(
  (select count(*)::integer from private.outbox where topic = 'support.alert' and payload ->> 'severity' = 'critical'
    and payload #>> '{detail,topic}' = 'stripe.transfer'),
  1, 'MON-18: support is told'
);
select is(tests.cents('mechanic_payable', 'dead mechanic'), 1050, 'MON-14: and it is still owed');
select public.requeue_outbox(p_id => o.id)
from private.outbox as o
where o.status = 'dead';
select is(tests.payout_told('dead'), '1050 submitted', 'MON-14: revived, it is on its way again');
select tests.dispatch();
select tests.stripe_says('stripe.transfer');
select is(tests.payout_told('dead'), '1050 paid', 'MON-14: and paid');

-- dead, and nobody knows
select pg_temp.sent('lost');
select tests.stripe_fails('stripe.transfer', true);
select tests.stripe_fails_for_good('stripe.transfer', true);
select is(tests.payout_told('lost'), '1050 needs_reconciliation', 'MON-14: given up without an answer: reconcile');
select public.requeue_outbox(p_id => o.id)
from private.outbox as o
where o.status = 'dead';
select is(tests.payout_told('lost'), '1050 needs_reconciliation', 'MON-14: revived, it is still unknown');
select tests.dispatch();
select tests.stripe_says('stripe.transfer', 'null');
select is(tests.payout_told('lost'), '1050 needs_reconciliation', 'MON-14: an answer without a transfer is none');
select is(
  (public.resolve_payout((tests.payout_of('lost')).id, 'retry')).status, 'submitted', 'MON-20: it can be sent again'
);
select is(
  (select status from private.outbox where key = 'payout:' || (tests.payout_of('lost')).id), 'pending',
  'MON-20: and is'
);
select tests.dispatch();
select tests.stripe_says('stripe.transfer');

-- come back
select is(pg_temp.event('transfer.reversed', 'told', 'tr_told', 300), 'processed', 'MON-08: transfer.reversed');
select is(tests.payout_told('told'), '1050 paid', 'MON-14: a part came back');
select is((tests.payout_of('told')).reversed_cents, 300, 'MON-14: so much');
select is(tests.cents('mechanic_payable', 'told mechanic'), 300, 'MON-14: and is owed again');
select pg_temp.event('transfer.reversed', 'told', 'tr_told', 300);
select is(tests.cents('mechanic_payable', 'told mechanic'), 300, 'MON-08: it is cumulative: told twice, counted once');
select pg_temp.event('transfer.reversed', 'told', 'tr_told', 1050);
select is(tests.payout_told('told'), '1050 reversed', 'MON-14: all came back: reversed');
select is(tests.cents('mechanic_payable', 'told mechanic'), 1050, 'MON-14: all is owed again');
select pg_temp.event('transfer.reversed', 'told', 'tr_told', 300);
select is(tests.payout_told('told'), '1050 reversed', 'MON-14: a late event changes nothing');
select pg_temp.event('transfer.reversed', 'told', 'tr_told', 5000);
select is(tests.cents('mechanic_payable', 'told mechanic'), 1050, 'MON-14: no more comes back than was sent');

-- a reversal that comes before anything else
select pg_temp.sent('early');
select pg_temp.event('transfer.reversed', 'early', 'tr_early', 1050);
select is(tests.payout_told('early'), '1050 reversed', 'MON-08: reversed, before we knew it was made');
select is(tests.cents('mechanic_payable', 'early mechanic'), 1050, 'MON-08: both are posted');
select tests.stripe_says('stripe.transfer', '{"id": "tr_early"}');
select is(tests.payout_told('early'), '1050 reversed', 'MON-14: the worker''s answer comes last and changes nothing');

-- the rows themselves
select pg_temp.sent('last');
select throws_ok(
  $$ update public.payouts set status = 'paid', stripe_transfer_id = null where status = 'submitted' $$, '23514', null,
  'MON-14: a paid payout has its transfer'
);
select throws_ok(
  $$ update public.payouts set status = 'blocked' where status = 'submitted' $$, '23514', null,
  'MON-14: a blocked one says by what'
);
select throws_ok(
  $$ update public.payouts set stripe_transfer_id = 'tr_found' where status = 'submitted' $$, '23505', null,
  'MON-14: no two have one transfer'
);
select throws_ok(
  $$ update public.payouts set amount_cents = -1 where status = 'submitted' $$, '23514', null,
  'MON-14: no amount is below zero'
);

select tests.act_as('told mechanic');
select results_eq(
  'select user_id from public.payouts', $$ values (tests.id('told mechanic')) $$, 'MON-14: a mechanic sees his own'
);
select tests.be_system();

select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');

select * from finish();

rollback;
