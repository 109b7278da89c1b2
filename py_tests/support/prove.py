"""Run the pgTAP tests by pg_prove in clones of the migrated template; fails as pg_prove does.

    python -m support.prove [file or folder ...]

Each of two clones takes half of the tests: tests use the same names, so that they would wait for
each other in one. Helpers run first: they commit what the tests share, and every test rolls back.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.database import Run, Server
from taximeter.stack.postgres import CHECKOUT

TESTS = CHECKOUT / "sql" / "tests"
CLONES = 2


def shares(chosen: Sequence[str]) -> list[list[Path]]:
    """The helpers and some of the chosen tests, for each clone."""
    helpers = sorted((TESTS / "helpers").glob("*.sql"))
    found: set[Path] = set()
    for path in [Path(name).resolve() for name in chosen] or [TESTS]:
        if not path.exists():
            raise SystemExit(f"no such test: {path}")
        found.update(path.rglob("*.sql") if path.is_dir() else [path])
    tests = sorted(found - set(helpers))
    return [helpers + tests[share::CLONES] for share in range(min(CLONES, len(tests) or 1))]


def prove(pg_prove: str, server: Server, files: Sequence[Path]) -> bool:
    """Whether they pass in a clone of their own; says so when all are done."""
    database = server.clone(server.template())
    try:
        database.connect().execute("create extension pgtap with schema extensions")
        database.close()
        finished = subprocess.run(
            [
                pg_prove,
                "--failures",
                *("--host", server.host, "--port", str(server.port)),
                *("--username", "postgres", "--dbname", database.name),
                *(str(path.relative_to(CHECKOUT)) for path in files),
            ],
            cwd=CHECKOUT,
            env={**os.environ, "PGOPTIONS": "-c client_min_messages=warning"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        print(finished.stdout, end="", flush=True)
        return finished.returncode == 0
    finally:
        database.drop()


def main(arguments: Sequence[str]) -> int:
    pg_prove = shutil.which("pg_prove")
    if pg_prove is None:
        raise SystemExit("pg_prove is not installed. Run `make setup` as root.")
    files = shares(arguments)
    run = Run.begin()
    try:
        server = run.start_server()
        print(f"pgTAP: {server.described()}", flush=True)
        with ThreadPoolExecutor(CLONES) as pool:
            passed = list(pool.map(lambda share: prove(pg_prove, server, share), files))
        return 0 if all(passed) else 1
    finally:
        run.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
