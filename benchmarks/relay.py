"""A slow line: a TCP relay that holds every byte back; ``python relay.py PORT TO SECONDS RATE``.

Each byte is passed on half a round trip after it came, in both directions; the first bytes of a
connection wait for a whole round trip more, as its handshake would. At most 4 MiB of a connection
are on their way, as in a usual TCP window. RATE is what all connections together have, in bytes a
second; that of a single connection is the sender's to limit.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from dataclasses import dataclass

WINDOW = 4 << 20
PIECE = 1 << 16


class Line:
    """What all connections share: so many bytes a second."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._free = 0.0

    async def carry(self, size: int) -> None:
        """Wait until so many bytes have had their turn."""
        now = asyncio.get_running_loop().time()
        self._free = max(self._free, now) + size / self._rate
        await asyncio.sleep(self._free - now)


@dataclass(frozen=True, slots=True)
class Way:
    """One direction of a connection: its line, and the seconds that bytes and the first take."""

    line: Line
    half: float
    first: float = 0.0


async def pump(source: asyncio.StreamReader, drain: asyncio.StreamWriter, way: Way) -> None:
    """Pass one direction on, each piece when its time has come."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WINDOW // PIECE)

    async def take() -> None:
        extra = way.first
        with suppress(OSError):
            while piece := await source.read(PIECE):
                await waiting.put((loop.time() + way.half + extra, piece))
                extra = 0.0
        await waiting.put((loop.time() + way.half, b""))

    taking = asyncio.create_task(take())
    with suppress(OSError):  # the other side has gone
        while True:
            due, piece = await waiting.get()
            await asyncio.sleep(max(due - loop.time(), 0))
            if not piece:
                break
            await way.line.carry(len(piece))
            drain.write(piece)
            await drain.drain()
    taking.cancel()
    drain.close()


async def serve(port: int, to: int, trip: float, rate: float) -> None:
    """Relay every connection for ever."""
    line = Line(rate)
    running: set[asyncio.Task[None]] = set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up, down = await asyncio.open_connection("127.0.0.1", to)
        there, back = Way(Line(rate), trip / 2, trip), Way(line, trip / 2)
        for work in (pump(reader, down, there), pump(up, writer, back)):
            task = asyncio.create_task(work)
            running.add(task)  # the loop itself only borrows its tasks
            task.add_done_callback(running.discard)

    server = await asyncio.start_server(relay, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), *map(float, sys.argv[3:])))
