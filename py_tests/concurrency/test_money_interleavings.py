"""Two hands at the same money: the second waits for the first, and what is left is what it would be
if they had come one after the other.

Every case says what both are told and where the money is then; beside that, everything on record
about the people of the scene (sessions, payments, refunds, payouts, transfers, effects, events of
Stripe, reviews) is compared with that of a twin in which the same two came in turn.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import LiteralString

import psycopg
import pytest

from concurrency.interleaving import (
    Answer,
    PooledWorld,
    Step,
    attempt,
    behind,
    wait_until_blocked_or_done,
)
from concurrency.money_scenes import (
    ACCOUNT,
    AGAIN,
    CHECKOUT,
    CLAIM,
    CONFIRMED,
    DELETION,
    DISPUTED,
    ENDED,
    EXTENDED,
    FAILED,
    FREE,
    LOST,
    MADE,
    MADE_TWICE,
    MONEY_BACK,
    MORE,
    ON_CREDIT,
    PAID,
    PAID_TOO,
    PART_BACK,
    QUOTE,
    RECORDED,
    REFUNDED,
    REFUNDED_TOO,
    REFUSED,
    REQUEUED,
    RETRY,
    REVERSED,
    REVIEWED,
    SENT,
    SILENCE,
    SUBMISSION,
    SUCCEEDED,
    TAKEN_BACK,
    UPDATED,
    WON,
    Money,
    SceneOf,
    Statement,
    StepOf,
    answers,
    approved,
    asked,
    balances,
    became_credit,
    cancelled,
    decides,
    differing,
    disputed,
    disputed_without_account,
    due,
    ended,
    extended_and_refunded,
    extended_too_late,
    extending,
    extension_as_credit,
    failed_event,
    in_review,
    intended,
    left,
    misextended,
    of_one_session,
    partly_refunded,
    quoted,
    refunds,
    refused_for_good,
    refused_twice,
    resolves,
    reviewed_and_disputed,
    running,
    running_without_account,
    sent,
    settles,
    to_be_refunded,
    told,
    transferred,
    tried_again,
    unanswered,
    without_account,
)
from support.world import Connection, Row, World, meanwhile


@dataclass(frozen=True)
class Case:
    """Two hands at one scene, what both are told, and where the money is then."""

    proves: str
    scene: SceneOf
    first: StepOf
    second: StepOf
    answers: tuple[str, str]
    money: str


CASES = {
    # proofs of payment against what the customer does
    "proof, then the customer creates": Case(
        "MON-07, LIFE-03", asked, PAID, FREE, ("processed", "active_session_exists"),
        "session_hold 1500, stripe -1500",
    ),
    "the customer creates, then proof": Case(
        "MON-07, LIFE-03", asked, FREE, PAID, ("pending", "processed"),
        "customer_credit 1500, stripe -1500",
    ),
    "proof, then another checkout": Case(
        "MON-07", asked, PAID, CHECKOUT, ("processed", "active_session_exists"),
        "session_hold 1500, stripe -1500",
    ),
    "proof, then its other event": Case(
        "MON-05, MON-07", asked, PAID, PAID_TOO, ("processed", "processed"),
        "session_hold 1500, stripe -1500",
    ),
    "proof, then its checkout is noted": Case(
        "MON-07", intended, PAID, RECORDED, ("processed", "an id"),
        "session_hold 1500, stripe -1500",
    ),
    "its checkout is noted, then proof": Case(
        "MON-07", intended, RECORDED, PAID, ("an id", "processed"),
        "session_hold 1500, stripe -1500",
    ),
    "proof, then the customer is deleted": Case(
        "MON-07", asked, PAID, DELETION, ("processed", "deleted"),
        "refund_clearing 1500, stripe -1500",
    ),
    "the customer is deleted, then proof": Case(
        "MON-07", asked, DELETION, PAID, ("deleted", "processed"),
        "refund_clearing 1500, stripe -1500",
    ),
    "proof, then a refund at Stripe": Case(
        "MON-08", asked, PAID, REFUNDED, ("processed", "processed"),
        "session_hold 1100, stripe -1100",
    ),
    "a refund at Stripe, then proof": Case(
        "MON-08", asked, REFUNDED, PAID, ("ignored", "processed"),
        "session_hold 1100, stripe -1100",
    ),
    "a dispute, then proof": Case(
        "MON-08", asked, DISPUTED, PAID, ("ignored", "processed"),
        "disputes -1500, session_hold 1500",
    ),
    "extension paid, then end": Case(
        "MON-10, MON-12", extending, EXTENDED, ENDED, ("processed", "completed"),
        "mechanic_payable 1400, platform_revenue 600, stripe -2000",
    ),
    "end, then extension paid": Case(
        "MON-11, MON-12", extending, ENDED, EXTENDED, ("completed", "processed"),
        "mechanic_payable 1050, platform_revenue 450, refund_clearing 500, stripe -2000",
    ),
    "extension paid, then the customer is deleted": Case(
        "MON-10", extending, EXTENDED, DELETION, ("processed", "deleted"),
        "mechanic_payable 1400, platform_revenue 600, stripe -2000",
    ),
    "the customer is deleted, then extension paid": Case(
        "MON-11", extending, DELETION, EXTENDED, ("deleted", "processed"),
        "mechanic_payable 1050, platform_revenue 450, refund_clearing 500, stripe -2000",
    ),
    "extension paid, then another is asked for": Case(
        "MON-09, MON-10", extending, EXTENDED, MORE, ("processed", "pending"),
        "session_hold 2000, stripe -2000",
    ),
    "another is asked for, then extension paid": Case(
        "MON-09, MON-10", extending, MORE, EXTENDED, ("pending", "processed"),
        "session_hold 2000, stripe -2000",
    ),
    "another is asked for, then its checkout is noted": Case(
        "MON-09", extending, MORE, RECORDED, ("pending", "an id"),
        "session_hold 1500, stripe -1500",
    ),
    # an end against Stripe
    "refund at Stripe, then end": Case(
        "MON-08, MON-12", running, REFUNDED, ENDED, ("processed", "completed"),
        "mechanic_payable 770, platform_revenue 330, stripe -1100",
    ),
    "end, then refund at Stripe": Case(
        "MON-08, MON-12", running, ENDED, REFUNDED, ("completed", "processed"),
        "mechanic_payable 770, platform_revenue 330, stripe -1100",
    ),
    "dispute, then end": Case(
        "MON-08, MON-14", running, DISPUTED, ENDED, ("processed", "completed"),
        "disputes -1500, mechanic_payable 1050, platform_revenue 450",
    ),
    "end, then dispute": Case(
        "MON-08, MON-14", running, ENDED, DISPUTED, ("completed", "processed"),
        "disputes -1500, mechanic_payable 1050, platform_revenue 450",
    ),
    "account is set, then end": Case(
        "MON-14", running_without_account, ACCOUNT, ENDED, ("True", "completed"),
        "mechanic_payable 1050, platform_revenue 450, stripe -1500",
    ),
    "end, then account is set": Case(
        "MON-14", running_without_account, ENDED, ACCOUNT, ("completed", "True"),
        "mechanic_payable 1050, platform_revenue 450, stripe -1500",
    ),
    # refunds
    "refund, then refund of more than is left": Case(
        "MON-15", ended, refunds("a", 1000), refunds("b", 600), ("1000", "refund_exceeds_payment"),
        "mechanic_payable 350, platform_revenue 150, refund_clearing 1000, stripe -1500",
    ),
    "refund, then refund of the rest": Case(
        "MON-15", ended, refunds("a", 1000), refunds("b", None), ("1000", "500"),
        "refund_clearing 1500, stripe -1500",
    ),
    "refund, then the same": Case(
        "MON-15", ended, refunds("a", None), refunds("a", None), ("1500", "1500"),
        "refund_clearing 1500, stripe -1500",
    ),
    "refund, then its key with another amount": Case(
        "MON-15", ended, refunds("a", 400), refunds("a", 500), ("400", "idempotency_conflict"),
        "mechanic_payable 770, platform_revenue 330, refund_clearing 400, stripe -1500",
    ),
    "refund, then refund at Stripe": Case(
        "MON-08, MON-15", ended, refunds("a", 1000), REFUNDED, ("1000", "processed"),
        "mechanic_payable 70, platform_revenue 30, refund_clearing 1000, stripe -1100",
    ),
    "refund at Stripe, then refund": Case(
        "MON-08, MON-15", ended, REFUNDED, refunds("a", None), ("processed", "1100"),
        "refund_clearing 1100, stripe -1100",
    ),
    "refund, then dispute": Case(
        "MON-08, MON-15", ended, refunds("a", 400), DISPUTED, ("400", "processed"),
        "disputes -1500, mechanic_payable 770, platform_revenue 330, refund_clearing 400",
    ),
    "dispute, then refund": Case(
        "MON-08, MON-15", ended, DISPUTED, refunds("a", 400), ("processed", "400"),
        "customer_credit 400, disputes -1500, mechanic_payable 770, platform_revenue 330",
    ),
    "refund, then dispute is lost": Case(
        "MON-08, MON-15", disputed, refunds("a", 400), LOST, ("400", "processed"), "",
    ),
    "dispute is lost, then refund": Case(
        "MON-08, MON-15", disputed, LOST, refunds("a", 400),
        ("processed", "refund_exceeds_payment"), "",
    ),
    "refund, then quote": Case(
        "MON-15, MON-16", ended, refunds("a", None), QUOTE, ("1500", "session_not_completed"),
        "refund_clearing 1500, stripe -1500",
    ),
    "quote, then refund": Case(
        "MON-15, MON-16", ended, QUOTE, refunds("a", None), ("escalated", "1500"),
        "refund_clearing 1500, stripe -1500",
    ),
    # refunds against what Stripe answers about one before
    "worker says succeeded, then Stripe": Case(
        "MON-08, MON-18", cancelled, answers("succeeded"), SUCCEEDED, ("True", "processed"), "",
    ),
    "Stripe says succeeded, then worker": Case(
        "MON-08, MON-18", cancelled, SUCCEEDED, answers("succeeded"), ("processed", "True"), "",
    ),
    "worker says failed, then Stripe": Case(
        "MON-08, MON-18", cancelled, answers("failed"), FAILED, ("True", "processed"),
        "stripe -1500, unapplied 1500",
    ),
    "Stripe says failed, then worker": Case(
        "MON-08, MON-18", cancelled, FAILED, answers("failed"), ("processed", "True"),
        "stripe -1500, unapplied 1500",
    ),
    "worker says succeeded, then Stripe failed": Case(
        "MON-08", cancelled, answers("succeeded"), FAILED, ("True", "processed"),
        "stripe -1500, unapplied 1500",
    ),
    "Stripe says failed, then worker succeeded": Case(
        "MON-08", cancelled, FAILED, answers("succeeded"), ("processed", "True"),
        "stripe -1500, unapplied 1500",
    ),
    "worker says failed, then refund of the rest": Case(
        "MON-08, MON-15", partly_refunded, answers("failed"), refunds("b", None), ("True", "1100"),
        "refund_clearing 1100, stripe -1500, unapplied 400",
    ),
    "refund of the rest, then worker says failed": Case(
        "MON-08, MON-15", partly_refunded, refunds("b", None), answers("failed"), ("1100", "True"),
        "refund_clearing 1100, stripe -1500, unapplied 400",
    ),
    "worker says failed, then resolved as credit": Case(
        "MON-20", cancelled, answers("failed"), resolves("to_credit"), ("True", "session"),
        "customer_credit 1500, stripe -1500",
    ),
    "worker says failed, then resolved by another refund": Case(
        "MON-20", cancelled, answers("failed"), resolves("refund"), ("True", "session"),
        "refund_clearing 1500, stripe -1500",
    ),
    "worker says failed, then part is paid back at Stripe": Case(
        "MON-20", cancelled, answers("failed"), REFUNDED, ("True", "processed"),
        "stripe -1100, unapplied 1100",
    ),
    "worker says failed, then refund of the newest": Case(
        "MON-08, MON-15", extended_and_refunded, answers("failed"), refunds("b", 300),
        ("True", "300"),
        "mechanic_payable 840, platform_revenue 360, refund_clearing 300, stripe -2000,"
        " unapplied 500",
    ),
    "worker paid a late extension back, then Stripe": Case(
        "MON-11, MON-18", extended_too_late, answers("succeeded"), SUCCEEDED, ("True", "processed"),
        "mechanic_payable 1050, platform_revenue 450, stripe -1500",
    ),
    # refunds against payouts
    "refund, then transfer was made": Case(
        "MON-14, MON-15", sent, refunds("a", 300), SENT, ("300", "True"),
        "mechanic_payable -210, platform_revenue 360, refund_clearing 300, stripe -450",
    ),
    "transfer was made, then refund": Case(
        "MON-14, MON-15", sent, SENT, refunds("a", 300), ("True", "300"),
        "mechanic_payable -210, platform_revenue 360, refund_clearing 300, stripe -450",
    ),
    "refund, then transfer is refused": Case(
        "MON-14, MON-15", sent, refunds("a", 300), REFUSED, ("300", "True"),
        "mechanic_payable 840, platform_revenue 360, refund_clearing 300, stripe -1500",
    ),
    "transfer is refused, then refund": Case(
        "MON-14, MON-15", sent, REFUSED, refunds("a", 300), ("True", "300"),
        "mechanic_payable 840, platform_revenue 360, refund_clearing 300, stripe -1500",
    ),
    "refund, then no answer": Case(
        "MON-14, MON-15", sent, refunds("a", 300), SILENCE, ("300", "True"),
        "mechanic_payable 840, platform_revenue 360, refund_clearing 300, stripe -1500",
    ),
    "no answer, then refund": Case(
        "MON-14, MON-15", sent, SILENCE, refunds("a", 300), ("True", "300"),
        "mechanic_payable 840, platform_revenue 360, refund_clearing 300, stripe -1500",
    ),
    "refund, then Stripe tells of the transfer": Case(
        "MON-08, MON-15", sent, refunds("a", 300), MADE, ("300", "processed"),
        "mechanic_payable -210, platform_revenue 360, refund_clearing 300, stripe -450",
    ),
    "Stripe tells of the transfer, then refund": Case(
        "MON-08, MON-15", sent, MADE, refunds("a", 300), ("processed", "300"),
        "mechanic_payable -210, platform_revenue 360, refund_clearing 300, stripe -450",
    ),
    "refund, then payout is tried again": Case(
        "MON-15, MON-20", refused_for_good, refunds("a", 300), settles("retry"),
        ("300", "submitted"),
        "mechanic_payable 840, platform_revenue 360, refund_clearing 300, stripe -1500",
    ),
    "payout is tried again, then refund": Case(
        "MON-15, MON-20", refused_for_good, settles("retry"), refunds("a", 300),
        ("submitted", "300"),
        "mechanic_payable 840, platform_revenue 360, refund_clearing 300, stripe -1500",
    ),
    "full refund, then its payout is revived": Case(
        "MON-15, MON-20", refused_for_good, refunds("a", None), REQUEUED,
        ("1500", "invalid_argument"), "refund_clearing 1500, stripe -1500",
    ),
    "payout is revived, then full refund": Case(
        "MON-15, MON-20", refused_for_good, REQUEUED, refunds("a", None), ("True", "1500"),
        "refund_clearing 1500, stripe -1500",
    ),
    "refund, then Stripe tells of a transfer given up": Case(
        "MON-08, MON-15", refused_for_good, refunds("a", 300), MADE, ("300", "processed"),
        "mechanic_payable -210, platform_revenue 360, refund_clearing 300, stripe -450",
    ),
    "revived, then revived": Case(
        "MON-18", refused_for_good, REQUEUED, REQUEUED, ("True", "invalid_argument"),
        "mechanic_payable 1050, platform_revenue 450, stripe -1500",
    ),
    "worker reversed it, then Stripe": Case(
        "MON-08, MON-18", transferred, TAKEN_BACK, REVERSED, ("True", "processed"),
        "refund_clearing 1500, stripe -1500",
    ),
    "Stripe reversed it, then worker": Case(
        "MON-08, MON-18", transferred, REVERSED, TAKEN_BACK, ("processed", "True"),
        "refund_clearing 1500, stripe -1500",
    ),
    # the inbox against admins: payments
    "resolved as credit, then refund at Stripe": Case(
        "MON-08, MON-20", differing, resolves("to_credit"), REFUNDED, ("credit", "processed"),
        "customer_credit 1000, stripe -1000",
    ),
    "refund at Stripe, then resolved as credit": Case(
        "MON-08, MON-20", differing, REFUNDED, resolves("to_credit"), ("processed", "credit"),
        "customer_credit 1000, stripe -1000",
    ),
    "applied, then refund at Stripe": Case(
        "MON-08, MON-20", differing, resolves("apply"), REFUNDED, ("session", "processed"),
        "session_hold 1000, stripe -1000",
    ),
    "refund at Stripe, then paid back": Case(
        "MON-08, MON-20", differing, REFUNDED, MONEY_BACK, ("processed", "requested"),
        "refund_clearing 1000, stripe -1000",
    ),
    "part is paid back, then refund at Stripe": Case(
        "MON-08, MON-20", differing, PART_BACK, REFUNDED, ("requested", "processed"),
        "refund_clearing 500, stripe -1000, unapplied 500",
    ),
    "paid back, then applied": Case(
        "MON-20", differing, MONEY_BACK, resolves("apply"), ("requested", "invalid_argument"),
        "refund_clearing 1400, stripe -1400",
    ),
    "applied, then paid back": Case(
        "MON-20", differing, resolves("apply"), MONEY_BACK, ("session", "invalid_argument"),
        "session_hold 1400, stripe -1400",
    ),
    "applied, then the customer creates": Case(
        "MON-20, LIFE-03", differing, resolves("apply"), FREE,
        ("session", "active_session_exists"), "session_hold 1400, stripe -1400",
    ),
    "the customer creates, then applied": Case(
        "MON-20, LIFE-03", differing, FREE, resolves("apply"), ("pending", "credit"),
        "customer_credit 1400, stripe -1400",
    ),
    "applied, then the customer is deleted": Case(
        "MON-20", differing, resolves("apply"), DELETION, ("session", "deleted"),
        "refund_clearing 1400, stripe -1400",
    ),
    "applied, then the other event of it": Case(
        "MON-05, MON-20", differing, resolves("apply"), PAID_TOO, ("session", "processed"),
        "session_hold 1400, stripe -1400",
    ),
    "the other event of it, then applied": Case(
        "MON-05, MON-20", differing, PAID_TOO, resolves("apply"), ("processed", "session"),
        "session_hold 1400, stripe -1400",
    ),
    "part of credit is paid back, then refund at Stripe": Case(
        "MON-08, MON-20", became_credit, PART_BACK, REFUNDED, ("requested", "processed"),
        "customer_credit 600, refund_clearing 500, stripe -1100",
    ),
    "refund at Stripe, then credit is paid back": Case(
        "MON-08, MON-20", became_credit, REFUNDED, MONEY_BACK, ("processed", "requested"),
        "refund_clearing 1100, stripe -1100",
    ),
    "end, then extension of another amount is applied": Case(
        "MON-11, MON-20", misextended, ENDED, resolves("apply"), ("completed", "refund"),
        "mechanic_payable 1050, platform_revenue 450, refund_clearing 600, stripe -2100",
    ),
    "extension of another amount is applied, then end": Case(
        "MON-10, MON-20", misextended, resolves("apply"), ENDED, ("extension", "completed"),
        "mechanic_payable 1470, platform_revenue 630, stripe -2100",
    ),
    "credit is spent, then refund at Stripe": Case(
        "MON-04, MON-08", became_credit, ON_CREDIT, REFUNDED, ("pending", "processed"),
        "platform_revenue -400, session_hold 1500, stripe -1100",
    ),
    "refund at Stripe, then credit is spent": Case(
        "MON-04, MON-08", became_credit, REFUNDED, ON_CREDIT, ("processed", "insufficient_credit"),
        "customer_credit 1100, stripe -1100",
    ),
    "credit is spent, then paid back": Case(
        "MON-04, MON-20", became_credit, ON_CREDIT, MONEY_BACK,
        ("pending", "refund_exceeds_payment"), "session_hold 1500, stripe -1500",
    ),
    "credit of an extension is spent, then paid back": Case(
        "MON-04, MON-20", extension_as_credit, ON_CREDIT, MONEY_BACK,
        ("pending", "refund_exceeds_payment"),
        "mechanic_payable 1050, platform_revenue 450, promotions -900, session_hold 1500,"
        " stripe -2100",
    ),
    "credit of an extension is paid back, then spent": Case(
        "MON-04, MON-20", extension_as_credit, MONEY_BACK, ON_CREDIT,
        ("requested", "insufficient_credit"),
        "customer_credit 900, mechanic_payable 1050, platform_revenue 450, promotions -900,"
        " refund_clearing 600, stripe -2100",
    ),
    "failed event is retried, then comes again": Case(
        "MON-05, MON-20", failed_event, RETRY, AGAIN, ("processed", "processed"),
        "session_hold 1500, stripe -1500",
    ),
    "failed event comes again, then is retried": Case(
        "MON-05, MON-20", failed_event, AGAIN, RETRY, ("processed", "invalid_argument"),
        "session_hold 1500, stripe -1500",
    ),
    "failed event is retried twice": Case(
        "MON-05, MON-20", failed_event, RETRY, RETRY, ("processed", "invalid_argument"),
        "session_hold 1500, stripe -1500",
    ),
    "failed event, then the other proof": Case(
        "MON-05, MON-07", failed_event, RETRY, PAID_TOO, ("processed", "processed"),
        "session_hold 1500, stripe -1500",
    ),
    # the inbox against admins: payouts and sessions
    "found at Stripe, then Stripe tells": Case(
        "MON-14, MON-20", unanswered, settles("paid"), MADE, ("paid", "processed"),
        "platform_revenue 450, stripe -450",
    ),
    "Stripe tells, then found at Stripe": Case(
        "MON-14, MON-20", unanswered, MADE, settles("paid"), ("processed", "invalid_argument"),
        "platform_revenue 450, stripe -450",
    ),
    "tried again, then Stripe tells": Case(
        "MON-14, MON-20", unanswered, settles("retry"), MADE, ("submitted", "processed"),
        "platform_revenue 450, stripe -450",
    ),
    "Stripe tells, then tried again": Case(
        "MON-14, MON-20", unanswered, MADE, settles("retry"), ("processed", "invalid_argument"),
        "platform_revenue 450, stripe -450",
    ),
    "cancelled, then Stripe tells": Case(
        "MON-14, MON-20", unanswered, settles("cancel"), MADE, ("cancelled", "processed"),
        "platform_revenue 450, stripe -450",
    ),
    "found at Stripe, then another is told of": Case(
        "MON-14, MON-20", unanswered, settles("paid"), MADE_TWICE, ("paid", "processed"),
        "platform_revenue 450, stripe -450",
    ),
    "worker has sent it, then Stripe tells of another": Case(
        "MON-08, MON-18", sent, SENT, MADE_TWICE, ("True", "processed"),
        "platform_revenue 450, stripe -450",
    ),
    "Stripe tells of one, then worker has sent another": Case(
        "MON-08, MON-18", sent, MADE_TWICE, SENT, ("processed", "True"),
        "platform_revenue 450, stripe -450",
    ),
    "dispute, then account is set": Case(
        "MON-14", without_account, DISPUTED, ACCOUNT, ("processed", "True"),
        "disputes -1500, mechanic_payable 1050, platform_revenue 450",
    ),
    "account is set, then dispute": Case(
        "MON-14", without_account, ACCOUNT, DISPUTED, ("True", "processed"),
        "disputes -1500, mechanic_payable 1050, platform_revenue 450",
    ),
    "review is closed, then account is set": Case(
        "MON-14, MON-20", in_review, REVIEWED, ACCOUNT, ("1", "True"),
        "mechanic_payable 980, platform_revenue 420, stripe -1400",
    ),
    "account is set, then review is closed": Case(
        "MON-14, MON-20", in_review, ACCOUNT, REVIEWED, ("True", "1"),
        "mechanic_payable 980, platform_revenue 420, stripe -1400",
    ),
    "another refund at Stripe, then review is closed": Case(
        "MON-08, MON-20", in_review, REFUNDED_TOO, REVIEWED, ("processed", "2"),
        "mechanic_payable 840, platform_revenue 360, stripe -1200",
    ),
    "review is closed, then another refund at Stripe": Case(
        "MON-08, MON-20", in_review, REVIEWED, REFUNDED_TOO, ("1", "processed"),
        "mechanic_payable 840, platform_revenue 360, stripe -1200",
    ),
    "review is closed, then dispute is won": Case(
        "MON-14, MON-20", reviewed_and_disputed, REVIEWED, WON, ("1", "processed"),
        "mechanic_payable 980, platform_revenue 420, stripe -1400",
    ),
    "dispute is won, then review is closed": Case(
        "MON-14, MON-20", reviewed_and_disputed, WON, REVIEWED, ("processed", "1"),
        "mechanic_payable 980, platform_revenue 420, stripe -1400",
    ),
    "review is closed, then dispute": Case(
        "MON-14, MON-20", in_review, REVIEWED, DISPUTED, ("1", "processed"),
        "disputes -1500, mechanic_payable 980, platform_revenue 420, stripe 100",
    ),
    "dispute, then review is closed": Case(
        "MON-14, MON-20", in_review, DISPUTED, REVIEWED, ("processed", "1"),
        "disputes -1500, mechanic_payable 980, platform_revenue 420, stripe 100",
    ),
    "dispute is won, then account is set": Case(
        "MON-14", disputed_without_account, WON, ACCOUNT, ("processed", "True"),
        "mechanic_payable 1050, platform_revenue 450, stripe -1500",
    ),
    "account is set, then dispute is won": Case(
        "MON-14", disputed_without_account, ACCOUNT, WON, ("True", "processed"),
        "mechanic_payable 1050, platform_revenue 450, stripe -1500",
    ),
    "payouts are sent, then dispute": Case(
        "MON-14", due, SUBMISSION, DISPUTED, ("1", "processed"),
        "disputes -1500, mechanic_payable 1050, platform_revenue 450",
    ),
    "payouts are sent, then refund": Case(
        "MON-14, MON-15", due, SUBMISSION, refunds("a", 300), ("1", "300"),
        "mechanic_payable 840, platform_revenue 360, refund_clearing 300, stripe -1500",
    ),
    # quotes
    "approved, then declined": Case(
        "MON-16", quoted, decides(True), decides(False), ("approved", "quote_already_decided"),
        "mechanic_payable 2050, platform_revenue -550, stripe -1500",
    ),
    "declined, then approved": Case(
        "MON-16", quoted, decides(False), decides(True), ("declined", "quote_already_decided"),
        "mechanic_payable 1050, platform_revenue 450, stripe -1500",
    ),
    "approved, then approved": Case(
        "MON-16", quoted, decides(True), decides(True), ("approved", "approved"),
        "mechanic_payable 2050, platform_revenue -550, stripe -1500",
    ),
    "proposed, then proposed": Case(
        "MON-16", ended, QUOTE, QUOTE, ("escalated", "quote_already_open"),
        "mechanic_payable 1050, platform_revenue 450, stripe -1500",
    ),
    "declined, then proposed again": Case(
        "MON-16", quoted, decides(False), QUOTE, ("declined", "escalated"),
        "mechanic_payable 1050, platform_revenue 450, stripe -1500",
    ),
    "approved, then proposed again": Case(
        "MON-16", quoted, decides(True), QUOTE, ("approved", "quote_already_decided"),
        "mechanic_payable 2050, platform_revenue -550, stripe -1500",
    ),
    "approved, then confirmed": Case(
        "MON-16", quoted, decides(True), CONFIRMED, ("approved", "approved"),
        "mechanic_payable 2050, platform_revenue -550, stripe -1500",
    ),
    "confirmed, then confirmed": Case(
        "MON-16", approved, CONFIRMED, CONFIRMED, ("approved", "approved"),
        "mechanic_payable 2050, platform_revenue -550, stripe -1500",
    ),
    "confirmed, then dispute": Case(
        "MON-14, MON-16", approved, CONFIRMED, DISPUTED, ("approved", "processed"),
        "disputes -1500, mechanic_payable 2050, platform_revenue -550",
    ),
    "dispute, then confirmed": Case(
        "MON-14, MON-16", approved, DISPUTED, CONFIRMED, ("processed", "approved"),
        "disputes -1500, mechanic_payable 2050, platform_revenue -550",
    ),
    "confirmed, then refund at Stripe": Case(
        "MON-08, MON-16", approved, CONFIRMED, REFUNDED, ("approved", "processed"),
        "mechanic_payable 1770, platform_revenue -670, stripe -1100",
    ),
    "refund at Stripe, then confirmed": Case(
        "MON-08, MON-16", approved, REFUNDED, CONFIRMED, ("processed", "approved"),
        "mechanic_payable 1770, platform_revenue -670, stripe -1100",
    ),
}  # fmt: skip


@pytest.fixture
def world(shared_world: PooledWorld) -> PooledWorld:
    shared_world.call("system", "set_setting", p_key="presence_timeout_seconds", p_value=86400)
    return shared_world


def given(step: Step, connection: Connection, scene: Money) -> list[Row]:
    """The answer, once a serialisation failure, of which nothing is kept, has been repeated."""
    try:
        return step.on(connection, scene)
    except psycopg.errors.SerializationFailure:
        return step.on(connection, scene)


def interleaved(
    world: PooledWorld, scene: Money, first: Step, second: Step
) -> tuple[Answer, Answer]:
    early = first.by_caller(world, scene, autocommit=False)
    late = second.by_caller(world, scene)
    one = attempt(lambda: first.on(early, scene))
    try:
        with behind(world, late, lambda: given(second, late, scene)) as later:
            early.commit()
            return one, attempt(lambda: later.result(timeout=10))
    finally:
        early.rollback()


def in_turn(world: PooledWorld, scene: Money, first: Step, second: Step) -> tuple[Answer, Answer]:
    one = attempt(lambda: first.on(first.by_caller(world, scene), scene))
    return one, attempt(lambda: second.on(second.by_caller(world, scene), scene))


def play(world: PooledWorld, case: Case) -> None:
    start = world.now()
    scene = case.scene(world)
    first, second = case.first(world), case.second(world)
    got = interleaved(world, scene, first, second)
    assert (told(got[0]), told(got[1])) == case.answers, case.proves
    assert balances(world, scene) == case.money
    here = left(world, scene)

    world.clock_at(start)
    twin = case.scene(world)
    in_turn(world, twin, first, second)
    assert left(world, twin) == here
    assert world.rows("select * from public.ledger_invariants(%s)", start) == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_second_waits_and_the_outcome_is_serial(world: PooledWorld, case: Case) -> None:
    """MON-05 to MON-20: each case says what it proves."""
    play(world, case)


# Who waits for nobody ----------------------------------------------------------------------------


def unhindered(world: PooledWorld, scene: Money, step: Step) -> list[Row]:
    """The answer of one who may wait for nobody: it fails as soon as he does."""
    connection = step.by_caller(world, scene)
    with meanwhile(lambda: step.on(connection, scene)) as later:
        wait_until_blocked_or_done(world, connection, later)
        if not later.done():
            connection.cancel_safe()
            raise AssertionError(f"{step} waits")
    return later.result()


def claimed_topics(world: PooledWorld, scene: Money) -> list[str]:
    """But for what follows every end."""
    topics = [row["topic"] for row in unhindered(world, scene, CLAIM(world))]
    return [topic for topic in topics if topic not in ("crm.track", "livekit.delete_room")]


def test_who_submits_payouts_skips_one_that_is_being_refunded(world: PooledWorld) -> None:
    """MON-14, MON-15: it waits for nobody, and sends what is left as soon as it can."""
    scene = due(world)
    refund, submit = refunds("a", 300)(world), SUBMISSION(world)
    early = refund.by_caller(world, scene, autocommit=False)
    refund.on(early, scene)
    assert unhindered(world, scene, submit) == [{"submitted": 0}]
    early.commit()
    assert unhindered(world, scene, submit) == [{"submitted": 1}]
    sent = world.row(
        "select payload ->> 'amount' as cents from private.outbox where topic = 'stripe.transfer'"
    )
    assert sent == {"cents": "840"}


def test_who_claims_skips_a_transfer_whose_payout_is_being_refunded(world: PooledWorld) -> None:
    """MON-15, MON-18: the claim waits for no refund, and has the transfer before its reversal."""
    scene = due(world)
    world.rows("select private.submit_payouts(100)")
    refund = refunds("a", 300)(world)
    early = refund.by_caller(world, scene, autocommit=False)
    refund.on(early, scene)
    assert claimed_topics(world, scene) == []
    early.commit()
    assert sorted(claimed_topics(world, scene)) == ["stripe.refund", "stripe.transfer"]


def test_who_claims_skips_a_refund_that_a_refund_at_stripe_displaces(world: PooledWorld) -> None:
    """MON-08, MON-18: what is no longer to be sent is not sent meanwhile."""
    scene = to_be_refunded(world)
    holder = world.borrow("system", autocommit=False)
    holder.execute(
        "select 1 from private.payments where payment_intent_id = %s for no key update",
        [f"pi_{scene.token}"],
    )
    event = REFUNDED(world)
    connection = event.by_caller(world, scene)
    with behind(world, connection, lambda: event.on(connection, scene)):
        claimed = claimed_topics(world, scene)
        holder.commit()
    assert claimed == []
    assert balances(world, scene) == "stripe -1100, unapplied 1100"


def test_who_claims_skips_an_abandoned_row_in_other_hands(world: PooledWorld) -> None:
    """MON-18: burying what its worker left waits for nobody, and comes to it later."""
    scene = sent(world)
    world.execute("update private.outbox set attempts = 12 where id = %s", scene.of["row"]["id"])
    world.advance(61)
    holder = world.borrow("system", autocommit=False)
    holder.execute("select 1 from private.outbox for no key update")
    assert claimed_topics(world, scene) == []
    holder.commit()
    assert claimed_topics(world, scene) == ["support.alert"]
    assert status_of(world, scene) == "needs_reconciliation"


def skips_what_is_held(world: PooledWorld, table: str, function: str) -> None:
    scene = due(world)
    world.execute(
        "update private.outbox set status = 'done', done_at = private.clock()"
        " where topic = 'crm.track' and status = 'pending'"
    )
    empty = Statement(
        "system", function, lambda _: {}, f"select private.{function}('infinity', 100) as emptied"
    )
    holder = world.borrow("system", autocommit=False)
    holder.execute(f"select 1 from private.{table} for no key update".encode())
    assert unhindered(world, scene, empty) == [{"emptied": 0}]
    holder.commit()
    assert unhindered(world, scene, empty)[0]["emptied"] > 0


def test_who_empties_effects_skips_one_in_other_hands(world: PooledWorld) -> None:
    """TIME-07, MON-18: forgetting what was sent waits for nobody, and comes to it later."""
    skips_what_is_held(world, "outbox", "empty_outbox")


def test_who_empties_events_skips_one_in_other_hands(world: PooledWorld) -> None:
    """TIME-07, MON-04: forgetting what Stripe told waits for nobody, and comes to it later."""
    skips_what_is_held(world, "stripe_events", "empty_stripe_events")


# Whoever wants several rows takes them in one order ----------------------------------------------


def status_of(world: World, scene: Money) -> str:
    found = world.row("select status from public.payouts where id = %s", scene.of["payout"])
    return str(found["status"])


QUEUES = {
    # The row of the outbox comes before the payout.
    "refund, then its transfer is revived": (
        "MON-15, MON-18", refused_for_good, "payout", refunds("a", 300), REQUEUED, "submitted",
    ),
    "transfer is revived, then refund": (
        "MON-15, MON-18", refused_for_good, "payout", REQUEUED, refunds("a", 300), "submitted",
    ),
    "found at Stripe, then worker has sent it": (
        "MON-18, MON-20", tried_again, "payout", settles("paid"), SENT, "paid",
    ),
    "worker has sent it, then found at Stripe": (
        "MON-18, MON-20", tried_again, "payout", SENT, settles("paid"), "paid",
    ),
    # Who is paid comes before the rows of the outbox.
    "dispute, then account is set": (
        "MON-14, MON-18", refused_twice, "row", DISPUTED, ACCOUNT, "failed",
    ),
    "account is set, then dispute": (
        "MON-14, MON-18", refused_twice, "row", ACCOUNT, DISPUTED, "failed",
    ),
    # The row of the outbox comes before the payment.
    "Stripe says failed, then worker": (
        "MON-08, MON-18", partly_refunded, "payment", FAILED, answers("failed"), "pending",
    ),
    "worker says failed, then Stripe": (
        "MON-08, MON-18", partly_refunded, "payment", answers("failed"), FAILED, "pending",
    ),
}  # fmt: skip


_HELD: dict[str, LiteralString] = {
    "payout": "select from public.payouts where id = %s for no key update",
    "payment": "select from private.payments where id = %s for no key update",
    "row": "select from private.outbox where id = %s for no key update",
}


@pytest.mark.parametrize("case", QUEUES.values(), ids=QUEUES)
def test_two_who_queue_for_a_row_do_not_hold_what_the_other_needs(
    world: PooledWorld, case: tuple[str, SceneOf, str, StepOf, StepOf, str]
) -> None:
    """MON-08, MON-15, MON-18, MON-20: both wait for a third one, and both come through."""
    proves, scene_of, of, one, other, status = case
    scene = scene_of(world)
    holder = world.borrow("system", autocommit=False)
    key = scene.of[of]
    holder.execute(_HELD[of], [key["id"] if of == "row" else key])
    steps = [step(world) for step in (one, other)]
    with ExitStack() as waiting:
        queue = []
        for step in steps:
            connection = step.by_caller(world, scene)
            call = partial(step.on, connection, scene)
            queue.append(waiting.enter_context(behind(world, connection, call)))
        holder.commit()
        got = [told(attempt(partial(later.result, timeout=10))) for later in queue]
    assert not {"deadlock detected"} & set(got), proves
    assert status_of(world, scene) == status


@pytest.mark.parametrize(
    ("status", "step"),
    [("pending", DISPUTED), ("account", ACCOUNT), ("account", UPDATED), ("review", REVIEWED)],
    ids=["dispute", "account is set", "account is updated", "review is closed"],
)
def test_payouts_are_taken_in_the_order_of_their_ids(
    world: PooledWorld, status: str, step: StepOf
) -> None:
    """MON-14: who blocks or unblocks several payouts at once, and waits for one of them, holds the
    lesser ones, whatever he wants them for."""
    scene = of_one_session(world)
    if status != "pending":
        world.execute(
            "update public.payouts set status = 'blocked', blocked_by = %s where session_id = %s",
            status,
            scene.id,
        )
    holder = world.borrow("system", autocommit=False)
    holder.execute(
        "select 1 from public.payouts where session_id = %s and kind = 'session' for update",
        [scene.id],
    )
    hand = step(world)
    connection = hand.by_caller(world, scene)
    with behind(world, connection, lambda: hand.on(connection, scene)):
        free = world.rows(
            "select kind from public.payouts where session_id = %s for update skip locked", scene.id
        )
        holder.commit()
    assert free == []


@pytest.mark.parametrize("steps", [(SENT, MADE_TWICE), (MADE_TWICE, SENT)])
def test_a_second_transfer_is_told_of_whoever_tells_of_it(
    world: PooledWorld, steps: tuple[StepOf, StepOf]
) -> None:
    """MON-08: that a payout was sent twice does not depend on who comes first."""
    scene = sent(world)
    first, second = (step(world) for step in steps)
    interleaved(world, scene, first, second)
    subjects = [
        row["subject"]
        for row in world.rows(
            "select payload ->> 'subject' as subject from private.outbox"
            " where topic = 'support.alert'"
        )
    ]
    assert subjects == ["A payout was sent twice"]
