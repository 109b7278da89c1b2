-- MON-08, MON-15, MON-20: money goes back once, whoever sends it: by us, at Stripe, or by the bank. What we asked for
-- and cannot be any more is given up; what Stripe refuses for good has a way out.
begin;

select plan(43);

select tests.stop_clock();
select tests.nobody_falls_silent();

-- The payment, what of it is asked back, and where all money of this customer's session is.
create function pg_temp.told(p_customer text, p_kind text default '') returns text
language sql
as $$
  select concat_ws(
    ' | ', concat_ws(' ', p.rank, p.applied_to, p.refunded_cents, p.review),
    (
      select string_agg(r.amount_cents || ' ' || r.status, ', ' order by r.created_at, r.status)
      from private.refunds as r where r.payment_id = p.id
    ),
    (
      select string_agg(b.kind || ' ' || b.cents, ', ' order by b.kind collate "C")
      from (
        select split_part(a.name, ':', 1) as kind, sum(e.amount_cents) as cents
        from private.ledger_transfers as t
        join private.ledger_entries as e on e.transfer_id = t.id
        join private.ledger_accounts as a on a.id = e.account_id
        where t.session_id = p.session_id or t.key like '%:' || p.id || '%' or t.key like '%dp\_' || p_customer
          or t.key like '%re\_' || p_customer
        group by 1
      ) as b
      where b.cents <> 0
    )
  )
  from tests.payment_of(p_customer, p_kind) as p
$$;

create function pg_temp.refunded(
  p_customer text, p_cents integer, p_metadata jsonb default '{}', p_id text default null
) returns text
language sql
as $$
  select tests.arrives('refund.created', jsonb_build_object(
    'id', coalesce(p_id, 're_' || p_customer), 'object', 'refund', 'amount', p_cents, 'currency', 'usd',
    'status', 'succeeded', 'payment_intent', tests.pi(p_customer), 'metadata', p_metadata
  )) ->> 'status'
$$;

create function pg_temp.disputed(p_customer text, p_status text, p_cents integer default 1500) returns text
language sql
as $$
  select tests.arrives(
    case p_status when 'needs_response' then 'charge.dispute.created' else 'charge.dispute.closed' end,
    jsonb_build_object(
      'id', 'dp_' || p_customer, 'object', 'dispute', 'amount', p_cents, 'currency', 'usd', 'status', p_status,
      'payment_intent', tests.pi(p_customer), 'reason', 'fraudulent', 'balance_transactions', '[]'::jsonb
    )
  ) ->> 'status'
$$;

create function pg_temp.asked(p_customer text) returns private.outbox
language sql stable
as $$
  select o from private.outbox as o
  where o.topic = 'stripe.refund' and o.payload ->> 'payment_intent' = tests.pi(p_customer)
  order by o.id desc limit 1
$$;

-- Paid and cancelled: we ask for all of it back.
create function pg_temp.cancelled(p_customer text) returns void
language plpgsql
as $$
begin
  perform tests.person(p_customer);
  perform tests.pay(p_customer);
  perform tests.finish_session(p_customer, p_customer);
end
$$;

create function pg_temp.resolve(p_customer text, p_action text) returns text
language sql
as $$
  select tests.outcome('system', format(
    'select public.resolve_payment(%L, %L)', (tests.payment_of(p_customer)).id, p_action
  ))
$$;

-- At Stripe, while ours waits.
select pg_temp.cancelled('a');
select is(
  pg_temp.told('a'), 'refunded session 1500 | 1500 requested | refund_clearing 1500, stripe -1500',
  'MON-13: all of it is asked back'
);
select is(pg_temp.refunded('a', 1500), 'processed', 'MON-08: somebody refunds it at Stripe first');
select is(
  pg_temp.told('a'), 'refunded session 1500 | 1500 failed, 1500 succeeded',
  'MON-08: it went back once, at nobody''s cost'
);
select is((pg_temp.asked('a')).status, 'done', 'MON-18: and ours is never sent');
select is(
  tests.arrives('charge.refunded', jsonb_build_object(
    'id', 'ch_' || tests.pi('a'), 'object', 'charge', 'amount_refunded', 1500, 'currency', 'usd',
    'payment_intent', tests.pi('a')
  )) ->> 'status', 'processed', 'MON-08: the charge tells the same'
);
select is(
  pg_temp.told('a'), 'refunded session 1500 | 1500 failed, 1500 succeeded', 'MON-08: which is known'
);

