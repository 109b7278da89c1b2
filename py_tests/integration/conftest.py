"""One running API for the tests that go through the official client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.served import Served, served_clone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import Server


@pytest.fixture(scope="session")
def served(server: Server) -> Iterator[Served]:
    with served_clone(server) as running:
        yield running
