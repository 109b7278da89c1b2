"""Copies Taximeter into somebody's Supabase project, and tells what differs there.

Everything is decided before anything is written: a file that is not ours is never touched, and one
of ours that was changed by hand only when asked to. What is written is written together or not at
all. `supabase/taximeter.json` remembers what was installed.

Migrations keep their names and get versions after the project's newest, because `supabase db push`
refuses what comes before a migration that it has applied.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tomllib
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taximeter import __version__
from taximeter.stack.settings import StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

# A link to supabase/ in a checkout, a folder in an installed package.
SOURCE = Path(__file__).parent / "project"
SHIPPED = ("functions/**/*.ts", "functions/*/deno.json", "types/*.ts", "types/*.py")
CONFIG = "config.toml"
MANIFEST = "taximeter.json"
STAGING = ".taximeter-install"
BEFORE = "before"

VERSION_FORMAT = "%Y%m%d%H%M%S"
MIGRATION = re.compile(r"(?P<version>\d+)_(?P<name>.+)\.sql")
OURS = "taximeter_"
FUNCTION = re.compile(r"^\[functions\.([\w-]+)\]", re.MULTILINE)
FILE = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*")
BLOCK = re.compile(r"^# >>> taximeter\b.*?^# <<< taximeter\b[^\n]*\n?", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"^# (>>>|<<<) taximeter\b", re.MULTILINE)

# What the project's own config must say: the setting, the platform's default, the test, in words.
SETTINGS: tuple[tuple[str, Any, Callable[[Any], bool], str], ...] = (
    ("api.enabled", True, lambda value: value is True, "be true"),
    ("api.schemas", ["public"], lambda value: "public" in value, 'contain "public"'),
    ("db.major_version", 17, lambda value: value >= 15, "be 15 or later"),
    ("db.migrations.enabled", True, lambda value: value is True, "be true"),
    ("realtime.enabled", True, lambda value: value is True, "be true"),
    ("storage.enabled", True, lambda value: value is True, "be true"),
    ("edge_runtime.enabled", True, lambda value: value is True, "be true"),
    ("edge_runtime.deno_version", 2, lambda value: value == 2, "be 2"),
)


class State(StrEnum):
    """How a file of the project differs from what would be installed."""

    MISSING = "missing"
    OUTDATED = "outdated"
    EDITED = "edited"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Difference:
    """One file, below supabase/, and what it means."""

    path: str
    state: State
    meaning: str
    needs_force: bool = False


@dataclass(slots=True)
class Plan:
    """What an install would do. It never overrides obstacles; settings are for a person."""

    folder: Path
    differences: list[Difference] = field(default_factory=list)
    obstacles: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    writes: dict[str, bytes] = field(default_factory=dict)
    removals: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.differences or self.obstacles or self.settings)

    def as_json(self) -> dict[str, Any]:
        return {
            "version": __version__,
            "folder": str(self.folder),
            "differences": [
                {"path": d.path, "state": d.state, "meaning": d.meaning} for d in self.differences
            ],
            "obstacles": self.obstacles,
            "settings": self.settings,
        }


def survey(into: Path, source: Path = SOURCE, now: datetime | None = None) -> Plan:
    """Looks at a project and plans; writes nothing."""
    try:
        plan = Plan(_project(into.resolve(), source))
        recorded = _recorded(plan.folder, source)
        wanted = {
            **_migrations(plan, source, recorded, now or datetime.now(UTC)),
            **shipped_files(source),
        }
        foreign = _foreign_functions(plan.folder, wanted, recorded)
        plan.obstacles += [_not_ours(path) for path in foreign]
        for path, content in wanted.items():
            if not path.startswith(tuple(f"{name}/" for name in foreign)):
                _compare(plan, path, content, recorded.get(path))
        kept = _gone(plan, wanted, recorded)
        block = _config(plan, source, recorded.get(CONFIG))
        _record(plan, {**kept, CONFIG: _digest(block)}, wanted)
    except OSError as error:
        raise StackError(f"{error.filename} cannot be read: {error.strerror}.") from error
    return plan


def install(plan: Plan, *, force: bool = False) -> None:
    """Does what was planned, all of it or nothing."""
    if plan.obstacles:
        raise StackError("Nothing was installed:", "\n  ".join(plan.obstacles))
    held = [d for d in plan.differences if d.needs_force]
    if held and not force:
        raise StackError(
            "Nothing was installed. These would be overwritten or removed, and only --force does:",
            "\n  ".join(f"supabase/{d.path}: {d.meaning}" for d in held),
        )
    if plan.writes or plan.removals:
        _Writing(plan.folder).carry_out(plan.writes, plan.removals)


def shipped_files(source: Path = SOURCE) -> dict[str, bytes]:
    """What is copied as it is, by path below supabase/: functions without their tests, types."""
    return {
        path.relative_to(source).as_posix(): path.read_bytes()
        for pattern in SHIPPED
        for path in sorted(source.glob(pattern))
        if not path.name.endswith("_test.ts")
    }


def _project(into: Path, source: Path) -> Path:
    folder = into / "supabase"
    if not into.is_dir():
        raise StackError(f"{into} is not a folder.", "Give the folder of a Supabase project.")
    if not (folder / CONFIG).is_file():
        if into.name == "supabase" and (into / CONFIG).is_file():
            hint = f"Give the folder above it: --into {into.resolve().parent}"
        elif any((folder / name).exists() for name in ("config.json", "config.jsonc")):
            hint = "Its config is JSON; Taximeter can only add its functions to a config.toml."
        else:
            hint = f"Run `supabase init` in {into} first."
        raise StackError(f"{into} is not a Supabase project: it has no supabase/{CONFIG}.", hint)
    if folder.resolve() == source.resolve():
        raise StackError(f"{into} is Taximeter itself.", "Give the folder of your own project.")
    if folder.is_symlink():
        raise StackError(f"{folder} is a symbolic link.", "Give the project that it points to.")
    return folder


def _recorded(folder: Path, source: Path) -> Mapping[str, str]:
    """The digests of what was installed before, by path."""
    file = folder / MANIFEST
    if not file.exists():
        return {}
    functions = {"_shared", *_functions(source), *_functions(folder)}
    try:
        manifest = json.loads(file.read_bytes())
        files = {str(path): str(digest) for path, digest in manifest["files"].items()}
        is_newer = _release(manifest["version"]) > _release(__version__)
        is_known = is_newer or all(_may_be_ours(path, functions) for path in files)
        if manifest["name"] != "taximeter" or not is_known:
            raise ValueError(manifest)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StackError(
            f"{file} is not what `taximeter install` wrote.",
            "Restore it from version control, or delete it: what is equal is then taken as ours.",
        ) from error
    if is_newer:
        raise StackError(
            f"{folder} has Taximeter {manifest['version']}, and this is {__version__}.",
            "Upgrade this one: `pip install --upgrade taximeter`.",
        )
    return files


def _functions(folder: Path) -> list[str]:
    """The names in our entries of a config: those of a project are of the version that it has."""
    config = (folder / CONFIG).read_text(encoding="utf-8", errors="replace")
    return [name for block in BLOCK.findall(config) for name in FUNCTION.findall(block)]


def _may_be_ours(path: str, functions: Container[str]) -> bool:
    """Whether an install may have written it: what it has on record, it overwrites and removes."""
    if not FILE.fullmatch(path):
        return False
    match path.split("/"):
        case ["functions", name, _, *_]:
            return name in functions
        case ["migrations", name]:
            found = _parse(name)
            return found is not None and found[1].startswith(OURS)
        case ["types", _]:
            return True
        case _:
            return path == CONFIG


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# Migrations


def _migrations(
    plan: Plan, source: Path, recorded: Mapping[str, str], now: datetime
) -> dict[str, bytes]:
    """Our migrations by the path that each has, or gets, in this project."""
    folder = plan.folder / "migrations"
    there = [found for path in folder.glob("*.sql") if (found := _parse(path.name))]
    remembered = [found for path in recorded if (found := _parse(Path(path).name))]
    versions: dict[str, set[str]] = {}
    for version, name in there:
        versions.setdefault(name, set()).add(version)
    for version, name in remembered:
        versions.setdefault(name, {version})

    ours = [
        (OURS + path.stem.partition("_")[2], path)
        for path in sorted(source.glob("migrations/*.sql"))
    ]
    fresh = [name for name, _ in ours if name not in versions]
    taken = [version for version, _ in [*there, *remembered]]
    try:
        versions |= {
            name: {version}
            for name, version in zip(fresh, next_versions(taken, len(fresh), now), strict=True)
        }
    except ValueError as error:
        plan.obstacles.append(str(error))
        return {}
    for name, _ in ours:
        if len(versions[name]) > 1:
            several = ", ".join(f"{version}_{name}.sql" for version in sorted(versions[name]))
            plan.obstacles.append(
                f"supabase/migrations has the same migration more than once: {several}."
                " Delete the one that no database has applied."
            )
    return {
        f"migrations/{min(versions[name])}_{name}.sql": path.read_bytes() for name, path in ours
    }


def next_versions(taken: Iterable[str], count: int, now: datetime) -> list[str]:
    """Versions after all that are taken, and not later than now where that is possible.

    The Supabase CLI compares versions as text.
    """
    start = now - timedelta(seconds=count)
    latest = max(taken, default="")
    if count and latest > start.strftime(VERSION_FORMAT):
        try:
            if len(latest) != len(now.strftime(VERSION_FORMAT)):
                raise ValueError(latest)
            start = datetime.strptime(latest, VERSION_FORMAT)
        except ValueError:
            raise ValueError(
                f"supabase/migrations has the version {latest}, and a timestamp comes before it."
                " Give that migration a timestamp, as `supabase migration new` does."
            ) from None
    return [
        (start + timedelta(seconds=number)).strftime(VERSION_FORMAT)
        for number in range(1, count + 1)
    ]


def _parse(file_name: str) -> tuple[str, str] | None:
    match = MIGRATION.fullmatch(file_name)
    return (match["version"], match["name"]) if match else None


# Files


def _foreign_functions(
    folder: Path, wanted: Mapping[str, bytes], recorded: Mapping[str, str]
) -> list[str]:
    """Folders of functions that bear the name of one of ours, and are somebody else's."""
    names = {"/".join(path.split("/")[:2]) for path in wanted if path.startswith("functions/")}
    return [
        name
        for name in sorted(names - {"functions/_shared"})
        if not any(path.startswith(f"{name}/") for path in recorded)
        and any(
            path.is_file() and wanted.get(path.relative_to(folder).as_posix()) != path.read_bytes()
            for path in (folder / name).rglob("*")
        )
    ]


