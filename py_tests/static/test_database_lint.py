"""SEC-03: what Supabase's own checks and plpgsql_check say of the migrated database."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from typing import Any

import pytest

from support.database import Database
from taximeter.stack.postgres import CHECKOUT

SCHEMAS = ("public", "private")

# What the advisors may say at INFO, and why it is right as it is.
ACCEPTED_INFO = {
    "unused_index": "A new database has run no queries; tests of plans tell which index serves.",
}


def supabase(db: Database, *arguments: str) -> dict[str, Any]:
    """What the real command line says of a database, without a project or an account."""
    with tempfile.TemporaryDirectory(prefix="taximeter-lint-") as home:
        finished = subprocess.run(
            [
                str(CHECKOUT / "node_modules" / ".bin" / "supabase"),
                *arguments,
                *(f"--remote={db.url}", "--workdir", home, "--output-format", "json"),
            ],
            cwd=home,
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": home,
                "DO_NOT_TRACK": "1",
                "NO_COLOR": "1",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    answer: dict[str, Any] = json.loads(finished.stdout)
    assert "results" in answer, finished.stdout + finished.stderr
    return answer


@pytest.fixture
def checked(db: Database) -> Database:
    """A scratch clone with plpgsql_check, which our migrations do not make."""
    db.server.need("plpgsql_check")
    with db.connect("supabase_admin") as admin:
        admin.execute("create extension if not exists plpgsql_check with schema extensions")
    return db


def test_lint_is_silent(checked: Database) -> None:
    """SEC-03: `supabase db lint` reports nothing at level warning."""
    answer = supabase(checked, "db", "lint", "--schema", ",".join(SCHEMAS), "--level", "warning")
    assert answer["results"] == []


def test_lint_can_fail(checked: Database) -> None:
    """SEC-03, TEST-03: the same run reports a function that cannot work."""
    with checked.connect() as connection:
        connection.execute(
            "create function private.broken() returns void language plpgsql"
            " as $$ begin perform absent from public.plans; end $$"
        )
    answer = supabase(checked, "db", "lint", "--schema", ",".join(SCHEMAS), "--level", "warning")
    assert [result["function"] for result in answer["results"]] == ["private.broken"]


def test_advisors_are_content(db: Database) -> None:
    """SEC-03: no WARN or ERROR on our schemas, and at INFO only what is accepted with a reason."""
    found = advice(db)
    assert [lint for lint in found if lint["level"] != "INFO"] == []
    assert {lint["name"] for lint in found} <= ACCEPTED_INFO.keys()


def test_advisors_can_fail(db: Database) -> None:
    """SEC-03, TEST-03: the same run reports a table without row level security."""
    with db.connect() as connection:
        connection.execute("create table public.naked (id integer primary key)")
        connection.execute("grant select on public.naked to anon")
    assert {"rls_disabled_in_public"} <= {lint["name"] for lint in advice(db)}


def advice(db: Database) -> list[dict[str, Any]]:
    answer = supabase(db, "db", "advisors", "--level", "info", "--fail-on", "none")
    ours: list[dict[str, Any]] = [
        lint
        for lint in answer["results"]
        if (lint.get("metadata") or {}).get("schema", "public") in SCHEMAS
    ]
    return ours


PLPGSQL_CHECK = """
select format('%s: %s %s: %s (line %s) %s', c.functionid::regprocedure, c.level, c.sqlstate,
  c.message, c.lineno, c.hint) as finding
from (
  select p.oid, t.*
  from pg_catalog.pg_proc p
  join pg_catalog.pg_language l on l.oid = p.prolang and l.lanname = 'plpgsql'
  left join (
    select distinct tgfoid, tgrelid, tgoldtable, tgnewtable from pg_catalog.pg_trigger
  ) t on t.tgfoid = p.oid
  where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
    and (p.prorettype <> 'trigger'::regtype or t.tgrelid is not null)
) f
cross join lateral extensions.plpgsql_check_function_tb(
  f.oid, coalesce(f.tgrelid, 0), oldtable => f.tgoldtable, newtable => f.tgnewtable,
  extra_warnings => true, security_warnings => true, performance_warnings => false
) c
"""


def test_plpgsql_check_is_silent(checked: Database) -> None:
    """SEC-03: extra and security warnings too; trigger functions are checked with their tables."""
    with checked.connect("supabase_admin") as admin:
        found = [row["finding"] for row in admin.execute(PLPGSQL_CHECK)]
    assert found == []


def test_every_trigger_function_has_a_table(db: Database) -> None:
    """SEC-03: a trigger function that fires nowhere would escape the check, and is dead."""
    with db.connect() as connection:
        idle = connection.execute(
            """
            select p.oid::regprocedure::text as name
            from pg_catalog.pg_proc p
            where p.prorettype = 'trigger'::regtype
              and p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
              and not exists (select from pg_catalog.pg_trigger t where t.tgfoid = p.oid)
            """
        ).fetchall()
    assert idle == []
