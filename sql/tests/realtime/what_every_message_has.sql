-- RT-01, RT-02: the form of all messages: private broadcasts on known topics; session messages have a version of their
-- own, which is that of the event they tell of, so that a client can order them; never anything about a person.
begin;

select plan(11);

-- Two lives and a rejected one, with people whose names and words would be found again.
select tests.stop_clock('2030-01-01 12:00:00+00');
select tests.person('customer');
select tests.person('second');
select tests.mechanic('mechanic');
select tests.mechanic('favourite');
select tests.do_as('customer', $$ select public.update_profile(p_display_name => 'Quincy Customer') $$);
select tests.do_as('mechanic', $$ select public.update_profile(p_display_name => 'Quincy Mechanic') $$);
select tests.do_as('favourite', $$ select public.update_profile(p_display_name => 'Quincy Favourite') $$);
select tests.do_as('customer', $$
  select public.create_session(p_plan => 'video15', p_intake => '{"problem": "quaking clutch", "plate": "QX-11"}')
$$);
select tests.do_as('second', format($$
  select public.create_session(
    p_plan => 'chat10', p_intake => '{"problem": "quaking brakes"}', p_preferred_mechanic_id => %L
  )
$$, tests.id('favourite')));
select tests.do_as('favourite', format(
  'select public.decline_assignment(p_assignment_id => %L, p_reason => %L)',
  tests.assignment_of('second'), 'quarrelled with him'
));
select tests.advance(5);
select tests.accept('mechanic', 'customer');
select tests.do_as('mechanic', format(
  'select public.release_assignment(p_assignment_id => %L, p_reason => %L)',
  tests.assignment_of('customer'), 'quitting early'
));
select tests.accept('favourite', 'customer');
select tests.advance(5);
select tests.join('favourite', 'customer');
select tests.join('customer', 'customer');
select tests.together_for('favourite', 'customer', 50);
select tests.leave('customer', 'customer');
select tests.advance(5);
select tests.join('customer', 'customer');
select tests.do_as('service_role', format(
  'select public.record_presence_event(%L, %L, %L, %L, %L)', tests.session_of('customer'),
  'customer-' || tests.id('customer'), 'participant_left', 'quaint-fact', tests.now()
));
select tests.advance(91);
select public.tick_sessions();
select tests.advance(600);
select public.tick_sessions();
select tests.finish_session('second', 'second', 'quickly solved');

select ok((select count(*) >= 14 from realtime.messages), 'RT-02: a good deal was said');
select is_empty(
  $$ select event from realtime.messages where not private or extension <> 'broadcast' or payload is null $$,
  'RT-01: all of it in private broadcasts'
);
select is_empty(
  $$ select topic from realtime.messages
     where topic not in (tests.topic_of('customer'), tests.topic_of('second'), 'session_assignments_feed')
       and topic not in (select 'user:' || id from public.profiles) $$,
  'RT-01: on topics of the three kinds, and to somebody who exists'
);
select is_empty(
  $$ select event from realtime.messages
     where topic like 'session:%' and event not in (
       'session:accepted', 'session:released', 'session:participant', 'session:started', 'session:reconnecting',
       'session:resumed', 'session:warning', 'session:ended', 'session:due'
     ) $$,
  'RT-02: session topics know these messages'
);
select is_empty(
  $$ select event, payload from realtime.messages
     where topic like 'session:%'
       and not (
         payload ?& array['session_id', 'status', 'version', 'server_now']
         and topic = 'session:' || (payload ->> 'session_id')
         and jsonb_typeof(payload -> 'version') = 'number'
         and (payload ->> 'server_now')::timestamptz is not null
         and (payload ->> 'status')::public.session_status is not null
       ) $$,
  'RT-02: each says which session, its status, its version and the time'
);
select is_empty(
  $$ select m.event
     from (
       select
         event, payload,
         lag((payload ->> 'version')::bigint) over (partition by topic order by cmin::text::bigint) as before
       from realtime.messages where topic like 'session:%'
     ) as m
     where (m.payload ->> 'version')::bigint <= m.before $$,
  'RT-02: versions rise from message to message'
);
select is_empty(
  $$ select m.event, e.type
     from realtime.messages as m
     left join public.session_events as e
       on e.session_id = (m.payload ->> 'session_id')::uuid and e.version = (m.payload ->> 'version')::bigint
     where m.topic like 'session:%'
       and m.event is distinct from case
         when e.type in ('joined', 'left', 'disconnected') then 'session:participant'
         when e.type like 'warning_%' then 'session:warning'
         else 'session:' || e.type end $$,
  'RT-02: a message has the version of the event that it tells of'
);
select is_empty(
  $$ select e.type, e.version
     from public.session_events as e
     where e.type <> 'created' and not exists (
       select from realtime.messages as m
       where m.topic = 'session:' || e.session_id and (m.payload ->> 'version')::bigint = e.version
     ) $$,
  'RT-02: and no event but the first is left out'
);
select results_eq(
  $$ select s.status::text, s.version
     from public.sessions as s where s.id = tests.session_of('customer') $$,
  $$ select m.payload ->> 'status', (m.payload ->> 'version')::bigint
     from tests.messages(tests.topic_of('customer')) as m
     order by (m.payload ->> 'version')::bigint desc limit 1 $$,
  'RT-02: who heard the last one knows the row'
);

-- The people's ids, addresses, names and words.
select is_empty(
  $$ select m.topic, m.event, m.payload
     from realtime.messages as m
     cross join public.profiles as p
     where m.payload::text like '%' || p.id || '%' or m.payload::text ilike '%@%' $$,
  'RT-02: never the id or the address of a person'
);
select is_empty(
  $$ select m.topic, m.event, m.payload from realtime.messages as m where m.payload::text ~* 'qu(i|a)|QX-11' $$,
  'RT-02: never a name, a word of the intake, a reason or the video server''s id of a fact'
);

select * from finish();

rollback;
