"""How many scripts are played, how long they are, and under which rules."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from properties.machine import Lifecycle
from properties.model import Rules
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
# Of one round, and the steps of a script: some thousands of calls.
SCRIPTS = 30
STEPS = 40


def play(player: Player, rules: Rules, scripts: int, number: int, *, shrink: bool = True) -> None:
    """Plays scripts; the same number gives the same ones. One that fails is shortened first."""

    @seed(number)
    class Playing(Lifecycle):
        def __init__(self) -> None:
            super().__init__(player, rules)

    run_state_machine_as_test(
        Playing,
        settings=settings(
            database=None,
            deadline=None,
            max_examples=scripts,
            stateful_step_count=STEPS,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
            print_blob=False,
            report_multiple_bugs=False,
        ),
    )
