"""A thousand random lives, and whoever watches over them stays silent.

The lives are played inside the database by the helpers of the pgTAP tests, as a handful of
customers and mechanics would: free, on credit or paid, given back, missed, interrupted, extended,
forgotten, refunded. The same seed plays the same lives.
"""

from __future__ import annotations

from typing import LiteralString

import pytest

from support.database import Database
from support.world import Connection
from taximeter.stack.postgres import CHECKOUT

HELPERS = ("world.sql", "world_around.sql", "world_settling.sql")
SEEDS = (0.1, 0.2, 0.3, 0.4)
LIVES = 250
# Of one transaction.
BATCH = 50

PEOPLE: LiteralString = """
do $$
begin
  -- The clock ends behind the real one: messages are as old as they are.
  perform tests.stop_clock(date_trunc('second', now()) - interval '30 days');
  perform public.set_setting('free_sessions_per_customer', '100000');
  -- Whether there were too many of them is for the operator to say.
  perform public.set_setting('health_no_show_bps', '10000');
  perform public.set_setting('health_expired_bps', '10000');
  for v_number in 1..8 loop
    perform tests.person('customer ' || v_number), tests.mechanic('mechanic ' || v_number);
    if v_number <> 1 then
      perform tests.has_account('mechanic ' || v_number);
    end if;
  end loop;
  update public.mechanics set referred_by = tests.id('mechanic 2')
  where id in (tests.id('mechanic 3'), tests.id('mechanic 4'));
end
$$
"""

LIFE: LiteralString = """
create function tests.below(p_number integer) returns integer
language sql volatile
as $$ select floor(random() * p_number)::integer $$;

create function tests.random_life(p_number integer) returns void
language plpgsql
as $$
declare
  v_customer text := 'customer ' || 1 + tests.below(8);
  v_mechanic text := 'mechanic ' || 1 + tests.below(8);
  v_plan text := case when random() < 0.5 then 'chat10' else 'video15' end;
  v_dice double precision := random();
  v_who text;
  v_extension uuid;
  v_session uuid;
  v_status public.session_status;
begin
  if v_dice < 0.3 then
    perform tests.queue(v_customer, v_plan);
  elsif v_dice < 0.5 then
    perform public.grant_credit(tests.id(v_customer), 1500, 'usd', 'for ' || p_number);
    perform tests.do_as(
      v_customer, format('select public.create_session(%L, p_funding => ''credit'')', v_plan)
    );
  else
    perform tests.pay(v_customer, v_plan, null, p_number::text);
  end if;
  v_session := tests.session_of(v_customer);
  perform tests.advance(tests.below(60));

  v_dice := random();
  if v_dice < 0.06 then
    perform tests.finish_session(v_customer, v_customer);
    return;
  elsif v_dice < 0.1 then
    perform tests.advance(7300);
    perform public.expire_orphaned_sessions();
    return;
  end if;
  perform tests.accept(v_mechanic, v_customer);
  perform tests.advance(tests.below(60));
  if random() < 0.1 then
    perform tests.do_as(
      v_mechanic, format('select public.release_assignment(%L)', tests.assignment_of(v_customer))
    );
    v_mechanic := 'mechanic ' || (1 + (split_part(v_mechanic, ' ', 2)::integer % 8));
    perform tests.accept(v_mechanic, v_customer);
  end if;

  v_dice := random();
  if v_dice < 0.05 then
    perform tests.finish_session(v_mechanic, v_customer);
    return;
  elsif v_dice < 0.15 then
    v_who := case when v_dice < 0.1 then v_mechanic else v_customer end;
    perform tests.join(v_who, v_customer);
    for v_minute in 1..6 loop
      perform tests.advance(60);
      perform tests.heartbeat(v_who, v_customer);
    end loop;
    perform tests.finish_session('system', v_customer);
    return;
  end if;
  perform tests.join(v_customer, v_customer);
  perform tests.advance(tests.below(20));
  perform tests.join(v_mechanic, v_customer);
  perform tests.together_for(v_mechanic, v_customer, tests.below(90));
  v_dice := random();
  if v_dice < 0.2 then
    perform tests.leave(v_customer, v_customer);
    perform tests.advance(tests.below(60));
    if v_dice < 0.15 then
      perform tests.join(v_customer, v_customer);
    end if;
  elsif v_dice < 0.35 then
    perform tests.act_as(v_customer);
    select x.id into v_extension from public.request_extension(v_session, 15) as x;
    perform tests.be_system();
    if v_dice < 0.3 then
      perform tests.charged(
        v_customer, 'more ' || p_number, 500,
        jsonb_build_object('mode', 'extension', 'extension_id', v_extension), 'usd'
      );
    end if;
  end if;

  v_dice := random();
  if v_dice < 0.6 then
    v_who := case when v_dice < 0.3 then v_mechanic else v_customer end;
    perform tests.finish_session(v_who, v_customer);
  else
    -- Silence, and at last the tick.
    perform tests.advance(4000);
    perform public.tick_sessions();
  end if;
  perform tests.advance(tests.below(600));
  select s.status into v_status from public.sessions as s where s.id = v_session;
  if v_status = 'completed' and random() < 0.3 then
    perform tests.sum_up(v_mechanic, v_customer);
  end if;
  if (select t.share_cents from private.settlements as t where t.session_id = v_session) > 0 then
    v_dice := random();
    if v_dice < 0.1 then
      perform tests.session_refund(v_customer, 'a part', 1 + tests.below(900));
    elsif v_dice < 0.15 then
      perform tests.session_refund(v_customer, 'all');
    end if;
  end if;
end
$$
"""

