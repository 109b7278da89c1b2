"""The one URL reaches functions and Realtime wherever they listen, and outlives them."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from taximeter.stack.api import Api
from taximeter.stack.settings import MAX_BODY_BYTES, MAX_UPLOAD_BYTES, StackError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from websockets.http11 import Request, Response

    from support.served import Served

TIMEOUT_SECONDS = 10


class Function(BaseHTTPRequestHandler):
    """Stands for an edge function: says what it was asked, or streams when told to go on."""

    protocol_version = "HTTP/1.1"
    go_on = threading.Event()

    def log_message(self, *_: object) -> None:
        return

    def answer(self) -> None:
        if self.path.startswith("/slow"):
            self.stream()
            return
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length)
        told = {
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "bytes": len(body),
            "body": body[:100].decode(),
        }
        content = json.dumps(told).encode()
        self.send_response(418 if "teapot" in self.path else 200)
        self.send_header("x-from", "function")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def stream(self) -> None:
        """Sends a first part at once and the rest when the client has had it."""
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\nfirst\r\n")
        self.wfile.flush()
        if self.path.endswith("dies"):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        assert self.go_on.wait(TIMEOUT_SECONDS)
        self.wfile.write(b"6\r\nsecond\r\n0\r\n\r\n")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer  # noqa: N815


@contextmanager
def function() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Function)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def realtime() -> Iterator[str]:
    """Stands for Realtime: says which path it was asked for, echoes, and hangs up on request."""

    def echo(connection: ServerConnection) -> None:
        assert connection.request is not None
        connection.send(connection.request.path)
        for message in connection:
            if message == "hang up":
                connection.socket.shutdown(socket.SHUT_RDWR)
                return
            connection.send(message)

    def refuse(connection: ServerConnection, request: Request) -> Response | None:
        if "apikey" in request.path:
            return None
        return connection.respond(401, '{"error":"API key is missing"}')

    with serve(echo, "127.0.0.1", 0, process_request=refuse) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def gateway(served: Served, folder: Path) -> Iterator[Api]:
    """A gateway of the test's own: nobody has told it yet where the other parts are."""
    api = Api(
        rest_database_url=served.database_url("stack_rest"),
        auth_database_url=served.database_url("supabase_auth_admin"),
        storage_database_url=served.database_url("supabase_storage_admin"),
        storage_directory=folder / "storage",
        keys=served.keys,
        port=0,
        max_body_bytes=MAX_BODY_BYTES,
        max_upload_bytes=MAX_UPLOAD_BYTES,
        log=folder / "api.log",
    )
    try:
        api.start()
        yield api
    finally:
        api.stop()


