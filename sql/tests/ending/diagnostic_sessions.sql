-- END-06: a diagnostic session of the older system is ended by the same function and the same rules; no money moves.
begin;

select plan(34);

select tests.stop_clock('2030-01-01 12:00:00+00');
select tests.person('customer');
select tests.person('stranger');
select tests.mechanic('mechanic');
select tests.admin('admin');

create function pg_temp.diagnostic(
  p_word text, p_status public.session_status, p_started_seconds_ago integer, p_minutes integer default 60,
  p_has_mechanic boolean default true
)
returns void
language sql
as $$
  insert into public.diagnostic_sessions (
    id, customer_user_id, mechanic_id, status, started_at, duration_minutes, metadata, created_at
  )
  values (
    tests.id(p_word), tests.id('customer'), case when p_has_mechanic then tests.id('mechanic') end, p_status,
    tests.now() - make_interval(secs => p_started_seconds_ago), p_minutes, '{"kept": true}',
    tests.now() - interval '1 day'
  )
$$;

create function pg_temp.row_of(p_word text)
returns public.diagnostic_sessions
language sql
as $$ select d from public.diagnostic_sessions as d where d.id = tests.id(p_word) $$;

create function pg_temp.finish(p_who text, p_word text, p_is_preview boolean default false)
returns public.session_end_result
language plpgsql
as $$
declare
  v_result public.session_end_result;
begin
  if p_who = 'system' then
    perform tests.be_system();
  elsif p_who = 'service_role' then
    perform tests.act_as_role(p_who);
  else
    perform tests.act_as(p_who);
  end if;
  if p_is_preview then
    select * into v_result from public.preview_end(p_session_id => tests.id(p_word));
  else
    select * into v_result from public.end_session_with_semantics(
      p_session_id => tests.id(p_word), p_reason => 'the note'
    );
  end if;
  perform tests.be_system();
  return v_result;
end
$$;

-- A long one, ended by its customer.
select pg_temp.diagnostic('long', 'live', 600);
create temporary table previewed on commit drop as select * from pg_temp.finish('mechanic', 'long', true);
select is((pg_temp.row_of('long')).status::text, 'live', 'END-06, END-07: a preview ends nothing');
select is_empty(
  $$ select 1 from public.session_events where session_id = tests.id('long') $$, 'END-06, END-07: and writes nothing'
);
create temporary table ended on commit drop as select * from pg_temp.finish('customer', 'long');
select results_eq(
  $$ select
       session_id, final_status::text, already_ended, started, started_at, ended_at, duration_seconds,
       billable_seconds, reason
     from ended $$,
  $$ values (
       tests.id('long'), 'completed', false, true, tests.now() - interval '600 seconds', tests.now(), 600, 600,
       'completed'
     ) $$,
  'END-06: started and long enough: completed'
);
select is((select coalesce(payout_cents, 0) + coalesce(refund_cents, 0) from ended), 0, 'END-06: no money moves');
select results_eq('select * from previewed', 'select * from ended', 'END-06, END-07: the preview had said so');
select is((pg_temp.row_of('long')).status::text, 'completed', 'END-06: the row: its status');
select is((pg_temp.row_of('long')).ended_at, tests.now(), 'END-06: its end');
select is(
  (pg_temp.row_of('long')).metadata,
  '{"kept": true, "end_reason": "completed", "duration_seconds": 600, "billable_seconds": 600}'::jsonb,
  'END-06: and the facts, beside what was there'
);
select is((pg_temp.row_of('long')).updated_at, tests.now(), 'END-06: changed now');
select results_eq(
  $$ select source, type, actor_id, actor_role, payload ->> 'reason', payload -> 'rule' ->> 'min_billable_seconds'
     from public.session_events where session_id = tests.id('long') $$,
  $$ values ('diagnostic_sessions', 'ended', tests.id('customer'), 'customer', 'completed', '60') $$,
  'END-06, END-04: one event, which tells its source, who asked and by which rule'
);
select is_empty(
  $$ select event from realtime.messages where payload::text like '%' || tests.id('long') || '%' $$,
  'RT-02: topics are for sessions'
);

select tests.advance(3600);
select results_eq(
  $$ select * from pg_temp.finish('mechanic', 'long') $$,
  $$ select
       session_id, final_status, true, started, started_at, ended_at, duration_seconds, billable_seconds, reason,
       payout_cents, refund_cents, currency
     from ended $$,
  'END-06, END-02: again: what is stored'
);
select results_eq(
  $$ select * from pg_temp.finish('admin', 'long', true) $$,
  $$ select * from pg_temp.finish('service_role', 'long') $$, 'END-06, END-07: so does the preview'
);
select is(
  (select count(*)::integer from public.session_events where session_id = tests.id('long')), 1,
  'END-06: still one event'
);

