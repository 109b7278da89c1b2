"""What the books must say, from the books of the fake Stripe and what customers asked for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from uuid import UUID

from stripe_inbox.fake import Checkout
from stripe_inbox.lives import Order, Run
from support.world import Row

SHARE_BPS = 7000
MINUTES = {"chat10": 30, "video15": 45}
DISPUTES = {"warning_closed": "won", "won": "won", "lost": "lost"}


def differences(run: Run) -> list[str]:
    """Everything that is not as it must be, once all has come to rest."""
    return [f"{where}: {what}" for where, what in Oracle(run).differences()]


class Oracle:
    def __init__(self, run: Run) -> None:
        self.run = run
        self.world = run.world
        self.stripe = run.stripe
        self.orders = {order.id: order for life in run.lives for order in life.orders}
        self.payments: dict[str, Row] = {
            row["payment_intent_id"]: row
            for row in self.world.rows("select * from private.payments")
            if row["payment_intent_id"]
        }
        self.sessions: dict[UUID, Row] = {
            row["id"]: row for row in self.world.rows("select * from public.sessions")
        }
        self.balances: dict[tuple[str, str], int] = {
            (row["name"], row["currency"]): row["cents"]
            for row in self.world.rows(
                "select a.name, a.currency, sum(e.amount_cents)::bigint as cents"
                " from private.ledger_accounts a"
                " join private.ledger_entries e on e.account_id = a.id group by a.id"
            )
        }
        self.charges = [one for one in self.stripe.checkouts if one.status == "paid"]

    def differences(self) -> Iterator[tuple[str, str]]:
        for row in self.world.rows("select * from public.ledger_invariants()"):
            yield "invariant", str(row)
        yield from self._cash()
        for charge in self.charges:
            yield from self._charge(charge)
        yield from self._refunds()
        yield from self._orders()
        yield from self._sessions()
        yield from self._customers()
        yield from self._payouts()

    def balance(self, account: str, currency: str = "usd") -> int:
        return self.balances.get((account, currency), 0)

    def _cash(self) -> Iterator[tuple[str, str]]:
        """MON-03: what lies at Stripe is what Stripe says lies there."""
        for currency in ("usd", "eur"):
            ours, theirs = -self.balance("stripe", currency), self.stripe.balance[currency]
            if ours != theirs:
                yield f"cash in {currency}", f"{ours}, at Stripe {theirs}"
        for account in ("refund_clearing",):
            for currency in ("usd", "eur"):
                if self.balance(account, currency):
                    yield account, f"{self.balance(account, currency)} {currency} left"

    def _charge(self, charge: Checkout) -> Iterator[tuple[str, str]]:
        """MON-06, MON-07, MON-08: each payment as Stripe has it, received and given back once."""
        payment = self.payments.get(charge.payment_intent)
        if payment is None:
            yield charge.payment_intent, "is not known"
            return
        expected = {
            "amount_cents": charge.amount,
            "currency": charge.currency,
            "customer_user_id": charge.customer,
            "refunded_cents": charge.refunded,
            "charge_id": charge.charge,
        }
        for name, value in expected.items():
            if payment[name] != value:
                yield charge.payment_intent, f"{name} is {payment[name]}, at Stripe {value}"
        if payment["received_at"] is None or payment["applied_to"] is None:
            yield charge.payment_intent, "was received and is applied to nothing"
        for account in ("unapplied", "disputes"):
            left = self.balance(f"{account}:{payment['id']}", charge.currency)
            if left:
                yield charge.payment_intent, f"{left} is left in {account}"

    def _refunds(self) -> Iterator[tuple[str, str]]:
        """MON-08, MON-18: every refund and dispute once, and no refund asked for twice."""
        ours = {
            row["stripe_refund_id"]: row for row in self.world.rows("select * from private.refunds")
        }
        for refund in self.stripe.refunds:
            row = ours.get(refund.id)
            if row is None:
                yield refund.id, "is not known"
            elif (row["status"], row["amount_cents"]) != (refund.status, refund.amount):
                yield refund.id, f"{row['status']} {row['amount_cents']}, at Stripe {refund}"
        keys = Counter(one.outbox_key for one in self.stripe.refunds if one.outbox_key)
        for key, times in keys.items():
            if times > 1:
                yield str(key), f"refunded {times} times"
        known = {row["id"]: row for row in self.world.rows("select * from private.disputes")}
        for dispute in self.stripe.disputes:
            row = known.get(dispute.id, {"status": "unknown", "amount_cents": None})
            expected = (DISPUTES[dispute.status], dispute.amount)
            if (row["status"], row["amount_cents"]) != expected:
                yield dispute.id, f"{row['status']} {row['amount_cents']}, not {expected}"
        for payment in self.payments.values():
            if payment["unmatched_refund_cents"]:
                yield str(payment["payment_intent_id"]), "has refunds that nobody named"

    def _applied(self, order: Order, to: str) -> list[Row]:
        return [
            row
            for row in self.payments.values()
            if row["purpose_id"] == order.id and row["applied_to"] == to
        ]

    def _orders(self) -> Iterator[tuple[str, str]]:
        """MON-07, MON-10: made once, of the money that was asked for and of no other."""
        intents = {
            row["id"]: row for row in self.world.rows("select * from public.checkout_intents")
        }
        extensions = {
            row["id"]: row for row in self.world.rows("select * from public.session_extensions")
        }
        for order in self.orders.values():
            applied = self._applied(order, order.purpose)
            for row in applied:
                if (row["amount_cents"], row["currency"]) != (order.price, order.currency):
                    yield f"{order.purpose} {order.id}", f"made of {row['amount_cents']}"
            right = [
                one
                for one in order.checkouts
                if one.status == "paid"
                and (one.amount, one.currency) == (order.price, order.currency)
            ]
            if order.purpose == "session":
                intent = intents[order.id]
                made = [one for one in applied if one["session_id"] == intent["session_id"]]
                is_made = intent["status"] == "paid"
                if len(applied) != len(made) or len(made) != is_made:
                    yield f"intent {order.id}", f"{intent['status']} with {len(applied)} payments"
            else:
                is_made = extensions[order.id]["status"] == "applied"
                if len(applied) != is_made:
                    yield f"extension {order.id}", f"{is_made} with {len(applied)} payments"
                if len(right) == 0 and extensions[order.id]["status"] in {"applied", "refunded"}:
                    yield f"extension {order.id}", "was never paid"
        paid = [row for row in self.sessions.values() if row["funding"] == "paid"]
        if len(paid) != sum(row["status"] == "paid" for row in intents.values()):
            yield "sessions", f"{len(paid)} paid ones"

    def _sessions(self) -> Iterator[tuple[str, str]]:
        """MON-10: as long as what was paid for, and told so once."""
        for session, row in self.sessions.items():
            extensions = [
                self.orders[payment["purpose_id"]]
                for payment in self.payments.values()
                if payment["session_id"] == session and payment["applied_to"] == "extension"
            ]
            minutes = MINUTES[row["plan"]] + sum(one.minutes for one in extensions)
            told = self.world.event_types(session).count("extended")
            if (row["duration_minutes"], told) != (minutes, len(extensions)):
                yield f"session {session}", f"{row['duration_minutes']} minutes, not {minutes}"
            if self.balance(f"session_hold:{session}"):
                yield f"session {session}", "still holds money"

    def _kept(self) -> dict[UUID, Counter[str]]:
        """What mechanic and platform have of each session, before it is paid out."""
        kept: dict[UUID, Counter[str]] = defaultdict(Counter)
        for row in self.world.rows(
            "select t.session_id, split_part(a.name, ':', 1) as kind,"
            " sum(e.amount_cents)::bigint as cents"
            " from private.ledger_transfers t join private.ledger_entries e on e.transfer_id = t.id"
            " join private.ledger_accounts a on a.id = e.account_id"
            " where t.session_id is not null and t.key !~ '^(payout|reversed):' group by 1, 2"
        ):
            kept[row["session_id"]][row["kind"]] += row["cents"]
        return kept

    def _customers(self) -> Iterator[tuple[str, str]]:
        """Nobody paid more than his sessions cost; what is left of it is his credit."""
        kept = self._kept()
        credit = {
            row["session_id"]: row["cents"]
            for row in self.world.rows(
                "select t.session_id, sum(e.amount_cents)::bigint as cents"
                " from private.ledger_transfers t"
                " join private.ledger_entries e on e.transfer_id = t.id"
                " join private.ledger_accounts a on a.id = e.account_id"
                " where t.session_id is not null and a.name like 'customer_credit:%%'"
                " and a.currency = 'usd' group by 1"
            )
        }
        for session, row in self.sessions.items():
            parts = kept[session]
            earned = parts["mechanic_payable"] + parts["platform_revenue"]
            paid = [
                charge
                for charge in self.charges
                if (payment := self.payments.get(charge.payment_intent))
                and payment["session_id"] == session
                and payment["currency"] == "usd"
            ]
            left = sum(charge.amount - charge.refunded - charge.lost for charge in paid)
            if earned != left - credit.get(session, 0):
                yield f"session {session}", f"kept {dict(parts)} of {left}"
            # What became credit while it was disputed, and was spent, is gone when that is lost.
            lost = sum(charge.lost for charge in paid)
            if earned < -lost or (row["end_reason"] != "completed" and earned > 0):
                yield f"session {session}", f"{row['end_reason']} kept {earned}"
            is_odd = any(
                one.disputes
                or any(not refund.is_alive or refund.outbox_key is None for refund in one.refunds)
                or self.payments[one.payment_intent]["applied_to"] == "credit"
                for one in paid
            )
            if credit.get(session) and not is_odd:
                yield f"session {session}", "gave credit where a card could be refunded"
        for life in self.run.lives:
            yield from self._customer(life.customer, kept)

    def _customer(
        self, customer: UUID, kept: dict[UUID, Counter[str]]
    ) -> Iterator[tuple[str, str]]:
        for currency in ("usd", "eur"):
            paid = sum(
                one.amount - one.refunded - one.lost
                for one in self.charges
                if one.customer == customer and one.currency == currency
            )
            credit = self.balance(f"customer_credit:{customer}", currency)
            earned = sum(
                kept[session]["mechanic_payable"] + kept[session]["platform_revenue"]
                for session, row in self.sessions.items()
                if row["customer_user_id"] == customer and currency == "usd"
            )
            if paid != credit + earned:
                yield f"customer {customer}", f"paid {paid}: credit {credit}, sessions {earned}"

    def _payouts(self) -> Iterator[tuple[str, str]]:
        """MON-14, MON-18: every payout is one transfer, and no transfer is anything else."""
        payouts = {
            f"payout:{row['id']}": row for row in self.world.rows("select * from public.payouts")
        }
        keys = Counter(one.outbox_key for one in self.stripe.transfers)
        for key, times in keys.items():
            if times > 1:
                yield key, f"paid {times} times"
        for one in self.stripe.transfers:
            row = payouts[one.outbox_key]
            expected = (one.id, one.amount, one.reversed)
            known = (row["stripe_transfer_id"], row["amount_cents"], row["reversed_cents"])
            if known != expected:
                yield one.outbox_key, f"{known}, at Stripe {expected}"
        for key, row in payouts.items():
            if (row["status"] in {"paid", "reversed"}) != (key in keys):
                yield key, f"{row['status']}, at Stripe {keys[key]}"
        kept = self._kept()
        for life in self.run.lives:
            earned = sum(
                kept[session]["mechanic_payable"]
                for session, row in self.sessions.items()
                if row["mechanic_id"] == life.mechanic
            )
            sent = sum(
                one.amount - one.reversed
                for one in self.stripe.transfers
                if one.destination == life.account
            )
            owed = self.balance(f"mechanic_payable:{life.mechanic}")
            if owed != earned - sent:
                yield f"mechanic {life.mechanic}", f"owed {owed}, earned {earned}, sent {sent}"
            if owed:
                yield f"mechanic {life.mechanic}", f"{owed} is owed and nothing will change that"
        yield from self._shares(kept)

    def _shares(self, kept: dict[UUID, Counter[str]]) -> Iterator[tuple[str, str]]:
        """MON-12, MON-15: the mechanic's part, rounded down once at the end and once since."""
        for row in self.world.rows("select * from private.settlements"):
            session, held = row["session_id"], row["held_cents"]
            completed = self.sessions[session]["end_reason"] == "completed"
            share = held * SHARE_BPS // 10000 if completed else 0
            later = row["refunded_later_cents"]
            expected = share - (share * later // held if held else 0)
            mine = kept[session]["mechanic_payable"]
            if any(
                one.disputes
                for one in self.charges
                if (payment := self.payments.get(one.payment_intent))
                and payment["session_id"] == session
            ):
                # A lost dispute is divided by a rule of its own, cent by cent.
                is_right = abs(mine - expected) <= 2
            else:
                is_right = mine == expected
            if not is_right:
                yield f"session {session}", f"mechanic has {mine}, not {expected}"
