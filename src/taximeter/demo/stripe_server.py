"""The HTTP that Stripe speaks, with what `pretend_stripe` keeps behind it.

Idempotency keys are Stripe's: the same key with the same parameters gets the first answer again,
errors included; with others it is refused; while the first still runs it is told so; what was not
even valid is not kept. A `Fault` lets something go wrong with one request, before or after it was
done.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

import httpx

from taximeter.demo.pretend_stripe import PretendStripe, StripeRefusalError, signed

if TYPE_CHECKING:
    from taximeter.people import Row

SECRET_KEY = "sk_test_fake"  # noqa: S105 - opens nothing but this
MAX_BODY_BYTES = 1024 * 1024

_KEY_USED_OTHERWISE = StripeRefusalError(
    400,
    "Keys for idempotent requests can only be used with the same parameters they were first used "
    "with.",
    kind="idempotency_error",
)
_KEY_IN_USE = StripeRefusalError(
    409,
    "There is currently another in-progress request using this Idempotent Key.",
    kind="idempotency_error",
    code="idempotency_key_in_use",
)

Params = dict[str, Any]
Operation = Callable[..., "Row"]


class Answer(NamedTuple):
    """A status and an object; or one that the idempotency key had kept."""

    status: int
    body: Row
    is_replayed: bool = False


@dataclass(slots=True)
class Request:
    """What was asked, as the server understood it; no status: it is not answered, or never was."""

    method: str
    path: str
    params: Params
    idempotency_key: str | None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with the next request of this method whose path matches.

    `is_done`: it happens all the same. Then, after `seconds` in which its key is in use, `refusal`
    is answered, or the connection is lost. `is_kept`: the answer is the key's from then on.
    """

    path: str
    refusal: StripeRefusalError | None = None
    method: str = "POST"
    is_done: bool = False
    is_kept: bool = False
    seconds: float = 0


def broken(path: str, **more: Any) -> Fault:
    """A 500."""
    return Fault(path, StripeRefusalError(500, "Something failed.", kind="api_error"), **more)


@dataclass(slots=True)
class _Kept:
    """What is known of an idempotency key; no answer: its request still runs."""

    what: tuple[str, str, str]
    answer: Answer | None = None


@dataclass
class StripeServer:
    """A server on loopback, from `with` to its end.

    `stripe` is what it keeps, `requests` what it was asked, `faults` what still goes wrong.
    """

    stripe: PretendStripe = field(default_factory=PretendStripe)
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._keys: dict[str, _Kept] = {}
        self._told = 0
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", self.port), _Handler)
        self._server.played = self
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    @property
    def url(self) -> str:
        if self._server is None:
            raise RuntimeError("The server is not running.")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def asked(self, method: str, path: str) -> list[Request]:
        """The requests to a path, the oldest first."""
        with self._lock:
            return [r for r in self.requests if r.method == method and r.path == path]

    @property
    def busy(self) -> bool:
        """Whether a request under a key still runs."""
        with self._lock:
            return any(kept.answer is None for kept in self._keys.values())

    def forget_keys(self) -> None:
        """A day has passed."""
        with self._lock:
            self._keys.clear()

    def tell(self, webhook_url: str, secret: str) -> list[httpx.Response]:
        """Sends what it has not told yet to a webhook, signed, in order."""
        with self._lock:
            events = self.stripe.told[self._told :]
            self._told += len(events)
        answers = []
        for event in events:
            body, signature = signed(event, secret)
            headers = {"stripe-signature": signature, "content-type": "application/json"}
            answers.append(httpx.post(webhook_url, content=body, headers=headers, timeout=30))
        return answers

    def answer(
        self, method: str, path: str, params: Params, headers: Mapping[str, str]
    ) -> Answer | None:
        """The answer to a request; None: the connection is lost."""
        key = headers.get("idempotency-key") if method == "POST" else None
        request = Request(method, path, params, key)
        with self._lock:
            self.requests.append(request)
        try:
            answer = self._answer(request, headers.get("authorization"))
        except StripeRefusalError as refusal:
            answer = Answer(refusal.status, refusal.body)
        request.status = answer.status if answer else None
        return answer

    def _answer(self, request: Request, authorization: str | None) -> Answer | None:
        if authorization != f"Bearer {SECRET_KEY}":
            raise StripeRefusalError(401, "Invalid API Key provided.")
        key = request.idempotency_key
        if key is None:
            return self._with_fault(request)[0]
        what = request.method, request.path, json.dumps(request.params, sort_keys=True)
        with self._lock:
            known = self._keys.get(key)
            if known is None:
                self._keys[key] = _Kept(what)
            elif known.what != what:
                raise _KEY_USED_OTHERWISE
            elif known.answer is None:
                raise _KEY_IN_USE
            else:
                return known.answer._replace(is_replayed=True)
        kept = None
        try:
            answer, kept = self._with_fault(request)
        finally:
            with self._lock:
                if kept:
                    self._keys[key] = _Kept(what, kept)
                else:
                    self._keys.pop(key, None)
        return answer

    def _with_fault(self, request: Request) -> tuple[Answer | None, Answer | None]:
        """What is answered, and what the key keeps."""
        fault = self._fault(request)
        true: Answer | None = None
        kept: Answer | None = None
        if fault is None or fault.is_done:
            try:
                true = kept = Answer(HTTPStatus.OK, self._do(request))
            except StripeRefusalError as refusal:
                true = Answer(refusal.status, refusal.body)
                kept = None if refusal.param else true
        if fault is None:
            return true, kept
        time.sleep(fault.seconds)
        said = Answer(fault.refusal.status, fault.refusal.body) if fault.refusal else None
        return said, said if fault.is_kept else kept

    def _do(self, request: Request) -> Row:
        for method, pattern, operation in _OPERATIONS:
            match = re.fullmatch(pattern, request.path)
            if match and method == request.method:
                with self._lock:
                    found = operation(self.stripe, *match.groups(), request.params)
                    # What is answered must not change afterwards.
                    answer: Row = json.loads(json.dumps(found))
                    if answer["object"] == "list":
                        answer["url"] = request.path
                    return self._expanded(answer, request.params.get("expand", []))
        raise StripeRefusalError(
            404, f"Unrecognized request URL ({request.method}: {request.path}).", param="url"
        )

    def _expanded(self, answer: Row, wanted: list[str]) -> Row:
        for name in wanted:
            rows, last = [answer], name
            if name.startswith("data."):
                rows, last = answer["data"], name.removeprefix("data.")
            for row in rows:
                if row[last] is not None:
                    row[last] = json.loads(json.dumps(self.stripe.get(last, row[last])))
        return answer

    def _fault(self, request: Request) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.method == request.method and re.fullmatch(fault.path, request.path):
                    self.faults.remove(fault)
                    return fault
        return None


