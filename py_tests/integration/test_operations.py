"""The operator's commands, against a day of sessions (CLI-01, and the MOV-* of each test)."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from support import busy_day
from support.world import World
from taximeter import cli
from taximeter.operations import asking, showing
from taximeter.stack.postgres import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.busy_day import Day
    from support.database import Database, Server

PICTURE = CHECKOUT / "docs" / "images" / "health.svg"
WRITE = "TAXIMETER_WRITE_DOCS"
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Finished:
    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str, **environment: str) -> Finished:
    """The command line as a pipe or cron would start it, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in ("FORCE_COLOR", "NO_COLOR"):
            patch.delenv(name, raising=False)
        for name, value in ({"COLUMNS": "120"} | environment).items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["taximeter", *arguments])
        # Consoles look at the environment when they are made.
        patch.setattr(cli, "out", Console(highlight=False))
        patch.setattr(cli, "err", Console(stderr=True, highlight=False))
        with pytest.raises(SystemExit) as ended:
            cli.main()
    code = ended.value.code
    assert code is None or isinstance(code, int)
    return Finished(code or 0, out.getvalue(), err.getvalue())


def ask(db: Database, *arguments: str, **environment: str) -> Finished:
    return run(*arguments, TAXIMETER_DB_URL=db.url, **environment)


@pytest.fixture(scope="module")
def good(server: Server) -> Iterator[tuple[Database, Day]]:
    """Some hours in which everything went as it should."""
    database = server.clone(server.template())
    with World(database) as world:
        day = busy_day.play(world, rhythm=(2, 0, 3, 2))
    yield database, day
    database.drop()


@pytest.fixture
def bad(server: Server, good: tuple[Database, Day]) -> Iterator[Database]:
    """The same hours, and then trouble."""
    good[0].close()
    database = server.clone(good[0].name)
    with World(database) as world:
        busy_day.trouble(world)
    yield database
    database.drop()


def test_a_good_day_looks_good(good: tuple[Database, Day]) -> None:
    """MOV-04: score, sparklines, the dashboard's figures, and exit code 0."""
    finished = ask(good[0], "health")
    assert (finished.returncode, finished.stderr) == (0, "")
    printed = finished.stdout
    assert "✓ OK" in printed
    assert "100.0 excellent" in printed
    assert "alerts: none" in printed
    assert re.search(r"score  ·+[█·]+  lowest 100.0 at", printed)
    assert re.search(r"ended  ·+[▁▂▃▄▅▆▇█·]+  8, at most [23] an hour", printed)
    for name, value in (
        *(("created", "9"), ("ended", "8"), ("completed", "5"), ("no shows", "1")),
        *(("completion rate", "62.5 %"), ("to accept p50", "40 s"), ("live", "1")),
        *(("gross", "10,500"), ("platform", "2,250"), ("✓ outbox dead", "0")),
    ):
        assert re.search(rf" {name} +{value} ", printed), (name, printed)
    assert printed.count("✓") >= 8
    assert "✓ nothing waits for a person." in printed
    narrow = ask(good[0], "health", COLUMNS="80").stdout
    assert "…" not in narrow
    assert re.search(r"ended  [^ ]{48}  8, at most", narrow)

    told = json.loads(ask(good[0], "health", "--json").stdout)
    assert told["status"] == "ok"
    assert sum(hour["total"] for hour in told["hours"]) == 8
    with World(good[0]) as world:
        rows = world.rows("select * from public.session_health_dashboard()")
    assert told["metrics"] == json.loads(json.dumps(rows, default=str))


def test_verify_of_a_good_day(good: tuple[Database, Day]) -> None:
    """MOV-01: eleven sections, exit code 0."""
    finished = ask(good[0], "verify")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert [line.split()[:3] for line in finished.stdout.splitlines()[1:12]] == [
        ["✓", "ok", str(section)] for section in range(1, 12)
    ]
    assert "Everything is as it should be." in finished.stdout
    told = json.loads(ask(good[0], "verify", "--since", "7d", "--json").stdout)
    assert [section["section"] for section in told["sections"]] == list(range(1, 12))
    assert (told["status"], told["waiting"]) == ("ok", [])


def test_trouble_is_shown_with_what_settles_it(bad: Database) -> None:
    """MOV-01, MOV-02, MON-20: exit code 2, the commands, and all clear after they were pasted."""
    health, verify = ask(bad, "health"), ask(bad, "verify")
    assert (health.returncode, verify.returncode) == (2, 2)
    assert "✗ FAIL" in health.stdout
    assert "alerts: 1 critical, 1 warning" in health.stdout
    assert re.search(r"✗ outbox dead +1 ", health.stdout)
    assert "2 of 11 sections are not ok" in verify.stdout
    assert verify.stdout.count("✗ fail") == 3
    with World(bad) as world:
        items = world.rows("select command from public.sessions_needing_review")
        assert len(items) == 2
        for item in items:
            assert item["command"] in health.stdout
            assert item["command"] in verify.stdout
            world.db.connect().execute(item["command"])
        assert asking.health(bad.url).waiting == []
    assert ask(bad, "verify").returncode == 0


