"""Stripe as the demo and the tests need it: what it keeps, what it refuses, what it tells.

Objects and events have Stripe's shapes, and ids that cannot be taken for real ones. `stripe_server`
speaks its HTTP. Nothing leaves the machine.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taximeter.people import Row

API_VERSION = "2025-09-30.clover"
CHECKOUT_LIVES_SECONDS = (30 * 60, 24 * 3600)
LINK_LIVES_SECONDS = 300
MAX_PAGE = 100


class StripeRefusalError(Exception):
    """What Stripe does not do, and its error object. `param` names what was not even valid."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        error = {"type": kind, "message": message, "code": code, "param": param}
        self.body: Row = {"error": {k: v for k, v in error.items() if v is not None}}


class PretendStripe:
    """One account at Stripe. Every event it ever told is in `told`.

    `balance` is what transfers may take, None without a limit; `refund_status` is what the next
    refunds become.
    """

    def __init__(self, now: Callable[[], int] = lambda: int(time.time())) -> None:
        self._now = now
        self._numbers = count(1)
        self._kept: dict[str, Row] = {}
        # Of the payment intent that a Checkout will have; Stripe does not show it before.
        self._intent_metadata: dict[str, dict[str, str]] = {}
        self.told: list[Row] = []
        self.balance: int | None = None
        self.refund_status = "succeeded"

    def objects(self, kind: str) -> list[Row]:
        """Everything of a kind, the newest first."""
        return [row for row in reversed(self._kept.values()) if row["object"] == kind]

    def get(self, kind: str, name: str) -> Row:
        row = self._kept.get(name)
        if row is None or row["object"] != kind:
            raise StripeRefusalError(
                404, f"No such {kind}: '{name}'", code="resource_missing", param="id"
            )
        return row

    def page(self, kind: str, params: Mapping[str, Any], *filters: str) -> Row:
        """A page of a list, as every list of Stripe's is asked for."""
        limit = _integer(params, "limit", default=10)
        if not 1 <= limit <= MAX_PAGE:
            raise StripeRefusalError(400, f"Invalid limit: {limit}", param="limit")
        wanted = {name: params[name] for name in filters if name in params}
        found = [r for r in self.objects(kind) if all(r[n] == v for n, v in wanted.items())]
        if "starting_after" in params:
            names = [row["id"] for row in found]
            found = found[names.index(params["starting_after"]) + 1 :]
        return {"object": "list", "data": found[:limit], "has_more": len(found) > limit}

    # Accounts

    def create_account(self, params: Mapping[str, Any]) -> Row:
        return self._keep(
            "acct",
            "account",
            type=params.get("type", "standard"),
            email=params.get("email"),
            metadata=dict(params.get("metadata", {})),
            charges_enabled=False,
            payouts_enabled=False,
            details_submitted=False,
        )

    def link_account(self, params: Mapping[str, Any]) -> Row:
        account = self.get("account", _text(params, "account"))
        for name in ("refresh_url", "return_url", "type"):
            _text(params, name)
        return {
            "object": "account_link",
            "created": self._now(),
            "expires_at": self._now() + LINK_LIVES_SECONDS,
            "url": f"https://connect.stripe.com/setup/e/{account['id']}/{next(self._numbers)}",
        }

    # Checkout

    def create_checkout(self, params: Mapping[str, Any]) -> Row:
        """A Checkout in mode payment, of lines with a price of their own."""
        if params.get("mode") != "payment":
            raise StripeRefusalError(400, "Only mode payment is played.", param="mode")
        lines = params.get("line_items") or []
        if not lines:
            raise StripeRefusalError(400, "line_items is required.", param="line_items")
        prices = [(line["price_data"], _integer(line, "quantity", default=1)) for line in lines]
        currencies = {_text(price, "currency") for price, _ in prices}
        if len(currencies) != 1:
            raise StripeRefusalError(400, "All lines must be in one currency.", param="line_items")
        earliest, latest = CHECKOUT_LIVES_SECONDS
        expires_at = _integer(params, "expires_at", default=self._now() + latest)
        if not earliest <= expires_at - self._now() <= latest:
            raise StripeRefusalError(
                400, "expires_at must be 30 minutes to 24 hours from now.", param="expires_at"
            )
        checkout = self._keep(
            "cs_test",
            "checkout.session",
            mode="payment",
            status="open",
            payment_status="unpaid",
            payment_intent=None,
            amount_total=sum(_integer(price, "unit_amount") * times for price, times in prices),
            currency=currencies.pop(),
            client_reference_id=params.get("client_reference_id"),
            customer_email=params.get("customer_email"),
            metadata=dict(params.get("metadata", {})),
            expires_at=expires_at,
            success_url=_text(params, "success_url"),
            cancel_url=params.get("cancel_url"),
        )
        intent_data = params.get("payment_intent_data", {})
        self._intent_metadata[checkout["id"]] = dict(intent_data.get("metadata", {}))
        checkout["url"] = f"https://checkout.stripe.com/c/pay/{checkout['id']}"
        return checkout

    def open_checkout(self, cents: int, purpose: str, purpose_id: str) -> Row:
        """The Checkout that the function create-checkout asks for."""
        key = "intent_id" if purpose == "session" else "extension_id"
        metadata = {"mode": purpose, key: purpose_id}
        return self.create_checkout(
            {
                "mode": "payment",
                "line_items": [{"price_data": {"currency": "usd", "unit_amount": cents}}],
                "success_url": "https://example.com/paid",
                "metadata": metadata,
                "payment_intent_data": {"metadata": metadata},
            }
        )

    def expire_checkout(self, name: str) -> Row:
        checkout = self.get("checkout.session", name)
        if checkout["status"] != "open":
            raise StripeRefusalError(
                400,
                'Only Checkout Sessions with a status in ["open"] can be expired. '
                f"This Checkout Session has a status of `{checkout['status']}`.",
            )
        checkout.update(status="expired", url=None)
        self._tell("checkout.session.expired", checkout)
        return checkout

    def pay(self, name: str) -> list[Row]:
        """Somebody pays a Checkout; both events that prove it, as Stripe sends both."""
        checkout = self.get("checkout.session", name)
        if checkout["status"] != "open":
            raise StripeRefusalError(400, f"The Checkout is {checkout['status']}.")
        cents, currency = checkout["amount_total"], checkout["currency"]
        metadata = self._intent_metadata[name]
        charge = self._keep(
            "ch",
            "charge",
            amount=cents,
            amount_refunded=0,
            currency=currency,
            status="succeeded",
            refunded=False,
            metadata=metadata,
        )
        intent = self._keep(
            "pi",
            "payment_intent",
            amount=cents,
            amount_received=cents,
            currency=currency,
            status="succeeded",
            latest_charge=charge["id"],
            metadata=metadata,
        )
        charge["payment_intent"] = intent["id"]
        checkout.update(
            status="complete", payment_status="paid", payment_intent=intent["id"], url=None
        )
        return [
            self._tell("checkout.session.completed", checkout),
            self._tell("payment_intent.succeeded", intent),
        ]

    # Money that goes out

    def create_transfer(self, params: Mapping[str, Any]) -> Row:
        amount, destination = _amount(params), _text(params, "destination")
        if not destination.startswith("acct_"):
            raise StripeRefusalError(
                400,
                f"No such destination: '{destination}'",
                code="resource_missing",
                param="destination",
            )
        if self.balance is not None:
            if self.balance < amount:
                raise StripeRefusalError(
                    400,
                    "You have insufficient available funds in your Stripe account.",
                    code="balance_insufficient",
                )
            self.balance -= amount
        transfer = self._keep(
            "tr",
            "transfer",
            amount=amount,
            amount_reversed=0,
            reversed=False,
            currency=_text(params, "currency"),
            destination=destination,
            transfer_group=params.get("transfer_group"),
            metadata=dict(params.get("metadata", {})),
        )
        self._tell("transfer.created", transfer)
        return transfer

    def create_reversal(self, name: str, params: Mapping[str, Any]) -> Row:
        transfer = self.get("transfer", name)
        left = transfer["amount"] - transfer["amount_reversed"]
        amount = _amount(params, default=left)
        if amount > left:
            raise StripeRefusalError(
                400, f"Reversal amount ({amount}) is greater than what is left ({left})."
            )
        transfer["amount_reversed"] += amount
        transfer["reversed"] = amount == left
        reversal = self._keep(
            "trr",
            "transfer_reversal",
            amount=amount,
            currency=transfer["currency"],
            transfer=transfer["id"],
            metadata=dict(params.get("metadata", {})),
        )
        self._tell("transfer.reversed", transfer)
        return reversal

    def create_refund(self, params: Mapping[str, Any]) -> Row:
        intent = self.get("payment_intent", _text(params, "payment_intent"))
        charge = self.get("charge", intent["latest_charge"])
        left = charge["amount"] - charge["amount_refunded"]
        amount = _amount(params, default=left)
        if left == 0:
            raise StripeRefusalError(
                400, "The charge has already been refunded.", code="charge_already_refunded"
            )
        if amount > left:
            raise StripeRefusalError(
                400, f"Refund amount ({amount}) is greater than what is left ({left})."
            )
        refund = self._keep(
            "re",
            "refund",
            amount=amount,
            currency=charge["currency"],
            payment_intent=intent["id"],
            charge=charge["id"],
            status=self.refund_status,
            metadata=dict(params.get("metadata", {})),
        )
        self._tell("refund.created", refund)
        if self.refund_status != "failed":
            charge["amount_refunded"] += amount
            charge["refunded"] = amount == left
            self._tell("charge.refunded", charge)
        return refund

    # Events

    def again(self, event: Row) -> Row:
        """The same event under another id, which Stripe never sends; it must not matter."""
        return {**event, "id": self._name("evt")}

    def _tell(self, kind: str, described: Row) -> Row:
        event = {
            "id": self._name("evt"),
            "object": "event",
            "type": kind,
            "api_version": API_VERSION,
            "created": self._now(),
            "livemode": False,
            # As it is now, whatever becomes of it.
            "data": {"object": json.loads(json.dumps(described))},
        }
        self.told.append(event)
        return event

    def _keep(self, prefix: str, kind: str, **fields: object) -> Row:
        row: Row = {
            "id": self._name(prefix),
            "object": kind,
            "created": self._now(),
            "livemode": False,
            **fields,
        }
        self._kept[row["id"]] = row
        return row

    def _name(self, prefix: str) -> str:
        return f"{prefix}_demo{next(self._numbers)}"


def signed(event: Row, secret: str, at: int | None = None) -> tuple[bytes, str]:
    """The body of a webhook and its `Stripe-Signature`."""
    body = json.dumps(event).encode()
    at = int(time.time()) if at is None else at
    digest = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return body, f"t={at},v1={digest}"


def _text(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise StripeRefusalError(
            400, f"Missing required param: {name}.", code="parameter_missing", param=name
        )
    return value


def _integer(params: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value: Any = params.get(name, default)
    try:
        return int(value)
    except (TypeError, ValueError):
        raise StripeRefusalError(
            400, f"Invalid integer: {value}", code="parameter_invalid_integer", param=name
        ) from None


def _amount(params: Mapping[str, Any], default: int | None = None) -> int:
    amount = _integer(params, "amount", default)
    if amount < 1 and default is None:
        raise StripeRefusalError(
            400, "This value must be at least 1.", code="parameter_invalid_integer", param="amount"
        )
    return amount
