"""docs/api.md is what the comments in the database say."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg

from support.api_docs import render
from support.database import Database

API = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def test_the_reference_is_generated_from_the_database(db: Database) -> None:
    """DOC-01: `make docs` writes docs/api.md; a change of a signature or a comment shows here."""
    with psycopg.connect(db.url) as connection:
        document = render(connection)
    if os.environ.get("TAXIMETER_WRITE_DOCS"):
        API.write_text(document)
    assert API.read_text() == document, "docs/api.md is out of date: run `make docs`"
