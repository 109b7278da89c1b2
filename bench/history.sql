-- Two years of sessions up to now, bench.sessions of them: every plan, funding, outcome and many ways there, with their
-- people, places, events, money, payouts and messages in the shapes that the engine gives them, so that a replay equals
-- every row and every invariant holds. Beside them a hundred that are still active.
-- Run as a superuser on an empty database. No trigger runs, as in live_sessions.sql. Ids are made from numbers, and
-- those of what private.new_id names from a time as well.

set session_replication_role = 'replica';
set timezone = 'UTC';
set work_mem = '256MB';
set maintenance_work_mem = '512MB';
set jit = off;
select setseed(0.42);

-- Many rows come faster without the indexes that no constraint needs; they are made again at the end.
create temporary table dropped as
select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as definition
from pg_index as i
join pg_class as c on c.oid = i.indrelid
where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
  and not i.indisunique
  and not exists (select from pg_constraint as k where k.conindid = i.indexrelid);

do $$
declare
  v_name text;
begin
  for v_name in select name from dropped loop
    execute 'drop index ' || v_name;
  end loop;
end
$$;

create temporary table settled as
select
  now() as now, n.sessions, greatest(n.sessions / 4, 100) as customers, greatest(n.sessions / 2000, 20) as mechanics
from (select current_setting('bench.sessions')::integer as sessions) as n;

create function pg_temp.id_of(p_what text, p_at timestamptz) returns uuid
language sql stable
as $$
  select overlay(
    md5(p_what) placing lpad(to_hex(floor(extract(epoch from p_at) * 1000)::bigint), 12, '0') || '7' from 1
  )::uuid
$$;

