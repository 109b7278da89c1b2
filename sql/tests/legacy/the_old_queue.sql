-- LEG-01: the queue of the older system is history: read by admins, written by nobody, but that the end of a session
-- closes its open row.
begin;

select plan(17);

select tests.stop_clock();
select tests.live('customer', 'mechanic');
select tests.person('stranger');
select tests.admin('admin');
select public.set_setting('free_sessions_per_customer', '10');

insert into public.session_requests (
  id, session_id, customer_id, mechanic_id, session_type, plan_code, status, created_at, updated_at, metadata
)
select
  tests.id(r.word), r.session_id, tests.id('customer'), tests.id('mechanic'), 'chat', 'chat10', r.status,
  '2029-12-24 10:00:00+00', '2029-12-24 10:00:00+00', '{"note": "as it was"}'
from (
  values
    ('linked', tests.session_of('customer'), 'accepted'),
    ('closed long ago', tests.session_of('customer'), 'cancelled'),
    ('of another', tests.id('another session'), 'pending'),
    ('of none', null, 'pending')
) as r (word, session_id, status);

create function pg_temp.request(p_word text)
returns public.session_requests
language sql
as $$ select r from public.session_requests as r where r.id = tests.id(p_word) $$;

-- Who reads it.
create temporary table seen (who, requests) on commit drop as select 'nobody', 0;
grant all on table seen to authenticated, service_role;
select tests.do_as(w.who, format('insert into seen select %L, count(*) from public.session_requests', w.who))
from (values ('customer'), ('mechanic'), ('stranger'), ('admin'), ('service_role')) as w (who);
select results_eq(
  $$ select who, requests from seen order by who $$,
  $$ values
     ('admin', 4), ('customer', 0), ('mechanic', 0), ('nobody', 0), ('service_role', 4), ('stranger', 0) $$,
  'LEG-01: admins read the old queue'
);
select alike(tests.outcome('anon', 'select 1 from public.session_requests'), '42501 %', 'LEG-01: visitors do not');
select is_empty(
  $$ select w.who, s.statement
     from (values ('customer'), ('mechanic'), ('admin'), ('service_role')) as w (who)
     cross join (
       values
         ($q$ insert into public.session_requests (plan_code) values ('chat10') $q$),
         ($q$ update public.session_requests set status = 'completed' where id is not null $q$),
         ($q$ delete from public.session_requests where id is not null $q$)
     ) as s (statement)
     where tests.outcome(w.who, s.statement) not like '42501 %' $$,
  'LEG-01: and nobody writes it'
);

-- The end of a session closes its open row.
select tests.together_for('mechanic', 'customer', 90);
select tests.finish_session('customer', 'customer');
select is((pg_temp.request('linked')).status, 'completed', 'LEG-01, END-04: the end of a session closes its row');
select is((pg_temp.request('linked')).updated_at, tests.now(), 'LEG-01: and says when');
select is(
  (pg_temp.request('linked')).metadata, '{"note": "as it was"}'::jsonb, 'LEG-01: and leaves the rest as it was'
);
select is((pg_temp.request('closed long ago')).status, 'cancelled', 'LEG-01: a row that was closed stays as it was');
select is(
  (select count(*)::integer from public.session_requests where status = 'pending'), 2,
  'LEG-01: rows of other sessions stay open'
);
select tests.advance(1);
select tests.queue('customer');
update public.session_requests as r
set session_id = tests.session_of('customer')
where r.id = tests.id('of another');
select tests.finish_session('customer', 'customer');
select is((pg_temp.request('of another')).status, 'cancelled', 'LEG-01, END-04: with what the end was');
select tests.advance(1);
select tests.queue('customer');
update public.session_requests as r
set session_id = tests.session_of('customer')
where r.id = tests.id('of none');
select tests.advance(7201);
select public.expire_orphaned_sessions();
select is((pg_temp.request('of none')).status, 'expired', 'LEG-01, TIME-05: whoever wrote it down');
select is((pg_temp.request('of another')).status, 'cancelled', 'LEG-01: once');

-- An end that cannot close its row is no end.
select tests.advance(1);
select tests.queue('customer');
insert into public.session_requests (id, session_id, status)
values (tests.id('jammed'), tests.session_of('customer'), 'pending');
create function pg_temp.jam()
returns trigger
language plpgsql
as $$ begin raise exception 'jammed'; end $$;
create trigger jam before update on public.session_requests for each row execute function pg_temp.jam();
select is(
  tests.outcome('customer', format('select public.end_session_with_semantics(%L)', tests.session_of('customer'))),
  'P0001 jammed', 'END-04: the row is closed in the transaction of the end'
);
select is((tests.row_of('customer')).status::text, 'pending', 'END-04: all or nothing');
drop trigger jam on public.session_requests;
select tests.finish_session('customer', 'customer');
select is((pg_temp.request('jammed')).status, 'cancelled', 'END-04: all');

-- It stays within reach of one look.
set local enable_seqscan = off;
create temporary table scans (before) on commit drop as
select seq_scan from pg_stat_xact_user_tables where relname = 'session_requests';
select tests.advance(1);
select tests.queue('customer');
select tests.finish_session('customer', 'customer');
select is(
  (select seq_scan from pg_stat_xact_user_tables where relname = 'session_requests'), (select before from scans),
  'LEG-01, PERF-04: an end finds its row by an index'
);
select col_is_pk('public', 'session_requests', 'id', 'LEG-01: one row, one id');
select columns_are(
  'public', 'session_requests',
  array[
    'id', 'session_id', 'customer_id', 'mechanic_id', 'session_type', 'plan_code', 'status', 'created_at',
    'accepted_at', 'updated_at', 'metadata'
  ],
  'LEG-01: the columns of the older system'
);

select * from finish();

rollback;
