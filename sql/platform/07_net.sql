-- Schema net: the interface of pg_net. A request is a row in a queue; the local stack delivers it.
--
-- Everything is open to PUBLIC, as on the real server: any SQL role may read queued headers.

set search_path = '';

create schema net authorization supabase_admin;

create unlogged table net.http_request_queue (
  id bigserial,
  method text not null,
  url text not null,
  headers jsonb,
  body bytea,
  timeout_milliseconds integer not null
);

create unlogged table net._http_response (
  id bigint,
  status_code integer,
  content_type text,
  headers jsonb,
  content text,
  timed_out boolean,
  error_msg text,
  created timestamptz not null default now()
);

-- Tells the stack at commit that there is something to deliver.
create function net.announce_requests() returns trigger
language plpgsql
as $$
begin
  perform pg_catalog.pg_notify('net_requests', '');
  return null;
end
$$;

create trigger new_requests_are_announced
after insert on net.http_request_queue
for each statement execute function net.announce_requests();

create function net._with_params(url text, params jsonb) returns text
language plpgsql
stable
as $$
declare
  v_query text;
begin
  select string_agg(format('%s=%s', p.key, p.value), '&')
  into v_query
  from jsonb_each_text(params) as p;
  return url || coalesce(case when strpos(url, '?') > 0 then '&' else '?' end || v_query, '');
end
$$;

create function net.http_get(
  url text,
  params jsonb default '{}'::jsonb,
  headers jsonb default '{}'::jsonb,
  timeout_milliseconds integer default 5000
) returns bigint
language sql
as $$
  insert into net.http_request_queue (method, url, headers, timeout_milliseconds)
  values ('GET', net._with_params(url, params), headers, timeout_milliseconds)
  returning id
$$;

create function net.http_post(
  url text,
  body jsonb default '{}'::jsonb,
  params jsonb default '{}'::jsonb,
  headers jsonb default '{"Content-Type": "application/json"}'::jsonb,
  timeout_milliseconds integer default 5000
) returns bigint
language plpgsql
as $$
declare
  v_id bigint;
  v_content_type text;
begin
  select h.value
  into v_content_type
  from jsonb_each_text(headers) as h
  where lower(h.key) = 'content-type'
  limit 1;
  if v_content_type is null then
    headers := headers || '{"Content-Type": "application/json"}'::jsonb;
  elsif v_content_type <> 'application/json' then
    raise exception 'Content-Type header must be "application/json"';
  end if;
  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values ('POST', net._with_params(url, params), headers, convert_to(body::text, 'UTF8'), timeout_milliseconds)
  returning id into v_id;
  return v_id;
end
$$;

create function net.http_delete(
  url text,
  params jsonb default '{}'::jsonb,
  headers jsonb default '{}'::jsonb,
  timeout_milliseconds integer default 5000,
  body jsonb default null
) returns bigint
language sql
as $$
  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values (
    'DELETE', net._with_params(url, params), headers, convert_to(body::text, 'UTF8'), timeout_milliseconds
  )
  returning id
$$;

grant usage on schema net to public;
grant all on all tables in schema net to public;
grant all on all sequences in schema net to public;

reset search_path;
