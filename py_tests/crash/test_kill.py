"""kill -9 of backends and of the whole server while paid lives are played over many connections.

`make fuzz` kills 200 times.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import LiteralString

import pytest
from psycopg import sql

from crash.audit import LAWS, ViolationError
from crash.run import Episode, Totals
from crash.victim import Victim

KILLS = 10
# Without a promise of the disk the first kills already lose what clients were told.
KILLS_UNTIL_FOUND = 6


@pytest.fixture(scope="module")
def server() -> Iterator[Victim]:
    with Victim.lent() as made:
        yield made


@pytest.mark.slow
def test_ten_kills_lose_nothing_and_leave_nothing_half_done(server: Victim) -> None:
    """END-04, MON-03, MON-05, MON-17, MON-18: after every kill each acknowledged command is there,
    each other one as a whole or not at all, money and state agree; webhooks complete what was cut,
    and then change nothing; each effect arrives, and is recorded once."""
    totals, episode = Totals(), Episode(server, "crash", 1)
    episode.play(KILLS, totals)
    print(totals)
    assert sum(totals.kills.values()) == KILLS
    assert totals.kills["the whole server"] == KILLS // 2
    assert totals.calls["cut off"] >= KILLS
    assert {"checkout", "event", "join", "end", "claim", "complete"} <= totals.told.keys()
    assert totals.effects > 0
    every_law_is_needed(episode)


@pytest.mark.slow
def test_a_server_that_forgets_is_found(server: Victim) -> None:
    """TEST-03: where commits do not wait for the log, a kill loses what was acknowledged."""
    episode = Episode(server, "forgetful", 2)
    with episode.world() as world:
        world.execute("alter database forgetful set synchronous_commit = off")
    with pytest.raises(ViolationError, match="acknowledged and lost"):
        episode.play(KILLS_UNTIL_FOUND, Totals())


# How each law can be broken, by one who may do everything.
BREACHES: dict[str, LiteralString] = {
    "the ledger's invariants hold": "delete from private.ledger_entries",
    "an event of Stripe is done or was never there": (
        "update private.stripe_events set status = 'received'"
    ),
    "a payment, its proof, its money and its use are one": (
        "update private.payments set applied_to = null"
    ),
    "a proof has its payment": "update private.payments set payment_intent_id = null",
    "a paid checkout, its session and its hold are one": (
        "update public.checkout_intents set status = 'open', session_id = null"
    ),
    "an extension, its minutes and its hold are one": (
        "update public.sessions set duration_minutes = duration_minutes + 15"
    ),
    "what is held is what was paid": "delete from private.settlements",
    "an end is whole": "delete from private.settlements",
    "a session and its events are one": "update public.sessions set version = version + 1",
    "a refund, its money and its effect are one": (
        "delete from private.outbox where topic = 'stripe.refund'"
    ),
    "a refund by an admin is whole": (
        "insert into private.session_refunds"
        " (session_id, key, amount_cents, currency, to_card_cents, to_credit_cents)"
        " select id, 'forged', 1, 'usd', 0, 1 from public.sessions"
    ),
    "a payout and its transfer are one": (
        "insert into public.payouts (kind, source_id, user_id, amount_cents, currency, status,"
        " due_at) select 'session', gen_random_uuid(), id, 1, 'usd', 'submitted', now()"
        " from public.profiles"
    ),
    "no job has failed": "insert into private.job_runs (job, error) values ('test', 'test')",
    "no session was left by a job": (
        "insert into private.session_failures"
        " (session_id, work, error, sqlstate, failed_at, retry_at)"
        " values (gen_random_uuid(), 'test', 'test', 'XX000', now(), now())"
    ),
}


def every_law_is_needed(episode: Episode) -> None:
    assert BREACHES.keys() == LAWS.keys()
    with episode.world() as world:
        superuser = world.db.connect("supabase_admin")
        superuser.execute("set session_replication_role = replica")
        superuser.execute("select set_config('request.jwt.claims', '', false)")
        for law, breach in BREACHES.items():
            with superuser.transaction(force_rollback=True):
                assert superuser.execute(LAWS[law], ()).fetchall() == [], law
                superuser.execute(sql.SQL(breach))
                assert superuser.execute(LAWS[law], ()).fetchall() != [], law
