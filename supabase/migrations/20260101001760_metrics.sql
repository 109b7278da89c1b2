-- Metrics: how it goes, by day and by hour, over the last 31 days (days and hours are those of UTC), and the dashboard
-- that puts what matters now on one page. What was decided at an end counts, refunded or archived since or not. All of
-- it is for admins and the system: everybody else sees nothing.
-- The functions run without JIT: compiling would take them longer than what they do.

create index sessions_created_at_idx on public.sessions (created_at);
create index sessions_archived_ended_at_idx on public.sessions (ended_at) where status = 'archived';
create index assignment_refusals_created_at_idx on private.assignment_refusals (created_at);
create index session_events_moves_idx on public.session_events (occurred_at)
where source = 'sessions' and type in ('created', 'accepted', 'released', 'due', 'started', 'ended', 'status_changed');

create function private.metrics_since()
returns timestamptz
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return date_trunc('day', private.clock(), 'utc') - interval '30 days';
end;
$$;
comment on function private.metrics_since() is 'Since when metrics look: today and the thirty days before, in UTC.';
revoke all on function private.metrics_since from public, anon, authenticated, service_role;
grant execute on function private.metrics_since to authenticated, service_role;

create function private.ended_since(p_since timestamptz)
returns table (
  session_id uuid, day date, plan text, type text, funding text, mechanic_id uuid, outcome text, reason text,
  is_refunded boolean, is_started boolean, duration_minutes integer, duration_seconds integer, billable_seconds integer
)
language plpgsql
stable
rows 50000
set search_path = ''
as $$
begin
  return query
  select
    s.id, (s.ended_at at time zone 'utc')::date, s.plan, s.type, s.funding, s.mechanic_id,
    case
      when s.status < 'refunded' then s.status::text
      when s.end_reason in ('completed', 'unattended') then s.end_reason
      when s.end_reason = 'orphaned' then 'expired'
      else 'cancelled' end,
    s.end_reason, s.status = 'refunded', s.started_at is not null,
    s.duration_minutes, s.duration_seconds, s.billable_seconds
  from public.sessions s
  where s.ended_at >= p_since and (s.status between 'completed' and 'refunded' or s.status = 'archived');
end;
$$;
comment on function private.ended_since(timestamptz) is
  'The sessions that ended since then, with what their end was decided to be.';
revoke all on function private.ended_since from public, anon, authenticated, service_role;

create function private.rate(p_part bigint, p_total bigint)
returns numeric
language sql
immutable
set search_path = ''
as $$
  select round(p_part::numeric / nullif(p_total, 0), 4)
$$;
comment on function private.rate(bigint, bigint) is 'A part of a total, 0 to 1; null of nothing.';
revoke all on function private.rate from public, anon, authenticated, service_role;

create function private.session_outcomes(p_since timestamptz)
returns table (
  day date, plan text, type text, funding text, created bigint, ended bigint, completed bigint, cancelled bigint,
  no_shows_customer bigint, no_shows_mechanic bigint, expired bigint, unattended bigint, refunded bigint,
  completion_rate numeric, no_show_rate numeric, expired_rate numeric
)
language plpgsql
stable
security definer
set search_path = ''
set jit = off
as $$
begin
  if not private.may_monitor() then
    return;
  end if;
  return query
  with counted as (
    select
      (s.created_at at time zone 'utc')::date as day, s.plan, s.type, s.funding, count(*) as created, 0 as ended,
      0 as completed, 0 as cancelled, 0 as no_shows_customer, 0 as no_shows_mechanic, 0 as expired, 0 as unattended,
      0 as refunded
    from public.sessions s
    where s.created_at >= p_since
    group by 1, 2, 3, 4
    union all
    select
      e.day, e.plan, e.type, e.funding, 0, count(*),
      count(*) filter (where e.outcome = 'completed'), count(*) filter (where e.outcome = 'cancelled'),
      count(*) filter (where e.reason = 'customer_no_show'), count(*) filter (where e.reason = 'mechanic_no_show'),
      count(*) filter (where e.outcome = 'expired'), count(*) filter (where e.outcome = 'unattended'),
      count(*) filter (where e.is_refunded)
    from private.ended_since(p_since) e
    group by 1, 2, 3, 4
  ), summed as (
    select
      c.day, c.plan, c.type, c.funding, sum(c.created)::bigint as created, sum(c.ended)::bigint as ended,
      sum(c.completed)::bigint as completed, sum(c.cancelled)::bigint as cancelled,
      sum(c.no_shows_customer)::bigint as no_shows_customer, sum(c.no_shows_mechanic)::bigint as no_shows_mechanic,
      sum(c.expired)::bigint as expired, sum(c.unattended)::bigint as unattended, sum(c.refunded)::bigint as refunded
    from counted c
    group by c.day, c.plan, c.type, c.funding
  )
  select
    s.*, private.rate(s.completed, s.ended), private.rate(s.no_shows_customer + s.no_shows_mechanic, s.ended),
    private.rate(s.expired, s.ended)
  from summed s
  order by s.day, s.plan, s.type, s.funding;
