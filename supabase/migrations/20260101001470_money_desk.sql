-- The money desk: what customers and mechanics see of their money, what admins do with what is in review, and the
-- invariants that are always empty.

-- Credit ----------------------------------------------------------------------------------------------------------

create function private.grant_credit(
  p_user_id uuid, p_amount_cents integer, p_currency text, p_key text, p_note text
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_transfer_id bigint;
  v_is_new boolean;
begin
  perform private.require_admin();
  if not exists (select from public.profiles p where p.id = p_user_id and p.deleted_at is null) then
    perform private.fail('invalid_argument', 'p_user_id is not a user.');
  end if;
  if p_amount_cents is null or p_amount_cents not between 1 and 100000000 then
    perform private.fail('invalid_argument', 'p_amount_cents must be between 1 and 100000000.');
  end if;
  if p_currency is null or p_currency !~ '^[a-z]{3}$' then
    perform private.fail('invalid_argument', 'p_currency must be three small letters.');
  end if;
  if p_key is null or length(p_key) not between 1 and 200 then
    perform private.fail('invalid_argument', 'p_key must have 1 to 200 characters.');
  end if;
  v_is_new := not exists (select from private.ledger_transfers t where t.key = 'grant:' || p_key);
  v_transfer_id := private.post('grant:' || p_key, null, private.clock(), p_currency, jsonb_build_object(
    'promotions', -p_amount_cents, 'customer_credit:' || p_user_id, p_amount_cents
  ));
  -- Of several at once one posts it, and that one is on record.
  if v_is_new and exists (
    select from private.ledger_transfers t where t.id = v_transfer_id and t.xact_id = pg_current_xact_id()
  ) then
    perform private.log_op('credit.granted', null, jsonb_build_object(
      'user_id', p_user_id, 'amount_cents', p_amount_cents, 'currency', p_currency, 'key', p_key,
      'note', left(p_note, 500)
    ));
  end if;
  return jsonb_build_object(
    'transfer_id', v_transfer_id, 'currency', p_currency,
    'cents', private.balance('customer_credit:' || p_user_id, p_currency)
  );
end;
$$;
comment on function private.grant_credit(uuid, integer, text, text, text) is
  'Behind public.grant_credit. Locks: the credit account.';
revoke all on function private.grant_credit from public, anon, authenticated, service_role;
grant execute on function private.grant_credit to authenticated, service_role;

create function public.grant_credit(
  p_user_id uuid, p_amount_cents integer, p_currency text, p_key text, p_note text default null
)
returns jsonb
language sql
volatile
set search_path = ''
as $$
  select private.grant_credit(p_user_id, p_amount_cents, p_currency, p_key, p_note)
$$;
comment on function public.grant_credit(uuid, integer, text, text, text) is
  'Gives a customer credit, once per p_key: {transfer_id, currency, cents: the balance}. Admins and the system; '
  'logged. Errors: role_required, invalid_argument, idempotency_conflict.';
revoke all on function public.grant_credit from public, anon, authenticated, service_role;
grant execute on function public.grant_credit to authenticated, service_role;

create function private.my_credit()
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_name text := 'customer_credit:' || private.require_user();
begin
  return jsonb_build_object(
    'balances', (
      select coalesce(jsonb_agg(
        jsonb_build_object('currency', a.currency, 'cents', a.balance_cents) order by a.currency
      ), '[]')
      from private.ledger_accounts a
      where a.name = v_name
    ),
    'entries', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'id', n.transfer_id, 'kind', split_part(n.key, ':', 1), 'cents', n.amount_cents, 'currency', n.currency,
        'session_id', n.session_id, 'occurred_at', n.occurred_at
      ) order by n.transfer_id desc), '[]')
      from (
        select e.transfer_id, t.key, e.amount_cents, a.currency, t.session_id, t.occurred_at
        from private.ledger_accounts a
        join private.ledger_entries e on e.account_id = a.id
        join private.ledger_transfers t on t.id = e.transfer_id
        where a.name = v_name
        order by e.transfer_id desc
        limit 100
      ) n
    )
  );
end;
$$;
comment on function private.my_credit() is 'Behind public.my_credit.';
revoke all on function private.my_credit from public, anon, authenticated, service_role;
grant execute on function private.my_credit to authenticated;

create function public.my_credit()
returns jsonb
language sql
stable
set search_path = ''
as $$
  select private.my_credit()
