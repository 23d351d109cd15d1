"""Send a run's targets to an executor, as work units, and collect their results."""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from spark_impex_runner.blocking import END, interruptible
from spark_impex_runner.engine.distributed import (
    StopRequest,
    UnitExecutor,
    WorkUnit,
    partition_by_tenant,
    portable_options,
)
from spark_impex_runner.engine.events import EventReceiver
from spark_impex_runner.engine.origin import Origin
from spark_impex_runner.engine.placement import Placement
from spark_impex_runner.engine.worker import ActiveRun, active_runs, run_unit, stop_units
from spark_impex_runner.errors import DeliveryError, ImpexError, Interrupted, PluginError
from spark_impex_runner.planning.requirements import executor_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spark_impex_runner.delivery.context import Context
    from spark_impex_runner.engine.distributed import UnitResult, Worker
    from spark_impex_runner.engine.progress import RunProgress
    from spark_impex_runner.engine.scheduler import Scheduler
    from spark_impex_runner.models import TargetResult
    from spark_impex_runner.planning.stages import Prepared

# The exit code of a process that a signal ended is this plus the signal's number.
_SIGNAL_BASE = 128


@contextmanager
def unit_executor(
    prepared: Prepared, context: Context, worker: Worker | None
) -> Iterator[UnitExecutor | None]:
    """Yield the executor of the run's targets; None if this process runs them."""
    options = context.options
    factory = executor_for(prepared.hooks.registry, options)
    name, _, address = options.executor.partition(":")
    try:
        executor = factory.make(address)
    except ImpexError:
        raise
    except Exception as error:
        raise PluginError(
            f"plugin {factory.provider} cannot start the executor {name} at '{address}': "
            f"{type(error).__name__}: {error}"
        ) from error
    if executor is None:
        yield None
        return
    # Not a `with` block: an executor that hangs at its end is abandoned after a stop.
    executor.__enter__()
    try:
        stop = StopRequest(context.state.storage, prepared.run.id)
        yield UnitExecutor(executor, worker or run_unit, stop, stop_units)
    finally:
        close = partial(executor.__exit__, None, None, None)
        with suppress(Interrupted):
            interruptible(f"executor {name}", close, prepared.connections.clock, END)


class Dispatch:
    """The work units of one run; ``scheduler`` reports targets that no worker could run."""

    def __init__(
        self, prepared: Prepared, context: Context, scheduler: Scheduler, progress: RunProgress
    ) -> None:
        self._prepared = prepared
        self._context = context
        self._scheduler = scheduler
        self._progress = progress
        self._planned = {item.target.name: item for item in prepared.plan}

    def run(self, executor: UnitExecutor) -> dict[str, TargetResult]:
        """Run all targets on an executor; return their results in the plan's order."""
        run_id, connections = self._prepared.run.id, self._prepared.connections
        groups = partition_by_tenant(self._prepared.plan, lambda name: connections.client(name).url)
        unit = self._unit(executor)
        results: dict[str, TargetResult] = {}

        def ended(unit: WorkUnit, done: UnitResult) -> None:
            for name in unit.options.targets:
                results[name] = self._result_of(name, done)
                self._progress.note_ended(results[name])
                if self._context.options.fail_fast and not results[name].good:
                    executor.stop.fail_fast()

        clock = self._context.clock
        active_runs[run_id] = ActiveRun(clock, self._context.masker, self._progress)
        try:
            executor.run([unit.of_targets(names) for names in groups], clock, ended)
        finally:
            del active_runs[run_id]
        return {name: results[name] for name in self._planned}

    def _unit(self, executor: UnitExecutor) -> WorkUnit:
        """Return a unit of this run, without targets."""
        run = self._prepared.run
        path = run.manifest.path.absolute()
        options = portable_options(path, self._context.options, run.id)
        own = logging.getLogger("spark_impex_runner")
        return WorkUnit(
            origin=Origin.of(path, options, self._prepared.hooks.infos),
            path=path,
            options=options,
            send=executor.connect_events(EventReceiver(self._progress)),
            levels=(logging.getLogger().getEffectiveLevel(), own.getEffectiveLevel()),
            actors=self._context.actors,
        )

    def _result_of(self, name: str, unit: UnitResult) -> TargetResult:
        """Return a target's result from that of its unit, with the options that were left out."""
        for result, placement in zip(unit.results, unit.placements, strict=True):
            if result.target.name == name:
                return self._placed(result, placement)
        if ended := self._scheduler.recorded(name):
            offers = self._prepared.hooks.registry.steps
            return self._placed(ended, Placement.of(ended, offers))
        job_id, runs = self._progress.job_of(name)
        reason = unit.error or "its worker returned no result for it"
        reason += f"; job {job_id} may still run" if runs else ""
        if unit.exit_code > _SIGNAL_BASE:
            result = self._scheduler.give_up(name, reason if job_id else "")
        else:
            result = self._scheduler.fail(name, reason, unit.exit_code)
        return replace(result, job_id=job_id)

    def _placed(self, result: TargetResult, placement: Placement) -> TargetResult:
        """Return a worker's result; a failed one if its packages can be seen from nowhere."""
        target = self._planned[result.target.name].target
        result = replace(result, target=replace(target, output=result.target.output))
        if not (result.good or result.artifacts) or placement.is_visible():
            return result
        result = replace(result, host=placement.host)
        problem = placement.problem() if result.good else ""
        if not problem:
            return result
        failed = self._scheduler.fail(result.target.name, problem, DeliveryError.exit_code)
        return replace(
            result, outcome=failed.outcome, error=failed.error, exit_code=failed.exit_code
        )
