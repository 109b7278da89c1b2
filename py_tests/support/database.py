"""Where tests get their databases from (TEST-02).

One server a run: a container, an embedded cluster, or one that TAXIMETER_TEST_DB names. The process
that was started by hand owns it; pytest-xdist's workers find it through a file in the run's folder.
Databases are cloned from a migrated template, which is built once, by whoever needs it first.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import psycopg
from filelock import FileLock
from psycopg.rows import DictRow, dict_row

from support.missing import need
from taximeter.stack.postgres import (
    CHECKOUT,
    SUPERUSER,
    Cluster,
    apply_platform,
    checkout_name,
    create_database,
    drop_database,
    home,
    push_migrations,
)

CHOICE = "TAXIMETER_TEST_DB"
LOCK_TIMEOUT_SECONDS = 300
MEMORY = Path("/dev/shm")  # noqa: S108 (`home` checks who owns its folder)
MEMORY_BYTES = 2 * 1024**3
TEMPLATE = "taximeter_template"
EXPOSED_TEMPLATE = "taximeter_template_exposed"
PLATFORM_TEMPLATE = "taximeter_platform"


class Provider(Protocol):
    """A throw-away server whose superuser supabase_admin needs no password."""

    def start(self) -> tuple[str, int]: ...

    def stop(self) -> None: ...


class EmbeddedServer:
    """A cluster of this machine's PostgreSQL in the run's folder."""

    def __init__(self, directory: Path) -> None:
        self.cluster = Cluster(directory)

    def start(self) -> tuple[str, int]:
        self.cluster.start()
        return "127.0.0.1", self.cluster.port

    def stop(self) -> None:
        self.cluster.destroy()


class GivenServer:
    """A server somebody else runs; only databases of our own names are made on it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"postgres", "postgresql"} or parts.hostname is None:
            raise ValueError(f"{CHOICE} must be container, embedded or a PostgreSQL URL: {url}")
        self.address = parts.hostname, parts.port or 5432

    def start(self) -> tuple[str, int]:
        return self.address

    def stop(self) -> None:
        return None


def choose() -> str:
    """`container`, `embedded` or a URL: what was asked for, else what the machine can do."""
    chosen = os.environ.get(CHOICE)
    if chosen:
        return chosen
    from support.container import engine_host

    return "embedded" if engine_host() is None else "container"


def provider(choice: str, folder: Path) -> Provider:
    if choice == "embedded":
        return EmbeddedServer(folder / "db")
    if choice == "container":
        from support.container import ContainerServer

        return ContainerServer()
    return GivenServer(choice)


@dataclass(frozen=True)
class Server:
    """The running server, as every process of the run sees it."""

    folder: Path
    kind: str
    host: str
    port: int

    @classmethod
    def read(cls, folder: Path) -> Server:
        return cls(folder=folder, **json.loads((folder / "server.json").read_text()))

    def write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "server.json").write_text(
            json.dumps({"kind": self.kind, "host": self.host, "port": self.port})
        )

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgresql://{user}@{self.host}:{self.port}/{database}?sslmode=disable"

    def described(self) -> str:
        with psycopg.connect(self.url(user=SUPERUSER)) as connection:
            version = connection.info.parameter_status("server_version")
        return f"PostgreSQL {version}, {self.kind} at {self.host}:{self.port}"

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        with FileLock(self.folder / f"{name}.lock", timeout=LOCK_TIMEOUT_SECONDS):
            yield

    def need(self, extension: str) -> None:
        """Skip the test where the server does not have the extension to offer."""
        with psycopg.connect(self.url(user=SUPERUSER), autocommit=True) as connection:
            found = connection.execute(
                "select from pg_available_extensions where name = %s", (extension,)
            ).fetchone()
        need(extension, is_there=found is not None, from_where="this PostgreSQL comes without it")

    def exists(self, database: str) -> bool:
        with psycopg.connect(self.url(user=SUPERUSER), autocommit=True) as connection:
            row = connection.execute(
                "select from pg_database where datname = %s", (database,)
            ).fetchone()
        return row is not None

    def has_platform(self, database: str) -> bool:
        with psycopg.connect(self.url(database, SUPERUSER), autocommit=True) as connection:
            row = connection.execute("select from pg_namespace where nspname = 'auth'").fetchone()
        return row is not None

    def platform_template(self) -> str:
        """A database with the shim and without our migrations."""
        return self._template(PLATFORM_TEMPLATE, exposed=False, migrated=False)

    def template(self, *, exposed: bool = False) -> str:
        """A migrated database; `exposed` has the platform's old default privileges."""
        name = EXPOSED_TEMPLATE if exposed else TEMPLATE
        return self._template(name, exposed=exposed, migrated=True)

    def migrated_postgres(self) -> str:
        """The one database in which pg_cron runs."""
        ready = self.folder / "postgres.ready"
        with self.lock("postgres"):
            if not ready.exists():
                if not self.has_platform("postgres"):
                    apply_platform(self.url(user=SUPERUSER))
                push_migrations(self.url())
                ready.touch()
        return "postgres"

    def clone(self, template: str) -> Database:
        name = f"taximeter_test_{secrets.token_hex(6)}"
        create_database(self.url(user=SUPERUSER), name, template)
        return Database(self, name)

    def _template(self, name: str, *, exposed: bool, migrated: bool) -> str:
        run_name = f"{name}_{self.folder.name.replace('-', '_')}"
        ready = self.folder / f"{name}.ready"
        if ready.exists():
            return run_name
        # Roles are made with the first database of a server, so templates are built one at a time.
        with self.lock("template"):
            if not ready.exists():
                admin = self.url(user=SUPERUSER)
                drop_database(admin, run_name)
                create_database(admin, run_name)
                apply_platform(self.url(run_name, SUPERUSER), exposed=exposed)
                if migrated:
                    push_migrations(self.url(run_name))
                ready.touch()
        return run_name


