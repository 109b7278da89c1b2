"""The HTTP routes of the older application, under Deno, in front of create-checkout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.edge import Edge, edge, said
from taximeter.demo.stripe_server import SECRET_KEY, StripeServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import Server

ID = "11111111-1111-4111-8111-111111111111"
REMOVED = {
    "mechanics/requests": "mechanic_queue",
    f"mechanics/requests/{ID}/accept": "accept_assignment",
    f"mechanics/requests/{ID}/cancel": "release_assignment",
    f"mechanics/requests/{ID}/history": "my_sessions",
    "mechanics/requests/history": "my_sessions",
    "mechanic/accept": "accept_assignment",
    "requests": "create_session",
    "cron/expire-requests": "expire_orphaned_sessions",
}


@pytest.fixture(scope="module")
def stripe() -> Iterator[StripeServer]:
    with StripeServer() as played:
        yield played


@pytest.fixture(scope="module")
def old(server: Server, stripe: StripeServer) -> Iterator[Edge]:
    environment = {"STRIPE_API_URL": stripe.url, "STRIPE_SECRET_KEY": SECRET_KEY}
    with edge(server, ("legacy-routes", "create-checkout"), environment) as functions:
        yield functions


@pytest.mark.parametrize(("route", "replacement"), REMOVED.items())
def test_a_removed_route_names_what_took_its_place(old: Edge, route: str, replacement: str) -> None:
    """EDGE-02: 410 for every method, with the name in body and header, of a function there is"""
    for method in ("GET", "POST", "PUT", "DELETE"):
        answer = old.ask(f"legacy-routes/{route}", method=method)
        assert said(answer) == (410, "route_removed")
        assert replacement in answer.json()["details"]
        link = f'</rest/v1/rpc/{replacement}>; rel="successor-version"'
        assert answer.headers["link"] == link
    exists = "select count(*) > 0 from pg_proc where oid = to_regproc(%s)"
    assert old.one(exists, f"public.{replacement}")


def test_sessions_extend_sells_more_minutes(old: Edge, stripe: StripeServer) -> None:
    """EDGE-02: in the older words and in those of now, as the caller; one Checkout"""
    customer = old.served.person("customer")
    session = old.served.waiting_session(customer, old.served.mechanic())
    answer = old.ask(
        "legacy-routes/sessions/extend",
        {"sessionId": session, "extensionMinutes": 15, "price": 1},
        by=customer,
    )
    assert answer.status_code == 200, answer.text
    (extension,) = customer.read("session_extensions")
    assert answer.json()["extension_id"] == extension["id"]
    (checkout,) = stripe.stripe.objects("checkout.session")
    assert checkout["amount_total"] == extension["price_cents"] == 500
    assert checkout["success_url"] == f"http://127.0.0.1:3000/sessions/{session}"
    again = {"session_id": session, "minutes": 15}
    assert old.ask("legacy-routes/sessions/extend", again, by=customer).json() == answer.json()
    assert len(stripe.stripe.objects("checkout.session")) == 1


def test_bad_input_changes_nothing(old: Edge) -> None:
    """EDGE-01: nobody, a foreign session, no body, another method, no such route"""
    owner, other = old.served.person("owner"), old.served.person("other")
    session = old.served.waiting_session(owner, old.served.mechanic())
    body = {"sessionId": session, "minutes": 15}
    route = "legacy-routes/sessions/extend"
    before = old.fingerprint()
    assert said(old.ask(route, body)) == (401, "not_authenticated")
    assert old.ask(route, body, headers={"authorization": "Bearer x"}).status_code == 401
    assert said(old.ask(route, body, by=other)) == (404, "session_not_found")
    assert said(old.ask(route, {**body, "minutes": 7}, by=owner)) == (422, "invalid_argument")
    assert said(old.ask(route, {"minutes": 15}, by=owner)) == (422, "invalid_argument")
    assert said(old.ask(route, by=owner)) == (400, "invalid_body")
    assert said(old.ask(route, by=owner, method="GET")) == (405, "method_not_allowed")
    for nothing in ("", "/", "/sessions", "/requests/1/2", "/mechanics/requests/1/2/accept"):
        assert said(old.ask(f"legacy-routes{nothing}")) == (404, "route_not_found")
    assert old.fingerprint() == before
