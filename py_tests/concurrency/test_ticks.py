"""The jobs that sweep, beside people who are busy with the same sessions.

A sweep never waits for a session somebody holds and goes on with the others; a command that comes
while a sweep holds its session waits and gets the answer that the sweep's result demands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial

import pytest

from concurrency.interleaving import (
    PooledWorld,
    Scene,
    Step,
    all_behind,
    at,
    attempt,
    beat,
    connected,
    gist,
    live,
    offered,
    queued,
    reported,
    together,
    unhindered,
    wait_until_blocked_or_done,
    waiting,
)
from support.world import Connection, Row, call_on, meanwhile, race

END = "end_session_with_semantics"


def tick(world: PooledWorld, connection: Connection | None = None, **params: object) -> Row:
    """What one tick did, which waits for nobody and meets no error."""
    sweeping = connection or world.borrow("system")
    done = unhindered(world, sweeping, "tick_sessions", **params)[0]["tick_sessions"]
    assert isinstance(done, dict)
    assert done["errors"] == 0
    return done


def swept(world: PooledWorld, sweep: str, connection: Connection | None = None) -> int:
    """How many sessions this sweep has ended, waiting for nobody."""
    if sweep == "tick_sessions":
        return int(tick(world, connection)["ended"])
    sweeping = connection or world.borrow("system")
    return int(unhindered(world, sweeping, sweep)[0][sweep])


def patient_people(world: PooledWorld) -> None:
    """Nobody is taken for absent, and every customer has more than one free session."""
    world.call("system", "set_setting", p_key="presence_timeout_seconds", p_value=86400)
    world.call("system", "set_setting", p_key="free_sessions_per_customer", p_value=9)


def overdue(world: PooledWorld, count: int = 1) -> list[Scene]:
    """Live sessions whose time was over five minutes ago; nobody has written it down."""
    patient_people(world)
    world.advance(0)
    scenes = [live(world) for _ in range(count)]
    world.advance(35 * 60)
    return scenes


def create_again(who: str) -> Step:
    return Step(who, "create_session", lambda _: {"p_plan": "chat10"})


def ended_at_expiry(world: PooledWorld, scene: Scene) -> None:
    row = world.session(scene.id)
    assert (row["status"], row["end_reason"]) == ("completed", "completed")
    assert row["ended_at"] == row["expires_at"]
    assert (row["duration_seconds"], row["billable_seconds"]) == (1800, 1800)
    assert world.event_types(scene.id).count("ended") == 1
    assert connected(world, scene) == set()


# The command, what it is told of an overdue session, and what when a sweep has just written it.
OVERDUE: dict[str, tuple[Step, str, str]] = {
    "end": (at("customer", END), "completed", "completed already"),
    "end by admin": (at("admin", END), "completed", "completed already"),
    "leave": (at("mechanic", "leave_session"), "completed", "completed"),
    "heartbeat": (at("mechanic", "heartbeat_session"), "completed", "completed"),
    "snapshot": (at("customer", "session_snapshot"), "completed", "completed"),
    "active": (Step("mechanic", "get_active_session", lambda _: {}), "nothing", "nothing"),
    "create": (create_again("customer"), "pending", "pending"),
}
REFUSED: dict[str, Step] = {
    "join": at("mechanic", "join_session"),
    "start": at("customer", "start_session"),
}
SWEEPS = ["tick_sessions", "end_expired_sessions"]


def beside(
    world: PooledWorld, commands: Mapping[str, tuple[Step, Scene]]
) -> tuple[dict[str, Connection], dict[str, str]]:
    """Runs every command in a transaction that stays open: the connections and the answers."""
    connections = {
        name: step.by_caller(world, scene, autocommit=False)
        for name, (step, scene) in commands.items()
    }
    answers = {
        name: gist(step.on(connections[name], scene)) for name, (step, scene) in commands.items()
    }
    return connections, answers


def answers_behind(
    world: PooledWorld, commands: Mapping[str, tuple[Step, Scene]], holder: Connection
) -> dict[str, str]:
    """Runs every command behind the holder, which commits when all of them wait for it."""
    calls: dict[str, tuple[Connection, Callable[[], list[Row]]]] = {}
    for name, (step, scene) in commands.items():
        connection = step.by_caller(world, scene)
        calls[name] = connection, partial(step.on, connection, scene)
    with all_behind(world, calls) as later:
        holder.commit()
        return {
            name: gist(attempt(partial(call.result, timeout=10))) for name, call in later.items()
        }


@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_sweep_leaves_what_commands_hold_and_takes_the_rest(
    world: PooledWorld, sweep: str
) -> None:
    """TIME-03, TIME-04: sessions held by any command are skipped, and done if it rolls back."""
    *held, taken_back, free = overdue(world, len(OVERDUE) + 2)
    commands = {
        name: (step, scene)
        for (name, (step, _, _)), scene in zip(OVERDUE.items(), held, strict=True)
    }
    commands["rolled back"] = (OVERDUE["end"][0], taken_back)
    holders, answers = beside(world, commands)
    assert answers == {name: OVERDUE.get(name, OVERDUE["end"])[1] for name in commands}

    assert swept(world, sweep) == 1
    ended_at_expiry(world, free)
    assert {world.session(scene.id)["status"] for _, scene in commands.values()} == {"live"}
    holders.pop("rolled back").rollback()
    for holder in holders.values():
        holder.commit()
    assert swept(world, sweep) == 1
    assert swept(world, sweep) == 0
    for _, scene in commands.values():
        ended_at_expiry(world, scene)


@pytest.mark.parametrize("sweep", SWEEPS)
def test_commands_behind_a_sweep_get_what_it_decided(world: PooledWorld, sweep: str) -> None:
    """TIME-03, TIME-04: they wait for it, and their answers are those of an ended session."""
    expected = {name: answer for name, (_, _, answer) in OVERDUE.items()}
    expected |= dict.fromkeys(REFUSED, "session_ended") | {"fact": "completed"}
    scenes = overdue(world, len(expected))
    steps = {name: step for name, (step, _, _) in OVERDUE.items()} | REFUSED
    steps["fact"] = reported(world, "mechanic", "left")
    commands = {name: (steps[name], scene) for name, scene in zip(expected, scenes, strict=True)}
    sweeping = world.borrow("system", autocommit=False)
    assert swept(world, sweep, sweeping) == len(scenes)

    assert answers_behind(world, commands, sweeping) == expected
    for scene in scenes:
        ended_at_expiry(world, scene)


# Of a booked session whose time has come: whether it is accepted, the command, and the status that
# it answers and leaves, whether it comes before a tick or after.
BOOKED: dict[str, tuple[bool, Step, str]] = {
    "accept": (False, offered("other", "accept_assignment"), "waiting"),
    "decline": (False, offered("other", "decline_assignment"), "pending"),
    "join pending": (False, at("customer", "join_session"), "pending"),
    "unattended": (False, at("admin", "mark_session_unattended"), "unattended"),
    "end pending": (False, at("customer", END), "cancelled"),
    "release": (True, offered("mechanic", "release_assignment"), "pending"),
    "join waiting": (True, at("mechanic", "join_session"), "waiting"),
    "leave waiting": (True, at("mechanic", "leave_session"), "waiting"),
    "snapshot": (True, at("mechanic", "session_snapshot"), "waiting"),
    "end waiting": (True, at("mechanic", END), "cancelled"),
}


def booked_commands(world: PooledWorld) -> dict[str, tuple[Step, Scene]]:
    """Every command of BOOKED with a session of its own whose time came a minute ago."""
    patient_people(world)
    world.advance(0)
    when = world.now() + timedelta(hours=1)
    commands = {
        name: (step, (waiting if accepted else queued)(world, p_scheduled_for=when))
        for name, (accepted, step, _) in BOOKED.items()
    }
    for _, scene in commands.values():
        assert scene.people["other"]
    world.advance(61 * 60)
    return commands


def test_a_tick_skips_booked_sessions_that_commands_hold(world: PooledWorld) -> None:
    """LIFE-05, TIME-04: what commands hold is left; what they did not write is done after."""
    commands = booked_commands(world)
    free = queued(world, p_scheduled_for=world.now() + timedelta(seconds=1))
    world.advance(2)
    holders, answers = beside(world, commands)
    assert answers == {name: answer for name, (_, _, answer) in BOOKED.items()}

    assert tick(world)["scheduled"] == 1
    assert world.session(free.id)["status"] == "pending"
    for holder in holders.values():
        holder.commit()
    tick(world)
    for name, (_, scene) in commands.items():
        assert world.session(scene.id)["status"] == BOOKED[name][2], name
        assert world.event_types(scene.id).count("due") <= 1, name


def test_commands_behind_a_tick_find_booked_sessions_due(world: PooledWorld) -> None:
    """LIFE-05, TIME-04: they wait for the tick and act on what it has made of the session."""
    commands = booked_commands(world)
    ticking = world.borrow("system", autocommit=False)
    assert tick(world, ticking)["scheduled"] == len(commands)

    answers = answers_behind(world, commands, ticking)

    assert answers == {name: answer for name, (_, _, answer) in BOOKED.items()}
    for name, (_, scene) in commands.items():
        assert world.session(scene.id)["status"] == BOOKED[name][2], name
        assert world.event_types(scene.id).count("due") == 1, name


def test_parallel_ticks_do_everything_once(world: PooledWorld) -> None:
    """TIME-02, TIME-04: four ticks at once over many due sessions of all kinds; one does each."""
    world.call("system", "set_setting", p_key="warning_minutes", p_value=[29, 1])
    world.advance(0)
    when = world.now() + timedelta(seconds=1200)
    kinds: dict[str, tuple[str, list[Scene]]] = {
        "ended": ("ended", [live(world) for _ in range(6)]),
        "disconnected": ("disconnected", [waiting(world, "customer") for _ in range(6)]),
        "scheduled": ("due", [queued(world, p_scheduled_for=when) for _ in range(6)]),
        "opened": ("", [queued(world, p_preferred_mechanic_id="mechanic") for _ in range(6)]),
    }
    world.advance(1140)
    kinds["warned"] = ("warning_29m", [live(world) for _ in range(6)])
    world.advance(70)

    ends = race([(world.borrow("system"), "tick_sessions", {"p_limit": 4}) for _ in range(4)])

    assert ends.refusals == []
    ticks = [rows[0]["tick_sessions"] for rows in ends.answers]
    while not ticks or ticks[-1]["more"] or len(ticks) == len(ends.answers):
        ticks.append(tick(world, p_limit=4))
    for kind, (event, scenes) in kinds.items():
        done = sum(one[kind] for one in ticks)
        # The pairs that are over had to be dropped first; whether that counts is the tick's affair.
        assert done >= 6 if kind == "disconnected" else done == 6, kind
        for scene in scenes:
            assert event == "" or world.event_types(scene.id).count(event) == 1, kind
    assert sum(one["errors"] for one in ticks) == 0
    assert {kind for kind in kinds if tick(world)[kind]} == set()


def test_a_heartbeat_on_its_way_is_no_silence_for_a_tick(world: PooledWorld) -> None:
    """PRE-03, TIME-04: a tick that meets an open heartbeat does not drop who sent it."""
    world.advance(0)
    scene, silent = live(world), live(world)
    world.advance(80)
    beat(world, scene, ["customer"])
    held = _open_heartbeat(world, scene)
    world.advance(20)
    _sweep_beside(world, held, "tick_sessions")

    assert world.session(silent.id)["status"] == "reconnecting"
    assert world.session(scene.id)["status"] == "live"
    assert connected(world, scene) == {"customer", "mechanic"}
    assert "disconnected" not in world.event_types(scene.id)


@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_heartbeat_on_its_way_counts_at_the_expiry(world: PooledWorld, sweep: str) -> None:
    """PRE-03, TIME-03: a sweep at the end of the time counts a heartbeat that it met open."""
    world.advance(0)
    scene = live(world)
    together(world, [scene], 1705)
    world.advance(85)
    beat(world, scene, ["customer"])
    held = _open_heartbeat(world, scene)
    world.advance(15)
    _sweep_beside(world, held, sweep)
    ended_at_expiry(world, scene)


def test_a_heartbeat_that_stays_open_holds_up_no_other_session(world: PooledWorld) -> None:
    """TIME-04: somebody who holds a participant's row keeps a tick from that session alone."""
    world.advance(0)
    held, free = live(world), live(world)
    holder = world.db.connect("postgres", autocommit=False)
    holder.execute(
        "select from public.session_participants where session_id = %s for update", (held.id,)
    )
    world.advance(100)
    done = world.one("system", "tick_sessions")["tick_sessions"]
    assert (done["disconnected"], done["errors"]) == (2, 0)
    assert world.session(free.id)["status"] == "reconnecting"
    holder.close()
    assert tick(world)["disconnected"] == 2
    assert world.session(held.id)["status"] == "reconnecting"


