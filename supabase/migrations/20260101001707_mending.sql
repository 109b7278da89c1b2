-- Mending: what an admin does about sessions that are wrong. A status that contradicts the decision of its end is
-- corrected, with its times and its money, by new entries and an event that says before and after; money that an ended
-- session lacks or still holds is made good. Nothing here is edited away.

create type public.semantic_fix as (
  session_id uuid,
  status_before public.session_status,
  status_after public.session_status,
  before jsonb,
  after jsonb
);
comment on type public.semantic_fix is
  'A session whose status contradicts its facts: as it is, and as it should be.';

create function private.facts_of(p_session public.sessions)
returns private.end_facts
language plpgsql
stable
set search_path = ''
as $$
declare
  v_facts private.end_facts;
begin
  v_facts.started_at := p_session.started_at;
  v_facts.over_at := p_session.ended_at;
  v_facts.both_present_seconds := coalesce(
    p_session.both_present_seconds, floor(extract(epoch from p_session.ended_at - p_session.started_at))::integer
  );
  v_facts.was_accepted := p_session.mechanic_id is not null;
  v_facts.cause := case p_session.status when 'expired' then 'orphaned' end;
  v_facts.asked_by := private.role_in(p_session, p_session.ended_by);
  return v_facts;
end;
$$;
comment on function private.facts_of(public.sessions) is
  'The facts of an end that nobody recorded, such as an import''s, as far as the row tells them.';
revoke all on function private.facts_of from public, anon, authenticated, service_role;

create type private.end_record as (
  facts private.end_facts,
  rule private.billing_rule,
  is_recorded boolean,
  terms jsonb
);
comment on type private.end_record is
  'What an end is judged by, and whether it was recorded with it or is assumed. terms: the rule with its shares and '
  'fees, as it was recorded.';

create function private.end_record(p_session public.sessions, p_min_billable_seconds integer)
returns private.end_record
language plpgsql
stable
parallel safe
set search_path = ''
as $$
declare
  v_record private.end_record;
begin
  select
    jsonb_populate_record(null::private.end_facts, e.payload -> 'facts'),
    jsonb_populate_record(null::private.billing_rule, e.payload -> 'rule'),
    true,
    e.payload -> 'rule'
  into v_record.facts, v_record.rule, v_record.is_recorded, v_record.terms
  from public.session_events e
  where e.session_id = p_session.id
    and e.source = 'sessions'
    -- Of an import, its birth carries them.
    and e.type in ('created', 'ended', 'corrected')
    and e.payload ? 'facts'
  order by e.id desc
  limit 1;
  if v_record.is_recorded is null then
    v_record.facts := private.facts_of(p_session);
    v_record.rule := (p_min_billable_seconds, 'assumed', 'elapsed')::private.billing_rule;
    v_record.is_recorded := false;
    v_record.terms := to_jsonb(v_record.rule);
  end if;
  return v_record;
end;
$$;
comment on function private.end_record(public.sessions, integer) is
  'The facts and the rule recorded with the end of a session; without a record those of its row, and the shortest '
  'billable session assumed.';
revoke all on function private.end_record from public, anon, authenticated, service_role;

create function private.corrected(p_session public.sessions, p_record private.end_record)
returns public.sessions
language plpgsql
stable
parallel safe
set search_path = ''
as $$
declare
  v_session public.sessions := p_session;
  v_decision private.end_decision := private.decide_end(p_record.facts, p_record.rule);
begin
  if not p_record.is_recorded and v_decision.status = p_session.status then
    -- Nobody wrote down why: the status is all there is to hold the facts against.
    return p_session;
  end if;
  v_session.status := v_decision.status;
  v_session.end_reason := v_decision.reason;
  v_session.duration_seconds := v_decision.duration_seconds;
  v_session.billable_seconds := v_decision.billable_seconds;
  v_session.both_present_seconds := (p_record.facts).both_present_seconds;
  v_session.ended_at := (p_record.facts).over_at;
  v_session.started_at := (p_record.facts).started_at;
  if p_session.started_at is null and v_session.started_at is not null then
    v_session.expires_at := public.calculate_session_expiry(v_session.started_at, p_session.duration_minutes);
  end if;
  return v_session;
