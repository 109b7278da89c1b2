"""What the scenes of the demo share: the stack, the numbered lines and how values are shown."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, LiteralString, TypeVar

import psycopg
from rich.table import Table
from supabase import Client, ClientOptions, create_client

from taximeter.people import as_rows
from taximeter.stack.settings import StackError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from taximeter.demo.hearing import Message
    from taximeter.people import Person, Row
    from taximeter.stack.supervisor import Stack

T = TypeVar("T")

# Longer than a retry takes to come due and the job to come by.
SETTLE_SECONDS = 60.0
JOB_SECONDS = 10.0
LOOK_SECONDS = 0.05
# What every message says besides what it is about.
COMMON = {"status", "version", "server_now", "created_at", "uploaded_by"}

_WAITING: LiteralString = """
select
  o.topic, o.key, o.status, o.attempts,
  extract(epoch from coalesce(o.leased_until, o.next_attempt_at) - private.clock()),
  coalesce(o.last_error, 'nobody said why')
from private.outbox o
where o.status in ('pending', 'leased')
order by o.id
"""


@dataclass(frozen=True, slots=True)
class Cast:
    """Who of the first scene is needed again."""

    mechanic: Person
    operator: Person


class Stage:
    """Prints each step with its number and the time of the server, and what is heard meanwhile."""

    def __init__(self, console: Console, stack: Stack) -> None:
        self.console = console
        self.stack = stack
        self._step = 0

    def service(self) -> Client:
        """The official client with the secret key, as an edge function has it."""
        if self.stack.keys is None:
            raise StackError("The stack is not running.", "Start it with `taximeter up`.")
        options = ClientOptions(auto_refresh_token=False, persist_session=False)
        return create_client(self.stack.url, self.stack.keys.secret, options)

    def scene(self, title: str) -> None:
        self.console.rule(f"[bold]{title}[/]", align="left")

    def say(self, topic: str, line: str, row: Row | None = None) -> None:
        self._step += 1
        grid = _grid()
        grid.add_row(str(self._step), _server_time(row), f"[bold cyan]{topic}[/]", line)
        self.console.print(grid)

    def hear(self, at: str | None, line: str) -> None:
        """Something that was said without having been asked for, when it came."""
        grid = _grid()
        grid.add_row("", clock(at), "", f"[magenta]»[/] {line}")
        self.console.print(grid)

    def heard(self, client: str, message: Message) -> None:
        """A broadcast, as it comes to a client."""
        payload = message.payload
        line = f"{client}: [bold]{message.event}[/]"
        if "version" in payload:
            line += f" v{payload['version']} {status(payload)}"
        what = ", ".join(
            f"{key} {_shown(value)}"
            for key, value in payload.items()
            if key not in COMMON and not key.endswith("id") and value is not None
        )
        self.hear(payload.get("server_now") or payload.get("created_at"), f"{line}  {what}")

    def settle(self, operator: Person) -> None:
        """Waits until all of the outbox is carried out; the database itself wakes who does it.

        What it woke nobody for, and what is to be tried again, the job catches (MON-19). On a fast
        clock the jobs stand still, so it is called by hand, as often as pg_cron would.
        """
        begun = called = time.monotonic()
        while waiting := _waiting(operator):
            now = time.monotonic()
            if now > begun + SETTLE_SECONDS:
                raise StackError(f"{waiting} effects still wait in the outbox.", self._what_waits())
            if now > called + JOB_SECONDS:
                called = now
                with self._database() as connection:
                    connection.execute("select private.run_job('dispatch-outbox')")
            time.sleep(LOOK_SECONDS)

    def _what_waits(self) -> str:
        """What nobody carried out, and what became of the last try; the logs are soon removed."""
        with self._database() as connection:
            rows = connection.execute(_WAITING).fetchall()
        return "\n".join(
            f"{topic} {key}: {state}, attempts {attempts}, due in {seconds:.0f} s: {error}"
            for topic, key, state, attempts, seconds, error in rows
        )

    def _database(self) -> psycopg.Connection:
        return psycopg.connect(self.stack.database_url, autocommit=True)

    def show_events(self, operator: Person, session_id: str) -> None:
        query = operator.client.table("session_events").select("*")
        events = as_rows(query.eq("session_id", session_id).order("id").execute().data)
        table = Table("id", "server time", "event", "by", "version", "what", title="Event log")
        for event in events:
            table.add_row(
                str(event["id"]),
                clock(event["occurred_at"]),
                f"[bold]{event['type']}[/]",
                str(event["actor_role"] or ""),
                str(event["version"]),
                _summary(event["payload"]),
            )
        self.console.print(table)

    def show_result(self, result: Row) -> None:
        table = Table(title="The end, as the server decided it", show_header=False)
        for key, value in result.items():
            table.add_row(key, "" if value is None else str(value))
        self.console.print(table)


def status(row: Row, key: str = "status") -> str:
    return f"[green]{row[key]}[/]"


def money(cents: int) -> str:
    return f"{Decimal(cents).scaleb(-2):.2f}"


def require(actual: object, expected: object) -> None:
    """The demo shows what is so, or fails."""
    if actual != expected:
        raise StackError(f"It is {actual}, not {expected}.", "Please report this.")


def only(found: Iterable[T]) -> T:
    """The one thing that there is; two would be one too many."""
    things = list(found)
    require(len(things), 1)
    return things[0]


def clock(value: str | None) -> str:
    return datetime.fromisoformat(value).strftime("%H:%M:%S.%f")[:-3] if value else ""


def _shown(value: object) -> str:
    """A value of a message; of a time, only the clock's part."""
    try:
        return clock(value) if isinstance(value, str) else str(value).lower()
    except ValueError:
        return str(value)


def _waiting(operator: Person) -> int:
    (metric,) = (
        metric
        for metric in operator.rows("session_health_dashboard")
        if (metric["category"], metric["metric"]) == ("outbox", "waiting")
    )
    return int(metric["value"])


def _grid() -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(justify="right", style="dim", width=2)
    grid.add_column(justify="right", style="dim", width=12)
    grid.add_column(width=8)
    grid.add_column()
    return grid


def _summary(payload: Row) -> str:
    """What a payload says, short enough for a line: the move, the warning, or who it is about."""
    if "to" in payload:
        move = f"{payload.get('from') or 'nothing'} → {payload['to']}"
        return f"{move}, {payload['reason']}" if payload.get("reason") else move
    if "minutes" in payload:
        return f"{payload['minutes']} min left"
    return str(payload.get("role", ""))


def _server_time(row: Row | None) -> str:
    if row is None:
        return ""
    return clock(row.get("updated_at") or row.get("ended_at") or row.get("created_at"))
