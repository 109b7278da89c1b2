"""The function dispatch-outbox as it runs: under Deno, with its rights, against Stripe as played,
a real mail server and somebody's webhook; killed, late, refused, and several at once.
"""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, LiteralString
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
import pytest
from psycopg.types.json import Jsonb
from supabase import ClientOptions, create_client

from support.database import Database
from support.edge import FOLDER, LOCK
from support.outside import Answer, Hook, Mailbox, hook, mailbox
from support.processes import until
from support.served import Served, served_clone
from support.world import World, call_on
from taximeter.demo.pretend_stripe import StripeRefusalError
from taximeter.demo.stripe_server import SECRET_KEY, Fault, StripeServer, broken
from taximeter.stack.functions import (
    FUNCTIONS,
    EdgeFunction,
    Functions,
    platform_environment,
)
from taximeter.stack.postgres import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from support.database import Server

NAME = "dispatch-outbox"
SECRET = "dispatch-secret"
PLAN = "video15"
LEASE_SECONDS = 60
TOGETHER_STEPS = 4
STEP_SECONDS = 30
LATER_SECONDS = 3600
# More than a call may take.
TOO_LATE_SECONDS = 11
TRANSFERS = "/v1/transfers"
ALL = {"claimed": 1, "done": 1, "failed": 0, "lost": 0}
FAILED = {"claimed": 1, "done": 0, "failed": 1, "lost": 0}
NOTHING = {"claimed": 0, "done": 0, "failed": 0, "lost": 0}

Tally = dict[str, int]


@dataclass(frozen=True)
class Paid:
    """A session whose mechanic is to be paid."""

    session: UUID
    payout: UUID
    account: str

    @property
    def key(self) -> str:
        return f"payout:{self.payout}"


@dataclass(frozen=True)
class Place:
    """A database with the API before it, everything outside, and the function between them."""

    served: Served
    world: World
    stripe: StripeServer
    hook: Hook
    box: Mailbox
    function: EdgeFunction
    logs: Path

    def environment(self, **more: str) -> dict[str, str]:
        keys = self.served.keys
        return {
            **platform_environment(self.served.url, keys.publishable, keys.secret),
            "DISPATCH_SECRET": SECRET,
            "STRIPE_SECRET_KEY": SECRET_KEY,
            "STRIPE_API_URL": self.stripe.url,
            "SMTP_URL": self.box.url,
            "CRM_WEBHOOK_URL": self.hook.url,
            **more,
        }

    @contextmanager
    def another(self, environment: Mapping[str, str] | None = None) -> Iterator[EdgeFunction]:
        """A second process of the function, perhaps with other settings."""
        logs = self.logs / uuid4().hex
        with running(environment or self.environment(), logs) as function:
            yield function

    def enqueue(self, topic: str, key: str, payload: dict[str, Any]) -> None:
        self.world.execute("select private.enqueue(%s, %s, %s)", topic, key, Jsonb(payload))

    def row(self, key: str) -> dict[str, Any]:
        return self.world.row("select * from private.outbox where key = %s", key)

    def status(self, paid: Paid) -> str:
        found = self.world.row("select status from public.payouts where id = %s", paid.payout)
        return str(found["status"])

    def sent(self, paid: Paid) -> list[dict[str, Any]]:
        """The transfers that Stripe has of a payout."""
        transfers = self.stripe.stripe.objects("transfer")
        return [t for t in transfers if t["metadata"].get("outbox_key") == paid.key]

    def asked(self, path: str = TRANSFERS) -> int:
        """How often Stripe was asked to do something."""
        return len(self.stripe.asked("POST", path))

    def later(self, seconds: int = LATER_SECONDS) -> None:
        self.world.advance(seconds)

    def ingest(self, events: list[dict[str, Any]]) -> None:
        for event in events:
            (answer,) = call_on(
                self.world.connect("service_role"), "ingest_stripe_event", p_event=event
            )
            assert answer["ingest_stripe_event"]["status"] == "processed", answer

    def buy(self) -> tuple[UUID, UUID]:
        """A customer with a session that is paid, and who it is."""
        customer = self.world.customer()
        intent = self.world.one(customer, "request_checkout", p_plan=PLAN)
        played = self.stripe.stripe
        checkout = played.open_checkout(intent["price_cents"], "session", str(intent["id"]))
        self.ingest(played.pay(checkout["id"]))
        session = self.world.row(
            "select session_id from public.checkout_intents where id = %s", intent["id"]
        )["session_id"]
        return customer, session

    def meet(self) -> tuple[UUID, UUID, UUID]:
        """A paid session that is live: it, the customer and the mechanic."""
        customer, session = self.buy()
        mechanic = self.world.mechanic()
        assignment = self.world.assignment(session)
        self.world.call(mechanic, "accept_assignment", p_assignment_id=assignment)
        for person in (customer, mechanic):
            self.world.call(person, "join_session", p_session_id=session)
        return session, customer, mechanic

    def paid(self) -> Paid:
        """A session that is over, with a payout that is in the outbox, and nothing else there."""
        session, customer, mechanic = self.meet()
        for _ in range(TOGETHER_STEPS):
            self.later(STEP_SECONDS)
            for person in (customer, mechanic):
                self.world.call(person, "heartbeat_session", p_session_id=session)
        self.world.call(customer, "end_session_with_semantics", p_session_id=session)
        account = f"acct_{mechanic.hex[:12]}"
        self.world.call("system", "set_stripe_account", p_mechanic_id=mechanic, p_account=account)
        self.world.execute("delete from private.outbox")
        self.world.execute(
            "update public.payouts set due_at = private.clock() where session_id = %s", session
        )
        self.world.execute("select private.run_job('dispatch-outbox')")
        payout = self.world.row("select id from public.payouts where session_id = %s", session)
        return Paid(session, payout["id"], account)


