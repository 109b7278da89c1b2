-- Service levels: nobody waits unnoticed. A mechanic who accepted and does not come is nudged,
-- two people who are both there while the meter does not run are a case for support, what is longer than any session
-- may be is closed. Each is said once, however many monitors run, and after any standstill.

create function private.needs_nudge(p_session public.sessions, p_now timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return p_session.status in ('accepted', 'waiting')
    and greatest(p_session.accepted_at, p_session.scheduled_for)
      <= p_now - make_interval(secs => private.setting_integer('nudge_mechanic_after_seconds'))
    and not exists (
      select
      from public.session_participants p
      where p.session_id = p_session.id and p.user_id = p_session.mechanic_id and p.is_connected
        and not private.is_silent(p, p_now, private.presence_timeout())
    )
    and exists (select from public.profiles p where p.id = p_session.mechanic_id and p.deleted_at is null)
    and not exists (
      select
      from public.notifications n
      where n.user_id = p_session.mechanic_id and n.kind = 'nudge_join' and n.about = p_session.id::text
    );
end;
$$;
comment on function private.needs_nudge(public.sessions, timestamptz) is
  'Whether the mechanic accepted long enough ago (nudge_mechanic_after_seconds; a booked one: since its time), is not '
  'there, and was not nudged yet.';
revoke all on function private.needs_nudge from public, anon, authenticated, service_role;

create function private.are_both_connected(p_session_id uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return 2 = (
    select count(*)
    from public.session_participants p
    where p.session_id = p_session_id and p.closed_at is null and p.is_connected
  );
end;
$$;
comment on function private.are_both_connected(uuid) is 'Whether both people of a session are there.';
revoke all on function private.are_both_connected from public, anon, authenticated, service_role;

create function private.stuck_since(p_session public.sessions)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
begin
  if p_session.status = 'live' or p_session.status >= 'completed' or not private.are_both_connected(p_session.id) then
    return null;
  end if;
  return (
    select max(e.occurred_at)
    from public.session_events e
    -- That support was told does not make it well.
    where e.session_id = p_session.id and e.type <> 'support_alerted'
  );
end;
$$;
comment on function private.stuck_since(public.sessions) is
  'Since when both have been there while the meter does not run; null when that is not so.';
revoke all on function private.stuck_since from public, anon, authenticated, service_role;

create function private.needs_support(p_session public.sessions, p_now timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return coalesce(
      private.stuck_since(p_session)
        <= p_now - make_interval(secs => private.setting_integer('alert_support_after_seconds')),
      false
    )
    and not exists (select from private.outbox o where o.key = 'alert:not_live:' || p_session.id);
end;
$$;
comment on function private.needs_support(public.sessions, timestamptz) is
  'Whether both have been there for long enough (alert_support_after_seconds) and the session is not live, and support '
  'was not told yet.';
revoke all on function private.needs_support from public, anon, authenticated, service_role;

create function private.nudge_email(p_session_id uuid)
returns text
language sql
stable
set search_path = ''
as $$
  select format(
    '<p>You accepted a session that has not started. Please join it.</p><p><a href="%s/sessions/%s">Join now</a></p>',
    private.html(private.setting_text('site_url')), p_session_id
  )
$$;
comment on function private.nudge_email(uuid) is 'The e-mail to a mechanic who is waited for, in HTML.';
revoke all on function private.nudge_email from public, anon, authenticated, service_role;

create function private.attend(p_session_id uuid)
returns text
language plpgsql
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  v_session public.sessions;
  v_now timestamptz;
begin
  select s.* into v_session from public.sessions s where s.id = p_session_id for no key update skip locked;
  if v_session.id is null then
    return null;
  end if;
  v_now := private.session_clock(v_session);
  v_session := private.settle(v_session, v_now);
  delete from private.session_failures f where f.session_id = p_session_id and f.work = 'monitor';
  if private.needs_nudge(v_session, v_now) then
    perform private.notify(v_session.mechanic_id, 'nudge_join', p_session_id::text, p_session_id);
    perform private.send_email(
      v_session.mechanic_id, format('nudge:%s:%s', p_session_id, v_session.mechanic_id), 'Your customer is waiting',
      private.nudge_email(p_session_id), p_session_id
    );
    perform private.enqueue(
      'push', format('nudge:%s:%s', p_session_id, v_session.mechanic_id), jsonb_build_object(
        'user_id', v_session.mechanic_id, 'kind', 'nudge_join', 'session_id', p_session_id
      ), p_session_id
    );
    perform private.move_session(
      v_session, v_session.status, 'nudged', v_now, null, jsonb_build_object('mechanic_id', v_session.mechanic_id)
    );
    perform private.log_op('nudge.mechanic', p_session_id, jsonb_build_object('mechanic_id', v_session.mechanic_id));
    return 'nudged';
  elsif private.needs_support(v_session, v_now) then
    perform private.alert_support('not_live:' || p_session_id, 'critical', 'Both are there, and the meter does not run',
      jsonb_build_object('session_id', p_session_id, 'status', v_session.status, 'since', v_session.last_event_at)
    );
    perform private.move_session(
      v_session, v_session.status, 'support_alerted', v_now, null, jsonb_build_object('since', v_session.last_event_at)
    );
    perform private.log_op('alert.support', p_session_id, jsonb_build_object('since', v_session.last_event_at));
    return 'alerted';
  end if;
  return null;
exception
  when lock_not_available or deadlock_detected then
    return null;
  when others then
    perform private.note_failure(p_session_id, 'monitor', sqlerrm, sqlstate);
    return null;
end;
$$;
comment on function private.attend(uuid) is
  'Nudges the mechanic or alerts support for one session, if it is still needed, and says which: an event, a row of '
  'the operations log, the messages. One that somebody holds is skipped. Locks: session, participants, outbox.';
revoke all on function private.attend from public, anon, authenticated, service_role;

create function private.attend_all(p_now timestamptz, p_limit integer)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_nudged integer := 0;
  v_alerted integer := 0;
  v_did text;
  v_id uuid;
begin
  for v_id in
    select s.id
    from public.sessions s
    where (s.status < 'live' or s.status = 'reconnecting')
      and (private.needs_nudge(s, p_now) or private.needs_support(s, p_now))
      and not exists (select from private.session_failures f where f.session_id = s.id and f.retry_at > p_now)
    order by s.last_event_at
    limit p_limit
  loop
    v_did := private.attend(v_id);
    v_nudged := v_nudged + (v_did is not distinct from 'nudged')::integer;
    v_alerted := v_alerted + (v_did is not distinct from 'alerted')::integer;
  end loop;
  return jsonb_build_object('nudged_mechanics', v_nudged, 'alerted_support', v_alerted);
end;
$$;
comment on function private.attend_all(timestamptz, integer) is
  'Attends to at most p_limit sessions, the longest without an event first, and counts. Locks: one session after the '
  'other, skipping locked ones.';
revoke all on function private.attend_all from public, anon, authenticated, service_role;
