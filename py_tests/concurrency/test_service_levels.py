"""The monitor from many hands at once, beside people who are busy with the same sessions."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import LiteralString

import pytest

from concurrency.interleaving import PooledWorld, Scene, at, behind, queued, unhindered, waiting
from support.world import Connection, Row, call_on, race
from taximeter.stack.postgres import SUPERUSER

HOUR = 3600
NUDGE = {"event nudged", "log nudge.mechanic", "told nudge_join", "sent email", "sent push"}
ALERT = {"event support_alerted", "log alert.support", "sent support.alert"}
CLOSE = {"event ended", "log autoclose.session", "sent crm.track"}
UNATTENDED = {"event ended", "sent crm.track", "told session_unattended"}

# What the monitor says; what else is said of a session is no matter here.
SAID: LiteralString = """
select 'event ' || type as what from public.session_events
where session_id = %(id)s and type in ('nudged', 'support_alerted', 'ended')
union all
select 'log ' || kind from private.ops_log
where session_id = %(id)s and kind in ('nudge.mechanic', 'alert.support', 'autoclose.session')
union all
select 'told ' || kind from public.notifications
where session_id = %(id)s and kind in ('nudge_join', 'session_unattended')
union all
select 'sent ' || topic from private.outbox
where (session_id = %(id)s or payload -> 'detail' ->> 'session_id' = %(id)s::text)
  -- Of what another monitor is just closing, this one may tell that it is late, then well.
  and not starts_with(coalesce(payload ->> 'subject', ''), 'Needs a person: ')
  and not starts_with(coalesce(payload ->> 'subject', ''), 'Well again: ')