-- The dice of every session, and what comes of them.
create temporary table life as
with dice as (
  select
    n.number,
    date_trunc('second', s.now - interval '6 hours' - (s.sessions - n.number) * interval '2 years' / s.sessions) as at,
    1 + floor(random() * s.customers)::integer as customer, 1 + floor(random() * s.mechanics)::integer as mechanic,
    1 + floor(random() * s.mechanics)::integer as other,
    random() as by_plan, random() as by_funding, random() as by_kind, random() as by_wait, random() as by_length,
    random() as by_extra
  from settled as s
  cross join generate_series(1, s.sessions) as n (number)
), kinds as (
  select
    d.*,
    case when d.by_funding < 0.3 then 'free' when d.by_funding < 0.8 then 'paid' else 'credit' end as funding,
    case
      when d.by_kind < 0.62 then 'completed'
      when d.by_kind < 0.64 then case when d.by_funding < 0.3 then 'completed' else 'refunded' end
      when d.by_kind < 0.67 then case when d.mechanic = d.other then 'completed' else 'released' end
      when d.by_kind < 0.72 then 'booked'
      when d.by_kind < 0.77 then 'too_short'
      when d.by_kind < 0.80 then 'customer_no_show'
      when d.by_kind < 0.82 then 'mechanic_no_show'
      when d.by_kind < 0.90 then 'cancelled_before_accept'
      when d.by_kind < 0.955 then 'cancelled_by_customer'
      when d.by_kind < 0.965 then 'cancelled_by_mechanic'
      when d.by_kind < 0.99 then 'orphaned'
      else 'unattended' end as kind
  from dice as d
), timed as (
  select
    k.*, p.slug as plan, p.type, p.price_cents, p.currency, p.duration_minutes as bought,
    k.kind in ('completed', 'refunded', 'released', 'booked') as is_completed,
    k.kind not in ('cancelled_before_accept', 'orphaned', 'unattended') as is_accepted,
    k.kind = 'completed' and k.funding = 'paid' and k.by_extra < 0.06 as is_extended,
    case k.kind when 'booked' then k.at - interval '1 day' else k.at end as created_at,
    case k.kind when 'booked' then k.at end as scheduled_for,
    k.at + make_interval(secs => case k.kind
      when 'booked' then -82800 when 'released' then 90 else 20 end + floor(280 * k.by_wait)) as accepted_at,
    k.at + make_interval(secs => case k.kind
      when 'booked' then 5 when 'released' then 100 else 30 end + floor(280 * k.by_wait)) as joined_at
  from kinds as k
  join public.plans as p
    on p.slug = case when k.by_plan < 0.5 then 'chat10' when k.by_plan < 0.85 then 'video15' else 'diagnostic' end
), played as (
  select
    t.*,
    t.is_completed or t.kind = 'too_short' as is_served,
    t.joined_at + make_interval(secs => 5 + floor(100 * t.by_extra)) as started_at,
    t.bought + case when t.is_extended then 15 else 0 end as minutes,
    case
      when t.kind = 'too_short' then 5 + floor(50 * t.by_length)
      when t.by_length > 0.9 then 60 * t.bought
      else 60 + floor(t.by_length * 60 * (t.bought - 1)) end::integer as seconds
  from timed as t
)
select
  p.*, pg_temp.id_of('session' || p.number, p.created_at) as id, md5('customer' || p.customer)::uuid as customer_id,
  case when p.is_accepted then md5('mechanic' || p.mechanic)::uuid end as mechanic_id,
  md5('mechanic' || p.other)::uuid as other_id, pg_temp.id_of('assignment' || p.number, p.created_at) as assignment_id,
  pg_temp.id_of('payment' || p.number, p.created_at) as payment_id,
  pg_temp.id_of('extension' || p.number, p.created_at) as extension_id,
  pg_temp.id_of('extension payment' || p.number, p.created_at) as extension_payment_id,
  pg_temp.id_of('payout' || p.number, p.created_at) as payout_id,
  pg_temp.id_of('referral' || p.number, p.created_at) as referral_id,
  case when p.mechanic % 10 = 2 then md5('mechanic' || p.mechanic - 1)::uuid end as referrer_id,
  p.is_completed and p.seconds > 300 and p.by_extra > 0.8 as is_interrupted,
  -- Of which the numbers of its transfers are made, after those of the grants.
  1000000000 + p.number::bigint * 16 as ledger_id,
  p.price_cents * (p.funding <> 'free')::integer + 500 * p.is_extended::integer as held_cents,
  case
    when p.is_served then p.started_at + make_interval(secs => p.seconds)
    when p.kind in ('customer_no_show', 'mechanic_no_show') then p.joined_at + interval '15 minutes'
    when p.kind = 'orphaned' then p.created_at + interval '2 hours 1 minute'
    when p.kind = 'unattended' then p.created_at + interval '30 minutes'
    when p.is_accepted then p.accepted_at + interval '4 minutes'
    else p.created_at + make_interval(secs => 20 + floor(280 * p.by_wait)) end as ended_at,
  case when p.is_completed then 'completed' when p.kind = 'orphaned' then 'expired'
    when p.kind = 'unattended' then 'unattended' else 'cancelled' end::public.session_status as outcome,
  case when p.is_completed then 'completed' else p.kind end as reason,
  case p.kind when 'cancelled_by_customer' then 'customer' when 'cancelled_before_accept' then 'customer'
    when 'mechanic_no_show' then 'customer' when 'customer_no_show' then 'mechanic'
    when 'cancelled_by_mechanic' then 'mechanic' when 'too_short' then 'customer' end as asked_by
from played as p;

analyze life;

-- People ------------------------------------------------------------------------------------------------------------

insert into public.profiles (id, display_name, created_at, updated_at)
select md5(k.kind || n.number)::uuid, initcap(k.kind) || ' ' || n.number, s.now - interval '3 years', s.now
from settled as s
cross join lateral (
  values ('customer', s.customers), ('mechanic', s.mechanics), ('active customer', 100), ('active mechanic', 100)
) as k (kind, people)
cross join lateral generate_series(1, k.people) as n (number);

insert into public.mechanics (id, status, referred_by, created_at, updated_at)
select
  md5(k.kind || n.number)::uuid, 'approved',
  case when k.kind = 'mechanic' and n.number % 10 = 2 then md5('mechanic' || n.number - 1)::uuid end,
  s.now - interval '3 years', s.now
from settled as s
cross join lateral (values ('mechanic', s.mechanics), ('active mechanic', 100)) as k (kind, people)
cross join lateral generate_series(1, k.people) as n (number);

insert into private.stripe_accounts (user_id, account, updated_at)
select m.id, 'acct_' || substr(md5(m.id::text), 1, 12), s.now
from public.mechanics as m
cross join settled as s;

-- Events ------------------------------------------------------------------------------------------------------------

