-- Jobs: what is done when nobody asks. The tick visits what is due, the sweeps what was left, each in small batches,
-- one session at a time, skipping what somebody else holds, from any number of places at once and after any
-- standstill. They write down what every command would: nothing is wrong before they come.

create table private.job_runs (
  id bigint generated always as identity primary key,
  job text not null,
  is_failure boolean not null default false,
  started_at timestamptz,
  ended_at timestamptz,
  result jsonb,
  error text,
  created_at timestamptz not null default private.clock()
);
comment on table private.job_runs is 'The last run of every job, one row each, and a row for every failure.';
create unique index one_last_run_per_job on private.job_runs (job) where not is_failure;
create index job_runs_failures_idx on private.job_runs (job, started_at) where is_failure;
alter table private.job_runs enable row level security;
revoke all on table private.job_runs from public, anon, authenticated, service_role;
create policy "nobody reads job runs directly" on private.job_runs using (false);

create function private.jobs(p_with_seconds boolean)
returns table (job text, schedule text, late_after interval)
language sql
immutable
set search_path = ''
as $$
  values
    ('expire-orphaned-sessions', '7 * * * *', interval '130 minutes'),
    ('monitor-sessions', '*/5 * * * *', interval '15 minutes'),
    ('tick-sessions', case when p_with_seconds then '10 seconds' else '* * * * *' end, interval '3 minutes'),
    ('dispatch-outbox', case when p_with_seconds then '10 seconds' else '* * * * *' end, interval '3 minutes'),
    ('prune-history', '23 3 * * *', interval '2 days')
$$;
comment on function private.jobs(boolean) is
  'The jobs and their schedules (UTC), for a pg_cron that knows seconds or one that does not, and when one is late.';
revoke all on function private.jobs from public, anon, authenticated, service_role;

insert into private.job_runs (job) select j.job from private.jobs(false) j;

create function private.cron_knows_seconds()
returns boolean
language sql
stable
set search_path = ''
as $$
  select exists (
    select
    from pg_catalog.pg_extension e
    where e.extname = 'pg_cron'
      and string_to_array(substring(e.extversion from '^[0-9]+\.[0-9]+'), '.')::integer[] >= '{1,5}'
  )
$$;
comment on function private.cron_knows_seconds() is 'Whether this pg_cron takes schedules of seconds (1.5 and later).';
revoke all on function private.cron_knows_seconds from public, anon, authenticated, service_role;

create function private.job_health()
returns table (
  job text, schedule text, last_started_at timestamptz, last_ended_at timestamptz, is_late boolean, last_error text
)
language sql
stable
set search_path = ''
as $$
  select
    j.job, j.schedule, r.started_at, r.ended_at,
    coalesce(coalesce(r.started_at, r.created_at) < private.clock() - j.late_after, true),
    r.error
  from private.jobs(private.cron_knows_seconds()) j
  left join private.job_runs r on r.job = j.job and not r.is_failure
  order by j.job
$$;
comment on function private.job_health() is 'When each job last ran, whether it is late, and what it failed with.';
revoke all on function private.job_health from public, anon, authenticated, service_role;

create function private.is_scheduled(p_job text, p_schedule text)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
  v_is_scheduled boolean;
begin
  if to_regclass('cron.job') is null then
    return null;
  end if;
  execute format(
    'select exists (select from %I.job j where j.jobname = $1 and j.schedule = $2 and j.active)', 'cron'
  ) into v_is_scheduled using p_job, p_schedule;
  return v_is_scheduled;
end;
$$;
comment on function private.is_scheduled(text, text) is 'Whether pg_cron has a job, active; null where there is none.';
revoke all on function private.is_scheduled from public, anon, authenticated, service_role;

create function private.note_run(p_job text, p_started_at timestamptz, p_result jsonb, p_error text)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
begin
  -- Two runs at once must not wait for each other: who finds the row held leaves it to the other.
  update private.job_runs r
  set started_at = p_started_at, ended_at = v_now, result = p_result, error = p_error
  where r.id = (
    select l.id from private.job_runs l where l.job = p_job and not l.is_failure for no key update skip locked
  );
  if p_error is not null then
    insert into private.job_runs (job, is_failure, started_at, ended_at, error)
    values (p_job, true, p_started_at, v_now, p_error);
  end if;
end;
$$;
comment on function private.note_run(text, timestamptz, jsonb, text) is
  'Keeps the last run of a job, and every failure. Locks: the row of the job, skipped when held.';
