"""Those who use the server while it is being killed: they repeat what was cut off, as clients do.

Each is a thread with one connection, which carries role and claims call by call in a transaction of
its own, as PostgREST does. What was acknowledged is noted outside the database.
"""

from __future__ import annotations

import json
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import dict_row

from crash.gate import Gate, OverError
from crash.outside import Note, Notebook, Outside
from stripe_inbox.told import metadata
from support.world import Caller, Connection, Refusal, Row, call_on

LEASE_SECONDS = 300
PLANS = ("chat10", "video15", "diagnostic")
# What a client may be told when the clock or a crash was faster than he.
OVERTAKEN = {
    "active_session_exists",
    "assignment_not_found",
    "extension_limit",
    "mechanic_busy",
    "refund_exceeds_payment",
    "session_ended",
    "session_not_active",
    "state_without_proof",
}
TO_BE_REPEATED = {"40001", "40P01", "55P03"}


class RefusedError(Exception):
    """The server has answered, and the answer is no."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.code} ({refusal.status}): {refusal.detail}")
        self.code = refusal.code


@dataclass(frozen=True)
class Stage:
    """What all clients share."""

    gate: Gate
    notebook: Notebook
    outside: Outside
    # Where the database is now.
    url: Callable[[str], str]


@dataclass
class Client(ABC):
    stage: Stage
    chance: random.Random
    login: str = "authenticator"
    opening: int = 0
    _connection: Connection | None = field(default=None, repr=False)

    def play(self) -> None:
        try:
            self._connect()
            while True:
                self.step()
        except OverError:
            return
        except BaseException as error:
            self.stage.gate.fail(error)
            raise
        finally:
            self.leave()

    @abstractmethod
    def step(self) -> None:
        """What this client does next."""

    def ask(self, caller: Caller, function: str, note: Note | None = None, **params: Any) -> Row:
        """One call that returns a row."""
        rows = self.ask_for_rows(caller, function, note, **params)
        assert len(rows) == 1, f"{function} returned {len(rows)} rows"
        return rows[0]

    def ask_for_rows(
        self, caller: Caller, function: str, note: Note | None = None, **params: Any
    ) -> list[Row]:
        """One call, repeated until there is an answer."""
        return self._insist(
            caller, note, lambda connection: call_on(connection, function, **params)
        )

    def look(self, query: LiteralString, *params: object) -> list[Row]:
        """What the service role sees."""
        return self._insist(
            "service_role", None, lambda connection: connection.execute(query, params).fetchall()
        )

    def _insist(
        self, caller: Caller, note: Note | None, work: Callable[[Connection], list[Row]]
    ) -> list[Row]:
        while True:
            self.stage.gate.check_in()
            connection = self._connection
            assert connection is not None
            try:
                with acting(connection, caller):
                    connection.execute("set local statement_timeout = '60s'")
                    answer = work(connection)
            except psycopg.Error as error:
                state = error.sqlstate or ""
                if connection.closed or state.startswith(("57P", "08")):
                    self.stage.notebook.cut_off(note)
                    self._connect()
                elif state in TO_BE_REPEATED or Refusal.of(error).code == "session_locked":
                    self.stage.notebook.count(f"repeated after {state}")
                else:
                    raise RefusedError(Refusal.of(error)) from error
            else:
                self.stage.notebook.tell(note)
                return answer

    def enter(self) -> int:
        # Nothing is left on the connection, so that a pooler may be on the way.
        self._connection = psycopg.connect(
            self.stage.url(self.login),
            autocommit=True,
            row_factory=dict_row,
            prepare_threshold=None,
        )
        return self._connection.info.backend_pid

    def leave(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _connect(self) -> None:
        self.leave()
        self.opening = self.stage.gate.next(self.opening)
        self.stage.gate.ready(self.enter())


@contextmanager
def acting(connection: Connection, caller: Caller) -> Iterator[None]:
    """A transaction with the caller's role and claims, as PostgREST makes one for a request."""
    with connection.transaction():
        if caller != "system":
            connection.execute(
                "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
                _identity(caller),
            )
        yield


