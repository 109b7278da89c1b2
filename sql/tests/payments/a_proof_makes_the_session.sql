-- MON-07: money counts as received from one of three events, whichever comes first, once; then the session is made.
begin;

select plan(27);

select tests.stop_clock();
select tests.mechanic('mechanic');

-- Each proof alone, and all of them in every order.
create function pg_temp.event(p_word text, p_name text, p_intent uuid) returns jsonb
language sql
as $$
  select case p_word
    when 'completed' then tests.stripe_event(
      'checkout.session.completed', tests.stripe_checkout(p_name, 'session', p_intent, 1000)
    )
    when 'unpaid' then tests.stripe_event(
      'checkout.session.completed', tests.stripe_checkout(p_name, 'session', p_intent, 1000, 'unpaid')
    )
    when 'async' then tests.stripe_event(
      'checkout.session.async_payment_succeeded', tests.stripe_checkout(p_name, 'session', p_intent, 1000)
    )
    when 'intent' then tests.stripe_event(
      'payment_intent.succeeded', tests.stripe_intent(p_name, 'session', p_intent, 1000)
    ) end
$$;

create function pg_temp.life(p_name text, p_events text[], p_is_recorded boolean) returns text
language plpgsql
as $$
declare
  v_intent uuid;
  v_word text;
  v_told text := '';
begin
  perform tests.person('c' || p_name);
  if p_is_recorded then
    v_intent := tests.checkout('c' || p_name, p_name);
  else
    perform tests.act_as('c' || p_name);
    select i.id into v_intent from public.request_checkout('chat10') as i;
    perform tests.be_system();
  end if;
  foreach v_word in array p_events loop
    perform tests.deliver(pg_temp.event(v_word, p_name, v_intent));
    v_told := v_told || case when tests.session_of('c' || p_name) is null then '-' else '+' end;
  end loop;
  return concat_ws(
    ' ', v_told, tests.told_of_payment(p_name),
    (select count(*) from private.payments as p where p.purpose_id = v_intent),
    (select count(*) from public.sessions as s where s.customer_user_id = tests.id('c' || p_name)),
    private.held(tests.session_of('c' || p_name), 'usd'),
    (select i.status from public.checkout_intents as i
     where i.id = v_intent and i.session_id = tests.session_of('c' || p_name))
  );
end
$$;

select is(pg_temp.life(name, events, true), answer || ' paid session 0 1 1 1000 paid', 'MON-07: ' || events::text)
from (
  values
  ('1', '{completed}'::text[], '+'),
  ('2', '{async}', '+'),
  ('3', '{intent}', '+'),
  ('4', '{completed,intent}', '++'),
  ('5', '{intent,completed}', '++'),
  ('6', '{unpaid,async,intent}', '-++'),
  ('7', '{unpaid,intent,async}', '-++'),
  ('8', '{intent,unpaid,async}', '+++'),
  ('9', '{async,unpaid,intent,completed}', '++++'),
  ('10', '{unpaid,unpaid,completed,completed,intent,intent}', '--++++')
) as c (name, events, answer);
select is(
  pg_temp.life(name, events, false), answer || ' paid session 0 1 1 1000 paid',
  'MON-07: before anybody said what was opened: ' || events::text
)
from (
  values
  ('11', '{completed,intent}'::text[], '++'),
  ('12', '{intent,completed}', '++'),
  ('13', '{unpaid,intent,async}', '-++')
) as c (name, events, answer);
select is(
  pg_temp.life('14', '{unpaid,unpaid}', true), '-- requested - 0 1 0 0', 'MON-07: a completion that is unpaid waits'
);
select is(tests.totals(), 'session_hold 13000, stripe -13000', 'MON-07: thirteen payments, each once');

-- The session.
select tests.person('customer');
select tests.act_as('customer');
create temporary table asked on commit drop as
select * from public.request_checkout(
  p_plan => 'video15', p_intake => '{"car": "old"}', p_preferred_mechanic_id => tests.id('mechanic'),
  p_scheduled_for => tests.now() + interval '2 hours'
);
select tests.be_system();
select public.set_plan(p_slug => 'video15', p_price_cents => 9900, p_duration_minutes => 5, p_currency => 'eur');
select tests.tell('payment_intent.succeeded', tests.stripe_intent('20', 'session', (select id from asked), 1500));
select results_eq(
  $$ select status::text, plan, funding::text, price_cents, currency, duration_minutes, intake, preferred_mechanic_id,
     scheduled_for from public.sessions where id = tests.session_of('customer') $$,
  $$ values ('scheduled', 'video15', 'paid', 1500, 'usd', 45, '{"car": "old"}'::jsonb, tests.id('mechanic'),
     tests.now() + interval '2 hours') $$,
  'MON-07, LIFE-02: the session is what was asked for, at the price of that moment and not of today''s'
);
select is(tests.events_of('customer'), array['created'], 'MON-07: made by the factory');
select is(
  (select session_id from public.checkout_intents where id = (select id from asked)), tests.session_of('customer'),
  'MON-07: the intent says which'
);
select is((tests.payment('20')).session_id, tests.session_of('customer'), 'MON-07: so does the payment');

-- Paid after the time that was asked for: at once.
select tests.person('late');
select tests.act_as('late');
create temporary table late on commit drop as
select * from public.request_checkout(p_plan => 'chat10', p_scheduled_for => tests.now() + interval '1 minute');
select tests.be_system();
select tests.advance(61);
select tests.tell('payment_intent.succeeded', tests.stripe_intent('21', 'session', (select id from late), 1000));
select results_eq(
  $$ select status::text, scheduled_for from tests.row_of('late') $$, $$ values ('pending', null::timestamptz) $$,
  'MON-07: a booking that is paid after its time is made for now'
);

-- The first free session is not used up by a paid one, and a declined payment makes nothing.
select tests.finish_session('late', 'late');
select tests.advance(1);
select is(
  tests.outcome('late', $$ select public.create_session('chat10') $$), 'ok', 'LIFE-02: the free one is still free'
);
select tests.person('declined');
create temporary table declined on commit drop as select tests.checkout('declined', '22') as id;
select tests.tell('checkout.session.async_payment_failed', tests.stripe_checkout(
  '22', 'session', (select id from declined), 1000, 'unpaid'
));
select is(
  (select status from public.checkout_intents where id = (select id from declined)), 'failed', 'MON-07: declined'
);
select is(tests.session_of('declined'), null::uuid, 'MON-07: makes nothing');
select tests.person('expired');
create temporary table expired on commit drop as select tests.checkout('expired', '23') as id;
select tests.tell('checkout.session.expired', tests.stripe_checkout(
  '23', 'session', (select id from expired), 1000, 'unpaid', 'usd', 'expired'
));
select is(
  (select status from public.checkout_intents where id = (select id from expired)), 'failed',
  'MON-07: so does an expired one'
);
select is(
  (select rank::text from private.payments where checkout_session_id = 'cs_23'), 'failed', 'MON-07: its payment failed'
);
select tests.tell('payment_intent.succeeded', tests.stripe_intent('23', 'session', (select id from expired), 1000));
select is(
  (select status from public.checkout_intents where id = (select id from expired)), 'paid',
  'MON-07: a proof that comes later counts'
);
select is_empty($$ select * from public.ledger_invariants() $$, 'MON-03: the money adds up');

select * from finish();

rollback;
