"""Two commands at one session over two connections, and the record of what they left.

A `Scene` is a session with everybody who may have a part in it. Two scenes that were set with the
same clock are twins: what happened in them can be compared word by word once every id is replaced
by the name of what it stands for. That is how an interleaving is held against the serial order.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, LiteralString, TypeAlias
from uuid import UUID

import psycopg

from support.database import Database
from support.world import Caller, Connection, Refusal, Row, World, call_on, meanwhile

Answer: TypeAlias = list[Row] | Refusal

_RECORD: dict[str, LiteralString] = {
    "session": "select to_jsonb(s) as row from public.sessions s where s.id = %s",
    "participants": (
        "select to_jsonb(p) as row from public.session_participants p where p.session_id = %s"
    ),
    "assignment": (
        "select to_jsonb(a) as row from public.session_assignments a where a.session_id = %s"
    ),
    "refusals": (
        "select to_jsonb(r) as row from private.assignment_refusals r"
        " join public.session_assignments a on a.id = r.assignment_id where a.session_id = %s"
    ),
    "facts": "select to_jsonb(f) as row from private.presence_facts f where f.session_id = %s",
    "events": (
        "select to_jsonb(e) - 'id' as row from public.session_events e"
        " where e.session_id = %s order by e.id"
    ),
}
_IN_ORDER = {"events"}


class PooledWorld(World):
    """A world whose people share their connections, as clients behind a pooler do.

    Every borrowed connection is like a new one, but its plans are warm, which is most of the cost
    of a call.
    """

    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self._shared: Connection | None = None
        self._is_stopped = False
        self._idle: dict[str, list[Connection]] = {"system": [], "client": []}
        self._lent: dict[str, list[Connection]] = {"system": [], "client": []}

    def call(self, caller: Caller, function: str, **params: object) -> list[Row]:
        if caller == "system":
            return super().call(caller, function, **params)
        if self._shared is None:
            self._shared = self.connect(caller)
        become(self._shared, caller)
        return call_on(self._shared, function, **params)

    def clock_at(self, reading: datetime) -> None:
        # Making the clock's function anew would cost every connection its plans.
        if not self._is_stopped:
            super().clock_at(reading)
            self._is_stopped = True
        self.execute("update private.test_clock set reading = %s", reading)

    def wait_until_blocked(self, connection: Connection) -> None:
        """Returns once this connection waits for a lock; fails once it has long been idle."""
        while not self.waits(connection):
            idle = self.row(
                "select state = 'idle'"
                " and state_change < clock_timestamp() - interval '1 s' as is_long"
                " from pg_stat_activity where pid = %s",
                connection.info.backend_pid,
            )
            assert not idle["is_long"], "it waited for nobody"
            time.sleep(0.002)

    def borrow(self, caller: Caller, *, autocommit: bool = True) -> Connection:
        """A connection of its own for this caller until `give_back`, impatient with locks."""
        kind = "system" if caller == "system" else "client"
        idle = self._idle[kind]
        connection = idle.pop() if idle else self.connect(caller)
        self._lent[kind].append(connection)
        if caller != "system":
            become(connection, caller)
        connection.execute("set statement_timeout = '5s'")
        connection.execute("reset lock_timeout")
        connection.autocommit = autocommit
        return connection

    def give_back(self) -> None:
        for kind, lent in self._lent.items():
            for connection in lent:
                connection.rollback()
                connection.autocommit = True
            self._idle[kind] += lent
            lent.clear()


def become(connection: Connection, caller: Caller) -> None:
    """Makes the next calls of a client's connection this caller's."""
    is_user = isinstance(caller, UUID)
    role = "authenticated" if is_user else str(caller)
    claims = {"role": role, "sub": str(caller)} if is_user else {"role": role}
    connection.execute(
        "select set_config('role', %s, false), set_config('request.jwt.claims', %s, false)",
        (role, json.dumps(claims)),
    )


class Cast(dict[str, Caller]):
    """The people of a scene, each made when first asked for; `other` is a second mechanic."""

    def __init__(self, world: World) -> None:
        super().__init__(video="service_role", system="system")
        self._world = world

    def __missing__(self, part: str) -> Caller:
        makers: dict[str, Callable[[], Caller]] = {
            "customer": self._world.customer,
            "mechanic": self._world.mechanic,
            "other": self._world.mechanic,
            "admin": self._world.admin,
        }
        return self.setdefault(part, makers[part]())


@dataclass(frozen=True)
class Scene:
    """A session and the people around it, by the part they play."""

    id: UUID
    assignment: UUID
    people: Cast

    def names(self) -> dict[str, str]:
        known = {str(self.id): "<session>", str(self.assignment): "<assignment>"}
        known.update({str(who): f"<{part}>" for part, who in self.people.items()})
        return known

    def described(self, value: object) -> Any:
        """The value with every known id replaced by its name."""
        text = json.dumps(value, default=str, sort_keys=True)
        for identifier, name in self.names().items():
            text = text.replace(identifier, name)
        return json.loads(text)


@dataclass(frozen=True)
class Step:
    """One command of one of the people."""

    who: str
    function: str
    params: Callable[[Scene], dict[str, object]]

    def __str__(self) -> str:
        return f"{self.function.split('_')[0]} by {self.who}"

    def on(self, connection: Connection, scene: Scene) -> list[Row]:
        return call_on(connection, self.function, **self.params(scene))

    def by_caller(self, world: PooledWorld, scene: Scene, *, autocommit: bool = True) -> Connection:
        return world.borrow(scene.people[self.who], autocommit=autocommit)


def at(who: str, function: str, **more: object) -> Step:
    """A command that names the session."""
    return Step(who, function, lambda scene: {"p_session_id": scene.id, **more})


def offered(who: str, function: str) -> Step:
    """A command that names the assignment."""
    return Step(who, function, lambda scene: {"p_assignment_id": scene.assignment})


def reported(
    world: World, part: str, event: str, name: str = "fact", seconds_ago: float = 0
) -> Step:
    """A fact of the video server's about somebody, seen so long ago."""
    moment = world.now() - timedelta(seconds=seconds_ago)
    return Step(
        "video",
        "record_presence_event",
        lambda scene: {
            "p_session_id": scene.id,
            "p_identity": f"{part}-{scene.people[part]}",
            "p_event": f"participant_{event}",
            "p_event_id": f"{scene.id}/{name}",
            "p_occurred_at": moment,
        },
    )


