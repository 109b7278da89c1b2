-- Telling: who is notified of what. One trigger for each log that says what happened: the events of sessions, places in
-- the queue, refunds, payouts, quotes. Payments that became credit and refused bank payouts are told by their rooms.

create function private.tell_people(p_event public.session_events)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_session public.sessions;
  v_kind text;
  v_values jsonb;
  v_credited integer;
begin
  select s.* into v_session from public.sessions s where s.id = p_event.session_id;
  v_kind := case p_event.type
    when 'accepted' then 'assignment_accepted'
    when 'started' then 'session_started'
    when 'extended' then 'session_extended'
    else 'session_' || (p_event.payload ->> 'to') end;
  v_values := jsonb_build_object(
    'minutes', case p_event.type
      when 'extended' then p_event.payload ->> 'minutes'
      when 'started' then v_session.duration_minutes::text
      else ceil(v_session.duration_seconds / 60.0)::text end,
    'reason', replace(v_session.end_reason, '_', ' ')
  );
  perform private.notify(v_session.customer_user_id, v_kind, p_event.id::text, v_session.id, v_values);
  if p_event.type <> 'accepted' and v_session.mechanic_id is not null then
    perform private.notify(v_session.mechanic_id, v_kind, p_event.id::text, v_session.id, v_values);
  end if;
  if p_event.type = 'ended' then
    -- What went back to the card is told by its refund.
    select t.refund_cents - (
      select coalesce(sum(r.amount_cents), 0)
      from private.refunds r
      where r.session_id = v_session.id and r.key like 'outcome:%'
    )
    into v_credited
    from private.settlements t
    where t.session_id = v_session.id;
    if v_credited > 0 then
      perform private.notify(
        v_session.customer_user_id, 'refund_issued', p_event.id::text, v_session.id, jsonb_build_object(
          'amount', private.money_text(v_credited, v_session.currency), 'target', 'your credit'
        )
      );
    end if;
  end if;
end;
$$;
comment on function private.tell_people(public.session_events) is
  'Notifies the two people of a session when it is accepted, starts, grows or ends, and of credit given back; each '
  'once per event.';
revoke all on function private.tell_people from public, anon, authenticated, service_role;

create function private.tell_of_event()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.tell_people(new);
  return null;
exception
  when others then
    -- What has happened has happened, told or not.
    if new.type = 'ended' then
      perform private.note_failure(new.session_id, 'aftermath', sqlerrm, sqlstate);
    else
      perform private.log_op('notify.failed', new.session_id, jsonb_build_object('event', new.type, 'error', sqlerrm));
    end if;
    return null;
end;
$$;
comment on function private.tell_of_event() is
  'Trigger: notifies people of events. A failure stops nothing; that of an end is left for review.';
revoke all on function private.tell_of_event from public, anon, authenticated, service_role;

-- After the one that settles the money: triggers run in the order of their names.
create trigger events_notify_people
after insert on public.session_events
for each row when (new.source = 'sessions' and new.type in ('accepted', 'started', 'extended', 'ended'))
execute function private.tell_of_event();

create function private.tell_preferred()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.notify(new.preferred_mechanic_id, 'assignment_offered', new.id::text, new.session_id);
  return null;
end;
$$;
comment on function private.tell_preferred() is 'Trigger: notifies the mechanic a customer asked for.';
revoke all on function private.tell_preferred from public, anon, authenticated, service_role;

create trigger preferred_mechanics_are_notified
after insert on public.session_assignments
for each row when (new.preferred_mechanic_id is not null and new.status = 'queued')
execute function private.tell_preferred();

create function private.tell_of_refund()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.notify(p.customer_user_id, 'refund_issued', new.id::text, new.session_id, jsonb_build_object(
    'amount', private.money_text(new.amount_cents, p.currency), 'target', 'your card'
  ))
  from private.payments p
  where p.id = new.payment_id;
  return null;
end;
$$;
comment on function private.tell_of_refund() is 'Trigger: notifies the customer of money on its way back to the card.';
revoke all on function private.tell_of_refund from public, anon, authenticated, service_role;

create trigger refunds_notify_the_customer
after insert on private.refunds
for each row execute function private.tell_of_refund();

create function private.tell_of_session_refund()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.notify(s.customer_user_id, 'refund_issued', new.id::text, s.id, jsonb_build_object(
    'amount', private.money_text(new.to_credit_cents, new.currency), 'target', 'your credit'
  ))
  from public.sessions s
  where s.id = new.session_id;
  return null;
end;
$$;
comment on function private.tell_of_session_refund() is 'Trigger: notifies the customer of what became credit.';
revoke all on function private.tell_of_session_refund from public, anon, authenticated, service_role;

create trigger refunds_to_credit_notify_the_customer
after insert on private.session_refunds
for each row when (new.to_credit_cents > 0)
execute function private.tell_of_session_refund();

create function private.tell_of_payout()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.notify(
    new.user_id, 'payout_' || new.status, new.id::text, new.session_id,
    jsonb_build_object('amount', private.money_text(new.amount_cents, new.currency))
  );
  return null;
end;
$$;
comment on function private.tell_of_payout() is 'Trigger: notifies who is paid, or is not.';
revoke all on function private.tell_of_payout from public, anon, authenticated, service_role;

create trigger payouts_notify_their_owner
after update of status on public.payouts
for each row when (new.status in ('paid', 'failed') and old.status <> new.status)
execute function private.tell_of_payout();

create function private.tell_of_quote()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.notify(
    case new.status when 'escalated' then s.customer_user_id else new.mechanic_id end,
    'quote_' || new.status, new.id::text, s.id,
    jsonb_build_object('amount', private.money_text(new.amount_cents, new.currency))
  )
  from public.sessions s
  where s.id = new.session_id;
  return null;
end;
$$;
comment on function private.tell_of_quote() is
  'Trigger: notifies the customer of a quote, and its mechanic of the decision.';
revoke all on function private.tell_of_quote from public, anon, authenticated, service_role;

create trigger quotes_notify_both_sides
after insert or update of status on public.repair_quotes
for each row when (new.status in ('escalated', 'approved', 'declined'))
execute function private.tell_of_quote();
