-- END-07: preview_end says what the real call would do at that moment, in every state, for whoever asks, and writes
-- nothing.
begin;

select plan(41);
select tests.rows_are_changed_by_hand();

select tests.stop_clock();
select tests.admin('admin');
select public.set_setting('free_sessions_per_customer', '100');

-- All that an end could change.
create function pg_temp.state() returns text
language sql
as $$
  select md5(concat(
    (select string_agg(s::text, ' ' order by s.id) from public.sessions as s),
    (select string_agg(p::text, ' ' order by p.session_id, p.user_id) from public.session_participants as p),
    (select string_agg(a::text, ' ' order by a.id) from public.session_assignments as a),
    (select string_agg(e::text, ' ' order by e.id) from public.session_events as e),
    (select count(*) from private.ops_log)
  ))
$$;

create function pg_temp.preview_by(p_who text, p_case text) returns public.session_end_result
language plpgsql
as $$
declare
  v_result public.session_end_result;
begin
  if p_who = 'system' then
    perform tests.be_system();
  else
    perform tests.act_as(p_who);
  end if;
  select * into v_result from public.preview_end(p_session_id => tests.session_of(p_case));
  perform tests.be_system();
  return v_result;
end
$$;

-- Previews, ends, compares, and takes the end back, so that the next one may ask in the same state.
create function pg_temp.compared(p_who text, p_case text) returns text
language plpgsql
as $$
declare
  v_state text := pg_temp.state();
  v_preview public.session_end_result := pg_temp.preview_by(p_who, p_case);
  v_verdict text;
  v_end public.session_end_result;
begin
  if pg_temp.state() <> v_state then
    return 'the preview wrote something';
  end if;
  begin
    v_end := tests.finish_session(p_who, p_case);
    if v_end is distinct from v_preview then
      v_verdict := format('%s is not %s', v_preview, v_end);
    elsif pg_temp.preview_by(p_who, p_case) is distinct from tests.finish_session(p_who, p_case) then
      v_verdict := 'after the end they differ';
    elsif (pg_temp.preview_by(p_who, p_case)).already_ended is not true then
      v_verdict := 'after the end it is not said to have ended';
    else
      v_verdict := concat_ws(
        ' ', v_end.final_status, v_end.reason, v_end.duration_seconds, v_end.billable_seconds, v_end.already_ended
      );
    end if;
    raise exception using errcode = 'TT000', message = v_verdict;
  exception
    when sqlstate 'TT000' then
      return sqlerrm;
  end;
end
$$;

-- What everybody who may ask is told in this state: customer, mechanic if there is one, admin, system.
create function pg_temp.told_all(p_case text) returns text
language plpgsql
as $$
declare
  v_who text;
  v_told text[] := '{}';
begin
  foreach v_who in array array[p_case, 'mechanic ' || p_case, 'admin', 'system'] loop
    if v_who not like 'mechanic %' or (tests.row_of(p_case)).mechanic_id is not null then
      v_told := v_told || pg_temp.compared(v_who, p_case);
    end if;
  end loop;
  return (select string_agg(distinct t, ' | ' order by t) from unnest(v_told) as t);
end
$$;

-- in the queue, booked, accepted
select tests.person('pending');
select tests.queue('pending');
select is(pg_temp.told_all('pending'), 'cancelled cancelled_before_accept 0 0 f', 'END-07: pending');
select tests.join('pending', 'pending');
select tests.advance(1000);
select is(
  pg_temp.told_all('pending'), 'cancelled cancelled_before_accept 0 0 f', 'END-07: pending, and fell silent in it'
);
select tests.person('booked');
select tests.book('booked', '1 hour');
select is(pg_temp.told_all('booked'), 'cancelled cancelled_before_accept 0 0 f', 'END-07: booked');
select tests.advance(3700);
select is(pg_temp.told_all('booked'), 'cancelled cancelled_before_accept 0 0 f', 'END-07: booked, its time has come');
select tests.person('accepted');
select tests.mechanic('mechanic accepted');
select tests.book('accepted', '1 hour');
select tests.accept('mechanic accepted', 'accepted');
select is(
  pg_temp.told_all('accepted'),
  'cancelled cancelled_by_admin 0 0 f | cancelled cancelled_by_customer 0 0 f | '
  || 'cancelled cancelled_by_mechanic 0 0 f | cancelled nobody_joined 0 0 f', 'END-07: accepted: who asks matters'
);
select tests.advance(3700);
select is(
  pg_temp.told_all('accepted'),
  'cancelled cancelled_by_admin 0 0 f | cancelled cancelled_by_customer 0 0 f | '
  || 'cancelled cancelled_by_mechanic 0 0 f | cancelled nobody_joined 0 0 f', 'END-07: accepted, its time has come'
);
select tests.waiting('waiting', 'mechanic waiting');
select is(
  pg_temp.told_all('waiting'),
  'cancelled cancelled_by_admin 0 0 f | cancelled cancelled_by_customer 0 0 f | '
  || 'cancelled cancelled_by_mechanic 0 0 f | cancelled nobody_joined 0 0 f', 'END-07: waiting'
);

