"""Run tasks, each on its own thread, as soon as its needs have succeeded and its limits have room.

A task that waits for its needs or for a limit is an entry in a queue and has no thread.
"""

from __future__ import annotations

import time
from collections import deque
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from graphlib import TopologicalSorter
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Generic, TypeVar

from spark_impex_runner.blocking import GIVE_UP, Workers, mark_abandoned
from spark_impex_runner.clock import longest_wait
from spark_impex_runner.limits import HeldLimits, Limit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spark_impex_runner.clock import Clock

R = TypeVar("R")

# How many tasks are prepared or skipped at a time. Preparing may send requests, so it needs more
# than one thread; a limit keeps ten thousand targets from starting as many threads.
_PREPARING = 64
# Seconds without the end of any task after which those that still run are abandoned: after a stop
# many may end at nearly the same time, on a busy machine later than GIVE_UP.
_QUIET = 0.5


@dataclass(frozen=True, slots=True)
class Ready:
    """A task that is to run once all of its limits have room."""

    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskFunctions(Generic[R]):
    """What ``run_all`` calls with the name of a task.

    Attributes:
        prepare: Return the limits of the task, or its result if nothing is left to do.
        run: Run the task, release its limits, return its result.
        skip: Return the result of a task that does not run, for the given reason.
        cancel: Return the results of tasks that a stop keeps from running. Called on the
            scheduler's own thread: it must not wait.
        abandon: Return the result of a task that did not end after a stop.
        blocked_reason: Return why a result blocks the tasks that need it, to follow "it needs a,
            which …"; an empty text if it does not.
        stop: Stop all tasks, called when one raises, or Ctrl-C ends the wait for them.
        queued: Note that a task waits for its first limit, with its place in the queue.
        ended: Note the result of a task.
    """

    prepare: Callable[[str], R | Ready]
    run: Callable[[str, HeldLimits], R]
    skip: Callable[[str, str], R]
    cancel: Callable[[Sequence[str]], Sequence[R]]
    abandon: Callable[[str], R]
    blocked_reason: Callable[[R], str]
    stop: Callable[[], None]
    queued: Callable[[str, int], None] = lambda *_: None
    ended: Callable[[R], None] = lambda _: None


def run_all(
    needs: Mapping[str, Sequence[str]], functions: TaskFunctions[R], clock: Clock
) -> dict[str, R]:
    """Run all tasks, each after those that it needs; return the results in the given order.

    ``needs`` maps every task to tasks of the same call, without a cycle. A task whose need failed
    is skipped. An error that a function raises stops the other tasks, and is raised at the end.
    """
    runner = TaskRunner(needs, functions, clock)
    # Python raises KeyboardInterrupt on the main thread only: here it cannot cut the scheduler.
    thread = Thread(target=copy_context().run, args=(runner.run,), name="impex-scheduler")
    remove_listener = clock.on_stop(runner.wake)
    thread.start()
    try:
        _join(thread)
    except BaseException:
        functions.stop()
        _join(thread)
        raise
    finally:
        remove_listener()
    if runner.errors:
        raise runner.errors[0]
    return {name: runner.results[name] for name in needs}


def _join(thread: Thread) -> None:
    while thread.is_alive():
        thread.join(longest_wait())


@dataclass(slots=True, eq=False)
class _Queued:
    """A task in the queue of ``limits[0]``, which calls it when there is room."""

    name: str
    limits: Sequence[Limit]
    held: HeldLimits
    entered: Callable[[_Queued], None]

    def __call__(self) -> None:
        self.entered(self)


