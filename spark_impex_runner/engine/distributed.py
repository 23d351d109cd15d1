"""A run in several processes: how its targets are divided, sent to workers, and stopped.

A work unit goes to a ``concurrent.futures`` executor as a manifest's path and options, and comes
back as results. It holds no secret either way.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from spark_impex_runner.blocking import END, mark_abandoned
from spark_impex_runner.models import Polling
from spark_impex_runner.report.masked import masked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import PlannedTarget, RunOptions, TargetResult
    from spark_impex_runner.state.storage import Storage

# Seconds between two reads of the stop request, and between two looks at the clock.
_POLL_INTERVAL = 0.2
# What the request holds instead of a signal's number: finish what runs, start nothing new.
_FAIL_FAST = 0
# The exit code of a target whose worker died, as in docs/reference/exit-codes.md.
_WORKER_LOST = 4
_HINT = "run the same command again to resume"


@dataclass(frozen=True, slots=True)
class WorkUnit:
    """Some targets of a run, which ``options`` select."""

    path: Path
    options: RunOptions

    @classmethod
    def of(cls, path: Path, options: RunOptions, run_id: str, names: Sequence[str]) -> WorkUnit:
        """Return the named targets as a unit of a run."""
        part = replace(options, targets=tuple(names), tags=(), executor="", run_id=run_id)
        return cls(path, part)


@dataclass(frozen=True, slots=True)
class UnitResult:
    """The results of a work unit, or the error that prevented them."""

    results: tuple[TargetResult, ...] = ()
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

    def stop(self, signum: int) -> None:
        """Stop all processes of the run as a signal does."""
        if self.storage.read_stop(self.run_id) != signum:
            self.storage.write_stop(self.run_id, signum)

    def fail_fast(self) -> None:
        """Keep all processes of the run from starting new targets."""
        if self.storage.read_stop(self.run_id) is None:  # a signal's number must stay
            self.stop(_FAIL_FAST)

    def withdraw(self) -> None:
        """Remove the request, so that a later run with the same id is not stopped by it."""
        self.storage.remove_stop(self.run_id)

    @contextmanager
    def watched(self, clock: Clock) -> Iterator[threading.Event]:
        """Read the request regularly while the block runs, and stop the clock if there is one.

        The event is set when no new target may start.
        """
        failed, left = threading.Event(), threading.Event()
        # Once before the block: a unit that begins after the stop must not send anything.
        self._apply(clock, failed)

        def watch() -> None:
            while not left.wait(_POLL_INTERVAL):
                self._apply(clock, failed)

        thread = threading.Thread(target=watch, name="impex-stop-request", daemon=True)
        thread.start()
        try:
            yield failed
        finally:
            left.set()
            thread.join()

    def _apply(self, clock: Clock, failed: threading.Event) -> None:
        signum = self.storage.read_stop(self.run_id)
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

    def run(
        self, units: Sequence[WorkUnit], clock: Clock, ended: Callable[[UnitResult], None]
    ) -> list[UnitResult]:
        """Run all units and return their results in the same order.

        ``ended`` gets each result as soon as it is there, on any thread. When the clock is stopped,
        the workers are stopped, too, and waited for until the run has to end.
        """
        futures = [self._submit(each) for each in units]
        for future in futures:
            future.add_done_callback(lambda done: ended(_result_of(done, clock)))
        try:
            self._wait(futures, clock)
        except BaseException:
            # Ctrl-C in a program that embeds the runner.
            clock.stop(signal.SIGINT)
            self._wait(futures, clock)
            raise
        finally:
            self.stop.withdraw()
        return [_result_of(future, clock) for future in futures]

    def _submit(self, unit: WorkUnit) -> Future[UnitResult]:
        try:
            return self.executor.submit(self.worker, unit)
        except Exception as error:  # noqa: BLE001 - the unit's result; others may run already
            refused: Future[UnitResult] = Future()
            refused.set_exception(error)
            return refused

    def _wait(self, futures: Sequence[Future[UnitResult]], clock: Clock) -> None:
        pending = set(futures)
        while pending:
            _, pending = wait(pending, timeout=_POLL_INTERVAL, return_when=FIRST_COMPLETED)
            if clock.stopping():
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
