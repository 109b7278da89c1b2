"""Plays new scripts until the time is up: `python -m properties.fuzz SECONDS [FIRST_SEED]`.

Prints the seed of every round, so that a failure can be played again; ends with the failing script.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence

from properties.player import Player
from properties.running import RULES, SCRIPTS, play
from support.database import Run
from support.world import World


def main(arguments: Sequence[str]) -> int:
    until = time.monotonic() + float(arguments[0] if arguments else 60)
    number = int(arguments[1]) if len(arguments) > 1 else random.SystemRandom().randrange(2**32)
    run = Run.begin()
    try:
        server = run.start_server()
        database = server.clone(server.template())
        try:
            with World(database) as world:
                player = Player(world)
                rounds = 0
                while rounds == 0 or time.monotonic() < until:
                    name, rules = list(RULES.items())[number % len(RULES)]
                    print(f"seed {number}, {name}", flush=True)
                    play(player, rules, SCRIPTS, number)
                    number += 1
                    rounds += 1
                print(f"{rounds} rounds, {player.calls} calls: the database did what the model did")
        finally:
            database.drop()
    finally:
        run.end()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
