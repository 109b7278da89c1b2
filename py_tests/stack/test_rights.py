"""The stack never widens rights (STACK-03)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from support.served import Served

RIGHTS = """
select 'relation' as kind, n.nspname || '.' || c.relname as name,
  coalesce(c.relacl::text, '-') || ' ' || c.relrowsecurity || ' ' || c.relowner::regrole as rights
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname !~ '^pg_(toast|temp)'
union all
select 'column', a.attrelid::regclass || '.' || a.attname, a.attacl::text
from pg_attribute a where a.attacl is not null
union all
select 'function', p.oid::regprocedure::text,
  coalesce(p.proacl::text, '-') || ' ' || md5(coalesce(p.prosrc, '')) || ' ' || p.proowner::regrole
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname not in ('pg_catalog', 'information_schema')
union all
select 'schema', nspname, coalesce(nspacl::text, '-') from pg_namespace
where nspname !~ '^pg_(toast|temp)'
union all
select 'default', d.oid::text, d.defaclrole::regrole || ' ' || d.defaclacl::text
from pg_default_acl d
union all
select 'member', m.oid::text, m.roleid::regrole || ' in ' || m.member::regrole
from (select row_number() over (order by roleid, member) as oid, roleid, member
  from pg_auth_members) m
union all
select 'policy', polrelid::regclass || '.' || polname,
  coalesce(pg_get_expr(polqual, polrelid), '-')
    || coalesce(pg_get_expr(polwithcheck, polrelid), '-')
