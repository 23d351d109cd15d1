"""A clock for tests: nobody has to wait for it."""

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
    """A clock whose waits only move its hands; ``waits`` lists them.

    ``at_wait`` is called after each wait with the seconds waited so far: there a test acts at a
    moment of its choice.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._now = 0.0
        self._lock = threading.Lock()
        self.at_wait: Callable[[float], None] = lambda _elapsed: None

    def now(self) -> datetime:
        """Return a time that starts at noon of a fixed day."""
        return datetime(2026, 1, 2, 12, tzinfo=timezone.utc) + timedelta(seconds=self._now)

    def monotonic(self) -> float:
        """Return the seconds waited so far."""
        return self._now

    def wait(self, seconds: float) -> None:
        """Move the hands, and let ``at_wait`` act."""
        seconds = min(seconds, self.left())
        with self._lock:
            self._now += seconds
            self.waits.append(seconds)
        self.at_wait(self._now)
        if self.stopping():
            raise Interrupted(self.signum)

    def restart(self) -> None:
        """Go on as the clock of the next process: nobody has asked that one to stop."""
        self._stopping = False
        self.signum = 0
        self.stopped_at = math.inf
        self.at_wait = lambda _elapsed: None
