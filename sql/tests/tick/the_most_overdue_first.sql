-- TIME-04: at most p_limit sessions a call, the most overdue first, whatever is due in them; `more` says whether to
-- call again.
begin;

select plan(14);

select tests.stop_clock();
select tests.nobody_falls_silent();
select public.set_setting('warning_minutes', '[]');

-- Five sessions that expire at second 1800, 1810 ... 1840, made in another order.
select tests.clock_at('2030-01-01 12:00:00+00'::timestamptz + make_interval(secs => second))
  || tests.live('expires ' || second, 'mechanic ' || second)::text
from unnest(array[20, 40, 0, 30, 10]) as second;

create function pg_temp.at(p_second numeric) returns void
language sql
as $$ select tests.clock_at('2030-01-01 12:00:00+00'::timestamptz + make_interval(secs => p_second)) $$;

create function pg_temp.over() returns text
language sql
as $$
  select string_agg(extract(epoch from s.started_at - '2030-01-01 12:00:00+00')::integer::text, ' ' order by s.started_at)
  from public.sessions as s where s.status >= 'completed'
$$;

create function pg_temp.tick(p_limit integer) returns text
language sql
as $$ select concat_ws(' ', t ->> 'ended', t ->> 'more') from public.tick_sessions(p_limit => p_limit) as t $$;

select pg_temp.at(1825);
select is(pg_temp.tick(1), '1 true', 'TIME-04: one of three');
select is(pg_temp.over(), '0', 'TIME-04: the most overdue');
select is(pg_temp.tick(2), '2 true', 'TIME-04: as many as asked for: perhaps there are more');
select is(pg_temp.over(), '0 10 20', 'TIME-04: in order');
select is(pg_temp.tick(2), '0 false', 'TIME-04: there are not');
select is(pg_temp.over(), '0 10 20', 'TIME-04: what is not due stays');

-- between kinds: a booking due since 1830, an expiry since 1840, a window open since 1850
select tests.person('booked');
select pg_temp.at(1000);
select tests.book('booked', '830 seconds');
select tests.mechanic('preferred');
select tests.person('loyal');
select pg_temp.at(1730);
select tests.prefer('loyal', 'preferred');
select pg_temp.at(1900);
select is(
  public.tick_sessions(p_limit => 2) - 'errors' - 'warned' - 'disconnected',
  '{"ended": 1, "scheduled": 1, "opened": 0, "more": true}'::jsonb, 'TIME-04: a booking and an expiry, of 1830'
);
select is(pg_temp.over(), '0 10 20 30', 'TIME-04: before the later expiry');
select is(
  public.tick_sessions(p_limit => 1) - 'errors' - 'warned' - 'disconnected',
  '{"ended": 1, "scheduled": 0, "opened": 0, "more": true}'::jsonb, 'TIME-04: then that one, since 1840'
);
select is(
  public.tick_sessions(p_limit => 1) - 'errors' - 'warned' - 'disconnected',
  '{"ended": 0, "scheduled": 0, "opened": 1, "more": true}'::jsonb, 'TIME-04: then the window, since 1850'
);
select is(pg_temp.tick(1), '0 false', 'TIME-04: then nothing');

-- repeated while `more`, everything is done
select tests.live('crowd ' || n, 'crowd mechanic ' || n) from generate_series(1, 7) as n;
select tests.advance(1800);
create function pg_temp.until_done() returns integer
language plpgsql
as $$
declare
  v_calls integer := 0;
begin
  loop
    v_calls := v_calls + 1;
    exit when not (public.tick_sessions(p_limit => 3) ->> 'more')::boolean;
  end loop;
  return v_calls;
end
$$;
select is(pg_temp.until_done(), 3, 'TIME-04: seven by three');
select is(
  (select count(*)::integer from public.sessions where status in ('live', 'reconnecting')), 0, 'TIME-04: all of them'
);

-- the clock inside a batch: a tick that has used up its seconds stops after a session and says so
select tests.live('slow ' || n, 'slow mechanic ' || n) from generate_series(1, 3) as n;
select tests.advance(1800);
create or replace function private.clock() returns timestamptz
language plpgsql volatile set search_path = ''
as $$
begin
  -- Every look at the clock takes a tenth of a second.
  perform set_config('tests.now', (current_setting('tests.now')::timestamptz + interval '0.1 s')::text, true);
  return current_setting('tests.now')::timestamptz;
end
$$;
select is(
  (select concat_ws(' ', t ->> 'ended', t ->> 'more') from public.tick_sessions(p_seconds => 0.1) as t), '1 true',
  'TIME-04: a batch is bounded by time too'
);

select * from finish();

rollback;
