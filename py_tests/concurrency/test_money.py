"""Two hands at the same money: ends, refunds, payouts and payments, each exact to the cent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from support.world import Connection, Live, Row, World, call_on, expect, meanwhile, race

PRICE = 1500
SHARE = 1050


@pytest.fixture(autouse=True)
def exact(world: World) -> Iterator[None]:
    """MON-03: whatever a test of this file does, every invariant holds afterwards."""
    yield
    assert world.rows("select * from public.ledger_invariants()") == []


def charged(world: World, mode: str, purpose: UUID, cents: int) -> dict[str, Any]:
    """Stripe's event that says that an intent or an extension is paid."""
    name = uuid4().hex[:12]
    key = "intent_id" if mode == "session" else "extension_id"
    return {
        "id": f"evt_{name}",
        "object": "event",
        "type": "payment_intent.succeeded",
        "livemode": False,
        "created": int(world.now().timestamp()),
        "data": {
            "object": {
                "id": f"pi_{name}",
                "object": "payment_intent",
                "amount": cents,
                "amount_received": cents,
                "currency": "usd",
                "latest_charge": f"ch_{name}",
                "metadata": {"mode": mode, key: str(purpose)},
            }
        },
    }


def bought(world: World, customer: UUID) -> UUID:
    intent = world.one(customer, "request_checkout", p_plan="video15")["id"]
    world.call("system", "ingest_stripe_event", p_event=charged(world, "session", intent, PRICE))
    found = world.row("select session_id from public.checkout_intents where id = %s", intent)
    assert isinstance(found["session_id"], UUID)
    return found["session_id"]


def paid_live(world: World, *, has_account: bool = True) -> Live:
    world.call("system", "set_setting", p_key="presence_timeout_seconds", p_value=86400)
    world.advance(0)
    customer, mechanic = world.customer(), world.mechanic()
    if has_account:
        give_account(world, mechanic)
    session = bought(world, customer)
    assignment = world.assignment(session)
    world.call(mechanic, "accept_assignment", p_assignment_id=assignment)
    world.call(customer, "join_session", p_session_id=session)
    world.call(mechanic, "join_session", p_session_id=session)
    return Live(session, customer, mechanic, assignment)


def completed(world: World, *, has_account: bool = True) -> Live:
    made = paid_live(world, has_account=has_account)
    world.advance(70)
    world.call("system", "end_session_with_semantics", p_session_id=made.id)
    return made


def give_account(world: World, mechanic: UUID) -> None:
    world.call(
        "system",
        "set_stripe_account",
        p_mechanic_id=mechanic,
        p_account=f"acct_{mechanic.hex[:12]}",
    )


def balance(world: World, account: str) -> int:
    return int(world.row("select private.balance(%s, 'usd') as cents", account)["cents"])


def owed(world: World, made: Live) -> int:
    return balance(world, f"mechanic_payable:{made.mechanic}")


def payout(world: World, made: Live) -> tuple[int, str]:
    found = world.row(
        "select amount_cents, status from public.payouts where session_id = %s", made.id
    )
    return found["amount_cents"], found["status"]


def effects(world: World, made: Live, topic: str) -> list[int]:
    rows = world.rows(
        "select (payload ->> 'amount')::integer as cents from private.outbox"
        " where session_id = %s and topic = %s order by id",
        made.id,
        topic,
    )
    return [row["cents"] for row in rows]


def submit(connection: Connection) -> list[Row]:
    return connection.execute("select private.submit_payouts(100) as submitted").fetchall()


def claimed(world: World, topic: str) -> Row:
    rows = world.call(
        "service_role", "claim_outbox", p_worker="worker", p_limit=100, p_lease_seconds=60
    )
    (found,) = [row for row in rows if row["topic"] == topic]
    return found


def test_twenty_ends_of_a_paid_session_make_one_payout(world: World) -> None:
    """END-05, MON-12: both sides end at once, ten times each: one earning, one payout."""
    made = paid_live(world)
    world.advance(70)
    callers = [world.connect(who) for who in [made.customer, made.mechanic] * 10]
    ends = race(
        [(caller, "end_session_with_semantics", {"p_session_id": made.id}) for caller in callers]
    )
    assert ends.refusals == []
    answers = [rows[0] for rows in ends.answers]
    assert [answer["already_ended"] for answer in answers].count(False) == 1
    assert {(answer["payout_cents"], answer["refund_cents"]) for answer in answers} == {(SHARE, 0)}
    assert owed(world, made) == SHARE
    assert len(world.rows("select 1 from public.payouts")) == 1
    assert len(world.rows("select 1 from public.mechanic_earnings")) == 1


