-- Schedule: pg_cron runs the jobs where it is there. Without it an outside scheduler calls the same public functions
-- with the secret key: tick_sessions, monitor_sessions and expire_orphaned_sessions.

create function private.run_job(p_job text)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_started timestamptz := private.clock();
  v_result jsonb;
  v_expired integer;
  v_submitted integer;
begin
  perform private.require_system();
  case p_job
    when 'expire-orphaned-sessions' then
      v_expired := private.expire_orphaned_sessions(1000);
      v_result := jsonb_build_object('expired', v_expired, 'more', v_expired = 1000);
    when 'monitor-sessions' then
      v_result := private.monitor_sessions();
    when 'tick-sessions' then
      v_result := private.tick_sessions(500, 2);
    when 'dispatch-outbox' then
      v_submitted := private.submit_payouts(500);
      perform private.wake_for_due_rows();
      v_result := jsonb_build_object('payouts', v_submitted, 'more', v_submitted = 500);
      perform private.note_run(p_job, v_started, v_result, null);
    when 'prune-history' then
      v_result := private.prune_history() || jsonb_build_object('files', private.sweep_files(1000));
      perform private.note_run(p_job, v_started, v_result, null);
    else
      raise exception 'unknown job %', p_job;
  end case;
  return v_result;
exception
  when others then
    perform private.note_run(p_job, v_started, null, sqlerrm);
    return null;
end;
$$;
comment on function private.run_job(text) is
  'Runs a job once and keeps its last run and its failures in private.job_runs. pg_cron and operators.';
revoke all on function private.run_job from public, anon, authenticated, service_role;

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
      'select count(%1$I.unschedule(j.jobid)) from %1$I.job j where j.jobname in (select job from private.jobs(false))',
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
    raise notice 'pg_cron is not installed here: no jobs were scheduled. Install it and run private.setup_cron(), or '
      'let another scheduler call public.tick_sessions() every 10 s, public.monitor_sessions() every 5 minutes and '
      'public.expire_orphaned_sessions() every hour.';
    return 0;
  end if;
  for v_job in select j.job, j.schedule from private.jobs(private.cron_knows_seconds()) j loop
    -- Again and again while there is more, each time in a transaction of its own.
    execute format('select %I.schedule(%L, %L, %L)', 'cron', v_job.job, v_job.schedule, format(
      'do $job$ begin while (private.run_job(%L) ->> ''more'')::boolean loop commit; end loop; end $job$', v_job.job
    ));
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
