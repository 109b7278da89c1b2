"""The benchmarks run, with few sessions; their figures are for `make bench`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.served import stack_folder
from taximeter.stack.postgres import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_the_tick_is_measured() -> None:
    """PERF-03: nothing due is found to be nothing, everything due is ended, nothing is left"""
    with stack_folder() as folder:
        folder.mkdir(parents=True)
        measured = run(folder, "tick", "--live=1600", "--due=510", "--checks=1010", "--calls=5")
        assert measured.returncode == 0, measured.stderr
        for line in (
            "1,600 live, nothing due",
            "510 due among 1,600, 2 calling",
            "TPC-B-like, 4 clients",
        ):
            assert line in measured.stdout
        assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_the_money_is_measured() -> None:
    """MON-01, MON-12: transfers, ends and lives are counted, and each has its money"""
    with stack_folder() as folder:
        folder.mkdir(parents=True)
        measured = run(folder, "money", "--clients=2", "--ends=20")
        assert measured.returncode == 0, measured.stderr
        for line in (
            r"TPC-B-like +│ +2 │ .* 1\.000   1\.0 │",
            r"two-line transfer +│ +2 │ +[1-9]",
            r"end, paid session +│ +2 │ +[1-9]",
            r"whole paid life +│ +2 │ +[1-9]",
        ):
            assert re.search(line, measured.stdout), line
        assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_monitoring_is_measured() -> None:
    """MOV-08: every view and function has its figure, and finds nothing in a consistent history"""
    with stack_folder() as folder:
        folder.mkdir(parents=True)
        measured = bench(folder, "monitoring", "2000")
        # Without a table if something was found; late they may be, here.
        for line in (
            r"sessions_needing_review +│ 0 +│",
            r"verify_session_end_logic\('-infinity'\) +│ 11 +│",
            r"verify_replay\(\) +│ 0 +│",
        ):
            assert re.search(line, measured.stdout), measured.stderr
        assert list(folder.iterdir()) == []


def run(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return bench(folder, name, "--seconds=1", "--scale=1", *arguments)


def bench(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"bench.{name}", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "TAXIMETER_HOME": str(folder), "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
