-- MON-08: refunds that somebody made at Stripe are posted as such, each once, whichever event tells of them.
begin;

select plan(48);

select tests.stop_clock();
select tests.nobody_falls_silent();

-- Where the money of a customer's sessions and of his payment is, but for Stripe.
create function pg_temp.told(p_customer text) returns text
language sql
as $$
  select concat_ws(' ', (tests.row_of(p_customer)).status, '|', tests.told_of_payment(p_customer), '|', (
    select string_agg(a.kind || ' ' || a.cents, ', ' order by a.kind)
    from (
      select split_part(l.name, ':', 1) as kind, sum(e.amount_cents) as cents
      from private.ledger_transfers as t
      join private.ledger_entries as e on e.transfer_id = t.id
      join private.ledger_accounts as l on l.id = e.account_id
      where t.session_id = tests.session_of(p_customer) or t.key like '%:' || (tests.payment(p_customer)).id
        or t.key like 'stripe_refund%:%' || p_customer
      group by 1
    ) as a
    where a.cents <> 0
  ))
$$;

create function pg_temp.refund(p_id text, p_customer text, p_cents integer, p_status text default 'succeeded')
returns text
language sql
as $$
  select tests.tell(
    case p_status when 'failed' then 'refund.failed' else 'refund.created' end,
    tests.stripe_refund('re_' || p_id || '_' || p_customer, p_customer, p_cents, p_status)
  )
$$;

create function pg_temp.charge(p_customer text, p_refunded_cents integer) returns text
language sql
as $$
  select tests.deliver(tests.stripe_event(
    'charge.refunded', tests.stripe_charge(p_customer, 1000, p_refunded_cents),
    'evt_charge_' || p_refunded_cents || '_' || p_customer
  ))
$$;

create function pg_temp.payout(p_customer text) returns text
language sql
as $$
  select p.status || ' ' || p.amount_cents from public.payouts as p
  where p.kind = 'session' and p.source_id = tests.session_of(p_customer)
$$;

-- Of a session that runs: it goes on, and its end splits what is left.
select tests.live_paid('a', 'mechanic a', 'a');
select is(pg_temp.refund('1', 'a', 300), 'processed', 'MON-08: a refund made at Stripe');
select is(
  pg_temp.told('a'), 'live | partly_refunded session 300 | session_hold 700, stripe -700', 'MON-08: the session goes on'
);
select is(tests.alerts(), array['critical: A session needs a person'], 'MON-08: support is alerted');
select results_eq(
  $$ select session_id, reason, resolved_at from private.session_reviews $$,
  $$ values (tests.session_of('a'), 'refund_at_stripe', null::timestamptz) $$, 'MON-08: the session is in review'
);
select pg_temp.charge('a', 300);
select tests.tell('refund.updated', tests.stripe_refund('re_1_a', 'a', 300));
select is(
  pg_temp.told('a'), 'live | partly_refunded session 300 | session_hold 700, stripe -700', 'MON-08: once'
);
select tests.advance(80);
select tests.finish_session('a', 'a');
select is(
  pg_temp.told('a'),
  'completed | partly_refunded session 300 | mechanic_payable 490, platform_revenue 210, stripe -700',
  'MON-08: the outcome splits what the hold still has'
);

-- All of it, and the session is cancelled afterwards: nothing is given back twice.
select tests.live_paid('b', 'mechanic b', 'b');
select pg_temp.refund('1', 'b', 1000);
select is(pg_temp.told('b'), 'live | refunded session 1000 |', 'MON-08: all of a session that runs');
select tests.advance(10);
select tests.finish_session('b', 'b');
select is(pg_temp.told('b'), 'cancelled | refunded session 1000 |', 'MON-08: nothing is left to give back');
select is(
  (select count(*)::integer from private.outbox where topic = 'stripe.refund'), 0, 'MON-08: and nothing is asked for'
);

