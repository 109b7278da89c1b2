"""A Stripe that keeps books of its own: what it charged, gave back, withdrew and transferred.

It tells everything by events in the shapes of `events/`, honours idempotency keys for a day,
replays the refusals it stored under one, and refuses what the real one refuses.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from stripe_inbox.told import Event, balance_transaction, told

DAY = 86400
DISPUTE_FEE = 1500

Answer = dict[str, Any]


class RefusedError(Exception):
    """A definitive refusal, by Stripe's error code."""


@dataclass
class Refund:
    id: str
    charge: Checkout
    amount: int
    status: str
    outbox_key: str | None

    @property
    def is_alive(self) -> bool:
        return self.status != "failed"


@dataclass
class Dispute:
    id: str
    charge: Checkout
    amount: int
    status: str
    moves: list[tuple[int, int]] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.status.endswith("needs_response")

    @property
    def is_inquiry(self) -> bool:
        return self.status.startswith("warning")


@dataclass
class Checkout:
    """A Checkout Session with its payment intent and, once paid, its charge."""

    number: int
    amount: int
    currency: str
    metadata: dict[str, str]
    customer: object
    status: str = "open"
    refunds: list[Refund] = field(default_factory=list)
    disputes: list[Dispute] = field(default_factory=list)

    @property
    def checkout(self) -> str:
        return f"cs_{self.number}"

    @property
    def payment_intent(self) -> str:
        return f"pi_{self.number}"

    @property
    def charge(self) -> str:
        return f"ch_{self.number}"

    @property
    def refunded(self) -> int:
        return sum(one.amount for one in self.refunds if one.is_alive)

    @property
    def lost(self) -> int:
        return sum(one.amount for one in self.disputes if one.status == "lost")

    @property
    def is_disputed(self) -> bool:
        return any(one.is_open and not one.is_inquiry for one in self.disputes)

    @property
    def refundable(self) -> int:
        is_closed = self.status != "paid" or self.is_disputed
        return 0 if is_closed else self.amount - self.refunded - self.lost

    @property
    def disputable(self) -> int:
        """A charge can be disputed more than once, each time in part."""
        if self.status != "paid":
            return 0
        disputed = sum(one.amount for one in self.disputes if one.is_open)
        return self.amount - self.refunded - self.lost - disputed

    @property
    def blanks(self) -> dict[str, object]:
        return {
            "checkout": self.checkout,
            "payment_intent": self.payment_intent,
            "charge": self.charge,
            "amount": self.amount,
            "currency": self.currency,
            "metadata": self.metadata,
        }


@dataclass
class Transfer:
    id: str
    amount: int
    currency: str
    destination: str
    outbox_key: str
    reversals: dict[str, int] = field(default_factory=dict)

    @property
    def reversed(self) -> int:
        return sum(self.reversals.values())


