"""Without any one key, check, trigger or lock of the money a promise breaks, and a probe says so.

The lists are held against the catalog and the functions: what is new fails until it has a probe.
A key or check refuses a statement that would go through without it. A trigger or lock is taken away
in this file's database, and put back, and the probe that has passed with it must fail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, LiteralString, TypeAlias
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from concurrency import test_money_interleavings as interleavings
from concurrency import test_outbox
from concurrency.interleaving import PooledWorld, definition
from concurrency.money_scenes import (
    ACCOUNT,
    END,
    answers,
    balances,
    bought,
    cancelled,
    ended,
    extended_too_late,
    extending,
    failing,
)
from support.database import migration_files
from support.world import Connection, World

MONEY = re.compile(r"\d{10}(0400|0600|0870|14[0-7]0)_")
NOW = "2030-01-01 12:00:00+00"
_NUMBERS = count(10**9)


@pytest.fixture
def world(shared_world: PooledWorld) -> PooledWorld:
    shared_world.call("system", "set_setting", p_key="presence_timeout_seconds", p_value=86400)
    return shared_world


@pytest.fixture(scope="module")
def owner(one_world: PooledWorld) -> Connection:
    """May do everything, and writes rows without their parents; nothing that it does stays."""
    connection = one_world.db.connect("supabase_admin", autocommit=False)
    connection.execute("set session session_replication_role = replica")
    connection.commit()
    return connection


def made(kind: str) -> set[str]:
    """What the money's migrations make, by name."""
    pattern = re.compile(rf"^create {kind} (\S+?)(?:\(| |$)", re.MULTILINE)
    files = [file for file in migration_files() if MONEY.match(file.name)]
    assert len(files) == 11, files
    return {name for file in files for name in pattern.findall(file.read_text())}


# Keys and checks ---------------------------------------------------------------------------------


def text() -> str:
    return f"name_{next(_NUMBERS)}"


def uuid() -> str:
    return str(uuid4())


def number() -> int:
    return next(_NUMBERS)


Values: TypeAlias = Mapping[str, Any]

# A row of each table that is as it should be; what is called is made anew for each row.
ROWS: dict[str, Values] = {
    "private.outbox": {"topic": "push", "key": text, "payload": Jsonb({})},
    "private.wake_ups": {"last_at": NOW},
    "private.ledger_accounts": {
        "name": lambda: f"customer_credit:{uuid4()}",
        "currency": "usd",
        "balance_cents": 0,
    },
    "private.ledger_transfers": {"key": text, "occurred_at": NOW},
    "private.ledger_entries": {"transfer_id": number, "account_id": number, "amount_cents": 1},
    "private.refund_policies": {"reason": text, "refund_bps": 0, "mechanic_bps": 0},
    "public.mechanic_earnings": {
        "session_id": uuid,
        "mechanic_id": uuid,
        "gross_cents": 0,
        "share_cents": 0,
        "platform_cents": 0,
        "referral_cents": 0,
        "currency": "usd",
    },
    "private.stripe_accounts": {"user_id": uuid, "account": lambda: f"acct_{uuid4().hex}"},
    "public.payouts": {
        "kind": "session",
        "source_id": uuid,
        "user_id": uuid,
        "amount_cents": 100,
        "currency": "usd",
        "due_at": NOW,
    },
    "private.settlements": {
        "session_id": uuid,
        "currency": "usd",
        "held_cents": 0,
        "refund_cents": 0,
        "share_cents": 0,
        "platform_cents": 0,
        "referral_cents": 0,
        "settled_at": NOW,
    },
    "private.payments": {
        "customer_user_id": uuid,
        "amount_cents": 100,
        "currency": "usd",
        "purpose": "session",
        "purpose_id": uuid,
    },
    "private.refunds": {"payment_id": uuid, "key": text, "amount_cents": 1},
    "private.disputes": {"id": text, "payment_id": uuid, "amount_cents": 1},
    "public.checkout_intents": {
        "customer_user_id": uuid,
        "plan": "chat10",
        "price_cents": 1,
        "currency": "usd",
        "duration_minutes": 30,
        "arguments_digest": "x",
        "expires_at": NOW,
    },
    "public.session_extensions": {
        "session_id": uuid,
        "requested_by": uuid,
        "minutes": 15,
        "price_cents": 500,
        "currency": "usd",
    },
    "private.session_reviews": {"session_id": uuid, "reason": "x"},
    "private.session_refunds": {
        "session_id": uuid,
        "key": text,
        "amount_cents": 1,
        "currency": "usd",
        "to_card_cents": 1,
        "to_credit_cents": 0,
    },
    "public.repair_quotes": {
        "session_id": uuid,
        "mechanic_id": uuid,
        "amount_cents": 1,
        "currency": "usd",
        "description": "x",
    },
    "private.stripe_events": {
        "id": text,
        "type": "x",
        "livemode": False,
        "payload": Jsonb({}),
    },
}