"""


def said(world: PooledWorld, scene: Scene) -> Counter[str]:
    found = world.db.connect("postgres").execute(SAID, {"id": scene.id}).fetchall()
    return Counter(str(row["what"]) for row in found)


def once(things: set[str]) -> Counter[str]:
    return Counter(dict.fromkeys(things, 1))


def monitored(world: PooledWorld, connection: Connection | None = None) -> Row:
    """What one monitor did, which waits for nobody."""
    rows = unhindered(world, connection or world.borrow("system"), "monitor_sessions")
    done = rows[0]["monitor_sessions"]
    assert isinstance(done, dict)
    return done


def counts(*, nudged: int = 0, alerted: int = 0, closed: int = 0, unattended: int = 0) -> Row:
    return {
        "nudged_mechanics": nudged,
        "alerted_support": alerted,
        "auto_closed": closed,
        "unattended": unattended,
    }


def patient(world: PooledWorld) -> None:
    """Nobody is taken for absent, and the clock stands."""
    world.call("system", "set_setting", p_key="presence_timeout_seconds", p_value=86400)
    world.advance(0)


def plant(world: PooledWorld, scene: Scene, part: str) -> None:
    """Somebody is there, and no command has seen him come."""
    world.execute(
        "insert into public.session_participants as p (session_id, user_id, role,"
        " first_joined_at, last_seen_at, is_connected, presence_check_at)"
        " select %s, %s, %s, c.now, c.now, true, c.now + interval '1 day'"
        " from (select private.clock() as now) as c"
        " on conflict (session_id, user_id) do update set first_joined_at = excluded.last_seen_at,"
        " last_seen_at = excluded.last_seen_at, is_connected = true, left_at = null,"
        " presence_check_at = excluded.presence_check_at",
        scene.id,
        scene.people[part],
        part,
    )


def stuck(world: PooledWorld) -> Scene:
    """Both are there, and it is not live."""
    scene = waiting(world, "customer")
    plant(world, scene, "mechanic")
    return scene


def endless(world: PooledWorld) -> Scene:
    """Live without an end, as an import may leave it."""
    scene = waiting(world, "customer", "mechanic")
    world.execute(
        "update public.sessions set expires_at = null, metadata = '{\"imported\": true}'"
        " where id = %s",
        scene.id,
    )
    return scene


@pytest.mark.rows_are_changed_by_hand
def test_four_monitors_at_once_say_everything_once(world: PooledWorld) -> None:
    """SLA-01, SLA-02, TIME-06: after a standstill of 12 hours, of all kinds; four runs one after
    the other say nothing more."""
    patient(world)
    world.call("system", "set_setting", p_key="unattended_after_minutes", p_value=60)
    later = world.now() + timedelta(hours=1)
    kinds: dict[str, tuple[set[str], list[Scene]]] = {
        "closed": (CLOSE, [endless(world) for _ in range(3)]),
        "alerted": (ALERT, [stuck(world) for _ in range(3)]),
        "nudged": (NUDGE, [waiting(world) for _ in range(3)]),
        "booked": (NUDGE, [waiting(world, p_scheduled_for=later) for _ in range(3)]),
        "unattended": (UNATTENDED, [queued(world) for _ in range(3)]),
    }
    world.advance(12 * HOUR)

    ends = race([(world.borrow("system"), "monitor_sessions", {}) for _ in range(4)])

    assert ends.refusals == []
    runs: list[Counter[str]] = [Counter(rows[0]["monitor_sessions"]) for rows in ends.answers]
    runs += [Counter(monitored(world)) for _ in range(4)]
    assert runs[-3:] == [Counter(counts())] * 3
    assert sum(runs, Counter()) == Counter(counts(nudged=6, alerted=3, closed=3, unattended=3))
    for kind, (things, scenes) in kinds.items():
        for scene in scenes:
            assert said(world, scene) == once(things), kind


def test_what_another_monitor_said_meanwhile_is_not_said_again(shared_world: PooledWorld) -> None:
    """SLA-01: a monitor that saw it needed, and comes to it late, looks again under the lock."""
    world = shared_world
    patient(world)
    nudged, alerted = waiting(world), stuck(world)
    held = waiting(world)
    # The longest quiet one comes first.
    world.execute(
        "update public.sessions set last_event_at = last_event_at - interval '1 s' where id = %s",
        held.id,
    )
    world.advance(HOUR)
    holder = world.borrow("system", autocommit=False)
    holder.execute(
        "insert into private.outbox (topic, key, payload) values ('email', %s, '{}')",
        (f"email:nudge:{held.id}:{held.people['mechanic']}",),
    )
    slow = world.borrow("system")
    with behind(world, slow, lambda: call_on(slow, "monitor_sessions")) as later:
        assert monitored(world) == counts(nudged=1, alerted=1)
        holder.rollback()
        assert later.result(timeout=10)[0]["monitor_sessions"] == counts(nudged=1)
    assert said(world, nudged) == said(world, held) == once(NUDGE)
    assert said(world, alerted) == once(ALERT)


def test_a_session_that_somebody_holds_is_done_the_next_time(shared_world: PooledWorld) -> None:
    """SLA-01: the monitor does not wait for it, and goes on with the others."""
    world = shared_world
    patient(world)
    mechanics, supports = [waiting(world) for _ in range(2)], [stuck(world) for _ in range(2)]
    world.advance(HOUR)
    holder = world.borrow("system", autocommit=False)
    for scene in (mechanics[0], supports[0]):
        holder.execute("select from public.sessions where id = %s for update", (scene.id,))

    assert monitored(world) == counts(nudged=1, alerted=1)
    holder.rollback()
    assert monitored(world) == counts(nudged=1, alerted=1)
    for scenes, things in ((mechanics, NUDGE), (supports, ALERT)):
        for scene in scenes:
            assert said(world, scene) == once(things)


def test_a_heartbeat_that_stays_open_holds_up_no_other_session(world: PooledWorld) -> None:
    """SLA-01: the monitor gives up soon, logs no failure, and does that session the next time."""
    world.advance(0)
    held, free = waiting(world, "mechanic"), waiting(world)
    world.advance(HOUR)
    holder = world.borrow("system", autocommit=False)
    holder.execute(
        "select from public.session_participants where session_id = %s for update", (held.id,)
    )
    monitor = world.borrow("system")
    assert call_on(monitor, "monitor_sessions")[0]["monitor_sessions"] == counts(nudged=1)
    holder.rollback()
    assert world.rows("select from private.session_failures") == []
    assert monitored(world) == counts(nudged=1)
    for scene in (held, free):
        assert said(world, scene) == once(NUDGE)


@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "rolled back"])
def test_a_monitor_beside_an_open_one_waits_for_nothing(
    shared_world: PooledWorld, is_kept: bool
) -> None:
    """SLA-01: what the other one says counts if it commits, and is said by the next if not."""
    world = shared_world
    patient(world)
    scenes = [waiting(world), waiting(world)]
    world.advance(HOUR)
    early = world.borrow("system", autocommit=False)
    assert monitored(world, early) == counts(nudged=2)
    assert monitored(world) == counts()
    if is_kept:
        early.commit()
    else:
        early.rollback()
    assert monitored(world) == counts(nudged=0 if is_kept else 2)
    for scene in scenes:
        assert said(world, scene) == once(NUDGE)


def test_a_mechanic_who_is_just_coming_is_not_nudged(shared_world: PooledWorld) -> None:
    """SLA-02: the join is not waited for, and counts; one that waits for the monitor goes on."""
    world = shared_world
    patient(world)
    coming, late = waiting(world), waiting(world)
    world.advance(HOUR)
    join = at("mechanic", "join_session")
    early = join.by_caller(world, coming, autocommit=False)
    join.on(early, coming)
    monitor = world.borrow("system", autocommit=False)
    assert monitored(world, monitor) == counts(nudged=1)
    joining = join.by_caller(world, late)
    with behind(world, joining, lambda: join.on(joining, late)) as later:
        monitor.commit()
        assert later.result(timeout=10)[0]["status"] == "waiting"
    early.commit()
    assert monitored(world) == counts()
    assert said(world, coming) == Counter()
    assert said(world, late) == once(NUDGE)


def test_two_tabs_mark_the_same_notifications(shared_world: PooledWorld) -> None:
    """NOTE-01: the second waits for the first, and finds them read"""
    world = shared_world
    scene = waiting(world, "customer", "mechanic")
    customer = scene.people["customer"]
    found = world.rows("select id from public.notifications where user_id = %s", customer)
    ids = [row["id"] for row in found]
    early, late = world.borrow(customer, autocommit=False), world.borrow(customer)
    marking = "mark_notifications_read"
    assert call_on(early, marking, p_ids=ids)[0][marking] == len(ids) == 2
    with behind(world, late, lambda: call_on(late, marking, p_ids=ids[::-1])) as later:
        early.commit()
        assert later.result(timeout=10)[0][marking] == 0


def test_a_broadcast_that_fails_fails_no_notification(world: PooledWorld) -> None:
    """NOTE-01, RT-04: it is stored, nothing else is undone, and the failure is logged"""
    with world.db.connect(SUPERUSER) as owner:
        owner.execute(
            "create or replace function realtime.send"
            "(payload jsonb, event text, topic text, private boolean default true) returns void"
            " language plpgsql as $$ begin raise 'no realtime'; end $$"
        )
    patient(world)
    scene = waiting(world)
    world.advance(HOUR)
    assert monitored(world) == counts(nudged=1)
    assert said(world, scene) == once(NUDGE)
    told = "user:" + str(scene.people["mechanic"])
    failed = world.rows(
        "select from private.ops_log where kind = 'broadcast.failed' and detail ->> 'topic' = %s"
        " and detail ->> 'event' = 'notification:new'",
        told,
    )
    assert len(failed) == 1