insert into public.session_events (
  session_id, type, actor_id, actor_role, payload, version, occurred_at, created_at
)
select l.id, e.type, e.actor_id, e.actor_role, e.payload, e.version, e.at, e.at
from life as l
cross join lateral (
  select h.*, row_number() over (order by h.position) as version
  from (
      values
      (
        1, true, 'created', 'customer', l.customer_id, l.created_at,
        jsonb_strip_nulls(jsonb_build_object(
          'to', case l.kind when 'booked' then 'scheduled' else 'pending' end, 'plan', l.plan, 'funding', l.funding,
          'price_cents', l.price_cents * (l.funding <> 'free')::integer, 'currency', l.currency,
          'duration_minutes', l.bought, 'scheduled_for', l.scheduled_for
        ))
      ),
      (
        2, l.kind = 'released', 'accepted', 'mechanic', l.other_id, l.created_at + interval '20 seconds',
        jsonb_build_object('from', 'pending', 'to', 'waiting', 'assignment_id', l.assignment_id)
      ),
      (
        3, l.kind = 'released', 'released', 'mechanic', l.other_id, l.created_at + interval '60 seconds',
        jsonb_build_object(
          'from', 'waiting', 'to', 'pending', 'assignment_id', l.assignment_id, 'mechanic_id', l.other_id
        )
      ),
      (
        4, l.is_accepted, 'accepted', 'mechanic', l.mechanic_id, l.accepted_at,
        jsonb_build_object(
          'from', case l.kind when 'booked' then 'scheduled' else 'pending' end,
          'to', case l.kind when 'booked' then 'accepted' else 'waiting' end, 'assignment_id', l.assignment_id
        )
      ),
      (
        5, l.kind = 'booked', 'due', 'system', null, l.scheduled_for,
        jsonb_build_object('from', 'accepted', 'to', 'waiting')
      ),
      (
        6, l.is_served or l.kind = 'mechanic_no_show', 'joined', 'customer', l.customer_id, l.joined_at,
        jsonb_build_object('user_id', l.customer_id, 'role', 'customer')
      ),
      (
        7, l.is_served, 'joined', 'mechanic', l.mechanic_id, l.started_at,
        jsonb_build_object('user_id', l.mechanic_id, 'role', 'mechanic')
      ),
      (
        7, l.kind = 'customer_no_show', 'joined', 'mechanic', l.mechanic_id, l.joined_at,
        jsonb_build_object('user_id', l.mechanic_id, 'role', 'mechanic')
      ),
      (
        8, l.is_served, 'started', 'mechanic', l.mechanic_id, l.started_at,
        jsonb_build_object(
          'from', 'waiting', 'to', 'live', 'expires_at', l.started_at + make_interval(mins => l.bought)
        )
      ),
      (
        9, l.is_extended, 'extended', 'customer', l.customer_id, l.started_at + interval '40 seconds',
        jsonb_build_object(
          'extension_id', l.extension_id, 'minutes', 15, 'price_cents', 500, 'currency', l.currency,
          'payment_id', l.extension_payment_id, 'duration_minutes', l.minutes,
          'expires_at', l.started_at + make_interval(mins => l.minutes)
        )
      ),
      (
        10, l.is_interrupted, 'left', 'customer', l.customer_id, l.started_at + interval '100 seconds',
        jsonb_build_object('user_id', l.customer_id, 'role', 'customer')
      ),
      (
        11, l.is_interrupted, 'reconnecting', 'customer', l.customer_id, l.started_at + interval '100 seconds',
        jsonb_build_object(
          'from', 'live', 'to', 'reconnecting', 'absent_role', 'customer',
          'grace_ends_at', l.started_at + interval '1000 seconds'
        )
      ),
      (
        12, l.is_interrupted, 'joined', 'customer', l.customer_id, l.started_at + interval '130 seconds',
        jsonb_build_object('user_id', l.customer_id, 'role', 'customer')
      ),
      (
        13, l.is_interrupted, 'resumed', 'customer', l.customer_id, l.started_at + interval '130 seconds',
        jsonb_build_object('from', 'reconnecting', 'to', 'live')
      ),
      (
        14, true, 'ended', coalesce(l.asked_by, 'system'),
        case l.asked_by when 'customer' then l.customer_id when 'mechanic' then l.mechanic_id end, l.ended_at,
        jsonb_build_object(
          'to', l.outcome,
          'from', case when l.is_served then 'live' when l.is_accepted then 'waiting' else 'pending' end,
          'rule', jsonb_build_object(
            'policy', case when not l.is_completed then '{"refund_bps": 10000, "mechanic_bps": 0}'::jsonb end,
            'source', 'settings', 'billable_basis', 'elapsed', 'referral_fee_bps', 200, 'mechanic_share_bps', 7000,
            'min_billable_seconds', 60
          ),
          'facts', jsonb_build_object(
            'cause', case when l.kind in ('orphaned', 'unattended') then l.kind end, 'over_at', l.ended_at,
            'asked_by', l.asked_by, 'started_at', case when l.is_served then l.started_at end,
            'was_accepted', l.is_accepted,
            'both_present_seconds',
            case when l.is_served then l.seconds - case when l.is_interrupted then 30 else 0 end else 0 end,
            'no_show_after_seconds', case when not l.is_served then 600 end,
            'customer_waited_seconds', case l.kind when 'mechanic_no_show' then 900 end,
            'mechanic_waited_seconds', case l.kind when 'customer_no_show' then 900 end
          ),
          'reason', l.reason, 'billable_seconds', case when l.is_served then l.seconds else 0 end,
          'duration_seconds', case when l.is_served then l.seconds else 0 end
        )
      ),
      (
        15, l.kind = 'refunded', 'refunded', 'system', null, l.ended_at + interval '1 hour',
        jsonb_build_object(
          'from', 'completed', 'to', 'refunded', 'key', 'admin', 'amount_cents', l.held_cents, 'currency', l.currency
        )
      )
  ) as h (position, is_there, type, actor_role, actor_id, at, payload)
  where h.is_there
) as e;

