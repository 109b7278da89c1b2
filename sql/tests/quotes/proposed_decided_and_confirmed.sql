-- MON-16: a mechanic proposes a repair after a completed session, the customer decides once, and the bonus is earned at
-- once and paid out after an admin has confirmed it.
begin;

select plan(64);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.admin('admin');
select tests.person('stranger');
select tests.mechanic('other');
select tests.paid_live('customer', 'mechanic');

create function pg_temp.escalate(
  p_who text, p_cents text default '20000', p_what text default 'new brakes',
  p_session uuid default tests.session_of('customer')
) returns text
language sql
as $$
  select tests.outcome(p_who, format('select public.escalate_quote(%L, %s, %L)', p_session, p_cents, p_what))
$$;

create function pg_temp.quote(p_customer text default 'customer') returns public.repair_quotes
language sql stable
as $$
  select q from public.repair_quotes as q where q.session_id = tests.session_of(p_customer)
  order by q.created_at desc limit 1
$$;

create function pg_temp.decide(p_who text, p_approve text, p_customer text default 'customer') returns text
language sql
as $$
  select tests.outcome(p_who, format('select public.decide_quote(%L, %s)', (pg_temp.quote(p_customer)).id, p_approve))
$$;

create function pg_temp.confirm(p_who text, p_customer text default 'customer') returns text
language sql
as $$
  select tests.outcome(p_who, format('select public.confirm_quote_bonus(%L)', (pg_temp.quote(p_customer)).id))
$$;

-- proposing
select is(pg_temp.escalate('mechanic'), 'PT409 session_not_completed', 'MON-16: not before the end');
select tests.advance(70);
select tests.finish_session('customer', 'customer');
select is(pg_temp.escalate(who), expected, format('MON-16: not by the %s', who))
from (values
  ('customer', 'PT403 role_required'), ('other', 'PT404 session_not_found'), ('stranger', 'PT404 session_not_found'),
  ('admin', 'PT404 session_not_found'), ('authenticated', 'PT401 not_authenticated')
) as cases (who, expected);
select alike(pg_temp.escalate(who), '42501 %', format('MON-16: nor by %s', who))
from unnest(array['anon', 'service_role']) as who;
select is(pg_temp.escalate('mechanic', cents, what), 'PT422 invalid_argument', format('MON-16: %s', why))
from (values
  ('null', 'x', 'no amount'), ('0', 'x', 'nothing'), ('-5', 'x', 'less than nothing'),
  ('500001', 'x', 'more than max_quote_cents'), ('1', null, 'no description'), ('1', '   ', 'an empty one'),
  ('1', repeat('x', 4001), 'one that is too long')
) as cases (cents, what, why);
select is(
  pg_temp.escalate('mechanic', '1', 'x', session), 'PT404 session_not_found', format('MON-16: of %s session', why)
)
from (values (null::uuid, 'no'), (tests.id('nothing'), 'an unknown')) as cases (session, why);
select is(pg_temp.escalate('mechanic', '20000', '  new brakes '), 'ok', 'MON-16: the mechanic of the session proposes');
select results_eq(
  $$ select mechanic_id, amount_cents, currency, description, status, bonus_cents, bonus_confirmed_at, created_at
     from public.repair_quotes $$,
  $$ values (tests.id('mechanic'), 20000, 'usd', 'new brakes', 'escalated', null::integer, null::timestamptz,
     tests.now()) $$,
  'MON-16: a quote, open'
);
select is(pg_temp.escalate('mechanic', '1'), 'PT409 quote_already_open', 'MON-16: one open quote per session');

-- who sees it
create function pg_temp.seen(p_who text) returns integer
language plpgsql
as $$
declare
  v_seen integer;
begin
  perform tests.act_as(p_who);
  select count(*) into v_seen from public.repair_quotes;
  perform tests.be_system();
  return v_seen;