-- one waits: five minutes, four minutes, silent
create function pg_temp.one_waits(p_case text, p_who text, p_seconds integer) returns void
language plpgsql
as $$
declare
  v_who text := case p_who when 'customer' then p_case else 'mechanic ' || p_case end;
begin
  perform tests.waiting(p_case, 'mechanic ' || p_case);
  perform tests.join(v_who, p_case);
  for i in 1 .. p_seconds / 60 loop
    perform tests.advance(60);
    perform tests.heartbeat(v_who, p_case);
  end loop;
end
$$;
select pg_temp.one_waits('customer waits', 'customer', 300);
select is(pg_temp.told_all('customer waits'), 'cancelled mechanic_no_show 0 0 f', 'END-07: the mechanic did not come');
select pg_temp.one_waits('mechanic waits', 'mechanic', 300);
select is(pg_temp.told_all('mechanic waits'), 'cancelled customer_no_show 0 0 f', 'END-07: the customer did not come');
select pg_temp.one_waits('four minutes', 'customer', 240);
select tests.advance(59.999);
select is(
  pg_temp.told_all('four minutes'),
  'cancelled cancelled_by_admin 0 0 f | cancelled cancelled_by_customer 0 0 f | '
  || 'cancelled cancelled_by_mechanic 0 0 f | cancelled nobody_joined 0 0 f', 'END-07: not yet a no-show'
);
select pg_temp.one_waits('gone', 'mechanic', 240);
select tests.advance(1000);
select is(
  pg_temp.told_all('gone'),
  'cancelled cancelled_by_admin 0 0 f | cancelled cancelled_by_customer 0 0 f | '
  || 'cancelled cancelled_by_mechanic 0 0 f | cancelled nobody_joined 0 0 f', 'END-07: who waited fell silent'
);
select pg_temp.one_waits('on the brink', 'customer', 240);
select tests.advance(70);
select is(
  pg_temp.compared('on the brink', 'on the brink'), 'cancelled mechanic_no_show 0 0 f',
  'END-07: the call itself is the sign of life that makes it five minutes'
);
select is(
  pg_temp.compared('system', 'on the brink'), 'cancelled nobody_joined 0 0 f', 'END-07: which nobody else can give'
);

-- live
select tests.live('live', 'mechanic live');
select is(pg_temp.told_all('live'), 'cancelled too_short 0 0 f', 'END-07: just started');
select tests.advance(59.999);
select is(pg_temp.told_all('live'), 'cancelled too_short 59 59 f', 'END-07: live for 59.999 s');
select tests.advance(0.001);
select is(pg_temp.told_all('live'), 'completed completed 60 60 f', 'END-07: live for 60 s');

-- live, and somebody silent whom nobody has missed yet
select tests.live('silent', 'mechanic silent', 'video15');
select tests.advance(70);
select tests.heartbeat('silent', 'silent');
select tests.advance(20);
select is(pg_temp.told_all('silent'), 'cancelled too_short 0 0 f', 'END-07: silent since the start, found by the end');
select tests.live('quiet', 'mechanic quiet', 'video15');
select tests.advance(70);
select tests.heartbeat('quiet', 'quiet');
select tests.heartbeat('mechanic quiet', 'quiet');
select tests.advance(80);
select is(pg_temp.told_all('quiet'), 'completed completed 150 150 f', 'END-07: quiet, but not for long enough');
select tests.heartbeat('quiet', 'quiet');
select tests.advance(10);
select is(pg_temp.told_all('quiet'), 'completed completed 70 70 f', 'END-07: for long enough');
select tests.advance(300);
select is(pg_temp.told_all('quiet'), 'completed completed 70 70 f', 'END-07: and beyond the grace');

-- reconnecting: within the grace, with another silence to be found, after the grace
select tests.live('apart', 'mechanic apart', 'video15');
select tests.advance(70);
select tests.heartbeat('apart', 'apart');
select tests.heartbeat('mechanic apart', 'apart');
select tests.advance(30);
select tests.leave('mechanic apart', 'apart');
select tests.advance(59);
select is(pg_temp.told_all('apart'), 'completed completed 100 100 f', 'END-07: reconnecting');
select tests.advance(1);
select is(
  pg_temp.told_all('apart'), 'completed completed 100 100 f', 'END-07: reconnecting, the other has fallen silent too'
);
select tests.advance(1000);
select is(pg_temp.told_all('apart'), 'completed completed 100 100 f', 'END-07: reconnecting, long after the grace');
select tests.live('back', 'mechanic back', 'video15');
select tests.advance(30);
select tests.leave('back', 'back');
select tests.advance(20);
select tests.join('back', 'back');
select tests.advance(20);
select is(pg_temp.told_all('back'), 'completed completed 70 70 f', 'END-07: after a gap that was resumed');