def _not_ours(path: str) -> str:
    return f"supabase/{path} is there and is not Taximeter's. Rename it."


def _compare(plan: Plan, path: str, content: bytes, recorded: str | None) -> None:
    problem = _unwritable(plan.folder, path)
    if problem:
        plan.obstacles.append(problem)
        return
    file = plan.folder / path
    there = file.read_bytes() if file.exists() else None
    if there == content:
        return
    is_migration = path.startswith("migrations/")
    if there is None:
        difference = Difference(path, State.MISSING, "not there yet")
    elif recorded is None:
        plan.obstacles.append(_not_ours(path))
        return
    elif _digest(there) != recorded:
        difference = Difference(path, State.EDITED, "changed by hand", needs_force=True)
    elif is_migration:
        difference = Difference(
            path,
            State.OUTDATED,
            "changed in this version; a database that has applied it does not get the change",
            needs_force=True,
        )
    else:
        difference = Difference(path, State.OUTDATED, "of an earlier version")
    plan.differences.append(difference)
    plan.writes[path] = content


def _unwritable(folder: Path, path: str) -> str | None:
    """Why a file cannot be written there: nothing is written through links or over folders."""
    file = folder / path
    steps = [folder / step for step in list(file.relative_to(folder).parents)[-2::-1]]
    for step in [*steps, file]:
        if step.is_symlink():
            return f"supabase/{step.relative_to(folder)} is a symbolic link; put a real one there."
    for step in steps:
        if step.exists() and not step.is_dir():
            return f"supabase/{step.relative_to(folder)} is in the way: it is not a folder."
    if file.exists() and not file.is_file():
        return f"supabase/{path} is in the way: it is not a file."
    return None


