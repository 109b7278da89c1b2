-- TIME-06: the safety net for rows imported or edited without a usable expires_at: what is past the later of started_at
-- + max_session_minutes and expires_at is ended with semantics and marked.
begin;

select plan(27);
select tests.rows_are_changed_by_hand();

select tests.stop_clock();
select tests.nobody_falls_silent();

-- As an import would leave it: live, no expiry.
create function pg_temp.imported(p_case text) returns void
language plpgsql
as $$
begin
  perform tests.live(p_case, 'mechanic ' || p_case);
  update public.sessions set metadata = metadata || '{"imported": true}', expires_at = null
  where id = tests.session_of(p_case);
end
$$;

create function pg_temp.marked(p_case text) returns text
language sql
as $$
  select concat_ws(' ', s.metadata ->> 'auto_ended', s.metadata ->> 'auto_end_reason') from tests.row_of(p_case) as s
$$;

-- no expiry: three hours
select pg_temp.imported('a');
select is((tests.row_of('a')).expires_at, null, 'TIME-06: imported without an expiry');
select is((tests.row_of('a')).next_warning_at, null, 'TIME-06, TIME-02: nothing to warn of');
select tests.advance(10799.999);
select is((public.tick_sessions() ->> 'ended')::integer, 0, 'TIME-06: a moment before three hours');
select is(tests.effective_status('a', 'a'), 'live', 'TIME-06: it is live');
select tests.advance(0.001);
select is(tests.effective_status('a', 'a'), 'completed', 'TIME-06: then over, to a plain read');
select is((public.tick_sessions() ->> 'ended')::integer, 1, 'TIME-06: the tick ends it');
select is(tests.told('a'), 'completed completed 10800 10800 10800', 'TIME-06: with semantics');
select is(pg_temp.marked('a'), 'true exceeded_3h_limit', 'TIME-06: and marks it');
select is((tests.row_of('a')).metadata ->> 'imported', 'true', 'TIME-06: keeping what was there');

-- however late, by whomever
create function pg_temp.ended_by(p_case text, p_who text) returns text
language plpgsql
as $$
begin
  perform pg_temp.imported(p_case);
  perform tests.advance(86400);
  case p_who
    when 'tick' then perform public.tick_sessions();
    when 'sweep' then perform public.end_expired_sessions();
    when 'monitor' then perform public.monitor_sessions();
    when 'snapshot' then perform tests.snapshot(p_case, p_case);
    when 'heartbeat' then perform tests.heartbeat(p_case, p_case);
    when 'end' then perform tests.finish_session(p_case, p_case);
  end case;
  return concat_ws(' ', tests.told(p_case), pg_temp.marked(p_case), (tests.row_of(p_case)).ended_by);
end
$$;
select is(
  pg_temp.ended_by('b ' || who, who), 'completed completed 10800 10800 10800 true exceeded_3h_limit',
  format('TIME-06: a day later, by the %s', who)
)
from unnest(array['tick', 'sweep', 'monitor', 'snapshot', 'heartbeat', 'end']) as who;
select pg_temp.imported('c');
select tests.advance(10800);
select is((public.monitor_sessions() ->> 'auto_closed')::integer, 1, 'TIME-06: the monitor counts what it closes');

-- an expiry far beyond three hours is the later of the two
select tests.live('d', 'mechanic d');
update public.sessions set expires_at = started_at + interval '5 hours' where id = tests.session_of('d');
select tests.advance(10800);
select is((public.tick_sessions() ->> 'ended')::integer, 0, 'TIME-06: not before its expiry, after three hours');
select tests.advance(7200);
select public.tick_sessions();
select is(tests.told('d'), 'completed completed 18000 18000 18000', 'TIME-06: at the later of the two');
select is(pg_temp.marked('d'), 'true exceeded_3h_limit', 'TIME-06: and marked');

-- the usual session is not marked
select tests.live('e', 'mechanic e');
select tests.advance(1805);
select public.tick_sessions();
select is(pg_temp.marked('e'), '', 'TIME-06: one that expired in time is not marked');
select tests.live('f', 'mechanic f');
select tests.advance(100);
select tests.finish_session('f', 'f');
select is(pg_temp.marked('f'), '', 'TIME-06: nor one that was ended');
select pg_temp.imported('g');
select tests.advance(100);
select tests.finish_session('g', 'g');
select is(tests.told('g') || pg_temp.marked('g'), 'completed completed 100 100 100', 'TIME-06: nor an imported one');

-- interrupted: an imported one ends with its grace, as any does
select pg_temp.imported('h');
select tests.advance(200);
select tests.leave('h', 'h');
select tests.advance(900);
select public.tick_sessions();
select is(tests.told('h'), 'completed completed 200 200 200', 'TIME-06, PRE-03: an interruption comes first');
select is(pg_temp.marked('h'), '', 'TIME-06: and is not marked');

-- the setting decides, and a session never ends before what was bought
select public.set_setting('max_session_minutes', '20');
select pg_temp.imported('i');
select tests.live('j', 'mechanic j');
select tests.advance(1200);
select is((public.tick_sessions() ->> 'ended')::integer, 1, 'TIME-06: by the setting');
select is(tests.told('i'), 'completed completed 1200 1200 1200', 'TIME-06: where there is no expiry');
select is((tests.row_of('j')).status::text, 'live', 'TIME-06: what was bought is not cut short');

select * from finish();

rollback;