def test_a_tick_waits_for_no_open_heartbeat_of_somebody_present(world: PooledWorld) -> None:
    """TIME-04, PRE-03: the next check of who is there is left to another tick if he is busy."""
    world.advance(0)
    scene = live(world)
    world.advance(80)
    beat(world, scene)
    world.advance(20)
    held = _open_heartbeat(world, scene)
    assert not any(tick(world).values())
    held.commit()
    assert not any(tick(world).values())
    due = world.rows(
        "select presence_check_at - last_seen_at as patience from public.session_participants"
    )
    assert {row["patience"] for row in due} == {timedelta(seconds=90)}


def test_a_tick_beside_an_open_tick_waits_for_nothing(world: PooledWorld) -> None:
    """TIME-04: two ticks at once take each what the other does not hold."""
    scenes = overdue(world, 3)
    first = world.borrow("system", autocommit=False)
    assert tick(world, first, p_limit=2)["ended"] == 2
    assert tick(world)["ended"] == 1
    first.commit()
    for scene in scenes:
        ended_at_expiry(world, scene)


def _open_heartbeat(world: PooledWorld, scene: Scene) -> Connection:
    """A heartbeat of the mechanic's whose transaction is still open."""
    step = at("mechanic", "heartbeat_session")
    connection = step.by_caller(world, scene, autocommit=False)
    step.on(connection, scene)
    return connection


