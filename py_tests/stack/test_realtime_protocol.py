"""The Realtime stand-in frame by frame: what it answers, refuses, delivers and survives."""

from __future__ import annotations

import json
import re
import socket as sockets
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from support.realtime import Raw, RealtimeProcess, eventually, running
from support.served import Served, served_clone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from support.database import Server

OK = {"status": "ok", "response": {}}
JOINED = {"status": "ok", "response": {"postgres_changes": []}}
VERSIONS = ("1.0.0", "2.0.0")


@pytest.fixture(scope="module")
def place(server: Server) -> Iterator[tuple[Served, RealtimeProcess]]:
    with (
        served_clone(server) as served,
        running(served.database_url("stack_realtime"), served.keys) as realtime,
    ):
        yield served, realtime


@pytest.fixture
def served(place: tuple[Served, RealtimeProcess]) -> Served:
    return place[0]


@pytest.fixture
def realtime(place: tuple[Served, RealtimeProcess]) -> RealtimeProcess:
    return place[1]


def anonymous(realtime: RealtimeProcess, version: str = "2.0.0") -> Raw:
    return Raw(realtime.url, realtime.keys.publishable, version)


def system(realtime: RealtimeProcess, version: str = "2.0.0") -> Raw:
    return Raw(realtime.url, realtime.keys.secret, version)


def refused(answer: dict[str, Any]) -> str:
    assert answer["status"] == "error"
    return str(answer["response"]["reason"])


# The door


def test_it_says_whether_it_is_well(realtime: RealtimeProcess) -> None:
    """STACK-04"""
    answer = httpx.get(f"{realtime.url}/health")
    assert (answer.status_code, answer.json()["ok"]) == (200, True)
    unknown = httpx.get(f"{realtime.url}/nothing")
    assert (unknown.status_code, unknown.json()) == (404, {"message": "Not Found"})
    assert unknown.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("query", "status", "told"),
    [
        ("vsn=1.0.0", 401, "API key is missing"),
        ("apikey=&vsn=1.0.0", 401, "API key is missing"),
        ("apikey=sb_secret_invented&vsn=1.0.0", 401, "API key is not valid"),
        ("apikey=%C3%A4%00&vsn=1.0.0", 401, "API key is not valid"),
        ("apikey={key}&vsn=3.0.0", 400, "vsn must be 1.0.0 or 2.0.0"),
    ],
)
def test_nobody_connects_without_a_key_and_a_version(
    realtime: RealtimeProcess, query: str, status: int, told: str
) -> None:
    """STACK-04: refused before the handshake, in JSON"""
    query = query.format(key=realtime.keys.publishable)
    answer = httpx.get(f"{realtime.url}/websocket?{query}")
    assert (answer.status_code, answer.json()) == (status, {"error": told})


def test_a_token_is_no_key(served: Served, realtime: RealtimeProcess) -> None:
    """STACK-04: the key says which project, the token who somebody is"""
    with pytest.raises(InvalidStatus, match="401"):
        Raw(realtime.url, served.token(role="service_role"))


# Frames


def test_frames_of_version_1(realtime: RealtimeProcess) -> None:
    """STACK-04: objects, as supabase-py reads them; its heartbeat has no ref"""
    with anonymous(realtime, "1.0.0") as client:
        client.push("phoenix", "heartbeat", {}, ref=None)
        assert client.frame() == {
            "topic": "phoenix",
            "event": "phx_reply",
            "payload": OK,
            "ref": None,
        }
        assert client.join("frames") == JOINED
        client.push("realtime:frames", "phx_leave", {}, ref="9")
        topic = {"topic": "realtime:frames"}
        assert client.frame() == {**topic, "event": "phx_reply", "payload": OK, "ref": "9"}
        assert client.frame() == {**topic, "event": "phx_close", "payload": {}, "ref": "2"}


def test_frames_of_version_2(realtime: RealtimeProcess) -> None:
    """STACK-04: arrays of join_ref, ref, topic, event and payload, as supabase-js reads them"""
    with anonymous(realtime) as client:
        client.push("phoenix", "heartbeat", {}, ref="7")
        assert client.frame() == [None, "7", "phoenix", "phx_reply", OK]
        topic = "realtime:frames"
        client.push(topic, "phx_join", {"config": {}}, ref="8", join_ref="8")
        assert client.frame() == ["8", "8", topic, "phx_reply", JOINED]
        client.push(topic, "phx_leave", {}, ref="9", join_ref="8")
        assert client.frame() == ["8", "9", topic, "phx_reply", OK]
        assert client.frame() == ["8", "8", topic, "phx_close", {}]


