"""Whether each broadcast that was sent is heard by everybody who listens: once, and in order.

What was sent is read from realtime.messages, what was heard is told by the clients. Either may be
known first.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, LiteralString

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

# A row bears the time when its transaction began, and is seen when that is committed.
LONGEST_TRANSACTION_SECONDS = 60

_ROWS: LiteralString = """
select id::text, payload ->> 'id', topic, event, inserted_at::text
from realtime.messages
where inserted_at > %s::timestamp - make_interval(secs => %s)
order by inserted_at
"""

Key = tuple[str, str]


class Broadcasts:
    """`sent` is what was sent to anybody who listens, `heard` how often something was heard."""

    def __init__(self, note: Callable[[str], None], took: Callable[[float], None]) -> None:
        self._note = note
        self._took = took
        self._listeners: dict[str, dict[str, str | None]] = {}
        # By who and the id of the message, what it was.
        self._owed: dict[Key, str] = {}
        self._heard: dict[Key, str] = {}
        self._versions: dict[Key, int] = {}
        self._seen: set[str] = set()
        self._since = ""
        self.sent = 0
        self.heard = 0

    async def begin(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """From now on what is sent is owed to those who listen."""
        cursor = await connection.execute("select now()::timestamp::text")
        ((self._since,),) = await cursor.fetchall()
        self._seen = {row[0] for row in await self._rows(connection)}
        self._heard.clear()

    def listens(self, who: str, topic: str, *, misses: str | None) -> None:
        """Somebody listens to a topic from now on; the event `misses` came before."""
        self._listeners.setdefault(topic, {})[who] = misses

    def hear(self, who: str, topic: str, message: dict[str, Any]) -> None:
        event, payload = message["event"], message["payload"]
        key = who, str(payload["id"])
        if key in self._heard:
            self._note(f"{who} heard {event} on {topic} twice")
        self._heard[key] = f"{event} on {topic}"
        self.heard += 1
        if "server_now" in payload:
            sent_at = datetime.fromisoformat(payload["server_now"]).timestamp()
            self._took((time.time() - sent_at) * 1000)
        if "version" in payload:
            before = self._versions.get((who, topic), 0)
            if payload["version"] <= before:
                self._note(f"{who} heard v{payload['version']} after v{before} on {topic}")
            self._versions[who, topic] = payload["version"]

    async def look(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Counts what has been sent since the last look."""
        for row_id, message_id, topic, event, inserted_at in await self._rows(connection):
            if row_id not in self._seen:
                self._seen.add(row_id)
                self._since = max(self._since, inserted_at)
                self.send(message_id, topic, event)

    def send(self, message_id: str, topic: str, event: str) -> None:
        listeners = self._listeners.get(topic, {})
        self.sent += bool(listeners)
        for who, misses in listeners.items():
            if event != misses:
                self._owed[who, message_id] = f"{event} on {topic}"

    @property
    def lost(self) -> list[str]:
        """What was sent and not heard; or not yet, when it was sent just now."""
        missing = self._owed.keys() - self._heard.keys()
        return [f"{key[0]} has not heard {self._owed[key]}" for key in missing]

    @property
    def unexplained(self) -> list[str]:
        """What was heard and not sent, as far as is known."""
        extra = self._heard.keys() - self._owed.keys()
        return [f"{key[0]} heard {self._heard[key]}, which was not sent" for key in extra]

    async def _rows(self, connection: psycopg.AsyncConnection[Any]) -> list[tuple[Any, ...]]:
        cursor = await connection.execute(_ROWS, (self._since, LONGEST_TRANSACTION_SECONDS))
        return await cursor.fetchall()
