"""The table of docs/payments.md is what the inbox does."""

from __future__ import annotations

import re

from taximeter.stack.postgres import CHECKOUT

_INBOX = CHECKOUT / "supabase/migrations/20260101001460_stripe_inbox.sql"
_EVENT = r"[a-z_]+(?:\.[a-z_]+)+"


def test_every_event_that_has_an_effect_is_in_the_table() -> None:
    """MON-08: the inbox and the table name the same types of events."""
    body = _INBOX.read_text().split("create function private.process_stripe_event")[1]
    used = set(re.findall(rf"'({_EVENT})'", body.split("$$;")[0]))
    table = [
        line.split("|")[1]
        for line in (CHECKOUT / "docs/payments.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    told = {name for cell in table for name in re.findall(rf"`({_EVENT})`", cell)}
    assert len(used) >= 16
    assert told - {"metadata.outbox_key"} == used
