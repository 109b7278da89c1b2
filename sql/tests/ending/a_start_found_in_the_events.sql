-- END-02: without started_at, a session started at the first instant at which its join and leave events since the
-- last accept show the customer and the current mechanic together. Events are written here as another writer would.
begin;

select plan(13);
select tests.rows_are_changed_by_hand();

select tests.stop_clock();

create function pg_temp.event(p_case text, p_who text, p_type text, p_second numeric) returns void
language sql
as $$
  insert into public.session_events (session_id, type, actor_id, actor_role, payload, version, occurred_at)
  select
    tests.session_of(p_case), p_type, tests.id(p_who), p.role,
    jsonb_build_object('user_id', tests.id(p_who), 'role', p.role), 2, tests.now() + make_interval(secs => p_second)
  from (select case when p_who = p_case then 'customer' else 'mechanic' end as role) as p
$$;

-- The row as it stands when joins were seen but no start was written: both connected, last seen then.
create function pg_temp.seen(p_case text, p_who text, p_second numeric) returns void
language sql
as $$
  update public.session_participants
  set first_joined_at = tests.now(), last_seen_at = tests.now() + make_interval(secs => p_second)
  where session_id = tests.session_of(p_case) and user_id = tests.id(p_who)
$$;

create function pg_temp.told(p_case text, p_at timestamptz) returns text
language sql
as $$
  select concat_ws(
    ' ', status, end_reason, coalesce(duration_seconds, 0), 'from', extract(epoch from started_at - p_at)::integer
  )
  from tests.row_of(p_case)
$$;

create function pg_temp.end_at(p_case text, p_second numeric) returns text
language plpgsql
as $$
declare
  v_zero timestamptz := tests.now();
begin
  perform tests.advance(p_second);
  perform tests.finish_session('system', p_case);
  perform tests.clock_at(v_zero);
  return pg_temp.told(p_case, v_zero);
end
$$;

-- joined at 10 and 25, both seen until 100, ended at 100
select tests.waiting('a', 'mechanic a');
select pg_temp.event('a', 'a', 'joined', 10);
select pg_temp.event('a', 'mechanic a', 'joined', 25);
select pg_temp.seen('a', 'a', 100);
select pg_temp.seen('a', 'mechanic a', 100);
select is(pg_temp.end_at('a', 100), 'completed completed 75 from 25', 'END-02: from the second join');
select ok(
  (
    select bool_or(payload::text like '%live%' or type in ('started', 'status_changed'))
    from public.session_events where session_id = tests.session_of('a') and id > (
      select max(id) from public.session_events where session_id = tests.session_of('a') and type = 'joined'
    ) and type <> 'ended'
  ),
  'END-02: the session passes through live'
);

-- 84 from 25 is 59
select tests.waiting('b', 'mechanic b');
select pg_temp.event('b', 'b', 'joined', 10);
select pg_temp.event('b', 'mechanic b', 'joined', 25);
select pg_temp.seen('b', 'b', 84);
select pg_temp.seen('b', 'mechanic b', 84);
select is(pg_temp.end_at('b', 84), 'cancelled too_short 59 from 25', 'END-02: 59 seconds from there are too short');

-- the one left before the other came, and came again
select tests.waiting('c', 'mechanic c');
select pg_temp.event('c', 'c', 'joined', 0);
select pg_temp.event('c', 'c', 'left', 20);
select pg_temp.event('c', 'mechanic c', 'joined', 30);
select pg_temp.event('c', 'c', 'joined', 40);
select pg_temp.seen('c', 'c', 110);
select pg_temp.seen('c', 'mechanic c', 110);
select is(pg_temp.end_at('c', 110), 'completed completed 70 from 40', 'END-02: the first instant together');

