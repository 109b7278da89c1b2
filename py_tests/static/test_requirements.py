"""Every requirement of what is built is named by a test, and test files are laid out alike."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from taximeter.stack.postgres import CHECKOUT

REQUIREMENTS = (
    *(f"MOD-0{number}" for number in range(1, 10)),
    *(f"LIFE-0{number}" for number in range(1, 8)),
    *(f"QUE-0{number}" for number in range(1, 7)),
    *(f"PRE-0{number}" for number in range(1, 6)),
    *(f"TIME-0{number}" for number in range(1, 8)),
    *(f"END-0{number}" for number in range(1, 9)),
    *(f"MON-{number:02}" for number in range(1, 21)),
    *(f"MOV-{number:02}" for number in range(1, 11)),
    *(f"RT-0{number}" for number in range(1, 5)),
    *(f"LEG-0{number}" for number in (1, 2, 3)),
    "CHAT-01",
    *(f"FILE-0{number}" for number in (1, 2, 3)),
    *(f"SUM-0{number}" for number in (1, 2)),
    *(f"NOTE-0{number}" for number in (1, 2)),
    *(f"SLA-0{number}" for number in (1, 2)),
    *(f"SEC-0{number}" for number in range(1, 6)),
    *(f"EDGE-0{number}" for number in (1, 2, 3)),
    *(f"STACK-0{number}" for number in range(1, 6)),
    *(f"TEST-0{number}" for number in range(1, 6)),
    *(f"PERF-0{number}" for number in range(1, 6)),
    "ERR-01",
    "DOC-01",
    *(f"CLI-0{number}" for number in (1, 2, 3)),
)

TESTS = [
    path
    for path in [*CHECKOUT.glob("py_tests/**/*.py"), *CHECKOUT.glob("sql/tests/**/*.sql")]
    if path != Path(__file__)
]


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_requirement_is_named_by_a_test(requirement: str) -> None:
    """TEST-03: a requirement nobody tests shows here."""
    pattern = re.compile(rf"\b{requirement}\b")
    assert any(pattern.search(path.read_text()) for path in TESTS)
