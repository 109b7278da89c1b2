"""Hostile facts from the video server: whatever it says, in whatever order and however often, no
more is billed than the two really had, and no session starts before the database knew of both.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from concurrency.interleaving import PooledWorld, attempt, gist
from support.world import Live, Row, World, expect

END = "end_session_with_semantics"
TIMEOUT = 90


@dataclass
class Video:
    """The video server, telling of one session."""

    world: World
    made: Live
    told: int = 0

    def tell(
        self,
        identity: str,
        event: str,
        *,
        ago: float = 0,
        name: str | None = None,
    ) -> Row:
        self.told += 1
        return self.world.one(
            "service_role",
            "record_presence_event",
            p_session_id=self.made.id,
            p_identity=identity,
            p_event=f"participant_{event}",
            p_event_id=f"{self.made.id}/{name or self.told}",
            p_occurred_at=self.world.now() - timedelta(seconds=ago),
        )

    def customer(self, event: str, **how: Any) -> Row:
        return self.tell(f"customer-{self.made.customer}", event, **how)

    def mechanic(self, event: str, **how: Any) -> Row:
        return self.tell(f"mechanic-{self.made.mechanic}", event, **how)


def _waiting(world: World) -> tuple[Live, Video]:
    world.advance(0)
    made = world.waiting_session()
    return made, Video(world, made)


def _join(world: World, made: Live, *who: UUID) -> None:
    for person in who or (made.customer, made.mechanic):
        world.call(person, "join_session", p_session_id=made.id)


def _beat(world: World, made: Live, *who: UUID) -> None:
    for person in who or (made.customer, made.mechanic):
        world.call(person, "heartbeat_session", p_session_id=made.id)


def _outcomes(world: World, made: Live) -> list[str]:
    found = world.rows(
        "select split_part(outcome, ':', 1) as outcome from private.presence_facts"
        " where session_id = %s order by received_at, event_id",
        made.id,
    )
    return [row["outcome"] for row in found]


def _unbilled(row: Row) -> bool:
    return row["status"] == "cancelled" and not row["billable_seconds"]


@pytest.fixture
def world(shared_world: PooledWorld) -> PooledWorld:
    return shared_world


@pytest.fixture(params=["elapsed", "both_present"])
def basis(world: World, request: pytest.FixtureRequest) -> Iterator[str]:
    """What is billed, for the test."""
    key = "billable_basis"
    world.call("system", "set_setting", p_key=key, p_value=request.param)
    yield str(request.param)
    world.call("system", "set_setting", p_key=key, p_value="elapsed")


@pytest.mark.usefixtures("basis")
@pytest.mark.parametrize("how", ["ended", "left alone", "ended at once"])
def test_a_ghost_that_never_leaves_is_not_billed(world: World, how: str) -> None:
    """PRE-04: a mechanic whom only the video server saw completes nothing, whoever ends it."""
    made, video = _waiting(world)
    _join(world, made, made.customer)
    assert video.mechanic("joined")["status"] == "live"
    assert world.session(made.id)["started_at"] == world.now()
    for _ in range(1 if how == "ended at once" else 70):
        world.advance(60)
        _beat(world, made, made.customer)
    if how == "left alone":
        world.advance(86400)
        world.call("system", "tick_sessions")
    else:
        world.call(made.customer, END, p_session_id=made.id)
    assert _unbilled(world.session(made.id))


@pytest.mark.usefixtures("basis")
def test_a_ghost_that_rejoins_again_and_again_is_not_billed(world: World) -> None:
    """PRE-04: joins by video keep no presence alive, however many come."""
    made, video = _waiting(world)
    _join(world, made, made.customer)
    for _ in range(80):
        world.advance(25)
        video.mechanic("joined")
        _beat(world, made, made.customer)
    world.call(made.customer, END, p_session_id=made.id)
    assert _unbilled(world.session(made.id))


@pytest.mark.usefixtures("basis")
def test_two_ghosts_are_not_billed(world: World) -> None:
    """PRE-04: a session that only the video server saw is never completed."""
    made, video = _waiting(world)
    video.customer("joined")
    video.mechanic("joined")
    for second in range(1, 20):
        world.advance(80)
        video.customer("joined" if second % 2 else "left")
        video.mechanic("left" if second % 3 else "joined")
        world.call("system", "tick_sessions")
    world.advance(86400)
    world.call("system", "tick_sessions")
    row = world.session(made.id)
    if row["status"] == "waiting":
        world.call("system", "expire_orphaned_sessions")
        row = world.session(made.id)
    assert row["status"] in {"cancelled", "expired"}
    assert not row["billable_seconds"]


@pytest.mark.usefixtures("basis")
@pytest.mark.parametrize("again", [False, True])
def test_a_return_by_video_alone_is_not_billed(world: World, again: bool) -> None:
    """PRE-04, END-02: who left and came back by video only had left when he left."""
    made, video = _waiting(world)
    _join(world, made)
    world.advance(80)
    _beat(world, made)
    world.call(made.mechanic, "leave_session", p_session_id=made.id)
    world.advance(10)
    assert video.mechanic("joined")["status"] == "live"
    for _ in range(4):
        world.advance(20)
        if again:
            video.mechanic("joined")
        _beat(world, made, made.customer)
    world.call(made.customer, END, p_session_id=made.id)
    row = world.session(made.id)
    assert (row["status"], row["duration_seconds"], row["billable_seconds"]) == (
        "completed",
        80,
        80,
    )
    assert row["ended_at"] == row["started_at"] + timedelta(seconds=80)


def test_a_sign_of_life_makes_a_join_by_video_true(world: World) -> None:
    """PRE-04: a join by video counts like a join once the person has given a sign of life."""
    made, video = _waiting(world)
    _join(world, made, made.customer)
    video.mechanic("joined")
    started = world.now()
    for _ in range(3):
        world.advance(40)
        _beat(world, made)
    world.call(made.customer, END, p_session_id=made.id)
    row = world.session(made.id)
    assert (row["status"], row["started_at"]) == ("completed", started)
    assert (row["duration_seconds"], row["billable_seconds"]) == (120, 120)


def test_the_start_is_when_the_database_learned_of_it(world: World) -> None:
    """PRE-04: a fact of a minute ago starts the session now and not then."""
    made, video = _waiting(world)
    _join(world, made, made.customer)
    world.advance(70)
    _beat(world, made, made.customer)
    row = video.mechanic("joined", ago=60)
    assert (row["status"], row["started_at"]) == ("live", world.now())


@pytest.mark.parametrize("ago", [TIMEOUT + 1, 3600])
def test_an_old_join_is_kept_and_starts_nothing(world: World, ago: int) -> None:
    """PRE-04: a join older than the silence that means absence has no effect."""
    made, video = _waiting(world)
    _join(world, made, made.customer)
    world.advance(1)
    row = video.mechanic("joined", ago=ago)
    assert (row["status"], row["started_at"]) == ("waiting", None)
    assert _outcomes(world, made) == ["ignored"]


def test_a_fact_from_the_future_counts_as_now(world: World) -> None:
    """PRE-04: the video server's clock is not the database's."""
    made, video = _waiting(world)
    _join(world, made, made.customer)
    row = video.mechanic("joined", ago=-86400)
    assert (row["status"], row["started_at"]) == ("live", world.now())
    world.advance(30)
    _beat(world, made)
    world.advance(30)
    row = video.mechanic("left", ago=-86400)
    assert row["status"] == "reconnecting"
    assert row["interrupted_at"] <= world.now()


def test_the_same_fact_again_changes_nothing(world: World) -> None:
    """PRE-04: a duplicate is answered with the session and leaves no trace, late or soon."""
    made, video = _waiting(world)
    _join(world, made, made.customer)
    first = video.mechanic("joined", name="one")
    assert video.mechanic("joined", name="one") == first
    world.advance(20)
    _beat(world, made)
    video.mechanic("left", name="two")
    world.advance(5)
    _join(world, made, made.mechanic)
    before = world.session(made.id)
    for name, event in (("two", "left"), ("one", "joined"), ("two", "left"), ("one", "left")):
        assert video.mechanic(event, name=name)["version"] == before["version"]
    assert world.session(made.id) == before
    assert len(_outcomes(world, made)) == 2


def test_a_leave_that_overtook_its_join_leaves_nobody_there(world: World) -> None:
    """PRE-04: a join that happened before a leave that is known already brings nobody back."""
    made, video = _waiting(world)
    _join(world, made, made.customer)
    world.advance(30)
    _beat(world, made, made.customer)
    assert video.mechanic("left", ago=5)["status"] == "waiting"
    row = video.mechanic("joined", ago=20)
    assert (row["status"], row["started_at"]) == ("waiting", None)
    for _ in range(3):
        world.advance(60)
        _beat(world, made, made.customer)
    world.call(made.customer, END, p_session_id=made.id)
    assert _unbilled(world.session(made.id))


@pytest.mark.parametrize("event", ["left", "joined"])
def test_a_leave_without_a_join_is_nothing(world: World, event: str) -> None:
    """PRE-04: whom nobody saw cannot leave, and leaving twice is leaving once."""
    made, video = _waiting(world)
    if event == "joined":
        _join(world, made)
        world.call(made.mechanic, "leave_session", p_session_id=made.id)
    before = world.event_types(made.id)
    world.advance(3)
    video.mechanic("left")
    video.mechanic("left", ago=2)
    assert world.event_types(made.id) == before


def test_a_heartbeat_is_newer_than_a_late_leave(world: World) -> None:
    """PRE-04: participant_left disconnects if no heartbeat is newer, as of the last one."""
    made, video = _waiting(world)
    _join(world, made)
    world.advance(60)
    _beat(world, made)
    world.advance(20)
    assert video.mechanic("left", ago=30)["status"] == "live"
    row = video.mechanic("left", ago=10)
    assert row["status"] == "reconnecting"
    assert row["interrupted_at"] == row["started_at"] + timedelta(seconds=60)


def test_facts_after_the_end_are_kept_and_change_nothing(world: World) -> None:
    """PRE-04: an ended session stays as it is, also when nobody has written the end down yet."""
    made, video = _waiting(world)
    _join(world, made)
    world.advance(70)
    _beat(world, made)
    world.advance(7200)
    assert video.mechanic("joined")["status"] == "completed"
    row = world.session(made.id)
    assert (row["duration_seconds"], row["billable_seconds"]) == (70, 70)
    events = world.event_types(made.id)
    world.advance(60)
    video.mechanic("left")
    video.customer("joined", ago=7200)
    assert world.session(made.id) == row
    assert world.event_types(made.id) == events
    assert _outcomes(world, made) == ["ignored"] * 3


IDENTITIES: dict[str, Callable[[Live, UUID], str]] = {
    "a stranger as the customer": lambda _, stranger: f"customer-{stranger}",
    "a stranger as the mechanic": lambda _, stranger: f"mechanic-{stranger}",
    "the customer as the mechanic": lambda made, _: f"mechanic-{made.customer}",
    "the mechanic as the customer": lambda made, _: f"customer-{made.mechanic}",
    "nobody": lambda *_: f"mechanic-{uuid4()}",
}


@pytest.mark.parametrize("whose", IDENTITIES)
def test_who_is_not_in_the_session_is_nobody(world: World, whose: str) -> None:
    """PRE-04: a fact about somebody else, or in the other's part, is kept and has no effect."""
    made, video = _waiting(world)
    stranger = world.mechanic()
    _join(world, made, made.customer)
    before = world.session(made.id)
    identity = IDENTITIES[whose](made, stranger)
    for event in ("joined", "left"):
        assert video.tell(identity, event)["version"] == before["version"]
    assert world.session(made.id) == before
    assert _outcomes(world, made) == ["ignored"] * 2


