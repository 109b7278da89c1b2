-- MOV-03: session_revenue_impact adds up to the cent: what was held is what went back, what mechanics got or are owed,
-- and what the platform keeps.
begin;

select plan(9);

select tests.stop_clock('2030-03-20 12:00:00+00');
select tests.nobody_falls_silent();

create function pg_temp.revenue(p_day date default '2030-03-20') returns text
language sql
as $$
  select string_agg(concat_ws(
    ' ', r.currency, r.gross_cents, r.refunded_cents, r.lost_to_no_shows_cents, r.paid_out_cents, r.platform_cents,
    r.owed_cents
  ), ', ')
  from public.session_revenue_impact as r
  where r.day = p_day
$$;

select is(pg_temp.revenue(), null, 'MOV-03: no money, no row');
select tests.paid_and_completed('c1', 'm1');
select is(pg_temp.revenue(), 'usd 1500 0 0 0 450 1050', 'MOV-03: the share is owed until it is paid');
select tests.person('free');
select tests.queue('free');
select tests.serve('free', 'm1');
select tests.advance(70);
select tests.finish_session('system', 'free');
select is(pg_temp.revenue(), 'usd 1500 0 0 0 450 1050', 'MOV-03: a free session adds nothing');

select tests.person('c2');
select tests.buy_with_credit('c2', 'video15');
select tests.serve('c2', 'm1');
select tests.advance(30);
select tests.finish_session('system', 'c2');
select is(
  pg_temp.revenue(), 'usd 3000 1500 0 0 450 1050', 'MOV-03: too short: all of it back, nothing lost to a no-show'
);
select tests.person('c3');
select tests.pay('c3');
select tests.accept('m1', 'c3');
select tests.join('c3', 'c3');
select tests.advance(3000);
select tests.finish_session('c3', 'c3');
select is(pg_temp.revenue(), 'usd 4500 3000 1500 0 450 1050', 'MOV-03: what a no-show cost');

-- The payout is sent the day after, and belongs to the day of its session.
select tests.clock_at('2030-03-21 13:00:00+00');
select tests.dispatch();
select tests.stripe_says('stripe.transfer');
select is(pg_temp.revenue(), 'usd 4500 3000 1500 1050 450 0', 'MOV-03: paid out, on the day it was earned');
select is(pg_temp.revenue('2030-03-21'), null, 'MOV-03: not on that of the transfer');
select tests.session_refund('c1', 'a third', 500);
select is(
  pg_temp.revenue(), 'usd 4500 3500 1500 1050 300 0', 'MOV-03: a later refund takes from the platform at once'
);
select tests.dispatch();
select tests.stripe_says('stripe.transfer_reversal');
select is(
  pg_temp.revenue(), 'usd 4500 3500 1500 700 300 0',
  'MOV-03: and from the mechanic when the transfer is reversed: 4500 = 3500 + 700 + 300'
);

select * from finish();

rollback;