class FakeStripe:
    def __init__(self, second: int, numbers: int = 0) -> None:
        self.second = second
        self.lock = threading.RLock()
        self.balance: Counter[str] = Counter()
        self.checkouts: list[Checkout] = []
        self.refunds: list[Refund] = []
        self.disputes: list[Dispute] = []
        self.transfers: list[Transfer] = []
        self.emitted: list[Event] = []
        self._fresh: list[Event] = []
        self._answers: dict[str, tuple[int, object, Answer | RefusedError]] = {}
        # The key of every request that was not definitively refused.
        self._tries: dict[str, str] = {}
        self._numbers = numbers

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    def fresh(self) -> list[Event]:
        """What was emitted since the last call."""
        with self.lock:
            new, self._fresh = self._fresh, []
            return new

    def unfinished(self) -> list[str]:
        """What will still change without anybody asking."""
        with self.lock:
            promised = [one.checkout for one in self.checkouts if one.status == "promised"]
            refunds = [one.id for one in self.refunds if one.status == "pending"]
            disputes = [one.id for one in self.disputes if one.is_open]
            return [*promised, *refunds, *disputes, *(event["id"] for event in self._fresh)]

    def _emit(self, kind: str, **values: object) -> None:
        event = told(kind, f"evt_{self.number()}", **{"created": self.second, **values})
        self.emitted.append(event)
        self._fresh.append(event)

    # what customers do

    def open(
        self, amount: int, currency: str, metadata: dict[str, str], customer: object
    ) -> Checkout:
        with self.lock:
            made = Checkout(self.number(), amount, currency, metadata, customer)
            self.checkouts.append(made)
            return made

    def decline(self, one: Checkout) -> None:
        with self.lock:
            if one.status == "open":
                self._emit("payment_intent.payment_failed", **one.blanks)

    def pay(self, one: Checkout) -> None:
        with self.lock:
            if one.status == "open":
                self._received(one, "checkout.session.completed")

    def promise(self, one: Checkout) -> None:
        """A way to pay that takes days."""
        with self.lock:
            if one.status == "open":
                one.status = "promised"
                self._emit("checkout.session.completed", **one.blanks, payment_status="unpaid")

    def keep_promise(self, one: Checkout, *, is_kept: bool) -> None:
        with self.lock:
            if one.status != "promised":
                return
            if is_kept:
                self._received(one, "checkout.session.async_payment_succeeded")
            else:
                one.status = "failed"
                self._emit("checkout.session.async_payment_failed", **one.blanks)
                self._emit("payment_intent.payment_failed", **one.blanks)

    def expire(self, one: Checkout) -> None:
        with self.lock:
            if one.status == "open":
                one.status = "expired"
                self._emit("checkout.session.expired", **one.blanks)
                self._emit("payment_intent.canceled", **one.blanks)

    def _received(self, one: Checkout, kind: str) -> None:
        one.status = "paid"
        self.balance[one.currency] += one.amount
        self._emit(kind, **one.blanks)
        self._emit("payment_intent.succeeded", **one.blanks)

    # what happens at Stripe without us

    def refund_by_hand(self, one: Checkout, amount: int, *, is_pending: bool) -> None:
        with self.lock:
            if 0 < amount <= one.refundable:
                self._refund(one, amount, None, is_pending=is_pending)

    def settle(self, one: Refund) -> None:
        with self.lock:
            if one.status == "pending":
                one.status = "succeeded"
                self._tell_of(one, "refund.updated")

    def fail(self, one: Refund) -> None:
        """A refund that the bank sends back, also one that had succeeded."""
        with self.lock:
            if one.status == "failed":
                return
            one.status = "failed"
            self.balance[one.charge.currency] += one.amount
            self._tell_of(one, "refund.failed")
            self._tell_of(one, "refund.updated")

    def dispute(self, one: Checkout, amount: int, *, is_inquiry: bool) -> None:
        with self.lock:
            if not 0 < amount <= one.disputable:
                return
            status = "warning_needs_response" if is_inquiry else "needs_response"
            made = Dispute(f"du_{self.number()}", one, amount, status)
            one.disputes.append(made)
            self.disputes.append(made)
            if not is_inquiry:
                self._move(made, -amount, DISPUTE_FEE)
            self._tell_of_dispute(made, "charge.dispute.created")

    def close(self, made: Dispute, *, is_won: bool) -> None:
        with self.lock:
            if not made.is_open:
                return
            if made.is_inquiry:
                made.status = "warning_closed"
            elif is_won:
                made.status = "won"
                self._move(made, made.amount, -DISPUTE_FEE)
            else:
                made.status = "lost"
            self._tell_of_dispute(made, "charge.dispute.closed")

    def bank_refuses(self, account: str, amount: int) -> None:
        with self.lock:
            self._emit(
                "payout.failed", account=account, payout=f"po_{self.number()}", amount=amount
            )

    def account_changes(self, account: str) -> None:
        with self.lock:
            self._emit("account.updated", account=account)

    def _move(self, made: Dispute, amount: int, fee: int) -> None:
        made.moves.append((amount, fee))
        self.balance[made.charge.currency] += amount - fee

    def _refund(
        self, one: Checkout, amount: int, outbox_key: str | None, *, is_pending: bool
    ) -> Refund:
        status = "pending" if is_pending else "succeeded"
        made = Refund(f"re_{self.number()}", one, amount, status, outbox_key)
        one.refunds.append(made)
        self.refunds.append(made)
        self.balance[one.currency] -= amount
        self._tell_of(made, "refund.created")
        self._emit(
            "charge.refunded",
            **one.blanks | {"metadata": {}},
            amount_refunded=one.refunded,
            refunded=one.refunded == one.amount,
        )
        return made

    def _tell_of(self, one: Refund, kind: str) -> None:
        described = {
            "refund": one.id,
            "amount": one.amount,
            "status": one.status,
            "metadata": {"outbox_key": one.outbox_key} if one.outbox_key else {},
        }
        self._emit(kind, **one.charge.blanks | described)

    def _tell_of_dispute(self, made: Dispute, kind: str) -> None:
        described = {
            "dispute": made.id,
            "amount": made.amount,
            "status": made.status,
            "balance_transactions": [
                balance_transaction(made.id, number, amount, fee)
                for number, (amount, fee) in enumerate(made.moves)
            ],
        }
        self._emit(kind, **made.charge.blanks | described)

    # what we ask for: by topic of the outbox

    def lose(self, outbox_key: str, idempotency_key: str) -> None:
        """A request that never arrived, which nobody can know."""
        with self.lock:
            self._tries.setdefault(outbox_key, idempotency_key)

    def ask(
        self,
        topic: str,
        outbox_key: str,
        idempotency_key: str,
        payload: Answer,
        *,
        is_short: bool = False,
    ) -> Answer:
        """A request; the same key within a day gets the same answer, a refusal too."""
        with self.lock:
            if self._tries.setdefault(outbox_key, idempotency_key) != idempotency_key:
                raise AssertionError(f"{outbox_key} has a new key, and the old one was not refused")
            at, params, answer = self._answers.get(idempotency_key, (0, None, {}))
            if params is not None and self.second - at < DAY:
                if params != payload:
                    raise RefusedError("idempotency_error")
            else:
                try:
                    if is_short:
                        raise RefusedError("balance_insufficient")
                    answer = self._requests[topic](self, outbox_key, payload)
                except RefusedError as refused:
                    answer = refused
                self._answers[idempotency_key] = (self.second, payload, answer)
            if isinstance(answer, RefusedError):
                del self._tries[outbox_key]
                raise answer
            return answer

    def find(self, topic: str, outbox_key: str) -> Answer | None:
        """What is there already of an effect, by its metadata."""
        with self.lock:
            if topic == "stripe.refund":
                for refund in self.refunds:
                    if refund.outbox_key == outbox_key:
                        return {"id": refund.id, "status": refund.status}
            elif topic == "stripe.transfer":
                for transfer in self.transfers:
                    if transfer.outbox_key == outbox_key:
                        return {"id": transfer.id}
            elif topic == "stripe.transfer_reversal":
                for transfer in self.transfers:
                    if outbox_key in transfer.reversals:
                        return {"transfer": transfer.id, "amount_reversed": transfer.reversed}
            return None

    def _make_refund(self, outbox_key: str, payload: Answer) -> Answer:
        named = [one for one in self.checkouts if one.payment_intent == payload["payment_intent"]]
        if named[0].is_disputed:
            raise RefusedError("charge_disputed")
        if payload["amount"] > named[0].refundable:
            raise RefusedError("charge_already_refunded")
        is_pending = self._numbers % 3 == 0
        made = self._refund(named[0], payload["amount"], outbox_key, is_pending=is_pending)
        return {"id": made.id, "status": made.status}

    def _make_transfer(self, outbox_key: str, payload: Answer) -> Answer:
        made = Transfer(
            f"tr_{self.number()}",
            payload["amount"],
            payload["currency"],
            payload["destination"],
            outbox_key,
        )
        self.transfers.append(made)
        self.balance[made.currency] -= made.amount
        self._tell_of_transfer(made, "transfer.created")
        return {"id": made.id}

    def _make_reversal(self, outbox_key: str, payload: Answer) -> Answer:
        named = [one for one in self.transfers if one.id == payload["transfer"]]
        if not named:
            raise RefusedError("resource_missing")
        made = named[0]
        amount = min(payload["amount"], made.amount - made.reversed)
        if amount == 0:
            raise RefusedError("transfer_already_reversed")
        made.reversals[outbox_key] = amount
        self.balance[made.currency] += amount
        self._tell_of_transfer(made, "transfer.reversed")
        return {"transfer": made.id, "amount_reversed": made.reversed}

    def _expire_checkout(self, _: str, payload: Answer) -> Answer:
        for one in self.checkouts:
            if one.checkout == payload["checkout_session_id"]:
                self.expire(one)
                return {"id": one.checkout, "status": one.status}
        raise RefusedError("resource_missing")

    def _tell_of_transfer(self, made: Transfer, kind: str) -> None:
        self._emit(
            kind,
            transfer=made.id,
            amount=made.amount,
            currency=made.currency,
            account=made.destination,
            amount_reversed=made.reversed,
            reversed=made.reversed == made.amount,
            metadata={"outbox_key": made.outbox_key},
        )

    _requests: ClassVar[dict[str, Callable[[FakeStripe, str, Answer], Answer]]] = {
        "stripe.refund": _make_refund,
        "stripe.transfer": _make_transfer,
        "stripe.transfer_reversal": _make_reversal,
        "stripe.expire_checkout": _expire_checkout,
    }
