"""PgBouncer in transaction mode, between clients and a test's server.

After every transaction its server connection goes to whichever client is next, so nothing that a
client leaves on one is there when it comes back. As root it becomes the server's user by itself.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
from psycopg.rows import dict_row

from support.missing import need
from support.processes import until
from taximeter.stack.postgres import SUPERUSER, free_port, port_is_free
from taximeter.stack.process import Group, Member

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.database import Server
    from support.world import Connection

PROGRAM = "pgbouncer"
LOGINS = (
    SUPERUSER,
    "authenticator",
    "postgres",
    "stack_rest",
    "supabase_auth_admin",
    "supabase_storage_admin",
)
# What PgBouncer sets on a server connection for the client that gets it.
CARRIED = (
    "application_name",
    "client_encoding",
    "DateStyle",
    "standard_conforming_strings",
    "TimeZone",
)


@contextmanager
def pooler(server: Server, size: int = 5) -> Iterator[Server]:
    """The same server behind so many server connections for each database and login."""
    # Debian keeps it where only root's PATH leads.
    program = shutil.which(PROGRAM, path=f"{os.environ['PATH']}:/usr/sbin")
    need(PROGRAM, is_there=program is not None, from_where="`make setup` as root installs it")
    assert program is not None
    folder = server.folder / f"{PROGRAM}-{secrets.token_hex(6)}"
    folder.mkdir()
    port = free_port()
    _configure(folder, server, port, size)
    group, process = Group(), Member(PROGRAM, folder / "log")
    try:
        process.launch([program, "-q", str(folder / "ini")], {"PATH": os.defpath}, group)
        until(lambda: _listens(process, port))
        yield replace(server, host="127.0.0.1", port=port)
    finally:
        group.end()
        process.stop()


def connect(through: Server, database: str, login: str = "authenticator") -> Connection:
    """A client that prepares nothing, as behind a transaction pooler it must."""
    return psycopg.connect(
        through.url(database, login), autocommit=True, row_factory=dict_row, prepare_threshold=None
    )


def _configure(folder: Path, server: Server, port: int, size: int) -> None:
    (folder / "users").write_text("".join(f'"{login}" ""\n' for login in LOGINS))
    (folder / "ini").write_text(
        f"""\
[databases]
* = host={server.host} port={server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 300
{"user = postgres" if os.geteuid() == 0 else ""}
"""
    )


def _listens(process: Member, port: int) -> bool:
    assert (why := process.died()) is None, why
    return not port_is_free(port)
