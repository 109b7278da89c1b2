"""What the commands cost on a database with so many sessions in its history.

Each is run for one customer after the other, so that it leaves what the next one needs: a session
is asked for, paid, accepted, joined, extended and ended, as by an API server.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg

from bench import history
from bench.machine import Rate, make, pgbench, profile
from taximeter.stack.postgres import SUPERUSER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from taximeter.stack.postgres import Cluster

HERE = Path(__file__).parent
PEOPLE_OF_A_LIFE = 200
SESSION_CENTS = 1000
EXTENSION_CENTS = 500
FIXED_RATE = 200
HEARTBEATS = 3
ROUNDS = 4

CUSTOMER = "'customer', :n"
MECHANIC = "'mechanic', :n"
SYSTEM = "'service_role'"
SESSION = "bench.session(:n)"


@dataclass(frozen=True, slots=True)
class Command:
    """Who calls, and what."""

    name: str
    caller: str
    call: str


UNPAID = (
    Command("create_session", CUSTOMER, "public.create_session('chat10')"),
    Command("end, nobody accepted", CUSTOMER, f"public.end_session_with_semantics({SESSION})"),
)
BEGINNING = (
    Command("request_checkout", CUSTOMER, "public.request_checkout('chat10')"),
    Command(
        "payment proved: session",
        SYSTEM,
        f"public.ingest_stripe_event(bench.proof('session', bench.intent(:n), {SESSION_CENTS}))",
    ),
    Command("accept_assignment", MECHANIC, "public.accept_assignment(bench.assignment(:n))"),
    Command("join_session, first", CUSTOMER, f"public.join_session({SESSION})"),
    Command("join_session, starts it", MECHANIC, f"public.join_session({SESSION})"),
)
HEARTBEAT = Command("heartbeat_session", CUSTOMER, f"public.heartbeat_session({SESSION})")
EXTENDING = (
    Command("request_extension", CUSTOMER, f"public.request_extension({SESSION}, 15)"),
    Command(
        "payment proved: extension",
        SYSTEM,
        "public.ingest_stripe_event("
        f"bench.proof('extension', bench.extension(:n), {EXTENSION_CENTS}))",
    ),
)
END = Command("end, paid session", CUSTOMER, f"public.end_session_with_semantics({SESSION})")
TICK = Command("tick, nothing due", SYSTEM, "public.tick_sessions()")
PAID = (*BEGINNING, HEARTBEAT, *EXTENDING, END)
LIFE = "whole paid life"
TRANSFER = "transfer of two lines"

_SIZES: LiteralString = """
select c.oid::regclass::text, pg_table_size(c.oid), pg_indexes_size(c.oid)
from pg_class c
where c.relkind = 'r'
  and c.relnamespace in ('public'::regnamespace, 'private'::regnamespace, 'realtime'::regnamespace)