def test_a_mechanic_who_gave_it_back_is_nobody_any_more(world: World) -> None:
    """PRE-04, QUE-05: facts about the former mechanic touch neither session nor successor."""
    made, video = _waiting(world)
    _join(world, made, made.customer)
    world.call(made.mechanic, "release_assignment", p_assignment_id=made.assignment)
    before = world.session(made.id)
    assert video.mechanic("joined")["version"] == before["version"]
    successor = world.mechanic()
    world.call(successor, "accept_assignment", p_assignment_id=made.assignment)
    before = world.session(made.id)
    assert video.mechanic("joined")["status"] == "waiting"
    assert world.session(made.id) == before
    assert video.tell(f"mechanic-{successor}", "joined")["status"] == "live"
    assert video.mechanic("left")["status"] == "live"
    assert _outcomes(world, made).count("ignored") == 3


@pytest.mark.parametrize("identity", ["", "mechanic", "mechanic-", "mechanic-1", "admin-{}", "{}"])
def test_what_is_no_identity_is_refused(world: World, identity: str) -> None:
    """PRE-04: an identity that names neither part nor person is an invalid_argument."""
    made, video = _waiting(world)
    with expect("invalid_argument", 422):
        video.tell(identity.format(made.mechanic), "joined")
    with expect("invalid_argument", 422):
        video.mechanic("vanished")
    assert _outcomes(world, made) == []


