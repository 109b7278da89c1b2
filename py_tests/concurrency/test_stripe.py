"""Events of Stripe over many connections at once: each has its effect once, with exact amounts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any
from uuid import UUID

import pytest

from support.world import Connection, Refusal, World, call_on, expect, meanwhile, race

Event = dict[str, Any]

_NUMBERS = count(1)


@pytest.fixture(autouse=True)
def the_money_adds_up(world: World) -> Iterator[None]:
    """MON-03: whatever a test did, no invariant is violated at its end."""
    yield
    assert world.rows("select * from public.ledger_invariants()") == []


def event(kind: str, described: dict[str, object], name: str | None = None) -> Event:
    return {
        "id": name or f"evt_{next(_NUMBERS)}",
        "object": "event",
        "type": kind,
        "created": 1893499200,
        "livemode": False,
        "data": {"object": described},
    }


def _metadata(purpose: str, purpose_id: UUID) -> dict[str, str]:
    key = "intent_id" if purpose == "session" else "extension_id"
    return {"mode": purpose, key: str(purpose_id)}


def completed(name: str, purpose: str, purpose_id: UUID, cents: int) -> Event:
    described = {
        "id": f"cs_{name}",
        "object": "checkout.session",
        "status": "complete",
        "payment_status": "paid",
        "payment_intent": f"pi_{name}",
        "amount_total": cents,
        "currency": "usd",
        "metadata": _metadata(purpose, purpose_id),
    }
    return event("checkout.session.completed", described)


def succeeded(name: str, purpose: str, purpose_id: UUID, cents: int) -> Event:
    described = {
        "id": f"pi_{name}",
        "object": "payment_intent",
        "status": "succeeded",
        "amount": cents,
        "amount_received": cents,
        "currency": "usd",
        "latest_charge": f"ch_{name}",
        "metadata": _metadata(purpose, purpose_id),
    }
    return event("payment_intent.succeeded", described)


def refunded(name: str, cents: int) -> Event:
    described = {
        "id": f"re_{name}",
        "object": "refund",
        "status": "succeeded",
        "amount": cents,
        "currency": "usd",
        "payment_intent": f"pi_{name}",
        "charge": f"ch_{name}",
        "metadata": {},
    }
    return event("refund.created", described)


def ingest(connection: Connection, one: Event) -> dict[str, Any]:
    answer = call_on(connection, "ingest_stripe_event", p_event=one)[0]["ingest_stripe_event"]
    assert isinstance(answer, dict)
    return answer


def deliver_all(world: World, events: list[Event]) -> list[dict[str, Any]]:
    """All of them at the same moment, each on its own connection."""
    ends = race(
        [(world.connect("service_role"), "ingest_stripe_event", {"p_event": e}) for e in events]
    )
    assert ends.refusals == []
    return [rows[0]["ingest_stripe_event"] for rows in ends.answers]


def opened(world: World, customer: UUID, *names: str) -> UUID:
    """An intent of the customer's, with these Checkouts opened for it."""
    intent = world.one(customer, "request_checkout", p_plan="chat10")["id"]
    assert isinstance(intent, UUID)
    for name in names:
        world.call(
            "service_role",
            "record_checkout",
            p_purpose="session",
            p_purpose_id=intent,
            p_checkout_session_id=f"cs_{name}",
        )
    return intent


def paid_session(world: World, customer: UUID, name: str) -> UUID:
    intent = opened(world, customer, name)
    answer = ingest(world.connect("service_role"), succeeded(name, "session", intent, 1000))
    assert answer["status"] == "processed"
    session = world.row("select session_id from public.checkout_intents where id = %s", intent)
    assert isinstance(session["session_id"], UUID)
    return session["session_id"]


def totals(world: World) -> dict[str, int]:
    """What is not zero, by kind of account."""
    rows = world.rows(
        "select split_part(a.name, ':', 1) as kind, sum(e.amount_cents)::integer as cents"
        " from private.ledger_entries e join private.ledger_accounts a on a.id = e.account_id"
        " group by 1 having sum(e.amount_cents) <> 0"
    )
    return {row["kind"]: row["cents"] for row in rows}


def sessions(world: World) -> list[str]:
    return [
        row["funding"] for row in world.rows("select funding from public.sessions order by funding")
    ]


