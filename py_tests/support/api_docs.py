"""docs/api.md, from the comments in a migrated database."""

from __future__ import annotations

import json
from typing import Any

import psycopg

HEADING = """# API

Generated from the comments in the database by `make docs`. Functions are called by name with named
arguments through any Supabase client. Errors are in [errors.md](errors.md). Times are UTC.
"""

_CUSTOMER = "5f1d0c1e-0000-4000-8000-000000000001"
_MECHANIC = "5f1d0c1e-0000-4000-8000-000000000002"

# A video session, live since noon and fifteen minutes longer since 12:05:00, whose mechanic has
# been away since 12:10:00.
SNAPSHOT: dict[str, Any] = {
    "session": {
        "id": "5f1d0c1e-0000-4000-8000-00000000000a",
        "customer_user_id": _CUSTOMER,
        "mechanic_id": _MECHANIC,
        "preferred_mechanic_id": None,
        "plan": "video15",
        "type": "video",
        "status": "reconnecting",
        "funding": "paid",
        "price_cents": 1500,
        "currency": "usd",
        "intake": {"problem": "squeals when braking"},
        "scheduled_for": None,
        "accepted_at": "2026-01-01T11:58:00+00:00",
        "started_at": "2026-01-01T12:00:00+00:00",
        "ended_at": None,
        "expires_at": "2026-01-01T13:00:00+00:00",
        "duration_minutes": 60,
        "duration_seconds": None,
        "billable_seconds": None,
        "both_present_seconds": None,
        "interrupted_at": "2026-01-01T12:10:00+00:00",
        "grace_ends_at": "2026-01-01T12:15:00+00:00",
        "next_warning_at": "2026-01-01T12:55:00+00:00",
        "end_reason": None,
        "ended_by": None,
        "end_note": None,
        "summary_submitted_at": None,
        "metadata": {},
        "version": 8,
        "last_event_at": "2026-01-01T12:10:00+00:00",
        "due_at": "2026-01-01T12:15:00+00:00",
        "created_at": "2026-01-01T11:57:00+00:00",
        "updated_at": "2026-01-01T12:11:30+00:00",
    },
    "people": [
        {
            "user_id": _CUSTOMER,
            "role": "customer",
            "display_name": "A customer",
            "specialties": None,
        },
        {
            "user_id": _MECHANIC,
            "role": "mechanic",
            "display_name": "A mechanic",
            "specialties": ["brakes"],
        },
    ],
    "participants": [
        {
            "user_id": _CUSTOMER,
            "role": "customer",
            "is_connected": True,
            "first_joined_at": "2026-01-01T11:57:05+00:00",
            "last_seen_at": "2026-01-01T12:11:40+00:00",
            "left_at": None,
        },
        {
            "user_id": _MECHANIC,
            "role": "mechanic",
            "is_connected": False,
            "first_joined_at": "2026-01-01T12:00:00+00:00",
            "last_seen_at": "2026-01-01T12:10:00+00:00",
            "left_at": "2026-01-01T12:10:00+00:00",
        },
    ],
    "extensions": [
        {
            "id": "5f1d0c1e-0000-4000-8000-00000000000e",
            "minutes": 15,
            "price_cents": 500,
            "currency": "usd",
            "status": "applied",
            "applied_at": "2026-01-01T12:05:00+00:00",
            "created_at": "2026-01-01T12:04:10+00:00",
        },
    ],
    "server_now": "2026-01-01T12:11:40+00:00",
    "remaining_seconds": 2900,
    "next_warning_at": "2026-01-01T12:55:00+00:00",
    "absent_role": "mechanic",
    "grace_ends_at": "2026-01-01T12:15:00+00:00",
    "can_join": True,
    "join_from": None,
    "version": 8,
}

