"""The matrix itself: every role, table, verb and function of a database against the decisions.

Every check returns what it found as sentences, so that a test can demand an empty list of the
product and a sentence of a sabotaged copy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import LiteralString, TypeAlias
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import DictRow

from security.decisions import API_ROLES, OWN, QUEUE, Decisions
from security.people import QUEUED_INTAKE, STRANGERS, Cast, Persona, acting_as

Connection: TypeAlias = psycopg.Connection[DictRow]

SCHEMAS = ("public", "private")

_PERMISSION_DENIED = "42501"
# Of a view that nobody can write, PostgreSQL says so before it asks for the right.
_NOT_FOR_VIEWS = {"42809", "55000"}

# It grows while one looks.
_AGE = "longest_waiting_seconds"

_RELATIONS: LiteralString = """
select c.oid, format('%I.%I', n.nspname, c.relname) as name, n.nspname as schema,
  c.relname as relation, c.relkind::text as kind
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('public', 'private') and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
order by 2
"""

_FUNCTIONS: LiteralString = """
select p.oid, n.nspname as schema, p.proname as name,
  format('%s.%s(%s)', n.nspname, p.proname, (
    select coalesce(string_agg(pg_catalog.format_type(t.type, null), ', ' order by t.position), '')
    from unnest(p.proargtypes) with ordinality as t (type, position)
  )) as signature
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
where n.nspname in ('public', 'private')
  and not exists (
    select from pg_catalog.pg_depend d
    where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
  )
