-- Verification: eleven sections that say whether everything is as it should be, from the database's own objects to the
-- last cent. Each is a query that finds what is wrong; on a healthy database all are ok. What is judged by a rule is
-- judged by the one stored with the end of the session, never by today's settings.
-- They are in plpgsql, and planned anew for every p_since: of the last weeks little is read, by the indexes, which the
-- random_page_cost of a disk that does not turn makes cheap; of all time the tables are read through and hashed, as a
-- merge by ids that are random reads every page again and again.

create table private.manifest (
  kind text not null,
  name text not null,
  definition text,
  primary key (kind, name),
  constraint kind_is_known check (kind in ('function', 'trigger', 'constraint', 'policy', 'index'))
);
comment on table private.manifest is
  'What the migrations made, by the catalog, and the statement that makes it where one says all: what section 1 misses '
  'when it is gone.';
alter table private.manifest enable row level security;
revoke all on table private.manifest from public, anon, authenticated, service_role;
create policy "nobody reads the manifest directly" on private.manifest using (false);

create function private.objects()
returns table (kind text, name text, is_at_work boolean, definition text, mend text)
language sql
stable
set search_path = ''
as $$
  select 'function', p.oid::regprocedure::text, true, null, null
  from pg_catalog.pg_proc p
  where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
    and not exists (
      select
      from pg_catalog.pg_depend d
      where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
    )
  union all
  select
    'trigger', t.tgrelid::regclass || '.' || t.tgname, t.tgenabled in ('O', 'A'),
    pg_catalog.pg_get_triggerdef(t.oid) || ';',
    format('alter table %s enable trigger %I;', t.tgrelid::regclass, t.tgname)
  from pg_catalog.pg_trigger t
  join pg_catalog.pg_class c on c.oid = t.tgrelid
  where not t.tgisinternal
    and (c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) or t.tgname like 'taximeter\_%')
  union all
  select
    'constraint', c.conrelid::regclass || '.' || c.conname, c.convalidated,
    format(
      'alter table %s add constraint %I %s;', c.conrelid::regclass, c.conname, pg_catalog.pg_get_constraintdef(c.oid)
    ),
    format('alter table %s validate constraint %I;', c.conrelid::regclass, c.conname)
  from pg_catalog.pg_constraint c
  where c.connamespace in ('public'::regnamespace, 'private'::regnamespace) and c.conrelid <> 0 and c.contype <> 't'
  union all
  select
    'policy', p.polrelid::regclass || '.' || p.polname, c.relrowsecurity, null,
    format('alter table %s enable row level security;', p.polrelid::regclass)
  from pg_catalog.pg_policy p
  join pg_catalog.pg_class c on c.oid = p.polrelid
  where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
  union all
  select
    'index', i.indexrelid::regclass::text, i.indisvalid, pg_catalog.pg_get_indexdef(i.indexrelid) || ';',
    format('reindex index %s;', i.indexrelid::regclass)
  from pg_catalog.pg_index i
  join pg_catalog.pg_class c on c.oid = i.indrelid
  where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
    -- One that stands for a constraint comes and goes with it.
    and not exists (select from pg_catalog.pg_constraint k where k.conindid = i.indexrelid and k.conrelid = i.indrelid)
$$;
comment on function private.objects() is
  'Functions, triggers, constraints, policies and indexes: whether each is at work, what makes it and what mends it.';
revoke all on function private.objects from public, anon, authenticated, service_role;

create type public.anomaly as (
  section integer,
  kind text,
  session_id uuid,
  subject text,
  detail text,
  command text
);
comment on type public.anomaly is
  'One thing that a section of the verification found: what, what is wrong with it, and what mends it: a statement, or '
  'a comment that says what a person has to do.';

