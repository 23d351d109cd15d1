"""The objects of a state: those that were used, and all of them for commands that list."""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spark_impex_runner.blocking import map_in_threads
from spark_impex_runner.state.remote.document import decode, object_key
from spark_impex_runner.state.remote.entry import Entry
from spark_impex_runner.state.storage import Scope, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from spark_impex_runner.state.remote.objects import Found, Objects
    from spark_impex_runner.state.remote.rows import Rows

# Objects that are read at once.
_PARALLEL = 16
# How the keys of a folder's objects end; what else is there is not of the state.
_ENDS = {"targets": ".json", "runs": "/run.json"}


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
        self._listed: dict[str, float] = {}
        # Copies of objects under other keys, by their versions.
        self._foreign: dict[str, Mapping[str, str]] = {}
        self._unreadable: dict[str, str] = {}

    def of(self, scope: Scope) -> Entry:
        """Return the object of a target or run, which need not exist."""
        with self._lock:
            if scope not in self._entries:
                self._entries[scope] = Entry(
                    scope, self._objects, self._rows, self._age, self._fresh
                )
            return self._entries[scope]

    def prefetch(self, scopes: Iterable[Scope]) -> None:
        """Load objects in parallel, but those that cannot be read: their users meet the error."""
        self._load(Entry.prefetch, list(map(self.of, scopes)))

    def unreadable(self) -> tuple[str, ...]:
        """Return why objects could not be read."""
        return tuple(self._unreadable.values())

    def refresh_all(self, folders: Iterable[str]) -> None:
        """Load all objects below folders that have changed, unless that was done of late."""
        with self._listing:
            for folder in folders:
                now = self._age()
                if now - self._listed.get(folder, -math.inf) >= self._fresh:
                    self._refresh_folder(folder)
                    self._listed[folder] = now

    def _refresh_folder(self, folder: str) -> None:
        listed = self._objects.list(folder)
        found = {key: each for key, each in listed.items() if key.endswith(_ENDS[folder])}
        with self._lock:
            known = {each.key: each for each in self._entries.values()}
        changed = [each for key, each in known.items() if _differs(found.get(key), each.version)]
        self._load(Entry.refresh, changed)
        unknown = [key for key in found if key not in known]
        self._load_unknown([key for key in unknown if _differs(found[key], self._foreign.get(key))])

    def _load(self, load: Callable[[Entry], None], entries: Sequence[Entry]) -> None:
        def loaded(entry: Entry) -> None:
            with self._noted(entry.key):
                load(entry)

        map_in_threads(loaded, entries, _PARALLEL)

    def _load_unknown(self, keys: Sequence[str]) -> None:
        """Load objects whose scopes only their documents name."""
        read = map_in_threads(self._objects.get, keys, _PARALLEL)
        for key, found in zip(keys, read, strict=True):
            if found:
                with self._noted(key):
                    self._take(key, found)

    def _take(self, key: str, found: Found) -> None:
        name = decode(found.data, f"{self._objects.place}/{key}").key
        scope = Scope("run" if key.startswith("runs/") else "target", name)
        if object_key(scope) == key:
            self.of(scope).take(found)
        else:
            self._foreign[key] = found.version

    @contextmanager
    def _noted(self, key: str) -> Iterator[None]:
        """Note why an object cannot be read, or that it can be."""
        try:
            yield
            self._unreadable.pop(key, None)
        except UnreadableError as error:
            self._unreadable[key] = str(error)


def _differs(listed: Mapping[str, str] | None, known: Mapping[str, str] | None) -> bool:
    """Return whether a listed object is another one; lists leave out the ids of versions."""
    return listed is not None and (not known or listed.get("e_tag") != known.get("e_tag"))
