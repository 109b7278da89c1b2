-- Ledger: where every cent is, and why. Double entry: a transfer moves minor units between accounts and sums to zero,
-- which the database enforces. Nothing is ever changed or removed; what was wrong is put right by another transfer.
--
-- An amount above zero is what an account receives. So what we owe (holds, credit, mechanics) and what we earned have
-- balances above zero, and `stripe`, where the money comes from, has minus what lies there.
-- Only customers' credit is stored as a balance, locked and never below zero; every other balance is a sum.

create table private.ledger_accounts (
  id bigint generated always as identity primary key,
  name text not null,
  currency text not null,
  balance_cents bigint,
  created_at timestamptz not null default private.clock(),
  constraint one_account_per_name_and_currency unique (name, currency),
  constraint name_is_known check (
    name in ('stripe', 'platform_revenue', 'promotions', 'refund_clearing', 'processor_fees')
    or name ~ ('^(session_hold|customer_credit|mechanic_payable|referral_payable|unapplied|disputes)'
      || ':[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$')
  ),
  constraint currency_is_an_iso_code check (currency ~ '^[a-z]{3}$'),
  constraint only_credit_has_a_stored_balance check ((name like 'customer\_credit:%') = (balance_cents is not null)),
  constraint credit_is_never_below_zero check (balance_cents >= 0)
);
comment on table private.ledger_accounts is 'Places where money is: one for each name and currency.';
alter table private.ledger_accounts enable row level security;
revoke all on table private.ledger_accounts from public, anon, authenticated, service_role;
create policy "nobody reads ledger accounts directly" on private.ledger_accounts using (false);

create table private.ledger_transfers (
  id bigint generated always as identity primary key,
  key text not null,
  session_id uuid,
  xact_id xid8 not null default pg_current_xact_id(),
  occurred_at timestamptz not null,
  created_at timestamptz not null default private.clock(),
  constraint one_transfer_per_key unique (key),
  constraint key_is_bounded check (length(key) between 3 and 300)
);
comment on table private.ledger_transfers is
  'Why money moved: a business key that no two transfers share. occurred_at is when it happened, created_at when it '
  'was written down.';
create index ledger_transfers_session_id_idx on private.ledger_transfers (session_id) where session_id is not null;
create index ledger_transfers_created_at_idx on private.ledger_transfers using brin (created_at);
alter table private.ledger_transfers enable row level security;
revoke all on table private.ledger_transfers from public, anon, authenticated, service_role;
create policy "nobody reads ledger transfers directly" on private.ledger_transfers using (false);

create table private.ledger_entries (
  transfer_id bigint not null references private.ledger_transfers (id),
  account_id bigint not null references private.ledger_accounts (id),
  amount_cents bigint not null,
  primary key (transfer_id, account_id),
  constraint amount_is_not_zero check (amount_cents <> 0)
);
comment on table private.ledger_entries is 'What a transfer gave to an account (above zero) or took from it.';
create index ledger_entries_account_id_idx on private.ledger_entries (account_id, transfer_id) include (amount_cents);
alter table private.ledger_entries enable row level security;
revoke all on table private.ledger_entries from public, anon, authenticated, service_role;
create policy "nobody reads ledger entries directly" on private.ledger_entries using (false);

create trigger ledger_transfers_are_append_only
before update or delete or truncate on private.ledger_transfers
for each statement execute function private.refuse_change();

create trigger ledger_entries_are_append_only
before update or delete or truncate on private.ledger_entries
for each statement execute function private.refuse_change();

create trigger ledger_accounts_are_never_removed
before delete or truncate on private.ledger_accounts
for each statement execute function private.refuse_change();

-- A balance moves with its entries (the trigger below), and nobody moves it alone.
create trigger ledger_accounts_follow_their_entries
before update on private.ledger_accounts
for each statement when (pg_trigger_depth() = 0) execute function private.refuse_change();

