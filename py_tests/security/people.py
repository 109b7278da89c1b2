"""The world the matrix is run on: who is in it, and what a stranger must never learn of it.

Rooms: one live session (customer, mechanic; a former mechanic gave it back) with more time asked
for, one paid session of the same two that was completed before, with its payment, payout and quote,
its chat, a file, the summary, an offer and what both were told of it, one queued session of another
customer, one ended session of a mechanic suspended since.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from support.world import World

INTAKE_SECRET = "grinding noise of the red van"
QUEUED_INTAKE = "blue scooter stalls"
CHAT = "it squeals at low speed"
FINDINGS = "the front pads are worn"


@dataclass(frozen=True)
class Persona:
    """A database role with the claims of one caller."""

    name: str
    role: str
    user: UUID | None = None
    is_admin: bool = False

    @property
    def claims(self) -> dict[str, str]:
        claims = {"role": self.role}
        if self.user is not None:
            claims["sub"] = str(self.user)
        return claims


@dataclass(frozen=True)
class Cast:
    """Everybody, and the ids of what they do."""

    personas: Mapping[str, Persona]
    live_session: UUID
    live_assignment: UUID
    queued_session: UUID
    queued_assignment: UUID
    past_session: UUID
    paid_session: UUID
    paid_intent: UUID
    payment: UUID
    payout: UUID
    quote: UUID
    file: UUID
    notification: UUID
    upsell: UUID
    secrets: frozenset[str]

    def __getitem__(self, name: str) -> Persona:
        return self.personas[name]


PERSONAS = (
    "anon",
    "nobody",
    "customer",
    "other_customer",
    "mechanic",
    "other_mechanic",
    "former_mechanic",
    "suspended_mechanic",
    "admin",
    "service_role",
)
STRANGERS = ("other_customer", "other_mechanic", "former_mechanic", "suspended_mechanic")


@dataclass(frozen=True)
class _Paid:
    intent: UUID
    session: UUID
    payment: UUID
    payout: UUID
    quote: UUID
    file: UUID


def _file(world: World, who: UUID, session: UUID) -> UUID:
    """A file in the session's folder, as the storage server leaves it, and registered."""
    path = f"{session}/photo.png"
    world.execute(
        "insert into storage.objects (bucket_id, name, owner_id, metadata)"
        """ values ('session-files', %s, %s, '{"size": 100}')""",
        path,
        str(who),
    )
    file = world.one(
        who,
        "register_session_file",
        p_session_id=session,
        p_storage_path=path,
        p_name="photo.png",
        p_type="image/png",
        p_size=100,
    )
    return UUID(str(file["id"]))


def _paid_session(world: World, customer: UUID, mechanic: UUID) -> _Paid:
    """A session that was paid for, completed and earned, and the repair it led to."""
    intent = world.one(
        customer, "request_checkout", p_plan="video15", p_intake={"car": INTAKE_SECRET}
    )
    payment_intent = {
        "object": "payment_intent",
        "id": "pi_1",
        "amount_received": intent["price_cents"],
        "currency": intent["currency"],
        "latest_charge": "ch_1",
        "metadata": {"mode": "session", "intent_id": str(intent["id"])},
    }
    taken = world.one(
        "service_role",
        "ingest_stripe_event",
        p_event={
            "object": "event",
            "id": "evt_1",
            "type": "payment_intent.succeeded",
            "livemode": False,
            "created": 1767225600,
            "data": {"object": payment_intent},
        },
    )
    assert taken["ingest_stripe_event"]["status"] == "processed"
    payment = world.row(
        "select id, session_id from private.payments where purpose_id = %s", intent["id"]
    )
    session = payment["session_id"]
    world.call(mechanic, "accept_assignment", p_assignment_id=world.assignment(session))
    world.call(customer, "join_session", p_session_id=session)
    world.call(mechanic, "join_session", p_session_id=session)
    file = _file(world, customer, session)
    world.call(customer, "send_session_message", p_session_id=session, p_content=CHAT)
    # Nobody waits here until a session has lasted long enough.
    least = world.row("select private.setting('min_billable_seconds') as value")["value"]
    world.call("system", "set_setting", p_key="min_billable_seconds", p_value=0)
    ended = world.one(customer, "end_session_with_semantics", p_session_id=session)
    world.call("system", "set_setting", p_key="min_billable_seconds", p_value=least)
    assert ended["final_status"] == "completed"
    quote = world.one(
        mechanic,
        "escalate_quote",
        p_session_id=session,
        p_amount_cents=20000,
        p_description="New brakes",
    )
    world.call(
        mechanic,
        "submit_session_summary",
        p_session_id=session,
        p_findings=FINDINGS,
        p_steps="Looked",
        p_next_steps="Replace",
    )
    payout = world.row("select id from public.payouts where session_id = %s", session)
    return _Paid(intent["id"], session, payment["id"], payout["id"], quote["id"], file)


