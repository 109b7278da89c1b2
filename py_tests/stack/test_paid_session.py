"""The demo's paid scene over HTTP and websockets: what both sides hear, what is done outside."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString

import httpx
import jwt
import psycopg
import pytest
from psycopg.rows import dict_row
from rich.console import Console

from support.served import stack_folder
from taximeter.demo import paid_session
from taximeter.demo.outside import DELETE_ROOM, VIDEO_KEY, VIDEO_SECRET, Outside
from taximeter.demo.stage import Cast, Stage
from taximeter.people import grant_admin, sign_up
from taximeter.stack.functions import FUNCTIONS
from taximeter.stack.settings import Settings, StackError
from taximeter.stack.supervisor import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taximeter.demo.hearing import Message
    from taximeter.demo.paid_session import Played
    from taximeter.people import Person

pytestmark = pytest.mark.slow

# From when the mechanic may listen until the refund.
BOTH_HEAR = [
    *("session:participant", "session:participant", "session:started", "file:added"),
    *("message:new", "message:new", "session:warning", "session:extended"),
    *("session:ended", "session:summary", "session:ended"),
]
REPLAYS_COUNT: LiteralString = """
create function private.again() returns trigger language plpgsql security definer as $$
begin
  perform private.enqueue('push', gen_random_uuid()::text, '{}');
  return null;