create function private.balance_entries()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_key text;
begin
  select t.key into v_key
  from new_entries n
  join private.ledger_transfers t on t.id = n.transfer_id
  join private.ledger_accounts a on a.id = n.account_id
  group by t.id, a.currency
  having sum(n.amount_cents) <> 0 or t.xact_id <> pg_current_xact_id()
  limit 1;
  if v_key is not null then
    raise exception using
      errcode = 'check_violation',
      message = 'a transfer sums to zero and is written at once',
      detail = format('The transfer %s does not.', v_key);
  end if;
  update private.ledger_accounts a
  set balance_cents = a.balance_cents + n.amount_cents
  from (
    select e.account_id, sum(e.amount_cents) as amount_cents from new_entries e group by e.account_id
  ) n
  where a.id = n.account_id and a.balance_cents is not null;
  return null;
end;
$$;
comment on function private.balance_entries() is
  'Trigger: the entries of a transfer come in one statement of its transaction and sum to zero per currency; the '
  'stored balances follow them.';
revoke all on function private.balance_entries from public, anon, authenticated, service_role;

create trigger transfers_sum_to_zero
after insert on private.ledger_entries
referencing new table as new_entries
for each statement execute function private.balance_entries();

create function private.post(p_key text, p_session_id uuid, p_occurred_at timestamptz, p_currency text, p_lines jsonb)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  v_lines jsonb;
  v_posted jsonb;
  v_is_other_currency boolean;
  v_session_id uuid;
  v_transfer_id bigint;
begin
  select coalesce(jsonb_object_agg(l.key, l.value), '{}') into v_lines
  from jsonb_each(p_lines) l
  where l.value <> '0';
  insert into private.ledger_transfers (key, session_id, occurred_at)
  values (p_key, p_session_id, p_occurred_at)
  on conflict (key) do nothing
  returning id into v_transfer_id;
  if v_transfer_id is null then
    select t.id, t.session_id into v_transfer_id, v_session_id
    from private.ledger_transfers t
    where t.key = p_key;
    select
      coalesce(jsonb_object_agg(a.name, e.amount_cents), '{}'), coalesce(bool_or(a.currency <> p_currency), false)
    into v_posted, v_is_other_currency
    from private.ledger_entries e
    join private.ledger_accounts a on a.id = e.account_id
    where e.transfer_id = v_transfer_id;
    if v_posted <> v_lines or v_is_other_currency or v_session_id is distinct from p_session_id then
      perform private.fail('idempotency_conflict', format('The transfer %s was posted with other content.', p_key));
    end if;
    return v_transfer_id;
  end if;

  insert into private.ledger_accounts (name, currency, balance_cents)
  select l.key, p_currency, case when l.key like 'customer\_credit:%' then 0 end
  from jsonb_each(v_lines) l
  -- Asked line by line: a join would read every account, as the planner takes any jsonb to have a hundred keys.
  where (select a.id from private.ledger_accounts a where a.name = l.key and a.currency = p_currency) is null
  on conflict (name, currency) do nothing;
  insert into private.ledger_entries (transfer_id, account_id, amount_cents)
  select
    v_transfer_id, (select a.id from private.ledger_accounts a where a.name = l.key and a.currency = p_currency),
    l.value::bigint
  from jsonb_each_text(v_lines) l
  order by 2;
  return v_transfer_id;
end;
$$;
comment on function private.post(text, uuid, timestamptz, text, jsonb) is
  'Posts a transfer, {account: minor units}, once per key, and returns it; the same key with other content raises '
  'idempotency_conflict. The only writer of the ledger. Locks: credit accounts that it touches.';
revoke all on function private.post from public, anon, authenticated, service_role;

create function private.balance(p_account text, p_currency text)
returns bigint
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select coalesce(sum(e.amount_cents), 0)::bigint
    from private.ledger_accounts a
    join private.ledger_entries e on e.account_id = a.id
    where a.name = p_account and a.currency = p_currency
  );
end;
$$;
comment on function private.balance(text, text) is 'The balance of an account in minor units, summed from its entries.';
revoke all on function private.balance from public, anon, authenticated, service_role;

create function private.held(p_session_id uuid, p_currency text)
returns bigint
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select private.balance('session_hold:' || p_session_id, p_currency)
  );
end;
$$;
comment on function private.held(uuid, text) is 'The money held for a session and earned by nobody yet.';
revoke all on function private.held from public, anon, authenticated, service_role;
