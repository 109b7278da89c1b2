"""The Realtime stand-in as a process, and three clients of it: raw frames, JavaScript, Python."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, Self

from realtime.exceptions import RealtimeHTTPError
from supabase import AsyncClientOptions, acreate_client
from websockets.sync.client import ClientConnection, connect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from realtime import AsyncRealtimeClient
    from taximeter.stack.settings import Keys

JAVASCRIPT = Path(__file__).parents[1] / "stack" / "realtime_client.mjs"
PATIENCE = 15.0

Event = dict[str, Any]


@dataclass
class RealtimeProcess:
    """A running stand-in."""

    process: subprocess.Popen[str]
    port: int
    keys: Keys

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def launch(settings: object) -> tuple[subprocess.Popen[str], Event]:
    """The process and the first thing it says."""
    process = subprocess.Popen(
        [sys.executable, "-m", "taximeter.stack.realtime"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{json.dumps(settings)}\n")
    process.stdin.flush()
    first: Event = json.loads(process.stdout.readline())
    return process, first


def end(process: subprocess.Popen[str]) -> int:
    """Ends it as the stack does, by closing its input."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        return process.wait(PATIENCE)
    finally:
        process.kill()
        process.stdout.close()


@contextmanager
def running(database_url: str, keys: Keys) -> Iterator[RealtimeProcess]:
    process, said = launch(
        {
            "database_url": database_url,
            "jwt_secret": keys.jwt_secret,
            "publishable_key": keys.publishable,
            "secret_key": keys.secret,
            "port": 0,
        }
    )
    try:
        assert said["event"] == "ready", said
        yield RealtimeProcess(process, said["port"], keys)
    finally:
        end(process)


