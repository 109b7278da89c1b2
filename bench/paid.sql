-- The sessions with the numbers bench.first to bench.last have been paid for, 1000 minor units each, which are held for
-- them. Run as a superuser, after live_sessions.sql.

set session_replication_role = 'replica';

update public.sessions as s
set funding = 'paid', price_cents = 1000
from generate_series(current_setting('bench.first')::integer, current_setting('bench.last')::integer) as n (number)
where s.id = md5('session' || n.number)::uuid;

insert into public.checkout_intents (
  id, customer_user_id, plan, price_cents, currency, duration_minutes, status, session_id, stripe_checkout_session_id,
  arguments_digest, expires_at
)
select
  md5('intent' || n.number)::uuid, s.customer_user_id, s.plan, s.price_cents, s.currency, s.duration_minutes, 'paid',
  s.id, 'cs_bench_' || n.number, md5('order' || n.number), s.created_at + interval '1 day'
from generate_series(current_setting('bench.first')::integer, current_setting('bench.last')::integer) as n (number)
join public.sessions as s on s.id = md5('session' || n.number)::uuid;

insert into private.payments (
  id, payment_intent_id, checkout_session_id, charge_id, customer_user_id, amount_cents, currency, purpose, purpose_id,
  rank, received_at, applied_to, session_id
)
select
  md5('payment' || n.number)::uuid, 'pi_bench_' || n.number, 'cs_bench_' || n.number, 'ch_bench_' || n.number,
  s.customer_user_id, s.price_cents, s.currency, 'session', md5('intent' || n.number)::uuid, 'paid', s.created_at,
  'session', s.id
from generate_series(current_setting('bench.first')::integer, current_setting('bench.last')::integer) as n (number)
join public.sessions as s on s.id = md5('session' || n.number)::uuid;

reset session_replication_role;

select
  private.post('payment:' || p.id, null, p.received_at, p.currency, jsonb_build_object(
    'stripe', -p.amount_cents, 'unapplied:' || p.id, p.amount_cents
  )),
  private.post('hold:' || p.id, p.session_id, p.received_at, p.currency, jsonb_build_object(
    'unapplied:' || p.id, -p.amount_cents, 'session_hold:' || p.session_id, p.amount_cents
  ))
from generate_series(current_setting('bench.first')::integer, current_setting('bench.last')::integer) as n (number)
join private.payments as p on p.id = md5('payment' || n.number)::uuid;