# What each check refuses: a row that differs in this from one that is as it should be.
CHECKS: dict[str, Values] = {
    "outbox.topic_is_known": {"topic": "x"},
    "outbox.key_is_bounded": {"key": ""},
    "outbox.payload_is_an_object": {"payload": Jsonb([])},
    "outbox.status_is_known": {"status": "x"},
    "outbox.only_a_done_row_is_emptied": {"payload": None},
    "outbox.only_a_leased_row_has_a_lease": {"status": "leased"},
    "outbox.only_a_done_row_has_done_at": {"status": "done"},
    "wake_ups.there_is_one_row": {"only_row": False},
    "ledger_accounts.name_is_known": {"name": "x", "balance_cents": None},
    "ledger_accounts.currency_is_an_iso_code": {"currency": "USD"},
    "ledger_accounts.only_credit_has_a_stored_balance": {"balance_cents": None},
    "ledger_accounts.credit_is_never_below_zero": {"balance_cents": -1},
    "ledger_transfers.key_is_bounded": {"key": "x"},
    "ledger_entries.amount_is_not_zero": {"amount_cents": 0},
    "refund_policies.shares_are_between_nothing_and_all": {
        "refund_bps": 6000,
        "mechanic_bps": 5000,
    },
    "mechanic_earnings.parts_add_up": {"gross_cents": 1},
    "mechanic_earnings.parts_are_not_negative": {"share_cents": -1, "platform_cents": 1},
    "stripe_accounts.account_is_a_connected_account": {"account": "x"},
    "payouts.kind_is_known": {"kind": "x"},
    "payouts.no_more_is_reversed_than_was_paid": {"reversed_cents": 101},
    "payouts.status_is_known": {"status": "x"},
    "payouts.only_a_blocked_payout_says_by_what": {"status": "blocked"},
    "payouts.what_blocks_is_known": {"status": "blocked", "blocked_by": "x"},
    "payouts.a_paid_payout_has_its_transfer": {"status": "paid"},
    "payouts.only_a_cancelled_payout_is_of_nothing": {"amount_cents": 0},
    "settlements.parts_add_up": {"platform_cents": 1},
    "settlements.parts_are_not_negative": {"share_cents": -1, "platform_cents": 1},
    "settlements.no_more_is_refunded_than_was_kept": {"refunded_later_cents": 1},
    "payments.currency_is_an_iso_code": {"currency": "USD"},
    "payments.purpose_is_known": {"purpose": "x"},
    "payments.only_received_money_is_paid": {"rank": "paid"},
    "payments.no_more_is_refunded_than_was_paid": {"refunded_cents": 101},
    "payments.applied_to_is_known": {"applied_to": "x", "rank": "paid", "received_at": NOW},
    "payments.what_is_applied_was_received": {"applied_to": "credit"},
    "refunds.amount_is_positive": {"amount_cents": 0},
    "refunds.status_is_known": {"status": "x"},
    "disputes.amount_is_positive": {"amount_cents": 0},
    "disputes.status_is_known": {"status": "x"},
    "checkout_intents.price_is_positive": {"price_cents": 0},
    "checkout_intents.status_is_known": {"status": "x"},
    "checkout_intents.only_a_paid_intent_has_its_session": {"status": "paid"},
    "session_extensions.minutes_are_positive": {"minutes": 0},
    "session_extensions.price_is_positive": {"price_cents": 0},
    "session_extensions.status_is_known": {"status": "x"},
    "session_extensions.only_an_applied_extension_has_applied_at": {"status": "applied"},
    "session_reviews.note_is_bounded": {"note": "x" * 1001},
    "session_refunds.amount_is_positive": {"amount_cents": 0, "to_card_cents": 0},
    "session_refunds.parts_add_up": {"to_credit_cents": 1},
    "repair_quotes.amount_is_positive": {"amount_cents": 0},
    "repair_quotes.description_is_bounded": {"description": ""},
    "repair_quotes.status_is_known": {"status": "x"},
    "repair_quotes.only_an_approved_quote_has_a_bonus": {"bonus_cents": 1},
    "repair_quotes.only_a_bonus_is_confirmed": {"bonus_confirmed_at": NOW},
    "stripe_events.status_is_known": {"status": "x"},
    "stripe_events.only_a_finished_event_is_emptied": {"payload": None},
    "stripe_events.only_a_failed_event_has_an_error": {"status": "failed"},
}

