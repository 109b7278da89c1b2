"""Where clients wait while the server is down and while what they did is looked at."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

PATIENCE_SECONDS = 60.0


class OverError(Exception):
    """The play is over: the client goes home."""


class Gate:
    """Opens again and again. Whoever has lost the server waits for the next opening."""

    def __init__(self, clients: int) -> None:
        self._clients = clients
        self._changed = threading.Condition()
        self._opening = 0
        self.backends: set[int] = set()
        self._waiting = 0
        self._is_over = False
        self._failure: BaseException | None = None

    # clients

    def next(self, last: int) -> int:
        """Waits for an opening after this one."""
        with self._changed:
            # Who comes for the first time may find it open.
            if self._opening == last:
                self._waiting += 1
                self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_over or self._opening > last)
            if self._is_over:
                raise OverError
            return self._opening

    def check_in(self) -> None:
        """Sends home whoever is still at work when the play is over."""
        if self._is_over:
            raise OverError

    def ready(self, backend: int) -> None:
        """Says that this client is connected: only who is connected notices a kill."""
        with self._changed:
            self.backends.add(backend)
            self._changed.notify_all()

    def fail(self, failure: BaseException) -> None:
        with self._changed:
            self._failure = self._failure or failure
            self._changed.notify_all()

    # who kills

    def open(self) -> None:
        """Lets the clients in, and waits until each is connected."""
        with self._changed:
            self._opening += 1
            self._waiting = 0
            self.backends.clear()
            self._changed.notify_all()
            self._wait(lambda: len(self.backends) == self._clients, "connected")

    def wait_until_all_are_lost(self) -> None:
        with self._changed:
            self._wait(lambda: self._waiting == self._clients, "lost the server")

    def load(self, seconds: float) -> None:
        """Lets the clients work."""
        with self._changed:
            self._changed.wait_for(lambda: self._failure is not None, timeout=seconds)
            self._check()

    def load_until(self, is_enough: Callable[[], bool]) -> None:
        """Lets the clients work until they have done enough."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_enough():
            assert time.monotonic() < deadline, "the clients have not done enough"
            self.load(0.02)

    def close(self) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _wait(self, is_true: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        self._changed.wait_for(
            lambda: self._failure is not None or is_true(), timeout=deadline - time.monotonic()
        )
        self._check()
        assert is_true(), (
            f"{self._waiting} wait, {len(self.backends)} connected: not all have {what}"
        )

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
