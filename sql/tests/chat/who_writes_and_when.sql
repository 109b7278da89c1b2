-- CHAT-01: the two people of a session write to each other from the acceptance to the end.
begin;

select plan(41);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.person('stranger');
select tests.mechanic('other');
select tests.admin('admin');

create function pg_temp.say(p_who text, p_customer text) returns text
language sql
as $$
  select tests.outcome(
    p_who, format('select public.send_session_message(%L, %L)', tests.session_of(p_customer), 'hello')
  )
$$;

create function pg_temp.said(p_state text) returns text
language plpgsql
as $$
begin
  perform tests.session_in(p_state, 'customer ' || p_state, 'mechanic ' || p_state);
  return format(
    '%s, %s', pg_temp.say('customer ' || p_state, 'customer ' || p_state),
    pg_temp.say('mechanic ' || p_state, 'customer ' || p_state)
  );
end
$$;

select is(pg_temp.said(state), format('%s, %s', customer, mechanic), 'CHAT-01: ' || state)
from (values
  ('pending', 'PT409 session_not_active', 'PT404 session_not_found'),
  ('scheduled', 'PT409 session_not_active', 'PT404 session_not_found'),
  ('given back', 'PT409 session_not_active', 'PT404 session_not_found'),
  ('accepted', 'ok', 'ok'),
  ('waiting', 'ok', 'ok'),
  ('live', 'ok', 'ok'),
  ('reconnecting', 'ok', 'ok'),
  ('completed', 'PT410 session_ended', 'PT410 session_ended'),
  ('summed up', 'PT410 session_ended', 'PT410 session_ended'),
  ('cancelled', 'PT410 session_ended', 'PT410 session_ended'),
  ('expired', 'PT410 session_ended', 'PT410 session_ended'),
  ('unattended', 'PT410 session_ended', 'PT404 session_not_found'),
  ('refunded', 'PT410 session_ended', 'PT410 session_ended'),
  ('archived', 'PT410 session_ended', 'PT410 session_ended'),
  ('lapsed', 'PT410 session_ended', 'PT410 session_ended'),
  ('over', 'PT410 session_ended', 'PT410 session_ended')
) as cases (state, customer, mechanic);
select is(
  (tests.row_of('customer over')).status::text, 'live',
  'CHAT-01, TIME-03: nothing has written that end down, and it counts'
);
select is(
  (select count(*) from public.session_messages), 8::bigint, 'CHAT-01: what is refused leaves nothing'
);

-- A booking whose time has come, which nobody has written down: the message does.
select tests.session_in('accepted', 'booked', 'his mechanic');
select tests.advance(7201);
select is(pg_temp.say('booked', 'booked'), 'ok', 'CHAT-01, LIFE-05: a booking whose time has come');
select is((tests.row_of('booked')).status::text, 'waiting', 'CHAT-01, LIFE-05: which is waiting from then on');

-- everybody else
select tests.session_in('live', 'customer', 'mechanic');
select is(pg_temp.say(who, 'customer'), expected, format('CHAT-01: not the %s', who))
from (values
  ('stranger', 'PT404 session_not_found'), ('other', 'PT404 session_not_found'), ('admin', 'PT404 session_not_found'),
  ('customer live', 'PT404 session_not_found'), ('authenticated', 'PT401 not_authenticated')
) as cases (who, expected);
select alike(pg_temp.say(who, 'customer'), '42501 %', format('CHAT-01: nor %s', who))
from unnest(array['anon', 'service_role']) as who;
select is(
  tests.outcome('customer', format('select public.send_session_message(%L, %L)', session, 'hello')),
  'PT404 session_not_found', format('CHAT-01: in %s session', why)
)
from (values (null::uuid, 'no'), (tests.id('nothing'), 'an unknown'), (tests.session_of('customer live'), 'another''s'))
  as cases (session, why);
select public.set_mechanic_status(p_mechanic_id => tests.id('mechanic'), p_status => 'suspended');
select is(
  pg_temp.say('mechanic', 'customer'), 'ok', 'CHAT-01, MOD-09: a mechanic who is suspended meanwhile goes on writing'
);
select tests.accept('other', 'customer given back');
select is(
  pg_temp.say('mechanic given back', 'customer given back'), 'PT404 session_not_found',
  'CHAT-01, QUE-05: who gave it back writes no more'
);
select is(pg_temp.say('other', 'customer given back'), 'ok', 'CHAT-01: but who has it now');

-- a sign of life
select tests.advance(60);
select is(pg_temp.say('customer', 'customer'), 'ok', 'CHAT-01: a minute later');
select is(
  (tests.presence_of('customer', 'customer')).last_seen_at, tests.now(), 'CHAT-01, PRE-04: it is a sign of life'
);
select isnt((tests.presence_of('mechanic', 'customer')).last_seen_at, tests.now(), 'CHAT-01: of the writer only');
select public.set_setting('presence_timeout_seconds', '90');
select tests.advance(80);
select tests.heartbeat('mechanic', 'customer');
select tests.do_as('customer', format('select public.send_session_message(%L, %L)', tests.session_of('customer'), 'x'));
select tests.advance(80);
select tests.heartbeat('mechanic', 'customer');
select is(
  tests.effective_status('customer', 'customer'), 'live', 'CHAT-01, PRE-04: who only writes does not fall silent'
);
select tests.advance(91);
select tests.heartbeat('mechanic', 'customer');
select is((tests.row_of('customer')).status::text, 'reconnecting', 'CHAT-01: who does not write either, does');
select is(pg_temp.say('customer', 'customer'), 'ok', 'CHAT-01: he can still write');
select is(
  (tests.row_of('customer')).status::text, 'reconnecting',
  'CHAT-01, PRE-03: but a message brings nobody back: joining does'
);
select isnt(
  (tests.presence_of('customer', 'customer')).last_seen_at, tests.now(),
  'CHAT-01: nor is it a sign of life of who is gone'
);

select * from finish();

rollback;
