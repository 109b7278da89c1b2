-- NOTE-02: one crm.track message for every session that is over, whoever ended it and however: with who, what, how
-- long, how much and why. An older session that is brought over over is no news.
begin;

select plan(30);
select tests.rows_are_changed_by_hand();

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.admin('admin');

create function pg_temp.tracked(p_customer text) returns setof jsonb
language sql stable
as $$
  select o.payload from private.outbox as o
  where o.topic = 'crm.track' and o.session_id = tests.session_of(p_customer)
$$;

-- "event reason duration billable price held refunded currency" of each.
create function pg_temp.told(p_customer text) returns text
language sql stable
as $$
  select string_agg(concat_ws(
    ' ', t ->> 'event', coalesce(t ->> 'reason', '-'), t ->> 'duration_seconds', t ->> 'billable_seconds',
    t ->> 'price_cents', t ->> 'held_cents', t ->> 'refunded_cents', t ->> 'currency'
  ), ', ')
  from pg_temp.tracked(p_customer) as t
$$;

-- The whole of it.
select tests.paid_live('paid', 'paid mechanic');
select is(pg_temp.told('paid'), null, 'NOTE-02: nothing of a session that goes on');
select tests.pay_extension('paid', 15);
select tests.advance(70);
select tests.finish_session('paid', 'paid');
select is(
  (select t from pg_temp.tracked('paid') as t),
  (select jsonb_build_object(
    'event', 'session_completed', 'session_id', s.id, 'customer_user_id', tests.id('paid'),
    'mechanic_id', tests.id('paid mechanic'), 'plan', 'video15', 'type', 'video', 'funding', 'paid',
    'status', 'completed', 'reason', 'completed', 'started_at', s.started_at, 'ended_at', tests.now(),
    'duration_seconds', 70, 'billable_seconds', 70, 'price_cents', 1500, 'held_cents', 2000, 'refunded_cents', 0,
    'currency', 'usd'
  ) from tests.row_of('paid') as s),
  'NOTE-02: who, what, how long, how much, why'
);
select is(
  (select key from private.outbox where topic = 'crm.track' and session_id = tests.session_of('paid')),
  'crm:' || tests.session_of('paid'), 'NOTE-02: under a key of the session'
);

-- Whoever ends it.
create function pg_temp.ended(p_case text, p_state text, p_seconds integer, p_end text) returns text
language plpgsql
as $$
begin
  perform tests.session_in(p_state, p_case, p_case || ' mechanic');
  perform tests.advance(p_seconds);
  execute format(p_end, tests.session_of(p_case), tests.id(p_case));
  return pg_temp.told(p_case);
end
$$;

select is(
  pg_temp.ended(what, state, seconds, statement), concat_ws(' ', 'session_' || told, '0 0 0 usd'),
  'NOTE-02: ' || what
)
from (values
  ('a command of the system', 'live', 100, 'select public.end_session_with_semantics(%L)',
    'completed completed 100 100'),
  ('too short', 'live', 10, 'select public.end_session_with_semantics(%L)', 'cancelled too_short 10 10'),
  ('before anybody accepted', 'pending', 5, 'select public.end_session_with_semantics(%L)',
    'cancelled cancelled_before_accept 0 0'),
  ('the tick', 'live', 1801, 'select public.tick_sessions()', 'completed completed 1800 1800'),
  ('the sweep', 'live', 1801, 'select public.end_expired_sessions()', 'completed completed 1800 1800'),
  ('the tick, at the end of the grace', 'reconnecting', 901, 'select public.tick_sessions()',
    'cancelled too_short 0 0'),
  ('a snapshot', 'live', 90000, 'select public.session_snapshot(%L)', 'completed completed 1800 1800'),
  ('an orphan', 'waiting', 7201, 'select public.expire_orphaned_sessions()', 'expired orphaned 0 0'),
  ('an admin: unattended', 'pending', 60, 'select public.mark_session_unattended(%L)', 'unattended unattended 0 0'),
  ('a raw UPDATE to completed', 'live', 60, 'update public.sessions set status = ''completed'' where id = %L',
    'completed completed 0 0'),
  ('a raw UPDATE to expired', 'waiting', 60, 'update public.sessions set status = ''expired'' where id = %L',
    'expired - 0 0'),
  ('a raw UPDATE to cancelled', 'scheduled', 60, 'update public.sessions set status = ''cancelled'' where id = %L',
    'cancelled - 0 0'),
  ('a raw UPDATE to unattended', 'pending', 60, 'update public.sessions set status = ''unattended'' where id = %L',
    'unattended - 0 0'),
  ('its customer''s account is deleted', 'live', 80, 'update auth.users set deleted_at = now() where id = %2$L',
    'completed completed 80 80')
) as cases (what, state, seconds, statement, told);

