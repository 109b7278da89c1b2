"""What holds of every object of `public` and `private`, whatever it is for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, LiteralString

import psycopg
import pytest
from psycopg.rows import DictRow

from security import matrix
from taximeter.stack.postgres import CHECKOUT

if TYPE_CHECKING:
    from security.conftest import Stages

Catalog = psycopg.Connection[DictRow]

DOCUMENT = CHECKOUT / "docs" / "security.md"

FUNCTIONS: LiteralString = """
select n.nspname as schema, p.proname as name, p.prosecdef as is_definer,
  p.provolatile::text as volatility,
  coalesce(p.proconfig, '{}') as settings, obj_description(p.oid, 'pg_proc') as comment,
  pg_get_functiondef(p.oid) as source, l.lanname as language,
  format('%s.%s(%s)', n.nspname, p.proname, (
    select coalesce(string_agg(pg_catalog.format_type(t.type, null), ', ' order by t.position), '')
    from unnest(p.proargtypes) with ordinality as t (type, position)
  )) as signature
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
join pg_catalog.pg_language l on l.oid = p.prolang
where n.nspname in ('public', 'private')
  and not exists (
    select from pg_catalog.pg_depend d
    where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
  )
order by signature
"""

POLICIES: LiteralString = """
select n.nspname as schema, c.relname as relation, p.polname as name, p.polcmd::text as command,
  p.polroles as roles, pg_get_expr(p.polqual, p.polrelid) as using_,
  pg_get_expr(p.polwithcheck, p.polrelid) as check_, p.polpermissive as is_permissive
from pg_catalog.pg_policy p
join pg_catalog.pg_class c on c.oid = p.polrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('public', 'private')
"""


@pytest.fixture
def catalog(stages: Stages) -> Catalog:
    return stages.get(exposed=False).connection


def _names(catalog: Catalog, query: LiteralString) -> list[str]:
    return sorted(str(row["name"]) for row in catalog.execute(query))


def test_row_level_security_is_on_everywhere(catalog: Catalog) -> None:
    """SEC-01: every table of public and private has row level security."""
    assert matrix.tables(catalog)
    assert (
        _names(
            catalog,
            """
            select format('%I.%I', n.nspname, c.relname) as name
            from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where n.nspname in ('public', 'private')
              and c.relkind in ('r', 'p')
              and not c.relrowsecurity
            """,
        )
        == []
    )


def test_views_run_as_their_reader(catalog: Catalog) -> None:
    """SEC-01, MOD-01: a view that ran as its owner would go round every policy."""
    assert (
        _names(
            catalog,
            """
            select format('%I.%I', n.nspname, c.relname) as name
            from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where n.nspname in ('public', 'private')
              and (
                c.relkind in ('m', 'f')
                or c.relkind = 'v'
                and not coalesce(c.reloptions, '{}')
                  && '{security_invoker=true,security_invoker=on}'
              )
            """,
        )
        == []
    )


def test_policies_are_named_as_sentences(catalog: Catalog) -> None:
    """SEC-01: a policy's name says in words who may do what."""
    names = [str(row["name"]) for row in catalog.execute(POLICIES)]
    assert names
    assert [name for name in names if not re.fullmatch(r"[a-z]+(?: [a-z']+){3,}", name)] == []


def test_clients_have_policies_for_reading_only(catalog: Catalog) -> None:
    """SEC-01, MOD-01: in public there are SELECT policies and no others."""
    policies = [row for row in catalog.execute(POLICIES) if row["schema"] == "public"]
    assert policies
    assert [row["name"] for row in policies if row["command"] != "r" or 0 in row["roles"]] == []


def test_private_tables_admit_nobody(catalog: Catalog) -> None:
    """SEC-03: every private table has one policy, for every role and verb, that admits nobody.

    A view can have none: it reads as its reader.
    """
    found: dict[str, list[DictRow]] = {
        str(row["name"]): []
        for row in matrix.tables(catalog)
        if row["schema"] == "private" and row["kind"] != "v"
    }
    for row in catalog.execute(POLICIES):
        if row["schema"] == "private":
            found[f"private.{row['relation']}"].append(row)
    assert found
    for table, policies in found.items():
        admitted = [
            (row["using_"], row["check_"], row["command"], row["roles"], row["is_permissive"])
            for row in policies
        ]
        assert admitted == [("false", None, "*", [0], True)], table


def test_search_path_is_pinned(catalog: Catalog) -> None:
    """SEC-01: no function depends on its caller's search path."""
    rows = catalog.execute(FUNCTIONS).fetchall()
    assert rows
    assert [row["signature"] for row in rows if 'search_path=""' not in row["settings"]] == []


def test_definers_are_private_and_documented(catalog: Catalog) -> None:
    """SEC-05, MOD-01: definer functions are in private, each documented with its reason."""
    definers = {row["signature"] for row in catalog.execute(FUNCTIONS) if row["is_definer"]}
    documented = set(re.findall(r"^\| `([^`]+\))` \|", DOCUMENT.read_text(), re.MULTILINE))
    assert {name for name in definers if not name.startswith("private.")} == set()
    assert documented == definers


