"""Plays commands of money on a real database, and reads all the money of a script in one trip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

from psycopg.types.json import Jsonb

from properties.model import Call
from properties.money_model import REFERRERS, Event, MoneyRules
from properties.player import BrokenError, Player, Told
from support.world import World

_HELPERS: tuple[LiteralString, ...] = (
    """
    create function play.money() returns jsonb
    language plpgsql as $$
    begin
      return jsonb_build_object(
        'sessions', (
          select coalesce(jsonb_agg(
            to_jsonb(s) || jsonb_build_object('assignment_id', a.id) order by s.created_at
          ), '[]')
          from public.sessions s
          join public.session_assignments a on a.session_id = s.id
        ),
        'balances', (
          select coalesce(jsonb_agg(jsonb_build_object(
            'account', b.name, 'currency', b.currency, 'cents', b.cents, 'stored', b.balance_cents
          )), '[]')
          from (
            select a.name, a.currency, a.balance_cents, sum(e.amount_cents) as cents
            from private.ledger_accounts a
            join private.ledger_entries e on e.account_id = a.id
            group by a.id
          ) b
        ),
        'payments', (
          select coalesce(jsonb_agg(to_jsonb(p) order by p.created_at), '[]')
          from private.payments p
        ),
        'refunds', (
          select coalesce(jsonb_agg(to_jsonb(r) order by r.created_at), '[]') from private.refunds r
        ),
        'intents', (
          select coalesce(jsonb_agg(to_jsonb(i) order by i.created_at), '[]')
          from public.checkout_intents i
        ),
        'extensions', (
          select coalesce(jsonb_agg(to_jsonb(e) order by e.created_at), '[]')
          from public.session_extensions e
        ),
        'quotes', (
          select coalesce(jsonb_agg(to_jsonb(q) order by q.created_at), '[]')
          from public.repair_quotes q
        ),
        'payouts', (select coalesce(jsonb_agg(to_jsonb(p)), '[]') from public.payouts p),
        'earnings', (select coalesce(jsonb_agg(to_jsonb(e)), '[]') from public.mechanic_earnings e),
        'reviews', (
          select coalesce(jsonb_agg(distinct r.session_id), '[]')
          from private.session_reviews r where r.resolved_at is null
        ),
        'outbox', (
          select coalesce(jsonb_agg(jsonb_build_object(
            'key', o.key, 'topic', o.topic, 'id', o.id, 'status', o.status, 'payload', o.payload,
            'attempts', o.attempts, 'resolved', o.result ->> 'resolved'
          ) order by o.id), '[]')
          from private.outbox o
          where o.topic like 'stripe.%'
        ),
        'failed', (
          select coalesce(jsonb_agg(jsonb_build_object('id', e.id, 'error', e.error)), '[]')
          from private.stripe_events e where e.status = 'failed'
        ),
        'violations', (
          select coalesce(jsonb_agg(to_jsonb(v)), '[]') from public.ledger_invariants() v
        )
      );
    end
    $$
    """,
    """
    create function play.settled_money() returns jsonb
    language plpgsql as $$
    declare
      v_tick jsonb;
      v_money jsonb;
    begin
      begin
        v_tick := public.tick_sessions(p_limit => 500, p_seconds => 60);
        set constraints all immediate;
        set constraints all deferred;
        v_money := play.money() || jsonb_build_object('tick', v_tick);
        raise exception 'undone' using errcode = 'UNDON';
      exception when sqlstate 'UNDON' then null;
      end;
      return v_money;
    end
    $$
    """,
    """
    create function play.money_step(p_now text, p_role text, p_claims text, p_query text)
    returns jsonb
    language plpgsql as $$
    declare
      v_answer jsonb;
    begin
      perform set_config('play.now', p_now, true);
      v_answer := play.call(p_role, p_claims, p_query);
      return jsonb_build_object(
        'answer', v_answer, 'money', play.settled_money(),
        'violations', (select count(*) from public.ledger_invariants())
      );
    end
    $$
    """,
    # Nobody calls it but the schedule.
    """
    create function play.job() returns jsonb
    language plpgsql security definer as $$
    begin
      return private.run_job('dispatch-outbox');
    end
    $$
    """,
    "grant usage on schema play to service_role",
    # Payouts due at the same moment go out in the order of their ids: here no chance.
    "create sequence play.ids",
    """
    alter table public.payouts alter column id
    set default lpad(to_hex(nextval('play.ids')), 32, '0')::uuid
    """,
)


@dataclass(frozen=True)
class Claim:
    """A claimed row of the outbox, as far as a worker needs it."""

    id: int
    key: str
    token: str


class MoneyPlayer(Player):
    """The player of the lifecycle, for commands of money."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        for statement in _HELPERS:
            self.connection.execute(statement)
        # By kind and name, and the name of each id; keys and rows of the outbox by name.
        self.ids_of: dict[tuple[str, str], str] = {}
        self.name_of: dict[str, str] = {}
        self.keys: dict[str, str] = {}
        self.rows: dict[str, int] = {}
        self.claims: dict[int, Claim] = {}

    def begin_money(self, rules: MoneyRules, policy: tuple[int, int]) -> None:
        self.begin(rules)
        self.ids_of, self.keys, self.rows, self.claims = {}, {}, {}, {}
        self.name_of = dict(self.names)
        for mechanic, referrer in REFERRERS.items():
            self.connection.execute(
                "update public.mechanics set referred_by = %s where id = %s",
                (self.people[referrer], self.people[mechanic]),
            )
        self.connection.execute(
            "update private.refund_policies set refund_bps = %s, mechanic_bps = %s where reason in"
            " ('cancelled_by_customer', 'cancelled_by_mechanic', 'too_short')",
            policy,
        )

    # calls

    def money_step(self, call: Call) -> tuple[Told, dict[str, Any]]:
        """Plays a call, and all the money as a tick would leave it."""
        self.calls += 1
        found = self.connection.execute(
            "select play.money_step(%s, %s, %s, %s) as found",
            (call.at.isoformat(), *self._caller(call.actor), self._query(call)),
        ).fetchone()
        assert found is not None
        step = found["found"]
        if step["violations"]:
            raise BrokenError(f"{step['violations']} invariants are violated before a tick")
        told = Told.of(step["answer"])
        if told.state is not None and not told.state.startswith("PT"):
            raise BrokenError(f"{call}\n{told.state} {told.code}: {told.detail}")
        return told, self._read(step["money"])

    def complete(self, claim: Claim, result: Mapping[str, Any]) -> None:
        """The end of a row that is none of the model's."""
        self.connection.execute(
            "select public.complete_outbox(%s, %s, %s)", (claim.id, claim.token, Jsonb(result))
        )

    def fail(self, claim: Claim) -> None:
        self.connection.execute(
            "select public.fail_outbox(%s, %s, 'there is no transfer yet')", (claim.id, claim.token)
        )

    def _query(self, call: Call) -> str:
        if call.command == "submit_payouts":
            return "select * from play.job()"
        return super()._query(call)

    def _parameters(self, call: Call) -> dict[str, Any]:
        given = dict(call.arguments)
        match call.command:
            case "create_session":
                return super()._parameters(call) | {"p_funding": given.get("funding", "free")}
            case "request_checkout":
                return {"p_plan": given["plan"]}
            case "request_extension" | "refund_session" | "escalate_quote" | "resolve_review":
                found = super()._parameters(call)
                named = {"minutes": "p_minutes", "key": "p_key", "amount": "p_amount_cents"}
                found |= {named[name]: value for name, value in given.items()}
                if call.command == "escalate_quote":
                    found["p_description"] = "new brakes"
                return found
            case "record_checkout":
                return {
                    "p_purpose": given["purpose"],
                    "p_purpose_id": self._order(given),
                    "p_checkout_session_id": f"cs_{given['payment']}",
                }
            case "ingest_stripe_event":
                return {"p_event": Jsonb(self._event(given["event"], call.at))}
            case "grant_credit":
                return {
                    "p_user_id": str(self.people[given["user"]]),
                    "p_amount_cents": given["cents"],
                    "p_currency": "usd",
                    "p_key": given["key"],
                }
            case "set_plan":
                return {
                    "p_slug": given["plan"],
                    "p_price_cents": given["price"],
                    "p_is_active": given["is_active"],
                }
            case "set_extension_option":
                return {"p_minutes": given["minutes"], "p_price_cents": given["price"]}
            case "set_setting":
                return {"p_key": given["setting"], "p_value": Jsonb(given["value"])}
            case "set_stripe_account":
                mechanic = given["mechanic"]
                account = f"acct_{mechanic.replace(' ', '')}"
                return {"p_mechanic_id": str(self.people[mechanic]), "p_account": account}
            case "claim_outbox":
                return {"p_worker": "worker", "p_limit": 100, "p_lease_seconds": given["seconds"]}
            case "complete_outbox" | "fail_outbox":
                claim = self.claims[given["lease"]]
                found = {"p_id": claim.id, "p_lease_token": claim.token}
                if call.command == "complete_outbox":
                    return found | {"p_result": Jsonb(given["result"])}
                return found | {"p_error": "no", "p_ambiguous": given["is_ambiguous"]}
            case "requeue_outbox":
                return {"p_id": self.rows[given["row"]]}
            case "resolve_payout":
                return {
                    "p_payout_id": self.ids_of["payout", given["payout"]],
                    "p_action": given["action"],
                    "p_stripe_transfer_id": given["transfer"],
                }
            case "resolve_payment":
                return {
                    "p_payment_id": self.ids_of["payment", given["payment"]],
                    "p_action": given["action"],
                }
            case "refund_payment":
                return {
                    "p_payment_id": self.ids_of["payment", given["payment"]],
                    "p_key": given["key"],
                    "p_amount_cents": given["amount"],
                }
            case "decide_quote":
                quote = self.ids_of["quote", str(given["quote"])]
                return {"p_quote_id": quote, "p_approve": given["is_approved"]}
            case "confirm_quote_bonus":
                return {"p_quote_id": self.ids_of["quote", str(given["quote"])]}
            case _:
                return super()._parameters(call)

    # what Stripe sends

    def _order(self, told: Mapping[str, Any]) -> str:
        kind = "intent" if told["purpose"] == "session" else "extension"
        return self.ids_of[kind, str(told["order"])]

    def _event(self, event: Event, at: datetime) -> dict[str, Any]:
        return {
            "id": event.id,
            "object": "event",
            "type": event.type,
            "created": int(at.timestamp()),
            "livemode": False,
            "data": {"object": self._object(event)},
        }

    def _object(self, event: Event) -> dict[str, Any]:
        told, name = event.told, event.about
        if event.type.startswith("transfer"):
            return {
                "id": told["id"],
                "object": "transfer",
                "amount": told["amount"],
                "amount_reversed": told["reversed"],
                "currency": "usd",
                "metadata": {"outbox_key": self.keys[name]},
            }
        named = {"charge": f"ch_{name}", "payment_intent": f"pi_{name}"}
        if event.type.startswith("refund"):
            ours = {"outbox_key": self.keys[told["key"]]} if told["key"] is not None else {}
            found = {"id": told["id"], "object": "refund", "status": told["status"]}
            money = {"amount": told["amount"], "currency": told["currency"]}
            return {**named, **found, **money, "metadata": ours}
        if event.type == "charge.refunded":
            found = {"id": f"ch_{name}", "object": "charge", "payment_intent": f"pi_{name}"}
            money = {"amount_refunded": told["refunded"], "currency": told["currency"]}
            return {**found, **money, "metadata": {}}
        if event.type.startswith("charge.dispute"):
            fee = {"object": "balance_transaction", "amount": -told["amount"], "fee": told["fee"]}
            found = {"id": told["id"], "object": "dispute", "status": told["status"]}
            money = {"amount": told["amount"], "currency": told["currency"]}
            return {**named, **found, **money, "balance_transactions": [fee], "metadata": {}}
        key = {"session": "intent_id", "extension": "extension_id"}[told["purpose"]]
        metadata = {"mode": told["purpose"], key: self._order(told)}
        if event.type.startswith("checkout"):
            return {
                "id": f"cs_{name}",
                "object": "checkout.session",
                "payment_status": "paid" if told["is_paid"] else "unpaid",
                "payment_intent": f"pi_{name}" if told["is_submitted"] else None,
                "amount_total": told["amount"],
                "currency": told["currency"],
                "metadata": metadata,
            }
        return {
            "id": f"pi_{name}",
            "object": "payment_intent",
            "amount": told["amount"],
            "amount_received": told["amount"] if told["is_paid"] else 0,
            "currency": told["currency"],
            "latest_charge": f"ch_{name}",
            "metadata": metadata,
        }

    # reading

    def _know(self, kind: str, name: str, id_: str) -> str:
        self.ids_of[kind, name] = id_
        self.name_of[id_] = name
        return name

    def _read(self, money: Mapping[str, Any]) -> dict[str, Any]:
        """All the money in the names of the model."""
        sessions = money["sessions"]
        for row in sessions:
            if row["id"] not in self.numbers:
                self.ids.append(row["id"])
                self.assignments.append(row["assignment_id"])
                self.numbers[row["id"]] = len(self.ids)
                self._know("session", str(len(self.ids)), row["id"])
        for kind in ("intent", "extension", "quote"):
            for number, row in enumerate(money[f"{kind}s"], start=1):
                self._know(kind, str(number), row["id"])
        for row in money["payments"]:
            at_stripe = row["payment_intent_id"] or row["checkout_session_id"]
            self._know("payment", at_stripe.split("_", 1)[1], row["id"])
        self._name_refunds(money["refunds"])
        for row in money["payouts"]:
            source = self.name_of[row["source_id"]]
            name = self._know("payout", f"{row['kind']} {source}", row["id"])
            self.keys[name] = f"payout:{row['id']}"
        names = {key: name for name, key in self.keys.items()}
        for row in money["outbox"]:
            row["name"] = names.get(row["key"], row["key"])
            self.rows[row["name"]] = row["id"]
        return {
            **money,
            "balances": {
                f"{self._account(row['account'])} {row['currency']}": row["cents"]
                for row in money["balances"]
                if row["cents"] != 0
            },
        }

    def _name_refunds(self, refunds: list[dict[str, Any]]) -> None:
        """Ours by the order in which they were asked for; others as Stripe calls them."""
        ours: Counter[str] = Counter()
        for row in refunds:
            payment = self.name_of[row["payment_id"]]
            if row["key"].startswith("stripe:"):
                row["name"] = row["key"].removeprefix("stripe:")
            else:
                ours[payment] += 1
                row["name"] = f"refund {payment}#{ours[payment]}"
                self.keys[row["name"]] = f"refund:{row['key']}"

    def _account(self, name: str) -> str:
        kind, _, of = name.partition(":")
        return f"{kind}:{self.name_of[of]}" if of else kind
