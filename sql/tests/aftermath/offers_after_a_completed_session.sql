-- NOTE-02: a completed session is followed by the offers that the rules have for its plan; its customer answers them.
begin;

select plan(44);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.admin('admin');
select tests.person('stranger');

-- "kind: title > target status" of each.
create function pg_temp.offers(p_customer text) returns text
language sql stable
as $$
  select string_agg(format('%s: %s > %s %s', u.kind, u.title, u.target_plan, u.status), ', ' order by u.kind, u.target_plan)
  from public.session_upsells as u
  where u.session_id = tests.session_of(p_customer) and u.customer_user_id = tests.id(p_customer)
$$;

create function pg_temp.completed(p_customer text, p_plan text default 'chat10') returns void
language plpgsql
as $$
begin
  perform tests.paid_and_completed(p_customer, p_customer || ' mechanic', p_plan);
end
$$;

-- by the rules
select tests.paid_live('a', 'a mechanic', 'chat10');
select is(pg_temp.offers('a'), null, 'NOTE-02: none while it goes on');
select tests.advance(70);
select tests.finish_session('a', 'a');
select is(
  pg_temp.offers('a'), 'upgrade: Show it on video next time > video15 offered', 'NOTE-02: after a chat'
);
select pg_temp.completed('b', 'video15');
select is(
  pg_temp.offers('b'), 'upgrade: Book a full diagnostic session > diagnostic offered', 'NOTE-02: after a video call'
);
select pg_temp.completed('c', 'diagnostic');
select is(
  pg_temp.offers('c'), 'follow_up: Check the repair by video > video15 offered', 'NOTE-02: after a diagnostic session'
);
insert into private.upsell_rules (plan, kind, title, target_plan) values
  ('chat10', 'repeat', 'Ask again', 'chat10'),
  ('chat10', 'upgrade', 'Book a full diagnostic session', 'diagnostic');
select pg_temp.completed('d');
select is(
  pg_temp.offers('d'),
  'repeat: Ask again > chat10 offered, upgrade: Book a full diagnostic session > diagnostic offered, '
  'upgrade: Show it on video next time > video15 offered', 'NOTE-02: as many as there are rules'
);
select public.set_plan(p_slug => 'video15', p_is_active => false);
select pg_temp.completed('e');
select is(
  pg_temp.offers('e'),
  'repeat: Ask again > chat10 offered, upgrade: Book a full diagnostic session > diagnostic offered',
  'NOTE-02: nothing that is not sold'
);
select is(
  pg_temp.offers('a'), 'upgrade: Show it on video next time > video15 offered', 'NOTE-02: what was offered stays'
);
delete from private.upsell_rules where plan = 'diagnostic';
select pg_temp.completed('f', 'diagnostic');
select is(pg_temp.offers('f'), null, 'NOTE-02: none without a rule');
select public.set_plan(p_slug => 'video15', p_is_active => true);

-- only completed ones, whoever completed them
select tests.session_in(state, state, state || ' mechanic')
from unnest(array['cancelled', 'expired', 'unattended']) as state;
select is(pg_temp.offers(state), null, format('NOTE-02: none when it is %s', state))
from unnest(array['cancelled', 'expired', 'unattended']) as state;
select tests.live('raw', 'raw mechanic');
update public.sessions set status = 'completed' where id = tests.session_of('raw');
select is(
  (select count(*) from public.session_upsells where session_id = tests.session_of('raw')), 3::bigint,
  'NOTE-02: a raw UPDATE completes it as well'
);
select tests.finish_session('a', 'a');
select tests.session_refund('a', 'all');
select is(
  pg_temp.offers('a'), 'upgrade: Show it on video next time > video15 offered', 'NOTE-02: once, whatever comes later'
);

-- who reads them
create function pg_temp.read_by(p_who text) returns bigint
language plpgsql
as $$
declare
  v_count bigint;
begin
  if p_who = 'service_role' then
    perform tests.act_as_role(p_who);
  else
    perform tests.act_as(p_who);
  end if;
  select count(*) into v_count from public.session_upsells;
  perform tests.be_system();
  return v_count;
end
$$;
select is(pg_temp.read_by(who), found::bigint, format('NOTE-02: the %s reads %s', who, found))
from (values ('a', 1), ('d', 3), ('stranger', 0), ('a mechanic', 0)) as cases (who, found);
select is(
  pg_temp.read_by(who), (select count(*) from public.session_upsells), format('NOTE-02: the %s reads all', who)
)
from unnest(array['admin', 'service_role']) as who;
select alike(
  tests.outcome('anon', 'select from public.session_upsells'), '42501 %', 'NOTE-02: a visitor may not even ask'
);
select alike(tests.outcome(who, statement), '42501 %', format('NOTE-02: the %s cannot %s', who, statement))
from unnest(array['a', 'admin', 'service_role']) as who
cross join unnest(array[
  $$ update public.session_upsells set status = 'accepted' $$, $$ delete from public.session_upsells $$
]) as statement;

-- answering
create function pg_temp.answer(p_who text, p_accept text, p_id uuid default null) returns text
language sql
as $$
  select tests.outcome(p_who, format('select public.respond_to_upsell(%L, %s)', coalesce(p_id, (
    select u.id from public.session_upsells as u where u.session_id = tests.session_of('a')
  )), p_accept))
$$;
select is(
  pg_temp.answer(who, 'true'), 'PT422 invalid_argument', format('NOTE-02: it is no offer to the %s', who)
)
from unnest(array['a mechanic', 'stranger', 'd', 'admin']) as who;
select is(pg_temp.answer('authenticated', 'true'), 'PT401 not_authenticated', 'NOTE-02: nor to nobody in particular');
select alike(pg_temp.answer(who, 'true'), '42501 %', format('NOTE-02: nor to %s', who))
from unnest(array['anon', 'service_role']) as who;
select is(pg_temp.answer('a', 'null'), 'PT422 invalid_argument', 'NOTE-02: no answer');
select is(pg_temp.answer('a', 'true', tests.id('x')), 'PT422 invalid_argument', 'NOTE-02: no such offer');
select is(
  pg_temp.offers('a'), 'upgrade: Show it on video next time > video15 offered', 'NOTE-02: which changed nothing'
);
select tests.advance(60);
select tests.act_as('a');
select results_eq(
  $$ select u.status, u.updated_at, u.updated_at - u.created_at >= interval '60 s'
     from public.session_upsells as o, public.respond_to_upsell(p_id => o.id, p_accept => true) as u $$,
  $$ values ('accepted', tests.now(), true) $$, 'NOTE-02: the customer accepts'
);
select tests.be_system();
select is(pg_temp.answer('a', answer), 'ok', format('NOTE-02: again: %s', answer))
from unnest(array['true', 'false']) as answer;
select is(
  pg_temp.offers('a'), 'upgrade: Show it on video next time > video15 dismissed', 'NOTE-02: the last answer counts'
);

-- no rule and no offer of another kind
select throws_ok(statement, '23514', null, format('NOTE-02: %s', what))
from (values
  ('no unknown kind', $$ update private.upsell_rules set kind = 'other' $$),
  ('no empty title', $$ update private.upsell_rules set title = '' $$),
  ('no long title', $$ update private.upsell_rules set title = repeat('x', 201) $$),
  ('no unknown answer', $$ update public.session_upsells set status = 'other' $$)
) as cases (what, statement);

select * from finish();

rollback;
