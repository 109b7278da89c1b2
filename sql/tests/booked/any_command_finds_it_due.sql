-- LIFE-05, TIME-03: whatever is called after a booking's time finds it pending or waiting, tick or no tick.
begin;

select plan(26);

select tests.stop_clock();
select public.set_setting('presence_timeout_seconds', '86400');

-- A booking, accepted or not, whose time has passed with no tick.
create function pg_temp.overdue(p_case text, p_is_accepted boolean) returns void
language plpgsql
as $$
begin
  perform tests.person(p_case);
  perform tests.mechanic('mechanic ' || p_case);
  perform tests.book(p_case, '1 hour');
  if p_is_accepted then
    perform tests.accept('mechanic ' || p_case, p_case);
  end if;
  perform tests.advance(3600);
end
$$;

create function pg_temp.types(p_case text) returns text
language sql
as $$ select array_to_string(tests.events_of(p_case), ' ') $$;

-- accept: it is for now, no longer for later
select pg_temp.overdue('a', false);
select tests.accept('mechanic a', 'a');
select is((tests.row_of('a')).status::text, 'waiting', 'LIFE-05: accepted at its time: waiting at once');
select is(pg_temp.types('a'), 'created due accepted', 'LIFE-05: it had become due before');

-- join by the customer, nobody has accepted
select pg_temp.overdue('b', false);
select tests.join('b', 'b');
select is((tests.row_of('b')).status::text, 'pending', 'LIFE-05: joined by the customer: pending');
select is(pg_temp.types('b'), 'created due joined', 'LIFE-05: in this order');

-- join by both
select pg_temp.overdue('c', true);
select tests.join('mechanic c', 'c');
select is((tests.row_of('c')).status::text, 'waiting', 'LIFE-05: joined by the mechanic: waiting');
select tests.join('c', 'c');
select is((tests.row_of('c')).status::text, 'live', 'LIFE-05: joined by both: live');
select is(pg_temp.types('c'), 'created accepted due joined joined started', 'LIFE-05: never skipping its time');

-- leave and heartbeat
select pg_temp.overdue('d', true);
select tests.leave('d', 'd');
select is((tests.row_of('d')).status::text, 'waiting', 'LIFE-05: a leave finds it');
select pg_temp.overdue('e', false);
select tests.advance(-600);
select tests.join('e', 'e');
select is((tests.row_of('e')).status::text, 'scheduled', 'LIFE-05: joined early: still scheduled');
select tests.advance(600);
select is(tests.effective_status('e', 'e'), 'pending', 'LIFE-05: due an instant later');
select tests.leave('e', 'e');
select is(pg_temp.types('e'), 'created joined due left', 'LIFE-05: and written down by the next command');

-- start
select pg_temp.overdue('f', true);
select is(
  tests.outcome('f', $$ select public.start_session(tests.session_of('f')) $$), 'PT409 not_both_present',
  'LIFE-05: a start that cannot be keeps nothing'
);
select is(tests.effective_status('f', 'f'), 'waiting', 'LIFE-05: and changes nothing of what is true');

-- reads
select pg_temp.overdue('g', false);
select tests.act_as('g');
select is(
  (select status::text from public.get_active_session()), 'pending', 'LIFE-05, LIFE-06: the banner knows it'
);
select tests.be_system();
select is((tests.row_of('g')).status::text, 'pending', 'TIME-03: and has written it down');
select pg_temp.overdue('h', true);
select is(
  tests.snapshot('mechanic h', 'h') #>> '{session,status}', 'waiting', 'LIFE-05, PRE-05: the snapshot knows it'
);
select is((tests.row_of('h')).status::text, 'waiting', 'TIME-03: and has written it down');

-- release: it goes back as pending, for its time has come
select pg_temp.overdue('i', true);
select tests.do_as('mechanic i', $$ select public.release_assignment(tests.assignment_of('i')) $$);
select is((tests.row_of('i')).status::text, 'pending', 'LIFE-05, QUE-05: given back after its time: pending');

-- decline
select pg_temp.overdue('j', false);
select tests.do_as('mechanic j', $$ select public.decline_assignment(tests.assignment_of('j')) $$);
select is((tests.row_of('j')).status::text, 'pending', 'LIFE-05, QUE-04: declined after its time: pending');

-- end
select pg_temp.overdue('k', true);
select tests.finish_session('k', 'k');
select is(tests.told('k'), 'cancelled cancelled_by_customer 0 0', 'LIFE-05: ended after its time');
select pg_temp.overdue('l', false);
select tests.finish_session('l', 'l');
select is(tests.told('l'), 'cancelled cancelled_before_accept 0 0', 'LIFE-05: or with nobody to serve it');

-- the job for orphans
select pg_temp.overdue('m', true);
select tests.advance(7201);
select public.expire_orphaned_sessions();
select is(tests.told('m'), 'expired orphaned 0 0', 'LIFE-05, TIME-05: nobody came, no tick either');

-- a second session while one is due
select pg_temp.overdue('n', false);
select is(
  tests.outcome('n', $$ select public.create_session('chat10') $$), 'PT409 active_session_exists',
  'LIFE-03: a booking whose time has come is still the one active session'
);

-- a booking further away is nobody's business
select tests.person('o');
select tests.book('o', '1 hour');
select tests.act_as('o');
select is(
  (select status::text from public.get_active_session()), 'scheduled', 'LIFE-05: before its time it stays booked'
);
select tests.be_system();
select is(tests.snapshot('o', 'o') #>> '{session,status}', 'scheduled', 'LIFE-05: in the snapshot too');
select is(pg_temp.types('o'), 'created', 'LIFE-05: and nothing is written');

select * from finish();

rollback;
