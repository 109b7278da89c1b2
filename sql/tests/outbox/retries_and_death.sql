-- MON-18: retries back off, at most an hour apart; after twelve a row is dead, support told, and an admin revives it.
begin;

select plan(36);

select tests.stop_clock();
select tests.admin('admin');
select tests.person('customer');

-- How long it waits.
select ok(
  (
    select bool_and(d.delay between d.longest / 2 and d.longest)
    from (
      select private.retry_delay(n) as delay, make_interval(secs => least(3600, 5 * 2 ^ least(n, 100))) as longest
      from generate_series(1, 200)
    ) as d
  ),
  format('MON-18: after %s tries, between half of it and all', n)
)
from unnest(array[1, 2, 5, 9, 10, 11, 12, 1000000]) as n;
select cmp_ok(
  (select count(distinct private.retry_delay(3)) from generate_series(1, 20)), '>', 10::bigint, 'MON-18: with jitter'
);

create function pg_temp.claim(p_key text)
returns public.outbox_claim
language plpgsql
as $$
declare
  v_claim public.outbox_claim;
begin
  select * into v_claim from public.claim_outbox('worker', 100, 60) as c where c.key = p_key;
  return v_claim;
end
$$;

-- Fails a row so often, each time when it is due; returns how long it was made to wait.
create function pg_temp.fail_times(p_key text, p_times integer, p_ambiguous boolean default false)
returns interval[]
language plpgsql
as $$
declare
  v_claim public.outbox_claim;
  v_waits interval[] := '{}';
  v_due timestamptz;
begin
  for i in 1..p_times loop
    v_claim := pg_temp.claim(p_key);
    if v_claim.id is null or not public.fail_outbox(v_claim.id, v_claim.lease_token, 'no ' || i, p_ambiguous) then
      raise exception 'try % of % was not to be had', i, p_key;
    end if;
    select o.next_attempt_at into v_due from private.outbox as o where o.key = p_key;
    v_waits := v_waits || (v_due - tests.now());
    perform tests.clock_at(v_due);
  end loop;
  return v_waits;
end
$$;

select private.enqueue('push', 'p', '{}', tests.id('session'));
create temp table waits as select pg_temp.fail_times('p', 11) as w;
select ok(
  (select bool_and(i.wait between interval '5 seconds' and interval '1 hour') from waits, unnest(w) as i (wait)),
  'MON-18: eleven failures, each tried again within the hour'
);
select results_eq(
  'select status, attempts, last_error, generation from private.outbox where key = ''p''',
  $$ values ('pending', 11, 'no 11', 12) $$, 'MON-18: with the last error'
);
update private.outbox set next_attempt_at = tests.now() + interval '1 minute' where key = 'p';
select is((pg_temp.claim('p')).id, null, 'MON-18: before its time it is not to be had');
select tests.advance(60);
select is_empty('select * from private.outbox where topic = ''support.alert''', 'MON-18: nobody is told yet');
select pg_temp.fail_times('p', 1);
select results_eq(
  'select status, attempts, lease_token, leased_until from private.outbox where key = ''p''',
  'select ''dead'', 12, null::uuid, null::timestamptz', 'MON-18: the twelfth is the last'
);
select results_eq(
  $$
    select payload ->> 'to', payload ->> 'severity', payload -> 'detail'
    from private.outbox where topic = 'support.alert'
  $$,
  $$
    select 'support@example.com', 'critical', jsonb_build_object(
      'outbox_id', o.id, 'topic', 'push', 'key', 'p', 'session_id', tests.id('session'), 'error', 'no 1'
    ) from private.outbox as o where o.key = 'p'
  $$,
  'MON-18: and support is told which, and why'
);
select tests.advance(86400);
select is((pg_temp.claim('p')).id, null, 'MON-18: a dead row is not claimed');

