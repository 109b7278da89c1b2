-- MON-20: refund_payment gives back what no session used: unapplied money, and credit that is still unspent.
begin;

select plan(34);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.admin('admin');

create function pg_temp.give_back(
  p_who text, p_customer text, p_key text, p_cents text default 'null', p_kind text default ''
) returns text
language sql
as $$
  select tests.outcome(p_who, format(
    'select public.refund_payment(%L, %L, %s, %L)', (tests.payment_of(p_customer, p_kind)).id, p_key, p_cents, 'why'
  ))
$$;

-- paid beside an active session: credit
select tests.person('customer');
select tests.act_as('customer');
create temporary table intent on commit drop as select i.* from public.request_checkout(p_plan => 'video15') as i;
select tests.be_system();
select tests.queue('customer');
select tests.charged('customer', '', 1500, jsonb_build_object('mode', 'session', 'intent_id', i.id), 'usd')
from intent as i;
select is(tests.cents('customer_credit', 'customer'), 1500, 'MON-07: the money became credit');

select is(pg_temp.give_back('customer', 'customer', 'key'), 'PT403 role_required', 'MON-20: not by the customer');
select alike(pg_temp.give_back('anon', 'customer', 'key'), '42501 %', 'MON-20: nor by a visitor');
select is(pg_temp.give_back('admin', 'customer', key, cents), expected, format('MON-20: %s', why))
from (values
  (null, 'null', 'PT422 invalid_argument', 'no key'), ('', 'null', 'PT422 invalid_argument', 'an empty key'),
  (repeat('k', 101), 'null', 'PT422 invalid_argument', 'a key that is too long'),
  ('key', '0', 'PT422 invalid_argument', 'nothing'), ('key', '-1', 'PT422 invalid_argument', 'less than nothing'),
  ('key', '1501', 'PT409 refund_exceeds_payment', 'more than there is')
) as cases (key, cents, expected, why);
select is(
  tests.outcome('admin', format('select public.refund_payment(%L, %L)', payment, 'key')), 'PT404 payment_not_found',
  'MON-20: which payment'
)
from unnest(array[null, tests.id('nothing')]) as payment;

select is(pg_temp.give_back('admin', 'customer', 'first', '400'), 'ok', 'MON-20: a part of the credit');
select is(tests.cents('customer_credit', 'customer'), 1100, 'MON-20: is no credit any more');
select is((tests.payment_of('customer')).refunded_cents, 400, 'MON-20: and goes to the card');
select is(
  tests.op('payment.refunded'),
  jsonb_build_object(
    'payment_id', (tests.payment_of('customer')).id, 'key', 'first', 'amount_cents', 400, 'reason', 'why'
  ),
  'MON-20: it is recorded'
);
select is(pg_temp.give_back('admin', 'customer', 'first', '400'), 'ok', 'MON-20: the same key: the same refund');
select is(pg_temp.give_back('admin', 'customer', 'first'), 'ok', 'MON-20: without an amount as well');
select is(
  pg_temp.give_back('admin', 'customer', 'first', '401'), 'PT409 idempotency_conflict', 'MON-20: but no other amount'
);
select is((tests.payment_of('customer')).refunded_cents, 400, 'MON-20: once');
select is((select count(*)::integer from private.ops_log where kind = 'payment.refunded'), 1, 'MON-20: recorded once');

-- credit that is spent meanwhile
select tests.finish_session('customer', 'customer');
select tests.act_as('customer');
select * from public.create_session(p_plan => 'chat10', p_funding => 'credit');
select tests.be_system();
select is(
  pg_temp.give_back('admin', 'customer', 'second', '101'), 'PT409 refund_exceeds_payment',
  'MON-20: spent credit does not go back'
);
select is(pg_temp.give_back('system', 'customer', 'second'), 'ok', 'MON-20: what is unspent does');
select is((tests.payment_of('customer')).refunded_cents, 500, 'MON-20: all that is left');
select is(tests.cents('customer_credit', 'customer'), 0, 'MON-04: credit never goes below zero');
select is(
  pg_temp.give_back('admin', 'customer', 'third'), 'PT409 refund_exceeds_payment', 'MON-20: there is no more'
);
select public.grant_credit(tests.id('customer'), 5000, 'usd', 'a gift');
select is(
  pg_temp.give_back('admin', 'customer', 'third', '1001'), 'PT409 refund_exceeds_payment',
  'MON-20: a payment gives back no more than was paid'
);

-- applied to a session
select tests.paid_live('second', 'second mechanic');
select is(
  pg_temp.give_back('admin', 'second', 'key'), 'PT422 invalid_argument',
  'MON-20: what a session used is refund_session''s'
);

-- in review
select tests.person('third');
select tests.pay('third', 'video15', 1400);
select is(pg_temp.give_back('admin', 'third', 'a part', '400'), 'ok', 'MON-20: a part of a payment in review');
select is((tests.payment_of('third')).review, 'amount_differs', 'MON-20: leaves the rest in review');
select is(pg_temp.give_back('admin', 'third', 'the rest'), 'ok', 'MON-20: the rest');
select is((tests.payment_of('third')).review, null, 'MON-20: closes it');
select is(
  (select status from public.checkout_intents where customer_user_id = tests.id('third')), 'failed',
  'MON-20: its intent was not paid'
);

-- not paid at all
select tests.person('fourth');
select tests.act_as('fourth');
create temporary table unpaid on commit drop as select i.* from public.request_checkout(p_plan => 'video15') as i;
select tests.be_system();
select is(
  tests.outcome('admin', format(
    'select public.refund_payment(%L, %L)', public.record_checkout('session', u.id, 'cs_4', tests.pi('fourth')), 'key'
  )),
  'PT409 refund_exceeds_payment', 'MON-20: what was never received does not go back'
)
from unpaid as u;

select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');

select * from finish();

rollback;
