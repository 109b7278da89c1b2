"""One session from sign-up to its end, played through the official Supabase client.

Everything a person does here is done with that person's own token over the API; only the first
admin is made by the operator, as in production. The demo brings up a stack of its own, in its own
folder, and removes it again.
"""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from rich.panel import Panel
from rich.table import Table
from supabase import PostgrestAPIError

from taximeter.people import Person, Row, as_rows, grant_admin, sign_up
from taximeter.stack import supervisor
from taximeter.stack.postgres import home
from taximeter.stack.settings import Settings, StackError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

MIN_BILLABLE_SECONDS = 2
FAILED_BY_SIGNAL = 143
PLAN = "chat10"
STRANGER_READS = ("sessions", "session_participants", "session_assignments", "session_events")


class Script:
    """Plays the steps in order and prints each with the time of the server."""

    def __init__(self, console: Console, stack: supervisor.Stack) -> None:
        self._console = console
        self._stack = stack
        self._step = 0

    def play(self, wait_seconds: int) -> None:
        customer, mechanic, operator, stranger = self._people()
        self._appoint(operator, mechanic)
        session_id = self._start(customer, mechanic)
        self._wait(session_id, customer, mechanic, wait_seconds)
        result = self._end(session_id, customer, mechanic)
        self._show_events(operator, session_id)
        self._show_result(result)
        self._show_stranger(stranger, session_id)
        if result["final_status"] != "completed":
            raise StackError(f"The session ended as {result['final_status']}, not completed.")

    def _people(self) -> tuple[Person, Person, Person, Person]:
        url, key = self._stack.url, self._stack.publishable_key
        names = ("customer", "mechanic", "operator", "stranger")
        customer, mechanic, operator, stranger = (sign_up(url, key, name) for name in names)
        (profile,) = stranger.read("profiles")
        self._say("sign up", "a customer, a mechanic, an operator and a stranger sign up", profile)
        return customer, mechanic, operator, stranger

    def _appoint(self, operator: Person, mechanic: Person) -> None:
        grant_admin(self._stack.database_url, operator.email)
        self._say("admin", f"`taximeter admin grant {operator.email}` makes one admin")
        setting = operator.row(
            "set_setting", p_key="min_billable_seconds", p_value=MIN_BILLABLE_SECONDS
        )
        self._say(
            "setting",
            f"the operator sets min_billable_seconds to {MIN_BILLABLE_SECONDS} in this demo's own "
            "database (60 by default), so that nobody has to wait a minute",
            setting,
        )
        row = mechanic.row("apply_as_mechanic", p_specialties=["brakes", "engine"])
        refusal = mechanic.refusal("mechanic_queue")
        self._say("apply", f"the mechanic applies; the queue says: [yellow]{refusal}[/]", row)
        row = operator.row(
            "set_mechanic_status", p_mechanic_id=mechanic.user_id, p_status="approved"
        )
        self._say("approve", f"the operator approves: [green]{row['status']}[/]", row)

    def _start(self, customer: Person, mechanic: Person) -> str:
        intake = {"vehicle": "2011 hatchback", "problem": "squeals when braking"}
        session = customer.row("create_session", p_plan=PLAN, p_intake=intake)
        session_id = str(session["id"])
        self._say(
            "create", f"the customer asks for a free {PLAN} session: {_status(session)}", session
        )
        again = customer.refusal("create_session", p_plan=PLAN)
        self._say("create", f"a second one is refused: [yellow]{again}[/]")

        queue = mechanic.rows("mechanic_queue")
        offer = next(row for row in queue if row["session_id"] == session_id)
        who, problem = offer["customer_display_name"], offer["intake"]["problem"]
        self._say("queue", f"the mechanic sees {len(queue)} in his queue: {who}, “{problem}”")
        session = mechanic.row("accept_assignment", p_assignment_id=offer["assignment_id"])
        self._say("accept", f"the mechanic accepts: {_status(session)}", session)
        session = customer.row("join_session", p_session_id=session_id)
        self._say("join", f"the customer joins and waits: {_status(session)}", session)
        session = mechanic.row("join_session", p_session_id=session_id)
        until = f"{_status(session)}, until {_clock(session['expires_at'])}"
        self._say("join", f"the mechanic joins, the clock starts: {until}", session)
        return session_id

    def _wait(self, session_id: str, customer: Person, mechanic: Person, seconds: int) -> None:
        with self._console.status(f"Live for {seconds} s"):
            for _ in range(seconds):
                time.sleep(1)
                for person in (customer, mechanic):
                    person.row("heartbeat_session", p_session_id=session_id)
        active = customer.row("get_active_session")
        self._say("live", f"{seconds} s later, get_active_session says {_status(active)}")

    def _end(self, session_id: str, customer: Person, mechanic: Person) -> Row:
        result = customer.row("end_session_with_semantics", p_session_id=session_id)
        self._say("end", f"the customer ends it: {_status(result, 'final_status')}", result)
        again = mechanic.row("end_session_with_semantics", p_session_id=session_id)
        same = {**result, "already_ended": True} == again
        answer = "the same answer, already_ended" if same else f"another answer: {again}"
        self._say("end", f"the mechanic's client ends it too and gets {answer}")
        return result

    def _show_events(self, operator: Person, session_id: str) -> None:
        query = operator.client.table("session_events").select("*")
        events = as_rows(query.eq("session_id", session_id).order("id").execute().data)
        table = Table("id", "server time", "event", "by", "version", "what", title="Event log")
        for event in events:
            shown = _summary(event["payload"])
            table.add_row(
                str(event["id"]),
                _clock(event["occurred_at"]),
                f"[bold]{event['type']}[/]",
                str(event["actor_role"] or ""),
                str(event["version"]),
                shown,
            )
        self._console.print(table)

    def _show_result(self, result: Row) -> None:
        table = Table(title="The end, as the server decided it", show_header=False)
        for key, value in result.items():
            table.add_row(key, "" if value is None else str(value))
        self._console.print(table)

    def _show_stranger(self, stranger: Person, session_id: str) -> None:
        table = Table(
            "what a stranger's token asks for", "what it gets", title="A stranger sees nothing"
        )
        for name in STRANGER_READS:
            rows = stranger.read(name)
            if rows:
                raise StackError(f"A stranger read {len(rows)} rows of {name}.")
            table.add_row(name, "no rows")
        table.add_row("mechanic_queue()", stranger.refusal("mechanic_queue"))
        for function in ("join_session", "end_session_with_semantics"):
            table.add_row(f"{function}(…)", stranger.refusal(function, p_session_id=session_id))
        self._console.print(table)

    def _say(self, topic: str, line: str, row: Row | None = None) -> None:
        self._step += 1
        grid = Table.grid(padding=(0, 1))
        grid.add_column(justify="right", style="dim", width=2)
        grid.add_column(justify="right", style="dim", width=12)
        grid.add_column(style="bold cyan", width=8)
        grid.add_column()
        grid.add_row(str(self._step), _server_time(row), topic, line)
        self._console.print(grid)


