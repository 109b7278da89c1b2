"""Every kind of corruption shows where it should, tells what mends it, and is mended by that."""

from __future__ import annotations

import re
from typing import LiteralString

import pytest
from psycopg.errors import Diagnostic
from psycopg.rows import DictRow

from monitoring.corruptions import ALL, Corruption
from monitoring.stage import Stage
from support.database import Database


def test_lives_that_went_well_raise_no_alarm(stage: Stage) -> None:
    """MOV-01, MOV-02: sessions of every kind, and all sections ok, no alert, no review."""
    assert stage.sections() == {}
    assert stage.alerts() == set()
    assert stage.review() == []
    assert stage.rows("select * from public.verify_replay()") == []


def commands(sections: dict[int, list[DictRow]], review: list[DictRow]) -> list[str]:
    """What the review says, and then the verification, in the order an operator follows it."""
    first = sorted(review, key=lambda row: row["severity"])
    found = [finding for detail in sections.values() for finding in detail]
    return list(dict.fromkeys(row["command"] for row in [*first, *found]))


def is_for_a_person(command: str) -> bool:
    return command.startswith("-- ")


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_corruption(stage: Stage, kind: Corruption) -> None:
    """MOV-01, MOV-02, MON-20: its sections and only they fail, alert and review say it, and their
    commands mend it as pasted, or say what a person has to do.
    """
    with stage.spoiled(kind.plant):
        sections = stage.sections()
        assert set(sections) == kind.sections, sections
        assert stage.alerts() == kind.alerts
        stage.run("select private.audit()")
        review = stage.review()
        told = {row["kind"]: row["command"] for row in review}
        assert set(told) == set(kind.review), told
        for name, command in kind.review.items():
            assert command in told[name]
        mending = commands(sections, review)
        assert all(mending)
        if kind.needs_a_person:
            assert all(map(is_for_a_person, mending)), mending
            assert any(kind.says in command for command in mending), mending
            if not kind.by_hand:
                return
            stage.run(kind.by_hand)
            sections, review = stage.sections(), stage.review()
        # What is mended first may settle the rest.
        for _ in range(3):
            if all(map(is_for_a_person, mending)):
                break
            stage.run(next(command for command in mending if not is_for_a_person(command)))
            # As a commit would.
            stage.run("set constraints all immediate; set constraints all deferred")
            sections, review = stage.sections(), stage.review()
            mending = commands(sections, review)
        assert sections == {}
        assert stage.alerts() == set()
        assert review == []


def test_a_job_that_is_not_scheduled(cron_db: Database) -> None:
    """MOV-01: section 1 misses it, or finds it with another schedule; its command schedules it."""
    operator = cron_db.connect()
    for spoil in (
        "select cron.unschedule('tick-sessions')",
        "select cron.schedule('tick-sessions', '0 0 1 1 *', 'select 1')",
    ):
        with operator.transaction(force_rollback=True):
            operator.execute("select private.setup_cron()")
            operator.execute(spoil)
            found = operator.execute("select subject, command from private.structure_anomalies()")
            assert found.fetchall() == [
                {"subject": "job tick-sessions", "command": "select private.setup_cron();"}
            ]
            operator.execute("select private.setup_cron()")
            left = operator.execute("select from private.structure_anomalies()")
            assert left.fetchall() == []


def test_a_poor_hour_warns(stage: Stage) -> None:
    """MOV-01, MOV-04: section 8 warns, and nothing fails."""
    with stage.spoiled("select"):
        stage.run("select public.set_setting('health_no_show_bps', '0')")
        stage.run("select public.set_setting('health_expired_bps', '0')")
        found = stage.rows(
            "select section, status, detail ->> 'score' as score, detail ->> 'grade' as grade"
            " from public.verify_session_end_logic() where status <> 'ok'"
        )
        assert found == [{"section": 8, "status": "warn", "score": "60.0", "grade": "poor"}]


def test_it_has_eleven_sections(stage: Stage) -> None:
    """MOV-01: their numbers and names, in order; 7 says what happened today."""
    found = stage.rows(
        "select section, name, status, detail from public.verify_session_end_logic()"
    )
    assert [(row["section"], row["name"]) for row in found] == [
        (1, "functions, triggers, constraints and jobs"),
        (2, "final statuses"),
        (3, "join tracking"),
        (4, "data integrity"),
        (5, "payout accuracy"),
        (6, "metadata consistency"),
        (7, "recent activity"),
        (8, "health score"),
        (9, "state machine and replay"),
        (10, "ledger invariants"),
        (11, "jobs and outbox"),
    ]
    assert found[6]["detail"]["active"] == {
        "pending": 1,
        "scheduled": 1,
        "accepted": 1,
        "waiting": 1,
        "live": 1,
        "reconnecting": 1,
    }


