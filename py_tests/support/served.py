"""The API on a database of its own, and people who use it through the official client."""

from __future__ import annotations

import json
import os
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import psycopg
from psycopg.rows import dict_row
from supabase import ClientOptions, PostgrestAPIError, create_client

from taximeter.people import Person, grant_admin, sign_up
from taximeter.stack.api import Api
from taximeter.stack.postgres import home
from taximeter.stack.settings import MAX_BODY_BYTES, MAX_UPLOAD_BYTES, Settings, load_keys
from taximeter.stack.supervisor import remove, stop_running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from support.database import Server
    from taximeter.stack.settings import Keys


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as a client sees it: the HTTP status and what the client library makes of it."""

    status: int
    code: str
    message: str
    details: str
    hint: str


@dataclass(slots=True)
class Served:
    """An API that answers, the database behind it, and short ways to act on both."""

    url: str
    keys: Keys
    database_url: Callable[[str], str]
    route: Callable[[Mapping[str, str], str | None], None]
    storage_directory: Path
    operator_person: Person | None = field(default=None)

    def connect(self, user: str = "postgres") -> psycopg.Connection[dict[str, Any]]:
        return psycopg.connect(self.database_url(user), autocommit=True, row_factory=dict_row)

    def person(self, name: str = "person") -> Person:
        return sign_up(self.url, self.keys.publishable, f"{name}-{uuid.uuid4().hex[:12]}")

    def operator(self) -> Person:
        if self.operator_person is None:
            self.operator_person = self.person("operator")
            grant_admin(self.database_url("postgres"), self.operator_person.email)
        return self.operator_person

    def mechanic(self) -> Person:
        mechanic = self.person("mechanic")
        mechanic.row("apply_as_mechanic", p_specialties=["brakes"])
        self.operator().row(
            "set_mechanic_status", p_mechanic_id=mechanic.user_id, p_status="approved"
        )
        return mechanic

    def waiting_session(self, customer: Person, mechanic: Person) -> str:
        """A free session that the mechanic has accepted."""
        session_id = str(customer.row("create_session", p_plan="chat10")["id"])
        mechanic.row("accept_assignment", p_assignment_id=self.assignment(session_id))
        return session_id

    def assignment(self, session_id: str) -> str:
        with self.connect() as connection:
            row = connection.execute(
                "select id from public.session_assignments where session_id = %s "
                "order by created_at desc limit 1",
                (session_id,),
            ).fetchone()
        assert row is not None
        return str(row["id"])

    def token(self, **claims: object) -> str:
        now = int(time.time())
        return jwt.encode(
            {"aud": "authenticated", "iat": now, "exp": now + 600, **claims},
            self.keys.jwt_secret,
            algorithm="HS256",
        )

    def http(self, key: str | None = None, token: str | None = None) -> httpx.Client:
        headers = {"apikey": key} if key else {}
        if token:
            headers["authorization"] = f"Bearer {token}"
        return httpx.Client(base_url=self.url, headers=headers, timeout=20, trust_env=False)


def refusal(person: Person, function: str, **arguments: object) -> Refusal:
    """What the official client says when the call is refused; letting it through is a failure."""
    statuses: list[int] = []

    def note(response: httpx.Response) -> None:
        statuses.append(response.status_code)

    session = person.client.postgrest.session
    session.event_hooks["response"].append(note)
    try:
        answer = person.client.rpc(function, arguments).execute()
    except PostgrestAPIError as error:
        return Refusal(
            statuses[-1],
            str(error.code),
            str(error.message),
            _text(error.details),
            _text(error.hint),
        )
    finally:
        session.event_hooks["response"].remove(note)
    raise AssertionError(f"{function} was let through: {answer.data}")


def anonymous(served: Served) -> Person:
    """Somebody with the publishable key and nothing else."""
    options = ClientOptions(auto_refresh_token=False, persist_session=False)
    client = create_client(served.url, served.keys.publishable, options)
    return Person("anonymous", "", "", client)


@contextmanager
def served_clone(server: Server, through: Server | None = None) -> Iterator[Served]:
    """The API on a migrated database of its own, on the server that the run uses (TEST-02).

    `through` is the same server behind a transaction pooler, which remembers no prepared statement.
    """
    database = server.clone(server.template())
    folder = server.folder / database.name
    folder.mkdir()
    keys = load_keys(folder / "keys.json")

    def url_for(login: str) -> str:
        if through is None:
            return database.url_for(login)
        return f"{through.url(database.name, login)}&prepare=false"

    api = Api(
        rest_database_url=url_for("stack_rest"),
        auth_database_url=url_for("supabase_auth_admin"),
        storage_database_url=url_for("supabase_storage_admin"),
        storage_directory=folder / "storage",
        keys=keys,
        port=0,
        max_body_bytes=MAX_BODY_BYTES,
        max_upload_bytes=MAX_UPLOAD_BYTES,
        log=folder / "api.log",
    )
    try:
        api.start()
        yield Served(api.url, keys, database.url_for, api.route, folder / "storage")
    finally:
        api.stop()
        database.drop()


@contextmanager
def stack_folder() -> Iterator[Path]:
    """A folder for a whole stack, which the server's user can enter; gone afterwards.

    Its name tells the next run whose it was, should this one be killed.
    """
    folder = home() / "tests" / f"run-{os.getpid()}-{uuid.uuid4().hex[:12]}"
    try:
        yield folder
    finally:
        # The command line's stack has a folder of its own in its home.
        for directory in (folder / "stack", folder):
            stop_running(Settings(directory=directory))
            remove(Settings(directory=directory))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
