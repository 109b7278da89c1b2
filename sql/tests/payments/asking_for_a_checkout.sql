-- MON-07: asking fixes the price and refuses what could not be made, before any money moves.
begin;

select plan(56);

select tests.stop_clock();
select tests.person('customer');
select tests.mechanic('mechanic');
select tests.mechanic('unapproved', false);
select tests.admin('admin');

create function pg_temp.asks(p_arguments text) returns text
language sql
as $$ select tests.outcome('customer', format('select public.request_checkout(%s)', p_arguments)) $$;

select tests.act_as('customer');
create temporary table asked on commit drop as
select * from public.request_checkout(
  p_plan => 'video15', p_intake => '{"car": "old"}', p_preferred_mechanic_id => tests.id('mechanic'),
  p_scheduled_for => tests.now() + interval '2 hours', p_idempotency_key => 'k1'
);
select tests.be_system();
select results_eq(
  $$ select customer_user_id, plan, price_cents, currency, intake, preferred_mechanic_id, scheduled_for, status,
     session_id, stripe_checkout_session_id, expires_at from asked $$,
  $$ values (tests.id('customer'), 'video15', 1500, 'usd', '{"car": "old"}'::jsonb, tests.id('mechanic'),
     tests.now() + interval '2 hours', 'open', null::uuid, null::text, tests.now() + interval '1 day') $$,
  'MON-07: the intent'
);
select is(tests.totals(), null, 'MON-07: no money has moved');
select is(tests.session_of('customer'), null::uuid, 'MON-07: no session is made');

-- The same key is the same intent.
select tests.act_as('customer');
select is(
  (public.request_checkout(
    p_plan => 'video15', p_intake => '{"car": "old"}', p_preferred_mechanic_id => tests.id('mechanic'),
    p_scheduled_for => '2030-01-01 15:00:00+01', p_idempotency_key => 'k1'
  )).id, (select id from asked), 'MON-07: the same key gives the same intent'
);
select tests.be_system();
select is(
  pg_temp.asks($$ p_plan => 'video15', p_idempotency_key => 'k1' $$), 'PT409 idempotency_conflict',
  'MON-07: the same key with something else does not'
);
select is(
  pg_temp.asks($$ p_plan => 'chat10', p_idempotency_key => 'k2' $$), 'ok', 'MON-07: another key is another intent'
);
select is(pg_temp.asks($$ p_plan => 'chat10' $$), 'ok', 'MON-07: so is no key');
select is(pg_temp.asks($$ p_plan => 'chat10' $$), 'ok', 'MON-07: every time');
select is((select count(*)::integer from public.checkout_intents), 4, 'MON-07: four in all');
select tests.advance(86399);
select is(
  pg_temp.asks($$ p_plan => 'chat10', p_idempotency_key => 'k2' $$), 'ok', 'MON-07: the price is kept for a day'
);
select tests.advance(1);
select is(
  pg_temp.asks($$ p_plan => 'chat10', p_idempotency_key => 'k2' $$), 'PT409 idempotency_conflict',
  'MON-07: and not longer'
);
update public.checkout_intents set status = 'in_review' where idempotency_key = 'k2';
select is(
  pg_temp.asks($$ p_plan => 'chat10', p_idempotency_key => 'k2' $$), 'ok', 'MON-07: what was paid is still told'
);
select tests.advance(-86400);
select tests.person('second customer');
select is(
  tests.outcome('second customer', $$ select public.request_checkout('chat10', p_idempotency_key => 'k1') $$), 'ok',
  'MON-07: a key is one customer''s own'
);

-- What could not be made is refused.
select is(pg_temp.asks($$ 'nothing' $$), 'PT404 plan_not_found', 'MON-07: an unknown plan');
select is(pg_temp.asks($$ null $$), 'PT404 plan_not_found', 'MON-07: no plan');
select public.set_plan(p_slug => 'diagnostic', p_is_active => false);
select is(pg_temp.asks($$ 'diagnostic' $$), 'PT404 plan_not_found', 'MON-07: one that is not sold any more');
select public.set_plan(
  p_slug => 'gift', p_type => 'chat', p_title => 'A gift', p_duration_minutes => 10, p_price_cents => 0
);
select is(pg_temp.asks($$ 'gift' $$), 'PT422 invalid_argument', 'MON-07: one that costs nothing');
select is(pg_temp.asks($$ 'chat10', '[]' $$), 'PT422 invalid_argument', 'MON-07: intake that is no object');
select is(pg_temp.asks($$ 'chat10', null $$), 'ok', 'MON-07: no intake is an empty one');
select is(
  pg_temp.asks($$ 'chat10', p_preferred_mechanic_id => tests.id('unapproved') $$), 'PT422 invalid_argument',
  'MON-07: a mechanic who is not approved'
);
select is(
  pg_temp.asks($$ 'chat10', p_preferred_mechanic_id => tests.id('customer') $$), 'PT422 invalid_argument',
  'MON-07: the customer himself'
);
select is(
  pg_temp.asks($$ 'chat10', p_scheduled_for => tests.now() $$), 'PT422 invalid_argument', 'MON-07: a time that is over'
);
select is(
  pg_temp.asks($$ 'chat10', p_scheduled_for => tests.now() + interval '2 years' $$), 'PT422 invalid_argument',
  'MON-07: a time too far away'
);
select is(
  pg_temp.asks($$ 'chat10', p_idempotency_key => '' $$), 'PT422 invalid_argument', 'MON-07: an empty key'
);
select is(
  pg_temp.asks($$ 'chat10', p_idempotency_key => repeat('k', 201) $$), 'PT422 invalid_argument', 'MON-07: a long key'
);
select tests.queue('customer');
select is(
  pg_temp.asks($$ 'chat10' $$), 'PT409 active_session_exists', 'MON-07: a customer who has an active session'
);
select is(
  pg_temp.asks($$ 'chat10', p_idempotency_key => 'k2' $$), 'ok', 'MON-07: what he asked for before is still there'
);
select is(
  tests.outcome(who, $$ select public.request_checkout('chat10') $$),
  '42501 permission denied for function request_checkout', format('MON-07: not for %s', who)
) from unnest(array['anon', 'service_role']) as who;

