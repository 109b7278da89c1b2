-- Schedule: the jobs, by pg_cron where it is there. Nothing is wrong while it stands still; the jobs only write down
-- what every command would. Without pg_cron an outside scheduler calls the same functions.

create table private.job_runs (
  id bigint generated always as identity primary key,
  job text not null,
  is_failure boolean not null default false,
  started_at timestamptz not null,
  ended_at timestamptz,
  result jsonb,
  error text
);
comment on table private.job_runs is 'The last run of every job, one row each, and a row for every failure.';
create unique index one_last_run_per_job on private.job_runs (job) where not is_failure;
create index job_runs_failures_idx on private.job_runs (job, started_at) where is_failure;
alter table private.job_runs enable row level security;
revoke all on table private.job_runs from public, anon, authenticated, service_role;
create policy "nobody reads job runs directly" on private.job_runs using (false);

create function private.run_job(p_job text)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_started timestamptz := private.clock();
  v_result jsonb;
  v_error text;
begin
  perform private.require_system();
  begin
    case p_job
      when 'expire-orphaned-sessions' then
        v_result := jsonb_build_object('expired', private.expire_orphaned_sessions(1000));
      else
        raise exception 'unknown job %', p_job;
    end case;
  exception
    when others then
      v_error := sqlerrm;
      insert into private.job_runs (job, is_failure, started_at, ended_at, error)
      values (p_job, true, v_started, private.clock(), v_error);
  end;
  insert into private.job_runs (job, started_at, ended_at, result, error)
  values (p_job, v_started, private.clock(), v_result, v_error)
  on conflict (job) where not is_failure do update
  set started_at = excluded.started_at, ended_at = excluded.ended_at, result = excluded.result, error = excluded.error;
  return v_result;
end;
$$;
comment on function private.run_job(text) is
  'Runs a job and keeps its last run and its failures in private.job_runs. pg_cron and operators.';
revoke all on function private.run_job from public, anon, authenticated, service_role;

create function private.jobs()
returns table (job text, schedule text)
language sql
immutable
set search_path = ''
as $$
  values ('expire-orphaned-sessions', '7 * * * *')
$$;
comment on function private.jobs() is 'The jobs of pg_cron and their schedules, UTC.';
revoke all on function private.jobs from public, anon, authenticated, service_role;

create function private.teardown_cron()
returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_removed integer := 0;
begin
  if to_regclass('cron.job') is not null then
    execute format(
      'select count(%1$I.unschedule(j.jobid)) from %1$I.job j where j.jobname in (select job from private.jobs())',
      'cron'
    ) into v_removed;
  end if;
  return v_removed;
end;
$$;
comment on function private.teardown_cron() is 'Removes the jobs and says how many there were. Operators.';
revoke all on function private.teardown_cron from public, anon, authenticated, service_role;

create function private.setup_cron()
returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_job record;
  v_scheduled integer := 0;
begin
  if to_regclass('cron.job') is null then
    raise notice 'pg_cron is not installed here: no jobs were scheduled. Install it and run private.setup_cron(), '
      'or let another scheduler call public.expire_orphaned_sessions() every hour.';
    return 0;
  end if;
  for v_job in select j.job, j.schedule from private.jobs() j loop
    execute format(
      'select %I.schedule(%L, %L, %L)', 'cron', v_job.job, v_job.schedule,
      format('select private.run_job(%L)', v_job.job)
    );
    v_scheduled := v_scheduled + 1;
  end loop;
  return v_scheduled;
end;
$$;
comment on function private.setup_cron() is
  'Schedules the jobs by name, replacing those of the same name, and says how many. Operators; idempotent.';
revoke all on function private.setup_cron from public, anon, authenticated, service_role;

do $$
begin
  if to_regclass('cron.job') is null and exists (
    select from pg_catalog.pg_available_extensions e where e.name = 'pg_cron'
  ) then
    create extension if not exists pg_cron;
  end if;
exception
  when others then
    raise notice 'pg_cron could not be installed here: %', sqlerrm;
end;
$$;

select private.setup_cron();
