"""SEC-01, SEC-02: every role, table, verb and function, as the real role with real claims."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from security import matrix
from security.people import PERSONAS, STRANGERS, acting_as

if TYPE_CHECKING:
    from security.conftest import Stage
    from security.decisions import Decisions


def test_every_object_has_a_decision(stage: Stage, decisions: Decisions) -> None:
    """SEC-01: a table or function without a decision fails, and a decision about nothing too."""
    assert matrix.undecided(stage.connection, decisions) == []


def test_rights_are_the_decided_ones(stage: Stage, decisions: Decisions) -> None:
    """SEC-01, SEC-02: grants on schemas, tables, sequences, columns, functions; no others."""
    found = [
        *matrix.schema_rights(stage.connection, decisions),
        *matrix.table_rights(stage.connection, decisions),
        *matrix.stray_rights(stage.connection, decisions),
        *matrix.function_rights(stage.connection, decisions),
    ]
    assert found == []


@pytest.mark.parametrize("name", PERSONAS)
def test_caller_reads_the_decided_rows(stage: Stage, decisions: Decisions, name: str) -> None:
    """SEC-02: the rows of every table that a caller sees are the decided ones, no more, no less."""
    assert matrix.rows_seen(stage.connection, decisions, stage.cast[name]) == []


@pytest.mark.parametrize("name", PERSONAS)
def test_caller_writes_nothing(stage: Stage, name: str) -> None:
    """SEC-01, SEC-02: every verb that writes, on every table, is refused for want of a right."""
    assert matrix.writes_that_pass(stage.connection, stage.cast[name]) == []


@pytest.mark.parametrize("name", PERSONAS)
def test_caller_without_execute_is_refused(stage: Stage, decisions: Decisions, name: str) -> None:
    """SEC-01, SEC-02: a function that was not granted to a role is closed, tried for real."""
    found = matrix.refusals_by_right(stage.connection, decisions, stage.cast, stage.cast[name])
    assert found == []


def test_a_token_without_a_user_is_nobody(stage: Stage, decisions: Decisions) -> None:
    """SEC-02, SEC-04, ERR-01: a signed token without a user gets not_authenticated."""
    assert matrix.calls_without_user(stage.connection, decisions, stage.cast) == []


@pytest.mark.parametrize("name", STRANGERS)
def test_a_stranger_learns_and_changes_nothing(
    stage: Stage, decisions: Decisions, name: str
) -> None:
    """SEC-02: a foreign session is not found; no call tells or touches what is another's."""
    assert matrix.calls_by_strangers(stage.connection, decisions, stage.cast, name) == []


@pytest.mark.parametrize("name", ["nobody", "customer", "mechanic", *STRANGERS])
def test_what_views_ask_gives_others_nothing(stage: Stage, name: str) -> None:
    """MOV-02, MOV-08: also when it is asked past the view; an admin is given something."""
    for_admin = matrix.rows_behind_views(stage.connection, stage.cast["admin"])
    assert len(for_admin) >= 11
    assert sum(for_admin.values()) > 0
    assert set(matrix.rows_behind_views(stage.connection, stage.cast[name]).values()) == {0}


ROOMS = (
    "sessions",
    "session_participants",
    "session_assignments",
    "session_events",
    "session_messages",
    "session_files",
    "session_upsells",
    "notifications",
)
SEEN = {
    "customer": (2, 5, 2, 0, 2, 1, 1, 8),
    "other_customer": (1, 1, 1, 0, 0, 0, 0, 0),
    "mechanic": (2, 5, 2, 0, 2, 1, 0, 3),
    "other_mechanic": (0, 0, 0, 0, 0, 0, 0, 0),
    "former_mechanic": (0, 0, 0, 0, 0, 0, 0, 0),
    "suspended_mechanic": (1, 2, 1, 0, 0, 0, 0, 2),
    "nobody": (0, 0, 0, 0, 0, 0, 0, 0),
}


@pytest.mark.parametrize("name", SEEN)
def test_rooms_are_closed(stage: Stage, name: str) -> None:
    """SEC-02: counted by hand, so that a wrong decision shows too: one's own room and no other."""
    with acting_as(stage.connection, stage.cast[name]):
        counts = tuple(
            len(stage.connection.execute(f"select from public.{table}".encode()).fetchall())
            for table in ROOMS
        )
    assert counts == SEEN[name]


