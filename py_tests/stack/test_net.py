"""What the database sends by schema net is delivered as pg_net does it (STACK-02, MON-19)."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from support.processes import until
from taximeter.stack import net
from taximeter.stack.net import APPLICATION, Delivery

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import Database

SECONDS = 20.0


class Heard(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A server that answers everything and remembers it."""

    url: str
    heard: list[Heard] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)

    def paths(self) -> list[str]:
        return [request.path for request in self.heard]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            receiving.heard.append(Heard(self.command, self.path, dict(self.headers), body))
            if self.path.startswith("/slow"):
                receiving.held.wait(SECONDS)
            self.send_response(418 if self.path.startswith("/refused") else 200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("X-Heard", "yes")
            self.end_headers()
            self.wfile.write(b"zero \0 and text")

        do_GET = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    receiving = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield receiving
    receiving.held.set()
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def delivering(db: Database) -> Iterator[Delivery]:
    delivery = Delivery(db.url)
    delivery.start()
    try:
        yield delivery
    finally:
        delivery.stop()


def value(db: Database, query: str, *arguments: object) -> Any:
    """The only value of the only row of a query."""
    row = db.connect().execute(query, arguments).fetchone()
    assert row is not None
    (found,) = row.values()
    return found


def answer(db: Database, request: int) -> dict[str, Any]:
    """The row of an answer, waited for."""
    connection = db.connect()
    found: dict[str, Any] = until(
        lambda: connection.execute(
            "select * from net._http_response where id = %s", (request,)
        ).fetchone()
    )
    return found


def get(db: Database, url: str, milliseconds: int = 5000) -> int:
    return int(value(db, "select net.http_get(%s, '{}', '{}', %s)", url, milliseconds))


def test_requests_are_sent_as_they_were_queued(db: Database, receiver: Receiver) -> None:
    """STACK-02: method, parameters, headers and body arrive; the answer is a row"""
    with delivering(db):
        posted = value(
            db,
            """select net.http_post(%s, '{"a": "ä"}', '{"p": "1"}',
              '{"Content-Type": "application/json", "X-Own": "2"}')""",
            f"{receiver.url}/post",
        )
        answered = answer(db, posted)
        refused = answer(db, get(db, f"{receiver.url}/refused"))
        answer(db, value(db, "select net.http_delete(%s)", f"{receiver.url}/gone"))
    assert (answered["status_code"], answered["content_type"]) == (200, "text/plain")
    assert (answered["timed_out"], answered["error_msg"]) == (False, None)
    assert answered["content"] == "zero  and text"
    assert answered["headers"]["X-Heard"] == "yes"
    assert refused["status_code"] == 418
    assert [(heard.method, heard.path) for heard in receiver.heard] == [
        ("POST", "/post?p=1"),
        ("GET", "/refused"),
        ("DELETE", "/gone"),
    ]
    sent = {name.lower(): text for name, text in receiver.heard[0].headers.items()}
    assert json.loads(receiver.heard[0].body) == {"a": "ä"}
    assert (sent["content-type"], sent["x-own"]) == ("application/json", "2")
    assert value(db, "select count(*) from net.http_request_queue") == 0


def test_only_what_is_committed_is_sent(
    db: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STACK-02: a request goes with its transaction, and at once when that commits"""
    monkeypatch.setattr(net, "LOOK_SECONDS", 10 * SECONDS)
    with delivering(db):
        undone = db.connect(autocommit=False)
        undone.execute("select net.http_get(%s)", (f"{receiver.url}/undone",))
        pending = db.connect(autocommit=False)
        pending.execute("select net.http_get(%s)", (f"{receiver.url}/done",))
        undone.rollback()
        answer(db, get(db, f"{receiver.url}/between"))
        assert receiver.paths() == ["/between"]
        pending.commit()
        until(lambda: "/done" in receiver.paths())
    assert receiver.paths() == ["/between", "/done"]


def test_a_slow_receiver_is_given_up_and_holds_up_nobody(db: Database, receiver: Receiver) -> None:
    """STACK-02: its time-out is kept, and said as pg_net says it"""
    with delivering(db):
        slow = get(db, f"{receiver.url}/slow", 3000)
        answer(db, get(db, f"{receiver.url}/quick"))
        assert value(db, "select count(*) from net._http_response where id = %s", slow) == 0
        given_up = answer(db, slow)
    assert (given_up["timed_out"], given_up["status_code"]) == (True, None)
    assert given_up["error_msg"] == "Timeout of 3000 ms reached"


@pytest.mark.parametrize(
    ("method", "url", "headers"),
    [
        # Where nobody listens.
        ("GET", "http://127.0.0.1:1/", "{}"),
        ("GET", "no address", "{}"),
        ("GET", "file:///etc/passwd", "{}"),
        ("GET", "http://[", "{}"),
        ("PUT", "http://127.0.0.1/", "{}"),
        ("GET", "http://127.0.0.1/", '{"X-Own": "a\\nb: c"}'),
        ("GET", "http://127.0.0.1/", '{"X-Own": "ä€"}'),
    ],
)
def test_what_cannot_be_sent_is_said_and_stops_nothing(
    db: Database, receiver: Receiver, method: str, url: str, headers: str
) -> None:
    """STACK-02: every kind of nonsense has its row, and the next request goes out"""
    with delivering(db) as delivery:
        queued = value(
            db,
            "insert into net.http_request_queue (method, url, headers, timeout_milliseconds)"
            " values (%s, %s, %s, 2000) returning id",
            *(method, url, headers),
        )
        failed = answer(db, queued)
        assert (failed["status_code"], failed["timed_out"]) == (None, False)
        assert failed["error_msg"]
        assert answer(db, get(db, f"{receiver.url}/next"))["status_code"] == 200
        assert delivery.died() is None


def test_a_lost_connection_is_made_anew(db: Database, receiver: Receiver) -> None:
    """STACK-02: what is queued meanwhile is sent then"""
    with delivering(db):
        answer(db, get(db, f"{receiver.url}/before"))
        db.connect("supabase_admin").execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = %s and datname = current_database()",
            (APPLICATION,),
        )
        answer(db, get(db, f"{receiver.url}/after"))
    assert receiver.paths() == ["/before", "/after"]


def test_two_deliver_each_request_once(db: Database, receiver: Receiver) -> None:
    """STACK-02: also what was queued before anybody delivered"""
    db.connect().execute(
        "select net.http_get(%s || n, timeout_milliseconds => 20000) from generate_series(1, 60) n",
        (f"{receiver.url}/",),
    )
    with delivering(db), delivering(db):
        until(lambda: value(db, "select count(*) from net._http_response") == 60)
    assert sorted(receiver.paths()) == sorted(f"/{number}" for number in range(1, 61))
