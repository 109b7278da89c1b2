"""Where every cent is, in plain values: the model of the lifecycle learns money.

Written from the specification (MON-*) and docs/payments.md, not from the SQL. A balance is a number
by the name of its account; whatever an event or a command does is a few additions. It is as eager
as the model it extends: a session that is over has settled its money.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from properties.model import (
    MECHANICS,
    PLANS,
    Answer,
    Model,
    RefusedError,
    Rules,
    Session,
)

PRICES = {"chat10": 1000, "video15": 1500, "diagnostic": 2500}
OPTIONS = {15: 500, 30: 900, 60: 1600}
REFERRERS = {"mechanic 1": "mechanic 2"}
TRIES = 12
LONGEST_WAIT = timedelta(hours=1)
ASKED_AGAIN_AFTER = timedelta(hours=20)
PROOF = ("checkout.session.async_payment_succeeded", "payment_intent.succeeded")
NO_PROOF = (
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
)


@dataclass(frozen=True)
class MoneyRules(Rules):
    """The settings that money depends on, for people who are never silent."""

    presence_timeout_seconds: int = 86400
    mechanic_share_bps: int = 7000
    referral_fee_bps: int = 200
    escalated_quote_bonus_bps: int = 500
    max_quote_bonus_cents: int = 10000
    payout_delay_minutes: int = 1440
    dispute_loss_bps: int = 7000


@dataclass(frozen=True)
class Event:
    """What Stripe tells: of a payment, a transfer, in the names of a script."""

    id: str
    type: str
    about: str
    told: Mapping[str, Any]

    def __str__(self) -> str:
        told = ", ".join(f"{name}={value}" for name, value in self.told.items())
        return f"{self.id} {self.type} of {self.about} ({told})"


@dataclass
class Intent:
    customer: str
    plan: str
    price: int
    currency: str = "usd"
    status: str = "open"
    session: int | None = None


@dataclass
class Extension:
    session: int
    minutes: int
    price: int
    currency: str = "usd"
    status: str = "pending"


@dataclass
class Payment:
    name: str
    customer: str
    purpose: str
    order: int
    session: int | None
    amount: int
    currency: str = "usd"
    is_received: bool = False
    refunded: int = 0
    # Told by a sum of its charge, before any refund that explains it.
    unmatched: int = 0
    applied_to: str | None = None
    review: str | None = None
    # By Stripe's id: how much, and open, won or lost.
    disputes: dict[str, tuple[int, str]] = field(default_factory=dict)

    @property
    def is_disputed(self) -> bool:
        return any(status == "open" for _, status in self.disputes.values())

    @property
    def lost(self) -> int:
        return sum(amount for amount, status in self.disputes.values() if status == "lost")

    @property
    def left(self) -> int:
        return max(self.amount - self.refunded - self.lost, 0)

    @property
    def refundable(self) -> int:
        """What can go back to the card: nothing while a bank looks into it."""
        return 0 if self.is_disputed else self.left

    @property
    def is_used(self) -> bool:
        return self.applied_to in ("session", "extension")


@dataclass
class Refund:
    payment: str
    amount: int
    status: str
    # Stripe's id, as far as it is known.
    stripe_id: str | None = None


@dataclass
class Payout:
    kind: str
    user: str
    session: int
    amount: int
    due_at: datetime
    currency: str = "usd"
    # Before it is sent: pending, whatever blocks it.
    status: str = "pending"
    transfer: str | None = None
    reversed: int = 0
    # What is to come back of it, and has not been asked for yet.
    reversals: list[int] = field(default_factory=list)


@dataclass
class Quote:
    session: int
    mechanic: str
    amount: int
    status: str = "escalated"
    bonus: int = 0
    is_confirmed: bool = False


@dataclass
class Split:
    """What became of a hold, and what of it was given back since."""

    held: int
    refund: int
    share: int
    platform: int
    referral: int
    referrer: str | None
    later: int = 0

    @property
    def left(self) -> int:
        return self.held - self.refund - self.later


@dataclass
class Effect:
    """A row of the outbox that moves money: a refund or a payout, by its name."""

    name: str
    topic: str
    session: int | None
    amount: int
    status: str = "pending"
    attempts: int = 0
    is_ambiguous: bool = False
    first_at: datetime | None = None
    # When it is claimable for certain; before that chance decides.
    due_by: datetime | None = None
    lease: int | None = None
    leased_until: datetime | None = None


class Money(Model):
    """The sessions of a few people, and their money."""

    rules: MoneyRules

    def __init__(self, rules: MoneyRules, now: datetime, policy: tuple[int, int]) -> None:
        super().__init__(rules, now)
        # What a session that a customer or a mechanic cancels gives back, and to the mechanic.
        self.policy = policy
        self.ledger: Counter[str] = Counter()
        self.prices = dict(PRICES)
        self.options = dict(OPTIONS)
        self.inactive: set[str] = set()
        self.intents: list[Intent] = []
        self.extensions: list[Extension] = []
        self.payments: dict[str, Payment] = {}
        self.refunds: dict[str, Refund] = {}
        self.payouts: dict[str, Payout] = {}
        self.quotes: list[Quote] = []
        self.effects: dict[str, Effect] = {}
        self.splits: dict[int, Split] = {}
        self.currencies: dict[int, str] = {}
        # Credit out of a session, less what went into it; and of a payment, by a person.
        self.given: Counter[int] = Counter()
        self.became_credit: Counter[str] = Counter()
        self.reviews: set[int] = set()
        self.accounts: set[str] = set()
        self.grants: dict[str, tuple[str, int]] = {}
        self.admin_refunds: dict[tuple[int, str], tuple[int | None, int, int]] = {}
        self.payment_refunds: dict[tuple[str, str], str] = {}
        self.inbox: set[str] = set()
        self.early: list[Event] = []
        self.leases = 0

    # the ledger

    def move(self, currency: str, lines: Mapping[str, int]) -> None:
        assert sum(lines.values()) == 0, lines
        for account, cents in lines.items():
            self.ledger[f"{account} {currency}"] += cents

    def balance(self, account: str, currency: str) -> int:
        return self.ledger[f"{account} {currency}"]

    def balances(self) -> dict[str, int]:
        return {account: cents for account, cents in self.ledger.items() if cents != 0}

    def held(self, number: int) -> int:
        return self.balance(f"session_hold:{number}", self.currencies[number])

    def unapplied(self, payment: Payment) -> int:
        return self.balance(f"unapplied:{payment.name}", payment.currency)

    def credit(self, user: str, currency: str) -> int:
        return self.balance(f"customer_credit:{user}", currency)

    # making sessions

    def grant_credit(self, actor: str, user: str, cents: int, key: str) -> Answer:
        self._staff(actor)
        if self.grants.setdefault(key, (user, cents)) != (user, cents):
            raise RefusedError("idempotency_conflict")
        if f"granted {key}" not in self.inbox:
            self.inbox.add(f"granted {key}")
            self.move("usd", {"promotions": -cents, f"customer_credit:{user}": cents})
        return None

    def create_session(  # type: ignore[override]
        self, actor: str, plan: str, funding: str = "free"
    ) -> Answer:
        if plan in self.inactive:
            raise RefusedError("plan_not_found")
        row = super().create_session(actor, plan)
        number = len(self.sessions)
        self.currencies[number] = "usd"
        if funding == "credit":
            price = self.prices[plan]
            if self.credit(actor, "usd") < price:
                raise RefusedError("insufficient_credit")
            lines = {f"customer_credit:{actor}": -price, f"session_hold:{number}": price}
            self.move("usd", lines)
            self.given[number] -= price
        return row

    def request_checkout(self, actor: str, plan: str) -> Answer:
        if plan not in PLANS or plan in self.inactive:
            raise RefusedError("plan_not_found")
        if any(s.customer == actor for s in self.active()):
            raise RefusedError("active_session_exists")
        self.intents.append(Intent(actor, plan, self.prices[plan]))
        return {"price_cents": self.prices[plan], "status": "open"}

    def request_extension(self, actor: str, session: Session | None, minutes: int) -> Answer:
        s = self._own(actor, session)
        if s.role_of(actor) != "customer":
            raise RefusedError("role_required")
        if s.is_over:
            raise RefusedError("session_ended")
        if s.status not in ("waiting", "live", "reconnecting"):
            raise RefusedError("session_not_active")
        s.people[actor].sign_of_life(self.now)
        if minutes not in self.options or self.currencies[s.number] != "usd":
            raise RefusedError("invalid_argument")
        pending = next(
            (e for e in self.extensions if e.session == s.number and e.status == "pending"), None
        )
        if pending is None or pending.minutes != minutes:
            if s.minutes + minutes > self.rules.max_session_minutes:
                raise RefusedError("extension_limit")
            if pending is not None:
                pending.status = "replaced"
            pending = Extension(s.number, minutes, self.options[minutes])
            self.extensions.append(pending)
        return {"minutes": minutes, "price_cents": pending.price, "status": "pending"}

    def set_plan(self, actor: str, plan: str, price: int, is_active: bool) -> Answer:
        self._staff(actor)
        self.prices[plan] = price
        (self.inactive.discard if is_active else self.inactive.add)(plan)

    def set_extension_option(self, actor: str, minutes: int, price: int) -> Answer:
        self._staff(actor)
        self.options[minutes] = price

    def set_setting(self, actor: str, setting: str, value: int) -> Answer:
        self._staff(actor)
        changed: dict[str, Any] = {setting: value}
        self.rules = replace(self.rules, **changed)

    # payments

    def record_checkout(self, actor: str, payment: str, purpose: str, order: int) -> Answer:
        self._system(actor)
        self._payment(payment, purpose, order)

    def _payment(self, name: str, purpose: str, order: int) -> Payment:
        if name not in self.payments:
            asked = self._asked(purpose, order)
            customer, session = (
                (asked.customer, None)
                if isinstance(asked, Intent)
                else (self.sessions[asked.session - 1].customer, asked.session)
            )
            self.payments[name] = Payment(name, customer, purpose, order, session, asked.price)
        return self.payments[name]

    def _asked(self, purpose: str, order: int) -> Intent | Extension:
        return self.intents[order - 1] if purpose == "session" else self.extensions[order - 1]

    def ingest_stripe_event(self, actor: str, event: Event) -> Answer:
        self._system(actor)
        if event.id in self.inbox:
            status = "ignored" if event in self.early else "processed"
            return {"status": status, "duplicate": True, "error": None}
        self.inbox.add(event.id)
        status = self._take(event)
        if status == "ignored":
            self.early.append(event)
        elif event.type.startswith(("checkout", "payment_intent")):
            self._take_early(event.about, event.type)
        return {"status": status, "duplicate": False, "error": None}

    def _take_early(self, name: str, kind: str) -> None:
        """What was told of a payment before its proof counts from its proof on."""
        if kind not in ("checkout.session.completed", *PROOF):
            return
        for event in [one for one in self.early if one.about == name]:
            if self._take(event) == "processed":
                self.early.remove(event)

    def _take(self, event: Event) -> str:
        told = event.told
        kind = event.type
        if kind.startswith(("checkout", "payment_intent")):
            payment = self._payment(event.about, told["purpose"], told["order"])
            if kind in PROOF or (kind == "checkout.session.completed" and told["is_paid"]):
                self._receive(payment, told["amount"], told["currency"])
            elif kind in NO_PROOF and not payment.is_received:
                asked = self._asked(payment.purpose, payment.order)
                if asked.status in ("open", "pending"):
                    asked.status = "failed"
            return "processed"
        if kind.startswith("transfer"):
            return self._hear_of_transfer(event)
        known = self.payments.get(event.about)
        if known is None or not known.is_received:
            return "ignored"
        if kind.startswith("refund"):
            self._hear_of_refund(known, kind, told)
        elif kind == "charge.refunded":
            self._hear_of_charge(known, told["refunded"])
        else:
            self._hear_of_dispute(known, kind, told)
        return "processed"

    def _receive(self, p: Payment, amount: int, currency: str) -> None:
        """MON-07, MON-10: proof of payment, once."""
        if not p.is_received:
            p.is_received, p.amount, p.currency = True, amount, currency
            self.move(currency, {"stripe": -amount, f"unapplied:{p.name}": amount})
        if p.applied_to is None and p.review is None:
            self._apply(p)

    def _apply(self, p: Payment) -> bool:
        asked = self._asked(p.purpose, p.order)
        if (p.amount, p.currency) != (asked.price, asked.currency):
            p.review = "amount_differs"
            if isinstance(asked, Intent) and asked.status in ("open", "failed"):
                asked.status = "in_review"
        elif isinstance(asked, Intent):
            self._make_paid_session(p, asked)
        else:
            self._extend(p, asked)
        return p.applied_to is not None

    def _make_paid_session(self, p: Payment, asked: Intent) -> None:
        is_busy = any(s.customer == p.customer for s in self.active())
        if asked.status not in ("open", "failed") or asked.plan in self.inactive or is_busy:
            p.applied_to = "credit"
            self._use(p, f"customer_credit:{p.customer}")
            if asked.status in ("open", "failed"):
                asked.status = "to_credit"
            return
        super().create_session(p.customer, asked.plan)
        p.session = asked.session = len(self.sessions)
        self.currencies[p.session] = p.currency
        p.applied_to, asked.status = "session", "paid"
        self._use(p, f"session_hold:{p.session}")

    def _extend(self, p: Payment, asked: Extension) -> None:
        s = self.sessions[asked.session - 1]
        is_open = asked.status in ("pending", "failed", "replaced")
        if (
            is_open
            and s.status in ("waiting", "live", "reconnecting")
            and self.currencies[s.number] == asked.currency
            and s.minutes + asked.minutes <= self.rules.max_session_minutes
        ):
            p.applied_to, asked.status = "extension", "applied"
            self._use(p, f"session_hold:{s.number}")
            s.bought_minutes += asked.minutes
            if s.expires_at is not None:
                s.expires_at += timedelta(minutes=asked.minutes)
            return
        if is_open:
            asked.status = "refund_pending"
        amount = self.unapplied(p)
        self._ask_refund(p, amount, s.number, {f"unapplied:{p.name}": -amount})
        p.applied_to = "refund"

    def _use(self, p: Payment, account: str) -> None:
        amount = self.unapplied(p)
        self.move(p.currency, {f"unapplied:{p.name}": -amount, account: amount})

    # refunds

    def _ask_refund(
        self, p: Payment, amount: int, session: int | None, sources: Mapping[str, int]
    ) -> str:
        mine = [name for name, one in self.refunds.items() if one.payment == p.name]
        number = 1 + sum(name.startswith("refund") for name in mine)
        name = f"refund {p.name}#{number}"
        self.refunds[name] = Refund(p.name, amount, "requested")
        self.effects[name] = Effect(name, "stripe.refund", session, amount, due_by=self.now)
        self.move(p.currency, {**sources, "refund_clearing": amount})
        p.refunded += amount
        return name

    def _refund_succeeded(self, refund: Refund) -> None:
        if refund.status != "requested":
            return
        refund.status = "succeeded"
        p = self.payments[refund.payment]
        p.review = None if p.review == "refund_dead" else p.review
        self.move(p.currency, {"refund_clearing": -refund.amount, "stripe": refund.amount})
        if p.purpose == "extension":
            asked = self._asked(p.purpose, p.order)
            if asked.status == "refund_pending":
                asked.status = "refunded"

    def _refund_failed(self, refund: Refund) -> None:
        """Failed is final, and what did not go back is unapplied money in review."""
        if refund.status == "failed":
            return
        source = "stripe" if refund.status == "succeeded" else "refund_clearing"
        p = self.payments[refund.payment]
        refund.status = "failed"
        p.refunded -= refund.amount
        # What the bank took meanwhile, the platform laid out.
        laid_out = min(max(self.unapplied(p) + refund.amount - p.left, 0), refund.amount)
        lines = {
            source: -refund.amount,
            f"unapplied:{p.name}": refund.amount - laid_out,
            "platform_revenue": laid_out,
        }
        self.move(p.currency, lines)
        if self.unapplied(p):
            p.review = "refund_failed"

    def _hear_of_refund(self, p: Payment, kind: str, told: Mapping[str, Any]) -> None:
        status = "failed" if kind == "refund.failed" else told["status"]
        refund = next(
            (one for one in self.refunds.values() if one.stripe_id == told["id"]),
            self.refunds.get(told["key"] or ""),
        )
        if refund is None:
            self._hear_of_foreign_refund(p, told, has_failed=status in ("failed", "canceled"))
            return
        refund.stripe_id = refund.stripe_id or told["id"]
        if status == "succeeded":
            self._refund_succeeded(refund)
        elif status in ("failed", "canceled"):
            self._refund_failed(refund)

    def _hear_of_foreign_refund(
        self, p: Payment, told: Mapping[str, Any], *, has_failed: bool
    ) -> None:
        matched = min(told["amount"], p.unmatched)
        p.unmatched -= matched
        amount = told["amount"]
        if has_failed and matched == 0:
            self.refunds[told["id"]] = Refund(p.name, amount, "failed", told["id"])
            return
        if has_failed:
            amount = matched
        if amount > matched:
            self._displace(p, amount - matched)
            self._refunded_at_stripe(p, amount - matched)
        refund = Refund(p.name, amount, "succeeded", told["id"])
        self.refunds[told["id"]] = refund
        if has_failed:
            self._refund_failed(refund)
            refund.amount = told["amount"]

    def _hear_of_charge(self, p: Payment, refunded: int) -> None:
        known = p.unmatched + sum(
            one.amount
            for one in self.refunds.values()
            if one.payment == p.name and (one.status != "failed" or one.stripe_id is not None)
        )
        if refunded > known:
            p.unmatched += refunded - known
            self._refunded_at_stripe(p, refunded - known)

    def _refunded_at_stripe(self, p: Payment, amount: int) -> None:
        """MON-08: first what is unapplied, then the session, then the credit it became, then us."""
        before = self.unapplied(p)
        first = min(amount, before)
        rest, taken = amount - first, 0
        if p.is_used:
            assert p.session is not None
            s = self.sessions[p.session - 1]
            if not s.is_over:
                taken = min(rest, self.held(s.number))
                self.move(p.currency, {f"session_hold:{s.number}": -taken, "stripe": taken})
            else:
                split = self.splits[s.number]
                taken = min(rest, split.left)
                is_all = 0 < taken == split.left
                self._take_back(s, taken, "stripe", None)
                if is_all:
                    s.status = "refunded"
            self.reviews.add(s.number)
        rest -= taken
        lines = self._from_credit(p, rest)
        self.move(p.currency, {**lines, f"unapplied:{p.name}": -first, "stripe": first + rest})
        p.refunded += amount
        if first and first == before:
            p.review = None
            p.applied_to = p.applied_to or "refund"

    def _from_credit(self, p: Payment, amount: int) -> dict[str, int]:
        """From what the customer got instead and has not spent; the rest from us."""
        if p.applied_to == "credit":
            got = amount
        else:
            got = self.became_credit[p.name] + (self.given[p.session] if p.session else 0)
        part = max(0, min(amount, got, self.credit(p.customer, p.currency)))
        if p.session is not None:
            self.given[p.session] -= part
        return {f"customer_credit:{p.customer}": -part, "platform_revenue": part - amount}

    # disputes

    def _hear_of_dispute(self, p: Payment, kind: str, told: Mapping[str, Any]) -> None:
        id_ = told["id"]
        accounts = f"disputes:{p.name}"
        if id_ not in p.disputes:
            p.disputes[id_] = (told["amount"], "open")
            self.move(p.currency, {accounts: -told["amount"], "stripe": told["amount"]})
        amount, status = p.disputes[id_]
        if kind != "charge.dispute.closed" or status != "open":
            return
        if told["status"] != "lost":
            p.disputes[id_] = (amount, "won")
            self.move(p.currency, {accounts: amount, "stripe": -amount})
            return
        self._displace(p, p.lost + amount)
        p.disputes[id_] = (amount, "lost")
        first = min(amount, self.unapplied(p))
        taken = self._lose_session(p, amount - first, accounts) if p.is_used else 0
        rest = amount - first - taken
        lines = self._from_credit(p, rest)
        self.move(p.currency, {**lines, f"unapplied:{p.name}": -first, accounts: first + rest})
        if first:
            p.review = p.review if self.unapplied(p) else None
            p.applied_to = p.applied_to or "refund"
        self.move(p.currency, {"processor_fees": -told["fee"], "stripe": told["fee"]})

    def _lose_session(self, p: Payment, amount: int, disputes: str) -> int:
        assert p.session is not None
        s = self.sessions[p.session - 1]
        if not s.is_over:
            taken = min(amount, self.held(s.number))
            self.move(p.currency, {f"session_hold:{s.number}": -taken, disputes: taken})
            self.reviews.add(s.number)
            return taken
        left = self.splits[s.number].left
        taken = min(amount, left)
        self._take_back(s, taken, disputes, self.rules.dispute_loss_bps)
        if taken >= left or p.amount <= p.refunded + p.lost:
            s.status = "refunded"
        return taken

    def _displace(self, p: Payment, more: int) -> None:
        """What we asked for, that was not sent and is not there any more, never will be."""
        for name, refund in reversed(self.refunds.items()):
            effect = self.effects.get(name)
            if p.refunded + more <= p.amount:
                return
            if (
                effect is not None
                and refund.payment == p.name
                and refund.status == "requested"
                and refund.stripe_id is None
                and effect.status in ("pending", "dead")
                and not effect.is_ambiguous
            ):
                self._settle_effect(name)
                self._refund_failed(refund)

    # the outcome

    def _end(self, s: Session, asker: str | None, cause: str | None) -> None:
        super()._end(s, asker, cause)
        if self.sessions[s.number - 1] is s:
            self._settle_money(s)

    def outcome_of(self, s: Session) -> dict[str, Any]:
        """What the end means in money, or meant when it was."""
        split = self.splits.get(s.number) or self.split(s)
        return s.outcome() | {"payout_cents": split.share, "refund_cents": split.refund}

    def end_session_with_semantics(self, actor: str, session: Session | None) -> Answer:
        s = self._own_or_staff(actor, session)
        self._ask_for_end(s, actor)
        return self.outcome_of(s)

    def split(self, s: Session) -> Split:
        """MON-12, MON-13: who gets what of a hold; less than a cent of doubt is the customer's."""
        held = self.held(s.number)
        rules = self.rules
        referrer = REFERRERS.get(s.mechanic or "")
        if s.end_reason == "completed":
            share = held * rules.mechanic_share_bps // 10000
            referral = 0
            if referrer is not None:
                referral = min(held * rules.referral_fee_bps // 10000, held - share)
            platform = held - share - referral
            return Split(held, 0, share, platform, referral, referrer if referral else None)
        refund_bps, mechanic_bps = 10000, 0
        if s.end_reason in ("cancelled_by_customer", "cancelled_by_mechanic", "too_short"):
            refund_bps, mechanic_bps = self.policy
        refund = -(-held * refund_bps // 10000)
        share = min(held * mechanic_bps // 10000, held - refund)
        return Split(held, refund, share, held - refund - share, 0, None)

    def _settle_money(self, s: Session) -> None:
        for one in self.extensions:
            if one.session == s.number and one.status == "pending":
                one.status = "failed"
        split = self.splits[s.number] = self.split(s)
        if split.refund:
            self._give_back(s, split.refund)
        lines = {
            f"session_hold:{s.number}": split.refund - split.held,
            "platform_revenue": split.platform,
        }
        if split.share:
            lines[f"mechanic_payable:{s.mechanic}"] = split.share
        if split.referral:
            lines[f"referral_payable:{split.referrer}"] = split.referral
        self.move(self.currencies[s.number], lines)
        assert s.ended_at is not None
        for kind, user, amount in (
            ("session", s.mechanic, split.share),
            ("referral", split.referrer, split.referral),
        ):
            if amount:
                assert user is not None
                self._promise(kind, s.number, user, s.number, amount, s.ended_at)

    def _promise(
        self, kind: str, source: int, user: str, session: int, amount: int, at: datetime
    ) -> None:
        due_at = at + timedelta(minutes=self.rules.payout_delay_minutes)
        currency = self.currencies[session]
        self.payouts[f"{kind} {source}"] = Payout(kind, user, session, amount, due_at, currency)

    def _give_back(self, s: Session, amount: int) -> int:
        """MON-13: to the cards, the newest payment first; the rest as credit, which it returns."""
        hold = f"session_hold:{s.number}"
        for p in reversed(self.payments.values()):
            if p.session == s.number and p.is_used:
                part = min(amount, p.refundable)
                if part:
                    self._ask_refund(p, part, s.number, {hold: -part})
                    amount -= part
        lines = {hold: -amount, f"customer_credit:{s.customer}": amount}
        self.move(self.currencies[s.number], lines)
        self.given[s.number] += amount
        return amount

    def _take_back(self, s: Session, amount: int, to: str, mechanic_bps: int | None) -> None:
        """MON-15: in proportion to what each kept, exact at the last cent, or by a dispute."""
        split = self.splits[s.number]
        if amount == 0:
            return
        total = split.share + split.platform + split.referral

        def part(kept: int) -> int:
            return kept * (split.later + amount) // total - kept * split.later // total

        share, referral = part(split.share), part(split.referral)
        if mechanic_bps is not None:
            share, referral = (0 if s.mechanic is None else amount * mechanic_bps // 10000), 0
        lines = {to: amount, "platform_revenue": share + referral - amount}
        if share:
            lines[f"mechanic_payable:{s.mechanic}"] = -share
        if referral:
            lines[f"referral_payable:{split.referrer}"] = -referral
        self.move(self.currencies[s.number], lines)
        split.later += amount
        self._reduce(f"session {s.number}", min(share, split.share))
        self._reduce(f"referral {s.number}", referral)

    def _reduce(self, name: str, amount: int) -> None:
        """MON-15: less of what was not sent; of what was, so much is to come back."""
        payout = self.payouts.get(name)
        if payout is None or amount == 0:
            return
        if payout.status in ("pending", "failed", "cancelled"):
            self._lessen(name, amount)
        elif payout.status != "reversed":
            left = payout.amount - payout.reversed - sum(payout.reversals)
            if left > 0:
                payout.reversals.append(min(amount, left))

    def _lessen(self, name: str, amount: int) -> None:
        payout = self.payouts[name]
        payout.amount = max(payout.amount - amount, 0)
        if name in self.effects:
            self.effects[name].amount = payout.amount
        if payout.amount == 0:
            payout.status = "cancelled"
            self._settle_effect(name)

    def _drop_reversals(self, name: str) -> None:
        """What was never sent does not come back: it is so much less."""
        payout = self.payouts[name]
        reversals, payout.reversals = payout.reversals, []
        for amount in reversals:
            self._lessen(name, amount)

    def refund_session(
        self, actor: str, session: Session | None, key: str, amount: int | None
    ) -> Answer:
        self._staff(actor)
        if amount is not None and amount <= 0:
            raise RefusedError("invalid_argument")
        if session is None:
            raise RefusedError("session_not_found")
        s = session
        if (s.number, key) in self.admin_refunds:
            asked, given, credited = self.admin_refunds[s.number, key]
            if amount not in (asked, given):
                raise RefusedError("idempotency_conflict")
            return {"amount_cents": given, "to_credit_cents": credited}
        if not s.is_over:
            raise RefusedError("session_not_active")
        left = self.splits[s.number].left
        given = left if amount is None else amount
        if given > left or left == 0:
            raise RefusedError("refund_exceeds_payment")
        self._take_back(s, given, f"session_hold:{s.number}", None)
        credited = self._give_back(s, given)
        self.admin_refunds[s.number, key] = (amount, given, credited)
        if given == left:
            s.status = "refunded"
        return {"amount_cents": given, "to_credit_cents": credited}

    # payouts

    def blocked_by(self, payout: Payout) -> set[str]:
        found = set()
        if any(p.session == payout.session and p.is_disputed for p in self.payments.values()):
            found.add("dispute")
        if payout.session in self.reviews:
            found.add("review")
        if payout.user not in self.accounts:
            found.add("account")
        return found

    def set_stripe_account(self, actor: str, mechanic: str) -> Answer:
        self._system(actor)
        if mechanic not in MECHANICS:
            raise RefusedError("invalid_argument")
        self.accounts.add(mechanic)

    def submit_payouts(self, actor: str) -> Answer:
        self._system(actor)
        for name, one in sorted(self.payouts.items(), key=lambda item: item[1].due_at):
            if one.status == "pending" and one.due_at <= self.now and not self.blocked_by(one):
                one.status = "submitted"
                self.effects[name] = Effect(
                    name, "stripe.transfer", one.session, one.amount, due_by=self.now
                )

    def _payout_paid(self, name: str, transfer: str, amount: int | None = None) -> None:
        payout = self.payouts[name]
        amount = payout.amount if amount is None else amount
        if payout.transfer is not None or amount == 0:
            return
        payout.status, payout.transfer, payout.amount = "paid", transfer, amount
        lines = {self._payable(payout): -payout.amount, "stripe": payout.amount}
        self.move(payout.currency, lines)

    def _payout_reversed(self, payout: Payout, reversed_in_all: int) -> None:
        more = min(reversed_in_all, payout.amount) - payout.reversed
        if more > 0:
            payout.reversed += more
            if payout.reversed == payout.amount:
                payout.status = "reversed"
            self.move(payout.currency, {self._payable(payout): more, "stripe": -more})

    def reversal_done(self, payout: str, reversed_in_all: int) -> None:
        """What the worker was answered to the oldest reversal."""
        self.payouts[payout].reversals.pop(0)
        self._payout_reversed(self.payouts[payout], reversed_in_all)

    def _payable(self, payout: Payout) -> str:
        kind = "referral" if payout.kind == "referral" else "mechanic"
        return f"{kind}_payable:{payout.user}"

    def _hear_of_transfer(self, event: Event) -> str:
        name = event.about
        if name not in self.payouts:
            return "ignored"
        self._payout_paid(name, event.told["id"], event.told["amount"])
        if event.type == "transfer.reversed":
            self._payout_reversed(self.payouts[name], event.told["reversed"])
        return "processed"

    # the outbox

    def claimed(self, name: str, told: Mapping[str, Any]) -> None:
        """MON-18: which rows are claimed is told; that they could be is checked here."""
        row = self.effects[name]
        waits_for = [
            other.name
            for other in self.effects.values()
            if row.session is not None
            and (other.session, other.topic) == (row.session, row.topic)
            and other.status != "done"
        ]
        assert row.session is None or waits_for[0] == name, f"{name} before {waits_for}"
        if row.status == "leased":
            assert row.leased_until is not None
            assert row.leased_until <= self.now, f"{name} is leased to somebody else"
            row.is_ambiguous = True
        assert row.status in ("pending", "leased"), f"{name} is {row.status}"
        row.first_at = row.first_at or self.now
        row.attempts += 1
        row.status = "leased"
        must_look = row.is_ambiguous or row.first_at < self.now - ASKED_AGAIN_AFTER
        known = (row.amount, row.attempts, must_look)
        seen = (told["payload"]["amount"], told["attempts"], told["must_look_first"])
        assert seen == known, f"{name}: claimed {seen}, expected {known}"
        self.leases += 1
        row.lease = self.leases
        row.leased_until = told["leased_until"]

    def certainly_due(self) -> list[str]:
        """What nobody may leave unclaimed, whatever chance decided about the next try."""
        due = []
        waiting: set[tuple[int, str]] = set()
        for row in self.effects.values():
            if row.status == "done":
                continue
            if row.session is not None:
                if (row.session, row.topic) in waiting:
                    continue
                waiting.add((row.session, row.topic))
            at = row.leased_until if row.status == "leased" else row.due_by
            if row.status in ("pending", "leased") and at is not None and at <= self.now:
                due.append(row.name)
        return due

    def bury(self) -> None:
        """Whose last try ended without a word is dead."""
        for row in self.effects.values():
            if row.status == "leased" and row.attempts >= TRIES:
                assert row.leased_until is not None
                if row.leased_until <= self.now:
                    row.status, row.lease, row.is_ambiguous = "dead", None, True
                    self._answered(row)

    def complete_outbox(
        self, actor: str, row: str, lease: int, result: Mapping[str, Any]
    ) -> Answer:
        self._system(actor)
        effect = self.effects[row]
        if effect.lease != lease:
            return False
        effect.status, effect.lease, effect.is_ambiguous = "done", None, False
        if effect.topic == "stripe.transfer":
            self._payout_paid(row, result["id"], result.get("amount"))
            return True
        refund = self.refunds[row]
        refund.stripe_id = refund.stripe_id or result["id"]
        if result["status"] == "succeeded":
            self._refund_succeeded(refund)
        elif result["status"] == "failed":
            self._refund_failed(refund)
        return True

    def fail_outbox(self, actor: str, row: str, lease: int, is_ambiguous: bool) -> Answer:
        self._system(actor)
        effect = self.effects[row]
        if effect.lease != lease:
            return False
        effect.lease = None
        effect.status = "dead" if effect.attempts >= TRIES else "pending"
        effect.is_ambiguous = is_ambiguous
        effect.due_by = self.now + LONGEST_WAIT
        self._answered(effect)
        return True

    def _answered(self, row: Effect) -> None:
        """MON-14: what a payout is after an answer that is not its transfer."""
        if row.topic == "stripe.refund":
            p = self.payments[self.refunds[row.name].payment]
            if row.status == "dead" and not row.is_ambiguous and p.review is None:
                p.review = "refund_dead"
            return
        payout = self.payouts[row.name]
        if payout.status not in ("submitted", "needs_reconciliation"):
            return
        if row.is_ambiguous:
            payout.status = "needs_reconciliation"
        else:
            payout.status = "failed" if row.status == "dead" else "submitted"
            if row.status == "dead":
                self._drop_reversals(row.name)

    def requeue_outbox(self, actor: str, row: str) -> Answer:
        self._staff(actor)
        effect = self.effects[row]
        if effect.status != "dead":
            raise RefusedError("invalid_argument")
        self._revive(effect)
        payout = self.payouts.get(row)
        if payout is not None and payout.status == "failed":
            payout.status = "submitted"
        elif payout is not None and payout.status == "submitted":
            payout.status = "needs_reconciliation"

    def _revive(self, effect: Effect) -> None:
        effect.status, effect.attempts = "pending", 0
        effect.is_ambiguous, effect.due_by = True, self.now

    def _settle_effect(self, name: str) -> None:
        if name in self.effects and self.effects[name].status != "done":
            self.effects[name].status = "done"
            self.effects[name].lease = None

    # the ways out

    def resolve_payout(self, actor: str, payout: str, action: str, transfer: str | None) -> Answer:
        self._staff(actor)
        one = self.payouts[payout]
        is_still_owed = one.status == "cancelled" and one.amount > 0 and action != "cancel"
        if one.status not in ("needs_reconciliation", "failed") and not is_still_owed:
            raise RefusedError("invalid_argument")
        if action == "retry":
            if self.blocked_by(one):
                raise RefusedError("invalid_argument")
            effect = self.effects[payout]
            if effect.status in ("dead", "done"):
                self._revive(effect)
            one.status = "submitted"
            return None
        if action == "paid":
            assert transfer is not None
            self._payout_paid(payout, transfer)
        else:
            one.status = "cancelled"
            self._drop_reversals(payout)
        self._settle_effect(payout)
        return None

    def resolve_review(self, actor: str, session: Session | None) -> Answer:
        self._staff(actor)
        if session is None:
            raise RefusedError("session_not_found")
        self.reviews.discard(session.number)

    def resolve_payment(self, actor: str, payment: str, action: str) -> Answer:
        self._staff(actor)
        p = self.payments[payment]
        if p.review is None:
            raise RefusedError("invalid_argument")
        self._drop_dead_refunds(p)
        amount = self.unapplied(p)
        if action == "refund" and amount > p.refundable:
            raise RefusedError("refund_exceeds_payment")
        if action == "apply":
            if p.applied_to is not None or amount == 0:
                raise RefusedError("invalid_argument")
            asked = self._asked(p.purpose, p.order)
            if asked.status in ("in_review", "pending", "failed", "replaced"):
                asked.price, asked.currency = p.amount, p.currency
            if asked.status == "in_review":
                asked.status = "open"
            p.review = None
            if not self._apply(p):
                raise RefusedError("invalid_argument")
            return None
        if action == "refund":
            if amount:
                self._ask_refund(p, amount, p.session, {f"unapplied:{p.name}": -amount})
        else:
            self._use(p, f"customer_credit:{p.customer}")
            self.became_credit[p.name] += amount
        p.review = None
        if action == "refund":
            p.applied_to = p.applied_to or "refund"
        elif not p.is_used:
            # Also of one whose refund came back.
            p.applied_to = "credit"
        self._close_order(p, "failed" if action == "refund" else "to_credit")
        return None

    def _drop_dead_refunds(self, p: Payment) -> None:
        """What was refused for good is unapplied money again; what may have been made is not."""
        for name, refund in list(self.refunds.items()):
            effect = self.effects.get(name)
            if effect is None or refund.payment != p.name or effect.status != "dead":
                continue
            if refund.status == "requested":
                if effect.is_ambiguous:
                    raise RefusedError("invalid_argument")
                self._settle_effect(name)
                self._refund_failed(refund)

    def _close_order(self, p: Payment, status: str) -> None:
        asked = self._asked(p.purpose, p.order)
        if isinstance(asked, Intent) and asked.status == "in_review":
            asked.status = status
        elif isinstance(asked, Extension) and asked.status == "pending":
            asked.status = "failed"

    def refund_payment(self, actor: str, payment: str, key: str, amount: int | None) -> Answer:
        self._staff(actor)
        if amount is not None and amount <= 0:
            raise RefusedError("invalid_argument")
        p = self.payments[payment]
        if (payment, key) in self.payment_refunds:
            refund = self.refunds[self.payment_refunds[payment, key]]
            if amount not in (None, refund.amount):
                raise RefusedError("idempotency_conflict")
            return {"amount_cents": refund.amount}
        if p.is_used:
            raise RefusedError("invalid_argument")
        before = self.unapplied(p)
        credit = self.credit(p.customer, p.currency) if p.applied_to == "credit" else 0
        most = min(before + credit, p.refundable)
        given = most if amount is None else amount
        if given == 0 or given > most:
            raise RefusedError("refund_exceeds_payment")
        first = min(before, given)
        lines = {f"unapplied:{p.name}": -first, f"customer_credit:{p.customer}": first - given}
        if p.session is not None:
            self.given[p.session] -= given - first
        self.payment_refunds[payment, key] = self._ask_refund(p, given, p.session, lines)
        p.applied_to = p.applied_to or "refund"
        if before <= given:
            p.review = None
            self._close_order(p, "failed")
        return {"amount_cents": given}

    # quotes

    def escalate_quote(self, actor: str, session: Session | None, amount: int) -> Answer:
        s = self._own(actor, session)
        if s.role_of(actor) != "mechanic":
            raise RefusedError("role_required")
        if s.status != "completed":
            raise RefusedError("session_not_completed")
        states = {one.status for one in self.quotes if one.session == s.number}
        if "approved" in states:
            raise RefusedError("quote_already_decided")
        if "escalated" in states:
            raise RefusedError("quote_already_open")
        self.quotes.append(Quote(s.number, actor, amount))
        return None

    def decide_quote(self, actor: str, quote: int, is_approved: bool) -> Answer:
        one = self.quotes[quote - 1]
        if self.sessions[one.session - 1].customer != actor:
            raise RefusedError("quote_not_found")
        wanted = "approved" if is_approved else "declined"
        if one.status == wanted:
            return None
        if one.status != "escalated":
            raise RefusedError("quote_already_decided")
        one.status = wanted
        if is_approved:
            rules = self.rules
            bonus = one.amount * rules.escalated_quote_bonus_bps // 10000
            one.bonus = min(bonus, rules.max_quote_bonus_cents)
            lines = {"platform_revenue": -one.bonus, f"mechanic_payable:{one.mechanic}": one.bonus}
            self.move(self.currencies[one.session], lines)
        return None

    def confirm_quote_bonus(self, actor: str, quote: int) -> Answer:
        self._staff(actor)
        one = self.quotes[quote - 1]
        if one.status != "approved":
            raise RefusedError("invalid_argument")
        if not one.is_confirmed:
            one.is_confirmed = True
            if one.bonus:
                self._promise("quote_bonus", quote, one.mechanic, one.session, one.bonus, self.now)
        return None
