"""A private PostgreSQL server that looks like Supabase, and the way migrations get into it.

The server listens on loopback only, trusts whoever can reach it, and keeps its data in a folder of
its own: it is for development and tests. It never looks at another server of the machine.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql

CHECKOUT = Path(__file__).resolve().parents[3]
PLATFORM = CHECKOUT / "sql" / "platform"
EXPOSED_FORM_ENDS_AT = "10_current_default_privileges.sql"
SUPERUSER = "supabase_admin"
START_ATTEMPTS = 5

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "'127.0.0.1'",
    # Loopback TCP only: a socket's path would have to be short, and nothing needs one.
    "unix_socket_directories": "''",
    "max_connections": "200",
    "wal_level": "logical",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "row_security": "on",
    "password_encryption": "'scram-sha-256'",
    # The data is disposable, so nothing waits for the disk. Commits stay synchronous: a server that
    # is killed must not lose what it acknowledged, or crash tests would prove nothing.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "log_line_prefix": "'%m [%p] %q%u@%d '",
}
CRON_SETTINGS: Mapping[str, str] = {
    "shared_preload_libraries": "'pg_cron'",
    "cron.database_name": "'postgres'",
    "cron.host": "'127.0.0.1'",
    "cron.log_statement": "off",
}


class PostgresError(RuntimeError):
    """The server could not be prepared, started or migrated; the message says what to do."""


def home() -> Path:
    """The folder for everything the stack writes, created when missing."""
    chosen = os.environ.get("TAXIMETER_HOME")
    if chosen:
        folder = Path(chosen).absolute()
    elif os.geteuid() == 0:
        # The server runs as another user then, who may not be able to enter the checkout.
        folder = Path("/var/tmp") / checkout_name()  # noqa: S108 (owner is checked below)
    else:
        folder = CHECKOUT / ".taximeter"
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    owner = folder.lstat()
    if folder.is_symlink() or owner.st_uid != os.geteuid():
        raise PostgresError(
            f"{folder} belongs to somebody else."
            " Remove it, or set TAXIMETER_HOME to another folder."
        )
    if os.geteuid() == 0:
        folder.chmod(0o711)
    return folder


def checkout_name() -> str:
    """A folder's name that no other checkout has."""
    return f"taximeter-{hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:8]}"


