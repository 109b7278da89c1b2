-- NOTE-01: every kind of notification: when it comes, to whom, in which words, once; and with each a broadcast to that
-- person alone.
begin;

select plan(43);

select tests.stop_clock();
select tests.nobody_falls_silent();
select public.set_setting('free_sessions_per_customer', '9');

create temporary table seen (id uuid) on commit drop;

-- "who: kind / title / body", one a line, of what was told since the last look.
create function pg_temp.news() returns text
language sql
as $$
  with fresh as (
    insert into seen (id)
    select n.id from public.notifications as n where n.id not in (select id from seen)
    returning id
  )
  select string_agg(
    format('%s: %s / %s / %s', split_part(p.email, '@', 1), n.kind, n.title, n.body), E'\n'
    order by n.cmin::text::bigint
  )
  from fresh as f join public.notifications as n using (id) join public.profiles as p on p.id = n.user_id
$$;

-- The life of a session that was asked of one mechanic, longer by an extension.
select tests.person('customer');
select tests.mechanic('mechanic');
select tests.mechanic('bystander');
select tests.prefer('customer', 'mechanic');
select is(
  pg_temp.news(),
  'mechanic: assignment_offered / A customer asks for you / '
  'You have been asked for by a customer and see the session first.', 'NOTE-01: who is preferred is told'
);
select tests.accept('mechanic', 'customer');
select is(
  pg_temp.news(), 'customer: assignment_accepted / A mechanic accepted your session / Join when you are ready.',
  'NOTE-01: the customer of the accept'
);
select tests.accept('mechanic', 'customer');
select is(pg_temp.news(), null, 'NOTE-01: once');
select tests.join('customer', 'customer');
select is(pg_temp.news(), null, 'NOTE-01: nobody of a join');
select tests.join('mechanic', 'customer');
select is(
  pg_temp.news(),
  E'customer: session_started / Your session has started / It runs for 30 minutes.\n'
  'mechanic: session_started / Your session has started / It runs for 30 minutes.', 'NOTE-01: both of the start'
);
select tests.join('mechanic', 'customer');
select tests.pay_extension('customer', 15);
select is(
  pg_temp.news(),
  E'customer: session_extended / Your session is longer / 15 minutes were added.\n'
  'mechanic: session_extended / Your session is longer / 15 minutes were added.', 'NOTE-01: both of an extension'
);
select tests.pay_extension('customer', 30);
select is(
  pg_temp.news(),
  E'customer: session_extended / Your session is longer / 30 minutes were added.\n'
  'mechanic: session_extended / Your session is longer / 30 minutes were added.', 'NOTE-01: and of the next one'
);
select tests.leave('customer', 'customer');
select tests.advance(10);
select tests.join('customer', 'customer');
select is(pg_temp.news(), null, 'NOTE-01: nobody of an interruption, or of going on');
select tests.advance(111);
select tests.finish_session('customer', 'customer');
select is(
  pg_temp.news(),
  E'customer: session_completed / Your session is completed / It lasted 3 minutes.\n'
  'mechanic: session_completed / Your session is completed / It lasted 3 minutes.',
  'NOTE-01: both of the end, in minutes begun; nothing went back'
);
select tests.finish_session('mechanic', 'customer');
select is(pg_temp.news(), null, 'NOTE-01: once');
select tests.sum_up('mechanic', 'customer');
select is(
  pg_temp.news(),
  'customer: summary_ready / Your session summary is ready / Your mechanic has written down what was found.',
  'NOTE-01, SUM-01: the customer of the summary'
);

-- Quotes.
create function pg_temp.quote(p_cents integer) returns uuid
language sql
as $$
  select tests.do_as('mechanic', format(
    'select public.escalate_quote(%L, %s, %L)', tests.session_of('customer'), p_cents, 'new brakes'
  ));
  select q.id from public.repair_quotes as q
  where q.session_id = tests.session_of('customer') order by q.cmin::text::bigint desc limit 1
$$;
create function pg_temp.decide(p_quote uuid, p_approve boolean) returns void
language sql
as $$ select tests.do_as('customer', format('select public.decide_quote(%L, %L)', p_quote, p_approve)) $$;

select pg_temp.decide(pg_temp.quote(20050), false);
select is(
  pg_temp.news(),
  E'customer: quote_escalated / You have a repair quote / Your mechanic proposes a repair for 200.50 USD.\n'
  'mechanic: quote_declined / Your quote was declined / The customer declined your quote of 200.50 USD.',
  'NOTE-01, MON-16: the customer of a quote, the mechanic of a no'
);
select tests.advance(1);
create temporary table quote on commit drop as select pg_temp.quote(5) as id;
select pg_temp.decide(id, true) from quote;
select pg_temp.decide(id, true) from quote;
select is(
  pg_temp.news(),
  E'customer: quote_escalated / You have a repair quote / Your mechanic proposes a repair for 0.05 USD.\n'
  'mechanic: quote_approved / Your quote was approved / The customer approved your quote of 0.05 USD.',
  'NOTE-01, MON-16: the mechanic of a yes, once'
);
select public.confirm_quote_bonus(id) from quote;
select is(pg_temp.news(), null, 'NOTE-01: nobody of its confirmation');

