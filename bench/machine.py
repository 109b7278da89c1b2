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

import psycopg
from rich.table import Table

from taximeter.stack.postgres import SUPERUSER, Cluster, home, push_migrations

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TPC_B = "TPC-B-like"
DURABLE = ("fsync = on\n", "full_page_writes = on\n")
PROFILED = ("track_functions = all\n",)
SETTINGS_SHOWN = (
    "server_version",
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "wal_level",
    "shared_buffers",
    "max_wal_size",
)

_SETTINGS: LiteralString = """
select name, current_setting(name) from pg_settings where name = any (%s)
"""

_PROFILE: LiteralString = """
select schemaname || '.' || funcname, calls, total_time, self_time
from pg_stat_user_functions
order by self_time desc
limit 25
"""


@contextmanager
def server(*, fsync: bool = True, profiled: bool = False) -> Iterator[Cluster]:
    """A migrated server that only this run knows; nothing of it is left."""
    cluster = Cluster(home() / f"bench-{uuid.uuid4().hex[:12]}", cron=False)
    try:
        cluster.start()
        cluster.stop()
        with (cluster.data / "postgresql.conf").open("a") as file:
            file.writelines(DURABLE if fsync else ())
            file.writelines(PROFILED if profiled else ())
        cluster.start()
        push_migrations(cluster.url())
        yield cluster
    finally:
        cluster.destroy()


def circumstances(cluster: Cluster) -> dict[str, Any]:
    """Without them no figure can be compared."""
    with psycopg.connect(cluster.url(user=SUPERUSER)) as connection:
        settings = connection.execute(_SETTINGS, (list(SETTINGS_SHOWN),)).fetchall()
    return {
        "settings": dict(settings),
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "load": round(os.getloadavg()[0], 2),
    }


def describe(facts: dict[str, Any]) -> str:
    """The circumstances, in a line."""
    settings: dict[str, str] = facts["settings"]
    version = settings["server_version"].split()[0]
    shown = ", ".join(f"{name} {settings[name]}" for name in SETTINGS_SHOWN[1:])
    return (
        f"PostgreSQL {version}, {shown}; {facts['cores']} cores, {facts['processor']}, "
        f"load at the start {facts['load']:.1f}"
    )


@dataclass(frozen=True, slots=True)
class Rate:
    """What pgbench measured with so many clients."""

    clients: int
    transactions: int
    per_second: float
    times_ms: Sequence[float]
    wal_bytes: int
    load: float

    def figures(self) -> dict[str, float]:
        """What is kept of it."""
        return {
            "clients": self.clients,
            "transactions": self.transactions,
            "per_second": round(self.per_second, 1),
            **percentiles(self.times_ms),
            "wal_bytes": round(self.wal_bytes / self.transactions),
            "load": round(self.load, 2),
        }


def make_tpc_b(cluster: Cluster, scale: int) -> None:
    """The tables of pgbench's own TPC-B-like transaction, beside everything else."""
    cluster.create_database(TPC_B)
    _pgbench(cluster, TPC_B, "-i", "-s", str(scale), "-q")


def pgbench(cluster: Cluster, database: str, clients: int, *arguments: str) -> Rate:
    """Runs pgbench's own script, or the one that the arguments name."""
    threads = min(clients, os.cpu_count() or 1)
    before = _wal_position(cluster)
    with tempfile.TemporaryDirectory(prefix="taximeter-bench-") as folder:
        printed = _pgbench(
            cluster,
            database,
            *("-c", str(clients), "-j", str(threads), "-n", "-l", f"--log-prefix={folder}/log"),
            *arguments,
        )
        lines = [
            [int(value) for value in line.split()]
            for file in Path(folder).iterdir()
            for line in file.read_text().splitlines()
        ]
    rate = re.search(r"tps = ([\d.]+)", printed)
    if rate is None or not lines:
        raise RuntimeError(f"pgbench printed no figures:\n{printed}")
    wal_bytes = _wal_position(cluster) - before
    per_second, times = _warm(lines, float(rate[1]))
    return Rate(clients, len(lines), per_second, times, wal_bytes, os.getloadavg()[0])


def _warm(lines: Sequence[Sequence[int]], told: float) -> tuple[float, list[float]]:
    """The rate while all clients are at work, and the milliseconds of each transaction, once each
    client has had its first: a new connection knows no plan, and API servers keep theirs.

    Each line is a transaction: client, its number, microseconds, script, and when it ended.
    """
    ends: dict[int, list[float]] = {}
    for client, _, _, _, seconds, microseconds, *_ in lines:
        ends.setdefault(client, []).append(seconds + microseconds / 1e6)
    first, last = max(map(min, ends.values())), min(map(max, ends.values()))
    times = [line[2] / 1000 for line in lines if line[4] + line[5] / 1e6 > first]
    counted = sum(first < end <= last for of_client in ends.values() for end in of_client)
    # With few transactions one client may be ready before another begins.
    if not counted:
        return told, [line[2] / 1000 for line in lines]
    return counted / (last - first), times


def _wal_position(cluster: Cluster) -> int:
    with psycopg.connect(cluster.url(user=SUPERUSER)) as connection:
        row = connection.execute("select pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    return int(row[0]) if row else 0


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


def make(owner: psycopg.Connection[Any], first: int, last: int, *files: str) -> None:
    """Runs files of this folder for the sessions with these numbers."""
    for name, number in (("first", first), ("last", last)):
        owner.execute("select set_config(%s, %s, false)", (f"bench.{name}", str(number)))
    for file in files:
        owner.execute((Path(__file__).parent / file).read_bytes())


def fill(owner: psycopg.Connection[Any], first: int, last: int, *files: str) -> None:
    """The same, and nothing of it is left to be done later."""
    make(owner, first, last, *files)
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
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def percentiles(times_ms: Sequence[float]) -> dict[str, float]:
    return {f"p{n}_ms": round(percentile(times_ms, n), 3) for n in (50, 95, 99)}


def say(line: str) -> None:
    """Progress, apart from the figures."""
    sys.stderr.write(f"• {line}\n")
    sys.stderr.flush()