end;
$$;
comment on function private.session_outcomes(timestamptz) is 'Behind public.metrics_session_outcomes.';
revoke all on function private.session_outcomes from public, anon, authenticated, service_role;
grant execute on function private.session_outcomes to authenticated, service_role;

create view public.metrics_session_outcomes with (security_invoker = on) as
select
  o.day, o.plan, o.type, o.funding, o.created, o.ended, o.completed, o.cancelled, o.no_shows_customer,
  o.no_shows_mechanic, o.expired, o.unattended, o.refunded, o.completion_rate, o.no_show_rate, o.expired_rate
from private.session_outcomes(private.metrics_since()) o;
comment on view public.metrics_session_outcomes is
  'Per day, plan, type and funding: sessions created, and how those that ended on it ended. cancelled contains the '
  'no-shows; refunded are refunded by now, whatever they ended as; rates are parts (0 to 1) of ended. Admins and the '
  'system.';
revoke all on table public.metrics_session_outcomes from public, anon, authenticated, service_role;
grant select on table public.metrics_session_outcomes to authenticated, service_role;

create function private.session_durations(p_since timestamptz)
returns table (
  day date, plan text, type text, sessions bigint, average_seconds numeric, p50_seconds numeric, p95_seconds numeric,
  bought_minutes numeric, used_minutes numeric, used_rate numeric
)
language plpgsql
stable
security definer
set search_path = ''
set jit = off
as $$
begin
  if not private.may_monitor() then
    return;
  end if;
  return query
  select
    e.day, e.plan, e.type, count(*), round(avg(e.duration_seconds), 1),
    round((percentile_cont(0.5) within group (order by e.duration_seconds))::numeric, 1),
    round((percentile_cont(0.95) within group (order by e.duration_seconds))::numeric, 1),
    sum(e.duration_minutes)::numeric, round(sum(e.duration_seconds) / 60.0, 1),
    round(sum(e.duration_seconds) / (60.0 * sum(e.duration_minutes)), 4)
  from private.ended_since(p_since) e
  where e.is_started
  group by e.day, e.plan, e.type
  order by e.day, e.plan, e.type;
end;
$$;
comment on function private.session_durations(timestamptz) is 'Behind public.metrics_session_durations.';
revoke all on function private.session_durations from public, anon, authenticated, service_role;
grant execute on function private.session_durations to authenticated, service_role;

create view public.metrics_session_durations with (security_invoker = on) as
select
  d.day, d.plan, d.type, d.sessions, d.average_seconds, d.p50_seconds, d.p95_seconds, d.bought_minutes, d.used_minutes,
  d.used_rate
from private.session_durations(private.metrics_since()) d;
comment on view public.metrics_session_durations is
  'Per day, plan and type, of the sessions that ended on it and had started: how long they lasted, and the minutes '
  'bought (extensions included) against those used. Admins and the system.';
revoke all on table public.metrics_session_durations from public, anon, authenticated, service_role;
grant select on table public.metrics_session_durations to authenticated, service_role;

create function private.moves_since(p_since timestamptz)
returns table (
  session_id uuid, type text, actor_id uuid, from_status text, to_status text, occurred_at timestamptz, wait interval
)
language plpgsql
stable
rows 200000
set search_path = ''
as $$
begin
  return query
  select
    e.session_id, e.type, e.actor_id, e.payload ->> 'from', e.payload ->> 'to', e.occurred_at,
    e.occurred_at - lag(e.occurred_at) over (partition by e.session_id order by e.id)
  from public.session_events e
  where e.source = 'sessions'
    and e.type in ('created', 'accepted', 'released', 'due', 'started', 'ended', 'status_changed')
    and e.occurred_at >= p_since;
