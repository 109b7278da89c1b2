-- TIME-02: warnings come once per expiry; a later expiry arms anew those it moves past, and no others. The extension
-- itself is a payment's; here its effect is written as the owner of the tables would.
begin;

select plan(19);
select tests.rows_are_changed_by_hand();

select tests.stop_clock();
select tests.nobody_falls_silent();

create function pg_temp.at(p_case text, p_second numeric) returns void
language sql
as $$ select tests.clock_at((tests.row_of(p_case)).started_at + make_interval(secs => p_second)) $$;

create function pg_temp.armed(p_case text) returns integer
language sql
as $$ select extract(epoch from s.next_warning_at - s.started_at)::integer from tests.row_of(p_case) as s $$;

create function pg_temp.extend(p_case text, p_minutes integer) returns void
language sql
as $$
  update public.sessions
  set expires_at = expires_at + make_interval(mins => p_minutes), duration_minutes = duration_minutes + p_minutes
  where id = tests.session_of(p_case)
$$;

create function pg_temp.warned(p_case text) returns text
language plpgsql
as $$
begin
  perform public.tick_sessions();
  return (
    select string_agg(
      concat_ws(' ', e.type, extract(epoch from e.occurred_at - (tests.row_of(p_case)).started_at)::integer), ', '
      order by e.id
    )
    from public.session_events as e
    where e.session_id = tests.session_of(p_case) and e.type like 'warning%'
  );
end
$$;

-- before any warning
select tests.live('a', 'mechanic a');
select pg_temp.at('a', 1000);
select pg_temp.extend('a', 15);
select is(pg_temp.armed('a'), 2400, 'TIME-02: extended before any warning: later');
select pg_temp.at('a', 1750);
select is(pg_temp.warned('a'), null, 'TIME-02: nothing at the old times');
select pg_temp.at('a', 2400);
select is(pg_temp.warned('a'), 'warning_5m 2400', 'TIME-02: once at the new one');

-- after the first
select tests.live('b', 'mechanic b');
select pg_temp.at('b', 1500);
select is(pg_temp.warned('b'), 'warning_5m 1500', 'TIME-02: warned');
select pg_temp.at('b', 1550);
select pg_temp.extend('b', 15);
select is(pg_temp.armed('b'), 2400, 'TIME-02: extended after the warning: armed again');
select pg_temp.at('b', 1740);
select is(pg_temp.warned('b'), 'warning_5m 1500', 'TIME-02: the one that had not come does not come at its old time');
select pg_temp.at('b', 2400);
select is(pg_temp.warned('b'), 'warning_5m 1500, warning_5m 2400', 'TIME-02: once per expiry');
select pg_temp.at('b', 2640);
select is(
  pg_temp.warned('b'), 'warning_5m 1500, warning_5m 2400, warning_1m 2640', 'TIME-02: the other only for the new one'
);

-- after both
select tests.live('c', 'mechanic c');
select pg_temp.at('c', 1500);
select pg_temp.warned('c');
select pg_temp.at('c', 1740);
select pg_temp.warned('c');
select pg_temp.at('c', 1790);
select pg_temp.extend('c', 30);
select is(pg_temp.armed('c'), 3300, 'TIME-02: extended after both');
select pg_temp.at('c', 3300);
select pg_temp.warned('c');
select pg_temp.at('c', 3540);
select is(
  pg_temp.warned('c'), 'warning_5m 1500, warning_1m 1740, warning_5m 3300, warning_1m 3540',
  'TIME-02: both come once more'
);

-- moved past one of them only: three minutes more at 1700, when 5 minutes before the new end are gone already
select tests.live('d', 'mechanic d');
select pg_temp.at('d', 1500);
select pg_temp.warned('d');
select pg_temp.at('d', 1700);
select pg_temp.extend('d', 3);
select is(pg_temp.armed('d'), 1920, 'TIME-02: armed is only what lies ahead');
select pg_temp.at('d', 1930);
select is(pg_temp.warned('d'), 'warning_5m 1500, warning_1m 1930', 'TIME-02: nothing that is past comes again');

-- twice in a row, between two warnings and without a tick
select tests.live('e', 'mechanic e');
select pg_temp.at('e', 1600);
select pg_temp.extend('e', 15);
select pg_temp.extend('e', 15);
select is(pg_temp.armed('e'), 3300, 'TIME-02: two extensions at once');
select pg_temp.at('e', 3299);
select is(pg_temp.warned('e'), null, 'TIME-02: a warning that no tick saw is not sent for an expiry that moved');
select pg_temp.at('e', 3600 - 20);
select is(pg_temp.warned('e'), 'warning_5m 3580, warning_1m 3580', 'TIME-02: late ones of the new expiry are');

-- while interrupted, and to an expiry that is earlier
select tests.live('f', 'mechanic f');
select pg_temp.at('f', 1490);
select tests.leave('f', 'f');
select pg_temp.extend('f', 15);
select is(pg_temp.armed('f'), 2400, 'TIME-02: extended while interrupted');
select tests.join('f', 'f');
select is(pg_temp.armed('f'), 2400, 'TIME-02: the return leaves it there');
select pg_temp.extend('f', -10);
select is(pg_temp.armed('f'), 1800, 'TIME-02: an expiry moved back by the owner');

-- after the end
select tests.finish_session('f', 'f');
update public.sessions set expires_at = expires_at + interval '1 hour' where id = tests.session_of('f');
select is((tests.row_of('f')).next_warning_at, null, 'TIME-02: nothing is armed in a session that is over');

select * from finish();

rollback;