def test_a_second_join_of_a_topic_ends_the_first(realtime: RealtimeProcess) -> None:
    """STACK-04: a client that lost the answer joins again, and hears everything once"""
    with anonymous(realtime) as client, anonymous(realtime) as other:
        assert client.join("again") == JOINED
        client.push("realtime:again", "phx_join", {"config": {}})
        assert client.next() == ("phx_close", {})
        assert client.next() == ("phx_reply", JOINED)
        assert other.join("again") == JOINED
        other.broadcast("again", "once", {})
        assert client.next()[0] == "broadcast"
        assert client.heartbeat()[2] == "phoenix"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_topic_that_was_not_joined_is_answered(realtime: RealtimeProcess, version: str) -> None:
    """STACK-04: an error for a message, nothing to complain of for leaving"""
    with anonymous(realtime, version) as client:
        for topic, event, status in (
            ("realtime:never", "broadcast", "error"),
            ("realtime:never", "access_token", "error"),
            ("elsewhere", "phx_join", "error"),
            ("realtime:never", "phx_leave", "ok"),
        ):
            client.push(topic, event, {})
            assert client.next()[1]["status"] == status


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "frame",
    [
        "",
        "nonsense",
        "null",
        "[]",
        "{}",
        "[1,2,3,4,5]",
        '[null,"1","realtime:x","phx_join",null]',
        '{"topic":"realtime:x","event":"phx_join","payload":[],"ref":"1"}',
        '{"topic":"realtime:x","event":"phx_join","payload":{},"ref":{}}',
        '[null,"1","realtime:x","broadcast",{"event":"e","payload":{"n":NaN}}]',
        '{"topic":"realtime:x","event":"e","ref":"1","payload":{"a":'
        + "[" * 500
        + "]" * 500
        + "}}",
        '[null,"1","realtime:x","e",' + '{"a":' * 5000 + "1" + "}" * 5000 + "]",
        b"",
        b"\x03",
        b"\x03\x01\x01\xff\x01\x00\x0111",
        b"\x03\x00\x00\x00\x00\x00\x01{",
        b"\x09\x00\x00\x00\x00\x00\x00",
    ],
)
def test_what_is_no_frame_ends_its_own_connection_only(
    realtime: RealtimeProcess, version: str, frame: str | bytes
) -> None:
    """STACK-04: told why, and everybody else goes on"""
    with anonymous(realtime) as other, anonymous(realtime, version) as client:
        client.socket.send(frame)
        with pytest.raises(ConnectionClosed) as closed:
            client.frame()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, bool(closed.value.rcvd.reason)) == (1007, True)
        assert other.heartbeat()[4] == OK


def test_a_message_that_is_too_large_ends_its_own_connection_only(
    realtime: RealtimeProcess,
) -> None:
    """STACK-04: a megabyte passes the limit, nobody else notices"""
    with anonymous(realtime) as other, anonymous(realtime) as client:
        client.broadcast("x", "large", "x" * (1024 * 1024))
        with pytest.raises(ConnectionClosed) as closed:
            client.frame()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
        assert other.heartbeat()[4] == OK


def test_unknown_events_are_passed_over(realtime: RealtimeProcess) -> None:
    """STACK-04"""
    with anonymous(realtime) as client:
        client.join("unknown")
        client.push("realtime:unknown", "something_new", {"a": 1})
        assert client.heartbeat()[2] == "phoenix"


