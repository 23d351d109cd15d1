"""One request in progress: whether it may still be sent when its connection is open.

Name resolution, connecting and the TLS handshake take time. Meanwhile the run may be asked to stop
or another thread may abandon the request, and nothing may be sent afterwards.
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
    """One request in progress, which another thread may abandon.

    ``last_progress`` is the time of its start or of the last piece of its body that was sent, on
    the clock of ``time.monotonic``. ``sent`` is whether any byte of it was sent.
    """

    def __init__(self, clock: Clock) -> None:
        self.last_progress = time.monotonic()
        self.sent = False
        self._clock = clock
        self._ending = clock.is_ending()
        self._abandoned = False
        self._connection: HTTPConnection | None = None

    def check(self) -> None:
        """Raise ``Interrupted`` if the request may no longer be sent."""
        if self._abandoned or (self._clock.stopping() and not self._ending):
            raise Interrupted(self._clock.signum or 2)

    def begin(self, connection: HTTPConnection) -> None:
        """Record the connection that the request is sent on next; raise as ``check`` does."""
        self._connection = connection
        self.check()
        self.sent = True

    def tracked(self, body: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the pieces of a body, and record the time of each."""
        for piece in body:
            self.last_progress = time.monotonic()
            if self._abandoned:
                raise Interrupted(self._clock.signum or 2)
            yield piece
        self.last_progress = time.monotonic()

    def abandon(self) -> None:
        """Close the connection's socket under the thread that waits for it."""
        self._abandoned = True
        with suppress(OSError, AttributeError):  # not connected yet, or ended just now
            self._connection.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]


class _ThreadState(threading.local):
    exchange: Exchange | None = None


_thread = _ThreadState()


@contextmanager
def as_current(exchange: Exchange) -> Iterator[None]:
    """Let the requests that this thread sends within the block belong to an exchange."""
    _thread.exchange = exchange
    try:
        yield
    finally:
        _thread.exchange = None


def begin(connection: HTTPConnection) -> None:
    """Raise ``Interrupted`` if this thread's request may no longer be sent."""
    if _thread.exchange:
        _thread.exchange.begin(connection)
