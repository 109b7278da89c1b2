"""Many mechanics at one assignment, and one mechanic at many."""

from __future__ import annotations

from support.world import World, call_on, expect, meanwhile, race


def test_thirty_two_mechanics_accept_one_assignment_and_one_wins(world: World) -> None:
    """QUE-03: exactly one winner, 31 are told assignment_taken."""
    session, assignment = world.queued_session()
    mechanics = [world.mechanic() for _ in range(32)]
    callers = [world.connect(mechanic) for mechanic in mechanics]

    ends = race(
        [(caller, "accept_assignment", {"p_assignment_id": assignment}) for caller in callers]
    )

    assert len(ends.answers) == 1
    assert len(ends.refusals) == 31
    assert {(refusal.code, refusal.status) for refusal in ends.refusals} == {
        ("assignment_taken", 409)
    }
    winner = ends.answers[0][0]["mechanic_id"]
    assert winner in mechanics
    assert world.session(session)["mechanic_id"] == winner
    assert world.session(session)["status"] == "waiting"
    assert world.event_types(session) == ["created", "accepted"]
    open_rows = world.rows(
        "select user_id from public.session_participants"
        " where session_id = %s and role = 'mechanic'",
        session,
    )
    assert [row["user_id"] for row in open_rows] == [winner]


def test_one_mechanic_accepting_two_assignments_at_once_is_busy_for_one(world: World) -> None:
    """QUE-03: max_active_sessions_per_mechanic holds under parallel accepts of two sessions."""
    mechanic = world.mechanic()
    assignments = [world.queued_session()[1] for _ in range(2)]

    ends = race(
        [
            (world.connect(mechanic), "accept_assignment", {"p_assignment_id": assignment})
            for assignment in assignments
        ]
    )

    assert len(ends.answers) == 1
    assert [(refusal.code, refusal.status) for refusal in ends.refusals] == [("mechanic_busy", 409)]
    held = world.row("select count(*) as n from public.sessions where mechanic_id = %s", mechanic)
    assert held["n"] == 1
    queued = world.row(
        "select count(*) as n from public.session_assignments where status = 'queued'"
    )
    assert queued["n"] == 1


def test_second_accept_of_a_mechanic_waits_for_his_first(world: World) -> None:
    """QUE-03: the second accept decides only once the first has committed."""
    mechanic = world.mechanic()
    first = world.connect(mechanic, autocommit=False)
    second = world.connect(mechanic)
    one, other = (world.queued_session()[1] for _ in range(2))
    call_on(first, "accept_assignment", p_assignment_id=one)

    with meanwhile(lambda: call_on(second, "accept_assignment", p_assignment_id=other)) as later:
        world.wait_until_blocked(second)
        first.commit()
        with expect("mechanic_busy", 409):
            later.result(timeout=10)


def test_accept_that_lost_the_race_is_told_so_after_the_winner_commits(world: World) -> None:
    """QUE-03: the loser waits for the winner's transaction and then hears assignment_taken."""
    _, assignment = world.queued_session()
    winner = world.connect(world.mechanic(), autocommit=False)
    loser = world.connect(world.mechanic())
    call_on(winner, "accept_assignment", p_assignment_id=assignment)

    with meanwhile(
        lambda: call_on(loser, "accept_assignment", p_assignment_id=assignment)
    ) as later:
        world.wait_until_blocked(loser)
        winner.commit()
        with expect("assignment_taken", 409):
            later.result(timeout=10)


def test_accept_takes_the_place_of_one_that_rolled_back(world: World) -> None:
    """QUE-03: an accept that did not commit leaves the assignment to the next one."""
    session, assignment = world.queued_session()
    gone = world.connect(world.mechanic(), autocommit=False)
    next_one = world.mechanic()
    other = world.connect(next_one)
    call_on(gone, "accept_assignment", p_assignment_id=assignment)

    with meanwhile(
        lambda: call_on(other, "accept_assignment", p_assignment_id=assignment)
    ) as later:
        world.wait_until_blocked(other)
        gone.rollback()
        assert later.result(timeout=10)[0]["mechanic_id"] == next_one
    assert world.session(session)["mechanic_id"] == next_one


def test_repeated_accepts_of_the_winner_in_parallel_are_one_accept(world: World) -> None:
    """QUE-03: ten taps of one mechanic's thumb give one accept and ten equal rows."""
    session, assignment = world.queued_session()
    mechanic = world.mechanic()
    ends = race(
        [
            (world.connect(mechanic), "accept_assignment", {"p_assignment_id": assignment})
            for _ in range(10)
        ]
    )
    assert ends.refusals == []
    assert {rows[0]["version"] for rows in ends.answers} == {world.session(session)["version"]}
    assert world.event_types(session).count("accepted") == 1


def test_accept_against_an_end_by_the_customer(world: World) -> None:
    """QUE-03, END-05: an accept that waits for a cancellation finds the session over."""
    customer = world.customer()
    session, assignment = world.queued_session(customer)
    ender = world.connect(customer, autocommit=False)
    accepter = world.connect(world.mechanic())
    call_on(ender, "end_session_with_semantics", p_session_id=session)

    with meanwhile(
        lambda: call_on(accepter, "accept_assignment", p_assignment_id=assignment)
    ) as later:
        world.wait_until_blocked(accepter)
        ender.commit()
        with expect("session_ended", 410):
            later.result(timeout=10)
    assert world.session(session)["mechanic_id"] is None
    assert world.session(session)["status"] == "cancelled"