def test_functions_are_commented(catalog: Catalog) -> None:
    """DOC-01: the comment of a function is its documentation, in both schemas."""
    assert [row["signature"] for row in catalog.execute(FUNCTIONS) if not row["comment"]] == []


def test_nothing_refers_to_platform_tables(catalog: Catalog) -> None:
    """MOD-03: no foreign key leads out of our schemas, so nothing cascades from auth.users."""
    assert (
        _names(
            catalog,
            """
            select k.conname as name
            from pg_catalog.pg_constraint k
            join pg_catalog.pg_class c on c.oid = k.conrelid
            join pg_catalog.pg_class f on f.oid = k.confrelid
            where k.contype = 'f'
              and c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
              and f.relnamespace not in ('public'::regnamespace, 'private'::regnamespace)
            """,
        )
        == []
    )


def test_nothing_else_is_created(catalog: Catalog) -> None:
    """MOD-01: in the platform's schemas our migrations own nothing."""
    assert (
        _names(
            catalog,
            """
            select format('%I.%I', n.nspname, o.name) as name
            from (
              select c.relnamespace, c.relname, c.relowner from pg_catalog.pg_class c
              union all
              select p.pronamespace, p.proname, p.proowner from pg_catalog.pg_proc p
              union all
              select t.typnamespace, t.typname, t.typowner from pg_catalog.pg_type t
            ) o (namespace, name, owner)
            join pg_catalog.pg_namespace n on n.oid = o.namespace
            where o.owner = 'postgres'::regrole
              and n.nspname not in ('public', 'private', 'supabase_migrations')
              and n.nspname !~ '^pg_'
            """,
        )
        == []
    )


# What PostgreSQL does not check here and hosted Supabase does (STACK-03).

_WORDS_OR_TEXT = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)
_CHANGE = re.compile(
    r"\bupdate\s+(?:only\s+)?[\w.]+(?:\s+(?:as\s+)?(?!set\b)\w+)?\s+set\b|\bdelete\s+from\b"
)
_WRITES = re.compile(
    r"\binsert\s+into\b|\bmerge\s+into\b|\btruncate\b|\bfor\s+(?:no\s+key\s+)?update\b"
    r"|\bfor\s+(?:key\s+)?share\b|\bset_config\s*\(|\bnextval\s*\(|\bpg_notify\s*\(|\brealtime\.\w+\s*\("
)


def code_of(source: str) -> str:
    """A function's definition without comments and without what is between quotes."""
    return _WORDS_OR_TEXT.sub("''", source).lower()


def unbounded_changes(source: str) -> list[str]:
    """UPDATE and DELETE statements without a WHERE of their own."""
    code = code_of(source)
    found = []
    for match in _CHANGE.finditer(code):
        depth, end = 0, len(code)
        for position in range(match.end(), len(code)):
            character = code[position]
            if character == "(":
                depth += 1
            elif character == ")":
                depth -= 1
            if depth < 0 or (depth == 0 and character == ";"):
                end = position
                break
        statement = code[match.start() : end]
        own = re.sub(r"\([^()]*\)", "", statement)
        while own != (own := re.sub(r"\([^()]*\)", "", own)):
            pass
        if not re.search(r"\bwhere\b", own):
            found.append(" ".join(statement.split()))
    return found


def test_every_change_says_which_rows(catalog: Catalog) -> None:
    """STACK-03, SEC-01: hosted refuses UPDATE and DELETE without WHERE inside any function."""
    found = {
        row["signature"]: unbounded_changes(row["source"]) for row in catalog.execute(FUNCTIONS)
    }
    assert {name: changes for name, changes in found.items() if changes} == {}


def test_unbounded_changes_are_found() -> None:
    """TEST-03: the search itself goes red."""
    assert unbounded_changes("begin update a.b x set y = 1; end") == ["update a.b x set y = 1"]
    assert unbounded_changes("with d as (delete from a.b) select 1 where true")
    assert unbounded_changes("update a.b set y = (select 1 from c where d)")
    assert not unbounded_changes("update a.b set y = 1 -- all;\n where z = ';'")
    assert not unbounded_changes("insert into a values (1) on conflict (b) do update set c = 1")
    assert not unbounded_changes("select 1 from a for update of a skip locked")


def writers(functions: list[DictRow]) -> set[str]:
    """The names of the functions that write or lock rows, by themselves or by what they call."""
    code = {
        f"{row['schema']}.{row['name']}": code_of(row["source"].split("\nAS ", 1)[-1])
        for row in functions
    }
    found = {name for name, text in code.items() if _WRITES.search(text) or _CHANGE.search(text)}
    while True:
        calling = {
            name
            for name, text in code.items()
            if name not in found
            and any(
                callee in found for callee in re.findall(r"\b((?:public|private)\.\w+)\s*\(", text)
            )
        }
        if not calling:
            return found
        found |= calling


