"""Random lives that are paid: people, an admin, a Stripe and a worker, against the model of money.

This Stripe keeps no books beyond what it needs to be plausible: charges, refunds, disputes and
transfers, each with the events that tell of it. Events are delivered now, later, again, under
another id, in any order. The worker answers what it claims in every way there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import currently_in_test_context, note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from properties.laws import must, must_equal
from properties.model import (
    ADMIN,
    CUSTOMERS,
    MECHANICS,
    STAFF,
    SYSTEM,
    WHO_CREATES,
    Answer,
    Call,
    RefusedError,
    Session,
)
from properties.money_laws import money_agrees
from properties.money_model import OPTIONS, PRICES, Event, Money, MoneyRules, Refund
from properties.money_player import Claim, MoneyPlayer
from properties.player import BEGINNING, Told

MOVING = ("stripe.refund", "stripe.transfer")
MOMENT = timedelta(milliseconds=1)
ANSWERS = ("done", "done", "done", "pending", "refused", "ambiguous", "lost", "stale", "failed")
SETTINGS = {
    "mechanic_share_bps": (0, 3333, 7000, 9900, 10000),
    "referral_fee_bps": (0, 200, 1234, 10000),
    "escalated_quote_bonus_bps": (0, 500, 10000),
    "max_quote_bonus_cents": (0, 77, 10000),
    "payout_delay_minutes": (0, 1, 1440),
    "dispute_loss_bps": (0, 7000, 10000),
}
pause = st.sampled_from([0.0, 0.0, 0.0, 1.0, 60.0, 600.0])
some = st.sampled_from([0, 0, 0, 1, 2])


def say(line: str) -> None:
    if currently_in_test_context():
        note(line)


@dataclass
class Charge:
    """A payment as Stripe knows it."""

    name: str
    purpose: str
    order: int
    amount: int
    currency: str
    is_paid: bool = False
    refunds: dict[str, int] = field(default_factory=dict)
    # Of ours: the name by which we asked, and its amount.
    keys: dict[str, str] = field(default_factory=dict)
    told_refunds: int = 0
    # By Stripe's id: how much, and open, won or lost.
    disputes: dict[str, tuple[int, str]] = field(default_factory=dict)

    @property
    def is_disputed(self) -> bool:
        return any(status == "open" for _, status in self.disputes.values())

    @property
    def left(self) -> int:
        """What is still there: neither refunded nor with a bank."""
        disputed = sum(amount for amount, status in self.disputes.values() if status != "won")
        return self.amount - sum(self.refunds.values()) - disputed


@dataclass
class Transfer:
    id: str
    payout: str
    amount: int
    reversed: int = 0


class MoneyLife(RuleBasedStateMachine):
    """One script: a transaction of its own, which is undone when the script ends."""

    def __init__(self, player: MoneyPlayer, rules: MoneyRules) -> None:
        super().__init__()
        self.player = player
        self.rules_of_script = rules
        self.model = Money(rules, BEGINNING, (10000, 0))
        self.now = BEGINNING
        self.ticks = False
        self.is_broken = False
        self.charges: dict[str, Charge] = {}
        self.transfers: dict[str, Transfer] = {}
        self.mail: list[Event] = []
        self.undelivered: list[Event] = []
        self.leases: list[tuple[int, str, Mapping[str, Any]]] = []
        self.counter = 0

    @initialize(
        policy=st.sampled_from([(10000, 0), (10000, 0), (5000, 5000), (3333, 3334), (0, 10000)]),
        ticks=st.booleans(),
        accounts=st.sampled_from([(), MECHANICS, MECHANICS, MECHANICS[:1]]),
        opening=st.sampled_from(["nothing", "paid", "credit", "completed", "paid out"]),
        plan=st.sampled_from(list(PRICES)),
    )
    def open(
        self,
        policy: tuple[int, int],
        ticks: bool,
        accounts: tuple[str, ...],
        opening: str,
        plan: str,
    ) -> None:
        say(f"refunds of {policy}, {'with' if ticks else 'without'} ticks")
        self.model = Money(self.rules_of_script, BEGINNING, policy)
        self.player.begin_money(self.rules_of_script, policy)
        self.ticks = ticks
        for mechanic in accounts:
            self.play(SYSTEM, "set_stripe_account", mechanic=mechanic)
        if opening in ("paid", "completed", "paid out"):
            self.buy(CUSTOMERS[0], plan, "as asked", recorded=True, proof="both")
        elif opening == "credit":
            self.play(ADMIN, "grant_credit", user=CUSTOMERS[0], cents=5000, key="opening")
            self.play(CUSTOMERS[0], "create_session", plan=plan, funding="credit")
        if opening != "nothing":
            self.together(MECHANICS[0], everybody=True)
        if opening in ("completed", "paid out"):
            self.extend(30, "as asked", recorded=False, proof="intent", after=90.0)
            self.play(SYSTEM, "end_session_with_semantics", 1)
        if opening == "paid out":
            self.work(["done"], after=90000.0)

    # playing

    def play(
        self, actor: str, command: str, session: int | None = None, **arguments: Any
    ) -> Answer:
        """One call, its answer, and all the money afterwards."""
        self.pass_time(0)
        if self.ticks and self.player.quick(Call(self.now, SYSTEM, "tick_sessions")).code:
            raise AssertionError("a tick was refused")
        call = Call(self.now, actor, command, session, arguments)
        try:
            told, seen = self.player.money_step(call)
            say(f"{call} -> {told.code or 'ok'}")
            answer = self.expect(call, told)
            must_equal((seen["tick"]["errors"], seen["tick"]["more"]), (0, False), "a tick")
            money_agrees(self.model, seen, self.player.name_of)
        except BaseException as error:
            self.is_broken = True
            if isinstance(error, AssertionError):
                error.add_note(f"after {call}")
            raise
        return answer

    def hurry(self, actor: str, command: str, session: int | None = None, **arguments: Any) -> None:
        """A call whose answer is looked at, the money only after the calls that follow."""
        self.pass_time(0)
        call = Call(self.now, actor, command, session, arguments)
        try:
            self.expect(call, self.player.quick(call))
        except BaseException:
            self.is_broken = True
            raise

    def expect(self, call: Call, told: Told) -> Answer:
        if call.command == "claim_outbox":
            self.claim(told)
            return None
        try:
            expected = self.model.play(call)
        except RefusedError as refused:
            must_equal(told.code, refused.code, "the refusal")
            return None
        must(told.code is None, f"refused with {told.code}: {told.detail}")
        row = told.rows[0] if told.rows else {}
        if call.command in ("ingest_stripe_event", "complete_outbox", "fail_outbox"):
            must_equal(row[call.command], expected, "the answer")
        elif call.command in ("refund_payment", "resolve_payment"):
            row = row[call.command]
        if isinstance(expected, dict) and call.command != "ingest_stripe_event":
            for name in (
                "amount_cents",
                "to_credit_cents",
                "price_cents",
                "status",
                "minutes",
                "final_status",
                "reason",
                "payout_cents",
                "refund_cents",
            ):
                if name in expected and name in row:
                    must_equal(row[name], expected[name], f"the answer's {name}")
        return expected

    def claim(self, told: Told) -> None:
        """MON-18: what is claimed could be, and what is certainly due is."""
        self.model.advance(self.now)
        self.model.bury()
        due = self.model.certainly_due()
        names = {key: name for name, key in self.player.keys.items()}
        for row in told.rows:
            key = row["key"]
            if key in names:
                name = names[key]
                until = datetime.fromisoformat(row["leased_until"])
                self.model.claimed(name, {**row, "leased_until": until})
                lease = self.model.leases
                if name in due:
                    due.remove(name)
            else:
                self.model.leases += 1
                lease, name = self.model.leases, key
            self.player.claims[lease] = Claim(row["id"], key, row["lease_token"])
            self.leases.append((lease, name, row))
        must_equal(due, [], "due and not claimed")

    def pass_time(self, seconds: float) -> None:
        """Never no time at all, so that what comes later has a later time."""
        self.now += timedelta(seconds=seconds) + MOMENT
        self.model.advance(self.now)

    def sweep(self) -> None:
        """What is over is written down, before something that would change what it means."""
        self.hurry(SYSTEM, "tick_sessions")

    def number(self) -> int:
        self.counter += 1
        return self.counter

    def pick(self, of: int, *, over: bool | None = None) -> Session | None:
        """A session by its place, the newest first, active before ended."""
        known = [s for s in reversed(self.model.sessions) if over in (None, s.is_over)]
        known.sort(key=lambda s: s.is_over)
        return known[min(of, len(known) - 1)] if known else None

    # time and presence

    @rule(seconds=st.sampled_from([1.0, 30.0, 61.0, 600.0, 1500.0, 3600.0, 90000.0]))
    def wait(self, seconds: float) -> None:
        self.pass_time(seconds)
        self.play(SYSTEM, "set_extension_option", minutes=15, price=self.model.options[15])

    @precondition(lambda self: self.model.active())
    @rule(
        mechanic=st.sampled_from([*MECHANICS, MECHANICS[0]]),
        everybody=st.sampled_from([True, True, True, False]),
        stay=st.sampled_from([0.0, 10.0, 59.0, 61.0, 61.0, 900.0]),
    )
    def meet(self, mechanic: str, everybody: bool, stay: float) -> None:
        self.together(mechanic, everybody=everybody)
        self.pass_time(stay)

    def together(self, mechanic: str, *, everybody: bool) -> None:
        """The way to a live session, as far as it goes."""
        for s in self.model.active():
            number = s.number
            if s.mechanic is None:
                self.hurry(mechanic, "accept_assignment", number)
            mechanic = self.model.sessions[number - 1].mechanic or mechanic
            people = [self.model.sessions[number - 1].customer, mechanic]
            for person in people if everybody else people[:1]:
                self.hurry(person, "join_session", number)
            break

    @precondition(lambda self: self.model.active())
    @rule(
        who=st.sampled_from(["customer", "mechanic", "mechanic", ADMIN, SYSTEM]),
        of=some,
        leaving=st.sampled_from([False, False, False, True]),
        after=st.sampled_from([0.0, 61.0, 61.0, 600.0]),
    )
    def end(self, who: str, of: int, leaving: bool, after: float) -> None:
        self.pass_time(after)
        s = self.pick(of)
        assert s is not None
        number = s.number
        person = {"customer": s.customer, "mechanic": s.mechanic or MECHANICS[0]}.get(who, who)
        if leaving and person not in STAFF:
            self.play(person, "leave_session", number)
            return
        call = Call(self.now, person, "preview_end", number)
        preview = self.player.quick(call)
        answer = self.play(person, "end_session_with_semantics", number)
        if answer is not None and preview.rows:
            for name in ("final_status", "reason", "payout_cents", "refund_cents"):
                must_equal(preview.rows[0][name], answer[name], f"the preview's {name}")

    # buying

    @rule(
        who=st.sampled_from(WHO_CREATES),
        plan=st.sampled_from(list(PRICES)),
        funding=st.sampled_from(["credit", "credit", "free"]),
        granted=st.sampled_from([None, None, 1, 999, 2500, 4000]),
        key=st.sampled_from(["a", "b", "c", "d"]),
        after=pause,
    )
    def create(
        self, who: str, plan: str, funding: str, granted: int | None, key: str, after: float
    ) -> None:
        self.pass_time(after)
        if granted is not None:
            self.play(ADMIN, "grant_credit", user=who, cents=granted, key=key)
        self.play(who, "create_session", plan=plan, funding=funding)

    @rule(
        who=st.sampled_from(WHO_CREATES),
        plan=st.sampled_from(list(PRICES)),
        how=st.sampled_from(["as asked"] * 6 + ["too little", "too much", "other currency"]),
        recorded=st.booleans(),
        proof=st.sampled_from(["both", "checkout", "intent", "late", "failed", "never"]),
        after=pause,
    )
    def checkout(
        self, who: str, plan: str, how: str, recorded: bool, proof: str, after: float
    ) -> None:
        self.pass_time(after)
        self.buy(who, plan, how, recorded=recorded, proof=proof)

    def buy(self, who: str, plan: str, how: str, *, recorded: bool, proof: str) -> None:
        if self.play(who, "request_checkout", plan=plan) is not None:
            order = len(self.model.intents)
            self.pay("session", order, how, recorded=recorded, proof=proof)

    @precondition(lambda self: self.model.active())
    @rule(
        minutes=st.sampled_from([*OPTIONS, *OPTIONS, 7]),
        how=st.sampled_from(["as asked"] * 6 + ["too little", "too much", "other currency"]),
        recorded=st.booleans(),
        proof=st.sampled_from(["both", "checkout", "intent", "late", "failed", "never"]),
        after=pause,
    )
    def extend(self, minutes: int, how: str, recorded: bool, proof: str, after: float) -> None:
        self.pass_time(after)
        s = self.pick(0)
        assert s is not None
        if self.play(s.customer, "request_extension", s.number, minutes=minutes) is None:
            return
        order = next(
            n
            for n, one in reversed(list(enumerate(self.model.extensions, start=1)))
            if one.session == s.number and one.status == "pending"
        )
        if not self.charges_of("extension", order):
            self.pay("extension", order, how, recorded=recorded, proof=proof)

    @precondition(lambda self: self.model.intents)
    @rule(purpose=st.sampled_from(["session", "extension"]), of=some)
    def pay_twice(self, purpose: str, of: int) -> None:
        """Another payment of something whose first one has come."""
        orders = self.model.intents if purpose == "session" else self.model.extensions
        order = len(orders) - of
        known = self.charges_of(purpose, order)
        if order > 0 and known and self.model.payments[known[0].name].is_received:
            self.pay(purpose, order, "as asked", recorded=False, proof="both")

    def charges_of(self, purpose: str, order: int) -> list[Charge]:
        return [
            one
            for one in self.charges.values()
            if (one.purpose, one.order) == (purpose, order) and one.name in self.model.payments
        ]

    def pay(self, purpose: str, order: int, how: str, *, recorded: bool, proof: str) -> None:
        asked = (self.model.intents if purpose == "session" else self.model.extensions)[order - 1]
        amount = asked.price + {"too little": -1, "too much": 100}.get(how, 0)
        currency = "eur" if how == "other currency" else asked.currency
        name = str(self.number())
        charge = self.charges[name] = Charge(name, purpose, order, amount, currency)
        if recorded:
            self.play(SYSTEM, "record_checkout", payment=name, purpose=purpose, order=order)
        if proof == "failed":
            kind = ("payment_intent.payment_failed", "checkout.session.expired")[order % 2]
            self.tell(kind, name, self.told(charge, is_paid=False))
            return
        if proof == "never":
            return
        charge.is_paid = True
        paid = self.told(charge, is_paid=True)
        if proof == "late":
            unpaid = self.told(charge, is_paid=False) | {"is_submitted": True}
            self.tell("checkout.session.completed", name, unpaid)
            self.write("checkout.session.async_payment_succeeded", name, paid)
        if proof in ("both", "checkout"):
            self.tell("checkout.session.completed", name, paid)
        if proof in ("both", "intent"):
            self.tell("payment_intent.succeeded", name, paid)
        if proof == "checkout":
            self.write("payment_intent.succeeded", name, paid)

    def told(self, charge: Charge, *, is_paid: bool) -> dict[str, Any]:
        return {
            "purpose": charge.purpose,
            "order": charge.order,
            "amount": charge.amount,
            "currency": charge.currency,
            "is_paid": is_paid,
            "is_submitted": is_paid,
        }

    @precondition(lambda self: any(not one.is_paid for one in self.charges.values()))
    @rule(of=some)
    def pay_after_all(self, of: int) -> None:
        """What was declined, or replaced, or forgotten is paid nevertheless."""
        waiting = [one for one in reversed(self.charges.values()) if not one.is_paid]
        charge = waiting[min(of, len(waiting) - 1)]
        others = self.charges_of(charge.purpose, charge.order)
        if charge.name not in self.model.payments and others:
            return
        charge.is_paid = True
        self.tell("payment_intent.succeeded", charge.name, self.told(charge, is_paid=True))

    # Stripe's word

    def write(self, kind: str, about: str, told: Mapping[str, Any]) -> Event:
        """An event that is delivered some time."""
        event = Event(f"evt_{self.number()}", kind, about, told)
        self.mail.append(event)
        self.undelivered.append(event)
        return event

    def tell(self, kind: str, about: str, told: Mapping[str, Any]) -> None:
        self.deliver_one(self.write(kind, about, told))

    def deliver_one(self, event: Event) -> None:
        if self.has_to_wait(event):
            return
        if event in self.undelivered:
            self.undelivered.remove(event)
        self.play(SYSTEM, "ingest_stripe_event", event=event)

    @precondition(lambda self: self.undelivered)
    @rule(of=st.integers(0, 5), after=pause)
    def deliver(self, of: int, after: float) -> None:
        self.pass_time(after)
        self.deliver_one(self.undelivered[of % len(self.undelivered)])

    @precondition(lambda self: self.mail)
    @rule(of=st.integers(0, 30), renamed=st.booleans())
    def deliver_again(self, of: int, renamed: bool) -> None:
        """The same event, or the same news under another id."""
        event = self.mail[-1 - of % len(self.mail)]
        if event in self.undelivered:
            return
        if renamed:
            event = replace(event, id=f"evt_{self.number()}")
        self.deliver_one(event)

    def paid(self) -> list[Charge]:
        return [one for one in reversed(self.charges.values()) if one.is_paid]

    @precondition(lambda self: self.paid())
    @rule(
        of=some,
        part=st.sampled_from([None, None, 1, 333, 500, 1000]),
        when=st.sampled_from(["now", "now", "charge first", "later", "failed"]),
    )
    def refund_at_stripe(self, of: int, part: int | None, when: str) -> None:
        """Somebody gives money back in Stripe's own dashboard."""
        charge = self.paid()[min(of, len(self.paid()) - 1)]
        left = self.left_at_stripe(charge)
        amount = min(left, part or left)
        if amount <= 0 or charge.is_disputed:
            return
        id_ = f"re_{self.number()}"
        charge.refunds[id_] = amount
        charge.told_refunds += amount
        told = self.told_of_refund(charge, id_, amount, "succeeded", None)
        made = self.write("refund.created", charge.name, told)
        summed = self.write("charge.refunded", charge.name, self.told_of_charge(charge))
        if when == "failed":
            del charge.refunds[id_]
            failed = self.write("refund.failed", charge.name, {**told, "status": "failed"})
            self.deliver_one(failed)
        elif when == "charge first":
            self.deliver_one(summed)
        elif when == "now":
            self.deliver_one(made)
            self.deliver_one(summed)

    def told_of_refund(
        self, charge: Charge, id_: str, amount: int, status: str, key: str | None
    ) -> dict[str, Any]:
        told = {"id": id_, "amount": amount, "currency": charge.currency, "status": status}
        return told | {"key": key}

    def told_of_charge(self, charge: Charge) -> dict[str, Any]:
        return {"refunded": charge.told_refunds, "currency": charge.currency}

    def left_at_stripe(self, charge: Charge) -> int:
        """What somebody may still give back there: nothing that is being sent at this moment."""
        return charge.left - sum(one.amount for one in self.in_flight(charge.name))

    def in_flight(self, name: str) -> list[Refund]:
        """Refunds of ours of which nobody knows whether they were made."""
        return [
            one
            for key, one in self.model.refunds.items()
            if one.payment == name
            and one.status == "requested"
            and key in self.model.effects
            and (self.model.effects[key].status == "leased" or self.model.effects[key].is_ambiguous)
        ]

    def has_to_wait(self, event: Event) -> bool:
        """A refund made at Stripe of money that we may just be sending fails, and comes again."""
        payment = self.model.payments.get(event.about)
        if payment is None or event.told.get("key", "none") is not None:
            return False
        asked = sum(one.amount for one in self.in_flight(event.about))
        return asked > 0 and asked + event.told["amount"] > payment.amount - payment.refunded

    @precondition(lambda self: any(one.keys for one in self.charges.values()))
    @rule(of=some)
    def a_refund_comes_back(self, of: int) -> None:
        """A refund that had succeeded fails days later, or one that was pending does."""
        charges = [one for one in reversed(self.charges.values()) if one.keys]
        charge = charges[min(of, len(charges) - 1)]
        id_, key = list(charge.keys.items())[-1]
        if id_ in charge.refunds:
            amount = charge.refunds.pop(id_)
            told = self.told_of_refund(charge, id_, amount, "failed", key)
            self.tell("refund.failed", charge.name, told)

    @precondition(lambda self: self.paid())
    @rule(
        of=some,
        part=st.sampled_from([None, None, None, 250]),
        told=st.sampled_from(["now", "now", "later"]),
    )
    def dispute(self, of: int, part: int | None, told: str) -> None:
        charge = self.paid()[min(of, len(self.paid()) - 1)]
        amount = min(self.left_at_stripe(charge), part or charge.amount)
        if amount > 0:
            id_ = f"dp_{self.number()}"
            charge.disputes[id_] = (amount, "open")
            event = self.write("charge.dispute.created", charge.name, self.disputed(charge, id_))
            if told == "now":
                self.deliver_one(event)

    def disputed(self, charge: Charge, id_: str) -> dict[str, Any]:
        amount, status = charge.disputes[id_]
        told = {"id": id_, "amount": amount, "status": status, "currency": charge.currency}
        return told | {"fee": 1500}

    @precondition(lambda self: any(c.is_disputed for c in self.charges.values()))
    @rule(status=st.sampled_from(["won", "lost", "lost", "warning_closed"]))
    def close_a_dispute(self, status: str) -> None:
        charge = next(c for c in self.charges.values() if c.is_disputed)
        id_ = next(name for name, (_, state) in charge.disputes.items() if state == "open")
        amount, _ = charge.disputes[id_]
        charge.disputes[id_] = (amount, status)
        told = self.disputed(charge, id_)
        charge.disputes[id_] = (amount, "lost" if status == "lost" else "won")
        self.tell("charge.dispute.closed", charge.name, told)

    # the worker

    @rule(
        answers=st.lists(st.sampled_from(ANSWERS), min_size=3, max_size=3),
        after=st.sampled_from([0.0, 0.0, 61.0, 3700.0, 90000.0]),
    )
    def work(self, answers: list[str], after: float) -> None:
        """Due payouts are sent, and what is claimed is answered, somehow."""
        self.pass_time(after)
        self.send_payouts()
        self.dispatch(answers)

    def send_payouts(self) -> None:
        self.sweep()
        self.play(SYSTEM, "submit_payouts")

    def dispatch(self, answers: list[str]) -> None:
        last = self.model.leases
        self.play(SYSTEM, "claim_outbox", seconds=60)
        for place, (lease, name, row) in enumerate(self.leases_after(last)):
            if row["topic"] in MOVING:
                self.answer(lease, name, row, answers[place % len(answers)])
            elif row["topic"] == "stripe.transfer_reversal":
                self.reverse(lease, row)
            else:
                self.finish(lease, {})

    def leases_after(self, last: int) -> list[tuple[int, str, Mapping[str, Any]]]:
        return [one for one in self.leases if one[0] > last]

    def finish(self, lease: int, result: Mapping[str, Any]) -> None:
        """The end of a row that moves no money of the model's, or has been accounted for."""
        self.player.complete(self.player.claims[lease], result)

    def answer(self, lease: int, name: str, row: Mapping[str, Any], answer: str) -> None:
        if answer == "stale":
            older = [one for one, known, _ in self.leases if known == name and one < lease]
            if older:
                self.play(SYSTEM, "fail_outbox", row=name, lease=older[0], is_ambiguous=True)
            answer = "done"
        if answer == "lost":
            return
        if self.found(name) is None and not self.can_be_done(row):
            self.play(SYSTEM, "fail_outbox", row=name, lease=lease, is_ambiguous=False)
            return
        if answer in ("refused", "ambiguous"):
            if answer == "ambiguous" and lease % 2:
                # It did arrive, and nobody knows yet.
                self.carry_out(name, row)
            is_ambiguous = answer == "ambiguous"
            if not is_ambiguous and self.found(name) is not None:
                # Who looks first finds it, and does not send it again.
                self.complete(lease, name, row, "done")
                return
            self.play(SYSTEM, "fail_outbox", row=name, lease=lease, is_ambiguous=is_ambiguous)
            return
        self.complete(lease, name, row, answer)

    def found(self, name: str) -> str | None:
        """What Stripe has of this row: a refund or a transfer."""
        for transfer in self.transfers.values():
            if transfer.payout == name:
                return transfer.id
        for charge in self.charges.values():
            for id_, key in charge.keys.items():
                if key == name:
                    return id_
        return None

    def carry_out(self, name: str, row: Mapping[str, Any]) -> str:
        """Stripe does what a row asks for, once."""
        known = self.found(name)
        if known is not None:
            return known
        amount = row["payload"]["amount"]
        if row["topic"] == "stripe.transfer":
            id_ = f"tr_{self.number()}"
            self.transfers[id_] = Transfer(id_, name, amount)
            told = {"id": id_, "amount": amount, "reversed": 0}
            self.write("transfer.created", name, told)
            return id_
        charge = self.charges[row["payload"]["payment_intent"].removeprefix("pi_")]
        id_ = f"re_{self.number()}"
        charge.keys[id_] = name
        charge.refunds[id_] = amount
        charge.told_refunds += amount
        told = self.told_of_refund(charge, id_, amount, "succeeded", name)
        self.write("refund.updated", charge.name, told)
        self.write("charge.refunded", charge.name, self.told_of_charge(charge))
        return id_

    def can_be_done(self, row: Mapping[str, Any]) -> bool:
        """Stripe gives back what is left of a charge that nobody disputes."""
        if row["topic"] != "stripe.refund":
            return True
        charge = self.charges[row["payload"]["payment_intent"].removeprefix("pi_")]
        return not charge.is_disputed and bool(row["payload"]["amount"] <= charge.left)

    def complete(self, lease: int, name: str, row: Mapping[str, Any], answer: str) -> None:
        known = self.found(name)
        id_ = self.carry_out(name, row)
        result: dict[str, Any] = {"id": id_}
        if row["topic"] == "stripe.refund":
            charge = next(c for c in self.charges.values() if id_ in c.keys)
            status = "pending" if answer == "pending" else "succeeded"
            if id_ not in charge.refunds:
                status = "failed"
            elif answer == "failed" and known is None:
                charge.refunds.pop(id_)
                status = "failed"
            result["status"] = status
        self.play(SYSTEM, "complete_outbox", row=name, lease=lease, result=result)

    def reverse(self, lease: int, row: Mapping[str, Any]) -> None:
        """A transfer comes back as far as there is one."""
        amount = row["payload"]["amount"]
        key = row["payload"]["outbox_key"]
        names = {known: name for name, known in self.player.keys.items()}
        id_ = self.found(names[key])
        payout = self.model.payouts[names[key]]
        if id_ is None or payout.transfer is None:
            self.player.fail(self.player.claims[lease])
            return
        transfer = self.transfers[id_]
        transfer.reversed += amount
        must(transfer.reversed <= transfer.amount, f"{id_}: more is reversed than was sent")
        told = {"id": id_, "amount": transfer.amount, "reversed": transfer.reversed}
        event = self.write("transfer.reversed", transfer.payout, told)
        self.finish(lease, {"transfer": id_, "amount_reversed": transfer.reversed})
        self.model.reversal_done(transfer.payout, transfer.reversed)
        self.deliver_one(event)

    # admins

    @precondition(lambda self: self.model.sessions)
    @rule(
        of=some,
        over=st.sampled_from([True, True, None]),
        key=st.sampled_from(["a", "b", "c"]),
        amount=st.sampled_from([None, None, 1, 100, 333, 1000, 100000, 0]),
        who=st.sampled_from([ADMIN, ADMIN, ADMIN, CUSTOMERS[0]]),
    )
    def refund(self, of: int, over: bool | None, key: str, amount: int | None, who: str) -> None:
        s = self.pick(of, over=over)
        if s is not None:
            self.play(who, "refund_session", s.number, key=key, amount=amount)

    @rule(mechanic=st.sampled_from(MECHANICS))
    def open_an_account(self, mechanic: str) -> None:
        self.play(SYSTEM, "set_stripe_account", mechanic=mechanic)

    @rule(setting=st.sampled_from(list(SETTINGS)), place=st.integers(0, 4))
    def change_a_rule(self, setting: str, place: int) -> None:
        self.sweep()
        values = SETTINGS[setting]
        value = values[place % len(values)]
        self.play(ADMIN, "set_setting", setting=setting, value=value)

    @rule(
        plan=st.sampled_from(list(PRICES)),
        price=st.sampled_from([1, 999, 1000, 2501]),
        is_active=st.sampled_from([True, True, False]),
    )
    def change_a_price(self, plan: str, price: int, is_active: bool) -> None:
        self.play(ADMIN, "set_plan", plan=plan, price=price, is_active=is_active)
        self.play(ADMIN, "set_extension_option", minutes=30, price=price)

    @precondition(lambda self: any(one.review for one in self.model.payments.values()))
    @rule(action=st.sampled_from(["apply", "to_credit", "refund"]))
    def settle_a_payment(self, action: str) -> None:
        name = next(name for name, one in self.model.payments.items() if one.review)
        self.play(ADMIN, "resolve_payment", payment=name, action=action)

    @precondition(lambda self: any(one.is_received for one in self.model.payments.values()))
    @rule(
        of=some,
        key=st.sampled_from(["a", "b"]),
        amount=st.sampled_from([None, None, 1, 400, 100000]),
    )
    def refund_a_payment(self, of: int, key: str, amount: int | None) -> None:
        received = [name for name, one in self.model.payments.items() if one.is_received]
        self.sweep()
        self.play(
            ADMIN,
            "refund_payment",
            payment=received[-1 - min(of, len(received) - 1)],
            key=key,
            amount=amount,
        )

    @precondition(lambda self: self.model.reviews)
    @rule()
    def close_a_review(self) -> None:
        self.play(ADMIN, "resolve_review", min(self.model.reviews))

    def unsettled(self) -> list[str]:
        wanted = ("needs_reconciliation", "failed")
        return [name for name, one in self.model.payouts.items() if one.status in wanted]

    @precondition(lambda self: self.unsettled())
    @rule(of=some, cancel=st.booleans())
    def settle_a_payout(self, of: int, cancel: bool) -> None:
        """A person looks at Stripe: it is there, or it is not."""
        names = self.unsettled()
        name = names[min(of, len(names) - 1)]
        transfer = self.found(name)
        action = "paid" if transfer else "cancel" if cancel else "retry"
        self.play(ADMIN, "resolve_payout", payout=name, action=action, transfer=transfer)

    @precondition(lambda self: self.model.effects)
    @rule(of=some, times=st.sampled_from([1, 12, 12]), ambiguous=st.booleans())
    def outside_is_down(self, of: int, times: int, ambiguous: bool) -> None:
        """A row is tried until it is dead; a dead one is revived."""
        dead = [name for name, one in self.model.effects.items() if one.status == "dead"]
        if dead:
            self.play(ADMIN, "requeue_outbox", row=dead[min(of, len(dead) - 1)])
            return
        open_rows = [n for n, one in self.model.effects.items() if one.status != "done"]
        if not open_rows:
            return
        name = open_rows[min(of, len(open_rows) - 1)]
        if self.found(name) is not None and not ambiguous:
            return
        for _ in range(times):
            self.pass_time(3700)
            self.sweep()
            last = self.model.leases
            self.hurry(SYSTEM, "claim_outbox", seconds=60)
            for lease, known, row in self.leases_after(last):
                if known == name:
                    self.hurry(SYSTEM, "fail_outbox", row=name, lease=lease, is_ambiguous=ambiguous)
                elif row["topic"] not in (*MOVING, "stripe.transfer_reversal"):
                    self.finish(lease, {})
        self.send_payouts()

    @precondition(lambda self: self.transfers)
    @rule(of=some, part=st.sampled_from([1, 100, 100000]))
    def reverse_at_stripe(self, of: int, part: int) -> None:
        known = list(self.transfers.values())
        transfer = known[-1 - min(of, len(known) - 1)]
        # What we mean to take back ourselves is left for that.
        if self.model.splits and any(s.later for s in self.model.splits.values()):
            return
        transfer.reversed = min(transfer.reversed + part, transfer.amount)
        told = {"id": transfer.id, "amount": transfer.amount, "reversed": transfer.reversed}
        self.tell("transfer.reversed", transfer.payout, told)

    # quotes

    @precondition(lambda self: any(s.status == "completed" for s in self.model.sessions))
    @rule(
        amount=st.sampled_from([1, 1999, 50000, 500000]),
        decision=st.sampled_from([True, True, False, None]),
        confirmed=st.booleans(),
    )
    def quote(self, amount: int, decision: bool | None, confirmed: bool) -> None:
        s = next(s for s in self.model.sessions if s.status == "completed")
        customer, mechanic, number = s.customer, s.mechanic, s.number
        assert mechanic is not None
        self.play(mechanic, "escalate_quote", number, amount=amount)
        mine = [n for n, one in enumerate(self.model.quotes, start=1) if one.session == number]
        if decision is not None:
            self.play(customer, "decide_quote", quote=mine[-1], is_approved=decision)
        if confirmed:
            self.play(ADMIN, "confirm_quote_bonus", quote=mine[-1])

    def teardown(self) -> None:
        try:
            if not self.is_broken:
                self.close_the_books()
        finally:
            self.player.end()

    def close_the_books(self) -> None:
        """Everything is told, and everything told again changes nothing."""
        for event in reversed(list(self.undelivered)):
            self.deliver_one(event)
        self.pass_time(2 * 86400)
        self.send_payouts()
        for event in self.mail:
            if event in self.undelivered:
                continue
            self.hurry(SYSTEM, "ingest_stripe_event", event=event)
        before = self.model.balances()
        self.send_payouts()
        must_equal(self.model.balances(), before, "balances after everything was told again")
