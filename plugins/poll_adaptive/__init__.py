"""The ``adaptive`` polling strategy: quick checks for a short job, rare ones for a long job.

Each wait is a share of the time that the job has taken so far. So the end of any job, short or
long, is noticed within 15% of its duration, by some 50 checks in 20 minutes.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from spark_impex_runner.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.models import Poll
    from spark_impex_runner.registry import Registry

NAME = "adaptive"
FIRST = 1.0
SHARE = 0.15
LONGEST = 120.0
JITTER = 0.1


@hookimpl
def impex_register(registry: Registry) -> None:
    """Offer the strategy."""
    registry.strategy(NAME, "waits grow with the job's age; its end is seen within 15% of it")


@hookimpl(trylast=True)
def impex_poll_delay(poll: Poll) -> float | None:
    """Answer for ``adaptive`` only."""
    if poll.strategy != NAME:
        return None
    return delay(poll, random.random)


def delay(poll: Poll, draw: Callable[[], float]) -> float:
    """Return the seconds to wait before the next check.

    ``draw`` returns a number from 0 to 1: jitter, which shortens a wait by up to a tenth, so
    that many runs that began together do not ask together. ``retry_interval`` and what the
    server asked for are floors; the deadline is the ceiling.
    """
    wait = min(max(FIRST - poll.elapsed, SHARE * poll.elapsed), LONGEST)
    wait *= 1 - JITTER * draw()
    wait = max(wait, poll.retry_interval or 0.0, poll.retry_after or 0.0)
    return max(0.0, min(wait, poll.remaining))
