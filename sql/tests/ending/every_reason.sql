-- END-03: why a session ended, the first reason that fits.
begin;

select plan(24);

select tests.stop_clock();

create function pg_temp.reason(p_case text) returns text
language sql
as $$ select concat_ws(' ', status, end_reason) from tests.row_of(p_case) $$;

-- started
select tests.live('a', 'mechanic a');
select tests.advance(60);
select tests.finish_session('a', 'a');
select is(pg_temp.reason('a'), 'completed completed', 'END-03: completed');
select tests.live('b', 'mechanic b');
select tests.advance(10);
select tests.finish_session('mechanic b', 'b');
select is(pg_temp.reason('b'), 'cancelled too_short', 'END-03: too_short');

-- before anybody accepted, whoever asks
select tests.admin('admin');
select tests.person('c');
select tests.queue('c');
select tests.finish_session('c', 'c');
select is(pg_temp.reason('c'), 'cancelled cancelled_before_accept', 'END-03: by the customer, in the queue');
select tests.person('d');
select tests.queue('d');
select tests.finish_session('admin', 'd');
select is(pg_temp.reason('d'), 'cancelled cancelled_before_accept', 'END-03: by an admin, in the queue');
select tests.person('e');
select tests.queue('e');
select tests.join('e', 'e');
select tests.advance(80);
select tests.finish_session('system', 'e');
select is(pg_temp.reason('e'), 'cancelled cancelled_before_accept', 'END-03: by the system, in the queue');

-- who asked, after the accept
select tests.waiting('f', 'mechanic f');
select tests.finish_session('f', 'f');
select is(pg_temp.reason('f'), 'cancelled cancelled_by_customer', 'END-03: by the customer');
select tests.waiting('g', 'mechanic g');
select tests.finish_session('mechanic g', 'g');
select is(pg_temp.reason('g'), 'cancelled cancelled_by_mechanic', 'END-03: by the mechanic');
select tests.waiting('h', 'mechanic h');
select tests.finish_session('admin', 'h');
select is(pg_temp.reason('h'), 'cancelled cancelled_by_admin', 'END-03: by an admin');
select tests.waiting('i', 'mechanic i');
select tests.finish_session('system', 'i');
select is(pg_temp.reason('i'), 'cancelled nobody_joined', 'END-03: by nobody: nobody_joined');
select tests.waiting('i2', 'mechanic i2');
select tests.finish_session('service_role', 'i2');
select is(pg_temp.reason('i2'), 'cancelled nobody_joined', 'END-03: nor is service_role somebody');
select is((tests.row_of('f')).ended_by, tests.id('f'), 'END-03: who asked is kept');
select is((tests.row_of('i')).ended_by, null, 'END-03: and nobody, where it was the system');

-- no-shows: one waited for five minutes, the other never came
create function pg_temp.one_waits(p_case text, p_role text, p_seconds integer, p_end_by text) returns text
language plpgsql
as $$
declare
  v_mechanic text := 'mechanic ' || p_case;
  v_who text := case p_role when 'customer' then p_case else v_mechanic end;
begin
  perform tests.waiting(p_case, v_mechanic);
  perform tests.join(v_who, p_case);
  for i in 1 .. p_seconds / 30 loop
    perform tests.advance(30);
    perform tests.heartbeat(v_who, p_case);
  end loop;
  perform tests.advance(p_seconds % 30);
  if p_seconds % 30 > 0 then
    perform tests.heartbeat(v_who, p_case);
  end if;
  perform tests.finish_session(
    case p_end_by when 'customer' then p_case when 'mechanic' then v_mechanic else p_end_by end, p_case
  );
  return pg_temp.reason(p_case);
end
$$;

select is(
  pg_temp.one_waits('j', 'customer', 300, 'customer'), 'cancelled mechanic_no_show', 'END-03: mechanic_no_show'
);
select is(
  pg_temp.one_waits('k', 'mechanic', 300, 'mechanic'), 'cancelled customer_no_show', 'END-03: customer_no_show'
);
select is(
  pg_temp.one_waits('l', 'customer', 299, 'customer'), 'cancelled cancelled_by_customer',
  'END-03: a second less and he cancelled'
);
select is(
  pg_temp.one_waits('m', 'mechanic', 299, 'mechanic'), 'cancelled cancelled_by_mechanic',
  'END-03: or the mechanic did'
);
select is(
  pg_temp.one_waits('n', 'customer', 310, 'system'), 'cancelled mechanic_no_show', 'END-03: whoever asks'
);
select is(
  pg_temp.one_waits('o', 'customer', 310, 'mechanic'), 'cancelled mechanic_no_show',
  'END-03: even the one who did not come'
);
select public.set_setting('no_show_after_seconds', '600');
select is(
  pg_temp.one_waits('p', 'customer', 310, 'customer'), 'cancelled cancelled_by_customer', 'END-03: by the setting'
);
select public.set_setting('no_show_after_seconds', '300');

-- a wait that was silent does not count
select tests.waiting('q', 'mechanic q');
select tests.join('q', 'q');
select tests.advance(3000);
select tests.finish_session('system', 'q');
select is(pg_temp.reason('q'), 'cancelled nobody_joined', 'END-03: a tab that fell silent did not wait');

-- nor does one before the accept
select tests.person('r');
select tests.mechanic('mechanic r');
select tests.queue('r');
select tests.join('r', 'r');
select tests.advance(80);
select tests.heartbeat('r', 'r');
select tests.advance(80);
select tests.heartbeat('r', 'r');
select tests.advance(80);
select tests.heartbeat('r', 'r');
select tests.advance(80);
select tests.heartbeat('r', 'r');
select tests.accept('mechanic r', 'r');
select tests.advance(10);
select tests.finish_session('r', 'r');
select is(pg_temp.reason('r'), 'cancelled cancelled_by_customer', 'END-03: a wait for an accept is no no-show');

-- the other was there, though not at the same time: that is no no-show
select tests.waiting('s', 'mechanic s');
select tests.join('mechanic s', 's');
select tests.advance(5);
select tests.leave('mechanic s', 's');
select tests.join('s', 's');
select tests.advance(80);
select tests.heartbeat('s', 's');
select tests.advance(80);
select tests.heartbeat('s', 's');
select tests.advance(80);
select tests.heartbeat('s', 's');
select tests.advance(80);
select tests.finish_session('s', 's');
select is(pg_temp.reason('s'), 'cancelled cancelled_by_customer', 'END-03: who came once was no no-show');

-- the job's own
select tests.person('t');
select tests.queue('t');
select tests.advance(7201);
select public.expire_orphaned_sessions();
select is(pg_temp.reason('t'), 'expired orphaned', 'END-03: orphaned');

select is(
  (
    select count(*)::integer from public.sessions
    where status >= 'completed' and (end_reason is null or ended_at is null)
  ),
  0, 'END-03: no end without a reason'
);

select * from finish();

rollback;
