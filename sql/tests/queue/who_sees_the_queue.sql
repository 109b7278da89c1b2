-- QUE-01, QUE-06, LIFE-07: the queue is for approved, accepting mechanics, and never shows them themselves.
begin;

select plan(21);

select tests.stop_clock();
select tests.person('first');
select tests.person('second');
select tests.mechanic('mechanic');
select tests.mechanic('preferred');
select tests.mechanic('pending', false);
select tests.admin('admin');
select tests.act_as('first');
select public.update_profile('The first');
select public.create_session('chat10', p_intake => '{"car": "red"}');
select tests.be_system();
select tests.advance(10);
select tests.queue('second', 'video15');
select tests.advance(20);

create function pg_temp.seen_by(p_who text, p_limit integer default 100) returns setof uuid
language plpgsql
as $$
begin
  perform tests.act_as(p_who);
  return query select session_id from public.mechanic_queue(p_limit => p_limit);
  perform tests.be_system();
end
$$;

select tests.act_as('mechanic');
create temporary table seen on commit drop as select * from public.mechanic_queue();
select tests.be_system();
select results_eq(
  $$ select assignment_id, session_id, plan, type::text, intake, customer_display_name, scheduled_for,
     waiting_seconds::integer, is_preferred, created_at from seen limit 1 $$,
  $$ values (tests.assignment_of('first'), tests.session_of('first'), 'chat10', 'chat', '{"car": "red"}'::jsonb,
     'The first', null::timestamptz, 30, false, tests.now() - interval '30 s') $$,
  'QUE-01, LIFE-07: what a mechanic sees'
);
select results_eq(
  $$ select pg_temp.seen_by('mechanic') $$,
  $$ values (tests.session_of('first')), (tests.session_of('second')) $$, 'QUE-01: oldest first'
);
select results_eq(
  $$ select pg_temp.seen_by('mechanic', 1) $$, $$ values (tests.session_of('first')) $$, 'QUE-01: as many as asked for'
);
select is(tests.outcome('first', 'select public.mechanic_queue()'), 'PT403 role_required', 'QUE-01: no customer');
select is(tests.outcome('pending', 'select public.mechanic_queue()'), 'PT403 role_required', 'QUE-01: not pending');
select alike(tests.outcome('anon', 'select public.mechanic_queue()'), '42501 %', 'QUE-01: no visitor');
select public.set_mechanic_status(tests.id('pending'), 'suspended');
select is(tests.outcome('pending', 'select public.mechanic_queue()'), 'PT403 role_required', 'QUE-01: not suspended');
select tests.act_as('mechanic');
select is((select count(*)::integer from public.sessions), 0, 'QUE-01: the table shows no queued session');
select is((select count(*)::integer from public.session_assignments), 0, 'QUE-01: nor assignment');
select tests.be_system();

-- never his own
select tests.queue('mechanic');
select set_hasnt(
  $$ select pg_temp.seen_by('mechanic') $$, $$ values (tests.session_of('mechanic')) $$, 'QUE-01: never his own'
);
select set_has(
  $$ select pg_temp.seen_by('preferred') $$, $$ values (tests.session_of('mechanic')) $$, 'QUE-01: others see it'
);
select is(
  tests.outcome('mechanic', $$ select public.accept_assignment(tests.assignment_of('mechanic')) $$),
  'PT404 assignment_not_found', 'MOD-09: nor can he accept it'
);

-- preferred
select tests.person('third');
select tests.act_as('third');
select public.create_session('chat10', p_preferred_mechanic_id => tests.id('preferred'));
select tests.be_system();
select results_eq(
  $$ select pg_temp.seen_by('preferred', 1) $$, $$ values (tests.session_of('third')) $$, 'QUE-01: preferred first'
);
select tests.act_as('preferred');
select is(
  (select is_preferred from public.mechanic_queue() limit 1), true, 'QUE-01: and marked'
);
select tests.be_system();
select set_hasnt(
  $$ select pg_temp.seen_by('mechanic') $$, $$ values (tests.session_of('third')) $$, 'QUE-01: alone at first'
);
select is(
  tests.outcome('mechanic', $$ select public.accept_assignment(tests.assignment_of('third')) $$),
  'PT404 assignment_not_found', 'QUE-01: what is not seen is not there'
);
select tests.advance(121);
select set_has(
  $$ select pg_temp.seen_by('mechanic') $$, $$ values (tests.session_of('third')) $$, 'QUE-01: then for everybody'
);

-- availability
select is(tests.outcome('mechanic', 'select public.set_availability(false)'), 'ok', 'QUE-06: away');
select isnt(
  coalesce((select count(*) from pg_temp.seen_by('preferred')), 0), 0::bigint, 'QUE-06: which concerns only him'
);
select ok(
  tests.outcome('mechanic', 'select public.mechanic_queue()') = 'PT403 role_required', 'QUE-06: no queue while away'
);
select tests.do_as('mechanic', 'select public.set_availability(true)');
select set_has(
  $$ select pg_temp.seen_by('mechanic') $$, $$ values (tests.session_of('first')) $$, 'QUE-06: and back again'
);

select * from finish();

rollback;
