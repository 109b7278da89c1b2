-- Sessions: the tables of a session, its state machine, its event log, and the one function that moves it.
--
-- The state machine is data (private.session_transitions) and a trigger holds every UPDATE against it, whoever runs
-- it. The same triggers bump the version and append the event of a status change, so that not even the owner can
-- change a status without leaving a trace. CHECK constraints tie a status to its time stamps.
-- What starts, ends or prices a session is decided in later files; they all write through private.move_session.

-- The order is part of the contract: everything before `completed` is active, the rest is terminal.
create type public.session_status as enum (
  'pending', 'scheduled', 'accepted', 'waiting', 'live', 'reconnecting',
  'completed', 'cancelled', 'expired', 'unattended', 'refunded', 'archived'
);
comment on type public.session_status is 'Statuses before completed are active; completed and later are terminal.';

create table public.sessions (
  id uuid primary key default private.new_id(),
  customer_user_id uuid not null references public.profiles (id),
  mechanic_id uuid references public.mechanics (id),
  preferred_mechanic_id uuid references public.mechanics (id),
  plan text not null references public.plans (slug),
  type text not null,
  status public.session_status not null default 'pending',
  funding text not null,
  price_cents integer not null,
  currency text not null,
  intake jsonb not null default '{}',
  scheduled_for timestamptz,
  accepted_at timestamptz,
  started_at timestamptz,
  ended_at timestamptz,
  expires_at timestamptz,
  duration_minutes integer not null,
  duration_seconds integer,
  billable_seconds integer,
  both_present_seconds integer,
  interrupted_at timestamptz,
  grace_ends_at timestamptz,
  next_warning_at timestamptz,
  end_reason text,
  ended_by uuid,
  end_note text,
  summary_submitted_at timestamptz,
  metadata jsonb not null default '{}',
  version bigint not null default 1,
  last_event_at timestamptz not null default private.clock(),
  due_at timestamptz generated always as (
    case
      when status in ('live', 'reconnecting') then least(expires_at, grace_ends_at, next_warning_at)
      when status in ('scheduled', 'accepted') then scheduled_for
    end
  ) stored,
  created_at timestamptz not null default private.clock(),
  updated_at timestamptz not null default private.clock(),
  constraint customer_and_mechanic_are_different_people check (customer_user_id <> mechanic_id),
  constraint type_is_known check (type in ('chat', 'video', 'diagnostic')),
  constraint funding_is_known check (funding in ('free', 'credit', 'paid')),
  constraint price_is_not_negative check (price_cents >= 0),
  constraint a_free_session_costs_nothing check (funding <> 'free' or price_cents = 0),
  constraint currency_is_an_iso_code check (currency ~ '^[a-z]{3}$'),
  constraint intake_is_an_object check (jsonb_typeof(intake) = 'object'),
  constraint metadata_is_an_object check (jsonb_typeof(metadata) = 'object'),
  constraint duration_is_positive check (duration_minutes > 0),
  constraint only_an_ended_session_has_ended_at check ((status >= 'completed') = (ended_at is not null)),
  constraint an_accepted_session_has_accepted_at
    check (status not in ('accepted', 'live', 'reconnecting') or accepted_at is not null or metadata ? 'imported'),
  constraint a_live_session_has_started_at
    check (status not in ('live', 'reconnecting', 'completed') or started_at is not null),
  constraint a_live_session_has_expires_at
    check (status not in ('live', 'reconnecting') or expires_at is not null or metadata ? 'imported'),
  constraint only_a_reconnecting_session_has_a_grace_time
    check ((status = 'reconnecting') = (grace_ends_at is not null)),
  constraint a_reconnecting_session_was_interrupted check (status <> 'reconnecting' or interrupted_at is not null),
  constraint only_a_running_session_warns check (next_warning_at is null or status in ('live', 'reconnecting')),
  constraint times_are_finite check (
    isfinite(expires_at) and isfinite(started_at) and isfinite(ended_at) and isfinite(accepted_at)
    and isfinite(scheduled_for) and isfinite(created_at)
  ),
  constraint duration_is_bounded check (duration_minutes <= 100000),
  constraint a_session_expires_after_its_start check (expires_at > started_at),
  constraint a_session_ends_at_or_after_its_start check (ended_at >= started_at),
  constraint seconds_are_not_negative
    check (duration_seconds >= 0 and billable_seconds >= 0 and both_present_seconds >= 0),
  constraint no_more_is_billed_than_the_duration check (billable_seconds <= duration_seconds),
  constraint end_note_is_bounded check (length(end_note) <= 500)
);
comment on table public.sessions is
  'One consultation. Times are UTC, money is minor units. Participants read their own; admins all. '
  'Nothing secret is in here: payment identifiers live in private.';
