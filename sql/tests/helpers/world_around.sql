-- What happens around a session: sessions in every state, files, and the storage server as it tries what a person may
-- do. After world.sql, whose schema it fills.
begin;

select plan(1);

-- New people and their session, in a status or in a state that nobody has written down yet. Needs
-- tests.nobody_falls_silent().
create function tests.session_in(p_state text, p_customer text, p_mechanic text) returns uuid
language plpgsql
as $$
begin
  if p_state in ('scheduled', 'accepted') then
    perform tests.person(p_customer);
    perform tests.mechanic(p_mechanic);
    perform tests.book(p_customer, '2 h');
  elsif p_state in ('pending', 'given back', 'unattended') then
    perform tests.person(p_customer);
    perform tests.mechanic(p_mechanic);
    perform tests.queue(p_customer);
  elsif p_state in ('waiting', 'expired') then
    perform tests.waiting(p_customer, p_mechanic);
  else
    perform tests.live(p_customer, p_mechanic);
  end if;
  if p_state in ('accepted', 'given back') then
    perform tests.accept(p_mechanic, p_customer);
  end if;
  if p_state = 'given back' then
    perform tests.do_as(
      p_mechanic, format('select public.release_assignment(p_assignment_id => %L)', tests.assignment_of(p_customer))
    );
  elsif p_state in ('reconnecting', 'lapsed') then
    perform tests.leave(p_customer, p_customer);
    perform tests.advance(case p_state when 'lapsed' then 901 else 10 end);
  elsif p_state = 'over' then
    perform tests.advance(1801);
  elsif p_state in ('completed', 'summed up', 'refunded', 'archived') then
    perform tests.advance(70);
    perform tests.finish_session('system', p_customer);
  elsif p_state = 'cancelled' then
    perform tests.finish_session('system', p_customer);
  end if;
  if p_state = 'summed up' then
    perform tests.sum_up(p_mechanic, p_customer);
  elsif p_state in ('expired', 'unattended', 'refunded', 'archived') then
    update public.sessions set status = p_state::public.session_status where id = tests.session_of(p_customer);
  end if;
  return tests.session_of(p_customer);
end
$$;

create function tests.sum_up(p_mechanic text, p_customer text) returns void
language sql
as $$
  select tests.do_as(p_mechanic, format(
    'select public.submit_session_summary(%L, %L, %L, %L)', tests.session_of(p_customer), 'worn', 'looked', 'replace'
  ))
$$;

-- An object in the bucket, with what the storage server knows of it.
create function tests.store(p_path text, p_owner text, p_bytes integer default 100) returns uuid
language sql
as $$
  insert into storage.objects (bucket_id, name, owner, owner_id, version, metadata, created_at)
  values (
    'session-files', p_path, tests.id(p_owner), tests.id(p_owner)::text, gen_random_uuid()::text,
    jsonb_build_object('size', p_bytes, 'mimetype', 'image/png'), private.clock()
  )
  returning id
$$;

-- A file of the customer's newest session: uploaded and registered. Returns its id.
create function tests.file(p_word text, p_customer text, p_name text default 'photo.png') returns uuid
language plpgsql
as $$
declare
  v_path text := format('%s/%s', tests.session_of(p_customer), p_name);
begin
  perform tests.store(v_path, p_word);
  perform tests.do_as(p_word, format(
    'select public.register_session_file(%L, %L, %L, %L, 100)', tests.session_of(p_customer), v_path, p_name, 'image/png'
  ));
  return (select f.id from public.session_files as f where f.storage_path = v_path);
end
$$;

-- Whether the storage server would do this for that person: it takes the role and the claims, tries the row, and rolls
-- back. Only a refusal by policy is a no.
create function tests.storage_lets(
  p_word text, p_verb text, p_path text, p_bucket text default 'session-files', p_owner text default null
) returns boolean
language plpgsql
as $$
declare
  v_rows integer := 0;
begin
  perform set_config('storage.allow_delete_query', 'true', true);
  if p_word in ('anon', 'service_role', 'authenticated') then
    perform tests.act_as_role(p_word);
  else
    perform tests.act_as(p_word);
  end if;
  begin
    case p_verb
      when 'add' then
        with added as (
          insert into storage.objects (bucket_id, name, owner, owner_id, version)
          values (
            p_bucket, p_path, coalesce(tests.id(p_owner), auth.uid()), coalesce(tests.id(p_owner), auth.uid())::text,
            '1'
          )
          returning *
        )
        select count(*) into v_rows from added;
      when 'overwrite' then
        with added as (
          insert into storage.objects (bucket_id, name, owner, owner_id, version)
          values (p_bucket, p_path, auth.uid(), auth.uid()::text, '1')
          on conflict (bucket_id, name) do update set version = excluded.version
          returning *
        )
        select count(*) into v_rows from added;
      when 'read' then
        select count(*) into v_rows from storage.objects as o where o.bucket_id = p_bucket and o.name = p_path;
      when 'move' then
        update storage.objects as o set name = p_path || '.moved' where o.bucket_id = p_bucket and o.name = p_path;
        get diagnostics v_rows = row_count;
      when 'remove' then
        delete from storage.objects as o where o.bucket_id = p_bucket and o.name = p_path;
        get diagnostics v_rows = row_count;
    end case;
    raise exception using errcode = 'T0000';
  exception
    when insufficient_privilege then
      v_rows := 0;
    when sqlstate 'T0000' then
      null;
  end;
  perform tests.be_system();
  perform set_config('storage.allow_delete_query', 'false', true);
  return v_rows > 0;
end
$$;

-- Who of these may, in order.
create function tests.storage_lets_whom(p_verb text, p_path text, variadic p_words text[]) returns text
language sql
as $$
  select string_agg(w.word, ' ' order by w.position)
  from unnest(p_words) with ordinality as w (word, position)
  where tests.storage_lets(w.word, p_verb, p_path)
$$;

select has_function('tests', 'storage_lets', 'the helpers around a session are in place');

select * from finish();

commit;
