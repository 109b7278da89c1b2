-- MON-07: what was paid and cannot be made becomes the customer's credit; another amount waits for a person.
begin;

select plan(45);

select tests.stop_clock();
select tests.mechanic('mechanic');

create function pg_temp.pay(p_name text, p_intent uuid, p_cents integer default 1000, p_currency text default 'usd')
returns text
language sql
as $$
  select tests.tell(
    'payment_intent.succeeded', tests.stripe_intent(p_name, 'session', p_intent, p_cents, 'succeeded', p_currency)
  )
$$;

create function pg_temp.status(p_customer text) returns text
language sql
as $$
  select string_agg(i.status, ' ' order by i.created_at, i.id) from public.checkout_intents as i
  where i.customer_user_id = tests.id(p_customer)
$$;

create function pg_temp.credit(p_customer text, p_currency text default 'usd') returns bigint
language sql
as $$ select private.balance('customer_credit:' || tests.id(p_customer), p_currency) $$;

create function pg_temp.told(p_customer text) returns text[]
language sql
as $$
  select array_agg(n.kind || ': ' || n.body) from public.notifications as n where n.user_id = tests.id(p_customer)
$$;

-- An active session meanwhile.
select tests.person('busy');
create temporary table busy on commit drop as select tests.checkout('busy', '1') as id;
select tests.queue('busy');
select is(pg_temp.pay('1', (select id from busy)), 'processed', 'MON-07: paid while another session is active');
select is(pg_temp.status('busy'), 'to_credit', 'MON-07: the intent is to_credit');
select is(tests.told_of_payment('1'), 'paid credit 0', 'MON-07: the payment too');
select is(pg_temp.credit('busy'), 1000::bigint, 'MON-07: the customer has the money as credit');
select is(
  pg_temp.told('busy'), array['payment_to_credit: 10.00 USD are yours to spend on your next session.'],
  'MON-07, NOTE-01: and is told'
);
select is(tests.alerts(), array['warning: A payment became credit'], 'MON-07: support as well');
select is(
  (select session_id from public.checkout_intents where id = (select id from busy)), null::uuid, 'MON-07: no session'
);
select is(pg_temp.pay('1', (select id from busy)), 'processed', 'MON-07: told again');
select is(pg_temp.credit('busy'), 1000::bigint, 'MON-07: it is credit once');
select tests.finish_session('busy', 'busy');
select tests.advance(1);
select is(
  tests.outcome('busy', $$ select public.create_session('chat10', 'credit') $$), 'ok',
  'MON-04: which pays for a session'
);

-- One that is over counts for nothing, even when nobody has written that down.
select tests.person('forgotten');
create temporary table forgotten on commit drop as select tests.checkout('forgotten', '2') as id;
select tests.queue('forgotten');
select tests.accept('mechanic', 'forgotten');
select tests.join('forgotten', 'forgotten');
select tests.join('mechanic', 'forgotten');
select tests.advance(7200);
select pg_temp.pay('2', (select id from forgotten));
select is(pg_temp.status('forgotten'), 'paid', 'MON-07: a session that is over is none');
select is((select funding::text from tests.row_of('forgotten')), 'paid', 'MON-07: the paid one is made');
select tests.finish_session('forgotten', 'forgotten');

-- The plan is gone.
select tests.person('unsold');
create temporary table unsold on commit drop as select tests.checkout('unsold', '3') as id;
select public.set_plan(p_slug => 'chat10', p_is_active => false);
select pg_temp.pay('3', (select id from unsold));
select is(pg_temp.status('unsold'), 'to_credit', 'MON-07: the plan is not sold any more');
select is(pg_temp.credit('unsold'), 1000::bigint, 'MON-07: credit');
select public.set_plan(p_slug => 'chat10', p_is_active => true);

-- Paid twice.
select tests.person('twice');
create temporary table twice on commit drop as select tests.checkout('twice', '4') as id;
select pg_temp.pay('4', (select id from twice));
select tests.deliver(tests.stripe_event(
  'checkout.session.completed', tests.stripe_checkout('5', 'session', (select id from twice), 1000)
));
select is(tests.told_of_payment('4'), 'paid session 0', 'MON-07: the first payment made the session');
select is(tests.told_of_payment('5'), 'paid credit 0', 'MON-07: the second of the same intent is credit');
select is(pg_temp.status('twice'), 'paid', 'MON-07: the intent stays paid');
select is(pg_temp.credit('twice'), 1000::bigint, 'MON-07: nothing is lost');
select is(
  (select count(*)::integer from public.sessions where customer_user_id = tests.id('twice')), 1, 'MON-07: one session'
);

-- Two Checkouts of one intent, and their events mixed: two payments, whichever name comes first.
create function pg_temp.mixed(p_customer text, p_order text[]) returns text
language plpgsql
as $$
declare
  v_intent uuid;
  v_word text;
  v_name text;