comment on column public.sessions.interrupted_at is 'While reconnecting: when the two were last together.';
comment on column public.sessions.due_at is
  'When the clock next has something to do here: expiry, end of grace, warning, or a booked time. For the tick.';
comment on column public.sessions.last_event_at is 'The time of the last event. Within a session time never runs back.';

create unique index uq_active_session_per_customer on public.sessions (customer_user_id) where status < 'completed';
create index sessions_customer_created_at_idx on public.sessions (customer_user_id, created_at desc);
create index sessions_mechanic_created_at_idx on public.sessions (mechanic_id, created_at desc);
create index sessions_mechanic_active_idx on public.sessions (mechanic_id) where status < 'completed';
create index sessions_preferred_mechanic_idx on public.sessions (preferred_mechanic_id)
where preferred_mechanic_id is not null;
create index sessions_plan_idx on public.sessions (plan);
create index sessions_due_at_idx on public.sessions (due_at) where due_at is not null;
create index sessions_ended_at_idx on public.sessions (ended_at) where status between 'completed' and 'refunded';
create index sessions_without_expiry_idx on public.sessions (started_at)
where status in ('live', 'reconnecting') and expires_at is null;
create index sessions_waiting_since_idx on public.sessions ((greatest(created_at, scheduled_for, accepted_at)))
where status < 'live';

alter table public.sessions enable row level security;
revoke all on table public.sessions from public, anon, authenticated, service_role;
grant select on table public.sessions to authenticated, service_role;
-- A status written by the service role is held by the triggers below, like everybody's.
grant update (status) on table public.sessions to service_role;
create policy "participants read their sessions and admins read all" on public.sessions
for select to authenticated
using (
  customer_user_id = (select auth.uid())
  or mechanic_id = (select auth.uid())
  or (select private.is_admin())
);

create table public.session_participants (
  session_id uuid not null references public.sessions (id),
  user_id uuid not null references public.profiles (id),
  role text not null,
  first_joined_at timestamptz,
  last_seen_at timestamptz,
  left_at timestamptz,
  is_connected boolean not null default false,
  presence_check_at timestamptz,
  joined_by_video_at timestamptz,
  closed_at timestamptz,
  created_at timestamptz not null default private.clock(),
  updated_at timestamptz not null default private.clock(),
  primary key (session_id, user_id),
  constraint role_is_known check (role in ('customer', 'mechanic')),
  constraint who_is_connected_has_been_seen
    check (not is_connected or (first_joined_at is not null and last_seen_at is not null)),
  constraint who_is_connected_has_not_left check (not is_connected or left_at is null),
  constraint who_is_connected_is_checked check (is_connected = (presence_check_at is not null)),
  constraint a_closed_row_is_not_connected check (closed_at is null or not is_connected)
)
with (fillfactor = 80);
comment on table public.session_participants is
  'The presence of a person in a session; a mechanic who gave the session back keeps a closed row. A heartbeat '
  'touches last_seen_at only, which no index contains (HOT).';
comment on column public.session_participants.joined_by_video_at is
  'Set when only the video server said that the person came; a later sign of life of the person confirms it.';
