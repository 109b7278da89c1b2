"""Stripe as it is played, asked with Stripe's own client: it must be as strict as the real one."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import stripe

from taximeter.demo.pretend_stripe import signed
from taximeter.demo.stripe_server import SECRET_KEY, Fault, StripeServer, broken

if TYPE_CHECKING:
    from collections.abc import Iterator

TRANSFER: Any = {
    "amount": 500,
    "currency": "usd",
    "destination": "acct_1",
    "transfer_group": "payout:1",
    "metadata": {"outbox_key": "payout:1"},
}


@pytest.fixture
def played() -> Iterator[StripeServer]:
    with StripeServer() as server:
        yield server


def client(played: StripeServer, key: str = SECRET_KEY) -> stripe.StripeClient:
    return stripe.StripeClient(key, base_addresses={"api": played.url}, max_network_retries=0)


def other(**changes: object) -> Any:
    return {**TRANSFER, **changes}


def under(key: str) -> Any:
    return {"idempotency_key": key}


def test_a_key_is_good_for_one_request(played: StripeServer) -> None:
    """EDGE-02, MON-18: the same again is answered as before, a refusal too; another is refused"""
    transfers = client(played).v1.transfers
    first = transfers.create(TRANSFER, under("a"))
    assert transfers.create(TRANSFER, under("a")).id == first.id
    with pytest.raises(stripe.IdempotencyError):
        transfers.create(other(amount=501), under("a"))
    played.stripe.balance = 0
    for balance in (0, 1000):
        played.stripe.balance = balance
        with pytest.raises(stripe.InvalidRequestError, match="insufficient"):
            transfers.create(TRANSFER, under("b"))
    # What was not even valid is not kept.
    with pytest.raises(stripe.InvalidRequestError):
        transfers.create(other(amount=0), under("c"))
    assert transfers.create(TRANSFER, under("c")).id != first.id
    played.forget_keys()
    assert transfers.create(TRANSFER, under("a")).id != first.id
    assert len(played.stripe.objects("transfer")) == 3


def test_a_key_in_use_is_told_so(played: StripeServer) -> None:
    """EDGE-02, MON-18: while one request runs, another under its key is a 409"""
    transfers = client(played).v1.transfers
    played.faults.append(broken("/v1/transfers", seconds=1))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(transfers.create, TRANSFER, under("a"))
        while not played.asked("POST", "/v1/transfers"):
            time.sleep(0.01)
        with pytest.raises(stripe.StripeError) as told:
            transfers.create(TRANSFER, under("a"))
        assert told.value.http_status == 409
        assert "idempotency_key_in_use" in str(told.value.http_body)
        with pytest.raises(stripe.APIError):
            first.result()
    assert played.stripe.objects("transfer") == []


def test_faults_are_what_they_are_said_to_be(played: StripeServer) -> None:
    """EDGE-02: done or not, kept or not, answered or not"""
    transfers = client(played).v1.transfers
    played.faults += [
        broken("/v1/transfers"),
        broken("/v1/transfers", is_kept=True),
        Fault("/v1/transfers", is_done=True),
    ]
    for key in ("a", "b", "b"):
        with pytest.raises(stripe.APIError):
            transfers.create(TRANSFER, under(key))
    assert played.stripe.objects("transfer") == []
    with pytest.raises(stripe.APIConnectionError):
        transfers.create(TRANSFER, under("c"))
    (made,) = played.stripe.objects("transfer")
    assert transfers.create(TRANSFER, under("c")).id == made["id"]
    with pytest.raises(stripe.AuthenticationError):
        client(played, "sk_test_other").v1.transfers.create(TRANSFER)


def test_money_goes_out_and_back(played: StripeServer) -> None:
    """EDGE-02: transfers, reversals and refunds, their lists, and no more than there is"""
    v1 = client(played).v1
    transfer = v1.transfers.create(TRANSFER)
    reversal: Any = {"amount": 200, "expand": ["transfer"], "metadata": {"outbox_key": "r"}}
    made: Any = v1.transfers.reversals.create(transfer.id, reversal)
    assert made.transfer["amount_reversed"] == 200
    with pytest.raises(stripe.InvalidRequestError):
        v1.transfers.reversals.create(transfer.id, {"amount": 301})
    for number in range(3):
        v1.transfers.create(other(transfer_group=f"payout:{number + 2}"))
    listed = v1.transfers.list({"destination": "acct_1", "limit": 2})
    assert listed.has_more
    assert [row.transfer_group for row in listed.auto_paging_iter()] == [
        f"payout:{number}" for number in (4, 3, 2, 1)
    ]
    assert len(v1.transfers.list({"transfer_group": "payout:1"}).data) == 1

    checkout = played.stripe.open_checkout(1500, "session", "intent-1")
    played.stripe.pay(checkout["id"])
    intent = checkout["payment_intent"]
    v1.refunds.create({"payment_intent": intent, "amount": 700})
    with pytest.raises(stripe.InvalidRequestError):
        v1.refunds.create({"payment_intent": intent, "amount": 801})
    v1.refunds.create({"payment_intent": intent})
    with pytest.raises(stripe.InvalidRequestError, match="already been refunded"):
        v1.refunds.create({"payment_intent": intent})
    assert [row.amount for row in v1.refunds.list({"payment_intent": intent}).data] == [800, 700]


def test_what_it_tells_is_signed_as_stripe_signs(played: StripeServer) -> None:
    """EDGE-02: Stripe's own library takes it, and refuses it of another body or secret"""
    checkout = played.stripe.open_checkout(1500, "session", "intent-1")
    events = played.stripe.pay(checkout["id"])
    assert [event["type"] for event in events] == [
        "checkout.session.completed",
        "payment_intent.succeeded",
    ]
    body, signature = signed(events[0], "whsec_fake")
    event = stripe.Webhook.construct_event(body, signature, "whsec_fake")
    assert event.data.object["metadata"]["intent_id"] == "intent-1"
    for wrong in ((body + b" ", signature, "whsec_fake"), (body, signature, "whsec_other")):
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(*wrong)
