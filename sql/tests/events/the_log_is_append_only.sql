-- MOD-03: the event log only grows, for every role, its owner included.
begin;

select plan(17);

select tests.stop_clock();
select tests.live('customer', 'mechanic');
select set_config('tests.count', (select count(*)::text from public.session_events), true);

-- Grants that nobody should ever give, so that what refuses is not a missing grant.
grant all on public.session_events to service_role, authenticated;
create policy "test: clients see and touch all" on public.session_events for all using (true);

select alike(
  tests.outcome(who, statement), '% session_events is append-only', format('MOD-03: %s may not %s', who, verb)
)
from
  unnest(array['system', 'service_role', 'customer']) as who,
  (
    values
    ('update', 'update public.session_events set type = ''other'' where id > 0'),
    ('update no row', 'update public.session_events set type = ''other'' where id < 0'),
    ('delete', 'delete from public.session_events where id > 0'),
    ('delete no row', 'delete from public.session_events where id < 0'),
    ('truncate', 'truncate public.session_events')
  ) as attempts (verb, statement);

select is(
  (select count(*)::text from public.session_events), current_setting('tests.count'), 'MOD-03: nothing is gone'
);
select is(
  (select count(*)::integer from public.session_events where type = 'other'), 0, 'MOD-03: nothing is changed'
);

select * from finish();

rollback;
