-- MOD-07: app.min_billable_seconds on a system caller's connection wins; a client's own is ignored; the value
-- used and its source are stored with every end. (What ALTER DATABASE sets needs new connections: py_tests.)
begin;

select plan(12);

select tests.stop_clock();

create function pg_temp.end_after_30(p_case text, p_who text, p_own_value text) returns public.session_end_result
language plpgsql
as $$
declare
  v_result public.session_end_result;
begin
  perform tests.live(p_case, 'mechanic of ' || p_case);
  perform tests.advance(30);
  perform set_config('app.min_billable_seconds', p_own_value, true);
  v_result := tests.finish_session(case p_who when 'client' then p_case else p_who end, p_case);
  perform set_config('app.min_billable_seconds', '', true);
  return v_result;
end
$$;

create function pg_temp.rule_of(p_case text) returns jsonb
language sql
as $$
  select payload from public.session_events where session_id = tests.session_of(p_case) and type = 'ended'
$$;

select is((pg_temp.end_after_30('a', 'client', '20')).reason, 'too_short', 'MOD-07: a client''s own is ignored');
select is(
  jsonb_path_query_first(pg_temp.rule_of('a'), '$.**.min_billable_seconds'), '60',
  'MOD-07: the value used is stored with the end'
);
select is((pg_temp.end_after_30('b', 'system', '20')).reason, 'completed', 'MOD-07: the operator''s wins');
select is(
  jsonb_path_query_first(pg_temp.rule_of('b'), '$.**.min_billable_seconds'), '20', 'MOD-07: and is stored'
);
select ok(
  jsonb_path_query_first(pg_temp.rule_of('a'), '$.**.source')
  <> jsonb_path_query_first(pg_temp.rule_of('b'), '$.**.source'),
  'MOD-07: with where it came from'
);
select is((pg_temp.end_after_30('c', 'service_role', '20')).reason, 'completed', 'MOD-07: and service_role''s');
select is((pg_temp.end_after_30('d', 'system', '31')).reason, 'too_short', 'MOD-07: it also makes it longer');
select is((pg_temp.end_after_30('e', 'system', '0')).reason, 'completed', 'MOD-07: zero is a value');
select is((pg_temp.end_after_30('f', 'system', '')).reason, 'too_short', 'MOD-07: empty means not set');

select throws_ok(
  $$ select pg_temp.end_after_30('g', 'system', 'twenty') $$, 'F0000', null, 'MOD-07: unreadable is an error'
);
select throws_ok(
  $$ select pg_temp.end_after_30('h', 'system', '-1') $$, 'F0000', null, 'MOD-07: so is a negative one'
);
select is(
  (pg_temp.end_after_30('i', 'client', 'twenty')).reason, 'too_short',
  'MOD-07: a client cannot even break an end with it'
);

select * from finish();

rollback;
