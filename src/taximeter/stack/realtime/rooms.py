"""Who is in which topic, what they hear, and who is present.

A private topic and a public one of the same name are two rooms: nothing passes between them.
"""

from __future__ import annotations

import itertools
import secrets
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from taximeter.stack.realtime.wire import (
    PREFIX,
    Broadcast,
    Message,
    Version,
    encode,
    encode_broadcast,
)

if TYPE_CHECKING:
    from taximeter.stack.realtime.credentials import Identity

Room: TypeAlias = tuple[bool, str]
Presences: TypeAlias = dict[str, dict[str, list[dict[str, Any]]]]


class Listener(Protocol):
    """The client at the other end: which form it reads, and how it is sent a frame."""

    @property
    def version(self) -> Version: ...

    def send(self, frame: str | bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a client asked for when it joined."""

    private: bool = False
    ack: bool = False
    hears_itself: bool = False
    wants_replication_ready: bool = False
    presence_enabled: bool = False
    presence_key: str = ""


@dataclass(eq=False, slots=True)
class Channel:
    """One client in one room."""

    listener: Listener
    topic: str
    join_ref: str | None
    identity: Identity
    wishes: Wishes
    reads: frozenset[str]
    writes: dict[str, bool] = field(default_factory=dict)
    presence_key: str = ""
    sees_presence: bool = False
    presence: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.presence_key = self.wishes.presence_key or str(uuid.uuid4())
        self.sees_presence = self.wishes.presence_enabled

    @property
    def room(self) -> Room:
        return self.wishes.private, self.topic

    def push(self, event: str, payload: dict[str, Any], ref: str | None = None) -> None:
        message = Message(f"{PREFIX}{self.topic}", event, payload, ref, self.join_ref)
        self.listener.send(encode(message, self.listener.version))


class Rooms:
    """Every channel of every client."""

    def __init__(self) -> None:
        self._rooms: defaultdict[Room, dict[Channel, None]] = defaultdict(dict)
        self._reference = itertools.count(1)
        self._start = secrets.token_urlsafe(6)

    def enter(self, channel: Channel) -> None:
        self._rooms[channel.room][channel] = None

    def leave(self, channel: Channel) -> None:
        self.untrack(channel)
        members = self._rooms[channel.room]
        members.pop(channel, None)
        if not members:
            del self._rooms[channel.room]

    def broadcast(self, broadcast: Broadcast, sender: Channel | None = None) -> None:
        """To everybody in the room who may hear it; to its sender only if he wants to."""
        frames = {version: encode_broadcast(broadcast, version) for version in Version}
        for channel in list(self._rooms.get((broadcast.private, broadcast.topic), ())):
            if "broadcast" not in channel.reads:
                continue
            if channel is sender and not channel.wishes.hears_itself:
                continue
            frame = frames[channel.listener.version]
            if frame is not None:
                channel.listener.send(frame)

    def show_presence(self, channel: Channel) -> None:
        """The whole state, to one who may see it and asked for it."""
        if channel.sees_presence and "presence" in channel.reads:
            channel.push("presence_state", self._state(channel.room))

    def track(self, channel: Channel, payload: dict[str, Any]) -> None:
        before = channel.presence
        if before is not None and payload == _without_references(before):
            return
        reference = f"{self._start}{next(self._reference)}"
        channel.presence = {**payload, "phx_ref": reference}
        if before is not None:
            channel.presence["phx_ref_prev"] = before["phx_ref"]
        self._tell(channel, joins=channel.presence, leaves=before)

    def untrack(self, channel: Channel) -> None:
        before, channel.presence = channel.presence, None
        if before is not None:
            self._tell(channel, joins=None, leaves=before)

    def _state(self, room: Room) -> Presences:
        state: Presences = {}
        for member in self._rooms.get(room, ()):
            if member.presence is not None:
                entry = state.setdefault(member.presence_key, {"metas": []})
                entry["metas"].append(member.presence)
        return state

    def _tell(
        self,
        channel: Channel,
        *,
        joins: dict[str, Any] | None,
        leaves: dict[str, Any] | None,
    ) -> None:
        key = channel.presence_key
        diff = {
            "joins": {key: {"metas": [joins]}} if joins else {},
            "leaves": {key: {"metas": [leaves]}} if leaves else {},
        }
        for member in list(self._rooms.get(channel.room, ())):
            if member.sees_presence and "presence" in member.reads:
                member.push("presence_diff", diff)


def _without_references(presence: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in presence.items() if not name.startswith("phx_ref")}