# Joining


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        ("", {}, "TopicNameRequired: You must provide a topic name"),
        ("x", {"config": []}, "InvalidJoinPayload: config must be an object"),
        (
            "x",
            {"config": {"private": "true"}},
            "InvalidJoinPayload: private must be true or false",
        ),
        (
            "x",
            {"config": {"presence": {"key": 1}}},
            "InvalidJoinPayload: presence.key must be text",
        ),
        (
            "x",
            {"config": {"postgres_changes": [{"event": "*"}]}},
            "NotServed: The local stack serves broadcast and presence only",
        ),
        (
            "x",
            {"config": {"private": True, "broadcast": {"replay": {"since": 0}}}},
            "NotServed: The local stack does not replay messages",
        ),
        ("x", {"access_token": 5}, "MalformedJWT: The token provided is not a valid JWT"),
        ("x", {"access_token": "a.b.c"}, "MalformedJWT: The token provided is not a valid JWT"),
        ("x", {"access_token": "ü\ud800"}, "MalformedJWT: The token provided is not a valid JWT"),
    ],
)
def test_a_join_that_cannot_be_is_refused_with_its_reason(
    realtime: RealtimeProcess, topic: str, payload: dict[str, Any], reason: str
) -> None:
    """STACK-04: as the real server words it, and never as something else than was asked for"""
    with anonymous(realtime) as client:
        client.push(f"realtime:{topic}", "phx_join", payload)
        assert client.next() == (
            "phx_reply",
            {"status": "error", "response": {"reason": reason}},
        )


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        (
            {"role": "authenticated", "exp": 1_000_000_000},
            r"InvalidJWTToken: Token has expired \d+",
        ),
        ({"role": "authenticated", "exp": None}, "InvalidJWTToken: Fields `role` and `exp`"),
        ({"role": "authenticated", "exp": "soon"}, "InvalidJWTToken: Fields `role` and `exp`"),
        ({}, "InvalidJWTToken: Fields `role` and `exp`"),
        ({"role": "postgres"}, "InvalidJWTToken: The role of the JWT is none of the API's"),
        ({"role": "stack_realtime"}, "InvalidJWTToken: The role of the JWT is none of the API's"),
    ],
)
def test_a_token_that_gives_no_rights_is_refused(
    served: Served, realtime: RealtimeProcess, claims: Mapping[str, Any], reason: str
) -> None:
    """STACK-04, MOD-08: expired, without a role, or naming a role of the server; also in public"""
    token = served.token(sub="00000000-0000-4000-8000-000000000001", **claims)
    with anonymous(realtime) as client:
        for private in (True, False):
            told = refused(client.join("tokens", private=private, token=token))
            assert re.match(reason, told), told


def test_a_token_of_somebody_elses_making_is_refused(
    served: Served, realtime: RealtimeProcess
) -> None:
    """STACK-04, MOD-08: signed with another secret, not signed, or by another algorithm"""
    claims = {"sub": "x", "role": "service_role", "exp": int(time.time()) + 600}
    with anonymous(realtime) as client:
        foreign = jwt.encode(claims, "another-secret-of-thirty-two-bytes!", algorithm="HS256")
        assert refused(client.join("x", token=foreign)) == (
            "JwtSignatureError: Failed to validate JWT signature"
        )
        unsigned = jwt.encode(claims, "", algorithm="none")
        longer = jwt.encode(claims, served.keys.jwt_secret, algorithm="HS512")
        for token in (unsigned, longer):
            assert refused(client.join("x", token=token)) == (
                "MalformedJWT: The token provided is not a valid JWT"
            )


def test_a_key_in_place_of_a_token_means_the_connections_key(realtime: RealtimeProcess) -> None:
    """STACK-04: clients send their key where nobody is signed in, and it can raise no rights"""
    with anonymous(realtime) as client:
        for token in (None, "", realtime.keys.publishable, realtime.keys.secret):
            assert refused(client.join("closed", private=True, token=token)) == (
                "Unauthorized: You do not have permissions to read from this Channel topic: closed"
            )
            assert client.join("open", token=token) == JOINED
            client.push("realtime:open", "phx_leave", {})
            assert [client.next()[0], client.next()[0]] == ["phx_reply", "phx_close"]
    with system(realtime) as client:
        assert client.join("closed", private=True) == JOINED


@pytest.mark.parametrize("topic", ["a\x00b", "\ud800", "x" * 2000, "'; drop table x; --"])
def test_strange_topics_are_just_topics(
    served: Served, realtime: RealtimeProcess, topic: str
) -> None:
    """STACK-04: refused when private, and nothing breaks"""
    token = served.token(sub="00000000-0000-4000-8000-000000000001", role="authenticated")
    with anonymous(realtime) as client:
        told = refused(client.join(topic, private=True, token=token))
        assert told.startswith(("Unauthorized", "RlsPolicyError"))
        assert client.join(topic) == JOINED