def _gone(plan: Plan, wanted: Mapping[str, bytes], recorded: Mapping[str, str]) -> dict[str, str]:
    """Plans the removal of files that this version has no more; returns what stays on record.

    A migration stays: the databases that have applied it look for it.
    """
    kept = {}
    for path, digest in recorded.items():
        file = plan.folder / path
        if path in wanted or path == CONFIG or not file.is_file():
            continue
        if path.startswith("migrations/"):
            kept[path] = digest
            continue
        problem = _unwritable(plan.folder, path)
        if problem:
            plan.obstacles.append(problem)
            continue
        is_edited = _digest(file.read_bytes()) != digest
        meaning = "no part of this version" + (", and changed by hand" if is_edited else "")
        plan.differences.append(Difference(path, State.GONE, meaning, needs_force=is_edited))
        plan.removals.append(path)
    return kept


# config.toml


def _config(plan: Plan, source: Path, recorded: str | None) -> bytes:
    """Plans the entries of our functions in the project's config; returns them as they will be."""
    block: str = BLOCK.findall((source / CONFIG).read_text())[0]
    problem = _unwritable(plan.folder, CONFIG)
    try:
        with (plan.folder / CONFIG).open(newline="", encoding="utf-8") as file:
            text = file.read()
        config = tomllib.loads(text)
    except (OSError, ValueError) as error:
        problem = problem or f"supabase/{CONFIG} cannot be read: {error}."
    if problem:
        plan.obstacles.append(problem)
        return block.encode()
    plan.settings += _wrong_settings(config)

    newline = "\r\n" if "\r\n" in text else "\n"
    block = block.replace("\n", newline)
    there = BLOCK.search(text)
    if there is None:
        gap = "" if not text else newline if text.endswith("\n") else newline * 2
        changed = text + gap + block
        outside = text
    else:
        changed = text[: there.start()] + block + text[there.end() :]
        outside = text[: there.start()] + text[there.end() :]
    problem = _config_problem(outside, changed, block)
    if problem:
        plan.obstacles.append(problem)
    elif there is None:
        plan.differences.append(Difference(CONFIG, State.MISSING, "has no entries of ours yet"))
        plan.writes[CONFIG] = changed.encode()
    elif changed != text:
        is_edited = recorded != _digest(there[0].encode())
        plan.differences.append(
            Difference(CONFIG, State.EDITED, "our entries were changed by hand", needs_force=True)
            if is_edited
            else Difference(CONFIG, State.OUTDATED, "our entries are of an earlier version")
        )
        plan.writes[CONFIG] = changed.encode()
    return block.encode()


