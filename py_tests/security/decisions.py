"""The committed answer to "who may do what", read from `decisions.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

API_ROLES = ("anon", "authenticated", "service_role")

OWN = "own"
QUEUE = "queue"


@dataclass(frozen=True)
class FunctionDecision:
    """Who may execute a function, how a test calls it, and what a stranger gets."""

    callers: frozenset[str]
    arguments: str | None
    without_user: str
    stranger: Mapping[str, str]

    def outcome(self, persona: str) -> str:
        return self.stranger.get(persona, self.stranger["default"])


@dataclass(frozen=True)
class Decisions:
    """Keys are `schema.name` for tables, `schema.name.column`, and `schema.name(types)`."""

    schemas: Mapping[str, frozenset[str]]
    tables: Mapping[str, Mapping[str, str]]
    columns: Mapping[str, Mapping[str, str]]
    functions: Mapping[str, FunctionDecision]


def _public(entry: Mapping[str, Any]) -> FunctionDecision:
    stranger = entry["stranger"]
    return FunctionDecision(
        callers=frozenset(entry["callers"]),
        arguments=entry["arguments"],
        without_user=entry.get("without_user", "not_authenticated"),
        stranger={"default": stranger} if isinstance(stranger, str) else stranger,
    )


def _entry_point(signature: str, public: Mapping[str, FunctionDecision]) -> FunctionDecision:
    """A private function behind a public one: same callers, same arguments, same answers."""
    name = signature.partition("(")[0]
    behind = [key for key in public if key.partition("(")[0] == f"public.{name}"]
    if len(behind) != 1:
        raise ValueError(f"private.{signature} must stand behind exactly one public function")
    return public[behind[0]]


def load(path: Path | None = None) -> Decisions:
    raw = tomllib.loads((path or Path(__file__).with_name("decisions.toml")).read_text())
    functions = {f"public.{name}": _public(entry) for name, entry in raw["functions"].items()}
    public = dict(functions)
    private = raw["private"]
    for signature in private["entry_points"]:
        functions[f"private.{signature}"] = _entry_point(signature, public)
    for signature, callers in private["helpers"].items():
        functions[f"private.{signature}"] = FunctionDecision(
            frozenset(callers), None, OWN, {"default": OWN}
        )
    for signature in private["engine_only"]:
        functions[f"private.{signature}"] = FunctionDecision(
            frozenset(), None, OWN, {"default": OWN}
        )
    tables: dict[str, Mapping[str, str]] = dict(raw["tables"])
    tables.update({f"private.{name}": {} for name in private["tables"]})
    return Decisions(
        schemas={name: frozenset(roles) for name, roles in raw["schemas"].items()},
        tables=tables,
        columns=raw["columns"],
        functions=functions,
    )
