"""What is written again and again leaves little behind, and no search pays for what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString

import pytest

from bench.machine import fill
from support.processes import until
from support.world import World, call_on

if TYPE_CHECKING:
    import psycopg
    from psycopg.rows import DictRow

    from support.database import Database
    from support.world import Connection

BEATS = 60
LIVE = 1200
BURST = 600
# Some pages of each index, full of entries that are known to be dead.
PAGES = 40

UPDATES: LiteralString = """
select n_tup_upd as updates, n_tup_hot_upd as hot from pg_stat_user_tables
where schemaname = 'public' and relname = %s
"""
# Neighbours in the order of their ends are no neighbours in the table.
SHUFFLED: LiteralString = """
set session_replication_role = 'replica';
update public.sessions
set expires_at = now() - abs(hashtext(id::text) % 100000) * interval '1 ms'
where expires_at < now();
reset session_replication_role
"""


def counted(connection: Connection) -> None:
    """Has it tell the statistics what it did."""
    connection.execute("select pg_stat_force_next_flush()")
    connection.execute("select 1")


def updates(world: World, table: str) -> tuple[int, int]:
    """How many rows were updated so far, and how many of these HOT."""
    row = world.row(UPDATES, table)
    return row["updates"], row["hot"]


def test_heartbeats_are_hot(db: Database) -> None:
    """PERF-04: a sign of life writes one row, and no index"""
    with World(db) as world:
        live = world.live_session()
        people = [world.connect(person) for person in (live.customer, live.mechanic)]
        for _ in range(BEATS):
            world.advance(10)
            for person in people:
                call_on(person, "heartbeat_session", p_session_id=live.id)
        for person in people:
            counted(person)
        # What the two did before they were in it may be counted or not.
        beats, hot = updates(world, "session_participants")
        assert 2 * BEATS <= beats <= 2 * BEATS + BEATS / 4
        assert hot >= beats * 0.95
        assert updates(world, "sessions")[0] < BEATS / 4


def searched(owner: psycopg.Connection[DictRow]) -> int:
    """How many pages the tick's search for what is due touches."""
    row = owner.execute(
        "explain (analyze, buffers, format json)"
        " select * from private.due_sessions(clock_timestamp(), 500, false)"
    ).fetchone()
    assert row is not None
    plan: dict[str, Any] = row["QUERY PLAN"][0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def tick(owner: psycopg.Connection[DictRow]) -> int:
    """How many sessions it ended."""
    row = owner.execute("select public.tick_sessions(500, 600) ->> 'ended' as ended").fetchone()
    assert row is not None
    return int(row["ended"])


@pytest.mark.rows_are_changed_by_hand
def test_a_burst_does_not_slow_the_ticks_after_it(db: Database) -> None:
    """PERF-03: the search passes over what has ended, once nobody can see it as live any more

    Whoever finds an entry dead marks it, so that only the first search after the burst pays, and
    without any vacuum. A transaction that is older than the burst keeps this from happening.
    """
    owner = db.connect("supabase_admin")
    for table in ("public.sessions", "public.session_participants", "public.session_assignments"):
        owner.execute(f"alter table {table} set (autovacuum_enabled = off)".encode())
    fill(owner, 1, LIVE, "people.sql", "live_sessions.sql")
    fill(owner, 1, BURST, "expire.sql")
    owner.execute(SHUFFLED)
    old = db.connect(autocommit=False)
    old.execute("set transaction isolation level repeatable read")
    old.execute("select count(*) from public.plans")
    assert tick(owner) + tick(owner) == BURST
    searched(owner)
    assert searched(owner) > BURST / 2
    old.rollback()
    # One tick sees that the old one is gone, the next finds its way clear: as soon as no writer of
    # another database, whose number is older, keeps the server from looking anew.
    until(lambda: tick(owner) == 0 and searched(owner) < PAGES)
