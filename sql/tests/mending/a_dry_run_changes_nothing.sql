-- MOV-05: a dry run lists what a run would correct, the same rows, and changes nothing; sessions are judged by what was
-- stored with their end, never by today's settings; those without a record by the value that is assumed.
begin;

select plan(31);

select tests.stop_clock();
select tests.nobody_falls_silent();
select public.set_setting('free_sessions_per_customer', '100');
select tests.admin('admin');

create function pg_temp.state() returns text
language sql
as $$
  select md5(concat(
    (select string_agg(to_jsonb(s)::text, ',' order by s.id) from public.sessions as s),
    (select string_agg(to_jsonb(e)::text, ',' order by e.id) from public.session_events as e),
    (select string_agg(to_jsonb(l)::text, ',' order by l) from private.ledger_entries as l),
    (select string_agg(to_jsonb(t)::text, ',' order by t.session_id) from private.settlements as t),
    (select string_agg(to_jsonb(g)::text, ',' order by g.session_id) from public.mechanic_earnings as g),
    (select string_agg(to_jsonb(p)::text, ',' order by p.id) from public.payouts as p),
    (select string_agg(to_jsonb(o)::text, ',' order by o.id) from private.outbox as o),
    (select string_agg(to_jsonb(c)::text, ',' order by c.id) from private.session_corrections as c),
    (select string_agg(to_jsonb(l)::text, ',' order by l.id) from private.ops_log as l)
  ))
$$;

create function pg_temp.ended_after(p_customer text, p_seconds integer) returns void
language plpgsql
as $$
begin
  perform tests.live(p_customer, 'mechanic of ' || p_customer);
  perform tests.advance(p_seconds);
  perform tests.finish_session('system', p_customer);
end
$$;

-- As an import leaves it: no record of its end.
create function pg_temp.imported(p_customer text, p_status text, p_seconds integer) returns void
language sql
as $$
  insert into public.sessions (
    customer_user_id, mechanic_id, plan, type, status, funding, price_cents, currency, duration_minutes, metadata,
    started_at, expires_at, ended_at, duration_seconds, billable_seconds, end_reason
  )
  values (
    tests.person(p_customer), tests.mechanic('mechanic of ' || p_customer), 'chat10', 'chat',
    p_status::public.session_status, 'free', 0, 'usd', 30, '{"imported": true}', tests.now(),
    tests.now() + interval '30 min', tests.now() + make_interval(secs => p_seconds), p_seconds, p_seconds, p_status
  )
$$;

select is_empty('select public.apply_semantic_fix()', 'MOV-05: without sessions there is nothing to list');

-- right ones
select pg_temp.ended_after('right', 60);
select pg_temp.ended_after('right and short', 59);
select tests.waiting('never started', 'waiter');
select tests.finish_session('never started', 'never started');
select tests.waiting('refunded', 'second waiter');
select tests.finish_session('refunded', 'refunded');
update public.sessions set status = 'refunded' where id = tests.session_of('refunded');
select public.set_setting('min_billable_seconds', '600');
select public.set_setting('billable_basis', '"both_present"');
select is_empty('select public.apply_semantic_fix()', 'MOV-05: today''s settings judge nobody');
select is_empty('select public.apply_semantic_fix(true, 86400)', 'MOV-05: nor does a value assumed for others');

-- wrong ones
select pg_temp.imported('imported short', 'completed', 59);
select pg_temp.imported('imported long', 'cancelled', 60);
select pg_temp.imported('imported and right', 'completed', 60);
select pg_temp.imported('imported and expired', 'expired', 10);
select public.set_setting('min_billable_seconds', '60');
select public.set_setting('billable_basis', '"elapsed"');
select pg_temp.ended_after('long', 30);
select tests.lasted('long', 90);
select pg_temp.ended_after('short', 90);
select tests.recorded('short', 'rule', '{"min_billable_seconds": 100}');
select pg_temp.ended_after('apart', 90);
select tests.recorded('apart', 'rule', '{"billable_basis": "both_present"}');
select tests.recorded('apart', 'facts', '{"both_present_seconds": 20}');
select tests.waiting('orphaned', 'third waiter');
select tests.advance(8000);
select public.expire_orphaned_sessions();
select tests.recorded('orphaned', 'facts', jsonb_build_object(
  'started_at', tests.now() - interval '1 hour', 'over_at', tests.now()
));
select tests.waiting('orphan', 'fourth waiter');
select tests.finish_session('orphan', 'orphan');
select tests.recorded('orphan', 'facts', '{"cause": "orphaned"}');
select tests.waiting('seconds', 'fifth waiter');
select tests.finish_session('seconds', 'seconds');
select tests.by_hand(format(
  'update public.sessions set duration_seconds = 5, billable_seconds = 5 where id = %L', tests.session_of('seconds')
));
-- There is no such arc: it is left for a person.
select tests.waiting('unattended', 'sixth waiter');
select tests.finish_session('unattended', 'unattended');
select tests.recorded('unattended', 'facts', '{"cause": "unattended"}');

