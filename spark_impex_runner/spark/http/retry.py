"""Retry what failed: the one loop, its delays, and when it gives up."""

from __future__ import annotations

import logging
import math
import random
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from spark_impex_runner.errors import SparkError
from spark_impex_runner.spark.failures import is_transient

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.clock import Clock

T = TypeVar("T")
_log = logging.getLogger(__name__)
# The longest `Retry-After` in seconds that is obeyed: a longer one would hold up a whole run.
MAX_RETRY_AFTER = 3600.0
# A wait of so many seconds is logged as a warning: a silent run looks as if it hung.
_LOGGED_FROM = 30.0
# An unreachable host is given up after ten seconds, so longer pauses would waste its attempts.
_UNREACHED_PAUSE = 2.0
# Seconds between two replies that must agree: a cache or a proxy may repeat a wrong one at once.
CONFIRM_PAUSE = 2.0
# Seconds until an end above which a hint includes the date, or leaves the end out.
_DAY = 86_400.0
_MAX_HINT = 366 * _DAY


def accepted_wait(requested: float | None, longest: float = MAX_RETRY_AFTER) -> float:
    """Return the seconds that a server asked to wait; 0 for None and for more than ``longest``.

    With 0 the request is retried as if the server had named no time.
    """
    return requested if requested is not None and requested <= longest else 0.0


def confirmed(read: Callable[[], T], clock: Clock, pause: float = CONFIRM_PAUSE) -> T:
    """Return what ``read`` returns; read a second time before an empty result counts."""
    found = read()
    if not found:
        clock.wait(pause)
        found = read()
    return found


def retry_hint(
    clock: Clock, pause: float, attempt: int, left: float, attempts: float = math.inf
) -> str:
    """Return the text that announces a retry: its pause, its number, and when retries end.

    They end in ``left`` seconds, or, if that is not positive, after ``attempts`` attempts.
    """
    end = f" of {attempts:g}" if attempts < math.inf else ""
    if 0 < left < _MAX_HINT:
        day = "%Y-%m-%d " if left >= _DAY else ""
        end = f", until {clock.now() + timedelta(seconds=left):{day}%H:%M}Z"
    when = f"in {round(pause, 1):g} s" if pause else "now"
    return f"retrying {when} (attempt {attempt}{end})"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when a failed request is retried: full jitter below a growing cap.

    Before retry ``n`` (from 0) the wait is ``draw() * min(cap, first * factor**n)`` seconds, or
    the server's ``Retry-After`` if that is longer. A ``Retry-After`` that would end more than
    ``budget`` seconds after the first failure is ignored. ``attempts`` requests may fail. Work that
    makes progress counts them from its last step, and also needs ``stall_timeout`` seconds without
    progress to fail: enough for a network outage of minutes or a restart of a server.
    """

    attempts: float = 6
    first: float = 1.0
    factor: float = 2.0
    cap: float = 16.0
    budget: float = MAX_RETRY_AFTER
    stall_timeout: float = 600.0
    draw: Callable[[], float] = random.random

    def pause(self, failures: int, requested: float | None, waited: float = 0.0) -> float:
        """Return the seconds to wait after so many failures, ``waited`` seconds after the first."""
        # The bound keeps the power of a long download within the range of a float.
        ceiling = self.first * self.factor ** min(failures - 1, 64)
        drawn = self.draw() * min(self.cap, ceiling)
        return max(accepted_wait(requested, self.budget - waited), drawn)


# For requests that may succeed at once or never: a run that stops has no time to wait.
IMMEDIATE = RetryPolicy(attempts=3, first=0.0, budget=0.0, stall_timeout=0.0)


def retry(  # noqa: PLR0913 - what differs between the uses of one loop
    once: Callable[[], T],
    policy: RetryPolicy,
    clock: Clock,
    *,
    transient: Callable[[SparkError], bool] = is_transient,
    progress: Callable[[], int] | None = None,
    report: Callable[[SparkError, str], None] | None = None,
) -> T:
    """Call ``once`` until it succeeds; raise its last error, or one that is not transient.

    ``progress`` returns how far the work has come. ``report`` is called before each wait with
    the error and a hint such as ``retrying in 16 s (attempt 3 of 6)``; it may raise instead.
    Raises ``Interrupted`` as soon as the run is asked to stop.
    """
    position, stall_timeout = progress or (lambda: 0), policy.stall_timeout if progress else 0.0
    at, since, failures = position(), clock.monotonic(), 0
    while True:
        try:
            return once()
        except SparkError as error:
            if (now_at := position()) > at:
                at, since, failures = now_at, clock.monotonic(), 0
            failures, waited = failures + 1, clock.monotonic() - since
            # Both must hold: a single attempt may last longer than the timeout, and a host that
            # refuses at once uses up its attempts within seconds.
            exhausted = failures >= policy.attempts and waited >= stall_timeout
            if exhausted or not transient(error):
                raise
            pause = policy.pause(failures, getattr(error, "retry_after", None), waited)
            if not getattr(error, "reached", True):
                pause = min(pause, _UNREACHED_PAUSE)
            left = stall_timeout - waited
            hint = retry_hint(clock, pause, failures + 1, left, policy.attempts)
            if report:
                report(error, hint)
            else:
                _log.log(
                    logging.WARNING if pause >= _LOGGED_FROM else logging.DEBUG,
                    "%s; %s",
                    error,
                    hint,
                )
        if pause:
            clock.wait(pause)
