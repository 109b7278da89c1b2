"""Paid lives against a model of every account: random commands of people, Stripe and workers.

Checkouts and their proofs, credit, extensions, refunds, disputes, quotes, payouts and everything
that can go wrong with them. The model says what every account holds, after every step. `make fuzz`
plays new scripts. A failure prints the shortest script found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from properties.model import ADMIN, MECHANICS, SYSTEM
from properties.money_machine import MoneyLife
from properties.money_model import MoneyRules
from properties.money_player import MoneyPlayer
from properties.player import BrokenError
from properties.running import MONEY_RULES, MONEY_SCRIPTS, play_money
from support.database import Database
from support.world import World


@pytest.fixture
def player(db: Database) -> Iterator[MoneyPlayer]:
    with World(db) as world:
        yield MoneyPlayer(world)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "number"), [(name, n) for n, name in enumerate(MONEY_RULES)])
def test_every_cent_is_where_the_model_says(player: MoneyPlayer, name: str, number: int) -> None:
    """MON-01, MON-02, MON-03, MON-12, MON-13, MON-15: balances, earnings, payouts, refunds and
    states after every step, and ledger_invariants() empty."""
    print(f"seed {number}, {name}")
    play_money(player, MONEY_RULES[name], MONEY_SCRIPTS, number)
    assert player.calls > MONEY_SCRIPTS * 20


Script = Callable[[MoneyLife], None]


def begin(life: MoneyLife, *, ticks: bool, opening: str = "paid") -> None:
    life.open(policy=(10000, 0), ticks=ticks, accounts=MECHANICS, opening=opening, plan="video15")


def propose_a_repair_after_the_last_minute(life: MoneyLife) -> None:
    begin(life, ticks=False)
    life.pass_time(3600)
    life.play(MECHANICS[0], "escalate_quote", 1, amount=1999)


def lose_a_dispute_of_money_that_the_session_never_used(life: MoneyLife) -> None:
    begin(life, ticks=True)
    life.extend(minutes=30, how="too much", recorded=False, proof="intent", after=60.0)
    life.pass_time(90)
    life.play(SYSTEM, "end_session_with_semantics", 1)
    life.dispute(of=0, part=None, told="now")
    life.close_a_dispute(status="lost")
    assert life.model.payouts["session 1"].status == "pending"
    life.work(answers=["done"], after=90000.0)
    assert life.model.payouts["session 1"].status == "paid"


def take_back_more_than_was_sent(life: MoneyLife) -> None:
    begin(life, ticks=True, opening="paid out")
    life.refund(of=0, over=True, key="a", amount=1000, who=ADMIN)
    life.play(ADMIN, "set_setting", setting="dispute_loss_bps", value=10000)
    life.dispute(of=0, part=None, told="now")
    life.close_a_dispute(status="lost")
    life.dispute(of=1, part=None, told="now")
    life.close_a_dispute(status="lost")
    life.work(answers=["done"], after=0.0)


def take_back_after_a_transfer_was_refused(life: MoneyLife) -> None:
    begin(life, ticks=True, opening="paid out")
    life.refund_at_stripe(of=0, part=None, when="now")
    life.outside_is_down(of=0, times=12, ambiguous=False)
    life.close_a_review()
    life.refund_at_stripe(of=1, part=None, when="now")


def give_back_at_stripe_what_became_credit(life: MoneyLife) -> None:
    begin(life, ticks=False, opening="completed")
    life.refund(of=0, over=True, key="a", amount=None, who=ADMIN)
    life.outside_is_down(of=0, times=12, ambiguous=False)
    life.settle_a_payment(action="to_credit")
    life.refund_at_stripe(of=0, part=None, when="now")


# Scripts that found something, or that chance finds only now and then.
KNOWN: dict[str, Script] = {
    "a repair is proposed though nobody has written the end down": (
        propose_a_repair_after_the_last_minute
    ),
    "a lost dispute of unused money keeps no payout back": (
        lose_a_dispute_of_money_that_the_session_never_used
    ),
    "no more of a transfer is asked back than was sent": take_back_more_than_was_sent,
    "of a refused transfer nothing is asked back": take_back_after_a_transfer_was_refused,
    "credit in place of a refund is taken back": give_back_at_stripe_what_became_credit,
}


@pytest.mark.parametrize("script", KNOWN)
def test_a_known_script(player: MoneyPlayer, script: str) -> None:
    """MON-03, MON-08, MON-14, MON-15, MON-16, TIME-03: held against the model, step by step."""
    life = MoneyLife(player, MoneyRules())
    KNOWN[script](life)
    life.teardown()


# A function, what it says, and what it would say if somebody had got it wrong.
MISTAKES = {
    "a share is rounded up": (
        "private.split(integer, boolean, boolean, boolean, integer, integer, integer, integer)",
        "p_held_cents::bigint * p_share_bps / 10000;",
        "(p_held_cents::bigint * p_share_bps + 9999) / 10000;",
    ),
    "a part that goes back is rounded up": (
        "private.part_of(integer, bigint, integer)",
        "p_part * p_refunded / p_kept",
        "(p_part * p_refunded + p_kept - 1) / p_kept",
    ),
    "a small payment goes back as credit": (
        "private.give_back(public.sessions, text, integer)",
        "v_part > 0",
        "v_part > 500",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(player: MoneyPlayer, mistake: str) -> None:
    """TEST-03: a database that gets a cent wrong does not pass for long."""
    function, right, wrong = MISTAKES[mistake]
    found = player.connection.execute(
        "select pg_get_functiondef(%s::regprocedure) as text", (function,)
    ).fetchone()
    assert found is not None
    assert right in found["text"], f"{function} has been rewritten: write another mistake"
    player.connection.execute(found["text"].replace(right, wrong).encode())
    with pytest.raises((BrokenError, ExceptionGroup)):
        play_money(player, MONEY_RULES["money at once"], 200, 0, shrink=False)
