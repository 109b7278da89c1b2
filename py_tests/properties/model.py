"""What a session is, in plain values: the state machine's other half.

Written from the specification and not from the SQL. It is eager: before each command everything
that is due has happened, in every session, so that nothing here knows of jobs, locks or of what has
been written down already. The database is lazy, and must nevertheless look the same to everybody.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

Spans: TypeAlias = list[tuple[datetime, datetime]]
Answer: TypeAlias = Any

CUSTOMERS = ("customer 1", "customer 2")
MECHANICS = ("mechanic 1", "mechanic 2", "mechanic 3")
# A mechanic may be a customer of others.
WHO_CREATES = (*CUSTOMERS, "mechanic 3")
STRANGER = "customer 3"
ADMIN = "admin"
SYSTEM = "system"
STAFF = (ADMIN, SYSTEM)

PLANS = {"chat10": ("chat", 30), "video15": ("video", 45), "diagnostic": ("diagnostic", 60)}
ACTIVE = ("pending", "scheduled", "accepted", "waiting", "live", "reconnecting")
RUNNING = ("live", "reconnecting")
BANNER_ORDER = ("live", "reconnecting", "waiting", "accepted", "scheduled", "pending")


@dataclass(frozen=True)
class Rules:
    """The settings that the commands played here depend on."""

    min_billable_seconds: int = 60
    billable_basis: str = "elapsed"
    orphan_after_minutes: int = 120
    max_session_minutes: int = 180
    unattended_after_minutes: int | None = None
    no_show_after_seconds: int = 300
    warning_minutes: tuple[int, ...] = (5, 1)
    presence_timeout_seconds: int = 90
    reconnect_grace_seconds: int = 300
    chat_reconnect_grace_seconds: int = 900
    early_join_minutes: int = 10
    preferred_mechanic_window_seconds: int = 120
    max_active_sessions_per_mechanic: int = 1
    free_sessions_per_customer: int = 1_000_000


class RefusedError(Exception):
    """A command was refused with this code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Call:
    """One command of one actor at one moment; sessions are numbered in the order of creation."""

    at: datetime
    actor: str
    command: str
    session: int | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        given = [] if self.session is None else [f"session {self.session}"]
        given += [f"{name}={value}" for name, value in self.arguments.items()]
        return f"{self.at:%d %H:%M:%S.%f}  {self.actor}: {self.command}({', '.join(given)})"


@dataclass
class Presence:
    """Somebody in a session: signs of life, and the spans of time they prove."""

    role: str
    is_connected: bool = False
    first_joined_at: datetime | None = None
    last_seen_at: datetime | None = None
    left_at: datetime | None = None
    is_closed: bool = False
    since: datetime | None = None
    # Set when the video server's word brought this person in: heard then, true since video_time.
    by_video_at: datetime | None = None
    video_time: datetime | None = None
    spans: Spans = field(default_factory=list)
    joins: list[datetime] = field(default_factory=list)
    brought_by_video: set[datetime] = field(default_factory=set)

    @property
    def seen(self) -> datetime:
        """The last sign of life of somebody who has given one."""
        assert self.last_seen_at is not None
        return self.last_seen_at

    @property
    def is_vouched_by_video_only(self) -> bool:
        return self.by_video_at is not None

    def sign_of_life(self, now: datetime) -> None:
        if self.is_connected:
            self.last_seen_at = max(self.seen, now)
            self.by_video_at = None

    def join(self, now: datetime) -> None:
        if self.is_connected:
            self.sign_of_life(now)
        else:
            self._appear(now)
            self.by_video_at = None
            # His own word counts at once, also after the video server's in the same microsecond.
            self.brought_by_video.discard(now)

    def join_by_video(self, now: datetime, occurred_at: datetime) -> None:
        self._appear(now)
        self.by_video_at = now
        self.brought_by_video.add(now)
        self.video_time = occurred_at

    def _appear(self, now: datetime) -> None:
        self.is_connected = True
        self.first_joined_at = self.first_joined_at or now
        self.last_seen_at = max(self.last_seen_at or now, now)
        self.left_at = None
        self.since = now
        self.joins.append(now)

    def drop(self, at: datetime) -> None:
        if not self.is_connected:
            return
        assert self.since is not None
        if not self.is_vouched_by_video_only:
            self.spans.append((self.since, max(at, self.since)))
        self.is_connected = False
        self.left_at = at
        self.since = None

    def known(self, until: datetime, *, trusting_video: bool = False) -> Spans:
        """When this person was here, as far as until; the video server's word alone is no proof."""
        spans = list(self.spans)
        if self.since is not None and (trusting_video or not self.is_vouched_by_video_only):
            spans.append((self.since, max(until, self.since)))
        until_then = [(a, min(b, until)) for a, b in spans]
        # A moment counts, but not that of the video server's word: only what comes after it.
        return [
            (a, b) for a, b in until_then if a < b or (a == b and a not in self.brought_by_video)
        ]