create function private.structure_anomalies()
returns setof public.anomaly
language sql
stable
set search_path = ''
as $$
  with there as materialized (
    select o.* from private.objects() o
  )
  select
    1, 'structure', null::uuid, m.kind || ' ' || m.name,
    case when t.name is null then 'is missing' else 'is disabled or not valid' end,
    coalesce(t.mend, m.definition, format(
      '-- Run the statement of the migrations that makes the %s %s again, with its grants and its comment.',
      m.kind, m.name
    ))
  from private.manifest m
  left join there t on t.kind = m.kind and t.name = m.name
  where t.is_at_work is not true
  union all
  select 1, 'structure', null, 'manifest', 'is empty', '-- Run the migration "manifest" again.'
  where not exists (select from private.manifest)
  union all
  -- The schedule is a later file; only the operator calls it.
  select
    1, 'structure', null, 'job ' || j.job, 'is not scheduled as it should be',
    format('select private.%I();', 'setup_cron')
  from private.jobs(private.cron_knows_seconds()) j
  where not private.is_scheduled(j.job, j.schedule)
$$;
comment on function private.structure_anomalies() is 'Section 1: functions, triggers, constraints and jobs are there.';
revoke all on function private.structure_anomalies from public, anon, authenticated, service_role;

create function private.status_anomalies(p_since timestamptz)
returns setof public.anomaly
language plpgsql
stable
parallel safe
cost 20e6
set search_path = ''
as $$
begin
  return query
  with contradicted as (
    select a.session_id, a.detail from private.contradictions(p_since) a
  )
  select
    2, 'status_mismatch', c.session_id, c.session_id::text,
    'contradicts the decision recorded with its end: ' || c.detail::text, private.mend_end(c.session_id)
  from contradicted c
  union all
  select
    2, 'final_status', s.id, s.id::text,
    format('is %s, and the facts of its end say %s', s.status, (d.decision).status),
    private.mend_end(s.id)
  from public.session_events e
  join public.sessions s on s.id = e.session_id
  cross join lateral (
    select private.decide_end(
      jsonb_populate_record(null::private.end_facts, e.payload -> 'facts'),
      jsonb_populate_record(null::private.billing_rule, e.payload -> 'rule')
    ) as decision
    -- Decided once for each, and not once for each column.
    offset 0
  ) d
  where e.source = 'sessions'
    and e.type in ('ended', 'corrected')
    and e.created_at >= p_since
    and e.payload ? 'facts'
    and s.ended_at >= p_since
    and s.status in ('completed', 'cancelled', 'expired')
    and (s.status, s.end_reason, s.billable_seconds) is distinct from (
      (d.decision).status, (d.decision).reason, (d.decision).billable_seconds
    )
    and not exists (
      select
      from public.session_events n
      where n.session_id = e.session_id and n.source = e.source and n.type = 'corrected' and n.payload ? 'facts'
        and n.id > e.id
    )
    and not exists (select from contradicted x where x.session_id = s.id);
end;
$$;
comment on function private.status_anomalies(timestamptz) is 'Section 2: sessions with the wrong final status.';
revoke all on function private.status_anomalies from public, anon, authenticated, service_role;

create function private.presence_anomalies(p_since timestamptz)
returns setof public.anomaly
language plpgsql
stable
parallel safe
cost 2e6
set search_path = ''
as $$
begin
  return query
  select
    3, 'presence', f.session_id, f.session_id::text, f.detail,
    format('select private.repair_session(%L);', f.session_id)
  from (
    select a.session_id, format('started, and its %s never joined', a.role) as detail
    from (
      select s.id as session_id, r.role
      from public.sessions s
      cross join (values ('customer'), ('mechanic')) as r (role)
      where s.started_at is not null
        and s.last_event_at >= p_since
        and not exists (
          select
          from public.session_participants p
          where p.session_id = s.id and p.role = r.role and p.closed_at is null and p.first_joined_at is not null
        )
      -- Few are left, whose events are looked up.
      offset 0
    ) a
    -- Begun past the engine, it has no such event.
    where exists (select from public.session_events e where e.session_id = a.session_id and e.type = 'started')
    union all
    select p.session_id, format('its %s is connected, and it is over', p.role)
    from public.session_participants p
    join public.sessions s on s.id = p.session_id
    where p.is_connected and s.status >= 'completed'
    union all
    select s.id, 'is live, and somebody is not there'
    from public.sessions s
    where s.status = 'live'
      and exists (select from public.session_events e where e.session_id = s.id and e.type = 'started')
      and not private.are_both_connected(s.id)
  ) f;
