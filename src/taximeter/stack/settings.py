"""What a local stack is made of: where it lives, which ports it asks for, which keys it uses.

Every stack has a folder of its own, so that two of them (the one a developer works with, the
demo's, a test's) never share a database, a key or a log.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING

from taximeter.stack.postgres import CHECKOUT, home

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

API_PORT = 54321
DATABASE_PORT = 54322
MAX_BODY_BYTES = 1024 * 1024
MAX_UPLOAD_BYTES = 12 * 1024 * 1024


class StackError(Exception):
    """Something the person at the keyboard can act on: what happened, and what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Settings:
    """One stack: its folder and the ports it would like to have."""

    directory: Path = field(default_factory=lambda: home() / "stack")
    api_port: int = API_PORT
    database_port: int | None = DATABASE_PORT
    cron: bool = True
    project: Path = CHECKOUT
    max_body_bytes: int = MAX_BODY_BYTES
    # What the edge functions read besides what the stack makes and `functions/.env` says.
    functions_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    # The demo people of supabase/seed.sql.
    seed: bool = False
    max_upload_bytes: int = MAX_UPLOAD_BYTES

    @property
    def cluster_directory(self) -> Path:
        return self.directory / "db"

    @property
    def storage_directory(self) -> Path:
        return self.directory / "storage"

    @property
    def keys_file(self) -> Path:
        return self.directory / "keys.json"

    @property
    def state_file(self) -> Path:
        return self.directory / "state.json"

    @property
    def lock_file(self) -> Path:
        return self.directory / "lock"

    @property
    def functions_directory(self) -> Path:
        return self.project / "supabase" / "functions"

    @property
    def api_log(self) -> Path:
        return self.directory / "api.log"

    @property
    def realtime_log(self) -> Path:
        return self.directory / "realtime.log"

    @property
    def functions_logs(self) -> Path:
        return self.directory / "functions"

    @property
    def supervisor_log(self) -> Path:
        return self.directory / "supervisor.log"


@dataclass(frozen=True, slots=True)
class Keys:
    """What clients and servers identify themselves with; one set for each stack."""

    publishable: str
    secret: str
    jwt_secret: str
    dispatch_secret: str
    cron_secret: str
    health_secret: str


def _api_key(kind: str) -> str:
    body = f"sb_{kind}_{secrets.token_urlsafe(16)[:22]}"
    digest = hashlib.sha256(body.encode()).digest()
    return f"{body}_{base64.urlsafe_b64encode(digest).decode()[:8]}"


def load_keys(file: Path) -> Keys:
    """The keys of a stack, made on first use in a file that only its owner can read."""
    try:
        kept = json.loads(file.read_text()) if file.exists() else {}
        keys = Keys(**_new_keys() | kept)
    except (ValueError, TypeError) as error:
        raise StackError(
            f"The key file {file} cannot be read.", "Delete it; the next start makes new keys."
        ) from error
    # Also when a key has been added since they were made.
    if asdict(keys) != kept:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_private(file, json.dumps(asdict(keys)))
    return keys


def _new_keys() -> dict[str, str]:
    made = {key.name: secrets.token_urlsafe(48) for key in fields(Keys)}
    return made | {"publishable": _api_key("publishable"), "secret": _api_key("secret")}


def write_private(file: Path, text: str) -> None:
    """Writes a file in one step, readable by its owner only."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    temporary.replace(file)
