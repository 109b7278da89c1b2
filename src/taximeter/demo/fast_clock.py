"""The second scene: half an hour in seconds, and what happens when nobody does anything.

Every rule reads `private.clock()`, so in a database of one's own time is what one says it is. The
scene starts an hour back and moves on in steps of 30 s, never past the real time: no time that it
leaves behind lies in the future. With each step the two clients give their sign of life and the
job `tick-sessions` is called by hand, as pg_cron only knows the real clock. Afterwards the clock
and the jobs are put back.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, LiteralString, Self

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from taximeter.demo.browser import Browser
from taximeter.demo.stage import Cast, clock, status
from taximeter.stack.settings import StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from taximeter.demo.stage import Stage
    from taximeter.people import Person

PLAN = "chat10"
START_BEHIND_SECONDS = 3600
STEP_SECONDS = 30
TOGETHER_STEPS = 4
AWAY_STEPS = 2
STORY = ("accepted", "started", "reconnecting", "resumed", "warning", "warning", "ended")

Connection = psycopg.Connection[dict[str, Any]]


def play(stage: Stage, cast: Cast) -> None:
    """Plays the scene; the clock is the database's own again when it returns."""
    stage.scene("Another one, on a clock that runs fast")
    stage.settle(cast.operator)
    with psycopg.connect(
        stage.stack.database_url, autocommit=True, row_factory=dict_row
    ) as connection:
        with (
            no_jobs(connection) as jobs,
            FastClock(connection) as time,
            Browser.open(stage, "newcomer") as customer,
        ):
            stage.say(
                "clock",
                "in this demo's own database private.clock() is replaced: it starts an hour back "
                f"and moves on {STEP_SECONDS} s at a time",
            )
            stage.say(
                "jobs",
                f"its {jobs} jobs stand still (private.teardown_cron), as this clock runs fast; "
                "tick-sessions is called by hand after each step, with the secret key",
            )
            _Scene(stage, cast, customer, time).play()
        now = value(connection, "select private.clock()::text as value")
        stage.hear(now, "private.clock() is the database's own again, and so are the jobs")


class FastClock:
    """A clock that is behind the real one and is moved on by hand, until the block ends."""

    def __init__(self, connection: Connection, behind: int = START_BEHIND_SECONDS) -> None:
        self._connection = connection
        self._behind = behind
        self._original = self._definition()

    def __enter__(self) -> Self:
        self._replace()
        # It was in what is the future now, and nobody would be woken until then.
        self._connection.execute("update private.wake_ups set last_at = '-infinity'")
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.execute(self._original.encode())
        if self._definition() != self._original:
            raise StackError("The clock could not be put back.", "Please report this.")

    def advance(self, seconds: int) -> None:
        if seconds > self._behind:
            raise StackError("The scene took longer than there is time for.", "Please report this.")
        self._behind -= seconds
        self._replace()

    def _replace(self) -> None:
        self._connection.execute(
            sql.SQL(
                "create or replace function private.clock() returns timestamptz"
                " language sql volatile set search_path = ''"
                " as $$ select clock_timestamp() - make_interval(secs => {}) $$"
            ).format(sql.Literal(self._behind))
        )

    def _definition(self) -> str:
        query: LiteralString = "select pg_get_functiondef('private.clock()'::regprocedure) as value"
        return str(value(self._connection, query))


def value(connection: Connection, query: LiteralString) -> Any:
    """The one value of a query that calls it `value`."""
    row = connection.execute(query).fetchone()
    return row["value"] if row else None


@contextmanager
def no_jobs(connection: Connection) -> Iterator[int]:
    """Takes the jobs out of pg_cron until the block ends; gives how many there are."""
    jobs: int = value(connection, "select private.teardown_cron() as value")
    try:
        yield jobs
    finally:
        connection.execute("select private.setup_cron()")


