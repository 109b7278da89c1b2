"""What a client hears of Realtime, in the order in which it came."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taximeter.stack.settings import StackError

if TYPE_CHECKING:
    from collections.abc import Callable

    from taximeter.people import Row

PATIENCE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Message:
    """A broadcast."""

    topic: str
    event: str
    payload: Row


class Heard:
    """Everything that one client heard; each message is passed on as it comes."""

    def __init__(self, tell: Callable[[Message], None]) -> None:
        self.messages: list[Message] = []
        self._tell = tell
        self._came = threading.Condition()

    def add(self, message: Message) -> None:
        self._tell(message)
        with self._came:
            self.messages.append(message)
            self._came.notify_all()

    def on(self, topic: str) -> list[Message]:
        return [message for message in self.messages if message.topic == topic]

    def wait(self, topic: str, event: str, times: int = 1) -> Message:
        """The message of that name on a topic, the first or so-manieth; it may be on its way."""

        def found() -> list[Message]:
            return [message for message in self.on(topic) if message.event == event]

        with self._came:
            if not self._came.wait_for(lambda: len(found()) >= times, PATIENCE_SECONDS):
                raise StackError(
                    f"{event} was heard {len(found())} times on {topic}, not {times}.",
                    "Please report this.",
                )
            return found()[times - 1]
