"""What a run of the tests says of itself: on which PostgreSQL it is, and what it does without."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest

from support.missing import WITHOUT, need, unexpected
from taximeter.stack.postgres import CHECKOUT

if TYPE_CHECKING:
    from support.database import Server

MAJOR = "TAXIMETER_TEST_PG_MAJOR"
LACKING = "py_tests/x.py:1: Skipped: there is no pg_cron: this PostgreSQL comes without it"


def test_the_server_is_of_the_version_that_was_asked_for(server: Server) -> None:
    """TEST-04: `make test-17` really runs on 17; without a wish it is 15, where pg_cron is."""
    with psycopg.connect(server.url()) as connection:
        assert connection.info.server_version // 10000 == int(os.environ.get(MAJOR, "15"))


def test_only_what_is_known_to_be_missing_is_skipped() -> None:
    """TEST-03, TEST-04: a skip for another reason, or for one that names nothing, is unexpected."""
    other = LACKING.replace("pg_cron", "plpgsql_check")
    nameless = "py_tests/x.py:2: Skipped: not today"
    assert unexpected([LACKING], frozenset({"pg_cron"})) == []
    assert unexpected([LACKING, other], frozenset({"pg_cron"})) == [other]
    assert unexpected([LACKING, nameless], frozenset({"pg_cron"})) == [nameless]
    assert unexpected([LACKING], frozenset()) == [LACKING]


def test_who_lacks_something_is_told_what(monkeypatch: pytest.MonkeyPatch) -> None:
    """TEST-03: the skip names it; what is there may not be called missing."""
    monkeypatch.delenv(WITHOUT, raising=False)
    need("gauge", is_there=True, from_where="the shop")
    with pytest.raises(pytest.skip.Exception, match="there is no gauge: the shop") as skipped:
        need("gauge", is_there=False, from_where="the shop")
    assert unexpected([str(skipped.value)], frozenset({"gauge"})) == []
    monkeypatch.setenv(WITHOUT, "pg_cron,gauge")
    with pytest.raises(pytest.fail.Exception, match="gauge is there"):
        need("gauge", is_there=True, from_where="the shop")


def left_out(target: str) -> set[str]:
    """The folders of tests that this target of the Makefile does without."""
    told = subprocess.run(
        ["make", "--dry-run", target],
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert re.search(r"bin/pytest .*support\.prove", told, re.S), told
    return set(re.findall(r"--ignore=py_tests/(\S+)", told))


def test_the_quick_rounds_leave_out_folders_that_are_there() -> None:
    """TEST-05: one that was renamed would be played again, and take its time, without a word; what
    a quick round does without is played in the whole one."""
    folders = {path.parent.name for path in CHECKOUT.glob("py_tests/*/test_*.py")}
    assert left_out("test-embedded") == set()
    for quick in ("test-fast", "test-container"):
        assert left_out(quick)
        assert left_out(quick) < folders
