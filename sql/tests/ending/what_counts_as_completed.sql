-- END-02: at 59 seconds a session is cancelled as too short, at 60 it is completed; a session ends at its expiry at
-- the latest, and where it was interrupted, whenever somebody writes it down.
begin;

select plan(35);

select tests.stop_clock();

create function pg_temp.told(p_case text) returns text
language sql
as $$
  select concat_ws(' ', status, end_reason, duration_seconds, billable_seconds, extract(epoch from ended_at - started_at)::integer)
  from tests.row_of(p_case)
$$;

-- 59 and 60
select tests.live('a', 'mechanic a');
select tests.advance(59);
select tests.finish_session('a', 'a');
select is(pg_temp.told('a'), 'cancelled too_short 59 59 59', 'END-02: 59 seconds');
select tests.live('b', 'mechanic b');
select tests.advance(60);
select tests.finish_session('b', 'b');
select is(pg_temp.told('b'), 'completed completed 60 60 60', 'END-02: 60 seconds');
select tests.live('c', 'mechanic c');
select tests.advance(59.999);
select tests.finish_session('c', 'c');
select is((tests.row_of('c')).status::text, 'cancelled', 'END-02: 59.999 seconds are not 60');
select tests.live('d', 'mechanic d');
select tests.finish_session('d', 'd');
select is(pg_temp.told('d'), 'cancelled too_short 0 0 0', 'END-02: no second at all');
select public.set_setting('min_billable_seconds', '0');
select tests.live('d0', 'mechanic d0');
select tests.finish_session('d0', 'd0');
select is(pg_temp.told('d0'), 'completed completed 0 0 0', 'END-02: which is enough when nothing is asked for');
select public.set_setting('min_billable_seconds', '60');

-- dropped at 30 and stayed away: by leaving, by falling silent; ended soon, ended late; by whomever
create function pg_temp.drop_at_30(p_case text, p_how text, p_end_after integer, p_who text) returns text
language plpgsql
as $$
declare
  v_mechanic text := 'mechanic ' || p_case;
begin
  perform tests.live(p_case, v_mechanic);
  perform tests.advance(30);
  if p_how = 'customer leaves' then
    perform tests.leave(p_case, p_case);
  elsif p_how = 'mechanic leaves' then
    perform tests.leave(v_mechanic, p_case);
  else
    perform tests.heartbeat(p_case, p_case);
    perform tests.heartbeat(v_mechanic, p_case);
    for i in 1 .. least(p_end_after / 30, 10) loop
      perform tests.advance(30);
      p_end_after := p_end_after - 30;
      perform tests.heartbeat(v_mechanic, p_case);
    end loop;
  end if;
  perform tests.advance(p_end_after);
  perform tests.finish_session(
    case p_who when 'customer' then p_case when 'mechanic' then v_mechanic else p_who end, p_case
  );
  return pg_temp.told(p_case);
end
$$;

select is(
  pg_temp.drop_at_30(format('%s %s %s', how, after, who), how, after, who), 'cancelled too_short 30 30 30',
  format('END-02: %s at 30 s and stays away, ended %s s later by the %s', how, after, who)
)
from
  unnest(array['customer leaves', 'mechanic leaves', 'customer falls silent']) as how,
  unnest(array[100, 290, 2000, 864000]) as after,
  unnest(array['mechanic', 'system']) as who;

-- one who came back is not away
select tests.live('e', 'mechanic e');
select tests.advance(30);
select tests.leave('e', 'e');
select tests.advance(20);
select tests.join('e', 'e');
select tests.advance(20);
select tests.finish_session('e', 'e');
select is(pg_temp.told('e'), 'completed completed 70 70 70', 'END-02: a gap that was resumed is inside it');
select is((tests.row_of('e')).both_present_seconds, 50, 'PRE-03: the time they shared is not');

-- never beyond the expiry
create function pg_temp.to_the_end(p_case text, p_late integer) returns text
language plpgsql
as $$
begin
  perform tests.live(p_case, 'mechanic ' || p_case);
  perform tests.together_for('mechanic ' || p_case, p_case, 1790);
  perform tests.heartbeat(p_case, p_case);
  perform tests.heartbeat('mechanic ' || p_case, p_case);
  perform tests.advance(10 + p_late);
  perform tests.finish_session(p_case, p_case);
  return pg_temp.told(p_case);
end
$$;

select is(
  pg_temp.to_the_end('late ' || late, late), 'completed completed 1800 1800 1800',
  format('END-02, TIME-03: ended %s s after its expiry', late)
)
from unnest(array[0, 60, 864000]) as late;

-- they parted before the expiry, and nobody looked for a day
select tests.live('f', 'mechanic f');
select tests.together_for('mechanic f', 'f', 600);
select tests.leave('mechanic f', 'f');
select tests.advance(86400);
select tests.finish_session('system', 'f');
select is(pg_temp.told('f'), 'completed completed 600 600 600', 'END-02: interrupted at ten minutes, a day later');

select * from finish();

rollback;
