"""The two forms in which Realtime's clients and server write a frame.

Version 1.0.0 writes JSON objects. Version 2.0.0 writes JSON arrays, and a broadcast as bytes: a
kind, the lengths of its strings, how the payload is encoded, then the strings and the payload.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

PREFIX = "realtime:"
PHOENIX = "phoenix"
BROADCAST = "broadcast"

PUSH = struct.Struct("7B")
PUSH_KIND = 3
DELIVERY = struct.Struct("5B")
DELIVERY_KIND = 4
BINARY_PAYLOAD = 0
JSON_PAYLOAD = 1
LONGEST_NAME = 255
MOST_LEVELS = 100


class Version(StrEnum):
    """What a client asks for with the parameter `vsn`."""

    OBJECTS = "1.0.0"
    ARRAYS = "2.0.0"


class WireError(Exception):
    """A frame that cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Message:
    """One frame, in either direction."""

    topic: str
    event: str
    payload: dict[str, Any]
    ref: str | None = None
    join_ref: str | None = None


@dataclass(frozen=True, slots=True)
class Broadcast:
    """What everybody in a room is to hear; a payload of bytes stays bytes."""

    topic: str
    private: bool
    event: str
    payload: Any
    id: str | None = None


def decode(frame: str | bytes, version: Version) -> Message:
    """The message in a frame; WireError when there is none."""
    if isinstance(frame, bytes):
        if version is Version.OBJECTS:
            raise WireError("binary frames belong to version 2.0.0")
        return _decode_push(frame)
    parsed = parse(frame)
    if version is Version.ARRAYS:
        if not isinstance(parsed, list) or len(parsed) != 5:
            raise WireError("a frame of version 2.0.0 is an array of five")
        join_ref, ref, topic, event, payload = parsed
    else:
        if not isinstance(parsed, dict):
            raise WireError("a frame of version 1.0.0 is an object")
        join_ref, ref, topic, event, payload = (
            parsed.get(name) for name in ("join_ref", "ref", "topic", "event", "payload")
        )
    if not isinstance(topic, str) or not isinstance(event, str) or not isinstance(payload, dict):
        raise WireError("topic and event must be text, payload an object")
    for reference in (ref, join_ref):
        if not isinstance(reference, str | None):
            raise WireError("ref and join_ref must be text or null")
    return Message(topic, event, payload, ref, join_ref)


def encode(message: Message, version: Version) -> str:
    if version is Version.OBJECTS:
        return json.dumps(
            {
                "topic": message.topic,
                "event": message.event,
                "payload": message.payload,
                "ref": message.ref,
            }
        )
    return json.dumps(
        [message.join_ref, message.ref, message.topic, message.event, message.payload]
    )


def encode_broadcast(broadcast: Broadcast, version: Version) -> str | bytes | None:
    """The frame of a broadcast, or None: version 1.0.0 has no form for bytes."""
    meta = {"id": broadcast.id} if broadcast.id else None
    topic = f"{PREFIX}{broadcast.topic}"
    if isinstance(broadcast.payload, bytes):
        return None if version is Version.OBJECTS else _encode_delivery(topic, broadcast, meta)
    payload = {"type": BROADCAST, "event": broadcast.event, "payload": broadcast.payload}
    if meta:
        payload["meta"] = meta
    return encode(Message(topic, BROADCAST, payload), version)


def parse(text: str | bytes) -> Any:
    """JSON that every client can read again: nothing but JSON, and not nested without end."""
    try:
        parsed = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise WireError("this is not JSON") from error
    if _is_deeper(parsed, MOST_LEVELS):
        raise WireError(f"nested deeper than {MOST_LEVELS} levels")
    return parsed


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _is_deeper(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(part, levels - 1) for part in inner)


def _decode_push(frame: bytes) -> Message:
    if len(frame) < PUSH.size or frame[0] != PUSH_KIND:
        raise WireError("an unknown kind of binary frame")
    *lengths, encoding = PUSH.unpack_from(frame)[1:]
    texts = []
    at = PUSH.size
    for length in lengths:
        texts.append(frame[at : at + length].decode(errors="replace"))
        at += length
    if at > len(frame):
        raise WireError("a binary frame that ends too early")
    join_ref, ref, topic, event, _ = texts
    body = frame[at:]
    payload = parse(body) if encoding == JSON_PAYLOAD else body
    return Message(
        topic, BROADCAST, {"event": event, "payload": payload}, ref or None, join_ref or None
    )


def _encode_delivery(topic: str, broadcast: Broadcast, meta: dict[str, str] | None) -> bytes | None:
    texts = [topic.encode(), broadcast.event.encode(), json.dumps(meta).encode() if meta else b""]
    if any(len(text) > LONGEST_NAME for text in texts):
        return None
    header = DELIVERY.pack(DELIVERY_KIND, *map(len, texts), BINARY_PAYLOAD)
    return b"".join((header, *texts, broadcast.payload))
