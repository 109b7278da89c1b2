"""The generated types are what the database is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from support.database import Server
from taximeter.stack.postgres import CHECKOUT

TYPES = CHECKOUT / "supabase" / "types"
CLI = CHECKOUT / "node_modules" / ".bin" / "supabase"
TOOLS = CHECKOUT / ".venv" / "bin"
LANGUAGES: dict[str, tuple[str, list[str | Path]]] = {
    "typescript": ("taximeter_database.ts", [TOOLS / "deno", "fmt", "--ext=ts", "-"]),
    "python": ("taximeter_database.py", [TOOLS / "ruff", "format", "--stdin-filename=types.py"]),
}

# The generator needs seconds to start.
pytestmark = pytest.mark.slow


def run(command: list[str | Path], text: str | None = None, **environment: str) -> str:
    finished = subprocess.run(
        command,
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"], "NO_COLOR": "1", "DENO_NO_UPDATE_CHECK": "1"}
        | environment,
        input=text if text is not None else "",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, f"{command[0]}: {finished.stderr}"
    return finished.stdout


def generated(server: Server, language: str, home: Path) -> str:
    """What `supabase gen types` says of the migrated database, formatted."""
    project = home / "project"
    project.mkdir()
    command: list[str | Path] = [
        *(CLI, "gen", "types", "--schema=public", f"--lang={language}"),
        *(f"--remote={server.url(server.template())}", f"--workdir={project}"),
    ]
    text = run(command, HOME=str(home), DO_NOT_TRACK="1", SUPABASE_TELEMETRY_DISABLED="1")
    return run(LANGUAGES[language][1], text, HOME=str(home), DENO_DIR=str(home / "deno"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_types_are_generated_from_the_database(
    server: Server, language: str, tmp_path: Path
) -> None:
    """CLI-03: `make types` writes them; a change of a table, view or function shows here."""
    file = TYPES / LANGUAGES[language][0]
    text = generated(server, language, tmp_path)
    if os.environ.get("TAXIMETER_WRITE_DOCS"):
        file.write_text(text)
    assert file.read_text() == text, f"{file.name} is out of date: run `make types`"


def test_the_types_are_typescript(tmp_path: Path) -> None:
    """CLI-03: the file passes the type checker, and says what a call takes and gives."""
    usage = tmp_path / "usage.ts"
    usage.write_text(
        f"import type {{ Database, Tables }} from '{TYPES / LANGUAGES['typescript'][0]}';\n"
        "type Call = Database['public']['Functions']['create_session'];\n"
        "export const plan: Call['Args']['p_plan'] = 'chat10';\n"
        "export function status(session: Call['Returns']): Tables<'sessions'>['status'] {\n"
        "  return session.status;\n"
        "}\n"
    )
    run([TOOLS / "deno", "check", "--no-config", "--no-lock", usage], HOME=str(tmp_path))
