"""Deliver one target from its intent to its last step, as ``impex_run_job`` does by default."""

from __future__ import annotations

import logging
import os
import re
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from spark_impex_runner.blocking import GIVE_UP, interruptible
from spark_impex_runner.delivery.adopt import adopt
from spark_impex_runner.delivery.attempt import open_attempt
from spark_impex_runner.delivery.backup import backup_error, backup_job
from spark_impex_runner.delivery.export import TenantAccess
from spark_impex_runner.delivery.parts import Parts
from spark_impex_runner.delivery.progress import Phase, TargetProgress
from spark_impex_runner.delivery.steps import Steps
from spark_impex_runner.delivery.unchanged import unchanged, work_digest
from spark_impex_runner.errors import DeliveryError, ImpexError, Interrupted, describe_os_error
from spark_impex_runner.models import EVIDENCE, RECEIPT, Outcome, Status, TargetResult
from spark_impex_runner.ownership import Ownership
from spark_impex_runner.planning.approvals import Approvals
from spark_impex_runner.planning.placed import PlacedFiles, check_step_outputs, require_same_output
from spark_impex_runner.report import receipt
from spark_impex_runner.state.keys import target_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from spark_impex_runner.delivery.context import Context
    from spark_impex_runner.limits import HeldLimits, Limit
    from spark_impex_runner.models import Job, PlannedTarget, Request
    from spark_impex_runner.planning.connections import Connections
    from spark_impex_runner.state.models import Attempt

_log = logging.getLogger(__name__)


class TargetRunner:
    """Deliver the targets of one run; ``leave_receipt`` writes the receipt of a result.

    ``requests`` are those of all targets by name.
    """

    def __init__(
        self,
        context: Context,
        connections: Connections,
        leave_receipt: Callable[[TargetResult, Attempt], None],
        requests: Mapping[str, Request],
    ) -> None:
        self._context = context
        self._connections = connections
        self._leave_receipt = leave_receipt
        self._requests = requests

    def limits(self, job: Job) -> tuple[Limit, ...]:
        """Return the limits that a target must acquire before it starts.

        It needs a job slot of the tenant unless its packages seem to be delivered already.
        """
        context, limits = self._context, self._connections.limits(job.target.connection)
        attempt = context.state.unfinished(target_key(job))
        adopts = attempt is None and not context.fresh and context.approvals.for_target(job.target)
        if adopts or (attempt is not None and attempt.delivered and not context.fresh):
            return (limits.run.active,)
        return (limits.jobs, limits.run.active)

    def run(self, progress: TargetProgress, held: HeldLimits) -> TargetResult:
        """Deliver one target and return its result, also after a failure."""
        try:
            result = self._deliver(progress, held)
        except ImpexError as error:
            result = progress.result(error)
        except OSError as error:
            result = progress.result(DeliveryError(describe_os_error(error)))
        except Exception as error:  # noqa: BLE001 - a bug here must not stop the other targets
            _log.error("internal error in target %s", progress.job.target.name, exc_info=error)
            message = f"internal error: {type(error).__name__}: {error}"
            result = progress.result(ImpexError(message))
        if progress.abandoned:
            return result
        progress.ended = result
        progress.enter(Phase.ENDED)
        self._context.ended(progress.job, result, progress.failure)
        return result

    def backup(
        self,
        progress: TargetProgress,
        held: HeldLimits,
        connection: str,
        services: Sequence[str],
        folder: str,
    ) -> Path:
        """Export services of another connection into the output; see ``Job.backup``.

        It is a target of its own, with its own attempt and receipt. A complete export of the same
        folder is returned as it is, unless its files were changed or removed.
        """
        job = backup_job(progress.job, (connection, services, folder), self._context.hooks)
        output = job.target.output
        if self._context.state.last_delivered(target_key(job)) and not receipt.verify(output):
            return output
        # The export waits for limits of its tenant, whose holders may wait for this one.
        limits = self._connections.limits(connection)
        held.release(limits.run.steps)
        # Nothing that the command says about the target's own export is meant for this one.
        context = replace(self._context, job="", fresh=False, until="", approvals=Approvals())
        runner = TargetRunner(context, self._connections, self._leave_receipt, self._requests)
        inner = TargetProgress(job, context)
        try:
            runner._deliver(inner, held)
        finally:
            for limit in (limits.jobs, limits.incoming):
                held.release(limit)
            held.acquire(limits.run.steps)
        if inner.failure:
            raise backup_error(inner.failure, connection)
        return output

    def abandon(self, progress: TargetProgress) -> TargetResult:
        """Return the result of a target that does not end in time; the next run resumes it."""
        error = Interrupted(self._context.clock.signum)
        progress.abandoned = True
        progress.merge_parts()
        if progress.opened:
            # Storing the result may hang, too: perhaps the target waits for the disk.
            with suppress(ImpexError, OSError):
                close = partial(self._close, progress, error, closed=False)
                return interruptible("the state", close, self._context.clock, GIVE_UP)
        return progress.result(error)

    def _deliver(self, progress: TargetProgress, held: HeldLimits) -> TargetResult:
        """Lock the target, deliver its packages, run its steps, and store how it ended."""
        context, connection = self._context, progress.job.target.connection
        with context.state.storage.lease(target_key(progress.job), context.clock.now()):
            if result := self._delivered_meanwhile(progress):
                return result
            connections = self._connections
            tenant = TenantAccess(
                connections.client(connection),
                connections.limits(connection),
                held,
                connections.running(connection),
                connections.running_beside(connection),
                self._requests,
            )
            progress.job = self._checked(progress.job, tenant.spark.identity)
            progress.open(open_attempt(progress.job, tenant.spark.identity, context))
            parts, failure = Parts(progress, tenant), None
            try:
                parts.run()
                if context.until != "download":
                    held.transfer(tenant.limits.run.steps, out_of=tenant.limits.incoming)
                    self._run_steps(progress, held)
            except ImpexError as error:
                failure = error
            if progress.abandoned:
                raise Interrupted(context.clock.signum)
            return self._close(progress, failure, closed=parts.is_over(failure))

    def _delivered_meanwhile(self, progress: TargetProgress) -> TargetResult | None:
        """Return the result of a target that another run has delivered while this one waited."""
        context, job = self._context, progress.job
        last = context.state.last_delivered(target_key(job)) if job.target.skip_unchanged else None
        # The plugins, which may ask the tenant, were asked before: only a later delivery is new.
        if last is None or last.finished is None or last.finished <= job.run.started:
            return None
        if not (found := unchanged(job, context)):
            return None
        delivery, reason = found
        target = replace(job.target, output=delivery.output)
        progress.job = replace(job, target=target)
        now = context.clock.now()
        return not_started_result(progress.job, job.tenant, Outcome.UNCHANGED, reason, now)

    def _checked(self, job: Job, url: str) -> Job:
        """Return the job with the records of its output; raise if the output cannot be used."""
        job = adopt(job, url, self._context)
        placed = PlacedFiles(self._context.state, target_key(job), job.target)
        job = replace(job, placed=placed)
        placed.adopt_receipt()
        check_step_outputs(job, self._context.hooks)
        _check_output(job, self._context)
        return job

    def _run_steps(self, progress: TargetProgress, held: HeldLimits) -> None:
        job, delivered = progress.job, progress.delivered
        if job.status is None:  # packages of an earlier run, or of parts
            services, versions = delivered.services, delivered.versions
            status = Status(job.id, "", services=services, service_versions=versions)
            progress.job = replace(job, status=status)
        backup = partial(self.backup, progress, held)
        Steps(progress, lambda: self._with_receipt(progress, None), backup).run()

    def _close(
        self, progress: TargetProgress, error: ImpexError | None, *, closed: bool
    ) -> TargetResult:
        """Write the receipt, store how the target ended, and return its result.

        If nothing is left to resume, close the attempt: the next run starts a new one.
        """
        context, attempt = self._context, progress.attempt
        context.state.storage.check()
        # The receipt first: a run killed in between is resumed and writes it again.
        result = self._with_receipt(progress, error)
        now = context.clock.now()
        if not (closed or (not result.error and context.until != "download")):
            run = progress.job.run.id
            context.state.note_outcome(attempt, run, result.outcome, result.error, now)
        elif result.good and all(step.outcome == "succeeded" for step in result.steps):
            context.state.complete(attempt, work_digest(progress.job, context.masker), now)
        else:
            context.state.finish(attempt, result.outcome, result.error, now)
        return result

    def _with_receipt(self, progress: TargetProgress, error: ImpexError | None) -> TargetResult:
        try:
            require_same_output(progress.job)
        except DeliveryError as moved:
            return progress.result(error or moved)
        result = progress.result(error)
        self._leave_receipt(result, progress.attempt)
        return result


