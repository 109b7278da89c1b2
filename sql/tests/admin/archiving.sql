-- END-08: archive_sessions() puts away what ended before a time: of every ending, the oldest first, at most p_limit.
begin;

select plan(32);

select tests.stop_clock();
select tests.admin('admin');
select tests.person('stranger');

create function pg_temp.archive(p_before timestamptz, p_limit integer default 1000) returns integer
language plpgsql
as $$
declare
  v_archived integer;
begin
  perform tests.act_as('admin');
  v_archived := public.archive_sessions(p_before => p_before, p_limit => p_limit);
  perform tests.be_system();
  return v_archived;
end
$$;

-- one of every ending, an hour apart, and one of every active status
select tests.live('completed', 'mechanic completed');
select tests.advance(70);
select tests.finish_session('completed', 'completed');
select tests.clock_at('2030-01-01 13:00:00+00');
select tests.waiting('cancelled', 'mechanic cancelled');
select tests.finish_session('cancelled', 'cancelled');
select tests.clock_at('2030-01-01 14:00:00+00');
select tests.person('unattended');
select tests.queue('unattended');
select public.mark_session_unattended(tests.session_of('unattended'));
select tests.person('expired');
select tests.queue('expired');
select tests.clock_at('2030-01-01 17:00:00+00');
select public.expire_orphaned_sessions();
select tests.waiting('refunded', 'mechanic refunded');
select tests.finish_session('refunded', 'refunded');
update public.sessions set status = 'refunded' where id = tests.session_of('refunded');
select tests.clock_at('2030-01-01 18:00:00+00');
select tests.waiting('recent', 'mechanic recent');
select tests.finish_session('recent', 'recent');
select tests.nobody_falls_silent();
select tests.person('pending');
select tests.queue('pending');
select tests.person('booked');
select tests.book('booked', '1 day');
select tests.waiting('waiting', 'mechanic waiting');
select tests.live('live', 'mechanic live', 'diagnostic');
select tests.clock_at('2030-01-01 18:30:00+00');

create temporary table before_archiving on commit drop as
select word, to_jsonb(tests.row_of(word)) as facts
from unnest(array['completed', 'cancelled', 'unattended', 'expired', 'refunded']) as word;

-- who may, and with what
select is(
  tests.outcome(who, 'select public.archive_sessions(tests.now())'), 'PT403 role_required',
  format('END-08: not by %s', who)
)
from unnest(array['stranger', 'completed', 'mechanic completed']) as who;
select alike(
  tests.outcome('anon', 'select public.archive_sessions(now())'), '42501 %', 'END-08: not a visitor'
);
select is(
  tests.outcome('admin', format('select public.archive_sessions(%s)', arguments)), 'PT422 invalid_argument',
  format('END-08: not with %s', arguments)
)
from unnest(array[
  'p_before => null', 'p_before => tests.now() + interval ''1 second''', 'p_before => tests.now(), p_limit => 0',
  'p_before => tests.now(), p_limit => -1', 'p_before => tests.now(), p_limit => null'
]) as arguments;

-- before a time, the oldest first
select is(pg_temp.archive((tests.row_of('completed')).ended_at), 0, 'END-08: nothing is older than the oldest');
select is(pg_temp.archive('2030-01-01 18:00:00+00', 2), 2, 'END-08: at most so many');
select is(
  (select string_agg(word, ' ' order by word) from before_archiving where (tests.row_of(word)).status = 'archived'),
  'cancelled completed', 'END-08: the oldest first'
);
select is(pg_temp.archive('2030-01-01 18:00:00+00'), 3, 'END-08: then the rest before that time');
select is(pg_temp.archive('2030-01-01 18:00:00+00'), 0, 'END-08: once');
select is((tests.row_of(word)).status::text, 'archived', format('END-08: archived: %s', word)) from before_archiving;
select is(
  (select to_jsonb(s) - array['status', 'version', 'updated_at', 'last_event_at'] from tests.row_of(word) as s),
  facts - array['status', 'version', 'updated_at', 'last_event_at'], format('END-08: with all it had: %s', word)
)
from before_archiving;
select is((tests.row_of('recent')).status::text, 'cancelled', 'END-08: what ended later is left');
select is(
  array[
    (tests.row_of('pending')).status, (tests.row_of('booked')).status, (tests.row_of('waiting')).status,
    (tests.row_of('live')).status
  ]::text[],
  array['pending', 'scheduled', 'waiting', 'live'], 'END-08: what is active is left'
);
select results_eq(
  $$ select type::text, actor_id, actor_role::text, payload ->> 'from', payload ->> 'to' from public.session_events
     where session_id = tests.session_of('completed') order by id desc limit 1 $$,
  $$ values ('archived', tests.id('admin'), 'admin', 'completed', 'archived') $$, 'END-08: an event of each'
);

-- it can still be read, and nothing more can be done with it
select tests.act_as('completed');
select is(
  (select status::text from public.my_sessions(p_status => array['archived'])), 'archived',
  'END-08: its customer reads it'
);
select tests.be_system();
select is(
  (tests.finish_session('completed', 'completed')).already_ended, true, 'END-08, END-02: an end call finds it ended'
);
select is((tests.row_of('completed')).status::text, 'archived', 'END-08: and leaves it archived');
select is(
  tests.outcome('system', $$ select public.archive_sessions(tests.now(), 1) $$), 'ok', 'END-08: the system archives too'
);
select is((tests.row_of('recent')).status::text, 'archived', 'END-08: the last one');

select * from finish();

rollback;
