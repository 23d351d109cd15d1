"""A run in several processes: how its targets are divided, sent to workers, and stopped.

A work unit goes to a ``concurrent.futures`` executor as a manifest's path and options, and comes
back as results. It holds no secret either way.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from spark_impex_runner.blocking import END, mark_abandoned
from spark_impex_runner.clock import repeated
from spark_impex_runner.errors import PluginError
from spark_impex_runner.models import Polling
from spark_impex_runner.planning.locations import state_place
from spark_impex_runner.report.masked import masked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.origin import Origin
    from spark_impex_runner.engine.placement import Placement
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import PlannedTarget, RunOptions, TargetResult
    from spark_impex_runner.state.storage import Storage
    from spark_impex_runner.user import Actors

# Seconds between two reads of the stop request, and between two looks at the clock.
_POLL_INTERVAL = 0.2
# What the stop request holds instead of a signal's number: finish what runs, start nothing new.
_FAIL_FAST = 0
# The exit code of a target whose worker died, as in docs/reference/exit-codes.md.
_WORKER_LOST = 4
_HINT = "run the same command again to resume"


@dataclass(frozen=True, slots=True)
class WorkUnit:
    """Some targets of a run, which ``options`` select; all paths are absolute.

    Attributes:
        origin: What the worker must have in common with the run.
        path: The manifest.
        options: The options.
        send: Sends a text to the run; None if the executor cannot do so.
        levels: The least levels that the run logs: of all loggers, and of the runner's own.
        actors: Who started the run and approves; None for the user of the worker's own process.
    """

    origin: Origin
    path: Path
    options: RunOptions
    send: Callable[[str], None] | None = None
    levels: tuple[int, int] = (logging.WARNING, logging.INFO)
    actors: Actors | None = None

    def of_targets(self, names: Sequence[str]) -> WorkUnit:
        """Return a unit of the same run with other targets."""
        return replace(self, options=replace(self.options, targets=tuple(names)))


def portable_options(path: Path, options: RunOptions, run_id: str) -> RunOptions:
    """Return the options of a run's units, which work in another working folder."""
    place = state_place(path, options)
    return replace(
        options,
        tags=(),
        executor="",
        run_id=run_id,
        overlays=tuple(each.absolute() for each in options.overlays),
        plugin_files=tuple(each.absolute() for each in options.plugin_files),
        reports={name: each.absolute() for name, each in options.reports.items()},
        output=options.output and options.output.absolute(),
        state=place if isinstance(place, str) else place.absolute(),
    )


@dataclass(frozen=True, slots=True)
class UnitResult:
    """The results of a work unit with their placements, or the error that prevented them."""

    results: tuple[TargetResult, ...] = ()
    placements: tuple[Placement, ...] = ()
    error: str = ""
    exit_code: int = 0


def partition_by_tenant(
    plan: Sequence[PlannedTarget], tenant_of: Callable[[str], str]
) -> list[tuple[str, ...]]:
    """Return the names of the targets of each work unit, in the plan's order.

    Targets of one tenant stay together, since limits count within one process, and so do targets
    that need one another. ``tenant_of`` maps a connection to its tenant's address.
    """
    # A union-find forest: targets and tenants with the same root belong to one unit.
    parents: dict[str, str] = {item.target.name: item.target.name for item in plan}
    for item in plan:
        address = tenant_of(item.target.connection)
        parents.setdefault(address, address)
        for other in (address, *(need for need in item.target.needs if need in parents)):
            parents[_root(parents, other)] = _root(parents, item.target.name)
    groups: dict[str, list[str]] = {}
    for item in plan:
        groups.setdefault(_root(parents, item.target.name), []).append(item.target.name)
    return [tuple(names) for names in groups.values()]


def _root(parents: Mapping[str, str], node: str) -> str:
    while parents[node] != node:
        node = parents[node]
    return node


def sanitized(result: TargetResult, masker: Masker) -> TargetResult:
    """Return a result without secrets: plugins' options removed, texts and links masked."""
    target = replace(result.target, steps=(), polling=Polling())
    return masked(replace(result, target=target), masker)


@dataclass(frozen=True, slots=True)
class StopRequest:
    """The request in the state by which a run and its workers stop one another.

    A signal reaches one process, and executors cannot pass it on; the state is read by every
    process that shares it, on other machines, too.
    """

    storage: Storage
    run_id: str

    def requested(self) -> int | None:
        """Return the number of the signal, if there is a request."""
        return self.storage.read_stop(self.run_id)

    def stop(self, signum: int) -> None:
        """Stop all processes of the run as a signal does."""
        if self.requested() != signum:
            self.storage.write_stop(self.run_id, signum)

    def fail_fast(self) -> None:
        """Keep all processes of the run from starting new targets."""
        if self.requested() is None:  # a signal's number must stay
            self.stop(_FAIL_FAST)

    def withdraw(self) -> None:
        """Remove the request, so that a later run with the same id is not stopped by it."""
        self.storage.remove_stop(self.run_id)

    @contextmanager
    def watched(self, clock: Clock) -> Iterator[threading.Event]:
        """Read the request regularly while the block runs, and stop the clock if there is one.

        The event is set when no new target may start.
        """
        failed = threading.Event()
        # Once before the block: a unit that begins after the stop must not send anything.
        self._apply(clock, failed)
        with repeated(lambda: self._apply(clock, failed), _POLL_INTERVAL, "impex-stop-request"):
            yield failed

    def _apply(self, clock: Clock, failed: threading.Event) -> None:
        signum = self.requested()
        if signum == _FAIL_FAST:
            failed.set()
        elif signum is not None and not clock.stopping():
            clock.stop(signum)


