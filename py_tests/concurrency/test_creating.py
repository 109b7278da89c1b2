"""Many calls of one customer at once make one session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from support.world import Connection, World, call_on, expect, meanwhile, race


def test_twenty_parallel_creates_make_one_session(world: World) -> None:
    """LIFE-03, MOD-05: one session, and 19 callers are told its id."""
    customer = world.customer()
    callers = [world.connect(customer) for _ in range(20)]

    ends = race([(caller, "create_session", {"p_plan": "chat10"}) for caller in callers])

    assert len(ends.answers) == 1
    assert len(ends.refusals) == 19
    session = ends.answers[0][0]["id"]
    assert {(refusal.code, refusal.status) for refusal in ends.refusals} == {
        ("active_session_exists", 409)
    }
    assert all(refusal.detail and str(session) in refusal.detail for refusal in ends.refusals)
    assert world.row("select count(*) as n from public.sessions")["n"] == 1
    assert world.row("select count(*) as n from public.session_assignments")["n"] == 1
    assert world.row("select count(*) as n from public.session_participants")["n"] == 1
    assert world.event_types(session) == ["created"]


def test_second_create_waits_for_the_first_and_is_told_its_id(world: World) -> None:
    """LIFE-03: the second call waits for the first transaction, then names its session."""
    customer = world.customer()
    first = world.connect(customer, autocommit=False)
    second = world.connect(customer)
    session = call_on(first, "create_session", p_plan="chat10")[0]["id"]

    with meanwhile(lambda: call_on(second, "create_session", p_plan="video15")) as later:
        world.wait_until_blocked(second)
        first.commit()
        with expect("active_session_exists", 409) as refused:
            later.result(timeout=10)
    assert str(session) in str(refused.detail)


def test_second_create_succeeds_when_the_first_rolls_back(world: World) -> None:
    """LIFE-03: a session that was never committed stands in nobody's way."""
    customer = world.customer()
    first = world.connect(customer, autocommit=False)
    second = world.connect(customer)
    call_on(first, "create_session", p_plan="chat10")

    with meanwhile(lambda: call_on(second, "create_session", p_plan="chat10")) as later:
        world.wait_until_blocked(second)
        first.rollback()
        rows = later.result(timeout=10)
    assert rows[0]["status"] == "pending"
    assert world.row("select count(*) as n from public.sessions")["n"] == 1


@contextmanager
def _copy_of_a_session(world: World, template: UUID, customer: UUID) -> Iterator[Connection]:
    """An uncommitted active session of the customer, written without any lock of the engine's."""
    connection = world.db.connect("supabase_admin", autocommit=False)
    try:
        # Foreign keys would lock the profile, which is what a real create waits for first.
        connection.execute("set local session_replication_role = replica")
        columns = [
            sql.Identifier(row["attname"])
            for row in world.rows(
                "select attname from pg_attribute where attrelid = 'public.sessions'::regclass"
                " and attnum > 0 and not attisdropped and attgenerated = ''"
            )
        ]
        connection.execute(
            sql.SQL(
                "insert into public.sessions ({}) select {} from public.sessions s,"
                " jsonb_populate_record(s, jsonb_build_object("
                "   'id', %s::uuid, 'customer_user_id', %s::uuid)) as copy"
                " where s.id = %s"
            ).format(
                sql.SQL(", ").join(columns),
                sql.SQL(", ").join(sql.SQL("copy.{}").format(column) for column in columns),
            ),
            (uuid4(), customer, template),
        )
        yield connection
    finally:
        connection.close()


@pytest.mark.rows_are_changed_by_hand
def test_unique_index_alone_keeps_a_second_active_session_out(world: World) -> None:
    """LIFE-03, MOD-05: without the profile's lock and a look before, the index still refuses."""
    template, _ = world.queued_session()
    customer = world.customer()
    creator = world.connect(customer)
    with (
        _copy_of_a_session(world, template, customer) as raw,
        meanwhile(lambda: call_on(creator, "create_session", p_plan="chat10")) as later,
    ):
        world.wait_until_blocked(creator)
        raw.commit()
        with expect("active_session_exists", 409) as refused:
            later.result(timeout=10)
    existing = world.row("select id from public.sessions where customer_user_id = %s", customer)
    assert str(existing["id"]) in str(refused.detail)


def test_the_index_is_what_refuses_a_raw_second_session(world: World) -> None:
    """MOD-05: a raw pair of active sessions fails on the index, and gets in without it."""
    template, _ = world.queued_session()
    owner = world.session(template)["customer_user_id"]
    with (
        pytest.raises(psycopg.errors.UniqueViolation) as refused,
        _copy_of_a_session(world, template, owner),
    ):
        pass
    assert refused.value.diag.constraint_name == "uq_active_session_per_customer"

    world.execute("drop index public.uq_active_session_per_customer")
    with _copy_of_a_session(world, template, owner):
        pass


def test_parallel_creates_with_one_idempotency_key_get_the_same_session(world: World) -> None:
    """LIFE-04: ten parallel repetitions of one request all get the one session it made."""
    customer = world.customer()
    callers = [world.connect(customer) for _ in range(10)]
    request: dict[str, object] = {"p_plan": "chat10", "p_idempotency_key": "tap-1"}

    ends = race([(caller, "create_session", request) for caller in callers])

    assert ends.refusals == []
    assert len({rows[0]["id"] for rows in ends.answers}) == 1
    assert world.row("select count(*) as n from public.sessions")["n"] == 1
    assert world.event_types(ends.answers[0][0]["id"]) == ["created"]


def test_parallel_creates_with_one_key_and_other_arguments_conflict(world: World) -> None:
    """LIFE-04: one request wins the key, each different one is an idempotency_conflict."""
    customer = world.customer()
    plans = ["chat10", "video15", "diagnostic"]
    ends = race(
        [
            (
                world.connect(customer),
                "create_session",
                {"p_plan": plan, "p_idempotency_key": "tap-2"},
            )
            for plan in plans
        ]
    )
    assert len(ends.answers) == 1
    assert ends.codes == {"idempotency_conflict"}
    assert len(ends.refusals) == 2


def test_customers_do_not_wait_for_each_other(world: World) -> None:
    """LIFE-03: an open create of one customer blocks no other customer."""
    first = world.connect(world.customer(), autocommit=False)
    second = world.connect(world.customer())
    call_on(first, "create_session", p_plan="chat10")
    second.execute("set lock_timeout = '500ms'")
    assert call_on(second, "create_session", p_plan="chat10")[0]["status"] == "pending"
    first.rollback()