def _config_problem(outside: str, changed: str, block: str) -> str | None:
    """Why the entries cannot be written there without changing what the rest says."""
    ours = tomllib.loads(block)["functions"]
    if len(MARK.findall(changed)) != len(MARK.findall(block)):
        return f"supabase/{CONFIG}: the lines `# >>> taximeter` and `# <<< taximeter` do not match."
    try:
        expected = tomllib.loads(outside)
        theirs = expected.setdefault("functions", {})
        for name in ours:
            if name in theirs:
                return f"supabase/{CONFIG} has a [functions.{name}] of its own. Remove it."
        theirs.update(ours)
        if tomllib.loads(changed) == expected:
            return None
    except (tomllib.TOMLDecodeError, AttributeError):
        pass
    return (
        f"supabase/{CONFIG} cannot take [functions.NAME] sections as it is written."
        " Write its own functions as [functions.NAME] sections,"
        " and nothing below the line `# <<< taximeter` that has no section."
    )


def _wrong_settings(config: Mapping[str, Any]) -> list[str]:
    """What has to be another way in the project's own settings, which we do not touch."""
    wrong = []
    for setting, default, is_right, rule in SETTINGS:
        value: Any = config
        for key in setting.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        try:
            right = is_right(default if value is None else value)
        except TypeError:
            right = False
        if not right:
            wrong.append(f"supabase/{CONFIG}: {setting} must {rule}.")
    return wrong


