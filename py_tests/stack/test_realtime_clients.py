"""Both official clients on the Realtime stand-in, through the gateway, as applications use it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from support.realtime import JavaScript, Python, RealtimeProcess, eventually, heard, running, wait
from support.served import Served, served_clone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import Server
    from support.realtime import Client
    from taximeter.people import Person

CLIENTS: dict[str, type[JavaScript | Python]] = {"supabase-js": JavaScript, "supabase-py": Python}
FEED = "session_assignments_feed"


@pytest.fixture(scope="module")
def place(server: Server) -> Iterator[tuple[Served, RealtimeProcess]]:
    with (
        served_clone(server) as served,
        running(served.database_url("stack_realtime"), served.keys) as realtime,
    ):
        served.route({}, realtime.url)
        yield served, realtime


@pytest.fixture
def served(place: tuple[Served, RealtimeProcess]) -> Served:
    return place[0]


@pytest.fixture(params=list(CLIENTS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def client_of(
    served: Served, kind: str, person: Person | None = None, **options: Any
) -> Iterator[Client]:
    """A client of this kind, with the person's own token from Auth."""
    if person is not None and "token" not in options:
        session = person.client.auth.get_session()
        assert session is not None
        options["token"] = session.access_token
    with CLIENTS[kind].open(url=served.url, key=served.keys.publishable, **options) as client:
        yield client


def fresh(served: Served, person: Person, **claims: object) -> str:
    return served.token(sub=person.user_id, role="authenticated", **claims)


def sent(served: Served, topic: str) -> list[tuple[str, Any]]:
    """What the database has sent on a topic, in its order."""
    with served.connect() as connection:
        rows = connection.execute(
            "select event, payload from realtime.messages where topic = %s "
            "order by (payload ->> 'version')::bigint nulls first, inserted_at",
            (topic,),
        ).fetchall()
    return [(row["event"], row["payload"]) for row in rows]


def wait_for_last(client: Client, topic: str, messages: list[tuple[str, Any]]) -> None:
    wait(client, "broadcast", topic, event=messages[-1][0], payload=messages[-1][1])


def test_the_policies_say_who_receives(served: Served, kind: str) -> None:
    """STACK-04, RT-01: one's session, one's own topic, the feed for an approved mechanic"""
    customer, mechanic = served.person("customer"), served.mechanic()
    topic = f"session:{served.waiting_session(customer, mechanic)}"
    for person, allowed, denied in (
        (customer, (topic, f"user:{customer.user_id}"), (FEED, f"user:{mechanic.user_id}")),
        (mechanic, (topic, f"user:{mechanic.user_id}", FEED), (f"user:{customer.user_id}",)),
        (served.person("stranger"), (), (topic, FEED, f"{topic} ", "session:", "anything")),
        (None, (), (topic, FEED)),
    ):
        with client_of(served, kind, person) as client:
            for name in allowed:
                assert client.subscribe(name) == "SUBSCRIBED"
            for name in denied:
                assert client.subscribe(name) == "CHANNEL_ERROR"
                told = wait(client, "status", name)["error"]
                assert "Unauthorized: You do not have permissions to read from this" in told


def test_both_hear_all_of_a_session_in_order_and_once(served: Served) -> None:
    """STACK-04, RT-01: from the queue to the end, each over one socket"""
    customer, mechanic = served.person("customer"), served.mechanic()
    with (
        client_of(served, "supabase-js", customer) as javascript,
        client_of(served, "supabase-py", mechanic) as python,
    ):
        assert python.subscribe(FEED) == "SUBSCRIBED"
        session_id = str(customer.row("create_session", p_plan="chat10")["id"])
        topic = f"session:{session_id}"
        assert javascript.subscribe(topic) == "SUBSCRIBED"
        mechanic.row("accept_assignment", p_assignment_id=served.assignment(session_id))
        assert python.subscribe(topic) == "SUBSCRIBED"
        before = len(sent(served, topic))
        for person in (customer, mechanic):
            person.row("join_session", p_session_id=session_id)
        mechanic.row("leave_session", p_session_id=session_id)
        mechanic.row("join_session", p_session_id=session_id)
        customer.row("end_session_with_semantics", p_session_id=session_id)

        messages = sent(served, topic)
        names = [name for name, _ in messages]
        assert {"session:started", "session:reconnecting", "session:resumed"} < set(names)
        assert (names[0], names[-1]) == ("session:accepted", "session:ended")
        wait_for_last(javascript, topic, messages)
        wait_for_last(python, topic, messages)
        assert heard(javascript, topic) == messages
        assert heard(python, topic) == messages[before:]
        feed = [name for name, told in heard(python, FEED) if told["session_id"] == session_id]
        assert feed == ["new_assignment", "assignment_accepted"]


def test_what_was_rolled_back_is_never_heard(served: Served, kind: str) -> None:
    """STACK-04, RT-01: a session that never was, and one that is"""
    customer = served.person("customer")
    topic = f"user:{customer.user_id}"
    with client_of(served, kind, customer) as client, served.connect() as connection:
        assert client.subscribe(topic) == "SUBSCRIBED"
        for how in ("rollback", "commit"):
            connection.execute("begin")
            connection.execute("select private.broadcast(%s, %s, '{}')", (topic, how))
            connection.execute(how.encode())
        wait(client, "broadcast", topic, event="commit")
        assert [name for name, _ in heard(client, topic)] == ["commit"]


