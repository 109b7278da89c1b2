"""create-checkout and connect-account under Deno, with a played Stripe on the other side."""

from __future__ import annotations

import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString

import httpx
import pytest

from support.counterparts import counterpart
from support.edge import Edge, edge, running, said
from taximeter.demo.stripe_server import SECRET_KEY, Fault, StripeServer, broken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import Server
    from taximeter.people import Person, Row

WEBHOOK_SECRET = "whsec_test_fake"
NAMES = ("create-checkout", "connect-account", "stripe-webhook")
CHECKOUTS = "/v1/checkout/sessions"
PATHS = {"success_path": "/paid?id={CHECKOUT_SESSION_ID}", "cancel_path": "/plans"}
BUY = {"mode": "session", "plan": "video15", **PATHS}
BACK = {"return_path": "/profile", "refresh_path": "/profile?again"}
NOTHING_IS_KEPT: LiteralString = """
create function private.refuse() returns trigger language plpgsql as $$
begin
  raise exception 'the disk is full' using errcode = 'disk_full';
end
$$;
create trigger refuse before insert on private.payments
for each row execute function private.refuse();
create trigger refuse before insert on private.stripe_accounts
for each row execute function private.refuse();
"""


@dataclass(slots=True)
class Shop:
    """The functions, and the Stripe they call."""

    edge: Edge
    stripe: StripeServer

    def buy(self, customer: Person, **more: object) -> httpx.Response:
        return self.edge.ask("create-checkout", {**BUY, **more}, by=customer)

    def pay(self, checkout: str) -> None:
        """Somebody pays, and Stripe tells of it."""
        self.stripe.stripe.pay(checkout)
        self.tell()

    def tell(self) -> None:
        for answer in self.stripe.tell(self.edge.url("stripe-webhook"), WEBHOOK_SECRET):
            assert answer.status_code == 200, answer.text

    def checkout(self, name: str) -> Row:
        return self.stripe.stripe.get("checkout.session", name)

    def opened(self) -> int:
        return len(self.stripe.stripe.objects("checkout.session"))

    def waiting(self) -> tuple[Person, str]:
        """A customer, and their session that a mechanic has accepted."""
        customer = self.edge.served.person("customer")
        session = self.edge.served.waiting_session(customer, self.edge.served.mechanic())
        return customer, session

    def extend(self, customer: Person, session: str, minutes: object = 15) -> httpx.Response:
        body = {"mode": "extension", "session_id": session, "minutes": minutes, **PATHS}
        return self.edge.ask("create-checkout", body, by=customer)


@pytest.fixture(scope="module")
def open_shop(server: Server) -> Iterator[Shop]:
    with StripeServer() as stripe:
        environment = {
            "STRIPE_API_URL": stripe.url,
            "STRIPE_SECRET_KEY": SECRET_KEY,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        }
        with edge(server, NAMES, environment) as functions:
            yield Shop(functions, stripe)


@pytest.fixture
def shop(open_shop: Shop) -> Iterator[Shop]:
    yield open_shop
    assert open_shop.stripe.faults == []


@contextmanager
def nothing_is_kept(shop: Shop) -> Iterator[None]:
    """The database can read, and not write what Stripe has answered."""
    with shop.edge.served.connect() as connection:
        connection.execute(NOTHING_IS_KEPT)
        try:
            yield
        finally:
            connection.execute("drop function private.refuse cascade")


@pytest.fixture
def customer(shop: Shop) -> Person:
    return shop.edge.served.person("customer")


@pytest.fixture(scope="module")
def refused(open_shop: Shop) -> Person:
    """A customer who gets nothing done."""
    return open_shop.edge.served.person("customer")


