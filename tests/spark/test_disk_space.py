"""Disk space is checked before a file is written."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from spark_impex_runner import errors
from spark_impex_runner.models import RemoteFile
from spark_impex_runner.spark.download import disk_space
from spark_impex_runner.spark.download.files import fetch
from spark_impex_runner.spark.http import limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that sets the free bytes of every disk."""
    return lambda size: monkeypatch.setattr(shutil, "disk_usage", lambda _: _Usage(9, 9, size))


def test_too_large_file_is_refused_early(
    session_to: Any, script: Any, reply: Any, tmp_path: Path, free: Any
) -> None:
    """The error names the required and the free bytes; with space the download succeeds."""
    server = script(reply(b"x" * 5000, headers={"ETag": '"one"'}))
    free(4999)

    with pytest.raises(errors.DeliveryError) as caught:
        fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")

    assert f"needs 5,000 bytes, 4,999 are free at {tmp_path}; free space" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert len(server.seen) == 1
    free(5000)
    fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")
    assert (tmp_path / "p").stat().st_size == 5000


def test_existing_bytes_need_no_space(
    session_to: Any, script: Any, reply: Any, tmp_path: Path, free: Any
) -> None:
    """A resumed download needs space for the rest only."""
    whole, etag = b"x" * 5000, {"ETag": '"one"'}
    span = {**etag, "Content-Range": "bytes 3000-4999/5000"}
    cut = reply(whole[:3000], headers=etag, length=5000)
    server = script(cut, reply(b"", 403), reply(whole[3000:], 206, headers=span))
    with pytest.raises(errors.ForbiddenError):
        fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")
    free(2000)

    fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")

    assert (tmp_path / "p").read_bytes() == whole


def test_reserved_space_is_not_free(tmp_path: Path, free: Any) -> None:
    """Of a file that is being written, its missing part counts, for as long as it is written."""
    first, second = tmp_path / "first", tmp_path / "second"
    free(1000)

    with disk_space.reserved(first, 600):
        with pytest.raises(errors.DeliveryError, match="needs 500 bytes, 400 are free"):
            disk_space.reserved(second, 500).__enter__()
        first.write_bytes(b"x" * 200)
        free(800)
        with disk_space.reserved(second, 400):
            free(0)
            with disk_space.reserved(tmp_path / "third", 0):
                pass
    free(500)
    with disk_space.reserved(second, 500):
        pass


def test_missing_folder_is_reported(tmp_path: Path) -> None:
    """An error of the operating system becomes a ``DeliveryError``."""
    with (
        pytest.raises(errors.DeliveryError, match="No such file"),
        disk_space.reserved(tmp_path / "none" / "p", 5),
    ):
        pass


def test_repeated_file_and_missing_folder(tmp_path: Path) -> None:
    """What another download does with its own place is no reason to refuse this one."""
    gone = tmp_path / "gone"
    gone.mkdir()
    with disk_space.reserved(gone / "p", 10):
        gone.rmdir()
        with disk_space.reserved(tmp_path / "p", 10), disk_space.reserved(tmp_path / "p", 10):
            pass


@pytest.mark.parametrize("limit", ["disk", "bytes"])
def test_endless_download_leaves_space(
    session_to: Any,
    script: Any,
    reply: Any,
    tmp_path: Path,
    free: Any,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
) -> None:
    """A body without a length ends before the disk is full, and its file is removed."""
    server = script(reply(b"x" * 300_000, length=None))
    monkeypatch.setattr(disk_space, "_CHECK_EVERY", 1000)
    monkeypatch.setattr(limits, "UNANNOUNCED", 1000 if limit == "bytes" else 1 << 40)
    free(limits.RESERVE - 1 if limit == "disk" else 1 << 40)

    with pytest.raises(errors.DeliveryError, match="sends no Content-Length"):
        fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")

    assert list(tmp_path.iterdir()) == []
    assert len(server.seen) == 1


def test_download_without_length_is_whole(
    session_to: Any, script: Any, reply: Any, tmp_path: Path
) -> None:
    """With free space, a body needs no length."""
    server = script(reply(b"x" * 300_000, length=None))

    fetch(session_to(server), RemoteFile(server.url), tmp_path / "p")

    assert (tmp_path / "p").read_bytes() == b"x" * 300_000
