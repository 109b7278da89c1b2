-- MON-20: a payment in review is applied, made credit, or refunded; each is recorded, and nothing of it is left over.
begin;

select plan(70);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.admin('admin');
select tests.person('stranger');

create function pg_temp.resolve(p_who text, p_customer text, p_action text, p_kind text default '') returns text
language sql
as $$
  select tests.outcome(p_who, format(
    'select public.resolve_payment(%L, %L, %L)', (tests.payment_of(p_customer, p_kind)).id, p_action, 'a note'
  ))
$$;

create function pg_temp.intent(p_customer text) returns text
language sql stable
as $$ select string_agg(status, ' ' order by created_at, id) from public.checkout_intents
  where customer_user_id = tests.id(p_customer) $$;

create function pg_temp.unapplied(p_customer text, p_kind text default '') returns integer
language sql stable
as $$ select private.unapplied(tests.payment_of(p_customer, p_kind)) $$;

-- who, and which
select tests.person('customer');
select tests.pay('customer', 'video15', 1400);
select is(pg_temp.intent('customer'), 'in_review', 'MON-07: another amount: in review');
select is(pg_temp.unapplied('customer'), 1400, 'MON-06: what arrived is kept apart');
select is(pg_temp.resolve(who, 'customer', 'refund'), 'PT403 role_required', format('MON-20: not by the %s', who))
from unnest(array['customer', 'stranger']) as who;
select alike(pg_temp.resolve('anon', 'customer', 'refund'), '42501 %', 'MON-20: nor by a visitor');
select is(pg_temp.resolve('admin', 'customer', action), 'PT422 invalid_argument', format('MON-20: not by %L', action))
from unnest(array['keep', '', null]) as action;
select is(
  tests.outcome('admin', format('select public.resolve_payment(%L, %L)', payment, 'refund')),
  'PT404 payment_not_found', 'MON-20: which payment'
)
from unnest(array[null, tests.id('nothing')]) as payment;

-- apply, to a session
select is(pg_temp.resolve('admin', 'customer', 'apply'), 'ok', 'MON-20: apply: what arrived is what was asked for');
select is(pg_temp.intent('customer'), 'paid', 'MON-20: the intent is paid');
select results_eq(
  $$ select status::text, funding::text, price_cents from tests.row_of('customer') $$,
  $$ values ('pending', 'paid', 1400) $$, 'MON-20: and its session is made, at that price'
);
select is(tests.money(), 'session_hold 1400, stripe -1400', 'MON-20: the money is held for it');
select is((tests.payment_of('customer')).review, null, 'MON-20: the review is closed');
select is(
  tests.op('payment.resolved'),
  jsonb_build_object('payment_id', (tests.payment_of('customer')).id, 'action', 'apply', 'note', 'a note'),
  'MON-20: it is recorded'
);
select is(
  (select actor_id from private.ops_log where kind = 'payment.resolved'), tests.id('admin'), 'MON-20: with who did it'
);
select is(pg_temp.resolve('admin', 'customer', 'refund'), 'PT422 invalid_argument', 'MON-20: it is resolved once');
select tests.finish_session('customer', 'customer');

-- apply, while another session is active
select tests.person('busy');
select tests.pay('busy', 'video15', 1400);
select tests.buy_with_credit('busy', 'chat10');
select is(pg_temp.resolve('system', 'busy', 'apply'), 'ok', 'MON-20: apply beside an active session');
select is(pg_temp.intent('busy'), 'to_credit', 'MON-07: becomes credit');
select is(tests.cents('customer_credit', 'busy'), 1400, 'MON-20: all of it');

-- apply, in another currency
select tests.person('abroad');
select tests.pay('abroad', 'chat10', 1000, '', 'eur');
select is(pg_temp.resolve('system', 'abroad', 'apply'), 'ok', 'MON-20: apply in another currency');
select is((tests.row_of('abroad')).currency, 'eur', 'MON-20: the session is sold in it');
select is((tests.finish_session('abroad', 'abroad')).refund_cents, 1000, 'MON-13: and given back in it');

-- to credit
select tests.person('second');
select tests.pay('second', 'video15', 1600);
select is(pg_temp.resolve('admin', 'second', 'to_credit'), 'ok', 'MON-20: to_credit');
select is(tests.cents('customer_credit', 'second'), 1600, 'MON-20: the customer has what arrived');
select is(pg_temp.intent('second'), 'to_credit', 'MON-20: the intent says so');
select is(tests.session_of('second'), null, 'MON-20: there is no session');
select is((tests.payment_of('second')).applied_to, 'credit', 'MON-20: the payment became credit');

-- refund
select tests.person('third');
select tests.pay('third', 'video15', 1);
select is(pg_temp.resolve('admin', 'third', 'refund'), 'ok', 'MON-20: refund');
select is(pg_temp.intent('third'), 'failed', 'MON-20: the intent was not paid');
select is(pg_temp.unapplied('third'), 0, 'MON-20: nothing is left of it');
select is((tests.payment_of('third')).refunded_cents, 1, 'MON-20: all of it goes back');
-- which fails, twice
create function pg_temp.refund_fails(p_customer text, p_number integer) returns text
language sql
as $$
  select tests.arrives('refund.failed', jsonb_build_object(
    'id', 're_' || p_customer || p_number, 'object', 'refund', 'status', 'failed', 'amount', r.amount_cents,
    'payment_intent', tests.pi(p_customer), 'metadata', jsonb_build_object('outbox_key', 'refund:' || r.key)
  )) ->> 'status'
  from private.refunds as r
  where r.payment_id = (tests.payment_of(p_customer)).id and r.status = 'requested'
