-- MON-01: the entries of a transfer sum to zero per currency, whoever writes them: the database sees to it.
begin;

select plan(16);
select tests.rows_are_changed_by_hand();

select tests.stop_clock();

create function pg_temp.account(p_name text, p_currency text default 'usd')
returns bigint
language plpgsql
as $$
declare
  v_id bigint;
begin
  insert into private.ledger_accounts (name, currency) values (p_name, p_currency)
  on conflict (name, currency) do nothing;
  select a.id into v_id from private.ledger_accounts as a where a.name = p_name and a.currency = p_currency;
  return v_id;
end
$$;

-- What the owner's raw insert of entries ([account, currency, cents]) ends in, as a transfer of its own.
create function pg_temp.raw(p_key text, p_entries jsonb)
returns text
language plpgsql
as $$
declare
  v_transfer bigint;
begin
  begin
    insert into private.ledger_transfers (key, occurred_at) values (p_key, tests.now()) returning id into v_transfer;
    insert into private.ledger_entries (transfer_id, account_id, amount_cents)
    select v_transfer, pg_temp.account(e ->> 0, e ->> 1), (e ->> 2)::bigint
    from jsonb_array_elements(p_entries) as e;
  exception when others then
    return sqlstate || ' ' || sqlerrm;
  end;
  return 'ok';
end
$$;

select is(
  pg_temp.raw('raw:1', '[["stripe", "usd", -5], ["promotions", "usd", 5]]'), 'ok', 'MON-01: what balances goes in'
);
select is(
  pg_temp.raw('raw:2', '[["stripe", "usd", -5], ["promotions", "usd", 4]]'),
  '23514 a transfer sums to zero and is written at once', 'MON-01: a cent too few does not'
);
select is(
  pg_temp.raw('raw:3', '[["stripe", "usd", 1]]'), '23514 a transfer sums to zero and is written at once',
  'MON-01: nor does half of a transfer'
);
select is(
  pg_temp.raw('raw:4', '[["stripe", "usd", -5], ["promotions", "eur", 5]]'),
  '23514 a transfer sums to zero and is written at once', 'MON-01: nor what balances only across currencies'
);
select is(
  pg_temp.raw('raw:5', '[["stripe", "usd", -5], ["promotions", "usd", 5], ["stripe", "eur", 7],
    ["promotions", "eur", -7]]'), 'ok', 'MON-01: two currencies balance each for itself'
);
select is(
  pg_temp.raw('raw:6', '[["stripe", "usd", 0], ["promotions", "usd", 0]]'),
  '23514 new row for relation "ledger_entries" violates check constraint "amount_is_not_zero"',
  'MON-01: an entry of nothing is none'
);
select is(pg_temp.raw('raw:7', '[]'), 'ok', 'MON-01: a transfer of nothing is one');
select is(
  (select count(*)::integer from private.ledger_transfers where key like 'raw:%'), 3,
  'MON-01: of what was refused nothing stays'
);

-- Two transfers in one statement, each wrong and right in sum.
insert into private.ledger_transfers (key, occurred_at) values ('pair:1', tests.now()), ('pair:2', tests.now());
select throws_ok(
  $$
    insert into private.ledger_entries (transfer_id, account_id, amount_cents)
    select t.id, a.id, case t.key when 'pair:1' then 3 else -3 end
    from private.ledger_transfers as t, private.ledger_accounts as a
    where t.key like 'pair:%' and a.name = 'stripe' and a.currency = 'usd'
  $$,
  '23514', 'a transfer sums to zero and is written at once', 'MON-01: two wrong transfers do not make a right one'
);
select throws_ok(
  $$
    insert into private.ledger_entries (transfer_id, account_id, amount_cents)
    select t.id, a.id, 3
    from private.ledger_transfers as t, private.ledger_accounts as a
    where t.key = 'raw:1' and a.name = 'stripe' and a.currency = 'usd'
  $$,
  '23505', null, 'MON-01: an account has one entry in a transfer'
);
-- A transfer of an earlier transaction is closed: what is added balances, and yet is refused.
insert into private.ledger_transfers (key, occurred_at, xact_id) values ('earlier', tests.now(), '3'::xid8);
select throws_ok(
  $$
    insert into private.ledger_entries (transfer_id, account_id, amount_cents)
    select t.id, a.id, case a.name when 'stripe' then 3 else -3 end
    from private.ledger_transfers as t, private.ledger_accounts as a
    where t.key = 'earlier' and a.currency = 'usd' and a.name in ('stripe', 'promotions')
  $$,
  '23514', 'a transfer sums to zero and is written at once', 'MON-01: nothing is added to a transfer later'
);

select throws_ok(
  $$ select private.post('unbalanced', null, tests.now(), 'usd', '{"stripe": -5, "promotions": 6}') $$, '23514',
  'a transfer sums to zero and is written at once', 'MON-01: posting what does not balance is refused too'
);
select throws_ok(
  $$ select private.post('half', null, tests.now(), 'usd', '{"stripe": -0.5, "promotions": 0.5}') $$, '22P02',
  null, 'MON-01: there is no half of a minor unit'
);
select throws_ok(
  $$ select private.post('null', null, tests.now(), 'usd', '{"stripe": null, "promotions": 1}') $$, '23502', null,
  'MON-01: nor an amount that nobody knows'
);

-- The trigger is what refuses.
alter table private.ledger_entries disable trigger transfers_sum_to_zero;
select is(pg_temp.raw('raw:8', '[["stripe", "usd", 1]]'), 'ok', 'MON-01: without the trigger it would go in');
select is(
  (select array_agg(invariant || ' ' || subject) from public.ledger_invariants()), '{transfers sum to zero raw:8}',
  'MON-03: and be found'
);

select * from finish();

rollback;
