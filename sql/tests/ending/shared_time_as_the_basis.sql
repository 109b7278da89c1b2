-- END-02: with billable_basis both_present the time the two shared decides, and is billed.
begin;

select plan(3);

select tests.stop_clock();
select public.set_setting('billable_basis', '"both_present"');

create function pg_temp.away_for_20_of(p_case text, p_seconds integer) returns text
language plpgsql
as $$
begin
  perform tests.live(p_case, 'mechanic ' || p_case);
  perform tests.advance(30);
  perform tests.leave(p_case, p_case);
  perform tests.advance(20);
  perform tests.join(p_case, p_case);
  perform tests.advance(p_seconds - 50);
  perform tests.finish_session(p_case, p_case);
  return (
    select concat_ws(' ', s.status, s.end_reason, s.duration_seconds, s.billable_seconds, s.both_present_seconds)
    from tests.row_of(p_case) as s
  );
end
$$;

select is(pg_temp.away_for_20_of('a', 80), 'completed completed 80 60 60', 'END-02: 60 shared seconds of 80');
select is(pg_temp.away_for_20_of('b', 79), 'cancelled too_short 79 59 59', 'END-02: 59 shared seconds of 79');
select public.set_setting('billable_basis', '"elapsed"');
select is(
  pg_temp.away_for_20_of('c', 79), 'completed completed 79 79 59', 'END-02: by the elapsed time it counts'
);

select * from finish();

rollback;
