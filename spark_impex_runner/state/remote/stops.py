"""The stop of a run's processes: one object, which all of them read now and then."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from spark_impex_runner import fields
from spark_impex_runner.errors import Interrupted, StateError
from spark_impex_runner.state.remote.document import segment

if TYPE_CHECKING:
    from collections.abc import Callable

    from spark_impex_runner.state.remote.objects import Objects


class Stops:
    """Stop requests by run; an error of the store is no stop."""

    def __init__(self, objects: Objects, seconds: float, age: Callable[[], float]) -> None:
        self._objects = objects
        self._seconds = seconds
        self._age = age
        self._lock = threading.Lock()
        self._read_at: dict[str, float] = {}
        self._found: dict[str, int | None] = {}

    def write(self, run_id: str, signum: int) -> None:
        """Ask all processes of a run to stop."""
        self._found[run_id] = int(signum)
        with suppress(StateError, Interrupted):  # workers that cannot be stopped are waited for
            self._put(run_id, int(signum))

    def read(self, run_id: str) -> int | None:
        """Return the signal, as it was read at most some seconds ago."""
        with self._lock:
            now = self._age()
            if now - self._read_at.get(run_id, -self._seconds) < self._seconds:
                return self._found.get(run_id)
            self._read_at[run_id] = now
        with suppress(StateError, Interrupted):
            self._found[run_id] = self._get(run_id)
        return self._found.get(run_id)

    def remove(self, run_id: str) -> None:
        """Withdraw a stop; there is no permission to delete an object."""
        self._found.pop(run_id, None)
        with suppress(StateError, Interrupted):
            if self._get(run_id) is not None:
                self._put(run_id, None)

    def _get(self, run_id: str) -> int | None:
        found = self._objects.get(_key(run_id), once=True)
        with suppress(ValueError, KeyError, TypeError):
            signum = fields.parse(found.data)["signum"] if found else None
            return None if signum is None else int(signum)
        return None

    def _put(self, run_id: str, signum: int | None) -> None:
        data = json.dumps({"format": 1, "signum": signum})
        self._objects.put_always(_key(run_id), data.encode())


def _key(run_id: str) -> str:
    return f"runs/{segment(run_id)}/stop.json"
