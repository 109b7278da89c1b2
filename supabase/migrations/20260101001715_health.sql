-- Health: how well it goes, as a number an hour. Sessions count in the hour of their end; what is in review now counts
-- against the hour it ended in.

create type public.session_health as (
  period_start timestamptz,
  period_end timestamptz,
  total bigint,
  completed bigint,
  cancelled bigint,
  expired bigint,
  anomalies bigint,
  score numeric,
  grade text
);
comment on type public.session_health is
  'The sessions that ended in a period and how well it went: score 0 to 100, grade excellent, good, fair or poor.';

create function private.score(p_total bigint, p_no_shows bigint, p_expired bigint, p_anomalies bigint)
returns numeric
language plpgsql
stable
set search_path = ''
as $$
declare
  v_min_total integer := private.setting_integer('health_min_total');
begin
  if p_total = 0 then
    return 100.0;
  end if;
  return round(greatest(
    0,
    100 - 100.0 * p_anomalies / p_total
    - case when p_total >= v_min_total and p_no_shows * 10000 > p_total * private.setting_integer('health_no_show_bps')
      then 20 else 0 end
    - case when p_total >= v_min_total and p_expired * 10000 > p_total * private.setting_integer('health_expired_bps')
      then 20 else 0 end
  ), 1);
end;
$$;
comment on function private.score(bigint, bigint, bigint, bigint) is
  'The health score of so many ended sessions: 100, less the part in review, less 20 each for too many no-shows and'
  ' too many expired (from health_min_total on), not below 0; one decimal.';
revoke all on function private.score from public, anon, authenticated, service_role;

create function private.grade(p_score numeric)
returns text
language sql
immutable
set search_path = ''
as $$
  select case when p_score >= 95 then 'excellent' when p_score >= 85 then 'good' when p_score >= 70 then 'fair'
    else 'poor' end
$$;
comment on function private.grade(numeric) is
  'The grade of a health score.';
revoke all on function private.grade from public, anon, authenticated, service_role;

create function private.health(p_from timestamptz, p_to timestamptz, p_step interval)
returns setof public.session_health
language plpgsql
stable
set search_path = ''
as $$
begin
  return query
  with in_review as materialized (
    select distinct r.session_id from private.needing_review(p_from) r where r.session_id is not null
  ), counted as (
    select
      date_bin(p_step, s.ended_at, p_from) as starts,
      count(*) as total,
      count(*) filter (where s.status = 'completed') as completed,
      count(*) filter (where s.status = 'cancelled') as cancelled,
      count(*) filter (where s.status = 'expired') as expired,
      count(*) filter (where s.end_reason in ('customer_no_show', 'mechanic_no_show')) as no_shows,
      count(r.session_id) as anomalies
    from public.sessions s
    left join in_review r on r.session_id = s.id
    where s.ended_at >= p_from and s.ended_at < p_to and s.status between 'completed' and 'refunded'
    group by 1
  )
  select
    p.starts, p.starts + p_step, coalesce(c.total, 0), coalesce(c.completed, 0), coalesce(c.cancelled, 0),
    coalesce(c.expired, 0), coalesce(c.anomalies, 0), g.score, private.grade(g.score)
  from generate_series(p_from, p_to - interval '1 microsecond', p_step) as p (starts)
  left join counted c on c.starts = p.starts
  cross join lateral (
    select private.score(
      coalesce(c.total, 0), coalesce(c.no_shows, 0), coalesce(c.expired, 0), coalesce(c.anomalies, 0)
    ) as score
  ) g
  order by p.starts;
end;
$$;
comment on function private.health(timestamptz, timestamptz, interval) is
  'The health of every step from p_from to p_to, by the sessions that ended in it.';
revoke all on function private.health from public, anon, authenticated, service_role;

create function private.calculate_session_health_score(p_hours integer)
returns setof public.session_health
language plpgsql
stable
security definer
set search_path = ''
set jit = off
as $$
declare
  v_until timestamptz := date_trunc('hour', private.clock()) + interval '1 hour';
begin
  perform private.require_admin();
  if p_hours is null or p_hours not between 1 and 720 then
    perform private.fail('invalid_argument', 'p_hours must be between 1 and 720.');
  end if;
  return query select h.* from private.health(v_until - make_interval(hours => p_hours), v_until, '1 hour') h;
end;
$$;
comment on function private.calculate_session_health_score(integer) is
  'Behind public.calculate_session_health_score.';
revoke all on function private.calculate_session_health_score from public, anon, authenticated, service_role;
grant execute on function private.calculate_session_health_score to authenticated, service_role;

create function public.calculate_session_health_score(p_hours integer default 24)
returns setof public.session_health
language sql
stable
set search_path = ''
as $$
  select * from private.calculate_session_health_score(p_hours)
$$;
comment on function public.calculate_session_health_score(integer) is
  'The health of each of the last p_hours hours (1 to 720), the present one last, by the sessions that ended in it:'
  ' period_start, period_end, total, completed, cancelled, expired, anomalies (in review now), score, grade. Admins'
  ' and the system. Errors: role_required, invalid_argument.';
revoke all on function public.calculate_session_health_score from public, anon, authenticated, service_role;
grant execute on function public.calculate_session_health_score to authenticated, service_role;
