"""A streaming standby of a test's cluster, made by pg_basebackup, in a folder of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg

from support.missing import need
from taximeter.stack.postgres import SUPERUSER, Cluster

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = "pg_basebackup"
PATIENCE_SECONDS = 60.0


class Standby(Cluster):
    """Read-only, until it is promoted. The primary knows it by its name."""

    def __init__(self, primary: Cluster, directory: Path, name: str) -> None:
        super().__init__(directory, bin_dir=primary.bin_dir, cron=False)
        self.primary = primary
        self.name = name

    def start(self) -> None:
        need(
            PROGRAM,
            is_there=(self.bin_dir / PROGRAM).exists(),
            from_where="this PostgreSQL comes without it",
        )
        super().start()

    def _initialise(self) -> None:
        self._run(
            PROGRAM,
            *("--pgdata", str(self.data), "--write-recovery-conf", "--checkpoint=fast"),
            f"--dbname=host=127.0.0.1 port={self.primary.port} user={SUPERUSER} sslmode=disable"
            f" application_name={self.name}",
        )
        # What the primary was prepared with has come with the copy.
        (self.directory / "ready").touch()

    def catch_up(self) -> None:
        """Returns when everything that the primary has committed can be read here."""
        with psycopg.connect(self.primary.url(user=SUPERUSER), autocommit=True) as connection:
            row = connection.execute("select pg_current_wal_flush_lsn()::text").fetchone()
        assert row is not None
        deadline = time.monotonic() + PATIENCE_SECONDS
        with psycopg.connect(self.url(user=SUPERUSER), autocommit=True) as connection:
            while not _is_true(connection, "select pg_last_wal_replay_lsn() >= %s::pg_lsn", row[0]):
                assert time.monotonic() < deadline, "the standby does not catch up"
                time.sleep(0.01)

    def stop_receiving(self) -> None:
        """What the primary commits from now on does not come here any more."""
        with psycopg.connect(self.url(user=SUPERUSER), autocommit=True) as connection:
            connection.execute("alter system set primary_conninfo = ''")
            connection.execute("select pg_reload_conf()")
            deadline = time.monotonic() + PATIENCE_SECONDS
            while _is_true(connection, "select exists (select from pg_stat_wal_receiver)"):
                assert time.monotonic() < deadline, "the standby goes on receiving"
                time.sleep(0.01)

    def promote(self) -> None:
        self._run("pg_ctl", "promote", "-D", str(self.data), "-w", "-t", "60")


def _is_true(connection: psycopg.Connection, query: str, *params: object) -> bool:
    row = connection.execute(query.encode(), params).fetchone()
    assert row is not None
    return bool(row[0])
