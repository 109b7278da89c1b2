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
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taximeter.stack.postgres import SETTINGS, SUPERUSER, Cluster, home, push_migrations

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SCALE = 10
PGBENCH_DATABASE = "tpcb"


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
class TpcB:
    """What pgbench reports about so many clients."""

    clients: int
    per_second: float
    latency_ms: float


def tpc_b(cluster: Cluster, clients: Sequence[int], seconds: int) -> list[TpcB]:
    """pgbench's own TPC-B-like transaction at scale 10, for so many seconds each."""
    cluster.create_database(PGBENCH_DATABASE)
    try:
        _pgbench(cluster, "-i", "-s", str(SCALE), "-q")
        return [_run(cluster, count, seconds) for count in clients]
    finally:
        cluster.drop_database(PGBENCH_DATABASE)


def _run(cluster: Cluster, clients: int, seconds: int) -> TpcB:
    threads = min(clients, os.cpu_count() or 1)
    printed = _pgbench(cluster, "-c", str(clients), "-j", str(threads), "-T", str(seconds), "-n")
    latency = re.search(r"latency average = ([\d.]+) ms", printed)
    rate = re.search(r"tps = ([\d.]+)", printed)
    if latency is None or rate is None:
        raise RuntimeError(f"pgbench printed no figures:\n{printed}")
    return TpcB(clients, float(rate[1]), float(latency[1]))


def _pgbench(cluster: Cluster, *arguments: str) -> str:
    beside = cluster.bin_dir / "pgbench"
    program = str(beside) if beside.exists() else shutil.which("pgbench")
    if program is None:
        raise RuntimeError("pgbench is not installed; it comes with PostgreSQL's server packages.")
    finished = subprocess.run(
        [
            program,
            *("-h", "127.0.0.1", "-p", str(cluster.port), "-U", SUPERUSER),
            *arguments,
            PGBENCH_DATABASE,
        ],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if finished.returncode != 0:
        raise RuntimeError(f"pgbench failed:\n{finished.stderr.strip()}")
    return finished.stdout


def percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def say(line: str) -> None:
    """Progress, apart from the figures."""
    sys.stderr.write(f"• {line}\n")
    sys.stderr.flush()
