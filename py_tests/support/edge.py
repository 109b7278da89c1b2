"""Edge functions of the checkout under Deno, behind the gateway, with the rights they ship with."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import httpx

from support.served import served_clone
from taximeter.stack.functions import FUNCTIONS, Functions, platform_environment
from taximeter.stack.postgres import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from support.database import Server
    from support.served import Served
    from taximeter.people import Person

FOLDER = CHECKOUT / "supabase" / "functions"
LOCK = CHECKOUT / "deno.lock"


@dataclass(slots=True)
class Edge:
    """Functions that answer, and the API and database behind them."""

    served: Served

    def url(self, function: str) -> str:
        return f"{self.served.url}/functions/v1/{function}"

    def ask(
        self,
        function: str,
        body: object = None,
        *,
        by: Person | None = None,
        method: str = "POST",
        **more: Any,
    ) -> httpx.Response:
        """Calls a function as the person, with `body` as JSON."""
        headers = {"apikey": self.served.keys.publishable, **more.pop("headers", {})}
        if by is not None:
            headers["authorization"] = f"Bearer {token_of(by)}"
        if body is not None:
            more["json"] = body
        return httpx.request(
            method, self.url(function), headers=headers, timeout=60, trust_env=False, **more
        )

    def fingerprint(self) -> dict[str, str]:
        """What every table of ours holds, as one hash each."""
        with self.served.connect() as connection:
            rows = connection.execute(
                "select format('%I.%I', schemaname, tablename) as name from pg_tables"
                " where schemaname in ('public', 'private') order by 1"
            ).fetchall()
            found = {}
            for row in rows:
                hashed = connection.execute(
                    "select md5(coalesce(string_agg(t::text, '|' order by t::text), '')) as value"
                    f" from {row['name']} t"
                ).fetchone()
                assert hashed is not None
                found[row["name"]] = hashed["value"]
        return found

    def one(self, query: Any, *arguments: object) -> Any:
        """The only value of the only row of a query."""
        with self.served.connect() as connection:
            rows = connection.execute(query, arguments).fetchall()
        assert len(rows) == 1, rows
        (value,) = rows[0].values()
        return value


@contextmanager
def edge(server: Server, names: tuple[str, ...], environment: Mapping[str, str]) -> Iterator[Edge]:
    """A database of their own, with these functions in front of it."""
    with served_clone(server) as served, running(served, names, environment) as urls:
        served.route(urls, None)
        yield Edge(served)


@contextmanager
def running(
    served: Served, names: tuple[str, ...], environment: Mapping[str, str]
) -> Iterator[dict[str, str]]:
    """These functions, and where each listens."""
    keys = served.keys
    platform = platform_environment(served.url, keys.publishable, keys.secret)
    with ExitStack() as parts:
        logs = Path(parts.enter_context(TemporaryDirectory()))
        functions = Functions([f for f in FUNCTIONS if f.name in names], FOLDER, logs)
        parts.callback(functions.stop)
        functions.start({**platform, **environment}, LOCK)
        functions.wait()
        yield functions.urls


def token_of(person: Person) -> str:
    session = person.client.auth.get_session()
    assert session is not None
    return session.access_token


def said(response: httpx.Response) -> tuple[int, str]:
    """The status and code of a refusal, which has the one shape that errors have."""
    refusal = response.json()
    assert set(refusal) == {"code", "message", "details", "hint"}, refusal
    return response.status_code, refusal["message"]