end;
$$;
comment on function private.presence_anomalies(timestamptz) is 'Section 3: who joined, who is connected.';
revoke all on function private.presence_anomalies from public, anon, authenticated, service_role;

create function private.integrity_anomalies(p_since timestamptz)
returns setof public.anomaly
language plpgsql
stable
parallel safe
cost 5e6
set search_path = ''
as $$
begin
  return query
  select 4, 'integrity', f.id, f.id::text, f.detail, format('select private.repair_session(%L);', f.id)
  from (
    select
      s.id, case
        when a.session_id is null then 'has no place in the queue'
        else format('is %s, and its assignment is %s', s.status, a.status) end as detail
    from public.sessions s
    left join public.session_assignments a on a.session_id = s.id
    where s.last_event_at >= p_since
      and case
        when a.session_id is null then not s.metadata ? 'imported'
        when s.status in ('pending', 'scheduled') then a.status <> 'queued'
        when s.status < 'completed' then a.status <> 'accepted' or a.mechanic_id is distinct from s.mechanic_id
        else a.status in ('queued', 'accepted') or a.mechanic_id <> s.mechanic_id end
    union all
    select s.id, format('has no row of its %s', r.role)
    from public.sessions s
    cross join lateral (
      values ('customer', s.customer_user_id), ('mechanic', s.mechanic_id)
    ) as r (role, user_id)
    where s.last_event_at >= p_since
      and not s.metadata ? 'imported'
      and r.user_id is not null
      and not exists (
        select
        from public.session_participants p
        where p.session_id = s.id and p.user_id = r.user_id and p.role = r.role and p.closed_at is null
      )
  ) f;
end;
$$;
comment on function private.integrity_anomalies(timestamptz) is 'Section 4: sessions, their people and places fit.';
revoke all on function private.integrity_anomalies from public, anon, authenticated, service_role;

create function private.present_anomalies()
returns setof public.anomaly
language sql
stable
set search_path = ''
as $$
  select
    4, 'integrity', l.id, s.customer_user_id::text, format('has %s active sessions', count(*)),
    format('select * from public.end_session_with_semantics(%L, ''one too many'');', l.id)
  from public.sessions s
  cross join lateral (
    select n.id
    from public.sessions n
    where n.customer_user_id = s.customer_user_id and n.status < 'completed'
    order by n.created_at desc, n.id desc
    limit 1
  ) l
  where s.status < 'completed'
  group by s.customer_user_id, l.id
  having count(*) > 1
  union all
  select
    4, 'live_past_deadline', a.session_id, a.session_id::text, 'still runs long after its time was over',
    'select public.end_expired_sessions();'
  from private.live_past_deadline() a
  union all
  select
    4, 'both_present_not_live', a.session_id, a.session_id::text, 'both are there, and the meter does not run',
    format('select private.repair_session(%L);', a.session_id)
  from private.both_present_not_live() a
  union all
  select
    4, 'failed_work', f.session_id, f.session_id::text, 'its work failed: ' || f.error,
    private.cure_of(f)
  from private.session_failures f
$$;
comment on function private.present_anomalies() is 'Section 4: what is wrong with sessions that are active now.';
revoke all on function private.present_anomalies from public, anon, authenticated, service_role;