def test_a_session_is_bought(shop: Shop, customer: Person) -> None:
    """EDGE-02, MON-07: from the wish to the session, with the price of the database"""
    answer = shop.buy(customer, intake={"noise": "squeal"}, idempotency_key="once")
    assert answer.status_code == 200, answer.text
    (intent,) = customer.read("checkout_intents")
    checkout = shop.checkout(answer.json()["id"])
    assert answer.json() == {
        "url": checkout["url"],
        "id": checkout["id"],
        "intent_id": intent["id"],
    }
    assert intent["stripe_checkout_session_id"] == checkout["id"]
    assert intent["intake"] == {"noise": "squeal"}
    assert (checkout["amount_total"], checkout["currency"]) == (1500, "usd")
    assert checkout["metadata"] == {"mode": "session", "intent_id": intent["id"]}
    assert checkout["client_reference_id"] == intent["id"]
    assert checkout["success_url"] == "http://127.0.0.1:3000/paid?id={CHECKOUT_SESSION_ID}"
    assert checkout["cancel_url"] == "http://127.0.0.1:3000/plans"
    assert 1795 < checkout["expires_at"] - time.time() <= 1860
    assert customer.rows("my_sessions") == []

    shop.pay(checkout["id"])
    (intent,) = customer.read("checkout_intents")
    (session,) = customer.rows("my_sessions")
    assert (intent["status"], intent["session_id"]) == ("paid", session["id"])
    (payment_intent,) = (
        row for row in shop.stripe.stripe.objects("payment_intent") if row["amount"] == 1500
    )
    assert payment_intent["metadata"] == checkout["metadata"]
    assert said(shop.buy(customer, intake={"noise": "squeal"}, idempotency_key="once")) == (
        409,
        "already_paid",
    )
    assert said(shop.buy(customer)) == (409, "active_session_exists")


def test_more_minutes_are_bought(shop: Shop) -> None:
    """EDGE-02, MON-09, MON-10: the same for an extension, which the proof of payment applies"""
    customer, session = shop.waiting()
    answer = shop.extend(customer, session)
    assert answer.status_code == 200, answer.text
    (extension,) = customer.read("session_extensions")
    checkout = shop.checkout(answer.json()["id"])
    assert answer.json()["extension_id"] == extension["id"]
    assert checkout["amount_total"] == 500
    assert checkout["metadata"] == {"mode": "extension", "extension_id": extension["id"]}
    shop.pay(checkout["id"])
    (extension,) = customer.read("session_extensions")
    assert extension["status"] == "applied"


def test_asking_twice_gives_the_same_open_checkout(shop: Shop, customer: Person) -> None:
    """EDGE-02: one after the other and eight at once, an order has one open Checkout"""
    before = shop.opened()
    first = shop.buy(customer, idempotency_key="same").json()
    assert shop.buy(customer, idempotency_key="same").json() == first
    assert shop.opened() == before + 1

    extended, session = shop.waiting()
    with ThreadPoolExecutor(8) as many:
        answers = list(many.map(lambda _: shop.extend(extended, session), range(8)))
    assert {answer.status_code for answer in answers} == {200}, [a.text for a in answers]
    assert len({answer.text for answer in answers}) == 1
    assert shop.opened() == before + 2


def test_other_paths_open_no_second_checkout(shop: Shop) -> None:
    """EDGE-01: what is open stays the only one, and the refusal says why"""
    customer, session = shop.waiting()
    assert shop.extend(customer, session).status_code == 200
    before = shop.opened()
    body = {"mode": "extension", "session_id": session, "minutes": 15, **PATHS}
    answer = shop.edge.ask("create-checkout", {**body, "cancel_path": "/else"}, by=customer)
    assert said(answer) == (409, "idempotency_conflict")
    assert shop.opened() == before


def test_after_its_checkout_has_expired_the_same_can_be_asked_again(shop: Shop) -> None:
    """EDGE-02, MON-11: before Stripe has told of it, and after"""
    customer, session = shop.waiting()
    first = shop.extend(customer, session).json()
    shop.stripe.stripe.expire_checkout(first["id"])
    second = shop.extend(customer, session).json()
    assert second["extension_id"] == first["extension_id"]
    assert second["id"] != first["id"]
    assert shop.checkout(second["id"])["status"] == "open"
    shop.stripe.stripe.expire_checkout(second["id"])
    shop.tell()
    third = shop.extend(customer, session).json()
    assert third["extension_id"] != first["extension_id"]
    assert shop.checkout(third["id"])["status"] == "open"


