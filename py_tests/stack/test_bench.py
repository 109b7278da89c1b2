"""The benchmarks run, with few sessions; their figures are for `make bench`."""

from __future__ import annotations

import os
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
        measured = run(
            folder, "--live=1600", "--due=510", "--checks=1010", "--calls=5", "--seconds=1"
        )
        assert measured.returncode == 0, measured.stderr
        for line in (
            "1,600 live, nothing due",
            "510 due among 1,600, 2 calling",
            "TPC-B-like, 4 clients",
        ):
            assert line in measured.stdout
        assert list(folder.iterdir()) == []


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.tick", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "TAXIMETER_HOME": str(folder), "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
