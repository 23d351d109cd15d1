"""The objects of a state: those that were used, and all of them for commands that list."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from spark_impex_runner.state.remote.document import decode
from spark_impex_runner.state.remote.entry import Entry
from spark_impex_runner.state.storage import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spark_impex_runner.state.remote.objects import Objects
    from spark_impex_runner.state.remote.rows import Rows

# Objects that are read at once.
_PARALLEL = 16


class Entries:
    """The objects of a state, by scope."""

    def __init__(
        self, objects: Objects, rows: Rows, age: Callable[[], float], fresh: float
    ) -> None:
        self._objects = objects
        self._rows = rows
        self._age = age
        self._fresh = fresh
        self._entries: dict[Scope, Entry] = {}
        self._lock = threading.Lock()
        self._listing = threading.Lock()
        self._listed: float | None = None

    def of(self, scope: Scope) -> Entry:
        """Return the object of a target or run, which need not exist."""
        with self._lock:
            if scope not in self._entries:
                self._entries[scope] = Entry(
                    scope, self._objects, self._rows, self._age, self._fresh
                )
            return self._entries[scope]

    def refresh(self, scopes: Sequence[Scope]) -> None:
        """Load objects in parallel."""
        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(Entry.refresh, map(self.of, scopes)))

    def refresh_all(self) -> None:
        """Load all objects that have changed, unless that was done of late."""
        with self._listing:
            now = self._age()
            if self._listed is not None and now - self._listed < self._fresh:
                return
            found = {**self._objects.list("targets"), **self._objects.list("runs")}
            with self._lock:
                known = {each.key: each for each in self._entries.values()}
            changed = [
                key
                for key, version in found.items()
                if not key.endswith("/stop.json")
                and (key not in known or known[key].version != version)
            ]
            self.refresh([known[key].scope for key in changed if key in known])
            self._load_unknown([key for key in changed if key not in known])
            self._listed = now

    def _load_unknown(self, keys: Sequence[str]) -> None:
        """Load objects whose scopes only their documents name."""
        with ThreadPoolExecutor(_PARALLEL) as pool:
            for key, found in zip(keys, pool.map(self._objects.get, keys), strict=True):
                if found:
                    name = decode(found.data, f"{self._objects.place}/{key}").key
                    scope = Scope("run" if key.startswith("runs/") else "target", name)
                    self.of(scope).take(found)
