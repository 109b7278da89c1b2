"""Sessions with their money, the hands that can be laid on it, and the record of what they left.

A `Money` is a scene whose payment Stripe knows by a token. What happened in two of them that were
set with the same clock can be compared word by word, as for `Scene`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, LiteralString, TypeAlias
from uuid import UUID, uuid4

from concurrency import test_stripe as stripe
from concurrency.interleaving import Answer, Cast, PooledWorld, Scene, Step, at
from support.world import Connection, Refusal, Row, World

PLAN, PRICE, SHARE = "video15", 1500, 1050
END = "end_session_with_semantics"

# Of the customer of the scene (%(customer)s), since it began (after %(transfer)s).
_NAMES: LiteralString = """
select id::text as id, 'session' as name from public.sessions where customer_user_id = %(customer)s
union all
select a.id::text, 'assignment' from public.session_assignments a
join public.sessions s on s.id = a.session_id where s.customer_user_id = %(customer)s
union all
select p.id::text, 'payment ' || coalesce(p.payment_intent_id, '-') from private.payments p
where p.customer_user_id = %(customer)s
union all
select p.id::text, 'payout ' || p.kind from public.payouts p
join public.sessions s on s.id = p.session_id where s.customer_user_id = %(customer)s
union all
select r.id::text, 'refund ' || r.amount_cents || ' ' || r.status from private.refunds r
join private.payments p on p.id = r.payment_id where p.customer_user_id = %(customer)s
union all
select i.id::text, 'intent' from public.checkout_intents i where i.customer_user_id = %(customer)s
union all
select e.id::text, 'extension ' || e.minutes from public.session_extensions e
where e.requested_by = %(customer)s
union all
select q.id::text, 'quote ' || q.amount_cents from public.repair_quotes q
join public.sessions s on s.id = q.session_id where s.customer_user_id = %(customer)s
union all
select r.id::text, 'refund of the session ' || r.key from private.session_refunds r
join public.sessions s on s.id = r.session_id where s.customer_user_id = %(customer)s
"""
_OF_SESSIONS = " x join public.sessions s on s.id = x.session_id"
_OF_CUSTOMER = " where s.customer_user_id = %(customer)s"
_OF_PAYMENTS = (
    " x join private.payments p on p.id = x.payment_id where p.customer_user_id = %(customer)s"
)
_RECORD: dict[str, LiteralString] = {
    "sessions": "select to_jsonb(s) as row from public.sessions s" + _OF_CUSTOMER,
    "events": (
        "select to_jsonb(x) - 'id' as row from public.session_events"
        + _OF_SESSIONS
        + _OF_CUSTOMER
        + " order by x.id"
    ),
    "settlements": "select to_jsonb(x) as row from private.settlements"
    + _OF_SESSIONS
    + _OF_CUSTOMER,
    "earnings": (
        "select to_jsonb(x) as row from public.mechanic_earnings" + _OF_SESSIONS + _OF_CUSTOMER
    ),
    "payouts": "select to_jsonb(x) as row from public.payouts" + _OF_SESSIONS + _OF_CUSTOMER,
    "quotes": "select to_jsonb(x) as row from public.repair_quotes" + _OF_SESSIONS + _OF_CUSTOMER,
    "reviews": (
        "select to_jsonb(x) - 'id' as row from private.session_reviews"
        + _OF_SESSIONS
        + _OF_CUSTOMER
    ),
    "session refunds": (
        "select to_jsonb(x) as row from private.session_refunds" + _OF_SESSIONS + _OF_CUSTOMER
    ),
    "payments": (
        "select to_jsonb(p) as row from private.payments p where p.customer_user_id = %(customer)s"
    ),
    "refunds": "select to_jsonb(x) as row from private.refunds" + _OF_PAYMENTS,
    "intents": (
        "select to_jsonb(i) - 'arguments_digest' as row from public.checkout_intents i"
        " where i.customer_user_id = %(customer)s"
    ),
    "extensions": (
        "select to_jsonb(e) as row from public.session_extensions e"
        " where e.requested_by = %(customer)s"
    ),
    "transfers": (
        "select jsonb_build_object('key', t.key, 'session_id', t.session_id,"
        " 'occurred_at', t.occurred_at, 'lines', jsonb_object_agg(a.name, e.amount_cents)) as row"
        " from private.ledger_transfers t"
        " join private.ledger_entries e on e.transfer_id = t.id"
        " join private.ledger_accounts a on a.id = e.account_id"
        " where t.id > %(transfer)s group by t.id"
    ),
    "effects": (
        "select to_jsonb(o) - array['id', 'next_attempt_at', 'lease_token'] as row"
        " from private.outbox o"
    ),
    "stripe": (
        "select to_jsonb(e) - 'payload' as row from private.stripe_events e"
        " where e.payload::text like %(token)s"
    ),
}
_BALANCES: LiteralString = """
select split_part(a.name, ':', 1) as kind, sum(e.amount_cents)::integer as cents
from private.ledger_entries e join private.ledger_accounts a on a.id = e.account_id
where e.transfer_id > %s group by 1 having sum(e.amount_cents) <> 0 order by 1
"""


@dataclass(frozen=True)
class Money(Scene):
    """A scene with what Stripe calls its payment, and where the records stood before it."""

    token: str
    transfer: int
    of: dict[str, Any] = field(default_factory=dict)

    def names(self) -> dict[str, str]:
        known = {str(who): f"<{part}>" for part, who in self.people.items()}
        known |= {who.hex: "<account>" for who in self.people.values() if isinstance(who, UUID)}
        return known | {self.token: "<token>"}


StepOf: TypeAlias = Callable[[World], Step]
SceneOf: TypeAlias = Callable[[World], Money]


# Scenes ------------------------------------------------------------------------------------------


def opening(world: World) -> Money:
    """A customer before he has bought anything; nobody else's money is due or on its way."""
    world.execute("delete from private.outbox")
    world.execute("update public.payouts set due_at = 'infinity' where status = 'pending'")
    cast = Cast(world)
    cast["stripe"] = "service_role"
    for part in ("customer", "admin"):
        _ = cast[part]
    newest = world.row("select coalesce(max(id), 0) as id from private.ledger_transfers")["id"]
    return Money(uuid4(), uuid4(), cast, uuid4().hex[:12], newest)


