-- MOD-04: a raw UPDATE of status passes for every arc of the table and fails for every other pair, for the owner
-- and for service_role alike. The arcs are written here a second time, from the specification.
begin;

select plan(267);
select tests.rows_are_changed_by_hand();

create temporary table arcs on commit drop as
select a.from_status, t.to_status
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

create temporary table ways on commit drop as
select w.status, w.way::public.session_status[] as way
from (
  values
  ('pending', '{}'),
  ('scheduled', '{scheduled}'),
  ('accepted', '{accepted}'),
  ('waiting', '{waiting}'),
  ('live', '{waiting,live}'),
  ('reconnecting', '{waiting,live,reconnecting}'),
  ('completed', '{waiting,live,completed}'),
  ('cancelled', '{cancelled}'),
  ('expired', '{expired}'),
  ('unattended', '{unattended}'),
  ('refunded', '{cancelled,refunded}'),
  ('archived', '{cancelled,archived}')
) as w (status, way);

select enum_has_labels(
  'public', 'session_status',
  array[
    'pending', 'scheduled', 'accepted', 'waiting', 'live', 'reconnecting', 'completed', 'cancelled', 'expired',
    'unattended', 'refunded', 'archived'
  ],
  'MOD-04: the twelve statuses'
);
select set_eq(
  'select from_status::text, to_status::text from private.session_transitions where not is_correction',
  'select from_status, to_status from arcs', 'MOD-04: the table of arcs'
);
select set_eq(
  'select from_status::text, to_status::text from private.session_transitions where is_correction',
  $$ values ('completed', 'cancelled'), ('cancelled', 'completed'), ('expired', 'completed'),
    ('expired', 'cancelled'), ('cancelled', 'expired') $$,
  'MOD-04: the corrections'
);

select tests.stop_clock();
select tests.person('customer');
select tests.mechanic('mechanic');
select tests.queue('customer');
update public.sessions set mechanic_id = tests.id('mechanic') where customer_user_id = tests.id('customer');
grant update on public.sessions to service_role;

-- Walks there by legal arcs, tries one more step, and undoes it all.
create function pg_temp.try_arc(p_who text, p_from text, p_to text) returns text
language plpgsql
as $$
declare
  v_step public.session_status;
  v_outcome text;
begin
  foreach v_step in array (select way from ways where status = p_from) loop
    update public.sessions set status = v_step where customer_user_id = tests.id('customer');
    perform tests.advance(1);
  end loop;
  if (tests.row_of('customer')).status::text <> p_from then
    raise exception 'the way to % does not lead there', p_from;
  end if;
  v_outcome := tests.outcome(
    p_who,
    format(
      'update public.sessions set status = %L where customer_user_id = %L::uuid', p_to, tests.id('customer')
    )
  );
  if v_outcome = 'ok' and (tests.row_of('customer')).status::text <> p_to then
    v_outcome := 'nothing was changed';
  end if;
  raise exception using errcode = 'ZZ999', message = v_outcome;
exception when sqlstate 'ZZ999' then
  return sqlerrm;
end
$$;

select is(
  pg_temp.try_arc(who.who, f.status, t.status),
  case when exists (select from arcs where from_status = f.status and to_status = t.status)
    then 'ok'
    else 'PT409 illegal_transition'
  end,
  format('MOD-04: %s to %s by %s', f.status, t.status, who.who)
)
from
  ways as f
cross join ways as t
cross join unnest(array['system', 'service_role']) as who (who)
where f.status <> t.status;

select * from finish();

rollback;
