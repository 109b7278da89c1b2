-- LIFE-05, PRE-01: a booking can be joined from early_join_minutes before its time, by whoever is in it by then.
-- (The moment at which an accepted one opens is shown in queue/for_later.sql.)
begin;

select plan(16);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.person('customer');
select tests.mechanic('mechanic');
select tests.book('customer', '1 day');

create function pg_temp.join_by(p_who text, p_customer text) returns text
language sql
as $$
  select tests.outcome(p_who, format('select public.join_session(%L)', tests.session_of(p_customer)))
$$;

create function pg_temp.door(p_customer text) returns text
language sql
as $$
  select concat_ws(' ', s ->> 'can_join', extract(epoch from (s ->> 'join_from')::timestamptz - tests.now())::integer)
  from tests.snapshot(p_customer, p_customer) as s
$$;

-- nobody has accepted yet: the customer waits in the room before his time
select tests.advance(86400 - 601);
select is(pg_temp.join_by('customer', 'customer'), 'PT409 session_not_active', 'LIFE-05: too early');
select is(pg_temp.door('customer'), 'false 1', 'PRE-05: the snapshot says from when');
select tests.advance(1);
select is(pg_temp.door('customer'), 'true 0', 'PRE-05: and that it is open');
select is(pg_temp.join_by('customer', 'customer'), 'ok', 'LIFE-05: ten minutes before its time');
select is((tests.row_of('customer')).status::text, 'scheduled', 'LIFE-05: which leaves it booked');
select is(
  pg_temp.join_by('mechanic', 'customer'), 'PT404 session_not_found', 'LIFE-05: no mechanic before he accepts'
);

-- accepted before its time, with the customer already there
select tests.advance(120);
select tests.accept('mechanic', 'customer');
select is((tests.row_of('customer')).status::text, 'accepted', 'LIFE-05: accepted before its time');
select tests.advance(60);
select is(pg_temp.join_by('mechanic', 'customer'), 'ok', 'LIFE-05: joined before its time');
select results_eq(
  $$ select status::text, started_at, expires_at from public.sessions where id = tests.session_of('customer') $$,
  $$ values ('live', tests.now(), tests.now() + interval '30 minutes') $$, 'PRE-02: it starts when both are there'
);
select is(
  pg_temp.door('customer'), concat_ws(' ', 'true', 420 - 600), 'PRE-05: the door stays open while it runs'
);

-- the setting decides
select public.set_setting('early_join_minutes', '0');
select tests.person('punctual');
select tests.book('punctual', '1 hour');
select tests.advance(3599.999);
select is(pg_temp.join_by('punctual', 'punctual'), 'PT409 session_not_active', 'LIFE-05: no early join at all');
select tests.advance(0.001);
select is(pg_temp.join_by('punctual', 'punctual'), 'ok', 'LIFE-05: at its time to the millisecond');
select public.set_setting('early_join_minutes', '60');
select tests.person('guest');
select tests.book('guest', '61 minutes');
select is(pg_temp.join_by('guest', 'guest'), 'PT409 session_not_active', 'LIFE-05: an hour, and a minute more');
select tests.advance(60);
select is(pg_temp.join_by('guest', 'guest'), 'ok', 'LIFE-05: an hour before, where that is set');

-- leaving again before its time
select tests.leave('guest', 'guest');
select is((tests.row_of('guest')).status::text, 'scheduled', 'LIFE-05: who leaves again keeps the booking');
select tests.finish_session('guest', 'guest');
select is(pg_temp.door('guest'), 'false', 'PRE-05: after the end there is no door');

select * from finish();

rollback;