def intended(world: World) -> Money:
    """A paid session was asked for, and its Checkout is being opened."""
    scene = opening(world)
    customer = scene.people["customer"]
    scene.of["intent"] = world.one(customer, "request_checkout", p_plan=PLAN)["id"]
    return scene


def asked(world: World) -> Money:
    """Its Checkout is open."""
    scene = intended(world)
    world.call("service_role", "record_checkout", **checkout_of(scene))
    return scene


def checkout_of(scene: Money) -> dict[str, object]:
    purpose = "extension" if "extension" in scene.of else "session"
    return {
        "p_purpose": purpose,
        "p_purpose_id": scene.of["extension" if purpose == "extension" else "intent"],
        "p_checkout_session_id": f"cs_{scene.token}{purpose[0]}",
    }


def received(world: World, scene: Money, cents: int) -> None:
    """The money of its intent, so much of it, has arrived."""
    happens(world, stripe.succeeded(scene.token, "session", scene.of["intent"], cents))
    scene.of["payment"] = payment(world, scene.token)


def payment(world: World, token: str) -> UUID:
    found = world.row("select id from private.payments where payment_intent_id = %s", f"pi_{token}")
    assert isinstance(found["id"], UUID)
    return found["id"]


def happens(world: World, event: stripe.Event) -> None:
    answer = world.one("service_role", "ingest_stripe_event", p_event=event)
    assert answer["ingest_stripe_event"]["status"] == "processed", answer


def differing(world: World) -> Money:
    """100 too little arrived: the payment is in review."""
    scene = asked(world)
    received(world, scene, PRICE - 100)
    return scene


def became_credit(world: World) -> Money:
    """The customer had made a free session meanwhile, which is over: 1500 of credit."""
    scene = asked(world)
    customer = scene.people["customer"]
    session, _ = world.queued_session(customer)  # type: ignore[arg-type]
    received(world, scene, PRICE)
    world.call(customer, END, p_session_id=session)
    return scene


def bought(world: World) -> Money:
    scene = asked(world)
    received(world, scene, PRICE)
    session = world.row(
        "select id from public.sessions where customer_user_id = %s", scene.people["customer"]
    )["id"]
    return Money(
        session,
        world.assignment(session),
        scene.people,
        scene.token,
        scene.transfer,
        scene.of,
    )


def running(world: World, *, has_account: bool = True) -> Money:
    scene = bought(world)
    customer, mechanic = scene.people["customer"], scene.people["mechanic"]
    if has_account:
        world.call("service_role", "set_stripe_account", **account_of(scene))
    world.call(mechanic, "accept_assignment", p_assignment_id=scene.assignment)
    world.call(customer, "join_session", p_session_id=scene.id)
    world.call(mechanic, "join_session", p_session_id=scene.id)
    world.advance(70)
    return scene


