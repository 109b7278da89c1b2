"""Bad input gets the error of the table in the specification, with its HTTP status (ERR-01)."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from supabase import PostgrestAPIError

from support.served import anonymous, refusal

if TYPE_CHECKING:
    from support.served import Refusal, Served
    from taximeter.people import Person


@dataclass(frozen=True, slots=True)
class Cast:
    """A customer with a waiting session, its mechanic, and somebody not concerned."""

    customer: Person
    mechanic: Person
    stranger: Person
    session_id: str


@pytest.fixture(scope="module")
def people(served: Served) -> Cast:
    customer, mechanic = served.person("customer"), served.mechanic()
    session_id = served.waiting_session(customer, mechanic)
    return Cast(customer, mechanic, served.person("stranger"), session_id)


def expect(got: Refusal, status: int, message: str) -> None:
    assert (got.status, got.code, got.message) == (status, f"PT{status}", message)
    assert got.details not in {"", "null"}, "the detail is a sentence"


def test_an_unknown_plan_is_not_found(people: Cast) -> None:
    """ERR-01, LIFE-01"""
    expect(refusal(people.stranger, "create_session", p_plan="nope"), 404, "plan_not_found")


def test_a_session_cannot_be_paid_by_saying_so(people: Cast) -> None:
    """ERR-01, LIFE-02"""
    got = refusal(people.stranger, "create_session", p_plan="chat10", p_funding="paid")
    expect(got, 402, "payment_required")


@pytest.mark.parametrize(
    ("function", "arguments", "code"),
    [
        ("join_session", {"p_session_id": "not-a-uuid"}, "22P02"),
        ("create_session", {"p_plan": "chat10", "p_scheduled_for": "yesterday-ish"}, "22007"),
        ("set_availability", {"p_is_accepting": "perhaps"}, "22P02"),
    ],
)
def test_a_value_of_the_wrong_type_is_a_bad_request(
    people: Cast, function: str, arguments: dict[str, object], code: str
) -> None:
    """ERR-01"""
    got = refusal(people.stranger, function, **arguments)
    assert (got.status, got.code) == (400, code)


@pytest.mark.parametrize(
    "arguments",
    [
        {"p_intake": [1, 2]},
        {"p_intake": "text"},
        {"p_intake": {"note": "x" * 17000}},
        {"p_intake": {f"key{i}": i for i in range(51)}},
        {"p_scheduled_for": "2001-01-01T00:00:00Z"},
        {"p_funding": "barter"},
    ],
    ids=["list", "string", "too large", "too many keys", "in the past", "unknown funding"],
)
def test_an_argument_outside_its_rule_is_invalid(
    people: Cast, arguments: dict[str, object]
) -> None:
    """ERR-01, LIFE-05, LIFE-07, SEC-04: and nothing is created"""
    got = refusal(people.stranger, "create_session", p_plan="chat10", **arguments)
    expect(got, 422, "invalid_argument")
    assert people.stranger.rows("get_active_session") == []


@pytest.mark.parametrize(
    "function",
    [
        "join_session",
        "leave_session",
        "heartbeat_session",
        "start_session",
        "end_session_with_semantics",
        "session_people",
    ],
)
def test_a_foreign_session_looks_like_one_that_does_not_exist(people: Cast, function: str) -> None:
    """ERR-01: session_not_found for both, word for word"""
    foreign = refusal(people.stranger, function, p_session_id=people.session_id)
    unknown = refusal(people.stranger, function, p_session_id=str(uuid.uuid4()))
    expect(foreign, 404, "session_not_found")
    assert foreign == unknown


def test_an_empty_body_is_refused(served: Served, people: Cast) -> None:
    """ERR-01: no arguments, no body and a body that is not JSON change nothing"""
    assert refusal(people.stranger, "create_session").status == 404
    session = people.stranger.client.auth.get_session()
    assert session is not None
    with served.http(served.keys.publishable, session.access_token) as client:
        path = "/rest/v1/rpc/create_session"
        headers = {"content-type": "application/json"}
        assert client.post(path, headers=headers).status_code == 404
        assert client.post(path, headers=headers, content="{not json").status_code == 400
    assert people.stranger.rows("get_active_session") == []


def test_a_second_accept_is_too_late(served: Served, people: Cast) -> None:
    """ERR-01, QUE-03"""
    other = served.mechanic()
    assignment = served.assignment(people.session_id)
    got = refusal(other, "accept_assignment", p_assignment_id=assignment)
    expect(got, 409, "assignment_taken")
    again = people.mechanic.row("accept_assignment", p_assignment_id=assignment)
    assert again["id"] == people.session_id


def test_a_busy_mechanic_cannot_accept_another(served: Served, people: Cast) -> None:
    """ERR-01, QUE-03"""
    other = served.person("customer")
    session_id = str(other.row("create_session", p_plan="chat10")["id"])
    got = refusal(
        people.mechanic, "accept_assignment", p_assignment_id=served.assignment(session_id)
    )
    expect(got, 409, "mechanic_busy")


def test_a_second_active_session_is_refused_and_named(people: Cast) -> None:
    """ERR-01, LIFE-03: the existing session's id is in the details"""
    got = refusal(people.customer, "create_session", p_plan="chat10")
    expect(got, 409, "active_session_exists")
    assert people.session_id in got.details


