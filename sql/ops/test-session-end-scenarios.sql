-- Plays the six ways in which a session ends, with this database's own rules and settings: completed, no-show, too
-- short, exactly the threshold, called twice, concurrent. Everything happens in one transaction that is rolled back:
-- its people, its sessions, its money and its clock are never seen by anybody else and leave nothing behind but gaps
-- in sequences.
--
--   psql "$DATABASE_URL" -X -q -f sql/ops/test-session-end-scenarios.sql
--
-- Run it as the owner of the database. psql ends with an error when a scenario does not end as it should.
--
-- One transaction cannot race with itself, and dblink, which could open another, is not installed. So the sixth
-- scenario shows the lock that every end takes and holds, what a second end finds behind it, and no more. Twenty real
-- connections at once are in py_tests/concurrency: test_twenty_parallel_ends_are_one_end_and_twenty_equal_answers,
-- test_second_end_waits_for_the_first_and_gets_its_answer and test_twenty_ends_of_a_paid_session_make_one_payout.

\set ON_ERROR_STOP on
\set QUIET on
\pset pager off
\pset footer off
\pset null ''

begin;

set local timezone to 'UTC';

do $$
begin
  perform set_config('scenario.now', clock_timestamp()::text, true);
end;
$$;

-- Seen by this transaction only.
create or replace function private.clock()
returns timestamptz
language sql
volatile
set search_path = ''
as 'select current_setting(''scenario.now'')::timestamptz';

create temporary table scenario_results (
  number integer, scenario text, seconds integer, expected text, got text
) on commit drop;

create function pg_temp.person(p_word text)
returns uuid
language sql
immutable
as $$ select md5('scenario ' || p_word)::uuid $$;

create function pg_temp.as_person(p_word text, p_statement text)
returns jsonb
language plpgsql
as $$
declare
  v_answer jsonb;
begin
  perform set_config(
    'request.jwt.claims',
    json_build_object('sub', pg_temp.person(p_word), 'role', 'authenticated')::text, true
  );
  set local role authenticated;
  execute format('select to_jsonb(x) from %s x', p_statement) into v_answer;
  reset role;
  perform set_config('request.jwt.claims', '', true);
  return v_answer;
end;
$$;

create function pg_temp.pass(p_session_id uuid, p_seconds integer, variadic p_words text[] default '{}')
returns void
language plpgsql
as $$
declare
  v_left integer := p_seconds;
  v_step integer;
  v_word text;
begin
  while v_left > 0 loop
    v_step := least(v_left, greatest(private.setting_integer('presence_timeout_seconds') / 3, 1));
    perform set_config(
      'scenario.now', (private.clock() + make_interval(secs => v_step))::text, true
    );
    foreach v_word in array p_words loop
      perform pg_temp.as_person(v_word, format('public.heartbeat_session(%L)', p_session_id));
    end loop;
    v_left := v_left - v_step;
  end loop;
end;
$$;

create function pg_temp.bought()
returns uuid
language plpgsql
as $$
declare
  v_plan public.plans;
  v_session_id uuid;
begin
  select p.* into v_plan from public.plans p where p.is_active and p.price_cents > 0 order by p.slug limit 1;
  if v_plan.slug is null then
    raise exception 'No plan with a price is active: there is nothing to play with.';
  end if;
  perform public.grant_credit(
    pg_temp.person('customer'), v_plan.price_cents, v_plan.currency, gen_random_uuid()::text, 'a scenario'
  );
  v_session_id := pg_temp.as_person(
    'customer', format('public.create_session(p_plan => %L, p_funding => ''credit'')', v_plan.slug)
  ) ->> 'id';
  perform pg_temp.as_person('mechanic', format(
    'public.accept_assignment(%L)',
    (select a.id from public.session_assignments a where a.session_id = v_session_id)
  ));
  return v_session_id;
end;
$$;

