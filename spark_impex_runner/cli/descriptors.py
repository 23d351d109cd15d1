"""Make lines of the log of what C libraries and subprocesses write past ``sys.stderr``."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    Write = Callable[[str], object]

# Seconds for the last lines at the end of the process; a subprocess may keep the pipe open.
_DRAIN_SECONDS = 0.25


def capture_descriptors(
    write: Write, write_event: Write, undo: ExitStack, encoding: str = "utf-8"
) -> TextIO:
    """Send each line on file descriptors 1 and 2 to ``write``, until ``undo`` is closed.

    ``write_event`` gets lines that are events already. Returns the genuine stderr, with the given
    encoding.
    """
    genuine = os.fdopen(os.dup(2), "w", encoding=encoding, errors="backslashreplace")
    reading, writing = os.pipe()
    for number in (1, 2):
        os.dup2(writing, number)
    os.close(writing)
    given = (reading, write, write_event)
    thread = threading.Thread(target=_forward, args=given, name="impex-stderr", daemon=True)
    thread.start()

    def restore() -> None:
        for number in (1, 2):
            os.dup2(genuine.fileno(), number)
        thread.join(_DRAIN_SECONDS)

    undo.callback(restore)
    return genuine


def _forward(reading: int, write: Write, write_event: Write) -> None:
    """Forward each line until no process has the other end of the pipe."""
    with os.fdopen(reading, encoding="utf-8", errors="backslashreplace") as lines:
        for line in lines:
            if _is_event(line):  # of a worker process, which has masked it
                write_event(line.rstrip("\n"))
            else:
                write(line if line.endswith("\n") else f"{line}\n")


def _is_event(line: str) -> bool:
    with suppress(ValueError):
        read = json.loads(line)
        return isinstance(read, dict) and "event" in read
    return False
