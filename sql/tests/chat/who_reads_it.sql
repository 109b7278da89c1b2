-- CHAT-01: the history is a table that the two of a session read, and that nobody changes.
begin;

select plan(26);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.person('stranger');
select tests.admin('admin');
select tests.session_in('accepted', 'customer', 'former');
select tests.mechanic('mechanic');
select tests.session_in('live', 'second', 'her mechanic');

create function pg_temp.say(p_who text, p_content text, p_customer text default 'customer') returns void
language sql
as $$
  select tests.do_as(
    p_who, format('select public.send_session_message(%L, %L)', tests.session_of(p_customer), p_content)
  )
$$;

create function pg_temp.read(p_who text) returns text
language plpgsql
as $$
declare
  v_text text;
begin
  if p_who = 'service_role' then
    perform tests.act_as_role(p_who);
  else
    perform tests.act_as(p_who);
  end if;
  select string_agg(m.content, ' ' order by m.created_at desc) into v_text
  from public.session_messages as m
  where m.session_id = tests.session_of('customer');
  perform tests.be_system();
  return v_text;
end
$$;

select pg_temp.say('customer', 'one');
select tests.advance(1);
select pg_temp.say('former', 'two');
select pg_temp.say('second', 'elsewhere', 'second');
select is(pg_temp.read('former'), 'two one', 'CHAT-01: the mechanic of a session reads it');
select tests.do_as(
  'former', format('select public.release_assignment(p_assignment_id => %L)', tests.assignment_of('customer'))
);
select is(pg_temp.read('former'), null, 'CHAT-01, QUE-05: until he gives it back, also what he wrote');
select tests.accept('mechanic', 'customer');
select tests.advance(1);
select pg_temp.say('mechanic', 'three');
select is(pg_temp.read(who), expected, format('CHAT-01: the %s reads %s', who, coalesce(expected, 'nothing')))
from (values
  ('customer', 'three two one'), ('mechanic', 'three two one'), ('admin', 'three two one'),
  ('service_role', 'three two one'), ('former', null), ('stranger', null), ('second', null), ('her mechanic', null)
) as cases (who, expected);
select is(
  tests.outcome('anon', 'select * from public.session_messages'), '42501 permission denied for table session_messages',
  'CHAT-01: anon reads nothing'
);
select tests.finish_session('customer', 'customer');
select is(pg_temp.read('mechanic'), 'three two one', 'CHAT-01: after the end it is still there');

-- Nothing that was said is changed.
select is(
  tests.outcome(who, statement), '42501 permission denied for table session_messages',
  format('CHAT-01: %s: %s', who, split_part(statement, ' ', 1))
)
from unnest(array['customer', 'service_role']) as who,
  unnest(array[
    $$ insert into public.session_messages (session_id, sender_id, content) values (null, null, 'x') $$,
    $$ update public.session_messages set content = 'x' where true $$,
    $$ delete from public.session_messages where true $$
  ]) as s (padded)
cross join lateral btrim(s.padded) as t (statement);
select throws_ok(
  statement, '42501', 'session_messages is append-only', format('CHAT-01: its owner: %s', split_part(statement, ' ', 1))
)
from unnest(array[
  $$update public.session_messages set content = 'x' where true$$, $$delete from public.session_messages where true$$,
  $$truncate public.session_messages$$
]) as statement;
select throws_ok(
  format(
    'insert into public.session_messages (session_id, sender_id, content, client_id) values (%L, %L, %L, %L)',
    tests.session_of('second'), tests.id('second'), content, client_id
  ),
  state, null, format('CHAT-01: not even its owner stores %s', what)
)
from (values
  ('', null, '23514', 'an empty text'), (repeat('x', 4001), null, '23514', 'one that is too long')
) as cases (content, client_id, state, what);
insert into public.session_messages (session_id, sender_id, content, client_id)
values (tests.session_of('second'), tests.id('second'), 'a', tests.id('once'));
select throws_ok(
  format(
    'insert into public.session_messages (session_id, sender_id, content, client_id) values (%L, %L, %L, %L)',
    tests.session_of('second'), tests.id('second'), 'b', tests.id('once')
  ),
  '23505', null, 'CHAT-01: nor a second one of the same client id'
);

-- How a client reads it: one look into an index, newest first, nothing sorted.
create function pg_temp.plan(p_statement text) returns text
language plpgsql
as $$
declare
  v_line text;
  v_plan text;
begin
  for v_line in execute 'explain (costs off) ' || p_statement loop
    v_plan := concat_ws(E'\n', v_plan, v_line);
  end loop;
  return v_plan;
end
$$;
set local enable_seqscan = off;
set local enable_bitmapscan = off;
select tests.act_as('customer');
create temporary table plans (text) on commit drop as select pg_temp.plan(format(
  'select * from public.session_messages where session_id = %L order by created_at desc limit 50',
  tests.session_of('customer')
));
select tests.be_system();
select matches(
  text, 'Index Scan using session_messages_session_id_idx', 'CHAT-01, PERF-04: newest first comes out of an index'
)
from plans;
select doesnt_match(text, 'Sort', 'CHAT-01, PERF-04: in its order') from plans;

select * from finish();

rollback;
