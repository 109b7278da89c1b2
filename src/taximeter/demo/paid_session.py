"""The third scene: a paid session with all that is around it, and where every cent of it went.

It is played over HTTP and websockets only: the customer has supabase-js, the mechanic supabase-py,
and what is behind them are the edge functions, which the database wakes when there is something to
carry out. The outside is played, see `outside`. The clock is the fast one, a day back, so that the
payout is due while one looks on.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, LiteralString, cast

import httpx
import psycopg
from psycopg.rows import dict_row
from rich.table import Table

from taximeter.demo.browser import Browser
from taximeter.demo.ear import Ear
from taximeter.demo.fast_clock import Connection, FastClock, no_jobs, value
from taximeter.demo.outside import WEBHOOK_SECRET, Outside
from taximeter.demo.pretend_stripe import signed
from taximeter.demo.stage import Cast, clock, money, only, require, status
from taximeter.operations import showing

if TYPE_CHECKING:
    from taximeter.demo.hearing import Message
    from taximeter.demo.stage import Stage
    from taximeter.people import Person, Row

PLAN = "video15"
PRICE_CENTS = 1500
WARNED_MINUTES = 5
MINUTES = 15
MINUTES_PRICE_CENTS = 500
REFUND_CENTS = 600
STEP_SECONDS = 60
DAY_SECONDS = 24 * 3600
START_BEHIND_SECONDS = DAY_SECONDS + 2 * 3600
REPLAYS = 3
PROOFS = ("checkout.session", "payment_intent")
FEED = "session_assignments_feed"
PAGES = {"success_path": "/thanks", "cancel_path": "/plans"}
RECORDING = b"a recording of brakes that squeal " * 2400
SECONDS_TO_ANSWER = 30
CUSTOMER_IS_TOLD = (
    "assignment_accepted",
    "session_started",
    "session_extended",
    "session_completed",
    "summary_ready",
    # One of each payment that the money goes back from.
    "refund_issued",
    "refund_issued",
)
MECHANIC_IS_TOLD = ("session_started", "session_extended", "session_completed", "payout_paid")

# 15.00 and 5.00 are paid, of which the mechanic's part is 70 %; 6.00 of the 20.00 go back.
END = {
    "mechanic_payable": 1400,
    "platform_revenue": 600,
    "session_hold": 0,
    "stripe": -2000,
    "unapplied": 0,
}
LAST = {
    "mechanic_payable": 0,
    "platform_revenue": 420,
    "refund_clearing": 0,
    "session_hold": 0,
    "stripe": -420,
    "unapplied": 0,
}

_BALANCES: LiteralString = """
select split_part(a.name, ':', 1) as kind, a.name, coalesce(sum(e.amount_cents), 0)::bigint as cents
from private.ledger_accounts a
left join private.ledger_entries e on e.account_id = a.id
group by a.name
order by a.name
"""
# Everything that is owed, done or still to be done; only the inbox may grow.
_STATE: LiteralString = """
select md5(jsonb_build_array(
  (select jsonb_agg(to_jsonb(x) order by x.id) from private.ledger_accounts x),
  (select jsonb_agg(to_jsonb(x) order by x.id) from private.ledger_transfers x),
  (select jsonb_agg(to_jsonb(x) order by x.transfer_id, x.account_id)
    from private.ledger_entries x),
  (select jsonb_agg(to_jsonb(x) order by x.id) from public.sessions x),
  (select jsonb_agg(to_jsonb(x) order by x.id) from public.session_events x),
  (select jsonb_agg(to_jsonb(x) order by x.id) from public.session_extensions x),
  (select jsonb_agg(to_jsonb(x) order by x.session_id) from public.mechanic_earnings x),
  (select jsonb_agg(to_jsonb(x) order by x.id) from public.payouts x),
  (select jsonb_agg(to_jsonb(x) order by x.id) from private.refunds x),
  (select jsonb_agg(to_jsonb(x) order by x.id) from private.outbox x)
)::text) as value
"""


@dataclass(frozen=True, slots=True)
class Played:
    """What there is to look at afterwards: the session, and what each side heard."""

    session_id: str
    customer_heard: list[Message]
    mechanic_heard: list[Message]


def play(stage: Stage, cast: Cast, outside: Outside) -> Played:
    """Plays the scene; the clock is the database's own again when it returns."""
    stage.scene("A paid one, and where every cent of it went")
    stage.settle(cast.operator)
    with (
        psycopg.connect(
            stage.stack.database_url, autocommit=True, row_factory=dict_row
        ) as connection,
        no_jobs(connection),
        FastClock(connection, START_BEHIND_SECONDS) as time,
        Browser.open(stage, "buyer") as customer,
        Ear.open(stage, cast.mechanic) as ear,
    ):
        stage.say(
            "clock", "the clock is the fast one again, and begins yesterday; Stripe is played"
        )
        stage.say(
            "clients", "a customer signs up with supabase-js; the mechanic has supabase-py", None
        )
        return _Scene(stage, cast, outside, connection, time, customer, ear).play()