def _check_output(job: Job, context: Context) -> None:
    """Raise ``DeliveryError``, before anything is sent, if the output cannot be written."""
    output = job.target.output
    if job.target.if_exists == "fail" and output.is_dir() and _foreign_files(job, context):
        raise DeliveryError(f"{output} exists and is not empty (if_exists: fail)")
    nearest = next(path for path in (output, *output.parents) if os.path.lexists(path))
    for path in (output / RECEIPT, output / EVIDENCE):
        if path.is_dir():
            raise DeliveryError(f"{path} is a folder; move it away, or choose another output")
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise DeliveryError(f"cannot write to {output}: {nearest} is not a writable folder")


def _foreign_files(job: Job, context: Context) -> list[Path]:
    """Return what is in the output and not from the target's open attempt."""
    attempt, output = context.state.unfinished(target_key(job)), job.target.output
    if attempt is None:
        return list(output.iterdir())
    owned = Ownership.of(job)
    # Temporary files of a killed process, which are not recorded.
    unnamed = re.compile(r"\..+\.(part(\.json(\..+)?)?|[0-9a-f]{8}|new|old[0-9]*)")
    return [
        path
        for path in output.iterdir()
        if path.name not in {RECEIPT, EVIDENCE}
        and not unnamed.fullmatch(path.name)
        and owned.foreign_file(path)
    ]


def not_started_result(
    work: Job | PlannedTarget, tenant: str, outcome: Outcome, reason: str, now: datetime
) -> TargetResult:
    """Return the result of a target for which no request was sent."""
    return TargetResult(
        target=work.target,
        outcome=outcome,
        started=now,
        finished=now,
        tenant=tenant,
        request=work.request,
        error=reason,
    )
