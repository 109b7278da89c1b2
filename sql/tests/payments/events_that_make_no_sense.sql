-- MON-05, MON-07: what Stripe would never say, or says with a field missing, changes nothing: no money counts as
-- received, nothing is given back, and the event is kept as failed for a person.
begin;

select plan(63);

select tests.stop_clock();
select tests.nobody_falls_silent();

-- Where the money is, and what the payment has come to.
create function pg_temp.told(p_name text) returns text
language sql
as $$ select concat_ws(' | ', tests.told_of_payment(p_name), tests.totals()) $$;

-- Proofs.
select tests.person('a');
create temporary table a on commit drop as select tests.checkout('a', 'a') as id;
create function pg_temp.checkout(p_changes jsonb) returns text
language sql
as $$
  select tests.tell(
    'checkout.session.completed',
    jsonb_strip_nulls(tests.stripe_checkout('a', 'session', (select id from a), 1000) || p_changes)
  )
$$;
create function pg_temp.intent(p_changes jsonb) returns text
language sql
as $$
  select tests.tell(
    'payment_intent.succeeded',
    jsonb_strip_nulls(tests.stripe_intent('a', 'session', (select id from a), 1000) || p_changes)
  )
$$;
select is(pg_temp.checkout(changes), 'processed', format('MON-07: %s: it waits', why))
from (values
  ('{"payment_status": null}'::jsonb, 'no word whether it is paid'),
  ('{"payment_status": "unpaid"}', 'unpaid'),
  ('{"payment_status": "no_payment_required"}', 'nothing to pay'),
  ('{"payment_status": "PAID"}', 'something like paid')
) as cases (changes, why);
select is(pg_temp.told('a'), 'requested - 0', 'MON-07: no money has come');
select alike(pg_temp.checkout(changes), 'failed: %', format('MON-05: paid, %s', why))
from (values
  ('{"amount_total": null}'::jsonb, 'but not how much'), ('{"amount_total": -1000}', 'less than nothing'),
  ('{"amount_total": 10.5}', 'half a cent'), ('{"amount_total": 1e10}', 'more than fits'),
  ('{"amount_total": "1e3"}', 'in words'), ('{"amount_total": {"cents": 1000}}', 'in another shape'),
  ('{"currency": null}', 'but not in what'), ('{"currency": "USD"}', 'in a currency that none is'),
  ('{"metadata": {"mode": "session"}}', 'but not for what'),
  ('{"metadata": {"mode": "session", "intent_id": "1"}}', 'for something odd'),
  ('{"metadata": {"mode": "session", "intent_id": "00000000-0000-4000-8000-000000000000"}}', 'for nothing known')
) as cases (changes, why);
select alike(pg_temp.intent(changes), 'failed: %', format('MON-05: a payment intent, %s', why))
from (values
  ('{"amount_received": null}'::jsonb, 'but not how much'), ('{"amount_received": -1}', 'less than nothing'),
  ('{"amount_received": 2147483648}', 'more than fits'), ('{"currency": null}', 'but not in what')
) as cases (changes, why);
select is(
  tests.tell('payment_intent.succeeded', jsonb_set(
    tests.stripe_intent('a', 'session', (select id from a), 1000), '{metadata,mode}', '"extension"'
  )),
  'failed: the event names <NULL>, which does not exist', 'MON-05: for an extension, by the id of an intent'
);
select is(
  tests.tell('payment_intent.succeeded', tests.stripe_intent('a', 'extension', (select id from a), 1000)),
  format('failed: the event names %s, which does not exist', (select id from a)),
  'MON-05: for an extension that is an intent'
);
select is(pg_temp.told('a'), 'requested - 0', 'MON-05: none of which has changed anything');
select is(tests.session_of('a'), null, 'MON-05: and there is no session');

-- An intent of somebody else pays for his session, and nobody's else.
select tests.person('b');
create temporary table b on commit drop as select tests.checkout('b', 'b') as id;
select is(
  pg_temp.intent('{"amount_received": 1000.0}'), 'failed: invalid input syntax for type integer: "1000.0"',
  'MON-05: cents have no fraction, not even an empty one'
);
select is(pg_temp.intent('{"amount_received": 1e3}'), 'processed', 'MON-07: a thousand, however it is written');
select is(pg_temp.told('a'), 'paid session 0 | session_hold 1000, stripe -1000', 'MON-07: counts');
select alike(
  tests.tell('payment_intent.succeeded', tests.stripe_intent('a', 'session', (select id from b), 1000)), 'failed: %',
  'MON-07: the same payment cannot pay somebody else''s checkout as well'
);
select is(tests.session_of('b'), null, 'MON-07: who has paid nothing has no session');