create unique index one_open_row_per_role on public.session_participants (session_id, role) where closed_at is null;
create index session_participants_user_id_idx on public.session_participants (user_id);
create index session_participants_presence_check_at_idx on public.session_participants (presence_check_at)
where is_connected;
alter table public.session_participants enable row level security;
revoke all on table public.session_participants from public, anon, authenticated, service_role;
grant select on table public.session_participants to authenticated, service_role;
create policy "participants read who is in their sessions" on public.session_participants
for select to authenticated
using (exists (select from public.sessions s where s.id = session_participants.session_id));

create table public.session_assignments (
  id uuid primary key default private.new_id(),
  session_id uuid not null unique references public.sessions (id),
  mechanic_id uuid references public.mechanics (id),
  preferred_mechanic_id uuid references public.mechanics (id),
  status text not null default 'queued',
  visible_to_all_at timestamptz not null default private.clock(),
  announced_at timestamptz,
  accepted_at timestamptz,
  closed_at timestamptz,
  created_at timestamptz not null default private.clock(),
  updated_at timestamptz not null default private.clock(),
  constraint status_is_known
    check (status in ('queued', 'accepted', 'declined', 'cancelled', 'expired', 'completed')),
  constraint an_accepted_assignment_has_its_mechanic
    check (status <> 'accepted' or (mechanic_id is not null and accepted_at is not null)),
  constraint only_a_closed_assignment_has_closed_at check ((status in ('queued', 'accepted')) = (closed_at is null))
);
comment on table public.session_assignments is
  'The place of a session in the queue of the mechanics. Participants read their own; the queue is mechanic_queue().';
comment on column public.session_assignments.announced_at is
  'When all mechanics were told; null while only the preferred one knows.';
create index session_assignments_unannounced_idx on public.session_assignments (visible_to_all_at)
where status = 'queued' and announced_at is null;
create index session_assignments_queue_idx on public.session_assignments (created_at) where status = 'queued';
create index session_assignments_mechanic_id_idx on public.session_assignments (mechanic_id)
where mechanic_id is not null;
create index session_assignments_preferred_mechanic_id_idx on public.session_assignments (preferred_mechanic_id)
where preferred_mechanic_id is not null;
alter table public.session_assignments enable row level security;
revoke all on table public.session_assignments from public, anon, authenticated, service_role;
grant select on table public.session_assignments to authenticated, service_role;
create policy "participants read the assignment of their sessions" on public.session_assignments
for select to authenticated
using (exists (select from public.sessions s where s.id = session_assignments.session_id));

-- Events --------------------------------------------------------------------------------------------------------

create table public.session_events (
  id bigint generated always as identity primary key,
  session_id uuid not null,
  source text not null default 'sessions',
  type text not null,
  actor_id uuid,
  actor_role text not null,
  payload jsonb not null default '{}',
  version bigint not null,
  occurred_at timestamptz not null default private.clock(),
  created_at timestamptz not null default private.clock(),
  constraint source_is_known check (source in ('sessions', 'diagnostic_sessions')),
  constraint actor_role_is_known check (actor_role in ('customer', 'mechanic', 'admin', 'system'))
);
comment on table public.session_events is
  'Everything that ever happened to a session, in order of id. Append-only for everybody, the owner included. '
  'Admins read it; participants get their account from explain_session.';
comment on column public.session_events.occurred_at is
  'When it happened. created_at is when it was written down: a silent drop is dated back to the last sign of life.';
create index session_events_session_id_idx on public.session_events (session_id, id);
create index session_events_created_at_idx on public.session_events using brin (created_at);
alter table public.session_events enable row level security;
revoke all on table public.session_events from public, anon, authenticated, service_role;
revoke all on sequence public.session_events_id_seq from public, anon, authenticated, service_role;
grant select on table public.session_events to authenticated, service_role;
create policy "admins read all events" on public.session_events
for select to authenticated
using ((select private.is_admin()));

