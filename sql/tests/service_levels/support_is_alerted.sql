-- SLA-01, SLA-02, TIME-06: two people who are both there while the meter does not run are a case for support, once;
-- what is longer than any session may be is closed, with a row of the operations log. No command leaves such a state
-- behind: the rows are planted, as somebody with the owner's rights would leave them.
begin;

select plan(36);
select tests.rows_are_changed_by_hand();

select tests.stop_clock();
select tests.nobody_falls_silent();
select public.set_setting('nudge_mechanic_after_seconds', '86400');
select public.set_setting('support_email', '"help@example.test"');

create function pg_temp.alerted() returns integer
language sql
as $$ select (public.monitor_sessions() ->> 'alerted_support')::integer $$;

create function pg_temp.plant(p_word text, p_customer text) returns void
language sql
as $$
  insert into public.session_participants as p (
    session_id, user_id, role, first_joined_at, last_seen_at, is_connected, presence_check_at
  )
  values (
    tests.session_of(p_customer), tests.id(p_word), case p_word when p_customer then 'customer' else 'mechanic' end,
    tests.now(), tests.now(), true, tests.now() + interval '1 day'
  )
  on conflict (session_id, user_id) do update
  set first_joined_at = tests.now(), last_seen_at = tests.now(), is_connected = true, left_at = null,
      presence_check_at = excluded.presence_check_at
$$;

-- How often it was said of a session: event, log, alert; and nothing to the two.
create function pg_temp.said(p_customer text) returns text
language sql stable
as $$
  select concat_ws(
    ' ',
    (select count(*) from public.session_events where session_id = s.id and type = 'support_alerted'),
    (select count(*) from private.ops_log where session_id = s.id and kind = 'alert.support'),
    (select count(*) from private.outbox where key = 'alert:not_live:' || s.id)
  )
  from tests.row_of(p_customer) as s
$$;

-- Waiting, both there.
select tests.waiting('customer', 'mechanic');
select tests.join('customer', 'customer');
select tests.advance(1000);
select is(pg_temp.alerted(), 0, 'SLA-02: one who waits for the other is no case for support');
select tests.leave('customer', 'customer');
select tests.join('customer', 'customer');
select pg_temp.plant('mechanic', 'customer');
select tests.advance(119);
select is(pg_temp.alerted(), 0, 'SLA-02: not a second before');
select tests.advance(1);
select is(
  public.monitor_sessions(), '{"nudged_mechanics": 0, "alerted_support": 1, "auto_closed": 0, "unattended": 0}'::jsonb,
  'SLA-01, SLA-02: after alert_support_after_seconds'
);
select is(pg_temp.said('customer'), '1 1 1', 'SLA-02: an event, a row of the operations log, an alert');
select results_eq(
  $$ select o.topic, o.payload from private.outbox as o where o.key like 'alert:not_live:%' $$,
  $$ values ('support.alert', jsonb_build_object(
       'from', 'support@example.com', 'to', 'help@example.test', 'severity', 'critical', 'subject',
       'Both are there, and the meter does not run',
       'detail', jsonb_build_object(
         'session_id', tests.session_of('customer'), 'status', 'waiting', 'since', tests.now() - interval '120 s'
       )
     )) $$,
  'SLA-02: the alert, with what support has to know'
);
select results_eq(
  $$ select e.actor_role, e.payload from public.session_events as e where e.type = 'support_alerted' $$,
  $$ values ('system', jsonb_build_object('since', tests.now() - interval '120 s')) $$, 'SLA-02: the event'
);
select results_eq(
  $$ select l.session_id, l.detail from private.ops_log as l where l.kind = 'alert.support' $$,
  $$ values (tests.session_of('customer'), jsonb_build_object('since', tests.now() - interval '120 s')) $$,
  'SLA-02: the row of the operations log'
);
select is_empty(
  $$ select from public.notifications where kind = 'nudge_join' $$, 'SLA-02: nobody who is there is nudged'
);
select tests.advance(120);
select is(pg_temp.alerted(), 0, 'SLA-01: once');
select tests.advance(86400 - 1500);
select is(pg_temp.alerted(), 0, 'SLA-01: however long');
select is(pg_temp.said('customer'), '1 1 1', 'SLA-01: by all three');
select tests.finish_session('customer', 'customer');

