"""Stripe on its worst days: everything late, doubled, out of order, at once, and with wrong sums.

Six customers and their mechanics live at random. A fake Stripe charges them, answers the outbox and
keeps books of its own; each of its events arrives one to five times over four connections, in any
order, some days late. In the end both books agree to the cent, and nothing was applied twice.
"""

from __future__ import annotations

import pytest

from stripe_inbox.hostile import play
from support.database import Server

SEEDS = (1, 2, 3, 4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_both_books_agree_whatever_stripe_does(server: Server, seed: int) -> None:
    """MON-05 to MON-11, MON-14, MON-18: MON-06, MON-07, MON-08, MON-09, MON-10, MON-11 in between.

    MON-03: the invariants hold; MON-12, MON-15: every share is exact; MON-20: every review ends.
    """
    counts = play(server, seed)
    assert counts["events"] > 60
    assert counts["duplicate"] > counts["events"]
    assert counts["died after"] + counts["found"] > 0
