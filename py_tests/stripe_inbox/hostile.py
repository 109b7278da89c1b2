"""Plays new lives until the time is up: `python -m stripe_inbox.hostile SECONDS [FIRST_SEED]`.

A seed fixes what is tried, not which of four connections comes first: a failure shows again after
a few rounds of its seed, if not in the first.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Sequence

from concurrency.interleaving import PooledWorld
from stripe_inbox.lives import Run
from stripe_inbox.oracle import differences
from support.database import Run as TestRun
from support.database import Server


def play(server: Server, seed: int) -> Counter[str]:
    """One round in a database of its own, compared with the books of the fake Stripe."""
    database = server.clone(server.template())
    try:
        with PooledWorld(database) as world:
            run = Run.begin(world, seed)
            run.play()
            counts = run.counts | Counter({"events": len(run.stripe.emitted)})
            found = differences(run)
            if found:
                raise AssertionError("\n".join([f"seed {seed}", *found]))
            run.replay()
            return counts
    finally:
        database.drop()


def main(arguments: Sequence[str]) -> int:
    until = time.monotonic() + float(arguments[0] if arguments else 60)
    number = int(arguments[1]) if len(arguments) > 1 else random.SystemRandom().randrange(2**32)
    run = TestRun.begin()
    total: Counter[str] = Counter()
    try:
        server = run.start_server()
        while not total or time.monotonic() < until:
            print(f"seed {number}, hostile Stripe", flush=True)
            total += play(server, number) + Counter({"rounds": 1})
            number += 1
    finally:
        run.end()
    print(", ".join(f"{count} {name}" for name, count in sorted(total.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
