"""One target from its intent to its last step: the course inside of ``impex_run_job``."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spark_impex_runner.engine.adopt import adopt
from spark_impex_runner.engine.attempt import key, open_attempt
from spark_impex_runner.engine.course import Gate, Pool
from spark_impex_runner.engine.export import Delivered, Way, outcome
from spark_impex_runner.engine.parts import Parts
from spark_impex_runner.engine.placed import PlacedFiles, check_places, require_same_output
from spark_impex_runner.engine.remote import Remote
from spark_impex_runner.engine.steps import Steps
from spark_impex_runner.engine.unchanged import work
from spark_impex_runner.errors import DeliveryError, HeldError, ImpexError, describe_os_error
from spark_impex_runner.models import RECEIPT, Status, StepResult, TargetResult
from spark_impex_runner.ownership import Ownership
from spark_impex_runner.state.lease import lease

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from spark_impex_runner.engine.context import Context
    from spark_impex_runner.engine.course import Course, Permits
    from spark_impex_runner.engine.tenants import Tenants
    from spark_impex_runner.models import Job, Outcome
    from spark_impex_runner.state.store import Attempt

_log = logging.getLogger(__name__)

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
        context = self._context
        adopts = attempt is None and not context.fresh and context.approvals.for_target(job.target)
        if not adopts and (attempt is None or not attempt.delivered or context.fresh):
            yield from permits.enter(self._tenants.lane(job.target.connection).slots)

    def run(self, job: Job, permits: Permits) -> Course[TargetResult]:
        """Deliver one target. Failures are results; the permits are left on the way."""
        lane = self._tenants.lane(job.target.connection)
        way = Way(lane, self._stepping, permits)
        delivery = _Delivery(job, self._context, self._tenants, self._leave_receipt, way)
        try:
            result = yield from delivery.run()
        except ImpexError as error:
            result = delivery.result(error)
        except OSError as error:
            result = delivery.result(DeliveryError(describe_os_error(error)))
        except Exception as error:  # noqa: BLE001 - a bug here must not stop the other targets
            _log.error("internal error in target %s", job.target.name, exc_info=error)
            told = f"internal error: {type(error).__name__}: {error}"
            result = delivery.result(ImpexError(told))
        told = f"{result.outcome.value}: {result.error}" if result.error else result.outcome.value
        self._context.changed(delivery.job, f"target.{result.outcome.value}", told)
        return result


@dataclass
class _Delivery:
    """One job as it goes: what is known so far, for the result, whatever happens."""

    job: Job
    context: Context
    tenants: Tenants
    leave_receipt: Callable[[TargetResult], None]
    way: Way
    delivered: Delivered = field(default_factory=Delivered)
    steps: list[StepResult] = field(default_factory=list)
    approvals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def run(self) -> Course[TargetResult]:
        """Hold the target, deliver it, and close the attempt where nothing is left to do.

        The receipt comes before the close: a run that is killed in between goes on to write it.
        """
        with lease(self.context.state.folder, key(self.job), self.context.clock.now()):
            spark = self.tenants.connect(self.job.target.connection)
            self.job = adopt(self.job, spark.url, self.context)
            placed = PlacedFiles(self.context.state, key(self.job), self.job.target)
            self.job = replace(self.job, placed=placed)
            placed.adopt_receipt()
            check_places(self.job, self.context.hooks)
            _check_output(self.job, self.context)
            opening = open_attempt(self.job, spark.url, self.context)
            creating = self.way.lane.creating
            remote = Remote(self.job, spark, self.context, opening, creating, self.warnings)
            self.job = remote.job
            parts = Parts(remote, self.way)
            error = yield from self._try_to_deliver(parts)
            result = self._finished(error)
            complete = not result.error and self.context.until != "download"
            if complete or parts.is_over(error):
                self._close(parts, result)
            else:
                self._leave(parts, result)
            return result

    def _finished(self, error: ImpexError | None) -> TargetResult:
        """Return the result, with its receipt beside the packages."""
        try:
            require_same_output(self.job)
        except DeliveryError as moved:
            return self.result(error or moved)
        result = self.result(error)
        self.leave_receipt(result)
        return result

    def result(self, error: ImpexError | None = None) -> TargetResult:
        """Return the job as a result."""
        return TargetResult(
            target=self.job.target,
            outcome=outcome(error),
            started=self.job.started,
            finished=self.context.clock.now(),
            tenant=self.job.tenant,
            job_id=self.job.id,
            request=self.job.request,
            services=self.delivered.services,
            service_versions=self.delivered.versions,
            artifacts=self.job.artifacts,
            steps=tuple(self.steps),
            warnings=tuple(map(self.context.masker.mask, self.warnings)),
            error=self.context.masker.mask(str(error)) if error else "",
            exit_code=error.exit_code if error else 0,
            job_ids=self.job.parts,
            approve=error.approve if isinstance(error, HeldError) else "",
            digests=error.digests if isinstance(error, HeldError) else (),
            approved=tuple(self.approvals),
        )

    def _try_to_deliver(self, parts: Parts) -> Course[ImpexError | None]:
        try:
            yield from self._deliver(parts)
        except ImpexError as error:
            return error
        return None

    def _deliver(self, parts: Parts) -> Course[None]:
        """Bring the packages home, and run the steps: whatever of it is left to do."""
        try:
            yield from parts.run()
        finally:
            self.job, self.delivered = parts.job, parts.delivered
        if self.context.until != "download":
            yield from self.way.permits.move(self.way.stepping, out_of=self.way.lane.arrivals)
            yield from self._run_steps(parts.attempt)

    def _run_steps(self, attempt: Attempt) -> Course[None]:
        if self.job.status is None:  # of packages that an earlier run delivered, or of parts
            services, versions = self.delivered.services, self.delivered.versions
            said = Status(self.job.id, "", services=services, service_versions=versions)
            self.job = replace(self.job, status=said)
        steps = Steps(self.job, self.context, attempt, self.steps, self.approvals)
        try:
            yield from steps.run()
        finally:
            self.job = steps.job

    def _leave(self, parts: Parts, result: TargetResult) -> None:
        """Store how this run leaves an attempt that the next run resumes."""
        state, now = self.context.state, self.context.clock.now()
        state.note_outcome(parts.attempt, self.job.run.id, result.outcome, result.error, now)

    def _close(self, parts: Parts, result: TargetResult) -> None:
        """Close the attempt: the next run of this target is a new one."""
        state, now = self.context.state, self.context.clock.now()
        if result.good and all(step.outcome == "succeeded" for step in result.steps):
            state.complete(parts.attempt, work(self.job, self.context.masker), now)
        else:
            state.finish(parts.attempt, result.outcome, result.error, now)


def _check_output(job: Job, context: Context) -> None:
    """Find out before anything is sent whether the output may and can be written.

    What lies there from an attempt that is still open is our own.
    """
    output = job.target.output
    if job.target.if_exists == "fail" and output.is_dir() and _foreign(job, context):
        raise DeliveryError(f"{output} exists and is not empty (if_exists: fail)")
    nearest = next(path for path in (output, *output.parents) if os.path.lexists(path))
    if (output / RECEIPT).is_dir():
        raise DeliveryError(f"{output / RECEIPT} is a folder; move it away, or use another output")
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise DeliveryError(f"cannot write to {output}: {nearest} is not a writable folder")


def _foreign(job: Job, context: Context) -> list[Path]:
    """Return what lies in the output and is not from the target's open attempt."""
    attempt, output = context.state.unfinished(key(job)), job.target.output
    if attempt is None:
        return list(output.iterdir())
    owned = Ownership.of(job)
    # What had no name of its own yet when its process was killed.
    unnamed = re.compile(r"\..+\.(part(\.json(\..+)?)?|[0-9a-f]{8}|new|old[0-9]*)")
    return [
        path
        for path in output.iterdir()
        if path.name != RECEIPT and not unnamed.fullmatch(path.name) and owned.stranger(path)
    ]


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
