"""The state in a folder: an SQLite file, locks of the operating system, and stop files."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING

from spark_impex_runner import atomic
from spark_impex_runner.state import lease
from spark_impex_runner.state.database import Database

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from spark_impex_runner.state.storage import Scope, Statement, Values


class LocalStorage:
    """One state directory, which is created with its file; scopes make no difference in it.

    A write waits for other processes, but at most a second after ``stopped_at()``, which is a time
    of ``time.monotonic``.
    """

    def __init__(self, folder: Path, stopped_at: Callable[[], float] = lambda: math.inf) -> None:
        self._folder = folder
        self._db = Database(folder, stopped_at)

    @property
    def place(self) -> str:
        """The folder."""
        return str(self._folder)

    def prefetch(self, targets: Sequence[str]) -> None:
        """Do nothing."""

    def read(self, scope: Scope | None, sql: str, values: Values = ()) -> list[sqlite3.Row]:  # noqa: ARG002
        """Return all rows of a query."""
        return self._db.read(sql, values)

    def unreadable(self) -> tuple[str, ...]:
        """Return nothing: one file has all rows."""
        return ()

    def write(self, scope: Scope, *statements: Statement) -> int:  # noqa: ARG002
        """Execute all statements in one transaction, which is on disk when this returns."""
        return self._db.write(*statements)

    def write_vital(self, scope: Scope, *statements: Statement) -> int:  # noqa: ARG002
        """Write as ``write`` does, and copy the journal into the state file."""
        return self._db.write_checkpointed(*statements)

    def write_later(self, scope: Scope, *statements: Statement) -> int:  # noqa: ARG002
        """Write as ``write`` does."""
        return self._db.write(*statements)

    def lease(self, target: str, now: datetime) -> AbstractContextManager[None]:
        """Lock a target for the block."""
        return lease.lease(self._folder, target, now)

    def run_lease(self, run_id: str) -> AbstractContextManager[None]:
        """Lock a run for the block."""
        return lease.run_lease(self._folder, run_id)

    def is_running(self, run_id: str) -> bool:
        """Return whether the process of a run still works."""
        return lease.is_running(self._folder, run_id)

    def check(self) -> None:
        """Do nothing: the operating system takes no lock from a process that runs."""

    def write_stop(self, run_id: str, signum: int) -> None:
        """Write the stop file, which every process reads that shares the folder."""
        with suppress(OSError):  # workers that cannot be stopped are waited for
            atomic.write_text(self._stop_file(run_id), str(int(signum)))  # Python 3.10: its name

    def read_stop(self, run_id: str) -> int | None:
        """Return the number in the stop file, None without one."""
        try:
            return int(self._stop_file(run_id).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def remove_stop(self, run_id: str) -> None:
        """Delete the stop file."""
        with suppress(OSError):
            self._stop_file(run_id).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _stop_file(self, run_id: str) -> Path:
        return self._folder / f"{run_id}.stop"
