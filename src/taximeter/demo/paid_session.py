"""The third scene: a paid session with all that is around it, and where every cent of it went.

The secret key stands where the edge functions do: it notes Checkouts, hands in the events of
Stripe and carries out the outbox. Stripe itself is played, see `pretend_stripe`. The clock is the
fast one, a day back, so that the payout is due while one looks on.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, LiteralString

import psycopg
from psycopg.rows import dict_row
from rich.table import Table

from taximeter.demo.fast_clock import STEP_SECONDS, Connection, FastClock, no_jobs, value
from taximeter.demo.pretend_stripe import ACCOUNT, Checkout, PretendStripe
from taximeter.demo.stage import Cast, clock, money, require, status
from taximeter.people import Row, as_rows, sign_up

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taximeter.demo.stage import Stage

PLAN = "video15"
MINUTES = 15
REFUND_CENTS = 600
TOGETHER_STEPS = 4
DAY_SECONDS = 24 * 3600
START_BEHIND_SECONDS = DAY_SECONDS + 3600
REPLAYS = 3
PROOFS = ("checkout.session", "payment_intent")
FILE_BYTES = 81920
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


def play(stage: Stage, cast: Cast) -> None:
    """Plays the scene; the clock is the database's own again when it returns."""
    stage.scene("A paid one, and where every cent of it went")
    with (
        psycopg.connect(
            stage.stack.database_url, autocommit=True, row_factory=dict_row
        ) as connection,
        no_jobs(connection),
        FastClock(connection, START_BEHIND_SECONDS) as time,
    ):
        stage.say(
            "clock", "the clock is the fast one again, and begins yesterday; Stripe is played"
        )
        _Scene(stage, cast, connection, time).play()


