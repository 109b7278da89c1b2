"""PgBouncer in transaction mode between clients and the database (TEST-04).

What clients do through the API is tested with and without it in `integration`.
"""

from __future__ import annotations

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from crash.clients import acting
from crash.run import Episode, Totals
from crash.victim import Victim
from pooler.conftest import SIZE
from pooler.left_behind import ASKS_FOR_MORE, left_behind
from support.database import Run
from support.pooler import connect, pooler
from support.world import Row, World, call_on
from taximeter.operations import asking
from taximeter.stack.postgres import SUPERUSER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import Server

CLIENTS, ROUNDS = 50, 10
# At least one of each is seen before the play ends.
PLAYED = {"accept", "checkout", "claim", "complete", "end", "event", "extension", "grant", "join"}

WHO: LiteralString = """
select current_user::text as role, pg_backend_pid() as backend,
  nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub' as person
"""
BACKEND: LiteralString = "select pg_backend_pid() as pid"


def test_fifty_people_on_five_connections_never_see_each_other(
    world: World, through: Server
) -> None:
    """TEST-04, SEC-01: role, claims and rows are the caller's in every transaction, and between
    two transactions there are none."""
    sessions = {
        person: world.queued_session(person)[0]
        for person in (world.customer() for _ in range(CLIENTS))
    }
    start = threading.Barrier(CLIENTS)

    def visit(person: UUID) -> set[int]:
        chance, backends = random.Random(person.int), set()  # noqa: S311
        with connect(through, world.db.name) as connection:
            start.wait()
            for _ in range(ROUNDS):
                if chance.random() < 0.3:
                    nobody = connection.execute(WHO).fetchone()
                    assert nobody is not None
                    assert (nobody["role"], nobody["person"]) == ("authenticator", None)
                with acting(connection, person):
                    me = connection.execute(WHO).fetchone()
                    seen = connection.execute("select id from public.sessions").fetchall()
                    active = call_on(connection, "get_active_session")
                assert me is not None
                assert (me["role"], me["person"]) == ("authenticated", str(person))
                assert [row["id"] for row in seen + active] == [sessions[person]] * 2
                backends.add(me["backend"])
        return backends

    with ThreadPoolExecutor(CLIENTS) as pool:
        visited = list(pool.map(visit, sessions))
    assert 1 < len(set.union(*visited)) <= SIZE
    assert any(len(backends) > 1 for backends in visited)


def test_claims_of_a_session_would_leak(world: World, server: Server) -> None:
    """TEST-03: set for longer than a transaction, claims are the next client's; this is seen."""
    person = world.customer()
    with (
        pooler(server, 1) as narrow,
        connect(narrow, world.db.name) as careless,
        connect(narrow, world.db.name) as next_one,
    ):
        careless.execute(
            "select set_config('request.jwt.claims', %s, false)",
            (json.dumps({"sub": str(person)}),),
        )
        found = next_one.execute(WHO).fetchone()
        assert found is not None
        assert found["person"] == str(person)
        assert {"kind": "setting", "what": "request.jwt.claims"} in left_behind(next_one)


def test_twenty_parallel_ends_through_five_connections_are_one(
    world: World, through: Server
) -> None:
    """TEST-04, END-05: one end, one event, one effect of each kind."""
    made = world.live_session()
    world.advance(75)
    start = threading.Barrier(20)

    def end(person: UUID) -> Row:
        with connect(through, world.db.name) as connection:
            start.wait()
            with acting(connection, person):
                return call_on(connection, "end_session_with_semantics", p_session_id=made.id)[0]

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(end, [made.customer, made.mechanic] * 10))
    assert [answer.pop("already_ended") for answer in answers].count(False) == 1
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["final_status"] == "completed"
    assert world.event_types(made.id).count("ended") == 1
    assert len(world.rows("select from private.settlements where session_id = %s", made.id)) == 1
    assert world.rows("select * from public.ledger_invariants()") == []