create function pg_temp.met()
returns uuid
language plpgsql
as $$
declare
  v_session_id uuid := pg_temp.bought();
begin
  perform pg_temp.as_person('customer', format('public.join_session(%L)', v_session_id));
  perform pg_temp.as_person('mechanic', format('public.join_session(%L)', v_session_id));
  return v_session_id;
end;
$$;

create function pg_temp.ended(p_word text, p_session_id uuid)
returns jsonb
language sql
volatile
as $$
  select pg_temp.as_person(p_word, format('public.end_session_with_semantics(%L)', p_session_id))
$$;

-- What an end with this reason should be: who gets what of the price, by this database's settings and policies.
create function pg_temp.expected(p_session_id uuid, p_reason text, p_seconds integer)
returns text
language sql
stable
as $$
  select format(
    '%s, %s, %s s, payout %s, back %s, 1 event',
    case p_reason when 'completed' then 'completed' else 'cancelled' end, p_reason, p_seconds, x.share_cents,
    x.refund_cents
  )
  from public.sessions s
  left join private.refund_policies p on p.reason = p_reason
  cross join lateral (
    select
      case
        when p_reason = 'completed' then s.price_cents * private.setting_integer('mechanic_share_bps') / 10000
        else s.price_cents * coalesce(p.mechanic_bps, 0) / 10000 end as share_cents,
      case when p_reason = 'completed' then 0 else s.price_cents * coalesce(p.refund_bps, 10000) / 10000 end
        as refund_cents
  ) x
  where s.id = p_session_id
$$;

create function pg_temp.told(p_session_id uuid, p_answer jsonb)
returns text
language sql
volatile
as $$
  select format(
    '%s, %s, %s s, payout %s, back %s, %s event', p_answer ->> 'final_status', p_answer ->> 'reason',
    p_answer ->> 'billable_seconds', p_answer ->> 'payout_cents', p_answer ->> 'refund_cents',
    (select count(*) from public.session_events e where e.session_id = p_session_id and e.type = 'ended')
  )
$$;

insert into public.profiles (id, role, display_name)
values (pg_temp.person('customer'), 'customer', 'Customer'), (pg_temp.person('mechanic'), 'mechanic', 'Mechanic');
insert into public.mechanics (id, status, is_accepting) values (pg_temp.person('mechanic'), 'approved', true);

do $$
declare
  v_enough integer := (private.billing_rule()).min_billable_seconds;
  v_no_show integer := private.setting_integer('no_show_after_seconds');
  v_session_id uuid;
  v_first jsonb;
  v_second jsonb;
