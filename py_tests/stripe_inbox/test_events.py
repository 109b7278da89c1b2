"""Every type of event, as Stripe signs and words it, does what docs/payments.md says of it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, LiteralString
from uuid import UUID

import pytest
import stripe

from concurrency.interleaving import PooledWorld
from stripe_inbox.shapes import of_object
from stripe_inbox.told import (
    KINDS,
    SECRET,
    Event,
    balance_transaction,
    metadata,
    signed,
    told,
)
from taximeter.stack.postgres import CHECKOUT

PRICE = 1000
SHARE = 700
BLANKS = {
    "checkout": "cs_1",
    "payment_intent": "pi_1",
    "charge": "ch_1",
    "refund": "re_1",
    "dispute": "du_1",
    "transfer": "tr_1",
    "payout": "po_1",
    "amount": PRICE,
    "amount_refunded": 400,
    "refunded": False,
    "reversed": False,
    "status": "lost",
    "balance_transactions": [balance_transaction("du_1", 1, -PRICE, 1500)],
}

_NUMBERS = count(1)


@pytest.fixture(autouse=True)
def the_money_adds_up(world: PooledWorld) -> Iterator[None]:
    """MON-03: whatever a test did, no invariant is violated at its end."""
    yield
    assert world.rows("select * from public.ledger_invariants()") == []


def documented() -> set[str]:
    """The types of the first column of the table."""
    lines = (CHECKOUT / "docs/payments.md").read_text().splitlines()
    cells = [line.split("|")[1] for line in lines if line.startswith("| `")]
    names = {name for cell in cells for name in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", cell)}
    return names - {"metadata.outbox_key"}


def test_every_documented_type_has_its_fixture_and_the_other_way_round() -> None:
    """MON-08: the table and the fixtures name the same types."""
    assert set(KINDS) == documented()
    assert {told(kind, "evt_1", **BLANKS)["type"] for kind in KINDS} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fixture_has_the_shape_that_stripe_gives_it(kind: str) -> None:
    """MON-05: no field that the API has not, none missing, in the version of the package."""
    event = told(kind, "evt_1", **BLANKS)
    described = event["data"]["object"]
    assert [*of_object(event), *of_object(described)] == []
    assert event["api_version"] == stripe.api_version
    for name in event["data"].get("previous_attributes", {}):
        assert name in described


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_stripe_has_signed_is_an_event(kind: str) -> None:
    """MON-05: tampered, old and foreign signatures are refused before the inbox sees anything."""
    event = told(kind, "evt_1", **BLANKS)
    body, header = signed(event)
    assert opened(body, header) == event

    _, old = signed(event, at=int(time.time()) - 301)
    _, foreign = signed(event, secret="whsec_of_somebody_else")
    other = header.replace("v1=", "v0=")
    for bad_body, bad_header in [
        (body.replace("evt_1", "evt_2"), header),
        (body, old),
        (body, foreign),
        (body, other),
        (body, ""),
    ]:
        with pytest.raises(stripe.SignatureVerificationError):
            opened(bad_body, bad_header)


def opened(body: str, header: str) -> Event:
    event: Event = stripe.Webhook.construct_event(body, header, SECRET).to_dict()
    return event


@dataclass
class Bought:
    """A payment of one customer, and the blanks that name it at Stripe."""

    world: PooledWorld
    customer: UUID
    mechanic: UUID
    intent: UUID
    blanks: dict[str, Any]

    def tell(self, kind: str, **values: object) -> str:
        """Signs an event, opens it as the edge function does, and says what became of it."""
        event = told(kind, f"evt_{next(_NUMBERS)}", **{**self.blanks, **values})
        answer = self.world.one(
            "service_role", "ingest_stripe_event", p_event=opened(*signed(event))
        )
        done = answer["ingest_stripe_event"]
        assert not done["duplicate"]
        assert (done["status"] == "failed") == (done["error"] is not None)
        return str(done["status"])

    def fact(self, query: LiteralString, *params: object) -> Any:
        """The one value that the query finds."""
        (value,) = self.world.row(query, *params).values()
        return value

    @property
    def payment(self) -> str:
        """Rank, what it was applied to, how much went back."""
        return str(
            self.fact(
                "select concat_ws(' ', rank, coalesce(applied_to, '-'), refunded_cents)"
                " from private.payments where payment_intent_id = %s or checkout_session_id = %s",
                self.blanks["payment_intent"],
                self.blanks["checkout"],
            )
        )

    @property
    def intent_status(self) -> str:
        return str(
            self.fact("select status from public.checkout_intents where id = %s", self.intent)
        )

    @property
    def session(self) -> UUID:
        found = self.fact(
            "select session_id from public.checkout_intents where id = %s", self.intent
        )
        assert isinstance(found, UUID)
        return found

    @property
    def payout(self) -> str:
        return str(
            self.fact(
                "select concat_ws(' ', status, amount_cents, reversed_cents, blocked_by)"
                " from public.payouts where session_id = %s",
                self.session,
            )
        )

    def balances(self) -> dict[str, int]:
        """What this customer's payment and session have moved, by kind of account."""
        rows = self.world.rows(
            "select split_part(a.name, ':', 1) as kind, sum(e.amount_cents)::integer as cents"
            " from private.ledger_transfers t"
            " join private.ledger_entries e on e.transfer_id = t.id"
            " join private.ledger_accounts a on a.id = e.account_id"
            " where t.session_id = (select session_id from public.checkout_intents where id = %s)"
            " or t.key in (select 'payment:' || p.id from private.payments p"
            " where p.purpose_id = %s)"
            " group by 1 having sum(e.amount_cents) <> 0",
            self.intent,
            self.intent,
        )
        return {row["kind"]: row["cents"] for row in rows}

    def outbox_key(self, topic: str) -> str:
        return str(
            self.fact(
                "select key from private.outbox where topic = %s and session_id = %s",
                topic,
                self.session,
            )
        )

    def live(self) -> None:
        self.world.call(
            self.mechanic, "accept_assignment", p_assignment_id=self.world.assignment(self.session)
        )
        for person in (self.customer, self.mechanic):
            self.world.call(person, "join_session", p_session_id=self.session)

    def complete(self) -> None:
        self.live()
        self.world.advance(70)
        self.world.call(self.customer, "end_session_with_semantics", p_session_id=self.session)


