"""What a plugin changes in the process while it is loaded, and what is taken back of it.

A plugin may set up whatever is its own. The working folder, the handlers of SIGINT and SIGTERM, the
standard streams, the root logger and the locale belong to the command.
"""

from __future__ import annotations

import locale
import logging
import os
import signal
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def preserved() -> Iterator[None]:
    """Put back at the end what a command depends on, however the block ends."""
    with ExitStack() as stack:
        for restore in (_folder(), _streams(), _logging(), _locale(), _signals()):
            stack.callback(restore)
        yield


def _folder() -> Callable[[], None]:
    try:
        before = os.getcwd()  # noqa: PTH109 - as a text, for a folder that is gone later
    except OSError:
        return lambda: None

    def restore() -> None:
        with suppress(OSError):
            if os.getcwd() != before:  # noqa: PTH109 - see above
                os.chdir(before)

    return restore


def _streams() -> Callable[[], None]:
    before = sys.stdin, sys.stdout, sys.stderr

    def restore() -> None:
        sys.stdin, sys.stdout, sys.stderr = before

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


def _signals() -> Callable[[], None]:
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            here = threading.current_thread() is threading.main_thread()
            if here and handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)

    return restore
