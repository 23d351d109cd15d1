"""Runs tasks: each when its needs succeeded and its limits have room, on a thread of its own.

A task that waits for its needs or for a limit is a place in a queue and has no thread.
"""

from __future__ import annotations

import time
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from graphlib import TopologicalSorter
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Generic, TypeVar

from spark_impex_runner.blocking import GIVE_UP, Workers, leave_behind
from spark_impex_runner.limits import HeldLimits, Limit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spark_impex_runner.clock import Clock

R = TypeVar("R")

# So many tasks at a time are prepared, which may ask a tenant for something, or skipped.
_PREPARING = 64
# After a stop nothing is abandoned while tasks still end within so many seconds of one another.
_QUIET = 0.5


@dataclass(frozen=True, slots=True)
class Ready:
    """A task that is to run once all of its limits have room."""

    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class Work(Generic[R]):
    """How to do a task, by its name.

    ``prepare`` returns its limits, or the result where nothing is left to do. ``run`` releases the
    limits. ``skip`` makes the result of a task that is not done for the given reason, ``abandon``
    that of one which did not end after a stop. ``blocked_reason`` says in the end of "it needs a,
    which …" why a result blocks what needs it; it is empty where it does not. ``stop`` is called
    when the wait for the tasks fails (Ctrl-C in a program that embeds the runner).
    """

    prepare: Callable[[str], R | Ready]
    run: Callable[[str, HeldLimits], R]
    skip: Callable[[str, str], R]
    abandon: Callable[[str], R]
    blocked_reason: Callable[[R], str]
    stop: Callable[[], None]


def run_all(needs: Mapping[str, Sequence[str]], work: Work[R], clock: Clock) -> dict[str, R]:
    """Do all tasks, each after those that it needs; return the results in the given order.

    ``needs`` maps every task to tasks of the same call, without a cycle. A task whose need failed
    is skipped. What a function of ``work`` raises stops all others, and is raised at the end.
    """
    runner = TaskRunner(needs, work, clock)
    # On a thread of its own, where no Ctrl-C can interrupt it half-way.
    thread = Thread(target=copy_context().run, args=(runner.run,), name="impex-scheduler")
    forget = clock.on_stop(runner.wake)
    thread.start()
    try:
        thread.join()
    except BaseException:
        work.stop()
        thread.join()
        raise
    finally:
        forget()
    if runner.errors:
        raise runner.errors[0]
    return {name: runner.results[name] for name in needs}


class TaskRunner(Generic[R]):
    """The tasks of one call. All of its state belongs to the thread that calls ``run``.

    Other threads send it events: functions that it calls one after the other.
    """

    def __init__(self, needs: Mapping[str, Sequence[str]], work: Work[R], clock: Clock) -> None:
        self.results: dict[str, R] = {}
        self.errors: list[BaseException] = []
        self._needs = needs
        self._work = work
        self._clock = clock
        self._events: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._last_event = 0.0
        self._queued: dict[str, tuple[HeldLimits, Limit, Callable[[], None]]] = {}
        self._running: set[str] = set()
        self._order: TopologicalSorter[str] = TopologicalSorter(needs)
        self._preparing = Workers("impex-prepare", _PREPARING)
        self._targets = Workers("impex-target")

    def wake(self) -> None:
        """Tell the runner that the clock was stopped; safe to call from a signal handler."""
        self._events.put(self._empty_queues)

    def run(self) -> None:
        """Do all tasks; what is raised here is one of ``errors``."""
        try:
            self._order.prepare()
            while self._order.is_active():
                for name in self._order.get_ready():
                    self._begin(name)
                self._next_event()()
        except BaseException as error:  # noqa: BLE001 - raised where the results are awaited
            self.errors.append(error)
            self._work.stop()
        self._preparing.close()
        self._targets.close()

    def _begin(self, name: str) -> None:
        """Prepare a task whose needs have all ended, or skip it."""
        reasons = (self._blocked_by(need) for need in self._needs[name])
        if reason := next(filter(None, reasons), ""):
            self._start(self._preparing, name, partial(self._work.skip, name, reason))
        else:
            self._start(self._preparing, name, partial(self._work.prepare, name))

    def _blocked_by(self, need: str) -> str:
        result = self.results.get(need)
        reason = self._work.blocked_reason(result) if result is not None else "failed"
        return f"it needs {need}, which {reason}" if reason else ""

    def _queue(self, name: str, held: HeldLimits, limits: Sequence[Limit]) -> None:
        """Run a task on a thread of its own once all limits have room."""
        run = partial(self._work.run, name, held)
        if not limits:
            self._start(self._targets, name, run)
        elif self._clock.stopping():  # it ends at once, and many may
            self._start(self._preparing, name, run)
        else:
            enter = partial(self._events.put, partial(self._entered, name, limits[1:]))
            self._queued[name] = held, limits[0], enter
            limits[0].acquire_later(enter)

    def _entered(self, name: str, later: Sequence[Limit]) -> None:
        held, limit, _ = self._queued.pop(name)
        held.add(limit)
        self._queue(name, held, later)

    def _empty_queues(self) -> None:
        """Let every task that waits for a limit run without it, which ends it."""
        for name, (held, limit, enter) in tuple(self._queued.items()):
            if limit.cancel(enter):
                del self._queued[name]
                self._queue(name, held, [limit])

    def _start(self, workers: Workers, name: str, work: Callable[[], R | Ready]) -> None:
        """Run a part of a task on another thread."""

        def run() -> None:
            try:
                event = partial(self._ended, name, work())
            except BaseException as error:  # noqa: BLE001 - raised where the results are awaited
                event = partial(self._failed, name, error)
            self._events.put(partial(self._arrived, name, event))

        self._running.add(name)
        workers.submit(partial(copy_context().run, run))

    def _arrived(self, name: str, event: Callable[[], None]) -> None:
        """Take a task back from its thread, unless it was abandoned."""
        if name in self._running:
            self._running.remove(name)
            event()

    def _ended(self, name: str, result: R | Ready) -> None:
        if isinstance(result, Ready):
            self._queue(name, HeldLimits(self._clock), result.limits)
        else:
            self.results[name] = result
            self._order.done(name)

    def _failed(self, name: str, error: BaseException) -> None:
        self.errors.append(error)
        self._work.stop()
        self._order.done(name)

    def _next_event(self) -> Callable[[], None]:
        """Wait for the next event; after a stop, abandon what does not end in time."""
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
        """End all tasks that still run; Python cannot end their threads."""
        for name in tuple(self._running):
            leave_behind()
            self._running.remove(name)
            self._ended(name, self._work.abandon(name))
