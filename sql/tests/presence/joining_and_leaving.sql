-- PRE-01: who may join, leave and beat, in which status, and what each of it changes.
begin;

select plan(28);

select tests.stop_clock();
select tests.person('customer');
select tests.person('stranger');
select tests.mechanic('mechanic');
select tests.mechanic('other');
select tests.admin('admin');
select tests.queue('customer');

create function pg_temp.do(p_who text, p_what text) returns text
language sql
as $$
  select tests.outcome(
    p_who, format('select public.%I(p_session_id => %L)', p_what, tests.session_of('customer'))
  )
$$;

create function pg_temp.presence(p_who text) returns text
language sql
as $$
  select case when is_connected then 'here' when left_at is not null then 'left' else 'never' end
  from public.session_participants where session_id = tests.session_of('customer') and user_id = tests.id(p_who)
$$;

-- nobody else
select is(pg_temp.do(who, what), 'PT404 session_not_found', format('PRE-01: %s by %s', what, who))
from
  unnest(array['stranger', 'other', 'admin']) as who,
  unnest(array['join_session', 'leave_session', 'heartbeat_session']) as what;
select is(
  tests.outcome('customer', $$ select public.join_session(tests.id('nothing')) $$), 'PT404 session_not_found',
  'PRE-01: nor into what does not exist'
);
select is(
  tests.outcome('customer', 'select public.join_session(null)'), 'PT404 session_not_found', 'PRE-01: nor into null'
);

-- pending: the customer only
select is(pg_temp.do('customer', 'join_session'), 'ok', 'PRE-01: the customer waits in the room');
select is(pg_temp.presence('customer'), 'here', 'PRE-01: and is there');
select is((tests.row_of('customer')).status::text, 'pending', 'PRE-01: which starts nothing');
select tests.advance(10);
select is(pg_temp.do('customer', 'join_session'), 'ok', 'PRE-01: two tabs');
select is(
  (
    select count(*)::integer from public.session_events
    where session_id = tests.session_of('customer') and type = 'joined'
  ),
  1, 'PRE-01: are one presence'
);
select is(
  (
    select array[first_joined_at, last_seen_at] from public.session_participants
    where session_id = tests.session_of('customer')
  ),
  array[tests.now() - interval '10 s', tests.now()], 'PRE-01: first joined, last seen'
);
select is(pg_temp.do('customer', 'leave_session'), 'ok', 'PRE-01: leaves');
select is(pg_temp.presence('customer'), 'left', 'PRE-01: and is gone');
select is(pg_temp.do('customer', 'leave_session'), 'ok', 'PRE-01: leaving twice is once');
select is(
  (
    select count(*)::integer from public.session_events
    where session_id = tests.session_of('customer') and type = 'left'
  ),
  1, 'PRE-01: in the log too'
);

-- a heartbeat changes one column of one row
select tests.accept('mechanic', 'customer');
select tests.join('mechanic', 'customer');
create temporary table before_beat on commit drop as
select to_jsonb(p) - 'last_seen_at' as facts, p.user_id
from public.session_participants as p where session_id = tests.session_of('customer');
select set_config('tests.version', (tests.row_of('customer')).version::text, true);
select tests.advance(20);
select is(pg_temp.do('mechanic', 'heartbeat_session'), 'ok', 'PRE-01: a heartbeat');
select set_eq(
  $$ select to_jsonb(p) - 'last_seen_at' as facts, p.user_id
     from public.session_participants as p where session_id = tests.session_of('customer') $$,
  'select facts, user_id from before_beat', 'PRE-01: touches nothing but last_seen_at'
);
select is(
  (
    select last_seen_at from public.session_participants
    where session_id = tests.session_of('customer') and role = 'mechanic'
  ),
  tests.now(), 'PRE-01: which is now'
);
select is(
  (tests.row_of('customer')).version::text, current_setting('tests.version'), 'PRE-01: no version, no event'
);

-- after the end
select tests.finish_session('customer', 'customer');
select is(pg_temp.do('customer', 'join_session'), 'PT410 session_ended', 'PRE-01: no join after the end');
select is(
  pg_temp.do('customer', 'leave_session') || ' ' || pg_temp.do('customer', 'heartbeat_session'), 'ok ok',
  'PRE-01: leave and heartbeat return the row'
);
select is(
  (
    select count(*)::integer from public.session_participants
    where session_id = tests.session_of('customer') and is_connected
  ),
  0, 'END-04: nobody is connected after the end'
);

select * from finish();

rollback;