-- Only a part of it.
select pg_temp.cancelled('b');
select is(pg_temp.refunded('b', 300), 'processed', 'MON-08: somebody refunds a part at Stripe first');
select is(
  pg_temp.told('b'),
  'refunded session 300 refund_failed | 1500 failed, 300 succeeded | stripe -1200, unapplied 1200',
  'MON-08: ours no longer fits: the rest is left for a person'
);
select is(pg_temp.resolve('b', 'refund'), 'ok', 'MON-20: who has it refunded');
select tests.dispatch();
select tests.stripe_says('stripe.refund');
select is(
  pg_temp.told('b'), 'refunded session 1500 | 1500 failed, 300 succeeded, 1200 succeeded',
  'MON-20: and all has gone back'
);

-- While a worker has it: nobody knows yet.
select pg_temp.cancelled('c');
select tests.dispatch();
select is(pg_temp.refunded('c', 1500), 'failed', 'MON-08: at Stripe, while ours is being sent: nobody knows which');
select is(
  pg_temp.told('c'), 'refunded session 1500 | 1500 requested | refund_clearing 1500, stripe -1500',
  'MON-05: so it changes nothing'
);
select tests.stripe_fails('stripe.refund', false, 'charge_already_refunded');
select is(
  public.retry_stripe_event(e.id) ->> 'status', 'processed',
  'MON-05: ours was refused: the event is done when it comes again'
)
from private.stripe_events as e where e.status = 'failed';
select is(
  pg_temp.told('c'), 'refunded session 1500 | 1500 failed, 1500 succeeded', 'MON-08: and the money went back once'
);

-- By the bank.
select pg_temp.cancelled('d');
select pg_temp.disputed('d', 'needs_response');
select is(pg_temp.disputed('d', 'lost'), 'processed', 'MON-08: disputed and lost while ours waits');
select is(
  pg_temp.told('d'), 'disputed session 0 | 1500 failed', 'MON-08: it went back once, at nobody''s cost'
);
select pg_temp.cancelled('e');
select tests.dispatch();
select tests.stripe_says('stripe.refund');
select pg_temp.disputed('e', 'needs_response');
select pg_temp.disputed('e', 'lost');
select is(
  pg_temp.told('e'), 'disputed session 1500 | 1500 succeeded | platform_revenue -1500, stripe 1500',
  'MON-08: what had gone back and is lost to the bank as well is our loss'
);

-- While it is disputed nothing goes to the card.
select tests.person('f');
select tests.pay('f', 'video15', 1400);
select pg_temp.disputed('f', 'needs_response', 1400);
select is(
  pg_temp.resolve('f', 'refund'), 'PT409 refund_exceeds_payment', 'MON-20: nothing goes to a card while it is disputed'
);
select is(
  tests.outcome('system', format('select public.refund_payment(%L, %L)', (tests.payment_of('f')).id, 'k')),
  'PT409 refund_exceeds_payment', 'MON-20: by no way'
);
select pg_temp.disputed('f', 'won', 1400);
select is(pg_temp.resolve('f', 'refund'), 'ok', 'MON-20: until the bank has decided');
select tests.dispatch();
select tests.stripe_says('stripe.refund');

