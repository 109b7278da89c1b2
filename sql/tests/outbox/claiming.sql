-- MON-18: claim_outbox leases what is due, the most overdue first, and nothing twice.
begin;

select plan(36);

select tests.stop_clock();
select tests.admin('admin');
select tests.person('customer');

create function pg_temp.claim(p_limit integer default 100, p_seconds integer default 60)
returns setof public.outbox_claim
language plpgsql
as $$
begin
  perform tests.act_as_role('service_role');
  return query select * from public.claim_outbox('worker', p_limit, p_seconds);
  perform tests.be_system();
end
$$;

create function pg_temp.keys(p_limit integer default 100, p_seconds integer default 60)
returns text[]
language sql
as $$ select coalesce(array_agg(key), '{}') from pg_temp.claim(p_limit, p_seconds) $$;

-- Who may, and with what.
select is(
  tests.outcome(who, 'select * from public.claim_outbox(''worker'', 1, 60)'), outcome, 'MON-18: claimed by ' || who
)
from (
  values ('service_role', 'ok'), ('system', 'ok'), ('customer', '42501 permission denied for function claim_outbox'),
    ('admin', '42501 permission denied for function claim_outbox'),
    ('anon', '42501 permission denied for function claim_outbox')
) as attempts (who, outcome);
select is(
  tests.outcome(who, statement), '42501 permission denied for function ' || name, format('MON-18: %s by %s', name, who)
)
from
  unnest(array['customer', 'admin', 'anon']) as who,
  (
    values ('complete_outbox', 'select public.complete_outbox(1, gen_random_uuid())'),
      ('fail_outbox', 'select public.fail_outbox(1, gen_random_uuid(), ''no'')')
  ) as calls (name, statement);
select is(
  tests.outcome('service_role', format('select * from public.claim_outbox(%L, %L, %L)', worker, rows, seconds)),
  'PT422 invalid_argument', 'MON-18: refused: ' || what
)
from (
  values
    ('no worker', null, 1, 60), ('an empty worker', '', 1, 60), ('a long worker', repeat('w', 201), 1, 60),
    ('no limit', 'w', null, 60), ('a limit of nothing', 'w', 0, 60), ('less than nothing', 'w', -1, 60),
    ('no lease', 'w', 1, null), ('a lease of nothing', 'w', 1, 0), ('a long lease', 'w', 1, 3601)
) as attempts (what, worker, rows, seconds);

select is(pg_temp.keys(), '{}', 'MON-18: there is nothing to claim');

-- Keys say how many seconds ago a row became due.
select private.enqueue('push', key, jsonb_build_object('of', key))
from unnest(array['30', '90', '60', '-1', '0', '90 too']) as key;
update private.outbox
set next_attempt_at = tests.now() - make_interval(secs => split_part(key, ' ', 1)::integer)
where true;

select is(pg_temp.keys(2), '{90, 90 too}', 'MON-18: the most overdue first, then the oldest, no more than asked for');
select is(pg_temp.keys(), '{60, 30, 0}', 'MON-18: then the others that are due');
select is(pg_temp.keys(), '{}', 'MON-18: what is leased is not claimed again');
select tests.advance(1);
select results_eq(
  $$
    select topic, key, idempotency_key, payload, session_id, attempts, must_look_first, leased_until,
      lease_token is not null
    from pg_temp.claim(p_seconds => 45)
  $$,
  $$ select 'push', '-1', '-1#1', '{"of": "-1"}'::jsonb, null::uuid, 1, false, tests.now() + interval '45 seconds',
    true $$,
  'MON-18: what a claim says'
);
select results_eq(
  'select status, leased_by, first_attempt_at from private.outbox where key = ''-1''',
  'select ''leased'', ''worker'', tests.now()', 'MON-18: and what the row says'
);
select is(
  (select count(distinct lease_token)::integer from private.outbox), 6, 'MON-18: every lease has a token of its own'
);

-- Completing.
create function pg_temp.complete(p_key text, p_token uuid default null)
returns boolean
language plpgsql
as $$
declare
  v_row private.outbox;
  v_answer boolean;
begin
  select * into v_row from private.outbox where key = p_key;
  perform tests.act_as_role('service_role');
  v_answer := public.complete_outbox(v_row.id, coalesce(p_token, v_row.lease_token), '{"id": "x_1"}');
  perform tests.be_system();
  return v_answer;
end
$$;

select is(pg_temp.complete('90', gen_random_uuid()), false, 'MON-18: another token completes nothing');
select is(
  pg_temp.complete('90', (select lease_token from private.outbox where key = '60')), false,
  'MON-18: nor does the token of another row'
);
select is((select status from private.outbox where key = '90'), 'leased', 'MON-18: it is still leased');
select is(pg_temp.complete('90'), true, 'MON-18: its own token does');
select results_eq(
  'select status, done_at, result, lease_token, leased_until from private.outbox where key = ''90''',
  $$ select 'done', tests.now(), '{"id": "x_1"}'::jsonb, null::uuid, null::timestamptz $$,
  'MON-18: when it was done, and what the outside answered'
);
select is(pg_temp.complete('90', gen_random_uuid()), false, 'MON-18: what is done is done');
select is(
  array[
    public.complete_outbox(null, gen_random_uuid()), public.complete_outbox(-1, gen_random_uuid()),
    public.complete_outbox((select id from private.outbox where key = '60'), null),
    public.fail_outbox(null, null, null)
  ],
  '{f, f, f, f}', 'MON-18: no row, or no token, is no lease'
);
select tests.advance(86400);
select is(array_position(pg_temp.keys(), '90'), null, 'MON-18: what is done is not claimed again, ever');

select is_empty('select * from public.ledger_invariants()', 'MON-03: and every invariant holds');

select * from finish();

rollback;