_OPERATIONS: tuple[tuple[str, str, Operation], ...] = (
    ("POST", "/v1/accounts", PretendStripe.create_account),
    ("GET", "/v1/accounts/([^/]+)", lambda stripe, name, _: stripe.get("account", name)),
    ("POST", "/v1/account_links", PretendStripe.link_account),
    ("POST", "/v1/checkout/sessions", PretendStripe.create_checkout),
    (
        "GET",
        "/v1/checkout/sessions/([^/]+)",
        lambda stripe, name, _: stripe.get("checkout.session", name),
    ),
    (
        "POST",
        "/v1/checkout/sessions/([^/]+)/expire",
        lambda stripe, name, _: stripe.expire_checkout(name),
    ),
    (
        "GET",
        "/v1/payment_intents/([^/]+)",
        lambda stripe, name, _: stripe.get("payment_intent", name),
    ),
    ("GET", "/v1/charges/([^/]+)", lambda stripe, name, _: stripe.get("charge", name)),
    ("POST", "/v1/transfers", PretendStripe.create_transfer),
    (
        "GET",
        "/v1/transfers",
        lambda stripe, params: stripe.page("transfer", params, "destination", "transfer_group"),
    ),
    ("GET", "/v1/transfers/([^/]+)", lambda stripe, name, _: stripe.get("transfer", name)),
    ("POST", "/v1/transfers/([^/]+)/reversals", PretendStripe.create_reversal),
    (
        "GET",
        "/v1/transfers/([^/]+)/reversals",
        lambda stripe, name, params: stripe.page(
            "transfer_reversal",
            {**params, "transfer": stripe.get("transfer", name)["id"]},
            "transfer",
        ),
    ),
    ("POST", "/v1/refunds", PretendStripe.create_refund),
    (
        "GET",
        "/v1/refunds",
        lambda stripe, params: stripe.page("refund", params, "payment_intent", "charge"),
    ),
    ("GET", "/v1/refunds/([^/]+)", lambda stripe, name, _: stripe.get("refund", name)),
)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    played: StripeServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._serve(urlsplit(self.path).query)

    def do_POST(self) -> None:
        size = int(self.headers.get("content-length", "0"))
        if size > MAX_BODY_BYTES:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        self._serve(self.rfile.read(size).decode())

    def log_message(self, *_: object) -> None:
        return

    def _serve(self, form: str) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.played.answer(
            self.command, urlsplit(self.path).path, parse_form(form), headers
        )
        if answer is None:
            # Lost within the answer: a client that had the connection open from before would
            # otherwise ask again by itself.
            self.close_connection = True
            self.send_response(HTTPStatus.OK)
            self.send_header("content-length", "2")
            self.end_headers()
            return
        content = json.dumps(answer.body).encode()
        try:
            self.send_response(answer.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            if answer.is_replayed:
                self.send_header("idempotent-replayed", "true")
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            # Whoever asked did not wait.
            self.close_connection = True


def parse_form(form: str) -> Params:
    """`a[b][0]=c` as nested values; what is numbered from 0 is a list."""
    params: Params = {}
    for name, value in parse_qsl(form, keep_blank_values=True):
        *path, last = re.findall(r"[^\[\]]+", name)
        inner = params
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return {name: _as_lists(value) for name, value in params.items()}


def _as_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _as_lists(item) for name, item in value.items()}
    if list(inner) == [str(number) for number in range(len(inner))]:
        return list(inner.values())
    return inner
