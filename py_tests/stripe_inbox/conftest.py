"""One world a test, and one for a whole file whose tests look at people of their own only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from concurrency.interleaving import PooledWorld
from support.database import Server


@pytest.fixture(scope="module")
def world(server: Server) -> Iterator[PooledWorld]:
    database = server.clone(server.template())
    with PooledWorld(database) as made:
        made.call("system", "set_setting", p_key="presence_timeout_seconds", p_value=86400)
        made.advance(0)
        yield made
    database.drop()