def test_nobody_can_send_on_a_sessions_topic(served: Served, kind: str) -> None:
    """STACK-04, RT-01: a forged end reaches nobody, by socket or by HTTP"""
    customer, mechanic = served.person("customer"), served.mechanic()
    topic = f"session:{served.waiting_session(customer, mechanic)}"
    other = next(name for name in CLIENTS if name != kind)
    patience = {"timeout": 2000} if kind == "supabase-js" else {}
    with (
        client_of(served, kind, customer, **patience) as forger,
        client_of(served, other, mechanic) as victim,
    ):
        assert forger.subscribe(topic, broadcast={"ack": True, "self": True}) == "SUBSCRIBED"
        assert victim.subscribe(topic) == "SUBSCRIBED"
        result = forger.act("send", topic=topic, event="session:ended", payload={"version": 99})
        # supabase-py does not wait for the answer that never comes.
        assert result == ("timed out" if kind == "supabase-js" else None)
        told = forger.act("http_send", topic=topic, event="session:ended", payload={"version": 99})
        assert "Unauthorized" in told
        with served.connect() as connection:
            connection.execute("select private.broadcast(%s, 'true', '{}')", (topic,))
        for client in (forger, victim):
            wait(client, "broadcast", topic, event="true")
            assert [name for name, _ in heard(client, topic)] == ["true"]


def test_the_two_of_a_session_see_each_other(served: Served, kind: str) -> None:
    """STACK-04, RT-01: presence between the two clients: state, joining, leaving, a lost socket"""
    customer, mechanic = served.person("customer"), served.mechanic()
    topic = f"session:{served.waiting_session(customer, mechanic)}"
    other = next(name for name in CLIENTS if name != kind)
    with client_of(served, kind, customer) as one:
        assert one.subscribe(topic, presence={"enabled": True, "key": "customer"}) == "SUBSCRIBED"
        one.act("track", topic=topic, payload={"camera": True})
        wait(one, "presence", topic, event="join", key="customer")
        with client_of(served, other, mechanic) as two:
            presence = {"enabled": True, "key": "mechanic"}
            assert two.subscribe(topic, presence=presence) == "SUBSCRIBED"
            eventually(lambda: cameras(two) == {"customer": True})
            two.act("track", topic=topic, payload={"camera": False})
            both = {"customer": True, "mechanic": False}
            eventually(lambda: cameras(one) == cameras(two) == both)
            two.act("untrack", topic=topic)
            eventually(lambda: cameras(one) == cameras(two) == {"customer": True})
            two.act("track", topic=topic, payload={"camera": False})
            eventually(lambda: cameras(one) == both)
        eventually(lambda: cameras(one) == {"customer": True})


def cameras(client: Client) -> dict[str, bool]:
    """Who is present, as the client's last look at it says, and what of his camera."""
    states = [event["state"] for event in list(client.events) if event.get("event") == "sync"]
    return {name: entry[-1]["camera"] for name, entry in states[-1].items()} if states else {}


def test_presence_on_ones_own_topic_is_refused(served: Served) -> None:
    """STACK-04, RT-01: presence is for sessions"""
    customer = served.person("customer")
    topic = f"user:{customer.user_id}"
    with client_of(served, "supabase-js", customer) as client:
        assert client.subscribe(topic, presence={"enabled": True}) == "SUBSCRIBED"
        assert client.act("track", topic=topic, payload={}) == "error"


def test_who_is_no_longer_in_a_session_leaves_its_topic(served: Served, kind: str) -> None:
    """STACK-04, RT-01: at the next token; who still is stays, with the new one"""
    customer, mechanic = served.person("customer"), served.mechanic()
    session_id = served.waiting_session(customer, mechanic)
    topic = f"session:{session_id}"
    with (
        client_of(served, kind, mechanic) as leaving,
        client_of(served, kind, customer) as staying,
    ):
        for client in (leaving, staying):
            assert client.subscribe(topic) == "SUBSCRIBED"
        mechanic.row("release_assignment", p_assignment_id=served.assignment(session_id))
        for client, person in ((leaving, mechanic), (staying, customer)):
            client.act("set_auth", token=fresh(served, person, exp=int(time.time()) + 900))
        wait(leaving, "status", topic, status="CLOSED")
        with served.connect() as connection:
            connection.execute("select private.broadcast(%s, 'after', '{}')", (topic,))
        wait(staying, "broadcast", topic, event="after")
        assert "after" not in [name for name, _ in heard(leaving, topic)]
        assert not [e for e in staying.events if e.get("status") == "CLOSED"]


def test_an_expired_token_ends_a_channel(served: Served, kind: str) -> None:
    """STACK-04: and a new one makes it possible again"""
    customer = served.person("customer")
    topic = f"user:{customer.user_id}"
    short = fresh(served, customer, exp=int(time.time()) + 3)
    with client_of(served, kind, token=short) as client:
        assert client.subscribe(topic) == "SUBSCRIBED"
        wait(client, "status", topic, status="CLOSED")
        client.act("set_auth", token=fresh(served, customer))
        client.events.clear()
        assert client.subscribe(topic) == "SUBSCRIBED"


def test_clients_come_back_by_themselves(
    served: Served, place: tuple[Served, RealtimeProcess], kind: str
) -> None:
    """STACK-04, STACK-05: after a restart on another port they join again and hear again"""
    customer = served.person("customer")
    topic = f"user:{customer.user_id}"
    with client_of(served, kind, customer) as client:
        with running(served.database_url("stack_realtime"), served.keys) as first:
            served.route({}, first.url)
            assert client.subscribe(topic) == "SUBSCRIBED"
        with running(served.database_url("stack_realtime"), served.keys) as second:
            served.route({}, second.url)
            client.events.clear()
            wait(client, "status", topic, status="SUBSCRIBED")
            with served.connect() as connection:
                connection.execute("select private.broadcast(%s, 'again', '{}')", (topic,))
            wait(client, "broadcast", topic, event="again")
        served.route({}, place[1].url)
