-- Legacy import: brings the rows of the older system over, which sql/ops/adopt_legacy.sql put aside in the schema
-- legacy. What they were is in that script and in docs/migration.md. Columns may be missing there, so rows are read as
-- jsonb. History is born as what it was, says so in its events, and starts nothing: no message, no money. What still
-- goes on goes on here. A status that the rules of an end contradict is corrected, and the correction is on record.

create type public.legacy_row as (
  source text,
  id text,
  action text,
  status_before text,
  status_after text,
  note text
);
comment on type public.legacy_row is
  'What became of a row of the older system. action: imported, corrected (imported, but not as it was), skipped, '
  'rejected; a rejected row stays in legacy only.';

-- Reading what anybody may have written ---------------------------------------------------------------------------

create function private.legacy_rows(p_table text)
returns setof jsonb
language plpgsql
stable
rows 10000
set search_path = ''
as $$
begin
  if to_regclass('legacy.' || quote_ident(p_table)) is not null then
    return query execute format('select to_jsonb(t) from legacy.%I t', p_table);
  end if;
end;
$$;
comment on function private.legacy_rows(text) is 'The rows of a table of the older system; none if there is none.';
revoke all on function private.legacy_rows from public, anon, authenticated, service_role;

create function private.legacy_time(p_value jsonb)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
begin
  -- Four digits of a year: neither infinity nor what only a broken clock writes.
  if p_value #>> '{}' ~ '^\d{4}-\d\d-\d\d($|[T ])' then
    return (p_value #>> '{}')::timestamptz;
  end if;
  return null;
exception
  when data_exception then
    return null;
end;
$$;
comment on function private.legacy_time(jsonb) is 'A time of the older system, or null for what is none.';
revoke all on function private.legacy_time from public, anon, authenticated, service_role;

create function private.legacy_uuid(p_value jsonb)
returns uuid
language plpgsql
immutable
set search_path = ''
as $$
begin
  return case
    when p_value #>> '{}' ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
      then (p_value #>> '{}')::uuid
  end;
end;
$$;
comment on function private.legacy_uuid(jsonb) is 'An id of the older system, or null for what is none.';
revoke all on function private.legacy_uuid from public, anon, authenticated, service_role;

create function private.legacy_status(p_status text)
returns public.session_status
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_word text := translate(lower(btrim(p_status)), ' -', '__');
begin
  return case
    when v_word in ('pending', 'new', 'created', 'requested', 'open', 'queued') then 'pending'
    when v_word in ('scheduled', 'booked') then 'scheduled'
    when v_word in ('accepted', 'assigned') then 'accepted'
    when v_word in ('waiting', 'ready') then 'waiting'
    when v_word in ('live', 'in_progress', 'active', 'started', 'reconnecting') then 'live'
    when v_word in ('completed', 'ended', 'finished', 'done') then 'completed'
    when v_word in ('cancelled', 'canceled', 'declined') or v_word like '%no_show%' then 'cancelled'
    when v_word in ('expired', 'orphaned', 'timed_out') then 'expired'
    when v_word in ('unattended', 'refunded', 'archived') then v_word
  end::public.session_status;
end;
$$;
comment on function private.legacy_status(text) is 'What a status of the older system means here, or null if unknown.';
revoke all on function private.legacy_status from public, anon, authenticated, service_role;

create function private.legacy_role(p_role text)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
  return case
    when lower(btrim(p_role)) in ('customer', 'client', 'user') then 'customer'
    when lower(btrim(p_role)) in ('mechanic', 'expert', 'technician') then 'mechanic'
  end;
end;
$$;
comment on function private.legacy_role(text) is 'What a role of the older system means here, or null if unknown.';
revoke all on function private.legacy_role from public, anon, authenticated, service_role;

create function private.legacy_plan(p_plan text, p_type text)
returns public.plans
language plpgsql
set search_path = ''
as $$
declare
  v_plan public.plans;
  v_words text := lower(concat_ws(' ', p_plan, p_type));
begin
  select p.* into v_plan from public.plans p where p.slug = lower(btrim(p_plan));
  if v_plan.slug is null then
    select p.* into v_plan
    from public.plans p
    where p.slug = case
      when v_words like '%diagnos%' then 'diagnostic'
      when v_words like '%video%' then 'video15'
      when v_words like '%chat%' then 'chat10' end;
  end if;
  if v_plan.slug is null then
    insert into public.plans (slug, type, title, duration_minutes, price_cents, is_active)
    values ('legacy', 'chat', 'Session of the older system', 30, 0, false)
    on conflict (slug) do nothing;
    select p.* into v_plan from public.plans p where p.slug = 'legacy';
  end if;
  return v_plan;
end;
$$;
comment on function private.legacy_plan(text, text) is
  'The plan of a session of the older system: that of its name, else by the words in name and type, else one that is '
  'not sold, `legacy`, made when it is first needed.';
revoke all on function private.legacy_plan from public, anon, authenticated, service_role;

create function private.legacy_person(p_id uuid, p_is_mechanic boolean, p_now timestamptz)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  v_is_there boolean;
begin
  insert into public.profiles (id, deleted_at) values (p_id, p_now) on conflict (id) do nothing;
  select p.deleted_at is null into v_is_there from public.profiles p where p.id = p_id;
  if p_is_mechanic then
    -- An old row gives nobody the rights of a mechanic: an admin approves.
    insert into public.mechanics (id, is_accepting) values (p_id, v_is_there) on conflict (id) do nothing;
  end if;
  return v_is_there;
end;
$$;
comment on function private.legacy_person(uuid, boolean, timestamptz) is
  'Whether a person of the older system still exists. Who does not is kept as a deleted one, so that history stays; a '
  'mechanic who never applied here is pending.';
revoke all on function private.legacy_person from public, anon, authenticated, service_role;

create function private.legacy_extensions()
returns table (extension jsonb, session_id uuid, minutes integer, status text, nth bigint)
language sql
stable
rows 10000
set search_path = ''
as $$
  select
    x.extension, x.session_id, x.minutes, x.status,
    row_number() over (
      partition by x.session_id, x.status, coalesce(x.extension ->> 'payment_intent_id', x.extension ->> 'id')
      order by private.legacy_time(x.extension -> 'created_at'), x.extension ->> 'id'
    )
  from (
    select
      r as extension,
      private.legacy_uuid(r -> 'session_id') as session_id,
      coalesce(private.whole(r -> 'minutes'), private.whole(r -> 'duration_minutes')) as minutes,
      case
        when lower(r ->> 'status') in ('applied', 'completed', 'succeeded') then 'applied'
        when lower(r ->> 'status') = 'refunded' then 'refunded'
        else 'failed' end as status
    from private.legacy_rows('session_extensions') r
  ) x
$$;
comment on function private.legacy_extensions() is
  'The extensions of the older system, and which of how many of one payment each is: it applied some twice.';
revoke all on function private.legacy_extensions from public, anon, authenticated, service_role;

-- Sessions --------------------------------------------------------------------------------------------------------

create function private.import_session(p_old jsonb, p_now timestamptz)
returns public.legacy_row
language plpgsql
set search_path = ''
as $$
declare
  v_old jsonb := p_old -> 'row';
  v_request jsonb := p_old -> 'request';
  v_diagnostic jsonb := p_old -> 'diagnostic';
  v_result public.legacy_row := ('sessions', v_old ->> 'id', 'imported', v_old ->> 'status', null, null);
  v_said constant public.session_status := private.legacy_status(v_old ->> 'status');
  v_is_copy constant boolean := coalesce(p_old ->> 'first_of_payment' <> v_old ->> 'id', false);
  v_longest constant integer := private.setting_integer('max_session_minutes');
  v_repeated constant integer := coalesce((p_old ->> 'repeated_minutes')::integer, 0);
  v_updated constant timestamptz := private.legacy_time(v_old -> 'updated_at');
  v_notes text[] := '{}'::text[];
  v_is_corrected boolean := false;
  v_session public.sessions;
  v_final public.sessions;
  v_before jsonb;
  v_plan public.plans;
  v_ended timestamptz;
  v_waited_out timestamptz;
  v_is_open boolean;
  v_are_there boolean;
  v_price integer;
  v_asked_by text;
  v_facts private.end_facts;
  v_rule private.billing_rule;
  v_decision private.end_decision;
begin
  v_session.id := private.legacy_uuid(v_old -> 'id');
  select s.* into v_final from public.sessions s where s.id = v_session.id;
  if v_final.id is not null then
    v_result.action := 'skipped';
    v_result.status_after := v_final.status;
    v_result.note := 'already here';
    return v_result;
  end if;

  -- Who
  v_session.customer_user_id := coalesce(
    private.legacy_uuid(v_old -> 'customer_user_id'), private.legacy_uuid(p_old -> 'customer'),
    private.legacy_uuid(v_request -> 'customer_id'), private.legacy_uuid(v_diagnostic -> 'customer_user_id')
  );
  v_session.mechanic_id := coalesce(
    private.legacy_uuid(v_old -> 'mechanic_id'), private.legacy_uuid(p_old -> 'mechanic'),
    private.legacy_uuid(v_request -> 'mechanic_id'), private.legacy_uuid(v_diagnostic -> 'mechanic_id')
  );
  if v_session.id is null or v_session.customer_user_id is null then
    v_result.action := 'rejected';
    v_result.note := case when v_session.id is null then 'it has no id' else 'it has no customer' end;
    return v_result;
  end if;
  if v_session.mechanic_id = v_session.customer_user_id then
    v_session.mechanic_id := null;
    v_is_corrected := true;
    v_notes := v_notes || 'customer and mechanic were one person'::text;
  end if;
  v_are_there := private.legacy_person(v_session.customer_user_id, false, p_now);
  if v_session.mechanic_id is not null and not private.legacy_person(v_session.mechanic_id, true, p_now) then
    v_are_there := false;
  end if;
  if not v_are_there then
    v_notes := v_notes || 'somebody in it does not exist any more, and is kept as a deleted person'::text;
  end if;

  -- What
  v_plan := private.legacy_plan(v_old ->> 'plan', v_old ->> 'type');
  v_session.plan := v_plan.slug;
  v_session.type := case
    when lower(v_old ->> 'type') in ('chat', 'video', 'diagnostic') then lower(v_old ->> 'type') else v_plan.type end;
  if v_plan.slug is distinct from v_old ->> 'plan' then
    v_notes := v_notes || format('plan %s is %s', coalesce(v_old ->> 'plan', 'missing'), v_plan.slug);
  end if;
  v_session.currency := case
    when lower(v_old ->> 'currency') ~ '^[a-z]{3}$' then lower(v_old ->> 'currency') else v_plan.currency end;
  v_price := coalesce(private.whole(v_old -> 'price_cents'), private.whole(v_old -> 'amount'), 0);
  v_session.funding := case when v_price > 0 or v_old ->> 'stripe_session_id' is not null then 'paid' else 'free' end;
  v_session.price_cents := case when v_is_copy then 0 else v_price end;
  if v_is_copy then
    v_notes := v_notes || format('its payment made the session %s already', p_old ->> 'first_of_payment');
  end if;
  v_session.duration_minutes := coalesce(
    nullif(private.whole(v_old -> 'duration_minutes'), 0), v_plan.duration_minutes
  );
  if v_repeated > 0 then
    v_session.duration_minutes := greatest(v_session.duration_minutes - v_repeated, 1);
    v_is_corrected := true;
    v_notes := v_notes || format('an extension counted twice: %s minutes less', v_repeated);
  end if;
  if v_session.duration_minutes > v_longest then
    v_session.duration_minutes := v_longest;
    v_is_corrected := true;
    v_notes := v_notes || format('no session is longer than %s minutes', v_longest);
  end if;
  v_session.metadata := jsonb_build_object('imported', true, 'legacy', jsonb_strip_nulls(jsonb_build_object(
    'status', v_old -> 'status', 'plan', v_old -> 'plan', 'type', v_old -> 'type', 'price_cents', v_price,
    'started_at', v_old -> 'started_at', 'ended_at', v_old -> 'ended_at',
    'duration_minutes', v_old -> 'duration_minutes', 'intake_id', v_old -> 'intake_id',
    'parent_session_id', v_old -> 'parent_session_id', 'is_follow_up', v_old -> 'is_follow_up'
  )));

  -- When
  v_session.started_at := coalesce(
    private.legacy_time(v_old -> 'started_at'), private.legacy_time(v_diagnostic -> 'started_at'),
    private.legacy_time(p_old -> 'both_joined_at')
  );
  v_ended := coalesce(private.legacy_time(v_old -> 'ended_at'), private.legacy_time(v_diagnostic -> 'ended_at'));
  if greatest(v_session.started_at, v_ended) > p_now then
    v_is_corrected := true;
    v_notes := v_notes || 'a time was in the future'::text;
    v_session.started_at := case when v_session.started_at <= p_now then v_session.started_at end;
    v_ended := case when v_ended <= p_now then v_ended end;
  end if;
  if v_ended < v_session.started_at then
    v_is_corrected := true;
    v_notes := v_notes || 'it ended before it started'::text;
  end if;
  if v_session.mechanic_id is null and v_session.started_at is not null then
    v_is_corrected := true;
    v_notes := v_notes || 'without a mechanic it never started'::text;
    v_session.started_at := null;
  end if;
  v_session.created_at := least(
    coalesce(private.legacy_time(v_old -> 'created_at'), v_updated, p_now), v_session.started_at, v_ended, p_now
  );
  v_session.scheduled_for := coalesce(
    private.legacy_time(v_old -> 'scheduled_for'), private.legacy_time(v_old -> 'scheduled_start')
  );
  if v_session.mechanic_id is not null then
    v_session.accepted_at := least(
      coalesce(
        private.legacy_time(v_request -> 'accepted_at'),
        case when v_said in ('accepted', 'waiting') then greatest(v_updated, v_session.created_at) end,
        v_session.created_at
      ),
      v_session.started_at, p_now
    );
  end if;
  v_session.expires_at := public.calculate_session_expiry(v_session.started_at, v_session.duration_minutes);
  v_session.version := 1;
  v_session.last_event_at := v_session.created_at;
  v_session.updated_at := p_now;

  -- Does it go on?
  v_is_open := coalesce(v_said < 'completed', false) and v_ended is null and v_are_there and not v_is_copy;
  if v_is_open then
    perform from public.profiles p where p.id = v_session.customer_user_id for no key update;
    if exists (
      select from public.sessions s where s.customer_user_id = v_session.customer_user_id and s.status < 'completed'
    ) then
      v_is_open := false;
      v_notes := v_notes || 'the customer has a newer active session'::text;
    end if;
  end if;
  if v_is_open and v_session.expires_at <= p_now then
    v_is_open := false;
    v_notes := v_notes || 'its time was over'::text;
  end if;
  if v_is_open then
    v_session.status := case
      when v_session.started_at is not null then 'live'
      when v_session.scheduled_for > p_now and v_session.mechanic_id is not null then 'accepted'
      when v_session.scheduled_for > p_now then 'scheduled'
      when v_session.mechanic_id is not null then 'waiting'
      else 'pending' end::public.session_status;
    if private.has_waited_out(v_session, 'orphaned', p_now) then
      v_is_open := false;
      v_waited_out := greatest(v_session.created_at, v_session.scheduled_for, v_session.accepted_at)
        + make_interval(mins => private.setting_integer('orphan_after_minutes'));
      v_notes := v_notes || 'nobody came for too long'::text;
    end if;
  end if;

  -- If not: what did its end mean?
  if not v_is_open then
    v_rule := private.billing_rule();
    v_facts.started_at := v_session.started_at;
    if v_session.started_at is not null then
      v_facts.over_at := greatest(v_session.started_at, least(
        coalesce(v_ended, case when v_said >= 'completed' or v_said is null then v_updated end),
        v_session.expires_at, p_now
      ));
      v_facts.both_present_seconds := floor(extract(epoch from v_facts.over_at - v_session.started_at));
      if coalesce(v_ended, case when v_said < 'completed' then p_now end)
          > v_session.started_at + make_interval(mins => v_longest) then
        v_session.metadata := v_session.metadata
          || private.cut_off_mark();
      end if;
      if v_ended > v_session.expires_at then
        v_is_corrected := true;
        v_notes := v_notes || 'cut at its expiry'::text;
      end if;
    else
      v_facts.over_at := greatest(v_session.created_at, least(
        coalesce(v_ended, v_waited_out, case when v_said >= 'completed' then v_updated end, p_now), p_now
      ));
      v_facts.cause := case
        when v_waited_out is not null or v_said = 'expired' then 'orphaned'
        when v_said = 'unattended' then 'unattended' end;
      v_facts.no_show_after_seconds := private.setting_integer('no_show_after_seconds');
      if v_old ->> 'status' ilike '%no%show%' then
        if v_old #>> '{metadata,no_show_by}' = 'mechanic' then
          v_facts.customer_waited_seconds := v_facts.no_show_after_seconds;
        else
          v_facts.mechanic_waited_seconds := v_facts.no_show_after_seconds;
        end if;
      end if;
      v_asked_by := v_old #>> '{metadata,cancelled_by}';
      v_facts.asked_by := case
        when v_asked_by in ('customer', v_session.customer_user_id::text) then 'customer'
        when v_asked_by in ('mechanic', v_session.mechanic_id::text) then 'mechanic'
        when v_asked_by = 'admin' then 'admin' end;
    end if;
    v_facts.was_accepted := v_session.mechanic_id is not null;
    v_decision := private.decide_end(v_facts, v_rule);
    v_session.status := case when v_said in ('refunded', 'archived') then v_said else v_decision.status end;
    v_session.ended_at := v_facts.over_at;
    v_session.duration_seconds := v_decision.duration_seconds;
    v_session.billable_seconds := v_decision.billable_seconds;
    v_session.both_present_seconds := v_facts.both_present_seconds;
    v_session.end_reason := v_decision.reason;
  end if;
  if v_session.status is distinct from v_said then
    v_is_corrected := true;
    v_notes := v_notes || coalesce('decided as ' || replace(v_session.end_reason, '_', ' '), 'it goes on');
  end if;

  -- Where the state machine knows the correction, the session is born as what it was said to be, and then corrected.
  v_final := v_session;
  if (v_said <> 'completed' or v_session.started_at is not null) and exists (
    select
    from private.session_transitions t
    where t.from_status = v_said and t.to_status = v_session.status and t.is_correction
  ) then
    v_session.status := v_said;
    v_session.end_reason := null;
  end if;
  perform private.announce(
    v_session.id, v_session.status, 'created', v_session.created_at, null, jsonb_strip_nulls(jsonb_build_object(
      'imported', true, 'legacy_status', v_old -> 'status', 'plan', v_session.plan, 'funding', v_session.funding,
      'price_cents', v_session.price_cents, 'currency', v_session.currency,
      'duration_minutes', v_session.duration_minutes, 'scheduled_for', v_session.scheduled_for,
      'notes', to_jsonb(nullif(v_notes, '{}')), 'rule', to_jsonb(v_rule), 'facts', to_jsonb(v_facts)
    )) || jsonb_build_object('row', to_jsonb(private.record_of(v_session)))
  );
  insert into public.sessions (
    id, customer_user_id, mechanic_id, plan, type, status, funding, price_cents, currency, scheduled_for, accepted_at,
    started_at, ended_at, expires_at, duration_minutes, duration_seconds, billable_seconds, both_present_seconds,
    end_reason, metadata, version, last_event_at, created_at, updated_at
  )
  values (
    v_session.id, v_session.customer_user_id, v_session.mechanic_id, v_session.plan, v_session.type, v_session.status,
    v_session.funding, v_session.price_cents, v_session.currency, v_session.scheduled_for, v_session.accepted_at,
    v_session.started_at, v_session.ended_at, v_session.expires_at, v_session.duration_minutes,
    v_session.duration_seconds, v_session.billable_seconds, v_session.both_present_seconds, v_session.end_reason,
    v_session.metadata, v_session.version, v_session.last_event_at, v_session.created_at, v_session.updated_at
  );
  if v_final.status <> v_session.status then
    v_before := to_jsonb(private.record_of(v_session));
    v_session.end_reason := v_final.end_reason;
    v_final.version := 2;
    insert into private.session_corrections (
      session_id, from_status, to_status, reason, corrected_by, before, after, created_at
    )
    values (
      v_session.id, v_session.status, v_final.status, 'legacy import', private.claimed_user(), v_before,
      to_jsonb(private.record_of(v_final)), p_now
    );
    perform private.move_session(
      v_session, v_final.status, 'corrected', p_now, private.claimed_user(), jsonb_build_object(
        'reason', v_final.end_reason, 'billable_seconds', v_final.billable_seconds, 'before', v_before,
        'row', to_jsonb(private.record_of(v_final)), 'facts', to_jsonb(v_facts), 'rule', to_jsonb(v_rule)
      )
    );
  end if;
  v_result.status_after := v_final.status;
  v_result.action := case when v_is_corrected then 'corrected' else 'imported' end;
  v_result.note := nullif(array_to_string(v_notes, '; '), '');
  return v_result;
end;
$$;
comment on function private.import_session(jsonb, timestamptz) is
  'Brings one session over, with what its other rows say of it. One that is over is decided by private.decide_end, as '
  'any end; one that can go on stays active. Locks: the customer''s profile.';
revoke all on function private.import_session from public, anon, authenticated, service_role;

create function private.resume_imported(p_session_id uuid, p_now timestamptz)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_session public.sessions := private.lock_session(p_session_id);
begin
  insert into public.session_assignments (
    session_id, mechanic_id, status, visible_to_all_at, announced_at, accepted_at, created_at
  )
  values (
    v_session.id, v_session.mechanic_id, case when v_session.mechanic_id is null then 'queued' else 'accepted' end,
    p_now, p_now, v_session.accepted_at, v_session.created_at
  );
  if v_session.status = 'live' then
    -- Both count as present from the start to the import: their next sign of life, or its lack, is for the engine.
    v_session := private.connect(v_session, v_session.customer_user_id, v_session.started_at, false);
    v_session := private.connect(v_session, v_session.mechanic_id, v_session.started_at, false);
    update public.session_participants p
    set last_seen_at = p_now, presence_check_at = p_now + private.presence_timeout()
    where p.session_id = v_session.id and p.is_connected;
  end if;
end;
$$;
comment on function private.resume_imported(uuid, timestamptz) is
  'Gives an imported session that goes on its place in the queue, and its presence. Locks: session, participants.';
revoke all on function private.resume_imported from public, anon, authenticated, service_role;

-- What belongs to a session ---------------------------------------------------------------------------------------

create function private.import_participant(p_old jsonb, p_now timestamptz)
returns public.legacy_row
language plpgsql
set search_path = ''
as $$
declare
  v_result public.legacy_row := ('session_participants', p_old ->> 'id', 'imported', p_old ->> 'role', null, null);
  v_user uuid := private.legacy_uuid(p_old -> 'user_id');
  v_joined timestamptz := private.legacy_time(p_old #> '{metadata,joined_at}');
  v_left timestamptz := private.legacy_time(p_old #> '{metadata,left_at}');
  v_session public.sessions;
begin
  select s.* into v_session
  from public.sessions s
  where s.id = private.legacy_uuid(p_old -> 'session_id') and s.metadata ? 'imported';
  v_result.status_after := coalesce(
    private.role_in(v_session, v_user),
    case when private.legacy_role(p_old ->> 'role') = 'mechanic' then 'mechanic' end
  );
  if v_session.id is null or v_user is null or v_result.status_after is null then
    v_result.action := 'rejected';
    v_result.status_after := null;
    v_result.note := case
      when v_session.id is null then 'its session is not here'
      when v_user is null then 'it names nobody'
      else 'neither customer nor mechanic of its session' end;
    return v_result;
  end if;
  if exists (select from public.session_participants p where p.session_id = v_session.id and p.user_id = v_user) then
    v_result.action := 'skipped';
    v_result.note := 'already here';
    return v_result;
  end if;
  perform private.legacy_person(v_user, false, p_now);
  insert into public.session_participants (
    session_id, user_id, role, first_joined_at, last_seen_at, left_at, closed_at, created_at, updated_at
  )
  values (
    v_session.id, v_user, v_result.status_after, v_joined, coalesce(v_left, v_joined), v_left,
    case when private.role_in(v_session, v_user) is null then coalesce(v_left, v_session.ended_at, p_now) end,
    coalesce(private.legacy_time(p_old -> 'created_at'), v_session.created_at), p_now
  );
  if private.role_in(v_session, v_user) is null then
    v_result.note := 'gave the session back';
  end if;
  if v_result.status_after is distinct from private.legacy_role(p_old ->> 'role') then
    v_result.action := 'corrected';
  end if;
  return v_result;
end;
$$;
comment on function private.import_participant(jsonb, timestamptz) is
  'Brings one participant over, in the role that the session gives him; another mechanic''s row is a closed one.';
revoke all on function private.import_participant from public, anon, authenticated, service_role;

create function private.import_extension(p_old jsonb, p_now timestamptz)
returns public.legacy_row
language plpgsql
set search_path = ''
as $$
declare
  v_old jsonb := p_old -> 'row';
  v_result public.legacy_row := (
    'session_extensions', v_old ->> 'id', 'imported', v_old ->> 'status', p_old ->> 'status', null
  );
  v_id uuid := private.legacy_uuid(v_old -> 'id');
  v_minutes integer := private.whole(p_old -> 'minutes');
  v_price integer := coalesce(private.whole(v_old -> 'price_cents'), private.whole(v_old -> 'amount'), 0);
  v_made timestamptz;
  v_session public.sessions;
begin
  select s.* into v_session
  from public.sessions s
  where s.id = private.legacy_uuid(v_old -> 'session_id') and s.metadata ? 'imported';
  v_result.note := case
    when v_session.id is null then 'its session is not here'
    when v_id is null then 'it has no id'
    when coalesce(v_minutes, 0) = 0 then 'it has no minutes'
    when v_price = 0 then 'it has no price; its minutes count' end;
  if v_result.note is not null then
    v_result.action := 'rejected';
    v_result.status_after := null;
    return v_result;
  end if;
  if (p_old ->> 'nth')::integer > 1 or exists (select from public.session_extensions e where e.id = v_id) then
    v_result.action := 'skipped';
    v_result.note := case
      when (p_old ->> 'nth')::integer > 1 then 'of a payment that is here already: it counts once'
      else 'already here' end;
    return v_result;
  end if;
  v_made := least(
    coalesce(private.legacy_time(v_old -> 'created_at'), v_session.started_at, v_session.created_at), p_now
  );
  insert into public.session_extensions (
    id, session_id, requested_by, minutes, price_cents, currency, status, applied_at, created_at, updated_at
  )
  values (
    v_id, v_session.id, v_session.customer_user_id, v_minutes, v_price,
    case when lower(v_old ->> 'currency') ~ '^[a-z]{3}$' then lower(v_old ->> 'currency') else v_session.currency end,
    p_old ->> 'status', case when p_old ->> 'status' = 'applied' then v_made end, v_made, p_now
  );
  if p_old ->> 'status' = 'failed' and lower(v_old ->> 'status') is distinct from 'failed' then
    v_result.action := 'corrected';
    v_result.note := 'it was never applied';
  end if;
  return v_result;
end;
$$;
comment on function private.import_extension(jsonb, timestamptz) is
  'Brings one extension over. Its minutes are in the session''s already, its money was the older system''s.';
revoke all on function private.import_extension from public, anon, authenticated, service_role;

create function private.import_file(p_old jsonb, p_now timestamptz)
returns public.legacy_row
language plpgsql
set search_path = ''
as $$
declare
  v_result public.legacy_row := ('session_files', p_old ->> 'id', 'imported', null, null, null);
  v_id uuid := private.legacy_uuid(p_old -> 'id');
  v_path text := p_old ->> 'storage_path';
  v_user uuid := private.legacy_uuid(p_old -> 'uploaded_by');
  v_size integer := private.whole(p_old -> 'file_size');
  v_session public.sessions;
begin
  select s.* into v_session
  from public.sessions s
  where s.id = private.legacy_uuid(p_old -> 'session_id') and s.metadata ? 'imported';
  v_result.note := case
    when v_session.id is null then 'its session is not here'
    when v_id is null then 'it has no id'
    when private.session_of_path(v_path) is distinct from v_session.id then 'its path is not in the session''s folder'
    when v_user is null then 'nobody uploaded it'
    when coalesce(v_size, 0) = 0 then 'it has no size' end;
  if v_result.note is not null then
    v_result.action := 'rejected';
    return v_result;
  end if;
  if exists (select from public.session_files f where f.id = v_id or f.storage_path = v_path) then
    v_result.action := 'skipped';
    v_result.note := 'already here';
    return v_result;
  end if;
  perform private.legacy_person(v_user, false, p_now);
  insert into public.session_files (id, session_id, uploaded_by, name, type, size, storage_path, created_at)
  values (
    v_id, v_session.id, v_user,
    left(coalesce(nullif(btrim(p_old ->> 'file_name'), ''), regexp_replace(v_path, '^.*/', '')), 200),
    case when length(p_old ->> 'file_type') between 3 and 127 then p_old ->> 'file_type'
      else 'application/octet-stream' end,
    v_size, v_path, least(coalesce(private.legacy_time(p_old -> 'created_at'), v_session.created_at), p_now)
  );
  return v_result;
end;
$$;
comment on function private.import_file(jsonb, timestamptz) is
  'Brings one file over, if it lies in its session''s folder: policies judge by the path.';
revoke all on function private.import_file from public, anon, authenticated, service_role;

-- The tables that live on -----------------------------------------------------------------------------------------

create function private.import_request(p_old jsonb, p_now timestamptz)
returns public.legacy_row
language plpgsql
set search_path = ''
as $$
declare
  v_result public.legacy_row := ('session_requests', p_old ->> 'id', 'imported', p_old ->> 'status', null, null);
  v_request public.session_requests;
  v_status public.session_status;
begin
  v_request.id := private.legacy_uuid(p_old -> 'id');
  if v_request.id is null then
    v_result.action := 'rejected';
    v_result.note := 'it has no id';
    return v_result;
  end if;
  if exists (select from public.session_requests r where r.id = v_request.id)
      or exists (select from private.session_requests_archive r where r.id = v_request.id) then
    v_result.action := 'skipped';
    v_result.note := 'already here';
    return v_result;
  end if;
  v_request.session_id := private.legacy_uuid(p_old -> 'session_id');
  v_request.status := coalesce(p_old ->> 'status', 'pending');
  select s.status into v_status from public.sessions s where s.id = v_request.session_id;
  if private.is_open(v_request) and coalesce(v_status >= 'completed', true) then
    v_request.status := coalesce(v_status, 'expired');
    v_result.action := 'corrected';
    v_result.note := 'its session is over, or not here';
  end if;
  insert into public.session_requests (
    id, session_id, customer_id, mechanic_id, session_type, plan_code, status, created_at, accepted_at, updated_at,
    metadata
  )
  values (
    v_request.id, v_request.session_id, private.legacy_uuid(p_old -> 'customer_id'),
    private.legacy_uuid(p_old -> 'mechanic_id'), p_old ->> 'session_type', p_old ->> 'plan_code', v_request.status,
    coalesce(private.legacy_time(p_old -> 'created_at'), private.legacy_time(p_old -> 'updated_at'), p_now),
    private.legacy_time(p_old -> 'accepted_at'), coalesce(private.legacy_time(p_old -> 'updated_at'), p_now),
    case when jsonb_typeof(p_old -> 'metadata') = 'object' then p_old -> 'metadata' else '{}' end
  );
  v_result.status_after := v_request.status;
  return v_result;
end;
$$;
comment on function private.import_request(jsonb, timestamptz) is
  'Brings one row of the old queue over; an open one of a session that is over, or not here, is closed.';
revoke all on function private.import_request from public, anon, authenticated, service_role;

create function private.import_diagnostic_session(p_old jsonb, p_now timestamptz)
returns public.legacy_row
language plpgsql
set search_path = ''
as $$
declare
  v_result public.legacy_row := ('diagnostic_sessions', p_old ->> 'id', 'imported', p_old ->> 'status', null, null);
  v_said constant public.session_status := private.legacy_status(p_old ->> 'status');
  v_updated constant timestamptz := private.legacy_time(p_old -> 'updated_at');
  v_longest constant integer := private.setting_integer('max_session_minutes');
  v_session public.diagnostic_sessions;
  v_ended timestamptz := private.legacy_time(p_old -> 'ended_at');
  v_waited_out boolean;
begin
  v_session.id := private.legacy_uuid(p_old -> 'id');
  v_session.customer_user_id := private.legacy_uuid(p_old -> 'customer_user_id');
  v_session.mechanic_id := nullif(private.legacy_uuid(p_old -> 'mechanic_id'), v_session.customer_user_id);
  v_result.note := case
    when v_session.id is null then 'it has no id'
    when v_session.customer_user_id is null then 'it has no customer' end;
  if v_result.note is not null then
    v_result.action := 'rejected';
    return v_result;
  end if;
  v_result.note := case
    when exists (select from public.diagnostic_sessions d where d.id = v_session.id) then 'already here'
    when exists (select from public.sessions s where s.id = v_session.id) then 'the session of this id counts' end;
  if v_result.note is not null then
    v_result.action := 'skipped';
    return v_result;
  end if;
  v_session.started_at := private.legacy_time(p_old -> 'started_at');
  if v_session.mechanic_id is null or v_session.started_at > p_now then
    v_session.started_at := null;
  end if;
  v_session.duration_minutes := least(nullif(private.whole(p_old -> 'duration_minutes'), 0), v_longest);
  v_session.created_at := least(
    coalesce(private.legacy_time(p_old -> 'created_at'), v_updated, p_now), v_session.started_at, p_now
  );
  v_session.metadata := case when jsonb_typeof(p_old -> 'metadata') = 'object' then p_old -> 'metadata' else '{}' end
    || jsonb_build_object('imported', true, 'legacy', jsonb_strip_nulls(jsonb_build_object(
      'status', p_old -> 'status', 'started_at', p_old -> 'started_at', 'ended_at', p_old -> 'ended_at',
      'duration_minutes', p_old -> 'duration_minutes'
    )));
  v_session.status := v_said;
  v_waited_out := v_said < 'completed' and v_session.started_at is null
    and v_session.created_at + make_interval(mins => private.setting_integer('orphan_after_minutes')) < p_now;
  if v_said is null or v_said >= 'completed' or v_ended is not null or v_waited_out
      or public.calculate_session_expiry(
        v_session.started_at, coalesce(v_session.duration_minutes, v_longest)
      ) <= p_now
  then
    v_ended := least(coalesce(v_ended, case when v_said >= 'completed' then v_updated end, p_now), p_now);
    v_session := private.diagnostic_end(v_session, greatest(v_ended, v_session.created_at), null);
    if v_session.started_at is null and (v_waited_out or v_said in ('expired', 'unattended')) then
      v_session.status := case when v_said = 'unattended' then v_said else 'expired' end;
      v_session.metadata := v_session.metadata || jsonb_build_object(
        'end_reason', case when v_said = 'unattended' then 'unattended' else 'orphaned' end
      );
    elsif v_said in ('refunded', 'archived') then
      v_session.status := v_said;
    end if;
  end if;
  insert into public.diagnostic_sessions (
    id, customer_user_id, mechanic_id, status, started_at, ended_at, duration_minutes, metadata, created_at, updated_at
  )
  values (
    v_session.id, v_session.customer_user_id, v_session.mechanic_id, v_session.status, v_session.started_at,
    v_session.ended_at, v_session.duration_minutes, v_session.metadata, v_session.created_at, p_now
  );
  v_result.status_after := v_session.status;
  if v_session.status is distinct from v_said or v_session.ended_at < v_ended then
    v_result.action := 'corrected';
    v_result.note := 'decided by its times';
  end if;
  return v_result;
end;
$$;
comment on function private.import_diagnostic_session(jsonb, timestamptz) is
  'Brings one diagnostic session over; one that is over is decided as the end of any. A session of its id counts more.';
revoke all on function private.import_diagnostic_session from public, anon, authenticated, service_role;

-- All of it -------------------------------------------------------------------------------------------------------

create function private.legacy_sources()
returns table (source text, old jsonb)
language sql
stable
rows 10000
set search_path = ''
as $$
  select 'sessions', jsonb_build_object(
    'row', s.r, 'customer', p.customer, 'mechanic', p.mechanic, 'request', q.r, 'diagnostic', d.r,
    'both_joined_at', case when p.customer_joined_at is not null and p.mechanic_joined_at is not null
      then greatest(p.customer_joined_at, p.mechanic_joined_at) end,
    'repeated_minutes', e.repeated_minutes,
    'first_of_payment', first_value(s.r ->> 'id') over (
      partition by coalesce(s.r ->> 'stripe_session_id', s.r ->> 'id')
      order by private.legacy_time(s.r -> 'started_at'), private.legacy_time(s.r -> 'created_at'), s.r ->> 'id'
    )
  )
  from private.legacy_rows('sessions') s (r)
  left join (
    select
      r ->> 'session_id' as id,
      max(r ->> 'user_id') filter (where private.legacy_role(r ->> 'role') = 'customer') as customer,
      (array_agg(r ->> 'user_id' order by private.legacy_time(r -> 'created_at') desc nulls last) filter (
        where private.legacy_role(r ->> 'role') = 'mechanic'
      ))[1] as mechanic,
      min(private.legacy_time(r #> '{metadata,joined_at}')) filter (
        where private.legacy_role(r ->> 'role') = 'customer'
      ) as customer_joined_at,
      min(private.legacy_time(r #> '{metadata,joined_at}')) filter (
        where private.legacy_role(r ->> 'role') = 'mechanic'
      ) as mechanic_joined_at
    from private.legacy_rows('session_participants') r
    group by 1
  ) p on p.id = s.r ->> 'id'
  left join (
    select x.session_id::text as id, sum(x.minutes) as repeated_minutes
    from private.legacy_extensions() x
    where x.status = 'applied' and x.nth > 1
    group by 1
  ) e on e.id = s.r ->> 'id'
  left join (
    select distinct on (r ->> 'session_id') r ->> 'session_id' as id, r
    from private.legacy_rows('session_requests') r
    order by 1, private.legacy_time(r -> 'accepted_at') desc nulls last
  ) q on q.id = s.r ->> 'id'
  left join (
    select distinct on (r ->> 'id') r ->> 'id' as id, r
    from private.legacy_rows('diagnostic_sessions') r
    order by 1, private.legacy_time(r -> 'updated_at') desc nulls last
  ) d on d.id = s.r ->> 'id'
  union all
  select 'session_participants', r from private.legacy_rows('session_participants') r
  union all
  select 'session_extensions', jsonb_build_object(
    'row', x.extension, 'minutes', x.minutes, 'status', x.status, 'nth', x.nth
  )
  from private.legacy_extensions() x
  union all
  select 'session_files', r from private.legacy_rows('session_files') r
  union all
  select 'session_requests', r from private.legacy_rows('session_requests') r
  union all
  select 'diagnostic_sessions', r from private.legacy_rows('diagnostic_sessions') r
$$;
comment on function private.legacy_sources() is
  'Every row of the older system, that of a session with what other rows say of it.';
revoke all on function private.legacy_sources from public, anon, authenticated, service_role;

create function private.import_legacy_row(p_source text, p_old jsonb, p_now timestamptz)
returns public.legacy_row
language plpgsql
set search_path = ''
as $$
begin
  return case p_source
    when 'sessions' then private.import_session(p_old, p_now)
    when 'session_participants' then private.import_participant(p_old, p_now)
    when 'session_extensions' then private.import_extension(p_old, p_now)
    when 'session_files' then private.import_file(p_old, p_now)
    when 'session_requests' then private.import_request(p_old, p_now)
    when 'diagnostic_sessions' then private.import_diagnostic_session(p_old, p_now) end;
exception
  when others then
    return (
      p_source, coalesce(p_old #>> '{row,id}', p_old ->> 'id'), 'rejected',
      coalesce(p_old #>> '{row,status}', p_old ->> 'status'), null, sqlerrm
    )::public.legacy_row;
end;
$$;
comment on function private.import_legacy_row(text, jsonb, timestamptz) is
  'Brings one row over; one that cannot be is rejected with the database''s words, and the others go on.';
revoke all on function private.import_legacy_row from public, anon, authenticated, service_role;

create function private.import_legacy_sessions(p_dry_run boolean)
returns setof public.legacy_row
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  v_now timestamptz;
  v_old record;
  v_row public.legacy_row;
  v_rows public.legacy_row[] := '{}'::public.legacy_row[];
  v_open uuid[] := '{}'::uuid[];
  v_counts jsonb;
begin
  perform private.require_admin();
  perform pg_advisory_xact_lock(hashtextextended('taximeter.import_legacy_sessions', 0));
  v_now := private.clock();
  begin
    for v_old in
      select l.source, l.old
      from private.legacy_sources() l
      -- Sessions before what belongs to them; the newest first, so that it is the one that stays active; of two rows
      -- of one participant the one that knows when he joined.
      order by
        array_position(array[
          'sessions', 'session_participants', 'session_extensions', 'session_files', 'session_requests',
          'diagnostic_sessions'
        ], l.source),
        l.old #> '{metadata,joined_at}' is null,
        private.legacy_time(coalesce(l.old -> 'row', l.old) -> 'created_at') desc nulls last,
        private.legacy_time(coalesce(l.old -> 'row', l.old) -> 'updated_at') desc nulls last,
        coalesce(l.old #>> '{row,id}', l.old ->> 'id')
    loop
      v_row := private.import_legacy_row(v_old.source, v_old.old, v_now);
      v_rows := v_rows || v_row;
      if v_row.source = 'sessions' and v_row.action in ('imported', 'corrected')
          and v_row.status_after::public.session_status < 'completed' then
        v_open := v_open || v_row.id::uuid;
      end if;
    end loop;
    insert into public.session_participants (session_id, user_id, role, created_at)
    select s.id, x.user_id, x.role, s.created_at
    from public.sessions s
    cross join lateral (values (s.customer_user_id, 'customer'), (s.mechanic_id, 'mechanic')) as x (user_id, role)
    where s.metadata ? 'imported' and x.user_id is not null
    on conflict (session_id, user_id) do nothing;
    perform private.resume_imported(o.id, v_now) from unnest(v_open) as o (id);
    select jsonb_object_agg(c.action, c.number) into v_counts
    from (select r.action, count(*) as number from unnest(v_rows) r group by r.action) c;
    if v_counts ?| array['imported', 'corrected'] then
      perform private.log_op('legacy.imported', null, v_counts);
    end if;
    if p_dry_run is distinct from false then
      raise exception using errcode = 'TXDRY', message = 'dry run';
    end if;
  exception
    when sqlstate 'TXDRY' then
      null;
  end;
  return query select r.* from unnest(v_rows) r;
end;
$$;
comment on function private.import_legacy_sessions(boolean) is
  'Behind public.import_legacy_sessions. A dry run does all of it and takes it back. One import runs at a time. '
  'Locks: customers'' profiles, sessions, participants.';
revoke all on function private.import_legacy_sessions from public, anon, authenticated, service_role;
grant execute on function private.import_legacy_sessions to authenticated, service_role;

create function public.import_legacy_sessions(p_dry_run boolean default true)
returns setof public.legacy_row
language sql
volatile
set search_path = ''
as $$
  select * from private.import_legacy_sessions(p_dry_run)
$$;
comment on function public.import_legacy_sessions(boolean) is
  'Brings the rows of the older system over, out of the schema legacy, and says of each what became of it (source, '
  'id, action, status_before, status_after, note). A dry run says the same and changes nothing; again finds all of it '
  'here. Moves no money and tells nobody of history. Admins and the system; logged. Errors: role_required.';
revoke all on function public.import_legacy_sessions from public, anon, authenticated, service_role;
grant execute on function public.import_legacy_sessions to authenticated, service_role;
