"""A refund of ours in a worker's hands and one that somebody makes at Stripe, at one moment."""

from __future__ import annotations

from typing import Any

from concurrency.test_money import PRICE, balance, bought, claimed
from support.world import World, call_on, meanwhile


def made_at_stripe(world: World, payment_intent: str) -> dict[str, Any]:
    return {
        "id": "evt_made_at_stripe",
        "object": "event",
        "type": "refund.created",
        "livemode": False,
        "created": int(world.now().timestamp()),
        "data": {
            "object": {
                "id": "re_made_at_stripe",
                "object": "refund",
                "amount": PRICE,
                "currency": "usd",
                "status": "succeeded",
                "payment_intent": payment_intent,
                "metadata": {},
            }
        },
    }


def cancelled(world: World) -> str:
    """A paid session that was cancelled: we ask for all of it back. The payment intent."""
    customer = world.customer()
    session = bought(world, customer)
    world.call(customer, "end_session_with_semantics", p_session_id=session)
    found = world.row(
        "select payment_intent_id from private.payments where session_id = %s", session
    )
    return str(found["payment_intent_id"])


def went_back_once(world: World) -> None:
    assert balance(world, "stripe") == 0
    assert balance(world, "refund_clearing") == 0
    statuses = world.rows("select status from private.refunds order by status")
    assert [found["status"] for found in statuses] == ["failed", "succeeded"]
    assert world.rows("select * from public.ledger_invariants()") == []


def test_an_event_waits_for_the_worker_whose_refund_it_displaces(world: World) -> None:
    """MON-08, MON-18: refused while the event waits: ours is given up, and nobody locks anybody."""
    event = made_at_stripe(world, cancelled(world))
    row = claimed(world, "stripe.refund")
    worker = world.connect("service_role", autocommit=False)
    stripe = world.connect("service_role")
    call_on(
        worker,
        "fail_outbox",
        p_id=row["id"],
        p_lease_token=row["lease_token"],
        p_error="charge_already_refunded",
    )
    with meanwhile(lambda: call_on(stripe, "ingest_stripe_event", p_event=event)) as later:
        world.wait_until_blocked(stripe)
        worker.commit()
        answer = later.result(timeout=10)[0]["ingest_stripe_event"]
    assert answer["status"] == "processed"
    went_back_once(world)


def test_no_worker_gets_a_refund_that_an_event_displaces(world: World) -> None:
    """MON-18: while the event holds it, and after, there is nothing to send."""
    event = made_at_stripe(world, cancelled(world))
    stripe = world.connect("service_role", autocommit=False)
    call_on(stripe, "ingest_stripe_event", p_event=event)
    for commit in (stripe.commit, lambda: None):
        rows = world.call("service_role", "claim_outbox", p_worker="worker", p_limit=100)
        assert "stripe.refund" not in {row["topic"] for row in rows}
        commit()
    went_back_once(world)
