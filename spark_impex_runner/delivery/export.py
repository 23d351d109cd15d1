"""One export of a target or of a part of it: create the job, wait for it, download."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spark_impex_runner.delivery.attempt import are_intact, describe_changes, start_new_attempt
from spark_impex_runner.delivery.create import JobCreator
from spark_impex_runner.delivery.download import PackageDownload
from spark_impex_runner.delivery.nearest import with_nearest
from spark_impex_runner.delivery.poll import JobHistory, wait_until_done
from spark_impex_runner.delivery.progress import DeliveredPackages, Phase
from spark_impex_runner.delivery.running import RunningJobFinder, running_targets
from spark_impex_runner.errors import (
    HeldError,
    ImpexError,
    IntegrityError,
    Interrupted,
    JobError,
    MissingError,
    RetryTimeoutError,
    SparkApiError,
    SparkError,
    StateError,
)
from spark_impex_runner.spark import completeness
from spark_impex_runner.spark.status import warnings_text
from spark_impex_runner.state.keys import command_line, size_class
from spark_impex_runner.state.store import median

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_impex_runner.delivery.progress import TargetProgress
    from spark_impex_runner.limits import HeldLimits, TenantLimits
    from spark_impex_runner.models import Artifact, Job, Request, Status
    from spark_impex_runner.spark.client import Spark
    from spark_impex_runner.spark.job_listing import ListedJob
    from spark_impex_runner.spark.running_jobs import RunningJobs

# The tenant's final answer about a job: the next run starts a new job instead of resuming.
FINAL = (JobError, IntegrityError, MissingError)


@dataclass(frozen=True, slots=True)
class TenantAccess:
    """The client of a target's tenant, its limits, and those that the target holds.

    ``running`` are the tenant's jobs, ``beside`` as the run's other connections to it see them;
    ``requests`` are those of all targets of the run by name.
    """

    spark: Spark
    limits: TenantLimits
    held: HeldLimits
    running: RunningJobs
    beside: tuple[RunningJobs, ...] = ()
    requests: Mapping[str, Request] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Export:
    """One job on the tenant; ``progress`` records how far it came, even on failure."""

    progress: TargetProgress
    tenant: TenantAccess

    def run(self) -> None:
        """Create the job, wait for it, check what it delivers and download that."""
        if self.reuse():
            return
        limits, held = self.tenant.limits, self.tenant.held
        self.progress.enter(Phase.QUEUED)
        # While a target waits for a slot of its tenant, another tenant's may run.
        held.acquire(limits.jobs, without=limits.run.active)
        clock = self.progress.context.clock
        clock.check()
        # A silent tenant is waited for no longer than its jobs are.
        with clock.until(clock.monotonic() + self.progress.job.target.polling.deadline):
            listing = self.tenant.running.first()
        limits.discover(lambda: listing.limit)
        self._admit_running()
        try:
            status = self.wait(self.create(self.progress.job))
        except RetryTimeoutError as error:
            # Without a job there is nothing to cancel: the tenant was busy all the time.
            raise self._timed_out(error) if self.progress.job.id else error from error
        except Interrupted:
            self._handle_interrupt()
            raise
        job = self.progress.record_status(status)
        self._record_end(status)
        check_missing(status, self.progress)
        # The job has ended, so that the next target gets its slot during this download.
        held.transfer(limits.incoming, out_of=limits.jobs)
        artifacts = self.download(job, status)
        self.progress.record_packages(replace(self.progress.delivered, artifacts=artifacts))
        record_delivery(self.progress)

    def reuse(self) -> bool:
        """Return True, with the packages recorded, if an earlier run delivered them intact."""
        progress = self.progress
        job, attempt = progress.job, progress.attempt
        artifacts = progress.context.state.artifacts(attempt)
        packages = tuple(each for each in artifacts if each.is_package)
        if not attempt.delivered or not packages or not are_intact(job, packages):
            if attempt.held:
                raise HeldError(
                    f"the packages in {job.target.output} are not those that wait for "
                    f"--approve {attempt.held}; restore them, or export again with --fresh "
                    f"({describe_changes(job, packages)})",
                    attempt.held,
                    digests=[each.sha256 for each in packages],
                )
            return False
        reported = attempt.services, attempt.service_versions
        progress.record_packages(DeliveredPackages(packages, *reported))
        progress.changed("package.reused", "an earlier run has delivered the packages already")
        return True

    def create(self, job: Job) -> Job:
        """Return the one job of the attempt, found or created, with its id stored."""
        progress, spark = self.progress, self.tenant.spark
        progress.enter(Phase.CREATING)
        if job.id:
            if not JobCreator(progress, spark).is_gone():
                message = f"resuming job {job.id} of an earlier run"
                progress.changed("job.adopted", message)
                return job
            if progress.context.job:
                raise JobError(f"job {job.id} does not exist on the tenant")
            progress.open(start_new_attempt(job, progress.attempt, progress.context))
        finder = RunningJobFinder(progress, spark.impex.exports, self.tenant.running)
        if not progress.adopted and (found := finder.find(self.tenant.running.first())):
            return self._resumed(found, finder)
        creator = JobCreator(progress, spark, finder)
        self.tenant.held.acquire(self.tenant.limits.create)
        try:
            # The id is stored before ``create`` is released: the next look-up must not claim it.
            job_id = creator.job_id()
            if creator.found:
                return self._resumed(creator.found, finder)
            job = self._recorded(job_id)
        except SparkApiError as error:
            raise with_nearest(error, job.request, spark) from error
        finally:
            self.tenant.held.release(self.tenant.limits.create)
        progress.changed("job.created", f"job {job.id} created")
        return job

    def _resumed(self, found: ListedJob, finder: RunningJobFinder) -> Job:
        """Store the id of a running job that another run created, and return the job."""
        progress = self.progress
        job = self._recorded(found.id, found.correlation_id)
        progress.adopted, progress.may_have_job = True, False
        message = finder.message(found)
        progress.warnings.append(message)
        progress.changed("job.adopted", message)
        return job

    def _admit_running(self) -> None:
        """Let targets whose jobs the tenant is running start now: their jobs hold its slots."""
        tenant, own = self.tenant, self.progress.job.target.name
        if self.progress.context.fresh or not tenant.running.is_first("admission"):
            return
        for running in (tenant.running, *tenant.beside):
            with suppress(SparkError):  # its own targets meet the same error
                for name in running_targets(running.first(), tenant.requests) - {own}:
                    tenant.limits.jobs.admit(name)

    def wait(self, job: Job) -> Status:
        """Return the final status of the job."""
        self.progress.enter(Phase.RUNNING)
        history = self._history(job)
        self.progress.usual = median(history.durations or history.similar) or 0.0
        return wait_until_done(self.progress, self.tenant.spark, history)

    def download(self, job: Job, status: Status) -> tuple[Artifact, ...]:
        """Return the packages of the finished job, verified and with their final names."""
        self.progress.enter(Phase.DOWNLOADING)
        download = PackageDownload(
            job, self.tenant.spark, self.progress.context, self.tenant.limits
        )
        return download.run(status, self.progress)

    def _recorded(self, job_id: str, correlation_id: str = "") -> Job:
        """Store the job's id, and its correlation id if it is another run's; return the job."""
        context = self.progress.context
        try:
            now = context.clock.now()
            attempt = context.state.note_job(self.progress.attempt, job_id, now, correlation_id)
        except StateError as error:
            # The stored intent still finds the job: the next run looks it up by correlation id.
            raise StateError(f"job {job_id} runs, but its id cannot be stored: {error}") from error
        return self.progress.record_attempt(attempt)

    def _history(self, job: Job) -> JobHistory:
        """Return how long earlier jobs took; empty for a job that began before this run."""
        state, attempt = self.progress.context.state, self.progress.attempt
        if self.progress.adopted:
            return JobHistory()
        target, tenant = attempt.target, attempt.tenant
        own = state.durations(target, tenant, attempt.fingerprint)
        return JobHistory(own, () if own else state.similar(target, tenant, size_class(job)))

    def _record_end(self, status: Status) -> None:
        """Record and report that the tenant has finished the job."""
        progress, now = self.progress, self.progress.context.clock.now()
        state = progress.context.state
        state.note_done(progress.attempt, now, watched=not progress.adopted)
        if reported := warnings_text(status):
            progress.warnings.append(f"the tenant warns: {reported}")
        progress.changed("job.done", f"job {progress.job.id} is done ({status.status})")

    def _timed_out(self, error: RetryTimeoutError) -> RetryTimeoutError:
        """Return the error of a job that timed out, with what became of the job."""
        job = self.progress.job
        manifest, name = command_line(job.run.manifest), job.target.name
        hint = (
            f"it may still run: impex-run {manifest} resumes it, "
            f"impex cancel {manifest} -t {name} cancels it"
        )
        cancel = job.target.polling.on_deadline == "cancel"
        message = "it was cancelled" if cancel and self._cancel() else hint
        return error.with_message(f"{error}; {message}")

    def _handle_interrupt(self) -> None:
        """Cancel the job if ``on_interrupt`` says so; warn about a job whose id is unknown."""
        progress = self.progress
        if progress.job.target.on_interrupt == "cancel":
            self._cancel_if_created()
        if progress.may_have_job and not progress.job.id:
            manifest, name = command_line(progress.job.run.manifest), progress.job.target.name
            progress.warnings.append(
                "the run ended before the tenant answered; a job may have been created: "
                f"impex-run {manifest} resumes it, impex cancel {manifest} -t {name} cancels it"
            )

    def _cancel_if_created(self) -> None:
        """Cancel the job; look it up once if the reply with its id was lost."""
        progress = self.progress
        if not progress.job.id and progress.may_have_job:
            # ending: after a stop no other request is sent.
            with suppress(ImpexError), progress.context.clock.ending():
                if found := JobCreator(progress, self.tenant.spark).find():
                    self._recorded(found)
        if progress.job.id:
            self._cancel()

    def _cancel(self) -> bool:
        """Cancel the job; return True if the tenant confirmed it."""
        progress, job = self.progress, self.progress.job
        try:
            progress.context.state.storage.check()  # another runner may be waiting for it by now
            self.tenant.spark.impex.exports.cancel(job.id)
        except (SparkError, StateError, Interrupted) as error:
            progress.warnings.append(
                f"job {job.id} could not be cancelled and may still run: {error}; "
                f"try again with impex cancel {command_line(job.run.manifest)}"
            )
            return False
        progress.cancelled = True
        progress.changed("job.cancelled", f"job {job.id} cancelled")
        return True


def check_missing(status: Status, progress: TargetProgress) -> None:
    """Raise ``MissingError``, or warn if ``missing: warn``, for requested items not delivered."""
    if completeness.is_unspecified(status):
        progress.warnings.append("the tenant did not report which services it delivered")
        return
    missing = completeness.missing(progress.job.request, status)
    if not missing:
        return
    message = f"requested but not delivered: {', '.join(missing)}"
    if progress.job.target.missing == "fail":
        raise MissingError(message)
    progress.warnings.append(message)


def record_delivery(progress: TargetProgress) -> None:
    """Store a delivery: the next run of the attempt does not download again."""
    delivered = progress.delivered
    reported = delivered.services, delivered.versions
    progress.context.state.note_delivered(progress.attempt, delivered.artifacts, reported)


def is_final(error: ImpexError | None, progress: TargetProgress) -> bool:
    """Return True if a failure leaves nothing to resume."""
    return has_no_job(error, progress) or isinstance(error, FINAL)


def has_no_job(error: ImpexError | None, progress: TargetProgress) -> bool:
    """Return True if an attempt failed before any of its requests can have created a job."""
    failed = isinstance(error, (SparkError, Interrupted))
    return failed and not progress.job.id and not progress.may_have_job