create function private.payout_anomalies(p_since timestamptz)
returns setof public.anomaly
language plpgsql
stable
parallel safe
cost 5e6
set search_path = ''
as $$
begin
  return query
  select
    5, 'completed_without_payout', a.session_id, a.session_id::text, 'is completed without its earning or payout',
    format('select public.repair_money(%L);', a.session_id)
  from private.unpaid(p_since) a
  union all
  select
    5, 'payout_accuracy', f.session_id, f.id::text, f.detail,
    case
      when f.status in ('pending', 'blocked') then f.command || ' select private.audit();'
      else '-- It was sent: settle the difference at Stripe, by a reversal or another transfer.' end
  from (
    select
      d.id, d.session_id, d.status,
      format('is the payout number %s of the kind %s of its source', d.number, d.kind) as detail,
      format('delete from public.payouts where id = %L;', d.id) as command
    from (
      select g.kind, g.source_id
      from public.payouts g
      where g.created_at >= p_since
      group by g.kind, g.source_id
      having count(*) > 1
    ) m
    cross join lateral (
      select
        p.id, p.session_id, p.status, p.kind,
        row_number() over (order by p.stripe_transfer_id nulls last, p.created_at, p.id) as number
      from public.payouts p
      where p.kind = m.kind and p.source_id = m.source_id and p.created_at >= p_since
    ) d
    where d.number > 1
    union all
    select
      p.id, p.session_id, p.status, format('pays %s, and %s was earned', p.amount_cents, k.cents),
      case k.cents
        when 0 then format('delete from public.payouts where id = %L;', p.id)
        else format('update public.payouts set amount_cents = %s where id = %L;', k.cents, p.id) end
    from public.payouts p
    join private.settlements t on t.session_id = p.source_id
    left join public.mechanic_earnings e on e.session_id = p.source_id
    cross join lateral (
      select case
        when p.kind = 'referral' then t.referral_cents
        -- One that was corrected to completed is paid by the platform.
        when t.refund_cents = t.held_cents then coalesce(e.share_cents, 0)
        else t.share_cents end as cents
    ) k
    where p.kind in ('session', 'referral')
      and p.created_at >= p_since
      and p.status <> 'cancelled'
      and (p.amount_cents > k.cents or (p.amount_cents < k.cents and t.refunded_later_cents = 0))
    union all
    select
      p.id, p.session_id, p.status, 'goes to somebody else than who earned it',
      format('update public.payouts set user_id = %L where id = %L;', e.mechanic_id, p.id)
    from public.payouts p
    join public.mechanic_earnings e on e.session_id = p.source_id
    where p.kind = 'session' and p.created_at >= p_since and p.user_id <> e.mechanic_id
  ) f
  union all
  select
    5, 'payout', p.session_id, p.id::text, 'is ' || p.status,
    format('select public.resolve_payout(%L, ''retry'');', p.id)
  from public.payouts p
  where p.status in ('needs_reconciliation', 'failed');
end;
$$;
comment on function private.payout_anomalies(timestamptz) is 'Section 5: who earned is paid, once, and that much.';
revoke all on function private.payout_anomalies from public, anon, authenticated, service_role;

create function private.metadata_anomalies(p_since timestamptz)
returns setof public.anomaly
language plpgsql
stable
parallel safe
cost 1e6
set search_path = ''
as $$
begin
  return query
  select 6, 'metadata', s.id, s.id::text, w.detail, case
    when w.is_about_its_end then private.mend_end(s.id)
    when w.is_lost then '-- The summary is gone: restore the metadata of the session from a backup.'
    else format('select private.repair_session(%L);', s.id) end
  from (
    select
      n.id, n.metadata -> 'summary' is null as has_no_summary,
      n.duration_seconds <> case
        when n.started_at is null then 0
        else floor(extract(epoch from n.ended_at - n.started_at))::integer end as lasted_otherwise,
      n.billable_seconds > n.duration_seconds as is_billed_for_more,
      (n.summary_submitted_at is null) <> (n.metadata -> 'summary' is null) as is_summed_up_otherwise,
      (n.metadata -> 'auto_ended' is not distinct from 'true') <> (n.metadata ->> 'auto_end_reason' is not null)
        as is_closed_otherwise
    from public.sessions n
    where n.ended_at >= p_since and n.status >= 'completed'
  ) s
  cross join lateral (
    values
    (s.lasted_otherwise, 'its seconds are not those from its start to its end', true, false),
    (s.is_billed_for_more, 'more is billed than it lasted', true, false),
    (s.is_summed_up_otherwise, 'its summary and the time of its summary do not fit', false, s.has_no_summary),
    (s.is_closed_otherwise, 'was closed automatically, and nobody says why', false, false)
  ) as w (is_wrong, detail, is_about_its_end, is_lost)
  where (s.lasted_otherwise or s.is_billed_for_more or s.is_summed_up_otherwise or s.is_closed_otherwise)
    and w.is_wrong;
end;
$$;
comment on function private.metadata_anomalies(timestamptz) is 'Section 6: what a row says of itself fits together.';
revoke all on function private.metadata_anomalies from public, anon, authenticated, service_role;