"""
_UPDATES: LiteralString = """
select coalesce(sum(n_tup_upd), 0)::bigint, coalesce(sum(n_tup_hot_upd), 0)::bigint
from pg_stat_user_tables
"""
_SUBMIT: LiteralString = "select private.submit_payouts(1000)"
_FINISH: LiteralString = """
select count(public.complete_outbox(c.id, c.lease_token, jsonb_build_object('id', 'tr_' || c.id)))
from public.claim_outbox('bench', 1000) c
"""
_TICK: LiteralString = "select (public.tick_sessions() ->> 'more')::boolean::integer"
_WRONG: LiteralString = """
with ours as (
  select s.*
  from public.sessions s
  where s.customer_user_id in (
    select md5('customer' || n)::uuid from generate_series(%s::bigint, %s::bigint) n
  )
)
select 'invariant' as what, to_jsonb(v) as detail from public.ledger_invariants() v
union all
select 'session', to_jsonb(s) from ours s where s.status not in ('completed', 'cancelled')
union all
select 'payout', to_jsonb(s) from ours s
where s.status = 'completed' and not exists (
  select
  from public.mechanic_earnings e
  join public.payouts p on p.session_id = e.session_id and p.amount_cents = e.share_cents
  where e.session_id = s.id and e.gross_cents >= s.price_cents and p.status = 'paid'
)
union all
select 'extension', to_jsonb(x)
from ours s
join public.session_extensions x on x.session_id = s.id
where x.status <> 'applied'
union all
select 'event', to_jsonb(e) from private.stripe_events e where e.status <> 'processed'
union all
select 'lives', to_jsonb(count(*)) from ours s where s.status = 'completed' having count(*) <> %s
"""


class Database:
    """A database with a history, or none, and people beside it for each run."""

    def __init__(self, cluster: Cluster, sessions: int) -> None:
        self._cluster = cluster
        self.name = f"history_{sessions}"
        self.sessions = sessions
        cluster.create_database(self.name, "postgres")
        self._owner = psycopg.connect(self.url, autocommit=True)
        if sessions:
            history.load(self._owner, sessions)
        self._owner.execute((HERE / "callers.sql").read_bytes())
        # The numbers below are those of people in the history.
        self._first = self._next = sessions + 1
        self._completed = 0

    @property
    def url(self) -> str:
        return self._cluster.url(self.name, user=SUPERUSER)

    def close(self) -> None:
        self._owner.close()

    def commands(self, clients: int, count: int) -> Iterator[tuple[str, Rate]]:
        """Each command, about so many times by so many clients together."""
        each = max(1, count // clients)
        first = self._people(clients * each)
        for command in (*UNPAID, *PAID):
            yield command.name, self._run(command, first, clients, each)
        self._completed += clients * each
        self.settle()
        yield TICK.name, self._run(TICK, first, clients, each)

    def ends_at_fixed_rate(self, clients: int, count: int) -> Rate:
        """Ends that come at a fixed rate; a time begins when the call was to come."""
        each = max(1, count // clients)
        first = self._people(clients * each)
        for command in BEGINNING:
            self._run(command, first, clients, each)
        self._completed += clients * each
        rate = self._run(END, first, clients, each, "-R", str(FIXED_RATE))
        self.settle()
        return rate

    def lives(self, clients: int, seconds: int) -> Rate:
        return self._lives(clients, PEOPLE_OF_A_LIFE, "-T", str(seconds))

    def transfers(self, clients: int, seconds: int) -> Rate:
        return self._pgbench(HERE / "post.pgbench", clients, "-T", str(seconds))

    def left_behind(self, count: int) -> dict[str, tuple[float, float]]:
        """The bytes that a paid session leaves in each table and in its indexes, once its payout
        is sent.

        Every round ends with what autovacuum does: rows of one that were written anew leave room
        that the next one takes. The first round finds none, and is not counted.
        """
        sizes = self._after_lives(count)
        for _ in range(ROUNDS):
            grown = self._after_lives(count)
        lives = ROUNDS * count
        return {
            table: (
                (heap - sizes[table][0]) / lives,
                (indexes - sizes[table][1]) / lives,
            )
            for table, (heap, indexes) in grown.items()
            if (heap, indexes) != sizes[table]
        }

    def hot_share(self, count: int) -> float:
        """The share of the heartbeats of paid sessions that touched no index."""
        first = self._people(count)
        for command in BEGINNING:
            self._run(command, first, 1, count)
        updates = self._updates()
        for _ in range(HEARTBEATS):
            self._run(HEARTBEAT, first, 1, count)
        updated, hot = (after - b for after, b in zip(self._updates(), updates, strict=True))
        for command in (*EXTENDING, END):
            self._run(command, first, 1, count)
        self._completed += count
        self.settle()
        return hot / updated

    def settle(self) -> None:
        """Everything that waits is done: payouts, effects outside, what time has brought."""
        for query in (_SUBMIT, _FINISH, _TICK):
            while self._row(query)[0]:
                pass

    def check(self) -> None:
        """Fast and wrong is no figure."""
        values = (self._first, self._next, self._completed)
        wrong = self._owner.execute(_WRONG, values).fetchone()
        if wrong is not None:
            raise RuntimeError(f"Something is wrong: {wrong}")

    def profile(self) -> Table:
        return profile(self._owner)

    def _lives(self, clients: int, people: int, *until: str) -> Rate:
        """Whole lives, of so many people for each client."""
        first = self._people(clients * people)
        named = ("-D", f"first={first}", "-D", f"people={people}")
        rate = self._pgbench(HERE / "life.pgbench", clients, *until, *named)
        self._completed += rate.transactions
        self.settle()
        return rate

    def _after_lives(self, count: int) -> dict[str, tuple[int, int]]:
        """The bytes of each table and of its indexes after so many lives more."""
        self._lives(1, count, "-t", str(count))
        self._owner.execute("vacuum")
        rows = self._owner.execute(_SIZES).fetchall()
        return {table: (heap, indexes) for table, heap, indexes in rows}

    def _people(self, number: int) -> int:
        """The first of so many new people."""
        first = self._next
        self._next += number
        make(self._owner, first, self._next - 1, "people.sql")
        return first

    def _run(self, command: Command, first: int, clients: int, each: int, *more: str) -> Rate:
        script = (HERE / "command.pgbench").read_text()
        script = script.replace("{caller}", command.caller).replace("{call}", command.call)
        named = ("-D", "i=-1", "-D", f"first={first}", "-D", f"each={each}")
        with tempfile.NamedTemporaryFile("w", suffix=".pgbench") as file:
            file.write(script)
            file.flush()
            return self._pgbench(Path(file.name), clients, "-t", str(each), *named, *more)

    def _pgbench(self, script: Path, clients: int, *arguments: str) -> Rate:
        return pgbench(self._cluster, self.name, clients, "-f", str(script), *arguments)

    def _updates(self) -> Sequence[int]:
        # A backend tells its counts when it ends, and now and then, or when it must.
        time.sleep(1)
        self._owner.execute("select pg_stat_force_next_flush()")
        return self._row(_UPDATES)

    def _row(self, query: LiteralString) -> tuple[Any, ...]:
        row = self._owner.execute(query).fetchone()
        return row or (0,)
