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
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from support.served import stack_folder
from taximeter import doctor
from taximeter.cli import app
from taximeter.stack.postgres import home
from taximeter.stack.settings import Settings
from taximeter.stack.supervisor import AlreadyRunningError, PartDiedError, Stack, is_running

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 15


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


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


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
            assert time.monotonic() - begun < START_SECONDS
            assert stack.api.port != api
            assert stack.cluster.port != database
            assert stack.api.health() == {"rest": True, "auth": True}
            with pytest.raises(AlreadyRunningError):
                Stack(stack.settings).start()
            assert stack.api.health() == {"rest": True, "auth": True}
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
@pytest.mark.parametrize("part", ["API", "database"])
def test_a_part_that_dies_is_named_and_the_others_end(folder: Path, part: str) -> None:
    """STACK-05: which part, why, and nothing stays behind"""
    with Stack(Settings(folder, api_port=0, database_port=None)) as stack:
        server, pid = stack.cluster, stack.api.pid
        assert pid is not None
        if part == "API":
            os.kill(pid, signal.SIGKILL)
        else:
            server.kill()
        with pytest.raises(PartDiedError) as caught:
            stack.watch(threading.Event())
    assert caught.value.part == part
    assert f"The {part} died" in caught.value.message
    assert caught.value.hint.startswith("Its log is")
    assert gone(pid)
    assert not server.is_running


def test_the_keys_are_private_and_stay(folder: Path) -> None:
    """STACK-03: made once for each stack, readable by its owner only"""
    settings = Settings(folder, api_port=0, database_port=None)
    with Stack(settings) as stack:
        first = stack.keys
    assert first is not None
    assert stat.S_IMODE(settings.keys_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.state_file.stat().st_mode) == 0o600
    assert len({first.publishable, first.secret, first.jwt_secret}) == 3
    with Stack(settings) as stack:
        assert stack.keys == first


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
        assert facts["parts"] == {"database": True, "rest": True, "auth": True}
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
    assert gone(facts["pid"])
    assert run(folder, "status").returncode == 3
    assert run(folder, "down").returncode == 0


@pytest.mark.slow
def test_a_supervisor_that_was_killed_leaves_nothing_that_down_cannot_end(folder: Path) -> None:
    """STACK-05: the API ends by itself, the database with the next `down`"""
    facts = json.loads(run(folder, "up", "--detach", "--json").stdout)
    settings = Settings(folder / "stack")
    api = json.loads(settings.state_file.read_text())["api_pid"]
    os.kill(facts["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 10
    while not (gone(facts["pid"]) and gone(api)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert gone(api)
    assert run(folder, "status").returncode == 3
    assert run(folder, "down").returncode == 0
    postmaster = settings.cluster_directory / "data" / "postmaster.pid"
    assert not postmaster.exists()


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
            *("stripe.transfer of 14.00", "sum │ 0.00", "nothing has changed"),
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
