"""Create exactly one job for an intent, even if replies or processes are lost."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_impex_runner.delivery.blockers import describe_blockers, first_blocker
from spark_impex_runner.errors import Interrupted, RetryTimeoutError, SparkApiError, SparkError
from spark_impex_runner.planning.labels import Label, Relation
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
    from spark_impex_runner.delivery.running import RunningJobFinder
    from spark_impex_runner.models import Status
    from spark_impex_runner.spark.client import Spark
    from spark_impex_runner.spark.job_listing import JobListing, ListedJob

# Replies that are not the API's are tolerated so often: a login page does not go away.
_MAX_INVALID = 4
# A listing may lag behind: a job counts as absent only after so many answers.
_CONFIRMATIONS = 2
# Seconds until a busy tenant is asked again which jobs it is running.
_LOOK_AGAIN = 60.0


@dataclass(slots=True)
class JobCreator:
    """Find the job of an attempt, or create it, until ``polling.deadline``."""

    progress: TargetProgress
    spark: Spark
    finder: RunningJobFinder | None = None
    found: ListedJob | None = None
    _end: float = math.inf
    _failures: int = 0
    _invalid: int = 0
    _absences: int = 0
    _look_up_now: bool = False
    _blockers: str = ""
    _blocked: JobListing | None = None
    _looked_at: float = -math.inf
    _refusal: SparkError | None = None

    def is_gone(self) -> bool:
        """Return True if the attempt's job no longer exists on the tenant."""
        job_id, exports = self.progress.attempt.job_id, self.spark.impex.exports

        def exists() -> bool:
            try:
                exports.status(job_id)
            except SparkError as error:
                return not is_gone(error, job_id, exports.listed)
            return True

        return not confirmed(exists, self.progress.context.clock)

    def job_id(self) -> str:
        """Return the id of the one job of this attempt.

        If there may be a job whose reply was lost, look it up before anything is created: for a
        resumed intent, and after each create call that failed without a clear answer. Create
        nothing until two answers agree that there is no job.
        """
        clock = self.progress.context.clock
        self._end = clock.monotonic() + self._deadline
        while True:
            pause = CONFIRM_PAUSE
            try:
                with clock.until(self._end + limits.LAST_CHECK):
                    if job_id := self._find_or_create():
                        return job_id
            except SparkError as error:
                pause = self._pause_after(error)
                with clock.until(self._end):
                    if job_id := self._look_up_at_once() or self._look_at_running(pause):
                        return job_id
            clock.wait(min(pause, max(self._end - clock.monotonic(), 0.0)))

    @property
    def _deadline(self) -> float:
        return self.progress.job.target.polling.deadline

    def _find_or_create(self) -> str:
        """Return the job's id; empty if one more answer must confirm that there is none."""
        if self.progress.may_have_job:
            if job_id := self._look_up():
                return job_id
            if self._absences < _CONFIRMATIONS:
                return ""
        return self._create()

    def _look_up(self) -> str:
        self._look_up_now = False
        try:
            job_id = self.find()
        except SparkError as error:
            self._invalid += 1
            if not unconfirmed(error) or self._invalid >= _MAX_INVALID:
                raise
            self._report_failure(error, CONFIRM_PAUSE)
            return ""  # counts as no answer
        if job_id:
            message = f"job {job_id} was created by a call whose reply was lost; resuming it"
            self.progress.changed("job.found", message, job_id=job_id)
            return job_id
        self._absences += 1
        return ""

    def _look_up_at_once(self) -> str:
        """Look the job up right after an unclear create call; ignore a failure of that."""
        if self._look_up_now:
            with suppress(SparkError):
                return self._look_up()
        return ""

    def _create(self) -> str:
        self.progress.check()
        self.progress.may_have_job, self._absences = True, 0
        self.progress.attempts += 1
        try:
            return self.spark.impex.exports.create(self.progress.job.request).id
        except Interrupted as error:
            self.progress.may_have_job = error.unanswered
            raise
        except SparkError as error:
            self.progress.may_have_job = may_have_created(error) and not self._is_busy(error)
            self._look_up_now = self.progress.may_have_job
            raise

    def _pause_after(self, error: SparkError) -> float:
        """Return the seconds to wait after a failure; raise it if it is permanent or the last."""
        busy = self._is_busy(error)
        invalid = is_not_api_reply(error)
        self._invalid += invalid
        transient = is_transient(error) and not is_too_large(error)
        tolerated = transient or (invalid and self._invalid < _MAX_INVALID)
        if not (busy or tolerated) or self.progress.context.clock.monotonic() >= self._end:
            raise self._busy_too_long(error) if busy else error from error
        asked = error.retry_after if isinstance(error, SparkApiError) else None
        if busy:
            self._refusal = error
            return max(BUSY_PAUSE, accepted_wait(asked))
        self._failures += 1
        # A job whose create call was cut off may appear in the listing a moment late.
        pause = max(self.spark.session.http.policy.pause(self._failures + 1, asked), 1.0)
        self._report_failure(error, pause)
        return pause

    def _is_busy(self, error: SparkError) -> bool:
        """Return True if the tenant may accept the request later."""
        if not isinstance(error, SparkApiError) or is_too_large(error):
            return False
        return self.spark.impex.exports.is_busy(error)

    def _busy_too_long(self, error: SparkError) -> RetryTimeoutError:
        waited = self.progress.context.clock.monotonic() - self._looked_at
        blockers = self._describe(waited)
        return RetryTimeoutError(
            f"the tenant was busy with other jobs for {self._deadline:g} s (polling.deadline), "
            f"so no job was created; {f'{blockers}; ' if blockers else ''}try again later: {error}"
        )

    def _look_at_running(self, pause: float) -> str:
        """Report once a minute what a busy tenant is running; return the id if it is our own job.

        The listing at the start may have been read a moment before the job was created.
        """
        error, self._refusal, now = self._refusal, None, self.progress.context.clock.monotonic()
        if error is None or now - self._looked_at < _LOOK_AGAIN:
            return ""
        self._looked_at = now
        if self.finder:
            with suppress(SparkError):
                self._blocked = self.finder.running.now()
            self.found = self.finder.find(self._blocked) if self._blocked else None
        if self.found:
            return self.found.id
        self._report_waiting(error, pause)
        return ""

    def _describe(self, waited: float = 0.0) -> str:
        """Return the jobs for which the tenant was busy; empty if that is unknown."""
        listing = self._blocked
        return describe_blockers(listing, self.progress.job, waited) if listing else ""

    def find(self) -> str:
        """Return the newest job with the attempt's correlation id that no other attempt owns.

        Correlation ids of the runner are unique, so their age does not matter. A job with an id
        from the manifest may be that of an earlier run.
        """
        given, elapsed = self.progress.job.target.correlation_id, self._elapsed()
        for listed in self.spark.impex.exports.listed():
            if self.progress.context.state.owner(listed.id) or (given and listed.is_older(elapsed)):
                continue
            if self._is_ours(listed.id):
                return listed.id
        return ""

    def _elapsed(self) -> float:
        """Return the seconds since the intent was stored."""
        here = self.progress.context.clock.monotonic() - self.progress.opened_at
        if not self.progress.adopted:
            return here
        return max(
            here,
            (self.progress.context.clock.now() - self.progress.attempt.intended).total_seconds(),
        )

    def _is_ours(self, job_id: str) -> bool:
        """Return True if a job is that of the intent."""
        # A status without a correlation id says nothing; after the second one the answer is no.
        for _ in range(_CONFIRMATIONS):
            try:
                status = self.spark.impex.exports.status(job_id)
            except SparkError as error:
                if is_unknown_job(error):
                    continue  # it left the listing a moment ago
                raise
            if status.correlation_id not in {None, self.progress.attempt.correlation_id}:
                return False
            if self._is_of_another_request(status):
                return False
            # Targets may share a correlation id; only a finished job shows what it delivered.
            done = not is_unspecified(status)
            if status.correlation_id and not (done and missing(self.progress.job.request, status)):
                return True
        return False

    def _is_of_another_request(self, status: Status) -> bool:
        """Return whether a job with an id from the manifest is certainly not that of the intent."""
        theirs = Label.read(status)
        if theirs is None or not theirs.given:
            return False
        own = Label.read(self.progress.job.request)
        return own is not None and own.relation(theirs) is not Relation.SAME

    def _report_waiting(self, error: SparkError, pause: float) -> None:
        """Report that the tenant is busy, once for the same jobs."""
        running = self._blocked.running if self._blocked else ()
        blockers = " ".join(each.id for each in running) or "unknown"
        if blockers == self._blockers:
            return
        self.progress.busy, self._blockers = True, blockers
        if self._blocked:
            self.progress.blocker = first_blocker(self._blocked, self.progress.job)
        named = f" ({text})" if (text := self._describe()) else ""
        message = f"waiting for another job to end{named}, {self._hint(pause)}: {error}"
        self.progress.changed("job.waiting", message, jobs=[each.id for each in running])

    def _report_failure(self, error: SparkError, pause: float) -> None:
        self.progress.changed("job.create_failed", f"{error}; {self._hint(pause)}")

    def _hint(self, pause: float) -> str:
        clock = self.progress.context.clock
        left = max(self._end - clock.monotonic(), 0.0)
        return retry_hint(clock, min(pause, left), self.progress.attempts + 1, left)
