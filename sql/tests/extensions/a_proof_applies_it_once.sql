-- MON-10: the proof of payment makes the session longer, once, together with the money, the warnings and the message.
begin;

select plan(24);

select tests.stop_clock();
select tests.nobody_falls_silent();

-- Minutes, what is left of the time, the next warning, the hold, how often it was extended, and the extension.
create function pg_temp.told(p_customer text) returns text
language sql
as $$
  select concat_ws(
    ' ', s.status, s.duration_minutes, extract(epoch from s.expires_at - s.started_at)::integer,
    extract(epoch from s.next_warning_at - s.started_at)::integer, private.held(s.id, 'usd'), '|',
    (select count(*) from public.session_events as e where e.session_id = s.id and e.type = 'extended'), '|',
    (select string_agg(x.minutes || ' ' || x.status, ', ' order by x.created_at, x.minutes)
     from public.session_extensions as x where x.session_id = s.id)
  )
  from tests.row_of(p_customer) as s
$$;

create function pg_temp.proof(p_word text, p_name text, p_extension uuid) returns jsonb
language sql
as $$
  select case p_word
    when 'completed' then tests.stripe_event(
      'checkout.session.completed', tests.stripe_checkout(p_name, 'extension', p_extension, 500)
    )
    when 'unpaid' then tests.stripe_event(
      'checkout.session.completed', tests.stripe_checkout(p_name, 'extension', p_extension, 500, 'unpaid')
    )
    when 'async' then tests.stripe_event(
      'checkout.session.async_payment_succeeded', tests.stripe_checkout(p_name, 'extension', p_extension, 500)
    )
    when 'intent' then tests.stripe_event(
      'payment_intent.succeeded', tests.stripe_intent(p_name, 'extension', p_extension, 500)
    ) end
$$;

-- All in one.
select tests.live_paid('a', 'mechanic a', 'a');
create temporary table a on commit drop as select tests.extension('a', 'a2') as id;
select tests.advance(60);
select tests.forget_messages();
select is(pg_temp.told('a'), 'live 30 1800 1500 1000 | 0 | 15 pending', 'MON-09: asked for');
create temporary table proof on commit drop as select pg_temp.proof('completed', 'a2', (select id from a)) as payload;
select is(tests.deliver((select payload from proof)), 'processed', 'MON-10: the proof');
select is(
  pg_temp.told('a'), 'live 45 2700 2400 1500 | 1 | 15 applied', 'MON-10: minutes, end, warning, hold, event and status'
);
select is(
  (select applied_at from public.session_extensions where id = (select id from a)), tests.now(), 'MON-10: when'
);
select is(tests.told_of_payment('a2'), 'paid extension 0', 'MON-10: the payment');
select results_eq(
  $$ select payload - 'payment_id', actor_role from public.session_events
     where session_id = tests.session_of('a') and type = 'extended' $$,
  $$ select jsonb_build_object(
       'extension_id', (select id from a), 'minutes', 15, 'price_cents', 500, 'currency', 'usd',
       'duration_minutes', 45, 'expires_at', s.expires_at
     ), 'customer' from tests.row_of('a') as s $$,
  'MON-10: the event'
);
select results_eq(
  $$ select event, payload -> 'duration_minutes', (payload ->> 'expires_at')::timestamptz
     from tests.messages(tests.topic_of('a')) where event <> 'session:participant' $$,
  $$ select 'session:extended', '45'::jsonb, s.expires_at from tests.row_of('a') as s $$,
  'MON-10: both are told the new times'
);
select tests.deliver((select payload from proof));
select tests.deliver(pg_temp.proof('completed', 'a2', (select id from a)));
select tests.deliver(pg_temp.proof('intent', 'a2', (select id from a)));
select tests.deliver(pg_temp.proof('async', 'a2', (select id from a)));
select is(
  pg_temp.told('a'), 'live 45 2700 2400 1500 | 1 | 15 applied',
  'MON-10: a replay, another event id and the other proofs extend nothing'
);

-- Every order of proofs.
create function pg_temp.life(p_customer text, p_events text[]) returns text
language plpgsql
as $$
declare
  v_id uuid;
  v_word text;
begin
  perform tests.live(p_customer, 'mechanic ' || p_customer);
  v_id := tests.extension(p_customer, p_customer);
  foreach v_word in array p_events loop
    perform tests.deliver(pg_temp.proof(v_word, p_customer, v_id));
  end loop;
  return pg_temp.told(p_customer);
end
$$;
select is(pg_temp.life('o' || n, events), 'live 45 2700 2400 500 | 1 | 15 applied', 'MON-10: ' || events::text)
from (
  values
  (1, '{intent}'::text[]), (2, '{async}'), (3, '{completed,intent}'), (4, '{intent,completed}'),
  (5, '{unpaid,async,intent}'), (6, '{unpaid,intent,async}'), (7, '{intent,unpaid,async}')
) as c (n, events);
select is(pg_temp.life('o8', '{unpaid}'), 'live 30 1800 1500 0 | 0 | 15 pending', 'MON-10: unpaid is no proof');

-- While waiting there is no end to move, but the session becomes longer.
select tests.waiting('w', 'mechanic w');
create temporary table w on commit drop as select tests.extension('w', 'w') as id;
select tests.pay_extension('w', (select id from w));
select is(pg_temp.told('w'), 'waiting 45 500 | 1 | 15 applied', 'MON-10: while waiting');
select tests.join('w', 'w');
select tests.join('mechanic w', 'w');
select is(pg_temp.told('w'), 'live 45 2700 2400 500 | 1 | 15 applied', 'MON-10: the start counts it');

-- While reconnecting.
select tests.live('r', 'mechanic r');
create temporary table r on commit drop as select tests.extension('r', 'r') as id;
select tests.leave('mechanic r', 'r');
select tests.pay_extension('r', (select id from r));
select is(split_part(pg_temp.told('r'), ' 500', 1), 'reconnecting 45 2700 2400', 'MON-10: while reconnecting');

-- A warning that was given comes again before the new end.
select tests.live('v', 'mechanic v');
create temporary table v on commit drop as select tests.extension('v', 'v') as id;
select tests.advance(1500);
select public.tick_sessions();
select tests.advance(10);
select tests.pay_extension('v', (select id from v));
select is(pg_temp.told('v'), 'live 45 2700 2400 500 | 1 | 15 applied', 'MON-10: the warnings are armed again');
select tests.advance(890);
select public.tick_sessions();
select is(
  (select count(*)::integer from public.session_events
   where session_id = tests.session_of('v') and type = 'warning_5m'),
  2, 'MON-10: and given again'
);

-- Two in a row, and its end: all of the hold is split.
select tests.live_paid('two', 'mechanic two', 'two');
select tests.pay_extension('two1', tests.extension('two', 'two1'));
select tests.pay_extension('two2', tests.extension('two', 'two2', 30));
select is(
  pg_temp.told('two'), 'live 75 4500 4200 2400 | 2 | 15 applied, 30 applied', 'MON-10: one after the other'
);
select tests.advance(4500);
select tests.finish_session('two', 'two');
select is(
  (select gross_cents from public.mechanic_earnings where session_id = tests.session_of('two')), 2400,
  'MON-12: the whole of it is earned'
);
select is_empty($$ select * from public.ledger_invariants() $$, 'MON-03: the money adds up');

select * from finish();

rollback;
