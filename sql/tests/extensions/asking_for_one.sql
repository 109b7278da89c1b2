-- MON-09: the customer asks for more minutes at the price of that moment; one is pending at a time.
begin;

select plan(42);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.live('customer', 'mechanic');
select tests.person('stranger');
select tests.admin('admin');

create function pg_temp.ask(p_customer text, p_minutes integer default 15) returns public.session_extensions
language plpgsql
as $$
declare
  v_extension public.session_extensions;
begin
  perform tests.act_as(p_customer);
  select * into v_extension
  from public.request_extension(p_session_id => tests.session_of(p_customer), p_minutes => p_minutes);
  perform tests.be_system();
  return v_extension;
end
$$;

create function pg_temp.refused(p_who text, p_minutes text default '15', p_customer text default 'customer')
returns text
language sql
as $$
  select tests.outcome(p_who, format(
    'select public.request_extension(%L, %s)', tests.session_of(p_customer), p_minutes
  ))
$$;

create temporary table first on commit drop as select * from pg_temp.ask('customer');
select results_eq(
  $$ select session_id, requested_by, minutes, price_cents, currency, status, applied_at, created_at from first $$,
  $$ values (tests.session_of('customer'), tests.id('customer'), 15, 500, 'usd', 'pending', null::timestamptz,
     tests.now()) $$, 'MON-09: a pending extension'
);
select is(
  (select expires_at - started_at from tests.row_of('customer')), '30 minutes'::interval,
  'MON-09: nothing is longer yet'
);
select is((pg_temp.ask('customer')).id, (select id from first), 'MON-09: asking again returns it');
select public.set_extension_option(p_minutes => 15, p_price_cents => 700);
select is((pg_temp.ask('customer')).price_cents, 500, 'MON-09: at the price of the moment it was asked for');
select public.set_extension_option(p_minutes => 15, p_price_cents => 500);

-- Other minutes replace it, and close its Checkout.
select public.record_checkout('extension', (select id from first), 'cs_1');
create temporary table second on commit drop as select * from pg_temp.ask('customer', 30);
select results_eq(
  $$ select minutes, status from public.session_extensions order by minutes $$,
  $$ values (15, 'replaced'), (30, 'pending') $$, 'MON-09: other minutes replace it'
);
select results_eq(
  $$ select key, payload, session_id from private.outbox where topic = 'stripe.expire_checkout' $$,
  $$ values ('expire_checkout:cs_1', '{"checkout_session_id": "cs_1"}'::jsonb, tests.session_of('customer')) $$,
  'MON-09: the Checkout of the old one is expired'
);
create temporary table third on commit drop as select * from pg_temp.ask('customer');
select isnt((select id from third), (select id from first), 'MON-09: back again is a new one');
select is(
  (select count(*)::integer from public.session_extensions where status = 'pending'), 1, 'MON-09: one is pending'
);
select is(
  tests.outcome('system', format(
    $$ insert into public.session_extensions (session_id, requested_by, minutes, price_cents, currency)
       values (%L, %L, 15, 500, 'usd') $$, tests.session_of('customer'), tests.id('customer')
  )),
  '23505 duplicate key value violates unique constraint "one_pending_extension_per_session"',
  'MON-09: whoever writes'
);
-- The second was replaced while its Checkout was being opened.
select public.record_checkout('extension', (select id from second), 'cs_2');
select ok(
  exists (select from private.outbox where key = 'expire_checkout:cs_2'),
  'MON-09: a Checkout that was opened for a replaced one is expired as well'
);

-- What is sold, and how long it may become.
select is(pg_temp.refused('customer', minutes), 'PT422 invalid_argument', 'MON-09: minutes: ' || minutes)
from unnest(array['14', '0', '-15', 'null']) as minutes;
select public.set_extension_option(p_minutes => 30, p_is_active => false);
select is(pg_temp.refused('customer', '30'), 'PT422 invalid_argument', 'MON-09: minutes that are not sold any more');
select public.set_extension_option(p_minutes => 30, p_is_active => true);
select public.set_extension_option(p_minutes => 20, p_price_cents => 600, p_currency => 'eur');
select is(pg_temp.refused('customer', '20'), 'PT422 invalid_argument', 'MON-09: minutes sold in another currency');
select public.set_setting('max_session_minutes', '60');
select is(pg_temp.refused('customer', '30'), 'ok', 'MON-09: as long as a session may be');
select public.set_setting('max_session_minutes', '59');
select public.set_extension_option(p_minutes => 29, p_price_cents => 900);
select public.set_extension_option(p_minutes => 31, p_price_cents => 900);
select is(pg_temp.refused('customer', '31'), 'PT409 extension_limit', 'MON-09: a minute longer');
select is(pg_temp.refused('customer', '29'), 'ok', 'MON-09: the last minute');
select public.set_setting('max_session_minutes', '180');