def build(world: World) -> Cast:
    customer, other, past_customer = (world.customer(f"Person {n}") for n in "ABC")
    mechanic, other_mechanic, former, suspended = (
        world.mechanic(name=f"Mechanic {n}") for n in "DEFG"
    )
    admin = world.admin()

    def create(who: UUID, intake: str) -> tuple[UUID, UUID]:
        made = world.one(who, "create_session", p_plan="chat10", p_intake={"car": intake})
        return made["id"], world.assignment(made["id"])

    paid = _paid_session(world, customer, mechanic)

    live, live_assignment = create(customer, INTAKE_SECRET)
    world.call(former, "accept_assignment", p_assignment_id=live_assignment)
    world.call(former, "release_assignment", p_assignment_id=live_assignment)
    world.call(mechanic, "accept_assignment", p_assignment_id=live_assignment)
    world.call(customer, "join_session", p_session_id=live)
    world.call(mechanic, "join_session", p_session_id=live)
    world.call(customer, "request_extension", p_session_id=live, p_minutes=15)
    world.call(mechanic, "send_session_message", p_session_id=live, p_content=CHAT)

    past, past_assignment = create(past_customer, "green bus")
    world.call(suspended, "accept_assignment", p_assignment_id=past_assignment)
    world.call(past_customer, "join_session", p_session_id=past)
    world.call(suspended, "join_session", p_session_id=past)
    world.call(past_customer, "end_session_with_semantics", p_session_id=past)
    world.call("system", "set_mechanic_status", p_mechanic_id=suspended, p_status="suspended")

    queued, queued_assignment = create(other, QUEUED_INTAKE)
    # Nothing inactive is shipped, and a rule about active rows needs an inactive one to show.
    world.call(
        "system",
        "set_plan",
        p_slug="withdrawn",
        p_type="chat",
        p_title="Withdrawn",
        p_duration_minutes=5,
        p_price_cents=100,
        p_currency="usd",
        p_is_free_eligible=False,
        p_is_active=False,
    )
    world.call(
        "system",
        "set_extension_option",
        p_minutes=7,
        p_price_cents=100,
        p_currency="usd",
        p_is_active=False,
    )

    notification = world.row(
        "select id from public.notifications where user_id = %s and kind = 'summary_ready'",
        customer,
    )
    upsell = world.row("select id from public.session_upsells where session_id = %s", paid.session)

    people = [
        Persona("anon", "anon"),
        Persona("nobody", "authenticated"),
        Persona("customer", "authenticated", customer),
        Persona("other_customer", "authenticated", other),
        Persona("mechanic", "authenticated", mechanic),
        Persona("other_mechanic", "authenticated", other_mechanic),
        Persona("former_mechanic", "authenticated", former),
        Persona("suspended_mechanic", "authenticated", suspended),
        Persona("admin", "authenticated", admin, is_admin=True),
        Persona("service_role", "service_role"),
    ]
    secrets = {
        *(customer, mechanic, live, live_assignment, INTAKE_SECRET, "Person A", "Mechanic D"),
        *(paid.intent, paid.session, paid.payment, paid.payout, paid.quote),
        *(CHAT, FINDINGS, paid.file, notification["id"], upsell["id"]),
    }
    return Cast(
        personas={person.name: person for person in people},
        live_session=live,
        live_assignment=live_assignment,
        queued_session=queued,
        queued_assignment=queued_assignment,
        past_session=past,
        paid_session=paid.session,
        paid_intent=paid.intent,
        payment=paid.payment,
        payout=paid.payout,
        quote=paid.quote,
        file=paid.file,
        notification=notification["id"],
        upsell=upsell["id"],
        secrets=frozenset(str(secret) for secret in secrets),
    )


@contextmanager
def acting_as(connection: psycopg.Connection[DictRow], persona: Persona) -> Iterator[None]:
    """What follows runs as a client's request does, and is undone.

    The connection belongs to the superuser, so that one transaction can act as somebody and then
    look, as the owner, at what that did. `session_user` is `authenticator`, as it is for clients.
    """
    with connection.transaction(force_rollback=True):
        connection.execute("set local session authorization authenticator")
        connection.execute(sql.SQL("set local role {}").format(sql.Identifier(persona.role)))
        connection.execute(
            "select set_config('request.jwt.claims', %s::jsonb::text, true)",
            (Jsonb(persona.claims),),
        )
        yield