create function private.activity(p_since timestamptz)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_build_object(
    'since', p_since,
    'ended', (
      select coalesce(jsonb_object_agg(x.status, x.sessions), '{}')
      from (
        select s.status, count(*) as sessions
        from public.sessions s
        where s.ended_at >= p_since and s.status between 'completed' and 'refunded'
        group by s.status
      ) x
    ),
    'active', (
      select coalesce(jsonb_object_agg(x.status, x.sessions), '{}')
      from (
        select s.status, count(*) as sessions from public.sessions s where s.status < 'completed' group by s.status
      ) x
    )
  )
$$;
comment on function private.activity(timestamptz) is 'Section 7: sessions that ended since then, and active ones.';
revoke all on function private.activity from public, anon, authenticated, service_role;

create function private.replay_anomalies(p_since timestamptz)
returns setof public.anomaly
language plpgsql
stable
parallel safe
cost 30e6
set search_path = ''
as $$
begin
  return query
  select
    9, 'replay', d.session_id, d.session_id::text, 'the row is not what its events say: ' || d.difference::text, case
      when d.difference ? 'events' then '-- Events are missing or too many: restore them from a backup.'
      when d.difference -> 'row' = '"there is none"' then '-- The row is gone: restore it from a backup.'
      when d.difference - 'summary_submitted_at' = '{}' and s.summary_submitted_at is null
        then format('select private.repair_session(%L);', d.session_id)
      when s.status >= 'completed'
        and d.difference ?| '{status,end_reason,ended_at,duration_seconds,billable_seconds,started_at}'
        then private.mend_end(d.session_id)
      else '-- Row and events contradict each other: see which a backup agrees with, and restore the other.' end
  from private.misfits(p_since) d
  left join public.sessions s on s.id = d.session_id
  union all
  select
    9, 'replay', e.session_id, e.session_id::text,
    format('went from %s to %s', e.came_from, e.came_to),
    '-- No such arc exists: restore the events of the session from a backup.'
  from (
    -- Looked into once.
    select a.session_id, a.type, a.payload ->> 'from' as came_from, a.payload ->> 'to' as came_to
    from public.session_events a
    where a.source = 'sessions' and a.created_at >= p_since
    offset 0
  ) e
  where e.came_from <> e.came_to
    and not exists (
      select
      from private.session_transitions t
      where t.from_status::text = e.came_from
        and t.to_status::text = e.came_to
        and (not t.is_correction or e.type = 'corrected')
    );
end;
$$;
comment on function private.replay_anomalies(timestamptz) is 'Section 9: rows are their events, arcs the machine''s.';
revoke all on function private.replay_anomalies from public, anon, authenticated, service_role;

create function private.ledger_anomalies(p_since timestamptz)
returns setof public.anomaly
language sql
stable
parallel safe
cost 20e6
set search_path = ''
as $$
  select
    10, case v.invariant when 'unapplied money is in review' then 'unapplied_money' else 'ledger' end, w.session_id,
    v.subject, v.invariant || ': ' || v.detail::text, case
      when v.invariant in (
        'an ended session holds nothing', 'a completed session has its earning', 'a share has its payout'
      ) then format('select public.repair_money(%L);', w.session_id)
      when v.invariant = 'an earning has its completed session' then private.mend_end(w.session_id)
      when v.invariant = 'a payout has its earning' and exists (
        select from public.payouts p where p.id::text = v.subject and p.status in ('pending', 'blocked')
      ) then format('delete from public.payouts where id = %L; select private.audit();', v.subject)
      when v.invariant = 'a stored balance is the sum of its entries' then format(
        'do $do$ begin alter table private.ledger_accounts disable trigger ledger_accounts_follow_their_entries; '
        'update private.ledger_accounts a set balance_cents = private.balance(a.name, a.currency) where a.name = %L; '
        'alter table private.ledger_accounts enable trigger ledger_accounts_follow_their_entries; '
        'perform private.audit(); end $do$;', v.subject
      )
      else '-- Money was written past the engine: restore the rows of this transfer, payment or payout from a '
        'backup.' end
  from private.violations(p_since) v
  left join lateral (
    select coalesce(
      (select s.id from public.sessions s where s.id = u.id),
      (select t.session_id from private.ledger_transfers t where t.key = v.subject),
      (select p.session_id from public.payouts p where p.id = u.id),
      (v.detail ->> 'session_id')::uuid
    ) as session_id
    from (select case when v.subject ~ '^[0-9a-f-]{36}$' then v.subject::uuid end as id) u
  ) w on true