@pytest.fixture(scope="module")
def api(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with gateway(served, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def client(served: Served, api: Api) -> Iterator[httpx.Client]:
    with served.http(served.keys.publishable) as client:
        client.base_url = api.url
        yield client


@pytest.fixture
def target(api: Api) -> Iterator[str]:
    """A function that runs, and the gateway knows where."""
    with function() as url:
        api.route({"hello": url, "slow": url}, None)
        yield url


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def code(answer: httpx.Response) -> tuple[int, str]:
    told: dict[str, Any] = answer.json()
    assert set(told) == {"code", "message", "details", "hint"}
    assert told["code"] == f"PT{answer.status_code}"
    assert answer.headers["access-control-allow-origin"] == "*"
    return answer.status_code, told["message"]


def socket_url(api: Api, path: str = "/realtime/v1/websocket?apikey=k&vsn=1.0.0") -> str:
    return f"ws://127.0.0.1:{api.port}{path}"


def refusal(url: str) -> tuple[int, bytes]:
    with pytest.raises(InvalidStatus) as refused:
        connect(url, proxy=None)
    return refused.value.response.status_code, bytes(refused.value.response.body or b"")


def test_before_the_parts_are_known_they_are_not_running(served: Served, tmp_path: Path) -> None:
    """STACK-05: 503 in JSON, also for a WebSocket, while REST, Auth and Storage answer already"""
    with gateway(served, tmp_path) as api, served.http(served.keys.publishable) as client:
        client.base_url = api.url
        for path in ("/functions/v1/hello", "/realtime/v1/websocket", "/realtime/v1/api/broadcast"):
            assert code(client.post(path)) == (503, "part_not_running")
        status, body = refusal(socket_url(api))
        assert (status, json.loads(body)["message"]) == (503, "part_not_running")
        assert api.health() == {"rest": True, "auth": True, "storage": True}


def test_a_connection_is_kept_longer_than_any_client_keeps_it(client: httpx.Client) -> None:
    """STACK-01: Deno's fetch keeps one for 90 s; ended here meanwhile, its next request is lost"""
    assert client.get("/nothing").headers["keep-alive"] == "timeout=100"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_function_is_asked_as_hosted_asks_it(
    client: httpx.Client, target: str, method: str
) -> None:
    """STACK-01, EDGE-02: method, path without /functions/v1, query, headers, body; its answer"""
    assert target
    answer = client.request(
        method,
        "/functions/v1/hello/deep%20er/teapot?a=1&a=%2F",
        content=b"the body",
        headers={"authorization": "Bearer token", "stripe-signature": "t=1,v1=a"},
    )
    assert (answer.status_code, answer.headers["x-from"]) == (418, "function")
    told = answer.json()
    assert (told["method"], told["path"]) == (method, "/hello/deep%20er/teapot?a=1&a=%2F")
    assert told["body"] == "the body"
    assert told["headers"]["authorization"] == "Bearer token"
    assert told["headers"]["stripe-signature"] == "t=1,v1=a"
    assert told["headers"]["apikey"].startswith("sb_publishable_")
    assert told["headers"]["x-forwarded-for"] == "127.0.0.1"


def test_an_answer_is_streamed(client: httpx.Client, target: str) -> None:
    """STACK-01: the first part arrives before the function has sent the second"""
    assert target
    Function.go_on.clear()
    with client.stream("GET", "/functions/v1/slow") as answer:
        parts = answer.iter_bytes()
        assert next(parts) == b"first"
        Function.go_on.set()
        assert b"".join(parts) == b"second"


def test_an_answer_that_breaks_off_is_no_whole_answer(client: httpx.Client, target: str) -> None:
    """STACK-05: the client is not told that what came was all"""
    assert target
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/functions/v1/slow/dies")
    assert client.get("/functions/v1/hello").status_code == 200


def test_a_large_body_passes_and_a_larger_one_is_refused(client: httpx.Client, target: str) -> None:
    """STACK-01, EDGE-01: 12 MiB for functions and Storage, 1 MiB for REST and Auth"""
    assert target
    large = b"x" * MAX_UPLOAD_BYTES
    answer = client.post("/functions/v1/hello", content=large)
    assert (answer.status_code, answer.json()["bytes"]) == (200, MAX_UPLOAD_BYTES)
    in_chunks = (b"x" * 1024 * 1024 for _ in range(13))
    for path, content in (
        ("/functions/v1/hello", large + b"x"),
        ("/storage/v1/object/session-files/x", large + b"x"),
        ("/storage/v1/object/session-files/x", in_chunks),
        ("/rest/v1/rpc/create_session", b"x" * (MAX_BODY_BYTES + 1)),
        ("/auth/v1/signup", b"x" * (MAX_BODY_BYTES + 1)),
    ):
        assert code(client.post(path, content=content)) == (413, "body_too_large")
    assert client.get("/functions/v1/hello").status_code == 200


@pytest.mark.parametrize("path", ["", "/", "/nothing", "/__proto__", "/hello%2f..", "/hello/../x"])
def test_an_unknown_function_is_not_found(client: httpx.Client, target: str, path: str) -> None:
    """STACK-01: 404 in JSON, with the names there are"""
    assert target
    answer = client.get(f"/functions/v1{path}")
    assert code(answer) == (404, "function_not_found")
    assert answer.json()["hint"] == "There are: hello, slow."


def test_a_part_that_is_gone_is_told_and_found_again(client: httpx.Client, api: Api) -> None:
    """STACK-05: 502 in JSON while it is away, whatever the body, and its new port afterwards"""
    for content in (b"", b"x" * 5_000_000):
        with function() as url:
            api.route({"hello": url}, None)
            assert client.post("/functions/v1/hello", content=content).status_code == 200
        answer = client.post("/functions/v1/hello", content=content)
        assert code(answer) == (502, "part_not_answering")
    with function() as url:
        api.route({"hello": url}, None)
        assert client.post("/functions/v1/hello").status_code == 200
    assert client.get("/rest/v1/plans").status_code == 200


def test_a_websocket_reaches_realtime(api: Api, client: httpx.Client) -> None:
    """STACK-01, STACK-04: without /realtime/v1, both ways; a refused handshake as it is refused"""
    with realtime() as url:
        api.route({}, url)
        with (
            connect(socket_url(api), proxy=None) as one,
            connect(socket_url(api), proxy=None) as two,
        ):
            assert one.recv(TIMEOUT_SECONDS) == "/websocket?apikey=k&vsn=1.0.0"
            assert two.recv(TIMEOUT_SECONDS) == "/websocket?apikey=k&vsn=1.0.0"
            for message in ("text", b"\x03binary", "x" * 500_000):
                one.send(message)
                assert one.recv(TIMEOUT_SECONDS) == message
            assert client.get("/rest/v1/plans").status_code == 200
        status, body = refusal(socket_url(api, "/realtime/v1/websocket"))
        assert (status, json.loads(body)) == (401, {"error": "API key is missing"})


def test_realtime_is_asked_over_http_too(api: Api, client: httpx.Client) -> None:
    """STACK-04: broadcasts that a client posts"""
    with function() as url:
        api.route({}, url)
        told = client.post("/realtime/v1/api/broadcast?x=1", content=b"{}").json()
    assert (told["method"], told["path"], told["body"]) == ("POST", "/api/broadcast?x=1", "{}")


def test_a_websocket_ends_when_realtime_does(api: Api, client: httpx.Client) -> None:
    """STACK-05: the client sees it at once, later ones are told, and nothing else suffers"""
    with realtime() as url:
        api.route({}, url)
        with connect(socket_url(api), proxy=None) as connection:
            connection.recv(TIMEOUT_SECONDS)
            connection.send("hang up")
            with pytest.raises(ConnectionClosed):
                connection.recv(TIMEOUT_SECONDS)
    status, body = refusal(socket_url(api))
    assert (status, json.loads(body)["message"]) == (502, "part_not_answering")
    assert client.get("/rest/v1/plans").status_code == 200


def test_a_client_that_vanishes_takes_nothing_along(api: Api, client: httpx.Client) -> None:
    """STACK-05: reset connections, in the middle of a WebSocket, an upload and an answer"""
    reset = (socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    with function() as url, realtime() as socket_target:
        api.route({"hello": url, "slow": url}, socket_target)
        Function.go_on.clear()
        handshake = (
            "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        requests = {
            f"GET /realtime/v1/websocket?apikey=k HTTP/1.1\r\nhost: a\r\n{handshake}": True,
            f"GET /realtime/v1/websocket?apikey=k HTTP/1.1\r\nhost: b\r\n{handshake}": False,
            f"GET /rest/v1/websocket HTTP/1.1\r\nhost: a\r\n{handshake}": False,
            "POST /functions/v1/hello HTTP/1.1\r\nhost: a\r\ncontent-length: 99\r\n\r\nhalf": False,
            "POST /storage/v1/object/a/b HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nx": False,
            "GET /functions/v1/slow HTTP/1.1\r\nhost: a\r\n\r\n": True,
        }
        for request, is_answered in requests.items():
            for _ in range(5):
                with socket.create_connection(("127.0.0.1", api.port), TIMEOUT_SECONDS) as raw:
                    raw.sendall(request.encode())
                    if is_answered:
                        assert raw.recv(100).startswith(b"HTTP/1.1 ")
                    raw.setsockopt(*reset)
        Function.go_on.set()
        assert client.get("/functions/v1/hello").status_code == 200
        assert api.died() is None


@pytest.mark.parametrize("path", ["/rest/v1/websocket", "/functions/v1/hello", "/nothing"])
def test_only_realtime_has_websockets(api: Api, target: str, path: str) -> None:
    """STACK-01"""
    assert target
    status, body = refusal(socket_url(api, path))
    assert status == (404 if path == "/nothing" else 400)
    assert json.loads(body)["code"] == f"PT{status}"


def test_it_stops_at_once_while_a_websocket_is_open(served: Served, tmp_path: Path) -> None:
    """STACK-05: an open connection keeps nothing alive"""
    with realtime() as url, gateway(served, tmp_path) as api:
        api.route({}, url)
        with connect(socket_url(api), proxy=None, close_timeout=1) as connection:
            connection.recv(TIMEOUT_SECONDS)
            begun = time.monotonic()
            api.stop()
            # It would end by force after 2 s.
            assert time.monotonic() - begun < 1.9
            with pytest.raises(ConnectionClosed):
                connection.recv(TIMEOUT_SECONDS)


def test_routes_need_a_running_gateway(served: Served, tmp_path: Path) -> None:
    """STACK-05: what is told to one that has died is an error that says so"""
    with gateway(served, tmp_path) as api:
        process = api._process
        assert process is not None
        process.kill()
        process.wait()
        with pytest.raises(StackError, match="API"):
            api.route({}, None)


def test_a_port_that_nobody_listens_at_is_told(api: Api, client: httpx.Client) -> None:
    """STACK-05: a function that never came up at its port"""
    api.route({"hello": f"http://127.0.0.1:{closed_port()}"}, None)
    assert code(client.get("/functions/v1/hello")) == (502, "part_not_answering")
