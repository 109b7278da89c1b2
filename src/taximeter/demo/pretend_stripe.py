"""Stripe as the demo needs it: opens Checkouts, is paid, does what a worker asks, tells of it all.

Its events have Stripe's shapes and ids that cannot be taken for real ones. Nothing leaves the
machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from taximeter.stack.settings import StackError

if TYPE_CHECKING:
    from collections.abc import Callable

    from taximeter.people import Row

API_VERSION = "2025-09-30.clover"
ACCOUNT = "acct_demo"


@dataclass(slots=True)
class Checkout:
    """What a customer is to pay, and for what."""

    name: str
    cents: int
    metadata: dict[str, str]
    refunded_cents: int = 0

    @property
    def id(self) -> str:
        return f"cs_test_{self.name}"

    @property
    def payment_intent(self) -> str:
        return f"pi_{self.name}"


class PretendStripe:
    """Every event it ever told is in `told`."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self.told: list[Row] = []
        self._numbers = count(1)
        self._checkouts: dict[str, Checkout] = {}
        self._transfers: dict[str, Row] = {}

    def open_checkout(self, cents: int, purpose: str, purpose_id: str) -> Checkout:
        """As `POST /v1/checkout/sessions`; the metadata is also on its payment intent."""
        key = "intent_id" if purpose == "session" else "extension_id"
        metadata = {"mode": purpose, key: purpose_id}
        checkout = Checkout(f"demo{next(self._numbers)}", cents, metadata)
        self._checkouts[checkout.payment_intent] = checkout
        return checkout

    def paid(self, checkout: Checkout) -> list[Row]:
        """Both events that prove a payment, as Stripe sends both."""
        money = {"currency": "usd", "metadata": checkout.metadata, "livemode": False}
        session = {
            **money,
            "id": checkout.id,
            "object": "checkout.session",
            "mode": "payment",
            "status": "complete",
            "payment_status": "paid",
            "amount_total": checkout.cents,
            "payment_intent": checkout.payment_intent,
        }
        intent = {
            **money,
            "id": checkout.payment_intent,
            "object": "payment_intent",
            "status": "succeeded",
            "amount": checkout.cents,
            "amount_received": checkout.cents,
            "latest_charge": f"ch_{checkout.name}",
        }
        return [
            self._tell("checkout.session.completed", session),
            self._tell("payment_intent.succeeded", intent),
        ]

    def does(self, effect: Row) -> tuple[Row, list[Row]]:
        """What it answers to a claimed row of the outbox, and the events it sends afterwards."""
        payload, metadata = effect["payload"], {"outbox_key": effect["key"]}
        match effect["topic"]:
            case "stripe.transfer":
                transfer = {
                    "id": f"tr_demo{next(self._numbers)}",
                    "object": "transfer",
                    "amount": payload["amount"],
                    "amount_reversed": 0,
                    "reversed": False,
                    "currency": payload["currency"],
                    "destination": payload["destination"],
                    "metadata": metadata,
                    "livemode": False,
                }
                self._transfers[transfer["id"]] = transfer
                return transfer, [self._tell("transfer.created", transfer)]
            case "stripe.transfer_reversal":
                before = self._transfers[payload["transfer"]]
                back = before["amount_reversed"] + payload["amount"]
                after = {**before, "amount_reversed": back, "reversed": back == before["amount"]}
                self._transfers[before["id"]] = after
                reversal = {
                    "id": f"trr_demo{next(self._numbers)}",
                    "object": "transfer_reversal",
                    "amount": payload["amount"],
                    "transfer": before["id"],
                    "amount_reversed": back,
                    "metadata": metadata,
                }
                return reversal, [self._tell("transfer.reversed", after)]
            case "stripe.refund":
                checkout = self._checkouts[payload["payment_intent"]]
                checkout.refunded_cents += payload["amount"]
                names = {
                    "payment_intent": checkout.payment_intent,
                    "currency": payload["currency"],
                    "livemode": False,
                }
                refund = {
                    **names,
                    "id": f"re_demo{next(self._numbers)}",
                    "object": "refund",
                    "status": "succeeded",
                    "amount": payload["amount"],
                    "charge": f"ch_{checkout.name}",
                    "metadata": metadata,
                }
                charge = {
                    **names,
                    "id": f"ch_{checkout.name}",
                    "object": "charge",
                    "status": "succeeded",
                    "amount": checkout.cents,
                    "amount_refunded": checkout.refunded_cents,
                    "refunded": checkout.refunded_cents == checkout.cents,
                    "metadata": checkout.metadata,
                }
                return refund, [
                    self._tell("refund.created", refund),
                    self._tell("charge.refunded", charge),
                ]
            case topic:
                raise StackError(f"The outbox asks for {topic}, which the demo does not know.")

    def again(self, event: Row) -> Row:
        """The same event under another id, which Stripe never sends; it must not matter."""
        return {**event, "id": f"evt_demo{next(self._numbers)}"}

    def _tell(self, kind: str, described: Row) -> Row:
        event = {
            "id": f"evt_demo{next(self._numbers)}",
            "object": "event",
            "type": kind,
            "api_version": API_VERSION,
            "created": self._now(),
            "livemode": False,
            "data": {"object": described},
        }
        self.told.append(event)
        return event
