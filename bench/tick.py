"""How long a tick takes (PERF-03): with nothing due, until 10,000 due sessions have ended, and
after a burst of ends, whose entries in the indexes are dead.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg

from bench.machine import fill, percentiles, say
from taximeter.stack.postgres import SUPERUSER

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator

    from taximeter.stack.postgres import Cluster

DATABASE = "ticks"
FEW = 1_000
MOST_CALLERS = 2
WARM_UP_CALLS = 20

_COMPLETED: LiteralString = "select count(*) from public.sessions where status = 'completed'"
_UNCHECKED: LiteralString = (
    "select count(*) from public.session_participants where presence_check_at <= now()"
)


class Caller:
    """Somebody who ticks, as an outside scheduler does."""

    def __init__(self, cluster: Cluster) -> None:
        self._connection = psycopg.connect(
            cluster.url(DATABASE, user="authenticator"), autocommit=True
        )
        self._connection.execute("set role service_role")

    def close(self) -> None:
        self._connection.close()

    def tick(self) -> tuple[dict[str, Any], float]:
        """What a tick told, and the seconds it took."""
        begun = time.perf_counter()
        row = self._connection.execute("select public.tick_sessions()").fetchone()
        seconds = time.perf_counter() - begun
        if row is None or row[0]["errors"]:
            raise RuntimeError(f"A tick failed: {row}")
        return row[0], seconds

    def idle(self, calls: int) -> list[float]:
        """Milliseconds of each tick that finds nothing to do."""
        times = []
        for _ in range(calls):
            told, seconds = self.tick()
            if any(told.values()):
                raise RuntimeError(f"Something was due: {told}")
            times.append(seconds * 1000)
        return times

    def until(self, is_done: Callable[[dict[str, Any]], bool]) -> None:
        """Ticks until what a tick told says that it is done."""
        told, _ = self.tick()
        while not is_done(told):
            told, _ = self.tick()


class Ticks:
    """A database with live sessions in it, and those who tick."""

    def __init__(self, cluster: Cluster) -> None:
        cluster.create_database(DATABASE, "postgres")
        self._owner = psycopg.connect(cluster.url(DATABASE, user=SUPERUSER), autocommit=True)
        self._callers = [Caller(cluster) for _ in range(MOST_CALLERS)]
        self._expired = 0

    def close(self) -> None:
        self._owner.close()
        for caller in self._callers:
            caller.close()

    def make(self, first: int, last: int) -> None:
        say(f"{last:,} live sessions")
        fill(self._owner, first, last, "people.sql", "live_sessions.sql")

    def idle(self, calls: int) -> dict[str, float]:
        self._callers[0].idle(WARM_UP_CALLS)
        return percentiles(self._callers[0].idle(calls))

    def ends(self, due: int, callers: int) -> dict[str, float]:
        """So many more have reached their time, and are ended by so many calling at once."""
        say(f"{due:,} sessions due, {callers} calling")
        fill(self._owner, self._expired + 1, self._expired + due, "expire.sql")
        self._expired += due
        seconds = self._until_ended(due, callers)
        completed = self._count(_COMPLETED)
        if completed != self._expired:
            raise RuntimeError(f"{completed} are completed, not {self._expired}.")
        return {"seconds": round(seconds, 3), "per_second": round(due / seconds, 1)}

    def burst(self, due: int, calls: int) -> dict[str, float]:
        """The ticks right after so many ends, before a vacuum has been there."""
        self.ends(due, MOST_CALLERS)
        times = self._callers[0].idle(calls)
        return {"first_ms": round(times[0], 3), **percentiles(times)}

    def presence(self, live: int, checks: int) -> dict[str, float]:
        """So many people are due for a look, as in a few seconds of a busy day; all are there."""
        say(f"{checks:,} people to look at")
        fill(self._owner, live - checks // 2 + 1, live, "check_presence.sql")
        begun = time.perf_counter()
        self._callers[0].until(lambda told: not told["more"])
        seconds = time.perf_counter() - begun
        if self._count(_UNCHECKED):
            raise RuntimeError("Not everybody was looked at.")
        return {"seconds": round(seconds, 3), "per_second": round(checks / seconds, 1)}

    def _until_ended(self, due: int, callers: int) -> float:
        """So many call at once until all that are due have ended; the seconds it took."""
        left, lock = due, Lock()

        def is_done(told: dict[str, Any]) -> bool:
            # "No more" may also mean that the others hold the rest, so that this one counts.
            nonlocal left
            with lock:
                left -= int(told["ended"])
                return left <= 0

        def work(caller: Caller) -> None:
            nonlocal left
            try:
                caller.until(is_done)
            finally:
                # One that fails must not leave the others waiting for what it had to do.
                left = 0

        begun = time.perf_counter()
        with ThreadPoolExecutor(callers) as pool:
            list(pool.map(work, self._callers[:callers]))
        return time.perf_counter() - begun

    def _count(self, query: LiteralString) -> int:
        row = self._owner.execute(query).fetchone()
        return row[0] if row else 0


def measure(cluster: Cluster, arguments: Namespace) -> Iterator[dict[str, Any]]:
    """What was measured, and its figures: the cost must follow what is due, not what exists."""
    live, due, burst, checks = arguments.live, arguments.due, arguments.burst, arguments.checks
    calls = arguments.calls
    ticks = Ticks(cluster)
    try:
        for first, last in ((1, FEW), (FEW + 1, live)):
            ticks.make(first, last)
            yield {"what": f"nothing due, {last:,} live", **ticks.idle(calls)}
        for callers in range(1, MOST_CALLERS + 1):
            what = f"ending {due:,} of {live:,}, {callers} calling"
            yield {"what": what, **ticks.ends(due, callers)}
        yield {"what": f"nothing due, after {burst:,} ends at once", **ticks.burst(burst, calls)}
        yield {"what": f"{checks:,} people to look at, all there", **ticks.presence(live, checks)}
    finally:
        ticks.close()


def least_live(arguments: Namespace) -> int:
    """How many sessions there must be for what is to end, and to be looked at."""
    needed: int = arguments.due * MOST_CALLERS + arguments.burst + arguments.checks // 2
    return max(FEW + 1, needed)
