-- NOTE-01: who reads notifications and marks them as read: everybody his own, and nobody writes them.
begin;

select plan(40);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.admin('admin');
select tests.person('stranger');
select tests.mechanic('unapproved', false);
select tests.live('customer', 'mechanic');

create function pg_temp.read_by(p_who text) returns setof uuid
language plpgsql
as $$
begin
  if p_who in ('anon', 'service_role', 'authenticated') then
    perform tests.act_as_role(p_who);
  else
    perform tests.act_as(p_who);
  end if;
  return query select n.id from public.notifications as n order by n.id;
  perform tests.be_system();
end
$$;

create function pg_temp.of(p_who text) returns uuid[]
language sql
as $$
  select coalesce(array_agg(n.id order by n.id), '{}') from public.notifications as n where n.user_id = tests.id(p_who)
$$;

create function pg_temp.mark(p_who text, p_ids text) returns text
language sql
as $$ select tests.outcome(p_who, format('select public.mark_notifications_read(%s)', p_ids)) $$;

create function pg_temp.marked(p_who text, p_ids uuid[]) returns integer
language plpgsql
as $$
declare
  v_marked integer;
begin
  perform tests.act_as(p_who);
  v_marked := public.mark_notifications_read(p_ids => p_ids);
  perform tests.be_system();
  return v_marked;
end
$$;

-- reading
select is(cardinality(pg_temp.of(who)), told, format('NOTE-01: the %s was told', who))
from (values ('customer', 2), ('mechanic', 1), ('stranger', 0)) as cases (who, told);
select results_eq(
  format('select * from pg_temp.read_by(%L)', who), format('select unnest(pg_temp.of(%L))', who),
  format('NOTE-01: the %s reads that and no more', who)
)
from unnest(array['customer', 'mechanic', 'stranger', 'unapproved', 'admin']) as who;
select is_empty(
  $$ select * from pg_temp.read_by('authenticated') $$, 'NOTE-01: nobody in particular reads nothing'
);
select is(
  (select count(*) from pg_temp.read_by('service_role')), 3::bigint, 'NOTE-01: the backend reads all'
);
select alike(
  tests.outcome('anon', 'select from public.notifications'), '42501 %', 'NOTE-01: a visitor may not even ask'
);

-- writing
select alike(tests.outcome(who, statement), '42501 %', format('NOTE-01: the %s cannot %s', who, statement))
from unnest(array['customer', 'admin', 'service_role']) as who
cross join unnest(array[
  $$ update public.notifications set read_at = now() $$, $$ delete from public.notifications $$,
  $$ insert into public.notifications (user_id, kind, about, title, body) values (auth.uid(), 'a', 'b', 'c', 'd') $$
]) as statement;

-- marking
select is(pg_temp.marked('customer', (pg_temp.of('customer'))[1:1]), 1, 'NOTE-01: one is marked');
select is(
  (select array_agg(n.read_at order by n.id) from public.notifications as n where n.user_id = tests.id('customer')),
  array[tests.now(), null], 'NOTE-01: with the time, the other one not'
);
select tests.advance(60);
select is(pg_temp.marked('customer', pg_temp.of('customer')), 1, 'NOTE-01: all of them: one was unread');
select is(
  (select array_agg(n.read_at order by n.id) from public.notifications as n where n.user_id = tests.id('customer')),
  array[tests.now() - interval '60 s', tests.now()], 'NOTE-01: read once, at its time'
);
select is(pg_temp.marked('customer', pg_temp.of('customer')), 0, 'NOTE-01: twice: none was');
select is(pg_temp.marked('customer', '{}'), 0, 'NOTE-01: none at all');

-- all or nothing
select tests.finish_session('customer', 'customer');
select is(
  pg_temp.mark('customer', quote_literal(pg_temp.of('customer') || pg_temp.of('mechanic'))),
  'PT404 notification_not_found', 'NOTE-01: somebody else''s among them'
);
select is(
  pg_temp.mark('customer', quote_literal(pg_temp.of('customer') || tests.id('nothing'))),
  'PT404 notification_not_found', 'NOTE-01: one that is not'
);
select is(
  pg_temp.mark('customer', quote_literal(pg_temp.of('customer') || null::uuid)), 'PT404 notification_not_found',
  'NOTE-01: null among them'
);
select is(
  pg_temp.mark('customer', quote_literal(array_fill(tests.id('x'), array[1001]))), 'PT422 invalid_argument',
  'NOTE-01: more than 1000'
);
select is(pg_temp.mark('customer', 'null'), 'PT422 invalid_argument', 'NOTE-01: no list');
select is(
  (select count(*) from public.notifications where read_at is null and user_id = tests.id('customer')), 1::bigint,
  'NOTE-01: and none of them is marked then'
);
select is(
  pg_temp.marked('mechanic', array_fill((pg_temp.of('mechanic'))[1], array[1000])), 1,
  'NOTE-01: 1000 are taken, and one that is named often counts once'
);
select is(
  pg_temp.mark(who, quote_literal(pg_temp.of('customer'))), 'PT404 notification_not_found',
  format('NOTE-01: not by the %s', who)
)
from unnest(array['mechanic', 'admin']) as who;
select is(pg_temp.mark('authenticated', $$ '{}' $$), 'PT401 not_authenticated', 'NOTE-01: nor by nobody in particular');
select alike(pg_temp.mark(who, $$ '{}' $$), '42501 %', format('NOTE-01: nor by %s', who))
from unnest(array['anon', 'service_role']) as who;

-- Looking at one's newest ones costs a look into an index, however many there are.
insert into public.profiles (id) select tests.id('one of many ' || i) from generate_series(1, 200) as i;
insert into public.notifications (user_id, kind, about, title, body, created_at)
select p.id, 'summary_ready', 'many ' || i, 'x', 'y', tests.now() - make_interval(mins => i)
from generate_series(1, 50) as i
cross join public.profiles as p;
analyze public.notifications;
create function pg_temp.scans() returns bigint
language sql
as $$ select seq_scan from pg_stat_xact_user_tables where schemaname = 'public' and relname = 'notifications' $$;
create temporary table before (scans) on commit drop as select pg_temp.scans();
select tests.do_as('mechanic', $$
  select * from public.notifications order by created_at desc limit 20;
  select count(*) from public.notifications where read_at is null;
$$);
select pg_temp.marked('mechanic', (pg_temp.of('mechanic'))[1:1000]);
select is((select pg_temp.scans() - scans from before), 0::bigint, 'NOTE-01, PERF-04: no table is read through');

create function pg_temp.plan_of(p_query text) returns text
language plpgsql
as $$
declare
  v_line text;
  v_plan text := '';
begin
  perform tests.act_as('mechanic');
  for v_line in execute 'explain (costs off) ' || p_query loop
    v_plan := v_plan || v_line || E'\n';
  end loop;
  perform tests.be_system();
  return v_plan;
end
$$;
select ok(
  plan ~ 'notifications_user_id_idx' and plan !~ 'Sort', 'NOTE-01, PERF-04: and the newest come in order'
)
from pg_temp.plan_of('select * from public.notifications order by created_at desc limit 20') as plan;

select * from finish();

rollback;
