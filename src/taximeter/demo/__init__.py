"""The demo: three sessions on a stack of its own, which it brings up and removes again.

`first_session` plays one from sign-up to its end as people see it; `fast_clock` lets half an hour
pass in seconds, to show what happens when nobody does anything; `paid_session` shows where the
money of one goes, and that it stays there however often Stripe tells of it. Everything happens over
HTTP and websockets, with the official clients and each person's own token. Over the database are
done only what an operator does there in production, the fast clock, what pg_cron would do
meanwhile, and the looks at the ledger and the outbox.
"""

from __future__ import annotations

import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.panel import Panel
from supabase import FunctionsError, PostgrestAPIError

from taximeter.demo import fast_clock, first_session, paid_session
from taximeter.demo.outside import Outside
from taximeter.demo.stage import Stage
from taximeter.stack import supervisor
from taximeter.stack.postgres import home
from taximeter.stack.settings import Settings, StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

FAILED_BY_SIGNAL = 143


def demo_settings(outside: Outside) -> Settings:
    """A folder of its own, so that the developer's stack and data stay as they are."""
    return replace(Settings(), directory=home() / "demo", functions_environment=outside.environment)


def run(console: Console, say: Callable[[str], None], *, wait_seconds: int = 3) -> None:
    """Plays the demo from nothing and leaves nothing behind."""
    if wait_seconds <= first_session.MIN_BILLABLE_SECONDS:
        raise StackError(
            f"The session must be live for more than {first_session.MIN_BILLABLE_SECONDS} s."
        )
    begun = time.monotonic()
    # A demo that is told to end still ends what it started.
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(FAILED_BY_SIGNAL))
    try:
        with Outside() as outside, _stack(demo_settings(outside), say) as stack:
            console.print(
                Panel.fit(
                    f"PostgreSQL at {stack.database_url}\n"
                    f"REST, Auth, Storage, Realtime and the edge functions at {stack.url}\n"
                    f"up in {time.monotonic() - begun:.1f} s",
                    title="Taximeter",
                )
            )
            stage = Stage(console, stack)
            cast = first_session.play(stage, wait_seconds)
            fast_clock.play(stage, cast)
            paid_session.play(stage, cast, outside)
    except PostgrestAPIError as error:
        raise StackError(
            f"The API answered {error.code} {error.message}.",
            f"{error.details or ''} {error.hint or ''}".strip(),
        ) from error
    except FunctionsError as error:
        raise StackError(
            f"An edge function answered: {error.message}", "Please report this."
        ) from error
    finally:
        signal.signal(signal.SIGTERM, previous)
    say("Everything the demo started has ended, and its database is removed.")


@contextmanager
def _stack(settings: Settings, say: Callable[[str], None]) -> Iterator[supervisor.Stack]:
    """A stack from nothing, of which nothing is left."""
    # What a demo that was killed left behind; a running one keeps its folder and is told.
    supervisor.remove(settings)
    try:
        with supervisor.Stack(settings, say) as stack:
            yield stack
    finally:
        if not supervisor.is_running(settings):
            supervisor.remove(settings)
