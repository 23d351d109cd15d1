"""The lease of one process in the store: renewed while it works, lost once another one takes it.

Whether the lease of another process has expired is judged by the store's clock alone: by the times
that the store gave to that lease and to a renewal of our own. Of itself a process knows how long
ago it asked for its last renewal, by a clock that also counts while the machine is suspended. As it
counts from before the request, it does nothing any more before another process may start.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_impex_runner.errors import Interrupted, StateError, StateUnavailableError
from spark_impex_runner.state.remote.document import Owner
from spark_impex_runner.state.remote.objects import RefusedError, write
from spark_impex_runner.state.remote.records import (
    HELD,
    RELEASED,
    LeaseRecord,
    lease_folder,
    read_record,
)
from spark_impex_runner.state.remote.self_test import check_store
from spark_impex_runner.state.remote.timing import boot_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from spark_impex_runner.clock import Clock
    from spark_impex_runner.state.remote.objects import Objects
    from spark_impex_runner.state.remote.timing import Timing

_log = logging.getLogger(__name__)


class Lease:
    """The lease of this process. ``age`` is a clock for its own age, ``boot_time`` but in tests."""

    def __init__(
        self,
        objects: Objects,
        run_id: str,
        timing: Timing,
        clock: Clock,
        age: Callable[[], float] = boot_time,
    ) -> None:
        self._objects = objects
        self._timing = timing
        self._clock = clock
        self._age = age
        name = f"{lease_folder(run_id)}/{uuid.uuid4().hex}.json"
        self.owner = Owner(name, socket.gethostname(), os.getpid(), "")
        self._record = LeaseRecord(self.owner)
        self._version: Mapping[str, str] | None = None
        self._renewed = self._tried = 0.0
        self._lost = ""
        # The last error of the store, and whether the user knows of it.
        self._cause = ""
        self._is_reported = False
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def start(self) -> None:
        """Create the lease, test that the store refuses what it must, and renew it from now on."""
        since = f"{self._clock.now():%Y-%m-%dT%H:%M:%SZ}"
        self.owner = replace(self.owner, since=since)
        self._record = replace(self._record, owner=self.owner)
        with self._lock:
            self._put()
        check_store(self._objects, self.owner.lease, self._record.encode())
        if self._timing.renewal < self._timing.worth:
            threading.Thread(target=self._beat, name="impex-lease", daemon=True).start()

    def check(self) -> None:
        """Raise ``StateError`` if the lease was lost; renew it first if it is too old.

        That it can be renewed proves that it was not taken: a process that takes over writes the
        lease before anything else. So a machine that slept, or had no network for some minutes,
        goes on where no other run continues its work.
        """
        end = self._renewed + self._timing.patience
        while not self._lost and self._is_late():
            if self._try():
                continue
            late = f"it could not be renewed for {self._age() - self._renewed:.0f} s: {self._cause}"
            if self._age() >= end:
                self._lose(late)
            elif self._clock.left() <= 0:
                raise StateUnavailableError(
                    f"the lease on {self._objects.place}: {late}; run again when the store replies"
                )
            else:
                self._clock.wait(self._timing.look)
        if self._lost:
            raise StateUnavailableError(self._lost)

    def lose(self, by: str) -> None:
        """Mark the lease as lost to another runner."""
        self._lose(f"{by} continues its targets")

    def renew(self) -> None:
        """Renew the lease; raise ``StateError`` if that fails, also while it is still valid."""
        with self._lock:
            if not self._lost:
                self._renew()
            if self._lost:
                raise StateUnavailableError(self._lost)

    def store_time(self) -> datetime:
        """Return the store's time, by a renewal."""
        self.renew()
        found = self._objects.get(self.owner.lease)
        if found is None:
            raise StateUnavailableError(
                f"{self._objects.place}/{self.owner.lease} was deleted; run again"
            )
        return found.modified

    def release(self) -> bool:
        """Give the lease back, so that no process waits for it; return False if it was lost."""
        self._ended.set()
        with self._lock:
            if self._lost:
                return False
            with suppress(RefusedError, StateError, Interrupted):  # it expires
                self._put(RELEASED)
            self._lost = f"{self._objects.place}: the run has ended"
            return True

    def _is_late(self) -> bool:
        return self._age() - self._renewed > self._timing.worth

    def _try(self) -> bool:
        """Renew a lease that is late; return False if the store was not reached, now or of late."""
        with self._lock:
            if self._lost or not self._is_late():
                return True  # by another thread
            if self._tried and self._age() - self._tried < self._timing.look:
                return False
            self._tried = self._age()
            try:
                self._renew()
            except StateError as error:
                self._note(error)
                if not self._is_reported:
                    self._is_reported = True
                    _log.warning(
                        "%s: cannot renew the lease: %s; waiting for the store, %.0f s at most",
                        *(self._objects.place, self._cause, self._timing.patience),
                    )
                return False
            return True

    def _note(self, error: StateError | Interrupted) -> None:
        self._cause = str(error).removeprefix(f"{self._objects.place}: ")

    def _renew(self) -> None:
        try:
            self._put_again()
        except RefusedError as error:
            self.lose(self._taker(error))

    def _put_again(self) -> None:
        """Write the lease, also after a renewal that failed and was stored all the same."""
        try:
            self._put()
        except RefusedError as error:
            record = error.found and read_record(error.found, self.owner.lease)
            if not error.found or not record or record.state != HELD:
                raise
            self._version = error.found.version
            self._put()

    def _put(self, state: str = HELD) -> None:
        """Write the lease; it is valid from before the request."""
        asked = self._age()
        record = replace(
            self._record, state=state, beat=self._record.beat + 1, nonce=uuid.uuid4().hex
        )
        self._version = write(
            self._objects, self.owner.lease, record.encode(), record.nonce, self._version
        )
        self._record, self._renewed = record, asked
        self._is_reported = False

    def _taker(self, error: RefusedError) -> str:
        if error.found is None:
            return "another runner"
        return read_record(error.found, self.owner.lease).by or "another runner"

    def _lose(self, reason: str) -> None:
        self._lost = (
            f"lost the lease on {self._objects.place}: {reason}; this runner stops and writes "
            "nothing more there; run again to see what became of its targets"
        )

    def _beat(self) -> None:
        pause = self._timing.renewal
        while not self._ended.wait(pause):
            try:
                self.renew()
                pause = self._timing.renewal
            except (StateError, Interrupted) as error:
                self._note(error)
                pause = self._timing.renewal / 10
                if self._lost:
                    return