end;
$$;
comment on function private.moves_since(timestamptz) is
  'How sessions came to their statuses since then, and how long they had been in the one before.';
revoke all on function private.moves_since from public, anon, authenticated, service_role;

create function private.longest_waiting()
returns integer
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select extract(epoch from private.clock() - min(w.since))::integer
    from public.sessions s
    cross join lateral (
      select max(e.occurred_at) as since
      from public.session_events e
      where e.session_id = s.id and e.payload ->> 'to' = 'pending'
    ) w
    where s.status = 'pending'
  );
end;
$$;
comment on function private.longest_waiting() is
  'For how many seconds the session that has been in the queue longest has been there.';
revoke all on function private.longest_waiting from public, anon, authenticated, service_role;

create function private.wait_times(p_since timestamptz)
returns table (
  hour timestamptz, queue_depth bigint, accepted bigint, declined bigint, released bigint, started bigint,
  to_accept_p50_seconds numeric, to_accept_p95_seconds numeric, to_start_p50_seconds numeric,
  to_start_p95_seconds numeric, longest_waiting_seconds integer
)
language plpgsql
stable
security definer
set search_path = ''
set jit = off
as $$
declare
  v_this_hour timestamptz := date_trunc('hour', private.clock(), 'utc');
  v_queued bigint;
begin
  if not private.may_monitor() then
    return;
  end if;
  select count(*) into v_queued from public.sessions s where s.status = 'pending';
  return query
  with moved as (
    select
      date_trunc('hour', m.occurred_at, 'utc') as hour, m.type,
      case when m.to_status = 'pending' then 1 else 0 end - case when m.from_status = 'pending' then 1 else 0 end
        as queued,
      case when m.type = 'accepted' and m.from_status = 'pending' then extract(epoch from m.wait) end as to_accept,
      -- Who begins before the booked time did not wait.
      case when m.type = 'started' then case m.from_status
        when 'accepted' then 0 else extract(epoch from m.wait) end end as to_start
    from private.moves_since(p_since) m
  ), counted as (
    select
      m.hour, sum(m.queued) as queued, count(*) filter (where m.type = 'accepted') as accepted,
      count(*) filter (where m.type = 'started') as started,
      percentile_cont(array[0.5, 0.95]) within group (order by m.to_accept) as to_accept,
      percentile_cont(array[0.5, 0.95]) within group (order by m.to_start) as to_start
    from moved m
    group by m.hour
  ), refused as (
    select
      date_trunc('hour', r.created_at, 'utc') as hour, count(*) filter (where r.kind = 'declined') as declined,
      count(*) filter (where r.kind = 'released') as released
    from private.assignment_refusals r
    where r.created_at >= p_since
    group by 1
  )
  select
    h.hour,
    -- What is in the queue now, less what has come into it since.
    v_queued - coalesce(
      sum(c.queued) over (order by h.hour desc rows between unbounded preceding and 1 preceding), 0
    )::bigint,
    coalesce(c.accepted, 0), coalesce(r.declined, 0), coalesce(r.released, 0), coalesce(c.started, 0),
    round(c.to_accept[1]::numeric, 1), round(c.to_accept[2]::numeric, 1), round(c.to_start[1]::numeric, 1),
    round(c.to_start[2]::numeric, 1), case when h.hour = v_this_hour then private.longest_waiting() end
  from generate_series(p_since, v_this_hour, '1 hour') as h (hour)
  left join counted c on c.hour = h.hour
  left join refused r on r.hour = h.hour
  order by h.hour;
end;
$$;
comment on function private.wait_times(timestamptz) is 'Behind public.metrics_wait_times.';
revoke all on function private.wait_times from public, anon, authenticated, service_role;
grant execute on function private.wait_times to authenticated, service_role;

create view public.metrics_wait_times with (security_invoker = on) as
select
  w.hour, w.queue_depth, w.accepted, w.declined, w.released, w.started, w.to_accept_p50_seconds,
  w.to_accept_p95_seconds, w.to_start_p50_seconds, w.to_start_p95_seconds, w.longest_waiting_seconds
from private.wait_times(private.metrics_since()) w;
comment on view public.metrics_wait_times is
  'Per hour: sessions in the queue at its end (of the present one: now), accepts, declines, releases, starts; seconds '
  'in the queue until an accept, and from the accept (or the booked time) to the start; for how long somebody waits '
  'now, in the present hour only. Admins and the system.';
