"""What the processes of a running stack hold, as Linux tells it in /proc."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROC = Path("/proc")
POSTGRES = "PostgreSQL"
SHARED = "PostgreSQL, shared"
OTHERS = "the others"
GUARDS = "guards"
REALTIME = "Realtime"
SUPERVISOR = "supervisor"
PARTS = {
    "main.mjs": "API",
    "taximeter.stack.realtime": REALTIME,
    "taximeter.stack.supervisor": SUPERVISOR,
}


@dataclass(frozen=True, slots=True)
class Held:
    """

    Each server process of PostgreSQL counts with its own memory only. What they share grows with
    the tables until its buffers are full, and is that of the process that has seen most of it.
    """

    memory: dict[str, float]
    files: dict[str, int]

    @property
    def own(self) -> float:
        return sum(self.memory.values()) - self.memory[SHARED]


def parent(pid: int) -> int:
    return int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])


def held(supervisor: int, postmaster: int) -> Held:
    """What the descendants of both hold now, and both themselves."""
    memory: Counter[str] = Counter()
    files: Counter[str] = Counter()
    shared = 0.0
    for pid, is_server in _family(supervisor, postmaster):
        folder = PROC / str(pid)
        try:
            part = POSTGRES if is_server else _part(folder)
            kilobytes = _memory(folder)
            opened = sum(1 for _ in (folder / "fd").iterdir())
        except OSError:
            continue  # It has ended meanwhile.
        files[POSTGRES if is_server else OTHERS] += opened
        memory[part] += kilobytes.get("RssAnon" if is_server else "VmRSS", 0)
        if is_server:
            shared = max(shared, kilobytes.get("RssShmem", 0))
    memory[SHARED] = int(shared)
    return Held({part: amount / 1024 for part, amount in memory.items()}, dict(files))


def _family(supervisor: int, postmaster: int) -> Iterator[tuple[int, bool]]:
    """The processes, and whether each is one of PostgreSQL's."""
    children: dict[int, list[int]] = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                children.setdefault(parent(int(folder.name)), []).append(int(folder.name))
            except OSError:
                continue
    for first in (supervisor, postmaster):
        waiting = [first]
        while waiting:
            pid = waiting.pop()
            waiting += children.get(pid, [])
            yield pid, first == postmaster


def _part(folder: Path) -> str:
    arguments = (folder / "cmdline").read_text().split("\0")
    for argument in arguments:
        path = Path(argument)
        if path.name == "index.ts":
            return path.parent.name
        if path.name in PARTS:
            return PARTS[path.name]
    return GUARDS


def _memory(folder: Path) -> dict[str, int]:
    """Kilobytes by the name that the kernel gives them."""
    lines = (line.split() for line in (folder / "status").read_text().splitlines())
    return {
        words[0].rstrip(":"): int(words[1]) for words in lines if len(words) == 3 and "kB" in words
    }