-- never together
select tests.waiting('d', 'mechanic d');
select pg_temp.event('d', 'd', 'joined', 0);
select pg_temp.event('d', 'd', 'left', 20);
select pg_temp.event('d', 'mechanic d', 'joined', 30);
select pg_temp.event('d', 'mechanic d', 'left', 60);
select is(
  pg_temp.end_at('d', 110), 'cancelled nobody_joined 0 from', 'END-02: no such instant: not started'
);
select is((tests.row_of('d')).started_at, null, 'END-02: which has no start');

-- a presence without a leave ends at the last sign of life
select tests.waiting('e', 'mechanic e');
select pg_temp.event('e', 'e', 'joined', 0);
select pg_temp.event('e', 'mechanic e', 'joined', 50);
select pg_temp.seen('e', 'e', 20);
select pg_temp.seen('e', 'mechanic e', 200);
select is(
  pg_temp.end_at('e', 200), 'cancelled nobody_joined 0 from', 'END-02: gone at 20 s, before the other came at 50'
);

-- and the end is where they were last together
select tests.waiting('f', 'mechanic f');
select pg_temp.event('f', 'f', 'joined', 0);
select pg_temp.event('f', 'mechanic f', 'joined', 10);
select pg_temp.event('f', 'f', 'left', 40);
select pg_temp.seen('f', 'f', 40);
select pg_temp.seen('f', 'mechanic f', 300);
select is(pg_temp.end_at('f', 300), 'cancelled too_short 30 from 10', 'END-02: 30 s together, then one stayed away');

-- written down in another order
select tests.waiting('g', 'mechanic g');
select pg_temp.event('g', 'mechanic g', 'joined', 25);
select pg_temp.event('g', 'g', 'joined', 10);
select pg_temp.seen('g', 'g', 100);
select pg_temp.seen('g', 'mechanic g', 100);
select is(pg_temp.end_at('g', 100), 'completed completed 75 from 25', 'END-02: in whichever order they arrived');

-- duplicates
select tests.waiting('h', 'mechanic h');
select pg_temp.event('h', 'h', 'joined', 10);
select pg_temp.event('h', 'h', 'joined', 12);
select pg_temp.event('h', 'mechanic h', 'joined', 25);
select pg_temp.event('h', 'mechanic h', 'joined', 40);
select pg_temp.seen('h', 'h', 100);
select pg_temp.seen('h', 'mechanic h', 100);
select is(pg_temp.end_at('h', 100), 'completed completed 75 from 25', 'END-02: duplicates change nothing');

-- events of somebody else, and a leave without a join
select tests.mechanic('other mechanic');
select tests.waiting('i', 'mechanic i');
select pg_temp.event('i', 'i', 'joined', 10);
select pg_temp.event('i', 'other mechanic', 'joined', 11);
select pg_temp.event('i', 'mechanic i', 'left', 12);
select pg_temp.seen('i', 'i', 100);
select is(
  pg_temp.end_at('i', 100), 'cancelled nobody_joined 0 from', 'END-02: only the customer and the current mechanic'
);

-- the end is never beyond what was bought, counted from the start that was found
select tests.waiting('j', 'mechanic j');
select pg_temp.event('j', 'j', 'joined', 0);
select pg_temp.event('j', 'mechanic j', 'joined', 0);
select pg_temp.seen('j', 'j', 4000);
select pg_temp.seen('j', 'mechanic j', 4000);
select is(pg_temp.end_at('j', 4000), 'completed completed 1800 from 0', 'END-02: at most the minutes bought');

-- the customer was there before the accept: together from the mechanic's join, not before the accept
select tests.person('k');
select tests.mechanic('mechanic k');
select tests.queue('k');
select pg_temp.event('k', 'k', 'joined', 0);
select pg_temp.event('k', 'mechanic k', 'joined', 0);
select tests.advance(100);
select tests.accept('mechanic k', 'k');
select pg_temp.seen('k', 'k', 0);
select is(
  pg_temp.end_at('k', 10), 'cancelled nobody_joined 0 from', 'END-02: what a mechanic did before the accept is not it'
);

select * from finish();

rollback;
