-- MON-18: of one session and topic a row waits for every earlier one; e-mails wait for none; a dead stripe row holds
-- the later ones back until an admin decides, any other dead row nobody.
begin;

select plan(17);

select tests.stop_clock();

-- What the next claim gets, in its order.
create function pg_temp.keys()
returns text[]
language sql
as $$ select coalesce(array_agg(key), '{}') from public.claim_outbox('worker', 100, 60) $$;

create function pg_temp.settle(p_keys text[], p_error text default null)
returns boolean
language sql
as $$
  select bool_and(case
    when p_error is null then public.complete_outbox(id, lease_token, '{"id": "x_1", "status": "succeeded"}')
    else public.fail_outbox(id, lease_token, p_error) end)
  from private.outbox where key = any (p_keys)
$$;

select private.enqueue(topic, key, '{"transfer": "tr_1"}', case when session is not null then tests.id(session) end)
from (
  values
    ('stripe.refund', 'a refund 1', 'a'), ('stripe.refund', 'a refund 2', 'a'), ('stripe.refund', 'a refund 3', 'a'),
    ('stripe.transfer_reversal', 'a reversal', 'a'), ('stripe.refund', 'b refund', 'b'),
    ('email', 'a mail 1', 'a'), ('email', 'a mail 2', 'a'), ('webhook', 'a hook 1', 'a'), ('webhook', 'a hook 2', 'a'),
    ('stripe.refund', 'refund 1', null), ('stripe.refund', 'refund 2', null)
) as rows (topic, key, session);

select is(
  pg_temp.keys(),
  array['a refund 1', 'a reversal', 'b refund', 'a mail 1', 'a mail 2', 'a hook 1', 'refund 1', 'refund 2'],
  'MON-18: the first of each session and topic, every e-mail, and what belongs to no session'
);
select is(pg_temp.keys(), '{}', 'MON-18: what is leased holds the later ones back');
select is(pg_temp.settle('{a refund 1, a hook 1}'), true, 'MON-18: two are done');
select is(pg_temp.keys(), array['a refund 2', 'a hook 2'], 'MON-18: and the next ones come');

-- One that waits for another try is not done.
select is(pg_temp.settle('{a refund 2}', 'balance_insufficient'), true, 'MON-18: one is refused');
update private.outbox set next_attempt_at = tests.now() + interval '1 hour' where key = 'a refund 2';
select tests.advance(59);
select is(pg_temp.keys(), '{}', 'MON-18: until it is tried again nothing overtakes it');
select pg_temp.settle(array['a reversal', 'b refund', 'a mail 1', 'a mail 2', 'refund 1', 'refund 2']);
select tests.advance(3600);
select is(pg_temp.keys(), array['a hook 2', 'a refund 2'], 'MON-18: its lease ran out, and so did that of a hook');

-- Dead: of Stripe's, everything waits for an admin.
update private.outbox set attempts = 12 where key in ('a refund 2', 'a hook 2');
select private.enqueue('webhook', 'a hook 3', '{}', tests.id('a'));
select private.enqueue('stripe.refund', 'c refund', '{}', tests.id('c'));
select is(pg_temp.settle('{a refund 2, a hook 2}', 'no'), true, 'MON-18: two die');
select is(
  (select array_agg(key order by key) from private.outbox where status = 'dead'), array['a hook 2', 'a refund 2'],
  'MON-18: both are dead'
);
select is(
  (select array_agg(key order by id) from public.claim_outbox('worker', 100, 60) where topic <> 'support.alert'),
  array['a hook 3', 'c refund'], 'MON-18: the hooks go on, the refunds of that session wait'
);
select tests.advance(864000);
select pg_temp.settle(array['a hook 3', 'c refund']);
select is(
  (select count(*)::integer from public.claim_outbox('worker', 100, 60) where topic <> 'support.alert'), 0,
  'MON-18: however long it takes'
);
select public.requeue_outbox(id) from private.outbox where key = 'a refund 2';
select is(
  (select array_agg(key) from public.claim_outbox('worker', 100, 60) where topic <> 'support.alert'),
  array['a refund 2'], 'MON-18: revived it comes first'
);
select pg_temp.settle('{a refund 2}');
select is(
  (select array_agg(key) from public.claim_outbox('worker', 100, 60) where topic <> 'support.alert'),
  array['a refund 3'], 'MON-18: and the next one after it'
);
select pg_temp.settle('{a refund 3}');

-- A dead hook that is revived is the earlier one again.
select public.requeue_outbox(id) from private.outbox where key = 'a hook 2';
select private.enqueue('webhook', 'a hook 4', '{}', tests.id('a'));
select is(
  (select array_agg(key) from public.claim_outbox('worker', 100, 60) where topic <> 'support.alert'),
  array['a hook 2'], 'MON-18: a revived hook comes before a later one'
);
select pg_temp.settle('{a hook 2}');
select is(
  (select array_agg(key) from public.claim_outbox('worker', 100, 60) where topic <> 'support.alert'),
  array['a hook 4'], 'MON-18: which follows'
);
select pg_temp.settle('{a hook 4}');
select is(
  (select count(*)::integer from private.outbox where status <> 'done' and topic <> 'support.alert'), 0,
  'MON-18: none is lost'
);

select is_empty('select * from public.ledger_invariants()', 'MON-03: and every invariant holds');

select * from finish();

rollback;
