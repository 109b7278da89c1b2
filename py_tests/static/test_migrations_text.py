"""The text of the migrations: what they may contain, and how they are written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.database import Database
from taximeter.stack.postgres import CHECKOUT

FILES = sorted((CHECKOUT / "supabase" / "migrations").glob("*.sql"))

_BODY = re.compile(r"(\$\w*\$).*?\1", re.DOTALL)
_TEXT = re.compile(r"'(?:[^']|'')*'")
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)

_CREATED = re.compile(
    r"^create (?:or replace )?"
    r"(table|function|procedure|view|materialized view|sequence|foreign table)"
    r" (?:if not exists )?([\w.]+)"
)
_ALL_ROLES = "from public, anon, authenticated, service_role"
_PLATFORM = r"(?:auth|storage|realtime|vault|cron|net|extensions)\."


def bare(statement: str) -> str:
    """A statement without bodies, texts and comments, in one line."""
    text = _BODY.sub("''", statement)
    return " ".join(_TEXT.sub("''", _COMMENT.sub(" ", text)).split()).lower()


@pytest.fixture
def applied(db: Database) -> dict[str, list[str]]:
    """Every file's statements, as the Supabase CLI split them when it applied the file."""
    with db.connect() as connection:
        rows = connection.execute(
            "select version || '_' || name as file, statements"
            " from supabase_migrations.schema_migrations"
        ).fetchall()
    files = {f"{row['file']}.sql": [bare(text) for text in row["statements"]] for row in rows}
    assert files.keys() == {path.name for path in FILES}
    return files


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


def test_what_is_created_is_closed_first(applied: dict[str, list[str]]) -> None:
    """SEC-02: each CREATE is followed in its file by a revoke from every role, before any grant."""
    found = []
    created = 0
    for file, lines in applied.items():
        for position, statement in enumerate(lines):
            match = _CREATED.match(statement)
            if match is None:
                continue
            created += 1
            kind, name = match.groups()
            kind = "table" if kind in {"view", "materialized view", "foreign table"} else kind
            rest = lines[position + 1 :]
            named = rf"(?:[\w.]+, )*{re.escape(name)}\b.*"
            revoked = _first(rest, rf"revoke all on {kind} {named} {_ALL_ROLES}$")
            granted = _first(rest, rf"grant .* on (?:{kind} )?{named}")
            if revoked is None or (granted is not None and granted < revoked):
                found.append(f"{file}: {kind} {name}")
    assert found == []
    assert created > len(applied)


def _first(lines: list[str], pattern: str) -> int | None:
    return next((number for number, line in enumerate(lines) if re.match(pattern, line)), None)


def test_the_platform_is_left_alone(applied: dict[str, list[str]]) -> None:
    """MOD-01, STACK-02: on the platform's objects nothing but policies and triggers."""
    allowed = re.compile(r"^create policy|^create (?:or replace )?trigger")
    changing = re.compile(
        rf"^(?:create|alter|drop|grant|revoke|comment|truncate|insert|update|delete)\b.*"
        rf"(?:\b(?:on|table|function|into|from|update|type|view|index|schema)\s+"
        rf"(?:if (?:not )?exists )?{_PLATFORM}"
        rf"|^update {_PLATFORM})"
    )
    # Reading auth.users to make profiles of people who were there before is not a change of it.
    reading = re.compile(rf"^insert into (?!{_PLATFORM})")
    everything = [statement for lines in applied.values() for statement in lines]
    found = [
        statement
        for statement in everything
        if changing.match(statement)
        and not allowed.match(statement)
        and not reading.match(statement)
    ]
    assert found == []
    assert [s for s in everything if re.search(r"references (?:auth|storage)\.", s)] == []


def test_hosted_would_take_it(applied: dict[str, list[str]]) -> None:
    """STACK-02: nothing that the CLI's one transaction or the hosted role postgres refuses."""
    refused = re.compile(
        r"^(?:begin|commit|rollback|vacuum|alter system|create database|copy|create role|alter role"
        r"|create event trigger)\b|\bconcurrently\b|^create extension .* version\b"
        r"|^alter database .* set\b"
    )
    everything = [statement for lines in applied.values() for statement in lines]
    assert [s for s in everything if refused.search(s)] == []


_MADE = re.compile(
    r"^create (?:or replace )?(?:table|type|view|sequence|function)"
    r" (?:if not exists )?((?:public|private)\.\w+)",
    re.MULTILINE,
)
_NAMED = re.compile(r"\b(?:public|private)\.\w+")


def later_names(files: dict[str, str]) -> list[str]:
    """What a file names although only a later one makes it; comments on objects do not count."""
    bodies = {
        name: re.sub(r"^comment on .*?;$", "", _COMMENT.sub("", text), flags=re.DOTALL | re.M)
        for name, text in files.items()
    }
    made: dict[str, str] = {}
    for name in sorted(bodies):
        for thing in _MADE.findall(bodies[name]):
            made.setdefault(thing, name)
    return [
        f"{name} names {thing} of {made[thing]}"
        for name in sorted(bodies)
        for thing in sorted(set(_NAMED.findall(bodies[name])))
        if made.get(thing, name) > name
    ]


def test_a_file_calls_only_files_before_it() -> None:
    """MOD-01: the migrations are rooms in order of dependency."""
    assert later_names({path.name: path.read_text() for path in FILES}) == []


def test_a_call_of_a_later_file_is_found() -> None:
    """MOD-01, TEST-03: the search itself goes red."""
    late = "create function private.late() returns void language sql as $$ select $$;"
    early = "create function private.early() returns void language sql as $$ {} $$;"
    for text, found in {
        "select private.late()": ["1.sql names private.late of 2.sql"],
        "select -- private.late()\n": [],
    }.items():
        assert later_names({"1.sql": early.format(text), "2.sql": late}) == found
    assert later_names({"1.sql": late, "2.sql": early.format("select private.late()")}) == []


def test_policies_do_not_ask_once_a_row() -> None:
    """SEC-03: auth functions in a policy stand in a sub-select, so that they run once a query."""
    found = []
    for path in FILES:
        for policy in re.findall(r"create policy.*?;", path.read_text(), re.DOTALL):
            naked = re.sub(r"\(select (?:auth|private)\.\w+\(\)\)", "", policy)
            if re.search(r"\b(?:auth|private)\.\w+\(\)", naked):
                found.append(policy)
    assert found == []
