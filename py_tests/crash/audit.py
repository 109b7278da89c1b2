"""What has to be true of a database whenever nobody is at work in it.

`LAWS` list what is half done: state without its money, money without its state. `TRACES` tell of
single commands, each by a key, whether they are there and whether they are there as a whole.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import LiteralString

from crash.outside import Note, Notebook, Outside
from support.world import World, call_on

_PROOFS: LiteralString = """
e.type in ('checkout.session.completed', 'payment_intent.succeeded') and e.status = 'processed'
"""

# Each returns a row for every violation.
LAWS: dict[str, LiteralString] = {
    "the ledger's invariants hold": "select * from public.ledger_invariants()",
    "an event of Stripe is done or was never there": (
        "select id, status, error from private.stripe_events"
        " where status not in ('processed', 'ignored')"
    ),
    "a payment, its proof, its money and its use are one": f"""
        select p.id, p.rank, p.applied_to
        from private.payments p
        where array[p.rank >= 'paid', p.applied_to is not null] <> array_fill(exists (
            select from private.ledger_transfers t where t.key = 'payment:' || p.id
          ), array[2])
          or (p.received_at is not null) <> exists (
            select from private.stripe_events e
            where {_PROOFS} and p.payment_intent_id = coalesce(
              e.payload -> 'data' -> 'object' ->> 'payment_intent',
              e.payload -> 'data' -> 'object' ->> 'id'
            )
          )
    """,
    "a proof has its payment": f"""
        select e.id
        from private.stripe_events e
        where {_PROOFS} and not exists (
          select from private.payments p
          where p.received_at is not null and p.payment_intent_id = coalesce(
            e.payload -> 'data' -> 'object' ->> 'payment_intent',
            e.payload -> 'data' -> 'object' ->> 'id'
          )
        )
    """,
    "a paid checkout, its session and its hold are one": """
        select i.id, i.status, p.applied_to
        from public.checkout_intents i
        left join private.payments p on p.purpose = 'session' and p.purpose_id = i.id
        left join private.ledger_transfers t on t.key = 'hold:' || p.id
        left join public.sessions s on s.id = i.session_id and s.funding = 'paid'
        where array[
          coalesce(p.applied_to = 'session', false), s.id is not null, t.id is not null
        ] <> array_fill(i.status = 'paid', array[3])
          or i.session_id <> all (array[p.session_id, t.session_id])
    """,
    "an extension, its minutes and its hold are one": """
        select s.id, s.duration_minutes, l.minutes
        from public.sessions s
        join public.plans n on n.slug = s.plan
        cross join lateral (
          select coalesce(sum(x.minutes) filter (where x.status = 'applied'), 0) as minutes,
            count(*) filter (where x.status = 'applied') as applied,
            count(*) filter (where x.status like 'refund%%') as refunded,
            count(*) filter (where p.applied_to = 'extension') as paid,
            count(*) filter (where p.applied_to = 'refund') as given_back,
            count(t.id) as held
          from public.session_extensions x
          left join private.payments p on p.purpose = 'extension' and p.purpose_id = x.id
          left join private.ledger_transfers t on t.key = 'hold:' || p.id and t.session_id = s.id
          where x.session_id = s.id
        ) l
        cross join lateral (
          select count(*) as events
          from public.session_events e
          where e.session_id = s.id and e.type = 'extended'
        ) v
        where s.duration_minutes <> n.duration_minutes + l.minutes
          or array[l.paid, l.held, v.events] <> array_fill(l.applied, array[3])
          or l.refunded <> l.given_back
          or s.expires_at <> s.started_at + make_interval(mins => s.duration_minutes)
    """,
    "what is held is what was paid": """
        select s.id, s.status, h.cents, w.cents as paid
        from public.sessions s
        left join private.settlements t on t.session_id = s.id
        cross join lateral (
          select coalesce(t.held_cents, private.held(s.id, s.currency)) as cents
        ) h
        cross join lateral (
          select case s.funding when 'credit' then s.price_cents else 0 end
            + coalesce(sum(p.amount_cents), 0) as cents
          from private.payments p
          where p.session_id = s.id and p.applied_to in ('session', 'extension')
        ) w
        where h.cents <> w.cents
    """,
    "an end is whole": """
        select s.id, s.status
        from public.sessions s
        where array[
          exists (select from private.settlements t where t.session_id = s.id),
          exists (
            select from public.session_events e where e.session_id = s.id and e.type = 'ended'
          ),
          exists (
            select from public.session_assignments a
            where a.session_id = s.id and a.closed_at is not null
          )
        ] <> array_fill(s.status >= 'completed', array[3])
          or s.status >= 'completed' and exists (
            select from public.session_participants p where p.session_id = s.id and p.is_connected
          )
    """,
    "a session and its events are one": """
        select s.id, s.version
        from public.sessions s
        where array[s.version::text, s.version::text, s.status::text] is distinct from (
          select array[
            max(e.version)::text, count(distinct e.version)::text,
            (array_agg(e.payload ->> 'to' order by e.id desc) filter (where e.payload ? 'to'))[1]
          ]
          from public.session_events e
          where e.session_id = s.id
        )
    """,
    "a refund, its money and its effect are one": """
        select r.id, r.status, o.status as effect
        from private.refunds r
        full join private.outbox o on o.key = 'refund:' || r.key
        left join private.ledger_transfers asked on asked.key = 'refund:' || r.key
        left join private.ledger_transfers done on done.key = 'refunded:' || r.key
        where (o.topic = 'stripe.refund' or r.id is not null) and (
          r.id is null or o.id is null or asked.id is null
          or (r.status = 'succeeded') <> (done.id is not null)
          or r.status = 'requested' and o.result ->> 'status' = 'succeeded'
        )
    """,
    "a refund by an admin is whole": """
        select r.session_id, r.key
        from private.session_refunds r
        where r.to_card_cents <> (
            select coalesce(sum(f.amount_cents), 0)
            from private.refunds f
            where f.key like r.session_id || ':' || r.key || ':%%'
          )
          or not exists (
            select from private.ledger_transfers t
            where t.key = 'take_back:' || r.session_id || ':' || r.key
          )
          or not exists (
            select from public.session_events e
            where e.session_id = r.session_id and e.payload ->> 'key' = r.key
          )
    """,
    "a payout and its transfer are one": """
        select p.id, p.status, o.status as effect
        from public.payouts p
        full join private.outbox o on o.key = 'payout:' || p.id
        left join private.ledger_transfers t on t.key = 'payout:' || p.id
        where (o.topic = 'stripe.transfer' or p.id is not null) and (
          p.id is null
          or (p.status in ('pending', 'blocked')) = (o.id is not null)
            and p.status <> 'cancelled'
          or (p.stripe_transfer_id is not null) <> (t.id is not null)
          or o.result ? 'id' and p.stripe_transfer_id is null
        )
    """,
    "no job has failed": "select job, error from private.job_runs where error is not null",
    "no session was left by a job": "select * from private.session_failures",
}

# By kind, for keys: whether the command is there, and whether all of it is (or nothing).
TRACES: dict[str, LiteralString] = {
    "checkout": """
        select k.key, i.id is not null as own, true as whole
        from unnest(%s::text[]) k (key)
        left join public.checkout_intents i on i.idempotency_key = k.key
    """,
    "record": """
        select k.key, p.id is not null as own,
          (p.id is not null) = (i.id is not null) or p.purpose = 'extension' as whole
        from unnest(%s::text[]) k (key)
        left join private.payments p on p.checkout_session_id = k.key
        left join public.checkout_intents i on i.stripe_checkout_session_id = k.key
    """,
    "grant": """
        select k.key, t.id is not null as own,
          (t.id is not null) = exists (
            select from private.ops_log l
            where l.kind = 'credit.granted' and l.detail ->> 'key' = k.key
          ) as whole
        from unnest(%s::text[]) k (key)
        left join private.ledger_transfers t on t.key = 'grant:' || k.key
    """,
    "account": """
        select k.key, a.user_id is not null as own,
          (a.user_id is not null) = exists (
            select from private.ops_log l
            where l.kind = 'stripe_account.set' and l.detail ->> 'mechanic_id' = k.key
          )
          and not exists (
            select from public.payouts p where p.user_id = a.user_id and p.blocked_by = 'account'
          ) as whole
        from unnest(%s::text[]) k (key)
        left join private.stripe_accounts a on a.user_id = k.key::uuid
    """,
    "accept": """
        select k.key, s.mechanic_id is not null as own,
          array[
            a.mechanic_id is not null,
            exists (
              select from public.session_participants p
              where p.session_id = s.id and p.role = 'mechanic'
            ),
            exists (
              select from public.session_events e
              where e.session_id = s.id and e.type = 'accepted'
            )
          ] = array_fill(s.mechanic_id is not null, array[3]) as whole
        from unnest(%s::text[]) k (key)
        left join public.sessions s on s.id = k.key::uuid
        left join public.session_assignments a on a.session_id = s.id
    """,
    "join": """
        select k.key, p.first_joined_at is not null as own,
          (p.first_joined_at is not null) = exists (
            select from public.session_events e
            where e.session_id = p.session_id and e.type = 'joined' and e.actor_id = p.user_id
          ) as whole
        from unnest(%s::text[]) k (key)
        left join public.session_participants p
          on p.session_id = split_part(k.key, ' ', 1)::uuid
          and p.user_id = split_part(k.key, ' ', 2)::uuid
    """,
    "version": """
        select k.key, e.id is not null and s.version >= e.version as own, true as whole
        from unnest(%s::text[]) k (key)
        left join public.sessions s on s.id = split_part(k.key, ' ', 1)::uuid
        left join public.session_events e
          on e.session_id = s.id and e.version = split_part(k.key, ' ', 2)::bigint
    """,
    "extension": """
        select k.key, exists (
            select from public.session_extensions x
            where x.session_id = split_part(k.key, ' ', 1)::uuid
              and x.minutes = split_part(k.key, ' ', 2)::integer
          ) as own, true as whole
        from unnest(%s::text[]) k (key)
    """,
    "event": """
        select k.key, e.id is not null as own,
          coalesce(e.status in ('processed', 'ignored'), true) as whole
        from unnest(%s::text[]) k (key)
        left join private.stripe_events e on e.id = k.key
    """,
    "end": """
        select k.key, s.status >= 'completed' as own,
          coalesce(s.status >= 'completed', false) = (t.session_id is not null) as whole
        from unnest(%s::text[]) k (key)
        left join public.sessions s on s.id = k.key::uuid
        left join private.settlements t on t.session_id = s.id
    """,
    "refund": """
        select k.key, r.id is not null as own,
          array[
            exists (
              select from private.ledger_transfers t
              where t.key = 'take_back:' || replace(k.key, ' ', ':')
            ),
            exists (
              select from private.ledger_transfers t
              where t.key like 'refund:' || replace(k.key, ' ', ':') || ':%%'
                or t.key = 'give_back:' || replace(k.key, ' ', ':')
            ),
            exists (
              select from public.session_events e
              where e.session_id = split_part(k.key, ' ', 1)::uuid
                and e.type in ('refunded', 'partly_refunded')
                and e.payload ->> 'key' = split_part(k.key, ' ', 2)
            )
          ] = array_fill(r.id is not null, array[3]) as whole
        from unnest(%s::text[]) k (key)
        left join private.session_refunds r
          on r.session_id = split_part(k.key, ' ', 1)::uuid and r.key = split_part(k.key, ' ', 2)
    """,
    "claim": """
        select k.key, o.attempts >= split_part(k.key, ' ', 2)::integer as own, true as whole
        from unnest(%s::text[]) k (key)
        left join private.outbox o on o.id = split_part(k.key, ' ', 1)::bigint
    """,
    "complete": """
        select k.key,
          o.status = 'done' and o.result ->> 'lease' = split_part(k.key, ' ', 2) as own,
          coalesce(o.status <> 'done' or o.lease_token is null and o.done_at is not null, true)
            as whole
        from unnest(%s::text[]) k (key)
        left join private.outbox o on o.id = split_part(k.key, ' ', 1)::bigint
    """,
}

# What a replay must not touch: every row version of all that money and sessions consist of.
_TOUCHED_BY_REPLAYS = ("private.stripe_events", "private.job_runs")

_TABLES: LiteralString = """
select format('%%I.%%I', n.nspname, c.relname) as name
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname in ('public', 'private')
order by 1
"""

_CHECKS: LiteralString = """
select string_agg(format(
  'select %%L as name where exists (select from %%s where not (%%s))',
  r.conrelid::regclass || ': ' || r.conname, r.conrelid::regclass,
  pg_get_expr(r.conbin, r.conrelid)
), ' union all ') as query
from pg_constraint r
join pg_class c on c.oid = r.conrelid
join pg_namespace n on n.oid = c.relnamespace
where r.contype = 'c' and n.nspname in ('public', 'private')
"""


Fingerprint = dict[str, tuple[int, int]]


class ViolationError(AssertionError):
    """Something was lost, or is there by half."""


@dataclass
class Findings:
    """What became of commands that were cut off."""

    there: int = 0
    not_there: int = 0


def audit(world: World, notebook: Notebook) -> Findings:
    """Holds the database against its laws, and against what clients were told."""
    broken = {law: rows for law, query in LAWS.items() if (rows := world.rows(query))}
    if broken:
        raise ViolationError(f"half done: {broken}")
    query = world.row(_CHECKS)["query"].replace("%", "%%")
    if rows := world.rows(query):
        raise ViolationError(f"states that a CHECK forbids: {rows}")

    cut = notebook.take_cut()
    findings, lost = Findings(), []
    for kind, keys in by_kind(notebook.told | cut).items():
        for row in world.rows(TRACES[kind], keys):
            note = kind, str(row["key"])
            if note in notebook.told and not row["own"]:
                lost.append(note)
            if not row["whole"]:
                raise ViolationError(f"there by half: {note}")
            if note in cut:
                findings.there += bool(row["own"])
                findings.not_there += not row["own"]
    if lost:
        raise ViolationError(f"acknowledged and lost: {lost}")
    return findings


def by_kind(notes: Iterable[Note]) -> dict[str, list[str]]:
    kinds: defaultdict[str, list[str]] = defaultdict(list)
    for kind, key in notes:
        kinds[kind].append(key)
    return kinds


def replay(world: World, outside: Outside, names: Iterable[str], chance: random.Random) -> int:
    """Delivers webhooks again: the first time completes what was cut, the second changes nothing.
    Afterwards no money is missing that Stripe has taken. Returns how many were completed."""
    connection = world.connect("service_role")
    shuffled = list(names)
    before: Fingerprint = {}
    completed = 0
    for number in range(2):
        chance.shuffle(shuffled)
        for name in shuffled:
            answer = call_on(connection, "ingest_stripe_event", p_event=outside.events[name])[0][
                "ingest_stripe_event"
            ]
            if answer["status"] not in {"processed", "ignored"}:
                raise ViolationError(f"{name} was replayed: {answer}")
            completed += not answer["duplicate"]
            if number > 0 and not answer["duplicate"]:
                raise ViolationError(f"{name} was forgotten after its replay")
        after = fingerprint(world)
        if number > 0 and after != before:
            raise ViolationError(
                f"the second replay changed {[t for t in after if after[t] != before[t]]}"
            )
        before = after
    received = {
        row["payment_intent_id"]: row["amount_cents"]
        for row in world.rows(
            "select payment_intent_id, amount_cents from private.payments"
            " where received_at is not null"
        )
    }
    delivered = {
        str(described.get("payment_intent") or described["id"])
        for event in (outside.events[name] for name in shuffled)
        if event["type"] in {"checkout.session.completed", "payment_intent.succeeded"}
        for described in [event["data"]["object"]]
    }
    paid = outside.paid
    if received.items() - paid.items():
        raise ViolationError("money was received that nobody paid")
    if missing := (paid.keys() & delivered) - received.keys():
        raise ViolationError(f"paid, proved and not received: {missing}")
    return completed


def compare_books(world: World, outside: Outside) -> int:
    """When nothing is left to be done: what is recorded here is what happened there."""
    effects = world.rows("select key, topic, status, result from private.outbox")
    lost = [
        row["key"]
        for row in effects
        if outside.arrived[row["key"]] == 0 and "resolved" not in (row["result"] or {})
    ]
    if lost or outside.arrived.keys() - {row["key"] for row in effects}:
        raise ViolationError(f"effects that never arrived, or that nobody asked for: {lost}")
    if outside.sent_twice or any(times > 1 for times in outside.recorded.values()):
        raise ViolationError(f"sent under two keys: {outside.sent_twice}, or recorded twice")
    refunded = world.rows(
        "select payment_intent_id as name, refunded_cents as cents from private.payments"
        " where refunded_cents > 0"
    )
    paid_out = world.rows(
        "select stripe_transfer_id as name, amount_cents as cents from public.payouts"
        " where stripe_transfer_id is not null"
    )
    for recorded, happened in (
        (refunded, outside.refunded),
        (paid_out, outside.transferred),
    ):
        if {row["name"]: row["cents"] for row in recorded} != happened:
            raise ViolationError(f"the books differ: {recorded}, {happened}")
    here = world.row("select private.balance('stripe', 'usd') as cents")["cents"]
    there = outside.stripe.balance["usd"]
    if here != -there:
        raise ViolationError(f"Stripe has {there}, the ledger {here}")
    return len(effects)


def fingerprint(world: World) -> Fingerprint:
    """The rows and row versions of every table: any write shows."""
    found: Fingerprint = {}
    for row in world.rows(_TABLES):
        if row["name"] not in _TOUCHED_BY_REPLAYS:
            seen = world.row(_versions(row["name"]))
            found[row["name"]] = (seen["count"], seen["versions"])
    return found


def _versions(table: str) -> LiteralString:
    return (
        "select count(*), coalesce(sum(hashtext(t.ctid::text || ' ' || t.xmin::text)), 0)"
        f" as versions from {table} t"
    )
