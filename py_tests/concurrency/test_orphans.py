"""The orphan sweep beside people who are busy with the same sessions."""

from __future__ import annotations

from uuid import UUID

from concurrency.interleaving import PooledWorld, unhindered
from support.world import call_on, race


def _expired(world: PooledWorld) -> list[UUID]:
    return [
        row["id"] for row in world.rows("select id from public.sessions where status = 'expired'")
    ]


def _sweep(world: PooledWorld) -> int:
    """How many a sweep has expired, which waits for nobody."""
    rows = unhindered(world, world.borrow("system"), "expire_orphaned_sessions")
    return int(rows[0]["expire_orphaned_sessions"])


def test_sweep_skips_locked_sessions_and_takes_the_rest(world: PooledWorld) -> None:
    """TIME-05: a session somebody holds is left for the next run; the sweep does not wait."""
    sessions = [world.queued_session()[0] for _ in range(3)]
    world.advance(121 * 60)
    holder = world.db.connect("postgres", autocommit=False)
    holder.execute("select 1 from public.sessions where id = %s for update", (sessions[1],))
    try:
        assert _sweep(world) == 2
        assert set(_expired(world)) == {sessions[0], sessions[2]}
    finally:
        holder.rollback()
        holder.close()
    assert _sweep(world) == 1
    assert _sweep(world) == 0


def test_parallel_sweeps_expire_every_session_once(world: PooledWorld) -> None:
    """TIME-05: four sweeps at once share the work, and no session is expired twice."""
    sessions = {world.queued_session()[0] for _ in range(12)}
    world.advance(121 * 60)

    ends = race([(world.connect("system"), "expire_orphaned_sessions", {}) for _ in range(4)])

    assert ends.refusals == []
    assert sum(rows[0]["expire_orphaned_sessions"] for rows in ends.answers) + _sweep(world) == 12
    assert set(_expired(world)) == sessions
    ended = world.row("select count(*) as n from public.session_events where type = 'ended'")
    assert ended["n"] == 12


def test_sweeps_beside_ends_leave_one_end_a_session(world: PooledWorld) -> None:
    """TIME-05, END-05: sweep and customers end the same sessions at once; each ends once."""
    customers = [world.customer() for _ in range(6)]
    sessions = [world.queued_session(customer)[0] for customer in customers]
    world.advance(121 * 60)
    ends = race(
        [
            (world.connect(customer), "end_session_with_semantics", {"p_session_id": session})
            for customer, session in zip(customers, sessions, strict=True)
        ]
        + [(world.connect("system"), "expire_orphaned_sessions", {}) for _ in range(2)]
    )
    assert ends.refusals == []
    for session in sessions:
        assert world.session(session)["status"] in {"expired", "cancelled"}
        assert world.event_types(session).count("ended") == 1


def test_sweep_that_lost_the_session_to_an_accept_leaves_it(world: PooledWorld) -> None:
    """TIME-05: an accept that commits first restarts the waiting time."""
    session, assignment = world.queued_session()
    world.advance(121 * 60)
    mechanic = world.connect(world.mechanic(), autocommit=False)
    call_on(mechanic, "accept_assignment", p_assignment_id=assignment)

    assert _sweep(world) == 0
    mechanic.commit()
    assert _sweep(world) == 0
    assert world.session(session)["status"] == "waiting"