# What runs every few seconds or minutes in production.
WORK: LiteralString = """
do $$
begin
  perform private.run_job(h.job) from private.job_health() as h;
  for v_round in 1..3 loop
    perform tests.dispatch();
    perform tests.stripe_says(t.topic)
    from (select distinct o.topic from private.outbox as o where o.status = 'leased') as t;
  end loop;
end
$$
"""


def play(connection: Connection, first: int, lives: int, seed: float) -> None:
    """So many lives in one transaction; the clock goes on from where it was."""
    with connection.transaction():
        connection.execute("select setseed(%s)", (seed,))
        for number in range(first, first + lives):
            connection.execute("select tests.random_life(%s)", (number,))
        connection.execute(WORK)
        found = connection.execute("select tests.now()::text as now").fetchone()
        assert found is not None
    connection.execute("select set_config('tests.now', %s, false)", (found["now"],))


def alarms(connection: Connection) -> dict[str, list[object]]:
    """Everything that anybody who watches would say."""
    watchers: tuple[LiteralString, ...] = (
        "select section, name, detail from public.verify_session_end_logic() where status <> 'ok'",
        "select * from public.verify_replay()",
        "select * from public.ledger_invariants()",
        "select kind, session_id, subject, detail from public.sessions_needing_review",
        "select session_id, detail from public.alert_rates",
        "select * from public.apply_semantic_fix()",
    )
    found: dict[str, list[object]] = {}
    for watcher in watchers:
        if rows := connection.execute(watcher).fetchall():
            found[watcher] = [*rows]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_random_lives_raise_no_alarm(db: Database, seed: float) -> None:
    """MOV-01, MOV-02, MOV-05, MOV-06, MON-03: 1,000 lives in four rounds: verification, alerts,
    review, replay, invariants and the semantic fix find nothing."""
    connection = db.connect()
    connection.execute("create extension pgtap with schema extensions")
    for name in HELPERS:
        script = (CHECKOUT / "sql" / "tests" / "helpers" / name).read_text()
        # pgTAP plans once a connection.
        db.connect().execute(script.encode())
    with connection.transaction():
        connection.execute(PEOPLE)
        connection.execute(LIFE)
        now = connection.execute("select tests.now()::text as now").fetchone()
        assert now is not None
    connection.execute("select set_config('tests.now', %s, false)", (now["now"],))
    for batch in range(LIVES // BATCH):
        play(connection, batch * BATCH, BATCH, seed + batch / 100)
        assert alarms(connection) == {}
    ends = connection.execute(
        "select status::text, count(*) from public.sessions group by 1 order by 1"
    ).fetchall()
    assert sum(row["count"] for row in ends) == LIVES
    assert {row["status"] for row in ends} >= {"completed", "cancelled", "expired", "refunded"}