def test_an_end_that_rolled_back_took_its_money_with_it(world: World) -> None:
    """END-04: the end behind it finds the hold as it was and splits it, once."""
    made = paid_live(world)
    world.advance(70)
    gone = world.connect(made.customer, autocommit=False)
    next_one = world.connect(made.mechanic)
    call_on(gone, "end_session_with_semantics", p_session_id=made.id)
    with meanwhile(
        lambda: call_on(next_one, "end_session_with_semantics", p_session_id=made.id)
    ) as later:
        world.wait_until_blocked(next_one)
        gone.rollback()
        answer = later.result(timeout=10)[0]
    assert (answer["already_ended"], answer["payout_cents"]) == (False, SHARE)
    assert owed(world, made) == SHARE


def test_refunds_in_parallel_never_exceed_what_was_paid(world: World) -> None:
    """MON-15: eight refunds of 400 out of 1500: three go through, five exceed."""
    made = completed(world)
    admins = [world.connect(world.admin()) for _ in range(8)]
    ends = race(
        [
            (
                caller,
                "refund_session",
                {"p_session_id": made.id, "p_key": f"key {number}", "p_amount_cents": 400},
            )
            for number, caller in enumerate(admins)
        ]
    )
    assert len(ends.answers) == 3
    assert [refusal.code for refusal in ends.refusals] == ["refund_exceeds_payment"] * 5
    assert effects(world, made, "stripe.refund") == [400, 400, 400]
    assert payout(world, made) == (210, "pending")
    assert owed(world, made) == 210


def test_one_key_in_parallel_is_one_refund(world: World) -> None:
    """MON-15: the same refund eight times at once is made once, and all hear of it."""
    made = completed(world)
    arguments = {"p_session_id": made.id, "p_key": "key"}
    ends = race([(world.connect("service_role"), "refund_session", arguments) for _ in range(8)])
    assert ends.refusals == []
    assert all(rows == ends.answers[0] for rows in ends.answers)
    assert effects(world, made, "stripe.refund") == [PRICE]
    assert world.session(made.id)["status"] == "refunded"


def test_a_payout_is_not_submitted_while_it_is_refunded(world: World) -> None:
    """MON-14, MON-15: the submission leaves it alone, and sends what is left afterwards."""
    made = completed(world)
    world.advance(86401)
    refunder = world.connect("service_role", autocommit=False)
    call_on(refunder, "refund_session", p_session_id=made.id, p_key="key", p_amount_cents=300)
    assert submit(world.connect("system")) == [{"submitted": 0}]
    refunder.commit()
    assert submit(world.connect("system")) == [{"submitted": 1}]
    assert effects(world, made, "stripe.transfer") == [840]
    assert effects(world, made, "stripe.transfer_reversal") == []


def test_a_refund_waits_for_the_submission_and_asks_for_the_money_back(world: World) -> None:
    """MON-15: what is submitted counts as sent: a receivable and a reversal."""
    made = completed(world)
    world.advance(86401)
    submitter = world.connect("system", autocommit=False)
    assert submit(submitter) == [{"submitted": 1}]
    refunder = world.connect("service_role")
    with meanwhile(
        lambda: call_on(refunder, "refund_session", p_session_id=made.id, p_key="key")
    ) as later:
        world.wait_until_blocked(refunder)
        submitter.commit()
        assert later.result(timeout=10)[0]["amount_cents"] == PRICE
    assert payout(world, made) == (SHARE, "submitted")
    assert effects(world, made, "stripe.transfer") == [SHARE]
    assert effects(world, made, "stripe.transfer_reversal") == [SHARE]


