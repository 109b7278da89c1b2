"""stripe-webhook under Deno: events signed by Stripe's own Python SDK, and everything else."""

from __future__ import annotations

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, LiteralString

import httpx
import pytest
import stripe

from support.edge import Edge, edge, running, said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import Server
    from taximeter.people import Row

SECRET = "whsec_test_fake"
NEW_SECRET = "whsec_test_fake_new"
NAME = "stripe-webhook"
BROKEN_FOR_A_WHILE: LiteralString = """
create function private.refuse() returns trigger language plpgsql as $$
begin
  raise exception 'a secret of the database' using errcode = %s;
end
$$;
create trigger refuse before insert on private.payments
for each row execute function private.refuse()
"""


def signed(body: str, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """The headers with which Stripe would send a body, made by its own SDK."""
    timestamp = int(time.time() if at is None else at)
    header = stripe.WebhookSignature.generate_signature_header(body, secret, timestamp)
    return {"stripe-signature": header, "content-type": "application/json"}


@dataclass(slots=True)
class Inbox:
    edge: Edge

    def send(
        self, body: str | bytes, headers: dict[str, str], method: str = "POST"
    ) -> httpx.Response:
        url = self.edge.url(NAME)
        return httpx.request(
            method, url, content=body, headers=headers, timeout=60, trust_env=False
        )

    def tell(self, event: Row) -> httpx.Response:
        body = json.dumps(event)
        return self.send(body, signed(body))

    def event(self, name: object) -> Row:
        query: LiteralString = (
            "select to_jsonb(e) - 'payload' from private.stripe_events e where e.id = %s"
        )
        row: Row = self.edge.one(query, name)
        return row

    def proof(self) -> Row:
        """The event that proves the payment of a new customer's intent."""
        customer = self.edge.served.person("customer")
        intent = customer.row("request_checkout", p_plan="video15")
        return event(
            "payment_intent.succeeded",
            object="payment_intent",
            id=f"pi_{uuid.uuid4().hex}",
            amount_received=1500,
            currency="usd",
            metadata={"mode": "session", "intent_id": intent["id"]},
        )

    def sessions(self, proof: Row) -> int:
        """How many sessions a proof of payment has made."""
        query: LiteralString = """
            select count(*) from public.sessions s
            join public.checkout_intents i on i.customer_user_id = s.customer_user_id
            where i.id = %s
        """
        found: int = self.edge.one(query, proof["data"]["object"]["metadata"]["intent_id"])
        return found


def event(kind: str, **described: object) -> Row:
    return {
        "id": f"evt_{uuid.uuid4().hex}",
        "object": "event",
        "type": kind,
        "created": int(time.time()),
        "livemode": False,
        "data": {"object": described},
    }


@pytest.fixture(scope="module")
def inbox(server: Server) -> Iterator[Inbox]:
    environment = {"STRIPE_WEBHOOK_SECRET": f"{SECRET},{NEW_SECRET}"}
    with edge(server, (NAME,), environment) as functions:
        yield Inbox(functions)


def test_a_proof_of_payment_makes_the_session(inbox: Inbox) -> None:
    """EDGE-02, MON-05, MON-07: what Stripe signed is taken, and again it is a duplicate"""
    proof = inbox.proof()
    first, second = inbox.tell(proof), inbox.tell(proof)
    assert (first.status_code, second.status_code) == (200, 200), first.text
    assert first.json() == {"received": True, "status": "processed", "duplicate": False}
    assert second.json() == {"received": True, "status": "processed", "duplicate": True}
    assert inbox.sessions(proof) == 1
    assert inbox.event(proof["id"])["deliveries"] == 2


def test_a_hundred_deliveries_have_one_effect(inbox: Inbox) -> None:
    """EDGE-02, MON-05: in parallel, of one event"""
    proof = inbox.proof()
    body = json.dumps(proof)
    headers = signed(body)
    with ThreadPoolExecutor(100) as many:
        answers = list(many.map(lambda _: inbox.send(body, headers), range(100)))
    told = [answer.json() for answer in answers]
    assert {answer.status_code for answer in answers} == {200}, told
    assert [answer["duplicate"] for answer in told].count(False) == 1
    assert inbox.sessions(proof) == 1
    assert inbox.event(proof["id"])["deliveries"] == 100


def test_other_types_and_the_other_mode_are_kept_and_ignored(inbox: Inbox) -> None:
    """EDGE-02, MON-05: Stripe need not send them again"""
    proof = {**inbox.proof(), "livemode": True}
    for ignored in (event("customer.created", id="cus_1"), proof):
        answer = inbox.tell(ignored)
        assert answer.status_code == 200
        assert answer.json()["status"] == "ignored"
        assert inbox.event(ignored["id"])["status"] == "ignored"
    assert inbox.sessions(proof) == 0


def test_each_secret_counts_while_they_are_being_changed(inbox: Inbox) -> None:
    """EDGE-02: two secrets, and both signatures in one header"""
    body = json.dumps(event("customer.created", id="cus_1"))
    for secret in (SECRET, NEW_SECRET):
        assert inbox.send(body, signed(body, secret)).status_code == 200
    both = signed(body, "whsec_test_unknown")["stripe-signature"]
    both += "," + signed(body, NEW_SECRET)["stripe-signature"].split(",")[1]
    assert inbox.send(body, {"stripe-signature": both}).status_code == 200


def test_what_is_not_stripe_s_changes_nothing(inbox: Inbox) -> None:
    """EDGE-01: no, forged, expired or foreign signature; another body; another method; too much"""
    body = json.dumps(inbox.proof())
    good = signed(body)
    now = time.time()
    before = inbox.edge.fingerprint()
    bad = (400, "invalid_signature")
    for headers in (
        {},
        {"stripe-signature": ""},
        {"stripe-signature": "nonsense"},
        {"stripe-signature": f"t={int(now)},v1="},
        {"stripe-signature": good["stripe-signature"].replace("v1=", "v0=")},
        {"stripe-signature": good["stripe-signature"][:-1] + "x"},
        signed(body, "whsec_test_unknown"),
        signed(body, ""),
        signed(body, at=now - 310),
        signed(body, at=now - 24 * 3600),
        {**good, "stripe-signature": good["stripe-signature"].replace("t=", "t=1")},
    ):
        assert said(inbox.send(body, headers)) == bad, headers
    for other in ("", "{}", body + " ", body.replace("1500", "1501"), body[:-1]):
        assert said(inbox.send(other, good)) == bad, other
    assert said(inbox.send(b"\xff" + body.encode(), good)) == bad
    assert said(inbox.send("not json", signed("not json"))) == bad
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        told = said(inbox.send(body, good, method))
        assert told == (405, "method_not_allowed"), method
    for nothing in ("{}", "[]", '"evt_1"', '{"id": "evt_1", "type": 1}'):
        assert said(inbox.send(nothing, signed(nothing))) == (422, "invalid_argument"), nothing
    assert inbox.edge.fingerprint() == before
    assert inbox.send(body, good).status_code == 200


def test_a_huge_body_is_not_read(inbox: Inbox) -> None:
    """EDGE-01: more than a megabyte is refused, signed or not, told by its length or not"""
    before = inbox.edge.fingerprint()
    large = json.dumps(event("customer.created", id="x" * (1024 * 1024)))
    assert inbox.send(large, signed(large)).status_code == 413

    def in_pieces() -> Iterator[bytes]:
        for start in range(0, len(large), 65536):
            yield large[start : start + 65536].encode()

    url = inbox.edge.url(NAME)
    answer = httpx.post(url, content=in_pieces(), headers=signed(large), trust_env=False)
    assert answer.status_code == 413
    assert inbox.edge.fingerprint() == before


def test_an_event_that_failed_is_sent_again(inbox: Inbox) -> None:
    """EDGE-02, MON-05: a 5xx while it fails, one effect when it no longer does"""
    proof = inbox.proof()
    with inbox.edge.served.connect() as connection:
        connection.execute(BROKEN_FOR_A_WHILE.replace("%s", "'check_violation'"))
        try:
            answer = inbox.tell(proof)
        finally:
            connection.execute("drop function private.refuse cascade")
    assert said(answer) == (500, "event_failed")
    assert "a secret" not in answer.text
    assert inbox.event(proof["id"])["status"] == "failed"
    assert inbox.sessions(proof) == 0
    again = inbox.tell(proof)
    assert again.json() == {"received": True, "status": "processed", "duplicate": True}
    assert inbox.sessions(proof) == 1


@pytest.mark.parametrize("kind", ["lock_not_available", "deadlock_detected", "PT409"])
def test_what_was_only_locked_is_sent_again(inbox: Inbox, kind: str) -> None:
    """EDGE-02, MON-05: nothing is kept, and Stripe is told to repeat it"""
    proof = inbox.proof()
    text = "session_locked" if kind == "PT409" else "it is locked"
    change = BROKEN_FOR_A_WHILE.replace("%s", f"'{kind}'").replace("a secret of the database", text)
    before = inbox.edge.fingerprint()
    with inbox.edge.served.connect() as connection:
        connection.execute(change)
        try:
            answer = inbox.tell(proof)
        finally:
            connection.execute("drop function private.refuse cascade")
    assert answer.is_server_error, answer.text
    assert inbox.edge.fingerprint() == before
    assert inbox.tell(proof).json()["status"] == "processed"


def test_the_database_is_away(inbox: Inbox) -> None:
    """EDGE-02: a 5xx, whatever the signature was worth"""
    body = json.dumps(event("customer.created", id="cus_1"))
    environment = {"STRIPE_WEBHOOK_SECRET": SECRET, "SUPABASE_URL": "http://127.0.0.1:9"}
    with running(inbox.edge.served, (NAME,), environment) as urls:
        answer = httpx.post(urls[NAME], content=body, headers=signed(body), timeout=60)
        assert said(answer) == (503, "database_unavailable")


def test_without_its_secret_it_says_so(inbox: Inbox) -> None:
    """EDGE-01: nothing is taken, and the refusal names what is missing"""
    body = json.dumps(event("customer.created", id="cus_1"))
    with running(inbox.edge.served, (NAME,), {}) as urls:
        answer = httpx.post(urls[NAME], content=body, headers=signed(body), timeout=60)
    assert said(answer) == (503, "not_configured")
    assert "STRIPE_WEBHOOK_SECRET" in answer.json()["details"]
