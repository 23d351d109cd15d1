"""Time, and the one way to wait: a wait ends at once when the run is asked to stop."""

from __future__ import annotations

import math
import threading
import time
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING

from spark_impex_runner.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class _Block(threading.local):
    """What holds inside of the ``until`` and ``ending`` blocks of one thread."""

    end = math.inf
    ending = False


class Clock:
    """The real clock. Tests replace it with one whose ``wait`` only moves its hands."""

    def __init__(self) -> None:
        # Free once the run is to stop. No ``Event``: the thread that waits may be the one that the
        # signal handler interrupts, and ``Event.set`` takes a lock which it may hold just then.
        self._stopped = threading.Lock()
        self._stopped.acquire()
        self._stopping = False
        self._listeners: list[Callable[[], None]] = []
        self._block = _Block()
        self.signum = 0
        # When ``stop`` was called first, in the seconds of ``time.monotonic``.
        self.stopped_at = math.inf

    def now(self) -> datetime:
        """Return the wall clock as an aware UTC time, for records."""
        return datetime.now(timezone.utc)

    def monotonic(self) -> float:
        """Return seconds that never jump, for durations and deadlines."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Wait; raise ``Interrupted`` as soon as ``stop`` is called, or if it was."""
        seconds = min(seconds, self.left())
        if self._stopped.acquire(timeout=min(max(seconds, 0.0), threading.TIMEOUT_MAX)):
            self._release()
        self.check()

    def stop(self, signum: int) -> None:
        """Ask everything that waits or checks to end; safe to call from a signal handler."""
        self.stopped_at = min(self.stopped_at, time.monotonic())
        self.signum = signum
        self._stopping = True
        self._release()
        for listener in tuple(self._listeners):
            listener()

    def on_stop(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have ``listener`` called by ``stop``; return what takes that back.

        ``stop`` may be called by a signal handler, so the listener must take no lock.
        """
        self._listeners.append(listener)
        return partial(self._listeners.remove, listener)

    def stopping(self) -> bool:
        """Tell whether ``stop`` was called."""
        return self._stopping

    def check(self) -> None:
        """Raise ``Interrupted`` if ``stop`` was called."""
        if self._stopping:
            raise Interrupted(self.signum)

    @contextmanager
    def until(self, end: float) -> Iterator[None]:
        """End what this thread waits for in the block at ``end``, a time of ``monotonic``."""
        before = self._block.end
        self._block.end = min(before, end)
        try:
            yield
        finally:
            self._block.end = before

    def left(self) -> float:
        """Return the seconds that the ``until`` blocks of this thread leave, 0 or more."""
        return max(self._block.end - self.monotonic(), 0.0)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Let this thread send requests in the block that end something, also after ``stop``."""
        before, self._block.ending = self._block.ending, True
        try:
            yield
        finally:
            self._block.ending = before

    def is_ending(self) -> bool:
        """Tell whether this thread is in an ``ending`` block."""
        return self._block.ending

    def _release(self) -> None:
        """Let the next one go on who waits; each lets the next one go."""
        with suppress(RuntimeError):  # it is free already
            self._stopped.release()