$$;
comment on function private.ledger_anomalies(timestamptz) is 'Section 10: the invariants of the money hold.';
revoke all on function private.ledger_anomalies from public, anon, authenticated, service_role;

create function private.liveness_anomalies()
returns setof public.anomaly
language sql
stable
set search_path = ''
as $$
  select
    11, 'job', null::uuid, 'job ' || h.job, coalesce('failed: ' || h.last_error, 'is late'),
    format('select private.%I(%L);', 'run_job', h.job)
  from private.job_health() h
  where h.is_late or h.last_error is not null
  union all
  select
    11, 'dead_outbox', o.session_id, 'outbox ' || o.id, format('%s is dead: %s', o.topic, o.last_error),
    format('select public.requeue_outbox(%s);', o.id)
  from private.outbox o
  where o.status = 'dead'
  union all
  select
    11, 'outbox', null, 'outbox', format('%s effects have waited for more than 15 minutes', count(*)),
    '-- Nobody carries them out: see that the function dispatch-outbox is deployed, and has its secret.'
  from private.outbox o
  where o.status in ('pending', 'leased')
    and coalesce(o.leased_until, o.next_attempt_at) < private.clock() - interval '15 minutes'
  having count(*) > 0
  union all
  select
    11, 'realtime', null, 'realtime ' || h.check_name, h.detail,
    '-- The Realtime server makes its partitions and policies let clients in: restart Realtime, and run '
    'select private.setup_realtime();'
  from private.realtime_health() h
  where not h.is_ok
  union all
  select
    11, 'stripe_event', null, 'stripe event ' || e.id, coalesce('failed: ' || e.error, 'was never processed'),
    format('select public.retry_stripe_event(%L);', e.id)
  from private.stripe_events e
  where e.status = 'failed' or (e.status = 'received' and e.received_at < private.clock() - interval '15 minutes')
$$;
comment on function private.liveness_anomalies() is 'Section 11: jobs run, effects go out, messages are sent.';
revoke all on function private.liveness_anomalies from public, anon, authenticated, service_role;

create function private.anomalies_of_now(p_sections integer[])
returns setof public.anomaly
language plpgsql
stable
set search_path = ''
as $$
begin
  return query
  select a.* from private.structure_anomalies() a where 1 = any(p_sections)
  union all
  select a.* from private.present_anomalies() a where 4 = any(p_sections)
  union all
  select a.* from private.liveness_anomalies() a where 11 = any(p_sections);
end;
$$;
comment on function private.anomalies_of_now(integer[]) is
  'What those of these sections find that look at how things are now: 1, 4 and 11.';
revoke all on function private.anomalies_of_now from public, anon, authenticated, service_role;

create function private.anomalies_of_time(p_since timestamptz, p_sections integer[])
returns setof public.anomaly
language plpgsql
stable
set search_path = ''
as $$
begin
  -- One statement, so that parallel workers take a section each. For that they write nothing, catch no error and do not
  -- ask who calls, and their costs are told: millions of rows, not one.
  return query
  select a.* from private.status_anomalies(p_since) a where 2 = any(p_sections)
  union all
  select a.* from private.presence_anomalies(p_since) a where 3 = any(p_sections)
  union all
  select a.* from private.integrity_anomalies(p_since) a where 4 = any(p_sections)
  union all
  select a.* from private.payout_anomalies(p_since) a where 5 = any(p_sections)
  union all
  select a.* from private.metadata_anomalies(p_since) a where 6 = any(p_sections)
  union all
  select a.* from private.replay_anomalies(p_since) a where 9 = any(p_sections)
  union all
  select a.* from private.ledger_anomalies(p_since) a where 10 = any(p_sections);
