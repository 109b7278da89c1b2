-- Payouts: what was earned goes to the mechanic's Stripe account when it is due and nothing blocks it. A transfer whose
-- answer never came is settled by asking Stripe, never by sending it under a new key.

create function private.submit_payouts(p_limit integer)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_payout public.payouts;
  v_submitted integer := 0;
begin
  for v_payout in
    select p.*
    from public.payouts p
    where p.status = 'pending' and p.due_at <= v_now
    order by p.due_at, p.id
    limit p_limit
    for no key update skip locked
  loop
    update public.payouts p set status = 'submitted', updated_at = v_now where p.id = v_payout.id;
    perform private.enqueue('stripe.transfer', 'payout:' || v_payout.id, jsonb_build_object(
      'payout_id', v_payout.id, 'amount', v_payout.amount_cents, 'currency', v_payout.currency,
      'destination', a.account, 'session_id', v_payout.session_id
    ), v_payout.session_id)
    from private.stripe_accounts a
    where a.user_id = v_payout.user_id;
    v_submitted := v_submitted + 1;
  end loop;
  return v_submitted;
end;
$$;
comment on function private.submit_payouts(integer) is
  'Puts due payouts into the outbox, the most overdue first. Locks: payouts, skipping locked ones; outbox.';
revoke all on function private.submit_payouts from public, anon, authenticated, service_role;

create function private.payable(p_payout public.payouts)
returns text
language sql
immutable
set search_path = ''
as $$
  select case p_payout.kind when 'referral' then 'referral_payable:' else 'mechanic_payable:' end || p_payout.user_id
$$;
comment on function private.payable(public.payouts) is 'The account that a payout is paid from.';
revoke all on function private.payable from public, anon, authenticated, service_role;

create function private.reversals(p_payout public.payouts)
returns setof private.outbox
language plpgsql
stable
set search_path = ''
as $$
begin
  return query
  select o.*
  from private.outbox o
  where o.session_id = p_payout.session_id
    and o.topic = 'stripe.transfer_reversal'
    and o.status <> 'done'
    and o.payload ->> 'payout_id' = p_payout.id::text
  order by o.id;
end;
$$;
comment on function private.reversals(public.payouts) is 'What is still to be asked back of a payout, oldest first.';
revoke all on function private.reversals from public, anon, authenticated, service_role;

create function private.payout_paid(
  p_payout_id uuid, p_stripe_transfer_id text, p_amount_cents integer, p_at timestamptz
)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_payout public.payouts;
  v_meant integer;
begin
  select p.amount_cents into v_meant from public.payouts p where p.id = p_payout_id for no key update;
  update public.payouts p
  set status = 'paid', blocked_by = null, stripe_transfer_id = p_stripe_transfer_id,
      amount_cents = coalesce(p_amount_cents, p.amount_cents), updated_at = private.clock()
  where p.id = p_payout_id and p.stripe_transfer_id is null and coalesce(p_amount_cents, p.amount_cents) > 0
  returning p.* into v_payout;
  if v_payout.id is null then
    perform private.alert_support('second_transfer:' || p_stripe_transfer_id, 'critical', 'A payout was sent twice',
      jsonb_build_object('payout_id', p.id, 'known', p.stripe_transfer_id, 'second', p_stripe_transfer_id))
    from public.payouts p
    where p.id = p_payout_id and p.stripe_transfer_id <> p_stripe_transfer_id;
    return;
  end if;
  perform private.post('payout:' || v_payout.id, v_payout.session_id, p_at, v_payout.currency, jsonb_build_object(
    private.payable(v_payout), -v_payout.amount_cents, 'stripe', v_payout.amount_cents
  ));
  perform private.amend_outbox(o.key, jsonb_build_object('transfer', p_stripe_transfer_id))
  from private.reversals(v_payout) o;
  if v_payout.amount_cents <> v_meant then
    perform private.alert_support('payout_differs:' || p_payout_id, 'critical', 'A transfer was of another amount',
      jsonb_build_object(
        'payout_id', p_payout_id, 'transfer', p_stripe_transfer_id, 'meant_cents', v_meant,
        'sent_cents', v_payout.amount_cents
      ));
  end if;
end;
$$;
comment on function private.payout_paid(uuid, text, integer, timestamptz) is
  'A transfer is known at Stripe, once, and counts as what it was of, whatever was meant; a reversal that waited for '
  'it can go. A second transfer is only told of. Locks: payout, reversals in the outbox, outbox.';
revoke all on function private.payout_paid from public, anon, authenticated, service_role;

create function private.payout_reversed(p_stripe_transfer_id text, p_reversed_cents integer, p_at timestamptz)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_payout public.payouts;
  v_more integer;
