"""A database that has no Realtime: everything works, silently."""

from __future__ import annotations

from pathlib import Path

from support.database import Database
from support.world import World
from taximeter.stack.postgres import PLATFORM, SUPERUSER, push_migrations

_MAKE_SCHEMA = b"""
drop publication if exists supabase_realtime;
create schema realtime authorization supabase_admin;
grant create, usage on schema realtime to supabase_realtime_admin;
grant usage on schema realtime to postgres with grant option;
grant usage on schema realtime to anon, authenticated, service_role;
"""


def play(world: World) -> list[str]:
    """The events of a session that was accepted, played for two minutes and ended."""
    made = world.live_session()
    for _ in range(2):
        world.advance(60)
        for person in (made.customer, made.mechanic):
            world.call(person, "heartbeat_session", p_session_id=made.id)
    ended = world.one(made.customer, "end_session_with_semantics", p_session_id=made.id)
    assert ended["final_status"] == "completed"
    assert ended["duration_seconds"] == 120
    return world.event_types(made.id)


def test_without_the_schema_migrations_apply_and_a_session_runs(platform_db: Database) -> None:
    """RT-04: no schema realtime: no broadcasts, no errors, and nothing in the log of failures."""
    owner = platform_db.connect(SUPERUSER)
    owner.execute("drop schema realtime cascade")

    push_migrations(platform_db.url)

    with World(platform_db) as world:
        world.clock_at(world.now())
        assert play(world)[-1] == "ended"
        assert world.rows("select * from private.ops_log where kind like 'broadcast%%'") == []
        checks = world.rows("select * from private.realtime_health()")
        assert checks
        assert all(check["is_ok"] for check in checks)
        assert world.row("select private.setup_realtime() as done") == {"done": False}

        # It comes later: one call writes the policies, and from then on messages are sent.
        owner.execute(_MAKE_SCHEMA)
        owner.execute(Path(PLATFORM, "05_realtime.sql").read_bytes())
        assert world.row("select private.setup_realtime() as done") == {"done": True}
        assert len(world.rows("select * from pg_policies where schemaname = 'realtime'")) == 2
        play(world)
        said = world.rows("select event from realtime.messages where topic like 'session:%%'")
        assert "session:ended" in {message["event"] for message in said}
