-- Notifications: what a person is told, once each, in the same transaction as what happened. The rooms that follow say
-- whom they tell of what (private.notify); what there is to say, and in which words, is data. A notification is read in
-- the app; the few that must reach somebody who is away are also sent by e-mail or push, through the outbox.

create table private.notification_kinds (
  kind text primary key,
  title text not null,
  body text not null
);
comment on table private.notification_kinds is
  'Every kind of notification and its words; {amount} and the like in the body are filled in. By migration only.';
alter table private.notification_kinds enable row level security;
revoke all on table private.notification_kinds from public, anon, authenticated, service_role;
create policy "nobody reads kinds of notifications directly" on private.notification_kinds using (false);

insert into private.notification_kinds (kind, title, body) values
  ('assignment_offered', 'A customer asks for you', 'You have been asked for by a customer and see the session first.'),
  ('assignment_accepted', 'A mechanic accepted your session', 'Join when you are ready.'),
  ('session_started', 'Your session has started', 'It runs for {minutes} minutes.'),
  ('session_extended', 'Your session is longer', '{minutes} minutes were added.'),
  ('session_completed', 'Your session is completed', 'It lasted {minutes} minutes.'),
  ('session_cancelled', 'Your session was cancelled', 'Reason: {reason}.'),
  ('session_expired', 'Your session has expired', 'Reason: {reason}.'),
  ('session_unattended', 'No mechanic was free', 'Your session was not taken in time.'),
  ('payment_to_credit', 'Your payment became credit', '{amount} are yours to spend on your next session.'),
  ('refund_issued', 'You get money back', '{amount} are on their way to {target}.'),
  ('summary_ready', 'Your session summary is ready', 'Your mechanic has written down what was found.'),
  ('nudge_join', 'Your customer is waiting', 'You accepted a session that has not started. Please join it.'),
  ('quote_escalated', 'You have a repair quote', 'Your mechanic proposes a repair for {amount}.'),
  ('quote_approved', 'Your quote was approved', 'The customer approved your quote of {amount}.'),
  ('quote_declined', 'Your quote was declined', 'The customer declined your quote of {amount}.'),
  ('payout_paid', 'You were paid', '{amount} were sent to your account.'),
  ('payout_failed', 'A payout failed', 'A payout to you did not go through. Please check your account.');

create table public.notifications (
  id uuid primary key default private.new_id(),
  user_id uuid not null references public.profiles (id),
  kind text not null,
  about text not null,
  title text not null,
  body text not null,
  session_id uuid,
  read_at timestamptz,
  created_at timestamptz not null default private.clock(),
  constraint each_thing_is_said_once unique (user_id, kind, about),
  constraint texts_are_bounded check (length(title) <= 200 and length(body) <= 1000)
);
comment on table public.notifications is 'What a person was told. Own rows only.';
comment on column public.notifications.about is
  'The event, payment, refund, payout or quote it tells of: said once each.';
create index notifications_user_id_idx on public.notifications (user_id, created_at desc);
alter table public.notifications enable row level security;
revoke all on table public.notifications from public, anon, authenticated, service_role;
grant select on table public.notifications to authenticated, service_role;
create policy "people read their notifications" on public.notifications
for select to authenticated
using (user_id = (select auth.uid()));

create function private.money_text(p_cents bigint, p_currency text)
returns text
language sql
immutable
set search_path = ''
as $$
  select to_char(
    p_cents / 10.0 ^ d.digits, 'FM999999999990' || case d.digits when 0 then '' else '.' || repeat('0', d.digits) end
  ) || ' ' || upper(p_currency)
  from (
    select case
      when p_currency in (
        'bif', 'clp', 'djf', 'gnf', 'jpy', 'kmf', 'krw', 'mga', 'pyg', 'rwf', 'vnd', 'vuv', 'xaf', 'xof', 'xpf'
      ) then 0
      when p_currency in ('bhd', 'jod', 'kwd', 'omr', 'tnd') then 3
      else 2 end as digits
  ) d
$$;
comment on function private.money_text(bigint, text) is
  'Minor units as a text for people: 1050 usd is 10.50 USD, 1050 jpy is 1050 JPY. Digits as Stripe counts them.';
revoke all on function private.money_text from public, anon, authenticated, service_role;