begin
  perform tests.person(p_customer);
  v_intent := tests.checkout(p_customer, p_customer || '1');
  perform tests.act_as_role('service_role');
  perform public.record_checkout('session', v_intent, 'cs_' || p_customer || '2');
  perform tests.be_system();
  foreach v_word in array p_order loop
    v_name := p_customer || right(v_word, 1);
    perform case left(v_word, 2)
      when 'cs' then tests.tell('checkout.session.completed', tests.stripe_checkout(v_name, 'session', v_intent, 1000))
      when 'ex' then tests.tell('checkout.session.expired', tests.stripe_checkout(
        v_name, 'session', v_intent, 1000, 'unpaid', 'usd', 'expired'
      ))
      else pg_temp.pay(v_name, v_intent) end;
  end loop;
  return concat_ws(
    ' ', private.held(tests.session_of(p_customer), 'usd'), pg_temp.credit(p_customer), pg_temp.status(p_customer)
  );
end
$$;
select is(pg_temp.mixed('m' || n, o), '1000 1000 paid', 'MON-07: two Checkouts of one intent, both paid: ' || o::text)
from (
  values
  (1, '{cs1,cs2}'::text[]), (2, '{cs2,cs1}'), (3, '{pi2,cs1,cs2,pi1}'), (4, '{pi2,pi1,cs1,cs2}'),
  (5, '{pi2,cs2,cs1,pi1}'), (6, '{cs2,pi1,pi2,cs1}')
) as c (n, o);
select is(pg_temp.mixed('x' || n, o), '1000 0 paid', 'MON-07: one paid, the other expired: ' || o::text)
from (
  values
  (1, '{pi2,ex1,cs2}'::text[]), (2, '{ex1,pi2,cs2}'), (3, '{cs2,ex1}'), (4, '{pi1,ex2,cs1}'), (5, '{ex2,ex1,cs1,pi1}')
) as c (n, o);

-- The customer is gone.
select tests.person('gone');
create temporary table gone on commit drop as select tests.checkout('gone', '9') as id;
delete from auth.users where id = tests.id('gone');
select pg_temp.pay('9', (select id from gone));
select is(tests.told_of_payment('9'), 'refunded refund 1000', 'MON-07: a customer who was deleted gets it back');
select is(pg_temp.status('gone'), 'failed', 'MON-07: his intent failed');
select tests.deliver(tests.stripe_event(
  'checkout.session.completed', tests.stripe_checkout('9', 'session', (select id from gone), 1000)
));
select is(
  (select count(*)::integer from private.outbox
   where topic = 'stripe.refund' and payload ->> 'payment_intent' = 'pi_9'), 1, 'MON-07: once'
);

-- Another amount, or currency.
select tests.person('short');
create temporary table short on commit drop as select tests.checkout('short', '6') as id;
create temporary table alerted on commit drop as select cardinality(tests.alerts()) as n;
select pg_temp.pay('6', (select id from short), 999);
select is(pg_temp.status('short'), 'in_review', 'MON-07: a cent is missing: the intent is in review');
select is(tests.told_of_payment('6'), 'paid - 0 amount_differs', 'MON-07: so is the payment');
select is(tests.session_of('short'), null::uuid, 'MON-07: nothing is applied');
select is(
  private.balance('unapplied:' || (tests.payment('6')).id, 'usd'), 999::bigint, 'MON-07: what came is unapplied'
);
select is(
  (tests.alerts())[(select n + 1 from alerted):], array['critical: A payment needs a person'],
  'MON-07: support is alerted'
);
select tests.tell('checkout.session.completed', tests.stripe_checkout('6', 'session', (select id from short), 999));
select is(cardinality(tests.alerts()), (select n + 1 from alerted), 'MON-07: once');
select is(tests.told_of_payment('6'), 'paid - 0 amount_differs', 'MON-07: the other proof changes nothing');

select tests.person('more');
create temporary table more on commit drop as select tests.checkout('more', '7') as id;
select pg_temp.pay('7', (select id from more), 1001);
select is(pg_temp.status('more'), 'in_review', 'MON-07: nor is more than was asked for applied');
select tests.person('foreign');
create temporary table elsewhere on commit drop as select tests.checkout('foreign', '8') as id;
select pg_temp.pay('8', (select id from elsewhere), 1000, 'eur');
select is(pg_temp.status('foreign'), 'in_review', 'MON-07: nor another currency');
select is(
  private.balance('unapplied:' || (tests.payment('8')).id, 'eur'), 1000::bigint, 'MON-07: it waits in its own'
);
select is(
  tests.tell('payment_intent.succeeded', tests.stripe_intent('8', 'session', (select id from short), 1000)),
  'failed: idempotency_conflict', 'MON-07: a payment does not change what it is for'
);
select is_empty($$ select * from public.ledger_invariants() $$, 'MON-03: the money adds up');

select * from finish();

rollback;