def account_of(scene: Scene) -> dict[str, object]:
    mechanic = scene.people["mechanic"]
    assert isinstance(mechanic, UUID)
    return {"p_mechanic_id": mechanic, "p_account": f"acct_{mechanic.hex}"}


def running_without_account(world: World) -> Money:
    return running(world, has_account=False)


def extending(world: World) -> Money:
    """A running session, with 15 more minutes asked for."""
    scene = running(world)
    customer = scene.people["customer"]
    asked_for = world.one(customer, "request_extension", p_session_id=scene.id, p_minutes=15)
    scene.of["extension"] = asked_for["id"]
    return scene


def misextended(world: World) -> Money:
    """100 too much arrived for the minutes, and the payment is in review; others are wanted now."""
    scene = extending(world)
    happens(world, stripe.succeeded(f"{scene.token}x", "extension", scene.of["extension"], 600))
    scene.of["payment"] = payment(world, f"{scene.token}x")
    world.call(scene.people["customer"], "request_extension", p_session_id=scene.id, p_minutes=30)
    return scene


def extension_as_credit(world: World) -> Money:
    """It became credit, and with a gift of 900 that is the price of another session."""
    scene = misextended(world)
    world.call("system", "resolve_payment", p_payment_id=scene.of["payment"], p_action="to_credit")
    world.call("system", END, p_session_id=scene.id)
    gift = {"p_user_id": scene.people["customer"], "p_amount_cents": 900, "p_currency": "usd"}
    world.call("system", "grant_credit", **gift, p_key=scene.token)
    return scene


def extended_and_refunded(world: World) -> Money:
    """The money of the extension went back after the end; a worker holds the refund."""
    scene = extending(world)
    happens(world, stripe.succeeded(f"{scene.token}x", "extension", scene.of["extension"], 500))
    # So that the extension is the newer payment.
    world.execute(
        "update private.payments set created_at = created_at - interval '1 s'"
        " where payment_intent_id = %s",
        f"pi_{scene.token}",
    )
    world.call("system", END, p_session_id=scene.id)
    world.call(
        "system", "refund_session", p_session_id=scene.id, p_key="before", p_amount_cents=500
    )
    return claiming(world, scene, "stripe.refund")


def extended_too_late(world: World) -> Money:
    """The proof of an extension came after the end; a worker holds its refund."""
    scene = extending(world)
    world.call("system", END, p_session_id=scene.id)
    happens(world, stripe.succeeded(f"{scene.token}x", "extension", scene.of["extension"], 500))
    return claiming(world, scene, "stripe.refund")


def ended(world: World, *, has_account: bool = True) -> Money:
    """Completed: the mechanic is owed his share, which waits for its day."""
    scene = running(world, has_account=has_account)
    world.call("system", END, p_session_id=scene.id)
    scene.of["payout"] = world.row("select id from public.payouts where session_id = %s", scene.id)[
        "id"
    ]
    return scene


def without_account(world: World) -> Money:
    return ended(world, has_account=False)


def due(world: World) -> Money:
    """Ended, and the day has come for the share."""
    scene = ended(world)
    world.advance(86401)
    return scene


def cancelled(world: World) -> Money:
    """Given back to the card, and Stripe was asked: a worker holds the refund."""
    return claiming(world, to_be_refunded(world), "stripe.refund")


def to_be_refunded(world: World) -> Money:
    """Cancelled, and nobody has sent the refund yet."""
    scene = bought(world)
    world.call(scene.people["customer"], END, p_session_id=scene.id)
    return scene


def partly_refunded(world: World) -> Money:
    """400 of an ended session went back; a worker holds the refund."""
    scene = ended(world)
    world.call(
        "system", "refund_session", p_session_id=scene.id, p_key="before", p_amount_cents=400
    )
    return claiming(world, scene, "stripe.refund")


def sent(world: World) -> Money:
    """The transfer of the share is in a worker's hands."""
    scene = due(world)
    world.rows("select private.submit_payouts(100)")
    return claiming(world, scene, "stripe.transfer")


def claiming(world: World, scene: Money, topic: str) -> Money:
    rows = world.call(
        "service_role", "claim_outbox", p_worker="worker", p_limit=100, p_lease_seconds=60
    )
    (row,) = [row for row in rows if row["topic"] == topic]
    scene.of["row"] = row
    return scene