# What two rows have in common that a key refuses.
KEYS: dict[str, Values] = {
    "outbox.outbox_pkey": {"id": 1},
    "outbox.outbox_key_key": {"key": "x"},
    "wake_ups.wake_ups_pkey": {},
    "ledger_accounts.ledger_accounts_pkey": {"id": -1},
    "ledger_accounts.one_account_per_name_and_currency": {"name": f"customer_credit:{uuid4()}"},
    "ledger_transfers.ledger_transfers_pkey": {"id": -1},
    "ledger_transfers.one_transfer_per_key": {"key": "twice"},
    "ledger_entries.ledger_entries_pkey": {"transfer_id": -1, "account_id": -1},
    "refund_policies.refund_policies_pkey": {"reason": "x"},
    "mechanic_earnings.mechanic_earnings_pkey": {"session_id": uuid()},
    "stripe_accounts.stripe_accounts_pkey": {"user_id": uuid()},
    "stripe_accounts.stripe_accounts_account_key": {"account": "acct_twice"},
    "payouts.payouts_pkey": {"id": uuid()},
    "payouts.one_payout_per_source": {"source_id": uuid()},
    "payouts.payouts_stripe_transfer_id_key": {"stripe_transfer_id": "tr_twice"},
    "settlements.settlements_pkey": {"session_id": uuid()},
    "payments.payments_pkey": {"id": uuid()},
    "payments.payments_payment_intent_id_key": {"payment_intent_id": "pi_twice"},
    "payments.payments_checkout_session_id_key": {"checkout_session_id": "cs_twice"},
    "payments.payments_charge_id_key": {"charge_id": "ch_twice"},
    "refunds.refunds_pkey": {"id": uuid()},
    "refunds.refunds_key_key": {"key": "twice"},
    "refunds.refunds_stripe_refund_id_key": {"stripe_refund_id": "re_twice"},
    "disputes.disputes_pkey": {"id": "dp_twice"},
    "checkout_intents.checkout_intents_pkey": {"id": uuid()},
    "checkout_intents.one_intent_per_key": {"customer_user_id": uuid(), "idempotency_key": "x"},
    "session_extensions.session_extensions_pkey": {"id": uuid()},
    "session_extensions.one_pending_extension_per_session": {"session_id": uuid()},
    "session_reviews.session_reviews_pkey": {"id": -1},
    "session_refunds.session_refunds_pkey": {"id": uuid()},
    "session_refunds.one_refund_per_key": {"session_id": uuid(), "key": "x"},
    "repair_quotes.repair_quotes_pkey": {"id": uuid()},
    "repair_quotes.one_open_quote_per_session": {"session_id": uuid()},
    "repair_quotes.one_approved_quote_per_session": {
        "session_id": uuid(),
        "status": "approved",
        "bonus_cents": 0,
    },
    "stripe_events.stripe_events_pkey": {"id": "evt_twice"},
}

