-- MON-17: an effect is a row of a known topic, once per key, written with the state that causes it and lost with it.
begin;

select plan(35);

select tests.stop_clock();
select tests.person('customer');

select is(
  tests.outcome('system', format('select private.enqueue(%L, %L, ''{}'')', topic, 'a ' || topic)), 'ok',
  'MON-17: there is the topic ' || topic
)
from unnest(array[
  'email', 'stripe.transfer', 'stripe.refund', 'stripe.transfer_reversal', 'stripe.expire_checkout',
  'livekit.delete_room', 'storage.remove', 'crm.track', 'support.alert', 'push', 'webhook'
]) as topic;
select alike(
  tests.outcome('system', format('select private.enqueue(%L, %L, %L)', topic, key, payload)),
  state || ' %"' || violated || '"%', 'MON-17: refused: ' || what
)
from (
  values
    ('an unknown topic', 'stripe.charge', 'k', '{}', '23514', 'topic_is_known'),
    ('an empty topic', '', 'k', '{}', '23514', 'topic_is_known'),
    ('no topic', null, 'k', '{}', '23502', 'topic'),
    ('no key', 'push', null, '{}', '23502', 'key'),
    ('an empty key', 'push', '', '{}', '23514', 'key_is_bounded'),
    ('a long key', 'push', repeat('k', 201), '{}', '23514', 'key_is_bounded'),
    ('no payload', 'push', 'k', null, '23514', 'only_a_done_row_is_emptied'),
    ('a payload that is no object', 'push', 'k', '[]', '23514', 'payload_is_an_object')
) as attempts (what, topic, key, payload, state, violated);

select is(private.enqueue('push', 'once', '{"n": 1}', tests.id('session')), true, 'MON-17: a new key');
select is(private.enqueue('push', 'once', '{"n": 2}', tests.id('session')), false, 'MON-17: is not new again');
select is(private.enqueue('webhook', 'once', '{"n": 3}'), false, 'MON-17: in no topic');
select results_eq(
  $$
    select topic, payload, session_id, status, attempts, next_attempt_at, leased_until, lease_token, last_error
    from private.outbox where key = 'once'
  $$,
  $$ select 'push', '{"n": 1}'::jsonb, tests.id('session'), 'pending', 0, tests.now(), null::timestamptz, null::uuid,
    null::text $$,
  'MON-17: what a new row is'
);
select throws_ok(
  $$ insert into private.outbox (topic, key, payload) values ('push', 'once', '{}') $$, '23505', null,
  'MON-17: the database keeps a key to one row'
);
select throws_ok(
  format('update private.outbox set %s where key = ''once''', change), '23514', null, 'MON-17: no row is ' || what
)
from (
  values
    ('of another status', 'status = ''sent'''), ('leased without a token', 'status = ''leased'''),
    ('leased without an end', 'status = ''leased'', lease_token = gen_random_uuid()'),
    ('done without a time', 'status = ''done'''), ('pending with a token', 'lease_token = gen_random_uuid()')
) as changes (what, change);

-- With the state that causes it, or not at all.
create function pg_temp.refund_and_fail()
returns text
language plpgsql
as $$
declare
  v_payment private.payments;
begin
  insert into private.payments (
    payment_intent_id, customer_user_id, amount_cents, currency, purpose, purpose_id, rank, received_at
  )
  values ('pi_1', tests.id('customer'), 700, 'usd', 'session', tests.id('intent'), 'paid', tests.now())
  returning * into v_payment;
  perform private.ask_refund(v_payment, 'k', 700, null, '{"promotions": -700}');
  if not exists (select from private.outbox where topic = 'stripe.refund' and key = 'refund:k') then
    return 'no row';
  end if;
  raise sqlstate 'TT000';
exception when sqlstate 'TT000' then
  return 'failed';
end
$$;
select is(pg_temp.refund_and_fail(), 'failed', 'MON-17: a refund writes its effect with it');
select is(
  (select count(*)::integer from private.outbox where key = 'refund:k'), 0, 'MON-17: and takes it along when it fails'
);

-- Nobody reads it but through claims.
select alike(
  tests.outcome(who, 'select 1 from private.outbox'), '42501 permission denied for %',
  format('MON-17: %s does not read it', who)
)
from unnest(array['customer', 'service_role', 'anon']) as who;

select is_empty('select * from public.ledger_invariants()', 'MON-03: and every invariant holds');

select * from finish();

rollback;
