-- MON-08, MON-14: one payment can be disputed in parts, each dispute once and in either order; payouts wait for all of
-- them, and what is lost in part is given back in part.
begin;

select plan(34);

select tests.stop_clock();
select tests.nobody_falls_silent();

create function pg_temp.dispute(p_customer text, p_id text, p_cents integer, p_status text default 'needs_response')
returns text
language sql
as $$
  select tests.tell(
    case when p_status in ('needs_response', 'warning_needs_response') then 'charge.dispute.created'
      else 'charge.dispute.closed' end,
    tests.stripe_dispute(p_id, p_customer, p_cents, p_status, case p_status when 'lost' then 1500 else 0 end)
  )
$$;

-- The session, its payout, what is disputed and how, and where the money is.
create function pg_temp.told(p_customer text) returns text
language sql
as $$
  select concat_ws(
    ' | ', (tests.row_of(p_customer)).status,
    (
      select concat_ws(' ', p.status, p.amount_cents, p.blocked_by) from public.payouts as p
      where p.kind = 'session' and p.source_id = tests.session_of(p_customer)
    ), (
      select string_agg(concat_ws(' ', d.amount_cents, d.status), ', ' order by d.id)
      from private.disputes as d where d.payment_id = (tests.payment(p_customer)).id
    ), (
      select string_agg(a.kind || ' ' || a.cents, ', ' order by a.kind)
      from (
        select split_part(l.name, ':', 1) as kind, sum(e.amount_cents) as cents
        from private.ledger_transfers as t
        join private.ledger_entries as e on e.transfer_id = t.id
        join private.ledger_accounts as l on l.id = e.account_id
        where t.session_id = tests.session_of(p_customer) or t.key = 'payment:' || (tests.payment(p_customer)).id
        group by 1
      ) as a
      where a.cents <> 0
    )
  )
$$;

create function pg_temp.completed(p_customer text) returns boolean
language plpgsql
as $$
begin
  perform tests.completed_paid(p_customer, 'mechanic ' || p_customer, p_customer);
  return public.set_stripe_account(tests.id('mechanic ' || p_customer), 'acct_' || substr(md5(p_customer), 1, 8));
end
$$;

-- Two parts, both opened, one won, one lost.
select pg_temp.completed('a');
select is(pg_temp.dispute('a', 'dp_1', 400), 'processed', 'MON-08: a part of a payment is disputed');
select is(
  pg_temp.told('a'),
  'completed | blocked 700 dispute | 400 open | disputes -400, mechanic_payable 700, platform_revenue 300, stripe -600',
  'MON-08: that part is gone for now'
);
select is(pg_temp.dispute('a', 'dp_2', 600), 'processed', 'MON-08: and then the rest');
select is(
  pg_temp.told('a'),
  'completed | blocked 700 dispute | 400 open, 600 open | disputes -1000, mechanic_payable 700, platform_revenue 300',
  'MON-08: which is gone too'
);
select is(
  tests.alerts(), array['critical: A payment is disputed', 'critical: A payment is disputed'],
  'MON-08: support is told of each'
);
select pg_temp.dispute('a', 'dp_1', 400, 'won');
select is(
  pg_temp.told('a'),
  'completed | blocked 700 dispute | 400 won, 600 open | '
  || 'disputes -600, mechanic_payable 700, platform_revenue 300, stripe -400',
  'MON-14: one is won: the payout waits for the other'
);
select pg_temp.dispute('a', 'dp_1', 400);
select pg_temp.dispute('a', 'dp_1', 400, 'lost');
select is(
  pg_temp.told('a'),
  'completed | blocked 700 dispute | 400 won, 600 open | '
  || 'disputes -600, mechanic_payable 700, platform_revenue 300, stripe -400',
  'MON-08: what comes late or again about the first changes nothing'
);
select pg_temp.dispute('a', 'dp_2', 600, 'lost');
select is(
  pg_temp.told('a'),
  'completed | pending 280 | 400 won, 600 lost | '
  || 'mechanic_payable 280, platform_revenue 120, processor_fees -1500, stripe 1100',
  'MON-08: lost in part: both pay their part, the rest is paid out, the session stays completed'
);
select is(
  (tests.events_of('a'))[cardinality(tests.events_of('a'))], 'partly_refunded', 'MON-08: it is partly refunded'
);
select pg_temp.dispute('a', 'dp_2', 600, 'lost');
select pg_temp.dispute('a', 'dp_2', 600);
select is(
  pg_temp.told('a'),
  'completed | pending 280 | 400 won, 600 lost | '
  || 'mechanic_payable 280, platform_revenue 120, processor_fees -1500, stripe 1100',
  'MON-08: once'
);

-- The rest is lost as well: all of it, whichever came first.
select is(pg_temp.dispute('a', 'dp_3', 400, 'lost'), 'processed', 'MON-08: closed before anybody heard it was opened');
select is(
  pg_temp.told('a'),
  'refunded | cancelled 0 | 400 won, 600 lost, 400 lost | processor_fees -3000, stripe 3000',
  'MON-08: nothing is left: the session is refunded'
);
select pg_temp.dispute('a', 'dp_3', 400);
select is(
  pg_temp.told('a'),
  'refunded | cancelled 0 | 400 won, 600 lost, 400 lost | processor_fees -3000, stripe 3000',
  'MON-08: that it was opened comes last and changes nothing'
);