def test_a_function_that_writes_is_volatile(catalog: Catalog) -> None:
    """STACK-03: the REST API runs STABLE functions read-only, so who writes must be VOLATILE."""
    functions = catalog.execute(FUNCTIONS).fetchall()
    found = writers(functions)
    assert {"public.create_session", "private.move_session", "public.join_session"} <= found
    assert "public.session_people" not in found
    assert [
        row["signature"]
        for row in functions
        if f"{row['schema']}.{row['name']}" in found and row["volatility"] != "v"
    ] == []


def test_dynamic_sql_is_rare(catalog: Catalog) -> None:
    """SEC-04: text becomes SQL only to talk to an extension or schema that may not be there."""
    using = [
        row["signature"]
        for row in catalog.execute(FUNCTIONS)
        if row["language"] == "plpgsql"
        and re.search(
            r"^\s*(?:return query )?execute\b(?! function)", code_of(row["source"]), re.MULTILINE
        )
    ]
    assert using == [
        "private.is_scheduled(text, text)",
        "private.legacy_rows(text)",
        "private.prune_history()",
        "private.setup_cron()",
        "private.teardown_cron()",
    ]


def test_public_functions_run_as_the_caller(catalog: Catalog) -> None:
    """MOD-01: the API is thin: security invoker, language sql, one call of the engine."""
    thick = [
        row["signature"]
        for row in catalog.execute(FUNCTIONS)
        if row["schema"] == "public" and (row["is_definer"] or row["language"] != "sql")
    ]
    assert thick == []


def having(catalog: Catalog, pattern: str) -> list[str]:
    """The names of the functions whose code, without comments and texts, has this in it."""
    return sorted(
        {
            f"{row['schema']}.{row['name']}"
            for row in catalog.execute(FUNCTIONS)
            if re.search(pattern, code_of(row["source"]))
        }
    )


def test_one_function_moves_sessions(catalog: Catalog) -> None:
    """MOD-06: only move_session writes a session after its birth; two bring one into the world."""
    assert having(catalog, r"\bupdate\s+(?:only\s+)?public\.sessions\b") == ["private.move_session"]
    assert having(catalog, r"\binsert\s+into\s+public\.sessions\b") == [
        "private.import_session",
        "private.make_session",
    ]
    assert having(catalog, r"\binsert\s+into\s+public\.session_events\b") == [
        "private.append_event"
    ]


def test_one_function_posts(catalog: Catalog) -> None:
    """MON-01: only post writes transfers and entries; only the trigger moves stored balances."""
    changing = r"\b(?:insert\s+into|update|delete\s+from|truncate|merge\s+into)\s+(?:only\s+)?"
    for table in ("transfers", "entries"):
        assert having(catalog, rf"{changing}private\.ledger_{table}\b") == ["private.post"]
    assert having(catalog, rf"{changing}private\.ledger_accounts\b") == [
        "private.balance_entries",
        "private.post",
    ]
    assert having(catalog, r"\bupdate\s+(?:only\s+)?private\.ledger_accounts\b") == [
        "private.balance_entries"
    ]


@pytest.mark.parametrize(
    ("table", "makers"),
    [
        ("private.outbox", ["private.enqueue"]),
        ("private.payments", ["private.payment_row"]),
        ("private.settlements", ["private.settle_money"]),
        ("public.checkout_intents", ["private.request_checkout"]),
        ("public.mechanic_earnings", ["private.make_earning"]),
        ("public.notifications", ["private.notify"]),
        ("public.payouts", ["private.make_payout"]),
        ("public.repair_quotes", ["private.escalate_quote"]),
        # History of the older system, of which no money moves, is the other one.
        ("public.session_extensions", ["private.import_extension", "private.request_extension"]),
        ("public.session_files", ["private.import_file", "private.register_session_file"]),
        ("public.session_messages", ["private.send_session_message"]),
        ("public.session_upsells", ["private.offer_upsells"]),
    ],
)
def test_each_row_has_its_maker(catalog: Catalog, table: str, makers: list[str]) -> None:
    """MON-17, MON-12, NOTE-01: what comes about in one way has one place where its rules are."""
    assert having(catalog, rf"\binsert\s+into\s+{re.escape(table)}\b") == makers


def test_only_the_outbox_writes_the_outbox(catalog: Catalog) -> None:
    """MON-17, MON-18: other rooms enqueue, amend, settle and revive; none touches a row itself."""
    room = (CHECKOUT / "supabase/migrations/20260101000400_outbox.sql").read_text()
    made_there = set(re.findall(r"^create function (private\.\w+)\(", room, re.MULTILINE))
    writers_of_rows = having(
        catalog, r"\b(?:insert\s+into|update|delete\s+from)\s+(?:only\s+)?private\.outbox\b"
    )
    assert "private.complete_outbox" in writers_of_rows
    assert set(writers_of_rows) <= made_there


def test_nothing_outside_is_asked_within_a_transaction(catalog: Catalog) -> None:
    """MON-17, MON-19: the wake-up is the one call that leaves the database; all else is a row."""
    assert having(catalog, r"\bnet\.\w+\s*\(") == ["private.wake_dispatcher"]
