-- MON-19: new rows wake the dispatcher where pg_net and both secrets are there, at most once a second; otherwise, and
-- when that fails, they are just there for the job.
begin;

select plan(25);

select tests.stop_clock();
delete from net.http_request_queue where id > 0;

create function pg_temp.woken()
returns integer
language sql
stable
as $$ select count(*)::integer from net.http_request_queue $$;

create function pg_temp.enqueue(p_key text)
returns boolean
language sql
as $$ select private.enqueue('push', p_key, '{}') $$;

select is(pg_temp.enqueue('1'), true, 'MON-19: a row without any secret');
select is(pg_temp.woken(), 0, 'MON-19: wakes nobody');
select vault.create_secret('http://api.example.test', 'project_url');
select tests.advance(1);
select is(pg_temp.enqueue('2'), true, 'MON-19: nor does one with only the address');
select is(pg_temp.woken(), 0, 'MON-19: where there is no secret to show');
select vault.create_secret('only-for-the-dispatcher', 'dispatch_secret');

select is(pg_temp.enqueue('3'), true, 'MON-19: with both, in the same second');
select is(
  (select jsonb_agg(jsonb_build_array(method, url, headers, convert_from(body, 'UTF8'))) from net.http_request_queue),
  '[["POST", "http://api.example.test/functions/v1/dispatch-outbox", {
    "Authorization": "Bearer only-for-the-dispatcher", "Content-Type": "application/json"
  }, "{}"]]',
  'MON-19: it calls the dispatcher, with the secret and nothing else'
);
select is(pg_temp.enqueue('4'), true, 'MON-19: another row');
select tests.advance(0.999);
select is(pg_temp.enqueue('5'), true, 'MON-19: and one almost a second later');
select is(pg_temp.woken(), 1, 'MON-19: wake nobody again');
select tests.advance(0.001);
select is(pg_temp.enqueue('6'), true, 'MON-19: a second later');
select is(pg_temp.woken(), 2, 'MON-19: it is woken again');
select tests.advance(60);
insert into private.outbox (topic, key, payload) select 'push', 'many ' || n, '{}' from generate_series(1, 50) as n;
select is(pg_temp.woken(), 3, 'MON-19: fifty rows wake it once');

-- A retry is not news: the job finds it.
select tests.advance(60);
select count(public.fail_outbox(c.id, c.lease_token, 'no')) from public.claim_outbox('worker', 3, 60) as c;
select is(pg_temp.woken(), 3, 'MON-19: what is tried again wakes nobody');
select private.run_job('dispatch-outbox');
select is(pg_temp.woken(), 4, 'MON-19: but the job finds what waits');
select tests.advance(60);
select count(*) from public.claim_outbox('worker', 1000, 60);
select private.run_job('dispatch-outbox');
select is(pg_temp.woken(), 4, 'MON-19: and nothing in what is in hands');
select tests.advance(60);
select private.run_job('dispatch-outbox');
select is(pg_temp.woken(), 5, 'MON-19: until its lease has run out');
select private.run_job('dispatch-outbox');
select is(pg_temp.woken(), 5, 'MON-19: once a second as well');
delete from net.http_request_queue where id > 0;

-- A failure is logged and stops nobody.
create function pg_temp.break_the_net()
returns trigger
language plpgsql
as $$
begin
  if current_setting('tests.net_is_torn')::boolean then
    raise exception 'the net is torn';
  end if;
  return new;
end
$$;
create trigger break_the_net before insert on net.http_request_queue
for each row execute function pg_temp.break_the_net();
select set_config('tests.net_is_torn', 'yes', true);
select tests.advance(60);
select is(pg_temp.enqueue('7'), true, 'MON-19: a row while the net is torn');
select is((select status from private.outbox where key = '7'), 'pending', 'MON-19: is written all the same');
select results_eq(
  'select kind, detail from private.ops_log where kind = ''outbox.wake_failed''',
  $$ select 'outbox.wake_failed', '{"error": "the net is torn"}'::jsonb $$, 'MON-19: and what failed is on record'
);
select set_config('tests.net_is_torn', 'no', true);
select is(pg_temp.enqueue('8'), true, 'MON-19: once it is mended');
select is(pg_temp.woken(), 1, 'MON-19: the next row wakes at once');

-- Who does not get the secret from us.
select is(
  tests.outcome(who, 'select private.wake_dispatcher()'), '42501 permission denied for ' || what,
  format('MON-19: %s wakes nobody', who)
)
from (
  values ('authenticated', 'function wake_dispatcher'), ('anon', 'schema private')
) as attempts (who, what);

select is_empty('select * from public.ledger_invariants()', 'MON-03: and every invariant holds');

select * from finish();

rollback;