_KEYS_AND_CHECKS: LiteralString = """
select c.conrelid as table, c.conname as name, c.contype = 'c' as is_check
from pg_constraint c where c.contype in ('c', 'p', 'u', 'x')
union
select i.indrelid, n.relname, false
from pg_index i join pg_class n on n.oid = i.indexrelid where i.indisunique
"""


def table_of(name: str) -> str:
    (found,) = [table for table in ROWS if table.endswith("." + name.split(".")[0])]
    return found


def insert(owner: Connection, table: str, change: Values) -> None:
    row = {
        name: value() if callable(value) else value
        for name, value in {**ROWS[table], **change}.items()
    }
    owner.execute(
        sql.SQL("insert into {} ({}) overriding system value values ({})").format(
            sql.Identifier(*table.split(".")),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join(sql.Placeholder() * len(row)),
        ),
        list(row.values()),
    )


def refused_only_by(owner: Connection, name: str, change: Values) -> None:
    """The row is refused by this key or check, and by no other once it is gone."""
    table, constraint = table_of(name), name.split(".")[1]
    try:
        with pytest.raises(psycopg.IntegrityError) as refused, owner.transaction():
            insert(owner, table, change)
        assert refused.value.diag.constraint_name == constraint
        is_index = not owner.execute(
            "select from pg_constraint where conrelid = %s::regclass and conname = %s",
            (table, constraint),
        ).fetchall()
        if is_index:
            schema = table.split(".")[0]
            owner.execute(sql.SQL("drop index {}").format(sql.Identifier(schema, constraint)))
        else:
            owner.execute(
                sql.SQL("alter table {} drop constraint {} cascade").format(
                    sql.Identifier(*table.split(".")), sql.Identifier(constraint)
                )
            )
        insert(owner, table, change)
    finally:
        owner.rollback()


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_refuses_what_nothing_else_does(owner: Connection, name: str) -> None:
    """MON-01 to MON-20: without this check a row like this would be written."""
    refused_only_by(owner, name, CHECKS[name])


@pytest.mark.parametrize("name", KEYS)
def test_a_key_refuses_what_nothing_else_does(owner: Connection, name: str) -> None:
    """MON-01 to MON-18: without this key there would be two of what there is one of."""
    if name != "wake_ups.wake_ups_pkey":
        insert(owner, table_of(name), KEYS[name])
    refused_only_by(owner, name, KEYS[name])


def test_every_key_and_check_is_on_the_list(world: PooledWorld) -> None:
    """TEST-03: what is not probed here, or is no more, is found."""
    tables = made("table")
    assert tables == set(ROWS)
    ids = {
        world.row("select %s::regclass::oid as id", table)["id"]: table.split(".")[1]
        for table in tables
    }
    found = [row for row in world.rows(_KEYS_AND_CHECKS) if row["table"] in ids]
    for is_check, listed in ((True, CHECKS), (False, KEYS)):
        names = {
            f"{ids[row['table']]}.{row['name']}" for row in found if row["is_check"] == is_check
        }
        assert names == set(listed)


# Triggers ----------------------------------------------------------------------------------------

Probe: TypeAlias = Callable[[PooledWorld], None]


def case(name: str) -> Probe:
    """One of the interleavings."""
    return lambda world: interleavings.play(world, interleavings.CASES[name])


def queue(name: str) -> Probe:
    test = interleavings.test_two_who_queue_for_a_row_do_not_hold_what_the_other_needs
    return lambda world: test(world, interleavings.QUEUES[name])


def refused(statement: LiteralString) -> Probe:
    """This statement is refused to the superuser himself."""

    def probe(world: PooledWorld) -> None:
        with (
            world.db.connect("supabase_admin", autocommit=False) as superuser,
            pytest.raises(psycopg.Error),
        ):
            superuser.execute(statement)

    return probe


