"""The questions, each on a read-only connection of its own."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg.rows import dict_row

from taximeter.stack.settings import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

Row = dict[str, Any]

OK, WARN, FAIL = "ok", "warn", "fail"
_RANKS = (OK, WARN, FAIL)

HOURS = 24

_WAITS = """
select r.* from public.sessions_needing_review r
order by r.severity <> 'critical', r.since, r.kind, r.subject
"""


class AskError(StackError):
    """The database could not be asked, so nothing is known about it."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The eleven sections, and what waits for a person with the command that settles it."""

    status: str
    since: datetime
    sections: list[Row]
    waiting: list[Row]

    def as_json(self) -> Row:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Health:
    """How it goes now: the dashboard, the day hour by hour, and what waits for a person."""

    status: str
    now: datetime
    metrics: list[Row]
    hours: list[Row]
    waiting: list[Row]
    rates: list[Row]
    realtime: list[Row]

    def of(self, category: str) -> list[Row]:
        return [metric for metric in self.metrics if metric["category"] == category]

    def metric(self, category: str, name: str) -> Row:
        (found,) = (metric for metric in self.of(category) if metric["metric"] == name)
        return found

    def as_json(self) -> Row:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Replay:
    """One session as its events tell it, and where its row says otherwise."""

    replay: Row
    difference: Row | None


class Asked:
    """A connection that answers and cannot change anything."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection

    def rows(self, query: LiteralString, *values: object) -> list[Row]:
        return self._connection.execute(query, values).fetchall()

    def row(self, query: LiteralString, *values: object) -> Row:
        (found,) = self.rows(query, *values)
        return found


@contextmanager
def asking(database_url: str) -> Iterator[Asked]:
    """One look at one moment: everything that is asked is answered from the same snapshot."""
    try:
        with psycopg.connect(
            database_url, connect_timeout=5, row_factory=dict_row, application_name="taximeter"
        ) as connection:
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            yield Asked(connection)
    except (
        psycopg.errors.InvalidSchemaName,
        psycopg.errors.UndefinedFunction,
        psycopg.errors.UndefinedTable,
    ) as error:
        raise AskError(
            f"This database does not know the question: {error.diag.message_primary}.",
            "Is it a Taximeter database, with all of its migrations?",
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise AskError(
            f"The database refused: {error.diag.message_primary}.",
            "Ask as `postgres`, the owner: `taximeter db url` prints such an address.",
        ) from error
    except psycopg.Error as error:
        if error.diag.message_primary is None:
            raise AskError(
                f"The database does not answer: {str(error).strip()}",
                "Is the address right, and does the database run?",
            ) from error
        if error.diag.message_primary == "session_not_found":
            raise StackError(
                "There is no such session.",
                "`sql/ops/check-diagnostic-sessions.sql` looks at those of the older system.",
            ) from error
        said = [error.diag.message_primary, error.diag.message_detail]
        raise AskError(
            f"The database answered {': '.join(part for part in said if part)}",
            error.diag.message_hint or "",
        ) from error


def worst(statuses: list[str]) -> str:
    return max(statuses, key=_RANKS.index, default=OK)


def exit_code(status: str) -> int:
    return _RANKS.index(status)


def verify(database_url: str, since: datetime | None) -> Verification:
    with asking(database_url) as db:
        begun: datetime = db.row(
            "select coalesce(%s::timestamptz, private.clock() - interval '35 days') as since", since
        )["since"]
        sections = db.rows("select * from public.verify_session_end_logic(%s)", since)
        waiting = db.rows(_WAITS)
    return Verification(
        worst([str(section["status"]) for section in sections]), begun, sections, waiting
    )


def health(database_url: str) -> Health:
    with asking(database_url) as db:
        now: datetime = db.row("select private.clock() as now")["now"]
        metrics = db.rows("select * from public.session_health_dashboard()")
        hours = db.rows("select * from public.calculate_session_health_score(%s)", HOURS)
        waiting = db.rows(_WAITS)
        rates = db.rows("select * from public.alert_rates")
        realtime = db.rows("select * from private.realtime_health()")
    overall = [metric["status"] for metric in metrics if metric["category"] == "overall"]
    status = worst([overall[0], *(FAIL for check in realtime if not check["is_ok"])])
    return Health(status, now, metrics, hours, waiting, rates, realtime)


def explain(database_url: str, session_id: str) -> Row:
    with asking(database_url) as db:
        account: Row = db.row("select public.explain_session(%s) as account", session_id)["account"]
    return account


def replay_one(database_url: str, session_id: str) -> Replay:
    with asking(database_url) as db:
        replayed = db.row("select (public.replay_session(%s)).*", session_id)
        found = db.rows(
            "select private.replay_difference(s) as difference from public.sessions s"
            " where s.id = %s",
            session_id,
        )
    return Replay(replayed, found[0]["difference"] if found else {"row": "there is none"})


def replay_all(database_url: str, since: datetime | None) -> list[Row]:
    with asking(database_url) as db:
        return db.rows("select * from public.verify_replay(%s)", since)
