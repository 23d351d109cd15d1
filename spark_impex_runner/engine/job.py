"""One target from the create call to its last step: the default of ``impex_run_job``."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spark_impex_runner.engine import compare
from spark_impex_runner.engine.fetch import Fetch
from spark_impex_runner.engine.poll import wait_for
from spark_impex_runner.engine.steps import Steps
from spark_impex_runner.errors import (
    DeliveryError,
    ImpexError,
    Interrupted,
    RetryTimeoutError,
    SparkError,
)
from spark_impex_runner.hookspecs import hookimpl
from spark_impex_runner.models import RECEIPT, Outcome, StepResult, TargetResult

if TYPE_CHECKING:
    from datetime import datetime

    from spark_impex_runner.engine.context import Context
    from spark_impex_runner.engine.tenants import Tenants
    from spark_impex_runner.models import Job, Status
    from spark_impex_runner.spark.client import Spark

_log = logging.getLogger(__name__)


class JobRunner:
    """The essential plugin behind ``impex_run_job``; wrappers of other plugins go around it."""

    def __init__(self, context: Context, tenants: Tenants) -> None:
        self._context = context
        self._tenants = tenants

    @hookimpl(trylast=True)
    def impex_run_job(self, job: Job) -> TargetResult:
        """Deliver one target. Failures are results; only bugs of wrappers raise."""
        course = _Course(job, self._context, self._tenants)
        try:
            course.deliver()
        except ImpexError as error:
            return course.result(error)
        except Exception as error:  # noqa: BLE001 - a bug here must not stop the other targets
            _log.error("internal error in target %s", job.target.name, exc_info=error)
            return course.result(ImpexError(f"internal error: {type(error).__name__}: {error}"))
        return course.result()


@dataclass
class _Course:
    """One job as it goes: what is known so far, for the result, whatever happens."""

    job: Job
    context: Context
    tenants: Tenants
    steps: list[StepResult] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def deliver(self) -> None:
        """Create, wait, download, compare, step."""
        _check_output(self.job)
        lane = self.tenants.lane(self.job.target.connection)
        with lane.job_slot(self.spark):
            self.context.clock.check()
            status = self._remote_part()
        with lane.download_slot():
            # The receipt of an earlier delivery does not speak for this one.
            (self.job.target.output / RECEIPT).unlink(missing_ok=True)
            artifacts = Fetch(self.job, self.spark, self.context).run(status)
        self.job = replace(self.job, artifacts=artifacts)
        self._compare(status)
        if self.context.until != "download":
            self._run_steps()

    @property
    def spark(self) -> Spark:
        """The open client of the target's connection."""
        return self.tenants.connect(self.job.target.connection)

    def result(self, error: ImpexError | None = None) -> TargetResult:
        """Return the job as a result, told as the last change."""
        status = self.job.status
        result = TargetResult(
            target=self.job.target,
            outcome=_outcome(error),
            started=self.job.started,
            finished=self.context.clock.now(),
            tenant=self.job.tenant,
            job_id=self.job.id,
            request=self.job.request,
            services=status.services if status else (),
            service_versions=status.service_versions if status else (),
            artifacts=self.job.artifacts,
            steps=tuple(self.steps),
            warnings=tuple(self.warnings),
            error=str(error) if error else "",
            exit_code=error.exit_code if error else 0,
        )
        message = f"{result.outcome.value}: {error}" if error else result.outcome.value
        self.context.changed(self.job, f"target.{result.outcome.value}", message)
        return result

    def _remote_part(self) -> Status:
        """Create the job and wait for it; leave or free the tenant's slot as the target says."""
        self._create()
        try:
            status = wait_for(self.job, self.spark, self.context)
        except RetryTimeoutError as error:
            raise self._given_up(error, self.job.target.polling.on_deadline) from error
        except Interrupted:
            if self.job.target.on_interrupt == "cancel":
                self._cancel()
            raise
        self.job = replace(self.job, status=status)
        if status.warnings:
            self.warnings.append(f"the tenant warns: {status.warnings}")
        self.context.changed(self.job, "job.done", f"job {self.job.id} is done ({status.word})")
        return status

    def _create(self) -> None:
        exports, deadline = self.spark.impex.exports, self.job.target.polling.deadline
        created = exports.when_free(lambda: exports.create(self.job.request), deadline)
        self.job = replace(self.job, id=created.id)
        self.context.changed(self.job, "job.created", f"job {created.id} created")

    def _given_up(self, error: RetryTimeoutError, on_deadline: str) -> RetryTimeoutError:
        what = "it was cancelled" if on_deadline == "cancel" and self._cancel() else ""
        told = f"{error}; {what or 'it was left running on the tenant'}"
        return RetryTimeoutError(told, retries=error.retries, interval=error.interval)

    def _cancel(self) -> bool:
        """Free the tenant's slot; tell whether the tenant agreed."""
        try:
            self.spark.impex.exports.cancel(self.job.id)
        except SparkError as error:
            self.warnings.append(f"job {self.job.id} could not be cancelled: {error}")
            return False
        self.context.changed(self.job, "job.cancelled", f"job {self.job.id} cancelled")
        return True

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
            raise DeliveryError(told)
        self.warnings.append(told)

    def _run_steps(self) -> None:
        steps = Steps(self.job, self.context, self.steps)
        try:
            steps.run()
        finally:
            self.job = steps.job


def _check_output(job: Job) -> None:
    """Find out before anything is sent whether the output may and can be written."""
    output = job.target.output
    if job.target.if_exists == "fail" and output.is_dir() and any(output.iterdir()):
        raise DeliveryError(f"{output} exists and is not empty (if_exists: fail)")
    nearest = next(path for path in (output, *output.parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise DeliveryError(f"cannot write to {output}: {nearest} is not a writable folder")


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
