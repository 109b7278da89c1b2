"""Every query of clients, of policies and of the functions they call is a look-up by an index.

The planner is told of a million rows in every table that grows, and every plan of every statement
is read, those within functions and triggers too. Two ways: as the planner likes, of the tables
that the history fills; and without sequential scans, of all, so that none is left but for want of
an index.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, LiteralString
from uuid import uuid4

import psycopg
import pytest

from concurrency.interleaving import PooledWorld
from growth.conftest import SESSIONS, Past
from growth.plans import MILLION, Watched, watch
from security.decisions import Decisions, load
from security.matrix import arguments_for, tables
from security.people import Persona, acting_as
from stripe_inbox.lives import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.rows import DictRow

pytestmark = pytest.mark.slow

# What does not grow with the sessions, and why.
STEADY = {
    "private.alert_states": "one row a kind of alert",
    "private.audits": "one row",
    "private.error_codes": "by migration only",
    "private.findings": "what the last audit found",
    "private.job_runs": "one row a job; failures are pruned",
    "private.manifest": "by migration only",
    "private.notification_kinds": "by migration only",
    "private.refund_policies": "set by admins",
    "private.session_failures": "what cannot be settled at the moment",
    "private.session_transitions": "by migration only",
    "private.settings": "by migration only",
    "private.upsell_rules": "set by admins",
    "private.wake_ups": "one row",
    "public.extension_options": "set by admins",
    "public.plans": "set by admins",
}

# What clients filter by (PostgREST's ?column=eq.value), people by themselves.
FILTERS: dict[str, tuple[str, ...]] = {
    "public.checkout_intents": ("id", "customer_user_id", "session_id"),
    "public.diagnostic_sessions": ("id", "customer_user_id", "mechanic_id"),
    "public.mechanic_earnings": ("session_id", "mechanic_id"),
    "public.mechanics": ("id",),
    "public.notifications": ("id", "user_id"),
    "public.payouts": ("id", "user_id", "session_id"),
    "public.profiles": ("id",),
    "public.repair_quotes": ("id", "session_id", "mechanic_id"),
    "public.session_assignments": ("id", "session_id", "mechanic_id"),
    "public.session_events": ("session_id",),
    "public.session_extensions": ("id", "session_id", "requested_by"),
    "public.session_files": ("id", "session_id", "uploaded_by"),
    "public.session_messages": ("id", "session_id", "sender_id"),
    "public.session_participants": ("session_id", "user_id"),
    "public.session_requests": ("id", "session_id"),
    "public.session_upsells": ("id", "session_id", "customer_user_id"),
    "public.sessions": ("id", "customer_user_id", "mechanic_id"),
}

PEOPLE = {"customer_user_id", "mechanic_id", "requested_by", "sender_id", "uploaded_by", "user_id"}

# Admins read a span of time with these, all there is, or a batch as large as they ask for.
REPORTS = {
    "apply_semantic_fix",
    "archive_sessions",
    "calculate_session_health_score",
    "import_legacy_sessions",
    "ledger_invariants",
    "monitor_sessions",
    "session_health_dashboard",
    "verify_replay",
    "verify_session_end_logic",
}


JOBS = ("expire-orphaned-sessions", "tick-sessions", "dispatch-outbox", "prune-history")

# With so many rows the planner's own choice is no accident.
FILLED: LiteralString = "select oid::regclass::text as name from pg_class where reltuples > 1000"
# Refused with the committed arguments, and seen so far only; lives call some of them in full.
UNPLAYED = {
    "confirm_quote_bonus",
    "decline_assignment",
    "escalate_quote",
    "ingest_stripe_event",
    "record_presence_event",
    "refund_payment",
    "register_session_file",
    "release_assignment",
    "remove_session_file",
    "repeat_aftermath",
    "requeue_outbox",
    "resolve_payment",
    "resolve_payout",
    "retry_stripe_event",
    "set_mechanic_status",
    "set_stripe_account",
    "submit_session_summary",
    "video_access",
}


@pytest.fixture(scope="module")
def decisions() -> Decisions:
    return load()


@pytest.fixture(params=[True, False], ids=["as_planned", "without_seq_scans"])
def database(request: pytest.FixtureRequest, past: Past) -> Iterator[Watched]:
    made = past.copy()
    with made.connect("supabase_admin") as owner:
        owner.execute("set search_path = ''")
        growing = {row["name"] for row in tables(owner) if row["kind"] == "r"} - STEADY.keys()
        if request.param:
            growing &= {row["name"] for row in owner.execute(FILLED)}
        made.seen = watch(owner, frozenset(growing), MILLION // SESSIONS, is_free=request.param)
    yield made
    made.drop()


@pytest.fixture
def client(database: Watched) -> psycopg.Connection[DictRow]:
    """The superuser's connection that `acting_as` wants."""
    connection = database.connect("supabase_admin")
    connection.execute("set search_path = ''")
    database.attend(connection)
    return connection