@pytest.fixture
def asked(world: PooledWorld) -> Bought:
    """A checkout that was opened and not yet paid."""
    number = next(_NUMBERS)
    customer, mechanic = world.customer(), world.mechanic()
    intent = world.one(customer, "request_checkout", p_plan="chat10")["id"]
    names = {name: f"{BLANKS[name]}_{number}" for name in BLANKS if "_" in str(BLANKS[name])}
    blanks: dict[str, Any] = {**BLANKS, **names, "metadata": metadata("session", intent)}
    blanks["balance_transactions"] = []
    blanks["account"] = f"acct_{number}"
    world.call(
        "service_role",
        "record_checkout",
        p_purpose="session",
        p_purpose_id=intent,
        p_checkout_session_id=blanks["checkout"],
    )
    world.call(
        "service_role",
        "set_stripe_account",
        p_mechanic_id=mechanic,
        p_account=blanks["account"],
    )
    return Bought(world, customer, mechanic, intent, blanks)


@pytest.fixture
def bought(asked: Bought) -> Bought:
    assert asked.tell("payment_intent.succeeded") == "processed"
    return asked


@pytest.fixture
def completed(bought: Bought) -> Bought:
    bought.complete()
    return bought


Effect = Callable[[pytest.FixtureRequest], None]
EFFECTS: dict[str, Effect] = {}


def effect(kind: str) -> Callable[[Callable[[Bought], None]], Callable[[Bought], None]]:
    """Registers what an event of this type does to the scene that the parameter names."""

    def keep(function: Callable[[Bought], None]) -> Callable[[Bought], None]:
        (scene,) = function.__code__.co_varnames[: function.__code__.co_argcount]
        EFFECTS[kind] = lambda request: function(request.getfixturevalue(scene))
        return function

    return keep


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_does_what_the_table_says(kind: str, request: pytest.FixtureRequest) -> None:
    """MON-05, MON-08: signed by the official package, opened, taken in, and seen in the books."""
    EFFECTS[kind](request)


@effect("checkout.session.completed")
def _completed(asked: Bought) -> None:
    assert asked.tell("checkout.session.completed", payment_status="unpaid") == "processed"
    assert (asked.payment, asked.intent_status) == ("requested - 0", "open")
    assert asked.tell("checkout.session.completed") == "processed"
    assert (asked.payment, asked.intent_status) == ("paid session 0", "paid")
    assert asked.balances() == {"stripe": -PRICE, "session_hold": PRICE}


