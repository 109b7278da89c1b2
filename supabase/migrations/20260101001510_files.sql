-- Files: what two people show each other in a session, and keep as evidence. The bytes are in a private bucket, in a
-- folder named like the session; the rows say whose they are. Who may put, read and take away an object is decided by
-- the same functions for the storage server (policies) and for the calls here.

create table public.session_files (
  id uuid primary key default private.new_id(),
  session_id uuid not null references public.sessions (id),
  uploaded_by uuid not null references public.profiles (id),
  name text not null,
  type text not null,
  size bigint not null,
  storage_path text not null unique,
  created_at timestamptz not null default private.clock(),
  constraint name_is_bounded check (length(name) between 1 and 200),
  constraint type_is_bounded check (length(type) between 3 and 127),
  constraint size_is_positive check (size > 0),
  constraint path_begins_with_the_session check (storage_path like session_id || '/%')
);
comment on table public.session_files is
  'A file of a session; size in bytes, storage_path in the bucket session-files. Participants read them, admins all.';
create index session_files_session_id_idx on public.session_files (session_id, created_at desc);
create index session_files_uploaded_by_idx on public.session_files (uploaded_by);
alter table public.session_files enable row level security;
revoke all on table public.session_files from public, anon, authenticated, service_role;
grant select on table public.session_files to authenticated, service_role;
create policy "participants read the files of their sessions" on public.session_files
for select to authenticated
using (exists (select from public.sessions s where s.id = session_files.session_id));

-- Who may -------------------------------------------------------------------------------------------------------

create function private.session_of_path(p_path text)
returns uuid
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_uuid constant text := '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
  -- Begins with a letter or digit, so that it is neither . nor .. and nothing hidden; no space before a slash.
  v_part constant text := '/[A-Za-z0-9_]([A-Za-z0-9_.!''()&$@=;:+, -]*[A-Za-z0-9_.!''()&$@=;:+,-])?';
begin
  if length(p_path) <= 300 and p_path ~ ('^' || v_uuid || '(' || v_part || ')+$') and p_path !~ '[\n\r]' then
    return left(p_path, 36)::uuid;
  end if;
  return null;
end;
$$;
comment on function private.session_of_path(text) is
  'The session whose folder a path in the bucket is in: its id in lower case, then names of plain characters; else '
  'null.';
revoke all on function private.session_of_path from public, anon, authenticated, service_role;

