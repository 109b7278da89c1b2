-- FILE-01: whom the storage server lets upload, read, overwrite, move and delete in a session's folder, in every
-- status, also one that nobody has written down yet.
begin;

select plan(44);

select tests.stop_clock();
select tests.nobody_falls_silent();
select tests.person('stranger');
select tests.mechanic('other');
select tests.admin('admin');

-- For one side of a session: what it may do with its own object and with the other's.
create function pg_temp.side(p_word text, p_other text, p_session uuid) returns text
language sql
as $$
  select concat_ws(
    ' ',
    case when tests.storage_lets(p_word, 'add', p_session || '/new.png') then 'add' end,
    case when tests.storage_lets(p_word, 'read', format('%s/of %s.png', p_session, p_word)) then 'read' end,
    case when tests.storage_lets(p_word, 'read', format('%s/of %s.png', p_session, p_other)) then 'both' end,
    case when tests.storage_lets(p_word, 'remove', format('%s/of %s.png', p_session, p_word)) then 'remove' end,
    case when tests.storage_lets(p_word, 'remove', format('%s/of %s.png', p_session, p_other)) then 'WRONG' end,
    case when tests.storage_lets(p_word, 'overwrite', format('%s/of %s.png', p_session, p_word)) then 'WRONG' end,
    case when tests.storage_lets(p_word, 'move', format('%s/of %s.png', p_session, p_word)) then 'WRONG' end
  )
$$;

create function pg_temp.rights(p_state text) returns text
language plpgsql
as $$
declare
  v_customer text := 'customer ' || p_state;
  v_mechanic text := 'mechanic ' || p_state;
  v_session uuid := tests.session_in(p_state, v_customer, v_mechanic);
begin
  perform tests.store(format('%s/of %s.png', v_session, v_customer), v_customer);
  perform tests.store(format('%s/of %s.png', v_session, v_mechanic), v_mechanic);
  return format(
    'customer: %s; mechanic: %s',
    pg_temp.side(v_customer, v_mechanic, v_session), pg_temp.side(v_mechanic, v_customer, v_session)
  );
end
$$;

-- The states whose clock moves on come last.
select is(pg_temp.rights(state), format('customer: %s; mechanic: %s', customer, mechanic), 'FILE-01: ' || state)
from (values
  ('pending', 'read both remove', ''),
  ('scheduled', 'read both remove', ''),
  ('given back', 'read both remove', ''),
  ('accepted', 'add read both remove', 'add read both remove'),
  ('waiting', 'add read both remove', 'add read both remove'),
  ('live', 'add read both remove', 'add read both remove'),
  ('reconnecting', 'add read both remove', 'add read both remove'),
  ('completed', 'read both', 'add read both'),
  ('summed up', 'read both', 'read both'),
  ('cancelled', 'read both', 'read both'),
  ('expired', 'read both', 'read both'),
  ('unattended', 'read both', ''),
  ('refunded', 'read both', 'read both'),
  ('archived', 'read both', 'read both'),
  ('lapsed', 'read both', 'read both'),
  ('over', 'read both', 'add read both')
) as cases (state, customer, mechanic);
select is(
  (tests.row_of('customer over')).status::text, 'live',
  'FILE-01, TIME-03: nothing has written that end down, and it counts'
);

-- Everybody else, in a live session and in one that is completed.
select tests.session_in('live', 'customer', 'mechanic');
select tests.session_in('completed', 'yesterday', 'then');
select tests.store(tests.session_of('customer') || '/a.png', 'customer');
select tests.store(tests.session_of('yesterday') || '/a.png', 'yesterday');
select is(
  tests.storage_lets_whom(
    verb, tests.session_of(whose) || path, 'customer', 'mechanic', 'yesterday', 'then', 'stranger', 'other', 'admin',
    'customer given back', 'anon', 'authenticated'
  ),
  who, format('FILE-01: %s, session of %s: %s', verb, whose, coalesce(who, 'nobody'))
)
from (values
  ('add', 'customer', '/b.png', 'customer mechanic'),
  ('read', 'customer', '/a.png', 'customer mechanic'),
  ('overwrite', 'customer', '/a.png', null),
  ('move', 'customer', '/a.png', null),
  ('remove', 'customer', '/a.png', 'customer'),
  ('add', 'yesterday', '/b.png', 'then'),
  ('read', 'yesterday', '/a.png', 'yesterday then'),
  ('overwrite', 'yesterday', '/a.png', null),
  ('move', 'yesterday', '/a.png', null),
  ('remove', 'yesterday', '/a.png', null)
) as cases (verb, whose, path, who);

-- The mechanic who gave it back, once another has it.
select tests.accept('other', 'customer given back');
select is(
  tests.storage_lets_whom(
    verb, tests.session_of('customer given back') || path, 'customer given back', 'mechanic given back', 'other'
  ),
  'customer given back other', format('FILE-01, QUE-05: %s, once another mechanic has accepted', verb)
)
from (values ('add', '/b.png'), ('read', '/of mechanic given back.png')) as cases (verb, path);
select is(
  tests.storage_lets_whom(
    'remove', tests.session_of('customer given back') || '/of mechanic given back.png', 'customer given back',
    'mechanic given back', 'other'
  ),
  null, 'FILE-01: what he left there nobody removes'
);

-- A suspended mechanic finishes what he has.
select public.set_mechanic_status(p_mechanic_id => tests.id('mechanic'), p_status => 'suspended');
select is(
  tests.storage_lets_whom('add', tests.session_of('customer') || '/b.png', 'customer', 'mechanic'),
  'customer mechanic', 'FILE-01, MOD-09: a mechanic who is suspended meanwhile goes on with the session he has'
);

-- Whose an object is, is the token's word.
select ok(
  not tests.storage_lets('customer', 'add', tests.session_of('customer') || '/c.png', 'session-files', 'mechanic'),
  'FILE-01: nobody uploads in the name of the other'
);
select ok(
  not tests.storage_lets('customer', 'add', tests.session_of('customer') || '/c.png', 'session-files', 'stranger'),
  'FILE-01: nor of anybody'
);

-- Another bucket has nothing from these policies.
insert into storage.buckets (id, name) values
  ('session-files-2', 'session-files-2'), ('session_files', 'session_files');
insert into storage.objects (bucket_id, name, owner, owner_id)
select b.id, tests.session_of('customer') || '/a.png', tests.id('customer'), tests.id('customer')::text
from storage.buckets as b
where b.id <> 'session-files';
select ok(
  not tests.storage_lets('customer', verb, tests.session_of('customer') || path, bucket),
  format('FILE-01: %s in the bucket %s', verb, bucket)
)
from (values ('add', '/b.png'), ('read', '/a.png'), ('remove', '/a.png')) as v (verb, path),
  unnest(array['session-files-2', 'session_files']) as bucket;
create policy "another application shows its files" on storage.objects
for select to authenticated
using (bucket_id <> 'session-files');
select ok(
  not tests.storage_lets('customer', verb, tests.session_of('customer') || path, bucket),
  format('FILE-01: %s in the bucket %s, whose files another policy shows', verb, bucket)
)
from (values ('add', '/b.png'), ('remove', '/a.png')) as v (verb, path),
  unnest(array['session-files-2', 'session_files']) as bucket;
select ok(
  tests.storage_lets('service_role', 'read', tests.session_of('customer') || '/a.png'),
  'FILE-01: the system reads it, to sign an address for whom it has checked'
);

select * from finish();

rollback;
