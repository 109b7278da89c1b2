-- MOV-07: explain_session is a complete account of a session, in sentences and in facts: what happened, who was there,
-- what was decided by which values and facts, what it moved. Each sees the own side of the money, admins all.
begin;

select plan(29);

select tests.stop_clock();
select tests.admin('admin');

select tests.person('customer');
select tests.mechanic('former');
select tests.mechanic('mechanic');
select tests.mechanic('friend');
select tests.has_account('mechanic');
select tests.has_account('friend');
update public.mechanics set referred_by = tests.id('friend') where id = tests.id('mechanic');
select public.grant_credit(tests.id('customer'), 700, 'usd', 'a gift');
select tests.pay('customer', 'video15');
select tests.accept('former', 'customer');
select tests.advance(10);
select tests.do_as(
  'former', format('select public.release_assignment(%L, ''ill'')', tests.assignment_of('customer'))
);
select tests.advance(10);
select tests.accept('mechanic', 'customer');
select tests.join('customer', 'customer');
select tests.advance(5);
select tests.join('mechanic', 'customer');
select tests.together_for('mechanic', 'customer', 60);
select tests.leave('customer', 'customer');
select tests.advance(20);
select tests.join('customer', 'customer');
select tests.pay_extension('customer', 15);
select tests.together_for('mechanic', 'customer', 120);
select tests.finish_session('mechanic', 'customer');
select tests.advance(60);
select tests.session_refund('customer', 'a part', 320, 'it was late');

create function pg_temp.told(p_word text, p_customer text default 'customer') returns jsonb
language plpgsql
as $$
declare
  v_told jsonb;
begin
  perform tests.act_as(p_word);
  v_told := public.explain_session(p_session_id => tests.session_of(p_customer));
  perform tests.be_system();
  return v_told;
end
$$;

create temporary table told on commit drop as
select
  pg_temp.told('customer') as customer, pg_temp.told('mechanic') as mechanic, pg_temp.told('admin') as admin,
  public.explain_session(tests.session_of('customer')) as system;

-- what all are told
select is(
  (select array_agg(k order by k) from told cross join jsonb_object_keys(customer) as k),
  '{decision,for,money,presence,session,timeline}', 'MOV-07: the parts of an account'
);
select is(
  (select jsonb_build_array(customer -> 'for', mechanic -> 'for', admin -> 'for') from told),
  '["customer", "mechanic", "admin"]', 'MOV-07: it says for whom'
);
select is(
  (select customer -> 'session' from told),
  jsonb_build_object(
    'id', tests.session_of('customer'), 'plan', 'video15', 'type', 'video', 'status', 'completed',
    'created_at', '2030-01-01T12:00:00+00:00', 'scheduled_for', null, 'accepted_at', '2030-01-01T12:00:20+00:00',
    'started_at', '2030-01-01T12:00:25+00:00', 'expires_at', '2030-01-01T13:00:25+00:00',
    'ended_at', '2030-01-01T12:03:45+00:00', 'duration_minutes', 60, 'duration_seconds', 200,
    'billable_seconds', 200, 'both_present_seconds', 180, 'end_reason', 'completed', 'ended_by', 'mechanic'
  ), 'MOV-07: the session'
);
select is(
  (select customer -> 'presence' from told),
  '[
    {"role": "customer", "first_joined_at": "2030-01-01T12:00:20+00:00", "last_seen_at": "2030-01-01T12:03:15+00:00",
      "left_at": "2030-01-01T12:03:45+00:00"},
    {"role": "mechanic", "first_joined_at": "2030-01-01T12:00:25+00:00", "last_seen_at": "2030-01-01T12:03:45+00:00",
      "left_at": "2030-01-01T12:03:45+00:00"}
  ]', 'MOV-07: who was there, and when'
);
select is((select mechanic -> part from told), (select customer -> part from told), 'MOV-07: both are told ' || part)
from (values ('session'), ('presence')) as p (part);
select is((select admin -> part from told), (select customer -> part from told), 'MOV-07: so are admins the ' || part)
from (values ('session'), ('presence')) as p (part);
select is((select system from told), (select admin from told), 'MOV-07: the system is told what admins are');