def test_a_warning_is_exit_code_one(bad: Database) -> None:
    """MOV-01, MOV-02, MOV-04: rates out of bounds, and the poor score they make, are a warning."""
    with World(bad) as world:
        world.execute("update private.outbox set status = 'done', done_at = private.clock()")
        world.execute("update public.payouts set status = 'pending'")
        for key in ("health_no_show_bps", "health_expired_bps"):
            world.call("system", "set_setting", p_key=key, p_value=0)
    verify = ask(bad, "verify")
    assert verify.returncode == 1
    assert re.search(r"! warn +8  health score", verify.stdout)
    finished = ask(bad, "health")
    assert finished.returncode == 1
    assert "! WARN" in finished.stdout
    assert "no shows  12.5 % of 8 in 24 hours, the bound is 0.0 %" in finished.stdout
    assert re.search(r"! no show rate +12.5 %", finished.stdout)


@pytest.mark.parametrize(("command", "code"), [("health", 2), ("verify", 2)])
def test_colour_carries_nothing_by_itself(bad: Database, command: str, code: int) -> None:
    """CLI-01: no escape code in a pipe or with NO_COLOR; with colours the same words."""
    plain = ask(bad, command)
    coloured = ask(bad, command, FORCE_COLOR="1")
    without = ask(bad, command, FORCE_COLOR="1", NO_COLOR="1")
    assert {plain.returncode, coloured.returncode, without.returncode} == {code}
    assert "\x1b" not in plain.stdout
    assert "\x1b[1;31m" in coloured.stdout
    assert ESCAPE.sub("", coloured.stdout) == plain.stdout
    assert not re.search(r"\x1b\[[0-9;]*3[1-7]m", without.stdout)


