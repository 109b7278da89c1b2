"""Starts, watches and ends the parts of a local stack.

One object owns them all: the database cluster and the API process. Whatever happens (a failed
start, Ctrl-C, a part that dies), it ends what it started. While it lives it holds a lock in the
stack's folder, so a state file left behind by a crash is never mistaken for a running stack and
never leads to a signal to somebody else's process.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psycopg

from taximeter.stack.api import Api, probe
from taximeter.stack.postgres import Cluster, PostgresError, push_migrations
from taximeter.stack.settings import Keys, Settings, StackError, load_keys, write_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

WATCH_SECONDS = 1.0
HEALTH_EVERY = 10
FAILURES_UNTIL_DEAD = 3
DETACHED_START_SECONDS = 60.0
STOP_SECONDS = 30.0
LOCK_SECONDS = 0.5
LOG_LINES = 15


class PartDiedError(StackError):
    """A part of the stack ended although nobody asked it to."""

    def __init__(self, part: str, reason: str, log: Path) -> None:
        super().__init__(f"The {part} died: {reason}", f"Its log is {log}.")
        self.part = part


@dataclass(frozen=True, slots=True)
class State:
    """What another shell needs to know about a stack."""

    phase: str
    pid: int
    api_url: str = ""
    api_pid: int | None = None
    database_url: str = ""
    database_port: int | None = None
    started_at: float = 0.0
    message: str = ""
    hint: str = ""


def _silent(_: str) -> None:
    return


class Stack:
    """The parts of one stack. Use it as a context manager, or call `start` and `stop`."""

    def __init__(self, settings: Settings, say: Callable[[str], None] = _silent) -> None:
        self.settings = settings
        self._say = say
        self._parts = ExitStack()
        self._cluster: Cluster | None = None
        self._api: Api | None = None
        # Kept apart from the cluster, which no longer tells them when its server has died.
        self._database_url = ""
        self._database_port: int | None = None
        self.keys: Keys | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def cluster(self) -> Cluster:
        if self._cluster is None:
            raise StackError("The stack is not running.", "Start it with `taximeter up`.")
        return self._cluster

    @property
    def api(self) -> Api:
        if self._api is None:
            raise StackError("The stack is not running.", "Start it with `taximeter up`.")
        return self._api

    @property
    def url(self) -> str:
        return self.api.url

    @property
    def publishable_key(self) -> str:
        if self.keys is None:
            raise StackError("The stack is not running.", "Start it with `taximeter up`.")
        return self.keys.publishable

    @property
    def database_url(self) -> str:
        return self._database_url

    def start(self) -> None:
        """Brings everything up, or nothing: what was started is ended again when a part fails."""
        settings = self.settings
        settings.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        try:
            self._take_lock()
            self._write_state("starting")
            try:
                self._start_parts()
            except PostgresError as error:
                hint = "`taximeter doctor` tells what is missing, `taximeter reset` starts anew."
                raise StackError(str(error), hint) from error
            self._write_state("ready")
        except BaseException as error:
            self._parts.close()
            self._cluster = self._api = None
            if isinstance(error, StackError) and not isinstance(error, AlreadyRunningError):
                self._write_state("failed", error)
            raise

    def stop(self) -> None:
        """Ends the parts in reverse order; harmless when nothing runs."""
        self._parts.close()
        self._cluster = self._api = None

    def check(self, *, thorough: bool = True) -> None:
        """Raises `PartDiedError` when a part is gone or, if thorough, no longer answers."""
        reason = self.api.died()
        if reason is not None:
            raise PartDiedError("API", reason, self.settings.api_log)
        if not self.cluster.is_running:
            raise PartDiedError("database", _last_words(self.cluster.log), self.cluster.log)
        if not thorough:
            return
        try:
            with psycopg.connect(self.cluster.url(), connect_timeout=5) as connection:
                connection.execute("select 1")
        except psycopg.Error as error:
            raise PartDiedError("database", str(error).strip(), self.cluster.log) from error
        silent = [part for part, well in self.api.health().items() if not well]
        if silent:
            raise PartDiedError("API", f"no answer from {', '.join(silent)}", self.settings.api_log)

    def watch(self, ended: threading.Event) -> None:
        """Returns when `ended` is set, raises `PartDiedError` when a part is gone for good."""
        rounds = failures = 0
        while not ended.wait(WATCH_SECONDS):
            rounds += 1
            try:
                self.check(thorough=rounds % HEALTH_EVERY == 0 or failures > 0)
                failures = 0
            except PartDiedError as error:
                failures += 1
                # A part that is only slow gets another chance, one whose process ended does not.
                exists = self.api.died() is None and self.cluster.is_running
                if exists and failures < FAILURES_UNTIL_DEAD:
                    continue
                self._write_state("failed", error)
                raise

    def _take_lock(self) -> None:
        lock = self._parts.enter_context(self.settings.lock_file.open("a"))
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                # Somebody who only looks holds it for a moment.
                if time.monotonic() > deadline:
                    raise AlreadyRunningError(self.settings) from error
                time.sleep(0.02)
            else:
                return

    def _start_parts(self) -> None:
        settings = self.settings
        self.keys = load_keys(settings.keys_file)
        self._say("Starting the database")
        cluster = Cluster(
            settings.cluster_directory, port=settings.database_port, cron=settings.cron
        )
        self._parts.callback(cluster.stop)
        cluster.start()
        self._cluster = cluster
        self._database_url, self._database_port = cluster.url(), cluster.port
        self._say_port("database", settings.database_port, cluster.port)

        self._say("Applying the migrations")
        push_migrations(cluster.url(), settings.project)

        self._say("Starting the API")
        api = Api(
            rest_database_url=cluster.url(user="stack_rest"),
            auth_database_url=cluster.url(user="supabase_auth_admin"),
            keys=self.keys,
            port=settings.api_port,
            max_body_bytes=settings.max_body_bytes,
            log=settings.api_log,
        )
        self._parts.callback(api.stop)
        api.start()
        self._api = api
        self._say_port("API", settings.api_port, api.port)
        self.check()

    def _say_port(self, part: str, asked: int | None, got: int | None) -> None:
        if asked and asked != got:
            self._say(f"Port {asked} is taken, the {part} uses {got} instead")

    def _write_state(self, phase: str, error: StackError | None = None) -> None:
        state = State(
            phase=phase,
            pid=os.getpid(),
            api_url=self._api.url if self._api else "",
            api_pid=self._api.pid if self._api else None,
            database_url=self._database_url,
            database_port=self._database_port,
            started_at=time.time(),
            message=error.message if error else "",
            hint=error.hint if error else "",
        )
        write_private(self.settings.state_file, json.dumps(asdict(state)))


def _last_words(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        lines = []
    return "its server has ended, its last words:\n" + "\n".join(lines)


class AlreadyRunningError(StackError):
    """The folder's lock is held by a stack that runs."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            f"A stack is already running in {settings.directory}.",
            "`taximeter status` shows it, `taximeter down` ends it.",
        )


