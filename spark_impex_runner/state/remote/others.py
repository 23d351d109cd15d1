"""The leases of other processes: watch them, and take over those that have expired."""

from __future__ import annotations

import logging
import threading
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spark_impex_runner.state.remote.objects import RefusedError, write
from spark_impex_runner.state.remote.records import HELD, TAKEN, read_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_impex_runner.state.remote.document import Owner
    from spark_impex_runner.state.remote.lease import Lease
    from spark_impex_runner.state.remote.objects import Found, Objects
    from spark_impex_runner.state.remote.records import LeaseRecord
    from spark_impex_runner.state.remote.timing import Timing

_log = logging.getLogger(__name__)

# A store gives its times in whole seconds.
_GRAIN = 1.0


@dataclass(frozen=True, slots=True)
class View:
    """What was last seen of a lease: its version, and its age by the store's clock.

    ``is_free`` is True if its targets may be taken, ``is_alive`` if it is being renewed.
    """

    version: Mapping[str, str]
    is_free: bool
    is_alive: bool = False


class OtherLeases:
    """The leases of other processes, each read once for all targets that wait for it."""

    def __init__(self, objects: Objects, timing: Timing) -> None:
        self._objects = objects
        self._timing = timing
        self._watched: dict[str, _Watched] = {}
        self._lock = threading.Lock()

    def look(self, holder: Owner, own: Lease, now: float) -> View:
        """Return a lease as it was at most ``look`` seconds ago; take it if it has expired."""
        with self._lock:
            watched = self._watched.setdefault(holder.lease, _Watched())
        # Held during the request: the other targets that wait for this lease need its answer.
        with watched.lock:
            if watched.view is None or now - watched.at >= self._timing.look:
                before = watched.view
                watched.view, watched.at = self._view(holder.lease, own, before), now
            if not (watched.view.is_free or watched.is_reported):
                watched.is_reported = True
                _log.info(
                    "%s: %s may be at work there, or was killed; waiting to see, %.0f s at most",
                    *(self._objects.place, holder, 1.5 * self._timing.worth),
                )
            return watched.view

    def _view(self, key: str, own: Lease, before: View | None) -> View:
        found = self._objects.get(key)
        # An old lease may have been removed by a rule of the bucket.
        if found is None:
            return View({}, is_free=True)
        record = read_record(found, f"{self._objects.place}/{key}")
        if record.state != HELD:
            return View(found.version, is_free=True)
        age = (own.store_time() - found.modified).total_seconds()
        if age > self._timing.worth + _GRAIN:
            return View(found.version, is_free=self._take(key, record, found, own))
        # It was renewed while this process has watched it, and no renewal is overdue.
        renewed = before is not None and (before.is_alive or before.version != found.version)
        is_alive = renewed and age <= 1.5 * self._timing.renewal
        return View(found.version, is_free=False, is_alive=is_alive)

    def _take(self, key: str, record: LeaseRecord, found: Found, own: Lease) -> bool:
        """Take a lease, so that its owner's next renewal fails; False if that has renewed it."""
        taken = replace(record, state=TAKEN, by=str(own.owner), nonce=uuid.uuid4().hex)
        try:
            write(self._objects, key, taken.encode(), taken.nonce, found.version)
        except RefusedError:
            return False
        return True


@dataclass(slots=True)
class _Watched:
    """One lease, and when it was last read."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    view: View | None = None
    at: float = 0.0
    is_reported: bool = False
