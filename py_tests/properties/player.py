"""Plays calls on a real database: everything of one script in one transaction that never commits.

The clock is a variable of the connection, people are made once, and a call takes one round trip:
the call as that person, what is stored afterwards, and what would be stored if a tick came now.
That tick is undone, so that only scripts decide when something is written down.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID, uuid4

from psycopg import sql

from properties.model import (
    ACTIVE,
    ADMIN,
    CUSTOMERS,
    MECHANICS,
    STRANGER,
    SYSTEM,
    Call,
    Rules,
)
from support.world import Connection, World

# Functions of this test's own, in a schema of this test's own database.
_HELPERS: tuple[LiteralString, ...] = (
    "create schema play",
    """
    create or replace function private.clock() returns timestamptz
    language sql volatile set search_path = ''
    as $$ select current_setting('play.now')::timestamptz $$
    """,
    """
    create function play.call(p_role text, p_claims text, p_query text) returns jsonb
    language plpgsql as $$
    declare
      v_answer jsonb;
      v_code text;
      v_state text;
      v_detail text;
    begin
      begin
        perform set_config('request.jwt.claims', p_claims, true), set_config('role', p_role, true);
        execute format('select coalesce(jsonb_agg(to_jsonb(r)), ''[]'') from (%s) r', p_query)
        into v_answer;
        perform set_config('request.jwt.claims', '', true), set_config('role', 'none', true);
        set constraints all immediate;
        set constraints all deferred;
        return jsonb_build_object('rows', v_answer);
      exception when others then
        get stacked diagnostics
          v_code = message_text, v_state = returned_sqlstate, v_detail = pg_exception_detail;
        return jsonb_build_object('code', v_code, 'state', v_state, 'detail', v_detail);
      end;
    end
    $$
    """,
    """
    create function play.sessions(p_known text[]) returns jsonb
    language plpgsql as $$
    begin
      return (
        select coalesce(jsonb_agg(
          to_jsonb(s) || jsonb_build_object(
            'effective', public.effective_status(s),
            'people', (
              select jsonb_agg(to_jsonb(p))
              from public.session_participants p
              where p.session_id = s.id
            ),
            'assignment', (
              select to_jsonb(a) from public.session_assignments a where a.session_id = s.id
            ),
            'events', (
              select jsonb_agg(jsonb_build_object(
                'type', e.type, 'actor_id', e.actor_id, 'payload', e.payload,
                'version', e.version, 'occurred_at', e.occurred_at, 'created_at', e.created_at
              ) order by e.id)
              from public.session_events e
              where e.session_id = s.id
            )
          )
        ), '[]')
        from public.sessions s
        where s.id || ' ' || s.version <> all (p_known)
      );
    end
    $$
    """,
    """
    create function play.probe(p_known text[]) returns jsonb
    language plpgsql as $$
    declare
      v_tick jsonb;
      v_sessions jsonb;
    begin
      begin
        v_tick := public.tick_sessions(p_limit => 500, p_seconds => 60);
        v_sessions := play.sessions(p_known);
        raise exception 'undone' using errcode = 'UNDON';
      exception when sqlstate 'UNDON' then null;
      end;
      return jsonb_build_object('tick', v_tick, 'sessions', v_sessions);
    end
    $$
    """,
    """
    create function play.step(
      p_now text, p_role text, p_claims text, p_query text, p_known text[]
    )
    returns jsonb
    language plpgsql as $$
    declare
      v_answer jsonb;
    begin
      perform set_config('play.now', p_now, true);
      v_answer := play.call(p_role, p_claims, p_query);
      return jsonb_build_object(
        'answer', v_answer, 'stored', play.sessions(p_known), 'settled', play.probe(p_known)
      );
    end
    $$
    """,
)

BEGINNING = datetime.fromisoformat("2030-01-01T12:00:00+00:00")
ANSWERS_ROW = {
    "create_session",
    "accept_assignment",
    "decline_assignment",
    "release_assignment",
    "join_session",
    "leave_session",
    "heartbeat_session",
    "start_session",
    "record_presence_event",
    "mark_session_unattended",
}


class BrokenError(AssertionError):
    """The database did what nothing in the specification allows."""


@dataclass(frozen=True)
class Told:
    """What a call told its caller: rows, or a refusal."""

    rows: list[dict[str, Any]]
    code: str | None
    state: str | None
    detail: str | None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Told:
        return cls(
            answer.get("rows", []), answer.get("code"), answer.get("state"), answer.get("detail")
        )


@dataclass(frozen=True)
class Seen:
    """The database after a call: as it is stored, and as a tick would leave it."""

    stored: list[dict[str, Any]]
    settled: list[dict[str, Any]]
    tick: dict[str, Any]


def moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


class Player:
    """One connection, its people, and the sessions of the present script by number."""

    def __init__(self, world: World) -> None:
        self.people: dict[str, UUID] = {name: world.customer() for name in (*CUSTOMERS, STRANGER)}
        self.people |= {name: world.mechanic() for name in MECHANICS}
        self.people[ADMIN] = world.admin()
        self.names = {str(uid): name for name, uid in self.people.items()}
        self.connection: Connection = world.db.connect("postgres", autocommit=True)
        for statement in _HELPERS:
            self.connection.execute(statement)
        self.connection.execute("set timezone = 'UTC'")
        self.connection.execute("set jit = off")
        self.calls = 0
        self.numbers: dict[str, int] = {}
        self.ids: list[str] = []
        self.assignments: list[str] = []
        self._ended: dict[str, dict[str, Any]] = {}

    def begin(self, rules: Rules) -> None:
        """A transaction without any session, under these rules."""
        self.connection.execute("rollback")
        self.connection.execute("begin")
        self.connection.execute("select set_config('play.now', %s, true)", (BEGINNING.isoformat(),))
        for rule in fields(rules):
            value = getattr(rules, rule.name)
            self.connection.execute(
                "update private.settings set value = %s::jsonb where key = %s",
                (json.dumps(value), rule.name),
            )
        self.numbers, self.ids, self.assignments, self._ended = {}, [], [], {}

    def end(self) -> None:
        self.connection.execute("rollback")

    # calls

    def step(self, call: Call) -> tuple[Told, Seen]:
        """Plays a call and looks at everything afterwards; what has ended, only if it changed."""
        known = [f"{row['id']} {row['version']}" for row in self._ended.values()]
        found = self._send("select play.step(%s, %s, %s, %s, %s) as found", call, known)
        stored = self._everything(found["stored"])
        settled = self._everything(found["settled"]["sessions"])
        self._ended = {id_: row for id_, row in stored.items() if row["status"] not in ACTIVE}
        seen = Seen([*stored.values()], [*settled.values()], found["settled"]["tick"])
        return self._told(call, found["answer"]), seen

    def _everything(self, changed: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return self._ended | {row["id"]: self._named(row) for row in changed}

    def quick(self, call: Call) -> Told:
        """Plays a call and looks at its answer only."""
        self.connection.execute("select set_config('play.now', %s, true)", (call.at.isoformat(),))
        return self._told(call, self._send("select play.call(%s, %s, %s) as found", call))

    def state(self) -> list[dict[str, Any]]:
        """Every session as it is stored."""
        found = self.connection.execute("select play.sessions('{}') as found").fetchone()
        assert found is not None
        return [self._named(row) for row in found["found"]]

    def _send(self, query: LiteralString, call: Call, known: list[str] | None = None) -> Any:
        self.calls += 1
        parameters: list[Any] = [*self._caller(call.actor), self._query(call)]
        if known is not None:
            parameters = [call.at.isoformat(), *parameters, known]
        found = self.connection.execute(query, parameters).fetchone()
        assert found is not None
        return found["found"]

    def _told(self, call: Call, answer: Mapping[str, Any]) -> Told:
        told = Told.of(answer)
        if told.state is not None and not told.state.startswith("PT"):
            raise BrokenError(f"{call}\n{told.state} {told.code}: {told.detail}")
        if call.command == "create_session" and told.code is None:
            session = told.rows[0]["id"]
            if session not in self.numbers:
                self.ids.append(session)
                self.numbers[session] = len(self.ids)
                made = self.connection.execute(
                    "select id::text from public.session_assignments where session_id = %s",
                    (session,),
                ).fetchone()
                assert made is not None
                self.assignments.append(made["id"])
        return Told([self._named(row) for row in told.rows], told.code, told.state, told.detail)

    def _caller(self, actor: str) -> tuple[str, str]:
        if actor == SYSTEM:
            return "service_role", json.dumps({"role": "service_role"})
        claims = {"role": "authenticated", "sub": str(self.people[actor])}
        return "authenticated", json.dumps(claims)

    def _query(self, call: Call) -> str:
        if call.command == "nothing":
            return "select"
        parameters = sql.SQL(", ").join(
            sql.SQL("{} => {}").format(sql.Identifier(name), sql.Literal(value))
            for name, value in self._parameters(call).items()
        )
        return (
            sql.SQL("select * from public.{}({})")
            .format(sql.Identifier(call.command), parameters)
            .as_string(self.connection)
        )

    def _parameters(self, call: Call) -> dict[str, Any]:
        given = call.arguments
        number = call.session
        known = number is not None and number <= len(self.ids)
        if call.command == "create_session":
            found = {"p_plan": given["plan"]}
            if given.get("preferred") is not None:
                found["p_preferred_mechanic_id"] = str(self.people[given["preferred"]])
            if given.get("scheduled_for") is not None:
                found["p_scheduled_for"] = given["scheduled_for"].isoformat()
            if given.get("key") is not None:
                found["p_idempotency_key"] = given["key"]
            return found
        if call.command in ("accept_assignment", "decline_assignment", "release_assignment"):
            assert number is not None
            return {"p_assignment_id": self.assignments[number - 1] if known else str(uuid4())}
        if call.command == "set_availability":
            return {"p_is_accepting": given["is_accepting"]}
        if call.command == "archive_sessions":
            return {"p_before": given["before"].isoformat()}
        if number is None:
            return {}
        session = {"p_session_id": self.ids[number - 1] if known else str(uuid4())}
        if call.command == "record_presence_event":
            at = call.at - timedelta(seconds=given["ago"])
            return session | {
                "p_identity": f"{given['role']}-{self.people[given['who']]}",
                "p_event": given["event"],
                "p_event_id": given["event_id"],
                "p_occurred_at": at.isoformat(),
            }
        return session

    # reading

    def _named(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row as the model speaks: names for people, numbers for sessions, real times."""
        return {name: self._value(name, value) for name, value in row.items()}

    def _value(self, name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return self._named(value)
        if isinstance(value, list):
            return [self._value(name, one) for one in value]
        if not isinstance(value, str):
            return value
        if name in _TIMES or name.endswith("_at"):
            return moment(value)
        return self.names.get(value, value)


_TIMES = {"scheduled_for", "join_from", "server_now"}
