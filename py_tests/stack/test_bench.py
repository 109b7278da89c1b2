"""The benchmarks run, with few sessions; their figures are for `make bench`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bench.results import Finding
from support.processes import until
from support.served import stack_folder
from taximeter.stack.postgres import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path


TINY = (
    *("--seconds=1", "--scale=1", "--clients", "1", "2", "--count=6", "--lives=20"),
    *("--live=1100", "--due=105", "--burst=110", "--checks=1010", "--calls=5"),
)


@pytest.mark.slow
def test_everything_is_measured() -> None:
    """PERF-01, PERF-02, PERF-03, PERF-04, PERF-05: each has its figure beside its target"""
    with stack_folder() as folder:
        folder.mkdir(parents=True)
        out = folder / "out"
        measured = bench(folder, "--sessions", "200", "100", f"--out={out}", "--monitoring", *TINY)
        # The run itself looks whether everything it did is right, to the last cent.
        assert measured.returncode == 0, measured.stderr
        kept = json.loads((out / "100-200.json").read_text())
        rates = {(rate["sessions"], rate["what"], rate["clients"]) for rate in kept["rates"]}
        assert len({what for _, what, _ in rates}) == 16
        assert {
            (sessions, what, clients)
            for sessions in (100, 200)
            for what in ("TPC-B-like", "whole paid life", "end, paid session")
            for clients in (1, 2)
        } <= rates
        assert len(kept["growth"]) == 12
        assert [size["sessions"] for size in kept["heartbeats"]] == [100, 200]
        assert all(size["hot_share"] > 0.8 for size in kept["heartbeats"])
        (storage,) = kept["storage"]
        assert {"sessions", "session_events", "private.ledger_entries"} <= storage["bytes"].keys()
        assert all(len(parts) == 2 and any(parts) for parts in storage["bytes"].values())
        assert len(kept["ticks"]) == 6
        assert len(kept["monitoring"]) == 21
        assert {target["requirement"] for target in kept["targets"]} == {
            *("PERF-01", "PERF-02", "PERF-03", "PERF-04", "PERF-05")
        }
        assert kept["circumstances"]["settings"]["fsync"] == "on"
        assert kept["circumstances"]["settings"]["synchronous_commit"] == "on"
        page = out / "page.md"
        page.write_text("before <!-- figures -->yesterday<!-- end of figures --> after\n")
        pictures = [out / "one.svg", out / "another.svg"]
        pages = []
        for picture in pictures:
            files = (str(file) for file in (out / "100-200.json", picture, page))
            drawn = python(folder, "-m", "bench.plot", *files)
            assert drawn.returncode == 0, drawn.stderr
            pages.append(page.read_text())
        assert pictures[0].read_text() == pictures[1].read_text()
        assert pages[0] == pages[1]
        assert re.fullmatch(r"(?s)before <!-- figures -->.*\| PERF-01 \|.* after\n", pages[0])
        assert "yesterday" not in pages[0]
        assert [path.name for path in folder.iterdir()] == ["out"]


@pytest.mark.slow
def test_a_run_that_is_interrupted_keeps_its_figures() -> None:
    """PERF-03: what was measured is shown and kept, and the server is gone"""
    with stack_folder() as folder:
        folder.mkdir(parents=True)
        file = folder / "out" / "100.json"
        arguments = ("--sessions=100", f"--out={file.parent}", *TINY)
        with subprocess.Popen(
            [sys.executable, "-m", "bench", *arguments],
            cwd=CHECKOUT,
            env=environment(folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            until(file.exists)
            running.send_signal(signal.SIGTERM)
            printed, _ = running.communicate(timeout=60)
        assert "nothing due, 1,000 live" in printed
        assert json.loads(file.read_text())["ticks"][0]["what"] == "nothing due, 1,000 live"
        assert [path.name for path in folder.iterdir()] == ["out"]


def test_findings_are_held_against_their_targets() -> None:
    """PERF-01: what does not hold is said, with by how much"""
    assert Finding("PERF-01", "", figure=3.0, target=3.0).verdict == "holds"
    assert Finding("PERF-01", "", figure=4.5, target=3.0).verdict == "does not, by 1.50 times"
    least = Finding("PERF-01", "", figure=0.2, target=0.4, is_least=True)
    assert least.verdict == "does not, by 2.00 times"


@pytest.mark.slow
def test_monitoring_is_measured() -> None:
    """MOV-08: every view and function has its figure, and finds nothing in a consistent history"""
    with stack_folder() as folder:
        folder.mkdir(parents=True)
        measured = python(folder, "-m", "bench.monitoring", "2000")
        # Without a table if something was found; late they may be, here.
        for line in (
            r"sessions_needing_review +│ +0 │",
            r"verify_session_end_logic\('-infinity'\) +│ +11 │",
            r"verify_replay\(\) +│ +0 │",
        ):
            assert re.search(line, measured.stdout), measured.stderr
        assert list(folder.iterdir()) == []


def bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return python(folder, "-m", "bench", *arguments)


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=CHECKOUT,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TAXIMETER_HOME": str(folder), "COLUMNS": "120"}
