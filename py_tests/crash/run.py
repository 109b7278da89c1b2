"""Kills a server under load again and again: `python -m crash.run [KILLS] [SEED]`.

After every kill all clients stand still while the database is held against its laws and against
what the clients were told, and the webhooks of the time since the last kill are replayed twice. An
episode ends with a new database after so many kills; before that everything that was cut off is
finished and everything is replayed.
"""

from __future__ import annotations

import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import LiteralString

from psycopg import sql

from crash.audit import ViolationError, audit, compare_books, replay
from crash.clients import Client, Player, Stage, Stripe, Ticker, Worker
from crash.gate import Gate
from crash.outside import Notebook, Outside
from crash.victim import Victim
from support.database import Database
from support.world import World

PLAYERS, STRIPES, WORKERS = 5, 2, 3
KILLS_OF_AN_EPISODE = 25
LOAD_SECONDS = (0.1, 1.2)
FINISH_SECONDS = 60.0
# Of the database's clock, for one of the real one: leases, delays and sessions run out meanwhile.
SPEED = 600

_CLOCK: LiteralString = """
create or replace function private.clock() returns timestamptz
language plpgsql volatile set search_path = ''
as $$ begin
  return '2030-01-01 12:00+00'::timestamptz
    + (clock_timestamp() - to_timestamp({})) * {};
end $$
"""

_LEFT: LiteralString = """
select status::text, id::text from public.sessions where status < 'completed'
union all
select status, key from private.outbox where status <> 'done'
union all
select status, id::text
from public.payouts
where status not in ('paid', 'cancelled', 'reversed', 'blocked')
"""


@dataclass
class Totals:
    """What happened, for the report."""

    kills: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    cut_there: int = 0
    cut_not_there: int = 0
    replayed: int = 0
    completed: int = 0
    effects: int = 0
    sent: int = 0
    payments: int = 0

    def __str__(self) -> str:
        kills = ", ".join(f"{number} of {what}" for what, number in self.kills.items())
        return f"""\
{sum(self.kills.values())} kills: {kills}
{self.calls["calls"]} calls acknowledged, {self.calls["cut off"]} cut off; {dict(self.calls)}
{sum(self.told.values())} noted and found after every kill: {dict(sorted(self.told.items()))}
of those cut off {self.cut_there} were there as a whole, {self.cut_not_there} not at all
{self.calls["lives"]} lives, {self.payments} payments
{self.replayed} webhooks replayed, {self.completed} of them completed what was cut or late
{self.effects} effects, each recorded once, sent {self.sent} times"""


