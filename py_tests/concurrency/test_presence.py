"""Two people arrive at the same moment; the session starts once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from support.world import World, call_on, expect, meanwhile, race


def test_parallel_joins_start_the_session_exactly_once(world: World) -> None:
    """PRE-02: ten joins from five tabs of each side give one start."""
    made = world.waiting_session()
    callers = [world.connect(who) for who in (made.customer, made.mechanic) for _ in range(5)]

    ends = race([(caller, "join_session", {"p_session_id": made.id}) for caller in callers])

    assert ends.refusals == []
    session = world.session(made.id)
    assert session["status"] == "live"
    assert world.event_types(made.id).count("started") == 1
    assert world.event_types(made.id).count("joined") == 2
    assert session["expires_at"] == session["started_at"] + timedelta(minutes=30)
    starts = {rows[0]["started_at"] for rows in ends.answers} - {None}
    assert starts == {session["started_at"]}


@pytest.mark.parametrize("first", ["customer", "mechanic"])
def test_second_join_waits_for_the_first_and_starts(world: World, first: str) -> None:
    """PRE-02: whoever commits second sees the other and starts, in whichever order."""
    made = world.waiting_session()
    people = [made.customer, made.mechanic]
    if first == "mechanic":
        people.reverse()
    early = world.connect(people[0], autocommit=False)
    late = world.connect(people[1])
    assert call_on(early, "join_session", p_session_id=made.id)[0]["status"] == "waiting"

    with meanwhile(lambda: call_on(late, "join_session", p_session_id=made.id)) as later:
        world.wait_until_blocked(late)
        early.commit()
        assert later.result(timeout=10)[0]["status"] == "live"
    assert world.event_types(made.id).count("started") == 1


def test_join_that_waits_for_an_end_finds_the_session_over(world: World) -> None:
    """PRE-01, END-05: a join behind an end is told session_ended and changes nothing."""
    made = world.waiting_session()
    ender = world.connect(made.customer, autocommit=False)
    joiner = world.connect(made.mechanic)
    call_on(ender, "end_session_with_semantics", p_session_id=made.id)

    with meanwhile(lambda: call_on(joiner, "join_session", p_session_id=made.id)) as later:
        world.wait_until_blocked(joiner)
        ender.commit()
        with expect("session_ended", 410):
            later.result(timeout=10)
    session = world.session(made.id)
    assert session["status"] == "cancelled"
    assert session["started_at"] is None
    connected = world.rows(
        "select 1 as x from public.session_participants where session_id = %s and is_connected",
        made.id,
    )
    assert connected == []


def test_end_that_waits_for_a_join_ends_what_the_join_started(world: World) -> None:
    """PRE-02, END-02: an end behind the second join ends a started session."""
    made = world.waiting_session()
    world.call(made.customer, "join_session", p_session_id=made.id)
    joiner = world.connect(made.mechanic, autocommit=False)
    ender = world.connect(made.customer)
    assert call_on(joiner, "join_session", p_session_id=made.id)[0]["status"] == "live"

    with meanwhile(
        lambda: call_on(ender, "end_session_with_semantics", p_session_id=made.id)
    ) as later:
        world.wait_until_blocked(ender)
        joiner.commit()
        result = later.result(timeout=10)[0]
    assert result["started"] is True
    assert result["final_status"] == "cancelled"
    assert result["reason"] == "too_short"
    assert world.event_types(made.id)[-2:] == ["started", "ended"]


def test_joins_against_ends_leave_one_consistent_end(world: World) -> None:
    """PRE-02, END-05: joins and ends let go together always leave an ended session and one end."""
    made = world.waiting_session()
    world.call(made.customer, "join_session", p_session_id=made.id)
    join: dict[str, object] = {"p_session_id": made.id}
    calls = []
    for _ in range(4):
        calls.append((world.connect(made.mechanic), "join_session", join))
        calls.append((world.connect(made.customer), "end_session_with_semantics", join))

    ends = race(calls)

    assert ends.codes <= {"session_ended"}
    session = world.session(made.id)
    types = world.event_types(made.id)
    assert session["status"] == "cancelled"
    assert types.count("ended") == 1
    assert types.count("started") == (1 if session["started_at"] else 0)
    assert session["end_reason"] == (
        "too_short" if session["started_at"] else "cancelled_by_customer"
    )


def test_heartbeat_does_not_wait_for_an_open_join_of_the_other(world: World) -> None:
    """PRE-01: a heartbeat touches one row and waits for nobody's session lock."""
    made = world.live_session()
    holder = world.db.connect("postgres", autocommit=False)
    holder.execute("select 1 from public.sessions where id = %s for update", (made.id,))
    beating = world.connect(made.customer)
    beating.execute("set lock_timeout = '1s'")
    try:
        assert call_on(beating, "heartbeat_session", p_session_id=made.id)[0]["status"] == "live"
    finally:
        holder.rollback()
        holder.close()


def test_every_connection_sees_the_stopped_clock(world: World) -> None:
    """MOD-02: one clock, and all rules read it."""
    reading = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
    world.clock_at(reading)
    made = world.live_session()
    assert world.session(made.id)["started_at"] == reading
    assert world.session(made.id)["created_at"] == reading