def test_what_is_older_is_left_out(stage: Stage) -> None:
    """MOV-01: p_since; without it 35 days."""
    with stage.spoiled(
        "update public.sessions set billable_seconds = 30, updated_at = ended_at"
        " where id = tests.session_of('sent')"
    ):
        query = "select section from public.verify_session_end_logic({}) where status <> 'ok'"
        for since, sections in (("null", [2, 9]), ("tests.now() - interval '1 day'", [])):
            rows = stage.connection.execute(query.format(since).encode()).fetchall()
            assert [row["section"] for row in rows] == sections


def test_many_anomalies_are_counted_and_twenty_are_told(stage: Stage) -> None:
    """MOV-01: anomalies says how many, detail the first twenty."""
    with stage.spoiled(
        "insert into private.outbox (topic, key, payload, status, last_error)"
        " select 'push', 'lost ' || n, '{}', 'dead', 'gone' from generate_series(1, 30) n"
    ):
        (found,) = stage.rows(
            "select section, anomalies, jsonb_array_length(detail) as told"
            " from public.verify_session_end_logic() where status <> 'ok'"
        )
        assert found == {"section": 11, "anomalies": 30, "told": 20}


# However small the tables are; and every plan is told, those of nested statements too.
SETTINGS = (
    "set local max_parallel_workers_per_gather = 1",
    "set local parallel_setup_cost = 0",
    "set local parallel_tuple_cost = 0",
    "set local min_parallel_table_scan_size = 0",
    "load 'auto_explain'",
    "set local auto_explain.log_min_duration = 0",
    "set local auto_explain.log_nested_statements = on",
    "set local client_min_messages = log",
)
SEARCHES = ("status", "presence", "integrity", "payout", "metadata", "replay", "ledger")


def plans(stage: Stage, who: str, query: LiteralString) -> list[str]:
    """The plans of what a query, which finds nothing, runs inside."""
    told: list[str] = []

    def tell(notice: Diagnostic) -> None:
        told.append(notice.message_primary or "")

    with stage.spoiled("select"):
        stage.run("select tests.admin('chief')")
        stage.be_superuser()
        for setting in SETTINGS:
            stage.run(setting)
        if who == "admin":
            stage.run("select tests.act_as('chief')")
        else:
            stage.be_operator()
        stage.connection.add_notice_handler(tell)
        try:
            assert stage.rows(query) == []
        finally:
            stage.connection.remove_notice_handler(tell)
        stage.run("select tests.be_system()")
    return told


@pytest.mark.parametrize("who", ["admin", "system"])
def test_sections_are_searched_side_by_side(stage: Stage, who: str) -> None:
    """MOV-08: the sections that search what happened are one statement, whose parallel workers
    take one each; it does not fail, else there would be one more for every section.
    """
    told = plans(stage, who, "select * from public.verify_session_end_logic() where status <> 'ok'")
    (plan,) = (one for one in told if "Function Scan on status_anomalies" in one)
    assert "Workers Planned: 2" in plan
    _, _, parallel = plan.partition("Parallel Append")
    assert [name for name in SEARCHES if f"Function Scan on {name}_anomalies" in parallel] == [
        *SEARCHES
    ]


@pytest.mark.parametrize("who", ["admin", "system"])
def test_the_fix_is_searched_for_side_by_side(stage: Stage, who: str) -> None:
    """MOV-08: parallel workers hold the sessions against the decisions of their ends."""
    told = plans(stage, who, "select * from public.apply_semantic_fix()")
    assert any(re.search(r"Parallel .* on sessions", one) and "is_wrong" in one for one in told)


def test_a_section_that_breaks_hides_no_other(stage: Stage) -> None:
    """MOV-01: it says so itself, and what the others find is told once."""
    with stage.spoiled(
        "drop function private.replay_difference(public.sessions);"
        "delete from public.payouts where id = (tests.payout_of('paid')).id"
    ):
        found = stage.rows(
            "select a.section, a.kind, count(*) as anomalies"
            " from private.anomalies('-infinity') a group by a.section, a.kind order by 1, 2"
        )
        assert [tuple(row.values()) for row in found] == [
            (1, "structure", 1),
            (5, "completed_without_payout", 1),
            (9, "verification", 1),
            (10, "ledger", 1),
        ]
