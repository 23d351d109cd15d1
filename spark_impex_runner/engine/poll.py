"""Waiting for one job: delays and verdicts come from hooks, deadlines from the manifest."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spark_impex_runner.engine.compare import missing, silent
from spark_impex_runner.errors import (
    JobError,
    RetryTimeoutError,
    SparkError,
    TooLargeError,
)
from spark_impex_runner.models import Poll, Verdict
from spark_impex_runner.spark import limits
from spark_impex_runner.spark.failures import (
    is_gone,
    is_not_api_reply,
    is_transient,
    is_unknown_job,
    mentions_size_limit,
    unconfirmed,
)
from spark_impex_runner.spark.retry import granted
from spark_impex_runner.spark.status import explain, is_known

if TYPE_CHECKING:
    from spark_impex_runner.engine.progress import TargetProgress
    from spark_impex_runner.models import Status
    from spark_impex_runner.spark.client import Spark

# For so many seconds on end a job may be out of sight before the wait for it is given up.
_ERRORS = 600.0


@dataclass(frozen=True, slots=True)
class JobHistory:
    """What is known of earlier jobs, as ``Poll`` tells it to a strategy."""

    durations: tuple[float, ...] = ()
    similar: tuple[float, ...] = ()


def wait_until_done(progress: TargetProgress, spark: Spark, history: JobHistory) -> Status:
    """Poll a job until the tenant has finished it, and return its final status.

    Raises ``JobError`` when the tenant ended it without success, ``RetryTimeoutError`` at the
    deadline, after ``max_retries`` checks, or when its status has not changed for
    ``stall_after``, and ``SparkError`` when the tenant cannot be asked for ten minutes on end.
    """
    job, context = progress.job, progress.context
    state = PollState(progress, context.clock.monotonic(), history)
    while True:
        context.clock.wait(state.next_delay())
        with context.clock.until(state.end() + limits.LAST_LOOK):
            status = _status(spark, state)
        if status is None:
            continue
        verdict = context.hooks.decide("impex_poll_verdict", job=job, status=status)
        if not isinstance(verdict, Verdict):
            raise context.hooks.refuse("impex_poll_verdict", verdict, "a Verdict")
        if verdict is not Verdict.PENDING and state.is_settled(verdict, status):
            if verdict is Verdict.DONE:
                return status
            words = spark.session.http.masker.mask(explain(status))
            kind = TooLargeError if mentions_size_limit(words) else JobError
            raise kind(f"job {job.id} ended as '{status.word}': {words}")
        if verdict is Verdict.PENDING:
            state.record(status)
        state.check_limits()


def _status(spark: Spark, state: PollState) -> Status | None:
    """Ask for the status of a job; None after a transient failure."""
    try:
        return spark.impex.exports.status(state.progress.job.id, once=True)
    except SparkError as error:
        state.record_failure(error, spark)
        return None


@dataclass
class PollState:
    """One wait so far: its checks, its clock, and the last status that was seen.

    ``doubt`` is the kind of the last answer that would give up the job: one more must agree.
    """

    progress: TargetProgress
    started: float
    history: JobHistory
    word: str = "created"
    word_since: float = 0.0
    retry_after: float | None = None
    failing_since: float | None = None
    doubt: str = ""

    def end(self) -> float:
        """Return when this wait has used up one of its limits, by the clock."""
        polling = self.progress.job.target.polling
        return self.started + min(polling.deadline, self.word_since + polling.stall_after)

    def next_delay(self) -> float:
        """Ask the strategy how long to wait, cut at the deadline."""
        target, elapsed = self.progress.job.target, self._elapsed()
        poll = Poll(
            strategy=target.polling.strategy,
            options=target.polling.options,
            checks=self.progress.attempts,
            elapsed=elapsed,
            remaining=max(target.polling.deadline - elapsed, 0.0),
            retry_interval=target.retry_interval,
            retry_after=granted(self.retry_after) or None,
            durations=self.history.durations,
            similar=self.history.similar,
        )
        hooks = self.progress.context.hooks
        delay = hooks.decide("impex_poll_delay", job=self.progress.job, poll=poll)
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
        told = f"job {self.progress.job.id} is reported as {odd}; asking again"
        self.progress.changed("job.look_failed", told)
        return False

    def record(self, status: Status) -> None:
        """Note an answer that ends nothing, and report a word that was not seen before."""
        self.doubt = ""
        self._count(status)
        if status.word != self.word:
            self.word, self.word_since = status.word, self._elapsed()
            job = replace(self.progress.job, status=status)
            event, message = "job.status", f"job {job.id} is {status.word}"
            if not is_known(status):
                event = "job.unknown_status"
                message = f"job {job.id} has the unknown status '{status.word}', waiting on"
            self.progress.context.changed(job, event, message, status=status.word)

    def record_failure(self, error: SparkError, spark: Spark) -> None:
        """Count a look that failed; raise what is permanent, or has lasted for too long."""
        if is_unknown_job(error):
            gone = self._confirmed("unknown") and is_gone(
                error, self.progress.job.id, spark.impex.exports.listed
            )
            if gone:
                raise JobError(
                    f"the tenant does not know job {self.progress.job.id} any more: {error}"
                ) from error
        elif not (is_transient(error) or is_not_api_reply(error)):
            doubt = unconfirmed(error)
            if not doubt or self._confirmed(doubt):
                raise error
        self.progress.attempts += 1
        if self.failing_since is None:
            self.failing_since = self._elapsed()
        if self._elapsed() - self.failing_since >= _ERRORS:
            raise error
        self.retry_after = getattr(error, "retry_after", None)
        told = f"job {self.progress.job.id} could not be looked at, trying again: {error}"
        self.progress.changed("job.look_failed", told)
        self.check_limits()

    def _oddity(self, verdict: Verdict, status: Status) -> str:
        """Return what no answer about a finished job should say, or leave out."""
        if verdict is Verdict.FAILED:
            return "" if status.errors else explain(status)
        if self.progress.job.target.missing == "fail" and not silent(status):
            lost = missing(self.progress.job.request, status)
            return f"'{status.word}' without {', '.join(lost)}" if lost else ""
        return ""

    def _confirmed(self, doubt: str) -> bool:
        """Tell whether this answer and the one before agree."""
        before, self.doubt = self.doubt, doubt
        return before == doubt

    def _count(self, status: Status) -> None:
        self.progress.attempts += 1
        self.failing_since = None
        self.retry_after = status.retry_after

    def check_limits(self) -> None:
        """Raise when this wait has used up one of its limits."""
        target, elapsed = self.progress.job.target, self._elapsed()
        if target.max_retries is not None and self.progress.attempts >= target.max_retries:
            self._give_up(f"after {self.progress.attempts} status checks (max_retries)")
        if elapsed >= target.polling.deadline:
            self._give_up(f"after {target.polling.deadline:g} s (polling.deadline)")
        if elapsed - self.word_since >= target.polling.stall_after:
            self._give_up(f"unchanged for {target.polling.stall_after:g} s (polling.stall_after)")

    def _give_up(self, why: str) -> None:
        raise RetryTimeoutError(
            f"job {self.progress.job.id} is still '{self.word}' {why}",
            retries=self.progress.attempts,
            interval=self.progress.job.target.retry_interval or 0.0,
        )

    def _elapsed(self) -> float:
        return self.progress.context.clock.monotonic() - self.started
