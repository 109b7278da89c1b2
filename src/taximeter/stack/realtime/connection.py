"""One client: its frames in, its frames out, and the channels it has joined."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from aiohttp import WSCloseCode, WSMsgType, web

from taximeter.stack.realtime.credentials import Identity, RefusedError, expired, is_key
from taximeter.stack.realtime.journal import note
from taximeter.stack.realtime.policies import EXTENSIONS
from taximeter.stack.realtime.rooms import Channel, Wishes
from taximeter.stack.realtime.wire import (
    PHOENIX,
    PREFIX,
    Broadcast,
    Message,
    Version,
    WireError,
    decode,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taximeter.stack.realtime.credentials import Credentials
    from taximeter.stack.realtime.policies import Policies
    from taximeter.stack.realtime.rooms import Rooms

MOST_CHANNELS = 100
# What may wait for a client that reads slowly; one that is further behind is cut off.
MOST_WAITING_BYTES = 4 * 1024 * 1024
# Clients send a heartbeat every 25 seconds.
SILENCE_SECONDS = 60.0


class Connection:
    """Handles the messages of one client in their order; ends when the client goes."""

    def __init__(
        self,
        *,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        version: Version,
        identity: Identity,
        headers: Mapping[str, str],
        rooms: Rooms,
        credentials: Credentials,
        policies: Policies,
        is_listening: Callable[[], bool],
    ) -> None:
        self.version = version
        self._socket = socket
        self._transport = transport
        self._identity = identity
        self._headers = headers
        self._rooms = rooms
        self._credentials = credentials
        self._policies = policies
        self._is_listening = is_listening
        self._channels: dict[str, Channel] = {}
        self._expiries: dict[Channel, asyncio.TimerHandle] = {}
        self._outgoing: asyncio.Queue[str | bytes] = asyncio.Queue()
        self._waiting_bytes = 0

    def send(self, frame: str | bytes) -> None:
        self._waiting_bytes += len(frame)
        if self._waiting_bytes > MOST_WAITING_BYTES:
            if not self._transport.is_closing():
                note("client.too_slow", waiting_bytes=self._waiting_bytes)
                self._transport.abort()
            return
        self._outgoing.put_nowait(frame)

    async def run(self) -> None:
        writer = asyncio.create_task(self._write())
        try:
            await self._read()
        finally:
            for topic in list(self._channels):
                self._remove(topic)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer

    async def _read(self) -> None:
        while True:
            try:
                frame = await self._socket.receive(SILENCE_SECONDS)
            except TimeoutError:
                await self._socket.close(code=WSCloseCode.GOING_AWAY, message=b"no heartbeat")
                return
            if frame.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            try:
                message = decode(frame.data, self.version)
            except WireError as error:
                await self._socket.close(code=WSCloseCode.INVALID_TEXT, message=str(error).encode())
                return
            await self._handle(message)

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                frame = await self._outgoing.get()
                if isinstance(frame, str):
                    await self._socket.send_str(frame)
                else:
                    await self._socket.send_bytes(frame)
                self._waiting_bytes -= len(frame)

    async def _handle(self, message: Message) -> None:
        channel = self._channels.get(message.topic)
        if message.topic == PHOENIX and message.event == "heartbeat":
            self._reply(message)
        elif message.event == "phx_join":
            await self._join(message)
        elif channel is None:
            self._reply_to_nobody(message)
        elif message.event == "phx_leave":
            self._reply(message)
            self._close(channel)
        elif message.event == "access_token":
            await self._renew(channel, message)
        elif message.event == "broadcast":
            await self._broadcast(channel, message)
        elif message.event == "presence":
            await self._presence(channel, message)
        else:
            note("message.unknown", name=message.event[:50])

    def _reply_to_nobody(self, message: Message) -> None:
        if message.event == "phx_leave":
            self._reply(message)
        else:
            self._refuse(message, "unmatched topic")

    # Joining and leaving

    async def _join(self, message: Message) -> None:
        topic = message.topic.removeprefix(PREFIX)
        if topic == message.topic:
            self._refuse(message, "unmatched topic")
            return
        # A client that joins anew has given up what it had.
        if message.topic in self._channels:
            self._close(self._channels[message.topic])
        try:
            channel = await self._admit(topic, message)
        except RefusedError as refusal:
            self._refuse(message, str(refusal))
            return
        self._channels[message.topic] = channel
        self._rooms.enter(channel)
        self._watch_expiry(channel)
        self._reply(message, {"postgres_changes": []})
        self._rooms.show_presence(channel)
        if channel.wishes.wants_replication_ready:
            self._tell_replication(channel)

    async def _admit(self, topic: str, message: Message) -> Channel:
        if not topic:
            raise RefusedError("TopicNameRequired", "You must provide a topic name")
        if len(self._channels) >= MOST_CHANNELS:
            raise RefusedError("ChannelRateLimitReached", "Too many channels")
        wishes = _wishes(message.payload)
        identity = self._identity_of(message.payload.get("access_token"))
        reads = await self._reads(identity, topic, wishes.private)
        if not reads:
            raise RefusedError(
                "Unauthorized",
                f"You do not have permissions to read from this Channel topic: {topic}",
            )
        return Channel(self, topic, message.ref, identity, wishes, reads)

    def _identity_of(self, token: object) -> Identity:
        if token is None or (isinstance(token, str) and (not token or is_key(token))):
            return self._identity
        if not isinstance(token, str):
            raise RefusedError("MalformedJWT", "The token provided is not a valid JWT")
        return self._credentials.of_token(token)

    async def _reads(self, identity: Identity, topic: str, private: bool) -> frozenset[str]:
        if not private:
            return frozenset(EXTENSIONS)
        return await self._policies.readable(identity, topic, self._headers)

    def _tell_replication(self, channel: Channel) -> None:
        if self._is_listening():
            self._system(channel, "ok", "Replication connection established")
        else:
            self._system(channel, "error", "Replication connection is not established")

    def _close(self, channel: Channel) -> None:
        self._remove(f"{PREFIX}{channel.topic}")
        channel.push("phx_close", {}, channel.join_ref)

    def _expel(self, channel: Channel, why: str) -> None:
        self._system(channel, "error", why)
        self._close(channel)

    def _remove(self, topic: str) -> None:
        channel = self._channels.pop(topic)
        timer = self._expiries.pop(channel, None)
        if timer is not None:
            timer.cancel()
        self._rooms.leave(channel)

    # Tokens

    def _watch_expiry(self, channel: Channel) -> None:
        timer = self._expiries.pop(channel, None)
        if timer is not None:
            timer.cancel()
        if channel.identity.expires_at is not None:
            seconds = channel.identity.expires_at - time.time()
            self._expiries[channel] = asyncio.get_running_loop().call_later(
                seconds, lambda: self._expel(channel, expired(channel.identity))
            )

    async def _renew(self, channel: Channel, message: Message) -> None:
        """A new token is looked at anew: who lost the right to be here, leaves."""
        token = message.payload.get("access_token")
        if not isinstance(token, str) or is_key(token) or token == channel.identity.token:
            return
        why = None
        try:
            identity = self._credentials.of_token(token)
            reads = await self._reads(identity, channel.topic, channel.wishes.private)
            if not reads:
                why = "You no longer have permission to read from this Channel topic: "
                why += channel.topic
        except RefusedError as refusal:
            why = refusal.message
        if self._channels.get(message.topic) is not channel:
            return
        if why is not None:
            self._expel(channel, why)
            return
        channel.identity, channel.reads = identity, reads
        channel.writes.clear()
        self._watch_expiry(channel)

    # Messages

    async def _broadcast(self, channel: Channel, message: Message) -> None:
        """One that may not be sent is dropped without an answer, as the real server does."""
        event = message.payload.get("event")
        if not isinstance(event, str):
            self._refuse(message, "a broadcast needs an event")
            return
        try:
            if not await self._may_write(channel, "broadcast"):
                return
        except RefusedError:
            return
        payload = message.payload.get("payload", {})
        self._rooms.broadcast(
            Broadcast(channel.topic, channel.wishes.private, event, payload), channel
        )
        if channel.wishes.ack:
            self._reply(message)

    async def _presence(self, channel: Channel, message: Message) -> None:
        event, payload = message.payload.get("event"), message.payload.get("payload", {})
        if event == "untrack":
            self._rooms.untrack(channel)
            self._reply(message)
            return
        if event != "track" or not isinstance(payload, dict):
            self._refuse(message, "presence is an event, track or untrack, and an object")
            return
        try:
            if not await self._may_write(channel, "presence"):
                self._refuse(message, "unauthorized")
                return
        except RefusedError as refusal:
            self._refuse(message, str(refusal))
            return
        if self._channels.get(message.topic) is not channel:
            return
        self._rooms.track(channel, payload)
        self._reply(message)
        if not channel.sees_presence:
            channel.sees_presence = True
            self._rooms.show_presence(channel)

    async def _may_write(self, channel: Channel, extension: str) -> bool:
        """Asked when it first matters, and then remembered until the token changes."""
        if not channel.wishes.private:
            return True
        if extension not in channel.writes:
            channel.writes[extension] = await self._policies.may_write(
                channel.identity, channel.topic, extension, self._headers
            )
        return channel.writes[extension]

    # Answers

    def _reply(self, message: Message, response: dict[str, Any] | None = None) -> None:
        self._answer(message, "ok", response or {})

    def _refuse(self, message: Message, reason: str) -> None:
        self._answer(message, "error", {"reason": reason})

    def _answer(self, message: Message, status: str, response: dict[str, Any]) -> None:
        payload = {"status": status, "response": response}
        answer = Message(message.topic, "phx_reply", payload, message.ref, message.join_ref)
        self.send(encode(answer, self.version))

    def _system(self, channel: Channel, status: str, text: str) -> None:
        channel.push(
            "system",
            {"extension": "system", "status": status, "message": text, "channel": channel.topic},
        )


def _wishes(payload: Mapping[str, Any]) -> Wishes:
    config = _section(payload, "config")
    broadcast, presence = _section(config, "broadcast"), _section(config, "presence")
    if config.get("postgres_changes"):
        raise RefusedError("NotServed", "The local stack serves broadcast and presence only")
    if broadcast.get("replay"):
        raise RefusedError("NotServed", "The local stack does not replay messages")
    key = presence.get("key") or ""
    if not isinstance(key, str):
        raise RefusedError("InvalidJoinPayload", "presence.key must be text")
    return Wishes(
        private=_flag(config, "private"),
        ack=_flag(broadcast, "ack"),
        hears_itself=_flag(broadcast, "self"),
        wants_replication_ready=_flag(broadcast, "replication_ready"),
        presence_enabled=_flag(presence, "enabled"),
        presence_key=key,
    )


def _section(payload: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = payload.get(name)
    if section is None:
        return {}
    if not isinstance(section, dict):
        raise RefusedError("InvalidJoinPayload", f"{name} must be an object")
    return section


def _flag(section: Mapping[str, Any], name: str) -> bool:
    """A flag of the wrong type is refused: read as false it would open a public channel."""
    flag = section.get(name)
    if not isinstance(flag, bool | None):
        raise RefusedError("InvalidJoinPayload", f"{name} must be true or false")
    return bool(flag)
