"""A slow line: a TCP relay that holds every byte back; ``python relay.py PORT TO_PORT SECONDS``.

Each byte is passed on half a round trip after it came, in both directions; the first bytes of a
connection wait for a whole round trip more, as its handshake would. At most 4 MiB of a connection
are on their way, as in a usual TCP window. The rate of a connection is the sender's to limit.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

WINDOW = 4 << 20
PIECE = 1 << 16


async def pump(
    source: asyncio.StreamReader, drain: asyncio.StreamWriter, half: float, first: float
) -> None:
    """Pass one direction on, each piece when its time has come."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WINDOW // PIECE)

    async def take() -> None:
        extra = first
        with suppress(OSError):
            while piece := await source.read(PIECE):
                await waiting.put((loop.time() + half + extra, piece))
                extra = 0.0
        await waiting.put((loop.time() + half, b""))

    taking = asyncio.create_task(take())
    with suppress(OSError):  # the other side has gone
        while True:
            due, piece = await waiting.get()
            await asyncio.sleep(max(due - loop.time(), 0))
            if not piece:
                break
            drain.write(piece)
            await drain.drain()
    taking.cancel()
    drain.close()


async def serve(port: int, to: int, trip: float) -> None:
    """Relay every connection for ever."""
    running: set[asyncio.Task[None]] = set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up, down = await asyncio.open_connection("127.0.0.1", to)
        for work in (pump(reader, down, trip / 2, trip), pump(up, writer, trip / 2, 0.0)):
            task = asyncio.create_task(work)
            running.add(task)  # the loop itself only borrows its tasks
            task.add_done_callback(running.discard)

    server = await asyncio.start_server(relay, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
