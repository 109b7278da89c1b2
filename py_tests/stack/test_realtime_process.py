"""The Realtime stand-in as a process: it starts or says why not, and outlives its database."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest
from websockets.exceptions import ConnectionClosed

from support.realtime import PATIENCE, Raw, end, eventually, launch, running
from support.served import stack_folder
from taximeter.stack.postgres import Cluster
from taximeter.stack.settings import Keys

if TYPE_CHECKING:
    from support.database import Server

KEYS = Keys(
    publishable="sb_publishable_test",
    secret="sb_secret_test",
    jwt_secret="a-secret-of-at-least-thirty-two-bytes",
    dispatch_secret="",
    cron_secret="",
    health_secret="",
)


def settings(database_url: str, port: int = 0) -> dict[str, object]:
    return {
        "database_url": database_url,
        "jwt_secret": KEYS.jwt_secret,
        "publishable_key": KEYS.publishable,
        "secret_key": KEYS.secret,
        "port": port,
    }


@pytest.mark.parametrize("given", [{}, [], "text", {"port": 0, "surprise": "a secret"}])
def test_settings_that_are_none_end_it(given: object) -> None:
    """STACK-05, STACK-04: said in one line that quotes nothing"""
    process, said = launch(given)
    assert said == {
        "event": "failed",
        "message": "The settings on standard input are not what is expected.",
    }
    assert process.wait(PATIENCE) == 1
    end(process)


def test_without_a_database_or_a_port_it_does_not_start(server: Server) -> None:
    """STACK-05, STACK-04: which of the two, and exit code 1"""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for given, told in (
            (settings(f"postgresql://nobody@127.0.0.1:{port}/x?connect_timeout=2"), "connection"),
            (settings(server.url("no_such_database", "stack_realtime")), "no_such_database"),
            (settings(server.url(server.platform_template(), "stack_realtime"), port), str(port)),
        ):
            process, said = launch(given)
            assert said["event"] == "failed"
            assert told in said["message"]
            assert process.wait(PATIENCE) == 1
            end(process)


@pytest.mark.parametrize("how", ["its input closes", "SIGTERM"])
def test_it_ends_cleanly_and_tells_its_clients(server: Server, how: str) -> None:
    """STACK-05, STACK-04: also with clients connected, who come again to the next one"""
    database_url = server.url(server.platform_template(), "stack_realtime")
    with running(database_url, KEYS) as realtime:
        client = Raw(realtime.url, KEYS.publishable)
        client.join("room")
        if how == "SIGTERM":
            realtime.process.send_signal(signal.SIGTERM)
        elif realtime.process.stdin is not None:
            realtime.process.stdin.close()
        with pytest.raises(ConnectionClosed) as closed:
            client.frame()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        assert realtime.process.wait(PATIENCE) == 0


def test_it_outlives_its_database() -> None:
    """STACK-04: not well meanwhile; joins are refused, then possible again; clients stay"""
    with (
        stack_folder() as folder,
        Cluster(folder / "db", cron=False) as cluster,
        running(cluster.url(user="stack_realtime"), KEYS) as realtime,
        Raw(realtime.url, KEYS.secret) as client,
    ):
        port = cluster.port
        assert client.join("kept", private=True)["status"] == "ok"
        cluster.stop()
        eventually(lambda: httpx.get(f"{realtime.url}/health").status_code == 503)
        assert client.join("new", private=True)["response"] == {
            "reason": "UnableToConnectToProject: "
            "Realtime was unable to connect to the project database"
        }
        assert client.join("ready", broadcast={"replication_ready": True})["status"] == "ok"
        assert client.next()[1]["status"] == "error"

        cluster.requested_port = port
        cluster.start()
        eventually(lambda: httpx.get(f"{realtime.url}/health").status_code == 200)
        assert client.join("new", private=True)["status"] == "ok"
        with psycopg.connect(cluster.url(), autocommit=True) as connection:
            for topic in ("kept", "new"):
                connection.execute("select realtime.send('{}', 'after', %s, true)", (topic,))
        assert [client.frame()[2], client.frame()[2]] == ["realtime:kept", "realtime:new"]
