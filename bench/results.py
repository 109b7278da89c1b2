"""What a run has measured: in a file from the first figure on, and held against the targets."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

from bench import monitoring
from bench.commands import END, LIFE
from bench.machine import TPC_B, describe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Figure = dict[str, Any]

END_TO_TPC_B_P50 = 3.0
END_TO_TPC_B_RATE = 0.4
END_P99_MS = 25.0
LIVES_PER_SECOND = 300.0
LIFE_TO_TPC_B_RATE = 0.06
IDLE_TICK_MS = 5.0
DUE_SECONDS = 10.0
BYTES_PER_LIFE = 8192.0
GROWTH = 1.3
# Which the platform drops after three days.
PASSING = "realtime."
# A page of rows may be full, whatever the fill factor.
HOT_SHARE = 0.95
AT_FIXED_RATE = f"{END.name}, at a fixed rate"


@dataclass(frozen=True, slots=True)
class Finding:
    """A figure beside its target."""

    requirement: str
    what: str
    figure: float
    target: float
    is_least: bool = False

    @property
    def holds(self) -> bool:
        return self.figure >= self.target if self.is_least else self.figure <= self.target

    @property
    def verdict(self) -> str:
        if self.holds:
            return "holds"
        times = self.target / self.figure if self.is_least else self.figure / self.target
        return f"does not, by {times:.2f} times"

    def record(self) -> Figure:
        return {
            "requirement": self.requirement,
            "what": self.what,
            "figure": self.figure,
            "target": self.target,
            "verdict": self.verdict,
        }


class Results:
    """The figures of one run, by kind."""

    def __init__(self, file: Path, circumstances: Figure) -> None:
        self._file = file
        self.figures: dict[str, list[Figure]] = {
            kind: [] for kind in ("rates", "growth", "storage", "heartbeats", "ticks", "monitoring")
        }
        self._circumstances = circumstances

    @classmethod
    def read(cls, file: Path) -> Results:
        kept = json.loads(file.read_text())
        results = cls(file, kept["circumstances"])
        results.figures = {kind: kept[kind] for kind in results.figures}
        return results

    def add(self, kind: str, **figure: Any) -> None:
        self.figures[kind].append(figure)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        kept = {
            "circumstances": self._circumstances,
            "targets": [finding.record() for finding in self.findings()],
            **self.figures,
        }
        # Whole, whenever the run is interrupted.
        beside = self._file.with_suffix(".new")
        beside.write_text(json.dumps(kept, indent=1) + "\n")
        beside.replace(self._file)

    def said(self) -> str:
        """The circumstances, in a line."""
        return describe(self._circumstances)

    def sizes(self) -> list[int]:
        return sorted({figure["sessions"] for figure in self.figures["rates"]})

    def clients(self) -> list[int]:
        return sorted({figure["clients"] for figure in self.figures["rates"]})

    def rate(self, sessions: int, what: str, clients: int) -> Figure | None:
        """The figure, or the mean of those that were taken before and after the others."""
        found = [
            figure
            for figure in self.figures["rates"]
            if (figure["sessions"], figure["what"], figure["clients"]) == (sessions, what, clients)
        ]
        if not found:
            return None
        return {
            name: statistics.fmean(figure[name] for figure in found)
            for name in ("per_second", "p50_ms", "p95_ms", "p99_ms", "wal_bytes")
        }

    def findings(self) -> list[Finding]:
        """Everything there is a target for, of what has been measured so far."""
        return [
            *(finding for sessions in self.sizes() for finding in self._of_size(sessions)),
            *self._of_ticks(),
            *self._of_heartbeats(),
            *self._of_storage(),
            *self._of_growth(),
        ]

    def _of_size(self, sessions: int) -> Iterator[Finding]:
        fewest, most = self.clients()[0], self.clients()[-1]
        at = f"{sessions:,} sessions"
        base, end = (self.rate(sessions, what, fewest) for what in (TPC_B, END.name))
        if base and end:
            ratio = end["p50_ms"] / base["p50_ms"]
            what = f"end, p50 to TPC-B's, {_clients(fewest)}, {at}"
            yield Finding("PERF-01", what, ratio, END_TO_TPC_B_P50)
        base, end = (self.rate(sessions, what, most) for what in (TPC_B, END.name))
        if base and end:
            ratio = end["per_second"] / base["per_second"]
            what = f"end, rate to TPC-B's, {_clients(most)}, {at}"
            yield Finding("PERF-01", what, ratio, END_TO_TPC_B_RATE, is_least=True)
        fixed = self.rate(sessions, AT_FIXED_RATE, most)
        if fixed:
            yield Finding(
                "PERF-01", f"end, p99 at 200 a second, ms, {at}", fixed["p99_ms"], END_P99_MS
            )
        lives = self.rate(sessions, LIFE, most)
        if base and lives:
            # Either will do.
            least = min(LIVES_PER_SECOND, LIFE_TO_TPC_B_RATE * base["per_second"])
            what = f"lives a second, {_clients(most)}, {at}"
            yield Finding("PERF-02", what, lives["per_second"], least, is_least=True)

    def _of_ticks(self) -> Iterator[Finding]:
        for figure in self.figures["ticks"]:
            what = f"tick, {figure['what']}"
            if figure["what"].startswith("nothing due"):
                yield Finding("PERF-03", f"{what}, p50 in ms", figure["p50_ms"], IDLE_TICK_MS)
            elif figure["what"].startswith("ending"):
                yield Finding("PERF-03", f"{what}, s", figure["seconds"], DUE_SECONDS)

    def _of_heartbeats(self) -> Iterator[Finding]:
        for figure in self.figures["heartbeats"]:
            what = f"share of HOT updates of heartbeats, {figure['sessions']:,} sessions"
            yield Finding("PERF-04", what, figure["hot_share"], HOT_SHARE, is_least=True)

    def _of_storage(self) -> Iterator[Finding]:
        for figure in self.figures["storage"]:
            sizes = {name: sum(parts) for name, parts in figure["bytes"].items()}
            kept = sum(size for name, size in sizes.items() if not name.startswith(PASSING))
            yield Finding("PERF-05", "bytes a paid session leaves", kept, BYTES_PER_LIFE)
            what = "with what Realtime drops after days"
            yield Finding("PERF-05", what, sum(sizes.values()), BYTES_PER_LIFE)

    def _of_growth(self) -> Iterator[Finding]:
        for figure in self.figures["growth"]:
            what = (
                f"{figure['what']}, p50 at {figure['sessions']:,} to {figure['beside']:,} sessions"
            )
            yield Finding("PERF-05", what, figure["ratio"], GROWTH)

    def tables(self) -> Iterator[Table]:
        yield from (self._rates(sessions) for sessions in self.sizes())
        for figure in self.figures["storage"]:
            yield _storage(figure["bytes"])
        if self.figures["ticks"]:
            yield self._ticks()
        if self.figures["monitoring"]:
            yield monitoring.shown(self.figures["monitoring"])
        yield self._targets()

    def _rates(self, sessions: int) -> Table:
        table = _table(
            f"{sessions:,} sessions in the history",
            *("what", "clients", "a second", "p50 ms", "p95 ms", "p99 ms"),
            *("of TPC-B's rate", "times its p50", "WAL bytes"),
        )
        measured = [f for f in self.figures["rates"] if f["sessions"] == sessions]
        for what in dict.fromkeys(figure["what"] for figure in measured):
            for clients in dict.fromkeys(f["clients"] for f in measured if f["what"] == what):
                rate, base = (self.rate(sessions, name, clients) for name in (what, TPC_B))
                if rate and base:
                    table.add_row(
                        what,
                        str(clients),
                        f"{rate['per_second']:,.0f}",
                        *(f"{rate[name]:.2f}" for name in ("p50_ms", "p95_ms", "p99_ms")),
                        f"{rate['per_second'] / base['per_second']:.3f}",
                        f"{rate['p50_ms'] / base['p50_ms']:.1f}",
                        f"{rate['wal_bytes']:,.0f}",
                    )
            table.add_section()
        return table

    def _ticks(self) -> Table:
        table = _table("tick_sessions()", "what", "p50 ms", "p99 ms", "first, ms", "seconds")
        for figure in self.figures["ticks"]:
            names = ("p50_ms", "p99_ms", "first_ms", "seconds")
            shown = (f"{figure[name]:.2f}" if name in figure else "" for name in names)
            table.add_row(figure["what"], *shown)
        return table

    def _targets(self) -> Table:
        table = _table("The targets", "", "what", "figure", "target", "")
        for finding in self.findings():
            sign = "at least" if finding.is_least else "at most"
            table.add_row(
                finding.requirement,
                finding.what,
                f"{finding.figure:,.2f}",
                f"{sign} {finding.target:,.2f}",
                finding.verdict,
            )
        return table


def _storage(sizes: dict[str, tuple[float, float]]) -> Table:
    table = _table("Bytes that a paid session leaves", "table", "heap", "indexes", "both")

    def add(name: str, heap: float, indexes: float) -> None:
        table.add_row(name, *(f"{size:,.0f}" for size in (heap, indexes, heap + indexes)))

    for name in sorted(sizes, key=lambda name: -sum(sizes[name])):
        add(name, *sizes[name])
    table.add_section()
    add("all", *(sum(parts) for parts in zip(*sizes.values(), strict=True)))
    return table


def _clients(number: int) -> str:
    return f"{number} client{'s' if number > 1 else ''}"


def _table(title: str, *columns: str) -> Table:
    table = Table(*columns, title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    return table
