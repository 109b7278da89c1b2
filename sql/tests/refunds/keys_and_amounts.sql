-- MON-15: refund_session gives money back once per key, never more than was paid, and refuses what makes no sense.
begin;

select plan(43);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.admin('admin');
select tests.person('stranger');
select tests.paid_live('customer', 'mechanic');

create function pg_temp.ask(p_who text, p_key text, p_cents text, p_session uuid default tests.session_of('customer'))
returns text
language sql
as $$
  select tests.outcome(p_who, format('select public.refund_session(%L, %L, %s)', p_session, p_key, p_cents))
$$;

-- who
select is(pg_temp.ask(who, 'key', '1'), 'PT403 role_required', format('MON-15: not for the %s', who))
from unnest(array['customer', 'mechanic', 'stranger']) as who;
select alike(pg_temp.ask('anon', 'key', '1'), '42501 %', 'MON-15: not for a visitor');

-- when
select is(
  pg_temp.ask('admin', 'key', 'null'), 'PT409 session_not_active', 'MON-15: a session that goes on is ended first'
);
select is(tests.money(), 'session_hold 1500, stripe -1500', 'MON-15: nothing moved');
select tests.advance(70);
select tests.finish_session('customer', 'customer');

-- what
select is(
  pg_temp.ask('admin', key, cents, session), expected, format('MON-15: %s', why)
)
from (values
  (tests.session_of('customer'), 'key', '0', 'PT422 invalid_argument', 'nothing'),
  (tests.session_of('customer'), 'key', '-1', 'PT422 invalid_argument', 'less than nothing'),
  (tests.session_of('customer'), null, '1', 'PT422 invalid_argument', 'no key'),
  (tests.session_of('customer'), '', '1', 'PT422 invalid_argument', 'an empty key'),
  (tests.session_of('customer'), repeat('k', 101), '1', 'PT422 invalid_argument', 'a key that is too long'),
  (tests.session_of('customer'), 'key', '1501', 'PT409 refund_exceeds_payment', 'more than was paid'),
  (tests.session_of('customer'), 'key', '2147483647', 'PT409 refund_exceeds_payment', 'much more'),
  (tests.id('nothing'), 'key', '1', 'PT404 session_not_found', 'an unknown session'),
  (null, 'key', '1', 'PT404 session_not_found', 'no session')
) as cases (session, key, cents, expected, why);
select is((select count(*)::integer from private.session_refunds), 0, 'MON-15: none of which gave anything back');

-- a part
select tests.advance(10);
select tests.act_as('admin');
create temporary table first_refund on commit drop as
select r.* from tests.session_refund('customer', 'first', 100, repeat('r', 600)) as r;
select tests.be_system();
select is(
  (select to_jsonb(f) from first_refund as f),
  jsonb_build_object(
    'session_id', tests.session_of('customer'), 'key', 'first', 'amount_cents', 100, 'currency', 'usd',
    'to_card_cents', 100, 'to_credit_cents', 0, 'created_at', tests.now()
  ),
  'MON-15: what was given back, and where it goes'
);
select is((tests.row_of('customer')).status::text, 'completed', 'MON-15: a part: the session is still completed');
select is(
  (tests.events_of('customer'))[array_upper(tests.events_of('customer'), 1)], 'partly_refunded',
  'MON-15: its history says so'
);
select results_eq(
  $$ select refunded_by, reason, asked_cents from private.session_refunds $$,
  $$ values (tests.id('admin'), repeat('r', 500), 100) $$, 'MON-15: by whom and why is kept'
);
select is(
  tests.money(), 'mechanic_payable 980, platform_revenue 420, refund_clearing 100, stripe -1500',
  'MON-15: mechanic and platform give in proportion'
);
select is(tests.payout_told('customer'), '980 pending', 'MON-15: the payout is reduced');
select is((tests.payment_of('customer')).rank::text, 'partly_refunded', 'MON-15: the payment is partly refunded');

-- again
select tests.advance(10);
select is(
  (select to_jsonb(r) from tests.session_refund('customer', 'first', 100) as r),
  (select to_jsonb(f) from first_refund as f),
  'MON-15: the same key returns the first refund'
);
select is(pg_temp.ask('admin', 'first', '101'), 'PT409 idempotency_conflict', 'MON-15: another amount conflicts');
select is(pg_temp.ask('admin', 'first', 'null'), 'PT409 idempotency_conflict', 'MON-15: as with all that is left');
select is(tests.effects('customer', 'stripe.refund'), '100', 'MON-15: one refund at Stripe');

-- up to what was paid
select is(pg_temp.ask('admin', 'second', '1401'), 'PT409 refund_exceeds_payment', 'MON-15: more than is left');
select is(pg_temp.ask('admin', 'second', '300'), 'ok', 'MON-15: a second part');
select is(tests.payout_told('customer'), '770 pending', 'MON-15: the payout is reduced again');
select is((tests.session_refund('customer', 'rest')).amount_cents, 1100, 'MON-15: null is all that is left');
select is((tests.session_refund('customer', 'rest')).amount_cents, 1100, 'MON-15: again: the same');
select is(pg_temp.ask('admin', 'rest', '1100'), 'ok', 'MON-15: also when the amount is named');
select is((tests.row_of('customer')).status::text, 'refunded', 'MON-15: full: the session is refunded');
select is(
  (tests.events_of('customer'))[array_upper(tests.events_of('customer'), 1)], 'refunded',
  'MON-15: and its history says so'
);
select is(tests.payout_told('customer'), '0 cancelled', 'MON-15: the payout is cancelled');
select is(tests.money(), 'refund_clearing 1500, stripe -1500', 'MON-15: all of it is on its way back');
select is(tests.effects('customer', 'stripe.refund'), '100 300 1100', 'MON-15: by three refunds');
select is((tests.payment_of('customer')).rank::text, 'refunded', 'MON-15: the payment is refunded');
select is(pg_temp.ask('admin', 'more', '1'), 'PT409 refund_exceeds_payment', 'MON-15: there is no more');
select is(pg_temp.ask('admin', 'more', 'null'), 'PT409 refund_exceeds_payment', 'MON-15: not even all that is left');

-- nothing was paid
select tests.live('free', 'free mechanic');
select tests.advance(70);
select tests.finish_session('free', 'free');
select is(
  pg_temp.ask('system', 'key', 'null', tests.session_of('free')), 'PT409 refund_exceeds_payment',
  'MON-15: a free session has nothing to give back'
);

select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');

select * from finish();

rollback;