-- Sessions, their people and places -----------------------------------------------------------------------------------

insert into public.sessions (
  id, customer_user_id, mechanic_id, preferred_mechanic_id, plan, type, status, funding, price_cents, currency, intake,
  scheduled_for, accepted_at, started_at, ended_at, expires_at, duration_minutes, duration_seconds, billable_seconds,
  both_present_seconds, end_reason, ended_by, version, last_event_at, created_at, updated_at
)
select
  l.id, l.customer_id, l.mechanic_id, case when l.by_extra < 0.1 then l.mechanic_id end, l.plan, l.type,
  case l.kind when 'refunded' then 'refunded'::public.session_status else l.outcome end, l.funding,
  l.price_cents * (l.funding <> 'free')::integer, l.currency, '{"concern": "A noise when braking."}',
  l.scheduled_for, case when l.is_accepted then l.accepted_at end, case when l.is_served then l.started_at end,
  l.ended_at, case when l.is_served then l.started_at + make_interval(mins => l.minutes) end, l.minutes,
  t.seconds, t.seconds, t.seconds - case when l.is_interrupted then 30 else 0 end, l.reason,
  case l.asked_by when 'customer' then l.customer_id when 'mechanic' then l.mechanic_id end,
  -- Its events: the birth and the end, and what came between.
  2 + l.is_accepted::integer + 2 * (l.kind = 'released')::integer + (l.kind = 'booked')::integer
  + 3 * l.is_served::integer + (l.kind in ('customer_no_show', 'mechanic_no_show'))::integer
  + l.is_extended::integer + 4 * l.is_interrupted::integer + (l.kind = 'refunded')::integer,
  t.at, l.created_at, t.at
from life as l
cross join lateral (
  select
    case when l.is_served then l.seconds else 0 end as seconds,
    l.ended_at + case l.kind when 'refunded' then interval '1 hour' else interval '0' end as at
) as t;

insert into public.session_participants (
  session_id, user_id, role, first_joined_at, last_seen_at, left_at, closed_at, created_at, updated_at
)
select l.id, p.user_id, p.role, p.joined_at, p.left_at, p.left_at, p.closed_at, p.created_at, l.ended_at
from life as l
cross join lateral (
  values
  (
    true, l.customer_id, 'customer', case when l.is_served or l.kind = 'mechanic_no_show' then l.joined_at end,
    case when l.is_served or l.kind = 'mechanic_no_show' then l.ended_at end, null::timestamptz, l.created_at
  ),
  (
    l.is_accepted, l.mechanic_id, 'mechanic',
    case when l.is_served then l.started_at when l.kind = 'customer_no_show' then l.joined_at end,
    case when l.is_served or l.kind = 'customer_no_show' then l.ended_at end, null, l.accepted_at
  ),
  (
    l.kind = 'released', l.other_id, 'mechanic', null, null, l.created_at + interval '60 seconds',
    l.created_at + interval '20 seconds'
  )
) as p (is_there, user_id, role, joined_at, left_at, closed_at, created_at)
where p.is_there;

