-- MON-08: a dispute takes the money away until it is closed: won, it comes back; lost, mechanic and platform pay.
begin;

select plan(38);

select tests.stop_clock();
select tests.nobody_falls_silent();

-- The session, its payment, its payout, and where the money is.
create function pg_temp.told(p_customer text) returns text
language sql
as $$
  select concat_ws(
    ' ', (tests.row_of(p_customer)).status, '|', tests.told_of_payment(p_customer),
    (
      select string_agg(d.status, ' ' order by d.id)
      from private.disputes as d where d.payment_id = (tests.payment(p_customer)).id
    ), '|', coalesce((
      select p.status || ' ' || p.amount_cents || coalesce(' ' || p.blocked_by, '') from public.payouts as p
      where p.kind = 'session' and p.source_id = tests.session_of(p_customer)
    ), '-'), '|', (
      select string_agg(a.kind || ' ' || a.cents, ', ' order by a.kind)
      from (
        select split_part(l.name, ':', 1) as kind, sum(e.amount_cents) as cents
        from private.ledger_transfers as t
        join private.ledger_entries as e on e.transfer_id = t.id
        join private.ledger_accounts as l on l.id = e.account_id
        where t.session_id = tests.session_of(p_customer) or t.key like '%:' || (tests.payment(p_customer)).id
          or t.key like 'dispute%:dp_' || p_customer
        group by 1
      ) as a
      where a.cents <> 0
    )
  )
$$;

create function pg_temp.dispute(p_customer text, p_status text default 'needs_response', p_cents integer default 1000)
returns text
language sql
as $$
  select tests.tell(
    case when p_status in ('won', 'lost') then 'charge.dispute.closed' else 'charge.dispute.created' end,
    tests.stripe_dispute('dp_' || p_customer, p_customer, p_cents, p_status)
  )
$$;

create function pg_temp.has_account(p_mechanic text) returns boolean
language sql
as $$ select public.set_stripe_account(tests.id(p_mechanic), 'acct_' || substr(md5(p_mechanic), 1, 8)) $$;

create function pg_temp.completed(p_customer text) returns boolean
language plpgsql
as $$
begin
  perform tests.completed_paid(p_customer, 'mechanic ' || p_customer, p_customer);
  return pg_temp.has_account('mechanic ' || p_customer);
end
$$;

-- Created, won.
select pg_temp.completed('a');
select is(pg_temp.dispute('a'), 'processed', 'MON-08: charge.dispute.created');
select is(
  pg_temp.told('a'),
  'completed | disputed session 0 open | blocked 700 dispute | '
  || 'disputes -1000, mechanic_payable 700, platform_revenue 300',
  'MON-08: the money is gone for now, and the payout waits'
);
select is(tests.alerts(), array['critical: A payment is disputed'], 'MON-08: support is alerted');
select pg_temp.dispute('a');
select is(cardinality(tests.alerts()), 1, 'MON-08: once');
select pg_temp.dispute('a', 'won');
select is(
  pg_temp.told('a'),
  'completed | disputed session 0 won | pending 700 | mechanic_payable 700, platform_revenue 300, stripe -1000',
  'MON-08: charge.dispute.closed, won: all is as before'
);
select pg_temp.dispute('a', 'won');
select pg_temp.dispute('a');
select is(
  pg_temp.told('a'),
  'completed | disputed session 0 won | pending 700 | mechanic_payable 700, platform_revenue 300, stripe -1000',
  'MON-08: what comes late or again changes nothing'
);