def new_rows_wake(world: PooledWorld) -> None:
    """MON-19"""
    for name in ("project_url", "dispatch_secret"):
        world.rows(
            "select vault.create_secret('http://api.test', %s) where not exists"
            " (select from vault.secrets where name = %s)",
            name,
            name,
        )
    world.execute("update private.wake_ups set last_at = '-infinity'")
    before = test_outbox.wake_ups(world)
    test_outbox.enqueue(world, "push", text())
    assert test_outbox.wake_ups(world) == before + 1


def unbalanced_entries_are_refused(world: PooledWorld) -> None:
    """MON-01"""
    bought(world)
    connection = world.borrow("system", autocommit=False)
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(
            "with t as (insert into private.ledger_transfers (key, occurred_at)"
            " values ('test', private.clock()) returning id)"
            " insert into private.ledger_entries"
            " select t.id, a.id, 1 from t, private.ledger_accounts a where a.name = 'stripe'"
        )
    connection.rollback()


def extension_of(world: World, scene: Any) -> str:
    found = world.row(
        "select status from public.session_extensions where id = %s", scene.of["extension"]
    )
    return str(found["status"])


def an_end_closes_the_sale(world: PooledWorld) -> None:
    """MON-09"""
    scene = extending(world)
    world.call("system", END, p_session_id=scene.id)
    assert extension_of(world, scene) == "failed"


def an_answer_counts(world: PooledWorld) -> None:
    """MON-08"""
    scene = cancelled(world)
    step = answers("succeeded")(world)
    step.on(step.by_caller(world, scene), scene)
    assert balances(world, scene) == ""


def a_dead_refund_is_reviewed(world: PooledWorld) -> None:
    """MON-18, MON-20"""
    scene = cancelled(world)
    world.execute("update private.outbox set attempts = 12")
    world.call("service_role", "fail_outbox", **failing(scene, is_ambiguous=False))
    found = world.row("select review from private.payments where id = %s", scene.of["payment"])
    assert found == {"review": "refund_dead"}


def a_late_extension_is_refunded(world: PooledWorld) -> None:
    """MON-11"""
    scene = extended_too_late(world)
    step = answers("succeeded")(world)
    step.on(step.by_caller(world, scene), scene)
    assert extension_of(world, scene) == "refunded"


def an_end_pays(world: PooledWorld) -> None:
    """MON-12"""
    assert ended(world).of["payout"]


def what_is_over_holds_nothing(world: PooledWorld) -> None:
    """MON-03"""
    scene = ended(world)
    connection = world.borrow("system", autocommit=False)
    connection.execute(
        "select private.post('test:' || %(id)s, %(id)s::uuid, private.clock(), 'usd',"
        " jsonb_build_object('stripe', -1, 'session_hold:' || %(id)s, 1))",
        {"id": str(scene.id)},
    )
    connection.execute("update public.sessions set status = 'refunded' where id = %s", [scene.id])
    with pytest.raises(psycopg.Error, match="state_without_proof"):
        connection.execute("set constraints all immediate")
    connection.rollback()


TRIGGERS: dict[str, tuple[str, Probe]] = {
    "new_rows_wake_the_dispatcher": ("private.outbox", new_rows_wake),
    "ledger_transfers_are_append_only": (
        "private.ledger_transfers",
        refused("delete from private.ledger_transfers where false"),
    ),
    "ledger_entries_are_append_only": (
        "private.ledger_entries",
        refused("update private.ledger_entries set amount_cents = 1 where false"),
    ),
    "ledger_accounts_are_never_removed": (
        "private.ledger_accounts",
        refused("delete from private.ledger_accounts where false"),
    ),
    "ledger_accounts_follow_their_entries": (
        "private.ledger_accounts",
        refused("update private.ledger_accounts set balance_cents = 1 where false"),
    ),
    "transfers_sum_to_zero": ("private.ledger_entries", unbalanced_entries_are_refused),
    "answers_to_refunds_count": ("private.outbox", an_answer_counts),
    "dead_refunds_are_reviewed": ("private.outbox", a_dead_refund_is_reviewed),
    "answers_to_transfers_count": ("private.outbox", case("transfer was made, then refund")),
    "ended_sessions_sell_no_more_time": ("public.session_events", an_end_closes_the_sale),
    "refunds_close_their_extensions": ("private.refunds", a_late_extension_is_refunded),
    "ended_sessions_settle_their_money": ("public.session_events", an_end_pays),
    "an_ended_session_holds_no_money": ("public.sessions", what_is_over_holds_nothing),
}


