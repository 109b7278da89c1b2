"""A primary and its streaming standby: when the one is killed, the other takes its place."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from crash.victim import Victim
from support.database import Server
from support.processes import until
from support.standby import Standby
from taximeter.stack.postgres import SUPERUSER, Cluster

NAME = "standby"


class Pair(Victim):
    """Clients go to whichever is the primary now."""

    standby: Standby

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._is_synchronous = False
        self._made: list[Cluster] = [self.cluster]

    def start(self) -> None:
        super().start()
        self.add_standby()

    def destroy(self) -> None:
        for cluster in reversed(self._made):
            cluster.destroy()

    @property
    def standby_server(self) -> Server:
        return Server(self.folder, "embedded", "127.0.0.1", self.standby.port)

    def add_standby(self) -> None:
        folder = self.folder / f"standby{len(self._made)}"
        self.standby = Standby(self.cluster, folder, NAME)
        self._made.append(self.standby)
        self.standby.start()
        until(lambda: self._has_standby("streaming"))
        if self._is_synchronous:
            self._wait_for_standby()

    @contextmanager
    def synchronous(self) -> Iterator[None]:
        """A commit is acknowledged when the standby has it too."""
        self._is_synchronous = True
        self._wait_for_standby()
        try:
            yield
        finally:
            self._is_synchronous = False
            self._wait_for("")

    def kill_server(self, chance: random.Random) -> str:
        """The primary dies for good, and the standby takes over. With the copy came the name that
        the old one waited for, and the new one has no standby yet."""
        self.kill_cluster(chance)
        self.standby.promote()
        self.cluster = self.standby
        self._wait_for("")
        self.add_standby()
        return "the primary"

    def _wait_for_standby(self) -> None:
        self._wait_for(NAME)
        until(lambda: self._has_standby("streaming", "sync"))

    def _wait_for(self, name: str) -> None:
        with psycopg.connect(self.cluster.url(user=SUPERUSER), autocommit=True) as connection:
            connection.execute(
                sql.SQL("alter system set synchronous_standby_names = {}").format(name)
            )
            connection.execute("select pg_reload_conf()")

    def _has_standby(self, state: str, sync_state: str = "async") -> bool:
        with psycopg.connect(self.cluster.url(user=SUPERUSER), autocommit=True) as connection:
            found = connection.execute(
                "select from pg_stat_replication where (state, sync_state) = (%s, %s)",
                (state, sync_state),
            ).fetchone()
        return found is not None
