-- END-07: participants, admins and the system may preview an end; it is no sign of life, and no lock is needed for it.
begin;

select plan(20);

select tests.stop_clock();
select tests.live('customer', 'mechanic');
select tests.person('stranger');
select tests.mechanic('other');
select tests.admin('admin');

create function pg_temp.ask(p_who text) returns text
language sql
as $$
  select tests.outcome(p_who, format('select public.preview_end(p_session_id => %L)', tests.session_of('customer')))
$$;

select is(pg_temp.ask(who), 'PT404 session_not_found', format('END-07: not the %s', who))
from unnest(array['stranger', 'other']) as who;
select alike(pg_temp.ask('anon'), '42501 %', 'END-07: not a visitor');
select is(pg_temp.ask('authenticated'), 'PT401 not_authenticated', 'END-07: not nobody');
select is(
  tests.outcome(who, $$ select public.preview_end(tests.id('nothing')) $$), 'PT404 session_not_found',
  format('END-07: nothing to preview for the %s', who)
)
from unnest(array['customer', 'admin', 'system', 'service_role']) as who;
select is(
  tests.outcome('customer', 'select public.preview_end(null)'), 'PT404 session_not_found', 'END-07: nor for null'
);
select is(pg_temp.ask(who), 'ok', format('END-07: the %s', who))
from unnest(array['customer', 'mechanic', 'admin', 'system', 'service_role']) as who;
select volatility_is('public', 'preview_end', array['uuid'], 'stable', 'END-07: it cannot write');

-- no sign of life
select tests.advance(80);
select tests.do_as('customer', $$ select public.preview_end(tests.session_of('customer')) $$);
select is(
  (tests.presence_of('customer', 'customer')).last_seen_at, tests.now() - interval '80 s',
  'END-07: asking keeps nobody there'
);
select tests.heartbeat('mechanic', 'customer');
select tests.advance(10);
select tests.do_as('customer', $$ select public.preview_end(tests.session_of('customer')) $$);
select is(tests.effective_status('mechanic', 'customer'), 'reconnecting', 'END-07: nor brings him back');
select is((tests.row_of('customer')).status::text, 'live', 'END-07: nor writes down that he is gone');

-- a former mechanic
select tests.waiting('second', 'former');
select tests.do_as('former', $$ select public.release_assignment(tests.assignment_of('second')) $$);
select is(
  tests.outcome('former', $$ select public.preview_end(tests.session_of('second')) $$), 'PT404 session_not_found',
  'END-07, QUE-05: not who gave it back'
);
select is(
  tests.outcome('stranger', $$ select public.preview_end(tests.session_of('second')) $$), 'PT404 session_not_found',
  'END-07: a stranger learns nothing of any session'
);

select * from finish();

rollback;