def overlap(first: Spans, second: Spans) -> Spans:
    """The time in both; a single moment counts too."""
    found = [(max(a, c), min(b, d)) for a, b in first for c, d in second]
    return sorted((a, b) for a, b in found if a <= b)


def seconds(spans: Spans) -> int:
    """Whole seconds in spans that may touch one another."""
    total = timedelta()
    reached: datetime | None = None
    for start, end in sorted(spans):
        begin = start if reached is None else max(start, reached)
        if end > begin:
            total += end - begin
        reached = end if reached is None else max(reached, end)
    return total // timedelta(seconds=1)


@dataclass
class Session:
    number: int
    customer: str
    plan: str
    created_at: datetime
    visible_at: datetime
    preferred: str | None
    scheduled_for: datetime | None
    status: str
    mechanic: str | None = None
    accepted_at: datetime | None = None
    started_at: datetime | None = None
    expires_at: datetime | None = None
    ended_at: datetime | None = None
    duration_seconds: int | None = None
    billable_seconds: int | None = None
    both_present_seconds: int | None = None
    interrupted_at: datetime | None = None
    grace_ends_at: datetime | None = None
    end_reason: str | None = None
    ended_by: str | None = None
    people: dict[str, Presence] = field(default_factory=dict)
    # Who declined it or gave it back, which of the two, and when.
    refused: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    warned: set[int] = field(default_factory=set)
    # What extensions have added.
    bought_minutes: int = 0

    @property
    def type(self) -> str:
        return PLANS[self.plan][0]

    @property
    def minutes(self) -> int:
        return PLANS[self.plan][1] + self.bought_minutes

    @property
    def waiting_since(self) -> datetime:
        """What every waiting time counts from."""
        return max(t for t in (self.created_at, self.scheduled_for, self.accepted_at) if t)

    @property
    def changed_at(self) -> datetime:
        """When something last happened to it, but for a refusal that nobody hears of."""
        times = [self.created_at, self.accepted_at]
        if self.status not in ("scheduled", "accepted"):
            times.append(self.scheduled_for)
        for one in self.people.values():
            times += [*one.joins, one.left_at]
        times += [at for kind, at in self.refused.values() if kind == "released"]
        return max(at for at in times if at is not None)

    def was_just(self, mechanic: str, kind: str) -> bool:
        """Whether this mechanic asks again for what he did last, nothing having happened since."""
        refused = self.refused.get(mechanic)
        return (
            refused is not None
            and refused[0] == kind
            and refused[1] >= self.changed_at
            and self.status in ("pending", "scheduled")
        )

    @property
    def is_over(self) -> bool:
        return self.status not in ACTIVE

    @property
    def is_running(self) -> bool:
        return self.status in RUNNING

    @property
    def connected(self) -> list[Presence]:
        return [one for one in self.open_people.values() if one.is_connected]

    @property
    def open_people(self) -> dict[str, Presence]:
        return {who: one for who, one in self.people.items() if not one.is_closed}

    def role_of(self, actor: str) -> str | None:
        return {self.customer: "customer", self.mechanic: "mechanic"}.get(actor)

    def shared(self, until: datetime, *, trusting_video: bool = False) -> Spans:
        """When both were here since the start, as far as until."""
        assert self.started_at is not None
        assert self.mechanic is not None
        customer, mechanic = (
            self.people[who].known(until, trusting_video=trusting_video)
            for who in (self.customer, self.mechanic)
        )
        since_start = [(self.started_at, max(until, self.started_at))]
        return overlap(overlap(customer, mechanic), since_start)

    def last_together(self, until: datetime, *, trusting_video: bool = False) -> datetime:
        assert self.started_at is not None
        spans = self.shared(until, trusting_video=trusting_video)
        return max([end for _, end in spans], default=self.started_at)

    def row(self) -> dict[str, Any]:
        """The columns of a stored session that mean something to a client."""
        return {
            name: getattr(self, name)
            for name in (
                "status",
                "mechanic",
                "preferred",
                "scheduled_for",
                "accepted_at",
                "started_at",
                "expires_at",
                "ended_at",
                "duration_seconds",
                "billable_seconds",
                "both_present_seconds",
                "grace_ends_at",
                "end_reason",
                "ended_by",
            )
        } | {"interrupted_at": self.interrupted_at if self.status == "reconnecting" else None}

    def outcome(self) -> dict[str, Any]:
        """What an end call answers."""
        return {
            "final_status": self.status,
            "started": self.started_at is not None,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "duration_seconds": self.duration_seconds,
            "billable_seconds": self.billable_seconds,
            "reason": self.end_reason,
        }


