"""Restore the process after a plugin was loaded.

A plugin may set up its own libraries, but the working folder, the handlers of SIGINT and SIGTERM,
the alarm, the standard streams, the hooks of exceptions, the root logger, the locale, the variables
of the environment, the limits of the process and its end belong to the command.
"""

from __future__ import annotations

import locale
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def preserved() -> Iterator[None]:
    """Restore, however the block ends, the process state that a command depends on."""
    with ExitStack() as stack:
        for restore in (_folder(), _streams(), _logging(), _locale(), _signals()):
            stack.callback(restore)
        for restore in (_environment(), _limits()):
            stack.callback(restore)
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(_exit_refused())
        stack.enter_context(_handlers_refused())
        yield


def _folder() -> Callable[[], None]:
    try:
        before = os.getcwd()  # noqa: PTH109 - text: the folder may be deleted meanwhile
    except OSError:
        return lambda: None

    def restore() -> None:
        with suppress(OSError):
            if os.getcwd() != before:  # noqa: PTH109 - see above
                os.chdir(before)

    return restore


def _streams() -> Callable[[], None]:
    before = sys.stdin, sys.stdout, sys.stderr
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook

    def restore() -> None:
        sys.stdin, sys.stdout, sys.stderr = before
        sys.excepthook, sys.unraisablehook, threading.excepthook = hooks

    return restore


def _logging() -> Callable[[], None]:
    root, ours = logging.getLogger(), logging.getLogger("spark_impex_runner")
    before = [(each, each.level, list(each.handlers), each.propagate) for each in (root, ours)]
    disabled = root.manager.disable

    def restore() -> None:
        logging.disable(disabled)
        for logger, level, handlers, propagate in before:
            logger.handlers[:], logger.propagate = handlers, propagate
            logger.disabled = False
            logger.setLevel(level)

    return restore


def _locale() -> Callable[[], None]:
    before = locale.setlocale(locale.LC_ALL)

    def restore() -> None:
        with suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, before)

    return restore


def _environment() -> Callable[[], None]:
    """Restore the variables that exist now; a plugin may add others."""
    before = dict(os.environ)
    return lambda: os.environ.update(
        {name: value for name, value in before.items() if os.environ.get(name) != value}
    )


def _limits() -> Callable[[], None]:
    mask = os.umask(0o077)
    os.umask(mask)
    depth, timeout = sys.getrecursionlimit(), socket.getdefaulttimeout()

    def restore() -> None:
        sys.setrecursionlimit(max(depth, sys.getrecursionlimit()))
        os.umask(mask)
        socket.setdefaulttimeout(timeout)

    return restore


def _signals() -> Callable[[], None]:
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    # SIGALRM without a handler ends the process. Windows has no timers.
    timer = signal.getitimer(signal.ITIMER_REAL) if hasattr(signal, "getitimer") else None

    def restore() -> None:
        if timer:
            signal.setitimer(signal.ITIMER_REAL, *timer)
        for number, handler in before.items():
            here = threading.current_thread() is threading.main_thread()
            if here and handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)

    return restore


@contextmanager
def _exit_refused() -> Iterator[None]:
    """Turn ``os._exit`` on this thread into an error; forked children may still exit."""
    exit_now, process, thread = os._exit, os.getpid(), threading.get_ident()

    def refuse(code: int) -> NoReturn:
        if (os.getpid(), threading.get_ident()) == (process, thread):
            raise SystemExit(f"it called os._exit({code})")
        exit_now(code)

    os._exit = refuse  # type: ignore[assignment]
    try:
        yield
    finally:
        os._exit = exit_now


@contextmanager
def _handlers_refused() -> Iterator[None]:
    """Ignore signal handlers that a plugin sets on a thread other than the main one.

    ``signal.signal`` raises ``ValueError`` there, and a run loads its plugins on such a thread: the
    same plugin would load in ``impex validate`` and fail in ``impex run``.
    """
    if threading.current_thread() is threading.main_thread():
        yield
        return
    original = signal.signal

    def ignore(number: int, handler: Any) -> Any:
        if threading.current_thread() is threading.main_thread():
            return original(number, handler)
        return signal.getsignal(number)

    signal.signal = ignore  # type: ignore[assignment]
    try:
        yield
    finally:
        signal.signal = original
