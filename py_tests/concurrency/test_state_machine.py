"""The state machine and the event log hold for every login, over its own connection."""

from __future__ import annotations

from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from support.world import Connection, Refusal, World, call_on, expect, meanwhile

LEGAL: dict[str, set[str]] = {
    "pending": {"waiting", "accepted", "scheduled", "cancelled", "expired", "unattended"},
    "scheduled": {"pending", "accepted", "waiting", "live", "cancelled", "expired"},
    "accepted": {
        "waiting",
        "live",
        "reconnecting",
        "scheduled",
        "pending",
        "cancelled",
        "expired",
    },
    "waiting": {"live", "pending", "cancelled", "expired"},
    "live": {"reconnecting", "completed", "cancelled", "expired"},
    "reconnecting": {"live", "completed", "cancelled", "expired"},
    "completed": {"refunded", "archived"},
    "cancelled": {"refunded", "archived"},
    "expired": {"refunded", "archived"},
    "unattended": {"refunded", "archived"},
    "refunded": {"archived"},
    "archived": set(),
}
WAY_THERE: dict[str, tuple[str, ...]] = {
    "pending": (),
    "scheduled": ("scheduled",),
    "accepted": ("accepted",),
    "waiting": ("waiting",),
    "live": ("waiting", "live"),
    "reconnecting": ("waiting", "live", "reconnecting"),
    "completed": ("waiting", "live", "completed"),
    "cancelled": ("cancelled",),
    "expired": ("expired",),
    "unattended": ("unattended",),
    "refunded": ("cancelled", "refunded"),
    "archived": ("cancelled", "archived"),
}
LOGINS = ("postgres", "service_role", "supabase_admin")


def _connection_of(world: World, login: str) -> Connection:
    if login == "service_role":
        return world.connect("service_role", autocommit=False)
    return world.db.connect(login, autocommit=False)


def _set_status(connection: Connection, session: UUID, status: str) -> None:
    done = connection.execute(
        "update public.sessions set status = %s where id = %s", (status, session)
    )
    assert done.rowcount == 1


@pytest.mark.parametrize("login", LOGINS)
def test_raw_updates_of_status_follow_the_table(world: World, login: str) -> None:
    """MOD-04: over a login's own connection every legal arc passes and every other one fails."""
    session, _ = world.queued_session()
    seen: dict[tuple[str, str], str] = {}
    with _connection_of(world, login) as connection:
        for start, way in WAY_THERE.items():
            for target in LEGAL:
                if target == start:
                    continue
                for step in way:
                    _set_status(connection, session, step)
                try:
                    _set_status(connection, session, target)
                    seen[start, target] = "ok"
                except psycopg.Error as error:
                    refusal = Refusal.of(error)
                    seen[start, target] = f"{refusal.status} {refusal.code}"
                connection.rollback()
    assert seen == {
        (start, target): "ok" if target in LEGAL[start] else "409 illegal_transition"
        for start in LEGAL
        for target in LEGAL
        if start != target
    }


@pytest.mark.parametrize("login", LOGINS)
def test_committed_raw_update_leaves_version_and_event(world: World, login: str) -> None:
    """MOD-04: what a login commits by hand is on record as a status_changed event."""
    session, _ = world.queued_session()
    version = world.session(session)["version"]
    with _connection_of(world, login) as connection:
        _set_status(connection, session, "cancelled")
        connection.commit()
    row = world.session(session)
    assert row["status"] == "cancelled"
    assert row["version"] == version + 1
    assert row["ended_at"] is not None
    assert world.event_types(session) == ["created", "status_changed"]


@pytest.mark.parametrize("login", ["postgres", "supabase_admin"])
@pytest.mark.parametrize("verb", ["update", "delete", "truncate"])
def test_event_log_refuses_its_owner_and_the_superuser(world: World, login: str, verb: str) -> None:
    """MOD-03: UPDATE, DELETE and TRUNCATE of the event log fail for every role, owner included."""
    statement = {
        "update": "update public.session_events set type = 'other' where true",
        "delete": "delete from public.session_events where true",
        "truncate": "truncate public.session_events",
    }[verb]
    session, _ = world.queued_session()
    with (
        world.db.connect(login) as connection,
        pytest.raises(psycopg.Error, match="append-only"),
    ):
        connection.execute(sql.SQL(statement))
    assert world.event_types(session) == ["created"]


def test_a_raw_update_that_waited_is_judged_by_what_it_finds(world: World) -> None:
    """MOD-04: two raw updates of one row: the second is held against the state the first left."""
    session, _ = world.queued_session()
    with (
        world.db.connect("postgres", autocommit=False) as first,
        world.db.connect("postgres") as second,
    ):
        _set_status(first, session, "cancelled")

        def wait_then_move() -> list[dict[str, object]]:
            _set_status(second, session, "waiting")
            return []

        with meanwhile(wait_then_move) as later:
            world.wait_until_blocked(second)
            first.commit()
            with expect("illegal_transition", 409):
                later.result(timeout=10)
    assert world.session(session)["status"] == "cancelled"


def test_a_correction_of_another_transaction_is_no_licence(world: World) -> None:
    """MOD-04: a correction arc needs its row from the same transaction, not from one before."""
    made = world.live_session()
    world.advance(75)
    world.call(made.customer, "end_session_with_semantics", p_session_id=made.id)
    licence = (
        "insert into private.session_corrections"
        " (session_id, from_status, to_status, reason, before, after)"
        " values (%s, 'completed', 'cancelled', 'a test', '{}', '{}')"
    )
    with world.db.connect("postgres", autocommit=False) as connection:
        connection.execute(licence, (made.id,))
        connection.commit()
        with expect("illegal_transition", 409):
            _set_status(connection, made.id, "cancelled")
        connection.rollback()
        connection.execute(licence, (made.id,))
        _set_status(connection, made.id, "cancelled")
        connection.commit()
    assert world.session(made.id)["status"] == "cancelled"


@pytest.mark.rows_are_changed_by_hand
def test_without_its_trigger_the_state_machine_is_open(world: World) -> None:
    """MOD-04, TEST-03: the trigger is what refuses; disabled, the same UPDATE passes."""
    session, _ = world.queued_session()
    illegal = "update public.sessions set status = 'archived', ended_at = now() where id = %s"
    with expect("illegal_transition", 409):
        world.execute(illegal, session)
    world.execute("alter table public.sessions disable trigger status_follows_the_state_machine")
    assert world.execute(illegal, session) == 1


def test_parallel_accepts_of_one_mechanic_meet_at_his_row(world: World) -> None:
    """QUE-03: the second accept waits on the mechanic's row, not on a session."""
    mechanic = world.mechanic()
    first = world.connect(mechanic, autocommit=False)
    second = world.connect(mechanic)
    one, other = (world.queued_session()[1] for _ in range(2))
    call_on(first, "accept_assignment", p_assignment_id=one)
    with meanwhile(lambda: call_on(second, "accept_assignment", p_assignment_id=other)) as later:
        world.wait_until_blocked(second)
        waited_for = world.rows(
            "select distinct relation::regclass::text as name from pg_locks"
            " where pid = %s and locktype = 'tuple' and granted",
            second.info.backend_pid,
        )
        first.rollback()
        assert later.result(timeout=10)[0]["mechanic_id"] == mechanic
    assert {row["name"].removeprefix("public.") for row in waited_for} == {"mechanics"}
