"""A customer with supabase-js, in a process of its own (`browser.mjs`)."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from supabase import PostgrestAPIError

from taximeter.demo.hearing import PATIENCE_SECONDS, Heard, Message
from taximeter.people import Row, as_rows
from taximeter.stack.process import STOP_SECONDS, Server
from taximeter.stack.settings import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taximeter.demo.stage import Stage

PROGRAM = Path(__file__).with_name("browser.mjs")


class Browser(Server):
    """What the person does goes to the process as commands; what it hears is in `heard`."""

    def __init__(self, stage: Stage, name: str) -> None:
        super().__init__(f"{name}'s browser", stage.stack.settings.directory / f"{name}.log")
        self.heard = Heard(lambda message: stage.heard("supabase-js", message))
        self.user_id = ""
        self._answers: SimpleQueue[Row | None] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)

    @classmethod
    @contextmanager
    def open(cls, stage: Stage, name: str) -> Iterator[Self]:
        """Somebody who has just signed up."""
        browser = cls(stage, name)
        try:
            stack = stage.stack
            place = {"command": "open", "url": stack.url, "key": stack.publishable_key}
            browser.serve(["node", str(PROGRAM)], place)
            browser._reader.start()
            browser._answer()
            credentials = {"email": f"{name}@example.com", "password": secrets.token_urlsafe(16)}
            browser.user_id = browser._ask("sign_up", **credentials)["user"]["id"]
            browser.row("update_profile", p_display_name=name.capitalize())
            yield browser
        finally:
            browser.stop()

    def stop(self) -> None:
        if self._process and self._process.stdin:
            self._process.stdin.close()
            self._reader.join(STOP_SECONDS)
        super().stop()

    def rows(self, function: str, **arguments: object) -> list[Row]:
        return as_rows(self._ask("rpc", name=function, args=arguments))

    def row(self, function: str, **arguments: object) -> Row:
        return self.rows(function, **arguments)[0]

    def read(self, table: str) -> list[Row]:
        return as_rows(self._ask("read", table=table))

    def invoke(self, function: str, body: Row) -> Row:
        """Calls an edge function."""
        (answer,) = as_rows(self._ask("invoke", name=function, body=body))
        return answer

    def add_file(self, session_id: str, name: str, media_type: str, content: bytes) -> Row:
        text = base64.b64encode(content).decode()
        file: Row = self._ask(
            "add_file", session_id=session_id, name=name, type=media_type, content=text
        )["file"]
        return file

    def listen(self, topic: str) -> None:
        self._ask("listen", topic=topic)

    def _ask(self, command: str, **options: object) -> Any:
        self.tell({"command": command, **options})
        return self._answer()

    def _answer(self) -> Any:
        answer = self._answers.get(timeout=PATIENCE_SECONDS)
        if answer is None:
            raise StackError(f"The {self.name} ended: {self.died()}")
        if "error" in answer:
            raise PostgrestAPIError(answer["error"])
        return answer["result"]

    def _read(self) -> None:
        for line in self._stream("stdout"):
            said = json.loads(line)
            if "heard" in said:
                self.heard.add(Message(**said["heard"]))
            else:
                self._answers.put(said)
        self._answers.put(None)
