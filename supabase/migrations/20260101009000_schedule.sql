-- Schedule: pg_cron runs the jobs where it is there. Without it an outside scheduler calls the same public functions
-- with the secret key: tick_sessions, monitor_sessions and expire_orphaned_sessions.

create function private.prune_history()
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_limit constant integer := 10000;
  v_emptied_before timestamptz := v_now - make_interval(days => private.setting_integer('keep_payloads_days'));
  v_cron integer := 0;
  v_job_runs integer;
  v_facts integer;
  v_ops_log integer;
  v_outbox integer;
  v_stripe_events integer;
begin
  if to_regclass('cron.job_run_details') is not null then
    -- A run that broke off has no end, one that never began no times at all.
    execute format(
      'delete from %1$I.job_run_details d where coalesce(d.end_time, d.start_time) < %2$L '
      'or (d.end_time is null and d.start_time is null and d.runid < (select max(o.runid) '
      'from %1$I.job_run_details o where coalesce(o.end_time, o.start_time) < %2$L))',
      'cron', v_now - interval '7 days'
    );
    get diagnostics v_cron = row_count;
  end if;
  delete from private.job_runs r where r.is_failure and r.started_at < v_now - interval '30 days';
  get diagnostics v_job_runs = row_count;
  delete from private.presence_facts f
  where f.event_id in (
    select o.event_id
    from private.presence_facts o
    where o.received_at < v_now - interval '90 days'
    limit v_limit
    for update skip locked
  );
  get diagnostics v_facts = row_count;
  delete from private.ops_log l
  where l.id in (
    select o.id from private.ops_log o where o.created_at < v_now - interval '400 days' limit v_limit
    for update skip locked
  );
  get diagnostics v_ops_log = row_count;
  v_outbox := private.empty_outbox(v_emptied_before, v_limit);
  v_stripe_events := private.empty_stripe_events(v_emptied_before, v_limit);
  return jsonb_build_object(
    'cron', v_cron, 'job_runs', v_job_runs, 'presence_facts', v_facts, 'ops_log', v_ops_log, 'outbox', v_outbox,
    'stripe_events', v_stripe_events, 'files', private.sweep_files(1000),
    'more', v_limit in (v_facts, v_ops_log, v_outbox, v_stripe_events)
  );
end;
$$;
comment on function private.prune_history() is
  'Removes what nobody looks at any more: runs of pg_cron after 7 days, failures of jobs after 30, facts of the '
  'video server after 90, the operations log after 400; what effects and events of Stripe said after '
  'keep_payloads_days; files that nobody registered. At most 10000 rows of a table: more says that it is to be called '
  'again. Never anything of a session''s record, nor a key that keeps something from happening twice.';
revoke all on function private.prune_history from public, anon, authenticated, service_role;

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
      v_result := private.prune_history();
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