-- Created, lost; and the other order.
create function pg_temp.lost() returns text
language sql immutable
as $$ select 'refunded | disputed session 0 lost | cancelled 0 | processor_fees -1500, stripe 1500' $$;
select pg_temp.completed('b');
select pg_temp.dispute('b');
select pg_temp.dispute('b', 'lost');
select is(
  pg_temp.told('b'), pg_temp.lost(), 'MON-08: lost: a full refund, at the cost of mechanic and platform, and a fee'
);
select is((tests.events_of('b'))[cardinality(tests.events_of('b'))], 'refunded', 'MON-08: the session is refunded');
select pg_temp.dispute('b', 'lost');
select pg_temp.dispute('b');
select is(pg_temp.told('b'), pg_temp.lost(), 'MON-08: once');
select pg_temp.completed('c');
select is(pg_temp.dispute('c', 'lost'), 'processed', 'MON-08: lost before anybody heard that it was opened');
select is(pg_temp.told('c'), pg_temp.lost(), 'MON-08: is the same');
select pg_temp.dispute('c');
select is(pg_temp.told('c'), pg_temp.lost(), 'MON-08: and stays the same');
select pg_temp.completed('d');
select pg_temp.dispute('d', 'won');
select pg_temp.dispute('d');
select is(
  pg_temp.told('d'),
  'completed | disputed session 0 won | pending 700 | mechanic_payable 700, platform_revenue 300, stripe -1000',
  'MON-08: won before anybody heard that it was opened'
);

-- The mechanic's part is dispute_loss_bps.
select pg_temp.completed('e');
select public.set_setting('dispute_loss_bps', '2500');
select pg_temp.dispute('e', 'lost');
select is(
  pg_temp.told('e'),
  'refunded | disputed session 0 lost | pending 450 | mechanic_payable 450, platform_revenue -450, '
  || 'processor_fees -1500, stripe 1500',
  'MON-08: dispute_loss_bps says how much the mechanic pays'
);
select public.set_setting('dispute_loss_bps', '7000');

-- A payout that was sent leaves a receivable and is asked back.
select pg_temp.completed('f');
select tests.advance(90000);
select private.submit_payouts(100);
select tests.tell('transfer.created', tests.stripe_transfer('tr_f', 700, 'payout:' || (
  select id from public.payouts where source_id = tests.session_of('f')
)));
select pg_temp.dispute('f');
select pg_temp.dispute('f', 'lost');
select is(
  pg_temp.told('f'),
  'refunded | disputed session 0 lost | paid 700 | mechanic_payable -700, processor_fees -1500, stripe 2200',
  'MON-08: lost after the payout was sent: the mechanic owes it'
);
select is(
  (select payload ->> 'amount' from private.outbox
   where topic = 'stripe.transfer_reversal' and session_id = tests.session_of('f')), '700',
  'MON-08: and a reversal is asked for'
);

-- Before the payment is known, in both orders.
create function pg_temp.early(p_customer text, p_statuses text[]) returns text
language plpgsql
as $$
declare
  v_intent uuid;
  v_status text;
  v_told text := '';
begin
  perform tests.person(p_customer);
  v_intent := tests.checkout(p_customer, p_customer);
  foreach v_status in array p_statuses loop
    v_told := v_told || pg_temp.dispute(p_customer, v_status) || ' ';
  end loop;
  return v_told || tests.tell(
    'payment_intent.succeeded', tests.stripe_intent(p_customer, 'session', v_intent, 1000)
  );
end
$$;
select is(pg_temp.early('g', '{needs_response}'), 'ignored processed', 'MON-08: disputed before the proof came');
select is(
  pg_temp.told('g'), 'pending | disputed session 0 open | - | disputes -1000, session_hold 1000',
  'MON-08: the dispute is known then'
);
select is(pg_temp.early('h', '{won,needs_response}'), 'ignored ignored processed', 'MON-08: opened and won');
select is(
  pg_temp.told('h'), 'pending | disputed session 0 won | - | session_hold 1000, stripe -1000',
  'MON-08: as if nothing was'
);
select is(pg_temp.early('i', '{lost,needs_response}'), 'ignored ignored processed', 'MON-08: opened and lost');
select is(
  pg_temp.told('i'), 'pending | disputed session 0 lost | - | processor_fees -1500, stripe 1500',
  'MON-08: the session goes on with an empty hold'
);
select results_eq(
  $$ select reason from private.session_reviews where session_id = tests.session_of('i') $$,
  $$ values ('dispute_lost') $$, 'MON-08: and is in review'
);
select is(pg_temp.dispute('nobody'), 'ignored', 'MON-08: a dispute of somebody else''s payment is ignored');

