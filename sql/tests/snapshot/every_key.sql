-- PRE-05: what the snapshot says, key by key, from the queue to the end. (Its doors before a booking's time:
-- booked/it_can_be_joined_early.sql.)
begin;

select plan(45);

select tests.stop_clock();
select tests.person('customer');
select tests.mechanic('mechanic');
select tests.admin('admin');
select tests.act_as('customer');
select public.update_profile('The customer');
select tests.act_as('mechanic');
select public.update_profile('The mechanic');
select tests.be_system();
select tests.queue('customer', 'video15');

create function pg_temp.said(p_who text, p_key text) returns text
language sql
as $$ select tests.snapshot(p_who, 'customer') ->> p_key $$;

select set_eq(
  $$ select jsonb_object_keys(tests.snapshot('customer', 'customer')) $$,
  array[
    'session', 'people', 'participants', 'extensions', 'server_now', 'remaining_seconds', 'next_warning_at',
    'absent_role', 'grace_ends_at', 'can_join', 'join_from', 'version'
  ],
  'PRE-05: these keys, always'
);

-- pending
select is(
  tests.snapshot('customer', 'customer') -> 'session', to_jsonb(tests.row_of('customer')), 'PRE-05: the session''s row'
);
select is(
  tests.snapshot('customer', 'customer') -> 'people',
  jsonb_build_array(jsonb_build_object(
    'user_id', tests.id('customer'), 'role', 'customer', 'display_name', 'The customer', 'specialties', null
  )),
  'PRE-05: the people, nobody has accepted'
);
select is(
  tests.snapshot('customer', 'customer') -> 'participants',
  jsonb_build_array(jsonb_build_object(
    'user_id', tests.id('customer'), 'role', 'customer', 'is_connected', false, 'first_joined_at', null,
    'last_seen_at', null, 'left_at', null
  )),
  'PRE-05: who has not joined is there as somebody who has not'
);
select is(tests.snapshot('customer', 'customer') -> 'extensions', '[]', 'PRE-05: no extensions');
select is(
  (pg_temp.said('customer', 'server_now'))::timestamptz, tests.now(), 'PRE-05: the time by the server'
);
select is(pg_temp.said('customer', key), null, format('PRE-05: pending: no %s', key))
from unnest(array['remaining_seconds', 'next_warning_at', 'absent_role', 'grace_ends_at', 'join_from']) as key;
select is(pg_temp.said('customer', 'can_join'), 'true', 'PRE-05: the customer may wait in the room');
select is(pg_temp.said('customer', 'version'), '1', 'PRE-05: the version');
select is(pg_temp.said('system', 'can_join'), 'false', 'PRE-05: the system joins nothing');

-- waiting
select tests.advance(10);
select tests.accept('mechanic', 'customer');
select tests.join('customer', 'customer');
select is(pg_temp.said('mechanic', 'can_join'), 'true', 'PRE-05: after the accept the mechanic may join');
select is(pg_temp.said('admin', 'can_join'), 'false', 'PRE-05: an admin never');
select is(
  tests.snapshot('mechanic', 'customer') #>> '{people,1,display_name}', 'The mechanic', 'PRE-05: two people'
);
select is(
  tests.snapshot('mechanic', 'customer') -> 'participants' -> 0,
  jsonb_build_object(
    'user_id', tests.id('customer'), 'role', 'customer', 'is_connected', true, 'first_joined_at', tests.now(),
    'last_seen_at', tests.now(), 'left_at', null
  ),
  'PRE-05: one of them there'
);
select is(
  tests.snapshot('mechanic', 'customer') #>> '{participants,1,is_connected}', 'false', 'PRE-05: the other not'
);
select is(pg_temp.said('customer', 'absent_role'), null, 'PRE-05: nobody is absent before the start');
select is(pg_temp.said('customer', 'remaining_seconds'), null, 'PRE-05: nor does time run');

-- live
select tests.advance(5);
select tests.join('mechanic', 'customer');
select is(pg_temp.said('customer', 'remaining_seconds'), '2700', 'PRE-05: live: the seconds that remain');
select is(
  (pg_temp.said('customer', 'next_warning_at'))::timestamptz, tests.now() + interval '40 minutes',
  'PRE-05: live: the next warning'
);
select tests.advance(17.5);
select ok(
  (pg_temp.said('customer', 'remaining_seconds'))::integer in (2682, 2683), 'PRE-05: which run down'
);
select is(
  (pg_temp.said('customer', 'version'))::bigint, (tests.row_of('customer')).version, 'PRE-05: the version goes with it'
);
select is(
  tests.snapshot('customer', 'customer') - 'participants', tests.snapshot(who, 'customer') - 'participants',
  format('PRE-05: the %s reads the same', who)
)
from unnest(array['customer', 'mechanic']) as who;
select is(
  tests.snapshot('admin', 'customer') - 'can_join', tests.snapshot('customer', 'customer') - 'can_join',
  'PRE-05: an admin too, but that he cannot join'
);
select is(
  tests.snapshot('system', 'customer'), tests.snapshot('admin', 'customer'), 'PRE-05: the system reads what admins do'
);

-- reconnecting
select tests.advance(10);
select tests.leave('customer', 'customer');
select is(pg_temp.said('mechanic', 'absent_role'), 'customer', 'PRE-05: reconnecting: who is absent');
select is(
  (pg_temp.said('mechanic', 'grace_ends_at'))::timestamptz, tests.now() + interval '300 s',
  'PRE-05: reconnecting: until when the other waits'
);
select ok(
  (pg_temp.said('mechanic', 'remaining_seconds'))::integer in (2672, 2673),
  'PRE-05: reconnecting: the minutes bought run on'
);
select is(
  tests.snapshot('mechanic', 'customer') #>> '{participants,0,left_at}',
  to_jsonb(tests.now()) #>> '{}', 'PRE-05: reconnecting: since when'
);
select is(pg_temp.said('customer', 'can_join'), 'true', 'PRE-05: reconnecting: he may come back');
select tests.leave('mechanic', 'customer');
select is(pg_temp.said('mechanic', 'absent_role'), 'both', 'PRE-05: both are absent');
select tests.join('customer', 'customer');
select is(pg_temp.said('customer', 'absent_role'), 'mechanic', 'PRE-05: then the other');
select tests.join('mechanic', 'customer');
select is(pg_temp.said('customer', 'absent_role'), null, 'PRE-05: then nobody');
select is(pg_temp.said('customer', 'grace_ends_at'), null, 'PRE-05: and no grace runs');

-- ended
select tests.advance(60);
select tests.finish_session('mechanic', 'customer');
select is(
  tests.snapshot('customer', 'customer') -> 'session', to_jsonb(tests.row_of('customer')), 'PRE-05: ended: the row'
);
select is(pg_temp.said('customer', key), null, format('PRE-05: ended: no %s', key))
from unnest(array['remaining_seconds', 'next_warning_at', 'absent_role', 'grace_ends_at', 'join_from']) as key;
select is(pg_temp.said('customer', 'can_join'), 'false', 'PRE-05: ended: nobody may join');

select * from finish();

rollback;
