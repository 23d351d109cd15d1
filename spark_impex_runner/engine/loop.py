"""Drives courses: one heap of timers, queues before gates, and a bounded number of threads."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from spark_impex_runner.blocking import GIVE_UP, Workers, leave_behind
from spark_impex_runner.engine.course import Enter, Pause, Pool, Together
from spark_impex_runner.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.engine.course import Course, Gate, Wait

# The most workers of each pool, whatever the number of tenants; they start when they are needed.
# Calls are many, so that tenants that do not answer leave room for those that do; downloads hold
# some mebibytes each. A download and a step may have a few helpers of their own.
WORKERS = {Pool.CALLS: 256, Pool.DOWNLOADS: 32, Pool.STEPS: 16}
# Nothing is given up while courses still come back within so many seconds, as where they are many.
_QUIET = 0.5

_Done = Callable[[Any, "BaseException | None"], None]


@dataclass(eq=False, slots=True)
class _Traveller:
    """One course under way; ``done(result, error)`` is called on the loop's thread at its end."""

    course: Course[Any]
    done: _Done
    pool: Pool = Pool.CALLS
    gate: Gate | None = None
    enter: Callable[[], None] = lambda: None
    given_up: bool = False


@dataclass(slots=True)
class _Party:
    """Courses that somebody waits for together."""

    left: int
    results: list[Any]
    errors: dict[int, BaseException] = field(default_factory=dict)


class _Inbox:
    """What workers, gates and a stop have to say to the loop, in its order.

    ``put`` may be called by a signal handler. No ``SimpleQueue``: its ``get`` may wait for ever
    where the timeout is a few microseconds (seen with CPython 3.11), and no timer would ring.
    """

    def __init__(self) -> None:
        self._events: deque[Callable[[], None]] = deque()
        self._news = threading.Lock()  # free where something came in since the last look

    def put(self, event: Callable[[], None]) -> None:
        """Add an event; never waits."""
        self._events.append(event)
        with suppress(RuntimeError):  # it is free already
            self._news.release()

    def get(self, timeout: float) -> Callable[[], None] | None:
        """Return the next event; None where none came in time, which is endless below 0."""
        if not self._events:
            self._news.acquire(timeout=timeout)
        return self._events.popleft() if self._events else None