class _Scene:
    def __init__(
        self,
        stage: Stage,
        cast: Cast,
        outside: Outside,
        connection: Connection,
        time: FastClock,
        customer: Browser,
        ear: Ear,
    ) -> None:
        self._stage = stage
        self._say = stage.say
        self._outside = outside
        self._stripe = outside.stripe.stripe
        self._connection = connection
        self._time = time
        self._operator = cast.operator
        self._mechanic = cast.mechanic
        self._customer = customer
        self._ear = ear
        self._service = stage.service()
        self._told = 0

    def play(self) -> Played:
        session_id = self._buy()
        topic = f"session:{session_id}"
        self._accept(session_id, topic)
        self._meet(session_id, topic)
        self._talk(session_id, topic)
        self._run_short(session_id, topic)
        self._extend(session_id, topic)
        self._end(session_id, topic)
        self._sum_up(session_id, topic)
        self._pay_out()
        self._refund(session_id, topic)
        self._show_notifications(session_id)
        self._show_ledger()
        self._explain(session_id)
        self._compare(topic)
        self._replay()
        return Played(session_id, self._customer.heard.messages, self._ear.heard.messages)

    def _buy(self) -> str:
        self._customer.listen(f"user:{self._customer.user_id}")
        self._ear.listen(FEED)
        self._ear.listen(f"user:{self._mechanic.user_id}")
        self._say("listen", f"both listen to user:<id>, the mechanic to {FEED} too")
        self._pay(PRICE_CENTS, mode="session", plan=PLAN, intake={"problem": "they squeal"})
        intent = only(self._customer.read("checkout_intents"))
        require(intent["status"], "paid")
        self._say("proof", f"the intent is {status(intent)}, and there is a session", intent)
        return str(intent["session_id"])

    def _accept(self, session_id: str, topic: str) -> None:
        self._customer.listen(topic)
        offer = self._ear.heard.wait(FEED, "new_assignment").payload
        require(offer["session_id"], session_id)
        session = self._mechanic.row("accept_assignment", p_assignment_id=offer["assignment_id"])
        self._say("accept", f"the mechanic accepts what he heard of: {status(session)}", session)
        self._customer.heard.wait(topic, "session:accepted")
        self._ear.listen(topic)

    def _meet(self, session_id: str, topic: str) -> None:
        asked = {"session_id": session_id}
        for token in (
            self._customer.invoke("livekit-token", asked)["token"],
            self._mechanic_invokes("livekit-token", asked)["token"],
        ):
            seat = self._outside.video.enter(token)
            self._say("video", f"livekit-token lets {seat.identity} into {seat.room}")
        for person in (self._customer, self._mechanic):
            session = person.row("join_session", p_session_id=session_id)
        require(session["status"], "live")
        until = f"{session['duration_minutes']} min, until {clock(session['expires_at'])}"
        self._say("join", f"both join: {status(session)} for {until}", session)
        self._both_hear(topic, "session:started")

    def _talk(self, session_id: str, topic: str) -> None:
        file = self._customer.add_file(session_id, "squeal.m4a", "audio/mp4", RECORDING)
        self._say(
            "file", f"by session-files the customer adds {file['name']}, {file['size']} bytes", file
        )
        self._both_hear(topic, "file:added")
        found = self._mechanic_invokes(f"session-files?session_id={session_id}", method="GET")
        seen: Row = only(found["files"])
        content = httpx.get(seen["url"], timeout=SECONDS_TO_ANSWER, trust_env=False).content
        require((seen["id"], content == RECORDING), (file["id"], True))
        self._say("file", "the mechanic gets the same bytes from its signed address")
        self._write(self._customer, "Listen to this", session_id, [file["id"]])
        self._both_hear(topic, "message:new")
        self._write(self._mechanic, "That is the front left brake", session_id, [])
        self._both_hear(topic, "message:new", 2)
        require(len(self._mechanic.read("session_messages")), 2)

    def _write(
        self, person: Browser | Person, content: str, session_id: str, files: list[str]
    ) -> None:
        message = person.row(
            "send_session_message", p_session_id=session_id, p_content=content, p_file_ids=files
        )
        self._say("chat", f"“{message['content']}”", message)

    def _run_short(self, session_id: str, topic: str) -> None:
        minutes = self._session(session_id)["duration_minutes"] - WARNED_MINUTES
        self._say("time", f"{minutes} min pass, both send their heartbeats")
        for _ in range(minutes):
            self._step(session_id)
        self._both_hear(topic, "session:warning")

    def _extend(self, session_id: str, topic: str) -> None:
        before = self._session(session_id)
        self._pay(MINUTES_PRICE_CENTS, mode="extension", session_id=session_id, minutes=MINUTES)
        session = self._session(session_id)
        require(session["duration_minutes"], before["duration_minutes"] + MINUTES)
        more = datetime.fromisoformat(session["expires_at"]) - datetime.fromisoformat(
            before["expires_at"]
        )
        require(more, timedelta(minutes=MINUTES))
        until = f"{session['duration_minutes']} min, until {clock(session['expires_at'])}"
        self._say("proof", f"two events, one extension: {until}", session)
        self._both_hear(topic, "session:extended")

    def _end(self, session_id: str, topic: str) -> None:
        self._step(session_id)
        result = self._customer.row("end_session_with_semantics", p_session_id=session_id)
        require(result["final_status"], "completed")
        require(self._kinds(), END)
        earning = only(
            row
            for row in self._mechanic.read("mechanic_earnings")
            if row["session_id"] == session_id
        )
        self._say(
            "end",
            f"the customer ends it: {status(result, 'final_status')}; of "
            f"{money(earning['gross_cents'])} the mechanic has earned "
            f"{money(earning['share_cents'])}, the platform {money(earning['platform_cents'])}",
            result,
        )
        self._both_hear(topic, "session:ended")
        self._stage.settle(self._operator)
        room = f"session-{session_id}"
        require(self._outside.video.removed, [room])
        self._say("outbox", f"the database woke dispatch-outbox: LiveKit has removed {room}")
        told = only(t for t in self._outside.tracked if t.body["session_id"] == session_id)
        self._say("outbox", f"and the CRM was told of {told.body['payload']['event']}")

    def _sum_up(self, session_id: str, topic: str) -> None:
        self._time.advance(STEP_SECONDS)
        summary = self._mechanic.row(
            "submit_session_summary",
            p_session_id=session_id,
            p_findings="The front left brake pad is worn down.",
            p_steps="Listened to a recording.",
            p_next_steps="Have the pads changed within a week.",
        )
        require(self._customer.row("get_session_summary", p_session_id=session_id), summary)
        self._say("summary", f"the mechanic sums up: “{summary['findings']}”")
        self._both_hear(topic, "session:summary")
        self._stage.settle(self._operator)
        mail = only(self._outside.mailbox.mails)
        self._say("mail", f"the mail server takes one in, to {mail['to']}: “{mail['subject']}”")

    def _pay_out(self) -> None:
        payout = self._payout("blocked")
        self._say(
            "payout", f"{money(payout['amount_cents'])}: {status(payout)}, no account", payout
        )
        pages = {"return_path": "/earnings", "refresh_path": "/earnings"}
        account = self._mechanic_invokes("connect-account", pages)["account"]
        payout = self._payout("pending")
        due = clock(payout["due_at"])
        self._say(
            "account",
            f"connect-account makes {account} at Stripe: {status(payout)}, due tomorrow at {due}",
            payout,
        )
        self._time.advance(DAY_SECONDS)
        self._connection.execute("select private.run_job('dispatch-outbox')")
        self._say("job", "a day later the job puts it into the outbox")
        self._stage.settle(self._operator)
        transfer = only(self._stripe.objects("transfer"))
        require((transfer["amount"], transfer["destination"]), (payout["amount_cents"], account))
        self._tell()
        payout = self._payout("paid")
        require(payout["stripe_transfer_id"], transfer["id"])
        amount = money(transfer["amount"])
        self._say(
            "payout", f"{amount} at Stripe by {transfer['id']}, once: {status(payout)}", payout
        )

    def _refund(self, session_id: str, topic: str) -> None:
        self._time.advance(STEP_SECONDS)
        refund = self._operator.row(
            "refund_session",
            p_session_id=session_id,
            p_key="goodwill",
            p_amount_cents=REFUND_CENTS,
            p_reason="the brakes still squeal",
        )
        require(refund["to_card_cents"], REFUND_CENTS)
        self._say("refund", f"the operator gives {money(REFUND_CENTS)} back, to the card", refund)
        self._stage.settle(self._operator)
        for kind in ("refund", "transfer_reversal"):
            for made in reversed(self._stripe.objects(kind)):
                self._say("refund", f"Stripe has a {kind} of {money(made['amount'])}: {made['id']}")
        self._tell()
        self._both_hear(topic, "session:ended", 2)

    def _explain(self, session_id: str) -> None:
        self._say(
            "explain", "explain_session tells the customer all of it; an admin also sees more"
        )
        account = self._customer.row("explain_session", p_session_id=session_id)
        self._stage.console.print(showing.account(account))

    def _compare(self, topic: str) -> None:
        """The mechanic may listen once he has accepted; from then on they hear the same."""
        customer, mechanic = self._customer.heard.on(topic), self._ear.heard.on(topic)
        require(customer[0].event, "session:accepted")
        require(customer[1:], mechanic)
        self._say(
            "heard",
            f"from then on both heard the same {len(mechanic)} messages of the session, in the "
            "same order, over one socket each",
        )

    def _replay(self) -> None:
        before = self._fingerprint()
        told = list(self._stripe.told)
        for event in told * REPLAYS:
            self._webhook(event, is_known=True)
        self._say("replay", f"all {len(told)} webhooks again, {REPLAYS} times: each is a duplicate")
        proofs = [event for event in told if event["data"]["object"]["object"] in PROOFS]
        for event in proofs:
            self._webhook(self._stripe.again(event))
        self._say("replay", f"the {len(proofs)} proofs of payment again, under new event ids")
        after = self._fingerprint()
        for when, fingerprint in (("before", before), ("after", after)):
            self._say(
                when, f"ledger, sessions, payouts, refunds and outbox: [bold]{fingerprint}[/]"
            )
        require(after, before)
        self._say("replay", "nothing has changed")

    def _show_notifications(self, session_id: str) -> None:
        for name, person, expected in (
            ("customer", self._customer, CUSTOMER_IS_TOLD),
            ("mechanic", self._mechanic, MECHANIC_IS_TOLD),
        ):
            told = [r for r in person.read("notifications") if r["session_id"] == session_id]
            require(sorted(row["kind"] for row in told), sorted(expected))
            for row in sorted(told, key=lambda row: str(row["created_at"])):
                line = f"{name}: [bold]{row['title']}[/]. {row['body']}"
                self._stage.hear(row["created_at"], line)
        self._say("told", "both sides were notified of what concerns them, once each")

    def _show_ledger(self) -> None:
        rows = self._connection.execute(_BALANCES).fetchall()
        require(self._kinds(), LAST)
        table = Table(
            "account",
            "balance",
            title="The ledger, in usd",
            caption="above zero: what is owed or earned; stripe: minus what lies there",
        )
        table.columns[1].justify = "right"
        for row in rows:
            table.add_row(row["name"], money(row["cents"]))
        total = sum(row["cents"] for row in rows)
        table.add_section()
        table.add_row("[bold]sum[/]", f"[bold]{money(total)}[/]")
        self._stage.console.print(table)
        require(total, 0)
        require(self._operator.rows("ledger_invariants"), [])
        self._say("audit", "ledger_invariants() has 0 rows")

    def _pay(self, cents: int, **order: Any) -> None:
        """A Checkout from the edge function, paid at Stripe, which tells the webhook of it."""
        opened = self._customer.invoke("create-checkout", {**order, **PAGES})
        checkout = self._stripe.get("checkout.session", opened["id"])
        require(checkout["amount_total"], cents)
        self._say(
            "checkout", f"create-checkout: {checkout['id']} is open at Stripe, {money(cents)}"
        )
        self._stripe.pay(checkout["id"])
        self._tell()

    def _tell(self) -> None:
        """What Stripe has to tell since the last time, as it comes to the webhook."""
        new = self._stripe.told[self._told :]
        self._told += len(new)
        for event in new:
            self._webhook(event)
            self._stage.hear(None, f"stripe-webhook: [bold]{event['type']}[/] {event['id']}")

    def _webhook(self, event: Row, *, is_known: bool = False) -> None:
        body, signature = signed(event, WEBHOOK_SECRET)
        answer = httpx.post(
            f"{self._stage.stack.url}/functions/v1/stripe-webhook",
            content=body,
            headers={"stripe-signature": signature},
            timeout=SECONDS_TO_ANSWER,
            trust_env=False,
        )
        require(answer.json(), {"received": True, "status": "processed", "duplicate": is_known})

    def _mechanic_invokes(
        self, function: str, body: Row | None = None, method: str = "POST"
    ) -> Row:
        options = {"method": method, "body": body, "responseType": "json"}
        return cast("Row", self._mechanic.client.functions.invoke(function, options))

    def _both_hear(self, topic: str, event: str, times: int = 1) -> None:
        for client in (self._customer, self._ear):
            client.heard.wait(topic, event, times)

    def _step(self, session_id: str) -> None:
        self._time.advance(STEP_SECONDS)
        self._service.rpc("tick_sessions", {}).execute()
        for person in (self._customer, self._mechanic):
            person.row("heartbeat_session", p_session_id=session_id)

    def _session(self, session_id: str) -> Row:
        return only(row for row in self._customer.read("sessions") if row["id"] == session_id)

    def _payout(self, expected: str) -> Row:
        payout = only(self._mechanic.read("payouts"))
        require(payout["status"], expected)
        return payout

    def _kinds(self) -> dict[str, int]:
        """The balances by kind of account."""
        kinds: Counter[str] = Counter()
        for row in self._connection.execute(_BALANCES):
            kinds[row["kind"]] += row["cents"]
        return dict(kinds)

    def _fingerprint(self) -> str:
        return str(value(self._connection, _STATE))
