"""A database that has no Storage: everything but files works, and Storage can come later."""

from __future__ import annotations

from support.database import Database
from support.world import World, expect
from taximeter.stack.postgres import SUPERUSER

_POLICIES = (
    "participants read the folder of their session",
    "participants add to the folder of their session",
    "people remove what they added before the end",
)


def test_without_the_schema_a_session_runs(db: Database) -> None:
    """FILE-01, FILE-02: no schema storage: no files, no other error; one call sets it up later"""
    owner = db.connect(SUPERUSER)
    for policy in _POLICIES:
        owner.execute(f'drop policy "{policy}" on storage.objects'.encode())
    owner.execute("drop trigger taximeter_forgets_removed_files on storage.objects")
    owner.execute("set storage.allow_delete_query = 'true'")
    owner.execute("delete from storage.buckets where id = 'session-files'")
    owner.execute("alter schema storage rename to elsewhere")

    with World(db) as world:
        world.clock_at(world.now())
        world.call("system", "set_setting", p_key="max_file_bytes", p_value=2048)
        made = world.live_session()
        world.call(made.customer, "send_session_message", p_session_id=made.id, p_content="hello")
        assert world.call(made.mechanic, "list_session_files", p_session_id=made.id) == []
        with expect("file_not_found", 404):
            world.call(
                made.customer,
                "register_session_file",
                p_session_id=made.id,
                p_storage_path=f"{made.id}/photo.png",
                p_name="photo.png",
                p_type="image/png",
                p_size=1,
            )
        swept = world.row("select private.run_job('prune-history') ->> 'files' as files")
        assert swept == {"files": "0"}
        assert world.row("select private.setup_storage() as done") == {"done": False}

        owner.execute("alter schema elsewhere rename to storage")
        assert world.row("select private.setup_storage() as done") == {"done": True}
        names = world.rows("select policyname from pg_policies where schemaname = 'storage'")
        assert {row["policyname"] for row in names} == set(_POLICIES)
        bucket = world.row("select public, file_size_limit from storage.buckets")
        assert bucket == {"public": False, "file_size_limit": 2048}
        assert world.rows("select from pg_trigger where tgname = 'taximeter_forgets_removed_files'")