class _Scene:
    def __init__(self, stage: Stage, cast: Cast, customer: Browser, time: FastClock) -> None:
        self._stage = stage
        self._say = stage.say
        self._time = time
        self._operator = cast.operator
        self._mechanic = cast.mechanic
        self._customer = customer
        self._service = stage.service()

    def play(self) -> None:
        session_id = self._start()
        self._lose_the_mechanic(session_id)
        self._bring_him_back(session_id)
        self._run_out(session_id)
        self._check(f"session:{session_id}")
        self._stage.settle(self._operator)

    def _start(self) -> str:
        session = self._customer.row("create_session", p_plan=PLAN)
        session_id = str(session["id"])
        self._customer.listen(f"session:{session_id}")
        offer = next(
            row for row in self._mechanic.rows("mechanic_queue") if row["session_id"] == session_id
        )
        self._mechanic.row("accept_assignment", p_assignment_id=offer["assignment_id"])
        for person in (self._customer, self._mechanic):
            session = person.row("join_session", p_session_id=session_id)
        minutes, until = session["duration_minutes"], clock(session["expires_at"])
        self._say(
            "join",
            f"another customer and the mechanic meet: {status(session)} for {minutes} min, until "
            f"{until}; with supabase-js the customer listens to the topic session:<id>",
            session,
        )
        return session_id

    def _lose_the_mechanic(self, session_id: str) -> None:
        for _ in range(TOGETHER_STEPS):
            self._step(session_id, self._customer, self._mechanic)
        minutes = TOGETHER_STEPS * STEP_SECONDS // 60
        self._say(
            "silence",
            f"{minutes} min later the mechanic's connection is lost; the customer's goes on",
        )
        self._pass_until(
            lambda: self._status(session_id) == "reconnecting", session_id, self._customer
        )
        snapshot = self._customer.row("session_snapshot", p_session_id=session_id)
        self._say(
            "snapshot",
            f"the customer's session_snapshot: {status(snapshot['session'])}, absent "
            f"{snapshot['absent_role']}, grace until {clock(snapshot['grace_ends_at'])}, "
            "counted from the last sign of life",
            {"updated_at": snapshot["server_now"]},
        )

    def _bring_him_back(self, session_id: str) -> None:
        for _ in range(AWAY_STEPS):
            self._step(session_id, self._customer)
        session = self._mechanic.row("heartbeat_session", p_session_id=session_id)
        self._say("return", f"the mechanic is back within the grace: {status(session)}", session)

    def _run_out(self, session_id: str) -> None:
        self._say("time", "both stay; nobody ends it")
        self._pass_until(
            lambda: self._status(session_id) != "live",
            session_id,
            self._customer,
            self._mechanic,
        )
        active = self._customer.rows("get_active_session")
        self._say("expiry", f"get_active_session has {len(active)} rows for the customer")
        self._stage.show_events(self._operator, session_id)
        result = self._customer.row("end_session_with_semantics", p_session_id=session_id)
        self._stage.show_result(result)
        if result["final_status"] != "completed" or not result["already_ended"]:
            raise StackError(f"The clock did not complete the session: {result}")

    def _pass_until(
        self, happened: Callable[[], bool], session_id: str, *present: Person | Browser
    ) -> None:
        """Lets time pass until something happened; the clock says when it was too long."""
        with self._stage.console.status("Time passes"):
            while not happened():
                self._step(session_id, *present)

    def _step(self, session_id: str, *present: Person | Browser) -> None:
        self._time.advance(STEP_SECONDS)
        self._service.rpc("tick_sessions", {}).execute()
        for person in present:
            person.row("heartbeat_session", p_session_id=session_id)

    def _status(self, session_id: str) -> str:
        (session,) = (row for row in self._customer.read("sessions") if row["id"] == session_id)
        return str(session["status"])

    def _check(self, topic: str) -> None:
        heard = self._customer.heard
        heard.wait(topic, "session:ended")
        told = [message.event.removeprefix("session:") for message in heard.on(topic)]
        told = [event for event in told if event in STORY]
        if told != list(STORY):
            raise StackError(f"The database told {told}, not {list(STORY)}.", "Please report this.")
        versions = [message.payload["version"] for message in heard.on(topic)]
        if versions != sorted(set(versions)):
            raise StackError(f"The versions do not rise: {versions}.")
