"""Text files are replaced as a whole, by one process at a time."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from spark_impex_runner import atomic

if TYPE_CHECKING:
    from pathlib import Path

ADD = """
import sys
from pathlib import Path
from spark_impex_runner.plugins.import_to.lock import Lock
path, name, begin = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
print("ready", flush=True)
while not begin.exists():
    pass
for number in range(25):
    Lock(path).add({"sha256": f"{name}{number}"}, {"connection": "prod"})
"""
HOLD = """
import sys
from pathlib import Path
from spark_impex_runner import atomic
with atomic.exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_processes_lose_no_entry(tmp_path: Path) -> None:
    """Two processes add to one lock file at the same time, and it has all entries."""
    path, begin = tmp_path / "release.lock.json", tmp_path / "begin"
    writers = [
        subprocess.Popen([sys.executable, "-c", ADD, path, name, begin], stdout=subprocess.PIPE)
        for name in "ab"
    ]
    for writer in writers:
        assert writer.stdout
        writer.stdout.readline()

    begin.touch()
    codes = [writer.wait() for writer in writers]

    for writer in writers:
        assert writer.stdout
        writer.stdout.close()
    assert codes == [0, 0]
    assert len(json.loads(path.read_text())["packages"]) == 50


def test_killed_writer_leaves_no_lock(tmp_path: Path) -> None:
    """The kernel releases the lock of a killed process; its lock file blocks nothing."""
    path = tmp_path / "release.lock.json"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        holder.kill()

    with atomic.exclusive(path):
        atomic.write_text(path, "x")

    assert path.read_text() == "x"


def test_waiting_ends_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that keeps the lock too long gives an error that says so."""
    monkeypatch.setattr(atomic, "_LOCK_SECONDS", 0)
    path = tmp_path / "x"

    with (
        FileLock(tmp_path / ".x.lock"),
        pytest.raises(OSError, match="has locked it"),
        atomic.exclusive(path),
    ):
        pass


def test_failed_write_changes_nothing(tmp_path: Path) -> None:
    """The old content stays, and no temporary file is left."""
    path = tmp_path / "x"
    path.write_text("old")

    with pytest.raises(AttributeError):
        atomic.write_text(path, None)  # type: ignore[arg-type]

    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["x"]


def test_threads_keep_the_umask(tmp_path: Path) -> None:
    """The files get the process's permissions, and writing never changes its umask."""
    before = os.umask(0o027)
    try:
        seen: set[int] = set()
        threads = [
            threading.Thread(target=atomic.write_text, args=(tmp_path / str(n), "x"))
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seen = {(tmp_path / str(n)).stat().st_mode & 0o777 for n in range(8)}
        after = os.umask(0o027)
    finally:
        os.umask(before)

    assert (seen, after) == ({0o640}, 0o027)


def test_leftovers_of_killed_writers_are_cleared(tmp_path: Path) -> None:
    """Files of a killed process are removed; those of a running one, and others, stay."""
    path = tmp_path / "report.json"
    leftover, busy, other = (
        tmp_path / name
        for name in (".report.json.0123abcd", ".report.json.4567abcd", ".report.json.backup")
    )
    for each in (leftover, busy, other):
        each.write_text("half")

    with busy.open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        atomic.write_text(path, "whole")

    assert not leftover.exists()
    assert (busy.exists(), other.exists()) == (True, True)
    assert path.read_text() == "whole"
