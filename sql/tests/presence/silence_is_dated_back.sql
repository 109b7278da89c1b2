-- PRE-03: who gives no sign of life for presence_timeout_seconds is gone since the last one, whenever that is noticed
-- and by whom. Both joined at second 0; the video grace is 300 s.
begin;

select plan(34);

select tests.stop_clock();

create function pg_temp.at(p_case text, p_second numeric) returns void
language sql
as $$ select tests.clock_at((tests.row_of(p_case)).started_at + make_interval(secs => p_second)) $$;

-- Seconds since the start.
create function pg_temp.second(p_case text, p_at timestamptz) returns integer
language sql
as $$ select extract(epoch from p_at - (tests.row_of(p_case)).started_at)::integer $$;

create function pg_temp.told(p_case text) returns text
language sql
as $$
  select concat_ws(' ', s.status, pg_temp.second(p_case, s.interrupted_at), pg_temp.second(p_case, s.grace_ends_at))
  from tests.row_of(p_case) as s
$$;

-- What happened when, as the log has it; (written down at).
create function pg_temp.log(p_case text) returns text
language sql
as $$
  select string_agg(
    concat_ws(' ', e.type, e.payload ->> 'role', pg_temp.second(p_case, e.occurred_at)), ', ' order by e.id
  )
  from public.session_events as e
  where e.session_id = tests.session_of(p_case) and e.id > (
    select max(id) from public.session_events where session_id = tests.session_of(p_case) and type = 'started'
  )
$$;

-- The customer's last sign of life is at second 30; the mechanic beats on until second p_until.
create function pg_temp.falls_silent(p_case text, p_until integer) returns void
language plpgsql
as $$
begin
  perform tests.live(p_case, 'mechanic ' || p_case, 'video15');
  perform pg_temp.at(p_case, 30);
  perform tests.heartbeat(p_case, p_case);
  for v_second in 30 .. p_until by 30 loop
    perform pg_temp.at(p_case, v_second);
    perform tests.heartbeat('mechanic ' || p_case, p_case);
  end loop;
  perform pg_temp.at(p_case, p_until);
end
$$;

-- the tick, to the second
select pg_temp.falls_silent('a', 119);
select is((public.tick_sessions() ->> 'disconnected')::integer, 0, 'PRE-03: silent for 89 s');
select is(pg_temp.told('a'), 'live', 'PRE-03: is live');
select is(tests.effective_status('mechanic a', 'a'), 'live', 'PRE-03: to a plain read too');
select pg_temp.at('a', 120);
select is(tests.effective_status('mechanic a', 'a'), 'reconnecting', 'PRE-03: silent for 90 s, a plain read knows');
select is((public.tick_sessions() ->> 'disconnected')::integer, 1, 'PRE-03: the tick writes it');
select is(pg_temp.told('a'), 'reconnecting 30 330', 'PRE-03: apart since the last sign of life, and the grace with it');
select is(pg_temp.log('a'), 'disconnected customer 30, reconnecting 30', 'PRE-03: as the log says');
select is(
  (
    select min(extract(epoch from created_at - occurred_at))::integer from public.session_events
    where session_id = tests.session_of('a') and type in ('disconnected', 'reconnecting')
  ),
  90, 'PRE-03: and when it was written down'
);
select results_eq(
  $$ select is_connected, pg_temp.second('a', left_at), pg_temp.second('a', last_seen_at), presence_check_at
     from tests.presence_of('a', 'a') $$,
  $$ values (false, 30, 30, null::timestamptz) $$, 'PRE-03: his row says it'
);
select is((tests.presence_of('mechanic a', 'a')).is_connected, true, 'PRE-03: the other is there');
select is(
  (select concat_ws(' ', s ->> 'absent_role', pg_temp.second('a', (s ->> 'grace_ends_at')::timestamptz))
   from tests.snapshot('mechanic a', 'a') as s),
  'customer 330', 'PRE-03: who is absent, and until when'
);

-- whatever notices it, the result is the same
create function pg_temp.noticed_by(p_case text, p_call text) returns text
language plpgsql
as $$
begin
  perform pg_temp.falls_silent(p_case, 200);
  if p_call = 'tick' then
    perform public.tick_sessions();
  else
    perform tests.do_as(
      'mechanic ' || p_case, format('select * from public.%s', replace(p_call, '?', quote_literal(tests.session_of(p_case))))
    );
  end if;
  return pg_temp.told(p_case) || ': ' || pg_temp.log(p_case);
end
$$;

