-- MON-14: a mechanic sees his own connected account, and nobody else's.
begin;

select plan(4);

select tests.stop_clock();
select tests.mechanic('mechanic');
select tests.mechanic('applicant', false);
select tests.person('customer');
update public.profiles set email = 'mechanic@example.com' where id = tests.id('mechanic');

create function pg_temp.account(p_who text) returns jsonb
language plpgsql
as $$
declare
  v_account jsonb;
begin
  perform tests.act_as(p_who);
  v_account := public.payout_account();
  perform tests.be_system();
  return v_account;
end
$$;

select is(
  pg_temp.account('mechanic'),
  jsonb_build_object('mechanic_id', tests.id('mechanic'), 'account', null, 'email', 'mechanic@example.com'),
  'MON-14: none yet'
);
select tests.has_account('mechanic');
select is(
  pg_temp.account('mechanic') ->> 'account',
  (select account from private.stripe_accounts where user_id = tests.id('mechanic')), 'MON-14: his own'
);
select is(pg_temp.account('applicant') ->> 'account', null, 'MON-14: nobody else''s, before approval as well');
select is(
  tests.outcome('customer', 'select public.payout_account()'), 'PT403 role_required', 'MON-14: mechanics only'
);

select * from finish();
rollback;