revoke all on function private.note_run from public, anon, authenticated, service_role;

-- Rows that fail ------------------------------------------------------------------------------------------------

create table private.session_failures (
  session_id uuid primary key,
  work text not null,
  error text not null,
  sqlstate text not null,
  failures integer not null default 1,
  failed_at timestamptz not null,
  retry_at timestamptz not null
);
comment on table private.session_failures is
  'Sessions a job could not settle: left for review, and alone until retry_at.';
create index session_failures_retry_at_idx on private.session_failures (retry_at);
alter table private.session_failures enable row level security;
revoke all on table private.session_failures from public, anon, authenticated, service_role;
create policy "nobody reads failures directly" on private.session_failures using (false);

create function private.note_failure(p_session_id uuid, p_work text, p_error text, p_sqlstate text)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_retry_at timestamptz := v_now + make_interval(secs => private.setting_integer('retry_failed_seconds'));
begin
  insert into private.session_failures as f (session_id, work, error, sqlstate, failed_at, retry_at)
  values (p_session_id, p_work, p_error, p_sqlstate, v_now, v_retry_at)
  on conflict (session_id) do update
  set work = excluded.work, error = excluded.error, sqlstate = excluded.sqlstate, failures = f.failures + 1,
      failed_at = excluded.failed_at, retry_at = excluded.retry_at;
  perform private.log_op('session.failed', p_session_id, jsonb_build_object(
    'work', p_work, 'error', p_error, 'sqlstate', p_sqlstate
  ));
end;
$$;
comment on function private.note_failure(uuid, text, text, text) is
  'Leaves a session that could not be settled for review, and for retry_failed_seconds.';
revoke all on function private.note_failure from public, anon, authenticated, service_role;

create function private.forget_failure()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  delete from private.session_failures f where f.session_id = new.session_id;
  return null;
end;
$$;
comment on function private.forget_failure() is 'Trigger: a session that has ended after all needs no review for it.';
revoke all on function private.forget_failure from public, anon, authenticated, service_role;

create trigger ended_sessions_failed_no_more
after insert on public.session_events
for each row when (new.type = 'ended')
execute function private.forget_failure();

create type private.work_done as (
  ended integer, warned integer, disconnected integer, opened integer, scheduled integer, failed integer
);
comment on type private.work_done is 'What was done in a session, counted.';

create function private.warn(p_session public.sessions, p_now timestamptz)
returns public.sessions
language plpgsql
set search_path = ''
as $$
declare
  v_session public.sessions := p_session;
  v_warning record;
begin
  if v_session.status not in ('live', 'reconnecting') then
    return v_session;
  end if;
  for v_warning in
    select w.minutes, w.warn_at
    from private.warnings(v_session.expires_at) w
    where w.warn_at >= v_session.next_warning_at and w.warn_at <= p_now
    order by w.warn_at
  loop
    v_session.next_warning_at := private.next_warning(v_session.expires_at, v_warning.warn_at);
    v_session := private.move_session(
      v_session, v_session.status, format('warning_%sm', v_warning.minutes), p_now, null,
      jsonb_build_object(
        'minutes', v_warning.minutes,
        'remaining_seconds', floor(extract(epoch from v_session.expires_at - p_now))::integer,
        'expires_at', v_session.expires_at
      )
    );
  end loop;
  if v_session.next_warning_at <= p_now then
    -- The setting changed meanwhile: what was armed does not exist any more.
    v_session.next_warning_at := private.next_warning(v_session.expires_at, p_now);
    v_session := private.move_session(v_session, v_session.status, 'warnings_rearmed', p_now, null, '{}');
  end if;
  return v_session;
end;
$$;
comment on function private.warn(public.sessions, timestamptz) is
  'Gives the warnings that are due, each once per expiry. Locks: session (held).';
revoke all on function private.warn from public, anon, authenticated, service_role;

create function private.has_waited_out(p_session public.sessions, p_cause text, p_now timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select coalesce(case p_cause
      when 'orphaned' then p_session.status < 'live'
        and w.since < p_now - make_interval(mins => private.setting_integer('orphan_after_minutes'))
      when 'unattended' then p_session.status = 'pending'
        and w.since < p_now - make_interval(mins => private.setting_integer('unattended_after_minutes'))
    end, false)
    from (select greatest(p_session.created_at, p_session.scheduled_for, p_session.accepted_at) as since) w
  );