insert into public.session_assignments (
  id, session_id, mechanic_id, preferred_mechanic_id, status, visible_to_all_at, announced_at, accepted_at, closed_at,
  created_at, updated_at
)
select
  l.assignment_id, l.id, l.mechanic_id, case when l.by_extra < 0.1 then l.mechanic_id end,
  case l.outcome when 'completed' then 'completed' when 'cancelled' then 'cancelled' else 'expired' end,
  l.created_at, l.created_at, case when l.is_accepted then l.accepted_at end, l.ended_at, l.created_at, l.ended_at
from life as l;

insert into private.assignment_refusals (assignment_id, mechanic_id, kind, created_at)
select
  l.assignment_id, l.other_id, case l.kind when 'released' then 'released' else 'declined' end,
  l.created_at + case l.kind when 'released' then interval '60 seconds' else interval '10 seconds' end
from life as l
where l.kind = 'released' or (l.by_wait > 0.9 and l.mechanic <> l.other);

insert into public.session_messages (session_id, sender_id, content, created_at)
select
  l.id, m.sender_id, m.content, l.started_at + m.after
from life as l
cross join lateral (
  values
  (l.customer_id, 'It squeals when I brake, at every speed.', interval '1 second'),
  (l.mechanic_id, 'Is it both wheels, or one side only?', interval '3 seconds')
) as m (sender_id, content, after)
where l.is_served and l.type = 'chat';

insert into public.session_extensions (
  id, session_id, requested_by, minutes, price_cents, currency, status, applied_at, created_at, updated_at
)
select
  l.extension_id, l.id, l.customer_id, 15, 500, l.currency, 'applied', l.started_at + interval '40 seconds',
  l.started_at + interval '20 seconds', l.started_at + interval '40 seconds'
from life as l
where l.is_extended;

-- Money -------------------------------------------------------------------------------------------------------------

create temporary table money as
select
  l.*, x.share_cents, x.referral_cents, l.held_cents - x.share_cents - x.referral_cents as platform_cents,
  l.kind = 'refunded' or not l.is_completed as is_given_back,
  case l.kind when 'refunded' then l.ended_at + interval '1 hour' else l.ended_at end as given_back_at,
  case l.kind when 'refunded' then l.id || ':admin' else 'outcome:' || l.id end as key,
  l.ended_at + interval '1 day' as due_at,
  l.kind <> 'refunded' and l.is_completed and l.ended_at + interval '1 day' < s.now as is_paid_out
from life as l
cross join settled as s
cross join lateral (
  select
    l.held_cents * 7 / 10 as share_cents,
    case when l.referrer_id is not null then l.held_cents * 2 / 100 else 0 end as referral_cents
) as x
where l.held_cents > 0;

insert into private.settlements (
  session_id, currency, held_cents, refund_cents, share_cents, platform_cents, referral_cents, referrer_id,
  refunded_later_cents, settled_at
)
select
  l.id, l.currency, l.held_cents, case when l.is_completed then 0 else l.held_cents end,
  case when l.is_completed then coalesce(m.share_cents, 0) else 0 end,
  case when l.is_completed then coalesce(m.platform_cents, 0) else 0 end,
  case when l.is_completed then coalesce(m.referral_cents, 0) else 0 end,
  case when l.is_completed and m.referral_cents > 0 then l.referrer_id end,
  case l.kind when 'refunded' then l.held_cents else 0 end, l.ended_at
from life as l
left join money as m on m.number = l.number;

insert into public.mechanic_earnings (
  session_id, mechanic_id, gross_cents, share_cents, platform_cents, referral_cents, currency, created_at, updated_at
)
select
  l.id, l.mechanic_id, l.held_cents, coalesce(m.share_cents, 0), coalesce(m.platform_cents, 0),
  coalesce(m.referral_cents, 0), l.currency, l.ended_at, l.ended_at
from life as l
left join money as m on m.number = l.number
where l.is_completed;

insert into public.payouts (
  id, kind, source_id, user_id, session_id, amount_cents, currency, status, stripe_transfer_id, due_at, created_at,
  updated_at
)
select
  p.id, p.kind, m.id, p.user_id, m.id, case m.kind when 'refunded' then 0 else p.cents end, m.currency,
  case when m.kind = 'refunded' then 'cancelled' when m.is_paid_out then 'paid' else 'pending' end,
  case when m.is_paid_out then 'tr_' || replace(p.id::text, '-', '') end, m.due_at, m.ended_at,
  case when m.is_paid_out then m.due_at else m.given_back_at end