-- Of a session that is over: mechanic and platform give back in proportion.
select tests.completed_paid('c', 'mechanic c', 'c');
select pg_temp.refund('1', 'c', 500);
select is(
  pg_temp.told('c'),
  'completed | partly_refunded session 500 | mechanic_payable 350, platform_revenue 150, stripe -500',
  'MON-08: half of a completed session'
);
select is(pg_temp.payout('c'), 'blocked 350', 'MON-08: the payout is less');
select pg_temp.refund('2', 'c', 1);
select is(
  pg_temp.told('c'),
  'completed | partly_refunded session 501 | mechanic_payable 350, platform_revenue 149, stripe -499',
  'MON-08: a cent more, in proportion to all that has gone back'
);
select pg_temp.refund('3', 'c', 499);
select is(pg_temp.told('c'), 'refunded | refunded session 1000 |', 'MON-08: the rest: the session is refunded');
select is(pg_temp.payout('c'), 'cancelled 0', 'MON-08: the payout is cancelled');
select is(
  (tests.events_of('c'))[cardinality(tests.events_of('c'))], 'refunded', 'MON-08: with an event'
);

-- charge.refunded is cumulative: before, after and between the refunds that it counts.
create function pg_temp.steps(p_customer text, p_steps text[]) returns text
language plpgsql
as $$
declare
  v_step text;
  v_word text[];
begin
  perform tests.completed_paid(p_customer, 'mechanic ' || p_customer, p_customer);
  foreach v_step in array p_steps loop
    v_word := string_to_array(v_step, ' ');
    perform case v_word[1]
      when 'charge' then pg_temp.charge(p_customer, v_word[2]::integer)
      else pg_temp.refund(v_word[1], p_customer, v_word[2]::integer, coalesce(v_word[3], 'succeeded')) end;
  end loop;
  return concat_ws(' ', tests.told_of_payment(p_customer), '|', (
    select sum(e.amount_cents) from private.ledger_transfers as t
    join private.ledger_entries as e on e.transfer_id = t.id
    join private.ledger_accounts as l on l.id = e.account_id
    where t.session_id = tests.session_of(p_customer) and l.name in (
      'platform_revenue', 'mechanic_payable:' || tests.id('mechanic ' || p_customer)
    )
  ), private.balance('unapplied:' || (tests.payment(p_customer)).id, 'usd'));
end
$$;
select is(pg_temp.steps('s' || n, steps), answer, 'MON-08: ' || steps::text)
from (
  values
  (1, '{charge 300}'::text[], 'partly_refunded session 300 | 700 0'),
  (2, '{charge 300,1 300}', 'partly_refunded session 300 | 700 0'),
  (3, '{1 300,charge 300}', 'partly_refunded session 300 | 700 0'),
  (4, '{1 300,2 200,charge 300,charge 500}', 'partly_refunded session 500 | 500 0'),
  (5, '{charge 500,charge 300,2 200,1 300}', 'partly_refunded session 500 | 500 0'),
  (6, '{charge 300,2 200,1 300,charge 500}', 'partly_refunded session 500 | 500 0'),
  (7, '{charge 300,2 500}', 'partly_refunded session 500 | 500 0'),
  (8, '{charge 1000,1 600,2 400}', 'refunded session 1000 | 0 0'),
  (9, '{1 300,1 300 failed}', 'partly_refunded session 0 refund_failed | 700 300'),
  (10, '{1 300 failed,1 300}', 'paid session 0 | 1000 0'),
  (11, '{1 300 failed,charge 300,1 300}', 'paid session 0 | 1000 0'),
  (12, '{charge 300,1 300 failed,1 300}', 'partly_refunded session 0 refund_failed | 700 300'),
  (13, '{1 300,1 300 failed,charge 300}', 'partly_refunded session 0 refund_failed | 700 300'),
  (14, '{1 300 pending,charge 300}', 'partly_refunded session 300 | 700 0'),
  (15, '{1 300,1 300 failed,2 300}', 'partly_refunded session 300 | 700 0'),
  (16, '{charge 100,2 250 failed,1 100,charge 350}', 'partly_refunded session 100 | 900 0')
) as c (n, steps, answer);