order by 4
"""


def relations(connection: Connection) -> list[DictRow]:
    return connection.execute(_RELATIONS).fetchall()


def tables(connection: Connection) -> list[DictRow]:
    return [row for row in relations(connection) if row["kind"] != "S"]


def functions(connection: Connection) -> list[DictRow]:
    return connection.execute(_FUNCTIONS).fetchall()


# Objects and decisions


def undecided(connection: Connection, decisions: Decisions) -> list[str]:
    """Objects nobody has decided about, and decisions about objects that are gone."""
    there = {row["name"] for row in tables(connection)}
    callable_there = {row["signature"] for row in functions(connection)}
    return [
        *(f"{name} has no decision" for name in sorted(there - decisions.tables.keys())),
        *(f"{name} does not exist" for name in sorted(decisions.tables.keys() - there)),
        *(
            f"{name} has no decision"
            for name in sorted(callable_there - decisions.functions.keys())
        ),
        *(f"{name} does not exist" for name in sorted(decisions.functions.keys() - callable_there)),
    ]


# Rights as the catalog has them


def table_verbs(connection: Connection) -> list[str]:
    """Every verb this server knows: what an owner has by default. On 17 MAINTAIN is one of them."""
    rows = connection.execute(
        "select a.privilege_type::text as verb"
        " from aclexplode(acldefault('r', current_user::regrole)) a order by 1"
    )
    return [str(row["verb"]) for row in rows]


def schema_rights(connection: Connection, decisions: Decisions) -> list[str]:
    findings = []
    for schema in SCHEMAS:
        for role in API_ROLES:
            row = connection.execute(
                "select has_schema_privilege(%(role)s, %(schema)s, 'USAGE') as usage,"
                " has_schema_privilege(%(role)s, %(schema)s, 'CREATE') as creates",
                {"role": role, "schema": schema},
            ).fetchone()
            assert row is not None
            if row["usage"] != (role in decisions.schemas[schema]):
                findings.append(f"{role}: USAGE on {schema} is {row['usage']}")
            if row["creates"]:
                findings.append(f"{role} may CREATE in {schema}")
    return findings


def table_rights(connection: Connection, decisions: Decisions) -> list[str]:
    """Every verb on every relation, for every role of the API: SELECT where decided, else none."""
    findings = []
    for relation in relations(connection):
        name = relation["name"]
        sequence = relation["kind"] == "S"
        verbs = ["USAGE", "SELECT", "UPDATE"] if sequence else table_verbs(connection)
        check = "has_sequence_privilege" if sequence else "has_table_privilege"
        for role in API_ROLES:
            readable = role in decisions.tables.get(name, {})
            for verb in verbs:
                row = connection.execute(
                    sql.SQL("select {}(%s, %s::oid, %s) as has").format(
                        sql.SQL("pg_catalog.") + sql.Identifier(check)
                    ),
                    (role, relation["oid"], verb),
                ).fetchone()
                assert row is not None
                if row["has"] != (readable and verb == "SELECT"):
                    findings.append(f"{role}: {verb} on {name} is {row['has']}")
    return findings


def stray_rights(connection: Connection, decisions: Decisions) -> list[str]:
    """Rights of others than the owner and the roles of the API, on columns, with grant option."""
    rows = connection.execute(
        """
        with held as (
          select n.nspname, c.relname as name, c.relowner as owner, a.*
          from pg_catalog.pg_class c
          join pg_catalog.pg_namespace n on n.oid = c.relnamespace
          cross join aclexplode(c.relacl) a
          union all
          select n.nspname, p.proname, p.proowner, a.*
          from pg_catalog.pg_proc p
          join pg_catalog.pg_namespace n on n.oid = p.pronamespace
          cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
          union all
          select n.nspname, c.relname || '.' || t.attname, c.relowner, a.*
          from pg_catalog.pg_attribute t
          join pg_catalog.pg_class c on c.oid = t.attrelid
          join pg_catalog.pg_namespace n on n.oid = c.relnamespace
          cross join aclexplode(t.attacl) a
        )
        select h.nspname || '.' || h.name as name, h.privilege_type as verb,
          coalesce(r.rolname, 'public') as grantee
        from held h
        left join pg_catalog.pg_roles r on r.oid = h.grantee
        where h.nspname = any (%s) and h.grantee <> h.owner
          and (
            h.is_grantable or position('.' in h.name) > 0
            or coalesce(r.rolname, 'public') <> all (%s)
          )
        """,
        (list(SCHEMAS), list(API_ROLES)),
    ).fetchall()
    return [
        f"{row['grantee']} holds {row['verb']} on {row['name']}"
        for row in rows
        if decisions.columns.get(row["name"], {}).get(row["grantee"]) != row["verb"]
    ]


def function_rights(connection: Connection, decisions: Decisions) -> list[str]:
    findings = []
    for function in functions(connection):
        signature = function["signature"]
        decision = decisions.functions.get(signature)
        callers = decision.callers if decision else frozenset()
        for role in API_ROLES:
            row = connection.execute(
                "select has_function_privilege(%s, %s::oid, 'EXECUTE') as has",
                (role, function["oid"]),
            ).fetchone()
            assert row is not None
            if row["has"] != (role in callers):
                findings.append(f"{role}: EXECUTE on {signature} is {row['has']}")
    return findings


# What really happens


def _rows(connection: Connection, table: str, condition: str = "true") -> set[str]:
    # The text comes from the catalog and from the committed decisions.
    query = f"select (to_jsonb(t) - '{_AGE}')::text as row from {table} t where {condition}"
    return {str(row["row"]) for row in connection.execute(query.encode())}


def _literal(value: object) -> str:
    return "null::uuid" if value is None else f"'{value}'::uuid"


def rows_seen(connection: Connection, decisions: Decisions, persona: Persona) -> list[str]:
    """The rows a caller reads are exactly those the decision names."""
    findings = []
    for table in tables(connection):
        name = table["name"]
        rule = decisions.tables.get(name, {}).get(persona.role)
        expected: set[str] | None = None
        if rule is not None:
            condition = rule.replace(":me", _literal(persona.user))
            expected = _rows(
                connection, name, condition.replace(":admin", str(persona.is_admin).lower())
            )
        try:
            with acting_as(connection, persona):
                seen: set[str] | None = _rows(connection, name)
        except psycopg.errors.InsufficientPrivilege:
            seen = None
        if seen == expected:
            continue
        if seen is None or expected is None:
            findings.append(
                f"{persona.name} reading {name}: {_count(seen)}, not {_count(expected)}"
            )
            continue
        findings.extend(f"{persona.name} reads of {name}: {row}" for row in sorted(seen - expected))
        findings.extend(
            f"{persona.name} does not read of {name}: {row}" for row in sorted(expected - seen)
        )
    return findings


def _count(rows: set[str] | None) -> str:
    return "refused" if rows is None else f"{len(rows)} rows"


def writes_that_pass(connection: Connection, persona: Persona) -> list[str]:
    """Every way to write, tried for real, is refused for want of a right and for nothing else."""
    findings = []
    for table in tables(connection):
        column = connection.execute(
            "select quote_ident(attname) as name from pg_catalog.pg_attribute"
            " where attrelid = %s and attnum > 0 and not attisdropped"
            " and attgenerated = '' and attidentity = ''"
            " order by attnum limit 1",
            (table["oid"],),
        ).fetchone()
        assert column is not None
        name = table["name"]
        attempts = {
            "INSERT": f"insert into {name} default values",
            "UPDATE": f"update {name} set {column['name']} = {column['name']}",
            "DELETE": f"delete from {name}",
            "TRUNCATE": f"truncate {name} cascade",
            "TRIGGER": f"create trigger intruder before update on {name} for each row"
            " execute function pg_catalog.suppress_redundant_updates_trigger()",
            "LOCK": f"lock table {name} in access exclusive mode",
            "ALTER": f"alter table {name} disable row level security",
        }
        for verb, attempt in attempts.items():
            answer = _attempt(connection, persona, attempt)
            refusals = {_PERMISSION_DENIED} | (_NOT_FOR_VIEWS if table["kind"] == "v" else set())
            if answer not in refusals:
                findings.append(f"{persona.name}: {verb} on {name} gave {answer}")
    return findings


def _attempt(connection: Connection, persona: Persona, statement: str) -> str:
    try:
        with acting_as(connection, persona):
            connection.execute(statement.encode())
    except psycopg.Error as error:
        return error.sqlstate or "no sqlstate"
    return "success"


def arguments_for(text: str, cast: Cast) -> str:
    """The committed arguments, with the ids of the cast."""
    values = {
        "live_session": cast.live_session,
        "live_assignment": cast.live_assignment,
        "queued_session": cast.queued_session,
        "queued_assignment": cast.queued_assignment,
        "paid_session": cast.paid_session,
        "paid_intent": cast.paid_intent,
        "payment": cast.payment,
        "payout": cast.payout,
        "quote": cast.quote,
        "file": cast.file,
        "notification": cast.notification,
        "upsell": cast.upsell,
        "victim": cast["customer"].user,
    }
    return re.sub(r"(?<!:):([a-z]\w*)", lambda match: _literal(values[match[1]]), text)


def _contents(connection: Connection) -> dict[str, set[str]]:
    """What is stored; a view only counts it."""
    return {
        table["name"]: _rows(connection, table["name"])
        for table in tables(connection)
        if table["kind"] != "v"
    }


def refusals_by_right(
    connection: Connection, decisions: Decisions, cast: Cast, persona: Persona
) -> list[str]:
    """A role without EXECUTE is refused by the database itself, for every function of the API."""
    findings = []
    for signature, decision in decisions.functions.items():
        if decision.arguments is None or persona.role in decision.callers:
            continue
        call = f"select {signature.partition('(')[0]}({arguments_for(decision.arguments, cast)})"
        answer = _attempt(connection, persona, call)
        if answer != _PERMISSION_DENIED:
            findings.append(f"{persona.name}: {call} gave {answer}")
    return findings


def asked_by_views(connection: Connection) -> list[str]:
    """The functions that give the views of public their rows."""
    rows = connection.execute(
        """
        select distinct p.oid::regprocedure::text as signature
        from pg_catalog.pg_rewrite r
        join pg_catalog.pg_class c on c.oid = r.ev_class and c.relkind = 'v'
        join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass
          and d.objid = r.oid and d.refclassid = 'pg_catalog.pg_proc'::regclass
        join pg_catalog.pg_proc p on p.oid = d.refobjid
        where c.relnamespace = 'public'::regnamespace
          and p.pronamespace = 'private'::regnamespace
          and p.proretset
        order by 1
        """
    )
    return [str(row["signature"]) for row in rows]


def rows_behind_views(connection: Connection, persona: Persona) -> dict[str, int]:
    """How much each gives when it is asked itself, of as long ago as it can be."""
    found = {}
    for signature in asked_by_views(connection):
        name, _, types = signature.partition("(")
        argument = "" if types == ")" else "'2020-01-01 00:00:00+00'"
        with acting_as(connection, persona):
            found[name] = len(connection.execute(f"select {name}({argument})".encode()).fetchall())
    return found


def calls_without_user(connection: Connection, decisions: Decisions, cast: Cast) -> list[str]:
    """A signed token without a user gets `not_authenticated`, or what the decision says."""
    findings = []
    for signature, decision in decisions.functions.items():
        if decision.arguments is None or "authenticated" not in decision.callers:
            continue
        answer, _ = _call(connection, cast["nobody"], signature, decision.arguments, cast)
        if answer != decision.without_user:
            findings.append(f"nobody: {signature} gave {answer}, not {decision.without_user}")
    return findings


def _call(
    connection: Connection, persona: Persona, signature: str, arguments: str, cast: Cast
) -> tuple[str, list[str]]:
    """The error code or `own`, and which rows of others the answer or the tables then show."""
    call = f"{signature.partition('(')[0]}({arguments_for(arguments, cast)})"
    before = _contents(connection)
    try:
        with acting_as(connection, persona):
            answer = connection.execute(
                f"select coalesce(jsonb_agg(to_jsonb(r)), '[]')::text as answer"
                f" from {call} r".encode()
            ).fetchone()
            assert answer is not None
            connection.execute("reset role")
            connection.execute("reset session authorization")
            after = _contents(connection)
    except psycopg.Error as error:
        state = error.sqlstate or ""
        code = error.diag.message_primary or ""
        if not state.startswith("PT"):
            return f"{state} {code}", []
        leaked = [secret for secret in cast.secrets if secret in (error.diag.message_detail or "")]
        return code, [f"{call} tells {persona.name}: {secret}" for secret in leaked]
    return OWN, [
        *(
            f"{call} tells {persona.name}: {secret}"
            for secret in cast.secrets
            if secret in answer["answer"]
        ),
        *_foreign_changes(before, after, persona.user, call, persona.name, cast.secrets),
        *(
            [f"{call} shows {persona.name} the queue"]
            if QUEUED_INTAKE in answer["answer"] and persona.name != "other_customer"
            else []
        ),
    ]


def _foreign_changes(
    before: dict[str, set[str]],
    after: dict[str, set[str]],
    user: UUID | None,
    call: str,
    name: str,
    secrets: frozenset[str],
) -> Iterable[str]:
    for table, rows in before.items():
        for row in sorted(rows - after[table]):
            if user is None or str(user) not in row:
                yield f"{call} by {name} changed {table}: {row}"
        for row in sorted(after[table] - rows):
            if any(secret in row for secret in secrets):
                yield f"{call} by {name} wrote into {table}: {row}"


def calls_by_strangers(
    connection: Connection, decisions: Decisions, cast: Cast, name: str
) -> list[str]:
    """A stranger gets the decided error, or an answer in which nothing is anybody else's."""
    assert name in STRANGERS
    findings = []
    for signature, decision in decisions.functions.items():
        if decision.arguments is None or "authenticated" not in decision.callers:
            continue
        expected = decision.outcome(name)
        answer, leaks = _call(connection, cast[name], signature, decision.arguments, cast)
        if answer != (OWN if expected == QUEUE else expected):
            findings.append(f"{name}: {signature} gave {answer}, not {expected}")
        findings.extend(
            leak for leak in leaks if expected != QUEUE or not leak.endswith("the queue")
        )
    return findings
