"""What money costs: a transfer of the ledger, the end of a paid session (PERF-01), a whole paid
life (PERF-02), each beside TPC-B-like transactions of the same run.

Run from the top folder: `python -m bench.money`, or `make bench`. Prints a table and keeps nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, LiteralString

import psycopg
from rich.console import Console
from rich.table import Table

from bench.machine import (
    PROFILING,
    Rate,
    add_options,
    describe,
    fill,
    percentile,
    pgbench,
    profile,
    say,
    server,
    tpc_b,
)
from taximeter.stack.postgres import SUPERUSER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taximeter.stack.postgres import Cluster

DATABASE = "postgres"
PEOPLE = 200
WARM_UP_LIVES = 20
LIFE_CENTS = 1500
TARGETS = (
    "a life is 13 transactions; targets: the p50 of the end at most 3 times TPC-B's,"
    " the rate of lives at least 0.06 of it"
)

_WRONG: LiteralString = """
select 'invariant' as what, to_jsonb(v) as detail from public.ledger_invariants() v
union all
select 'session', to_jsonb(s) from public.sessions s where s.status <> 'completed'
union all
select 'extension', to_jsonb(x) from public.session_extensions x where x.status <> 'applied'
union all
select 'event', to_jsonb(e) from private.stripe_events e where e.status <> 'processed'
"""
_LIVES: LiteralString = """
select count(*) from public.mechanic_earnings where gross_cents = %s
"""
_PAID: LiteralString = """
select count(*)
from public.payouts p
join public.mechanic_earnings e on e.session_id = p.session_id
where e.gross_cents = %s and p.status = 'paid' and p.amount_cents = e.share_cents
"""
_FINISH: LiteralString = """
select count(public.complete_outbox(c.id, c.lease_token, jsonb_build_object('id', 'tr_' || c.id)))
from public.claim_outbox('bench', 1000) c
"""


class Bench:
    """One server, and what is measured on it."""

    def __init__(self, cluster: Cluster, clients: Sequence[int], *, profiled: bool) -> None:
        self._cluster = cluster
        self._clients = clients
        self._owner = psycopg.connect(cluster.url(user=SUPERUSER), autocommit=True)
        if profiled:
            self._owner.execute(PROFILING)
        self._owner.execute((Path(__file__).parent / "callers.sql").read_bytes())
        self._people = PEOPLE * max(clients)
        fill(self._owner, 1, self._people, "people.sql")

    def close(self) -> None:
        self._owner.close()

    def posts(self, seconds: int) -> list[Rate]:
        return [self._run("post", n, "-T", str(seconds)) for n in self._clients]

    def ends(self, each: int) -> list[Rate]:
        """So many ends by each client, of sessions that are there before."""
        rates = []
        for clients in self._clients:
            first, last = self._people + 1, self._people + clients * each
            fill(self._owner, first, last, "people.sql", "live_sessions.sql", "paid.sql")
            self._people = last
            named = ("-D", "i=-1", "-D", f"first={first}", "-D", f"each={each}")
            rates.append(self._run("end", clients, "-t", str(each), *named))
        return rates

    def lives(self, seconds: int) -> list[Rate]:
        named = ("-D", f"people={PEOPLE}")
        lived = self._run("life", 1, "-t", str(WARM_UP_LIVES), *named).transactions
        rates = []
        for clients in self._clients:
            fill(self._owner, 0, 0)
            rates.append(self._run("life", clients, "-T", str(seconds), *named))
            lived += rates[-1].transactions
        # Of two clients one may have sent the payout of the other, and the last finds none.
        while self._count(_FINISH):
            pass
        for query in (_LIVES, _PAID):
            found = self._count(query, LIFE_CENTS)
            if found != lived:
                raise RuntimeError(f"{found} are there, of {lived} lives:{query}")
        return rates

    def check(self) -> None:
        """Fast and wrong is no figure."""
        wrong = self._owner.execute(_WRONG).fetchone()
        if wrong is not None:
            raise RuntimeError(f"Something is wrong: {wrong}")

    def profile(self) -> Table:
        return profile(self._owner)

    def _run(self, script: str, clients: int, *arguments: str) -> Rate:
        file = Path(__file__).parent / f"{script}.pgbench"
        return pgbench(self._cluster, DATABASE, clients, "-f", str(file), *arguments)

    def _count(self, query: LiteralString, *values: object) -> int:
        row = self._owner.execute(query, values).fetchone()
        return int(row[0]) if row else 0


def add_rows(table: Table, what: str, rates: Sequence[Rate], base: Sequence[Rate]) -> None:
    for rate, tpc in zip(rates, base, strict=True):
        times = [percentile(rate.times_ms, n) for n in (50, 95, 99)]
        to_rate = rate.per_second / tpc.per_second
        to_p50 = times[0] / percentile(tpc.times_ms, 50)
        table.add_row(
            what,
            str(rate.clients),
            f"{rate.per_second:,.0f}",
            " ".join(f"{value:6.2f}" for value in times),
            f"{to_rate:.3f} {to_p50:5.1f}",
        )
    table.add_section()


def run(console: Console, arguments: argparse.Namespace) -> None:
    with server(fsync=arguments.fsync) as cluster:
        console.print(describe(cluster, fsync=arguments.fsync))
        table = Table(
            *("what", "clients", "a second", "ms: p50, p95, p99", "TPC-B is 1:\nrate, p50"),
            title="Money",
            caption=TARGETS,
        )
        for column in table.columns[1:]:
            column.justify = "right"
        clients: list[int] = arguments.clients
        say(f"pgbench, {arguments.seconds} s each")
        base = tpc_b(cluster, clients, arguments.seconds, arguments.scale)
        bench = Bench(cluster, clients, profiled=arguments.profile)
        try:
            say(f"transfers, {arguments.seconds} s each")
            posts = bench.posts(arguments.seconds)
            say(f"whole paid lives, {arguments.seconds} s each")
            lives = bench.lives(arguments.seconds)
            say(f"ends, {arguments.ends:,} by each client")
            ends = bench.ends(arguments.ends)
            say("looking whether all of it is right")
            bench.check()
            add_rows(table, "TPC-B-like", base, base)
            add_rows(table, "two-line transfer", posts, base)
            add_rows(table, "end, paid session", ends, base)
            add_rows(table, "whole paid life", lives, base)
            console.print(table)
            if arguments.profile:
                console.print(bench.profile())
        finally:
            bench.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2], help="at once, each time")
    parser.add_argument("--ends", type=int, default=1000, help="ends by each client")
    add_options(parser)
    run(Console(highlight=False), parser.parse_args())


if __name__ == "__main__":
    main()
