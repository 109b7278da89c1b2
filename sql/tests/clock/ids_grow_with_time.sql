-- Ids of our own are UUIDs of version 7: those of a later time stand behind those of an earlier one.
begin;

select plan(4);

select tests.stop_clock();
create temporary table made on commit drop as select private.new_id() as first;
select tests.advance(0.001);
alter table made add column second uuid, add column twin uuid;
update made set second = private.new_id(), twin = private.new_id();

select ok(first < second and first < twin, 'a millisecond later the next one stands behind') from made;
select isnt(second, twin, 'two of the same millisecond differ') from made;
select matches(
  first::text, '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$', 'version 7'
) from made;
select is(
  to_timestamp(('x' || replace(left(first::text, 13), '-', ''))::bit(48)::bigint / 1000.0),
  date_trunc('milliseconds', private.clock() - interval '1 ms'), 'in front is the time, in milliseconds'
) from made;

select * from finish();

rollback;
