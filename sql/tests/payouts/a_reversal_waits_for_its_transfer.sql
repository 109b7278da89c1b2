-- MON-14, MON-15, MON-18: what is asked back of a transfer waits until the transfer is finished, and names it; of one
-- that was never sent nothing comes back, and it is so much less.
begin;

select plan(32);

select tests.stop_clock();
select tests.nobody_falls_silent();

-- Submitted and in a worker's hands.
create function pg_temp.sent(p_customer text) returns void
language plpgsql
as $$
begin
  perform tests.paid_and_completed(p_customer, p_customer || ' mechanic');
  perform tests.advance(86401);
  perform tests.dispatch();
end
$$;

create function pg_temp.row_of(p_customer text, p_topic text) returns private.outbox
language sql stable
as $$
  select o from private.outbox as o
  where o.session_id = tests.session_of(p_customer) and o.topic = p_topic order by o.id limit 1
$$;

-- What a worker gets of the transfers and reversals of a session.
create function pg_temp.claimed(p_customer text) returns text
language sql
as $$
  select string_agg(c.topic || ' ' || coalesce(c.payload ->> 'transfer', c.payload ->> 'amount'), ', ' order by c.id)
  from public.claim_outbox('worker', 1000, 60) as c
  where c.session_id = tests.session_of(p_customer) and c.topic like 'stripe.transfer%'
$$;

create function pg_temp.transferred(p_customer text, p_transfer text, p_cents integer default 1050) returns text
language sql
as $$
  select tests.arrives('transfer.created', jsonb_build_object(
    'id', p_transfer, 'object', 'transfer', 'amount', p_cents, 'amount_reversed', 0, 'currency', 'usd',
    'metadata', jsonb_build_object('outbox_key', 'payout:' || (tests.payout_of(p_customer)).id)
  )) ->> 'status'
$$;

-- The worker's answer comes after the refund.
select pg_temp.sent('a');
select tests.session_refund('a', 'some', 300);
select is(tests.effects('a', 'stripe.transfer_reversal'), '210', 'MON-15: a part of what is on its way is asked back');
select is(pg_temp.claimed('a'), null, 'MON-18: not before the transfer is finished');
select tests.stripe_says('stripe.transfer', '{"id": "tr_a", "amount": 1050}');
select is(pg_temp.claimed('a'), 'stripe.transfer_reversal tr_a', 'MON-18: then, by the id of the transfer');
select tests.stripe_says('stripe.transfer_reversal', '{"transfer": "tr_a", "amount_reversed": 210}');
select is(tests.cents('mechanic_payable', 'a mechanic'), 0, 'MON-15: and it comes back');

-- Nobody knows; the event comes first, the worker finds it later.
select pg_temp.sent('b');
select tests.stripe_fails('stripe.transfer', true, 'time-out');
select tests.session_refund('b', 'some', 300);
select is(pg_temp.transferred('b', 'tr_b'), 'processed', 'MON-08: transfer.created');
select is(
  (pg_temp.row_of('b', 'stripe.transfer_reversal')).payload ->> 'transfer', 'tr_b', 'MON-15: what is known is named'
);
select is(pg_temp.claimed('b'), null, 'MON-18: and still it waits for the transfer''s own row');
select tests.advance(3601);
select is(pg_temp.claimed('b'), 'stripe.transfer 1050', 'MON-18: which is looked for first');
select tests.stripe_says('stripe.transfer', '{"id": "tr_b", "amount": 1050}');
select is(pg_temp.claimed('b'), 'stripe.transfer_reversal tr_b', 'MON-18: and found');
select tests.stripe_says('stripe.transfer_reversal');

-- An answer that names no transfer.
select pg_temp.sent('c');
select tests.session_refund('c', 'some', 300);
select tests.stripe_says('stripe.transfer', '{}');
select is(pg_temp.claimed('c'), null, 'MON-18: done, but nobody knows by which transfer: it waits');
select public.resolve_payout((tests.payout_of('c')).id, 'paid', 'tr_c');
select is(pg_temp.claimed('c'), 'stripe.transfer_reversal tr_c', 'MON-20: until an admin names it');
select tests.stripe_says('stripe.transfer_reversal');