@effect("checkout.session.async_payment_succeeded")
def _async_payment_succeeded(asked: Bought) -> None:
    asked.tell("checkout.session.completed", payment_status="unpaid")
    assert asked.tell("checkout.session.async_payment_succeeded") == "processed"
    assert (asked.payment, asked.intent_status) == ("paid session 0", "paid")


@effect("checkout.session.async_payment_failed")
def _async_payment_failed(asked: Bought) -> None:
    assert asked.tell("checkout.session.async_payment_failed") == "processed"
    assert (asked.payment, asked.intent_status) == ("failed - 0", "failed")
    assert asked.balances() == {}


@effect("checkout.session.expired")
def _expired(asked: Bought) -> None:
    assert asked.tell("checkout.session.expired") == "processed"
    assert (asked.payment, asked.intent_status) == ("failed - 0", "failed")


@effect("payment_intent.succeeded")
def _succeeded(asked: Bought) -> None:
    assert asked.tell("payment_intent.succeeded") == "processed"
    assert (asked.payment, asked.intent_status) == ("paid session 0", "paid")
    charge = asked.fact(
        "select charge_id from private.payments where payment_intent_id = %s",
        asked.blanks["payment_intent"],
    )
    assert charge == asked.blanks["charge"]


@effect("payment_intent.payment_failed")
def _payment_failed(asked: Bought) -> None:
    assert asked.tell("payment_intent.payment_failed") == "processed"
    assert (asked.payment, asked.intent_status) == ("failed - 0", "failed")
    # Another card in the same Checkout: a proof that comes later counts.
    asked.tell("payment_intent.succeeded")
    assert (asked.payment, asked.intent_status) == ("paid session 0", "paid")


@effect("payment_intent.canceled")
def _canceled(asked: Bought) -> None:
    assert asked.tell("payment_intent.canceled") == "processed"
    assert (asked.payment, asked.intent_status) == ("failed - 0", "failed")


@effect("refund.created")
def _refund_created(bought: Bought) -> None:
    made = {"amount": 400, "metadata": {}, "status": "succeeded"}
    assert bought.tell("refund.created", **made) == "processed"
    assert bought.payment == "partly_refunded session 400"
    assert bought.balances() == {"stripe": -600, "session_hold": 600}


@effect("refund.updated")
def _refund_updated(completed: Bought) -> None:
    completed.world.call(
        "service_role", "refund_session", p_session_id=completed.session, p_key="key"
    )
    ours = {"metadata": {"outbox_key": completed.outbox_key("stripe.refund")}}
    assert completed.tell("refund.updated", **ours, status="pending") == "processed"
    assert completed.balances() == {"stripe": -PRICE, "refund_clearing": PRICE}
    assert completed.tell("refund.updated", **ours, status="succeeded") == "processed"
    assert completed.balances() == {}


@effect("refund.failed")
def _refund_failed(completed: Bought) -> None:
    completed.world.call(
        "service_role", "refund_session", p_session_id=completed.session, p_key="key"
    )
    ours = {"metadata": {"outbox_key": completed.outbox_key("stripe.refund")}}
    completed.tell("refund.created", **ours, status="succeeded")
    assert completed.tell("refund.failed", **ours) == "processed"
    assert completed.balances() == {"stripe": -PRICE, "unapplied": PRICE}
    review = completed.fact(
        "select review from private.payments where payment_intent_id = %s",
        completed.blanks["payment_intent"],
    )
    assert review == "refund_failed"


@effect("charge.refunded")
def _charge_refunded(bought: Bought) -> None:
    assert bought.tell("charge.refunded", metadata={}) == "processed"
    assert bought.payment == "partly_refunded session 400"
    # The refund that makes up the sum adds nothing.
    made = {"amount": 400, "metadata": {}, "status": "succeeded"}
    assert bought.tell("refund.created", **made) == "processed"
    assert bought.balances() == {"stripe": -600, "session_hold": 600}


def dispute(bought: Bought, kind: str, status: str, *moves: tuple[int, int]) -> str:
    name = bought.blanks["dispute"]
    transactions = [
        balance_transaction(name, number, amount, fee) for number, (amount, fee) in enumerate(moves)
    ]
    return bought.tell(kind, status=status, balance_transactions=transactions)


