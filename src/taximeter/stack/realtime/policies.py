"""What a caller may do on a private topic: the policies on realtime.messages decide.

As the real server does, rows are tried out in the caller's name in a transaction that never
commits. Such a probe has a topic and an extension, no event and no payload.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors

from taximeter.stack.realtime.credentials import RefusedError
from taximeter.stack.realtime.journal import note

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from taximeter.stack.realtime.credentials import Identity

EXTENSIONS = ("broadcast", "presence")
PARALLEL_QUESTIONS = 8
TIMEOUTS = "-c statement_timeout=5s"

INSERT = "insert into realtime.messages (id, topic, extension) values (%s, %s, %s)"
BECOME = """
select set_config('role', %(role)s, true), set_config('realtime.topic', %(topic)s, true),
  set_config('request.jwt.claims', %(claims)s, true),
  set_config('request.jwt.claim.sub', %(sub)s, true),
  set_config('request.jwt.claim.role', %(role)s, true),
  set_config('request.headers', %(headers)s, true)
"""
VISIBLE = "select extension from realtime.messages where id = any(%s)"


class Policies:
    """Asks on a connection of its own each time, so that a restarted database changes nothing."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._turn = asyncio.Semaphore(PARALLEL_QUESTIONS)

    async def readable(
        self, identity: Identity, topic: str, headers: Mapping[str, str]
    ) -> frozenset[str]:
        """The extensions whose messages the caller may receive there."""
        probes = {extension: uuid.uuid4() for extension in EXTENSIONS}
        async with self._transaction() as connection:
            for extension, probe in probes.items():
                await connection.execute(INSERT, (probe, topic, extension))
            await _become(connection, identity, topic, headers)
            seen = await connection.execute(VISIBLE, (list(probes.values()),))
            return frozenset(extension for (extension,) in await seen.fetchall())

    async def may_write(
        self, identity: Identity, topic: str, extension: str, headers: Mapping[str, str]
    ) -> bool:
        async with self._transaction() as connection:
            await _become(connection, identity, topic, headers)
            try:
                await connection.execute(INSERT, (uuid.uuid4(), topic, extension))
            except errors.InsufficientPrivilege:
                return False
            return True

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        try:
            async with (
                self._turn,
                await psycopg.AsyncConnection.connect(
                    self._database_url, options=TIMEOUTS, autocommit=True
                ) as connection,
                connection.transaction(force_rollback=True),
            ):
                yield connection
        except psycopg.OperationalError as error:
            note("policies.unavailable", sqlstate=error.sqlstate)
            raise RefusedError(
                "UnableToConnectToProject",
                "Realtime was unable to connect to the project database",
            ) from error
        except (psycopg.Error, UnicodeError) as error:
            note("policies.failed", error=type(error).__name__)
            raise RefusedError("RlsPolicyError", "The policies cannot be evaluated") from error


async def _become(
    connection: psycopg.AsyncConnection[Any],
    identity: Identity,
    topic: str,
    headers: Mapping[str, str],
) -> None:
    await connection.execute(
        BECOME,
        {
            "role": identity.role,
            "topic": topic,
            "claims": json.dumps(identity.claims),
            "sub": str(identity.claims.get("sub", "")),
            "headers": json.dumps(dict(headers)),
        },
    )