revoke all on table public.metrics_wait_times from public, anon, authenticated, service_role;
grant select on table public.metrics_wait_times to authenticated, service_role;

create function private.mechanic_days(p_since timestamptz)
returns table (
  day date, mechanic_id uuid, offered bigint, accepted bigint, declined bigint, released bigint, no_shows bigint,
  too_short bigint, completed bigint, in_review bigint
)
language plpgsql
stable
security definer
set search_path = ''
set jit = off
as $$
begin
  if not private.may_monitor() then
    return;
  end if;
  return query
  with happened as (
    select (e.occurred_at at time zone 'utc')::date as day, e.actor_id as mechanic_id, e.session_id, e.type as what
    from public.session_events e
    where e.source = 'sessions'
      -- All that the index has, so that it is used.
      and e.type in ('created', 'accepted', 'released', 'due', 'started', 'ended', 'status_changed')
      and e.type = 'accepted'
      and e.occurred_at >= p_since
    union all
    select (s.created_at at time zone 'utc')::date, s.preferred_mechanic_id, s.id, 'asked for'
    from public.sessions s
    where s.created_at >= p_since and s.preferred_mechanic_id is not null
    union all
    select (r.created_at at time zone 'utc')::date, r.mechanic_id, a.session_id, r.kind
    from private.assignment_refusals r
    join public.session_assignments a on a.id = r.assignment_id
    where r.created_at >= p_since
    union all
    select e.day, e.mechanic_id, e.session_id, case e.reason when 'too_short' then 'too short'
      when 'mechanic_no_show' then 'no-show' else e.outcome end
    from private.ended_since(p_since) e
    where e.mechanic_id is not null
    union all
    select e.day, e.mechanic_id, e.session_id, 'in review'
    from private.session_reviews r
    join private.ended_since(p_since) e on e.session_id = r.session_id
    where r.resolved_at is null and e.mechanic_id is not null
  )
  select
    h.day, h.mechanic_id,
    count(distinct h.session_id) filter (where h.what in ('asked for', 'accepted', 'declined')),
    count(*) filter (where h.what = 'accepted'), count(*) filter (where h.what = 'declined'),
    count(*) filter (where h.what = 'released'), count(*) filter (where h.what = 'no-show'),
    count(*) filter (where h.what = 'too short'), count(*) filter (where h.what = 'completed'),
    count(distinct h.session_id) filter (where h.what = 'in review')
  from happened h
  where h.mechanic_id is not null
  group by h.day, h.mechanic_id
  order by h.day, h.mechanic_id;
end;
$$;
comment on function private.mechanic_days(timestamptz) is 'Behind public.metrics_mechanics.';
revoke all on function private.mechanic_days from public, anon, authenticated, service_role;
grant execute on function private.mechanic_days to authenticated, service_role;

create view public.metrics_mechanics with (security_invoker = on) as
select
  m.day, m.mechanic_id, m.offered, m.accepted, m.declined, m.released, m.no_shows, m.too_short, m.completed, m.in_review
from private.mechanic_days(private.metrics_since()) m;
comment on view public.metrics_mechanics is
  'Per mechanic and day: sessions offered (that asked for this one, or that this one accepted or declined), accepted, '
  'declined and released on it; and of those that ended on it: missed by the mechanic, too short, completed, in review '
  'now. Admins and the system.';
revoke all on table public.metrics_mechanics from public, anon, authenticated, service_role;
grant select on table public.metrics_mechanics to authenticated, service_role;

create function private.revenue_impact(p_since timestamptz)
returns table (
  day date, currency text, gross_cents bigint, refunded_cents bigint, lost_to_no_shows_cents bigint,
  paid_out_cents bigint, platform_cents bigint, owed_cents bigint
)
language plpgsql
stable
security definer
set search_path = ''
set jit = off
as $$
declare
  v_first bigint;
