"""How many scripts are played, how long they are, and under which rules."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from properties.machine import Lifecycle
from properties.model import Rules
from properties.money_machine import MoneyLife
from properties.money_model import MoneyRules
from properties.money_player import MoneyPlayer
from properties.player import Player

RULES = {
    "as shipped": Rules(),
    "billed by presence": Rules(
        billable_basis="both_present",
        max_active_sessions_per_mechanic=2,
        unattended_after_minutes=30,
    ),
    "nervous": Rules(
        presence_timeout_seconds=5,
        reconnect_grace_seconds=3,
        chat_reconnect_grace_seconds=20,
        min_billable_seconds=10,
        no_show_after_seconds=4,
        preferred_mechanic_window_seconds=0,
        warning_minutes=(44, 29, 5),
    ),
    "patient": Rules(
        presence_timeout_seconds=3600,
        reconnect_grace_seconds=0,
        chat_reconnect_grace_seconds=7200,
        billable_basis="both_present",
        warning_minutes=(5, 1, 60),
    ),
}
MONEY_RULES = {
    "money as shipped": MoneyRules(),
    "money at once": MoneyRules(
        payout_delay_minutes=0,
        max_session_minutes=60,
        mechanic_share_bps=3333,
        referral_fee_bps=1234,
        dispute_loss_bps=10000,
        min_billable_seconds=1,
    ),
}
# Of one round, and the steps of a script: some thousands of calls.
SCRIPTS = 30
STEPS = 40
# A step of money is several calls, and each looks at every account.
MONEY_SCRIPTS = 14
MONEY_STEPS = 30


def play(player: Player, rules: Rules, scripts: int, number: int, *, shrink: bool = True) -> None:
    """Plays scripts; the same number gives the same ones. One that fails is shortened first."""

    class Playing(Lifecycle):
        def __init__(self) -> None:
            super().__init__(player, rules)

    _run(Playing, scripts, STEPS, number, shrink)


def play_money(
    player: MoneyPlayer, rules: MoneyRules, scripts: int, number: int, *, shrink: bool = True
) -> None:
    """The same for lives that are paid."""

    class Playing(MoneyLife):
        def __init__(self) -> None:
            super().__init__(player, rules)

    _run(Playing, scripts, MONEY_STEPS, number, shrink)


def _run(
    machine: type[RuleBasedStateMachine], scripts: int, steps: int, number: int, shrink: bool
) -> None:
    run_state_machine_as_test(
        seed(number)(machine),
        settings=settings(
            database=None,
            deadline=None,
            max_examples=scripts,
            stateful_step_count=steps,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
            print_blob=False,
            report_multiple_bugs=False,
        ),
    )