class Episode:
    """One database, and those who use it."""

    def __init__(self, victim: Victim, name: str, seed: int) -> None:
        self.victim = victim
        self.name = name
        self.chance = random.Random(seed)  # noqa: S311
        self.notebook = Notebook()
        self.outside = Outside(self._random())
        self.gate = Gate(PLAYERS + STRIPES + WORKERS + 1)
        self.stage = Stage(
            self.gate,
            self.notebook,
            self.outside,
            lambda login: victim.url(name, login),
        )
        victim.clone(name)
        with self.world() as world:
            self.clients = self._invite(world)

    def play(self, kills: int, totals: Totals) -> None:
        """Load, a kill and an audit, again and again."""
        with self.at_play():
            replayed = 0
            for number in range(kills):
                self.gate.open()
                self.gate.load(self.chance.uniform(*LOAD_SECONDS))
                totals.kills[self._kill(number)] += 1
                self.gate.wait_until_all_are_lost()
                self.victim.wait_until_up(self.name)
                with self.world() as world:
                    self._audit(world, totals)
                    names = self.outside.collect()
                    self._replay(world, totals, names[replayed:])
                    self._audit(world, totals)
                    replayed = len(names)
        self._sum_up(totals)

    def play_in_peace(self, is_enough: Callable[[], bool], totals: Totals) -> None:
        """Load, and nobody is killed."""
        with self.at_play():
            self.gate.open()
            self.gate.load_until(is_enough)
        self._sum_up(totals)

    @contextmanager
    def at_play(self) -> Iterator[None]:
        """All clients at the gate; when the block ends they go home."""
        with ThreadPoolExecutor(max_workers=len(self.clients)) as pool:
            playing = [pool.submit(client.play) for client in self.clients]
            try:
                yield
            finally:
                self.gate.close()
            for client in playing:
                client.result()

    def _sum_up(self, totals: Totals) -> None:
        with self.world() as world:
            self._finish(world, totals)
        totals.calls += self.notebook.calls
        totals.told += Counter(kind for kind, _ in self.notebook.told)
        totals.payments += len(self.outside.paid)

    def _invite(self, world: World) -> list[Client]:
        world.db.connect().execute(sql.SQL(_CLOCK).format(time.time(), SPEED))
        for key, value in {
            "presence_timeout_seconds": 86400,
            "reconnect_grace_seconds": 60,
            "chat_reconnect_grace_seconds": 60,
            "payout_delay_minutes": 1,
        }.items():
            world.call("system", "set_setting", p_key=key, p_value=value)
        clients: list[Client] = [
            Player(self.stage, self._random(), customer=world.customer(), mechanic=world.mechanic())
            for _ in range(PLAYERS)
        ]
        clients += [Stripe(self.stage, self._random()) for _ in range(STRIPES)]
        clients += [Worker(self.stage, self._random()) for _ in range(WORKERS)]
        clients.append(Ticker(self.stage, self._random()))
        return clients

    def _kill(self, number: int) -> str:
        if number % 2:
            return self.victim.kill_backend(self.gate.backends, self.chance)
        return self.victim.kill_server(self.chance)

    def _audit(self, world: World, totals: Totals) -> None:
        findings = audit(world, self.notebook)
        totals.cut_there += findings.there
        totals.cut_not_there += findings.not_there

    def _finish(self, world: World, totals: Totals) -> None:
        """Ends what runs and carries out what is left; then both sides have the same books."""
        self._replay(world, totals, self.outside.collect())
        worker = Worker(replace(self.stage, gate=Gate(1)), self._random(), is_faithful=True)
        worker.enter()
        deadline = time.monotonic() + FINISH_SECONDS
        while left := world.rows(_LEFT):
            if time.monotonic() > deadline:
                raise ViolationError(f"never finished: {left}")
            for row in world.rows("select id from public.sessions where status < 'completed'"):
                world.call("service_role", "end_session_with_semantics", p_session_id=row["id"])
            world.execute("select private.run_job('dispatch-outbox')")
            worker.step()
        worker.leave()
        self.outside.settle_refunds()
        self._replay(world, totals, self.outside.collect())
        self._audit(world, totals)
        totals.effects += compare_books(world, self.outside)
        totals.sent += self.outside.sent

    def _replay(self, world: World, totals: Totals, names: list[str]) -> None:
        totals.completed += replay(world, self.outside, names, self.chance)
        totals.replayed += 2 * len(names)

    def world(self) -> World:
        return World(Database(self.victim.server, self.name))

    def _random(self) -> random.Random:
        return random.Random(self.chance.random())  # noqa: S311


def main(arguments: Sequence[str]) -> int:
    kills = int(arguments[0]) if arguments else 200
    seed = int(arguments[1]) if len(arguments) > 1 else random.SystemRandom().randrange(2**32)
    # That a rollback fails after a kill is no news.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    totals = Totals()
    with Victim.lent() as server:
        for number, first in enumerate(range(0, kills, KILLS_OF_AN_EPISODE)):
            some = min(KILLS_OF_AN_EPISODE, kills - first)
            print(f"seed {seed + number}, {some} kills", flush=True)
            Episode(server, f"crash_{number}", seed + number).play(some, totals)
    print(totals)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
