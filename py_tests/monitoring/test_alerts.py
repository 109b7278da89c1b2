"""Who is told of what, how often, and who sees it."""

from __future__ import annotations

import pytest

from monitoring.stage import ALERTS, Stage
from support.world import World, call_on, meanwhile, race

NO_PAYOUT = "delete from public.payouts where id = (tests.payout_of('paid')).id"
WITHOUT_PAYOUT = "critical: Needs a person: completed without payout"
WELL_AGAIN = "info: Well again: completed without payout"
A_BALANCE = (
    "update private.ledger_accounts set balance_cents = balance_cents + 1000"
    " where name = 'customer_credit:' || tests.id('credit')"
)

AN_OPEN_ASSIGNMENT = (
    "update public.session_assignments set status = 'accepted', closed_at = null"
    " where session_id = tests.session_of('paid')"
)
ANOTHER_ENTRY = (
    "delete from private.ledger_entries e using private.ledger_transfers t"
    " where t.id = e.transfer_id and t.key = 'earning:' || tests.session_of('paid')"
)

VIEWS = (*(f"alert_{name}" for name in ALERTS), "alert_rates", "sessions_needing_review")


class Monitored:
    """The stage, and what support has been told since."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.told = len(self._alerts())

    def _alerts(self) -> list[str]:
        row = self.stage.rows(
            "select coalesce(array_agg((payload ->> 'severity') || ': ' || (payload ->> 'subject')"
            " order by id), '{}') as told from private.outbox where topic = 'support.alert'"
        )[0]
        return list(row["told"])

    def after(self, minutes: int) -> list[str]:
        """What the monitor says when it runs so much later."""
        self.stage.run(f"select tests.advance({minutes * 60})")
        for job in ("tick-sessions", "monitor-sessions"):
            self.stage.run(f"select private.run_job('{job}')")
        failed = self.stage.rows("select error from private.job_runs where error is not null")
        assert failed == []
        told = self._alerts()
        new, self.told = told[self.told :], len(told)
        return new


@pytest.fixture
def monitored(stage: Stage) -> Monitored:
    return Monitored(stage)


def past_the_triggers(stage: Stage, statement: str) -> None:
    stage.be_superuser()
    stage.run("set local session_replication_role = replica")
    stage.run(statement)
    stage.run("set local session_replication_role = origin")
    stage.be_operator()


def test_an_alert_is_told_once_and_once_more_when_it_is_over(
    stage: Stage, monitored: Monitored
) -> None:
    """MOV-09: and what comes again, of the same session and since the same time, is told again."""
    with stage.spoiled(NO_PAYOUT):
        assert monitored.after(0) == [WITHOUT_PAYOUT]
        assert monitored.after(5) == []
        assert monitored.after(5) == []
        stage.run("select public.repair_money(tests.session_of('paid'))")
        assert monitored.after(5) == [WELL_AGAIN]
        assert monitored.after(5) == []
        past_the_triggers(stage, NO_PAYOUT)
        assert monitored.after(5) == [WITHOUT_PAYOUT]
        stage.run("select public.repair_money(tests.session_of('paid'))")
        assert monitored.after(5) == [WELL_AGAIN]


def test_an_alert_says_what_and_how(stage: Stage, monitored: Monitored) -> None:
    """MOV-09, MON-20: support reads which session, since when, and the command to paste."""
    with stage.spoiled(NO_PAYOUT):
        assert monitored.after(0) == [WITHOUT_PAYOUT]
        said = stage.rows(
            "select o.payload, s.id, s.ended_at from private.outbox o, tests.row_of('paid') s"
            " where o.topic = 'support.alert' order by o.id desc limit 1"
        )[0]
        detail = said["payload"]["detail"]
        assert said["payload"]["to"] == "support@example.com"
        assert detail["session_id"] == detail["subject"] == str(said["id"])
        assert detail["command"] == f"select public.repair_money('{said['id']}');"
        assert detail["since"].startswith(said["ended_at"].strftime("%Y-%m-%dT%H:%M:%S"))


def test_the_monitor_audits_once_an_hour(stage: Stage, monitored: Monitored) -> None:
    """MOV-02, MOV-09: what no alert looks for is found within the hour, and told like one; while
    something is found, every run looks again.
    """
    with stage.spoiled(A_BALANCE):
        stage.run("update private.audits set audited_at = private.clock()")
        assert monitored.after(59) == []
        assert stage.review() == []
        assert monitored.after(1) == ["critical: Needs a person: ledger"]
        (found,) = stage.review()
        assert monitored.after(5) == []
        (still,) = stage.review()
        assert still["since"] == found["since"]
        stage.run(found["command"])
        assert stage.review() == []
        assert monitored.after(5) == ["info: Well again: ledger"]


def test_meanwhile_the_sections_that_found_something_look_again(
    stage: Stage, monitored: Monitored
) -> None:
    """MOV-09: until the hour is over the others wait; then they are told too."""
    with stage.spoiled(A_BALANCE):
        stage.run("update private.audits set audited_at = private.clock() - interval '1 hour'")
        assert monitored.after(0) == ["critical: Needs a person: ledger"]
        past_the_triggers(stage, AN_OPEN_ASSIGNMENT)
        past_the_triggers(stage, ANOTHER_ENTRY)
        assert monitored.after(55) == ["critical: Needs a person: ledger"]
        assert monitored.after(5) == ["critical: Needs a person: integrity"]


def test_an_audit_that_breaks_stops_nothing(stage: Stage, monitored: Monitored) -> None:
    """MOV-09: the monitor goes on, and what could not be verified is critical itself."""
    with stage.spoiled(f"{NO_PAYOUT}; drop function private.replay_difference(public.sessions)"):
        stage.run("update private.audits set audited_at = private.clock() - interval '1 hour'")
        assert sorted(monitored.after(0)) == [
            WITHOUT_PAYOUT,
            "critical: Needs a person: ledger",
            "critical: Needs a person: verification",
        ]


def test_a_warning_is_not_told(stage: Stage, monitored: Monitored) -> None:
    """MOV-09: only what is critical goes to support; a warning waits in the review."""
    with stage.spoiled(
        "update public.session_participants set first_joined_at = null"
        " where session_id = tests.session_of('paid') and role = 'customer'"
    ):
        stage.run("select private.audit()")
        assert [row["severity"] for row in stage.review()] == ["warning"]
        assert monitored.after(0) == []


def unpaid(world: World) -> None:
    """A completed session whose earning is gone."""
    world.advance(0)
    made = world.live_session()
    world.advance(70)
    world.call(made.customer, "end_session_with_semantics", p_session_id=made.id)
    spoiler = world.db.connect("supabase_admin")
    spoiler.execute("delete from public.mechanic_earnings where session_id = %s", (made.id,))


def told(world: World) -> list[str]:
    rows = world.rows(
        "select payload ->> 'subject' as subject from private.outbox"
        " where topic = 'support.alert' order by id"
    )
    return [row["subject"] for row in rows]


def test_two_monitors_tell_once(world: World) -> None:
    """MOV-09: the second one neither waits nor tells, nor takes for well what it has not seen."""
    unpaid(world)
    first = world.connect("service_role", autocommit=False)
    second = world.connect("service_role")
    call_on(first, "monitor_sessions")
    with meanwhile(lambda: call_on(second, "monitor_sessions")) as other:
        other.result(timeout=10)
        assert told(world) == []
        first.commit()
    assert told(world) == ["Needs a person: completed without payout"]


def test_many_monitors_tell_once(world: World) -> None:
    """MOV-09: eight at the same moment, again and again."""
    unpaid(world)
    monitors = [world.connect("service_role") for _ in range(8)]
    for _ in range(4):
        ends = race([(monitor, "monitor_sessions", {}) for monitor in monitors])
        assert ends.refusals == []
        world.advance(1)
    assert told(world) == ["Needs a person: completed without payout"]


def outcome(stage: Stage, who: str, statement: str) -> str:
    """How a statement ends that this person sends."""
    row = stage.connection.execute(
        "select tests.outcome(%s, %s) as outcome", (who, statement)
    ).fetchone()
    assert row is not None
    return str(row["outcome"])


@pytest.mark.parametrize("who", ["paid", "paid m", "anon"])
def test_others_see_nothing(stage: Stage, who: str) -> None:
    """MOV-08: neither customers nor mechanics nor strangers, not even of their own sessions."""
    with stage.spoiled(NO_PAYOUT):
        stage.run("select private.audit()")
        assert stage.review() != []
        for view in VIEWS:
            seen = outcome(
                stage,
                who,
                f"do $do$ begin if exists (select from public.{view})"
                " then raise exception 'seen'; end if; end $do$",
            )
            refused = f"42501 permission denied for view {view}"
            assert seen == (refused if who == "anon" else "ok"), view


FUNCTIONS = (
    "verify_session_end_logic()",
    "verify_replay()",
    "ledger_invariants()",
    "replay_session(gen_random_uuid())",
    "calculate_session_health_score()",
    "apply_semantic_fix()",
    "repair_money(gen_random_uuid())",
)


@pytest.mark.parametrize("who", ["paid", "paid m"])
def test_others_may_ask_for_nothing(stage: Stage, who: str) -> None:
    """MOV-08: every function of the monitoring but explain_session refuses them."""
    with stage.spoiled("select"):
        for call in FUNCTIONS:
            answer = outcome(stage, who, f"select * from public.{call}")
            assert answer == "PT403 role_required", call


@pytest.mark.parametrize("who", ["chief", "service_role", "system"])
def test_admins_and_the_system_see_it(stage: Stage, who: str) -> None:
    """MOV-08: the alert, the review and the verification."""
    with stage.spoiled(NO_PAYOUT):
        stage.run("select tests.admin('chief')")
        if who == "service_role":
            stage.run("select tests.act_as_role('service_role')")
        elif who == "chief":
            stage.run("select tests.act_as('chief')")
        assert stage.alerts() == {"completed_without_payout"}
        assert [row["kind"] for row in stage.review()] == ["completed_without_payout"]
        assert set(stage.sections()) == {5, 10}
        stage.run("select tests.be_system()")


def test_hours_in_which_nobody_did_anything(stage: Stage) -> None:
    """MOV-01, MOV-02: what a standstill left shows while it lasts; one round of the jobs later
    everything is well.
    """
    with stage.spoiled("select tests.advance(6 * 3600)"):
        assert set(stage.sections()) == {4, 11}
        assert stage.alerts() == {"live_past_deadline"}
        stage.run("select private.run_job(h.job) from private.job_health() h")
        assert stage.sections() == {}
        assert stage.alerts() == set()
        assert stage.review() == []


def test_a_clock_that_stands_still(world: World) -> None:
    """MOV-01: lives in which no time passes at all are well too."""
    world.advance(0)
    for _ in range(2):
        made = world.live_session()
        world.call(made.mechanic, "end_session_with_semantics", p_session_id=made.id)
        world.queued_session()
    world.rows("select private.run_job(h.job) from private.job_health() h")
    wrong = world.rows(
        "select section, detail from public.verify_session_end_logic() where status <> 'ok'"
    )
    assert wrong == []
    assert world.rows("select * from public.sessions_needing_review") == []


@pytest.mark.parametrize(
    ("minutes", "severity"), [(1, None), (3, "warning"), (9, "warning"), (10, "critical")]
)
def test_a_session_past_its_deadline(stage: Stage, minutes: int, severity: str | None) -> None:
    """MOV-02: two minutes are the tick's; ten are too many."""
    with stage.spoiled(
        f"update public.sessions set expires_at = tests.now() - interval '{minutes} minutes',"
        " started_at = tests.now() - interval '2 hours' where id = tests.session_of('live')"
    ):
        found = stage.rows("select session_id, severity from public.alert_live_past_deadline")
        live = stage.value("select tests.session_of('live')")
        expected = [] if severity is None else [{"session_id": live, "severity": severity}]
        assert found == expected


