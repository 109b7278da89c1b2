-- MOV-05: a session that counted as completed, and was too short by the facts and the rule recorded with its end, is
-- cancelled: what the customer paid goes back, from the mechanic's payout and the platform; new entries, no edits.
begin;

select plan(30);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.admin('admin');

create function pg_temp.fixed() returns text
language sql
as $$
  select string_agg(f.status_before || ' ' || f.status_after, ', ' order by f.session_id)
  from public.apply_semantic_fix(false) as f
$$;

-- What waits for Stripe, one after the other.
create function pg_temp.work() returns void
language plpgsql
as $$
begin
  for v_round in 1..2 loop
    perform tests.dispatch();
    perform tests.stripe_says('stripe.transfer');
    perform tests.stripe_says('stripe.transfer_reversal');
  end loop;
end
$$;

-- paid by card, with an extension
select tests.paid_live('customer', 'mechanic');
select tests.advance(10);
select tests.pay_extension('customer', 15);
select tests.advance(60);
select tests.finish_session('system', 'customer');
select tests.lasted('customer', 30);
create temporary table entries on commit drop as select * from private.ledger_entries;
create temporary table settled on commit drop as select * from private.settlements;
select is(pg_temp.fixed(), 'completed cancelled', 'MOV-05: what was too short is not completed');
select is(tests.told('customer'), 'cancelled too_short 30 30 30', 'MOV-05: its status, reason, seconds and end');
select is(tests.money(), 'refund_clearing 2000, stripe -2000', 'MOV-05: nobody keeps anything');
select is(tests.effects('customer', 'stripe.refund'), '500 1500', 'MOV-05: the card gets back both payments');
select is(tests.payout_told('customer'), '0 cancelled', 'MOV-05: the payout is cancelled');
select is_empty('select * from public.mechanic_earnings', 'MOV-05: nothing was earned');
select is_empty(
  'select * from entries except select * from private.ledger_entries', 'MOV-05: no entry was changed or removed'
);
select results_eq(
  'select held_cents, refund_cents, share_cents, refunded_later_cents from private.settlements',
  'select held_cents, refund_cents, share_cents, 2000 from settled', 'MOV-05: what was settled stays on record'
);
select results_eq(
  $$ select actor_role, payload ->> 'from', payload ->> 'to', payload ->> 'reason', payload -> 'money',
       payload -> 'before' ->> 'status', payload -> 'before' ->> 'billable_seconds', payload -> 'row' ->> 'status',
       payload -> 'row' ->> 'billable_seconds', payload -> 'rule' -> 'mechanic_share_bps'
     from public.session_events where type = 'corrected' $$,
  $$ values ('system', 'completed', 'cancelled', 'too_short', '{"given_back_cents": 2000}'::jsonb,
       'completed', '70', 'cancelled', '30', '7000'::jsonb) $$,
  'MOV-05: one event, with before and after'
);
select results_eq(
  $$ select from_status::text, to_status::text, before ->> 'status', after ->> 'status'
     from private.session_corrections $$,
  $$ values ('completed', 'cancelled', 'completed', 'cancelled') $$, 'MOD-04: and the licence for it'
);
select is(
  tests.op('session.corrected'),
  '{"from": "completed", "to": "cancelled", "money": {"given_back_cents": 2000}}'::jsonb, 'MOV-05: it is logged'
);
select is_empty('select * from public.verify_replay()', 'MOV-06: the row is its replay');
select is(
  (select concat_ws(' ', r.status, r.duration_seconds, r.billable_seconds, r.end_reason)
    from public.replay_session(tests.session_of('customer')) as r),
  'cancelled 30 30 too_short', 'MOV-06: which folds the correction in'
);
select is_empty(
  'select * from public.ledger_invariants() union all select * from public.ledger_invariants(tests.now())',
  'MON-03: every invariant holds'
);
select is_empty('select * from public.alert_status_mismatch', 'MOV-02: no alert is left');
select is(pg_temp.fixed(), null, 'MOV-05: a second run finds none');

-- by an admin, of a session paid by credit
select tests.person('second');
select tests.mechanic('second mechanic');
select tests.buy_with_credit('second', 'chat10');
select tests.serve('second', 'second mechanic');
select tests.advance(70);
select tests.finish_session('second', 'second');
select tests.lasted('second', 59);
select tests.do_as('admin', 'select public.apply_semantic_fix(false)');
select is(tests.cents('customer_credit', 'second'), 1000, 'MOV-05: credit becomes credit again');
select is(tests.cents('mechanic_payable', 'second mechanic'), 0, 'MOV-05: the mechanic is owed nothing');
select is(
  (select e.actor_id from public.session_events as e
    where e.type = 'corrected' and e.session_id = tests.session_of('second')),
  tests.id('admin'), 'MOV-05: the event names who did it'
);

-- free
select tests.live('third', 'third mechanic');
select tests.advance(70);
select tests.finish_session('third', 'third');
select tests.lasted('third', 59);
select is(pg_temp.fixed(), 'completed cancelled', 'MOV-05: a free one as well');
select is_empty('select * from public.mechanic_earnings', 'MOV-05: its earning of zero is gone');

-- of which a part was given back before
select tests.paid_and_completed('fourth', 'fourth mechanic');
select tests.session_refund('fourth', 'a part', 500);
select tests.lasted('fourth', 10);
select is(pg_temp.fixed(), 'completed cancelled', 'MOV-05: one of which a part was given back');
select is(tests.effects('fourth', 'stripe.refund'), '500 1000', 'MOV-05: only the rest goes back');
select is(tests.payout_told('fourth'), '0 cancelled', 'MOV-05: and the rest of the payout is cancelled');
select throws_ok(
  format('select public.refund_session(%L, ''more'')', tests.session_of('fourth')), 'PT409',
  'refund_exceeds_payment', 'MON-15: nothing is left to give back'
);

-- paid out already, with a referral fee
select tests.mechanic('friend');
select tests.has_account('friend');
select tests.paid_live('fifth', 'fifth mechanic');
update public.mechanics set referred_by = tests.id('friend') where id = tests.id('fifth mechanic');
select tests.advance(70);
select tests.finish_session('system', 'fifth');
select tests.advance(86401);
select pg_temp.work();
select tests.lasted('fifth', 10);
select is(pg_temp.fixed(), 'completed cancelled', 'MOV-05: one that was paid out');
select is(tests.effects('fifth', 'stripe.transfer_reversal'), '1050 30', 'MOV-05: the transfers are asked back');
select is(
  format('%s %s', tests.cents('mechanic_payable', 'fifth mechanic'), tests.cents('referral_payable', 'friend')),
  '-1050 -30', 'MOV-05: until then it is owed'
);
select pg_temp.work();
select is(
  format('%s %s', tests.cents('mechanic_payable', 'fifth mechanic'), tests.cents('referral_payable', 'friend')),
  '0 0', 'MOV-05: and nobody owes anything afterwards'
);

select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');

select * from finish();

rollback;
