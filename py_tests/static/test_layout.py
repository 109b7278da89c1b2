"""How the tests are laid out."""

from __future__ import annotations

import re

from taximeter.stack.postgres import CHECKOUT

PGTAP = sorted(
    path for path in CHECKOUT.glob("sql/tests/**/*.sql") if path.parent.name != "helpers"
)


def test_behaviours_have_files() -> None:
    """TEST-01: sql/tests/<topic>/<behaviour_in_words>.sql, each undone when it ends."""
    assert PGTAP
    for path in PGTAP:
        assert re.fullmatch(r"sql/tests/[a-z_]+/[a-z0-9_]+\.sql", str(path.relative_to(CHECKOUT)))
        text = path.read_text().lower()
        assert re.search(r"^begin;", text, re.M), path
        assert re.search(r"^rollback;\s*\Z", text, re.M), path