end;
$$;
comment on function private.anomalies_of_time(timestamptz, integer[]) is
  'What those of these sections find that search what changed since then: 2 to 6, 9 and 10.';
revoke all on function private.anomalies_of_time from public, anon, authenticated, service_role;

create function private.anomalies(p_since timestamptz, p_sections integer[] default '{1,2,3,4,5,6,9,10,11}')
returns setof public.anomaly
language plpgsql
stable
set search_path = ''
as $$
declare
  v_were_searched boolean;
  v_section integer;
  v_error text;
begin
  begin
    return query select a.* from private.anomalies_of_time(p_since, p_sections) a;
    v_were_searched := true;
  exception
    when others then
      -- Section by section it will show which.
      v_were_searched := false;
  end;
  foreach v_section in array p_sections loop
    begin
      return query select a.* from private.anomalies_of_now(array[v_section]) a;
      if not v_were_searched then
        return query select a.* from private.anomalies_of_time(p_since, array[v_section]) a;
      end if;
    exception
      when others then
        -- What cannot be verified is not well, and must not hide the other sections.
        get stacked diagnostics v_error = message_text;
        return next (
          v_section, 'verification', null, 'section ' || v_section, 'could not be verified: ' || v_error,
          '-- Mend what section 1 shows first.'
        )::public.anomaly;
    end;
  end loop;
end;
$$;
comment on function private.anomalies(timestamptz, integer[]) is
  'Everything that these sections of the verification find in what changed since then.';
revoke all on function private.anomalies from public, anon, authenticated, service_role;

create type public.verification as (section integer, name text, status text, anomalies bigint, detail jsonb);
comment on type public.verification is
  'A section of the verification: ok, warn or fail, how many anomalies, and the first twenty of them.';

create function private.verify_session_end_logic(p_since timestamptz)
returns setof public.verification
language plpgsql
stable
security definer
set search_path = ''
set jit = off
set max_parallel_workers_per_gather = 2
set work_mem = '64MB'
set plan_cache_mode = 'force_custom_plan'
set enable_memoize = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
declare
  v_now timestamptz := private.clock();
  v_since timestamptz := coalesce(p_since, v_now - interval '35 days');
  v_health public.session_health;
begin
  perform private.require_admin();
  select h.* into v_health from private.health(v_now - interval '24 hours', v_now, '24 hours') h;
  return query
  with found as (
    select a.*, row_number() over (partition by a.section order by a.subject, a.detail) as number
    from private.anomalies(v_since) a
  ), counted as (
    select
      f.section, count(*) as anomalies,
      jsonb_agg(jsonb_build_object(
        'subject', f.subject, 'session_id', f.session_id, 'detail', f.detail, 'command', f.command
      ) order by f.number)
        filter (where f.number <= 20) as detail
    from found f
    group by f.section
  )
  select
    s.section, s.name,
    case
      when s.section = 8 and v_health.grade = 'poor' then 'warn'
      when c.anomalies > 0 then 'fail'
      else 'ok' end,
    coalesce(c.anomalies, 0),
    case s.section
      when 7 then private.activity(v_now - interval '24 hours')
      when 8 then to_jsonb(v_health)
      else coalesce(c.detail, '[]') end
  from (
    values
    (1, 'functions, triggers, constraints and jobs'), (2, 'final statuses'), (3, 'join tracking'),
    (4, 'data integrity'), (5, 'payout accuracy'), (6, 'metadata consistency'), (7, 'recent activity'),
    (8, 'health score'), (9, 'state machine and replay'), (10, 'ledger invariants'), (11, 'jobs and outbox')
  ) as s (section, name)
  left join counted c on c.section = s.section
  order by s.section;
end;
$$;
comment on function private.verify_session_end_logic(timestamptz) is 'Behind public.verify_session_end_logic.';
revoke all on function private.verify_session_end_logic from public, anon, authenticated, service_role;
grant execute on function private.verify_session_end_logic to authenticated, service_role;

create function public.verify_session_end_logic(p_since timestamptz default null)
returns setof public.verification
language sql
stable
set search_path = ''
as $$
  select * from private.verify_session_end_logic(p_since)
