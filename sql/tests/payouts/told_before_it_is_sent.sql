-- MON-14, MON-18, MON-08: what Stripe tells of a transfer or refund that no worker has sent is believed, and looked for
-- before anything is sent; what comes back unasked is told of.
begin;

select plan(13);

select tests.stop_clock();
select tests.nobody_falls_silent();

create function pg_temp.looks(p_key text) returns boolean
language sql
as $$ select c.must_look_first from public.claim_outbox('worker', 1000, 60) as c where c.key = p_key $$;

create function pg_temp.transfer(p_type text, p_customer text, p_reversed integer default 0) returns text
language sql
as $$
  select tests.arrives(p_type, jsonb_build_object(
    'id', 'tr_' || p_customer, 'object', 'transfer', 'amount', 1050, 'amount_reversed', p_reversed, 'currency', 'usd',
    'metadata', jsonb_build_object('outbox_key', 'payout:' || (tests.payout_of(p_customer)).id)
  )) ->> 'status'
$$;

create function pg_temp.unasked() returns integer
language sql stable
as $$
  select count(*)::integer from private.outbox
  where payload ->> 'subject' = 'A transfer came back that nobody asked for'
$$;

-- A transfer that a person made by hand, with our key.
select tests.paid_and_completed('a', 'a mechanic');
select tests.advance(86401);
select private.run_job('dispatch-outbox');
select is(pg_temp.transfer('transfer.created', 'a'), 'processed', 'MON-08: told before a worker has sent it');
select is(tests.payout_told('a'), '1050 paid', 'MON-14: it is paid');
select is(pg_temp.looks('payout:' || (tests.payout_of('a')).id), true, 'MON-18: and looked for before it is sent');
select tests.stripe_says('stripe.transfer', '{"id": "tr_a", "amount": 1050}');
select is(tests.cents('mechanic_payable', 'a mechanic'), 0, 'MON-14: once');

-- A refund likewise.
select tests.session_refund('a', 'some', 200);
select is(
  tests.arrives('refund.created', jsonb_build_object(
    'id', 're_a', 'object', 'refund', 'amount', 200, 'currency', 'usd', 'status', 'succeeded',
    'payment_intent', tests.pi('a'), 'metadata', jsonb_build_object('outbox_key', o.key)
  )) ->> 'status', 'processed', 'MON-08: a refund that is told of before a worker has sent it'
)
from private.outbox as o where o.topic = 'stripe.refund';
select is(
  pg_temp.looks((select key from private.outbox where topic = 'stripe.refund')), true, 'MON-18: is looked for as well'
);
select tests.stripe_says('stripe.refund', '{"id": "re_a", "status": "succeeded"}');
select is(
  (select array_agg(status) from private.refunds), array['succeeded'], 'MON-08: and went back once'
);

-- What comes back because we asked, and what does not.
select pg_temp.transfer('transfer.reversed', 'a', 140);
select is(pg_temp.unasked(), 0, 'MON-08: what was asked for may come back');
select tests.stripe_says('stripe.transfer_reversal', '{"transfer": "tr_a", "amount_reversed": 140}');
select pg_temp.transfer('transfer.reversed', 'a', 500);
select is(pg_temp.unasked(), 1, 'MON-08: what nobody asked for is told of');
select is(tests.cents('mechanic_payable', 'a mechanic'), 360, 'MON-14: it is owed again');
select pg_temp.transfer('transfer.reversed', 'a', 500);
select is(pg_temp.unasked(), 1, 'MON-08: once');

-- No session holds more than can be settled.
select tests.person('b');
select tests.pay('b', 'video15', 2147483647);
select public.resolve_payment((tests.payment_of('b')).id, 'apply');
select tests.mechanic('b mechanic');
select tests.serve('b', 'b mechanic');
select tests.pay_extension('b', 15);
select is(
  (select status from public.session_extensions where session_id = tests.session_of('b')), 'refund_pending',
  'MON-11: minutes whose price the session could not settle go back'
);
select tests.advance(70);
select tests.finish_session('b', 'b');

select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');

select * from finish();

rollback;
