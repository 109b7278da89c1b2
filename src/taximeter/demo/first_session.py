"""The first scene: one session from sign-up to its end, on the database's own clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.table import Table

from taximeter.demo.stage import Cast, clock, status
from taximeter.people import Person, Row, grant_admin, sign_up
from taximeter.stack.settings import StackError

if TYPE_CHECKING:
    from taximeter.demo.stage import Stage

MIN_BILLABLE_SECONDS = 2
PLAN = "chat10"
STRANGER_READS = ("sessions", "session_participants", "session_assignments", "session_events")


def play(stage: Stage, wait_seconds: int) -> Cast:
    """Plays the steps in order; the session is live for so many seconds."""
    stage.scene("One session, from sign-up to its end")
    return _Scene(stage).play(wait_seconds)


class _Scene:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._say = stage.say

    def play(self, wait_seconds: int) -> Cast:
        customer, mechanic, operator, stranger = self._people()
        self._appoint(operator, mechanic)
        session_id = self._start(customer, mechanic)
        self._wait(session_id, customer, mechanic, wait_seconds)
        result = self._end(session_id, customer, mechanic)
        self._stage.show_events(operator, session_id)
        self._stage.show_result(result)
        self._show_stranger(stranger, session_id)
        if result["final_status"] != "completed":
            raise StackError(f"The session ended as {result['final_status']}, not completed.")
        return Cast(mechanic, operator)

    def _people(self) -> tuple[Person, Person, Person, Person]:
        url, key = self._stage.stack.url, self._stage.stack.publishable_key
        names = ("customer", "mechanic", "operator", "stranger")
        customer, mechanic, operator, stranger = (sign_up(url, key, name) for name in names)
        (profile,) = stranger.read("profiles")
        self._say("sign up", "a customer, a mechanic, an operator and a stranger sign up", profile)
        return customer, mechanic, operator, stranger

    def _appoint(self, operator: Person, mechanic: Person) -> None:
        grant_admin(self._stage.stack.database_url, operator.email)
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
            "create", f"the customer asks for a free {PLAN} session: {status(session)}", session
        )
        again = customer.refusal("create_session", p_plan=PLAN)
        self._say("create", f"a second one is refused: [yellow]{again}[/]")

        queue = mechanic.rows("mechanic_queue")
        offer = next(row for row in queue if row["session_id"] == session_id)
        who, problem = offer["customer_display_name"], offer["intake"]["problem"]
        self._say("queue", f"the mechanic sees {len(queue)} in his queue: {who}, “{problem}”")
        session = mechanic.row("accept_assignment", p_assignment_id=offer["assignment_id"])
        self._say("accept", f"the mechanic accepts: {status(session)}", session)
        session = customer.row("join_session", p_session_id=session_id)
        self._say("join", f"the customer joins and waits: {status(session)}", session)
        session = mechanic.row("join_session", p_session_id=session_id)
        until = f"{status(session)}, until {clock(session['expires_at'])}"
        self._say("join", f"the mechanic joins, the clock starts: {until}", session)
        return session_id

    def _wait(self, session_id: str, customer: Person, mechanic: Person, seconds: int) -> None:
        with self._stage.console.status(f"Live for {seconds} s"):
            for _ in range(seconds):
                time.sleep(1)
                for person in (customer, mechanic):
                    person.row("heartbeat_session", p_session_id=session_id)
        active = customer.row("get_active_session")
        self._say("live", f"{seconds} s later, get_active_session says {status(active)}")

    def _end(self, session_id: str, customer: Person, mechanic: Person) -> Row:
        result = customer.row("end_session_with_semantics", p_session_id=session_id)
        self._say("end", f"the customer ends it: {status(result, 'final_status')}", result)
        again = mechanic.row("end_session_with_semantics", p_session_id=session_id)
        same = {**result, "already_ended": True} == again
        answer = "the same answer, already_ended" if same else f"another answer: {again}"
        self._say("end", f"the mechanic's client ends it too and gets {answer}")
        return result

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
        self._stage.console.print(table)
