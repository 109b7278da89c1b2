-- END-04: notifications, e-mails, CRM, offers and the removal of the room fail by themselves: the end stands, what
-- failed is left for review, and the command of the review does what is missing, once.
begin;

select plan(26);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.admin('admin');

-- The room.
create function pg_temp.rooms(p_customer text) returns text
language sql stable
as $$
  select string_agg(concat_ws(' ', o.key, o.payload), ', ')
  from private.outbox as o
  where o.topic = 'livekit.delete_room' and o.session_id = tests.session_of(p_customer)
$$;

select tests.live('chat', 'chat mechanic');
select tests.advance(70);
select tests.finish_session('chat', 'chat');
select is(pg_temp.rooms('chat'), null, 'END-04: a chat has no room');
select tests.paid_live('video', 'video mechanic');
select is(pg_temp.rooms('video'), null, 'END-04: the room stays while it is live');
select tests.advance(70);
select tests.finish_session('video', 'video');
select is(
  pg_temp.rooms('video'),
  format('room:%1$s {"room": "session-%1$s"}', tests.session_of('video')), 'END-04: it is removed with the end'
);

-- Who enters it again with a token from before the end finds it closed at once.
create function pg_temp.enters(p_who text, p_role text, p_customer text, p_event text) returns text
language plpgsql
as $$
begin
  perform public.record_presence_event(
    tests.session_of(p_customer), p_role || '-' || tests.id(p_who), 'participant_' || p_event, p_customer || p_event,
    tests.now()
  );
  return (select count(*) from private.outbox where topic = 'livekit.delete_room')::text;
end
$$;
select is(pg_temp.enters('video', 'customer', 'video', 'left'), '1', 'END-04, PRE-04: who leaves changes nothing');
select is(
  pg_temp.enters('video', 'customer', 'video', 'joined'), '2', 'END-04, PRE-04: who enters has it removed again'
);
select is(pg_temp.enters('video', 'customer', 'video', 'joined'), '2', 'END-04, PRE-04: once per fact');
select is(pg_temp.enters('chat', 'customer', 'chat', 'joined'), '2', 'END-04, PRE-04: a chat has none');
delete from private.outbox where key like 'room:%:%';

-- A failure of each.
create function tests.refuse() returns trigger
language plpgsql
as $$
begin
  raise exception 'out of paper';
end
$$;
create function pg_temp.done(p_customer text) returns text
language sql stable
as $$
  select concat_ws(
    ' ', (tests.row_of(p_customer)).status,
    (select count(*) from public.notifications as n where n.session_id = s.id and n.kind = 'session_completed'),
    (select count(*) from private.outbox as o where o.session_id = s.id and o.topic = 'crm.track'),
    (select count(*) from private.outbox as o where o.session_id = s.id and o.topic = 'livekit.delete_room'),
    (select count(*) from public.session_upsells as u where u.session_id = s.id),
    (select count(*) from public.payouts as p where p.session_id = s.id)
  )
  from tests.row_of(p_customer) as s
$$;
select is(pg_temp.done('video'), 'completed 2 1 1 1 1', 'END-04: a session whose aftermath goes well');

create function pg_temp.fails(p_customer text, p_table text, p_condition text) returns text
language plpgsql
as $$
begin
  perform tests.paid_live(p_customer, p_customer || ' mechanic');
  perform tests.advance(70);
  execute format(
    'create trigger a_refusal before insert on %s for each row when (%s) execute function tests.refuse()',
    p_table, p_condition
  );
  perform tests.finish_session(p_customer, p_customer);
  execute format('drop trigger a_refusal on %s', p_table);
  return pg_temp.done(p_customer);
end
$$;
select is(
  pg_temp.fails('a', 'public.notifications', 'new.kind = ''session_completed'''), 'completed 0 1 1 1 1',
  'END-04: without its notifications'
);
select is(
  pg_temp.fails('b', 'private.outbox', 'new.topic = ''crm.track'''), 'completed 2 0 0 0 1',
  'END-04: without what follows it, all or nothing'
);
select is(
  pg_temp.fails('c', 'private.outbox', 'new.topic = ''livekit.delete_room'''), 'completed 2 0 0 0 1',
  'END-04: the room is one of these'
);
select is(
  pg_temp.fails('d', 'public.session_upsells', 'true'), 'completed 2 0 0 0 1', 'END-04: and so are the offers'
);
-- The tick ends one: what fails then is left for review as well, and the tick has done its work.
create function pg_temp.fails_in_a_tick(p_customer text) returns text
language plpgsql
as $$
begin
  perform tests.paid_live(p_customer, p_customer || ' mechanic');
  perform tests.advance(3600);
  create trigger a_refusal before insert on private.outbox
  for each row when (new.topic = 'crm.track') execute function tests.refuse();
  perform public.tick_sessions();
  drop trigger a_refusal on private.outbox;
  return pg_temp.done(p_customer);
end
$$;
select is(pg_temp.fails_in_a_tick('f'), 'completed 2 0 0 0 1', 'END-04: a tick ends it without what follows');
select results_eq(
  $$
    select r.session_id, r.severity, r.detail ->> 'work', r.detail ->> 'error', r.command
    from public.sessions_needing_review as r
    where r.kind = 'failed_work'
    order by tests.session_of('a') = r.session_id desc, r.command
  $$,
  $$
    select s.id, 'critical', 'aftermath', 'out of paper', format('select public.repeat_aftermath(%L);', s.id)
    from unnest(array['a', 'b', 'c', 'd', 'f']) as word
    cross join lateral tests.row_of(word) as s
    order by word = 'a' desc, 5
  $$,
  'END-04: each is left for review, with the command that settles it'
);
select is(
  (select count(*) from private.ops_log where kind = 'session.failed' and detail ->> 'work' = 'aftermath'), 5::bigint,
  'END-04: and logged'
);

select set_eq(
  $$ select command from private.anomalies('-infinity', '{4}') where kind = 'failed_work' $$,
  $$ select command from public.sessions_needing_review where kind = 'failed_work' $$,
  'END-04: the verification has the same command'
);

-- The command.
select is(
  tests.outcome('a', format('select public.repeat_aftermath(%L)', tests.session_of('a'))), 'PT403 role_required',
  'END-04: it is for admins'
);
select is(
  tests.outcome('admin', format('select public.repeat_aftermath(%L)', tests.id('nothing'))), 'PT404 session_not_found',
  'END-04: of a session there is'
);
select tests.live('e', 'e mechanic');
select is(
  tests.outcome('admin', format('select public.repeat_aftermath(%L)', tests.session_of('e'))),
  'PT409 illegal_transition', 'END-04: that is over'
);
select tests.do_as('admin', command) from public.sessions_needing_review where kind = 'failed_work';
select is(pg_temp.done(word), 'completed 2 1 1 1 1', format('END-04: %s has all of it then', word))
from unnest(array['a', 'b', 'c', 'd', 'f']) as word;
select is_empty(
  $$ select from public.sessions_needing_review where kind = 'failed_work' $$, 'END-04: and needs no review'
);
select tests.do_as('admin', format('select public.repeat_aftermath(%L)', tests.session_of('a')));
select is(pg_temp.done('a'), 'completed 2 1 1 1 1', 'END-04: again changes nothing');

select * from finish();
rollback;
