"""health and monitor-sessions under Deno: what an outside scheduler and an outside watcher call."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from support.edge import Edge, edge, said

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from support.database import Server

HEALTH, MONITOR = "health", "monitor-sessions"
SECRETS = {"HEALTH_SECRET": "health-secret", "CRON_SECRET": "cron-secret"}
FOREIGN = ("", "Bearer", "Bearer x", "Basic health-secret", "Bearer sb_secret_x")


@pytest.fixture(scope="module")
def front(server: Server) -> Iterator[Edge]:
    with edge(server, (HEALTH, MONITOR), SECRETS) as running:
        yield running


def deep(front: Edge) -> httpx.Response:
    headers = {"authorization": f"Bearer {SECRETS['HEALTH_SECRET']}"}
    return front.ask(HEALTH, method="GET", params={"deep": "1"}, headers=headers)


def run(front: Edge) -> httpx.Response:
    return front.ask(MONITOR, headers={"authorization": f"Bearer {SECRETS['CRON_SECRET']}"})


def test_health_answers_fast_with_the_limit_of_the_preflight(front: Edge) -> None:
    """EDGE-02: to anybody, without a key, also to HEAD"""
    largest = front.one("select private.setting_integer('max_rtt_ms')")
    for _ in range(2):
        answer = front.ask(HEALTH, method="GET")
        assert (answer.status_code, answer.json()) == (200, {"ok": True, "max_rtt_ms": largest})
        assert answer.headers["access-control-allow-origin"] == "*"
    head = front.ask(HEALTH, method="HEAD")
    assert (head.status_code, head.content) == (200, b"")


def test_once_warm_the_fast_check_does_without_the_database(server: Server) -> None:
    """EDGE-02: the database answers nothing any more, which the deep one tells"""
    with edge(server, (HEALTH,), SECRETS) as front:
        warm = front.ask(HEALTH, method="GET").json()
        with front.served.connect("supabase_admin") as connection:
            connection.execute(
                "revoke execute on function public.list_settings(),"
                " public.session_health_dashboard() from service_role"
            )
        answer = front.ask(HEALTH, method="GET")
        assert (answer.status_code, answer.json()) == (200, warm)
        broken = deep(front)
        assert (broken.status_code, broken.json()["database"]) == (503, {"ok": False})


def test_deep_tells_of_the_database_the_jobs_and_the_outbox(front: Edge) -> None:
    """EDGE-02: 200 while all is well, 503 once a job is late or an effect is overdue"""
    with front.served.connect() as connection:
        connection.execute(
            "insert into private.job_runs (job, started_at, ended_at)"
            " select j.job, private.clock(), private.clock() from private.jobs(true) j"
            " on conflict (job) where not is_failure"
            " do update set started_at = excluded.started_at"
        )
    well = deep(front)
    assert well.status_code == 200, well.text
    found = well.json()
    assert (found["ok"], found["database"]) == (True, {"ok": True})
    assert found["jobs"]["ok"] is True
    assert "tick-sessions" in found["jobs"]["values"]
    assert found["outbox"]["values"]["overdue"] == 0

    with front.served.connect() as connection:
        connection.execute(
            "update private.job_runs set started_at = private.clock() - interval '1 day'"
            " where job = 'tick-sessions'"
        )
    late = deep(front)
    assert (late.status_code, late.json()["jobs"]["wrong"]) == (503, ["tick-sessions"])


def test_the_monitor_runs_and_says_what_it_did(front: Edge) -> None:
    """SLA-01: also twice at once"""
    with ThreadPoolExecutor(2) as schedulers:
        answers = list(schedulers.map(run, [front, front]))
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert set(answer.json()) == {
            "nudged_mechanics",
            "alerted_support",
            "auto_closed",
            "unattended",
        }
    assert front.one("select count(*) from private.job_runs where job = 'monitor-sessions'") == 1


def test_without_the_secret_nothing_happens(front: Edge) -> None:
    """EDGE-01: nor by another method, and a user's token is no secret"""
    customer = front.served.person("customer")
    session = customer.client.auth.get_session()
    assert session is not None
    before = front.fingerprint()
    for authorization in (*FOREIGN, f"Bearer {session.access_token}"):
        headers = {"authorization": authorization} if authorization else {}
        for answer in (
            front.ask(MONITOR, headers=headers),
            front.ask(HEALTH, method="GET", params={"deep": "1"}, headers=headers),
        ):
            assert said(answer) == (401, "not_authenticated")
    secret = {"authorization": "Bearer cron-secret"}
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        assert said(front.ask(MONITOR, method=method, headers=secret))[0] == 405
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert said(front.ask(HEALTH, method=method))[0] == 405
    assert front.fingerprint() == before
