-- MON-03: ledger_invariants() names every violated invariant, that one and no other, and is empty otherwise. Each kind
-- of corruption is planted, seen and taken back.
begin;

select plan(39);

select tests.stop_clock();
select tests.admin('admin');

-- What there is in this world: a paid session with an extension, completed by a referred mechanic; a free one,
-- cancelled; one on credit, completed; a payment that became credit and went back in part.
create function pg_temp.proof(p_mode text, p_id uuid, p_payment_intent text, p_cents integer)
returns text
language sql
as $$
  select public.ingest_stripe_event(jsonb_build_object(
    'id', 'evt_' || p_payment_intent, 'object', 'event', 'type', 'payment_intent.succeeded', 'livemode', false,
    'created', extract(epoch from tests.now())::bigint, 'data', jsonb_build_object('object', jsonb_build_object(
      'id', p_payment_intent, 'object', 'payment_intent', 'status', 'succeeded', 'amount', p_cents,
      'amount_received', p_cents, 'currency', 'usd', 'metadata', jsonb_build_object(
        'mode', p_mode, case p_mode when 'session' then 'intent_id' else 'extension_id' end, p_id
      )
    ))
  )) ->> 'status'
$$;

create function pg_temp.buy(p_customer text, p_payment_intent text)
returns text
language plpgsql
as $$
declare
  v_intent uuid;
begin
  perform tests.act_as(p_customer);
  select i.id into v_intent from public.request_checkout('video15') as i;
  perform tests.be_system();
  return pg_temp.proof('session', v_intent, p_payment_intent, 1500);
end
$$;

create function pg_temp.extend(p_customer text, p_payment_intent text)
returns text
language plpgsql
as $$
declare
  v_extension public.session_extensions;
begin
  perform tests.act_as(p_customer);
  select * into v_extension from public.request_extension(tests.session_of(p_customer), 15);
  perform tests.be_system();
  return pg_temp.proof('extension', v_extension.id, p_payment_intent, v_extension.price_cents);
end
$$;

create function pg_temp.serve(p_mechanic text, p_customer text)
returns void
language plpgsql
as $$
begin
  perform tests.accept(p_mechanic, p_customer);
  perform tests.join(p_customer, p_customer);
  perform tests.join(p_mechanic, p_customer);
end
$$;

select tests.person('payer');
select tests.person('leaver');
select tests.person('creditor');
select tests.person('late payer');
select tests.mechanic('mechanic');
select tests.mechanic('referrer');
update public.mechanics set referred_by = tests.id('referrer') where id = tests.id('mechanic');

select is_empty('select * from public.ledger_invariants()', 'MON-03: nothing is wrong where nothing is');

select is(pg_temp.buy('payer', 'pi_1'), 'processed', 'MON-03: a payment');
select pg_temp.serve('mechanic', 'payer');
select is(pg_temp.extend('payer', 'pi_2'), 'processed', 'MON-03: an extension');
select tests.together_for('mechanic', 'payer', 300);
select tests.finish_session('payer', 'payer');
select tests.queue('leaver');
select tests.finish_session('leaver', 'leaver');
select public.grant_credit(tests.id('creditor'), 1000, 'usd', 'g1');
select tests.do_as('creditor', $$ select public.create_session('chat10', 'credit') $$);
select pg_temp.serve('referrer', 'creditor');
select tests.together_for('referrer', 'creditor', 300);
select tests.finish_session('creditor', 'creditor');
select is(pg_temp.buy('late payer', 'pi_3'), 'processed', 'MON-03: another payment');
select tests.finish_session('late payer', 'late payer');

select results_eq(
  $$
    select status::text, end_reason from public.sessions
    where customer_user_id in (tests.id('payer'), tests.id('leaver'), tests.id('creditor'), tests.id('late payer'))
    order by created_at, status
  $$,
  $$ values ('completed', 'completed'), ('cancelled', 'cancelled_before_accept'), ('completed', 'completed'),
    ('cancelled', 'cancelled_before_accept') $$,
  'MON-03: the world is as it should be'
);
select isnt((select referral_cents from public.mechanic_earnings limit 1), 0, 'MON-12: with a referral fee');
set constraints all immediate;

select is_empty('select * from public.ledger_invariants()', 'MON-03: and every invariant holds');

-- What the invariants find after these statements, which are undone.
create function pg_temp.found_after(p_statements text)
returns text[]
language plpgsql
as $$
declare
  v_found text[];
