"""The state file: opened safely, migrated, and every refusal told in one line."""

from __future__ import annotations

import math
import os
import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from spark_impex_runner import atomic
from spark_impex_runner.errors import StateError
from spark_impex_runner.state.migrations import MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

FILE = "state.db"
# So long a write waits for one of another process, and so long after the run was asked to stop.
_BUSY_SECONDS = 30.0
_STOPPED_SECONDS = 1.0
# So long SQLite itself waits, which no signal's handler interrupts.
_TICK = 250  # milliseconds
_SWITCHES = 100


class Database:
    """One open state file, safe to share by threads; each write is on disk when it returns.

    A write waits for other processes, but not for long after ``stopped_at()``, a time of
    ``time.monotonic``.
    """

    def __init__(self, folder: Path, stopped_at: Callable[[], float] = lambda: math.inf) -> None:
        self._stopped_at = stopped_at
        self.path = folder / FILE
        self._lock = threading.RLock()
        with self._told():
            _prepare(folder, self.path)
            self._link = sqlite3.connect(
                self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._link.row_factory = sqlite3.Row
        try:
            self._open()
        except BaseException:
            self._link.close()
            raise

    def write(self, *statements: tuple[str, Sequence[Any]]) -> int:
        """Do all statements in one transaction; return the id of the last row that came in."""
        with self._lock, self._told():
            self._begin()
            try:
                row = 0
                for sql, values in statements:
                    row = self._link.execute(sql, values).lastrowid or row
                self._link.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
            return row

    def announce(self, *statements: tuple[str, Sequence[Any]]) -> int:
        """Do as ``write``, and have it in the state file itself, not in its journal only.

        For what keeps a second job or import from being started: a copy of the file alone, without
        its journal, has it, too.
        """
        row = self.write(*statements)
        with self._lock, self._told():
            self._link.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return row

    def read(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Return all rows of a query."""
        with self._lock, self._told():
            return self._link.execute(sql, values).fetchall()

    def close(self) -> None:
        """Close the file; what was written is there to stay."""
        with self._lock:
            self._link.close()

    def _open(self) -> None:
        with self._told():
            self._check_whole()
            self._link.execute(f"PRAGMA busy_timeout = {_TICK}")
            # First in the file itself: one with a journal is then never without its tables.
            self._migrate()
            mode = self._journal_mode()
            if mode != "wal":
                raise StateError(
                    f"{self.path}: this file system cannot hold the state (no WAL journal); "
                    "put it on a local disk with --state DIR"
                )
            # FULL: an intent must survive a power cut before the request that it announces.
            self._link.execute("PRAGMA synchronous = FULL")
            self._link.execute("PRAGMA foreign_keys = ON")

    def _check_whole(self) -> None:
        """Refuse a file that was copied without the journal in which all of it still was."""
        version = self._link.execute("PRAGMA user_version").fetchone()[0]
        if not version and self._link.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
            raise StateError(
                f"{self.path} is empty: it was copied without {FILE}-wal, or before its first run "
                "had begun; copy the whole folder, or remove the file to begin anew. Jobs that "
                "still run are then not found again"
            )

    def _journal_mode(self) -> str:
        """Switch to WAL. SQLite does not wait for others who do the same, so this does."""
        for attempt in range(_SWITCHES):
            try:
                return str(self._link.execute("PRAGMA journal_mode = WAL").fetchone()[0])
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or attempt == _SWITCHES - 1:
                    raise
                time.sleep(0.05)
        return ""

    def _migrate(self) -> None:
        """Bring the tables up to date in one transaction, however many runners open the file."""
        if self._link.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS):
            return
        self._begin()
        try:
            self._apply(self._link.execute("PRAGMA user_version").fetchone()[0])
            self._link.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _begin(self) -> None:
        """Begin a write as soon as no other process is writing."""
        end = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                self._link.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                last = min(end, self._stopped_at() + _STOPPED_SECONDS)
                if "locked" not in str(error) or time.monotonic() >= last:
                    raise
            else:
                return

    def _roll_back(self) -> None:
        """Undo a transaction, unless SQLite has done so already, as on a full disk."""
        if self._link.in_transaction:
            self._link.execute("ROLLBACK")

    def _apply(self, version: int) -> None:
        if version > len(MIGRATIONS):
            raise StateError(
                f"{self.path} was written by a newer runner (state version {version}, this one "
                f"knows {len(MIGRATIONS)}); pip install -U spark-impex-runner"
            )
        for script in MIGRATIONS[version:]:
            for statement in script.split(";"):
                self._link.execute(statement)
        self._link.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what SQLite and the disk say into one line with what to do."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StateError(f"{self.path}: {error}; {_cure(str(error))}") from error
        except sqlite3.DatabaseError as error:
            raise StateError(
                f"{self.path} is damaged ({error}); move it aside to begin anew. Jobs that still "
                "run are then not found again: see impex status of another copy, or the tenant"
            ) from error
        except OSError as error:
            raise StateError(f"{self.path}: {error.strerror or error}; {_cure('')}") from error


def _prepare(folder: Path, path: Path) -> None:
    """Make the folder and an empty file that only its owner can read."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        atomic.write_text(ignore, "*\n")
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _cure(said: str) -> str:
    if "locked" in said:
        return "another process holds it; wait for it, or name another folder with --state DIR"
    if "full" in said:
        return "make room and run the same command again"
    return "name a folder on a local, writable disk with --state DIR"
