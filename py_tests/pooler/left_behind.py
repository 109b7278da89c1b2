"""What a client has left on a server connection, where the next client would find it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, LiteralString

from support.pooler import CARRIED

if TYPE_CHECKING:
    from support.world import Connection, Row

LEFT: LiteralString = """
select 'role' as kind, current_user::text as what where current_user <> session_user
union all
select 'setting', s.name from pg_settings s where s.source = 'session' and s.name <> all (%s)
union all
-- pg_settings has no setting that no module has declared.
select 'setting', n.name
from unnest(array[
  'request.jwt.claims', 'request.jwt.claim.sub', 'request.jwt.claim.role',
  'taximeter.event', 'storage.operation'
]) n (name)
where current_setting(n.name, true) <> ''
union all
select 'prepared statement', p.name from pg_prepared_statements p
union all
select 'channel', c.name from pg_listening_channels() c (name)
union all
select 'advisory lock', l.objid::text
from pg_locks l
where l.locktype = 'advisory' and l.pid = pg_backend_pid()
union all
select 'cursor', c.name from pg_cursors c where c.is_holdable
union all
select 'temporary table', c.oid::regclass::text
from pg_class c
where c.relnamespace = pg_my_temp_schema()
"""

# The same in the text of a function: what asks for more than its own transaction.
ASKS_FOR_MORE = re.compile(
    r"set_config\s*\([^;]*,\s*false\s*\)|pg_(try_)?advisory_lock|\b(listen|unlisten|prepare)\s+\w"
    r"|\btemp(orary)?\s+(table|view|sequence)|\bwith\s+hold\b"
    r"|^\s*set\s+(session\s+)?(role\s+\w|search_path|\w+_timeout|time\s+zone)",
    re.IGNORECASE | re.MULTILINE,
)


def left_behind(connection: Connection) -> list[Row]:
    return connection.execute(LEFT, (list(CARRIED),)).fetchall()
