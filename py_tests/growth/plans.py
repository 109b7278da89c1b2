"""What every statement really did, read from the plans that auto_explain tells its client."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg import sql

from support.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import psycopg
    from psycopg.rows import DictRow

MILLION = 1_000_000
# What a look-up may read and not want.
DISCARDED = 100
# More than anybody has of his own here, and little of what there is.
ROWS = 500

_TOLD: LiteralString = """
set session_preload_libraries = 'auto_explain'
set auto_explain.log_min_duration = 0
set auto_explain.log_analyze = on
set auto_explain.log_timing = off
set auto_explain.log_nested_statements = on
set auto_explain.log_format = 'json'
set auto_explain.log_level = 'notice'
set jit = off
"""

# The planner multiplies the rows of a page by the pages that are there.
_BELIEVED: LiteralString = """
update pg_catalog.pg_class
set reltuples = greatest(reltuples * %(factor)s, %(least)s), relpages = greatest(relpages, 1)
where oid = any (%(tables)s::regclass[])
"""

_INDEXES: LiteralString = """
select i.indexrelid::regclass::name as name, pg_get_indexdef(i.indexrelid, 1, true) as first,
  i.indpred is not null as is_partial
from pg_catalog.pg_index i
join pg_catalog.pg_class c on c.oid = i.indrelid
where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
"""


@dataclass(frozen=True)
class Index:
    """What a plan does not say of an index: what it is ordered by, whether it holds all rows."""

    first: str
    is_partial: bool

    def is_asked(self, condition: str) -> bool:
        words = set(re.findall(r"\w+", self.first)) - {"COALESCE", "GREATEST"}
        return bool(words & set(re.findall(r"\w+", condition)))


@dataclass
class Watch:
    """What is wrong with how statements came to their rows of the tables that grow."""

    tables: frozenset[str]
    indexes: Mapping[str, Index]
    touched: set[str] = field(default_factory=set)
    faults: dict[tuple[str, str], str] = field(default_factory=dict)

    def see(self, told: Mapping[str, Any]) -> None:
        statement = " ".join(told["Query Text"].split())
        for how, found in self._faults(told["Plan"], None):
            self.faults.setdefault((how, statement), found)

    def findings(self) -> list[str]:
        return [f"{how}: {found}\n  {text}" for (how, text), found in self.faults.items()]

    def _faults(self, node: Mapping[str, Any], table: str | None) -> Iterator[tuple[str, str]]:
        table = node.get("Relation Name", table)
        for child in node.get("Plans", ()):
            # The index of a bitmap is that of the table above it.
            is_bitmap = child["Node Type"] in {"Bitmap Index Scan", "BitmapOr", "BitmapAnd"}
            yield from self._faults(child, table if is_bitmap else None)
        kind = node["Node Type"]
        if table not in self.tables or not kind.endswith("Scan"):
            return
        self.touched.add(table)
        how = " ".join(filter(None, (kind, node.get("Index Name"), "on", table)))
        if kind == "Seq Scan":
            yield how, f"reads the table; {node.get('Filter', 'no condition')}"
            return
        rows = node["Actual Rows"] * node["Actual Loops"]
        unwanted = node["Actual Loops"] * (
            node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        )
        condition = node.get("Index Cond")
        index = self.indexes.get(node.get("Index Name", ""))
        if unwanted > DISCARDED + rows:
            yield how, f"reads {unwanted:.0f} rows that it does not want; {node.get('Filter')}"
        elif rows > ROWS:
            yield how, f"gives {rows:.0f} rows; {condition}"
        elif index and condition and not index.is_asked(condition):
            yield how, f"reads the index, which begins with {index.first}; {condition}"
        elif index and not condition and not index.is_partial and rows + unwanted > DISCARDED:
            yield how, f"reads the index; {node.get('Filter', 'no condition')}"


def watch(
    owner: psycopg.Connection[DictRow], tables: frozenset[str], factor: int, *, is_free: bool
) -> Watch:
    """Has later connections tell what they run; the planner believes in a million rows a table.

    Not free: it reads no table as a whole for which there is an index, however empty it is.
    """
    owner.execute(
        _BELIEVED, {"factor": factor, "least": MILLION, "tables": [str(name) for name in tables]}
    )
    settings = _TOLD + ("" if is_free else "set enable_seqscan = off")
    for setting in settings.strip().splitlines():
        owner.execute(
            sql.SQL("alter database {} {}").format(
                sql.Identifier(owner.info.dbname), sql.SQL(setting)
            )
        )
    found = owner.execute(_INDEXES).fetchall()
    return Watch(
        frozenset(name.partition(".")[2] for name in tables),
        {row["name"]: Index(row["first"], row["is_partial"]) for row in found},
    )


@dataclass
class Watched(Database):
    """A database that sees what its clients' connections do."""

    seen: Watch | None = None

    def connect(
        self, user: str = "postgres", autocommit: bool = True
    ) -> psycopg.Connection[DictRow]:
        connection = super().connect(user, autocommit)
        # What a test asks for itself comes over the others.
        if user == "authenticator":
            self.attend(connection)
        return connection

    def fail_if_wrong(self) -> None:
        assert self.seen is not None
        assert self.seen.touched, "nothing was seen"
        if self.seen.faults:
            raise AssertionError("\n".join(self.seen.findings()))

    def attend(self, connection: psycopg.Connection[DictRow]) -> None:
        def see(notice: psycopg.errors.Diagnostic) -> None:
            _, told, plan = (notice.message_primary or "").partition("  plan:\n")
            if told and self.seen is not None:
                self.seen.see(json.loads(plan))

        connection.add_notice_handler(see)
