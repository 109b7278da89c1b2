-- MOD-04, MOD-03: constraints that read as sentences tie a status to its times and its people.
begin;

select plan(14);
select tests.rows_are_changed_by_hand();

select tests.stop_clock();
select tests.live('live customer', 'mechanic');
select tests.waiting('ended customer', 'second mechanic');
select tests.finish_session('ended customer', 'ended customer');

create function pg_temp.refused_by(p_customer text, p_change text) returns text
language plpgsql
as $$
declare
  v_constraint text;
begin
  execute format('update public.sessions set %s where id = %L', p_change, tests.session_of(p_customer));
  return 'nothing';
exception when check_violation then
  get stacked diagnostics v_constraint = constraint_name;
  return v_constraint;
end
$$;

select is(
  pg_temp.refused_by('live customer', $$ started_at = null, expires_at = null, metadata = '{"imported": true}' $$),
  'a_live_session_has_started_at',
  'MOD-04: a live session has started_at'
);
select is(
  pg_temp.refused_by('live customer', 'expires_at = null'), 'a_live_session_has_expires_at',
  'MOD-04: and expires_at'
);
select is(
  pg_temp.refused_by('live customer', $$ expires_at = null, metadata = '{"imported": true}' $$), 'nothing',
  'MOD-04: unless it was imported'
);
select isnt(
  pg_temp.refused_by('live customer', 'ended_at = private.clock()'), 'nothing',
  'MOD-04: a live session has no ended_at'
);
select isnt(
  pg_temp.refused_by('ended customer', 'ended_at = null'), 'nothing', 'MOD-04: an ended session has ended_at'
);
select is(
  pg_temp.refused_by('live customer', 'mechanic_id = customer_user_id'),
  'customer_and_mechanic_are_different_people', 'MOD-03, MOD-09: never a mechanic of himself'
) from (select tests.outcome('live customer', $$ select public.apply_as_mechanic(array['x']) $$)) as applied;
select is(
  pg_temp.refused_by('live customer', 'expires_at = started_at'), 'a_session_expires_after_its_start',
  'MOD-04: it expires after its start'
);
select isnt(
  pg_temp.refused_by('ended customer', $$ started_at = ended_at + interval '1 s' $$), 'nothing',
  'MOD-04: and ends after it'
);
select isnt(
  pg_temp.refused_by('ended customer', 'duration_seconds = -1'), 'nothing', 'MOD-04: no negative duration'
);
select isnt(
  pg_temp.refused_by('ended customer', 'duration_seconds = 10, billable_seconds = 11'), 'nothing',
  'MOD-04: no more billed than passed'
);
select isnt(
  pg_temp.refused_by('live customer', 'price_cents = -1'), 'nothing', 'MOD-03: no negative price'
);
select isnt(
  pg_temp.refused_by('live customer', 'price_cents = 100'), 'nothing', 'LIFE-02: a free session costs nothing'
);
select isnt(
  pg_temp.refused_by('live customer', $$ intake = '[]' $$), 'nothing', 'LIFE-07: intake is an object'
);
select is(
  (
    select string_agg(conname, ', ') from pg_constraint
    where conrelid = 'public.sessions'::regclass and contype = 'c' and conname !~ '_.*_'
  ),
  null, 'MOD-04: constraints are named as sentences'
);

select * from finish();

rollback;