def unanswered(world: World) -> Money:
    """Nobody knows whether the transfer was made."""
    scene = sent(world)
    world.call("service_role", "fail_outbox", **failing(scene, is_ambiguous=True))
    return scene


def tried_again(world: World) -> Money:
    """Nobody knows, and a worker has it again."""
    scene = unanswered(world)
    world.advance(3601)
    return claiming(world, scene, "stripe.transfer")


def refused_for_good(world: World) -> Money:
    """The transfer was refused until it was given up."""
    scene = sent(world)
    world.execute("update private.outbox set attempts = 12 where id = %s", scene.of["row"]["id"])
    world.call("service_role", "fail_outbox", **failing(scene, is_ambiguous=False))
    return scene


def failing(scene: Money, *, is_ambiguous: bool) -> dict[str, object]:
    return {**lease_of(scene), "p_error": "refused", "p_ambiguous": is_ambiguous}


def lease_of(scene: Money) -> dict[str, object]:
    row = scene.of["row"]
    return {"p_id": row["id"], "p_lease_token": row["lease_token"]}


def transferred(world: World) -> Money:
    """Paid out, then refunded: a worker holds the reversal of the transfer."""
    scene = sent(world)
    world.call("service_role", "complete_outbox", **lease_of(scene), p_result=transfer_of(scene))
    world.call("system", "refund_session", p_session_id=scene.id, p_key="before")
    return claiming(world, scene, "stripe.transfer_reversal")


def transfer_of(scene: Money) -> dict[str, object]:
    return {"id": f"tr_{scene.token}"}


def disputed(world: World) -> Money:
    scene = ended(world)
    happens(world, dispute(scene, "created", "needs_response"))
    return scene


def disputed_without_account(world: World) -> Money:
    scene = without_account(world)
    happens(world, dispute(scene, "created", "needs_response"))
    return scene


def in_review(world: World) -> Money:
    """A refund was made at Stripe of a session that ended since; the mechanic has no account."""
    scene = without_account(world)
    happens(world, stripe.refunded(scene.token, 100))
    return scene


def reviewed_and_disputed(world: World) -> Money:
    scene = in_review(world)
    happens(world, dispute(scene, "created", "needs_response"))
    return scene


def quoted(world: World) -> Money:
    scene = ended(world)
    scene.of["quote"] = world.one(scene.people["mechanic"], "escalate_quote", **quote_of(scene))[
        "id"
    ]
    return scene


def quote_of(scene: Scene) -> dict[str, object]:
    return {"p_session_id": scene.id, "p_amount_cents": 20000, "p_description": "new brakes"}


def approved(world: World) -> Money:
    scene = quoted(world)
    customer = scene.people["customer"]
    world.call(customer, "decide_quote", p_quote_id=scene.of["quote"], p_approve=True)
    return scene


def of_one_session(world: World) -> Money:
    """A share and a bonus of one mechanic's; what was written first is the greater id."""
    scene = approved(world)
    world.call("system", "confirm_quote_bonus", p_quote_id=scene.of["quote"])
    scene.of["payout"] = UUID(f"ffffffff{scene.token:0>24}")
    world.execute(
        "update public.payouts set id = case kind when 'session' then %s else %s end"
        " where session_id = %s",
        scene.of["payout"],
        UUID(f"00000000{scene.token:0>24}"),
        scene.id,
    )
    return scene


def refused_twice(world: World) -> Money:
    """Both transfers were refused until they were given up; the share's row is the older one."""
    scene = of_one_session(world)
    world.execute(
        "update public.payouts set due_at = private.clock() - case kind when 'session'"
        " then interval '1 day' else '0' end where session_id = %s",
        scene.id,
    )
    world.rows("select private.submit_payouts(100)")
    world.execute("update private.outbox set status = 'dead' where topic = 'stripe.transfer'")
    scene.of["row"] = world.row(
        "select id from private.outbox where key = %s", f"payout:{scene.of['payout']}"
    )
    return scene


def failed_event(world: World) -> Money:
    """A proof that failed, for a reason that is gone."""
    scene = asked(world)
    scene.of["event"] = stripe.succeeded(scene.token, "session", scene.of["intent"], PRICE)
    world.execute(
        "alter table public.session_assignments add constraint broken check (false) not valid"
    )
    answer = world.one("service_role", "ingest_stripe_event", p_event=scene.of["event"])
    world.execute("alter table public.session_assignments drop constraint broken")
    assert answer["ingest_stripe_event"]["status"] == "failed"
    return scene


# Steps -------------------------------------------------------------------------------------------


