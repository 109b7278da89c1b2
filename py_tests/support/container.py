"""The test database in a container (TEST-02).

A `ContainerServer` is a bare PostgreSQL with pg_cron, pgTAP and plpgsql_check that trusts every
connection from this machine; its superuser is `supabase_admin`. Whoever starts it applies the
platform shim and the migrations over a connection, as to any other server. The image is the
project's own (`docker/`) and needs no image registry; `TAXIMETER_TEST_IMAGE` names another one.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psycopg
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

if TYPE_CHECKING:
    from testcontainers.core.docker_client import DockerClient

DOCKER = Path(__file__).resolve().parents[2] / "docker"
DATA = "/var/lib/taximeter"
PORT = 5432
START_TIMEOUT_SECONDS = 60.0
OWNER_LABEL = "taximeter.test.owner"


class EngineMissingError(RuntimeError):
    """No Docker engine can be had here; the message says what is missing."""


def engine_host() -> str | None:
    """The address of an engine that answers now; never installs or starts one."""
    found = _script("engine.sh", "status")
    return found.stdout.strip() if found.returncode == 0 else None


class ContainerServer:
    """One throw-away server, and the engine it runs in when no other was there."""

    def __init__(self, image: str | None = None) -> None:
        self._image = image or os.environ.get("TAXIMETER_TEST_IMAGE")
        self._container: DockerContainer | None = None
        self._owns_engine = False

    def start(self) -> tuple[str, int]:
        """Host and port of a server that accepts connections."""
        if self._container is not None:
            raise RuntimeError("this server has been started already")
        self._owns_engine = engine_host() is None
        try:
            engine = _required("engine.sh", "up")
            if not engine.startswith("unix://"):
                raise EngineMissingError(
                    f"the engine at {engine} is not on this machine; its containers' ports are"
                    " published on its own loopback and cannot be reached from here"
                )
            image = self._image or _required("build.sh")
            return self._run(image, engine)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Removes the container, and ends the engine if `start` had to start one."""
        container, self._container = self._container, None
        if container is not None:
            container.stop()
        if self._owns_engine:
            self._owns_engine = False
            # It refuses while somebody else's containers run in it, and stays up for them.
            _script("engine.sh", "down")

    def _run(self, image: str, engine: str) -> tuple[str, int]:
        # The reaper is an image of its own, which would have to be pulled; `_sweep` stands in.
        testcontainers_config.ryuk_disabled = True
        container = DockerContainer(
            image, docker_client_kw={"environment": {"DOCKER_HOST": engine}}
        )
        client = container.get_docker_client()
        _sweep(client)
        # In memory, as an embedded server's.
        container.with_tmpfs_mount(DATA)
        container.with_envs(POSTGRES_PASSWORD="postgres", POSTGRES_HOST_AUTH_METHOD="trust")
        options: dict[str, Any] = {"labels": {OWNER_LABEL: f"{socket.gethostname()}:{os.getpid()}"}}
        bridged = any(network.name == "bridge" for network in client.client.networks.list())
        port = PORT
        if bridged:
            # testcontainers' own port methods publish on every interface of this machine.
            cast("dict[str, Any]", container.ports)[f"{PORT}/tcp"] = ("127.0.0.1", None)
        else:
            port = _free_port()
            options["network_mode"] = "host"
            container.with_command(["-c", f"port={port}", "-c", "listen_addresses=127.0.0.1"])
        container.with_kwargs(**options)
        self._container = container
        container.start()
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while True:
            refusal: Exception
            try:
                if bridged:
                    port = int(client.port(container.get_container_id(), PORT))
                psycopg.connect(
                    host="127.0.0.1",
                    port=port,
                    user="supabase_admin",
                    dbname="postgres",
                    sslmode="disable",
                    connect_timeout=2,
                ).close()
            except (psycopg.OperationalError, ConnectionError) as error:
                refusal = error
            else:
                return "127.0.0.1", port
            container.reload()
            if container.status in {"exited", "dead"} or time.monotonic() > deadline:
                output = b"".join(container.get_logs()).decode(errors="replace")
                raise RuntimeError(
                    f"{image} did not become a server ({container.status}): {refusal}\n{output}"
                )
            time.sleep(0.05)


def _sweep(engine: DockerClient) -> None:
    """Removes containers of test runs that were killed before they could do it themselves."""
    for left in engine.client.containers.list(all=True, filters={"label": OWNER_LABEL}):
        host, _, pid = left.labels[OWNER_LABEL].rpartition(":")
        if host == socket.gethostname() and not Path("/proc", pid).exists():
            left.remove(force=True, v=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return cast("int", probe.getsockname()[1])


def _script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    bash = shutil.which("bash")
    if bash is None:
        raise EngineMissingError("missing: bash")
    return subprocess.run(
        [bash, str(DOCKER / name), *arguments], capture_output=True, text=True, check=False
    )


def _required(name: str, *arguments: str) -> str:
    done = _script(name, *arguments)
    if done.returncode != 0:
        raise EngineMissingError(f"docker/{name} failed:\n{done.stderr.strip()}")
    sys.stderr.write(done.stderr)
    return done.stdout.strip().splitlines()[-1]
