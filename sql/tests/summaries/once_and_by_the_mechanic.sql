-- SUM-01: the mechanic of a completed session writes its summary, once.
begin;

select plan(62);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.person('stranger');
select tests.mechanic('other');
select tests.admin('admin');

create function pg_temp.submit(
  p_who text, p_customer text, p_findings text default 'worn pads', p_steps text default 'looked at them',
  p_next text default 'replace them', p_parts text default null, p_files uuid[] default '{}'
) returns text
language sql
as $$
  select tests.outcome(p_who, format(
    'select public.submit_session_summary(%L, %L, %L, %L, %L, %L)',
    tests.session_of(p_customer), p_findings, p_steps, p_next, p_parts, p_files
  ))
$$;

create function pg_temp.tried(p_state text) returns text
language plpgsql
as $$
begin
  perform tests.session_in(p_state, 'customer ' || p_state, 'mechanic ' || p_state);
  return pg_temp.submit('mechanic ' || p_state, 'customer ' || p_state);
end
$$;

-- when
select is(pg_temp.tried(state), expected, 'SUM-01: ' || state)
from (values
  ('pending', 'PT404 session_not_found'),
  ('scheduled', 'PT404 session_not_found'),
  ('given back', 'PT404 session_not_found'),
  ('accepted', 'PT409 session_not_completed'),
  ('waiting', 'PT409 session_not_completed'),
  ('live', 'PT409 session_not_completed'),
  ('reconnecting', 'PT409 session_not_completed'),
  ('completed', 'ok'),
  ('summed up', 'PT409 summary_already_submitted'),
  ('cancelled', 'PT409 session_not_completed'),
  ('expired', 'PT409 session_not_completed'),
  ('unattended', 'PT404 session_not_found'),
  ('refunded', 'PT409 session_not_completed'),
  ('archived', 'PT409 session_not_completed'),
  ('lapsed', 'PT409 session_not_completed'),
  ('over', 'ok')
) as cases (state, expected);
select is(
  (tests.row_of('customer over')).status::text, 'completed', 'SUM-01, TIME-03: an end that nobody had written down is'
);

-- who
select tests.session_in('live', 'customer', 'mechanic');
select tests.session_in('live', 'second', 'her mechanic');
create temporary table file (id) on commit drop as select tests.file('customer', 'customer');
create temporary table foreign_file (id) on commit drop as select tests.file('second', 'second');
select tests.advance(70);
select tests.finish_session('system', 'customer');
select is(pg_temp.submit(who, 'customer'), expected, format('SUM-01: not by the %s', who))
from (values
  ('customer', 'PT403 role_required'), ('other', 'PT404 session_not_found'), ('stranger', 'PT404 session_not_found'),
  ('admin', 'PT404 session_not_found'), ('authenticated', 'PT401 not_authenticated')
) as cases (who, expected);
select alike(pg_temp.submit(who, 'customer'), '42501 %', format('SUM-01: nor by %s', who))
from unnest(array['anon', 'service_role']) as who;
select is(
  tests.outcome('mechanic', format('select public.submit_session_summary(%L, %L, %L, %L)', session, 'a', 'b', 'c')),
  'PT404 session_not_found', format('SUM-01: of %s session', why)
)
from (values (null::uuid, 'no'), (tests.id('nothing'), 'an unknown'), (tests.session_of('customer over'), 'another''s'))
  as cases (session, why);

-- what
select is(
  pg_temp.submit('mechanic', 'customer', findings, steps, next_steps, parts, files), 'PT422 invalid_argument',
  'SUM-01: ' || what
)
from (values
  (null, 'b', 'c', null, '{}'::uuid[], 'no findings'),
  ('a', null, 'c', null, '{}', 'no steps'),
  ('a', 'b', null, null, '{}', 'no next steps'),
  ('', 'b', 'c', null, '{}', 'empty findings'),
  ('a', '', 'c', null, '{}', 'empty steps'),
  ('a', 'b', '', null, '{}', 'empty next steps'),
  (E' \n\t', 'b', 'c', null, '{}', 'findings of white space'),
  ('a', E'\r\n', 'c', null, '{}', 'steps of white space'),
  ('a', 'b', '   ', null, '{}', 'next steps of white space'),
  (repeat('x', 4001), 'b', 'c', null, '{}', 'findings that are too long'),
  ('a', repeat('x', 4001), 'c', null, '{}', 'steps that are too long'),
  ('a', 'b', repeat('☺', 4001), null, '{}', 'next steps that are too long'),
  ('a', 'b', 'c', repeat('x', 4001), '{}', 'parts that are too long'),
  ('a', 'b', 'c', repeat('x', 1000000), '{}', 'parts that are a million'),
  ('a', 'b', 'c', null, array[tests.id('nothing')], 'an unknown file'),
  ('a', 'b', 'c', null, (select array_agg(f.id) from foreign_file as f), 'another session''s file'),
  ('a', 'b', 'c', null, array[null::uuid], 'no file in the list'),
  ('a', 'b', 'c', null, (select array_fill(f.id, array[21]) from file as f), '21 files')
) as cases (findings, steps, next_steps, parts, files, what);
select is((tests.row_of('customer')).summary_submitted_at, null, 'SUM-01: none of this is a summary');
select is_empty(
  $$ select from private.outbox where topic = 'email' and session_id = tests.session_of('customer') $$,
  'SUM-01: or was told'
);

