"""Fixtures that kill a process at each of its writes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent


@pytest.fixture
def complete(tmp_path: Path) -> Callable[[], bool]:
    """Return a function that returns True if no attempt of a target is open."""

    def complete() -> bool:
        with closing(sqlite3.connect(tmp_path / ".impex/state.db")) as link:
            sql = "SELECT count(*) FROM attempts WHERE finished IS NOT NULL"
            return bool(link.execute(sql).fetchone()[0])

    return complete


@pytest.fixture
def killed(start: Callable[..., Any]) -> Callable[..., bool]:
    """Return a function that runs a program and returns True if it killed itself."""

    def run(program: str, *words: object) -> bool:
        process = start(HERE / program, *words)
        _, errors = process.communicate()
        assert process.returncode in (0, -9), errors
        return bool(process.returncode)

    return run