-- the timeline
select results_eq(
  $$ select substr(t.line ->> 'at', 15, 5), t.line ->> 'by', t.line ->> 'what', t.line ->> 'text'
     from told cross join jsonb_array_elements(customer -> 'timeline') with ordinality as t (line, n) order by t.n $$,
  $$ values
     ('00:00', 'customer', 'created', 'The session was asked for.'),
     ('00:00', 'mechanic', 'accepted', 'A mechanic accepted.'),
     ('00:10', 'mechanic', 'released', 'The mechanic gave the session back to the queue.'),
     ('00:20', 'mechanic', 'accepted', 'A mechanic accepted.'),
     ('00:20', 'customer', 'joined', 'The customer joined.'),
     ('00:25', 'mechanic', 'joined', 'The mechanic joined.'),
     ('00:25', 'mechanic', 'started', 'Both were there: the meter started.'),
     ('01:25', 'customer', 'left', 'The customer left.'),
     ('01:25', 'customer', 'reconnecting', 'One was missing: the meter waited for a return.'),
     ('01:45', 'customer', 'joined', 'The customer joined.'),
     ('01:45', 'customer', 'resumed', 'Both were there again.'),
     ('01:45', 'customer', 'extended', '15 minutes were bought and added.'),
     ('03:45', 'mechanic', 'ended', 'The session ended: completed.'),
     ('04:45', 'system', 'partly_refunded', 'A part of the price was given back.') $$,
  'MOV-07: every event in a sentence, in order'
);
select is(
  (
    select jsonb_object_agg(t.line ->> 'what', t.line -> 'facts')
    from told cross join jsonb_array_elements(customer -> 'timeline') as t (line)
    where t.line ->> 'what' in ('created', 'released', 'reconnecting', 'extended', 'ended', 'partly_refunded')
  ),
  '{
    "created": {"to": "pending", "duration_minutes": 45, "price_cents": 1500, "currency": "usd"},
    "released": {"from": "waiting", "to": "pending"},
    "reconnecting": {"from": "live", "to": "reconnecting", "absent_role": "customer",
      "grace_ends_at": "2030-01-01T12:06:25+00:00"},
    "extended": {"minutes": 15, "duration_minutes": 60, "price_cents": 500, "currency": "usd",
      "expires_at": "2030-01-01T13:00:25+00:00"},
    "ended": {"from": "live", "to": "completed", "reason": "completed", "duration_seconds": 200,
      "billable_seconds": 200},
    "partly_refunded": {"amount_cents": 320, "currency": "usd"}
  }', 'MOV-07: with its facts, the customer''s money among them'
);
select is(
  (select mechanic -> 'timeline' from told),
  (
    select jsonb_agg(
      jsonb_set(t.line, '{facts}', (t.line -> 'facts') - '{price_cents,amount_cents,currency}'::text[]) order by t.n
    )
    from told cross join jsonb_array_elements(customer -> 'timeline') with ordinality as t (line, n)
  ), 'MOV-07: the mechanic is told the same, without the customer''s money'
);
select is(
  (select array_agg(t.line -> 'facts' order by t.n)
    from told cross join jsonb_array_elements(admin -> 'timeline') with ordinality as t (line, n)),
  (select array_agg(e.payload order by e.id) from public.session_events as e
    where e.session_id = tests.session_of('customer')),
  'MOV-07: admins see the events as they are'
);

-- the decision
select is(
  (select customer -> 'decision' from told),
  '{
    "status": "completed", "reason": "completed", "text": "Completed: 200 seconds count, and 60 are enough.",
    "rule": {"min_billable_seconds": 60, "source": "settings", "billable_basis": "elapsed"},
    "facts": {
      "started_at": "2030-01-01T12:00:25+00:00", "over_at": "2030-01-01T12:03:45+00:00", "both_present_seconds": 180,
      "customer_waited_seconds": null, "mechanic_waited_seconds": null, "was_accepted": true, "cause": null,
      "asked_by": "mechanic", "no_show_after_seconds": null
    }
  }', 'MOV-07: the decision, the values used, the facts seen'
);
select is(
  (select mechanic -> 'decision' from told),
  (select jsonb_set(customer -> 'decision', '{rule,mechanic_share_bps}', '7000') from told),
  'MOV-07: the mechanic sees the share that it was split by'
);
select is(
  (select admin -> 'decision' -> 'rule' from told),
  '{"min_billable_seconds": 60, "source": "settings", "billable_basis": "elapsed", "mechanic_share_bps": 7000,
    "referral_fee_bps": 200, "policy": null}', 'MOV-07: admins all the values'
);

