-- FILE-02: an uploaded object becomes a file of its session.
begin;

select plan(64);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.person('stranger');
select tests.mechanic('other');
select tests.admin('admin');
select tests.session_in('live', 'customer', 'mechanic');
select tests.session_in('live', 'second', 'her mechanic');

create function pg_temp.path(p_name text, p_customer text default 'customer') returns text
language sql stable
as $$ select tests.session_of(p_customer) || '/' || p_name $$;

create function pg_temp.register(
  p_who text, p_path text, p_name text default 'photo.png', p_type text default 'image/png', p_size bigint default 100,
  p_session uuid default tests.session_of('customer')
) returns text
language sql
as $$
  select tests.outcome(p_who, format(
    'select public.register_session_file(%L, %L, %L, %L, %L)', p_session, p_path, p_name, p_type, p_size
  ))
$$;

create function pg_temp.told(p_customer text default 'customer') returns table (event text, payload jsonb)
language sql
as $$ select * from tests.messages(tests.topic_of(p_customer)) as m where m.event like 'file:%' $$;

-- whose, and what is there
select tests.store(pg_temp.path('a.png'), 'customer');
select tests.store(pg_temp.path('b.png'), 'mechanic');
select tests.forget_messages();
select is(pg_temp.register(who, pg_temp.path('a.png')), expected, format('FILE-02: not by the %s', who))
from (values
  ('mechanic', 'PT404 file_not_found'), ('stranger', 'PT404 session_not_found'), ('other', 'PT404 session_not_found'),
  ('second', 'PT404 session_not_found'), ('admin', 'PT404 session_not_found'),
  ('authenticated', 'PT401 not_authenticated')
) as cases (who, expected);
select alike(pg_temp.register(who, pg_temp.path('a.png')), '42501 %', format('FILE-02: nor by %s', who))
from unnest(array['anon', 'service_role']) as who;
select is(
  pg_temp.register('customer', pg_temp.path('a.png'), p_session => session), 'PT404 session_not_found',
  format('FILE-02: of %s session', why)
)
from (values (null::uuid, 'no'), (tests.id('nothing'), 'an unknown'), (tests.session_of('second'), 'somebody else''s'))
  as cases (session, why);
select is(pg_temp.register('customer', pg_temp.path('c.png')), 'PT404 file_not_found', 'FILE-02: nothing is there');
select is(pg_temp.register('customer', path), 'PT422 invalid_argument', format('FILE-02: a path %s', why))
from (values
  (pg_temp.path('a.png', 'second'), 'in another session''s folder'), (null, 'that is none'),
  ('a.png', 'without a folder'),
  (upper(pg_temp.path('a.png')), 'in capitals')
) as cases (path, why);
select is(
  pg_temp.register('customer', pg_temp.path('a.png'), name), 'PT422 invalid_argument', format('FILE-02: a name %s', why)
)
from (values
  (null, 'that is none'), ('', 'that is empty'), (repeat('x', 201), 'that is too long'), ('a/b', 'with a slash'),
  ('a\b', 'with a backslash'), (E'a\nb', 'with a new line'), (E'a\u0007', 'with a control character')
) as cases (name, why);
select is(
  pg_temp.register('customer', pg_temp.path('a.png'), 'a', type), 'PT415 unsupported_file_type',
  format('FILE-02: of type %s', coalesce(left(split_part(type, E'\r', 1), 30), 'null'))
)
from unnest(array[
  null, '', 'png', 'image/', '/png', 'image png', 'IMAGE/PNG', 'image/png; a=b', E'image/png\r\nX-A: b', '../a/b',
  'text/html', 'application/xhtml+xml', 'image/svg+xml', 'text/xml', 'application/xml', 'text/javascript',
  'application/' || repeat('a', 128)
]) as type;
select is(
  pg_temp.register('customer', pg_temp.path('a.png'), 'a', 'image/png', size), expected,
  format('FILE-02: of %s bytes', coalesce(size::text, 'null'))
)
from (values
  (null::bigint, 'PT422 invalid_argument'), (0, 'PT422 invalid_argument'), (-1, 'PT422 invalid_argument'),
  (99, 'PT422 invalid_argument'), (101, 'PT422 invalid_argument'), (10485761, 'PT413 file_too_large'),
  (9223372036854775807, 'PT413 file_too_large')
) as cases (size, expected);
select is_empty('select from public.session_files', 'FILE-02: none of this left a file');
select is_empty('select * from pg_temp.told()', 'FILE-02: or was told');

