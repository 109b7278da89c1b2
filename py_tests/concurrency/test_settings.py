"""What is set for a database reaches new connections, whoever opens them."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from support.world import Caller, Live, World, call_on


def _alter_database(world: World, value: str) -> None:
    # A superuser, because the platform lets nobody else set parameters of its kind.
    with world.db.connect("supabase_admin") as connection:
        connection.execute(
            sql.SQL("alter database {} set app.min_billable_seconds = {}").format(
                sql.Identifier(world.db.name), sql.Literal(value)
            )
        )


def _rule_of(world: World, made: Live) -> dict[str, Any]:
    rule = world.row(
        "select payload -> 'rule' as rule from public.session_events"
        " where session_id = %s and type = 'ended'",
        made.id,
    )["rule"]
    assert isinstance(rule, dict)
    return rule


def test_alter_database_wins_for_every_caller(world: World) -> None:
    """MOD-07: app.min_billable_seconds of the database wins, for clients and the system alike."""
    made = [world.live_session() for _ in range(3)]
    world.advance(30)
    _alter_database(world, "20")
    callers: list[Caller] = [made[0].customer, "service_role", "system"]
    for session, caller in zip(made, callers, strict=True):
        connection = world.connect(caller)
        answer = call_on(connection, "end_session_with_semantics", p_session_id=session.id)[0]
        assert (answer["final_status"], answer["reason"]) == ("completed", "completed")
        assert _rule_of(world, session)["min_billable_seconds"] == 20
        assert _rule_of(world, session)["source"] == "database"


def test_a_client_cannot_override_the_database(world: World) -> None:
    """MOD-07: a client's own app.min_billable_seconds is ignored beside the database's too."""
    made = world.live_session()
    world.advance(30)
    _alter_database(world, "45")
    connection = world.connect(made.customer)
    connection.execute("set app.min_billable_seconds = '1'")
    answer = call_on(connection, "end_session_with_semantics", p_session_id=made.id)[0]
    assert answer["reason"] == "too_short"
    assert _rule_of(world, made)["min_billable_seconds"] == 45


def test_a_client_cannot_hide_the_database_value(world: World) -> None:
    """MOD-07: resetting or emptying it on his connection does not help a client either."""
    made = world.live_session()
    world.advance(61)
    _alter_database(world, "300")
    connection = world.connect(made.mechanic)
    connection.execute("set app.min_billable_seconds = ''")
    answer = call_on(connection, "end_session_with_semantics", p_session_id=made.id)[0]
    assert answer["reason"] == "too_short"


def test_settings_row_counts_where_nothing_is_set(world: World) -> None:
    """MOD-07: without either the row of the settings table is the rule, and is named."""
    made = world.live_session()
    world.call("system", "set_setting", p_key="min_billable_seconds", p_value=10)
    world.advance(11)
    answer = world.one(made.customer, "end_session_with_semantics", p_session_id=made.id)
    assert answer["reason"] == "completed"
    assert _rule_of(world, made)["min_billable_seconds"] == 10
    assert _rule_of(world, made)["source"] == "settings"
