"""The stack's one URL as a subprocess: REST, Auth and Storage, and the way to the other parts.

`server/main.mjs` does the work; this module starts it, knows when it is ready, whether it is well,
and, when it is not, why. Another server could take its place behind the same few methods.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from taximeter.stack.process import Server
from taximeter.stack.settings import Keys, StackError

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVER = Path(__file__).parent / "server" / "main.mjs"


def probe(url: str, publishable_key: str) -> dict[str, bool]:
    """Asks each part; one is well when it answers without a server error."""
    paths = {
        "rest": "/rest/v1/plans?limit=0",
        "auth": "/auth/v1/health",
        "storage": "/storage/v1/bucket",
    }
    headers = {"apikey": publishable_key}
    well = {}
    with httpx.Client(base_url=url, headers=headers, timeout=5, trust_env=False) as client:
        for part, path in paths.items():
            try:
                well[part] = client.get(path).status_code < httpx.codes.INTERNAL_SERVER_ERROR
            except httpx.HTTPError:
                well[part] = False
    return well


class Api(Server):
    """The API process: one URL for every part."""

    def __init__(
        self,
        *,
        rest_database_url: str,
        auth_database_url: str,
        storage_database_url: str,
        storage_directory: Path,
        keys: Keys,
        port: int,
        max_body_bytes: int,
        max_upload_bytes: int,
        log: Path,
    ) -> None:
        super().__init__("API", log)
        self.port = port
        self._keys = keys
        self._settings = {
            "rest_database_url": rest_database_url,
            "auth_database_url": auth_database_url,
            "storage_database_url": storage_database_url,
            "storage_directory": str(storage_directory),
            "port": port,
            "max_body_bytes": max_body_bytes,
            "max_upload_bytes": max_upload_bytes,
            "jwt_secret": keys.jwt_secret,
            "publishable_key": keys.publishable,
            "secret_key": keys.secret,
        }

    def start(self) -> None:
        """Starts the process and returns when it listens; `port` is then the one it got."""
        node = shutil.which("node")
        if node is None:
            raise StackError(
                "Node.js is not installed.", "Install Node.js 20 or newer, then run `make setup`."
            )
        self.serve([node, str(SERVER)], self._settings)
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise

    def route(self, functions: Mapping[str, str], realtime: str | None) -> None:
        """Tells where the edge functions and Realtime listen now, as often as that changes."""
        self.tell({"routes": {"functions": dict(functions), "realtime": realtime}})
        message = self.hear()
        if message.get("event") != "routed":
            raise StackError(
                f"The API did not take the routes: {message.get('message', 'no reason given')}",
                f"Its log is {self.log}.",
            )

    def health(self) -> dict[str, bool]:
        return probe(self.url, self._keys.publishable)
