"""LEG-03: a database of the older system moves here, row by row, once, and says what became of it.

`legacy/old_database.sql` is such a database as it would be found; "now" is 2026-01-15 12:00 UTC.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from support.database import Database, Server
from support.world import Connection, Row, World, call_on, expect, meanwhile
from taximeter.stack.postgres import CHECKOUT, SUPERUSER, create_database, push_migrations

ADOPT = CHECKOUT / "sql" / "ops" / "adopt_legacy.sql"
OLD_DATABASE = Path(__file__).with_name("legacy") / "old_database.sql"
NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
OLD_TABLES = {
    "sessions",
    "session_participants",
    "session_requests",
    "diagnostic_sessions",
    "session_files",
    "session_extensions",
}

NEVER_STARTED = "without a mechanic it never started; decided as cancelled before accept"
GONE = "somebody in it does not exist any more, and is kept as a deleted person"
NOT_HERE = "its session is not here"

Outcome = tuple[str, str | None, str | None, str | None]

# What is awkward about each row, in its name: what became of it, from which status to which, why.
SESSIONS: dict[str, Outcome] = {
    "plain": ("imported", "completed", "completed", None),
    "ended_word": ("imported", "ended", "completed", None),
    "shouted": ("imported", " Completed ", "completed", None),
    "no_times": ("corrected", "completed", "cancelled", "decided as nobody joined"),
    "joined_only": ("imported", "completed", "completed", None),
    "too_short": ("corrected", "completed", "cancelled", "decided as too short"),
    "cancelled_long": ("corrected", "canceled", "completed", "decided as completed"),
    "expired_long": ("corrected", "expired", "completed", "decided as completed"),
    "expired_unstarted": ("imported", "expired", "expired", None),
    "live_overdue": (
        "corrected",
        "live",
        "completed",
        "its time was over; decided as completed",
    ),
    "ended_but_live": ("corrected", "live", "completed", "decided as completed"),
    "too_long": (
        "corrected",
        "completed",
        "completed",
        "no session is longer than 180 minutes; cut at its expiry",
    ),
    "extended_twice": (
        "corrected",
        "completed",
        "completed",
        "an extension counted twice: 15 minutes less; cut at its expiry",
    ),
    "future": (
        "corrected",
        "completed",
        "cancelled",
        "a time was in the future; decided as nobody joined",
    ),
    "backwards": (
        "corrected",
        "completed",
        "cancelled",
        "it ended before it started; decided as too short",
    ),
    "no_mechanic": (
        "corrected",
        "completed",
        "cancelled",
        NEVER_STARTED,
    ),
    "mechanic_elsewhere": ("imported", "completed", "completed", None),
    "of_one_person": (
        "corrected",
        "completed",
        "cancelled",
        f"customer and mechanic were one person; {NEVER_STARTED}",
    ),
    "dangling_customer": (
        "imported",
        "completed",
        "completed",
        GONE,
    ),
    "dangling_live": (
        "corrected",
        "live",
        "completed",
        f"{GONE}; decided as completed",
    ),
    "no_customer": ("rejected", "completed", None, "it has no customer"),
    "customer_elsewhere": ("imported", "completed", "completed", None),
    "unknown_status": ("corrected", "paused", "completed", "decided as completed"),
    "no_status": ("corrected", None, "cancelled", "decided as nobody joined"),
    "no_show": ("imported", "no_show", "cancelled", None),
    "called_off": ("imported", "cancelled", "cancelled", None),
    "unknown_plan": ("imported", "completed", "completed", "plan gold is legacy"),
    "renamed_plan": ("imported", "completed", "completed", "plan Video_30 is video15"),
    "in_both_tables": ("imported", "completed", "completed", None),
    "paid_once": ("imported", "completed", "completed", None),
    "paid_once_more": (
        "corrected",
        "pending",
        "cancelled",
        "its payment made the session {paid_once} already; decided as nobody joined",
    ),
    "newer_active": ("imported", "waiting", "waiting", None),
    "taken_lately": ("imported", "waiting", "waiting", None),
    "older_active": (
        "corrected",
        "live",
        "completed",
        "the customer has a newer active session; decided as completed",
    ),
    "live_now": ("imported", "in_progress", "live", None),
    "live_unstarted": ("corrected", "live", "waiting", "it goes on"),
    "pending_now": ("imported", "pending", "pending", None),
    "pending_forever": (
        "corrected",
        "pending",
        "expired",
        "nobody came for too long; decided as orphaned",
    ),
    "booked": ("imported", "scheduled", "scheduled", None),
    "booked_and_taken": ("corrected", "scheduled", "accepted", "it goes on"),
    "refunded": ("imported", "refunded", "refunded", None),
    "archived": ("imported", "archived", "archived", None),
    "there_twice": ("imported", "completed", "completed", None),
    "there_twice, again": ("skipped", "live", "completed", "already here"),
    "endless": ("corrected", "completed", "cancelled", "decided as nobody joined"),
    "no_minutes": ("imported", "completed", "completed", None),
    "follow_up": ("imported", "completed", "completed", None),
    "": ("rejected", "completed", None, "it has no id"),
}
OTHERS: dict[str, dict[str, Outcome]] = {
    "session_participants": {
        "in plain as customer": ("imported", "customer", "customer", None),
        "in plain as mechanic": ("imported", "expert", "mechanic", None),
        "in plain as customer again": ("skipped", "customer", "customer", "already here"),
        "in plain as first mechanic": ("imported", "mechanic", "mechanic", "gave the session back"),
        "in plain as observer": (
            "rejected",
            "observer",
            None,
            "neither customer nor mechanic of its session",
        ),
        "in ended_word as wrong role": ("corrected", "mechanic", "customer", None),
        "in joined_only as customer": ("imported", "client", "customer", None),
        "in joined_only as mechanic": ("imported", "technician", "mechanic", None),
        "in mechanic_elsewhere as mechanic": ("imported", "mechanic", "mechanic", None),
        "in customer_elsewhere as customer": ("imported", "customer", "customer", None),
        "in nowhere as customer": ("rejected", "customer", None, NOT_HERE),
    },
    "session_extensions": {
        "extension": ("imported", "applied", "applied", None),
        "extension again": (
            "skipped",
            "applied",
            "applied",
            "of a payment that is here already: it counts once",
        ),
        "extension pending": ("corrected", "pending", "failed", "it was never applied"),
        "extension given": ("rejected", "applied", None, "it has no price; its minutes count"),
        "extension of nothing": ("rejected", "applied", None, NOT_HERE),
        "extension now": ("imported", "applied", "applied", None),
    },
    "session_files": {
        "file": ("imported", None, None, None),
        "file of old path": ("rejected", None, None, "its path is not in the session's folder"),
        "file in another folder": (
            "rejected",
            None,
            None,
            "its path is not in the session's folder",
        ),
        "file without a name": ("imported", None, None, None),
        "file without a size": ("rejected", None, None, "it has no size"),
        "file of nothing": ("rejected", None, None, NOT_HERE),
    },
    "session_requests": {
        "request of plain": ("imported", "completed", "completed", None),
        "open request": (
            "corrected",
            "pending",
            "completed",
            "its session is over, or not here",
        ),
        "request of pending_now": ("imported", "pending", "pending", None),
        "request of nothing": (
            "corrected",
            "accepted",
            "expired",
            "its session is over, or not here",
        ),
    },
    "diagnostic_sessions": {
        "in_both_tables": ("skipped", "completed", None, "the session of this id counts"),
        "diagnostic alone": ("imported", "completed", "completed", None),
        "diagnostic overdue": ("corrected", "live", "completed", "decided by its times"),
        "diagnostic short": ("corrected", "completed", "cancelled", "decided by its times"),
        "diagnostic now": ("imported", "live", "live", None),
        "diagnostic of nobody": ("rejected", "live", None, "it has no customer"),
    },
}


def named(name: str) -> UUID:
    return UUID(hashlib.md5(name.encode(), usedforsecurity=False).hexdigest())


def expected() -> Counter[tuple[str, str | None, Outcome]]:
    """Every row of the old database, and what must become of it."""
    rows: Counter[tuple[str, str | None, Outcome]] = Counter()
    for source, outcomes in {"sessions": SESSIONS, **OTHERS}.items():
        for name, (action, before, after, note) in outcomes.items():
            old = str(named(name.removesuffix(", again"))) if name else None
            why = note and note.replace("{paid_once}", str(named("paid_once")))
            rows[source, old, (action, before, after, why)] += 1
    return rows


def reported(rows: list[Row]) -> Counter[tuple[str, str | None, Outcome]]:
    return Counter(
        (
            row["source"],
            row["id"],
            (row["action"], row["status_before"], row["status_after"], row["note"]),
        )
        for row in rows
    )


def rejected(rows: list[Row]) -> Counter[tuple[str, str | None, Outcome]]:
    return reported([row for row in rows if row["action"] == "rejected"])


def contents(database: Database) -> dict[str, str]:
    """A hash of every row of every table, the platform's included."""
    with psycopg.connect(database.url_for(SUPERUSER)) as connection:
        tables = connection.execute(
            "select n.nspname, c.relname from pg_class c"
            " join pg_namespace n on n.oid = c.relnamespace"
            " where c.relkind in ('r', 'p') and not c.relispartition"
            " and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"
        ).fetchall()
        found = {}
        for schema, table in tables:
            query = sql.SQL(
                "select md5(coalesce(string_agg(t::text, e'\\n' order by t::text), '')) from {} t"
            ).format(sql.Identifier(schema, table))
            row = connection.execute(query).fetchone()
            assert row is not None
            found[f"{schema}.{table}"] = row[0]
        return found


