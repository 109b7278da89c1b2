"""People, sessions and a clock for tests that speak to the database over real connections.

A `World` sits on one test database. People come to be as they do in production: a row in
`auth.users`, written by the role that Auth uses, and the trigger makes the profile. Clients
connect as `authenticator` and carry a role and claims, so that every call passes the grants,
the policies and the check of the caller that a browser's call passes.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, LiteralString, Self, TypeAlias
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from support.database import Database

Connection: TypeAlias = psycopg.Connection[DictRow]
Row: TypeAlias = dict[str, Any]
Caller: TypeAlias = UUID | str

BLOCK_TIMEOUT_SECONDS = 10.0

_CLOCK_TABLE: LiteralString = """
create table if not exists private.test_clock (
  only_row boolean primary key default true check (only_row),
  reading timestamptz not null
)
"""

# A definer function, because rules read the clock with the caller's rights too.
_CLOCK_FUNCTION: LiteralString = """
create or replace function private.clock() returns timestamptz
language sql volatile security definer set search_path = ''
as $$ select reading from private.test_clock $$
"""


@dataclass(frozen=True)
class Refusal:
    """What a refused call told its caller."""

    status: int | None
    code: str
    detail: str | None

    @classmethod
    def of(cls, error: psycopg.Error) -> Refusal:
        state = error.sqlstate or ""
        status = int(state[2:]) if state.startswith("PT") and state[2:].isdigit() else None
        return cls(status, error.diag.message_primary or str(error), error.diag.message_detail)


@dataclass
class Refused:
    """Filled by `expect` once the block has been refused."""

    error: psycopg.Error | None = None

    @property
    def detail(self) -> str | None:
        assert self.error is not None
        return self.error.diag.message_detail

    @property
    def hint(self) -> str | None:
        assert self.error is not None
        return self.error.diag.message_hint


@contextmanager
def expect(code: str, status: int) -> Iterator[Refused]:
    """The block must be refused with this code and this HTTP status."""
    seen = Refused()
    try:
        yield seen
    except psycopg.Error as error:
        seen.error = error
        got = Refusal.of(error)
        if (got.code, got.status) != (code, status):
            message = f"expected {code} ({status}), got {got.code} ({error.sqlstate}): {got.detail}"
            raise AssertionError(message) from error
        return
    raise AssertionError(f"expected {code} ({status}), but the call succeeded")


@dataclass(frozen=True)
class Live:
    """A session with the two people in it."""

    id: UUID
    customer: UUID
    mechanic: UUID
    assignment: UUID


class World:
    """Actors of one test database."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._system = db.connect("postgres")
        self._auth = db.connect("supabase_auth_admin")
        self._callers: dict[Caller, Connection] = {}
        self._opened: list[Connection] = [self._system, self._auth]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        for connection in self._opened:
            connection.close()
        self._opened.clear()
        self._callers.clear()

    # people

    def customer(self, name: str | None = None) -> UUID:
        person = uuid4()
        self._auth.execute(
            "insert into auth.users (id, aud, role, email, raw_user_meta_data)"
            " values (%s, 'authenticated', 'authenticated', %s, '{}')",
            (person, f"{person}@example.test"),
        )
        if name is not None:
            self.call(person, "update_profile", p_display_name=name)
        return person

    def mechanic(self, approved: bool = True, name: str | None = None) -> UUID:
        person = self.customer(name)
        self.call(person, "apply_as_mechanic", p_specialties=["brakes"])
        if approved:
            self.call("system", "set_mechanic_status", p_mechanic_id=person, p_status="approved")
        return person

    def admin(self) -> UUID:
        person = self.customer()
        self.call("system", "set_user_role", p_user_id=person, p_role="admin")
        return person

    # connections and calls

    def connect(self, caller: Caller, autocommit: bool = True) -> Connection:
        """A connection of its own, acting as a user, as `anon`, `service_role` or the system."""
        user = "postgres" if caller == "system" else "authenticator"
        connection = self.db.connect(user, autocommit=True)
        self._opened.append(connection)
        # A missing lock rule shows as a failure, not as a test that never ends.
        connection.execute("set statement_timeout = '60s'")
        if caller != "system":
            role = "authenticated" if isinstance(caller, UUID) else caller
            claims: dict[str, str] = {"role": role}
            if isinstance(caller, UUID):
                claims["sub"] = str(caller)
            connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
            connection.execute(
                "select set_config('request.jwt.claims', %s, false)", (json.dumps(claims),)
            )
        connection.autocommit = autocommit
        return connection

    def as_user(self, uid: UUID, autocommit: bool = True) -> Connection:
        return self.connect(uid, autocommit=autocommit)

    def call(self, caller: Caller, function: str, **params: object) -> list[Row]:
        """The rows of one function call, made by name as a client makes it."""
        if caller == "system":
            return call_on(self._system, function, **params)
        if caller not in self._callers:
            self._callers[caller] = self.connect(caller)
        return call_on(self._callers[caller], function, **params)

    def one(self, caller: Caller, function: str, **params: object) -> Row:
        rows = self.call(caller, function, **params)
        assert len(rows) == 1, f"{function} returned {len(rows)} rows"
        return rows[0]

    def rows(self, query: LiteralString, *params: object) -> list[Row]:
        """What the owner of the database sees."""
        return self._system.execute(query, params).fetchall()

    def execute(self, statement: LiteralString, *params: object) -> int:
        """A statement of the owner's; how many rows it touched."""
        return self._system.execute(statement, params).rowcount

    def row(self, query: LiteralString, *params: object) -> Row:
        found = self.rows(query, *params)
        assert len(found) == 1, f"{len(found)} rows"
        return found[0]

    def session(self, session: UUID) -> Row:
        return self.row("select * from public.sessions where id = %s", session)

    def event_types(self, session: UUID) -> list[str]:
        found = self.rows(
            "select type from public.session_events where session_id = %s order by id", session
        )
        return [str(event["type"]) for event in found]

    # the clock

    def clock_at(self, reading: datetime) -> None:
        """Stops the clock of this database, for every connection, at one reading."""
        self._system.execute(_CLOCK_TABLE)
        self._system.execute(
            "insert into private.test_clock (reading) values (%s)"
            " on conflict (only_row) do update set reading = excluded.reading",
            (reading,),
        )
        self._system.execute(_CLOCK_FUNCTION)

    def now(self) -> datetime:
        reading = self.row("select private.clock() as reading")["reading"]
        assert isinstance(reading, datetime)
        return reading

    def advance(self, seconds: float) -> None:
        self.clock_at(self.now() + timedelta(seconds=seconds))

    # sessions

    def queued_session(
        self, customer: UUID | None = None, plan: str = "chat10"
    ) -> tuple[UUID, UUID]:
        """A pending session and its assignment."""
        created = self.one(customer or self.customer(), "create_session", p_plan=plan)
        return created["id"], self.assignment(created["id"])

    def assignment(self, session: UUID) -> UUID:
        found = self.row(
            "select id from public.session_assignments where session_id = %s", session
        )["id"]
        assert isinstance(found, UUID)
        return found

    def waiting_session(self, plan: str = "chat10") -> Live:
        customer, mechanic = self.customer(), self.mechanic()
        session, assignment = self.queued_session(customer, plan)
        self.call(mechanic, "accept_assignment", p_assignment_id=assignment)
        return Live(session, customer, mechanic, assignment)

    def live_session(self, plan: str = "chat10") -> Live:
        made = self.waiting_session(plan)
        self.call(made.customer, "join_session", p_session_id=made.id)
        joined = self.one(made.mechanic, "join_session", p_session_id=made.id)
        assert joined["status"] == "live"
        return made

    # concurrency

    def waits(self, connection: Connection) -> bool:
        """Whether this connection waits at this moment for a lock that another client here holds.

        (Not for autovacuum, nor for the lock of a whole cluster that everybody takes who notifies.)
        """
        found = self.rows(
            "select from pg_stat_activity a where a.pid = any(pg_blocking_pids(%s))"
            " and a.datname = current_database() and a.backend_type = 'client backend'",
            connection.info.backend_pid,
        )
        return bool(found)

    def wait_until_blocked(self, connection: Connection) -> None:
        """Returns once this connection's backend really waits for somebody else's lock."""
        deadline = time.monotonic() + BLOCK_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if self.waits(connection):
                return
            time.sleep(0.01)
        raise AssertionError(f"backend {connection.info.backend_pid} never waited for a lock")