$$;
comment on function public.my_credit() is
  'The caller''s credit: {balances: [{currency, cents}], entries: [newest 100: id, kind, cents, currency, session_id, '
  'occurred_at]}. Signed-in users.';
revoke all on function public.my_credit from public, anon, authenticated, service_role;
grant execute on function public.my_credit to authenticated;

create type public.earning as (
  kind text,
  session_id uuid,
  gross_cents integer,
  amount_cents integer,
  currency text,
  payout_status text,
  due_at timestamptz,
  earned_at timestamptz,
  balance_cents bigint
);
comment on type public.earning is
  'A row of my_earnings: a session, a referral fee or a quote bonus, in minor units. balance_cents is what the caller '
  'is owed in that currency in all, below zero when something has to come back.';

create function private.my_earnings(p_from timestamptz, p_to timestamptz)
returns setof public.earning
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.require_user();
begin
  if not exists (select from public.mechanics m where m.id = v_user) then
    perform private.fail('role_required', 'The caller is not a mechanic.');
  end if;
  return query
  select
    n.kind, n.session_id, n.gross_cents, n.amount_cents, n.currency, p.status, p.due_at, n.earned_at,
    private.balance('mechanic_payable:' || v_user, n.currency)
      + private.balance('referral_payable:' || v_user, n.currency)
  from (
    select 'session', e.session_id, e.session_id, e.gross_cents, e.share_cents, e.currency, e.created_at
    from public.mechanic_earnings e
    where e.mechanic_id = v_user
    union all
    select 'referral', t.session_id, t.session_id, t.held_cents, t.referral_cents, t.currency, t.settled_at
    from private.settlements t
    where t.referrer_id = v_user
    union all
    select 'quote_bonus', q.id, q.session_id, q.amount_cents, q.bonus_cents, q.currency, q.decided_at
    from public.repair_quotes q
    where q.mechanic_id = v_user and q.status = 'approved'
  ) n (kind, source_id, session_id, gross_cents, amount_cents, currency, earned_at)
  left join public.payouts p on p.kind = n.kind and p.source_id = n.source_id
  where n.earned_at >= coalesce(p_from, '-infinity') and n.earned_at < coalesce(p_to, 'infinity')
  order by n.earned_at desc, n.session_id
  limit 1000;
end;
$$;
comment on function private.my_earnings(timestamptz, timestamptz) is 'Behind public.my_earnings.';
revoke all on function private.my_earnings from public, anon, authenticated, service_role;
grant execute on function private.my_earnings to authenticated;

create function public.my_earnings(p_from timestamptz default null, p_to timestamptz default null)
returns setof public.earning
language sql
stable
set search_path = ''
as $$
  select * from private.my_earnings(p_from, p_to)
$$;
comment on function public.my_earnings(timestamptz, timestamptz) is
  'What the caller earned from p_from until before p_to: a row for each session, referral fee and quote bonus, the '
  'newest 1000 first, with gross, share and payout. Mechanics. Errors: role_required.';
revoke all on function public.my_earnings from public, anon, authenticated, service_role;
grant execute on function public.my_earnings to authenticated;

-- What is in review -----------------------------------------------------------------------------------------------

create function private.lock_payment(p_payment_id uuid)
returns private.payments
language plpgsql
set search_path = ''
as $$
declare
  v_payment private.payments;
  v_session public.sessions;
  v_session_id uuid;
begin
  select p.* into v_payment from private.payments p where p.id = p_payment_id;
  if v_payment.id is null then
    perform private.fail('payment_not_found');
  end if;
  if v_payment.purpose = 'session' then
    perform from public.profiles p where p.id = v_payment.customer_user_id for no key update;
  end if;
  v_session_id := coalesce(
    v_payment.session_id, (private.asked_for(v_payment.purpose, v_payment.purpose_id)).session_id
  );
  if v_session_id is not null then
    v_session := private.lock_session(v_session_id);
    perform private.settle(v_session, private.session_clock(v_session));
  end if;
  perform private.lock_refunds(p_payment_id);
  select p.* into v_payment from private.payments p where p.id = p_payment_id for no key update;
  return v_payment;
end;
$$;
comment on function private.lock_payment(uuid) is
  'Locks a payment after what it is for and what is on its way back: profile, session (settled), outbox, payment. '
  'Errors: payment_not_found, '
  'session_locked.';
