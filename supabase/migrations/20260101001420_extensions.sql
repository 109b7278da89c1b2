-- Extensions: more minutes, paid for while the session runs. Asking fixes the price; only the proof of payment moves
-- the end of the session, once, with the money and the warnings, in one transaction.

create table public.session_extensions (
  id uuid primary key default private.new_id(),
  session_id uuid not null references public.sessions (id),
  requested_by uuid not null references public.profiles (id),
  minutes integer not null,
  price_cents integer not null,
  currency text not null,
  status text not null default 'pending',
  applied_at timestamptz,
  created_at timestamptz not null default private.clock(),
  updated_at timestamptz not null default private.clock(),
  constraint minutes_are_positive check (minutes > 0),
  constraint price_is_positive check (price_cents > 0),
  constraint status_is_known
    check (status in ('pending', 'applied', 'failed', 'replaced', 'refund_pending', 'refunded')),
  constraint only_an_applied_extension_has_applied_at check ((status = 'applied') = (applied_at is not null))
);
comment on table public.session_extensions is
  'More minutes that were asked for, at the price of that moment, and what became of it. Participants; admins all.';
create unique index one_pending_extension_per_session on public.session_extensions (session_id)
where status = 'pending';
create index session_extensions_session_id_idx on public.session_extensions (session_id, created_at);
create index session_extensions_requested_by_idx on public.session_extensions (requested_by);
alter table public.session_extensions enable row level security;
revoke all on table public.session_extensions from public, anon, authenticated, service_role;
grant select on table public.session_extensions to authenticated, service_role;
create policy "participants read the extensions of their sessions" on public.session_extensions
for select to authenticated
using (exists (select from public.sessions s where s.id = session_extensions.session_id));

create function private.expire_checkout(p_extension public.session_extensions)
returns void
language sql
volatile
set search_path = ''
as $$
  select private.enqueue(
    'stripe.expire_checkout', 'expire_checkout:' || p.checkout_session_id,
    jsonb_build_object('checkout_session_id', p.checkout_session_id), p_extension.session_id
  )
  from private.payments p
  where p.purpose = 'extension'
    and p.purpose_id = p_extension.id
    and p.checkout_session_id is not null
    and p.received_at is null
$$;
comment on function private.expire_checkout(public.session_extensions) is
  'Asks Stripe to close the open Checkouts of an extension. Locks: outbox.';
revoke all on function private.expire_checkout from public, anon, authenticated, service_role;

create function private.request_extension(p_session_id uuid, p_minutes integer)
returns public.session_extensions
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.require_user();
  v_session public.sessions := private.lock_own_session(p_session_id, v_user);
  v_now timestamptz := private.session_clock(v_session);
  v_option public.extension_options;
  v_extension public.session_extensions;
begin
  if private.role_in(v_session, v_user) <> 'customer' then
    perform private.fail('role_required', 'Only the customer of a session buys more time.');
  end if;
  v_session := private.settle(v_session, v_now);
  if v_session.status >= 'completed' then
    perform private.fail('session_ended');
  end if;
  if v_session.status not in ('waiting', 'live', 'reconnecting') then
    perform private.fail('session_not_active', format('A session that is %s cannot be extended.', v_session.status));
  end if;
  perform private.touch(p_session_id, v_user, v_now);
  select o.* into v_option from public.extension_options o where o.minutes = p_minutes and o.is_active;
  if v_option.minutes is null or v_option.currency <> v_session.currency then
    perform private.fail('invalid_argument', 'p_minutes is not an extension that is sold.');
  end if;

  select e.* into v_extension
  from public.session_extensions e
  where e.session_id = p_session_id and e.status = 'pending';
  if v_extension.minutes = p_minutes then
    return v_extension;
  end if;
  if v_session.duration_minutes + p_minutes > private.setting_integer('max_session_minutes') then
    perform private.fail('extension_limit');
  end if;
  update public.session_extensions e set status = 'replaced', updated_at = v_now where e.id = v_extension.id;
  -- The Checkout of one that was declined is still open: it would be paid beside the new one.
  perform private.expire_checkout(e)
  from public.session_extensions e
  where e.session_id = p_session_id and e.status in ('replaced', 'failed');
  insert into public.session_extensions as e (session_id, requested_by, minutes, price_cents, currency, created_at)
  values (p_session_id, v_user, p_minutes, v_option.price_cents, v_option.currency, v_now)
  returning e.* into v_extension;
  return v_extension;
end;
$$;
comment on function private.request_extension(uuid, integer) is
  'Behind public.request_extension. Locks: session, extension, outbox.';
revoke all on function private.request_extension from public, anon, authenticated, service_role;
grant execute on function private.request_extension to authenticated;

create function public.request_extension(p_session_id uuid, p_minutes integer)
returns public.session_extensions
language sql
volatile
set search_path = ''
as $$
  select private.request_extension(p_session_id, p_minutes)
$$;
comment on function public.request_extension(uuid, integer) is
  'Asks for more minutes at the price of now; they count once the payment is proved. One is pending at a time: the '
  'same minutes again return it, others replace it. The session''s customer, while waiting, live or reconnecting. '
  'Errors: session_not_found, role_required, session_not_active, session_ended, invalid_argument, extension_limit, '
  'session_locked.';
revoke all on function public.request_extension from public, anon, authenticated, service_role;
grant execute on function public.request_extension to authenticated;

