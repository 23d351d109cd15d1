"""The part of a job that holds the tenant's slot: find or create it, wait, free the slot."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spark_impex_runner.engine.attempt import Opening, begin_anew, size, words
from spark_impex_runner.engine.course import Permits
from spark_impex_runner.engine.creation import Creation
from spark_impex_runner.engine.poll import Past, wait_for
from spark_impex_runner.engine.weather import may_pass
from spark_impex_runner.errors import (
    ImpexError,
    Interrupted,
    JobError,
    RetryTimeoutError,
    SparkError,
    StateError,
)
from spark_impex_runner.spark.status import warned

if TYPE_CHECKING:
    from spark_impex_runner.engine.context import Context
    from spark_impex_runner.engine.course import Course, Gate
    from spark_impex_runner.models import Job, Status
    from spark_impex_runner.spark.client import Spark
    from spark_impex_runner.state.store import Attempt


_CANCELS = 3


@dataclass
class Remote:
    """One job on the tenant. ``job`` and ``opening`` are as far as they came, even on failure.

    The gate ``creating`` is for one at a time who creates or looks for a job on the tenant.
    ``watched`` tells that the job began under this run's eyes: only then does the past tell when
    it is likely to end. ``unclear`` tells that the tenant may have a job whose id is not known.
    """

    job: Job
    spark: Spark
    context: Context
    opening: Opening
    creating: Gate
    warnings: list[str] = field(default_factory=list)
    cancelled: bool = False
    watched: bool = False
    unclear: bool = field(init=False)
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.unclear = self.opening.adopted
        self.began = self.context.clock.monotonic()
        self._work_on(self.opening)

    def run(self) -> Course[Status]:
        """Return the status of the finished job; a course.

        Raises what ``wait_for`` and ``Creation`` raise; the slot is then left or freed as the
        target's ``on_deadline`` and ``on_interrupt`` say.
        """
        try:
            yield from self._ensure_job()
            status = yield from wait_for(self.job, self.spark, self.context, self._past())
        except RetryTimeoutError as error:
            # Without a job the tenant was busy all the time: nothing is there to be cancelled.
            raise self._given_up(error) if self.job.id else error from error
        except Interrupted:
            if self.job.target.on_interrupt == "cancel":
                self._cancel_if_there()
            if self.unclear and not self.job.id:
                self._warn_of_unknown_job()
            raise
        self.job = replace(self.job, status=status)
        now = self.context.clock.now()
        self.context.state.note_done(self.opening.attempt, now, watched=self.watched)
        if said := warned(status):
            self.warnings.append(f"the tenant warns: {said}")
        self.context.changed(self.job, "job.done", f"job {self.job.id} is done ({status.word})")
        return status

    def _past(self) -> Past:
        """Return what earlier jobs tell about this one, if it began under this run's eyes."""
        state, attempt = self.context.state, self.opening.attempt
        if not self.watched:
            return Past()
        own = state.durations(attempt.tenant, attempt.fingerprint)
        return Past(own, () if own else state.similar(attempt.tenant, size(self.job)))

    def _work_on(self, opening: Opening) -> None:
        """Go on under an attempt's correlation id and job id."""
        attempt = opening.attempt
        request = replace(self.job.request, correlation_id=attempt.correlation_id)
        self.job = replace(self.job, id=attempt.job_id, request=request)
        self.opening = opening
        if opening.warning:
            self.warnings.append(opening.warning)

    def _ensure_job(self) -> Course[None]:
        """Make sure that the attempt has its one job, and that the job's id is on disk."""
        if self.job.id:
            if not (yield from self._creation().is_forgotten()):
                told = f"job {self.job.id} was begun by an earlier run, going on with it"
                self.context.changed(self.job, "job.adopted", told)
                return
            if self.context.job:
                raise JobError(f"the tenant does not know job {self.job.id}")
            self._work_on(begin_anew(self.job, self.opening, self.context))
            self.unclear, self.began = False, self.context.clock.monotonic()
        creation = self._creation()
        with Permits() as permits:
            yield from permits.enter(self.creating)
            try:
                job_id = yield from creation.job_id()
            finally:
                self.unclear = creation.unclear
            self.watched = not self.opening.adopted
            self._work_on(Opening(self._noted(job_id)))
        self.context.changed(self.job, "job.created", f"job {job_id} created")

    def _noted(self, job_id: str) -> Attempt:
        """Put the job's id on disk. Where the disk refuses, the intent still finds the job."""
        try:
            now = self.context.clock.now()
            return self.context.state.note_job(self.opening.attempt, job_id, now)
        except StateError as error:
            raise StateError(f"job {job_id} runs, but cannot be remembered: {error}") from error

    def _creation(self) -> Creation:
        opening = self.opening
        return Creation(
            self.job, self.spark, self.context, opening.attempt, self.began, opening.adopted
        )

    def _given_up(self, error: RetryTimeoutError) -> RetryTimeoutError:
        cancel = self.job.target.polling.on_deadline == "cancel"
        manifest, name = words(self.job.run.manifest), self.job.target.name
        left = (
            f"it may still run: impex-run {manifest} goes on with it, "
            f"impex cancel {manifest} -t {name} ends it"
        )
        told = "it was cancelled" if cancel and self._cancel() else left
        return RetryTimeoutError(f"{error}; {told}", retries=error.retries, interval=error.interval)

    def _warn_of_unknown_job(self) -> None:
        manifest, name = words(self.job.run.manifest), self.job.target.name
        self.warnings.append(
            "the run ended before the tenant answered; a job may have been created: "
            f"impex-run {manifest} resumes it, impex cancel {manifest} -t {name} ends it"
        )

    def _cancel_if_there(self) -> None:
        """Cancel the job; one whose reply was lost is looked for once."""
        if not self.job.id and self.unclear:
            with suppress(ImpexError), self.context.clock.ending():
                if found := self._creation().find():
                    self._work_on(Opening(self._noted(found)))
        if self.job.id:
            self._cancel()

    def _cancel(self) -> bool:
        """Free the tenant's slot; tell whether the tenant agreed.

        Asked a few times without waiting: a run that is interrupted may not wait any more.
        """
        for attempt in range(1, _CANCELS + 1):
            try:
                self.spark.impex.exports.cancel(self.job.id)
            except (SparkError, Interrupted) as error:
                if attempt < _CANCELS and (isinstance(error, Interrupted) or may_pass(error)):
                    continue
                manifest = words(self.job.run.manifest)
                self.warnings.append(
                    f"job {self.job.id} could not be cancelled: {error}; "
                    f"impex cancel {manifest} tries again"
                )
                return False
            break
        self.cancelled = True
        self.context.changed(self.job, "job.cancelled", f"job {self.job.id} cancelled")
        return True
