"""A standby answers every question about the sessions, and refuses every command (TEST-04)."""

from __future__ import annotations

from typing import TYPE_CHECKING, LiteralString

import psycopg
import pytest
from psycopg import sql

from support import busy_day
from support.database import Database
from support.world import World
from taximeter.operations import asking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from replicas.pair import Pair
    from support.busy_day import Day
    from support.world import Live

NAME = "read"

# Of the public schema: what an operator reads, and what a client may select from.
VIEWS: LiteralString = """
select c.relname as name from pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v')
order by 1
"""

MONITORING: LiteralString = """
select c.relname as name from pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind = 'v'
"""


@pytest.fixture(scope="module")
def played(servers: Pair) -> tuple[Day, Live]:
    """A day of sessions, the trouble of it and a live session, on both."""
    servers.clone(NAME)
    with World(Database(servers.server, NAME)) as world:
        day = busy_day.play(world, rhythm=(2, 0, 3, 2))
        busy_day.trouble(world)
        live = world.live_session()
    servers.standby.catch_up()
    return day, live


@pytest.fixture
def day(played: tuple[Day, Live]) -> Day:
    return played[0]


@pytest.fixture
def live(played: tuple[Day, Live]) -> Live:
    return played[1]


@pytest.fixture
def primary(servers: Pair, played: tuple[Day, Live]) -> Iterator[World]:  # noqa: ARG001
    with World(Database(servers.server, NAME)) as world:
        yield world


@pytest.fixture
def standby(servers: Pair, played: tuple[Day, Live]) -> Iterator[World]:  # noqa: ARG001
    with World(Database(servers.standby_server, NAME)) as world:
        yield world


def test_every_table_and_view_reads_as_on_the_primary(primary: World, standby: World) -> None:
    """TEST-04, MOV-08: monitoring, metrics and what clients select, row for row"""
    names = [row["name"] for row in primary.rows(VIEWS)]
    assert {row["name"] for row in primary.rows(MONITORING)} >= {
        "sessions_needing_review",
        "alert_rates",
        "metrics_session_outcomes",
        "session_revenue_impact",
    }
    for name in names:
        query = sql.SQL("select to_jsonb(t) as row from {} t order by 1").format(
            sql.Identifier("public", name)
        )
        here, there = (world.db.connect().execute(query).fetchall() for world in (standby, primary))
        assert here == there, name


@pytest.mark.parametrize("caller", ["system", "service_role"])
@pytest.mark.parametrize(
    ("function", "names"),
    [
        ("session_health_dashboard", ()),
        ("calculate_session_health_score", ()),
        ("verify_session_end_logic", ()),
        ("ledger_invariants", ()),
        ("verify_replay", ()),
        ("replay_session", ("p_session_id",)),
        ("explain_session", ("p_session_id",)),
    ],
)
def test_every_audit_answers_as_on_the_primary(
    primary: World, standby: World, day: Day, function: str, names: tuple[str, ...], caller: str
) -> None:
    """TEST-04, MOV-01, MOV-04, MOV-06, MOV-07"""
    arguments = dict.fromkeys(names, day.completed)
    assert standby.call(caller, function, **arguments) == primary.call(
        caller, function, **arguments
    )


def test_the_operators_commands_may_ask_a_standby(standby: World, day: Day) -> None:
    """TEST-04, MOV-08: `taximeter health`, `verify`, `explain` and `replay` with its address"""
    url, session = standby.db.url, str(day.completed)
    assert asking.health(url).status == "fail"
    assert len(asking.verify(url, None).sections) == 11
    assert asking.explain(url, session)["session"]
    assert asking.replay_one(url, session).difference is None
    assert asking.replay_all(url, None) == []


def test_a_client_reads_from_a_standby(standby: World, live: Live) -> None:
    """TEST-04, MOD-03: its rows, their effective status, and what only looks"""
    (row,) = standby.as_user(live.customer).execute(
        "select status, s.effective_status from public.sessions s"
    )
    assert (row["status"], row["effective_status"]) == ("live", "live")
    people = standby.call(live.customer, "session_people", p_session_id=live.id)
    assert {person["user_id"] for person in people} == {live.customer, live.mechanic}
    # Nothing is due in it, so there is nothing to write down first.
    assert standby.one(live.customer, "my_sessions")["id"] == live.id


@pytest.mark.parametrize(
    "function",
    [
        "join_session",
        "heartbeat_session",
        "end_session_with_semantics",
        # These look, and take it for a sign of life.
        "get_active_session",
        "session_snapshot",
    ],
)
def test_a_standby_refuses_commands(standby: World, live: Live, function: str) -> None:
    """TEST-04: by PostgreSQL's own error, which PostgREST answers with 405"""
    arguments = {} if function == "get_active_session" else {"p_session_id": live.id}
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match="read-only transaction"):
        standby.call(live.customer, function, **arguments)


def test_what_is_due_is_not_written_down_there(
    servers: Pair, primary: World, standby: World, live: Live
) -> None:
    """TEST-04, MOD-03: the effective status is right there too, and `my_sessions` refuses"""
    then = primary.now()
    try:
        primary.advance(3600)
        servers.standby.catch_up()
        (row,) = standby.as_user(live.customer).execute(
            "select status, s.effective_status from public.sessions s"
        )
        assert row["status"] == "live"
        assert row["effective_status"] != "live"
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            standby.call(live.customer, "my_sessions")
    finally:
        primary.clock_at(then)
        servers.standby.catch_up()
