"""Fair limits on what runs at a time; every wait for one ends when the run is stopped."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from spark_impex_runner.clock import Clock


class Limit:
    """Admit ``width`` holders at a time, first come, first served; safe for threads."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._free = width
        # In their order, with their keys. A dictionary, for ten thousand empty deques need seven
        # megabytes.
        self._queue: dict[Callable[[], None], str] = {}
        self._expected: set[str] = set()
        self._lock = threading.Lock()

    def acquire(self, clock: Clock) -> None:
        """Wait until admitted; raise ``Interrupted`` if the run is stopped before."""
        # A lock and no Condition: ``wake`` may run in a signal handler, which must take no lock.
        admitted = threading.Lock()
        admitted.acquire()
        entered = []

        def wake() -> None:
            with suppress(RuntimeError):  # released already: admission and stop came together
                admitted.release()

        def enter() -> None:
            entered.append(True)
            wake()

        remove_listener = clock.on_stop(wake)
        try:
            self.acquire_later(enter)
            if not entered and not clock.stopping():
                admitted.acquire()
        except BaseException:
            self._give_back(enter)
            raise
        finally:
            remove_listener()
        if clock.stopping():
            self._give_back(enter)
            clock.check()

    def acquire_later(self, enter: Callable[[], None], key: str = "") -> int:
        """Call ``enter`` once admitted, perhaps at once, perhaps on another thread.

        Return its place in the queue, 0 if it is admitted at once; see ``admit`` for ``key``.
        """
        with self._lock:
            self._queue[enter] = key
            place = 0 if self._free > 0 else len(self._queue)
            expected = key in self._expected
        if expected:
            self.admit(key)
            return 0
        self.grow(0)
        return place

    def admit(self, key: str) -> None:
        """Admit the holder with a key beyond the width, now or when it comes."""
        with self._lock:
            self._expected.add(key)
            enter = next((each for each, name in self._queue.items() if name == key), None)
            if enter is None:
                return
            self._expected.remove(key)
            del self._queue[enter]
            self._free -= 1
        enter()

    def cancel(self, enter: Callable[[], None]) -> bool:
        """Remove ``enter`` from the queue; return False if it was admitted already."""
        with self._lock:
            queued = enter in self._queue
            self._queue.pop(enter, None)
            return queued

    def release(self) -> None:
        """Admit the next in the queue."""
        self.grow(1)

    def grow(self, more: int) -> None:
        """Raise the limit by ``more``."""
        with self._lock:
            self._free += more
        while True:
            with self._lock:
                if self._free <= 0 or not self._queue:
                    return
                self._free -= 1
                enter = next(iter(self._queue))
                del self._queue[enter]
            enter()  # without the lock: it may acquire or release limits itself

    def _give_back(self, enter: Callable[[], None]) -> None:
        if not self.cancel(enter):
            self.release()


class HeldLimits:
    """The limits that one target holds; a context manager that releases them all."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: list[Limit] = []

    def add(self, limit: Limit) -> None:
        """Add a limit that was acquired already."""
        self._held.append(limit)

    def acquire(self, limit: Limit, *, without: Limit | None = None) -> None:
        """Wait for a limit unless it is held; release ``without`` during the wait.

        Raises ``Interrupted`` if the run is stopped.
        """
        if limit in self._held:
            return
        suspended = without if without in self._held else None
        if suspended:
            self.release(suspended)
        limit.acquire(self._clock)
        self._held.append(limit)
        if suspended:
            self.acquire(suspended)

    def transfer(self, limit: Limit, *, out_of: Limit) -> None:
        """Acquire one limit and only then release another, so that no work accumulates between."""
        self.acquire(limit)
        self.release(out_of)

    def release(self, limit: Limit) -> None:
        """Release a limit, if it is held."""
        if limit in self._held:
            self._held.remove(limit)
            limit.release()

    def release_all(self) -> None:
        """Release every limit that is held."""
        for limit in tuple(self._held):
            self.release(limit)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release_all()


class RunLimits:
    """The limits of a whole run, for all of its tenants.

    ``active``: targets that have a thread; containers limit the number of threads.
    ``downloads``: each needs some mebibytes. ``steps``: each may start threads of its own.
    """

    def __init__(self) -> None:
        self.active = Limit(512)
        self.downloads = Limit(32)
        self.steps = Limit(16)


class TenantLimits:
    """The limits of one tenant, in the order in which a target acquires them.

    ``jobs``: exports at once, as many as the tenant allows. ``create``: one create call at a time,
    with its look-ups, so that targets with the same correlation id cannot take each other's job.
    ``incoming``: jobs whose packages are being downloaded; the next finished job keeps its slot
    until one is free. ``downloads``: files at once.
    """

    def __init__(self, run: RunLimits, jobs: int | None, downloads: int) -> None:
        self.run = run
        self.jobs = Limit(jobs or 1)
        self.create = Limit(1)
        self.incoming = Limit(downloads)
        self.downloads = Limit(downloads)
        self._known = jobs is not None

    def discover(self, ask: Callable[[], int]) -> None:
        """Request the tenant's job limit once; the caller holds one of ``jobs``."""
        if not self._known:
            self._known = True
            self.jobs.grow(ask() - 1)
