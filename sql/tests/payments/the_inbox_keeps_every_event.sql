-- MON-05: every event is kept once; one that fails has changed nothing and is run again.
begin;

select plan(53);

select tests.stop_clock();
select tests.person('customer');
select tests.mechanic('mechanic');
select tests.admin('admin');

create function pg_temp.kept(p_id text) returns text
language sql stable
as $$
  select concat_ws(' ', e.status, e.type, e.deliveries, e.error) from private.stripe_events as e where e.id = p_id
$$;

-- Once.
create temporary table intent on commit drop as select tests.checkout('customer', '1') as id;
create temporary table event on commit drop as
select tests.stripe_event(
  'checkout.session.completed', tests.stripe_checkout('1', 'session', (select id from intent), 1000), 'evt_proof'
) as payload;
grant select on event to service_role;
select tests.act_as_role('service_role');
select is(
  public.ingest_stripe_event((select payload from event)),
  '{"status": "processed", "duplicate": false, "error": null}'::jsonb, 'MON-05: an event is processed'
);
select is(
  public.ingest_stripe_event((select payload from event)),
  '{"status": "processed", "duplicate": true, "error": null}'::jsonb,
  'MON-05: and told as a duplicate when it comes again'
);
select tests.be_system();
select tests.deliver((select payload from event)) from generate_series(1, 98);
select is(pg_temp.kept('evt_proof'), 'processed checkout.session.completed 100', 'MON-05: kept once, however often');
select is(
  (select payload from private.stripe_events where id = 'evt_proof'), (select payload from event),
  'MON-05: with its payload'
);
select is(tests.totals(), 'session_hold 1000, stripe -1000', 'MON-05: a hundred deliveries are one payment');
select is(
  (select count(*)::integer from public.sessions where customer_user_id = tests.id('customer')), 1,
  'MON-05: and one session'
);

-- Not ours.
select is(
  tests.deliver(tests.stripe_event('invoice.paid', '{"id": "in_1", "object": "invoice"}', 'evt_other')), 'ignored',
  'MON-05: a type that is not used is ignored'
);
select is(
  tests.deliver(tests.stripe_event('invoice.paid', '{"id": "in_1", "object": "invoice"}', 'evt_other')),
  'ignored again', 'MON-05: also the second time'
);
select is(pg_temp.kept('evt_other'), 'ignored invoice.paid 2', 'MON-05: and kept');
select tests.person('live customer');
create temporary table live_intent on commit drop as select tests.checkout('live customer', '2') as id;
select is(
  tests.deliver(tests.stripe_event('payment_intent.succeeded', tests.stripe_intent(
    '2', 'session', (select id from live_intent), 1000
  ), 'evt_live', true)), 'ignored', 'MON-05: so is the other mode'
);
select is(
  (select status from public.checkout_intents where id = (select id from live_intent)), 'open',
  'MON-05: with no effect'
);
select public.set_setting('stripe_livemode', 'true');
select is(
  tests.deliver(tests.stripe_event('payment_intent.succeeded', tests.stripe_intent(
    '2', 'session', (select id from live_intent), 1000
  ), 'evt_test')), 'ignored', 'MON-05: in live mode, test events are the other mode'
);
select public.set_setting('stripe_livemode', 'false');
select is(
  tests.tell('payment_intent.succeeded', '{"id": "pi_3", "object": "payment_intent", "metadata": {}}'), 'ignored',
  'MON-05: a payment of another program on the same account is ignored'
);
select is(
  tests.tell('payment_intent.succeeded', '{"id": "pi_3", "object": "payment_intent", "metadata": {"mode": "gift"}}'),
  'ignored', 'MON-05: also with a mode of its own'
);

-- Failed: its own effects are undone, nobody else's.
select tests.person('unlucky');
create temporary table unlucky on commit drop as select tests.checkout('unlucky', '4') as id;
create function pg_temp.break() returns trigger language plpgsql
as $$ begin raise exception 'broken'; end $$;
create trigger breaks before insert on public.session_assignments for each row execute function pg_temp.break();
create temporary table before on commit drop as select tests.totals() as money;
create temporary table cut on commit drop as
select tests.stripe_event('payment_intent.succeeded', tests.stripe_intent(
  '4', 'session', (select id from unlucky), 1000
), 'evt_cut') as payload;
select is(tests.deliver((select payload from cut)), 'failed: broken', 'MON-05: an event that fails says why');
select is(pg_temp.kept('evt_cut'), 'failed payment_intent.succeeded 1 broken', 'MON-05: and is kept');
select is(tests.totals(), (select money from before), 'MON-05: no money has moved');
select is((tests.payment('4')).id, null::uuid, 'MON-05: its payment is not there');
select is(
  (select status from public.checkout_intents where id = (select id from unlucky)), 'open', 'MON-05: nor its session'
);
select is(
  tests.alerts(), array['critical: An event of Stripe failed'], 'MON-05: support is told'
);
select is(
  tests.deliver((select payload from cut)), 'failed again: broken', 'MON-05: delivered again it is run again'
);
select is(
  tests.outcome('admin', $$ select public.retry_stripe_event('evt_cut') $$), 'ok', 'MON-05: an admin may ask for it'
);
select is(pg_temp.kept('evt_cut'), 'failed payment_intent.succeeded 2 broken', 'MON-05: still broken');
drop trigger breaks on public.session_assignments;
select tests.act_as('admin');
select is(
  public.retry_stripe_event('evt_cut'), '{"status": "processed", "duplicate": false, "error": null}'::jsonb,
  'MON-05: mended, it is done'
);
select tests.be_system();
select is(pg_temp.kept('evt_cut'), 'processed payment_intent.succeeded 2', 'MON-05: and has no error any more');
select is(tests.told_of_payment('4'), 'paid session 0', 'MON-05: with all that it does');
select is(tests.deliver((select payload from cut)), 'processed again', 'MON-05: once');
select is(
  tests.outcome('admin', $$ select public.retry_stripe_event('evt_cut') $$), 'PT422 invalid_argument',
  'MON-05: only what failed is run again'
);
select is(
  (select array_agg(o.detail ->> 'status' order by o.id) from private.ops_log as o
   where o.kind = 'stripe_event.retried'),
  array['failed', 'processed'], 'MON-05: what an admin asked for is in the log'
);