-- As much as fits.
select tests.person('c');
create temporary table c on commit drop as select tests.checkout('c', 'c') as id;
select is(
  tests.tell('payment_intent.succeeded', tests.stripe_intent('c', 'session', (select id from c), 2147483647)),
  'processed', 'MON-07: as much as fits'
);
select is(tests.told_of_payment('c'), 'paid - 0 amount_differs', 'MON-07: is another amount: in review');
select is(
  tests.tell('charge.refunded', tests.stripe_charge('c', 2147483647, 2147483647)), 'processed',
  'MON-08: and all of it can go back'
);
select is(tests.told_of_payment('c'), 'refunded refund 2147483647', 'MON-08: to the last cent');

-- Nothing at all.
select tests.person('d');
create temporary table d on commit drop as select tests.checkout('d', 'd') as id;
select is(
  tests.tell('payment_intent.succeeded', tests.stripe_intent('d', 'session', (select id from d), 0)), 'processed',
  'MON-07: nothing was paid'
);
select is(tests.told_of_payment('d'), 'paid - 0 amount_differs', 'MON-07: which buys nothing');
select is(
  tests.outcome('system', format('select public.resolve_payment(%L, %L)', (tests.payment('d')).id, action)), outcome,
  'MON-20: and can be closed by ' || action
)
from (values ('apply', 'PT422 invalid_argument'), ('to_credit', 'ok')) as ways (action, outcome);

-- What has gone back, and what is disputed.
create function pg_temp.refund(p_changes jsonb, p_type text default 'refund.created') returns text
language sql
as $$
  select tests.tell(p_type, jsonb_strip_nulls(tests.stripe_refund('re_a', 'a', 100) || p_changes))
$$;
create function pg_temp.dispute(p_changes jsonb) returns text
language sql
as $$
  select tests.tell('charge.dispute.created', jsonb_strip_nulls(tests.stripe_dispute('dp_a', 'a', 100) || p_changes))
$$;
create function pg_temp.charge(p_changes jsonb) returns text
language sql
as $$
  select tests.tell('charge.refunded', jsonb_strip_nulls(tests.stripe_charge('a', 1000, 100) || p_changes))
$$;
select alike(pg_temp.refund(changes), 'failed: %', format('MON-05: a refund %s', why))
from (values
  ('{"amount": null}'::jsonb, 'of nobody knows what'), ('{"amount": 0}', 'of nothing'),
  ('{"amount": -100}', 'of less than nothing'), ('{"amount": 1001}', 'of more than was paid'),
  ('{"amount": 1e12}', 'of more than fits'), ('{"currency": "eur"}', 'in another currency'),
  ('{"id": null}', 'without an id')
) as cases (changes, why);
select alike(pg_temp.dispute(changes), 'failed: %', format('MON-05: a dispute %s', why))
from (values
  ('{"amount": null}'::jsonb, 'about nobody knows what'), ('{"amount": 0}', 'about nothing'),
  ('{"amount": -100}', 'about less than nothing'), ('{"currency": "eur"}', 'in another currency'),
  ('{"id": null}', 'without an id')
) as cases (changes, why);
select alike(pg_temp.charge(changes), 'failed: %', format('MON-05: a charge refunded %s', why))
from (values
  ('{"amount_refunded": null}'::jsonb, 'by nobody knows how much'), ('{"amount_refunded": 1001}', 'by more than all'),
  ('{"currency": "eur"}', 'in another currency')
) as cases (changes, why);
select is(
  pg_temp.refund('{"payment_intent": "pi_x", "charge": "ch_x"}'), 'ignored', 'MON-05: a refund of another payment'
);
select is(
  pg_temp.refund('{"payment_intent": null, "charge": null}'), 'ignored', 'MON-05: a refund of no payment'
);
select is(tests.told_of_payment('a'), 'paid session 0', 'MON-05: none of which has changed anything');

-- Transfers.
select tests.completed_paid('e', 'mechanic e', 'e');
create function pg_temp.transfer(p_type text, p_changes jsonb) returns text
language sql
as $$
  select tests.tell(p_type, jsonb_strip_nulls(tests.stripe_transfer('tr_e', 700, 'payout:' || (
    select id from public.payouts where source_id = tests.session_of('e')
  )) || p_changes))
$$;
select alike(pg_temp.transfer(type, changes), 'failed: %', format('MON-05: %s %s', type, why))
from (values
  ('transfer.created', '{"id": null}'::jsonb, 'without an id'),
  ('transfer.created', '{"amount": -700}', 'of less than nothing'),
  ('transfer.created', '{"currency": "eur"}', 'in another currency'),
  ('transfer.reversed', '{"amount_reversed": null}', 'by nobody knows how much'),
  ('transfer.reversed', '{"amount_reversed": 1e12}', 'by more than fits')
) as cases (type, changes, why);
select is(
  (select status from public.payouts where source_id = tests.session_of('e')), 'blocked',
  'MON-05: none of which has changed anything'
);
select is(
  (select count(*)::integer from private.stripe_events where status = 'failed'),
  (select count(*)::integer from private.outbox where payload ->> 'subject' = 'An event of Stripe failed'),
  'MON-05: each is kept, and support is told of each'
);

select is_empty($$ select * from public.ledger_invariants() $$, 'MON-03: the money adds up');

select * from finish();

rollback;
