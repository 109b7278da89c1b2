"""livekit-token and livekit-webhook under Deno, with LiveKit's own verifier, signer and server."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest
from livekit import api, rtc

from support.counterparts import counterpart
from support.edge import Edge, edge, said, token_of
from support.video import KEY, SECRET, Video, free_port, video_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.database import Server
    from taximeter.people import Person, Row

TOKEN, WEBHOOK = "livekit-token", "livekit-webhook"
TEN_MINUTES = 600
SOURCES = ["camera", "microphone", "screen_share", "screen_share_audio"]


@dataclass(slots=True)
class Call:
    """A video session that a mechanic has accepted."""

    edge: Edge
    session: str
    customer: Person
    mechanic: Person

    @property
    def room(self) -> str:
        return f"session-{self.session}"

    def token(self, by: Person | None, session: object = None) -> httpx.Response:
        return self.edge.ask(TOKEN, {"session_id": session or self.session}, by=by)

    def happened(self, event: str, **more: Any) -> bytes:
        """A body as LiveKit sends it."""
        happened = {
            "event": event,
            "id": f"EV_{time.time_ns()}",
            "createdAt": str(int(time.time())),
            "room": {"name": self.room, "sid": "RM_1"},
            "participant": {"identity": f"customer-{self.customer.user_id}", "sid": "PA_1"},
        }
        return json.dumps({**happened, **more}).encode()

    def facts(self) -> list[Row]:
        with self.edge.served.connect() as connection:
            return connection.execute(
                "select identity, event, outcome from private.presence_facts"
                " where session_id = %s order by received_at, event_id",
                (self.session,),
            ).fetchall()

    def is_connected(self, person: Person) -> bool:
        return bool(
            self.edge.one(
                "select is_connected from public.session_participants"
                " where session_id = %s and user_id = %s",
                self.session,
                person.user_id,
            )
        )


@pytest.fixture(scope="module")
def video() -> Video:
    return Video(free_port())


@pytest.fixture(scope="module")
def front(server: Server, video: Video) -> Iterator[Edge]:
    with edge(server, (TOKEN, WEBHOOK), video.environment) as running:
        yield running


@pytest.fixture
def call(front: Edge) -> Call:
    customer, mechanic = front.served.person("customer"), front.served.mechanic()
    session = str(customer.row("create_session", p_plan="video15")["id"])
    mechanic.row("accept_assignment", p_assignment_id=front.served.assignment(session))
    return Call(front, session, customer, mechanic)


def signature(
    body: bytes, secret: str = SECRET, key: str = KEY, ttl: timedelta = timedelta(minutes=5)
) -> str:
    """What LiveKit's own SDK signs a body with."""
    sha256 = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return api.AccessToken(key, secret).with_sha256(sha256).with_ttl(ttl).to_jwt()


def deliver(front: Edge, body: bytes, authorization: str | None) -> httpx.Response:
    headers = {"content-type": "application/webhook+json"}
    if authorization is not None:
        headers["authorization"] = authorization
    return httpx.post(front.url(WEBHOOK), content=body, headers=headers, trust_env=False)


def granted(response: httpx.Response) -> Row:
    assert response.status_code == 200, response.text
    answer: Row = response.json()
    assert set(answer) == {"token", "url", "room", "identity", "expires_at"}
    return answer


# Tokens -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["customer", "mechanic"])
def test_a_token_lets_its_bearer_into_one_room_and_no_more(
    call: Call, video: Video, role: str
) -> None:
    """EDGE-02: verified by the official SDK; every grant is one that the contract names"""
    person: Person = getattr(call, role)
    answer = granted(call.token(person))
    identity = f"{role}-{person.user_id}"
    assert (answer["url"], answer["room"], answer["identity"]) == (video.url, call.room, identity)

    claims = api.TokenVerifier(KEY, SECRET).verify(answer["token"])
    assert (claims.identity, json.loads(claims.metadata)) == (identity, {"role": role})
    assert claims.attributes == {"role": role}
    payload = jwt.decode(answer["token"], SECRET, algorithms=["HS256"])
    assert set(payload) == {"iss", "sub", "nbf", "exp", "video", "metadata", "attributes"}
    assert payload["video"] == {
        "room": call.room,
        "roomJoin": True,
        "canPublish": True,
        "canPublishSources": SOURCES,
        "canPublishData": True,
        "canSubscribe": True,
    }
    assert payload["exp"] - payload["nbf"] == TEN_MINUTES
    told = datetime.fromisoformat(answer["expires_at"]).timestamp()
    assert 0 <= payload["exp"] - told <= 1


