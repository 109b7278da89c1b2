"""Edge functions run here with what they need and nothing else (STACK-01, STACK-05)."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from support.processes import all_gone, descendants, until
from taximeter.stack.functions import (
    FUNCTIONS,
    RESERVED,
    Function,
    Functions,
    own_environment,
    platform_environment,
    reachable,
)
from taximeter.stack.postgres import CHECKOUT
from taximeter.stack.settings import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = CHECKOUT / "supabase" / "functions"
LOCK = CHECKOUT / "deno.lock"

# Tries everything, and answers what it was let do.
CURIOUS = """
const tries: Record<string, () => unknown> = {
  reads_its_setting: () => Deno.env.get('OWN_SETTING'),
  reads_another: () => Deno.env.get('ANOTHER_SETTING'),
  reads_home: () => Deno.env.get('HOME'),
  reads_a_file: () => Deno.readTextFile('/etc/hostname'),
  writes_a_file: () => Deno.writeTextFile('/tmp/never', ''),
  runs_a_program: () => new Deno.Command('/bin/true').output(),
  calls_its_address: async () => (await fetch(Deno.env.get('OWN_URL')!)).text(),
  calls_another: async () => (await fetch('http://127.0.0.1:OTHER/')).text(),
};
Deno.serve(async (request) => {
  const found: Record<string, unknown> = { path: new URL(request.url).pathname };
  for (const [name, attempt] of Object.entries(tries)) {
    try {
      found[name] = await attempt();
    } catch (error) {
      found[name] = (error as Error).name;
    }
  }
  return Response.json(found);
});
"""


def written(folder: Path, name: str, source: str) -> Function:
    """A function of the test's own, with one setting and one address."""
    (folder / name).mkdir(parents=True)
    (folder / name / "index.ts").write_text(source)
    return Function(name, reads=("OWN_SETTING",), reaches=("OWN_URL",))


