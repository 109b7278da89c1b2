-- MOD-07: a setting that is missing or unreadable stops the rule that needs it; nothing is guessed.
begin;

select plan(10);

select is(private.setting_integer('min_billable_seconds'), 60, 'MOD-07: the shipped value');
select throws_ok(
  $$ select private.setting('no_such_setting') $$, 'F0000', null, 'MOD-07: an unknown key is an error'
);

select tests.stop_clock();
select tests.live('customer', 'mechanic');
select tests.advance(75);

create function pg_temp.end_with(p_change text) returns text
language plpgsql
as $$
declare
  v_outcome text;
begin
  execute p_change;
  v_outcome := tests.outcome(
    'customer', 'select public.end_session_with_semantics(p_session_id => tests.session_of(''customer''))'
  );
  raise exception using errcode = 'ZZ999', message = v_outcome;
exception when sqlstate 'ZZ999' then
  return sqlerrm;
end
$$;

select alike(
  pg_temp.end_with($$ delete from private.settings where key = 'min_billable_seconds' $$), 'F0000 %',
  'MOD-07: an end without its setting fails'
);
select alike(
  pg_temp.end_with(
    $$ update private.settings set value = '"sixty"' where key = 'min_billable_seconds' $$
  ),
  'F0000 %', 'MOD-07: a text for a number'
);
select alike(
  pg_temp.end_with($$ update private.settings set value = '60.5' where key = 'min_billable_seconds' $$),
  'F0000 %', 'MOD-07: a fraction for a whole number'
);
select alike(
  pg_temp.end_with($$ update private.settings set value = '-1' where key = 'min_billable_seconds' $$),
  'F0000 %', 'MOD-07: a value out of range'
);
select alike(
  pg_temp.end_with($$ update private.settings set value = 'null' where key = 'min_billable_seconds' $$),
  'F0000 %', 'MOD-07: null where a value is needed'
);
select alike(
  pg_temp.end_with($$ update private.settings set value = '"whole"' where key = 'billable_basis' $$),
  'F0000 %', 'MOD-07: an unknown choice'
);
select is(
  pg_temp.end_with($$ update private.settings set value = '60' where key = 'min_billable_seconds' $$), 'ok',
  'MOD-07: with a good value the same end works'
);
select is((tests.row_of('customer')).status::text, 'live', 'MOD-07: a failed end leaves nothing behind');

select * from finish();

rollback;
