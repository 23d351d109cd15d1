"""One target from its intent to its last step: the course inside of ``impex_run_job``."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spark_impex_runner.engine import compare
from spark_impex_runner.engine.attempt import key, open_attempt, still_holds
from spark_impex_runner.engine.course import Gate, Pool
from spark_impex_runner.engine.fetch import Fetch
from spark_impex_runner.engine.remote import Remote
from spark_impex_runner.engine.steps import Steps
from spark_impex_runner.engine.unchanged import work
from spark_impex_runner.engine.weather import may_have_created
from spark_impex_runner.errors import (
    DeliveryError,
    ImpexError,
    IntegrityError,
    Interrupted,
    JobError,
    MissingError,
    RetryTimeoutError,
    SparkApiError,
)
from spark_impex_runner.models import (
    RECEIPT,
    Outcome,
    ServiceVersion,
    StepResult,
    TargetResult,
)
from spark_impex_runner.state.lease import lease

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from spark_impex_runner.engine.attempt import Opening
    from spark_impex_runner.engine.context import Context
    from spark_impex_runner.engine.course import Course, Permits
    from spark_impex_runner.engine.tenants import Lane, Tenants
    from spark_impex_runner.models import Job, Status

_log = logging.getLogger(__name__)

# The tenant's last word on a job: the next run asks anew instead of going on.
_FINAL = (JobError, IntegrityError, MissingError)


# So many targets may be in their steps, or wait for a worker to run them; more stay behind their
# downloads, so that packages do not pile up without end where a step is slow.
_STEPPING = 64


class JobRunner:
    """Runs the jobs of one run. ``leave_receipt`` puts a result's receipt beside a delivery."""

    def __init__(
        self, context: Context, tenants: Tenants, leave_receipt: Callable[[TargetResult], None]
    ) -> None:
        self._context = context
        self._tenants = tenants
        self._leave_receipt = leave_receipt
        self._stepping = Gate(_STEPPING, Pool.STEPS)

    def may_start(self, job: Job, permits: Permits) -> Course[None]:
        """Wait for one of the tenant's slots, unless the packages seem to be here already."""
        attempt = self._context.state.unfinished(key(job))
        if attempt is None or not attempt.delivered or self._context.fresh:
            yield from permits.enter(self._tenants.lane(job.target.connection).slots)

    def run(self, job: Job, permits: Permits) -> Course[TargetResult]:
        """Deliver one target. Failures are results; the permits are left on the way."""
        lane = self._tenants.lane(job.target.connection)
        way = _Way(lane, self._stepping, permits)
        delivery = _Delivery(job, self._context, self._tenants, self._leave_receipt, way)
        try:
            result = yield from delivery.run()
        except ImpexError as error:
            result = delivery.result(error)
        except Exception as error:  # noqa: BLE001 - a bug here must not stop the other targets
            _log.error("internal error in target %s", job.target.name, exc_info=error)
            words = f"internal error: {type(error).__name__}: {error}"
            result = delivery.result(ImpexError(words))
        told = f"{result.outcome.value}: {result.error}" if result.error else result.outcome.value
        self._context.changed(delivery.job, f"target.{result.outcome.value}", told)
        return result


@dataclass(frozen=True, slots=True)
class _Way:
    """The gates before a job, and those that it is inside of."""

    lane: Lane
    stepping: Gate
    permits: Permits


