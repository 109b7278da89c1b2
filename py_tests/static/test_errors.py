"""ERR-01: the table of errors, the document and what functions raise are one."""

from __future__ import annotations

import re

from support.database import Database
from taximeter.stack.postgres import CHECKOUT

DOCUMENT = CHECKOUT / "docs" / "errors.md"
MIGRATIONS = CHECKOUT / "supabase" / "migrations"

# Spec 07; a code keeps its status for ever, whatever the tables say.
STATUS = {
    401: "not_authenticated",
    402: "payment_required insufficient_credit free_session_used",
    403: "role_required",
    404: "session_not_found assignment_not_found plan_not_found file_not_found quote_not_found"
    " notification_not_found payment_not_found payout_not_found",
    409: "active_session_exists illegal_transition state_without_proof assignment_taken"
    " mechanic_busy not_both_present session_not_active session_not_completed"
    " summary_already_submitted idempotency_conflict extension_limit refund_exceeds_payment"
    " quote_already_open quote_already_decided session_locked",
    410: "session_ended",
    413: "file_too_large",
    415: "unsupported_file_type",
    422: "invalid_argument",
}


def documented() -> dict[str, int]:
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \| (.+) \| (.+) \|$", DOCUMENT.read_text(), re.M)
    assert all(meaning.strip() and advice.strip() for _, _, meaning, advice in rows)
    assert len({code for _, code, _, _ in rows}) == len(rows)
    return {code: int(status) for status, code, _, _ in rows}


def test_document_and_contract_agree() -> None:
    """ERR-01: docs/errors.md has every code of the contract with its status, and no other."""
    assert documented() == {
        code: status for status, codes in STATUS.items() for code in codes.split()
    }


def test_document_and_database_agree(db: Database) -> None:
    """ERR-01: private.error_codes and docs/errors.md are the same, both ways."""
    with db.connect() as connection:
        stored = {
            row["code"]: row["http_status"]
            for row in connection.execute("select code, http_status from private.error_codes")
        }
    assert stored == documented()


def test_every_raised_code_is_in_the_table(db: Database) -> None:
    """ERR-01: a function raises no code that the table lacks, and no code in another way."""
    with db.connect() as connection:
        sources = [
            str(row["source"])
            for row in connection.execute(
                "select pg_get_functiondef(p.oid) as source from pg_catalog.pg_proc p"
                " where p.pronamespace in ('private'::regnamespace, 'public'::regnamespace)"
                " and p.prokind = 'f'"
            )
        ]
    files = [path.read_text() for path in MIGRATIONS.glob("*.sql")]
    calls = [
        call for text in sources + files for call in re.findall(r"private\.fail\(\s*(\S)", text)
    ]
    codes = {
        code for text in sources + files for code in re.findall(r"private\.fail\(\s*'(\w*)'", text)
    }
    assert {"session_not_found", "assignment_taken", "invalid_argument"} <= codes
    assert codes <= documented().keys()
    # The definition and its comments name the parameter or the types; every call gives a literal.
    assert set(calls) <= {"'", "p", "t"}
    others = [
        text
        for text in sources
        if re.search(r"(?<!when )sqlstate\s*'PT|errcode\s*=\s*'PT", text)
        and "private.fail(p_code" not in text
    ]
    assert others == []


def test_an_unknown_code_cannot_be_raised(db: Database) -> None:
    """ERR-01: asked for a code that is not in the table, the one that raises says so."""
    with db.connect() as connection:
        row = connection.execute(
            """
            select (
              select count(*) from private.error_codes e
              where e.code = any (%s) and e.http_status between 400 and 499
            ) as known
            """,
            (list(documented()),),
        ).fetchone()
    assert row == {"known": len(documented())}