$$;
comment on function public.verify_session_end_logic(timestamptz) is
  'Verifies what changed since then (null: 35 days) in eleven sections: section, name, status (ok, warn, fail), '
  'anomalies, detail (the first twenty: subject, session_id, detail, and command, which mends it or, as a comment, '
  'says what a person has to do). Linear in the number of sessions. Admins and the system. '
  'Errors: role_required.';
revoke all on function public.verify_session_end_logic from public, anon, authenticated, service_role;
grant execute on function public.verify_session_end_logic to authenticated, service_role;

-- The audit: what is too dear to look for at every glance is found once an hour, and kept for the review.

create table private.audits (
  only_row boolean primary key default true,
  audited_at timestamptz not null,
  constraint there_is_one_row check (only_row)
);
comment on table private.audits is 'When the last audit was.';
alter table private.audits enable row level security;
revoke all on table private.audits from public, anon, authenticated, service_role;
create policy "nobody reads audits directly" on private.audits using (false);
insert into private.audits (audited_at) values (private.clock());

create function private.audit_sections(p_sections integer[])
returns integer
language plpgsql
set search_path = ''
set jit = off
set work_mem = '64MB'
set plan_cache_mode = 'force_custom_plan'
set enable_memoize = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
declare
  v_now timestamptz := private.clock();
  v_known jsonb;
  v_found integer;
begin
  with gone as (
    delete from private.findings f where f.section = any(p_sections) returning f.kind, f.subject, f.found_at
  )
  select coalesce(jsonb_object_agg(g.kind || ' ' || g.subject, g.found_at), '{}') into v_known from gone g;
  insert into private.findings (
    section, kind, session_id, session_version, subject, severity, detail, command, found_at
  )
  select
    a.section, a.kind, a.session_id, s.version, a.subject,
    case when a.kind in ('presence', 'metadata') then 'warning' else 'critical' end,
    string_agg(distinct a.detail, '; '), min(a.command),
    coalesce((v_known ->> (a.kind || ' ' || a.subject))::timestamptz, v_now)
  from private.anomalies(v_now - interval '35 days', p_sections) a
  left join public.sessions s on s.id = a.session_id
  -- The others have alerts, which are always of now.
  where a.kind in (
    'final_status', 'presence', 'integrity', 'payout_accuracy', 'metadata', 'replay', 'ledger', 'verification'
  )
  group by a.section, a.kind, a.subject, a.session_id, s.version;
  get diagnostics v_found = row_count;
  return v_found;
end;
$$;
comment on function private.audit_sections(integer[]) is
  'Looks for what these sections of the verification find wrong in 35 days, keeps it for the review instead of what '
  'they found before, and says how many there are. Locks: the row of the last audit (held).';
revoke all on function private.audit_sections from public, anon, authenticated, service_role;

create function private.audit()
returns integer
language plpgsql
set search_path = ''
as $$
begin
  update private.audits u set audited_at = private.clock() where u.only_row;
  return private.audit_sections('{2,3,4,5,6,9,10}');
end;
$$;
comment on function private.audit() is
  'Looks for everything that is wrong with the sessions and the money of 35 days, keeps it for the review and says how '
  'many there are. The monitor and operators. Locks: the row of the last audit.';
revoke all on function private.audit from public, anon, authenticated, service_role;

create function private.audit_when_due(p_now timestamptz)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_audited_at timestamptz;
  v_found integer[] := array(select distinct f.section from private.findings f);
begin
  select u.audited_at into v_audited_at
  from private.audits u
  where u.audited_at <= p_now - interval '1 hour' or v_found <> '{}'
  for no key update skip locked;
  if v_audited_at <= p_now - interval '1 hour' then
    perform private.audit();
  elsif found then
    perform private.audit_sections(v_found);
  end if;
exception
  when others then
    -- The rest of the monitor goes on without it.
    perform private.log_op('audit.failed', null, jsonb_build_object('error', sqlerrm));
end;
$$;
comment on function private.audit_when_due(timestamptz) is
  'An audit once an hour, and meanwhile of each section that has found something, until it is mended. Locks: the row '
  'of the last audit, skipped when held.';
revoke all on function private.audit_when_due from public, anon, authenticated, service_role;
