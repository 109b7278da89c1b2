-- FILE-03: objects that nobody registered within a day are swept, each once.
begin;

select plan(12);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.session_in('live', 'customer', 'mechanic');

create function pg_temp.swept() returns setof text
language sql
as $$
  select payload ->> 'path' from private.outbox
  where topic = 'storage.remove' and payload ->> 'bucket' = 'session-files' order by id
$$;

select tests.file('customer', 'customer', 'registered');
select tests.store(tests.session_of('customer') || '/forgotten', 'customer');
select tests.store('somewhere/else', 'customer');
insert into storage.buckets (id, name) values ('others', 'others');
insert into storage.objects (bucket_id, name, created_at) values ('others', 'forgotten', tests.now());
select tests.advance(86400);
select is(private.sweep_files(10), 0, 'FILE-03: not within a day');
select tests.advance(1);
select tests.store(tests.session_of('customer') || '/new', 'customer');
select is(private.sweep_files(1), 1, 'FILE-03: so many at a time');
select is((select count(*) from pg_temp.swept()), 1::bigint, 'FILE-03: one');
select is(private.sweep_files(1), 1, 'FILE-03: and then the next');
select bag_eq(
  'select * from pg_temp.swept()',
  $$ values (tests.session_of('customer') || '/forgotten'), ('somewhere/else') $$,
  'FILE-03: what nobody registered, wherever in the bucket, and nothing of another bucket'
);
select is(private.sweep_files(10), 0, 'FILE-03: each once');
select tests.dispatch();
update private.outbox set status = 'done', done_at = tests.now(), lease_token = null, leased_until = null
where topic = 'storage.remove';
select is(private.sweep_files(10), 0, 'FILE-03: also once that is done');

-- The job does it.
select tests.advance(86401);
create temporary table run on commit drop as select private.run_job('prune-history') as result;
select is((select r.result ->> 'files' from run as r), '1', 'FILE-03: the job that prunes history sweeps');
select is(
  (select count(*) from pg_temp.swept() as s (path) where s.path like '%/new'), 1::bigint,
  'FILE-03: the newer one by now'
);
select is((select count(*) from public.session_files), 1::bigint, 'FILE-03: a file is never swept');

-- Files of the older system that were put aside and not imported yet.
select tests.store('old/file', 'customer');
select tests.advance(86401);
create schema legacy;
create table legacy.session_files (id uuid);
select is(private.sweep_files(10), 0, 'FILE-03, LEG-03: nor what might be an old one');
drop table legacy.session_files;
select is(private.sweep_files(10), 1, 'FILE-03, LEG-03: until they are imported');

select * from finish();

rollback;