-- Never sent.
select pg_temp.sent('d');
select tests.session_refund('d', 'some', 300);
select tests.session_refund('d', 'more', 300);
select tests.stripe_fails_for_good('stripe.transfer', false);
select is(tests.payout_told('d'), '630 failed', 'MON-14: refused for good: it is so much less');
select is(
  (select array_agg(distinct o.result) from private.outbox as o
   where o.session_id = tests.session_of('d') and o.topic = 'stripe.transfer_reversal' and o.status = 'done'),
  array['{"resolved": "never sent"}'::jsonb], 'MON-15: nothing has to come back'
);
select is(tests.cents('mechanic_payable', 'd mechanic'), 630, 'MON-15: and so much is owed');
select public.requeue_outbox((pg_temp.row_of('d', 'stripe.transfer')).id);
select is(pg_temp.claimed('d'), 'stripe.transfer 630', 'MON-14: tried again, it is of what is left');
select tests.stripe_says('stripe.transfer', '{"id": "tr_d", "amount": 630}');
select is(tests.payout_told('d'), '630 paid', 'MON-14: and paid');
select is(tests.cents('mechanic_payable', 'd mechanic'), 0, 'MON-14: nothing is owed');

-- Never sent, and all of it given back.
select pg_temp.sent('e');
select tests.session_refund('e', 'all');
select tests.stripe_fails_for_good('stripe.transfer', false);
select is(tests.payout_told('e'), '0 cancelled', 'MON-14: of nothing it is cancelled');
select is((pg_temp.row_of('e', 'stripe.transfer')).status, 'done', 'MON-18: nobody can revive it');
select is(pg_temp.claimed('e'), null, 'MON-15: and nothing is left to do');

-- Nobody knows, and an admin finds that it was never sent.
select pg_temp.sent('f');
select tests.stripe_fails('stripe.transfer', true, 'time-out');
select tests.session_refund('f', 'some', 300);
select public.resolve_payout((tests.payout_of('f')).id, 'cancel');
select is(tests.payout_told('f'), '840 cancelled', 'MON-20: cancelled: never sent, and so much less is owed');
select is((pg_temp.row_of('f', 'stripe.transfer_reversal')).status, 'done', 'MON-15: nothing has to come back');
select tests.session_refund('f', 'more', 300);
select is(tests.payout_told('f'), '630 cancelled', 'MON-15: a later refund takes from what is owed');
select is(tests.cents('mechanic_payable', 'f mechanic'), 630, 'MON-15: which is as much');

-- Given up without an answer: it is not known that it was never sent.
select pg_temp.sent('g');
select tests.session_refund('g', 'some', 300);
select tests.stripe_fails_for_good('stripe.transfer', true);
select is(tests.payout_told('g'), '1050 needs_reconciliation', 'MON-14: nobody knows whether it was sent');
select is(pg_temp.claimed('g'), null, 'MON-18: so what is asked back goes on waiting');
select is((pg_temp.row_of('g', 'stripe.transfer_reversal')).status, 'pending', 'MON-15: and is not given up');

-- It was sent after all, and of more than is owed by now.
select is(pg_temp.transferred('f', 'tr_f'), 'processed', 'MON-08: a transfer that an admin took for never sent');
select is(tests.payout_told('f'), '1050 paid', 'MON-14: it counts as what it was of');
select is(tests.cents('mechanic_payable', 'f mechanic'), -420, 'MON-02: and the mechanic owes the rest');
select ok(
  exists (select from private.outbox where topic = 'support.alert'
    and payload ->> 'subject' = 'A transfer was of another amount' and payload #>> '{detail,sent_cents}' = '1050'),
  'MON-20: support is told'
);

select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');

select * from finish();

rollback;
