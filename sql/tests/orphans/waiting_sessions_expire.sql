-- TIME-05: what has waited for longer than orphan_after_minutes expires, leaves the queue and frees its customer.
begin;

select plan(25);

select tests.stop_clock();

create function pg_temp.status(p_case text) returns text
language sql
as $$ select concat_ws(' ', status, end_reason) from tests.row_of(p_case) $$;

select tests.person('a');
select tests.queue('a');
select tests.join('a', 'a');
select tests.advance(7200);
select is(public.expire_orphaned_sessions(), 0, 'TIME-05: two hours are not longer than two hours');
select tests.advance(1);
select is(public.expire_orphaned_sessions(), 1, 'TIME-05: a second more is');
select is(pg_temp.status('a'), 'expired orphaned', 'TIME-05: it expires');
select is((tests.row_of('a')).ended_at, tests.now(), 'TIME-05: with its time');
select is((tests.row_of('a')).ended_by, null, 'TIME-05: by nobody');
select results_eq(
  $$ select status, closed_at from public.session_assignments where session_id = tests.session_of('a') $$,
  $$ values ('expired', tests.now()) $$, 'TIME-05: and leaves the queue'
);
select is(
  (
    select count(*)::integer from public.session_participants
    where session_id = tests.session_of('a') and is_connected
  ),
  0, 'TIME-05: nobody waits in it any more'
);
select is(
  (
    select actor_role from public.session_events where session_id = tests.session_of('a') and type = 'ended'
  ),
  'system', 'TIME-05: one event, by the system'
);
select is(public.expire_orphaned_sessions(), 0, 'TIME-05: once');
select tests.advance(1);
select is(
  tests.outcome('a', $$ select public.create_session('chat10') $$), 'ok', 'LIFE-02: the free session is not used up'
);

-- an accept starts the wait anew
select tests.person('b');
select tests.mechanic('mechanic b');
select tests.queue('b');
select tests.advance(7000);
select tests.accept('mechanic b', 'b');
select tests.advance(7200);
select public.expire_orphaned_sessions();
select is(pg_temp.status('b'), 'waiting', 'LIFE-05: the wait counts from the accept');
select tests.advance(1);
select is(public.expire_orphaned_sessions(), 1, 'TIME-05: but ends too');
select is(pg_temp.status('b'), 'expired orphaned', 'TIME-05: of a waiting one');
select is(
  (select status from public.session_assignments where session_id = tests.session_of('b')), 'expired',
  'TIME-05: which was accepted'
);

-- a booking counts from its time
select tests.person('c');
select tests.act_as('c');
select public.create_session('chat10', p_scheduled_for => tests.now() + interval '1 day');
select tests.be_system();
select tests.advance(86400 + 7200);
select public.expire_orphaned_sessions();
select is(pg_temp.status('c'), 'scheduled', 'TIME-05: two hours after its time');
select tests.advance(1);
select is(public.expire_orphaned_sessions(), 1, 'TIME-05: and a second');
select is(pg_temp.status('c'), 'expired orphaned', 'TIME-05: a booking expires as well');

-- the living and the dead are left alone
select tests.live('d', 'mechanic d');
select tests.waiting('e', 'mechanic e');
select tests.finish_session('e', 'e');
select tests.advance(86400);
select public.expire_orphaned_sessions();
select is(
  (tests.row_of('d')).end_reason is distinct from 'orphaned'
  and (tests.row_of('d')).status in ('live', 'completed', 'cancelled', 'reconnecting'),
  true, 'TIME-05: a live session is no orphan'
);
select is(pg_temp.status('e'), 'cancelled cancelled_by_customer', 'TIME-05: nor is one that ended');

-- bounded, and by the setting
select tests.person('case ' || n) from generate_series(1, 5) as n;
select tests.queue('case ' || n) from generate_series(1, 5) as n;
select public.set_setting('orphan_after_minutes', '1');
select tests.advance(61);
select is(public.expire_orphaned_sessions(p_limit => 2), 2, 'TIME-05: at most so many at once');
select is(public.expire_orphaned_sessions(), 3, 'TIME-05: the rest next time, after a minute where that is set');
select is(
  tests.outcome('system', 'select public.expire_orphaned_sessions(-1)'), 'PT422 invalid_argument',
  'TIME-05: no negative limit'
);

-- who may run it
select alike(
  tests.outcome('a', 'select public.expire_orphaned_sessions()'), '42501 %', 'TIME-05: no client runs the job'
);
select alike(
  tests.outcome('anon', 'select public.expire_orphaned_sessions()'), '42501 %', 'TIME-05: nor a visitor'
);
select is(
  tests.outcome('service_role', 'select public.expire_orphaned_sessions()'), 'ok', 'TIME-05: an outside scheduler does'
);

select * from finish();

rollback;
