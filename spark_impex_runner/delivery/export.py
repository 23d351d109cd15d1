"""One export, of a whole target or of a part of it: create the job, wait for it, download."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spark_impex_runner.delivery.attempt import begin_anew, differing, still_holds
from spark_impex_runner.delivery.create import JobCreator
from spark_impex_runner.delivery.download import PackageDownload
from spark_impex_runner.delivery.poll import JobHistory, wait_until_done
from spark_impex_runner.delivery.progress import DeliveredPackages, Phase
from spark_impex_runner.errors import (
    HeldError,
    ImpexError,
    IntegrityError,
    Interrupted,
    JobError,
    MissingError,
    RetryTimeoutError,
    SparkError,
    StateError,
)
from spark_impex_runner.planning.connections import ask_job_limit
from spark_impex_runner.spark import completeness as compare
from spark_impex_runner.spark.status import warnings_text
from spark_impex_runner.state.keys import command_line, size_class

if TYPE_CHECKING:
    from spark_impex_runner.delivery.progress import TargetProgress
    from spark_impex_runner.limits import HeldLimits, TenantLimits
    from spark_impex_runner.models import Artifact, Job, Status
    from spark_impex_runner.spark.client import Spark

# The tenant's final answer about a job: the next run exports anew instead of resuming.
FINAL = (JobError, IntegrityError, MissingError)


@dataclass(frozen=True, slots=True)
class Tenant:
    """The client of a target's tenant, its limits, and those that the target holds."""

    spark: Spark
    limits: TenantLimits
    held: HeldLimits


