"""One stage for all: every test leaves it as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from monitoring.stage import Stage
from support.database import Database, Server
from support.world import World


@pytest.fixture(scope="session")
def stage(server: Server) -> Iterator[Stage]:
    database = server.clone(server.template())
    try:
        yield Stage(database)
    finally:
        database.drop()


@pytest.fixture
def world(db: Database) -> Iterator[World]:
    with World(db) as made:
        yield made
