-- MON-12, MON-03: a session that somebody completes by hand earned zeros: there is a row for every completed session.
begin;

select plan(9);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.live('free', 'free mechanic');

update public.sessions set status = 'completed' where id = tests.session_of('free');
select results_eq(
  $$ select mechanic_id, gross_cents, share_cents, platform_cents, referral_cents, currency
     from public.mechanic_earnings where session_id = tests.session_of('free') $$,
  $$ values (tests.id('free mechanic'), 0, 0, 0, 0, 'usd') $$,
  'MON-12: a free session completed by hand earned zeros'
);
select is((tests.row_of('free')).end_reason, 'completed', 'END-03: and says why it ended');
select lives_ok('set constraints all immediate', 'MON-03: which holds at commit');
select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');
update public.sessions set status = 'refunded' where id = tests.session_of('free');
select is_empty('select * from public.ledger_invariants()', 'MON-03: also when it moves on');

-- A correction.
select tests.live('corrected', 'corrected mechanic');
select tests.finish_session('corrected', 'corrected');
select is((tests.row_of('corrected')).status::text, 'cancelled', 'MOD-04: a cancelled session');
insert into private.session_corrections (session_id, from_status, to_status, reason, before, after)
values (tests.session_of('corrected'), 'cancelled', 'completed', 'a test', '{}', '{}');
update public.sessions set status = 'completed' where id = tests.session_of('corrected');
select is(
  (select gross_cents from public.mechanic_earnings where session_id = tests.session_of('corrected')), 0,
  'MON-12: corrected to completed, it earned zeros'
);
select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');

-- Money that is held is another matter.
select tests.paid_live('paid', 'paid mechanic');
select is(
  tests.outcome('system', format(
    $$ update public.sessions set status = 'completed' where id = %L; set constraints all immediate $$,
    tests.session_of('paid')
  )),
  'PT409 state_without_proof', 'MON-03: a session that holds money is not completed by hand'
);

select * from finish();

rollback;
