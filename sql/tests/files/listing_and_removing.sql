-- FILE-02: who sees the files of a session, and who takes one away, until when.
begin;

select plan(58);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.person('stranger');
select tests.admin('admin');
select tests.session_in('given back', 'customer', 'former');
select tests.mechanic('mechanic');
select tests.accept('mechanic', 'customer');
select tests.join('customer', 'customer');
select tests.join('mechanic', 'customer');

create function pg_temp.file(p_name text) returns uuid
language sql stable security definer
as $$ select f.id from public.session_files as f where f.name = p_name $$;

create function pg_temp.remove(p_who text, p_name text) returns text
language sql
as $$
  select tests.outcome(
    p_who, format('select public.remove_session_file(%L)', coalesce(pg_temp.file(p_name), tests.id(p_name)))
  )
$$;

-- What somebody gets of the list, or the error, and of the table.
create function pg_temp.list(p_who text, p_session uuid default tests.session_of('customer')) returns text
language plpgsql
as $$
declare
  v_outcome text := tests.outcome(p_who, format('select public.list_session_files(%L)', p_session));
begin
  if v_outcome = 'ok' then
    if p_who = 'service_role' then
      perform tests.act_as_role(p_who);
    elsif p_who <> 'system' then
      perform tests.act_as(p_who);
    end if;
    select string_agg(f.name, ' ' order by f.n) into v_outcome
    from public.list_session_files(p_session) with ordinality as f (id, session_id, by, name, t, s, p, c, n);
    perform tests.be_system();
  end if;
  return v_outcome;
end
$$;

create function pg_temp.read(p_who text) returns integer
language plpgsql
as $$
declare
  v_count integer;
begin
  perform tests.act_as(p_who);
  select count(*) into v_count from public.session_files as f where f.session_id = tests.session_of('customer');
  perform tests.be_system();
  return v_count;
end
$$;

create function pg_temp.told() returns table (event text, payload jsonb)
language sql
as $$ select * from tests.messages(tests.topic_of('customer')) as m where m.event like 'file:%' $$;

select tests.file('customer', 'customer', 'one');
select tests.advance(1);
select tests.file('mechanic', 'customer', 'two');
select tests.advance(1);
select tests.file('customer', 'customer', 'three');
select tests.live('second', 'her mechanic');
select tests.file('second', 'second', 'hers');

-- reading
select is(pg_temp.list(who), 'three two one', format('FILE-02: newest first, for the %s', who))
from unnest(array['customer', 'mechanic', 'admin', 'service_role', 'system']) as who;
select is(pg_temp.list(who), 'PT404 session_not_found', format('FILE-02: not for the %s', who))
from unnest(array['stranger', 'former', 'second', 'her mechanic']) as who;
select is(pg_temp.list('authenticated'), 'PT401 not_authenticated', 'FILE-02: not without a user');
select alike(pg_temp.list('anon'), '42501 %', 'FILE-02: nor for anon');
select is(pg_temp.list('customer', session), 'PT404 session_not_found', 'FILE-02: of which session')
from unnest(array[null, tests.id('nothing')]) as session;
select is(pg_temp.read(who), seen, format('FILE-02: the table shows the %s %s', who, seen))
from (values
  ('customer', 3), ('mechanic', 3), ('admin', 3), ('stranger', 0), ('former', 0), ('second', 0), ('her mechanic', 0)
) as cases (who, seen);
select alike(
  tests.outcome('anon', 'select * from public.session_files'), '42501 permission denied%', 'FILE-02: and anon nothing'
);

-- removing
select tests.forget_messages();
select is(pg_temp.remove(who, 'one'), expected, format('FILE-02: not removed by the %s', who))
from (values
  ('mechanic', 'PT403 role_required'), ('stranger', 'PT404 file_not_found'), ('former', 'PT404 file_not_found'),
  ('second', 'PT404 file_not_found'), ('admin', 'PT404 file_not_found'), ('authenticated', 'PT401 not_authenticated')
) as cases (who, expected);
select alike(pg_temp.remove(who, 'one'), '42501 %', format('FILE-02: nor by %s', who))
from unnest(array['anon', 'service_role']) as who;
select is(pg_temp.remove('customer', 'nothing'), 'PT404 file_not_found', 'FILE-02: which file');
select is(
  tests.outcome('customer', 'select public.remove_session_file(null)'), 'PT404 file_not_found', 'FILE-02: no file'
);
select is(pg_temp.list('customer'), 'three two one', 'FILE-02: they are all still there');
select is_empty('select * from pg_temp.told()', 'FILE-02: and nothing was told');

create temporary table removed on commit drop as select f.* from public.session_files as f where f.name = 'one';
select is(pg_temp.remove('customer', 'one'), 'ok', 'FILE-02: who added it takes it away');
select is(pg_temp.list('mechanic'), 'three two', 'FILE-02: it is gone');
select results_eq(
  $$ select topic, payload, status from private.outbox
     where session_id = tests.session_of('customer') and topic = 'storage.remove' $$,
  $$ select 'storage.remove', jsonb_build_object('bucket', 'session-files', 'path', r.storage_path), 'pending'
     from removed as r $$,
  'FILE-02: its bytes are to be removed: SQL cannot do that'
);
select results_eq(
  $$ select event, payload - 'id' from pg_temp.told() $$,
  $$ select 'file:removed', jsonb_build_object(
       'session_id', r.session_id, 'file_id', r.id, 'uploaded_by', r.uploaded_by, 'created_at', r.created_at
     ) from removed as r $$,
  'FILE-02, RT-02: the session hears file:removed'
);
select is(
  tests.outcome('customer', format('select public.remove_session_file(%L)', (select r.id from removed as r))),
  'PT404 file_not_found', 'FILE-02: it cannot be removed twice'
);
select is(
  (select count(*) from private.outbox where topic = 'storage.remove'), 1::bigint, 'FILE-02: nor are its bytes'
);

