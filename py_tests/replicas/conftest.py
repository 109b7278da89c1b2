"""One pair of servers for all tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from replicas.pair import Pair

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def servers() -> Iterator[Pair]:
    with Pair.lent() as made:
        yield made
