"""Log how far a long piece of work is that no live view shows."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spark_impex_runner.clock import Clock

_log = logging.getLogger(__name__)

# Seconds from one line to the next: the first, and the longest.
_FIRST, _LONGEST = 5.0, 60.0


class ProgressLog:
    """Logs a line after 5 seconds, and then ever less often; safe to share by threads.

    ``text`` has a place for what is done and one for ``total``.
    """

    def __init__(self, clock: Clock, text: str, total: int) -> None:
        self._clock, self._text, self._total = clock, text, total
        self._lock = threading.Lock()
        self._done, self._pause = 0, _FIRST
        self._due = clock.monotonic() + _FIRST

    def advance(self) -> None:
        """Count one item as done, and log a line if it is time for one."""
        with self._lock:
            self._done += 1
            now = self._clock.monotonic()
            if now < self._due or self._done == self._total:
                return
            self._pause = min(2 * self._pause, _LONGEST)
            self._due = now + self._pause
            message = self._text.format(f"{self._done:,}", f"{self._total:,}")
        _log.info("%s", message)
