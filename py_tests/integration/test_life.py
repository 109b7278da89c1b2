"""A session's life as clients see it, through the official client and each person's own token."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from support.served import anonymous, refusal

if TYPE_CHECKING:
    from support.served import Served


def test_a_free_session_from_sign_up_to_its_end(served: Served) -> None:
    """LIFE-01, LIFE-06, QUE-01, QUE-03, PRE-02, END-01, END-05, through the client"""
    customer, mechanic = served.person("customer"), served.mechanic()
    intake = {"problem": "squeals", "unknown": [1, None, {"deep": "1"}]}
    created = customer.row("create_session", p_plan="chat10", p_intake=intake)
    session_id = created["id"]
    assert (created["status"], created["funding"], created["price_cents"]) == ("pending", "free", 0)
    assert created["intake"] == intake

    (offer,) = [row for row in mechanic.rows("mechanic_queue") if row["session_id"] == session_id]
    assert offer["intake"] == intake
    assert offer["customer_display_name"] == customer.name.capitalize()
    accepted = mechanic.row("accept_assignment", p_assignment_id=offer["assignment_id"])
    assert (accepted["status"], accepted["mechanic_id"]) == ("waiting", mechanic.user_id)

    assert mechanic.row("join_session", p_session_id=session_id)["status"] == "waiting"
    live = customer.row("join_session", p_session_id=session_id)
    assert live["status"] == "live"
    bought = datetime.fromisoformat(live["expires_at"]) - datetime.fromisoformat(live["started_at"])
    assert bought.total_seconds() == 30 * 60
    for person in (customer, mechanic):
        person.row("heartbeat_session", p_session_id=session_id)
        assert person.row("get_active_session")["id"] == session_id
        names = {row["role"] for row in person.rows("session_people", p_session_id=session_id)}
        assert names == {"customer", "mechanic"}

    ended = customer.row(
        "end_session_with_semantics", p_session_id=session_id, p_reason="done, thank you"
    )
    assert (ended["final_status"], ended["reason"]) == ("cancelled", "too_short")
    assert (ended["already_ended"], ended["started"]) == (False, True)
    again = mechanic.row("end_session_with_semantics", p_session_id=session_id)
    assert again == {**ended, "already_ended": True}
    assert customer.rows("get_active_session") == []
    (mine,) = customer.rows("my_sessions")
    assert (mine["id"], mine["my_role"], mine["status"]) == (session_id, "customer", "cancelled")


def test_a_select_can_ask_for_the_effective_status(served: Served) -> None:
    """MOD-03: the computed column, on the caller's own rows only"""
    customer, stranger = served.person("customer"), served.person("stranger")
    session_id = customer.row("create_session", p_plan="video15")["id"]
    query = customer.client.table("sessions").select("id,status,effective_status")
    assert query.execute().data == [
        {"id": session_id, "status": "pending", "effective_status": "pending"}
    ]
    assert stranger.read("sessions") == []


def test_a_stranger_reads_nothing_of_a_session(served: Served) -> None:
    """SEC-01, QUE-01"""
    customer, mechanic = served.person("customer"), served.mechanic()
    served.waiting_session(customer, mechanic)
    stranger = served.person("stranger")
    tables = ("sessions", "session_participants", "session_assignments", "session_events")
    assert {table: stranger.read(table) for table in tables} == {table: [] for table in tables}
    assert refusal(stranger, "mechanic_queue").message == "role_required"
    assert [row["id"] for row in stranger.read("profiles")] == [stranger.user_id]


@pytest.mark.parametrize("table", ["plans", "extension_options"])
def test_the_catalog_is_open_to_everybody(served: Served, table: str) -> None:
    """SEC-01, MOD-03: what is sold is all that anon reads"""
    assert len(anonymous(served).read(table)) == 3


def test_sign_in_again_and_the_token_still_is_the_person(served: Served) -> None:
    """MOD-08, MOD-09: identity is the token's, whatever the profile says"""
    person = served.person("customer")
    person.row("update_profile", p_display_name="Somebody")
    session = person.client.auth.refresh_session().session
    assert session is not None
    (profile,) = person.read("profiles")
    assert profile["id"] == person.user_id
    assert (profile["display_name"], profile["role"]) == ("Somebody", "customer")