class Loop:
    """Runs courses until none is left; a context manager around its threads.

    All of its own state belongs to the thread that calls ``run``. Workers and gates speak to it
    through one queue. A course that still runs ``give_up`` seconds after the clock was stopped
    is left behind with its thread, and ends with ``Interrupted`` for those that wait for it.
    """

    def __init__(
        self, clock: Clock, workers: Mapping[Pool, int] = WORKERS, give_up: float = GIVE_UP
    ) -> None:
        self._clock = clock
        self._give_up_after = give_up
        self._inbox = _Inbox()
        self._timers: list[tuple[float, int, _Traveller]] = []
        self._numbers = itertools.count()
        self._queued: set[_Traveller] = set()
        self._live = 0
        self._running: set[_Traveller] = set()
        self._came = 0.0  # when the last event came after a stop
        self._pools = {pool: Workers(f"impex-{pool.value}", workers[pool]) for pool in Pool}
        self._forget: Callable[[], None] = lambda: None

    def __enter__(self) -> Loop:  # noqa: PYI034 - Python 3.10 has no typing.Self
        self._forget = self._clock.tell(lambda: self._inbox.put(self._interrupt))
        return self

    def __exit__(self, *_: object) -> None:
        self._forget()
        for workers in self._pools.values():
            workers.close()

    def start(self, course: Course[Any], done: _Done, pool: Pool = Pool.CALLS) -> None:
        """Take a course on; to be called before ``run`` or on its thread."""
        self._live += 1
        self._go_on(_Traveller(course, done, pool))

    def run(self) -> None:
        """Drive all courses to their ends. What ``done`` raises ends the loop."""
        while self._live:
            event = self._next()
            if event:
                event()

    def _next(self) -> Callable[[], None] | None:
        """Return what happened; wait for it, or for the next timer."""
        if self._clock.stopping() and self._running:
            return self._next_after_stop()
        if not self._timers:
            return self._inbox.get(-1)
        left = max(self._timers[0][0] - self._clock.monotonic(), 0.0)
        wait = min(left, threading.TIMEOUT_MAX) if self._running else 0.0
        if event := self._inbox.get(wait):
            return event
        if not self._running:
            # Nothing but time, or a stop, which stands in the queue then, can bring news now.
            try:
                self._clock.wait(left)
            except Interrupted:
                return None
        self._ring()
        return None

    def _next_after_stop(self) -> Callable[[], None] | None:
        """Return what happened; give up what has not come back by then."""
        due = max(self._clock.stopped_at + self._give_up_after, self._came + _QUIET)
        if event := self._inbox.get(max(due - time.monotonic(), 0.0)):
            self._came = time.monotonic()
            return event
        if time.monotonic() >= due:
            leave_behind()
            for who in tuple(self._running):
                who.given_up = True
                self._end(who, None, Interrupted(self._clock.signum, unanswered=True))
        return None

    def _ring(self) -> None:
        """Let those go on whose time has come."""
        now = self._clock.monotonic()
        while self._timers and self._timers[0][0] <= now:
            self._go_on(heapq.heappop(self._timers)[2])

    def _go_on(
        self, who: _Traveller, value: Any = None, error: BaseException | None = None
    ) -> None:
        self._running.add(who)
        self._pools[who.pool].submit(partial(self._advance, who, value, error))

    def _advance(self, who: _Traveller, value: Any, error: BaseException | None) -> None:
        """Run a course up to its next wait; on a worker."""
        try:
            wait = who.course.throw(error) if error else who.course.send(value)
        except StopIteration as end:
            event = partial(self._end, who, end.value, None)
        except BaseException as failure:  # noqa: BLE001 - it is raised where somebody waits for it
            event = partial(self._end, who, None, failure)
        else:
            event = partial(self._rest, who, wait)
        self._inbox.put(partial(self._arrive, who, event))

    def _arrive(self, who: _Traveller, event: Callable[[], None]) -> None:
        """Take a course back from its worker, unless it was given up."""
        if not who.given_up:
            event()

    def _end(self, who: _Traveller, result: Any, error: BaseException | None) -> None:
        self._running.discard(who)
        self._live -= 1
        who.done(result, error)

    def _rest(self, who: _Traveller, wait: Wait) -> None:
        """Put a course where its wait belongs."""
        self._running.discard(who)
        if self._clock.stopping():
            self._go_on(who, error=Interrupted(self._clock.signum))
        elif isinstance(wait, Pause):
            due = self._clock.monotonic() + wait.seconds
            heapq.heappush(self._timers, (due, next(self._numbers), who))
        elif isinstance(wait, Enter):
            self._queue_up(who, wait.gate)
        else:
            self._gather(who, wait)

    def _queue_up(self, who: _Traveller, gate: Gate) -> None:
        who.gate = gate
        who.enter = partial(self._inbox.put, partial(self._entered, who))
        self._queued.add(who)
        gate.ask(who.enter)

    def _entered(self, who: _Traveller) -> None:
        self._queued.discard(who)
        if who.gate:
            who.pool, who.gate = who.gate.pool, None
        self._go_on(who)

    def _gather(self, who: _Traveller, wait: Together) -> None:
        party = _Party(len(wait.courses), [None] * len(wait.courses))
        if not party.left:
            self._go_on(who, [])
        for index, course in enumerate(wait.courses):
            self.start(course, partial(self._arrived, who, party, index), who.pool)

    def _arrived(
        self, who: _Traveller, party: _Party, index: int, result: Any, error: BaseException | None
    ) -> None:
        party.left -= 1
        party.results[index] = result
        if error:
            party.errors[index] = error
        if not party.left:
            first = party.errors[min(party.errors)] if party.errors else None
            self._go_on(who, party.results, first)

    def _interrupt(self) -> None:
        """Raise ``Interrupted`` in all that waits. What runs notices the clock by itself."""
        ringing = [who for _, _, who in self._timers]
        self._timers.clear()
        queued = [who for who in self._queued if who.gate and who.gate.withdraw(who.enter)]
        self._queued.difference_update(queued)
        for who in (*ringing, *queued):
            self._go_on(who, error=Interrupted(self._clock.signum))