class _Scene:
    def __init__(self, stage: Stage, cast: Cast, connection: Connection, time: FastClock) -> None:
        self._stage = stage
        self._say = stage.say
        self._connection = connection
        self._time = time
        self._operator = cast.operator
        self._mechanic = cast.mechanic
        self._customer = sign_up(stage.stack.url, stage.stack.publishable_key, "buyer")
        self._service = stage.service()
        self._stripe = PretendStripe(self._now)

    def play(self) -> None:
        session_id = self._buy()
        self._meet(session_id)
        self._extend(session_id)
        self._talk(session_id)
        self._end(session_id)
        self._sum_up(session_id)
        self._pay_out()
        self._refund(session_id)
        self._show_notifications(session_id)
        self._show_ledger()
        self._replay()

    def _buy(self) -> str:
        intent = self._customer.row("request_checkout", p_plan=PLAN)
        price = money(intent["price_cents"])
        self._say("price", f"the customer asks for {PLAN}: {price}, {status(intent)}", intent)
        checkout = self._open(intent["price_cents"], "session", intent["id"])
        self._say("checkout", f"record_checkout: {checkout.id} is open at Stripe")
        self._take_in(self._stripe.paid(checkout))
        (intent,) = self._customer.read("checkout_intents")
        require(intent["status"], "paid")
        self._say("proof", f"the intent is {status(intent)}, and there is a session", intent)
        return str(intent["session_id"])

    def _meet(self, session_id: str) -> None:
        offer = next(
            row for row in self._mechanic.rows("mechanic_queue") if row["session_id"] == session_id
        )
        self._mechanic.row("accept_assignment", p_assignment_id=offer["assignment_id"])
        for person in (self._customer, self._mechanic):
            session = person.row("join_session", p_session_id=session_id)
        require(session["status"], "live")
        until = f"{session['duration_minutes']} min, until {clock(session['expires_at'])}"
        self._say(
            "join", f"the mechanic accepts, both join: {status(session)} for {until}", session
        )

    def _extend(self, session_id: str) -> None:
        extension = self._customer.row(
            "request_extension", p_session_id=session_id, p_minutes=MINUTES
        )
        price = money(extension["price_cents"])
        self._say("extend", f"{MINUTES} min more for {price}: {status(extension)}", extension)
        checkout = self._open(extension["price_cents"], "extension", extension["id"])
        before = self._session(session_id)
        self._take_in(self._stripe.paid(checkout))
        session = self._session(session_id)
        require(session["duration_minutes"], before["duration_minutes"] + MINUTES)
        more = datetime.fromisoformat(session["expires_at"]) - datetime.fromisoformat(
            before["expires_at"]
        )
        require(more, timedelta(minutes=MINUTES))
        until = f"{session['duration_minutes']} min, until {clock(session['expires_at'])}"
        self._say("proof", f"two events, one extension: {until}", session)

    def _talk(self, session_id: str) -> None:
        path = f"{session_id}/squeal.m4a"
        self._store(path)
        file = self._customer.row(
            "register_session_file",
            p_session_id=session_id,
            p_storage_path=path,
            p_name="squeal.m4a",
            p_type="audio/mp4",
            p_size=FILE_BYTES,
        )
        self._say("file", f"the customer adds {file['name']}, {file['size']} bytes", file)
        for person, content, files in (
            (self._customer, "Listen to this", [file["id"]]),
            (self._mechanic, "That is the front left brake", []),
        ):
            message = person.row(
                "send_session_message",
                p_session_id=session_id,
                p_content=content,
                p_file_ids=files,
            )
            self._say("chat", f"“{message['content']}”", message)
        require(len(self._mechanic.read("session_messages")), 2)

    def _store(self, path: str) -> None:
        """What the storage server writes of an upload, as the person who uploads."""
        with self._connection.transaction():
            self._connection.execute(
                "select set_config('role', 'authenticated', true),"
                " set_config('request.jwt.claims', %s, true)",
                (json.dumps({"sub": self._customer.user_id, "role": "authenticated"}),),
            )
            self._connection.execute(
                "insert into storage.objects (bucket_id, name, owner_id, metadata)"
                " values ('session-files', %s, %s, jsonb_build_object('size', %s::int))",
                (path, self._customer.user_id, FILE_BYTES),
            )

    def _sum_up(self, session_id: str) -> None:
        summary = self._mechanic.row(
            "submit_session_summary",
            p_session_id=session_id,
            p_findings="The front left brake pad is worn down.",
            p_steps="Listened to a recording.",
            p_next_steps="Have the pads changed within a week.",
        )
        require(self._customer.row("get_session_summary", p_session_id=session_id), summary)
        self._say("summary", f"the mechanic sums up: “{summary['findings']}”")

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

    def _end(self, session_id: str) -> None:
        for _ in range(TOGETHER_STEPS):
            self._time.advance(STEP_SECONDS)
            for person in (self._customer, self._mechanic):
                person.row("heartbeat_session", p_session_id=session_id)
        result = self._customer.row("end_session_with_semantics", p_session_id=session_id)
        require(result["final_status"], "completed")
        require(self._kinds(), END)
        (earning,) = (
            row
            for row in self._mechanic.read("mechanic_earnings")
            if row["session_id"] == session_id
        )
        minutes = TOGETHER_STEPS * STEP_SECONDS // 60
        self._say(
            "end",
            f"{minutes} min later it ends: {status(result, 'final_status')}; of "
            f"{money(earning['gross_cents'])} the mechanic has earned "
            f"{money(earning['share_cents'])}, the platform {money(earning['platform_cents'])}",
            result,
        )

    def _pay_out(self) -> None:
        payout = self._payout("blocked")
        self._say(
            "payout", f"{money(payout['amount_cents'])}: {status(payout)}, no account", payout
        )
        self._call("set_stripe_account", p_mechanic_id=self._mechanic.user_id, p_account=ACCOUNT)
        payout = self._payout("pending")
        due = clock(payout["due_at"])
        self._say("account", f"set_stripe_account: {status(payout)}, due tomorrow at {due}", payout)
        self._time.advance(DAY_SECONDS)
        self._connection.execute("select private.run_job('dispatch-outbox')")
        self._payout("submitted")
        self._say("job", "a day later dispatch-outbox puts it into the outbox")
        self._work("stripe.transfer")
        payout = self._payout("paid")
        transfer = payout["stripe_transfer_id"]
        self._say("payout", f"the mechanic is {status(payout)} by {transfer}", payout)

    def _refund(self, session_id: str) -> None:
        refund = self._operator.row(
            "refund_session",
            p_session_id=session_id,
            p_key="goodwill",
            p_amount_cents=REFUND_CENTS,
            p_reason="the brakes still squeal",
        )
        require(refund["to_card_cents"], REFUND_CENTS)
        self._say("refund", f"the operator gives {money(REFUND_CENTS)} back, to the card", refund)
        self._work("stripe.refund", "stripe.refund", "stripe.transfer_reversal")

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

    def _replay(self) -> None:
        before = self._fingerprint()
        told = self._stripe.told
        for event in told * REPLAYS:
            require(self._ingest(event), {"status": "processed", "duplicate": True, "error": None})
        self._say("replay", f"all {len(told)} webhooks again, {REPLAYS} times: each is a duplicate")
        proofs = [event for event in told if event["data"]["object"]["object"] in PROOFS]
        for event in proofs:
            answer = self._ingest(self._stripe.again(event))
            require(answer, {"status": "processed", "duplicate": False, "error": None})
        self._say("replay", f"the {len(proofs)} proofs of payment again, under new event ids")
        after = self._fingerprint()
        for when, fingerprint in (("before", before), ("after", after)):
            self._say(
                when, f"ledger, sessions, payouts, refunds and outbox: [bold]{fingerprint}[/]"
            )
        require(after, before)
        self._say("replay", "nothing has changed")

    def _call(self, function: str, **arguments: object) -> list[Row]:
        """With the secret key, as an edge function does."""
        return as_rows(self._service.rpc(function, arguments).execute().data)

    def _open(self, cents: int, purpose: str, purpose_id: str) -> Checkout:
        checkout = self._stripe.open_checkout(cents, purpose, purpose_id)
        self._call(
            "record_checkout",
            p_purpose=purpose,
            p_purpose_id=purpose_id,
            p_checkout_session_id=checkout.id,
        )
        return checkout

    def _take_in(self, events: Iterable[Row]) -> None:
        for event in events:
            answer = self._ingest(event)
            require(answer, {"status": "processed", "duplicate": False, "error": None})
            self._stage.hear(None, f"[bold]{event['type']}[/] {event['id']}: {answer['status']}")

    def _ingest(self, event: Row) -> Row:
        (answer,) = self._call("ingest_stripe_event", p_event=event)
        return answer

    def _work(self, *expected: str) -> None:
        """A worker's rounds, until nothing is due: claims, asks Stripe, says what it answered."""
        done = []
        while effects := self._call("claim_outbox", p_worker="demo", p_limit=10):
            for effect in effects:
                if not effect["topic"].startswith("stripe."):
                    self._sends(effect)
                    continue
                answer, events = self._stripe.does(effect)
                completed = self._service.rpc(
                    "complete_outbox",
                    {
                        "p_id": effect["id"],
                        "p_lease_token": effect["lease_token"],
                        "p_result": answer,
                    },
                ).execute()
                require(completed.data, True)
                amount = money(effect["payload"]["amount"])
                self._say("outbox", f"{effect['topic']} of {amount}: a worker gets {answer['id']}")
                self._take_in(events)
                done.append(effect["topic"])
        require(sorted(done), sorted(expected))

    def _sends(self, effect: Row) -> None:
        lease = {"p_id": effect["id"], "p_lease_token": effect["lease_token"]}
        require(self._service.rpc("complete_outbox", lease).execute().data, True)
        what = effect["payload"].get("subject") or effect["payload"].get("event")
        self._say("outbox", f"{effect['topic']}: a worker sends “{what}”")

    def _session(self, session_id: str) -> Row:
        (session,) = (row for row in self._customer.read("sessions") if row["id"] == session_id)
        return session

    def _payout(self, expected: str) -> Row:
        (payout,) = self._mechanic.read("payouts")
        require(payout["status"], expected)
        return payout

    def _kinds(self) -> dict[str, int]:
        """The balances by kind of account."""
        kinds: Counter[str] = Counter()
        for row in self._connection.execute(_BALANCES):
            kinds[row["kind"]] += row["cents"]
        return dict(kinds)

    def _now(self) -> int:
        query: LiteralString = "select floor(extract(epoch from private.clock()))::bigint as value"
        return int(value(self._connection, query))

    def _fingerprint(self) -> str:
        return str(value(self._connection, _STATE))
