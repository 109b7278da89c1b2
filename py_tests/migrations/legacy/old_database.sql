-- A database of the older system, as it would be found: its tables in public, with policies, grants, foreign keys and a
-- publication, and rows as years of use leave them. A status has no constraint, and sessions no key: nobody made one.
-- Ids are the md5 of a name, so that a test can name them. "Now" is 2026-01-15 12:00 UTC.

create function public.named(p_name text) returns uuid language sql immutable as $$ select md5(p_name)::uuid $$;

insert into auth.users (id, aud, role, email)
select public.named(p.name), 'authenticated', 'authenticated', p.name || '@example.test'
from (
  values ('admin'), ('mechanic'), ('first mechanic'), ('busy'), ('customer of live_now'), ('customer of pending_now')
) as p (name)
union all
select public.named('customer ' || n), 'authenticated', 'authenticated', 'customer' || n || '@example.test'
from generate_series(1, 60) as n;

create type public.session_status as enum ('pending', 'live', 'done');

create table public.profiles (
  id uuid primary key references auth.users (id) on delete cascade,
  full_name text,
  status public.session_status default 'pending'
);

create table public.sessions (
  id uuid,
  plan text,
  type text,
  status text,
  created_at timestamptz default now(),
  started_at timestamptz,
  ended_at timestamptz,
  scheduled_start timestamptz,
  duration_minutes integer,
  stripe_session_id text,
  amount integer,
  intake_id uuid,
  customer_user_id uuid,
  mechanic_id uuid,
  parent_session_id uuid,
  is_follow_up boolean default false,
  metadata jsonb default '{}',
  updated_at timestamptz
);
create table public.session_participants (
  id uuid default gen_random_uuid(),
  session_id uuid,
  user_id uuid,
  role text,
  metadata jsonb default '{}',
  created_at timestamptz default '2025-03-01 09:00:00+00'
);
create table public.session_requests (
  id uuid primary key,
  session_id uuid,
  customer_id uuid,
  mechanic_id uuid,
  session_type text,
  plan_code text,
  status text,
  created_at timestamptz,
  accepted_at timestamptz,
  updated_at timestamptz,
  metadata jsonb
);
create table public.diagnostic_sessions (
  id uuid primary key,
  customer_user_id uuid references auth.users (id) on delete cascade,
  mechanic_id uuid,
  status text,
  started_at timestamptz,
  ended_at timestamptz,
  duration_minutes integer,
  metadata jsonb,
  created_at timestamptz,
  updated_at timestamptz
);
create table public.session_files (
  id uuid primary key,
  session_id uuid,
  uploaded_by uuid,
  file_name text,
  file_size integer,
  file_type text,
  storage_path text,
  file_url text,
  description text,
  metadata jsonb,
  created_at timestamptz
);
create table public.session_extensions (
  id uuid primary key,
  session_id uuid,
  duration_minutes integer,
  price_cents integer,
  currency text,
  status text,
  payment_intent_id text,
  created_at timestamptz
);
create table public.vehicles (
  id uuid primary key,
  owner_id uuid,
  wanted_in uuid references public.session_requests (id)
);
create view public.session_report as select id, status from public.sessions;
create function public.welcome() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger on_auth_user_created after insert on auth.users for each row execute function public.welcome();

create function public.end_session_with_semantics(p_session_id uuid, p_actor_id uuid, p_reason text default null)
returns void language sql security definer
as $$ update public.sessions set status = 'ended', ended_at = now() where id = p_session_id $$;

alter table public.sessions enable row level security;
create policy "everybody may do everything" on public.sessions for all using (true) with check (true);
create policy "people read their files" on public.session_files for select to authenticated using (true);
grant all on all tables in schema public to anon, authenticated, service_role;