create function private.may_add_file(p_session public.sessions, p_user_id uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
  v_role text := private.role_in(p_session, p_user_id);
  v_status public.session_status := private.effective_status(p_session);
begin
  return coalesce(
    (v_role is not null and v_status in ('accepted', 'waiting', 'live', 'reconnecting'))
    or (v_role = 'mechanic' and v_status = 'completed' and p_session.summary_submitted_at is null),
    false
  );
end;
$$;
comment on function private.may_add_file(public.sessions, uuid) is
  'Whether somebody may add files now: both from acceptance to the end, the mechanic also until the summary is in.';
revoke all on function private.may_add_file from public, anon, authenticated, service_role;

create function private.may_touch_object(p_path text, p_verb text)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.claimed_user();
  v_session public.sessions;
begin
  select s.* into v_session from public.sessions s where s.id = private.session_of_path(p_path);
  return coalesce(
    private.role_in(v_session, v_user) is not null
    and case p_verb
      when 'read' then true
      when 'add' then private.may_add_file(v_session, v_user)
      when 'remove' then private.effective_status(v_session) < 'completed' end,
    false
  );
end;
$$;
comment on function private.may_touch_object(text, text) is
  'Whether the signed-in user may read, add or remove an object at a path of the bucket session-files. For policies.';
revoke all on function private.may_touch_object from public, anon, authenticated, service_role;
grant execute on function private.may_touch_object to authenticated;

create function private.tell_of_file(p_file public.session_files, p_message text)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform private.broadcast('session:' || p_file.session_id, p_message, jsonb_build_object(
    'session_id', p_file.session_id, 'file_id', p_file.id, 'uploaded_by', p_file.uploaded_by,
    'created_at', p_file.created_at
  ));
end;
$$;
comment on function private.tell_of_file(public.session_files, text) is 'Tells a session''s topic of a file.';
revoke all on function private.tell_of_file from public, anon, authenticated, service_role;

create function private.forget_file()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_file public.session_files;
begin
  delete from public.session_files f where f.storage_path = old.name returning f.* into v_file;
  if v_file.id is not null then
    perform private.tell_of_file(v_file, 'file:removed');
  end if;
  return null;
end;
$$;
comment on function private.forget_file() is 'Trigger: an object that was removed at the storage server has no row.';
revoke all on function private.forget_file from public, anon, authenticated, service_role;

create function private.setup_storage()
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  if to_regclass('storage.objects') is null then
    raise notice 'There is no storage schema here: no files. Once there is, run private.setup_storage().';
    return false;
  end if;
  insert into storage.buckets (id, name, public, file_size_limit)
  values ('session-files', 'session-files', false, private.setting_integer('max_file_bytes'))
  on conflict (id) do update set public = false, file_size_limit = excluded.file_size_limit;
  drop policy if exists "participants read the folder of their session" on storage.objects;
  create policy "participants read the folder of their session" on storage.objects
  for select to authenticated
  using (bucket_id = 'session-files' and private.may_touch_object(name, 'read'));
  drop policy if exists "participants add to the folder of their session" on storage.objects;
  create policy "participants add to the folder of their session" on storage.objects
  for insert to authenticated
  with check (
    bucket_id = 'session-files'
    and coalesce(owner_id, owner::text, (select auth.uid())::text) = (select auth.uid())::text
    and private.may_touch_object(name, 'add')
  );
  drop policy if exists "people remove what they added before the end" on storage.objects;
  create policy "people remove what they added before the end" on storage.objects
  for delete to authenticated
  using (
    bucket_id = 'session-files'
    and coalesce(owner_id, owner::text) = (select auth.uid())::text
    and private.may_touch_object(name, 'remove')
  );
  create or replace trigger taximeter_forgets_removed_files
  after delete on storage.objects
  for each row when (old.bucket_id = 'session-files')
  execute function private.forget_file();
  return true;
end;
$$;
comment on function private.setup_storage() is
  'Makes the bucket session-files and its policies, or says that there is no storage here. Operators; idempotent.';
revoke all on function private.setup_storage from public, anon, authenticated, service_role;

select private.setup_storage();

create function private.limit_bucket()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if to_regclass('storage.buckets') is not null then
    update storage.buckets b set file_size_limit = (new.value #>> '{}')::bigint where b.id = 'session-files';
  end if;
  return null;
end;
$$;
comment on function private.limit_bucket() is 'Trigger: the largest file of the settings is also the bucket''s limit.';
revoke all on function private.limit_bucket from public, anon, authenticated, service_role;

create trigger max_file_bytes_limits_the_bucket
after update of value on private.settings
for each row when (new.key = 'max_file_bytes')
execute function private.limit_bucket();

-- The calls -----------------------------------------------------------------------------------------------------

create function private.register_session_file(
  p_session_id uuid, p_storage_path text, p_name text, p_type text, p_size bigint
)
returns public.session_files
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.require_user();
  v_session public.sessions := private.lock_own_session(p_session_id, v_user);
  v_now timestamptz := private.session_clock(v_session);
  v_file public.session_files;
  v_stored_size bigint;
begin
  v_session := private.settle(v_session, v_now);
  select f.* into v_file
  from public.session_files f
  where f.storage_path = p_storage_path and f.session_id = p_session_id and f.uploaded_by = v_user;
  if v_file.id is not null then
    return v_file;
  end if;
  if not private.may_add_file(v_session, v_user) then
    if v_session.status >= 'completed' then
      perform private.fail('session_ended');
    end if;
    perform private.fail('session_not_active');
  end if;
  perform private.touch(p_session_id, v_user, v_now);
  if private.session_of_path(p_storage_path) is distinct from p_session_id then
    perform private.fail('invalid_argument', 'p_storage_path is not in the folder of this session.');
  end if;
  if p_name is null or length(p_name) not between 1 and 200 or p_name ~ '[[:cntrl:]/\\]' then
    perform private.fail('invalid_argument', 'p_name must be a file name of 1 to 200 characters.');
  end if;
  if p_type is null or length(p_type) > 127 or p_type !~ '^[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*$'
      -- What a browser would run with the rights of whoever opens it.
      or p_type ~ '(html|[/+]xml|script)' then
    perform private.fail('unsupported_file_type');
  end if;
  if p_size is null or p_size < 1 then
    perform private.fail('invalid_argument', 'p_size must be the number of bytes, at least 1.');
  end if;
  if p_size > private.setting_integer('max_file_bytes') then
    perform private.fail('file_too_large');
  end if;
  if to_regclass('storage.objects') is null then
    perform private.fail('file_not_found', 'There is no storage here.');
  end if;
  select (o.metadata ->> 'size')::bigint into v_stored_size
  from storage.objects o
  where o.bucket_id = 'session-files' and o.name = p_storage_path and coalesce(o.owner_id, o.owner::text) = v_user::text
  -- An object that is being removed is gone; one that is not stays until there is a row for forget_file to find.
  for key share skip locked;
  if not found then
    perform private.fail('file_not_found', 'Nothing of the caller''s is stored at p_storage_path.', 'Upload it first.');
  end if;
  if v_stored_size <> p_size then
    perform private.fail('invalid_argument', format('p_size is not the size of what is stored: %s.', v_stored_size));
  end if;
  insert into public.session_files as f (session_id, uploaded_by, name, type, size, storage_path, created_at)
  values (p_session_id, v_user, p_name, p_type, p_size, p_storage_path, v_now)
  returning f.* into v_file;
  perform private.tell_of_file(v_file, 'file:added');
  return v_file;
end;
$$;
comment on function private.register_session_file(uuid, text, text, text, bigint) is
  'Behind public.register_session_file. Locks: session, participants, the object.';
revoke all on function private.register_session_file from public, anon, authenticated, service_role;
grant execute on function private.register_session_file to authenticated;

create function public.register_session_file(
  p_session_id uuid, p_storage_path text, p_name text, p_type text, p_size bigint
)
returns public.session_files
language sql
volatile
set search_path = ''
as $$
  select private.register_session_file(p_session_id, p_storage_path, p_name, p_type, p_size)
$$;
comment on function public.register_session_file(uuid, text, text, text, bigint) is
  'Makes an uploaded object (bucket session-files, path <session>/<name>) a file of the session; p_size in bytes. The '
  'same path again returns the row. Both from acceptance to the end, the mechanic also until the summary is in. '
  'Errors: session_not_found, session_not_active, session_ended, invalid_argument, file_not_found, file_too_large, '
  'unsupported_file_type, session_locked.';
revoke all on function public.register_session_file from public, anon, authenticated, service_role;
grant execute on function public.register_session_file to authenticated;

create function private.list_session_files(p_session_id uuid)
returns setof public.session_files
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.visible_session(p_session_id);
  return query
  select f.* from public.session_files f where f.session_id = p_session_id order by f.created_at desc, f.id;
end;
$$;
comment on function private.list_session_files(uuid) is 'Behind public.list_session_files.';
revoke all on function private.list_session_files from public, anon, authenticated, service_role;
grant execute on function private.list_session_files to authenticated, service_role;

create function public.list_session_files(p_session_id uuid)
returns setof public.session_files
language sql
stable
set search_path = ''
as $$
  select * from private.list_session_files(p_session_id)
$$;
comment on function public.list_session_files(uuid) is
  'The files of a session, newest first, also after its end. Participants, admins, the system. '
  'Errors: session_not_found.';
revoke all on function public.list_session_files from public, anon, authenticated, service_role;
grant execute on function public.list_session_files to authenticated, service_role;

create function private.remove_object(p_key text, p_path text, p_session_id uuid)
returns boolean
language sql
volatile
set search_path = ''
as $$
  select private.enqueue(
    'storage.remove', 'storage:' || p_key, jsonb_build_object('bucket', 'session-files', 'path', p_path), p_session_id
  )
$$;
comment on function private.remove_object(text, text, uuid) is
  'Has an object removed by the storage server, once per key: SQL cannot delete stored bytes. Locks: outbox.';
revoke all on function private.remove_object from public, anon, authenticated, service_role;

create function private.remove_session_file(p_file_id uuid)
returns public.session_files
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.require_user();
  v_file public.session_files;
  v_session public.sessions;
begin
  select f.* into v_file
  from public.session_files f
  join public.sessions s on s.id = f.session_id
  where f.id = p_file_id and v_user in (s.customer_user_id, s.mechanic_id);
  if v_file.id is null then
    perform private.fail('file_not_found');
  end if;
  if v_file.uploaded_by <> v_user then
    perform private.fail('role_required', 'Only who added a file can remove it.');
  end if;
  v_session := private.lock_own_session(v_file.session_id, v_user);
  v_session := private.settle(v_session, private.session_clock(v_session));
  if v_session.status >= 'completed' then
    perform private.fail('session_ended', 'After the end the files of a session are evidence.');
  end if;
  delete from public.session_files f where f.id = p_file_id;
  if not found then
    perform private.fail('file_not_found');
  end if;
  perform private.remove_object(v_file.id::text, v_file.storage_path, v_file.session_id);
  perform private.tell_of_file(v_file, 'file:removed');
  return v_file;
end;
$$;
comment on function private.remove_session_file(uuid) is 'Behind public.remove_session_file. Locks: session, file.';
revoke all on function private.remove_session_file from public, anon, authenticated, service_role;
grant execute on function private.remove_session_file to authenticated;

create function public.remove_session_file(p_file_id uuid)
returns public.session_files
language sql
volatile
set search_path = ''
as $$
  select private.remove_session_file(p_file_id)
$$;
comment on function public.remove_session_file(uuid) is
  'Takes a file away and returns the row as it was; its bytes go soon after. Who added it, before the end. '
  'Errors: file_not_found, role_required, session_ended, session_locked.';
revoke all on function public.remove_session_file from public, anon, authenticated, service_role;
grant execute on function public.remove_session_file to authenticated;

create function private.sweep_files(p_limit integer)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_swept integer := 0;
begin
  -- While files of the older system are set aside in legacy, some of their objects have no row here yet.
  if to_regclass('storage.objects') is not null and to_regclass('legacy.session_files') is null then
    select count(*) into v_swept
    from (
      select private.remove_object('swept:' || o.id, o.name, null) as is_new
      from storage.objects o
      where o.bucket_id = 'session-files'
        and o.created_at < private.clock() - interval '1 day'
        and not exists (select from public.session_files f where f.storage_path = o.name)
        and not exists (select from private.outbox x where x.key = 'storage:swept:' || o.id)
      limit p_limit
    ) s
    where s.is_new;
  end if;
  return v_swept;
end;
$$;
comment on function private.sweep_files(integer) is
  'Has objects removed that nobody registered within a day, and says how many; none while there is a '
  'legacy.session_files. Locks: outbox.';
revoke all on function private.sweep_files from public, anon, authenticated, service_role;