end;
$$;
comment on function private.has_waited_out(public.sessions, text, timestamptz) is
  'Whether a session has waited long enough, since it was made, booked for or accepted, to end for that cause.';
revoke all on function private.has_waited_out from public, anon, authenticated, service_role;

create function private.work_on(p_session_id uuid, p_work text)
returns private.work_done
language plpgsql
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  v_done private.work_done := (0, 0, 0, 0, 0, 0);
  v_before public.sessions;
  v_session public.sessions;
  v_assignment public.session_assignments;
  v_now timestamptz;
begin
  select s.* into v_before from public.sessions s where s.id = p_session_id for no key update skip locked;
  if v_before.id is null then
    return v_done;
  end if;
  v_now := private.session_clock(v_before);
  v_session := private.settle(v_before, v_now);
  if p_work <> 'tick' and private.has_waited_out(v_session, p_work, v_now) then
    v_session := private.end_session(v_session, v_now, p_work, null, null);
  elsif p_work = 'tick' and v_session.status < 'completed' then
    v_session := private.warn(v_session, v_now);
    select a.* into v_assignment
    from public.session_assignments a
    where a.session_id = p_session_id and a.status = 'queued' and a.announced_at is null
      and a.visible_to_all_at <= v_now;
    if v_assignment.id is not null and private.open_window(v_assignment, v_now) then
      v_done.opened := 1;
    end if;
  end if;
  if private.is_due(v_session, v_now) then
    raise exception 'the session is still due after all was done';
  end if;
  if v_session.version = v_before.version + 1 and v_session.status >= 'completed' then
    v_done.ended := 1;
  elsif v_session.version > v_before.version then
    select
      count(*) filter (where e.type = 'ended'),
      count(*) filter (where e.type ~ '^warning_[0-9]+m$'),
      count(*) filter (where e.type = 'disconnected'),
      count(*) filter (where e.type = 'due')
    into v_done.ended, v_done.warned, v_done.disconnected, v_done.scheduled
    from public.session_events e
    where e.session_id = p_session_id and e.version > v_before.version;
  end if;
  -- What failed after the end is still to be done.
  delete from private.session_failures f where f.session_id = p_session_id and f.work <> 'aftermath';
  return v_done;
exception
  when lock_not_available or deadlock_detected then
    return (0, 0, 0, 0, 0, 0)::private.work_done;
  when others then
    perform private.note_failure(p_session_id, p_work, sqlerrm, sqlstate);
    return (0, 0, 0, 0, 0, 1)::private.work_done;
end;
$$;
comment on function private.work_on(uuid, text) is
  'Does what is due in one session (p_work: sweep, tick, orphaned, unattended) and counts it; one that somebody '
  'holds is skipped, and one that fails is left for review. Locks: session, participants, assignment.';
revoke all on function private.work_on from public, anon, authenticated, service_role;

-- The tick ------------------------------------------------------------------------------------------------------

create function private.keep_present(p_now timestamptz, p_limit integer)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_timeout interval := private.presence_timeout();
  v_kept integer;
begin
  with present as (
    select p.session_id, p.user_id
    from public.session_participants p
    where p.is_connected and p.presence_check_at <= p_now and p.last_seen_at + v_timeout > p_now
    order by p.presence_check_at
    limit p_limit
    for no key update skip locked
  )
  update public.session_participants p
  set presence_check_at = p.last_seen_at + v_timeout
  from present
  where p.session_id = present.session_id and p.user_id = present.user_id;
  get diagnostics v_kept = row_count;
  return v_kept;
end;
$$;
comment on function private.keep_present(timestamptz, integer) is
  'Sets the next check of people who are due for one and have been seen since. Locks: participants, skipping locked.';
revoke all on function private.keep_present from public, anon, authenticated, service_role;

create function private.due_sessions(p_now timestamptz, p_limit integer, p_only_ends boolean)
returns table (session_id uuid, due_since timestamptz)
language plpgsql
stable
set search_path = ''
as $$
declare
  v_timeout interval := private.presence_timeout();
  v_longest interval := make_interval(mins => private.setting_integer('max_session_minutes'));
