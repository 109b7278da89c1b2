"""A day of sessions with every kind of end, and two things that went wrong.

For what an operator looks at: the commands, the scripts, the picture in the README.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

if TYPE_CHECKING:
    from support.world import World

CREDIT_CENTS = 1500
HOUR = timedelta(hours=1)
# How many sessions an hour, from a day ago until now.
RHYTHM = (1, 0, 1, 2, 2, 3, 4, 3, 2, 2, 1, 0, 0, 1, 2, 3, 4, 4, 3, 3, 2, 1, 2, 2)
# Most go well.
ENDS = ("completed", "completed", "completed", "too_short", "completed", "no_show", "completed")


@dataclass(frozen=True)
class Day:
    """What the day left behind."""

    completed: UUID
    too_short: UUID
    no_show: UUID
    live: UUID
    customer: UUID
    mechanic: UUID


def play(world: World, rhythm: tuple[int, ...] = RHYTHM) -> Day:
    """Plays a day that ends at this moment, and the jobs that ran meanwhile."""
    now = world.now().replace(minute=40, second=0, microsecond=0)
    if now > world.now():
        now -= HOUR
    world.clock_at(now - len(rhythm) * HOUR)
    for key, value in (
        ("presence_timeout_seconds", 3600),
        ("health_no_show_bps", 3000),
        ("health_expired_bps", 3000),
    ):
        world.call("system", "set_setting", p_key=key, p_value=value)
    mechanics = [_mechanic(world) for _ in range(4)]
    world.queued_session()
    made: dict[str, UUID] = {}
    number = 0
    for sessions in rhythm:
        begun = world.now()
        for slot in range(sessions):
            end = ENDS[number % len(ENDS)]
            customer, mechanic = world.customer(), mechanics[number % len(mechanics)]
            session = _bought(world, customer)
            made[end] = session
            _play_one(world, session, customer, mechanic, end)
            number += 1
            world.clock_at(begun + HOUR * (slot + 1) / (sessions + 1))
        world.clock_at(begun + HOUR)
    customer, mechanic = world.customer("Customer"), mechanics[0]
    live = _bought(world, customer)
    _meet(world, live, customer, mechanic)
    for job in world.rows("select job from private.job_health()"):
        world.rows("select private.run_job(%s)", job["job"])
    _carry_out(world)
    world.advance(3)
    return Day(made["completed"], made["too_short"], made["no_show"], live, customer, mechanic)


def trouble(world: World) -> None:
    """A payout that Stripe did not answer for, and an effect that was given up."""
    world.execute(
        "update public.payouts set status = 'needs_reconciliation' where id = ("
        " select id from public.payouts order by created_at, id"
        " offset (select count(*) * 2 / 3 from public.payouts) limit 1)"
    )
    world.execute(
        "update private.outbox set status = 'dead', done_at = null, attempts = 12,"
        " last_error = 'HTTP 410: the address is gone' where id = ("
        " select id from private.outbox where topic = 'crm.track' order by id"
        " offset (select count(*) / 3 from private.outbox where topic = 'crm.track') limit 1)"
    )


def _carry_out(world: World) -> None:
    while effects := world.call(
        "system", "claim_outbox", p_worker="worker", p_limit=1000, p_lease_seconds=60
    ):
        for effect in effects:
            world.call(
                "system",
                "complete_outbox",
                p_id=effect["id"],
                p_lease_token=effect["lease_token"],
                p_result={"id": f"tr_{effect['id']}"},
            )


def _mechanic(world: World) -> UUID:
    mechanic = world.mechanic()
    world.call(
        "system", "set_stripe_account", p_mechanic_id=mechanic, p_account=f"acct_{mechanic.hex[:9]}"
    )
    return mechanic


def _bought(world: World, customer: UUID) -> UUID:
    world.call(
        "system",
        "grant_credit",
        p_user_id=customer,
        p_amount_cents=CREDIT_CENTS,
        p_currency="usd",
        p_key=str(uuid4()),
    )
    session = world.one(customer, "create_session", p_plan="video15", p_funding="credit")["id"]
    assert isinstance(session, UUID)
    return session


def _meet(world: World, session: UUID, *people: UUID) -> None:
    world.advance(40)
    world.call(people[1], "accept_assignment", p_assignment_id=world.assignment(session))
    for person in people:
        world.advance(15)
        world.call(person, "join_session", p_session_id=session)


def _play_one(world: World, session: UUID, customer: UUID, mechanic: UUID, end: str) -> None:
    if end == "no_show":
        world.advance(60)
        world.call(mechanic, "accept_assignment", p_assignment_id=world.assignment(session))
        world.call(mechanic, "join_session", p_session_id=session)
        world.advance(400)
        world.call(mechanic, "heartbeat_session", p_session_id=session)
    else:
        _meet(world, session, customer, mechanic)
        world.advance(540 if end == "completed" else 25)
    asker = mechanic if end == "no_show" else customer
    world.call(asker, "end_session_with_semantics", p_session_id=session)
