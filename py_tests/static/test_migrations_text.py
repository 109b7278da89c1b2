"""The text of the migrations: what they may contain, and how they are written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.database import Database
from taximeter.stack.postgres import CHECKOUT

FILES = sorted((CHECKOUT / "supabase" / "migrations").glob("*.sql"))

_BODY = re.compile(r"(\$\w*\$).*?\1", re.DOTALL)
_TEXT = re.compile(r"'(?:[^']|'')*'")
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)

_CREATED = re.compile(
    r"^create (?:or replace )?(table|function|procedure|view|materialized view|sequence|foreign table)"
    r" (?:if not exists )?([\w.]+)"
)
_ALL_ROLES = "from public, anon, authenticated, service_role"
_PLATFORM = r"(?:auth|storage|realtime|vault|cron|net|extensions)\."


def bare(statement: str) -> str:
    """A statement without bodies, texts and comments, in one line."""
    text = _BODY.sub("''", statement)
    return " ".join(_TEXT.sub("''", _COMMENT.sub(" ", text)).split()).lower()


def statements(db: Database, path: Path) -> list[str]:
    """The file as the Supabase CLI split it when it applied it."""
    with db.connect() as connection:
        row = connection.execute(
            "select statements from supabase_migrations.schema_migrations where version = %s",
            (path.name.partition("_")[0],),
        ).fetchone()
    assert row is not None, f"{path.name} was not applied"
    return [bare(statement) for statement in row["statements"]]


def test_there_are_migrations() -> None:
    """STACK-02: the suite below is not empty."""
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_lines_are_short(path: Path) -> None:
    """MOD-01: at most 120 columns, no tabs, no space at the end of a line."""
    found = [
        number
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > 120 or "\t" in line or line != line.rstrip()
    ]
    assert found == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_created_is_closed_first(db: Database, path: Path) -> None:
    """SEC-02: each CREATE is followed in its file by a revoke from every role, before any grant."""
    found = []
    lines = statements(db, path)
    for position, statement in enumerate(lines):
        match = _CREATED.match(statement)
        if match is None:
            continue
        kind, name = match.groups()
        kind = "table" if kind in {"view", "materialized view", "foreign table"} else kind
        rest = lines[position + 1 :]
        revoked = _first(rest, rf"revoke all on {kind} (?:[\w.]+, )*{re.escape(name)}\b.* {_ALL_ROLES}$")
        granted = _first(rest, rf"grant .* on (?:{kind} )?(?:[\w.]+, )*{re.escape(name)}\b")
        if revoked is None or (granted is not None and granted < revoked):
            found.append(f"{kind} {name}")
    assert found == []


def _first(lines: list[str], pattern: str) -> int | None:
    return next((number for number, line in enumerate(lines) if re.match(pattern, line)), None)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_platform_is_left_alone(db: Database, path: Path) -> None:
    """MOD-01, STACK-02: on the platform's objects nothing but policies and triggers, as hosted has it."""
    allowed = re.compile(r"^create policy|^create (?:or replace )?trigger")
    changing = re.compile(
        rf"^(?:create|alter|drop|grant|revoke|comment|truncate|insert|update|delete|security label)\b.*"
        rf"(?:\b(?:on|table|function|into|from|update|type|view|index|schema)\s+(?:if (?:not )?exists )?{_PLATFORM}"
        rf"|^update {_PLATFORM})"
    )
    # Reading auth.users to make profiles of people who were there before is not a change of it.
    reading = re.compile(rf"^insert into (?!{_PLATFORM})")
    found = [
        statement
        for statement in statements(db, path)
        if changing.match(statement) and not allowed.match(statement) and not reading.match(statement)
    ]
    assert found == []
    assert [s for s in statements(db, path) if re.search(r"references (?:auth|storage)\.", s)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_hosted_would_take_it(db: Database, path: Path) -> None:
    """STACK-02: nothing that the CLI's one transaction or the hosted role postgres refuses."""
    refused = re.compile(
        r"^(?:begin|commit|rollback|vacuum|alter system|create database|copy|create role|alter role"
        r"|create event trigger)\b|\bconcurrently\b|^create extension .* version\b|^alter database .* set\b"
    )
    assert [s for s in statements(db, path) if refused.search(s)] == []


def test_policies_do_not_ask_once_a_row() -> None:
    """SEC-03: auth functions in a policy stand in a sub-select, so that they run once a query."""
    found = []
    for path in FILES:
        for policy in re.findall(r"create policy.*?;", path.read_text(), re.DOTALL):
            naked = re.sub(r"\(select (?:auth|private)\.\w+\(\)\)", "", policy)
            if re.search(r"\b(?:auth|private)\.\w+\(\)", naked):
                found.append(policy)
    assert found == []


def test_style_is_kept() -> None:
    """SEC-03: `sqlfluff lint` is clean with the committed configuration."""
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "sqlfluff", "lint", "--disable-progress-bar"),
            *("--config", str(CHECKOUT / ".sqlfluff"), *(str(path) for path in FILES)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