begin
  begin
    execute p_statements;
    select array_agg(i.invariant order by i.invariant, i.subject) into v_found from public.ledger_invariants() as i;
    raise sqlstate 'TT000';
  exception when sqlstate 'TT000' then
    return v_found;
  end;
end
$$;

select is(
  pg_temp.found_after($$
    alter table private.ledger_entries disable trigger transfers_sum_to_zero;
    select private.post('one leg', null, now(), 'usd', '{"promotions": 5}');
  $$),
  '{transfers sum to zero}', 'MON-03: an unbalanced transfer'
);
select is(
  pg_temp.found_after($$
    alter table private.ledger_entries disable trigger transfers_sum_to_zero;
    select private.post('mixed', null, now(), 'usd', '{"promotions": 5}');
    insert into private.ledger_accounts (name, currency) values ('promotions', 'eur');
    insert into private.ledger_entries (transfer_id, account_id, amount_cents)
    select t.id, a.id, -5 from private.ledger_transfers as t, private.ledger_accounts as a
    where t.key = 'mixed' and a.currency = 'eur';
  $$),
  '{transfers sum to zero,transfers sum to zero}', 'MON-03: one that balances only across currencies'
);
select is(
  pg_temp.found_after($$
    select private.post('late hold', null, now(), 'usd', jsonb_build_object(
      'promotions', -5, 'session_hold:' || tests.session_of('payer'), 5
    ));
  $$),
  '{an ended session holds nothing}', 'MON-03: a completed session that holds money'
);
select is(
  pg_temp.found_after($$
    select private.post('late hold', null, now(), 'usd', jsonb_build_object(
      'promotions', 5, 'session_hold:' || tests.session_of('leaver'), -5
    ));
  $$),
  '{an ended session holds nothing}', 'MON-03: a cancelled session that holds less than none'
);
select is(
  pg_temp.found_after($$
    alter table private.ledger_accounts disable trigger ledger_accounts_follow_their_entries;
    update private.ledger_accounts set balance_cents = balance_cents + 1
    where name = 'customer_credit:' || tests.id('creditor');
  $$),
  '{a stored balance is the sum of its entries}', 'MON-03: a stored balance that differs from its entries'
);
select is(
  pg_temp.found_after($$
    insert into private.ledger_accounts (name, currency, balance_cents)
    values ('customer_credit:' || tests.id('leaver'), 'usd', 100);
  $$),
  '{a stored balance is the sum of its entries}', 'MON-03: a balance out of nothing'
);
select is(
  pg_temp.found_after($$ delete from public.mechanic_earnings where session_id = tests.session_of('payer') $$),
  '{a completed session has its earning}', 'MON-03: a completed session without its earning'
);
select is(
  pg_temp.found_after($$
    insert into public.mechanic_earnings (
      session_id, mechanic_id, gross_cents, share_cents, platform_cents, referral_cents, currency
    ) values (tests.session_of('leaver'), tests.id('mechanic'), 0, 0, 0, 0, 'usd');
    select private.post('earning:' || tests.session_of('leaver'), tests.session_of('leaver'), now(), 'usd', '{}');
  $$),
  '{an earning has its completed session}', 'MON-03: an earning without a completed session'
);
select is(
  pg_temp.found_after($$
    update public.mechanic_earnings set share_cents = share_cents + 1, platform_cents = platform_cents - 1
    where session_id = tests.session_of('payer')
  $$),
  '{an earning is what was posted}', 'MON-03: an earning of other amounts than were posted'
);
select is(
  pg_temp.found_after($$
    update public.mechanic_earnings set share_cents = share_cents + 1, gross_cents = gross_cents + 1
    where session_id = tests.session_of('payer')
  $$),
  '{an earning is what was posted}', 'MON-03: an earning of more than was held'
);
select is(
  pg_temp.found_after($$
    delete from public.payouts where session_id = tests.session_of('payer') and kind = 'session'
  $$),
  '{a share has its payout}', 'MON-03: a share without its payout'
);
select is(
  pg_temp.found_after($$
    delete from public.payouts where session_id = tests.session_of('payer') and kind = 'referral'
  $$),
  '{a share has its payout}', 'MON-03: a referral fee without its payout'
);
select is(
  pg_temp.found_after(format(
    $$
      insert into public.payouts (kind, source_id, user_id, amount_cents, currency, due_at)
      values (%L, tests.id('nothing'), tests.id('mechanic'), 5, 'usd', now())
    $$, kind
  )),
  '{a payout has its earning}', 'MON-03: a payout without earning: ' || kind
)
from unnest(array['session', 'referral', 'quote_bonus']) as kind;
select is(
  pg_temp.found_after($$
    update public.payouts set status = 'paid', blocked_by = null, stripe_transfer_id = 'tr_1'
    where session_id = tests.session_of('payer') and kind = 'session'
  $$),
  '{a sent payout is posted}', 'MON-03: a payout that was sent and not posted'
);
select is(
  pg_temp.found_after($$
    select private.post('payout:' || p.id, p.session_id, now(), 'usd', jsonb_build_object(
      'mechanic_payable:' || p.user_id, -p.amount_cents, 'stripe', p.amount_cents
    )) from public.payouts as p where p.session_id = tests.session_of('payer') and p.kind = 'session'
  $$),
  '{a sent payout is posted}', 'MON-03: a payout that was posted and not sent'
);
select is(
  pg_temp.found_after($$
    insert into public.session_extensions (
      session_id, requested_by, minutes, price_cents, currency, status, applied_at
    ) values (tests.session_of('payer'), tests.id('payer'), 15, 500, 'usd', 'applied', now())
  $$),
  '{an applied extension has its payment}', 'MON-03: an applied extension without payment'
);
select is(
  pg_temp.found_after($$
    insert into private.payments (customer_user_id, amount_cents, currency, purpose, purpose_id, rank, received_at)
    values (tests.id('payer'), 700, 'usd', 'session', tests.id('nothing'), 'paid', now());
    select private.post('payment:' || p.id, null, now(), 'usd', jsonb_build_object(
      'stripe', -700, 'unapplied:' || p.id, 700
    )) from private.payments as p where p.purpose_id = tests.id('nothing')
  $$),
  '{unapplied money is in review}', 'MON-03: unapplied money that nobody looks at'
);
select is(
  pg_temp.found_after($$
    insert into private.payments (
      customer_user_id, amount_cents, currency, purpose, purpose_id, rank, received_at, review
    ) values (tests.id('payer'), 700, 'usd', 'session', tests.id('nothing'), 'paid', now(), 'amount_differs');
    select private.post('payment:' || p.id, null, now(), 'usd', jsonb_build_object(
      'stripe', -700, 'unapplied:' || p.id, 700
    )) from private.payments as p where p.purpose_id = tests.id('nothing')
  $$),
  null, 'MON-03: in review it may be there'
);
select is(
  pg_temp.found_after($$
    update private.payments set applied_to = null where session_id = tests.session_of('payer') and purpose = 'session'
  $$),
  '{a paid session has its payment}', 'MON-03: a paid session without its payment'
);
select is(
  pg_temp.found_after($$
    insert into private.refunds (payment_id, key, amount_cents)
    select p.id, 'ghost', 1 from private.payments as p where p.payment_intent_id = 'pi_1'
  $$),
  '{refunds on their way add up}', 'MON-03: a refund on its way without its money'
);
select is(
  pg_temp.found_after($$
    select private.post('clearing', null, now(), 'usd', '{"promotions": -5, "refund_clearing": 5}')
  $$),
  '{refunds on their way add up}', 'MON-03: money on its way without its refund'
);