-- What is the same in most: a mechanic, a plan, half an hour on a day in spring.
create function public.old_session(p_name text, p_number integer, p_changes jsonb default '{}')
returns void
language sql
as $$
  insert into public.sessions
  select s.*
  from jsonb_populate_record(null::public.sessions, jsonb_build_object(
    'id', public.named(p_name), 'plan', 'video15', 'type', 'video', 'status', 'completed',
    'created_at', '2025-03-01 09:00:00+00'::timestamptz + make_interval(days => p_number),
    'started_at', '2025-03-01 10:00:00+00'::timestamptz + make_interval(days => p_number),
    'ended_at', '2025-03-01 10:30:00+00'::timestamptz + make_interval(days => p_number),
    'updated_at', '2025-03-01 10:30:00+00'::timestamptz + make_interval(days => p_number),
    'duration_minutes', 45, 'stripe_session_id', 'cs_test_old_' || p_name, 'amount', 1500,
    'customer_user_id', public.named('customer ' || p_number), 'mechanic_id', public.named('mechanic'),
    'is_follow_up', false, 'metadata', '{}'::jsonb
  ) || p_changes) as s
$$;

select public.old_session(s.name, s.number, s.changes::jsonb)
from (
  values
    ('plain', 1, '{}'),
    ('ended_word', 2, '{"status": "ended", "plan": "chat10", "type": "chat", "amount": null, "stripe_session_id": null}'),
    ('shouted', 3, '{"status": " Completed "}'),
    ('no_times', 4, '{"started_at": null, "ended_at": null, "created_at": null}'),
    ('joined_only', 5, '{"started_at": null, "ended_at": null}'),
    ('too_short', 6, '{"ended_at": "2025-03-07 10:00:20+00"}'),
    ('cancelled_long', 7, '{"status": "canceled"}'),
    ('expired_long', 8, '{"status": "expired"}'),
    ('expired_unstarted', 9, '{"status": "expired", "started_at": null}'),
    ('live_overdue', 10, '{"status": "live", "ended_at": null}'),
    ('ended_but_live', 11, '{"status": "live"}'),
    ('too_long', 12, '{"duration_minutes": 300, "ended_at": "2025-03-13 15:00:00+00"}'),
    ('extended_twice', 13, '{"duration_minutes": 75, "ended_at": "2025-03-14 11:10:00+00"}'),
    ('future', 14, '{"started_at": "2031-01-01 10:00:00+00", "ended_at": "2031-01-01 10:30:00+00"}'),
    ('backwards', 15, '{"ended_at": "2025-03-16 09:30:00+00"}'),
    ('no_mechanic', 16, '{"mechanic_id": null}'),
    ('mechanic_elsewhere', 17, '{"mechanic_id": null}'),
    ('of_one_person', 18, '{"mechanic_id": "9e2f1e2c-0000-4000-8000-000000000000"}'),
    ('dangling_customer', 19, '{"customer_user_id": "9e2f1e2c-0000-4000-8000-000000000001"}'),
    ('dangling_live', 20, '{"status": "live", "started_at": "2026-01-15 11:50:00+00", "ended_at": null,
                            "mechanic_id": "9e2f1e2c-0000-4000-8000-000000000002"}'),
    ('no_customer', 21, '{"customer_user_id": null}'),
    ('customer_elsewhere', 22, '{"customer_user_id": null}'),
    ('unknown_status', 23, '{"status": "paused"}'),
    ('no_status', 24, '{"status": null, "started_at": null, "ended_at": null}'),
    ('no_show', 25, '{"status": "no_show", "started_at": null, "metadata": {"no_show_by": "mechanic"}}'),
    ('called_off', 26, '{"status": "cancelled", "started_at": null, "metadata": {"cancelled_by": "customer"}}'),
    ('unknown_plan', 27, '{"plan": "gold", "type": null}'),
    ('renamed_plan', 28, '{"plan": "Video_30"}'),
    ('in_both_tables', 29, '{"plan": "diagnostic", "type": "diagnostic", "started_at": null, "ended_at": null}'),
    ('paid_once', 30, '{"stripe_session_id": "cs_test_old_twice"}'),
    ('paid_once_more', 31, '{"stripe_session_id": "cs_test_old_twice", "status": "pending", "started_at": null,
                             "ended_at": null, "created_at": "2026-01-15 11:30:00+00"}'),
    ('newer_active', 32, '{"status": "waiting", "started_at": null, "ended_at": null,
                           "created_at": "2026-01-15 11:30:00+00"}'),
    ('taken_lately', 45, '{"status": "waiting", "started_at": null, "ended_at": null,
                           "created_at": "2026-01-14 12:00:00+00", "updated_at": "2026-01-15 11:55:00+00"}'),
    ('older_active', 32, '{"status": "live", "started_at": "2026-01-15 11:20:00+00", "ended_at": null,
                           "created_at": "2026-01-15 11:10:00+00"}'),
    ('live_now', 33, '{"status": "in_progress", "started_at": "2026-01-15 11:50:00+00", "ended_at": null,
                       "created_at": "2026-01-15 11:40:00+00", "updated_at": null}'),
    ('pending_now', 34, '{"status": "pending", "started_at": null, "ended_at": null, "mechanic_id": null,
                          "created_at": "2026-01-15 11:45:00+00"}'),
    ('pending_forever', 35, '{"status": "pending", "started_at": null, "ended_at": null, "mechanic_id": null}'),
    ('booked', 36, '{"status": "scheduled", "started_at": null, "ended_at": null, "mechanic_id": null,
                     "scheduled_start": "2026-01-20 09:00:00+00"}'),
    ('booked_and_taken', 37, '{"status": "scheduled", "started_at": null, "ended_at": null,
                               "scheduled_start": "2026-01-20 09:00:00+00"}'),
    ('refunded', 38, '{"status": "refunded"}'),
    ('archived', 39, '{"status": "archived", "started_at": null, "ended_at": null}'),
    ('there_twice', 40, '{}'),
    ('there_twice', 40, '{"status": "live", "ended_at": null, "updated_at": "2025-04-10 10:15:00+00"}'),
    ('endless', 41, '{"started_at": "infinity", "ended_at": "infinity"}'),
    ('no_minutes', 42, '{"duration_minutes": 0, "ended_at": null, "updated_at": null}'),
    ('follow_up', 43, '{"is_follow_up": true}'),
    ('live_unstarted', 44, '{"status": "live", "started_at": null, "ended_at": null,
                             "created_at": "2026-01-15 11:15:00+00"}')
) as s (name, number, changes);
update public.sessions set mechanic_id = customer_user_id where id = public.named('of_one_person');
update public.sessions set parent_session_id = public.named('plain') where id = public.named('follow_up');
insert into public.sessions (id, status, customer_user_id) values (null, 'completed', public.named('customer 50'));

