-- The people, sessions and clock that the tests in the neighbouring folders play with. Run this file first:
-- it is the only one that commits, and it leaves behind the schema `tests`. People are named by a word
-- ('customer', 'mechanic'); tests.id(word) is that person's uuid, so that no test has to carry values along.
begin;

select plan(1);

drop schema if exists tests cascade;

create schema tests;

grant usage on schema tests to public;

create function tests.id(p_word text) returns uuid
language sql immutable
as $$ select md5('taximeter test ' || p_word)::uuid $$;

create function tests.be_system() returns void
language plpgsql
as $$
begin
  perform set_config('role', 'none', true);
  perform set_config('request.jwt.claims', '', true);
end
$$;

create function tests.act_as(p_word text) returns void
language plpgsql
as $$
begin
  perform set_config(
    'request.jwt.claims', json_build_object('sub', tests.id(p_word), 'role', 'authenticated')::text, true
  );
  perform set_config('role', 'authenticated', true);
end
$$;

create function tests.act_as_role(p_role text) returns void
language plpgsql
as $$
begin
  perform set_config('request.jwt.claims', json_build_object('role', p_role)::text, true);
  perform set_config('role', p_role, true);
end
$$;

-- What a statement ends in when that person sends it: 'ok', or the error's state and message.
create function tests.outcome(p_word text, p_statement text) returns text
language plpgsql
as $$
begin
  if p_word = 'system' then
    perform tests.be_system();
  elsif p_word in ('anon', 'service_role', 'authenticated') then
    perform tests.act_as_role(p_word);
  else
    perform tests.act_as(p_word);
  end if;
  begin
    execute p_statement;
  exception when others then
    perform tests.be_system();
    return sqlstate || ' ' || sqlerrm;
  end;
  perform tests.be_system();
  return 'ok';
end
$$;

-- A step on the way, which must succeed. (A bare tests.outcome would print an `ok` of its own.)
create function tests.do_as(p_word text, p_statement text) returns void
language plpgsql
as $$
declare
  v_outcome text := tests.outcome(p_word, p_statement);
begin
  if v_outcome <> 'ok' then
    raise exception '% could not do "%": %', p_word, p_statement, v_outcome;
  end if;
end
$$;

-- Stops the clock for this transaction; tests.clock_at and tests.advance move it.
create function tests.stop_clock(p_at timestamptz default '2030-01-01 12:00:00+00') returns void
language plpgsql
as $$
begin
  perform set_config('tests.now', p_at::text, true);
  create or replace function private.clock() returns timestamptz
  language sql volatile set search_path = ''
  as 'select current_setting(''tests.now'')::timestamptz';
end
$$;

create function tests.clock_at(p_at timestamptz) returns void
language plpgsql
as $$
begin
  perform set_config('tests.now', p_at::text, true);
end
$$;

create function tests.now() returns timestamptz
language sql volatile
as $$ select current_setting('tests.now')::timestamptz $$;

create function tests.advance(p_seconds numeric) returns void
language plpgsql
as $$
begin
  perform set_config('tests.now', (tests.now() + make_interval(secs => p_seconds))::text, true);
end
$$;

create function tests.person(p_word text) returns uuid
language plpgsql
as $$
begin
  insert into auth.users (id, aud, role, email, raw_user_meta_data)
  values (tests.id(p_word), 'authenticated', 'authenticated', p_word || '@example.test', '{}');
  return tests.id(p_word);
end
$$;

create function tests.mechanic(p_word text, p_approved boolean default true) returns uuid
language plpgsql
as $$
begin
  perform tests.person(p_word);
  perform tests.act_as(p_word);
  perform public.apply_as_mechanic(p_specialties => array['brakes']);
  perform tests.be_system();
  if p_approved then
    perform public.set_mechanic_status(p_mechanic_id => tests.id(p_word), p_status => 'approved');
  end if;
  return tests.id(p_word);
end
$$;

create function tests.admin(p_word text) returns uuid
language plpgsql
as $$
begin
  perform tests.person(p_word);
  perform public.set_user_role(p_user_id => tests.id(p_word), p_role => 'admin');
  return tests.id(p_word);
end
$$;

