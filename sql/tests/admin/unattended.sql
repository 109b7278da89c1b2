-- END-08: an admin marks a pending session unattended; the monitor does it by itself where unattended_after_minutes is
-- set.
begin;

select plan(45);

select tests.stop_clock();
select tests.admin('admin');
select tests.person('stranger');
select tests.mechanic('other');
select tests.person('customer');
select tests.queue('customer');
select tests.join('customer', 'customer');
select tests.advance(60);

create function pg_temp.mark(p_who text, p_customer text) returns text
language sql
as $$
  select tests.outcome(
    p_who, format('select public.mark_session_unattended(p_session_id => %L)', tests.session_of(p_customer))
  )
$$;

-- who may
select is(pg_temp.mark(who, 'customer'), 'PT403 role_required', format('END-08: not the %s', who))
from unnest(array['customer', 'stranger', 'other']) as who;
select alike(pg_temp.mark('anon', 'customer'), '42501 %', 'END-08: not a visitor');
select is(
  tests.outcome(who, $$ select public.mark_session_unattended(tests.id('nothing')) $$), 'PT404 session_not_found',
  format('END-08: nothing to mark for the %s', who)
)
from unnest(array['admin', 'system']) as who;
select is(
  tests.outcome('admin', 'select public.mark_session_unattended(null)'), 'PT404 session_not_found', 'END-08: nor null'
);
select is((tests.row_of('customer')).status::text, 'pending', 'END-08: none of which changed anything');

-- the admin does
select tests.act_as('admin');
select results_eq(
  $$ select id, status::text from public.mark_session_unattended(tests.session_of('customer')) $$,
  $$ values (tests.session_of('customer'), 'unattended') $$, 'END-08: the answer is the session'
);
select tests.be_system();
select results_eq(
  $$ select end_reason, ended_at, ended_by, started_at from public.sessions where id = tests.session_of('customer') $$,
  $$ values ('unattended', tests.now(), tests.id('admin'), null::timestamptz) $$, 'END-08: ended, why, when, by whom'
);
select results_eq(
  $$ select status, closed_at from public.session_assignments where session_id = tests.session_of('customer') $$,
  $$ values ('expired', tests.now()) $$, 'END-08: out of the queue'
);
select is_empty($$ select tests.queue_of('other') $$, 'END-08: nobody finds it there');
select is((tests.presence_of('customer', 'customer')).is_connected, false, 'END-08: nobody waits in it');
select results_eq(
  $$ select type::text, actor_id, actor_role::text, payload ->> 'reason' from public.session_events
     where session_id = tests.session_of('customer') order by id desc limit 1 $$,
  $$ values ('ended', tests.id('admin'), 'admin', 'unattended') $$, 'END-08: one event, by the admin'
);
select tests.advance(5);
create temporary table before_again on commit drop as select to_jsonb(s) as facts from tests.row_of('customer') as s;
select is(pg_temp.mark('admin', 'customer'), 'ok', 'END-08: again: the row');
select is(
  (select to_jsonb(s) from tests.row_of('customer') as s), (select facts from before_again), 'END-08: unchanged'
);
select is(
  to_jsonb(tests.finish_session('customer', 'customer')) - 'ended_at',
  jsonb_build_object(
    'session_id', tests.session_of('customer'), 'final_status', 'unattended', 'already_ended', true, 'started', false,
    'started_at', null, 'duration_seconds', 0, 'billable_seconds', 0, 'reason', 'unattended', 'payout_cents', 0,
    'refund_cents', 0, 'currency', 'usd'
  ),
  'END-08, END-02: an end call tells it'
);
select lives_ok($$ select tests.queue('customer') $$, 'END-08, LIFE-03: the customer may ask again');
select is(pg_temp.mark('service_role', 'customer'), 'ok', 'END-08: the system may mark too');
select is((tests.row_of('customer')).ended_by, null, 'END-08: which is nobody');

-- only what is pending
select tests.person('booked');
select tests.book('booked', '1 hour');
select tests.person('accepted');
select tests.book('accepted', '1 hour');
select tests.mechanic('mechanic accepted');
select tests.accept('mechanic accepted', 'accepted');
select tests.waiting('waiting', 'mechanic waiting');
select tests.live('live', 'mechanic live');
select tests.live('reconnecting', 'mechanic reconnecting');
select tests.leave('reconnecting', 'reconnecting');
select is(pg_temp.mark('admin', word), 'PT409 session_not_active', format('END-08: not one that is %s', word))
from unnest(array['booked', 'accepted', 'waiting', 'live', 'reconnecting']) as word;
select tests.finish_session('waiting', 'waiting');
select is(pg_temp.mark('admin', 'waiting'), 'PT410 session_ended', 'END-08: nor one that is over');
select tests.advance(3600);
select is(pg_temp.mark('admin', 'live'), 'PT410 session_ended', 'END-08, TIME-03: written down or not');
select is(pg_temp.mark('admin', 'booked'), 'ok', 'END-08, LIFE-05: a booking whose time has come is pending');
select is((tests.row_of('booked')).status::text, 'unattended', 'END-08, LIFE-05: and becomes unattended');
select tests.person('returned');
select tests.mechanic('quitter');
select tests.queue('returned');
select tests.accept('quitter', 'returned');
select tests.do_as('quitter', $$ select public.release_assignment(tests.assignment_of('returned')) $$);
select is(pg_temp.mark('admin', 'returned'), 'ok', 'END-08, QUE-05: one that was given back');

-- the monitor: off as shipped
select public.monitor_sessions();
select tests.person('lonely');
select tests.queue('lonely');
select tests.advance(7000);
select is(
  public.monitor_sessions(), '{"nudged_mechanics": 1, "alerted_support": 0, "auto_closed": 0, "unattended": 0}'::jsonb,
  'END-08, SLA-02: off as shipped; only the mechanic of the booked session, whose time has come, is nudged'
);
select is((tests.row_of('lonely')).status::text, 'pending', 'END-08: nobody is marked');

-- the monitor: after half an hour
select public.set_setting('unattended_after_minutes', '30');
select is(
  (public.monitor_sessions() ->> 'unattended')::integer, 1, 'END-08: the monitor marks what has waited for longer'
);
select is(tests.told('lonely'), 'unattended unattended 0 0', 'END-08: with its reason');
select is((tests.row_of('lonely')).ended_by, null, 'END-08: by the system');
select tests.person('a');
select tests.queue('a');
select tests.person('b');
select tests.book('b', '10 minutes');
select tests.waiting('c', 'mechanic c');
select tests.advance(1800);
select is((public.monitor_sessions() ->> 'unattended')::integer, 0, 'END-08: half an hour is not longer than that');
select tests.advance(1);
select is((public.monitor_sessions() ->> 'unattended')::integer, 1, 'END-08: a second more is');
select is((tests.row_of('a')).status::text, 'unattended', 'END-08: of the one that waited');
select is(tests.effective_status('b', 'b'), 'pending', 'END-08, LIFE-05: a booking waits from its time on');
select is((tests.row_of('c')).status::text, 'waiting', 'END-08: who was accepted is not unattended');
select tests.advance(600);
select public.monitor_sessions();
select is((tests.row_of('b')).status::text, 'unattended', 'END-08, LIFE-05: half an hour after its time');
select is((tests.row_of('c')).status::text, 'waiting', 'END-08: however long');

select alike(tests.outcome(who, 'select public.monitor_sessions()'), '42501 %', format('END-08: no %s runs it', who))
from unnest(array['stranger', 'admin', 'anon']) as who;

select * from finish();

rollback;