from money as m
cross join lateral (
  values
  ('session', m.payout_id, m.mechanic_id, m.share_cents), ('referral', m.referral_id, m.referrer_id, m.referral_cents)
) as p (kind, id, user_id, cents)
where m.is_completed and p.cents > 0;

insert into private.outbox (
  topic, key, payload, session_id, status, attempts, next_attempt_at, created_at, done_at, result
)
select
  'stripe.transfer', 'payout:' || p.id, jsonb_build_object(
    'payout_id', p.id, 'destination', a.account, 'amount', p.amount_cents, 'currency', p.currency
  ), p.session_id, 'done', 1, p.due_at, p.due_at, p.due_at, jsonb_build_object('id', p.stripe_transfer_id)
from public.payouts as p
join private.stripe_accounts as a on a.user_id = p.user_id
cross join settled as s
where p.status = 'paid' and p.due_at > s.now - interval '35 days';

insert into private.payments (
  id, payment_intent_id, charge_id, customer_user_id, amount_cents, currency, purpose, purpose_id, rank, received_at,
  refunded_cents, applied_to, session_id, created_at, updated_at
)
select
  p.id, 'pi_' || replace(p.id::text, '-', ''), 'ch_' || replace(p.id::text, '-', ''), m.customer_id, p.cents,
  m.currency, p.purpose, p.purpose_id,
  case when m.is_given_back then 'refunded' else 'paid' end::private.payment_rank, p.at,
  case when m.is_given_back then p.cents else 0 end, p.purpose, m.id, p.at,
  case when m.is_given_back then m.given_back_at else p.at end
from money as m
cross join lateral (
  values
  (true, m.payment_id, m.price_cents, 'session', pg_temp.id_of('intent' || m.number, m.created_at), m.created_at),
  (m.is_extended, m.extension_payment_id, 500, 'extension', m.extension_id, m.started_at + interval '40 seconds')
) as p (is_there, id, cents, purpose, purpose_id, at)
where m.funding = 'paid' and p.is_there;

insert into private.refunds (
  payment_id, session_id, key, amount_cents, status, stripe_refund_id, created_at, updated_at
)
select
  m.payment_id, m.id, m.key || ':' || m.payment_id, m.held_cents, 'succeeded', 're_' || m.number, m.given_back_at,
  m.given_back_at
from money as m
where m.funding = 'paid' and m.is_given_back;

insert into private.session_refunds (
  session_id, key, amount_cents, currency, to_card_cents, to_credit_cents, reason, created_at
)
select
  m.id, 'admin', m.held_cents, m.currency, case m.funding when 'paid' then m.held_cents else 0 end,
  case m.funding when 'credit' then m.held_cents else 0 end, 'A complaint.', m.given_back_at
from money as m
where m.kind = 'refunded';

-- Accounts: four of ours, then one for each mechanic, referrer, customer, session and payment.
create temporary table account as
select a.id, a.name, a.balance_cents
from (values (1, 'stripe'), (2, 'platform_revenue'), (3, 'refund_clearing'), (4, 'promotions')) as o (id, name)
cross join lateral (values (o.id::bigint, o.name, null::bigint)) as a (id, name, balance_cents)
union all
select 1000000000 + n.number, 'mechanic_payable:' || md5('mechanic' || n.number)::uuid, null
from settled as s
cross join generate_series(1, s.mechanics) as n (number)
union all
select 2000000000 + n.number, 'referral_payable:' || md5('mechanic' || n.number)::uuid, null
from settled as s
cross join generate_series(1, s.mechanics) as n (number)
where n.number % 10 = 1
union all
select
  3000000000 + m.customer, 'customer_credit:' || m.customer_id,
  sum(case when m.is_given_back then m.held_cents else 0 end)
from money as m
where m.funding = 'credit'
group by m.customer, m.customer_id
union all
select 4000000000 + m.number, 'session_hold:' || m.id, null
from money as m
union all
select 5000000000 + m.number, 'unapplied:' || m.payment_id, null
from money as m
where m.funding = 'paid'
union all
select 6000000000 + m.number, 'unapplied:' || m.extension_payment_id, null
from money as m
where m.is_extended;

insert into private.ledger_accounts (id, name, currency, balance_cents, created_at) overriding system value
select a.id, a.name, 'usd', a.balance_cents, s.now
from account as a
cross join settled as s;