-- The customer's newest session, whoever asks.
create function tests.session_of(p_word text) returns uuid
language sql stable security definer
as $$
  select id from public.sessions where customer_user_id = tests.id(p_word) order by created_at desc, id limit 1
$$;

create function tests.assignment_of(p_word text) returns uuid
language sql stable security definer
as $$
  select id from public.session_assignments
  where session_id = tests.session_of(p_word) order by created_at desc, id limit 1
$$;

create function tests.row_of(p_word text) returns public.sessions
language sql stable security definer
as $$ select s from public.sessions as s where s.id = tests.session_of(p_word) $$;

create function tests.events_of(p_word text) returns text[]
language sql stable security definer
as $$
  select array_agg(type::text order by id) from public.session_events where session_id = tests.session_of(p_word)
$$;

create function tests.queue(p_customer text, p_plan text default 'chat10') returns uuid
language plpgsql
as $$
declare
  v_session uuid;
begin
  perform tests.act_as(p_customer);
  select id into v_session from public.create_session(p_plan => p_plan);
  perform tests.be_system();
  return v_session;
end
$$;

-- A booking, so long from now.
create function tests.book(p_customer text, p_in interval, p_plan text default 'chat10') returns uuid
language plpgsql
as $$
declare
  v_session uuid;
begin
  perform tests.act_as(p_customer);
  select id into v_session from public.create_session(p_plan => p_plan, p_scheduled_for => tests.now() + p_in);
  perform tests.be_system();
  return v_session;
end
$$;

-- A session that asks for one mechanic in particular, now or for later.
create function tests.prefer(p_customer text, p_mechanic text, p_in interval default null) returns uuid
language plpgsql
as $$
declare
  v_session uuid;
begin
  perform tests.act_as(p_customer);
  select id into v_session from public.create_session(
    p_plan => 'chat10', p_preferred_mechanic_id => tests.id(p_mechanic), p_scheduled_for => tests.now() + p_in
  );
  perform tests.be_system();
  return v_session;
end
$$;

-- The sessions a mechanic finds in the queue, in its order.
create function tests.queue_of(p_mechanic text) returns setof uuid
language plpgsql
as $$
begin
  perform tests.act_as(p_mechanic);
  return query select session_id from public.mechanic_queue();
  perform tests.be_system();
end
$$;

create function tests.accept(p_mechanic text, p_customer text) returns void
language plpgsql
as $$
begin
  perform tests.act_as(p_mechanic);
  perform public.accept_assignment(p_assignment_id => tests.assignment_of(p_customer));
  perform tests.be_system();
end
$$;

create function tests.join(p_word text, p_customer text) returns void
language plpgsql
as $$
begin
  perform tests.act_as(p_word);
  perform public.join_session(p_session_id => tests.session_of(p_customer));
  perform tests.be_system();
end
$$;

create function tests.leave(p_word text, p_customer text) returns void
language plpgsql
as $$
begin
  perform tests.act_as(p_word);
  perform public.leave_session(p_session_id => tests.session_of(p_customer));
  perform tests.be_system();
end
$$;

create function tests.heartbeat(p_word text, p_customer text) returns void
language plpgsql
as $$
begin
  perform tests.act_as(p_word);
  perform public.heartbeat_session(p_session_id => tests.session_of(p_customer));
  perform tests.be_system();
end
$$;

-- Both sides beat every 30 seconds for so long, as two connected clients do.
create function tests.together_for(p_mechanic text, p_customer text, p_seconds integer) returns void
language plpgsql
as $$
declare
  v_left integer := p_seconds;
begin
  while v_left > 0 loop
    perform tests.advance(least(v_left, 30));
    v_left := v_left - 30;
    if v_left > 0 then
      perform tests.heartbeat(p_mechanic, p_customer);
      perform tests.heartbeat(p_customer, p_customer);
    end if;
  end loop;
end
$$;

create function tests.waiting(p_customer text, p_mechanic text, p_plan text default 'chat10') returns void
language plpgsql
as $$
begin
  perform tests.person(p_customer);
  perform tests.mechanic(p_mechanic);
  perform tests.queue(p_customer, p_plan);
  perform tests.accept(p_mechanic, p_customer);
end
$$;

