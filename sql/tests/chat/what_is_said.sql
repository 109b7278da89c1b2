-- CHAT-01: the text, its bounds and its files, and that the same message is said once.
begin;

select plan(41);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.session_in('live', 'customer', 'mechanic');
select tests.session_in('live', 'second', 'her mechanic');
create temporary table files (name, id) on commit drop as
values
  ('mine', tests.file('customer', 'customer', 'mine')), ('his', tests.file('mechanic', 'customer', 'his')),
  ('foreign', tests.file('second', 'second', 'foreign'));

create function pg_temp.file(p_name text) returns uuid
language sql
as $$ select f.id from files as f where f.name = p_name $$;

create function pg_temp.say(
  p_content text, p_files uuid[] default '{}', p_client_id uuid default null, p_who text default 'customer',
  p_customer text default 'customer'
) returns text
language sql
as $$
  select tests.outcome(p_who, format(
    'select public.send_session_message(%L, %L, %L, %L)', tests.session_of(p_customer), p_content, p_files, p_client_id
  ))
$$;

create function pg_temp.last(p_customer text default 'customer') returns public.session_messages
language sql
as $$
  select m from public.session_messages as m where m.session_id = tests.session_of(p_customer)
  order by m.created_at desc limit 1
$$;

create function pg_temp.told() returns table (event text, payload jsonb)
language sql
as $$ select * from tests.messages(tests.topic_of('customer')) as m where m.event = 'message:new' $$;

-- the text
select is(pg_temp.say(content), 'ok', 'CHAT-01: ' || what)
from (values ('a', 'a letter'), (repeat('x', 4000), '4000 characters'), (repeat('☺', 4000), '4000 of any kind'))
  as cases (content, what);
select is(pg_temp.say(content), 'PT422 invalid_argument', 'CHAT-01: ' || what)
from (values
  (null, 'no text'), ('', 'an empty text'), (E' \t\r\n ', 'white space'), (repeat('x', 4001), '4001 characters'),
  (repeat('☺', 4001), '4001 of any kind'), (repeat('x', 1000000), 'a million')
) as cases (content, what);
select is((select count(*) from public.session_messages), 3::bigint, 'CHAT-01: what is refused leaves nothing');
select tests.advance(1);
select is(pg_temp.say(E'\n  <b>"it''s" & {amount}\n\u202eüñ☺</b>  \n'), 'ok', 'CHAT-01: any text');
select is(
  (pg_temp.last()).content, E'<b>"it''s" & {amount}\n\u202eüñ☺</b>',
  'CHAT-01: is kept as it is, but for the space around it'
);

-- its files
select tests.advance(1);
select is(pg_temp.say('look', array[pg_temp.file('his'), pg_temp.file('mine')]), 'ok', 'CHAT-01: with files of either');
select results_eq(
  'select content, file_ids from pg_temp.last()',
  $$ values ('look', array[pg_temp.file('his'), pg_temp.file('mine')]) $$, 'CHAT-01: in the order given'
);
select tests.advance(1);
select is(pg_temp.say(content, array[pg_temp.file('mine')]), 'ok', format('CHAT-01: a file and %s', what))
from (values ('', 'an empty text'), (null, 'no text'), (E' \n', 'white space')) as cases (content, what);
select is((pg_temp.last()).content, 'Attachment', 'CHAT-01: that is an Attachment');
select is(pg_temp.say('no list', null), 'ok', 'CHAT-01: no list of files is an empty one');
select is(pg_temp.say(content, file_ids), 'PT422 invalid_argument', 'CHAT-01: ' || what)
from (values
  ('x', array[pg_temp.file('foreign')], 'a file of another session'),
  ('x', array[pg_temp.file('mine'), pg_temp.file('foreign')], 'one of them'),
  ('x', array[tests.id('nothing')], 'an unknown file'),
  ('x', array[null::uuid], 'no file in the list'),
  ('x', array_fill(pg_temp.file('mine'), array[21]), '21 files'),
  (null, null::uuid[], 'neither text nor list')
) as cases (content, file_ids, what);
select is(pg_temp.say('x', array_fill(pg_temp.file('mine'), array[20])), 'ok', 'CHAT-01: 20 files');
select tests.do_as('customer', format('select public.remove_session_file(%L)', pg_temp.file('mine')));
select is(
  pg_temp.say('x', array[pg_temp.file('mine')]), 'PT422 invalid_argument', 'CHAT-01: a file that was taken away'
);

-- once
select tests.advance(1);
select tests.forget_messages();
select is(pg_temp.say('first', '{}', tests.id('one')), 'ok', 'CHAT-01: a message with its client''s id');
create temporary table first_one on commit drop as select m.* from pg_temp.last() as m;
grant select on table first_one to authenticated;
select results_eq(
  'select event, payload - $$id$$ from pg_temp.told()',
  $$ select 'message:new', jsonb_build_object(
       'session_id', f.session_id, 'message_id', f.id, 'sender_id', tests.id('customer'), 'created_at', tests.now()
     ) from first_one as f $$,
  'CHAT-01, RT-02: the session hears message:new, by id, without the text'
);
select tests.advance(1);
select is(pg_temp.say('second', '{}', tests.id('one')), 'ok', 'CHAT-01: the same id again is no error');
select is(pg_temp.say(null, array[pg_temp.file('foreign')], tests.id('one')), 'ok', 'CHAT-01: whatever it says');
select tests.act_as('customer');
select results_eq(
  format('select * from public.send_session_message(%L, $$x$$, $${}$$, %L)', f.session_id, f.client_id),
  'select * from first_one', 'CHAT-01: it returns the first message'
)
from (select tests.session_of('customer') as session_id, tests.id('one') as client_id) as f;
select tests.be_system();
select is((select count(*) from pg_temp.told()), 1::bigint, 'CHAT-01: which is told once');
select is(pg_temp.say('his', '{}', tests.id('one'), 'mechanic'), 'ok', 'CHAT-01: the other''s same id');
select is((pg_temp.last()).content, 'his', 'CHAT-01: is his own message');
select is(pg_temp.say('hers', '{}', tests.id('one'), 'second', 'second'), 'ok', 'CHAT-01: and in another session');
select is((pg_temp.last('second')).content, 'hers', 'CHAT-01: another one');
select tests.advance(70);
select tests.finish_session('system', 'customer');
select is(
  pg_temp.say('late', '{}', tests.id('one')), 'ok',
  'CHAT-01: an answer that was lost is given again, also after the end'
);
select is(pg_temp.say('late', '{}', tests.id('two')), 'PT410 session_ended', 'CHAT-01: but nothing new');
select tests.buy_with_credit('customer', 'chat10');
select tests.serve('customer', 'mechanic');
select is(pg_temp.say('again', '{}', tests.id('one')), 'ok', 'CHAT-01: the same id in another session of the same two');
select is((pg_temp.last()).content, 'again', 'CHAT-01: is another message');

select * from finish();

rollback;