@pytest.fixture
def neighbours() -> Iterator[tuple[int, int]]:
    """Two servers: the one that a function's setting names, and another."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"reached")

        def log_message(self, *_: object) -> None: ...

    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    yield servers[0].server_port, servers[1].server_port
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_function_may_do_what_its_line_says_and_no_more(
    tmp_path: Path, neighbours: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """STACK-01: its variables and its address; no other of either, no file, no program"""
    own, other = neighbours
    monkeypatch.setenv("ANOTHER_SETTING", "of this machine")
    table = [written(tmp_path, "curious", CURIOUS.replace("OTHER", str(other)))]
    functions = Functions(table, tmp_path, tmp_path / "logs")
    try:
        functions.start(
            {
                "OWN_SETTING": "told",
                "OWN_URL": f"http://127.0.0.1:{own}",
                "ANOTHER_SETTING": "not for it",
            },
            LOCK,
        )
        functions.wait()
        url = f"{functions.urls['curious']}/curious/deeper"
        found = httpx.get(url, timeout=30, trust_env=False).json()
    finally:
        functions.stop()
    assert found == {
        "path": "/curious/deeper",
        "reads_its_setting": "told",
        "calls_its_address": "reached",
        "reads_another": "NotCapable",
        "reads_home": "NotCapable",
        "reads_a_file": "NotCapable",
        "writes_a_file": "NotCapable",
        "runs_a_program": "NotCapable",
        "calls_another": "NotCapable",
    }


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("this is not TypeScript", "error"),
        ("throw new Error('no reason to live');", "no reason to live"),
        ("import 'npm:never-cached@1.0.0';", "never-cached"),
        ("import './nothing.ts';", "nothing.ts"),
    ],
)
def test_a_function_that_does_not_start_is_named_with_its_last_words(
    tmp_path: Path, source: str, said: str
) -> None:
    """STACK-05: which one and why; the others end"""
    table = [
        written(tmp_path, "good", "Deno.serve(() => new Response());"),
        written(tmp_path, "bad", source),
    ]
    functions = Functions(table, tmp_path, tmp_path / "logs")
    try:
        functions.start({}, LOCK)
        pids = [part.pid for part in functions.parts.values()]
        with pytest.raises(StackError) as caught:
            functions.wait()
    finally:
        functions.stop()
    assert caught.value.message.startswith("The function bad did not start: exit code 1")
    assert said in caught.value.message
    assert str(tmp_path / "logs" / "bad.log") in caught.value.hint
    assert all_gone({pid for pid in pids if pid is not None})


OWNER = """
import sys
from pathlib import Path
from taximeter.stack.functions import Function, Functions
folder = Path(sys.argv[1])
table = [Function("one"), Function("busy")]
functions = Functions(table, folder, folder / "logs")
functions.start({}, Path(sys.argv[2]))
functions.wait()
print(functions.urls["busy"], flush=True)
sys.stdin.read()
"""


def test_functions_do_not_outlive_who_started_them(tmp_path: Path) -> None:
    """STACK-05: not when it is killed, and not when a function is too busy to notice"""
    written(tmp_path, "one", "Deno.serve(() => new Response());")
    written(tmp_path, "busy", "Deno.serve(() => { for (;;); });")
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), str(LOCK)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    with owner.stdin, owner.stdout:
        url = httpx.URL(owner.stdout.readline().strip())
        with socket.create_connection((url.host, url.port or 0)) as calling:
            calling.sendall(b"GET / HTTP/1.1\r\nhost: busy\r\n\r\n")
            started = descendants(owner.pid)
            assert len(started) == 3  # Both, and the guard of their group.
            os.kill(owner.pid, signal.SIGKILL)
            owner.wait()
            until(lambda: all_gone(started))


def test_the_table_the_folders_and_the_configuration_agree() -> None:
    """STACK-01: a function of the folder has its line, and what `supabase` deploys is the same"""
    names = {function.name for function in FUNCTIONS}
    assert len(names) == len(FUNCTIONS)
    assert names == {path.parent.name for path in FOLDER.glob("*/index.ts")}
    configuration = tomllib.loads((CHECKOUT / "supabase" / "config.toml").read_text())
    assert names == set(configuration["functions"])
    for name in sorted(names):
        files = {path.name for path in (FOLDER / name).iterdir()}
        assert {"index.ts", "handler.ts", "handler_test.ts", "deno.json"} <= files, name


def test_the_table_and_the_example_name_what_the_code_reads() -> None:
    """EDGE-03: a variable of the code is in the table, and one that people set in .env.example"""
    code = "\n".join(
        path.read_text() for path in FOLDER.rglob("*.ts") if not path.name.endswith("_test.ts")
    )
    # The keys' older names are the platform's, where it does not give the newer ones.
    older = {"SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY"}
    mentioned = set(re.findall(r"'([A-Z]+(?:_[A-Z]+)+)'", code)) - older
    listed = {name for f in FUNCTIONS for name in (*f.reads, *f.reaches)}
    assert mentioned == listed - {"BUF_BIGINT_DISABLE"}
    example = set(own_environment(FOLDER / ".env.example"))
    made = {"DISPATCH_SECRET", "CRON_SECRET", "HEALTH_SECRET"}
    assert example == {name for name in mentioned if not name.startswith(RESERVED)} - made


def test_addresses_are_reached_at_their_host_and_port_only() -> None:
    """STACK-01: what a setting names; the service itself where it names nothing"""
    names = ("STRIPE_API_URL", "LIVEKIT_URL", "SMTP_URL", "WEBHOOK_URL")
    function = Function("f", reaches=names)
    assert reachable(function, {}) == ["api.stripe.com:443"]
    told = {
        "STRIPE_API_URL": "http://127.0.0.1:8000/v1",
        "LIVEKIT_URL": "wss://video.example.com",
        "SMTP_URL": "smtps://user:secret@mail.example.com",
        "WEBHOOK_URL": "http://[::1]:81/in?x=1",
    }
    assert reachable(function, told) == [
        "127.0.0.1:8000",
        "[::1]:81",
        "mail.example.com:465",
        "video.example.com:443",
    ]


@pytest.mark.parametrize(
    "address", ["example.com", "https://", "ftp://a", "http://a:b", "https://a,b.com", "https://*"]
)
def test_what_is_no_address_is_refused_by_its_name(address: str) -> None:
    """STACK-01: before it could become a right to reach more"""
    with pytest.raises(StackError, match="WEBHOOK_URL is not an address"):
        reachable(Function("f", reaches=("WEBHOOK_URL",)), {"WEBHOOK_URL": address})


def test_a_developers_own_settings_are_read_as_the_platforms_tool_reads_them(
    tmp_path: Path,
) -> None:
    """STACK-01: functions/.env, with quotes and comments; names of the platform are refused"""
    file = tmp_path / ".env"
    assert own_environment(file) == {}
    file.write_text("# c\nA=1\nexport B='two words'\nC=\"x$A\" # d\n\nEMPTY=\n")
    assert own_environment(file) == {"A": "1", "B": "two words", "C": "x$A", "EMPTY": ""}
    file.write_text("SUPABASE_URL=http://elsewhere\n")
    with pytest.raises(StackError, match="SUPABASE_URL"):
        own_environment(file)


def test_functions_get_what_the_platform_gives() -> None:
    """STACK-01: the URL, and the keys by name as JSON"""
    given = platform_environment("http://127.0.0.1:1", "sb_publishable_p", "sb_secret_s")
    assert given["SUPABASE_URL"] == "http://127.0.0.1:1"
    assert json.loads(given["SUPABASE_PUBLISHABLE_KEYS"]) == {"default": "sb_publishable_p"}
    assert json.loads(given["SUPABASE_SECRET_KEYS"]) == {"default": "sb_secret_s"}
