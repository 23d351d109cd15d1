"""The state in an object store: a small object for each target and run, loaded on first use."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from spark_impex_runner.clock import Clock
from spark_impex_runner.errors import Interrupted, LockedError, StateError
from spark_impex_runner.object_store.address import parse_address
from spark_impex_runner.state.remote.entries import Entries
from spark_impex_runner.state.remote.lease import Lease
from spark_impex_runner.state.remote.objects import Objects
from spark_impex_runner.state.remote.others import OtherLeases
from spark_impex_runner.state.remote.records import HELD, lease_folder, read_record
from spark_impex_runner.state.remote.rows import Rows
from spark_impex_runner.state.remote.stops import Stops
from spark_impex_runner.state.remote.timing import Timing, boot_time
from spark_impex_runner.state.storage import ALL_TARGETS, Scope

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence

    from spark_impex_runner.state.remote.entry import Entry
    from spark_impex_runner.state.storage import Statement, Values


class ObjectStorage:
    """The rows of a state below a URL. ``age`` is the clock of the own lease, but in tests."""

    def __init__(
        self,
        url: str,
        clock: Clock | None = None,
        timing: Timing | None = None,
        age: Callable[[], float] = boot_time,
        objects: Objects | None = None,
    ) -> None:
        self._clock = clock or Clock()
        self._objects = objects or Objects(parse_address(url), self._clock)
        self._timing = timing or Timing()
        self._age = age
        self._rows = Rows()
        self._others = OtherLeases(self._objects, self._timing)
        self._stops = Stops(self._objects, self._timing.look, age)
        self._entries = Entries(self._objects, self._rows, age, self._timing.look)
        # Held while the lease is created, which each target needs first.
        self._lease_lock = threading.Lock()
        self._lease: Lease | None = None

    @property
    def place(self) -> str:
        """The URL."""
        return self._objects.place

    def exists(self) -> bool:
        """Return whether anything has been stored there."""
        return self._objects.has("targets") or self._objects.has("runs")

    # ---- rows ----

    def prefetch(self, targets: Sequence[str]) -> None:
        """Read the objects of targets in parallel."""
        with suppress(StateError):  # each target meets it itself
            self._entries.prefetch(map(Scope.of_target, targets))

    def read(self, scope: Scope | None, sql: str, values: Values = ()) -> list[sqlite3.Row]:
        """Return all rows of a query, after the rows of ``scope`` were loaded."""
        if scope in {None, ALL_TARGETS}:
            self._entries.refresh_all(["targets"] if scope else ["targets", "runs"])
        else:
            self._entries.of(scope).refresh()
        return self._rows.read(sql, values)

    def unreadable(self) -> tuple[str, ...]:
        """Return why objects were left out."""
        return self._entries.unreadable()

    def write(self, scope: Scope, *statements: Statement) -> int:
        """Execute all statements in one transaction and write the object of the scope."""
        return self._write(scope, statements)

    def write_vital(self, scope: Scope, *statements: Statement) -> int:
        """Write as ``write`` does."""
        return self.write(scope, *statements)

    def write_later(self, scope: Scope, *statements: Statement) -> int:
        """Execute the statements; the object is written with the next write to the scope."""
        return self._write(scope, statements, later=True)

    def _write(self, scope: Scope, statements: Sequence[Statement], *, later: bool = False) -> int:
        lease = self._held_lease(scope.key if scope.kind == "run" else "")
        return self._entries.of(scope).write(statements, lease, later=later)

    # ---- locks ----

    @contextmanager
    def lease(self, target: str, now: datetime) -> Iterator[None]:
        """Own the object of a target for the block."""
        del now
        lease, entry = self._held_lease(""), self._entries.of(Scope.of_target(target))
        lease.check()
        self._acquire(entry, lease)
        try:
            yield
        except BaseException:
            with suppress(StateError, Interrupted):  # the first error counts
                entry.release(lease)
            raise
        entry.release(lease)

    def _acquire(self, entry: Entry, lease: Lease) -> None:
        """Own the object, or wait until its owner is known to live or its lease has expired."""
        while holder := entry.acquire(lease):
            view = self._others.look(holder, lease, self._age())
            if view.is_free:
                entry.free(holder)
                continue
            if view.is_alive:
                raise LockedError(f"target {entry.scope.key}", str(holder))
            self._clock.wait(self._timing.look)
            entry.forget()

    @contextmanager
    def run_lease(self, run_id: str) -> Iterator[None]:
        """Hold a lease in the folder of a run for the block, or the one that this process has."""
        had_lease = self._lease is not None
        self._held_lease(run_id)
        try:
            yield
        finally:
            if not had_lease:
                self._release()

    def is_running(self, run_id: str) -> bool:
        """Return whether a lease of a run was renewed of late.

        By the store's clock while this process has a lease. Without one only a write would tell its
        time: then by the clock of this machine, for commands that show runs and change nothing.
        """
        renewed = [
            found.modified
            for key in self._objects.list(lease_folder(run_id))
            if (found := self._objects.get(key))
            and read_record(found, f"{self.place}/{key}").state == HELD
        ]
        if not renewed:
            return False
        now = self._lease.store_time() if self._lease else datetime.now(timezone.utc)
        return (now - max(renewed)).total_seconds() < self._timing.worth

    def check(self) -> None:
        """Raise ``StateError`` if the lease of this process was lost."""
        if self._lease:
            self._lease.check()

    def _held_lease(self, run_id: str) -> Lease:
        """Return the lease of this process, which is created and the store tested if need be."""
        with self._lease_lock:
            if self._lease is None:
                lease = Lease(self._objects, run_id, self._timing, self._clock, self._age)
                lease.start()
                self._lease = lease
            return self._lease

    def _release(self) -> None:
        with self._lease_lock:
            # One that was lost stays: this process writes nothing more.
            if self._lease and self._lease.release():
                self._lease = None

    # ---- stops of a run's processes ----

    def write_stop(self, run_id: str, signum: int) -> None:
        """Write the stop object of a run."""
        self._stops.write(run_id, signum)

    def read_stop(self, run_id: str) -> int | None:
        """Return the number in the stop object, as it was at most five seconds ago."""
        return self._stops.read(run_id)

    def remove_stop(self, run_id: str) -> None:
        """Overwrite the stop object, if there is one."""
        self._stops.remove(run_id)

    def close(self) -> None:
        """Give the lease back and free the memory."""
        self._release()
        self._rows.close()
