"""Correcting sessions while others hold them: one correction, one payment, and no waiting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg.types.json import Jsonb

from concurrency.test_money import SHARE, balance, completed, effects, owed, payout
from support.world import Live, World, call_on, expect, meanwhile, race


@pytest.fixture(autouse=True)
def exact(world: World) -> Iterator[None]:
    """MON-03, MOV-06: whatever a test of this file does, money and events are right afterwards."""
    yield
    assert world.rows("select * from public.ledger_invariants()") == []
    assert world.rows("select * from public.verify_replay()") == []


def lasted(world: World, made: Live, seconds: int) -> None:
    """Its end recorded other facts than were decided on, as an older engine may have left it."""
    world.execute("alter table public.session_events disable trigger user")
    world.execute(
        "update public.session_events"
        " set payload = jsonb_set(payload, '{facts}', payload -> 'facts' || %s)"
        " where type = 'ended' and session_id = %s",
        Jsonb({"both_present_seconds": seconds}),
        made.id,
    )
    world.execute(
        "update public.session_events set payload = jsonb_set(payload, '{facts,over_at}', to_jsonb("
        "(payload -> 'facts' ->> 'started_at')::timestamptz + make_interval(secs => %s)))"
        " where type = 'ended' and session_id = %s",
        seconds,
        made.id,
    )
    world.execute("alter table public.session_events enable trigger user")


def too_short(world: World) -> Live:
    """Completed and paid, and it had lasted ten seconds."""
    made = completed(world)
    lasted(world, made, 10)
    return made


def corrections(world: World, made: Live) -> int:
    return world.event_types(made.id).count("corrected")


def given_back(world: World, made: Live) -> bool:
    """Everything went back, once."""
    return (
        sum(effects(world, made, "stripe.refund")) == 1500
        and payout(world, made) == (0, "cancelled")
        and owed(world, made) == 0
        and balance(world, "platform_revenue") == 0
    )


def test_eight_fixes_at_once_correct_a_session_once(world: World) -> None:
    """MOV-05: whoever comes first corrects it, the others find nothing to do."""
    made = too_short(world)
    fixes = race(
        [
            (world.connect(world.admin()), "apply_semantic_fix", {"p_dry_run": False})
            for _ in range(8)
        ]
    )
    assert fixes.refusals == []
    assert [row["session_id"] for rows in fixes.answers for row in rows] == [made.id]
    assert corrections(world, made) == 1
    assert given_back(world, made)


def test_a_fix_leaves_what_another_holds_and_corrects_the_rest(world: World) -> None:
    """MOV-05: batches skip locked rows; what was skipped is found by the next run."""
    held, free = too_short(world), too_short(world)
    holder = world.connect("system", autocommit=False)
    holder.execute("select from public.sessions where id = %s for no key update", (held.id,))
    first = world.call("system", "apply_semantic_fix", p_dry_run=False)
    assert [row["session_id"] for row in first] == [free.id]
    assert (corrections(world, held), corrections(world, free)) == (0, 1)
    holder.rollback()
    second = world.call("system", "apply_semantic_fix", p_dry_run=False)
    assert [row["session_id"] for row in second] == [held.id]
    assert world.call("system", "apply_semantic_fix", p_dry_run=False) == []


def test_a_fix_that_rolled_back_left_nothing(world: World) -> None:
    """MOV-05: status, money and event are one transaction."""
    made = too_short(world)
    gone = world.connect("system", autocommit=False)
    assert len(call_on(gone, "apply_semantic_fix", p_dry_run=False)) == 1
    gone.rollback()
    assert corrections(world, made) == 0
    assert payout(world, made) == (SHARE, "pending")
    assert len(world.call("system", "apply_semantic_fix", p_dry_run=False)) == 1
    assert given_back(world, made)


def test_a_refund_behind_a_fix_finds_nothing_left(world: World) -> None:
    """MOV-05, MON-15: it waits for the session, and no cent goes back twice."""
    made = too_short(world)
    fix = world.connect("system", autocommit=False)
    refund = world.connect(world.admin())
    call_on(fix, "apply_semantic_fix", p_dry_run=False)
    with meanwhile(
        lambda: call_on(refund, "refund_session", p_session_id=made.id, p_key="a")
    ) as it:
        world.wait_until_blocked(refund)
        fix.commit()
        with expect("refund_exceeds_payment", 409):
            it.result(timeout=10)
    assert given_back(world, made)


def test_a_fix_behind_a_refund_gives_back_the_rest(world: World) -> None:
    """MOV-05, MON-15: while a part is given back the session is skipped, then the rest follows."""
    made = too_short(world)
    refund = world.connect(world.admin(), autocommit=False)
    call_on(refund, "refund_session", p_session_id=made.id, p_key="a", p_amount_cents=400)
    assert world.call("system", "apply_semantic_fix", p_dry_run=False) == []
    refund.commit()
    assert len(world.call("system", "apply_semantic_fix", p_dry_run=False)) == 1
    assert sorted(effects(world, made, "stripe.refund")) == [400, 1100]
    assert given_back(world, made)


def test_a_session_that_ends_meanwhile_is_not_touched(world: World) -> None:
    """MOV-05, END-05: a fix neither waits for an end nor hinders it."""
    wrong = too_short(world)
    running = world.live_session()
    world.advance(70)
    end = world.connect(running.customer, autocommit=False)
    call_on(end, "end_session_with_semantics", p_session_id=running.id)
    fixed = world.call("system", "apply_semantic_fix", p_dry_run=False)
    assert [row["session_id"] for row in fixed] == [wrong.id]
    end.commit()
    assert world.session(running.id)["status"] == "completed"
    assert world.call("system", "apply_semantic_fix", p_dry_run=False) == []


def test_an_end_asked_for_during_a_fix_gets_what_was_corrected(world: World) -> None:
    """MOV-05, END-02: it waits, and answers with what is stored then."""
    made = too_short(world)
    fix = world.connect("system", autocommit=False)
    end = world.connect(made.customer)
    call_on(fix, "apply_semantic_fix", p_dry_run=False)
    with meanwhile(
        lambda: call_on(end, "end_session_with_semantics", p_session_id=made.id)
    ) as waiting:
        world.wait_until_blocked(end)
        fix.commit()
        answer = waiting.result(timeout=10)[0]
    assert (answer["already_ended"], answer["final_status"]) == (True, "cancelled")
    assert (answer["reason"], answer["billable_seconds"]) == ("too_short", 10)
