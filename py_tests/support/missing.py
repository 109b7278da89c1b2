"""What a machine or a server may lack: the test that needs it is skipped, and names it (TEST-03).

A run says beforehand what it does without: TAXIMETER_TEST_WITHOUT=pg_cron,plpgsql_check. A skip for
want of anything else, or for any other reason, fails the run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

import pytest

WITHOUT = "TAXIMETER_TEST_WITHOUT"


def known() -> frozenset[str]:
    """What the run is known to do without."""
    return frozenset(name for name in os.environ.get(WITHOUT, "").split(",") if name)


def need(name: str, *, is_there: bool, from_where: str) -> None:
    """Go on if it is there, skip the test if not; what is there must not be declared missing."""
    if not is_there:
        pytest.skip(f"there is no {name}: {from_where}")
    if name in known():
        pytest.fail(f"{name} is there, and {WITHOUT} says that it is not")


def unexpected(reasons: Iterable[str], allowed: frozenset[str]) -> list[str]:
    """The reasons of skips that name nothing the run is known to do without."""
    named = ((reason, re.search(r"there is no ([\w-]+):", reason)) for reason in reasons)
    return [reason for reason, found in named if found is None or found[1] not in allowed]
