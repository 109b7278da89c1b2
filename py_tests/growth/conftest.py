"""Four thousand sessions of two years, and people of today among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import md5
from uuid import UUID

import pytest

from bench import history
from growth.plans import Watched
from security.people import Cast, build
from support.database import Database, Server
from support.world import World

SESSIONS = 4_000


@dataclass(frozen=True)
class Past:
    """A filled database, which is only ever copied."""

    server: Server
    name: str
    cast: Cast

    def person(self, kind: str) -> UUID:
        """The first of them in the history."""
        return UUID(md5(f"{kind}1".encode()).hexdigest())  # noqa: S324

    def copy(self) -> Watched:
        # To replay them all again, telling every plan, would take minutes.
        name = self.server.clone(self.name).name
        return Watched(self.server, name, is_changed_by_hand=True)


@pytest.fixture(scope="session")
def past(server: Server) -> Iterator[Past]:
    database: Database = server.clone(server.template())
    with database.connect("supabase_admin") as owner:
        history.load(owner, SESSIONS)
    with World(database) as world:
        cast = build(world)
    database.close()
    yield Past(server, database.name, cast)
    database.drop()
