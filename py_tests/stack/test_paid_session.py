"""The demo's paid scene is exact, and fails where something is not (MON-03, MON-05)."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, LiteralString

import pytest
from rich.console import Console

from support.served import Served, served_clone
from taximeter.demo import paid_session
from taximeter.demo.stage import Cast, Stage
from taximeter.stack.settings import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import Server
    from taximeter.stack.settings import Keys


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


@dataclass(frozen=True, slots=True)
class Place:
    """A database of its own, as a stack shows one: the scene wants an empty ledger."""

    served: Served

    @property
    def url(self) -> str:
        return self.served.url

    @property
    def database_url(self) -> str:
        return self.served.database_url("postgres")

    @property
    def publishable_key(self) -> str:
        return self.served.keys.publishable

    @property
    def keys(self) -> Keys:
        return self.served.keys


@contextmanager
def place(server: Server) -> Iterator[Place]:
    with served_clone(server) as served:
        with served.connect() as connection:
            connection.execute("select public.set_setting('min_billable_seconds', '2')")
        yield Place(served)


def play(at: Place) -> str:
    """What the scene printed, every run of spaces as one."""
    printed = io.StringIO()
    stage = Stage(Console(file=printed, width=120), at)
    paid_session.play(stage, Cast(at.served.mechanic(), at.served.operator()))
    return " ".join(printed.getvalue().split())


def test_every_cent_is_where_it_belongs_and_stays_there(server: Server) -> None:
    """MON-05, MON-10, MON-12, MON-03, CHAT-01, FILE-02, SUM-01, NOTE-01: the whole paid scene"""
    with place(server) as at:
        printed = play(at)
        with at.served.connect() as connection:
            deliveries = connection.execute(
                "select count(*) as events, sum(deliveries) as told from private.stripe_events"
            ).fetchone()
            behind = connection.execute(
                "select clock_timestamp() - private.clock() < interval '1 second' as is_real"
            ).fetchone()
    for line in (
        "two events, one extension: 60 min",
        "of 20.00 the mechanic has earned 14.00, the platform 6.00",
        *("stripe.transfer of 14.00", "stripe.transfer_reversal of 4.20"),
        *("platform_revenue │ 4.20", "stripe │ -4.20", "sum │ 0.00"),
        "customer adds squeal.m4a, 81920 bytes",
        "“That is the front left brake”",
        "email: a worker sends “Your diagnostic session summary”",
        "crm.track: a worker sends “session_completed”",
        "customer: Your session summary is ready.",
        "mechanic: You were paid. 14.00 USD were sent to your account.",
        "all 10 webhooks again, 3 times: each is a duplicate",
        "nothing has changed",
    ):
        assert line in printed, line
    assert deliveries == {"events": 14, "told": 44}
    assert behind == {"is_real": True}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("select public.set_setting('mechanic_share_bps', '6999')", "'mechanic_payable': 1399"),
        (REPLAYS_COUNT, "not [0-9a-f]{32}"),
    ],
    ids=["a cent goes elsewhere", "a replay has an effect"],
)
def test_the_scene_fails_when_something_differs(
    server: Server, change: LiteralString, told: str
) -> None:
    """MON-03, MON-05: a demo that prints what it expects proves nothing"""
    with place(server) as at:
        with at.served.connect() as connection:
            connection.execute(change)
        with pytest.raises(StackError, match=told):
            play(at)
