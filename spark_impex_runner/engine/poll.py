"""Waiting for one job: delays and verdicts come from hooks, deadlines from the manifest."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spark_impex_runner.engine.compare import missing, silent
from spark_impex_runner.engine.course import Pause
from spark_impex_runner.engine.weather import (
    forgotten,
    gone,
    may_pass,
    speaks_of_size,
    unreadable,
)
from spark_impex_runner.errors import (
    JobError,
    RetryTimeoutError,
    SparkError,
    TooLargeError,
)
from spark_impex_runner.models import Poll, Verdict
from spark_impex_runner.spark import limits
from spark_impex_runner.spark.retry import doubt_of, granted
from spark_impex_runner.spark.status import explain, is_known

if TYPE_CHECKING:
    from spark_impex_runner.engine.context import Context
    from spark_impex_runner.engine.course import Course
    from spark_impex_runner.models import Job, Status
    from spark_impex_runner.spark.client import Spark

# For so many seconds on end a job may be out of sight before the wait for it is given up.
_ERRORS = 600.0


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of earlier jobs, as ``Poll`` tells it to a strategy."""

    durations: tuple[float, ...] = ()
    similar: tuple[float, ...] = ()


def wait_for(job: Job, spark: Spark, context: Context, past: Past) -> Course[Status]:
    """Return the status of the finished job; a course that pauses between two looks.

    Raises ``JobError`` when the tenant ended it without success, ``RetryTimeoutError`` at the
    deadline, after ``max_retries`` checks, or when its word has not changed for ``stall_after``,
    and ``SparkError`` when the tenant cannot be asked for ten minutes on end.
    """
    watch = _Watch(job, context, context.clock.monotonic(), past)
    while True:
        yield Pause(watch.next_delay())
        with context.clock.until(watch.end() + limits.LAST_LOOK):
            status = _look(job, spark, watch)
        if status is None:
            continue
        verdict = context.hooks.decide("impex_poll_verdict", job=job, status=status)
        if not isinstance(verdict, Verdict):
            raise context.hooks.refuse("impex_poll_verdict", verdict, "a Verdict")
        if verdict is not Verdict.PENDING and watch.is_settled(verdict, status):
            if verdict is Verdict.DONE:
                return status
            words = spark.session.wire.masker.mask(explain(status))
            kind = TooLargeError if speaks_of_size(words) else JobError
            raise kind(f"job {job.id} ended as '{status.word}': {words}")
        if verdict is Verdict.PENDING:
            watch.saw(status)
        watch.check_limits()


def _look(job: Job, spark: Spark, watch: _Watch) -> Status | None:
    """Ask for the status of a job; None where that failed in a way that may pass."""
    try:
        return spark.impex.exports.status(job.id, once=True)
    except SparkError as error:
        watch.failed(error, spark)
        return None


@dataclass
class _Watch:
    """One wait so far: its checks, its clock, and the last word that was seen.

    ``doubt`` is the kind of the last answer that would give up the job: one more must agree.
    """

    job: Job
    context: Context
    started: float
    past: Past
    checks: int = 0
    word: str = "created"
    word_since: float = 0.0
    retry_after: float | None = None
    failing_since: float | None = None
    doubt: str = ""

    def end(self) -> float:
        """Return when this wait has used up one of its limits, by the clock."""
        polling = self.job.target.polling
        return self.started + min(polling.deadline, self.word_since + polling.stall_after)

    def next_delay(self) -> float:
        """Ask the strategy how long to wait, cut at the deadline."""
        target, elapsed = self.job.target, self._elapsed()
        poll = Poll(
            strategy=target.polling.strategy,
            options=target.polling.options,
            checks=self.checks,
            elapsed=elapsed,
            remaining=max(target.polling.deadline - elapsed, 0.0),
            retry_interval=target.retry_interval,
            retry_after=granted(self.retry_after) or None,
            durations=self.past.durations,
            similar=self.past.similar,
        )
        hooks = self.context.hooks
        delay = hooks.decide("impex_poll_delay", job=self.job, poll=poll)
        number = isinstance(delay, (int, float)) and not isinstance(delay, bool)
        if not number or not math.isfinite(delay) or delay < 0:
            raise hooks.refuse("impex_poll_delay", delay, "seconds, 0 or more")
        return min(float(delay), poll.remaining)

    def is_settled(self, verdict: Verdict, status: Status) -> bool:
        """Tell whether an answer ends the wait; one that may be a mistake is asked for again."""
        odd = self._oddity(verdict, status)
        if not odd or self._confirmed("ended"):
            return True
        self._count(status)
        told = f"job {self.job.id} is reported as {odd}; asking again"
        self.context.changed(self.job, "job.look_failed", told)
        return False

    def saw(self, status: Status) -> None:
        """Note an answer that ends nothing, and report a word that was not seen before."""
        self.doubt = ""
        self._count(status)
        if status.word != self.word:
            self.word, self.word_since = status.word, self._elapsed()
            job = replace(self.job, status=status)
            event, message = "job.status", f"job {job.id} is {status.word}"
            if not is_known(status):
                event = "job.unknown_status"
                message = f"job {job.id} has the unknown status '{status.word}', waiting on"
            self.context.changed(job, event, message, status=status.word)

    def failed(self, error: SparkError, spark: Spark) -> None:
        """Count a look that failed; raise what is permanent, or has lasted for too long."""
        if forgotten(error):
            if self._confirmed("unknown") and gone(error, spark, self.job.id):
                raise JobError(
                    f"the tenant does not know job {self.job.id} any more: {error}"
                ) from error
        elif not (may_pass(error) or unreadable(error)):
            doubt = doubt_of(error)
            if not doubt or self._confirmed(doubt):
                raise error
        self.checks += 1
        if self.failing_since is None:
            self.failing_since = self._elapsed()
        if self._elapsed() - self.failing_since >= _ERRORS:
            raise error
        self.retry_after = getattr(error, "retry_after", None)
        told = f"job {self.job.id} could not be looked at, trying again: {error}"
        self.context.changed(self.job, "job.look_failed", told)
        self.check_limits()

    def _oddity(self, verdict: Verdict, status: Status) -> str:
        """Return what no answer about a finished job should say, or leave out."""
        if verdict is Verdict.FAILED:
            return "" if status.errors else explain(status)
        if self.job.target.missing == "fail" and not silent(status):
            lost = missing(self.job.request, status)
            return f"'{status.word}' without {', '.join(lost)}" if lost else ""
        return ""

    def _confirmed(self, doubt: str) -> bool:
        """Tell whether this answer and the one before agree."""
        before, self.doubt = self.doubt, doubt
        return before == doubt

    def _count(self, status: Status) -> None:
        self.checks += 1
        self.failing_since = None
        self.retry_after = status.retry_after

    def check_limits(self) -> None:
        """Raise when this wait has used up one of its limits."""
        target, elapsed = self.job.target, self._elapsed()
        if target.max_retries is not None and self.checks >= target.max_retries:
            self._give_up(f"after {self.checks} status checks (max_retries)")
        if elapsed >= target.polling.deadline:
            self._give_up(f"after {target.polling.deadline:g} s (polling.deadline)")
        if elapsed - self.word_since >= target.polling.stall_after:
            self._give_up(f"unchanged for {target.polling.stall_after:g} s (polling.stall_after)")

    def _give_up(self, why: str) -> None:
        raise RetryTimeoutError(
            f"job {self.job.id} is still '{self.word}' {why}",
            retries=self.checks,
            interval=self.job.target.retry_interval or 0.0,
        )

    def _elapsed(self) -> float:
        return self.context.clock.monotonic() - self.started
