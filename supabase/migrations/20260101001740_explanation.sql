-- Explanation: a readable, complete account of one session, out of its events, its rule and its money, to answer a
-- dispute with. A customer sees price, hold, credit and refunds; a mechanic his share, fees and payouts; neither the
-- other's money; admins all.

create function private.event_text(p_type text, p_payload jsonb)
returns text
language sql
immutable
set search_path = ''
as $$
  select case
    when p_type = 'created' then 'The session was asked for.'
    when p_type = 'accepted' then 'A mechanic accepted.'
    when p_type = 'released' then 'The mechanic gave the session back to the queue.'
    when p_type = 'due' then 'The booked time had come.'
    when p_type = 'joined' then format(
      'The %s joined%s.', p_payload ->> 'role',
      case when p_payload ->> 'via' = 'video' then ' (said the video server)' end
    )
    when p_type = 'left' then format('The %s left.', p_payload ->> 'role')
    when p_type = 'disconnected' then format('Nothing more was heard of the %s.', p_payload ->> 'role')
    when p_type = 'started' then 'Both were there: the meter started.'
    when p_type = 'reconnecting' then 'One was missing: the meter waited for a return.'
    when p_type = 'resumed' then 'Both were there again.'
    when p_type like 'warning\_%' then format('%s minutes before the end both were warned.', p_payload ->> 'minutes')
    when p_type = 'extended' then format('%s minutes were bought and added.', p_payload ->> 'minutes')
    when p_type = 'extension_failed' then 'More time was asked for, and not paid.'
    when p_type = 'ended' then format('The session ended: %s.', replace(p_payload ->> 'reason', '_', ' '))
    when p_type = 'nudged' then 'The mechanic was asked to join.'
    when p_type = 'support_alerted' then 'Both were there and the meter did not run: support was told.'
    when p_type = 'summary_submitted' then 'The mechanic wrote the summary.'
    when p_type = 'corrected' then format(
      'An admin corrected the session from %s to %s.', p_payload ->> 'from', p_payload ->> 'to'
    )
    when p_type = 'refunded' then 'All that was left of the price was given back.'
    when p_type = 'partly_refunded' then 'A part of the price was given back.'
    when p_type = 'archived' then 'The session was archived.'
    else replace(p_type, '_', ' ') end
$$;
comment on function private.event_text(text, jsonb) is 'What an event says, in a sentence.';
revoke all on function private.event_text from public, anon, authenticated, service_role;

create function private.shown(p_facts jsonb, p_keys text[])
returns jsonb
language sql
immutable
set search_path = ''
as $$
  select coalesce(jsonb_object_agg(f.key, f.value), '{}') from jsonb_each(p_facts) f where f.key = any (p_keys)
$$;
comment on function private.shown(jsonb, text[]) is 'Of some facts those that may be shown.';
revoke all on function private.shown from public, anon, authenticated, service_role;

create function private.decision_text(p_reason text, p_facts jsonb, p_rule jsonb, p_billable_seconds integer)
returns text
language sql
immutable
set search_path = ''
as $$
  select case p_reason
    when 'completed' then format(
      'Completed: %s seconds count, and %s are enough.', p_billable_seconds, p_rule ->> 'min_billable_seconds'
    )
    when 'too_short' then format(
      'Not completed: %s seconds count, and it takes %s.', p_billable_seconds, p_rule ->> 'min_billable_seconds'
    )
    when 'customer_no_show' then format(
      'The customer never came; the mechanic waited %s seconds, and %s are enough.',
      p_facts ->> 'mechanic_waited_seconds', p_facts ->> 'no_show_after_seconds'
    )
    when 'mechanic_no_show' then format(
      'The mechanic never came; the customer waited %s seconds, and %s are enough.',
      p_facts ->> 'customer_waited_seconds', p_facts ->> 'no_show_after_seconds'
    )
    when 'cancelled_before_accept' then 'Cancelled before any mechanic had accepted.'
    when 'orphaned' then 'Nothing happened for too long: expired.'
    when 'unattended' then 'No mechanic took it in time.'
    when 'nobody_joined' then 'The two never met, and nobody waited long enough for a no-show.'
    else upper(left(p_reason, 1)) || replace(substr(p_reason, 2), '_', ' ') || ', before the two had met.' end
$$;
comment on function private.decision_text(text, jsonb, jsonb, integer) is
  'Why a session ended as it did, in a sentence.';
revoke all on function private.decision_text from public, anon, authenticated, service_role;

