"""The demo: three sessions on a stack of its own, which it brings up and removes again.

`first_session` plays one from sign-up to its end as people see it; `fast_clock` lets half an hour
pass in seconds, to show what happens when nobody does anything; `paid_session` shows where the
money of one goes, and that it stays there however often Stripe tells of it. Everything a person
does is done with that person's own token over the API; the operator's part is done over the
database, as in production.
"""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.panel import Panel
from supabase import PostgrestAPIError

from taximeter.demo import fast_clock, first_session, paid_session
from taximeter.demo.stage import Stage
from taximeter.stack import supervisor
from taximeter.stack.postgres import home
from taximeter.stack.settings import Settings, StackError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

FAILED_BY_SIGNAL = 143


def demo_settings() -> Settings:
    """A folder of its own, so that the developer's stack and data stay as they are."""
    return replace(Settings(), directory=home() / "demo")


def run(console: Console, say: Callable[[str], None], *, wait_seconds: int = 3) -> None:
    """Plays the demo from nothing and leaves nothing behind."""
    if wait_seconds <= first_session.MIN_BILLABLE_SECONDS:
        raise StackError(
            f"The session must be live for more than {first_session.MIN_BILLABLE_SECONDS} s."
        )
    settings = demo_settings()
    # What a demo that was killed left behind; a running one keeps its folder and is told.
    supervisor.remove(settings)
    begun = time.monotonic()
    stack = supervisor.Stack(settings, say)
    # A demo that is told to end still ends what it started.
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(FAILED_BY_SIGNAL))
    try:
        with stack:
            ready = time.monotonic() - begun
            console.print(
                Panel.fit(
                    f"PostgreSQL at {stack.database_url}\nREST and Auth at {stack.url}\n"
                    f"up in {ready:.1f} s",
                    title="Taximeter",
                )
            )
            try:
                stage = Stage(console, stack)
                cast = first_session.play(stage, wait_seconds)
                fast_clock.play(stage, cast)
                paid_session.play(stage, cast)
            except PostgrestAPIError as error:
                raise StackError(
                    f"The API answered {error.code} {error.message}.",
                    f"{error.details or ''} {error.hint or ''}".strip(),
                ) from error
    finally:
        signal.signal(signal.SIGTERM, previous)
        if not supervisor.is_running(settings):
            supervisor.remove(settings)
    say("Everything the demo started has ended, and its database is removed.")
