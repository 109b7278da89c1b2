"""The jobs as pg_cron has and runs them, in the one database of the cluster where pg_cron lives."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from support.database import Database
from support.world import Connection, Row, World

JOBS = {
    "dispatch-outbox",
    "expire-orphaned-sessions",
    "monitor-sessions",
    "prune-history",
    "tick-sessions",
}
EVERY_MINUTE = "* * * * *"
# A job of every minute begins with the next one; then it has to connect and work.
CRON_TIMEOUT_SECONDS = 90


@pytest.fixture
def operator(cron_db: Database) -> Iterator[Connection]:
    with cron_db.connect("postgres") as connection:
        yield connection
        connection.execute("select private.setup_cron()")


def _jobs(operator: Connection) -> dict[str, Row]:
    found = operator.execute(
        "select jobid, jobname, schedule, command, database, username, active from cron.job"
    ).fetchall()
    return {str(job["jobname"]): job for job in found}


def _called(operator: Connection, function: str) -> object:
    row = operator.execute(f"select {function}() as answer".encode()).fetchone()
    assert row is not None
    return row["answer"]


def test_migrations_schedule_every_job(operator: Connection) -> None:
    """TIME-05, TIME-07: the five jobs, each as often as it should and this pg_cron can."""
    row = operator.execute("select extversion from pg_extension where extname = 'pg_cron'")
    version = tuple(int(part) for part in row.fetchall()[0]["extversion"].split("-")[0].split("."))
    often = "10 seconds" if version >= (1, 5) else EVERY_MINUTE
    jobs = _jobs(operator)
    assert {name: job["schedule"] for name, job in jobs.items()} == {
        "dispatch-outbox": often,
        "expire-orphaned-sessions": "7 * * * *",
        "monitor-sessions": "*/5 * * * *",
        "prune-history": "23 3 * * *",
        "tick-sessions": often,
    }
    assert {(job["username"], job["database"], job["active"]) for job in jobs.values()} == {
        ("postgres", "postgres", True)
    }


def test_setting_up_again_changes_nothing(operator: Connection) -> None:
    """TIME-07: setup_cron is idempotent: the same jobs, not second ones; one that was changed
    becomes what it was."""
    before = _jobs(operator)
    assert _called(operator, "private.setup_cron") == len(JOBS)
    assert _jobs(operator) == before
    operator.execute("select cron.schedule('tick-sessions', '0 0 1 1 *', 'select 1')")
    assert _jobs(operator) != before
    assert _called(operator, "private.setup_cron") == len(JOBS)
    assert _jobs(operator) == before


def test_teardown_removes_only_ours_and_setup_brings_them_back(operator: Connection) -> None:
    """TIME-07: teardown_cron removes our jobs by name, twice without an error; others stay."""
    operator.execute("select cron.schedule('not-ours', '0 3 * * *', 'select 1')")
    try:
        assert _called(operator, "private.teardown_cron") == len(JOBS)
        assert _called(operator, "private.teardown_cron") == 0
        assert set(_jobs(operator)) == {"not-ours"}
        assert _called(operator, "private.setup_cron") == len(JOBS)
        assert set(_jobs(operator)) == JOBS | {"not-ours"}
    finally:
        operator.execute("select cron.unschedule(jobid) from cron.job where jobname = 'not-ours'")


@pytest.mark.parametrize("job", sorted(JOBS))
def test_the_scheduled_command_runs(operator: Connection, job: str) -> None:
    """TIME-07: what pg_cron would run, run as it would, succeeds and is on record."""
    began = datetime.now(UTC)
    operator.execute(str(_jobs(operator)[job]["command"]).encode())
    found = operator.execute(
        "select last_started_at, is_late, last_error from private.job_health() where job = %s",
        (job,),
    ).fetchone()
    assert found is not None
    assert found.pop("last_started_at") > began - timedelta(seconds=5)
    assert found == {"is_late": False, "last_error": None}


def test_history_of_pg_cron_is_pruned(operator: Connection) -> None:
    """TIME-07: old rows of cron.job_run_details go, those of runs that never began too."""
    now = datetime.now(UTC)
    old, new = now - timedelta(days=60), now - timedelta(hours=1)
    operator.execute("delete from cron.job_run_details where command like 'select ''test%%'", ())
    first = operator.execute(
        "select coalesce(min(runid), 1000) - 1000 as runid from cron.job_run_details"
    ).fetchall()[0]["runid"]
    # (pg_cron leaves both times empty when it could not connect.)
    rows = [
        (first + 1, "test: never began", "failed", None, None),
        (first + 2, "test: broke off", "running", old, None),
        (first + 3, "test: old", "succeeded", old, old),
        (first + 4, "test: old failure", "failed", old, old),
        (first + 5, "test: new", "succeeded", new, new),
        (first + 6, "test: goes on", "running", new, None),
        (first + 7, "test: did not begin", "failed", None, None),
    ]
    with operator.cursor() as cursor:
        cursor.executemany(
            "insert into cron.job_run_details"
            " (jobid, runid, command, status, start_time, end_time)"
            " values (0, %s, format('select %%L', %s::text), %s, %s, %s)",
            rows,
        )
    operator.execute("select private.run_job('prune-history')")
    left = operator.execute(
        "delete from cron.job_run_details where jobid = 0 returning runid, command"
    ).fetchall()
    assert [row["command"] for row in sorted(left, key=lambda row: row["runid"])] == [
        "select 'test: new'",
        "select 'test: goes on'",
        "select 'test: did not begin'",
    ]


def test_a_job_goes_on_while_there_is_more(operator: Connection, world: World) -> None:
    """TIME-04, TIME-07: the command repeats the job while it says more, each time in a transaction
    of its own, and a failure ends it."""
    command = str(_jobs(operator)["tick-sessions"]["command"])
    made = [world.live_session().id for _ in range(5)]
    # Batches of two, so that five sessions take three.
    source = world.row("select pg_get_functiondef('private.run_job(text)'::regprocedure) as text")[
        "text"
    ]
    assert source.count("private.tick_sessions(500, 2)") == 1
    smaller = source.replace("private.tick_sessions(500, 2)", "private.tick_sessions(2, 2)")
    world.db.connect().execute(smaller.encode())
    world.clock_at(world.now() + timedelta(hours=2))

    world.db.connect().execute(command.encode())

    ended = world.rows("select id from public.sessions where ended_at is not null")
    assert {row["id"] for row in ended} == set(made)
    # (A message carries the time at which its transaction began.)
    transactions = world.rows(
        "select distinct inserted_at from realtime.messages where event = 'session:ended'"
    )
    assert len(transactions) == 3

    # The second time round fails: what the first did stays, and it is not tried for ever.
    world.execute("create table private.rounds (n integer)")
    world.execute(
        """
        create or replace function private.run_job(p_job text) returns jsonb language plpgsql as $$
        begin
          insert into private.rounds (n) values (1);
          if (select count(*) from private.rounds) < 2 then return '{"more": true}'; end if;
          return null;
        end
        $$
        """
    )
    world.db.connect().execute(command.encode())
    assert world.row("select count(*) from private.rounds") == {"count": 2}


def test_a_run_does_not_wait_for_another_to_be_recorded(world: World) -> None:
    """TIME-04, TIME-07: who holds the record of a job does not hold up its next run."""
    holder = world.connect("system", autocommit=False)
    holder.execute("select 1 from private.job_runs where job = 'tick-sessions' for update")
    runner = world.connect("system")
    runner.execute("set lock_timeout = '500ms'")
    runner.execute("select private.run_job('tick-sessions')")
    assert world.rows("select error from private.job_runs where is_failure") == []
    holder.rollback()
    runner.execute("select private.run_job('tick-sessions')")
    ran = world.row("select started_at from private.job_runs where job = 'tick-sessions'")
    assert ran["started_at"] is not None


def _overdue(world: World) -> UUID:
    """A session whose time was over five minutes ago, after three quarters of an hour together."""
    made = world.live_session("video15")
    world.execute(
        """
        update public.sessions set
          started_at = now() - interval '50 minutes', expires_at = now() - interval '5 minutes',
          created_at = now() - interval '1 hour', accepted_at = now() - interval '1 hour',
          last_event_at = now() - interval '50 minutes'
        where id = %s
        """,
        made.id,
    )
    world.execute(
        "update public.session_participants set first_joined_at = now() - interval '50 minutes',"
        " last_seen_at = now() - interval '5 minutes' where session_id = %s",
        made.id,
    )
    return made.id


def _orphan(world: World) -> UUID:
    """A session that nobody took for three hours."""
    session, _ = world.queued_session()
    world.execute(
        "update public.sessions set created_at = now() - interval '3 hours' where id = %s", session
    )
    return session


@pytest.mark.slow
def test_pg_cron_runs_the_jobs(operator: Connection, cron_db: Database) -> None:
    """TIME-03, TIME-05, TIME-07: pg_cron itself, as postgres, ends a session whose time is over and
    expires one that nobody took, without any caller, and keeps what each run did."""
    tick = _jobs(operator)["tick-sessions"]
    with World(cron_db) as world:
        overdue, orphan = _overdue(world), _orphan(world)
        # The job itself, every minute instead of at the seventh of every hour.
        command = _jobs(operator)["expire-orphaned-sessions"]["command"]
        hourly = operator.execute(
            "select cron.schedule('expire-orphaned-sessions', %s, %s) as jobid",
            (EVERY_MINUTE, command),
        ).fetchall()[0]["jobid"]

        # Runs from here on have everything before them.
        began = operator.execute("select clock_timestamp() as now").fetchall()[0]["now"]
        deadline = time.monotonic() + CRON_TIMEOUT_SECONDS
        runs: list[Row] = []
        while time.monotonic() < deadline:
            runs = operator.execute(
                "select distinct on (jobid) jobid, status, username, return_message"
                " from cron.job_run_details"
                " where jobid in (%s, %s) and start_time >= %s"
                " and status in ('succeeded', 'failed')"
                " order by jobid, runid",
                (tick["jobid"], hourly, began),
            ).fetchall()
            if len(runs) == 2:
                break
            time.sleep(0.5)

        assert {(run["status"], run["username"]) for run in runs} == {("succeeded", "postgres")}
        assert {run["jobid"] for run in runs} == {tick["jobid"], hourly}
        ended = world.session(overdue)
        assert (ended["status"], ended["duration_seconds"]) == ("completed", 45 * 60)
        assert ended["ended_at"] == ended["expires_at"]
        expired = world.session(orphan)
        assert (expired["status"], expired["end_reason"]) == ("expired", "orphaned")
        for session in (overdue, orphan):
            event = world.row(
                "select actor_id, actor_role from public.session_events"
                " where session_id = %s and type = 'ended'",
                session,
            )
            assert event == {"actor_id": None, "actor_role": "system"}
        results = {
            row["job"]: row["result"]
            for row in world.rows(
                "select job, result from private.job_runs where not is_failure and ended_at >= %s",
                began,
            )
        }
        assert results["tick-sessions"]["errors"] == 0
        assert results["expire-orphaned-sessions"].keys() == {"expired"}
