"""Repeating a safe request: which replies deserve it, how long to wait, when to give up."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.errors import (
    SparkApiError,
    SparkSdkError,
    TransportError,
    may_pass_by_itself,
)
from spark_impex_runner.spark.reply import retry_after

if TYPE_CHECKING:
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.errors import SparkError
    from spark_impex_runner.spark.reply import HttpResponse

_log = logging.getLogger(__name__)
# A wait of so many seconds is logged: a run that says nothing looks as if it hung.
_LONG = 30.0
# A host without any contact is given up soon, so it is not waited for longer between two requests.
_UNREACHED = 2.0


# The longest wait in seconds that a server may ask for.
LONGEST = 3600.0


def granted(asked: float | None, longest: float = LONGEST) -> float:
    """Return the seconds to wait that a server asked for; 0 for none, and for more than allowed.

    A request that is refused with such a wait is repeated as if the server had named no time.
    """
    return asked if asked is not None and asked <= longest else 0.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How a safe request is repeated: full jitter below a growing ceiling.

    At most ``attempts`` requests; before repeat ``n`` (from 0) the wait is
    ``draw() * min(ceiling, first * 2**n)`` seconds, or what the server asked for if that is
    longer. A wait that would end more than ``longest`` seconds after the first failure is not
    granted: the request is then repeated as if the server had asked for none.

    ``still`` is how long (seconds) a download may stand still: long enough for a network that is
    gone for some minutes or a server that is restarted, too short to hold up a run for an hour.
    """

    clock: Clock
    attempts: int = 6
    first: float = 1.0
    ceiling: float = 16.0
    longest: float = LONGEST
    still: float = 600.0
    draw: Callable[[], float] = random.random

    def repeat(
        self, once: Callable[[], HttpResponse], passing: Callable[[HttpResponse], bool]
    ) -> HttpResponse:
        """Call ``once`` until it yields a reply that is not ``passing``, or patience ends.

        Returns the last reply, whatever it is; raises the last ``TransportError``.
        """
        return self._repeat(once, passing, _Budget(self, 0.0, lambda: 0))

    def repeat_while_moving(
        self,
        once: Callable[[], HttpResponse],
        passing: Callable[[HttpResponse], bool],
        position: Callable[[], int],
    ) -> HttpResponse:
        """Call ``once`` like ``repeat``, but as long as ``position`` grows.

        Patience ends ``still`` seconds and ``attempts`` requests after the last step forward.
        """
        return self._repeat(once, passing, _Budget(self, self.still, position))

    def _repeat(
        self,
        once: Callable[[], HttpResponse],
        passing: Callable[[HttpResponse], bool],
        budget: _Budget,
    ) -> HttpResponse:
        while True:
            asked, longest = 0.0, math.inf
            try:
                reply = once()
            except TransportError as error:
                if error.permanent or not budget.lasts():
                    raise
                if not error.reached:
                    longest = _UNREACHED
            else:
                if not passing(reply) or not budget.lasts():
                    return reply
                asked = granted(retry_after(reply.headers, self.clock.now()), budget.longest)
                if asked >= _LONG:
                    told = "HTTP %d: the server asks for a wait of %.0f s; the request is repeated"
                    _log.warning(told, reply.status, asked)
            pause = min(max(asked, self.draw() * budget.pause), longest)
            _log.debug("request %d in a row failed; the next in %.1f s", budget.failures, pause)
            self.clock.wait(pause)


class _Budget:
    """The failures since the last step forward, and whether they are still to be borne.

    Both limits must be passed before it ends: a long attempt alone does not end a download, and
    neither do many quick ones.
    """

    def __init__(self, patience: Patience, still: float, position: Callable[[], int]) -> None:
        self._patience = patience
        self._still = still
        self._position = position
        self._begin()

    def _begin(self) -> None:
        self._at = self._position()
        self._since = self._patience.clock.monotonic()
        self._ceiling = self._patience.first
        self.failures = 0
        self.pause = 0.0

    def lasts(self) -> bool:
        """Count one failure, set the longest ``pause`` after it; False where it was the last."""
        if self._position() > self._at:
            self._begin()
        self.failures += 1
        self.pause = min(self._patience.ceiling, self._ceiling)
        self._ceiling *= 2
        return self.failures < self._patience.attempts or self._waited() < self._still

    @property
    def longest(self) -> float:
        """The longest wait that may be granted now."""
        return self._patience.longest - self._waited()

    def _waited(self) -> float:
        return self._patience.clock.monotonic() - self._since


def is_passing(reply: HttpResponse) -> bool:
    """Tell whether a failure may pass by itself."""
    said = reply.data if isinstance(reply.data, Mapping) else {}
    return may_pass_by_itself(reply.status, said.get("type"))


def is_unknown_job(error: SparkError) -> bool:
    """Tell whether the tenant does not know a job: 500 INVALID_JOB_ID (documented for imports).

    A 404 counts only with a code of the API: that of a proxy says nothing about the job.
    """
    if not isinstance(error, SparkApiError):
        return False
    return error.code == "INVALID_JOB_ID" or (error.status == 404 and bool(error.code))


def doubt_of(error: SparkError) -> str:
    """Return the kind of an error that counts only if the next answer agrees; else nothing.

    It denies a job, or is not the tenant's own word: it has no code of the API, as a proxy's page.
    """
    if isinstance(error, SparkApiError):
        if is_unknown_job(error):
            return "unknown"
        return "" if error.code else "refused"
    return "unreadable" if type(error) is SparkSdkError else ""