def call_on(connection: Connection, function: str, **params: object) -> list[Row]:
    """One function call by name on a connection of the caller's choice."""
    arguments = sql.SQL(", ").join(
        sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in params
    )
    query = sql.SQL("select * from public.{}({})").format(sql.Identifier(function), arguments)
    values = {
        name: Jsonb(value) if isinstance(value, dict) or name == "p_value" else value
        for name, value in params.items()
    }
    return connection.execute(query, values).fetchall()


@dataclass
class Outcomes:
    """What each of several simultaneous calls got, in the order they were given."""

    answers: list[list[Row]]
    refusals: list[Refusal]

    @property
    def codes(self) -> set[str]:
        return {refusal.code for refusal in self.refusals}


def race(calls: Sequence[tuple[Connection, str, Mapping[str, object]]]) -> Outcomes:
    """Lets every call go at the same moment, each on its own connection, and collects all ends."""
    gate = threading.Barrier(len(calls))

    def run(connection: Connection, function: str, params: Mapping[str, object]) -> list[Row]:
        gate.wait(timeout=BLOCK_TIMEOUT_SECONDS)
        return call_on(connection, function, **params)

    outcomes = Outcomes([], [])
    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        for future in [pool.submit(run, *one) for one in calls]:
            try:
                outcomes.answers.append(future.result())
            except psycopg.Error as error:
                outcomes.refusals.append(Refusal.of(error))
    return outcomes


@contextmanager
def meanwhile(work: Callable[[], list[Row]]) -> Iterator[Future[list[Row]]]:
    """Runs a call in the background while the block goes on with another connection."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield pool.submit(work)