def dispatch(function: EdgeFunction, secret: str = SECRET) -> Tally:
    response = httpx.post(
        function.url,
        headers={"authorization": f"Bearer {secret}"},
        timeout=60,
        trust_env=False,
    )
    assert response.status_code == 200, response.text
    tally: Tally = response.json()
    return tally


@contextmanager
def running(environment: Mapping[str, str], logs: Path) -> Iterator[EdgeFunction]:
    """A process of the function, as the stack runs it."""
    functions = Functions([f for f in FUNCTIONS if f.name == NAME], FOLDER, logs)
    try:
        functions.start(environment, LOCK)
        functions.wait()
        yield functions.parts[NAME]
    finally:
        functions.stop()


@pytest.fixture(scope="module")
def everything(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    logs = tmp_path_factory.mktemp("dispatch")
    with (
        served_clone(server) as served,
        World(Database(server, urlsplit(served.database_url("postgres")).path[1:])) as world,
        StripeServer() as stripe,
        hook() as taking,
        mailbox(free_port()) as box,
    ):
        world.clock_at(datetime.now(UTC))
        place = Place(served, world, stripe, taking, box, None, logs)  # type: ignore[arg-type]
        with running(place.environment(), logs / "first") as function:
            yield Place(served, world, stripe, taking, box, function, logs)


@pytest.fixture
def place(everything: Place) -> Place:
    """The same place, with nothing to do and nothing done outside."""
    everything.world.execute("delete from private.outbox")
    for record in (
        everything.stripe.faults,
        everything.stripe.requests,
        everything.hook.answers,
        everything.hook.asked,
        everything.box.mails,
        everything.box.answers,
    ):
        record.clear()
    everything.hook.done.clear()
    everything.stripe.stripe.balance = None
    return everything


# Who may ------------------------------------------------------------------------------------------

_OUTBOX: LiteralString = "select md5(jsonb_agg(to_jsonb(o))::text) as of from private.outbox o"


def test_nobody_without_the_secret_starts_it(place: Place) -> None:
    """EDGE-01, MON-19: a wrong, forged, empty or foreign secret is a 401, and nothing changes"""
    place.enqueue("crm.track", "crm:1", {"event": "session_completed"})
    before = place.world.row(_OUTBOX)
    keys = place.served.keys
    forged = place.served.token(sub=str(uuid4()), role="service_role")
    wrong: tuple[str | None, ...] = (
        *(None, "Bearer", f"Basic {SECRET}", SECRET, "Bearer wrong"),
        *(f"Bearer {SECRET}x", f"Bearer {SECRET[:-1]}", f"Bearer {SECRET.upper()}"),
        *(f"Bearer {keys.secret}", f"Bearer {keys.publishable}", f"Bearer {forged}"),
    )
    for header in wrong:
        headers = {} if header is None else {"authorization": header}
        response = httpx.post(place.function.url, headers=headers, timeout=20, trust_env=False)
        assert (response.status_code, response.json()["message"]) == (401, "not_authenticated")
        assert set(response.json()) == {"code", "message", "details", "hint"}
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        response = httpx.request(
            method,
            place.function.url,
            headers={"authorization": f"Bearer {SECRET}"},
            timeout=20,
            trust_env=False,
        )
        assert response.status_code == 405
    assert place.world.row(_OUTBOX) == before
    assert place.hook.asked == []


def test_without_settings_it_says_which_one_is_missing(place: Place) -> None:
    """EDGE-03: a function that lacks a setting answers so, and a service only fails its own"""
    bare = place.environment()
    del bare["DISPATCH_SECRET"]
    with place.another(bare) as function:
        response = httpx.post(function.url, timeout=20, trust_env=False)
        assert response.status_code == 503
        assert response.json()["details"] == "DISPATCH_SECRET is not set."

    keys = place.served.keys
    bare = platform_environment(place.served.url, keys.publishable, keys.secret)
    paid = place.paid()
    place.enqueue("crm.track", "crm:1", {"event": "session_completed"})
    with place.another({**bare, "DISPATCH_SECRET": SECRET}) as function:
        assert dispatch(function) == {"claimed": 2, "done": 1, "failed": 1, "lost": 0}
    assert place.row("crm:1")["result"] == {"skipped": "CRM_WEBHOOK_URL is not set"}
    row = place.row(paid.key)
    assert row["last_error"] == "not_configured: STRIPE_SECRET_KEY is not set."
    assert (row["status"], row["is_ambiguous"]) == ("pending", False)
    assert place.status(paid) == "submitted"


_LEDGER: LiteralString = (
    "select md5(jsonb_agg(to_jsonb(e))::text) as of from private.ledger_entries e"
)


# Money --------------------------------------------------------------------------------------------


def test_a_payout_is_sent_taken_back_in_part_and_refunded(place: Place) -> None:
    """MON-14, MON-15, MON-18: transfer, refund and reversal through the database's own answers"""
    paid = place.paid()
    assert dispatch(place.function) == ALL
    (transfer,) = place.sent(paid)
    assert place.status(paid) == "paid"
    assert (transfer["amount"], transfer["destination"]) == (1050, paid.account)
    assert transfer["metadata"] == {
        "outbox_key": paid.key,
        "payout_id": str(paid.payout),
        "session_id": str(paid.session),
    }
    admin = place.world.admin()
    place.world.call(
        admin,
        "refund_session",
        p_session_id=paid.session,
        p_key="goodwill",
        p_amount_cents=600,
        p_reason="it still squeals",
    )
    place.world.execute("delete from private.outbox where topic not like 'stripe.%%'")
    told = len(place.stripe.stripe.told)
    assert dispatch(place.function) == {"claimed": 2, "done": 2, "failed": 0, "lost": 0}
    refund = place.world.row("select status, stripe_refund_id from private.refunds")
    assert refund["status"] == "succeeded"
    assert refund["stripe_refund_id"].startswith("re_")
    payout = place.world.row("select * from public.payouts where id = %s", paid.payout)
    assert payout["reversed_cents"] == transfer["amount_reversed"] == 420
    before = place.world.row(_LEDGER)
    # What Stripe tells of it afterwards changes nothing.
    place.ingest(place.stripe.stripe.told[told:])
    assert place.world.row(_LEDGER) == before
    assert place.world.call(admin, "ledger_invariants") == []


def test_the_checkout_of_an_extension_nobody_can_use_is_closed(place: Place) -> None:
    """MON-09, MON-17: stripe.expire_checkout closes what is open and leaves what is paid"""
    played = place.stripe.stripe
    left = []
    for pays in (False, True):
        session, customer, _ = place.meet()
        extension = place.world.one(
            customer, "request_extension", p_session_id=session, p_minutes=15
        )
        checkout = played.open_checkout(extension["price_cents"], "extension", str(extension["id"]))
        place.world.call(
            "system",
            "record_checkout",
            p_purpose="extension",
            p_purpose_id=extension["id"],
            p_checkout_session_id=checkout["id"],
        )
        place.world.call(customer, "end_session_with_semantics", p_session_id=session)
        if pays:
            played.pay(checkout["id"])
        left.append(checkout)
    place.world.execute("delete from private.outbox where topic <> 'stripe.expire_checkout'")
    assert dispatch(place.function) == {"claimed": 2, "done": 2, "failed": 0, "lost": 0}
    assert [checkout["status"] for checkout in left] == ["expired", "complete"]


def test_a_refusal_is_tried_again_under_a_new_key(place: Place) -> None:
    """MON-14, MON-18: balance_insufficient is no failure; n grows, as Stripe keeps the refusal"""
    paid = place.paid()
    place.stripe.stripe.balance = 0
    for _ in range(2):
        assert dispatch(place.function) == FAILED
        assert place.status(paid) == "submitted"
        assert "balance_insufficient" in place.row(paid.key)["last_error"]
        place.later()
    place.stripe.stripe.balance = 100_000
    assert dispatch(place.function) == ALL
    keys = [request.idempotency_key for request in place.stripe.asked("POST", TRANSFERS)]
    assert keys == [f"{paid.key}#{n}" for n in (1, 2, 3)]
    assert len(place.sent(paid)) == 1
    assert place.status(paid) == "paid"


REFUSED_FOR_NOW = {
    "asked too often": StripeRefusalError(429, "Too many requests.", code="lock_timeout"),
    "another one under this key runs": StripeRefusalError(
        409, "Another request.", kind="idempotency_error", code="idempotency_key_in_use"
    ),
    "not allowed": StripeRefusalError(403, "This key may not."),
    "a gateway's error": StripeRefusalError(502, "Bad gateway.", kind="api_error"),
}


@pytest.mark.parametrize("why", REFUSED_FOR_NOW)
def test_an_answer_that_decides_nothing_keeps_the_key(place: Place, why: str) -> None:
    """MON-18: n grows only after a definitive refusal, and in doubt Stripe is asked first"""
    paid = place.paid()
    place.stripe.faults.append(Fault(TRANSFERS, REFUSED_FOR_NOW[why]))
    assert dispatch(place.function) == FAILED
    assert place.status(paid) == "needs_reconciliation"
    place.later()
    assert dispatch(place.function) == ALL
    keys = [request.idempotency_key for request in place.stripe.asked("POST", TRANSFERS)]
    assert keys == [f"{paid.key}#1"] * 2
    _, by_account = place.stripe.asked("GET", TRANSFERS)
    written = int(place.row(paid.key)["created_at"].timestamp())
    assert int(by_account.params["created"]["gte"]) == written - 60
    assert len(place.sent(paid)) == 1
    assert place.status(paid) == "paid"


def test_what_was_done_before_the_connection_broke_is_not_sent_again(place: Place) -> None:
    """MON-18: also a day later, when Stripe has forgotten the key"""
    paid = place.paid()
    place.stripe.faults.append(Fault(TRANSFERS, is_done=True))
    assert dispatch(place.function) == FAILED
    assert place.status(paid) == "needs_reconciliation"
    place.stripe.forget_keys()
    place.later(25 * 3600)
    assert dispatch(place.function) == ALL
    assert place.asked() == 1
    assert len(place.sent(paid)) == 1
    assert place.status(paid) == "paid"


def test_a_refund_and_a_reversal_in_doubt_are_looked_for(place: Place) -> None:
    """MON-18: each is found by what it is of, and there is one of each"""
    paid = place.paid()
    assert dispatch(place.function) == ALL
    place.world.call(
        place.world.admin(),
        "refund_session",
        p_session_id=paid.session,
        p_key="goodwill",
        p_amount_cents=600,
    )
    place.world.execute("delete from private.outbox where topic not like 'stripe.%%'")
    reversals = f"{TRANSFERS}/{place.sent(paid)[0]['id']}/reversals"
    place.stripe.faults += [Fault("/v1/refunds", is_done=True), Fault(reversals, is_done=True)]
    assert dispatch(place.function) == {"claimed": 2, "done": 0, "failed": 2, "lost": 0}
    place.stripe.forget_keys()
    place.later()
    assert dispatch(place.function) == {"claimed": 2, "done": 2, "failed": 0, "lost": 0}
    assert (place.asked("/v1/refunds"), place.asked(reversals)) == (1, 1)
    assert place.sent(paid)[0]["amount_reversed"] == 420


def test_while_stripe_cannot_be_asked_nothing_is_sent(place: Place) -> None:
    """MON-18: a look that fails leaves the doubt"""
    paid = place.paid()
    place.stripe.faults += [Fault(TRANSFERS, is_done=True), broken(TRANSFERS, method="GET")]
    assert dispatch(place.function) == FAILED
    place.later()
    assert dispatch(place.function) == FAILED
    assert place.row(paid.key)["is_ambiguous"]
    place.later()
    assert dispatch(place.function) == ALL
    assert (place.asked(), len(place.sent(paid))) == (1, 1)


def test_a_500_then_too_late_then_well_is_one_effect_each(place: Place) -> None:
    """MON-18: at Stripe and at a webhook, with real time-outs"""
    paid = place.paid()
    place.enqueue("crm.track", "crm:1", {"event": "session_completed"})
    place.stripe.faults += [
        broken(TRANSFERS),
        Fault(TRANSFERS, is_done=True, seconds=TOO_LATE_SECONDS),
    ]
    place.hook.answers += [Answer(500, is_done=False), Answer(seconds=TOO_LATE_SECONDS)]
    for _ in range(2):
        assert dispatch(place.function) == {"claimed": 2, "done": 0, "failed": 2, "lost": 0}
        place.later()
    assert dispatch(place.function) == {"claimed": 2, "done": 2, "failed": 0, "lost": 0}
    assert place.row("crm:1")["status"] == "done"
    assert [message.key for message in place.hook.asked] == ["crm:1"] * 3
    assert list(place.hook.done) == ["crm:1"]
    assert len(place.sent(paid)) == 1
    assert place.status(paid) == "paid"


@pytest.mark.parametrize("is_done", [True, False], ids=["after", "before"])
def test_killed_while_sending(place: Place, is_done: bool) -> None:
    """MON-18: kill -9 after Stripe has done it, or before: one transfer, by whoever is next"""
    paid = place.paid()
    place.stripe.faults.append(Fault(TRANSFERS, is_done=is_done, seconds=5))
    with place.another() as victim, ThreadPoolExecutor(1) as pool:
        lost = pool.submit(dispatch, victim)
        until(lambda: place.asked() == 1)
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        with pytest.raises(httpx.HTTPError):
            lost.result()
    assert place.row(paid.key)["status"] == "leased"
    assert dispatch(place.function) == NOTHING
    place.later(LEASE_SECONDS + 1)
    if not is_done:
        # The request of the dead one still runs at Stripe: its key is in use.
        assert dispatch(place.function) == FAILED
        assert "idempotency_key_in_use" in place.row(paid.key)["last_error"]
        until(lambda: not place.stripe.busy)
        place.later()
    assert dispatch(place.function) == ALL
    assert {r.idempotency_key for r in place.stripe.asked("POST", TRANSFERS)} == {f"{paid.key}#1"}
    assert len(place.sent(paid)) == 1
    assert place.status(paid) == "paid"


def test_who_has_lost_the_lease_changes_nothing(place: Place) -> None:
    """MON-18: only the holder of the token completes; the late one is told so"""
    paid = place.paid()
    slow = StripeRefusalError(500, "Something failed.", kind="api_error")
    place.stripe.faults.append(Fault(TRANSFERS, slow, is_done=True, seconds=4))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(dispatch, place.function)
        until(lambda: place.asked() == 1)
        place.later(LEASE_SECONDS + 1)
        assert dispatch(place.function) == ALL
        done = place.row(paid.key)
        assert first.result() == {"claimed": 1, "done": 0, "failed": 0, "lost": 1}
    assert place.row(paid.key) == done
    assert len(place.sent(paid)) == 1
    assert place.status(paid) == "paid"


def test_eight_at_once_do_each_thing_once(place: Place) -> None:
    """MON-17, MON-18: eight dispatchers in two processes, and one effect of every row"""
    for number in range(40):
        place.enqueue("email", f"email:{number}", mail_to(f"ann{number}@example.com"))
        place.enqueue("crm.track", f"crm:{number}", {"event": number})
    for number in range(20):
        place.enqueue(
            "stripe.transfer",
            f"payout:{number}",
            {
                "payout_id": str(uuid4()),
                "amount": 100 + number,
                "currency": "usd",
                "destination": "acct_1",
            },
        )
    with place.another() as second, ThreadPoolExecutor(8) as pool:
        tallies = list(pool.map(dispatch, [place.function, second] * 4))
    total = {name: sum(tally[name] for tally in tallies) for name in NOTHING}
    assert total == {"claimed": 100, "done": 100, "failed": 0, "lost": 0}
    assert len([tally for tally in tallies if tally["done"]]) > 1
    readers = sorted(str(mail["X-Rcpt-To"]) for mail in place.box.mails)
    assert readers == sorted(f"ann{number}@example.com" for number in range(40))
    assert sorted(message.key for message in place.hook.asked) == sorted(
        f"crm:{number}" for number in range(40)
    )
    keys = [r.idempotency_key for r in place.stripe.asked("POST", TRANSFERS)]
    assert sorted(keys, key=str) == sorted(f"payout:{number}#1" for number in range(20))
    assert place.world.rows("select from private.outbox where status <> 'done'") == []


# Everything else ----------------------------------------------------------------------------------


def mail_to(reader: str) -> dict[str, Any]:
    return {
        "to": reader,
        "from": "Support <support@example.com>",
        "subject": "Ihre Zusammenfassung, Jörg",
        "html": "<p>The front left brake pad is worn down.</p>",
    }


def test_a_mail_arrives_once_as_it_was_written(place: Place) -> None:
    """MON-17: over SMTP, after the server has said not now"""
    place.box.answers.append("451 not now")
    place.enqueue("email", "email:1", mail_to("ann@example.com"))
    assert dispatch(place.function) == FAILED
    assert place.row("email:1")["last_error"] == "SMTP EMESSAGE 451"
    place.later()
    assert dispatch(place.function) == ALL
    assert dispatch(place.function) == NOTHING
    (mail,) = place.box.mails
    assert mail["To"] == mail["X-Rcpt-To"] == "ann@example.com"
    assert mail["From"] == "Support <support@example.com>"
    assert mail["Subject"] == "Ihre Zusammenfassung, Jörg"
    assert mail.get_content_type() == "text/html"
    assert mail.get_content().strip() == "<p>The front left brake pad is worn down.</p>"
    assert place.row("email:1")["result"] == {"id": mail["Message-ID"]}


def test_support_is_alerted_by_mail_where_there_is_no_webhook(place: Place) -> None:
    """MON-17: what died is told of, with what there is to know"""
    place.world.execute(
        "select private.alert_support('a', 'critical', 'It <failed>', '{\"payout_id\": \"p1\"}')"
    )
    assert dispatch(place.function) == ALL
    (mail,) = place.box.mails
    assert mail["To"] == "support@example.com"
    assert mail["Subject"] == "[critical] It <failed>"
    assert '"payout_id": "p1"' in mail.get_content()
    with place.another(place.environment(SUPPORT_WEBHOOK_URL=place.hook.url)) as function:
        place.world.execute("select private.alert_support('b', 'warning', 'Again', '{}')")
        assert dispatch(function) == ALL
    assert place.hook.done["alert:b"]["payload"]["subject"] == "Again"
    assert len(place.box.mails) == 1


def test_a_redirect_is_not_followed(place: Place) -> None:
    """MON-17: an effect goes where the operator said, and nowhere else"""
    place.hook.answers.append(Answer(307, is_done=False))
    place.enqueue("crm.track", "crm:1", {"event": "session_completed"})
    assert dispatch(place.function) == FAILED
    assert place.row("crm:1")["last_error"].endswith("answered 307")
    assert (len(place.hook.asked), place.hook.done) == (1, {})


def test_an_object_is_gone_from_storage(place: Place) -> None:
    """MON-17, FILE-02: through the Storage API; one that is gone already is done"""
    keys = place.served.keys
    options = ClientOptions(auto_refresh_token=False, persist_session=False)
    storage = create_client(place.served.url, keys.secret, options).storage
    folder = str(place.buy()[1])
    place.world.execute("delete from private.outbox")
    storage.from_("session-files").upload(
        f"{folder}/a.txt", b"squeal", {"content-type": "text/plain"}
    )
    for number, name in enumerate(("a.txt", "never.txt")):
        place.enqueue(
            "storage.remove",
            f"storage:{number}",
            {"bucket": "session-files", "path": f"{folder}/{name}"},
        )
    assert dispatch(place.function) == {"claimed": 2, "done": 2, "failed": 0, "lost": 0}
    assert storage.from_("session-files").list(folder) == []
    assert place.row("storage:0")["result"] == {"removed": 1}
    assert place.row("storage:1")["result"] == {"removed": 0}


def test_the_log_tells_no_secret_and_nobodys_address(place: Place) -> None:
    """EDGE-01: one line of JSON for each row, ids only"""
    place.box.answers.append("550 no such reader: ann@example.com")
    place.enqueue("email", "email:1", mail_to("ann@example.com"))
    assert dispatch(place.function) == FAILED
    assert place.row("email:1")["last_error"] == "SMTP EMESSAGE 550"
    logged = "".join(log.read_text() for log in place.logs.glob("*/*.log"))
    last = json.loads(place.function.log.read_text().splitlines()[-1])
    assert (last["topic"], last["outcome"]) == ("email", "failed")
    for private in (SECRET, SECRET_KEY, place.served.keys.secret, "@example.com", "brake"):
        assert private not in logged
        assert private not in str(place.row("email:1")["last_error"])
