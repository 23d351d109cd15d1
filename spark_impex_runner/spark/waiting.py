"""Wait for a job: the one loop, what it tolerates, and what ends it."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.errors import (
    JobError,
    RetryTimeoutError,
    SparkError,
    TooLargeError,
    UsageError,
)
from spark_impex_runner.models import Status, Verdict
from spark_impex_runner.spark.failures import is_transient, mentions_size_limit, unconfirmed
from spark_impex_runner.spark.http import limits
from spark_impex_runner.spark.http.retry import accepted_wait, retry_hint
from spark_impex_runner.spark.status import explain, is_known
from spark_impex_runner.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.spark.http.session import HttpClient

_log = logging.getLogger(__name__)

# The server ends its jobs after 20 minutes (observed in a published configuration).
DEADLINE = 1800.0
INTERVAL = 1.0
# The longest time in seconds without a valid reply: a network outage or a restart takes minutes.
_MAX_OUTAGE = 600.0


@dataclass
class JobWaiter:
    """One wait for a job: its limits and its state.

    The first ``check`` is made at once, the others ``interval`` seconds apart or as the server's
    ``Retry-After`` asks; ``next_delay`` may be overridden. The wait ends after ``max_checks``
    checks, ``deadline`` seconds, or ``stall_after`` seconds without a new status. Errors that
    ``tolerates`` accepts may last for ten minutes. A reply that ends the wait, but may be wrong,
    counts only if the next one confirms it. In messages ``name`` is the job's, ``settings``
    precedes the names of the limits, and ``advice`` is what to do at a limit.
    """

    name: str
    http: HttpClient
    check: Callable[[], Status]
    judge: Callable[[Status], Verdict]
    is_doubtful: Callable[[Status], bool] = lambda _: False
    interval: float = INTERVAL
    max_checks: int | None = None
    deadline: float = DEADLINE
    stall_after: float = math.inf
    tolerates: Callable[[SparkError], bool] = is_transient
    settings: str = ""
    advice: str = ""

    def __post_init__(self) -> None:
        require_limits(self.max_checks, self.interval)
        self.started = self.http.clock.monotonic()
        self.checks = 0
        self.last_status = "created"
        self.retry_after: float | None = None
        self._status_since = 0.0
        self._failing_since: float | None = None
        self._failures = 0
        self._unconfirmed = ""

    def next_delay(self) -> float:
        """Return the seconds to wait before the next check."""
        return max(self.interval, accepted_wait(self.retry_after))

    def doubt_about(self, verdict: Verdict, status: Status) -> str:
        """Return why the reply about a finished job may be wrong, or an empty text."""
        if verdict is Verdict.FAILED:
            return "" if status.errors else explain(status)
        return f"'{one_line(status.status)}' without any result" if self.is_doubtful(status) else ""

    def handle_unknown_job(self, error: SparkError) -> None:
        """Raise after two replies, of which ``error`` is the last, that deny the job."""
        raise error

    def report_status(self, status: Status, message: str) -> None:
        """Report a new status; the wait continues after an unknown one, too."""
        _log.log(logging.DEBUG if is_known(status) else logging.WARNING, "%s", message)

    def report_problem(self, message: str) -> None:
        """Report a check that will be repeated."""
        _log.warning("%s", message)

    def until_done(self) -> Status:
        """Check until the job is done; return its last status.

        Raises:
            JobError: the tenant ended the job without success.
            RetryTimeoutError: a limit was reached, right after a last check.
            SparkError: a check failed permanently, or for ten minutes.
        """
        clock = self.http.clock
        while True:
            problem, failure = "", None
            try:
                with clock.until(self._end() + limits.LAST_CHECK):
                    status = self.check()
            except SparkError as error:
                self._require_tolerable(error)
                problem, failure = f"the status of {self.name} is unavailable", error
            else:
                verdict = self.judge(status)
                if verdict is not Verdict.PENDING:
                    doubt = self.doubt_about(verdict, status)
                    if not doubt or self._is_confirmed("ended"):
                        return self._finished(verdict, status)
                    problem = f"{self.name} is reported as {doubt}"
                self._record(verdict, status)
            self.checks += 1
            self._failures = self._failures + 1 if problem else 0
            self._check_limits(failure)
            pause = self.pause()
            if problem:
                detail = f": {failure}" if failure else ""
                self.report_problem(f"{problem}, {self._hint(pause)}{detail}")
            clock.wait(pause)

    def pause(self) -> float:
        """Return the seconds until the next check, which is at the deadline at the latest."""
        return min(self.next_delay(), max(self.deadline - self.elapsed(), 0.0))

    def elapsed(self) -> float:
        """Return the seconds since this wait began."""
        return self.http.clock.monotonic() - self.started

    def _end(self) -> float:
        """Return the time of the next limit, by the monotonic clock."""
        return self.started + min(self.deadline, self._status_since + self.stall_after)

    def _require_tolerable(self, error: SparkError) -> None:
        """Raise an error that is permanent, or has lasted too long."""
        kind, now = unconfirmed(error), self.elapsed()
        if kind == "unknown":
            if self._is_confirmed(kind):
                self.handle_unknown_job(error)
        elif not self.tolerates(error) and (not kind or self._is_confirmed(kind)):
            raise error
        self._failing_since = now if self._failing_since is None else self._failing_since
        if now - self._failing_since >= _MAX_OUTAGE:
            raise error
        self.retry_after = getattr(error, "retry_after", None)

    def _is_confirmed(self, doubt: str) -> bool:
        """Return whether the previous reply raised the same doubt."""
        before, self._unconfirmed = self._unconfirmed, doubt
        return before == doubt

    def _finished(self, verdict: Verdict, status: Status) -> Status:
        if verdict is Verdict.DONE:
            return status
        explanation = self.http.masker.mask(explain(status))
        kind = TooLargeError if mentions_size_limit(explanation) else JobError
        raise kind(f"{self.name} ended as '{one_line(status.status)}': {explanation}")

    def _record(self, verdict: Verdict, status: Status) -> None:
        """Record a reply that does not end the wait, and report a new status."""
        self._failing_since = None
        self.retry_after = status.retry_after
        if verdict is not Verdict.PENDING:
            return
        # A running job in between means that the doubtful reply was wrong.
        self._unconfirmed = ""
        if status.status != self.last_status:
            self.last_status, self._status_since = status.status, self.elapsed()
            message = f"{self.name} is {status.status}"
            if not is_known(status):
                word = one_line(status.status)
                message = f"{self.name} has the unknown status '{word}', still waiting"
            self.report_status(status, message)

    def _check_limits(self, failure: SparkError | None) -> None:
        """Raise when the wait has reached one of its limits."""
        elapsed, why = self.elapsed(), ""
        if self.max_checks is not None and self.checks >= self.max_checks:
            why = f"after {self.checks} status checks (max_retries)"
        elif elapsed >= self.deadline:
            why = f"after {self.deadline:g} s ({self.settings}deadline)"
        elif elapsed - self._status_since >= self.stall_after:
            why = f"unchanged for {self.stall_after:g} s ({self.settings}stall_after)"
        if why:
            raise RetryTimeoutError(
                f"{self.name} is still '{one_line(self.last_status)}' {why}{self.advice}",
                retries=self.checks,
                interval=self.interval,
            ) from failure

    def _hint(self, pause: float) -> str:
        """Return when the next check is made, and until when checks may fail."""
        since = math.inf if self._failing_since is None else self._failing_since
        left = min(self._end(), self.started + since + _MAX_OUTAGE) - self.http.clock.monotonic()
        return retry_hint(self.http.clock, pause, self._failures + 1, left)


def require_limits(retries: int | None, interval: float | None) -> None:
    """Raise ``UsageError`` for invalid limits; None stands for the default."""
    if retries is not None and retries < 1:
        raise UsageError(f"max_retries is {retries}; it must be 1 or more")
    if interval is not None and interval < 0:
        raise UsageError(f"retry_interval is {interval:g}; it must be 0 or more")
