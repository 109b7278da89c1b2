"""What the container provider does when there is no engine to be had (TEST-02, TEST-03).

That a server in a container works is proven by the whole suite, which runs in one with
`TAXIMETER_TEST_DB=container`; these run everywhere and start nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.container import ContainerServer, EngineMissingError, engine_host

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    host = f"unix://{tmp_path}/no-engine.sock"
    monkeypatch.setenv("DOCKER_HOST", host)
    return host


@pytest.mark.usefixtures("unreachable")
def test_an_engine_that_does_not_answer_is_no_engine() -> None:
    """TEST-02: only an engine that answers makes the container the default."""
    assert engine_host() is None


def test_a_forced_container_without_an_engine_says_what_is_missing(unreachable: str) -> None:
    """TEST-03: no silent skip and no fallback; the error names what was looked for."""
    with pytest.raises(EngineMissingError) as refused:
        ContainerServer().start()
    assert unreachable in str(refused.value)


def test_an_engine_on_another_machine_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TEST-03: a server that could not be reached is refused before a container is made."""
    command = tmp_path / "docker"
    command.write_text("#!/bin/sh\nexit 0\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    with pytest.raises(EngineMissingError, match="not on this machine"):
        ContainerServer().start()
