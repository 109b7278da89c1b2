"""How long the views and functions of monitoring take (MOV-01 to MOV-08) on a million sessions.

Run from the top folder: `python -m bench.monitoring`, or with a number of sessions. Prints a table,
and the plans of what takes longer than it may. It keeps nothing, but for a database of one's own
(--database-url), which is filled when it is empty and left as it is. What is for a glance is asked
on one core; an audit has as many parallel workers as the server gives it.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from rich.console import Console
from rich.table import Table

from bench import history
from bench.machine import circumstances, describe, say, server
from taximeter.stack.postgres import SUPERUSER

if TYPE_CHECKING:
    from collections.abc import Iterator

GLANCE_MS = 1000.0
AUDIT_SECONDS_PER_MILLION = 60.0
GLANCES = 3
TICKS_PER_SECOND = 100

VIEWS = (
    "alert_live_past_deadline",
    "alert_both_present_not_live",
    "alert_status_mismatch",
    "alert_completed_without_payout",
    "alert_rates",
    "sessions_needing_review",
    "metrics_session_outcomes",
    "metrics_session_durations",
    "metrics_wait_times",
    "metrics_mechanics",
    "session_revenue_impact",
)
SESSION = "(select id from public.sessions where status = 'completed' order by id limit 1)"
GLANCED = (
    *(f"table public.{view}" for view in VIEWS),
    "select * from public.session_health_dashboard()",
    "select * from public.calculate_session_health_score()",
    "select * from public.calculate_session_health_score(720)",
    f"select public.explain_session({SESSION})",
    f"select public.replay_session({SESSION})",
)
AUDITED = (
    "select * from public.verify_session_end_logic()",
    "select * from public.verify_session_end_logic('-infinity')",
    "select * from public.verify_replay()",
    "select * from public.ledger_invariants()",
    "select * from public.apply_semantic_fix()",
)
# Finds nothing on a history that is consistent.
SILENT = {
    "table public.sessions_needing_review",
    "select * from public.verify_replay()",
    "select * from public.ledger_invariants()",
    "select * from public.apply_semantic_fix()",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """What one statement took: the time that passed, and what all its processes worked."""

    statement: str
    rows: list[tuple[Any, ...]]
    ms: float
    cpu_ms: float | None

    def check(self) -> None:
        """A figure of a statement that found something wrong is a figure of something else."""
        wrong = self.rows if self.statement in SILENT else []
        if "verify_session_end_logic" in self.statement:
            wrong = [row for row in self.rows if row[2] != "ok"]
        if wrong:
            raise RuntimeError(f"{self.statement} found {len(wrong)}, first {wrong[0]}")


def stat(process: int) -> list[str]:
    """The fields of /proc/PID/stat from the third one on."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


