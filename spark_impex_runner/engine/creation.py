"""One job for one intent, however often a reply or a process is lost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from spark_impex_runner.engine.compare import missing, silent
from spark_impex_runner.engine.course import Pause
from spark_impex_runner.engine.poll import LAST_LOOK
from spark_impex_runner.engine.weather import (
    forgotten,
    gone,
    may_have_created,
    may_pass,
    too_large,
    unreadable,
)
from spark_impex_runner.errors import Interrupted, RetryTimeoutError, SparkApiError, SparkError

if TYPE_CHECKING:
    from spark_impex_runner.engine.context import Context
    from spark_impex_runner.engine.course import Course
    from spark_impex_runner.models import Job
    from spark_impex_runner.spark.client import Spark
    from spark_impex_runner.state.store import Attempt

# How far the tenant's clock may be behind ours.
_SKEW = timedelta(minutes=10)
_CEILING = 16.0
_BUSY_PAUSE = 5.0
# So many replies that are none of the API's are borne: a login page stays for good.
_STRANGE = 4


@dataclass(slots=True)
class Creation:
    """Finds the job of an intent or creates it, until ``polling.deadline``."""

    job: Job
    spark: Spark
    context: Context
    attempt: Attempt
    unclear: bool = False  # whether a job may exist whose id is not known

    def is_forgotten(self) -> bool:
        """Tell whether the tenant does not know the attempt's job any more."""
        try:
            self.spark.impex.exports.status(self.attempt.job_id)
        except SparkError as error:
            return gone(error, self.spark, self.attempt.job_id)
        return False

    def job_id(self, *, adopted: bool) -> Course[str]:
        """Return the id of the one job of this intent; a course that pauses between two tries.

        An adopted intent may have a job already, whose reply was lost: it is looked for before
        anything is created, and so after each create call that failed without a clear answer.
        Nothing is created while the tenant cannot be asked.
        """
        clock, failures, strange = self.context.clock, 0, 0
        end, self.unclear = clock.monotonic() + self.job.target.polling.deadline, adopted
        waiting = False
        while True:
            clock.check()
            try:
                with clock.until(end + LAST_LOOK):
                    if self.unclear and (found := self.find()):
                        self._tell_found(found)
                        return found
                    return self._create()
            except SparkError as error:
                busy = self._is_busy(error)
                strange += unreadable(error)
                bearable = busy or may_pass(error) or (unreadable(error) and strange < _STRANGE)
                if not bearable or clock.monotonic() >= end:
                    raise self._busy_for_too_long(error) if busy else error from error
                if busy:
                    waiting = waiting or self._tell_waiting(error)
                else:
                    failures += 1
                    self._tell_failure(error)
                pause = _BUSY_PAUSE if busy else self._pause(failures, error)
            yield Pause(min(pause, max(end - clock.monotonic(), 0.0)))

    def _create(self) -> str:
        """Create the job; ``unclear`` says afterwards whether one may exist without a known id."""
        before, self.unclear = self.unclear, True
        try:
            return self.spark.impex.exports.create(self.job.request).id
        except Interrupted as error:
            self.unclear = before or error.unanswered
            raise
        except SparkError as error:
            self.unclear = before or (may_have_created(error) and not self._is_busy(error))
            raise

    def _is_busy(self, error: SparkError) -> bool:
        """Tell whether there may be room later; for what is too large there is none."""
        if not isinstance(error, SparkApiError) or too_large(error):
            return False
        return self.spark.impex.exports.is_busy(error)

    def _busy_for_too_long(self, error: SparkError) -> RetryTimeoutError:
        deadline = self.job.target.polling.deadline
        return RetryTimeoutError(
            f"the tenant was busy with other jobs for {deadline:g} s (polling.deadline); "
            f"no job was created, try again later: {error}"
        )

    def find(self) -> str:
        """Look for a job with our correlation id that no other attempt owns; newest first."""
        exports, state = self.spark.impex.exports, self.context.state
        for listed in exports.listed():
            too_old = listed.created and listed.created < self.attempt.intended - _SKEW
            if too_old or state.owner(listed.id):
                continue
            if self._is_ours(listed.id):
                return listed.id
        return ""

    def _is_ours(self, job_id: str) -> bool:
        try:
            status = self.spark.impex.exports.status(job_id)
        except SparkError as error:
            if forgotten(error):
                return False  # it left the listing just now
            raise
        if status.correlation_id != self.attempt.correlation_id:
            return False
        # Several targets may share one correlation id: a job that is done shows what it was for.
        return silent(status) or not missing(self.job.request, status)

    def _pause(self, failures: int, error: SparkError) -> float:
        """Return a wait: full jitter below a growing ceiling, or what the server asked for.

        At least a second: a create call that was cut off may be a moment late in the listing.
        """
        drawn = self.spark.session.wire.patience.draw() * min(_CEILING, 2.0**failures)
        asked = error.retry_after if isinstance(error, SparkApiError) else None
        return max(drawn, asked or 0.0, 1.0)

    def _tell_found(self, job_id: str) -> None:
        told = f"job {job_id} was created by a call whose reply was lost; going on with it"
        self.context.changed(self.job, "job.found", told, job_id=job_id)

    def _tell_waiting(self, error: SparkError) -> bool:
        """Say once that the tenant is busy."""
        self.context.changed(self.job, "job.waiting", f"waiting for another job to end: {error}")
        return True

    def _tell_failure(self, error: SparkError) -> None:
        self.context.changed(self.job, "job.create_failed", f"{error}; looking again")