REALTIME = """
## Realtime

Topics are private: subscribe with `client.channel(topic, {config: {private: true}})`, listen for
`broadcast` with event `*`. Messages come from the database, in the transaction that they tell of.
Clients send no broadcasts; on their session's topic they may show presence.

| topic | who receives | messages |
| --- | --- | --- |
| `session:<id>` | its customer and its mechanic | see below |
| `user:<id>` | that person | `notification:new`, and the feed's, of what is offered to him alone |
| `session_assignments_feed` | approved mechanics | what waits, and no longer does |

The feed tells `new_assignment` (`assignment_id`, `session_id`, `plan`, `type`, `scheduled_for`),
`assignment_accepted` and `assignment_cancelled` (the two ids).

`notification:new` has `notification_id`, `kind`, `session_id` and `created_at`; the words are in
`notifications`.

Every event of a session has `session_id`, `status`, `version` and `server_now`.
Subscribe, read `session_snapshot`, then apply each message whose `version` is higher than what you
have; a message may be lost or late, so after a broken connection read the snapshot again.

| event | also has |
| --- | --- |
| `session:accepted` | `accepted_at`, `scheduled_for` |
| `session:released` | `scheduled_for`: the mechanic gave it back, it waits in the queue again |
| `session:due` | `scheduled_for`: a booked time has come |
| `session:participant` | `role`, `is_connected`, `absent_role`, `grace_ends_at` |
| `session:started` | `started_at`, `expires_at`, `duration_minutes`, nobody absent |
| `session:reconnecting` | `absent_role` (`customer`, `mechanic` or `both`), `grace_ends_at` |
| `session:resumed` | the same as `session:started` |
| `session:extended` | `expires_at`, `duration_minutes`, `minutes`: by so many more |
| `session:extension_failed` | `extension_id`, `minutes`: no proof of payment yet |
| `session:warning` | `minutes`, `remaining_seconds`, `expires_at` |
| `session:ended` | `ended_at`, `reason`, `duration_seconds`, `auto_ended`; again after a refund |
| `session:summary` | `summary_submitted_at`: read it with `get_session_summary` |

Messages of chat and files carry no version; take them by their id, and read the tables:

| event | has |
| --- | --- |
| `message:new` | `session_id`, `message_id`, `sender_id`, `created_at` |
| `file:added`, `file:removed` | `session_id`, `file_id`, `uploaded_by`, `created_at` |

### Files

Upload to the private bucket `session-files` under `<session id>/<name>`, without overwriting, then
call `register_session_file`. A name begins with a letter, digit or `_`, and may then have any of
``. ! ' ( ) & $ @ = ; : + , - _`` and spaces. Both people of a session read its folder, also after
its end; who uploaded an object removes it, before the end.

### A snapshot

`session_snapshot` of a video session whose mechanic has dropped out:

"""

FUNCTIONS = """
select p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
       obj_description(p.oid, 'pg_proc')
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
where n.nspname = 'public'
  and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
order by p.proname
"""

RELATIONS = """
select c.relname, obj_description(c.oid, 'pg_class'),
       (
         select json_agg(json_build_array(
           a.attname, format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum)
         ) order by a.attnum)
         from pg_attribute a
         where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
       ),
       c.relkind = 'c', obj_description(c.reltype, 'pg_type')
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'public' and c.relkind in ('r', 'p', 'v', 'c')
order by c.relkind = 'c', c.relname
"""

STATUSES = "select unnest(enum_range(null::public.session_status))::text"


def render(connection: psycopg.Connection[Any]) -> str:
    """The whole document, for the schema that this connection sees."""
    parts = [HEADING, "\n## Functions\n"]
    for name, arguments, result, comment in connection.execute(FUNCTIONS):
        parts.append(f"\n### `{name}`\n\n`{name}({arguments}) returns {result}`\n\n{comment}\n")
    parts.append(f"{REALTIME}```json\n{json.dumps(SNAPSHOT, indent=2)}\n```\n")
    parts.append("\n## Tables and views\n")
    in_types = False
    for name, comment, columns, is_type, type_comment in connection.execute(RELATIONS):
        if is_type and not in_types:
            in_types = True
            parts.append("\n## Types\n")
        parts.append(f"\n### `{name}`\n\n{type_comment if is_type else comment}\n\n")
        parts.append("| column | type | |\n| --- | --- | --- |\n")
        parts.extend(
            f"| `{column}` | `{kind}` | {about or ''} |\n" for column, kind, about in columns
        )
    statuses = ", ".join(f"`{row[0]}`" for row in connection.execute(STATUSES))
    parts.append(f"\n### `session_status`\n\n{statuses}\n")
    return "".join(parts)
