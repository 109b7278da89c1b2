"""Real programs that tests talk to, built from their sources by scripts/counterparts.sh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.missing import need
from taximeter.stack.postgres import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path


def counterpart(name: str) -> Path:
    """The program, or the test is skipped."""
    program = CHECKOUT / ".make" / "go" / name
    need(name, is_there=program.exists(), from_where="scripts/counterparts.sh builds it, with Go")
    return program
