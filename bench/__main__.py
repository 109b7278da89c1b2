"""How fast the engine is next to what the machine can do, and whether it stays so as it grows.

Run from the top folder: `python -m bench`, or `make bench`. It has a server of its own, which waits
for the disk, and keeps what it has measured so far in a file, so that a run may be interrupted.
"""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from bench import monitoring, tick
from bench.commands import LIFE, TRANSFER, Database
from bench.machine import TPC_B, circumstances, describe, make_tpc_b, pgbench, say, server
from bench.results import AT_FIXED_RATE, Results

if TYPE_CHECKING:
    from bench.machine import Rate
    from taximeter.stack.postgres import Cluster

FOLDER = Path(__file__).parent / "results"
INTERRUPTED = 130
WIDTH = 120


class Bench:
    """One server, and a database on it for each size of the history."""

    def __init__(self, cluster: Cluster, results: Results, arguments: argparse.Namespace) -> None:
        self._cluster = cluster
        self._results = results
        self._clients: list[int] = sorted(arguments.clients)
        self._seconds: int = arguments.seconds
        self._count: int = arguments.count

    def measure(self, database: Database) -> None:
        """Everything at this size, between two looks at what the machine can do."""
        self._tpc_b(database)
        for clients in self._clients:
            say(f"{database.sessions:,} sessions, {clients} at once")
            self._add(database, LIFE, database.lives(clients, self._seconds))
            self._add(database, TRANSFER, database.transfers(clients, self._seconds))
            for name, rate in database.commands(clients, self._count):
                self._add(database, name, rate)
        most = self._clients[-1]
        self._add(database, AT_FIXED_RATE, database.ends_at_fixed_rate(most, self._count))
        hot_share = database.hot_share(self._count)
        self._results.add("heartbeats", sessions=database.sessions, hot_share=hot_share)
        self._tpc_b(database)

    def compare(self, small: Database, large: Database) -> None:
        """Each command on both, one right after the other, so that the machine is the same."""
        say(f"{small.sessions:,} and {large.sessions:,} sessions beside each other")
        pairs = zip(
            small.commands(self._clients[0], self._count),
            large.commands(self._clients[0], self._count),
            strict=True,
        )
        for (name, before), (_, after) in pairs:
            first, second = (rate.figures()["p50_ms"] for rate in (before, after))
            self._results.add(
                "growth",
                what=name,
                sessions=large.sessions,
                beside=small.sessions,
                p50_ms=[first, second],
                ratio=second / first,
                load=[before.load, after.load],
            )

    def _tpc_b(self, database: Database) -> None:
        for clients in self._clients:
            rate = pgbench(self._cluster, TPC_B, clients, "-T", str(self._seconds))
            self._add(database, TPC_B, rate)

    def _add(self, database: Database, what: str, rate: Rate) -> None:
        self._results.add("rates", sessions=database.sessions, what=what, **rate.figures())


def show(console: Console, results: Results) -> None:
    for table in results.tables():
        console.print(table)


def run(console: Console, arguments: argparse.Namespace) -> None:
    sizes = sorted(arguments.sessions)
    name = "-".join(str(size) for size in sizes)
    with (
        ExitStack() as at_end,
        server(fsync=arguments.fsync, profiled=arguments.profile) as cluster,
        ExitStack() as databases,
    ):
        chosen = {n: v for n, v in vars(arguments).items() if isinstance(v, int | list)}
        facts = {**circumstances(cluster), "options": chosen}
        console.print(describe(facts))
        results = Results(arguments.out / f"{name}.json", facts)
        at_end.callback(show, console, results)
        make_tpc_b(cluster, arguments.scale)
        for figure in tick.measure(cluster, arguments):
            results.add("ticks", **figure)
        say(f"{arguments.lives:,} lives a round in an empty database")
        empty = Database(cluster, 0)
        databases.callback(empty.close)
        results.add("storage", lives=arguments.lives, bytes=empty.left_behind(arguments.lives))
        empty.check()
        bench = Bench(cluster, results, arguments)
        smallest = None
        for sessions in sizes:
            say(f"{sessions:,} sessions")
            database = Database(cluster, sessions)
            databases.callback(database.close)
            bench.measure(database)
            if smallest is None:
                smallest = database
            else:
                bench.compare(smallest, database)
            say("looking whether all of it is right")
            for measured in {smallest, database}:
                measured.check()
            if arguments.profile:
                console.print(database.profile())
        if arguments.monitoring:
            figures = monitoring.measure(console, database.url, sizes[-1], plans=0)
            for figure in figures:
                results.add("monitoring", **figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    of_size = parser.add_argument_group("each size")
    of_size.add_argument("--sessions", type=int, nargs="+", default=[10_000], help="of the history")
    of_size.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16], help="at once")
    of_size.add_argument("--seconds", type=int, default=5, help="of a run that may go on for ever")
    of_size.add_argument("--count", type=int, default=1000, help="calls in each of the others")
    of_size.add_argument("--scale", type=int, default=16, help="of the TPC-B-like tables")
    parser.add_argument("--lives", type=int, default=500, help="in each round that bytes are of")
    of_ticks = parser.add_argument_group("ticks")
    of_ticks.add_argument("--live", type=int, default=100_000, help="live sessions")
    of_ticks.add_argument("--due", type=int, default=10_000, help="sessions due, each time")
    of_ticks.add_argument("--burst", type=int, default=20_000, help="sessions that end at once")
    of_ticks.add_argument("--checks", type=int, default=20_000, help="people due for a look")
    of_ticks.add_argument("--calls", type=int, default=200, help="ticks with nothing due")
    parser.add_argument("--monitoring", action="store_true", help="of the largest, too (MOV-08)")
    parser.add_argument(
        "--no-fsync", dest="fsync", action="store_false", help="do not wait for the disk"
    )
    parser.add_argument("--profile", action="store_true", help="show which functions take the time")
    parser.add_argument("--out", type=Path, default=FOLDER, help="the folder of the figures")
    arguments = parser.parse_args()
    if arguments.live < tick.least_live(arguments):
        parser.error(f"--live must be at least {tick.least_live(arguments)}")
    # A run that is told to end still shows what it has, and ends its server.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(INTERRUPTED))
    run(Console(highlight=False, width=WIDTH), arguments)


if __name__ == "__main__":
    main()
