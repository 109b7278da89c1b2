-- MON-01: the ledger only grows, for every role, its owner included.
begin;

select plan(51);

select tests.stop_clock();
select tests.person('customer');
select public.grant_credit(tests.id('customer'), 500, 'usd', 'g1');

-- Grants that nobody should ever give, so that what refuses is not a missing grant.
grant all on private.ledger_accounts, private.ledger_transfers, private.ledger_entries to service_role, authenticated;
create policy "test: clients touch accounts" on private.ledger_accounts for all using (true);
create policy "test: clients touch transfers" on private.ledger_transfers for all using (true);
create policy "test: clients touch entries" on private.ledger_entries for all using (true);

select alike(
  tests.outcome(who, statement), format('%% %s is append-only', t.name),
  format('MON-01: %s may not %s %s', who, verb, t.name)
)
from
  unnest(array['system', 'service_role', 'customer']) as who,
  (
    values ('ledger_transfers', 'occurred_at = now()'), ('ledger_entries', 'amount_cents = 1'),
      ('ledger_accounts', 'balance_cents = 1')
  ) as t (name, change),
  lateral (
    values
      ('update', format('update private.%s set %s where true', t.name, t.change)),
      ('update no row of', format('update private.%s set %s where false', t.name, t.change)),
      ('delete from', format('delete from private.%s where true', t.name)),
      ('delete no row from', format('delete from private.%s where false', t.name)),
      ('truncate', format('truncate private.%s cascade', t.name))
  ) as a (verb, statement);

select is(
  tests.outcome('system', $$ update private.ledger_accounts set name = 'promotions', currency = 'eur' where true $$),
  '42501 ledger_accounts is append-only', 'MON-01: an account keeps its name'
);
select is((select count(*)::integer from private.ledger_transfers), 1, 'MON-01: no transfer is gone');
select is(
  (select array_agg(amount_cents order by amount_cents)::integer[] from private.ledger_entries), '{-500, 500}',
  'MON-01: no entry is gone or changed'
);
select is(
  (select balance_cents::integer from private.ledger_accounts where name = 'customer_credit:' || tests.id('customer')),
  500, 'MON-01: no balance is changed'
);

-- Without those grants a client does not even get so far.
revoke all on private.ledger_accounts, private.ledger_transfers, private.ledger_entries
from service_role, authenticated;
select is(
  tests.outcome('service_role', 'select 1 from private.ledger_entries'),
  '42501 permission denied for table ledger_entries', 'MON-01: nobody reads the ledger directly'
);

select is_empty('select * from public.ledger_invariants()', 'MON-03: and every invariant holds');

select * from finish();

rollback;