begin
  if not private.may_monitor() then
    return;
  end if;
  -- Nothing was posted for a session before it was created, and transfers are numbered as they come.
  select min(n.id) into v_first
  from (
    select t.id
    from private.ledger_transfers t
    where t.created_at >= (
      select min(e.created_at)
      from (
        select s.created_at
        from public.sessions s
        where s.ended_at >= p_since and (s.status between 'completed' and 'refunded' or s.status = 'archived')
        offset 0
      ) e
    )
    offset 0
  ) n;
  return query
  with ended as materialized (
    select e.session_id, e.day, e.reason in ('customer_no_show', 'mechanic_no_show') as is_no_show
    from private.ended_since(p_since) e
  ), moved as (
    select
      e.day, t.currency, t.held_cents as gross, t.refund_cents + t.refunded_later_cents as refunded,
      case when e.is_no_show then t.refund_cents else 0 end as lost, 0 as paid, 0::bigint as platform, 0 as owed
    from ended e
    -- Session by session, by the indexes: all that there ever was would be read otherwise.
    cross join lateral (select t.* from private.settlements t where t.session_id = e.session_id offset 0) t
    where t.held_cents > 0
    union all
    select
      e.day, p.currency, 0, 0, 0,
      case when p.status in ('paid', 'reversed') then p.amount_cents - p.reversed_cents else 0 end, 0,
      case when p.status in ('pending', 'blocked', 'submitted', 'failed', 'needs_reconciliation')
        then p.amount_cents else 0 end
    from ended e
    cross join lateral (select p.* from public.payouts p where p.session_id = e.session_id offset 0) p
    union all
    select e.day, a.currency, 0, 0, 0, 0, n.amount_cents, 0
    from private.ledger_accounts a
    cross join lateral (
      select n.transfer_id, n.amount_cents
      from private.ledger_entries n
      where n.account_id = a.id and n.transfer_id >= v_first
      offset 0
    ) n
    cross join lateral (
      select t.session_id from private.ledger_transfers t where t.id = n.transfer_id offset 0
    ) t
    join ended e on e.session_id = t.session_id
    where a.name in ('platform_revenue', 'promotions')
  )
  select
    m.day, m.currency, sum(m.gross)::bigint, sum(m.refunded)::bigint, sum(m.lost)::bigint, sum(m.paid)::bigint,
    sum(m.platform)::bigint, sum(m.owed)::bigint
  from moved m
  group by m.day, m.currency
  order by m.day, m.currency;
end;
$$;
comment on function private.revenue_impact(timestamptz) is 'Behind public.session_revenue_impact.';
revoke all on function private.revenue_impact from public, anon, authenticated, service_role;
grant execute on function private.revenue_impact to authenticated, service_role;

create view public.session_revenue_impact with (security_invoker = on) as
select
  r.day, r.currency, r.gross_cents, r.refunded_cents, r.lost_to_no_shows_cents, r.paid_out_cents, r.platform_cents,
  r.owed_cents
from private.revenue_impact(private.metrics_since()) r;
comment on view public.session_revenue_impact is
  'Per day and currency, in minor units, of the sessions that ended on it: what was held for them, what went back to '
  'customers until now, what of that because somebody did not come; what was paid out, what the platform keeps (less '
  'what it paid itself), what is still owed in payouts. Admins and the system.';
revoke all on table public.session_revenue_impact from public, anon, authenticated, service_role;
grant select on table public.session_revenue_impact to authenticated, service_role;

-- The dashboard ---------------------------------------------------------------------------------------------------

create type public.health_metric as (
  category text, metric text, value numeric, unit text, status text, detail jsonb
);
comment on type public.health_metric is 'A figure of the dashboard: status is ok, warn or fail.';

create function private.health_of_score(p_metric text, p_health public.session_health)
returns public.health_metric
language sql
immutable
set search_path = ''
as $$
  select (
    'overall', p_metric, p_health.score, 'score', case p_health.grade when 'poor' then 'warn' else 'ok' end,
    to_jsonb(p_health)
  )::public.health_metric
$$;
comment on function private.health_of_score(text, public.session_health) is 'A health score as a row of the dashboard.';
revoke all on function private.health_of_score from public, anon, authenticated, service_role;

create function private.health_of_alerts()
returns setof public.health_metric
language sql
stable
set search_path = ''
as $$
  select
    'alerts', s.severity, coalesce(sum(c.items), 0), 'alerts', case when count(c.kind) = 0 then 'ok' else s.status end,
    coalesce(jsonb_object_agg(c.kind, c.items) filter (where c.kind is not null), '{}')
  from (values ('critical', 'fail', 1), ('warning', 'warn', 2)) as s (severity, status, position)
  left join (
    select a.severity, a.kind, count(*) as items
    from (
      select r.severity, r.kind from private.needing_review(private.recent()) r
      union all
      select
        r.severity,
        concat('rate_', r.detail ->> 'rate', case when r.detail ? 'mechanic_id' then '_of_mechanic' end)
      from private.rates_out_of_bounds() r
    ) a
    group by a.severity, a.kind
  ) c on c.severity = s.severity
  group by s.severity, s.status, s.position
  order by s.position