-- In any state before it is live, and while it reconnects.
select tests.live('reconnecting', 'mechanic r');
select tests.leave('reconnecting', 'reconnecting');
select pg_temp.plant('reconnecting', 'reconnecting');
select tests.person('accepted');
select tests.mechanic('mechanic a');
select tests.book('accepted', '2 h');
select tests.accept('mechanic a', 'accepted');
select pg_temp.plant('accepted', 'accepted');
select pg_temp.plant('mechanic a', 'accepted');
select tests.live('live', 'mechanic l');
select tests.advance(120);
select is(pg_temp.alerted(), 2, 'SLA-02: an accepted and a reconnecting one, not the live one');
select is(pg_temp.said(which), said, format('SLA-02: the one that is %s', which))
from (values ('accepted', '1 1 1'), ('reconnecting', '1 1 1'), ('live', '0 0 0')) as cases (which, said);
select tests.finish_session('system', which) from unnest(array['accepted', 'reconnecting', 'live']) as which;

-- Who counts as there: not who has fallen silent, and not who gave it back.
select public.set_setting('presence_timeout_seconds', '90');
select tests.waiting('silent', 'mechanic s');
select tests.join('silent', 'silent');
select pg_temp.plant('mechanic s', 'silent');
select tests.advance(120);
select is(pg_temp.alerted(), 0, 'SLA-02, PRE-03: nobody who fell silent is there');
select is(pg_temp.said('silent'), '0 0 0', 'SLA-02, PRE-03: which is what is written down');
select tests.nobody_falls_silent();
select tests.finish_session('system', 'silent');
select tests.waiting('given back', 'mechanic g');
select tests.do_as(
  'mechanic g', format('select public.release_assignment(p_assignment_id => %L)', tests.assignment_of('given back'))
);
select tests.mechanic('next g');
select tests.accept('next g', 'given back');
select tests.join('given back', 'given back');
select tests.advance(200);
select is(pg_temp.alerted(), 0, 'SLA-02: nor who gave it back');
select pg_temp.plant('next g', 'given back');
select is(pg_temp.alerted(), 1, 'SLA-02: the one who has it now is');
select tests.finish_session('system', 'given back');

-- The setting decides, also of what is there already.
select tests.waiting('set', 'mechanic t');
select tests.join('set', 'set');
select pg_temp.plant('mechanic t', 'set');
select public.set_setting('alert_support_after_seconds', '200');
select tests.advance(199);
select is(pg_temp.alerted(), 0, 'SLA-02: the setting was raised');
select public.set_setting('alert_support_after_seconds', '199');
select is(pg_temp.alerted(), 1, 'SLA-02: and lowered');
select tests.finish_session('system', 'set');
select public.set_setting('alert_support_after_seconds', '120');

-- Both at once: the mechanic of one, support for another, one that is closed, one that nobody takes.
select public.set_setting('nudge_mechanic_after_seconds', '180');
select public.set_setting('unattended_after_minutes', '60');
select tests.live('long', 'mechanic u');
update public.sessions set metadata = '{"imported": true}', expires_at = null where id = tests.session_of('long');
select tests.person('pending');
select tests.queue('pending');
select tests.advance(10800 - 500);
select tests.waiting('late', 'mechanic v');
select tests.waiting('both', 'mechanic w');
select tests.join('both', 'both');
select pg_temp.plant('mechanic w', 'both');
select tests.advance(500);
select is(
  public.monitor_sessions(), '{"nudged_mechanics": 1, "alerted_support": 1, "auto_closed": 1, "unattended": 1}'::jsonb,
  'SLA-01: all of it in one run'
);
select is(
  public.monitor_sessions(), '{"nudged_mechanics": 0, "alerted_support": 0, "auto_closed": 0, "unattended": 0}'::jsonb,
  'SLA-01: and nothing in the next'
);
select results_eq(
  $$ select l.session_id, l.detail from private.ops_log as l where l.kind = 'autoclose.session' $$,
  $$ values (tests.session_of('long'), jsonb_build_object('ended_at', (tests.row_of('long')).ended_at)) $$,
  'TIME-06, SLA-02: what was closed is in the operations log, once'
);
select is(
  (tests.row_of('long')).metadata - 'imported', '{"auto_ended": true, "auto_end_reason": "exceeded_3h_limit"}'::jsonb,
  'TIME-06: and marked'
);
select is(tests.told('long'), 'completed completed 10800 10800 10800', 'TIME-06: with semantics');
select is(
  (select result from private.job_runs where job = 'monitor-sessions' and not is_failure),
  '{"nudged_mechanics": 0, "alerted_support": 0, "auto_closed": 0, "unattended": 0}'::jsonb,
  'SLA-01, TIME-07: the last run is on record'
);

