-- TIME-04: a session that cannot be settled is logged, left for review and alone for retry_failed_seconds; all others
-- are done as if it were not there, and once it is mended it is done as of its own time.
begin;

select plan(30);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.live('first', 'first mechanic');
select tests.advance(1);
select tests.live('bad', 'bad mechanic');
select tests.advance(1);
select tests.live('last', 'last mechanic');

-- Whoever writes this session fails.
create function tests.refuse() returns trigger
language plpgsql
as $$
begin
  raise exception 'this row is bad' using errcode = 'XX001';
end
$$;
select set_config('tests.bad', tests.session_of('bad')::text, true);
create trigger a_bad_row before update on public.sessions
for each row when (new.id::text = current_setting('tests.bad', true))
execute function tests.refuse();

create function pg_temp.failure() returns text
language sql
as $$
  select concat_ws(
    ' ', f.work, f.error, f.failures, extract(epoch from tests.now() - f.failed_at)::integer,
    extract(epoch from f.retry_at - f.failed_at)::integer
  )
  from private.session_failures as f where f.session_id = tests.session_of('bad')
$$;

select tests.advance(1900);
select is(
  public.tick_sessions(),
  '{"ended": 2, "warned": 0, "disconnected": 0, "opened": 0, "scheduled": 0, "errors": 1, "more": false}'::jsonb,
  'TIME-04: one failed, the others are done'
);
select is(tests.told('first'), 'completed completed 1800 1800 1800', 'TIME-04: the one before it');
select is(tests.told('last'), 'completed completed 1800 1800 1800', 'TIME-04: the one after it');
select is((tests.row_of('bad')).status::text, 'live', 'TIME-04: it is as it was');
select is((tests.events_of('bad'))[6:], '{}', 'TIME-04: with no half of an end in the log');
select is(pg_temp.failure(), 'tick this row is bad 1 0 300', 'TIME-04: left for review');
select is(
  (select concat_ws(' ', count(*), min(detail ->> 'error')) from private.ops_log where kind = 'session.failed'),
  '1 this row is bad', 'TIME-04: and logged'
);
select is(tests.effective_status('bad', 'bad'), 'completed', 'TIME-03: plain reads are right all the same');

-- it is left alone, and blocks nobody
select tests.live('next', 'next mechanic');
select tests.advance(299);
select is((public.tick_sessions() ->> 'errors')::integer, 0, 'TIME-04: not tried again for retry_failed_seconds');
select is((tests.row_of('next')).status::text, 'live', 'TIME-04: while others go on');
select is(
  public.end_expired_sessions(), 0, 'TIME-04: nor by the sweep'
);
select tests.advance(1);
select is((public.tick_sessions() ->> 'errors')::integer, 1, 'TIME-04: then it is');
select is(pg_temp.failure(), 'tick this row is bad 2 0 300', 'TIME-04: it failed twice');
select is(
  (select count(*)::integer from private.ops_log where kind = 'session.failed'), 2, 'TIME-04: which is logged again'
);
select is((public.tick_sessions() ->> 'errors')::integer, 0, 'TIME-04: and left alone again');

-- the setting decides
select public.set_setting('retry_failed_seconds', '7200');
select tests.advance(300);
select is((public.tick_sessions() ->> 'errors')::integer, 1, 'TIME-04: what was noted stays');
select is(pg_temp.failure(), 'tick this row is bad 3 0 7200', 'TIME-04: the next time is by the setting');

-- a bad row among a limit of one does not hold up the rest
select tests.advance(7200);
select is(
  (select string_agg(concat_ws(' ', t ->> 'ended', t ->> 'errors', t ->> 'more'), ', ') from (
    select public.tick_sessions(p_limit => 1) as t
  ) as one),
  '0 1 true', 'TIME-04: first the most overdue, which is bad'
);
select is(
  (select concat_ws(' ', t ->> 'ended', t ->> 'errors') from public.tick_sessions(p_limit => 1) as t), '1 0',
  'TIME-04: then the next one'
);
select is(tests.told('next'), 'completed completed 1800 1800 1800', 'TIME-04: which is done');

-- mended: the same result, as of its own time
drop trigger a_bad_row on public.sessions;
select tests.advance(7199);
select is((public.tick_sessions() ->> 'ended')::integer, 0, 'TIME-04: mended, but still left alone');
select tests.advance(1);
select is((public.tick_sessions() ->> 'ended')::integer, 1, 'TIME-04: mended, and tried again');
select is(tests.told('bad'), 'completed completed 1800 1800 1800', 'TIME-04, TIME-03: with the result it always had');
select is(pg_temp.failure(), null, 'TIME-04: nothing is left for review');

-- people do not wait for the tick: a command mends it at once
select tests.live('called', 'called mechanic');
select tests.advance(1801);
select set_config('tests.bad', tests.session_of('called')::text, true);
create trigger a_bad_row before update on public.sessions
for each row when (new.id::text = current_setting('tests.bad', true))
execute function tests.refuse();
select is((public.tick_sessions() ->> 'errors')::integer, 1, 'TIME-04: another one is bad');
drop trigger a_bad_row on public.sessions;
select tests.heartbeat('called', 'called');
select is(tests.told('called'), 'completed completed 1800 1800 1800', 'TIME-04: a command does not wait');

-- the job for orphans leaves it alone as well
select tests.person('orphan');
select tests.queue('orphan');
select tests.person('good orphan');
select tests.queue('good orphan');
select tests.advance(7201);
select set_config('tests.bad', tests.session_of('orphan')::text, true);
create trigger a_bad_row before update on public.sessions
for each row when (new.id::text = current_setting('tests.bad', true))
execute function tests.refuse();
select is(public.expire_orphaned_sessions(), 1, 'TIME-05: a bad orphan does not stop a good one');
select is(tests.told('good orphan'), 'expired orphaned 0 0', 'TIME-05: which expires');
select is((tests.row_of('orphan')).status::text, 'pending', 'TIME-05: the bad one is as it was');
select is(
  (select work from private.session_failures where session_id = tests.session_of('orphan')), 'orphaned',
  'TIME-05: and left for review'
);

select * from finish();

rollback;
