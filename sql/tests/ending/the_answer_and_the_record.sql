-- END-01, END-02, END-04, END-05: what an end answers, what it leaves behind, and who may ask for it.
begin;

select plan(31);

select tests.stop_clock();
select tests.live('customer', 'mechanic');
select tests.person('stranger');
select tests.mechanic('other');
select tests.admin('admin');

select is(
  (
    select string_agg(format('%s %s', attname, atttypid::regtype), ', ' order by attnum) from pg_attribute
    where attrelid = 'public.session_end_result'::regclass and attnum > 0 and not attisdropped
  ),
  'session_id uuid, final_status session_status, already_ended boolean, started boolean, '
  || 'started_at timestamp with time zone, ended_at timestamp with time zone, duration_seconds integer, '
  || 'billable_seconds integer, reason text, payout_cents integer, refund_cents integer, currency text',
  'END-01: the shape of the answer'
);

create function pg_temp.ask(p_who text) returns text
language sql
as $$
  select tests.outcome(
    p_who, format('select public.end_session_with_semantics(p_session_id => %L)', tests.session_of('customer'))
  )
$$;

-- who may not
select is(pg_temp.ask('stranger'), 'PT404 session_not_found', 'END-05: not a stranger');
select is(pg_temp.ask('other'), 'PT404 session_not_found', 'END-05: not another mechanic');
select is(pg_temp.ask('authenticated'), 'PT401 not_authenticated', 'END-05: not nobody');
select alike(pg_temp.ask('anon'), '42501 %', 'END-05: not a visitor');
select is(
  tests.outcome(who, $$ select public.end_session_with_semantics(tests.id('nothing')) $$),
  'PT404 session_not_found', format('END-05: nothing to end for the %s', who)
) from unnest(array['customer', 'admin', 'system', 'service_role']) as who;
select is(
  tests.outcome('customer', 'select public.end_session_with_semantics(null)'), 'PT404 session_not_found',
  'END-05: nor for null'
);
select is((tests.row_of('customer')).status::text, 'live', 'END-05: none of which ended anything');

-- the end
select tests.advance(75);
select set_config(
  'tests.answer', to_jsonb(tests.finish_session('customer', 'customer', repeat('n', 600)))::text, true
);
select is(
  current_setting('tests.answer')::jsonb,
  jsonb_build_object(
    'session_id', tests.session_of('customer'), 'final_status', 'completed', 'already_ended', false, 'started', true,
    'started_at', tests.now() - interval '75 s', 'ended_at', tests.now(), 'duration_seconds', 75,
    'billable_seconds', 75, 'reason', 'completed', 'payout_cents', 0, 'refund_cents', 0, 'currency', 'usd'
  ),
  'END-01: the answer'
);
select is((tests.row_of('customer')).end_note, repeat('n', 500), 'END-01: a note, cut at 500 characters');
select is((tests.row_of('customer')).ended_by, tests.id('customer'), 'END-04: by whom');
select results_eq(
  $$ select status, closed_at from public.session_assignments where session_id = tests.session_of('customer') $$,
  $$ values ('completed', tests.now()) $$, 'END-04: the assignment is closed'
);
select is(
  (
    select count(*)::integer from public.session_participants
    where session_id = tests.session_of('customer') and (is_connected or left_at is null)
  ),
  0, 'END-04: the participants are disconnected'
);
select is(
  (select count(*)::integer from public.session_events where type = 'ended'), 1, 'END-04: one event'
);
select ok(
  (
    select
      jsonb_path_query_first(payload, '$.**.min_billable_seconds') = '60'
      and jsonb_path_query_first(payload, '$.**.billable_basis') = '"elapsed"'
    from public.session_events where type = 'ended'
  ),
  'END-04: with the rule values used'
);
select results_eq(
  $$ select actor_id, actor_role, version, occurred_at from public.session_events where type = 'ended' $$,
  $$ select tests.id('customer'), 'customer', (tests.row_of('customer')).version, tests.now() $$,
  'END-04: by whom, in which version, when'
);

-- again
create temporary table before_again on commit drop as select to_jsonb(s) as facts from tests.row_of('customer') as s;
select tests.advance(86400);
select is(
  to_jsonb(tests.finish_session(who, 'customer', 'another note')),
  current_setting('tests.answer')::jsonb || '{"already_ended": true}',
  format('END-02: again, by the %s: what is stored', who)
)
from unnest(array['customer', 'mechanic', 'admin', 'system', 'service_role']) as who;
select is(
  (select to_jsonb(s) from tests.row_of('customer') as s), (select facts from before_again),
  'END-02: and nothing is changed'
);
select is(
  (select count(*)::integer from public.session_events where type = 'ended'), 1, 'END-05: still one event'
);
select is(pg_temp.ask('stranger'), 'PT404 session_not_found', 'END-05: a stranger learns nothing after it either');

-- a session that never started
select tests.waiting('second', 'second mechanic');
select tests.advance(5);
select is(
  to_jsonb(tests.finish_session('second', 'second')),
  jsonb_build_object(
    'session_id', tests.session_of('second'), 'final_status', 'cancelled', 'already_ended', false, 'started', false,
    'started_at', null, 'ended_at', tests.now(), 'duration_seconds', 0, 'billable_seconds', 0,
    'reason', 'cancelled_by_customer', 'payout_cents', 0, 'refund_cents', 0, 'currency', 'usd'
  ),
  'END-01: one that never started'
);
select is(
  (select status from public.session_assignments where session_id = tests.session_of('second')), 'cancelled',
  'END-04: and its assignment'
);

-- what the client sends changes no status, time or amount
select tests.live('third', 'third mechanic');
select tests.advance(10);
select is(
  (tests.finish_session('third', 'third', 'completed')).final_status::text, 'cancelled',
  'END-01: a reason sent along is a note'
);
select tests.live('fourth', 'fourth mechanic');
select is((tests.finish_session('fourth', 'fourth')).started, true, 'END-01: started, if only for a moment');

select * from finish();

rollback;