@pytest.mark.parametrize("status", ["succeeded", "processing"])
def test_what_was_paid_long_ago_is_not_sold_again(
    shop: Shop, customer: Person, status: str
) -> None:
    """EDGE-02, MON-05: Stripe's event is late, or the bank is; a card was declined in between"""
    first = shop.buy(customer, idempotency_key="same").json()
    shop.stripe.stripe.pay(first["id"])
    checkout = shop.checkout(first["id"])
    payment = shop.stripe.stripe.get("payment_intent", checkout["payment_intent"])
    payment["status"] = status
    with shop.edge.served.connect() as connection:
        connection.execute(
            "update public.checkout_intents set status = 'failed', "
            "created_at = created_at - interval '5 hours' where id = %s",
            (first["intent_id"],),
        )
    before = shop.opened()
    assert said(shop.buy(customer, idempotency_key="same")) == (409, "already_paid")
    assert shop.opened() == before
    payment["status"] = "requires_payment_method"
    again = shop.buy(customer, idempotency_key="same").json()
    assert again["intent_id"] == first["intent_id"]
    assert again["id"] != first["id"]


def test_a_replaced_extension_closes_its_checkout(shop: Shop) -> None:
    """EDGE-02, MON-09: other minutes are another Checkout, the first one is to be expired"""
    customer, session = shop.waiting()
    first = shop.extend(customer, session, 15).json()
    second = shop.extend(customer, session, 30).json()
    assert first["id"] != second["id"]
    key = f"expire_checkout:{first['id']}"
    query: LiteralString = "select count(*) from private.outbox where key = %s"
    assert shop.edge.one(query, key) == 1


@pytest.mark.parametrize(
    "fault",
    [broken(CHECKOUTS), broken(CHECKOUTS, is_kept=True), broken(CHECKOUTS, is_done=True)],
    ids=["500", "500 kept", "500 but done"],
)
def test_a_moment_of_trouble_is_not_seen(shop: Shop, customer: Person, fault: Fault) -> None:
    """EDGE-02: the request is repeated under its key, and one Checkout is open"""
    before = shop.opened()
    shop.stripe.faults.append(fault)
    answer = shop.buy(customer, idempotency_key="once")
    assert answer.status_code == 200, answer.text
    assert shop.opened() == before + 1
    assert shop.buy(customer, idempotency_key="once").json() == answer.json()


@pytest.mark.parametrize(
    ("faults", "told"),
    [
        ([broken(CHECKOUTS)] * 3, (502, "stripe_unavailable")),
        ([Fault(CHECKOUTS)], (504, "stripe_unavailable")),
        ([Fault(CHECKOUTS, is_done=True)], (504, "stripe_unavailable")),
    ],
    ids=["500 every time", "lost", "lost but done"],
)
def test_stripe_is_away_and_comes_back(
    shop: Shop, customer: Person, faults: list[Fault], told: tuple[int, str]
) -> None:
    """EDGE-02: the refusal says so, nothing is lost, and the same can be asked again"""
    before = shop.opened()
    shop.stripe.faults.extend(faults)
    assert said(shop.buy(customer, idempotency_key="once")) == told
    (intent,) = customer.read("checkout_intents")
    assert intent["stripe_checkout_session_id"] is None
    answer = shop.buy(customer, idempotency_key="once").json()
    assert answer["intent_id"] == intent["id"]
    assert shop.opened() == before + 1


def test_what_could_not_be_noted_is_found_again(shop: Shop, customer: Person) -> None:
    """EDGE-02: the page is given to nobody before the database knows it, and is opened once"""
    before = shop.opened()
    with nothing_is_kept(shop):
        answer = shop.buy(customer, idempotency_key="once")
    assert answer.is_server_error, answer.text
    assert "checkout.stripe.com" not in answer.text
    (checkout,) = shop.stripe.stripe.objects("checkout.session")[: shop.opened() - before]
    assert shop.buy(customer, idempotency_key="once").json()["id"] == checkout["id"]
    assert shop.opened() == before + 1


def test_a_price_of_the_client_has_no_effect(shop: Shop, refused: Person) -> None:
    """EDGE-01: what is not asked for is refused by its name, and nothing is opened"""
    before = shop.edge.fingerprint()
    for name in ("price_cents", "amount", "currency", "metadata", "success_url", "minutes"):
        answer = shop.buy(refused, **{name: 1})
        assert said(answer) == (422, "invalid_argument")
        assert answer.json()["details"].startswith(name)
    assert shop.edge.fingerprint() == before


