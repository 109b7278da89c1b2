"""What the scenes of the demo share: the stack, the numbered lines and how values are shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from rich.table import Table
from supabase import Client, ClientOptions, create_client

from taximeter.people import as_rows
from taximeter.stack.settings import StackError

if TYPE_CHECKING:
    from rich.console import Console

    from taximeter.people import Person, Row
    from taximeter.stack.settings import Keys


class Place(Protocol):
    """Where the demo is played: a stack that runs, or what stands for one."""

    @property
    def url(self) -> str: ...
    @property
    def database_url(self) -> str: ...
    @property
    def publishable_key(self) -> str: ...
    @property
    def keys(self) -> Keys | None: ...


@dataclass(frozen=True, slots=True)
class Cast:
    """Who of the first scene is needed again."""

    mechanic: Person
    operator: Person


class Stage:
    """Prints each step with its number and the time of the server."""

    def __init__(self, console: Console, stack: Place) -> None:
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
        """Something the database said by itself, below the step that caused it."""
        grid = _grid()
        grid.add_row("", clock(at), "", f"[magenta]»[/] {line}")
        self.console.print(grid)

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


def clock(value: str | None) -> str:
    return datetime.fromisoformat(value).strftime("%H:%M:%S.%f")[:-3] if value else ""


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