-- Stripe delivers again what failed for want of something.
select is(
  tests.deliver(tests.stripe_event('payment_intent.succeeded', tests.stripe_intent(
    '5', 'session', tests.id('nothing'), 1000
  ), 'evt_unknown')),
  format('failed: the event names %s, which does not exist', tests.id('nothing')),
  'MON-05: money for something unknown is not dropped'
);
select matches(
  tests.deliver(tests.stripe_event('payment_intent.succeeded', tests.stripe_intent(
    '5', 'session', tests.id('nothing'), 1000
  ) || '{"metadata": {"mode": "session", "intent_id": "no uuid"}}', 'evt_odd')), '^failed: ',
  'MON-05: nor is an event with nonsense in it'
);
select matches(
  tests.deliver(tests.stripe_event('payment_intent.succeeded', tests.stripe_intent(
    '5', 'session', tests.id('nothing'), 1000
  ) || '{"metadata": {"mode": "session"}}', 'evt_nameless')), '^failed: ', 'MON-05: or without a name'
);

-- Too long a wait keeps nothing.
create function pg_temp.wait() returns trigger language plpgsql
as $$ begin raise exception using errcode = tg_argv[0], message = 'waited'; end $$;
select tests.person('patient');
create temporary table patient on commit drop as select tests.checkout('patient', '6') as id;
create function pg_temp.raised(p_state text) returns text
language plpgsql
as $$
begin
  execute format(
    'create trigger waits before insert on public.session_assignments for each row execute function pg_temp.wait(%L)',
    p_state
  );
  return tests.outcome('service_role', format('select public.ingest_stripe_event(%L)', tests.stripe_event(
    'payment_intent.succeeded', tests.stripe_intent('6', 'session', (select id from patient), 1000), 'evt_patient'
  ))) || ' ' || (select count(*) from private.stripe_events as e where e.id = 'evt_patient');
end
$$;
grant select on patient to service_role;
select is(pg_temp.raised('55P03'), '55P03 waited 0', 'MON-05: a lock time-out raises, and nothing is kept');
drop trigger waits on public.session_assignments;
select is(pg_temp.raised('40P01'), '40P01 waited 0', 'MON-05: so does a deadlock');
drop trigger waits on public.session_assignments;
select is(pg_temp.raised('40001'), '40001 waited 0', 'MON-05: and a serialisation failure');
drop trigger waits on public.session_assignments;

-- Who, and what.
select is(
  tests.outcome(who, $$ select public.ingest_stripe_event('{}') $$),
  '42501 permission denied for function ingest_stripe_event',
  format('MON-05: %s delivers no events', who)
) from unnest(array['anon', 'customer', 'admin']) as who;
select is(
  tests.outcome('customer', $$ select public.retry_stripe_event('evt_cut') $$), 'PT403 role_required',
  'MON-05: a customer runs none again'
);
select is(
  tests.outcome('admin', $$ select public.retry_stripe_event(null) $$), 'PT422 invalid_argument',
  'MON-05: nothing is not an event'
);
select is(
  tests.outcome('admin', $$ select public.retry_stripe_event('evt_none') $$), 'PT422 invalid_argument',
  'MON-05: nor is one that never came'
);
select is(
  tests.outcome('service_role', format('select public.ingest_stripe_event(%L)', odd)), 'PT422 invalid_argument',
  'MON-05: not an event of Stripe: ' || coalesce(odd, 'null')
) from unnest(array[
  null, 'null', '[]', '{}', '"evt_1"',
  '{"id": "1", "type": "charge.refunded", "livemode": false, "created": 1, "data": {"object": {}}}',
  '{"id": "evt_9", "livemode": false, "created": 1, "data": {"object": {}}}',
  '{"id": "evt_9", "type": "charge.refunded", "livemode": "no", "created": 1, "data": {"object": {}}}',
  '{"id": "evt_9", "type": "charge.refunded", "livemode": false, "created": "1", "data": {"object": {}}}',
  '{"id": "evt_9", "type": "charge.refunded", "livemode": false, "created": 1, "data": {}}',
  '{"id": "evt_9", "type": "charge.refunded", "livemode": false, "created": 1, "data": {"object": []}}'
]) as odd;
select is_empty($$ select * from public.ledger_invariants() $$, 'MON-03: the money adds up');

select * from finish();

rollback;
