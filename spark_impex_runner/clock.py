"""Time, and the one way to wait: a wait ends at once when the run is stopped."""

from __future__ import annotations

import math
import signal
import threading
import time
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING

from spark_impex_runner.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A signal that comes just before the main thread waits, or that the system gives to another thread,
# does not end its wait: Python calls the handler at the end of it.
LOOK = 0.25


def longest_wait() -> float:
    """Return for how many seconds this thread may block before it has to look for signals."""
    is_main = threading.current_thread() is threading.main_thread()
    return LOOK if is_main else threading.TIMEOUT_MAX


class _Block(threading.local):
    """The state of the ``until`` and ``ending`` blocks of one thread."""

    end = math.inf
    ending = False


class Clock:
    """The real clock; tests replace it with one whose ``wait`` only advances its time."""

    def __init__(self) -> None:
        # Released by ``stop``. No ``Event``: the thread that waits may be the one that the
        # signal handler interrupts, and ``Event.set`` takes a lock which it may hold just then.
        self._stopped = threading.Lock()
        self._stopped.acquire()
        self._stopping = False
        # By a key of each: a thousand targets that wait have two each, removed in any order.
        self._listeners: dict[object, Callable[[], None]] = {}
        self._block = _Block()
        self.signum = 0
        # The time of ``time.monotonic`` at which ``stop`` was first called.
        self.stopped_at = math.inf
        # Until then, by ``time.monotonic``, the process is not left after a stop.
        self.reserved_until = -math.inf

    def now(self) -> datetime:
        """Return the wall clock as an aware UTC time, for records."""
        return datetime.now(timezone.utc)

    def monotonic(self) -> float:
        """Return seconds that never jump, for durations and deadlines."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Wait; raise ``Interrupted`` as soon as ``stop`` is called, or if it was called before."""
        end = time.monotonic() + min(seconds, self.left())
        while not self._stopping and (left := end - time.monotonic()) > 0:
            if self._stopped.acquire(timeout=min(left, longest_wait())):
                self._release()
        self.check()

    def stop(self, signum: int = signal.SIGTERM) -> None:
        """Stop the run, as the signal would; safe to call from a handler and from any thread.

        Every wait and check ends with ``Interrupted``. A run ends within seconds: it starts nothing
        new, cancels its jobs or leaves them (``on_interrupt``), and writes its reports.
        """
        self.stopped_at = min(self.stopped_at, time.monotonic())
        self.signum = signum
        self._stopping = True
        self._release()
        for listener in self._listeners.copy().values():
            listener()

    def on_stop(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` in ``stop``; return a function that removes it.

        A signal handler may call ``stop``, so the listener must take no lock.
        """
        key = object()
        self._listeners[key] = listener
        return partial(self._listeners.__delitem__, key)

    def stopping(self) -> bool:
        """Return True if ``stop`` was called."""
        return self._stopping

    def check(self) -> None:
        """Raise ``Interrupted`` if ``stop`` was called."""
        if self._stopping:
            raise Interrupted(self.signum)

    @contextmanager
    def until(self, end: float) -> Iterator[None]:
        """End the waits of this thread in the block at ``end``, a time of ``monotonic``."""
        before = self._block.end
        self._block.end = min(before, end)
        try:
            yield
        finally:
            self._block.end = before

    @contextmanager
    def reserved(self, seconds: float) -> Iterator[None]:
        """Keep the process for the block, but no longer than so many seconds.

        It exits soon after a stop, whatever blocks it; reports are to be whole by then.
        """
        self.reserved_until = time.monotonic() + seconds
        try:
            yield
        finally:
            self.reserved_until = -math.inf

    def left(self) -> float:
        """Return the seconds left by the ``until`` blocks of this thread, 0 or more."""
        return max(self._block.end - self.monotonic(), 0.0)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Let this thread send requests in the block, even after ``stop``, to clean up."""
        before, self._block.ending = self._block.ending, True
        try:
            yield
        finally:
            self._block.ending = before

    def is_ending(self) -> bool:
        """Return True if this thread is in an ``ending`` block."""
        return self._block.ending

    def _release(self) -> None:
        """Wake the next waiting thread, which wakes the next one in turn."""
        with suppress(RuntimeError):  # it is released already
            self._stopped.release()


@contextmanager
def repeated(call: Callable[[], None], seconds: float, name: str) -> Iterator[None]:
    """Make a call every so many seconds, on a thread of this name, while the block runs."""
    left = threading.Event()

    def run() -> None:
        while not left.wait(seconds):
            call()

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()
