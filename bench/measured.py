"""What a soak measured, and the verdict on it.

The time is looked at in quarters: the first is for warming up, the last is held against the second.
PostgreSQL's shared memory fills as the tables grow, up to its buffers, so it is shown and not
judged; what each of its processes has for itself is.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.table import Table

from bench.lives import Times
from bench.machine import percentile
from bench.processes import GUARDS, OTHERS, POSTGRES, REALTIME, SHARED, SUPERVISOR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bench.processes import Held

QUARTERS = 4
JUDGED_FROM_SECONDS = 240
MORE = 1.15
MORE_MB = 8.0
# V8 lets garbage lie while there is memory; all but these run on it.
MORE_MB_OF_V8 = 64.0
NOT_V8 = frozenset({POSTGRES, REALTIME, SUPERVISOR, GUARDS})
MORE_HANDLES = 10
SLOWER = 1.5
FEWEST_CALLS = 50
BROADCAST = "broadcast"
PROBE = "select 1, for comparison"


@dataclass(frozen=True, slots=True)
class Sample:
    """A look at the stack from outside."""

    at: float
    held: Held
    connections: int
    backlog: int
    load: float


@dataclass(frozen=True, slots=True)
class Mark:
    """What had happened by then."""

    at: float
    ended: int = 0
    sent: int = 0
    heard: int = 0
    owed: int = 0
    mails: str = ""
    transfers: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of the verdict."""

    what: str
    figure: str
    is_good: bool


@dataclass(slots=True)
class Measured:
    """All that a run found out."""

    seconds: float
    begun: float = 0.0
    times: Times = field(default_factory=Times)
    samples: list[Sample] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_long_enough(self) -> bool:
        return self.seconds >= JUDGED_FROM_SECONDS

    def find(self, what: str, figure: str, is_good: bool) -> None:
        self.findings.append(Finding(what, figure, is_good))

    def medians(self, value: Callable[[Sample], float]) -> list[float]:
        """Of each quarter."""
        found = self._by_quarter((sample.at, value(sample)) for sample in self.samples)
        return [statistics.median(values) if values else math.nan for values in found]

    def calls(self, kind: str) -> list[list[float]]:
        """The milliseconds of each quarter."""
        return self._by_quarter(self.times.of[kind])

    def between(self, first: float, last: float, *kinds: str) -> list[float]:
        found = (call for kind in kinds for call in self.times.of.get(kind, []))
        return [milliseconds for at, milliseconds in found if first < at <= last]

    def _by_quarter(self, values: Iterable[tuple[float, float]]) -> list[list[float]]:
        found: list[list[float]] = [[] for _ in range(QUARTERS)]
        for at, value in values:
            # What has begun in the last quarter may end after it.
            quarter = min(QUARTERS - 1, int((at - self.begun) * QUARTERS / self.seconds))
            found[quarter].append(value)
        return found


def timeline(measured: Measured) -> Table:
    """A line for each part of the time."""
    table = Table(
        *("min", "ended", "calls", "ms: p50, p95", "heard, ms", "sent", "heard", "owed"),
        *("mails", "transfers", "outbox", "conn.", "files", "MB", "load"),
        title="What happened",
        caption="owed: sent and not heard yet; MB: what every process has for itself",
    )
    kinds = [kind for kind in measured.times.of if kind not in {PROBE, BROADCAST}]
    for before, mark in zip(measured.marks, measured.marks[1:], strict=False):
        samples = [s for s in measured.samples if before.at < s.at <= mark.at]
        calls = measured.between(before.at, mark.at, *kinds)
        table.add_row(
            f"{(mark.at - measured.begun) / 60:.1f}",
            str(mark.ended - before.ended),
            f"{len(calls):,}",
            _percentiles(calls),
            _percentiles(measured.between(before.at, mark.at, BROADCAST)),
            f"{mark.sent - before.sent:,}",
            f"{mark.heard - before.heard:,}",
            str(mark.owed),
            mark.mails,
            mark.transfers,
            str(max(s.backlog for s in samples)),
            str(max(s.connections for s in samples)),
            f"{max(sum(s.held.files.values()) for s in samples):,}",
            f"{statistics.median(s.held.own for s in samples):,.0f}",
            f"{statistics.median(s.load for s in samples):.1f}",
        )
    return _right(table)


