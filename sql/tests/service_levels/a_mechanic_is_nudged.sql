-- SLA-01, SLA-02: a mechanic who accepted and does not come is nudged after nudge_mechanic_after_seconds, once: by a
-- notification, an e-mail and a push, with an event and a row of the operations log.
begin;

select plan(45);

select tests.stop_clock();
select tests.nobody_falls_silent();
select public.set_setting('site_url', '"https://meter.test"');

create function pg_temp.nudged() returns integer
language sql
as $$ select (public.monitor_sessions() ->> 'nudged_mechanics')::integer $$;

-- How often each was said of a session: event, log, notification, e-mail, push, message on its topic.
create function pg_temp.said(p_customer text) returns text
language sql stable
as $$
  select concat_ws(
    ' ',
    (select count(*) from public.session_events where session_id = s.id and type = 'nudged'),
    (select count(*) from private.ops_log where session_id = s.id and kind = 'nudge.mechanic'),
    (select count(*) from public.notifications where session_id = s.id and kind = 'nudge_join'),
    (select count(*) from private.outbox where session_id = s.id and topic = 'email'),
    (select count(*) from private.outbox where session_id = s.id and topic = 'push')
  )
  from tests.row_of(p_customer) as s
$$;

-- To the second.
select is(
  public.monitor_sessions(), '{"nudged_mechanics": 0, "alerted_support": 0, "auto_closed": 0, "unattended": 0}'::jsonb,
  'SLA-01: what the monitor says when there is nothing'
);
select tests.waiting('customer', 'mechanic');
select tests.advance(179);
select is(pg_temp.nudged(), 0, 'SLA-02: not a second before');
select is(pg_temp.said('customer'), '0 0 0 0 0', 'SLA-02: nothing was said');
select tests.advance(1);
select is(
  public.monitor_sessions(), '{"nudged_mechanics": 1, "alerted_support": 0, "auto_closed": 0, "unattended": 0}'::jsonb,
  'SLA-01, SLA-02: after nudge_mechanic_after_seconds'
);
select is(pg_temp.said('customer'), '1 1 1 1 1', 'SLA-02: each was said once');
select tests.advance(600);
select is(pg_temp.nudged(), 0, 'SLA-01: and not again');
select is(pg_temp.said('customer'), '1 1 1 1 1', 'SLA-01: nor by anything else');

-- In which words.
select results_eq(
  $$ select n.user_id, n.title, n.body, n.created_at from public.notifications as n where n.kind = 'nudge_join' $$,
  $$ values (
       tests.id('mechanic'), 'Your customer is waiting', 'You accepted a session that has not started. Please join it.',
       tests.now() - interval '600 s'
     ) $$,
  'SLA-02, NOTE-01: the notification'
);
select results_eq(
  $$ select count(*), bool_and(m.topic = 'user:' || tests.id('mechanic')) from realtime.messages as m
     where m.event = 'notification:new' and m.payload ->> 'kind' = 'nudge_join' $$,
  $$ values (1::bigint, true) $$, 'SLA-02, NOTE-01: its broadcast'
);
select is(
  (select o.payload from private.outbox as o where o.topic = 'email'),
  jsonb_build_object(
    'to', 'mechanic@example.test', 'from', 'support@example.com', 'subject', 'Your customer is waiting', 'html', format(
      '<p>You accepted a session that has not started. Please join it.</p>'
      '<p><a href="https://meter.test/sessions/%s">Join now</a></p>', tests.session_of('customer')
    )
  ), 'SLA-02: the e-mail'
);
select is(
  (select o.payload from private.outbox as o where o.topic = 'push'),
  jsonb_build_object(
    'user_id', tests.id('mechanic'), 'kind', 'nudge_join', 'session_id', tests.session_of('customer')
  ), 'SLA-02: the push'
);
select results_eq(
  $$ select e.actor_role, e.payload, e.version, s.status::text from public.session_events as e
     join public.sessions as s on s.id = e.session_id and s.version = e.version where e.type = 'nudged' $$,
  $$ values ('system', jsonb_build_object('mechanic_id', tests.id('mechanic')), 3::bigint, 'waiting') $$,
  'SLA-02: the event'
);
select results_eq(
  $$ select l.session_id, l.detail from private.ops_log as l where l.kind = 'nudge.mechanic' $$,
  $$ values (tests.session_of('customer'), jsonb_build_object('mechanic_id', tests.id('mechanic'))) $$,
  'SLA-02: the row of the operations log'
);
select is(
  (select count(*)::integer from public.notifications where user_id = tests.id('customer') and kind = 'nudge_join'), 0,
  'SLA-02: nothing to the customer'
);

-- Given back, and accepted by somebody else: who is nudged as well, for his own time.
select tests.mechanic('second');
select tests.do_as(
  'mechanic', format('select public.release_assignment(p_assignment_id => %L)', tests.assignment_of('customer'))
);
select is(pg_temp.nudged(), 0, 'SLA-02: nobody has it, nobody is nudged');
select tests.accept('second', 'customer');
select tests.advance(179);
select is(pg_temp.nudged(), 0, 'SLA-02: a second mechanic has his time');
select tests.advance(1);
select is(pg_temp.nudged(), 1, 'SLA-02: and is nudged then');
select is(pg_temp.said('customer'), '2 2 2 2 2', 'SLA-02: each once for each mechanic');
select results_eq(
  $$ select n.user_id from public.notifications as n where n.kind = 'nudge_join' order by n.created_at $$,
  $$ values (tests.id('mechanic')), (tests.id('second')) $$, 'SLA-02: each his own'
);
select tests.join('second', 'customer');
select tests.join('customer', 'customer');
select tests.advance(1000);
select is(pg_temp.nudged(), 0, 'SLA-02: not in a live session');

