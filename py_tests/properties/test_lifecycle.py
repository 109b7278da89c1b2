"""A session's life against its model: thousands of random commands, and every law after each.

Random people give random commands while the clock jumps from a microsecond to a day; the same
numbers give the same scripts. `make fuzz` plays new ones. A failure prints the shortest script
found.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, TypeAlias

import pytest

from properties.machine import Lifecycle
from properties.model import Call, Model, RefusedError, Rules
from properties.player import BEGINNING, BrokenError, Player
from properties.running import RULES, SCRIPTS, play
from support.database import Database
from support.world import World

Line: TypeAlias = tuple[float, str, str, int | None, dict[str, Any]]


@pytest.fixture
def player(db: Database) -> Iterator[Player]:
    with World(db) as world:
        yield Player(world)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "number"), [(name, n) for n, name in enumerate(RULES)])
def test_the_database_does_what_the_model_does(player: Player, name: str, number: int) -> None:
    """LIFE-03 to LIFE-06, QUE-01 to QUE-06, PRE-01 to PRE-05, TIME-01 to TIME-06, END-01 to END-03,
    END-05, END-07, END-08, and MOD-02, MOD-04 and MOD-05 after every step."""
    print(f"seed {number}, {name}")
    play(player, RULES[name], SCRIPTS, number)
    assert player.calls > SCRIPTS * 20


def live(model: Model) -> Model:
    """Two people together since the beginning."""
    for at, actor, command, session, arguments in TOGETHER:
        model.play(Call(BEGINNING + timedelta(seconds=at), actor, command, session, arguments))
    return model


def test_the_model_knows_the_example_of_the_specification() -> None:
    """END-02: live at 0 s, one drops at 30 s and stays away: cancelled, too_short, 30 s."""
    model = live(Model(Rules(), BEGINNING))
    model.play(Call(BEGINNING + timedelta(seconds=30), "customer 1", "leave_session", 1))
    model.advance(BEGINNING + timedelta(days=1))
    row = model.sessions[0].row()
    assert (row["status"], row["end_reason"], row["duration_seconds"]) == (
        "cancelled",
        "too_short",
        30,
    )


def test_the_model_lets_nobody_in_after_the_time_is_over() -> None:
    """TIME-03: at expires_at the session is over, and everything is as of then."""
    model = live(Model(Rules(presence_timeout_seconds=86400), BEGINNING))
    with pytest.raises(RefusedError, match="session_ended"):
        model.play(Call(BEGINNING + timedelta(minutes=45), "customer 1", "join_session", 1))
    model.advance(BEGINNING + timedelta(minutes=45))
    assert model.sessions[0].ended_at == BEGINNING + timedelta(minutes=45)
    assert model.sessions[0].billable_seconds == 2700


TOGETHER: tuple[Line, ...] = (
    (0, "customer 1", "create_session", None, {"plan": "video15"}),
    (0, "mechanic 1", "accept_assignment", 1, {}),
    (0, "customer 1", "join_session", 1, {}),
    (0, "mechanic 1", "join_session", 1, {}),
)
VIDEO_SAYS: dict[str, object] = {
    "who": "mechanic 1",
    "role": "mechanic",
    "event": "participant_joined",
    "event_id": "fact 1",
    "ago": 0.0,
}
BROUGHT_BACK_AND_GONE: tuple[Line, ...] = (
    (0, "customer 1", "create_session", None, {"plan": "chat10"}),
    *TOGETHER[1:],
    (1, "mechanic 1", "leave_session", 1, {}),
    (90, "system", "record_presence_event", 1, VIDEO_SAYS),
    (90, "mechanic 1", "leave_session", 1, {}),
)
BOOKED: tuple[Line, ...] = (
    (0, "customer 1", "create_session", None, {"plan": "chat10", "scheduled_for": 60}),
    (0, "mechanic 1", "accept_assignment", 1, {}),
)
# Scripts that random search finds only now and then: what each is about, its rules, its calls.
KNOWN: dict[str, tuple[str, tuple[Line, ...]]] = {
    "the preview of an end knows who is silent": (
        "billed by presence",
        (
            *TOGETHER,
            (60, "mechanic 1", "heartbeat_session", 1, {}),
            (80, "mechanic 1", "leave_session", 1, {}),
            (200, "mechanic 1", "preview_end", 1, {}),
            (200, "mechanic 1", "end_session_with_semantics", 1, {}),
        ),
    ),
    "a silence found after the end changes nothing": (
        "nervous",
        (*TOGETHER, (1, "customer 1", "leave_session", 1, {}), (6, "system", "nothing", None, {})),
    ),
    "the same key gives the session as it is now": (
        "as shipped",
        (
            (*BOOKED[0][:4], {**BOOKED[0][4], "key": "a"}),
            (60, "customer 1", "create_session", None, {**BOOKED[0][4], "key": "a"}),
        ),
    ),
    "a booked session whose time has come is not for later any more": (
        "as shipped",
        (
            *BOOKED,
            (1, "customer 2", "create_session", None, {"plan": "chat10", "scheduled_for": 1800}),
            (61, "mechanic 1", "accept_assignment", 2, {}),
            (61, "mechanic 1", "get_active_session", None, {}),
        ),
    ),
    "who gave a session back learns nothing of what came after": (
        "as shipped",
        (
            *BOOKED,
            (1, "mechanic 1", "release_assignment", 1, {}),
            (59, "mechanic 1", "release_assignment", 1, {}),
            (60, "mechanic 1", "release_assignment", 1, {}),
        ),
    ),
    "the video server's word is no moment together": ("patient", BROUGHT_BACK_AND_GONE),
    "an own word in its microsecond is one": (
        "patient",
        (
            *BROUGHT_BACK_AND_GONE,
            (90, "mechanic 1", "join_session", 1, {}),
            (90, "customer 1", "leave_session", 1, {}),
        ),
    ),
    "an interruption stands, whoever else falls silent": (
        "as shipped",
        (
            *TOGETHER,
            (20, "customer 1", "leave_session", 1, {}),
            (95, "system", "nothing", None, {}),
        ),
    ),
}


@pytest.mark.parametrize("script", KNOWN)
def test_a_known_script(player: Player, script: str) -> None:
    """PRE-03, QUE-03, QUE-05, LIFE-04, END-07, TIME-03: held against the model, step by step."""
    name, lines = KNOWN[script]
    machine = Lifecycle(player, RULES[name])
    for at, actor, command, session, given in lines:
        machine.now = BEGINNING + timedelta(seconds=at)
        arguments = dict(given)
        if "scheduled_for" in arguments:
            arguments["scheduled_for"] = BEGINNING + timedelta(seconds=given["scheduled_for"])
        machine.play(actor, command, session, **arguments)
    machine.replays = "eagerly"
    machine.teardown()


# A function, what it says, and what it would say if somebody had got it wrong.
MISTAKES = {
    "a chat has the grace of a video": ("private.grace(text)", "when 'chat'", "when 'video'"),
    "silence counts a moment too late": (
        "private.is_silent(public.session_participants, timestamptz, interval)",
        "<= p_as_of",
        "< p_as_of",
    ),
    "who gave a session back is offered it again": (
        "private.is_offered(public.session_assignments, uuid, uuid, timestamptz)",
        "and not private.has_refused(p_assignment.id, p_mechanic_id)",
        "",
    ),
    "an end has no reason but that it was asked for": (
        "private.decide_end(private.end_facts, private.billing_rule)",
        "when not p_facts.was_accepted then 'cancelled_before_accept'",
        "",
    ),
    "a session expires a minute late": (
        "private.is_over(public.sessions, timestamptz)",
        "private.expiry(p_session)",
        "private.expiry(p_session) + interval '1 minute'",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(player: Player, mistake: str) -> None:
    """TEST-03: a database that breaks a rule does not pass for long."""
    function, right, wrong = MISTAKES[mistake]
    found = player.connection.execute(
        "select pg_get_functiondef(%s::regprocedure) as text", (function,)
    ).fetchone()
    assert found is not None
    assert right in found["text"], f"{function} has been rewritten: write another mistake"
    player.connection.execute(found["text"].replace(right, wrong).encode())
    with pytest.raises((BrokenError, ExceptionGroup)):
        play(player, RULES["as shipped"], 20 * SCRIPTS, 0, shrink=False)