def test_nobody_gets_a_token_who_may_not_join_now(call: Call) -> None:
    """EDGE-01: strangers, chats, sessions that are not yet or no longer, and rubbish"""
    served = call.edge.served
    stranger, waiting, chatting = (served.person() for _ in range(3))
    later = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    booked = str(waiting.row("create_session", p_plan="video15", p_scheduled_for=later)["id"])
    chat = served.waiting_session(chatting, served.mechanic())
    expired = served.token(sub=call.customer.user_id, role="authenticated", exp=time.time() - 60)
    foreign = jwt.encode(
        {"sub": call.customer.user_id, "role": "authenticated", "exp": time.time() + 60},
        "another-secret-of-at-least-32-characters",
    )
    room_token = granted(call.token(call.customer))["token"]
    before = call.edge.fingerprint()

    assert said(call.token(stranger)) == (404, "session_not_found")
    assert said(call.token(served.operator())) == (404, "session_not_found")
    assert said(call.token(stranger, stranger.user_id)) == (404, "session_not_found")
    assert said(call.token(waiting, booked)) == (409, "session_not_active")
    assert said(call.token(chatting, chat)) == (422, "invalid_argument")
    for session in ("x", 7, [call.session], {"id": call.session}, f"{call.session}' or 1=1"):
        assert said(call.token(call.customer, session)) == (422, "invalid_argument")
    for token in (None, "rubbish", expired, foreign, room_token, served.keys.publishable):
        headers = {"authorization": f"Bearer {token}"} if token else {}
        refused = call.edge.ask(TOKEN, {"session_id": call.session}, headers=headers)
        assert said(refused)[0] == 401, refused.text
    bearer = {"authorization": f"Bearer {token_of(call.customer)}"}
    for content in (b"", b"[]", b"{", b"\xff"):
        refused = call.edge.ask(TOKEN, headers=bearer, content=content)
        assert said(refused) == (400, "invalid_body")
    huge = call.edge.ask(TOKEN, {"session_id": "x" * 100_000}, by=call.customer)
    assert said(huge) == (413, "body_too_large")
    for method in ("GET", "PUT", "DELETE"):
        assert said(call.edge.ask(TOKEN, method=method, headers=bearer))[0] == 405
    assert call.edge.fingerprint() == before

    call.customer.row("end_session_with_semantics", p_session_id=call.session)
    assert said(call.token(call.customer)) == (410, "session_ended")


# Events -----------------------------------------------------------------------------------------


def test_who_comes_and_goes_is_recorded_once(call: Call) -> None:
    """PRE-04, EDGE-02: as signed by the official SDK, however often it comes"""
    joined = call.happened("participant_joined")
    for _ in range(3):
        answer = deliver(call.edge, joined, signature(joined))
        assert (answer.status_code, answer.json()) == (200, {"received": True})
    assert call.is_connected(call.customer)
    left = call.happened("participant_left")
    assert deliver(call.edge, left, signature(left)).status_code == 200
    assert not call.is_connected(call.customer)
    assert [(fact["event"], fact["outcome"]) for fact in call.facts()] == [
        ("participant_joined", "joined"),
        ("participant_left", "left"),
    ]


def test_what_does_not_concern_a_session_is_taken_and_ignored(call: Call) -> None:
    """EDGE-02: LiveKit has no reason to send it again"""
    before = call.edge.fingerprint()
    nobody = "session-11111111-1111-4111-8111-111111111111"
    for body, why in (
        (call.happened("room_started"), "not_presence"),
        (call.happened("track_published"), "not_presence"),
        (call.happened("participant_joined", room={"name": "lobby"}), "not_presence"),
        (call.happened("participant_joined", room={"name": nobody}), "session_not_found"),
        (call.happened("participant_joined", participant={"identity": "x"}), "invalid_argument"),
    ):
        answer = deliver(call.edge, body, signature(body))
        assert (answer.status_code, answer.json()) == (200, {"received": True, "ignored": why})
    assert call.edge.fingerprint() == before


