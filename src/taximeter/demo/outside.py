"""The outside of the demo, all of it on loopback: Stripe, a mail server, LiveKit and a CRM."""

from __future__ import annotations

import email
import email.policy
import json
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import jwt
from aiosmtpd.controller import Controller

from taximeter.demo.stripe_server import SECRET_KEY, StripeServer
from taximeter.stack.postgres import free_port

if TYPE_CHECKING:
    from email.message import EmailMessage

    from aiosmtpd.smtp import SMTP, Envelope, Session

    from taximeter.people import Row

# They open nothing but what is played here.
WEBHOOK_SECRET = "whsec_fake"  # noqa: S105
VIDEO_KEY = "fake_key"
VIDEO_SECRET = "a_fake_secret_of_more_than_32_characters"  # noqa: S105
DELETE_ROOM = "/twirp/livekit.RoomService/DeleteRoom"
CRM = "/crm"
# What a developer may have set for the functions; the demo reaches nobody with it.
UNUSED = (
    "RESEND_API_KEY",
    "RESEND_API_URL",
    "POSTMARK_SERVER_TOKEN",
    "POSTMARK_API_URL",
    "SUPPORT_WEBHOOK_URL",
    "PUSH_WEBHOOK_URL",
    "WEBHOOK_URL",
)


class Seat(NamedTuple):
    """Who is let into which room."""

    room: str
    identity: str


class Mailbox:
    """Takes every mail in."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []

    async def handle_DATA(  # noqa: N802 - the name that aiosmtpd calls
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        content = envelope.content or b""
        raw = content if isinstance(content, bytes) else content.encode()
        self.mails.append(email.message_from_bytes(raw, policy=email.policy.default))
        return "250 OK"


class Video:
    """LiveKit's rooms: who has a token for one is let in, and all are out when it is removed."""

    def __init__(self) -> None:
        self.rooms: dict[str, list[str]] = {}
        self.removed: list[str] = []

    def enter(self, token: str) -> Seat:
        claims = jwt.decode(token, VIDEO_SECRET, algorithms=["HS256"], issuer=VIDEO_KEY)
        if not claims["video"].get("roomJoin"):
            raise jwt.InvalidTokenError("It is no token to join with.")
        seat = Seat(claims["video"]["room"], claims["sub"])
        self.rooms.setdefault(seat.room, []).append(seat.identity)
        return seat

    def remove(self, room: str, token: str) -> tuple[int, Row]:
        try:
            claims = jwt.decode(token, VIDEO_SECRET, algorithms=["HS256"], issuer=VIDEO_KEY)
        except jwt.InvalidTokenError as error:
            return HTTPStatus.UNAUTHORIZED, {"code": "unauthenticated", "msg": str(error)}
        if not claims["video"].get("roomCreate"):
            return HTTPStatus.FORBIDDEN, {"code": "permission_denied", "msg": "no permissions"}
        if self.rooms.pop(room, None) is None:
            return HTTPStatus.NOT_FOUND, {"code": "not_found", "msg": "no such room"}
        self.removed.append(room)
        return HTTPStatus.OK, {}


@dataclass(frozen=True, slots=True)
class Tracked:
    """What the CRM was told, and under which key."""

    key: str
    body: Row


class Outside:
    """Runs from `with` to its end; `environment` leads the edge functions to it."""

    def __init__(self) -> None:
        self.stripe = StripeServer()
        self.mailbox = Mailbox()
        self.video = Video()
        self.tracked: list[Tracked] = []
        self._servers = ExitStack()
        self._mail_port = 0
        self._http_port = 0

    def __enter__(self) -> Self:
        with ExitStack() as servers:
            servers.enter_context(self.stripe)
            self._mail_port = free_port()
            mail = Controller(self.mailbox, hostname="127.0.0.1", port=self._mail_port)
            mail.start()
            servers.callback(mail.stop)
            http = _Server(("127.0.0.1", 0), _Handler)
            http.outside = self
            threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()
            servers.callback(http.server_close)
            servers.callback(http.shutdown)
            self._http_port = http.server_address[1]
            self._servers = servers.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._servers.close()

    @property
    def environment(self) -> dict[str, str]:
        return {
            **dict.fromkeys(UNUSED, ""),
            "STRIPE_SECRET_KEY": SECRET_KEY,
            "STRIPE_API_URL": self.stripe.url,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "SMTP_URL": f"smtp://127.0.0.1:{self._mail_port}",
            "LIVEKIT_URL": f"ws://127.0.0.1:{self._http_port}",
            "LIVEKIT_API_KEY": VIDEO_KEY,
            "LIVEKIT_API_SECRET": VIDEO_SECRET,
            "CRM_WEBHOOK_URL": f"http://127.0.0.1:{self._http_port}{CRM}",
        }

    def answer(self, path: str, headers: Any, body: Row) -> tuple[int, Row]:
        if path == DELETE_ROOM:
            token = headers.get("authorization", "").removeprefix("Bearer ")
            return self.video.remove(body["room"], token)
        if path == CRM:
            self.tracked.append(Tracked(headers["idempotency-key"], body))
            return HTTPStatus.OK, {}
        return HTTPStatus.NOT_FOUND, {}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    outside: Outside


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        status, answer = self.server.outside.answer(self.path, self.headers, body)
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return
