-- MOD-04: a correction arc is admitted only with a row of private.session_corrections for it, written by the same
-- transaction.
begin;

select plan(13);

select tests.stop_clock();
select tests.live('customer', 'mechanic');
select tests.advance(75);
select tests.finish_session('customer', 'customer');

create function pg_temp.correct(p_to text) returns text
language sql
as $$
  select tests.outcome(
    'system', format('update public.sessions set status = %L where id = %L', p_to, tests.session_of('customer'))
  )
$$;

create function pg_temp.license(p_session uuid, p_from text, p_to text) returns void
language sql
as $$
  insert into private.session_corrections (session_id, from_status, to_status, reason, before, after)
  values (p_session, p_from::public.session_status, p_to::public.session_status, 'a test', '{}', '{}')
$$;

select is((tests.row_of('customer')).status::text, 'completed', 'MOD-04: a completed session');
select is(pg_temp.correct('cancelled'), 'PT409 illegal_transition', 'MOD-04: no correction without its row');

select pg_temp.license(tests.id('another session'), 'completed', 'cancelled');
select is(pg_temp.correct('cancelled'), 'PT409 illegal_transition', 'MOD-04: nor with another session''s');
select pg_temp.license(tests.session_of('customer'), 'expired', 'cancelled');
select is(pg_temp.correct('cancelled'), 'PT409 illegal_transition', 'MOD-04: nor with another arc''s');
select pg_temp.license(tests.session_of('customer'), 'completed', 'cancelled');
select is(pg_temp.correct('cancelled'), 'ok', 'MOD-04: with its row it is admitted');
select ok(
  (
    select count(*) = 1 from public.session_events
    where session_id = tests.session_of('customer')
      and type not in ('created', 'accepted', 'joined', 'started', 'ended')
  ),
  'MOD-04: and leaves an event'
);

select pg_temp.license(tests.session_of('customer'), 'cancelled', 'completed');
select is(pg_temp.correct('completed'), 'ok', 'MOD-04: back again, with a row of its own');
select is(
  pg_temp.correct('expired'), 'PT409 illegal_transition', 'MOD-04: completed to expired is no correction'
);
select pg_temp.license(tests.session_of('customer'), 'completed', 'pending');
select is(
  pg_temp.correct('pending'), 'PT409 illegal_transition', 'MOD-04: a row makes no arc that the table has not'
);

-- A row of an earlier transaction is history, not a licence.
select tests.live('second customer', 'second mechanic');
select tests.advance(75);
select tests.finish_session('second customer', 'second customer');
insert into private.session_corrections (session_id, from_status, to_status, reason, before, after, xact_id)
values (tests.session_of('second customer'), 'completed', 'cancelled', 'a test', '{}', '{}', '3');
select is(
  tests.outcome(
    'system', $$ update public.sessions set status = 'cancelled' where id = tests.session_of('second customer') $$
  ),
  'PT409 illegal_transition', 'MOD-04: nor does one of another transaction'
);

-- The corrections themselves are history.
select isnt(
  tests.outcome('system', 'update private.session_corrections set reason = ''other'' where id > 0'), 'ok',
  'MOD-04: corrections are not rewritten'
);
select isnt(
  tests.outcome('system', 'delete from private.session_corrections where id > 0'), 'ok',
  'MOD-04: nor deleted'
);
select alike(
  tests.outcome('service_role', 'select * from private.session_corrections'), '42501 %',
  'MOD-04: nor open to the API'
);

select * from finish();

rollback;
