-- FILE-01: the bucket itself.
begin;

select plan(11);

create function pg_temp.bucket() returns text
language sql
as $$
  select concat_ws(' ', b.public::text, b.file_size_limit) from storage.buckets as b where b.id = 'session-files'
$$;

create function pg_temp.policies() returns setof text
language sql
as $$
  select format('%s %s %s', p.cmd, p.roles, p.policyname) from pg_policies as p
  where p.schemaname = 'storage' and p.tablename = 'objects'
$$;

select is(pg_temp.bucket(), 'false 10485760', 'FILE-01: private, 10 MB, made by migration');
select bag_eq(
  'select * from pg_temp.policies()',
  $$ values
     ('SELECT {authenticated} participants read the folder of their session'),
     ('INSERT {authenticated} participants add to the folder of their session'),
     ('DELETE {authenticated} people remove what they added before the end') $$,
  'FILE-01: three policies, for signed-in people; nothing may be changed'
);
select tests.admin('admin');
select tests.do_as('admin', $$ select public.set_setting('max_file_bytes', '2048') $$);
select is(pg_temp.bucket(), 'false 2048', 'FILE-01, MOD-07: its limit is the setting''s');
select tests.do_as('admin', $$ select public.set_setting('signed_url_seconds', '60') $$);
select is(pg_temp.bucket(), 'false 2048', 'FILE-01: no other');
select is(
  tests.outcome('admin', format('select public.set_setting(%L, %L)', 'max_file_bytes', value)),
  'PT422 invalid_argument', format('FILE-01, MOD-07: %s bytes is no limit', value)
)
from unnest(array['0', '-1', 'null']) as value;
select is(pg_temp.bucket(), 'false 2048', 'FILE-01: and changes none');

-- An operator who adds storage later, or somebody who opened the bucket in the dashboard.
update storage.buckets set public = true, file_size_limit = null where id = 'session-files';
select ok(private.setup_storage(), 'FILE-01: it can be set up again');
select is(pg_temp.bucket(), 'false 2048', 'FILE-01: and is as it should be');
select is((select count(*) from pg_temp.policies()), 3::bigint, 'FILE-01: with each policy once');

select * from finish();

rollback;
