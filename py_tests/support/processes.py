"""Processes of the machine, as tests look at them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SECONDS = 30.0


def gone(pid: int) -> bool:
    return _fields(Path(f"/proc/{pid}"))[0] == "Z"


def all_gone(pids: Iterable[int]) -> bool:
    return all(gone(pid) for pid in pids)


def descendants(pid: int) -> set[int]:
    """The processes that this one has started, and those that they have."""
    children: dict[int, list[int]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        children.setdefault(int(_fields(process)[1]), []).append(int(process.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        new = children.get(waiting.pop(), [])
        found.update(new)
        waiting.extend(new)
    return found


def command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def until(holds: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Returns what it holds as soon as that is something."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


def _fields(process: Path) -> list[str]:
    """The state and the parent; of a process that is not there as of one that has ended."""
    try:
        return (process / "stat").read_text().rsplit(")", 1)[1].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return ["Z", "0"]