select is(
  pg_temp.noticed_by('b ' || call, call), 'reconnecting 30 330: disconnected customer 30, reconnecting 30',
  format('PRE-03: noticed 170 s late by %s', call)
)
from unnest(array['tick', 'join_session(?)', 'get_active_session()', 'session_snapshot(?)']) as call;

-- he comes back by himself: first he was away, then he is back
create function pg_temp.back_by(p_case text, p_call text) returns text
language plpgsql
as $$
begin
  perform pg_temp.falls_silent(p_case, 200);
  perform tests.do_as(p_case, format('select public.%I(%L)', p_call, tests.session_of(p_case)));
  return pg_temp.told(p_case) || ': ' || pg_temp.log(p_case);
end
$$;

select is(
  pg_temp.back_by('c ' || call, call),
  'live: disconnected customer 30, reconnecting 30, joined customer 200, resumed 200',
  format('PRE-03: back after 170 s of silence by %s', call)
)
from unnest(array['join_session', 'heartbeat_session']) as call;
select is(
  pg_temp.back_by('d', 'leave_session'), 'reconnecting 30 330: disconnected customer 30, reconnecting 30',
  'PRE-03: who was gone since then leaves nothing more'
);

-- silent for a moment less, he was there all the time
select tests.live('e', 'mechanic e', 'video15');
select pg_temp.at('e', 89.999);
select tests.heartbeat('e', 'e');
select tests.heartbeat('mechanic e', 'e');
select is(pg_temp.told('e'), 'live', 'PRE-03: a beat just in time');
select is(pg_temp.log('e'), null, 'PRE-03: leaves no trace');

-- both fall silent, one after the other
select tests.live('f', 'mechanic f', 'video15');
select pg_temp.at('f', 30);
select tests.heartbeat('f', 'f');
select pg_temp.at('f', 45);
select tests.heartbeat('mechanic f', 'f');
select pg_temp.at('f', 200);
select public.tick_sessions();
select is(pg_temp.told('f'), 'reconnecting 30 330', 'PRE-03: both are gone: apart since the first');
select is(
  pg_temp.log('f'), 'disconnected customer 30, reconnecting 30, disconnected mechanic 45', 'PRE-03: each dated back'
);
select is(tests.snapshot('system', 'f') ->> 'absent_role', 'both', 'PRE-03: both are absent');

-- silence from the first moment on
select tests.live('g', 'mechanic g', 'video15');
select pg_temp.at('g', 100);
select public.tick_sessions();
select is(pg_temp.told('g'), 'reconnecting 0 300', 'PRE-03: nobody was heard of after the start');
select tests.finish_session('system', 'g');
select is(tests.told('g'), 'cancelled too_short 0 0 0', 'PRE-03, END-02: and nothing is billed');

-- before the start a silent person is gone too, which interrupts nothing
select tests.waiting('h', 'mechanic h');
select tests.join('h', 'h');
select tests.advance(100);
select public.tick_sessions();
select is((tests.row_of('h')).status::text, 'waiting', 'PRE-03: silent before the start: it waits on');
select is((tests.presence_of('h', 'h')).is_connected, false, 'PRE-03: but he is not there');
select is(
  (tests.presence_of('h', 'h')).left_at, tests.now() - interval '100 s', 'PRE-03: since the last sign of life'
);
select tests.join('mechanic h', 'h');
select is((tests.row_of('h')).status::text, 'waiting', 'PRE-03, PRE-02: and the other''s join starts nothing');

-- the setting decides
select public.set_setting('presence_timeout_seconds', '10');
select tests.live('i', 'mechanic i', 'video15');
select pg_temp.at('i', 9.999);
select tests.heartbeat('mechanic i', 'i');
select public.tick_sessions();
select is(pg_temp.told('i'), 'live', 'PRE-03: by the setting, a moment before');
select pg_temp.at('i', 10);
select public.tick_sessions();
select is(pg_temp.told('i'), 'reconnecting 0 300', 'PRE-03: by the setting');

-- never dated before the start: the customer was heard of last when he joined, long before the mechanic
select public.set_setting('presence_timeout_seconds', '90');
select tests.waiting('j', 'mechanic j', 'video15');
select tests.join('j', 'j');
select tests.advance(80);
select tests.join('mechanic j', 'j');
select is((tests.row_of('j')).status::text, 'live', 'PRE-02: not silent for long enough to be gone');
select tests.advance(30);
select tests.heartbeat('mechanic j', 'j');
select public.tick_sessions();
select is(pg_temp.told('j'), 'reconnecting 0 300', 'PRE-03: apart since the start, and not before it');
select is(
  (tests.presence_of('j', 'j')).left_at, tests.now() - interval '110 s', 'PRE-03: though he was last seen earlier'
);

select * from finish();

rollback;
