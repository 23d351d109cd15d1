"""A queue of events in a folder: what ``put`` has returned for survives a kill and a power cut."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from spark_impex_runner import atomic, fields
from spark_impex_runner.errors import LockedError, StateError, UsageError
from spark_impex_runner.state.lease import lease

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

_FAILED = "failed"


class EventQueue:
    """The events of one listener, each in a file ``TIME-ID.json``, the oldest first.

    Safe for threads. Every method raises ``OSError`` if the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    @contextmanager
    def open(self, now: datetime) -> Iterator[None]:
        """Create the folder, and lock it for the block; raise ``UsageError`` if that fails."""
        with ExitStack() as stack:
            try:
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                stack.enter_context(lease(self.folder, "listener", now))
                for leftover in self.folder.glob(".*.json.*"):  # of a writer that was killed
                    leftover.unlink(missing_ok=True)
            except LockedError as error:
                raise UsageError(
                    f"the queue {self.folder} is used by {error.holder}; give this listener its "
                    "own with --queue DIR"
                ) from error
            except (OSError, StateError) as error:
                cause = error if isinstance(error, OSError) else error.__cause__
                reason = getattr(cause, "strerror", None) or cause
                raise UsageError(
                    f"the queue {self.folder} cannot be used: {reason}; choose a folder on a "
                    "local, writable disk with --queue DIR"
                ) from error
            yield

    def put(self, event_id: str, body: bytes) -> bool:
        """Store an event; return False if it is queued already."""
        # Parsed anew, so that the file is UTF-8 whatever the body was.
        text = json.dumps(fields.parse(body))
        with self._lock:
            if any(path.stem.endswith(f"-{event_id}") for path in self._files()):
                return False
            atomic.write_text(self.folder / f"{time.time_ns():020}-{event_id}.json", text)
            _flush_names(self.folder)
        return True

    def first(self) -> Path | None:
        """Return the file of the oldest event, None if there is none."""
        return next(iter(self._files()), None)

    def remove(self, path: Path) -> None:
        """Remove an event that was handled."""
        path.unlink(missing_ok=True)

    def set_aside(self, path: Path) -> Path:
        """Move an event whose run failed out of the queue; return its new place.

        It replaces the same event that failed before: one that is sent again and again is one file.
        """
        aside = self.folder / _FAILED / path.name.partition("-")[2]
        aside.parent.mkdir(exist_ok=True, mode=0o700)
        path.replace(aside)
        return aside

    def __len__(self) -> int:
        return len(self._files())

    def _files(self) -> list[Path]:
        # Hidden files are those of writers that were killed.
        return sorted(each for each in self.folder.glob("*.json") if each.name[0] != ".")


def _flush_names(folder: Path) -> None:
    """Write the names in a folder to disk, where the system can."""
    flags: Any = getattr(os, "O_DIRECTORY", None)
    if flags is None:
        return
    handle = os.open(folder, os.O_RDONLY | flags)
    try:
        with suppress(OSError):  # some network file systems refuse
            os.fsync(handle)
    finally:
        os.close(handle)