-- Who sees an intent.
select tests.act_as('customer');
select is((select count(*)::integer from public.checkout_intents), 5, 'MON-07: the customer sees his own');
select tests.act_as('second customer');
select is((select count(*)::integer from public.checkout_intents), 1, 'MON-07: others do not');
select tests.act_as('admin');
select is((select count(*)::integer from public.checkout_intents), 6, 'MON-07: admins see all');
select tests.be_system();
select is(
  tests.outcome('anon', 'select * from public.checkout_intents'),
  '42501 permission denied for table checkout_intents', 'MON-07: visitors none'
);
select is(
  tests.outcome('customer', $$ update public.checkout_intents set price_cents = 1 $$),
  '42501 permission denied for table checkout_intents', 'MON-07: nobody changes one'
);

-- What was opened at Stripe.
create temporary table other on commit drop as
select id from public.checkout_intents where customer_user_id = tests.id('second customer');
grant select on asked, other to service_role, authenticated;
select tests.act_as_role('service_role');
create temporary table recorded on commit drop as
select public.record_checkout('session', (select id from asked), 'cs_1') as id;
select is(
  public.record_checkout('session', (select id from asked), 'cs_1'), (select id from recorded),
  'MON-07: recorded twice is one payment'
);
select is(
  public.record_checkout('session', (select id from asked), 'cs_1', 'pi_1'), (select id from recorded),
  'MON-07: also when the payment intent is known later'
);
select isnt(
  public.record_checkout('session', (select id from asked), 'cs_2'), (select id from recorded),
  'MON-07: a second Checkout is another payment'
);
select tests.be_system();
select results_eq(
  $$ select checkout_session_id, payment_intent_id, rank::text, amount_cents, received_at from private.payments
     order by 1 $$,
  $$ values ('cs_1', 'pi_1', 'requested', 1500, null::timestamptz), ('cs_2', null, 'requested', 1500, null) $$,
  'MON-07: payments that were asked for'
);
select is(
  (select stripe_checkout_session_id from public.checkout_intents where id = (select id from asked)), 'cs_2',
  'MON-07: the intent says which Checkout is open'
);
select is(
  tests.outcome('service_role', format('select public.record_checkout(%s)', arguments)), outcome,
  'MON-07: record_checkout: ' || arguments
)
from (
  values
  ($$ 'session', (select id from other), 'cs_1' $$, 'PT409 idempotency_conflict'),
  ($$ 'session', (select id from asked), null $$, 'PT422 invalid_argument'),
  ($$ 'session', (select id from asked), '' $$, 'PT422 invalid_argument'),
  ($$ 'session', (select id from asked), 'cs_3', '' $$, 'PT422 invalid_argument'),
  ($$ 'extension', (select id from asked), 'cs_3' $$, 'PT404 payment_not_found'),
  ($$ 'gift', (select id from asked), 'cs_3' $$, 'PT404 payment_not_found'),
  ($$ null, null, 'cs_3' $$, 'PT404 payment_not_found')
) as c (arguments, outcome);
select is(
  tests.outcome(who, $$ select public.record_checkout('session', tests.id('x'), 'cs_3') $$),
  '42501 permission denied for function record_checkout', format('MON-07: %s records nothing', who)
) from unnest(array['anon', 'customer', 'admin']) as who;
select is_empty($$ select * from public.ledger_invariants() $$, 'MON-03: the money adds up');

-- What could not be made any more is refused under a key that was used, too; what was paid is told.
select tests.person('shopper');
create function pg_temp.shops(p_key text) returns text
language sql
as $$
  select tests.outcome('shopper', format('select public.request_checkout(''chat10'', p_idempotency_key => %L)', p_key))
$$;
select is(pg_temp.shops(key), 'ok', 'MON-07: asked for under the key ' || key) from unnest(array['s1', 's2']) as key;
select is(public.recorded_checkout('session', i.id), null, 'MON-07: no Checkout is noted yet')
from public.checkout_intents as i where i.idempotency_key = 's1';
select public.record_checkout('session', i.id, 'cs_s1')
from public.checkout_intents as i where i.idempotency_key = 's1';
select is(public.recorded_checkout('session', i.id), 'cs_s1', 'MON-07: this one is')
from public.checkout_intents as i where i.idempotency_key = 's1';
select public.set_plan(p_slug => 'chat10', p_is_active => false);
select is(pg_temp.shops('s1'), 'PT404 plan_not_found', 'MON-07: the plan is not sold any more');
select public.set_plan(p_slug => 'chat10', p_is_active => true);
select tests.act_as('shopper');
select public.create_session('chat10', 'free');
select tests.be_system();
select is(pg_temp.shops('s1'), 'PT409 active_session_exists', 'MON-07: there is a session meanwhile');

select * from finish();

rollback;