def test_one_event_eight_times_in_parallel_is_one_event(world: World) -> None:
    """MON-05: one delivery does it, seven are told that it is done."""
    intent = opened(world, world.customer(), "1")

    answers = deliver_all(world, [completed("1", "session", intent, 1000) | {"id": "evt_a"}] * 8)

    assert [answer["status"] for answer in answers] == ["processed"] * 8
    assert [answer["duplicate"] for answer in answers].count(False) == 1
    kept = world.row("select id, status, deliveries from private.stripe_events")
    assert kept == {"id": "evt_a", "status": "processed", "deliveries": 8}
    assert sessions(world) == ["paid"]
    assert totals(world) == {"session_hold": 1000, "stripe": -1000}


def test_all_proofs_in_parallel_make_one_session(world: World) -> None:
    """MON-07: four of each proof, eight different events, and the payment counts once."""
    intent = opened(world, world.customer(), "1")

    answers = deliver_all(
        world,
        [proof("1", "session", intent, 1000) for proof in (completed, succeeded) for _ in range(4)],
    )

    assert all(answer["status"] == "processed" for answer in answers)
    assert sessions(world) == ["paid"]
    assert totals(world) == {"session_hold": 1000, "stripe": -1000}
    payment = world.row("select rank::text, applied_to, charge_id from private.payments")
    assert payment == {"rank": "paid", "applied_to": "session", "charge_id": "ch_1"}


@pytest.mark.parametrize("proofs", [(completed, succeeded), (succeeded, completed)])
def test_the_second_proof_waits_for_the_first(world: World, proofs: Any) -> None:
    """MON-07: whichever comes first makes the session; the other finds it."""
    intent = opened(world, world.customer())
    first = world.connect("service_role", autocommit=False)
    second = world.connect("service_role")
    early, late = (proof("1", "session", intent, 1000) for proof in proofs)
    assert ingest(first, early)["status"] == "processed"

    with meanwhile(lambda: call_on(second, "ingest_stripe_event", p_event=late)) as later:
        world.wait_until_blocked(second)
        first.commit()
        later.result(timeout=10)
    assert sessions(world) == ["paid"]
    assert totals(world) == {"session_hold": 1000, "stripe": -1000}


def test_a_proof_that_is_rolled_back_leaves_the_other_to_count(world: World) -> None:
    """MON-07: no state without its money: what was never committed did not happen."""
    intent = opened(world, world.customer(), "1")
    first = world.connect("service_role", autocommit=False)
    second = world.connect("service_role")
    ingest(first, completed("1", "session", intent, 1000))
    late = succeeded("1", "session", intent, 1000)

    with meanwhile(lambda: call_on(second, "ingest_stripe_event", p_event=late)) as later:
        world.wait_until_blocked(second)
        first.rollback()
        later.result(timeout=10)
    assert world.row("select count(*) as n from private.stripe_events")["n"] == 1
    assert sessions(world) == ["paid"]
    assert totals(world) == {"session_hold": 1000, "stripe": -1000}


def test_two_payments_of_one_intent_in_parallel(world: World) -> None:
    """MON-07: one makes the session, the other is the customer's credit, and none is lost."""
    intent = opened(world, world.customer(), "1", "2")

    deliver_all(
        world,
        [
            proof(name, "session", intent, 1000)
            for name in ("1", "2")
            for proof in (completed, succeeded)
        ],
    )

    assert sessions(world) == ["paid"]
    assert totals(world) == {"session_hold": 1000, "customer_credit": 1000, "stripe": -2000}


def test_checkouts_recorded_beside_their_proofs(world: World) -> None:
    """MON-07: noting what was opened, while it is being paid, makes no second payment."""
    intent = opened(world, world.customer())
    proofs = [completed("1", "session", intent, 1000), succeeded("1", "session", intent, 1000)]
    recorded = {
        "p_purpose": "session",
        "p_purpose_id": intent,
        "p_checkout_session_id": "cs_1",
        "p_payment_intent_id": "pi_1",
    }

    ends = race(
        [(world.connect("service_role"), "record_checkout", recorded) for _ in range(4)]
        + [(world.connect("service_role"), "ingest_stripe_event", {"p_event": p}) for p in proofs]
    )

    assert ends.refusals == []
    assert world.row("select count(*) as n from private.payments")["n"] == 1
    assert totals(world) == {"session_hold": 1000, "stripe": -1000}


@pytest.mark.parametrize("is_refund_first", [False, True])
def test_a_refund_beside_the_proof(world: World, is_refund_first: bool) -> None:
    """MON-08: a refund that comes while the payment is being received is not ignored."""
    intent = opened(world, world.customer(), "1")
    events = [succeeded("1", "session", intent, 1000), refunded("1", 400)]
    early, late = reversed(events) if is_refund_first else events
    first = world.connect("service_role", autocommit=False)
    second = world.connect("service_role")
    ingest(first, early)

    with meanwhile(lambda: call_on(second, "ingest_stripe_event", p_event=late)) as later:
        world.wait_until_blocked(second)
        first.commit()
        later.result(timeout=10)
    assert {row["status"] for row in world.rows("select status from private.stripe_events")} == {
        "processed"
    }
    assert totals(world) == {"session_hold": 600, "stripe": -600}
    assert world.row("select refunded_cents from private.payments")["refunded_cents"] == 400