end;
$$;
comment on function private.corrected(public.sessions, private.end_record) is
  'An ended session as its facts and its rule have it: the decision is private.decide_end''s.';
revoke all on function private.corrected from public, anon, authenticated, service_role;

create function private.correct_money(
  p_before public.sessions, p_after public.sessions, p_terms jsonb, p_now timestamptz
)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_settled private.settlements;
  v_key text := format('%s:corrected:%s', p_after.id, p_after.version);
  v_kept integer;
  v_share integer;
begin
  select t.* into v_settled from private.settlements t where t.session_id = p_after.id for no key update;
  if v_settled.session_id is null or v_settled.held_cents = 0 then
    if p_after.status <> 'completed' then
      delete from public.mechanic_earnings e where e.session_id = p_after.id;
    -- What an import earned is settled where it came from.
    elsif p_after.mechanic_id is not null and not p_after.metadata ? 'imported' then
      perform private.make_earning(p_after, 0, 0, 0);
    end if;
    return '{}'::jsonb;
  end if;
  v_kept := v_settled.held_cents - v_settled.refund_cents - v_settled.refunded_later_cents;
  if p_before.status = 'completed' and p_after.status <> 'completed' and v_kept > 0 then
    perform private.take_back(p_after, v_key, v_kept, 'session_hold:' || p_after.id, null);
    perform private.give_back(p_after, v_key, v_kept);
    delete from public.mechanic_earnings e where e.session_id = p_after.id;
    return jsonb_build_object('given_back_cents', v_kept);
  elsif p_after.status = 'completed' and p_after.mechanic_id is not null and not exists (
    select from public.mechanic_earnings e where e.session_id = p_after.id
  ) then
    -- The customer keeps what was given back; the mechanic is paid all the same, by the platform.
    v_share := (private.split(
      v_settled.held_cents, true, true, false, null, null,
      coalesce((p_terms ->> 'mechanic_share_bps')::integer, private.setting_integer('mechanic_share_bps')), 0
    )).share_cents;
    perform private.post('earning:' || p_after.id, p_after.id, p_after.ended_at, p_after.currency, jsonb_build_object(
      'promotions', -v_share, 'mechanic_payable:' || p_after.mechanic_id, v_share
    ));
    perform private.make_earning(p_after, v_share, 0, 0);
    perform private.make_payout(
      'session', p_after.id, p_after.mechanic_id, p_after.id, v_share, p_after.currency, p_now
    );
    return jsonb_build_object('paid_by_the_platform_cents', v_share);
  end if;
  return '{}'::jsonb;
end;
$$;
comment on function private.correct_money(public.sessions, public.sessions, jsonb, timestamptz) is
  'The money of a corrected status, in new entries: what was kept of a session that is not completed goes back; for'
  ' one that is, the mechanic is paid, and the customer is not charged again. Locks: settlement, payouts, payments,'
  ' credit.';
revoke all on function private.correct_money from public, anon, authenticated, service_role;

create function private.is_wrong(p_session public.sessions, p_corrected public.sessions)
returns boolean
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
begin
  return (
    p_session.status, p_session.end_reason, p_session.billable_seconds, p_session.duration_seconds,
    p_session.started_at, p_session.ended_at
  ) is distinct from (
    p_corrected.status, p_corrected.end_reason, p_corrected.billable_seconds, p_corrected.duration_seconds,
    p_corrected.started_at, p_corrected.ended_at
  );
end;
$$;
comment on function private.is_wrong(public.sessions, public.sessions) is
  'Whether a correction would change anything.';
revoke all on function private.is_wrong from public, anon, authenticated, service_role;