def test_every_table_is_decided_upon(past: Past, decisions: Decisions) -> None:
    """PERF-04: a table is steady, or it grows and somebody says by what clients ask for its rows"""
    copy = past.copy()
    with copy.connect() as owner:
        there = {row["name"] for row in tables(owner) if row["kind"] == "r"}
    copy.drop()
    assert STEADY.keys() <= there
    assert {name for name in there if decisions.tables[name]} - STEADY.keys() == FILTERS.keys()


def test_what_clients_read_is_looked_up(
    past: Past, database: Watched, client: psycopg.Connection[DictRow], decisions: Decisions
) -> None:
    """PERF-04: every table by everything it is filtered by, for every kind of reader"""
    readers = (
        *(past.cast[name] for name in ("customer", "mechanic", "admin", "service_role")),
        Persona("a customer of old", "authenticated", past.person("customer")),
        Persona("a mechanic of old", "authenticated", past.person("mechanic")),
    )
    owner = database.connect()
    for persona in readers:
        for table, columns in FILTERS.items():
            rule = decisions.tables[table].get(persona.role)
            for column in columns if rule else ():
                value = a_value(owner, persona, table, column, rule or "")
                with acting_as(client, persona):
                    client.execute(
                        f"select * from {table} where {column} = {value} limit 1000".encode()
                    )
    for topic in (f"session:{past.cast.live_session}", "session_assignments_feed"):
        with acting_as(client, past.cast["mechanic"]):
            client.execute("select private.receives(%s)", (topic,))
    with acting_as(client, past.cast["customer"]):
        client.execute(
            "select from storage.objects where bucket_id = 'session-files' and name = %s",
            (f"{past.cast.paid_session}/photo.png",),
        )
    database.fail_if_wrong()


def a_value(
    owner: psycopg.Connection[DictRow], persona: Persona, table: str, column: str, rule: str
) -> str:
    """A literal: himself, or of a row that he may see, or of none."""
    if persona.user and not persona.is_admin and column in PEOPLE:
        return f"'{persona.user}'"
    condition = rule.replace(":me", f"'{persona.user}'::uuid" if persona.user else "null::uuid")
    condition = condition.replace(":admin", str(persona.is_admin).lower())
    found = owner.execute(
        f"select quote_literal(t.{column}) as value from {table} t"
        f" where t.{column} is not null and ({condition}) limit 1".encode()
    ).fetchone()
    return str(found["value"]) if found else f"'{uuid4()}'"


def test_what_the_functions_do_is_looked_up(
    past: Past, database: Watched, client: psycopg.Connection[DictRow], decisions: Decisions
) -> None:
    """PERF-04: every function of the API, as whoever may call it, and all that it does"""
    answered: Counter[str] = Counter()
    for signature, decision in decisions.functions.items():
        schema, _, name = signature.partition("(")[0].partition(".")
        if schema != "public" or decision.arguments is None or name in REPORTS:
            continue
        call = f"select public.{name}({arguments_for(decision.arguments, past.cast)})"
        for persona in past.cast.personas.values():
            if persona.role in decision.callers:
                try:
                    with acting_as(client, persona):
                        client.execute(call.encode())
                    answered[name] += 1
                except psycopg.Error:
                    answered[name] += 0
    refused = {name for name, answers in answered.items() if not answers}
    database.fail_if_wrong()
    assert refused == UNPLAYED, ", ".join(sorted(refused))
    database.fail_if_wrong()


def test_what_lives_and_jobs_do_is_looked_up(past: Past, database: Watched) -> None:
    """PERF-04: whole lives with all that Stripe may tell, workers and jobs"""
    with PooledWorld(database) as world:
        # Who waits for money would keep the lives from coming to rest.
        payee = past.cast["mechanic"].user
        world.call("system", "set_stripe_account", p_mechanic_id=payee, p_account="acct_1")
        run = Run.begin(world, seed=1, numbers=MILLION)
        run.play()
        assert run.counts["processed"] > 100
        job = database.connect()
        database.attend(job)
        for name in JOBS:
            job.execute("select private.run_job(%s)", (name,))
        for name in ("tick_sessions", "end_expired_sessions", "expire_orphaned_sessions"):
            world.call("service_role", name)
    database.fail_if_wrong()