$$;
comment on function private.health_of_alerts() is 'Active alerts by severity, and in detail by kind.';
revoke all on function private.health_of_alerts from public, anon, authenticated, service_role;

create function private.health_of_sessions(p_since timestamptz)
returns setof public.health_metric
language sql
stable
set search_path = ''
as $$
  with outcomes as (
    select
      coalesce(sum(o.created), 0)::bigint as created, coalesce(sum(o.ended), 0)::bigint as ended,
      coalesce(sum(o.completed), 0)::bigint as completed, coalesce(sum(o.cancelled), 0)::bigint as cancelled,
      coalesce(sum(o.no_shows_customer + o.no_shows_mechanic), 0)::bigint as no_shows,
      coalesce(sum(o.expired), 0)::bigint as expired
    from private.session_outcomes(p_since) o
  ), waits as (
    select
      percentile_cont(0.5) within group (order by m.wait) filter (where m.type = 'accepted') as to_accept,
      percentile_cont(0.5) within group (order by m.wait) filter (where m.type = 'started') as to_start
    from private.moves_since(p_since) m
    where m.from_status in ('pending', 'waiting')
  ), out_of_bounds as (
    select r.detail ->> 'rate' as rate, r.detail from private.rates_out_of_bounds() r where not r.detail ? 'mechanic_id'
  )
  select 'last_24_hours', f.metric, f.value, f.unit, case when b.rate is null then 'ok' else 'warn' end,
    coalesce(b.detail, '{}')
  from outcomes o
  cross join waits w
  cross join lateral (
    values
    (1, 'created', o.created::numeric, 'sessions', null),
    (2, 'ended', o.ended, 'sessions', null),
    (3, 'completed', o.completed, 'sessions', null),
    (4, 'cancelled', o.cancelled, 'sessions', null),
    (5, 'no_shows', o.no_shows, 'sessions', null),
    (6, 'expired', o.expired, 'sessions', null),
    (7, 'completion_rate', round(100 * private.rate(o.completed, o.ended), 1), 'percent', 'completed'),
    (8, 'no_show_rate', round(100 * private.rate(o.no_shows, o.ended), 1), 'percent', 'no_shows'),
    (9, 'expired_rate', round(100 * private.rate(o.expired, o.ended), 1), 'percent', 'expired'),
    (10, 'to_accept_p50', round(extract(epoch from w.to_accept), 1), 'seconds', null),
    (11, 'to_start_p50', round(extract(epoch from w.to_start), 1), 'seconds', null),
    (12, 'longest_waiting', private.longest_waiting(), 'seconds', null)
  ) as f (position, metric, value, unit, rate)
  left join out_of_bounds b on b.rate = f.rate
  order by f.position
$$;
comment on function private.health_of_sessions(timestamptz) is 'The key metrics since then.';
revoke all on function private.health_of_sessions from public, anon, authenticated, service_role;

create function private.health_of_revenue(p_since timestamptz)
returns setof public.health_metric
language sql
stable
set search_path = ''
as $$
  select 'revenue', f.metric, sum(f.cents), 'cents', 'ok', jsonb_build_object('currency', r.currency)
  from private.revenue_impact(p_since) r
  cross join lateral (
    values
    (1, 'gross', r.gross_cents), (2, 'refunded', r.refunded_cents), (3, 'lost_to_no_shows', r.lost_to_no_shows_cents),
    (4, 'paid_out', r.paid_out_cents), (5, 'platform', r.platform_cents), (6, 'owed', r.owed_cents)
  ) as f (position, metric, cents)
  group by r.currency, f.metric, f.position
  order by r.currency, f.position
$$;
comment on function private.health_of_revenue(timestamptz) is
  'The money of the sessions that ended since then, by currency.';
revoke all on function private.health_of_revenue from public, anon, authenticated, service_role;

