"""The hourly job as pg_cron has it, in the one database of the cluster where pg_cron lives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.database import Database
from support.world import Connection

JOB = "expire-orphaned-sessions"


@pytest.fixture
def operator(cron_db: Database) -> Iterator[Connection]:
    with cron_db.connect("postgres") as connection:
        yield connection
        connection.execute("select private.setup_cron()")


def _jobs(operator: Connection) -> list[dict[str, object]]:
    return operator.execute(
        "select jobid, schedule, command, username, active from cron.job where jobname = %s",
        (JOB,),
    ).fetchall()


def test_migrations_schedule_the_job_hourly(operator: Connection) -> None:
    """TIME-05, TIME-07: pg_cron has the job, hourly, as postgres."""
    (job,) = _jobs(operator)
    minute, *rest = str(job["schedule"]).split()
    assert minute.isdigit()
    assert rest == ["*", "*", "*", "*"]
    assert job["username"] == "postgres"
    assert job["active"] is True


def test_setting_up_again_changes_nothing(operator: Connection) -> None:
    """TIME-07: setup_cron is idempotent: the same job, not a second one."""
    before = _jobs(operator)
    operator.execute("select private.setup_cron()")
    assert _jobs(operator) == before


def test_teardown_removes_only_ours_and_setup_brings_it_back(operator: Connection) -> None:
    """TIME-07: teardown_cron removes our jobs by name, twice without an error; others stay."""
    operator.execute("select cron.schedule('not-ours', '0 3 * * *', 'select 1')")
    try:
        operator.execute("select private.teardown_cron()")
        operator.execute("select private.teardown_cron()")
        assert _jobs(operator) == []
        other = operator.execute("select 1 from cron.job where jobname = 'not-ours'").fetchall()
        assert len(other) == 1
        operator.execute("select private.setup_cron()")
        assert len(_jobs(operator)) == 1
    finally:
        operator.execute("select cron.unschedule(jobid) from cron.job where jobname = 'not-ours'")


def test_the_scheduled_command_runs(operator: Connection) -> None:
    """TIME-05, TIME-07: what pg_cron would run, run as it would, succeeds and is on record."""
    (job,) = _jobs(operator)
    operator.execute(str(job["command"]).encode())
    found = operator.execute(
        "select count(*) as runs, max(ended_at) as ended_at from private.job_runs"
        " where job = %s and not is_failure",
        (JOB,),
    ).fetchone()
    assert found is not None
    assert found["runs"] == 1
    assert found["ended_at"] is not None
