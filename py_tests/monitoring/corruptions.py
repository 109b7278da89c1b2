"""What can go wrong, how it is planted, and where it must show.

Which sections fail: 2 holds the row against the decision of its end, 9 against all its events, 10
the money against the status. So a wrong final status shows in 2 and 9, and in 10 where earning and
reason no longer fit; money that is missing or wrong shows in 5, and in 10 where the ledger knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FIX = "select * from public.apply_semantic_fix(false);"


@dataclass(frozen=True)
class Corruption:
    """One kind: `review` says what each row of the review tells an operator to do, in part.

    `why` is for more than one section, or for none. `by_hand` is what a person does where no
    command can know what is right; without it the commands of the review, or of the verification
    where the review has none, must mend everything.
    """

    name: str
    plant: str
    sections: frozenset[int]
    alerts: frozenset[str] = frozenset()
    review: Mapping[str, str] = field(default_factory=dict)
    why: str = ""
    needs_a_person: bool = False
    by_hand: str = ""
    says: str = ""


def row(customer: str, changes: str) -> str:
    return f"update public.sessions set {changes} where id = tests.session_of('{customer}')"


def events(customer: str, kind: str, change: str) -> str:
    where = f"where session_id = tests.session_of('{customer}') and type = '{kind}'"
    if change == "delete":
        return f"delete from public.session_events {where}"
    return f"update public.session_events set {change} {where}"


def payout(customer: str, change: str) -> str:
    return f"update public.payouts set {change} where id = (tests.payout_of('{customer}')).id"


def kinds(*names: str) -> frozenset[str]:
    return frozenset(names)


def at(*sections: int) -> frozenset[int]:
    return frozenset(sections)


STATUSES = [
    Corruption(
        "completed, and the row says too short",
        row("paid", "status = 'cancelled', end_reason = 'too_short'"),
        at(2, 9, 10),
        kinds("status_mismatch"),
        {"status_mismatch": FIX, "replay": FIX, "ledger": FIX},
        why="10: it has an earning",
    ),
    Corruption(
        "completed, and the row says expired",
        row("paid", "status = 'expired', end_reason = 'orphaned'"),
        at(2, 9, 10),
        kinds("status_mismatch"),
        {"status_mismatch": FIX, "replay": FIX, "ledger": FIX},
        why="10: it has an earning",
    ),
    Corruption(
        "too short, and the row says completed",
        row("short", "status = 'completed', end_reason = 'completed'"),
        at(2, 5, 9, 10),
        kinds("status_mismatch", "completed_without_payout"),
        {"status_mismatch": FIX, "replay": FIX, "ledger": "", "completed_without_payout": ""},
        why="5, 10: a completed one would have its earning",
    ),
    Corruption(
        "a no-show, and the row says completed",
        row(
            "absent",
            "status = 'completed', end_reason = 'completed',"
            " started_at = ended_at - interval '5 minutes', duration_seconds = 300,"
            " billable_seconds = 300",
        ),
        at(2, 5, 9, 10),
        kinds("status_mismatch", "completed_without_payout"),
        {"status_mismatch": FIX, "replay": FIX, "ledger": "", "completed_without_payout": ""},
        why="5, 10: a completed one would have its earning",
    ),
    Corruption(
        "a no-show, and the row says expired",
        row("absent", "status = 'expired', end_reason = 'orphaned'"),
        at(2, 9),
        kinds("status_mismatch"),
        {"status_mismatch": FIX, "replay": FIX},
    ),
    Corruption(
        "expired, and the row says cancelled",
        row("orphan", "status = 'cancelled', end_reason = 'cancelled_by_admin'"),
        at(2, 9),
        kinds("status_mismatch"),
        {"status_mismatch": FIX, "replay": FIX},
    ),
    Corruption(
        "another reason",
        row("absent", "end_reason = 'mechanic_no_show'"),
        at(2, 9),
        kinds("status_mismatch"),
        {"status_mismatch": FIX, "replay": FIX},
    ),
    Corruption(
        "fewer billable seconds",
        row("paid", "billable_seconds = 30"),
        at(2, 9),
        kinds("status_mismatch"),
        {"status_mismatch": FIX, "replay": FIX},
    ),
    Corruption(
        "row and event both say cancelled, and the facts do not",
        row("free", "status = 'cancelled', end_reason = 'too_short'")
        + ";"
        + events(
            "free",
            "ended",
            """payload = payload || '{"to": "cancelled", "reason": "too_short"}'""",
        ),
        at(2, 10),
        review={"final_status": FIX, "ledger": FIX},
        why="10: it has an earning",
    ),
]

EVENTS = [
    Corruption(
        "no event of its birth",
        events("paid", "created", "delete"),
        at(9),
        review={"replay": "-- Events are missing"},
        needs_a_person=True,
    ),
    Corruption(
        "no event of an extension",
        events("extended", "extended", "delete"),
        at(9),
        review={"replay": "-- Events are missing"},
        needs_a_person=True,
    ),
    Corruption(
        "no event of its end",
        events("paid", "ended", "delete"),
        at(2, 9),
        kinds("status_mismatch"),
        {
            "status_mismatch": "-- The event of its end is missing",
            "replay": "-- The event of its end is missing",
        },
        needs_a_person=True,
    ),
    Corruption(
        "the event of an extension was edited",
        events("extended", "extended", """payload = payload || '{"duration_minutes": 200}'"""),
        at(9),
        review={"replay": "-- Row and events contradict each other"},
        needs_a_person=True,
    ),
    Corruption(
        "the event of its end was edited",
        events("paid", "ended", """payload = payload || '{"to": "cancelled"}'"""),
        at(2, 9),
        kinds("status_mismatch"),
        {
            "status_mismatch": "-- The row is what its facts say",
            "replay": "-- The row is what its facts say",
        },
        needs_a_person=True,
    ),
    Corruption(
        "an event too many",
        "insert into public.session_events (session_id, type, actor_role, version, payload)"
        " select id, 'joined', 'customer', version, '{}' from tests.row_of('paid')",
        at(9),
        review={"replay": "-- Events are missing or too many"},
        needs_a_person=True,
    ),
    Corruption(
        "an arc that does not exist",
        events("paid", "ended", """payload = payload || '{"from": "pending"}'"""),
        at(9),
        review={"replay": "-- No such arc exists"},
        needs_a_person=True,
    ),
    Corruption(
        "a row that is gone",
        "delete from public.sessions where id = tests.session_of('gone');"
        "delete from private.settlements where session_id not in (select id from public.sessions)",
        at(9),
        review={"replay": "-- The row is gone"},
        needs_a_person=True,
    ),
    Corruption(
        "more minutes than were bought",
        row("live", "duration_minutes = duration_minutes + 30"),
        at(9),
        review={"replay": "-- Row and events contradict each other"},
        needs_a_person=True,
    ),
]

MONEY = [
    Corruption(
        "no earning",
        "delete from public.mechanic_earnings where session_id = tests.session_of('paid')",
        at(5, 10),
        kinds("completed_without_payout"),
        {"completed_without_payout": "public.repair_money", "ledger": "public.repair_money"},
        why="5 and 10 both ask for it",
    ),
    Corruption(
        "no payout",
        "delete from public.payouts where id = (tests.payout_of('paid')).id",
        at(5, 10),
        kinds("completed_without_payout"),
        {"completed_without_payout": "public.repair_money", "ledger": "public.repair_money"},
        why="5 and 10 both ask for it",
    ),
    Corruption(
        "two payouts",
        "alter table public.payouts drop constraint one_payout_per_source;"
        "insert into public.payouts (kind, source_id, user_id, session_id, amount_cents, currency,"
        " due_at) select kind, source_id, user_id, session_id, amount_cents, currency, due_at"
        " from tests.payout_of('paid')",
        at(1, 5),
        review={"payout_accuracy": "delete from public.payouts"},
        why="1: the constraint that forbids it is gone",
    ),
    Corruption(
        "a payout of more than was earned",
        payout("paid", "amount_cents = amount_cents + 100"),
        at(5),
        review={"payout_accuracy": "update public.payouts set amount_cents = 1050"},
    ),
    Corruption(
        "a payout of less than was earned",
        payout("paid", "amount_cents = 1"),
        at(5),
        review={"payout_accuracy": "update public.payouts set amount_cents = 1050"},
    ),
    Corruption(
        "a payout of more than was earned, already sent",
        payout("sent", "amount_cents = amount_cents + 100"),
        at(5),
        review={"payout_accuracy": "-- It was sent: settle the difference at Stripe"},
        needs_a_person=True,
    ),
    Corruption(
        "a payout to somebody else",
        payout("paid", "user_id = tests.id('other m')"),
        at(5),
        review={"payout_accuracy": "update public.payouts set user_id"},
    ),
    Corruption(
        "a payout that nobody earned",
        "insert into public.payouts (kind, source_id, user_id, session_id, amount_cents, currency,"
        " due_at) select 'session', tests.session_of('short'), user_id, tests.session_of('short'),"
        " 100, currency, due_at from tests.payout_of('paid')",
        at(5, 10),
        review={
            "payout_accuracy": "delete from public.payouts",
            "ledger": "delete from public.payouts",
        },
        why="5: a share of zero was earned; 10: nothing was posted",
    ),
    Corruption(
        "a payout nobody knows the fate of",
        payout("sent", "status = 'needs_reconciliation'")
        + ";update private.outbox set status = 'done'"
        " where key = 'payout:' || (tests.payout_of('sent')).id",
        at(5),
        review={"payout": "public.resolve_payout"},
    ),
    Corruption(
        "an edited entry of the ledger",
        "update private.ledger_entries e set amount_cents = amount_cents + 7"
        " from private.ledger_transfers t, private.ledger_accounts a"
        " where t.id = e.transfer_id and a.id = e.account_id and a.name = 'platform_revenue'"
        " and t.key = 'earning:' || tests.session_of('paid')",
        at(10),
        review={"ledger": "-- Money was written past the engine: restore"},
        needs_a_person=True,
    ),
    Corruption(
        "a deleted entry of the ledger",
        "delete from private.ledger_entries e"
        " using private.ledger_transfers t, private.ledger_accounts a"
        " where t.id = e.transfer_id and a.id = e.account_id and a.name like 'mechanic_payable%'"
        " and t.key = 'earning:' || tests.session_of('paid')",
        at(10),
        review={"ledger": "-- Money was written past the engine: restore"},
        needs_a_person=True,
    ),
    Corruption(
        "an edited balance",
        "update private.ledger_accounts set balance_cents = balance_cents + 1000"
        " where name = 'customer_credit:' || tests.id('credit')",
        at(10),
        review={"ledger": "update private.ledger_accounts"},
    ),
    Corruption(
        "money left in a hold",
        "select private.post('left behind', tests.session_of('paid'), tests.now(), 'usd',"
        " jsonb_build_object('promotions', -500,"
        " 'session_hold:' || tests.session_of('paid'), 500))",
        at(10),
        review={"ledger": "public.repair_money"},
    ),
    Corruption(
        "money that went nowhere",
        "insert into private.payments (payment_intent_id, customer_user_id, amount_cents, currency,"
        " purpose, purpose_id, rank, received_at) values ('pi_lost', tests.id('paid'), 500, 'usd',"
        " 'session', gen_random_uuid(), 'paid', tests.now());"
        "select private.post('lost', null, tests.now(), 'usd',"
        " jsonb_build_object('stripe', -500, 'unapplied:' || p.id, 500))"
        " from private.payments p where p.payment_intent_id = 'pi_lost'",
        at(10),
        review={"unapplied_money": "public.resolve_payment"},
    ),
    Corruption(
        "a payment in review",
        "update private.payments set review = 'amount' where id = (tests.payment_of('other')).id",
        at(),
        review={"payment": "public.resolve_payment"},
        why="it waits for a person as it should, and contradicts nothing",
    ),
    Corruption(
        "a session in review",
        "select private.review_session(tests.session_of('quarrel'), 'refund', 'critical', '{}')",
        at(),
        review={"session_review": "public.resolve_review"},
        why="it waits for a person as it should, and contradicts nothing",
    ),
]

PEOPLE = [
    Corruption(
        "no place in the queue",
        "delete from public.session_assignments where session_id = tests.session_of('pending')",
        at(4),
        review={"integrity": "private.repair_session"},
    ),
    Corruption(
        "no place of one that is over",
        "delete from public.session_assignments where session_id = tests.session_of('paid')",
        at(4),
        review={"integrity": "private.repair_session"},
    ),
    Corruption(
        "an assignment of another mechanic",
        "update public.session_assignments set mechanic_id = tests.id('other m')"
        " where session_id = tests.session_of('waiting')",
        at(4),
        review={"integrity": "private.repair_session"},
    ),
    Corruption(
        "an assignment that is still open",
        "update public.session_assignments set status = 'accepted', closed_at = null"
        " where session_id = tests.session_of('paid')",
        at(4),
        review={"integrity": "private.repair_session"},
    ),
    Corruption(
        "a participant's row is gone",
        "delete from public.session_participants"
        " where session_id = tests.session_of('waiting') and role = 'mechanic'",
        at(4),
        review={"integrity": "private.repair_session"},
    ),
    Corruption(
        "a participant's row is gone of one that was live",
        "delete from public.session_participants"
        " where session_id = tests.session_of('paid') and role = 'mechanic'",
        at(3, 4),
        review={"integrity": "private.repair_session", "presence": "private.repair_session"},
        why="3: it started, and who joined is gone",
    ),
    Corruption(
        "started, and one never joined",
        "update public.session_participants set first_joined_at = null"
        " where session_id = tests.session_of('paid') and role = 'customer'",
        at(3),
        review={"presence": "private.repair_session"},
    ),
    Corruption(
        "connected after the end",
        "update public.session_participants set is_connected = true, left_at = null,"
        " presence_check_at = tests.now()"
        " where session_id = tests.session_of('paid') and role = 'customer'",
        at(3),
        review={"presence": "private.repair_session"},
    ),
    Corruption(
        "live, and one is away",
        "update public.session_participants set is_connected = false, left_at = tests.now(),"
        " presence_check_at = null"
        " where session_id = tests.session_of('live') and role = 'customer'",
        at(3),
        review={"presence": "private.repair_session"},
    ),
    Corruption(
        "two active sessions of a customer",
        "drop index public.uq_active_session_per_customer;"
        + row("booked", "customer_user_id = tests.id('pending')")
        + ";update public.session_participants p set user_id = tests.id('pending')"
        " where p.user_id = tests.id('booked')",
        at(1, 4),
        review={"integrity": "public.end_session_with_semantics"},
        why="1: the index that forbids it is gone",
    ),
    Corruption(
        "live past its deadline",
        row(
            "live",
            "expires_at = tests.now() - interval '11 minutes',"
            " started_at = tests.now() - interval '56 minutes'",
        )
        + ";"
        + events(
            "live",
            "started",
            "occurred_at = tests.now() - interval '56 minutes', payload = payload"
            " || jsonb_build_object('expires_at', tests.now() - interval '11 minutes')",
        ),
        at(4),
        kinds("live_past_deadline"),
        {"live_past_deadline": "public.end_expired_sessions"},
    ),
    Corruption(
        "both are there, and the meter stands",
        "update public.session_participants set is_connected = true, left_at = null,"
        " first_joined_at = tests.now() - interval '140 seconds', last_seen_at = tests.now(),"
        " presence_check_at = tests.now() + interval '1 day'"
        " where session_id = tests.session_of('waiting')",
        at(4),
        kinds("both_present_not_live"),
        {"both_present_not_live": "private.repair_session"},
    ),
    Corruption(
        "work that failed",
        "select private.note_failure(tests.session_of('waiting'), 'tick', 'out of paper', 'P0001')",
        at(4),
        review={"failed_work": "public.end_session_with_semantics"},
    ),
]

METADATA = [
    Corruption(
        "other seconds than from start to end",
        row("paid", "duration_seconds = duration_seconds + 100"),
        at(6, 9),
        review={"metadata": FIX, "replay": FIX},
        why="9: the events say how long it was",
    ),
    Corruption(
        "a summary without its time",
        row("summed", "summary_submitted_at = null"),
        at(6, 9),
        review={"metadata": "private.repair_session", "replay": "private.repair_session"},
        why="9: the events say when",
    ),
    Corruption(
        "the time of a summary, and no summary",
        row("summed", "metadata = metadata - 'summary'"),
        at(6),
        review={"metadata": "-- The summary is gone"},
        needs_a_person=True,
    ),
    Corruption(
        "closed automatically, and nobody says why",
        row("closed", "metadata = metadata - 'auto_end_reason'"),
        at(6),
        review={"metadata": "private.repair_session"},
    ),
]

LIVENESS = [
    Corruption(
        "a late job",
        "update private.job_runs set started_at = tests.now() - interval '4 minutes'"
        " where job = 'tick-sessions' and not is_failure",
        at(11),
    ),
    Corruption(
        "a failed job",
        "select private.note_run('prune-history', tests.now(), null, 'disk full')",
        at(11),
    ),
    Corruption(
        "a dead effect",
        "update private.outbox set status = 'dead', done_at = null, last_error = 'HTTP 410'"
        " where id = (select max(id) from private.outbox where topic = 'crm.track')",
        at(11),
        review={"dead_outbox": "public.requeue_outbox"},
    ),
    Corruption(
        "effects that nobody carries out",
        "update private.outbox set status = 'pending', done_at = null, attempts = 0,"
        " next_attempt_at = tests.now() - interval '16 minutes'"
        " where id = (select max(id) from private.outbox where topic = 'crm.track')",
        at(11),
        needs_a_person=True,
        by_hand="select tests.dispatch(); select tests.stripe_says('crm.track')",
        says="dispatch-outbox",
    ),
    Corruption(
        "an event of Stripe that failed",
        "update private.stripe_events set status = 'failed', error = 'deadlock'"
        " where id = (select min(id) from private.stripe_events)",
        at(11),
        review={"stripe_event": "public.retry_stripe_event"},
    ),
    Corruption(
        "no partition for messages",
        "alter table realtime.messages detach partition realtime.messages_default",
        at(11),
        needs_a_person=True,
        by_hand="reset session authorization; alter table realtime.messages"
        " attach partition realtime.messages_default default;"
        "set session authorization postgres",
        says="Realtime",
    ),
]

STRUCTURE = [
    Corruption(
        "a trigger is gone",
        "drop trigger transfers_sum_to_zero on private.ledger_entries",
        at(1),
    ),
    Corruption(
        "a disabled trigger",
        "alter table public.sessions disable trigger status_follows_the_state_machine",
        at(1),
    ),
    Corruption(
        "a constraint is gone",
        "alter table public.sessions drop constraint duration_is_positive",
        at(1),
    ),
    Corruption(
        "a constraint that was never checked",
        "alter table public.sessions drop constraint duration_is_positive;"
        "alter table public.sessions add constraint duration_is_positive"
        " check (duration_minutes > 0) not valid",
        at(1),
    ),
    Corruption(
        "an index is gone",
        "drop index public.sessions_due_at_idx",
        at(1),
    ),
    Corruption(
        "no row level security",
        "alter table public.payouts disable row level security",
        at(1),
    ),
    Corruption(
        "a policy is gone",
        'drop policy "people read their payouts and admins read all" on public.payouts',
        at(1),
        needs_a_person=True,
        says="-- Run the statement of the migrations",
    ),
    Corruption(
        "a function is gone",
        "drop function public.preview_end(uuid)",
        at(1),
        needs_a_person=True,
        says="-- Run the statement of the migrations",
    ),
    Corruption(
        "a function is gone that the verification needs",
        "drop function private.replay_difference(public.sessions)",
        at(1, 9),
        review={"verification": "-- Mend what section 1 shows first"},
        why="9 cannot be verified, and the other sections still are",
        needs_a_person=True,
        says="-- Run the statement of the migrations",
    ),
]

ALL = [*STATUSES, *EVENTS, *MONEY, *PEOPLE, *METADATA, *LIVENESS, *STRUCTURE]