create function tests.live(p_customer text, p_mechanic text, p_plan text default 'chat10') returns void
language plpgsql
as $$
begin
  perform tests.waiting(p_customer, p_mechanic, p_plan);
  perform tests.join(p_customer, p_customer);
  perform tests.join(p_mechanic, p_customer);
end
$$;

-- Nobody falls silent from here on, for tests that are about something else.
create function tests.nobody_falls_silent() returns void
language sql
as $$ select public.set_setting('presence_timeout_seconds', '86400') $$;

-- Status, reason, billed seconds and where it ended, counted from the start, in one line.
create function tests.told(p_customer text) returns text
language sql stable
as $$
  select concat_ws(
    ' ', s.status, s.end_reason, s.duration_seconds, s.billable_seconds,
    extract(epoch from s.ended_at - s.started_at)::integer
  )
  from tests.row_of(p_customer) as s
$$;

-- The participants' row of a person, newest session of that customer.
create function tests.presence_of(p_word text, p_customer text) returns public.session_participants
language sql stable security definer
as $$
  select p from public.session_participants as p
  where p.session_id = tests.session_of(p_customer) and p.user_id = tests.id(p_word)
$$;

create function tests.snapshot(p_word text, p_customer text) returns jsonb
language plpgsql
as $$
declare
  v_snapshot jsonb;
begin
  if p_word = 'system' then
    perform tests.be_system();
  else
    perform tests.act_as(p_word);
  end if;
  v_snapshot := public.session_snapshot(p_session_id => tests.session_of(p_customer));
  perform tests.be_system();
  return v_snapshot;
end
$$;

-- What a plain read of the table says, as that person.
create function tests.effective_status(p_word text, p_customer text) returns text
language plpgsql
as $$
declare
  v_status text;
begin
  perform tests.act_as(p_word);
  select s.effective_status::text into v_status from public.sessions as s where s.id = tests.session_of(p_customer);
  perform tests.be_system();
  return v_status;
end
$$;

-- A video session by a script of steps like "100 mechanic leave": second since the start, who, what
-- (beat, join, leave, end), or "150 tick"; with commas between them.
create function tests.play(p_customer text, p_script text) returns void
language plpgsql
as $$
declare
  v_mechanic text := 'mechanic ' || p_customer;
  v_started timestamptz;
  v_word text[];
  v_who text;
begin
  perform tests.live(p_customer, v_mechanic, 'video15');
  v_started := (tests.row_of(p_customer)).started_at;
  for v_word in select string_to_array(btrim(line), ' ') from regexp_split_to_table(p_script, ',') as line loop
    perform tests.clock_at(v_started + make_interval(secs => v_word[1]::double precision));
    v_who := case v_word[2] when 'customer' then p_customer when 'mechanic' then v_mechanic end;
    case coalesce(v_word[3], v_word[2])
      when 'tick' then perform public.tick_sessions();
      when 'beat' then perform tests.heartbeat(v_who, p_customer);
      when 'join' then perform tests.join(v_who, p_customer);
      when 'leave' then perform tests.leave(v_who, p_customer);
      when 'end' then perform tests.finish_session(v_who, p_customer);
    end case;
  end loop;
end
$$;

create function tests.finish_session(p_word text, p_customer text, p_reason text default null)
returns public.session_end_result
language plpgsql
as $$
declare
  v_result public.session_end_result;
begin
  if p_word = 'system' then
    perform tests.be_system();
  elsif p_word = 'service_role' then
    perform tests.act_as_role(p_word);
  else
    perform tests.act_as(p_word);
  end if;
  select * into v_result from public.end_session_with_semantics(
    p_session_id => tests.session_of(p_customer), p_reason => p_reason
  );
  perform tests.be_system();
  return v_result;
end
$$;

-- What was broadcast on a topic since tests.forget_messages(), in the order it was sent.
create function tests.messages(p_topic text) returns table (event text, payload jsonb)
language sql stable
as $$
  select m.event, m.payload from realtime.messages as m
  where m.topic = p_topic and m.extension = 'broadcast' order by m.cmin::text::bigint
$$;

create function tests.forget_messages() returns void
language sql
as $$ delete from realtime.messages where topic is not null $$;

