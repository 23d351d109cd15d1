"""The state file: opened safely, migrated, and every refusal told in one line."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from spark_impex_runner import atomic
from spark_impex_runner.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FILE = "state.db"
_BUSY_SECONDS = 30.0
_SWITCHES = 100

# One script for each schema version; a released one is never edited.
MIGRATIONS = (
    """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY,
        manifest TEXT NOT NULL,
        started TEXT NOT NULL,
        finished TEXT,
        exit_code INTEGER
    );
    CREATE TABLE attempts (
        id INTEGER PRIMARY KEY,
        run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        target TEXT NOT NULL,
        tenant TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        correlation_id TEXT NOT NULL,
        intended TEXT NOT NULL,
        job_id TEXT NOT NULL DEFAULT '',
        created TEXT,
        done TEXT,
        delivered TEXT,
        finished TEXT,
        outcome TEXT NOT NULL DEFAULT '',
        error TEXT NOT NULL DEFAULT ''
    );
    CREATE UNIQUE INDEX one_open_attempt_per_target ON attempts(target) WHERE finished IS NULL;
    CREATE INDEX attempts_of_a_job ON attempts(job_id);
    CREATE INDEX attempts_of_a_request ON attempts(tenant, fingerprint);
    CREATE TABLE artifacts (
        attempt INTEGER NOT NULL REFERENCES attempts(id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        path TEXT NOT NULL,
        size INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        tenant_hash TEXT,
        hash_agreed INTEGER,
        made_by TEXT NOT NULL,
        PRIMARY KEY (attempt, name)
    );
    CREATE TABLE steps (
        attempt INTEGER NOT NULL REFERENCES attempts(id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        digest TEXT NOT NULL,
        uses TEXT NOT NULL,
        outcome TEXT NOT NULL,
        seconds REAL NOT NULL,
        message TEXT NOT NULL,
        artifacts TEXT NOT NULL,
        PRIMARY KEY (attempt, position)
    );
    """,
    # How long a job took is known only where one run saw it begin and end: an adopted job may
    # have been done long before anybody looked. A size is unknown for what came before.
    """
    ALTER TABLE attempts ADD COLUMN size TEXT;
    ALTER TABLE attempts ADD COLUMN seconds REAL;
    UPDATE attempts SET seconds = (julianday(done) - julianday(created)) * 86400
        WHERE (SELECT julianday(finished) FROM runs WHERE id = run_id) >= julianday(done);
    CREATE INDEX attempts_of_a_size ON attempts(tenant, size)
    """,
    # What stands for all that was done with the packages, where nothing of it is missing.
    """
    ALTER TABLE attempts ADD COLUMN work TEXT NOT NULL DEFAULT '';
    CREATE INDEX attempts_of_a_target ON attempts(target)
    """,
    # A request that is too large for one package is divided; each part is an attempt of its own.
    """
    ALTER TABLE attempts ADD COLUMN part_of INTEGER REFERENCES attempts(id) ON DELETE CASCADE;
    CREATE INDEX attempts_of_parts ON attempts(part_of);
    CREATE TABLE parts (
        attempt INTEGER NOT NULL REFERENCES attempts(id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        request TEXT NOT NULL,
        PRIMARY KEY (attempt, name)
    )
    """,
    # What steps remember belongs to a target, and outlives its attempts.
    """
    CREATE TABLE memories (
        target TEXT NOT NULL,
        uses TEXT NOT NULL,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (target, uses, key)
    );
    ALTER TABLE attempts ADD COLUMN held TEXT NOT NULL DEFAULT ''
    """,
    # What waits for an approval is stored whole. An attempt that was held before there was such a
    # record has none: it is held again.
    """
    CREATE TABLE holds (
        id INTEGER PRIMARY KEY,
        attempt INTEGER NOT NULL REFERENCES attempts(id) ON DELETE CASCADE,
        run_id TEXT NOT NULL,
        at TEXT NOT NULL,
        name TEXT NOT NULL,
        work TEXT NOT NULL,
        command TEXT NOT NULL,
        approved_by TEXT NOT NULL DEFAULT '',
        approved_at TEXT,
        approval TEXT NOT NULL DEFAULT '',
        ended TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX holds_of_an_attempt ON holds(attempt)
    """,
    # What each run did for an attempt. Of earlier attempts the first run and the end are known.
    """
    CREATE TABLE outcomes (
        id INTEGER PRIMARY KEY,
        run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        attempt INTEGER NOT NULL REFERENCES attempts(id) ON DELETE CASCADE,
        began TEXT NOT NULL,
        ended TEXT,
        outcome TEXT NOT NULL DEFAULT '',
        error TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX outcomes_of_an_attempt ON outcomes(attempt);
    INSERT INTO outcomes (run_id, attempt, began, ended, outcome, error)
        SELECT run_id, id, intended, finished, outcome, error FROM attempts ORDER BY id
    """,
)


class Database:
    """One open state file, safe to share by threads; each write is on disk when it returns."""

    def __init__(self, folder: Path) -> None:
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
            self._link.execute("BEGIN IMMEDIATE")
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
        self._link.execute("BEGIN IMMEDIATE")
        try:
            self._apply(self._link.execute("PRAGMA user_version").fetchone()[0])
            self._link.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

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
