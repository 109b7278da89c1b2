"""Many ends of one session are one end."""

from __future__ import annotations

import time
from uuid import UUID

from support.world import Row, World, call_on, expect, meanwhile, race


def _without_already_ended(row: Row) -> Row:
    return {key: value for key, value in row.items() if key != "already_ended"}


def _end_rows(world: World, session: UUID) -> list[list[Row]]:
    return [
        world.rows("select * from public.sessions where id = %s", session),
        world.rows(
            "select * from public.session_participants where session_id = %s order by user_id",
            session,
        ),
        world.rows("select * from public.session_assignments where session_id = %s", session),
        world.rows(
            "select * from public.session_events where session_id = %s order by id", session
        ),
    ]


def test_twenty_parallel_ends_are_one_end_and_twenty_equal_answers(world: World) -> None:
    """END-05: one end, one event, and the same answer in every field but already_ended."""
    made = world.live_session()
    world.advance(75)
    callers = [
        world.connect(who)
        for who in (made.customer, made.mechanic, world.admin(), "system")
        for _ in range(5)
    ]

    ends = race(
        [(caller, "end_session_with_semantics", {"p_session_id": made.id}) for caller in callers]
    )

    assert ends.refusals == []
    answers = [rows[0] for rows in ends.answers]
    assert len(answers) == 20
    assert [answer["already_ended"] for answer in answers].count(False) == 1
    assert all(_without_already_ended(a) == _without_already_ended(answers[0]) for a in answers)
    assert answers[0]["final_status"] == "completed"
    assert answers[0]["duration_seconds"] == 75
    assert world.event_types(made.id).count("ended") == 1


def test_second_end_waits_for_the_first_and_gets_its_answer(world: World) -> None:
    """END-05: both clients whose timers reach zero together get the answer, not an error."""
    made = world.live_session()
    world.advance(61)
    first = world.connect(made.customer, autocommit=False)
    second = world.connect(made.mechanic)
    answer = call_on(first, "end_session_with_semantics", p_session_id=made.id)[0]

    with meanwhile(
        lambda: call_on(second, "end_session_with_semantics", p_session_id=made.id)
    ) as later:
        world.wait_until_blocked(second)
        first.commit()
        repeated = later.result(timeout=10)[0]
    assert (answer["already_ended"], repeated["already_ended"]) == (False, True)
    assert _without_already_ended(answer) == _without_already_ended(repeated)


def test_repeating_an_end_later_changes_nothing(world: World) -> None:
    """END-02: an end of an ended session returns what is stored and writes nothing."""
    made = world.live_session()
    world.advance(80)
    first = world.one(made.customer, "end_session_with_semantics", p_session_id=made.id)
    before = _end_rows(world, made.id)
    world.advance(3600)
    again = world.one("service_role", "end_session_with_semantics", p_session_id=made.id)
    assert again["already_ended"] is True
    assert _without_already_ended(first) == _without_already_ended(again)
    assert _end_rows(world, made.id) == before


def test_wait_for_a_session_lock_is_bounded(world: World) -> None:
    """END-05, ERR-01: after about three seconds the caller hears session_locked, with a hint."""
    made = world.live_session()
    holder = world.db.connect("postgres", autocommit=False)
    holder.execute("select 1 from public.sessions where id = %s for update", (made.id,))
    caller = world.connect(made.customer)
    began = time.monotonic()
    try:
        with expect("session_locked", 409) as refused:
            call_on(caller, "end_session_with_semantics", p_session_id=made.id)
    finally:
        waited = time.monotonic() - began
        holder.rollback()
        holder.close()
    assert 2.5 <= waited <= 6
    assert refused.hint
    assert call_on(caller, "end_session_with_semantics", p_session_id=made.id)[0]["started"] is True


def test_other_commands_are_bounded_too(world: World) -> None:
    """ERR-01: accept, join and leave behind a held session lock end in session_locked."""
    customer, mechanic = world.customer(), world.mechanic()
    session, assignment = world.queued_session(customer)
    holder = world.db.connect("postgres", autocommit=False)
    holder.execute("select 1 from public.sessions where id = %s for update", (session,))
    try:
        ends = race(
            [
                (world.connect(mechanic), "accept_assignment", {"p_assignment_id": assignment}),
                (world.connect(customer), "join_session", {"p_session_id": session}),
                (world.connect(customer), "leave_session", {"p_session_id": session}),
            ]
        )
    finally:
        holder.rollback()
        holder.close()
    assert ends.answers == []
    assert [(refusal.code, refusal.status) for refusal in ends.refusals] == [
        ("session_locked", 409)
    ] * 3


def test_lock_bound_does_not_outlive_the_call(world: World) -> None:
    """ERR-01: the caller's own lock_timeout is as it was after a call."""
    made = world.live_session()
    caller = world.connect(made.customer, autocommit=False)
    caller.execute("set local lock_timeout = '7s'")
    call_on(caller, "end_session_with_semantics", p_session_id=made.id)
    found = caller.execute("show lock_timeout").fetchone()
    assert found is not None
    assert found["lock_timeout"] == "7s"
    caller.rollback()


def test_deleting_an_account_beside_an_end_is_never_blocked(world: World) -> None:
    """MOD-03: a deletion beside an end of the same session succeeds, and the session ends once."""
    made = world.live_session()
    world.advance(80)
    ender = world.connect(made.mechanic, autocommit=False)
    call_on(ender, "end_session_with_semantics", p_session_id=made.id)
    auth = world.db.connect("supabase_auth_admin")

    def delete() -> list[Row]:
        auth.execute("delete from auth.users where id = %s", (made.customer,))
        return []

    with meanwhile(delete) as later:
        world.wait_until_blocked(auth)
        ender.commit()
        later.result(timeout=10)
    auth.close()
    assert world.session(made.id)["status"] == "completed"
    assert world.event_types(made.id).count("ended") == 1
    profile = world.row("select * from public.profiles where id = %s", made.customer)
    assert profile["deleted_at"] is not None


def test_deletion_goes_on_when_the_session_stays_locked(world: World) -> None:
    """MOD-03: somebody who holds the session for longer than the bound blocks no deletion."""
    made = world.live_session()
    holder = world.db.connect("postgres", autocommit=False)
    holder.execute("select 1 from public.sessions where id = %s for update", (made.id,))
    auth = world.db.connect("supabase_auth_admin")
    try:
        auth.execute("delete from auth.users where id = %s", (made.customer,))
    finally:
        holder.rollback()
        holder.close()
        auth.close()
    profile = world.row("select * from public.profiles where id = %s", made.customer)
    assert profile["deleted_at"] is not None
    assert profile["email"] is None