def _status(row: Row, key: str = "status") -> str:
    return f"[green]{row[key]}[/]"


def _summary(payload: Row) -> str:
    """What a payload says, short enough for a line: the move, or who it is about."""
    if "to" in payload:
        move = f"{payload.get('from') or 'nothing'} → {payload['to']}"
        return f"{move}, {payload['reason']}" if payload.get("reason") else move
    return str(payload.get("role", ""))


def _clock(value: str | None) -> str:
    return datetime.fromisoformat(value).strftime("%H:%M:%S.%f")[:-3] if value else ""


def _server_time(row: Row | None) -> str:
    if row is None:
        return ""
    return _clock(row.get("updated_at") or row.get("ended_at") or row.get("created_at"))


def demo_settings() -> Settings:
    """A folder of its own, so that the developer's stack and data stay as they are."""
    return replace(Settings(), directory=home() / "demo")


def run(console: Console, say: Callable[[str], None], *, wait_seconds: int = 3) -> None:
    """Plays the demo from nothing and leaves nothing behind."""
    if wait_seconds <= MIN_BILLABLE_SECONDS:
        raise StackError(f"The session must be live for more than {MIN_BILLABLE_SECONDS} s.")
    settings = demo_settings()
    # What a demo that was killed left behind; a running one keeps its folder and is told.
    supervisor.remove(settings)
    begun = time.monotonic()
    stack = supervisor.Stack(settings, say)
    # A demo that is told to end still ends what it started.
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(FAILED_BY_SIGNAL))
    try:
        with stack:
            ready = time.monotonic() - begun
            console.print(
                Panel.fit(
                    f"PostgreSQL at {stack.database_url}\nREST and Auth at {stack.url}\n"
                    f"up in {ready:.1f} s",
                    title="Taximeter",
                )
            )
            try:
                Script(console, stack).play(wait_seconds)
            except PostgrestAPIError as error:
                raise StackError(
                    f"The API answered {error.code} {error.message}.",
                    f"{error.details or ''} {error.hint or ''}".strip(),
                ) from error
    finally:
        signal.signal(signal.SIGTERM, previous)
        if not supervisor.is_running(settings):
            supervisor.remove(settings)
    say("Everything the demo started has ended, and its database is removed.")
