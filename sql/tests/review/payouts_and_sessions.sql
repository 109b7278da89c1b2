-- MON-20: a payout that failed or that nobody knows about, a session in review, a dead effect and a failed event: each
-- has a way out, for admins, and each is recorded.
begin;

select plan(59);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.admin('admin');

create function pg_temp.resolve(p_who text, p_customer text, p_action text, p_transfer text default null) returns text
language sql
as $$
  select tests.outcome(p_who, format(
    'select public.resolve_payout(%L, %L, %L)', (tests.payout_of(p_customer)).id, p_action, p_transfer
  ))
$$;

create function pg_temp.transfer(p_customer text) returns private.outbox
language sql stable
as $$ select o from private.outbox as o where o.key = 'payout:' || (tests.payout_of(p_customer)).id $$;

create function pg_temp.unknown(p_customer text) returns void
language plpgsql
as $$
begin
  perform tests.paid_and_completed(p_customer, p_customer || ' mechanic');
  perform tests.advance(86401);
  perform tests.dispatch();
  perform tests.stripe_fails('stripe.transfer', true, 'time-out');
end
$$;

-- who, and which
select tests.paid_and_completed('waiting', 'waiting mechanic');
select is(
  pg_temp.resolve('admin', 'waiting', action, 'tr_1'), 'PT422 invalid_argument', 'MON-20: one that waits needs nothing'
)
from unnest(array['paid', 'retry', 'cancel']) as action;
select pg_temp.unknown('customer');
select tests.advance(3601);
select tests.dispatch();
select is(pg_temp.resolve(who, 'customer', 'cancel'), 'PT403 role_required', format('MON-20: not by the %s', who))
from unnest(array['customer', 'customer mechanic']) as who;
select alike(pg_temp.resolve('anon', 'customer', 'cancel'), '42501 %', 'MON-20: nor by a visitor');
select is(
  pg_temp.resolve('admin', 'customer', action, transfer), 'PT422 invalid_argument', format('MON-20: %s', why)
)
from (values
  ('keep', null, 'another action'), (null, null, 'no action'), ('paid', null, 'paid, by nothing'),
  ('paid', '', 'paid, by an empty id'), ('paid', 'ch_1', 'paid, by something else')
) as cases (action, transfer, why);
select is(
  tests.outcome('admin', format('select public.resolve_payout(%L, %L)', payout, 'cancel')), 'PT404 payout_not_found',
  'MON-20: which payout'
)
from unnest(array[null, tests.id('nothing')]) as payout;
select is((tests.payout_of('customer')).status, 'needs_reconciliation', 'MON-20: none of which resolved it');

-- paid
select is(pg_temp.resolve('admin', 'customer', 'paid', 'tr_1'), 'ok', 'MON-20: paid, by the transfer that was found');
select is(tests.payout_told('customer'), '1050 paid', 'MON-20: it is paid');
select is((tests.payout_of('customer')).stripe_transfer_id, 'tr_1', 'MON-20: by it');
select is(tests.cents('mechanic_payable', 'customer mechanic'), 0, 'MON-20: and posted');
select is((pg_temp.transfer('customer')).status, 'done', 'MON-20: nothing is sent any more');
select is(
  tests.op('payout.resolved'),
  jsonb_build_object(
    'payout_id', (tests.payout_of('customer')).id, 'action', 'paid', 'stripe_transfer_id', 'tr_1'
  ),
  'MON-20: it is recorded'
);
select is(pg_temp.resolve('admin', 'customer', 'retry'), 'PT422 invalid_argument', 'MON-20: once');
select pg_temp.unknown('second');
select is(
  pg_temp.resolve('admin', 'second', 'paid', 'tr_1'), 'PT422 invalid_argument', 'MON-20: not by another one''s transfer'
);

-- retry
select is(pg_temp.resolve('system', 'second', 'retry'), 'ok', 'MON-20: retry');
select is(tests.payout_told('second'), '1050 submitted', 'MON-20: it is on its way');
select tests.advance(3601);
select private.run_job('dispatch-outbox');
select ok(
  (
    select bool_and(must_look_first) from public.claim_outbox('worker', 10, 60)
    where key = (pg_temp.transfer('second')).key
  ),
  'MON-14: the worker asks Stripe first'
);
select tests.stripe_says('stripe.transfer');
select is(tests.payout_told('second'), '1050 paid', 'MON-20: and paid');

-- retry of one that was given up
select tests.paid_and_completed('third', 'third mechanic');
select tests.advance(86401);
select tests.dispatch();
select tests.stripe_fails_for_good('stripe.transfer', false);
select is((pg_temp.transfer('third')).status, 'dead', 'MON-18: given up');
select is(pg_temp.resolve('admin', 'third', 'retry'), 'ok', 'MON-20: retry');
select is(tests.payout_told('third'), '1050 submitted', 'MON-20: it is on its way again');
select is((pg_temp.transfer('third')).status, 'pending', 'MON-20: in the outbox');
select ok((pg_temp.transfer('third')).is_ambiguous, 'MON-14: and Stripe is asked first');
select tests.dispatch();
select tests.stripe_says('stripe.transfer');
select is(tests.payout_told('third'), '1050 paid', 'MON-20: and paid');

