"""Deliver the targets of one plan: each when it may start, and none without need."""

from __future__ import annotations

import signal
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from spark_impex_runner.blocking import END, interruptible
from spark_impex_runner.delivery.progress import TargetProgress
from spark_impex_runner.delivery.target import TargetRunner, not_started_result
from spark_impex_runner.delivery.unchanged import unchanged
from spark_impex_runner.engine.distributed import FailFast
from spark_impex_runner.engine.http_calls import TargetCalls
from spark_impex_runner.engine.recorded import recorded_result
from spark_impex_runner.engine.reports import write_receipt
from spark_impex_runner.engine.tasks import Ready, TaskFunctions, run_all
from spark_impex_runner.errors import ImpexError, Interrupted, StateError
from spark_impex_runner.models import RECEIPT, Outcome, TargetResult
from spark_impex_runner.planning.prepare import new_job
from spark_impex_runner.state.keys import target_key_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from spark_impex_runner.delivery.context import Context
    from spark_impex_runner.engine.progress import RunProgress
    from spark_impex_runner.limits import HeldLimits
    from spark_impex_runner.models import Job, RunOptions
    from spark_impex_runner.planning.stages import Prepared
    from spark_impex_runner.state.models import Attempt

_INTERRUPTED = "the run was interrupted before it started"


