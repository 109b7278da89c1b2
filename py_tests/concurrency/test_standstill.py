"""pg_cron stands still for a while: nothing that can be read is ever wrong meanwhile, and the first
tick afterwards does everything that was due, as of its own time.

One history with sessions in all kinds of states is played once; at its last moment, zero, the jobs
stop and the clients fall silent. Every test goes on from there in a copy of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from concurrency.interleaving import PooledWorld, Scene, beat, live, queued, record, waiting
from support.database import Database, Server
from support.world import Caller, Row, call_on

END = "end_session_with_semantics"
ZERO = datetime(2031, 5, 6, 12, 0, 0, tzinfo=UTC)
MINUTE, HOUR = 60, 3600
OVER = {"completed", "cancelled"}

STANDSTILLS = [1 * MINUTE, 2 * MINUTE, 5 * MINUTE, 14 * MINUTE, 20 * MINUTE, 1 * HOUR, 12 * HOUR]


@dataclass(frozen=True)
class Plot:
    """A session's history until zero, and what becomes of it after: times in seconds from zero."""

    begins: int
    make: Callable[[PooledWorld], Scene]
    statuses: dict[int, str]
    beats_until: dict[str, int] = field(default_factory=dict)
    calls: dict[int, tuple[str, str]] = field(default_factory=dict)
    ended: int | None = None
    seconds: int | None = None
    dropped: dict[str, int] = field(default_factory=dict)

    def status(self, moment: int) -> str:
        return self.statuses[max(since for since in self.statuses if since <= moment)]

    def is_over(self, moment: int) -> bool:
        return self.status(moment) in OVER


def _video(world: PooledWorld) -> Scene:
    return live(world, p_plan="video15")


def _at_noon_and_twenty(make: Callable[..., Scene]) -> Callable[[PooledWorld], Scene]:
    return lambda world: make(world, p_scheduled_for=ZERO + timedelta(minutes=20))


BOTH_TO_ZERO = {"customer": 0, "mechanic": 0}

PLOTS = {
    "a chat whose people fall silent": Plot(
        0, live, {0: "live", 90: "reconnecting", 900: "cancelled"},
        ended=0, seconds=0, dropped={"customer": 0, "mechanic": 0},
    ),
    "a video session whose people fall silent": Plot(
        -600, _video, {0: "live", 90: "reconnecting", 300: "completed"}, BOTH_TO_ZERO,
        ended=0, seconds=600, dropped={"customer": 0, "mechanic": 0},
    ),
    "a chat whose mechanic fell silent first": Plot(
        -600, live, {0: "live", 30: "reconnecting", 840: "completed"},
        {"customer": 0, "mechanic": -60},
        ended=-60, seconds=540, dropped={"customer": 0, "mechanic": -60},
    ),
    "one at the end of its time": Plot(
        -1740, live, {0: "live", 60: "completed"}, BOTH_TO_ZERO, ended=60, seconds=1800,
    ),
    "one that is reconnecting": Plot(
        -600, _video, {0: "reconnecting", 180: "completed"}, {"customer": -180, "mechanic": 0},
        {-120: ("customer", "leave_session")},
        ended=-120, seconds=480, dropped={"mechanic": 0},
    ),
    "one that has a warning to come": Plot(
        -1440, live, {0: "live", 90: "reconnecting", 360: "completed"}, BOTH_TO_ZERO,
        ended=0, seconds=1440, dropped={"customer": 0, "mechanic": 0},
    ),
    "a booked one": Plot(
        -600, _at_noon_and_twenty(queued), {0: "scheduled", 1200: "pending"},
    ),
    "a booked one that is accepted": Plot(
        -600, _at_noon_and_twenty(waiting), {0: "accepted", 1200: "waiting"},
    ),
    "one whose customer waits": Plot(
        -60, lambda world: waiting(world, "customer"), {0: "waiting"}, dropped={"customer": -60},
    ),
    "one in the queue": Plot(-60, queued, {0: "pending"}),
    "one for a preferred mechanic": Plot(
        -60, lambda world: queued(world, p_preferred_mechanic_id="mechanic"), {0: "pending"},
    ),
    "one that is over": Plot(
        -600, live, {0: "completed"}, {"customer": -60, "mechanic": -60}, {-60: ("customer", END)},
        ended=-60, seconds=540,
    ),
}  # fmt: skip
WINDOW_OPENS = 60
WARNING_DUE = 60
QUEUED = {"one in the queue": -60, "a booked one": 1200, "one for a preferred mechanic": -60}

_EFFECTIVE_STATUS = (
    "select public.effective_status(s)::text as status from public.sessions s where s.id = %s"
)

# Every moment at which something changes, and the one before it.
TURNS = {turn for plot in PLOTS.values() for turn in plot.statuses} | {WINDOW_OPENS}
MOMENTS = sorted({0, *STANDSTILLS} | TURNS | {turn - 1 for turn in TURNS if turn})