class TaskRunner(Generic[R]):
    """The tasks of one call, whose state is used by the thread in ``run`` alone.

    Other threads send events: functions that this thread calls one after the other.
    """

    def __init__(
        self, needs: Mapping[str, Sequence[str]], functions: TaskFunctions[R], clock: Clock
    ) -> None:
        self.results: dict[str, R] = {}
        self.errors: list[BaseException] = []
        self._needs = needs
        self._functions = functions
        self._clock = clock
        self._events: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._last_event = 0.0
        # Tasks without a result, and those of them that no thread works on.
        self._left = set(needs)
        self._waiting = dict.fromkeys(needs)
        self._ready: deque[str] = deque()
        self._short: set[str] = set()
        self._queued: dict[str, _Queued] = {}
        self._running: set[str] = set()
        self._order: TopologicalSorter[str] = TopologicalSorter(needs)
        self._helpers = Workers("impex-prepare")
        self._targets = Workers("impex-target")

    def wake(self) -> None:
        """React to the stopped clock; safe to call from a signal handler."""
        self._events.put(lambda: None)

    def run(self) -> None:
        """Do all tasks; what is raised here is one of ``errors``."""
        try:
            self._order.prepare()
            while self._left:
                if self._clock.stopping():
                    self._cancel_waiting()
                else:
                    self._begin_ready()
                if self._left:
                    self._next_event()()
        except BaseException as error:  # noqa: BLE001 - raised where the results are awaited
            self.errors.append(error)
            self._functions.stop()
        self._helpers.close()
        self._targets.close()

    def _begin_ready(self) -> None:
        """Prepare the tasks whose needs have all ended, or skip them."""
        self._ready.extend(self._order.get_ready())
        while self._ready and len(self._short) < _PREPARING:
            name = self._ready.popleft()
            self._short.add(name)
            reasons = (self._blocked_by(need) for need in self._needs[name])
            if reason := next(filter(None, reasons), ""):
                self._start(self._helpers, name, partial(self._functions.skip, name, reason))
            else:
                self._start(self._helpers, name, partial(self._functions.prepare, name))

    def _cancel_waiting(self) -> None:
        """End all tasks that no thread works on, at once: they may be ten thousand."""
        for queued in tuple(self._queued.values()):
            if queued.limits[0].cancel(queued):
                del self._queued[queued.name]
                queued.held.release_all()
        names = [name for name in self._waiting if name not in self._queued]
        if names:
            for name, result in zip(names, self._functions.cancel(names), strict=True):
                del self._waiting[name]
                self._record(name, result)

    def _blocked_by(self, need: str) -> str:
        reason = self._functions.blocked_reason(self.results[need])
        return f"it needs {need}, which {reason}" if reason else ""

    def _queue(self, name: str, held: HeldLimits, limits: Sequence[Limit]) -> None:
        """Run a task on a thread of its own once all limits have room."""
        self._waiting[name] = None
        if self._clock.stopping():
            held.release_all()
        elif not limits:
            self._start(self._targets, name, partial(self._functions.run, name, held))
        else:
            self._queued[name] = _Queued(name, limits, held, self._admitted)
            if place := limits[0].acquire_later(self._queued[name], name):
                self._functions.queued(name, place)

    def _admitted(self, queued: _Queued) -> None:
        self._events.put(partial(self._entered, queued))

    def _entered(self, queued: _Queued) -> None:
        queued.held.add(queued.limits[0])
        del self._queued[queued.name]
        self._queue(queued.name, queued.held, queued.limits[1:])

    def _start(self, workers: Workers, name: str, call: Callable[[], R | Ready]) -> None:
        """Call a function of a task on another thread."""

        def run() -> None:
            try:
                event = partial(self._ended, name, call())
            except BaseException as error:  # noqa: BLE001 - raised where the results are awaited
                event = partial(self._failed, name, error)
            self._events.put(partial(self._receive, name, event))

        del self._waiting[name]
        self._running.add(name)
        workers.submit(partial(copy_context().run, run))

    def _receive(self, name: str, event: Callable[[], None]) -> None:
        """Handle the end of a call, unless its task was abandoned meanwhile."""
        if name in self._running:
            self._running.remove(name)
            self._short.discard(name)
            event()

    def _ended(self, name: str, result: R | Ready) -> None:
        if isinstance(result, Ready):
            self._queue(name, HeldLimits(self._clock), result.limits)
        else:
            self._record(name, result)
            self._order.done(name)

    def _record(self, name: str, result: R) -> None:
        self._left.remove(name)
        self.results[name] = result
        self._functions.ended(result)

    def _failed(self, name: str, error: BaseException) -> None:
        self.errors.append(error)
        self._left.remove(name)
        self._functions.stop()

    def _next_event(self) -> Callable[[], None]:
        """Wait for the next event; after a stop, return ``_abandon`` when it is time to give up."""
        if not self._clock.stopping():
            return self._events.get()
        due = max(self._clock.stopped_at + GIVE_UP, self._last_event + _QUIET)
        try:
            event = self._events.get(timeout=max(due - time.monotonic(), 0.01))
        except Empty:
            return self._abandon
        self._last_event = time.monotonic()
        return event

    def _abandon(self) -> None:
        """End all tasks that still run, without their threads, which Python cannot end."""
        for name in self._running:
            mark_abandoned()
            self._record(name, self._functions.abandon(name))
        self._running.clear()
        self._short.clear()
