-- Checkout: a paid session is asked for, paid at Stripe, and made by the proof of payment. The intent fixes the price
-- of the moment and refuses what could not be made; what is proved later is made, or becomes the customer's credit.

create table public.checkout_intents (
  id uuid primary key default private.new_id(),
  customer_user_id uuid not null references public.profiles (id),
  plan text not null references public.plans (slug),
  price_cents integer not null,
  currency text not null,
  duration_minutes integer not null,
  intake jsonb not null default '{}',
  preferred_mechanic_id uuid references public.mechanics (id),
  scheduled_for timestamptz,
  status text not null default 'open',
  session_id uuid references public.sessions (id),
  stripe_checkout_session_id text,
  idempotency_key text,
  arguments_digest text not null,
  expires_at timestamptz not null,
  created_at timestamptz not null default private.clock(),
  updated_at timestamptz not null default private.clock(),
  constraint price_is_positive check (price_cents > 0),
  constraint status_is_known check (status in ('open', 'paid', 'failed', 'to_credit', 'in_review')),
  constraint only_a_paid_intent_has_its_session check ((status = 'paid') = (session_id is not null)),
  constraint one_intent_per_key unique (customer_user_id, idempotency_key)
);
comment on table public.checkout_intents is
  'What a customer means to buy, at the price of that moment, and what became of it. Own rows; admins all.';
create index checkout_intents_session_id_idx on public.checkout_intents (session_id) where session_id is not null;
create index checkout_intents_plan_idx on public.checkout_intents (plan);
create index checkout_intents_preferred_mechanic_idx on public.checkout_intents (preferred_mechanic_id)
where preferred_mechanic_id is not null;
alter table public.checkout_intents enable row level security;
revoke all on table public.checkout_intents from public, anon, authenticated, service_role;
grant select on table public.checkout_intents to authenticated, service_role;
create policy "customers read their checkouts and admins read all" on public.checkout_intents
for select to authenticated
using (customer_user_id = (select auth.uid()) or (select private.is_admin()));

create function private.request_checkout(
  p_plan text, p_intake jsonb, p_preferred_mechanic_id uuid, p_scheduled_for timestamptz, p_idempotency_key text
)
returns public.checkout_intents
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_customer uuid := private.require_user();
  v_intake jsonb := private.valid_intake(p_intake);
  v_digest text := private.digest_of_order(
    p_plan, 'paid', v_intake, p_preferred_mechanic_id, p_scheduled_for, p_idempotency_key
  );
  v_plan public.plans;
  v_intent public.checkout_intents;
  v_now timestamptz;
begin
  perform private.lock_customer(v_customer);
  v_now := private.clock();
  select i.* into v_intent
  from public.checkout_intents i
  where i.customer_user_id = v_customer and i.idempotency_key = p_idempotency_key;
  if v_intent.id is not null then
    if v_intent.arguments_digest <> v_digest then
      perform private.fail(
        'idempotency_conflict', 'p_idempotency_key was used with other arguments.', 'Use a new key.'
      );
    end if;
    if v_intent.status in ('open', 'failed') and v_intent.expires_at <= v_now then
      perform private.fail(
        'idempotency_conflict', 'The price of p_idempotency_key is no longer kept.', 'Use a new key.'
      );
    end if;
    -- What has been paid is told. What has not would be paid in vain if it cannot be made any more.
    if v_intent.status not in ('open', 'failed') then
      return v_intent;
    end if;
  end if;
  v_plan := private.valid_order(v_customer, p_plan, p_preferred_mechanic_id, p_scheduled_for, v_now);
  if v_plan.price_cents = 0 then
    perform private.fail('invalid_argument', 'p_plan costs nothing.', 'Use create_session.');
  end if;
  if private.settle_active_session(v_customer) then
    perform private.refuse_second_session(v_customer);
  end if;
  if v_intent.id is not null then
    return v_intent;
  end if;
  insert into public.checkout_intents as i (
    customer_user_id, plan, price_cents, currency, duration_minutes, intake, preferred_mechanic_id, scheduled_for,
    idempotency_key, arguments_digest, expires_at
  )
  values (
    v_customer, v_plan.slug, v_plan.price_cents, v_plan.currency, v_plan.duration_minutes, v_intake,
    p_preferred_mechanic_id, p_scheduled_for, p_idempotency_key, v_digest, v_now + interval '1 day'
  )
  returning i.* into v_intent;
  return v_intent;
end;
$$;
comment on function private.request_checkout(text, jsonb, uuid, timestamptz, text) is
  'Behind public.request_checkout. Locks: the customer''s profile, then (only to end it) an overdue session.';