create temporary table posting as
select t.is_there, t.id, t.key, t.session_id, t.at, t.accounts, t.cents
from money as m
cross join lateral (
  values
  (
    m.funding = 'paid', m.ledger_id + 1, 'payment:' || m.payment_id, null::uuid, m.created_at,
    array[1, 5000000000 + m.number], array[-m.price_cents, m.price_cents]
  ),
  (
    m.funding = 'paid', m.ledger_id + 2, 'hold:' || m.payment_id, m.id, m.created_at,
    array[5000000000 + m.number, 4000000000 + m.number], array[-m.price_cents, m.price_cents]
  ),
  (
    m.funding = 'credit', m.ledger_id + 2, 'hold:' || m.id, m.id, m.created_at,
    array[3000000000 + m.customer, 4000000000 + m.number], array[-m.price_cents, m.price_cents]
  ),
  (
    m.is_extended, m.ledger_id + 3, 'payment:' || m.extension_payment_id, null, m.started_at + interval '40 seconds',
    array[1, 6000000000 + m.number], array[-500, 500]
  ),
  (
    m.is_extended, m.ledger_id + 4, 'hold:' || m.extension_payment_id, m.id, m.started_at + interval '40 seconds',
    array[6000000000 + m.number, 4000000000 + m.number], array[-500, 500]
  ),
  (
    m.is_completed, m.ledger_id + 5, 'earning:' || m.id, m.id, m.ended_at,
    array[4000000000 + m.number, 1000000000 + m.mechanic, 2, 2000000000 + m.mechanic - 1],
    array[-m.held_cents, m.share_cents, m.platform_cents, m.referral_cents]
  ),
  (
    m.is_paid_out, m.ledger_id + 6, 'payout:' || m.payout_id, m.id, m.due_at,
    array[1000000000 + m.mechanic, 1], array[-m.share_cents, m.share_cents]
  ),
  (
    m.is_paid_out and m.referral_cents > 0, m.ledger_id + 7, 'payout:' || m.referral_id, m.id, m.due_at,
    array[2000000000 + m.mechanic - 1, 1], array[-m.referral_cents, m.referral_cents]
  ),
  (
    m.kind = 'refunded', m.ledger_id + 8, 'take_back:' || m.key, m.id, m.given_back_at,
    array[4000000000 + m.number, 1000000000 + m.mechanic, 2, 2000000000 + m.mechanic - 1],
    array[m.held_cents, -m.share_cents, -m.platform_cents, -m.referral_cents]
  ),
  (
    m.is_given_back and m.funding = 'paid', m.ledger_id + 9, 'refund:' || m.key || ':' || m.payment_id, m.id,
    m.given_back_at, array[4000000000 + m.number, 3], array[-m.held_cents, m.held_cents]
  ),
  (
    m.is_given_back and m.funding = 'paid', m.ledger_id + 10, 'refunded:' || m.key || ':' || m.payment_id, m.id,
    m.given_back_at, array[3, 1], array[-m.held_cents, m.held_cents]
  ),
  (
    m.is_given_back, m.ledger_id + 11, 'give_back:' || m.key, m.id, m.given_back_at,
    array[4000000000 + m.number, 3000000000 + m.customer],
    case m.funding when 'credit' then array[-m.held_cents, m.held_cents] else array[0, 0] end
  )
) as t (is_there, id, key, session_id, at, accounts, cents)
where t.is_there
union all
select
  true, m.customer, 'grant:history:' || m.customer, null, s.now - interval '3 years',
  array[4, 3000000000 + m.customer], array[-sum(m.held_cents), sum(m.held_cents)]::integer[]
from money as m
cross join settled as s
where m.funding = 'credit'
group by m.customer, s.now;

insert into private.ledger_transfers (id, key, session_id, occurred_at, created_at) overriding system value
select p.id, p.key, p.session_id, p.at, p.at
from posting as p;

insert into private.ledger_entries (transfer_id, account_id, amount_cents)
select p.id, e.account_id, e.cents
from posting as p
cross join lateral unnest(p.accounts, p.cents) as e (account_id, cents)
where e.cents <> 0;

select setval('private.ledger_transfers_id_seq', max(t.id)) from private.ledger_transfers as t;
select setval('private.ledger_accounts_id_seq', max(a.id)) from private.ledger_accounts as a;

-- What is active ----------------------------------------------------------------------------------------------------

