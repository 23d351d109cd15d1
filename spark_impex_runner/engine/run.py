"""The composition root: from a manifest's path to a RunResult."""

from __future__ import annotations

import signal
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner import atomic
from spark_impex_runner.clock import Clock
from spark_impex_runner.engine.context import Context
from spark_impex_runner.engine.course import Permits
from spark_impex_runner.engine.job import JobRunner, unstarted
from spark_impex_runner.engine.prepare import Prepared, new_job, prepare, state_folder
from spark_impex_runner.engine.schedule import Task, Work, run_all
from spark_impex_runner.engine.unchanged import unchanged
from spark_impex_runner.errors import DeliveryError, ImpexError, Interrupted, StateError
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import RECEIPT, Outcome, RunOptions, RunResult, TargetResult
from spark_impex_runner.report import receipt
from spark_impex_runner.report.formats import FORMATS
from spark_impex_runner.report.masked import masked
from spark_impex_runner.state.store import State
from spark_impex_runner.version import __version__

if TYPE_CHECKING:
    from spark_impex_runner.engine.course import Course
    from spark_impex_runner.models import Job, Target


def run_manifest(
    path: str | Path,
    options: RunOptions | None = None,
    *,
    clock: Clock | None = None,
    masker: Masker | None = None,
) -> RunResult:
    """Run a manifest and return how every target ended; reports are written on the way.

    A target that fails is a result, not an exception. Raises ``ManifestError``, ``UsageError``
    or, for a missing plugin, ``PluginError`` before anything is sent. ``clock.stop(signum)`` ends
    the run early; ``masker`` learns every secret that the manifest refers to.
    """
    path, options, clock = Path(path), options or RunOptions(), clock or Clock()
    masker = masker or Masker()
    with (
        prepare(path, options, clock, masker) as prepared,
        closing(State(state_folder(path, options))) as state,
    ):
        context = Context(
            hooks=prepared.hooks,
            clock=clock,
            state=state,
            masker=masker,
            until=options.until,
            fresh=options.fresh,
            job=options.job,
        )
        return _Execution(prepared, context, options).run()


class _Execution:
    """One run of one plan."""

    def __init__(self, prepared: Prepared, context: Context, options: RunOptions) -> None:
        self._prepared = prepared
        self._context = context
        self._options = options
        self._clock = context.clock
        self._hooks = context.hooks
        self._planned = {item.target.name: item for item in prepared.plan}
        self._failed = False
        self._runner = JobRunner(context, prepared.tenants, self._leave_receipt)

    def run(self) -> RunResult:
        """Do all the work, then tell everybody who listens."""
        run = self._prepared.run
        # Missing credentials are found here, before the first job is created.
        for connection in self._connections():
            self._prepared.tenants.lane(connection)
        self._context.state.begin_run(run.id, str(run.manifest.path), run.started)
        self._hooks.notify("impex_run_started", run=run)
        tasks = [Task(item.target.name, self._needs(item.target)) for item in self._prepared.plan]
        results = run_all(tasks, self._work(), self._clock)
        finished = self._closed(self._finish(tuple(results.values())))
        self._hooks.notify("impex_run_finished", run=run, report=finished)
        return finished

    def _needs(self, target: Target) -> tuple[str, ...]:
        """Return the needs that are part of this run."""
        return tuple(need for need in target.needs if need in self._planned)

    def _closed(self, finished: RunResult) -> RunResult:
        """Remember the end of the run; where the disk refuses, that is one problem more."""
        try:
            state, now = self._context.state, finished.finished
            state.end_run(finished.run_id, finished.exit_code, now)
        except StateError as error:
            return replace(finished, problems=(*finished.problems, str(error)))
        return finished

    def _connections(self) -> list[str]:
        return sorted({name for item in self._prepared.plan for name in item.target.connections})

    def _work(self) -> Work[TargetResult]:
        return Work(self._do, self._skip, _fault, self._abort)

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
                return self._skip(name, reason)
            result = yield from self._run_job(self._job(name), permits)
            # Before the slot is left: whoever gets it has to know.
            self._failed = self._failed or not (result.good or result.outcome is Outcome.HELD)
        return result

    def _end_early(self, name: str) -> TargetResult | None:
        """Return the result of a target for which nothing is to be done, or may be begun."""
        if reason := self._halted():
            return self._skip(name, reason)
        job = self._job(name)
        if self._planned[name].kept:
            why = f"{job.target.output / RECEIPT} exists (if_exists: keep)"
            return self._told(job, unstarted(job, Outcome.UNCHANGED, why, self._clock.now()))
        try:
            found = unchanged(job, self._context)
        except (Interrupted, StateError):
            return None  # what follows tells it
        except ImpexError as error:
            self._failed = True
            return self._lost(job, error)
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

    def _skip(self, name: str, reason: str) -> TargetResult:
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
        if self._options.fail_fast and self._failed:
            return "another target failed (--fail-fast)"
        return ""

    def _job(self, name: str) -> Job:
        return new_job(self._planned[name], self._prepared, self._clock)

    def _leave_receipt(self, result: TargetResult) -> None:
        """Leave the receipt beside whatever was delivered, complete or not."""
        if result.artifacts:
            safe = masked(result, self._context.masker)
            text = receipt.render(safe, self._prepared.run.id, __version__)
            _write(result.target.output / RECEIPT, text)

    def _finish(self, results: tuple[TargetResult, ...]) -> RunResult:
        run = self._prepared.run
        reports = {**run.manifest.reports, **self._options.reports}
        everything = RunResult(
            run_id=run.id,
            manifest=replace(run.manifest, reports=reports),
            started=run.started,
            finished=self._clock.now(),
            results=results,
            runner_version=__version__,
            signal=self._clock.signum,
        )
        finished = masked(everything, self._context.masker)
        problems = []
        for format_, path in reports.items():
            try:
                _write(path, FORMATS[format_](finished))
            except DeliveryError as error:
                problems.append(str(error))
        return replace(finished, problems=tuple(problems))


def _fault(result: TargetResult) -> str:
    """Say why what needs a target cannot start, nothing if it can."""
    if result.good:
        return ""
    return "waits for an approval" if result.outcome is Outcome.HELD else "did not succeed"


def _write(path: Path, text: str) -> None:
    try:
        atomic.write_text(path, text)
    except OSError as error:
        raise DeliveryError(f"cannot write {path}: {error.strerror or error}") from error
