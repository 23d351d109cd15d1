"""Run work that Python cannot interrupt, such as a read from a silent server or a plugin's step.

The work runs on a daemon thread while its caller waits. At the work's time limit, or soon after the
run is stopped, the caller abandons the thread: its result is dropped, and the process does not wait
for it.

After the first signal a run ends in these stages; all times are seconds since that signal.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

from spark_impex_runner.clock import longest_wait
from spark_impex_runner.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from spark_impex_runner.clock import Clock

    _Calls = SimpleQueue[Callable[[], None] | None]

R = TypeVar("R")
T = TypeVar("T")

_log = logging.getLogger(__name__)

# Until then replies to pending requests are accepted.
GRACE = 1.5
# Until then steps, sources and resolvers may finish.
CALLS = 2.0
# Until then jobs are cancelled: the requests of ``Clock.ending`` blocks.
LAST = 3.25
# Then targets that have not ended are abandoned.
GIVE_UP = 3.5
# Until then reports and notifications are sent; they get at least ``AT_LEAST`` seconds, a report of
# ours ``REPORT``: that of ten thousand targets takes so long on a busy machine.
END = 4.25
AT_LEAST = 0.25
REPORT = 4.0

# An idle thread needs some 40 kB.
_IDLE_SECONDS = 2.0


class _Abandoned:
    """Whether this process has abandoned calls that may have started threads of their own."""

    any = False


def mark_abandoned() -> None:
    """Record that a plugin's call was abandoned: threads of it may keep the process alive."""
    _Abandoned.any = True


def has_abandoned() -> bool:
    """Return True if ``mark_abandoned`` was called in this process."""
    return _Abandoned.any


class Workers:
    """Daemon threads, which start when needed and end when idle.

    The thread that became idle last gets the next call, so that those beyond the need end. No
    ``ThreadPoolExecutor``: its threads keep the process alive while one of them hangs.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.forget()

    def forget(self) -> None:
        """Reset to no threads, as in a forked process, which has none of its parent's."""
        self._lock = threading.Lock()
        self._idle: list[_Calls] = []
        self._closed = False

    def submit(self, call: Callable[[], None]) -> None:
        """Call a function, which must not raise, on one of the threads."""
        with self._lock:
            calls = self._idle.pop() if self._idle else None
        if calls is None:
            calls = SimpleQueue()
            threading.Thread(target=self._work, args=(calls,), name=self._name, daemon=True).start()
        calls.put(call)

    def close(self) -> None:
        """End the idle threads, and the others after their calls."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for calls in idle:
            calls.put(None)

    def _work(self, calls: _Calls) -> None:
        call = calls.get()
        while call:
            call()
            call = None  # an idle thread must not keep the result of its last call alive
            call = self._next(calls)

    def _next(self, calls: _Calls) -> Callable[[], None] | None:
        """Return the next call; None if the thread has been idle for a while and should end."""
        with self._lock:
            if self._closed:
                return None
            self._idle.append(calls)
        with suppress(Empty):
            return calls.get(timeout=_IDLE_SECONDS)
        with self._lock:
            if calls in self._idle:
                self._idle.remove(calls)
                return None
        return calls.get()  # it was chosen just before


_helpers = Workers("impex-helper")
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.forget)


class Background(Generic[R]):
    """A call on a thread of its own, until it ends or is abandoned.

    ``leave`` is called when it is abandoned, to make it end; ``late`` gets a result that comes
    afterwards.
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
        self._wake_up = threading.Lock()
        self._wake_up.acquire()
        # Context variables of the caller, such as the span of a plugin, apply to the call, too.
        _helpers.submit(partial(copy_context().run, self._run))

    def wait(self, end: Callable[[], float], clock: Clock) -> bool:
        """Wait until the call ends; abandon it at ``end()`` and return False.

        ``end`` returns a time of ``time.monotonic``. It is called again when that has come and when
        ``clock`` is stopped, and may then return another time.
        """
        remove_listener = clock.on_stop(self._wake)
        try:
            while not self._ended:
                left = end() - time.monotonic()
                if left <= 0:
                    return not self._abandon()
                self._wake_up.acquire(timeout=min(left, longest_wait()))
        except BaseException:  # Ctrl-C in a program without a handler of its own
            self._abandon()
            raise
        finally:
            remove_listener()
        return True

    def result(self) -> R:
        """Return the result of an ended call, or raise its error."""
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
        """Abandon the call and return True, unless it has just ended."""
        with self._lock:
            if self._ended:
                return False
            self.abandoned = True
        self._leave()
        return True

    def _wake(self) -> None:
        """Wake the waiting thread; a signal handler may call this."""
        try:
            self._wake_up.release()
        except RuntimeError:  # it was woken already
            return


def interruptible(  # noqa: PLR0913 - what differs between the uses of one wait
    name: str,
    work: Callable[[], R],
    clock: Clock,
    grace: float = CALLS,
    late: Callable[[R], object] = lambda _: None,
    *,
    least: float = AT_LEAST,
) -> R:
    """Return the result of blocking work; abandon it ``grace`` seconds after a stop.

    The work gets at least ``least`` seconds. Raises ``Interrupted`` if it is abandoned, and what
    ``work`` raises.
    """
    earliest = time.monotonic() + least
    call = Background(work, late=late)
    if call.wait(lambda: max(clock.stopped_at + grace, earliest), clock):
        return call.result()
    mark_abandoned()
    _log.warning("%s did not end within %g s of the signal and was abandoned", name, grace)
    raise Interrupted(clock.signum, unanswered=True)


def parallel(calls: Sequence[Callable[[], R]], most: int, clock: Clock) -> list[R]:
    """Call functions on at most ``most`` threads, this one included; return the results in order.

    Raises the first error in the order of ``calls``, after all of them have ended.
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


def map_in_threads(function: Callable[[T], R], items: Iterable[T], most: int) -> list[R]:
    """Return what a function returns for each item, called on at most ``most`` threads.

    The caller's context variables apply to the calls. Raises the first error of a call, or Ctrl-C,
    without waiting for the calls that still run.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - no run needs it

    pool, context = ThreadPoolExecutor(most), copy_context()
    try:
        # A copy each: a context cannot be entered on two threads.
        return list(pool.map(lambda item: context.copy().run(function, item), items))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
