"""docs/edge-functions.md names every function, variable, secret and error, and no other."""

from __future__ import annotations

import re

from taximeter.stack.functions import FUNCTIONS
from taximeter.stack.postgres import CHECKOUT

_DOC = (CHECKOUT / "docs/edge-functions.md").read_text()
_FUNCTIONS = CHECKOUT / "supabase/functions"
_NAMES = {function.name for function in FUNCTIONS}


def _table(heading: str) -> list[list[str]]:
    """The rows below a line that holds the first column's title and the others."""
    after = _DOC.split(f"| {heading} |", 1)[1].splitlines()[2:]
    rows = []
    for line in after:
        if not line.startswith("| "):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def _quoted(cell: str) -> set[str]:
    return set(re.findall(r"`([\w-]+)`", cell))


def test_every_function_is_told() -> None:
    """EDGE-03: the first table names the functions that there are."""
    folders = {path.parent.name for path in _FUNCTIONS.glob("*/index.ts")}
    assert {
        name for row in _table("function | call | who may | answers") for name in _quoted(row[0])
    } == folders
    assert folders == _NAMES


def test_every_variable_is_told_with_who_reads_it() -> None:
    """EDGE-03: one table of every environment variable, who reads it, and what happens without."""
    told: dict[str, set[str]] = {}
    for names, readers, without in _table("variable | read by | without it"):
        assert without
        for name in _quoted(names):
            told[name] = _quoted(readers) & _NAMES
            if readers.startswith("all but"):
                told[name] = _NAMES - told[name]
    used: dict[str, set[str]] = {}
    for function in FUNCTIONS:
        for name in (*function.reads, *function.reaches):
            used.setdefault(name, set()).add(function.name)
    # Told in one line with the two that the last function does not read.
    told["SUPABASE_URL"].add("legacy-routes")
    assert told == used


def test_every_variable_can_be_set_locally() -> None:
    """EDGE-03: what a developer sets is in the example of the file it is set in."""
    example = set(re.findall(r"^([A-Z_]+)=", (_FUNCTIONS / ".env.example").read_text(), re.M))
    used = {name for function in FUNCTIONS for name in (*function.reads, *function.reaches)}
    made_by_the_stack = {"DISPATCH_SECRET", "CRON_SECRET", "HEALTH_SECRET", "BUF_BIGINT_DISABLE"}
    assert example == {n for n in used if not n.startswith("SUPABASE_")} - made_by_the_stack


def test_every_secret_of_the_vault_is_told() -> None:
    """EDGE-03, MON-19: and every vault secret that the migrations read."""
    told = {name for row in _table("secret | read by | without it") for name in _quoted(row[0])}
    sql = "".join(path.read_text() for path in (CHECKOUT / "supabase/migrations").glob("*.sql"))
    assert told == set(re.findall(r"decrypted_secrets \w+ where \w+\.name = '(\w+)'", sql))


def test_every_error_of_the_functions_is_told() -> None:
    """EDGE-01, ERR-01: the codes that the functions raise themselves, both ways."""
    told = {name for row in _table("HTTP | message | when") for name in _quoted(row[1])}
    raised = set()
    for path in _FUNCTIONS.rglob("*.ts"):
        if not path.name.endswith("_test.ts"):
            raised |= set(re.findall(r"Refusal\(\s*(?:\d+|status),\s*'(\w+)'", path.read_text()))
    assert told == raised
