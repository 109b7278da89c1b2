-- The snapshot: all that a client needs to begin with, of one moment. It shows what every earlier file keeps of a
-- session, its extensions too.

create function private.session_snapshot(p_session_id uuid)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.claimed_user();
  v_session public.sessions := private.visible_session(p_session_id);
  v_now timestamptz := private.session_clock(v_session);
  v_snapshot jsonb;
begin
  if private.is_due(v_session, v_now) then
    v_session := private.lock_session(p_session_id);
    v_session := private.settle(v_session, private.session_clock(v_session));
  end if;
  perform private.touch(p_session_id, v_user, v_now);
  -- One statement, so that all of it is of one moment.
  select jsonb_build_object(
    'session', to_jsonb(s),
    'people', (
      select coalesce(jsonb_agg(to_jsonb(p) order by p.role), '[]') from private.session_people(s.id) p
    ),
    'participants', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'user_id', p.user_id, 'role', p.role, 'is_connected', p.is_connected,
        'first_joined_at', p.first_joined_at, 'last_seen_at', p.last_seen_at, 'left_at', p.left_at
      ) order by p.role), '[]')
      from public.session_participants p
      where p.session_id = s.id and p.closed_at is null
    ),
    'extensions', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'id', e.id, 'minutes', e.minutes, 'price_cents', e.price_cents, 'currency', e.currency, 'status', e.status,
        'applied_at', e.applied_at, 'created_at', e.created_at
      ) order by e.created_at, e.id), '[]')
      from public.session_extensions e
      where e.session_id = s.id
    ),
    'server_now', t.now,
    'remaining_seconds', case
      when s.status in ('live', 'reconnecting')
        then greatest(0, floor(extract(epoch from private.expiry(s) - t.now)))::integer
    end,
    'next_warning_at', s.next_warning_at,
    'absent_role', private.absent_role(s),
    'grace_ends_at', s.grace_ends_at,
    'can_join', coalesce(private.may_join(s, private.role_in(s, v_user), t.now), false),
    'join_from', case
      when s.status < 'completed'
        then s.scheduled_for - make_interval(mins => private.setting_integer('early_join_minutes'))
    end,
    'version', s.version
  )
  into v_snapshot
  from public.sessions s
  cross join lateral (select private.session_clock(s) as now) t
  where s.id = p_session_id;
  return v_snapshot;
end;
$$;
comment on function private.session_snapshot(uuid) is
  'Behind public.session_snapshot. Writes down first what is due. Locks: then the session; the caller''s presence.';
revoke all on function private.session_snapshot from public, anon, authenticated, service_role;
grant execute on function private.session_snapshot to authenticated, service_role;

create function public.session_snapshot(p_session_id uuid)
returns jsonb
language sql
volatile
set search_path = ''
as $$
  select private.session_snapshot(p_session_id)
$$;
comment on function public.session_snapshot(uuid) is
  'All a client needs to begin with: session, people, participants, extensions, server_now, remaining_seconds, '
  'next_warning_at, absent_role, grace_ends_at, can_join, join_from, version. Subscribe to session:<id>, read this, '
  'then apply state messages with a higher version. A sign of life of a connected participant. Participants, admins, '
  'the system. Errors: session_not_found, session_locked.';
revoke all on function public.session_snapshot from public, anon, authenticated, service_role;
grant execute on function public.session_snapshot to authenticated, service_role;
