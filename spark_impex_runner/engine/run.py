"""The composition root: from a manifest's path to a RunResult."""

from __future__ import annotations

import logging
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from spark_impex_runner.blocking import END, interruptible
from spark_impex_runner.clock import Clock
from spark_impex_runner.delivery.context import Context
from spark_impex_runner.engine.distributed import (
    Board,
    Crew,
    Done,
    Halt,
    Unit,
    Worker,
    fit_to_travel,
    grouped,
    unit,
)
from spark_impex_runner.engine.notifications import tell
from spark_impex_runner.engine.refusal import announced
from spark_impex_runner.engine.reports import write_reports
from spark_impex_runner.engine.scheduler import Scheduler
from spark_impex_runner.errors import (
    DeliveryError,
    ImpexError,
    Interrupted,
    PluginError,
    StateError,
    describe_os_error,
)
from spark_impex_runner.masking import Masker
from spark_impex_runner.models import RunOptions, RunResult, TargetResult
from spark_impex_runner.planning.prepare import place_of, prepare, state_folder
from spark_impex_runner.report.masked import masked
from spark_impex_runner.state.store import State
from spark_impex_runner.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from spark_impex_runner.planning.stages import Prepared


_log = logging.getLogger(__name__)

_SIGNALLED = 128

# The runs of this process: a unit of one of them shares its clock, and its knowledge of secrets.
_homes: dict[str, tuple[Clock, Masker]] = {}


def run_manifest(
    path: str | Path,
    options: RunOptions | None = None,
    *,
    clock: Clock | None = None,
    masker: Masker | None = None,
    worker: Worker | None = None,
) -> RunResult:
    """Run a manifest and return how every target ended; reports are written on the way.

    A target that fails is a result, not an exception. Raises ``ManifestError``, ``UsageError``
    or, for a missing plugin, ``PluginError`` before anything is sent; reports and notifications
    tell of it where the manifest can be read. ``clock.stop(signum)`` ends
    the run early; ``masker`` learns every secret that the manifest refers to. ``worker`` takes the
    place of ``run_unit`` where ``options.executor`` names another place than this process.
    """
    path, options, clock = Path(path), options or RunOptions(), clock or Clock()
    masker = masker or Masker()
    with (
        announced(path, options, clock, masker),
        _prepared(path, options, clock, masker) as prepared,
        closing(State(state_folder(path, options), lambda: clock.stopped_at)) as state,
    ):
        context = Context.of(prepared, state, options)
        with _crew(prepared, options, worker or run_unit) as crew:
            return _Run(prepared, context, options).run(crew)


def run_unit(unit: Unit, new_masker: Callable[[], Masker] = Masker) -> Done:
    """Run some targets of a run, wherever that is; nothing is raised but what ends the process.

    Away from the run's own process, ``new_masker`` is called for what it has to be told there.
    """
    path, options = unit.path, unit.options
    clock, masker = _homes.get(options.run_id) or (Clock(), new_masker())
    board = Board.of(state_folder(path, options), options.run_id)
    try:
        with (
            board.heeded(clock) as halted,
            _prepared(path, options, clock, masker) as prepared,
            closing(State(state_folder(path, options), lambda: clock.stopped_at)) as state,
        ):
            context = Context.of(prepared, state, options)
            run = prepared.run
            # On another machine the state may be another one.
            state.begin_run(run.id, str(run.manifest.path), run.started)
            scheduler = Scheduler(prepared, context, options, Halt(halted, board))
            results = scheduler.deliver().values()
            return Done(tuple(fit_to_travel(each, masker) for each in results))
    except ImpexError as error:
        return Done(error=masker.mask(str(error)), exit_code=error.exit_code)
    except OSError as error:
        words = masker.mask(describe_os_error(error))
        return Done(error=words, exit_code=DeliveryError.exit_code)
    except Exception as error:  # noqa: BLE001 - a bug here must not stop the other units
        _log.error("internal error", exc_info=error)
        words = f"internal error: {type(error).__name__}: {error}"
        return Done(error=masker.mask(words), exit_code=ImpexError.exit_code)


