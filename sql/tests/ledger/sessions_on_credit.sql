-- MON-04: a session on credit takes its price from the customer's credit into its hold, or is not made.
begin;

select plan(35);

select tests.stop_clock();
select tests.person('customer');
select tests.mechanic('mechanic');
select public.set_plan(
  'euro', p_type => 'chat', p_title => 'Chat in euros', p_duration_minutes => 30, p_price_cents => 900,
  p_currency => 'eur', p_is_free_eligible => false, p_is_active => true
);
select public.set_plan(
  'gift', p_type => 'chat', p_title => 'A gift', p_duration_minutes => 30, p_price_cents => 0,
  p_currency => 'usd', p_is_free_eligible => false, p_is_active => true
);

create function pg_temp.order(p_plan text, p_key text default null)
returns text
language sql
as $$
  select tests.outcome('customer', format(
    'select public.create_session(%L, ''credit'', p_idempotency_key => %L)', p_plan, p_key
  ))
$$;

create function pg_temp.credit(p_currency text default 'usd')
returns integer
language sql
stable
as $$ select private.balance('customer_credit:' || tests.id('customer'), p_currency)::integer $$;

create function pg_temp.held()
returns integer
language sql
stable
as $$ select private.held(s.id, s.currency)::integer from tests.row_of('customer') as s $$;

create function pg_temp.nothing_happened()
returns boolean
language sql
stable
as $$
  select not exists (select from public.sessions)
    and not exists (select from public.session_events)
    and not exists (select from public.session_assignments)
    and not exists (select from private.creation_keys)
$$;

select is(pg_temp.order('chat10', 'k'), 'PT402 insufficient_credit', 'MON-04: without any credit');
select ok(pg_temp.nothing_happened(), 'MON-04: there is no trace of a session');
select is(
  (select count(*)::integer from private.ledger_accounts), 0, 'MON-04: nor of an account'
);
select public.grant_credit(tests.id('customer'), 999, 'usd', 'g1');
select is(pg_temp.order('chat10', 'k'), 'PT402 insufficient_credit', 'MON-04: with a cent too few');
select public.grant_credit(tests.id('customer'), 5000, 'eur', 'g2');
select is(pg_temp.order('chat10', 'k'), 'PT402 insufficient_credit', 'MON-04: with enough of another currency');
select ok(pg_temp.nothing_happened(), 'MON-04: and still there is no trace');
select is(array[pg_temp.credit(), pg_temp.credit('eur')], '{999, 5000}', 'MON-04: nothing is taken');

-- To the cent.
select public.grant_credit(tests.id('customer'), 1, 'usd', 'g3');
select is(pg_temp.order('chat10', 'k'), 'ok', 'MON-04: with exactly the price, the key of the refusal is free');
select results_eq(
  'select funding, price_cents, currency, status::text from tests.row_of(''customer'')',
  $$ values ('credit', 1000, 'usd', 'pending') $$, 'MON-04: the session says what it cost'
);
select is(array[pg_temp.credit(), pg_temp.held()], '{0, 1000}', 'MON-04: the credit has gone into its hold');
select results_eq(
  'select key, session_id from private.ledger_transfers where session_id is not null',
  $$ select 'hold:' || tests.session_of('customer'), tests.session_of('customer') $$,
  'MON-01: under a key of the session'
);
select is(pg_temp.order('chat10', 'k'), 'ok', 'MON-04: the same request again');
select is(array[pg_temp.credit(), pg_temp.held()], '{0, 1000}', 'MON-04: takes nothing more');
select is(pg_temp.order('euro', 'k'), 'PT409 idempotency_conflict', 'MON-04: another plan under that key does not');
select is(pg_temp.order('euro'), 'PT409 active_session_exists', 'MON-04: nor a second session');
select is(pg_temp.credit('eur'), 5000, 'MON-04: and takes nothing');
select throws_ok(
  $$
    update public.sessions set status = 'cancelled' where id = tests.session_of('customer');
    set constraints all immediate
  $$,
  'PT409', 'state_without_proof', 'MON-03: it cannot be over while it holds money'
);
set constraints all deferred;

-- Given back.
select tests.finish_session('customer', 'customer');
select is((tests.row_of('customer')).status::text, 'cancelled', 'MON-13: cancelled before anybody came');
select is(array[pg_temp.credit(), pg_temp.held()], '{1000, 0}', 'MON-13: the credit is back, once');
select tests.advance(1);
select tests.finish_session('customer', 'customer');
select is(pg_temp.credit(), 1000, 'MON-03: ending it again gives nothing more');

-- Earned, in another currency.
select is(pg_temp.order('euro'), 'ok', 'MON-04: a plan in euros');
select is(array[pg_temp.credit('eur'), pg_temp.credit(), pg_temp.held()], '{4100, 1000, 900}', 'MON-04: costs euros');
select public.set_plan('euro', p_price_cents => 100000);
select tests.accept('mechanic', 'customer');
select tests.join('customer', 'customer');
select tests.join('mechanic', 'customer');
select tests.together_for('mechanic', 'customer', 120);
select tests.finish_session('customer', 'customer');
select results_eq(
  'select gross_cents, share_cents, platform_cents, referral_cents, currency from public.mechanic_earnings',
  $$ values (900, 630, 270, 0, 'eur') $$, 'MON-12: of the price of its beginning'
);
select is(array[pg_temp.credit('eur'), pg_temp.held()], '{4100, 0}', 'MON-03: and its hold is empty');
select tests.advance(1);
select is(pg_temp.order('euro'), 'PT402 insufficient_credit', 'MON-04: the next one has the new price');

-- Nothing costs nothing.
select is(pg_temp.order('gift'), 'ok', 'MON-04: a plan that costs nothing');
select is(array[pg_temp.credit(), pg_temp.held()], '{1000, 0}', 'MON-04: takes nothing');
select tests.finish_session('customer', 'customer');
select is(pg_temp.credit(), 1000, 'MON-04: and gives nothing back');

-- Other ways of paying.
select is(
  tests.outcome('customer', format('select public.create_session(''chat10'', %L)', funding)), outcome,
  format('MON-04: funding "%s"', funding)
)
from (
  values (null, 'PT422 invalid_argument'), ('promise', 'PT422 invalid_argument'), ('', 'PT422 invalid_argument'),
    ('paid', 'PT402 payment_required')
) as attempts (funding, outcome);
select public.set_plan('chat10', p_is_active => false);
select is(pg_temp.order('chat10'), 'PT404 plan_not_found', 'MON-04: credit buys nothing that is not sold');
select is(
  tests.outcome('service_role', 'select public.create_session(''video15'', ''credit'')'),
  '42501 permission denied for function create_session', 'MON-04: nobody spends for another'
);
set constraints all immediate;

select is_empty('select * from public.ledger_invariants()', 'MON-03: and every invariant holds');

select * from finish();

rollback;
