"""What holds of every session at every moment, and where the database and the model must agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from properties.model import ACTIVE, RUNNING, Model, Rules, Session
from properties.player import BrokenError

Row = Mapping[str, Any]

COLUMN_OF = {"mechanic": "mechanic_id", "preferred": "preferred_mechanic_id"}


def must(truth: bool, what: str) -> None:
    if not truth:
        raise BrokenError(what)


def must_equal(got: object, expected: object, what: str) -> None:
    if got != expected:
        raise BrokenError(f"{what}: the database has {shown(got)}, expected {shown(expected)}")


def shown(value: object) -> str:
    return f"{value:%d %H:%M:%S.%f}" if isinstance(value, datetime) else repr(value)


# what a stored session may look like


def stamps_fit_the_status(row: Row) -> None:
    """MOD-04: which time stamps a status has."""
    status = row["status"]
    over = status not in ACTIVE
    must_equal(row["ended_at"] is not None, over, f"{status} has an end")
    must_equal(row["end_reason"] is not None, over, f"{status} has a reason")
    must_equal(row["duration_seconds"] is not None, over, f"{status} has a duration")
    must_equal(row["grace_ends_at"] is not None, status == "reconnecting", f"{status} has a grace")
    must_equal(row["started_at"] is None, row["expires_at"] is None, "a start and an expiry")
    if status in RUNNING:
        must(row["started_at"] is not None, f"{status} without a start")
    elif not over:
        must(row["started_at"] is None, f"{status} with a start")
    if status in ("accepted", "waiting", *RUNNING):
        must(row["mechanic_id"] is not None, f"{status} without a mechanic")
    if status in ("pending", "scheduled"):
        must(row["mechanic_id"] is None, f"{status} with a mechanic")
    must_equal(row["mechanic_id"] is None, row["accepted_at"] is None, "a mechanic and an accept")
    times = [row[name] for name in ("created_at", "accepted_at", "started_at", "ended_at")]
    known = [time for time in times if time is not None]
    must(known == sorted(known), f"times out of order: {known}")


def arithmetic(row: Row, rules: Rules) -> None:
    """END-02: seconds, and what they mean."""
    if row["ended_at"] is None:
        return
    duration, billable = row["duration_seconds"], row["billable_seconds"]
    both = row["both_present_seconds"]
    if row["started_at"] is None:
        must_equal((duration, billable, both), (0, 0, 0), "seconds of a session without a start")
        return
    lasted = (row["ended_at"] - row["started_at"]) // timedelta(seconds=1)
    must_equal(duration, lasted, "duration_seconds")
    must(0 <= both <= duration, f"both_present_seconds {both} of {duration}")
    must_equal(billable, both if rules.billable_basis == "both_present" else duration, "billable")
    must(row["ended_at"] <= row["expires_at"], "ended after its expiry")
    enough = billable >= rules.min_billable_seconds
    must_equal(row["end_reason"], "completed" if enough else "too_short", f"{billable} s")


def billed_is_within_the_truth(row: Row, session: Session, rules: Rules) -> None:
    """PRE-03, PRE-04: nothing is billed after somebody's last own sign of life but its timeout."""
    if not row["billable_seconds"]:
        return
    first = row["started_at"]
    for one in session.people.values():
        if one.is_closed:
            continue
        proven = [end for _, end in one.spans]
        must(bool(proven), f"{row['billable_seconds']} s billed without the {one.role}")
        slack = timedelta(seconds=rules.presence_timeout_seconds)
        limit = (max(proven) - first + slack) // timedelta(seconds=1)
        must(row["billable_seconds"] <= limit, f"{row['billable_seconds']} s of {limit} are billed")


def cut_off_is_marked(row: Row, rules: Rules) -> None:
    """TIME-06: an end that is written down after the longest time a session may have says so."""
    if row["started_at"] is None or row["ended_at"] is None:
        return
    (written_at,) = (one["created_at"] for one in row["events"] if one["type"] == "ended")
    longest = row["started_at"] + timedelta(minutes=rules.max_session_minutes)
    limit = max(longest, row["expires_at"])
    if written_at != limit:
        was_cut_off = row["metadata"].get("auto_ended", False)
        must_equal(was_cut_off, written_at > limit, "metadata.auto_ended")


@dataclass
class Folded:
    """A session as its events alone tell it."""

    status: str | None = None
    mechanic_id: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    connected: set[str] = field(default_factory=set)

    def take(self, event: Row) -> None:
        payload = event["payload"]
        self.status = payload.get("to", self.status)
        match event["type"]:
            case "accepted":
                self.mechanic_id = event["actor_id"]
            case "released":
                self.connected.discard(self.mechanic_id or "")
                self.mechanic_id = None
            case "joined":
                self.connected.add(payload["user_id"])
            case "left" | "disconnected":
                self.connected.discard(payload["user_id"])
            case "started":
                self.started_at = event["occurred_at"]
            case "ended":
                self.ended_at = event["occurred_at"]
                self.connected.clear()
            case _:
                pass


