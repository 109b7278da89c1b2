-- MON-18: Stripe's idempotency key is <key>#<n>; n grows only after a definitive refusal, and what may have happened
-- already, was revived or is old is looked for before it is sent.
begin;

select plan(21);

select tests.stop_clock();
select private.enqueue('stripe.transfer', 't', '{}');

create function pg_temp.next()
returns text
language plpgsql
as $$
declare
  v_claim public.outbox_claim;
begin
  perform tests.advance(3600);
  select * into v_claim from public.claim_outbox('worker', 100, 60) as c where c.key = 't';
  return v_claim.idempotency_key || case when v_claim.must_look_first then ' look' else '' end;
end
$$;

create function pg_temp.fail(p_error text, p_ambiguous boolean default false)
returns boolean
language sql
as $$ select public.fail_outbox(id, lease_token, p_error, p_ambiguous) from private.outbox where key = 't' $$;

select is(pg_temp.next(), 't#1', 'MON-18: the first try');
select is(pg_temp.fail('a time-out', true), true, 'MON-18: nobody knows');
select is(pg_temp.next(), 't#1 look', 'MON-18: the same key, after a look');
select is(pg_temp.fail('a 503', true), true, 'MON-18: nobody knows again');
select is(pg_temp.next(), 't#1 look', 'MON-18: the same key still');
select is(pg_temp.fail('balance_insufficient'), true, 'MON-18: refused');
select is(pg_temp.next(), 't#2', 'MON-18: a new key, since Stripe repeats what it once answered to the old one');
select is(pg_temp.fail('a lost connection', true), true, 'MON-18: nobody knows of that one either');
select is(pg_temp.next(), 't#2 look', 'MON-18: which is kept');
select is(pg_temp.fail('who can say', null), true, 'MON-18: who does not say that it was refused');
select is(pg_temp.next(), 't#2 look', 'MON-18: has not said so');
select is(pg_temp.fail('balance_insufficient'), true, 'MON-18: refused again');
select is(pg_temp.next(), 't#3', 'MON-18: the third key');
select is(
  (select public.fail_outbox(id, lease_token, 'no') from private.outbox where key = 't'), true,
  'MON-18: to fail without a word is a refusal'
);
select is(pg_temp.next(), 't#4', 'MON-18: the fourth key');

-- Twenty hours after its first try, whatever the last answer was.
select pg_temp.fail('balance_insufficient');
select tests.clock_at(
  (select first_attempt_at from private.outbox where key = 't') + interval '19 hours'
);
select is(pg_temp.next(), 't#5', 'MON-18: at twenty hours to the second it is sent without a look');
select pg_temp.fail('balance_insufficient');
select tests.clock_at(
  (select first_attempt_at from private.outbox where key = 't') + interval '19 hours 1 second'
);
update private.outbox set next_attempt_at = tests.now() where key = 't';
select is(pg_temp.next(), 't#6 look', 'MON-18: a second later only after one');

-- An old row that was never tried is not old in Stripe's eyes.
select private.enqueue('stripe.transfer', 'u', '{}');
select tests.advance(864000);
select is(
  (select must_look_first from public.claim_outbox('worker', 100, 60) where key = 'u'), false,
  'MON-18: a row that waited for days before its first try is just sent'
);

-- Dead by a plain refusal, and revived within the hour.
select private.enqueue('stripe.transfer', 'v', '{}');
update private.outbox set attempts = 11 where key = 'v';
select public.fail_outbox(id, lease_token, 'no') from public.claim_outbox('worker', 100, 60) where key = 'v';
select public.requeue_outbox(id) from private.outbox where key = 'v';
select results_eq(
  'select idempotency_key, must_look_first from public.claim_outbox(''worker'', 100, 60) where key = ''v''',
  $$ values ('v#2', true) $$, 'MON-18: what was revived is looked for, under the key that its refusal left'
);

select private.enqueue('stripe.transfer', repeat('k', 200), '{}');
select cmp_ok(
  (select length(idempotency_key) from public.claim_outbox('worker', 100, 60) where length(key) = 200), '<=', 255,
  'MON-18: the longest key is not too long for Stripe'
);

select is_empty('select * from public.ledger_invariants()', 'MON-03: and every invariant holds');

select * from finish();

rollback;