-- Both opened before the payment is known.
select tests.person('b');
create temporary table b on commit drop as select tests.checkout('b', 'b') as id;
select is(pg_temp.dispute('b', 'dp_b2', 300, 'lost'), 'ignored', 'MON-08: lost before the proof came');
select is(pg_temp.dispute('b', 'dp_b1', 200), 'ignored', 'MON-08: and another one opened');
select tests.tell('payment_intent.succeeded', tests.stripe_intent('b', 'session', (select id from b), 1000));
select is(
  pg_temp.told('b'),
  'pending | 200 open, 300 lost | disputes -200, processor_fees -1500, session_hold 700, stripe 1000',
  'MON-08: both are known then, and the hold is what is left'
);

-- What is disputed goes to no card.
select tests.finish_session('b', 'b');
select is(
  pg_temp.told('b'),
  'cancelled | 200 open, 300 lost | customer_credit 700, disputes -200, processor_fees -1500, stripe 1000',
  'MON-13: the session ends while a part is disputed: what is left becomes credit'
);
select pg_temp.dispute('b', 'dp_b1', 200, 'lost');
select is(
  private.balance('customer_credit:' || tests.id('b'), 'usd'), 500::bigint,
  'MON-08: lost: the bank gave that part back, so as much of the credit goes'
);

-- After a part was lost only the rest can go to the card.
select tests.live_paid('c', 'mechanic c', 'c');
select pg_temp.dispute('c', 'dp_c1', 300);
select pg_temp.dispute('c', 'dp_c1', 300, 'lost');
select public.grant_credit(tests.id('c'), 1, 'usd', 'something else');
select tests.finish_session('mechanic c', 'c');
select is(
  (select sum(amount_cents)::integer from private.refunds where payment_id = (tests.payment('c')).id), 700,
  'MON-13: the card gets no more than the bank has left'
);
select pg_temp.completed('d');
select pg_temp.dispute('d', 'dp_d1', 300);
select is(
  (public.refund_session(tests.session_of('d'), 'some', 500)).to_credit_cents, 500,
  'MON-15: while a part is disputed nothing goes to the card'
);
select pg_temp.dispute('d', 'dp_d1', 300, 'won');
select is(
  (public.refund_session(tests.session_of('d'), 'rest')).to_card_cents, 500, 'MON-15: when it is won all of it can'
);

-- The ends that Stripe has for a dispute.
select pg_temp.completed('e');
select is(
  pg_temp.dispute('e', 'dp_e1', 1000, 'warning_needs_response'), 'processed', 'MON-08: an inquiry counts as a dispute'
);
select is(
  tests.told_of_payment('e'), 'disputed session 0', 'MON-06: also for the payment''s rank'
);
select pg_temp.dispute('e', 'dp_e1', 1000, 'warning_closed');
select is(
  pg_temp.told('e'), 'completed | pending 700 | 1000 won | mechanic_payable 700, platform_revenue 300, stripe -1000',
  'MON-08: until it is closed'
);
select pg_temp.dispute('e', 'dp_e2', 1000);
select is(
  tests.tell('charge.dispute.closed', tests.stripe_dispute('dp_e2', 'e', 1000, 'won') - 'status'),
  'failed: a dispute is not closed as <NULL>', 'MON-08: closed without a word how: nobody guesses'
);
select alike(
  tests.tell('charge.dispute.closed', tests.stripe_dispute('dp_e2', 'e', 1000, 'under_review')), 'failed: %',
  'MON-08: closed and not closed: nobody guesses'
);
select is(
  pg_temp.told('e'),
  'completed | blocked 700 dispute | 1000 won, 1000 open | disputes -1000, mechanic_payable 700, platform_revenue 300',
  'MON-05: an event that failed has changed nothing'
);
select is(
  tests.tell(type, tests.stripe_dispute('dp_e2', 'e', 1000)), 'ignored', 'MON-08: ' || type || ' tells nothing new'
)
from unnest(array[
  'charge.dispute.updated', 'charge.dispute.funds_withdrawn', 'charge.dispute.funds_reinstated'
]) as type;

-- The rows themselves.
select throws_ok(
  $$ update private.disputes set status = 'over' where id = 'dp_1' $$, '23514', null, 'MON-08: a status is known'
);
select throws_ok(
  $$ update private.disputes set amount_cents = 0 where id = 'dp_1' $$, '23514', null, 'MON-08: of something'
);
select throws_ok(
  $$ insert into private.disputes (id, payment_id, amount_cents)
     select 'dp_1', payment_id, 1 from private.disputes where id = 'dp_1' $$, '23505', null, 'MON-08: each once'
);

select is_empty($$ select * from public.ledger_invariants() $$, 'MON-03: the money adds up');

select * from finish();

rollback;
