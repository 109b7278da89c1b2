"""One world a test, on a database of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.database import Database
from support.world import World


@pytest.fixture
def world(db: Database) -> Iterator[World]:
    with World(db) as made:
        yield made
