"""The stand-in as a process: `python -m taximeter.stack.realtime`.

It reads its settings, one line of JSON, from standard input, says on standard output where it
listens, and ends when standard input closes, so that it never outlives the tool that started it.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys

import psycopg

from taximeter.stack.realtime.server import RealtimeServer, Settings


def say(**message: object) -> None:
    sys.stdout.write(f"{json.dumps(message)}\n")
    sys.stdout.flush()


def fail(message: str) -> int:
    say(event="failed", message=message)
    return 1


async def serve() -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    stdin = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    try:
        settings = Settings(**json.loads(await stdin.readline()))
    except (ValueError, TypeError):
        # Without its reason, which could quote the settings.
        return fail("The settings on standard input are not what is expected.")
    server = RealtimeServer(settings)
    try:
        port = await server.start()
    except (psycopg.Error, OSError) as error:
        await server.close()
        return fail(str(error).strip())
    say(event="ready", port=port)
    assert server.followed is not None, "it is started"  # noqa: S101
    ends = (
        asyncio.create_task(stop.wait()),
        asyncio.create_task(stdin.read()),
        server.followed,
    )
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    broken = server.followed.exception() if server.followed.done() else None
    await server.close()
    if broken is not None:
        raise broken
    return 0


def main() -> int:
    return asyncio.run(serve())


if __name__ == "__main__":
    sys.exit(main())
