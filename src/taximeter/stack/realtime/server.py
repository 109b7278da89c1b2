"""The WebSocket and the HTTP side of the stand-in, on loopback."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import WSCloseCode, web

from taximeter.stack.realtime.committed import CommittedMessages
from taximeter.stack.realtime.connection import Connection
from taximeter.stack.realtime.credentials import Credentials, RefusedError, is_key
from taximeter.stack.realtime.policies import Policies
from taximeter.stack.realtime.rooms import Rooms
from taximeter.stack.realtime.wire import Broadcast, Version, WireError, parse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from taximeter.stack.realtime.credentials import Identity

HOST = "127.0.0.1"
MOST_CONNECTIONS = 500
LARGEST_MESSAGE_BYTES = 1024 * 1024
CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What the process is told; nothing of it is ever logged."""

    database_url: str
    jwt_secret: str
    publishable_key: str
    secret_key: str
    port: int = 0


class RealtimeServer:
    """Serves until it is closed; `followed` is the task that hears of committed rows."""

    def __init__(self, settings: Settings) -> None:
        self._port = settings.port
        self._rooms = Rooms()
        self._policies = Policies(settings.database_url)
        self._credentials = Credentials(
            publishable_key=settings.publishable_key,
            secret_key=settings.secret_key,
            jwt_secret=settings.jwt_secret,
        )
        self._committed = CommittedMessages(
            settings.database_url, self._rooms.broadcast, LARGEST_MESSAGE_BYTES
        )
        self._sockets: set[web.WebSocketResponse] = set()
        application = web.Application(client_max_size=LARGEST_MESSAGE_BYTES, middlewares=[_in_json])
        application.add_routes(
            [
                web.get("/websocket", self._websocket),
                web.get("/health", self._health),
                web.post("/api/broadcast", self._send_batch),
                web.post("/api/broadcast/{topic}/events/{event}", self._send_one),
            ]
        )
        application.on_shutdown.append(self._close_sockets)
        # No access log: the path of a WebSocket carries its key.
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=CLOSE_SECONDS)
        self.followed: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listens to the database, then to clients; returns the port."""
        await self._committed.open()
        self.followed = asyncio.create_task(self._committed.run())
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self._port).start()
        port: int = self._runner.addresses[0][1]
        return port

    async def close(self) -> None:
        await self._runner.cleanup()
        if self.followed is not None:
            self.followed.cancel()
            await asyncio.wait([self.followed])
        await self._committed.close()

    # WebSockets

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        identity = self._identity_of_key(request)
        try:
            version = Version(request.query.get("vsn", Version.OBJECTS))
        except ValueError:
            raise _Answer(400, {"error": "vsn must be 1.0.0 or 2.0.0"}) from None
        if len(self._sockets) >= MOST_CONNECTIONS:
            raise _Answer(429, {"error": "Too many connected users"})
        socket = web.WebSocketResponse(timeout=CLOSE_SECONDS, max_msg_size=LARGEST_MESSAGE_BYTES)
        await socket.prepare(request)
        if request.transport is None:
            return socket
        self._sockets.add(socket)
        try:
            await Connection(
                socket=socket,
                transport=request.transport,
                version=version,
                identity=identity,
                headers=_own_headers(request),
                rooms=self._rooms,
                credentials=self._credentials,
                policies=self._policies,
                is_listening=lambda: self._committed.is_listening,
            ).run()
        finally:
            self._sockets.discard(socket)
        return socket

    async def _close_sockets(self, _: web.Application) -> None:
        closing = [
            socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server stops")
            for socket in self._sockets
        ]
        await asyncio.gather(*closing, return_exceptions=True)

    # HTTP

    async def _health(self, _: web.Request) -> web.StreamResponse:
        listening = self._committed.is_listening
        return web.json_response(
            {"ok": listening, "connections": len(self._sockets)}, status=200 if listening else 503
        )

    async def _send_batch(self, request: web.Request) -> web.StreamResponse:
        """Private messages that the caller may not send are dropped, as the real server does."""
        identity = self._identity_of(request)
        messages = _batch(await _body(request))
        allowed: dict[str, bool] = {}
        for message in messages:
            if message.private and message.topic not in allowed:
                allowed[message.topic] = await self._may_send(request, identity, message.topic)
            if not message.private or allowed[message.topic]:
                self._rooms.broadcast(message)
        return web.Response(status=202)

    async def _send_one(self, request: web.Request) -> web.StreamResponse:
        identity = self._identity_of(request)
        topic, event = request.match_info["topic"], request.match_info["event"]
        private = request.query.get("private") == "true"
        payload = (
            await request.read()
            if request.content_type == "application/octet-stream"
            else await _body(request)
        )
        if private and not await self._may_send(request, identity, topic):
            raise _Answer(403, {"message": "Unauthorized"})
        self._rooms.broadcast(Broadcast(topic, private, event, payload))
        return web.Response(status=202)

    async def _may_send(self, request: web.Request, identity: Identity, topic: str) -> bool:
        try:
            return await self._policies.may_write(
                identity, topic, "broadcast", _own_headers(request)
            )
        except RefusedError as refusal:
            raise _Answer(422, {"message": refusal.message}) from refusal

    def _identity_of_key(self, request: web.Request) -> Identity:
        key = request.query.get("apikey") or request.headers.get("apikey")
        if not key:
            raise _Answer(401, {"error": "API key is missing"})
        identity = self._credentials.of_key(key)
        if identity is None:
            raise _Answer(401, {"error": "API key is not valid"})
        return identity

    def _identity_of(self, request: web.Request) -> Identity:
        identity = self._identity_of_key(request)
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token or is_key(token):
            return identity
        try:
            return self._credentials.of_token(token)
        except RefusedError as refusal:
            raise _Answer(401, {"message": refusal.message}) from refusal


class _Answer(Exception):  # noqa: N818 (not always an error)
    """Ends a request with this."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(body)
        self.status = status
        self.body = body


@web.middleware
async def _in_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every refusal is JSON, and browsers may read it."""
    try:
        response = await handler(request)
    except _Answer as answer:
        response = web.json_response(answer.body, status=answer.status)
    except web.HTTPException as error:
        response = web.json_response({"message": error.reason}, status=error.status)
    if not response.prepared:
        response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def _own_headers(request: web.Request) -> dict[str, str]:
    """Policies may read the headers of the client's own, and none that carries a secret."""
    return {
        name.lower(): value
        for name, value in request.headers.items()
        if name.lower().startswith("x-") and name.lower() != "x-api-key"
    }


async def _body(request: web.Request) -> Any:
    try:
        return parse(await request.read())
    except WireError as error:
        raise _Answer(422, {"errors": {"body": [str(error)]}}) from error


def _batch(body: Any) -> list[Broadcast]:
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list) or not messages:
        raise _Answer(422, {"errors": {"messages": ["can't be blank"]}})
    return [_message(message) for message in messages]


def _message(message: Any) -> Broadcast:
    match message:
        case {"topic": str(topic), "event": str(event), "payload": dict(payload)}:
            private = message.get("private") or False
            if topic and event and isinstance(private, bool):
                return Broadcast(topic, private, event, payload)
    raise _Answer(
        422, {"errors": {"messages": ["each has a topic, an event, a payload; private is a flag"]}}
    )
