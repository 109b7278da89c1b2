-- MOV-05: a session that counted as too short, and had lasted long enough by the facts and the rule recorded with its
-- end, is completed: the mechanic is paid by the platform, the customer keeps what was given back.
begin;

select plan(24);

select tests.stop_clock();
select tests.nobody_falls_silent();

create function pg_temp.fixed() returns text
language sql
as $$
  select string_agg(f.status_before || ' ' || f.status_after, ', ' order by f.session_id)
  from public.apply_semantic_fix(false) as f
$$;

-- paid by card
select tests.paid_live('customer', 'mechanic');
select tests.advance(30);
select tests.finish_session('system', 'customer');
select tests.lasted('customer', 80);
select tests.advance(3600);
select public.set_setting('mechanic_share_bps', '5000');
create temporary table entries on commit drop as select * from private.ledger_entries;
select is(pg_temp.fixed(), 'cancelled completed', 'MOV-05: what had lasted long enough is completed');
select is(tests.told('customer'), 'completed completed 80 80 80', 'MOV-05: its status, reason, seconds and end');
select is(
  tests.money(), 'mechanic_payable 1050, promotions -1050, refund_clearing 1500, stripe -1500',
  'MOV-05: the platform pays the mechanic, by the share of the time of its end, and the customer is not charged again'
);
select is(tests.effects('customer', 'stripe.refund'), '1500', 'MOV-05: the refund on its way stays');
select is(tests.payout_told('customer'), '1050 pending', 'MOV-05: a payout is due');
select is((tests.payout_of('customer')).due_at, tests.now() + interval '1 day', 'MON-12: after payout_delay_minutes');
select results_eq(
  'select gross_cents, share_cents, platform_cents, referral_cents from public.mechanic_earnings',
  'values (1050, 1050, 0, 0)', 'MOV-05: an earning says so'
);
select is_empty(
  'select * from entries except select * from private.ledger_entries', 'MOV-05: no entry was changed or removed'
);
select results_eq(
  $$ select payload ->> 'from', payload ->> 'to', payload -> 'money', payload -> 'rule' -> 'mechanic_share_bps'
     from public.session_events where type = 'corrected' $$,
  $$ values ('cancelled', 'completed', '{"paid_by_the_platform_cents": 1050}'::jsonb, '7000'::jsonb) $$,
  'MOV-05: one event'
);
select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');
select is_empty('select * from public.alert_status_mismatch', 'MOV-02: no alert is left');
select is_empty('select * from public.alert_completed_without_payout', 'MOV-02: nor one about its payout');
select is(pg_temp.fixed(), null, 'MOV-05: a second run finds none');
select tests.advance(86401);
select tests.dispatch();
select tests.stripe_says('stripe.transfer');
select is(tests.payout_told('customer'), '1050 paid', 'MON-14: it is paid out like any other');
select is(tests.cents('mechanic_payable', 'mechanic'), 0, 'MON-14: once');

-- paid by credit
select tests.person('second');
select tests.mechanic('second mechanic');
select tests.buy_with_credit('second', 'chat10');
select tests.serve('second', 'second mechanic');
select tests.advance(30);
select tests.finish_session('second', 'second');
select tests.lasted('second', 60);
select is(pg_temp.fixed(), 'cancelled completed', 'MOV-05: exactly the threshold is enough');
select is(tests.cents('customer_credit', 'second'), 1000, 'MOV-05: the customer keeps the credit given back');
select is(tests.payout_told('second'), '500 blocked account', 'MON-14: a payout waits for an account as ever');

-- free
select tests.live('third', 'third mechanic');
select tests.advance(30);
select tests.finish_session('third', 'third');
select tests.lasted('third', 60);
select is(pg_temp.fixed(), 'cancelled completed', 'MOV-05: a free one as well');
select results_eq(
  $$ select gross_cents, share_cents from public.mechanic_earnings where mechanic_id = tests.id('third mechanic') $$,
  'values (0, 0)', 'MON-12: it earned zero'
);
select is(tests.payout_told('third'), null, 'MON-12: and pays nothing out');

-- its start was never written down
select tests.paid_live('fourth', 'fourth mechanic');
select tests.leave('fourth', 'fourth');
select tests.advance(70);
select tests.finish_session('system', 'fourth');
select tests.by_hand(format(
  'update public.sessions set started_at = null, expires_at = null, duration_seconds = 0, billable_seconds = 0 '
  'where id = %L', tests.session_of('fourth')
));
select tests.recorded('fourth', 'facts', jsonb_build_object('started_at', tests.now() - interval '70 s'));
select tests.recorded('fourth', 'facts', jsonb_build_object('over_at', tests.now()));
select is(pg_temp.fixed(), 'cancelled completed', 'MOV-05: so is one whose start was lost');
select is(
  (tests.row_of('fourth')).expires_at, tests.now() - interval '70 s' + interval '45 min',
  'TIME-01: with its start it has its expiry again'
);

select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');

select * from finish();

rollback;