@pytest.mark.parametrize("first", ["refund", "answer"])
def test_a_refund_and_the_answer_of_stripe_wait_for_each_other(world: World, first: str) -> None:
    """MON-14, MON-15: in either order the transfer is posted once and its part is asked back."""
    made = completed(world)
    world.advance(86401)
    submit(world.connect("system"))
    row = claimed(world, "stripe.transfer")
    early = world.connect("service_role", autocommit=False)
    late = world.connect("service_role")

    def refund(connection: Connection) -> list[Row]:
        return call_on(connection, "refund_session", p_session_id=made.id, p_key="key")

    def answer(connection: Connection) -> list[Row]:
        return call_on(
            connection,
            "complete_outbox",
            p_id=row["id"],
            p_lease_token=row["lease_token"],
            p_result={"id": "tr_1"},
        )

    one, other = (refund, answer) if first == "refund" else (answer, refund)
    one(early)
    with meanwhile(lambda: other(late)) as later:
        world.wait_until_blocked(late)
        early.commit()
        later.result(timeout=10)
    assert payout(world, made) == (SHARE, "paid")
    assert owed(world, made) == -SHARE
    assert effects(world, made, "stripe.transfer_reversal") == [SHARE]


def test_a_resolution_takes_a_payout_out_of_the_hands_of_a_worker(world: World) -> None:
    """MON-18, MON-20: the admin's transfer counts, the worker has lost its lease."""
    made = completed(world)
    world.advance(86401)
    submit(world.connect("system"))
    row = claimed(world, "stripe.transfer")
    world.call(
        "service_role",
        "fail_outbox",
        p_id=row["id"],
        p_lease_token=row["lease_token"],
        p_error="time-out",
        p_ambiguous=True,
    )
    world.advance(3601)
    row = claimed(world, "stripe.transfer")
    found = world.row("select id from public.payouts where session_id = %s", made.id)
    admin = world.connect(world.admin(), autocommit=False)
    worker = world.connect("service_role")
    call_on(
        admin,
        "resolve_payout",
        p_payout_id=found["id"],
        p_action="paid",
        p_stripe_transfer_id="tr_1",
    )
    with meanwhile(
        lambda: call_on(
            worker,
            "complete_outbox",
            p_id=row["id"],
            p_lease_token=row["lease_token"],
            p_result={"id": "tr_2"},
        )
    ) as later:
        world.wait_until_blocked(worker)
        admin.commit()
        assert later.result(timeout=10) == [{"complete_outbox": False}]
    assert payout(world, made) == (SHARE, "paid")
    assert owed(world, made) == 0


def extension_of(world: World, made: Live) -> UUID:
    found = world.one(made.customer, "request_extension", p_session_id=made.id, p_minutes=15)
    assert isinstance(found["id"], UUID)
    return found["id"]


def test_an_end_behind_a_paid_extension_splits_both(world: World) -> None:
    """MON-10, MON-12: the extension came first: its money is shared with the rest."""
    made = paid_live(world)
    world.advance(70)
    extension = extension_of(world, made)
    inbox = world.connect("service_role", autocommit=False)
    ender = world.connect(made.customer)
    call_on(inbox, "ingest_stripe_event", p_event=charged(world, "extension", extension, 500))
    with meanwhile(
        lambda: call_on(ender, "end_session_with_semantics", p_session_id=made.id)
    ) as later:
        world.wait_until_blocked(ender)
        inbox.commit()
        assert later.result(timeout=10)[0]["payout_cents"] == 1400
    assert world.session(made.id)["duration_minutes"] == 60
    assert payout(world, made) == (1400, "pending")
    assert effects(world, made, "stripe.refund") == []


def test_an_extension_behind_the_end_is_given_back(world: World) -> None:
    """MON-11: the end came first: the extension is refunded in full, and nobody's time changes."""
    made = paid_live(world)
    world.advance(70)
    extension = extension_of(world, made)
    ender = world.connect(made.customer, autocommit=False)
    inbox = world.connect("service_role")
    call_on(ender, "end_session_with_semantics", p_session_id=made.id)
    with meanwhile(
        lambda: call_on(
            inbox, "ingest_stripe_event", p_event=charged(world, "extension", extension, 500)
        )
    ) as later:
        world.wait_until_blocked(inbox)
        ender.commit()
        answer = later.result(timeout=10)[0]["ingest_stripe_event"]
    assert answer["status"] == "processed"
    assert world.session(made.id)["duration_minutes"] == 45
    assert payout(world, made) == (SHARE, "pending")
    assert effects(world, made, "stripe.refund") == [500]
    found = world.row("select status from public.session_extensions where id = %s", extension)
    assert found["status"] == "refund_pending"


