"""A server of its own that is killed with SIGKILL, in part or as a whole, and started again.

Nothing of it is written to the disk on purpose (`fsync` is off, as for every test server): what a
process has written is kept by the kernel, whichever process dies, and only that is at stake here.
But the kernel may be stopped between the two pages of one block, so full pages are written.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import psycopg

from support.database import Run, Server
from taximeter.stack.postgres import SUPERUSER, Cluster, free_port, push_migrations

PATIENCE_SECONDS = 60.0
# A server that dies as a whole leaves its children behind for at most so long.
ORPHANED_SECONDS = 0.03
LASTING = ("checkpointer", "background writer", "walwriter", "launcher")


class Victim:
    """Children of the postmaster are found by their parent, so nobody else's process is hit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cluster = Cluster(folder / "db", port=free_port(), cron=False)

    @classmethod
    @contextmanager
    def lent(cls) -> Iterator[Self]:
        """One that nobody else uses, gone when the block ends."""
        run = Run.begin()
        made = cls(run.folder)
        try:
            made.start()
            yield made
        finally:
            made.destroy()
            run.end()

    def start(self) -> None:
        self.cluster.start()
        with psycopg.connect(self.cluster.url(user=SUPERUSER), autocommit=True) as connection:
            connection.execute("alter system set full_page_writes = on")
            connection.execute("alter system set autovacuum_naptime = '1s'")
            connection.execute("alter system set checkpoint_timeout = '30s'")
            connection.execute("select pg_reload_conf()")
        push_migrations(self.cluster.url())

    def destroy(self) -> None:
        self.cluster.destroy()

    @property
    def server(self) -> Server:
        """Where it listens now: another port, if somebody took its own while it was down."""
        return Server(self.folder, "embedded", "127.0.0.1", self.cluster.port)

    def url(self, database: str, login: str) -> str:
        """Where clients go."""
        return self.cluster.url(database, login)

    def clone(self, name: str) -> None:
        self.cluster.create_database(name, template="postgres")

    def kill_backend(self, clients: set[int], chance: random.Random) -> str:
        """Kills one of these backends or of the server's own processes; the postmaster then ends
        all others and recovers. (One that was ending anyway would not be missed.)"""
        lasting = clients | {
            pid
            for pid in children(self._postmaster())
            if any(name in title_of(pid) for name in LASTING)
        }
        pid = chance.choice(sorted(lasting))
        os.kill(pid, signal.SIGKILL)
        return "a client's backend" if pid in clients else "a process of the server"

    def kill_server(self, chance: random.Random) -> str:
        """Kills the postmaster and then what it leaves behind, and starts it again."""
        self.kill_cluster(chance)
        self.cluster.start()
        return "the whole server"

    def kill_cluster(self, chance: random.Random) -> None:
        postmaster = self._postmaster()
        family = children(postmaster)
        os.kill(postmaster, signal.SIGKILL)
        if chance.random() < 0.5:
            time.sleep(chance.random() * ORPHANED_SECONDS)
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(is_alive(pid) for pid in {postmaster, *family}):
            assert time.monotonic() < deadline, "the killed server does not go away"
            time.sleep(0.002)
        # Whom nobody has buried yet still has his number, and would pass for a running server.
        (self.cluster.data / "postmaster.pid").unlink()

    def wait_until_up(self, database: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                psycopg.connect(self.cluster.url(database)).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "the server does not come back"
                time.sleep(0.01)
            else:
                return

    def _postmaster(self) -> int:
        return int((self.cluster.data / "postmaster.pid").read_text().splitlines()[0])


def children(parent: int) -> set[int]:
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def title_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""