def _identity(caller: Caller) -> tuple[str, str]:
    if isinstance(caller, UUID):
        return "authenticated", json.dumps({"role": "authenticated", "sub": str(caller)})
    return caller, json.dumps({"role": caller})


@dataclass
class Player(Client):
    """A customer and a mechanic, who meet again and again."""

    customer: UUID = field(default_factory=uuid4)
    mechanic: UUID = field(default_factory=uuid4)
    has_account: bool = False

    def step(self) -> None:
        try:
            self._end_what_is_left()
            session = self._buy()
            if session is not None:
                self._live(session)
                self._afterwards(session)
            self.stage.notebook.count("lives")
        except RefusedError as refusal:
            if refusal.code not in OVERTAKEN:
                raise
            self.stage.notebook.count(f"overtaken: {refusal.code}")

    def _end_what_is_left(self) -> None:
        for row in self.ask_for_rows(self.customer, "get_active_session"):
            if row["id"] is not None:
                self._end(row["id"], self.customer)

    def _buy(self) -> UUID | None:
        plan, key = self.chance.choice(PLANS), uuid4().hex
        if self.chance.random() < 0.15:
            self.ask(
                "service_role",
                "grant_credit",
                ("grant", key),
                p_user_id=self.customer,
                p_amount_cents=2500,
                p_currency="usd",
                p_key=key,
            )
            made = self.ask(
                self.customer,
                "create_session",
                p_plan=plan,
                p_funding="credit",
                p_idempotency_key=key,
            )
            return self._noted(made)
        intent = self.ask(
            self.customer,
            "request_checkout",
            ("checkout", key),
            p_plan=plan,
            p_idempotency_key=key,
        )
        self._pay("session", intent)
        while True:
            found = self.look(
                "select status, session_id from public.checkout_intents where id = %s", intent["id"]
            )[0]
            if found["status"] in {"paid", "to_credit"}:
                session: UUID | None = found["session_id"]
                return session
            time.sleep(0.005)

    def _pay(self, purpose: str, wanted: Row) -> None:
        checkout = self.stage.outside.stripe.open(
            wanted["price_cents"],
            wanted["currency"],
            metadata(purpose, wanted["id"]),
            self.customer,
        )
        self.ask(
            "service_role",
            "record_checkout",
            ("record", checkout.checkout),
            p_purpose=purpose,
            p_purpose_id=wanted["id"],
            p_checkout_session_id=checkout.checkout,
        )
        self.stage.outside.pay(checkout)

    def _live(self, session: UUID) -> None:
        if self.chance.random() < 0.1:
            self._end(session, self.customer)
            return
        assignment = self.look(
            "select id from public.session_assignments where session_id = %s", session
        )[0]["id"]
        self._noted(
            self.ask(
                self.mechanic,
                "accept_assignment",
                ("accept", str(session)),
                p_assignment_id=assignment,
            )
        )
        for person in (self.customer, self.mechanic):
            self._join(session, person)
        for minutes in self.chance.sample((15, 30), self.chance.choice((0, 1, 1, 2))):
            wanted = self.ask(
                self.customer,
                "request_extension",
                ("extension", f"{session} {minutes}"),
                p_session_id=session,
                p_minutes=minutes,
            )
            if self.chance.random() < 0.9:
                self._pay("extension", wanted)
        until = time.monotonic() + self.chance.random() * 0.25
        while time.monotonic() < until:
            person = self.chance.choice((self.customer, self.mechanic))
            self.ask_for_rows(person, "heartbeat_session", p_session_id=session)
        fate = self.chance.random()
        if fate < 0.2:
            self.ask_for_rows(self.mechanic, "leave_session", p_session_id=session)
        if fate < 0.1:
            # The tick ends it, or the next life does.
            return
        self._end(session, self.chance.choice((self.customer, self.mechanic)))

    def _join(self, session: UUID, person: UUID) -> None:
        joined = self.ask(
            person, "join_session", ("join", f"{session} {person}"), p_session_id=session
        )
        self._noted(joined)

    def _end(self, session: UUID, person: UUID) -> None:
        self.ask(person, "end_session_with_semantics", ("end", str(session)), p_session_id=session)

    def _afterwards(self, session: UUID) -> None:
        if not self.has_account and self.chance.random() < 0.4:
            self.ask(
                "service_role",
                "set_stripe_account",
                ("account", str(self.mechanic)),
                p_mechanic_id=self.mechanic,
                p_account=f"acct_{self.mechanic.hex[:16]}",
            )
            self.has_account = True
        for number in range(self.chance.choice((0, 0, 1, 2))):
            self.ask(
                "service_role",
                "refund_session",
                ("refund", f"{session} {number}"),
                p_session_id=session,
                p_key=str(number),
                p_amount_cents=self.chance.choice((None, 1, 333, 700)),
            )

    def _noted(self, session: Row) -> UUID:
        self.stage.notebook.tell(("version", f"{session['id']} {session['version']}"))
        found = session["id"]
        assert isinstance(found, UUID)
        return found


