"""`taximeter install`: into a project that has migrations, functions and a config of its own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from support.database import Database
from taximeter import __version__
from taximeter.cli import app
from taximeter.install import (
    SOURCE,
    STAGING,
    Plan,
    State,
    install,
    next_versions,
    shipped_files,
    survey,
)
from taximeter.stack.postgres import CHECKOUT, push_migrations
from taximeter.stack.settings import StackError

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
THEIR_MIGRATION = "20260531120000_their_own.sql"
THEIR_FUNCTION = "functions/their-own/index.ts"


def supabase_init(folder: Path) -> Path:
    """A project as `supabase init` makes it, with a migration and a function of its owner's."""
    project = folder / "project"
    project.mkdir(parents=True)
    subprocess.run(
        [str(CHECKOUT / "node_modules" / ".bin" / "supabase"), "init"],
        cwd=project,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "DO_NOT_TRACK": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=True,
    )
    supabase = project / "supabase"
    (supabase / "migrations").mkdir()
    (supabase / "migrations" / THEIR_MIGRATION).write_text("create table public.theirs (id int);\n")
    (supabase / THEIR_FUNCTION).parent.mkdir(parents=True)
    (supabase / THEIR_FUNCTION).write_text("Deno.serve(() => new Response('theirs'));\n")
    (supabase / "functions" / "_shared").mkdir()
    (supabase / "functions" / "_shared" / "theirs.ts").write_text("export const theirs = 1;\n")
    return project


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return supabase_init(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def project(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "project"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Taximeter's own files, to make another version of."""
    copy = tmp_path / "source"
    for path, content in shipped_files().items():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).write_bytes(content)
    shutil.copytree(SOURCE / "migrations", copy / "migrations")
    shutil.copy(SOURCE / "config.toml", copy)
    return copy


def tree(folder: Path) -> dict[str, str | bytes]:
    return {
        str(path.relative_to(folder)): (
            f"-> {path.readlink()}"
            if path.is_symlink()
            else "folder"
            if path.is_dir()
            else path.read_bytes()
        )
        for path in folder.rglob("*")
    }


def migrations(project: Path) -> list[str]:
    return sorted(path.name for path in (project / "supabase" / "migrations").iterdir())


def states(plan: Plan) -> dict[str, State]:
    return {difference.path: difference.state for difference in plan.differences}


def taximeter(*arguments: str | Path) -> tuple[int, str]:
    finished = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if finished.exception and not isinstance(finished.exception, SystemExit):
        raise finished.exception
    return finished.exit_code, finished.output


def test_a_project_of_somebody_else(project: Path, platform_db: Database) -> None:
    """CLI-02: what is pushed stays, ours is pushed on top, and doing it twice changes nothing."""
    before = tree(project)
    push_migrations(platform_db.url, project)
    assert taximeter("install", "--into", project, "--check")[0] == 1
    assert tree(project) == before

    code, said = taximeter("install", "--into", project)
    assert code == 0, said
    installed = tree(project)
    changed = {path for path in before if installed[path] != before[path]}
    assert changed == {"supabase/config.toml"}
    push_migrations(platform_db.url, project)
    connection = platform_db.connect()
    assert connection.execute("select from public.theirs").fetchall() == []
    assert connection.execute("select from public.sessions").fetchall() == []
    assert connection.execute("select * from public.verify_replay()").fetchall() == []
    assert "up to date" in push_migrations(platform_db.url, project)

    assert taximeter("install", "--into", project) == (0, "Nothing differs.\n")
    assert taximeter("install", "--into", project, "--check") == (0, "Nothing differs.\n")
    assert tree(project) == installed

    # Their next migration comes after ours, as the CLI numbers it.
    later = datetime.now(UTC).strftime("%Y%m%d%H%M%S")
    (project / "supabase" / "migrations" / f"{later}_next.sql").write_text("select 1;\n")
    assert f"{later}_next.sql" in push_migrations(platform_db.url, project)


def test_what_is_installed(project: Path) -> None:
    """CLI-02: every migration in order, every function without its tests, types, config entries."""
    install(survey(project, now=NOW))
    ours = [name for name in migrations(project) if name != THEIR_MIGRATION]
    assert [name.split("_taximeter_")[1] for name in ours] == [
        path.name.split("_", 1)[1] for path in sorted(SOURCE.glob("migrations/*.sql"))
    ]
    assert migrations(project)[0] == THEIR_MIGRATION
    assert ours[-1].startswith("20260601120000_")
    assert ours == [path.name for path in sorted((project / "supabase/migrations").glob("*_taxi*"))]

    entries = tomllib.loads((project / "supabase" / "config.toml").read_text())["functions"]
    assert entries == tomllib.loads((SOURCE / "config.toml").read_text())["functions"]
    for path in (project / "supabase").rglob("*"):
        assert not path.name.endswith("_test.ts")
        assert not path.name.startswith(".env")
    for name in ("taximeter_database.ts", "taximeter_database.py"):
        assert (project / "supabase" / "types" / name).stat().st_size > 10_000
    manifest = json.loads((project / "supabase" / "taximeter.json").read_text())
    assert (manifest["name"], manifest["version"]) == ("taximeter", __version__)


def test_every_import_of_an_installed_function_is_installed() -> None:
    """CLI-02: no file of a function needs a file that stays behind."""
    files = shipped_files()
    assert any(path.endswith("/index.ts") for path in files)
    for path, content in files.items():
        for line in content.decode().splitlines():
            if path.endswith(".ts") and " from '." in line:
                target = line.split(" from '")[1].split("'")[0]
                found = os.path.normpath(Path(path).parent / target)
                assert found in files, f"{path} needs {target}"


def test_check_sees_one_byte(project: Path) -> None:
    """CLI-02: --check says what was changed by hand; only --force overwrites it."""
    install(survey(project, now=NOW))
    migration = next((project / "supabase" / "migrations").glob("*_taximeter_people.sql"))
    function = project / "supabase" / "functions" / "health" / "deno.json"
    for file in (migration, function):
        original = file.read_bytes()
        file.write_bytes(original + b"\n")
        code, said = taximeter("install", "--into", project, "--check")
        assert code == 1
        assert said == f"edited    {file.relative_to(project)}: changed by hand\n"
        with pytest.raises(StackError, match="only --force does") as refused:
            taximeter("install", "--into", project)
        assert refused.value.hint == f"{file.relative_to(project)}: changed by hand"
        assert file.read_bytes() == original + b"\n"
        assert taximeter("install", "--into", project, "--force")[0] == 0
        assert file.read_bytes() == original
        file.unlink()
        assert states(survey(project)) == {
            str(file.relative_to(project / "supabase")): State.MISSING
        }
        install(survey(project))
        assert file.read_bytes() == original
    assert survey(project).is_clean


def test_a_newer_version(project: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CLI-02: new migrations come last, functions are replaced, what is gone is removed."""
    install(survey(project, source, NOW))
    installed = migrations(project)
    monkeypatch.setattr("taximeter.install.__version__", "99.0.0")
    (source / "migrations" / "20260101000450_between.sql").write_text("select 1;\n")
    (source / "functions" / "health" / "deno.json").write_text('{ "imports": {} }\n')
    shutil.rmtree(source / "functions" / "legacy-routes")
    config = source / "config.toml"
    config.write_text(
        config.read_text().replace("[functions.legacy-routes]\nverify_jwt = false\n", "")
    )
    later = datetime(2026, 7, 1, tzinfo=UTC)
    plan = survey(project, source, later)
    found = states(plan)
    gone = [path for path, state in found.items() if state is State.GONE]
    assert gone
    assert all(path.startswith("functions/legacy-routes/") for path in gone)
    assert {path: state for path, state in found.items() if path not in gone} == {
        "migrations/20260701000000_taximeter_between.sql": State.MISSING,
        "functions/health/deno.json": State.OUTDATED,
        "config.toml": State.OUTDATED,
        "taximeter.json": State.OUTDATED,
    }
    install(plan)
    assert migrations(project) == [*installed, "20260701000000_taximeter_between.sql"]
    assert not (project / "supabase" / "functions" / "legacy-routes").exists()
    assert (project / "supabase" / THEIR_FUNCTION).exists()
    assert survey(project, source, later).is_clean

    monkeypatch.undo()
    with pytest.raises(StackError, match=r"has Taximeter 99\.0\.0, and this is"):
        survey(project, source)


def test_a_migration_that_was_edited_in_a_newer_version(project: Path, source: Path) -> None:
    """CLI-02: a database does not get such a change, so nobody is left to believe it did."""
    install(survey(project, source, NOW))
    with (source / "migrations" / "20260101000200_people.sql").open("a") as file:
        file.write("-- changed\n")
    plan = survey(project, source, NOW)
    [held] = [difference for difference in plan.differences if difference.needs_force]
    assert (held.state, held.path.split("_", 1)[1]) == (State.OUTDATED, "taximeter_people.sql")
    with pytest.raises(StackError) as refused:
        install(plan)
    assert "does not get the change" in refused.value.hint
    install(plan, force=True)
    assert survey(project, source, NOW).is_clean


def no_config(project: Path) -> None:
    (project / "supabase" / "config.toml").unlink()


def json_config(project: Path) -> None:
    no_config(project)
    (project / "supabase" / "config.json").write_text("{}")


def linked_folder(project: Path) -> None:
    (project / "elsewhere").mkdir()
    (project / "supabase" / "types").symlink_to(project / "elsewhere")


def linked_project(project: Path) -> None:
    (project / "supabase").rename(project / "elsewhere")
    (project / "supabase").symlink_to(project / "elsewhere")


def linked_config(project: Path) -> None:
    config = project / "supabase" / "config.toml"
    config.rename(project / "config.toml")
    config.symlink_to(project / "config.toml")


def file_for_folder(project: Path) -> None:
    (project / "supabase" / "types").write_text("")


def folder_for_file(project: Path) -> None:
    (project / "supabase" / "types" / "taximeter_database.ts" / "x").mkdir(parents=True)


def their_function(project: Path) -> None:
    (project / "supabase" / "functions" / "health").mkdir()
    (project / "supabase" / "functions" / "health" / "main.ts").write_text("// theirs\n")


def their_shared_file(project: Path) -> None:
    (project / "supabase" / "functions" / "_shared" / "http.ts").write_text("// theirs\n")


def their_manifest(project: Path) -> None:
    (project / "supabase" / "taximeter.json").write_text('{"name": "another"}')


def manifest_with(path: str) -> Callable[[Path], None]:
    """A manifest that has an empty file elsewhere as one of ours, which is no part of it now."""

    def write(project: Path) -> None:
        (project / "elsewhere").mkdir()
        (project / "elsewhere" / "x.ts").write_text("")
        (project / "supabase/functions/_shared/linked").symlink_to(project / "elsewhere")
        digest = hashlib.sha256(b"").hexdigest()
        (project / "supabase" / "taximeter.json").write_text(
            json.dumps({"name": "taximeter", "version": "0.0.1", "files": {path: digest}})
        )

    return write


def half_a_manifest(project: Path) -> None:
    (project / "supabase" / "taximeter.json").write_text('{"name": "taxi')


def late_migration(project: Path) -> None:
    (project / "supabase" / "migrations" / "9_late.sql").write_text("select 1;\n")


def the_same_migration_twice(project: Path) -> None:
    for version in ("20260101000000", "20260102000000"):
        name = f"{version}_taximeter_people.sql"
        shutil.copy(
            SOURCE / "migrations" / "20260101000200_people.sql",
            project / "supabase" / "migrations" / name,
        )


def config_says(text: str) -> Callable[[Path], None]:
    def write(project: Path) -> None:
        with (project / "supabase" / "config.toml").open("a") as file:
            file.write(text)

    return write


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (no_config, r"supabase init"),
        (json_config, r"config is JSON"),
        (linked_project, r"supabase is a symbolic link"),
        (linked_folder, r"supabase/types is a symbolic link"),
        (linked_config, r"supabase/config.toml is a symbolic link"),
        (file_for_folder, r"supabase/types is in the way: it is not a folder"),
        (folder_for_file, r"taximeter_database.ts is in the way: it is not a file"),
        (their_function, r"supabase/functions/health is there and is not Taximeter's"),
        (their_shared_file, r"supabase/functions/_shared/http.ts is there and is not"),
        (their_manifest, r"taximeter.json is not what `taximeter install` wrote"),
        (half_a_manifest, r"taximeter.json is not what `taximeter install` wrote"),
        (manifest_with("functions/_shared/linked/x.ts"), r"_shared/linked is a symbolic link"),
        (late_migration, r"the version 9, and a timestamp comes before it"),
        (the_same_migration_twice, r"the same migration more than once"),
        (config_says("\n[functions\n"), r"config.toml cannot be read"),
        (config_says("\n[functions.health]\nverify_jwt = true\n"), r"\[functions.health\] of its"),
        (config_says("\n# <<< taximeter\n"), r"do not match"),
        (config_says("\n# >>> taximeter\n"), r"do not match"),
        (config_says("\n[x]\ny = '''\n# >>> taximeter\n# <<< taximeter\n'''\n"), r"cannot take"),
    ],
)
def test_what_is_refused(project: Path, spoil: Callable[[Path], None], told: str) -> None:
    """CLI-02: what is in the way is said, and nothing is written, forced or not."""
    spoil(project)
    before = tree(project)
    with pytest.raises(StackError) as refused:
        install(survey(project, now=NOW), force=True)
    assert_said(refused.value, told)
    assert tree(project) == before


@pytest.mark.parametrize(
    "path",
    [
        "/etc/hostname",
        "../elsewhere/x.ts",
        "functions/health/../../../elsewhere/x.ts",
        "functions/health/./x.ts",
        "functions/health//x.ts",
        "functions/health",
        "types\\..\\..\\elsewhere\\x.ts",
        "",
        "seed.sql",
        "taximeter.json",
        THEIR_FUNCTION,
        f"migrations/{THEIR_MIGRATION}",
        "migrations/20260101000000_taximeter_x/x.sql",
    ],
)
def test_a_manifest_with_what_is_not_ours(project: Path, path: str) -> None:
    """CLI-02: what no install wrote is refused, so that none takes it for its own and removes it"""
    manifest_with(path)(project)
    before = tree(project)
    with pytest.raises(StackError, match=r"json is not what `taximeter install` wrote"):
        survey(project, now=NOW)
    assert tree(project) == before


def assert_said(error: StackError, told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        raise AssertionError(f"{error.message} {error.hint}")


def test_folders_that_are_no_project(project: Path, tmp_path: Path) -> None:
    """CLI-02: the folder below, a folder that is not there, Taximeter's own checkout."""
    for into, told in (
        (project / "supabase", rf"--into {project}"),
        (tmp_path / "nowhere", r"is not a folder"),
        (project / "supabase" / "config.toml", r"is not a folder"),
        (CHECKOUT, r"is Taximeter itself"),
    ):
        with pytest.raises(StackError) as refused:
            survey(into)
        assert_said(refused.value, told)


def test_the_rest_of_the_config_stays(project: Path) -> None:
    """CLI-02: text and comments stay as they are, wherever the entries stand; CRLF stays CRLF."""
    config = project / "supabase" / "config.toml"
    theirs = config.read_bytes().replace(b"\n", b"\r\n")
    config.write_bytes(theirs)
    install(survey(project, now=NOW))
    written = config.read_bytes()
    assert written.startswith(theirs)
    assert written.count(b"\n") == written.count(b"\r\n")
    assert survey(project).is_clean

    below = b"\r\n[functions.their-own]\r\nverify_jwt = true\r\n"
    config.write_bytes(written.replace(b"verify_jwt = false", b"verify_jwt = true", 1) + below)
    assert states(survey(project)) == {"config.toml": State.EDITED}
    install(survey(project), force=True)
    assert config.read_bytes() == written + below


def test_settings_that_are_for_a_person(project: Path) -> None:
    """CLI-02: a setting of the project's own is never changed; what it must say is told."""
    config = project / "supabase" / "config.toml"
    config.write_text(
        config.read_text()
        .replace('schemas = ["public", "graphql_public"]', 'schemas = ["graphql_public"]')
        .replace("deno_version = 2", "deno_version = 1")
        .replace("major_version = 17", 'major_version = "new"')
    )
    code, said = taximeter("install", "--into", project)
    assert code == 0
    assert 'api.schemas must contain "public".' in said
    assert "edge_runtime.deno_version must be 2." in said
    assert "db.major_version must be 15 or later." in said
    assert said.count("For you to change") == 3
    assert taximeter("install", "--into", project, "--check")[0] == 1


def test_an_install_that_fails_leaves_nothing(
    project: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CLI-02: whichever write fails, everything is as it was; also in an upgrade that removes."""
    replace = Path.replace

    def fails_at(number: int) -> Callable[[Path, Path], Path]:
        calls = iter(range(1000))

        def failing(self: Path, target: Path) -> Path:
            if self.suffix == ".new" and next(calls) == number:
                raise PermissionError(13, "Permission denied", str(target))
            return replace(self, target)

        return failing

    for upgrade in (False, True):
        if upgrade:
            install(survey(project, source, NOW))
            shutil.rmtree(source / "functions" / "legacy-routes")
            (source / "functions" / "health" / "deno.json").write_text('{ "imports": {} }\n')
        before = tree(project)
        plan = survey(project, source, NOW)
        for number in range(0, len(plan.writes), 7 if len(plan.writes) > 7 else 1):
            monkeypatch.setattr(Path, "replace", fails_at(number))
            with pytest.raises(StackError, match=r"Nothing was installed: .*Permission"):
                install(plan)
            monkeypatch.undo()
            assert tree(project) == before


@pytest.mark.parametrize("broken", ["replace", "unlink"])
def test_what_could_not_be_changed_is_not_put_back(
    project: Path, source: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """CLI-02: a folder that nothing can be written to keeps nothing else from being put back"""
    install(survey(project, source, NOW))
    for name in ("health", "livekit-token"):
        (source / "functions" / name / "deno.json").write_text('{ "imports": {} }\n')
    (source / "functions" / "legacy-routes" / "deno.json").unlink()
    before = tree(project)
    stuck = project / "supabase" / "functions"
    stuck /= "legacy-routes" if broken == "unlink" else "livekit-token"
    with monkeypatch.context() as patched:
        freeze(patched, stuck)
        with pytest.raises(StackError, match=r"Nothing was installed: .*Permission"):
            install(survey(project, source, NOW))
    assert tree(project) == before


def test_what_cannot_be_put_back_is_kept(
    project: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CLI-02: the rest is put back, and it is told where the only copies are"""
    install(survey(project, source, NOW))
    for name in ("health", "livekit-token", "stripe-webhook"):
        (source / "functions" / name / "deno.json").write_text('{ "imports": {} }\n')
    supabase = project / "supabase"
    lost = supabase / "functions" / "livekit-token" / "deno.json"
    before = tree(supabase)
    replace = Path.replace

    def failing(self: Path, target: Path) -> Path:
        if Path(target).parent.name == "stripe-webhook":
            freeze(patched, lost.parent)
            raise PermissionError(13, "Permission denied", str(target))
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", failing)
        with pytest.raises(StackError) as told:
            install(survey(project, source, NOW))
    kept = supabase / STAGING / "before" / lost.relative_to(supabase)
    assert_said(told.value, rf"(?s)could not be put back.*{STAGING}.*livekit-token/deno.json")
    assert "health" not in f"{told.value.message} {told.value.hint}"
    shutil.copy2(kept, lost)
    with pytest.raises(StackError, match="one was interrupted") as refused:
        install(survey(project, source, NOW))
    assert f"{STAGING}/before" in refused.value.hint
    shutil.rmtree(supabase / STAGING)
    assert tree(supabase) == before


def freeze(patched: pytest.MonkeyPatch, folder: Path) -> None:
    """From now on nothing in that folder can be replaced or removed."""

    def unless_in_it(name: str) -> None:
        original = getattr(Path, name)

        def failing(self: Path, *arguments: Any, **options: Any) -> Any:
            if folder in (self.parent, *(Path(a).parent for a in arguments)):
                raise PermissionError(13, "Permission denied", str(self))
            return original(self, *arguments, **options)

        patched.setattr(Path, name, failing)

    unless_in_it("replace")
    unless_in_it("unlink")


def test_an_install_that_was_killed(project: Path) -> None:
    """CLI-02: the next one says so, and completes it; versions stay what they had become."""
    complete = survey(project, now=NOW)
    for path in list(complete.writes)[:10]:
        (project / "supabase" / path).parent.mkdir(exist_ok=True)
        (project / "supabase" / path).write_bytes(complete.writes[path])
    (project / "supabase" / STAGING).mkdir()
    later = datetime(2026, 7, 1, tzinfo=UTC)
    with pytest.raises(StackError, match="one was interrupted"):
        install(survey(project, now=later))
    (project / "supabase" / STAGING).rmdir()
    install(survey(project, now=later))
    assert survey(project).is_clean
    ours = [name for name in migrations(project) if "_taximeter_" in name]
    assert [name.split("_taximeter_")[1] for name in ours] == [
        path.name.split("_", 1)[1] for path in sorted(SOURCE.glob("migrations/*.sql"))
    ]
    assert set(complete.writes) >= {f"migrations/{name}" for name in ours[:10]}


@pytest.mark.parametrize(
    ("taken", "versions"),
    [
        ([], ["20260601115959", "20260601120000"]),
        (["0001", "20260531000000"], ["20260601115959", "20260601120000"]),
        (["20260601115959"], ["20260601120000", "20260601120001"]),
        (["20271231235959"], ["20280101000000", "20280101000001"]),
    ],
)
def test_versions(taken: list[str], versions: list[str]) -> None:
    """CLI-02: after all that are taken, as the CLI orders them, and not in the future if it can."""
    assert next_versions(taken, 2, NOW) == versions


@pytest.mark.parametrize("taken", ["9", "20269999999999", "202606011200000"])
def test_a_version_that_nothing_can_follow(taken: str) -> None:
    """CLI-02: a version that is no timestamp and sorts after every one."""
    assert next_versions([taken], 0, NOW) == []
    with pytest.raises(ValueError, match=taken):
        next_versions([taken], 1, NOW)


def test_json_for_programs(project: Path) -> None:
    """CLI-02: --json says the same."""
    code, said = taximeter("install", "--into", project, "--check", "--json")
    answer = json.loads(said)
    assert code == 1
    assert answer["version"] == __version__
    assert {"path": "config.toml", "state": "missing", "meaning": "has no entries of ours yet"} in (
        answer["differences"]
    )
    assert (answer["obstacles"], answer["settings"]) == ([], [])


def test_from_a_wheel(project: Path, tmp_path: Path) -> None:
    """CLI-03: the package that is built carries what it installs: a checkout is not needed."""
    build = tmp_path / "build"
    build.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, build)
    for name in ("src", "supabase"):
        shutil.copytree(
            CHECKOUT / name,
            build / name,
            symlinks=True,
            ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"),
        )
    (build / "supabase" / "functions" / ".env").write_text("STRIPE_SECRET_KEY=sk_test_fake\n")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", tmp_path, build],
        check=True,
        timeout=120,
    )
    [wheel] = tmp_path.glob("taximeter-*.whl")
    site = tmp_path / "site"
    subprocess.run(
        [*pip, "install", "--no-deps", "--no-index", "--target", site, wheel],
        check=True,
        timeout=120,
    )
    packed = site / "taximeter" / "project"
    assert shipped_files(packed) == shipped_files()
    assert not list(packed.rglob("*_test.ts"))
    assert not list(packed.rglob(".env"))
    assert not list(packed.rglob("seed.sql"))
    finished = subprocess.run(
        [sys.executable, "-v", "-m", "taximeter.cli", "install", "--into", project],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert f"{site}/taximeter/install.py" in finished.stderr
    assert str(CHECKOUT / "src") not in finished.stderr
    assert survey(project).is_clean
