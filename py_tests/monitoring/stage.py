"""A database in which sessions of every kind have lived well, and a superuser who can spoil it.

The lives are played once a file by the helpers of the pgTAP tests. A test has a transaction of its
own: what it spoils is whole again afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow

from support.database import Database
from taximeter.stack.postgres import CHECKOUT

HELPERS = ("world.sql", "world_around.sql", "world_settling.sql")
ALERTS = (
    "live_past_deadline",
    "both_present_not_live",
    "status_mismatch",
    "completed_without_payout",
)

# The clock ends behind the real one: messages are as old as they are.
LIVES: LiteralString = """
select tests.stop_clock(now() - interval '50 hours');
select tests.nobody_falls_silent();
select public.set_setting('health_no_show_bps', '10000');
select public.set_setting('health_expired_bps', '10000');

select tests.paid_and_completed('sent', 'sent m');
select tests.advance(108000);
select tests.dispatch();
select tests.stripe_says('stripe.transfer');

select tests.waiting('orphan', 'orphan m');
select tests.advance(7300);
select public.expire_orphaned_sessions();

select tests.paid_and_completed('paid', 'paid m');
select tests.paid_and_completed('other', 'other m');
select tests.paid_live('extended', 'extended m');
select tests.pay_extension('extended', 15);
select tests.advance(900);
select tests.finish_session('extended', 'extended');
select tests.paid_live('summed', 'summed m');
select tests.advance(70);
select tests.finish_session('summed', 'summed');
select tests.sum_up('summed m', 'summed');
select tests.paid_live('closed', 'closed m');
select tests.advance(11000);
select public.tick_sessions();
select tests.paid_live('short', 'short m');
select tests.advance(10);
select tests.finish_session('short', 'short');
select tests.person('credit'), tests.mechanic('credit m');
select tests.buy_with_credit('credit', 'video15', 300);
select tests.serve('credit', 'credit m');
select tests.advance(70);
select tests.finish_session('credit', 'credit');
select tests.live('free', 'free m');
select tests.advance(70);
select tests.finish_session('free m', 'free');
select tests.waiting('absent', 'absent m');
select tests.join('absent m', 'absent');
select tests.advance(310);
select tests.finish_session('absent m', 'absent');
select tests.person('gone'), tests.queue('gone');
select tests.finish_session('gone', 'gone');
select tests.paid_and_completed('partly', 'partly m');
select tests.session_refund('partly', 'key', 500, 'was late');
select tests.paid_and_completed('refunded', 'refunded m');
select tests.session_refund('refunded', 'key');
select tests.paid_and_completed('quarrel', 'quarrel m');

select tests.waiting('waiting', 'waiting m');
select tests.advance(200);
select private.run_job(h.job) from private.job_health() h;
select tests.advance(150);
select tests.paid_live('live', 'live m');
select tests.paid_live('apart', 'apart m');
select tests.leave('apart', 'apart');
select tests.person('pending'), tests.queue('pending');
select tests.person('booked'), tests.book('booked', '3 hours');
select tests.person('taken'), tests.mechanic('taken m'), tests.book('taken', '4 hours');
select tests.accept('taken m', 'taken');
select tests.dispatch();
select tests.stripe_says(t.topic) from (
  select distinct topic from private.outbox where status = 'leased'
) t;
select tests.dispatch();
select tests.stripe_says(t.topic) from (
  select distinct topic from private.outbox where status = 'leased'
) t;
select private.run_job(h.job) from private.job_health() h;
select tests.dispatch();
select tests.stripe_says(t.topic) from (
  select distinct topic from private.outbox where status = 'leased'
) t;
"""


class Stage:
    """One connection of a superuser, who is also the operator."""

    def __init__(self, database: Database) -> None:
        database.connect().execute("create extension pgtap with schema extensions")
        self.connection: psycopg.Connection[DictRow] = database.connect("supabase_admin")
        for name in HELPERS:
            script = (CHECKOUT / "sql" / "tests" / "helpers" / name).read_text()
            # pgTAP plans once a connection.
            database.connect().execute(script.encode())
        self.be_operator()
        with self.connection.transaction():
            for statement in LIVES.split(";\n"):
                if statement.strip():
                    self.connection.execute(statement.encode())
            now = self.value("select current_setting('tests.now')")
        self.connection.execute("select set_config('tests.now', %s, false)", (now,))
        # For whoever connects later.
        self.be_superuser()
        self.run(f"alter database {database.name} set tests.now = '{now}'")
        self.be_operator()

    def be_operator(self) -> None:
        self.connection.execute("set session authorization postgres")

    def be_superuser(self) -> None:
        self.connection.execute("reset session authorization")

    def run(self, statements: str) -> None:
        """Some statements, as pasted."""
        self.connection.execute(statements.encode())

    def value(self, query: LiteralString) -> object:
        row = self.connection.execute(query).fetchone()
        assert row is not None
        return next(iter(row.values()))

    def rows(self, query: LiteralString) -> list[DictRow]:
        return self.connection.execute(query).fetchall()

    @contextmanager
    def spoiled(self, statements: str) -> Iterator[None]:
        """After these statements, run past every trigger; whole again afterwards."""
        with self.connection.transaction(force_rollback=True):
            self.be_superuser()
            self.run("set local session_replication_role = replica")
            self.run(statements)
            self.run("set local session_replication_role = origin")
            self.be_operator()
            try:
                yield
                self.run("set constraints all immediate")
            finally:
                if self.connection.info.transaction_status == TransactionStatus.INTRANS:
                    self.be_operator()

    def sections(self) -> dict[int, list[DictRow]]:
        """The sections that are not ok, and what they found."""
        found = self.rows(
            "select section, detail from public.verify_session_end_logic() where status <> 'ok'"
        )
        return {row["section"]: row["detail"] for row in found}

    def alerts(self) -> set[str]:
        return {
            name
            for name in ALERTS
            if self.connection.execute(f"select from public.alert_{name}".encode()).fetchall()
        }

    def review(self) -> list[DictRow]:
        return self.rows("select * from public.sessions_needing_review")