-- Revived.
create function pg_temp.requeue(p_who text, p_id text)
returns text
language sql
as $$ select tests.outcome(p_who, format('select public.requeue_outbox(%s)', p_id)) $$;
select set_config('tests.id', (select id::text from private.outbox where key = 'p'), true);

select is(pg_temp.requeue(who, current_setting('tests.id')), outcome, 'MON-18: revived by ' || who)
from (
  values ('customer', 'PT403 role_required'), ('anon', '42501 permission denied for function requeue_outbox'),
    ('admin', 'ok')
) as attempts (who, outcome);
select results_eq(
  'select kind, actor_id, detail from private.ops_log where kind = ''outbox.requeued''',
  $$ select 'outbox.requeued', tests.id('admin'), jsonb_build_object(
    'outbox_id', current_setting('tests.id')::bigint, 'topic', 'push'
  ) $$,
  'MON-18: it is on record'
);
select is(pg_temp.requeue('admin', id), 'PT422 invalid_argument', 'MON-18: not to be revived: ' || what)
from (
  values ('what lives', current_setting('tests.id')), ('what never was', '-1'), ('nothing', 'null')
) as attempts (what, id);
select results_eq(
  'select (c).idempotency_key, (c).attempts, (c).must_look_first from pg_temp.claim(''p'') as c',
  $$ values ('p#13', 1, true) $$, 'MON-18: it has its tries again, and is looked for before it is sent'
);
select tests.advance(60);
select pg_temp.fail_times('p', 11);
select is(
  (select status from private.outbox where key = 'p'), 'dead', 'MON-18: and dies again after twelve'
);
select is(
  (select count(*)::integer from private.outbox where topic = 'support.alert' and payload -> 'detail' ->> 'key' = 'p'),
  2, 'MON-18: of which support is told again'
);

-- An alert that cannot be delivered makes no other.
select is(private.alert_support('fire', 'critical', 'Fire', '{}'), true, 'MON-18: an alert');
select is(private.alert_support('fire', 'critical', 'Fire', '{}'), false, 'MON-18: once');
delete from private.outbox where key <> 'alert:fire';
select pg_temp.fail_times('alert:fire', 12);
select results_eq(
  'select key, status from private.outbox', $$ values ('alert:fire', 'dead') $$, 'MON-18: it dies in silence'
);

-- What ends its workers without a word is not tried for ever.
select private.enqueue('stripe.refund', 'poison', '{}', tests.id('session'));
create function pg_temp.let_workers_die(p_times integer)
returns integer
language plpgsql
as $$
declare
  v_claim public.outbox_claim;
begin
  for i in 1..p_times loop
    v_claim := pg_temp.claim('poison');
    perform tests.advance(60);
  end loop;
  return v_claim.attempts;
end
$$;
select is(pg_temp.let_workers_die(12), 12, 'MON-18: twelve workers died of it');
select is((pg_temp.claim('poison')).id, null, 'MON-18: there is no thirteenth');
select results_eq(
  'select status, attempts, is_ambiguous from private.outbox where key = ''poison''', $$ values ('dead', 12, true) $$,
  'MON-18: it is dead, and nobody knows whether it happened'
);
select is(
  (
    select count(*)::integer from private.outbox
    where topic = 'support.alert' and payload -> 'detail' ->> 'key' = 'poison'
  ),
  1, 'MON-18: and support is told'
);

-- Long errors, and none.
select private.enqueue('push', 'long', '{}');
select public.fail_outbox(c.id, c.lease_token, repeat('e', 5000)) from pg_temp.claim('long') as c;
select is((select length(last_error) from private.outbox where key = 'long'), 1000, 'MON-18: an error is bounded');
select tests.advance(3600);
select is(
  (select public.fail_outbox(c.id, c.lease_token, null) from pg_temp.claim('long') as c), true,
  'MON-18: and may be missing'
);

select is_empty('select * from public.ledger_invariants()', 'MON-03: and every invariant holds');

select * from finish();

rollback;
