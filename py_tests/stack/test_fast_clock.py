"""The demo's fast clock is only ever the demo's, and goes again (STACK-01)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taximeter.demo.fast_clock import START_BEHIND_SECONDS, FastClock, value
from taximeter.stack.settings import StackError

if TYPE_CHECKING:
    from support.served import Served


def test_the_clock_is_put_back_after_a_failure(served: Served) -> None:
    """STACK-01: behind the real time, moved on by hand, and the old definition afterwards"""

    def behind() -> float:
        seconds = "select extract(epoch from clock_timestamp() - private.clock()) as value"
        return float(value(connection, seconds))

    def scene() -> None:
        with FastClock(connection) as clock:
            assert behind() == pytest.approx(START_BEHIND_SECONDS, abs=1)
            clock.advance(30)
            assert behind() == pytest.approx(START_BEHIND_SECONDS - 30, abs=1)
            raise ZeroDivisionError

    definition = "select pg_get_functiondef('private.clock()'::regprocedure) as value"
    rights = "select proacl::text as value from pg_proc where oid = 'private.clock()'::regprocedure"
    with served.connect() as connection:
        before = value(connection, definition), value(connection, rights)
        with pytest.raises(ZeroDivisionError):
            scene()
        assert (value(connection, definition), value(connection, rights)) == before
        assert behind() == pytest.approx(0, abs=1)


def test_the_clock_never_gets_ahead(served: Served) -> None:
    """STACK-01: no time that the demo leaves behind lies in the future"""
    with served.connect() as connection, FastClock(connection) as clock:
        clock.advance(START_BEHIND_SECONDS)
        with pytest.raises(StackError):
            clock.advance(1)


def test_the_dispatcher_can_be_woken_while_the_clock_is_behind(served: Served) -> None:
    """STACK-01, MON-19: when it was last woken does not lie in the future"""
    with served.connect() as connection:
        connection.execute("update private.wake_ups set last_at = private.clock()")
        with FastClock(connection):
            is_past = "select last_at < private.clock() as value from private.wake_ups"
            assert value(connection, is_past)