def test_a_claim_makes_nobody_an_admin(stage: Stage) -> None:
    """SEC-04, MOD-08: roles come from the database, never from a claim the user can write."""
    claims = (
        '{{"sub": "{}", "role": "authenticated", "user_role": "admin", '
        '"user_metadata": {{"role": "admin"}}, "app_metadata": {{"role": "admin"}}}}'
    ).format(stage.cast["other_customer"].user)
    with acting_as(stage.connection, stage.cast["other_customer"]):
        stage.connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
        row = stage.connection.execute(
            "select private.is_admin() as admin, (select count(*) from public.sessions) as sessions"
        ).fetchone()
    assert row == {"admin": False, "sessions": 1}


# The matrix must be able to fail (TEST-03).


def test_a_new_table_without_a_decision_is_found(sabotaged: Stage, decisions: Decisions) -> None:
    """SEC-01, TEST-03: a new table fails until somebody decides about it."""
    sabotaged.connection.execute("create table public.surprise (id integer)")
    assert "public.surprise has no decision" in matrix.undecided(sabotaged.connection, decisions)


def test_a_new_function_is_found(sabotaged: Stage, decisions: Decisions) -> None:
    """SEC-01, TEST-03: so does a new function, and an overload of an old one."""
    sabotaged.connection.execute(
        "create function public.join_session(p_code text) returns integer"
        " language sql as 'select 1'"
    )
    assert "public.join_session(text) has no decision" in matrix.undecided(
        sabotaged.connection, decisions
    )
    assert "anon: EXECUTE on public.join_session(text) is True" in matrix.function_rights(
        sabotaged.connection, decisions
    )


@pytest.mark.parametrize(
    ("sabotage", "sentence"),
    [
        ("grant truncate on public.sessions to anon", "anon: TRUNCATE on public.sessions is True"),
        (
            "grant select on private.settings to authenticated",
            "authenticated: SELECT on private.settings is True",
        ),
        ("revoke select on public.plans from anon", "anon: SELECT on public.plans is False"),
    ],
)
def test_a_changed_right_is_found(
    sabotaged: Stage, decisions: Decisions, sabotage: str, sentence: str
) -> None:
    """SEC-02, TEST-03: one right too many or too few shows."""
    sabotaged.connection.execute(sabotage.encode())
    assert sentence in matrix.table_rights(sabotaged.connection, decisions)


def test_no_verb_of_the_server_is_left_out(sabotaged: Stage, decisions: Decisions) -> None:
    """SEC-02, TEST-03, TEST-04: each is asked about, on 17 MAINTAIN too, and shows when granted."""
    known = {"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"}
    if sabotaged.connection.info.server_version >= 170000:
        known |= {"MAINTAIN"}
    verbs = matrix.table_verbs(sabotaged.connection)
    assert set(verbs) == known
    sabotaged.connection.execute("grant all on private.settings to anon")
    assert {f"anon: {verb} on private.settings is True" for verb in verbs} == {
        finding
        for finding in matrix.table_rights(sabotaged.connection, decisions)
        if finding.startswith("anon: ") and " on private.settings " in finding
    }


def test_a_right_on_a_column_is_found(sabotaged: Stage, decisions: Decisions) -> None:
    """SEC-02, TEST-03: a right on one column is not overlooked."""
    sabotaged.connection.execute("grant update (price_cents) on public.plans to authenticated")
    assert matrix.stray_rights(sabotaged.connection, decisions) == [
        "authenticated holds UPDATE on public.plans.price_cents"
    ]


def test_a_lost_policy_is_found(sabotaged: Stage, decisions: Decisions) -> None:
    """SEC-02, TEST-03: without row level security a stranger's rows show as findings."""
    sabotaged.connection.execute("alter table public.sessions disable row level security")
    assert matrix.rows_seen(sabotaged.connection, decisions, sabotaged.cast["other_mechanic"])


def test_a_lost_check_of_the_caller_is_found(sabotaged: Stage, decisions: Decisions) -> None:
    """SEC-02, TEST-03: a function that forgets to ask whose session it is shows as a finding."""
    sabotaged.connection.execute(
        "create or replace function private.role_in(p_session public.sessions, p_user_id uuid)"
        " returns text language sql immutable set search_path = '' as $$ select 'customer' $$"
    )
    found = matrix.calls_by_strangers(
        sabotaged.connection, decisions, sabotaged.cast, "other_mechanic"
    )
    assert any("session_people" in finding for finding in found)