revoke all on function private.lock_payment from public, anon, authenticated, service_role;

create function private.close_order(p_payment private.payments, p_status text)
returns void
language plpgsql
set search_path = ''
as $$
begin
  update public.checkout_intents i
  set status = p_status, updated_at = private.clock()
  where i.id = p_payment.purpose_id and i.status = 'in_review';
  perform private.fail_extension(e.id, s, 'the payment was resolved otherwise')
  from public.session_extensions e
  join public.sessions s on s.id = e.session_id
  where e.id = p_payment.purpose_id and e.status = 'pending';
end;
$$;
comment on function private.close_order(private.payments, text) is
  'What a payment was for, and did not become, is over: an intent in review has that status, a pending extension has '
  'failed. Locks: session and payment (held), intent or extension.';
revoke all on function private.close_order from public, anon, authenticated, service_role;

create function private.refund_payment(p_payment_id uuid, p_key text, p_amount_cents integer, p_reason text)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_payment private.payments;
  v_refund private.refunds;
  v_unapplied integer;
  v_credit bigint := 0;
  v_amount integer;
  v_key text := format('payment:%s:%s', p_payment_id, p_key);
begin
  perform private.require_admin();
  if p_key is null or length(p_key) not between 1 and 100 then
    perform private.fail('invalid_argument', 'p_key must have 1 to 100 characters.');
  end if;
  if p_amount_cents <= 0 then
    perform private.fail('invalid_argument', 'p_amount_cents must be above zero.');
  end if;
  v_payment := private.lock_payment(p_payment_id);
  select r.* into v_refund from private.refunds r where r.key = v_key;
  if v_refund.id is not null then
    if v_refund.amount_cents <> coalesce(p_amount_cents, v_refund.amount_cents) then
      perform private.fail('idempotency_conflict', 'p_key was used with another amount.', 'Use a new key.');
    end if;
  else
    if v_payment.applied_to in ('session', 'extension') then
      perform private.fail('invalid_argument', 'The payment was applied to a session.', 'Use refund_session.');
    end if;
    v_unapplied := private.unapplied(v_payment);
    if v_payment.applied_to = 'credit' then
      select a.balance_cents into v_credit
      from private.ledger_accounts a
      where a.name = 'customer_credit:' || v_payment.customer_user_id and a.currency = v_payment.currency
      for no key update;
    end if;
    v_amount := coalesce(p_amount_cents, least(
      v_unapplied + coalesce(v_credit, 0), private.refundable(v_payment)
    ));
    if v_amount = 0 or v_amount > least(
      v_unapplied + coalesce(v_credit, 0), private.refundable(v_payment)
    ) then
      perform private.fail('refund_exceeds_payment');
    end if;
    v_refund := private.ask_refund(v_payment, v_key, v_amount, v_payment.session_id, jsonb_build_object(
      'unapplied:' || v_payment.id, -least(v_unapplied, v_amount),
      'customer_credit:' || v_payment.customer_user_id, least(v_unapplied, v_amount) - v_amount
    ));
    update private.payments p
    set review = case when v_unapplied > v_amount then p.review end, applied_to = coalesce(p.applied_to, 'refund')
    where p.id = p_payment_id;
    if v_unapplied <= v_amount then
      perform private.close_order(v_payment, 'failed');
    end if;
    perform private.log_op('payment.refunded', v_payment.session_id, jsonb_build_object(
      'payment_id', p_payment_id, 'key', p_key, 'amount_cents', v_amount, 'reason', left(p_reason, 500)
    ));
  end if;
  return jsonb_build_object(
    'payment_id', p_payment_id, 'key', p_key, 'amount_cents', v_refund.amount_cents, 'status', v_refund.status
  );
end;
$$;
comment on function private.refund_payment(uuid, text, integer, text) is
  'Behind public.refund_payment. Locks: profile, session, payment, credit, outbox.';
revoke all on function private.refund_payment from public, anon, authenticated, service_role;
grant execute on function private.refund_payment to authenticated, service_role;

create function public.refund_payment(
  p_payment_id uuid, p_key text, p_amount_cents integer default null, p_reason text default null
)
returns jsonb
language sql
volatile
set search_path = ''
as $$
  select private.refund_payment(p_payment_id, p_key, p_amount_cents, p_reason)