def log_tells_the_row(row: Row) -> None:
    """MOD-04: versions rise by event, and the events fold to the row."""
    events: Sequence[Row] = row["events"]
    versions = [event["version"] for event in events]
    must(all(a < b for a, b in pairwise(versions)), f"versions: {versions}")
    must_equal(row["version"], versions[-1], "version of the row")
    types = Counter(event["type"] for event in events)
    for once in ("created", "started", "ended"):
        must(types[once] <= 1, f"{types[once]} times {once}")
    must_equal(types["status_changed"], 0, "changes of status outside the engine")
    warnings = Counter(
        (event["type"], event["payload"]["expires_at"])
        for event in events
        if event["type"].startswith("warning_")
    )
    must(all(count == 1 for count in warnings.values()), f"warnings told twice: {warnings}")

    folded = Folded()
    for event in events:
        folded.take(event)
    for name in ("status", "mechanic_id", "started_at", "ended_at"):
        must_equal(row[name], getattr(folded, name), f"{name} by its events")
    connected = {one["user_id"] for one in row["people"] if one["is_connected"]}
    must_equal(connected, folded.connected, "who is connected, by the events")


def at_most_one_active_session(rows: Iterable[Row]) -> None:
    """MOD-05."""
    active = Counter(row["customer_user_id"] for row in rows if row["status"] in ACTIVE)
    must(all(count == 1 for count in active.values()), f"active sessions: {active}")


# where the model has the word


def rows_agree(row: Row, expected: Row, what: str) -> None:
    for name, value in expected.items():
        column = COLUMN_OF.get(name, name)
        if name == "interrupted_at" and row["status"] != "reconnecting":
            continue
        must_equal(row[column], value, f"{what}: {column}")


def session_agrees(row: Row, model: Model, session: Session) -> None:
    """A session as a tick leaves it is the session of the model."""
    what = f"session {session.number}"
    rows_agree(row, session.row(), what)
    must_equal(
        {one["user_id"]: (one["role"], one["closed_at"] is not None) for one in row["people"]},
        {who: (one.role, one.is_closed) for who, one in session.people.items()},
        f"{what}: people",
    )
    for one in row["people"]:
        known = session.people[one["user_id"]]
        who = f"{what}: {one['user_id']}"
        must_equal(one["is_connected"], known.is_connected, f"{who} is connected")
        must_equal(one["first_joined_at"], known.first_joined_at, f"{who} first joined")
        if not session.is_over and not known.is_closed:
            must_equal(one["last_seen_at"], known.last_seen_at, f"{who} was last seen")
            must_equal(one["left_at"], known.left_at, f"{who} left")

    assignment = row["assignment"]
    if session.is_over:
        must(assignment["closed_at"] is not None, f"{what}: its assignment is open")
    else:
        expected = "queued" if session.mechanic is None else "accepted"
        must_equal(assignment["status"], expected, f"{what}: assignment")
        must_equal(assignment["mechanic_id"], session.mechanic, f"{what}: assignment's mechanic")
        must_equal(assignment["visible_to_all_at"], session.visible_at, f"{what}: window")

    next_warning = model.next_warning(session, ticked=True)
    must_equal(row["next_warning_at"], next_warning, f"{what}: next warning")
    told = [event["type"] for event in row["events"] if event["type"].startswith("warning_")]
    due = [
        f"warning_{minutes}m"
        for minutes, at in model.warnings(session)
        if minutes in session.warned or (session.is_running and at <= model.now)
    ]
    must_equal(told, due, f"{what}: warnings")


def everything_holds(
    model: Model, stored: Sequence[Row], settled: Sequence[Row], numbers: Mapping[str, int]
) -> None:
    """Every law, for the rows that are stored and for those that a tick would leave."""
    must_equal(len(settled), len(model.sessions), "how many sessions there are")
    at_most_one_active_session(settled)
    by_id = {row["id"]: row for row in settled}
    for row in stored:
        for one in (row, by_id[row["id"]]):
            stamps_fit_the_status(one)
            arithmetic(one, model.rules)
            cut_off_is_marked(one, model.rules)
            log_tells_the_row(one)
        after = by_id[row["id"]]
        session = model.sessions[numbers[row["id"]] - 1]
        must(row["version"] <= after["version"], "a tick lowered a version")
        must_equal(
            row["effective"], after["status"], f"effective status of session {session.number}"
        )
        session_agrees(after, model, session)
        billed_is_within_the_truth(after, session, model.rules)
