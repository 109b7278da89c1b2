"""Migrations go into an empty database by the real CLI, once, and stay within our two schemas."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from support.database import Database, Server, migration_files
from taximeter.stack.postgres import PostgresError, push_migrations

PLATFORM_SCHEMAS = frozenset(
    {"auth", "storage", "realtime", "vault", "net", "cron", "extensions", "supabase_migrations"}
)
OURS = frozenset({"public", "private"})

CATALOG = b"""
select 'relation' as kind, n.nspname::text as schema, c.relname::text as name, c.relacl::text as acl
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
union all
select 'function', n.nspname::text, p.oid::regprocedure::text, p.proacl::text || md5(p.prosrc)
from pg_proc as p
join pg_namespace as n on n.oid = p.pronamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
union all
select 'trigger', n.nspname::text, c.relname || '.' || t.tgname, null
from pg_trigger as t
join pg_class as c on c.oid = t.tgrelid
join pg_namespace as n on n.oid = c.relnamespace
where not t.tgisinternal
union all
select 'policy', schemaname::text, tablename || '.' || policyname, null from pg_policies
order by 1, 2, 3
"""

Catalog = set[tuple[str, str, str, str | None]]


def catalog(database: Database) -> Catalog:
    with psycopg.connect(database.url) as connection:
        return {(r[0], r[1], r[2], r[3]) for r in connection.execute(CATALOG).fetchall()}


def applied(database: Database) -> list[str]:
    query = b"select version || '_' || name as file from supabase_migrations.schema_migrations"
    return sorted(row["file"] for row in database.connect().execute(query).fetchall())


def test_an_empty_database_takes_them_all_and_a_second_push_changes_nothing(
    platform_db: Database,
) -> None:
    """TEST-01, STACK-01: `supabase db push` applies every file; again it finds nothing to do."""
    push_migrations(platform_db.url)
    assert applied(platform_db) == [path.stem for path in migration_files()]
    before = catalog(platform_db)

    said = push_migrations(platform_db.url)

    assert "up to date" in said
    assert catalog(platform_db) == before


def test_without_pg_cron_they_apply_and_say_so(platform_db: Database) -> None:
    """TIME-07, TEST-02: where pg_cron is absent nothing fails, and a notice says so."""
    notices: list[str] = []
    with psycopg.connect(platform_db.url) as connection:
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        for path in migration_files():
            # As the CLI does: one file, one transaction, with fresh session settings.
            connection.execute("reset all")
            connection.execute(path.read_bytes())
            connection.commit()
        row = connection.execute("select to_regnamespace('cron') is null").fetchone()
    assert row == (True,)
    assert any("pg_cron" in notice for notice in notices), notices


def test_the_hourly_job_is_scheduled_once_where_pg_cron_is(cron_db: Database) -> None:
    """TIME-07, TIME-05: the job for orphans is there by name, for postgres, and stays one."""
    connection = cron_db.connect()
    query = b"select jobname, schedule, username, active from cron.job order by jobname"
    jobs = connection.execute(query).fetchall()
    assert [job for job in jobs if "expire_orphaned" in job["jobname"].replace("-", "_")], jobs
    assert all(job["username"] == "postgres" and job["active"] for job in jobs)

    push_migrations(cron_db.url)

    assert connection.execute(query).fetchall() == jobs


def test_only_public_and_private_get_anything(server: Server, platform_db: Database) -> None:
    """MOD-01: every object lies in public or private, but for triggers and policies."""
    before = catalog(platform_db)
    migrated = server.clone(server.template())
    try:
        added = catalog(migrated) - before
    finally:
        migrated.drop()
    strangers = {
        item
        for item in added
        if item[1] not in OURS | {"supabase_migrations"} and item[0] not in {"trigger", "policy"}
    }
    assert strangers == set()
    outside = {
        (i[1], i[2].split(".")[0]) for i in added if i[1] not in OURS | {"supabase_migrations"}
    }
    allowed = {("auth", "users"), ("storage", "objects"), ("realtime", "messages")}
    assert outside <= allowed


def test_no_schema_but_private_is_made(db: Database) -> None:
    """MOD-01: the package adds one schema, private, and no client may look into it."""
    connection = db.connect()
    schemas = {
        row["nspname"]
        for row in connection.execute(
            "select nspname::text from pg_namespace"
            " where nspname !~ '^pg_' and nspname <> 'information_schema'"
        ).fetchall()
    }
    assert schemas - PLATFORM_SCHEMAS == OURS
    for role in ("anon", "authenticated"):
        row = connection.execute(
            "select has_schema_privilege(%s, 'private', 'create') as creates,"
            " has_schema_privilege(%s, 'public', 'create') as creates_in_public",
            (role, role),
        ).fetchone()
        assert row == {"creates": False, "creates_in_public": False}


@pytest.mark.parametrize("path", migration_files(), ids=lambda path: path.name)
def test_a_file_is_named_and_written_as_the_cli_wants(path: Path) -> None:
    """MOD-01: a version and a capability in the name; nothing one transaction cannot do."""
    assert re.fullmatch(r"\d{14}_[a-z][a-z_]*\.sql", path.name)
    text = re.sub(r"--[^\n]*", "", path.read_text())
    for forbidden in (r"^\s*(begin|commit|rollback)\s*;", r"^\\", r"create\s+index\s+concurrently"):
        outside_bodies = re.sub(r"\$(\w*)\$.*?\$\1\$", "''", text, flags=re.DOTALL)
        assert not re.search(forbidden, outside_bodies, re.IGNORECASE | re.MULTILINE), forbidden


def test_a_failing_migration_is_reported_and_leaves_nothing(
    platform_db: Database, tmp_path: Path
) -> None:
    """TEST-01: a file is one transaction, and the error says which one and why."""
    migrations = tmp_path / "supabase" / "migrations"
    migrations.mkdir(parents=True)
    (migrations / "20260101000100_half.sql").write_text(
        "create table public.half (id integer);\nselect 1 / 0;\n"
    )
    with pytest.raises(PostgresError, match="division by zero"):
        push_migrations(platform_db.url, tmp_path)
    row = platform_db.connect().execute("select to_regclass('public.half') as half").fetchone()
    assert row == {"half": None}