create function private.notify(
  p_user_id uuid, p_kind text, p_about text, p_session_id uuid, p_values jsonb default '{}'
)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  v_kind private.notification_kinds;
  v_notification public.notifications;
  v_value record;
begin
  -- A person who is gone is told nothing.
  if not exists (select from public.profiles p where p.id = p_user_id and p.deleted_at is null) then
    return false;
  end if;
  select k.* into strict v_kind from private.notification_kinds k where k.kind = p_kind;
  for v_value in select v.key, v.value from jsonb_each_text(p_values) v loop
    v_kind.body := replace(v_kind.body, '{' || v_value.key || '}', coalesce(v_value.value, ''));
  end loop;
  insert into public.notifications as n (user_id, kind, about, title, body, session_id)
  values (p_user_id, p_kind, p_about, v_kind.title, left(v_kind.body, 1000), p_session_id)
  on conflict (user_id, kind, about) do nothing
  returning n.* into v_notification;
  if v_notification.id is null then
    return false;
  end if;
  perform private.broadcast('user:' || p_user_id, 'notification:new', jsonb_build_object(
    'notification_id', v_notification.id, 'kind', p_kind, 'session_id', p_session_id,
    'created_at', v_notification.created_at
  ));
  return true;
end;
$$;
comment on function private.notify(uuid, text, text, uuid, jsonb) is
  'Tells a person something, once (kind and what it is about), and says whether it is new. p_values fill the words.';
revoke all on function private.notify from public, anon, authenticated, service_role;

create function private.mark_notifications_read(p_ids uuid[])
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_user uuid := private.require_user();
  v_marked integer;
begin
  if p_ids is null or cardinality(p_ids) > 1000 then
    perform private.fail('invalid_argument', 'p_ids must be a list of at most 1000 notifications.');
  end if;
  if exists (
    select
    from unnest(p_ids) as i (id)
    where not exists (select from public.notifications n where n.id = i.id and n.user_id = v_user)
  ) then
    perform private.fail('notification_not_found');
  end if;
  update public.notifications n
  set read_at = private.clock()
  where n.id = any (p_ids) and n.user_id = v_user and n.read_at is null;
  get diagnostics v_marked = row_count;
  return v_marked;
end;
$$;
comment on function private.mark_notifications_read(uuid[]) is
  'Behind public.mark_notifications_read. Locks: these rows.';
revoke all on function private.mark_notifications_read from public, anon, authenticated, service_role;
grant execute on function private.mark_notifications_read to authenticated;

create function public.mark_notifications_read(p_ids uuid[])
returns integer
language sql
volatile
set search_path = ''
as $$
  select private.mark_notifications_read(p_ids)
$$;
comment on function public.mark_notifications_read(uuid[]) is
  'Marks the caller''s notifications as read, all or none, and returns how many were unread. Signed-in users. '
  'Errors: invalid_argument (more than 1000), notification_not_found.';
revoke all on function public.mark_notifications_read from public, anon, authenticated, service_role;
grant execute on function public.mark_notifications_read to authenticated;

-- E-mail and push -------------------------------------------------------------------------------------------------

create function private.html(p_text text)
returns text
language sql
immutable
set search_path = ''
as $$
  select replace(replace(replace(replace(replace(
    p_text, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;'
  )
$$;
comment on function private.html(text) is 'A text as HTML that shows it, in an element or a quoted attribute.';
revoke all on function private.html from public, anon, authenticated, service_role;

create function private.send_email(p_user_id uuid, p_key text, p_subject text, p_html text, p_session_id uuid)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  v_email text;
begin
  select p.email into v_email
  from public.profiles p
  -- An address that would start a second header or name a second reader is no address.
  where p.id = p_user_id and p.deleted_at is null and p.email ~ '^[^[:space:][:cntrl:]<>,;:"\\]{1,250}$';
  if v_email is null then
    return false;
  end if;
  return private.enqueue('email', 'email:' || p_key, jsonb_build_object(
    'to', v_email, 'from', private.setting_text('mail_from'), 'subject', p_subject, 'html', p_html
  ), p_session_id);
end;
$$;
comment on function private.send_email(uuid, text, text, text, uuid) is
  'Sends a person an e-mail, once per key; p_subject is ours, p_html escaped by who calls. Nobody without an address.';
revoke all on function private.send_email from public, anon, authenticated, service_role;