begin
  return query
  select d.id, min(d.since)
  from (
    (
      select s.id, s.due_at as since
      from public.sessions s
      where s.due_at <= p_now
        and (not p_only_ends or least(s.expires_at, s.grace_ends_at) <= p_now)
        and not exists (select from private.session_failures f where f.session_id = s.id and f.retry_at > p_now)
      order by s.due_at
      limit p_limit
    )
    union all
    (
      select s.id, s.started_at + v_longest
      from public.sessions s
      where s.status in ('live', 'reconnecting')
        and s.expires_at is null
        and s.started_at <= p_now - v_longest
        and not exists (select from private.session_failures f where f.session_id = s.id and f.retry_at > p_now)
      order by s.started_at
      limit p_limit
    )
    union all
    (
      select p.session_id, p.presence_check_at
      from public.session_participants p
      where p.is_connected
        and p.presence_check_at <= p_now
        -- As private.is_silent says; written out, because this is asked of very many rows.
        and p.last_seen_at + v_timeout <= p_now
        and (not p_only_ends or exists (
          select from public.sessions s where s.id = p.session_id and private.is_over(s, p_now)
        ))
        and not exists (
          select from private.session_failures f where f.session_id = p.session_id and f.retry_at > p_now
        )
      order by p.presence_check_at
      -- Two people are one session.
      limit p_limit * 2
    )
    union all
    (
      select a.session_id, a.visible_to_all_at
      from public.session_assignments a
      where not p_only_ends
        and a.status = 'queued'
        and a.announced_at is null
        and a.visible_to_all_at <= p_now
        and not exists (
          select from private.session_failures f where f.session_id = a.session_id and f.retry_at > p_now
        )
      order by a.visible_to_all_at
      limit p_limit
    )
  ) d (id, since)
  group by d.id
  order by 2, 1
  limit p_limit;
end;
$$;
comment on function private.due_sessions(timestamptz, integer, boolean) is
  'Sessions with something due (expiry, grace, warning, booked time, silence, preferred window), or only those that '
  'may be over, the most overdue first: index look-ups, so that the cost follows what is due and not what exists.';
revoke all on function private.due_sessions from public, anon, authenticated, service_role;

create function private.tick_sessions(p_limit integer, p_seconds numeric)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_limit integer := private.batch_limit(p_limit);
  v_keep_limit integer := v_limit * 10;
  v_started timestamptz := private.clock();
  v_done private.work_done;
  v_total private.work_done := (0, 0, 0, 0, 0, 0);
  v_kept integer;
  v_visited integer := 0;
  v_is_late boolean := false;
  v_due uuid;
  v_result jsonb;
begin
  perform private.require_system();
  if p_seconds is null or not p_seconds between 0.001 and 3600 then
    perform private.fail('invalid_argument', 'p_seconds must be between 0.001 and 3600.');
  end if;
  for v_due in select d.session_id from private.due_sessions(v_started, v_limit, false) d loop
    if v_visited > 0 and private.clock() >= v_started + make_interval(secs => p_seconds::double precision) then
      v_is_late := true;
      exit;
    end if;
    v_done := private.work_on(v_due, 'tick');
    v_total.ended := v_total.ended + v_done.ended;
    v_total.warned := v_total.warned + v_done.warned;
    v_total.disconnected := v_total.disconnected + v_done.disconnected;
    v_total.opened := v_total.opened + v_done.opened;
    v_total.scheduled := v_total.scheduled + v_done.scheduled;
    v_total.failed := v_total.failed + v_done.failed;
    v_visited := v_visited + 1;
  end loop;
  -- After the sessions, so that nobody waits for people whom this tick holds.
  v_kept := private.keep_present(v_started, v_keep_limit);
  -- Not when all there is to do is held by others: asking again at once would only spin.
  v_result := jsonb_build_object(
    'ended', v_total.ended, 'warned', v_total.warned, 'disconnected', v_total.disconnected,
    'opened', v_total.opened, 'scheduled', v_total.scheduled, 'errors', v_total.failed,
    'more', (v_is_late or v_visited = v_limit or v_kept = v_keep_limit)
      and v_kept + v_total.ended + v_total.warned + v_total.disconnected + v_total.opened + v_total.scheduled
        + v_total.failed > 0
  );
  perform private.note_run('tick-sessions', v_started, v_result, null);
  return v_result;
end;
$$;
comment on function private.tick_sessions(integer, numeric) is
  'Behind public.tick_sessions. Locks: one session after the other, skipping locked ones.';
revoke all on function private.tick_sessions from public, anon, authenticated, service_role;
grant execute on function private.tick_sessions to service_role;

