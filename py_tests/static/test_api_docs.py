"""docs/api.md is what the comments in the database say."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import psycopg

from support.api_docs import FUNCTIONS, SNAPSHOT, render
from support.database import Database
from support.world import World

ROOT = Path(__file__).resolve().parents[2]
API = ROOT / "docs" / "api.md"


def test_the_reference_is_generated_from_the_database(db: Database) -> None:
    """DOC-01: `make docs` writes docs/api.md; a change of a signature or a comment shows here."""
    with psycopg.connect(db.url) as connection:
        document = render(connection)
    if os.environ.get("TAXIMETER_WRITE_DOCS"):
        API.write_text(document)
    assert API.read_text() == document, "docs/api.md is out of date: run `make docs`"


def test_the_readme_names_every_function(db: Database) -> None:
    """DOC-01: the API at a glance leaves nothing out, and nothing in it is gone."""
    section = (ROOT / "README.md").read_text().split("## The API at a glance")[1].split("\n## ")[0]
    rows = re.findall(r"^\| .*$", section, re.MULTILINE)
    with psycopg.connect(db.url) as connection:
        names = {row[0] for row in connection.execute(FUNCTIONS)}
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == names


def shape(value: Any) -> Any:
    """The keys of an example, those of its first member for a list; what is below is a value."""
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items() if key not in {"intake"}}
    return None


def test_the_snapshot_of_the_reference_is_a_real_one(db: Database) -> None:
    """PRE-05: the example has every key of a snapshot, and no other."""
    with World(db) as world:
        live = world.live_session("video15")
        world.call(live.customer, "request_extension", p_session_id=live.id, p_minutes=15)
        world.call(live.mechanic, "leave_session", p_session_id=live.id)
        snapshot = world.one(live.customer, "session_snapshot", p_session_id=live.id)
    assert shape(snapshot["session_snapshot"]) == shape(SNAPSHOT)
