"""The stages of the matrix: migrated under today's default privileges, and under the old ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from psycopg.rows import DictRow

from security.decisions import Decisions, load
from security.people import Cast, build
from support.database import Database, Server
from support.world import World


@dataclass(frozen=True)
class Stage:
    """A migrated database with people in it, seen by the superuser."""

    connection: psycopg.Connection[DictRow]
    cast: Cast


class Stages:
    """Built when first asked for, once a run and worker, and dropped at its end."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._built: dict[bool, tuple[Stage, Database]] = {}

    def get(self, *, exposed: bool) -> Stage:
        if exposed not in self._built:
            database = self._server.clone(self._server.template(exposed=exposed))
            with World(database) as world:
                cast = build(world)
            connection = database.connect("supabase_admin")
            # Without a search path every name the catalog prints is qualified.
            connection.execute("set search_path = ''")
            self._built[exposed] = (Stage(connection, cast), database)
        return self._built[exposed][0]

    def close(self) -> None:
        for _, database in self._built.values():
            database.drop()
        self._built.clear()


@pytest.fixture(scope="session")
def stages(server: Server) -> Iterator[Stages]:
    built = Stages(server)
    yield built
    built.close()


@pytest.fixture(params=[False, True], ids=["current_privileges", "exposed_privileges"])
def stage(request: pytest.FixtureRequest, stages: Stages) -> Stage:
    return stages.get(exposed=request.param)


@pytest.fixture
def sabotaged(stages: Stages) -> Iterator[Stage]:
    """A stage in a transaction of its own: what a test breaks there is whole again afterwards."""
    made = stages.get(exposed=False)
    with made.connection.transaction(force_rollback=True):
        yield made


@pytest.fixture(scope="session")
def decisions() -> Decisions:
    return load()
