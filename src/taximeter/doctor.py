"""What is missing on this machine, and how to get it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import deno  # type: ignore[import-untyped]

from taximeter.stack.functions import FUNCTIONS, deno_environment
from taximeter.stack.postgres import CHECKOUT, PostgresError, find_bin_dir
from taximeter.stack.settings import API_PORT, DATABASE_PORT

PYTHON = (3, 11)
NODE = 20
POSTGRES = 15
LITE = "0.10.0"
DENO = "2.9.8"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the tool needs: whether it is there, and what to do when it is not."""

    name: str
    ok: bool
    found: str
    remedy: str = ""
    required: bool = True


def _output(*command: str) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip()


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", sys.version_info >= PYTHON, found, "Install Python 3.11 or newer.")


def _node() -> Finding:
    found = _output("node", "--version")
    match = re.match(r"v(\d+)", found)
    ok = match is not None and int(match[1]) >= NODE
    return Finding("Node.js", ok, found or "not found", f"Install Node.js {NODE} or newer.")


def _lite() -> Finding:
    manifest = CHECKOUT / "node_modules" / "@supabase" / "lite" / "package.json"
    try:
        found = str(json.loads(manifest.read_text())["version"])
    except (OSError, ValueError, KeyError):
        found = "not found"
    return Finding("@supabase/lite", found == LITE, found, "Run `make setup`.")


def _deno() -> Finding:
    try:
        found = _output(deno.find_deno_bin(), "--version").partition("\n")[0]
    except FileNotFoundError:
        found = ""
    return Finding("Deno", f" {DENO} " in found, found or "not found", "Run `make setup`.")


def _functions() -> Finding:
    """Whether all that the functions import is in the cache, so that they start offline."""
    folder = CHECKOUT / "supabase" / "functions"
    entries = [str(folder / function.name / "index.ts") for function in FUNCTIONS]
    # The command that loads modules and runs nothing.
    command = ("test", "--no-run", "--no-check", "--cached-only", "--frozen")
    try:
        loaded = subprocess.run(
            [deno.find_deno_bin(), *command, f"--lock={CHECKOUT / 'deno.lock'}", *entries],
            env=deno_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        ok, said = loaded.returncode == 0, loaded.stderr.strip().partition("\n")[0]
    except (OSError, subprocess.TimeoutExpired) as error:
        ok, said = False, str(error)
    found = f"{len(entries)}, with all they import" if ok else said
    return Finding("Edge functions", ok, found, "Run `make setup`.")


def _supabase_cli() -> Finding:
    command = CHECKOUT / "node_modules" / ".bin" / "supabase"
    found = _output(str(command), "--version") if command.exists() else ""
    return Finding("Supabase CLI", bool(found), found or "not found", "Run `make setup`.")


def _postgres_folder() -> Path | None:
    try:
        return find_bin_dir()
    except PostgresError:
        return None


def _postgres(folder: Path | None) -> Finding:
    found = _output(str(folder / "postgres"), "--version") if folder else ""
    match = re.search(r"(\d+)\.", found)
    ok = match is not None and int(match[1]) >= POSTGRES
    remedy = f"Run `make setup` as root, or: apt-get install postgresql-{POSTGRES}"
    return Finding("PostgreSQL server", ok, found or "not found", remedy)


def _extension(folder: Path | None, name: str, package: str, *, required: bool) -> Finding:
    control = None
    if folder:
        share = _output(str(folder / "pg_config"), "--sharedir")
        control = Path(share or f"/usr/share/postgresql/{POSTGRES}") / "extension"
    ok = control is not None and (control / f"{name}.control").exists()
    remedy = f"Run `make setup` as root, or: apt-get install {package}"
    return Finding(name, ok, "installed" if ok else "not found", remedy, required)


def _program(name: str, package: str, *, required: bool) -> Finding:
    # Debian keeps some programs where only root's PATH leads.
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    remedy = f"Run `make setup` as root, or: apt-get install {package}"
    return Finding(name, found is not None, found or "not found", remedy, required)


def _server_user() -> Finding:
    if os.geteuid() != 0:
        return Finding("User of the server", True, "you")
    ok = bool(_output("id", "-u", "postgres"))
    remedy = "PostgreSQL refuses to run as root: create the user, `useradd --system postgres`."
    return Finding("User of the server", ok, "postgres" if ok else "only root", remedy)


def _port(name: str, port: int) -> Finding:
    with socket.socket() as probe:
        probe.settimeout(1)
        free = probe.connect_ex(("127.0.0.1", port)) != 0
    found = f"{port} is {'free' if free else 'taken'}"
    return Finding(name, free, found, "Nothing to do: another port is used.", required=False)


def _docker() -> Finding:
    found = _output("docker", "version", "--format", "{{.Server.Version}}")
    remedy = "Needed only to run the tests in a container: apt-get install docker.io"
    return Finding("Docker engine", bool(found), found or "not reachable", remedy, required=False)


def examine() -> list[Finding]:
    """Everything the tool needs, in the order in which to install it."""
    folder = _postgres_folder()
    return [
        _python(),
        _node(),
        _postgres(folder),
        _server_user(),
        _extension(folder, "pg_cron", f"postgresql-{POSTGRES}-cron", required=True),
        _extension(folder, "pgtap", f"postgresql-{POSTGRES}-pgtap", required=True),
        _extension(folder, "plpgsql_check", f"postgresql-{POSTGRES}-plpgsql-check", required=False),
        _program("psql", "postgresql-client", required=True),
        _program("pg_prove", "libtap-parser-sourcehandler-pgtap-perl", required=False),
        _program("pgbouncer", "pgbouncer", required=False),
        _supabase_cli(),
        _lite(),
        _deno(),
        _functions(),
        _port("Port of the API", API_PORT),
        _port("Port of the database", DATABASE_PORT),
        _docker(),
    ]
