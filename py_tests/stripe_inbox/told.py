"""What Stripe tells: one file per type of event, in Stripe's own shapes, with its blanks filled in.

A blank is `{{name}}`; one that is all of a string takes the value as it is, of whatever type.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import stripe

from support.world import Connection, call_on

Event = dict[str, Any]

FOLDER = Path(__file__).parent / "events"
KINDS = sorted(path.stem for path in FOLDER.glob("*.json"))
SECRET = "whsec_of_nobody"

_BLANK = re.compile(r"\{\{([a-z_]+)\}\}")
_CREATED = 1893499200
_USUAL = {
    "livemode": False,
    "currency": "usd",
    "metadata": {},
    "account": "acct_1",
    "idempotency_key": None,
    "payment_status": "paid",
    "amount_reversed": 0,
    "balance_transactions": [],
}


@cache
def template(kind: str) -> str:
    return (FOLDER / f"{kind}.json").read_text()


def told(kind: str, event: str, **values: object) -> Event:
    """An event of this type; a blank that nobody fills is an error."""
    created = values.setdefault("created", _CREATED)
    assert isinstance(created, int)
    known = {**_USUAL, "expires_at": created + 86400, "due_by": created + 7 * 86400, **values}
    filled = _fill(json.loads(template(kind)), known | {"event": event})
    assert isinstance(filled, dict)
    return filled


def _fill(value: object, known: dict[str, object]) -> object:
    if isinstance(value, dict):
        return {key: _fill(part, known) for key, part in value.items()}
    if isinstance(value, list):
        return [_fill(part, known) for part in value]
    if not isinstance(value, str):
        return value
    whole = _BLANK.fullmatch(value)
    if whole:
        return known[whole[1]]
    return _BLANK.sub(lambda blank: str(known[blank[1]]), value)


def metadata(purpose: str, purpose_id: object) -> dict[str, str]:
    """What the edge function puts on a Checkout Session and on its payment intent."""
    key = "intent_id" if purpose == "session" else "extension_id"
    return {"mode": purpose, key: str(purpose_id)}


def balance_transaction(source: str, number: int, amount: int, fee: int) -> dict[str, object]:
    """What a dispute did to the balance at Stripe."""
    kind = "Chargeback withdrawal" if amount < 0 else "Chargeback reversal"
    fees = [
        {
            "amount": fee,
            "application": None,
            "currency": "usd",
            "description": "Dispute fee",
            "type": "stripe_fee",
        }
    ]
    return {
        "id": f"txn_{number}_of_{source}",
        "object": "balance_transaction",
        "amount": amount,
        "available_on": _CREATED,
        "balance_type": "payments",
        "created": _CREATED,
        "currency": "usd",
        "description": kind,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": fees if fee else [],
        "net": amount - fee,
        "reporting_category": "dispute" if amount < 0 else "dispute_reversal",
        "source": source,
        "status": "available",
        "type": "adjustment",
    }


def signed(event: Event, *, secret: str = SECRET, at: int | None = None) -> tuple[str, str]:
    """The body of a delivery and its `Stripe-Signature`."""
    body = json.dumps(event)
    header = stripe.WebhookSignature.generate_signature_header(body, secret, timestamp=at)
    return body, header


def ingest(connection: Connection, event: Event) -> dict[str, Any]:
    answer = call_on(connection, "ingest_stripe_event", p_event=event)[0]["ingest_stripe_event"]
    assert isinstance(answer, dict)
    return answer