$$;
comment on function public.refund_payment(uuid, text, integer, text) is
  'Gives a payment back that no session used, once per p_key: what is unapplied, and the unspent credit it became; '
  'null is all of it. {payment_id, key, amount_cents, status}. Admins and the system; logged. Errors: role_required, '
  'payment_not_found, invalid_argument, refund_exceeds_payment, idempotency_conflict, session_locked.';
revoke all on function public.refund_payment from public, anon, authenticated, service_role;
grant execute on function public.refund_payment to authenticated, service_role;

create function private.drop_dead_refunds(p_payment private.payments)
returns private.payments
language plpgsql
set search_path = ''
as $$
declare
  v_payment private.payments;
  v_row record;
begin
  for v_row in
    select o.id, o.key, o.is_ambiguous, o.last_error, r.id as refund_id
    from private.refunds r
    join private.outbox o on o.key = 'refund:' || r.key
    where r.payment_id = p_payment.id and r.status = 'requested' and o.status = 'dead'
    order by o.id
  loop
    if v_row.is_ambiguous then
      perform private.fail(
        'invalid_argument', format('Nobody knows whether the refund %s was made.', v_row.key),
        format('select requeue_outbox(%s); it is looked for first.', v_row.id)
      );
    end if;
    perform private.settle_outbox(v_row.key, 'refused');
    perform private.refund_failed(v_row.refund_id, null, private.clock(), v_row.last_error);
  end loop;
  select p.* into v_payment from private.payments p where p.id = p_payment.id;
  return v_payment;
end;
$$;
comment on function private.drop_dead_refunds(private.payments) is
  'What Stripe refused for good to give back is unapplied money again. Locks: outbox and payment (held), refunds.';
revoke all on function private.drop_dead_refunds from public, anon, authenticated, service_role;

create function private.resolve_payment(p_payment_id uuid, p_action text, p_note text)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_payment private.payments;
  v_amount integer;
begin
  perform private.require_admin();
  if p_action is null or p_action not in ('apply', 'to_credit', 'refund') then
    perform private.fail('invalid_argument', 'p_action must be apply, to_credit or refund.');
  end if;
  v_payment := private.lock_payment(p_payment_id);
  if v_payment.review is null then
    perform private.fail('invalid_argument', 'p_payment_id is not a payment in review.');
  end if;
  v_payment := private.drop_dead_refunds(v_payment);
  v_amount := private.unapplied(v_payment);
  if p_action = 'apply' and (v_payment.applied_to is not null or v_amount = 0) then
    perform private.fail('invalid_argument', 'Nothing of the payment can be applied.', 'Use to_credit or refund.');
  end if;
  if p_action = 'refund' then
    if v_amount > private.refundable(v_payment) then
      perform private.fail('refund_exceeds_payment', 'The payment is disputed, or was lost to the bank.');
    end if;
    if v_amount > 0 then
      perform private.ask_refund(
        v_payment, (
          select format('resolve:%s:%s', v_payment.id, count(*))
          from private.refunds r
          where r.payment_id = v_payment.id
        ),
        v_amount, v_payment.session_id, jsonb_build_object('unapplied:' || v_payment.id, -v_amount)
      );
    end if;
    update private.payments p
    set review = null, applied_to = coalesce(p.applied_to, 'refund'), updated_at = private.clock()
    where p.id = v_payment.id;
    perform private.close_order(v_payment, 'failed');
  elsif p_action = 'to_credit' then
    perform private.post(
      format('resolve:%s:%s', v_payment.id, (select max(t.id) from private.ledger_transfers t)), v_payment.session_id,
      private.clock(), v_payment.currency, jsonb_build_object(
        'unapplied:' || v_payment.id, -v_amount, 'customer_credit:' || v_payment.customer_user_id, v_amount
      )
    );
    update private.payments p
    set review = null, updated_at = private.clock(),
        -- A refund that came back has become credit after all.
        applied_to = case when p.applied_to in ('session', 'extension') then p.applied_to else 'credit' end
    where p.id = v_payment.id;
    perform private.close_order(v_payment, 'to_credit');
  else
    -- A person says that this amount is right: what was asked for is what arrived.
    update public.checkout_intents i
    set price_cents = v_payment.amount_cents, currency = v_payment.currency, status = 'open',
        updated_at = private.clock()
    where i.id = v_payment.purpose_id and i.status = 'in_review';
    update public.session_extensions e
    set price_cents = v_payment.amount_cents, currency = v_payment.currency, updated_at = private.clock()
    where e.id = v_payment.purpose_id and e.status in ('pending', 'failed', 'replaced');
    if v_payment.purpose = 'session' then
      v_payment := private.make_paid_session(v_payment);
    else
      v_payment := private.apply_extension(v_payment);
    end if;
    if v_payment.applied_to is null then
      perform private.fail(
        'invalid_argument', 'What the payment is for was settled by another one.', 'Use to_credit or refund.'
      );
    end if;
    update private.payments p set review = null where p.id = v_payment.id;
  end if;
  select p.* into v_payment from private.payments p where p.id = p_payment_id;
  perform private.log_op('payment.resolved', v_payment.session_id, jsonb_build_object(
    'payment_id', p_payment_id, 'action', p_action, 'note', left(p_note, 500)
  ));
  return jsonb_build_object(
    'payment_id', v_payment.id, 'applied_to', v_payment.applied_to, 'session_id', v_payment.session_id,
    'refunded_cents', v_payment.refunded_cents
  );
