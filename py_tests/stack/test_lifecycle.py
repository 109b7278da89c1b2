"""The stack starts, says what is wrong, and always ends what it started (STACK-01, STACK-05)."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from typer.testing import CliRunner

from support.processes import all_gone, command, descendants, gone, until
from support.served import stack_folder
from taximeter import doctor
from taximeter.cli import app
from taximeter.stack.functions import FUNCTIONS
from taximeter.stack.postgres import Cluster, home
from taximeter.stack.settings import Settings, load_keys, write_private
from taximeter.stack.supervisor import AlreadyRunningError, PartDiedError, Stack, is_running

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 15
API_PARTS = {"rest": True, "auth": True, "storage": True}
PARTS = {"database": True, "net": True, "realtime": True, **API_PARTS} | {
    f"functions/{function.name}": True for function in FUNCTIONS
}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, with a home of its own."""
    return subprocess.run(
        [sys.executable, "-m", "taximeter.cli", *arguments],
        env={**os.environ, "TAXIMETER_HOME": str(folder), "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def crowd() -> float:
    """How much longer everything takes, because others use the machine too; 1 when nobody does."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@pytest.fixture
def folder() -> Iterator[Path]:
    with stack_folder() as path:
        yield path


def test_ports_that_are_taken_are_replaced_and_named(folder: Path) -> None:
    """STACK-05, STACK-01: both taken, the stack still starts in time, and says so"""
    said: list[str] = []
    with socket.socket() as one, socket.socket() as other:
        for taken in (one, other):
            taken.bind(("127.0.0.1", 0))
            taken.listen()
        api, database = (taken.getsockname()[1] for taken in (one, other))
        begun = time.monotonic()
        stack = Stack(Settings(folder, api_port=api, database_port=database), said.append)
        with stack:
            assert time.monotonic() - begun < START_SECONDS * crowd()
            assert stack.api.port != api
            assert stack.cluster.port != database
            assert stack.api.health() == API_PARTS
            with pytest.raises(AlreadyRunningError):
                Stack(stack.settings).start()
            assert stack.api.health() == API_PARTS
            pid, server = stack.api.pid, stack.cluster
    assert [line for line in said if "is taken" in line] == [
        f"Port {database} is taken, the database uses {said_port(said, 'database')} instead",
        f"Port {api} is taken, the API uses {said_port(said, 'API')} instead",
    ]
    assert pid is not None
    assert gone(pid)
    assert not server.is_running
    assert not is_running(stack.settings)


def said_port(said: list[str], part: str) -> str:
    (line,) = [line for line in said if f"the {part} uses" in line]
    return line.split()[-2]


@pytest.mark.slow
@pytest.mark.parametrize("part", ["API", "database", "Realtime server", "function health"])
def test_a_part_that_dies_is_named_and_the_others_end(folder: Path, part: str) -> None:
    """STACK-05: which part, why, and nothing stays behind"""
    only = [function for function in FUNCTIONS if function.name == "health"]
    settings = Settings(folder, api_port=0, database_port=None)
    others = descendants(os.getpid())
    with Stack(settings, functions=only) as stack:
        started, server = descendants(os.getpid()) - others, stack.cluster
        pids = {
            "API": stack.api.pid,
            "Realtime server": stack.realtime.pid,
            "function health": stack.functions.parts["health"].pid,
        }
        if part == "database":
            server.kill()
        else:
            pid = pids[part]
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(PartDiedError) as caught:
            stack.watch(threading.Event())
    assert caught.value.part == part
    assert caught.value.message.startswith(f"The {part} died: ")
    if part != "database":
        assert "signal 9" in caught.value.message
    assert caught.value.hint.startswith("Its log is")
    assert all_gone(started)
    assert not server.is_running


@pytest.mark.slow
def test_a_part_that_no_longer_answers_is_named(folder: Path) -> None:
    """STACK-05: it runs, but does nothing any more"""
    only = [function for function in FUNCTIONS if function.name == "health"]
    with Stack(Settings(folder, api_port=0, database_port=None), functions=only) as stack:
        pid = stack.functions.parts["health"].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(PartDiedError, match="The function health died: no answer"):
            stack.check()
    assert gone(pid)


def test_the_keys_are_private_and_stay(folder: Path) -> None:
    """STACK-03: made once for each stack, readable by its owner only"""
    settings = Settings(folder, api_port=0, database_port=None)
    with Stack(settings) as stack:
        first = stack.keys
        pids = descendants(os.getpid())
        shown = "".join(command(pid) for pid in pids)
    assert first is not None
    assert stat.S_IMODE(settings.keys_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.state_file.stat().st_mode) == 0o600
    assert not [key for key in asdict(first).values() if key in shown]
    assert len(set(asdict(first).values())) == 6
    assert load_keys(settings.keys_file) == first
    older = {name: key for name, key in asdict(first).items() if not name.startswith("cron")}
    write_private(settings.keys_file, json.dumps(older))
    grown = load_keys(settings.keys_file)
    assert older.items() < asdict(grown).items()
    assert load_keys(settings.keys_file) == grown


@pytest.mark.slow
def test_the_command_line_from_up_to_down(folder: Path) -> None:
    """CLI-01, STACK-05, MOV-01: up, status, db url, verify, health, psql, down, each by itself"""
    down = run(folder, "status", "--json")
    assert (down.returncode, json.loads(down.stdout)["running"]) == (3, False)
    assert run(folder, "db", "url").returncode == 3

    up = run(folder, "up", "--detach", "--json")
    try:
        assert up.returncode == 0, up.stderr
        facts = json.loads(up.stdout)
        assert facts["parts"] == PARTS
        status = json.loads(run(folder, "status", "--json").stdout)
        assert status == facts
        assert run(folder, "db", "url").stdout.strip() == facts["db_url"]
        count = run(folder, "psql", "--", "-XAtc", "select count(*) from public.plans")
        assert (count.returncode, count.stdout.strip()) == (0, "3")
        verify = json.loads(run(folder, "verify", "--json").stdout)
        assert [section["status"] for section in verify["sections"]] == ["ok"] * 11
        assert run(folder, "health").returncode == 0
        grant = run(folder, "admin", "grant", "nobody@example.com")
        assert grant.returncode == 1
        assert "Nobody has signed up as nobody@example.com" in grant.stderr
        again = run(folder, "up", "--detach", "--json")
        assert (again.returncode, json.loads(again.stdout)["pid"]) == (0, facts["pid"])
    finally:
        ended = run(folder, "down")
    assert ended.returncode == 0
    # It gives up its lock in its last moments.
    until(lambda: gone(facts["pid"]), 5)
    assert run(folder, "status").returncode == 3
    assert run(folder, "down").returncode == 0


@pytest.mark.slow
def test_a_supervisor_that_was_killed_leaves_nothing_behind(folder: Path) -> None:
    """STACK-05: every part notices, the database too, and the next start finds its way free"""
    facts = json.loads(run(folder, "up", "--detach", "--json").stdout)
    settings = Settings(folder / "stack")
    server = Cluster(settings.cluster_directory)
    started = descendants(facts["pid"])
    assert len(started) >= len(FUNCTIONS) + 3
    assert server.is_running
    os.kill(facts["pid"], signal.SIGKILL)
    until(lambda: all_gone(started) and not server.is_running)
    assert run(folder, "status").returncode == 3
    assert run(folder, "up", "--detach").returncode == 0
    assert run(folder, "down").returncode == 0
    assert not server.is_running


@pytest.mark.slow
def test_up_ends_with_an_error_that_names_the_part(folder: Path) -> None:
    """STACK-05: which part and why, on the screen and in the exit code; `status` tells it too"""
    up = subprocess.Popen(
        [sys.executable, "-m", "taximeter.cli", "up", "--json"],
        env={**os.environ, "TAXIMETER_HOME": str(folder), "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert up.stdout is not None
    while up.stdout.readline() not in {"}\n", ""}:
        pass
    started = descendants(up.pid)
    (dispatcher,) = [pid for pid in started if "/dispatch-outbox/index.ts" in command(pid)]
    os.kill(dispatcher, signal.SIGKILL)
    _, printed = up.communicate(timeout=60)
    assert up.returncode == 1
    assert "The function dispatch-outbox died: signal 9" in printed
    assert all_gone(started)
    status = run(folder, "status")
    assert status.returncode == 3
    assert "The function dispatch-outbox died: signal 9" in status.stderr


@pytest.mark.slow
def test_an_effect_wakes_the_dispatcher(folder: Path) -> None:
    """MON-19: from a commit in the database over net and the gateway to who is told, unasked"""
    told: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=receiver.serve_forever)
    thread.start()
    settings = Settings(
        folder,
        api_port=0,
        database_port=None,
        # Without its jobs, nobody but the new row can have woken it.
        cron=False,
        functions_environment={"CRM_WEBHOOK_URL": f"http://127.0.0.1:{receiver.server_port}/"},
    )
    only = [function for function in FUNCTIONS if function.name == "dispatch-outbox"]
    try:
        with (
            Stack(settings, functions=only) as stack,
            psycopg.connect(stack.database_url, autocommit=True) as connection,
        ):
            connection.execute("select private.enqueue('crm.track', 'test:1', '{\"is\": 1}')")
            until(lambda: bool(told))
            status = "select status from private.outbox where key = 'test:1'"
            until(lambda: connection.execute(status).fetchone() == ("done",))
    finally:
        receiver.shutdown()
        thread.join()
        receiver.server_close()
    assert [(effect["key"], effect["payload"]) for effect in told] == [("test:1", {"is": 1})]


@pytest.mark.slow
def test_the_demo_plays_twice(folder: Path) -> None:
    """CLI-01, STACK-01: from nothing, by hand, by the clock, for money, and nothing is left"""
    for _ in range(2):
        played = run(folder, "demo")
        assert played.returncode == 0, played.stderr
        printed = " ".join(played.stdout.split())
        for line in (
            *("accepted", "started", "completed", "role_required", "session_not_found"),
            "2 in this demo's own database",
            *("session:reconnecting", "absent_role mechanic", "session:resumed"),
            *("minutes 5", "minutes 1", "session:ended", "get_active_session has 0 rows"),
            "private.clock() is the database's own again",
            *("14.00 at Stripe by tr_", "sum │ 0.00", "both heard the same", "nothing has changed"),
        ):
            assert line in printed, line
        assert list(folder.iterdir()) == []


def test_doctor_tells_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLI-01: everything is there on this machine; what is missing is named with its remedy"""
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    findings = json.loads(result.output)
    assert all(finding["remedy"] for finding in findings if not finding["ok"])

    monkeypatch.setenv("PATH", str(home()))
    monkeypatch.setattr(doctor, "LITE", "0.0.0")
    missing = {finding.name: finding for finding in doctor.examine() if not finding.ok}
    assert {"Node.js", "psql", "@supabase/lite"} <= set(missing)
    assert CliRunner().invoke(app, ["doctor"]).exit_code == 4
