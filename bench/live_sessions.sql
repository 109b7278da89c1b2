-- Live sessions, as many as are asked for: accepted, started five minutes ago, both people there, nothing due for an
-- hour. They are numbered from bench.first to bench.last, and their ids are made from the numbers.
-- Run as a superuser, after people.sql. No trigger runs: what they would send and log is part of no figure, and what
-- they would write into a session is written here.

set session_replication_role = 'replica';

create temporary table made as
select
  md5('session' || n.number)::uuid as id,
  md5('customer' || n.number)::uuid as customer_id,
  md5('mechanic' || n.number)::uuid as mechanic_id,
  now() - interval '5 minutes' - n.number * interval '1 ms' as started_at
from generate_series(current_setting('bench.first')::integer, current_setting('bench.last')::integer) as n (number);

insert into public.sessions (
  id, customer_user_id, mechanic_id, plan, type, status, funding, price_cents, currency, duration_minutes,
  version, created_at, accepted_at, started_at, expires_at, next_warning_at, last_event_at, updated_at
)
select
  m.id, m.customer_id, m.mechanic_id, 'chat10', 'chat', 'live', 'free', 0, 'usd', 120,
  5, m.started_at - interval '2 minutes', m.started_at - interval '1 minute', m.started_at,
  m.started_at + interval '2 hours', m.started_at + w.warned_after, m.started_at, m.started_at
from made as m
cross join (
  select private.next_warning(now() + interval '2 hours', now()) - now() as warned_after
) as w;

insert into public.session_participants (
  session_id, user_id, role, first_joined_at, last_seen_at, is_connected, presence_check_at, created_at, updated_at
)
select
  m.id, p.user_id, p.role, m.started_at, now(), true, now() + interval '1 hour', m.started_at, m.started_at
from made as m
cross join lateral (values (m.customer_id, 'customer'), (m.mechanic_id, 'mechanic')) as p (user_id, role);

insert into public.session_assignments (
  session_id, mechanic_id, status, visible_to_all_at, announced_at, accepted_at, created_at, updated_at
)
select
  m.id, m.mechanic_id, 'accepted', m.started_at - interval '2 minutes', m.started_at - interval '2 minutes',
  m.started_at - interval '1 minute', m.started_at - interval '2 minutes', m.started_at - interval '1 minute'
from made as m;

insert into public.session_events (
  session_id, type, actor_id, actor_role, payload, version, occurred_at, created_at
)
select
  m.id, e.type, e.actor_id, e.actor_role, e.payload, e.version, m.started_at - e.before, m.started_at - e.before
from made as m
cross join lateral (
  values
  (1, 'created', m.customer_id, 'customer', '{"to": "pending"}'::jsonb, interval '2 minutes'),
  (2, 'accepted', m.mechanic_id, 'mechanic', '{"from": "pending", "to": "waiting"}', interval '1 minute'),
  (
    3, 'joined', m.customer_id, 'customer',
    jsonb_build_object('user_id', m.customer_id, 'role', 'customer'), interval '0'
  ),
  (
    4, 'joined', m.mechanic_id, 'mechanic',
    jsonb_build_object('user_id', m.mechanic_id, 'role', 'mechanic'), interval '0'
  ),
  (5, 'started', m.mechanic_id, 'mechanic', '{"from": "waiting", "to": "live"}', interval '0')
) as e (version, type, actor_id, actor_role, payload, before)
order by m.started_at, e.version;

reset session_replication_role;
drop table made;