# Any facts at all, in any order


@dataclass
class Stay:
    """From somebody's arrival to the last sign of life before a leave or a long silence."""

    since: datetime
    signs: list[datetime]
    has_left: bool = False

    def may_last(self, at: datetime) -> bool:
        """Whether nobody could tell at that moment that this stay was over."""
        patience = timedelta(seconds=0 if self.has_left else TIMEOUT)
        return self.since <= at and (at <= self.signs[-1] or at < self.signs[-1] + patience)


@dataclass
class Truth:
    """What two people really did, by their own signs of life."""

    seen_by_video: dict[UUID, list[datetime]] = field(default_factory=dict)
    stays: dict[UUID, list[Stay]] = field(default_factory=dict)

    def video(self, who: UUID, now: datetime) -> None:
        self.seen_by_video.setdefault(who, []).append(now)

    def sign(self, who: UUID, now: datetime, *, leaves: bool = False) -> None:
        stays = self.stays.setdefault(who, [])
        if not stays or not stays[-1].may_last(now) or stays[-1].has_left:
            # Seen by video shortly before the first sign of life: may have been there since.
            seen = [
                at
                for at in self.seen_by_video.get(who, [])
                if now - at < timedelta(seconds=TIMEOUT)
            ]
            stays.append(Stay(min(seen, default=now), []))
        stays[-1].signs.append(now)
        stays[-1].has_left = leaves

    def last_shared(self, one: UUID, other: UUID) -> datetime | None:
        """The last sign of life of one of the two that came while the other counted as there."""
        return max(
            (
                sign
                for who, whom in ((one, other), (other, one))
                for mine in self.stays.get(who, [])
                for sign in mine.signs
                if any(theirs.may_last(sign) for theirs in self.stays.get(whom, []))
            ),
            default=None,
        )