def test_a_reused_key_with_other_arguments_conflicts(served: Served) -> None:
    """ERR-01, LIFE-04"""
    customer = served.person("customer")
    first = customer.row("create_session", p_plan="chat10", p_idempotency_key="one")
    again = customer.row("create_session", p_plan="chat10", p_idempotency_key="one")
    assert again["id"] == first["id"]
    got = refusal(customer, "create_session", p_plan="video15", p_idempotency_key="one")
    expect(got, 409, "idempotency_conflict")


def test_one_person_alone_cannot_start(people: Cast) -> None:
    """ERR-01, PRE-02"""
    got = refusal(people.customer, "start_session", p_session_id=people.session_id)
    expect(got, 409, "not_both_present")


def test_an_ended_session_cannot_be_joined(served: Served) -> None:
    """ERR-01, PRE-01: and a free session that was used is used up (LIFE-02)"""
    customer, mechanic = served.person("customer"), served.mechanic()
    session_id = served.waiting_session(customer, mechanic)
    for person in (customer, mechanic):
        person.row("join_session", p_session_id=session_id)
    customer.row("end_session_with_semantics", p_session_id=session_id)
    expect(refusal(customer, "join_session", p_session_id=session_id), 410, "session_ended")
    expect(refusal(customer, "create_session", p_plan="chat10"), 402, "free_session_used")


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("mechanic_queue", {}),
        ("list_settings", {}),
        ("set_setting", {"p_key": "min_billable_seconds", "p_value": 1}),
        ("set_user_role", {"p_user_id": str(uuid.uuid4()), "p_role": "admin"}),
        ("set_mechanic_status", {"p_mechanic_id": str(uuid.uuid4()), "p_status": "approved"}),
        ("accept_assignment", {"p_assignment_id": str(uuid.uuid4())}),
    ],
)
def test_a_customer_lacks_the_role(
    people: Cast, function: str, arguments: dict[str, object]
) -> None:
    """ERR-01, SEC-04"""
    expect(refusal(people.stranger, function, **arguments), 403, "role_required")


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("create_session", {"p_plan": "chat10"}),
        ("get_active_session", {}),
        ("my_sessions", {}),
        ("mechanic_queue", {}),
        ("list_settings", {}),
        ("end_session_with_semantics", {"p_session_id": str(uuid.uuid4())}),
        ("expire_orphaned_sessions", {}),
    ],
)
def test_without_a_token_the_answer_is_401(
    served: Served, function: str, arguments: dict[str, object]
) -> None:
    """ERR-01, SEC-01: PostgREST's own 401"""
    got = refusal(anonymous(served), function, **arguments)
    assert (got.status, got.code) == (401, "42501")


def test_a_token_without_a_user_is_not_authenticated(served: Served) -> None:
    """ERR-01, MOD-08"""
    nobody = anonymous(served)
    nobody.client.postgrest.auth(served.token(role="authenticated"))
    expect(refusal(nobody, "create_session", p_plan="chat10"), 401, "not_authenticated")


@pytest.mark.parametrize("verb", ["insert", "update", "delete"])
def test_a_client_cannot_write_a_table(people: Cast, verb: str) -> None:
    """SEC-01, MOD-01: not even their own row"""
    table = people.customer.client.table("sessions")
    writes = {
        "insert": table.insert({"customer_user_id": people.customer.user_id}),
        "update": table.update({"status": "completed"}).eq("id", people.session_id),
        "delete": table.delete().eq("id", people.session_id),
    }
    with pytest.raises(PostgrestAPIError) as caught:
        writes[verb].execute()
    assert caught.value.code == "42501"


def test_every_error_is_in_the_table_of_codes(served: Served) -> None:
    """ERR-01: the codes that clients see here have the status the database's table gives them"""
    with served.connect() as connection:
        rows = connection.execute("select code, http_status from private.error_codes").fetchall()
    known = {row["code"]: row["http_status"] for row in rows}
    seen = {
        "plan_not_found": 404,
        "session_not_found": 404,
        "assignment_taken": 409,
        "active_session_exists": 409,
        "mechanic_busy": 409,
        "not_both_present": 409,
        "idempotency_conflict": 409,
        "session_ended": 410,
        "free_session_used": 402,
        "payment_required": 402,
        "role_required": 403,
        "not_authenticated": 401,
        "invalid_argument": 422,
    }
    assert json.dumps({code: known.get(code) for code in seen}) == json.dumps(seen)