from pg_policy
union all
select 'setting', setrole::regrole::text, array_to_string(setconfig, ',')
from pg_db_role_setting where setdatabase = 0
order by 1, 2, 3
"""


def rights(served: Served) -> list[dict[str, Any]]:
    with served.connect("supabase_admin") as connection:
        return connection.execute(RIGHTS).fetchall()


def test_serving_clients_changes_no_right(served: Served) -> None:
    """STACK-03: every grant, owner, policy, default and function is the same afterwards"""
    before = rights(served)
    assert len(before) > 500

    customer, mechanic = served.person("customer"), served.mechanic()
    session_id = served.waiting_session(customer, mechanic)
    for person in (customer, mechanic):
        person.row("join_session", p_session_id=session_id)
    path = f"{session_id}/photo.png"
    files = customer.client.storage.from_("session-files")
    files.upload(path, b"bytes")
    mechanic.client.storage.from_("session-files").download(path)
    files.create_signed_url(path, 60)
    files.list(session_id)
    files.remove([path])
    customer.row("end_session_with_semantics", p_session_id=session_id)
    with served.http(served.keys.publishable) as client:
        for table in ("plans", "sessions", "profiles", "mechanics", "nothing"):
            client.get(f"/rest/v1/{table}")
            client.post(f"/rest/v1/{table}", json={})
        client.get("/storage/v1/bucket")
        client.post("/storage/v1/bucket", json={"id": "mine", "name": "mine"})
    with served.http(served.keys.secret) as client:
        assert client.get("/rest/v1/profiles").status_code == 200
        assert len(client.get("/storage/v1/bucket").json()) == 1

    assert rights(served) == before


@pytest.mark.parametrize("path", ["/rest/v1/plans", "/rest/v1/profiles", "/rest/v1/sessions"])
def test_a_request_without_a_key_is_refused(served: Served, path: str) -> None:
    """STACK-03: 401, as hosted; never service_role, whatever stands in Authorization"""
    customer = served.person("customer")
    session = customer.client.auth.get_session()
    assert session is not None
    tokens = (
        None,
        served.keys.publishable,
        served.keys.secret,
        session.access_token,
        served.token(role="service_role"),
    )
    for token in tokens:
        with served.http(token=token) as client:
            answer = client.get(path)
            assert answer.status_code == 401
            assert "No API key" in answer.json()["message"]
            assert client.post("/rest/v1/rpc/list_settings", json={}).status_code == 401
            assert client.get("/auth/v1/settings").status_code == 401


def test_storage_without_a_key_gives_what_anon_gets(served: Served) -> None:
    """STACK-03: nothing; never service_role, whatever stands in Authorization"""
    customer, mechanic = served.person("customer"), served.mechanic()
    session_id = served.waiting_session(customer, mechanic)
    path = f"{session_id}/photo.png"
    customer.client.storage.from_("session-files").upload(path, b"bytes")
    calls: list[tuple[str, str, Any]] = [
        ("GET", "/storage/v1/bucket", None),
        ("GET", "/storage/v1/bucket/session-files", None),
        ("POST", "/storage/v1/object/list/session-files", {"prefix": session_id}),
        ("GET", f"/storage/v1/object/session-files/{path}", None),
        ("GET", f"/storage/v1/object/authenticated/session-files/{path}", None),
        ("GET", f"/storage/v1/object/info/session-files/{path}", None),
        ("GET", f"/storage/v1/object/public/session-files/{path}", None),
        ("POST", f"/storage/v1/object/sign/session-files/{path}", {"expiresIn": 60}),
        ("POST", f"/storage/v1/object/upload/sign/session-files/{session_id}/new.png", None),
        ("POST", f"/storage/v1/object/session-files/{session_id}/new.png", {}),
        ("DELETE", "/storage/v1/object/session-files", {"prefixes": [path]}),
        ("POST", "/storage/v1/bucket", {"id": "mine", "name": "mine"}),
        ("POST", "/storage/v1/bucket/session-files/empty", None),
        ("DELETE", "/storage/v1/bucket/session-files", None),
    ]

    def answers(key: str | None, token: str | None) -> list[tuple[int, Any]]:
        with served.http(key, token) as client:
            found = [client.request(verb, where, json=body) for verb, where, body in calls]
        for answer in found:
            assert b"bytes" not in answer.content
            assert path.encode() not in answer.content
        return [(answer.status_code, answer.json()) for answer in found]

    anon = answers(served.keys.publishable, None)
    assert [told for status, told in anon if status == 200] == [[], [], []]
    for token in (None, served.keys.publishable, served.keys.secret, served.token(role="postgres")):
        for (status, told), (anons_status, anons_told) in zip(
            answers(None, token), anon, strict=True
        ):
            assert status >= 400 or (status, told) == (anons_status, anons_told)
    assert customer.client.storage.from_("session-files").download(path) == b"bytes"


def test_a_key_that_is_not_the_stacks_is_refused(served: Served) -> None:
    """STACK-03: neither an invented key nor a token in its place"""
    for key in ("sb_secret_invented", "sb_publishable_invented", served.token(role="service_role")):
        with served.http(key) as client:
            assert client.get("/rest/v1/plans").status_code == 401


def test_the_publishable_key_is_anon_and_the_secret_key_is_service_role(served: Served) -> None:
    """STACK-03, SEC-01"""
    with served.http(served.keys.publishable) as client:
        assert client.get("/rest/v1/plans").status_code == 200
        refused = client.get("/rest/v1/profiles")
        assert (refused.status_code, refused.json()["code"]) == (401, "42501")
    with served.http(served.keys.secret) as client:
        assert client.get("/rest/v1/profiles").status_code == 200


def test_a_token_that_somebody_else_signed_is_refused(served: Served) -> None:
    """STACK-03, MOD-08: a forged, a broken and an expired token give no person"""
    good = served.token(sub="00000000-0000-4000-8000-000000000001", role="authenticated")
    head, body, _ = good.split(".")
    expired = served.token(
        sub="00000000-0000-4000-8000-000000000001", role="authenticated", exp=1_000_000_000
    )
    for token in (f"{head}.{body}.{'A' * 43}", expired):
        with served.http(served.keys.publishable, token) as client:
            assert client.get("/rest/v1/profiles").status_code == 401
            assert client.post("/rest/v1/rpc/get_active_session", json={}).status_code == 401


@pytest.mark.parametrize(
    "role",
    [
        "postgres",
        "supabase_admin",
        "stack_rest",
        "pg_read_all_data",
        "authenticator",
        "supabase_storage_admin",
    ],
)
def test_a_token_cannot_name_a_role_of_the_server(served: Served, role: str) -> None:
    """STACK-03: even correctly signed, only the three API roles can be taken"""
    token = served.token(sub="00000000-0000-4000-8000-000000000001", role=role)
    with served.http(served.keys.publishable, token) as client:
        answer = client.get("/rest/v1/profiles")
        assert answer.status_code in {401, 403}
        assert client.get("/storage/v1/bucket").status_code >= 400


def test_the_logins_of_the_stack_own_nothing_and_bypass_nothing(served: Served) -> None:
    """STACK-03: the REST login is no superuser, bypasses no policy, and owns no object"""
    with served.connect() as connection:
        role = connection.execute(
            "select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb from pg_roles "
            "where rolname = 'stack_rest'"
        ).fetchone()
        owned = connection.execute(
            "select count(*) as n from pg_class where relowner = 'stack_rest'::regrole"
        ).fetchone()
    assert role is not None
    assert not any(role.values())
    assert owned == {"n": 0}
