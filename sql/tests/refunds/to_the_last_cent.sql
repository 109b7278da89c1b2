-- MON-15: partial refunds add up exactly: what mechanic, referrer and platform give is in proportion at every step and
-- all they had at the last cent, in whatever parts it comes.
begin;

select plan(11);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.mechanic('referrer');
select tests.has_account('referrer');
select public.set_plan(p_slug => 'chat10', p_price_cents => 997);

create function pg_temp.completed(p_customer text) returns void
language plpgsql
as $$
begin
  perform tests.paid_live(p_customer, p_customer || ' mechanic', 'chat10');
  update public.mechanics set referred_by = tests.id('referrer') where id = tests.id(p_customer || ' mechanic');
  perform tests.advance(70);
  perform tests.finish_session('system', p_customer);
end
$$;

-- by odd parts
select pg_temp.completed('customer');
select is(
  (select format('%s %s %s', share_cents, platform_cents, referral_cents) from public.mechanic_earnings),
  '697 281 19', 'MON-12: what each of them had'
);
create temporary table steps on commit drop as
select part, (tests.session_refund('customer', 'step ' || part, 37)).amount_cents as amount_cents
from generate_series(1, 26) as part;
select is(
  tests.cents('mechanic_payable', 'customer mechanic'), 697 - 697 * 962 / 997, 'MON-15: the mechanic gave his part'
);
select is(tests.cents('referral_payable', 'referrer'), 19 - 19 * 962 / 997, 'MON-15: the referrer his');
select is(
  tests.cents('platform_revenue'), 35 - (697 - 697 * 962 / 997) - (19 - 19 * 962 / 997), 'MON-15: the platform the rest'
);
select is(
  (tests.payout_of('customer')).amount_cents, tests.cents('mechanic_payable', 'customer mechanic'),
  'MON-15: the payout is what is owed, at every step'
);
select is((tests.session_refund('customer', 'last')).amount_cents, 35, 'MON-15: the last part');
select is(tests.money(), 'refund_clearing 997, stripe -997', 'MON-15: nobody keeps or lacks a cent');
select is(
  concat_ws(', ', tests.payout_told('customer'), tests.payout_told('customer', 'referral')), '0 cancelled, 0 cancelled',
  'MON-15: neither payout is left'
);

-- by single cents
select public.set_plan(p_slug => 'chat10', p_price_cents => 97);
select pg_temp.completed('second');
create temporary table cents on commit drop as
select part, (tests.session_refund('second', 'cent ' || part, 1)).amount_cents as amount_cents
from generate_series(1, 97) as part;
select is(tests.money(), 'refund_clearing 1094, stripe -1094', 'MON-15: nor when it comes back by single cents');
select is((tests.row_of('second')).status::text, 'refunded', 'MON-15: the last of which makes it refunded');

select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');

select * from finish();

rollback;