-- expired, written down or not
select tests.nobody_falls_silent();
select tests.live('expired', 'mechanic expired');
select tests.advance(1800);
select is(pg_temp.told_all('expired'), 'completed completed 1800 1800 f', 'END-07: at its expiry');
select tests.advance(86400);
select is(pg_temp.told_all('expired'), 'completed completed 1800 1800 f', 'END-07: a day after it');
select tests.finish_session('expired', 'expired');
select is(
  pg_temp.preview_by(who, 'expired'), tests.finish_session(who, 'expired'), format('END-07: after the end, to %s', who)
)
from unnest(array['expired', 'mechanic expired', 'admin', 'system']) as who;
select tests.live('imported', 'mechanic imported');
update public.sessions set metadata = '{"imported": true}', expires_at = null
where id = tests.session_of('imported');
select tests.advance(600);
select is(pg_temp.told_all('imported'), 'completed completed 600 600 f', 'END-07: imported, without an expiry');
select tests.advance(86400);
select is(
  pg_temp.told_all('imported'), 'completed completed 10800 10800 f', 'END-07: imported, longer than any may be'
);
select public.set_setting('presence_timeout_seconds', '90');

-- the other basis
select public.set_setting('billable_basis', '"both_present"');
create function pg_temp.with_a_gap(p_case text, p_seconds integer) returns void
language plpgsql
as $$
begin
  perform tests.live(p_case, 'mechanic ' || p_case, 'video15');
  perform tests.advance(20);
  perform tests.leave(p_case, p_case);
  perform tests.advance(20);
  perform tests.join(p_case, p_case);
  perform tests.heartbeat('mechanic ' || p_case, p_case);
  perform tests.advance(p_seconds - 40);
  perform tests.heartbeat(p_case, p_case);
  perform tests.heartbeat('mechanic ' || p_case, p_case);
end
$$;
select pg_temp.with_a_gap('shared', 80);
select is(pg_temp.told_all('shared'), 'completed completed 80 60 f', 'END-07: both_present: 60 shared seconds of 80');
select pg_temp.with_a_gap('barely', 79);
select is(pg_temp.told_all('barely'), 'cancelled too_short 79 59 f', 'END-07: both_present: 59 of 79');
select pg_temp.with_a_gap('shared and gone', 100);
select tests.leave('mechanic shared and gone', 'shared and gone');
select tests.advance(30);
select is(
  pg_temp.told_all('shared and gone'), 'completed completed 100 80 f', 'END-07: both_present, reconnecting'
);
select public.set_setting('billable_basis', '"elapsed"');

-- a start that only the events show
select tests.waiting('found', 'mechanic found');
insert into public.session_events (session_id, type, actor_id, actor_role, payload, version, occurred_at)
select
  tests.session_of('found'), 'joined', tests.id(p.word), p.role,
  jsonb_build_object('user_id', tests.id(p.word), 'role', p.role), 2, tests.now() + make_interval(secs => p.second)
from (values ('found', 'customer', 10), ('mechanic found', 'mechanic', 25)) as p (word, role, second);
update public.session_participants
set first_joined_at = tests.now(), last_seen_at = tests.now() + interval '100 s'
where session_id = tests.session_of('found');
select tests.advance(110);
select is(pg_temp.told_all('found'), 'completed completed 75 75 f', 'END-07: a start found in the events');

-- by the word of the video server only
select tests.waiting('ghost', 'mechanic ghost');
select tests.join('ghost', 'ghost');
select public.record_presence_event(
  tests.session_of('ghost'), 'mechanic-' || tests.id('mechanic ghost'), 'participant_joined', 'ghost 1', tests.now()
);
select tests.advance(80);
select tests.heartbeat('ghost', 'ghost');
select is(
  pg_temp.told_all('ghost'), 'cancelled too_short 0 0 f | completed completed 80 80 f',
  'END-07, PRE-04: somebody only the video server has seen, unless he asks himself'
);
select tests.heartbeat('mechanic ghost', 'ghost');
select is(pg_temp.told_all('ghost'), 'completed completed 80 80 f', 'END-07, PRE-04: who then calls himself');

-- given back and taken by another
select tests.waiting('returned', 'first of returned');
select tests.do_as('first of returned', $$ select public.release_assignment(tests.assignment_of('returned')) $$);
select is(pg_temp.told_all('returned'), 'cancelled cancelled_before_accept 0 0 f', 'END-07, QUE-05: given back');
select tests.mechanic('mechanic returned');
select tests.accept('mechanic returned', 'returned');
select tests.join('returned', 'returned');
select tests.join('mechanic returned', 'returned');
select tests.advance(65);
select is(pg_temp.told_all('returned'), 'completed completed 65 65 f', 'END-07, QUE-05: taken by another');

-- the shortest billable time and its source
select set_config('app.min_billable_seconds', '70', true);
select is(
  pg_temp.compared('system', 'returned'), 'cancelled too_short 65 65 f', 'END-07: by the connection''s own rule'
);
select set_config('app.min_billable_seconds', '', true);

select * from finish();

rollback;
