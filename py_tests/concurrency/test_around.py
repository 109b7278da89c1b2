"""Chat, files and summaries of one session, from two hands at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import LiteralString
from uuid import UUID, uuid4

import pytest

from concurrency.interleaving import (
    Answer,
    PooledWorld,
    Scene,
    Step,
    at,
    attempt,
    behind,
    live,
    unhindered,
)
from support.world import Connection, Refusal, Row, race

SIZE = 100
SUMMARY = {"p_findings": "worn pads", "p_steps": "looked", "p_next_steps": "replace them"}

FILES: LiteralString = "select count(*) as n from public.session_files where session_id = %s"
MESSAGES: LiteralString = "select count(*) as n from public.session_messages where session_id = %s"
EMAILS: LiteralString = (
    "select count(*) as n from private.outbox where session_id = %s and topic = 'email'"
)
REMOVALS: LiteralString = (
    "select count(*) as n from private.outbox where session_id = %s and topic = 'storage.remove'"
)
NOTIFICATIONS: LiteralString = (
    "select count(*) as n from public.notifications"
    " where session_id = %s and kind = 'summary_ready'"
)
SUMMARY_EVENTS: LiteralString = (
    "select count(*) as n from public.session_events"
    " where session_id = %s and type = 'summary_submitted'"
)


def count(world: PooledWorld, query: LiteralString, scene: Scene) -> int:
    return int(world.row(query, scene.id)["n"])


def told(world: PooledWorld, scene: Scene, event: str) -> int:
    """How often the session's topic heard this."""
    found = world.row(
        "select count(*) as n from realtime.messages where topic = %s and event = %s",
        f"session:{scene.id}",
        event,
    )
    return int(found["n"])


def stored(world: PooledWorld, scene: Scene, who: str, name: str = "photo.png") -> str:
    """An object in the bucket, as the storage server leaves it; its path."""
    path = f"{scene.id}/{name}"
    world.execute(
        "insert into storage.objects (bucket_id, name, owner_id, metadata)"
        " values ('session-files', %s, %s, jsonb_build_object('size', %s::integer))",
        path,
        str(scene.people[who]),
        SIZE,
    )
    return path


def registering(who: str, path: str) -> Step:
    file = {"p_name": "photo.png", "p_type": "image/png", "p_size": SIZE}
    return at(who, "register_session_file", p_storage_path=path, **file)


def removing(who: str, file: UUID) -> Step:
    return Step(who, "remove_session_file", lambda _: {"p_file_id": file})


def registered(world: PooledWorld, scene: Scene, who: str = "customer") -> UUID:
    step = registering(who, stored(world, scene, who))
    found = world.one(scene.people[who], step.function, **step.params(scene))["id"]
    assert isinstance(found, UUID)
    return found


def writing(who: str, client_id: UUID | None = None) -> Step:
    return at(who, "send_session_message", p_content="hello", p_client_id=client_id)


def summing_up() -> Step:
    return at("mechanic", "submit_session_summary", **SUMMARY)


def ending(who: str = "customer") -> Step:
    return at(who, "end_session_with_semantics")


def completed(world: PooledWorld) -> Scene:
    scene = lasting(world)
    world.call("system", "end_session_with_semantics", p_session_id=scene.id)
    return scene


def lasting(world: PooledWorld) -> Scene:
    """Live for long enough that its end is a completion."""
    world.call("system", "set_setting", p_key="presence_timeout_seconds", p_value=86400)
    scene = live(world)
    world.advance(70)
    return scene


def second_after(
    world: PooledWorld, scene: Scene, first: Step, second: Step, *, is_kept: bool = True
) -> Answer:
    """What the second gets that came while the first was not yet committed, and had to wait."""
    early = first.by_caller(world, scene, autocommit=False)
    late = second.by_caller(world, scene)
    first.on(early, scene)
    with behind(world, late, lambda: second.on(late, scene)) as later:
        if is_kept:
            early.commit()
        else:
            early.rollback()
        return attempt(lambda: later.result(timeout=10))


