"""Work that Python cannot interrupt, such as a read from a silent server or a plugin's step.

It runs on a daemon thread while its caller waits. The caller leaves at the work's time limit, or
soon after the run was asked to stop, and the thread is abandoned: what it returns is dropped, and
the process does not wait for it.

After the first signal a run ends in these stages; all times are seconds since that signal.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

from spark_impex_runner.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spark_impex_runner.clock import Clock

R = TypeVar("R")

_log = logging.getLogger(__name__)

# Until then the answers to requests under way are taken.
GRACE = 1.5
# Until then steps, and a manifest's sources and resolvers, may come to an end.
CALLS = 2.0
# Until then jobs are cancelled: the requests of ``Clock.ending`` blocks.
LAST = 3.25
# Then targets that have not ended are given up.
GIVE_UP = 3.5
# Until then the run's end is reported and notified, for at least ``AT_LEAST`` seconds.
END = 4.25
AT_LEAST = 0.25

_IDLE = 10.0


class _LeftBehind:
    """Whether calls of this process were abandoned that may have threads of their own."""

    any = False


def leave_behind() -> None:
    """Note that a plugin's call was abandoned: its threads may not let the process end."""
    _LeftBehind.any = True


def left_behind() -> bool:
    """Tell whether ``leave_behind`` was called in this process."""
    return _LeftBehind.any


class Workers:
    """Daemon threads, ``most`` at most, that start when needed and end when they are idle.

    The threads of an executor would keep a process alive for as long as one of them is stuck.
    """

    def __init__(self, name: str, most: float = math.inf) -> None:
        self._name = name
        self._most = most
        self.forget()

    def forget(self) -> None:
        """Begin without threads, as in a forked process, which has none of its parent's."""
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._free = 0  # idle threads that no call in the queue counts on; below 0: calls wait

    def submit(self, call: Callable[[], None]) -> None:
        """Have a function called that raises nothing."""
        with self._lock:
            self._free -= 1
            if starts := self._free < 0 and self._threads < self._most:
                self._threads += 1
                self._free += 1
        self._calls.put(call)
        if starts:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def close(self) -> None:
        """End the threads that are idle, and the others after their calls."""
        with self._lock:
            threads = self._threads
        for _ in range(threads):
            self._calls.put(None)

    def _work(self) -> None:
        while call := self._next():
            call()
            del call
            with self._lock:
                self._free += 1

    def _next(self) -> Callable[[], None] | None:
        """Return the next call; None where none has come for a while, and none will."""
        while True:
            try:
                return self._calls.get(timeout=_IDLE)
            except Empty:
                with self._lock:
                    if self._free > 0:
                        self._free -= 1
                        self._threads -= 1
                        return None


_helpers = Workers("impex-helper")
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.forget)


class Background(Generic[R]):
    """A call that runs on a thread of its own, until it ends or is abandoned.

    ``leave`` is called when it is abandoned and should make it end. ``late`` is called with a
    result that comes afterwards.
    """

    def __init__(
        self,
        work: Callable[[], R],
        leave: Callable[[], None] = lambda: None,
        late: Callable[[R], object] = lambda _: None,
    ) -> None:
        self.abandoned = False
        self._work = work
        self._leave = leave
        self._late = late
        self._results: list[R] = []
        self._error: BaseException | None = None
        self._ended = False
        self._lock = threading.Lock()
        self._news = threading.Lock()
        self._news.acquire()
        # What a plugin has put around its caller, such as a span, is around the call, too.
        _helpers.submit(partial(copy_context().run, self._run))

    def wait(self, end: Callable[[], float], clock: Clock) -> bool:
        """Wait until the call has ended; False where it has not, and was abandoned for that.

        ``end`` returns the time of ``time.monotonic`` to wait for, which may change; it is asked
        again when it has come and when ``clock`` is stopped.
        """
        forget = clock.on_stop(self._wake)
        try:
            while not self._ended:
                left = end() - time.monotonic()
                if left <= 0:
                    return not self._abandon()
                self._news.acquire(timeout=min(left, threading.TIMEOUT_MAX))
        except BaseException:  # Ctrl-C in a program without a handler of its own
            self._abandon()
            raise
        finally:
            forget()
        return True

    def result(self) -> R:
        """Return what an ended call returned, or raise what it raised."""
        if self._error:
            raise self._error
        return self._results[0]

    def _run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:  # noqa: BLE001 - raised by ``result``
            self._error = error
        with self._lock:
            self._ended = True
        if self.abandoned and self._results:
            self._late(self._results[0])
        self._wake()

    def _abandon(self) -> bool:
        """Leave the call behind, unless it has just ended."""
        with self._lock:
            if self._ended:
                return False
            self.abandoned = True
        self._leave()
        return True

    def _wake(self) -> None:
        """Let the waiting thread look again; a signal handler may call this."""
        try:
            self._news.release()
        except RuntimeError:  # it is about to look
            return


def interruptible(
    name: str,
    work: Callable[[], R],
    clock: Clock,
    grace: float = CALLS,
    late: Callable[[R], object] = lambda _: None,
) -> R:
    """Return the result of blocking work; abandon it ``grace`` seconds after a stop.

    It has ``AT_LEAST`` seconds in any case. Raises ``Interrupted`` there, and what ``work`` raises.
    """
    least = time.monotonic() + AT_LEAST
    call = Background(work, late=late)
    if call.wait(lambda: max(clock.stopped_at + grace, least), clock):
        return call.result()
    leave_behind()
    _log.warning("%s did not end within %g s of the signal and was abandoned", name, grace)
    raise Interrupted(clock.signum, unanswered=True)


def parallel(calls: Sequence[Callable[[], R]], most: int, clock: Clock) -> list[R]:
    """Make calls on at most ``most`` threads, this one included; return their results in order.

    All have ended before the first error in their order is raised.
    """
    left, lock = iter(enumerate(calls)), threading.Lock()
    results: dict[int, R] = {}
    errors: dict[int, BaseException] = {}

    def work() -> None:
        while True:
            with lock:
                index, call = next(left, (-1, None))
            if call is None:
                return
            try:
                results[index] = call()
            except BaseException as error:  # noqa: BLE001 - raised below
                errors[index] = error

    helpers = [Background(work) for _ in range(min(most, len(calls)) - 1)]
    work()
    for helper in helpers:
        helper.wait(lambda: math.inf, clock)
    if errors:
        raise errors[min(errors)]
    return [results[index] for index in range(len(calls))]
