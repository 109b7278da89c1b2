"""An hour of the stack under a small steady load: no leak, no lost message, flat latency.

Run from the top folder: `python -m bench.soak`, or `make soak`. A stack of its own gets paid
sessions over HTTP and websockets only, so many at once all the time; what is outside of it is
played. Prints what was measured and a verdict, keeps nothing, and exits with 1 when the verdict is
not good.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import platform
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter, deque
from contextlib import AsyncExitStack, contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from rich.console import Console

from bench.broadcasts import Broadcasts
from bench.lives import FEED, Lives, Someone
from bench.machine import say
from bench.measured import (
    BROADCAST,
    PROBE,
    QUARTERS,
    Mark,
    Measured,
    Sample,
    judge_latency,
    judge_memory,
    timeline,
    verdict,
)
from bench.processes import held, parent
from taximeter.demo.outside import Outside
from taximeter.operations.asking import OK, verify
from taximeter.people import grant_admin
from taximeter.stack import supervisor
from taximeter.stack.postgres import home
from taximeter.stack.settings import Settings, StackError, load_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 12
SHORTEST_ROW_SECONDS = 60.0
SAMPLE_SECONDS = 10.0
TELL_SECONDS = 0.25
SETTLE_SECONDS = 90.0
SPARE_PAIRS = 4
KEPT_PACE = 0.98
SHOWN_PROBLEMS = 10
FAILED_BY_SIGNAL = 143
# The clock is the real one, so what takes minutes and days in life has to take none here.
CHANGED_SETTINGS = {"min_billable_seconds": 1, "payout_delay_minutes": 0}
PAGES = {"return_path": "/earnings", "refresh_path": "/earnings"}

_LOOK: LiteralString = """
select
  (select count(*) from pg_stat_activity where backend_type = 'client backend'),
  (select count(*) from private.outbox where status <> 'done'),
  (select count(*) from private.outbox where status = 'done' and topic = 'stripe.transfer')
"""
_UNFINISHED: LiteralString = """
select 'outbox ' || o.topic || ' ' || o.status, count(*)
from private.outbox o where o.status <> 'done' group by 1
union all
select 'session ' || s.status, count(*)
from public.sessions s where s.status <> 'completed' group by 1
union all
select 'extension ' || x.status, count(*)
from public.session_extensions x where x.status <> 'applied' group by 1
union all
select 'payout ' || p.status, count(*) from public.payouts p where p.status <> 'paid' group by 1
union all
select 'event of Stripe ' || e.status, count(*)
from private.stripe_events e where e.status <> 'processed' group by 1
union all
select 'request of pg_net', count(*) from net.http_request_queue having count(*) > 0
union all
select 'failed ' || j.job, count(*) from private.job_runs j where j.is_failure group by 1
union all
select l.kind, count(*) from private.ops_log l where l.kind ~ 'fail' group by 1
"""
_MONEY: LiteralString = """
select
  (select coalesce(sum(e.gross_cents), 0) from public.mechanic_earnings e),
  (
    select coalesce(jsonb_object_agg('payout:' || p.id, p.amount_cents), '{}')
    from public.payouts p
  )