EXTEND = {"mode": "extension", "session_id": "11111111-1111-4111-8111-111111111111", **PATHS}
BAD: list[tuple[str, dict[str, Any], tuple[int, str]]] = [
    ("no body", {}, (400, "invalid_body")),
    ("no JSON", {"content": "{"}, (400, "invalid_body")),
    ("no object", {"body": [BUY]}, (400, "invalid_body")),
    ("no UTF-8", {"content": b'{"mode":"\xff"}'}, (400, "invalid_body")),
    ("huge", {"content": b"x" * 100_000}, (413, "body_too_large")),
    ("GET", {"method": "GET"}, (405, "method_not_allowed")),
    ("PUT", {"method": "PUT", "body": BUY}, (405, "method_not_allowed")),
    ("no mode", {"body": PATHS}, (422, "invalid_argument")),
    ("mode", {"body": {**BUY, "mode": "gift"}}, (422, "invalid_argument")),
    ("plan", {"body": {**BUY, "plan": "none"}}, (404, "plan_not_found")),
    ("plan type", {"body": {**BUY, "plan": {"slug": "video15"}}}, (422, "invalid_argument")),
    ("intake", {"body": {**BUY, "intake": "text"}}, (422, "invalid_argument")),
    ("large intake", {"body": {**BUY, "intake": {"x": "x" * 20_000}}}, (422, "invalid_argument")),
    ("past", {"body": {**BUY, "scheduled_for": "2020-01-01"}}, (422, "invalid_argument")),
    ("site", {"body": {**BUY, "success_path": "https://evil.example"}}, (422, "invalid_argument")),
    ("slashes", {"body": {**BUY, "cancel_path": "//evil.example"}}, (422, "invalid_argument")),
    ("backslash", {"body": {**BUY, "cancel_path": "/\\evil.example"}}, (422, "invalid_argument")),
    ("newline", {"body": {**BUY, "cancel_path": "/a\n"}}, (422, "invalid_argument")),
    ("session", {"body": {**EXTEND, "minutes": 15}}, (404, "session_not_found")),
    ("id", {"body": {**EXTEND, "minutes": 15, "session_id": "1"}}, (422, "invalid_argument")),
    ("minutes", {"body": {**EXTEND, "minutes": "15"}}, (422, "invalid_argument")),
]