@dataclass(frozen=True, slots=True)
class Export:
    """One job on the tenant; ``progress`` is as far as it came, even on failure."""

    progress: TargetProgress
    tenant: Tenant

    def run(self) -> None:
        """Create, wait, compare, download: whatever of it is left to do.

        The place among the tenant's jobs goes to the next one as soon as this one has ended.
        """
        if self.reuse():
            return
        limits, held = self.tenant.limits, self.tenant.held
        held.acquire(limits.jobs, without=limits.run.active)
        self.progress.context.clock.check()
        limits.discover(lambda: ask_job_limit(self.tenant.spark))
        try:
            job = self.create(self.progress.job)
            status = self.wait(job)
        except RetryTimeoutError as error:
            # Without a job the tenant was busy all the time: nothing is there to be cancelled.
            raise self._given_up(error) if self.progress.job.id else error from error
        except Interrupted:
            self._interrupted()
            raise
        job = self.progress.record_status(status)
        self._ended(status)
        check_missing(status, self.progress)
        held.transfer(limits.incoming, out_of=limits.jobs)
        artifacts = self.download(job, status)
        self.progress.record_packages(replace(self.progress.delivered, artifacts=artifacts))
        record_delivery(self.progress)

    def reuse(self) -> bool:
        """Take over packages that an earlier run delivered and that still hold."""
        progress = self.progress
        job, attempt = progress.job, progress.attempt
        artifacts = progress.context.state.artifacts(attempt)
        packages = tuple(each for each in artifacts if each.is_package)
        if not attempt.delivered or not packages or not still_holds(job, packages):
            if attempt.held:
                raise HeldError(
                    f"the packages in {job.target.output} are not those that wait for "
                    f"--approve {attempt.held}; put them back, or export anew with --fresh "
                    f"({differing(job, packages)})",
                    attempt.held,
                    digests=[each.sha256 for each in packages],
                )
            return False
        said = attempt.services, attempt.service_versions
        progress.record_packages(DeliveredPackages(packages, *said))
        progress.changed("package.reused", "the packages are here already, from an earlier run")
        return True

    def create(self, job: Job) -> Job:
        """Return the one job of the attempt, whose id is on disk then: found, or created now."""
        progress, spark = self.progress, self.tenant.spark
        progress.enter(Phase.CREATING)
        if job.id:
            if not JobCreator(progress, spark).is_gone():
                message = f"job {job.id} was begun by an earlier run, going on with it"
                progress.changed("job.adopted", message)
                return job
            if progress.context.job:
                raise JobError(f"the tenant does not know job {job.id}")
            progress.open(begin_anew(job, progress.attempt, progress.context))
        self.tenant.held.acquire(self.tenant.limits.create)
        try:
            job = self._recorded(JobCreator(progress, spark).job_id())
        finally:
            self.tenant.held.release(self.tenant.limits.create)
        progress.changed("job.created", f"job {job.id} created")
        return job

    def wait(self, job: Job) -> Status:
        """Return the final status of the job."""
        self.progress.enter(Phase.WAITING)
        return wait_until_done(self.progress, self.tenant.spark, self._history(job))

    def download(self, job: Job, status: Status) -> tuple[Artifact, ...]:
        """Return the packages of the finished job, verified and under their final names."""
        self.progress.enter(Phase.DOWNLOADING)
        download = PackageDownload(
            job, self.tenant.spark, self.progress.context, self.tenant.limits
        )
        return download.run(status, self.progress)

    def _recorded(self, job_id: str) -> Job:
        """Put the job's id on disk. Where the disk refuses, the intent still finds the job."""
        context = self.progress.context
        try:
            now = context.clock.now()
            attempt = context.state.note_job(self.progress.attempt, job_id, now)
        except StateError as error:
            raise StateError(f"job {job_id} runs, but cannot be remembered: {error}") from error
        return self.progress.record_attempt(attempt)

    def _history(self, job: Job) -> JobHistory:
        """Return how long earlier jobs took; nothing where this one began before this run."""
        state, attempt = self.progress.context.state, self.progress.attempt
        if self.progress.adopted:
            return JobHistory()
        own = state.durations(attempt.tenant, attempt.fingerprint)
        return JobHistory(own, () if own else state.similar(attempt.tenant, size_class(job)))

    def _ended(self, status: Status) -> None:
        """Record and report that the tenant has finished the job."""
        progress, now = self.progress, self.progress.context.clock.now()
        state = progress.context.state
        state.note_done(progress.attempt, now, watched=not progress.adopted)
        if warning := warnings_text(status):
            progress.warnings.append(f"the tenant warns: {warning}")
        progress.changed("job.done", f"job {progress.job.id} is done ({status.word})")

    def _given_up(self, error: RetryTimeoutError) -> RetryTimeoutError:
        """Return the error of a job that is not waited for any longer, with what became of it."""
        job = self.progress.job
        manifest, name = command_line(job.run.manifest), job.target.name
        left = (
            f"it may still run: impex-run {manifest} goes on with it, "
            f"impex cancel {manifest} -t {name} ends it"
        )
        cancel = job.target.polling.on_deadline == "cancel"
        message = "it was cancelled" if cancel and self._cancel() else left
        return RetryTimeoutError(
            f"{error}; {message}", retries=error.retries, interval=error.interval
        )

    def _interrupted(self) -> None:
        """Free the tenant's slot as ``on_interrupt`` says; warn of a job whose id is unknown."""
        progress = self.progress
        if progress.job.target.on_interrupt == "cancel":
            self._cancel_if_there()
        if progress.unclear and not progress.job.id:
            manifest, name = command_line(progress.job.run.manifest), progress.job.target.name
            progress.warnings.append(
                "the run ended before the tenant answered; a job may have been created: "
                f"impex-run {manifest} resumes it, impex cancel {manifest} -t {name} ends it"
            )

    def _cancel_if_there(self) -> None:
        """Cancel the job; one whose reply was lost is looked for once."""
        progress = self.progress
        if not progress.job.id and progress.unclear:
            with suppress(ImpexError), progress.context.clock.ending():
                if found := JobCreator(progress, self.tenant.spark).find():
                    self._recorded(found)
        if progress.job.id:
            self._cancel()

    def _cancel(self) -> bool:
        """Free the tenant's slot; return whether the tenant agreed."""
        progress, job = self.progress, self.progress.job
        try:
            self.tenant.spark.impex.exports.cancel(job.id)
        except (SparkError, Interrupted) as error:
            progress.warnings.append(
                f"job {job.id} could not be cancelled: {error}; "
                f"impex cancel {command_line(job.run.manifest)} tries again"
            )
            return False
        progress.cancelled = True
        progress.changed("job.cancelled", f"job {job.id} cancelled")
        return True


def check_missing(status: Status, progress: TargetProgress) -> None:
    """Compare what was asked for with what was delivered, as ``missing`` says."""
    if compare.is_unspecified(status):
        progress.warnings.append("the tenant did not say which services it delivered")
        return
    missing = compare.missing(progress.job.request, status)
    if not missing:
        return
    message = f"asked for but not delivered: {', '.join(missing)}"
    if progress.job.target.missing == "fail":
        raise MissingError(message)
    progress.warnings.append(message)


def record_delivery(progress: TargetProgress) -> None:
    """Record a delivery in the state: the next run of the same attempt does not repeat it."""
    delivered = progress.delivered
    said = delivered.services, delivered.versions
    progress.context.state.note_delivered(progress.attempt, delivered.artifacts, said)


def is_final(error: ImpexError | None, progress: TargetProgress) -> bool:
    """Tell whether a failure leaves nothing to resume."""
    return has_no_job(error, progress) or isinstance(error, FINAL)


def has_no_job(error: ImpexError | None, progress: TargetProgress) -> bool:
    """Tell whether an attempt failed before any request of it can have created a job."""
    failed = isinstance(error, (SparkError, Interrupted))
    return failed and not progress.job.id and not progress.unclear