@contextmanager
def without_trigger(world: World, table: str, name: str) -> Iterator[None]:
    parts = {"table": sql.Identifier(*table.split(".")), "name": sql.Identifier(name)}
    with world.db.connect("supabase_admin") as superuser:
        superuser.execute(sql.SQL("alter table {table} disable trigger {name}").format(**parts))
    try:
        yield
    finally:
        with world.db.connect("supabase_admin") as superuser:
            superuser.execute(sql.SQL("alter table {table} enable trigger {name}").format(**parts))


def must_fail(probe: Probe, world: PooledWorld) -> None:
    try:
        with pytest.raises((AssertionError, psycopg.Error, pytest.fail.Exception)):
            probe(world)
    finally:
        world.give_back()
        # What is broken now is older than what the next probe looks at.
        world.advance(7 * 86400)


@pytest.mark.parametrize("name", TRIGGERS)
def test_without_its_trigger_the_probe_fails(world: PooledWorld, name: str) -> None:
    """TEST-03, MON-01 to MON-19: each trigger has a probe that needs it."""
    table, probe = TRIGGERS[name]
    probe(world)
    with without_trigger(world, table, name):
        must_fail(probe, world)


def test_every_trigger_is_on_the_list() -> None:
    """TEST-03: what is not probed here, or is no more, is found."""
    assert made("(?:constraint )?trigger") == set(TRIGGERS)


# Locks -------------------------------------------------------------------------------------------

LOCK = re.compile(
    r"\s+for (?:no key )?update(?: of \w+)?(?P<skips> skip locked)?|\s+for share"
    r"|perform pg_advisory_xact_lock\((?:[^;]*?)\);"
    r"|private\.lock_(?:own_)?session(?=\()|private\.lock_customer(?=\()",
    re.IGNORECASE,
)
_UNLOCKED = """
create or replace function private.lock_session_not(p_session_id uuid, p_user_id uuid default null)
returns public.sessions language sql as $$ select s from public.sessions s where s.id = $1 $$;
create or replace function private.lock_customer_not(p_customer_id uuid)
returns void language sql as $$ select $$;
"""


@dataclass(frozen=True)
class Elsewhere:
    """A mutation that another file has."""

    name: str


def order(status: str, step: Any) -> Probe:
    test = interleavings.test_payouts_are_taken_in_the_order_of_their_ids
    return lambda world: test(world, status, step)


