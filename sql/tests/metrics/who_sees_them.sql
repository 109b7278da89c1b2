-- MOV-08: metrics are for admins and the system; others see nothing, and nothing behind the views lets them in. The
-- admin asks before the system, whose rights a function that has run once would remember.
begin;

select plan(42);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.admin('admin');
select tests.paid_and_completed('customer', 'mechanic');

-- The rows that somebody sees, or the error.
create function pg_temp.seen(p_word text, p_from text) returns text
language plpgsql
as $$
declare
  v_rows text;
begin
  if p_word in ('anon', 'service_role', 'authenticated') then
    perform tests.act_as_role(p_word);
  elsif p_word <> 'system' then
    perform tests.act_as(p_word);
  end if;
  begin
    execute format('select count(*) > 0 from %s as x', p_from) into v_rows;
  exception when insufficient_privilege then
    v_rows := sqlstate;
  end;
  perform tests.be_system();
  return v_rows;
end
$$;

select is(pg_temp.seen(w.word, 'public.' || v.name), w.rows, format('MOV-08: %s of %s', w.word, v.name))
from (
  values
  ('metrics_session_outcomes'), ('metrics_session_durations'), ('metrics_wait_times'), ('metrics_mechanics'),
  ('session_revenue_impact')
) as v (name)
cross join (
  values ('admin', 'true'), ('system', 'true'), ('service_role', 'true'), ('customer', 'false'), ('mechanic', 'false'),
  ('anon', '42501')
) as w (word, rows);
select is(pg_temp.seen('customer', f.call), 'false', 'MOV-08: the function behind it: ' || f.call)
from (
  values
  ('private.session_outcomes(''-infinity'')'), ('private.session_durations(''-infinity'')'),
  ('private.wait_times(''2030-01-01 00:00+00'')'), ('private.mechanic_days(''-infinity'')'),
  ('private.revenue_impact(''-infinity'')')
) as f (call);
select is(pg_temp.seen('customer', f.call), '42501', 'MOV-08: not for anybody: ' || f.call)
from (
  values
  ('private.ended_since(''-infinity'')'), ('private.moves_since(''-infinity'')'), ('private.health_of_alerts()'),
  ('private.health_of_sessions(''-infinity'')'), ('private.health_of_revenue(''-infinity'')'),
  ('private.health_of_statuses(''-infinity'')'), ('private.health_of_work()')
) as f (call);

select * from finish();

rollback;