def by(who: str, function: str, **more: object) -> StepOf:
    """A command that names the session."""
    return lambda _: at(who, function, **more)


def says(build: Callable[[Money], stripe.Event]) -> StepOf:
    """What Stripe says."""
    return lambda _: Step("stripe", "ingest_stripe_event", lambda s: {"p_event": build(money(s))})


def does(who: str, function: str, params: Callable[[Money], dict[str, object]]) -> StepOf:
    return lambda _: Step(who, function, lambda s: params(money(s)))


def money(scene: Scene) -> Money:
    assert isinstance(scene, Money)
    return scene


@dataclass(frozen=True)
class Statement(Step):
    """What no function of ours is for, sent as one statement."""

    text: LiteralString = ""

    def on(self, connection: Connection, scene: Scene) -> list[Row]:
        return connection.execute(self.text, self.params(scene)).fetchall()


DELETION: StepOf = lambda _: Statement(  # noqa: E731
    "system",
    "delete",
    lambda s: {"id": s.people["customer"]},
    "delete from auth.users where id = %(id)s returning 'deleted' as status",
)
SUBMISSION: StepOf = lambda _: Statement(  # noqa: E731
    "system", "submit", lambda _: {}, "select private.submit_payouts(100) as submitted"
)


def dispute(scene: Money, kind: str, status: str) -> stripe.Event:
    described = {
        "id": f"dp_{scene.token}",
        "object": "dispute",
        "status": status,
        "amount": PRICE,
        "currency": "usd",
        "charge": f"ch_{scene.token}",
        "payment_intent": f"pi_{scene.token}",
        "reason": "fraudulent",
        "balance_transactions": [],
    }
    return stripe.event(f"charge.dispute.{kind}", described)


def another_refund(scene: Money) -> stripe.Event:
    event = stripe.refunded(scene.token, 200)
    event["data"]["object"]["id"] = f"re_{scene.token}y"
    return event


def transfer(scene: Money, *, name: str = "", reversed_cents: int = 0) -> stripe.Event:
    described = {
        "id": f"tr_{scene.token}{name}",
        "object": "transfer",
        "amount": SHARE,
        "amount_reversed": reversed_cents,
        "currency": "usd",
        "metadata": {"outbox_key": f"payout:{scene.of['payout']}"},
    }
    return stripe.event(f"transfer.{'reversed' if reversed_cents else 'created'}", described)


def refund_of_ours(scene: Money, status: str) -> stripe.Event:
    row = scene.of["row"]
    described = {
        "id": f"re_{scene.token}x",
        "object": "refund",
        "status": status,
        "amount": row["payload"]["amount"],
        "currency": "usd",
        "payment_intent": row["payload"]["payment_intent"],
        "metadata": {"outbox_key": row["key"]},
    }
    return stripe.event("refund.failed" if status == "failed" else "refund.updated", described)


def account_updated(scene: Money) -> stripe.Event:
    return stripe.event(
        "account.updated", {"id": account_of(scene)["p_account"], "object": "account"}
    )


def answers(status: str) -> StepOf:
    """The worker's answer about a refund."""
    return does(
        "stripe",
        "complete_outbox",
        lambda s: lease_of(s) | {"p_result": {"id": f"re_{s.token}x", "status": status}},
    )


def refunds(key: str, cents: int | None) -> StepOf:
    return by("admin", "refund_session", p_key=key, p_amount_cents=cents)


def resolves(action: str) -> StepOf:
    return does(
        "admin",
        "resolve_payment",
        lambda s: {"p_payment_id": s.of["payment"], "p_action": action},
    )


def settles(action: str) -> StepOf:
    """An admin's decision about a payout."""
    return does(
        "admin",
        "resolve_payout",
        lambda s: {
            "p_payout_id": s.of["payout"],
            "p_action": action,
            "p_stripe_transfer_id": f"tr_{s.token}" if action == "paid" else None,
        },
    )


def decides(is_yes: bool) -> StepOf:
    return does(
        "customer", "decide_quote", lambda s: {"p_quote_id": s.of["quote"], "p_approve": is_yes}
    )