class Scheduler:
    """Deliver the targets of one plan; ``fail_fast`` is shared with the run's other processes."""

    def __init__(
        self,
        prepared: Prepared,
        context: Context,
        options: RunOptions,
        progress: RunProgress,
        fail_fast: FailFast | None = None,
    ) -> None:
        self._progress = progress
        self._fail_fast = fail_fast or FailFast()
        self._prepared = prepared
        self._context = context
        self._options = options
        self._clock = context.clock
        self._hooks = context.hooks
        self._planned = {item.target.name: item for item in prepared.plan}
        requests = {item.target.name: item.request for item in prepared.plan}
        self._runner = TargetRunner(context, prepared.connections, self._leave_receipt, requests)
        self._distributed = bool(options.run_id or options.executor)
        self._cancelled: list[TargetResult] = []
        self._queued: dict[str, tuple[datetime, float]] = {}
        self._started: dict[str, tuple[TargetProgress, HeldLimits]] = {}

    def deliver(self) -> dict[str, TargetResult]:
        """Deliver all targets; return their results in the plan's order."""
        needs = {
            name: tuple(need for need in item.target.needs if need in self._planned)
            for name, item in self._planned.items()
        }
        calls = TargetCalls(self._prepared)
        functions = TaskFunctions(
            prepare=calls.recorded(self._prepare),
            run=calls.recorded(self._run),
            skip=self.skip,
            cancel=self._cancel,
            abandon=self._abandon,
            blocked_reason=_blocked_reason,
            stop=lambda: self._clock.stop(signal.SIGINT),
            queued=self._report_queued,
            ended=self._progress.note_ended,
        )
        manifest, planned = self._prepared.run.manifest, self._planned.values()
        self._context.state.storage.prefetch(
            [target_key_for(manifest, each.target) for each in planned]
        )
        run_job = lambda job: self._run_job(job)  # noqa: E731, PLW0108 - pluggy marks functions only
        with self._hooks.manager.default("impex_run_job", run_job):
            return calls.added_to(run_all(needs, functions, self._clock))

    def report_cancelled(self) -> None:
        """Report the targets that a stop kept from starting, as long as the run may still last.

        For the end of a run: they may be ten thousand, and the reports must not wait for them.
        """
        if results := self._cancelled:
            report = partial(self._context.cancelled, self._prepared.run, results, self._job)
            with suppress(Interrupted):
                interruptible("the log of targets that were not started", report, self._clock, END)

    def fail(self, name: str, reason: str, exit_code: int) -> TargetResult:
        """Return a failed result for a target without one, such as after its worker died."""
        failed = self._not_started(self._job(name), Outcome.FAILED, reason)
        return replace(failed, exit_code=exit_code)

    def give_up(self, name: str, reason: str) -> TargetResult:
        """Return the result of a target whose worker did not end after a signal."""
        return self._not_started(self._job(name), Outcome.CANCELLED, reason or _INTERRUPTED)

    def recorded(self, name: str) -> TargetResult | None:
        """Return how a target ended on a worker that died; None if it had not ended."""
        # Without an event: that worker has sent it.
        with suppress(ImpexError):
            return recorded_result(self._job(name), self._context) if self._distributed else None
        return None

    def skip(self, name: str, reason: str) -> TargetResult:
        """Return the result of a target that is not started."""
        outcome = Outcome.CANCELLED if self._clock.stopping() else Outcome.SKIPPED
        return self._not_started(self._job(name), outcome, self._stop_reason() or reason)

    def _cancel(self, names: Sequence[str]) -> list[TargetResult]:
        """Return the results of targets that a stop keeps from starting."""
        planned = [self._planned[name] for name in names]
        tenants = {
            name: self._prepared.connections.client(name).url
            for name in {each.target.connection for each in planned}
        }
        ended, now = self._all_recorded(names), self._clock.now()
        results = [
            ended.get(each.target.name)
            or not_started_result(
                each, tenants[each.target.connection], Outcome.CANCELLED, _INTERRUPTED, now
            )
            for each in planned
        ]
        self._cancelled += [each for each in results if each.target.name not in ended]
        return results

    def _all_recorded(self, names: Sequence[str]) -> dict[str, TargetResult]:
        """Return what ``recorded`` returns of targets; nothing if the state does not reply."""
        if not self._distributed:
            return {}

        def read() -> dict[str, TargetResult]:
            return {name: result for name in names if (result := self.recorded(name))}

        try:
            return interruptible("the state", read, self._clock)
        except Interrupted:
            return {}

    def _prepare(self, name: str) -> TargetResult | Ready:
        """Return the limits that a target waits for, or its result if there is nothing to do."""
        if early := self.recorded(name) or self._result_without_job(name):
            return early
        self._queued[name] = self._clock.now(), self._clock.monotonic()
        try:
            return Ready(self._runner.limits(self._job(name)))
        except (Interrupted, StateError):
            return Ready()  # the target meets the same error, with a place for it in its result

    def _report_queued(self, name: str, place: int) -> None:
        """Report that a target waits for a job of its tenant."""
        job = self._job(name)
        self._progress.note_queued(name, job.target.connection)
        message = f"queued for a job of {job.tenant}, place {place}"
        # Without observers, which may hang: this is the scheduler's own thread.
        self._context.logged(job, "target.queued", message, place=place)

    def _run(self, name: str, held: HeldLimits) -> TargetResult:
        """Deliver one target, unless the run has stopped or failed while it was queued."""
        with held:
            if reason := self._stop_reason():
                return self.skip(name, reason)
            # Recorded before the limits are released, so that the next target sees a failure.
            return self._record_failure(self._delivered(self._job(name), held))

    def _delivered(self, job: Job, held: HeldLimits) -> TargetResult:
        """Deliver one target inside the wrappers of ``impex_run_job``.

        The result of a target that was delivered before a wrapper failed keeps its packages.
        """
        progress = TargetProgress(job, self._context)
        progress.enter_queue(*self._queued.pop(job.target.name))
        self._started[job.target.name] = progress, held
        self._progress.note_started(progress)
        try:
            answer = self._hooks.call("impex_run_job", job=job)
            if not isinstance(answer, TargetResult):
                raise self._hooks.invalid_answer("impex_run_job", answer, "a TargetResult")
        except ImpexError as error:
            return self._failed(progress, error)
        finally:
            del self._started[job.target.name]
        return answer

    def _run_job(self, job: Job) -> TargetResult:
        """Deliver a target: the default implementation of ``impex_run_job``."""
        progress, held = self._started[job.target.name]
        return self._runner.run(progress, held)

    def _abandon(self, name: str) -> TargetResult:
        """Return the result of a target that still hangs when the run has to end."""
        started = self._started.get(name)
        progress = started[0] if started else TargetProgress(self._job(name), self._context)
        hanging = f"step {progress.step}" if progress.step else "it"
        warning = f"{hanging} did not end after the signal and was abandoned"
        progress.warnings.append(warning)
        self._context.logged(progress.job, "target.cancelled", f"cancelled: {warning}")
        return progress.ended or self._runner.abandon(progress)

    def _result_without_job(self, name: str) -> TargetResult | None:
        """Return the result of a target that needs no job or may not start; None for any other."""
        if reason := self._stop_reason():
            return self.skip(name, reason)
        job = self._job(name)
        if self._planned[name].kept:
            reason = f"{job.target.output / RECEIPT} exists (if_exists: keep)"
            return self._not_started(job, Outcome.UNCHANGED, reason)
        try:
            found = unchanged(job, self._context)
        except (Interrupted, StateError):
            return None  # the target meets the same error when it runs
        except ImpexError as error:
            return self._record_failure(self._failed(TargetProgress(job, self._context), error))
        if not found:
            return None
        last, reason = found
        # With a date in `output`, the packages may be in the folder of an earlier day.
        delivered = replace(job, target=replace(job.target, output=last.output))
        return self._not_started(delivered, Outcome.UNCHANGED, reason)

    def _failed(self, progress: TargetProgress, error: ImpexError) -> TargetResult:
        """Return the result of a target whose wrapper or preparation failed."""
        done, now = progress.ended, self._clock.now()  # done: the delivery, before a wrapper failed
        if done is None:
            job, text = progress.job, str(error)
            failed = not_started_result(job, job.tenant, Outcome.FAILED, text, now)
            failed = replace(failed, exit_code=error.exit_code)
            return self._reported(progress.job, failed, error)
        message = self._context.masker.mask(str(error))
        result = replace(
            done,
            outcome=Outcome.FAILED if done.good else done.outcome,
            error=f"{done.error}; {message}" if done.error else message,
            exit_code=done.exit_code or error.exit_code,
            finished=now,
        )
        return self._reported(progress.job, result, error)

    def _record_failure(self, result: TargetResult) -> TargetResult:
        failed = not (result.good or result.outcome is Outcome.HELD)
        if self._options.fail_fast and failed:
            self._fail_fast.fail()
        return result

    def _not_started(self, job: Job, outcome: Outcome, reason: str) -> TargetResult:
        now = self._clock.now()
        return self._reported(job, not_started_result(job, job.tenant, outcome, reason, now))

    def _reported(
        self, job: Job, result: TargetResult, error: ImpexError | None = None
    ) -> TargetResult:
        self._context.ended(job, result, error)
        return result

    def _stop_reason(self) -> str:
        if self._clock.stopping():
            return _INTERRUPTED
        if self._options.fail_fast and self._fail_fast.failed():
            return "another target failed (--fail-fast)"
        try:
            self._context.state.storage.check()
        except StateError as error:
            return str(error)
        except Interrupted:  # it waited for a lease that is late
            return _INTERRUPTED
        return ""

    def _job(self, name: str) -> Job:
        return new_job(self._planned[name], self._prepared, self._clock)

    def _leave_receipt(self, result: TargetResult, attempt: Attempt) -> None:
        """Write the receipt beside the artifacts, also of a delivery that failed half-way."""
        if result.artifacts:
            write_receipt(result, self._prepared.run, self._context, attempt)


def _blocked_reason(result: TargetResult) -> str:
    """Return why the targets that need this one cannot start, an empty text if they can."""
    if result.good:
        return ""
    return "waits for an approval" if result.outcome is Outcome.HELD else "did not succeed"
