-- MON-06: a payment only ever moves up, whatever order its events come in and whatever time they carry.
begin;

select plan(24);

select tests.stop_clock();
select tests.mechanic('mechanic');

select is(
  enum_range(null::private.payment_rank)::text, '{requested,failed,paid,partly_refunded,refunded,disputed}',
  'MON-06: the ranks'
);

-- Asked for, declined, paid; and then whatever is late.
select tests.person('a');
create temporary table a on commit drop as select tests.checkout('a', '1') as id;
select is(
  (select concat_ws(' ', rank, checkout_session_id, payment_intent_id, amount_cents, currency, purpose)
   from private.payments),
  'requested cs_1 1000 usd session', 'MON-06: what was opened is a payment that was asked for'
);
select tests.tell('payment_intent.payment_failed', tests.stripe_intent(
  '1', 'session', (select id from a), 1000, 'requires_payment_method'
));
select is(tests.told_of_payment('1'), 'failed - 0', 'MON-06: declined');
select is(
  (select status from public.checkout_intents where id = (select id from a)), 'failed', 'MON-07: so is the intent'
);
select is(tests.totals(), null, 'MON-06: no money has come');
select tests.tell('payment_intent.succeeded', tests.stripe_intent('1', 'session', (select id from a), 1000));
select is(tests.told_of_payment('1'), 'paid session 0', 'MON-06: paid at the second try');
select is((tests.payment('1')).charge_id, 'ch_1', 'MON-06: the charge is known');
select is((tests.payment('1')).checkout_session_id, 'cs_1', 'MON-06: and it is the payment that was opened');
select is((tests.payment('1')).received_at, tests.now(), 'MON-06: when it was received');
select tests.tell(late.type, late.object)
from (
  values
  ('payment_intent.payment_failed', tests.stripe_intent(
    '1', 'session', (select id from a), 1000, 'requires_payment_method'
  )),
  ('payment_intent.canceled', tests.stripe_intent('1', 'session', (select id from a), 1000, 'canceled')),
  ('checkout.session.expired', tests.stripe_checkout(
    '1', 'session', (select id from a), 1000, 'unpaid', 'usd', 'expired'
  )),
  ('checkout.session.async_payment_failed', tests.stripe_checkout('1', 'session', (select id from a), 1000, 'unpaid')),
  ('checkout.session.completed', tests.stripe_checkout('1', 'session', (select id from a), 1000, 'unpaid'))
) as late (type, object);
select is(tests.told_of_payment('1'), 'paid session 0', 'MON-06: a decline that comes late changes nothing');
select is((select status from public.checkout_intents where id = (select id from a)), 'paid', 'MON-06: nor the intent');
select is((select count(*)::integer from private.payments), 1, 'MON-06: it is one payment all the time');

-- Refunds and disputes rank higher than the payment, and do not come down again.
select tests.tell('refund.created', tests.stripe_refund('re_1', '1', 300));
select is(tests.told_of_payment('1'), 'partly_refunded session 300', 'MON-06: partly refunded');
select tests.tell('payment_intent.succeeded', tests.stripe_intent('1', 'session', (select id from a), 1000));
select tests.tell('checkout.session.completed', tests.stripe_checkout('1', 'session', (select id from a), 1000));
select is(tests.told_of_payment('1'), 'partly_refunded session 300', 'MON-06: the proof that comes late is lower');
select tests.tell('refund.created', tests.stripe_refund('re_2', '1', 700));
select is(tests.told_of_payment('1'), 'refunded session 1000', 'MON-06: refunded');
select tests.tell('charge.refunded', tests.stripe_charge('1', 1000, 300));
select is(tests.told_of_payment('1'), 'refunded session 1000', 'MON-06: a smaller sum that comes late is lower');

select tests.person('b');
select tests.buy('b', '2');
select tests.tell('charge.dispute.created', tests.stripe_dispute('dp_2', '2', 1000));
select is(tests.told_of_payment('2'), 'disputed session 0', 'MON-06: disputed');
select tests.tell('charge.dispute.closed', tests.stripe_dispute('dp_2', '2', 1000, 'won'));
select tests.tell('refund.created', tests.stripe_refund('re_3', '2', 100));
select is(tests.told_of_payment('2'), 'disputed session 100', 'MON-06: a refund is lower than a dispute');

-- The time stamp of an event decides nothing: the decline is younger than the proof, and all have one second.
select tests.person('c');
create temporary table c on commit drop as select tests.checkout('c', '3') as id;
select tests.deliver(
  tests.stripe_event('payment_intent.succeeded', tests.stripe_intent('3', 'session', (select id from c), 1000))
  || '{"created": 1893499200}'
);
select tests.deliver(
  tests.stripe_event('payment_intent.payment_failed', tests.stripe_intent(
    '3', 'session', (select id from c), 1000, 'requires_payment_method'
  )) || '{"created": 1893502800}'
);
select is(tests.told_of_payment('3'), 'paid session 0', 'MON-06: a younger decline does not overwrite the proof');
select tests.person('d');
create temporary table d on commit drop as select tests.checkout('d', '4') as id;
select tests.deliver(
  tests.stripe_event('payment_intent.payment_failed', tests.stripe_intent(
    '4', 'session', (select id from d), 1000, 'requires_payment_method'
  )) || '{"created": 1893502800}'
);
select tests.deliver(
  tests.stripe_event('payment_intent.succeeded', tests.stripe_intent('4', 'session', (select id from d), 1000))
  || '{"created": 1893499200}'
);
select is(tests.told_of_payment('4'), 'paid session 0', 'MON-06: an older proof overwrites the decline');
select is(
  (select t.occurred_at from private.ledger_transfers as t where t.key = 'payment:' || (tests.payment('4')).id),
  to_timestamp(1893499200), 'MON-06: the time of Stripe is only written down'
);

-- Money that came is posted at once, wherever it goes then.
select is(
  (select array_agg(split_part(t.key, ':', 1) order by t.id) from private.ledger_transfers as t
   where t.key like '%' || (tests.payment('3')).id),
  array['payment', 'hold'], 'MON-06: received, then applied'
);
select tests.person('e');
create temporary table e on commit drop as select tests.checkout('e', '5') as id;
select tests.tell('payment_intent.succeeded', tests.stripe_intent('5', 'session', (select id from e), 999));
select is(
  private.balance('unapplied:' || (tests.payment('5')).id, 'usd'), 999::bigint,
  'MON-06: what cannot be applied waits in an account of its own'
);
select is_empty($$ select * from public.ledger_invariants() $$, 'MON-03: the money adds up');

select * from finish();

rollback;
