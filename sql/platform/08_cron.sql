-- pg_cron, with the grants postgres has on hosted: it schedules through functions and reads cron.job.
--
-- The extension can live in one database of a server only, and only where its library is loaded.
-- Everywhere else this file does nothing, which is the case migrations must cope with.

do $$
begin
  if current_setting('cron.database_name', true) is distinct from current_database()
    or current_setting('shared_preload_libraries') !~ '\mpg_cron\M'
  then
    return;
  end if;

  create extension if not exists pg_cron;

  grant usage on schema cron to postgres with grant option;
  grant all on all functions in schema cron to postgres with grant option;
  revoke all on table cron.job from postgres;
  grant select on table cron.job to postgres with grant option;
  grant all on table cron.job_run_details to postgres with grant option;
  revoke trigger on table cron.job_run_details from postgres;
end
$$;
