-- MOV-06: the events of a session fold into its row: status, times, bought minutes, seconds, whatever happened to it.
begin;

select plan(26);

select tests.stop_clock();
select tests.admin('admin');

-- The row as replay_session has it, and as it is.
create function pg_temp.equals(p_customer text, p_what text) returns text
language sql
as $$
  select is(
    to_jsonb(r) - 'session_id' - 'events' - 'is_complete', to_jsonb(private.record_of(tests.row_of(p_customer))),
    'MOV-06: ' || p_what
  )
  from public.replay_session(p_session_id => tests.session_of(p_customer)) as r
$$;

-- a booking, given back once, then a session with an interruption, an extension, a summary and a refund
select tests.person('customer');
select tests.mechanic('first');
select tests.mechanic('second');
select tests.has_account('second');
select tests.pay('customer', 'video15');
select pg_temp.equals('customer', 'in the queue');
select tests.accept('first', 'customer');
select pg_temp.equals('customer', 'accepted');
select tests.advance(10);
select tests.do_as('first', format('select public.release_assignment(%L, ''ill'')', tests.assignment_of('customer')));
select pg_temp.equals('customer', 'given back');
select tests.advance(10);
select tests.accept('second', 'customer');
select tests.join('customer', 'customer');
select pg_temp.equals('customer', 'one is there');
select tests.advance(5);
select tests.join('second', 'customer');
select pg_temp.equals('customer', 'live');
select tests.together_for('second', 'customer', 60);
select tests.leave('customer', 'customer');
select pg_temp.equals('customer', 'reconnecting');
select tests.advance(20);
select tests.join('customer', 'customer');
select pg_temp.equals('customer', 'live again');
select tests.pay_extension('customer', 15);
select pg_temp.equals('customer', 'extended');
select is(
  (select r.duration_minutes from public.replay_session(tests.session_of('customer')) as r), 60,
  'MOV-06: with the minutes bought'
);
select tests.together_for('second', 'customer', 120);
select tests.finish_session('second', 'customer');
select pg_temp.equals('customer', 'completed');
select tests.sum_up('second', 'customer');
select pg_temp.equals('customer', 'summed up');
select tests.session_refund('customer', 'a part', 100);
select pg_temp.equals('customer', 'partly refunded');
select tests.lasted('customer', 20);
select public.apply_semantic_fix(false);
select pg_temp.equals('customer', 'corrected');
select is(
  (select concat_ws(' ', r.status, r.billable_seconds, r.end_reason, r.is_complete)
    from public.replay_session(tests.session_of('customer')) as r),
  'cancelled 20 too_short t', 'MOV-06: with the correction'
);
select tests.advance(86400);
select public.archive_sessions(tests.now());
select pg_temp.equals('customer', 'archived');

-- what nobody touched
select tests.person('booked');
select tests.book('booked', '2 h');
select pg_temp.equals('booked', 'booked');
select tests.accept('first', 'booked');
select pg_temp.equals('booked', 'accepted for later');
select tests.advance(7201);
select public.tick_sessions();
select pg_temp.equals('booked', 'its time has come');
select tests.advance(7201);
select public.expire_orphaned_sessions();
select pg_temp.equals('booked', 'expired');

-- past the engine
select tests.live('raw', 'mechanic of raw');
select tests.advance(10);
update public.sessions set status = 'completed' where id = tests.session_of('raw');
select pg_temp.equals('raw', 'ended by a raw update');
insert into public.sessions (
  customer_user_id, mechanic_id, plan, type, status, funding, price_cents, currency, duration_minutes, metadata,
  started_at, ended_at
)
values (
  tests.person('imported'), tests.id('first'), 'chat10', 'chat', 'completed', 'free', 0, 'usd', 30,
  '{"imported": true}', tests.now() - interval '1 hour', tests.now()
);
select pg_temp.equals('imported', 'imported');

-- who may ask
select is(
  tests.outcome(who, format('select public.replay_session(%L)', tests.session_of('customer'))), 'PT403 role_required',
  'MOV-08: not ' || who
)
from (values ('customer'), ('second')) as w (who);
select is(
  tests.outcome(who, format('select public.replay_session(%L)', tests.session_of('customer'))), 'ok',
  'MOV-08: but ' || who
)
from (values ('admin'), ('service_role')) as w (who);
select is(
  tests.outcome('admin', format('select public.replay_session(%L)', gen_random_uuid())), 'PT404 session_not_found',
  'MOV-06: not of a session that never was'
);

select * from finish();

rollback;