# By function, in the order in which they stand there.
LOCKS: dict[str, list[Probe | Elsewhere]] = {
    "private.bury_abandoned": [interleavings.test_who_claims_skips_an_abandoned_row_in_other_hands],
    "private.claim_outbox": [Elsewhere("a claim waits for another")],
    "private.leased_row": [Elsewhere("a lease is looked up without a lock")],
    "private.requeue_outbox": [case("revived, then revived")],
    "private.empty_outbox": [interleavings.test_who_empties_effects_skips_one_in_other_hands],
    "private.wake_dispatcher": [Elsewhere("the throttle waits")],
    "private.lock_refunds": [
        interleavings.test_who_claims_skips_a_refund_that_a_refund_at_stripe_displaces
    ],
    "private.request_checkout": [case("proof, then another checkout")],
    "private.request_extension": [case("extension paid, then another is asked for")],
    "private.make_payout": [case("account is set, then end")],
    "private.give_back": [case("worker says failed, then refund of the newest")],
    "private.lock_payouts": [
        queue("dispute, then account is set"),
        queue("refund, then its transfer is revived"),
        case("payouts are sent, then refund"),
    ],
    "private.refund_session": [case("refund, then refund of more than is left")],
    "private.submit_payouts": [
        interleavings.test_who_submits_payouts_skips_one_that_is_being_refunded
    ],
    "private.payout_paid": [case("refund, then Stripe tells of a transfer given up")],
    "private.payout_reversed": [case("Stripe reversed it, then worker")],
    "private.unblock_payouts": [order("account", ACCOUNT)],
    "private.set_stripe_account": [case("end, then account is set")],
    "private.escalate_quote": [case("proposed, then proposed")],
    "private.decide_quote": [case("approved, then declined")],
    "private.confirm_quote_bonus": [case("dispute, then confirmed")],
    "private.record_checkout": [
        case("proof, then its checkout is noted"),
        case("another is asked for, then its checkout is noted"),
    ],
    "private.payment_named": [case("resolved as credit, then refund at Stripe")],
    "private.lock_session_of": [case("end, then refund at Stripe")],
    "private.on_checkout": [
        case("the customer creates, then proof"),
        case("end, then extension paid"),
    ],
    "private.from_credit": [case("credit is spent, then refund at Stripe")],
    "private.run_stripe_event": [case("a refund at Stripe, then proof")],
    "private.retry_stripe_event": [case("failed event comes again, then is retried")],
    "private.empty_stripe_events": [interleavings.test_who_empties_events_skips_one_in_other_hands],
    "private.lock_payment": [
        case("the customer creates, then applied"),
        case("end, then extension of another amount is applied"),
        case("refund at Stripe, then resolved as credit"),
    ],
    "private.refund_payment": [case("credit of an extension is spent, then paid back")],
    "private.resolve_payout": [
        queue("found at Stripe, then worker has sent it"),
        case("Stripe tells, then found at Stripe"),
    ],
    "private.resolve_review": [case("another refund at Stripe, then review is closed")],
}


@contextmanager
def without_lock(world: World, function: str, which: int) -> Iterator[None]:
    """The function without that one of its locks; one that skips who is locked waits for him."""
    before = definition(world, function)
    lock = list(LOCK.finditer(before))[which]
    found = lock.group()
    if lock.group("skips"):
        left = found.replace(lock.group("skips"), "")
    elif found.startswith("private."):
        left = found.replace("_own", "") + "_not"
    else:
        left = ""
    with world.db.connect("supabase_admin") as superuser:
        superuser.execute(_UNLOCKED.encode())
        superuser.execute((before[: lock.start()] + left + before[lock.end() :]).encode())
    try:
        yield
    finally:
        with world.db.connect("supabase_admin") as superuser:
            superuser.execute(before.encode())


def probes() -> dict[str, tuple[str, int, Probe]]:
    return {
        f"{function} {which}": (function, which, probe)
        for function, listed in LOCKS.items()
        for which, probe in enumerate(listed)
        if not isinstance(probe, Elsewhere)
    }


@pytest.mark.parametrize("name", probes())
def test_without_its_lock_the_probe_fails(world: PooledWorld, name: str) -> None:
    """TEST-03, MON-04 to MON-20: each lock has a probe that needs it."""
    function, which, probe = probes()[name]
    probe(world)
    with without_lock(world, function, which):
        must_fail(probe, world)


def test_every_lock_is_on_the_list(world: PooledWorld) -> None:
    """TEST-03: what is not probed here, or is no more, is found."""
    functions = {name for name in made("function") if name.startswith("private.")}
    found = {name: len(LOCK.findall(definition(world, name))) for name in sorted(functions)}
    assert {name: n for name, n in found.items() if n} == {
        name: len(listed) for name, listed in LOCKS.items()
    }
    for function, listed in LOCKS.items():
        for probe in listed:
            if isinstance(probe, Elsewhere):
                assert test_outbox.MUTATIONS[probe.name].function == function