-- The same decisions.
create function pg_temp.decision(p_who text, p_word text)
returns text
language sql
as $$
  select format('%s %s %s', r.final_status, r.reason, r.duration_seconds) from pg_temp.finish(p_who, p_word) as r
$$;

select pg_temp.diagnostic('billable', 'live', 60);
select is(pg_temp.decision('system', 'billable'), 'completed completed 60', 'END-06: the least that is billed');
select pg_temp.diagnostic('short', 'live', 59);
select is(pg_temp.decision('mechanic', 'short'), 'cancelled too_short 59', 'END-06: too short');
select pg_temp.diagnostic('forgotten', 'live', 86400, 45);
select is(pg_temp.decision('admin', 'forgotten'), 'completed completed 2700', 'END-06, TIME-03: no free overtime');
select is(
  (pg_temp.row_of('forgotten')).ended_at, tests.now() - interval '86400 seconds' + interval '45 minutes',
  'END-06, TIME-03: it ended at its time, whenever that was written down'
);
select pg_temp.diagnostic('endless', 'live', 86400, null);
select is(
  pg_temp.decision('admin', 'endless'), 'completed completed 10800', 'END-06, TIME-06: no time bought: three hours'
);
select pg_temp.diagnostic('alone', 'pending', null, 60, false);
select is(
  pg_temp.decision('customer', 'alone'), 'cancelled cancelled_before_accept 0', 'END-06: nobody had accepted'
);
select pg_temp.diagnostic('his', 'accepted', null);
select is(pg_temp.decision('customer', 'his'), 'cancelled cancelled_by_customer 0', 'END-06: by the customer');
select pg_temp.diagnostic('its', 'waiting', null);
select is(pg_temp.decision('mechanic', 'its'), 'cancelled cancelled_by_mechanic 0', 'END-06: by the mechanic');
select pg_temp.diagnostic('theirs', 'scheduled', null);
select is(pg_temp.decision('admin', 'theirs'), 'cancelled cancelled_by_admin 0', 'END-06: by an admin');
select pg_temp.diagnostic('nobodys', 'waiting', null);
select is(pg_temp.decision('service_role', 'nobodys'), 'cancelled nobody_joined 0', 'END-06: by the system');
select pg_temp.diagnostic('ruled', 'live', 90);
select public.set_setting('min_billable_seconds', '91');
select is(pg_temp.decision('customer', 'ruled'), 'cancelled too_short 90', 'END-06: the rule of the settings counts');
select public.set_setting('min_billable_seconds', '60');

-- Who may.
select pg_temp.diagnostic('private', 'live', 600);
select is_empty(
  $$ select w.who, f.call
     from (values ('stranger'), ('nobody')) as w (who)
     cross join (values ('end_session_with_semantics'), ('preview_end')) as f (call)
     where tests.outcome(w.who, format('select public.%I(%L)', f.call, tests.id('private')))
       <> 'PT404 session_not_found' $$,
  'END-06: to others it does not exist'
);
select alike(
  tests.outcome('anon', format('select public.end_session_with_semantics(%L)', tests.id('private'))), '42501 %',
  'END-06: nor may visitors ask'
);
select is((pg_temp.row_of('private')).status::text, 'live', 'END-06: none of which ended it');
select is(
  tests.outcome('customer', format('select public.join_session(%L)', tests.id('private'))), 'PT404 session_not_found',
  'END-06: ending is all that can be done with it'
);
select is(pg_temp.decision('admin', 'private'), 'completed completed 600', 'END-06: an admin may');
select is(
  (select actor_role from public.session_events where session_id = tests.id('private')), 'admin',
  'END-06: and it says who did'
);
select is(
  tests.outcome('admin', format('select public.end_session_with_semantics(%L)', tests.id('not there'))),
  'PT404 session_not_found', 'END-06: what is in neither table is not found'
);

-- An id that is in both: the session is meant.
select tests.live('second', 'expert');
insert into public.diagnostic_sessions (id, customer_user_id, mechanic_id, status, started_at, duration_minutes)
values (tests.session_of('second'), tests.id('customer'), tests.id('mechanic'), 'live', tests.now(), 60);
select tests.together_for('expert', 'second', 90);
select is((tests.finish_session('second', 'second')).final_status::text, 'completed', 'END-06: an id of both');
select is(
  (select status::text from public.diagnostic_sessions where id = tests.session_of('second')), 'live',
  'END-06: only an id found in no session is looked for here'
);

select * from finish();

rollback;