@pytest.mark.parametrize("first", ["spend", "refund"])
def test_credit_is_spent_or_given_back_but_not_both(world: World, first: str) -> None:
    """MON-04, MON-20: who comes second finds nothing left."""
    world.advance(0)
    customer = world.customer()
    intent = world.one(customer, "request_checkout", p_plan="video15")["id"]
    session, _ = world.queued_session(customer)
    world.call("system", "ingest_stripe_event", p_event=charged(world, "session", intent, PRICE))
    world.call(customer, "end_session_with_semantics", p_session_id=session)
    assert balance(world, f"customer_credit:{customer}") == PRICE
    payment = world.row("select id from private.payments")["id"]

    def spend(connection: Connection) -> list[Row]:
        return call_on(connection, "create_session", p_plan="video15", p_funding="credit")

    def refund(connection: Connection) -> list[Row]:
        return call_on(connection, "refund_payment", p_payment_id=payment, p_key="key")

    people: dict[str, Any] = {
        "spend": (spend, customer, "refund_exceeds_payment", 409),
        "refund": (refund, "service_role", "insufficient_credit", 402),
    }
    one, caller, code, status = people[first]
    other, other_caller, _, _ = people["refund" if first == "spend" else "spend"]
    early = world.connect(caller, autocommit=False)
    late = world.connect(other_caller)
    one(early)
    with meanwhile(lambda: other(late)) as later:
        world.wait_until_blocked(late)
        early.commit()
        with expect(code, status):
            later.result(timeout=10)
    assert balance(world, f"customer_credit:{customer}") == 0


@pytest.mark.parametrize("first", ["end", "account"])
def test_no_payout_waits_for_an_account_that_is_there(world: World, first: str) -> None:
    """MON-14: an account that comes while the session ends unblocks its payout, in either order."""
    made = paid_live(world, has_account=False)
    world.advance(70)

    def end(connection: Connection) -> list[Row]:
        return call_on(connection, "end_session_with_semantics", p_session_id=made.id)

    def account(connection: Connection) -> list[Row]:
        return call_on(
            connection, "set_stripe_account", p_mechanic_id=made.mechanic, p_account="acct_1"
        )

    one, other = (end, account) if first == "end" else (account, end)
    early = world.connect("service_role", autocommit=False)
    late = world.connect("service_role")
    one(early)
    with meanwhile(lambda: other(late)) as later:
        world.wait_until_blocked(late)
        early.commit()
        later.result(timeout=10)
    assert payout(world, made) == (SHARE, "pending")


def test_a_quote_approved_eight_times_at_once_earns_one_bonus(world: World) -> None:
    """MON-16: one decision, one bonus, and one payout of it however often it is confirmed."""
    made = completed(world)
    quote = world.one(
        made.mechanic,
        "escalate_quote",
        p_session_id=made.id,
        p_amount_cents=20000,
        p_description="new brakes",
    )["id"]
    decided = race(
        [
            (world.connect(made.customer), "decide_quote", {"p_quote_id": quote, "p_approve": yes})
            for yes in [True, False] * 4
        ]
    )
    assert len(decided.answers) == 4
    assert decided.codes == {"quote_already_decided"}
    approved = decided.answers[0][0]["status"] == "approved"
    assert owed(world, made) == SHARE + (1000 if approved else 0)
    if approved:
        confirmed = race(
            [
                (world.connect("service_role"), "confirm_quote_bonus", {"p_quote_id": quote})
                for _ in range(8)
            ]
        )
        assert confirmed.refusals == []
    bonuses = world.rows("select 1 from public.payouts where kind = 'quote_bonus'")
    assert len(bonuses) == (1 if approved else 0)


def test_one_payment_is_resolved_once(world: World) -> None:
    """MON-20: three admins settle one payment in three ways at once, and one of them does."""
    world.advance(0)
    customer = world.customer()
    intent = world.one(customer, "request_checkout", p_plan="video15")["id"]
    world.call("system", "ingest_stripe_event", p_event=charged(world, "session", intent, 1400))
    payment = world.row("select id from private.payments")["id"]
    ends = race(
        [
            (
                world.connect(world.admin()),
                "resolve_payment",
                {"p_payment_id": payment, "p_action": action},
            )
            for action in ["apply", "to_credit", "refund"]
        ]
    )
    assert len(ends.answers) == 1
    assert ends.codes == {"invalid_argument"}
    held = sum(
        row["cents"]
        for row in world.rows(
            "select sum(e.amount_cents)::integer as cents from private.ledger_entries e"
            " join private.ledger_accounts a on a.id = e.account_id"
            " where a.name <> 'stripe' group by a.id"
        )
    )
    assert held == 1400
