"""Random lives at random hands: people, deliveries, workers and jobs, over four connections."""

from __future__ import annotations

import random
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from concurrency.interleaving import PooledWorld, become
from stripe_inbox.fake import Checkout, FakeStripe, RefusedError
from stripe_inbox.told import Event, ingest, metadata
from support.world import Caller, Refusal, Row, call_on

HANDS = 4
LIVES = 6
STEPS = 30
LEASE_SECONDS = 60
DAY = 86400
OVER = {"completed", "cancelled", "expired", "unattended", "refunded"}
MINUTES = (15, 30, 60)
# A race that was lost to another transaction: Stripe, a client or a worker comes again.
PASSING = {"40001", "55P03"}

Move = Callable[["Hand", random.Random], None]


@dataclass
class Hand:
    """One of the connections that everything comes over."""

    world: PooledWorld
    faults: list[str]

    def __post_init__(self) -> None:
        self._client = self.world.connect("service_role")
        self._system = self.world.connect("system")

    def call(self, caller: Caller, function: str, **params: object) -> list[Row]:
        """The rows, or none when the engine refused; repeated when it only lost a race."""
        for _ in range(20):
            become(self._client, caller)
            try:
                return call_on(self._client, function, **params)
            except psycopg.Error as error:
                refusal = Refusal.of(error)
                if error.sqlstate in PASSING or refusal.code == "session_locked":
                    continue
                if refusal.status is None:
                    self.faults.append(f"{function} {params}: {error}")
                return []
        self.faults.append(f"{function} {params}: never got through")
        return []

    def deliver(self, event: Event) -> dict[str, Any] | None:
        """What the inbox says; none: it did not get through, and Stripe sends it again."""
        become(self._client, "service_role")
        try:
            return ingest(self._client, event)
        except psycopg.Error as error:
            if error.sqlstate not in PASSING and error.diag.message_primary != "session_locked":
                self.faults.append(f"{event['type']}: {error}")
            return None

    def rows(self, query: LiteralString, *params: object) -> list[Row]:
        return self._system.execute(query, params).fetchall()

    def run_job(self, job: str) -> None:
        self._system.execute("select private.run_job(%s)", (job,))


@dataclass
class Order:
    """What a customer asked for and what was opened at Stripe for it."""

    purpose: str
    id: UUID
    price: int
    currency: str
    minutes: int
    checkouts: list[Checkout] = field(default_factory=list)


