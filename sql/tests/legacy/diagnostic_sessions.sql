-- LEG-02: diagnostic sessions of the older system are read by the two people in them and by admins.
begin;

select plan(4);

select tests.stop_clock();
select tests.person('customer');
select tests.person('stranger');
select tests.mechanic('mechanic');
select tests.mechanic('other');
select tests.admin('admin');
insert into public.diagnostic_sessions (id, customer_user_id, mechanic_id, duration_minutes)
values
  (tests.id('first'), tests.id('customer'), tests.id('mechanic'), 60),
  (tests.id('second'), tests.id('stranger'), null, 60);

create temporary table seen (who, sessions) on commit drop as select 'nobody', 0;
grant all on table seen to authenticated, service_role;
select tests.do_as(w.who, format('insert into seen select %L, count(*) from public.diagnostic_sessions', w.who))
from (values ('customer'), ('mechanic'), ('other'), ('stranger'), ('admin'), ('service_role')) as w (who);
select results_eq(
  'select who, sessions from seen order by who',
  $$ values
     ('admin', 2), ('customer', 1), ('mechanic', 1), ('nobody', 0), ('other', 0), ('service_role', 2), ('stranger', 1)
  $$,
  'LEG-02: people read their own, admins all'
);
select alike(tests.outcome('anon', 'select 1 from public.diagnostic_sessions'), '42501 %', 'LEG-02: visitors nothing');
select is_empty(
  $$ select w.who, s.statement
     from (values ('customer'), ('mechanic'), ('admin'), ('service_role')) as w (who)
     cross join (
       values
         ($q$ insert into public.diagnostic_sessions (customer_user_id) values (gen_random_uuid()) $q$),
         ($q$ update public.diagnostic_sessions set status = 'completed' where id is not null $q$),
         ($q$ delete from public.diagnostic_sessions where id is not null $q$)
     ) as s (statement)
     where tests.outcome(w.who, s.statement) not like '42501 %' $$,
  'LEG-02: and nobody writes them'
);
select columns_are(
  'public', 'diagnostic_sessions',
  array[
    'id', 'customer_user_id', 'mechanic_id', 'status', 'started_at', 'ended_at', 'duration_minutes', 'metadata',
    'created_at', 'updated_at'
  ],
  'LEG-02: the columns of the older system'
);

select * from finish();

rollback;
