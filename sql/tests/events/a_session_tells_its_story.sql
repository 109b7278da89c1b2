-- MOD-03, LIFE-01: every step of a session is an event: who, when, in which version; read by admins only.
begin;

select plan(10);

select tests.stop_clock();
select tests.live('customer', 'mechanic');
select tests.advance(75);
select tests.finish_session('mechanic', 'customer');

select results_eq(
  $$ select type, actor_id, actor_role, source from public.session_events
     where session_id = tests.session_of('customer') order by id $$,
  $$ values
    ('created', tests.id('customer'), 'customer', 'sessions'),
    ('accepted', tests.id('mechanic'), 'mechanic', 'sessions'),
    ('joined', tests.id('customer'), 'customer', 'sessions'),
    ('joined', tests.id('mechanic'), 'mechanic', 'sessions'),
    ('started', tests.id('mechanic'), 'mechanic', 'sessions'),
    ('ended', tests.id('mechanic'), 'mechanic', 'sessions') $$,
  'MOD-03: the whole story, in order'
);
select is(
  (
    select count(*)::integer from (
      select version - lag(version) over (order by id) as step
      from public.session_events where session_id = tests.session_of('customer')
    ) as steps where step < 0
  ),
  0, 'MOD-03: versions never go back'
);
select is(
  (select max(version) from public.session_events where session_id = tests.session_of('customer')),
  (tests.row_of('customer')).version, 'MOD-03: the last one is the row''s'
);
select is(
  (
    select payload ->> 'user_id' from public.session_events
    where session_id = tests.session_of('customer') and type = 'joined' order by id limit 1
  ),
  tests.id('customer')::text, 'MOD-03: a join names who joined'
);
select is(
  (
    select count(*)::integer from public.session_events
    where session_id = tests.session_of('customer') and type = 'started'
      and version = (select min(version) from public.session_events as e where e.type = 'started')
  ),
  1, 'PRE-02: one start'
);

select tests.act_as('customer');
select is((select count(*)::integer from public.session_events), 0, 'MOD-03: the customer reads no raw events');
select tests.act_as('mechanic');
select is((select count(*)::integer from public.session_events), 0, 'MOD-03: nor does the mechanic');
select tests.be_system();
select alike(
  tests.outcome('anon', 'select * from public.session_events'), '42501 %', 'MOD-03: nor a visitor'
);
select alike(
  tests.outcome(
    'customer',
    $$ insert into public.session_events (session_id, type, actor_role, version)
       values (tests.session_of('customer'), 'started', 'system', 99) $$
  ),
  '42501 %', 'MOD-01: no client writes one'
);
select tests.admin('admin');
select tests.act_as('admin');
select is((select count(*)::integer from public.session_events), 6, 'MOD-03: an admin reads them');
select tests.be_system();

select * from finish();

rollback;
