-- Both people of the sessions with the numbers bench.first to bench.last are due for a look at their presence, and have
-- been seen a moment ago. Run as a superuser, after live_sessions.sql.

update public.session_participants as p
set last_seen_at = now(), presence_check_at = now() - n.number * interval '1 ms'
from generate_series(current_setting('bench.first')::integer, current_setting('bench.last')::integer) as n (number)
where p.session_id = md5('session' || n.number)::uuid;
