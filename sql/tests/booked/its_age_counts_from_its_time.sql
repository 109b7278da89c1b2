-- LIFE-05: every waiting time counts from the latest of created_at, scheduled_for and accepted_at. (An open booking
-- and an accept as an orphan's age: orphans/waiting_sessions_expire.sql.)
begin;

select plan(11);

select tests.stop_clock();
select tests.mechanic('mechanic');
select tests.mechanic('reader');
select tests.person('customer');
select tests.book('customer', '1 hour');

create function pg_temp.waiting_seconds(p_customer text) returns integer
language plpgsql
as $$
declare
  v_seconds integer;
begin
  perform tests.act_as('reader');
  select waiting_seconds into v_seconds from public.mechanic_queue()
  where session_id = tests.session_of(p_customer);
  perform tests.be_system();
  return v_seconds;
end
$$;

-- in the queue
select tests.advance(60);
select is(pg_temp.waiting_seconds('customer'), 0, 'LIFE-05, QUE-01: before its time nobody waits');
select tests.advance(3540);
select is(pg_temp.waiting_seconds('customer'), 0, 'LIFE-05, QUE-01: at its time the wait begins');
select tests.advance(45);
select is(pg_temp.waiting_seconds('customer'), 45, 'LIFE-05, QUE-01: and counts from there');
select public.tick_sessions();
select is(pg_temp.waiting_seconds('customer'), 45, 'LIFE-05, QUE-01: whether the tick has seen it or not');

-- as an orphan: accepted long before its time
select tests.person('early');
select tests.book('early', '1 day');
select tests.advance(5);
select tests.accept('mechanic', 'early');
select tests.advance(86395 + 7200);
select public.expire_orphaned_sessions();
select is(
  (tests.row_of('early')).status in ('accepted', 'waiting'), true, 'LIFE-05, TIME-05: two hours after its time'
);
select tests.advance(1);
select public.expire_orphaned_sessions();
select is(tests.told('early'), 'expired orphaned 0 0', 'LIFE-05, TIME-05: and a second');

-- as an orphan: accepted after its time
select tests.person('late');
select tests.book('late', '1 hour');
select tests.advance(3600 + 7000);
select tests.accept('mechanic', 'late');
select tests.advance(7200);
select public.expire_orphaned_sessions();
select is((tests.row_of('late')).status::text, 'waiting', 'LIFE-05, TIME-05: two hours after the accept');
select tests.advance(1);
select public.expire_orphaned_sessions();
select is(tests.told('late'), 'expired orphaned 0 0', 'LIFE-05, TIME-05: and a second');

-- given back, it has its age again
select tests.person('returned');
select tests.queue('returned');
select tests.advance(7000);
select tests.accept('mechanic', 'returned');
select tests.advance(100);
select tests.do_as('mechanic', $$ select public.release_assignment(tests.assignment_of('returned')) $$);
select is(pg_temp.waiting_seconds('returned'), 7100, 'QUE-05, LIFE-05: given back with its age kept');
select tests.advance(100);
select public.expire_orphaned_sessions();
select is((tests.row_of('returned')).status::text, 'pending', 'QUE-05, TIME-05: two hours since it was made');
select tests.advance(1);
select public.expire_orphaned_sessions();
select is(tests.told('returned'), 'expired orphaned 0 0', 'QUE-05, TIME-05: an accept that was undone gave it no time');

select * from finish();

rollback;