@effect("charge.dispute.created")
def _dispute_created(completed: Bought) -> None:
    told_now = dispute(completed, "charge.dispute.created", "needs_response", (-PRICE, 1500))
    assert told_now == "processed"
    assert completed.payment == "disputed session 0"
    assert completed.payout == "blocked 700 0 dispute"
    assert completed.balances() == {
        "disputes": -PRICE,
        "mechanic_payable": SHARE,
        "platform_revenue": PRICE - SHARE,
    }


@effect("charge.dispute.closed")
def _dispute_closed(completed: Bought) -> None:
    dispute(completed, "charge.dispute.created", "needs_response", (-PRICE, 1500))
    told_now = dispute(completed, "charge.dispute.closed", "lost", (-PRICE, 1500))
    assert told_now == "processed"
    status = completed.fact("select status from public.sessions where id = %s", completed.session)
    assert status == "refunded"
    assert completed.balances() == {"processor_fees": -1500, "stripe": 1500}


def sent(completed: Bought) -> dict[str, object]:
    """The payout of the session is due and in the outbox."""
    completed.world.advance(86401)
    completed.world.execute("select private.submit_payouts(100)")
    return {
        "amount": SHARE,
        "metadata": {"outbox_key": completed.outbox_key("stripe.transfer")},
    }


@effect("transfer.created")
def _transfer_created(completed: Bought) -> None:
    assert completed.tell("transfer.created", **sent(completed)) == "processed"
    assert completed.payout == "paid 700 0"
    assert completed.balances() == {"stripe": SHARE - PRICE, "platform_revenue": PRICE - SHARE}


@effect("transfer.reversed")
def _transfer_reversed(completed: Bought) -> None:
    ours = sent(completed)
    completed.tell("transfer.created", **ours)
    assert completed.tell("transfer.reversed", **ours, amount_reversed=300) == "processed"
    assert completed.payout == "paid 700 300"
    completed.tell("transfer.reversed", **ours, amount_reversed=SHARE, reversed=True)
    assert completed.payout == "reversed 700 700"
    assert completed.balances()["mechanic_payable"] == SHARE


@effect("payout.failed")
def _payout_failed(asked: Bought) -> None:
    before = asked.fact("select count(*) from private.ledger_entries")
    assert asked.tell("payout.failed") == "processed"
    assert asked.fact("select count(*) from private.ledger_entries") == before
    assert asked.fact(
        "select count(*) from private.outbox"
        " where topic = 'support.alert' and payload -> 'detail' ->> 'mechanic_id' = %s",
        str(asked.mechanic),
    )
    assert asked.fact(
        "select count(*) from public.notifications where kind = 'payout_failed' and user_id = %s",
        asked.mechanic,
    )


@effect("account.updated")
def _account_updated(completed: Bought) -> None:
    completed.world.execute(
        "update public.payouts set status = 'blocked', blocked_by = 'account'"
        " where session_id = %s",
        completed.session,
    )
    assert completed.tell("account.updated") == "processed"
    assert completed.payout == "pending 700 0"


@pytest.mark.parametrize("taken_by", ["dispute", "refund at Stripe"])
def test_credit_in_place_of_a_refund_is_not_given_twice(completed: Bought, taken_by: str) -> None:
    """MON-08, MON-20: what the customer got as credit, and then by card as well, is taken back."""
    completed.world.call(
        "service_role", "refund_session", p_session_id=completed.session, p_key="key"
    )
    ours = {"metadata": {"outbox_key": completed.outbox_key("stripe.refund")}}
    completed.tell("refund.failed", **ours)
    payment = completed.fact(
        "select id from private.payments where payment_intent_id = %s",
        completed.blanks["payment_intent"],
    )
    completed.world.call(
        "service_role", "resolve_payment", p_payment_id=payment, p_action="to_credit"
    )
    assert completed.balances() == {"stripe": -PRICE, "customer_credit": PRICE}

    if taken_by == "dispute":
        dispute(completed, "charge.dispute.closed", "lost", (-PRICE, 0))
    else:
        by_hand = {"refund": f"{completed.blanks['refund']}_by_hand", "metadata": {}}
        completed.tell("refund.created", **by_hand, status="succeeded")
    assert completed.balances() == {}