def test_a_client_has_a_hundred_channels_at_most(realtime: RealtimeProcess) -> None:
    """STACK-04"""
    with anonymous(realtime) as client:
        for number in range(100):
            assert client.join(f"many:{number}") == JOINED
        assert refused(client.join("one more")) == "ChannelRateLimitReached: Too many channels"
        client.push("realtime:many:0", "phx_leave", {})
        assert [client.next()[0], client.next()[0]] == ["phx_reply", "phx_close"]
        assert client.join("one more") == JOINED


def test_replication_is_told_when_it_was_asked_for(realtime: RealtimeProcess) -> None:
    """STACK-04: a client may wait for it before it relies on messages of the database"""
    with anonymous(realtime) as client:
        client.join("ready", broadcast={"replication_ready": True})
        assert client.next() == (
            "system",
            {
                "extension": "system",
                "status": "ok",
                "message": "Replication connection established",
                "channel": "ready",
            },
        )


# Tokens that change


def test_a_token_that_expires_ends_its_channels(served: Served, realtime: RealtimeProcess) -> None:
    """STACK-04: told, closed, and silent from then on; the others stay"""
    short = served.token(role="service_role", exp=int(time.time()) + 2)
    with anonymous(realtime) as client, system(realtime) as other:
        assert client.join("short", private=True, token=short) == JOINED
        assert client.join("long") == JOINED
        assert other.join("short", private=True) == JOINED
        event, told = client.next()
        assert event == "system"
        assert told["status"] == "error"
        assert told["channel"] == "short"
        assert told["message"].startswith("Token has expired")
        assert client.next() == ("phx_close", {})
        other.broadcast("short", "after", {})
        other.heartbeat()
        assert client.heartbeat()[2] == "phoenix"
        client.broadcast("long", "still", {})
        assert client.heartbeat()[2] == "phoenix"


def test_a_new_token_moves_the_expiry(served: Served, realtime: RealtimeProcess) -> None:
    """STACK-04: refreshed in time, a channel goes on; a key or nothing changes nothing"""
    soon = int(time.time()) + 2
    with anonymous(realtime) as client:
        short = served.token(role="service_role", exp=soon)
        assert client.join("kept", private=True, token=short) == JOINED
        for token in (None, realtime.keys.publishable, short, served.token(role="service_role")):
            client.push("realtime:kept", "access_token", {"access_token": token})
        time.sleep(max(0.0, soon + 0.5 - time.time()))
        assert client.heartbeat()[2] == "phoenix"


@pytest.mark.parametrize("kind", ["forged", "expired", "without rights"])
def test_a_new_token_that_gives_no_rights_ends_the_channel(
    served: Served, realtime: RealtimeProcess, kind: str
) -> None:
    """STACK-04: the old one does not count any longer"""
    token = {
        "forged": "a.b.c",
        "expired": served.token(role="service_role", exp=1_000_000_000),
        "without rights": served.token(role="authenticated", sub="x"),
    }[kind]
    with system(realtime) as client:
        assert client.join("lost", private=True) == JOINED
        client.push("realtime:lost", "access_token", {"access_token": token})
        event, told = client.next()
        assert (event, told["status"], told["extension"]) == ("system", "error", "system")
        if kind == "without rights":
            assert told["message"] == (
                "You no longer have permission to read from this Channel topic: lost"
            )
        assert client.next() == ("phx_close", {})


# Broadcasts of clients


@pytest.mark.parametrize("version", VERSIONS)
def test_a_broadcast_goes_to_the_others(realtime: RealtimeProcess, version: str) -> None:
    """STACK-04: not to its sender, without an answer, whatever the version of the others"""
    with (
        anonymous(realtime, version) as sender,
        anonymous(realtime, "1.0.0") as old,
        anonymous(realtime, "2.0.0") as new,
    ):
        for client in (sender, old, new):
            assert client.join("talk") == JOINED
        sender.broadcast("talk", "said", {"a": [1, "ü", None]})
        told = {"type": "broadcast", "event": "said", "payload": {"a": [1, "ü", None]}}
        assert old.frame() == {
            "topic": "realtime:talk",
            "event": "broadcast",
            "payload": told,
            "ref": None,
        }
        assert new.frame() == [None, None, "realtime:talk", "broadcast", told]
        answer = sender.heartbeat()
        assert "phoenix" in (answer if version == "2.0.0" else answer.values())


