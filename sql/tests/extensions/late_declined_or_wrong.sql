-- MON-11: failed and replaced only mean that nobody has proved a payment yet; what comes too late goes back in full.
begin;

select plan(30);

select tests.stop_clock();
select tests.nobody_falls_silent();

-- The session's minutes and hold, its extensions, and the payment of that name.
create function pg_temp.told(p_customer text, p_name text) returns text
language sql
as $$
  select concat_ws(
    ' ', s.status, s.duration_minutes, private.held(s.id, 'usd'), '|',
    (select string_agg(x.minutes || ' ' || x.status, ', ' order by x.created_at, x.minutes)
     from public.session_extensions as x where x.session_id = s.id), '|', tests.told_of_payment(p_name)
  )
  from tests.row_of(p_customer) as s
$$;

create function pg_temp.declined(p_name text, p_extension uuid) returns text
language sql
as $$
  select tests.tell('payment_intent.payment_failed', tests.stripe_intent(
    p_name, 'extension', p_extension, 500, 'requires_payment_method'
  ))
$$;

-- Declined, and then paid.
select tests.live('a', 'mechanic a');
create temporary table a on commit drop as select tests.extension('a', 'a') as id;
select tests.forget_messages();
select is(pg_temp.declined('a', (select id from a)), 'processed', 'MON-11: declined');
select is(pg_temp.told('a', 'a'), 'live 30 0 | 15 failed | failed - 0', 'MON-11: nothing else changes');
select results_eq(
  $$ select event, payload -> 'extension_id', payload -> 'minutes' from tests.messages(tests.topic_of('a')) $$,
  $$ select 'session:extension_failed', to_jsonb(id), '15'::jsonb from a $$, 'MON-11: both are told'
);
select pg_temp.declined('a', (select id from a));
select is(
  (select count(*)::integer from public.session_events
   where session_id = tests.session_of('a') and type = 'extension_failed'), 1, 'MON-11: once'
);
select tests.pay_extension('a', (select id from a));
select is(
  pg_temp.told('a', 'a'), 'live 45 500 | 15 applied | paid extension 0', 'MON-11: a proof that comes later counts'
);
select pg_temp.declined('a', (select id from a));
select is(pg_temp.told('a', 'a'), 'live 45 500 | 15 applied | paid extension 0', 'MON-11: a decline after it does not');

-- Declined, and asked for again: only the new one can be paid.
select tests.live('again', 'mechanic again');
create temporary table again on commit drop as select tests.extension('again', 'again') as id;
select pg_temp.declined('again', (select id from again));
select isnt(
  tests.extension('again', 'again 2'), (select id from again), 'MON-09: a declined one may be asked for again'
);
select is(
  (select string_agg(payload ->> 'checkout_session_id', ', ') from private.outbox
   where topic = 'stripe.expire_checkout' and session_id = tests.session_of('again')),
  (select checkout_session_id from private.payments where purpose_id = (select id from again)),
  'MON-09: and its Checkout, which is still open, is expired'
);

-- Its Checkout expired, or the bank said no days later.
select tests.live('b', 'mechanic b');
create temporary table b on commit drop as select tests.extension('b', 'b') as id;
select tests.tell('checkout.session.expired', tests.stripe_checkout(
  'b', 'extension', (select id from b), 500, 'unpaid', 'usd', 'expired'
));
select is(
  (select status from public.session_extensions where id = (select id from b)), 'failed', 'MON-11: the Checkout expired'
);
select isnt(tests.extension('b', 'b2'), (select id from b), 'MON-11: the customer may ask again');
select tests.tell('checkout.session.async_payment_failed', tests.stripe_checkout(
  'b2', 'extension', (select id from public.session_extensions
                      where session_id = tests.session_of('b') and status = 'pending'), 500, 'unpaid'
));
select is(pg_temp.told('b', 'b2'), 'live 30 0 | 15 failed, 15 failed | failed - 0', 'MON-11: the bank said no');

-- Replaced, and both are paid: both count.
select tests.live('c', 'mechanic c');
create temporary table c on commit drop as select tests.extension('c', 'c') as id;
create temporary table c2 on commit drop as select tests.extension('c', 'c2', 30) as id;
select tests.pay_extension('c2', (select id from c2));
select tests.pay_extension('c', (select id from c));
select is(
  pg_temp.told('c', 'c'), 'live 75 1400 | 15 applied, 30 applied | paid extension 0',
  'MON-11: a replaced one that is paid'
);

-- Too late: all of it goes back, and nobody's time changes.
create function pg_temp.refunds(p_name text) returns text
language sql
as $$
  select string_agg(o.payload ->> 'amount', ' ' order by o.id) from private.outbox as o
  where o.topic = 'stripe.refund' and o.payload ->> 'payment_intent' = 'pi_' || p_name