def queued(world: World, **params: object) -> Scene:
    cast = Cast(world)
    arguments = {
        name: cast[value] if name == "p_preferred_mechanic_id" and isinstance(value, str) else value
        for name, value in params.items()
    }
    created = world.one(cast["customer"], "create_session", **{"p_plan": "chat10", **arguments})
    return Scene(created["id"], world.assignment(created["id"]), cast)


def waiting(world: World, *present: str, **params: object) -> Scene:
    """Accepted by `mechanic`; whoever is `present` has joined."""
    scene = queued(world, **params)
    world.call(scene.people["mechanic"], "accept_assignment", p_assignment_id=scene.assignment)
    for part in present:
        world.call(scene.people[part], "join_session", p_session_id=scene.id)
    return scene


def live(world: World, **params: object) -> Scene:
    return waiting(world, "customer", "mechanic", **params)


def beat(world: World, scene: Scene, parts: Iterable[str] = ("customer", "mechanic")) -> None:
    for part in parts:
        world.call(scene.people[part], "heartbeat_session", p_session_id=scene.id)


def together(world: World, scenes: list[Scene], seconds: int, *, every: int = 60) -> None:
    """Lets so much time pass while both sides of every scene go on giving signs of life."""
    while seconds > 0:
        step = min(seconds, every)
        seconds -= step
        world.advance(step)
        for scene in scenes:
            beat(world, scene)


def record(world: World, scene: Scene) -> dict[str, Any]:
    """All that is stored about a session, with names in the place of ids."""
    found: dict[str, Any] = {}
    for part, query in _RECORD.items():
        rows = [scene.described(row["row"]) for row in world.rows(query, scene.id)]
        if part not in _IN_ORDER:
            rows.sort(key=lambda row: json.dumps(row, sort_keys=True))
        found[part] = rows
    return found


def connected(world: World, scene: Scene) -> set[str]:
    """The parts whose participant row says that they are there."""
    rows = world.rows(
        "select user_id from public.session_participants where session_id = %s and is_connected",
        scene.id,
    )
    there = {row["user_id"] for row in rows}
    return {part for part, who in scene.people.items() if who in there}


def attempt(work: Callable[[], list[Row]]) -> Answer:
    try:
        return work()
    except psycopg.Error as error:
        return Refusal.of(error)