insert into public.session_participants (id, session_id, user_id, role, metadata)
select public.named('in ' || p.session || ' as ' || p.name), public.named(p.session), public.named(p.person), p.role, p.data::jsonb
from (
  values
    ('plain', 'customer', 'customer 1', 'customer', '{"joined_at": "2025-03-02T09:58:00Z"}'),
    ('plain', 'mechanic', 'mechanic', 'expert', '{"joined_at": "2025-03-02T10:00:00Z", "left_at": "2025-03-02T10:30:00Z"}'),
    ('plain', 'customer again', 'customer 1', 'customer', '{}'),
    ('plain', 'first mechanic', 'first mechanic', 'mechanic', '{"left_at": "2025-03-02T09:55:00Z"}'),
    ('plain', 'observer', 'busy', 'observer', '{}'),
    ('ended_word', 'wrong role', 'customer 2', 'mechanic', '{}'),
    ('joined_only', 'customer', 'customer 5', 'client', '{"joined_at": "2025-03-06T10:01:00Z"}'),
    ('joined_only', 'mechanic', 'mechanic', 'technician', '{"joined_at": "2025-03-06T10:05:00Z"}'),
    ('mechanic_elsewhere', 'mechanic', 'mechanic', 'mechanic', '{}'),
    ('customer_elsewhere', 'customer', 'customer 22', 'customer', '{}'),
    ('nowhere', 'customer', 'customer 51', 'customer', '{}')
) as p (session, name, person, role, data);

insert into public.session_requests (
  id, session_id, customer_id, mechanic_id, session_type, plan_code, status, created_at, accepted_at, updated_at, metadata
)
values
  (public.named('request of plain'), public.named('plain'), public.named('customer 1'), public.named('mechanic'),
   'video', 'video15', 'completed', '2025-03-02 09:00:00+00', '2025-03-02 09:50:00+00', '2025-03-02 10:30:00+00', '{}'),
  (public.named('open request'), public.named('live_overdue'), public.named('customer 10'), null,
   'video', 'video15', 'pending', '2025-03-11 09:00:00+00', null, null, '[]'),
  (public.named('request of pending_now'), public.named('pending_now'), public.named('customer 34'), null,
   'video', 'video15', 'pending', '2026-01-15 11:45:00+00', null, null, null),
  (public.named('request of nothing'), null, public.named('customer 52'), null, null, null, 'accepted', null, null, null, null);

