"""Ends of diagnostic sessions of the older system that meet each other."""

from __future__ import annotations

import time
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from support.world import World, call_on, expect, meanwhile, race


@pytest.fixture
def diagnostic(world: World) -> tuple[UUID, UUID, UUID]:
    """A live diagnostic session of ten minutes so far: its id, its customer and its mechanic."""
    session, customer, mechanic = uuid4(), world.customer(), world.mechanic()
    world.clock_at(world.now())
    world.execute(
        "insert into public.diagnostic_sessions"
        " (id, customer_user_id, mechanic_id, status, started_at, duration_minutes)"
        " values (%s, %s, %s, 'live', %s, 60)",
        session,
        customer,
        mechanic,
        world.now() - timedelta(minutes=10),
    )
    return session, customer, mechanic


def test_many_ends_are_one(world: World, diagnostic: tuple[UUID, UUID, UUID]) -> None:
    """END-06, END-05: one end, one event, and the same answer in every field but already_ended."""
    session, customer, mechanic = diagnostic
    callers = [world.connect(who) for who in (customer, mechanic, "system") for _ in range(4)]
    ends = race(
        [(caller, "end_session_with_semantics", {"p_session_id": session}) for caller in callers]
    )
    assert ends.refusals == []
    answers = [rows[0] for rows in ends.answers]
    assert sorted(answer.pop("already_ended") for answer in answers) == [False] + [True] * 11
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["duration_seconds"] == 600
    assert world.event_types(session) == ["ended"]


def test_second_end_waits_for_the_first(world: World, diagnostic: tuple[UUID, UUID, UUID]) -> None:
    """END-06, END-05: who comes while another end is being written gets that end's answer."""
    session, customer, mechanic = diagnostic
    first = world.connect(customer, autocommit=False)
    second = world.connect(mechanic)
    answer = call_on(first, "end_session_with_semantics", p_session_id=session)[0]
    with meanwhile(
        lambda: call_on(second, "end_session_with_semantics", p_session_id=session)
    ) as later:
        world.wait_until_blocked(second)
        first.commit()
        repeated = later.result(timeout=10)[0]
    assert (answer.pop("already_ended"), repeated.pop("already_ended")) == (False, True)
    assert answer == repeated


def test_end_that_was_rolled_back_never_was(
    world: World, diagnostic: tuple[UUID, UUID, UUID]
) -> None:
    """END-06, END-05: who waited for an end that did not happen ends it."""
    session, customer, mechanic = diagnostic
    first = world.connect(customer, autocommit=False)
    second = world.connect(mechanic)
    call_on(first, "end_session_with_semantics", p_session_id=session)
    with meanwhile(
        lambda: call_on(second, "end_session_with_semantics", p_session_id=session)
    ) as later:
        world.wait_until_blocked(second)
        first.rollback()
        assert later.result(timeout=10)[0]["already_ended"] is False
    event = world.row("select actor_id from public.session_events where session_id = %s", session)
    assert event["actor_id"] == mechanic


def test_wait_for_its_lock_is_bounded(world: World, diagnostic: tuple[UUID, UUID, UUID]) -> None:
    """END-06, ERR-01: after about three seconds the caller hears session_locked, with a hint."""
    session, customer, _ = diagnostic
    holder = world.db.connect("postgres", autocommit=False)
    holder.execute("select 1 from public.diagnostic_sessions where id = %s for update", (session,))
    caller = world.connect(customer)
    began = time.monotonic()
    with expect("session_locked", 409) as refused:
        call_on(caller, "end_session_with_semantics", p_session_id=session)
    assert 2.5 <= time.monotonic() - began <= 6
    assert refused.hint
    # A preview takes no lock, so it does not wait.
    preview = call_on(caller, "preview_end", p_session_id=session)[0]
    assert preview["final_status"] == "completed"
    holder.rollback()
    holder.close()
    assert call_on(caller, "end_session_with_semantics", p_session_id=session)[0]["started"] is True
