-- MON-08: what Stripe tells of a refund of ours, known by its key or its id: it succeeded, or failed, even late.
begin;

select plan(21);

select tests.stop_clock();
select tests.mechanic('mechanic');

-- A paid session that its customer cancels: all of it is on its way back. Answers the key that Stripe is given.
create function pg_temp.cancelled(p_customer text) returns text
language plpgsql
as $$
begin
  perform tests.person(p_customer);
  perform tests.buy(p_customer, p_customer);
  perform tests.finish_session(p_customer, p_customer);
  return (
    select o.key from private.outbox as o
    where o.topic = 'stripe.refund' and o.session_id = tests.session_of(p_customer)
  );
end
$$;

-- The refund's status, the payment, where the money is.
create function pg_temp.told(p_customer text) returns text
language sql
as $$
  select concat_ws(
    ' ', r.status, coalesce(r.stripe_refund_id, '-'), '|', tests.told_of_payment(p_customer), '|', (
      select string_agg(split_part(a.name, ':', 1) || ' ' || a.cents, ', ' order by a.name)
      from (
        select l.name, sum(e.amount_cents) as cents
        from private.ledger_transfers as t
        join private.ledger_entries as e on e.transfer_id = t.id
        join private.ledger_accounts as l on l.id = e.account_id
        where t.session_id = tests.session_of(p_customer) or t.key = 'payment:' || r.payment_id
        group by 1
      ) as a
      where a.cents <> 0
    )
  )
  from private.refunds as r where r.payment_id = (tests.payment(p_customer)).id
$$;

create temporary table keys on commit drop as
select 'r' || n as customer, pg_temp.cancelled('r' || n) as key from generate_series(1, 8) as n;
select is(
  pg_temp.told('r1'), 'requested - | refunded session 1000 | refund_clearing 1000, stripe -1000',
  'MON-08: on its way'
);

create function pg_temp.tell(p_type text, p_customer text, p_status text, p_by_key boolean default true) returns text
language sql
as $$
  select tests.tell('refund.' || p_type, tests.stripe_refund(
    're_' || p_customer, p_customer, 1000, p_status, case when p_by_key then k.key end
  ))
  from keys as k where k.customer = p_customer
$$;

-- Succeeded.
select is(pg_temp.tell('created', 'r1', 'pending'), 'processed', 'MON-08: refund.created of ours');
select is(
  pg_temp.told('r1'), 'requested re_r1 | refunded session 1000 | refund_clearing 1000, stripe -1000',
  'MON-08: known, and still on its way'
);
select pg_temp.tell('updated', 'r1', 'succeeded', false);
select is(
  pg_temp.told('r1'), 'succeeded re_r1 | refunded session 1000 |',
  'MON-08: refund.updated: it has gone, known by its id'
);
select pg_temp.tell('updated', 'r1', 'succeeded');
select pg_temp.tell('created', 'r1', 'pending');
select tests.tell('charge.refunded', tests.stripe_charge('r1', 1000, 1000));
select is(
  pg_temp.told('r1'), 'succeeded re_r1 | refunded session 1000 |', 'MON-08: repeats and late ones change nothing'
);
select pg_temp.tell('created', 'r2', 'succeeded');
select is(
  pg_temp.told('r2'), 'succeeded re_r2 | refunded session 1000 |', 'MON-08: refund.created may be all there is'
);
select tests.tell('charge.refunded', tests.stripe_charge('r3', 1000, 1000));
select is(
  pg_temp.told('r3'), 'requested - | refunded session 1000 | refund_clearing 1000, stripe -1000',
  'MON-08: charge.refunded tells nothing new of a refund of ours'
);
select pg_temp.tell('updated', 'r3', 'succeeded');
select is(pg_temp.told('r3'), 'succeeded re_r3 | refunded session 1000 |', 'MON-08: nor does it hinder it');
select is(tests.alerts(), '{}'::text[], 'MON-08: nobody is alerted');

-- Failed.
select pg_temp.tell('failed', 'r4', 'failed');
select is(
  pg_temp.told('r4'), 'failed re_r4 | refunded session 0 refund_failed | stripe -1000, unapplied 1000',
  'MON-08: refund.failed: the money is still here, and a person looks'
);
select is(tests.alerts(), array['critical: A payment needs a person'], 'MON-08: support is alerted');
select pg_temp.tell('failed', 'r4', 'failed');
select pg_temp.tell('updated', 'r4', 'failed');
select is(cardinality(tests.alerts()), 1, 'MON-08: once');
select pg_temp.tell('updated', 'r4', 'succeeded');
select pg_temp.tell('created', 'r4', 'pending');
select tests.tell('charge.refunded', tests.stripe_charge('r4', 1000, 1000));
select is(
  pg_temp.told('r4'), 'failed re_r4 | refunded session 0 refund_failed | stripe -1000, unapplied 1000',
  'MON-08: what was told before the failure and comes after it changes nothing'
);
select pg_temp.tell('updated', 'r5', 'canceled');
select is(
  pg_temp.told('r5'), 'failed re_r5 | refunded session 0 refund_failed | stripe -1000, unapplied 1000',
  'MON-08: a cancelled refund has failed'
);

-- Failed late: weeks after it had succeeded, with entries of its own.
select pg_temp.tell('created', 'r6', 'succeeded');
select tests.advance(1728000);
select pg_temp.tell('failed', 'r6', 'failed');
select is(
  pg_temp.told('r6'), 'failed re_r6 | refunded session 0 refund_failed | stripe -1000, unapplied 1000',
  'MON-08: a late failure brings the money back'
);
select results_eq(
  $$ select split_part(t.key, ':', 1), a.name = 'stripe', e.amount_cents from private.ledger_transfers as t
     join private.ledger_entries as e on e.transfer_id = t.id join private.ledger_accounts as a on a.id = e.account_id
     where t.session_id = tests.session_of('r6') and t.key like 'refund%'
     order by t.id, e.amount_cents $$,
  $$ values ('refund', false, -1000::bigint), ('refund', false, 1000), ('refunded', false, -1000),
     ('refunded', true, 1000), ('refund_failed', true, -1000), ('refund_failed', false, 1000) $$,
  'MON-08: as a transition with its own entries'
);

-- The worker's answer and the event, in both orders.
create function pg_temp.answer(p_customer text, p_result jsonb) returns boolean
language plpgsql
as $$
declare
  v_done boolean;
begin
  update private.outbox as o
  set next_attempt_at = case
    when o.topic = 'stripe.refund' and o.session_id = tests.session_of(p_customer) then tests.now()
    else 'infinity' end
  where o.status = 'pending';
  perform tests.act_as_role('service_role');
  select public.complete_outbox(c.id, c.lease_token, p_result) into v_done
  from public.claim_outbox('worker', 1, 60) as c;
  perform tests.be_system();
  return v_done;
end
$$;
select ok(pg_temp.answer('r7', '{"id": "re_r7", "status": "succeeded"}'), 'MON-08: the worker was answered');
select pg_temp.tell('created', 'r7', 'succeeded');
select is(pg_temp.told('r7'), 'succeeded re_r7 | refunded session 1000 |', 'MON-08: before the event');
select pg_temp.tell('created', 'r8', 'succeeded');
select ok(pg_temp.answer('r8', '{"id": "re_r8", "status": "pending"}'), 'MON-08: or after it');
select is(pg_temp.told('r8'), 'succeeded re_r8 | refunded session 1000 |', 'MON-08: once each');
select is_empty($$ select * from public.ledger_invariants() $$, 'MON-03: the money adds up');

select * from finish();

rollback;
