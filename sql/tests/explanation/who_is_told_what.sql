-- MOV-07: participants are told about their own sessions, admins and the system about all, everybody else that there is
-- none; whatever became of the session, its account says why, and how the money went.
begin;

select plan(29);

select tests.stop_clock();
select tests.nobody_falls_silent();
select public.set_setting('free_sessions_per_customer', '100');
select tests.admin('admin');

create function pg_temp.asks(p_word text, p_session uuid) returns text
language sql
as $$ select tests.outcome(p_word, format('select public.explain_session(p_session_id => %L)', p_session)) $$;

create function pg_temp.told(p_word text, p_customer text) returns jsonb
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

-- who
select tests.person('stranger');
select tests.mechanic('other mechanic');
select tests.waiting('customer', 'former');
select is(pg_temp.told('former', 'customer') ->> 'for', 'mechanic', 'MOV-07: while it is his the mechanic is told');
select tests.do_as('former', format('select public.release_assignment(%L)', tests.assignment_of('customer')));
select is(pg_temp.asks(who, tests.session_of('customer')), outcome, 'MOV-07: ' || who)
from (
  values
  ('customer', 'ok'), ('admin', 'ok'), ('service_role', 'ok'), ('system', 'ok'),
  ('former', 'PT404 session_not_found'), ('stranger', 'PT404 session_not_found'),
  ('other mechanic', 'PT404 session_not_found')
) as w (who, outcome);
select is(left(pg_temp.asks('anon', tests.session_of('customer')), 5), '42501', 'MOV-07: nor anon');
select is(
  pg_temp.asks(who, gen_random_uuid()), 'PT404 session_not_found', 'MOV-07: of no session ' || who || ' is told so'
)
from (values ('customer'), ('admin'), ('service_role')) as w (who);

-- before its end
select is(
  pg_temp.told('customer', 'customer') -> 'decision', 'null'::jsonb, 'MOV-07: before its end nothing is decided'
);
select is(
  pg_temp.told('customer', 'customer') -> 'money',
  '{"funding": "free", "price_cents": 0, "currency": "usd", "held_cents": 0, "given_back_at_the_end_cents": null,
    "given_back_later_cents": null, "kept_cents": null, "payments": [], "credit": [], "refunds": [],
    "extensions": []}', 'MOV-07: a free one has no money'
);

-- an admin's own session: admins are told all
select tests.queue('admin');
select is(pg_temp.told('admin', 'admin') ->> 'for', 'admin', 'MOV-07: an admin is told all, also of an own session');

-- bought with credit, and nobody came but the mechanic
select tests.person('no show');
select tests.mechanic('who waited');
select tests.buy_with_credit('no show', 'chat10');
select tests.accept('who waited', 'no show');
select tests.join('who waited', 'no show');
update private.refund_policies set refund_bps = 7000, mechanic_bps = 2000 where reason = 'customer_no_show';
select tests.advance(400);
select tests.heartbeat('who waited', 'no show');
select tests.finish_session('who waited', 'no show');
select is(
  pg_temp.told('no show', 'no show') -> 'decision' ->> 'text',
  'The customer never came; the mechanic waited 400 seconds, and 300 are enough.', 'MOV-07: why it was a no-show'
);
select is(
  pg_temp.told('no show', 'no show') -> 'decision' -> 'rule' -> 'refund_bps', '7000', 'MOV-07: by which policy'
);
select is(
  (pg_temp.told('no show', 'no show') -> 'money') - '{credit,payments,refunds,extensions}'::text[],
  '{"funding": "credit", "price_cents": 1000, "currency": "usd", "held_cents": 1000,
    "given_back_at_the_end_cents": 700, "given_back_later_cents": 0, "kept_cents": 300}',
  'MOV-07: what came of the customer''s money'
);
select is(
  (select jsonb_agg(c.line -> 'cents') from jsonb_array_elements(
    pg_temp.told('no show', 'no show') -> 'money' -> 'credit'
  ) as c (line)), '[-1000, 700]', 'MOV-07: the credit that it took and gave back'
);
select is(
  pg_temp.told('who waited', 'no show') -> 'decision' -> 'rule' -> 'mechanic_bps', '2000',
  'MOV-07: the mechanic is told what waiting was worth'
);
select is(
  pg_temp.told('who waited', 'no show') -> 'decision' -> 'rule' -> 'refund_bps', null,
  'MOV-07: and not what the customer gets back'
);
select is(
  (pg_temp.told('who waited', 'no show') -> 'money') - 'payouts',
  '{"currency": "usd", "gross_cents": 300, "share_cents": 200, "fee_cents": 100, "taken_back_cents": 0}',
  'MOV-07: and got for it'
);

-- corrected
select tests.paid_and_completed('corrected', 'mechanic of corrected');
select tests.lasted('corrected', 10);
select public.apply_semantic_fix(false);
select is(
  pg_temp.told('corrected', 'corrected') -> 'decision' ->> 'text', 'Not completed: 10 seconds count, and it takes 60.',
  'MOV-07: a correction is the last decision'
);
select is(
  pg_temp.told('corrected', 'corrected') -> 'timeline' -> -1 -> 'facts',
  '{"from": "completed", "to": "cancelled", "reason": "too_short", "billable_seconds": 10}',
  'MOV-07: told without what it took from whom'
);
select is(
  pg_temp.told('admin', 'corrected') -> 'timeline' -> -1 -> 'facts' -> 'money', '{"given_back_cents": 1500}',
  'MOV-07: which admins see'
);
select is(
  pg_temp.told('mechanic of corrected', 'corrected') -> 'money' -> 'taken_back_cents', '1050',
  'MOV-07: the mechanic sees what was taken back'
);

-- all other reasons
select is(
  private.decision_text(reason, '{"customer_waited_seconds": 301, "no_show_after_seconds": 300}', '{}', 0), said,
  'MOV-07: ' || reason
)
from (
  values
  ('mechanic_no_show', 'The mechanic never came; the customer waited 301 seconds, and 300 are enough.'),
  ('cancelled_by_admin', 'Cancelled by admin, before the two had met.')
) as r (reason, said);
select is_empty(
  $$ select p.reason from private.refund_policies as p
     where private.decision_text(p.reason, '{}', '{}', 0) is null or private.decision_text(p.reason, '{}', '{}', 0) = '' $$,
  'MOV-07: every reason there is has its sentence'
);

select * from finish();

rollback;