create temporary table before on commit drop as select pg_temp.state() as state;
create temporary table listed on commit drop as select f.* from public.apply_semantic_fix() as f;
select set_eq(
  $$ select s.customer_user_id, format('%s %s', f.status_before, f.status_after)
     from listed as f join public.sessions as s on s.id = f.session_id $$,
  $$ values
     (tests.id('imported short'), 'completed cancelled'), (tests.id('imported long'), 'cancelled completed'),
     (tests.id('imported and expired'), 'expired cancelled'), (tests.id('long'), 'cancelled completed'),
     (tests.id('short'), 'completed cancelled'), (tests.id('apart'), 'completed cancelled'),
     (tests.id('orphaned'), 'expired completed'), (tests.id('orphan'), 'cancelled expired'),
     (tests.id('seconds'), 'cancelled cancelled') $$,
  'MOV-05: every correction that MOD-04 has, and wrong seconds'
);
select is(pg_temp.state(), (select state from before), 'MOV-05: a dry run changes nothing');
select is(
  (
    select before -> 'billable_seconds' || (after -> 'billable_seconds') from listed
    where session_id = tests.session_of('long')
  ),
  '[30, 90]'::jsonb, 'MOV-05: it says what is and what should be'
);
select set_eq(
  $$ select s.customer_user_id from public.apply_semantic_fix(true, 60) as f
       join public.sessions as s on s.id = f.session_id
     except
     select s.customer_user_id from public.apply_semantic_fix(true, 20) as f
       join public.sessions as s on s.id = f.session_id $$,
  $$ values (tests.id('imported short')) $$, 'MOV-05: the value assumed counts for those without a record only'
);

-- who
select is(tests.outcome(who, 'select public.apply_semantic_fix()'), 'PT403 role_required', 'MOV-08: not ' || who)
from (values ('right'), ('mechanic of right')) as w (who);
select is(
  left(tests.outcome('anon', 'select public.apply_semantic_fix()'), 5), '42501', 'MOV-08: not anon'
);
select is(tests.outcome(who, 'select public.apply_semantic_fix()'), 'ok', 'MOV-08: but ' || who)
from (values ('admin'), ('service_role')) as w (who);
select is(
  tests.outcome('admin', format('select public.apply_semantic_fix(%s)', arguments)), 'PT422 invalid_argument',
  'MOV-05: not with ' || arguments
)
from (values ('null'), ('true, null'), ('true, -1'), ('true, 86401')) as a (arguments);
select is(pg_temp.state(), (select state from before), 'MOV-05: none of these changed anything');

-- done
select results_eq(
  $$ select f.* from public.apply_semantic_fix(p_dry_run => false) as f $$, 'select * from listed',
  'MOV-05: a run corrects the same rows'
);
select set_eq(
  $$ select s.customer_user_id, concat_ws(' ', s.status, s.end_reason, s.duration_seconds, s.billable_seconds)
     from listed as f join public.sessions as s on s.id = f.session_id $$,
  $$ values
     (tests.id('imported short'), 'cancelled too_short 59 59'), (tests.id('imported long'), 'completed completed 60 60'),
     (tests.id('imported and expired'), 'cancelled too_short 10 10'), (tests.id('long'), 'completed completed 90 90'),
     (tests.id('short'), 'cancelled too_short 90 90'), (tests.id('apart'), 'cancelled too_short 90 20'),
     (tests.id('orphaned'), 'completed completed 3600 3600'), (tests.id('orphan'), 'expired orphaned 0 0'),
     (tests.id('seconds'), 'cancelled cancelled_by_customer 0 0') $$,
  'MOV-05: to what they should be'
);
select is_empty('select public.apply_semantic_fix(false)', 'MOV-05: a second run finds none');
select set_eq(
  'select session_id from public.apply_semantic_fix(true, 86400)',
  $$ values (tests.session_of('imported and right')) $$, 'MOV-05: what was assumed is on record now'
);
select is_empty('select public.verify_replay()', 'MOV-06: every row is its replay');
select is(
  (select count(*)::integer from public.session_events where type = 'corrected'), 9, 'MOV-05: one event each'
);
select is_empty(
  'select session_id, version from public.session_events group by 1, 2 having count(*) > 1',
  'MOV-06: and no other with it'
);
select is(
  (select count(*)::integer from private.session_corrections), 8, 'MOD-04: a licence for each change of status'
);
select is_empty('select * from public.ledger_invariants()', 'MON-03: every invariant holds');
select set_eq(
  'select mechanic_id from public.mechanic_earnings',
  $$ values (tests.id('mechanic of right')), (tests.id('mechanic of long')), (tests.id('third waiter')) $$,
  'MON-12: what is completed has its earning, but for imported ones'
);
select is((tests.row_of('unattended')).status::text, 'cancelled', 'MOV-05: an arc that does not exist is not taken');

-- one that cannot be corrected does not stop the others
select tests.live('stuck', 'mechanic of stuck');
select tests.live('next', 'mechanic of next');
select tests.advance(90);
select tests.finish_session('system', 'stuck');
select tests.finish_session('system', 'next');
select tests.lasted('stuck', 10);
select tests.lasted('next', 10);
create function pg_temp.refuse() returns trigger
language plpgsql
as $$ begin raise exception 'not this one'; end $$;
do $$
begin
  execute format(
    'create trigger refuse before insert on private.session_corrections for each row '
    'when (new.session_id = %L) execute function pg_temp.refuse()', tests.session_of('stuck')
  );
end
$$;
select results_eq(
  'select session_id from public.apply_semantic_fix(false)', $$ values (tests.session_of('next')) $$,
  'MOV-05: one that fails does not stop the others'
);
select is(tests.op('session.correction_failed'), '{"error": "not this one"}'::jsonb, 'MOV-05: and is logged');
select is(tests.told('stuck'), 'completed completed 90 90 90', 'MOV-05: as it was');

select * from finish();

rollback;
