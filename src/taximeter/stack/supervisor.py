"""Starts, watches and ends the parts of a local stack.

One object owns them all: the database cluster, the API with its gateway, Realtime, the edge
functions and the delivery of what the database sends. Whatever happens (a failed start, Ctrl-C, a
part that dies), it ends what it started; should it be killed itself, each part notices and ends.
While it lives it holds a lock in the stack's folder, so a state file left behind by a crash is
never mistaken for a running stack and never leads to a signal to somebody else's process.
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
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx
import psycopg

from taximeter.stack import functions as edge
from taximeter.stack import net
from taximeter.stack.api import Api, probe
from taximeter.stack.postgres import Cluster, PostgresError, push_migrations
from taximeter.stack.process import Server, last_lines
from taximeter.stack.settings import Keys, Settings, StackError, load_keys, write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType, TracebackType

Part = TypeVar("Part")

WATCH_SECONDS = 1.0
HEALTH_EVERY = 10
FAILURES_UNTIL_DEAD = 3
DETACHED_START_SECONDS = 90.0
STOP_SECONDS = 30.0
LOCK_SECONDS = 0.5
HEALTH_SECONDS = 5.0


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
    realtime_url: str = ""
    functions: dict[str, str] = field(default_factory=dict)
    started_at: float = 0.0
    message: str = ""
    hint: str = ""


def _silent(_: str) -> None:
    return


class Stack:
    """The parts of one stack. Use it as a context manager, or call `start` and `stop`."""

    def __init__(
        self,
        settings: Settings,
        say: Callable[[str], None] = _silent,
        *,
        functions: Sequence[edge.Function] = edge.FUNCTIONS,
    ) -> None:
        self.settings = settings
        self._say = say
        self._table = functions
        self._parts = ExitStack()
        self._cluster: Cluster | None = None
        self._api: Api | None = None
        self._realtime: Server | None = None
        self._functions: edge.Functions | None = None
        self._net: net.Delivery | None = None
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
        return _running(self._cluster)

    @property
    def api(self) -> Api:
        return _running(self._api)

    @property
    def realtime(self) -> Server:
        return _running(self._realtime)

    @property
    def functions(self) -> edge.Functions:
        return _running(self._functions)

    @property
    def net(self) -> net.Delivery:
        return _running(self._net)

    @property
    def url(self) -> str:
        return self.api.url

    @property
    def publishable_key(self) -> str:
        return _running(self.keys).publishable

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
            self.stop()
            if isinstance(error, StackError) and not isinstance(error, AlreadyRunningError):
                self._write_state("failed", error)
            raise

    def stop(self) -> None:
        """Ends the parts in reverse order; harmless when nothing runs."""
        self._parts.close()
        self._cluster = self._api = self._realtime = self._functions = self._net = None

    def check(self, *, thorough: bool = True) -> None:
        """Raises `PartDiedError` when a part is gone or, if thorough, no longer answers."""
        for died in self._gone():
            raise died
        if thorough:
            for died in self._silent():
                raise died

    def _gone(self) -> Iterator[PartDiedError]:
        """The parts that have ended, the one that others depend on first."""
        if not self.cluster.is_running:
            words = f"its server has ended, its last words:\n{last_lines(self.cluster.log)}"
            yield PartDiedError("database", words, self.cluster.log)
        processes = (self.realtime, *self.functions.parts.values())
        for part, died, log in (
            ("API", self.api.died, self.settings.api_log),
            *((process.name, process.died, process.log) for process in processes),
            ("net delivery", self.net.died, self.settings.supervisor_log),
        ):
            reason = died()
            if reason is not None:
                yield PartDiedError(part, reason, log)

    def _silent(self) -> Iterator[PartDiedError]:
        """The parts that run but do not answer."""
        try:
            with psycopg.connect(self.cluster.url(), connect_timeout=5) as connection:
                connection.execute("select 1")
        except psycopg.Error as error:
            yield PartDiedError("database", str(error).strip(), self.cluster.log)
        silent = [part for part, well in self.api.health().items() if not well]
        if silent:
            reason = f"no answer from {', '.join(silent)}"
            yield PartDiedError("API", reason, self.settings.api_log)
        if not _realtime_is_well(self.realtime.url):
            yield PartDiedError(self.realtime.name, "no answer", self.realtime.log)
        for name, well in _functions_health(self.functions.urls).items():
            if not well:
                part = self.functions.parts[name]
                yield PartDiedError(part.name, "no answer", part.log)

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
                if failures < FAILURES_UNTIL_DEAD and not any(self._gone()):
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
        # What a supervisor that was killed has left may be about to be stopped by its guard.
        cluster.stop()
        cluster.start()
        self._parts.callback(_release, cluster.guard())
        self._cluster = cluster
        self._database_url, self._database_port = cluster.url(), cluster.port
        self._say_port("database", settings.database_port, cluster.port)

        self._say("Applying the migrations and starting the API, Realtime and the edge functions")
        with ThreadPoolExecutor(max_workers=1) as beside:
            # Nothing that starts meanwhile looks at what the migrations make.
            migrated = beside.submit(
                push_migrations, cluster.url(), settings.project, seed=settings.seed
            )
            api = self._start_api(cluster, self.keys)
            environment = self._start_behind(cluster, api, self.keys)
            migrated.result()
        with psycopg.connect(cluster.url()) as connection:
            # Unless somebody has been quick enough to ask the API on a port it had before.
            connection.execute("notify pgrst, 'reload schema'")

        # With these the database wakes the dispatcher, as in a project that has set them.
        _keep_in_vault(
            cluster.url(),
            {"project_url": api.url, "dispatch_secret": environment["DISPATCH_SECRET"]},
        )
        delivery = net.Delivery(cluster.url())
        self._parts.callback(delivery.stop)
        delivery.start()
        self._net = delivery
        self.check()

    def _start_api(self, cluster: Cluster, keys: Keys) -> Api:
        settings = self.settings
        api = Api(
            rest_database_url=cluster.url(user="stack_rest"),
            auth_database_url=cluster.url(user="supabase_auth_admin"),
            storage_database_url=cluster.url(user="supabase_storage_admin"),
            storage_directory=settings.storage_directory,
            keys=keys,
            port=settings.api_port,
            max_body_bytes=settings.max_body_bytes,
            max_upload_bytes=settings.max_upload_bytes,
            log=settings.api_log,
        )
        self._parts.callback(api.stop)
        api.start()
        self._api = api
        self._say_port("API", settings.api_port, api.port)
        return api

    def _start_behind(self, cluster: Cluster, api: Api, keys: Keys) -> Mapping[str, str]:
        """Starts what the API passes requests on to; returns what the functions are told."""
        settings = self.settings
        environment = {
            **edge.platform_environment(api.url, keys.publishable, keys.secret),
            "DISPATCH_SECRET": keys.dispatch_secret,
            "CRON_SECRET": keys.cron_secret,
            "HEALTH_SECRET": keys.health_secret,
            **edge.own_environment(settings.functions_directory / ".env"),
            **settings.functions_environment,
        }
        functions = edge.Functions(
            self._table, settings.functions_directory, settings.functions_logs
        )
        realtime = Server("Realtime server", settings.realtime_log)
        self._parts.callback(functions.stop)
        self._parts.callback(realtime.stop)
        functions.start(environment, settings.project / "deno.lock")
        realtime.serve(
            [sys.executable, "-m", "taximeter.stack.realtime"],
            {
                "database_url": cluster.url(user="stack_realtime"),
                "jwt_secret": keys.jwt_secret,
                "publishable_key": keys.publishable,
                "secret_key": keys.secret,
                "port": 0,
            },
        )
        realtime.wait()
        functions.wait()
        self._functions, self._realtime = functions, realtime
        api.route(functions.urls, realtime.url)
        return environment

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
            realtime_url=self._realtime.url if self._realtime else "",
            functions=self._functions.urls if self._functions else {},
            started_at=time.time(),
            message=error.message if error else "",
            hint=error.hint if error else "",
        )
        write_private(self.settings.state_file, json.dumps(asdict(state)))


def _running(part: Part | None) -> Part:
    if part is None:
        raise StackError("The stack is not running.", "Start it with `taximeter up`.")
    return part


def _release(guard: subprocess.Popen[bytes]) -> None:
    """Lets the guard of the database do its work now."""
    if guard.stdin:
        guard.stdin.close()
    guard.wait()


def _keep_in_vault(database_url: str, secrets: Mapping[str, str]) -> None:
    with psycopg.connect(database_url) as connection:
        for name, secret in secrets.items():
            connection.execute("delete from vault.secrets where name = %s", (name,))
            connection.execute("select vault.create_secret(%s, %s)", (secret, name))


def _realtime_is_well(url: str) -> bool:
    try:
        answer = httpx.get(f"{url}/health", timeout=HEALTH_SECONDS, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.is_success


def _functions_health(urls: Mapping[str, str]) -> dict[str, bool]:
    with ThreadPoolExecutor(max_workers=max(1, len(urls))) as pool:
        return dict(zip(urls, pool.map(edge.answers, urls.values()), strict=True))


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
    well = {"database": True, "net": False}
    try:
        with psycopg.connect(state.database_url, connect_timeout=5) as connection:
            well["net"] = connection.execute(net.IS_CONNECTED).fetchone() is not None
    except psycopg.Error:
        well["database"] = False
    well |= probe(state.api_url, load_keys(settings.keys_file).publishable)
    well["realtime"] = _realtime_is_well(state.realtime_url)
    functions = _functions_health(state.functions)
    return well | {f"functions/{name}": ok for name, ok in functions.items()}


def start_detached(settings: Settings) -> State:
    """Starts a supervisor that goes on after this program, and waits until it is ready."""
    if is_running(settings):
        raise AlreadyRunningError(settings)
    settings.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    settings.state_file.unlink(missing_ok=True)
    with settings.supervisor_log.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "taximeter.stack.supervisor"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    # By standard input: it may hold secrets, and arguments can be read by others.
    if process.stdin:
        with process.stdin as stdin:
            stdin.write(json.dumps(asdict(settings), default=str))
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
    told: dict[str, Any] = json.load(sys.stdin)
    paths = {name: Path(told[name]) for name in ("directory", "project")}
    settings = Settings(**told | paths)

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