revoke all on function private.request_checkout from public, anon, authenticated, service_role;
grant execute on function private.request_checkout to authenticated;

create function public.request_checkout(
  p_plan text, p_intake jsonb default '{}', p_preferred_mechanic_id uuid default null,
  p_scheduled_for timestamptz default null, p_idempotency_key text default null
)
returns public.checkout_intents
language sql
volatile
set search_path = ''
as $$
  select private.request_checkout(p_plan, p_intake, p_preferred_mechanic_id, p_scheduled_for, p_idempotency_key)
$$;
comment on function public.request_checkout(text, jsonb, uuid, timestamptz, text) is
  'Fixes the price of a paid session for a day, before any money moves; the session is made when the payment is '
  'proved. The same key gives the same intent. Signed-in users. Errors: plan_not_found, invalid_argument, '
  'active_session_exists (detail: its id), idempotency_conflict (the key has other arguments, or its price is no '
  'longer kept), not_authenticated.';
revoke all on function public.request_checkout from public, anon, authenticated, service_role;
grant execute on function public.request_checkout to authenticated;

create function private.make_paid_session(p_payment private.payments)
returns private.payments
language plpgsql
set search_path = ''
as $$
declare
  v_payment private.payments := p_payment;
  v_intent public.checkout_intents;
  v_plan public.plans;
  v_session public.sessions;
  v_now timestamptz := private.clock();
begin
  select i.* into v_intent from public.checkout_intents i where i.id = p_payment.purpose_id;
  if v_payment.amount_cents <> v_intent.price_cents or v_payment.currency <> v_intent.currency then
    update public.checkout_intents i
    set status = 'in_review', updated_at = v_now
    where i.id = v_intent.id and i.status in ('open', 'failed');
    perform private.review_payment(v_payment.id, 'amount_differs', jsonb_build_object(
      'intent_id', v_intent.id, 'asked_cents', v_intent.price_cents, 'asked_currency', v_intent.currency,
      'received_cents', v_payment.amount_cents, 'received_currency', v_payment.currency
    ));
    return v_payment;
  end if;

  if exists (select from public.profiles p where p.id = v_payment.customer_user_id and p.deleted_at is not null) then
    -- Nobody is left who could use a session or credit.
    perform private.ask_refund(
      v_payment, 'checkout:' || v_payment.id, private.unapplied(v_payment), null,
      jsonb_build_object('unapplied:' || v_payment.id, -private.unapplied(v_payment))
    );
    update public.checkout_intents i
    set status = 'failed', updated_at = v_now
    where i.id = v_intent.id and i.status = 'open';
    update private.payments p
    set applied_to = 'refund', updated_at = v_now
    where p.id = v_payment.id
    returning p.* into v_payment;
    return v_payment;
  end if;

  select p.* into v_plan from public.plans p where p.slug = v_intent.plan and p.is_active;
  if v_intent.status in ('paid', 'to_credit', 'in_review') or v_plan.slug is null
      or private.settle_active_session(v_payment.customer_user_id) then
    v_payment := private.apply_payment(v_payment, 'credit', null);
    update public.checkout_intents i
    set status = 'to_credit', updated_at = v_now
    where i.id = v_intent.id and i.status in ('open', 'failed');
    perform private.alert_support(
      'to_credit:' || v_payment.id, 'warning', 'A payment became credit', jsonb_build_object(
        'payment_id', v_payment.id, 'intent_id', v_intent.id, 'amount_cents', v_payment.amount_cents,
        'currency', v_payment.currency
      )
    );
    perform private.notify(
      v_payment.customer_user_id, 'payment_to_credit', v_payment.id::text, null,
      jsonb_build_object('amount', private.money_text(v_payment.amount_cents, v_payment.currency))
    );
    return v_payment;
  end if;

  v_plan.duration_minutes := v_intent.duration_minutes;
  v_plan.currency := v_intent.currency;
  v_session := private.make_session(
    v_payment.customer_user_id, v_plan, 'paid', v_intent.price_cents, v_intent.intake, v_intent.preferred_mechanic_id,
    case when v_intent.scheduled_for > v_now then v_intent.scheduled_for end, v_now
  );
  v_payment := private.apply_payment(v_payment, 'session', v_session.id);
  update public.checkout_intents i
  set status = 'paid', session_id = v_session.id, updated_at = v_now
  where i.id = v_intent.id;
  return v_payment;
end;
$$;
comment on function private.make_paid_session(private.payments) is
  'Makes the session that a payment proves, once. Meanwhile impossible: the money becomes the customer''s credit. '
  'Another amount: a person looks at it. Locks: profile and payment (held), intent, credit, outbox.';
revoke all on function private.make_paid_session from public, anon, authenticated, service_role;