-- Payouts: sent, and failed for good.
select tests.has_account('mechanic');
select tests.advance(86401);
select tests.dispatch();
select is(pg_temp.news(), null, 'NOTE-01: nobody of a payout that is on its way');
select tests.stripe_says('stripe.transfer');
select is(
  pg_temp.news(), 'mechanic: payout_paid / You were paid / 9.80 USD were sent to your account.',
  'NOTE-01, MON-14: the mechanic of a payout'
);
select tests.paid_and_completed('refused', 'refused mechanic');
select pg_temp.news();
select tests.advance(86401);
select tests.stripe_fails_for_good('stripe.transfer', false);
select is(
  pg_temp.news(),
  'refused mechanic: payout_failed / A payout failed / A payout to you did not go through. Please check your account.',
  'NOTE-01, MON-14: the mechanic of one that failed, once'
);

-- Ends that are no completion.
select tests.person('early');
select tests.queue('early');
select tests.finish_session('early', 'early');
select is(
  pg_temp.news(),
  'early: session_cancelled / Your session was cancelled / Reason: cancelled before accept.',
  'NOTE-01: the customer of a session that nobody had'
);
select tests.waiting('unsure', 'unsure mechanic');
select tests.finish_session('unsure mechanic', 'unsure');
select is(
  pg_temp.news(),
  E'unsure: assignment_accepted / A mechanic accepted your session / Join when you are ready.\n'
  'unsure: session_cancelled / Your session was cancelled / Reason: cancelled by mechanic.\n'
  'unsure mechanic: session_cancelled / Your session was cancelled / Reason: cancelled by mechanic.',
  'NOTE-01: both of one that somebody had'
);
select tests.person('orphan');
select tests.queue('orphan');
select tests.advance(7201);
select public.expire_orphaned_sessions();
select is(
  pg_temp.news(), 'orphan: session_expired / Your session has expired / Reason: orphaned.', 'NOTE-01: an orphan'
);
select tests.person('unattended');
select tests.queue('unattended');
select public.mark_session_unattended(tests.session_of('unattended'));
select is(
  pg_temp.news(),
  'unattended: session_unattended / No mechanic was free / Your session was not taken in time.',
  'NOTE-01: nobody came'
);
select tests.waiting('given back', 'giver');
select tests.do_as(
  'giver', format('select public.release_assignment(p_assignment_id => %L)', tests.assignment_of('given back'))
);
select pg_temp.news();
select tests.finish_session('given back', 'given back');
select is(
  pg_temp.news(),
  'given back: session_cancelled / Your session was cancelled / Reason: cancelled before accept.',
  'NOTE-01: nobody who gave it back'
);

-- Money that goes back: to the card, as credit, both; at the end, and later by an admin.
create function pg_temp.refunds() returns text
language sql
as $$
  select string_agg(line, E'\n') from regexp_split_to_table(pg_temp.news(), E'\n') as line where line ~ 'refund_'
$$;

select tests.person('card');
select tests.pay('card');
select tests.finish_session('card', 'card');
select is(
  pg_temp.refunds(), 'card: refund_issued / You get money back / 15.00 USD are on their way to your card.',
  'NOTE-01, MON-13: of a card'
);
select tests.dispatch();
select tests.stripe_says('stripe.refund');
select is(pg_temp.refunds(), null, 'NOTE-01: once, not again when it has arrived');
select tests.person('credit');
select tests.buy_with_credit('credit', 'chat10');
select tests.finish_session('credit', 'credit');
select is(
  pg_temp.refunds(), 'credit: refund_issued / You get money back / 10.00 USD are on their way to your credit.',
  'NOTE-01, MON-13: of credit'
);
select tests.person('mixed');
select tests.mechanic('mixed mechanic');
select tests.buy_with_credit('mixed', 'chat10');
select tests.serve('mixed', 'mixed mechanic');
select tests.pay_extension('mixed', 15);
select tests.finish_session('mixed', 'mixed');
select is(
  pg_temp.refunds(),
  E'mixed: refund_issued / You get money back / 5.00 USD are on their way to your card.\n'
  'mixed: refund_issued / You get money back / 10.00 USD are on their way to your credit.',
  'NOTE-01, MON-13: of both, each part once'
);
select tests.person('later');
select tests.mechanic('later mechanic');
select tests.buy_with_credit('later', 'chat10');
select tests.serve('later', 'later mechanic');
select tests.pay_extension('later', 15);
select tests.advance(70);
select tests.finish_session('later', 'later');
select tests.session_refund('later', 'a', 200);
select is(
  pg_temp.refunds(), 'later: refund_issued / You get money back / 2.00 USD are on their way to your card.',
  'NOTE-01, MON-15: a refund later, to the card first'
);
select tests.session_refund('later', 'a', 200);
select is(pg_temp.refunds(), null, 'NOTE-01: once per key');
select tests.session_refund('later', 'b');
select is(
  pg_temp.refunds(),
  E'later: refund_issued / You get money back / 3.00 USD are on their way to your card.\n'
  'later: refund_issued / You get money back / 10.00 USD are on their way to your credit.',
  'NOTE-01, MON-15: the rest as credit'
);
update private.refund_policies set refund_bps = 0 where reason = 'cancelled_before_accept';
select tests.person('kept');
select tests.pay('kept');
select tests.finish_session('kept', 'kept');
select is(pg_temp.refunds(), null, 'NOTE-01: nobody of nothing');
update private.refund_policies set refund_bps = 10000 where reason = 'cancelled_before_accept';

