-- RT-01: who the Realtime server lets in. It writes probe rows that have a topic and an extension and nothing else, and
-- looks for them in the person's name.
begin;

select plan(20);

create temporary table everybody (who) on commit drop as
values
  ('customer'), ('mechanic'), ('former'), ('stranger'), ('approved'), ('away'), ('pending'), ('suspended'), ('admin'),
  ('nobody'), ('anon'), ('authenticated');

-- Those who may, in order.
create function pg_temp.receivers(p_topic text, p_extension text default 'broadcast')
returns text
language sql
as $$
  select string_agg(e.who, ' ' order by e.who) from everybody as e where tests.may_receive(e.who, p_topic, p_extension)
$$;

select tests.stop_clock();
select tests.person('customer');
select tests.person('stranger');
select tests.mechanic('mechanic');
select tests.mechanic('former');
select tests.mechanic('approved');
select tests.mechanic('away');
select tests.mechanic('pending', false);
select tests.mechanic('suspended');
select tests.admin('admin');
select tests.do_as('away', 'select public.set_availability(false)');
select public.set_mechanic_status(p_mechanic_id => tests.id('suspended'), p_status => 'suspended');
select tests.queue('customer');
select is(pg_temp.receivers(tests.topic_of('customer')), 'customer', 'RT-01: a queued session: its customer');
select tests.accept('former', 'customer');
select is(pg_temp.receivers(tests.topic_of('customer')), 'customer former', 'RT-01: and who accepted it');
select tests.do_as(
  'former', format('select public.release_assignment(p_assignment_id => %L)', tests.assignment_of('customer'))
);
select is(
  pg_temp.receivers(tests.topic_of('customer')), 'customer', 'RT-01, QUE-05: until he gives it back'
);
select tests.accept('mechanic', 'customer');
select is(pg_temp.receivers(tests.topic_of('customer')), 'customer mechanic', 'RT-01: a session: the two in it');
select is(
  pg_temp.receivers(tests.topic_of('customer'), 'presence'), 'customer mechanic', 'RT-01: the same for presence'
);
select public.set_mechanic_status(p_mechanic_id => tests.id('mechanic'), p_status => 'suspended');
select is(
  pg_temp.receivers(tests.topic_of('customer')), 'customer mechanic',
  'RT-01, MOD-09: a mechanic who is suspended meanwhile goes on with the session he has'
);
select tests.finish_session('customer', 'customer');
select is(
  pg_temp.receivers(tests.topic_of('customer')), 'customer mechanic', 'RT-01: after the end, for what comes then'
);
select public.set_mechanic_status(p_mechanic_id => tests.id('mechanic'), p_status => 'approved');

select is(pg_temp.receivers('user:' || tests.id('stranger')), 'stranger', 'RT-01: a user''s topic: that user');
select is(pg_temp.receivers('user:' || tests.id('former')), 'former', 'RT-01: and no other');
select is(pg_temp.receivers('user:' || tests.id('not there')), null, 'RT-01: of nobody: nobody');
select is(
  pg_temp.receivers('session_assignments_feed'), 'approved away former mechanic', 'RT-01: the feed: approved mechanics'
);
select is(pg_temp.receivers('session:' || tests.id('not there')), null, 'RT-01: no such session: nobody');
select is(
  pg_temp.receivers('session:' || tests.id('stranger')), null, 'RT-01: a user''s id is not a session''s'
);
select is(
  pg_temp.receivers('user:' || tests.session_of('customer')), null, 'RT-01: nor a session''s a user''s'
);
select is(
  pg_temp.receivers(tests.topic_of('customer'), 'postgres_changes'), null, 'RT-01: broadcast and presence, no more'
);

-- Topics that nobody sends on: no way in, and no error either, which would look like an outage.
create temporary table odd_topics (topic) on commit drop as
select v.topic
from (values (tests.topic_of('customer'), tests.id('customer')::text)) as t (good, me)
cross join lateral (
  values
    (''), (' '), ('session'), ('session:'), ('session:abc'), ('session: '), (t.good || ':x'), (t.good || ' '),
    (' ' || t.good), (t.good || E'\n'), (upper(t.good)), ('SESSION:' || substr(t.good, 9)),
    ('session:' || upper(substr(t.good, 9))), ('session:{' || substr(t.good, 9) || '}'),
    ('session:' || replace(substr(t.good, 9), '-', '')), ('session:' || t.me), (substr(t.good, 9)),
    ('session:%'), ('session:*'), ('session:null'), ('realtime:' || t.good), ('sessions:' || substr(t.good, 9)),
    ('session:' || t.good), ('session:' || repeat('9', 5000)), ('session:00000000-0000-0000-0000-000000000000'),
    ('user'), ('user:'), ('user:me'), ('user:%'), ('user:' || upper(t.me)), ('user:' || t.me || ':x'),
    ('user:{' || t.me || '}'), ('user:' || replace(t.me, '-', '')), (t.me), ('users:' || t.me),
    ('session_assignments_feed '), ('session_assignments_feed:1'), ('SESSION_ASSIGNMENTS_FEED'),
    ('session_assignments_feeds'), ('session_assignments_fee_'), ('session_requests_feed'), ('*'), ('#')
) as v (topic);
select ok((select count(*) > 40 from odd_topics), 'RT-01: a good many odd topics');
select is_empty(
  $$ select o.topic, e.who
     from odd_topics as o
     cross join everybody as e
     cross join (values ('broadcast'), ('presence')) as x (extension)
     where tests.may_receive(e.who, o.topic, x.extension) $$,
  'RT-01: odd topics let nobody in, and are no error'
);
select is_empty(
  $$ select e.who from everybody as e where tests.may_receive(e.who, tests.topic_of('customer'), 'Broadcast') $$,
  'RT-01: extensions are known by their exact names'
);

-- The two in a session cannot look at another session's messages, nor change those of their own.
select tests.person('second');
select tests.queue('second');
select tests.forget_messages();
select tests.finish_session('second', 'second');
create temporary table seen on commit drop as select 0 as rows;
grant all on table seen to authenticated;
select tests.do_as('stranger', 'insert into seen select count(*) from realtime.messages');
select is((select max(rows) from seen), 0, 'RT-01: a stranger who reads the table sees no message at all');
select tests.do_as('second', $$
  with changed as (update realtime.messages set payload = '{}' where topic is not null returning 1)
  insert into seen select count(*) from changed
$$);
select is((select max(rows) from seen), 0, 'RT-01: a message cannot be rewritten by who received it');

select * from finish();

rollback;