-- Removed at the storage server, by a client that knows nothing of the row.
create function pg_temp.delete_object(p_who text, p_name text) returns void
language plpgsql
as $$
begin
  perform set_config('storage.allow_delete_query', 'true', true);
  perform tests.act_as(p_who);
  delete from storage.objects as o where o.name = tests.session_of('customer') || '/' || p_name;
  perform tests.be_system();
  perform set_config('storage.allow_delete_query', 'false', true);
end
$$;
select tests.forget_messages();
select pg_temp.delete_object('mechanic', 'three');
select is(pg_temp.list('customer'), 'three two', 'FILE-02: nobody removes the other''s there');
select pg_temp.delete_object('mechanic', 'two');
select is(pg_temp.list('customer'), 'three', 'FILE-02: an object that its owner removes there has no row any more');
select results_eq(
  $$ select event, payload ->> 'uploaded_by' from pg_temp.told() $$,
  $$ values ('file:removed', tests.id('mechanic')::text) $$, 'FILE-02: which the session hears'
);
select tests.store(tests.session_of('customer') || '/unregistered', 'customer');
select tests.forget_messages();
select pg_temp.delete_object('customer', 'unregistered');
select is_empty('select * from pg_temp.told()', 'FILE-02: nothing is said of what never was a file');
-- The worker that removes the bytes of a file whose row is gone tells nobody again.
select set_config('storage.allow_delete_query', 'true', true);
delete from storage.objects as o where o.name = tests.session_of('customer') || '/one';
select set_config('storage.allow_delete_query', 'false', true);
select is_empty('select * from pg_temp.told()', 'FILE-02: the bytes go after the row without a word');

-- after the end
select tests.advance(1);
select tests.file('mechanic', 'customer', 'four');
select tests.advance(70);
select tests.finish_session('system', 'customer');
select is(pg_temp.remove('customer', 'three'), 'PT410 session_ended', 'FILE-02, FILE-01: after the end it is evidence');
select is(pg_temp.remove('mechanic', 'four'), 'PT410 session_ended', 'FILE-02, FILE-01: the mechanic''s too');
select is(pg_temp.remove('mechanic', 'three'), 'PT403 role_required', 'FILE-02: and the other''s anyway');
select tests.file('mechanic', 'customer', 'five');
select is(pg_temp.remove('mechanic', 'five'), 'PT410 session_ended', 'FILE-02: also what was added after the end');
select tests.store(tests.session_of('customer') || '/late', 'customer');
select is(
  tests.outcome('customer', format(
    'select public.register_session_file(%L, %L, %L, %L, 100)', tests.session_of('customer'),
    tests.session_of('customer') || '/late', 'late', 'image/png'
  )), 'PT410 session_ended', 'FILE-02: the customer registers nothing any more'
);
select is(
  tests.outcome('customer', format(
    'select public.register_session_file(%L, %L, %L, %L, 100)', tests.session_of('customer'),
    tests.session_of('customer') || '/three', 'three', 'image/png'
  )), 'ok', 'FILE-02: what was registered before gets its answer again'
);
select is(pg_temp.list(who), 'five four three', format('FILE-02: still readable after the end, for the %s', who))
from unnest(array['customer', 'mechanic', 'admin']) as who;
select tests.sum_up('mechanic', 'customer');
select is(
  tests.outcome('mechanic', format(
    'select public.register_session_file(%L, %L, %L, %L, 100)', tests.session_of('customer'),
    tests.session_of('customer') || '/six', 'six', 'image/png'
  )), 'PT410 session_ended', 'FILE-02, FILE-01: after the summary the mechanic adds nothing'
);

-- One that nobody has written down yet, and one that has no mechanic.
select tests.session_in('live', 'overdue', 'waited');
select tests.file('overdue', 'overdue', 'hasty');
select tests.advance(1801);
select is(pg_temp.remove('overdue', 'hasty'), 'PT410 session_ended', 'FILE-02, TIME-03: over is over, as of its time');
select tests.store(tests.session_of('overdue') || '/late', 'overdue');
select is(
  tests.outcome('overdue', format(
    'select public.register_session_file(%L, %L, %L, %L, 100)', tests.session_of('overdue'),
    tests.session_of('overdue') || '/late', 'late', 'image/png'
  )), 'PT410 session_ended', 'FILE-02, TIME-03: for a new file too'
);
select tests.file('waited', 'overdue', 'proof');
select is(
  (tests.row_of('overdue')).status::text, 'completed',
  'FILE-02, TIME-03: but the mechanic''s photo is in, and so is the end'
);
select tests.session_in('pending', 'lonely', 'elsewhere');
select tests.store(tests.session_of('lonely') || '/early', 'lonely');
select is(
  tests.outcome('lonely', format(
    'select public.register_session_file(%L, %L, %L, %L, 100)', tests.session_of('lonely'),
    tests.session_of('lonely') || '/early', 'early', 'image/png'
  )), 'PT409 session_not_active', 'FILE-02: nobody has accepted yet'
);

select * from finish();

rollback;
