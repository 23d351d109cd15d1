"""Waiting for a job as the official SDK's callers do: a steady interval, and an end to it."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.errors import (
    JobError,
    RetryTimeoutError,
    SparkError,
    UsageError,
)
from spark_impex_runner.models import Status, Verdict
from spark_impex_runner.spark import limits
from spark_impex_runner.spark.retry import doubt_of, granted
from spark_impex_runner.spark.status import explain, is_known
from spark_impex_runner.spark.words import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.spark.reply import HttpResponse
    from spark_impex_runner.spark.session import Wire

_log = logging.getLogger(__name__)

DEADLINE = 1800.0
INTERVAL = 1.0
_ERRORS = 600.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long to look, and how often.

    ``retries`` is the number of looks; None means looking for ``deadline`` seconds (half an hour:
    the server ends its own jobs after 20 minutes, seen in a saved configuration). ``interval`` is
    in seconds and constant; a longer ``Retry-After`` of the server wins. ``name`` is for messages.
    A look may fail in a way that ``bears`` knows, for up to ten minutes on end. An answer that
    ``odd`` knows, an end without the tenant's errors, and a reply that is none of the API's, count
    only if the next one agrees.
    """

    name: str
    wire: Wire
    retries: int | None = None
    interval: float = INTERVAL
    deadline: float = DEADLINE
    bears: Callable[[SparkError], bool] = lambda _: False
    odd: Callable[[Status], bool] = lambda _: False

    def __post_init__(self) -> None:
        require_limits(self.retries, self.interval)

    def until_done(
        self,
        look: Callable[[], tuple[HttpResponse, Status]],
        judge: Callable[[Status], Verdict],
    ) -> HttpResponse:
        """Look until the job is done, and return that reply.

        Raises ``JobError`` with the tenant's words as soon as the job has failed, and
        ``RetryTimeoutError`` right after the last look, without one more wait.
        """
        clock = self.wire.clock
        end = clock.monotonic() + self.deadline
        looks, strange, patience, doubt = 0, "", _Patience(self), ""
        while True:
            asked = None
            try:
                with clock.until(math.inf if self.retries else end + limits.LAST_LOOK):
                    reply, status = look()
            except SparkError as error:
                before, doubt = doubt, doubt_of(error)
                asked = patience.bear(error, doubtful=bool(doubt) and doubt != before)
            else:
                patience.begin()
                judged = judge(status)
                before, doubt = doubt, self._doubt(judged, status)
                if (not doubt or doubt == before) and self._is_done(judged, status):
                    return reply
                if not is_known(status) and status.word != strange:
                    strange = status.word
                    _log.warning("%s has the unknown status '%s'", self.name, one_line(strange))
                asked = status.retry_after
            looks += 1
            left = end - clock.monotonic()
            if looks == self.retries or (self.retries is None and left <= 0):
                raise self._out_of_time(looks)
            pause = max(self.interval, granted(asked))
            clock.wait(pause if self.retries else min(pause, left))

    def _doubt(self, judged: Verdict, status: Status) -> str:
        """Return the kind of an answer that ends the wait, but may be a mistake."""
        if judged is Verdict.FAILED and not status.errors:
            return "failed"
        return "odd" if judged is Verdict.DONE and self.odd(status) else ""

    def _is_done(self, judged: Verdict, status: Status) -> bool:
        """Tell whether the wait is over; raise where it ends badly."""
        if judged is Verdict.FAILED:
            said = self.wire.masker.mask(explain(status))
            raise JobError(f"{self.name} ended without success: {said}")
        return judged is Verdict.DONE

    def _out_of_time(self, looks: int) -> RetryTimeoutError:
        return RetryTimeoutError(
            f"{self.name} was not done after {looks} status checks at {self.interval:g} s; "
            "it may still run: raise max_retries or retry_interval, or cancel it",
            retries=looks,
            interval=self.interval,
        )


class _Patience:
    """How long looks have failed on end."""

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting
        self._since: float | None = None

    def begin(self) -> None:
        """Forget the failures before a look that succeeded."""
        self._since = None

    def bear(self, error: SparkError, *, doubtful: bool) -> float | None:
        """Return what the server asked to wait; raise what is permanent, or has lasted too long."""
        now = self._waiting.wire.clock.monotonic()
        self._since = now if self._since is None else self._since
        bears = doubtful or self._waiting.bears(error)
        if not bears or now - self._since >= _ERRORS:
            raise error
        _log.warning("%s could not be looked at, trying again: %s", self._waiting.name, error)
        return getattr(error, "retry_after", None)


def require_limits(retries: int | None, interval: float | None) -> None:
    """Raise ``UsageError`` for limits that no wait can keep; None stands for the default."""
    if retries is not None and retries < 1:
        raise UsageError(f"max_retries is {retries}; it must be 1 or more")
    if interval is not None and interval < 0:
        raise UsageError(f"retry_interval is {interval:g}; it must be 0 or more")
