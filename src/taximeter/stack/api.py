"""The client API as a subprocess: REST and Auth on the stack's database behind one URL.

`server/main.mjs` does the work; this module starts it, knows when it is ready, whether it is well,
and, when it is not, why. Another server could take its place behind the same few methods.
"""

from __future__ import annotations

import contextlib
import json
import select
import shutil
import subprocess
from pathlib import Path
from typing import IO, Any

import httpx

from taximeter.stack.settings import Keys, StackError

SERVER = Path(__file__).parent / "server" / "main.mjs"
START_SECONDS = 20.0
STOP_SECONDS = 5.0
LOG_LINES = 15


def probe(url: str, publishable_key: str) -> dict[str, bool]:
    """Asks both parts; one is well when it answers without a server error."""
    paths = {"rest": "/rest/v1/plans?limit=0", "auth": "/auth/v1/health"}
    headers = {"apikey": publishable_key}
    well = {}
    with httpx.Client(base_url=url, headers=headers, timeout=5, trust_env=False) as client:
        for part, path in paths.items():
            try:
                well[part] = client.get(path).status_code < httpx.codes.INTERNAL_SERVER_ERROR
            except httpx.HTTPError:
                well[part] = False
    return well


class Api:
    """Owns the API process: started once, always ended."""

    def __init__(
        self,
        *,
        rest_database_url: str,
        auth_database_url: str,
        keys: Keys,
        port: int,
        max_body_bytes: int,
        log: Path,
    ) -> None:
        self.port = port
        self._keys = keys
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self._settings = {
            "rest_database_url": rest_database_url,
            "auth_database_url": auth_database_url,
            "port": port,
            "max_body_bytes": max_body_bytes,
            "jwt_secret": keys.jwt_secret,
            "publishable_key": keys.publishable,
            "secret_key": keys.secret,
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Starts the process and returns when it listens; `port` is then the one it got."""
        node = shutil.which("node")
        if node is None:
            raise StackError(
                "Node.js is not installed.", "Install Node.js 20 or newer, then run `make setup`."
            )
        with self._log.open("w") as log:
            # Its own session: Ctrl-C reaches the supervisor, which ends the parts in order.
            self._process = subprocess.Popen(
                [node, str(SERVER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        try:
            # By standard input, because arguments and environment can be read by others.
            self._send(json.dumps(self._settings))
            message = self._read_message()
        except BaseException:
            self.stop()
            raise
        if message.get("event") != "ready":
            self.stop()
            raise StackError(
                f"The API did not start: {message.get('message', 'no reason given')}",
                f"Its log is {self._log}. `taximeter doctor` tells what is missing.",
            )
        self.port = int(message["port"])

    def stop(self) -> None:
        """Ends the process; harmless when it has ended already."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin:
            # It reads until the end of its input and then ends by itself.
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()

    def died(self) -> str | None:
        """Why the process is gone, or None while it runs."""
        if self._process is None:
            return "it was never started"
        code = self._process.poll()
        if code is None:
            return None
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        lines = self.log_tail()
        return f"{how}, its last words: {lines}" if lines else how

    def health(self) -> dict[str, bool]:
        return probe(self.url, self._keys.publishable)

    def log_tail(self) -> str:
        try:
            return "\n".join(self._log.read_text().splitlines()[-LOG_LINES:])
        except OSError:
            return ""

    def _stream(self, name: str) -> IO[str]:
        stream: IO[str] | None = getattr(self._process, name)
        assert stream is not None, "the process is started with pipes"  # noqa: S101
        return stream

    def _send(self, line: str) -> None:
        stdin = self._stream("stdin")
        try:
            stdin.write(f"{line}\n")
            stdin.flush()
        except BrokenPipeError as error:
            raise StackError(
                f"The API ended at once: {self.died()}",
                "Node.js 20 or newer is needed; `taximeter doctor` tells what is missing.",
            ) from error

    def _read_message(self) -> dict[str, Any]:
        stdout = self._stream("stdout")
        readable, _, _ = select.select([stdout], [], [], START_SECONDS)
        if not readable:
            raise StackError(
                f"The API was not ready after {START_SECONDS:.0f} s.", f"Its log is {self._log}."
            )
        line = stdout.readline()
        if not line:
            if self._process:
                self._process.wait(STOP_SECONDS)
            raise StackError(
                f"The API ended before it was ready: {self.died()}",
                "Run `make setup`; `taximeter doctor` tells what is missing.",
            )
        message: dict[str, Any] = json.loads(line)
        return message
