"""Two commands at one session: the second waits for the first, and what is left is what it would
be if they had come one after the other.

Every case says what both are told and what the session is then; beside that, the whole record
(session, participants, assignment, refusals, facts, events) is compared with that of a twin in
which the same two commands came in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from concurrency.interleaving import (
    Answer,
    PooledWorld,
    Scene,
    Step,
    at,
    attempt,
    beat,
    behind,
    connected,
    gist,
    in_turn,
    interleaved,
    live,
    offered,
    queued,
    record,
    reported,
    waiting,
)
from support.world import Connection, World

END = "end_session_with_semantics"


@pytest.fixture
def world(shared_world: PooledWorld) -> PooledWorld:
    return shared_world


@dataclass(frozen=True)
class Case:
    """A pair of commands, and what comes of it."""

    proves: str
    scene: Callable[[World], Scene]
    first: Callable[[World], Step]
    second: Callable[[World], Step]
    answers: tuple[str, str]
    status: str
    events: list[str]
    connected: set[str]
    assignment: str
    reason: str | None = None


def by(who: str, function: str, **more: object) -> Callable[[World], Step]:
    return lambda _: at(who, function, **more)


def of(who: str, function: str) -> Callable[[World], Step]:
    return lambda _: offered(who, function)


def fact(part: str, event: str, name: str = "fact") -> Callable[[World], Step]:
    return lambda world: reported(world, part, event, name)


def active_session(_: World) -> Step:
    return Step("mechanic", "get_active_session", lambda _: {})


def _preferring(world: World) -> Scene:
    return queued(world, p_preferred_mechanic_id="mechanic")


def _here(*parts: str) -> Callable[[World], Scene]:
    return lambda world: waiting(world, *parts)


BOTH = {"customer", "mechanic"}
LEAVE, JOIN, BEAT, SNAPSHOT = (
    "leave_session",
    "join_session",
    "heartbeat_session",
    "session_snapshot",
)
ACCEPT, DECLINE, RELEASE = "accept_assignment", "decline_assignment", "release_assignment"

CASES = {
    # leave against heartbeat, of one person with two tabs
    "leave, then heartbeat": Case(
        "PRE-01, PRE-03", live, by("customer", LEAVE), by("customer", BEAT),
        ("reconnecting", "live"), "live",
        ["left", "reconnecting", "joined", "resumed"], BOTH, "accepted",
    ),
    "heartbeat, then leave": Case(
        "PRE-01, PRE-03", live, by("customer", BEAT), by("customer", LEAVE),
        ("live", "reconnecting"), "reconnecting", ["left", "reconnecting"], {"mechanic"},
        "accepted",
    ),
    # leave against leave, and against the join that would have started
    "leave, then the other leaves": Case(
        "PRE-03", live, by("customer", LEAVE), by("mechanic", LEAVE),
        ("reconnecting", "reconnecting"), "reconnecting", ["left", "reconnecting", "left"], set(),
        "accepted",
    ),
    "leave, then the other joins": Case(
        "PRE-02", _here("customer"), by("customer", LEAVE), by("mechanic", JOIN),
        ("waiting", "waiting"), "waiting", ["left", "joined"], {"mechanic"}, "accepted",
    ),
    "join, then the other leaves": Case(
        "PRE-02, PRE-03", _here("customer"), by("mechanic", JOIN), by("customer", LEAVE),
        ("live", "reconnecting"), "reconnecting", ["joined", "started", "left", "reconnecting"],
        {"mechanic"}, "accepted",
    ),
    "leave, then end": Case(
        "PRE-03, END-02", live, by("mechanic", LEAVE), by("customer", END),
        ("reconnecting", "completed"), "completed", ["left", "reconnecting", "ended"], set(),
        "completed", "completed",
    ),
    "end, then leave": Case(
        "PRE-01, END-05", live, by("customer", END), by("mechanic", LEAVE),
        ("completed", "completed"), "completed", ["ended"], set(), "completed", "completed",
    ),
    # accept against release
    "release, then another accepts": Case(
        "QUE-03, QUE-05", waiting, of("mechanic", RELEASE), of("other", ACCEPT),
        ("pending", "waiting"), "waiting", ["released", "accepted"], set(), "accepted",
    ),
    "release, then the same accepts": Case(
        "QUE-05", waiting, of("mechanic", RELEASE), of("mechanic", ACCEPT),
        ("pending", "assignment_not_found"), "pending", ["released"], set(), "queued",
    ),
    "release, then release": Case(
        "QUE-05", waiting, of("mechanic", RELEASE), of("mechanic", RELEASE),
        ("pending", "pending"), "pending", ["released"], set(), "queued",
    ),
    "release, then his own join": Case(
        "QUE-05, PRE-01", _here("customer"), of("mechanic", RELEASE), by("mechanic", JOIN),
        ("pending", "session_not_found"), "pending", ["released"], {"customer"}, "queued",
    ),
    "join, then release": Case(
        "QUE-05, PRE-02", _here("customer"), by("mechanic", JOIN), of("mechanic", RELEASE),
        ("live", "session_not_active"), "live", ["joined", "started"], BOTH, "accepted",
    ),
    "release, then the customer joins": Case(
        "QUE-05, PRE-02", _here("mechanic"), of("mechanic", RELEASE), by("customer", JOIN),
        ("pending", "pending"), "pending", ["left", "released", "joined"], {"customer"}, "queued",
    ),
    "the customer joins, then release": Case(
        "QUE-05, PRE-02", _here("mechanic"), by("customer", JOIN), of("mechanic", RELEASE),
        ("live", "session_not_active"), "live", ["joined", "started"], BOTH, "accepted",
    ),
    "release, then end": Case(
        "QUE-05, END-03", waiting, of("mechanic", RELEASE), by("customer", END),
        ("pending", "cancelled"), "cancelled", ["released", "ended"], set(), "cancelled",
        "cancelled_before_accept",
    ),
    "end, then release": Case(
        "QUE-05, END-03", waiting, by("customer", END), of("mechanic", RELEASE),
        ("cancelled", "session_ended"), "cancelled", ["ended"], set(), "cancelled",
        "cancelled_by_customer",
    ),
    # decline against accept
    "accept, then another declines": Case(
        "QUE-03, QUE-04", queued, of("mechanic", ACCEPT), of("other", DECLINE),
        ("waiting", "assignment_taken"), "waiting", ["accepted"], set(), "accepted",
    ),
    "decline, then another accepts": Case(
        "QUE-03, QUE-04", queued, of("other", DECLINE), of("mechanic", ACCEPT),
        ("pending", "waiting"), "waiting", ["accepted"], set(), "accepted",
    ),
    "accept, then the same declines": Case(
        "QUE-03, QUE-04", queued, of("other", ACCEPT), of("other", DECLINE),
        ("waiting", "assignment_taken"), "waiting", ["accepted"], set(), "accepted",
    ),
    "decline, then the same accepts": Case(
        "QUE-03, QUE-04", queued, of("other", DECLINE), of("other", ACCEPT),
        ("pending", "assignment_not_found"), "pending", [], set(), "queued",
    ),
    "decline, then decline": Case(
        "QUE-04", queued, of("other", DECLINE), of("other", DECLINE),
        ("pending", "pending"), "pending", [], set(), "queued",
    ),
    "the preferred one declines, then another accepts": Case(
        "QUE-02, QUE-04", _preferring, of("mechanic", DECLINE), of("other", ACCEPT),
        ("pending", "waiting"), "waiting", ["accepted"], set(), "accepted",
    ),
    "decline, then end": Case(
        "QUE-04, END-05", queued, of("other", DECLINE), by("customer", END),
        ("pending", "cancelled"), "cancelled", ["ended"], set(), "cancelled",
        "cancelled_before_accept",
    ),
    "end, then decline": Case(
        "QUE-04, END-05", queued, by("customer", END), of("other", DECLINE),
        ("cancelled", "session_ended"), "cancelled", ["ended"], set(), "cancelled",
        "cancelled_before_accept",
    ),
    # unattended against accept
    "unattended, then accept": Case(
        "QUE-03, END-08", queued, by("admin", "mark_session_unattended"), of("other", ACCEPT),
        ("unattended", "session_ended"), "unattended", ["ended"], set(), "expired", "unattended",
    ),
    "accept, then unattended": Case(
        "QUE-03, END-08", queued, of("other", ACCEPT), by("admin", "mark_session_unattended"),
        ("waiting", "session_not_active"), "waiting", ["accepted"], set(), "accepted",
    ),
    # snapshot, which is a sign of life, against end
    "end, then snapshot": Case(
        "PRE-05, END-05", live, by("customer", END), by("mechanic", SNAPSHOT),
        ("completed", "completed"), "completed", ["ended"], set(), "completed", "completed",
    ),
    "snapshot, then end": Case(
        "PRE-05, END-05", live, by("mechanic", SNAPSHOT), by("customer", END),
        ("live", "completed"), "completed", ["ended"], set(), "completed", "completed",
    ),
    "heartbeat, then end": Case(
        "PRE-01, END-05", live, by("mechanic", BEAT), by("customer", END),
        ("live", "completed"), "completed", ["ended"], set(), "completed", "completed",
    ),
    "end, then heartbeat": Case(
        "PRE-01, END-05", live, by("customer", END), by("mechanic", BEAT),
        ("completed", "completed"), "completed", ["ended"], set(), "completed", "completed",
    ),
    # the video server's facts
    "fact, then the other joins": Case(
        "PRE-02, PRE-04", waiting, fact("customer", "joined"), by("mechanic", JOIN),
        ("waiting", "live"), "live", ["joined", "joined", "started"], BOTH, "accepted",
    ),
    "join, then a fact of the other": Case(
        "PRE-02, PRE-04", waiting, by("mechanic", JOIN), fact("customer", "joined"),
        ("waiting", "live"), "live", ["joined", "joined", "started"], BOTH, "accepted",
    ),
    "fact, then his own join": Case(
        "PRE-04", waiting, fact("customer", "joined"), by("customer", JOIN),
        ("waiting", "waiting"), "waiting", ["joined"], {"customer"}, "accepted",
    ),
    "join, then his own fact": Case(
        "PRE-04", waiting, by("customer", JOIN), fact("customer", "joined"),
        ("waiting", "waiting"), "waiting", ["joined"], {"customer"}, "accepted",
    ),
    "fact, then the same fact": Case(
        "PRE-04", waiting, fact("customer", "joined"), fact("customer", "joined"),
        ("waiting", "waiting"), "waiting", ["joined"], {"customer"}, "accepted",
    ),
    "leave by fact, then heartbeat": Case(
        "PRE-04", live, fact("customer", "left"), by("customer", BEAT),
        ("reconnecting", "live"), "live",
        ["left", "reconnecting", "joined", "resumed"], BOTH, "accepted",
    ),
    "end, then fact": Case(
        "PRE-04, END-05", live, by("customer", END), fact("mechanic", "left"),
        ("completed", "completed"), "completed", ["ended"], set(), "completed", "completed",
    ),
    "fact, then end": Case(
        "PRE-04, END-02", live, fact("mechanic", "left"), by("customer", END),
        ("reconnecting", "completed"), "completed", ["left", "reconnecting", "ended"], set(),
        "completed", "completed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_second_waits_and_the_outcome_is_serial(world: PooledWorld, case: Case) -> None:
    """PRE-01 to PRE-05, QUE-02 to QUE-05, END-02 to END-08: each case says what it proves."""
    twins = [case.scene(world) for _ in range(2)]
    world.advance(61)
    for twin in twins:
        beat(world, twin, connected(world, twin))
    before = len(record(world, twins[0])["events"])
    first, second = case.first(world), case.second(world)

    played = interleaved(world, twins[0], first, second)

    assert played.gists == case.answers, case.proves
    left = played.left
    assert [event["type"] for event in left["events"]][before:] == case.events
    assert left["session"][0]["status"] == case.status
    assert left["session"][0]["end_reason"] == case.reason
    assert left["assignment"][0]["status"] == case.assignment
    assert connected(world, twins[0]) == case.connected
    assert in_turn(world, twins[1], first, second).left == left


AT_ONCE = {
    "preview beside an end": (
        "END-07", live, by("customer", END), by("mechanic", "preview_end"), "completed", "completed"
    ),
    "active session beside an end": (
        "LIFE-06", live, by("customer", END), active_session, "live", "completed",
    ),
    "release beside his own accept": (
        "QUE-05", queued, of("mechanic", ACCEPT), of("mechanic", RELEASE), "assignment_not_found",
        "waiting",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", AT_ONCE.values(), ids=AT_ONCE)
def test_the_second_waits_for_nobody_as_if_it_had_come_first(
    world: PooledWorld,
    case: tuple[
        str,
        Callable[[World], Scene],
        Callable[[World], Step],
        Callable[[World], Step],
        str,
        str,
    ],
) -> None:
    """LIFE-06, QUE-05, END-07: what needs no lock answers with what was before."""
    proves, scene_of, first_of, second_of, answer, status = case
    scene = scene_of(world)
    world.advance(61)
    beat(world, scene, connected(world, scene))
    first, second = first_of(world), second_of(world)
    early = first.by_caller(world, scene, autocommit=False)
    first.on(early, scene)

    late = second.by_caller(world, scene)
    late.execute("set lock_timeout = '1s'")
    assert gist(attempt(lambda: second.on(late, scene))) == answer, proves
    early.commit()
    assert world.session(scene.id)["status"] == status


def test_an_open_heartbeat_is_newer_than_a_fact_that_waits_for_it(world: PooledWorld) -> None:
    """PRE-04: a leave that the video server saw before the heartbeat disconnects nobody."""
    scene = live(world)
    world.advance(30)
    fact_before = reported(world, "mechanic", "left", seconds_ago=5)
    beating = at("mechanic", BEAT)
    early = beating.by_caller(world, scene, autocommit=False)
    beating.on(early, scene)
    late = fact_before.by_caller(world, scene)

    answer = _after(world, scene, fact_before, late, early)

    assert gist(answer) == "live"
    assert connected(world, scene) == BOTH
    assert world.event_types(scene.id)[-1] == "started"


def test_an_end_counts_the_heartbeat_it_had_to_wait_for(world: PooledWorld) -> None:
    """PRE-03, END-02: somebody whose sign of life is on its way is not silent."""
    scene = live(world)
    world.advance(80)
    beating = at("mechanic", BEAT)
    early = beating.by_caller(world, scene, autocommit=False)
    beating.on(early, scene)
    beat(world, scene, ["customer"])
    world.advance(20)
    ending = at("customer", END)
    late = ending.by_caller(world, scene)

    answer = _after(world, scene, ending, late, early)

    assert gist(answer) == "completed"
    row = world.session(scene.id)
    assert (row["duration_seconds"], row["billable_seconds"]) == (100, 100)


def _after(
    world: World, scene: Scene, step: Step, connection: Connection, holder: Connection
) -> Answer:
    """The step's answer when the holder commits while the step waits for it."""
    with behind(world, connection, lambda: step.on(connection, scene)) as later:
        holder.commit()
        return attempt(lambda: later.result(timeout=10))