"""

Connection = psycopg.AsyncConnection[Any]


class Soak:
    """One run against a stack that is there."""

    def __init__(
        self,
        settings: Settings,
        state: supervisor.State,
        outside: Outside,
        arguments: argparse.Namespace,
    ) -> None:
        self.measured = Measured(arguments.seconds)
        self._settings = settings
        self._state = state
        self._outside = outside
        self._every: float = arguments.every
        self._live: int = arguments.live
        times = self.measured.times
        self._broadcasts = Broadcasts(self._note, lambda ms: times.add(BROADCAST, ms))
        self._lives = Lives(state.api_url, outside, times, self._note)
        self._free: deque[tuple[Someone, Someone]] = deque()
        self._postmaster = 0

    async def run(self) -> Measured:
        async with AsyncExitStack() as parts:
            database = await parts.enter_async_context(
                await Connection.connect(self._state.database_url, autocommit=True)
            )
            (backend,) = await _row(database, "select pg_backend_pid()")
            self._postmaster = parent(backend)
            parts.push_async_callback(self._lives.close)
            say(f"{(self._live + SPARE_PAIRS) * 2} people sign up")
            await self._gather_people(parts)
            await self._broadcasts.begin(database)
            # Signing up is no part of what is measured.
            self.measured.times.of.clear()

            say(f"load for {self.measured.seconds:,.0f} s")
            self.measured.begun = time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                stripe = tasks.create_task(self._let_stripe_tell())
                looks = tasks.create_task(self._look_now_and_then(database))
                begun = await self._load()
                await looks
                say("what is left to do")
                await self._settle(database)
                stripe.cancel()
            await self._judge(database, begun)
        return self.measured

    def _note(self, problem: str) -> None:
        self.measured.problems.append(problem)

    async def _gather_people(self, parts: AsyncExitStack) -> None:
        url, key = self._state.api_url, load_keys(self._settings.keys_file).publishable

        async def sign_up(name: str) -> Someone:
            someone = await Someone.sign_up(url, key, name, self.measured.times, self._broadcasts)
            parts.push_async_callback(someone.close)
            return someone

        operator = await sign_up("operator")
        await asyncio.to_thread(grant_admin, self._state.database_url, operator.email)
        for name, value in CHANGED_SETTINGS.items():
            await operator.row("set_setting", p_key=name, p_value=value)
        for number in range(self._live + SPARE_PAIRS):
            customer = await sign_up(f"customer{number}")
            mechanic = await sign_up(f"mechanic{number}")
            await mechanic.row("apply_as_mechanic", p_specialties=["brakes"])
            await operator.row(
                "set_mechanic_status", p_mechanic_id=mechanic.user_id, p_status="approved"
            )
            await mechanic.invoke("connect-account", PAGES)
            for person in (customer, mechanic):
                await person.listen(f"user:{person.user_id}")
            await mechanic.listen(FEED)
            self._free.append((customer, mechanic))

    async def _load(self) -> int:
        """Begins a session every so often, and waits for the last to end; how many they were."""
        lives: set[asyncio.Task[None]] = set()
        for number in count():
            due = self.measured.begun + number * self._every
            await asyncio.sleep(max(0, due - time.monotonic()))
            while not self._free and lives:
                _, lives = await asyncio.wait(lives, return_when=asyncio.FIRST_COMPLETED)
            if not self._free or time.monotonic() - self.measured.begun >= self.measured.seconds:
                break
            pair = self._free.popleft()
            lives.add(asyncio.create_task(self._life(number, *pair)))
        await asyncio.gather(*lives)
        return number

    async def _life(self, number: int, customer: Someone, mechanic: Someone) -> None:
        try:
            await self._lives.play(number, customer, mechanic, self._every * self._live)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            self._note(f"session {number}: {type(error).__name__} {error}")
            # Those two may still be in their session; two others go on.
        else:
            self._free.append((customer, mechanic))

    async def _let_stripe_tell(self) -> None:
        while True:
            await self._lives.tell()
            await asyncio.sleep(TELL_SECONDS)

    async def _look_now_and_then(self, database: Connection) -> None:
        measured = self.measured
        pause = min(SAMPLE_SECONDS, measured.seconds / (2 * QUARTERS))
        row = max(measured.seconds / ROWS, min(SHORTEST_ROW_SECONDS, measured.seconds / QUARTERS))
        measured.marks.append(Mark(measured.begun))
        for number in range(1, round(measured.seconds / pause) + 1):
            await asyncio.sleep(max(0, measured.begun + number * pause - time.monotonic()))
            transfers = await self._sample(database)
            await self._broadcasts.look(database)
            if round(number * pause, 3) >= round(row * len(measured.marks), 3):
                self._mark(transfers)

    async def _sample(self, database: Connection) -> int:
        """Looks from outside; says how many transfers the database knows to be made."""
        state = supervisor.read_state(self._settings)
        if state is None or state.phase != "ready":
            raise StackError(state.message if state else "The stack is gone.")
        with self.measured.times.measured(PROBE):
            await database.execute("select 1")
        holds = await asyncio.to_thread(held, state.pid, self._postmaster)
        connections, backlog, transfers = await _row(database, _LOOK)
        self.measured.samples.append(
            Sample(time.monotonic(), holds, connections, backlog, os.getloadavg()[0])
        )
        return int(transfers)

    def _mark(self, transfers: int) -> None:
        ended, broadcasts = self._lives.ended.total(), self._broadcasts
        made = len(self._outside.stripe.stripe.objects("transfer"))
        mark = Mark(
            time.monotonic(),
            ended,
            broadcasts.sent,
            broadcasts.heard,
            len(broadcasts.lost),
            f"{len(self._outside.mailbox.mails)} of {ended}",
            f"{made} of {transfers}",
        )
        self.measured.marks.append(mark)
        say(
            f"{(mark.at - self.measured.begun) / 60:.1f} min: {ended} sessions ended, "
            f"{self._lives.live} live, {mark.heard:,} broadcasts heard, "
            f"{len(self.measured.problems)} problems"
        )

    async def _settle(self, database: Connection) -> None:
        """Waits until all is done that has to follow; the job does not wait for its minute."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            await database.execute("select private.run_job('dispatch-outbox')")
            await asyncio.sleep(1)
            await self._broadcasts.look(database)
            if not await self._unfinished(database) and not self._broadcasts.lost:
                return

    async def _unfinished(self, database: Connection) -> list[str]:
        cursor = await database.execute(_UNFINISHED)
        return [f"{what}: {number}" for what, number in await cursor.fetchall()]

    async def _judge(self, database: Connection, begun: int) -> None:
        find, broadcasts, ended = self.measured.find, self._broadcasts, self._lives.ended.total()
        planned = math.ceil(self.measured.seconds / self._every)
        find("pace", f"{begun} of {planned} sessions begun", begun >= KEPT_PACE * planned)
        find("sessions", f"{ended} of {begun} ended", ended == begun)
        lost, extra = broadcasts.lost, broadcasts.unexplained
        find(
            "broadcasts",
            f"{broadcasts.sent:,} sent, heard {broadcasts.heard:,} times: "
            f"{len(lost)} lost, {len(extra)} from nowhere",
            not lost and not extra,
        )
        await self._judge_outside(database, ended)
        unfinished = await self._unfinished(database)
        find("unfinished or failed", ", ".join(unfinished) or "nothing", not unfinished)
        (violations,) = await _row(database, "select count(*) from public.ledger_invariants()")
        find("ledger_invariants()", f"{violations} rows", violations == 0)
        verified = await asyncio.to_thread(verify, self._state.database_url, None)
        wrong = [str(row["name"]) for row in verified.sections if row["status"] != OK]
        find("verify_session_end_logic()", ", ".join(wrong) or OK, not wrong)
        errors = self._errors_in_logs()
        find("errors in the functions' logs", str(errors), errors == 0)
        problems = self.measured.problems
        find("problems while playing", str(len(problems)), not problems)
        problems += lost + extra

    async def _judge_outside(self, database: Connection, ended: int) -> None:
        """What came of it outside, held against what was played: each once."""
        find, lives, stripe = self.measured.find, self._lives, self._outside.stripe.stripe
        mails = Counter(mail["to"] for mail in self._outside.mailbox.mails)
        find("mails", f"{mails.total()} of {ended}", mails == lives.ended)
        removed = self._outside.video.removed
        find("rooms removed", f"{len(removed)} of {ended}", len(set(removed)) == ended)
        told = [tracked.key for tracked in self._outside.tracked]
        find("the CRM told", f"{len(told)} of {ended}", len(told) == len(set(told)) == ended)
        earned, payouts = await _row(database, _MONEY)
        transfers = stripe.objects("transfer")
        made = {transfer["metadata"]["outbox_key"]: transfer["amount"] for transfer in transfers}
        is_once = len(transfers) == len(made) == ended
        find("transfers", f"{len(transfers)} of {ended}", is_once and made == payouts)
        cents = f"{lives.cents:,} and {earned:,} cents"
        find("paid, and split", cents, lives.cents == earned)

    def _errors_in_logs(self) -> int:
        return sum(
            _is_error(line)
            for log in self._settings.functions_logs.glob("*.log")
            for line in log.read_text(errors="replace").splitlines()
        )


