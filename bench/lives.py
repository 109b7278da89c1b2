"""People who live whole paid sessions over HTTP and websockets, with the official Python client."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, cast

import httpx
from supabase import AsyncClient, AsyncClientOptions, acreate_client

from realtime import RealtimeSubscribeStates
from taximeter.demo.outside import WEBHOOK_SECRET
from taximeter.demo.pretend_stripe import signed
from taximeter.people import as_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.broadcasts import Broadcasts
    from realtime import AsyncRealtimeChannel
    from taximeter.demo.outside import Outside
    from taximeter.people import Row

PLAN = "video15"
MINUTES = 15
EXTENSION_EVERY = 4
FILE_EVERY = 5
FILE = b"a recording of brakes that squeal " * 1200
FEED = "session_assignments_feed"
BEAT_SECONDS = 4.0
PATIENCE_SECONDS = 20.0
PAGES = {"success_path": "/thanks", "cancel_path": "/plans"}
# Stripe tells of them as soon as somebody has paid; a life sends these itself and waits for them.
PROOFS = ("checkout.session.completed", "payment_intent.succeeded")


@dataclass(slots=True)
class Times:
    """How long each call took, by kind: when it ended and the milliseconds."""

    of: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, kind: str, milliseconds: float) -> None:
        self.of[kind].append((time.monotonic(), milliseconds))

    @contextmanager
    def measured(self, kind: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.add(kind, (time.perf_counter() - begun) * 1000)


class WrongError(Exception):
    """Something was answered that is not what it has to be."""


class Someone:
    """Somebody signed in, with one client and one socket."""

    def __init__(
        self, name: str, user_id: str, client: AsyncClient, times: Times, broadcasts: Broadcasts
    ) -> None:
        self.name = name
        self.email = f"{name}@example.com"
        self.user_id = user_id
        self._client = client
        self._times = times
        self._broadcasts = broadcasts
        self._channels: dict[str, AsyncRealtimeChannel] = {}
        self._came: dict[tuple[str, str], asyncio.Event] = defaultdict(asyncio.Event)

    @classmethod
    async def sign_up(
        cls, url: str, key: str, name: str, times: Times, broadcasts: Broadcasts
    ) -> Self:
        # What the client would quietly try again is what is looked for here.
        options = AsyncClientOptions(postgrest_client_retry=False)
        client = await acreate_client(url, key, options)
        credentials = {"email": f"{name}@example.com", "password": secrets.token_urlsafe(16)}
        answer = await client.auth.sign_up(cast("Any", credentials))
        if answer.user is None:
            raise WrongError(f"Auth did not sign {name} in.")
        return cls(name, answer.user.id, client, times, broadcasts)

    async def close(self) -> None:
        await self._client.realtime.close()
        await self._client.auth.sign_out({"scope": "local"})

    async def token(self) -> str:
        session = await self._client.auth.get_session()
        return session.access_token if session else ""

    async def rows(self, function: str, **arguments: object) -> list[Row]:
        with self._times.measured(function):
            return as_rows((await self._client.rpc(function, arguments).execute()).data)

    async def row(self, function: str, **arguments: object) -> Row:
        return (await self.rows(function, **arguments))[0]

    async def read(self, table: str, **equal: str) -> list[Row]:
        with self._times.measured(f"read {table}"):
            query = self._client.table(table).select("*")
            for column, value in equal.items():
                query = query.eq(column, value)
            return as_rows((await query.execute()).data)

    async def invoke(self, function: str, body: Row | None = None, method: str = "POST") -> Row:
        options = {"method": method, "body": body, "responseType": "json"}
        with self._times.measured(function.partition("?")[0]):
            return cast("Row", await self._client.functions.invoke(function, options))

    async def listen(self, topic: str, *, misses: str | None = None) -> None:
        problems: list[str] = []

        def note(status: RealtimeSubscribeStates, error: Exception | None) -> None:
            if status != RealtimeSubscribeStates.SUBSCRIBED:
                problems.append(f"{topic}: {status.value} {error or ''}")

        def hear(message: Any) -> None:
            self._broadcasts.hear(self.name, topic, message)
            if topic.startswith("session:"):
                self._came[topic, message["event"]].set()

        channel = self._client.realtime.channel(
            topic,
            {
                "config": {
                    "broadcast": None,
                    "presence": {"key": "", "enabled": False},
                    "private": True,
                }
            },
        )
        realtime = self._client.realtime
        token = realtime.access_token
        with self._times.measured("subscribe"):
            await channel.on_broadcast("*", hear).subscribe(note)
        if problems:
            raise WrongError(problems[0])
        if token != realtime.access_token:
            # The client has renewed its token meanwhile, and forgets a channel that it is joining:
            # the server would close it when the old token expires.
            await channel.push("access_token", {"access_token": realtime.access_token})
        self._channels[topic] = channel
        self._broadcasts.listens(self.name, topic, misses=misses)

    async def hear(self, topic: str, event: str) -> None:
        """Waits for the first message of that name; it may have come already."""
        try:
            await asyncio.wait_for(self._came[topic, event].wait(), PATIENCE_SECONDS)
        except TimeoutError:
            raise WrongError(f"{self.name} did not hear {event} on {topic}.") from None

    async def leave(self, topic: str) -> None:
        await self._client.realtime.remove_channel(self._channels.pop(topic))
        for key in [key for key in self._came if key[0] == topic]:
            del self._came[key]


class Lives:
    """Plays sessions between the people that it is given; counts what has to come of them."""

    def __init__(
        self, url: str, outside: Outside, times: Times, note: Callable[[str], None]
    ) -> None:
        self._url = url
        self._outside = outside
        self._times = times
        self._note = note
        self._http = httpx.AsyncClient(timeout=PATIENCE_SECONDS, trust_env=False)
        self._told = 0
        self.live = 0
        # Sessions by their customer's address.
        self.ended: Counter[str] = Counter()
        self.cents = 0

    async def close(self) -> None:
        await self._http.aclose()

    async def play(self, number: int, customer: Someone, mechanic: Someone, seconds: float) -> None:
        """One session, from the order to its summary."""
        both = (customer, mechanic)
        session_id = await self._buy(number, customer)
        topic = f"session:{session_id}"
        await customer.listen(topic)
        await self._accept(mechanic, session_id)
        await mechanic.listen(topic, misses="session:accepted")
        for person in both:
            token = (await person.invoke("livekit-token", {"session_id": session_id}))["token"]
            self._outside.video.enter(token)
        for person in both:
            await person.row("join_session", p_session_id=session_id)
        await self._both_hear(both, topic, "session:started")
        self.live += 1
        try:
            await self._talk(number, both, session_id, topic, seconds)
        finally:
            self.live -= 1
        await self._end(both, session_id, topic)
        for person in both:
            await person.leave(topic)
        self.ended[customer.email] += 1

    async def tell(self) -> int:
        """Sends what else Stripe has to tell, and says how much that was."""
        told = self._outside.stripe.stripe.told
        new, self._told = told[self._told :], len(told)
        others = [event for event in new if event["type"] not in PROOFS]
        await asyncio.gather(*(self._webhook(event) for event in others))
        return len(others)

    async def _buy(self, number: int, customer: Someone) -> str:
        intake = {"problem": f"the brakes squeal, number {number}"}
        order = {"mode": "session", "plan": PLAN, "intake": intake}
        intent_id = (await self._pay(customer, order))["intent_id"]
        (intent,) = await customer.read("checkout_intents", id=intent_id)
        if intent["status"] != "paid":
            raise WrongError(f"The intent {intent_id} is {intent['status']}.")
        return str(intent["session_id"])

    async def _pay(self, customer: Someone, order: Row) -> Row:
        opened = await customer.invoke("create-checkout", {**order, **PAGES})
        stripe = self._outside.stripe.stripe
        events = stripe.pay(opened["id"])
        self.cents += stripe.get("checkout.session", opened["id"])["amount_total"]
        await asyncio.gather(*(self._webhook(event) for event in events))
        return opened

    async def _webhook(self, event: Row) -> None:
        body, signature = signed(event, WEBHOOK_SECRET)
        with self._times.measured("stripe-webhook"):
            answer = await self._http.post(
                f"{self._url}/functions/v1/stripe-webhook",
                content=body,
                headers={"stripe-signature": signature},
            )
        if answer.status_code != httpx.codes.OK or answer.json()["status"] != "processed":
            self._note(f"stripe-webhook answered {answer.status_code} to {event['type']}")

    async def _accept(self, mechanic: Someone, session_id: str) -> None:
        (offer,) = (
            entry
            for entry in await mechanic.rows("mechanic_queue")
            if entry["session_id"] == session_id
        )
        await mechanic.row("accept_assignment", p_assignment_id=offer["assignment_id"])

    async def _talk(
        self,
        number: int,
        both: tuple[Someone, Someone],
        session_id: str,
        topic: str,
        seconds: float,
    ) -> None:
        customer, mechanic = both
        beats = max(1, round(seconds / BEAT_SECONDS))
        for beat in range(beats):
            for person in both:
                await person.row("heartbeat_session", p_session_id=session_id)
            if beat == 0:
                for person in both:
                    await person.row(
                        "send_session_message", p_session_id=session_id, p_content="They squeal."
                    )
                if number % FILE_EVERY == 0:
                    await self._share(customer, mechanic, session_id, topic)
                if number % EXTENSION_EVERY == 0:
                    more = {"mode": "extension", "session_id": session_id, "minutes": MINUTES}
                    await self._pay(customer, more)
                    await self._both_hear(both, topic, "session:extended")
            await asyncio.sleep(seconds / beats)

    async def _share(
        self, customer: Someone, mechanic: Someone, session_id: str, topic: str
    ) -> None:
        """A file from one to the other."""
        with self._times.measured("session-files, POST"):
            answer = await self._http.post(
                f"{self._url}/functions/v1/session-files?session_id={session_id}",
                files={"file": ("squeal.m4a", FILE, "audio/mp4")},
                headers={"authorization": f"Bearer {await customer.token()}"},
            )
        if answer.status_code != httpx.codes.CREATED:
            raise WrongError(f"session-files answered {answer.status_code}: {answer.text}")
        await mechanic.hear(topic, "file:added")
        (file,) = (await mechanic.invoke(f"session-files?session_id={session_id}", method="GET"))[
            "files"
        ]
        with self._times.measured("download"):
            content = (await self._http.get(file["url"])).content
        if content != FILE:
            raise WrongError(f"The file of {session_id} came as {len(content)} bytes.")

    async def _end(self, both: tuple[Someone, Someone], session_id: str, topic: str) -> None:
        customer, mechanic = both
        result = await customer.row("end_session_with_semantics", p_session_id=session_id)
        if result["final_status"] != "completed":
            raise WrongError(f"{session_id} has ended as {result['final_status']}.")
        await self._both_hear(both, topic, "session:ended")
        await mechanic.row(
            "submit_session_summary",
            p_session_id=session_id,
            p_findings="The front left brake pad is worn down.",
            p_steps="Listened to a recording.",
            p_next_steps="Have the pads changed within a week.",
        )
        await self._both_hear(both, topic, "session:summary")

    @staticmethod
    async def _both_hear(both: tuple[Someone, Someone], topic: str, event: str) -> None:
        for person in both:
            await person.hear(topic, event)
