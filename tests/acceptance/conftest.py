"""What starts a process for each instant at which one can be killed."""

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
    """Give a function that tells whether a target is finished: the next run is then a new one."""

    def complete() -> bool:
        with closing(sqlite3.connect(tmp_path / ".impex/state.db")) as link:
            sql = "SELECT count(*) FROM attempts WHERE finished IS NOT NULL"
            return bool(link.execute(sql).fetchone()[0])

    return complete


@pytest.fixture
def killed(start: Callable[..., Any]) -> Callable[..., bool]:
    """Give a function that runs a program that may kill itself, and tells whether it did."""

    def run(program: str, *words: object) -> bool:
        process = start(HERE / program, *words)
        _, errors = process.communicate()
        assert process.returncode in (0, -9), errors
        return bool(process.returncode)

    return run