async def _row(database: Connection, query: LiteralString) -> tuple[Any, ...]:
    cursor = await database.execute(query)
    (row,) = await cursor.fetchall()
    return tuple(row)


def _is_error(line: str) -> bool:
    """Whether a function tells of a failure, or something else than the function speaks."""
    try:
        said = json.loads(line)
    except ValueError:
        return not line.startswith("Listening on ")
    return said.get("level") == "error" or said.get("outcome") in {"failed", "lost"}


@contextmanager
def stack(outside: Outside) -> Iterator[tuple[Settings, supervisor.State]]:
    """A stack in processes of its own, so that the load is not measured with it."""
    settings = Settings(
        directory=home() / f"soak-{uuid.uuid4().hex[:12]}",
        api_port=0,
        database_port=None,
        functions_environment=outside.environment,
    )
    try:
        state = supervisor.start_detached(settings)
        with _guard(state.pid):
            yield settings, state
    finally:
        supervisor.stop_running(settings)
        supervisor.remove(settings)


@contextmanager
def _guard(supervisor_pid: int) -> Iterator[None]:
    """Ends the stack when this process is killed within the block."""
    guard = subprocess.Popen(
        ["sh", "-c", 'read -r _; kill -TERM "$0"', str(supervisor_pid)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield
    finally:
        guard.kill()
        guard.communicate()


def run(console: Console, arguments: argparse.Namespace) -> bool:
    """Prints what was measured; whether all of it is as it should be."""
    with Outside() as outside, stack(outside) as (settings, state):
        console.print(
            f"a session every {arguments.every:g} s, {arguments.live} at once, for "
            f"{arguments.seconds:,.0f} s; {os.cpu_count()} cores, {platform.machine()}, "
            f"load at the start {os.getloadavg()[0]:.1f}"
        )
        try:
            measured = asyncio.run(Soak(settings, state, outside, arguments).run())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
    for table in (timeline(measured), judge_latency(measured), judge_memory(measured)):
        console.print(table)
    console.print(verdict(measured))
    for problem in measured.problems[:SHOWN_PROBLEMS]:
        console.print(problem, markup=False)
    return all(finding.is_good for finding in measured.findings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float, nargs="?", default=3600, help="length of the load")
    parser.add_argument("--every", type=float, default=2, help="seconds from session to session")
    parser.add_argument("--live", type=int, default=10, help="sessions at once")
    arguments = parser.parse_args()
    if arguments.seconds <= 0 or arguments.every <= 0 or arguments.live < 1:
        parser.error("there must be a time, a pace and a session")
    # A run that is told to end still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(FAILED_BY_SIGNAL))
    try:
        is_good = run(Console(highlight=False), arguments)
    except StackError as error:
        sys.exit(f"{error.message} {error.hint}")
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
