"""The composition root: run a manifest, from its path to a RunResult."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_impex_runner.blocking import END, REPORT, interruptible
from spark_impex_runner.clock import Clock
from spark_impex_runner.delivery.context import Context
from spark_impex_runner.delivery.records import signer_of
from spark_impex_runner.engine.http_calls import are_wanted
from spark_impex_runner.engine.notifications import notify
from spark_impex_runner.engine.preparation import prepared_run
from spark_impex_runner.engine.progress import RunProgress
from spark_impex_runner.engine.record import record_end, recorded
from spark_impex_runner.engine.refusal import refusal_reported
from spark_impex_runner.engine.reports import write_reports
from spark_impex_runner.engine.scheduler import Scheduler
from spark_impex_runner.errors import Interrupted
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import RunOptions, RunResult, TargetResult
from spark_impex_runner.planning.approvals import command
from spark_impex_runner.planning.locations import state_place
from spark_impex_runner.report.data import seconds
from spark_impex_runner.report.headline import headline, outcome
from spark_impex_runner.report.masked import masked
from spark_impex_runner.state.opening import open_state
from spark_impex_runner.text import counted
from spark_impex_runner.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from spark_impex_runner.engine.distributed import UnitExecutor, Worker
    from spark_impex_runner.planning.stages import Prepared


_log = logging.getLogger(__name__)
_events = logging.getLogger("spark_impex_runner.events")


def run_manifest(  # noqa: PLR0913 - what an embedding program may replace, by keyword
    path: str | Path,
    options: RunOptions | None = None,
    *,
    clock: Clock | None = None,
    masker: Masker | None = None,
    worker: Worker | None = None,
    progress: RunProgress | None = None,
) -> RunResult:
    """Run a manifest, write its reports, and return the result of every target.

    A target that fails is a result, not an exception. ``clock.stop()`` ends the run early.
    ``masker`` learns every secret that the manifest refers to. ``worker`` replaces ``run_unit``
    where ``options.executor`` names an executor other than this process. ``progress`` shows what
    the run does while it lasts.

    Raises ``ManifestError``, ``UsageError`` or ``PluginError`` before anything is sent; reports
    and notifications are sent all the same where the manifest can be read.
    """
    path, options, clock = Path(path), options or RunOptions(), clock or Clock()
    masker = masker or Masker()
    with (
        refusal_reported(path, options, clock, masker),
        prepared_run(path, options, clock, masker) as prepared,
        closing(open_state(state_place(path, options), clock)) as state,
    ):
        signer = signer_of(prepared.run.manifest)
        context = Context.of(prepared, state, options, signer=signer)
        with _unit_executor(prepared, context, worker) as executor:
            shown = progress or RunProgress()
            return _Run(prepared, context, options, shown).run(executor)


@contextmanager
def _unit_executor(
    prepared: Prepared, context: Context, worker: Worker | None
) -> Iterator[UnitExecutor | None]:
    """Yield the executor of the run's targets; None if this process runs them."""
    if not context.options.executor:
        yield None
        return
    from spark_impex_runner.engine.dispatch import unit_executor  # noqa: PLC0415 - few runs need it

    with unit_executor(prepared, context, worker) as executor:
        yield executor


class _Run:
    """One run of one plan."""

    def __init__(
        self, prepared: Prepared, context: Context, options: RunOptions, progress: RunProgress
    ) -> None:
        self._prepared = prepared
        self._context = context
        self._options = options
        self._clock = context.clock
        self._hooks = context.hooks
        self._planned = {item.target.name: item for item in prepared.plan}
        self._progress = progress
        self._scheduler = Scheduler(prepared, context, options, progress)

    def run(self, executor: UnitExecutor | None) -> RunResult:
        """Run all targets, then write the reports, call the observers and send notifications."""
        run = self._prepared.run
        # Raises for missing credentials of any connection, before the first job is created.
        for name in sorted({e for item in self._prepared.plan for e in item.target.connections}):
            self._prepared.connections.limits(name)
        unseen = executor is not None and not executor.has_events
        self._progress.begin(run, self._clock, distributed=unseen)
        with recorded(self._prepared, self._context):
            self._log_start()
            self._observe("impex_run_started", run=run)
            if executor:
                from spark_impex_runner.engine.dispatch import Dispatch  # noqa: PLC0415

                dispatch = Dispatch(self._prepared, self._context, self._scheduler, self._progress)
                results = dispatch.run(executor)
            else:
                results = self._scheduler.deliver()
            self._warn_of_unused_approvals(results.values())
            reported = self._report(tuple(results.values()))
            finished = record_end(self._prepared, self._context, reported)
        self._scheduler.report_cancelled()
        self._log_end(finished)
        self._observe("impex_run_finished", run=run, report=finished)
        registry, masker = self._hooks.registry, self._context.masker
        notify(run.manifest.notify, finished, registry.notifiers, self._clock, masker)
        return finished

    def _log_start(self) -> None:
        run, number = self._prepared.run, len(self._planned)
        detail = {"manifest": run.manifest.name, "path": str(run.manifest.path), "targets": number}
        message = f"run {run.id} of {run.manifest.name}: {counted(number, 'target')}"
        self._log_event("run.started", message, detail)

    def _log_end(self, finished: RunResult) -> None:
        counts = Counter(each.outcome.value for each in finished.results)
        detail = {
            "outcome": outcome(finished),
            "exit_code": finished.exit_code,
            "seconds": seconds(finished.started, finished.finished),
            "counts": dict(counts),
        }
        self._log_event("run.finished", headline(finished), detail)

    def _log_event(self, event: str, message: str, detail: dict[str, Any]) -> None:
        mask = self._context.masker.mask_within
        extra = {"event": event, "run_id": self._prepared.run.id, "detail": mask(detail)}
        _events.info("%s", mask(message), extra=extra)

    def _observe(self, hook: str, **arguments: object) -> None:
        """Call the observers of a hook; a stop abandons an observer that hangs."""
        with suppress(Interrupted):
            interruptible(hook, lambda: self._hooks.notify(hook, **arguments), self._clock, END)

    def _warn_of_unused_approvals(self, results: Iterable[TargetResult]) -> None:
        """Warn of each approval that no target has used or waits for."""
        used = {each.approve for each in results}
        used |= {given.partition("@")[0] for each in results for given in each.approved}
        for name in sorted(self._context.approvals.connections - used):
            _log.warning("--approve %s had no effect: no target waits for %s", name, name)

    def _report(self, results: tuple[TargetResult, ...]) -> RunResult:
        """Write the reports; return the run's result, masked, with what went wrong."""
        run = self._prepared.run
        reports = {**run.manifest.reports, **self._options.reports}
        result = RunResult(
            run_id=run.id,
            manifest=replace(run.manifest, reports=reports),
            started=run.started,
            finished=self._clock.now(),
            results=results,
            runner_version=__version__,
            signal=self._clock.signum,
            command=command(run.manifest.path, self._options, (), ()),
        )
        if self._prepared.calls and are_wanted(self._prepared):
            result = self._prepared.calls.added_to(result)
        with self._clock.reserved(REPORT):
            finished = masked(result, self._context.masker)
        written, problems = write_reports(finished, self._hooks.registry.reports, self._clock)
        problems = [self._context.masker.mask(each) for each in problems]
        manifest = replace(finished.manifest, reports=written)
        return replace(finished, manifest=manifest, problems=tuple(problems))
