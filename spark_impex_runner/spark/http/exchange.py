"""One request in progress: how long it may take, and whether it may still be sent.

Name resolution, connecting and the TLS handshake take time. Meanwhile the run may be asked to stop
or the request may reach its limit, and nothing may be sent afterwards.
"""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from spark_impex_runner.blocking import Background
from spark_impex_runner.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from spark_impex_runner.clock import Clock

_R = TypeVar("_R")


class Connection(Protocol):
    """A connection of urllib3, and the exchange that used it last."""

    sock: Any
    exchange: Exchange | None


class Exchange:
    """One request in progress, which is abandoned at the time that ``end`` returns.

    ``end`` gets the exchange and returns a time of ``time.monotonic``. It is called again when
    that has come and when ``clock`` is stopped, and may then return another time.
    ``last_progress`` is the time of its start or of the last piece of its body that was sent.
    ``sent`` is whether any byte of it was sent. ``on_abandon`` makes a read end that this exchange
    did not begin.
    """

    def __init__(
        self,
        clock: Clock,
        end: Callable[[Exchange], float],
        on_abandon: Callable[[], None] = lambda: None,
    ) -> None:
        self.last_progress = time.monotonic()
        self.sent = False
        self.abandoned = False
        self.clock = clock
        self._end = end
        self._on_abandon = on_abandon
        self._ending = clock.is_ending()
        self._connection: Connection | None = None
        self._socket: Any = None

    def end(self) -> float:
        """Return when to abandon the exchange."""
        return self._end(self)

    def run(self, work: Callable[[Exchange], _R], late: Callable[[_R], object]) -> _R:
        """Return the result of work that sends requests; ``late`` gets one that comes too late.

        Raises ``Interrupted`` if the exchange was abandoned.
        """
        if threading.current_thread() is not threading.main_thread():
            return self._run(work, late)
        # The main thread has to look for signals, and cannot while it reads from a socket.
        call = Background(lambda: self._run(work, late), self.abandon)
        call.wait(lambda: math.inf, self.clock)
        return call.result()

    def check(self) -> None:
        """Raise ``Interrupted`` if the request may no longer be sent."""
        if self.abandoned or (self.clock.stopping() and not self._ending):
            raise Interrupted(self.clock.signum or 2)

    def begin(self, connection: Connection) -> None:
        """Record the connection that the request is sent on next; raise as ``check`` does."""
        # The socket, too: a connection drops its own when a reply says `Connection: close`.
        self._socket, self._connection = connection.sock, connection
        connection.exchange = self
        self.check()
        self.sent = True

    def tracked(self, body: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the pieces of a body, and record the time of each."""
        for piece in body:
            self.last_progress = time.monotonic()
            if self.abandoned:
                raise Interrupted(self.clock.signum or 2)
            yield piece
        self.last_progress = time.monotonic()

    def apart(self, work: Callable[[], _R], late: Callable[[_R], object] = lambda _: None) -> _R:
        """Return the result of work that Python cannot interrupt, such as name resolution.

        It runs on another thread, which is left behind when the exchange ends. ``late`` then gets
        its result. Raises ``Interrupted`` in this case.
        """
        call = Background(work, late=late)
        if not call.wait(self.end, self.clock):
            self.abandoned = True
            raise Interrupted(self.clock.signum or 2)
        return call.result()

    def _run(self, work: Callable[[Exchange], _R], late: Callable[[_R], object]) -> _R:
        with _watched(self):
            result = work(self)
        if self.abandoned:
            late(result)
            raise Interrupted(self.clock.signum or 2)
        return result

    def abandon(self) -> None:
        """Shut the connection under the thread that waits for it."""
        self.abandoned = True
        self.shut()
        self._on_abandon()

    def shut(self) -> None:
        """Shut the connection, unless there is none, or another exchange uses it by now.

        A stop calls this, so it takes no lock.
        """
        if self._connection is None or self._connection.exchange is not self:
            return
        # TLS through a proxy's TLS is no socket, but has one.
        raw = getattr(self._socket, "socket", self._socket)
        with suppress(OSError):  # closed just now
            # Not the method of a TLS socket: that drops TLS, and then a read in progress returns
            # the ciphertext that has arrived, and a write in progress sends plain text.
            socket.socket.shutdown(raw, socket.SHUT_RDWR)


class _Watch:
    """Abandons each exchange of the process at its end, on one thread for all of them."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Reset to no thread, as in a forked process, which has none of its parent's."""
        self._lock = threading.Lock()
        self._exchanges: set[Exchange] = set()
        self._wake_up = threading.Lock()
        self._wake_up.acquire()
        self._next = math.inf
        self._thread: threading.Thread | None = None

    def add(self, exchange: Exchange) -> None:
        """Watch an exchange from now on."""
        with self._lock:
            self._exchanges.add(exchange)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="impex-watch", daemon=True)
                thread.start()  # may fail
                self._thread = thread
            is_next = exchange.end() < self._next
        if is_next:
            self.wake()

    def remove(self, exchange: Exchange) -> None:
        """Leave an exchange alone that has ended."""
        with self._lock:
            self._exchanges.discard(exchange)

    def wake(self) -> None:
        """Look at the ends again; a signal handler may call this."""
        with suppress(RuntimeError):  # it was woken already
            self._wake_up.release()

    def _run(self) -> None:
        while True:
            with self._lock:
                now, ends = time.monotonic(), {each: each.end() for each in self._exchanges}
                over = [each for each, end in ends.items() if end <= now]
                self._exchanges.difference_update(over)
                self._next = min((end for end in ends.values() if end > now), default=math.inf)
            for each in over:
                each.abandon()
            self._wake_up.acquire(timeout=min(self._next - now, threading.TIMEOUT_MAX))


_watch = _Watch()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_watch.forget)


class _ThreadState(threading.local):
    exchange: Any = None


_thread = _ThreadState()


@contextmanager
def _watched(exchange: Exchange) -> Iterator[None]:
    """Let the requests that this thread sends within the block belong to an exchange."""
    remove_listener = exchange.clock.on_stop(_watch.wake)
    # A body may be one that sends requests of its own.
    before, _thread.exchange = _thread.exchange, exchange
    try:
        _watch.add(exchange)
        yield
    finally:
        _thread.exchange = before
        _watch.remove(exchange)
        remove_listener()


def current() -> Exchange:
    """Return the exchange of this thread, whose ``run`` calls."""
    exchange: Exchange = _thread.exchange
    return exchange
