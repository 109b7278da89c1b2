"""A running API for the tests that go through the official client: each of them twice, with the
API on the database itself and behind a transaction pooler (TEST-04)."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from support.pooler import pooler
from support.served import Served, served_clone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import Server


@pytest.fixture(scope="session", params=["direct", "pooler"])
def served(server: Server, request: pytest.FixtureRequest) -> Iterator[Served]:
    with ExitStack() as stack:
        through = stack.enter_context(pooler(server)) if request.param == "pooler" else None
        yield stack.enter_context(served_clone(server, through))
