-- MON-08: what Stripe tells of the mechanics' side: transfers to them, their banks and their accounts.
begin;

select plan(28);

select tests.stop_clock();
select tests.nobody_falls_silent();

create function pg_temp.payout(p_customer text) returns public.payouts
language sql
as $$ select p from public.payouts as p where p.kind = 'session' and p.source_id = tests.session_of(p_customer) $$;

create function pg_temp.told(p_customer text) returns text
language sql
as $$
  select concat_ws(
    ' ', p.status, p.amount_cents, p.blocked_by, p.stripe_transfer_id, p.reversed_cents,
    private.balance('mechanic_payable:' || p.user_id, 'usd')
  )
  from pg_temp.payout(p_customer) as p
$$;

create function pg_temp.transfer(
  p_type text, p_customer text, p_id text, p_reversed_cents integer default 0, p_by_key boolean default true
) returns text
language sql
as $$
  select tests.tell('transfer.' || p_type, tests.stripe_transfer(
    p_id, 700, case when p_by_key then 'payout:' || (pg_temp.payout(p_customer)).id end, p_reversed_cents
  ))
$$;

-- Sent on its way to an account.
create function pg_temp.submitted(p_customer text) returns void
language plpgsql
as $$
begin
  perform tests.completed_paid(p_customer, 'mechanic ' || p_customer, p_customer);
  perform public.set_stripe_account(tests.id('mechanic ' || p_customer), 'acct_' || substr(md5(p_customer), 1, 8));
  perform tests.advance(90000);
  perform private.submit_payouts(100);
end
$$;

select pg_temp.submitted('a');
select is(pg_temp.told('a'), 'submitted 700 0 700', 'MON-14: on its way');
select is(pg_temp.transfer('created', 'a', 'tr_a'), 'processed', 'MON-08: transfer.created');
select is(pg_temp.told('a'), 'paid 700 tr_a 0 0', 'MON-08: the payout is paid');
select pg_temp.transfer('created', 'a', 'tr_a');
select pg_temp.transfer('created', 'a', 'tr_a', 0, false);
select is(pg_temp.told('a'), 'paid 700 tr_a 0 0', 'MON-08: once, known by its key or its id');

-- Reversed, so much in all.
select pg_temp.transfer('reversed', 'a', 'tr_a', 200);
select is(pg_temp.told('a'), 'paid 700 tr_a 200 200', 'MON-08: transfer.reversed: a part has come back');
select pg_temp.transfer('reversed', 'a', 'tr_a', 500, false);
select pg_temp.transfer('reversed', 'a', 'tr_a', 200);
select is(pg_temp.told('a'), 'paid 700 tr_a 500 500', 'MON-08: what is told is the sum, not the difference');
select pg_temp.transfer('reversed', 'a', 'tr_a', 700);
select pg_temp.transfer('created', 'a', 'tr_a');
select is(pg_temp.told('a'), 'reversed 700 tr_a 700 700', 'MON-08: all of it');
select pg_temp.submitted('b');
select pg_temp.transfer('reversed', 'b', 'tr_b', 700);
select is(pg_temp.told('b'), 'reversed 700 tr_b 700 700', 'MON-08: reversed before anybody heard that it was made');
select pg_temp.transfer('created', 'b', 'tr_b');
select is(pg_temp.told('b'), 'reversed 700 tr_b 700 700', 'MON-08: which changes nothing any more');

-- Sent twice, which must never be: somebody is told, and nothing is hidden in the books.
select pg_temp.submitted('c');
select pg_temp.transfer('created', 'c', 'tr_c');
select is(pg_temp.transfer('created', 'c', 'tr_second'), 'processed', 'MON-08: a second transfer of one payout');
select is(pg_temp.told('c'), 'paid 700 tr_c 0 0', 'MON-08: does not replace the first');
select is(
  array(select a from unnest(tests.alerts()) as a group by a order by a),
  array['critical: A payout was sent twice', 'critical: A transfer came back that nobody asked for'],
  'MON-08: support is alerted'
);
select pg_temp.transfer('reversed', 'c', 'tr_second', 700);
select is(pg_temp.told('c'), 'paid 700 tr_c 0 0', 'MON-08: and its reversal is not the first one''s');
select is(
  tests.tell('transfer.created', tests.stripe_transfer('tr_other', 700, 'payout:' || tests.id('nothing'))), 'ignored',
  'MON-08: a transfer of something else is ignored'
);
select is(
  tests.tell('transfer.created', tests.stripe_transfer('tr_other', 700)), 'ignored', 'MON-08: also one without a key'
);

-- A bank that refuses: people are told, no money moves here.
create temporary table before on commit drop as select tests.totals() as totals, cardinality(tests.alerts()) as n;
create temporary table refused on commit drop as
select tests.stripe_event(
  'payout.failed', tests.stripe_payout('po_1', 700), 'evt_refused', false, 'acct_' || substr(md5('a'), 1, 8)
) as payload;
select is(tests.deliver((select payload from refused)), 'processed', 'MON-08: payout.failed of a connected account');
select is(
  (tests.alerts())[(select n + 1 from before):], array['warning: A bank refused a payout of a mechanic'],
  'MON-08: support is told'
);
select results_eq(
  $$ select user_id, kind from public.notifications where kind = 'payout_failed' $$,
  $$ values (tests.id('mechanic a'), 'payout_failed') $$,
  'MON-08, NOTE-01: so is the mechanic'
);
select is(tests.deliver((select payload from refused)), 'processed again', 'MON-08: told again');
select is(tests.totals(), (select totals from before), 'MON-08: no entries');
select is(
  tests.tell('payout.failed', tests.stripe_payout('po_2', 700)), 'ignored', 'MON-08: our own bank is not a mechanic''s'
);
select is(
  tests.deliver(tests.stripe_event('payout.failed', tests.stripe_payout('po_3', 700), 'evt_x', false, 'acct_unknown')),
  'ignored', 'MON-08: nor is an unknown account'
);

-- An account that changed lets payouts go that waited for it, and no others.
select tests.completed_paid('d', 'mechanic d', 'd');
select is(pg_temp.told('d'), 'blocked 700 account 0 700', 'MON-14: no account yet');
select is(
  tests.deliver(tests.stripe_event('account.updated', tests.stripe_account('acct_d'), 'evt_d1', false, 'acct_d')),
  'ignored', 'MON-08: an account that nobody has'
);
insert into private.stripe_accounts (user_id, account) values (tests.id('mechanic d'), 'acct_d');
select is(
  tests.deliver(tests.stripe_event('account.updated', tests.stripe_account('acct_d'), 'evt_d2', false, 'acct_d')),
  'processed', 'MON-08: account.updated'
);
select is(pg_temp.told('d'), 'pending 700 0 700', 'MON-08: lets the payout go');
select tests.tell('charge.dispute.created', tests.stripe_dispute('dp_d', 'd', 1000));
select tests.deliver(tests.stripe_event('account.updated', tests.stripe_account('acct_d'), 'evt_d3', false, 'acct_d'));
select is(pg_temp.told('d'), 'blocked 700 dispute 0 700', 'MON-08: but not what waits for something else');
select is_empty($$ select * from public.ledger_invariants() $$, 'MON-03: the money adds up');

select * from finish();

rollback;