-- Since when, and who asks.
create function pg_temp.found_since(p_since text)
returns text[]
language plpgsql
as $$
declare
  v_found text[];
begin
  begin
    delete from public.mechanic_earnings where session_id = tests.session_of('payer');
    execute format('select array_agg(invariant || '' '' || subject) from public.ledger_invariants(%s)', p_since)
    into v_found;
    raise sqlstate 'TT000';
  exception when sqlstate 'TT000' then
    return v_found;
  end;
end
$$;
select is(
  pg_temp.found_since(since), found, 'MON-03: looked at since ' || since
)
from (
  select '''-infinity''' as since, array['a completed session has its earning ' || tests.session_of('payer')] as found
  union all
  select 'null', array['a completed session has its earning ' || tests.session_of('payer')]
  union all
  select 'tests.now() - interval ''1 day''', array['a completed session has its earning ' || tests.session_of('payer')]
  union all
  select 'tests.now() + interval ''1 second''', null
) as looks;
select is(
  tests.outcome(who, 'select * from public.ledger_invariants()'), outcome, 'MON-03: asked by ' || who
)
from (
  values ('admin', 'ok'), ('service_role', 'ok'), ('payer', 'PT403 role_required'),
    ('anon', '42501 permission denied for function ledger_invariants')
) as asked (who, outcome);

select is_empty('select * from public.ledger_invariants()', 'MON-03: and every invariant holds again');

select * from finish();

rollback;