create trigger session_events_are_append_only
before update or delete or truncate on public.session_events
for each statement execute function private.refuse_change();

create function private.append_event(
  p_session public.sessions, p_type text, p_actor_id uuid, p_payload jsonb, p_occurred_at timestamptz,
  p_source text default 'sessions'
)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  -- Not within the insert, which would be planned anew each time.
  v_role text := case
    when p_actor_id is null then 'system'
    when p_actor_id = p_session.customer_user_id then 'customer'
    when p_actor_id = p_session.mechanic_id then 'mechanic' end;
begin
  if v_role is null then
    v_role := case
      when exists (select from public.profiles p where p.id = p_actor_id and p.role = 'admin') then 'admin'
      else 'mechanic' end;
  end if;
  insert into public.session_events (
    session_id, source, type, actor_id, actor_role, payload, version, occurred_at, created_at
  )
  values (
    p_session.id, p_source, p_type, p_actor_id, v_role, p_payload, p_session.version, p_occurred_at,
    greatest(private.clock(), p_session.last_event_at)
  );
end;
$$;
comment on function private.append_event(public.sessions, text, uuid, jsonb, timestamptz, text) is
  'Writes one event. The actor is null for the system; who is neither customer, current mechanic nor admin is a '
  'mechanic who gave the session back.';
revoke all on function private.append_event from public, anon, authenticated, service_role;

-- The state machine ---------------------------------------------------------------------------------------------

create table private.session_transitions (
  from_status public.session_status not null,
  to_status public.session_status not null,
  is_correction boolean not null default false,
  primary key (from_status, to_status)
);
comment on table private.session_transitions is
  'Every arc of the state machine. Corrections also need a row of private.session_corrections. By migration only.';
alter table private.session_transitions enable row level security;
revoke all on table private.session_transitions from public, anon, authenticated, service_role;
create policy "nobody reads transitions directly" on private.session_transitions using (false);

insert into private.session_transitions (from_status, to_status)
select a.from_status::public.session_status, t.to_status::public.session_status
from (
  values
  ('pending', '{waiting,accepted,scheduled,cancelled,expired,unattended}'::text[]),
  ('scheduled', '{pending,accepted,waiting,live,cancelled,expired}'),
  ('accepted', '{waiting,live,reconnecting,scheduled,pending,cancelled,expired}'),
  ('waiting', '{live,pending,cancelled,expired}'),
  ('live', '{reconnecting,completed,cancelled,expired}'),
  ('reconnecting', '{live,completed,cancelled,expired}'),
  ('completed', '{refunded,archived}'),
  ('cancelled', '{refunded,archived}'),
  ('expired', '{refunded,archived}'),
  ('unattended', '{refunded,archived}'),
  ('refunded', '{archived}')
) as a (from_status, to_statuses)
cross join unnest(a.to_statuses) as t (to_status);

insert into private.session_transitions (from_status, to_status, is_correction) values
  ('completed', 'cancelled', true),
  ('cancelled', 'completed', true),
  ('expired', 'completed', true),
  ('expired', 'cancelled', true),
  ('cancelled', 'expired', true);

create table private.session_corrections (
  id bigint generated always as identity primary key,
  session_id uuid not null,
  from_status public.session_status not null,
  to_status public.session_status not null,
  reason text not null,
  corrected_by uuid,
  before jsonb not null,
  after jsonb not null,
  xact_id xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default private.clock()
);
comment on table private.session_corrections is
  'Why a terminal status was corrected: the licence for a correction arc, valid in its own transaction only.';
create index session_corrections_session_id_idx on private.session_corrections (session_id);
alter table private.session_corrections enable row level security;
revoke all on table private.session_corrections from public, anon, authenticated, service_role;
create policy "nobody reads corrections directly" on private.session_corrections using (false);

create trigger session_corrections_are_append_only
before update or delete or truncate on private.session_corrections
for each statement execute function private.refuse_change();