create function private.health_of_statuses(p_since timestamptz)
returns setof public.health_metric
language sql
stable
set search_path = ''
as $$
  select 'statuses', t.status::text, count(s.status), 'sessions', 'ok', '{}'::jsonb
  from unnest(enum_range(null::public.session_status)) as t (status)
  left join (
    select s.status from public.sessions s where s.status < 'completed'
    union all
    select s.status
    from public.sessions s
    where s.ended_at >= p_since and (s.status between 'completed' and 'refunded' or s.status = 'archived')
  ) s on s.status = t.status
  group by t.status
  order by t.status
$$;
comment on function private.health_of_statuses(timestamptz) is
  'How many sessions are in each status: of the terminal ones those that ended since then.';
revoke all on function private.health_of_statuses from public, anon, authenticated, service_role;

create function private.health_of_work()
returns setof public.health_metric
language sql
stable
set search_path = ''
as $$
  select
    'jobs', h.job, round(extract(epoch from private.clock() - h.last_started_at)), 'seconds',
    case when h.is_late or h.last_error is not null then 'fail' else 'ok' end,
    jsonb_build_object('schedule', h.schedule, 'is_late', h.is_late, 'error', h.last_error)
  from private.job_health() h
  union all
  select 'outbox', f.metric, f.value, f.unit, case when f.is_wrong then 'fail' else 'ok' end, '{}'::jsonb
  from (
    select
      count(*) as waiting,
      greatest(0, round(extract(epoch from private.clock() - min(coalesce(o.leased_until, o.next_attempt_at)))))
        as overdue
    from private.outbox o
    where o.status in ('pending', 'leased')
  ) w
  cross join (select count(*) as dead from private.outbox o where o.status = 'dead') d
  cross join lateral (
    values
    ('waiting', w.waiting::numeric, 'effects', false), ('overdue', coalesce(w.overdue, 0), 'seconds', w.overdue > 900),
    ('dead', d.dead, 'effects', d.dead > 0)
  ) as f (metric, value, unit, is_wrong)
$$;
comment on function private.health_of_work() is
  'Jobs, by the seconds since each began last, and the outbox: effects on their way, how long the oldest is overdue, '
  'and dead ones.';
revoke all on function private.health_of_work from public, anon, authenticated, service_role;

create function private.session_health_dashboard()
returns setof public.health_metric
language plpgsql
stable
security definer
set search_path = ''
set jit = off
as $$
declare
  v_now timestamptz := private.clock();
  v_hour timestamptz := date_trunc('hour', v_now);
  v_since timestamptz := v_now - interval '24 hours';
  v_rows public.health_metric[];
begin
  perform private.require_admin();
  -- Ended at this very moment is ended in it.
  v_rows := array(
    select private.health_of_score('score_now', h)
    from private.health(v_hour, v_hour + interval '1 hour', '1 hour') h
  ) || array(
    select private.health_of_score('score_24_hours', h)
    from private.health(v_since, v_now + interval '1 microsecond', '24 hours 1 microsecond') h
  ) || array(select m from private.health_of_alerts() m)
    || array(select m from private.health_of_sessions(v_since) m)
    || array(select m from private.health_of_revenue(v_since) m)
    || array(select m from private.health_of_statuses(v_since) m)
    || array(select m from private.health_of_work() m);
  return query
  select
    'overall', 'status', (v_rows[2]).value, 'score',
    case when bool_or(r.status = 'fail') then 'fail' when bool_or(r.status = 'warn') then 'warn' else 'ok' end,
    jsonb_build_object('wrong', coalesce(
      jsonb_agg(r.category || ': ' || r.metric order by r.category, r.metric) filter (where r.status <> 'ok'), '[]'
    ))
  from unnest(v_rows) r;
  return query select r.* from unnest(v_rows) r;
end;
$$;
comment on function private.session_health_dashboard() is 'Behind public.session_health_dashboard.';
revoke all on function private.session_health_dashboard from public, anon, authenticated, service_role;
grant execute on function private.session_health_dashboard to authenticated, service_role;

create function public.session_health_dashboard()
returns setof public.health_metric
language sql
stable
set search_path = ''
as $$
  select * from private.session_health_dashboard()
$$;
comment on function public.session_health_dashboard() is
  'All that matters now: category (overall, alerts, last_24_hours, revenue, statuses, jobs, outbox), metric, value, '
  'unit, status (ok, warn, fail; overall: the worst of all), detail. Admins and the system. Errors: role_required.';
revoke all on function public.session_health_dashboard from public, anon, authenticated, service_role;
grant execute on function public.session_health_dashboard to authenticated, service_role;
