"""What grows for ever loses what nobody needs, and nothing that proves or guards anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from concurrency.interleaving import PooledWorld
from stripe_inbox.lives import DAY, Run

if TYPE_CHECKING:
    from support.database import Database
    from support.world import Row


@pytest.fixture
def run(db: Database) -> Iterator[Run]:
    """Lives of paid sessions that came to rest a year ago."""
    with PooledWorld(db) as world:
        played = Run.begin(world, seed=3)
        played.play()
        played.advance(365 * DAY)
        yield played


def prune(run: Run) -> Row:
    found: Row = run.world.row("select private.run_job('prune-history') as done")["done"]
    return found


def left(run: Run) -> Row:
    """What still says something of what is done."""
    return run.world.row(
        "select count(*) filter (where o.topic not like 'stripe.%%') as effects,"
        " count(*) filter (where o.topic like 'stripe.%%') as requests,"
        " (select count(*) from private.stripe_events e where e.payload is not null) as events"
        " from private.outbox o where o.payload is not null"
    )


def judged(run: Run) -> list[Row]:
    """Everything that is said of the sessions and their money."""
    return run.world.rows(
        "select s.id, to_jsonb(s) as row, public.explain_session(s.id) as story,"
        " (select jsonb_agg(r) from public.replay_session(s.id) r) as replay"
        " from public.sessions s order by s.id"
    ) + run.world.rows(
        "select to_jsonb(a) as row from public.verify_session_end_logic('-infinity') a"
        " where a.section <> 11"
    )


def test_what_is_done_is_emptied_and_guards_on(run: Run) -> None:
    """TIME-07: what was sent and told is forgotten; it happens once, and is judged the same"""
    world = run.world
    before, judgement = left(run), judged(run)
    assert min(before.values()) > 0
    done = prune(run)
    assert (done["outbox"], done["stripe_events"]) == (before["effects"], before["events"])
    assert left(run) == {"effects": 0, "requests": before["requests"], "events": 0}
    assert judged(run) == judgement
    assert world.rows("select * from public.ledger_invariants('-infinity')") == []
    # Whatever Stripe tells again, and whoever asks for an effect again: all is known.
    run.replay()
    again = world.rows(
        "select distinct private.enqueue(o.topic, o.key, '{}') as is_new from private.outbox o"
    )
    assert again == [{"is_new": False}]
    assert prune(run)["more"] is False


def test_what_is_young_or_not_done_keeps_all(run: Run) -> None:
    """TIME-07: until keep_payloads_days are over, and whatever waits, failed or is dead"""
    world = run.world
    world.execute(
        "update private.outbox set status = 'dead', done_at = null where topic = 'crm.track'"
    )
    world.execute(
        "update private.stripe_events set status = 'failed', error = 'x'"
        " where type like 'refund.%%'"
    )
    world.call("system", "set_setting", p_key="keep_payloads_days", p_value=1000)
    before = left(run)
    assert (prune(run)["outbox"], prune(run)["stripe_events"]) == (0, 0)
    world.call("system", "set_setting", p_key="keep_payloads_days", p_value=90)
    prune(run)
    kept = world.row(
        "select (select count(*) from private.outbox where status = 'dead') as effects,"
        " (select count(*) from private.stripe_events where status = 'failed') as events"
    )
    assert left(run) == {**before, **kept}
    assert min(kept.values()) > 0


def test_nobody_waits_for_the_pruning(run: Run) -> None:
    """TIME-07: a row that somebody holds is left for the next time"""
    held = run.world.connect("system", autocommit=False)
    for table, column in (("private.outbox", "key"), ("private.stripe_events", "id")):
        held.execute(f"select {column} from {table} where payload is not null for update".encode())
    assert prune(run)["outbox"] == prune(run)["stripe_events"] == 0
    held.rollback()
    assert prune(run)["outbox"] > 0


def test_a_run_is_bounded(run: Run) -> None:
    """TIME-07: so many rows at a time, and then again while there is more"""
    run.world.execute(
        "insert into private.ops_log (kind, actor_role, created_at)"
        " select 'old', 'postgres', private.clock() - interval '500 days'"
        " from generate_series(1, 10001)"
    )
    taken = [(done["ops_log"], done["more"]) for done in (prune(run), prune(run), prune(run))]
    assert taken == [(10000, True), (1, False), (0, False)]
