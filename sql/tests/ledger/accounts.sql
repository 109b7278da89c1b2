-- MON-02: the accounts there are, of which only customers' credit has a stored balance, never below zero.
begin;

select plan(48);

select tests.stop_clock();
select tests.person('customer');
select set_config('tests.credit', 'customer_credit:' || tests.id('customer'), true);

create function pg_temp.open_account(p_name text, p_currency text default 'usd')
returns text
language plpgsql
as $$
begin
  begin
    perform private.post('open:' || p_name || p_currency, null, tests.now(), p_currency, jsonb_build_object(
      p_name, 1, 'stripe', -1
    ));
    perform private.post('close:' || p_name || p_currency, null, tests.now(), p_currency, jsonb_build_object(
      p_name, -1, 'stripe', 1
    ));
  exception when others then
    return sqlstate || ' ' || sqlerrm;
  end;
  return 'ok';
end
$$;

select is(pg_temp.open_account(name), 'ok', 'MON-02: there is ' || name)
from unnest(array['platform_revenue', 'promotions', 'refund_clearing', 'processor_fees']) as name;
select is(pg_temp.open_account(name || ':' || tests.id('some')), 'ok', format('MON-02: there is %s:<id>', name))
from unnest(array[
  'session_hold', 'customer_credit', 'mechanic_payable', 'referral_payable', 'unapplied', 'disputes'
]) as name;
select alike(
  pg_temp.open_account(name), '23514 % violates check constraint "name_is_known"',
  format('MON-02: there is no "%s"', name)
)
from unnest(array[
  'bank', '', 'Stripe', 'stripe:' || tests.id('some'), 'session_hold', 'session_hold:', 'session_hold:1',
  'customer_credit:' || upper(tests.id('some')::text), 'promotions ', 'unapplied:' || tests.id('some') || 'x'
]) as name;
select alike(
  pg_temp.open_account('promotions', currency), '23514 % violates check constraint "currency_is_an_iso_code"',
  format('MON-02: no account is in "%s"', currency)
)
from unnest(array['USD', 'us', 'usdx', '', 'u$d']) as currency;
select throws_ok(
  $$ insert into private.ledger_accounts (name, currency) values ('promotions', 'usd') $$, '23505', null,
  'MON-02: a name has one account in a currency'
);
select is(pg_temp.open_account('promotions', 'eur'), 'ok', 'MON-02: and another in another one');

-- Which balances are stored.
select throws_ok(
  $$ insert into private.ledger_accounts (name, currency, balance_cents) values ('stripe', 'chf', 0) $$, '23514', null,
  'MON-02: only credit has a stored balance'
);
select throws_ok(
  $$ insert into private.ledger_accounts (name, currency) values ('customer_credit:' || tests.id('x'), 'chf') $$,
  '23514', null, 'MON-02: and credit always has one'
);

create function pg_temp.credit(p_key text, p_cents integer, p_currency text default 'usd')
returns text
language plpgsql
as $$
begin
  return tests.outcome('system', format(
    'select private.post(%L, null, now(), %L, %L)', p_key, p_currency,
    jsonb_build_object(current_setting('tests.credit'), p_cents, 'promotions', -p_cents)
  ));
end
$$;

create function pg_temp.stored(p_currency text default 'usd')
returns integer
language sql
stable
as $$
  select balance_cents::integer from private.ledger_accounts
  where name = current_setting('tests.credit') and currency = p_currency
$$;

select is(pg_temp.credit('c:1', 300), 'ok', 'MON-02: credit comes');
select is(pg_temp.stored(), 300, 'MON-02: and is stored');
select is(pg_temp.credit('c:2', -100), 'ok', 'MON-02: credit goes');
select is(pg_temp.stored(), 200, 'MON-02: and the balance follows');
select is(
  pg_temp.credit('c:3', -201),
  '23514 new row for relation "ledger_accounts" violates check constraint "credit_is_never_below_zero"',
  'MON-02: not a cent more than there is'
);
select is(pg_temp.credit('c:4', 50, 'eur'), 'ok', 'MON-02: another currency');
select is(array[pg_temp.stored(), pg_temp.stored('eur')], '{200, 50}', 'MON-02: has a balance of its own');
select alike(
  pg_temp.credit('c:5', -51, 'eur'), '%credit_is_never_below_zero%', 'MON-02: which is not below zero either'
);
select is(pg_temp.credit('c:1', 300), 'ok', 'MON-02: the same key again');
select is(pg_temp.stored(), 200, 'MON-02: moves no balance');

insert into private.ledger_transfers (key, occurred_at) values ('raw', tests.now());
select throws_ok(
  $$
    insert into private.ledger_entries (transfer_id, account_id, amount_cents)
    select t.id, a.id, case a.name when 'promotions' then 201 else -201 end
    from private.ledger_transfers as t, private.ledger_accounts as a
    where t.key = 'raw' and a.currency = 'usd' and a.name in (current_setting('tests.credit'), 'promotions')
  $$,
  '23514', null, 'MON-02: not by a raw insert either'
);
select lives_ok(
  $$
    insert into private.ledger_entries (transfer_id, account_id, amount_cents)
    select t.id, a.id, case a.name when 'promotions' then 200 else -200 end
    from private.ledger_transfers as t, private.ledger_accounts as a
    where t.key = 'raw' and a.currency = 'usd' and a.name in (current_setting('tests.credit'), 'promotions')
  $$,
  'MON-02: the last cent can go'
);
select is(pg_temp.stored(), 0, 'MON-02: and the stored balance follows a raw insert as well');
select is(
  private.balance(current_setting('tests.credit'), 'usd')::integer, 0, 'MON-02: as its entries say'
);

-- Everything else can be below zero.
select lives_ok(
  $$
    select private.post('debt', null, now(), 'usd', jsonb_build_object(
      'mechanic_payable:' || tests.id('mechanic'), -900, 'promotions', 900
    ))
  $$,
  'MON-02: a mechanic may owe us'
);
select is(
  private.balance('mechanic_payable:' || tests.id('mechanic'), 'usd')::integer, -900, 'MON-02: a receivable'
);
select is(private.balance('nothing', 'usd')::integer, 0, 'MON-02: of no account there is nothing');
select is(
  (select sum(amount_cents)::integer from private.ledger_entries), 0, 'MON-01: all accounts together are nothing'
);

select is_empty('select * from public.ledger_invariants()', 'MON-03: and every invariant holds');

select * from finish();

rollback;
