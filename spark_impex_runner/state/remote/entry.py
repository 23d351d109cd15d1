"""One object of the state: load it, execute statements on its rows, and write it conditionally."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from spark_impex_runner.errors import LockedError, StateError, StateUnavailableError
from spark_impex_runner.state.remote.document import Document, damaged, decode, object_key
from spark_impex_runner.state.remote.objects import RefusedError, write

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spark_impex_runner.state.remote.document import Owner
    from spark_impex_runner.state.remote.lease import Lease
    from spark_impex_runner.state.remote.objects import Found, Objects
    from spark_impex_runner.state.remote.rows import Rows
    from spark_impex_runner.state.storage import Scope, Statement

# Writes of other processes of a run to its object, after which its own is given up.
_ATTEMPTS = 20


class Entry:
    """The object of one target or run. Its own lock is held during its requests, no other one."""

    def __init__(
        self,
        scope: Scope,
        objects: Objects,
        rows: Rows,
        age: Callable[[], float],
        fresh: float,
    ) -> None:
        self.scope = scope
        self.key = object_key(scope)
        self.version: Mapping[str, str] | None = None
        self.is_leased = False
        self._objects = objects
        self._rows = rows
        self._age = age
        self._fresh = fresh
        self._lock = threading.RLock()
        self._read_at: float | None = None
        self._is_unused = False
        self._owner: Owner | None = None
        self._fence = 0
        self._is_dirty = False
        # Writes whose end is unknown: one of them may be what is there.
        self._uncertain: set[str] = set()

    @property
    def _place(self) -> str:
        return f"{self._objects.place}/{self.key}"

    # ---- read ----

    def prefetch(self) -> None:
        """Load the object for its first use, which may be much later."""
        with self._lock:
            if not self._is_fresh():
                self._load(self._objects.get(self.key))
                self._is_unused = True

    def refresh(self) -> None:
        """Load the object unless that was done of late, or for this first use of it."""
        with self._lock:
            # An owner may have gone since: the run that needs the target would wait for it.
            if self._is_unused and not self._owner:
                self._read_at = self._age()
            self._is_unused = False
            if not self._is_fresh():
                self._load(self._objects.get(self.key))

    def _is_fresh(self) -> bool:
        """Return whether what is at hand may be used; what this process owns cannot change."""
        if self.is_leased:
            return True
        return self._read_at is not None and self._age() - self._read_at < self._fresh

    def take(self, found: Found) -> None:
        """Load the object from what was read of it."""
        with self._lock:
            if not self.is_leased:
                self._load(found)

    def forget(self) -> None:
        """Read the object again when it is used next."""
        with self._lock:
            self._read_at, self._is_unused = None, False

    def _load(self, found: Found | None) -> None:
        self._read_at = None  # also for the next reader, if it cannot be read
        if found is None:
            self.version, self._owner, self._fence = None, None, 0
            self._rows.load(self.scope, {}, Document("", {}).schema)
        elif found.version != self.version or self._is_dirty:
            self._load_rows(found)
        self._read_at = self._age()

    def _load_rows(self, found: Found) -> None:
        document = decode(found.data, self._place)
        try:
            self._rows.load(self.scope, document.tables, document.schema)
        except ValueError as error:
            raise damaged(self._place, str(error)) from error
        self.version, self._owner, self._fence = found.version, document.owner, document.fence
        self._is_dirty = False
        self._uncertain.clear()

    # ---- own ----

    def acquire(self, lease: Lease) -> Owner | None:
        """Become the owner of the object; return the one whom it has, None on success."""
        with self._lock:
            if self.is_leased:
                raise LockedError(f"target {self.scope.key}", "this process")
            for _ in range(_ATTEMPTS):
                if self._read_at is None or self._owner:
                    self.refresh()
                if self._owner:
                    return self._owner
                self._rows.prune(self.scope.key)
                self._fence += 1
                try:
                    self._put(lease, lease.owner)
                except RefusedError as error:
                    self._load(error.found)
                    continue
                self.is_leased = True
                return None
            raise self._contended()

    def free(self, holder: Owner) -> None:
        """Let the object be taken from an owner whose lease has ended."""
        with self._lock:
            if self._owner == holder:
                self._owner = None

    def release(self, lease: Lease) -> None:
        """Write what is left, without an owner; do nothing if the lease was lost."""
        with self._lock:
            self.is_leased = False
            lease.check()
            try:
                self._put(lease, None)
            except RefusedError as error:
                self._refused(error, lease)

    # ---- write ----

    def write(self, statements: Sequence[Statement], lease: Lease, *, later: bool = False) -> int:
        """Execute statements on the rows and write the object; return the last inserted id."""
        with self._lock:
            lease.check()
            if self.is_leased:
                return self._write_leased(statements, lease, later=later)
            if self.scope.kind == "run" and self._read_at is None:
                self._read_at = self._age()  # it is new, or the store refuses to create it
            for _ in range(_ATTEMPTS):
                self.refresh()
                if self._owner:
                    raise StateError(f"target {self.scope.key} is locked by {self._owner}")
                row, changed = self._rows.write(statements)
                if not changed:
                    return row
                self._is_dirty = True
                try:
                    self._put(lease, None)
                except RefusedError as error:
                    self._load(error.found)
                else:
                    return row
            raise self._contended()

    def _write_leased(self, statements: Sequence[Statement], lease: Lease, *, later: bool) -> int:
        row, changed = self._rows.write(statements)
        self._is_dirty |= changed
        if self._is_dirty and not later:
            try:
                self._put(lease, lease.owner)
            except RefusedError as error:
                self._refused(error, lease)
        return row

    def _put(self, lease: Lease, owner: Owner | None) -> None:
        """Write the object in place of the version that was read or written last."""
        lease.check()
        document = Document(self.scope.key, self._rows.dump(self.scope), owner, self._fence)
        data = document.encode()
        self._uncertain.add(document.nonce)
        try:
            version = write(self._objects, self.key, data, document.nonce, self.version)
        except RefusedError as error:
            if not error.found or not self._is_own(error.found):
                raise
            version = write(self._objects, self.key, data, document.nonce, error.found.version)
        self.version, self._owner, self._read_at = version, owner, self._age()
        self._is_dirty = False
        self._uncertain.clear()

    def _is_own(self, found: Found) -> bool:
        """Return True for a write of this object that had no reply."""
        return any(each.encode() in found.data for each in self._uncertain)

    def _refused(self, error: RefusedError, lease: Lease) -> None:
        """Raise ``StateError``: what was owned has changed, so this process has lost it."""
        owner = error.found and decode(error.found.data, self._place).owner
        if owner and owner.lease != lease.owner.lease:
            lease.lose(str(owner))
            lease.check()
        raise StateUnavailableError(
            f"{self._place} was changed by something else than a runner; run again, and let only "
            "runners write there"
        ) from error

    def _contended(self) -> StateError:
        return StateUnavailableError(
            f"{self._place}: other runners write there all the time; run again"
        )