def adopt(database: Database, folder: Path = CHECKOUT) -> subprocess.CompletedProcess[str]:
    program = shutil.which("psql")
    assert program is not None, "psql is not installed. Run `make setup` as root."
    return subprocess.run(
        [program, database.url, "--no-psqlrc", "--quiet", "--file", str(ADOPT)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refused(database: Database, folder: Path = CHECKOUT) -> str:
    before = contents(database)
    finished = adopt(database, folder)
    assert finished.returncode != 0, finished.stdout
    assert contents(database) == before
    return finished.stderr


def old(database: Database) -> psycopg.Connection[dict[str, object]]:
    """A database of the older system, before anything was done to it."""
    connection = database.connect()
    connection.execute(OLD_DATABASE.read_bytes())
    return connection


@contextmanager
def moving(server: Server) -> Iterator[World]:
    """An old database after its tables were put aside and our migrations applied; nothing imported.

    Made once a run and then cloned. The name is one that the run tidies up.
    """
    name = f"taximeter_legacy_{server.folder.name.replace('-', '_')}"
    ready = server.folder / "taximeter_legacy.ready"
    platform = server.platform_template()
    with server.lock("legacy"):
        if not ready.exists():
            create_database(server.url(user=SUPERUSER), name, platform)
            template = Database(server, name)
            old(template)
            template.close()
            put_aside = adopt(template)
            assert put_aside.returncode == 0, put_aside.stderr
            push_migrations(template.url)
            ready.touch()
        database = server.clone(name)
    with World(database) as world:
        world.clock_at(NOW)
        yield world
    database.drop()


@pytest.fixture
def moved(server: Server) -> Iterator[World]:
    with moving(server) as world:
        yield world


@pytest.fixture
def going_on(moved: World) -> World:
    """After the import, for tests that go on from there."""
    moved.call("system", "import_legacy_sessions", p_dry_run=False)
    return moved


@pytest.fixture(scope="module")
def imported(server: Server) -> Iterator[World]:
    """After the import, for tests that only look."""
    with moving(server) as world:
        world.call("system", "import_legacy_sessions", p_dry_run=False)
        yield world


# Putting aside


def test_old_tables_go_aside_and_nobody_loses_a_row(platform_db: Database) -> None:
    """LEG-03, SEC-02: in legacy no client has a right, a policy, a broadcast or a function left."""
    owner = old(platform_db)
    before = {name.split(".")[1]: rows for name, rows in contents(platform_db).items()}

    first = adopt(platform_db)

    assert first.returncode == 0, first.stderr
    warned = [line.partition("WARNING:  ")[2] for line in first.stderr.splitlines()]
    assert sorted(filter(None, warned)) == [
        (
            "The foreign key vehicles_wanted_in_fkey of vehicles leads to legacy.session_requests:"
            " nothing new satisfies it."
        ),
        (
            "The trigger on_auth_user_created on auth.users calls welcome():"
            " if that writes what is in legacy now, signing up fails."
        ),
        "The view session_report reads legacy.sessions: look who may read the view, or drop it.",
    ]
    assert {row["tablename"] for row in tables(owner, "legacy")} == OLD_TABLES | {"profiles"}
    assert {row["tablename"] for row in tables(owner, "public")} == {"vehicles"}
    after = contents(platform_db)
    assert {name: after[f"legacy.{name}"] for name in OLD_TABLES} == {
        name: before[name] for name in OLD_TABLES
    }
    assert owner.execute("select from pg_policies where schemaname = 'legacy'").fetchall() == []
    assert owner.execute("select from pg_publication_tables").fetchall() == []
    rights = owner.execute(
        "select c.relname, r.name from pg_class c, unnest(array['anon', 'authenticated',"
        " 'service_role']) r (name) where c.relnamespace = 'legacy'::regnamespace"
        " and c.relkind = 'r' and (has_schema_privilege(r.name, 'legacy', 'usage')"
        " or has_table_privilege(r.name, c.oid, 'select, insert, update, delete'))"
    ).fetchall()
    assert rights == []
    functions = owner.execute(
        "select proname, has_function_privilege('anon', oid, 'execute') as is_open from pg_proc"
        " where pronamespace = 'legacy'::regnamespace"
    ).fetchall()
    assert functions == [{"proname": "end_session_with_semantics", "is_open": False}]

    again = adopt(platform_db)
    assert again.returncode == 0, again.stderr
    assert contents(platform_db) == after

    platform_db.connect(SUPERUSER).execute("delete from auth.users")
    kept = owner.execute("select count(*) as rows from legacy.diagnostic_sessions").fetchone()
    assert kept == {"rows": 6}


def tables(connection: psycopg.Connection[dict[str, object]], schema: str) -> list[Row]:
    return connection.execute(
        "select tablename from pg_tables where schemaname = %s", (schema,)
    ).fetchall()


def test_what_cannot_be_put_aside_stays_as_it_is(
    platform_db: Database, db: Database, tmp_path: Path
) -> None:
    """LEG-03: new tables, a name that is taken, a wrong folder: a clear word, and no change."""
    assert "the new ones already" in refused(db)

    owner = old(platform_db)
    assert "from the root of the checkout" in refused(platform_db, tmp_path)
    owner.execute("create schema private")
    assert "There is a schema private already" in refused(platform_db)
    owner.execute("drop schema private")
    owner.execute("create schema legacy create table sessions (id uuid)")
    assert "There is a legacy.sessions already" in refused(platform_db)


# Importing


def test_every_row_is_reported_once_and_imported_once(moved: World) -> None:
    """LEG-03: a dry run says the same and changes nothing; again finds everything here."""
    assert len([name for name, row in SESSIONS.items() if row != SESSIONS["plain"]]) >= 20
    untouched = contents(moved.db)

    dry = moved.call("system", "import_legacy_sessions")
    assert contents(moved.db) == untouched

    done = moved.call("system", "import_legacy_sessions", p_dry_run=False)

    assert reported(done) == expected()
    assert dry == done
    after = contents(moved.db)
    assert {name for name in after if after[name] != untouched[name]} == {
        "private.ops_log",
        "private.session_corrections",
        "public.diagnostic_sessions",
        "public.mechanics",
        "public.plans",
        "public.profiles",
        "public.session_assignments",
        "public.session_events",
        "public.session_extensions",
        "public.session_files",
        "public.session_participants",
        "public.session_requests",
        "public.sessions",
        "realtime.messages",
    }

    again = moved.call("system", "import_legacy_sessions", p_dry_run=False)
    assert contents(moved.db) == after
    assert {row["action"] for row in again} == {"skipped", "rejected"}
    assert rejected(again) == rejected(done)


def test_only_admins_and_the_system_import(moved: World) -> None:
    """LEG-03, MOD-08: not customers, mechanics or visitors, whatever they hand in."""
    admin = named("admin")
    moved.call("system", "set_user_role", p_user_id=admin, p_role="admin")
    for caller in (moved.customer(), moved.mechanic()):
        with expect("role_required", 403):
            moved.call(caller, "import_legacy_sessions", p_dry_run=False)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        moved.call("anon", "import_legacy_sessions")
    assert moved.rows("select from public.sessions") == []
    assert len(moved.call("service_role", "import_legacy_sessions")) == expected().total()
    done = moved.call(admin, "import_legacy_sessions", p_dry_run=False)
    assert reported(done) == expected()
    corrections = moved.rows("select distinct corrected_by from private.session_corrections")
    assert corrections == [{"corrected_by": admin}]


def test_history_is_what_it_was_but_for_what_the_rules_contradict(imported: World) -> None:
    """LEG-03, END-02, END-03, TIME-06: times, expiry, seconds and reasons of awkward rows."""

    def told(name: str, *columns: str) -> tuple[object, ...]:
        row = imported.session(named(name))
        return tuple(row[column] for column in columns)

    def ran(name: str) -> tuple[object, ...]:
        return told(name, "duration_minutes", "duration_seconds", "end_reason")

    plain = imported.session(named("plain"))
    assert (plain["started_at"], plain["ended_at"], plain["expires_at"]) == (
        datetime(2025, 3, 2, 10, tzinfo=UTC),
        datetime(2025, 3, 2, 10, 30, tzinfo=UTC),
        datetime(2025, 3, 2, 10, 45, tzinfo=UTC),
    )
    assert (plain["funding"], plain["price_cents"], plain["billable_seconds"]) == (
        "paid",
        1500,
        1800,
    )
    assert told("ended_word", "funding", "price_cents", "plan") == ("free", 0, "chat10")
    assert "cs_test" not in str(plain)
    assert ran("no_times") == (45, 0, "nobody_joined")
    assert told("joined_only", "started_at") == (datetime(2025, 3, 6, 10, 5, tzinfo=UTC),)
    assert ran("too_short") == (45, 20, "too_short")
    assert ran("live_overdue") == (45, 2700, "completed")
    assert ran("too_long") == (180, 10800, "completed")
    assert ran("extended_twice") == (60, 3600, "completed")
    assert ran("backwards") == (45, 0, "too_short")
    assert ran("no_show") == (45, 0, "mechanic_no_show")
    assert ran("called_off") == (45, 0, "cancelled_by_customer")
    assert ran("in_both_tables") == (45, 2400, "completed")
    assert ran("no_minutes") == (45, 2700, "completed")
    assert told("paid_once_more", "funding", "price_cents") == ("paid", 0)
    assert told("older_active", "ended_at", "duration_seconds") == (NOW, 2400)
    assert told("dangling_live", "ended_at", "duration_seconds") == (NOW, 600)
    cut = imported.rows("select id from public.sessions where metadata ? 'auto_ended'")
    assert {row["id"] for row in cut} == {named("too_long"), named("live_overdue")}
    follow_up = imported.session(named("follow_up"))["metadata"]["legacy"]
    assert (follow_up["is_follow_up"], follow_up["parent_session_id"]) == (
        True,
        str(named("plain")),
    )

    gone = imported.row(
        "select p.display_name, p.deleted_at, m.status, m.is_accepting from public.profiles p"
        " join public.mechanics m using (id) where p.id = '9e2f1e2c-0000-4000-8000-000000000002'"
    )
    assert gone == {
        "display_name": None,
        "deleted_at": NOW,
        "status": "pending",
        "is_accepting": False,
    }
    plan = imported.row("select type, is_active from public.plans where slug = 'legacy'")
    assert plan == {"type": "chat", "is_active": False}


def test_the_record_tells_it_and_the_ledger_is_clean(imported: World) -> None:
    """LEG-03, MOV-06, MON-03: replay gives every row, corrections included; no money moved."""
    assert imported.call("system", "verify_replay") == []
    assert imported.call("system", "ledger_invariants") == []
    assert imported.call("system", "apply_semantic_fix") == []
    verified = imported.call("system", "verify_session_end_logic", p_since="-infinity")
    # The clock is moved; no job has run.
    wrong = [row for row in verified if row["status"] != "ok" and row["section"] < 11]
    assert wrong == []
    assert imported.rows("select from private.ledger_transfers") == []
    assert imported.rows("select from public.mechanic_earnings") == []

    corrected = imported.rows(
        "select c.session_id, c.from_status, c.to_status from private.session_corrections c"
    )
    assert {(row["session_id"], row["from_status"], row["to_status"]) for row in corrected} == {
        (named("too_short"), "completed", "cancelled"),
        (named("backwards"), "completed", "cancelled"),
        (named("cancelled_long"), "cancelled", "completed"),
        (named("expired_long"), "expired", "completed"),
    }
    assert imported.event_types(named("plain")) == ["created"]
    assert imported.event_types(named("too_short")) == ["created", "corrected"]
    events = imported.rows(
        "select type, payload, occurred_at from public.session_events where session_id = %s"
        " order by id",
        named("too_short"),
    )
    assert events[0]["payload"]["to"] == "completed"
    assert events[0]["payload"]["rule"]["min_billable_seconds"] == 60
    assert (events[1]["payload"]["from"], events[1]["payload"]["to"]) == ("completed", "cancelled")
    assert events[1]["payload"]["before"]["status"] == "completed"
    assert events[1]["payload"]["row"]["end_reason"] == "too_short"

    # Every CHECK holds, of the rows as they are now.
    for table in ("sessions", "session_participants", "session_extensions", "session_files"):
        touch = sql.SQL("update public.{} set created_at = created_at").format(
            sql.Identifier(table)
        )
        imported.db.connect().execute(touch)


def test_nobody_is_told_of_history(imported: World) -> None:
    """LEG-03, NOTE-01, NOTE-02, RT-02: the feed hears of what waits, the rest is silent."""
    for quiet in (
        "select from public.notifications",
        "select from private.outbox",
        "select from public.session_upsells",
        "select from public.payouts",
        "select from private.settlements",
        "select from private.session_failures",
    ):
        assert imported.rows(quiet) == []
    heard = imported.rows(
        "select topic, event, payload ->> 'session_id' as id from realtime.messages"
    )
    live = f"session:{named('live_now')}"
    assert Counter((row["topic"], row["event"], row["id"]) for row in heard) == {
        ("session_assignments_feed", "new_assignment", str(named("pending_now"))): 1,
        ("session_assignments_feed", "new_assignment", str(named("booked"))): 1,
        (live, "session:participant", str(named("live_now"))): 2,
    }


def test_what_belongs_to_a_session_comes_along(going_on: World) -> None:
    """LEG-03, FILE-02, LEG-01, LEG-02: people, extensions, files, requests, diagnostics."""
    people = going_on.rows(
        "select user_id, role, left_at, closed_at is not null as is_closed"
        " from public.session_participants where session_id = %s",
        named("plain"),
    )
    assert {(p["user_id"], p["role"], p["is_closed"]) for p in people} == {
        (named("customer 1"), "customer", False),
        (named("mechanic"), "mechanic", False),
        (named("first mechanic"), "mechanic", True),
    }
    alone = going_on.rows(
        "select s.id from public.sessions s where s.mechanic_id is not null and 2 > ("
        "select count(*) from public.session_participants p where p.session_id = s.id"
        " and p.closed_at is null)"
    )
    assert alone == []

    assert going_on.row(
        "select minutes, price_cents, currency, status, applied_at from"
        " public.session_extensions where session_id = %s",
        named("extended_twice"),
    ) == {
        "minutes": 15,
        "price_cents": 500,
        "currency": "usd",
        "status": "applied",
        "applied_at": datetime(2025, 3, 14, 10, 40, tzinfo=UTC),
    }
    files = going_on.call(named("customer 1"), "list_session_files", p_session_id=named("plain"))
    assert {(row["name"], row["type"], row["size"]) for row in files} == {
        ("engine.jpg", "image/jpeg", 1000),
        ("c.bin", "application/octet-stream", 5),
    }

    moved = going_on.call("system", "archive_session_requests", p_before=NOW - timedelta(hours=1))
    assert moved == [{"archive_session_requests": 2}]
    again = going_on.call("system", "import_legacy_sessions", p_dry_run=False)
    assert {row["action"] for row in again} == {"skipped", "rejected"}

    ended = going_on.one(
        "system", "end_session_with_semantics", p_session_id=named("diagnostic now")
    )
    assert (ended["final_status"], ended["duration_seconds"]) == ("completed", 600)
    kept = going_on.row(
        "select metadata from public.diagnostic_sessions where id = %s", named("diagnostic alone")
    )["metadata"]
    assert (kept["obd"], kept["end_reason"], kept["duration_seconds"]) == (
        "P0300",
        "completed",
        2400,
    )


def test_nothing_is_swept_while_files_are_set_aside(going_on: World) -> None:
    """LEG-03, FILE-03: an object without a row may still get one, until legacy is gone."""
    going_on.db.connect(SUPERUSER).execute(
        "insert into storage.objects (bucket_id, name, created_at)"
        " values ('session-files', 'uploads/a.jpg', '2025-03-02')"
    )
    assert going_on.row("select private.sweep_files(10) as swept") == {"swept": 0}
    going_on.execute("drop schema legacy cascade")
    assert going_on.row("select private.sweep_files(10) as swept") == {"swept": 1}
    assert going_on.call("system", "import_legacy_sessions", p_dry_run=False) == []


def test_two_imports_take_turns_and_a_new_session_comes_first(moved: World) -> None:
    """LEG-03, MOD-05: the second finds everything here; a customer who just began keeps the new."""
    customer = named("customer 34")
    creating = moved.connect(customer, autocommit=False)
    new = call_on(creating, "create_session", p_plan="chat10")[0]["id"]
    first, second = (moved.connect("system", autocommit=False) for _ in range(2))

    def run(connection: Connection) -> list[Row]:
        rows = call_on(connection, "import_legacy_sessions", p_dry_run=False)
        connection.commit()
        return rows

    with meanwhile(lambda: run(first)) as done:
        moved.wait_until_blocked(first)
        with meanwhile(lambda: run(second)) as again:
            moved.wait_until_blocked(second)
            creating.commit()
            outcome = reported(done.result())
            assert {row["action"] for row in again.result()} == {"skipped", "rejected"}
            assert rejected(again.result()) == rejected(done.result())

    why = "the customer has a newer active session; decided as cancelled before accept"
    changed = ("corrected", "pending", "cancelled", why)
    assert outcome["sessions", str(named("pending_now")), changed] == 1
    assert (outcome - expected()).total() == 2  # that session, and the request it had made
    assert moved.session(new)["status"] == "pending"


# What was going on goes on


def test_a_live_session_goes_on(going_on: World) -> None:
    """LEG-03, TIME-03: with its expiry, its people and its time so far; it ends as any."""
    live, customer, mechanic = named("live_now"), named("customer 33"), named("mechanic")
    row = going_on.session(live)
    assert row["expires_at"] == datetime(2026, 1, 15, 12, 35, tzinfo=UTC)
    going_on.advance(60)
    for person in (customer, mechanic):
        assert going_on.one(person, "join_session", p_session_id=live)["status"] == "live"
    going_on.advance(60)
    ended = going_on.one(customer, "end_session_with_semantics", p_session_id=live)
    assert (ended["final_status"], ended["duration_seconds"], ended["payout_cents"]) == (
        "completed",
        720,
        0,
    )
    assert going_on.call("system", "ledger_invariants") == []
    assert going_on.call("system", "verify_replay") == []


def test_a_live_session_to_which_nobody_comes_ends_at_the_import(going_on: World) -> None:
    """LEG-03, END-02: both were there until then, and no later time is billed."""
    going_on.advance(3600)
    going_on.call("system", "tick_sessions")
    row = going_on.session(named("live_now"))
    assert (row["status"], row["ended_at"], row["billable_seconds"]) == ("completed", NOW, 600)


def test_what_waits_is_in_the_queue_and_what_is_booked_comes(going_on: World) -> None:
    """LEG-03: a new mechanic takes a pending one; the mechanic of a waiting one starts it."""
    mechanic = going_on.mechanic()
    offered = going_on.call(mechanic, "mechanic_queue")
    assert {row["session_id"] for row in offered} == {named("pending_now"), named("booked")}
    assignment = going_on.assignment(named("pending_now"))
    going_on.call(mechanic, "accept_assignment", p_assignment_id=assignment)

    waiting = named("newer_active")
    for person in (named("customer 32"), named("mechanic")):
        joined = going_on.one(person, "join_session", p_session_id=waiting)
    assert joined["status"] == "live"

    going_on.clock_at(datetime(2026, 1, 20, 9, 0, 1, tzinfo=UTC))
    going_on.call("system", "tick_sessions")
    assert going_on.session(named("booked"))["status"] == "pending"
    assert going_on.session(named("booked_and_taken"))["status"] == "waiting"
    assert going_on.call("system", "verify_replay") == []


# Somebody else's old database


def test_a_database_with_fewer_and_other_columns(db: Database) -> None:
    """LEG-03: missing tables and columns, text for times: what is there is read."""
    with World(db) as world:
        world.clock_at(NOW)
        customer, mechanic = world.customer(), world.mechanic()
        world.execute("create schema legacy")
        world.execute(
            "create table legacy.sessions (id text, customer_user_id text, mechanic_id uuid,"
            " status text, started_at text, ended_at timestamp)"
        )
        for status, started, ended, person in (
            ("ended", "2025-06-01T10:00:00Z", "2025-06-01 10:20", str(customer)),
            ("ended", "2025-13-45 10:00", "2025-06-02 10:20", str(customer)),
            ("live", "soon", None, str(customer)),
            ("ended", None, None, "nobody"),
        ):
            world.execute(
                "insert into legacy.sessions values (gen_random_uuid(), %s, %s, %s, %s, %s)",
                person,
                mechanic,
                status,
                started,
                ended,
            )
        world.execute("set timezone = 'Asia/Tokyo'")
        rows = world.call("system", "import_legacy_sessions", p_dry_run=False)
        assert Counter((row["status_before"], row["status_after"]) for row in rows) == {
            ("ended", "completed"): 1,
            ("ended", "cancelled"): 1,
            ("live", "waiting"): 1,
            ("ended", None): 1,
        }
        found = world.row("select duration_seconds from public.sessions where status = 'completed'")
        assert found == {"duration_seconds": 1200}
        assert world.call("system", "verify_replay") == []


def test_a_row_that_cannot_be_stops_no_other(db: Database) -> None:
    """LEG-03: it is rejected with the database's words, and what it did is taken back."""
    with World(db) as world:
        world.clock_at(NOW)
        world.execute("create schema legacy")
        world.execute(
            "create table legacy.sessions as select gen_random_uuid() as id, 'ended' as status,"
            " gen_random_uuid() as customer_user_id, g as duration_minutes"
            " from generate_series(1, 3) as g"
        )
        world.execute(
            "alter table public.sessions add constraint no_two_minutes"
            " check (duration_minutes <> 2)"
        )
        rows = world.call("system", "import_legacy_sessions", p_dry_run=False)
        assert sorted(row["action"] for row in rows) == ["corrected", "corrected", "rejected"]
        assert ["no_two_minutes" in (row["note"] or "") for row in rows].count(True) == 1
        assert len(world.rows("select from public.sessions")) == 2
        assert len(world.rows("select from public.profiles where deleted_at is not null")) == 2
