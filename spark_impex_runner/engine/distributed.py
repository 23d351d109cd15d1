"""A run in several places: what belongs together, how it travels, and how all of it is ended.

The unit that travels is what a tenant's queue is made of: it goes to a ``concurrent.futures``
executor as a manifest's path and options, comes back as results, and holds no secret either way.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from spark_impex_runner import atomic
from spark_impex_runner.blocking import END, leave_behind
from spark_impex_runner.models import Polling
from spark_impex_runner.report.masked import masked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.masking import Masker
    from spark_impex_runner.models import PlannedTarget, RunOptions, TargetResult

# So often, in seconds, both sides look for news.
_LOOK = 0.2
_HALT = 0
_GONE = 4
_CURE = "the same command goes on with what was begun"


@dataclass(frozen=True, slots=True)
class Unit:
    """Some targets of a run, which ``options`` choose."""

    path: Path
    options: RunOptions


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a unit: its results, or why there are none."""

    results: tuple[TargetResult, ...] = ()
    error: str = ""
    exit_code: int = 0


def grouped(
    plan: Sequence[PlannedTarget], tenant_of: Callable[[str], str]
) -> list[tuple[str, ...]]:
    """Return the names of targets that belong together, in the plan's order.

    Those of one tenant share its slots; those that need one another wait for one another.
    ``tenant_of`` gives the address of a connection's tenant.
    """
    # Each target and each tenant has one that stands for all that it belongs to.
    stands: dict[str, str] = {item.target.name: item.target.name for item in plan}
    for item in plan:
        address = tenant_of(item.target.connection)
        stands.setdefault(address, address)
        for other in (address, *(need for need in item.target.needs if need in stands)):
            stands[_first(stands, other)] = _first(stands, item.target.name)
    groups: dict[str, list[str]] = {}
    for item in plan:
        groups.setdefault(_first(stands, item.target.name), []).append(item.target.name)
    return [tuple(names) for names in groups.values()]


def _first(stands: Mapping[str, str], one: str) -> str:
    while stands[one] != one:
        one = stands[one]
    return one


def unit(path: Path, options: RunOptions, run_id: str, names: Sequence[str]) -> Unit:
    """Return these targets as a unit of a run."""
    part = replace(options, targets=tuple(names), tags=(), executor="", run_id=run_id)
    return Unit(path, part)


def fit_to_travel(result: TargetResult, masker: Masker) -> TargetResult:
    """Return a result without secrets: no plugins' options, and texts and links are masked."""
    target = replace(result.target, steps=(), polling=Polling())
    return masked(replace(result, target=target), masker)


@dataclass(frozen=True, slots=True)
class Board:
    """Where a run and its units tell one another to end: a file beside the state.

    A signal reaches one process, and executors have no way to pass it on; a file is seen by all
    that share a folder, which they do anyway.
    """

    path: Path

    @classmethod
    def of(cls, state: Path, run_id: str) -> Board:
        """Return the board of a run."""
        return cls(state / f"{run_id}.stop")

    def stop(self, signum: int) -> None:
        """Tell all to end as by a signal, as often as it takes."""
        if self._read() != signum:
            with suppress(OSError):  # who cannot be told is waited for
                atomic.write_text(self.path, str(int(signum)))  # Python 3.10 writes its name

    def halt(self) -> None:
        """Tell all to start nothing new, unless they are to end anyway."""
        if self._read() is None:
            self.stop(_HALT)

    def clear(self) -> None:
        """Take the word back."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    @contextmanager
    def heeded(self, clock: Clock) -> Iterator[threading.Event]:
        """Look at the board while the block runs, and stop the clock when it says so.

        The event is set when nothing new is to be started.
        """
        halted, left = threading.Event(), threading.Event()
        self._look(clock, halted)

        def watch() -> None:
            while not left.wait(_LOOK):
                self._look(clock, halted)

        thread = threading.Thread(target=watch, name="impex-board", daemon=True)
        thread.start()
        try:
            yield halted
        finally:
            left.set()
            thread.join()

    def _look(self, clock: Clock, halted: threading.Event) -> None:
        word = self._read()
        if word == _HALT:
            halted.set()
        elif word is not None and not clock.stopping():
            clock.stop(word)

    def _read(self) -> int | None:
        try:
            return int(self.path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class Halt:
    """Whether a target has failed, here or in another unit of the run."""

    event: threading.Event = field(default_factory=threading.Event)
    board: Board | None = None

    def failed(self) -> bool:
        """Tell whether one has."""
        return self.event.is_set()

    def fail(self) -> None:
        """Tell it to all."""
        self.event.set()
        if self.board:
            self.board.halt()


Worker = Callable[[Unit], Done]


@dataclass(frozen=True, slots=True)
class Crew:
    """Who runs units, and how: ``worker`` is a function that can be pickled."""

    executor: Executor
    worker: Worker
    board: Board

    def run(self, units: Sequence[Unit], clock: Clock) -> list[Done]:
        """Have every unit run; return what came of each.

        When the clock is stopped they are told, and waited for until the run has to end: one that
        begins then ends at once.
        """
        futures = [self._submitted(each) for each in units]
        try:
            self._wait(futures, clock)
        except BaseException:
            # Ctrl-C in a program that embeds the runner.
            clock.stop(signal.SIGINT)
            self._wait(futures, clock)
            raise
        finally:
            self.board.clear()
        return [_outcome(future, clock) for future in futures]

    def _submitted(self, unit: Unit) -> Future[Done]:
        try:
            return self.executor.submit(self.worker, unit)
        except Exception as error:  # noqa: BLE001 - it is told of the unit; others may be under way
            refused: Future[Done] = Future()
            refused.set_exception(error)
            return refused

    def _wait(self, futures: Sequence[Future[Done]], clock: Clock) -> None:
        pending = set(futures)
        while pending:
            _, pending = wait(pending, timeout=_LOOK, return_when=FIRST_COMPLETED)
            if clock.stopping():
                self.board.stop(clock.signum)
            if time.monotonic() >= clock.stopped_at + END:
                return


def _outcome(future: Future[Any], clock: Clock) -> Done:
    """Return what came of a unit, where its worker lived to tell."""
    if not future.done():
        leave_behind()
        return Done(error="its worker did not end after the signal", exit_code=128 + clock.signum)
    try:
        done = future.result()
    except (Exception, CancelledError) as error:  # noqa: BLE001 - whatever an executor raises
        words = " ".join(f"{type(error).__name__}: {error}".split())
        return Done(error=f"its worker is gone ({words}); {_CURE}", exit_code=_GONE)
    if not isinstance(done, Done):
        return Done(error=f"its executor answered {type(done).__name__}; {_CURE}", exit_code=_GONE)
    return done
