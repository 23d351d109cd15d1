"""``--executor processes``: the targets of different tenants in processes of their own.

For runs whose steps keep a processor busy: threads of one process share what Python can compute.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import TYPE_CHECKING

from spark_impex_runner import Registry, errors, hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future
    from typing import TypeVar

    from typing_extensions import ParamSpec

    P = ParamSpec("P")
    T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@hookimpl
def impex_register(registry: Registry) -> None:
    """Offer the executor."""
    summary = (
        "Processes on this machine; the address is their number, by default one per processor."
    )
    registry.executor("processes", summary, make)


def make(address: str) -> Executor:
    """Return a pool of so many processes. They start when they are needed."""
    if address and not (address.isdecimal() and 0 < int(address) <= _most()):
        raise errors.UsageError(
            f"--executor processes:{address}: expected a number from 1 to {_most()}"
        )
    return _Pool(int(address) if address else None, _Spawning(), _begin)


class _Pool(ProcessPoolExecutor):
    """A pool that hears of the death of each of its processes.

    CPython wakes the thread that watches them before it starts one (seen with 3.11): the
    death of the last one to be started was noticed when something else happened, or never. So
    something happens: a task that does nothing wakes the thread once more.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit a task, and have all processes watched that run by then."""
        future = super().submit(fn, *args, **kwargs)
        with suppress(BrokenExecutor):  # the future tells it
            super().submit(int)
        return future


class _Process(SpawnProcess):
    def start(self) -> None:
        """Start the process deaf to signals, which may come before it has learnt to ignore them."""
        mask = getattr(signal, "pthread_sigmask", lambda *_: None)  # Windows has none
        before = mask(getattr(signal, "SIG_BLOCK", 0), _SIGNALS)
        try:
            super().start()
        finally:
            mask(getattr(signal, "SIG_SETMASK", 0), before)

    def terminate(self) -> None:
        """End the process as the pool wants it when another has died: it heeds no SIGTERM."""
        self.kill()


class _Spawning(SpawnContext):
    """A forked process would have our locks, and none of the threads that hold them."""

    Process = _Process


def _most() -> int:
    return 61 if os.name == "nt" else 1024


def _begin() -> None:
    """Leave it to the process that started this one when to end.

    A Ctrl-C, and many a service manager, signals all of a group's processes: the run's own hears it
    and says so to its workers. One whose run is gone ends, as if both had been killed.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