-- Older than an hour, as the messages of its events are not there.
create temporary table running as
select
  pg_temp.id_of('active session' || n.number, s.now) as id, md5('active customer' || n.number)::uuid as customer_id,
  md5('active mechanic' || n.number)::uuid as mechanic_id,
  pg_temp.id_of('active assignment' || n.number, s.now) as assignment_id,
  case when n.number <= 30 then 'pending' when n.number <= 40 then 'waiting' else 'live' end::public.session_status
    as status,
  s.now - interval '90 minutes' as created_at, s.now - interval '80 minutes' as accepted_at,
  s.now - interval '70 minutes' as started_at, s.now + interval '170 minutes' as expires_at
from settled as s
cross join generate_series(1, 100) as n (number);

insert into public.sessions (
  id, customer_user_id, mechanic_id, plan, type, status, funding, price_cents, currency, accepted_at, started_at,
  expires_at, duration_minutes, next_warning_at, version, last_event_at, created_at, updated_at
)
select
  r.id, r.customer_id, case when r.status <> 'pending' then r.mechanic_id end, 'chat10', 'chat', r.status, 'free', 0,
  'usd', case when r.status <> 'pending' then r.accepted_at end, case when r.status = 'live' then r.started_at end,
  case when r.status = 'live' then r.expires_at end, 240,
  case when r.status = 'live' then r.expires_at - interval '5 minutes' end,
  case r.status when 'pending' then 1 when 'waiting' then 2 else 5 end,
  case r.status when 'pending' then r.created_at when 'waiting' then r.accepted_at else r.started_at end,
  r.created_at, r.created_at
from running as r;

insert into public.session_participants (
  session_id, user_id, role, first_joined_at, last_seen_at, is_connected, presence_check_at, created_at, updated_at
)
select
  r.id, p.user_id, p.role, case when r.status = 'live' then r.started_at end,
  case when r.status = 'live' then s.now end, r.status = 'live',
  case when r.status = 'live' then s.now + interval '1 hour' end, r.created_at, r.created_at
from running as r
cross join settled as s
cross join lateral (values (r.customer_id, 'customer'), (r.mechanic_id, 'mechanic')) as p (user_id, role)
where r.status <> 'pending' or p.role = 'customer';

insert into public.session_assignments (
  id, session_id, mechanic_id, status, visible_to_all_at, announced_at, accepted_at, created_at, updated_at
)
select
  r.assignment_id, r.id, case when r.status <> 'pending' then r.mechanic_id end,
  case r.status when 'pending' then 'queued' else 'accepted' end, r.created_at, r.created_at,
  case when r.status <> 'pending' then r.accepted_at end, r.created_at, r.created_at
from running as r;

insert into public.session_events (
  session_id, type, actor_id, actor_role, payload, version, occurred_at, created_at
)
select r.id, e.type, e.actor_id, e.actor_role, e.payload, e.version, e.at, e.at
from running as r
cross join lateral (
  values
  (
    1, true, 'created', r.customer_id, 'customer', r.created_at,
    jsonb_build_object(
      'to', 'pending', 'plan', 'chat10', 'funding', 'free', 'price_cents', 0, 'currency', 'usd',
      'duration_minutes', 240
    )
  ),
  (
    2, r.status <> 'pending', 'accepted', r.mechanic_id, 'mechanic', r.accepted_at,
    jsonb_build_object('from', 'pending', 'to', 'waiting', 'assignment_id', r.assignment_id)
  ),
  (
    3, r.status = 'live', 'joined', r.customer_id, 'customer', r.started_at,
    jsonb_build_object('user_id', r.customer_id, 'role', 'customer')
  ),
  (
    4, r.status = 'live', 'joined', r.mechanic_id, 'mechanic', r.started_at,
    jsonb_build_object('user_id', r.mechanic_id, 'role', 'mechanic')
  ),
  (
    5, r.status = 'live', 'started', r.mechanic_id, 'mechanic', r.started_at,
    jsonb_build_object('from', 'waiting', 'to', 'live', 'expires_at', r.expires_at)
  )
) as e (version, is_there, type, actor_id, actor_role, at, payload)
where e.is_there
order by r.id, e.version;

update private.job_runs set started_at = s.now, ended_at = s.now from settled as s where not is_failure;

do $$
declare
  v_definition text;
begin
  for v_definition in select definition from dropped loop
    execute v_definition;
  end loop;
end
$$;

drop table dropped, settled, life, money, account, posting, running;
reset jit;
reset maintenance_work_mem;
reset work_mem;
reset timezone;
reset session_replication_role;