$$;
select is(pg_temp.refund_fails('third', 1), 'processed', 'MON-08: the refund fails');
select is((tests.payment_of('third')).review, 'refund_failed', 'MON-20: it is in review again');
select is(pg_temp.unapplied('third'), 1, 'MON-20: with its money');
select is(pg_temp.resolve('admin', 'third', 'apply'), 'PT422 invalid_argument', 'MON-20: it cannot be applied');
select is(pg_temp.resolve('admin', 'third', 'refund'), 'ok', 'MON-20: refunded again');
select is(pg_temp.refund_fails('third', 2), 'processed', 'MON-08: which fails as well');
select is(pg_temp.resolve('admin', 'third', 'refund'), 'ok', 'MON-20: and again');
select is(
  (
    select count(*)::integer from private.outbox
    where topic = 'stripe.refund' and payload ->> 'payment_intent' = tests.pi('third')
  ),
  3, 'MON-20: each by its own key'
);
select pg_temp.refund_fails('third', 3);
select is(pg_temp.resolve('admin', 'third', 'to_credit'), 'ok', 'MON-20: in the end it becomes credit');
select is(tests.cents('customer_credit', 'third'), 1, 'MON-20: that can be spent');

-- paid twice, the second time another amount
select tests.person('twice');
select tests.pay('twice', 'video15');
select tests.charged(
  'twice', 'again', 1499, jsonb_build_object('mode', 'session', 'intent_id', i.id), 'usd'
)
from public.checkout_intents as i where i.customer_user_id = tests.id('twice');
select is((tests.payment_of('twice', 'again')).review, 'amount_differs', 'MON-07: a second payment of another amount');
select is(
  pg_temp.resolve('admin', 'twice', 'apply', 'again'), 'PT422 invalid_argument', 'MON-20: has nothing to be applied to'
);
select is((tests.payment_of('twice', 'again')).review, 'amount_differs', 'MON-20: and stays in review');
select is(pg_temp.resolve('admin', 'twice', 'to_credit', 'again'), 'ok', 'MON-20: but can become credit');
select is(pg_temp.intent('twice'), 'paid', 'MON-20: which is not what the intent was');
select tests.finish_session('twice', 'twice');

-- an extension: apply
select tests.paid_live('fourth', 'fourth mechanic');
select tests.pay_extension('fourth', 15, 400);
select is((tests.row_of('fourth')).duration_minutes, 45, 'MON-11: another amount: nothing is applied');
select is(pg_temp.resolve('admin', 'fourth', 'apply', 'extension15'), 'ok', 'MON-20: apply an extension');
select results_eq(
  $$ select s.duration_minutes, x.status::text, x.price_cents
     from tests.row_of('fourth') as s join public.session_extensions as x on x.session_id = s.id $$,
  $$ values (60, 'applied', 400) $$, 'MON-20: the session is longer, at what was paid'
);
select is(private.held(s.id, 'usd')::integer, 1900, 'MON-20: and holds it')
from tests.row_of('fourth') as s;
select tests.pay_extension('fourth', 30, 1000);
select is(pg_temp.resolve('admin', 'fourth', 'to_credit', 'extension30'), 'ok', 'MON-20: an extension to credit');
select is(tests.cents('customer_credit', 'fourth'), 1000, 'MON-20: the customer has it');
select is((tests.row_of('fourth')).duration_minutes, 60, 'MON-20: and no time for it');
select is(
  (select x.status::text from public.session_extensions as x where x.minutes = 30), 'failed',
  'MON-20: the extension is over, and can be asked for again'
);
select tests.pay_extension('fourth', 60, 1000);
select is(pg_temp.resolve('admin', 'fourth', 'refund', 'extension60'), 'ok', 'MON-20: an extension refunded');
select is((tests.payment_of('fourth', 'extension60')).refunded_cents, 1000, 'MON-20: all of it');

-- an extension, too late
select tests.paid_live('fifth', 'fifth mechanic');
select tests.pay_extension('fifth', 15, 400);
select tests.advance(70);
select tests.finish_session('fifth', 'fifth');
select is(pg_temp.resolve('admin', 'fifth', 'apply', 'extension15'), 'ok', 'MON-20: apply after the end');
select is((tests.payment_of('fifth', 'extension15')).applied_to, 'refund', 'MON-11: gives it back');
select is((tests.payment_of('fifth', 'extension15')).refunded_cents, 400, 'MON-11: in full');
select is((tests.row_of('fifth')).duration_minutes, 45, 'MON-11: nobody''s time changes');

-- nothing arrived
select tests.person('sixth');
select tests.pay('sixth', 'video15', 0);
select is((tests.payment_of('sixth')).review, 'amount_differs', 'MON-07: nothing is another amount too');
select is(pg_temp.resolve('admin', 'sixth', 'apply'), 'PT422 invalid_argument', 'MON-20: it pays for no session');
select is(pg_temp.resolve('admin', 'sixth', 'refund'), 'ok', 'MON-20: but the review has a way out');
select is((tests.payment_of('sixth')).review, null, 'MON-20: and is closed');

-- who may
select is(
  tests.outcome(who, $$ select public.resolve_payment(tests.id('nothing'), 'refund') $$), expected,
  format('MON-20: %s may ask', who)
)
from (values
  ('admin', 'PT404 payment_not_found'), ('system', 'PT404 payment_not_found'),
  ('service_role', 'PT404 payment_not_found')
) as cases (who, expected);

select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');

select * from finish();

rollback;
