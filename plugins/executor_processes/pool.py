"""The pool of processes; in a module of its own, since only runs with ``--executor`` need it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from multiprocessing.connection import Connection
    from typing import TypeVar

    from typing_extensions import ParamSpec

    P = ParamSpec("P")
    T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Pool(ThreadPoolExecutor):
    """Processes that run one task at a time, each behind a thread of its own.

    Unlike in ``ProcessPoolExecutor``, a process that dies ends only the task that it ran.
    """

    def __init__(self, processes: int) -> None:
        super().__init__(processes, thread_name_prefix="impex-process")
        self._own = threading.local()
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []
        self._receive: Callable[[str], None] = lambda _: None

    def connect_events(self, receive: Callable[[str], None]) -> Callable[[str], None]:
        """Return the function by which the processes call ``receive`` in this one."""
        self._receive = receive
        return send_event

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function in a process, which is started if none is idle."""
        return cast("Future[T]", super().submit(self._run, cast("Any", fn), *args, **kwargs))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes once their tasks have ended."""
        super().shutdown(wait, cancel_futures=cancel_futures)
        with self._lock:
            workers, self._workers = self._workers, []
        for each in workers:
            each.connection.close()
        for each in workers:
            each.process.join()

    def _run(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a function in the process of this thread."""
        worker: _Worker = getattr(self._own, "worker", None) or self._start()
        try:
            return worker.run(self._receive, fn, *args, **kwargs)
        except BrokenExecutor:
            self._own.worker = None
            raise

    def _start(self) -> _Worker:
        worker = _Worker()
        with self._lock:
            self._workers.append(worker)
        self._own.worker = worker
        return worker


class _Worker:
    """One process, and the connection to it."""

    def __init__(self) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        self.process = _Process(target=_serve, args=(theirs,))
        with theirs:  # only the process may hold its end: the connection ends with it
            self.process.start()

    def run(self, receive: Callable[[str], None], *call: Any, **kwargs: Any) -> Any:
        """Run a function in the process; call ``receive`` with each event until it has ended."""
        try:
            self.connection.send((call, kwargs))
            kind, value = self.connection.recv()
            while kind == "event":
                receive(value)
                kind, value = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            raise BrokenExecutor(f"process {self.process.pid} {self._end()}") from None
        if kind == "error":
            raise value
        return value

    def _end(self) -> str:
        """Return how the process has ended."""
        code = self.process.exitcode or 0
        return f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"


class _Process(SpawnProcess):
    """A spawned process: a forked one would inherit locks without the threads that hold them."""

    def start(self) -> None:
        """Start the process with signals blocked, as they may arrive before it ignores them."""
        if sys.platform == "win32":  # it has no such mask
            super().start()
            return
        # Before: the first process to start would start it, which unblocks the signals.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ---- in the process ----


class _Run:
    """The connection of this process to its run, on which its threads send."""

    connection: Connection | None = None
    lock = threading.Lock()

    @classmethod
    def send(cls, kind: str, value: Any) -> None:
        with cls.lock:
            if cls.connection is not None:
                cls.connection.send((kind, value))


def send_event(text: str) -> None:
    """Send a text to the run, before the result of the task that runs."""
    _Run.send("event", text)


def _serve(connection: Connection) -> None:
    """Run the functions that arrive, until the connection is closed."""
    _initialize()
    _Run.connection = connection
    while True:
        try:
            (function, *arguments), options = connection.recv()
            answer = "result", function(*arguments, **options)
        except EOFError:
            return
        except Exception as error:  # noqa: BLE001 - the result of the task
            answer = "error", error
        try:
            _Run.send(*answer)
        except Exception as error:  # noqa: BLE001 - it cannot be pickled
            _Run.send("error", TypeError(f"{type(error).__name__}: {error}"))


def _initialize() -> None:
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
