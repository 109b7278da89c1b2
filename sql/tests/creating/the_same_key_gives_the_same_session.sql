-- LIFE-04: a repeated request returns what it made, whatever came in between.
begin;

select plan(11);

select tests.stop_clock();
select tests.person('customer');
select tests.person('second customer');
select tests.mechanic('mechanic');

create function pg_temp.create_by(p_who text, p_plan text, p_key text, p_intake jsonb default '{}')
returns public.sessions
language plpgsql
as $$
declare
  v_session public.sessions;
begin
  perform tests.act_as(p_who);
  select * into v_session
  from public.create_session(p_plan => p_plan, p_intake => p_intake, p_idempotency_key => p_key);
  perform tests.be_system();
  return v_session;
end
$$;

select set_config('tests.first', (pg_temp.create_by('customer', 'chat10', 'k1', '{"a": 1, "b": 2}')).id::text, true);

select is(
  (pg_temp.create_by('customer', 'chat10', 'k1', '{"b": 2, "a": 1}')).id::text, current_setting('tests.first'),
  'LIFE-04: while it is active'
);
select tests.accept('mechanic', 'customer');
select is(
  (pg_temp.create_by('customer', 'chat10', 'k1', '{"a": 1, "b": 2}')).status::text, 'waiting',
  'LIFE-04: as it is now'
);
select is(
  tests.outcome('customer', $$ select public.create_session('video15', p_idempotency_key => 'k1') $$),
  'PT409 idempotency_conflict', 'LIFE-04: with another plan'
);
select is(
  tests.outcome('customer', $$ select public.create_session('chat10', p_idempotency_key => 'k1') $$),
  'PT409 idempotency_conflict', 'LIFE-04: with another intake'
);
select is(
  tests.outcome('customer', $$ select public.create_session('chat10', p_idempotency_key => 'k2') $$),
  'PT409 active_session_exists', 'LIFE-04: another key is another request'
);
select tests.finish_session('customer', 'customer');
select tests.advance(3600);
select is(
  (pg_temp.create_by('customer', 'chat10', 'k1', '{"a": 1, "b": 2}')).id::text, current_setting('tests.first'),
  'LIFE-04: after its end'
);
select is(
  (select count(*)::integer from public.sessions), 1, 'LIFE-04: no repetition has made a session'
);
select isnt(
  (pg_temp.create_by('second customer', 'chat10', 'k1')).id::text, current_setting('tests.first'),
  'LIFE-04: another customer''s key is another key'
);
select isnt(
  (pg_temp.create_by('customer', 'video15', 'k3')).id::text, current_setting('tests.first'),
  'LIFE-04: a new key makes a new session'
);
select is(
  (pg_temp.create_by('customer', 'chat10', 'k1', '{"a": 1, "b": 2}')).id::text, current_setting('tests.first'),
  'LIFE-04: beside which the old one still answers'
);
select public.set_plan('chat10', p_is_active => false);
select is(
  (pg_temp.create_by('customer', 'chat10', 'k1', '{"a": 1, "b": 2}')).id::text, current_setting('tests.first'),
  'LIFE-04: even when the plan is not sold any more'
);

select * from finish();

rollback;