def test_a_sender_hears_itself_and_an_answer_if_it_wants(realtime: RealtimeProcess) -> None:
    """STACK-04: broadcast.self and broadcast.ack"""
    with anonymous(realtime) as client:
        assert client.join("echo", broadcast={"self": True, "ack": True}) == JOINED
        client.broadcast("echo", "said", {})
        assert [client.next()[0], client.next()] == ["broadcast", ("phx_reply", OK)]
        client.push("realtime:echo", "broadcast", {"payload": {}})
        assert refused(client.next()[1]) == "a broadcast needs an event"


def pushed(topic: str, event: str, payload: bytes, encoding: int) -> bytes:
    """A broadcast as supabase-js sends it."""
    texts = [b"1", b"2", f"realtime:{topic}".encode(), event.encode(), b""]
    return bytes([3, *map(len, texts), encoding]) + b"".join(texts) + payload


def test_binary_frames_of_version_2(realtime: RealtimeProcess) -> None:
    """STACK-04: JSON in bytes is JSON for everybody; bytes reach those who can read them"""
    with (
        anonymous(realtime) as sender,
        anonymous(realtime, "1.0.0") as old,
        anonymous(realtime) as new,
    ):
        for client in (sender, old, new):
            assert client.join("bytes", broadcast={"ack": client is sender}) == JOINED
        sender.socket.send(pushed("bytes", "json", b'{"a":1}', 1))
        told = {"type": "broadcast", "event": "json", "payload": {"a": 1}}
        assert sender.frame() == ["1", "2", "realtime:bytes", "phx_reply", OK]
        assert old.next() == ("broadcast", told)
        assert new.next() == ("broadcast", told)
        sender.socket.send(pushed("bytes", "raw", b"\x00\xff", 0))
        assert new.frame() == b"\x04\x0e\x03\x00\x00realtime:bytesraw\x00\xff"
        sender.socket.send(pushed("bytes", "last", b"2", 1))
        assert old.next()[1]["event"] == "last"


def test_public_and_private_are_two_worlds(served: Served, realtime: RealtimeProcess) -> None:
    """STACK-04: of one name, and nothing passes between them, from clients nor the database"""
    with system(realtime) as public, system(realtime) as private, system(realtime) as sender:
        assert public.join("worlds") == JOINED
        assert private.join("worlds", private=True) == JOINED
        with served.connect() as connection:
            for is_private in (True, False):
                connection.execute(
                    "select realtime.send('{}', %s, 'worlds', %s)", (str(is_private), is_private)
                )
        assert public.next()[1]["event"] == "False"
        assert private.next()[1]["event"] == "True"
        assert sender.join("worlds", private=True) == JOINED
        sender.broadcast("worlds", "inside", {})
        assert private.next()[1]["event"] == "inside"
        assert public.heartbeat()[2] == "phoenix"


def test_a_client_that_does_not_read_is_cut_off(realtime: RealtimeProcess) -> None:
    """STACK-04: memory is bounded, and who reads misses nothing"""
    with anonymous(realtime) as sender, anonymous(realtime) as reader:
        idle = sockets.create_connection(("127.0.0.1", realtime.port))
        with closing(idle):
            idle.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
            handshake = (
                f"GET /websocket?apikey={realtime.keys.publishable}&vsn=1.0.0 HTTP/1.1",
                *("Host: x", "Upgrade: websocket", "Connection: Upgrade"),
                *("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="),
            )
            idle.sendall("\r\n".join((*handshake, "", "")).encode())
            join = json.dumps(
                {"topic": "realtime:flood", "event": "phx_join", "payload": {}, "ref": "1"}
            ).encode()
            idle.sendall(bytes([0x81, 0x80 | len(join), 0, 0, 0, 0]) + join)
            assert sender.join("flood") == JOINED
            assert reader.join("flood") == JOINED
            eventually(lambda: connections(realtime) >= 3)
            before = connections(realtime)
            for number in range(400):
                sender.broadcast("flood", "drop", {"number": number, "text": "x" * 60_000})
                assert reader.next()[1]["payload"]["number"] == number
                if connections(realtime) < before:
                    break
            eventually(lambda: connections(realtime) == before - 1)
        assert number > 50
        sender.broadcast("flood", "end", {})
        assert reader.next()[1]["event"] == "end"


def connections(realtime: RealtimeProcess) -> int:
    return int(httpx.get(f"{realtime.url}/health").json()["connections"])


