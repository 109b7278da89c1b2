-- Schema realtime: the messages table that broadcasts are written to and private channels are
-- authorised by, and the functions that write it.
--
-- Hosted, the Realtime server makes one partition a day; nothing does so here, so one DEFAULT partition
-- takes every row. The last trigger is not on hosted either: it tells the local stand-in which row was
-- committed, by its key alone.

set role supabase_realtime_admin;
set search_path = '';

create table realtime.messages (
  topic text not null,
  extension text not null,
  payload jsonb,
  event text,
  private boolean default false,
  updated_at timestamp not null default now(),
  inserted_at timestamp not null default now(),
  id uuid not null default gen_random_uuid(),
  binary_payload bytea,
  primary key (id, inserted_at)
) partition by range (inserted_at);

alter table realtime.messages
  add constraint messages_payload_exclusive check (payload is null or binary_payload is null);

create index messages_inserted_at_topic_index on realtime.messages (inserted_at desc, topic)
where extension = 'broadcast' and private is true;

create table realtime.messages_default partition of realtime.messages default;

alter table realtime.messages enable row level security;
alter table realtime.messages_default enable row level security;

create table realtime.subscription (
  id bigint generated always as identity primary key,
  subscription_id uuid not null,
  entity regclass not null,
  filters text[] not null default '{}',
  claims jsonb not null,
  created_at timestamp not null default timezone('utc', now())
);

create table realtime.schema_migrations (
  version bigint not null primary key,
  inserted_at timestamp(0)
);

create function realtime.topic() returns text
language sql
stable
as $$
  select nullif(current_setting('realtime.topic', true), '')::text
$$;

-- Like the real one it swallows every error: a broadcast never fails the transaction that sends it.
create function realtime.send(payload jsonb, event text, topic text, private boolean default true) returns void
language plpgsql
as $$
declare
  v_id uuid;
  v_payload jsonb;
begin
  begin
    v_id := gen_random_uuid();
    if payload ? 'id' then
      v_payload := payload;
    else
      v_payload := jsonb_set(payload, '{id}', to_jsonb(v_id));
    end if;
    execute format('set local realtime.topic to %L', topic);
    insert into realtime.messages (id, payload, event, topic, private, extension)
    values (v_id, v_payload, event, topic, private, 'broadcast');
  exception
    when others then
      raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
  end;
end
$$;

create function realtime.send_binary(payload bytea, event text, topic text, private boolean default true) returns void
language plpgsql
as $$
begin
  begin
    execute format('set local realtime.topic to %L', topic);
    insert into realtime.messages (binary_payload, event, topic, private, extension)
    values (payload, event, topic, private, 'broadcast');
  exception
    when others then
      raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
  end;
end
$$;

create function realtime.broadcast_changes(
  topic_name text,
  event_name text,
  operation text,
  table_name text,
  table_schema text,
  new record,
  old record,
  level text default 'ROW'
) returns void
language plpgsql
as $$
begin
  if level = 'STATEMENT' then
    raise exception 'function can only be triggered for each row, not for each statement';
  end if;
  perform realtime.send(
    jsonb_build_object(
      'old_record', to_jsonb(old),
      'record', to_jsonb(new),
      'operation', operation,
      'table', table_name,
      'schema', table_schema
    ),
    event_name,
    topic_name
  );
exception
  when others then
    raise exception 'Failed to process the row: %', sqlerrm;
end
$$;

create function realtime.announce_committed_message() returns trigger
language plpgsql
as $$
begin
  -- As JSON: text of a time would depend on the session's DateStyle.
  perform pg_notify('realtime_messages', json_build_array(new.id, new.inserted_at)::text);
  return null;
end
$$;

create trigger announce_committed_message
after insert on realtime.messages
for each row execute function realtime.announce_committed_message();

grant all on table realtime.messages, realtime.subscription to postgres, dashboard_user;
grant select, insert, update on table realtime.messages to anon, authenticated, service_role;
grant select on table realtime.subscription to anon, authenticated, service_role;
grant select on table realtime.schema_migrations to postgres, dashboard_user, anon, authenticated, service_role;
grant execute on all functions in schema realtime to postgres, dashboard_user;

reset role;
reset search_path;

alter default privileges for role supabase_admin in schema realtime
grant all on tables to postgres, dashboard_user;
alter default privileges for role supabase_admin in schema realtime
grant all on sequences to postgres, dashboard_user;
alter default privileges for role supabase_admin in schema realtime
grant all on routines to postgres, dashboard_user;

create publication supabase_realtime;
alter publication supabase_realtime owner to postgres;

-- Hosted, supautils lets postgres write policies on realtime.messages. Plain PostgreSQL asks for the owner's role,
-- which is wider; a static test holds migrations to policies.
grant supabase_realtime_admin to postgres;
