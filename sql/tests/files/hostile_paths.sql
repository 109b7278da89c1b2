-- FILE-01: paths that are not plainly in the folder of a session of one's own, tried as the storage server tries them.
-- Each is tried to upload to; and since an object might come to lie there some other way, also to read and remove.
begin;

select plan(10);

select tests.stop_clock();
select tests.nobody_falls_silent();
-- Two live sessions, and one of yesterday with the same customer and mechanic as the first.
select tests.session_in('summed up', 'customer', 'mechanic');
create temporary table yesterdays on commit drop as select tests.session_of('customer') as id;
select tests.advance(86400);
select tests.buy_with_credit('customer', 'chat10');
select tests.serve('customer', 'mechanic');
select tests.session_in('live', 'second', 'her mechanic');
select tests.session_in('given back', 'third', 'former');

-- Another form of the same letters.
create function pg_temp.fullwidth(p_text text) returns text
language sql
as $$ select translate(p_text, '0123456789abcdef', '０１２３４５６７８９ａｂｃｄｅｆ') $$;

create temporary table paths (path) on commit drop as
select v.path
from (
  select tests.session_of('customer')::text, tests.session_of('second')::text, tests.id('customer')::text,
    (select y.id::text from yesterdays as y)
) as t (own, foreign_id, me, yesterday)
cross join lateral (
  values
    -- another's folder, on every way in
    (foreign_id || '/f.png'), (foreign_id || '/' || own || '/f.png'), (own || '/../' || foreign_id || '/f.png'),
    (own || '/../f.png'), ('../' || own || '/f.png'), ('./' || own || '/f.png'), (own || '/./f.png'), (own || '/..'),
    (own || '/.'), (own || '/...'), (own || '/a/../../' || foreign_id || '/f.png'), (own || '/.hidden'),
    (own || '/a/.hidden/f.png'), (own || '/..\' || foreign_id || '/f.png'), (own || '\..\' || foreign_id || '\f.png'),
    -- no folder, or no file
    (''), ('/'), ('f.png'), (own), (own || '/'), ('/' || own || '/f.png'), (own || '//f.png'), (own || '/a//f.png'),
    (own || '/a/'), (own || 'f.png'), (own || '.png'), ('session-files/' || own || '/f.png'), (me || '/f.png'),
    -- encoded
    (own || '%2ff.png'), (own || '%2Ff.png'), (own || '/%2e%2e/' || foreign_id || '/f.png'), (own || '/..%2ff.png'),
    (own || '/%2e%2e%2f' || foreign_id || '/f.png'), (own || '%252ff.png'), (own || '/f%00.png'), (own || '%5cf.png'),
    (own || '/f.png?x=1'), (own || '/f.png#x'), (own || '/..;/' || foreign_id || '/f.png'), (own || '/%c0%af'),
    -- the id in another form, or in a longer name
    (upper(own) || '/f.png'), ('{' || own || '}/f.png'), (replace(own, '-', '') || '/f.png'), ('a' || own || '/f.png'),
    (own || 'a/f.png'), (own || '-2/f.png'), ('urn:uuid:' || own || '/f.png'), (substr(own, 1, 35) || '/f.png'),
    (foreign_id || own || '/f.png'), (own || foreign_id || '/f.png'), ('%/f.png'), ('*/f.png'),
    ('(' || own || ')/f.png'),
    (repeat('_', 36) || '/f.png'), (repeat('0', 8) || '-0000-0000-0000-' || repeat('0', 12) || '/f.png'),
    -- white space and controls
    (' ' || own || '/f.png'), (own || ' /f.png'), (own || '/ f.png'), (own || '/f.png '), (own || '/a /f.png'),
    (own || '/ '),
    (E'\t' || own || '/f.png'), (own || E'\t/f.png'), (E'\n' || own || '/f.png'), (own || E'\n/f.png'),
    (own || E'/f.png\n'), (own || E'/f\n.png'), (own || E'/f.png\r'),
    (foreign_id || E'/f.png\n' || own || '/f.png'), (own || E'/f\u0001.png'),
    (own || E'/f\u007f.png'), (own || E'/f\u0085.png'), (own || E'/f\u2028.png'),
    -- look-alikes
    (pg_temp.fullwidth(own) || '/f.png'), (replace(own, '-', '‐') || '/f.png'), (own || '／f.png'),
    (own || '⁄f.png'), (own || '∕f.png'), (own || '/．．/' || foreign_id || '/f.png'), (own || '/‥/f.png'),
    (own || E'\u200b/f.png'), (E'\ufeff' || own || '/f.png'), (own || E'/\u202egnp.f'), (own || E'/f\u00a0.png'),
    (own || '/é.png'),
    -- what a name may not have
    (own || '/-rf'), (own || '/a|b'), (own || '/a"b'), (own || '/<script>.png'), (own || '/a*'), (own || '/`id`.png'),
    (own || '/~root'), (own || '/{a}'), (own || '/[a]'), (own || '/a^b'), (own || '/' || repeat('a', 264)),
    (own || '/' || repeat('a/', 5000) || 'f.png'),
    -- over, and evidence
    (yesterday || '/g.png'), (yesterday || '/' || own || '/g.png')
) as v (path);

select ok((select count(*) > 90 from paths), 'FILE-01: a good many hostile paths');
select is((select count(*) - count(distinct path) from paths), 0::bigint, 'FILE-01: all different');
select is_empty(
  $$ select p.path, w.word from paths as p
     cross join (values ('customer'), ('mechanic'), ('former'), ('anon'), ('authenticated')) as w (word)
     where tests.storage_lets(w.word, 'add', p.path) $$,
  'FILE-01: nothing can be uploaded to any of them, and none is an error'
);

-- Whatever lies there.
insert into storage.objects (bucket_id, name, owner, owner_id)
select 'session-files', p.path, tests.id('customer'), tests.id('customer')::text from paths as p;
select is_empty(
  $$ select p.path, w.word from paths as p
     cross join (values ('mechanic'), ('former'), ('anon'), ('authenticated')) as w (word)
     cross join (values ('read'), ('move'), ('remove'), ('overwrite')) as v (verb)
     where tests.storage_lets(w.word, v.verb, p.path) and not (w.word = 'mechanic' and p.path like '%/g.png') $$,
  'FILE-01: who did not put it there reads, moves, removes and overwrites nothing of it'
);
select is_empty(
  $$ select p.path, v.verb from paths as p
     cross join (values ('read'), ('move'), ('remove'), ('overwrite')) as v (verb)
     where tests.storage_lets('customer', v.verb, p.path) and not (v.verb = 'read' and p.path like '%/g.png') $$,
  'FILE-01: nor does who is said to own it'
);
select bag_eq(
  $$ select p.path from paths as p where tests.storage_lets('customer', 'read', p.path) $$,
  $$ select p.path from paths as p where p.path like '%/g.png' $$,
  'FILE-01: but yesterday''s session is one of his, and its files are still there to be read'
);
select is(
  tests.storage_lets_whom('read', p.path, 'customer', 'mechanic', 'second', 'her mechanic'), 'second her mechanic',
  'FILE-01: a folder in a folder is its first session''s, whatever the second is called'
)
from paths as p
where p.path = tests.session_of('second') || '/' || tests.session_of('customer') || '/f.png';

-- And the good ones.
create temporary table good (path) on commit drop as
select tests.session_of('customer') || '/' || v.name
from (values
  ('f'), ('f.png'), ('5a0e6d1e-7c6b-4f43-9d0e-0123456789ab.jpeg'), ('photo (1).png'), ('a b+c,d;e=f@g$h&i!j''k:l.png'),
  ('_x'), ('a..b'), ('a/b/c.png'), (tests.session_of('second') || '/f.png'), (repeat('a', 263))
) as v (name);
select is_empty(
  $$ select g.path from good as g where not tests.storage_lets('customer', 'add', g.path) $$,
  'FILE-01: plain paths are fine'
);
select is_empty(
  $$ select g.path from good as g cross join (values ('second'), ('her mechanic'), ('former'), ('anon')) as w (word)
     where tests.storage_lets(w.word, 'add', g.path) $$,
  'FILE-01: for the two of the session only'
);
select is_empty(
  $$ select p.path from paths as p
     where tests.outcome('customer', format(
       'select public.register_session_file(%L, %L, %L, %L, 1)', tests.session_of('customer'), p.path, 'f', 'image/png'
     )) not in ('PT422 invalid_argument') $$,
  'FILE-02: and no hostile path is registered, though the object is there'
);

select * from finish();

rollback;
