-- END-04, MON-03: state and money are one transaction: an end whose money fails is no end, and a session that somebody
-- ends by hand while money is held is refused at commit.
begin;

select plan(14);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.paid_live('customer', 'mechanic');
select tests.advance(70);

create function pg_temp.break() returns trigger
language plpgsql
as $$ begin raise exception 'broken'; end $$;

create trigger breaks before insert on public.mechanic_earnings for each row execute function pg_temp.break();
select is(
  tests.outcome('customer', format('select public.end_session_with_semantics(%L)', tests.session_of('customer'))),
  'P0001 broken', 'END-04: the earning cannot be written'
);
drop trigger breaks on public.mechanic_earnings;
select is((tests.row_of('customer')).status::text, 'live', 'END-04: so the session has not ended');
select is(tests.money(), 'session_hold 1500, stripe -1500', 'END-04: and the money is still held');
select is((select count(*)::integer from private.settlements), 0, 'END-04: nothing is settled');

create trigger breaks before insert on public.payouts for each row execute function pg_temp.break();
select is(
  tests.outcome('system', format('select public.end_session_with_semantics(%L)', tests.session_of('customer'))),
  'P0001 broken', 'END-04: nor without its payout'
);
drop trigger breaks on public.payouts;

-- by hand
create function pg_temp.by_hand(p_status text) returns text
language plpgsql
as $$
begin
  return tests.outcome('system', format(
    'update public.sessions set status = %L where id = %L; set constraints all immediate',
    p_status, tests.session_of('customer')
  ));
end
$$;

select is(
  pg_temp.by_hand(status), 'PT409 state_without_proof', format('MON-03: %s by hand, while money is held', status)
)
from unnest(array['completed', 'cancelled']) as status;
select is((tests.row_of('customer')).status::text, 'live', 'MON-03: it is as it was');
select is(
  tests.outcome('service_role', format(
    $$ update public.sessions set status = 'cancelled' where id = %L; set constraints all immediate $$,
    tests.session_of('customer')
  )),
  'PT409 state_without_proof', 'MON-03: service_role is no exception'
);

select is((tests.finish_session('customer', 'customer')).payout_cents, 1050, 'END-04: a proper end goes through');
select lives_ok('set constraints all immediate', 'MON-03: and holds at commit');
select throws_ok(
  format(
    $$ insert into private.settlements (session_id, currency, held_cents, refund_cents, share_cents, platform_cents,
       referral_cents, settled_at) values (%L, 'usd', 0, 0, 0, 0, 0, now()) $$, tests.session_of('customer')
  ),
  '23505', null, 'MON-03: a session is settled once'
);
select throws_ok(
  format(
    $$ insert into public.payouts (kind, source_id, user_id, session_id, amount_cents, currency, due_at)
       values ('session', %1$L, %2$L, %1$L, 1, 'usd', now()) $$,
    tests.session_of('customer'), tests.id('mechanic')
  ),
  '23505', null, 'MON-12: and has one payout of a kind'
);

select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');

select * from finish();

rollback;
