-- FILE-01, CHAT-01, PERF-04: what the storage server's policies ask, and what clients read around a session, is
-- looked up in indexes. With sequential scans discouraged one is made only where no index would do.
begin;

select plan(4);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.session_in('live', 'customer', 'mechanic');
select tests.admin('admin');
select tests.file('customer', 'customer', 'photo.png');
select tests.do_as(
  'customer', format('select public.send_session_message(%L, %L)', tests.session_of('customer'), 'hello')
);

set local enable_seqscan = off;

create function pg_temp.scans() returns bigint
language sql
as $$
  select sum(seq_scan)::bigint from pg_stat_xact_user_tables
  where schemaname in ('public', 'private', 'storage') and relname not in ('error_codes', 'settings', 'buckets')
$$;

create temporary table before (scans) on commit drop as select pg_temp.scans();
create temporary table answers (answer) on commit drop as
select tests.storage_lets(w.word, v.verb, tests.session_of('customer') || v.path)
from unnest(array['customer', 'mechanic', 'admin']) as w (word)
cross join (
  values ('add', '/new'), ('read', '/photo.png'), ('remove', '/photo.png'), ('add', '/../x')
) as v (verb, path);
select ok((select count(*) = 12 and bool_or(answer) and not bool_and(answer) from answers), 'FILE-01: 12 answers');
select is((select pg_temp.scans() - scans from before), 0::bigint, 'FILE-01, PERF-04: no table was read through');
select tests.do_as(who, format(statement, tests.session_of('customer')))
from unnest(array['customer', 'mechanic']) as who,
  unnest(array[
    'select count(*) from public.session_files where session_id = %L',
    'select public.list_session_files(%L)',
    'select count(*) from public.session_messages where session_id = %L',
    'select public.get_session_summary(%L)'
  ]) as statement;
select is((select pg_temp.scans() - scans from before), 0::bigint, 'CHAT-01, FILE-02, PERF-04: nor by who reads them');

select tests.do_as('admin', $$ select count(*) from public.session_files where name = 'x' $$);
select cmp_ok(
  (select pg_temp.scans() - scans from before), '>', 0::bigint, 'TEST-03: a table read through would have been counted'
);

select * from finish();

rollback;