-- One bad session does not stop the others, and is left alone for retry_failed_seconds.
create function tests.refuse() returns trigger
language plpgsql
as $$
begin
  raise exception 'this row is bad' using errcode = 'XX001';
end
$$;
select tests.waiting('bad', 'mechanic x');
select tests.advance(1);
select tests.waiting('good', 'mechanic y');
select set_config('tests.bad', tests.session_of('bad')::text, true);
create trigger a_bad_row before insert on public.notifications
for each row when (new.session_id::text = current_setting('tests.bad', true))
execute function tests.refuse();
select tests.advance(200);
select is((public.monitor_sessions() ->> 'nudged_mechanics')::integer, 1, 'SLA-01: the good one is done');
select results_eq(
  $$ select f.session_id, f.work, f.error, f.failures, f.retry_at from private.session_failures as f $$,
  $$ values (tests.session_of('bad'), 'monitor', 'this row is bad', 1, tests.now() + interval '300 s') $$,
  'SLA-01: the bad one is left for review'
);
select is(
  (select count(*) from private.outbox where session_id = tests.session_of('bad') and topic in ('email', 'push')),
  0::bigint, 'SLA-01: and nothing was half done'
);
select tests.advance(299);
select public.monitor_sessions();
select is((select failures from private.session_failures), 1, 'SLA-01: it is left alone for a while');
select tests.advance(1);
select public.monitor_sessions();
select is((select failures from private.session_failures), 2, 'SLA-01: and tried again');
drop trigger a_bad_row on public.notifications;
select tests.advance(300);
select is((public.monitor_sessions() ->> 'nudged_mechanics')::integer, 1, 'SLA-01: mended, it is done');
select is_empty($$ select from private.session_failures $$, 'SLA-01: and nothing is left for review');

-- What the monitor looks at follows who waits, not what exists.
insert into public.profiles (id) select tests.id('one of many ' || i) from generate_series(1, 3000) as i;
insert into public.sessions (
  customer_user_id, plan, type, status, funding, price_cents, currency, duration_minutes, started_at, ended_at
)
select
  tests.id('one of many ' || i), 'chat10', 'chat', 'completed', 'free', 0, 'usd', 30, tests.now() - interval '2 h',
  tests.now()
from generate_series(1, 3000) as i;
analyze public.sessions;
create function pg_temp.looked_at() returns bigint[]
language sql
as $$
  select array[sum(seq_scan), sum(seq_tup_read + coalesce(idx_tup_fetch, 0))]::bigint[]
  from pg_stat_xact_user_tables where schemaname = 'public' and relname = 'sessions'
$$;
select private.attend_all(private.clock(), 1000);
create temporary table before (looked_at) on commit drop as select pg_temp.looked_at();
select private.attend_all(private.clock(), 1000);
select is(
  (select (pg_temp.looked_at())[1] - looked_at[1] from before), 0::bigint,
  'SLA-01, PERF-04: the sessions are not read through'
);
select cmp_ok(
  (select (pg_temp.looked_at())[2] - looked_at[2] from before), '<', 50::bigint,
  'SLA-01, PERF-04: 3000 are not looked at'
);

select * from finish();

rollback;
