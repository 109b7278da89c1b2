-- What the scripts of pgbench need: to be somebody until the end of the transaction, as an API server does it; to know,
-- by an index, the session of a customer with a number; and the events of Stripe that prove a payment.

create schema bench;
grant usage on schema bench to authenticated, service_role;

create function bench.be(p_role text, p_number bigint default null) returns void
language plpgsql
as $$
declare
  v_id uuid := md5(p_role || p_number)::uuid;
  v_role text := case when p_number is null then p_role else 'authenticated' end;
begin
  perform set_config('request.jwt.claims', json_build_object('role', v_role, 'sub', v_id)::text, true);
  perform set_config('role', v_role, true);
end
$$;

create function bench.session(p_number bigint) returns uuid
language plpgsql stable security definer
as $$
begin
  return (
    select s.id
    from public.sessions s
    where s.customer_user_id = md5('customer' || p_number)::uuid
    order by s.created_at desc
    limit 1
  );
end
$$;

create function bench.assignment(p_number bigint) returns uuid
language plpgsql stable security definer
as $$
begin
  return (select a.id from public.session_assignments a where a.session_id = bench.session(p_number));
end
$$;

create function bench.intent(p_number bigint) returns uuid
language plpgsql stable security definer
as $$
begin
  return (select i.id from public.checkout_intents i where i.customer_user_id = md5('customer' || p_number)::uuid);
end
$$;

create function bench.extension(p_number bigint) returns uuid
language plpgsql stable security definer
as $$
begin
  return (select x.id from public.session_extensions x where x.session_id = bench.session(p_number));
end
$$;

create function bench.proof(p_purpose text, p_purpose_id uuid, p_cents integer) returns jsonb
language sql
as $$
  select jsonb_build_object(
    'id', 'evt_' || replace(gen_random_uuid()::text, '-', ''), 'object', 'event', 'type', 'checkout.session.completed',
    'livemode', false, 'created', floor(extract(epoch from now()))::bigint,
    'data', jsonb_build_object('object', jsonb_build_object(
      'id', 'cs_' || p_purpose_id, 'object', 'checkout.session', 'mode', 'payment', 'status', 'complete',
      'payment_status', 'paid', 'payment_intent', 'pi_' || p_purpose_id, 'amount_total', p_cents, 'currency', 'usd',
      'metadata', jsonb_build_object(
        'mode', p_purpose, case p_purpose when 'session' then 'intent_id' else 'extension_id' end, p_purpose_id
      )
    ))
  )
$$;

select public.set_setting('min_billable_seconds', '0'), public.set_setting('payout_delay_minutes', '0');

-- The stand-in of Realtime learns of messages by NOTIFY, which lets one transaction commit at a time. The real one
-- reads the write-ahead log.
alter table realtime.messages disable trigger announce_committed_message;
