"""A state in a folder and one in an object store, for tests of what both promise."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from spark_impex_runner.state.opening import open_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spark_impex_runner.state.place import StatePlace
    from spark_impex_runner.state.store import State


@pytest.fixture(params=["folder", "store"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> StatePlace:
    """Return a place for a state."""
    if request.param == "folder":
        return tmp_path / ".impex"
    store: Any = request.getfixturevalue("s3_state")
    return str(store.url)


@pytest.fixture
def state(place: StatePlace) -> Iterator[State]:
    """Return an empty state."""
    with closing(open_state(place)) as opened:
        yield opened
