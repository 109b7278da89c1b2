"""Where the money of the database and the model's must agree, to the cent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from properties.laws import must, must_equal
from properties.money_model import Extension, Intent, Money
from properties.player import moment

Row = Mapping[str, Any]


def must_agree(got: Mapping[Any, object], expected: Mapping[Any, object], what: str) -> None:
    """Two dictionaries are equal; only what differs is shown."""
    names = [name for name in {**got, **expected} if got.get(name) != expected.get(name)]
    must_equal(
        {name: got.get(name) for name in names}, {name: expected.get(name) for name in names}, what
    )


def money_agrees(model: Money, seen: Mapping[str, Any], name_of: Mapping[str, str]) -> None:
    """MON-01 to MON-03, MON-12, MON-13, MON-15: everything, after every step."""
    must_equal(seen["violations"], [], "violated invariants")
    must_equal(seen["failed"], [], "events that failed")
    must_agree(seen["balances"], model.balances(), "balances")

    def named(id_: str | None) -> str | None:
        return None if id_ is None else name_of[id_]

    sessions_agree(model, seen["sessions"], named)
    orders_agree("intent", seen["intents"], model.intents)
    orders_agree("extension", seen["extensions"], model.extensions)
    payments_agree(model, seen["payments"], named)
    must_agree(
        {row["name"]: (row["amount_cents"], row["status"]) for row in seen["refunds"]},
        {name: (one.amount, one.status) for name, one in model.refunds.items()},
        "refunds",
    )
    payouts_agree(model, seen["payouts"], named)
    earnings_agree(model, seen["earnings"], named)
    must_equal({int(name_of[id_]) for id_ in seen["reviews"]}, model.reviews, "sessions in review")
    outbox_agrees(model, seen["outbox"], seen["payouts"])


def sessions_agree(
    model: Money, rows: list[Row], named: Callable[[str | None], str | None]
) -> None:
    must_equal(len(rows), len(model.sessions), "how many sessions there are")
    for row, s in zip(rows, model.sessions, strict=True):
        what = f"session {s.number}"
        must_equal(named(row["customer_user_id"]), s.customer, f"{what}: customer")
        must_equal(named(row["mechanic_id"]), s.mechanic, f"{what}: mechanic")
        must_equal(row["duration_minutes"], s.minutes, f"{what}: minutes")
        must_equal(row["currency"], model.currencies[s.number], f"{what}: currency")
        for column in ("status", "end_reason"):
            must_equal(row[column], getattr(s, column), f"{what}: {column}")
        for column in ("started_at", "expires_at", "ended_at"):
            must_equal(moment(row[column]), getattr(s, column), f"{what}: {column}")


def orders_agree(kind: str, rows: list[Row], orders: list[Intent] | list[Extension]) -> None:
    must_equal(
        [(row["price_cents"], row["currency"], row["status"]) for row in rows],
        [(one.price, one.currency, one.status) for one in orders],
        f"every {kind}",
    )


def payments_agree(
    model: Money, rows: list[Row], named: Callable[[str | None], str | None]
) -> None:
    seen = {
        named(row["id"]): {
            "amount": row["amount_cents"],
            "is_received": row["received_at"] is not None,
            "refunded": row["refunded_cents"],
            "unmatched": row["unmatched_refund_cents"],
            "applied_to": row["applied_to"],
            "review": row["review"],
        }
        for row in rows
    }
    known = {
        name: {field: getattr(one, field) for field in next(iter(seen.values()), {})}
        for name, one in model.payments.items()
    }
    must_agree(seen, known, "payments")
    for row in rows:
        must(row["refunded_cents"] <= row["amount_cents"], "more went back than was paid")


def payouts_agree(model: Money, rows: list[Row], named: Callable[[str | None], str | None]) -> None:
    must_equal({named(row["id"]) for row in rows}, set(model.payouts), "which payouts there are")
    for row in rows:
        name = named(row["id"])
        assert name is not None
        one = model.payouts[name]
        known = (one.user, one.amount, one.currency, one.transfer, one.reversed, one.due_at)
        seen = (
            named(row["user_id"]),
            row["amount_cents"],
            row["currency"],
            row["stripe_transfer_id"],
            row["reversed_cents"],
            moment(row["due_at"]),
        )
        must_equal(seen, known, f"payout {name}")
        reasons = model.blocked_by(one) if one.status == "pending" else set()
        must_equal(row["status"], "blocked" if reasons else one.status, f"payout {name}: status")
        must(
            (row["blocked_by"] in reasons) if reasons else row["blocked_by"] is None,
            f"payout {name}: {row['blocked_by']}",
        )


def earnings_agree(
    model: Money, rows: list[Row], named: Callable[[str | None], str | None]
) -> None:
    must_agree(
        {
            named(row["session_id"]): (
                named(row["mechanic_id"]),
                row["gross_cents"],
                row["share_cents"],
                row["platform_cents"],
                row["referral_cents"],
            )
            for row in rows
        },
        {
            str(s.number): (s.mechanic, split.held, split.share, split.platform, split.referral)
            for s in model.sessions
            if s.end_reason == "completed"
            for split in [model.splits[s.number]]
        },
        "earnings",
    )


def outbox_agrees(model: Money, rows: list[Row], payouts: list[Row]) -> None:
    moving = [row for row in rows if row["topic"] in ("stripe.refund", "stripe.transfer")]
    must_agree(
        {row["name"]: (row["status"], row["payload"]["amount"]) for row in moving},
        {name: (one.status, one.amount) for name, one in model.effects.items()},
        "refunds and transfers in the outbox",
    )
    asked: Counter[str] = Counter()
    for row in rows:
        # Of a transfer that was refused nothing comes back: the payout is so much less already.
        if row["topic"] == "stripe.transfer_reversal" and row["resolved"] != "never sent":
            asked[row["payload"]["payout_id"]] += row["payload"]["amount"]
    for payout in payouts:
        must(
            asked[payout["id"]] <= payout["amount_cents"],
            f"{asked[payout['id']]} cents are to be reversed of {payout['amount_cents']}",
        )