# Broadcasts over HTTP


def post(
    realtime: RealtimeProcess,
    path: str,
    *,
    key: str | None,
    token: str | None = None,
    kind: str = "application/json",
    **content: Any,
) -> httpx.Response:
    headers = {"content-type": kind}
    if key:
        headers["apikey"] = key
    if token:
        headers["authorization"] = f"Bearer {token}"
    return httpx.post(f"{realtime.url}/api/broadcast{path}", headers=headers, **content)


def test_a_batch_over_http(served: Served, realtime: RealtimeProcess) -> None:
    """STACK-04: 202; what the caller may not send is dropped, as the real server does"""
    keys = realtime.keys
    message = {"topic": "post", "event": "posted", "payload": {"a": 1}}
    token = served.token(sub="00000000-0000-4000-8000-000000000001", role="authenticated")
    with system(realtime) as public, system(realtime) as private:
        assert public.join("post") == JOINED
        assert private.join("post", private=True) == JOINED
        both = {"messages": [message, {**message, "private": True}]}
        for key, person in ((keys.publishable, token), (keys.publishable, None)):
            answer = post(realtime, "", key=key, token=person, json=both)
            assert (answer.status_code, answer.content) == (202, b"")
            assert public.next()[1]["payload"] == {"a": 1}
            assert private.heartbeat()[2] == "phoenix"
        assert post(realtime, "", key=keys.secret, json=both).status_code == 202
        assert [public.next()[0], private.next()[0]] == ["broadcast", "broadcast"]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        '{"messages": []}',
        '{"messages": [1]}',
        '{"messages": [{"topic": "x", "event": "e"}]}',
        '{"messages": [{"topic": "x", "event": "e", "payload": []}]}',
        '{"messages": [{"topic": "x", "event": "e", "payload": {}, "private": "true"}]}',
    ],
)
def test_a_batch_that_is_none_is_refused(realtime: RealtimeProcess, body: str) -> None:
    """STACK-04"""
    answer = post(realtime, "", key=realtime.keys.publishable, content=body)
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_one_message_over_http(served: Served, realtime: RealtimeProcess) -> None:
    """STACK-04: JSON or bytes; 403 where the policies refuse it"""
    keys = realtime.keys
    token = served.token(sub="00000000-0000-4000-8000-000000000001", role="authenticated")
    path = "/a%20topic%2Fb/events/an%20event"
    with system(realtime) as public, system(realtime) as private:
        assert public.join("a topic/b") == JOINED
        assert private.join("a topic/b", private=True) == JOINED
        assert post(realtime, path, key=keys.publishable, json=[1]).status_code == 202
        assert public.next()[1] == {"type": "broadcast", "event": "an event", "payload": [1]}
        raw = "application/octet-stream"
        sent = post(realtime, path, key=keys.publishable, kind=raw, content=b"\x00\xff")
        assert sent.status_code == 202
        assert public.frame().endswith(b"an event\x00\xff")
        path += "?private=true"
        denied = post(realtime, path, key=keys.publishable, token=token, json={})
        assert (denied.status_code, denied.json()) == (403, {"message": "Unauthorized"})
        assert private.heartbeat()[2] == "phoenix"
        assert post(realtime, path, key=keys.secret, json={}).status_code == 202
        assert private.next()[0] == "broadcast"


def test_http_wants_a_key_a_good_token_and_a_small_body(
    served: Served, realtime: RealtimeProcess
) -> None:
    """STACK-04"""
    key = realtime.keys.publishable
    body = {"messages": [{"topic": "x", "event": "e", "payload": {}}]}
    expired = served.token(role="service_role", exp=1_000_000_000)
    for refusal in (
        post(realtime, "", key=None, json=body),
        post(realtime, "", key="sb_secret_invented", json=body),
        post(realtime, "", key=key, token="a.b.c", json=body),
        post(realtime, "", key=key, token=expired, json=body),
    ):
        assert refusal.status_code == 401
    assert post(realtime, "", key=key, content=b"x" * 2_000_000).status_code == 413


# What the database sends


