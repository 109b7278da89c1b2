-- MON-01, PERF-05: what a transfer costs does not follow how many accounts there are, as every session has its own.
begin;

select plan(3);

create function pg_temp.scans()
returns bigint
language sql
as $$
  select seq_scan from pg_stat_xact_user_tables where schemaname = 'private' and relname = 'ledger_accounts'
$$;

insert into private.ledger_accounts (name, currency)
select 'unapplied:' || gen_random_uuid(), 'usd' from generate_series(1, 5000);
analyze private.ledger_accounts;

create temporary table before (scans) on commit drop as select pg_temp.scans();
select private.post('key', null, now(), 'usd', jsonb_build_object(
  'stripe', -100, 'unapplied:' || gen_random_uuid(), 60, 'customer_credit:' || gen_random_uuid(), 40
));
select is((select pg_temp.scans() - scans from before), 0::bigint, 'MON-01, PERF-05: it reads no other accounts');
select is(private.balance('stripe', 'usd'), -100::bigint, 'MON-01: it is posted');
create temporary table named (count) on commit drop as
select count(*) from private.ledger_accounts where name not like 'unapplied:%';
select is((select pg_temp.scans() - scans from before), 1::bigint, 'TEST-03: reading all would have been counted');

select * from finish();

rollback;
