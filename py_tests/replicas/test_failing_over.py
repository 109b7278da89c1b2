"""The primary is killed in the middle of load, and the standby takes its place (TEST-04)."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from crash.audit import LAWS, TRACES, ViolationError, audit
from crash.clients import acting
from crash.run import Episode, Totals
from support.database import Database
from support.world import World, call_on

if TYPE_CHECKING:
    from uuid import UUID

    from replicas.pair import Pair

KILLS = 3
PAYMENTS = 3
TELLERS, GRANTS = 4, 25
PATIENCE_SECONDS = 60.0


@pytest.mark.slow
def test_a_synchronous_standby_has_every_acknowledged_command(servers: Pair) -> None:
    """TEST-04, END-04, MON-05: parallel lives go on on the new primary, twice, with a crash between
    the two; nothing acknowledged is lost, the books agree, webhooks complete what was cut."""
    totals, episode = Totals(), Episode(servers, "synchronous", 10)
    with servers.synchronous():
        episode.play(KILLS, totals)
    print(totals)
    assert totals.kills["the primary"] == 2
    assert totals.calls["cut off"] > 0
    assert {"checkout", "event", "join", "end", "claim", "complete"} <= totals.told.keys()


@pytest.mark.slow
def test_a_running_session_runs_on(servers: Pair) -> None:
    """TEST-04, END-03: its meter is a row like any other; the new primary's tick ends it"""
    servers.clone("running")
    with World(Database(servers.server, "running")) as world:
        world.clock_at(world.now())
        live = world.live_session()
        world.advance(61)
    servers.standby.catch_up()
    servers.kill_server(random.Random(1))  # noqa: S311
    with World(Database(servers.server, "running")) as world:
        assert world.session(live.id)["status"] == "live"
        for person in (live.customer, live.mechanic):
            world.call(person, "heartbeat_session", p_session_id=live.id)
        world.advance(24 * 3600)
        world.execute("select private.run_job('tick-sessions')")
        assert world.session(live.id)["status"] == "completed"
        assert world.rows("select * from public.ledger_invariants()") == []
        assert world.rows("select * from public.verify_replay()") == []


@pytest.mark.slow
def test_an_asynchronous_standby_loses_the_last_commands_and_no_others(servers: Pair) -> None:
    """TEST-04: a suffix of what each client was told; nothing is there by half, the books agree"""
    servers.clone("behind")
    with World(Database(servers.server, "behind")) as world:
        people = [world.customer() for _ in range(TELLERS)]
    meeting = threading.Barrier(TELLERS + 1, timeout=PATIENCE_SECONDS)
    with ThreadPoolExecutor(TELLERS) as pool:
        tellers = [pool.submit(_grant, servers, person, meeting) for person in people]
        meeting.wait()
        # While they go on.
        servers.standby.catch_up()
        servers.standby.stop_receiving()
        meeting.wait()
        for teller in tellers:
            teller.result()
    servers.kill_server(random.Random(1))  # noqa: S311
    with World(Database(servers.server, "behind")) as world:
        for person in people:
            kept = _kept(world, person)
            assert kept[0]
            assert not kept[-1]
            assert kept == sorted(kept, reverse=True), "it is no suffix"
        assert [law for law, query in LAWS.items() if world.rows(query)] == []


@pytest.mark.slow
def test_what_stripe_tells_again_names_the_money_that_was_lost(servers: Pair) -> None:
    """TEST-03, TEST-04, MON-05: the audit above finds a loss; afterwards no payment is forgotten,
    it is in the books or its event waits for a person."""
    episode = Episode(servers, "lossy", 2)
    servers.standby.catch_up()
    servers.standby.stop_receiving()
    with episode.at_play():
        episode.gate.open()
        episode.gate.load_until(lambda: len(episode.outside.paid) >= PAYMENTS)
        servers.kill_server(episode.chance)
        episode.gate.wait_until_all_are_lost()
    with episode.world() as world:
        with pytest.raises(ViolationError, match="acknowledged and lost"):
            audit(world, episode.notebook)
        for name in episode.outside.collect():
            world.call("service_role", "ingest_stripe_event", p_event=episode.outside.events[name])
        in_the_books = {
            row["payment_intent_id"]
            for row in world.rows(
                "select payment_intent_id from private.payments where received_at is not null"
            )
        }
        waiting = {
            row["subject"]
            for row in world.rows(
                "select subject from public.sessions_needing_review where kind = 'stripe_event'"
            )
        }
        named = {
            event["data"]["object"].get("payment_intent")
            for name, event in episode.outside.events.items()
            if name in waiting
        }
        assert waiting
        assert episode.outside.paid.keys() <= in_the_books | named
        assert world.rows("select * from public.ledger_invariants()") == []


def _grant(servers: Pair, person: UUID, meeting: threading.Barrier) -> None:
    with Database(servers.server, "behind").connect("authenticator") as connection:
        for number in range(2 * GRANTS):
            if number in {1, GRANTS}:
                meeting.wait()
            with acting(connection, "service_role"):
                call_on(
                    connection,
                    "grant_credit",
                    p_user_id=person,
                    p_amount_cents=100,
                    p_currency="usd",
                    p_key=f"{person} {number}",
                )


def _kept(world: World, person: UUID) -> list[bool]:
    rows = world.rows(TRACES["grant"], [f"{person} {number}" for number in range(2 * GRANTS)])
    assert all(row["whole"] for row in rows)
    has = {row["key"]: row["own"] for row in rows}
    return [has[f"{person} {number}"] for number in range(2 * GRANTS)]
