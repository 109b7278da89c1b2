-- MOV-06: verify_replay lists every session whose row differs from its replay, and in what: an event that is missing,
-- an edited row, an edited event, an extra event, a row that is gone; and nothing else.
begin;

select plan(31);

select tests.stop_clock();
select tests.nobody_falls_silent();
select public.set_setting('free_sessions_per_customer', '100');
select tests.admin('admin');

-- A life of 70 seconds, changed by one statement: the columns that differ. All of it is undone.
create function pg_temp.found(p_statement text) returns text
language plpgsql
as $$
declare
  v_found text;
begin
  begin
    perform tests.live('case', 'mechanic of case');
    perform tests.advance(70);
    perform tests.finish_session('system', 'case');
    perform tests.by_hand(format(p_statement, tests.session_of('case')));
    select string_agg(d.columns, '; ') into v_found
    from public.verify_replay() as r
    cross join lateral (
      select string_agg(k.name, ' ' order by k.name) as columns from jsonb_object_keys(r.difference) as k (name)
    ) as d;
    raise exception using errcode = 'UNDON';
  exception
    when sqlstate 'UNDON' then
      return v_found;
  end;
end
$$;

select tests.live('whole', 'mechanic of whole');
select tests.advance(70);
select tests.finish_session('system', 'whole');
select is_empty('select * from public.verify_replay()', 'MOV-06: a whole life shows nothing');

select is(
  pg_temp.found('delete from public.session_events where session_id = %L and ' || gone), found,
  'MOV-06: without ' || gone
)
from (
  values
  ('type = ''created''', 'duration_minutes events'),
  ('type = ''accepted''', 'accepted_at events mechanic_id'),
  ('type = ''joined'' and payload ->> ''role'' = ''customer''', 'events'),
  ('type = ''started''', 'events expires_at started_at'),
  ('type = ''ended''', 'billable_seconds duration_seconds end_reason ended_at status version'),
  ('true', 'accepted_at billable_seconds duration_minutes duration_seconds end_reason ended_at expires_at mechanic_id '
    'started_at status version')
) as c (gone, found);

select is(
  pg_temp.found('update public.sessions set ' || change || ' where id = %L'), found, 'MOV-06: a row with ' || change
)
from (
  values
  ('status = ''cancelled''', 'status'),
  ('started_at = started_at - interval ''1 s''', 'started_at'),
  ('expires_at = null', 'expires_at'),
  ('ended_at = ended_at + interval ''1 us''', 'ended_at'),
  ('duration_minutes = 31', 'duration_minutes'),
  ('duration_seconds = 71', 'duration_seconds'),
  ('billable_seconds = 0', 'billable_seconds'),
  ('mechanic_id = null', 'mechanic_id'),
  ('end_reason = ''too_short''', 'end_reason'),
  ('version = version + 1', 'version'),
  ('summary_submitted_at = ended_at', 'summary_submitted_at'),
  ('end_note = ''no part of what the events account for''', null)
) as c (change, found);

select is(
  pg_temp.found(
    'update public.session_events set payload = payload || ' || quote_literal(change)
    || ' where session_id = %L and type = ' || quote_literal(type)
  ), found, format('MOV-06: %s with %s', type, change)
)
from (
  values
  ('created', '{"duration_minutes": 60}', 'duration_minutes'),
  ('started', '{"expires_at": "2031-01-01"}', 'expires_at'),
  ('ended', '{"to": "cancelled", "billable_seconds": 10}', 'billable_seconds status')
) as c (type, change, found);
select is(
  pg_temp.found(
    'update public.session_events set occurred_at = occurred_at - interval ''1 s'' '
    'where session_id = %L and type = ''ended'''
  ), 'ended_at', 'MOV-06: an event of another time'
);
select is(
  pg_temp.found(
    'insert into public.session_events (session_id, type, actor_role, version) '
    'select %L, ''nudged'', ''system'', 3'
  ), 'events version', 'MOV-06: an event too many'
);
select is(
  pg_temp.found(
    'insert into public.session_events (session_id, type, actor_role, version, payload) '
    'select id, ''archived'', ''system'', version + 1, ''{"to": "archived"}'' from public.sessions where id = %L'
  ), 'status version', 'MOV-06: an event of something that was never done'
);
select is(
  pg_temp.found(
    'insert into public.session_events (session_id, type, actor_role, version) '
    'select gen_random_uuid(), ''created'', ''system'', 1 where %L is not null'
  ), 'row', 'MOV-06: events of a session that is not there'
);

-- since
select tests.advance(3600);
select tests.by_hand(format(
  'update public.sessions set billable_seconds = 0 where id = %L', tests.session_of('whole')
));
select is(
  (select count(*)::integer from public.verify_replay(p_since => tests.now() - age)), found, 'MOV-06: since ' || age
)
from (values ('30 min'::interval, 0), ('2 hours', 1)) as c (age, found);
select tests.by_hand(format(
  'update public.sessions set billable_seconds = 70 where id = %L', tests.session_of('whole')
));

-- who
select is(tests.outcome(who, 'select public.verify_replay()'), outcome, 'MOV-08: ' || who)
from (
  values ('whole', 'PT403 role_required'), ('mechanic of whole', 'PT403 role_required'), ('admin', 'ok')
) as w (who, outcome);

select * from finish();

rollback;