create function private.correct_session(p_session public.sessions, p_after public.sessions, p_record private.end_record)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_now timestamptz := private.session_clock(p_session);
  v_actor uuid := private.claimed_user();
  v_after public.sessions := p_after;
  v_moved public.sessions := p_after;
  v_money jsonb := private.correct_money(p_session, p_after, p_record.terms, v_now);
begin
  if p_session.status <> p_after.status then
    insert into private.session_corrections (
      session_id, from_status, to_status, reason, corrected_by, before, after
    )
    values (
      p_session.id, p_session.status, p_after.status, 'semantic fix', v_actor,
      to_jsonb(private.record_of(p_session)), to_jsonb(private.record_of(p_after))
    );
  end if;
  v_after.version := p_session.version + 1;
  -- As it is, so that the change of its status is this event and no other.
  v_moved.status := p_session.status;
  perform private.move_session(v_moved, p_after.status, 'corrected', v_now, v_actor, jsonb_build_object(
    'from', p_session.status, 'to', p_after.status, 'reason', p_after.end_reason,
    'billable_seconds', p_after.billable_seconds, 'before', private.record_of(p_session),
    'row', private.record_of(v_after), 'facts', p_record.facts, 'rule', p_record.terms, 'money', v_money
  ));
  perform private.log_op('session.corrected', p_session.id, jsonb_build_object(
    'from', p_session.status, 'to', p_after.status, 'money', v_money
  ));
end;
$$;
comment on function private.correct_session(public.sessions, public.sessions, private.end_record) is
  'Corrects a session, its money and its record in one transaction. Locks: session (held), then those of its money.';
revoke all on function private.correct_session from public, anon, authenticated, service_role;

create function private.apply_semantic_fix(p_dry_run boolean, p_min_billable_seconds integer)
returns setof public.semantic_fix
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_id uuid;
  v_session public.sessions;
  v_after public.sessions;
  v_record private.end_record;
begin
  perform private.require_admin();
  if p_dry_run is null then
    perform private.fail('invalid_argument', 'p_dry_run must be true or false.');
  end if;
  if p_min_billable_seconds is null or p_min_billable_seconds not between 0 and 86400 then
    perform private.fail('invalid_argument', 'p_min_billable_seconds must be between 0 and 86400.');
  end if;
  -- By customer, so that two fixes never wait for each other's credit. Searched as a whole first, as the rows of a loop
  -- are not searched by parallel workers.
  foreach v_id in array array(
    select s.id
    from public.sessions s
    where s.status in ('completed', 'cancelled', 'expired')
      and private.is_wrong(s, private.corrected(s, private.end_record(s, p_min_billable_seconds)))
    order by s.customer_user_id, s.ended_at, s.id
  ) loop
    if p_dry_run then
      select s.* into v_session from public.sessions s where s.id = v_id;
    else
      select s.* into v_session from public.sessions s where s.id = v_id for no key update skip locked;
      continue when not found;
    end if;
    v_record := private.end_record(v_session, p_min_billable_seconds);
    v_after := private.corrected(v_session, v_record);
    -- An arc that corrections do not have is left for a person: it stays in review.
    if private.is_wrong(v_session, v_after) and (v_session.status = v_after.status or exists (
      select
      from private.session_transitions t
      where t.from_status = v_session.status and t.to_status = v_after.status and t.is_correction
    )) then
      if not p_dry_run then
        begin
          perform private.correct_session(v_session, v_after, v_record);
        exception
          when others then
            perform private.log_op('session.correction_failed', v_id, jsonb_build_object('error', sqlerrm));
            continue;
        end;
      end if;
      return next (
        v_session.id, v_session.status, v_after.status, to_jsonb(private.record_of(v_session)),
        to_jsonb(private.record_of(v_after))
      )::public.semantic_fix;
    end if;
  end loop;
end;
$$;
comment on function private.apply_semantic_fix(boolean, integer) is
  'Behind public.apply_semantic_fix. Locks: one session after the other, skipping locked ones, and its money.';