@pytest.mark.parametrize(("request_", "told"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_input_changes_nothing(
    shop: Shop, refused: Person, request_: dict[str, Any], told: tuple[int, str]
) -> None:
    """EDGE-01: bad input of every kind gets its 4xx with a clear message"""
    before, opened = shop.edge.fingerprint(), shop.opened()
    assert said(shop.edge.ask("create-checkout", by=refused, **request_)) == told
    assert (shop.edge.fingerprint(), shop.opened()) == (before, opened)


def test_a_foreign_session_is_not_there(shop: Shop, customer: Person) -> None:
    """EDGE-01: of somebody else's session one learns nothing; its mechanic buys nothing"""
    owner, session = shop.waiting()
    before, opened = shop.edge.fingerprint(), shop.opened()
    assert said(shop.extend(customer, session)) == (404, "session_not_found")
    assert said(shop.extend(owner, session, 7)) == (422, "invalid_argument")
    assert (shop.edge.fingerprint(), shop.opened()) == (before, opened)


def test_who_is_nobody_buys_nothing(shop: Shop) -> None:
    """EDGE-01: without a token, and with a forged, foreign or expired one"""
    served = shop.edge.served
    person = served.person("customer")
    forged = served.token(sub=person.user_id, role="authenticated")[:-4] + "AAAA"
    expired = served.token(sub=person.user_id, role="authenticated", exp=int(time.time()) - 60)
    nobody = served.token(role="authenticated")
    before, opened = shop.edge.fingerprint(), shop.opened()
    for function, body in (("create-checkout", BUY), ("connect-account", BACK)):
        for header in (
            None,
            "nonsense",
            f"Basic {forged}",
            *map("Bearer {}".format, ("x", served.keys.publishable, forged, expired, nobody)),
        ):
            headers = {"authorization": header} if header else {}
            answer = shop.edge.ask(function, body, headers=headers)
            assert answer.status_code == 401, (function, header, answer.text)
            assert answer.json()["message"]
    assert (shop.edge.fingerprint(), shop.opened()) == (before, opened)


def test_a_mechanic_gets_one_account(shop: Shop) -> None:
    """EDGE-02, MON-14: made once, also for eight at once; the way to it as often as asked for"""
    mechanic = shop.edge.served.mechanic()
    with ThreadPoolExecutor(8) as many:
        ask = lambda _: shop.edge.ask("connect-account", BACK, by=mechanic)  # noqa: E731
        answers = list(many.map(ask, range(8)))
    assert {answer.status_code for answer in answers} == {200}, [a.text for a in answers]
    (name,) = {answer.json()["account"] for answer in answers}
    (account,) = (
        row
        for row in shop.stripe.stripe.objects("account")
        if row["metadata"] == {"mechanic_id": mechanic.user_id}
    )
    assert (account["id"], account["type"]) == (name, "express")
    assert account["email"] == mechanic.email
    query: LiteralString = "select account from private.stripe_accounts where user_id = %s"
    assert shop.edge.one(query, mechanic.user_id) == name
    again = shop.edge.ask("connect-account", BACK, by=mechanic).json()
    assert again["account"] == name
    assert again["url"] not in {answer.json()["url"] for answer in answers}
    link = shop.stripe.asked("POST", "/v1/account_links")[-1].params
    assert link == {
        "account": name,
        "type": "account_onboarding",
        "return_url": "http://127.0.0.1:3000/profile",
        "refresh_url": "http://127.0.0.1:3000/profile?again",
    }


def test_an_account_that_was_made_is_found_again(shop: Shop) -> None:
    """EDGE-02: the connection breaks after Stripe has made it, and then the database is full"""
    mechanic = shop.edge.served.mechanic()
    before = len(shop.stripe.stripe.objects("account"))
    shop.stripe.faults.append(Fault("/v1/accounts", is_done=True))
    assert said(shop.edge.ask("connect-account", BACK, by=mechanic)) == (504, "stripe_unavailable")
    with nothing_is_kept(shop):
        assert shop.edge.ask("connect-account", BACK, by=mechanic).is_server_error
    assert shop.edge.ask("connect-account", BACK, by=mechanic).status_code == 200
    assert len(shop.stripe.stripe.objects("account")) == before + 1


def test_only_mechanics_are_paid(shop: Shop, customer: Person) -> None:
    """EDGE-01: a customer gets no account; bad paths get none either"""
    mechanic = shop.edge.served.mechanic()
    before, accounts = shop.edge.fingerprint(), len(shop.stripe.stripe.objects("account"))
    assert said(shop.edge.ask("connect-account", BACK, by=customer)) == (403, "role_required")
    for body in ({}, {**BACK, "return_path": "//evil.example"}, {**BACK, "refresh_path": 1}):
        told = said(shop.edge.ask("connect-account", body, by=mechanic))
        assert told == (422, "invalid_argument")
    assert said(shop.edge.ask("connect-account", by=mechanic)) == (400, "invalid_body")
    get = shop.edge.ask("connect-account", by=mechanic, method="GET")
    assert said(get) == (405, "method_not_allowed")
    assert shop.edge.fingerprint() == before
    assert len(shop.stripe.stripe.objects("account")) == accounts


@contextmanager
def stripe_mock() -> Iterator[str]:
    """Stripe's own mock, which holds every request against Stripe's specification."""
    program = counterpart("stripe-mock")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [program, "-http-addr", f"127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(200):
            try:
                httpx.get(url, trust_env=False)
                break
            except httpx.ConnectError:
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.slow
def test_what_is_sent_is_what_stripe_specifies(shop: Shop, customer: Person) -> None:
    """EDGE-02: every request passes stripe-mock, which knows each parameter of Stripe's API"""
    mechanic = shop.edge.served.mechanic()
    served = shop.edge.served
    with stripe_mock() as url:
        environment = {"STRIPE_API_URL": url, "STRIPE_SECRET_KEY": SECRET_KEY}
        with running(served, NAMES[:2], environment) as urls:
            for person, name, body in (
                (customer, "create-checkout", BUY),
                (mechanic, "connect-account", BACK),
            ):
                session = person.client.auth.get_session()
                assert session is not None
                headers = {"authorization": f"Bearer {session.access_token}"}
                answer = httpx.post(urls[name], json=body, headers=headers, timeout=60)
                assert answer.status_code == 200, answer.text