@dataclass(frozen=True, slots=True)
class FailFast:
    """Whether a target has failed, in this process or in another of the run."""

    event: threading.Event = field(default_factory=threading.Event)
    stop: StopRequest | None = None

    def failed(self) -> bool:
        """Return whether a target has failed."""
        return self.event.is_set()

    def fail(self) -> None:
        """Record that a target has failed, for all processes of the run."""
        self.event.set()
        if self.stop:
            self.stop.fail_fast()


Worker = Callable[[WorkUnit], UnitResult]


@dataclass(frozen=True, slots=True)
class UnitExecutor:
    """Run work units on an executor; ``worker`` is a function that can be pickled."""

    executor: Executor
    worker: Worker
    stop: StopRequest
    stop_units: Callable[[str, int], None]

    @property
    def has_events(self) -> bool:
        """Whether the run receives the events of its workers as they happen."""
        return hasattr(self.executor, "connect_events")

    def connect_events(self, receive: Callable[[str], None]) -> Callable[[str], None] | None:
        """Return the function by which workers call ``receive`` in this process, if there is one.

        See ``ExecutorFactory``.
        """
        connect = getattr(self.executor, "connect_events", None)
        return connect(receive) if connect else None

    def run(
        self, units: Sequence[WorkUnit], clock: Clock, ended: Callable[[WorkUnit, UnitResult], None]
    ) -> None:
        """Run all units; call ``ended`` with each and its result, as soon as it is there.

        When the clock is stopped, the workers are stopped, too, and waited for until the run has to
        end.
        """
        pending = {self._submit(each): each for each in units}
        try:
            self._wait(pending, clock, ended)
        except BaseException:
            # Ctrl-C in a program that embeds the runner.
            clock.stop(signal.SIGINT)
            self._wait(pending, clock, ended)
            raise
        finally:
            if not pending:  # others may read it later
                self.stop.withdraw()
        for future, unit in pending.items():
            ended(unit, _result_of(future, clock))

    def _submit(self, unit: WorkUnit) -> Future[UnitResult]:
        try:
            return self.executor.submit(self.worker, unit)
        except Exception as error:  # noqa: BLE001 - the unit's result; others may run already
            refused: Future[UnitResult] = Future()
            refused.set_exception(error)
            return refused

    def _call_workers(self, signum: int) -> None:
        """Stop the workers at once, where the executor can."""
        if call := getattr(self.executor, "call_workers", None):
            call(self.stop_units, self.stop.run_id, signum)

    def _wait(
        self,
        pending: dict[Future[UnitResult], WorkUnit],
        clock: Clock,
        ended: Callable[[WorkUnit, UnitResult], None],
    ) -> None:
        """Wait for the units, and remove each that has ended."""
        called = False
        while pending:
            done, _ = wait(pending, timeout=_POLL_INTERVAL, return_when=FIRST_COMPLETED)
            for future in done:
                ended(pending.pop(future), _result_of(future, clock))
            if clock.stopping():
                if not called:  # first: the state may be in a store that does not reply
                    called = True
                    self._call_workers(clock.signum)
                self.stop.stop(clock.signum)
            if time.monotonic() >= clock.stopped_at + END:
                return


def _result_of(future: Future[Any], clock: Clock) -> UnitResult:
    """Return the result of a unit, or the error of its worker or executor."""
    if not future.done():
        mark_abandoned()
        error = "its worker did not end after the signal"
        return UnitResult(error=error, exit_code=128 + clock.signum)
    try:
        result = future.result()
    except ImportError as error:
        return UnitResult(
            error=f"its worker cannot import the runner or a plugin ({error}); install what the "
            "run has there, in the same versions",
            exit_code=PluginError.exit_code,
        )
    except (Exception, CancelledError) as error:  # noqa: BLE001 - whatever an executor raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return UnitResult(error=f"its worker died ({reason}); {_HINT}", exit_code=_WORKER_LOST)
    if not isinstance(result, UnitResult):
        answer = type(result).__name__
        return UnitResult(
            error=f"its executor returned {answer} instead of a UnitResult; {_HINT}",
            exit_code=_WORKER_LOST,
        )
    return result
