"""Many workers at one outbox that die as they please, and many hands in one ledger."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from concurrency.interleaving import PooledWorld, behind, mutate, unhindered
from support.world import Connection, Refusal, Row, call_on, race

WORKERS = 8
LEASE_SECONDS = 60
PATIENCE_SECONDS = 60


@pytest.fixture(autouse=True)
def _money_adds_up(world: PooledWorld, request: pytest.FixtureRequest) -> object:
    """MON-03: whatever happened, every invariant holds."""
    yield
    if "mutation" not in request.fixturenames:
        assert world.rows("select * from public.ledger_invariants()") == []


def enqueue(world: PooledWorld, topic: str, key: str, session: UUID | None = None) -> None:
    world.rows("select private.enqueue(%s, %s, '{}', %s)", topic, key, session)


def claim(connection: Connection, limit: int = 100, seconds: int = LEASE_SECONDS) -> list[Row]:
    return call_on(
        connection, "claim_outbox", p_worker="test", p_limit=limit, p_lease_seconds=seconds
    )


def complete(connection: Connection, claimed: Row) -> bool:
    answer = call_on(
        connection,
        "complete_outbox",
        p_id=claimed["id"],
        p_lease_token=claimed["lease_token"],
        p_result={"id": f"x_{claimed['id']}"},
    )
    return bool(answer[0]["complete_outbox"])


def completions(connection: Connection, claimed: Row) -> list[Row]:
    return [{"is": complete(connection, claimed)}]


def query(connection: Connection, statement: LiteralString) -> list[Row]:
    return connection.execute(statement).fetchall()


def post(connection: Connection, key: str, lines: Mapping[str, int]) -> list[Row]:
    return connection.execute(
        "select private.post(%s, null, private.clock(), 'usd', %s) as id", (key, Jsonb(lines))
    ).fetchall()


def at_once(calls: Sequence[Callable[[], list[Row]]]) -> tuple[list[Row], list[Refusal]]:
    """What calls that all begin at the same moment get: answers and refusals."""
    gate = threading.Barrier(len(calls))
    answers: list[Row] = []
    refusals: list[Refusal] = []

    def run(work: Callable[[], list[Row]]) -> None:
        gate.wait(timeout=PATIENCE_SECONDS)
        try:
            answers.extend(work())
        except psycopg.Error as error:
            refusals.append(Refusal.of(error))

    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        for future in [pool.submit(run, work) for work in calls]:
            future.result()
    return answers, refusals


def balance(world: PooledWorld, account: str) -> int:
    return int(world.row("select private.balance(%s, 'usd') as cents", account)["cents"])


# Eight workers ----------------------------------------------------------------------------------


@dataclass
class Outside:
    """What arrived outside, and what was recorded of it, in the order of both."""

    arrived: list[str] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)
    overtaken: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def deliver(self, key: str, before: list[str]) -> None:
        with self.lock:
            self.arrived.append(key)
            self.overtaken += [(key, other) for other in before]

    def record(self, key: str) -> None:
        with self.lock:
            self.recorded.append(key)


def work(world: PooledWorld, outside: Outside, end: threading.Event, seed: int) -> Counter[str]:
    """A worker that does its work, or loses it in one of the ways there are."""
    chance = random.Random(seed)  # noqa: S311
    connection = world.connect("service_role")
    looking = world.connect("system")
    done: Counter[str] = Counter()
    late: list[Row] = []
    while not end.is_set():
        fate = chance.random()
        if fate < 0.05:
            # Dies with its claim uncommitted: nobody ever had these rows.
            dying = world.connect("service_role", autocommit=False)
            claim(dying, limit=3)
            dying.close()
            done["vanished"] += 1
        claimed = claim(connection, limit=chance.randint(1, 4))
        if not claimed:
            time.sleep(0.005)
        for row in claimed:
            fate = chance.random()
            if fate < 0.15:
                # Dies before it does anything; the lease runs out.
                done["died before"] += 1
                continue
            before = looking.execute(
                "select e.key from private.outbox e, private.outbox o"
                " where o.id = %s and e.session_id = o.session_id and e.topic = o.topic"
                " and e.id < o.id and e.status <> 'done' and o.topic <> 'email'",
                (row["id"],),
            ).fetchall()
            outside.deliver(row["key"], [str(other["key"]) for other in before])
            if fate < 0.3:
                # Dies after it; nobody hears of it.
                done["died after"] += 1
            elif fate < 0.45:
                late.append(row)
                done["late"] += 1
            elif fate < 0.6:
                call_on(
                    connection,
                    "fail_outbox",
                    p_id=row["id"],
                    p_lease_token=row["lease_token"],
                    p_error="test",
                    p_ambiguous=chance.random() < 0.5,
                )
                done["failed"] += 1
            elif complete(connection, row):
                outside.record(row["key"])
        if late and chance.random() < 0.2:
            row = late.pop(chance.randrange(len(late)))
            if complete(connection, row):
                outside.record(row["key"])
            else:
                done["too late"] += 1
    return done


@pytest.mark.parametrize("seed", [1, 2])
def test_eight_workers_that_die_deliver_everything_and_record_it_once(
    world: PooledWorld, seed: int
) -> None:
    """MON-18: with deaths, expired leases and late completions, every effect is delivered at least
    once and recorded once, in the order of its session and topic, and none is lost."""
    sessions = [uuid4() for _ in range(5)]
    keys = [
        (topic, f"{topic} {session} {number}", session)
        for number in range(4)
        for session in sessions
        for topic in ("stripe.refund", "webhook", "email")
    ]
    for topic, key, session in keys:
        enqueue(world, topic, key, session)
    for number in range(20):
        enqueue(world, "push", f"push {number}")
    expected = {key for _, key, _ in keys} | {f"push {number}" for number in range(20)}
    world.advance(0)
    outside, end = Outside(), threading.Event()
    revived: set[str] = set()

    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        crew = [
            pool.submit(work, world, outside, end, seed * 100 + number) for number in range(WORKERS)
        ]
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while time.monotonic() < deadline:
                time.sleep(0.02)
                world.advance(20)
                for row in world.rows("select id, key from private.outbox where status = 'dead'"):
                    revived.add(row["key"])
                    world.call("system", "requeue_outbox", p_id=row["id"])
                if not world.rows("select 1 from private.outbox where status <> 'done' limit 1"):
                    break
                assert not [worker for worker in crew if worker.done()], "a worker gave up"
        finally:
            end.set()
        happened = sum((worker.result() for worker in crew), Counter())

    # (Support may have been told of a row that died.)
    rows = world.rows(
        "select key, status, result, id from private.outbox where topic <> 'support.alert'"
    )
    assert {row["key"] for row in rows} == expected
    assert {row["status"] for row in rows} == {"done"}
    assert all(row["result"] == {"id": f"x_{row['id']}"} for row in rows)
    assert expected <= set(outside.arrived)
    recorded = Counter(key for key in outside.recorded if not key.startswith("alert:"))
    assert recorded == Counter(dict.fromkeys(expected, 1))
    # (Only a dead row of Stripe's holds up what comes after it.)
    assert [
        (key, other)
        for key, other in outside.overtaken
        if other not in revived or other.startswith("stripe.")
    ] == []
    assert {"died before", "died after", "late", "failed", "too late"} <= set(happened), happened


# Claims -----------------------------------------------------------------------------------------


def test_parallel_claims_are_disjoint_and_do_not_wait(world: PooledWorld) -> None:
    """MON-18: a claim skips what another has locked, and takes the rest at once."""
    for number in range(40):
        enqueue(world, "push", f"push {number}")
    first = world.borrow("service_role", autocommit=False)
    second = world.borrow("service_role")
    had = {row["key"] for row in claim(first, limit=20)}

    rest = unhindered(
        world, second, "claim_outbox", p_worker="second", p_limit=100, p_lease_seconds=60
    )
    assert len(had) == 20
    assert {row["key"] for row in rest} == {f"push {number}" for number in range(40)} - had
    first.rollback()
    assert {row["key"] for row in claim(second)} == had


def test_eight_claims_at_once_share_the_rows(world: PooledWorld) -> None:
    """MON-18: no row is leased to two workers."""
    for number in range(80):
        enqueue(world, "push", f"push {number}")
    params: dict[str, object] = {"p_worker": "test", "p_limit": 10, "p_lease_seconds": 60}
    ends = race([(world.connect("service_role"), "claim_outbox", params) for _ in range(WORKERS)])
    assert ends.refusals == []
    claimed = [row["key"] for rows in ends.answers for row in rows]
    assert len(claimed) == len(set(claimed))


def test_a_claim_holds_back_the_next_row_of_its_session(world: PooledWorld) -> None:
    """MON-18: a row is not overtaken while its claim is not even committed."""
    session = uuid4()
    for number in range(2):
        enqueue(world, "stripe.refund", f"refund {number}", session)
    first = world.borrow("service_role", autocommit=False)
    assert [row["key"] for row in claim(first)] == ["refund 0"]
    second = world.borrow("service_role")
    assert claim(second) == []
    first.commit()
    assert claim(second) == []


def test_a_late_completion_behind_a_new_claim_is_refused(world: PooledWorld) -> None:
    """MON-18: who completes with the old token while the row is being claimed again waits, and has
    lost it; the new holder records it."""
    enqueue(world, "push", "push")
    world.advance(0)
    old = claim(world.borrow("service_role"))[0]
    world.advance(LEASE_SECONDS)
    claimer = world.borrow("service_role", autocommit=False)
    new = claim(claimer)[0]
    assert new["must_look_first"]
    later_worker = world.borrow("service_role")
    arguments = {"p_id": old["id"], "p_lease_token": old["lease_token"], "p_result": {"id": "old"}}
    with behind(
        world, later_worker, lambda: call_on(later_worker, "complete_outbox", **arguments)
    ) as later:
        claimer.commit()
        assert later.result(timeout=10) == [{"complete_outbox": False}]
    assert complete(claimer, new)
    claimer.commit()
    assert world.row("select result from private.outbox")["result"] == {"id": f"x_{new['id']}"}


def test_a_claim_behind_a_completion_finds_it_done(world: PooledWorld) -> None:
    """MON-18: a row whose late completion is being written is not claimed meanwhile, nor after."""
    enqueue(world, "push", "push")
    world.advance(0)
    worker = world.borrow("service_role", autocommit=False)
    claimed = claim(worker)[0]
    worker.commit()
    world.advance(LEASE_SECONDS)
    assert complete(worker, claimed)
    other = world.borrow("service_role")
    assert claim(other) == []
    worker.commit()
    assert claim(other) == []


def test_two_completions_of_one_lease_record_it_once(world: PooledWorld) -> None:
    """MON-18: one lease, eight completions: one is true."""
    enqueue(world, "push", "push")
    claimed = claim(world.borrow("service_role"))[0]
    workers = [world.connect("service_role") for _ in range(WORKERS)]
    answers, refusals = at_once([partial(completions, worker, claimed) for worker in workers])
    assert refusals == []
    assert Counter(answer["is"] for answer in answers) == {True: 1, False: WORKERS - 1}


def test_parallel_rows_of_one_key_are_one_row(world: PooledWorld) -> None:
    """MON-17: an effect is written once, however many write it at once."""
    system = [world.connect("system") for _ in range(WORKERS)]
    answers, refusals = at_once(
        [
            partial(query, connection, "select private.enqueue('push', 'once', '{}') as is_new")
            for connection in system
        ]
    )
    assert refusals == []
    assert Counter(answer["is_new"] for answer in answers) == {True: 1, False: WORKERS - 1}
    assert world.row("select count(*) as n from private.outbox")["n"] == 1


def test_an_effect_is_written_with_its_state(world: PooledWorld) -> None:
    """MON-17: the refund of a cancelled session and the cancellation are one transaction."""
    customer = world.customer()
    intent = world.one(customer, "request_checkout", p_plan="chat10")["id"]
    event = {
        "id": "evt_1",
        "object": "event",
        "type": "payment_intent.succeeded",
        "livemode": False,
        "created": 1893456000,
        "data": {
            "object": {
                "id": "pi_1",
                "object": "payment_intent",
                "amount": 1000,
                "amount_received": 1000,
                "currency": "usd",
                "metadata": {"mode": "session", "intent_id": str(intent)},
            }
        },
    }
    world.call("service_role", "ingest_stripe_event", p_event=event)
    session = world.row("select id from public.sessions")["id"]
    world.call(customer, "end_session_with_semantics", p_session_id=session)

    found = world.row(
        "select o.xmin = r.xmin as refund, o.xmin = s.xmin as session, o.payload, o.status"
        " from private.outbox o, private.refunds r, public.sessions s"
        " where o.topic = 'stripe.refund' and o.session_id = s.id and o.key = 'refund:' || r.key"
    )
    assert found["refund"]
    assert found["session"]
    assert found["status"] == "pending"
    assert (found["payload"]["amount"], found["payload"]["payment_intent"]) == (1000, "pi_1")


# The wake-up ------------------------------------------------------------------------------------


def wake_ups(world: PooledWorld) -> int:
    return int(world.row("select count(*) as n from net.http_request_queue")["n"])


def test_the_throttle_never_waits(world: PooledWorld) -> None:
    """MON-19: who finds the wake-up in another's hands leaves it to him; a wake-up goes out with
    its transaction or not at all."""
    for name, value in {"project_url": "http://api.test", "dispatch_secret": "s"}.items():
        world.rows("select vault.create_secret(%s, %s)", value, name)
    world.advance(0)
    holder = world.borrow("system", autocommit=False)
    holder.execute("select private.enqueue('push', 'held', '{}')")
    other = world.borrow("system")
    other.execute("set lock_timeout = '500ms'")
    other.execute("select private.enqueue('push', 'beside', '{}')")
    assert wake_ups(world) == 0
    # (Waiting in vain would be a failed wake-up, which stops nobody either.)
    assert world.rows("select detail from private.ops_log where kind = 'outbox.wake_failed'") == []
    holder.rollback()
    assert wake_ups(world) == 0
    other.execute("select private.enqueue('push', 'after', '{}')")
    assert wake_ups(world) == 1
    keys = {row["key"] for row in world.rows("select key from private.outbox")}
    assert keys == {"beside", "after"}


@pytest.mark.parametrize(
    "missing",
    [
        "drop function net.http_post(text, jsonb, jsonb, jsonb, integer)",
        "drop schema net cascade",
        "drop schema vault cascade",
    ],
)
def test_without_the_platforms_parts_rows_are_just_there(
    world: PooledWorld, missing: LiteralString
) -> None:
    """MON-19: where pg_net or the vault is missing an effect is written, and nothing is logged."""
    for name, value in {"project_url": "http://api.test", "dispatch_secret": "s"}.items():
        world.rows("select vault.create_secret(%s, %s)", value, name)
    world.db.connect("supabase_admin").execute(missing)
    enqueue(world, "push", "push")
    assert [row["key"] for row in claim(world.borrow("service_role"))] == ["push"]
    assert world.rows("select detail from private.ops_log where kind = 'outbox.wake_failed'") == []


# The ledger -------------------------------------------------------------------------------------


def test_parallel_grants_of_one_key_are_one_transfer(world: PooledWorld) -> None:
    """MON-01, MON-04: a grant that is sent ten times at once is posted once and on record once, and
    all are told the same transfer."""
    customer = world.customer()
    grant: dict[str, object] = {
        "p_user_id": customer,
        "p_amount_cents": 700,
        "p_currency": "usd",
        "p_key": "tap",
    }
    ends = race([(world.connect("service_role"), "grant_credit", grant) for _ in range(10)])
    assert ends.refusals == []
    answers = [rows[0]["grant_credit"] for rows in ends.answers]
    assert len({answer["transfer_id"] for answer in answers}) == 1
    assert {answer["cents"] for answer in answers} == {700}
    assert balance(world, f"customer_credit:{customer}") == 700
    logged = world.rows("select detail from private.ops_log where kind = 'credit.granted'")
    assert [row["detail"]["amount_cents"] for row in logged] == [700]


def test_parallel_grants_of_one_key_and_other_amounts_conflict(world: PooledWorld) -> None:
    """MON-01: one amount wins the key, every other one is an idempotency_conflict."""
    customer = world.customer()
    ends = race(
        [
            (
                world.connect("service_role"),
                "grant_credit",
                {
                    "p_user_id": customer,
                    "p_amount_cents": amount,
                    "p_currency": "usd",
                    "p_key": "tap",
                },
            )
            for amount in range(1, 9)
        ]
    )
    assert len(ends.answers) == 1
    assert len(ends.refusals) == 7
    assert {(one.code, one.status) for one in ends.refusals} == {("idempotency_conflict", 409)}
    won = ends.answers[0][0]["grant_credit"]["cents"]
    assert balance(world, f"customer_credit:{customer}") == won


def test_a_post_behind_one_that_rolls_back_is_the_first(world: PooledWorld) -> None:
    """MON-01: a transfer that was never committed has taken no key."""
    first = world.borrow("system", autocommit=False)
    post(first, "the key", {"stripe": -5, "promotions": 5})
    second = world.borrow("system")
    with behind(
        world, second, lambda: post(second, "the key", {"stripe": -7, "promotions": 7})
    ) as later:
        first.rollback()
        assert len(later.result(timeout=10)) == 1
    assert balance(world, "promotions") == 7


def test_parallel_spending_never_goes_below_zero(world: PooledWorld) -> None:
    """MON-02: of ten who spend 300 of 1000 at once, three do."""
    customer = world.customer()
    account = f"customer_credit:{customer}"
    post(world.connect("system"), "credit", {"promotions": -1000, account: 1000})
    system = [world.connect("system") for _ in range(10)]
    answers, refusals = at_once(
        [
            partial(post, connection, f"spend:{number}", {account: -300, "promotions": 300})
            for number, connection in enumerate(system)
        ]
    )
    assert (len(answers), len(refusals)) == (3, 7)
    assert all("credit_is_never_below_zero" in refusal.code for refusal in refusals)
    assert balance(world, account) == 100
    stored = world.row("select balance_cents from private.ledger_accounts where name = %s", account)
    assert stored["balance_cents"] == 100


def test_ten_sessions_on_one_credit_at_once_are_one(world: PooledWorld) -> None:
    """MON-04, LIFE-03: ten taps spend a price once."""
    customer = world.customer()
    world.call(
        "system",
        "grant_credit",
        p_user_id=customer,
        p_amount_cents=5000,
        p_currency="usd",
        p_key="grant",
    )
    order: dict[str, object] = {"p_plan": "chat10", "p_funding": "credit"}
    ends = race([(world.connect(customer), "create_session", order) for _ in range(10)])
    assert len(ends.answers) == 1
    assert ends.codes == {"active_session_exists"}
    assert balance(world, f"customer_credit:{customer}") == 4000
    assert balance(world, f"session_hold:{ends.answers[0][0]['id']}") == 1000


def test_who_spends_behind_another_finds_what_is_left(world: PooledWorld) -> None:
    """MON-02, MON-04: a session that waits for the balance is refused when that was the last of it,
    and leaves nothing behind."""
    customer = world.customer()
    account = f"customer_credit:{customer}"
    system = world.borrow("system", autocommit=False)
    post(system, "credit", {"promotions": -1000, account: 1000})
    system.commit()
    creator = world.borrow(customer)
    order: dict[str, object] = {"p_plan": "chat10", "p_funding": "credit"}
    post(system, "spend", {account: -1, "promotions": 1})
    with behind(world, creator, lambda: call_on(creator, "create_session", **order)) as later:
        system.commit()
        with pytest.raises(psycopg.Error, match="insufficient_credit"):
            later.result(timeout=10)
    assert world.rows("select id from public.sessions") == []
    post(system, "give back", {account: 1, "promotions": -1})
    system.commit()
    post(system, "take", {account: -1, "promotions": 1})
    with behind(world, creator, lambda: call_on(creator, "create_session", **order)) as later:
        system.rollback()
        assert later.result(timeout=10)[0]["funding"] == "credit"
    assert balance(world, account) == 0


@pytest.mark.parametrize(
    "statement",
    [
        "update private.ledger_transfers set key = 'other'",
        "update private.ledger_entries set amount_cents = 1",
        "update private.ledger_accounts set balance_cents = 1",
        "delete from private.ledger_transfers",
        "delete from private.ledger_entries",
        "delete from private.ledger_accounts",
        "truncate private.ledger_accounts, private.ledger_transfers, private.ledger_entries",
    ],
)
def test_not_even_a_superuser_changes_the_ledger(
    world: PooledWorld, statement: LiteralString
) -> None:
    """MON-01: append-only holds for the role that may do everything else."""
    superuser = world.db.connect("supabase_admin")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="is append-only"):
        superuser.execute(statement)


# Without its lock or key every promise above breaks, and its test says so ------------------------


@dataclass(frozen=True)
class Mutation:
    """What to take away, and the test that has to notice."""

    test: Callable[[PooledWorld], None]
    function: str = ""
    pattern: str = ""
    statement: LiteralString = ""


MUTATIONS = {
    "a claim waits for another": Mutation(
        test_parallel_claims_are_disjoint_and_do_not_wait,
        "private.claim_outbox",
        r"\s+skip locked",
    ),
    "a lease is looked up without a lock": Mutation(
        test_a_late_completion_behind_a_new_claim_is_refused,
        "private.leased_row",
        r"\s+for no key update",
    ),
    "a token is not compared": Mutation(
        test_a_late_completion_behind_a_new_claim_is_refused,
        "private.leased_row",
        r"\s+and o\.lease_token = p_lease_token",
    ),
    "a row does not wait for an earlier one": Mutation(
        test_a_claim_holds_back_the_next_row_of_its_session,
        "private.claim_outbox",
        r"\s+and not private\.is_blocked\(o\)",
    ),
    "the throttle waits": Mutation(
        test_the_throttle_never_waits, "private.wake_dispatcher", r"\s+skip locked"
    ),
    "an effect has no unique key": Mutation(
        test_parallel_rows_of_one_key_are_one_row,
        statement="alter table private.outbox drop constraint outbox_key_key",
    ),
    "a transfer has no unique key": Mutation(
        test_parallel_grants_of_one_key_are_one_transfer,
        statement="alter table private.ledger_transfers drop constraint one_transfer_per_key",
    ),
    "credit may be below zero": Mutation(
        test_parallel_spending_never_goes_below_zero,
        statement="alter table private.ledger_accounts drop constraint credit_is_never_below_zero",
    ),
    "balances do not follow": Mutation(
        test_parallel_spending_never_goes_below_zero,
        statement="drop trigger transfers_sum_to_zero on private.ledger_entries",
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_without_it_the_test_fails(world: PooledWorld, mutation: Mutation) -> None:
    """TEST-03, MON-01, MON-02, MON-17, MON-18, MON-19: each lock and key has a test that needs
    it."""
    if mutation.function:
        mutate(world, mutation.function, mutation.pattern)
    else:
        world.execute(mutation.statement)
    with pytest.raises((AssertionError, psycopg.Error, threading.BrokenBarrierError)):
        mutation.test(world)