@dataclass
class _Delivery:
    """One job as it goes: what is known so far, for the result, whatever happens."""

    job: Job
    context: Context
    tenants: Tenants
    leave_receipt: Callable[[TargetResult], None]
    way: _Way
    services: tuple[ServiceVersion, ...] = ()
    versions: tuple[ServiceVersion, ...] = ()
    steps: list[StepResult] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def run(self) -> Course[TargetResult]:
        """Hold the target, deliver it, and close the attempt where nothing is left to do.

        The receipt comes before the close: a run that is killed in between goes on to write it.
        """
        _check_output(self.job, self.context)
        with lease(self.context.state.folder, key(self.job), self.context.clock.now()):
            spark = self.tenants.connect(self.job.target.connection)
            opening = open_attempt(self.job, spark.url, self.context)
            creating = self.way.lane.creating
            remote = Remote(self.job, spark, self.context, opening, creating, self.warnings)
            error = yield from self._try_to_deliver(remote)
            result = self.result(error)
            self.leave_receipt(result)
            complete = error is None and self.context.until != "download"
            if complete and self._is_whole():
                self.context.state.note_work(opening.attempt, work(self.job, self.context.masker))
            if complete or remote.cancelled or _is_final(error, remote.job):
                self._close(remote, result)
            return result

    def result(self, error: ImpexError | None = None) -> TargetResult:
        """Return the job as a result."""
        return TargetResult(
            target=self.job.target,
            outcome=_outcome(error),
            started=self.job.started,
            finished=self.context.clock.now(),
            tenant=self.job.tenant,
            job_id=self.job.id,
            request=self.job.request,
            services=self.services,
            service_versions=self.versions,
            artifacts=self.job.artifacts,
            steps=tuple(self.steps),
            warnings=tuple(map(self.context.masker.mask, self.warnings)),
            error=self.context.masker.mask(str(error)) if error else "",
            exit_code=error.exit_code if error else 0,
        )

    def _is_whole(self) -> bool:
        """Tell whether a delivery is all that was asked for: no step only warned."""
        return all(step.outcome == "succeeded" for step in self.steps)

    def _try_to_deliver(self, remote: Remote) -> Course[ImpexError | None]:
        try:
            yield from self._deliver(remote)
        except ImpexError as error:
            return error
        return None

    def _deliver(self, remote: Remote) -> Course[None]:
        """Create, wait, compare, download, step: whatever of it is left to do.

        The tenant's slot goes to the next job as soon as the server has finished with this one.
        """
        lane, permits = self.way.lane, self.way.permits
        self.job = remote.job
        if not self._reuse_packages(remote.opening):
            yield from permits.enter(lane.slots)
            self.context.clock.check()
            lane.learn(remote.spark)
            status = yield from self._wait(remote)
            self._compare(status)
            yield from permits.move(lane.arrivals, out_of=lane.slots)
            yield from self._fetch(status, remote)
        if self.context.until != "download":
            yield from permits.move(self.way.stepping, out_of=lane.arrivals)
            yield from self._run_steps(remote)

    def _reuse_packages(self, opening: Opening) -> bool:
        """Take over packages that an earlier run delivered and that still hold."""
        attempt, known = opening.attempt, self.context.state.artifacts(opening.attempt)
        packages = tuple(each for each in known if each.made_by == "download")
        if not attempt.delivered or not packages or not still_holds(self.job, packages):
            return False
        self.services, self.versions = attempt.services, attempt.service_versions
        self.job = replace(self.job, artifacts=packages)
        told = f"the packages of job {attempt.job_id} are here already"
        self.context.changed(self.job, "package.reused", told)
        return True

    def _wait(self, remote: Remote) -> Course[Status]:
        try:
            status = yield from remote.run()
        finally:
            self.job = remote.job
        self.services, self.versions = status.services, status.service_versions
        return status

    def _compare(self, status: Status) -> None:
        """Hold the request against the delivery, as ``missing`` says."""
        if compare.silent(status):
            self.warnings.append("the tenant did not say which services it delivered")
            return
        lost = compare.missing(self.job.request, status)
        if not lost:
            return
        told = f"asked for but not delivered: {', '.join(lost)}"
        if self.job.target.missing == "fail":
            raise MissingError(told)
        self.warnings.append(told)

    def _fetch(self, status: Status, remote: Remote) -> Course[None]:
        fetch = Fetch(self.job, remote.spark, self.context, self.way.lane.downloads)
        artifacts = yield from fetch.run(status)
        said = (self.services, self.versions)
        self.context.state.note_delivered(remote.opening.attempt, artifacts, said)
        self.job = replace(self.job, artifacts=artifacts)

    def _run_steps(self, remote: Remote) -> Course[None]:
        steps = Steps(self.job, self.context, remote.opening.attempt, self.steps)
        try:
            yield from steps.run()
        finally:
            self.job = steps.job

    def _close(self, remote: Remote, result: TargetResult) -> None:
        """Close the attempt: the next run of this target is a new one."""
        now = self.context.clock.now()
        self.context.state.finish(remote.opening.attempt, result.outcome, result.error, now)


def _is_final(error: ImpexError | None, job: Job) -> bool:
    """Tell whether a failure leaves nothing to go on with."""
    refused = isinstance(error, SparkApiError) and not job.id and not may_have_created(error)
    return refused or isinstance(error, _FINAL)


def _check_output(job: Job, context: Context) -> None:
    """Find out before anything is sent whether the output may and can be written.

    What lies there from an attempt that is still open is our own.
    """
    output = job.target.output
    if job.target.if_exists == "fail" and output.is_dir() and _foreign(job, context):
        raise DeliveryError(f"{output} exists and is not empty (if_exists: fail)")
    nearest = next(path for path in (output, *output.parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise DeliveryError(f"cannot write to {output}: {nearest} is not a writable folder")


def _foreign(job: Job, context: Context) -> list[Path]:
    """Return what lies in the output and is not from the target's open attempt."""
    attempt, output = context.state.unfinished(key(job)), job.target.output
    if attempt is None:
        return list(output.iterdir())
    ours = {each.path for each in context.state.artifacts(attempt)} | {output / RECEIPT}
    # A mark that was being written when its process was killed has a further suffix.
    partial = re.compile(r"\..+\.part(\.json(\..+)?)?")
    return [p for p in output.iterdir() if p not in ours and not partial.fullmatch(p.name)]


def _outcome(error: ImpexError | None) -> Outcome:
    if error is None:
        return Outcome.SUCCEEDED
    if isinstance(error, RetryTimeoutError):
        return Outcome.TIMED_OUT
    return Outcome.CANCELLED if isinstance(error, Interrupted) else Outcome.FAILED


def unstarted(job: Job, outcome: Outcome, reason: str, now: datetime) -> TargetResult:
    """Return the result of a target for which nothing was sent."""
    return TargetResult(
        target=job.target,
        outcome=outcome,
        started=now,
        finished=now,
        tenant=job.tenant,
        request=job.request,
        error=reason,
    )