def at_once(world: PooledWorld, scene: Scene, step: Step, hands: int = 6) -> list[Answer]:
    """The answers of the same call from so many connections at the same moment."""
    outcomes = race(
        [(step.by_caller(world, scene), step.function, step.params(scene)) for _ in range(hands)]
    )
    return [*outcomes.answers, *outcomes.refusals]


def refusals(answers: list[Answer]) -> list[str]:
    return [answer.code for answer in answers if isinstance(answer, Refusal)]


# Summaries


def test_many_summaries_at_once_are_one(shared_world: PooledWorld) -> None:
    """SUM-01: one is stored and told, by event, notification, e-mail and broadcast; five hear so"""
    world, scene = shared_world, completed(shared_world)
    answers = at_once(world, scene, summing_up())
    assert refusals(answers) == ["summary_already_submitted"] * 5
    (kept,) = [answer for answer in answers if not isinstance(answer, Refusal)]
    assert world.session(scene.id)["metadata"]["summary"] == kept[0]["submit_session_summary"]
    for query in (EMAILS, NOTIFICATIONS, SUMMARY_EVENTS):
        assert count(world, query, scene) == 1
    assert told(world, scene, "session:summary") == 1


@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "rolled back"])
def test_a_second_summary_waits_for_the_first(shared_world: PooledWorld, is_kept: bool) -> None:
    """SUM-01: it is refused if the first stands, and takes its place if it does not"""
    world, scene = shared_world, completed(shared_world)
    answer = second_after(world, scene, summing_up(), summing_up(), is_kept=is_kept)
    assert refusals([answer]) == (["summary_already_submitted"] if is_kept else [])
    assert count(world, EMAILS, scene) == 1
    assert count(world, SUMMARY_EVENTS, scene) == 1


# Chat


def test_one_message_sent_many_times_at_once_is_one(shared_world: PooledWorld) -> None:
    """CHAT-01: the same client id, six tabs: all get the one message, and it is told once"""
    world, scene = shared_world, live(shared_world)
    answers = at_once(world, scene, writing("customer", uuid4()))
    assert refusals(answers) == []
    assert all(answer == answers[0] for answer in answers)
    assert count(world, MESSAGES, scene) == 1
    assert told(world, scene, "message:new") == 1


def test_messages_without_a_client_id_are_all_kept(shared_world: PooledWorld) -> None:
    """CHAT-01"""
    world, scene = shared_world, live(shared_world)
    assert refusals(at_once(world, scene, writing("customer"))) == []
    assert count(world, MESSAGES, scene) == told(world, scene, "message:new") == 6


# Files


def test_one_object_registered_many_times_at_once_is_one_file(shared_world: PooledWorld) -> None:
    """FILE-02: all get the one row, and it is told once"""
    world, scene = shared_world, live(shared_world)
    answers = at_once(world, scene, registering("customer", stored(world, scene, "customer")))
    assert refusals(answers) == []
    assert all(answer == answers[0] for answer in answers)
    assert count(world, FILES, scene) == told(world, scene, "file:added") == 1


def test_one_file_removed_many_times_at_once_is_removed_once(shared_world: PooledWorld) -> None:
    """FILE-02: its bytes are asked for once, it is told once, and the rest find it gone"""
    world, scene = shared_world, live(shared_world)
    answers = at_once(world, scene, removing("customer", registered(world, scene)))
    assert refusals(answers) == ["file_not_found"] * 5
    assert count(world, REMOVALS, scene) == told(world, scene, "file:removed") == 1


def test_a_message_with_a_file_waits_for_its_removal(shared_world: PooledWorld) -> None:
    """CHAT-01, FILE-02: a file that was being taken away is none of the session's any more"""
    world, scene = shared_world, live(shared_world)
    file = registered(world, scene)
    showing = at("mechanic", "send_session_message", p_content="look", p_file_ids=[file])
    answer = second_after(world, scene, removing("customer", file), showing)
    assert refusals([answer]) == ["invalid_argument"]
    assert count(world, MESSAGES, scene) == 0


