"""A process that is a part of the stack: started once, ended always.

However the supervisor dies, no part is left behind. A server reads its standard input to its end
and then ends by itself; what does not belongs to a group, whose guard reads it and ends the group.
"""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import time
from typing import IO, TYPE_CHECKING, Any

from taximeter.stack.settings import StackError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

START_SECONDS = 40.0
STOP_SECONDS = 5.0
LOG_LINES = 15


class Process:
    """Owns one process, whose standard error goes to a log of its own."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def stop(self) -> None:
        """Waits for its end, which has been asked for, and enforces it; harmless without one."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()

    def died(self) -> str | None:
        """Why it is gone, or None while it runs."""
        if self._process is None:
            return "it was never started"
        code = self._process.poll()
        if code is None:
            return None
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        lines = self.log_tail()
        return f"{how}, its last words: {lines}" if lines else how

    def log_tail(self) -> str:
        return last_lines(self.log)


class Group:
    """Processes that end together: when asked to, and when whoever made the group ends."""

    def __init__(self) -> None:
        # A group of its own in the same session: Ctrl-C does not reach it.
        self._guard = subprocess.Popen(
            ["sh", "-c", "read -r _; kill -KILL 0"], stdin=subprocess.PIPE, process_group=0
        )

    @property
    def id(self) -> int:
        return self._guard.pid

    def end(self) -> None:
        if self._guard.stdin:
            self._guard.stdin.close()
        self._guard.wait()


class Member(Process):
    """A part that belongs to a group, and ends with it."""

    def launch(self, command: Sequence[str], environment: Mapping[str, str], group: Group) -> None:
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
                process_group=group.id,
            )


class Server(Process):
    """A part that is told its settings and says where it listens, one line of JSON each.

    The settings go by standard input, because arguments and environment can be read by others.
    """

    port: int

    def serve(self, command: Sequence[str], settings: Mapping[str, object]) -> None:
        """Starts it and returns at once; `wait` returns when it listens."""
        with self.log.open("w") as log:
            # Its own session: Ctrl-C reaches the supervisor, which ends the parts in order.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self.tell(settings)

    def stop(self) -> None:
        if self._process and self._process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        super().stop()

    def wait(self) -> None:
        """Returns when it listens; `port` is then the one it got."""
        message = self.hear()
        if message.get("event") != "ready":
            raise StackError(
                f"The {self.name} did not start: {message.get('message', 'no reason given')}",
                f"Its log is {self.log}. `taximeter doctor` tells what is missing.",
            )
        self.port = int(message["port"])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def tell(self, message: Mapping[str, object]) -> None:
        stdin = self._stream("stdin")
        try:
            stdin.write(f"{json.dumps(message)}\n")
            stdin.flush()
        except BrokenPipeError as error:
            raise self._ended() from error

    def hear(self) -> dict[str, Any]:
        """The next line it says."""
        stdout = self._stream("stdout")
        readable, _, _ = select.select([stdout], [], [], START_SECONDS)
        if not readable:
            raise StackError(
                f"The {self.name} was not ready after {START_SECONDS:.0f} s.",
                f"Its log is {self.log}.",
            )
        line = stdout.readline()
        if not line:
            raise self._ended()
        message: dict[str, Any] = json.loads(line)
        return message

    def _ended(self) -> StackError:
        deadline = time.monotonic() + STOP_SECONDS
        while (reason := self.died()) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return StackError(
            f"The {self.name} ended before it was ready: {reason}",
            "Run `make setup`; `taximeter doctor` tells what is missing.",
        )

    def _stream(self, name: str) -> IO[str]:
        stream: IO[str] | None = getattr(self._process, name)
        assert stream is not None, "the process is started with pipes"  # noqa: S101
        return stream


def last_lines(log: Path) -> str:
    """How a log ends, or nothing where there is none."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
    except OSError:
        return ""
