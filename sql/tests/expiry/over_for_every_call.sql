-- TIME-03: at expires_at the session is over for every read and command, as of expires_at, whoever comes first and
-- however late; nothing depends on the tick. (The end call itself: ending/what_counts_as_completed.sql.)
begin;

select plan(50);

select tests.stop_clock();
select tests.nobody_falls_silent();

-- Live for its 30 minutes and so many seconds more; nobody has looked since.
create function pg_temp.overdue(p_case text, p_late numeric) returns void
language plpgsql
as $$
begin
  perform tests.live(p_case, 'mechanic ' || p_case);
  perform tests.advance(1800 + p_late);
end
$$;

create function pg_temp.call(p_who text, p_call text, p_case text) returns text
language sql
as $$
  select tests.outcome(p_who, format(
    'select * from public.' || p_call,
    case when p_call like '%assignment%' then tests.assignment_of(p_case) else tests.session_of(p_case) end
  ))
$$;

-- What answers writes the end first; what must raise session_ended keeps nothing, and the next read writes it.
create function pg_temp.found(p_case text, p_who text, p_call text, p_late numeric) returns text
language plpgsql
as $$
declare
  v_outcome text;
  v_stored text;
begin
  perform pg_temp.overdue(p_case, p_late);
  if tests.effective_status(p_case, p_case) <> 'completed' then
    return 'a plain read does not know it';
  end if;
  v_outcome := pg_temp.call(
    case p_who when 'customer' then p_case else 'mechanic ' || p_case end, p_call, p_case
  );
  v_stored := (tests.row_of(p_case)).status;
  perform tests.advance(3600);
  perform tests.snapshot(p_case, p_case);
  return concat_ws(' ', v_outcome || ',', v_stored || ':', tests.told(p_case));
end
$$;

select is(
  pg_temp.found(format('%s by %s, %s s late', call, who, late), who, call, late),
  'ok, completed: completed completed 1800 1800 1800', format('TIME-03: %s by the %s, %s s late', call, who, late)
)
from
  (
    values
    ('get_active_session() as a (id) where %L is not null', 'customer'),
    ('get_active_session() as a (id) where %L is not null', 'mechanic'),
    ('session_snapshot(%L)', 'customer'),
    ('session_snapshot(%L)', 'mechanic'),
    ('heartbeat_session(%L)', 'customer'),
    ('heartbeat_session(%L)', 'mechanic'),
    ('leave_session(%L)', 'customer'),
    ('leave_session(%L)', 'mechanic'),
    ('end_session_with_semantics(%L)', 'customer')
  ) as c (call, who),
  unnest(array[0, 60, 43200]) as late;
select is(
  pg_temp.found(format('%s by %s', call, who), who, call, 1),
  'PT410 session_ended, live: completed completed 1800 1800 1800', format('TIME-03: %s by the %s', call, who)
)
from
  (
    values
    ('join_session(%L)', 'customer'),
    ('join_session(%L)', 'mechanic'),
    ('start_session(%L)', 'customer'),
    ('release_assignment(%L)', 'mechanic')
  ) as c (call, who);

-- a moment before, none of it is true
select tests.live('a', 'mechanic a');
select tests.advance(1799.999);
select is(tests.effective_status('a', 'a'), 'live', 'TIME-03: a moment before: live');
select is(pg_temp.call('a', 'join_session(%L)', 'a'), 'ok', 'TIME-03: a moment before: joined');
select is(public.end_expired_sessions(), 0, 'TIME-03: a moment before: nothing to sweep');
select is((tests.row_of('a')).status::text, 'live', 'TIME-03: a moment before: nothing is over');

-- the banner shows what is left after the end is written
select pg_temp.overdue('b', 100);
select tests.act_as('b');
select is_empty('select * from public.get_active_session()', 'TIME-03, LIFE-06: nothing to return to');
select tests.be_system();
select is(tests.told('b'), 'completed completed 1800 1800 1800', 'TIME-03: which is written down');
select is(
  tests.snapshot('b', 'b') - 'server_now' - 'session' - 'people' - 'participants',
  jsonb_build_object(
    'extensions', '[]'::jsonb, 'remaining_seconds', null, 'next_warning_at', null, 'absent_role', null,
    'grace_ends_at', null, 'can_join', false, 'join_from', null, 'version', (tests.row_of('b')).version
  ),
  'TIME-03, PRE-05: the snapshot of it'
);

-- who wrote it down makes no difference in any field but the time of writing
create function pg_temp.stored(p_case text) returns jsonb
language sql
as $$
  select to_jsonb(s) - array[
    'id', 'customer_user_id', 'mechanic_id', 'created_at', 'accepted_at', 'started_at', 'ended_at', 'expires_at',
    'updated_at', 'last_event_at'
  ]
  from tests.row_of(p_case) as s
$$;
select pg_temp.overdue('c', 0);
select public.tick_sessions();
select pg_temp.overdue('d', 5000);
select tests.heartbeat('mechanic d', 'd');
select pg_temp.overdue('e', 8000);
select tests.finish_session('e', 'e');
select pg_temp.overdue('f', 8000);
select public.end_expired_sessions();
select is(pg_temp.stored(word), pg_temp.stored('c'), format('TIME-03: the same in every field: %s', word))
from unnest(array['d', 'e', 'f']) as word;
select is(
  (select count(*)::integer from public.session_events where session_id = tests.session_of(word) and type = 'ended'), 1,
  format('TIME-03: one end: %s', word)
)
from unnest(array['c', 'd', 'e', 'f']) as word;
select is((tests.row_of('e')).ended_by, null, 'TIME-03: who asks too late has not ended it');

-- an overdue session keeps nobody from anything
select public.set_setting('free_sessions_per_customer', '5');
select pg_temp.overdue('g', 10);
select is(
  tests.outcome('g', $$ select public.create_session('chat10') $$), 'ok', 'TIME-03, LIFE-03: a new session after it'
);
select is((tests.row_of('g')).status::text, 'pending', 'TIME-03: is in the queue');
select tests.accept('mechanic g', 'g');
select is((tests.row_of('g')).status::text, 'waiting', 'TIME-03, QUE-03: the mechanic is not busy with it');
select pg_temp.overdue('h', 10);
select tests.person('h2');
select tests.queue('h2');
select tests.accept('mechanic h', 'h2');
select is((tests.row_of('h2')).status::text, 'waiting', 'TIME-03, QUE-03: nor if nobody has written it down');

select * from finish();

rollback;