def is_running(settings: Settings) -> bool:
    """Whether a supervisor holds the folder's lock."""
    if not settings.lock_file.exists():
        return False
    with settings.lock_file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def read_state(settings: Settings) -> State | None:
    """What the last supervisor wrote, or None when there never was one."""
    try:
        fields: dict[str, Any] = json.loads(settings.state_file.read_text())
        return State(**fields)
    except (OSError, ValueError, TypeError):
        return None


def parts_health(settings: Settings, state: State) -> dict[str, bool]:
    """How the parts of a running stack are, asked from any shell."""
    well = {"database": True}
    try:
        with psycopg.connect(state.database_url, connect_timeout=5) as connection:
            connection.execute("select 1")
    except psycopg.Error:
        well["database"] = False
    return well | probe(state.api_url, load_keys(settings.keys_file).publishable)


def start_detached(settings: Settings) -> State:
    """Starts a supervisor that goes on after this program, and waits until it is ready."""
    if is_running(settings):
        raise AlreadyRunningError(settings)
    settings.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    settings.state_file.unlink(missing_ok=True)
    arguments = {
        "directory": str(settings.directory),
        "api_port": settings.api_port,
        "database_port": settings.database_port,
    }
    with settings.supervisor_log.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "taximeter.stack.supervisor", json.dumps(arguments)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + DETACHED_START_SECONDS
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        state = read_state(settings)
        if state and state.phase == "ready":
            return state
        if state and state.phase == "failed":
            raise StackError(state.message, state.hint)
        if ended:
            raise StackError(
                f"The stack ended with exit code {process.returncode} before it was ready.",
                f"Its log is {settings.supervisor_log}.",
            )
        time.sleep(0.05)
    process.terminate()
    process.wait(STOP_SECONDS)
    raise StackError(
        f"The stack was not ready after {DETACHED_START_SECONDS:.0f} s.",
        f"Its log is {settings.supervisor_log}.",
    )


def stop_running(settings: Settings) -> bool:
    """Ends the stack of a folder, whoever started it. Says whether there was one."""
    found = is_running(settings)
    if found:
        state = read_state(settings)
        if state is None:
            raise StackError(
                f"A stack runs in {settings.directory}, but its state file is gone.",
                "End the `taximeter` process by hand.",
            )
        os.kill(state.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while is_running(settings):
            if time.monotonic() > deadline:
                raise StackError(
                    f"The stack (process {state.pid}) did not end in {STOP_SECONDS:.0f} s.",
                    f"Its log is {settings.supervisor_log}.",
                )
            time.sleep(0.05)
    _stop_orphan(settings)
    settings.state_file.unlink(missing_ok=True)
    return found


def _stop_orphan(settings: Settings) -> None:
    """Ends the database that a killed supervisor left behind."""
    if settings.cluster_directory.exists():
        Cluster(settings.cluster_directory, port=settings.database_port).stop()


def remove(settings: Settings) -> None:
    """Deletes a stopped stack: its database, keys and logs."""
    if is_running(settings):
        raise AlreadyRunningError(settings)
    _stop_orphan(settings)
    shutil.rmtree(settings.directory, ignore_errors=True)


def run_until_signalled(settings: Settings, say: Callable[[str], None]) -> None:
    """The whole life of a stack in this process: start, watch, end when asked to."""
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    asked = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    previous = {number: signal.signal(number, end) for number in asked}
    try:
        with Stack(settings, say) as stack:
            say(f"Ready at {stack.url}")
            stack.watch(ended)
            say("Stopping")
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def main() -> int:
    """Runs a supervisor for `start_detached`."""
    arguments: dict[str, Any] = json.loads(sys.argv[1])
    settings = Settings(**arguments | {"directory": Path(arguments["directory"])})

    def log(line: str) -> None:
        sys.stdout.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {line}\n")
        sys.stdout.flush()

    try:
        run_until_signalled(settings, log)
    except StackError as error:
        log(f"{error.message} {error.hint}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