WHAT_HAPPENS = [
    *("join_session", "heartbeat_session", "heartbeat_session", "leave_session", "tick"),
    *("joined", "joined", "left", "again"),
]


@pytest.mark.parametrize("seed", range(3))
def test_no_facts_at_all_make_a_bill_longer_than_the_truth(world: World, seed: int) -> None:
    """PRE-04, PRE-03: random calls among random facts, old, repeated, reversed or made up."""
    chance = random.Random(seed)  # noqa: S311
    for _ in range(6):
        made, video = _waiting(world)
        truth = Truth()
        steps = []
        for step in range(30):
            world.advance(chance.choice([0, 1, 5, 20, 40, 80, 120]))
            now = world.now()
            who = chance.choice([made.customer, made.mechanic])
            what = chance.choice(WHAT_HAPPENS)
            steps.append((now, "customer" if who == made.customer else "mechanic", what))
            part = video.customer if who == made.customer else video.mechanic
            if what == "tick":
                world.call("system", "tick_sessions")
            elif what.endswith("session"):
                answer = attempt(lambda: world.call(who, what, p_session_id=made.id))  # noqa: B023
                assert gist(answer) not in {"session_locked", "session_not_found"}
                truth.sign(who, now, leaves=what == "leave_session")
            else:
                event = chance.choice(["joined", "left"]) if what == "again" else what
                name = str(chance.randrange(step + 1)) if what == "again" else f"new {step}"
                part(event, name=name, ago=chance.choice([0, 0, 0, 10, 60, 300, -60]))
                truth.video(who, now)
        world.advance(86400)
        world.call("system", "tick_sessions")
        world.call("system", "expire_orphaned_sessions")
        row = world.session(made.id)
        story = "\n".join(f"{at:%H:%M:%S} {who} {what}" for at, who, what in steps)
        assert row["status"] in {"completed", "cancelled", "expired"}, story
        _judge(row, truth, made, story)


def _judge(row: Row, truth: Truth, made: Live, story: str) -> None:
    billed = max(row["billable_seconds"] or 0, row["both_present_seconds"] or 0)
    last = truth.last_shared(made.customer, made.mechanic)
    if last is None or row["started_at"] is None:
        assert billed == 0, story
    else:
        assert billed <= max(0, (last - row["started_at"]).total_seconds()), story