create function public.tick_sessions(p_limit integer default 500, p_seconds numeric default 2)
returns jsonb
language sql
volatile
set search_path = ''
as $$
  select private.tick_sessions(p_limit, p_seconds)
$$;
comment on function public.tick_sessions(integer, numeric) is
  'Does what is due, the most overdue first, in at most p_limit sessions and p_seconds: ends, warnings, silent '
  'people, preferred windows, booked times. Returns ended, warned, disconnected, opened, scheduled, errors (counts) '
  'and more: call again. The system. Errors: invalid_argument.';
revoke all on function public.tick_sessions from public, anon, authenticated, service_role;
grant execute on function public.tick_sessions to service_role;

-- Sweeps --------------------------------------------------------------------------------------------------------

create function private.end_expired_sessions(p_limit integer)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_limit integer := private.batch_limit(p_limit);
  v_due uuid;
  v_ended integer := 0;
begin
  perform private.require_system();
  for v_due in select d.session_id from private.due_sessions(private.clock(), v_limit, true) d loop
    v_ended := v_ended + (private.work_on(v_due, 'sweep')).ended;
  end loop;
  return v_ended;
end;
$$;
comment on function private.end_expired_sessions(integer) is
  'Behind public.end_expired_sessions. Locks: one session after the other, skipping locked ones.';
revoke all on function private.end_expired_sessions from public, anon, authenticated, service_role;
grant execute on function private.end_expired_sessions to service_role;

create function public.end_expired_sessions(p_limit integer default 1000)
returns integer
language sql
volatile
set search_path = ''
as $$
  select private.end_expired_sessions(p_limit)
$$;
comment on function public.end_expired_sessions(integer) is
  'Writes down the end of at most p_limit sessions whose time or grace is over, as of when it was; returns how many. '
  'The system. Errors: invalid_argument.';
revoke all on function public.end_expired_sessions from public, anon, authenticated, service_role;
grant execute on function public.end_expired_sessions to service_role;

create function private.end_waiting_sessions(p_cause text, p_minutes integer, p_limit integer)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_id uuid;
  v_ended integer := 0;
begin
  for v_id in
    select s.id
    from public.sessions s
    where s.status < 'live'
      and greatest(s.created_at, s.scheduled_for, s.accepted_at) < v_now - make_interval(mins => p_minutes)
      and (p_cause <> 'unattended' or s.status in ('pending', 'scheduled'))
      and not exists (select from private.session_failures f where f.session_id = s.id and f.retry_at > v_now)
    order by greatest(s.created_at, s.scheduled_for, s.accepted_at)
    limit p_limit
  loop
    v_ended := v_ended + (private.work_on(v_id, p_cause)).ended;
  end loop;
  return v_ended;
end;
$$;
comment on function private.end_waiting_sessions(text, integer, integer) is
  'Ends sessions that have waited longer than so many minutes, the longest first. Locks: one session after the '
  'other, skipping locked ones.';
revoke all on function private.end_waiting_sessions from public, anon, authenticated, service_role;

create function private.expire_orphaned_sessions(p_limit integer)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_limit integer := private.batch_limit(p_limit);
  v_started timestamptz := private.clock();
  v_expired integer;
begin
  perform private.require_system();
  v_expired := private.end_waiting_sessions('orphaned', private.setting_integer('orphan_after_minutes'), v_limit);
  perform private.note_run('expire-orphaned-sessions', v_started, jsonb_build_object('expired', v_expired), null);
  return v_expired;
end;
$$;
comment on function private.expire_orphaned_sessions(integer) is 'Behind public.expire_orphaned_sessions.';
revoke all on function private.expire_orphaned_sessions from public, anon, authenticated, service_role;
grant execute on function private.expire_orphaned_sessions to service_role;

create function public.expire_orphaned_sessions(p_limit integer default 1000)
returns integer
language sql
volatile
set search_path = ''
as $$
  select private.expire_orphaned_sessions(p_limit)
$$;
comment on function public.expire_orphaned_sessions(integer) is
  'Expires sessions that waited longer than orphan_after_minutes since they were made, booked for or accepted, at '
  'most p_limit, skipping locked ones; returns how many. The system. Errors: invalid_argument.';
revoke all on function public.expire_orphaned_sessions from public, anon, authenticated, service_role;
grant execute on function public.expire_orphaned_sessions to service_role;
