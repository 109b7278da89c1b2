"""Whether a fixture has the shape that the types of the `stripe` package give its object."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

import stripe
import stripe.checkout

OBJECTS: dict[str, type[stripe.StripeObject]] = {
    "event": stripe.Event,
    "checkout.session": stripe.checkout.Session,
    "payment_intent": stripe.PaymentIntent,
    "refund": stripe.Refund,
    "charge": stripe.Charge,
    "dispute": stripe.Dispute,
    "balance_transaction": stripe.BalanceTransaction,
    "transfer": stripe.Transfer,
    "transfer_reversal": stripe.TransferReversal,
    "payout": stripe.Payout,
    "account": stripe.Account,
}

_LIST = stripe.ListObject


def faults(value: object, shape: Any, where: str) -> Iterator[str]:
    """What is missing, unknown or of another type, and where."""
    origin, parts = typing.get_origin(shape), typing.get_args(shape)
    if isinstance(shape, typing.ForwardRef):
        if isinstance(value, dict):
            yield from of_object(value, where)
        else:
            yield f"{where}: {value!r} is not an expanded object"
    elif origin in {typing.Union, types.UnionType}:
        found = [list(faults(value, part, where)) for part in parts]
        # The part that fits best tells what is wrong.
        yield from min(found, key=len)
    elif origin is typing.Literal:
        if value not in parts:
            yield f"{where}: {value!r} is none of {parts}"
    elif origin is list:
        if isinstance(value, list):
            for number, item in enumerate(value):
                yield from faults(item, parts[0], f"{where}[{number}]")
        else:
            yield f"{where}: {value!r} is not a list"
    elif origin is stripe.ListObject:
        yield from faults(value, _LIST, where)
        for number, item in enumerate(value["data"] if isinstance(value, dict) else []):
            yield from faults(item, parts[0], f"{where}.data[{number}]")
    elif origin is not None or shape is Any:
        if not isinstance(value, dict):
            yield f"{where}: {value!r} is not an object"
    elif shape is _LIST:
        if not isinstance(value, dict) or value.keys() != {"object", "data", "has_more", "url"}:
            yield f"{where}: {value!r} is not a list object"
    elif issubclass(shape, stripe.StripeObject):
        if isinstance(value, dict):
            yield from _of_class(value, shape, where)
        else:
            yield f"{where}: {value!r} is not an object"
    elif type(value) is not shape:
        yield f"{where}: {value!r} is not {shape}"


def of_object(value: dict[str, Any], where: str = "") -> Iterator[str]:
    yield from _of_class(value, OBJECTS[value["object"]], where or value["object"])


def _of_class(value: dict[str, Any], shape: type[stripe.StripeObject], where: str) -> Iterator[str]:
    known = {
        name: part
        for name, part in vars(shape).get("__annotations__", {}).items()
        if not name.isupper() and typing.get_origin(part) is not typing.ClassVar
    }
    for name in value.keys() - known.keys():
        yield f"{where}.{name}: unknown to {shape.__qualname__}"
    for name, part in known.items():
        if name in value:
            yield from faults(value[name], part, f"{where}.{name}")
        elif type(None) not in typing.get_args(part):
            yield f"{where}.{name}: missing"
