"""The outside that effects are delivered to: a mail server, and somebody's webhook."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from aiosmtpd.controller import Controller

from taximeter.demo import outside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiosmtpd.smtp import SMTP, Envelope, Session

REDIRECTS = (301, 302, 307, 308)


class Mailbox(outside.Mailbox):
    """Has what the next mails are answered instead of being taken in, and whom they went to."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.answers: list[str] = []

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def handle_DATA(  # noqa: N802 - the name that aiosmtpd calls
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.answers:
            return self.answers.pop(0)
        answer = await super().handle_DATA(server, session, envelope)
        self.mails[-1]["X-Rcpt-To"] = ",".join(envelope.rcpt_tos)
        return answer


@contextmanager
def mailbox(port: int) -> Iterator[Mailbox]:
    box = Mailbox(port)
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a webhook answers, after so many seconds, having done what it was told or not.

    A redirect leads back to it.
    """

    status: int = 200
    is_done: bool = True
    seconds: float = 0


@dataclass(frozen=True, slots=True)
class Message:
    key: str
    body: dict[str, Any]


@dataclass
class Hook:
    """A webhook that does each `Idempotency-Key` once, whatever it answers."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    asked: list[Message] = field(default_factory=list)
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, message: Message) -> Answer:
        with self.lock:
            self.asked.append(message)
            answer = self.answers.pop(0) if self.answers else Answer()
            if answer.is_done:
                self.done.setdefault(message.key, message.body)
        time.sleep(answer.seconds)
        return answer


@contextmanager
def hook() -> Iterator[Hook]:
    taking = Hook()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answer = taking.take(Message(self.headers["idempotency-key"], body))
            try:
                self.send_response(answer.status)
                if answer.status in REDIRECTS:
                    self.send_header("location", taking.url)
                self.send_header("content-length", "0")
                self.end_headers()
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    taking.url = f"http://127.0.0.1:{server.server_address[1]}/in"
    try:
        yield taking
    finally:
        server.shutdown()
        server.server_close()
