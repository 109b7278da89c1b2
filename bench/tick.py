"""How long a tick takes (PERF-03): with nothing due, and until 10,000 due sessions have ended.

Run from the top folder: `python -m bench.tick`, or `make bench`. Prints a table and keeps nothing.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from rich.console import Console
from rich.table import Table

from bench.machine import (
    PROFILING,
    add_options,
    describe,
    fill,
    percentile,
    profile,
    say,
    server,
    tpc_b,
)
from taximeter.stack.postgres import SUPERUSER

if TYPE_CHECKING:
    from collections.abc import Callable

    from taximeter.stack.postgres import Cluster

IDLE_TARGET_MS = 5.0
DUE_TARGET_SECONDS = 10.0
DUE = 10_000
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
        self._connection = psycopg.connect(cluster.url(user="authenticator"), autocommit=True)
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
        for _ in range(WARM_UP_CALLS):
            self.tick()
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


class Bench:
    """One server with sessions on it."""

    def __init__(self, cluster: Cluster, *, profiled: bool) -> None:
        self._owner = psycopg.connect(cluster.url(user=SUPERUSER), autocommit=True)
        if profiled:
            self._owner.execute(PROFILING)
        self._callers = [Caller(cluster) for _ in range(MOST_CALLERS)]

    def close(self) -> None:
        self._owner.close()
        for caller in self._callers:
            caller.close()

    def make(self, first: int, last: int, *files: str) -> None:
        fill(self._owner, first, last, *files)

    def idle(self, calls: int) -> list[float]:
        return self._callers[0].idle(calls)

    def until_ended(self, due: int, callers: int) -> float:
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

    def until_no_more(self) -> float:
        """One caller until there is no more to do; the seconds it took."""
        begun = time.perf_counter()
        self._callers[0].until(lambda told: not told["more"])
        return time.perf_counter() - begun

    def count(self, query: LiteralString) -> int:
        row = self._owner.execute(query).fetchone()
        return row[0] if row else 0

    def reset_profile(self) -> None:
        self._owner.execute("select pg_stat_reset()")

    def profile(self) -> Table:
        """The functions that took longest by themselves."""
        for caller in self._callers:
            caller.close()
        return profile(self._owner)


def measure_idle(bench: Bench, table: Table, live: int, calls: int) -> None:
    """Nothing is due: the cost must not follow what exists."""
    for first, last, target in ((1, FEW, ""), (FEW + 1, live, f"< {IDLE_TARGET_MS:.0f} ms")):
        say(f"{last:,} live sessions")
        bench.make(first, last, "people.sql", "live_sessions.sql")
        times = bench.idle(calls)
        table.add_row(
            f"{last:,} live, nothing due, {len(times)} calls",
            f"p50 {percentile(times, 50):.2f} ms, p99 {percentile(times, 99):.2f} ms",
            target,
        )


def measure_due(bench: Bench, table: Table, live: int, due: int) -> None:
    """So many sessions have reached their time: until all have ended, by one caller and by two."""
    bench.reset_profile()
    for callers in range(1, MOST_CALLERS + 1):
        say(f"{due:,} sessions due, {callers} calling")
        bench.make((callers - 1) * due + 1, callers * due, "expire.sql")
        seconds = bench.until_ended(due, callers)
        completed = bench.count(_COMPLETED)
        if completed != due * callers:
            raise RuntimeError(f"{completed} are completed, not {due * callers}.")
        table.add_row(
            f"{due:,} due among {live:,}, {callers} calling",
            f"{seconds:.2f} s, {due / seconds:,.0f} a second",
            f"< {DUE_TARGET_SECONDS:.0f} s" if due == DUE else "",
        )


def measure_presence(bench: Bench, table: Table, live: int, checks: int) -> None:
    """So many people are due for a look, as in a few seconds of a busy day, and all are there."""
    say(f"{checks:,} people to look at")
    bench.make(live - checks // 2 + 1, live, "check_presence.sql")
    seconds = bench.until_no_more()
    if bench.count(_UNCHECKED):
        raise RuntimeError("Not everybody was looked at.")
    table.add_row(f"{checks:,} people to look at, all there", f"{seconds:.2f} s", "")


def run(console: Console, arguments: argparse.Namespace) -> None:
    with server(fsync=arguments.fsync) as cluster:
        console.print(describe(cluster, fsync=arguments.fsync))
        table = Table("what", "figure", "target", title="tick_sessions() (PERF-03)")
        bench = Bench(cluster, profiled=arguments.profile)
        try:
            measure_idle(bench, table, arguments.live, arguments.calls)
            measure_due(bench, table, arguments.live, arguments.due)
            measure_presence(bench, table, arguments.live, arguments.checks)
            say(f"pgbench, {arguments.seconds} s each")
            for result in tpc_b(cluster, (1, 2, 4), arguments.seconds, arguments.scale):
                table.add_row(
                    f"TPC-B-like, {result.clients} client{'s' if result.clients > 1 else ''}",
                    f"{result.per_second:,.0f} a second, {result.latency_ms:.2f} ms",
                    "",
                )
            console.print(table)
            if arguments.profile:
                console.print(bench.profile())
        finally:
            bench.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--live", type=int, default=100_000, help="live sessions")
    parser.add_argument("--due", type=int, default=DUE, help="sessions due, each time")
    parser.add_argument("--checks", type=int, default=20_000, help="people due for a look")
    parser.add_argument("--calls", type=int, default=200, help="ticks with nothing due")
    add_options(parser)
    arguments = parser.parse_args()
    needed = max(FEW + 1, arguments.due * MOST_CALLERS + arguments.checks // 2)
    if arguments.live < needed:
        parser.error(f"--live must be at least {needed}")
    run(Console(highlight=False), arguments)


if __name__ == "__main__":
    main()