class Reader:
    """The system, as it reads."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute("set statement_timeout = '15min'")
        self._process = self._connection.info.backend_pid
        self._notices: list[str] = []
        self._connection.add_notice_handler(
            lambda notice: self._notices.append(notice.message_primary or "")
        )

    def close(self) -> None:
        self._connection.close()

    def _cpu_ms(self) -> float | None:
        """What the server's process has worked so far, and those that have ended beside it;
        unknown when it runs elsewhere.
        """
        try:
            own = stat(self._process)
            # Parallel workers are waited for by the postmaster, who keeps their sum.
            postmaster = stat(int(own[1]))
        except OSError:
            return None
        ticks = (*own[11:13], *postmaster[13:15])
        return sum(map(int, ticks)) * 1000 / TICKS_PER_SECOND

    def measure(self, statement: str) -> Figure:
        cpu, begun = self._cpu_ms(), time.perf_counter()
        rows = self._connection.execute(statement.encode()).fetchall()
        ms, after = (time.perf_counter() - begun) * 1000, self._cpu_ms()
        worked = None if cpu is None or after is None else after - cpu
        figure = Figure(statement, rows, ms, worked)
        figure.check()
        return figure

    def share(self, *, cores: bool) -> None:
        """Whether parallel workers may help, as many as the server has it."""
        statement = "reset max_parallel_workers_per_gather"
        if not cores:
            statement = "set max_parallel_workers_per_gather = 0"
        self._connection.execute(statement)

    def best(self, statement: str, times: int) -> Figure:
        return min((self.measure(statement) for _ in range(times)), key=lambda figure: figure.ms)

    def plans(self, statement: str) -> list[str]:
        """The plans of what a statement runs inside, longest first."""
        for setting in (
            "load 'auto_explain'",
            "set auto_explain.log_min_duration = 100",
            "set auto_explain.log_nested_statements = on",
            "set auto_explain.log_analyze = on",
            "set client_min_messages = log",
        ):
            self._connection.execute(setting.encode())
        self._notices.clear()
        self._connection.execute(statement.encode()).fetchall()
        self._connection.execute("set auto_explain.log_min_duration = -1")
        self._connection.execute("reset client_min_messages")
        return sorted(
            (notice for notice in self._notices if notice.startswith("duration")),
            key=lambda notice: -float(notice.split()[1]),
        )


@contextmanager
def database(console: Console, arguments: argparse.Namespace) -> Iterator[str]:
    """The address, for a superuser, of a database to measure."""
    if arguments.database_url:
        yield arguments.database_url
        return
    with server(fsync=False) as cluster:
        console.print(describe(circumstances(cluster)))
        yield cluster.url(user=SUPERUSER)


def fill(url: str, sessions: int) -> int:
    """How many sessions there are, once there are any."""
    with psycopg.connect(url, autocommit=True) as owner:
        if not owner.execute("select from public.sessions limit 1").fetchall():
            say(f"{sessions:,} sessions")
            history.load(owner, sessions)
        # No job runs here; a late one would be found.
        owner.execute(
            "update private.job_runs set started_at = now(), ended_at = now() where not is_failure"
        )
        row = owner.execute("select count(*) from public.sessions").fetchone()
    return int(row[0]) if row else 0


def shown(figures: list[dict[str, Any]]) -> Table:
    table = Table("what", "rows", "ms", "CPU ms", "limit, ms", "")
    table.title = f"Monitoring, {figures[0]['sessions']:,} sessions (MOV-08)"
    for column in table.columns[1:]:
        column.justify = "right"
    for figure in figures:
        table.add_row(
            figure["what"],
            f"{figure['rows']:,}",
            f"{figure['ms']:,.0f}",
            "" if figure["cpu_ms"] is None else f"{figure['cpu_ms']:,.0f}",
            f"{figure['limit_ms']:,.0f}",
            "ok" if figure["ms"] <= figure["limit_ms"] else "late",
        )
    return table


def measure(console: Console, url: str, sessions: int, plans: int = 3) -> list[dict[str, Any]]:
    """The figures, for the statements in their order; prints plans of what was late."""
    sessions = fill(url, sessions)
    audit_ms = max(GLANCE_MS, AUDIT_SECONDS_PER_MILLION * sessions / 1000)
    kept: list[dict[str, Any]] = []
    late = []
    reader = Reader(url)
    try:
        for statements, times, limit in ((GLANCED, GLANCES, GLANCE_MS), (AUDITED, 1, audit_ms)):
            reader.share(cores=statements is AUDITED)
            for statement in statements:
                say(statement)
                figure = reader.best(statement, times)
                kept.append(
                    {
                        "sessions": sessions,
                        "what": statement.replace(SESSION, "…").rpartition("public.")[2],
                        "rows": len(figure.rows),
                        "ms": round(figure.ms, 1),
                        "cpu_ms": figure.cpu_ms,
                        "limit_ms": limit,
                    }
                )
                if figure.ms > limit:
                    late.append(statement)
        for statement in late if plans else ():
            console.rule(statement)
            for plan in reader.plans(statement)[:plans]:
                console.print(plan, markup=False)
    finally:
        reader.close()
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sessions", type=int, nargs="?", default=history.SESSIONS)
    parser.add_argument("--database-url", help="a migrated database, as a superuser")
    parser.add_argument("--plans", type=int, default=3, help="plans of each that is late")
    arguments = parser.parse_args()
    if arguments.sessions < 1:
        parser.error("there must be sessions")
    console = Console(highlight=False)
    with database(console, arguments) as url:
        figures = measure(console, url, arguments.sessions, arguments.plans)
    console.print(shown(figures))
    sys.exit(0 if all(figure["ms"] <= figure["limit_ms"] for figure in figures) else 1)


if __name__ == "__main__":
    main()
