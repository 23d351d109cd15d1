"""Time, and the one way to wait: a wait ends at once when the run is asked to stop."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING

from spark_impex_runner.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """The real clock. Tests replace it with one whose ``wait`` only moves its hands."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._listeners: list[Callable[[], None]] = []
        self.signum = 0

    def now(self) -> datetime:
        """Return the wall clock as an aware UTC time, for records."""
        return datetime.now(timezone.utc)

    def monotonic(self) -> float:
        """Return seconds that never jump, for durations and deadlines."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Wait; raise ``Interrupted`` as soon as ``stop`` is called, or if it was."""
        self._stop.wait(seconds)
        self.check()

    def stop(self, signum: int) -> None:
        """Ask everything that waits or checks to end; safe to call from a signal handler."""
        self.signum = signum
        self._stop.set()
        for listener in tuple(self._listeners):
            listener()

    def tell(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have ``listener`` called by ``stop``; return what takes that back.

        ``stop`` may be called by a signal handler, so the listener must take no lock.
        """
        self._listeners.append(listener)
        return partial(self._listeners.remove, listener)

    def stopping(self) -> bool:
        """Tell whether ``stop`` was called."""
        return self._stop.is_set()

    def check(self) -> None:
        """Raise ``Interrupted`` if ``stop`` was called."""
        if self._stop.is_set():
            raise Interrupted(self.signum)