insert into public.diagnostic_sessions (
  id, customer_user_id, mechanic_id, status, started_at, ended_at, duration_minutes, metadata, created_at, updated_at
)
values
  (public.named('in_both_tables'), public.named('customer 29'), public.named('mechanic'), 'completed',
   '2025-03-30 10:00:00+00', '2025-03-30 10:40:00+00', 60, '{}', '2025-03-30 09:00:00+00', '2025-03-30 10:40:00+00'),
  (public.named('diagnostic alone'), public.named('customer 53'), public.named('mechanic'), 'completed',
   '2025-05-01 10:00:00+00', '2025-05-01 10:40:00+00', 60, '{"obd": "P0300"}', '2025-05-01 09:00:00+00', null),
  (public.named('diagnostic overdue'), public.named('customer 54'), public.named('mechanic'), 'live',
   '2025-05-01 10:00:00+00', null, 60, null, '2025-05-01 09:00:00+00', null),
  (public.named('diagnostic short'), public.named('customer 55'), public.named('mechanic'), 'completed',
   '2025-05-01 10:00:00+00', '2025-05-01 10:00:10+00', 60, null, '2025-05-01 09:00:00+00', null),
  (public.named('diagnostic now'), public.named('customer 56'), public.named('mechanic'), 'live',
   '2026-01-15 11:50:00+00', null, 60, '"text"', '2026-01-15 11:40:00+00', null),
  (public.named('diagnostic of nobody'), null, public.named('mechanic'), 'live', null, null, 60, null, null, null);

insert into public.session_extensions (
  id, session_id, duration_minutes, price_cents, currency, status, payment_intent_id, created_at
)
values
  (public.named('extension'), public.named('extended_twice'), 15, 500, 'USD', 'applied', 'pi_old_1', '2025-03-14 10:40:00+00'),
  (public.named('extension again'), public.named('extended_twice'), 15, 500, 'USD', 'applied', 'pi_old_1', '2025-03-14 10:41:00+00'),
  (public.named('extension pending'), public.named('plain'), 30, 900, 'usd', 'pending', null, '2025-03-02 10:20:00+00'),
  (public.named('extension given'), public.named('plain'), 15, 0, null, 'applied', null, null),
  (public.named('extension of nothing'), public.named('nowhere'), 15, 500, 'usd', 'applied', null, null),
  (public.named('extension now'), public.named('live_now'), 15, 500, 'usd', 'applied', 'pi_old_2', '2026-01-15 11:55:00+00');

insert into public.session_files (
  id, session_id, uploaded_by, file_name, file_size, file_type, storage_path, file_url, created_at
)
values
  (public.named('file'), public.named('plain'), public.named('customer 1'), 'engine.jpg', 1000, 'image/jpeg',
   public.named('plain') || '/engine.jpg', 'https://example.test/engine.jpg', '2025-03-02 10:10:00+00'),
  (public.named('file of old path'), public.named('plain'), public.named('customer 1'), 'a.jpg', 1000, 'image/jpeg',
   'uploads/a.jpg', null, '2025-03-02 10:10:00+00'),
  (public.named('file in another folder'), public.named('plain'), public.named('customer 1'), 'b.jpg', 1000, 'image/jpeg',
   public.named('shouted') || '/b.jpg', null, '2025-03-02 10:10:00+00'),
  (public.named('file without a name'), public.named('plain'), public.named('a person who is gone'), null, 5, null,
   public.named('plain') || '/c.bin', null, null),
  (public.named('file without a size'), public.named('plain'), public.named('mechanic'), 'd', null, null,
   public.named('plain') || '/d', null, null),
  (public.named('file of nothing'), public.named('nowhere'), public.named('mechanic'), 'e', 1, null,
   public.named('nowhere') || '/e', null, null);

alter publication supabase_realtime add table public.sessions, public.session_participants;

drop function public.named, public.old_session;
