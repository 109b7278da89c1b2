"""What every benchmark needs: a throw-away server of its own, and a figure to compare with.

A figure means little without the machine it was taken on. So each benchmark also runs pgbench's
TPC-B-like transaction, on the same server in the same run, and shows both.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

from rich.table import Table

from taximeter.stack.postgres import SETTINGS, SUPERUSER, Cluster, home, push_migrations

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    import psycopg

SCALE = 10
PGBENCH_DATABASE = "tpcb"
PROFILING: LiteralString = "alter database postgres set track_functions = 'all'"

_PROFILE: LiteralString = """
select schemaname || '.' || funcname, calls, total_time, self_time
from pg_stat_user_functions
order by self_time desc
limit 25
"""


@contextmanager
def server(*, fsync: bool) -> Iterator[Cluster]:
    """A migrated server that only this run knows; nothing of it is left."""
    cluster = Cluster(home() / f"bench-{uuid.uuid4().hex[:12]}", cron=False)
    try:
        cluster.start()
        if fsync:
            cluster.stop()
            with (cluster.data / "postgresql.conf").open("a") as file:
                file.write("fsync = on\nfull_page_writes = on\n")
            cluster.start()
        push_migrations(cluster.url())
        yield cluster
    finally:
        cluster.destroy()


def describe(cluster: Cluster, *, fsync: bool) -> str:
    """The circumstances, in a line: without them no figure can be compared."""
    version = subprocess.run(
        [str(cluster.bin_dir / "postgres"), "--version"], capture_output=True, text=True, check=True
    ).stdout.split()[2]
    load = os.getloadavg()[0]
    changed = "" if fsync else " (fsync and full_page_writes off)"
    return (
        f"PostgreSQL {version}, settings of the local stack{changed}, "
        f"synchronous_commit {SETTINGS['synchronous_commit']}; "
        f"{os.cpu_count()} cores, {platform.machine()}, load at the start {load:.1f}"
    )


@dataclass(frozen=True, slots=True)
class Rate:
    """What pgbench measured with so many clients."""

    clients: int
    transactions: int
    per_second: float
    latency_ms: float
    times_ms: Sequence[float]


def tpc_b(cluster: Cluster, clients: Sequence[int], seconds: int, scale: int) -> list[Rate]:
    """pgbench's own TPC-B-like transaction, for so many seconds each."""
    cluster.create_database(PGBENCH_DATABASE)
    try:
        _pgbench(cluster, PGBENCH_DATABASE, "-i", "-s", str(scale), "-q")
        return [pgbench(cluster, PGBENCH_DATABASE, n, "-T", str(seconds)) for n in clients]
    finally:
        cluster.drop_database(PGBENCH_DATABASE)


def pgbench(cluster: Cluster, database: str, clients: int, *arguments: str) -> Rate:
    """Runs pgbench's own script, or the one that the arguments name."""
    threads = min(clients, os.cpu_count() or 1)
    with tempfile.TemporaryDirectory(prefix="taximeter-bench-") as folder:
        printed = _pgbench(
            cluster,
            database,
            *("-c", str(clients), "-j", str(threads), "-n", "-l", f"--log-prefix={folder}/log"),
            *arguments,
        )
        # Each line is a transaction: client, its number, microseconds, ...
        times = [
            int(line.split()[2]) / 1000
            for file in Path(folder).iterdir()
            for line in file.read_text().splitlines()
        ]
    latency = re.search(r"latency average = ([\d.]+) ms", printed)
    rate = re.search(r"tps = ([\d.]+)", printed)
    if latency is None or rate is None:
        raise RuntimeError(f"pgbench printed no figures:\n{printed}")
    return Rate(clients, len(times), float(rate[1]), float(latency[1]), times)


def _pgbench(cluster: Cluster, database: str, *arguments: str) -> str:
    beside = cluster.bin_dir / "pgbench"
    program = str(beside) if beside.exists() else shutil.which("pgbench")
    if program is None:
        raise RuntimeError("pgbench is not installed; it comes with PostgreSQL's server packages.")
    finished = subprocess.run(
        [
            program,
            *("-h", "127.0.0.1", "-p", str(cluster.port), "-U", SUPERUSER),
            *arguments,
            database,
        ],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if finished.returncode != 0:
        raise RuntimeError(f"pgbench failed:\n{finished.stderr.strip()}")
    return finished.stdout


def add_options(parser: argparse.ArgumentParser) -> None:
    """What every benchmark lets one choose."""
    parser.add_argument("--seconds", type=int, default=10, help="length of each pgbench run")
    parser.add_argument("--scale", type=int, default=SCALE, help="of the TPC-B-like tables")
    parser.add_argument("--fsync", action="store_true", help="wait for the disk (off by default)")
    parser.add_argument("--profile", action="store_true", help="show which functions take the time")


def fill(owner: psycopg.Connection[Any], first: int, last: int, *files: str) -> None:
    """Runs files of this folder for the sessions with these numbers."""
    for name, number in (("first", first), ("last", last)):
        owner.execute("select set_config(%s, %s, false)", (f"bench.{name}", str(number)))
    for file in files:
        owner.execute((Path(__file__).parent / file).read_bytes())
    owner.execute("vacuum (analyze)")
    owner.execute("checkpoint")


def profile(owner: psycopg.Connection[Any]) -> Table:
    """The functions that took longest by themselves, of those whose backends have ended."""
    # A backend's counts are there for others once it has ended, at the latest.
    time.sleep(1)
    table = Table("function", "calls", "total ms", "self ms", title="Where the time went")
    for name, calls, total, own in owner.execute(_PROFILE).fetchall():
        table.add_row(name, f"{calls:,}", f"{total:,.0f}", f"{own:,.0f}")
    return table


def percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def say(line: str) -> None:
    """Progress, apart from the figures."""
    sys.stderr.write(f"• {line}\n")
    sys.stderr.flush()
