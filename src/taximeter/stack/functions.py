"""The edge functions: what each may read and reach, and how they run on this machine.

One Deno process a function, as the platform has one worker a function. It gets the environment that
the platform would give it and nothing else of this machine: no files, no other variables, and no
address but those that its settings name.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import deno  # type: ignore[import-untyped]
import httpx
from dotenv import dotenv_values

from taximeter.stack.postgres import CHECKOUT
from taximeter.stack.process import START_SECONDS, Group, Member
from taximeter.stack.settings import StackError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LISTENING = re.compile(r"^Listening on http://127\.0\.0\.1:(\d+)/", re.MULTILINE)
PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443, "smtp": 587, "smtps": 465}
RESERVED = "SUPABASE_"

KEYS = ("SUPABASE_PUBLISHABLE_KEYS", "SUPABASE_SECRET_KEYS")
# The last is asked for by a package of the SDK, and never set.
LIVEKIT_KEYS = ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "BUF_BIGINT_DISABLE")


@dataclass(frozen=True, slots=True)
class Function:
    """One edge function: the variables it reads, and those that hold an address it calls."""

    name: str
    reads: tuple[str, ...] = ()
    reaches: tuple[str, ...] = ()


FUNCTIONS = (
    Function(
        "create-checkout",
        reads=(*KEYS, "STRIPE_SECRET_KEY"),
        reaches=("SUPABASE_URL", "STRIPE_API_URL"),
    ),
    Function(
        "connect-account",
        reads=(*KEYS, "STRIPE_SECRET_KEY"),
        reaches=("SUPABASE_URL", "STRIPE_API_URL"),
    ),
    Function("stripe-webhook", reads=(*KEYS, "STRIPE_WEBHOOK_SECRET"), reaches=("SUPABASE_URL",)),
    Function(
        "livekit-token", reads=(*KEYS, *LIVEKIT_KEYS, "LIVEKIT_URL"), reaches=("SUPABASE_URL",)
    ),
    Function(
        "livekit-webhook", reads=(*KEYS, *LIVEKIT_KEYS, "LIVEKIT_URL"), reaches=("SUPABASE_URL",)
    ),
    Function("session-files", reads=KEYS, reaches=("SUPABASE_URL",)),
    Function(
        "dispatch-outbox",
        reads=(
            *KEYS,
            *LIVEKIT_KEYS,
            "DISPATCH_SECRET",
            "DISPATCH_SECONDS",
            "STRIPE_SECRET_KEY",
            "RESEND_API_KEY",
            "POSTMARK_SERVER_TOKEN",
        ),
        reaches=(
            "SUPABASE_URL",
            "STRIPE_API_URL",
            "LIVEKIT_URL",
            "RESEND_API_URL",
            "POSTMARK_API_URL",
            "SMTP_URL",
            "CRM_WEBHOOK_URL",
            "SUPPORT_WEBHOOK_URL",
            "PUSH_WEBHOOK_URL",
            "WEBHOOK_URL",
        ),
    ),
    Function("monitor-sessions", reads=(*KEYS, "CRON_SECRET"), reaches=("SUPABASE_URL",)),
    Function("health", reads=(*KEYS, "HEALTH_SECRET"), reaches=("SUPABASE_URL",)),
    Function("legacy-routes", reaches=("SUPABASE_URL",)),
)

# Where an address that nobody has set leads to: the services themselves.
ADDRESSES = {
    "STRIPE_API_URL": "https://api.stripe.com",
    "RESEND_API_URL": "https://api.resend.com",
    "POSTMARK_API_URL": "https://api.postmarkapp.com",
}


def own_environment(file: Path) -> dict[str, str]:
    """What a developer has written for the functions, as `supabase start` reads it."""
    if not file.exists():
        return {}
    values = {name: value or "" for name, value in dotenv_values(file, interpolate=False).items()}
    reserved = sorted(name for name in values if name.startswith(RESERVED))
    if reserved:
        raise StackError(
            f"{file} sets {', '.join(reserved)}.",
            f"The platform sets what begins with {RESERVED}; remove the lines.",
        )
    return values


def reachable(function: Function, environment: Mapping[str, str]) -> list[str]:
    """The hosts and ports that a function may call: those its settings name."""
    found = set()
    for name in function.reaches:
        address = environment.get(name) or ADDRESSES.get(name)
        if not address:
            continue
        try:
            url = urlsplit(address)
            port = url.port or PORTS[url.scheme]
        except (ValueError, KeyError):
            url, port = None, 0
        if url is None or not url.hostname or not re.fullmatch(r"[A-Za-z0-9.:_-]+", url.hostname):
            raise StackError(
                f"{name} is not an address: {address!r}.",
                "It needs a scheme and a host, as https://example.com.",
            )
        host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
        found.add(f"{host}:{port}")
    return sorted(found)


class EdgeFunction(Member):
    """One function under Deno, with the rights that its line in the table gives it."""

    def __init__(self, function: Function, folder: Path, log: Path) -> None:
        super().__init__(f"function {function.name}", log)
        self._function = function
        self._entry = folder / function.name / "index.ts"
        self._port: int | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self, environment: Mapping[str, str], lock: Path, group: Group) -> None:
        """Starts it and returns at once; `wait` returns when it listens."""
        names = (*self._function.reads, *self._function.reaches)
        # Port 0 is any free port to listen on, and leads nowhere as an address to call.
        hosts = ["127.0.0.1:0", *reachable(self._function, environment)]
        self.launch(
            [
                *(deno.find_deno_bin(), "run", "--no-prompt", "--cached-only"),
                *("--frozen", f"--lock={lock}"),
                *([f"--allow-env={','.join(names)}"] if names else []),
                f"--allow-net={','.join(hosts)}",
                str(self._entry),
            ],
            {
                **{name: environment[name] for name in names if name in environment},
                **deno_environment(),
                "DENO_SERVE_ADDRESS": "tcp:127.0.0.1:0",
            },
            group,
        )

    def wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            reason = self.died()
            listening = LISTENING.search(self.log.read_text(errors="replace"))
            if reason is not None:
                raise StackError(
                    f"The {self.name} did not start: {reason}", f"Its log is {self.log}."
                )
            if listening:
                self._port = int(listening[1])
                return
            time.sleep(0.01)
        raise StackError(
            f"The {self.name} was not ready after {START_SECONDS:.0f} s.", f"Its log is {self.log}."
        )


class Functions:
    """All functions of a stack: they start together and end together."""

    def __init__(self, table: Sequence[Function], folder: Path, logs: Path) -> None:
        self.parts = {f.name: EdgeFunction(f, folder, logs / f"{f.name}.log") for f in table}
        self._logs = logs
        self._group: Group | None = None

    @property
    def urls(self) -> dict[str, str]:
        return {name: part.url for name, part in self.parts.items()}

    def start(self, environment: Mapping[str, str], lock: Path) -> None:
        """Starts them and returns at once; `wait` returns when all of them listen."""
        self._logs.mkdir(exist_ok=True)
        self._group = Group()
        for part in self.parts.values():
            part.start(environment, lock, self._group)

    def wait(self) -> None:
        for part in self.parts.values():
            part.wait()

    def stop(self) -> None:
        if self._group:
            self._group.end()
        for part in self.parts.values():
            part.stop()


def answers(url: str) -> bool:
    """Whether something there speaks HTTP; what it says does not matter."""
    try:
        httpx.options(url, timeout=5, trust_env=False)
    except httpx.HTTPError:
        return False
    return True


def deno_environment() -> dict[str, str]:
    """How Deno runs here: from the cache that `make setup` filled, without a registry."""
    return {
        "DENO_DIR": os.environ.get("DENO_DIR") or str(CHECKOUT / ".make" / "deno"),
        "DENO_NO_UPDATE_CHECK": "1",
        "DENO_NO_PACKAGE_JSON": "1",
        "NO_COLOR": "1",
    }


def platform_environment(url: str, publishable: str, secret: str) -> dict[str, str]:
    """What the platform gives every function."""
    return {
        "SUPABASE_URL": url,
        "SUPABASE_PUBLISHABLE_KEYS": json.dumps({"default": publishable}),
        "SUPABASE_SECRET_KEYS": json.dumps({"default": secret}),
    }