-- the summary
update public.sessions set metadata = metadata || '{"noted": "before"}' where id = tests.session_of('customer');
create temporary table before on commit drop as select r.* from tests.row_of('customer') as r;
select tests.forget_messages();
select tests.advance(60);
create temporary table answer (summary jsonb) on commit drop;
grant insert on table answer to authenticated;
select tests.do_as('mechanic', format(
  'insert into answer select public.submit_session_summary(%L, %L, %L, %L, %L, %L)', tests.session_of('customer'),
  repeat('f', 4000), E'  one\ntwo  ', 'c', ' ', (select array_agg(f.id) from file as f)
));
select is(
  (select a.summary from answer as a),
  jsonb_build_object(
    'findings', repeat('f', 4000), 'steps', E'one\ntwo', 'next_steps', 'c', 'parts_list', null,
    'file_ids', (select jsonb_agg(f.id) from file as f), 'submitted_by', tests.id('mechanic'),
    'submitted_at', tests.now()
  ),
  'SUM-01: the summary, trimmed'
);
select is(
  (tests.row_of('customer')).metadata,
  (select b.metadata || jsonb_build_object('summary', a.summary) from before as b cross join answer as a),
  'SUM-01: is kept in the session, with all else that is'
);
select results_eq(
  $$ select r.status, r.summary_submitted_at, r.version from tests.row_of('customer') as r $$,
  $$ select b.status, tests.now(), b.version + 1 from before as b $$, 'SUM-01: which is a change of it'
);
select results_eq(
  $$ select type, actor_id, actor_role, payload, version, occurred_at from public.session_events
     where session_id = tests.session_of('customer') order by id desc limit 1 $$,
  $$ select 'summary_submitted', tests.id('mechanic'), 'mechanic', '{}'::jsonb, b.version + 1, tests.now()
     from before as b $$,
  'SUM-01: and an event'
);
select results_eq(
  $$ select m.event, m.payload - 'id' from tests.messages(tests.topic_of('customer')) as m $$,
  $$ select 'session:summary', jsonb_build_object(
       'session_id', b.id, 'status', 'completed', 'version', b.version + 1, 'server_now', tests.now(),
       'summary_submitted_at', tests.now()
     ) from before as b $$,
  'SUM-01, RT-02: the session hears session:summary, without its text'
);
select results_eq(
  $$ select user_id, title, read_at, created_at from public.notifications
     where session_id = tests.session_of('customer') and kind = 'summary_ready' $$,
  $$ values (tests.id('customer'), 'Your session summary is ready', null::timestamptz, tests.now()) $$,
  'SUM-01, NOTE-01: the customer is notified'
);
select results_eq(
  $$ select payload ->> 'to', payload ->> 'subject' from private.outbox
     where session_id = tests.session_of('customer') and topic = 'email' $$,
  $$ values ('customer@example.test', 'Your diagnostic session summary') $$, 'SUM-01: and gets an e-mail'
);

-- once
select tests.forget_messages();
select tests.advance(60);
select is(
  pg_temp.submit('mechanic', 'customer', 'better', 'longer', 'more'), 'PT409 summary_already_submitted',
  'SUM-01: there is no second one'
);
select is(pg_temp.submit('mechanic', 'customer', null), 'PT409 summary_already_submitted', 'SUM-01: whatever it says');
select is(
  (tests.row_of('customer')).metadata -> 'summary', (select a.summary from answer as a), 'SUM-01: the first stays'
);
select is_empty(
  $$ select from tests.messages(tests.topic_of('customer')) $$, 'SUM-01: and nothing is said again on the topic'
);
select is(
  (select count(*) from private.outbox where session_id = tests.session_of('customer') and topic = 'email'), 1::bigint,
  'SUM-01: nor by e-mail'
);
update public.sessions set status = 'refunded' where id = tests.session_of('customer');
select is(
  pg_temp.submit('mechanic', 'customer'), 'PT409 summary_already_submitted', 'SUM-01: also once the session is refunded'
);

-- A mechanic who was suspended meanwhile, and a customer who is gone.
select tests.session_in('completed', 'gone', 'suspended');
select public.set_mechanic_status(p_mechanic_id => tests.id('suspended'), p_status => 'suspended');
delete from auth.users where id = tests.id('gone');
select is(pg_temp.submit('suspended', 'gone'), 'ok', 'SUM-01, MOD-09: a suspended mechanic finishes what he has');
select is_empty(
  $$ select from private.outbox where topic = 'email' and session_id = tests.session_of('gone') $$,
  'SUM-01, MOD-03: nobody writes to somebody who is gone'
);

select * from finish();

rollback;
