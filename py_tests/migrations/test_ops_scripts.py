"""What operators run in psql, run as they run it."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from support import busy_day
from support.database import Database, Server
from support.world import World
from taximeter.stack.postgres import CHECKOUT

OPS = CHECKOUT / "sql" / "ops"
EXPORT = OPS / "export_session_requests.sql"
VERIFY = OPS / "verify-session-end-logic.sql"
MONITOR = OPS / "session-monitoring-queries.sql"
SCENARIOS = OPS / "test-session-end-scenarios.sql"
DIAGNOSTIC = OPS / "check-diagnostic-sessions.sql"
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


def psql(
    url: str, variables: Mapping[str, str], script: Path = EXPORT
) -> subprocess.CompletedProcess[str]:
    program = shutil.which("psql")
    assert program is not None, "psql is not installed. Run `make setup` as root."
    chosen = [f"--set={name}={value}" for name, value in variables.items()]
    return subprocess.run(
        [program, url, "--no-psqlrc", *chosen, "--quiet", "--file", str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run(db: Database, script: Path, **variables: str) -> str:
    """What a script prints that is not allowed to change anything, without a word of complaint."""
    finished = psql(f"{db.url}&options=-c%20default_transaction_read_only%3Don", variables, script)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return finished.stdout


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


@pytest.fixture(scope="module")
def busy(server: Server) -> Iterator[Database]:
    """Four hours of sessions, then trouble."""
    database = server.clone(server.template())
    with World(database) as world:
        busy_day.play(world, rhythm=(2, 0, 3, 2))
        busy_day.trouble(world)
    yield database
    database.drop()


def test_verification_of_a_healthy_database(db: Database) -> None:
    """MOV-01: eleven sections, all ok, readable, and nothing is changed."""
    # There is no pg_cron in this database.
    with World(db) as world:
        world.rows("select private.run_job(j.job) from private.jobs(false) j")
    printed = run(db, VERIFY).splitlines()
    assert [line.split()[:2] for line in printed[:11]] == [["ok", str(n)] for n in range(1, 12)]
    assert printed[11:] == ["", "Everything is as it should be."]


def test_verification_shows_what_is_wrong_and_what_settles_it(busy: Database) -> None:
    """MOV-01, MOV-02: the section, the subject, the command; from a time on only what is newer."""
    with World(busy) as world:
        items = world.rows("select kind, subject, command from public.sessions_needing_review")
        payout, dead = sorted(items, key=lambda item: item["kind"] != "payout")
        soon = str(world.row("select private.clock() + interval '1 minute' as at")["at"])
    assert (payout["kind"], dead["kind"]) == ("payout", "dead_outbox")
    printed = run(busy, VERIFY)
    told = [line for line in printed.splitlines() if line.startswith(("ok", "WARN", "FAIL"))]
    assert [line.split()[1] for line in told if line.startswith("FAIL")] == ["5", "11"]
    for item in items:
        assert str(item["subject"]) in printed
        assert str(item["command"]) in printed
    assert "2 of 11 sections are not ok." in printed
    assert "ok     9  state machine and replay" in run(busy, VERIFY, since=soon)


def test_monitoring_queries(busy: Database) -> None:
    """MOV-02, MOV-03, MOV-04: every question has its heading and its answer, read-only."""
    printed = run(busy, MONITOR)
    parts = re.split(r"(?m)^\d+\. ", printed)[1:]
    assert len(parts) == 16
    assert all("--" in part for part in parts)
    assert "select public.resolve_payout(" in parts[0]
    assert "tick-sessions" in parts[9]
    for line in ("live", "completed", "customer_no_show", "needs_reconciliation", "dead"):
        assert line in printed


def test_every_scenario_of_an_end(db: Database) -> None:
    """MOV-01, END-01, END-02, END-05: the six ends by this database's settings, and no trace."""
    with World(db) as world:
        before = world.rows(STATE)
        finished = psql(db.url, {}, SCENARIOS)
        assert finished.returncode == 0, finished.stderr
        rows = [
            [cell.strip() for cell in line.split("|")]
            for line in finished.stdout.splitlines()
            if "|" in line
        ]
        assert [row[:2] for row in rows[1:]] == [["ok", n] for n in "1234566"]
        assert "completed, completed, 60 s" in rows[4][4]
        assert "6 of 6 scenarios ended as they should." in finished.stdout

        world.call("system", "set_setting", p_key="min_billable_seconds", p_value=45)
        other = psql(db.url, {}, SCENARIOS)
        assert "completed, completed, 45 s" in other.stdout
        assert world.rows(STATE) == before


STATE = """
select (select count(*) from public.sessions) as sessions,
  (select count(*) from public.profiles) as profiles,
  (select count(*) from public.session_events) as events,
  (select count(*) from private.outbox) as effects,
  (select count(*) from private.ledger_entries) as entries,
  (select prosrc from pg_proc where oid = 'private.clock()'::regprocedure) as clock
"""


def test_a_scenario_that_ends_otherwise_is_an_error(db: Database) -> None:
    """MOV-01: a changed engine is seen, and psql says so to whoever called it."""
    with World(db) as world:
        world.execute("alter function private.lock_session(uuid) set lock_timeout = '1h'")
    finished = psql(db.url, {}, SCENARIOS)
    assert finished.returncode == 3
    assert "5 of 6 scenarios ended as they should." in finished.stdout
    assert "A scenario did not end as it should." in finished.stderr


def test_the_proofs_that_the_scenarios_name_are_there() -> None:
    """MOV-01, END-05: one transaction cannot race with itself; the tests that can do exist."""
    named = set(re.findall(r"test_\w+", SCENARIOS.read_text().split("begin;")[0]))
    there = "".join(
        path.read_text() for path in (CHECKOUT / "py_tests" / "concurrency").glob("test_*.py")
    )
    assert len(named) == 3
    assert {name for name in named if f"def {name}(" not in there} == set()


def test_diagnostic_sessions_are_checked(db: Database) -> None:
    """END-06, LEG-02, MOV-02: what is wrong with the older ones, and the command that ends one."""
    with World(db) as world:
        customer, mechanic = world.customer(), world.customer()
        overdue, never, well = (
            world.row(
                "insert into public.diagnostic_sessions"
                " (customer_user_id, mechanic_id, status, started_at, ended_at, duration_minutes)"
                " select %s, %s, %s::public.session_status, private.clock() - %s::interval,"
                " case when %s = 'completed' then private.clock() end, 30 returning id",
                customer,
                mechanic,
                status,
                ago,
                status,
            )["id"]
            for status, ago in (("live", "2 hours"), ("completed", None), ("live", "5 minutes"))
        )
        printed = run(db, DIAGNOSTIC)
        assert f"select * from public.end_session_with_semantics('{overdue}');" in printed
        assert re.search(rf"{never} \| completed \| completed, and it never started", printed)
        assert str(well) not in printed
        world.call("system", "end_session_with_semantics", p_session_id=overdue)
        assert str(overdue) not in run(db, DIAGNOSTIC)
