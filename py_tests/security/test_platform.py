"""What the platform gives by itself, on the PostgreSQL the run has: the rules for roles and default
privileges differ between 15 and 17, and the shim must not be kinder than a hosted project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from security import matrix
from security.decisions import API_ROLES

if TYPE_CHECKING:
    from security.conftest import Stage, Stages

# What a project of today takes away again from what it gives by default.
TAKEN_AWAY = {"SELECT", "INSERT", "UPDATE", "DELETE"}


@pytest.mark.parametrize("exposed", [False, True])
def test_default_privileges_are_the_platforms(stages: Stages, exposed: bool) -> None:
    """SEC-02, TEST-04: a new table is born with every verb, or with all but those of its rows: on
    17 MAINTAIN stays, as hosted. So what the matrix finds closed, the migrations have closed."""
    connection = stages.get(exposed=exposed).connection
    every = set(matrix.table_verbs(connection))
    given = connection.execute(
        """
        select a.grantee::regrole::text as role, array_agg(a.privilege_type::text) as verbs
        from pg_catalog.pg_default_acl d
        cross join aclexplode(d.defaclacl) a
        where d.defaclrole = 'postgres'::regrole and d.defaclnamespace = 'public'::regnamespace
          and d.defaclobjtype = 'r' and a.grantee <> d.defaclrole
        group by 1
        """
    ).fetchall()
    expected = every if exposed else every - TAKEN_AWAY
    assert {row["role"]: set(row["verbs"]) for row in given} == dict.fromkeys(API_ROLES, expected)


def test_postgres_hands_out_no_more_roles_than_hosted(sabotaged: Stage) -> None:
    """TEST-04: from 16 on who may create roles may not therefore grant every role. postgres may
    grant those of the API, which hosted gives it with that option, and none of the platform's. (On
    15 it may grant any; there hosted relies on a library that plain PostgreSQL lacks.)"""
    reserved = ["supabase_auth_admin", "supabase_admin", "authenticator", "pg_read_server_files"]
    outcome = {role: _granted(sabotaged.connection, role) for role in [*API_ROLES, *reserved]}
    allowed = {role for role, is_granted in outcome.items() if is_granted}
    if sabotaged.connection.info.server_version >= 160000:
        assert allowed == set(API_ROLES)
    else:
        assert allowed >= set(API_ROLES)
        assert "supabase_admin" not in allowed


def _granted(connection: matrix.Connection, role: str) -> bool:
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("set local role postgres")
            connection.execute("create role newcomer")
            connection.execute(f"grant {role} to newcomer".encode())
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def test_a_role_that_postgres_makes_can_own_what_it_makes(sabotaged: Stage) -> None:
    """TEST-04: the way to do that on every version: grant the new role to postgres first."""
    sabotaged.connection.execute("set local role postgres")
    sabotaged.connection.execute("create role newcomer")
    sabotaged.connection.execute("grant newcomer to postgres")
    sabotaged.connection.execute("create schema of_a_newcomer authorization newcomer")


def test_maintenance_needs_no_search_path(stages: Stages) -> None:
    """TEST-04: 17 maintains tables under a search path of its own; what indexes compute is found
    there. Without it a nightly vacuum, a reindex or a restore would stop at that table."""
    connection = stages.get(exposed=False).connection
    for schema in matrix.SCHEMAS:
        connection.execute(f"reindex schema {schema}".encode())
    for table in matrix.tables(connection):
        if table["kind"] == "r":
            connection.execute(f"vacuum (full, analyze) {table['name']}".encode())
