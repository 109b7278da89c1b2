-- RT-01: presence on the topic of one's own session is all that a client may send. A broadcast could call itself
-- session:ended, and no policy can see the name of the event.
begin;

select plan(9);

create temporary table everybody (who) on commit drop as
values
  ('customer'), ('mechanic'), ('former'), ('stranger'), ('approved'), ('admin'), ('nobody'), ('anon'),
  ('authenticated');

create function pg_temp.senders(p_topic text, p_extension text)
returns text
language sql
as $$
  select string_agg(e.who, ' ' order by e.who) from everybody as e where tests.may_send(e.who, p_topic, p_extension)
$$;

select tests.stop_clock();
select tests.person('customer');
select tests.person('stranger');
select tests.mechanic('mechanic');
select tests.mechanic('former');
select tests.mechanic('approved');
select tests.admin('admin');
select tests.queue('customer');
select tests.accept('former', 'customer');
select tests.do_as(
  'former', format('select public.release_assignment(p_assignment_id => %L)', tests.assignment_of('customer'))
);
select tests.accept('mechanic', 'customer');

select is(
  pg_temp.senders(tests.topic_of('customer'), 'presence'), 'customer mechanic',
  'RT-01: the two in a session show that they are there'
);
select is(pg_temp.senders(tests.topic_of('customer'), 'broadcast'), null, 'RT-01: and broadcast nothing');
select is(pg_temp.senders('user:' || tests.id('customer'), 'presence'), null, 'RT-01: no presence on a user''s topic');
select is(pg_temp.senders('user:' || tests.id('customer'), 'broadcast'), null, 'RT-01: and no broadcast');
select is(pg_temp.senders('session_assignments_feed', 'presence'), null, 'RT-01: no presence on the feed');
select is(pg_temp.senders('session_assignments_feed', 'broadcast'), null, 'RT-01: and no broadcast');
select is_empty(
  $$ select e.who, t.topic, x.extension
     from everybody as e
     cross join (values (tests.topic_of('customer')), ('session:'), ('session:abc'), ('user:'), ('')) as t (topic)
     cross join (values (''), ('Presence'), ('postgres_changes'), ('presence ')) as x (extension)
     where tests.may_send(e.who, t.topic, x.extension) $$,
  'RT-01: nor anything else, anywhere'
);
select is_empty(
  $$ select e.who, t.topic
     from everybody as e
     cross join (
       values
         ('session:'), ('session:abc'), (tests.topic_of('customer') || ':x'), (upper(tests.topic_of('customer'))),
         ('session:' || tests.id('not there')), ('session:' || tests.id('customer')), ('session:%'), ('presence'), ('')
     ) as t (topic)
     where tests.may_send(e.who, t.topic, 'presence') $$,
  'RT-01: presence on odd topics is refused, without an error'
);

-- The function of the platform swallows the refusal; nothing arrives.
select tests.forget_messages();
set local client_min_messages = error;
select tests.do_as('customer', format(
  $$ select realtime.send('{"status": "completed"}', 'session:ended', %L, true) $$, tests.topic_of('customer')
));
select is_empty('select * from realtime.messages', 'RT-01: an end cannot be forged by who is in the session');

select * from finish();

rollback;