end
$$;
select is(pg_temp.seen(who), seen, format('MON-16: seen by the %s: %s', who, seen))
from (values ('customer', 1), ('mechanic', 1), ('admin', 1), ('other', 0), ('stranger', 0)) as cases (who, seen);
select is(
  tests.outcome(who, $$ update public.repair_quotes set amount_cents = 1 $$),
  '42501 permission denied for table repair_quotes', format('MON-16: and changed by no %s', who)
)
from unnest(array['customer', 'mechanic', 'service_role']) as who;

-- deciding
select is(pg_temp.decide(who, 'true'), 'PT404 quote_not_found', format('MON-16: decided by no %s', who))
from unnest(array['mechanic', 'other', 'stranger', 'admin']) as who;
select alike(pg_temp.decide(who, 'true'), '42501 %', format('MON-16: nor by %s', who))
from unnest(array['anon', 'service_role']) as who;
select is(pg_temp.decide('customer', 'null'), 'PT422 invalid_argument', 'MON-16: yes or no');
select is(
  tests.outcome('customer', 'select public.decide_quote(null, true)'), 'PT404 quote_not_found', 'MON-16: which quote'
);
select is(pg_temp.confirm('admin'), 'PT422 invalid_argument', 'MON-16: nothing to confirm yet');
select is(tests.cents('mechanic_payable', 'mechanic'), 1050, 'MON-16: a proposal moves no money');
select tests.advance(10);
select is(pg_temp.decide('customer', 'false'), 'ok', 'MON-16: the customer declines');
select is((pg_temp.quote()).status, 'declined', 'MON-16: declined');
select is(pg_temp.decide('customer', 'false'), 'ok', 'MON-16: again: the same');
select is(pg_temp.decide('customer', 'true'), 'PT409 quote_already_decided', 'MON-16: but not the other way');
select is(tests.cents('mechanic_payable', 'mechanic'), 1050, 'MON-16: no bonus for a declined one');
select tests.advance(10);
select is(pg_temp.escalate('mechanic', '20001'), 'ok', 'MON-16: another proposal after that');
select is(pg_temp.decide('customer', 'true'), 'ok', 'MON-16: the customer approves');
select results_eq(
  $$ select status, bonus_cents, decided_at from pg_temp.quote() $$, $$ values ('approved', 1000, tests.now()) $$,
  'MON-16: the bonus, escalated_quote_bonus_bps of the amount, rounded down'
);
select is(tests.cents('mechanic_payable', 'mechanic'), 2050, 'MON-16: is the mechanic''s');
select is(tests.cents('platform_revenue'), -550, 'MON-16: out of the platform''s revenue');
select is(tests.payout_told('customer', 'quote_bonus'), null, 'MON-16: and not yet paid out');
select is(pg_temp.decide('customer', 'true'), 'ok', 'MON-16: approved again: the same');
select is(pg_temp.decide('customer', 'false'), 'PT409 quote_already_decided', 'MON-16: it cannot be declined any more');
select is(tests.cents('mechanic_payable', 'mechanic'), 2050, 'MON-16: the bonus is earned once');
select is(
  pg_temp.escalate('mechanic'), 'PT409 quote_already_decided', 'MON-16: one approved quote per session'
);

-- confirming
select is(pg_temp.confirm(who), 'PT403 role_required', format('MON-16: confirmed by no %s', who))
from unnest(array['customer', 'mechanic', 'stranger']) as who;
select is(
  tests.outcome('admin', 'select public.confirm_quote_bonus(null)'), 'PT404 quote_not_found', 'MON-16: which bonus'
);
select tests.advance(10);
select is(pg_temp.confirm('admin'), 'ok', 'MON-16: an admin confirms');
select is(tests.payout_told('customer', 'quote_bonus'), '1000 pending', 'MON-16: then it is paid out');
select is((pg_temp.quote()).bonus_confirmed_at, tests.now(), 'MON-16: since when');
select tests.advance(10);
select is(pg_temp.confirm('admin'), 'ok', 'MON-16: again: the same');
select is((pg_temp.quote()).bonus_confirmed_at, tests.now() - interval '10 s', 'MON-16: and nothing changes');
select is(
  (select count(*)::integer from private.ops_log where kind = 'quote.bonus_confirmed'), 1, 'MON-16: recorded once'
);

select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');

select * from finish();

rollback;