class Stripe(Client):
    """Delivers events in any order, until each is acknowledged, and some once more."""

    def step(self) -> None:
        if self.chance.random() < 0.05:
            self.stage.outside.settle_refunds()
        event = self.stage.outside.next_event(self.chance)
        if event is None:
            time.sleep(0.002)
            return
        answer = self.ask(
            "service_role", "ingest_stripe_event", ("event", event["id"]), p_event=event
        )["ingest_stripe_event"]
        assert answer["status"] in {"processed", "ignored"}, (event, answer)
        if self.chance.random() < 0.1:
            self.stage.outside.give_back(event)


@dataclass
class Worker(Client):
    """Carries effects out, and loses them in every way there is."""

    late: list[tuple[Row, dict[str, Any]]] = field(default_factory=list)
    is_faithful: bool = False

    def step(self) -> None:
        claimed = self.ask_for_rows(
            "service_role",
            "claim_outbox",
            p_worker=f"worker {id(self)}",
            p_limit=self.chance.randint(1, 6),
            p_lease_seconds=LEASE_SECONDS,
        )
        for row in claimed:
            self.stage.notebook.tell(("claim", f"{row['id']} {row['attempts']}"))
            self._carry_out(row)
        if self.late and self.chance.random() < 0.3:
            row, made = self.late.pop(self.chance.randrange(len(self.late)))
            self._complete(row, made)
        if not claimed:
            time.sleep(0.005)

    def _carry_out(self, row: Row) -> None:
        fate = 1.0 if self.is_faithful else self.chance.random()
        if fate < 0.05:
            return
        found = self.stage.outside.find(row) if row["must_look_first"] else None
        made = found or self.stage.outside.carry_out(row, refuses=fate < 0.12)
        if made is None:
            self._fail(row, is_ambiguous=False)
        elif fate < 0.2:
            self._fail(row, is_ambiguous=True)
        elif fate < 0.3:
            self.late.append((row, made))
        else:
            self._complete(row, made)

    def _complete(self, row: Row, made: dict[str, Any]) -> None:
        note = "complete", f"{row['id']} {row['lease_token']}"
        is_mine = self.ask(
            "service_role",
            "complete_outbox",
            note,
            p_id=row["id"],
            p_lease_token=row["lease_token"],
            p_result=made | {"lease": str(row["lease_token"])},
        )["complete_outbox"]
        if is_mine:
            self.stage.outside.record(row)
        else:
            self.stage.notebook.retract(note)

    def _fail(self, row: Row, *, is_ambiguous: bool) -> None:
        self.ask(
            "service_role",
            "fail_outbox",
            p_id=row["id"],
            p_lease_token=row["lease_token"],
            p_error="no answer" if is_ambiguous else "balance_insufficient",
            p_ambiguous=is_ambiguous,
        )


@dataclass
class Ticker(Client):
    """pg_cron's jobs, without pg_cron."""

    login: str = "postgres"

    def step(self) -> None:
        for job in ("tick-sessions", "dispatch-outbox", "expire-orphaned-sessions"):
            self._insist(
                "system",
                None,
                lambda connection, job=job: connection.execute(  # type: ignore[misc]
                    "select private.run_job(%s)", (job,)
                ).fetchall(),
            )
        time.sleep(0.02)
