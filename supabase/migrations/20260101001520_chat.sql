-- Chat: what the two people of a session write to each other. A message is stored once per client id, told on the
-- session's topic without its text, and read through RLS; it stays, as evidence.

create table public.session_messages (
  id uuid primary key default private.new_id(),
  session_id uuid not null references public.sessions (id),
  sender_id uuid not null references public.profiles (id),
  content text not null,
  file_ids uuid[] not null default '{}',
  client_id uuid,
  created_at timestamptz not null default private.clock(),
  constraint content_is_bounded check (length(content) between 1 and 4000),
  constraint one_message_per_client_id unique (session_id, sender_id, client_id)
);
comment on table public.session_messages is
  'What was written in a session, of files that belong to it. Participants read it, admins all.';
create index session_messages_session_id_idx on public.session_messages (session_id, created_at desc);
create index session_messages_sender_id_idx on public.session_messages (sender_id);
alter table public.session_messages enable row level security;
revoke all on table public.session_messages from public, anon, authenticated, service_role;
grant select on table public.session_messages to authenticated, service_role;
create policy "participants read the messages of their sessions" on public.session_messages
for select to authenticated
using (exists (select from public.sessions s where s.id = session_messages.session_id));

create trigger session_messages_are_append_only
before update or delete or truncate on public.session_messages
for each statement execute function private.refuse_change();

create function private.files_of(p_session_id uuid, p_file_ids uuid[])
returns uuid[]
language plpgsql
stable
set search_path = ''
as $$
begin
  if cardinality(p_file_ids) > 20 or exists (
    select
    from unnest(p_file_ids) as i (id)
    where not exists (select from public.session_files f where f.id = i.id and f.session_id = p_session_id)
  ) then
    perform private.fail('invalid_argument', 'p_file_ids must be at most 20 files of this session.');
  end if;
  return coalesce(p_file_ids, '{}');
end;
$$;
comment on function private.files_of(uuid, uuid[]) is 'The list itself, if all are files of the session.';
revoke all on function private.files_of from public, anon, authenticated, service_role;

create function private.send_session_message(p_session_id uuid, p_content text, p_file_ids uuid[], p_client_id uuid)
returns public.session_messages
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.require_user();
  v_session public.sessions := private.lock_own_session(p_session_id, v_user);
  v_now timestamptz := private.session_clock(v_session);
  v_content text := btrim(coalesce(p_content, ''), E' \t\n\r');
  v_files uuid[];
  v_message public.session_messages;
begin
  select m.* into v_message
  from public.session_messages m
  where m.session_id = p_session_id and m.sender_id = v_user and m.client_id = p_client_id;
  if v_message.id is not null then
    return v_message;
  end if;
  v_session := private.settle(v_session, v_now);
  if v_session.status >= 'completed' then
    perform private.fail('session_ended');
  end if;
  if v_session.status not in ('accepted', 'waiting', 'live', 'reconnecting') then
    perform private.fail('session_not_active', 'Nobody has accepted this session yet.');
  end if;
  perform private.touch(p_session_id, v_user, v_now);
  v_files := private.files_of(p_session_id, p_file_ids);
  if length(v_content) > 4000 then
    perform private.fail('invalid_argument', 'p_content must have at most 4000 characters.');
  end if;
  if v_content = '' and cardinality(v_files) = 0 then
    perform private.fail('invalid_argument', 'p_content must not be empty without files.');
  end if;
  insert into public.session_messages as m (session_id, sender_id, content, file_ids, client_id, created_at)
  values (p_session_id, v_user, coalesce(nullif(v_content, ''), 'Attachment'), v_files, p_client_id, v_now)
  returning m.* into v_message;
  perform private.broadcast('session:' || p_session_id, 'message:new', jsonb_build_object(
    'session_id', p_session_id, 'message_id', v_message.id, 'sender_id', v_user, 'created_at', v_message.created_at
  ));
  return v_message;
end;
$$;
comment on function private.send_session_message(uuid, text, uuid[], uuid) is
  'Behind public.send_session_message. Locks: session, participants.';
revoke all on function private.send_session_message from public, anon, authenticated, service_role;
grant execute on function private.send_session_message to authenticated;

create function public.send_session_message(
  p_session_id uuid, p_content text, p_file_ids uuid[] default '{}', p_client_id uuid default null
)
returns public.session_messages
language sql
volatile
set search_path = ''
as $$
  select private.send_session_message(p_session_id, p_content, p_file_ids, p_client_id)
$$;
comment on function public.send_session_message(uuid, text, uuid[], uuid) is
  'Writes a message of at most 4000 characters, with files of the session; the same p_client_id again returns the '
  'first. A sign of life. Participants from acceptance to the end. Errors: session_not_found, session_not_active, '
  'session_ended, invalid_argument, session_locked.';
revoke all on function public.send_session_message from public, anon, authenticated, service_role;
grant execute on function public.send_session_message to authenticated;