end;
$$;
comment on function private.resolve_payment(uuid, text, text) is
  'Behind public.resolve_payment. Locks: profile, session, payment, intent or extension, credit, outbox.';
revoke all on function private.resolve_payment from public, anon, authenticated, service_role;
grant execute on function private.resolve_payment to authenticated, service_role;

create function public.resolve_payment(p_payment_id uuid, p_action text, p_note text default null)
returns jsonb
language sql
volatile
set search_path = ''
as $$
  select private.resolve_payment(p_payment_id, p_action, p_note)
$$;
comment on function public.resolve_payment(uuid, text, text) is
  'Settles a payment in review: apply (what arrived is what was asked for), to_credit, or refund. {payment_id, '
  'applied_to, session_id, refunded_cents}. Admins and the system; logged. Errors: role_required, payment_not_found, '
  'invalid_argument, session_locked.';
revoke all on function public.resolve_payment from public, anon, authenticated, service_role;
grant execute on function public.resolve_payment to authenticated, service_role;

create function private.resolve_payout(p_payout_id uuid, p_action text, p_stripe_transfer_id text)
returns public.payouts
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_payout public.payouts;
  v_row private.outbox;
  v_blocked_by text;
begin
  perform private.require_admin();
  if p_action is null or p_action not in ('paid', 'retry', 'cancel') then
    perform private.fail('invalid_argument', 'p_action must be paid, retry or cancel.');
  end if;
  if p_action = 'paid' and coalesce(p_stripe_transfer_id, '') !~ '^tr_[A-Za-z0-9]{1,100}$' then
    perform private.fail('invalid_argument', 'p_stripe_transfer_id must be the transfer that was found.');
  end if;
  select o.* into v_row from private.outbox o where o.key = 'payout:' || p_payout_id for no key update;
  select p.* into v_payout from public.payouts p where p.id = p_payout_id for no key update;
  if v_payout.id is null then
    perform private.fail('payout_not_found');
  end if;
  if p_action = 'paid' and exists (
    select from public.payouts p where p.stripe_transfer_id = p_stripe_transfer_id and p.id <> p_payout_id
  ) then
    perform private.fail('invalid_argument', 'p_stripe_transfer_id is the transfer of another payout.');
  end if;
  -- Of one that a refund cancelled nothing is owed.
  if v_payout.status not in ('needs_reconciliation', 'failed')
      and not (v_payout.status = 'cancelled' and v_payout.amount_cents > 0 and p_action <> 'cancel') then
    perform private.fail('invalid_argument', format('A payout that is %s needs no resolution.', v_payout.status));
  end if;
  if p_action = 'retry' then
    v_blocked_by := private.what_blocks(v_payout.user_id, v_payout.session_id);
    if v_blocked_by is not null then
      perform private.fail('invalid_argument', format('The payout is blocked by: %s.', v_blocked_by));
    end if;
    perform private.revive_outbox(v_row.id);
    update public.payouts p set status = 'submitted', updated_at = private.clock() where p.id = p_payout_id;
  else
    if p_action = 'paid' then
      perform private.payout_paid(p_payout_id, p_stripe_transfer_id, null, private.clock());
    else
      update public.payouts p set status = 'cancelled', updated_at = private.clock() where p.id = p_payout_id;
      perform private.drop_reversals(p_payout_id);
    end if;
    perform private.settle_outbox('payout:' || p_payout_id, p_action);
  end if;
  select p.* into v_payout from public.payouts p where p.id = p_payout_id;
  perform private.log_op('payout.resolved', v_payout.session_id, jsonb_build_object(
    'payout_id', p_payout_id, 'action', p_action, 'stripe_transfer_id', p_stripe_transfer_id
  ));
  return v_payout;
