-- MON-04: admins give credit, once per key; a customer sees his own, the newest entries first.
begin;

select plan(43);

select tests.stop_clock();
select tests.admin('admin');
select tests.person('customer');
select tests.person('other');
select tests.mechanic('mechanic');

create function pg_temp.grant_by(
  p_who text, p_user text, p_cents integer, p_currency text default 'usd', p_key text default 'g1'
)
returns text
language sql
as $$
  select tests.outcome(p_who, format(
    'select public.grant_credit(%L, %L, %L, %L, ''sorry'')', tests.id(p_user), p_cents, p_currency, p_key
  ))
$$;

create function pg_temp.my_credit(p_who text)
returns jsonb
language plpgsql
as $$
declare
  v_credit jsonb;
begin
  perform tests.act_as(p_who);
  v_credit := public.my_credit();
  perform tests.be_system();
  return v_credit;
end
$$;

-- Who may.
select is(pg_temp.grant_by(who, 'customer', 100), outcome, 'MON-04: granted by ' || who)
from (
  values ('customer', 'PT403 role_required'), ('mechanic', 'PT403 role_required'),
    ('authenticated', 'PT401 not_authenticated'), ('anon', '42501 permission denied for function grant_credit')
) as attempts (who, outcome);
select is(
  pg_temp.my_credit('customer'), '{"balances": [], "entries": []}', 'MON-04: who has no credit has an empty list'
);

select is(pg_temp.grant_by('admin', 'customer', 700), 'ok', 'MON-04: an admin grants');
select is(
  pg_temp.my_credit('customer') -> 'balances', '[{"currency": "usd", "cents": 700}]', 'MON-04: the customer has it'
);
select is(
  private.balance('promotions', 'usd')::integer, -700, 'MON-04: and promotions gave it'
);
select results_eq(
  $$ select actor_id, detail from private.ops_log where kind = 'credit.granted' $$,
  $$ select tests.id('admin'), jsonb_build_object(
    'user_id', tests.id('customer'), 'amount_cents', 700, 'currency', 'usd', 'key', 'g1', 'note', 'sorry'
  ) $$,
  'MON-04: who gave what, and why, is on record'
);

-- Again, and something else under the same key.
select tests.advance(60);
select is(pg_temp.grant_by('admin', 'customer', 700), 'ok', 'MON-04: the same key again');
select is(
  pg_temp.my_credit('customer') -> 'balances', '[{"currency": "usd", "cents": 700}]', 'MON-04: gives nothing more'
);
select is(
  public.grant_credit(tests.id('customer'), 700, 'usd', 'g1', 'another note') ->> 'cents', '700',
  'MON-04: it answers with the balance, whatever the note'
);
select is(
  (select count(*)::integer from private.ops_log where kind = 'credit.granted'), 1, 'MON-04: it is on record once'
);
select is(
  pg_temp.grant_by('admin', who, cents, currency), 'PT409 idempotency_conflict',
  format('MON-04: the key is not for %s cents %s of %s', cents, currency, who)
)
from (
  values ('customer', 701, 'usd'), ('customer', 700, 'eur'), ('other', 700, 'usd')
) as attempts (who, cents, currency);
select is(pg_temp.my_credit('other'), '{"balances": [], "entries": []}', 'MON-04: nobody else has any of it');

-- Odd input.
select is(
  pg_temp.grant_by('admin', 'customer', cents, currency, key), 'PT422 invalid_argument', 'MON-04: refused: ' || what
)
from (
  values
    ('zero', 0, 'usd', 'g2'), ('less than zero', -1, 'usd', 'g2'), ('no amount', null, 'usd', 'g2'),
    ('more than a million', 100000001, 'usd', 'g2'), ('no currency', 1, null, 'g2'),
    ('a large currency', 1, 'USD', 'g2'), ('an empty currency', 1, '', 'g2'), ('a long currency', 1, 'usdd', 'g2'),
    ('no key', 1, 'usd', null), ('an empty key', 1, 'usd', ''), ('a long key', 1, 'usd', repeat('k', 201))
) as attempts (what, cents, currency, key);
select is(
  pg_temp.grant_by('admin', who, 1), 'PT422 invalid_argument', format('MON-04: there is no such user: "%s"', who)
)
from unnest(array['nobody', null]) as who;
update public.profiles set deleted_at = tests.now(), display_name = null, email = null where id = tests.id('other');
select is(
  pg_temp.grant_by('admin', 'other', 1, 'usd', 'g3'), 'PT422 invalid_argument', 'MON-04: nor one who has gone'
);

-- Many entries, more than one currency.
select is(
  pg_temp.grant_by('service_role', 'customer', 1, 'eur', repeat('k', 200)), 'ok', 'MON-04: the system grants as well'
);
select is(
  (pg_temp.my_credit('customer') -> 'balances'), '[{"currency": "eur", "cents": 1}, {"currency": "usd", "cents": 700}]',
  'MON-04: a balance for each currency'
);
select is(
  pg_temp.my_credit('customer') -> 'entries' -> 0,
  jsonb_build_object(
    'id', (select max(id) from private.ledger_transfers), 'kind', 'grant', 'cents', 1, 'currency', 'eur',
    'session_id', null, 'occurred_at', tests.now()
  ),
  'MON-04: what an entry says'
);
select is(
  jsonb_array_length(pg_temp.my_credit('customer') -> 'entries'), 2, 'MON-04: an entry for each grant'
);
select is(
  count(public.grant_credit(tests.id('customer'), n, 'usd', 'many:' || n)), 120::bigint, 'MON-04: 120 grants more'
)
from generate_series(1, 120) as n;
select is(
  jsonb_array_length(pg_temp.my_credit('customer') -> 'entries'), 100, 'MON-04: the list has the newest 100'
);
select is(
  array[
    pg_temp.my_credit('customer') -> 'entries' -> 0 ->> 'cents',
    pg_temp.my_credit('customer') -> 'entries' -> 99 ->> 'cents'
  ],
  '{120, 21}', 'MON-04: the newest first'
);
select is(
  pg_temp.my_credit('customer') -> 'balances' -> 1 ->> 'cents', (700 + 120 * 121 / 2)::text,
  'MON-04: the balance is of all of them'
);
select is(
  tests.outcome(who, 'select public.my_credit()'), outcome, 'MON-04: my_credit, asked by ' || who
)
from (
  values ('authenticated', 'PT401 not_authenticated'), ('anon', '42501 permission denied for function my_credit'),
    ('service_role', '42501 permission denied for function my_credit')
) as asked (who, outcome);

select is_empty('select * from public.ledger_invariants()', 'MON-03: and every invariant holds');

select * from finish();

rollback;