-- Amounts as people read them.
create function pg_temp.refund_in(p_currency text) returns text
language plpgsql
as $$
begin
  update public.plans set currency = p_currency where slug = 'video15';
  perform tests.person(p_currency);
  perform tests.pay(p_currency, 'video15', null, '', p_currency);
  perform tests.finish_session(p_currency, p_currency);
  return pg_temp.refunds();
end
$$;
select is(
  pg_temp.refund_in(currency),
  format('%s: refund_issued / You get money back / %s are on their way to your card.', currency, amount),
  'NOTE-01: ' || amount
)
from (values ('jpy', '1500 JPY'), ('kwd', '1.500 KWD'), ('eur', '15.00 EUR')) as cases (currency, amount);
select results_eq(
  $$ select private.money_text(c, t) from (values
       (0, 'usd'), (1, 'usd'), (99, 'usd'), (100, 'usd'), (123456789012, 'usd'), (0, 'jpy'), (7, 'kwd'), (500, 'ugx'),
       (500, 'isk'), (-150, 'usd')
     ) as cases (c, t) $$,
  $$ values ('0.00 USD'), ('0.01 USD'), ('0.99 USD'), ('1.00 USD'), ('1234567890.12 USD'), ('0 JPY'), ('0.007 KWD'),
       ('5.00 UGX'), ('5.00 ISK'), ('-1.50 USD') $$,
  'NOTE-01: no digit too few or too many'
);

-- Whoever is gone is told nothing, and the other one all the same.
select tests.live('gone', 'gone mechanic');
select pg_temp.news();
select tests.advance(70);
update auth.users set deleted_at = now() where id = tests.id('gone');
select is(
  pg_temp.news(), 'gone mechanic: session_completed / Your session is completed / It lasted 2 minutes.',
  'NOTE-01: nothing to a deleted person'
);
select is(
  private.notify(tests.id(who), 'summary_ready', 'x', null), false, format('NOTE-01: nor to %s', who)
)
from unnest(array['gone', 'nobody ever']) as who;

-- In all of this: with each notification one broadcast, to that person, and no other.
select results_eq(
  $$ select m.topic, (m.payload ->> 'notification_id')::uuid, m.private, m.payload - 'id' - 'notification_id'
     from realtime.messages as m where m.event = 'notification:new' order by 2 $$,
  $$ select 'user:' || n.user_id, n.id, true, jsonb_build_object(
       'kind', n.kind, 'session_id', n.session_id, 'created_at', n.created_at
     ) from public.notifications as n order by 2 $$,
  'NOTE-01: a broadcast each, on user:<id> and nowhere else, without the words'
);
select private.notify(
  tests.id('bystander'), 'session_expired', 'x', null, jsonb_build_object('reason', repeat('x', 2000))
);
select is(
  (select length(n.body) from public.notifications as n where n.about = 'x'), 1000, 'NOTE-01: a long body is cut'
);
select throws_ok(
  format(
    'insert into public.notifications (user_id, kind, about, title, body) select %L, %L, %L, %s',
    tests.id('bystander'), 'x', 'y', texts
  ),
  '23514', null, 'NOTE-01: no text is longer than it may be'
)
from unnest(array['repeat(''x'', 201), ''''', ''''', repeat(''x'', 1001)']) as texts;
select is_empty(
  $$ select from public.notifications as n where n.about <> 'x' and n.user_id = tests.id('bystander') $$,
  'NOTE-01: nothing to others'
);
select set_eq(
  $$ select kind from private.notification_kinds $$,
  $$ select kind from public.notifications union values ('nudge_join'), ('payment_to_credit') $$,
  'NOTE-01: and no kind is left out here; these two stand with the monitor and the payments'
);

select * from finish();

rollback;
