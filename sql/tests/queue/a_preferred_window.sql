-- QUE-02: the preferred mechanic is alone with a session for preferred_mechanic_window_seconds; then everybody sees it,
-- and only then does it go to the feed. (Who sees what in the queue: who_sees_the_queue.sql.)
begin;

select plan(22);

select tests.stop_clock();
select tests.mechanic('preferred');
select tests.mechanic('other');
select tests.person('loyal');
select tests.prefer('loyal', 'preferred');

create function pg_temp.told_at(p_customer text) returns timestamptz
language sql
as $$ select announced_at from public.session_assignments where session_id = tests.session_of(p_customer) $$;

select is(
  (select visible_to_all_at from public.session_assignments), tests.now() + interval '120 s', 'QUE-02: two minutes'
);
select is(pg_temp.told_at('loyal'), null, 'QUE-02: the feed is not told');
select results_eq(
  $$ select tests.queue_of('preferred') $$, $$ values (tests.session_of('loyal')) $$, 'QUE-02: he sees it'
);

-- the last moment of the window
select tests.advance(119.999);
select is((public.tick_sessions() ->> 'opened')::integer, 0, 'QUE-02: the window is still closed');
select is_empty($$ select tests.queue_of('other') $$, 'QUE-02: to the others');

-- it opens
select tests.advance(0.001);
select results_eq(
  $$ select tests.queue_of('other') $$, $$ values (tests.session_of('loyal')) $$,
  'QUE-02: then everybody sees it, tick or no tick'
);
select is(pg_temp.told_at('loyal'), null, 'QUE-02: the feed hears it from the tick');
select is((public.tick_sessions() ->> 'opened')::integer, 1, 'QUE-02: which finds the window open');
select is(pg_temp.told_at('loyal'), tests.now(), 'QUE-02: and tells the feed');
select is((public.tick_sessions() ->> 'opened')::integer, 0, 'QUE-02: once');
select is((tests.row_of('loyal')).status::text, 'pending', 'QUE-02: the session is as it was');
select tests.accept('other', 'loyal');
select is((tests.row_of('loyal')).mechanic_id, tests.id('other'), 'QUE-02: anybody may take it now');

-- accepted, or over, within the window: there is nothing to tell
select tests.person('quick');
select tests.prefer('quick', 'preferred');
select tests.accept('preferred', 'quick');
select tests.person('fickle');
select tests.prefer('fickle', 'other');
select tests.finish_session('fickle', 'fickle');
select tests.advance(121);
select is((public.tick_sessions() ->> 'opened')::integer, 0, 'QUE-02: nothing opens that was taken or is over');
select is(pg_temp.told_at('quick'), null, 'QUE-02: the feed never hears of what was taken before');
select is(pg_temp.told_at('fickle'), null, 'QUE-02: nor of what was over before');

-- without a preference there is no window
select tests.person('easy');
select tests.queue('easy');
select is(pg_temp.told_at('easy'), tests.now(), 'QUE-02: without a preference the feed is told at once');

-- a window of no length, and a long one
select public.set_setting('preferred_mechanic_window_seconds', '0');
select tests.person('hasty');
select tests.prefer('hasty', 'preferred');
select set_has(
  $$ select tests.queue_of('other') $$, $$ values (tests.session_of('hasty')) $$, 'QUE-02: no window where none is set'
);
select tests.mechanic('patient mechanic');
select public.set_setting('preferred_mechanic_window_seconds', '3600');
select tests.person('patient');
select tests.prefer('patient', 'patient mechanic', '1 day');
select tests.advance(3599);
select set_hasnt(
  $$ select tests.queue_of('other') $$, $$ values (tests.session_of('patient')) $$, 'QUE-02: an hour where that is set'
);
select tests.advance(1);
select set_has(
  $$ select tests.queue_of('other') $$, $$ values (tests.session_of('patient')) $$,
  'QUE-02, LIFE-05: for a booking too, from its creation'
);
select tests.act_as('other');
select results_eq(
  $$ select scheduled_for, is_preferred from public.mechanic_queue()
     where session_id = tests.session_of('patient') $$,
  $$ values ((tests.row_of('patient')).scheduled_for, false) $$, 'LIFE-05: marked with its time'
);
select tests.be_system();
select ok((public.tick_sessions() ->> 'opened')::integer >= 1, 'QUE-02: the tick opens it');
select is(pg_temp.told_at('patient'), tests.now(), 'QUE-02: and tells the feed of it');

select * from finish();

rollback;
