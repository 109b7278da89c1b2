"""Whatever is wrong with Realtime, a session goes on; its health says what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from support.database import Database
from support.world import World, call_on
from taximeter.stack.postgres import SUPERUSER

LIFE = ["created", "accepted", "joined", "joined", "started", "ended"]
SENT, TODAY, TOMORROW = "messages sent", "partition today", "partition tomorrow"


@pytest.fixture
def world(db: Database) -> Iterator[World]:
    with World(db) as made:
        # Not beside midnight, whose partitions the tests make and take away.
        now = datetime.now(UTC)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        made.clock_at(min(now, midnight - timedelta(minutes=30)))
        yield made


def play(world: World) -> list[str]:
    """The events of a session of 61 seconds."""
    made = world.live_session()
    world.advance(61)
    ended = world.one(made.customer, "end_session_with_semantics", p_session_id=made.id)
    assert (ended["final_status"], ended["duration_seconds"]) == ("completed", 61)
    return world.event_types(made.id)


def sick(world: World) -> set[str]:
    checks = world.rows("select * from private.realtime_health()")
    assert all(check["detail"] for check in checks)
    return {str(check["check_name"]) for check in checks if not check["is_ok"]}


def partition(name: str, first: int, end: int) -> str:
    """A partition from so many days after today."""
    today = datetime.now(UTC).date()
    bounds = [(today + timedelta(days=days)).isoformat() for days in (first, end)]
    return (
        f"create table realtime.messages_of_{name} partition of realtime.messages"
        f" for values from ('{bounds[0]}') to ('{bounds[1]}');"
    )


def test_a_healthy_one(world: World) -> None:
    """RT-04: nothing is wrong while everything is there; nor when a session was told."""
    assert sick(world) == set()
    assert play(world) == LIFE
    assert sick(world) == set()
    told = world.rows("select event from realtime.messages where topic like 'session:%%'")
    assert len(told) == len(LIFE) - 1


@dataclass(frozen=True)
class Damage:
    """What is broken, and which checks say so."""

    statements: str
    sick: frozenset[str]
    logged: str | None = None


NO_PARTITION = "drop table realtime.messages_default;"
SEND = (
    "create or replace function realtime.send"
    "(payload jsonb, event text, topic text, private boolean default true) returns void"
)
DAMAGES = {
    # realtime.send as it is swallows its errors: the messages are lost without a word.
    "no partition": Damage(NO_PARTITION, frozenset({SENT, TODAY, TOMORROW})),
    "no partition for today": Damage(
        NO_PARTITION + partition("tomorrow", 1, 2), frozenset({SENT, TODAY})
    ),
    "no partition for tomorrow": Damage(
        NO_PARTITION + partition("yesterday", -1, 0) + partition("today", 0, 1),
        frozenset({TOMORROW}),
    ),
    "partitions of a day each": Damage(
        NO_PARTITION + partition("today", 0, 1) + partition("tomorrow", 1, 2), frozenset()
    ),
    "one partition for a week": Damage(NO_PARTITION + partition("week", -1, 6), frozenset()),
    "a send that raises": Damage(
        SEND + " language plpgsql as 'begin raise exception ''out of order''; end'",
        frozenset({SENT}),
        "out of order",
    ),
    "a send that loses": Damage(SEND + " language sql as 'select'", frozenset({SENT})),
    "no send": Damage("drop function realtime.send(jsonb, text, text, boolean)", frozenset({SENT})),
    "no table": Damage("drop table realtime.messages cascade", frozenset()),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_session_goes_on(world: World, damage: Damage) -> None:
    """RT-04: the same life whatever is broken, and the health says what is; what was lost is
    spoken of for an hour."""
    with psycopg.connect(world.db.url_for(SUPERUSER)) as owner:
        owner.execute(damage.statements.encode())

    assert play(world) == LIFE

    assert sick(world) == damage.sick
    logged = world.rows(
        "select distinct detail ->> 'error' as error from private.ops_log"
        " where kind = 'broadcast.failed'"
    )
    assert [row["error"] for row in logged] == ([damage.logged] if damage.logged else [])
    world.advance(3601)
    assert sick(world) - {TODAY, TOMORROW} == set()


def test_a_table_that_somebody_holds(world: World) -> None:
    """RT-04: while realtime.messages is locked a command goes on without its message, well within
    the eight seconds that the platform gives a signed-in user's statement."""
    customer = world.connect(world.customer())
    customer.execute("set statement_timeout = '8s'")
    with psycopg.connect(world.db.url_for(SUPERUSER)) as holder:
        holder.execute("lock table realtime.messages in access exclusive mode")
        session = call_on(customer, "create_session", p_plan="chat10")[0]["id"]
        call_on(customer, "join_session", p_session_id=session)
        holder.rollback()
    assert world.event_types(session) == ["created", "joined"]
    assert call_on(customer, "leave_session", p_session_id=session)
    told = world.rows("select payload -> 'is_connected' as came from realtime.messages")
    assert [row["came"] for row in told] == [False]


def test_a_message_that_cannot_be_made(world: World) -> None:
    """RT-04: nor does a command fail because what it would say makes no sense."""
    made = world.live_session()
    # What an older system may have left in there.
    world.execute(
        """update public.sessions set metadata = '{"auto_ended": "by the nightly script"}'"""
        " where id = %s",
        made.id,
    )
    ended = world.one(made.customer, "end_session_with_semantics", p_session_id=made.id)
    assert ended["already_ended"] is False
    assert world.session(made.id)["status"] == ended["final_status"]


def test_policies_can_be_written_again(world: World) -> None:
    """RT-01, RT-04: an operator repairs the policies by one call, and nobody else can."""
    with psycopg.connect(world.db.url_for(SUPERUSER)) as owner:
        owner.execute('drop policy "people receive on their own topics" on realtime.messages')
    for _ in range(2):
        assert world.row("select private.setup_realtime() as done") == {"done": True}
    found = world.rows(
        "select cmd from pg_policies where schemaname = 'realtime' and tablename = 'messages'"
    )
    assert sorted(row["cmd"] for row in found) == ["INSERT", "SELECT"]
    service = world.connect("service_role")
    for statement in (
        b"select private.setup_realtime()",
        b"select private.broadcast('user:x', 'session:ended', '{}')",
        b"select * from private.realtime_health()",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            service.execute(statement)