@dataclass
class Database:
    """One database of one test. is_changed_by_hand: its rows are changed past their events."""

    server: Server
    name: str
    is_changed_by_hand: bool = False
    _open: list[psycopg.Connection[DictRow]] = field(default_factory=list, repr=False)

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def url_for(self, user: str) -> str:
        return self.server.url(self.name, user)

    def connect(
        self, user: str = "postgres", autocommit: bool = True
    ) -> psycopg.Connection[DictRow]:
        connection = psycopg.connect(
            self.url_for(user), autocommit=autocommit, row_factory=dict_row
        )
        self._open.append(connection)
        return connection

    def close(self) -> None:
        """Close every connection the test opened and left open."""
        while self._open:
            with contextlib.suppress(psycopg.Error):
                self._open.pop().close()

    def drop(self) -> None:
        """Drop it; every session that was made in it must be what its events say (MOV-06)."""
        self.close()
        try:
            wrong = [] if self.is_changed_by_hand else self._differing()
        finally:
            drop_database(self.server.url(user=SUPERUSER), self.name)
        assert wrong == [], f"MOV-06: sessions differ from their replay: {wrong}"

    def _differing(self) -> list[dict[str, object]]:
        with psycopg.connect(self.url, row_factory=dict_row) as connection:
            found = connection.execute("select to_regproc('public.verify_replay')").fetchone()
            if found is None or found["to_regproc"] is None:
                return []
            return connection.execute("select * from public.verify_replay()").fetchall()


@dataclass
class Run:
    """One run of pytest: its folder and, in the process that owns it, its server."""

    folder: Path
    _provider: Provider | None = None

    @classmethod
    def begin(cls) -> Run:
        live_in_memory()
        parent = home() / "tests"
        parent.mkdir(mode=0o711, exist_ok=True)
        sweep(parent)
        folder = parent / f"run-{os.getpid()}-{secrets.token_hex(3)}"
        folder.mkdir(mode=0o711)
        return cls(folder)

    def start_server(self) -> Server:
        choice = choose()
        self._provider = provider(choice, self.folder)
        try:
            host, port = self._provider.start()
        except BaseException:
            self.end()
            raise
        kind = choice if choice in {"container", "embedded"} else "given"
        server = Server(self.folder, kind, host, port)
        server.write()
        return server

    def end(self) -> None:
        started, self._provider = self._provider, None
        try:
            if isinstance(started, GivenServer) and (self.folder / "server.json").exists():
                server = Server.read(self.folder)
                for marker in self.folder.glob("taximeter_*.ready"):
                    suffix = self.folder.name.replace("-", "_")
                    drop_database(server.url(user=SUPERUSER), f"{marker.stem}_{suffix}")
        finally:
            if started is not None:
                started.stop()
            shutil.rmtree(self.folder, ignore_errors=True)


def live_in_memory() -> None:
    """Keep what tests write in memory where it has room: a clone is 700 files, and soon gone."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES:
        os.environ.setdefault("TAXIMETER_HOME", str(MEMORY / f"{checkout_name()}-{os.geteuid()}"))


def sweep(parent: Path) -> None:
    """End the servers of runs that were killed before they could do it themselves."""
    for folder in parent.glob("run-*"):
        pid = folder.name.split("-")[1]
        if not Path("/proc", pid).exists():
            for pid_file in sorted(folder.glob("**/data/postmaster.pid")):
                Cluster(pid_file.parents[1]).destroy()
            shutil.rmtree(folder, ignore_errors=True)


def migration_files() -> list[Path]:
    return sorted((CHECKOUT / "supabase" / "migrations").glob("*.sql"))
