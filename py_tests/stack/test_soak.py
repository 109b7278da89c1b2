"""The soak finds what it looks for; its figures are for `make soak`."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys

import pytest
from rich.console import Console

from bench.broadcasts import Broadcasts
from bench.measured import (
    Mark,
    Measured,
    Sample,
    judge_latency,
    judge_memory,
    timeline,
    verdict,
)
from bench.processes import OTHERS, POSTGRES, REALTIME, SHARED, SUPERVISOR, Held, held
from support.served import stack_folder
from taximeter.stack.postgres import CHECKOUT

TOPIC = "session:1"
SECONDS = 400


@pytest.mark.slow
def test_a_short_soak_is_good_and_leaves_nothing() -> None:
    """STACK-04, EDGE-02, MON-19: every broadcast is heard once; every effect is outside, once"""
    with stack_folder() as folder:
        folder.mkdir(parents=True)
        played = subprocess.run(
            [sys.executable, "-m", "bench.soak", "6", "--every=1", "--live=2"],
            cwd=CHECKOUT,
            env={**os.environ, "TAXIMETER_HOME": str(folder), "COLUMNS": "160"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert played.returncode == 0, played.stdout + played.stderr
        for line in (
            r"pace +│ 6 of 6 sessions begun +│ ok",
            r"sessions +│ 6 of 6 ended +│ ok",
            r"broadcasts +│ \d\d+ sent, heard \d\d+ times: 0 lost, 0 from nowhere +│ ok",
            r"mails +│ 6 of 6 +│ ok",
            r"transfers +│ 6 of 6 +│ ok",
            r"paid, and split +│ 10,000 and 10,000 cents +│ ok",
            r"unfinished or failed +│ nothing +│ ok",
            r"create-checkout +│ +8 ",
            r"session-files, POST +│ +2 ",
            r"MB of dispatch-outbox +│ +[1-9]",
            r"MB of Realtime +│ +[1-9]",
        ):
            assert re.search(line, played.stdout), f"{line}\n{played.stdout}"
        assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("heard", "lost", "unexplained", "noted"),
    [
        ([("a", 1), ("b", 2)], 0, 0, []),
        ([("a", 1)], 1, 0, []),
        ([("a", 1), ("b", 2), ("c", 3)], 0, 1, []),
        ([("a", 1), ("b", 2), ("b", 3)], 0, 0, ["customer heard x on session:1 twice"]),
        ([("b", 2), ("a", 1)], 0, 0, ["customer heard v1 after v2 on session:1"]),
    ],
    ids=["each once", "one is lost", "one was never sent", "one comes twice", "out of order"],
)
@pytest.mark.parametrize("first", ["sent", "heard"])
def test_what_was_sent_is_held_against_what_was_heard(
    first: str, heard: list[tuple[str, int]], lost: int, unexplained: int, noted: list[str]
) -> None:
    """RT-01, STACK-04: whichever of the two is known first"""
    problems: list[str] = []
    broadcasts = Broadcasts(problems.append, lambda _: None)
    broadcasts.listens("customer", TOPIC, misses=None)
    broadcasts.listens("mechanic", TOPIC, misses="x")

    def send() -> None:
        for message_id in ("a", "b"):
            broadcasts.send(message_id, TOPIC, "x")
        broadcasts.send("z", "user:nobody", "x")

    def hear() -> None:
        for message_id, version in heard:
            payload = {"id": message_id, "version": version}
            broadcasts.hear("customer", TOPIC, {"event": "x", "payload": payload})

    for step in (send, hear) if first == "sent" else (hear, send):
        step()
    assert (len(broadcasts.lost), len(broadcasts.unexplained)) == (lost, unexplained)
    assert (problems, broadcasts.sent, broadcasts.heard) == (noted, 2, len(heard))


def test_a_leak_is_told_from_what_is_warming_up() -> None:
    """STACK-05: the last quarter is held against the second; shared memory is not judged"""

    def held_after(second: int) -> Held:
        leaking = 50 + second / 10
        warming = min(60, 30 + second)
        memory = {
            REALTIME: leaking,
            SUPERVISOR: warming,
            "livekit-token": 60 + second / 8,
            "stripe-webhook": 60 + second / 2,
            POSTGRES: 80.0,
            SHARED: 1.0 + second,
        }
        return Held(memory, {POSTGRES: 900, OTHERS: 100 + second})

    measured = Measured(SECONDS)
    measured.samples = [
        Sample(float(second), held_after(second), 11, 2, 0.5) for second in range(0, SECONDS, 10)
    ]
    judge_memory(measured)
    assert {finding.what for finding in measured.findings if not finding.is_good} == {
        "no leak: MB of Realtime",
        "no leak: MB of stripe-webhook",
        "no leak: open files of the others",
    }
    assert "no leak: MB of livekit-token" in {finding.what for finding in measured.findings}


def test_latency_that_grows_is_found() -> None:
    """EDGE-02: by the 95th percentile, of what is called often enough"""
    measured = Measured(SECONDS)
    for second in range(SECONDS):
        for kind, milliseconds in (("flat", 10), ("growing", 10 + second / 10)):
            measured.times.of[kind].append((second, milliseconds + second % 7))
        if second % 10 == 0:
            measured.times.of["seldom"].append((second, second))
    measured.samples = [Sample(1.0, Held({SHARED: 1.0}, {}), 1, 1, 1.0)]
    judge_latency(measured)
    assert [(finding.what, finding.is_good) for finding in measured.findings] == [
        ("flat: flat", True),
        ("flat: growing", False),
    ]


def test_a_short_run_judges_neither() -> None:
    """STACK-05: and says so"""
    measured = Measured(10)
    measured.times.of["call"] = [(second / 10, float(second)) for second in range(100)]
    measured.samples = [
        Sample(second, Held({"API": 10.0 * second, SHARED: 1.0}, {POSTGRES: 1, OTHERS: 1}), 1, 1, 1)
        for second in range(10)
    ]
    measured.marks = [Mark(-1.0), Mark(10.0, ended=5, mails="5 of 5")]
    printed = io.StringIO()
    console = Console(file=printed, width=160)
    for table in (timeline(measured), judge_latency(measured), judge_memory(measured)):
        console.print(table)
    console.print(verdict(measured))
    assert measured.findings == []
    text = " ".join(printed.getvalue().split())
    assert "leaks and latency are not judged" in text
    assert "5 of 5" in text


def test_what_a_process_holds_is_seen() -> None:
    """STACK-05: the memory and the files of a process and of its children"""
    command = "import time; kept = bytearray(b'x' * 50_000_000); print('there', flush=True)"
    with subprocess.Popen(
        ["sh", "-c", f'{sys.executable} -c "{command}; time.sleep(60)"; true'],
        stdout=subprocess.PIPE,
        process_group=0,
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            seen = held(process.pid, process.pid)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    assert seen.memory[POSTGRES] > 50
    assert seen.files[POSTGRES] >= 6
