"""People as the demo and the tests need them: signed up through Auth, calling with their own token.

The one thing that nobody can do with a token is here too: making the first admin, which the
operator does over the database.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, cast

import psycopg
from supabase import Client, ClientOptions, PostgrestAPIError, create_client

from taximeter.stack.settings import StackError

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody signed in: the client carries their own token and nothing else."""

    name: str
    email: str
    user_id: str
    client: Client

    def rows(self, function: str, **arguments: object) -> list[Row]:
        """Calls a function over the API with this person's token."""
        return as_rows(self.client.rpc(function, arguments).execute().data)

    def row(self, function: str, **arguments: object) -> Row:
        return self.rows(function, **arguments)[0]

    def read(self, table: str) -> list[Row]:
        """Every row of a table that this person's token shows."""
        return as_rows(self.client.table(table).select("*").execute().data)

    def refusal(self, function: str, **arguments: object) -> str:
        """The error that a call gets; a call that is let through is a failure of the demo."""
        try:
            self.rows(function, **arguments)
        except PostgrestAPIError as error:
            return f"{error.code} {error.message}"
        raise StackError(f"{function} let {self.name} through.", "Please report this.")


def sign_up(url: str, publishable_key: str, name: str) -> Person:
    """A new person, signed up and signed in through Auth."""
    options = ClientOptions(auto_refresh_token=False, persist_session=False)
    client = create_client(url, publishable_key, options)
    email = f"{name}@example.com"
    answer = client.auth.sign_up({"email": email, "password": secrets.token_urlsafe(16)})
    if answer.user is None or answer.session is None:
        raise StackError(f"Auth did not sign {name} in.", "The API's log tells why.")
    person = Person(name, email, answer.user.id, client)
    person.row("update_profile", p_display_name=name.capitalize())
    return person


def as_rows(data: object) -> list[Row]:
    """A function that returns one row answers with an object, any other with a list."""
    if data is None:
        return []
    return cast("list[Row]", data if isinstance(data, list) else [data])


def grant_admin(database_url: str, email: str) -> str:
    """Makes the person with this e-mail an admin and returns their id."""
    try:
        with psycopg.connect(database_url, connect_timeout=5) as connection:
            row = connection.execute(
                "select p.id::text from public.profiles p "
                "where lower(p.email) = lower(%s) and p.deleted_at is null",
                (email,),
            ).fetchone()
            if row is None:
                raise StackError(
                    f"Nobody has signed up as {email}.",
                    "Sign up first, through Auth; then grant again.",
                )
            user_id = str(row[0])
            connection.execute("select public.set_user_role(%s, 'admin')", (user_id,))
            return user_id
    except psycopg.Error as error:
        raise StackError(
            f"The database refused: {str(error).strip()}",
            "Is this a Taximeter database, and the user `postgres`? `taximeter db url` prints one.",
        ) from error
