-- PRE-01: in which status who may join, what leave and heartbeat answer, and what is a sign of life. (Who is nobody in
-- it: joining_and_leaving.sql. Bookings: booked/.)
begin;

select plan(47);

select tests.stop_clock();
select tests.admin('admin');

create function pg_temp.do(p_who text, p_call text, p_case text) returns text
language sql
as $$ select tests.outcome(p_who, format('select public.%I(%L)', p_call, tests.session_of(p_case))) $$;

-- waiting, live, reconnecting: both
select tests.waiting('a', 'mechanic a');
select is(pg_temp.do('mechanic a', 'join_session', 'a'), 'ok', 'PRE-01: the mechanic, while waiting');
select is(pg_temp.do('a', 'join_session', 'a'), 'ok', 'PRE-01: the customer, while waiting');
select is((tests.row_of('a')).status::text, 'live', 'PRE-01: while live');
select is(pg_temp.do(who, 'join_session', 'a'), 'ok', format('PRE-01: %s, again', who))
from unnest(array['a', 'mechanic a']) as who;
select tests.leave('a', 'a');
select tests.leave('mechanic a', 'a');
select is((tests.row_of('a')).status::text, 'reconnecting', 'PRE-01: while reconnecting');
select is(pg_temp.do(who, 'join_session', 'a'), 'ok', format('PRE-01: %s, back', who))
from unnest(array['mechanic a', 'a']) as who;

-- after every kind of end
select tests.live('completed', 'mechanic completed');
select tests.advance(70);
select tests.finish_session('completed', 'completed');
select tests.waiting('cancelled', 'mechanic cancelled');
select tests.finish_session('cancelled', 'cancelled');
select tests.waiting('refunded', 'mechanic refunded');
select tests.finish_session('refunded', 'refunded');
update public.sessions set status = 'refunded' where id = tests.session_of('refunded');
select tests.waiting('archived', 'mechanic archived');
select tests.finish_session('archived', 'archived');
update public.sessions set status = 'archived' where id = tests.session_of('archived');
select tests.person('unattended');
select tests.queue('unattended');
select tests.join('unattended', 'unattended');
select public.mark_session_unattended(tests.session_of('unattended'));
select tests.waiting('expired', 'mechanic expired');
select tests.advance(7201);
select public.expire_orphaned_sessions();
select is((tests.row_of(status)).status::text, status, format('PRE-01: one that is %s', status))
from unnest(array['completed', 'cancelled', 'refunded', 'archived', 'unattended', 'expired']) as status;
select is(pg_temp.do(status, 'join_session', status), 'PT410 session_ended', format('PRE-01: no join when %s', status))
from unnest(array['completed', 'cancelled', 'refunded', 'archived', 'unattended', 'expired']) as status;
select is(
  pg_temp.do(status, 'start_session', status), 'PT410 session_ended', format('PRE-02: no start when %s', status)
)
from unnest(array['completed', 'cancelled', 'refunded', 'archived', 'unattended', 'expired']) as status;
create temporary table ended on commit drop as
select word as status, to_jsonb(s) as facts
from unnest(array['completed', 'cancelled', 'refunded', 'archived', 'unattended', 'expired']) as word
cross join lateral tests.row_of(word) as s;
select tests.advance(60);
create function pg_temp.answer(p_call text, p_case text) returns jsonb
language plpgsql
as $$
declare
  v_answer jsonb;
begin
  perform tests.act_as(p_case);
  execute format('select to_jsonb(s) from public.%I(%L) as s', p_call, tests.session_of(p_case)) into v_answer;
  perform tests.be_system();
  return v_answer;
end
$$;
select is(pg_temp.answer(call, e.status), e.facts, format('PRE-01: %s when %s: the row, unchanged', call, e.status))
from ended as e cross join unnest(array['leave_session', 'heartbeat_session']) as call;

-- a heartbeat does not bring in who never joined
select tests.waiting('b', 'mechanic b');
select is(pg_temp.do('b', 'heartbeat_session', 'b'), 'ok', 'PRE-01: a beat of who never joined');
select is(pg_temp.do('b', 'leave_session', 'b'), 'ok', 'PRE-01: nor is there anything to leave');
select is((tests.presence_of('b', 'b')).is_connected, false, 'PRE-01: is not a join');
select is(tests.events_of('b'), array['created', 'accepted'], 'PRE-01: and leaves no event');

-- any call about the session is a sign of life
select tests.live('c', 'mechanic c');
create function pg_temp.sign_of(p_call text) returns boolean
language plpgsql
as $$
begin
  perform tests.advance(20);
  perform tests.heartbeat('mechanic c', 'c');
  perform tests.do_as('c', format('select * from public.%I(%L)', p_call, tests.session_of('c')));
  return (tests.presence_of('c', 'c')).last_seen_at = tests.now();
end
$$;
select ok(pg_temp.sign_of(call), format('PRE-01: %s is a sign of life', call))
from unnest(array['heartbeat_session', 'join_session', 'start_session', 'session_snapshot', 'leave_session']) as call;

select * from finish();

rollback;
