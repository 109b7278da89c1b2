"""supabase/seed.sql: the people that a local stack begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supabase import ClientOptions, create_client

from support.served import served_clone
from taximeter.people import Person
from taximeter.stack.postgres import CHECKOUT, push_migrations

if TYPE_CHECKING:
    from typing import Any

    import psycopg

    from support.database import Server

PEOPLE = {f"{role}@example.com": role for role in ("customer", "mechanic", "admin")}
WRITTEN = """
select (select count(*) from auth.users), (select count(*) from auth.identities),
  (select count(*) from public.mechanics), (select count(*) from private.ledger_transfers),
  (select count(*) from private.ops_log)
"""


def written(connection: psycopg.Connection[dict[str, Any]]) -> dict[str, Any]:
    row = connection.execute(WRITTEN).fetchone()
    assert row is not None
    return row


def test_the_demo_people_sign_in(server: Server) -> None:
    """STACK-01: a seeded stack has a customer with credit, an approved mechanic and an admin."""
    with served_clone(server) as served, served.connect() as connection:
        url = served.database_url("postgres")
        assert "Seeding" not in push_migrations(url)
        assert "Seeding data from supabase/seed.sql" in push_migrations(url, seed=True)
        people = {}
        for email, role in PEOPLE.items():
            options = ClientOptions(auto_refresh_token=False, persist_session=False)
            client = create_client(served.url, served.keys.publishable, options)
            client.auth.sign_in_with_password({"email": email, "password": "taximeter"})
            people[role] = Person(role, email, "", client)
        roles = {row["email"]: row["role"] for row in people["admin"].read("profiles")}
        assert roles == PEOPLE
        [balance] = people["customer"].row("my_credit")["balances"]
        assert balance["cents"] == 10000
        [mechanic] = people["mechanic"].read("mechanics")
        assert mechanic["status"] == "approved"

        first = written(connection)
        connection.execute((CHECKOUT / "supabase" / "seed.sql").read_bytes())
        assert written(connection) == first

        # What somebody has changed since stays.
        connection.execute("update public.mechanics set status = 'suspended'")
        connection.execute("update public.profiles set role = 'mechanic' where role = 'admin'")
        connection.execute((CHECKOUT / "supabase" / "seed.sql").read_bytes())
        row = connection.execute("select status from public.mechanics").fetchone()
        assert row == {"status": "suspended"}
        assert written(connection) == first