# Writing


def _record(plan: Plan, kept: Mapping[str, str], wanted: Mapping[str, bytes]) -> None:
    """Plans the manifest, which is written last."""
    files = {**kept, **{path: _digest(content) for path, content in wanted.items()}}
    manifest = {"name": "taximeter", "version": __version__, "files": dict(sorted(files.items()))}
    content = f"{json.dumps(manifest, indent=2)}\n".encode()
    problem = _unwritable(plan.folder, MANIFEST)
    file = plan.folder / MANIFEST
    if problem:
        plan.obstacles.append(problem)
    elif not file.exists():
        plan.differences.append(Difference(MANIFEST, State.MISSING, "not there yet"))
        plan.writes[MANIFEST] = content
    elif file.read_bytes() != content:
        plan.differences.append(Difference(MANIFEST, State.OUTDATED, "of an earlier install"))
        plan.writes[MANIFEST] = content


class _Writing:
    """Puts files in place one by one, each at once, and puts everything back when one fails."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.staging = folder / STAGING
        self.undo: list[tuple[Path, Path | None]] = []
        self.made: list[Path] = []

    def carry_out(self, writes: Mapping[str, bytes], removals: Iterable[str]) -> None:
        try:
            self.staging.mkdir()
        except FileExistsError:
            raise StackError(
                f"{self.staging} is there: another install runs, or one was interrupted.",
                f"When none runs: {STAGING}/{BEFORE} has files as they were. Take what you miss,"
                f" delete {STAGING} and install again. No file is half written.",
            ) from None
        except OSError as error:
            raise StackError(f"Nothing was installed: {error}.") from error
        try:
            staged = self._stage(writes)
            for path in removals:
                self._remove(self.folder / path)
            for path, file in staged.items():
                self._replace(self.folder / path, file)
        except BaseException as error:
            changed = self._put_back()
            if changed:
                raise StackError(
                    f"The install failed: {str(error) or type(error).__name__}. These could not be"
                    f" put back; {self.staging / BEFORE} has the only copies of what they were:",
                    "\n  ".join(str(target) for target in changed),
                ) from error
            self._clear()
            if isinstance(error, OSError):
                raise StackError(f"Nothing was installed: {error}.") from error
            raise
        self._clear()

    def _stage(self, writes: Mapping[str, bytes]) -> dict[str, Path]:
        staged = {}
        for number, (path, content) in enumerate(writes.items()):
            staged[path] = self.staging / f"{number}.new"
            staged[path].write_bytes(content)
        return staged

    def _replace(self, target: Path, file: Path) -> None:
        self._make_folder(target.parent)
        if target.exists():
            shutil.copymode(target, file)
        self._remember(target)
        file.replace(target)

    def _remove(self, target: Path) -> None:
        self._remember(target)
        target.unlink()
        while target.parent != self.folder and not any(target.parent.iterdir()):
            target = target.parent
            target.rmdir()

    def _remember(self, target: Path) -> None:
        copy = None
        if target.exists():
            copy = self.staging / BEFORE / target.relative_to(self.folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(target, copy)
        self.undo.append((target, copy))

    def _make_folder(self, folder: Path) -> None:
        if not folder.exists():
            self._make_folder(folder.parent)
            folder.mkdir()
            self.made.append(folder)

    def _put_back(self) -> list[Path]:
        """Puts back what it can; gives the files that it could not."""
        failed = []
        for target, copy in reversed(self.undo):
            try:
                self._restore(target, copy)
            except OSError:
                failed.append(target)
        for folder in reversed(self.made):
            # It is not empty if it has a file that could not be removed, or somebody else's.
            with suppress(OSError):
                folder.rmdir()
        return failed

    def _restore(self, target: Path, copy: Path | None) -> None:
        there = target.read_bytes() if target.exists() else None
        if there == (copy.read_bytes() if copy else None):
            return
        if copy:
            target.parent.mkdir(parents=True, exist_ok=True)
            copy.replace(target)
        else:
            target.unlink()

    def _clear(self) -> None:
        shutil.rmtree(self.staging, ignore_errors=True)
