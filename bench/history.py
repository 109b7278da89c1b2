"""Two years of sessions up to now, written past the engine in the shapes it gives them.

They are consistent to the last cent: a replay equals every row, and every invariant holds.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

SESSIONS = 1_000_000


def load(owner: psycopg.Connection[Any], sessions: int = SESSIONS) -> None:
    """Fills an empty database; the connection is a superuser's, and commits each statement."""
    owner.execute("select set_config('bench.sessions', %s, false)", (str(sessions),))
    owner.execute((Path(__file__).parent / "history.sql").read_bytes())
    owner.execute("vacuum (analyze)")
    owner.execute("checkpoint")
