"""The targets of one plan as they are done: which may start, which need not, which failed."""

from __future__ import annotations

import signal
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.engine.course import Permits
from spark_impex_runner.engine.job import JobRunner, unstarted
from spark_impex_runner.engine.prepare import new_job
from spark_impex_runner.engine.reports import write
from spark_impex_runner.engine.schedule import Task, Work, run_all
from spark_impex_runner.engine.unchanged import unchanged
from spark_impex_runner.engine.units import Halt
from spark_impex_runner.errors import ImpexError, Interrupted, StateError
from spark_impex_runner.models import RECEIPT, Outcome, TargetResult
from spark_impex_runner.report import receipt
from spark_impex_runner.report.masked import masked
from spark_impex_runner.version import __version__

if TYPE_CHECKING:
    from spark_impex_runner.engine.context import Context
    from spark_impex_runner.engine.course import Course
    from spark_impex_runner.engine.prepare import Prepared
    from spark_impex_runner.models import Job, RunOptions, Target


class Execution:
    """The work of one plan. ``halt`` tells whether a target has failed, here or elsewhere."""

    def __init__(
        self, prepared: Prepared, context: Context, options: RunOptions, halt: Halt | None = None
    ) -> None:
        self._halt = halt or Halt()
        self._prepared = prepared
        self._context = context
        self._options = options
        self._clock = context.clock
        self._hooks = context.hooks
        self._planned = {item.target.name: item for item in prepared.plan}
        self._runner = JobRunner(context, prepared.tenants, self._leave_receipt)

    def deliver(self) -> dict[str, TargetResult]:
        """Do all the work; return the targets' results in the plan's order."""
        tasks = [Task(item.target.name, self._needs(item.target)) for item in self._prepared.plan]
        return run_all(tasks, self._work(), self._clock)

    def _needs(self, target: Target) -> tuple[str, ...]:
        """Return the needs that are part of this run."""
        return tuple(need for need in target.needs if need in self._planned)

    def fail(self, name: str, why: str, exit_code: int) -> TargetResult:
        """Return the result of a target that failed where nobody could tell of it."""
        job = self._job(name)
        lost = unstarted(job, Outcome.FAILED, why, self._clock.now())
        return self._told(job, replace(lost, exit_code=exit_code))

    def _work(self) -> Work[TargetResult]:
        return Work(self._do, self.skip, _fault, self._abort, self._abandoned)

    def _abandoned(self, name: str) -> TargetResult:
        """Return the result of a target that hung when the run was to end."""
        job, why = self._job(name), "it did not end after the signal and was abandoned"
        self._context.logged(job, "target.cancelled", f"cancelled: {why}")
        return unstarted(job, Outcome.CANCELLED, why, self._clock.now())

    def _abort(self) -> None:
        self._clock.stop(signal.SIGINT)

    def _do(self, name: str) -> Course[TargetResult]:
        """Deliver one target, unless nothing new may start by the time that it can."""
        # Before the tenant's slot is waited for, which others may need.
        if early := self._end_early(name):
            return early
        with Permits() as permits:
            # Where the state refuses, the job itself tells it, and fails by it.
            with suppress(Interrupted, StateError):
                yield from self._runner.may_start(self._job(name), permits)
            if reason := self._halted():
                return self.skip(name, reason)
            result = yield from self._run_job(self._job(name), permits)
            # Before the slot is left: whoever gets it has to know.
            self._note(result)
        return result

    def _end_early(self, name: str) -> TargetResult | None:
        """Return the result of a target for which nothing is to be done, or may be begun."""
        if reason := self._halted():
            return self.skip(name, reason)
        job = self._job(name)
        if self._planned[name].kept:
            why = f"{job.target.output / RECEIPT} exists (if_exists: keep)"
            return self._told(job, unstarted(job, Outcome.UNCHANGED, why, self._clock.now()))
        try:
            found = unchanged(job, self._context)
        except (Interrupted, StateError):
            return None  # what follows tells it
        except ImpexError as error:
            return self._note(self._lost(job, error))
        if not found:
            return None
        last, why = found
        # The result names the folder in which the packages are, which may be that of another day.
        there = replace(job, target=replace(job.target, output=last.output))
        return self._told(there, unstarted(there, Outcome.UNCHANGED, why, self._clock.now()))

    def _run_job(self, job: Job, permits: Permits) -> Course[TargetResult]:
        """Run one job; what goes wrong outside of the job's own course is its failure, too."""
        try:
            course = self._runner.run(job, permits)
            answer = yield from self._hooks.around("impex_run_job", course, job=job)
            if not isinstance(answer, TargetResult):
                raise self._hooks.refuse("impex_run_job", answer, "a TargetResult")
        except ImpexError as error:
            return self._lost(job, error)
        return answer

    def _lost(self, job: Job, error: ImpexError) -> TargetResult:
        """Return the result of a target that failed outside of its job's own course."""
        failed = unstarted(job, Outcome.FAILED, str(error), self._clock.now())
        return replace(failed, exit_code=error.exit_code)

    def _note(self, result: TargetResult) -> TargetResult:
        bad = not (result.good or result.outcome is Outcome.HELD)
        if self._options.fail_fast and bad:
            self._halt.fail()
        return result

    def skip(self, name: str, reason: str) -> TargetResult:
        """Return the result of a target that is not begun."""
        job = self._job(name)
        stopped = self._clock.stopping()
        outcome = Outcome.CANCELLED if stopped else Outcome.SKIPPED
        why = self._halted() or reason
        return self._told(job, unstarted(job, outcome, why, self._clock.now()))

    def _told(self, job: Job, result: TargetResult) -> TargetResult:
        event = f"target.{result.outcome.value}"
        self._context.changed(job, event, f"{result.outcome.value}: {result.error}")
        return result

    def _halted(self) -> str:
        if self._clock.stopping():
            return "the run was interrupted before it started"
        if self._options.fail_fast and self._halt.failed():
            return "another target failed (--fail-fast)"
        return ""

    def _job(self, name: str) -> Job:
        return new_job(self._planned[name], self._prepared, self._clock)

    def _leave_receipt(self, result: TargetResult) -> None:
        """Leave the receipt beside whatever was delivered, complete or not."""
        if result.artifacts:
            safe = masked(result, self._context.masker)
            run, masker = self._prepared.run, self._context.masker
            name = run.manifest.name
            shown = name if masker.mask(name) == name else None
            text = receipt.render(safe, run.id, __version__, shown)
            write(result.target.output / RECEIPT, text)


def _fault(result: TargetResult) -> str:
    """Say why what needs a target cannot start, nothing if it can."""
    if result.good:
        return ""
    return "waits for an approval" if result.outcome is Outcome.HELD else "did not succeed"
