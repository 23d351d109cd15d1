"""The pool of processes; in a module of its own, since only runs with ``--executor`` need it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from typing import TypeVar

    from typing_extensions import ParamSpec

    P = ParamSpec("P")
    T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Pool(ProcessPoolExecutor):
    """A pool that notices the death of each of its processes.

    CPython wakes its watching thread before it starts a process (seen with 3.11), so the death
    of the last one to start was noticed late or never. An empty task wakes the thread once more.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit a task, and a no-op that makes the pool watch all running processes."""
        future = super().submit(fn, *args, **kwargs)
        with suppress(BrokenExecutor):  # the future reports it
            super().submit(int)
        return future


class _Process(SpawnProcess):
    def start(self) -> None:
        """Start the process with signals blocked, as they may arrive before it ignores them."""
        mask = getattr(signal, "pthread_sigmask", lambda *_: None)  # Windows has none
        before = mask(getattr(signal, "SIG_BLOCK", 0), _SIGNALS)
        try:
            super().start()
        finally:
            mask(getattr(signal, "SIG_SETMASK", 0), before)

    def terminate(self) -> None:
        """Kill the process: it ignores SIGTERM, which the pool sends after another has died."""
        self.kill()


class _SpawnContext(SpawnContext):
    """Spawns: a forked process would inherit held locks without the threads that hold them."""

    Process = _Process


def open_pool(processes: int | None) -> Pool:
    """Return a pool of so many processes, or one for each CPU."""
    return Pool(processes, _SpawnContext(), _initialize_worker)


def _initialize_worker() -> None:
    """Ignore signals, and exit with the parent.

    Ctrl-C and service managers signal the whole process group: the parent stops its workers itself.
    A worker whose parent was killed exits as if it had been killed, too.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