-- While the session runs.
select tests.live_paid('j', 'mechanic j', 'j');
select pg_temp.has_account('mechanic j');
select pg_temp.dispute('j');
select is((tests.row_of('j')).status::text, 'live', 'MON-08: disputed while the session runs: it goes on');
select tests.advance(80);
select tests.finish_session('j', 'j');
select is(
  pg_temp.told('j'),
  'completed | disputed session 0 open | blocked 700 dispute | '
  || 'disputes -1000, mechanic_payable 700, platform_revenue 300',
  'MON-08: its payout is blocked from the start'
);
select pg_temp.dispute('j', 'lost');
select is(pg_temp.told('j'), pg_temp.lost(), 'MON-08: and then lost');
select tests.live_paid('k', 'mechanic k', 'k');
select pg_temp.dispute('k');
select pg_temp.dispute('k', 'lost');
select tests.advance(80);
select tests.finish_session('k', 'k');
select is(
  pg_temp.told('k'), 'completed | disputed session 0 lost | - | processor_fees -1500, stripe 1500',
  'MON-08: lost while it runs: the outcome splits what is left, which is nothing'
);

-- Cancelled meanwhile: what we gave back as credit is not given twice.
select tests.person('l');
select tests.buy('l', 'l');
select pg_temp.dispute('l');
select tests.finish_session('l', 'l');
select is(
  pg_temp.told('l'), 'cancelled | disputed session 0 open | - | customer_credit 1000, disputes -1000',
  'MON-08: cancelled while disputed: nothing can go back to the card, so it is credit'
);
select pg_temp.dispute('l', 'lost');
select is(
  pg_temp.told('l'), 'refunded | disputed session 0 lost | - | processor_fees -1500, stripe 1500',
  'MON-08: lost: the bank gave it back, so the credit goes'
);
select tests.person('m');
select tests.buy('m', 'm');
select pg_temp.dispute('m');
select tests.finish_session('m', 'm');
select tests.advance(1);
select tests.do_as('m', $$ select public.create_session('chat10', 'credit') $$);
select pg_temp.dispute('m', 'lost');
select is(
  private.balance('customer_credit:' || tests.id('m'), 'usd'), 0::bigint, 'MON-08: but not what was spent of it'
);

-- Money that no session used.
select tests.person('n');
create temporary table n on commit drop as select tests.checkout('n', 'n') as id;
select tests.tell('payment_intent.succeeded', tests.stripe_intent('n', 'session', (select id from n), 1200));
select pg_temp.dispute('n', 'needs_response', 1200);
select is(
  pg_temp.told('n'), '| disputed - 0 amount_differs open | - | disputes -1200, unapplied 1200',
  'MON-08: of a payment in review'
);
select pg_temp.dispute('n', 'lost', 1200);
select is(
  pg_temp.told('n'), '| disputed refund 0 lost | - | processor_fees -1500, stripe 1500',
  'MON-08: lost: nothing is left to decide'
);
select tests.person('o');
create temporary table o on commit drop as select tests.checkout('o', 'o') as id;
select tests.queue('o', 'video15');
select tests.tell('payment_intent.succeeded', tests.stripe_intent('o', 'session', (select id from o), 1000));
select pg_temp.dispute('o');
select pg_temp.dispute('o', 'lost');
select is(
  private.balance('customer_credit:' || tests.id('o'), 'usd'), 0::bigint, 'MON-08: of one that became credit: it goes'
);
select is(tests.told_of_payment('o'), 'disputed credit 0', 'MON-08: what it was applied to is kept');

-- Two payments of one session: its payout waits for both disputes.
select tests.live_paid('p', 'mechanic p', 'p');
select pg_temp.has_account('mechanic p');
select tests.pay_extension('p2', tests.extension('p', 'p2'));
select tests.advance(80);
select tests.finish_session('p', 'p');
select pg_temp.dispute('p');
select pg_temp.dispute('p2', 'needs_response', 500);
select pg_temp.dispute('p', 'won');
select is(
  (select status || ' ' || blocked_by from public.payouts where source_id = tests.session_of('p')), 'blocked dispute',
  'MON-08: one of two disputes is won: the payout still waits'
);
select pg_temp.dispute('p2', 'won', 500);
select is(
  (select status from public.payouts where source_id = tests.session_of('p')), 'pending', 'MON-08: for both'
);
select is_empty($$ select * from public.ledger_invariants() $$, 'MON-03: the money adds up');

select * from finish();

rollback;
