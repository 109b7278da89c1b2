-- Summaries: what the mechanic found, once per completed session, for the customer to keep.

create index sessions_awaiting_summary_idx on public.sessions (mechanic_id, ended_at desc)
where status = 'completed' and summary_submitted_at is null;

create function private.summary_text(p_name text, p_text text, p_is_required boolean)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  v_text text := nullif(btrim(p_text, E' \t\n\r'), '');
begin
  if length(v_text) > 4000 or (p_is_required and v_text is null) then
    perform private.fail('invalid_argument', format(
      '%s must have %s to 4000 characters.', p_name, case when p_is_required then 1 else 0 end
    ));
  end if;
  return v_text;
end;
$$;
comment on function private.summary_text(text, text, boolean) is 'A part of a summary, trimmed and bounded.';
revoke all on function private.summary_text from public, anon, authenticated, service_role;

create function private.summary_email(p_summary jsonb, p_session_id uuid)
returns text
language sql
stable
set search_path = ''
as $$
  select '<h1>Your diagnostic session summary</h1>' || string_agg(
    format('<h2>%s</h2><p>%s</p>', s.heading, replace(private.html(p_summary ->> s.key), E'\n', '<br>')), ''
    order by s.position
  ) || format(
    '<p><a href="%s/sessions/%s">Open the session</a></p>', private.html(private.setting_text('site_url')), p_session_id
  )
  from (
    values (1, 'findings', 'What was found'), (2, 'steps', 'What was done'), (3, 'next_steps', 'What comes next'),
      (4, 'parts_list', 'Parts')
  ) as s (position, key, heading)
  where p_summary ->> s.key is not null
$$;
comment on function private.summary_email(jsonb, uuid) is 'A summary as an e-mail in HTML, every value escaped.';
revoke all on function private.summary_email from public, anon, authenticated, service_role;

create function private.submit_session_summary(
  p_session_id uuid, p_findings text, p_steps text, p_next_steps text, p_parts_list text, p_file_ids uuid[]
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.require_user();
  v_session public.sessions := private.lock_own_session(p_session_id, v_user);
  v_now timestamptz := private.session_clock(v_session);
  v_summary jsonb;
begin
  if private.role_in(v_session, v_user) <> 'mechanic' then
    perform private.fail('role_required', 'Only the mechanic of a session writes its summary.');
  end if;
  v_session := private.settle(v_session, v_now);
  if v_session.summary_submitted_at is not null then
    perform private.fail('summary_already_submitted');
  end if;
  if v_session.status <> 'completed' then
    perform private.fail('session_not_completed');
  end if;
  v_summary := jsonb_build_object(
    'findings', private.summary_text('p_findings', p_findings, true),
    'steps', private.summary_text('p_steps', p_steps, true),
    'next_steps', private.summary_text('p_next_steps', p_next_steps, true),
    'parts_list', private.summary_text('p_parts_list', p_parts_list, false),
    'file_ids', to_jsonb(private.files_of(p_session_id, p_file_ids)),
    'submitted_by', v_user,
    'submitted_at', v_now
  );
  v_session.metadata := v_session.metadata || jsonb_build_object('summary', v_summary);
  v_session.summary_submitted_at := v_now;
  perform private.move_session(v_session, v_session.status, 'summary_submitted', v_now, v_user, '{}');
  perform private.notify(v_session.customer_user_id, 'summary_ready', p_session_id::text, p_session_id);
  perform private.send_email(
    v_session.customer_user_id, 'summary:' || p_session_id, 'Your diagnostic session summary',
    private.summary_email(v_summary, p_session_id), p_session_id
  );
  return v_summary;
end;
$$;
comment on function private.submit_session_summary(uuid, text, text, text, text, uuid[]) is
  'Behind public.submit_session_summary. Locks: session, outbox.';
revoke all on function private.submit_session_summary from public, anon, authenticated, service_role;
grant execute on function private.submit_session_summary to authenticated;

create function public.submit_session_summary(
  p_session_id uuid, p_findings text, p_steps text, p_next_steps text, p_parts_list text default null,
  p_file_ids uuid[] default '{}'
)
returns jsonb
language sql
volatile
set search_path = ''
as $$
  select private.submit_session_summary(p_session_id, p_findings, p_steps, p_next_steps, p_parts_list, p_file_ids)
$$;
comment on function public.submit_session_summary(uuid, text, text, text, text, uuid[]) is
  'Writes the summary of a completed session, once (each part at most 4000 characters), tells the customer by '
  'notification and e-mail, and returns it: findings, steps, next_steps, parts_list, file_ids, submitted_by, '
  'submitted_at. Its mechanic. Errors: session_not_found, role_required, session_not_completed, '
  'summary_already_submitted, invalid_argument, session_locked.';
revoke all on function public.submit_session_summary from public, anon, authenticated, service_role;
grant execute on function public.submit_session_summary to authenticated;

create function private.get_session_summary(p_session_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return (private.visible_session(p_session_id)).metadata -> 'summary';
end;
$$;
comment on function private.get_session_summary(uuid) is 'Behind public.get_session_summary.';
revoke all on function private.get_session_summary from public, anon, authenticated, service_role;
grant execute on function private.get_session_summary to authenticated, service_role;

create function public.get_session_summary(p_session_id uuid)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select private.get_session_summary(p_session_id)
$$;
comment on function public.get_session_summary(uuid) is
  'The summary of a session (as submit_session_summary returns it), or null while there is none. Participants, '
  'admins, the system. Errors: session_not_found.';
revoke all on function public.get_session_summary from public, anon, authenticated, service_role;
grant execute on function public.get_session_summary to authenticated, service_role;

create type public.awaited_summary as (
  session_id uuid,
  plan text,
  type text,
  customer_display_name text,
  started_at timestamptz,
  ended_at timestamptz,
  duration_seconds integer
);
comment on type public.awaited_summary is 'A completed session whose mechanic has not written the summary yet.';

create function private.sessions_awaiting_summary()
returns setof public.awaited_summary
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_profile public.profiles := private.require_profile();
begin
  if not exists (select from public.mechanics m where m.id = v_profile.id) then
    perform private.fail('role_required', 'The caller is not a mechanic.');
  end if;
  return query
  select s.id, s.plan, s.type, p.display_name, s.started_at, s.ended_at, s.duration_seconds
  from public.sessions s
  join public.profiles p on p.id = s.customer_user_id
  where s.mechanic_id = v_profile.id and s.status = 'completed' and s.summary_submitted_at is null
  order by s.ended_at desc, s.id
  limit 100;
end;
$$;
comment on function private.sessions_awaiting_summary() is 'Behind public.sessions_awaiting_summary.';
revoke all on function private.sessions_awaiting_summary from public, anon, authenticated, service_role;
grant execute on function private.sessions_awaiting_summary to authenticated;

create function public.sessions_awaiting_summary()
returns setof public.awaited_summary
language sql
stable
set search_path = ''
as $$
  select * from private.sessions_awaiting_summary()
$$;
comment on function public.sessions_awaiting_summary() is
  'The caller''s completed sessions without a summary, the newest 100. Mechanics, suspended ones too. '
  'Errors: role_required.';
revoke all on function public.sessions_awaiting_summary from public, anon, authenticated, service_role;
grant execute on function public.sessions_awaiting_summary to authenticated;