-- Not who is there; but who was.
select tests.waiting('b', 'mechanic b');
select tests.join('mechanic b', 'b');
select tests.advance(500);
select is(pg_temp.nudged(), 0, 'SLA-02: not who is there');
select tests.leave('mechanic b', 'b');
select is(pg_temp.nudged(), 1, 'SLA-02: who has left, and is due');
select tests.join('mechanic b', 'b');
select tests.leave('mechanic b', 'b');
select is(pg_temp.nudged(), 0, 'SLA-01: once, however often he comes and goes');

-- That the customer is there is no matter.
select tests.waiting('c', 'mechanic c');
select tests.join('c', 'c');
select tests.advance(180);
select is(pg_temp.nudged(), 1, 'SLA-02: the customer waits in it');

-- Somebody who is taken for there, and fell silent: no tick is needed to see that.
select public.set_setting('presence_timeout_seconds', '90');
select tests.waiting('d', 'mechanic d');
select tests.join('mechanic d', 'd');
select tests.advance(89);
select public.set_setting('nudge_mechanic_after_seconds', '60');
select is(pg_temp.nudged(), 0, 'SLA-02, PRE-03: not yet silent');
select tests.advance(1);
select is(pg_temp.nudged(), 1, 'SLA-02, PRE-03: silent for presence_timeout_seconds is gone');
select is(
  (tests.events_of('d'))[3:], array['joined', 'disconnected', 'nudged'], 'SLA-02, PRE-03: which is written down first'
);
select public.set_setting('nudge_mechanic_after_seconds', '180');

-- Booked: since its time, whether or not a tick wrote down that it has come.
create function pg_temp.booked(p_customer text) returns void
language plpgsql
as $$
begin
  perform tests.person(p_customer);
  perform tests.mechanic('mechanic ' || p_customer);
  perform tests.book(p_customer, '2 h');
  perform tests.accept('mechanic ' || p_customer, p_customer);
end
$$;
select pg_temp.booked('e');
select tests.advance(7200 + 179);
select is(pg_temp.nudged(), 0, 'SLA-02, LIFE-05: not a second before');
select tests.advance(1);
select is(pg_temp.nudged(), 1, 'SLA-02, LIFE-05: after its time, and nudge_mechanic_after_seconds');
select is(
  (tests.events_of('e'))[3:], array['due', 'nudged'], 'SLA-02, LIFE-05: that its time had come is written down first'
);
select is((tests.row_of('e')).status::text, 'waiting', 'SLA-02, LIFE-05: it is waiting');
select pg_temp.booked('f');
select tests.advance(7200);
select public.tick_sessions();
select tests.advance(179);
select is(pg_temp.nudged(), 0, 'SLA-02: nor where a tick wrote it down');
select tests.advance(1);
select is(pg_temp.nudged(), 1, 'SLA-02: the same second');
select tests.person('g');
select tests.mechanic('mechanic g');
select tests.book('g', '10 min');
select tests.advance(1000);
select tests.accept('mechanic g', 'g');
select tests.advance(179);
select is(pg_temp.nudged(), 0, 'SLA-02, LIFE-05: accepted after its time: since then');
select tests.advance(1);
select is(pg_temp.nudged(), 1, 'SLA-02, LIFE-05: the latest of both counts');

-- The setting decides, also of those who wait already.
select tests.waiting('h', 'mechanic h');
select tests.advance(180);
select public.set_setting('nudge_mechanic_after_seconds', '300');
select is(pg_temp.nudged(), 0, 'SLA-02: the setting was raised meanwhile');
select tests.advance(119);
select is(pg_temp.nudged(), 0, 'SLA-02: up to its second');
select public.set_setting('nudge_mechanic_after_seconds', '299');
select is(pg_temp.nudged(), 1, 'SLA-02: and lowered again');
select public.set_setting('nudge_mechanic_after_seconds', '0');
select tests.waiting('i', 'mechanic i');
select is(pg_temp.nudged(), 1, 'SLA-02: at once');
select is(pg_temp.nudged(), 0, 'SLA-01: once');
select public.set_setting('nudge_mechanic_after_seconds', '180');

-- Nobody who can be told: it is not said again and again.
select tests.waiting('j', 'mechanic j');
update public.profiles set display_name = null, email = null where id = tests.id('mechanic j');
select tests.advance(180);
select is(pg_temp.nudged(), 1, 'SLA-02: a mechanic without an address');
select is(pg_temp.said('j'), '1 1 1 0 1', 'SLA-02: is told all the same');
select tests.waiting('k', 'mechanic k');
alter table public.profiles disable trigger deleted_people_leave_no_active_session;
update public.profiles set display_name = null, email = null, deleted_at = tests.now()
where id = tests.id('mechanic k');
alter table public.profiles enable trigger deleted_people_leave_no_active_session;
insert into public.sessions (
  customer_user_id, plan, type, funding, price_cents, currency, duration_minutes, scheduled_for
)
select tests.person('l'), 'chat10', 'chat', 'free', 0, 'usd', 30, tests.now();
update public.sessions set status = 'waiting' where customer_user_id = tests.id('l');
select tests.advance(180);
select is(pg_temp.nudged(), 0, 'SLA-02: whose mechanic is gone, or that has none, is not nudged');
select is(pg_temp.said('k') || ', ' || pg_temp.said('l'), '0 0 0 0 0, 0 0 0 0 0', 'SLA-01: nor logged at every turn');

-- Who calls it.
select is(
  array_agg(left(tests.outcome(who, 'select public.monitor_sessions()'), 6) order by who),
  array['42501 ', '42501 ', 'ok'], 'SLA-01: the system does, and nobody else'
)
from unnest(array['customer', 'anon', 'service_role']) as who;

select * from finish();

rollback;