end
$$;
create trigger told_again after update of deliveries on private.stripe_events
for each row execute function private.again();
"""


@dataclass
class Scene:
    """A stack of its own, because the scene wants an empty ledger, and what is outside of it."""

    stack: Stack
    outside: Outside

    def operator(self) -> Person:
        operator = sign_up(self.stack.url, self.stack.publishable_key, "operator")
        grant_admin(self.stack.database_url, operator.email)
        return operator

    def play(self) -> tuple[Played, str]:
        """What there is to look at, and what was printed, every run of spaces as one."""
        printed = io.StringIO()
        stage = Stage(Console(file=printed, width=120), self.stack)
        mechanic = sign_up(self.stack.url, self.stack.publishable_key, "mechanic")
        operator = self.operator()
        mechanic.row("apply_as_mechanic", p_specialties=["brakes"])
        operator.row("set_mechanic_status", p_mechanic_id=mechanic.user_id, p_status="approved")
        played = paid_session.play(stage, Cast(mechanic, operator), self.outside)
        return played, " ".join(printed.getvalue().split())

    def rows(self, query: LiteralString, *arguments: object) -> list[dict[str, Any]]:
        with psycopg.connect(
            self.stack.database_url, autocommit=True, row_factory=dict_row
        ) as connection:
            cursor = connection.execute(query, arguments)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def scene() -> Iterator[Scene]:
    with stack_folder() as folder, Outside() as outside:
        settings = Settings(
            directory=folder,
            api_port=0,
            database_port=None,
            functions_environment=outside.environment,
        )
        with Stack(settings) as stack:
            yield Scene(stack, outside)


def on(topic: str, messages: list[Message]) -> list[tuple[str, Any]]:
    return [(message.event, message.payload) for message in messages if message.topic == topic]


def names(heard: list[tuple[str, Any]]) -> list[str]:
    return [event for event, _ in heard]


def test_a_paid_session_from_sign_up_to_payout() -> None:
    """CLI-01, EDGE-02, STACK-04, MON-03, MON-05, MON-10, MON-12, MON-19, FILE-03: told and done"""
    with scene() as at:
        played, printed = at.play()
        session, stripe = played.session_id, at.outside.stripe.stripe
        sent = at.rows(
            "select event, payload from realtime.messages where topic = %s"
            " order by inserted_at, (payload ->> 'version')::bigint",
            f"session:{session}",
        )
        effects = at.rows("select topic, status, attempts from private.outbox")
        (webhooks,) = at.rows(
            "select count(*) as events, sum(deliveries) as told from private.stripe_events"
        )
        (clock,) = at.rows(
            "select clock_timestamp() - private.clock() < interval '1 second' as is_real"
        )

    # What was heard: everything that the database sent, once, by both in the same order.
    customer = on(f"session:{session}", played.customer_heard)
    assert customer == [(row["event"], row["payload"]) for row in sent]
    assert names(customer) == ["session:accepted", *BOTH_HEAR]
    assert on(f"session:{session}", played.mechanic_heard) == customer[1:]
    feed = on("session_assignments_feed", played.mechanic_heard)
    assert names(feed) == ["new_assignment", "assignment_accepted"]
    for messages, kinds in (
        (played.customer_heard, paid_session.CUSTOMER_IS_TOLD),
        (played.mechanic_heard, paid_session.MECHANIC_IS_TOLD),
    ):
        told = [m.payload["kind"] for m in messages if m.topic.startswith("user:")]
        assert told == list(kinds)

    # What was done outside: everything once, by the function that the database woke.
    (mail,) = at.outside.mailbox.mails
    assert (mail["to"], mail["subject"]) == (
        "buyer@example.com",
        "Your diagnostic session summary",
    )
    assert at.outside.video.removed == [f"session-{session}"]
    assert at.outside.video.rooms == {}
    assert [told.key for told in at.outside.tracked] == [f"crm:{session}"]
    (account,) = stripe.objects("account")
    (transfer,) = stripe.objects("transfer")
    assert (transfer["amount"], transfer["destination"]) == (1400, account["id"])
    assert transfer["amount_reversed"] == 420
    assert sorted(refund["amount"] for refund in stripe.objects("refund")) == [100, 500]
    assert [checkout["amount_total"] for checkout in stripe.objects("checkout.session")] == [
        500,
        1500,
    ]
    assert {(effect["status"], effect["attempts"]) for effect in effects} == {("done", 1)}
    assert sorted(effect["topic"] for effect in effects) == [
        *("crm.track", "email", "livekit.delete_room"),
        *("stripe.refund", "stripe.refund", "stripe.transfer", "stripe.transfer_reversal"),
    ]
    assert webhooks == {"events": 14, "told": 44}
    assert clock == {"is_real": True}

    for line in (
        "two events, one extension: 60 min",
        "of 20.00 the mechanic has earned 14.00, the platform 6.00",
        "the customer adds squeal.m4a, 81600 bytes",
        "the mechanic gets the same bytes",
        "“That is the front left brake”",
        *("platform_revenue │ 4.20", "stripe │ -4.20", "sum │ 0.00"),
        "customer: Your session summary is ready.",
        "mechanic: You were paid. 14.00 USD were sent to your account.",
        *("Session as it is told to: customer", "Both were there: the meter started."),
        "both heard the same 11 messages",
        "all 10 webhooks again, 3 times: each is a duplicate",
        "nothing has changed",
    ):
        assert line in printed, line


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("select public.set_setting('mechanic_share_bps', '6999')", "'mechanic_payable': 1399"),
        (REPLAYS_COUNT, "not [0-9a-f]{32}"),
    ],
    ids=["a cent goes elsewhere", "a replay has an effect"],
)
def test_the_scene_fails_when_something_differs(change: LiteralString, told: str) -> None:
    """MON-03, MON-05: a demo that prints what it expects proves nothing"""
    with scene() as at:
        at.rows(change)
        with pytest.raises(StackError, match=told):
            at.play()


def test_the_demo_waits_for_what_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """MON-19, CLI-01: the job catches what nobody was woken for; else what waits is told"""
    monkeypatch.setattr("taximeter.demo.stage.JOB_SECONDS", 0.2)
    with scene() as at:
        operator, waiting = at.operator(), Stage(Console(file=io.StringIO()), at.stack)
        at.rows("select private.teardown_cron()")
        at.rows("update private.wake_ups set last_at = clock_timestamp() + interval '1 second'")
        at.rows("select private.enqueue('crm.track', 'test:1', '{}')")
        waiting.settle(operator)
        assert [told.key for told in at.outside.tracked] == ["test:1"]

        monkeypatch.setattr("taximeter.demo.stage.SETTLE_SECONDS", 3.0)
        at.rows("select private.enqueue('email', 'test:2', '{}')")
        with pytest.raises(StackError, match="1 effects still wait") as caught:
            waiting.settle(operator)
    assert "email test:2: pending, attempts 1, due in" in caught.value.hint
    assert "is not a text" in caught.value.hint


def test_the_demo_reaches_nothing_but_itself() -> None:
    """CLI-01: whatever a developer has written into `functions/.env`"""
    with Outside() as outside:
        environment = outside.environment
    stacks_own = {"DISPATCH_SECRET", "CRON_SECRET", "HEALTH_SECRET"}
    harmless = {"BUF_BIGINT_DISABLE", "DISPATCH_SECONDS"}
    names = {name for f in FUNCTIONS for name in (*f.reads, *f.reaches)}
    platform = {name for name in names if name.startswith("SUPABASE_")}
    assert set(environment) == names - platform - stacks_own - harmless
    addresses = [value for value in environment.values() if "://" in value]
    assert all("://127.0.0.1:" in address for address in addresses)


def test_the_played_video_server_lets_in_who_has_a_token() -> None:
    """CLI-01, EDGE-02: forged ones and those without the grant open nothing"""

    def signed(secret: str = VIDEO_SECRET, **grants: object) -> str:
        return jwt.encode({"iss": VIDEO_KEY, "sub": "customer-1", "video": grants}, secret)

    def remove(outside: Outside, token: str) -> int:
        url = outside.environment["LIVEKIT_URL"].replace("ws", "http", 1)
        headers = {"authorization": f"Bearer {token}"}
        body = {"room": "session-1"}
        return httpx.post(url + DELETE_ROOM, json=body, headers=headers).status_code

    with Outside() as outside:
        video = outside.video
        for token in (signed("another" * 8, roomJoin=True, room="session-1"), signed(room="x")):
            with pytest.raises(jwt.InvalidTokenError):
                video.enter(token)
        assert video.enter(signed(roomJoin=True, room="session-1")) == ("session-1", "customer-1")
        assert remove(outside, signed("another" * 8, roomCreate=True)) == 401
        assert remove(outside, signed(roomJoin=True, room="session-1")) == 403
        assert remove(outside, signed(roomCreate=True)) == 200
        assert remove(outside, signed(roomCreate=True)) == 404
        assert video.removed == ["session-1"]