revoke all on function private.apply_semantic_fix from public, anon, authenticated, service_role;
grant execute on function private.apply_semantic_fix to authenticated, service_role;

create function public.apply_semantic_fix(p_dry_run boolean default true, p_min_billable_seconds integer default 60)
returns setof public.semantic_fix
language sql
volatile
set search_path = ''
as $$
  select * from private.apply_semantic_fix(p_dry_run, p_min_billable_seconds)
$$;
comment on function public.apply_semantic_fix(boolean, integer) is
  'Corrects ended sessions whose status, times or seconds contradict the decision of their end: row, money (new '
  'entries; a customer is never charged again), event corrected with before and after. A dry run only lists them. '
  'p_min_billable_seconds counts for sessions that carry no rule, such as imported ones. A session that somebody '
  'holds is left for the next run. Admins and the system; logged. Errors: role_required, invalid_argument.';
revoke all on function public.apply_semantic_fix from public, anon, authenticated, service_role;
grant execute on function public.apply_semantic_fix to authenticated, service_role;

-- Money that is missing or left -----------------------------------------------------------------------------------

create function private.repair_money(p_session_id uuid)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_session public.sessions;
  v_settled private.settlements;
  v_held integer;
  v_count integer;
  v_repaired integer := 0;
begin
  perform private.require_admin();
  v_session := private.lock_session(p_session_id);
  if v_session.id is null then
    perform private.fail('session_not_found');
  end if;
  if v_session.status < 'completed' then
    perform private.fail('session_not_active', 'The money of a session is settled by its end.');
  end if;
  select t.* into v_settled from private.settlements t where t.session_id = p_session_id for no key update;
  if v_session.status = 'completed' and v_settled.session_id is not null then
    v_repaired := private.make_earning(
      v_session, v_settled.share_cents, v_settled.platform_cents, v_settled.referral_cents
    )::integer;
  end if;
  if v_settled.refunded_later_cents = 0 then
    select count(*) into v_count from public.payouts p where p.source_id = p_session_id;
    perform private.make_payout(
      'session', p_session_id, v_session.mechanic_id, p_session_id, v_settled.share_cents, v_settled.currency,
      v_session.ended_at
    )
    where v_settled.share_cents > 0;
    perform private.make_payout(
      'referral', p_session_id, v_settled.referrer_id, p_session_id, v_settled.referral_cents, v_settled.currency,
      v_session.ended_at
    )
    where v_settled.referral_cents > 0;
    v_repaired := v_repaired - v_count + (select count(*) from public.payouts p where p.source_id = p_session_id);
  end if;
  v_held := private.held(p_session_id, v_session.currency);
  if v_held > 0 then
    perform private.give_back(v_session, format('%s:repaired:%s', p_session_id, v_session.version), v_held);
    v_repaired := v_repaired + 1;
  end if;
  delete from private.findings f where f.session_id = p_session_id;
  perform private.log_op('money.repaired', p_session_id, jsonb_build_object('repaired', v_repaired));
  return v_repaired;
end;
$$;
comment on function private.repair_money(uuid) is
  'Behind public.repair_money. Locks: session, settlement, payments, credit, outbox.';
revoke all on function private.repair_money from public, anon, authenticated, service_role;
grant execute on function private.repair_money to authenticated, service_role;

create function public.repair_money(p_session_id uuid)
returns integer
language sql
volatile
set search_path = ''
as $$
  select private.repair_money(p_session_id)
$$;
comment on function public.repair_money(uuid) is
  'Makes good what an ended session lacks or still holds, as it was settled: its earning, its payouts, money left '
  'in its hold (back to the customer); returns how many. Admins and the system; logged. Errors: role_required, '
  'session_not_found, session_not_active, session_locked.';
revoke all on function public.repair_money from public, anon, authenticated, service_role;
grant execute on function public.repair_money to authenticated, service_role;
