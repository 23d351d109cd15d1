"""One job for one intent, however often a reply or a process is lost."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.errors import Interrupted, RetryTimeoutError, SparkApiError, SparkError
from spark_impex_runner.spark.completeness import is_unspecified, missing
from spark_impex_runner.spark.failures import (
    is_not_api_reply,
    is_too_large,
    is_transient,
    is_unknown_job,
    may_have_created,
    unconfirmed,
)
from spark_impex_runner.spark.http import limits
from spark_impex_runner.spark.http.retry import CONFIRM_PAUSE, accepted_wait, confirmed, retry_hint
from spark_impex_runner.spark.jobs import BUSY_PAUSE, is_gone

if TYPE_CHECKING:
    from spark_impex_runner.delivery.progress import TargetProgress
    from spark_impex_runner.spark.client import Spark

# So many replies that are none of the API's are borne: a login page stays for good.
_STRANGE = 4
# So many answers must agree before a job counts as absent.
_ANSWERS = 2


@dataclass(slots=True)
class JobCreator:
    """Finds the job of an attempt or creates it, until ``polling.deadline``."""

    progress: TargetProgress
    spark: Spark
    _end: float = math.inf
    _failures: int = 0
    _strange: int = 0
    _absent: int = 0
    _unseen: bool = False
    _waiting: bool = False

    def is_gone(self) -> bool:
        """Tell whether the tenant does not know the attempt's job any more."""
        job_id, exports = self.progress.attempt.job_id, self.spark.impex.exports

        def is_there() -> bool:
            try:
                exports.status(job_id)
            except SparkError as error:
                return not is_gone(error, job_id, exports.listed)
            return True

        return not confirmed(is_there, self.progress.context.clock)

    def job_id(self) -> str:
        """Return the id of the one job of this attempt.

        An adopted intent may have a job already, whose reply was lost: it is looked for before
        anything is created, and so after each create call that failed without a clear answer.
        Nothing is created while the tenant cannot be asked, or before two answers agree.
        """
        clock = self.progress.context.clock
        self._end = clock.monotonic() + self._deadline
        while True:
            clock.check()
            pause = CONFIRM_PAUSE
            try:
                with clock.until(self._end + limits.LAST_CHECK):
                    if job_id := self._found_or_created():
                        return job_id
            except SparkError as error:
                pause = self._pause_after(error)
                with clock.until(self._end):
                    if job_id := self._found_at_once():
                        return job_id
            clock.wait(min(pause, max(self._end - clock.monotonic(), 0.0)))

    @property
    def _deadline(self) -> float:
        return self.progress.job.target.polling.deadline

    def _found_or_created(self) -> str:
        """Return the job's id; nothing where one more answer has to say that there is no job."""
        if self.progress.unclear:
            if job_id := self._found():
                return job_id
            if self._absent < _ANSWERS:
                return ""
            self.progress.unclear = False
        return self._created()

    def _found(self) -> str:
        self._unseen = False
        try:
            job_id = self.find()
        except SparkError as error:
            self._strange += 1
            if not unconfirmed(error) or self._strange >= _STRANGE:
                raise
            self._tell_failure(error, CONFIRM_PAUSE)
            return ""  # that was no answer
        if job_id:
            message = f"job {job_id} was created by a call whose reply was lost; resuming it"
            self.progress.changed("job.found", message, job_id=job_id)
            return job_id
        self._absent += 1
        return ""

    def _found_at_once(self) -> str:
        """Look once right after an unclear create call; a failure here is no answer."""
        if self._unseen:
            with suppress(SparkError):
                return self._found()
        return ""

    def _created(self) -> str:
        self.progress.unclear, self._absent = True, 0
        self.progress.attempts += 1
        try:
            return self.spark.impex.exports.create(self.progress.job.request).id
        except Interrupted as error:
            self.progress.unclear = error.unanswered
            raise
        except SparkError as error:
            self.progress.unclear = may_have_created(error) and not self._is_busy(error)
            self._unseen = self.progress.unclear
            raise

    def _pause_after(self, error: SparkError) -> float:
        """Return how long to wait after a failure; raise one that is permanent or the last."""
        busy = self._is_busy(error)
        strange = is_not_api_reply(error)
        self._strange += strange
        transient = is_transient(error) and not is_too_large(error)
        bearable = transient or (strange and self._strange < _STRANGE)
        if not (busy or bearable) or self.progress.context.clock.monotonic() >= self._end:
            raise self._busy_for_too_long(error) if busy else error from error
        asked = error.retry_after if isinstance(error, SparkApiError) else None
        if busy:
            self._waiting = self._waiting or self._tell_waiting(error)
            return max(BUSY_PAUSE, accepted_wait(asked))
        self._failures += 1
        # A create call that was cut off may be a moment late in the listing.
        pause = max(self.spark.session.http.policy.pause(self._failures + 1, asked), 1.0)
        self._tell_failure(error, pause)
        return pause

    def _is_busy(self, error: SparkError) -> bool:
        """Tell whether there may be room later; for what is too large there is none."""
        if not isinstance(error, SparkApiError) or is_too_large(error):
            return False
        return self.spark.impex.exports.is_busy(error)

    def _busy_for_too_long(self, error: SparkError) -> RetryTimeoutError:
        return RetryTimeoutError(
            f"the tenant was busy with other jobs for {self._deadline:g} s (polling.deadline); "
            f"no job was created, try again later: {error}"
        )

    def find(self) -> str:
        """Look for a job with our correlation id that no other attempt owns; newest first.

        The run's own ids are never used twice, so that no time is compared for them. A job with an
        id that the manifest gives may be that of an earlier run.
        """
        given, elapsed = self.progress.job.target.correlation_id, self._elapsed()
        for listed in self.spark.impex.exports.listed():
            if self.progress.context.state.owner(listed.id) or (given and listed.is_older(elapsed)):
                continue
            if self._is_ours(listed.id):
                return listed.id
        return ""

    def _elapsed(self) -> float:
        """Return for how many seconds the intent exists."""
        here = self.progress.context.clock.monotonic() - self.progress.opened_at
        if not self.progress.adopted:
            return here
        return max(
            here,
            (self.progress.context.clock.now() - self.progress.attempt.intended).total_seconds(),
        )

    def _is_ours(self, job_id: str) -> bool:
        """Tell whether a job is that of the intent; two answers that say nothing of it deny it."""
        for _ in range(_ANSWERS):
            try:
                status = self.spark.impex.exports.status(job_id)
            except SparkError as error:
                if is_unknown_job(error):
                    continue  # it left the listing just now
                raise
            if status.correlation_id not in {None, self.progress.attempt.correlation_id}:
                return False
            # Several targets may share one correlation id: a job that is done shows what it was
            # for.
            done = not is_unspecified(status)
            if status.correlation_id and not (done and missing(self.progress.job.request, status)):
                return True
        return False

    def _tell_waiting(self, error: SparkError) -> bool:
        """Say once that the tenant is busy."""
        self.progress.changed("job.waiting", f"waiting for another job to end: {error}")
        return True

    def _tell_failure(self, error: SparkError, pause: float) -> None:
        clock = self.progress.context.clock
        left = max(self._end - clock.monotonic(), 0.0)
        hint = retry_hint(clock, min(pause, left), self.progress.attempts + 1, left)
        self.progress.changed("job.create_failed", f"{error}; {hint}")
