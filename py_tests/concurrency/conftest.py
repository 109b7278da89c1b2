"""One world a test, on a database of its own, or one world for a whole file that shares it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from concurrency.interleaving import PooledWorld
from support.database import Database, Server


@pytest.fixture
def world(db: Database) -> Iterator[PooledWorld]:
    with PooledWorld(db) as made:
        yield made


@pytest.fixture(scope="module")
def one_world(server: Server) -> Iterator[PooledWorld]:
    """For tests that only look at sessions of their own."""
    database = server.clone(server.template())
    with PooledWorld(database) as made:
        yield made
    database.drop()


@pytest.fixture
def shared_world(one_world: PooledWorld) -> Iterator[PooledWorld]:
    """The world of the whole file, with a stopped clock and every borrowed connection back."""
    one_world.advance(0)
    yield one_world
    one_world.give_back()