-- the file
select tests.advance(5);
select is(
  pg_temp.register('customer', pg_temp.path('a.png'), 'Rücklicht ☺.png'), 'ok', 'FILE-02: by the one who uploaded it'
);
select results_eq(
  $$ select session_id, uploaded_by, name, type, size, storage_path, created_at from public.session_files $$,
  $$ values (tests.session_of('customer'), tests.id('customer'), 'Rücklicht ☺.png', 'image/png', 100::bigint,
     pg_temp.path('a.png'), tests.now()) $$,
  'FILE-02: a file of the session'
);
select results_eq(
  $$ select event, payload - 'id' from pg_temp.told() $$,
  $$ select 'file:added', jsonb_build_object(
       'session_id', f.session_id, 'file_id', f.id, 'uploaded_by', f.uploaded_by, 'created_at', f.created_at
     ) from public.session_files as f $$,
  'FILE-02, RT-02: the session hears file:added, by id, without a name'
);
select is((tests.presence_of('customer', 'customer')).last_seen_at, tests.now(), 'FILE-02, PRE-04: a sign of life');

-- again
select tests.advance(5);
select is(
  pg_temp.register('customer', pg_temp.path('a.png'), 'other.png', 'image/gif', 7), 'ok', 'FILE-02: again is no error'
);
select results_eq(
  'select name, size, created_at from public.session_files',
  $$ values ('Rücklicht ☺.png', 100::bigint, tests.now() - interval '5 s') $$, 'FILE-02: nor another file'
);
select is((select count(*) from pg_temp.told()), 1::bigint, 'FILE-02: nor news');
select is(
  pg_temp.register('mechanic', pg_temp.path('a.png')), 'PT404 file_not_found', 'FILE-02: and still nobody else''s'
);
select is(pg_temp.register('mechanic', pg_temp.path('b.png')), 'ok', 'FILE-02: the mechanic registers his');
select tests.store(pg_temp.path('c.docx'), 'customer');
select is(
  pg_temp.register(
    'customer', pg_temp.path('c.docx'), 'c', 'application/vnd.openxmlformats-officedocument.wordprocessingml.document'
  ),
  'ok', 'FILE-02: a document whose type only mentions xml is none that a browser runs'
);

-- The table holds the rules by itself.
select throws_ok(
  format(
    'insert into public.session_files (session_id, uploaded_by, name, type, size, storage_path)
     values (%L, %L, %s)', tests.session_of('customer'), tests.id('customer'), rest
  ),
  state, null, format('FILE-02: not even its owner stores %s', what)
)
from (values
  (format('%L, %L, 1, %L', 'a', 'a/b', pg_temp.path('a.png')), '23505', 'a second row of one object'),
  (format('%L, %L, 1, %L', 'a', 'a/b', pg_temp.path('x', 'second')), '23514', 'another session''s object'),
  (format('%L, %L, 0, %L', 'a', 'a/b', pg_temp.path('x')), '23514', 'a file of no bytes'),
  (format('%L, %L, 1, %L', '', 'a/b', pg_temp.path('x')), '23514', 'a file without a name'),
  (format('%L, %L, 1, %L', 'a', repeat('a', 128), pg_temp.path('x')), '23514', 'a type that is no type')
) as cases (rest, state, what);

select * from finish();

rollback;