create function private.guard_status()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_is_correction boolean;
  v_now timestamptz := greatest(private.clock(), old.last_event_at);
begin
  select t.is_correction into v_is_correction
  from private.session_transitions t
  where t.from_status = old.status and t.to_status = new.status;
  if v_is_correction and not exists (
    select from private.session_corrections c
    where c.session_id = new.id
      and c.from_status = old.status
      and c.to_status = new.status
      and c.xact_id = pg_current_xact_id()
  ) then
    v_is_correction := null;
  end if;
  if v_is_correction is null then
    perform private.fail('illegal_transition', format('A session cannot go from %s to %s.', old.status, new.status));
  end if;

  new.version := old.version + 1;
  new.updated_at := v_now;
  new.last_event_at := greatest(new.last_event_at, v_now);
  if new.status in ('pending', 'scheduled') then
    new.mechanic_id := null;
    new.accepted_at := null;
  end if;
  if new.status in ('accepted', 'live', 'reconnecting') then
    new.accepted_at := coalesce(new.accepted_at, v_now);
  end if;
  if new.status = 'live' then
    new.interrupted_at := null;
  end if;
  if new.status in ('live', 'reconnecting') then
    new.started_at := coalesce(new.started_at, v_now);
    new.expires_at := coalesce(new.expires_at, new.started_at + make_interval(mins => new.duration_minutes));
  end if;
  if new.status = 'reconnecting' then
    new.interrupted_at := coalesce(new.interrupted_at, v_now);
    new.grace_ends_at := coalesce(new.grace_ends_at, new.interrupted_at);
  else
    new.grace_ends_at := null;
  end if;
  if new.status >= 'completed' then
    new.ended_at := coalesce(new.ended_at, greatest(v_now, new.started_at));
  end if;
  if new.status = 'completed' then
    new.end_reason := coalesce(new.end_reason, 'completed');
  end if;
  return new;
end;
$$;
comment on function private.guard_status() is
  'Trigger: refuses an arc that is not in private.session_transitions (illegal_transition), for every role, bumps '
  'the version, and stamps what a status needs and its writer left out.';
revoke all on function private.guard_status from public, anon, authenticated, service_role;

create trigger status_follows_the_state_machine
before update on public.sessions
for each row when (old.status is distinct from new.status)
execute function private.guard_status();

create type private.session_record as (
  status public.session_status,
  version bigint,
  mechanic_id uuid,
  accepted_at timestamptz,
  started_at timestamptz,
  expires_at timestamptz,
  ended_at timestamptz,
  duration_minutes integer,
  duration_seconds integer,
  billable_seconds integer,
  end_reason text,
  summary_submitted_at timestamptz
);
comment on type private.session_record is 'What the events of a session account for: a replay of them gives the row.';

create function private.record_of(p_session public.sessions)
returns private.session_record
language plpgsql
immutable
set search_path = ''
as $$
begin
  return (
    p_session.status, p_session.version, p_session.mechanic_id, p_session.accepted_at, p_session.started_at,
    p_session.expires_at, p_session.ended_at, p_session.duration_minutes, p_session.duration_seconds,
    p_session.billable_seconds, p_session.end_reason, p_session.summary_submitted_at
  )::private.session_record;
end;
$$;
comment on function private.record_of(public.sessions) is 'The part of a row that its events account for.';
revoke all on function private.record_of from public, anon, authenticated, service_role;

create function private.record_status()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_facts jsonb := nullif(current_setting('taximeter.event', true), '')::jsonb;
  v_from public.session_status := case when tg_op = 'UPDATE' then old.status end;
