"""docs/api.md, from the comments in a migrated database."""

from __future__ import annotations

from typing import Any

import psycopg

HEADING = """# API

Generated from the comments in the database by `make docs`. Functions are called by name with named
arguments through any Supabase client. Errors are in [errors.md](errors.md). Times are UTC.
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
    parts.append("\n## Tables\n")
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