def judge_latency(measured: Measured) -> Table:
    """The 95th percentile of each quarter; the last may not be much above the second."""
    table = Table("call", "times", "p50", *(f"p95 Q{n + 1}" for n in range(QUARTERS)), "Q4/Q2", "")
    table.title = "Milliseconds, by quarter"
    table.caption = f"flat: Q4 at most {SLOWER} times Q2; judged from {FEWEST_CALLS} calls in each"
    for kind in sorted(measured.times.of):
        quarters = measured.calls(kind)
        every = [value for values in quarters for value in values]
        p95 = [percentile(values, 95) if len(values) > 1 else math.nan for values in quarters]
        ratio = p95[-1] / p95[1]
        is_good = None
        enough = min(len(quarters[1]), len(quarters[-1])) >= FEWEST_CALLS
        if kind != PROBE and enough and measured.is_long_enough:
            is_good = ratio <= SLOWER
            measured.find(f"flat: {kind}", f"{p95[1]:,.1f} to {p95[-1]:,.1f} ms", is_good)
        table.add_row(
            kind,
            f"{len(every):,}",
            f"{statistics.median(every):,.1f}",
            *(f"{value:,.1f}" for value in p95),
            f"{ratio:.2f}",
            _word(is_good),
        )
    return _right(table)


def judge_memory(measured: Measured) -> Table:
    """The median of each quarter; the last may not be much above the second."""
    table = Table("what", *(f"Q{n + 1}" for n in range(QUARTERS)), "", title="Held, by quarter")
    table.caption = (
        f"medians; a leak: Q4 above {MORE} times Q2 and {MORE_MB:.0f} MB more, "
        f"{MORE_MB_OF_V8:.0f} MB where V8 runs, or {MORE_HANDLES} more of what is counted"
    )

    def add(what: str, more: float | None, value: Callable[[Sample], float]) -> None:
        values = measured.medians(value)
        is_good = None
        if more is not None and measured.is_long_enough:
            is_good = values[-1] <= values[1] * MORE + more
            measured.find(f"no leak: {what}", f"{values[1]:,.1f} to {values[-1]:,.1f}", is_good)
        table.add_row(what, *(f"{value:,.1f}" for value in values), _word(is_good))

    parts = {part for sample in measured.samples for part in sample.held.memory}
    for part in sorted(parts - {SHARED}):
        more = MORE_MB if part in NOT_V8 else MORE_MB_OF_V8
        add(f"MB of {part}", more, _memory(part))
    add(f"MB of {SHARED}", None, _memory(SHARED))
    for owner in (POSTGRES, OTHERS):
        add(f"open files of {owner}", MORE_HANDLES, _files(owner))
    add("connections", MORE_HANDLES, lambda s: s.connections)
    add("rows that wait in the outbox", MORE_HANDLES, lambda s: s.backlog)
    return _right(table)


def verdict(measured: Measured) -> Table:
    table = Table("what", "figure", "", title="Verdict")
    for finding in measured.findings:
        table.add_row(finding.what, finding.figure, _word(finding.is_good))
    if not measured.is_long_enough:
        table.caption = f"shorter than {JUDGED_FROM_SECONDS} s: leaks and latency are not judged"
    return table


def _memory(part: str) -> Callable[[Sample], float]:
    return lambda sample: sample.held.memory.get(part, 0.0)


def _files(owner: str) -> Callable[[Sample], float]:
    return lambda sample: sample.held.files[owner]


def _word(is_good: bool | None) -> str:
    return {True: "ok", False: "[bold red]WRONG[/]", None: ""}[is_good]


def _percentiles(values: Sequence[float]) -> str:
    if len(values) < 2:
        return ""
    return f"{percentile(values, 50):.0f} {percentile(values, 95):.0f}"


def _right(table: Table) -> Table:
    for column in table.columns[1:]:
        column.justify = "right"
    return table
