"""Open the state of a place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from spark_impex_runner.errors import StateError
from spark_impex_runner.state.database import FILE
from spark_impex_runner.state.local import LocalStorage
from spark_impex_runner.state.store import State

if TYPE_CHECKING:
    from spark_impex_runner.clock import Clock
    from spark_impex_runner.state.place import StatePlace
    from spark_impex_runner.state.remote import ObjectStorage

_EXTRAS = {"s3": "s3", "az": "azure", "gs": "gcs"}


def open_state(place: StatePlace, clock: Clock | None = None) -> State:
    """Open a state, which is created if need be; a stop of the clock ends its waits."""
    if isinstance(place, str):
        return State(_object_storage(place, clock))
    return State(LocalStorage(place, lambda: clock.stopped_at if clock else math.inf))


def existing_state(place: StatePlace, clock: Clock | None = None) -> State | None:
    """Open a state to read it; None, and nothing is created, where there is none."""
    if not isinstance(place, str):
        return open_state(place, clock) if (place / FILE).is_file() else None
    storage = _object_storage(place, clock)
    if storage.exists():
        return State(storage)
    storage.close()
    return None


def _object_storage(url: str, clock: Clock | None = None) -> ObjectStorage:
    # Imported here: runs with a local state do not pay for it.
    try:
        from spark_impex_runner.state.remote import ObjectStorage  # noqa: PLC0415

        return ObjectStorage(url, clock)
    except ImportError as error:
        extra, name = _EXTRAS[url.partition(":")[0]], (error.name or "").partition(".")[0]
        raise StateError(
            f"a state on {url} needs {name}, which is not installed; "
            f"pip install 'spark-impex-runner[{extra}]', or use --state DIR"
        ) from error