@dataclass(frozen=True)
class Stage:
    """A database in which the jobs stand still since zero."""

    world: PooledWorld
    scenes: dict[str, Scene]
    watcher: UUID

    def go_to(self, moment: int) -> None:
        self.world.clock_at(ZERO + timedelta(seconds=moment))

    def who(self, name: str, part: str) -> Caller:
        return self.scenes[name].people[part]

    def parts(self, name: str) -> list[str]:
        """Who of customer and mechanic is in the session."""
        has_mechanic = self.world.session(self.scenes[name].id)["mechanic_id"] is not None
        return ["customer", "mechanic"] if has_mechanic else ["customer"]

    def tick(self) -> dict[str, int]:
        """The job, which repeats while there is more: what all its ticks did."""
        total: dict[str, int] = {}
        for _ in range(20):
            done = self.world.one("system", "tick_sessions", p_limit=5)["tick_sessions"]
            for key, count in done.items():
                total[key] = total.get(key, 0) + int(count)
            if not done["more"]:
                return total
        raise AssertionError("the ticks came to no end")

    def versions(self) -> list[Row]:
        return self.world.rows("select id, version, status from public.sessions order by id")


@dataclass(frozen=True)
class History:
    """What was played until zero, in a database that is only copied from then on."""

    database: Database
    scenes: dict[str, Scene]
    watcher: UUID


def _play(world: PooledWorld) -> dict[str, Scene]:
    scenes: dict[str, Scene] = {}
    for moment in range(min(plot.begins for plot in PLOTS.values()), 1, 60):
        world.clock_at(ZERO + timedelta(seconds=moment))
        for name, plot in PLOTS.items():
            if plot.begins == moment:
                scenes[name] = plot.make(world)
            for part, last in plot.beats_until.items():
                if plot.begins < moment <= last:
                    beat(world, scenes[name], [part])
            if moment in plot.calls:
                part, call = plot.calls[moment]
                world.call(scenes[name].people[part], call, p_session_id=scenes[name].id)
        world.call("system", "tick_sessions")
    return scenes


@pytest.fixture(scope="module")
def history(server: Server) -> Iterator[History]:
    database = server.clone(server.template())
    try:
        with PooledWorld(database) as world:
            watcher = world.mechanic()
            scenes = _play(world)
        database.close()
        yield History(database, scenes, watcher)
    finally:
        database.drop()


@pytest.fixture
def stage(server: Server, history: History) -> Iterator[Stage]:
    copy = server.clone(history.database.name)
    try:
        with PooledWorld(copy) as world:
            yield Stage(world, history.scenes, history.watcher)
    finally:
        copy.drop()


def _stored_as_fated(stage: Stage, name: str, moment: int) -> None:
    """The row says what became of the session by that moment, as of when it happened."""
    plot = PLOTS[name]
    row = stage.world.session(stage.scenes[name].id)
    assert row["status"] == plot.status(moment), name
    if plot.is_over(moment):
        assert plot.ended is not None
        assert row["ended_at"] == ZERO + timedelta(seconds=plot.ended), name
        assert row["duration_seconds"] == row["billable_seconds"] == plot.seconds, name
        assert row["end_reason"] == ("completed" if plot.seconds else "too_short"), name
        assert stage.world.event_types(row["id"]).count("ended") == 1, name
    else:
        assert row["ended_at"] is None, name


def _answered_as_fated(answer: Row, name: str, moment: int) -> None:
    plot = PLOTS[name]
    assert plot.ended is not None
    assert answer["final_status"] == plot.status(moment), name
    assert answer["ended_at"] == ZERO + timedelta(seconds=plot.ended), name
    assert answer["duration_seconds"] == answer["billable_seconds"] == plot.seconds, name


def test_all_that_can_be_read_is_right_all_the_way(stage: Stage) -> None:
    """TIME-03, LIFE-06, QUE-01, QUE-02, END-07: for twelve hours nothing is written, and nobody
    is told what is not so: of a status, of what an end would mean, of the queue and its times.
    """
    world = stage.world
    before = stage.versions()
    names = {scene.id: name for name, scene in stage.scenes.items()}
    readers = [
        (world.connect(stage.who(name, part)), name)
        for name in PLOTS
        for part in [*stage.parts(name), "video"]
    ]
    owners = [
        (world.connect(stage.who(name, part)), name) for name in PLOTS for part in stage.parts(name)
    ]
    for moment in MOMENTS:
        stage.go_to(moment)
        for reader, name in readers:
            read = reader.execute(_EFFECTIVE_STATUS, (stage.scenes[name].id,)).fetchone()
            assert read == {"status": PLOTS[name].status(moment)}, (moment, name)
        for reader, name in owners:
            # It writes down what is due, which is undone here.
            with reader.transaction(force_rollback=True):
                (mine,) = call_on(reader, "my_sessions")
            assert mine["status"] == PLOTS[name].status(moment), (moment, name)
        for name, plot in PLOTS.items():
            told = world.one("service_role", "preview_end", p_session_id=stage.scenes[name].id)
            assert told["already_ended"] == (name == "one that is over")
            if plot.is_over(moment):
                _answered_as_fated(told, name, moment)
        queue = {
            names[row["session_id"]]: row["waiting_seconds"]
            for row in world.call(stage.watcher, "mechanic_queue")
        }
        assert queue == {
            name: max(0, moment - since)
            for name, since in QUEUED.items()
            if name != "one for a preferred mechanic" or moment >= WINDOW_OPENS
        }, moment
    assert stage.versions() == before


