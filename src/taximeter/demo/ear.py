"""A mechanic's ear: the Realtime of supabase-py, which needs an event loop of its own."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from anyio.from_thread import start_blocking_portal
from supabase import acreate_client

from realtime import RealtimeSubscribeStates
from taximeter.demo.hearing import PATIENCE_SECONDS, Heard, Message
from taximeter.stack.settings import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anyio.from_thread import BlockingPortal

    from realtime import AsyncRealtimeClient
    from taximeter.demo.stage import Stage
    from taximeter.people import Person


class Ear:
    """Hears with one person's token, over one socket, whatever it is told to listen to."""

    def __init__(self, stage: Stage, portal: BlockingPortal, realtime: AsyncRealtimeClient) -> None:
        self.heard = Heard(lambda message: stage.heard("supabase-py", message))
        self._portal = portal
        self._realtime = realtime

    @classmethod
    @contextmanager
    def open(cls, stage: Stage, person: Person) -> Iterator[Self]:
        session = person.client.auth.get_session()
        token = session.access_token if session else None
        with start_blocking_portal() as portal:
            client = portal.call(acreate_client, stage.stack.url, stage.stack.publishable_key)
            portal.call(client.realtime.set_auth, token)
            try:
                yield cls(stage, portal, client.realtime)
            finally:
                portal.call(client.realtime.close)

    def listen(self, topic: str) -> None:
        self._portal.call(self._listen, topic)

    async def _listen(self, topic: str) -> None:
        joined = asyncio.get_running_loop().create_future()

        def hear(message: Any) -> None:
            self.heard.add(Message(topic, message["event"], message["payload"]))

        def note(status: RealtimeSubscribeStates, error: Exception | None) -> None:
            if joined.done():
                return
            if status == RealtimeSubscribeStates.SUBSCRIBED:
                joined.set_result(None)
            else:
                joined.set_exception(StackError(f"{topic}: {status.value} {error or ''}"))

        channel = self._realtime.channel(
            topic,
            {
                "config": {
                    "broadcast": None,
                    "presence": {"key": "", "enabled": False},
                    "private": True,
                }
            },
        )
        await channel.on_broadcast("*", hear).subscribe(note)
        await asyncio.wait_for(joined, PATIENCE_SECONDS)