-- the money
select is(
  (select customer -> 'money' from told),
  '{
    "funding": "paid", "price_cents": 1500, "currency": "usd", "held_cents": 2000, "given_back_at_the_end_cents": 0,
    "given_back_later_cents": 320, "kept_cents": 1680,
    "payments": [
      {"for": "session", "amount_cents": 1500, "currency": "usd", "state": "paid", "refunded_cents": 0,
        "received_at": "2030-01-01T12:00:00+00:00"},
      {"for": "extension", "amount_cents": 500, "currency": "usd", "state": "partly_refunded", "refunded_cents": 320,
        "received_at": "2030-01-01T12:01:45+00:00"}
    ],
    "credit": [],
    "refunds": [{"amount_cents": 320, "to": "card", "state": "requested", "at": "2030-01-01T12:04:45+00:00"}],
    "extensions": [
      {"minutes": 15, "price_cents": 500, "state": "applied", "applied_at": "2030-01-01T12:01:45+00:00"}
    ]
  }', 'MOV-07: the customer sees price, hold, payments, credit and refunds'
);
select is(
  (select mechanic -> 'money' from told),
  '{
    "currency": "usd", "gross_cents": 2000, "share_cents": 1400, "fee_cents": 600, "taken_back_cents": 224,
    "payouts": [{"kind": "session", "amount_cents": 1176, "state": "pending", "due_at": "2030-01-02T12:03:45+00:00"}]
  }', 'MOV-07: the mechanic sees share, fee and payouts'
);
select is(
  (select (admin -> 'money') - '{payments,payouts,transfers,effects,settlement}'::text[] from told),
  (
    select jsonb_build_object('customer', customer -> 'money', 'mechanic', mechanic -> 'money', 'reviews', '[]'::jsonb)
    from told
  ), 'MOV-07: admins see both sides'
);
select is(
  (select admin -> 'money' -> 'settlement' from told),
  (select to_jsonb(t) from private.settlements as t), 'MOV-07: how it was settled'
);
select is(
  (
    select jsonb_object_agg(e.key, e.value)
    from told
    cross join jsonb_array_elements(admin -> 'money' -> 'transfers') as t (line)
    cross join jsonb_each(t.line -> 'entries') as e
    where t.line ->> 'key' = 'earning:' || tests.session_of('customer')
  ),
  jsonb_build_object(
    'session_hold:' || tests.session_of('customer'), -2000, 'mechanic_payable:' || tests.id('mechanic'), 1400,
    'referral_payable:' || tests.id('friend'), 40, 'platform_revenue', 560
  ), 'MOV-07: every transfer with its entries'
);
select results_eq(
  $$ select sum(e.value::integer)::integer from told
     cross join jsonb_array_elements(admin -> 'money' -> 'transfers') as t (line)
     cross join jsonb_each_text(t.line -> 'entries') as e where e.key like 'session\_hold:%' $$,
  'values (0)', 'MON-03: which leave nothing in the hold'
);
select results_eq(
  $$ select p.line ->> 'payment_intent_id' from told
     cross join jsonb_array_elements(admin -> 'money' -> 'payments') as p (line) order by 1 $$,
  $$ select payment_intent_id from private.payments order by 1 $$, 'MOV-07: the payments as Stripe knows them'
);
select set_eq(
  $$ select p.line ->> 'kind', (p.line ->> 'user_id')::uuid, (p.line ->> 'amount_cents')::integer from told
     cross join jsonb_array_elements(admin -> 'money' -> 'payouts') as p (line) $$,
  $$ values ('session', tests.id('mechanic'), 1176), ('referral', tests.id('friend'), 34) $$, 'MOV-07: every payout'
);
select results_eq(
  $$ select e.line ->> 'topic' from told
     cross join jsonb_array_elements(admin -> 'money' -> 'effects') with ordinality as e (line, n) order by e.n $$,
  $$ select topic from private.outbox where session_id = tests.session_of('customer') order by id $$,
  'MOV-07: and what it set off'
);

-- nobody learns what is the other's
create temporary table secret on commit drop as
select 'customer' as whose, x.word
from private.payments as p
cross join lateral unnest(array[p.id::text, p.payment_intent_id, p.charge_id]) as x (word)
union all
select 'mechanic', p.id::text from public.payouts as p
union all
select 'mechanic', a.account from private.stripe_accounts as a
union all
select 'mechanic', x.word from unnest('{1400,1176,224,560,600,7000,payout,share,payable}'::text[]) as x (word)
union all
select 'customer', x.word
from unnest('{1500,1680,320,"\"500\"",price_cents,refund_cents,payment,held,credit,it was late}'::text[]) as x (word)
union all
select w.word, x.word
from (values ('customer'), ('mechanic'), ('admin'), ('friend'), ('former')) as w (word)
cross join lateral unnest(array[w.word || '@example.test', tests.id(w.word)::text]) as x (word);
select is_empty(
  $$ select s.word from told join secret as s on s.whose <> 'customer'
     and replace(customer::text, tests.session_of('customer')::text, '') like '%' || s.word || '%' $$,
  'MOV-07: the customer learns nothing of the mechanic''s money, of anybody''s address or id'
);
select is_empty(
  $$ select s.word from told join secret as s on s.whose <> 'mechanic'
     and replace(mechanic::text, tests.session_of('customer')::text, '') like '%' || s.word || '%' $$,
  'MOV-07: nor the mechanic of the customer''s'
);
select isnt_empty(
  $$ select s.word from told join secret as s on admin::text like '%' || s.word || '%' $$,
  'MOV-07: which an admin finds'
);
select is_empty(
  $$ select from told where admin::text like '%@example.test%' $$, 'MOV-07: an e-mail is in nobody''s account'
);

select * from finish();

rollback;
