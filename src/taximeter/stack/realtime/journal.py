"""What the server writes to its log: one JSON line each, ids only."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime


def note(event: str, **facts: object) -> None:
    line = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **facts}
    sys.stderr.write(f"{json.dumps(line)}\n")
    sys.stderr.flush()
