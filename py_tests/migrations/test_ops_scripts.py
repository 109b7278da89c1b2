"""What operators run in psql, run as they run it."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime

from support.database import Database
from support.world import World
from taximeter.stack.postgres import CHECKOUT

EXPORT = CHECKOUT / "sql" / "ops" / "export_session_requests.sql"
COLUMNS = [
    "id",
    "session_id",
    "customer_id",
    "mechanic_id",
    "session_type",
    "plan_code",
    "status",
    "created_at",
    "accepted_at",
    "updated_at",
    "metadata",
    "is_archived",
]
NASTY = 'He said: "stop, or",\nthen; a \\ and a \t tab, é and 車 \'$$'


def psql(url: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    program = shutil.which("psql")
    assert program is not None, "psql is not installed. Run `make setup` as root."
    chosen = [f"--set={name}={value}" for name, value in variables.items()]
    return subprocess.run(
        [program, url, "--no-psqlrc", *chosen, "--file", str(EXPORT)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def export(db: Database, **variables: str) -> list[dict[str, str]]:
    finished = psql(db.url, variables)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    reader = csv.DictReader(io.StringIO(finished.stdout, newline=""))
    found = list(reader)
    assert list(reader.fieldnames or []) == COLUMNS
    return found


def test_export_of_the_old_queue(db: Database) -> None:
    """LEG-01: the queue and its archive as CSV, every row once, as it was, oldest first."""
    assert export(db) == []
    with World(db) as world:
        for day in range(1, 13):
            world.execute(
                "insert into public.session_requests"
                " (session_id, customer_id, plan_code, status, created_at, metadata)"
                " values (case when %s then gen_random_uuid() end, gen_random_uuid(),"
                " %s, 'completed', %s, jsonb_build_object('note', %s::text))",
                day % 2 == 0,
                f"plan {day}",
                datetime(2025, day, 1, tzinfo=UTC),
                NASTY,
            )
        before = world.rows("select id, session_id from public.session_requests order by plan_code")
        moved = world.one(
            "system", "archive_session_requests", p_before=datetime(2025, 7, 1, tzinfo=UTC)
        )
        assert moved == {"archive_session_requests": 6}

        rows = export(db)

        assert [row["plan_code"] for row in rows] == [f"plan {day}" for day in range(1, 13)]
        assert [row["is_archived"] for row in rows] == ["t"] * 6 + ["f"] * 6
        assert {(row["id"], row["session_id"]) for row in rows} == {
            (str(row["id"]), str(row["session_id"] or "")) for row in before
        }
        assert all(json.loads(row["metadata"]) == {"note": NASTY} for row in rows)
        assert rows[0]["created_at"] == "2025-01-01 00:00:00+00"


def test_export_of_a_time_window(db: Database) -> None:
    """LEG-01: since is the first moment that counts, until the first that does not any more."""
    with World(db) as world:
        for month in (3, 4, 5, 6):
            world.execute(
                "insert into public.session_requests (plan_code, created_at) values (%s, %s)",
                str(month),
                datetime(2025, month, 1, tzinfo=UTC),
            )
        world.call("system", "archive_session_requests", p_before=datetime(2025, 5, 1, tzinfo=UTC))

    def exported(**variables: str) -> str:
        return "".join(row["plan_code"] for row in export(db, **variables))

    assert exported(since="2025-04-01", until="2025-06-01") == "45"
    assert exported(since="2025-04-01 00:00:01") == "56"
    assert exported(until="2025-05-01 02:00+02") == "34"
    assert exported(since="2026-01-01") == ""
    refused = psql(db.url, {"since": "soon'"})
    assert refused.returncode != 0
    assert "invalid input syntax" in refused.stderr
    assert refused.stdout == ""


def test_export_changes_nothing_and_needs_the_owner(db: Database) -> None:
    """LEG-01, SEC-01: it runs in a read-only session, and not as a client's role."""
    read_only = psql(f"{db.url}&options=-c%20default_transaction_read_only%3Don", {})
    assert read_only.returncode == 0, read_only.stderr
    refused = psql(db.url_for("authenticator"), {})
    assert refused.returncode != 0
    assert "permission denied" in refused.stderr
