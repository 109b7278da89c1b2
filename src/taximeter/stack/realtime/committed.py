"""Hears of rows of realtime.messages when they are committed, and hands them on.

A trigger of the local shim notifies with the key of each new row; PostgreSQL delivers that at the
commit, in the order of the commits, and not at all after a rollback. While the connection is lost
messages are lost too, as with the real server: clients order by version and ask anew.
"""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg

from taximeter.stack.realtime.journal import note
from taximeter.stack.realtime.wire import Broadcast, WireError, parse

if TYPE_CHECKING:
    from collections.abc import Callable

LISTEN = "listen realtime_messages"
ROWS = """
select m.id::text, m.topic, coalesce(m.private, false), m.event, m.payload::text, m.binary_payload,
  coalesce(octet_length(m.payload::text), octet_length(m.binary_payload)) <= %(largest)s as fits
from unnest(%(ids)s::uuid[], %(times)s::timestamp[]) with ordinality as n (id, inserted_at, place)
join realtime.messages as m on m.id = n.id and m.inserted_at = n.inserted_at
where m.event is not null and (m.payload is not null or m.binary_payload is not null)
order by n.place
"""
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0


class CommittedMessages:
    """One connection that listens, opened again as often as it is lost."""

    def __init__(
        self, database_url: str, deliver: Callable[[Broadcast], None], largest_payload: int
    ) -> None:
        self._database_url = database_url
        self._deliver = deliver
        self._largest = largest_payload
        self._connection: psycopg.AsyncConnection[Any] | None = None

    @property
    def is_listening(self) -> bool:
        return self._connection is not None and not self._connection.closed

    async def open(self) -> None:
        connection = await psycopg.AsyncConnection.connect(self._database_url, autocommit=True)
        try:
            await connection.execute(LISTEN)
        except BaseException:
            await connection.close()
            raise
        self._connection = connection

    async def run(self) -> None:
        """For ever: deliver what is committed, and reconnect."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                if not self.is_listening:
                    await self.open()
                    note("listener.connected")
                pause = FIRST_PAUSE_SECONDS
                await self._follow()
            except psycopg.Error as error:
                note("listener.lost", error=type(error).__name__)
                await self.close()
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _follow(self) -> None:
        assert self._connection is not None, "it is open"  # noqa: S101
        while True:
            # All that came with the first one, so that a burst is one query.
            told = [notify.payload async for notify in self._connection.notifies(stop_after=1)]
            keys = [key for payload in told if (key := _key(payload))]
            cursor = await self._connection.execute(
                ROWS,
                {
                    "ids": [key for key, _ in keys],
                    "times": [inserted_at for _, inserted_at in keys],
                    "largest": self._largest,
                },
            )
            for row in await cursor.fetchall():
                self._hand_on(*row)

    def _hand_on(
        self,
        id: str,  # noqa: A002 (the column's name)
        topic: str,
        private: bool,
        event: str,
        payload: str | None,
        binary_payload: bytes | None,
        fits: bool,
    ) -> None:
        if not fits:
            note("message.too_large", id=id)
            return
        try:
            content = parse(payload) if payload is not None else binary_payload
        except WireError as error:
            note("message.unreadable", id=id, why=str(error))
            return
        self._deliver(Broadcast(topic, private, event, content, id))


def _key(payload: str) -> tuple[UUID, datetime] | None:
    """The key in a notification; anybody in the database may send one."""
    try:
        id, inserted_at = json.loads(payload)  # noqa: A001 (the column's name)
        return UUID(id), datetime.fromisoformat(inserted_at)
    except (ValueError, TypeError, AttributeError):
        note("notification.unreadable")
        return None