@pytest.mark.parametrize("seconds", STANDSTILLS)
def test_the_first_tick_does_everything_as_of_its_own_time(stage: Stage, seconds: int) -> None:
    """TIME-04, TIME-02, PRE-03, LIFE-05, QUE-02: after any standstill one run of the job leaves
    nothing undone.
    """
    stage.go_to(seconds)

    done = stage.tick()

    assert done["errors"] == 0
    for name in PLOTS:
        _stored_as_fated(stage, name, seconds)
        _dropped_as_fated(stage, name, seconds)
        _nothing_happened_after_the_end(stage, name)
    assert done["ended"] == sum(plot.is_over(seconds) for plot in PLOTS.values()) - 1
    assert done["scheduled"] == (2 if seconds >= 1200 else 0)
    assert done["opened"] == (1 if seconds >= WINDOW_OPENS else 0)
    warned = stage.world.event_types(stage.scenes["one that has a warning to come"].id)
    assert warned.count("warning_5m") == (1 if WARNING_DUE <= seconds < 360 else 0)
    assert {key for key, count in stage.tick().items() if count} == set()


def _dropped_as_fated(stage: Stage, name: str, moment: int) -> None:
    """Who fell silent is written down as gone since the last sign of life."""
    rows = stage.world.rows(
        "select e.payload ->> 'role' as role, e.occurred_at from public.session_events e"
        " where e.session_id = %s and e.type = 'disconnected'",
        stage.scenes[name].id,
    )
    assert {row["role"]: row["occurred_at"] for row in rows} == {
        part: ZERO + timedelta(seconds=seen)
        for part, seen in PLOTS[name].dropped.items()
        if seen + 90 <= moment
    }, name


def _nothing_happened_after_the_end(stage: Stage, name: str) -> None:
    """But that somebody fell silent, while waiting for who never came back."""
    late = stage.world.rows(
        "select e.type from public.session_events e join public.sessions s on s.id = e.session_id"
        " where s.id = %s and e.occurred_at > s.ended_at and e.type <> 'disconnected'",
        stage.scenes[name].id,
    )
    assert late == [], name


def _by_active_session(stage: Stage, name: str, part: str, moment: int) -> None:
    found = stage.world.call(stage.who(name, part), "get_active_session")
    status = PLOTS[name].status(moment)
    assert [row["status"] for row in found] == ([] if status in OVER else [status]), name


def _by_snapshot(stage: Stage, name: str, part: str, moment: int) -> None:
    scene, status = stage.scenes[name], PLOTS[name].status(moment)
    row = stage.world.one(scene.people[part], "session_snapshot", p_session_id=scene.id)
    told = row["session_snapshot"]
    assert told["session"]["status"] == status, name
    assert (told["remaining_seconds"] is not None) == (status in {"live", "reconnecting"}), name
    assert (told["absent_role"] is not None) == (status == "reconnecting"), name


def _by_end(stage: Stage, name: str, part: str, moment: int) -> None:
    if PLOTS[name].is_over(moment):
        scene = stage.scenes[name]
        _answered_as_fated(
            stage.world.one(scene.people[part], END, p_session_id=scene.id), name, moment
        )


READERS: dict[str, Callable[[Stage, str, str, int], None]] = {
    "get_active_session": _by_active_session,
    "session_snapshot": _by_snapshot,
    "end_session_with_semantics": _by_end,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("seconds", "part"),
    [
        (1 * MINUTE, "customer"),
        (5 * MINUTE, "mechanic"),
        (12 * HOUR, "customer"),
        (12 * HOUR, "mechanic"),
    ],
)
def test_whoever_asks_first_writes_what_the_tick_would(
    stage: Stage, part: str, seconds: int, reader: str
) -> None:
    """TIME-03, LIFE-06, PRE-05: the answer is right, and is stored with the tick's own result."""
    stage.go_to(seconds)
    asked = [name for name in PLOTS if part in stage.parts(name)]
    for name in asked:
        READERS[reader](stage, name, part, seconds)
    over = [name for name in asked if PLOTS[name].is_over(seconds)]
    before = {name: record(stage.world, stage.scenes[name])["session"] for name in over}

    assert stage.tick()["errors"] == 0
    for name in PLOTS:
        _stored_as_fated(stage, name, seconds)
    for name in over:
        assert record(stage.world, stage.scenes[name])["session"] == before[name], name
