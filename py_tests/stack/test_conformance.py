"""What the stack's API does as PostgREST does: one test for each repair of the embedded server.

An upgrade of the embedded server shows here which repair became unnecessary or insufficient.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from support.served import anonymous, served_clone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import Server
    from support.served import Served

PROBES = """
create or replace function public.probe_json(p jsonb) returns jsonb language sql as $$
  select jsonb_build_object('type', jsonb_typeof(p), 'value', p)
$$;
create or replace function public.probe_boolean(p boolean) returns boolean language sql as $$
  select p
$$;
create or replace function public.probe_values()
returns table (at timestamptz, wall timestamp, ats timestamptz[], amount numeric) language sql as $$
  select timestamptz '2026-01-01 10:00:00.5+00', timestamp '2026-01-01 10:00:00',
    array[timestamptz '2026-01-01 10:00:00+00'], 12.30
$$;
create or replace function public.probe_fail(p text) returns void language plpgsql as $$
begin
  raise exception using errcode = p, message = 'the message', detail = 'the detail',
    hint = 'the hint';
end $$;
create or replace function public.probe_timeouts() returns text language sql as $$
  select current_setting('statement_timeout')
$$;
create or replace function public.probe_many() returns setof integer language sql as $$
  select generate_series(1, 1500)
$$;
create or replace function public.probe_claims() returns jsonb language sql as $$
  select jsonb_build_object('uid', auth.uid(), 'role', auth.role(), 'sub', auth.jwt() ->> 'sub',
    'current', current_user)
$$;
create or replace function public.probe_sleep() returns void language sql as $$
  select pg_sleep(20)
$$;
notify pgrst, 'reload schema';
"""


@pytest.fixture(scope="module")
def probes(server: Server) -> Iterator[Served]:
    """An API of this module's own, because the probes add functions to the database."""
    with served_clone(server) as running:
        with running.connect() as connection:
            connection.execute(PROBES.encode())
        for _ in range(100):
            with running.http(running.keys.publishable) as client:
                if client.post("/rest/v1/rpc/probe_timeouts", json={}).status_code == 200:
                    break
            time.sleep(0.05)
        yield running


def call(served: Served, function: str, **arguments: Any) -> Any:
    return anonymous(served).client.rpc(function, arguments).execute().data


def test_a_new_function_is_seen_after_a_notification(probes: Served) -> None:
    """STACK-03: `notify pgrst` reloads the schema, as hosted does after each migration"""
    with probes.connect() as connection:
        connection.execute(
            "create function public.probe_new() returns integer language sql as 'select 7'"
        )
        connection.execute("notify pgrst, 'reload schema'")
    with probes.http(probes.keys.publishable) as client:
        for _ in range(100):
            answer = client.post("/rest/v1/rpc/probe_new", json={})
            if answer.status_code == 200:
                break
            time.sleep(0.05)
    assert (answer.status_code, answer.json()) == (200, 7)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1, "number"),
        (1.5, "number"),
        (True, "boolean"),
        ("text", "string"),
        ("1", "string"),
        ("true", "string"),
        ('"quoted"', "string"),
        ('{"a": 1}', "string"),
        ({"a": {"b": [1, None]}}, "object"),
        ([1, "2"], "array"),
    ],
)
def test_a_json_argument_keeps_its_type(probes: Served, value: object, kind: str) -> None:
    """STACK-01: jsonb arguments arrive as they were sent"""
    assert call(probes, "probe_json", p=value) == {"type": kind, "value": value}


@pytest.mark.parametrize(("value", "expected"), [(True, True), (False, False), ("true", True)])
def test_a_boolean_argument_keeps_its_value(
    probes: Served, value: object, expected: object
) -> None:
    """STACK-01: also when it is written as text"""
    assert call(probes, "probe_boolean", p=value) is expected


def test_times_and_numbers_come_in_json_form(probes: Served) -> None:
    """STACK-01"""
    assert call(probes, "probe_values") == [
        {
            "at": "2026-01-01T10:00:00.5+00:00",
            "wall": "2026-01-01T10:00:00",
            "ats": ["2026-01-01T10:00:00+00:00"],
            "amount": 12.3,
        }
    ]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("P0001", 400),
        ("P0002", 500),
        ("PT409", 409),
        ("PT422", 422),
        ("23505", 409),
        ("23503", 409),
        ("23514", 400),
        ("22023", 400),
        ("42501", 401),
        ("40001", 500),
        ("40P01", 500),
        ("55P03", 500),
        ("57014", 500),
        ("0A000", 400),
        ("28000", 403),
        ("53300", 503),
        ("XX000", 500),
    ],
)
def test_a_database_error_arrives_whole(probes: Served, code: str, status: int) -> None:
    """ERR-01, STACK-01: status, code, message, details and hint as PostgREST sends them"""
    with probes.http(probes.keys.publishable) as client:
        answer = client.post("/rest/v1/rpc/probe_fail", json={"p": code})
    assert answer.status_code == status
    assert answer.json() == {
        "code": code,
        "message": "the message",
        "details": "the detail",
        "hint": "the hint",
    }


def test_the_time_outs_of_the_roles_hold(probes: Served) -> None:
    """STACK-03: anon has 3 s, authenticated 8 s, as hosted, and they end a call"""
    assert call(probes, "probe_timeouts") == "3s"
    person = probes.person()
    assert person.client.rpc("probe_timeouts", {}).execute().data == "8s"
    begun = time.monotonic()
    with probes.http(probes.keys.publishable) as client:
        answer = client.post("/rest/v1/rpc/probe_sleep", json={})
    assert (answer.status_code, answer.json()["code"]) == (500, "57014")
    assert time.monotonic() - begun < 10


def test_no_answer_has_more_than_a_thousand_rows(probes: Served) -> None:
    """STACK-03"""
    assert len(call(probes, "probe_many")) == 1000


def test_the_callers_claims_reach_the_database(probes: Served) -> None:
    """MOD-08, STACK-01"""
    person = probes.person()
    assert person.client.rpc("probe_claims", {}).execute().data == {
        "uid": person.user_id,
        "role": "authenticated",
        "sub": person.user_id,
        "current": "authenticated",
    }


def test_the_gateway_answers_what_no_part_does(probes: Served) -> None:
    """STACK-01: preflight requests, unknown paths, bodies that are too large"""
    with probes.http(probes.keys.publishable) as client:
        preflight = client.options(
            "/rest/v1/rpc/anything",
            headers={"access-control-request-headers": "apikey,content-type"},
        )
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == "*"
        assert preflight.headers["access-control-allow-headers"] == "apikey,content-type"
        for path in ("/", "/config", "/rest/v2/plans", "/rest/v1/../../config", "/rest/v1x"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["message"]) == (404, "route_not_found")
        large = client.post("/rest/v1/rpc/probe_json", json={"p": "x" * 1_100_000})
        assert (large.status_code, large.json()["message"]) == (413, "body_too_large")