def test_watching_looks_again_and_again(bad: Database) -> None:
    """MOV-04: one JSON object a line, an end by Ctrl-C, and the status of the last look."""
    process = subprocess.Popen(
        [sys.executable, "-m", "taximeter.cli", "health", "--watch", "--every=0.1", "--json"],
        env={**os.environ, "TAXIMETER_DB_URL": bad.url},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        looks = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [look["status"] for look in looks] == ["fail", "fail"]
        with World(bad) as world:
            world.execute("update private.outbox set status = 'done', done_at = private.clock()")
            world.execute("update public.payouts set status = 'pending'")
        while json.loads(process.stdout.readline())["status"] != "ok":
            pass
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_watching_on_a_terminal_fills_the_screen(good: tuple[Database, Day]) -> None:
    """MOV-04, CLI-01: the alternate screen, the same figures, and the shell as it was."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "taximeter.cli", "health", "--watch", "--every=60"],
        env={**os.environ, "TAXIMETER_DB_URL": good[0].url, "COLUMNS": "112", "LINES": "60"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    try:
        shown = ""
        while "waits for a person" not in shown:
            shown += os.read(master, 65536).decode(errors="replace")
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):
            while piece := os.read(master, 65536):
                shown += piece.decode(errors="replace")
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert "tick-sessions" in shown
    assert shown.index("\x1b[?1049h") < shown.index("Taximeter") < shown.index("\x1b[?1049l")


def test_replay_of_one_and_of_all(good: tuple[Database, Day]) -> None:
    """MOV-06: the row is what its events say."""
    db, day = good
    one, every = ask(db, "replay", str(day.completed)), ask(db, "replay", "--since", "2d")
    assert (one.returncode, every.returncode) == (0, 0)
    assert re.search(r"billable_seconds +540 ", one.stdout)
    assert "The row is what its events say." in one.stdout
    assert "Every row is what its events say." in every.stdout
    assert json.loads(ask(db, "replay", "--json").stdout) == []


def test_a_row_that_was_changed_past_its_events_shows(db: Database) -> None:
    """MOV-06: both values, exit code 2, for one session and for all; put back, it is well."""
    with World(db) as world, db.connect("supabase_admin") as owner:
        session, _ = world.queued_session()
        owner.execute("set session_replication_role = replica")

        def set_minutes(minutes: int) -> None:
            owner.execute(
                "update public.sessions set duration_minutes = %s where id = %s", (minutes, session)
            )

        set_minutes(99)
        one, every = ask(db, "replay", str(session)), ask(db, "replay")
        assert (one.returncode, every.returncode) == (2, 2)
        assert re.search(r"duration_minutes +30 +✗ 99", one.stdout)
        assert str(session) in every.stdout
        assert "duration_minutes: the row says 99, its events 30" in every.stdout
        assert json.loads(ask(db, "replay", "--json").stdout) == [
            {
                "session_id": str(session),
                "difference": {"duration_minutes": {"row": 99, "replay": 30}},
            }
        ]
        set_minutes(30)
        assert ask(db, "replay").returncode == 0


def test_explain_tells_the_whole_story(good: tuple[Database, Day]) -> None:
    """MOV-07: timeline, who was there, the decision and its rule, the money to the last cent."""
    db, day = good
    finished = ask(db, "explain", str(day.completed))
    assert (finished.returncode, finished.stderr) == (0, "")
    for line in (
        "540 s billed of 540 s, 45 min bought",
        "The session was asked for.",
        "Both were there: the meter started.",
        "Completed: 540 seconds count, and 60 are enough.",
        "mechanic share bps 7,000",
        f"-1,500  session_hold:{day.completed}",
        "+450  platform_revenue",
    ):
        assert line in finished.stdout, line
    told = json.loads(ask(db, "explain", str(day.completed), "--json").stdout)
    with World(db) as world:
        account = world.row("select public.explain_session(%s) as told", day.completed)["told"]
    assert told == account
    for session, line in (
        (day.too_short, "Not completed: 25 seconds count, and it takes 60."),
        (day.no_show, "The customer never came; the mechanic waited 400 seconds"),
        (day.live, "Both were there: the meter started."),
    ):
        assert line in ask(db, "explain", str(session)).stdout


def test_nothing_asked_can_change_anything(good: tuple[Database, Day]) -> None:
    """MOV-08: every question is asked on a read-only connection."""
    with (
        pytest.raises(asking.AskError, match="read-only transaction"),
        asking.asking(good[0].url) as db,
    ):
        db.rows("select public.archive_sessions(private.clock())")


def test_what_cannot_be_asked_is_said(
    good: tuple[Database, Day], platform_db: Database, tmp_path: Path
) -> None:
    """CLI-01, MOV-08: no answer, no rights, another database, no session, a wrong argument."""
    db, _ = good
    nobody = "00000000-0000-4000-8000-000000000000"
    nowhere = "postgresql://postgres@127.0.0.1:1/postgres"
    for code, said, arguments in (
        (3, "The database does not answer", ["health", "--database-url", nowhere]),
        (3, "The database refused", ["health", "--db-url", db.url_for("authenticator")]),
        (3, "Is it a Taximeter database", ["verify", "--database-url", platform_db.url]),
        (1, "There is no such session", ["explain", nobody, "--database-url", db.url]),
        (1, "There is no such session", ["replay", nobody, "--database-url", db.url]),
        (2, "neither a time", ["verify", "--since", "soon", "--database-url", db.url]),
        (2, "not both", ["replay", nobody, "--since", "1d", "--database-url", db.url]),
        (2, "Invalid value for", ["explain", "x", "--database-url", db.url]),
    ):
        finished = run(*arguments)
        assert finished.returncode == code, (arguments, finished.stderr)
        assert said in " ".join(finished.stderr.split()), (arguments, finished.stderr)
        assert finished.stdout == ""
    finished = run("health", TAXIMETER_HOME=str(tmp_path), TAXIMETER_DB_URL="")
    assert finished.returncode == 3
    assert "The stack is not running" in finished.stderr


def test_the_picture_of_the_readme(good: tuple[Database, Day]) -> None:
    """CLI-01, MOV-04: `make picture` takes it, of a whole day; it is there and is shown."""
    if os.environ.get(WRITE):
        _take_picture(good[0])
    drawn = PICTURE.read_text()
    for word in ("Taximeter", "excellent", "tick-sessions", "resolve_payout"):
        assert word in drawn, word
    assert "url(http" not in drawn
    assert "docs/images/health.svg" in (CHECKOUT / "README.md").read_text()


def _take_picture(db: Database) -> None:
    database = db.server.clone(db.server.template())
    try:
        with World(database) as world:
            busy_day.play(world)
            busy_day.trouble(world)
        console = Console(record=True, width=112, force_terminal=True, file=io.StringIO())
        console.print(showing.health(asking.health(database.url)))
        PICTURE.parent.mkdir(exist_ok=True)
        drawn = console.export_svg(title="taximeter health", unique_id="health")
        # Whatever monospaced font is there will do: a picture fetches nothing.
        PICTURE.write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL))
    finally:
        database.drop()
