"""Without its lock every promise about simultaneous calls breaks, and a test says so in seconds.

Each lock is taken out of the function in the test's own database, and the test that proves it must
fail there. It fails without hanging: a call that waits for nobody is seen to be done, one that
waits where it should not is seen to wait.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psycopg
import pytest

from concurrency import test_ending, test_interleavings, test_orphans, test_queue
from concurrency import test_ticks as ticks
from concurrency.interleaving import PooledWorld, mutate

SKIP_LOCKED = r"\s+skip locked"
FOR_UPDATE = r"\s+for (no key )?update"


@dataclass(frozen=True)
class Mutation:
    """A lock to take away, and the test that has to notice."""

    function: str
    pattern: str
    test: Callable[[PooledWorld], None]


def interleaving(name: str) -> Callable[[PooledWorld], None]:
    def play(world: PooledWorld) -> None:
        world.advance(0)
        test_interleavings.test_the_second_waits_and_the_outcome_is_serial(
            world, test_interleavings.CASES[name]
        )

    return play


MUTATIONS = {
    "a sweep waits for who holds a session": Mutation(
        "private.work_on",
        SKIP_LOCKED,
        test_orphans.test_sweep_skips_locked_sessions_and_takes_the_rest,
    ),
    "a tick waits for who holds a session": Mutation(
        "private.work_on", SKIP_LOCKED, ticks.test_a_tick_beside_an_open_tick_waits_for_nothing
    ),
    "a tick waits for a heartbeat": Mutation(
        "private.keep_present",
        SKIP_LOCKED,
        ticks.test_a_tick_waits_for_no_open_heartbeat_of_somebody_present,
    ),
    "a tick waits for the note of another": Mutation(
        "private.note_run", SKIP_LOCKED, ticks.test_a_tick_beside_an_open_tick_waits_for_nothing
    ),
    "a tick drops who is sending a heartbeat": Mutation(
        "private.drop_silent",
        FOR_UPDATE,
        ticks.test_a_heartbeat_on_its_way_is_no_silence_for_a_tick,
    ),
    "archiving waits": Mutation(
        "private.archive_sessions",
        SKIP_LOCKED,
        ticks.test_archives_at_once_archive_each_session_once,
    ),
    "an end does not lock its session": Mutation(
        "private.lock_session",
        FOR_UPDATE,
        test_ending.test_second_end_waits_for_the_first_and_gets_its_answer,
    ),
    "a release does not lock its session": Mutation(
        "private.lock_session", FOR_UPDATE, interleaving("release, then another accepts")
    ),
    "a join does not lock its session": Mutation(
        "private.lock_session", FOR_UPDATE, interleaving("leave, then the other joins")
    ),
    "a fact does not lock its session": Mutation(
        "private.lock_session", FOR_UPDATE, interleaving("fact, then the other joins")
    ),
    "an accept does not lock its mechanic": Mutation(
        "private.accept_assignment",
        FOR_UPDATE,
        test_queue.test_second_accept_of_a_mechanic_waits_for_his_first,
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_without_its_lock_the_test_fails(world: PooledWorld, mutation: Mutation) -> None:
    """TEST-03, END-05, QUE-03, TIME-04, TIME-05, PRE-04: each lock has a test that needs it."""
    mutation.test(world)
    mutate(world, mutation.function, mutation.pattern)
    with pytest.raises((AssertionError, psycopg.Error)):
        mutation.test(world)