def removed_at_the_server(connection: Connection, path: str) -> list[Row]:
    """What the storage server does for the owner of an object; the rows that went."""
    connection.execute("select set_config('storage.allow_delete_query', 'true', false)")
    return connection.execute(
        "delete from storage.objects"
        " where bucket_id = 'session-files' and name = %s returning name",
        (path,),
    ).fetchall()


def test_an_object_removed_while_it_is_registered_leaves_no_file(
    shared_world: PooledWorld,
) -> None:
    """FILE-02: the removal waits for the row, and takes it along"""
    world, scene = shared_world, live(shared_world)
    path = stored(world, scene, "customer")
    step = registering("customer", path)
    early = step.by_caller(world, scene, autocommit=False)
    late = world.borrow(scene.people["customer"])
    step.on(early, scene)
    with behind(world, late, lambda: removed_at_the_server(late, path)) as later:
        early.commit()
        assert later.result(timeout=10) == [{"name": path}]
    assert count(world, FILES, scene) == 0
    assert told(world, scene, "file:removed") == 1


def test_an_object_that_is_being_removed_is_not_registered(shared_world: PooledWorld) -> None:
    """FILE-02: and nobody waits for the storage server"""
    world, scene = shared_world, live(shared_world)
    path = stored(world, scene, "customer")
    step = registering("customer", path)
    removing_it = world.borrow(scene.people["customer"], autocommit=False)
    removed_at_the_server(removing_it, path)
    caller = step.by_caller(world, scene)
    answer = attempt(lambda: unhindered(world, caller, step.function, **step.params(scene)))
    assert refusals([answer]) == ["file_not_found"]
    removing_it.commit()
    assert count(world, FILES, scene) == 0


# Against the end

Made = Callable[[PooledWorld, Scene], Step]

TOO_LATE: dict[str, tuple[Made, LiteralString, int]] = {
    "a message": (lambda _world, _scene: writing("mechanic"), MESSAGES, 0),
    "a file": (
        lambda world, scene: registering("customer", stored(world, scene, "customer")),
        FILES,
        0,
    ),
    "a removal": (
        lambda world, scene: removing("customer", registered(world, scene)),
        FILES,
        1,
    ),
}


@pytest.mark.parametrize("case", TOO_LATE.values(), ids=TOO_LATE)
def test_what_comes_during_the_end_comes_after_it(
    shared_world: PooledWorld, case: tuple[Made, LiteralString, int]
) -> None:
    """CHAT-01, FILE-01, FILE-02: it waits for the end, is refused, and the files are evidence"""
    world, scene = shared_world, lasting(shared_world)
    make, query, left = case
    answer = second_after(world, scene, ending("mechanic"), make(world, scene))
    assert refusals([answer]) == ["session_ended"]
    assert count(world, query, scene) == left
    assert count(world, REMOVALS, scene) == 0


def test_a_summary_during_the_end_is_one_of_a_completed_session(shared_world: PooledWorld) -> None:
    """SUM-01: it waits for the end and stands"""
    world, scene = shared_world, lasting(shared_world)
    answer = second_after(world, scene, ending(), summing_up())
    assert refusals([answer]) == []
    assert world.session(scene.id)["summary_submitted_at"] is not None


def test_a_photo_during_the_summary_comes_too_late(shared_world: PooledWorld) -> None:
    """FILE-01, SUM-01: once the summary is in the mechanic adds nothing"""
    world, scene = shared_world, completed(shared_world)
    photo = registering("mechanic", stored(world, scene, "mechanic"))
    answer = second_after(world, scene, summing_up(), photo)
    assert refusals([answer]) == ["session_ended"]
    assert count(world, FILES, scene) == 0
