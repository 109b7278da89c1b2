-- Customers and approved mechanics with an account at Stripe, one of each for every number from bench.first to
-- bench.last; their ids are made from the numbers. Run as a superuser; no trigger runs.

set session_replication_role = 'replica';

insert into public.profiles (id, display_name, created_at, updated_at)
select md5(k.kind || n.number)::uuid, initcap(k.kind) || ' ' || n.number, now(), now()
from generate_series(current_setting('bench.first')::integer, current_setting('bench.last')::integer) as n (number)
cross join (values ('customer'), ('mechanic')) as k (kind);

insert into public.mechanics (id, status, created_at, updated_at)
select md5('mechanic' || n.number)::uuid, 'approved', now(), now()
from generate_series(current_setting('bench.first')::integer, current_setting('bench.last')::integer) as n (number);

insert into private.stripe_accounts (user_id, account)
select md5('mechanic' || n.number)::uuid, 'acct_bench' || n.number
from generate_series(current_setting('bench.first')::integer, current_setting('bench.last')::integer) as n (number);

reset session_replication_role;