def test_all_that_tells_of_one_refund_in_parallel(world: World) -> None:
    """MON-08: created, updated and the charge's sum, twice each: posted once."""
    paid_session(world, world.customer(), "1")
    refund = refunded("1", 400)
    charge = {
        "id": "ch_1",
        "object": "charge",
        "amount": 1000,
        "amount_refunded": 400,
        "currency": "usd",
        "payment_intent": "pi_1",
    }

    deliver_all(
        world,
        [
            event(kind, described)
            for kind, described in (
                ("refund.created", refund["data"]["object"]),
                ("refund.updated", refund["data"]["object"]),
                ("charge.refunded", charge),
            )
            for _ in range(2)
        ],
    )

    assert totals(world) == {"session_hold": 600, "stripe": -600}


@pytest.mark.parametrize("is_proof_first", [True, False])
def test_a_proof_beside_create_session(world: World, is_proof_first: bool) -> None:
    """MON-07, LIFE-03: one active session; money that comes second becomes credit."""
    customer = world.customer()
    intent = opened(world, customer, "1")
    proof = succeeded("1", "session", intent, 1000)
    if is_proof_first:
        first = world.connect("service_role", autocommit=False)
        second = world.connect(customer)
        ingest(first, proof)
        with meanwhile(lambda: call_on(second, "create_session", p_plan="chat10")) as later:
            world.wait_until_blocked(second)
            first.commit()
            with expect("active_session_exists", 409):
                later.result(timeout=10)
    else:
        first = world.connect(customer, autocommit=False)
        second = world.connect("service_role")
        call_on(first, "create_session", p_plan="chat10")
        with meanwhile(lambda: call_on(second, "ingest_stripe_event", p_event=proof)) as later:
            world.wait_until_blocked(second)
            first.commit()
            later.result(timeout=10)

    status = world.row("select status from public.checkout_intents")["status"]
    if is_proof_first:
        assert (sessions(world), status) == (["paid"], "paid")
        assert totals(world) == {"session_hold": 1000, "stripe": -1000}
    else:
        assert (sessions(world), status) == (["free"], "to_credit")
        assert totals(world) == {"customer_credit": 1000, "stripe": -1000}


def test_a_checkout_asked_for_beside_create_session(world: World) -> None:
    """MON-07: it waits, and is refused before any money moves."""
    customer = world.customer()
    first = world.connect(customer, autocommit=False)
    second = world.connect(customer)
    call_on(first, "create_session", p_plan="chat10")

    with meanwhile(lambda: call_on(second, "request_checkout", p_plan="chat10")) as later:
        world.wait_until_blocked(second)
        first.commit()
        with expect("active_session_exists", 409):
            later.result(timeout=10)
    assert world.rows("select id from public.checkout_intents") == []


def test_parallel_requests_with_one_key_are_one_intent(world: World) -> None:
    """MON-07: eight calls of the same key get the same intent."""
    customer = world.customer()
    wanted = {"p_plan": "chat10", "p_idempotency_key": "k1"}

    ends = race([(world.connect(customer), "request_checkout", wanted) for _ in range(8)])

    assert ends.refusals == []
    assert len({rows[0]["id"] for rows in ends.answers}) == 1
    assert world.row("select count(*) as n from public.checkout_intents")["n"] == 1


def _extension(world: World, customer: UUID, session: UUID) -> UUID:
    asked = world.one(customer, "request_extension", p_session_id=session, p_minutes=15)["id"]
    assert isinstance(asked, UUID)
    return asked


def test_parallel_proofs_extend_once(world: World) -> None:
    """MON-10: eight deliveries under eight ids, and the session is 15 minutes longer."""
    made = world.live_session()
    extension = _extension(world, made.customer, made.id)

    answers = deliver_all(
        world,
        [
            proof("1", "extension", extension, 500)
            for proof in (completed, succeeded)
            for _ in range(4)
        ],
    )

    assert all(answer["status"] == "processed" for answer in answers)
    after = world.session(made.id)
    assert after["duration_minutes"] == 45
    assert (after["expires_at"] - after["started_at"]).total_seconds() == 45 * 60
    assert world.event_types(made.id).count("extended") == 1
    assert totals(world) == {"session_hold": 500, "stripe": -500}


