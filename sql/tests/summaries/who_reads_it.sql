-- SUM-02: who gets a summary, and which sessions still wait for theirs.
begin;

select plan(37);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.person('stranger');
select tests.admin('admin');
select tests.session_in('given back', 'customer', 'former');
select tests.mechanic('mechanic');
select tests.serve('customer', 'mechanic');

-- What somebody gets, or the error.
create function pg_temp.summary(p_who text, p_session uuid default tests.session_of('customer')) returns text
language plpgsql
as $$
declare
  v_outcome text := tests.outcome(p_who, format('select public.get_session_summary(%L)', p_session));
begin
  if v_outcome = 'ok' then
    if p_who = 'service_role' then
      perform tests.act_as_role(p_who);
    elsif p_who <> 'system' then
      perform tests.act_as(p_who);
    end if;
    v_outcome := coalesce(public.get_session_summary(p_session) ->> 'findings', 'none yet');
    perform tests.be_system();
  end if;
  return v_outcome;
end
$$;

create temporary table readers (who, may) on commit drop as
values
  ('customer', true), ('mechanic', true), ('admin', true), ('service_role', true), ('system', true), ('former', false),
  ('stranger', false);

select is(pg_temp.summary(who), 'none yet', format('SUM-02: while it runs: none yet, for the %s', who))
from readers
where may;
select tests.advance(70);
select tests.finish_session('system', 'customer');
select is(pg_temp.summary('customer'), 'none yet', 'SUM-02: nor at the end');
select tests.sum_up('mechanic', 'customer');
select is(
  pg_temp.summary(who), case when may then 'worn' else 'PT404 session_not_found' end,
  format('SUM-02: the %s gets %s', who, case when may then 'it' else 'nothing' end)
)
from readers;
select is(pg_temp.summary('authenticated'), 'PT401 not_authenticated', 'SUM-02: nobody without a user');
select alike(pg_temp.summary('anon'), '42501 %', 'SUM-02: nor anon');
select is(
  pg_temp.summary(who, session), 'PT404 session_not_found',
  format('SUM-02: of %s session, for the %s', case when session is null then 'no' else 'an unknown' end, who)
)
from unnest(array['customer', 'admin', 'system']) as who, unnest(array[null, tests.id('nothing')]) as session;
update public.sessions set status = 'archived' where id = tests.session_of('customer');
select is(pg_temp.summary('customer'), 'worn', 'SUM-02: it outlives the session');

-- which are awaited
create function pg_temp.awaited(p_who text) returns text
language plpgsql
as $$
declare
  v_text text := tests.outcome(p_who, 'select public.sessions_awaiting_summary()');
begin
  if v_text = 'ok' then
    perform tests.act_as(p_who);
    select string_agg(a.customer_display_name, ' ' order by a.n) into v_text
    from public.sessions_awaiting_summary()
      with ordinality as a (session_id, plan, type, customer_display_name, started_at, ended_at, duration_seconds, n);
    perform tests.be_system();
  end if;
  return v_text;
end
$$;

select is(pg_temp.awaited('mechanic'), null, 'SUM-02: none is awaited');
create function pg_temp.served(p_customer text, p_seconds integer) returns void
language plpgsql
as $$
begin
  perform tests.person(p_customer);
  perform tests.do_as(p_customer, format('select public.update_profile(%L)', p_customer));
  perform tests.queue(p_customer);
  perform tests.serve(p_customer, 'mechanic');
  perform tests.advance(p_seconds);
  perform tests.finish_session('system', p_customer);
end
$$;
select pg_temp.served('first', 70);
select pg_temp.served('brief', 5);
select pg_temp.served('third', 80);
select pg_temp.served('fourth', 90);
select pg_temp.served('fifth', 100);
select is((tests.row_of('brief')).status::text, 'cancelled', 'SUM-02: one that was too short');
select is(pg_temp.awaited('mechanic'), 'fifth fourth third first', 'SUM-02: the completed ones, newest first');
select tests.sum_up('mechanic', 'third');
update public.sessions set status = 'refunded' where id = tests.session_of('fourth');
select tests.session_in('live', 'sixth', 'his mechanic');
select is(pg_temp.awaited('mechanic'), 'fifth first', 'SUM-02: without those that have one or were refunded');
select tests.act_as('mechanic');
create temporary table first_one on commit drop as select a.* from public.sessions_awaiting_summary() as a limit 1;
select tests.be_system();
select results_eq(
  'select * from first_one',
  $$ select r.id, 'chat10', 'chat', 'fifth', r.started_at, r.ended_at, 100 from tests.row_of('fifth') as r $$,
  'SUM-02: with what the mechanic has to know of them'
);
select is(pg_temp.awaited('his mechanic'), null, 'SUM-02: nobody else''s, and none that runs');
select public.set_mechanic_status(p_mechanic_id => tests.id('mechanic'), p_status => 'suspended');
select is(pg_temp.awaited('mechanic'), 'fifth first', 'SUM-02, MOD-09: a suspended mechanic finishes what he has');
delete from auth.users where id = tests.id('first');
select is(
  pg_temp.awaited('mechanic'), 'fifth', 'SUM-02, MOD-03: the name of somebody who is gone is gone'
);
select tests.act_as('mechanic');
create temporary table with_nameless on commit drop as select a.* from public.sessions_awaiting_summary() as a;
select tests.be_system();
select is((select count(*) from with_nameless), 2::bigint, 'SUM-02: but not the session');
select is(pg_temp.awaited(who), expected, format('SUM-02: not for the %s', who))
from (values
  ('stranger', 'PT403 role_required'), ('customer', 'PT403 role_required'), ('admin', 'PT403 role_required'),
  ('authenticated', 'PT401 not_authenticated')
) as cases (who, expected);
select alike(pg_temp.awaited(who), '42501 %', format('SUM-02: nor for %s', who))
from unnest(array['anon', 'service_role']) as who;

select * from finish();

rollback;