def eventually(is_so: Callable[[], bool], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not become so in time"
        time.sleep(0.02)


class Raw:
    """Frames by hand, in either version; messages are [join_ref, ref, topic, event, payload]."""

    def __init__(self, url: str, key: str, version: str = "2.0.0") -> None:
        address = f"{url.replace('http', 'ws', 1)}/websocket?apikey={key}&vsn={version}"
        self.version = version
        self.socket: ClientConnection = connect(address, proxy=None)
        self._ref = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def push(self, topic: str, event: str, payload: Mapping[str, Any], **frame: Any) -> str:
        self._ref += 1
        ref, join_ref = frame.get("ref", str(self._ref)), frame.get("join_ref")
        if self.version == "2.0.0":
            self.socket.send(json.dumps([join_ref, ref, topic, event, payload]))
        else:
            self.socket.send(
                json.dumps(
                    {
                        "topic": topic,
                        "event": event,
                        "payload": payload,
                        "ref": ref,
                        "join_ref": join_ref,
                    }
                )
            )
        return str(ref)

    def frame(self, timeout: float = PATIENCE) -> Any:
        """The next frame as it is: parsed text, or bytes."""
        frame = self.socket.recv(timeout)
        return frame if isinstance(frame, bytes) else json.loads(frame)

    def next(self) -> tuple[str, Any]:
        """Event and payload of the next message."""
        frame = self.frame()
        if isinstance(frame, list):
            return frame[3], frame[4]
        return frame["event"], frame["payload"]

    def join(
        self, topic: str, *, token: object = None, presence: bool = False, **config: Any
    ) -> Event:
        """The answer to a join: {"status": .., "response": ..}."""
        payload: Event = {"config": {"presence": {"enabled": presence}, **config}}
        if token is not None:
            payload["access_token"] = token
        self.push(f"realtime:{topic}", "phx_join", payload)
        event, answer = self.next()
        assert event == "phx_reply"
        return dict(answer)

    def broadcast(self, topic: str, event: str, payload: object) -> None:
        self.push(f"realtime:{topic}", "broadcast", {"event": event, "payload": payload})

    def heartbeat(self) -> Any:
        """Answers come in order: what arrived before this one's was already on its way."""
        self.push("phoenix", "heartbeat", {})
        return self.frame()


class Client(Protocol):
    """What the two official clients can both be asked to do."""

    events: list[Event]

    def subscribe(self, topic: str, *, private: bool = True, **config: Any) -> str: ...

    def act(self, command: str, **options: Any) -> Any: ...


@dataclass
class JavaScript:
    """supabase-js in a process of its own."""

    process: subprocess.Popen[str]
    events: list[Event] = field(default_factory=list)

    @classmethod
    @contextmanager
    def open(cls, **options: Any) -> Iterator[Self]:
        process = subprocess.Popen(
            ["node", str(JAVASCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        client = cls(process)
        reader = threading.Thread(target=client._read, args=(process.stdout,))
        reader.start()
        try:
            client.act("open", **options)
            yield client
        finally:
            process.kill()
            process.wait()
            reader.join()
            process.stdout.close()

    def subscribe(self, topic: str, *, private: bool = True, **config: Any) -> str:
        self.act("subscribe", topic=topic, config={"private": private, **config})
        return str(wait(self, "status", topic)["status"])

    def act(self, command: str, **options: Any) -> Any:
        before = len(self.events)
        assert self.process.stdin is not None
        self.process.stdin.write(f"{json.dumps({'command': command, **options})}\n")
        self.process.stdin.flush()
        found: list[Event] = []

        def is_done() -> bool:
            found[:] = [
                event
                for event in self.events[before:]
                if event["kind"] == "done" and event["command"] == command
            ]
            return bool(found)

        eventually(is_done)
        return found[0].get("result")

    def _read(self, stdout: IO[str]) -> None:
        for line in stdout:
            self.events.append(json.loads(line))


class Python:
    """supabase-py's Realtime client, on an event loop of its own."""

    def __init__(self, client: AsyncRealtimeClient, loop: asyncio.AbstractEventLoop) -> None:
        self.events: list[Event] = []
        self._client = client
        self._loop = loop

    @classmethod
    @contextmanager
    def open(cls, *, url: str, key: str, token: str | None = None) -> Iterator[Self]:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        options = AsyncClientOptions(realtime={"initial_backoff": 0.2})
        opening = acreate_client(url, key, options)
        made = asyncio.run_coroutine_threadsafe(opening, loop).result(PATIENCE)
        client = cls(made.realtime, loop)
        try:
            if token:
                client.act("set_auth", token=token)
            yield client
        finally:
            client._await(client._close())
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def subscribe(self, topic: str, *, private: bool = True, **config: Any) -> str:
        presence = {"key": "", "enabled": False, **config.get("presence", {})}
        self._await(self._subscribe(topic, {"private": private, **config, "presence": presence}))
        return str(wait(self, "status", topic)["status"])

    def act(self, command: str, **options: Any) -> Any:
        return self._await(self._act(command, **options))

    async def _act(
        self,
        command: str,
        *,
        topic: str = "",
        event: str = "",
        payload: Any = None,
        token: str = "",
    ) -> str | None:
        channel = self._client.channels.get(f"realtime:{topic}")
        if command == "set_auth":
            await self._client.set_auth(token)
            return None
        assert channel is not None
        match command:
            case "track":
                await channel.track(payload)
            case "untrack":
                await channel.untrack()
            case "send":
                await channel.send_broadcast(event, payload)
            case "http_send":
                try:
                    await channel.http_send(event, payload)
                except RealtimeHTTPError as error:
                    return str(error)
            case "leave":
                await self._client.remove_channel(channel)
        return None

    async def _subscribe(self, topic: str, config: Any) -> None:
        channel = self._client.channel(topic, {"config": config})

        def say(kind: str, **facts: Any) -> None:
            self.events.append({"kind": kind, "topic": topic, **facts})

        def say_presence(event: str) -> Callable[..., None]:
            return lambda key=None, *_: say(
                "presence", event=event, key=key, state=channel.presence_state()
            )

        channel.on_broadcast("*", lambda heard: say("broadcast", **heard))
        channel.on_system(lambda told: say("system", **told.model_dump()))
        if config["presence"]["enabled"]:
            channel.on_presence_join(say_presence("join"))
            channel.on_presence_leave(say_presence("leave"))
            channel.on_presence_sync(say_presence("sync"))
        await channel.subscribe(
            lambda status, error: say("status", status=status.value, error=str(error))
        )

    async def _close(self) -> None:
        await self._client.close()
        # It leaves its timers behind.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _await(self, what: Awaitable[Any]) -> Any:
        async def waited() -> Any:
            return await what

        return asyncio.run_coroutine_threadsafe(waited(), self._loop).result(PATIENCE)


def wait(client: Client, kind: str, topic: str, **facts: Any) -> Event:
    """The first event of a kind on a topic that says all this, now or soon."""
    found: list[Event] = []

    def is_there() -> bool:
        found[:] = [
            event
            for event in list(client.events)
            if event["kind"] == kind
            and event["topic"] == topic
            and all(event.get(name) == value for name, value in facts.items())
        ]
        return bool(found)

    eventually(is_there)
    return found[0]


def heard(client: Client, topic: str) -> list[tuple[str, Any]]:
    return [
        (event["event"], event["payload"])
        for event in list(client.events)
        if event["kind"] == "broadcast" and event["topic"] == topic
    ]
