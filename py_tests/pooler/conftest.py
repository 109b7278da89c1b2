"""One world a test, and the way to its database through a transaction pooler."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.pooler import pooler
from support.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import Database, Server

SIZE = 5


@pytest.fixture(scope="module")
def through(server: Server) -> Iterator[Server]:
    """Five server connections for however many clients."""
    with pooler(server, SIZE) as made:
        yield made


@pytest.fixture
def world(db: Database) -> Iterator[World]:
    with World(db) as made:
        yield made