-- Before the payment is known.
select tests.person('early');
select tests.mechanic('mechanic early');
create temporary table early on commit drop as select tests.checkout('early', 'early') as id;
select is(pg_temp.refund('1', 'early', 400), 'ignored', 'MON-08: a refund of a payment that nobody has heard of');
select is(pg_temp.charge('early', 400), 'ignored', 'MON-08: also the charge');
select is(
  tests.tell('payment_intent.succeeded', tests.stripe_intent('early', 'session', (select id from early), 1000)),
  'processed', 'MON-08: the proof'
);
select is(
  pg_temp.told('early'), 'pending | partly_refunded session 400 | session_hold 600, stripe -600',
  'MON-08: what came too early is done then'
);
select is(
  (select array_agg(distinct status) from private.stripe_events where payload -> 'data' -> 'object' ->> 'payment_intent'
   = 'pi_early'), array['processed'], 'MON-08: and not ignored any more'
);
select is(pg_temp.refund('1', 'elsewhere', 400), 'ignored', 'MON-08: a refund of somebody else''s payment is ignored');

-- Of money that no session used.
select tests.person('review');
create temporary table review on commit drop as select tests.checkout('review', 'review') as id;
select tests.tell('payment_intent.succeeded', tests.stripe_intent('review', 'session', (select id from review), 1200));
select pg_temp.refund('1', 'review', 200);
select is(
  pg_temp.told('review'), '| partly_refunded - 200 amount_differs | stripe -1000, unapplied 1000',
  'MON-08: of a payment in review: it stays there with the rest'
);
select pg_temp.refund('2', 'review', 1000);
select is(
  pg_temp.told('review'), '| refunded refund 1200 |', 'MON-08: nothing is left: there is nothing to decide any more'
);
select is(
  tests.tell('checkout.session.completed', tests.stripe_checkout('review', 'session', (select id from review), 1200)),
  'processed', 'MON-08: its other proof'
);
select is(pg_temp.told('review'), '| refunded refund 1200 |', 'MON-08: does not apply it again');

select tests.person('credit');
create temporary table credit on commit drop as select tests.checkout('credit', 'credit') as id;
select tests.queue('credit', 'video15');
select tests.tell('payment_intent.succeeded', tests.stripe_intent('credit', 'session', (select id from credit), 1000));
select tests.finish_session('credit', 'credit');
select pg_temp.refund('1', 'credit', 400);
select is(
  (tests.told_of_payment('credit')), 'partly_refunded credit 400', 'MON-08: of a payment that became credit'
);
select is(
  private.balance('customer_credit:' || tests.id('credit'), 'usd'), 600::bigint, 'MON-08: it comes from that credit'
);
select tests.advance(1);
select public.grant_credit(tests.id('credit'), 500, 'usd', 'k1');
select tests.do_as('credit', $$ select public.create_session('chat10', 'credit') $$);
create temporary table revenue on commit drop as select private.balance('platform_revenue', 'usd') as cents;
select pg_temp.refund('2', 'credit', 600);
select is(
  private.balance('customer_credit:' || tests.id('credit'), 'usd'), 0::bigint, 'MON-08: as far as it is unspent'
);
select is(
  private.balance('platform_revenue', 'usd') - (select cents from revenue), -500::bigint, 'MON-08: the rest is ours'
);

-- More than there is fails, changes nothing and is told.
select is(
  pg_temp.refund('9', 'c', 1),
  'failed: new row for relation "payments" violates check constraint "no_more_is_refunded_than_was_paid"',
  'MON-08: more than was paid waits for a person'
);
select is(pg_temp.told('c'), 'refunded | refunded session 1000 |', 'MON-08: and changes nothing');
select is_empty($$ select * from public.ledger_invariants() $$, 'MON-03: the money adds up');

select * from finish();

rollback;
