"""The SQLite file of the state: open and migrate it, and translate its errors into one line."""

from __future__ import annotations

import math
import os
import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spark_impex_runner import atomic
from spark_impex_runner.errors import StateError
from spark_impex_runner.state.migrations import MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spark_impex_runner.state.storage import Statement, Values

FILE = "state.db"
# A write waits this long for a write of another process, and this long once the run was stopped.
_BUSY_SECONDS = 30.0
_STOPPED_SECONDS = 1.0
# SQLite itself waits only this long: no signal handler runs while it waits.
_BUSY_TIMEOUT = 250  # milliseconds
_JOURNAL_ATTEMPTS = 100
# FULL: an intent must survive a power cut before the request that it announces.
_SYNCHRONOUS = "FULL"


class Database:
    """One open state file, safe for threads; each write is on disk when it returns.

    A write waits for other processes, but at most a second after ``stopped_at()``, which is a time
    of ``time.monotonic``.
    """

    def __init__(self, folder: Path, stopped_at: Callable[[], float] = lambda: math.inf) -> None:
        self._stopped_at = stopped_at
        self.path = folder / FILE
        self._lock = threading.RLock()
        with self._translated_errors():
            _create_files(folder, self.path)
            self._connection = sqlite3.connect(
                self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
        try:
            self._open()
        except BaseException:
            self._connection.close()
            raise

    def write(self, *statements: Statement) -> int:
        """Execute all statements in one transaction; return the id of the last inserted row."""
        with self._lock, self._translated_errors():
            self._begin()
            try:
                row = 0
                for sql, values in statements:
                    row = self._connection.execute(sql, values).lastrowid or row
                self._connection.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
            return row

    def write_checkpointed(self, *statements: Statement) -> int:
        """Write as ``write`` does, and copy the journal into the state file.

        For what keeps a second job or import from being started: a user may copy the file without
        its journal.
        """
        row = self.write(*statements)
        # PASSIVE waits for no reader: what it cannot copy yet is still safe in the journal.
        with self._lock, self._translated_errors():
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return row

    def read(self, sql: str, values: Values = ()) -> list[sqlite3.Row]:
        """Return all rows of a query."""
        with self._lock, self._translated_errors():
            return self._connection.execute(sql, values).fetchall()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _open(self) -> None:
        with self._translated_errors():
            self._check_whole()
            self._connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT}")
            self._connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS}")
            # Before the journal is on: a state file with a journal then always has its tables.
            self._migrate()
            mode = self._journal_mode()
            if mode != "wal":
                raise StateError(
                    f"{self.path}: this file system cannot hold the state (no WAL journal); "
                    "put it on a local disk with --state DIR"
                )
            self._connection.execute("PRAGMA foreign_keys = ON")

    def _check_whole(self) -> None:
        """Raise ``StateError`` for a file that was copied without the journal with its tables."""
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if not version and self._connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
            raise StateError(
                f"{self.path} is empty: it was copied without {FILE}-wal, or before its first run "
                "began; copy the whole folder, or delete the file to start over (jobs that still "
                "run will not be resumed)"
            )

    def _journal_mode(self) -> str:
        """Switch to WAL and return the journal mode that the file system allows."""
        # SQLite reports "locked" at once where another process switches at the same moment.
        for attempt in range(_JOURNAL_ATTEMPTS):
            try:
                return str(self._connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or attempt == _JOURNAL_ATTEMPTS - 1:
                    raise
                time.sleep(0.05)
        return ""

    def _migrate(self) -> None:
        """Apply the missing migrations in one transaction, safe while other runners do the same."""
        if self._connection.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS):
            return
        self._begin()
        try:
            # Read again: another runner may have migrated while this one waited for the lock.
            self._apply(self._connection.execute("PRAGMA user_version").fetchone()[0])
            self._connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _begin(self) -> None:
        """Begin a transaction as soon as no other process writes."""
        end = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                last = min(end, self._stopped_at() + _STOPPED_SECONDS)
                if "locked" not in str(error) or time.monotonic() >= last:
                    raise
            else:
                return

    def _roll_back(self) -> None:
        """Undo the transaction, unless SQLite has rolled it back itself, as on a full disk."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _apply(self, version: int) -> None:
        if version > len(MIGRATIONS):
            raise StateError(
                f"{self.path} was written by a newer runner (state version {version}; this runner "
                f"supports {len(MIGRATIONS)}); run pip install -U spark-impex-runner"
            )
        for script in MIGRATIONS[version:]:
            for statement in script.split(";"):
                self._connection.execute(statement)
        self._connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Raise SQLite's and the disk's errors as ``StateError`` with what to do."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StateError(f"{self.path}: {error}; {_hint(str(error))}") from error
        except sqlite3.DatabaseError as error:
            raise StateError(
                f"{self.path} is damaged ({error}); move it aside to start over. Jobs that still "
                "run will not be resumed: find them with impex status on another copy, or on the "
                "tenant"
            ) from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise StateError(f"{self.path}: {reason}; {_hint(reason)}") from error


def _create_files(folder: Path, path: Path) -> None:
    """Create the folder and an empty file that only its owner can read."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        atomic.write_text(ignore, "*\n")
    # Created here, since SQLite would create it with the umask; its journal copies these rights.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _hint(reason: str) -> str:
    if "locked" in reason:
        return "another process holds it; wait for it, or use another folder with --state DIR"
    if "full" in reason or "No space" in reason:
        return "free disk space and run the same command again"
    return "use a folder on a local, writable disk with --state DIR"