end;
$$;
comment on function private.resolve_payout(uuid, text, text) is
  'Behind public.resolve_payout. Locks: its row of the outbox, payout.';
revoke all on function private.resolve_payout from public, anon, authenticated, service_role;
grant execute on function private.resolve_payout to authenticated, service_role;

create function public.resolve_payout(p_payout_id uuid, p_action text, p_stripe_transfer_id text default null)
returns public.payouts
language sql
volatile
set search_path = ''
as $$
  select private.resolve_payout(p_payout_id, p_action, p_stripe_transfer_id)
$$;
comment on function public.resolve_payout(uuid, text, text) is
  'Settles a payout that failed or needs reconciliation: paid (by the transfer that was found), retry, or cancel '
  '(never sent; it stays owed, and can still be paid or tried again). Admins and the system; logged. Errors: '
  'role_required, payout_not_found, invalid_argument.';
revoke all on function public.resolve_payout from public, anon, authenticated, service_role;
grant execute on function public.resolve_payout to authenticated, service_role;

create function private.resolve_review(p_session_id uuid, p_note text)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_resolved integer;
begin
  perform private.require_admin();
  if (private.lock_session(p_session_id)).id is null then
    perform private.fail('session_not_found');
  end if;
  update private.session_reviews r
  set resolved_at = private.clock(), resolved_by = private.claimed_user(), note = left(p_note, 1000)
  where r.session_id = p_session_id and r.resolved_at is null;
  get diagnostics v_resolved = row_count;
  perform private.unblock_payouts(p_session_id, null, 'review');
  perform private.log_op('session.review_resolved', p_session_id, jsonb_build_object(
    'resolved', v_resolved, 'note', left(p_note, 1000)
  ));
  return v_resolved;
end;
$$;
comment on function private.resolve_review(uuid, text) is 'Behind public.resolve_review. Locks: session, payouts.';
revoke all on function private.resolve_review from public, anon, authenticated, service_role;
grant execute on function private.resolve_review to authenticated, service_role;

create function public.resolve_review(p_session_id uuid, p_note text default null)
returns integer
language sql
volatile
set search_path = ''
as $$
  select private.resolve_review(p_session_id, p_note)
$$;
comment on function public.resolve_review(uuid, text) is
  'Closes the open reviews of a session, with a note, and lets its payouts go; returns how many. Admins and the '
  'system; logged. Errors: role_required, session_not_found, session_locked.';
revoke all on function public.resolve_review from public, anon, authenticated, service_role;
grant execute on function public.resolve_review to authenticated, service_role;

-- Invariants ------------------------------------------------------------------------------------------------------

create type public.ledger_violation as (invariant text, subject text, detail jsonb);
comment on type public.ledger_violation is 'An invariant of the money that does not hold, and where.';

create function private.violations(p_since timestamptz)
returns setof public.ledger_violation
language plpgsql
stable
set search_path = ''
as $$
declare
  v_first bigint;
  v_currency text;