def gist(answer: Answer) -> str:
    """An answer in a word: the code of a refusal, or the status of the row that came back."""
    if isinstance(answer, Refusal):
        return answer.code
    if not answer:
        return "nothing"
    row = answer[0]
    if "final_status" in row:
        return f"{row['final_status']}{' already' if row['already_ended'] else ''}"
    if "session_snapshot" in row:
        return str(row["session_snapshot"]["session"]["status"])
    return str(row["status"] if "status" in row else next(iter(row.values())))


def wait_until_blocked(world: World, connection: Connection, later: Future[list[Row]]) -> None:
    """Returns once this connection waits for a lock; fails as soon as it is clear it never will."""
    while not world.waits(connection):
        if later.done():
            raise AssertionError(f"it waited for nobody and got {gist(attempt(later.result))}")
        time.sleep(0.002)


def wait_until_blocked_or_done(
    world: World, connection: Connection, later: Future[list[Row]]
) -> None:
    """For a call that may or may not need the lock: returns once it is clear which."""
    while not later.done() and not world.waits(connection):
        time.sleep(0.002)


def unhindered(world: World, connection: Connection, function: str, **params: object) -> list[Row]:
    """The answer of a call that may wait for nobody: it fails as soon as it does."""
    with meanwhile(lambda: call_on(connection, function, **params)) as later:
        while not later.done():
            if world.waits(connection):
                connection.cancel_safe()
                raise AssertionError(f"{function} waits for a lock")
            time.sleep(0.002)
    return later.result()


@contextmanager
def behind(
    world: World, connection: Connection, work: Callable[[], list[Row]]
) -> Iterator[Future[list[Row]]]:
    """Runs a call in the background; the block goes on once the call waits for a lock."""
    with meanwhile(work) as later:
        wait_until_blocked(world, connection, later)
        yield later


@contextmanager
def all_behind(
    world: World, calls: Mapping[str, tuple[Connection, Callable[[], list[Row]]]]
) -> Iterator[dict[str, Future[list[Row]]]]:
    """Like `behind`, for many calls at once by name, each on its own connection."""
    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        later = {name: pool.submit(work) for name, (_, work) in calls.items()}
        for name, (connection, _) in calls.items():
            wait_until_blocked(world, connection, later[name])
        yield later


@dataclass
class Played:
    """What two commands got and what they left."""

    first: Answer
    second: Answer
    left: dict[str, Any] = field(default_factory=dict)

    @property
    def gists(self) -> tuple[str, str]:
        return gist(self.first), gist(self.second)


def _described(scene: Scene, answer: Answer) -> object:
    if isinstance(answer, Refusal):
        return [answer.status, answer.code]
    return scene.described(answer)


def interleaved(world: PooledWorld, scene: Scene, first: Step, second: Step) -> Played:
    """The second command comes while the first has not committed, and has to wait for it."""
    early = first.by_caller(world, scene, autocommit=False)
    late = second.by_caller(world, scene)
    played = Played(attempt(lambda: first.on(early, scene)), [])
    try:
        with behind(world, late, lambda: second.on(late, scene)) as later:
            early.commit()
            played.second = attempt(lambda: later.result(timeout=10))
    finally:
        early.rollback()
    return _finished(world, scene, played)


def in_turn(world: PooledWorld, scene: Scene, first: Step, second: Step) -> Played:
    """The same two commands, one after the other."""
    answers = [
        attempt(lambda step=step: step.on(step.by_caller(world, scene), scene))  # type: ignore[misc]
        for step in (first, second)
    ]
    return _finished(world, scene, Played(answers[0], answers[1]))


def _finished(world: World, scene: Scene, played: Played) -> Played:
    played.left = record(world, scene)
    played.left["answers"] = [_described(scene, answer) for answer in (played.first, played.second)]
    return played


# Mutations


def definition(world: World, function: str) -> str:
    """The text that makes this function, as `schema.name`."""
    found = world.row(
        "select pg_get_functiondef(p.oid) as text from pg_proc p where p.oid = %s::regproc",
        function,
    )["text"]
    assert isinstance(found, str)
    return found


def mutate(world: World, function: str, pattern: str, replacement: str = "") -> None:
    """Makes the function anew in this database, with every match of the pattern replaced."""
    text, count = re.subn(pattern, replacement, definition(world, function), flags=re.I)
    assert count, f"{function} has nothing like {pattern}"
    with world.db.connect("supabase_admin") as owner:
        owner.execute(text.encode())