def test_an_alert_stays_after_support_was_told(stage: Stage) -> None:
    """MOV-02: that both are there and the meter stands is no better for the event that says so."""
    with stage.spoiled(
        "update public.session_participants set is_connected = true, left_at = null,"
        " first_joined_at = tests.now() - interval '140 seconds', last_seen_at = tests.now(),"
        " presence_check_at = tests.now() + interval '1 day'"
        " where session_id = tests.session_of('waiting')"
    ):
        before = stage.rows("select * from public.alert_both_present_not_live")
        stage.run("select private.run_job('monitor-sessions')")
        assert (
            "support_alerted"
            in stage.rows("select tests.events_of('waiting') as types")[0]["types"]
        )
        assert stage.rows("select * from public.alert_both_present_not_live") == before != []


def rates(stage: Stage) -> set[tuple[str, bool]]:
    """Which rates are out of bounds, and whether it is one mechanic's."""
    found = stage.rows("select detail from public.alert_rates")
    return {(row["detail"]["rate"], "mechanic_id" in row["detail"]) for row in found}


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("health_no_show_bps", 0, {("no_shows", False)}),
        ("health_expired_bps", 0, {("expired", False)}),
        ("health_min_completion_bps", 10000, {("completed", False)}),
        ("health_min_completion_bps", 5000, set()),
        ("health_no_show_bps", 5000, set()),
    ],
)
def test_rates_out_of_bounds(
    stage: Stage, setting: str, value: int, expected: set[tuple[str, bool]]
) -> None:
    """MOV-02: each is held against its own setting."""
    with stage.spoiled("select"):
        assert rates(stage) == set()
        stage.run(f"select public.set_setting('{setting}', '{value}')")
        assert rates(stage) == expected


def test_a_mechanic_who_does_not_come(stage: Stage) -> None:
    """MOV-02: no-shows of one mechanic, from health_min_total sessions on."""
    with stage.spoiled(
        "update public.sessions set end_reason = 'mechanic_no_show'"
        " where id = tests.session_of('absent')"
    ):
        stage.run("select public.set_setting('health_no_show_bps', '5000')")
        assert rates(stage) == set()
        stage.run("select public.set_setting('health_min_total', '1')")
        assert rates(stage) == {("no_shows", True)}
        (found,) = stage.rows(
            "select detail, tests.id('absent m') as mechanic from public.alert_rates"
        )
        assert found["detail"]["mechanic_id"] == str(found["mechanic"])
        assert (found["detail"]["total"], found["detail"]["bps"]) == (1, 10000)