begin
  -- Where a key is looked for, its kind is said twice: what cannot match is left out before it is hashed.
  -- Transfers are numbered as they come: all since then have this number or a higher one.
  select min(n.id) into v_first
  from (select t.id from private.ledger_transfers t where t.created_at >= p_since offset 0) n;
  select a.currency into v_currency from private.ledger_accounts a order by a.id limit 1;
  return query
  -- One whose accounts are all of one currency sums to zero as a whole.
  with suspects as (
    select e.transfer_id
    -- As the index has them: one sum at a time is kept. The same below.
    from (
      select n.transfer_id, n.amount_cents
      from private.ledger_entries n
      where n.transfer_id >= v_first
      order by n.transfer_id
      offset 0
    ) e
    group by e.transfer_id
    having sum(e.amount_cents) <> 0
    union
    select e.transfer_id
    from private.ledger_accounts a
    join private.ledger_entries e on e.account_id = a.id
    where a.currency <> v_currency and e.transfer_id >= v_first
  )
  select
    'transfers sum to zero', (select t.key from private.ledger_transfers t where t.id = s.transfer_id),
    jsonb_build_object('currency', z.currency, 'cents', z.cents)
  from suspects s
  cross join lateral (
    select a.currency, sum(e.amount_cents) as cents
    from private.ledger_entries e
    join private.ledger_accounts a on a.id = e.account_id
    where e.transfer_id = s.transfer_id
    group by a.currency
    having sum(e.amount_cents) <> 0
  ) z;

  return query
  -- Nearly every account is at zero again, so that few of these sums are left.
  with balances as materialized (
    select e.account_id, sum(e.amount_cents) as cents
    from (select n.account_id, n.amount_cents from private.ledger_entries n order by n.account_id offset 0) e
    group by e.account_id
    having sum(e.amount_cents) <> 0
  ), named as materialized (
    select a.name, right(a.name, 36)::uuid as id, a.currency, b.cents
    from balances b
    join private.ledger_accounts a on a.id = b.account_id
    where a.name like 'session\_hold:%' or a.name like 'unapplied:%'
  )
  select 'an ended session holds nothing', s.id::text, jsonb_build_object('cents', n.cents, 'status', s.status)
  from named n
  join public.sessions s on s.id = n.id and s.currency = n.currency
  where n.name like 'session\_hold:%' and s.ended_at >= p_since and s.status >= 'completed'
  union all
  select 'unapplied money is in review', p.id::text, jsonb_build_object('cents', n.cents)
  from named n
  join private.payments p on p.id = n.id and p.currency = n.currency
  where n.name like 'unapplied:%' and p.received_at is not null and p.updated_at >= p_since and p.review is null
  union all
  select 'a stored balance is the sum of its entries', a.name, jsonb_build_object(
    'stored', a.balance_cents, 'summed', coalesce(b.cents, 0)
  )
  from private.ledger_accounts a
  left join balances b on b.account_id = a.id
  where a.balance_cents <> coalesce(b.cents, 0);

  return query
  select 'a completed session has its earning', s.id::text, jsonb_build_object('ended_at', s.ended_at)
  from public.sessions s
  where s.status = 'completed'
    and s.ended_at >= p_since
    and not s.metadata ? 'imported'
    and not exists (select from public.mechanic_earnings e where e.session_id = s.id);

  return query
  select 'an earning has its completed session', e.session_id::text, jsonb_build_object('status', s.status)
  from public.mechanic_earnings e
  join public.sessions s on s.id = e.session_id
  where e.created_at >= p_since and s.status <> 'completed' and s.end_reason is distinct from 'completed';

  return query
  with receivers as materialized (
    select a.id, split_part(a.name, ':', 1) as kind
    from private.ledger_accounts a
    where a.name = 'platform_revenue' or a.name like 'mechanic\_payable:%' or a.name like 'referral\_payable:%'
  ), earned as materialized (
    select o.session_id, t.id
    from public.mechanic_earnings o
    join private.ledger_transfers t on t.key = 'earning:' || o.session_id and t.key like 'earning:%'
    where o.created_at >= p_since
  ), posted as (
    select
      o.session_id, sum(x.amount_cents) filter (where r.kind = 'mechanic_payable') as share_cents,
      sum(x.amount_cents) filter (where r.kind = 'platform_revenue') as platform_cents,
      sum(x.amount_cents) filter (where r.kind = 'referral_payable') as referral_cents
    from earned o
    join private.ledger_entries x on x.transfer_id = o.id and x.transfer_id >= (select min(n.id) from earned n)
    join receivers r on r.id = x.account_id
    group by o.session_id
  )
  select 'an earning is what was posted', e.session_id::text, jsonb_build_object('gross_cents', e.gross_cents)
  from public.mechanic_earnings e
  left join posted p on p.session_id = e.session_id
  where e.created_at >= p_since
    -- Of nothing held, nothing is posted.
    and (e.share_cents, e.platform_cents, e.referral_cents) is distinct from (
      coalesce(p.share_cents, 0), coalesce(p.platform_cents, 0), coalesce(p.referral_cents, 0)
    );

  -- A share of zero counts as paid.
  return query
  select 'a share has its payout', t.session_id::text, jsonb_build_object('kind', k.kind, 'cents', k.cents)
  from private.settlements t
  cross join lateral (values ('session', t.share_cents), ('referral', t.referral_cents)) as k (kind, cents)
  where t.settled_at >= p_since
    and k.cents > 0
    and not exists (select from public.payouts p where p.kind = k.kind and p.source_id = t.session_id);

  return query
  select 'a payout has its earning', p.id::text, jsonb_build_object('kind', p.kind, 'source_id', p.source_id)
  from public.payouts p
  where p.created_at >= p_since
    and not exists (
      select
      from private.ledger_transfers t
      where t.key = case p.kind when 'quote_bonus' then 'quote_bonus:' else 'earning:' end || p.source_id
        and (t.key like 'earning:%' or t.key like 'quote\_bonus:%')
    );

  return query
  select 'a sent payout is posted', p.id::text, jsonb_build_object('status', p.status)
  from public.payouts p
  left join private.ledger_transfers t on t.key = 'payout:' || p.id and t.key like 'payout:%'
  where p.created_at >= p_since and (p.stripe_transfer_id is not null) <> (t.id is not null);

  return query
  select 'an applied extension has its payment', x.id::text, jsonb_build_object('session_id', x.session_id)
  from public.session_extensions x
  join public.sessions s on s.id = x.session_id
  where x.status = 'applied'
    and x.applied_at >= p_since
    and not exists (
      select
      from private.payments p
      where p.purpose = 'extension' and p.purpose_id = x.id and p.applied_to = 'extension'
        and p.received_at is not null
    )
    -- One that came with an imported session was paid for in the older system.
    and not (s.metadata ? 'imported' and exists (
      select
      from public.session_events e
      where e.session_id = x.session_id and e.type = 'created' and e.created_at >= x.applied_at
    ));

  return query
  select 'a paid session has its payment', s.id::text, jsonb_build_object('price_cents', s.price_cents)
  from public.sessions s
  where s.funding = 'paid'
    and s.created_at >= p_since
    and not s.metadata ? 'imported'
    and not exists (
      select from private.payments p where p.session_id = s.id and p.applied_to = 'session'
    );

  return query
  select 'refunds on their way add up', 'refund_clearing', jsonb_build_object(
    'ledger_cents', coalesce(b.cents, 0), 'refunds_cents', coalesce(r.cents, 0), 'currency', c.currency
  )
  from (select distinct a.currency from private.ledger_accounts a) c
  cross join lateral (select private.balance('refund_clearing', c.currency) as cents) b
  cross join lateral (
    select sum(f.amount_cents) as cents
    from private.refunds f
    join private.payments p on p.id = f.payment_id
    where f.status = 'requested' and p.currency = c.currency
  ) r
  where coalesce(b.cents, 0) <> coalesce(r.cents, 0);
