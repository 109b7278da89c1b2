-- MON-01: a business key is posted once; again it is the same transfer, with other content an error.
begin;

select plan(18);

select tests.stop_clock();

create function pg_temp.post(
  p_lines jsonb, p_key text default 'key', p_session text default null, p_currency text default 'usd',
  p_at timestamptz default tests.now()
)
returns text
language plpgsql
as $$
declare
  v_outcome text;
begin
  begin
    v_outcome := private.post(p_key, tests.id(p_session), p_at, p_currency, p_lines);
  exception when others then
    v_outcome := sqlstate || ' ' || sqlerrm;
  end;
  return v_outcome;
end
$$;

select set_config('tests.at', tests.now()::text, true);
select set_config(
  'tests.first',
  pg_temp.post('{"stripe": -700, "promotions": 700}', p_at => tests.now() - interval '3 days'), true
);
select matches(current_setting('tests.first'), '^[0-9]+$', 'MON-01: posted');

select tests.advance(60);
select is(
  pg_temp.post('{"stripe": -700, "promotions": 700}'), current_setting('tests.first'),
  'MON-01: the same again is the first transfer'
);
select is(
  pg_temp.post('{"promotions": 700, "stripe": -700, "platform_revenue": 0}'), current_setting('tests.first'),
  'MON-01: in another order, with a line of nothing, it is the same'
);
select is(
  pg_temp.post('{"stripe": -701, "promotions": 701}'), 'PT409 idempotency_conflict', 'MON-01: another amount is not'
);
select is(
  pg_temp.post('{"stripe": -700, "platform_revenue": 700}'), 'PT409 idempotency_conflict',
  'MON-01: nor another account'
);
select is(
  pg_temp.post('{"stripe": -700, "promotions": 700}', p_currency => 'eur'), 'PT409 idempotency_conflict',
  'MON-01: nor another currency'
);
select is(
  pg_temp.post('{"stripe": 700, "promotions": -700}'), 'PT409 idempotency_conflict', 'MON-01: nor the other way round'
);
select is(pg_temp.post('{}'), 'PT409 idempotency_conflict', 'MON-01: nor nothing');
select is(
  pg_temp.post('{"stripe": 0}', p_currency => 'eur'), 'PT409 idempotency_conflict',
  'MON-01: nor nothing in another currency'
);
select is(
  pg_temp.post('{"stripe": -700, "promotions": 700}', p_session => 'another session'), 'PT409 idempotency_conflict',
  'MON-01: nor the same for another session'
);
select isnt(
  pg_temp.post('{"stripe": -700, "promotions": 700}', 'key:2'), current_setting('tests.first'),
  'MON-01: another key is another transfer'
);

select matches(pg_temp.post('{}', 'zero'), '^[0-9]+$', 'MON-01: a transfer of nothing has its key');
select is(pg_temp.post('{"stripe": 0}', 'zero'), pg_temp.post('{}', 'zero'), 'MON-01: and keeps it');
select is(
  pg_temp.post('{"stripe": -1, "promotions": 1}', 'zero'), 'PT409 idempotency_conflict',
  'MON-01: which nothing else can have'
);

select throws_ok(
  $$ insert into private.ledger_transfers (key, occurred_at) values ('zero', now()) $$, '23505', null,
  'MON-01: the database refuses a second transfer of a key'
);
select results_eq(
  $$ select occurred_at, created_at from private.ledger_transfers where key = 'key' $$,
  $$ select current_setting('tests.at')::timestamptz - interval '3 days', current_setting('tests.at')::timestamptz $$,
  'MON-01: when it happened and when it was written down are kept apart, both of the first time'
);
select is(private.balance('promotions', 'usd')::integer, 1400, 'MON-01: no repetition has moved a cent');

select is_empty('select * from public.ledger_invariants()', 'MON-03: and every invariant holds');

select * from finish();

rollback;