@contextmanager
def _prepared(path: Path, options: RunOptions, clock: Clock, masker: Masker) -> Iterator[Prepared]:
    """Prepare a run. What hangs meanwhile, such as a source of secrets, is abandoned on a stop."""
    manager = prepare(path, options, clock, masker)

    def close(_: Prepared) -> None:
        manager.__exit__(None, None, None)

    prepared = interruptible("the preparation", manager.__enter__, clock, late=close)
    with ExitStack() as stack:
        stack.push(manager)
        yield prepared


@contextmanager
def _crew(prepared: Prepared, options: RunOptions, worker: Worker) -> Iterator[Crew | None]:
    """Give those who run the targets; None where this process does."""
    place = place_of(prepared.hooks.registry, options)
    name, _, address = options.executor.partition(":")
    try:
        executor = place.make(address)
    except ImpexError:
        raise
    except Exception as error:
        raise PluginError(
            f"plugin {place.provider} has no executor {name} at '{address}': "
            f"{type(error).__name__}: {error}"
        ) from error
    if executor is None:
        yield None
        return
    state = state_folder(prepared.run.manifest.path, options)
    executor.__enter__()
    try:
        yield Crew(executor, worker, Board.of(state, prepared.run.id))
    finally:
        close = partial(executor.__exit__, None, None, None)
        with suppress(Interrupted):
            interruptible(f"executor {name}", close, prepared.tenants.clock, END)


class _Run:
    """One run of one plan."""

    def __init__(self, prepared: Prepared, context: Context, options: RunOptions) -> None:
        self._prepared = prepared
        self._context = context
        self._options = options
        self._clock = context.clock
        self._hooks = context.hooks
        self._planned = {item.target.name: item for item in prepared.plan}
        self._scheduler = Scheduler(prepared, context, options)

    def run(self, crew: Crew | None) -> RunResult:
        """Do all the work, or have it done by a crew, then tell everybody who listens."""
        run = self._prepared.run
        # Missing credentials are found here, before the first job is created.
        for connection in self._connections():
            self._prepared.tenants.limits(connection)
        self._context.state.begin_run(run.id, str(run.manifest.path), run.started)
        self._notify("impex_run_started", run=run)
        results = self._delegate(crew) if crew else self._scheduler.deliver()
        self._warn_of_idle_approvals(results.values())
        finished = self._closed(self._finish(tuple(results.values())))
        self._notify("impex_run_finished", run=run, report=finished)
        tell(run, finished, self._context)
        return finished

    def _notify(self, hook: str, **arguments: object) -> None:
        """Call the observers of a hook; one that hangs is abandoned after a stop."""
        with suppress(Interrupted):
            interruptible(hook, lambda: self._hooks.notify(hook, **arguments), self._clock, END)

    def _warn_of_idle_approvals(self, results: Iterable[TargetResult]) -> None:
        """Warn of an approval for which nothing waited, neither before nor now."""
        met = {each.approve for each in results}
        met |= {given.partition("@")[0] for each in results for given in each.approved}
        for name in sorted(self._context.approvals.connections - met):
            _log.warning("--approve %s approved nothing: no target waits for %s", name, name)

    def _delegate(self, crew: Crew) -> dict[str, TargetResult]:
        """Have a crew do all the work, and bring the results into the plan's order."""
        run, tenants = self._prepared.run, self._prepared.tenants
        groups = grouped(self._prepared.plan, lambda name: tenants.connect(name).url)
        units = [unit(run.manifest.path, self._options, run.id, names) for names in groups]
        _homes[run.id] = self._clock, self._context.masker
        try:
            done = crew.run(units, self._clock)
        finally:
            del _homes[run.id]
        found = {
            name: self._returned(name, each)
            for names, each in zip(groups, done, strict=True)
            for name in names
        }
        return {name: found[name] for name in self._planned}

    def _returned(self, name: str, done: Done) -> TargetResult:
        """Return the result of a target that a unit has brought, with what did not travel."""
        mine = self._planned[name].target
        for result in done.results:
            if result.target.name == name:
                return replace(result, target=replace(mine, output=result.target.output))
        if done.exit_code > _SIGNALLED:
            return self._scheduler.skip(name, done.error)
        why = done.error or "its worker did not tell what became of it"
        return self._scheduler.fail(name, why, done.exit_code)

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
        written, problems = write_reports(finished, self._hooks.registry.reports, self._clock)
        told = tuple(self._context.masker.mask(each) for each in problems)
        manifest = replace(finished.manifest, reports=written)
        return replace(finished, manifest=manifest, problems=told)