create function private.can_be_extended(p_session public.sessions, p_extension public.session_extensions)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return p_session.status in ('waiting', 'live', 'reconnecting')
    and p_extension.status in ('pending', 'failed', 'replaced')
    and p_session.currency = p_extension.currency
    and p_session.duration_minutes + p_extension.minutes <= private.setting_integer('max_session_minutes')
    -- What a settlement can hold.
    and private.held(p_session.id, p_session.currency) + p_extension.price_cents <= 2147483647;
end;
$$;
comment on function private.can_be_extended(public.sessions, public.session_extensions) is
  'Whether a session can still use the minutes of an extension whose payment is proved.';
revoke all on function private.can_be_extended from public, anon, authenticated, service_role;

create function private.apply_extension(p_payment private.payments)
returns private.payments
language plpgsql
set search_path = ''
as $$
declare
  v_payment private.payments := p_payment;
  v_extension public.session_extensions;
  v_session public.sessions;
  v_now timestamptz;
begin
  select e.* into v_extension from public.session_extensions e where e.id = p_payment.purpose_id;
  select s.* into v_session from public.sessions s where s.id = v_extension.session_id;
  v_now := private.session_clock(v_session);
  if v_payment.amount_cents <> v_extension.price_cents or v_payment.currency <> v_extension.currency then
    perform private.review_payment(v_payment.id, 'amount_differs', jsonb_build_object(
      'extension_id', v_extension.id, 'session_id', v_session.id, 'asked_cents', v_extension.price_cents,
      'asked_currency', v_extension.currency, 'received_cents', v_payment.amount_cents,
      'received_currency', v_payment.currency
    ));
    return v_payment;
  end if;

  if not private.can_be_extended(v_session, v_extension) then
    if v_extension.status in ('pending', 'failed', 'replaced') then
      update public.session_extensions e
      set status = 'refund_pending', updated_at = v_now
      where e.id = v_extension.id;
    end if;
    perform private.ask_refund(
      v_payment, 'extension:' || v_payment.id, private.unapplied(v_payment), v_session.id,
      jsonb_build_object('unapplied:' || v_payment.id, -private.unapplied(v_payment))
    );
    update private.payments p
    set applied_to = 'refund', session_id = v_session.id, updated_at = v_now
    where p.id = v_payment.id
    returning p.* into v_payment;
    return v_payment;
  end if;

  v_payment := private.apply_payment(v_payment, 'extension', v_session.id);
  update public.session_extensions e
  set status = 'applied', applied_at = v_now, updated_at = v_now
  where e.id = v_extension.id;
  v_session.duration_minutes := v_session.duration_minutes + v_extension.minutes;
  v_session.expires_at := v_session.expires_at + make_interval(mins => v_extension.minutes);
  perform private.move_session(
    v_session, v_session.status, 'extended', v_now, v_payment.customer_user_id, jsonb_build_object(
      'extension_id', v_extension.id, 'minutes', v_extension.minutes, 'price_cents', v_extension.price_cents,
      'currency', v_extension.currency, 'payment_id', v_payment.id, 'duration_minutes', v_session.duration_minutes,
      'expires_at', v_session.expires_at
    )
  );
  return v_payment;
end;
$$;
comment on function private.apply_extension(private.payments) is
  'Gives a session the minutes that a payment proves, once; if it cannot use them any more the money goes back. '
  'Another amount: a person looks at it. Locks: session and payment (held, the session settled), extension, outbox.';
revoke all on function private.apply_extension from public, anon, authenticated, service_role;

create function private.fail_extension(p_extension_id uuid, p_session public.sessions, p_why text)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_extension public.session_extensions;
begin
  update public.session_extensions e
  set status = 'failed', updated_at = private.clock()
  where e.id = p_extension_id and e.status = 'pending'
  returning e.* into v_extension;
  if v_extension.id is not null and p_session.status < 'completed' then
    perform private.move_session(
      p_session, p_session.status, 'extension_failed', private.session_clock(p_session), null,
      jsonb_build_object('extension_id', p_extension_id, 'minutes', v_extension.minutes, 'why', p_why)
    );
  end if;
end;
$$;
comment on function private.fail_extension(uuid, public.sessions, text) is
  'No proof of payment yet: the extension is failed, and a proof that comes later is applied all the same. '
  'Locks: session (held), extension.';
revoke all on function private.fail_extension from public, anon, authenticated, service_role;

create function private.close_extensions()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_extension public.session_extensions;
begin
  update public.session_extensions e
  set status = 'failed', updated_at = private.clock()
  where e.session_id = new.session_id and e.status = 'pending'
  returning e.* into v_extension;
  if v_extension.id is not null then
    perform private.expire_checkout(v_extension);
  end if;
  return null;
end;
$$;
comment on function private.close_extensions() is
  'Trigger: after the end of a session its pending extension has failed, and its Checkout is closed.';
revoke all on function private.close_extensions from public, anon, authenticated, service_role;

create trigger ended_sessions_sell_no_more_time
after insert on public.session_events
for each row when (new.type = 'ended' and new.source = 'sessions')
execute function private.close_extensions();

create function private.refunded_extension()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.session_extensions e
  set status = 'refunded', updated_at = private.clock()
  from private.payments p
  where p.id = new.payment_id and p.purpose = 'extension' and e.id = p.purpose_id and e.status = 'refund_pending';
  return null;
end;
$$;
comment on function private.refunded_extension() is
  'Trigger: an extension that came too late is refunded once its money has gone back.';
revoke all on function private.refunded_extension from public, anon, authenticated, service_role;

create trigger refunds_close_their_extensions
after update of status on private.refunds
for each row when (new.status = 'succeeded')
execute function private.refunded_extension();