create function private.explain_to_customer(p_session public.sessions)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_build_object(
    'funding', p_session.funding,
    'price_cents', p_session.price_cents,
    'currency', p_session.currency,
    'held_cents', coalesce(t.held_cents, private.held(p_session.id, p_session.currency)),
    'given_back_at_the_end_cents', t.refund_cents,
    'given_back_later_cents', t.refunded_later_cents,
    'kept_cents', t.held_cents - t.refund_cents - t.refunded_later_cents,
    'payments', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'amount_cents', p.amount_cents, 'currency', p.currency, 'for', p.purpose, 'state', p.rank,
        'received_at', p.received_at, 'refunded_cents', p.refunded_cents
      ) order by p.received_at, p.id), '[]')
      from private.payments p
      where p.session_id = p_session.id
    ),
    'credit', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'cents', e.amount_cents, 'currency', a.currency, 'at', l.occurred_at
      ) order by l.id), '[]')
      from private.ledger_transfers l
      join private.ledger_entries e on e.transfer_id = l.id
      join private.ledger_accounts a on a.id = e.account_id
      where l.session_id = p_session.id and a.name = 'customer_credit:' || p_session.customer_user_id
    ),
    'refunds', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'amount_cents', r.amount_cents, 'to', 'card', 'state', r.status, 'at', r.created_at
      ) order by r.created_at, r.id), '[]')
      from private.refunds r
      where r.session_id = p_session.id
    ),
    'extensions', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'minutes', x.minutes, 'price_cents', x.price_cents, 'state', x.status, 'applied_at', x.applied_at
      ) order by x.created_at, x.id), '[]')
      from public.session_extensions x
      where x.session_id = p_session.id
    )
  )
  from (select) one
  left join private.settlements t on t.session_id = p_session.id
$$;
comment on function private.explain_to_customer(public.sessions) is 'The customer''s money in a session, minor units.';
revoke all on function private.explain_to_customer from public, anon, authenticated, service_role;

create function private.explain_to_mechanic(p_session public.sessions)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_build_object(
    'currency', p_session.currency,
    'gross_cents', coalesce(e.gross_cents, t.held_cents - t.refund_cents),
    'share_cents', coalesce(e.share_cents, t.share_cents),
    'fee_cents', coalesce(e.gross_cents - e.share_cents, t.held_cents - t.refund_cents - t.share_cents),
    'taken_back_cents', (
      select -coalesce(sum(x.amount_cents) filter (where x.amount_cents < 0 and l.key like 'take\_back:%'), 0)
      from private.ledger_transfers l
      join private.ledger_entries x on x.transfer_id = l.id
      join private.ledger_accounts a on a.id = x.account_id
      where l.session_id = p_session.id and a.name = 'mechanic_payable:' || p_session.mechanic_id
    ),
    'payouts', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'kind', p.kind, 'amount_cents', p.amount_cents, 'state', p.status, 'due_at', p.due_at
      ) order by p.created_at, p.id), '[]')
      from public.payouts p
      where p.session_id = p_session.id and p.user_id = p_session.mechanic_id
    )
  )
  from (select) one
  left join public.mechanic_earnings e on e.session_id = p_session.id
  left join private.settlements t on t.session_id = p_session.id
$$;
comment on function private.explain_to_mechanic(public.sessions) is 'The mechanic''s money in a session, minor units.';
revoke all on function private.explain_to_mechanic from public, anon, authenticated, service_role;

create function private.explain_to_admin(p_session public.sessions)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_build_object(
    'customer', private.explain_to_customer(p_session),
    'mechanic', private.explain_to_mechanic(p_session),
    'payments', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'id', p.id, 'payment_intent_id', p.payment_intent_id, 'charge_id', p.charge_id, 'state', p.rank,
        'amount_cents', p.amount_cents, 'refunded_cents', p.refunded_cents
      ) order by p.created_at, p.id), '[]')
      from private.payments p
      where p.session_id = p_session.id
    ),
    'payouts', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'id', p.id, 'kind', p.kind, 'user_id', p.user_id, 'amount_cents', p.amount_cents, 'state', p.status,
        'blocked_by', p.blocked_by, 'stripe_transfer_id', p.stripe_transfer_id, 'due_at', p.due_at
      ) order by p.created_at, p.kind), '[]')
      from public.payouts p
      where p.session_id = p_session.id
    ),
    'settlement', (select to_jsonb(t) from private.settlements t where t.session_id = p_session.id),
    'transfers', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'key', l.key, 'occurred_at', l.occurred_at, 'entries', (
          select coalesce(jsonb_object_agg(a.name, e.amount_cents), '{}')
          from private.ledger_entries e
          join private.ledger_accounts a on a.id = e.account_id
          where e.transfer_id = l.id
        )
      ) order by l.id), '[]')
      from private.ledger_transfers l
      where l.session_id = p_session.id
    ),
    'effects', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'topic', o.topic, 'key', o.key, 'state', o.status, 'attempts', o.attempts, 'done_at', o.done_at
      ) order by o.id), '[]')
      from private.outbox o
      where o.session_id = p_session.id
    ),
    'reviews', (
      select coalesce(jsonb_agg(to_jsonb(r) - 'session_id' order by r.id), '[]')
      from private.session_reviews r
      where r.session_id = p_session.id
    )
  )
