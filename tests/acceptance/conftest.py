"""What starts a process for each instant at which one can be killed."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent


@pytest.fixture
def complete(tmp_path: Path) -> Callable[[], bool]:
    """Give a function that tells whether a target is finished: the next run is then a new one."""

    def complete() -> bool:
        with closing(sqlite3.connect(tmp_path / ".impex/state.db")) as link:
            sql = "SELECT count(*) FROM attempts WHERE finished IS NOT NULL"
            return bool(link.execute(sql).fetchone()[0])

    return complete


@pytest.fixture(scope="session")
def killed() -> Iterator[Callable[..., bool]]:
    """Give a function that runs a program that may kill itself, and tells whether it did."""
    command = [sys.executable, str(HERE / "forking.py")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:

        def run(program: str, *words: object) -> bool:
            assert server.stdin
            assert server.stdout
            told = [str(HERE / program), *map(str, words)], dict(os.environ)
            print(json.dumps(told), file=server.stdin, flush=True)
            status, errors = json.loads(server.stdout.readline())
            assert status in (0, -9), errors
            return bool(status)

        yield run
        server.kill()