def test_parallel_requests_leave_one_pending_extension(world: World) -> None:
    """MON-09: eight calls, two wishes, one pending; nobody gets an error."""
    made = world.live_session()

    ends = race(
        [
            (
                world.connect(made.customer),
                "request_extension",
                {"p_session_id": made.id, "p_minutes": minutes},
            )
            for minutes in (15, 30) * 4
        ]
    )

    assert ends.refusals == []
    pending = world.rows("select id from public.session_extensions where status = 'pending'")
    assert len(pending) == 1


@pytest.mark.parametrize("is_end_first", [True, False])
def test_an_extension_paid_while_the_session_ends(world: World, is_end_first: bool) -> None:
    """MON-10, MON-11: in time it is earned, too late it goes back; never both, never neither."""
    customer, mechanic = world.customer(), world.mechanic()
    session = paid_session(world, customer, "1")
    world.call(mechanic, "accept_assignment", p_assignment_id=world.assignment(session))
    for person in (customer, mechanic):
        world.call(person, "join_session", p_session_id=session)
    extension = _extension(world, customer, session)
    world.advance(80)
    proof = succeeded("2", "extension", extension, 500)
    if is_end_first:
        first = world.connect(customer, autocommit=False)
        second = world.connect("service_role")
        call_on(first, "end_session_with_semantics", p_session_id=session)
        with meanwhile(lambda: call_on(second, "ingest_stripe_event", p_event=proof)) as later:
            world.wait_until_blocked(second)
            first.commit()
            later.result(timeout=10)
    else:
        first = world.connect("service_role", autocommit=False)
        second = world.connect(customer)
        ingest(first, proof)
        with meanwhile(
            lambda: call_on(second, "end_session_with_semantics", p_session_id=session)
        ) as later:
            world.wait_until_blocked(second)
            first.commit()
            later.result(timeout=10)

    status = world.row("select status from public.session_extensions")["status"]
    earned = world.row("select gross_cents from public.mechanic_earnings")["gross_cents"]
    minutes = world.session(session)["duration_minutes"]
    if is_end_first:
        assert (status, earned, minutes) == ("refund_pending", 1000, 30)
        assert totals(world)["refund_clearing"] == 500
    else:
        assert (status, earned, minutes) == ("applied", 1500, 45)
        assert totals(world) == {
            "mechanic_payable": 1050,
            "platform_revenue": 450,
            "stripe": -1500,
        }


def test_a_locked_session_keeps_nothing_of_the_event(world: World) -> None:
    """MON-05: waiting too long raises, so that Stripe sends it again; then it counts."""
    made = world.live_session()
    extension = _extension(world, made.customer, made.id)
    proof = succeeded("1", "extension", extension, 500)
    holder = world.db.connect("postgres", autocommit=False)
    holder.execute("select 1 from public.sessions where id = %s for update", (made.id,))
    caller = world.connect("service_role")
    try:
        with expect("session_locked", 409):
            ingest(caller, proof)
    finally:
        holder.rollback()
        holder.close()
    assert world.rows("select id from private.stripe_events") == []
    assert world.rows("select id from private.payments") == []

    assert ingest(caller, proof) == {"status": "processed", "duplicate": False, "error": None}
    assert totals(world) == {"session_hold": 500, "stripe": -500}


def test_a_retry_beside_a_redelivery_is_one(world: World) -> None:
    """MON-05: what failed is run again by both, and counts once."""
    intent = opened(world, world.customer(), "1")
    proof = succeeded("1", "session", intent, 1000)
    world.execute(
        "alter table public.session_assignments add constraint broken check (false) not valid"
    )
    assert ingest(world.connect("service_role"), proof)["status"] == "failed"
    world.execute("alter table public.session_assignments drop constraint broken")
    admin = world.admin()

    ends = race(
        [
            call
            for _ in range(2)
            for call in (
                (world.connect(admin), "retry_stripe_event", {"p_event_id": proof["id"]}),
                (world.connect("service_role"), "ingest_stripe_event", {"p_event": proof}),
            )
        ]
    )

    # Who asks an admin's question after it has been answered is told so.
    assert all(isinstance(r, Refusal) and r.code == "invalid_argument" for r in ends.refusals)
    assert world.row("select status, error from private.stripe_events") == {
        "status": "processed",
        "error": None,
    }
    assert sessions(world) == ["paid"]
    assert totals(world) == {"session_hold": 1000, "stripe": -1000}