-- Refused for good.
select pg_temp.cancelled('g');
select tests.stripe_fails_for_good('stripe.refund', false);
select is(
  pg_temp.told('g'), 'refunded session 1500 refund_dead | 1500 requested | refund_clearing 1500, stripe -1500',
  'MON-18: given up: left for a person'
);
select is(pg_temp.resolve('g', 'apply'), 'PT422 invalid_argument', 'MON-20: nothing can be made of it');
select is(pg_temp.resolve('g', 'to_credit'), 'ok', 'MON-20: it becomes credit instead');
select is(
  pg_temp.told('g'), 'refunded session 0 | 1500 failed | customer_credit 1500, stripe -1500', 'MON-20: once'
);
select is(
  tests.outcome('system', format('select public.requeue_outbox(%s)', (pg_temp.asked('g')).id)),
  'PT422 invalid_argument', 'MON-20: and nobody can revive it'
);
select pg_temp.cancelled('h');
select tests.stripe_fails_for_good('stripe.refund', false);
select is(pg_temp.resolve('h', 'refund'), 'ok', 'MON-20: or it is asked for anew');
select tests.dispatch();
select tests.stripe_says('stripe.refund');
select is(pg_temp.told('h'), 'refunded session 1500 | 1500 failed, 1500 succeeded', 'MON-20: and goes back');
select pg_temp.cancelled('i');
select tests.stripe_fails_for_good('stripe.refund', false);
select public.requeue_outbox((pg_temp.asked('i')).id);
select tests.dispatch();
select tests.stripe_says('stripe.refund');
select is(
  pg_temp.told('i'), 'refunded session 1500 | 1500 succeeded', 'MON-20: or revived, and then nothing is left open'
);

-- Given up, and nobody knows.
select pg_temp.cancelled('j');
select tests.stripe_fails_for_good('stripe.refund', true);
select is(
  pg_temp.told('j'), 'refunded session 1500 | 1500 requested | refund_clearing 1500, stripe -1500',
  'MON-18: given up without an answer: it may have gone back'
);
select is(pg_temp.resolve('j', 'to_credit'), 'PT422 invalid_argument', 'MON-20: so it is not given a second time');
select is(pg_temp.refunded('j', 1500), 'failed', 'MON-08: nor is another one taken for it');
select public.requeue_outbox((pg_temp.asked('j')).id);
select tests.dispatch();
select tests.stripe_says('stripe.refund', '{"id": "re_j", "status": "succeeded"}');
select is(
  public.retry_stripe_event(e.id) ->> 'status', 'processed', 'MON-05: found by the worker: the event tells nothing new'
)
from private.stripe_events as e where e.status = 'failed' and e.payload #>> '{data,object,id}' = 're_j';
select is(pg_temp.told('j'), 'refunded session 1500 | 1500 succeeded', 'MON-08: it went back once');

-- Two refunds under one key, and the key of another payment.
select tests.paid_and_completed('k', 'k mechanic');
select tests.session_refund('k', 'some', 200);
select tests.dispatch();
select tests.stripe_says('stripe.refund', '{"id": "re_k1", "status": "succeeded"}');
create function pg_temp.key_of(p_customer text) returns jsonb
language sql stable
as $$ select jsonb_build_object('outbox_key', (pg_temp.asked(p_customer)).key) $$;
select is(pg_temp.refunded('k', 200, pg_temp.key_of('k'), 're_k1'), 'processed', 'MON-08: ours, told once more');
select is((tests.payment_of('k')).refunded_cents, 200, 'MON-08: is known');
select is(pg_temp.refunded('k', 200, pg_temp.key_of('k'), 're_k2'), 'processed', 'MON-08: a second one under its key');
select is((tests.payment_of('k')).refunded_cents, 400, 'MON-08: is another one, and left our balance too');
select is(
  (select count(*)::integer from private.session_reviews where session_id = tests.session_of('k')), 1,
  'MON-08: for a person to look at'
);
select tests.paid_and_completed('l', 'l mechanic');
select tests.session_refund('l', 'some', 200);
select tests.paid_and_completed('m', 'm mechanic');
select is(
  pg_temp.refunded('m', 100, pg_temp.key_of('l'), 're_m'), 'processed',
  'MON-08: a refund with the key of another payment''s'
);
select is((tests.payment_of('m')).refunded_cents, 100, 'MON-08: is one of the payment that it names');
select is(
  (select status from private.refunds where payment_id = (tests.payment_of('l')).id), 'requested',
  'MON-08: and not the other'
);

select is(
  (select count(*)::integer from private.outbox where topic = 'stripe.refund' and status = 'dead'), 0,
  'MON-20: nothing is left that nobody can decide about'
);

select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');

select * from finish();

rollback;
