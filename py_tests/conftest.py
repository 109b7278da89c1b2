"""The fixtures every test shares: one server a run, one database a test."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.database import Database, Run, Server
from support.missing import WITHOUT, known, unexpected

FOLDER = "TAXIMETER_TEST_RUN"
RUN = pytest.StashKey[Run]()
BY_HAND = "rows_are_changed_by_hand"


def is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_configure() -> None:
    """In the background of a shell a run ignores Ctrl-C, and so would every program it tests."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionstart(session: pytest.Session) -> None:
    """The process that owns the run starts the server before workers ask for it."""
    config = session.config
    if is_worker(config) or config.option.collectonly:
        return
    run = Run.begin()
    config.stash[RUN] = run
    os.environ[FOLDER] = str(run.folder)
    server = run.start_server()
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"database: {server.described()}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A skip that nobody has allowed fails the run (TEST-03)."""
    if is_worker(session.config) or exitstatus not in {0, pytest.ExitCode.NO_TESTS_COLLECTED}:
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    skips = (str(report.longrepr) for report in reporter.stats.get("skipped", []))
    for reason in unexpected(skips, known()):
        reporter.write_line(f"skipped, and {WITHOUT} does not allow it: {reason}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    run = config.stash.get(RUN, None)
    if run is not None:
        run.end()


@pytest.fixture(scope="session")
def server() -> Server:
    return Server.read(Path(os.environ[FOLDER]))


@pytest.fixture
def db(server: Server, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A migrated database of the test's own, without pg_cron."""
    database = server.clone(server.template())
    database.is_changed_by_hand = request.node.get_closest_marker(BY_HAND) is not None
    yield database
    database.drop()


@pytest.fixture
def exposed_db(server: Server) -> Iterator[Database]:
    """Like `db`, made under the platform's old default privileges, which expose new objects."""
    database = server.clone(server.template(exposed=True))
    yield database
    database.drop()


@pytest.fixture
def platform_db(server: Server) -> Iterator[Database]:
    """A database with the platform and nothing of ours."""
    database = server.clone(server.platform_template())
    yield database
    database.drop()


@pytest.fixture
def cron_db(server: Server) -> Iterator[Database]:
    """The server's `postgres` database, where pg_cron runs: one test at a time, which tidies up."""
    server.need("pg_cron")
    database = Database(server, server.migrated_postgres())
    with server.lock("cron"):
        yield database
        database.close()