begin
  -- move_session leaves the name and the facts of its change here; anybody else's change gets a plain event.
  if v_facts ->> 'session_id' = new.id::text and v_facts ->> 'to' = new.status::text then
    perform set_config('taximeter.event', '', true);
  else
    v_facts := jsonb_build_object(
      'type', case tg_op when 'INSERT' then 'created' else 'status_changed' end,
      'actor_id', private.claimed_user(),
      'facts', jsonb_build_object('written_by', private.caller(), 'row', to_jsonb(private.record_of(new)))
    );
  end if;
  perform private.append_event(
    new, v_facts ->> 'type', (v_facts ->> 'actor_id')::uuid,
    jsonb_strip_nulls(jsonb_build_object('from', v_from, 'to', new.status)) || (v_facts -> 'facts'),
    coalesce((v_facts ->> 'at')::timestamptz, new.last_event_at)
  );
  return null;
end;
$$;
comment on function private.record_status() is
  'Trigger: appends the event of every birth and every change of status, whoever wrote it.';
revoke all on function private.record_status from public, anon, authenticated, service_role;

create trigger status_leaves_an_event
after update on public.sessions
for each row when (old.status is distinct from new.status)
execute function private.record_status();

create trigger birth_leaves_an_event
after insert on public.sessions
for each row execute function private.record_status();

create function private.close_places()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.session_participants p
  set is_connected = false, presence_check_at = null, left_at = coalesce(p.left_at, new.ended_at),
      updated_at = new.updated_at
  where p.session_id = new.id and p.is_connected;
  update public.session_assignments a
  set status = case new.status when 'completed' then 'completed' when 'cancelled' then 'cancelled' else 'expired' end,
      closed_at = new.updated_at, updated_at = new.updated_at
  where a.session_id = new.id and a.closed_at is null;
  return null;
end;
$$;
comment on function private.close_places() is
  'Trigger: whoever ends a session, nobody is connected to it any more and its assignment is closed. '
  'Locks: participants, assignment.';
revoke all on function private.close_places from public, anon, authenticated, service_role;

create trigger an_end_closes_the_places
after update on public.sessions
for each row when (old.status < 'completed' and new.status >= 'completed')
execute function private.close_places();

create function private.reopen_places()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.session_participants p
  set is_connected = false, presence_check_at = null, left_at = coalesce(p.left_at, new.updated_at),
      closed_at = new.updated_at, updated_at = new.updated_at
  where p.session_id = new.id and p.user_id = old.mechanic_id;
  update public.session_assignments a
  set status = 'queued', mechanic_id = null, accepted_at = null, announced_at = new.updated_at,
      visible_to_all_at = least(a.visible_to_all_at, new.updated_at), updated_at = new.updated_at
  where a.session_id = new.id and a.status = 'accepted';
  return null;
end;
$$;
comment on function private.reopen_places() is
  'Trigger: whoever gives a session back to the queue, its mechanic''s row is closed and its assignment is offered to '
  'all. Locks: participant, assignment.';
revoke all on function private.reopen_places from public, anon, authenticated, service_role;

create trigger a_return_reopens_the_places
after update on public.sessions
for each row when (old.mechanic_id is not null and new.status in ('pending', 'scheduled'))
execute function private.reopen_places();

-- Moving a session ----------------------------------------------------------------------------------------------

create function private.announce(
  p_session_id uuid, p_to public.session_status, p_type text, p_at timestamptz, p_actor_id uuid, p_facts jsonb
)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  perform set_config('taximeter.event', jsonb_build_object(
    'session_id', p_session_id, 'to', p_to, 'type', p_type, 'at', p_at, 'actor_id', p_actor_id, 'facts', p_facts
  )::text, true);
end;
$$;
comment on function private.announce(uuid, public.session_status, text, timestamptz, uuid, jsonb) is
  'Names the event that the next change of this session''s status is recorded as.';
revoke all on function private.announce from public, anon, authenticated, service_role;

create function private.session_clock(p_session public.sessions)
returns timestamptz
language plpgsql
volatile
set search_path = ''
as $$
begin
  return greatest(private.clock(), p_session.last_event_at);
end;
$$;
comment on function private.session_clock(public.sessions) is
  'The time in a session: the clock, or its last event if that is later. Read once, under the session''s lock.';
