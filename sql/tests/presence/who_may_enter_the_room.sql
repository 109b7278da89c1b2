-- PRE-01: who may enter a session's video room, as what, and when: whoever may join, and only he.
begin;

select plan(17);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.person('stranger');
select tests.admin('admin');

create function pg_temp.access(p_who text, p_customer text) returns text
language sql
as $$
  select tests.outcome(p_who, format('select public.video_access(%L)', tests.session_of(p_customer)))
$$;

select tests.waiting('customer', 'mechanic', 'video15');
select is(pg_temp.access('customer', 'customer'), 'ok', 'PRE-01: the customer');
select is(pg_temp.access('mechanic', 'customer'), 'ok', 'PRE-01: the mechanic');
select is(pg_temp.access('stranger', 'customer'), 'PT404 session_not_found', 'PRE-01: nobody else');
select is(pg_temp.access('admin', 'customer'), 'PT404 session_not_found', 'PRE-01: no admin either');
select is(
  tests.outcome('customer', format('select public.video_access(%L)', tests.id('nothing'))), 'PT404 session_not_found',
  'PRE-01: of a session there is'
);
select tests.act_as('mechanic');
select is(
  public.video_access(tests.session_of('customer')),
  jsonb_build_object(
    'session_id', tests.session_of('customer'), 'room', 'session-' || tests.session_of('customer'),
    'identity', 'mechanic-' || tests.id('mechanic'), 'role', 'mechanic', 'user_id', tests.id('mechanic'),
    'status', 'waiting'
  ), 'PRE-01: which room, and as whom'
);
select tests.be_system();
select is(
  (select is_connected from tests.presence_of('mechanic', 'customer')), false, 'PRE-01: to ask is not to join'
);
select tests.join('mechanic', 'customer');
select tests.join('customer', 'customer');
select is(pg_temp.access('customer', 'customer'), 'ok', 'PRE-01: while live');
select tests.advance(3600);
select is(pg_temp.access('customer', 'customer'), 'PT410 session_ended', 'PRE-01: over, if not yet written down');
select is((tests.row_of('customer')).status::text, 'live', 'PRE-01: and to ask writes nothing');
select tests.finish_session('customer', 'customer');
select is(pg_temp.access('customer', 'customer'), 'PT410 session_ended', 'PRE-01: after the end');

select tests.live('chat', 'chat mechanic');
select is(pg_temp.access('chat', 'chat'), 'PT422 invalid_argument', 'PRE-01: a chat has no room');

select tests.person('given back');
select tests.mechanic('former');
select tests.queue('given back', 'video15');
select is(pg_temp.access('given back', 'given back'), 'ok', 'PRE-01: the customer, before anybody accepts');
select tests.accept('former', 'given back');
select tests.do_as('former', format('select public.release_assignment(%L)', tests.assignment_of('given back')));
select is(pg_temp.access('former', 'given back'), 'PT404 session_not_found', 'PRE-01: not who gave it back');

select tests.person('booked');
select tests.book('booked', interval '2 hours', 'video15');
select is(pg_temp.access('booked', 'booked'), 'PT409 session_not_active', 'PRE-01: not long before its time');
select tests.advance(7200 - 600);
select is(pg_temp.access('booked', 'booked'), 'ok', 'PRE-01: but from early_join_minutes on');
select is(
  (select p.provolatile::text from pg_proc as p where p.oid = 'public.video_access(uuid)'::regprocedure), 's',
  'PRE-01: it writes nothing'
);

select * from finish();
rollback;