def find_bin_dir() -> Path:
    """The folder with initdb and pg_ctl: the newest Debian one, else the one on PATH."""
    chosen = os.environ.get("TAXIMETER_PG_BIN")
    if chosen:
        return Path(chosen)
    installed = sorted(
        (path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")),
        key=lambda folder: float(folder.parent.name),
    )
    # pg_cron, pgTAP and plpgsql_check are installed for 15, which Supabase and Debian 12 share.
    for folder in installed:
        if folder.parent.name == "15":
            return folder
    if installed:
        return installed[-1]
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    raise PostgresError("PostgreSQL is not installed. Run `make setup` as root.")


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def port_is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def platform_files(*, exposed: bool = False) -> list[Path]:
    """The shim's files in order; `exposed` leaves the old default privileges in force."""
    files = sorted(PLATFORM.glob("*.sql"))
    if not files:
        raise PostgresError(f"The platform shim is missing: {PLATFORM}. Run from a checkout.")
    return [path for path in files if not (exposed and path.name == EXPOSED_FORM_ENDS_AT)]


def apply_platform(url: str, *, exposed: bool = False) -> None:
    """Make the database behind `url`, a connection as supabase_admin, look like Supabase."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("alter database {} owner to postgres").format(
                sql.Identifier(connection.info.dbname)
            )
            if _role_exists(connection, "postgres")
            else sql.SQL("select 1")
        )
        for path in platform_files(exposed=exposed):
            try:
                connection.execute(path.read_bytes())
            except psycopg.Error as error:
                raise PostgresError(f"{path.name}: {error}") from error
            if path.name.startswith("01_"):
                connection.execute(
                    sql.SQL("alter database {} owner to postgres").format(
                        sql.Identifier(connection.info.dbname)
                    )
                )


def _role_exists(connection: psycopg.Connection[Any], name: str) -> bool:
    row = connection.execute("select from pg_roles where rolname = %s", (name,)).fetchone()
    return row is not None


def push_migrations(url: str, project: Path = CHECKOUT, *, seed: bool = False) -> str:
    """Apply `project`/supabase/migrations by the real `supabase db push`; returns what it printed.

    `seed` applies supabase/seed.sql too, when its text is not what was applied before.

    The CLI writes into its project and its home, so it gets a copy of what it reads and a home of
    its own.
    """
    command_line = CHECKOUT / "node_modules" / ".bin" / "supabase"
    if not command_line.exists():
        raise PostgresError("The Supabase CLI is not installed. Run `make setup`.")
    with tempfile.TemporaryDirectory(prefix="taximeter-push-") as scratch:
        copy = Path(scratch) / "project"
        source = project / "supabase"
        (copy / "supabase").mkdir(parents=True)
        shutil.copytree(source / "migrations", copy / "supabase" / "migrations")
        for name in ("config.toml", "seed.sql"):
            if (source / name).exists():
                shutil.copy(source / name, copy / "supabase" / name)
        finished = subprocess.run(
            [
                *(str(command_line), "db", "push", f"--remote={url}", "--yes"),
                *(("--include-seed",) if seed else ()),
            ],
            cwd=copy,
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": scratch,
                "DO_NOT_TRACK": "1",
                "SUPABASE_TELEMETRY_DISABLED": "1",
                "NO_COLOR": "1",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    printed = finished.stdout + finished.stderr
    if finished.returncode != 0:
        raise PostgresError(f"supabase db push failed:\n{printed.strip()}")
    return printed


class Cluster:
    """One server in one folder. It survives the process that starts it: who starts it stops it."""

    def __init__(
        self,
        directory: Path,
        port: int | None = None,
        bin_dir: Path | None = None,
        cron: bool = True,
    ) -> None:
        self.directory = directory.absolute()
        self.requested_port = port
        self.bin_dir = bin_dir if bin_dir is not None else find_bin_dir()
        self.cron = cron and self._has_library("pg_cron")
        self._port: int | None = None

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
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def log(self) -> Path:
        return self.directory / "postgres.log"

    @property
    def port(self) -> int:
        if self._port is None:
            running = self._running_port()
            if running is None:
                raise PostgresError(f"The server in {self.directory} is not running.")
            self._port = running
        return self._port

    @property
    def is_running(self) -> bool:
        return self._running_port() is not None

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def start(self) -> None:
        """Start the server; a new one is initialised and prepared first."""
        running = self._running_port()
        if running is not None:
            self._port = running
            return
        self._make_folder()
        ready = self.directory / "ready"
        if not ready.exists():
            # Without the mark an earlier preparation was interrupted: nobody has used that data.
            shutil.rmtree(self.data, ignore_errors=True)
            self._initialise()
        self._start_server()
        if not ready.exists():
            try:
                apply_platform(self.url(user=SUPERUSER))
            except BaseException:
                self.stop()
                raise
            ready.touch()

    def stop(self, mode: str = "fast") -> None:
        self._port = None
        if self._running_port() is None:
            return
        try:
            self._run("pg_ctl", "stop", "-D", str(self.data), "-m", mode, "-w", "-t", "60")
        except PostgresError:
            # Somebody else, a guard for example, has been faster.
            if self.is_running:
                raise

    def guard(self) -> subprocess.Popen[bytes]:
        """A process that stops the server when its standard input ends.

        The server survives who starts it. With a guard it ends with the holder of that pipe,
        however that one ends.
        """
        return subprocess.Popen(
            [
                *("sh", "-c", 'read -r _; exec "$0" stop -D "$1" -m fast -w -t 60'),
                *(str(self.bin_dir / "pg_ctl"), str(self.data)),
            ],
            cwd=self.directory,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **_identity(),
        )

    def kill(self) -> None:
        """End the server as a power cut of its process would, for crash tests."""
        pid = self._pid()
        self._port = None
        if pid is None:
            return
        os.kill(pid, signal.SIGQUIT)
        deadline = time.monotonic() + 30
        while _is_alive(pid):
            if time.monotonic() > deadline:
                raise PostgresError(f"The server {pid} does not end.")
            time.sleep(0.02)

    def destroy(self) -> None:
        """Stop the server and remove its folder."""
        self.stop(mode="immediate")
        shutil.rmtree(self.directory, ignore_errors=True)

    def create_database(self, name: str, template: str | None = None) -> None:
        create_database(self.url(user=SUPERUSER), name, template)

    def drop_database(self, name: str) -> None:
        drop_database(self.url(user=SUPERUSER), name)

    def _has_library(self, name: str) -> bool:
        finished = (
            subprocess.run(
                [str(self.bin_dir / "pg_config"), "--pkglibdir"],
                capture_output=True,
                text=True,
                check=False,
            )
            if (self.bin_dir / "pg_config").exists()
            else None
        )
        folder = (
            Path(finished.stdout.strip())
            if finished is not None and finished.returncode == 0
            else self.bin_dir.parent / "lib" / "postgresql"
        )
        return (folder / f"{name}.so").exists()

    def _make_folder(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            account = _server_account()
            os.chown(self.directory, account.pw_uid, account.pw_gid)
        self.directory.chmod(0o700)

    def _initialise(self) -> None:
        self._run(
            "initdb",
            *("-D", str(self.data), "-U", SUPERUSER, "-A", "trust"),
            *("-E", "UTF8", "--locale=C.UTF-8", "-N"),
        )
        settings = {**SETTINGS, **(CRON_SETTINGS if self.cron else {})}
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def _start_server(self) -> None:
        for attempt in range(START_ATTEMPTS):
            wanted = self.requested_port if attempt == 0 else None
            port = wanted if wanted is not None and port_is_free(wanted) else free_port()
            before = self.log.stat().st_size if self.log.exists() else 0
            try:
                self._run(
                    "pg_ctl",
                    *("start", "-D", str(self.data), "-l", str(self.log)),
                    *("-o", f"-p {port}", "-w", "-t", "60"),
                )
            except PostgresError:
                said = self._log_from(before)
                if "Address already in use" in said or "could not bind" in said:
                    continue
                raise PostgresError(f"PostgreSQL did not start:\n{said.strip()}") from None
            self._port = port
            return
        raise PostgresError("PostgreSQL found no free port on 127.0.0.1.")

    def _log_from(self, offset: int) -> str:
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(offset)
            return file.read().decode(errors="replace")

    def _pid(self) -> int | None:
        lines = self._pid_file()
        if lines is None:
            return None
        pid = int(lines[0])
        return pid if _is_alive(pid) else None

    def _running_port(self) -> int | None:
        lines = self._pid_file()
        if lines is None or len(lines) < 4 or not _is_alive(int(lines[0])):
            return None
        return int(lines[3])

    def _pid_file(self) -> list[str] | None:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return None
        # A pid that another program has got meanwhile is not our server.
        if not lines or len(lines) < 2 or Path(lines[1]) != self.data:
            return None
        return lines

    def _run(self, program: str, *arguments: str) -> None:
        # pg_ctl leaves the server behind with the streams it was given: a pipe would never close.
        with tempfile.TemporaryFile() as output:
            finished = subprocess.run(
                [str(self.bin_dir / program), *arguments],
                cwd=self.directory,
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                timeout=120,
                check=False,
                **_identity(),
            )
            output.seek(0)
            said = output.read().decode(errors="replace").strip()
        if finished.returncode != 0:
            raise PostgresError(f"{program} failed ({finished.returncode}):\n{said}")


def create_database(admin_url: str, name: str, template: str | None = None) -> None:
    """Create a database that postgres owns: a clone's public schema would else be closed to it.

    Its files are copied as they are, which is less work than to log every page of them.
    """
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} template {} owner {} strategy file_copy").format(
                sql.Identifier(name),
                sql.Identifier(template or "template0"),
                sql.Identifier("postgres" if _role_exists(connection, "postgres") else SUPERUSER),
            )
        )


def drop_database(admin_url: str, name: str) -> None:
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
        )


def fingerprint(paths: Iterable[Path]) -> str:
    """A short hash of the files' names and contents."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def remove_everything() -> None:
    """End every server under `home()` and remove what they wrote."""
    folder = home()
    for pid_file in sorted(folder.glob("**/data/postmaster.pid")):
        Cluster(pid_file.parents[1]).destroy()
    # A folder that somebody chose may hold more than ours.
    if not os.environ.get("TAXIMETER_HOME"):
        shutil.rmtree(folder, ignore_errors=True)


def _identity() -> dict[str, Any]:
    """Whom the server's programs run as, as arguments for a new process."""
    if os.geteuid() != 0:
        return {}
    account = _server_account()
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _server_account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        raise PostgresError(
            "PostgreSQL refuses to run as root and there is no user `postgres`. Run `make setup`."
        ) from None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, IndexError):
        return True
    return state != "Z"