$$;
comment on function private.explain_to_admin(public.sessions) is 'All the money of a session, and what it set off.';
revoke all on function private.explain_to_admin from public, anon, authenticated, service_role;

create function private.explain_session(p_session_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_session public.sessions := private.visible_session(p_session_id);
  v_role text := case
    when private.is_system() or private.is_admin() then 'admin'
    else private.role_in(v_session, private.claimed_user()) end;
  v_facts text[] := array[
    'role', 'via', 'minutes', 'remaining_seconds', 'expires_at', 'grace_ends_at', 'absent_role', 'reason',
    'duration_minutes', 'duration_seconds', 'billable_seconds', 'scheduled_for', 'found_in', 'from', 'to'
  ];
  v_rules text[] := array['min_billable_seconds', 'source', 'billable_basis'];
  v_end public.session_events;
begin
  if v_role = 'customer' then
    v_facts := v_facts || '{price_cents,amount_cents,currency}'::text[];
  elsif v_role = 'mechanic' then
    v_rules := v_rules || '{mechanic_share_bps}'::text[];
  end if;
  select e.* into v_end
  from public.session_events e
  where e.session_id = p_session_id and e.source = 'sessions' and e.type in ('ended', 'corrected')
  order by e.id desc
  limit 1;
  return jsonb_build_object(
    'session', jsonb_build_object(
      'id', v_session.id, 'plan', v_session.plan, 'type', v_session.type, 'status', v_session.status,
      'created_at', v_session.created_at, 'scheduled_for', v_session.scheduled_for,
      'accepted_at', v_session.accepted_at, 'started_at', v_session.started_at, 'expires_at', v_session.expires_at,
      'ended_at', v_session.ended_at, 'duration_minutes', v_session.duration_minutes,
      'duration_seconds', v_session.duration_seconds, 'billable_seconds', v_session.billable_seconds,
      'both_present_seconds', v_session.both_present_seconds, 'end_reason', v_session.end_reason,
      'ended_by', coalesce(
        private.role_in(v_session, v_session.ended_by), case when v_session.ended_by is not null then 'admin' end
      )
    ),
    'for', v_role,
    'timeline', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'at', e.occurred_at, 'recorded_at', e.created_at, 'what', e.type, 'by', e.actor_role,
        'text', private.event_text(e.type, e.payload),
        'facts', case when v_role = 'admin' then e.payload else private.shown(e.payload, v_facts) end
      ) order by e.id), '[]')
      from public.session_events e
      where e.session_id = p_session_id and e.source = 'sessions'
    ),
    'presence', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'role', p.role, 'first_joined_at', p.first_joined_at, 'last_seen_at', p.last_seen_at, 'left_at', p.left_at
      ) order by p.role), '[]')
      from public.session_participants p
      where p.session_id = p_session_id and p.closed_at is null
    ),
    'decision', case when v_end.id is not null then jsonb_build_object(
      'status', v_end.payload ->> 'to',
      'reason', v_end.payload ->> 'reason',
      'text', private.decision_text(
        v_end.payload ->> 'reason', v_end.payload -> 'facts', v_end.payload -> 'rule',
        (v_end.payload ->> 'billable_seconds')::integer
      ),
      'rule', case
        when v_role = 'admin' then v_end.payload -> 'rule'
        else private.shown(v_end.payload -> 'rule', v_rules) || jsonb_strip_nulls(jsonb_build_object(
          case v_role when 'customer' then 'refund_bps' else 'mechanic_bps' end,
          v_end.payload -> 'rule' -> 'policy' -> case v_role when 'customer' then 'refund_bps' else 'mechanic_bps' end
        )) end,
      'facts', v_end.payload -> 'facts'
    ) end,
    'money', case v_role
      when 'customer' then private.explain_to_customer(v_session)
      when 'mechanic' then private.explain_to_mechanic(v_session)
      else private.explain_to_admin(v_session) end
  );
end;
$$;
comment on function private.explain_session(uuid) is 'Behind public.explain_session.';
revoke all on function private.explain_session from public, anon, authenticated, service_role;
grant execute on function private.explain_session to authenticated, service_role;

create function public.explain_session(p_session_id uuid)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select private.explain_session(p_session_id)
$$;
comment on function public.explain_session(uuid) is
  'A readable, complete account of a session: session, for (whom it is told), timeline (each event in a sentence), '
  'presence, decision (rule values and facts of its end), money (minor units; the caller''s own side, for admins all). '
  'Participants, admins, the system. Errors: session_not_found.';
revoke all on function public.explain_session from public, anon, authenticated, service_role;
grant execute on function public.explain_session to authenticated, service_role;