def test_an_event_for_a_session_that_is_held_comes_again(call: Call) -> None:
    """EDGE-02: LiveKit tries again after a 5xx, and after no other refusal"""
    body = call.happened("participant_joined")
    with call.edge.served.connect() as holder, holder.transaction():
        holder.execute("select from public.sessions where id = %s for update", (call.session,))
        answer = deliver(call.edge, body, signature(body))
    assert said(answer) == (503, "session_locked")
    assert call.facts() == []
    assert deliver(call.edge, body, signature(body)).status_code == 200
    assert len(call.facts()) == 1


def test_what_livekit_did_not_sign_changes_nothing(call: Call) -> None:
    """EDGE-01: forged, expired, foreign, changed on the way, or signed for something else"""
    body = call.happened("participant_joined")
    room_token = granted(call.token(call.customer))["token"]
    before = call.edge.fingerprint()
    for authorization in (
        None,
        "",
        "rubbish",
        room_token,
        token_of(call.customer),
        signature(body, secret="another-secret-of-at-least-32-characters"),
        signature(body, key="another-key"),
        signature(body, ttl=timedelta(minutes=-5)),
        signature(body[:-1] + b" }"),
        f"{signature(body)[:-4]}AAAA",
        jwt.encode({"iss": KEY, "exp": time.time() + 60, "sha256": ""}, "", algorithm="none"),
    ):
        assert said(deliver(call.edge, body, authorization)) == (401, "not_authenticated")
    for other in (body.replace(b"joined", b"left__"), body + b" ", b""):
        assert said(deliver(call.edge, other, signature(body))) == (401, "not_authenticated")
    huge = body[:-1] + b" " * 300_000 + b"}"
    assert said(deliver(call.edge, huge, signature(huge))) == (413, "body_too_large")
    for method in ("GET", "PUT", "DELETE"):
        assert said(call.edge.ask(WEBHOOK, method=method))[0] == 405
    assert call.edge.fingerprint() == before


# The real server --------------------------------------------------------------------------------


async def until(found: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.05)


@pytest.mark.slow
def test_a_real_server_lets_both_in_and_tells_of_it(
    call: Call, video: Video, tmp_path: Path
) -> None:
    """EDGE-02, PRE-04: joined, seen with the rights of the token, gone with the room"""
    counterpart("livekit-server")
    people = {"customer": call.customer, "mechanic": call.mechanic}
    tokens = {role: granted(call.token(person)) for role, person in people.items()}

    async def play() -> None:
        rooms = {role: rtc.Room() for role in people}
        for role, room in rooms.items():
            await room.connect(tokens[role]["url"], tokens[role]["token"])
        await until(lambda: all(call.is_connected(person) for person in people.values()))

        async with api.LiveKitAPI(video.api_url, KEY, SECRET) as livekit:
            present = await livekit.room.list_participants(
                api.ListParticipantsRequest(room=call.room)
            )
            assert {who.identity: json.loads(who.metadata) for who in present.participants} == {
                f"{role}-{person.user_id}": {"role": role} for role, person in people.items()
            }
            for who in present.participants:
                rights = who.permission
                assert (rights.can_publish, rights.can_subscribe) == (True, True)
                assert rights.can_publish_data
                assert len(rights.can_publish_sources) == len(SOURCES)
                assert not any((rights.hidden, rights.recorder, rights.can_update_metadata))

            await rooms["mechanic"].disconnect()
            await until(lambda: not call.is_connected(call.mechanic))
            assert call.is_connected(call.customer)
            await livekit.room.delete_room(api.DeleteRoomRequest(room=call.room))
        await until(lambda: not call.is_connected(call.customer))

    with video_server(video, call.edge.url(WEBHOOK), tmp_path / "livekit.log"):
        for service, method in (
            ("RoomService", "CreateRoom"),
            ("RoomService", "ListRooms"),
            ("RoomService", "ListParticipants"),
            ("RoomService", "RemoveParticipant"),
            ("RoomService", "DeleteRoom"),
            ("Egress", "StartRoomCompositeEgress"),
            ("Egress", "ListEgress"),
        ):
            refused = httpx.post(
                f"{video.api_url}/twirp/livekit.{service}/{method}",
                json={"name": call.room, "room": call.room, "room_name": call.room},
                headers={"authorization": f"Bearer {tokens['customer']['token']}"},
                trust_env=False,
            )
            assert refused.status_code in {401, 403}, refused.text
        asyncio.run(play())
    came = [(fact["event"], fact["outcome"]) for fact in call.facts()]
    assert sorted(came) == [
        ("participant_joined", "joined"),
        ("participant_joined", "joined"),
        ("participant_left", "left"),
        ("participant_left", "left"),
    ]