def test_only_what_is_committed_is_heard_and_in_that_order(
    served: Served, realtime: RealtimeProcess
) -> None:
    """STACK-04: a rolled-back message is silent; the first commit is heard first"""
    with system(realtime) as client, served.connect() as one, served.connect() as other:
        assert client.join("commits", private=True) == JOINED
        send = "select realtime.send(jsonb_build_object('n', %s::int), 'told', 'commits', true)"
        one.execute("begin")
        one.execute(send, (1,))
        one.execute("rollback")
        one.execute("begin")
        one.execute("set local datestyle = 'German'")
        one.execute(send, (3,))
        other.execute("begin")
        other.execute("savepoint s")
        other.execute(send, (0,))
        other.execute("rollback to s")
        for number in (1, 2):
            other.execute(send, (number,))
        other.execute("commit")
        one.execute("commit")
        frames = [client.next()[1] for _ in range(3)]
        assert [frame["payload"]["n"] for frame in frames] == [1, 2, 3]
        assert [frame["meta"] for frame in frames] == [
            {"id": frame["payload"]["id"]} for frame in frames
        ]
        assert client.heartbeat()[2] == "phoenix"


def test_a_burst_is_heard_whole(served: Served, realtime: RealtimeProcess) -> None:
    """STACK-04: a thousand rows of one transaction, in their order, once"""
    with system(realtime) as client, served.connect() as connection:
        assert client.join("burst", private=True) == JOINED
        connection.execute(
            "select realtime.send(jsonb_build_object('n', n), 'told', 'burst', true) "
            "from generate_series(1, 1000) as n"
        )
        numbers = [client.next()[1]["payload"]["n"] for _ in range(1000)]
        assert numbers == list(range(1, 1001))
        assert client.heartbeat()[2] == "phoenix"


def test_rows_that_are_no_messages_are_passed_over(
    served: Served, realtime: RealtimeProcess
) -> None:
    """STACK-04: without an event or a payload, too large, too deep, or not a row at all"""
    with system(realtime) as client, served.connect("supabase_admin") as connection:
        assert client.join("odd", private=True) == JOINED
        for notification in ("nonsense", "{}", "7", "[1, 2]", '["x", "y"]', "[]"):
            connection.execute("select pg_notify('realtime_messages', %s)", (notification,))
        connection.execute("""
            select pg_notify('realtime_messages', json_build_array(gen_random_uuid(), now())::text);
            insert into realtime.messages (topic, extension, private, event, payload) values
              ('odd', 'broadcast', true, null, '{}'),
              ('odd', 'broadcast', true, 'no payload', null),
              ('odd', 'broadcast', true, 'large', jsonb_build_object('x', repeat('x', 1100000))),
              ('odd', 'broadcast', true, 'deep', (repeat('[', 200) || repeat(']', 200))::jsonb),
              ('odd', 'broadcast', true, 'good', '[1]');
            select realtime.send_binary('\\x00ff', 'raw', 'odd', true);
        """)
        assert client.next()[1]["event"] == "good"
        assert client.frame().endswith(b"\x00\xff")
        assert client.heartbeat()[2] == "phoenix"


def test_a_lost_database_connection_is_opened_again(
    served: Served, realtime: RealtimeProcess
) -> None:
    """STACK-04: clients stay connected, and hear what is sent afterwards"""
    with system(realtime) as client, served.connect("supabase_admin") as connection:
        assert client.join("lost", private=True) == JOINED
        ended = connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where usename = 'stack_realtime' and datname = current_database()"
        ).fetchall()
        assert ended
        eventually(lambda: listeners(served) == 1)
        eventually(lambda: httpx.get(f"{realtime.url}/health").is_success)
        connection.execute("select realtime.send('{}', 'after', 'lost', true)")
        assert client.next()[1]["event"] == "after"


def listeners(served: Served) -> int:
    with served.connect() as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity where usename = 'stack_realtime' "
            "and datname = current_database() and query = 'listen realtime_messages'"
        ).fetchone()
    assert row is not None
    return int(row["count"])


def test_asking_the_policies_leaves_nothing_behind(
    served: Served, realtime: RealtimeProcess
) -> None:
    """STACK-04: probes are rolled back, and nobody hears of them"""
    count = "select count(*) as n from realtime.messages where topic = 'probed'"
    with system(realtime) as client, served.connect() as connection:
        assert client.join("probed", private=True, broadcast={"ack": True}) == JOINED
        client.broadcast("probed", "sent", {})
        assert client.next() == ("phx_reply", OK)
        client.push("realtime:probed", "presence", {"event": "track", "payload": {}})
        assert [client.next(), client.next()[0]] == [("phx_reply", OK), "presence_state"]
        row = connection.execute(count).fetchone()
        assert row == {"n": 0}
        assert client.heartbeat()[2] == "phoenix"