@dataclass
class Life:
    """A customer and the mechanic who takes his sessions."""

    stripe: FakeStripe
    customer: UUID
    mechanic: UUID
    # How often something happens at Stripe that nobody asked for.
    trouble: int
    orders: list[Order] = field(default_factory=list)
    session: UUID | None = None

    @property
    def account(self) -> str:
        return f"acct_{self.mechanic.hex[:12]}"

    def charges(self) -> list[Checkout]:
        every = [one for order in self.orders for one in order.checkouts]
        return [one for one in every if one.status == "paid"]

    def move(self, hand: Hand, chance: random.Random) -> None:
        """Does something that could happen now."""
        newest = hand.rows(
            "select id, status::text from public.sessions where customer_user_id = %s"
            " order by created_at desc, id limit 1",
            self.customer,
        )
        status = newest[0]["status"] if newest else "none"
        session = newest[0]["id"] if newest else None
        moves: list[tuple[int, Move]] = [
            (4, self.pay_something),
            (self.trouble, self.something_at_stripe),
            (1, self.has_account),
        ]
        if status == "none" or status in OVER:
            moves += [(8, self.buy), (1, self.start_free)]
        if status in OVER:
            moves += [(3, self.refund_session), (self.trouble, self.something_at_stripe)]
        if status in {"pending", "accepted"}:
            moves += [(12, self.begin), (1, self.end), (1, self.buy)]
        if status in {"waiting", "live", "reconnecting"}:
            moves += [
                (8, self.extend),
                (2, self.begin),
                (5, self.end),
                (self.trouble, self.something_at_stripe),
            ]
        (chosen,) = chance.choices(
            [move for _, move in moves], weights=[weight for weight, _ in moves]
        )
        self.session = session
        chosen(hand, chance)

    # orders

    def buy(self, hand: Hand, chance: random.Random) -> None:
        plan = chance.choice(("chat10", "video15"))
        for asked in hand.call(self.customer, "request_checkout", p_plan=plan):
            order = Order("session", asked["id"], asked["price_cents"], asked["currency"], 0)
            self.orders.append(order)
            self._open(hand, chance, order)

    def extend(self, hand: Hand, chance: random.Random) -> None:
        minutes = chance.choice(MINUTES)
        for asked in hand.call(
            self.customer, "request_extension", p_session_id=self.session, p_minutes=minutes
        ):
            order = Order(
                "extension", asked["id"], asked["price_cents"], asked["currency"], minutes
            )
            if all(order.id != known.id for known in self.orders):
                self.orders.append(order)
            self._open(hand, chance, order)

    def _open(self, hand: Hand, chance: random.Random, order: Order) -> None:
        known = next(one for one in self.orders if one.id == order.id)
        for _ in range(chance.choice((1, 1, 1, 1, 2))):
            amount, currency = order.price, order.currency
            wrong = chance.random()
            if wrong < 0.06:
                amount += chance.choice((-100, -1, 1, 250))
            elif wrong < 0.1:
                currency = "eur"
            made = self.stripe.open(
                amount, currency, metadata(order.purpose, order.id), self.customer
            )
            known.checkouts.append(made)
            if chance.random() < 0.7:
                self._record(hand, order, made)
            if chance.random() < 0.8:
                self._pay(chance, made)
            if chance.random() < 0.2:
                # The edge function was slower than the customer.
                self._record(hand, order, made)

    def _record(self, hand: Hand, order: Order, made: Checkout) -> None:
        hand.call(
            "service_role",
            "record_checkout",
            p_purpose=order.purpose,
            p_purpose_id=order.id,
            p_checkout_session_id=made.checkout,
        )

    def _pay(self, chance: random.Random, made: Checkout) -> None:
        if chance.random() < 0.2:
            self.stripe.decline(made)
        way = chance.random()
        if way < 0.75:
            self.stripe.pay(made)
        elif way < 0.9:
            self.stripe.promise(made)
        else:
            self.stripe.expire(made)

    def pay_something(self, _: Hand, chance: random.Random) -> None:
        pending = [
            one
            for order in self.orders
            for one in order.checkouts
            if one.status in {"open", "promised"}
        ]
        if pending:
            one = chance.choice(pending)
            self.stripe.keep_promise(one, is_kept=chance.random() < 0.7)
            self._pay(chance, one)

    # sessions

    def start_free(self, hand: Hand, _: random.Random) -> None:
        hand.call(self.customer, "create_session", p_plan="chat10")

    def begin(self, hand: Hand, _: random.Random) -> None:
        for assignment in hand.rows(
            "select id from public.session_assignments where session_id = %s", self.session
        ):
            hand.call(self.mechanic, "accept_assignment", p_assignment_id=assignment["id"])
        for person in (self.customer, self.mechanic):
            hand.call(person, "join_session", p_session_id=self.session)

    def end(self, hand: Hand, chance: random.Random) -> None:
        who: Caller = chance.choice((self.customer, self.mechanic, "service_role"))
        hand.call(who, "end_session_with_semantics", p_session_id=self.session)

    def refund_session(self, hand: Hand, chance: random.Random) -> None:
        for _ in range(chance.choice((1, 2))):
            hand.call(
                "service_role",
                "refund_session",
                p_session_id=self.session,
                p_key=chance.choice("abc"),
                p_amount_cents=chance.choice((None, 1, 100, 333, 700)),
            )

    # the world of money outside

    def has_account(self, hand: Hand, _: random.Random) -> None:
        hand.call(
            "service_role",
            "set_stripe_account",
            p_mechanic_id=self.mechanic,
            p_account=self.account,
        )

    def something_at_stripe(self, _: Hand, chance: random.Random) -> None:
        charges = self.charges()
        if not charges:
            return
        one = chance.choice(charges)
        what = chance.random()
        if what < 0.4:
            amount = chance.choice((1, 99, 250, 500, one.refundable))
            self.stripe.refund_by_hand(one, amount, is_pending=chance.random() < 0.3)
        elif what < 0.6:
            for refund in one.refunds:
                if chance.random() < 0.4:
                    self.stripe.fail(refund)
                else:
                    self.stripe.settle(refund)
        elif what < 0.8:
            amount = chance.choice((one.disputable, max(1, one.disputable // 2)))
            self.stripe.dispute(one, amount, is_inquiry=chance.random() < 0.2)
        elif what < 0.95:
            for dispute in one.disputes:
                self.stripe.close(dispute, is_won=chance.random() < 0.5)
        else:
            self.stripe.bank_refuses(self.account, 700)
            self.stripe.account_changes(self.account)


@dataclass
class Run:
    """A world, its Stripe, and everything that is still to come."""

    world: PooledWorld
    stripe: FakeStripe
    chance: random.Random
    lives: list[Life]
    faults: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.hands = [Hand(self.world, self.faults) for _ in range(HANDS)]
        # Deliveries, by the step at which each is due.
        self.due: list[tuple[int, Event]] = []
        self.step = 0
        self._lock = threading.Lock()

    @classmethod
    def begin(cls, world: PooledWorld, seed: int, lives: int = LIVES, numbers: int = 0) -> Run:
        world.call("system", "set_setting", p_key="presence_timeout_seconds", p_value=DAY)
        world.advance(0)
        stripe = FakeStripe(int(world.now().timestamp()), numbers)
        chance = random.Random(seed)  # noqa: S311
        delay = chance.choice((0, 5, 1440))
        world.call("system", "set_setting", p_key="payout_delay_minutes", p_value=delay)
        people = [
            Life(stripe, world.customer(), world.mechanic(), chance.choice((1, 3, 9)))
            for _ in range(lives)
        ]
        return cls(world, stripe, chance, people)

    def advance(self, seconds: float) -> None:
        self.world.advance(seconds)
        self.stripe.second = int(self.world.now().timestamp())

    def post(self) -> None:
        """Every new event goes out one to five times, soon, later or three days late."""
        for event in self.stripe.fresh():
            # Of some not one delivery comes soon, so that others overtake them.
            soonest = self.chance.choice((0, 0, 0, 0.5, 0.8))
            for _ in range(self.chance.randint(1, 5)):
                fate = self.chance.uniform(soonest, 1)
                late = 0 if fate < 0.5 else self.chance.randint(1, 6) if fate < 0.8 else 10**6
                self.due.append((self.step + late, event))

    def storm(self, moves: list[Move], *, is_last: bool = False) -> None:
        """All that is due and all these moves, in any order, over all connections at once."""
        self.post()
        self.step += 1
        arriving = [event for at, event in self.due if is_last or at < self.step]
        self.due = [] if is_last else [(at, event) for at, event in self.due if at >= self.step]
        tasks: list[Move] = [*moves, *(self.delivery(event) for event in arriving)]
        self.chance.shuffle(tasks)
        waiting = deque((task, self.chance.randrange(2**32)) for task in tasks)

        def work(hand: Hand) -> None:
            while waiting:
                try:
                    task, seed = waiting.popleft()
                except IndexError:
                    return
                task(hand, random.Random(seed))  # noqa: S311

        with ThreadPoolExecutor(max_workers=HANDS) as pool:
            for future in [pool.submit(work, hand) for hand in self.hands]:
                future.result()
        if self.faults:
            raise AssertionError("\n".join(self.faults))

    def delivery(self, event: Event) -> Move:
        def deliver(hand: Hand, _: random.Random) -> None:
            answer = hand.deliver(event)
            if answer is None or answer["status"] == "failed":
                # The edge function answered 5xx.
                with self._lock:
                    self.due.append((self.step + 1, event))
                    self.counts["sent again after 5xx"] += 1
            else:
                with self._lock:
                    self.counts["duplicate" if answer["duplicate"] else answer["status"]] += 1

        return deliver

    def worker(self, *, is_reliable: bool = False) -> Move:
        """Claims some effects and carries them out, or fails in one of the ways there are."""

        def work(hand: Hand, chance: random.Random) -> None:
            for row in hand.call(
                "service_role",
                "claim_outbox",
                p_worker="worker",
                p_limit=100 if is_reliable else chance.randint(1, 6),
                p_lease_seconds=LEASE_SECONDS,
            ):
                self._carry_out(hand, row, 1.0 if is_reliable else chance.random())

        return work

    def _carry_out(self, hand: Hand, row: Row, fate: float) -> None:
        lease = {"p_id": row["id"], "p_lease_token": row["lease_token"]}
        if fate < 0.05:
            self.counts["died before"] += 1
            return
        if fate < 0.1:
            self.stripe.lose(row["key"], row["idempotency_key"])
            hand.call("service_role", "fail_outbox", **lease, p_error="503", p_ambiguous=True)
            return
        try:
            answer = self._act(row, is_refused=0.1 <= fate < 0.15)
        except RefusedError as refused:
            code = str(refused)
            self.counts[code] += 1
            is_final = code in {"charge_disputed", "charge_already_refunded"}
            # Of what can never be made some workers say so; others try until the row is dead.
            if is_final and row["id"] % 4:
                answer = {"status": "failed", "failure_reason": code}
            else:
                hand.call("service_role", "fail_outbox", **lease, p_error=code)
                return
        if fate < 0.25:
            self.counts["died after"] += 1
        elif fate < 0.35:
            hand.call("service_role", "fail_outbox", **lease, p_error="time-out", p_ambiguous=True)
        else:
            hand.call("service_role", "complete_outbox", **lease, p_result=Jsonb(answer))

    def _act(self, row: Row, *, is_refused: bool) -> dict[str, Any]:
        topic = row["topic"]
        if not topic.startswith("stripe."):
            return {}
        if row["must_look_first"]:
            found = self.stripe.find(topic, row["key"])
            if found is not None:
                self.counts["found"] += 1
                return found
        return self.stripe.ask(
            topic, row["key"], row["idempotency_key"], row["payload"], is_short=is_refused
        )

    def job(self, name: str) -> Move:
        return lambda hand, _: hand.run_job(name)

    # the whole

    def play(self, steps: int = STEPS) -> None:
        for _ in range(steps):
            moves: list[Move] = [life.move for life in self.lives if self.chance.random() < 0.8]
            if self.chance.random() < 0.1:
                moves.append(self.decide)
            moves += [self.worker() for _ in range(self.chance.randint(0, 2))]
            if self.chance.random() < 0.3:
                moves.append(self.job("dispatch-outbox"))
            if self.chance.random() < 0.3:
                moves.append(self.job("tick-sessions"))
            self.storm(moves)
            # Often not at all: much happens in one second.
            self.advance(self.chance.choice((0,) * 8 + (1, 30, 70, 70, 70, 70, 300, 600, 40000)))
        self.finish()

    def finish(self) -> None:
        """Everything that was begun ends, and every event arrives, the last ones days late."""
        for round_number in range(40):
            self.stripe_settles()
            self.storm([self._end_all, *(life.has_account for life in self.lives)])
            self.advance(3 * DAY if round_number == 0 else 3601)
            self.storm([self.job("dispatch-outbox")])
            self.storm([self.worker(is_reliable=True) for _ in range(2)], is_last=True)
            self.storm([self.decide], is_last=True)
            if self.is_quiet():
                return
        raise AssertionError(f"it never came to rest: {self.unrest()}")

    def replay(self) -> None:
        """Every event once more, in any order: each is a duplicate and changes nothing."""
        before = self.fingerprint()
        self.counts.clear()
        self.due = [(self.step, event) for event in self.stripe.emitted]
        self.storm([], is_last=True)
        assert self.counts == {"duplicate": len(self.stripe.emitted)}
        assert self.fingerprint() == before

    def fingerprint(self) -> list[Row]:
        """All that an event can change, but how often it came."""
        return self.world.rows(
            "select 'entry' as what, md5(string_agg(e::text, ',' order by e::text)) as sum"
            " from private.ledger_entries e"
            " union all select 'payment', md5(string_agg(p::text, ',' order by p::text))"
            " from private.payments p"
            " union all select 'refund', md5(string_agg(r::text, ',' order by r::text))"
            " from private.refunds r"
            " union all select 'dispute', md5(string_agg(d::text, ',' order by d::text))"
            " from private.disputes d"
            " union all select 'session', md5(string_agg(s::text, ',' order by s::text))"
            " from public.sessions s"
            " union all select 'extension', md5(string_agg(x::text, ',' order by x::text))"
            " from public.session_extensions x"
            " union all select 'payout', md5(string_agg(p::text, ',' order by p::text))"
            " from public.payouts p"
            " union all select 'outbox', md5(string_agg(o::text, ',' order by o::text))"
            " from private.outbox o"
            " union all select 'event', md5(string_agg(e::text, ',' order by e::text))"
            " from public.session_events e"
        )

    def stripe_settles(self) -> None:
        for one in self.stripe.checkouts:
            self.stripe.keep_promise(one, is_kept=self.chance.random() < 0.7)
        for refund in self.stripe.refunds:
            self.stripe.settle(refund)
        for dispute in self.stripe.disputes:
            self.stripe.close(dispute, is_won=self.chance.random() < 0.5)

    def _end_all(self, hand: Hand, _: random.Random) -> None:
        for session in hand.rows("select id from public.sessions where status < 'completed'"):
            hand.call("service_role", "end_session_with_semantics", p_session_id=session["id"])

    def decide(self, hand: Hand, chance: random.Random) -> None:
        """An admin ends every review (MON-20)."""
        for row in hand.rows(
            "select id, payment_intent_id from private.payments where review is not null"
        ):
            (charge,) = [
                one
                for one in self.stripe.checkouts
                if one.payment_intent == row["payment_intent_id"]
            ]
            # What was lost to the bank cannot go back to the card as well.
            ways = ("to_credit",) if charge.disputes else ("to_credit", "refund")
            action = chance.choice(ways)
            hand.call("service_role", "resolve_payment", p_payment_id=row["id"], p_action=action)
        for row in hand.rows(
            "select distinct session_id from private.session_reviews where resolved_at is null"
        ):
            hand.call("service_role", "resolve_review", p_session_id=row["session_id"])
        for row in hand.rows(
            "select id from public.payouts where status in ('failed', 'needs_reconciliation')"
        ):
            hand.call("service_role", "resolve_payout", p_payout_id=row["id"], p_action="retry")
        for row in hand.rows("select id from private.outbox where status = 'dead'"):
            hand.call("service_role", "requeue_outbox", p_id=row["id"])

    def is_quiet(self) -> bool:
        return not self.unrest()

    def unrest(self) -> list[Row]:
        found = self.world.rows(
            "select 'outbox' as what, topic || ' ' || status || ' ' || coalesce(last_error, '')"
            " as detail from private.outbox where status <> 'done'"
            " union all select 'review', review from private.payments where review is not null"
            " union all select 'payout', status || ' ' || coalesce(blocked_by, '')"
            " from public.payouts where status not in ('paid', 'reversed', 'cancelled')"
            " union all select 'event', type || ' ' || coalesce(error, '')"
            " from private.stripe_events where status = 'failed'"
            " union all select 'session', status::text from public.sessions"
            " where status < 'completed'"
        )
        with self.stripe.lock:
            found += [{"what": "delivery", "detail": event["type"]} for _, event in self.due]
        return found + [{"what": "at Stripe", "detail": one} for one in self.stripe.unfinished()]
