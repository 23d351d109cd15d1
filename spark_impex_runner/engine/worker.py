"""Run a work unit, on a worker or on a thread of the run's own process."""

from __future__ import annotations

import logging
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spark_impex_runner.clock import Clock
from spark_impex_runner.delivery.context import Context
from spark_impex_runner.delivery.records import signer_of
from spark_impex_runner.engine.distributed import FailFast, StopRequest, UnitResult, sanitized
from spark_impex_runner.engine.events import UnitEvents, reported
from spark_impex_runner.engine.placement import Placement
from spark_impex_runner.engine.preparation import prepared_run
from spark_impex_runner.engine.progress import RunProgress
from spark_impex_runner.engine.scheduler import Scheduler
from spark_impex_runner.errors import DeliveryError, ImpexError, StateError, describe_os_error
from spark_impex_runner.machine import host
from spark_impex_runner.masking import Masker
from spark_impex_runner.planning.locations import state_place
from spark_impex_runner.state.opening import open_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.engine.distributed import WorkUnit
    from spark_impex_runner.state.store import State

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ActiveRun:
    """What a run shares with its units on threads of its own process.

    Signals stop its clock, its masker knows the secrets, and its progress is what is shown.
    """

    clock: Clock
    masker: Masker
    progress: RunProgress


# The runs of this process, by id.
active_runs: dict[str, ActiveRun] = {}
# The ids of other processes' runs, and the clock of each unit of them that is in progress.
_clocks: list[tuple[str, Clock]] = []
# One for all units of a process: a record that belongs to none of them may hold secrets of each.
_masker = Masker()


def run_unit(unit: WorkUnit, new_masker: Callable[[], Masker] = lambda: _masker) -> UnitResult:
    """Run a work unit, in any process, and return its results; errors are part of the result.

    Outside of the run's own process ``new_masker`` returns the masker, which learns the secrets.
    """
    run = active_runs.get(unit.options.run_id)
    if run:
        return _errors_as_result(unit, run)
    run = ActiveRun(Clock(), new_masker(), RunProgress())
    known = (unit.options.run_id, run.clock)
    _clocks.append(known)
    try:
        result = _errors_as_result(unit, run, remote=True)
    finally:
        _clocks.remove(known)
    return replace(result, error=f"worker on {host()}: {result.error}") if result.error else result


def stop_units(run_id: str, signum: int) -> None:
    """Stop the units of a run in this process, which would read so from the state a bit later."""
    for each, clock in _clocks.copy():
        if each == run_id:
            clock.stop(signum)


def _errors_as_result(unit: WorkUnit, run: ActiveRun, *, remote: bool = False) -> UnitResult:
    mask = run.masker.mask
    try:
        return _results(unit, run, remote=remote)
    except ImpexError as error:
        return UnitResult(error=mask(str(error)), exit_code=error.exit_code)
    except OSError as error:
        return UnitResult(error=mask(describe_os_error(error)), exit_code=DeliveryError.exit_code)
    except Exception as error:  # noqa: BLE001 - a bug here must not stop the other units
        _log.error("internal error", exc_info=error)
        message = mask(f"internal error: {type(error).__name__}: {error}")
        return UnitResult(error=message, exit_code=ImpexError.exit_code)


def _results(unit: WorkUnit, run: ActiveRun, *, remote: bool) -> UnitResult:
    path, options, clock = unit.path, unit.options, run.clock
    with ExitStack() as stack:
        events = None
        if remote:
            unit.origin.check()
        if remote and unit.send:
            events = UnitEvents(unit.send, options.run_id, options.targets, run.masker)
            stack.enter_context(events.attached(unit.levels))
        state = stack.enter_context(closing(open_state(state_place(path, options), clock)))
        stop = StopRequest(state.storage, options.run_id)
        failed = stack.enter_context(stop.watched(clock))
        _require_run(state, options.run_id)
        prepared = stack.enter_context(prepared_run(path, options, clock, run.masker))
        if remote:
            unit.origin.check_loaded(prepared.hooks.infos)
        signer, offers = signer_of(prepared.run.manifest), prepared.hooks.registry.steps
        context = Context.of(prepared, state, options, unit.actors, signer)
        progress = run.progress
        if events:
            progress = stack.enter_context(reported(events, offers, prepared.run, clock))
        scheduler = Scheduler(prepared, context, options, progress, FailFast(failed, stop))
        results = scheduler.deliver().values()
        scheduler.report_cancelled()
        return UnitResult(
            tuple(sanitized(each, run.masker) for each in results),
            tuple(Placement.of(each, offers) for each in results),
        )


def _require_run(state: State, run_id: str) -> None:
    """Raise ``StateError`` if this state is not the one in which the run has begun."""
    if not state.runs.has(run_id):
        raise StateError(
            f"the state in {state.storage.place} here is not the run's, which is not in it; "
            "give both the same folder, or --state s3://BUCKET/PREFIX, az:// or gs://"
        )