def test_the_login_reads_and_writes_messages_and_nothing_else(served: Served) -> None:
    """STACK-03, STACK-04: it owns nothing, and inherits nothing from the roles it may take"""
    with served.connect() as connection:
        role = connection.execute(
            "select rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolreplication from pg_roles "
            "where rolname = 'stack_realtime'"
        ).fetchone()
        granted = connection.execute("""
            select c.oid::regclass::text as name, a.privilege_type as privilege
            from pg_class c cross join aclexplode(c.relacl) a
            where a.grantee = 'stack_realtime'::regrole
            union all
            select 'owned ' || c.oid::regclass, 'all' from pg_class c
            where c.relowner = 'stack_realtime'::regrole
            order by 1, 2
        """).fetchall()
    assert role is not None
    assert not any(role.values())
    assert [(row["name"], row["privilege"]) for row in granted] == [
        ("realtime.messages", "INSERT"),
        ("realtime.messages", "SELECT"),
    ]


# Presence


def test_presence_frame_by_frame(realtime: RealtimeProcess) -> None:
    """STACK-04: state on joining, then differences; a change refers to what it replaces"""
    with anonymous(realtime) as watcher, anonymous(realtime) as person:
        assert watcher.join("here", presence=True) == JOINED
        assert watcher.next() == ("presence_state", {})
        assert (
            refusal_of_presence(watcher) == "presence is an event, track or untrack, and an object"
        )

        person.push(
            "realtime:here", "phx_join", {"config": {"presence": {"key": "me", "enabled": True}}}
        )
        assert [person.next()[0], person.next()] == ["phx_reply", ("presence_state", {})]
        person.push("realtime:here", "presence", {"event": "track", "payload": {"at": 1}})
        _, diff = watcher.next()
        (first,) = diff["joins"]["me"]["metas"]
        assert (diff["leaves"], first["at"]) == ({}, 1)
        assert [person.next(), person.next()] == [("presence_diff", diff), ("phx_reply", OK)]

        person.push("realtime:here", "presence", {"event": "track", "payload": {"at": 1}})
        assert person.next() == ("phx_reply", OK)
        person.push("realtime:here", "presence", {"event": "track", "payload": {"at": 2}})
        _, diff = watcher.next()
        (second,) = diff["joins"]["me"]["metas"]
        assert diff["leaves"] == {"me": {"metas": [first]}}
        assert (second["at"], second["phx_ref_prev"]) == (2, first["phx_ref"])
        assert second["phx_ref"] != first["phx_ref"]

        with anonymous(realtime) as late:
            assert late.join("here", presence=True) == JOINED
            assert late.next() == ("presence_state", {"me": {"metas": [second]}})
            late.push("realtime:here", "presence", {"event": "track", "payload": {}})
            assert watcher.next()[0] == "presence_diff"
        _, gone = watcher.next()
        assert (gone["joins"], len(gone["leaves"])) == ({}, 1)

        person.push("realtime:here", "presence", {"event": "untrack"})
        assert watcher.next()[1] == {"joins": {}, "leaves": {"me": {"metas": [second]}}}
        with anonymous(realtime) as empty:
            assert empty.join("here", presence=True) == JOINED
            assert empty.next() == ("presence_state", {})


def refusal_of_presence(client: Raw) -> str:
    client.push("realtime:here", "presence", {"event": "track", "payload": 1})
    return refused(client.next()[1])


def test_presence_is_for_those_who_asked_for_it(realtime: RealtimeProcess) -> None:
    """STACK-04: who tracks is shown the state, who neither asked nor tracked sees nothing"""
    with anonymous(realtime) as quiet, anonymous(realtime) as late, anonymous(realtime) as one:
        for client in (quiet, late, one):
            assert client.join("quiet") == JOINED
        track = {"event": "track", "payload": {"x": 1}}
        one.push("realtime:quiet", "presence", track)
        assert [one.next()[0], one.next()[0]] == ["phx_reply", "presence_state"]
        late.push("realtime:quiet", "presence", track)
        assert late.next() == ("phx_reply", OK)
        assert len(late.next()[1]) == 2
        assert quiet.heartbeat()[2] == "phoenix"