-- Who.
select is(pg_temp.refused('mechanic'), 'PT403 role_required', 'MON-09: the mechanic does not');
select is(pg_temp.refused('stranger'), 'PT404 session_not_found', 'MON-09: for others there is no such session');
select is(pg_temp.refused('admin'), 'PT404 session_not_found', 'MON-09: nor for admins');
select is(
  pg_temp.refused(who), '42501 permission denied for function request_extension', format('MON-09: not for %s', who)
) from unnest(array['anon', 'service_role']) as who;
select is(
  tests.outcome('customer', format('select public.request_extension(%L, 15)', odd)), 'PT404 session_not_found',
  'MON-09: no session: ' || coalesce(odd::text, 'null')
) from unnest(array[null, tests.id('nothing')]) as odd;

-- When.
select tests.person('p');
select tests.queue('p');
select is(pg_temp.refused('p', '15', 'p'), 'PT409 session_not_active', 'MON-09: not while pending');
select tests.person('booked');
select tests.book('booked', '2 hours');
select is(pg_temp.refused('booked', '15', 'booked'), 'PT409 session_not_active', 'MON-09: not while scheduled');
select tests.mechanic('mechanic booked');
select tests.accept('mechanic booked', 'booked');
select is(pg_temp.refused('booked', '15', 'booked'), 'PT409 session_not_active', 'MON-09: not while accepted');
select tests.waiting('w', 'mechanic w');
select is((pg_temp.ask('w')).status, 'pending', 'MON-09: while waiting');
select tests.live('r', 'mechanic r');
select tests.leave('mechanic r', 'r');
select is((tests.row_of('r')).status::text, 'reconnecting', 'TIME-04: apart');
select is((pg_temp.ask('r')).status, 'pending', 'MON-09: while reconnecting');
select tests.live('over', 'mechanic over');
select tests.advance(1801);
select is(
  pg_temp.refused('over', '15', 'over'), 'PT410 session_ended', 'MON-09: not when it is over, whoever wrote it down'
);
select tests.live('ended', 'mechanic ended');
select tests.advance(1);
select pg_temp.ask('ended');
select public.record_checkout('extension', (
  select id from public.session_extensions where session_id = tests.session_of('ended')
), 'cs_3');
select tests.finish_session('ended', 'ended');
select is(pg_temp.refused('ended', '15', 'ended'), 'PT410 session_ended', 'MON-09: not after the end');
select is(
  (select status from public.session_extensions where session_id = tests.session_of('ended')), 'failed',
  'MON-11: the end closes what is pending'
);
select ok(
  exists (select from private.outbox where key = 'expire_checkout:cs_3'), 'MON-11: and its Checkout'
);

-- Who sees them.
select tests.act_as('customer');
select is((select count(*)::integer from public.session_extensions), 5, 'MON-09: the customer sees his own');
select tests.act_as('mechanic');
select is((select count(*)::integer from public.session_extensions), 5, 'MON-09: the mechanic those of his session');
select tests.act_as('stranger');
select is((select count(*)::integer from public.session_extensions), 0, 'MON-09: others none');
select tests.act_as('admin');
select is((select count(*)::integer from public.session_extensions), 8, 'MON-09: admins all');
select tests.be_system();
select is(
  tests.outcome('customer', $$ update public.session_extensions set status = 'applied' $$),
  '42501 permission denied for table session_extensions', 'MON-09: nobody changes one'
);
select is_empty($$ select * from public.ledger_invariants() $$, 'MON-03: the money adds up');

select * from finish();

rollback;
