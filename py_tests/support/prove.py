"""Run the pgTAP tests by pg_prove in a clone of the migrated template; exits as pg_prove does.

    python -m support.prove [file or folder ...]

Helpers run first: they commit what the tests share, and every test rolls back.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from support.database import Run
from taximeter.stack.postgres import CHECKOUT

TESTS = CHECKOUT / "sql" / "tests"


def files(chosen: Sequence[str]) -> list[Path]:
    helpers = sorted((TESTS / "helpers").glob("*.sql"))
    found: set[Path] = set()
    for path in [Path(name).resolve() for name in chosen] or [TESTS]:
        if not path.exists():
            raise SystemExit(f"no such test: {path}")
        found.update(path.rglob("*.sql") if path.is_dir() else [path])
    return [*helpers, *sorted(found - set(helpers))]


def main(arguments: Sequence[str]) -> int:
    pg_prove = shutil.which("pg_prove")
    if pg_prove is None:
        raise SystemExit("pg_prove is not installed. Run `make setup` as root.")
    tests = files(arguments)
    run = Run.begin()
    try:
        server = run.start_server()
        database = server.clone(server.template())
        try:
            database.connect().execute("create extension pgtap with schema extensions")
            database.close()
            print(f"pgTAP: {len(tests)} files, {server.described()}", flush=True)
            return subprocess.run(
                [
                    pg_prove,
                    "--failures",
                    *("--host", server.host, "--port", str(server.port)),
                    *("--username", "postgres", "--dbname", database.name),
                    *(str(path.relative_to(CHECKOUT)) for path in tests),
                ],
                cwd=CHECKOUT,
                env={**os.environ, "PGOPTIONS": "-c client_min_messages=warning"},
                check=False,
            ).returncode
        finally:
            database.drop()
    finally:
        run.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
