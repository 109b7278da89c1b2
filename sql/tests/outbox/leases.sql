-- MON-18: a lease that has run out loses its row: it is claimed again, as something that may have happened already, and
-- the old token does nothing any more.
begin;

select plan(21);

select tests.stop_clock();

create function pg_temp.claim(p_seconds integer default 60)
returns setof public.outbox_claim
language plpgsql
as $$
begin
  perform tests.act_as_role('service_role');
  return query select * from public.claim_outbox('worker', 100, p_seconds);
  perform tests.be_system();
end
$$;

select private.enqueue('stripe.refund', 'r', '{}', tests.id('session'));
select private.enqueue('push', 'p', '{}');
create temp table first_claims as select * from pg_temp.claim(60);
select results_eq(
  'select key, attempts, must_look_first from first_claims order by key',
  $$ values ('p', 1, false), ('r', 1, false) $$, 'MON-18: leased for a minute'
);
select tests.advance(59);
select is_empty('select * from pg_temp.claim()', 'MON-18: for so long nobody else has them');
select tests.advance(1);
create temp table second_claims as select * from pg_temp.claim(60);
select results_eq(
  'select key, idempotency_key, attempts, must_look_first from second_claims order by key',
  $$ values ('p', 'p#1', 2, true), ('r', 'r#1', 2, true) $$,
  'MON-18: then they are claimed again, under the same idempotency key, and looked for first'
);
select is_empty(
  'select * from first_claims as f join second_claims as s on s.lease_token = f.lease_token',
  'MON-18: with new tokens'
);

select is(public.complete_outbox(id, lease_token, '{}'), false, 'MON-18: the old token completes nothing: ' || key)
from first_claims order by key;
select is(public.fail_outbox(id, lease_token, 'late'), false, 'MON-18: nor fails it: ' || key)
from first_claims order by key;
select is(
  (select array_agg(status || coalesce(last_error, '')) from private.outbox), '{leased, leased}',
  'MON-18: as if nobody had called'
);

select is(public.complete_outbox(id, lease_token, '{"id": "x_1"}'), true, 'MON-18: the new one completes it')
from second_claims where key = 'p';
select is(public.complete_outbox(id, lease_token, '{"id": "x_1"}'), false, 'MON-18: once')
from second_claims where key = 'p';
select is(public.complete_outbox(id, lease_token, '{"id": "x_2"}'), false, 'MON-18: and the old one still nothing')
from first_claims where key = 'p';
select is(
  (select result ->> 'id' from private.outbox where key = 'p'), 'x_1', 'MON-18: what was recorded stays'
);

-- A lease that has run out and that nobody else has taken is better recorded than done again.
select tests.advance(3600);
select is(public.complete_outbox(id, lease_token, '{"id": "re_1"}'), true, 'MON-18: late, with the newest token')
from second_claims where key = 'r';
select is_empty('select * from pg_temp.claim()', 'MON-18: nothing is left');

-- Once looked for and refused, nothing is ambiguous any more.
select private.enqueue('stripe.transfer', 't', '{}');
create temp table third_claims as select * from pg_temp.claim(1);
select tests.advance(1);
create temp table fourth_claims as select * from pg_temp.claim(60);
select is((select must_look_first from fourth_claims), true, 'MON-18: a lease ran out');
select is(public.fail_outbox(id, lease_token, 'balance_insufficient'), true, 'MON-18: Stripe says no')
from fourth_claims;
select tests.advance(3600);
select results_eq(
  'select idempotency_key, attempts, must_look_first from pg_temp.claim()', $$ values ('t#2', 3, false) $$,
  'MON-18: it is sent under a new key without looking'
);
-- A worker that ends is tried again at once, without waiting for the time of a retry.
select tests.advance(60);
select results_eq(
  'select idempotency_key, attempts, must_look_first from pg_temp.claim()', $$ values ('t#2', 4, true) $$,
  'MON-18: and looked for when its lease runs out again'
);
select is(
  (select count(*)::integer from private.outbox where status = 'done'), 2, 'MON-18: two effects are recorded'
);

select is_empty('select * from public.ledger_invariants()', 'MON-03: and every invariant holds');

select * from finish();

rollback;