begin
  select p.* into v_payout
  from public.payouts p
  where p.stripe_transfer_id = p_stripe_transfer_id
  for no key update;
  v_more := least(p_reversed_cents, v_payout.amount_cents) - v_payout.reversed_cents;
  if p_reversed_cents is null or v_more is null or v_more <= 0 then
    return 0;
  end if;
  update public.payouts p
  set reversed_cents = p.reversed_cents + v_more,
      status = case when p.reversed_cents + v_more = p.amount_cents then 'reversed' else p.status end,
      updated_at = private.clock()
  where p.id = v_payout.id;
  perform private.post(
    format('reversed:%s:%s', v_payout.id, v_payout.reversed_cents + v_more), v_payout.session_id, p_at,
    v_payout.currency, jsonb_build_object(private.payable(v_payout), v_more, 'stripe', -v_more)
  );
  return v_more;
end;
$$;
comment on function private.payout_reversed(text, integer, timestamptz) is
  'So much of a transfer has come back in all; what is not known yet is posted, and returned. Locks: payout.';
revoke all on function private.payout_reversed from public, anon, authenticated, service_role;

create function private.drop_reversals(p_payout_id uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_row private.outbox;
begin
  for v_row in
    select o.*
    from public.payouts p
    cross join lateral private.reversals(p) o
    where p.id = p_payout_id
  loop
    perform private.settle_outbox(v_row.key, 'never sent');
    perform private.lessen_payout(p_payout_id, (v_row.payload ->> 'amount')::integer);
  end loop;
end;
$$;
comment on function private.drop_reversals(uuid) is
  'Of a payout that was never sent nothing comes back: it is so much less. Locks: payout and its row of the outbox '
  '(held), reversals in the outbox.';
revoke all on function private.drop_reversals from public, anon, authenticated, service_role;

create function private.transfer_is_answered()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_payout_id uuid := (new.payload ->> 'payout_id')::uuid;
begin
  if new.topic = 'stripe.transfer_reversal' then
    if new.status = 'done' then
      perform private.payout_reversed(
        new.result ->> 'transfer', (new.result ->> 'amount_reversed')::integer, private.clock()
      );
    end if;
  elsif new.status = 'done' and new.result ->> 'id' is not null then
    perform private.payout_paid(
      v_payout_id, new.result ->> 'id', (new.result ->> 'amount')::integer, private.clock()
    );
  elsif new.status <> 'leased' then
    update public.payouts p
    set status = case
          when new.is_ambiguous and p.status = 'failed' then 'submitted'
          when new.is_ambiguous or new.status = 'done' then 'needs_reconciliation'
          when new.status = 'dead' then 'failed'
          else 'submitted' end,
        updated_at = private.clock()
    where p.id = v_payout_id
      and (p.status in ('submitted', 'needs_reconciliation') or (p.status = 'failed' and old.status = 'dead'));
    if new.status = 'dead' and not new.is_ambiguous then
      perform private.drop_reversals(v_payout_id);
    end if;
  end if;
  return null;
end;
$$;
comment on function private.transfer_is_answered() is
  'Trigger: takes what Stripe answered to a transfer or a reversal. Nobody knows what happened: needs_reconciliation; '
  'refused for good: failed, until it is revived; refused for now (balance_insufficient): it is tried again.';
revoke all on function private.transfer_is_answered from public, anon, authenticated, service_role;

create trigger answers_to_transfers_count
after update of status on private.outbox
for each row when (old.status <> new.status and new.topic in ('stripe.transfer', 'stripe.transfer_reversal'))
execute function private.transfer_is_answered();

create function private.block_payouts(p_session_id uuid, p_by text)
returns void
language sql
volatile
set search_path = ''
as $$
  select private.lock_payouts(p_session_id);
  update public.payouts p
  set status = 'blocked', blocked_by = p_by, updated_at = private.clock()
  where p.session_id = p_session_id and p.status in ('pending', 'blocked')
$$;
comment on function private.block_payouts(uuid, text) is 'Holds the payouts of a session back that are not yet sent.';
revoke all on function private.block_payouts from public, anon, authenticated, service_role;

create function private.review_session(p_session_id uuid, p_reason text, p_severity text, p_detail jsonb)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_id bigint;
begin
  perform private.block_payouts(p_session_id, 'review');
  insert into private.session_reviews (session_id, reason, detail)
  values (p_session_id, p_reason, p_detail)
  returning id into v_id;
  perform private.alert_support(
    'session_review:' || v_id, p_severity, 'A session needs a person',
    p_detail || jsonb_build_object('session_id', p_session_id, 'reason', p_reason)
  );
end;
$$;
comment on function private.review_session(uuid, text, text, jsonb) is
  'Leaves a session for a person and tells support; its payouts wait. Locks: session (held), payouts, outbox.';
revoke all on function private.review_session from public, anon, authenticated, service_role;

create function private.unblock_payouts(p_session_id uuid, p_user_id uuid, p_by text)
returns void
language sql
volatile
set search_path = ''
as $$
  -- In one order, because a person and a session have payouts in common; and whatever blocks them, because an account
  -- that is being set at this moment would not see what waits for it from now on.
  select from public.payouts p
  where p.status = 'blocked' and (p.session_id = p_session_id or p.user_id = p_user_id)
  order by p.id
  for no key update;
  update public.payouts p
  set status = case when private.what_blocks(p.user_id, p.session_id) is null then 'pending' else 'blocked' end,
      blocked_by = private.what_blocks(p.user_id, p.session_id),
      updated_at = private.clock()
  where p.status = 'blocked' and p.blocked_by = p_by and (p.session_id = p_session_id or p.user_id = p_user_id)
$$;
comment on function private.unblock_payouts(uuid, uuid, text) is
  'Lets payouts of a session or a person go that were blocked by this, unless something else blocks them. Locks: '
  'payouts.';
revoke all on function private.unblock_payouts from public, anon, authenticated, service_role;

create function private.set_stripe_account(p_mechanic_id uuid, p_account text)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.require_system();
  if p_account is null or p_account !~ '^acct_[A-Za-z0-9]{1,100}$' then
    perform private.fail('invalid_argument', 'p_account is not the id of a connected account.');
  end if;
  perform from public.mechanics m where m.id = p_mechanic_id for no key update;
  if not found then
    perform private.fail('invalid_argument', 'p_mechanic_id is not a mechanic.');
  end if;
  insert into private.stripe_accounts as a (user_id, account)
  values (p_mechanic_id, p_account)
  on conflict (user_id) do update set account = excluded.account, updated_at = private.clock();
  -- What was refused may have been because of the old one.
  perform private.amend_outbox('payout:' || p.id, jsonb_build_object('destination', p_account))
  from (
    select n.id
    from public.payouts n
    where n.user_id = p_mechanic_id and n.status in ('failed', 'cancelled')
    order by n.id
  ) p;
  perform private.unblock_payouts(null, p_mechanic_id, 'account');
  perform private.log_op('stripe_account.set', null, jsonb_build_object(
    'mechanic_id', p_mechanic_id, 'account', p_account
  ));
  return true;
exception
  when unique_violation then
    perform private.fail('invalid_argument', 'p_account belongs to another mechanic.');
    return false;
end;
$$;
comment on function private.set_stripe_account(uuid, text) is
  'Behind public.set_stripe_account. Locks: mechanic, outbox, payouts.';
revoke all on function private.set_stripe_account from public, anon, authenticated, service_role;
grant execute on function private.set_stripe_account to service_role;

create function public.set_stripe_account(p_mechanic_id uuid, p_account text)
returns boolean
language sql
volatile
set search_path = ''
as $$
  select private.set_stripe_account(p_mechanic_id, p_account)
$$;
comment on function public.set_stripe_account(uuid, text) is
  'Keeps the connected account a mechanic is paid through, and lets waiting payouts go. The system; logged. '
  'Errors: invalid_argument.';
revoke all on function public.set_stripe_account from public, anon, authenticated, service_role;
grant execute on function public.set_stripe_account to service_role;

create function private.payout_account()
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.require_user();
  v_account jsonb;
begin
  select jsonb_build_object('mechanic_id', m.id, 'account', a.account, 'email', p.email) into v_account
  from public.mechanics m
  join public.profiles p on p.id = m.id
  left join private.stripe_accounts a on a.user_id = m.id
  where m.id = v_user;
  if v_account is null then
    perform private.fail('role_required', 'The caller is not a mechanic.', 'Call apply_as_mechanic first.');
  end if;
  return v_account;
end;
$$;
comment on function private.payout_account() is 'Behind public.payout_account.';
revoke all on function private.payout_account from public, anon, authenticated, service_role;
grant execute on function private.payout_account to authenticated;

create function public.payout_account()
returns jsonb
language sql
stable
set search_path = ''
as $$
  select private.payout_account()
$$;
comment on function public.payout_account() is
  'The connected account that the caller is paid through: mechanic_id, account (null: none yet), email. Mechanics. '
  'Errors: role_required.';
revoke all on function public.payout_account from public, anon, authenticated, service_role;
grant execute on function public.payout_account to authenticated;