class Model:
    """The sessions of a few people, and what each command does to them."""

    def __init__(self, rules: Rules, now: datetime) -> None:
        self.rules = rules
        self.now = now
        self.sessions: list[Session] = []
        self.keys: dict[tuple[str, str], tuple[Mapping[str, Any], int]] = {}
        self.not_accepting: set[str] = set()
        self.facts: dict[str, tuple[int, str, str, str, datetime]] = {}

    # playing

    def play(self, call: Call) -> Answer:
        """The answer of a command, or `RefusedError`; a refused one changes nothing."""
        self.advance(call.at)
        if call.command == "nothing":
            return None
        command: Callable[..., Answer] = getattr(self, call.command)
        before = copy.deepcopy(self.__dict__)
        arguments = dict(call.arguments)
        if call.session is not None:
            arguments["session"] = self._find(call.session)
        try:
            answer = command(call.actor, **arguments)
        except RefusedError:
            self.__dict__.update(before)
            raise
        self.advance(call.at)
        return answer

    def advance(self, to: datetime) -> None:
        self.now = max(self.now, to)
        for session in self.sessions:
            self._settle(session)

    def _find(self, number: int) -> Session | None:
        return self.sessions[number - 1] if 1 <= number <= len(self.sessions) else None

    def active(self) -> list[Session]:
        return [session for session in self.sessions if not session.is_over]

    # what time does

    def _settle(self, s: Session) -> None:
        if s.is_over:
            return
        if s.scheduled_for is not None and s.scheduled_for <= self.now:
            s.status = {"scheduled": "pending", "accepted": "waiting"}.get(s.status, s.status)
        while not s.is_over:
            over_at = min([at for at in (s.expires_at, s.grace_ends_at) if at], default=None)
            silent = min(s.connected, key=lambda one: one.seen, default=None)
            found_at = silent.seen + self.timeout if silent is not None else None
            if silent and found_at and found_at <= min(self.now, over_at or self.now):
                self._drop(s, silent, silent.seen)
            elif over_at is not None and over_at <= self.now:
                self._end(s, None, None)
            else:
                return

    def _drop(self, s: Session, one: Presence, at: datetime) -> None:
        """Somebody is gone. The first to go interrupts; who never was moves that back."""
        never_was = one.is_vouched_by_video_only
        one.drop(at)
        if s.status == "live" or (s.status == "reconnecting" and never_was):
            apart_since = s.last_together(at, trusting_video=True)
            s.status = "reconnecting"
            s.interrupted_at = min(s.interrupted_at or apart_since, apart_since)
            s.grace_ends_at = s.interrupted_at + self.grace(s)

    @property
    def timeout(self) -> timedelta:
        return timedelta(seconds=self.rules.presence_timeout_seconds)

    def grace(self, s: Session) -> timedelta:
        chat = s.type == "chat"
        rules = self.rules
        return timedelta(
            seconds=rules.chat_reconnect_grace_seconds if chat else rules.reconnect_grace_seconds
        )

    def warnings(self, s: Session) -> Iterator[tuple[int, datetime]]:
        """Every warning that this session is to have, in order."""
        if s.expires_at is None or s.started_at is None:
            return
        for minutes in sorted(self.rules.warning_minutes, reverse=True):
            due = s.expires_at - timedelta(minutes=minutes)
            if due > s.started_at:
                yield minutes, due

    def next_warning(self, s: Session, *, ticked: bool) -> datetime | None:
        """When the next warning is due, `ticked` when a tick has just sent what was due."""
        if not s.is_running:
            return None
        left = [
            due
            for minutes, due in self.warnings(s)
            if minutes not in s.warned and not (ticked and due <= self.now)
        ]
        return min(left, default=None)

    def deadlines(self) -> list[datetime]:
        """Moments to come at which something changes by itself, or a decision changes."""
        rules = self.rules
        found: set[datetime] = set()
        for s in self.active():
            found.add(s.visible_at)
            found.add(s.waiting_since + timedelta(minutes=rules.orphan_after_minutes))
            if s.scheduled_for is not None:
                found.add(s.scheduled_for)
                found.add(s.scheduled_for - timedelta(minutes=rules.early_join_minutes))
            if s.accepted_at is not None:
                found.add(s.accepted_at + timedelta(seconds=rules.no_show_after_seconds))
            if s.started_at is not None:
                found.add(s.started_at + timedelta(seconds=rules.min_billable_seconds))
            if s.expires_at is not None:
                found.add(s.expires_at)
            if s.grace_ends_at is not None:
                found.add(s.grace_ends_at)
            found.update(due for _, due in self.warnings(s))
            found.update(one.seen + self.timeout for one in s.connected)
        return sorted(moment for moment in found if moment > self.now)

    # the end

    def _end(self, s: Session, asker: str | None, cause: str | None) -> None:
        rules = self.rules
        reached = self.now if s.expires_at is None else min(self.now, s.expires_at)
        if s.started_at is not None:
            s.ended_at = min(s.interrupted_at or reached, reached)
            if any(one.is_vouched_by_video_only for one in s.connected):
                s.ended_at = min(s.ended_at, s.last_together(s.ended_at))
            both = seconds(s.shared(s.ended_at))
            s.duration_seconds = (s.ended_at - s.started_at) // timedelta(seconds=1)
            s.both_present_seconds = both
            s.billable_seconds = s.duration_seconds
            if rules.billable_basis == "both_present":
                s.billable_seconds = min(both, s.duration_seconds)
            if s.billable_seconds >= rules.min_billable_seconds:
                s.status, s.end_reason = "completed", "completed"
            else:
                s.status, s.end_reason = "cancelled", "too_short"
        else:
            s.ended_at = reached
            s.duration_seconds = s.billable_seconds = s.both_present_seconds = 0
            s.status = {"orphaned": "expired", "unattended": "unattended"}.get(
                cause or "", "cancelled"
            )
            s.end_reason = cause or self._reason(s, asker)
        s.ended_by = asker if asker != SYSTEM else None
        s.interrupted_at = s.grace_ends_at = None
        for one in s.people.values():
            one.drop(s.ended_at)

    def _reason(self, s: Session, asker: str | None) -> str:
        if s.mechanic is None or s.accepted_at is None:
            return "cancelled_before_accept"
        waited = {
            role: self._presence_since(s.people[who], s.accepted_at)
            for role, who in (("customer", s.customer), ("mechanic", s.mechanic))
        }
        long_enough = self.rules.no_show_after_seconds
        for role, other in (("customer", "mechanic"), ("mechanic", "customer")):
            stayed = waited[other]
            if waited[role] is None and stayed is not None and stayed >= long_enough:
                return f"{role}_no_show"
        if asker is None or asker == SYSTEM:
            return "nobody_joined"
        return f"cancelled_by_{s.role_of(asker) or 'admin'}"

    def _presence_since(self, one: Presence, accepted_at: datetime) -> int | None:
        """Whole seconds somebody showed signs of life since the accept; null: never came."""
        spans = list(one.spans)
        if one.since is not None:
            spans.append((one.since, one.seen))
        spans = [(max(a, accepted_at), b) for a, b in spans if b > accepted_at]
        came = bool(spans) or any(joined >= accepted_at for joined in one.joins)
        return seconds(spans) if came else None

    # who may

    def _own(self, actor: str, s: Session | None) -> Session:
        if s is None or s.role_of(actor) is None:
            raise RefusedError("session_not_found")
        return s

    def _own_or_staff(self, actor: str, s: Session | None) -> Session:
        if s is not None and actor in STAFF:
            return s
        return self._own(actor, s)

    def _staff(self, actor: str) -> None:
        if actor not in STAFF:
            raise RefusedError("role_required")

    def _may_join(self, s: Session, actor: str) -> bool:
        role = s.role_of(actor)
        if role is None or s.is_over:
            return False
        if s.status == "pending":
            return role == "customer"
        if s.status in ("scheduled", "accepted"):
            assert s.scheduled_for is not None
            return self.now >= s.scheduled_for - timedelta(minutes=self.rules.early_join_minutes)
        return True

    # creating

    def create_session(
        self,
        actor: str,
        plan: str,
        preferred: str | None = None,
        scheduled_for: datetime | None = None,
        key: str | None = None,
    ) -> Answer:
        arguments = {"plan": plan, "preferred": preferred, "scheduled_for": scheduled_for}
        if key is not None and (actor, key) in self.keys:
            used, number = self.keys[actor, key]
            if used != arguments:
                raise RefusedError("idempotency_conflict")
            return self.sessions[number - 1].row()
        if plan not in PLANS:
            raise RefusedError("plan_not_found")
        if scheduled_for is not None and scheduled_for <= self.now:
            raise RefusedError("invalid_argument")
        if preferred is not None and (preferred == actor or preferred not in MECHANICS):
            raise RefusedError("invalid_argument")
        if any(s.customer == actor for s in self.active()):
            raise RefusedError("active_session_exists")
        # A mechanic who takes nothing at present does not keep the others waiting.
        window = timedelta()
        if preferred is not None and preferred not in self.not_accepting:
            window = timedelta(seconds=self.rules.preferred_mechanic_window_seconds)
        made = Session(
            number=len(self.sessions) + 1,
            customer=actor,
            plan=plan,
            created_at=self.now,
            visible_at=self.now + window,
            preferred=preferred,
            scheduled_for=scheduled_for,
            status="pending" if scheduled_for is None else "scheduled",
        )
        made.people[actor] = Presence("customer")
        self.sessions.append(made)
        if key is not None:
            self.keys[actor, key] = (arguments, made.number)
        return made.row()

    # queue

    def _is_offered(self, s: Session, mechanic: str) -> bool:
        return (
            s.customer != mechanic
            and mechanic not in s.refused
            and (s.visible_at <= self.now or s.preferred == mechanic)
        )

    def _accepting(self, actor: str) -> None:
        if actor not in MECHANICS or actor in self.not_accepting:
            raise RefusedError("role_required")

    def set_availability(self, actor: str, is_accepting: bool) -> Answer:
        if actor not in MECHANICS:
            raise RefusedError("role_required")
        if is_accepting:
            self.not_accepting.discard(actor)
        else:
            self.not_accepting.add(actor)
        return None

    def mechanic_queue(self, actor: str) -> Answer:
        self._accepting(actor)
        rows = [
            {
                "session": s.number,
                "waiting_seconds": max(
                    0,
                    (self.now - s.waiting_since) // timedelta(seconds=1),
                ),
                "is_preferred": s.preferred == actor,
            }
            for s in self.sessions
            if s.status in ("pending", "scheduled") and self._is_offered(s, actor)
        ]
        return sorted(rows, key=lambda row: (not row["is_preferred"], row["session"]))

    def accept_assignment(self, actor: str, session: Session | None) -> Answer:
        if session is not None and session.mechanic == actor:
            return session.row()
        self._accepting(actor)
        if session is None or not self._is_offered(session, actor):
            raise RefusedError("assignment_not_found")
        if session.is_over:
            raise RefusedError("session_ended")
        if session.mechanic is not None:
            raise RefusedError("assignment_taken")
        is_for_later = session.scheduled_for is not None and session.scheduled_for > self.now
        busy = sum(
            1
            for other in self.active()
            if other.mechanic == actor
            and (
                self._overlaps(other, session)
                if other.status == "accepted"
                else not is_for_later and other.status in ("waiting", *RUNNING)
            )
        )
        if busy >= self.rules.max_active_sessions_per_mechanic:
            raise RefusedError("mechanic_busy")
        session.mechanic = actor
        session.accepted_at = self.now
        session.status = "accepted" if is_for_later else "waiting"
        session.people[actor] = Presence("mechanic")
        return session.row()

    def _overlaps(self, one: Session, other: Session) -> bool:
        a, b = (max(s.scheduled_for or self.now, self.now) for s in (one, other))
        return a < b + timedelta(minutes=other.minutes) and b < a + timedelta(minutes=one.minutes)

    def decline_assignment(self, actor: str, session: Session | None) -> Answer:
        self._accepting(actor)
        if session is None:
            raise RefusedError("assignment_not_found")
        if session.was_just(actor, "declined"):
            return session.row()
        if not self._is_offered(session, actor):
            raise RefusedError("assignment_not_found")
        if session.is_over:
            raise RefusedError("session_ended")
        if session.mechanic is not None:
            raise RefusedError("assignment_taken")
        session.refused[actor] = ("declined", self.now)
        if session.preferred == actor:
            session.visible_at = min(session.visible_at, self.now)
        return session.row()

    def release_assignment(self, actor: str, session: Session | None) -> Answer:
        if session is None:
            raise RefusedError("assignment_not_found")
        if session.mechanic != actor:
            if session.was_just(actor, "released"):
                return session.row()
            raise RefusedError("assignment_not_found")
        if session.is_over:
            raise RefusedError("session_ended")
        if session.is_running:
            raise RefusedError("session_not_active")
        session.status = "pending" if session.status == "waiting" else "scheduled"
        session.people[actor].sign_of_life(self.now)
        session.people[actor].drop(self.now)
        session.people[actor].is_closed = True
        session.mechanic = None
        session.accepted_at = None
        session.refused[actor] = ("released", self.now)
        session.visible_at = min(session.visible_at, self.now)
        return session.row()

    # presence

    def _start(self, s: Session) -> None:
        if s.status in ("waiting", "accepted", *RUNNING):
            people = s.open_people.values()
            if len(people) == 2 and all(one.is_connected for one in people):
                if s.started_at is None:
                    s.started_at = self.now
                    s.expires_at = self.now + timedelta(minutes=s.minutes)
                s.status, s.interrupted_at, s.grace_ends_at = "live", None, None

    def join_session(self, actor: str, session: Session | None) -> Answer:
        s = self._own(actor, session)
        if s.is_over:
            raise RefusedError("session_ended")
        if not self._may_join(s, actor):
            raise RefusedError("session_not_active")
        s.people[actor].join(self.now)
        self._start(s)
        return s.row()

    def leave_session(self, actor: str, session: Session | None) -> Answer:
        s = self._own(actor, session)
        if not s.is_over:
            s.people[actor].sign_of_life(self.now)
            if s.people[actor].is_connected:
                self._drop(s, s.people[actor], self.now)
        return s.row()

    def heartbeat_session(self, actor: str, session: Session | None) -> Answer:
        s = self._own(actor, session)
        one = s.people[actor]
        if s.is_over:
            return s.row()
        if one.is_connected:
            one.sign_of_life(self.now)
        elif one.first_joined_at is not None and self._may_join(s, actor):
            one.join(self.now)
            self._start(s)
        return s.row()

    def start_session(self, actor: str, session: Session | None) -> Answer:
        s = self._own(actor, session)
        if s.is_over:
            raise RefusedError("session_ended")
        s.people[actor].sign_of_life(self.now)
        if s.status != "live":
            raise RefusedError("not_both_present")
        return s.row()

    def record_presence_event(
        self,
        actor: str,
        session: Session | None,
        who: str,
        role: str,
        event: str,
        event_id: str,
        ago: float,
    ) -> Answer:
        self._system(actor)
        if session is None:
            raise RefusedError("session_not_found")
        s = session
        if event_id in self.facts:
            return None
        occurred_at = min(self.now, self.now - timedelta(seconds=ago))
        heard = [fact for fact in self.facts.values() if fact[:3] == (s.number, role, who)]
        self.facts[event_id] = (s.number, role, who, event, occurred_at)
        if s.is_over or s.role_of(who) != role:
            return s.row()
        one = s.people[who]
        if event == "participant_left":
            if one.is_connected and occurred_at >= self._vouched_until(one):
                self._drop(s, one, one.seen)
        elif not one.is_connected and self._may_join(s, who):
            gone = [fact[4] for fact in heard if fact[3] == "participant_left"]
            gone += [one.left_at] if one.left_at is not None else []
            if occurred_at + self.timeout > self.now and all(at < occurred_at for at in gone):
                one.join_by_video(self.now, occurred_at)
                self._start(s)
        return s.row()

    def _vouched_until(self, one: Presence) -> datetime:
        """The newest sign that somebody connected is here: his own, or the video server's."""
        if one.is_vouched_by_video_only and one.video_time is not None:
            return one.video_time
        return one.seen

    # reading

    def get_active_session(self, actor: str) -> Answer:
        """The number of the caller's active session; asking is a sign of life in it."""
        mine = [s for s in reversed(self.active()) if s.role_of(actor) is not None]
        if not mine:
            return None
        found = min(mine, key=lambda s: BANNER_ORDER.index(s.status))
        found.people[actor].sign_of_life(self.now)
        return found.number

    def session_snapshot(self, actor: str, session: Session | None) -> Answer:
        s = self._own_or_staff(actor, session)
        if actor in s.open_people and not s.is_over:
            s.people[actor].sign_of_life(self.now)
        absent = [one.role for one in s.open_people.values() if not one.is_connected]
        return {
            "session": s.row(),
            "participants": {
                who: (one.role, one.is_connected, one.first_joined_at)
                for who, one in s.open_people.items()
            },
            "remaining": s.expires_at - self.now if s.is_running and s.expires_at else None,
            "next_warning_at": self.next_warning(s, ticked=False),
            "absent_role": None
            if s.status != "reconnecting"
            else "both"
            if len(absent) == 2
            else absent[0],
            "grace_ends_at": s.grace_ends_at,
            "can_join": self._may_join(s, actor),
            "join_from": None
            if s.scheduled_for is None or s.is_over
            else s.scheduled_for - timedelta(minutes=self.rules.early_join_minutes),
        }

    def preview_end(self, actor: str, session: Session | None) -> Answer:
        s = copy.deepcopy(self._own_or_staff(actor, session))
        self._ask_for_end(s, actor)
        return s.outcome()

    # ending

    def _ask_for_end(self, s: Session, actor: str) -> None:
        if not s.is_over:
            if actor in s.open_people:
                s.people[actor].sign_of_life(self.now)
            self._end(s, actor, None)

    def end_session_with_semantics(self, actor: str, session: Session | None) -> Answer:
        s = self._own_or_staff(actor, session)
        self._ask_for_end(s, actor)
        return s.outcome()

    def mark_session_unattended(self, actor: str, session: Session | None) -> Answer:
        self._staff(actor)
        if session is None:
            raise RefusedError("session_not_found")
        if session.status == "unattended":
            return session.row()
        if session.is_over:
            raise RefusedError("session_ended")
        if session.status != "pending":
            raise RefusedError("session_not_active")
        self._end(session, actor, "unattended")
        return session.row()

    def archive_sessions(self, actor: str, before: datetime) -> Answer:
        self._staff(actor)
        old = [
            s
            for s in self.sessions
            if s.ended_at is not None and s.ended_at < before and s.status != "archived"
        ]
        for s in old:
            s.status = "archived"
        return len(old)

    # jobs

    def tick_sessions(self, actor: str) -> Answer:
        self._system(actor)
        for s in self.sessions:
            if s.is_running:
                s.warned |= {minutes for minutes, due in self.warnings(s) if due <= self.now}
        return None

    def end_expired_sessions(self, actor: str) -> Answer:
        self._system(actor)

    def expire_orphaned_sessions(self, actor: str) -> Answer:
        self._system(actor)
        limit = timedelta(minutes=self.rules.orphan_after_minutes)
        old = [s for s in self.active() if not s.is_running and s.waiting_since < self.now - limit]
        for s in old:
            self._end(s, None, "orphaned")
        return len(old)

    def monitor_sessions(self, actor: str) -> Answer:
        self._system(actor)
        minutes = self.rules.unattended_after_minutes
        if minutes is None:
            return 0
        limit = timedelta(minutes=minutes)
        old = [
            s for s in self.sessions if s.status == "pending" and s.waiting_since < self.now - limit
        ]
        for s in old:
            self._end(s, None, "unattended")
        return len(old)

    def _system(self, actor: str) -> None:
        if actor != SYSTEM:
            raise RefusedError("permission_denied")