end;
$$;
comment on function private.violations(timestamptz) is
  'Where the invariants of the money do not hold, in what changed since then.';
revoke all on function private.violations from public, anon, authenticated, service_role;

create function private.ledger_invariants(p_since timestamptz)
returns setof public.ledger_violation
language plpgsql
stable
security definer
set search_path = ''
set jit = off
set work_mem = '64MB'
set plan_cache_mode = 'force_custom_plan'
set enable_memoize = off
set enable_mergejoin = off
set random_page_cost = 1.1
as $$
begin
  perform private.require_admin();
  return query select v.* from private.violations(coalesce(p_since, '-infinity')) v;
end;
$$;
comment on function private.ledger_invariants(timestamptz) is 'Behind public.ledger_invariants.';
revoke all on function private.ledger_invariants from public, anon, authenticated, service_role;
grant execute on function private.ledger_invariants to authenticated, service_role;

create function public.ledger_invariants(p_since timestamptz default '-infinity')
returns setof public.ledger_violation
language sql
stable
set search_path = ''
as $$
  select * from private.ledger_invariants(p_since)
$$;
comment on function public.ledger_invariants(timestamptz) is
  'Every invariant of the money that does not hold, for what was written since then: invariant, subject, detail. '
  'Always empty. Admins and the system. Errors: role_required.';
revoke all on function public.ledger_invariants from public, anon, authenticated, service_role;
grant execute on function public.ledger_invariants to authenticated, service_role;
