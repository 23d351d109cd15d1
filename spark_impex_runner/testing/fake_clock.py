"""A clock for tests, whose waits take no time."""

from __future__ import annotations

import math
import threading
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from spark_impex_runner.clock import Clock
from spark_impex_runner.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeClock(Clock):
    """A clock whose waits only advance it; ``waits`` lists them.

    Calls ``at_wait`` after each wait with the seconds waited so far, so that a test can act at a
    time of its choice.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._now = 0.0
        self._lock = threading.Lock()
        self.at_wait: Callable[[float], None] = lambda _elapsed: None

    def now(self) -> datetime:
        """Return the time, which starts at noon of a fixed day."""
        return datetime(2026, 1, 2, 12, tzinfo=timezone.utc) + timedelta(seconds=self._now)

    def monotonic(self) -> float:
        """Return the seconds waited so far."""
        return self._now

    def wait(self, seconds: float) -> None:
        """Advance the clock, and call ``at_wait``."""
        # As the real clock does: no wait lasts longer than the limit of ``Clock.until``.
        seconds = min(seconds, self.left())
        with self._lock:
            self._now += seconds
            self.waits.append(seconds)
        self.at_wait(self._now)
        if self.stopping():
            raise Interrupted(self.signum)

    def restart(self) -> None:
        """Continue as the clock of the next process, which was not asked to stop."""
        self._stopping = False
        self.signum = 0
        self.stopped_at = math.inf
        self.at_wait = lambda _elapsed: None