begin
  v_session_id := pg_temp.met();
  perform pg_temp.pass(v_session_id, v_enough + 540, 'customer', 'mechanic');
  insert into scenario_results values (
    1, 'completed', v_enough + 540, pg_temp.expected(v_session_id, 'completed', v_enough + 540),
    pg_temp.told(v_session_id, pg_temp.ended('customer', v_session_id))
  );

  v_session_id := pg_temp.bought();
  perform pg_temp.as_person('mechanic', format('public.join_session(%L)', v_session_id));
  perform pg_temp.pass(v_session_id, v_no_show, 'mechanic');
  insert into scenario_results values (
    2, 'no-show of the customer', v_no_show, pg_temp.expected(v_session_id, 'customer_no_show', 0),
    pg_temp.told(v_session_id, pg_temp.ended('mechanic', v_session_id))
  );

  if v_enough > 0 then
    v_session_id := pg_temp.met();
    perform pg_temp.pass(v_session_id, v_enough - 1, 'customer', 'mechanic');
    insert into scenario_results values (
      3, 'too short by a second', v_enough - 1, pg_temp.expected(v_session_id, 'too_short', v_enough - 1),
      pg_temp.told(v_session_id, pg_temp.ended('customer', v_session_id))
    );
  else
    insert into scenario_results values (3, 'too short', 0, 'none', 'none');
  end if;

  v_session_id := pg_temp.met();
  perform pg_temp.pass(v_session_id, v_enough, 'customer', 'mechanic');
  insert into scenario_results values (
    4, 'exactly the threshold', v_enough, pg_temp.expected(v_session_id, 'completed', v_enough),
    pg_temp.told(v_session_id, pg_temp.ended('mechanic', v_session_id))
  );

  v_session_id := pg_temp.met();
  perform pg_temp.pass(v_session_id, v_enough + 30, 'customer', 'mechanic');
  v_first := pg_temp.ended('customer', v_session_id);
  perform pg_temp.pass(v_session_id, 600);
  v_second := pg_temp.ended('mechanic', v_session_id);
  insert into scenario_results values (
    5, 'called twice, ten minutes apart', v_enough + 30,
    pg_temp.expected(v_session_id, 'completed', v_enough + 30) || ', the same answer twice',
    pg_temp.told(v_session_id, v_second) || case
      when v_second = v_first || '{"already_ended": true}' and not (v_first ->> 'already_ended')::boolean
        then ', the same answer twice'
      else ', another answer' end
  );

  v_session_id := pg_temp.met();
  perform pg_temp.pass(v_session_id, v_enough + 30, 'customer', 'mechanic');
  -- The lock that every end takes first, and how long others wait. Nobody else can see this row, so that whoever
  -- locked it is this transaction, and it is this transaction's end that the others would wait for.
  perform private.lock_session(v_session_id);
  insert into scenario_results
  select
    6, 'concurrent: the lock of an end', null, 'held by this transaction, others wait at most 3s',
    format(
      '%s by this transaction, others wait at most %s',
      case when s.xmax <> '0'::xid and exists (
        select
        from pg_catalog.pg_locks l
        where l.locktype = 'transactionid' and l.pid = pg_backend_pid() and l.granted
          and l.transactionid = pg_current_xact_id()::xid
      ) then 'held' else 'not held' end,
      (
        select substring(c.setting from 'lock_timeout=(.*)')
        from pg_catalog.pg_proc p
        cross join lateral unnest(p.proconfig) as c (setting)
        where p.oid = 'private.lock_session(uuid)'::regprocedure and c.setting like 'lock_timeout=%'
      )
    )
  from public.sessions s
  where s.id = v_session_id;
  v_first := pg_temp.ended('customer', v_session_id);
  v_second := pg_temp.ended('mechanic', v_session_id);
  insert into scenario_results values (
    6, 'concurrent: who waited for it', v_enough + 30,
    pg_temp.expected(v_session_id, 'completed', v_enough + 30) || ', 1 payout, already ended',
    pg_temp.told(v_session_id, v_second) || format(
      ', %s payout%s', (select count(*) from public.payouts p where p.source_id = v_session_id and p.kind = 'session'),
      case when v_second = v_first || '{"already_ended": true}' then ', already ended' end
    )
  );
end;
$$;

-- What would be checked at the commit that never comes.
set constraints all immediate;

select
  case when r.got = r.expected then 'ok' else 'FAIL' end as "?",
  r.number as "#", r.scenario, r.seconds, r.got, case when r.got <> r.expected then r.expected end as expected
from scenario_results as r
order by r.number, r.scenario;

\pset tuples_only on
\pset format unaligned
select format(
  '%s of %s scenarios ended as they should. Nothing of it stays.', count(*) filter (where x.is_right), count(*)
)
from (select bool_and(r.got = r.expected) as is_right from scenario_results as r group by r.number) as x;

do $$
begin
  if exists (select from scenario_results r where r.got is distinct from r.expected) then
    raise exception 'A scenario did not end as it should.';
  end if;
  if exists (select from private.ledger_invariants(private.clock() - interval '1 day') v) then
    raise exception 'The ledger does not add up: select * from ledger_invariants().';
  end if;
end;
$$;

rollback;
