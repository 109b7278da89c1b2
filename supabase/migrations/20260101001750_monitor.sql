-- The monitor: every five minutes it sees what waits too long, closes what is too long, and tells support of what has
-- gone wrong since, and of what is well again.

create table private.alert_states (
  kind text not null,
  subject text not null,
  session_id uuid,
  since timestamptz not null,
  first_told_at timestamptz not null default private.clock(),
  told_at timestamptz not null default private.clock(),
  primary key (kind, subject)
);
comment on table private.alert_states is
  'The critical alerts of the last run of the monitor, so that each is told once; one that comes again, again.';
alter table private.alert_states enable row level security;
revoke all on table private.alert_states from public, anon, authenticated, service_role;
create policy "nobody reads states of alerts directly" on private.alert_states using (false);

create function private.announce_alerts()
returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_now timestamptz;
  v_item public.review_item;
  v_state private.alert_states;
  v_told integer := 0;
begin
  -- Of two monitors at once one tells; the other would take what it did not see yet for well.
  if not pg_try_advisory_xact_lock(hashtextextended('taximeter announce_alerts', 0)) then
    return 0;
  end if;
  v_now := private.clock();
  for v_item in
    select r.* from private.needing_review(private.recent()) r where r.severity = 'critical'
  loop
    insert into private.alert_states (kind, subject, session_id, since, first_told_at, told_at)
    values (v_item.kind, v_item.subject, v_item.session_id, v_item.since, v_now, v_now)
    on conflict (kind, subject) do update set told_at = greatest(alert_states.told_at, v_now)
    returning * into v_state;
    -- Payments, reviews and dead effects told support themselves when they happened.
    if v_item.kind not in ('payment', 'session_review', 'dead_outbox') and private.alert_support(
      format('%s:%s', v_item.kind, md5(concat_ws(' ', v_item.subject, v_state.first_told_at))), 'critical',
      'Needs a person: ' || replace(v_item.kind, '_', ' '), jsonb_build_object(
        'session_id', v_item.session_id, 'subject', v_item.subject, 'since', v_state.since, 'detail', v_item.detail,
        'command', v_item.command
      )
    ) then
      v_told := v_told + 1;
    end if;
  end loop;
  for v_state in delete from private.alert_states a where a.told_at < v_now returning a.* loop
    perform private.alert_support(
      format('cleared:%s:%s', v_state.kind, md5(concat_ws(' ', v_state.subject, v_state.first_told_at))), 'info',
      'Well again: ' || replace(v_state.kind, '_', ' '),
      jsonb_build_object('session_id', v_state.session_id, 'subject', v_state.subject, 'since', v_state.since)
    );
  end loop;
  return v_told;
end;
$$;
comment on function private.announce_alerts() is
  'Tells support of critical alerts, once each, and once more when one is over; says how many were new. '
  'Locks: states of alerts, outbox.';
revoke all on function private.announce_alerts from public, anon, authenticated, service_role;

create function private.monitor_sessions()
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_limit constant integer := 1000;
  v_started timestamptz := private.clock();
  v_unattended_after integer;
  v_closed integer := 0;
  v_unattended integer := 0;
  v_id uuid;
  v_result jsonb;
begin
  perform private.require_system();
  -- First, while no session is locked.
  perform private.audit_when_due(v_started);
  for v_id in
    select s.id
    from private.due_sessions(v_started, v_limit, true) d
    join public.sessions s on s.id = d.session_id
    where private.was_cut_off(s, v_started)
    order by d.due_since
  loop
    v_closed := v_closed + (private.work_on(v_id, 'sweep')).ended;
  end loop;
  v_unattended_after := private.setting_integer('unattended_after_minutes');
  if v_unattended_after is not null then
    v_unattended := private.end_waiting_sessions('unattended', v_unattended_after, v_limit);
  end if;
  v_result := jsonb_build_object('auto_closed', v_closed, 'unattended', v_unattended)
    || private.attend_all(v_started, v_limit);
  perform private.announce_alerts();
  perform private.note_run('monitor-sessions', v_started, v_result, null);
  return v_result;
end;
$$;
comment on function private.monitor_sessions() is
  'Behind public.monitor_sessions. Locks: the audit, one session after the other, skipping locked ones; outbox.';
revoke all on function private.monitor_sessions from public, anon, authenticated, service_role;
grant execute on function private.monitor_sessions to service_role;

create function public.monitor_sessions()
returns jsonb
language sql
volatile
set search_path = ''
as $$
  select private.monitor_sessions()
$$;
comment on function public.monitor_sessions() is
  'Nudges mechanics who are waited for, alerts support when two are there and the meter does not run, closes what is '
  'longer than any session may be and, where unattended_after_minutes is set, what nobody takes; each is said once. '
  'Returns nudged_mechanics, alerted_support, auto_closed, unattended (counts). The system.';
revoke all on function public.monitor_sessions from public, anon, authenticated, service_role;
grant execute on function public.monitor_sessions to service_role;