PAID = says(lambda s: stripe.succeeded(s.token, "session", s.of["intent"], PRICE))
PAID_TOO = says(lambda s: stripe.completed(s.token, "session", s.of["intent"], PRICE))
EXTENDED = says(lambda s: stripe.succeeded(f"{s.token}x", "extension", s.of["extension"], 500))
REFUNDED = says(lambda s: stripe.refunded(s.token, 400))
DISPUTED = says(lambda s: dispute(s, "created", "needs_response"))
WON = says(lambda s: dispute(s, "closed", "won"))
LOST = says(lambda s: dispute(s, "closed", "lost"))
REFUNDED_TOO = says(lambda s: another_refund(s))
MADE = says(transfer)
MADE_TWICE = says(lambda s: transfer(s, name="x"))
REVERSED = says(lambda s: transfer(s, reversed_cents=SHARE))
UPDATED = says(account_updated)
ACCOUNT = does("stripe", "set_stripe_account", account_of)
SUCCEEDED = says(lambda s: refund_of_ours(s, "succeeded"))
FAILED = says(lambda s: refund_of_ours(s, "failed"))
SENT = does("stripe", "complete_outbox", lambda s: lease_of(s) | {"p_result": transfer_of(s)})
REFUSED = does("stripe", "fail_outbox", lambda s: failing(s, is_ambiguous=False))
SILENCE = does("stripe", "fail_outbox", lambda s: failing(s, is_ambiguous=True))
TAKEN_BACK = does(
    "stripe",
    "complete_outbox",
    lambda s: lease_of(s) | {"p_result": {"transfer": f"tr_{s.token}", "amount_reversed": SHARE}},
)
RECORDED = does("stripe", "record_checkout", checkout_of)
CHECKOUT = does("customer", "request_checkout", lambda _: {"p_plan": PLAN})
FREE = does("customer", "create_session", lambda _: {"p_plan": "chat10"})
ON_CREDIT = does("customer", "create_session", lambda _: {"p_plan": PLAN, "p_funding": "credit"})
MONEY_BACK = does(
    "admin", "refund_payment", lambda s: {"p_payment_id": s.of["payment"], "p_key": "back"}
)
PART_BACK = does(
    "admin",
    "refund_payment",
    lambda s: {"p_payment_id": s.of["payment"], "p_key": "part", "p_amount_cents": 500},
)
REVIEWED = by("admin", "resolve_review")
ENDED = by("customer", END)
MORE = by("customer", "request_extension", p_minutes=30)
QUOTE = does("mechanic", "escalate_quote", quote_of)
CONFIRMED = does("admin", "confirm_quote_bonus", lambda s: {"p_quote_id": s.of["quote"]})
AGAIN = says(lambda s: s.of["event"])
CLAIM = does(
    "stripe",
    "claim_outbox",
    lambda _: {"p_worker": "another", "p_limit": 100, "p_lease_seconds": 60},
)
RETRY = does("admin", "retry_stripe_event", lambda s: {"p_event_id": s.of["event"]["id"]})
REQUEUED = does("admin", "requeue_outbox", lambda s: {"p_id": s.of["row"]["id"]})


# What came of it ---------------------------------------------------------------------------------


def told(answer: Answer) -> str:
    """An answer in a word or two."""
    if isinstance(answer, Refusal):
        return answer.code
    if not answer:
        return "nothing"
    row = answer[0]
    value = next(iter(row.values()))
    if isinstance(value, dict):
        value = value.get("status") or value.get("applied_to") or "done"
    for name in ("status", "final_status"):
        if name in row:
            return str(row[name])
    value = row.get("amount_cents", value)
    return "an id" if isinstance(value, UUID) else str(value)


def left(world: PooledWorld, scene: Money) -> dict[str, list[Any]]:
    """All that is on record about the scene, with names in the place of ids."""
    of = {
        "customer": scene.people["customer"],
        "transfer": scene.transfer,
        "token": f"%{scene.token}%",
    }
    execute = world.borrow("system").execute
    names = {row["id"]: f"<{row['name']}>" for row in execute(_NAMES, of).fetchall()}
    found: dict[str, list[Any]] = {}
    for part, query in _RECORD.items():
        rows = []
        for row in execute(query, of).fetchall():
            text = json.dumps(row["row"], sort_keys=True)
            for known in (names, scene.names()):
                for identifier, name in known.items():
                    text = text.replace(identifier, name)
            text = re.sub(
                r'("outbox_id": |evt_|alert:outbox:|resolve:<.*?>:|session_review:)\d+',
                r"\1N",
                text,
            )
            rows.append(text)
        found[part] = rows if part == "events" else sorted(rows)
    return found


def balances(world: World, scene: Money) -> str:
    """What is not zero of the scene's money, by kind of account."""
    rows = world.rows(_BALANCES, scene.transfer)
    return ", ".join(f"{row['kind']} {row['cents']}" for row in rows)
