"""A full disk is named with its free bytes, wherever it is met."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

import pytest

from spark_impex_runner import atomic
from spark_impex_runner.disk import full_disk, mount_point, require_space
from spark_impex_runner.engine.reports import write
from spark_impex_runner.errors import DeliveryError, StepError
from spark_impex_runner.spark.download.partial import disk_errors

if TYPE_CHECKING:
    from pathlib import Path


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture(autouse=True)
def _little_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _Usage(9999, 0, 1234))


def no_space(path: Path | None = None) -> OSError:
    """Return the error of a full disk; that of a write names no file."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path and str(path))


def test_cause_of_an_error_names_the_disk(tmp_path: Path) -> None:
    """However deep it lies, and for a file that does not exist any more."""
    error = StepError("x")
    error.__cause__ = StepError("y")
    error.__cause__.__cause__ = no_space(tmp_path / "gone/file")

    hint = f" (1,234 bytes are free at {mount_point(tmp_path)}; free space there and run again)"
    assert full_disk(error) == hint
    assert os.path.ismount(mount_point(tmp_path))


def test_other_errors_name_no_disk(tmp_path: Path) -> None:
    """Nor does one without a file, which may lie on any disk, or one that is its own cause."""
    own = StepError("x")
    own.__cause__ = own
    denied = PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    assert [full_disk(each) for each in (None, own, denied, no_space())] == [""] * 4


def test_required_space_is_checked(tmp_path: Path) -> None:
    """For a folder that does not exist yet, too."""
    require_space(tmp_path, 1234)

    with pytest.raises(StepError, match=r"new: needs 1,235 bytes, 1,234 are free at /"):
        require_space(tmp_path / "new", 1235)


def test_files_of_the_runner_name_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report or receipt, and a download; nothing is left of the file."""

    def fail(_handle: int) -> None:
        raise no_space()

    monkeypatch.setattr(os, "fsync", fail)
    hint = "No space left on device (1,234 bytes are free at /"

    with pytest.raises(DeliveryError) as report:
        write(tmp_path / "r.json", "x")
    with pytest.raises(DeliveryError) as download, disk_errors(tmp_path / "p.zip"):
        raise no_space()
    with pytest.raises(OSError, match="No space") as bare:
        atomic.write_text(tmp_path / "r.json", "x")

    assert f"cannot write {tmp_path / 'r.json'}: {hint}" in str(report.value)
    assert f"{tmp_path / 'p.zip'}: {hint}" in str(download.value)
    assert bare.value.filename == str(tmp_path / "r.json")
    assert list(tmp_path.iterdir()) == []
