-- RT-02: ends of other kinds, a booked session whose time comes, and what never makes a sound.
begin;

select plan(14);

create function pg_temp.heard(p_customer text)
returns table (event text, status text, reason text)
language sql
as $$
  select m.event, m.payload ->> 'status', m.payload ->> 'reason' from tests.messages(tests.topic_of(p_customer)) as m
$$;

select tests.stop_clock('2030-01-01 12:00:00+00');

select tests.person('alone');
select tests.queue('alone');
select tests.finish_session('alone', 'alone', 'my dog Rex fell ill');
select results_eq(
  $$ select * from pg_temp.heard('alone') $$,
  $$ values ('session:ended', 'cancelled', 'cancelled_before_accept') $$, 'RT-02: cancelled in the queue'
);
select is_empty(
  $$ select payload from realtime.messages where payload::text like '%Rex%' $$, 'RT-02: the note stays in the session'
);

select tests.person('orphan');
select tests.queue('orphan');
select tests.advance(7201);
select public.expire_orphaned_sessions();
select results_eq(
  $$ select * from pg_temp.heard('orphan') $$, $$ values ('session:ended', 'expired', 'orphaned') $$,
  'RT-02: expired in the queue'
);

-- One that had no usable expiry.
select tests.live('adopted', 'tireless');
update public.sessions as s
set metadata = '{"imported": true}', expires_at = null
where s.id = tests.session_of('adopted');
select tests.forget_messages();
select tests.advance(3 * 3600);
select public.tick_sessions();
select is(
  (
    select payload ->> 'auto_ended' from tests.messages(tests.topic_of('adopted')) where event = 'session:ended'
  ),
  'true', 'RT-02, TIME-06: ended by the safety net, and it says so'
);

-- One booked session that a mechanic accepted, one that nobody did.
select tests.person('planner');
select tests.person('dreamer');
select tests.mechanic('mechanic');
select tests.do_as('planner', format(
  'select public.create_session(p_plan => %L, p_scheduled_for => %L)', 'chat10', tests.now() + interval '1 hour'
));
select tests.do_as('dreamer', format(
  'select public.create_session(p_plan => %L, p_scheduled_for => %L)', 'chat10', tests.now() + interval '1 hour'
));
select tests.accept('mechanic', 'planner');
select results_eq(
  $$ select event, status from pg_temp.heard('planner') $$, $$ values ('session:accepted', 'accepted') $$,
  'RT-02, LIFE-05: accepted for later'
);
select tests.forget_messages();
select tests.advance(3600);
select public.tick_sessions();
select results_eq(
  $$ select event, status from pg_temp.heard('planner') $$, $$ values ('session:due', 'waiting') $$,
  'RT-02, LIFE-05: its time has come, and the mechanic is expected'
);
select results_eq(
  $$ select event, status from pg_temp.heard('dreamer') $$, $$ values ('session:due', 'pending') $$,
  'RT-02, LIFE-05: its time has come, and nobody has accepted'
);

-- One that nobody takes; one that the owner of the database ends by hand; one that is put into the archive.
select tests.person('unlucky');
select tests.queue('unlucky');
select tests.do_as(
  'service_role', format('select public.mark_session_unattended(p_session_id => %L)', tests.session_of('unlucky'))
);
select results_eq(
  $$ select * from pg_temp.heard('unlucky') $$, $$ values ('session:ended', 'unattended', 'unattended') $$,
  'RT-02, END-08: unattended'
);
select tests.person('patient');
select tests.queue('patient');
update public.sessions as s
set status = 'cancelled', ended_at = tests.now()
where s.id = tests.session_of('patient');
select results_eq(
  $$ select event, status from pg_temp.heard('patient') $$, $$ values ('session:ended', 'cancelled') $$,
  'RT-02, MOD-04: even a status written by hand is told'
);
select tests.forget_messages();
select tests.advance(86400);
select cmp_ok(public.archive_sessions(p_before => tests.now()), '>=', 4, 'END-08: old ones are put away');
select is_empty('select * from realtime.messages', 'RT-02: which nobody is told of');

-- Both drop out, the second found silent after the first had left.
select tests.live('caller', 'expert', 'video15');
select tests.clock_at(tests.now() + interval '40 seconds');
select tests.leave('expert', 'caller');
select tests.forget_messages();
select tests.advance(60);
select public.tick_sessions();
select results_eq(
  $$ select payload ->> 'role', payload ->> 'absent_role', (payload ->> 'grace_ends_at')::timestamptz
     from tests.messages(tests.topic_of('caller')) $$,
  $$ select 'customer', 'both', started_at + interval '340 seconds'
     from public.sessions where id = tests.session_of('caller') $$,
  'RT-02, PRE-03: both are away, and the grace ends when it was said to end'
);

-- What is refused, looked at or rolled back is not heard.
select tests.forget_messages();
do $$
begin
  perform tests.outcome(
    'mechanic', format('select public.start_session(p_session_id => %L)', tests.session_of('planner'))
  );
end
$$;
select tests.do_as(
  'planner', format('select public.preview_end(p_session_id => %L)', tests.session_of('planner'))
);
select is_empty('select * from realtime.messages', 'RT-02: neither a refused call nor a preview makes a sound');
do $$
begin
  perform tests.join('planner', 'planner');
  if not exists (select from tests.messages(tests.topic_of('planner'))) then
    raise exception 'the join was not announced';
  end if;
  raise exception 'changed my mind' using errcode = 'TX001';
exception
  when sqlstate 'TX001' then
    perform tests.be_system();
end
$$;
select is_empty('select * from realtime.messages', 'RT-01: a message goes with the transaction that wrote it');

select * from finish();

rollback;
