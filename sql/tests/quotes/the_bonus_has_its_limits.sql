-- MON-16: the bonus is capped by max_quote_bonus_cents, can be nothing, and waits for accounts and disputes like every
-- payout; the table itself allows no second open or approved quote.
begin;

select plan(12);

select tests.stop_clock();
select tests.nobody_falls_silent();

create function pg_temp.approved(p_customer text, p_cents integer) returns public.repair_quotes
language plpgsql
as $$
declare
  v_quote public.repair_quotes;
begin
  perform tests.act_as(p_customer || ' mechanic');
  select * into v_quote from public.escalate_quote(tests.session_of(p_customer), p_cents, 'a repair');
  perform tests.act_as(p_customer);
  select * into v_quote from public.decide_quote(v_quote.id, true);
  perform tests.be_system();
  return v_quote;
end
$$;

-- capped
select tests.paid_and_completed('customer', 'customer mechanic');
select is((pg_temp.approved('customer', 500000)).bonus_cents, 10000, 'MON-16: at most max_quote_bonus_cents');
select is(tests.cents('mechanic_payable', 'customer mechanic'), 11050, 'MON-16: that much is earned');

-- nothing
select tests.paid_and_completed('second', 'second mechanic');
select is((pg_temp.approved('second', 19)).bonus_cents, 0, 'MON-16: rounded down to nothing');
select is(
  (public.confirm_quote_bonus(q.id)).bonus_cents, 0, 'MON-16: which can be confirmed'
)
from public.repair_quotes as q
where q.session_id = tests.session_of('second');
select is(tests.payout_told('second', 'quote_bonus'), null, 'MON-12: and is not paid out');

-- of a free session, without an account
select tests.live('free', 'free mechanic');
select tests.advance(70);
select tests.finish_session('free', 'free');
select is((pg_temp.approved('free', 20000)).bonus_cents, 1000, 'MON-16: a free session can lead to a repair');
select public.confirm_quote_bonus(q.id)
from public.repair_quotes as q
where q.session_id = tests.session_of('free');
select is(tests.payout_told('free', 'quote_bonus'), '1000 blocked account', 'MON-14: the bonus waits for an account');
select tests.has_account('free mechanic');
select tests.advance(86401);
select tests.dispatch();
select tests.stripe_says('stripe.transfer');
select is(tests.payout_told('free', 'quote_bonus'), '1000 paid', 'MON-16: and is paid when there is one');
select is(tests.cents('mechanic_payable', 'free mechanic'), 0, 'MON-16: once');

-- the table
select throws_ok(
  $$ insert into public.repair_quotes (session_id, mechanic_id, amount_cents, currency, description, status,
     bonus_cents)
     select session_id, mechanic_id, 1, 'usd', 'x', 'approved', 0 from public.repair_quotes limit 1 $$,
  '23505', null, 'MON-16: no second approved quote'
);
select throws_ok(
  $$ insert into public.repair_quotes (session_id, mechanic_id, amount_cents, currency, description)
     select session_id, mechanic_id, 1, 'usd', 'x'
     from public.repair_quotes, generate_series(1, 2) where session_id = tests.session_of('free') $$,
  '23505', null, 'MON-16: no second open one'
);

select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');

select * from finish();

rollback;