$$;
select tests.live('d', 'mechanic d');
create temporary table d on commit drop as select tests.extension('d', 'd') as id;
select tests.advance(80);
select tests.finish_session('d', 'd');
create temporary table before on commit drop as select tests.row_of('d') as session;
select is(tests.pay_extension('d', (select id from d)), 'processed', 'MON-11: paid after the end');
select is(
  pg_temp.told('d', 'd'), 'completed 30 0 | 15 refund_pending | refunded refund 500', 'MON-11: it is to go back'
);
select is((select session from before), tests.row_of('d'), 'MON-11: the session is as it was');
select is(pg_temp.refunds('d'), '500', 'MON-11: Stripe is asked, once');
select is(tests.totals(), 'refund_clearing 500, session_hold 1900, stripe -2400', 'MON-11: the money is on its way');
select tests.tell('checkout.session.completed', tests.stripe_checkout('d', 'extension', (select id from d), 500));
select is(pg_temp.refunds('d'), '500', 'MON-11: also when the other proof comes');
select tests.tell('refund.created', tests.stripe_refund(
  're_d', 'd', 500, 'succeeded', (select key from private.outbox where payload ->> 'payment_intent' = 'pi_d')
));
select is(
  pg_temp.told('d', 'd'), 'completed 30 0 | 15 refunded | refunded refund 500', 'MON-11: refunded when it has gone'
);

-- Over, and nobody has written that down: the proof does.
select tests.live('e', 'mechanic e');
create temporary table e on commit drop as select tests.extension('e', 'e') as id;
select tests.advance(1800);
select tests.pay_extension('e', (select id from e));
select is(
  pg_temp.told('e', 'e'), 'completed 30 0 | 15 refund_pending | refunded refund 500', 'MON-11: in the last second'
);
select tests.live('f', 'mechanic f');
create temporary table f on commit drop as select tests.extension('f', 'f') as id;
select tests.advance(1799);
select tests.pay_extension('f', (select id from f));
select is(pg_temp.told('f', 'f'), 'live 45 500 | 15 applied | paid extension 0', 'MON-10: a second before it');

-- Given back to the queue, longer than allowed, paid twice.
select tests.waiting('g', 'mechanic g');
create temporary table g on commit drop as select tests.extension('g', 'g') as id;
select tests.do_as('mechanic g', format('select public.release_assignment(%L)', tests.assignment_of('g')));
select tests.pay_extension('g', (select id from g));
select is(
  pg_temp.told('g', 'g'), 'pending 30 0 | 15 refund_pending | refunded refund 500', 'MON-11: a session that waits again'
);
select tests.live('h', 'mechanic h');
create temporary table h on commit drop as select tests.extension('h', 'h') as id;
select public.set_setting('max_session_minutes', '44');
select tests.pay_extension('h', (select id from h));
select is(
  pg_temp.told('h', 'h'), 'live 30 0 | 15 refund_pending | refunded refund 500', 'MON-11: longer than any may be by now'
);
select public.set_setting('max_session_minutes', '180');
select tests.live('i', 'mechanic i');
create temporary table i on commit drop as select tests.extension('i', 'i') as id;
select tests.pay_extension('i', (select id from i));
select tests.pay_extension('i2', (select id from i));
select is(
  pg_temp.told('i', 'i2'), 'live 45 500 | 15 applied | refunded refund 500', 'MON-10: paid twice: once it goes back'
);
select is(tests.told_of_payment('i'), 'paid extension 0', 'MON-10: and once it counts');

-- Another amount or currency.
select tests.live('j', 'mechanic j');
create temporary table j on commit drop as select tests.extension('j', 'j') as id;
create temporary table alerted on commit drop as select cardinality(tests.alerts()) as n;
select tests.pay_extension('j', (select id from j), 499);
select is(
  pg_temp.told('j', 'j'), 'live 30 0 | 15 pending | paid - 0 amount_differs', 'MON-11: a cent less is not applied'
);
select is(
  (tests.alerts())[(select n + 1 from alerted):], array['critical: A payment needs a person'],
  'MON-11: support is alerted'
);
select tests.live('k', 'mechanic k');
create temporary table k on commit drop as select tests.extension('k', 'k') as id;
select tests.tell('payment_intent.succeeded', tests.stripe_intent(
  'k', 'extension', (select id from k), 500, 'succeeded', 'eur'
));
select is(
  pg_temp.told('k', 'k'), 'live 30 0 | 15 pending | paid - 0 amount_differs', 'MON-11: nor is another currency'
);
select public.set_extension_option(p_minutes => 15, p_price_cents => 600);
select tests.live('l', 'mechanic l');
create temporary table l on commit drop as select tests.extension('l', 'l') as id;
select public.set_extension_option(p_minutes => 15, p_price_cents => 500);
select tests.pay_extension('l', (select id from l));
select is(
  pg_temp.told('l', 'l'), 'live 45 600 | 15 applied | paid extension 0', 'MON-11: the quote counts, not today''s price'
);
select is_empty($$ select * from public.ledger_invariants() $$, 'MON-03: the money adds up');

select * from finish();

rollback;