-- cancel
select tests.paid_and_completed('fourth', 'fourth mechanic');
select tests.advance(86401);
select tests.dispatch();
select tests.stripe_fails_for_good('stripe.transfer', false);
select is(
  pg_temp.resolve('admin', 'fourth', 'cancel', 'tr_2'), 'ok', 'MON-20: cancel, whatever else is said'
);
select is(tests.payout_told('fourth'), '1050 cancelled', 'MON-20: it is cancelled');
select is(tests.cents('mechanic_payable', 'fourth mechanic'), 1050, 'MON-20: and stays owed');
select is((pg_temp.transfer('fourth')).status, 'done', 'MON-20: nothing is sent any more');
select tests.session_refund('fourth', 'all');
select is(tests.cents('mechanic_payable', 'fourth mechanic'), 0, 'MON-15: until the session is refunded');
select is(tests.effects('fourth', 'stripe.transfer_reversal'), null, 'MON-15: nothing has to come back');

-- cancelled while the worker had it
select pg_temp.unknown('fifth');
select tests.advance(3601);
select tests.dispatch();
select set_config('tests.token', (pg_temp.transfer('fifth')).lease_token::text, true);
select is(pg_temp.resolve('admin', 'fifth', 'cancel'), 'ok', 'MON-20: cancel under a worker''s hands');
select is(
  public.complete_outbox((pg_temp.transfer('fifth')).id, current_setting('tests.token')::uuid, '{"id": "tr_late"}'),
  false, 'MON-18: the worker has lost it'
);
select tests.arrives('transfer.created', jsonb_build_object(
  'id', 'tr_late', 'object', 'transfer', 'amount', 1050, 'amount_reversed', 0,
  'metadata', jsonb_build_object('outbox_key', (pg_temp.transfer('fifth')).key)
));
select is(tests.payout_told('fifth'), '1050 paid', 'MON-14: what Stripe then tells is what counts');
select is(tests.cents('mechanic_payable', 'fifth mechanic'), 0, 'MON-14: and nothing is owed');

-- a session in review
select private.review_session(tests.session_of('fifth'), 'odd', 'critical', '{}');
select private.review_session(tests.session_of('fifth'), 'odd again', 'critical', '{}');
create function pg_temp.resolve_review(p_who text, p_session uuid) returns text
language sql
as $$ select tests.outcome(p_who, format('select public.resolve_review(%L, %L)', p_session, repeat('n', 1200))) $$;
select is(
  pg_temp.resolve_review(who, tests.session_of('fifth')), 'PT403 role_required', format('MON-20: not by the %s', who)
)
from unnest(array['fifth', 'fifth mechanic']) as who;
select alike(pg_temp.resolve_review('anon', tests.session_of('fifth')), '42501 %', 'MON-20: nor by a visitor');
select is(pg_temp.resolve_review('admin', session), 'PT404 session_not_found', 'MON-20: which session')
from unnest(array[null, tests.id('nothing')]) as session;
select is(pg_temp.resolve_review('admin', tests.session_of('fifth')), 'ok', 'MON-20: an admin closes its reviews');
select results_eq(
  $$ select distinct resolved_by, resolved_at, note from private.session_reviews $$,
  $$ values (tests.id('admin'), tests.now(), repeat('n', 1000)) $$, 'MON-20: both, with a note'
);
select is(tests.op('session.review_resolved') ->> 'resolved', '2', 'MON-20: it is recorded');
select is(public.resolve_review(tests.session_of('fifth')), 0, 'MON-20: again: nothing is open');

-- a dead effect
select is(
  tests.outcome('admin', format('select public.requeue_outbox(%L)', id)), 'PT422 invalid_argument',
  'MON-20: only a dead effect is revived'
)
from unnest(array[null, 0::bigint, (pg_temp.transfer('fourth')).id]) as id;
select is(
  tests.outcome('fifth', 'select public.requeue_outbox(1)'), 'PT403 role_required', 'MON-20: and by an admin only'
);

-- an event that failed
select is(
  tests.arrives('checkout.session.completed', '{"id": "cs_1", "object": "checkout.session", "payment_status": "paid",
    "metadata": {"mode": "session", "intent_id": "00000000-0000-4000-8000-000000000000"}}') ->> 'status',
  'failed', 'MON-05: an event that names nothing we know'
);
select is(
  tests.outcome('admin', format('select public.retry_stripe_event(%L)', e.id)), 'ok', 'MON-20: is run again by an admin'
)
from private.stripe_events as e where e.status = 'failed';
select is(tests.op('stripe_event.retried') ->> 'status', 'failed', 'MON-20: which is recorded, whatever came of it');

select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');

select * from finish();

rollback;
