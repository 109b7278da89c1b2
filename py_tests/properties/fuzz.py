"""Plays new scripts until the time is up: `python -m properties.fuzz SECONDS [FIRST_SEED]`.

Prints the seed of every round, so that a failure can be played again; ends with the failing script.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence

from properties.money_player import MoneyPlayer
from properties.running import MONEY_RULES, MONEY_SCRIPTS, RULES, SCRIPTS, play, play_money
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
                player = MoneyPlayer(world)
                names = [*RULES, *MONEY_RULES]
                rounds = 0
                while rounds == 0 or time.monotonic() < until:
                    name = names[number % len(names)]
                    print(f"seed {number}, {name}", flush=True)
                    if name in RULES:
                        play(player, RULES[name], SCRIPTS, number)
                    else:
                        play_money(player, MONEY_RULES[name], MONEY_SCRIPTS, number)
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