def _sweep_beside(world: PooledWorld, held: Connection, sweep: str) -> None:
    """Sweeps while something is open that commits as soon as the sweep waits, and once more."""
    connection = world.borrow("system")
    with meanwhile(lambda: call_on(connection, sweep)) as later:
        wait_until_blocked_or_done(world, connection, later)
        held.commit()
        later.result(timeout=10)
    swept(world, sweep)


def _archive(world: PooledWorld, connection: Connection | None = None) -> int:
    """How many sessions an admin's archiving took, waiting for nobody."""
    archiving = connection or world.borrow("system")
    rows = unhindered(world, archiving, "archive_sessions", p_before=world.now())
    return int(rows[0]["archive_sessions"])


def _ended(world: PooledWorld) -> Scene:
    scene = overdue(world)[0]
    tick(world)
    return scene


def test_archives_at_once_archive_each_session_once(world: PooledWorld) -> None:
    """END-08: the second takes what the first does not hold, and what it gives up again."""
    scenes = [_ended(world) for _ in range(3)]
    early = world.borrow("system", autocommit=False)
    assert _archive(world, early) == 3
    assert _archive(world) == 0
    early.rollback()
    assert _archive(world) == 3
    for scene in scenes:
        assert world.event_types(scene.id).count("archived") == 1


def test_an_end_behind_an_archive_gets_the_stored_result(world: PooledWorld) -> None:
    """END-02, END-08: it waits, and is told the outcome of a session that is archived."""
    scene = _ended(world)
    archiving = world.borrow("system", autocommit=False)
    assert _archive(world, archiving) == 1
    commands = {"end": (at("customer", END), scene)}
    assert answers_behind(world, commands, archiving) == {"end": "archived already"}
    assert world.event_types(scene.id)[-2:] == ["ended", "archived"]


def test_an_archive_beside_an_end_leaves_the_session_for_the_next(world: PooledWorld) -> None:
    """END-08: what is not over for others yet is not archived."""
    (scene,) = overdue(world)
    holders, _ = beside(world, {"end": (at("customer", END), scene)})
    assert _archive(world) == 0
    holders["end"].commit()
    assert _archive(world) == 1
    assert world.session(scene.id)["status"] == "archived"