-- By people.
select tests.waiting('by customer', 'a mechanic');
select tests.finish_session('by customer', 'by customer');
select is(
  pg_temp.told('by customer'), 'session_cancelled cancelled_by_customer 0 0 0 0 0 usd', 'NOTE-02: the customer'
);
select tests.waiting('by mechanic', 'its mechanic');
select tests.finish_session('its mechanic', 'by mechanic');
select is(
  pg_temp.told('by mechanic'), 'session_cancelled cancelled_by_mechanic 0 0 0 0 0 usd', 'NOTE-02: the mechanic'
);
select tests.person('by admin');
select tests.pay('by admin');
select tests.finish_session('admin', 'by admin');
select is(
  pg_temp.told('by admin'), 'session_cancelled cancelled_before_accept 0 0 1500 1500 1500 usd',
  'NOTE-02: an admin, and what went back'
);

-- The monitor: what nobody takes, and what is longer than any session may be.
select public.set_setting('unattended_after_minutes', '10');
select tests.person('nobody came');
select tests.queue('nobody came');
select tests.advance(601);
select is((public.monitor_sessions() ->> 'unattended')::integer, 1, 'END-08: the monitor ends it');
select is(
  pg_temp.told('nobody came'), 'session_unattended unattended 0 0 0 0 0 usd', 'NOTE-02: unattended, by the monitor'
);
select tests.live('imported', 'imported mechanic');
update public.sessions set metadata = '{"imported": true}', expires_at = null
where id = tests.session_of('imported');
select tests.advance(10800);
select is((public.monitor_sessions() ->> 'auto_closed')::integer, 1, 'TIME-06: the monitor closes it');
select is(
  pg_temp.told('imported'), 'session_completed completed 10800 10800 0 0 0 usd', 'NOTE-02: closed by the monitor'
);

-- Once: what comes later changes nothing.
select tests.finish_session('paid', 'paid');
select tests.sum_up('paid mechanic', 'paid');
select tests.session_refund('paid', 'all');
select tests.advance(86400);
select public.archive_sessions(p_before => tests.now());
select is((tests.row_of('paid')).status::text, 'archived', 'NOTE-02: ended again, summed up, refunded, archived');
select is(
  pg_temp.told('paid'), 'session_completed completed 70 70 1500 2000 0 usd', 'NOTE-02: it stays one message'
);
select results_eq(
  $$ select s.id from public.sessions as s where s.status >= 'completed' order by s.id $$,
  $$ select o.session_id from private.outbox as o where o.topic = 'crm.track' order by o.session_id $$,
  'NOTE-02: in all of this one each'
);

-- An older one, brought over as it ended.
select tests.person('older');
insert into public.sessions (
  customer_user_id, plan, type, status, funding, price_cents, currency, duration_minutes, started_at, ended_at, metadata
)
values (
  tests.id('older'), 'chat10', 'chat', 'completed', 'free', 0, 'usd', 30, tests.now() - interval '2 h',
  tests.now() - interval '1 h', '{"imported": true}'
);
select is(pg_temp.told('older'), null, 'NOTE-02, LEG-03: no news of an older one');
select is_empty(
  $$ select from public.session_upsells where session_id = tests.session_of('older') $$,
  'NOTE-02, LEG-03: nor an offer'
);
select is_empty(
  $$ select from public.notifications where user_id = tests.id('older') $$, 'NOTE-01, LEG-03: nor a notification'
);

select * from finish();

rollback;
