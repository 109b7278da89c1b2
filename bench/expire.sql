-- The sessions with the numbers bench.first to bench.last have reached their time, to which both people stayed, and
-- have been warned. Run as a superuser, after live_sessions.sql.

set session_replication_role = 'replica';

update public.sessions as s
set expires_at = now() - n.number * interval '1 ms', duration_minutes = 4, next_warning_at = null
from generate_series(current_setting('bench.first')::integer, current_setting('bench.last')::integer) as n (number)
where s.id = md5('session' || n.number)::uuid;

update public.session_participants as p
set last_seen_at = s.expires_at
from public.sessions as s
where p.session_id = s.id and s.status = 'live' and s.expires_at < now();

reset session_replication_role;