create function tests.topic_of(p_word text) returns text
language sql stable
as $$ select 'session:' || tests.session_of(p_word) $$;

-- Whether the Realtime server would let that person in to receive: it writes a probe row that has nothing but a topic
-- and an extension, and looks for it in the person's name.
create function tests.may_receive(p_word text, p_topic text, p_extension text default 'broadcast') returns boolean
language plpgsql
as $$
declare
  v_id uuid := gen_random_uuid();
  v_found boolean;
begin
  perform tests.be_system();
  insert into realtime.messages (id, topic, extension) values (v_id, p_topic, p_extension);
  perform set_config('realtime.topic', p_topic, true);
  if p_word in ('anon', 'service_role', 'authenticated') then
    perform tests.act_as_role(p_word);
  else
    perform tests.act_as(p_word);
  end if;
  v_found := exists (select from realtime.messages as m where m.id = v_id);
  perform tests.be_system();
  delete from realtime.messages as m where m.id = v_id;
  return v_found;
end
$$;

-- Whether it would let that person send: the person writes the probe row. Only a refusal by policy is a no.
create function tests.may_send(p_word text, p_topic text, p_extension text) returns boolean
language plpgsql
as $$
declare
  v_id uuid := gen_random_uuid();
begin
  perform set_config('realtime.topic', p_topic, true);
  if p_word in ('anon', 'service_role', 'authenticated') then
    perform tests.act_as_role(p_word);
  else
    perform tests.act_as(p_word);
  end if;
  begin
    insert into realtime.messages (id, topic, extension) values (v_id, p_topic, p_extension);
  exception
    when insufficient_privilege then
      perform tests.be_system();
      return false;
  end;
  perform tests.be_system();
  delete from realtime.messages as m where m.id = v_id;
  return true;
end
$$;

-- A change of a session or its events past everything that guards them.
create function tests.by_hand(p_statement text) returns void
language plpgsql
as $$
begin
  set constraints all immediate;
  set constraints all deferred;
  alter table public.sessions disable trigger user;
  alter table public.session_events disable trigger user;
  execute p_statement;
  alter table public.sessions enable trigger user;
  alter table public.session_events enable trigger user;
end
$$;

-- What the end of a customer's newest session recorded, written anew: as an older engine that was wrong left it.
create function tests.recorded(p_customer text, p_part text, p_changes jsonb) returns void
language sql
as $$
  select tests.by_hand(format(
    'update public.session_events set payload = jsonb_set(payload, array[%L], payload -> %1$L || %L) '
    'where type = ''ended'' and session_id = %L', p_part, p_changes, tests.session_of(p_customer)
  ))
$$;

-- It ran for so long, whatever was made of it.
create function tests.lasted(p_customer text, p_seconds integer) returns void
language sql
as $$
  select tests.recorded(p_customer, 'facts', jsonb_build_object(
    'started_at', (tests.row_of(p_customer)).started_at,
    'over_at', (tests.row_of(p_customer)).started_at + make_interval(secs => p_seconds),
    'both_present_seconds', p_seconds
  ))
$$;

-- For tests that change rows or events past the engine: their sessions need not equal their replay.
create function tests.rows_are_changed_by_hand() returns void
language sql
as $$ select set_config('tests.rows_are_changed_by_hand', 'on', true) $$;

-- In front of pgTAP's own: at its end, every session that a test made is what its events say, and all money adds up.
create or replace function public.finish(exception_on_failure boolean default null) returns setof text
language plpgsql
as $$
declare
  v_wrong text;
begin
  if nullif(current_setting('tests.rows_are_changed_by_hand', true), '') is null then
    perform tests.be_system();
    select string_agg(w.what, e'\n') into v_wrong
    from (
      select format('%s %s', r.session_id, r.difference) from public.verify_replay() as r
      union all
      select format('%s: %s %s', v.invariant, v.subject, v.detail) from public.ledger_invariants() as v
    ) as w (what);
    if v_wrong is not null then
      return next fail('MOV-06, MON-03: every session equals its replay, and the ledger its invariants');
      return next diag(v_wrong);
    end if;
  end if;
  return query select * from extensions.finish(exception_on_failure);
end
$$;

select has_schema('tests', 'the helpers are in place');

select * from finish();

commit;
