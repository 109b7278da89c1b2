-- PRE-05: who may read a snapshot, and that reading it is a sign of life of who is connected, and of nobody else.
begin;

select plan(26);

select tests.stop_clock();
select tests.live('customer', 'mechanic');
select tests.person('stranger');
select tests.mechanic('other');
select tests.mechanic('former');
select tests.admin('admin');

create function pg_temp.read_by(p_who text) returns text
language sql
as $$
  select tests.outcome(
    p_who, format('select public.session_snapshot(p_session_id => %L)', tests.session_of('customer'))
  )
$$;

select is(pg_temp.read_by(who), 'PT404 session_not_found', format('PRE-05: not the %s', who))
from unnest(array['stranger', 'other']) as who;
select alike(pg_temp.read_by('anon'), '42501 %', 'PRE-05: not a visitor');
select is(pg_temp.read_by('authenticated'), 'PT401 not_authenticated', 'PRE-05: not nobody');
select is(
  tests.outcome(who, $$ select public.session_snapshot(tests.id('nothing')) $$), 'PT404 session_not_found',
  format('PRE-05: nothing to read for the %s', who)
)
from unnest(array['customer', 'admin', 'system', 'service_role']) as who;
select is(
  tests.outcome('customer', 'select public.session_snapshot(null)'), 'PT404 session_not_found', 'PRE-05: nor for null'
);
select is(pg_temp.read_by(who), 'ok', format('PRE-05: the %s', who))
from unnest(array['customer', 'mechanic', 'admin', 'system', 'service_role']) as who;

-- a sign of life of the reader, if he is there
select tests.advance(80);
select tests.do_as('customer', $$ select public.session_snapshot(tests.session_of('customer')) $$);
select is((tests.presence_of('customer', 'customer')).last_seen_at, tests.now(), 'PRE-05: reading is a sign of life');
select is(
  (tests.presence_of('mechanic', 'customer')).last_seen_at, tests.now() - interval '80 s', 'PRE-05: of the reader only'
);
select tests.do_as('admin', $$ select public.session_snapshot(tests.session_of('customer')) $$);
select tests.do_as('system', $$ select public.session_snapshot(tests.session_of('customer')) $$);
select is(
  (tests.presence_of('mechanic', 'customer')).last_seen_at, tests.now() - interval '80 s', 'PRE-05: not of others'
);
select tests.advance(10);
select is(
  tests.snapshot('customer', 'customer') ->> 'absent_role', 'mechanic', 'PRE-05, PRE-03: the silent one is absent'
);
select tests.do_as('mechanic', $$ select public.session_snapshot(tests.session_of('customer')) $$);
select is(
  (tests.presence_of('mechanic', 'customer')).is_connected, false, 'PRE-05: reading brings nobody back, joining does'
);
select is((tests.row_of('customer')).status::text, 'reconnecting', 'PRE-05: nor does it resume');
select is(
  (tests.presence_of('mechanic', 'customer')).last_seen_at, tests.now() - interval '90 s',
  'PRE-05: who is gone is gone since then'
);

-- in the queue it is the customer's alone; a mechanic who gave it back reads nothing more
select tests.finish_session('customer', 'customer');
select tests.person('second');
select tests.queue('second');
select is(
  tests.outcome('former', $$ select public.session_snapshot(tests.session_of('second')) $$), 'PT404 session_not_found',
  'PRE-05: not a mechanic who sees it in the queue'
);
select tests.accept('former', 'second');
select is(
  tests.outcome('former', $$ select public.session_snapshot(tests.session_of('second')) $$), 'ok',
  'PRE-05: but who accepted it'
);
select tests.do_as('former', $$ select public.release_assignment(tests.assignment_of('second')) $$);
select is(
  tests.outcome('former', $$ select public.session_snapshot(tests.session_of('second')) $$), 'PT404 session_not_found',
  'PRE-05, QUE-05: and no longer who gave it back'
);
select is(
  jsonb_array_length(tests.snapshot('second', 'second') -> 'participants'), 1,
  'PRE-05: whose closed row the customer does not see'
);
select is(
  jsonb_array_length(tests.snapshot('second', 'second') -> 'people'), 1, 'PRE-05: nor his name'
);

select * from finish();

rollback;
