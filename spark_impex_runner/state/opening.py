"""Open the state of a place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from spark_impex_runner.state.database import FILE
from spark_impex_runner.state.local import LocalStorage
from spark_impex_runner.state.store import State

if TYPE_CHECKING:
    from pathlib import Path

    from spark_impex_runner.clock import Clock

# Beside the manifest, unless --state names another.
STATE_FOLDER = ".impex"


def open_state(place: Path, clock: Clock | None = None) -> State:
    """Open a state, which is created if need be; a stop of the clock ends its waits."""
    return State(LocalStorage(place, lambda: clock.stopped_at if clock else math.inf))


def existing_state(place: Path) -> State | None:
    """Open a state to read it; None, and nothing is created, where there is none."""
    return open_state(place) if (place / FILE).is_file() else None
