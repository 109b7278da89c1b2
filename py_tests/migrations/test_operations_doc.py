"""docs/operations.md knows every alert, and everything that it tells to run was run (MOV-10)."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, LiteralString
from uuid import uuid4

import pytest
from typer.main import get_group

from support import busy_day
from support.world import World
from taximeter.cli import app
from taximeter.stack.postgres import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import Database, Server

DOCS = CHECKOUT / "docs"
# The page of the move says how to go back.
(RESTORE,) = (
    path.name for path in DOCS.glob("*.md") if "\n## Restore from a backup\n" in path.read_text()
)
PAGES = ("operations.md", RESTORE)
BLOCK = re.compile(r"^( *)```(sql|sh)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def blocks(name: str, language: str) -> list[str]:
    found = BLOCK.findall((DOCS / name).read_text())
    return [text for _, told, text in found if told == language]


@pytest.fixture(scope="module")
def good(server: Server) -> Iterator[tuple[Database, busy_day.Day]]:
    database = server.clone(server.template())
    with World(database) as world:
        day = busy_day.play(world, rhythm=(2, 0, 3, 2))
    yield database, day
    database.drop()


@pytest.fixture(scope="module")
def troubled(
    server: Server, good: tuple[Database, busy_day.Day]
) -> Iterator[tuple[Database, dict[str, str]]]:
    """A database in which everything is there that the document names, as psql variables."""
    good[0].close()
    database, day = server.clone(good[0].name), good[1]
    with World(database) as world:
        busy_day.trouble(world)
        payer, event = world.customer(), f"evt_{uuid4().hex[:12]}"
        intent = world.one(payer, "request_checkout", p_plan="video15")["id"]
        world.call("system", "ingest_stripe_event", p_event=_underpaid(str(intent)))
        world.execute(
            "insert into private.stripe_events (id, type, livemode, payload, status, error)"
            " select %s, 'charge.refunded', false,"
            " jsonb_set(payload, '{type}', '\"charge.updated\"'), 'failed', 'it broke'"
            " from private.stripe_events limit 1",
            event,
        )
        world.execute(
            "insert into private.session_reviews (session_id, reason) values (%s, 'a refund')",
            day.too_short,
        )
        kinds = {row["kind"] for row in world.rows("select kind from sessions_needing_review")}
        assert kinds == {"payout", "payment", "session_review", "dead_outbox", "stripe_event"}
        named = world.row(
            "select (select id::text from private.payments where review is not null) as payment,"
            " (select id::text from public.payouts where status = 'needs_reconciliation')"
            " as payout,"
            " (select id::text from private.outbox where status = 'dead') as effect"
        )
    values = {"session": str(day.too_short), "completed": str(day.completed), "event": event}
    yield database, values | named
    database.drop()


def _underpaid(intent: str) -> dict[str, object]:
    paid = {
        "id": f"pi_{uuid4().hex[:12]}",
        "object": "payment_intent",
        "amount": 100,
        "amount_received": 100,
        "currency": "usd",
        "metadata": {"mode": "session", "intent_id": intent},
    }
    return {
        "id": f"evt_{uuid4().hex[:12]}",
        "object": "event",
        "type": "payment_intent.succeeded",
        "livemode": False,
        "created": 1_700_000_000,
        "data": {"object": paid},
    }


@pytest.mark.parametrize(
    ("name", "number"),
    [(name, number) for name in PAGES for number in range(len(blocks(name, "sql")))],
)
def test_a_block_of_the_document_runs(
    troubled: tuple[Database, dict[str, str]], name: str, number: int
) -> None:
    """MOV-10, MON-20: pasted into psql as it stands, by the owner; rolled back for the next one."""
    database, values = troubled
    _paste(database, values, f"begin;\n{blocks(name, 'sql')[number]}\nrollback;\n")


def _paste(db: Database, values: dict[str, str], text: str) -> str:
    program = shutil.which("psql")
    assert program is not None, "psql is not installed. Run `make setup` as root."
    finished = subprocess.run(
        [program, db.url, "-Xq", "--set=ON_ERROR_STOP=1"]
        + [f"--set={key}={value}" for key, value in values.items()],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "ERROR" not in finished.stderr
    return finished.stdout


class Trouble:
    """A copy of a good day, one of the five headings of the document, and what it says to paste."""

    def __init__(self, world: World, day: busy_day.Day, heading: str) -> None:
        self.world = world
        self.day = day
        self.values = {"session": str(day.too_short), "completed": str(day.completed)}
        (section,) = re.findall(
            rf"^### {re.escape(heading)}$(.*?)(?=^##)",
            (DOCS / "operations.md").read_text(),
            re.MULTILINE | re.DOTALL,
        )
        self._blocks = [text for _, _, text in BLOCK.findall(section)]

    def plant(self, *statements: LiteralString) -> None:
        owner = self.world.db.connect("supabase_admin")
        owner.execute("set session_replication_role = replica")
        for statement in statements:
            owner.execute(statement)

    def find(self) -> str:
        return _paste(self.world.db, self.values, self._blocks[0])

    def mend(self) -> None:
        _paste(self.world.db, self.values, self._blocks[1])


@pytest.fixture
def trouble(
    server: Server, good: tuple[Database, busy_day.Day], request: pytest.FixtureRequest
) -> Iterator[Trouble]:
    good[0].close()
    database = server.clone(good[0].name)
    with World(database) as world:
        yield Trouble(world, good[1], request.param)
    database.drop()


def five(heading: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("trouble", [heading], indirect=True)


@five("Ended, but still live")
def test_trouble_one(trouble: Trouble) -> None:
    """MOV-10, MOV-02, TIME-03: found, ended, and nothing of the delay is billed."""
    live = str(trouble.day.live)
    assert live not in trouble.find()
    trouble.world.advance(2 * 3600)
    assert re.search(rf"{live} \| live +\| completed", trouble.find())
    trouble.mend()
    assert live not in trouble.find()
    row = trouble.world.session(trouble.day.live)
    assert (row["status"], row["billable_seconds"]) == ("completed", 45 * 60)


@five("A payout was not processed")
def test_trouble_two(trouble: Trouble) -> None:
    """MOV-10, MOV-02: a completed session whose payout is gone; it is made again, once."""
    trouble.plant(
        "delete from public.payouts where session_id in"
        " (select id from public.sessions where status = 'completed')"
    )
    assert str(trouble.day.completed) in trouble.find()
    trouble.mend()
    trouble.mend()
    found = trouble.world.rows(
        "select amount_cents from public.payouts where session_id = %s", trouble.day.completed
    )
    assert [row["amount_cents"] for row in found] == [1050]
    alerts = trouble.world.rows("select session_id from public.alert_completed_without_payout")
    assert trouble.day.completed not in {row["session_id"] for row in alerts}


@five("Duplicate payouts")
def test_trouble_three(trouble: Trouble) -> None:
    """MOV-10, MOV-01: without the constraint; the verification prints what takes it away."""
    nothing = trouble.find()
    trouble.plant(
        "alter table public.payouts drop constraint one_payout_per_source",
        "insert into public.payouts"
        " (kind, source_id, user_id, session_id, amount_cents, currency, due_at)"
        " select kind, source_id, user_id, session_id, amount_cents, currency, due_at"
        " from public.payouts order by created_at limit 1",
    )
    assert re.search(r"session \| [0-9a-f-]{36} \| +2 \|", trouble.find())
    for command in trouble.world.rows(
        "select d ->> 'command' as text from public.verify_session_end_logic(),"
        " jsonb_array_elements(detail) as d where section in (5, 1) order by section desc"
    ):
        trouble.world.db.connect().execute(command["text"])
    assert trouble.find() == nothing


@five("Completed, though it never started")
def test_trouble_four(trouble: Trouble) -> None:
    """MOV-10, MOV-05: found by row and by facts, corrected once, and the record says both."""
    session = str(trouble.day.no_show)
    assert session not in trouble.find()
    trouble.plant(
        "alter table public.sessions drop constraint a_live_session_has_started_at",
        "update public.sessions set status = 'completed', end_reason = 'completed'"
        " where end_reason = 'customer_no_show'",
    )
    assert trouble.find().count(session) == 2
    trouble.mend()
    assert session not in trouble.find()
    row = trouble.world.session(trouble.day.no_show)
    assert (row["status"], row["end_reason"]) == ("cancelled", "customer_no_show")
    assert trouble.world.event_types(trouble.day.no_show)[-1] == "corrected"
    assert trouble.world.rows("select * from public.verify_replay()") == []
    assert trouble.world.rows("select * from public.ledger_invariants()") == []


@five("Integrity")
def test_trouble_five(trouble: Trouble) -> None:
    """MOV-10, MOV-01, MOV-06: a lost person comes back; a row past its events is restored."""
    clear = trouble.find()
    assert clear.count("| []") == 4
    trouble.plant(
        "delete from public.session_participants where role = 'customer' and session_id in"
        " (select id from public.sessions where end_reason = 'too_short')",
        "update public.sessions set duration_minutes = 99 where end_reason = 'too_short'",
    )
    found = trouble.find()
    assert "has no row of its customer" in found
    assert '{"duration_minutes": {"row": 99, "replay": 45}}' in found
    trouble.plant("update public.sessions set duration_minutes = 45 where duration_minutes = 99")
    trouble.mend()
    assert trouble.find().count("| []") == 4


def test_every_alert_is_explained(db: Database) -> None:
    """MOV-02, MOV-10: each kind of the review, each alert, each section has its line."""
    with World(db) as world:
        source = world.row(
            "select string_agg(prosrc, ' ') as text from pg_proc where oid in"
            " ('private.needing_review(timestamptz)'::regprocedure,"
            " 'private.audit_sections(integer[])'::regprocedure)"
        )["text"]
        views = world.rows(
            "select viewname as name from pg_views where schemaname = 'public' and"
            " (viewname ~ '^(alert|metrics)_' or viewname ~ '^sessions?_')"
        )
        sections = world.rows("select section, name from public.verify_session_end_logic()")
    kinds = set(re.findall(r"select\s+'([a-z_]+)',", source))
    for audited in re.findall(r"a\.kind in \((.*?)\)", source, re.DOTALL):
        kinds |= set(re.findall(r"'([a-z_]+)'", audited))
    assert len(kinds) >= 19
    text = (DOCS / "operations.md").read_text()
    assert {kind for kind in kinds if f"\n| `{kind}` |" not in text} == set()
    assert len(views) >= 11
    assert {view["name"] for view in views if f"`{view['name']}`" not in text} <= {
        "sessions_needing_review"
    }
    for section in sections:
        assert f"\n| {section['section']} {section['name']} |" in text


def test_commands_scripts_and_pages_that_are_named_exist() -> None:
    """MOV-10: each `taximeter` command, each script, each page."""
    text = "".join((DOCS / name).read_text() for name in PAGES)
    known = set(get_group(app).commands)
    named = set(re.findall(r"(?:^|`)taximeter (\w+)", text, re.MULTILINE))
    assert named >= {"health", "verify", "replay", "explain"}
    assert named <= known
    scripts = set(re.findall(r"sql/ops/[\w-]+\.sql", text))
    assert len(scripts) == 5
    assert {path for path in scripts if not (CHECKOUT / path).exists()} == set()
    pages = set(re.findall(r"\]\((\w+\.md)\)", text))
    assert {page for page in pages if not (DOCS / page).exists()} == set()
