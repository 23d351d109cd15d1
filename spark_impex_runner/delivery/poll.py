"""Wait for one job: hooks give delays and verdicts, the manifest gives the limits."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spark_impex_runner.errors import JobError, SparkError
from spark_impex_runner.models import Poll, Verdict
from spark_impex_runner.spark.completeness import is_unspecified, missing
from spark_impex_runner.spark.failures import is_not_api_reply, is_transient
from spark_impex_runner.spark.http.retry import accepted_wait
from spark_impex_runner.spark.jobs import is_gone
from spark_impex_runner.spark.status import is_known
from spark_impex_runner.spark.waiting import JobWaiter

if TYPE_CHECKING:
    from spark_impex_runner.delivery.progress import TargetProgress
    from spark_impex_runner.models import Status
    from spark_impex_runner.spark.client import Spark


@dataclass(frozen=True, slots=True)
class JobHistory:
    """The durations of earlier jobs, as ``Poll`` passes them to a strategy."""

    durations: tuple[float, ...] = ()
    similar: tuple[float, ...] = ()


def wait_until_done(progress: TargetProgress, spark: Spark, history: JobHistory) -> Status:
    """Poll a job until the tenant has finished it, and return its final status.

    Raises:
        JobError: the tenant ended the job without success, or no longer knows it.
        RetryTimeoutError: ``deadline``, ``max_retries`` or ``stall_after`` was reached.
        SparkError: the tenant could not be reached for ten minutes.
    """
    waiter = _TargetWaiter(progress, spark, history)
    progress.context.clock.wait(waiter.pause())
    return waiter.until_done()


class _TargetWaiter(JobWaiter):
    """A wait with the delays and verdicts of plugins, reported as events of the target."""

    def __init__(self, progress: TargetProgress, spark: Spark, history: JobHistory) -> None:
        job, exports = progress.job, spark.impex.exports
        super().__init__(
            f"job {job.id}",
            spark.session.http,
            # once: the waiter counts every request, so that nothing below it may retry.
            lambda: exports.status(job.id, once=True),
            self._verdict,
            interval=job.target.retry_interval or 0.0,
            max_checks=job.target.max_retries,
            deadline=job.target.polling.deadline,
            stall_after=job.target.polling.stall_after,
            # A proxy's or login page in place of the reply may be gone a moment later.
            tolerates=lambda error: is_transient(error) or is_not_api_reply(error),
            settings="polling.",
        )
        self._progress = progress
        self._list_jobs = exports.listed
        self._history = history

    def next_delay(self) -> float:
        """Return the seconds that the polling strategy answers."""
        self._progress.check()
        job, elapsed = self._progress.job, self.elapsed()
        self._progress.attempts = self.checks
        poll = Poll(
            strategy=job.target.polling.strategy,
            options=job.target.polling.options,
            checks=self.checks,
            elapsed=elapsed,
            remaining=max(self.deadline - elapsed, 0.0),
            retry_interval=job.target.retry_interval,
            retry_after=accepted_wait(self.retry_after) or None,
            durations=self._history.durations,
            similar=self._history.similar,
        )
        hooks = self._progress.context.hooks
        delay = hooks.call("impex_poll_delay", job=job, poll=poll)
        # isinstance alone would accept True, which is an int.
        number = isinstance(delay, (int, float)) and not isinstance(delay, bool)
        if not number or not math.isfinite(delay) or delay < 0:
            raise hooks.invalid_answer("impex_poll_delay", delay, "seconds, 0 or more")
        return float(delay)

    def doubt_about(self, verdict: Verdict, status: Status) -> str:
        """Return also the requested items that are missing, if that fails the target."""
        job = self._progress.job
        if verdict is Verdict.DONE and job.target.missing == "fail" and not is_unspecified(status):
            items = missing(job.request, status)
            return f"'{status.status}' without {', '.join(items)}" if items else ""
        return super().doubt_about(verdict, status)

    def handle_unknown_job(self, error: SparkError) -> None:
        """Raise ``JobError`` if the tenant's listing does not have the job either."""
        if is_gone(error, self._progress.job.id, self._list_jobs):
            raise JobError(f"{self.name} no longer exists on the tenant: {error}") from error

    def report_status(self, status: Status, message: str) -> None:
        """Report it as an event of the target."""
        event = "job.status" if is_known(status) else "job.unknown_status"
        job = replace(self._progress.job, status=status)
        self._progress.context.changed(job, event, message, status=status.status)

    def report_problem(self, message: str) -> None:
        """Report it as an event of the target."""
        self._progress.changed("job.look_failed", message)

    def _verdict(self, status: Status) -> Verdict:
        hooks = self._progress.context.hooks
        verdict = hooks.call("impex_poll_verdict", job=self._progress.job, status=status)
        if not isinstance(verdict, Verdict):
            raise hooks.invalid_answer("impex_poll_verdict", verdict, "a Verdict")
        return verdict
