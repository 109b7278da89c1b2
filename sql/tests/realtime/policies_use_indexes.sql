-- RT-01, PERF-04: letting somebody in costs a look into an index, however many sessions there are. With sequential
-- scans discouraged one is made only where no index would do, and the statistics count it.
begin;

select plan(4);

set local enable_seqscan = off;

create function pg_temp.scans()
returns bigint
language sql
as $$
  select sum(seq_scan)::bigint from pg_stat_xact_user_tables
  where schemaname in ('public', 'private') and relname not in ('error_codes', 'settings')
$$;

select tests.stop_clock();
select tests.waiting('customer', 'mechanic');
select tests.admin('admin');

create temporary table before (scans) on commit drop as select pg_temp.scans();
create temporary table answers (what, answer) on commit drop as
select w.who || ' ' || t.topic || ' ' || x.extension, tests.may_receive(w.who, t.topic, x.extension)
from (values ('customer'), ('mechanic'), ('admin')) as w (who)
cross join (
  values (tests.topic_of('customer')), ('user:' || tests.id('customer')), ('session_assignments_feed'), ('session:abc')
) as t (topic)
cross join (values ('broadcast'), ('presence')) as x (extension);
select ok((select count(*) = 24 and bool_or(answer) and not bool_and(answer) from answers), 'RT-01: 24 answers');
select is((select pg_temp.scans() - scans from before), 0::bigint, 'RT-01, PERF-04: no table was read through');

create temporary table sent (answer) on commit drop as
select tests.may_send('customer', tests.topic_of('customer'), 'presence');
select is((select pg_temp.scans() - scans from before), 0::bigint, 'RT-01, PERF-04: nor for sending');

select public.list_settings() from generate_series(1, 0);
select tests.do_as('admin', 'select count(*) from public.profiles where display_name is null');
select cmp_ok(
  (select pg_temp.scans() - scans from before), '>', 0::bigint, 'TEST-03: a table read through would have been counted'
);

select * from finish();

rollback;
