"""The ``adaptive`` polling strategy: request a job's status when it is likely to end.

A request with a past: one early look sees a job that fails at once, one at half of the usual time
sees a job that became much shorter, the next comes just before the likely end, then short waits,
and growing ones once the job takes longer than it used to. No job is seen later than it usually
ends or than 23% after its end, whichever is later. A job that always takes equally long is seen at
most 5% late from its second run on, and by at most 5 requests from its sixth run on.

The likely end is the lower quartile of the last five durations. Each of them is an upper bound, for
an end is seen up to one wait late; so the short ones are the best guess, and the first look comes a
little before that. Where it still comes too late it becomes the next, lower bound: the estimate
sinks to the truth and cannot creep upwards. The fewer durations there are, the earlier is the first
look, for the first of them may be 23% too long.

A request without a past of its own, on a tenant with jobs of the same size: it is looked at when
those would end, and besides as if nothing were known, for it may be much quicker than they were.

A request without any past: each wait is 23% of the time that the job has taken so far. Jobs of 1 s
to 20 min, spread evenly over the orders of magnitude, are seen 10% late by 20 requests in the
median, and 23% late by some 40 requests at worst. To be never more than 15% late by 25 requests is
impossible: each request may come at most 1.15 times later than the one before, and 1.15**25 s is
33 s, not 20 min. Of all shares that keep both medians within these bounds, 23% exceeds both at
worst by about the same factor, 1.6: a smaller share needs more requests, a larger one is later.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from spark_impex_runner import Registry, hookimpl, models

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


NAME = "adaptive"
# Without history: the first request, in seconds, the share of the job's age, the longest wait.
FIRST = 1.0
SHARE = 0.23
LONGEST = 120.0
# With history: how many durations count; as shares of the likely one, how long before its end the
# first request comes when all of them are known, and each wait from then on; the shortest wait.
RECENT = 5
LEAD = 0.03
STEP = 0.04
SHORTEST = 0.05
# Jitter shortens a wait by up to this share of it; with history, by no more than DRIFT times the
# job's age, so that the request still comes at the chosen moment.
JITTER = 0.1
DRIFT = 0.01


@hookimpl
def impex_register(registry: Registry) -> None:
    """Register the strategy."""
    registry.strategy(
        NAME,
        "Requests the status just before the likely end, as earlier runs of the same request "
        "suggest; without them, waits grow with the job's age. retry_interval is the shortest.",
    )


@hookimpl(trylast=True)
def impex_poll_delay(poll: models.Poll) -> float | None:
    """Return the wait, for the strategy ``adaptive`` only."""
    if poll.strategy != NAME:
        return None
    return delay(poll, random.random)


def delay(poll: models.Poll, draw: Callable[[], float]) -> float:
    """Return the seconds to wait before the next check.

    ``draw`` returns a number from 0 to 1 for the jitter, which shortens a wait a little, so that
    many runs that began together do not ask together. ``retry_interval`` and what the server
    asked for are floors; the deadline is the ceiling.
    """
    history = poll.durations or poll.similar
    if history:
        wait = _wait_from_history(poll.elapsed, history)
        if not poll.durations:
            # This job may be faster than similar ones: their history may only add requests.
            wait = min(wait, _wait_from_age(poll.elapsed))
        jitter = min(JITTER * wait, DRIFT * (poll.elapsed + wait))
    else:
        wait = _wait_from_age(poll.elapsed)
        jitter = JITTER * wait
    wait -= jitter * draw()
    wait = max(wait, poll.retry_interval or 0.0, poll.retry_after or 0.0)
    return max(0.0, min(wait, poll.remaining))


def _wait_from_age(elapsed: float) -> float:
    """Return the wait for a job without history."""
    return min(max(FIRST - elapsed, SHARE * elapsed), LONGEST)


def _wait_from_history(elapsed: float, durations: Sequence[float]) -> float:
    """Return the wait for a job with durations of earlier runs."""
    recent = sorted(durations[:RECENT])
    likely = recent[(len(recent) - 1) // 4]
    begin = likely * (1 - LEAD * RECENT / len(recent))
    for moment in (min(FIRST, likely / 10), likely / 2, begin):
        # Jitter makes a request a little earlier: then this moment's request was already sent.
        if elapsed < moment * (1 - 2 * DRIFT):
            return max(SHORTEST, moment - elapsed)
    # The waits of an overdue job double: the next request comes when it is twice as late.
    wait = max(SHORTEST, STEP * likely, elapsed - likely)
    return min(wait, _wait_from_age(elapsed))
