"""What lies outside the database: what clients were told, and a Stripe that keeps books of its own.

Nothing in here is lost when a server dies, so everything in here must be in the database too.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass, field

from stripe_inbox.fake import Answer, Checkout, FakeStripe, RefusedError
from stripe_inbox.told import Event
from support.world import Row

# Its clock stands still, so it forgets no idempotency key.
SECOND = 1893499200

# Which command, and on what.
Note = tuple[str, str]


@dataclass
class Notebook:
    """What clients were told is done, and what was cut off before they were told."""

    told: set[Note] = field(default_factory=set)
    cut: set[Note] = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, note: Note | None) -> None:
        with self._lock:
            self.calls["calls"] += 1
            if note is not None:
                self.told.add(note)

    def retract(self, note: Note) -> None:
        """The answer was that nothing was done."""
        with self._lock:
            self.told.discard(note)

    def cut_off(self, note: Note | None) -> None:
        with self._lock:
            self.calls["cut off"] += 1
            if note is not None:
                self.cut.add(note)

    def count(self, what: str) -> None:
        with self._lock:
            self.calls[what] += 1

    def kinds(self) -> set[str]:
        """The commands of which at least one is done."""
        with self._lock:
            return {kind for kind, _ in self.told}

    def take_cut(self) -> set[Note]:
        with self._lock:
            cut, self.cut = self.cut, set()
            return cut


class Outside:
    """Stripe, and everybody else an effect can reach."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._lock = threading.RLock()
        self.stripe = FakeStripe(SECOND)
        self.events: dict[str, Event] = {}
        self.arrived: Counter[str] = Counter()
        self.recorded: Counter[str] = Counter()
        self.sent = 0
        self._mail: list[str] = []
        self._asked: set[str] = set()
        self._refused: set[str] = set()

    # customers

    def pay(self, checkout: Checkout) -> None:
        """The card is charged, now and then at the second attempt."""
        if self._chance.random() < 0.2:
            self.stripe.decline(checkout)
        self.stripe.pay(checkout)

    # webhooks

    def next_event(self, chance: random.Random) -> Event | None:
        """Something undelivered, or now and then something that was delivered long ago."""
        with self._lock:
            self.collect()
            if self._mail and chance.random() < 0.9:
                return self.events[self._mail.pop(chance.randrange(len(self._mail)))]
            return self.events[chance.choice(list(self.events))] if self.events else None

    def give_back(self, undelivered: Event) -> None:
        with self._lock:
            self._mail.append(undelivered["id"])

    def collect(self) -> list[str]:
        """The names of all events that there are."""
        with self._lock:
            for event in self.stripe.fresh():
                self.events[event["id"]] = event
                self._mail.append(event["id"])
            return list(self.events)

    def settle_refunds(self) -> None:
        for refund in list(self.stripe.refunds):
            self.stripe.settle(refund)

    # effects

    def find(self, row: Row) -> Answer | None:
        return self.stripe.find(row["topic"], row["key"])

    def carry_out(self, row: Row, *, refuses: bool) -> Answer | None:
        """Does what a row of the outbox asks for; None is a refusal that did nothing. Stripe gives
        the same answer to the same idempotency key, a refusal too."""
        topic, key, name = row["topic"], row["key"], row["idempotency_key"]
        with self._lock:
            self.sent += 1
            if name in self._refused or (refuses and name not in self._asked):
                self._refused.add(name)
                return None
            self._asked.add(name)
            answer: Answer = {"id": f"x_{key}"}
            if topic.startswith("stripe."):
                try:
                    answer = self.stripe.ask(topic, key, name, row["payload"])
                except RefusedError:
                    return None
            self.arrived[key] += 1
            return answer

    def record(self, row: Row) -> None:
        with self._lock:
            self.recorded[row["key"]] += 1

    # Stripe's own books

    @property
    def paid(self) -> dict[str, int]:
        checkouts = self.stripe.checkouts
        return {one.payment_intent: one.amount for one in checkouts if one.status == "paid"}

    @property
    def refunded(self) -> dict[str, int]:
        return {one.payment_intent: one.refunded for one in self.stripe.checkouts if one.refunded}

    @property
    def transferred(self) -> dict[str, int]:
        return {one.id: one.amount for one in self.stripe.transfers}

    @property
    def sent_twice(self) -> list[str]:
        keys = [str(one.outbox_key) for one in self.stripe.refunds]
        keys += [one.outbox_key for one in self.stripe.transfers]
        return [key for key, times in Counter(keys).items() if times > 1]