revoke all on function private.session_clock from public, anon, authenticated, service_role;

create function private.lock_session(p_session_id uuid)
returns public.sessions
language plpgsql
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_session public.sessions;
begin
  select s.* into v_session from public.sessions s where s.id = p_session_id for no key update;
  return v_session;
exception
  when lock_not_available then
    perform private.fail('session_locked', 'Another call holds this session.', 'Try again in a moment.');
    return null;
end;
$$;
comment on function private.lock_session(uuid) is
  'Locks a session, waiting at most 3 s (session_locked). Taken before mechanic, participants and assignment.';
revoke all on function private.lock_session from public, anon, authenticated, service_role;

create function private.role_in(p_session public.sessions, p_user_id uuid)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
  return case p_user_id
    when p_session.customer_user_id then 'customer'
    when p_session.mechanic_id then 'mechanic'
  end;
end;
$$;
comment on function private.role_in(public.sessions, uuid) is 'customer, mechanic, or null for everybody else.';
revoke all on function private.role_in from public, anon, authenticated, service_role;

create function private.lock_own_session(p_session_id uuid, p_user_id uuid)
returns public.sessions
language plpgsql
set search_path = ''
as $$
declare
  v_session public.sessions;
begin
  -- Looked at first without the lock, so that a stranger cannot make participants wait.
  select s.* into v_session from public.sessions s where s.id = p_session_id;
  if private.role_in(v_session, p_user_id) is not null then
    v_session := private.lock_session(p_session_id);
  end if;
  if private.role_in(v_session, p_user_id) is null then
    perform private.fail('session_not_found');
  end if;
  return v_session;
end;
$$;
comment on function private.lock_own_session(uuid, uuid) is
  'Locks a session for one of its participants; session_not_found for everybody else, whether it exists or not.';
revoke all on function private.lock_own_session from public, anon, authenticated, service_role;

create function private.move_session(
  p_session public.sessions, p_to public.session_status, p_type text, p_at timestamptz, p_actor_id uuid, p_facts jsonb
)
returns public.sessions
language plpgsql
set search_path = ''
as $$
declare
  v_after public.sessions;
begin
  if p_session.status <> p_to then
    perform private.announce(p_session.id, p_to, p_type, p_at, p_actor_id, p_facts);
  end if;
  update public.sessions s
  set status = p_to,
      mechanic_id = p_session.mechanic_id,
      accepted_at = p_session.accepted_at,
      started_at = p_session.started_at,
      ended_at = p_session.ended_at,
      expires_at = p_session.expires_at,
      duration_minutes = p_session.duration_minutes,
      duration_seconds = p_session.duration_seconds,
      billable_seconds = p_session.billable_seconds,
      both_present_seconds = p_session.both_present_seconds,
      interrupted_at = p_session.interrupted_at,
      grace_ends_at = p_session.grace_ends_at,
      next_warning_at = p_session.next_warning_at,
      end_reason = p_session.end_reason,
      ended_by = p_session.ended_by,
      end_note = p_session.end_note,
      summary_submitted_at = p_session.summary_submitted_at,
      metadata = p_session.metadata,
      version = s.version + 1,
      last_event_at = greatest(s.last_event_at, p_at),
      updated_at = greatest(private.clock(), s.last_event_at)
  where s.id = p_session.id and s.version = p_session.version
  returning s.* into v_after;
  if v_after.id is null then
    raise exception 'session % was moved without its lock', p_session.id;
  end if;
  if p_session.status = p_to then
    perform private.append_event(v_after, p_type, p_actor_id, p_facts, p_at);
  end if;
  return v_after;
end;
$$;
comment on function private.move_session(public.sessions, public.session_status, text, timestamptz, uuid, jsonb) is
  'The only writer of sessions after their birth: takes the row as it should be, and the event that makes it so. '
  'With the present status it records an event that changes no status. Lock: the session, held by the caller.';
revoke all on function private.move_session from public, anon, authenticated, service_role;
