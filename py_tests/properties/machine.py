"""Random commands of random people, and a clock that jumps: the database against the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import currently_in_test_context, note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from properties.laws import everything_holds, must, must_equal, rows_agree
from properties.model import (
    ACTIVE,
    ADMIN,
    CUSTOMERS,
    MECHANICS,
    PLANS,
    STAFF,
    STRANGER,
    SYSTEM,
    WHO_CREATES,
    Answer,
    Call,
    Model,
    RefusedError,
    Rules,
    Session,
)
from properties.player import ANSWERS_ROW, BEGINNING, Player, Told

UNKNOWN = 1_000_000
CHANGES = ("create_session", "accept_assignment")
OUTCOME = (
    "started_at",
    "ended_at",
    "duration_seconds",
    "billable_seconds",
    "both_present_seconds",
    "end_reason",
    "ended_by",
)
MICROSECOND = timedelta(microseconds=1)

# Who acts on a session: most often one of its people.
someone = st.sampled_from(["customer", "mechanic"] * 6 + [STRANGER, ADMIN, *CUSTOMERS, *MECHANICS])
# Which session: the active ones first, then what has ended, then one that never was.
which = st.sampled_from([0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 3, -1])
pause = st.sampled_from([0.0, 0.001, 0.001, 1.0, 7.5, 20.0])
jump = st.one_of(
    st.sampled_from([0.001, 1.0, 10.0, 30.0, 59.999, 60.0, 89.0, 90.0, 120.0, 301.0, 600.0]),
    st.floats(0.001, 4000.0).map(lambda value: round(value, 3)),
    st.sampled_from([1800.0, 3600.0, 7201.0, 10801.0, 43200.0, 86400.0]),
)


def say(line: str) -> None:
    """A line of the script, printed if it fails."""
    if currently_in_test_context():
        note(line)


class Lifecycle(RuleBasedStateMachine):
    """One script: a transaction of its own, which is undone when the script ends."""

    def __init__(self, player: Player, rules: Rules) -> None:
        super().__init__()
        self.player = player
        self.model = Model(rules, BEGINNING)
        self.now = BEGINNING
        self.script: list[Call] = []
        self.stored: list[dict[str, Any]] = []
        self.facts = 0
        self.is_broken = False
        self.replays = "never"
        player.begin(rules)

    # playing

    def play(
        self, actor: str, command: str, session: int | None = None, **arguments: Any
    ) -> Answer:
        """One call of the script, its answer and the whole database afterwards."""
        call = Call(self.now, actor, command, session, arguments)
        self.script.append(call)
        try:
            preview = None
            if command == "end_session_with_semantics":
                preview = self.player.quick(replace(call, command="preview_end"))
            told, seen = self.player.step(call)
            say(f"{call} -> {told.code or 'ok'}")
            if preview is not None:
                must_equal((told.code, told.rows), (preview.code, preview.rows), "as previewed")
            expected = self.expect(call, told)
            everything_holds(self.model, seen.stored, seen.settled, self.player.numbers)
            must_equal((seen.tick["errors"], seen.tick["more"]), (0, False), "a tick")
            self._versions_never_fall(seen.stored)
        except BaseException as error:
            self.is_broken = True
            if isinstance(error, AssertionError):
                error.add_note(f"after {call}")
            raise
        self.stored = seen.stored
        return expected

    def hurry(self, actor: str, command: str, session: int | None = None, **arguments: Any) -> None:
        """A call whose answer is looked at, the database only after the calls that follow."""
        call = Call(self.now, actor, command, session, arguments)
        self.script.append(call)
        try:
            told = self.player.quick(call)
            if told.code is not None or command in CHANGES:
                say(f"{call} -> {told.code or 'ok'}")
            self.expect(call, told)
        except BaseException:
            self.is_broken = True
            raise

    def expect(self, call: Call, told: Told) -> Answer:
        """The model's answer, after holding the database's against it."""
        was_stored = {row["id"]: row["status"] for row in self.stored}
        try:
            expected = self.model.play(call)
        except RefusedError as refused:
            must_equal(told.code, refused.code, "the refusal")
            return None
        must(told.code is None, f"refused with {told.code}: {told.detail}")
        self.answer_agrees(call, told, expected, was_stored)
        return expected

    def answer_agrees(
        self, call: Call, told: Told, expected: Answer, was_stored: Mapping[str, str]
    ) -> None:
        command = call.command
        if command in ANSWERS_ROW:
            must_equal(len(told.rows), 1, "rows of the answer")
            if expected is not None:
                rows_agree(told.rows[0], expected, "the answer")
        elif command in ("end_session_with_semantics", "preview_end"):
            (row,) = told.rows
            for name, value in expected.items():
                must_equal(row[name], value, f"the answer's {name}")
            money = (row["payout_cents"], row["refund_cents"])
            must_equal(money, (0, 0), "money of a free session")
            was_over = was_stored[row["session_id"]] not in ACTIVE
            must_equal(row["already_ended"], was_over, "the answer's already_ended")
        elif command == "get_active_session":
            numbers = [self.player.numbers[row["id"]] for row in told.rows]
            must_equal(numbers, [] if expected is None else [expected], "the active session")
            for row in told.rows:
                rows_agree(row, self.model.sessions[expected - 1].row(), "the active session")
        elif command == "mechanic_queue":
            found = [
                {
                    "session": self.player.numbers[row["session_id"]],
                    "waiting_seconds": row["waiting_seconds"],
                    "is_preferred": row["is_preferred"],
                }
                for row in told.rows
            ]
            found.sort(key=lambda row: (not row["is_preferred"], row["session"]))
            must_equal(found, expected, "the queue")
        elif command == "session_snapshot":
            self.snapshot_agrees(told.rows[0]["session_snapshot"], expected)
        elif command in ("archive_sessions", "expire_orphaned_sessions"):
            must_equal(told.rows[0][command], expected, "how many")
        elif command == "monitor_sessions":
            must_equal(told.rows[0][command]["unattended"], expected, "how many")

    def snapshot_agrees(self, snapshot: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
        rows_agree(snapshot["session"], expected["session"], "the snapshot")
        must_equal(snapshot["version"], snapshot["session"]["version"], "the snapshot's version")
        must_equal(snapshot["server_now"], self.now, "server_now")
        must_equal(snapshot["extensions"], [], "extensions")
        must_equal(
            {
                one["user_id"]: (one["role"], one["is_connected"], one["first_joined_at"])
                for one in snapshot["participants"]
            },
            expected["participants"],
            "participants",
        )
        remaining, left = snapshot["remaining_seconds"], expected["remaining"]
        must_equal(remaining is None, left is None, "remaining_seconds is null")
        if left is not None:
            must(abs(remaining - left.total_seconds()) < 1, f"{remaining} s remain, not {left}")
        for name in ("next_warning_at", "absent_role", "grace_ends_at", "can_join", "join_from"):
            must_equal(snapshot[name], expected[name], f"the snapshot's {name}")

    def _versions_never_fall(self, stored: list[dict[str, Any]]) -> None:
        before = {row["id"]: row["version"] for row in self.stored}
        for row in stored:
            must(row["version"] >= before.get(row["id"], 0), "a version fell")

    def pick(self, number: int) -> int:
        """A session by its place: active ones first, newest first."""
        active = [s.number for s in reversed(self.model.active())]
        ended = [s.number for s in reversed(self.model.sessions) if s.is_over]
        known = active + ended
        # A place beyond the last one is the last one.
        return known[min(number, len(known) - 1)] if known and number >= 0 else UNKNOWN

    def resolve(self, who: str, number: int) -> str:
        session = self.found(number)
        if who == "customer":
            return session.customer if session is not None else CUSTOMERS[0]
        if who == "mechanic":
            mechanic = session.mechanic if session is not None else None
            return mechanic or MECHANICS[0]
        return who

    def found(self, number: int) -> Session | None:
        return self.model.sessions[number - 1] if number <= len(self.model.sessions) else None

    def on_session(self, who: str, command: str, of: int, after: float) -> None:
        self.wait_for(after)
        number = self.pick(of)
        self.play(self.resolve(who, number), command, number)

    def wait_for(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.model.advance(self.now)

    # the clock

    @rule(seconds=jump)
    def wait(self, seconds: float) -> None:
        self.wait_for(seconds)
        self.play(SYSTEM, "nothing")

    @precondition(lambda self: self.model.deadlines())
    @rule(place=st.sampled_from([0, 0, 0, 1, 2, 5]), off=st.sampled_from([-1, 0, 0, 1]))
    def wait_until_something_is_due(self, place: int, off: int) -> None:
        deadlines = self.model.deadlines()
        due = deadlines[min(place, len(deadlines) - 1)]
        self.now = max(self.now, due + off * MICROSECOND)
        self.model.advance(self.now)
        self.play(SYSTEM, "nothing")

    @precondition(lambda self: any(s.connected for s in self.model.active()))
    @rule(
        seconds=st.sampled_from([None, None, 45.0, 100.0, 320.0, 1500.0]),
        off=st.sampled_from([-1, 0, 1]),
        with_ticks=st.booleans(),
    )
    def stay(self, seconds: float | None, off: int, with_ticks: bool) -> None:
        """Who is connected beats, so that nobody drops out, for so long or until an expiry."""
        beat = self.model.rules.presence_timeout_seconds * 0.9
        expiries = [s.expires_at for s in self.model.active() if s.expires_at is not None]
        until = self.now + timedelta(seconds=seconds or 60.0)
        if seconds is None:
            until = min(expiries, default=until) + off * MICROSECOND
        say(f"everybody who is connected beats until {until:%d %H:%M:%S.%f}")
        for _ in range(35):
            self.now = min(until, self.now + timedelta(seconds=beat))
            self.model.advance(self.now)
            for session in self.model.active():
                for who, one in session.open_people.items():
                    if one.is_connected and not session.is_over:
                        self.hurry(who, "heartbeat_session", session.number)
            if with_ticks:
                self.hurry(SYSTEM, "tick_sessions")
            if self.now >= until:
                break
        self.play(SYSTEM, "nothing")

    # creating and the queue

    @rule(
        who=st.sampled_from(WHO_CREATES),
        plan=st.sampled_from([*PLANS, *PLANS, "none"]),
        preferred=st.sampled_from([None, None, *MECHANICS, STRANGER]),
        later=st.sampled_from([None, None, 60, 540, 660, 3600, 86400, -1]),
        key=st.sampled_from([None, None, "a", "b"]),
        taken_by=st.sampled_from([None, None, "mechanic 1", "mechanic 1", "mechanic 2"]),
        after=pause,
    )
    def create(
        self,
        who: str,
        plan: str,
        preferred: str | None,
        later: int | None,
        key: str | None,
        taken_by: str | None,
        after: float,
    ) -> None:
        self.wait_for(after + 0.001)
        scheduled_for = None if later is None else self.now + timedelta(seconds=later)
        self.play(
            who,
            "create_session",
            plan=plan,
            preferred=preferred,
            scheduled_for=scheduled_for,
            key=key,
        )
        if taken_by is not None:
            self.play(taken_by, "accept_assignment", self.pick(0))

    @precondition(lambda self: bool(self.model.keys))
    @rule(place=st.integers(0, 3))
    def create_again(self, place: int) -> None:
        """The same call with the same key, whatever came in between."""
        used = list(self.model.keys.items())
        (who, key), (arguments, _) = used[place % len(used)]
        self.play(who, "create_session", **arguments, key=key)

    @precondition(lambda self: bool(self.model.sessions))
    @rule(
        command=st.sampled_from(
            ["accept_assignment"] * 3 + ["decline_assignment", "release_assignment"]
        ),
        who=st.sampled_from(["mechanic", "mechanic 1", "mechanic 1", "mechanic 2", "mechanic 3"]),
        of=which,
        after=pause,
    )
    def serve(self, command: str, who: str, of: int, after: float) -> None:
        self.on_session(who, command, of, after)

    @precondition(lambda self: any(s.mechanic and not s.is_running for s in self.model.active()))
    @rule(
        after=pause,
        again=st.sampled_from([None, 0.0, 1.0, 95.0, 700.0]),
        returning=st.booleans(),
    )
    def give_back(self, after: float, again: float | None, returning: bool) -> None:
        """A mechanic gives a session back, and perhaps says so again later."""
        self.wait_for(after)
        for session in self.model.active():
            if session.mechanic is not None and not session.is_running:
                number, mechanic = session.number, session.mechanic
                self.play(mechanic, "release_assignment", number)
                if returning:
                    self.play(session.customer, "join_session", number)
                if again is not None:
                    self.wait_for(again)
                    self.play(mechanic, "release_assignment", number)
                break

    @rule(
        who=st.sampled_from([*MECHANICS, STRANGER]),
        is_accepting=st.sampled_from([None, None, None, True, True, False]),
    )
    def look_at_the_queue(self, who: str, is_accepting: bool | None) -> None:
        if is_accepting is not None:
            self.play(who, "set_availability", is_accepting=is_accepting)
        for one in MECHANICS:
            self.hurry(one, "mechanic_queue")
        self.play(who, "mechanic_queue")

    @precondition(lambda self: not any(s.is_running for s in self.model.sessions))
    @rule(
        who=st.sampled_from(WHO_CREATES),
        plan=st.sampled_from(list(PLANS)),
        joining=st.sampled_from(
            [("customer", "mechanic"), ("mechanic", "customer"), ("customer",), ("mechanic",)]
        ),
        after=pause,
    )
    def come_together(self, who: str, plan: str, joining: Sequence[str], after: float) -> None:
        self.bring_together(who, plan, joining, after)

    def bring_together(self, who: str, plan: str, joining: Sequence[str], after: float) -> None:
        """The usual way to a live session, as far as it goes."""
        self.wait_for(after + 0.001)
        if not any(s.customer == who for s in self.model.active()):
            self.hurry(who, "create_session", plan=plan)
        number = next(s.number for s in self.model.active() if s.customer == who)
        if self.model.sessions[number - 1].mechanic is None:
            for mechanic in MECHANICS:
                self.hurry(mechanic, "accept_assignment", number)
        for one in joining:
            self.wait_for(after)
            self.play(self.resolve(one, number), "join_session", number)

    # presence

    @precondition(lambda self: any(s.mechanic for s in self.model.active()))
    @rule(
        role=st.sampled_from(["customer", "mechanic"]),
        of=st.sampled_from([0, 0, 1]),
        command=st.sampled_from(
            ["join_session", "join_session", "leave_session", "heartbeat_session"]
        ),
        after=st.sampled_from([0.0, 0.001, 1.0, 20.0, 45.0, 60.0, 89.999, 90.0, 200.0, 500.0]),
    )
    def come_and_go(self, role: str, of: int, command: str, after: float) -> None:
        """What the people of a session that somebody has accepted do."""
        self.wait_for(after)
        accepted = [s.number for s in self.model.active() if s.mechanic is not None]
        if accepted:
            number = accepted[min(of, len(accepted) - 1)]
            self.play(self.resolve(role, number), command, number)

    @precondition(lambda self: any(s.status == "live" for s in self.model.sessions))
    @rule(
        role=st.sampled_from(["customer", "mechanic"]),
        by_video=st.booleans(),
        away=st.sampled_from([0.0, 0.5, 5.0, 30.0, 89.999, 90.0, 250.0, 300.0]),
    )
    def step_out(self, role: str, by_video: bool, away: float) -> None:
        """Out of a live session and back, by one's own word or the video server's."""
        number = next(s.number for s in self.model.sessions if s.status == "live")
        person = self.resolve(role, number)
        self.play(person, "leave_session", number)
        self.wait_for(away)
        if by_video:
            self.tell(number, person, role, "participant_joined", 0.0)
        else:
            self.play(person, "join_session", number)

    @precondition(lambda self: bool(self.model.sessions))
    @rule(
        who=someone,
        of=which,
        command=st.sampled_from(
            [
                "join_session",
                "leave_session",
                "heartbeat_session",
                "start_session",
                *["session_snapshot", "preview_end"] * 3,
            ]
        ),
        after=pause,
    )
    def act(self, who: str, of: int, command: str, after: float) -> None:
        self.on_session(who, command, of, after)

    @rule(who=st.sampled_from([*MECHANICS, *CUSTOMERS, STRANGER]), everybody=st.booleans())
    def return_to_my_session(self, who: str, everybody: bool) -> None:
        if everybody:
            for one in (*MECHANICS, *CUSTOMERS):
                self.hurry(one, "get_active_session")
        self.play(who, "get_active_session")

    # the end

    @precondition(lambda self: bool(self.model.sessions))
    @rule(who=st.one_of(someone, st.just(SYSTEM)), of=which, after=pause)
    def end(self, who: str, of: int, after: float) -> None:
        self.on_session(who, "end_session_with_semantics", of, after)

    @rule(
        job=st.sampled_from(
            [
                "tick_sessions",
                "tick_sessions",
                "end_expired_sessions",
                "expire_orphaned_sessions",
                "monitor_sessions",
            ]
        ),
        after=st.sampled_from([0.0, 0.0, 10.0, 1801.0, 7201.0]),
    )
    def run_a_job(self, job: str, after: float) -> None:
        self.wait_for(after)
        self.play(SYSTEM, job)

    @precondition(lambda self: bool(self.model.sessions))
    @rule(
        who=st.sampled_from([*STAFF, STRANGER]),
        of=which,
        age=st.sampled_from([None, 0.0, 3600.0]),
    )
    def administer(self, who: str, of: int, age: float | None) -> None:
        """Marks as unattended, or archives: what is to be archived, a sweep has written down."""
        if age is None:
            self.on_session(who, "mark_session_unattended", of, 0)
            return
        self.hurry(SYSTEM, "end_expired_sessions")
        self.play(who, "archive_sessions", before=self.now - timedelta(seconds=age))

    # facts of the video server

    @precondition(lambda self: bool(self.model.active()))
    @rule(
        who=st.sampled_from(["customer", "mechanic"] * 4 + [STRANGER, *MECHANICS]),
        of=which,
        fact=st.sampled_from(["participant_joined", "participant_joined", "participant_left"]),
        ago=st.sampled_from([0.0, 0.0, 0.0, 0.5, 10.0, 89.0, 91.0, -5.0]),
        again=st.sampled_from([False, False, False, True]),
        after=pause,
    )
    def hear_of_presence(
        self, who: str, of: int, fact: str, ago: float, again: bool, after: float
    ) -> None:
        self.wait_for(after)
        number = self.pick(of)
        person = self.resolve(who, number)
        session = self.found(number)
        role = (session.role_of(person) if session is not None else None) or "mechanic"
        self.tell(number, person, role, fact, ago, again=again)

    def tell(
        self, number: int, person: str, role: str, fact: str, ago: float, *, again: bool = False
    ) -> None:
        """A fact of the video server; one that is told again has the same id."""
        self.facts += not again
        self.play(
            SYSTEM,
            "record_presence_event",
            number,
            who=person,
            role=role,
            event=fact,
            event_id=f"fact {self.facts}",
            ago=ago,
        )

    # when it is written down does not matter

    @initialize(
        replays=st.sampled_from(["never", "never", "lazily", "eagerly"]),
        opening=st.sampled_from(["nothing", "queued", "booked", "together", "together"]),
        who=st.sampled_from(WHO_CREATES),
        plan=st.sampled_from(list(PLANS)),
    )
    def open(self, replays: str, opening: str, who: str, plan: str) -> None:
        """Most scripts begin with something that can go on."""
        self.replays = replays
        if opening == "together":
            self.bring_together(who, plan, ("customer", "mechanic"), 0.001)
        elif opening != "nothing":
            later = self.now + timedelta(minutes=11) if opening == "booked" else None
            preferred = "mechanic 1" if opening == "queued" else None
            self.hurry(who, "create_session", plan=plan, preferred=preferred, scheduled_for=later)
            self.play("mechanic 2", "accept_assignment", 1)

    def teardown(self) -> None:
        try:
            if not self.is_broken:
                self.now += timedelta(days=2)
                self.play(SYSTEM, "nothing")
                if self.replays != "never":
                    self.replay()
        finally:
            self.player.end()

    def replay(self) -> None:
        """TIME-03, TIME-04: without any tick, or with one after each call: the same outcome."""
        first = self._outcomes()
        script = [
            call
            for call in self.script
            if call.command
            not in ("tick_sessions", "end_expired_sessions", "archive_sessions", "nothing")
        ]
        self.player.begin(self.model.rules)
        for call in script:
            self.player.quick(call)
            if self.replays == "eagerly":
                self.player.quick(Call(call.at, SYSTEM, "tick_sessions"))
        must_equal(self._outcomes(), first, f"outcomes of the script, played {self.replays}")

    def _outcomes(self) -> dict[int, tuple[Any, ...]]:
        self.player.quick(Call(self.now, SYSTEM, "tick_sessions"))
        return {
            self.player.numbers[row["id"]]: (
                *(one["payload"]["to"] for one in row["events"] if one["type"] == "ended"),
                *(row[name] for name in OUTCOME),
            )
            for row in self.player.state()
        }
