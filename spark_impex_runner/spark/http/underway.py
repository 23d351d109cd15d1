"""One request under way: whether it may still be sent when its connection is open.

Looking up a host, connecting and the TLS handshake take time, in which the run may be asked to stop
or the request may be abandoned.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from spark_impex_runner.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from urllib3.connection import HTTPConnection

    from spark_impex_runner.clock import Clock


class Exchange:
    """One request under way, which another thread may abandon.

    ``moved`` is when the last piece of its body was taken, ``sent`` whether any of it was sent.
    """

    def __init__(self, clock: Clock) -> None:
        self.moved = time.monotonic()
        self.sent = False
        self._clock = clock
        self._ending = clock.is_ending()
        self._abandoned = False
        self._connection: HTTPConnection | None = None

    def check(self) -> None:
        """Raise ``Interrupted`` where the request may not be sent any more."""
        if self._abandoned or (self._clock.stopping() and not self._ending):
            raise Interrupted(self._clock.signum or 2)

    def begin(self, connection: HTTPConnection) -> None:
        """Note the open connection that the request is sent on next."""
        self._connection = connection
        self.check()
        self.sent = True

    def pieces(self, body: Iterable[bytes]) -> Iterator[bytes]:
        """Pass on the pieces of a body as they are sent."""
        for piece in body:
            self.moved = time.monotonic()
            if self._abandoned:
                raise Interrupted(self._clock.signum or 2)
            yield piece
        self.moved = time.monotonic()

    def abandon(self) -> None:
        """Close the connection's socket under the thread that waits for it."""
        self._abandoned = True
        with suppress(OSError, AttributeError):  # it is not connected yet, or just ended
            self._connection.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]


class _Current(threading.local):
    exchange: Exchange | None = None


_current = _Current()


@contextmanager
def under_way(exchange: Exchange) -> Iterator[None]:
    """Have the requests of this thread's block belong to an exchange."""
    _current.exchange = exchange
    try:
        yield
    finally:
        _current.exchange = None


def begin(connection: HTTPConnection) -> None:
    """Raise ``Interrupted`` where this thread's request may not be sent on an open connection."""
    if _current.exchange:
        _current.exchange.begin(connection)