def test_an_operator_may_ask_through_the_pooler(world: World, through: Server) -> None:
    """TEST-04, MOV-08: `taximeter health`, `verify`, `replay` and `explain`"""
    made = world.live_session()
    world.advance(75)
    world.call(made.customer, "end_session_with_semantics", p_session_id=made.id)
    url = through.url(world.db.name)
    assert asking.health(url).waiting == []
    assert len(asking.verify(url, None).sections) == 11
    with connect(through, world.db.name, "postgres") as connection:
        assert call_on(connection, "verify_replay") == []
        assert call_on(connection, "explain_session", p_session_id=made.id)


class Pooled(Victim):
    """A server whose clients come through a pooler; nobody kills it here."""

    through: Server

    def url(self, database: str, login: str) -> str:
        return self.through.url(database, login)


@contextmanager
def pooled() -> Iterator[Pooled]:
    run = Run.begin()
    made = Pooled(run.folder)
    try:
        made.start()
        with pooler(made.server, SIZE) as made.through:
            yield made
    finally:
        made.destroy()
        run.end()


@pytest.mark.slow
def test_paid_lives_leave_nothing_on_a_connection() -> None:
    """TEST-04, SEC-04: players, webhooks, workers and the jobs, more of them than connections;
    the books agree afterwards, and no server connection has kept anything."""
    totals = Totals()
    with pooled() as victim:
        episode = Episode(victim, "pooled", 1)
        episode.play_in_peace(lambda: episode.notebook.kinds() >= PLAYED, totals)
        print(totals)
        for login in ("authenticator", "postgres"):
            with psycopg.connect(victim.cluster.url(user=SUPERUSER)) as connection:
                kept = connection.execute(
                    "select pid from pg_stat_activity where datname = %s and usename = %s",
                    (episode.name, login),
                ).fetchall()
            with ExitStack() as stack:
                looked_at = set()
                for _ in range(SIZE):
                    client = stack.enter_context(connect(victim.through, episode.name, login))
                    # Open until all have been looked at, so that each has another one.
                    stack.enter_context(client.transaction())
                    assert left_behind(client) == []
                    looked_at |= {row["pid"] for row in client.execute(BACKEND)}
            assert kept
            assert {pid for (pid,) in kept} <= looked_at


@pytest.mark.parametrize(
    ("kind", "statement"),
    [
        ("role", "set role anon"),
        ("setting", "set search_path = private"),
        ("setting", "set statement_timeout = '60s'"),
        ("setting", "select set_config('taximeter.event', '{}', false)"),
        ("prepared statement", "prepare mine as select 1"),
        ("channel", "listen anything"),
        ("advisory lock", "select pg_advisory_lock(1)"),
        ("cursor", "declare mine cursor with hold for select 1"),
        ("temporary table", "create temporary table mine ()"),
    ],
)
def test_whatever_is_left_is_found(world: World, kind: str, statement: LiteralString) -> None:
    """TEST-03: each thing that a pooler would hand to the next client, and its text"""
    connection = world.connect("system")
    connection.execute("reset statement_timeout")
    assert left_behind(connection) == []
    connection.execute(sql.SQL(statement))
    assert kind in {row["kind"] for row in left_behind(connection)}
    assert ASKS_FOR_MORE.search(statement)


def test_no_function_asks_for_more_than_its_transaction(world: World) -> None:
    """TEST-04: nor does one that no test plays"""
    functions = world.rows(
        "select p.oid::regprocedure::text as name, p.prosrc as text from pg_proc p"
        " join pg_namespace n on n.oid = p.pronamespace where n.nspname in ('public', 'private')"
    )
    assert len(functions) > 300
    assert [row["name"] for row in functions if ASKS_FOR_MORE.search(row["text"])] == []


def test_what_prepares_statements_is_refused(world: World, server: Server) -> None:
    """TEST-04: so a client must be told not to, psycopg by prepare_threshold=None"""
    with pooler(server, 1) as narrow:
        url = narrow.url(world.db.name)
        with (
            psycopg.connect(url, autocommit=True, prepare_threshold=0) as first,
            psycopg.connect(url, autocommit=True, prepare_threshold=0) as second,
        ):
            first.execute("select 1")
            with pytest.raises(psycopg.errors.DuplicatePreparedStatement):
                second.execute("select 1")
