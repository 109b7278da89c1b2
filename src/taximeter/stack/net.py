"""Delivers the HTTP requests that the database queues in schema `net`, as pg_net's worker does.

A request leaves the queue when it is sent, so it is sent at most once. Its answer, or why there is
none, is a row of `net._http_response`, kept for six hours.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import psycopg
from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from collections.abc import Mapping

CHANNEL = "net_requests"
APPLICATION = "taximeter net"
BATCH = 200
LOOK_SECONDS = 1.0
RECONNECT_SECONDS = 0.2
STOP_SECONDS = 5.0
METHODS = frozenset({"GET", "POST", "DELETE"})
USER_AGENT = "pg_net"

CLAIM = """
with next as (
  select id from net.http_request_queue order by id limit %s for update skip locked
)
delete from net.http_request_queue as q
using next
where q.id = next.id
returning
  q.id, q.method, q.url, q.body, q.timeout_milliseconds,
  array(select array[h.key, h.value] from jsonb_each_text(
    case when jsonb_typeof(q.headers) = 'object' then q.headers end
  ) as h) as headers
"""
ANSWER = """
insert into net._http_response
  (id, status_code, content_type, headers, content, timed_out, error_msg)
values (
  %(id)s, %(status_code)s, %(content_type)s, %(headers)s, %(content)s, %(timed_out)s, %(error_msg)s
)
"""
IS_CONNECTED = f"select from pg_stat_activity where application_name = '{APPLICATION}'"
FORGET = "delete from net._http_response where created < now() - interval '6 hours'"


@dataclass(frozen=True, slots=True)
class Request:
    """One row of the queue."""

    id: int
    method: str
    url: str
    body: bytes | None
    timeout_milliseconds: int
    headers: list[list[str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, or why nothing did."""

    status_code: int | None = None
    content_type: str | None = None
    headers: Mapping[str, str] | None = None
    content: str | None = None
    timed_out: bool = False
    error_msg: str | None = None


class Delivery:
    """Owns the thread that delivers."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._thread = threading.Thread(target=self._main, name="net", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._running = threading.Event()

    def start(self) -> None:
        self._thread.start()
        self._running.wait(STOP_SECONDS)

    def stop(self) -> None:
        """Ends it; what is on its way is not waited for."""
        if self._loop and self._task and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # It has ended by itself meanwhile.
                self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join(STOP_SECONDS)

    def died(self) -> str | None:
        return None if self._thread.is_alive() else "its thread has ended"

    def _main(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._run())

    async def _run(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._running.set()
        limits = httpx.Limits(max_connections=BATCH)
        async with httpx.AsyncClient(
            follow_redirects=True, trust_env=False, limits=limits
        ) as client:
            while True:
                try:
                    await self._deliver_until_disconnected(client)
                except* psycopg.OperationalError:
                    await asyncio.sleep(RECONNECT_SECONDS)

    async def _deliver_until_disconnected(self, client: httpx.AsyncClient) -> None:
        async with (
            await self._connect() as listening,
            await self._connect() as working,
            asyncio.TaskGroup() as deliveries,
        ):
            await listening.execute(f"listen {CHANNEL}")
            while True:
                while requests := await _claim(working):
                    for request in requests:
                        deliveries.create_task(_deliver(request, client, working))
                # The look without a word finds what somebody has put back.
                async for _ in listening.notifies(timeout=LOOK_SECONDS, stop_after=1):
                    pass

    async def _connect(self) -> AsyncConnection:
        return await AsyncConnection.connect(
            self._database_url, autocommit=True, application_name=APPLICATION
        )


async def _claim(connection: AsyncConnection) -> list[Request]:
    async with connection.cursor(row_factory=class_row(Request)) as cursor:
        await cursor.execute(CLAIM, (BATCH,))
        requests = await cursor.fetchall()
        if requests:
            await cursor.execute(FORGET)
    return sorted(requests, key=lambda request: request.id)


async def _deliver(
    request: Request, client: httpx.AsyncClient, connection: AsyncConnection
) -> None:
    answer = await _send(request, client)
    headers = None if answer.headers is None else Jsonb(answer.headers)
    await connection.execute(
        ANSWER,
        {
            "id": request.id,
            "status_code": answer.status_code,
            "content_type": answer.content_type,
            "headers": headers,
            "content": answer.content,
            "timed_out": answer.timed_out,
            "error_msg": answer.error_msg,
        },
    )


async def _send(request: Request, client: httpx.AsyncClient) -> Answer:
    if request.method.upper() not in METHODS:
        return Answer(error_msg=f"Unsupported request method {request.method}")
    if request.timeout_milliseconds <= 0:
        return Answer(error_msg="timeout_milliseconds must be positive")
    seconds = request.timeout_milliseconds / 1000
    try:
        # The whole of it has that time; httpx by itself would give it to every step.
        async with asyncio.timeout(seconds):
            response = await client.request(
                request.method.upper(),
                request.url,
                headers=[
                    ("user-agent", USER_AGENT),
                    *((name, value) for name, value in request.headers if value is not None),
                ],
                content=request.body,
                timeout=seconds,
            )
    except (TimeoutError, httpx.TimeoutException):
        reached = f"Timeout of {request.timeout_milliseconds} ms reached"
        return Answer(timed_out=True, error_msg=reached)
    # What cannot be sent at all: not an address, a header that HTTP does not allow.
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return Answer(error_msg=str(error) or type(error).__name__)
    return Answer(
        status_code=response.status_code,
        content_type=response.headers.get("content-type"),
        headers={
            name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers.raw
        },
        # A text cannot hold the character zero.
        content=response.text.replace("\0", "") or None,
    )
