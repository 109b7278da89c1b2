"""Whether each broadcast that was sent is heard by everybody who listens: once, and in order.

What was sent is read from realtime.messages, what was heard is told by the clients. Either may be
known first; what is known from both sides cancels out.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, LiteralString

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

# A row is of the time when its transaction began, and seen when that is committed.
LONGEST_TRANSACTION_SECONDS = 60

_ROWS: LiteralString = """
select id::text, payload ->> 'id', topic, event, inserted_at::text
from realtime.messages
where inserted_at > %s::timestamp - make_interval(secs => %s)
order by inserted_at
"""


class Broadcasts:
    """`sent` counts what was sent to anybody who listens, `heard` who heard it, once each."""

    def __init__(self, note: Callable[[str], None], took: Callable[[str, float], None]) -> None:
        self._note = note
        self._took = took
        self._listeners: dict[str, dict[str, str | None]] = {}
        self._owed: dict[tuple[str, str], str] = {}
        self._early: dict[tuple[str, str], str] = {}
        self._versions: dict[tuple[str, str], int] = {}
        self._seen: dict[str, str] = {}
        self._since = ""
        self.sent = 0
        self.heard = 0

    async def begin(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """From now on what is sent is owed to who listens."""
        cursor = await connection.execute("select now()::timestamp::text")
        row = await cursor.fetchone()
        self._since = row[0] if row else ""
        for row in await self._rows(connection):
            self._seen[row[0]] = row[4]

    def listens(self, who: str, topic: str, *, misses: str | None) -> None:
        """Somebody listens to a topic, for ever; only the event `misses` came before."""
        self._listeners.setdefault(topic, {})[who] = misses

    def hear(self, who: str, topic: str, message: dict[str, Any]) -> None:
        event, payload = message["event"], message["payload"]
        key = who, str(payload["id"])
        self.heard += 1
        if self._owed.pop(key, None) is None:
            if key in self._early:
                self._note(f"{who} heard {event} on {topic} twice")
            self._early[key] = f"{event} on {topic}"
        if "server_now" in payload:
            sent_at = datetime.fromisoformat(payload["server_now"]).timestamp()
            self._took("broadcast", (time.time() - sent_at) * 1000)
        if "version" in payload:
            before = self._versions.get((who, topic), 0)
            if payload["version"] <= before:
                self._note(f"{who} heard v{payload['version']} after v{before} on {topic}")
            self._versions[who, topic] = payload["version"]

    async def look(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Counts what has been sent since the last look."""
        rows = [row for row in await self._rows(connection) if row[0] not in self._seen]
        for row_id, message_id, topic, event, inserted_at in rows:
            self._seen[row_id] = inserted_at
            self._since = max(self._since, inserted_at)
            listeners = self._listeners.get(topic, {})
            self.sent += bool(listeners)
            for who, misses in listeners.items():
                key = who, message_id
                if event != misses and self._early.pop(key, None) is None:
                    self._owed[key] = f"{event} on {topic}"

    @property
    def owed(self) -> list[str]:
        """What was sent and not heard; a moment after it was sent this says nothing."""
        return [f"{who} has not heard {what}" for (who, _), what in self._owed.items()]

    @property
    def unexplained(self) -> list[str]:
        """What was heard and, as far as is known, not sent, or not so often."""
        return [f"{who} heard {what}, once too often" for (who, _), what in self._early.items()]

    async def _rows(self, connection: psycopg.AsyncConnection[Any]) -> list[tuple[Any, ...]]:
        cursor = await connection.execute(_ROWS, (self._since, LONGEST_TRANSACTION_SECONDS))
        return await cursor.fetchall()
